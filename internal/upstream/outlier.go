package upstream

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// leastPeers is how many targets of a pool must stand beside each other for
	// one to be an outlier.
	leastPeers = 4
	// leastSeen is how many results of its window say something of a target.
	leastSeen = 20
	// deviations below the mean of the others make a success rate an outlier
	// (Envoy's success_rate_stdev_factor is 1.9), leastGap at least.
	deviations = 1.9
	leastGap   = 0.1
	// slowness over the median of the others makes a latency an outlier, where
	// it is leastExcess above it as well and stays so for slowFor: one long
	// answer is none.
	slowness    = 3
	leastExcess = 250 * time.Millisecond
	slowFor     = 10 * time.Second
	// baseEjection grows by itself with each ejection in a row, up to
	// maxEjection; a target that was in for maxEjection begins anew. (Envoy's
	// base_ejection_time, max_ejection_time.)
	baseEjection = 30 * time.Second
	maxEjection  = 5 * time.Minute
)

// ejection is a target's rest as an outlier: it is asked behind its peers.
type ejection struct {
	until  atomic.Int64 // 0: not ejected
	reason atomic.Pointer[string]

	// Outliers' own.
	times int   // in a row
	ended int64 // the last
	slow  int64 // since when it was slow without a pause, 0: it is not
}

// why is why and for how long the target is ejected; 0: it is not.
func (e *ejection) why(now int64) (reason string, wait time.Duration) {
	until := e.until.Load()
	if until <= now {
		return "", 0
	}
	if p := e.reason.Load(); p != nil {
		reason = *p
	}
	return reason, time.Duration(until - now)
}

// Outliers finds targets that do worse than those beside them and lets them
// rest, at most a share of each group of peers at a time: the targets of one
// priority and region of a pool whose strategy spreads load.
type Outliers struct {
	share  float64
	groups []group
	of     map[*State][]int // groups of a target
}

type group []*Target

// NewOutliers looks after those of pools that spread load over enough targets.
// share is of each group, 0 for none. It belongs to the building of the pools.
func NewOutliers(pools []*Pool, share float64) *Outliers {
	o := &Outliers{share: share, of: map[*State][]int{}}
	if share <= 0 {
		return o
	}
	for _, p := range pools {
		if !p.Spreads {
			continue
		}
		for i := 0; i < len(p.Options); {
			n := p.groupEnd(i)
			o.add(p.Options[i:n])
			i = n
		}
	}
	return o
}

func (o *Outliers) add(options []Option) {
	var g group
	for i := range options {
		if t := options[i].Target; t != nil {
			g = append(g, t)
		}
	}
	if len(g) < leastPeers {
		return
	}
	for i := range options {
		options[i].peers = true
	}
	for _, t := range g {
		o.of[t.State] = append(o.of[t.State], len(o.groups))
	}
	o.groups = append(o.groups, g)
}

// most is how many of a group may be ejected at a time.
func (o *Outliers) most(g group) int { return int(o.share * float64(len(g))) }

// Look ends the ejections that are over, and those beyond the share, and ejects
// who has become an outlier. One goroutine calls it, every second or so.
func (o *Outliers) Look() {
	for _, g := range o.groups {
		now := g[0].State.reg.now()
		for _, t := range g {
			if until := t.State.ejection.until.Load(); until != 0 && until <= now {
				t.State.readmit(now)
			}
		}
		for o.ejected(g, now) > o.most(g) {
			o.first(g, now).State.readmit(now)
		}
	}
	for _, g := range o.groups {
		now := g[0].State.reg.now()
		seen := g.seen(now)
		for i := range seen {
			if reason := outlier(seen, i, now); reason != "" && o.room(seen[i].t, now) {
				seen[i].t.State.eject(now, reason)
				seen[i].out = true
			}
		}
	}
}

func (o *Outliers) ejected(g group, now int64) (n int) {
	for _, t := range g {
		if t.State.ejection.until.Load() > now {
			n++
		}
	}
	return n
}

// first is the one of g whose ejection ends first.
func (o *Outliers) first(g group, now int64) *Target {
	var best *Target
	for _, t := range g {
		if at := t.State.ejection.until.Load(); at > now && (best == nil || at < best.State.ejection.until.Load()) {
			best = t
		}
	}
	return best
}

// room reports whether one more may be ejected in all groups of t.
func (o *Outliers) room(t *Target, now int64) bool {
	return !slices.ContainsFunc(o.of[t.State], func(i int) bool {
		return o.ejected(o.groups[i], now) >= o.most(o.groups[i])
	})
}

func (s *State) eject(now int64, reason string) {
	e := &s.ejection
	if now-e.ended > int64(maxEjection) {
		e.times = 0
	}
	e.times++
	e.slow = 0
	e.reason.Store(&reason)
	e.until.Store(now + int64(min(maxEjection, time.Duration(e.times)*baseEjection)))
}

func (s *State) readmit(now int64) {
	s.ejection.until.Store(0)
	s.ejection.ended = now
	s.Breaker.Recount() // what it did before is paid for
	s.recovered()
	s.back(now)
}

// seen is what the window shows of one target of a group.
type seen struct {
	t     *Target
	rate  float64       // of successes
	first [2]float64    // expected time of each kind of call in ns, 0: not known of late
	prior time.Duration // what the operator expects
	out   bool          // ejected: no measure for the others
	few   bool          // results, too few to be judged or to judge
}

func (g group) seen(now int64) []seen {
	all := make([]seen, len(g))
	for i, t := range g {
		st := t.State
		good, n := st.Breaker.counts(now)
		x := seen{t: t, prior: t.Prior, out: st.ejection.until.Load() > now, few: n < leastSeen}
		if !x.few {
			x.rate = float64(good) / float64(n)
		}
		for k := range x.first {
			if d, ok := st.kinds[k].recent(now, t.Breaker.Window); ok {
				x.first[k] = float64(d)
			}
		}
		all[i] = x
	}
	return all
}

// outlier says why the i-th does worse than the others, "" if it does not. It
// notes since when a target is slow.
func outlier(all []seen, i int, now int64) string {
	x := &all[i]
	e := &x.t.State.ejection
	if x.out || x.few {
		e.slow = 0
		return ""
	}
	var rates []float64
	var firsts [2][]float64
	for j := range all {
		if y := &all[j]; j != i && !y.out && !y.few {
			rates = append(rates, y.rate)
			for k, f := range y.first {
				if f > 0 {
					firsts[k] = append(firsts[k], f)
				}
			}
		}
	}
	if len(rates) < 2 { // nothing to compare with
		e.slow = 0
		return ""
	}
	mean, dev := spread(rates)
	if x.rate < mean-max(leastGap, deviations*dev) {
		return fmt.Sprintf("%.0f %% of its calls succeed, %.0f %% of its peers'", 100*x.rate, 100*mean)
	}
	for k, f := range x.first {
		if len(firsts[k]) < 2 {
			continue
		}
		slices.Sort(firsts[k])
		median := firsts[k][len(firsts[k])/2]
		if base := max(median, float64(x.prior)); f > slowness*base && f > base+float64(leastExcess) {
			if e.slow == 0 {
				e.slow = now
			}
			if now-e.slow >= int64(slowFor) {
				return fmt.Sprintf("answers begin after %s, its peers' after %s", time.Duration(f).Round(time.Millisecond), time.Duration(median).Round(time.Millisecond))
			}
			return ""
		}
	}
	e.slow = 0
	return ""
}

// spread is the mean and the standard deviation.
func spread(x []float64) (mean, dev float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		dev += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(dev)
}
