package quality

import "math"

// Count is how many answers there were, and how many of them were bad.
type Count struct{ N, Bad int64 }

// Add counts an answer.
func (c *Count) Add(bad bool) {
	c.N++
	if bad {
		c.Bad++
	}
}

// Share of the answers that were bad, 0 where there were none.
func (c Count) Share() float64 {
	if c.N == 0 {
		return 0
	}
	return float64(c.Bad) / float64(c.N)
}

// Stratum are the answers of a canary and of its control while traffic was
// shared between them in one way.
type Stratum struct{ Canary, Control Count }

const (
	// spread is the standard deviation of the normal mixture over the difference
	// of the shares, alpha the chance of a wrong word, ever (Johari, Koomen,
	// Pekelis and Walsh, "Always Valid Inference"). 0.05 finds 5 % → 20 % soonest
	// of what was tried; 0.05 is the usual level.
	spread = 0.05
	alpha  = 0.05
	// leastCanary is how many of the canary's answers it takes to say anything.
	leastCanary = 20
)

// Comparison is what the answers so far say of a canary's bad share less the
// control's. It may be made after every answer: its chance of a wrong word is the
// level over all of them together.
type Comparison struct {
	Canary, Control Count
	Difference      float64
	// Reach is how far from Difference the true one may be: the half width of the
	// confidence sequence. +Inf: nothing is known.
	Reach float64
	// Evidence is ln of the likelihood ratio for a difference other than the
	// margin, against Proof.
	Evidence float64
	// Worse: the difference is above the margin. Fine: it is below.
	Worse, Fine bool
}

// Proof is the evidence that is enough.
var Proof = math.Log(1 / alpha)

// Compare compares a canary with its control, by the mixture sequential
// probability ratio test with a normal mixture,
//
//	Λ = ½ ln(V/(V+τ²)) + (d−δ)²τ²/(2V(V+τ²)), τ = 0.05, worse: d > δ and Λ > ln(1/α)
//
// with the margin δ that a canary may be worse by. It is fine where d + reach < δ,
// reach being where the same Λ, around 0, is ln(1/α). The strata are taken
// together by the weights of Mantel and Haenszel, 1/(1/n+1/m), so that what
// changes for both with time is nobody's difference. V is taken at the common
// bad share of a stratum, or at the margin where that is more: where next to
// nothing is bad, one bad answer must not be a proof.
func Compare(strata []Stratum, margin float64) Comparison {
	c := Comparison{Reach: math.Inf(1)}
	weights, sum, noise := 0.0, 0.0, 0.0
	for _, s := range strata {
		c.Canary.N, c.Canary.Bad = c.Canary.N+s.Canary.N, c.Canary.Bad+s.Canary.Bad
		c.Control.N, c.Control.Bad = c.Control.N+s.Control.N, c.Control.Bad+s.Control.Bad
		if s.Canary.N == 0 || s.Control.N == 0 {
			continue
		}
		n, m := float64(s.Canary.N), float64(s.Control.N)
		common := max(margin, (float64(s.Canary.Bad+s.Control.Bad)+0.5)/(n+m+1))
		w := n * m / (n + m)
		weights += w
		sum += w * (s.Canary.Share() - s.Control.Share())
		noise += w * common * (1 - common)
	}
	if weights == 0 {
		return c
	}
	const t = spread * spread
	c.Difference = sum / weights
	v := noise / (weights * weights)
	c.Evidence = math.Log(v/(v+t))/2 + (c.Difference-margin)*(c.Difference-margin)*t/(2*v*(v+t))
	c.Reach = math.Sqrt(2 * v * (v + t) / t * (Proof + math.Log((v+t)/v)/2))
	if c.Canary.N >= leastCanary {
		c.Worse = c.Difference > margin && c.Evidence > Proof
		c.Fine = c.Difference+c.Reach < margin
	}
	return c
}

// Broken reports whether the last answers of a canary failed as those of a target
// do whose breaker opens, and its control's did not: half of twenty or more.
func Broken(canary, control Recent) bool {
	return canary.n >= leastCanary && 2*canary.failed() >= canary.n && !(control.n >= leastCanary && 2*control.failed() >= control.n)
}

// Recent are the last answers, at most 20: which of them failed.
type Recent struct {
	bits uint32
	n    int
}

// Add takes the next answer.
func (r *Recent) Add(failed bool) {
	r.bits = r.bits << 1 & (1<<leastCanary - 1)
	if failed {
		r.bits |= 1
	}
	r.n = min(r.n+1, leastCanary)
}

func (r Recent) failed() (n int) {
	for b := r.bits; b != 0; b &= b - 1 {
		n++
	}
	return n
}
