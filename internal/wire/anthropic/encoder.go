package anthropic

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxPending bounds the blocks that wait until another is whole; those above
// it are left out. maxWaiting bounds their text in bytes; it is as much as a
// whole answer may have.
const (
	maxPending = 1024
	maxWaiting = 64 << 20
)

// encoder writes a streamed answer. The protocol has one open block at a time:
// where several are open, all but the first wait.
type encoder struct {
	req      *llm.Request
	started  bool
	next     int            // the index of the next block in the client's stream
	count    int            // blocks that have begun
	now      int            // the block that is being written
	pieces   map[int]*piece // those that are not written out: now and later
	waiting  int            // bytes held by pieces
	seals    []*piece       // bare ones that wait for a block to stand before
	calls    bool
	refused  bool
	stopped  bool
	stop     llm.Stop
	sequence string
	usage    llm.Usage
}

// piece is a block on its way out.
type piece struct {
	block llm.Block
	open  bool // its beginning was written
	ended bool
	text  []byte // what could not be written yet
	cites []llm.Cite
}

// Encoder begins a streamed answer to req.
func (Codec) Encoder(req *llm.Request) wire.Encoder {
	return &encoder{req: req, pieces: map[int]*piece{}}
}

// Events appends what the events are in the client's stream.
func (e *encoder) Events(dst []byte, events []llm.Event) []byte {
	for i := range events {
		x := &events[i]
		if x.Answer != 0 { // the protocol has one answer
			continue
		}
		switch x.Kind {
		case llm.EventStart:
			for j := i + 1; j < len(events); j++ {
				if events[j].Kind == llm.EventUsage && events[j].Usage != nil {
					e.usage = *events[j].Usage
				}
			}
			dst = e.start(dst, x.ID, x.Model)
		case llm.EventUsage:
			if x.Usage != nil {
				e.usage = *x.Usage
			}
		case llm.EventStop:
			e.stopped, e.stop, e.sequence = true, x.Stop, x.Sequence
			dst = e.flush(e.start(dst, "", ""))
		default:
			if !e.stopped {
				dst = e.blockEvent(e.start(dst, "", ""), x)
			}
		}
	}
	return dst
}

// start writes the beginning of the message, once.
func (e *encoder) start(dst []byte, id, model string) []byte {
	if e.started {
		return dst
	}
	e.started = true
	dst = appendHead(append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...), e.req, id, model)
	dst = append(dst, `,"content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":`...)
	u := e.usage
	u.Output, u.Reasoning = 0, 0 // clients add this to what message_delta says
	dst = append(appendUsage(dst, &u), "}}\n\n"...)
	return append(dst, Codec{}.Ping()...)
}

func (e *encoder) blockEvent(dst []byte, x *llm.Event) []byte {
	if x.Kind == llm.EventBlock {
		return e.begin(dst, x)
	}
	p := e.pieces[x.Index]
	if p == nil || p.ended {
		return dst
	}
	writing := x.Index == e.now
	switch x.Kind {
	case llm.EventDelta:
		if writing && !e.late(p) {
			return e.delta(dst, p, x.Text)
		}
		if e.waiting+len(x.Text) <= maxWaiting {
			e.waiting += len(x.Text)
			p.text = append(p.text, x.Text...)
		}
	case llm.EventCite:
		switch {
		case x.Cite == nil || p.block.Kind != llm.BlockText:
		case writing:
			dst = e.cite(dst, p, x.Cite)
		case len(p.cites) < maxPending:
			p.cites = append(p.cites, *x.Cite)
		}
	case llm.EventSeal:
		if x.Block != nil {
			p.block.Seal = x.Block.Seal
			if x.Block.ID != "" {
				p.block.ID = x.Block.ID
			}
		}
	case llm.EventBlockEnd:
		p.ended = true
		if writing {
			dst = e.advance(dst)
		}
	}
	return dst
}

// begin takes a block that begins. One out of its order is left out.
func (e *encoder) begin(dst []byte, x *llm.Event) []byte {
	if x.Block == nil || x.Index != e.count || len(e.pieces) >= maxPending {
		return dst
	}
	e.count++
	p := &piece{block: *x.Block}
	p.text, p.block.Text = []byte(x.Block.Text), ""
	e.waiting += len(p.text)
	e.pieces[x.Index] = p
	e.calls = e.calls || p.block.Kind == llm.BlockCall
	e.refused = e.refused || p.block.Kind == llm.BlockRefusal
	if x.Index == e.now {
		dst = e.take(dst, p)
	}
	return dst
}

// late reports whether a block can only be written when it is whole.
func (e *encoder) late(p *piece) bool {
	return p.block.Kind == llm.BlockHosted || p.block.Kind == llm.BlockCall && p.block.Custom
}

// take writes what a block held while it waited.
func (e *encoder) take(dst []byte, p *piece) []byte {
	if p.block.Kind == llm.BlockCall {
		dst = e.open(dst, p)
	}
	if !e.late(p) && len(p.text) > 0 {
		dst = e.delta(dst, p, string(p.text))
		e.waiting -= len(p.text)
		p.text = nil
	}
	for i := range p.cites {
		dst = e.cite(dst, p, &p.cites[i])
	}
	p.cites = nil
	return dst
}

// advance closes the block that is being written and goes on with those that
// wait.
func (e *encoder) advance(dst []byte) []byte {
	for p := e.pieces[e.now]; p != nil && p.ended; {
		dst = e.close(dst, p)
		e.waiting -= len(p.text)
		delete(e.pieces, e.now)
		e.now++
		if p = e.pieces[e.now]; p != nil {
			dst = e.take(dst, p)
		}
	}
	return dst
}

// flush ends all blocks.
func (e *encoder) flush(dst []byte) []byte {
	for _, p := range e.pieces {
		p.ended = true
	}
	return e.advance(dst)
}

// head appends the beginning of an event that concerns the block which is
// being written.
func (e *encoder) head(dst []byte, name string) []byte {
	dst = append(append(append(dst, "event: "...), name...), "\ndata: {\"type\":\""...)
	dst = append(append(dst, name...), `","index":`...)
	return strconv.AppendInt(dst, int64(e.next), 10)
}

// open writes the beginning of a block, once.
func (e *encoder) open(dst []byte, p *piece) []byte {
	if p.open {
		return dst
	}
	dst = e.sealed(dst)
	p.open = true
	dst = append(e.head(dst, "content_block_start"), `,"content_block":`...)
	switch b := &p.block; b.Kind {
	case llm.BlockThinking:
		dst = append(dst, `{"type":"thinking","thinking":"","signature":""}`...)
	case llm.BlockCall:
		dst = wire.AppendString(append(dst, `{"type":"tool_use","id":`...), b.ID)
		dst = append(wire.AppendString(append(dst, `,"name":`...), b.Name), `,"input":{}}`...)
	default:
		dst = append(dst, `{"type":"text","text":""}`...)
	}
	return append(dst, "}\n\n"...)
}

func (e *encoder) delta(dst []byte, p *piece, text string) []byte {
	var kind string
	switch p.block.Kind {
	case llm.BlockText, llm.BlockRefusal:
		kind = `,"delta":{"type":"text_delta","text":`
	case llm.BlockThinking:
		if p.block.Seal.Redacted {
			return dst
		}
		kind = `,"delta":{"type":"thinking_delta","thinking":`
	case llm.BlockCall:
		kind = `,"delta":{"type":"input_json_delta","partial_json":`
	default:
		return dst
	}
	if text == "" {
		return dst
	}
	dst = append(e.head(e.open(dst, p), "content_block_delta"), kind...)
	return append(wire.AppendString(dst, text), "}}\n\n"...)
}

func (e *encoder) cite(dst []byte, p *piece, c *llm.Cite) []byte {
	dst = append(e.head(e.open(dst, p), "content_block_delta"), `,"delta":{"type":"citations_delta","citation":`...)
	return append(appendCite(dst, c), "}}\n\n"...)
}

// close writes the end of a block, and what of it had to wait till then.
func (e *encoder) close(dst []byte, p *piece) []byte {
	b := &p.block
	switch {
	case !p.open && e.next > 0 && bare(b):
		e.seals = append(e.seals, p)
		return dst
	case b.Kind == llm.BlockCall && b.Custom:
		b.Text = string(p.text)
		args := string(appendInput(nil, b))
		b.Custom = false
		dst = e.delta(dst, p, args)
	case b.Kind == llm.BlockHosted, b.Kind == llm.BlockThinking && b.Seal.Redacted && !p.open:
		dst = e.whole(dst, p)
	case b.Kind == llm.BlockThinking && b.Seal.Maker != 0:
		dst = e.sign(e.open(dst, p), b)
	}
	if !p.open {
		return dst
	}
	return e.shut(dst)
}

// sign writes the seal of the open block.
func (e *encoder) sign(dst []byte, b *llm.Block) []byte {
	dst = append(e.head(dst, "content_block_delta"), `,"delta":{"type":"signature_delta","signature":`...)
	return append(wire.AppendString(dst, signature(b)), "}}\n\n"...)
}

// shut writes the end of the open block.
func (e *encoder) shut(dst []byte) []byte {
	dst = append(e.head(dst, "content_block_stop"), "}\n\n"...)
	e.next++
	return dst
}

// sealed writes the seals that waited for the block that now begins.
func (e *encoder) sealed(dst []byte) []byte {
	seals := e.seals
	e.seals = nil
	for _, p := range seals {
		dst = e.shut(e.sign(e.open(dst, p), &p.block))
	}
	return dst
}

// whole writes the beginning of a block that says all at once, where the
// protocol can say it.
func (e *encoder) whole(dst []byte, p *piece) []byte {
	b := &p.block
	if b.Kind == llm.BlockHosted {
		b.Text = string(p.text)
	}
	said := jsontext.Value(appendBlock(nil, b))
	if len(said) == 0 || b.Kind == llm.BlockThinking && !ownSeal(b) || said.Compact() != nil { // on one line
		return dst
	}
	var in string
	if input := scan.Get(said, "input"); b.Kind == llm.BlockHosted && len(input) > 2 { // it follows, as in calls
		in = string(input)
		said = filled(said, []byte("{}"))
	}
	dst = e.sealed(dst)
	p.open = true
	dst = append(e.head(dst, "content_block_start"), `,"content_block":`...)
	dst = append(append(dst, said...), "}\n\n"...)
	if in == "" {
		return dst
	}
	dst = append(e.head(dst, "content_block_delta"), `,"delta":{"type":"input_json_delta","partial_json":`...)
	return append(wire.AppendString(dst, in), "}}\n\n"...)
}

// End appends what follows the last event of a whole answer.
func (e *encoder) End(dst []byte) []byte {
	dst = e.flush(e.start(dst, "", ""))
	dst = appendStop(append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"...), final(e.stop, e.calls, e.refused), e.sequence)
	dst = appendUsage(append(dst, `},"usage":`...), &e.usage)
	return append(dst, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// Fail appends the event that ends an answer which cannot be whole.
func (e *encoder) Fail(dst []byte, bad *llm.Error) []byte {
	dst = Codec{}.AppendError(append(dst, "event: error\ndata: "...), e.req.ID, bad)
	return append(dst, "\n\n"...)
}
