package route

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// BenchmarkOrder is a decision between 16 targets that were measured.
func BenchmarkOrder(b *testing.B) {
	for _, strategy := range Strategies() {
		b.Run(strategy, func(b *testing.B) {
			reg := upstream.NewRegistry()
			all := options(reg, slices.Repeat([]float64{1}, 16), nil, nil)
			order, _, _ := New(strategy, "off")
			opts := slices.Clone(all)
			a := upstream.Ask{Req: short(0), Now: 1}
			b.ReportAllocs()
			for b.Loop() {
				a.Turn++
				copy(opts, all)
				order(opts, a)
			}
		})
	}
}

// BenchmarkEngines is a decision between 16 engines, with prompts of 2,200
// tokens of which each engine knows the first 2,000 of some.
func BenchmarkEngines(b *testing.B) {
	reg := upstream.NewRegistry()
	all := options(reg, slices.Repeat([]float64{1}, 16), nil, nil)
	prefixes := make([][]uint64, 64)
	for i := range prefixes {
		for k := range uint64(34) {
			prefixes[i] = append(prefixes[i], upstream.Mix((k+1)<<32, fmt.Sprint(i))|1)
		}
	}
	for _, o := range all {
		o.Target.Engine = o.Target.State.Engine()
		o.Target.Engine.Hear(upstream.Report{Running: 4, Used: 0.2, Capacity: 60_000})
	}
	for i, p := range prefixes {
		all[i%16].Target.Engine.Learn(p[:31])
	}
	order, _, _ := New("adaptive", "auto")
	opts := slices.Clone(all)
	a := upstream.Ask{Req: &llm.Request{Stream: true}, Now: 1}
	b.ReportAllocs()
	for b.Loop() {
		a.Turn++
		a.Prefix = prefixes[a.Turn%64]
		copy(opts, all)
		order(opts, a)
	}
}
