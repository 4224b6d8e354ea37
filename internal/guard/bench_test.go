package guard

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// A request of a kilobyte through masks and words.
func BenchmarkInput(b *testing.B) {
	h := &Handler{Model: &model{}, Guards: []*Guard{personal(Mask), rules(Rule{Words: []string{"project falcon"}, Risk: llm.RiskHigh})}}
	req := request(b, false, strings.Repeat("The quick brown fox writes to jo@mail.example, or not. ", 19))
	b.SetBytes(int64(len(req.Body.Bytes())))
	b.ReportAllocs()
	for b.Loop() {
		a := newAsking(h, req)
		if err := a.local(); err != nil {
			b.Fatal(err)
		}
		a.release()
	}
}

// A streamed answer of 256 tokens that passes: what a token costs.
func BenchmarkFlow(b *testing.B) {
	guards := []*Guard{personal(Mask), rules(Rule{Words: []string{"project falcon"}, Action: Block})}
	var words []string
	for range 32 {
		words = append(words, "The", " quick", " brown", " fox", " jumps", " over", " it", ".")
	}
	chunks := tell(true, words...)
	b.ReportAllocs()
	for b.Loop() {
		f := newFlow(guards, &masks{})
		for _, c := range chunks {
			f.add(c)
		}
		f.end()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(words)), "ns/token")
}
