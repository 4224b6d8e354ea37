package responses

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// encoder writes a streamed answer. It holds the whole answer, since the end
// of the stream repeats it.
type encoder struct {
	answer
	seq    int64
	blocks []*outBlock // of the first answer, by index; nil where nothing is told of one
	begun  bool
	over   bool
}

// Encoder begins a streamed answer. See wire.Client.
func (Codec) Encoder(req *llm.Request) wire.Encoder { return &encoder{answer: answer{req: req}} }

// Events appends what the events are. See wire.Encoder.
func (e *encoder) Events(dst []byte, events []llm.Event) []byte {
	for i := range events {
		if ev := &events[i]; ev.Answer == 0 && !e.over {
			dst = e.event(dst, ev)
		}
	}
	return dst
}

func (e *encoder) event(dst []byte, ev *llm.Event) []byte {
	if ev.Kind == llm.EventUsage {
		if ev.Usage != nil {
			e.usage = ev.Usage
		}
		return dst
	}
	dst = e.begin(dst, ev)
	switch ev.Kind {
	case llm.EventBlock:
		return e.open(dst, ev)
	case llm.EventStop:
		if !e.stopped {
			e.stop, e.stopped = ev.Stop, true
			dst = e.closeItems(dst, len(e.items))
		}
		return dst
	}
	if ev.Index < 0 || ev.Index >= len(e.blocks) || e.blocks[ev.Index] == nil || e.blocks[ev.Index].ended {
		return dst
	}
	o := e.blocks[ev.Index]
	switch ev.Kind {
	case llm.EventDelta:
		return e.delta(dst, o, ev.Text)
	case llm.EventLogProbs:
		o.likely(ev.LogProbs)
	case llm.EventCite:
		if o.note(ev.Cite) {
			dst = e.head(dst, "response.output_text.annotation.added")
			dst = e.where(dst, o, true)
			dst = appendInt(append(dst, `,"annotation_index":`...), int64(len(o.notes)-1))
			dst = append(append(dst, `,"annotation":`...), o.notes[len(o.notes)-1]...)
			dst = tail(dst)
		}
	case llm.EventSeal:
		if ev.Block != nil && o.kind == llm.BlockThinking {
			o.block.Seal = ev.Block.Seal
			if ev.Block.ID != "" {
				o.block.ID = ev.Block.ID
			}
		}
	case llm.EventBlockEnd:
		return e.end(dst, o)
	}
	return dst
}

// begin writes the two events that every stream begins with, once.
func (e *encoder) begin(dst []byte, ev *llm.Event) []byte {
	if e.begun {
		return dst
	}
	e.begun = true
	if ev != nil && ev.Kind == llm.EventStart {
		e.start(ev.ID, ev.Model, ev.Created)
	} else {
		e.start("", "", 0)
	}
	for _, name := range [...]string{"response.created", "response.in_progress"} {
		dst = append(e.head(dst, name), `,"response":`...)
		dst = tail(e.appendResponse(dst, "in_progress", false, nil))
	}
	return dst
}

// head begins an event.
func (e *encoder) head(dst []byte, name string) []byte {
	dst = append(append(dst, "event: "...), name...)
	dst = append(append(append(dst, "\ndata: {\"type\":\""...), name...), `","sequence_number":`...)
	e.seq++
	return appendInt(dst, e.seq-1)
}

func tail(dst []byte) []byte { return append(dst, "}\n\n"...) }

// where says which item, and with part which part of it, an event is about.
func (e *encoder) where(dst []byte, o *outBlock, part bool) []byte {
	dst = wire.AppendString(append(dst, `,"item_id":`...), o.item.id)
	dst = appendInt(append(dst, `,"output_index":`...), int64(o.index))
	if part {
		dst = appendInt(append(dst, `,"content_index":`...), int64(o.part))
	}
	return dst
}

// open begins a block: its item, and the part where it is one of a message.
func (e *encoder) open(dst []byte, ev *llm.Event) []byte {
	if ev.Block == nil || ev.Index != len(e.blocks) || e.stopped {
		return dst
	}
	if ev.Block.Kind != llm.BlockText && ev.Block.Kind != llm.BlockRefusal {
		dst = e.closeItems(dst, len(e.items)) // a message waits for more text only
	} else if n := len(e.items); n > 0 && e.items[n-1].kind != llm.BlockText {
		dst = e.closeItems(dst, n)
	}
	known := len(e.items)
	o := e.take(ev.Block)
	e.blocks = append(e.blocks, o)
	if o == nil {
		return dst
	}
	if len(e.items) > known {
		dst = appendInt(append(e.head(dst, "response.output_item.added"), `,"output_index":`...), int64(o.index))
		dst = append(dst, `,"item":`...)
		dst = tail(o.item.append(dst))
	}
	if o.item.kind == llm.BlockText {
		dst = e.where(e.head(dst, "response.content_part.added"), o, true)
		dst = append(dst, `,"part":`...)
		dst = tail(o.appendPart(dst))
		o.begun = true
	}
	if ev.Block.Text != "" {
		dst = e.delta(dst, o, ev.Block.Text)
	}
	return dst
}

func (e *encoder) delta(dst []byte, o *outBlock, s string) []byte {
	if s == "" {
		return dst
	}
	switch o.kind {
	case llm.BlockText:
		dst = e.where(e.head(dst, "response.output_text.delta"), o, true)
		dst = append(wire.AppendString(append(dst, `,"delta":`...), s), `,"logprobs":[`...)
		dst = append(append(dst, bytes.TrimPrefix(o.probs[o.fresh:], []byte{','})...), ']')
		o.fresh = len(o.probs)
	case llm.BlockRefusal:
		dst = e.where(e.head(dst, "response.refusal.delta"), o, true)
		dst = wire.AppendString(append(dst, `,"delta":`...), s)
	case llm.BlockThinking:
		if !o.begun {
			o.begun = true
			dst = e.where(e.head(dst, "response.reasoning_summary_part.added"), o, false)
			dst = tail(append(dst, `,"summary_index":0,"part":{"type":"summary_text","text":""}`...))
		}
		dst = e.where(e.head(dst, "response.reasoning_summary_text.delta"), o, false)
		dst = wire.AppendString(append(dst, `,"summary_index":0,"delta":`...), s)
	case llm.BlockCall:
		if o.found() {
			o.text = append(o.text, s...)
			return dst
		}
		name := "response.function_call_arguments.delta"
		if o.block.Custom {
			name = "response.custom_tool_call_input.delta"
		}
		dst = e.where(e.head(dst, name), o, false)
		dst = wire.AppendString(append(dst, `,"delta":`...), s)
	default:
		return dst
	}
	o.text = append(o.text, s...)
	return tail(dst)
}

// end ends a block. Its item ends with the next one or with the answer, when
// it is known to be whole.
func (e *encoder) end(dst []byte, o *outBlock) []byte {
	o.ended = true
	text := string(o.text)
	switch o.kind {
	case llm.BlockText:
		dst = e.where(e.head(dst, "response.output_text.done"), o, true)
		dst = append(wire.AppendString(append(dst, `,"text":`...), text), `,"logprobs":[`...)
		dst = tail(append(append(dst, o.probs...), ']'))
	case llm.BlockRefusal:
		dst = e.where(e.head(dst, "response.refusal.done"), o, true)
		dst = tail(wire.AppendString(append(dst, `,"refusal":`...), text))
	case llm.BlockThinking:
		if o.begun {
			dst = e.where(e.head(dst, "response.reasoning_summary_text.done"), o, false)
			dst = tail(wire.AppendString(append(dst, `,"summary_index":0,"text":`...), text))
			dst = e.where(e.head(dst, "response.reasoning_summary_part.done"), o, false)
			dst = tail(append(o.appendSummary(append(dst, `,"summary_index":0,"part":`...)), '}'))
		}
	case llm.BlockCall:
		return e.endCall(dst, o)
	}
	if o.item.kind == llm.BlockText {
		dst = e.where(e.head(dst, "response.content_part.done"), o, true)
		dst = tail(o.appendPart(append(dst, `,"part":`...)))
	}
	return dst
}

func (e *encoder) endCall(dst []byte, o *outBlock) []byte {
	if o.found() {
		return dst
	}
	if o.block.Custom {
		dst = e.where(e.head(dst, "response.custom_tool_call_input.done"), o, false)
		return tail(wire.AppendString(append(dst, `,"input":`...), string(o.text)))
	}
	if len(o.text) == 0 {
		dst = e.delta(dst, o, "{}")
	}
	dst = e.where(e.head(dst, "response.function_call_arguments.done"), o, false)
	dst = wire.AppendString(append(dst, `,"name":`...), o.name())
	return tail(wire.AppendString(append(dst, `,"arguments":`...), string(o.text)))
}

// closeItems ends the first n items as far as their blocks have ended; after
// the stop it ends them all.
func (e *encoder) closeItems(dst []byte, n int) []byte {
	for i, it := range e.items[:n] {
		if it.closed {
			continue
		}
		whole := true
		for _, o := range it.blocks {
			if !o.ended && e.stopped {
				dst = e.end(dst, o)
			}
			whole = whole && o.ended
		}
		if !whole {
			continue
		}
		it.closed, it.status = true, "completed"
		if e.stopped && i == len(e.items)-1 {
			it.status = "in_progress"
			e.settle()
		}
		dst = appendInt(append(e.head(dst, "response.output_item.done"), `,"output_index":`...), int64(i))
		dst = tail(it.append(append(dst, `,"item":`...)))
	}
	return dst
}

// End appends the whole response. See wire.Encoder.
func (e *encoder) End(dst []byte) []byte {
	if e.over {
		return dst
	}
	dst = e.begin(dst, nil)
	if !e.stopped {
		e.stop, e.stopped = llm.StopEnd, true
		dst = e.closeItems(dst, len(e.items))
	}
	e.over = true
	status := e.status()
	dst = append(e.head(dst, "response."+status), `,"response":`...)
	return tail(e.appendResponse(dst, status, true, nil))
}

// Fail appends the event that ends an answer which cannot be whole. See
// wire.Encoder.
func (e *encoder) Fail(dst []byte, err *llm.Error) []byte {
	if e.over {
		return dst
	}
	e.over = true
	if !e.begun {
		return tail(appendErrorEvent(e.head(dst, "error"), err))
	}
	for _, it := range e.items {
		if !it.closed {
			it.status = "incomplete"
		}
	}
	dst = append(e.head(dst, "response.failed"), `,"response":`...)
	return tail(appendThrown(e.appendResponse(dst, "failed", true, err), err))
}
