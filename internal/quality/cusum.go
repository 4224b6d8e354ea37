package quality

import (
	"cmp"
	"math"
	"time"
)

const (
	// usual is the share of bad answers that is expected before any were judged,
	// and usualWeight how many answers that opinion is worth.
	usual       = 0.05
	usualWeight = 100
	// leastUsual keeps a target that never failed from being alarmed by its second
	// failure.
	leastUsual = 0.01
	// trailing is the half-life of what the usual share is learned of.
	trailing = 7 * 24 * time.Hour
	// between is how many answers of a series there are between false alarms, at
	// least. An answer belongs to two series, its target's and its task's there, and
	// to no other, so that the whole has one in half as many, however many series
	// there are.
	between = 150_000
	// healed is the logarithm of the odds that answers are as usual again.
	healed = 4
	// collapsed is the share of bad answers from which a series in alarm has
	// collapsed.
	collapsed = 1.0 / 3
	// quick weighs the last answers of a series in alarm, some twenty of them.
	quick = 0.05
)

// usually is the share of bad answers of a series while it was not in alarm: a
// count that fades, drawn to usual where it is small.
type usually struct {
	n, bad float64
	at     int64   // Unix seconds of the last change
	weight float64 // of the opinion before; 0: usualWeight
}

func (u *usually) add(n, bad int, now int64) {
	if u.n > 0 && now > u.at {
		f := math.Exp2(-float64(now-u.at) / trailing.Seconds())
		u.n, u.bad = u.n*f, u.bad*f
	}
	u.n, u.bad, u.at = u.n+float64(n), u.bad+float64(bad), now
}

// share is the mean of the posterior and a standard deviation more: what is not
// known yet must not look like a rise.
func (u *usually) share() float64 {
	weight := cmp.Or(u.weight, usualWeight)
	n := u.n + weight
	p := (u.bad + usual*weight) / n
	return min(0.9, max(leastUsual, p+math.Sqrt(p*(1-p)/n)))
}

// cusum is Page's test for a share of bad answers that has risen (Bernoulli). It
// sums what each answer says for the raised share against the usual one, and
// begins anew whenever the sum says nothing.
type cusum struct {
	p0, p1    float64 // usual, raised
	good, bad float64 // what an answer adds to the sum
	bound     float64
	sum       float64
	n, hits   int // answers, and bad ones, since the sum was nothing
	fresh     int // answers since the usual share was looked at
}

// aim takes the usual share.
func (c *cusum) aim(p0 float64) {
	p1 := min(0.95, max(2*p0, p0+0.03))
	c.p0, c.p1, c.fresh = p0, p1, 0
	c.bad, c.good = math.Log(p1/p0), math.Log((1-p1)/(1-p0))
	// The mean time between false alarms is about (e^h-h-1)/K (Siegmund 1985), K
	// being the divergence of the two shares; what the sum overshoots makes it
	// longer.
	c.bound = math.Log(between * -(p0*c.bad + (1-p0)*c.good))
}

// take adds an answer and reports whether the share has risen. rest is the run
// that ended without an alarm: its answers are usual ones.
func (c *cusum) take(bad bool) (alarm bool, n, hits int) {
	c.n++
	c.fresh++
	if bad {
		c.hits++
		c.sum += c.bad
		return c.sum >= c.bound, 0, 0
	}
	if c.sum += c.good; c.sum > 0 {
		return false, 0, 0
	}
	n, hits = c.n, c.hits
	c.sum, c.n, c.hits = 0, 0, 0
	return false, n, hits
}

// detector finds when the answers of a series become worse, and when they are as
// before. It is not safe for concurrent use.
type detector struct {
	usually
	test cusum

	alarmed   bool
	since     int64 // Unix seconds
	raised    float64
	statistic float64
	n, hits   int     // answers since the change began
	recent    float64 // share of the last ones, in alarm
	heal      float64 // what speaks for an end of the alarm
	collapse  bool
}

// change is what an answer made of a detector.
type change uint8

const (
	none change = iota
	began
	worse // it has collapsed, after it had begun
	over
	adopted // it is the usual now
)

// adoptAfter and adoptLeast are how long, and for how many answers, an alarm
// lasts that is no collapse before what it found is the usual.
const (
	adoptAfter = 24 * time.Hour
	adoptLeast = 200
)

// take adds an answer, now in Unix seconds.
func (d *detector) take(bad bool, now int64) change {
	if d.alarmed {
		return d.alarm(bad, now)
	}
	if d.test.bound == 0 || d.test.sum == 0 && d.test.fresh >= 16 {
		d.test.aim(d.share())
	}
	risen, n, hits := d.test.take(bad)
	if n > 0 {
		d.add(n, hits, now)
	}
	if !risen {
		return none
	}
	d.alarmed, d.since, d.statistic = true, now, d.test.sum
	d.n, d.hits, d.heal = d.test.n, d.test.hits, 0
	d.recent = float64(d.hits) / float64(d.n)
	d.raised = min(0.9, max(d.test.p1, d.recent))
	d.collapse = d.recent >= collapsed
	return began
}

// alarm adds an answer to a series in alarm: by the sequential test of the share
// that it rose to against the usual one.
func (d *detector) alarm(bad bool, now int64) change {
	p0 := d.test.p0
	d.n++
	d.recent *= 1 - quick
	if bad {
		d.hits++
		d.recent += quick
		d.heal = max(0, d.heal+math.Log(p0/d.raised))
		if !d.collapse && d.recent >= collapsed {
			d.collapse, d.raised = true, max(d.raised, collapsed)
			return worse
		}
		return none
	}
	d.heal += math.Log((1 - p0) / (1 - d.raised))
	switch {
	case d.heal >= healed:
		d.clear()
		return over
	case !d.collapse && now-d.since >= int64(adoptAfter/time.Second) && d.n >= adoptLeast:
		d.usually = usually{weight: d.weight}
		d.add(d.n, d.hits, now)
		d.clear()
		return adopted
	}
	return none
}

// clear ends an alarm; the usual share stays.
func (d *detector) clear() {
	d.alarmed, d.collapse = false, false
	d.test = cusum{}
}
