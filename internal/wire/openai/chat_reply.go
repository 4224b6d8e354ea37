package openai

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Reply implements wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	var c chunk
	if err := json.Unmarshal(body, &c, lenient); err != nil {
		return nil, wire.BadAnswer("not a chat completion")
	}
	return wholeOf(call, &c)
}

// wholeOf reads a whole answer.
func wholeOf(call *wire.Call, c *chunk) (*llm.Reply, *llm.Error) {
	if !null(c.Error) {
		return nil, reported(c.Error)
	}
	if len(c.Choices) == 0 {
		return nil, wire.BadAnswer("a chat completion without choices")
	}
	for i := range c.Choices {
		ch := &c.Choices[i]
		ch.Delta = nil
		ch.Index = number{int64(i), true}
		if ch.Finish == "" {
			ch.Finish = "stop"
		}
	}
	d := decoder{call: call}
	if err := d.chunk(c, false); err != nil {
		return nil, err
	}
	var all llm.Collector
	all.Add(d.out...)
	return all.Reply(), nil
}

// AppendReply implements wire.Client.
func (Codec) AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte {
	dst = appendHead(append(dst, '{'), req, "chatcmpl-", r.ID, r.Model, r.Created, "chat.completion")
	dst = append(dst, `,"choices":[`...)
	for i := range r.Answers {
		a := &r.Answers[i]
		dst = strconv.AppendInt(append(element(dst), `{"index":`...), int64(i), 10)
		calls := 0
		dst, calls = appendMessage(append(dst, `,"message":`...), a.Blocks)
		var probs [2][]llm.LogProb
		for i := range a.Blocks {
			if b := &a.Blocks[i]; b.Kind <= llm.BlockRefusal {
				probs[b.Kind] = append(probs[b.Kind], b.LogProbs...)
			}
		}
		dst = appendChoiceProbs(dst, probs[0], probs[1])
		dst = append(append(dst, `,"finish_reason":"`...), finishReason(a.Stop, calls)...)
		dst = append(dst, '"', '}')
	}
	dst = append(dst, ']')
	if r.Usage != nil {
		dst = appendCount(dst, r.Usage)
	}
	return append(dst, '}')
}

// appendHead appends the members that all of an answer's objects begin with.
// prefix begins the id of an answer that has none.
func appendHead(dst []byte, req *llm.Request, prefix, id, model string, created int64, object string) []byte {
	if id == "" {
		id = prefix + req.ID
	}
	if model == "" {
		model = req.Model
	}
	if created == 0 {
		created = time.Now().Unix()
	}
	dst = appendText(append(dst, `"id":`...), id)
	dst = append(append(append(dst, `,"object":"`...), object...), `","created":`...)
	dst = strconv.AppendInt(dst, created, 10)
	return appendText(append(dst, `,"model":`...), model)
}

// appendMessage appends the message of an answer and tells how many calls it
// has.
func appendMessage(dst []byte, blocks []llm.Block) (_ []byte, calls int) {
	var text, refusal, thought, cites, proofs, pictures []byte
	texts, proven := false, 0
	var sound *llm.Block
	for i := range blocks {
		b := &blocks[i]
		switch b.Kind {
		case llm.BlockText:
			texts = true
			cites = appendCites(cites, b.Cites, utf8.RuneCount(text))
			text = append(text, b.Text...)
		case llm.BlockRefusal:
			refusal = append(refusal, b.Text...)
		case llm.BlockThinking:
			thought = append(thought, b.Text...)
			if b.Seal.Maker != 0 {
				proofs = appendDetail(listed(proofs), b, proven)
				proven++
			}
		case llm.BlockImage:
			if b.Media != nil {
				pictures = appendText(append(listed(pictures), `{"type":"image_url","image_url":{"url":`...), dataURL(b.Media, "image/png"))
				pictures = append(pictures, '}', '}')
			}
		case llm.BlockAudio:
			sound = b
		case llm.BlockCall:
			calls++
		}
	}
	dst = append(dst, `{"role":"assistant","content":`...)
	if texts || calls == 0 && len(refusal) == 0 {
		dst = appendText(dst, string(text))
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"refusal":`...)
	if len(refusal) > 0 {
		dst = appendText(dst, string(refusal))
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(append(append(dst, `,"annotations":[`...), cites...), ']')
	if len(thought) > 0 {
		dst = appendText(append(dst, `,"reasoning_content":`...), string(thought))
	}
	if len(proofs) > 0 {
		dst = append(append(append(dst, `,"reasoning_details":[`...), proofs...), ']')
	}
	if len(pictures) > 0 {
		dst = append(append(append(dst, `,"images":[`...), pictures...), ']')
	}
	if sound != nil && sound.Media != nil {
		dst = appendText(append(dst, `,"audio":{"id":`...), sound.ID)
		dst = appendText(append(dst, `,"data":`...), sound.Media.Data)
		dst = append(appendText(append(dst, `,"expires_at":0,"transcript":`...), string(text)), '}')
	}
	if calls > 0 {
		dst = appendCalls(append(dst, `,"tool_calls":`...), blocks)
	}
	return append(dst, '}'), calls
}

// listed begins the next element of a list whose brackets come later.
func listed(b []byte) []byte {
	if len(b) > 0 {
		return append(b, ',')
	}
	return b
}

func appendCalls(dst []byte, blocks []llm.Block) []byte {
	dst = append(dst, '[')
	for i := range blocks {
		b := &blocks[i]
		if b.Kind != llm.BlockCall {
			continue
		}
		dst = appendCallHead(append(element(dst), '{'), b)
		if b.Custom {
			dst = appendText(append(dst, `,"input":`...), b.Text)
		} else {
			dst = appendText(append(dst, `,"arguments":`...), arguments(b))
		}
		dst = append(dst, '}')
		if i > 0 && gemini(&blocks[i-1]) {
			dst = appendGoogle(dst, blocks[i-1].Seal.Data)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// gemini reports whether b carries a seal of Gemini's for what follows.
func gemini(b *llm.Block) bool { return b.Kind == llm.BlockThinking && b.Seal.Maker == llm.ProtoGemini }

// appendCallHead appends a call up to its arguments.
func appendCallHead(dst []byte, b *llm.Block) []byte {
	dst = appendText(member(dst, "id"), b.ID)
	if b.Custom {
		dst = append(dst, `,"type":"custom","custom":{"name":`...)
	} else {
		dst = append(dst, `,"type":"function","function":{"name":`...)
	}
	return appendText(dst, b.Name)
}

// appendCites appends citations, shifted by the characters before their text.
func appendCites(dst []byte, cites []llm.Cite, shift int) []byte {
	for i := range cites {
		if cites[i].URL != "" {
			dst = appendCite(listed(dst), &cites[i], shift)
		}
	}
	return dst
}

func appendCite(dst []byte, c *llm.Cite, shift int) []byte {
	start, end := c.Start, c.End
	if start != 0 || end != 0 {
		start, end = start+shift, end+shift
	}
	dst = append(dst, `{"type":"url_citation","url_citation":{"start_index":`...)
	dst = strconv.AppendInt(dst, int64(start), 10)
	dst = strconv.AppendInt(append(dst, `,"end_index":`...), int64(end), 10)
	dst = appendText(append(dst, `,"url":`...), c.URL)
	return append(appendText(append(dst, `,"title":`...), c.Title), '}', '}')
}

// finishReason is OpenAI's word for why an answer ended.
func finishReason(s llm.Stop, calls int) string {
	switch s {
	case llm.StopLength, llm.StopContext:
		return "length"
	case llm.StopTools:
		return "tool_calls"
	case llm.StopFilter, llm.StopRefusal:
		return "content_filter"
	}
	if calls > 0 {
		return "tool_calls"
	}
	return "stop"
}

// appendCount appends the members that tell what an answer cost: its tier,
// where it is not the usual one, and the usage.
func appendCount(dst []byte, u *llm.Usage) []byte {
	if u.Tier != llm.TierStandard {
		dst = appendText(append(dst, `,"service_tier":`...), u.Tier.String())
	}
	return appendUsage(append(dst, `,"usage":`...), u)
}

// appendUsage appends OpenAI's usage object; what OpenAI has no place for is
// told as OpenRouter and others do.
func appendUsage(dst []byte, u *llm.Usage) []byte {
	num := func(name string, n int64) { dst = strconv.AppendInt(member(dst, name), n, 10) }
	some := func(name string, n int64) {
		if n > 0 {
			num(name, n)
		}
	}
	dst = append(dst, '{')
	num("prompt_tokens", u.Input)
	num("completion_tokens", u.Output)
	num("total_tokens", u.Input+u.Output)
	dst = append(member(dst, "prompt_tokens_details"), '{')
	num("cached_tokens", u.CachedRead)
	num("audio_tokens", u.AudioInput)
	some("cache_write_tokens", u.CacheWrite)
	some("image_tokens", u.ImageInput)
	some("video_tokens", u.VideoInput)
	dst = append(member(append(dst, '}'), "completion_tokens_details"), '{')
	num("reasoning_tokens", u.Reasoning)
	num("audio_tokens", u.AudioOutput)
	some("image_tokens", u.ImageOutput)
	some("video_tokens", u.VideoOutput)
	num("accepted_prediction_tokens", 0)
	num("rejected_prediction_tokens", 0)
	dst = append(dst, '}')
	if u.CacheWrite1h > 0 {
		dst = append(member(dst, "cache_creation"), '{')
		num("ephemeral_5m_input_tokens", u.CacheWrite-u.CacheWrite1h)
		num("ephemeral_1h_input_tokens", u.CacheWrite1h)
		dst = append(dst, '}')
	}
	if u.SearchSize > 0 {
		dst = appendText(member(dst, "search_context_size"), u.SearchSize.String())
	}
	if u.Searches > 0 {
		dst = append(member(dst, "server_tool_use_details"), '{')
		num("web_search_requests", u.Searches)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}
