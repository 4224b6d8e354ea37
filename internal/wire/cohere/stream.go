package cohere

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// maxOpen bounds the blocks of an answer that are open at the same time.
const maxOpen = 256

// event is any event of a streamed answer. Its type is in the data, and as a
// rule in the event's name too.
type event struct {
	Type    string         `json:"type"`
	ID      string         `json:"id"`
	Index   int            `json:"index"`
	Message jsontext.Value `json:"message"` // of an error, which has no type
	Delta   struct {
		Error   jsontext.Value `json:"error"`
		Finish  string         `json:"finish_reason"`
		Usage   jsontext.Value `json:"usage"`
		Message delta          `json:"message"`
	} `json:"delta"`
}

// delta is what an event adds. At the start all its members are lists.
type delta struct {
	Content   one[part]     `json:"content"`
	Plan      string        `json:"tool_plan"`
	Calls     one[call]     `json:"tool_calls"`
	Citations one[citation] `json:"citations"`
}

// one is an object; a value of another kind is none.
type one[T any] struct{ v T }

func (o *one[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '{' {
		return json.UnmarshalDecode(dec, &o.v)
	}
	return dec.SkipValue()
}

// open is a block that has begun and not ended.
type open struct {
	at    int // the vendor's index: of a part, or of a call
	index int // ours
	kind  llm.BlockKind
	plan  bool // thinking without an index
	ended bool // a text whose end has come; citations may follow
	empty bool // a call without arguments yet
}

// decoder reads a streamed answer.
type decoder struct {
	call    *wire.Call
	begun   bool
	next    int // index of the next block
	open    []open
	calls   bool // a call has begun
	stopped bool
}

// Event reads one event. See wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if string(f.Data) == "[DONE]" || d.stopped {
		return dst, nil
	}
	var ev event
	if err := json.Unmarshal(f.Data, &ev, lenient); err != nil {
		return dst, wire.BadAnswer(err.Error())
	}
	if ev.Type == "" {
		ev.Type = f.Name
	}
	if ev.Type == "" || ev.Type == "error" {
		return dst, failure(string(ev.Message))
	}
	if !d.begun {
		d.begun = true
		dst = append(dst, llm.Event{Kind: llm.EventStart, ID: ev.ID})
	}
	switch ev.Type {
	case "content-start", "content-delta":
		return d.content(dst, &ev)
	case "content-end":
		if b := d.part(ev.Index); b != nil {
			if b.ended = true; b.kind != llm.BlockText {
				dst = d.end(dst, b)
			}
		}
	case "tool-plan-delta":
		return d.plan(dst, ev.Delta.Message.Plan)
	case "tool-call-start", "tool-call-delta":
		return d.called(dst, &ev)
	case "tool-call-end":
		if b := d.callAt(ev.Index); b != nil {
			dst = d.end(dst, b)
		}
	case "citation-start":
		return d.cite(dst, &ev.Delta.Message.Citations.v), nil
	case "message-end":
		return d.stop(dst, &ev)
	}
	return dst, nil
}

// End tells whether the answer was whole. See wire.Decoder.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) { return dst, d.stopped }

// begin opens a block. Texts that have ended and a plan end before it.
func (d *decoder) begin(dst []llm.Event, b open, blk *llm.Block) ([]llm.Event, *open, *llm.Error) {
	for i := 0; i < len(d.open); {
		if d.open[i].ended || d.open[i].plan {
			dst = d.end(dst, &d.open[i])
		} else {
			i++
		}
	}
	if len(d.open) == maxOpen {
		return dst, nil, wire.BadAnswer("too many open blocks")
	}
	b.index, b.kind = d.next, blk.Kind
	d.next++
	d.open = append(d.open, b)
	return append(dst, llm.Event{Kind: llm.EventBlock, Index: b.index, Block: blk}), &d.open[len(d.open)-1], nil
}

// end ends a block, which is no longer open.
func (d *decoder) end(dst []llm.Event, b *open) []llm.Event {
	dst = append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: b.index})
	for i := range d.open {
		if &d.open[i] == b {
			d.open = append(d.open[:i], d.open[i+1:]...)
			break
		}
	}
	return dst
}

// part returns the open part of the vendor's index, callAt the open call; nil
// if there is none. They are valid until the next begin or end.
func (d *decoder) part(index int) *open {
	for i := range d.open {
		if b := &d.open[i]; b.at == index && b.kind != llm.BlockCall && !b.ended && !b.plan {
			return b
		}
	}
	return nil
}

func (d *decoder) callAt(index int) *open {
	for i := range d.open {
		if b := &d.open[i]; b.at == index && b.kind == llm.BlockCall {
			return b
		}
	}
	return nil
}

// content adds to a part, which begins with its first letter.
func (d *decoder) content(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	p := &ev.Delta.Message.Content.v
	blk, add := llm.Block{Kind: llm.BlockText}, ""
	switch {
	case p.Thinking != nil:
		blk.Kind, add = llm.BlockThinking, *p.Thinking
	case p.Text != nil:
		add = *p.Text
	}
	if add == "" {
		return dst, nil
	}
	b := d.part(ev.Index)
	if b != nil && b.kind != blk.Kind {
		dst = d.end(dst, b)
		b = nil
	}
	if b == nil {
		var err *llm.Error
		if dst, b, err = d.begin(dst, open{at: ev.Index}, &blk); err != nil {
			return dst, err
		}
	}
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: add}), nil
}

// plan adds to the thinking that comes before calls.
func (d *decoder) plan(dst []llm.Event, add string) ([]llm.Event, *llm.Error) {
	if add == "" {
		return dst, nil
	}
	var b *open
	for i := range d.open {
		if d.open[i].plan {
			b = &d.open[i]
		}
	}
	if b == nil {
		var err *llm.Error
		if dst, b, err = d.begin(dst, open{plan: true}, &llm.Block{Kind: llm.BlockThinking}); err != nil {
			return dst, err
		}
	}
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: add}), nil
}

// called begins a call or adds to it. What comes for no call is nobody's.
func (d *decoder) called(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	c := &ev.Delta.Message.Calls.v
	b := d.callAt(ev.Index)
	if ev.Type == "tool-call-start" {
		if b != nil {
			dst = d.end(dst, b)
		}
		blk := callBlock(c)
		d.calls = true
		var err *llm.Error
		if dst, b, err = d.begin(dst, open{at: ev.Index, empty: true}, &blk); err != nil {
			return dst, err
		}
	}
	add := c.Function.Arguments
	if b == nil || add == "" || b.empty && arguments(add) == "" {
		return dst, nil
	}
	b.empty = false
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: add}), nil
}

// cite adds sources to the last text that is open.
func (d *decoder) cite(dst []llm.Event, c *citation) []llm.Event {
	for i := len(d.open) - 1; i >= 0; i-- {
		if d.open[i].kind != llm.BlockText || c.Content != nil && d.open[i].at != *c.Content {
			continue
		}
		for _, cite := range c.cites() {
			dst = append(dst, llm.Event{Kind: llm.EventCite, Index: d.open[i].index, Cite: &cite})
		}
		break
	}
	return dst
}

func (d *decoder) stop(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	for len(d.open) > 0 {
		dst = d.end(dst, &d.open[0])
	}
	if v := ev.Delta.Error; len(v) > 0 && v.Kind() != 'n' {
		return dst, failure(string(v))
	}
	reason, err := stopOf(d.call, ev.Delta.Finish, d.calls)
	if err != nil {
		return dst, err
	}
	d.stopped = true
	dst = append(dst, llm.Event{Kind: llm.EventStop, Stop: reason})
	if u, ok := ParseUsage(ev.Delta.Usage); ok {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: &u})
	}
	return dst, nil
}
