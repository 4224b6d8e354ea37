package experiment

import (
	"math"
	"math/bits"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// arm is how one arm did. It is not safe for concurrent use.
type arm struct {
	requests, answers, errors int64
	took, first               times
	cost                      llm.Money
	output                    int64
	flags                     flags
}

func (a *arm) add(r *result) {
	a.requests++
	a.cost += r.cost
	a.output += r.output
	switch r.end {
	case failed:
		a.errors++
	case answered:
		a.answers++
		a.took.add(r.took)
		if r.first > 0 {
			a.first.add(r.first)
		}
		a.flags.add(r.flags)
	}
}

// flags counts answers by what was wrong with them.
type flags [32]int64

func (f *flags) add(x llm.Flags) {
	for ; x != 0; x &= x - 1 {
		f[bits.TrailingZeros32(uint32(x))]++
	}
}

// named returns the counts by the names of the flags.
func (f *flags) named() map[string]int64 {
	m := map[string]int64{}
	for i, n := range f {
		if n == 0 {
			continue
		}
		for _, name := range llm.Flags(1 << i).Names() {
			m[name] = n
		}
	}
	return m
}

// times counts durations on a scale of eight steps an octave from 128 µs on.
type times struct {
	slots [192]uint32 // up to 35 minutes
	n     int64
}

const (
	leastTime = 128 * time.Microsecond
	octave    = 8
)

func (t *times) add(d time.Duration) {
	i := 0
	if d > leastTime {
		i = min(len(t.slots)-1, 1+int(octave*math.Log2(float64(d)/float64(leastTime))))
	}
	if t.slots[i] < math.MaxUint32 {
		t.slots[i]++
		t.n++
	}
}

// quantile returns the upper end of the slot in which it lies, at most 9 % too
// much; 0 where there is none.
func (t *times) quantile(q float64) time.Duration {
	left := int64(math.Ceil(q * float64(t.n)))
	if left == 0 {
		return 0
	}
	for i, n := range t.slots {
		if left -= int64(n); left <= 0 {
			return time.Duration(float64(leastTime) * math.Exp2(float64(i)/octave))
		}
	}
	return 0
}
