package wire

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// both is an answer whose bytes pass, with its events beside them.
type both struct {
	llm.Stream
	dec    Decoder // nil: an event was not understood, and none follow
	events []llm.Event
}

// Both adds to s, an answer that passes as whole server-sent events, what they
// are in no vendor's words: every chunk with bytes has Events then, none or
// more. What is not understood ends that and nothing else. The caller closes the
// stream, which closes s.
func Both(s llm.Stream, d Decoder) llm.Stream { return &both{Stream: s, dec: d} }

// Next implements llm.Stream.
func (b *both) Next() (llm.Chunk, error) {
	c, err := b.Stream.Next()
	if err != nil || len(c.Raw) == 0 || b.dec == nil {
		return c, err
	}
	if b.events == nil {
		b.events = make([]llm.Event, 0, 8)
	}
	b.events = b.events[:0]
	for rest := c.Raw; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		data, ok := sse.Data(ev)
		if !ok {
			continue
		}
		var bad *llm.Error
		if b.events, bad = b.dec.Event(b.events, Frame{sse.Name(ev), bytes.TrimSpace(data)}); bad != nil {
			b.dec = nil
			return c, nil
		}
	}
	c.Events = b.events
	return c, nil
}

// bothWhole is an answer of one piece whose bytes pass, with its events beside
// them.
type bothWhole struct {
	llm.Stream
	v Vendor
}

// BothWhole is Both for an answer of v that is no stream. Where it is not
// understood it has no events.
func BothWhole(s llm.Stream, v Vendor) llm.Stream { return &bothWhole{s, v} }

// Next implements llm.Stream.
func (b *bothWhole) Next() (llm.Chunk, error) {
	c, err := b.Stream.Next()
	if err != nil || len(c.Raw) == 0 {
		return c, err
	}
	if r, bad := b.v.Reply(&Call{}, c.Raw); bad == nil {
		c.Events = r.Events(nil)
	}
	return c, nil
}
