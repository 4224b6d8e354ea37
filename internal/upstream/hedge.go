package upstream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Hedge says when a second call is made beside one that is slow (Dean and
// Barroso, "The Tail at Scale").
type Hedge struct {
	// After is how long the first may be without content; 0: as long as 95 % of
	// the target's calls, and none while that is not known.
	After  time.Duration
	Budget float64 // share of recent requests that may be hedged
}

// hedge is a second call beside a first one, until either has brought content:
// the one that has answers, the other is ended at once. There is at most one
// for a request, and it has ended when join returns.
type hedge struct {
	run   *run
	ctx   context.Context
	first *watch
	from  choice // of the first
	call  *Call
	timer *time.Timer

	mu    sync.Mutex
	over  bool          // the first has ended, or has content: no second begins, or wins
	won   bool          // the second has content, and the first had none
	done  chan struct{} // closed when the second has ended or has content; nil: none began
	watch *watch        // of the second
	c     choice
	other *Call
	live  *live
	chunk llm.Chunk
	err   *llm.Error
}

// lost is the cause that ends the call which was slower.
var lost = &llm.Error{Kind: llm.KindLost, Message: "another call of the request answered first"}

// hedged prepares a hedge beside a call that is about to begin; nil where none
// may be made.
func (r *run) hedged(ctx context.Context, c choice, call *Call, w *watch) *hedge {
	set := r.pool.Policy.Hedge
	switch {
	case set == nil || r.hedges > 0 || r.req.Pin != nil || r.req.Op.Relayed() || r.req.Op == llm.OpRealtime || r.delivered != "":
		return nil
	case c.own == nil && !r.spare(c, c) || len(r.queue) < 2 && len(c.t.Calls) < 2:
		return nil
	}
	after := set.After
	if after == 0 {
		var ok bool
		if after, ok = c.t.State.kinds[kind(r.req.Stream)].quantile(95); !ok {
			return nil
		}
	}
	if r.deadline-r.now() < int64(after+leastLeft) {
		return nil
	}
	h := &hedge{run: r, ctx: ctx, first: w, from: c, call: call}
	h.timer = time.AfterFunc(after, h.begin)
	return h
}

// begin makes the second call, in a goroutine of its own.
func (h *hedge) begin() {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return
	}
	c, call, p, ok := h.run.second(h.from, h.call)
	if !ok {
		h.mu.Unlock()
		return
	}
	h.c, h.other, h.done = c, call, make(chan struct{})
	h.watch = newWatch(h.ctx, c.t, h.run.req, h.run.deadline, h.run.movable(c))
	h.watch.within(h.run.by)
	h.mu.Unlock()
	defer close(h.done)
	l, chunk, err := h.open(c, call, p)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.err = err
	case h.over:
		h.err = l.fail(lost)
	default:
		h.won, h.live, h.chunk = true, l, chunk
		h.first.cancel(lost)
	}
}

// open is run.open where a panic, of which the attempt tells, loses the call:
// the goroutine is the timer's, and nobody above would stop it.
func (h *hedge) open(c choice, call *Call, p permit) (l *live, chunk llm.Chunk, err *llm.Error) {
	defer func() {
		if recover() != nil {
			l, err = nil, lost
		}
	}()
	return h.run.open(h.watch, c, call, p, llm.NoteHedge)
}

// join takes the first call's end, with its content or its error, and returns
// the answer: that call's, or the second's. Where both have failed, both are
// noted, and the error is the one that says most.
func (h *hedge) join(l *live, chunk llm.Chunk, err *llm.Error) (choice, *live, llm.Chunk, *llm.Error) {
	h.timer.Stop()
	h.mu.Lock()
	begun := h.done != nil
	if !begun || !h.won && (err == nil || err.Next() == llm.StepStop) {
		h.over = true
		if begun {
			h.watch.cancel(lost)
		}
	}
	h.mu.Unlock()
	r := h.run
	if begun {
		<-h.done
		r.attempts++
		r.hedges++
	}
	switch {
	case h.won: // it stays so: done is closed
		if r.count(h.from); err == nil {
			l.fail(lost)
		}
		return h.c, h.live, h.chunk, nil
	case err == nil:
		if begun {
			r.count(h.c)
		}
		return h.from, l, chunk, nil
	}
	r.failed(h.from, h.call, err)
	if !begun {
		return h.from, nil, chunk, err
	}
	if h.err.Kind != llm.KindLost {
		r.failed(h.c, h.other, h.err)
	}
	switch h.err.Kind {
	case llm.KindConnect, llm.KindUnsupported, llm.KindLost:
		return h.from, nil, chunk, err
	}
	if err.Next() == llm.StepNext {
		return h.c, nil, chunk, h.err
	}
	return h.from, nil, chunk, err
}

// second finds who may be asked beside a call that is slow, another target
// first, and pays for it from the hedges' own budget. An arm of a split is hedged
// by its own targets alone: that it is slow is for its figures to tell. It
// changes nothing of the run.
func (r *run) second(from choice, call *Call) (choice, *Call, permit, bool) {
	now := r.now()
	if r.deadline-now < int64(leastLeft) {
		return choice{}, nil, permit{}, false
	}
	refused := append(slices.Clip(r.refused), call)
	rest := r.queue[min(1, len(r.queue)):]
	for i := range len(rest) + 1 {
		c := from
		if i < len(rest) {
			c = rest[i]
		}
		if !r.spare(c, from) || c.arm != from.arm && from.arm != nil {
			continue
		}
		if other, p := r.beside(c, refused, now); other != nil {
			ok := r.pool.Budget.hedge()
			if !ok {
				other.cancel(now, p.reserved)
			}
			return c, other, p, ok
		}
	}
	return choice{}, nil, permit{}, false
}

// beside returns the call of a candidate that is well and has room, nil if none
// is.
func (r *run) beside(c choice, refused []*Call, now int64) (*Call, permit) {
	st := c.t.State
	if state, _, _ := c.t.whyNot(now); state != "" || st.Suspected() || r.context > 0 && c.t.Context <= r.context {
		return nil, permit{}
	}
	if phase, _, _ := st.Breaker.Phase(now); phase != Closed {
		return nil, permit{}
	}
	p := permit{reserved: c.t.need(r.req, r.clamp)}
	call := c.t.pick(now, r.hash, st.calls.Load(), refused, nil, p.reserved)
	if call == nil {
		return nil, permit{}
	}
	pass, ok := st.Breaker.Allow(now, c.t.lease(r.req.Stream))
	if pass != 0 { // it has opened since: a hedge is no probe
		st.Breaker.Record(now, pass, Neutral)
		ok = false
	}
	if !ok {
		call.cancel(now, p.reserved)
		return nil, permit{}
	}
	return call, p
}
