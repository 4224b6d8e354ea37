package load

import (
	"math"
	"runtime/metrics"
	"time"
)

// Metrics of the runtime that samples are made of.
const (
	liveMetric  = "/gc/heap/live:bytes"
	stackMetric = "/memory/classes/heap/stacks:bytes"
	delayMetric = "/sched/latencies:seconds"
	cycleMetric = "/gc/cycles/total:gc-cycles"
)

// staleAfter is how many samples without a collection make what is known of
// memory old.
const staleAfter = 10

// leastWaits is how many goroutines must have waited in an interval for a
// percentile of it.
const leastWaits = 100

// gauge reads samples of this process. It is not safe for concurrent use.
type gauge struct {
	read  [4]metrics.Sample
	seen  []uint64 // counts of the delay's histogram at the last sample
	since []uint64 // counts between the last two
	cycle uint64   // the last collection
	age   int      // samples since
}

func newGauge() *gauge {
	g := &gauge{}
	for i, name := range [...]string{liveMetric, stackMetric, delayMetric, cycleMetric} {
		g.read[i].Name = name
	}
	return g
}

// sample tells of the time since the last call; limit is the memory limit in
// bytes, above 0.
func (g *gauge) sample(limit int64) Sample {
	metrics.Read(g.read[:])
	var s Sample
	used := uint64(0)
	for i := range 2 {
		if g.read[i].Value.Kind() == metrics.KindUint64 {
			used += g.read[i].Value.Uint64()
		}
	}
	s.Memory = float64(used) / float64(limit)
	if g.read[2].Value.Kind() == metrics.KindFloat64Histogram {
		s.Delay = g.delay(g.read[2].Value.Float64Histogram())
	}
	g.age++
	if g.read[3].Value.Kind() == metrics.KindUint64 && g.read[3].Value.Uint64() != g.cycle {
		g.cycle, g.age = g.read[3].Value.Uint64(), 0
	}
	return s
}

// stale reports whether what is known of memory is old: who is refused
// allocates nothing, so that nothing else would find out that there is some.
func (g *gauge) stale() bool { return g.age >= staleAfter }

// delay is the 99th percentile of what a histogram, whose counts only grow, has
// gained since the last call; 0 for the first.
func (g *gauge) delay(h *metrics.Float64Histogram) time.Duration {
	first := len(g.seen) != len(h.Counts)
	if first {
		g.seen, g.since = make([]uint64, len(h.Counts)), make([]uint64, len(h.Counts))
	}
	total := uint64(0)
	for i, n := range h.Counts {
		g.since[i] = n - g.seen[i]
		g.seen[i] = n
		total += g.since[i]
	}
	if first || total < leastWaits {
		return 0
	}
	over := total / 100 // that may have waited for longer
	for i := len(g.since) - 1; i >= 0; i-- {
		if g.since[i] <= over {
			over -= g.since[i]
			continue
		}
		low := h.Buckets[i] // bucket i is from here to Buckets[i+1]
		if math.IsInf(low, -1) {
			return 0
		}
		return time.Duration(low * float64(time.Second))
	}
	return 0
}
