package upstream

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

const (
	// decay is the time constant of the moving average (Finagle's peak EWMA
	// uses 10 s).
	decay = 10 * time.Second
	// forget is the time constant with which an unused measurement falls
	// back to the prior, so that a slow target is tried again.
	forget = time.Minute
	// minAlpha is the least weight of a new sample.
	minAlpha = 0.1
	// known is how many samples make a quantile.
	known = 10
	// failedAs is what a failure counts as at least, so that failing fast
	// attracts nothing.
	failedAs = 5 * time.Second
)

// latency measures the time to the first event of one kind of call. Safe for
// concurrent use.
type latency struct {
	mu   sync.Mutex
	mean float64 // ns, moving
	last int64   // when mean was fed
	hist [128]uint16
	n    int
}

// record feeds a sample; failures feed the mean but not the quantiles.
func (l *latency) record(now int64, d time.Duration, failed bool) {
	if d < 0 {
		d = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := float64(d)
	if failed {
		x = math.Max(x, float64(failedAs))
	}
	if l.last == 0 {
		l.mean = x
	} else {
		alpha := math.Max(minAlpha, 1-math.Exp(-float64(now-l.last)/float64(decay)))
		l.mean += alpha * (x - l.mean)
	}
	l.last = now
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

// expected returns the mean, fallen back towards prior since the last sample.
func (l *latency) expected(now int64, prior time.Duration) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 {
		return prior, false
	}
	keep := math.Exp(-float64(now-l.last) / float64(forget))
	return time.Duration(float64(prior) + (l.mean-float64(prior))*keep), true
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
