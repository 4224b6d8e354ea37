package openai

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Completions is the old completions protocol as clients speak it: a prompt is
// a message of the user, the text of the answer is all that is told of it.
type Completions struct{}

var _ wire.Client = Completions{}

// completionBody is a completions request. What it shares with chat requests
// is read as there.
type completionBody struct {
	chatBody
	Prompt   jsontext.Value `json:"prompt"`
	Suffix   string         `json:"suffix"`
	Echo     bool           `json:"echo"`
	BestOf   int64          `json:"best_of"`
	LogProbs *int64         `json:"logprobs"`
}

// Chat implements wire.Client.
func (Completions) Chat(body []byte) (*llm.Chat, *llm.Error) {
	var in completionBody
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, badBody(err)
	}
	prompt, err := promptOf(in.Prompt)
	if err != nil {
		return nil, err
	}
	r := reader{chat: &llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{{Kind: llm.BlockText, Text: prompt}}}}}}
	for _, f := range [...]struct {
		name  string
		given bool
	}{{"suffix", in.Suffix != ""}, {"echo", in.Echo}, {"best_of", in.BestOf > max(1, in.N)}, {"logprobs", in.LogProbs != nil}} {
		if f.given {
			r.leave(f.name, true)
		}
	}
	r.scalars(&in.chatBody)
	r.reasoning(&in.chatBody)
	r.rest(in.Rest)
	return r.chat, nil
}

// promptOf reads a prompt: a string, or a list of one.
func promptOf(v jsontext.Value) (string, *llm.Error) {
	var one string
	if v.Kind() == '"' && json.Unmarshal(v, &one, lenient) == nil {
		return one, nil
	}
	var list []string
	if v.Kind() != '[' || json.Unmarshal(v, &list, lenient) != nil {
		return "", &llm.Error{Kind: llm.KindInvalidRequest, Param: "prompt", Message: "\"prompt\" must be a string; this model's vendor takes no tokens"}
	}
	if len(list) != 1 {
		return "", wire.Unsupported("prompt", "this model's vendor answers one prompt at a time; send each in a request of its own")
	}
	return list[0], nil
}

// AppendError implements wire.Client.
func (Completions) AppendError(dst []byte, _ string, e *llm.Error) []byte { return AppendError(dst, e) }

// Status implements wire.Client.
func (Completions) Status(e *llm.Error) int { return e.HTTPStatus() }

// Ping implements wire.Client.
func (Completions) Ping() []byte { return Ping }

// AppendReply implements wire.Client.
func (Completions) AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte {
	dst = appendHead(append(dst, '{'), req, "cmpl-", r.ID, r.Model, r.Created, "text_completion")
	dst = append(dst, `,"choices":[`...)
	for i := range r.Answers {
		a := &r.Answers[i]
		var text []byte
		for n := range a.Blocks {
			if b := &a.Blocks[n]; b.Kind == llm.BlockText || b.Kind == llm.BlockRefusal {
				text = append(text, b.Text...)
			}
		}
		dst = appendCompletion(element(dst), string(text), i, completionReason(a.Stop))
	}
	dst = append(dst, ']')
	if r.Usage != nil {
		dst = appendUsage(append(dst, `,"usage":`...), r.Usage)
	}
	return append(dst, '}')
}

// completionReason is why a text ended; tools have no place in it.
func completionReason(s llm.Stop) string {
	if s == llm.StopTools {
		s = llm.StopEnd
	}
	return finishReason(s, 0)
}

// appendCompletion appends a choice; an answer that goes on has no finish
// reason.
func appendCompletion(dst []byte, text string, index int, finish string) []byte {
	dst = appendText(append(dst, `{"text":`...), text)
	dst = strconv.AppendInt(append(dst, `,"index":`...), int64(index), 10)
	dst = append(dst, `,"logprobs":null,"finish_reason":`...)
	if finish == "" {
		return append(dst, "null}"...)
	}
	return append(append(append(dst, '"'), finish...), '"', '}')
}

// Encoder implements wire.Client.
func (Completions) Encoder(req *llm.Request) wire.Encoder {
	return &completionEncoder{encoder: encoder{req: req}}
}

// completionEncoder writes the chunks of a text completion.
type completionEncoder struct {
	encoder
	texts []([]bool) // which blocks of an answer are text
}

// Events implements wire.Encoder.
func (e *completionEncoder) Events(dst []byte, events []llm.Event) []byte {
	for i := range events {
		ev := &events[i]
		switch ev.Kind {
		case llm.EventStart:
			if e.head == nil {
				e.start(ev)
			}
		case llm.EventUsage:
			e.usage = ev.Usage
		case llm.EventBlock:
			e.block(ev)
		case llm.EventDelta:
			if t := e.of(ev.Answer); t != nil && ev.Index >= 0 && ev.Index < len(*t) && (*t)[ev.Index] && ev.Text != "" {
				dst = e.choice(dst, ev.Text, ev.Answer, "")
			}
		case llm.EventStop:
			if a := e.state(ev.Answer); a != nil && !a.ended {
				a.ended = true
				dst = e.choice(dst, "", ev.Answer, completionReason(ev.Stop))
			}
		}
	}
	return dst
}

func (e *completionEncoder) start(ev *llm.Event) {
	e.head = appendHead([]byte(`data: {`), e.req, "cmpl-", ev.ID, ev.Model, ev.Created, "text_completion")
	e.head = append(e.head, `,"choices":[`...)
}

// of returns the blocks of an answer, nil for one out of range.
func (e *completionEncoder) of(n int) *[]bool {
	if n < 0 || n >= maxAnswers {
		return nil
	}
	for len(e.texts) <= n {
		e.texts = append(e.texts, nil)
		e.answers = append(e.answers, &writing{})
	}
	return &e.texts[n]
}

func (e *completionEncoder) state(n int) *writing {
	if e.of(n) == nil {
		return nil
	}
	return e.answers[n]
}

func (e *completionEncoder) block(ev *llm.Event) {
	if t := e.of(ev.Answer); t != nil && ev.Block != nil && ev.Index == len(*t) {
		*t = append(*t, ev.Block.Kind == llm.BlockText || ev.Block.Kind == llm.BlockRefusal)
	}
}

func (e *completionEncoder) choice(dst []byte, text string, n int, finish string) []byte {
	if e.head == nil {
		e.start(&llm.Event{})
	}
	return e.tail(append(appendCompletion(append(dst, e.head...), text, n, finish), ']'))
}

// End implements wire.Encoder.
func (e *completionEncoder) End(dst []byte) []byte {
	e.of(0)
	for n, a := range e.answers {
		if !a.ended {
			a.ended = true
			dst = e.choice(dst, "", n, "stop")
		}
	}
	return e.end(dst)
}
