package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// after is the level after n samples of a kind.
func after(l Level, n int, s Sample) Level {
	for range n {
		l = Next(l, s)
	}
	return l
}

func near(a, b Level) bool { return math.Abs(float64(a-b)) < 1e-9 }

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name string
		from Level
		n    int
		s    Sample
		want Level
	}{
		{"nothing", 0, 100, Sample{Memory: 0.84, Delay: 19 * time.Millisecond, Busy: true}, 0},
		{"memory, at once felt", 0, 1, Sample{Memory: 0.85}, 0.2},
		{"memory, half a second", 0, 5, Sample{Memory: 0.85}, 1},
		{"memory stays at its class", 0, 100, Sample{Memory: 0.9}, 1},
		{"more memory", 0, 100, Sample{Memory: 0.93}, 2},
		{"all memory", 0, 15, Sample{Memory: 1.2}, 3},
		{"delay, two seconds", 0, 20, Sample{Delay: 20 * time.Millisecond, Busy: true}, 1},
		{"delay, for long", 0, 1000, Sample{Delay: 240 * time.Millisecond, Busy: true}, 1},
		{"more delay", 0, 1000, Sample{Delay: 999 * time.Millisecond, Busy: true}, 2},
		{"an hour of delay", 0, 1000, Sample{Delay: time.Hour, Busy: true}, 3},
		{"delay of somebody else's making", 0, 1000, Sample{Delay: time.Hour}, 0},
		{"between the bounds of memory", 1, 1000, Sample{Memory: 0.81}, 1},
		{"between those of delay", 1, 1000, Sample{Delay: 11 * time.Millisecond, Busy: true}, 1},
		{"between, half a class", 0.5, 1000, Sample{Memory: 0.81}, 0.5},
		{"memory is back", 1, 10, Sample{Memory: 0.79}, 0.8},
		{"one class is back", 2, 1000, Sample{Memory: 0.81}, 1},
		{"all is well", 3, 150, Sample{}, 0},
	} {
		if got := after(c.from, c.n, c.s); !near(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Whatever comes, a level stays in its range, never rises by what is below every
// bound, and never falls by what is above all.
func TestNextHolds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := Level(0)
		for range 500 {
			s := Sample{Memory: r.Float64() * 1.2, Delay: time.Duration(r.ExpFloat64() * float64(100*time.Millisecond)), Busy: r.IntN(4) > 0}
			next := Next(l, s)
			calm := s.Memory < memoryAt[0] && (!s.Busy || s.Delay < delayAt[0])
			if next < 0 || next > Level(classes) || calm && next > l || s.Memory >= memoryAt[classes-1] && next < l || math.Abs(float64(next-l)) > memoryStep+1e-9 {
				t.Fatalf("seed %d: %+v at %v gives %v", seed, s, l, next)
			}
			l = next
		}
	}
}

// A signal that swings about its bound does not make the level swing.
func TestNoFlapping(t *testing.T) {
	l := after(0, 20, Sample{Memory: 0.86})
	for i := range 1000 {
		was := l
		if l = Next(l, Sample{Memory: 0.85 + 0.02*math.Sin(float64(i))}); l != was {
			t.Fatalf("sample %d: from %v to %v", i, was, l)
		}
	}
}

func TestRefuses(t *testing.T) {
	never := func() float64 { t.Error("drawn without need"); return 0 }
	half := func() float64 { return 0.5 }
	for _, c := range []struct {
		level                   Level
		batch, normal, critical bool
		draw                    func() float64
	}{
		{0, false, false, false, never},
		{1, true, false, false, never},
		{2, true, true, false, never},
		{3, true, true, true, never},
		{0.4, false, false, false, half},
		{0.6, true, false, false, half},
		{1.6, true, true, false, half},
		{2.4, true, true, false, half},
		{2.6, true, true, true, half},
	} {
		var s Shedder
		s.level.Store(math.Float64bits(float64(c.level)))
		if b, n, k := s.Refuses(llm.PriorityBatch, c.draw), s.Refuses(llm.PriorityNormal, c.draw), s.Refuses(llm.PriorityCritical, c.draw); b != c.batch || n != c.normal || k != c.critical {
			t.Errorf("level %v: batch %v, normal %v, critical %v", c.level, b, n, k)
		}
	}
	if got := testing.AllocsPerRun(100, func() {
		var s Shedder
		s.Refuses(llm.PriorityNormal, rand.Float64)
	}); got != 0 {
		t.Errorf("%v allocations for a request", got)
	}
}

// Large bodies are refused by memory alone, and let in again only when there is
// some slack.
func TestTight(t *testing.T) {
	var s Shedder
	for i, c := range []struct {
		s    Sample
		want bool
	}{
		{Sample{Memory: 0.74}, false}, {Sample{Delay: time.Hour, Busy: true}, false}, {Sample{Memory: 0.75}, true},
		{Sample{Memory: 0.71}, true}, {Sample{Memory: 0.69}, false}, {Sample{Memory: 0.74}, false},
	} {
		if s.See(c.s); s.Tight() != c.want {
			t.Errorf("sample %d: got %v", i, s.Tight())
		}
	}
}

func TestCaps(t *testing.T) {
	for _, c := range []struct {
		limit    int64
		critical bool
		want     Caps
	}{
		{1, false, Caps{1, 1, 1}}, {2, true, Caps{2, 2, 2}}, {10, false, Caps{8, 10, 10}}, {10, true, Caps{8, 10, 10}},
		{1000, true, Caps{800, 950, 1000}}, {1000, false, Caps{800, 1000, 1000}},
	} {
		if got := *NewCaps(c.limit, c.critical); got != c.want {
			t.Errorf("%d, %v: got %v, want %v", c.limit, c.critical, got, c.want)
		}
	}
}

// The percentile is that of the last interval, and of nothing where few waited.
func TestDelay(t *testing.T) {
	h := &metrics.Float64Histogram{Counts: make([]uint64, 4), Buckets: []float64{math.Inf(-1), 0, 0.01, 0.1, math.Inf(1)}}
	g := newGauge()
	for i, c := range []struct {
		more [4]uint64
		want time.Duration
	}{
		{[4]uint64{0, 0, 0, 1000}, 0}, // all that was before
		{[4]uint64{0, 100, 0, 0}, 0},
		{[4]uint64{0, 0, 0, 99}, 0}, // too few
		{[4]uint64{0, 0, 0, 100}, 100 * time.Millisecond},
		{[4]uint64{0, 1000, 0, 9}, 0},
		{[4]uint64{0, 1000, 0, 11}, 100 * time.Millisecond},
		{[4]uint64{0, 985, 10, 5}, 10 * time.Millisecond},
		{[4]uint64{100, 0, 0, 0}, 0},
	} {
		for j, n := range c.more {
			h.Counts[j] += n
		}
		if got := g.delay(h); got != c.want {
			t.Errorf("interval %d: got %v, want %v", i, got, c.want)
		}
	}
}

// The runtime has the metrics that samples are made of.
func TestSample(t *testing.T) {
	hold := make([]byte, 8<<20)
	runtime.GC()
	g := newGauge()
	for range 2 {
		s := g.sample(16 << 20)
		if s.Memory < 0.5 || s.Memory > 100 || s.Delay < 0 {
			t.Errorf("got %+v", s)
		}
	}
	for i := range g.read {
		if g.read[i].Value.Kind() == metrics.KindBad {
			t.Errorf("no metric %s", g.read[i].Name)
		}
	}
	runtime.KeepAlive(hold)
}

// The watch ends with its context, tells once of each turn, and takes its samples
// at their time.
func TestWatch(t *testing.T) {
	hold := make([]byte, 4<<20)
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		var s Shedder
		var said []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		start := time.Now()
		go func() { // what lives is more than the limit
			defer close(ended)
			s.Watch(ctx, 4<<20, func() int64 { return 0 }, func(on bool) { said = append(said, fmt.Sprint(on, time.Since(start))) })
		}()
		time.Sleep(10 * Interval)
		if s.Level() < 1 || !s.Tight() {
			t.Errorf("level %v, tight %v", s.Level(), s.Tight())
		}
		cancel()
		<-ended
		if fmt.Sprint(said) != "[true 500ms]" {
			t.Errorf("told %v", said)
		}
	})
	runtime.KeepAlive(hold)
}

// What was refused for want of memory is let in again once there is some, though
// nothing allocates any more.
func TestWatchFindsRoom(t *testing.T) {
	hold := make([]byte, 64<<20)
	runtime.GC()
	var s Shedder
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Watch(ctx, 64<<20, func() int64 { return 0 }, func(bool) {})
		}()
		time.Sleep(5 * Interval)
		if !s.Tight() {
			t.Error("64 MiB of 64 are room enough")
		}
		runtime.KeepAlive(hold)
		hold = nil
		time.Sleep(30 * time.Second)
		if s.Tight() || s.Level() != 0 {
			t.Errorf("tight %v, level %v with nothing held", s.Tight(), s.Level())
		}
		cancel()
		<-ended
	})
}

// While nothing is refused nobody waits for a collection: what allocates brings
// the next.
func TestWatchLeavesTheCollector(t *testing.T) {
	hold := make([]byte, 64<<20)
	runtime.GC()
	var s Shedder
	limit := int64(newGauge().sample(1<<30).Memory * (1 << 30) / 0.72)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go func() {
			defer close(ended)
			s.Watch(ctx, limit, func() int64 { return 0 }, func(bool) {})
		}()
		time.Sleep(30 * time.Second)
		cancel()
		<-ended
		runtime.ReadMemStats(&after)
		if n := after.NumForcedGC - before.NumForcedGC; n > 0 || s.Tight() {
			t.Errorf("%d collections were forced, tight %v", n, s.Tight())
		}
	})
	runtime.KeepAlive(hold)
}
