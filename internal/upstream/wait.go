package upstream

import (
	"context"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// stand is how a run waits in line.
type stand struct {
	spent time.Duration // in line
}

// wait stands in line at everybody who could take the request if there were
// room, until one has, the time to wait is over, or the client has left. It
// returns what the request was given, nil for nothing. All models count: the
// first that has room is the current one then.
func (r *run) wait(ctx context.Context, now int64) *bid {
	bids, longest := r.bids(now)
	until := min(now+int64(longest-r.spent), r.until())
	bids = slices.DeleteFunc(bids, func(b bid) bool {
		x := b.call.why(now)
		return x.state != stateFull && x.at > until // in vain
	})
	if len(bids) == 0 || until <= now {
		return nil
	}
	w, reg := newWaiter(r.req.Caller, bids), r.pool.Registry
	if !reg.join(w) {
		r.spent = longest
		return nil
	}
	t := time.NewTimer(time.Duration(until - now))
	defer t.Stop()
	select {
	case <-w.done:
	case <-t.C:
	case <-ctx.Done():
	}
	got := reg.leave(w)
	later := r.now()
	r.spent += time.Duration(later - now)
	if r.req.Note == "" {
		r.req.Trail.Queued += time.Duration(later - now)
	}
	if ctx.Err() != nil {
		if got != nil {
			got.call.cancel(later, got.need)
		}
		r.last = &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: ctx.Err()}
		return nil
	}
	if got != nil {
		r.model = got.model
		r.queue = []choice{got.choice}
	}
	return got
}

// bids are the calls that the request could make if there were room, and how
// long it may wait for one.
func (r *run) bids(now int64) (bids []bid, longest time.Duration) {
	at := func(p *Pool, model int) {
		p.each(r.top(), r.pool.outer(p), func(c choice) {
			if r.mayWait(c, model, now) {
				bids = r.bid(bids, c, model, now)
				longest = max(longest, c.t.Timeouts.Queue)
			}
		})
	}
	first := r.pool
	if r.only != nil {
		first = r.only
	}
	at(first, 0)
	for i, p := range r.fallback() {
		at(p, i+1)
	}
	return bids, longest
}

// mayWait reports whether the request may wait for a target: one that is not
// broken and that it may be sent to. What failed is tried again by again, after
// a pause.
func (r *run) mayWait(c choice, model int, now int64) bool {
	return r.calls(model, c.own) < c.attempts(r.pool) && !r.barred(c) && (model == r.model || !r.wasJudged(c.t)) && !r.unfit(c) && (r.context == 0 || c.t.Context > r.context) &&
		c.t.State.Breaker.Ready(now) && !c.t.State.drained.Load() && !c.t.State.Benched()
}

// bid appends the calls that can be made to a target, bounded.
func (r *run) bid(bids []bid, c choice, model int, now int64) []bid {
	n := c.t.need(r.req, r.clamp)
	pinned := r.req.Pin != nil && slices.ContainsFunc(c.t.Calls, func(x Call) bool { return x.Credential.ID == r.req.Pin.Credential })
	for i := range c.t.Calls {
		call := &c.t.Calls[i]
		if len(bids) == maxBids || pinned && call.Credential.ID != r.req.Pin.Credential || slices.Contains(r.refused, call) ||
			call.rest(now).state == stateQuarantined {
			continue
		}
		bids = append(bids, bid{choice: c, model: model, call: call, need: n})
	}
	return bids
}
