package upstream

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// hand makes an answer of one that is accepted.
func (r *run) hand(ctx context.Context, c choice, half *peeked) *llm.Response {
	if r.by = 0; r.gating != nil {
		r.gating.terms = nil
	}
	half.watch.free()
	if c.by != nil {
		r.took(c)
	}
	out := r.response(c, half.live)
	if r.resumes() && !out.Fixed {
		out.Stream = &resumable{run: r, ctx: ctx, c: c, half: *half}
	} else {
		half.mute = !r.req.Events
		out.Stream = half
	}
	return out
}

// took tells the pools on the way to a choice which of their options answers.
func (r *run) took(c choice) {
	for i := -1; i < len(r.pool.Fallback); i++ {
		p := r.pool
		if i >= 0 {
			p = r.pool.Fallback[i]
		}
		for j := range p.Options {
			if &p.Options[j] == c.from {
				p.took(c.from, c, r.ask)
				return
			}
		}
	}
}

// took tells p, and the pools within the option, that the option answers, c being
// what was chosen there. Where several options lead to c, the first does.
func (p *Pool) took(o *Option, c choice, a Ask) {
	if p.Took != nil {
		p.Took(o, a)
	}
	if p == c.by || o.Pool == nil {
		return
	}
	for i := range o.Pool.Options {
		if inner := &o.Pool.Options[i]; inner.leads(c) {
			o.Pool.took(inner, c, a)
			return
		}
	}
}

// leads reports whether c may have been chosen by way of the option.
func (o *Option) leads(c choice) bool {
	if o == c.own {
		return true
	}
	if o.Pool == nil || o.Pool == c.by {
		return o.Pool != nil
	}
	for i := range o.Pool.Options {
		if o.Pool.Options[i].leads(c) {
			return true
		}
	}
	return false
}

// response tells of an answer all but its stream.
func (r *run) response(c choice, l *live) *llm.Response {
	resp := l.inner
	out := &llm.Response{
		Status: resp.Status, Header: resp.Header, Proto: resp.Proto, VendorID: resp.VendorID,
		Model: c.pool.Model, Target: c.t.ID, Credential: l.call.Credential.ID, Strategy: r.pool.Strategy, Lossy: resp.Lossy, Send: resp.Send,
		Degraded: r.level, Fixed: resp.Fixed,
	}
	if !r.req.Stream {
		if out.Cost = r.req.Trail.Cost(); !l.finished {
			out.Cost += c.t.Price.At(l.attempt.Start).Cost(l.usage)
		}
	}
	if r.model > 0 || r.only != nil && r.only != r.pool {
		out.FallbackFrom = r.pool.Model
	} else if r.first != c.pool.Model {
		out.FallbackFrom = r.first
	} else if c.arm != nil {
		if drawn := r.drawnBy(c.arm.Split); drawn != nil && drawn != c.arm {
			out.FallbackFrom = drawn.Model
		}
	}
	return out
}

// soonest is how long until some target can be asked again.
func (r *run) soonest(now int64) time.Duration {
	best := time.Duration(-1)
	r.each(func(c choice) {
		state, _, wait := c.t.whyNot(now)
		if state == "open" { // where nobody else can be asked
			wait = time.Duration(max(0, c.t.State.Breaker.Opens(now, Last)-now))
		} else if state == stateBenched {
			wait = 0
		}
		if wait >= 0 && (best < 0 || wait < best) {
			best = wait
		}
	})
	return max(0, best)
}

// each calls f with every target of the pool and its fallback models that the
// request may go to, barred or not.
func (r *run) each(f func(choice)) {
	may := func(c choice) {
		if !r.never(c) {
			f(c)
		}
	}
	r.pool.each(r.top(), nil, may)
	for _, p := range r.fallback() {
		p.each(r.top(), r.pool.outer(p), may)
	}
}

// giveUp is the answer when no candidate is left.
func (r *run) giveUp() *llm.Error {
	if r.last != nil {
		switch r.last.Kind {
		case llm.KindCanceled, llm.KindTimeout, llm.KindContextLength, llm.KindUnsupported:
			return r.last
		}
	}
	now := r.now()
	var live, resting, open, full int
	var unfit *llm.Error // why the first cannot or must not be asked
	r.ask.Now = now
	r.each(func(c choice) {
		if b, s := c.in.bars(&r.ask, c.t); b != 0 {
			if e := s.unfit(&r.ask, c.t, b, r.pool.Model); unfit == nil || e.Kind == llm.KindRateLimited {
				unfit = e
			}
			return
		}
		switch state, _, _ := c.t.whyNot(now); state {
		case "":
			live++
		case "open":
			open++
		case stateCooldown:
			resting++
		case stateFull:
			full++
		}
	})
	wait := max(r.soonest(now), time.Millisecond)
	if unfit != nil && r.last == nil && live+resting+open+full == 0 {
		if unfit.Kind == llm.KindRateLimited {
			unfit.RetryAfter = max(wait, time.Second)
		}
		return unfit
	}
	seconds := (wait + time.Second - 1) / time.Second
	switch {
	case live == 0 && full > 0 && !r.refusedByVendor():
		return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: wait, Err: cause(r.last),
			Message: fmt.Sprintf("every target of %q is busy; try again in %d s", r.pool.Model, seconds)}
	case live == 0 && resting > 0 && open == 0:
		return &llm.Error{Kind: llm.KindRateLimited, RetryAfter: wait, Err: cause(r.last),
			Message: fmt.Sprintf("every target of %q is rate limited; try again in %d s", r.pool.Model, seconds)}
	case live == 0 && (open > 0 || r.last == nil):
		return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: wait, Final: open > 0 && resting == 0, Err: cause(r.last),
			Message: fmt.Sprintf("no target of %q can be asked now; try again in %d s", r.pool.Model, seconds)}
	case r.last == nil:
		return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second,
			Message: fmt.Sprintf("no target of %q could be asked; try again", r.pool.Model)}
	case r.last.Kind == llm.KindCredential || r.last.Kind == llm.KindCredit:
		return &llm.Error{Kind: llm.KindUpstream, Err: r.last,
			Message: fmt.Sprintf("the vendor did not accept the gateway's credential for %q; its operator can see why in the request's record", r.pool.Model)}
	}
	return r.last
}

// refusedByVendor reports whether the last call was refused for its credential's
// sake: that says more than that others take the room now.
func (r *run) refusedByVendor() bool {
	if r.last == nil {
		return false
	}
	switch r.last.Kind {
	case llm.KindRateLimited, llm.KindCredential, llm.KindCredit:
		return true
	}
	return false
}

func cause(e *llm.Error) error {
	if e == nil {
		return nil
	}
	return e
}
