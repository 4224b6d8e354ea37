package openai

import (
	"strconv"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// maxThought bounds what is held of a block of thinking, in bytes, until its
// seal comes. The seal of a longer one is left out: it proves the whole.
const maxThought = 1 << 20

// Encoder implements wire.Client.
func (Codec) Encoder(req *llm.Request) wire.Encoder { return &encoder{req: req} }

// encoder writes chunks.
type encoder struct {
	req     *llm.Request
	head    []byte // of every chunk, up to its choices
	answers []*writing
	usage   *llm.Usage
}

// writing is one answer so far.
type writing struct {
	blocks  []writtenBlock
	calls   int
	proofs  int              // how many details were written or wait
	details []byte           // that wait: SDKs keep the last list only, so seals in a row go in one
	chars   int              // characters of text
	probs   [2][]llm.LogProb // that wait for their text, of the text and of the refusal
	google  string           // Gemini's seal of the block that comes next
	begun   bool
	ended   bool
}

// writtenBlock is a block that has begun.
type writtenBlock struct {
	kind   llm.BlockKind
	custom bool
	some   bool // a delta has come
	over   bool
	call   int // its index among the calls
	shift  int // characters of text before it
	block  llm.Block
	text   []byte // thinking
}

// Events implements wire.Encoder.
func (e *encoder) Events(dst []byte, events []llm.Event) []byte {
	for i := range events {
		dst = e.event(dst, &events[i])
	}
	return dst
}

func (e *encoder) event(dst []byte, ev *llm.Event) []byte {
	switch ev.Kind {
	case llm.EventStart:
		if e.head == nil {
			e.begin(ev)
			dst = e.role(dst, 0)
		}
		return dst
	case llm.EventUsage:
		e.usage = ev.Usage
		return dst
	}
	if ev.Answer < 0 || ev.Answer >= maxAnswers {
		return dst
	}
	dst = e.role(dst, ev.Answer)
	a := e.answers[ev.Answer]
	if a.ended {
		return dst
	}
	switch ev.Kind {
	case llm.EventBlock:
		if ev.Index == len(a.blocks) && ev.Block != nil {
			dst = e.block(dst, a, ev)
		}
		return dst
	case llm.EventStop:
		return e.stop(dst, ev.Answer, ev.Stop)
	}
	if ev.Index < 0 || ev.Index >= len(a.blocks) || a.blocks[ev.Index].over {
		return dst
	}
	b := &a.blocks[ev.Index]
	switch ev.Kind {
	case llm.EventDelta:
		return e.delta(dst, a, b, ev)
	case llm.EventLogProbs:
		if b.kind <= llm.BlockRefusal {
			a.probs[b.kind] = waiting(a.probs[b.kind], ev.LogProbs)
		}
	case llm.EventCite:
		if ev.Cite != nil && ev.Cite.URL != "" {
			dst = append(e.open(dst, ev.Answer), `"annotations":[`...)
			dst = e.close(append(appendCite(dst, ev.Cite, b.shift), ']'))
		}
	case llm.EventSeal:
		if ev.Block != nil {
			b.block.Seal = ev.Block.Seal
			if ev.Block.ID != "" {
				b.block.ID = ev.Block.ID
			}
		}
	case llm.EventBlockEnd:
		b.over = true
		return e.blockEnd(dst, a, b, ev.Answer)
	}
	return dst
}

func (e *encoder) begin(ev *llm.Event) {
	e.head = appendHead([]byte(`data: {`), e.req, "chatcmpl-", ev.ID, ev.Model, ev.Created, "chat.completion.chunk")
	e.head = append(e.head, `,"choices":[`...)
}

// role begins an answer, if it has not, with the chunk that names its role.
func (e *encoder) role(dst []byte, n int) []byte {
	if e.head == nil {
		e.begin(&llm.Event{})
	}
	for len(e.answers) <= n {
		e.answers = append(e.answers, &writing{})
	}
	if e.answers[n].begun {
		return dst
	}
	e.answers[n].begun = true
	return e.close(append(e.open(dst, n), `"role":"assistant","content":"","refusal":null`...))
}

// open begins a chunk of an answer, up to the members of its delta.
func (e *encoder) open(dst []byte, n int) []byte {
	dst = append(append(dst, e.head...), `{"index":`...)
	return append(strconv.AppendInt(dst, int64(n), 10), `,"delta":{`...)
}

// close ends a chunk after the members of its delta.
func (e *encoder) close(dst []byte) []byte {
	return e.tail(append(dst, `},"logprobs":null,"finish_reason":null}]`...))
}

func (e *encoder) tail(dst []byte) []byte {
	if e.req.WantUsage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}

func (e *encoder) block(dst []byte, a *writing, ev *llm.Event) []byte {
	b := writtenBlock{kind: ev.Block.Kind, custom: ev.Block.Custom, shift: a.chars}
	if b.kind != llm.BlockThinking || len(a.details) > maxThought {
		dst = e.flush(dst, a, ev.Answer)
	}
	switch b.kind {
	case llm.BlockThinking:
		b.block = *ev.Block
		b.block.Text = ""
	case llm.BlockCall:
		b.call = a.calls
		a.calls++
		dst = append(e.open(dst, ev.Answer), `"tool_calls":[{"index":`...)
		dst = appendCallHead(strconv.AppendInt(dst, int64(b.call), 10), ev.Block)
		if b.custom {
			dst = append(dst, `,"input":""}`...)
		} else {
			dst = append(dst, `,"arguments":""}`...)
		}
		if a.google != "" {
			dst = appendGoogle(dst, a.google)
		}
		dst = e.close(append(dst, '}', ']'))
	case llm.BlockImage:
		if m := ev.Block.Media; m != nil {
			dst = append(e.open(dst, ev.Answer), `"images":[{"type":"image_url","image_url":{"url":`...)
			dst = e.close(append(appendText(dst, dataURL(m, "image/png")), `}}]`...))
		}
	}
	a.google = ""
	a.blocks = append(a.blocks, b)
	return dst
}

func (e *encoder) delta(dst []byte, a *writing, b *writtenBlock, ev *llm.Event) []byte {
	if ev.Text == "" || b.kind > llm.BlockThinking && b.kind != llm.BlockCall {
		return dst
	}
	if b.kind == llm.BlockThinking {
		dst = e.flush(dst, a, ev.Answer)
	}
	dst = e.open(dst, ev.Answer)
	switch b.kind {
	case llm.BlockThinking:
		if len(b.text) <= maxThought {
			b.text = append(b.text, ev.Text...)
		}
		dst = appendText(append(dst, `"reasoning_content":`...), ev.Text)
	case llm.BlockRefusal:
		dst = appendText(append(dst, `"refusal":`...), ev.Text)
	case llm.BlockCall:
		b.some = true
		dst = append(dst, `"tool_calls":[{"index":`...)
		dst = strconv.AppendInt(dst, int64(b.call), 10)
		if b.custom {
			dst = append(dst, `,"custom":{"input":`...)
		} else {
			dst = append(dst, `,"function":{"arguments":`...)
		}
		dst = append(appendText(dst, ev.Text), `}}]`...)
	default:
		a.chars += utf8.RuneCountInString(ev.Text)
		dst = appendText(append(dst, `"content":`...), ev.Text)
	}
	if len(a.probs[0])+len(a.probs[1]) > 0 {
		return e.likely(dst, a)
	}
	return e.close(dst)
}

// likely ends a chunk after the members of its delta with the log
// probabilities that wait.
func (e *encoder) likely(dst []byte, a *writing) []byte {
	dst = appendChoiceProbs(append(dst, '}'), a.probs[0], a.probs[1])
	a.probs = [2][]llm.LogProb{}
	return e.tail(append(dst, `,"finish_reason":null}]`...))
}

// blockEnd writes what is known of a block at its end only.
func (e *encoder) blockEnd(dst []byte, a *writing, b *writtenBlock, n int) []byte {
	switch {
	case b.kind <= llm.BlockRefusal && len(a.probs[b.kind]) > 0:
		dst = e.likely(e.open(dst, n), a)
	case b.kind == llm.BlockCall && !b.some && !b.custom:
		dst = append(e.open(dst, n), `"tool_calls":[{"index":`...)
		dst = strconv.AppendInt(dst, int64(b.call), 10)
		dst = e.close(append(dst, `,"function":{"arguments":"{}"}}]`...))
	case b.kind == llm.BlockThinking && b.block.Seal.Maker != 0 && len(b.text) <= maxThought:
		b.block.Text = string(b.text)
		a.details = appendDetail(listed(a.details), &b.block, a.proofs)
		a.proofs++
		if gemini(&b.block) {
			a.google = b.block.Seal.Data
		}
	}
	b.text, b.block = nil, llm.Block{}
	return dst
}

// flush writes the details that wait.
func (e *encoder) flush(dst []byte, a *writing, n int) []byte {
	if len(a.details) == 0 {
		return dst
	}
	dst = append(e.open(dst, n), `"reasoning_details":[`...)
	dst = e.close(append(append(dst, a.details...), ']'))
	a.details = a.details[:0]
	return dst
}

// stop ends an answer: once, after its last block.
func (e *encoder) stop(dst []byte, n int, s llm.Stop) []byte {
	a := e.answers[n]
	for i := range a.blocks {
		if b := &a.blocks[i]; !b.over {
			b.over = true
			dst = e.blockEnd(dst, a, b, n)
		}
	}
	dst = e.flush(dst, a, n)
	a.ended = true
	dst = append(append(dst, e.head...), `{"index":`...)
	dst = append(strconv.AppendInt(dst, int64(n), 10), `,"delta":{},"logprobs":null,"finish_reason":"`...)
	dst = append(append(dst, finishReason(s, a.calls)...), '"', '}', ']')
	return e.tail(dst)
}

// End implements wire.Encoder.
func (e *encoder) End(dst []byte) []byte {
	dst = e.role(dst, 0)
	for n, a := range e.answers {
		if a.begun && !a.ended {
			dst = e.stop(dst, n, llm.StopEnd)
		}
	}
	return e.end(dst)
}

// end appends the usage, if it was asked for, and the end.
func (e *encoder) end(dst []byte) []byte {
	if e.req.WantUsage && e.usage != nil {
		dst = append(append(dst, e.head...), ']')
		dst = append(appendCount(dst, e.usage), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// Fail implements wire.Encoder.
func (e *encoder) Fail(dst []byte, err *llm.Error) []byte { return AppendFailure(dst, err) }
