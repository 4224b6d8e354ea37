package sim

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// draw is the luck of one call. It depends on the seed, the model and the
// call's number alone.
type draw struct {
	fault   float64 // 0..1, below the share: the fault strikes
	failure float64 // 0..1, below the rate: the call fails
	wait    float64 // standard normal
	length  float64 // standard normal
	text    uint64  // seed of what is answered
}

func newDraw(seed uint64, model string, number uint64) draw {
	r := rand.New(rand.NewPCG(mix(seed^hash(model)), mix(number)))
	return draw{fault: r.Float64(), failure: r.Float64(), wait: r.NormFloat64(), length: r.NormFloat64(), text: r.Uint64()}
}

// source returns the randomness of the call's i-th answer.
func (d draw) source(i int) *rand.Rand { return rand.New(rand.NewPCG(d.text, mix(uint64(i)))) }

// latency returns the time to the first token of m: lognormal with median
// Latency.
func (d draw) latency(m *Model) time.Duration {
	return time.Duration(min(float64(m.Latency)*math.Exp(m.Sigma*d.wait), float64(24*time.Hour)))
}

// tokens returns the length of an answer of m, 1 to maxTokens.
func (d draw) tokens(m *Model) int {
	mean := m.Tokens
	if mean == 0 {
		mean = defTokens
	}
	n := math.Round(float64(mean) + float64(m.Spread)*d.length)
	return int(max(1, min(n, maxTokens)))
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// mix spreads neighbouring numbers over all bits (splitmix64's finalizer,
// Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
