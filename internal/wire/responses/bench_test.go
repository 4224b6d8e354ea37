package responses

import (
	"bytes"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// long is a stream of a thousand deltas.
func long() []byte {
	e := Codec{}.Encoder(asked)
	out := e.Events(nil, []llm.Event{{Kind: llm.EventStart, ID: "r", Model: "m", Created: 1}, {Kind: llm.EventBlock, Block: &llm.Block{}}})
	for range 1000 {
		out = e.Events(out, []llm.Event{{Kind: llm.EventDelta, Text: " some"}})
	}
	return e.End(e.Events(out, []llm.Event{{Kind: llm.EventBlockEnd}, {Kind: llm.EventStop, Stop: llm.StopEnd}}))
}

// What a delta costs on its way through: looked at where it passes, decoded
// and written where it is translated.
func BenchmarkStream(b *testing.B) {
	in := long()
	var raw [][]byte
	var frames []wire.Frame
	for rest := in; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		data, _ := sse.Data(ev)
		raw, frames = append(raw, ev), append(frames, wire.Frame{Name: sse.Name(ev), Data: data})
	}
	b.Run("watch", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			w := Watch(asked)
			for _, ev := range raw {
				_, _ = w.Event(ev)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delta")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var events []llm.Event
		for range b.N {
			d := Codec{}.Decoder(nil)
			for _, f := range frames {
				events, _ = d.Event(events[:0], f)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delta")
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		events, _, _ := decode(nil, bytes.NewReader(in))
		var out []byte
		for range b.N {
			e := Codec{}.Encoder(asked)
			for i := range events {
				out = e.Events(out[:0], events[i:i+1])
			}
			out = e.End(out[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/delta")
	})
}
