package gemini

import (
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

const chunk = `{"candidates": [{"content": {"parts": [{"text": "4 - 6 + 1.02255$ is **-428,330"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 46,"candidatesTokenCount": 46,"totalTokenCount": 159,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 46}],"thoughtsTokenCount": 67},"modelVersion": "gemini-3-flash-preview","responseId": "n1P6abvRFaKdz7IPkcuQ2Aw"}`

func BenchmarkDecoder(b *testing.B) {
	d := Codec{}.Decoder(nil)
	var events []llm.Event
	b.ReportAllocs()
	for b.Loop() {
		var bad *llm.Error
		if events, bad = d.Event(events[:0], wire.Frame{Data: []byte(chunk)}); bad != nil {
			b.Fatal(bad)
		}
		d.(*decoder).answers[0].text = d.(*decoder).answers[0].text[:0]
	}
}

func BenchmarkEncoder(b *testing.B) {
	e := Codec{}.Encoder(&llm.Request{Model: "m", ID: "req_1"})
	events := []llm.Event{{Kind: llm.EventDelta, Text: "4 - 6 + 1.02255$ is **-428,330"}}
	out := e.Events(nil, []llm.Event{{Kind: llm.EventStart}, {Kind: llm.EventBlock, Block: &llm.Block{}}})
	b.ReportAllocs()
	for b.Loop() {
		out = e.Events(out[:0], events)
		e.(*encoder).answers[0].text = e.(*encoder).answers[0].text[:0]
	}
}

func BenchmarkWatch(b *testing.B) {
	w := Watch(&llm.Request{})
	ev := []byte("data: " + chunk + "\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := w.Event(ev); bad != nil {
			b.Fatal(bad)
		}
	}
}
