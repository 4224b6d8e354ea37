package openai

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// tokens is a stream of n events as OpenAI sends them.
func tokens(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `data: {"id":"chatcmpl-B1a2C3d4E5f6G7h8I9j0","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_50cad350e4","choices":[{"index":0,"delta":{"content":" word%s"},"logprobs":null,"finish_reason":null}]}`+"\n\n", strconv.Itoa(i))
	}
	return b.Bytes()
}

const benchTokens = 200

// BenchmarkTranslate is what an event costs that is read and written again.
func BenchmarkTranslate(b *testing.B) {
	stream := tokens(benchTokens)
	var events []llm.Event
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		src, dec, enc := Codec{}.Source(bytes.NewReader(stream)), Codec{}.Decoder(&wire.Call{}), Codec{}.Encoder(&llm.Request{})
		for {
			frames, err := src.Next()
			if err != nil {
				break
			}
			events = events[:0]
			for _, f := range frames {
				if events, _ = dec.Event(events, f); false {
					return
				}
			}
			out = enc.Events(out[:0], events)
		}
		src.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchTokens), "ns/event")
}

// BenchmarkWatch is what an event costs that passes.
func BenchmarkWatch(b *testing.B) {
	stream := tokens(benchTokens)
	b.ReportAllocs()
	for b.Loop() {
		r, w := sse.NewReader(bytes.NewReader(stream)), Watch(&llm.Request{N: 1})
		for {
			raw, err := r.Next()
			if err != nil {
				break
			}
			for len(raw) > 0 {
				var ev []byte
				ev, raw = sse.Split(raw)
				_, _ = w.Event(ev)
			}
		}
		r.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchTokens), "ns/event")
}
