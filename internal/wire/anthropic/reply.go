package anthropic

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// answer is a whole answer, and what the first event of a stream holds.
type answer struct {
	ID           string           `json:"id"`
	Model        string           `json:"model"`
	Content      []jsontext.Value `json:"content"`
	StopReason   string           `json:"stop_reason"`
	StopSequence string           `json:"stop_sequence"`
	Usage        jsontext.Value   `json:"usage"`
}

// stops are the reasons as Anthropic writes them, in the order of llm.Stop.
var stops = [...]string{
	llm.StopEnd: "end_turn", llm.StopSequence: "stop_sequence", llm.StopLength: "max_tokens", llm.StopContext: "model_context_window_exceeded",
	llm.StopTools: "tool_use", llm.StopFilter: "refusal", llm.StopRefusal: "refusal", llm.StopPause: "pause_turn",
}

// stopOf reads a stop reason. ok is false for one that is not known.
func stopOf(reason string) (s llm.Stop, ok bool) {
	if reason == "refusal" {
		return llm.StopRefusal, true
	}
	for s, name := range stops {
		if name == reason && name != "" {
			return llm.Stop(s), true
		}
	}
	return llm.StopEnd, false
}

// Reply reads a whole answer.
func (Codec) Reply(call *wire.Call, b []byte) (*llm.Reply, *llm.Error) {
	var a answer
	if err := unmarshal(b, &a); err != nil {
		return nil, wire.BadAnswer(err.Error())
	}
	if a.Content == nil {
		if e := errorIn(b); e != nil {
			return nil, e
		}
		return nil, wire.BadAnswer("an object without content")
	}
	r := reader{chat: &llm.Chat{}}
	out := llm.Answer{Stop: ended(call, a.StopReason), Sequence: a.StopSequence}
	for _, raw := range a.Content {
		var err *llm.Error
		if out.Blocks, err = r.block(out.Blocks, "content", raw); err != nil {
			return nil, wire.BadAnswer(err.Message)
		}
	}
	reply := &llm.Reply{ID: a.ID, Model: a.Model, Answers: []llm.Answer{out}}
	if u, ok := ParseUsage(a.Usage); ok {
		reply.Usage = &u
	}
	return reply, nil
}

// ended reads the stop reason of an answer to call.
func ended(call *wire.Call, reason string) llm.Stop {
	s, known := stopOf(reason)
	if !known && reason != "" {
		call.Lose("stop_reason")
	}
	return s
}

// citation is a source of a text, of any of Anthropic's kinds.
type citation struct {
	Quote         string `json:"cited_text"`
	Title         string `json:"title"`
	DocumentTitle string `json:"document_title"`
	URL           string `json:"url"`
	Source        string `json:"source"`
}

func (c *citation) cite() llm.Cite {
	out := llm.Cite{URL: c.URL, Title: c.Title, Quote: c.Quote}
	if out.Title == "" {
		out.Title = c.DocumentTitle
	}
	if out.URL == "" && strings.Contains(c.Source, "://") {
		out.URL = c.Source
	}
	return out
}

// cites reads a list of citations; what is none is left out.
func cites(v jsontext.Value) []llm.Cite {
	var list []citation
	if v.Kind() != '[' || unmarshal(v, &list) != nil || len(list) == 0 {
		return nil
	}
	out := make([]llm.Cite, len(list))
	for i := range list {
		out[i] = list[i].cite()
	}
	return out
}

// AppendReply appends a whole answer as a message. The protocol has one answer
// a request: the first.
func (Codec) AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte {
	var a llm.Answer
	if len(r.Answers) > 0 {
		a = r.Answers[0]
	}
	dst = appendHead(dst, req, r.ID, r.Model)
	dst = append(dst, `,"content":[`...)
	n := len(dst)
	calls, refused := false, false
	last := len(a.Blocks) - 1
	for last > 0 && bare(&a.Blocks[last]) {
		last--
	}
	for i := range a.Blocks[:last+1] {
		b := &a.Blocks[i]
		calls = calls || b.Kind == llm.BlockCall
		refused = refused || b.Kind == llm.BlockRefusal
		at := len(dst)
		if at > n {
			dst = append(dst, ',')
		}
		before := len(dst)
		if dst = appendBlock(dst, b); len(dst) == before {
			dst = dst[:at]
		}
	}
	dst = append(dst, ']')
	dst = appendStop(append(dst, ','), final(a.Stop, calls, refused), a.Sequence)
	u := r.Usage
	if u == nil {
		u = &llm.Usage{}
	}
	dst = appendUsage(append(dst, `,"usage":`...), u)
	return append(dst, '}')
}

// bare reports whether a block is no more than another vendor's seal. Such a
// block is not told where nothing follows it: the protocol's own answers do
// not end in thinking, and Claude Code takes the last block for the answer
// (2.1.197). Gemini, which ends in seals, goes on without them.
func bare(b *llm.Block) bool {
	return b.Kind == llm.BlockThinking && b.Text == "" && b.Seal.Maker != 0 && b.Seal.Maker != llm.ProtoAnthropic
}

// appendHead appends the beginning of a message, without its end.
func appendHead(b []byte, req *llm.Request, id, model string) []byte {
	if id == "" {
		id = "msg_" + req.ID
	}
	if model == "" {
		model = req.Model
	}
	b = wire.AppendString(append(b, `{"id":`...), id)
	return wire.AppendString(append(b, `,"type":"message","role":"assistant","model":`...), model)
}

// final is the stop reason that an answer ends with: tools that were called
// are to be run, and a refusal is one, whatever the vendor called its end.
func final(s llm.Stop, calls, refused bool) llm.Stop {
	switch {
	case s > llm.StopEnd:
		return s
	case calls:
		return llm.StopTools
	case refused:
		return llm.StopRefusal
	}
	return llm.StopEnd
}

// appendStop appends the three members that tell why an answer ended.
func appendStop(b []byte, s llm.Stop, sequence string) []byte {
	name := stops[llm.StopEnd]
	if int(s) < len(stops) && stops[s] != "" {
		name = stops[s]
	}
	b = append(append(append(b, `"stop_reason":"`...), name...), `","stop_sequence":`...)
	if s == llm.StopSequence && sequence != "" {
		b = wire.AppendString(b, sequence)
	} else {
		b = append(b, "null"...)
	}
	if name == "refusal" {
		return append(b, `,"stop_details":{"type":"refusal","category":null,"explanation":null}`...)
	}
	return append(b, `,"stop_details":null`...)
}

// appendBlock appends a whole block; nothing for one that the protocol cannot
// say.
func appendBlock(dst []byte, b *llm.Block) []byte {
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		if b.Text == "" {
			return dst
		}
		dst = wire.AppendString(append(dst, `{"type":"text","text":`...), b.Text)
		if len(b.Cites) > 0 {
			dst = append(dst, `,"citations":[`...)
			for i := range b.Cites {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendCite(dst, &b.Cites[i])
			}
			dst = append(dst, ']')
		}
		return append(dst, '}')
	case llm.BlockThinking:
		if b.Seal.Redacted && ownSeal(b) {
			return append(wire.AppendString(append(dst, `{"type":"redacted_thinking","data":`...), b.Seal.Data), '}')
		}
		if b.Text == "" && b.Seal.Maker == 0 {
			return dst
		}
		dst = wire.AppendString(append(dst, `{"type":"thinking","thinking":`...), b.Text)
		return append(wire.AppendString(append(dst, `,"signature":`...), signature(b)), '}')
	case llm.BlockCall:
		dst = wire.AppendString(append(dst, `{"type":"tool_use","id":`...), b.ID)
		dst = wire.AppendString(append(dst, `,"name":`...), b.Name)
		return append(appendInput(append(dst, `,"input":`...), b), '}')
	case llm.BlockHosted:
		if ownHosted(b) {
			return append(dst, b.Text...)
		}
	}
	return dst
}

// signature returns what stands for a block's seal in this protocol.
func signature(b *llm.Block) string {
	switch b.Seal.Maker {
	case 0:
		return ""
	case llm.ProtoAnthropic:
		return b.Seal.Data
	}
	return wire.WrapSeal(b)
}

// appendInput appends a call's arguments as an object; what is none is kept
// in the member _raw.
func appendInput(dst []byte, b *llm.Block) []byte {
	switch {
	case b.Custom:
		return append(wire.AppendString(append(dst, `{"input":`...), b.Text), '}')
	case strings.TrimSpace(b.Text) == "":
		return append(dst, `{}`...)
	case object(b.Text):
		return append(dst, b.Text...)
	}
	return append(wire.AppendString(append(dst, `{"_raw":`...), b.Text), '}')
}

// appendCite appends a source: a page of the web where it has an address, else
// a document that is known by its title alone.
func appendCite(dst []byte, c *llm.Cite) []byte {
	if c.URL != "" {
		dst = wire.AppendString(append(dst, `{"type":"web_search_result_location","url":`...), c.URL)
		dst = wire.AppendString(append(dst, `,"title":`...), c.Title)
		dst = append(dst, `,"encrypted_index":""`...)
	} else {
		dst = append(dst, `{"type":"char_location","document_index":0,"start_char_index":0,"end_char_index":0,"file_id":null,"document_title":`...)
		dst = wire.AppendString(dst, c.Title)
	}
	return append(wire.AppendString(append(dst, `,"cited_text":`...), c.Quote), '}')
}
