package upstream

import "math"

// lastResort finds whom to ask where no target of the model and its fallback
// models can be asked, and none has merely no room: one whose answers are bad,
// else the one whose breaker would let a call through first, a second after it
// opened at the latest, unless somebody is asking it already.
func (r *run) lastResort(now int64) (best choice, call *Call, p permit, ok bool) {
	soonest, model := int64(math.MaxInt64), 0
	for i := range 1 + len(r.fallback()) {
		pool := r.pool
		if r.only != nil {
			pool = r.only
		} else if i > 0 {
			pool = r.fallback()[i-1]
		}
		pool.each(r.top(), r.pool.outer(pool), func(c choice) {
			if r.req.Pin != nil && r.req.Pin.Provider != c.t.Provider() || r.unfit(c) {
				return
			}
			switch state, _, _ := c.t.whyNot(now); state {
			case "", stateFull:
				soonest = -1
			case stateBenched: // it answers, after all
				if soonest > 0 {
					best, soonest, model = c, 0, i
				}
			case "open":
				if at := c.t.State.Breaker.Opens(now, Last); at < soonest {
					best, soonest, model = c, at, i
				}
			}
		})
	}
	if soonest < 0 || soonest > now {
		return best, nil, p, false
	}
	b := bid{choice: best, need: best.t.need(r.req, r.clamp)}
	if b.call = best.t.pick(now, r.hash, best.t.State.calls.Load(), nil, r.req.Pin, b.need); b.call == nil {
		return best, nil, p, false
	}
	if p, ok = b.permit(Last, now, r.req.Stream); ok {
		r.model = model
	}
	return best, b.call, p, ok
}

// each calls f with every target of the pool and of the models in it; at is the way
// to it, nil where nobody wants to know, around are the screens that hold for it
// beside its own.
func (p *Pool) each(at *way, around *screens, f func(choice)) { p.eachFrom(nil, at, around, f) }

// eachFrom is each, from being the option of the pool that was asked, nil for the
// pool's own.
func (p *Pool) eachFrom(from *Option, way *way, around *screens, f func(choice)) {
	in := p.under(around)
	for i := range p.Options {
		o := &p.Options[i]
		at := from
		if at == nil {
			at = o
		}
		if o.Target != nil {
			f(choice{t: o.Target, pool: p, from: at, in: in, arm: o.Arm, way: way})
			continue
		}
		o.Pool.eachFrom(at, way.through(p, o), in, func(c choice) {
			c.owned(p, o)
			if o.Arm != nil {
				c.arm = o.Arm
			}
			f(c)
		})
	}
}
