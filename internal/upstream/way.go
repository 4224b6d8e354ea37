package upstream

import (
	"slices"

	"github.com/sluicegate/sluice/internal/llm"
)

// way is how a choice is come to: through an option of a pool that is come to in the
// same way. The beginning has no option. A nil one is not noted.
type way struct {
	up *way
	in *Pool
	o  *Option // that is a model
}

// through is the way to the model that is an option of p, to which w leads.
func (w *way) through(p *Pool, o *Option) *way {
	if w == nil {
		return nil
	}
	return &way{up: w, in: p, o: o}
}

// gating is what gates have made of a request's answers.
type gating struct {
	root    way
	passed  []seat   // whose answers were not accepted, and who is asked no more
	retried seat     // asked once more for its answer's sake
	judged  []*State // whose answers were not accepted: not asked by fallback models
	terms   []term   // of the pools that have been asked and bound their gates
}

// top begins the ways of the request; nil where no gates judge its answers.
func (r *run) top() *way {
	if r.req.Op != llm.OpChat || r.req.Note != "" || !r.pool.gated() {
		return nil
	}
	if r.gating == nil {
		r.gating = new(gating)
	}
	return &r.gating.root
}

// around returns the pools that c is in, the innermost first, and last the one that
// was asked.
func (r *run) around(c choice) []*Pool {
	all := []*Pool{c.pool}
	for w := c.way; w != nil && w.o != nil; w = w.up {
		all = append(all, w.in)
	}
	if !slices.Contains(all, r.pool) {
		all = append(all, r.pool)
	}
	return all
}

// seat is what gates pass over: an option that is a model, or in a pool all targets
// that are of the same vendor's model. Others may have the same target.
type seat struct {
	option *Option
	pool   *Pool
	vendor string
}

// seat is what c is of p. Where p is not on the way to c, which is another model's
// then, it is what c is of that.
func (c choice) seat(p *Pool) seat {
	s := seat{pool: c.pool, vendor: c.t.Vendor}
	if c.pool == p {
		return s
	}
	for w := c.way; w != nil && w.o != nil; w = w.up {
		if s = (seat{option: w.o}); w.in == p {
			break
		}
	}
	return s
}

// has reports whether c is there.
func (s seat) has(c choice) bool {
	if s.option == nil {
		return c.pool == s.pool && c.t.Vendor == s.vendor
	}
	for w := c.way; w != nil; w = w.up {
		if w.o == s.option {
			return true
		}
	}
	return false
}

// isPassed reports whether c is passed over: its answer was not accepted, or a pool
// that it is in may ask nobody any more.
func (r *run) isPassed(c choice) bool {
	g := r.gating
	if g == nil {
		return false
	}
	if slices.ContainsFunc(g.passed, func(s seat) bool { return s.has(c) }) {
		return true
	}
	now := r.now()
	return r.attempts > 0 && slices.ContainsFunc(g.terms, func(t term) bool {
		over, _ := t.over(now)
		return over && slices.Contains(r.around(c), t.pool)
	})
}

// term is what the gates of a pool may take of a request.
type term struct {
	pool   *Pool
	by     int64     // an answer must be accepted by then, 0: whenever
	wasted llm.Money // by answers in it that were not accepted
	spent  bool      // they may cost no more
}

// over reports whether the pool may ask nobody any more, late that its time is over.
func (t *term) over(now int64) (over, late bool) {
	late = t.by > 0 && t.by-now < int64(leastLeft)
	return late || t.spent, late
}

// found returns that of a pool, valid until the next call of term; nil: it has not
// begun.
func (r *run) found(p *Pool) *term {
	if r.gating == nil {
		return nil
	}
	for i := range r.gating.terms {
		if t := &r.gating.terms[i]; t.pool == p {
			return t
		}
	}
	return nil
}

// term is found where it begins now, and the pool's time with it, if it has not.
func (r *run) term(p *Pool, now int64) *term {
	if t := r.found(p); t != nil {
		return t
	}
	t := term{pool: p}
	if p.By > 0 {
		t.by = now + int64(p.By)
	}
	if r.gating == nil {
		r.gating = new(gating)
	}
	g := r.gating
	g.terms = append(g.terms, t)
	return &g.terms[len(g.terms)-1]
}

// bound is when the answer of a call to c must be accepted that begins now, 0:
// whenever. The time of the pools that it is in begins with it.
func (r *run) bound(c choice, now int64) (by int64) {
	if c.way == nil && r.pool.By == 0 { // nearly always
		return 0
	}
	for _, p := range r.around(c) {
		if p.By == 0 || c.way == nil && p != r.pool {
			continue
		}
		if at := r.term(p, now).by; by == 0 || at < by {
			by = at
		}
	}
	return by
}

// waste notes what an answer of c has cost that the gates of a pool did not accept:
// there, and in the pools around it that have gates.
func (r *run) waste(c choice, of *Pool, cost llm.Money) {
	inside := true
	for _, p := range r.around(c) {
		if inside = inside && p != of; inside || p.Accept == nil || p.Extra <= 0 {
			continue
		}
		t := r.term(p, r.now())
		t.wasted += cost
		if most, known := r.dearest(p); known && float64(t.wasted) > p.Extra*float64(most) {
			t.spent = true
		}
	}
}

// wasJudged reports whether an answer of t was not accepted.
func (r *run) wasJudged(t *Target) bool {
	return r.gating != nil && slices.Contains(r.gating.judged, t.State)
}

// reopen begins anew: nobody is passed over, and answers that are not accepted may
// cost as much again.
func (g *gating) reopen() {
	if g == nil {
		return
	}
	g.passed, g.judged = nil, nil
	for i := range g.terms {
		g.terms[i].wasted, g.terms[i].spent = 0, false
	}
}

// dearest is the most that one call within a pool is expected to cost, for the one
// that was asked within its fallback models, too; known is false where a price is
// not. One's own engine has none.
func (r *run) dearest(of *Pool) (most llm.Money, known bool) {
	all := []*Pool{of}
	if of == r.pool {
		all = append(append(all, r.current()), r.fallback()...)
	}
	known = true
	for _, p := range all {
		p.each(nil, nil, func(c choice) {
			expected, _ := c.t.Cost(r.req)
			most = max(most, expected)
			known = known && (c.t.Price != nil || c.t.Engine != nil)
		})
	}
	return most, known
}
