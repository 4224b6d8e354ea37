package upstream

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// decay is the time constant of the moving averages (Finagle's peak EWMA
	// uses 10 s).
	decay = 10 * time.Second
	// forget is the time constant with which what is not used any more counts
	// less and less, so that a slow or failing target is tried again.
	forget = time.Minute
	// known is how many samples make a quantile; as many are averaged before
	// the decay alone weighs a new one.
	known = 10
	// failedAs is what a failure counts as at least, so that failing fast
	// attracts nothing.
	failedAs = 5 * time.Second
	// mostNew is the most that one result changes the share of failures, so
	// that one failure of a target that is seldom asked is not the whole truth.
	mostNew = 0.25
	// noErrors is the share of failures that is none.
	noErrors = 1e-6
)

// latency measures the time to the first event of one kind of call. Safe for
// concurrent use.
type latency struct {
	mean atomic.Uint64 // ns, moving; the bits of a float64
	last atomic.Int64  // when mean was fed, 0: never
	mu   sync.Mutex    // held to write
	fed  int           // samples of mean, up to known
	hist [128]uint16
	n    int
}

// record feeds a sample; failures feed the mean but not the quantiles. A
// sample weighs by the time that it stands for, so that a burst does not
// replace what is known.
func (l *latency) record(now int64, d time.Duration, failed bool) {
	x := float64(max(0, d))
	if failed {
		x = max(x, float64(failedAs))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	mean, last := math.Float64frombits(l.mean.Load()), l.last.Load()
	if l.fed < known {
		l.fed++
	}
	alpha := 1.0
	if last != 0 {
		alpha = 1 - math.Exp(-float64(now-last)/float64(decay))
		if l.fed < known {
			alpha = max(alpha, 1/float64(l.fed))
		}
	}
	l.mean.Store(math.Float64bits(mean + alpha*(x-mean)))
	l.last.Store(now)
	if failed {
		return
	}
	l.hist[slot(d)]++
	if l.n++; l.n >= 2000 { // halve: old calls count less and less
		l.n = 0
		for i := range l.hist {
			l.hist[i] /= 2
			l.n += int(l.hist[i])
		}
	}
}

// restart lets the next sample be the mean.
func (l *latency) restart() {
	l.mu.Lock()
	l.fed = 0
	l.last.Store(0)
	l.mu.Unlock()
}

// faded is how much of what was known at last is still believed, 0 to 1.
func faded(now, last int64) float64 {
	if now-last < int64(time.Second) { // busy: at least 98 %
		return 1
	}
	return math.Exp(-float64(now-last) / float64(forget))
}

// expected returns the mean, fallen back towards prior since the last sample.
func (l *latency) expected(now int64, prior time.Duration) (time.Duration, bool) {
	last := l.last.Load()
	if last == 0 {
		return prior, false
	}
	mean := math.Float64frombits(l.mean.Load())
	return time.Duration(float64(prior) + (mean-float64(prior))*faded(now, last)), true
}

// failures is the share of a target's calls that failed, moving. Safe for
// concurrent use: of two results at the same time one may be lost.
type failures struct{ bits atomic.Uint64 } // of a float64

// record feeds a result; last is when the target was measured before. While
// nothing fails it costs a load.
func (f *failures) record(now, last int64, failed bool) {
	old := f.bits.Load()
	if old == 0 && !failed {
		return
	}
	rate, x := math.Float64frombits(old), 0.0
	if failed {
		x = 1
	}
	rate += min(mostNew, 1-math.Exp(-float64(now-last)/float64(decay))) * (x - rate)
	if !failed && rate < noErrors {
		rate = 0
	}
	f.bits.CompareAndSwap(old, math.Float64bits(rate))
}

// rate is the share now, faded since last.
func (f *failures) rate(now, last int64) float64 {
	bits := f.bits.Load()
	if bits == 0 {
		return 0
	}
	return math.Float64frombits(bits) * faded(now, last)
}

// recent returns the mean where a call was seen within a time; ok is false where
// none was.
func (l *latency) recent(now int64, within time.Duration) (d time.Duration, ok bool) {
	last := l.last.Load()
	return time.Duration(math.Float64frombits(l.mean.Load())), last != 0 && now-last <= int64(within)
}

// quantile returns a percentile, rounded up to a slot's end (at most 25 % too
// much). ok is false while fewer than ten calls were seen.
func (l *latency) quantile(percent int) (d time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n < known {
		return 0, false
	}
	left := l.n * (100 - percent) / 100
	for i := len(l.hist) - 1; i >= 0; i-- {
		if left -= int(l.hist[i]); left < 0 {
			return slotEnd(i), true
		}
	}
	return 0, false
}

// slot numbers durations on a scale of four steps an octave from 64 µs on.
func slot(d time.Duration) int {
	u := uint64(d) >> 14 // 16 µs
	if u < 4 {
		return 0
	}
	e := bits.Len64(u) - 3
	return min(127, e*4+int(u>>e&3))
}

func slotEnd(i int) time.Duration {
	return time.Duration(uint64(i&3+5)<<(i/4)) << 14
}
