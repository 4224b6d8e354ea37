package upstream

import (
	"math"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// about reports whether two figures differ by less than a hundredth.
func about(got, want float64) bool { return math.Abs(got-want) <= 0.01*max(math.Abs(want), 1e-9) }

func TestLatencyMean(t *testing.T) {
	ms := float64(time.Millisecond)
	for _, c := range []struct {
		name string
		feed func(l *latency)
		at   int64
		want float64 // ms, with a prior of 1,000
	}{
		{"the first sample", func(l *latency) { l.record(sec, 100*time.Millisecond, false) }, sec, 100},
		{"the first ten are averaged", func(l *latency) {
			for i := range 10 {
				l.record(sec, time.Duration(100+10*i)*time.Millisecond, false)
			}
		}, sec, 140}, // the tenth weighs by time alone
		{"a burst replaces nothing", func(l *latency) {
			for i := range 1000 {
				l.record(sec+int64(i)*sec/10, 100*time.Millisecond, false)
			}
			for range 100 {
				l.record(101*sec, time.Second, false)
			}
		}, 101 * sec, 108.6},
		{"ten seconds of another time are two thirds of it", func(l *latency) {
			for i := range 2000 {
				l.record(sec+int64(i)*sec/100, 100*time.Millisecond, false)
			}
			for i := range 1000 {
				l.record(21*sec+int64(i)*sec/100, time.Second, false)
			}
		}, 31 * sec, 100 + 900*(1-math.Exp(-1))},
		{"a failure counts as five seconds", func(l *latency) { l.record(sec, time.Millisecond, true) }, sec, 5000},
		{"a slow failure counts as long as it took", func(l *latency) { l.record(sec, 9*time.Second, true) }, sec, 9000},
		{"falls back to the prior", func(l *latency) { l.record(sec, 100*time.Millisecond, false) }, 61 * sec, 1000 - 900*math.Exp(-1)},
		{"unknown", func(*latency) {}, sec, 1000},
	} {
		var l latency
		c.feed(&l)
		got, known := l.expected(c.at, time.Second)
		if !about(float64(got)/ms, c.want) || known != (c.name != "unknown") {
			t.Errorf("%s: got %v, %v; want %.1f ms", c.name, got, known, c.want)
		}
	}
}

func TestFailures(t *testing.T) {
	const often = sec / 100
	for _, c := range []struct {
		name  string
		every int64
		fails func(i int) bool
		n     int
		min   float64
		max   float64
	}{
		{"none", often, func(int) bool { return false }, 1000, 0, 0},
		{"one of many", often, func(i int) bool { return i == 999 }, 1000, 0.0005, 0.002},
		{"one in ten", often, func(i int) bool { return i%10 == 0 }, 5000, 0.08, 0.12},
		{"all, for a second", often, func(i int) bool { return i >= 4900 }, 5000, 0.08, 0.11},
		{"all, for long", often, func(int) bool { return true }, 6000, 0.99, 1},
		{"one, seldom asked", 100 * sec, func(i int) bool { return i == 9 }, 10, 0.25, 0.25},
		{"long ago", often, func(i int) bool { return i < 100 }, 15_000, 0, 0},
	} {
		var f failures
		now := sec
		for i := range c.n {
			f.record(now+c.every, now, c.fails(i))
			now += c.every
		}
		if got := f.rate(now, now); got < c.min || got > c.max {
			t.Errorf("%s: got %.4f, want %.4f to %.4f", c.name, got, c.min, c.max)
		}
	}
	var f failures
	f.record(11*sec, sec, true)
	if got := f.rate(71*sec, 11*sec); !about(got, 0.25*math.Exp(-1)) {
		t.Errorf("a minute later: got %.4f", got)
	}
}

// An order sees how a target did: its time, its failures, what is in flight; and
// that its breaker waits for a call, which begins everything anew.
func TestMeasure(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, v := r.target("p/a", always(fine(200*time.Millisecond)))
		p := r.pool("m", a)
		p.Policy.Attempts = 1
		o := &p.Options[0]
		see := func() Measure { return o.Measure(r.reg.now(), true) }
		equal(t, "nothing known", see(), Measure{})
		a.Prior = time.Second
		equal(t, "the operator's word", see(), Measure{Latency: 1e9, Trust: 1})
		a.Prior = 0
		r.streamed(p)
		equal(t, "after a call", see(), Measure{Latency: 200e6, Trust: 1, Fresh: 1})
		time.Sleep(time.Minute)
		if m := see(); m.Latency != 200e6 || !about(m.Fresh, math.Exp(-1)) {
			t.Errorf("a minute later: %+v", m)
		}
		v.set(always(failing(llm.KindUpstream)))
		for range 5 {
			r.streamed(p)
		}
		equal(t, "phase", phase(a), Open)
		if m := see(); m.Latency < 3e9 || m.Errors < 0.2 || !m.Probe {
			t.Errorf("after failures: %+v", m)
		}
		time.Sleep(time.Second)
		v.set(always(fine(100 * time.Millisecond)))
		r.streamed(p)
		equal(t, "phase", phase(a), Closed)
		equal(t, "after a probe that succeeded", see(), Measure{Latency: 100e6, Trust: 1, Fresh: 1})
		outer := r.pool("outer", p)
		equal(t, "of a model", outer.Options[0].Measure(r.reg.now(), true), Measure{Latency: 100e6, Trust: 1, Fresh: 1})
	})
}
