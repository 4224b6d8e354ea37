package bedrock

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// The events of ConverseStream.
const (
	eventStart      = "messageStart"
	eventBlockStart = "contentBlockStart"
	eventDelta      = "contentBlockDelta"
	eventBlockStop  = "contentBlockStop"
	eventStop       = "messageStop"
	eventMetadata   = "metadata"
)

// Bounds of one answer: blocks that are open at the same time, and bytes of
// seals that are held back.
const (
	maxOpen = 256
	maxHeld = 8 << 20
)

// event is any event of ConverseStream. The member "p" is padding.
type event struct {
	Index int `json:"contentBlockIndex"`
	Start struct {
		Call   *callStart     `json:"toolUse"`
		Result jsontext.Value `json:"toolResult"` // of a tool of Bedrock's own
		Image  jsontext.Value `json:"image"`
	} `json:"start"`
	Delta struct {
		Text string `json:"text"`
		Call *struct {
			Input string `json:"input"`
		} `json:"toolUse"`
		Reasoning *struct {
			Text      string `json:"text"`
			Signature string `json:"signature"`
			Redacted  string `json:"redactedContent"`
		} `json:"reasoningContent"`
		Citation *citation `json:"citation"`
	} `json:"delta"`
	Stop  string         `json:"stopReason"`
	Extra extra          `json:"additionalModelResponseFields"`
	Usage jsontext.Value `json:"usage"`
}

// open is a block that has begun and not ended.
type open struct {
	at       int // the vendor's index
	index    int // ours
	kind     llm.BlockKind
	hidden   bool   // a step of a tool of Bedrock's own: nothing is told of it
	ended    bool   // the vendor's end has come; sources may follow in a block of their own
	redacted bool   // of the seal
	held     []byte // the seal so far
}

// decoder reads ConverseStream. Text blocks need no start, and sources may
// come in a block that has nothing else: they are the last text's.
type decoder struct {
	call    *wire.Call
	begun   bool
	next    int // index of the next block
	open    []open
	calls   bool // a call has begun
	held    int  // bytes in held of the open blocks
	stopped bool
}

// Event reads one message of the stream. See wire.Decoder.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if name, ok := strings.CutPrefix(f.Name, prefixException); ok {
		return dst, failure(name, f.Data)
	}
	if name, ok := strings.CutPrefix(f.Name, prefixError); ok {
		return dst, failure(name, f.Data)
	}
	switch f.Name {
	case eventStart, eventBlockStart, eventDelta, eventBlockStop, eventStop, eventMetadata:
	default:
		return dst, nil // an event that the API did not have yet
	}
	var ev event
	if err := json.Unmarshal(f.Data, &ev, lenient); err != nil {
		return dst, wire.BadAnswer(f.Name + ": " + err.Error())
	}
	if !d.begun {
		d.begun = true
		dst = append(dst, llm.Event{Kind: llm.EventStart})
	}
	if d.stopped && f.Name != eventMetadata {
		return dst, nil
	}
	switch f.Name {
	case eventBlockStart:
		return d.start(dst, &ev)
	case eventDelta:
		return d.delta(dst, &ev)
	case eventBlockStop:
		if b := d.at(ev.Index); b != nil {
			if b.ended = true; b.kind != llm.BlockText {
				dst = d.end(dst, b)
			}
		}
	case eventStop:
		return d.stop(dst, &ev)
	case eventMetadata:
		if u, ok := ParseUsage(ev.Usage); ok {
			dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: &u})
		}
	}
	return dst, nil
}

// End tells whether the answer was whole. See wire.Decoder.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) { return dst, d.stopped }

// start begins a block that says of what kind it is: all but texts do.
func (d *decoder) start(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	if b := d.at(ev.Index); b != nil {
		dst = d.end(dst, b)
	}
	dst = d.settle(dst)
	s := &ev.Start
	switch {
	case s.Call != nil && !s.Call.hosted():
		blk := callBlock(s.Call)
		d.calls = true
		return d.begin(dst, open{at: ev.Index, kind: blk.Kind}, &blk)
	case s.Image != nil:
		d.call.Lose("image")
	case s.Call == nil && s.Result == nil:
		return dst, nil
	}
	return d.begin(dst, open{at: ev.Index, kind: llm.BlockHosted, hidden: true}, nil)
}

// begin opens a block; blk is nil for one that is hidden.
func (d *decoder) begin(dst []llm.Event, b open, blk *llm.Block) ([]llm.Event, *llm.Error) {
	if len(d.open) == maxOpen {
		return dst, wire.BadAnswer("too many open blocks")
	}
	if blk != nil {
		b.index = d.next
		d.next++
		dst = append(dst, llm.Event{Kind: llm.EventBlock, Index: b.index, Block: blk})
	}
	d.open = append(d.open, b)
	return dst, nil
}

// at returns the open block of the vendor's index, nil if there is none. It is
// valid until the next begin or end.
func (d *decoder) at(index int) *open {
	for i := range d.open {
		if d.open[i].at == index && !d.open[i].ended {
			return &d.open[i]
		}
	}
	return nil
}

// want returns the open block of an index and a kind; one of another kind
// ends, and a missing one begins.
func (d *decoder) want(dst []llm.Event, index int, blk *llm.Block) ([]llm.Event, *open, *llm.Error) {
	b := d.at(index)
	if b != nil && b.kind == blk.Kind && b.redacted == blk.Seal.Redacted {
		return dst, b, nil
	}
	if b != nil {
		dst = d.end(dst, b)
	}
	dst, err := d.begin(d.settle(dst), open{at: index, kind: blk.Kind, redacted: blk.Seal.Redacted}, blk)
	if err != nil {
		return dst, nil, err
	}
	return dst, &d.open[len(d.open)-1], nil
}

func (d *decoder) delta(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	if b := d.at(ev.Index); b != nil && b.hidden {
		return dst, nil
	}
	x := &ev.Delta
	switch {
	case x.Call != nil:
		return d.arguments(dst, ev.Index, x.Call.Input), nil
	case x.Reasoning != nil:
		return d.reasoning(dst, ev)
	case x.Citation != nil:
		return d.cite(dst, ev.Index, x.Citation)
	case x.Text != "": // an empty one is no block (recorded with gpt-oss)
		dst, b, err := d.want(dst, ev.Index, &llm.Block{Kind: llm.BlockText})
		if err != nil {
			return dst, err
		}
		return append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: x.Text}), nil
	}
	return dst, nil
}

// arguments adds to a call. Pieces without a call are nobody's.
func (d *decoder) arguments(dst []llm.Event, index int, text string) []llm.Event {
	b := d.at(index)
	if b == nil || b.kind != llm.BlockCall || text == "" {
		return dst
	}
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: text})
}

func (d *decoder) reasoning(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	r := ev.Delta.Reasoning
	seal := r.Signature
	if r.Redacted != "" {
		data, err := base64.StdEncoding.DecodeString(r.Redacted)
		if err != nil {
			return dst, wire.BadAnswer("redactedContent: " + err.Error())
		}
		seal = string(data)
	}
	if r.Text == "" && seal == "" {
		return dst, nil
	}
	dst, b, err := d.want(dst, ev.Index, &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Redacted: r.Redacted != ""}})
	if err != nil {
		return dst, err
	}
	if r.Text != "" {
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: r.Text})
	}
	return dst, d.hold(b, seal)
}

// hold keeps a piece of a seal until its block ends.
func (d *decoder) hold(b *open, piece string) *llm.Error {
	if d.held += len(piece); d.held > maxHeld {
		return wire.BadAnswer("a seal larger than 8 MiB")
	}
	b.held = append(b.held, piece...)
	return nil
}

// cite adds a source to the text that is open, or was before this block.
func (d *decoder) cite(dst []llm.Event, index int, c *citation) ([]llm.Event, *llm.Error) {
	cite := c.cite()
	b := d.at(index)
	if b == nil {
		for i := range d.open {
			if d.open[i].ended {
				b = &d.open[i]
			}
		}
	}
	if b == nil || b.kind != llm.BlockText {
		var err *llm.Error
		if dst, b, err = d.want(dst, index, &llm.Block{Kind: llm.BlockText}); err != nil {
			return dst, err
		}
	}
	return append(dst, llm.Event{Kind: llm.EventCite, Index: b.index, Cite: &cite}), nil
}

// settle ends the texts whose end has come.
func (d *decoder) settle(dst []llm.Event) []llm.Event {
	for i := 0; i < len(d.open); {
		if d.open[i].ended {
			dst = d.end(dst, &d.open[i])
		} else {
			i++
		}
	}
	return dst
}

// end ends a block, which is no longer open.
func (d *decoder) end(dst []llm.Event, b *open) []llm.Event {
	if !b.hidden {
		if len(b.held) > 0 {
			dst = append(dst, llm.Event{Kind: llm.EventSeal, Index: b.index,
				Block: &llm.Block{Kind: llm.BlockThinking, Seal: sealOf(string(b.held), b.redacted)}})
		}
		dst = append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: b.index})
	}
	d.held -= len(b.held)
	for i := range d.open {
		if &d.open[i] == b {
			d.open = append(d.open[:i], d.open[i+1:]...)
			break
		}
	}
	return dst
}

func (d *decoder) stop(dst []llm.Event, ev *event) ([]llm.Event, *llm.Error) {
	for len(d.open) > 0 {
		dst = d.end(dst, &d.open[0])
	}
	reason, err := stopOf(d.call, ev.Stop, d.calls)
	if err != nil {
		return dst, err
	}
	d.stopped = true
	e := llm.Event{Kind: llm.EventStop, Stop: reason}
	if reason == llm.StopSequence {
		e.Sequence = ev.Extra.sequence()
	}
	return append(dst, e), nil
}
