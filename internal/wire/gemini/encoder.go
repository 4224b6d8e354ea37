package gemini

import (
	"bytes"
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// encoder writes a streamed answer: each piece of text is a chunk, a call is
// one when it is whole, reasons and usage are in the last chunk alone.
type encoder struct {
	req     *llm.Request
	tail    []byte // what each chunk ends with
	answers []*spoken
	usage   *llm.Usage
}

// spoken is what was said of one answer.
type spoken struct {
	blocks  []block
	waiting string // the signature of the next part
	stop    llm.Stop
	text    []byte // all of it, for offsets
	sources cites
	probs   []llm.LogProb // that no chunk has told
}

// block is a block of the answer.
type block struct {
	llm.Block
	held []byte // a call's arguments, a hosted step, the last piece of thinking
	base int    // where its text begins
	done bool
}

// Encoder begins a streamed answer. See wire.Client.
func (Codec) Encoder(req *llm.Request) wire.Encoder {
	e := &encoder{req: req}
	e.start("", "")
	return e
}

func (e *encoder) start(model, id string) {
	e.tail = append(appendTail(e.tail[:0], e.req, model, id), "\n\n"...)
}

// Events appends the chunks that events are. See wire.Encoder.
func (e *encoder) Events(dst []byte, events []llm.Event) []byte {
	for i := range events {
		dst = e.event(dst, &events[i])
	}
	return dst
}

func (e *encoder) event(dst []byte, ev *llm.Event) []byte {
	switch ev.Kind {
	case llm.EventStart:
		e.start(ev.Model, ev.ID)
		return dst
	case llm.EventUsage:
		e.usage = ev.Usage
		return dst
	}
	a := e.answer(ev.Answer)
	if a == nil {
		return dst
	}
	switch ev.Kind {
	case llm.EventStop:
		a.stop = ev.Stop
		return dst
	case llm.EventBlock:
		if ev.Block != nil && ev.Index == len(a.blocks) {
			a.blocks = append(a.blocks, block{Block: *ev.Block, base: len(a.text)})
		}
		return dst
	}
	if ev.Index < 0 || ev.Index >= len(a.blocks) || a.blocks[ev.Index].done {
		return dst
	}
	b := &a.blocks[ev.Index]
	switch ev.Kind {
	case llm.EventDelta:
		return e.delta(dst, ev.Answer, a, b, ev.Text)
	case llm.EventLogProbs:
		a.probs = waiting(a.probs, ev.LogProbs)
	case llm.EventSeal:
		if ev.Block != nil {
			return e.seal(dst, ev.Answer, a, b, ev.Block)
		}
	case llm.EventCite:
		if ev.Cite != nil && len(a.sources) < maxCites {
			said := string(a.text[b.base:])
			a.sources = append(a.sources, cite{*ev.Cite, 0, b.base + bytesAt(said, ev.Cite.Start), b.base + bytesAt(said, ev.Cite.End)})
		}
	case llm.EventBlockEnd:
		return e.ended(dst, ev.Answer, a, b)
	}
	return dst
}

func (e *encoder) answer(n int) *spoken {
	if n < 0 || n >= maxAnswers {
		return nil
	}
	for len(e.answers) <= n {
		e.answers = append(e.answers, &spoken{})
	}
	return e.answers[n]
}

const opening = `data: {"candidates":[{"content":{"parts":[`

// close ends a chunk of answer n after its part.
func (e *encoder) close(dst []byte, n int) []byte {
	dst = append(dst, `],"role":"model"},"index":`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	a := e.answers[n]
	dst = appendLikelihood(dst, a.probs)
	a.probs = nil
	return append(append(dst, `}]`...), e.tail...)
}

func (e *encoder) say(dst []byte, n int, text string, thought bool, sig string) []byte {
	return e.close(appendText(append(dst, opening...), text, thought, sig), n)
}

func (e *encoder) delta(dst []byte, n int, a *spoken, b *block, text string) []byte {
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		if text == "" {
			return dst
		}
		if len(a.text)+len(text) <= maxHeld {
			a.text = append(a.text, text...)
		}
		dst = e.say(dst, n, text, false, a.waiting)
		a.waiting = ""
	case llm.BlockThinking: // the last piece waits for the seal, which goes with it
		if len(b.held) > 0 {
			dst = e.say(dst, n, string(b.held), true, "")
		}
		b.held = append(b.held[:0], text...)
	default:
		if len(b.held)+len(text) <= maxHeld {
			b.held = append(b.held, text...)
		}
	}
	return dst
}

func (e *encoder) seal(dst []byte, n int, a *spoken, b *block, seal *llm.Block) []byte {
	sig := signature(seal)
	if b.Kind != llm.BlockThinking || sig == "" {
		return dst
	}
	if len(b.held) > 0 {
		dst = e.say(dst, n, string(b.held), true, sig)
		b.held = nil
		return dst
	}
	if a.waiting != "" {
		dst = e.say(dst, n, "", false, a.waiting)
	}
	a.waiting = sig
	return dst
}

func (e *encoder) ended(dst []byte, n int, a *spoken, b *block) []byte {
	b.done = true
	held := string(b.held)
	b.held = nil
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		return dst
	case llm.BlockThinking:
		if held != "" {
			dst = e.say(dst, n, held, true, "")
		}
		return dst
	}
	if b.Text = held; !shown(&b.Block) {
		return dst
	}
	dst = e.close(appendBlock(append(dst, opening...), &b.Block, a.waiting), n)
	a.waiting, b.Text, b.Media = "", "", nil
	return dst
}

// End appends what is held back and the last chunk. See wire.Encoder.
func (e *encoder) End(dst []byte) []byte {
	for n, a := range e.answers {
		for i := range a.blocks {
			if !a.blocks[i].done {
				dst = e.ended(dst, n, a, &a.blocks[i])
			}
		}
	}
	e.answer(0)
	dst = append(dst, `data: {"candidates":[`...)
	for n, a := range e.answers {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, `{"content":{"parts":[`...), "", false, a.waiting)
		dst = append(append(dst, `],"role":"model"},"finishReason":"`...), finishReason(a.stop)...)
		dst = append(dst, `","index":`...)
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(appendLikelihood(a.sources.append(dst), a.probs), '}')
	}
	dst = append(dst, ']')
	if e.usage != nil {
		dst = appendUsage(append(dst, `,"usageMetadata":`...), e.usage)
	}
	return append(dst, e.tail...)
}

// Fail appends the chunk that ends a broken answer. It ends as Google's own
// events do, which may have gone before: Go's genai takes everything before
// the first "\n\n" for one event. See wire.Encoder.
func (e *encoder) Fail(dst []byte, err *llm.Error) []byte {
	return append(Codec{}.AppendError(append(dst, "data: "...), "", err), "\r\n\r\n"...)
}

// ArrayEncoder returns an encoder that frames what e writes as a JSON array,
// for clients that ask for a stream without alt=sse.
func ArrayEncoder(e wire.Encoder) wire.Encoder { return &arrayEncoder{inner: e} }

type arrayEncoder struct {
	inner wire.Encoder
	begun bool
	buf   []byte
}

func (a *arrayEncoder) Events(dst []byte, events []llm.Event) []byte {
	a.buf = a.inner.Events(a.buf[:0], events)
	return a.frame(dst)
}

func (a *arrayEncoder) End(dst []byte) []byte {
	a.buf = a.inner.End(a.buf[:0])
	dst = a.frame(dst)
	return ArrayEnd(dst, !a.begun)
}

func (a *arrayEncoder) Fail(dst []byte, err *llm.Error) []byte {
	a.buf = a.inner.Fail(a.buf[:0], err)
	dst = a.frame(dst)
	return ArrayEnd(dst, !a.begun)
}

func (a *arrayEncoder) frame(dst []byte) []byte {
	n := len(dst)
	dst = Array(dst, a.buf, !a.begun)
	a.begun = a.begun || len(dst) > n
	return dst
}

// Array appends server-sent events of this protocol, whole, as elements of
// the JSON array that clients get who ask for a stream without alt=sse. first
// says that the array has not begun; it has when something was appended.
// ArrayEnd closes it.
func Array(dst, events []byte, first bool) []byte {
	for len(events) > 0 {
		var ev []byte
		ev, events = sse.Split(events)
		data, ok := sse.Data(ev)
		if data = bytes.TrimSpace(data); !ok || len(data) == 0 {
			continue
		}
		if first {
			dst = append(dst, '[')
		} else {
			dst = append(dst, ",\r\n"...)
		}
		first = false
		dst = append(append(dst, data...), '\n')
	}
	return dst
}

// ArrayEnd appends what closes the array, of a whole answer and, after the
// error as its last element, of a broken one. first says that the array has
// not begun.
func ArrayEnd(dst []byte, first bool) []byte {
	if first {
		dst = append(dst, '[')
	}
	return append(dst, "]\n"...)
}
