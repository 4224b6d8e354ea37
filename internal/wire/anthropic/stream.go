package anthropic

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxHeld bounds what a block of a streamed answer may hold back, in bytes.
const maxHeld = 8 << 20

// maxOpen bounds the blocks that are open at the same time. The protocol has
// one.
const maxOpen = 256

// event is the data of any event of a stream.
type event struct {
	Type         string         `json:"type"`
	Index        int            `json:"index"`
	Message      *answer        `json:"message"`
	ContentBlock jsontext.Value `json:"content_block"`
	Delta        delta          `json:"delta"`
	Usage        jsontext.Value `json:"usage"`
}

type delta struct {
	Type         string    `json:"type"`
	Text         string    `json:"text"`
	Thinking     string    `json:"thinking"`
	PartialJSON  string    `json:"partial_json"`
	Signature    string    `json:"signature"`
	Citation     *citation `json:"citation"`
	StopReason   string    `json:"stop_reason"`
	StopSequence string    `json:"stop_sequence"`
}

// decoder reads a streamed answer.
type decoder struct {
	call    *wire.Call
	open    map[int]*part // by the vendor's index
	next    int           // our index of the next block
	usage   counts
	started bool // message_start has come
	stopped bool // the stop reason has come: the answer is whole
	over    bool // message_stop has come: what follows is nobody's
	calls   bool // tools were called
	buf     []byte
}

// part is a block that is open.
type part struct {
	index  int
	kind   llm.BlockKind
	raw    jsontext.Value // of a hosted step: the block as it began
	input  string         // of a call: the arguments that came with its beginning
	held   []byte         // of a hosted step: the arguments so far
	sign   []byte         // the seal so far
	redact bool
	wrote  bool
}

// Decoder begins to read a streamed answer to call.
func (Codec) Decoder(call *wire.Call) wire.Decoder {
	return &decoder{call: call, open: map[int]*part{}}
}

// Event appends what one event says.
func (d *decoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if d.over || len(f.Data) == 0 || string(f.Data) == "[DONE]" { // OpenRouter ends with OpenAI's word
		return dst, nil
	}
	var e event
	if d.quick(f.Data, &e) {
		return d.delta(dst, &e)
	}
	if err := unmarshal(f.Data, &e); err != nil {
		if bad := errorIn(f.Data); bad != nil {
			return dst, bad
		}
		return dst, wire.BadAnswer(err.Error())
	}
	if e.Type == "" {
		e.Type = f.Name
	}
	switch e.Type {
	case "message_start":
		return d.start(dst, &e), nil
	case "content_block_start":
		return d.begin(dst, &e)
	case "content_block_delta":
		return d.delta(dst, &e)
	case "content_block_stop":
		if p := d.open[e.Index]; p != nil {
			delete(d.open, e.Index)
			dst = d.end(dst, p)
		}
		return dst, nil
	case "message_delta":
		return d.finish(dst, &e), nil
	case "message_stop":
		d.over = true
		if !d.stopped {
			dst = d.stop(dst, "", "")
		}
		return dst, nil
	}
	bad := errorIn(f.Data)
	if bad == nil && e.Type == "error" {
		bad = vendorError("", "")
	}
	return dst, bad // nil for ping, and for what is not known yet
}

// quick reads the events that nearly all of a stream is, text that is added to
// a block, without the cost of a whole decoding. false: it is another one.
func (d *decoder) quick(b []byte, e *event) bool {
	if string(scan.Get(b, "type")) != `"content_block_delta"` {
		return false
	}
	i, ok := scan.Int(scan.Get(b, "index"))
	in := scan.Get(b, "delta")
	if !ok || in == nil {
		return false
	}
	e.Index = int(i)
	switch string(scan.Get(in, "type")) {
	case `"text_delta"`:
		e.Delta.Type = "text_delta"
		e.Delta.Text, ok = d.unquote(scan.Get(in, "text"))
	case `"thinking_delta"`:
		e.Delta.Type = "thinking_delta"
		e.Delta.Thinking, ok = d.unquote(scan.Get(in, "thinking"))
	case `"input_json_delta"`:
		e.Delta.Type = "input_json_delta"
		e.Delta.PartialJSON, ok = d.unquote(scan.Get(in, "partial_json"))
	default:
		ok = false
	}
	return ok
}

// unquote decodes a JSON string.
func (d *decoder) unquote(b []byte) (string, bool) {
	var err error
	if d.buf, err = jsontext.AppendUnquote(d.buf[:0], b); err != nil {
		return scan.String(b) // it is more patient
	}
	return string(d.buf), true
}

// End tells whether the answer is whole. It is once its stop reason has come:
// the protocol's last event says nothing more.
func (d *decoder) End(dst []llm.Event) ([]llm.Event, bool) { return dst, d.stopped }

// start begins the answer, once; one whose beginning did not come begins with
// its first block.
func (d *decoder) start(dst []llm.Event, e *event) []llm.Event {
	if e.Message == nil || d.started {
		return dst
	}
	d.started = true
	dst = append(dst, llm.Event{Kind: llm.EventStart, ID: e.Message.ID, Model: e.Message.Model})
	return d.count(dst, e.Message.Usage)
}

func (d *decoder) count(dst []llm.Event, v jsontext.Value) []llm.Event {
	if v.Kind() != '{' || !d.usage.add(v) {
		return dst
	}
	if u, ok := d.usage.usage(); ok {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: &u})
	}
	return dst
}

// begin opens a block.
func (d *decoder) begin(dst []llm.Event, e *event) ([]llm.Event, *llm.Error) {
	if p := d.open[e.Index]; p != nil { // it was never closed
		dst = d.end(dst, p)
	}
	if len(d.open) >= maxOpen {
		return dst, wire.BadAnswer("more than 256 open blocks")
	}
	typ, _ := scan.String(scan.Get(e.ContentBlock, "type"))
	dst = d.start(dst, &event{Message: &answer{}})
	p := &part{index: d.next}
	out := &llm.Block{}
	var b block
	text := ""
	if hosted(typ) {
		id, _ := scan.String(scan.Get(e.ContentBlock, "id"))
		*out = llm.Block{Kind: llm.BlockHosted, Name: typ, ID: id}
		p.raw = slices.Clone(e.ContentBlock)
	} else if err := unmarshal(e.ContentBlock, &b); err != nil {
		return dst, wire.BadAnswer(err.Error())
	}
	switch typ {
	case "text":
		text = b.Text
	case "thinking":
		out.Kind, text, p.sign = llm.BlockThinking, b.Thinking, []byte(b.Signature)
	case "redacted_thinking":
		out.Kind, out.Seal.Redacted, p.redact, p.sign = llm.BlockThinking, true, true, []byte(b.Data)
	case "tool_use":
		*out = llm.Block{Kind: llm.BlockCall, ID: b.ID, Name: b.Name}
		d.calls = true
		if b.Input.Kind() == '{' && len(b.Input) > 2 {
			p.input = string(b.Input)
		}
	default:
		if p.raw == nil {
			return dst, nil // a kind that is not known; its deltas find no block
		}
	}
	p.kind = out.Kind
	d.open[e.Index] = p
	d.next++
	dst = append(dst, llm.Event{Kind: llm.EventBlock, Index: p.index, Block: out})
	return d.text(dst, p, text), nil
}

func (d *decoder) text(dst []llm.Event, p *part, s string) []llm.Event {
	if s == "" {
		return dst
	}
	p.wrote = true
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: p.index, Text: s})
}

// delta adds to a block. One that never began begins where its kind can be
// told.
func (d *decoder) delta(dst []llm.Event, e *event) ([]llm.Event, *llm.Error) {
	p := d.open[e.Index]
	if p == nil {
		var kind string
		switch e.Delta.Type {
		case "text_delta":
			kind = `{"type":"text"}`
		case "thinking_delta":
			kind = `{"type":"thinking"}`
		default:
			return dst, nil
		}
		var err *llm.Error
		if dst, err = d.begin(dst, &event{Index: e.Index, ContentBlock: jsontext.Value(kind)}); err != nil {
			return dst, err
		}
		p = d.open[e.Index]
	}
	switch e.Delta.Type {
	case "text_delta":
		if p.kind == llm.BlockText {
			dst = d.text(dst, p, e.Delta.Text)
		}
	case "thinking_delta":
		if p.kind == llm.BlockThinking {
			dst = d.text(dst, p, e.Delta.Thinking)
		}
	case "input_json_delta":
		if p.raw != nil {
			p.held = append(p.held, e.Delta.PartialJSON...)
		} else if p.kind == llm.BlockCall {
			dst = d.text(dst, p, e.Delta.PartialJSON)
		}
	case "signature_delta":
		p.sign = append(p.sign, e.Delta.Signature...)
	case "citations_delta":
		if e.Delta.Citation != nil && p.kind == llm.BlockText {
			c := e.Delta.Citation.cite()
			dst = append(dst, llm.Event{Kind: llm.EventCite, Index: p.index, Cite: &c})
		}
	}
	if len(p.held)+len(p.sign) > maxHeld {
		return dst, wire.BadAnswer("a block larger than 8 MiB")
	}
	return dst, nil
}

// end closes a block.
func (d *decoder) end(dst []llm.Event, p *part) []llm.Event {
	switch {
	case p.raw != nil:
		dst = d.text(dst, p, string(filled(p.raw, p.held)))
	case !p.wrote:
		dst = d.text(dst, p, p.input)
	}
	if p.kind == llm.BlockThinking && len(p.sign) > 0 {
		b := &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: string(p.sign), Redacted: true}}
		if !p.redact {
			b.Seal, b.ID = wire.UnwrapSeal(string(p.sign), llm.ProtoAnthropic)
		}
		dst = append(dst, llm.Event{Kind: llm.EventSeal, Index: p.index, Block: b})
	}
	return append(dst, llm.Event{Kind: llm.EventBlockEnd, Index: p.index})
}

// filled is a hosted step with the input that came after its beginning.
func filled(raw jsontext.Value, in []byte) []byte {
	old := scan.Get(raw, "input")
	if len(in) == 0 || old == nil || !object(string(in)) {
		return raw
	}
	at := cap(raw) - cap(old) // old is a slice of raw
	return slices.Concat(raw[:at], in, raw[at+len(old):])
}

// finish reads why the answer ended and what it took.
func (d *decoder) finish(dst []llm.Event, e *event) []llm.Event {
	dst = d.start(dst, &event{Message: &answer{}})
	if e.Delta.StopReason != "" && !d.stopped {
		dst = d.stop(dst, e.Delta.StopReason, e.Delta.StopSequence)
	}
	return d.count(dst, e.Usage)
}

func (d *decoder) stop(dst []llm.Event, reason, sequence string) []llm.Event {
	d.stopped = true
	var left []*part
	for _, p := range d.open {
		left = append(left, p)
	}
	clear(d.open)
	slices.SortFunc(left, func(a, b *part) int { return a.index - b.index })
	for _, p := range left {
		dst = d.end(dst, p)
	}
	dst = d.start(dst, &event{Message: &answer{}})
	s := ended(d.call, reason)
	if reason == "" && d.calls {
		s = llm.StopTools
	}
	return append(dst, llm.Event{Kind: llm.EventStop, Stop: s, Sequence: sequence})
}
