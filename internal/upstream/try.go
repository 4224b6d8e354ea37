package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// leastLeft is how much time a new attempt needs to be worth beginning.
	leastLeft = 100 * time.Millisecond
	// firstBackoff doubles up to maxBackoff between attempts at the same
	// target, with full jitter; another target needs none.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 8 * time.Second
	// waitInPlace is the longest Retry-After that is waited for where nobody
	// else can take the request.
	waitInPlace = 2 * time.Second
	// maxPrefix bounds what is held back before the first content.
	maxPrefix = 1 << 20
	// maxEvents bounds the same where answers are translated.
	maxEvents = 1 << 14
)

// run is one request on its way through a pool and its fallback models: the
// only attempt loop. It calls candidates in turn until one has brought
// content, which is the commit point: from there the answer is the client's,
// and nothing is tried any more but to go on with it, once, where the model
// says so (see resumable).
type run struct {
	pool     *Pool
	req      *llm.Request
	turn     uint64
	deadline int64
	hash     uint64
	ask      Ask // see asked
	said     chosen

	model    int // 0: the pool, n: its n-th fallback
	queue    []choice
	space    [8]choice
	refused  []*Call  // credentials that were refused since the last pause
	fallen   []*State // targets whose call has failed since then
	cannot   []*State // targets that cannot be asked this
	made     []tally
	tallies  [2]tally // room for them
	pauses   int      // made before others were asked again
	waited   bool
	stand        // in line
	context  int // only targets with a larger known context
	first    string
	attempts int
	hedges   int
	drawn    []*llm.Arm // by splits, at most one by each
	last     *llm.Error

	only      *Pool  // at a level of degradation: all that is asked
	level     int    // of degradation, 0 none
	clamp     int    // see llm.Request
	delivered string // the answer goes on from it; see llm.Request.Prefix

	by     int64   // the answer of the call under way must be accepted by then, 0: whenever
	best   *kept   // of the answers that were not accepted, nil: none
	free   bool    // the next call follows one of them, which was no failure
	gating *gating // nil: no gates judge its answers
}

func (r *run) now() int64 { return r.pool.Registry.now() }

func (r *run) current() *Pool {
	if r.only != nil {
		return r.only
	}
	if r.model == 0 {
		return r.pool
	}
	return r.pool.Fallback[r.model-1]
}

func (r *run) do(ctx context.Context) (*llm.Response, *llm.Error) {
	now := r.now()
	if pin := r.req.Pin; pin != nil && !r.pool.has(func(t *Target) bool { return t.Provider() == pin.Provider }) {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "model", Message: fmt.Sprintf(
			"%q has no target at provider %q, which keeps what the request goes on from; ask a model that has one", r.pool.Model, pin.Provider)}
	}
	r.pool.Budget.Deposit(now)
	if h := r.pool.Policy.Hedge; h != nil {
		r.pool.Budget.earn(h.Budget)
	}
	r.deadline = now + int64(24*time.Hour)
	if !r.req.Deadline.IsZero() {
		r.deadline = now + int64(time.Until(r.req.Deadline))
	}
	if r.pool.By > 0 {
		r.by = r.term(r.pool, now).by
	}
	if r.pool.Conversation != nil {
		r.hash = r.pool.Conversation(r.req)
	}
	r.ask = Ask{Req: r.req, Talk: r.hash}
	r.pool.see(&r.ask)
	r.made = r.tallies[:0]
	r.refill(now)
	resp, err := r.try(ctx)
	if err != nil && len(r.pool.Degrade) > 0 {
		return r.degrade(ctx, err)
	}
	return resp, err
}

// try calls candidates until one answers, or nobody is left. Then the best of
// the answers that were not accepted is the answer.
func (r *run) try(ctx context.Context) (*llm.Response, *llm.Error) {
	resp, err := r.call(ctx)
	if r.best == nil {
		return resp, err
	}
	if err != nil && err.Kind != llm.KindCanceled && err.Kind != llm.KindBlocked && r.best.whole() {
		return r.deliver(), nil
	}
	r.best.drop()
	r.best = nil
	return resp, err
}

// call calls candidates until an answer is accepted, or nobody is left.
func (r *run) call(ctx context.Context) (*llm.Response, *llm.Error) {
	for {
		c, call, p, ok := r.next(ctx)
		if !ok {
			return nil, r.giveUp()
		}
		resp, err := r.attempt(ctx, c, call, p)
		if err == nil {
			return resp, nil
		}
		if err.Kind != llm.KindUnsupported || r.last == nil { // a failure says more than that a target could not be asked
			r.last = err
		}
		switch err.Next() {
		case llm.StepStop:
			return nil, err
		case llm.StepLarger:
			r.context = max(r.context, c.t.Context, 1)
		}
	}
}

// fallback returns the models to ask when this one's targets have failed: none
// where the request is bound to one of them, or has come further down.
func (r *run) fallback() []*Pool {
	if r.req.Pin != nil || r.only != nil {
		return nil
	}
	return r.pool.Fallback
}

// refill orders the current model's targets.
func (r *run) refill(now int64) {
	p := r.current()
	turn := r.turn
	if p != r.pool {
		turn = p.turn.Add(1) - 1
	}
	dst := r.space[:0]
	if r.attempts > 0 {
		dst = nil // a watch may still be looking at the old queue
	}
	if r.ask.Prefix == nil && p.prefixes() {
		r.ask.Prefix = p.Registry.prefix(r.req)
	}
	a := r.asked(now)
	a.Turn, a.way = turn, r.top()
	if r.queue = p.choices(dst, a); p != r.pool && r.pool.Screen != nil {
		r.queue = r.pool.Screen.sift(r.queue, 0, &r.ask)
	}
	if r.said.decision != nil && r.req.Note == "" { // a client's own choice
		r.req.Trail.Choose(r.said.decision)
	}
	if r.req.Pin != nil || len(r.fallen)+len(r.cannot)+len(r.made) > 0 || r.gating != nil {
		r.queue = slices.DeleteFunc(r.queue, func(c choice) bool { return r.barred(c) || r.wasJudged(c.t) || !r.left(c) })
	}
}

// asked is what orders and screens see of the request now.
func (r *run) asked(now int64) Ask {
	if r.ask.Now = now; r.ask.View == nil { // it goes on with an answer
		r.pool.see(&r.ask)
	}
	r.ask.chosen, r.ask.run = &r.said, r
	return r.ask
}

// unfit reports whether a screen bars a target from the request, but for limits
// with which it may wait in line.
func (r *run) unfit(c choice) bool {
	if c.in == nil {
		return false
	}
	r.ask.Now = r.now()
	b, _ := c.in.bars(&r.ask, c.t)
	return b != 0 && b != barLimit
}

// barred reports whether the request may not go to c now, whatever state its target
// is in: never, or because that has failed it since the last pause.
func (r *run) barred(c choice) bool {
	return r.never(c) || slices.Contains(r.fallen, c.t.State)
}

// never reports whether c is none for the request: that is bound to another
// provider, its target cannot be asked it, or its gates have had enough.
func (r *run) never(c choice) bool {
	return r.req.Pin != nil && r.req.Pin.Provider != c.t.Provider() || slices.Contains(r.cannot, c.t.State) || r.isPassed(c)
}

// draw notes what a split has drawn: the first of what it draws counts.
func (r *run) draw(arm *llm.Arm) {
	if len(r.drawn) < llm.MaxDraws && r.drawnBy(arm.Split) == nil {
		r.drawn = append(r.drawn, arm)
	}
}

// drawnBy returns what a split has drawn, nil for nothing.
func (r *run) drawnBy(split string) *llm.Arm {
	for _, a := range r.drawn {
		if a.Split == split {
			return a
		}
	}
	return nil
}

// next returns the next candidate with leave to call it, which ends with the
// call. Where all that could be asked have no room it waits in line.
func (r *run) next(ctx context.Context) (c choice, call *Call, p permit, ok bool) {
	for {
		now := r.now()
		if r.attempts > 0 && r.deadline-now < int64(leastLeft) {
			r.last = timeout("the request took longer than it may")
			return c, nil, p, false
		}
		if t := r.found(r.pool); t != nil {
			r.by = t.by
			if over, late := t.over(now); over && r.attempts > 0 {
				if late {
					r.last = overdue()
				}
				return c, nil, p, false
			}
		} else {
			r.by = 0
		}
		if len(r.queue) > 0 {
			if c = r.queue[0]; r.left(c) && !r.isPassed(c) {
				if call, p, ok = r.admit(c, now); ok {
					return c, call, p, r.pay(now, c, call, p)
				}
			}
			r.queue = r.queue[1:]
			continue
		}
		if r.model < len(r.fallback()) {
			r.turnTo(r.model+1, now)
			continue
		}
		if r.makeRoom(now) {
			continue
		}
		if b := r.wait(ctx, now); b != nil {
			if p, ok = b.permit(Ordinary, r.now(), r.req.Stream); ok {
				return b.choice, b.call, p, r.pay(r.now(), b.choice, b.call, p)
			}
		} else if r.attempts == 0 && ctx.Err() == nil {
			return r.lastResort(r.now())
		} else if !r.again(ctx, r.now()) {
			return c, nil, p, false
		}
	}
}

// turnTo goes on with the n-th model.
func (r *run) turnTo(n int, now int64) {
	r.model = n
	r.refill(now)
}

// admit takes a slot and the breaker's leave of a candidate. A candidate with
// another credential to try stays at the head of the queue.
func (r *run) admit(c choice, now int64) (*Call, permit, bool) {
	if r.context > 0 && c.t.Context <= r.context {
		return nil, permit{}, false
	}
	b := bid{choice: c, need: c.t.need(r.req, r.clamp)}
	b.call = c.t.pick(now, r.hash, c.t.State.calls.Load(), r.refused, r.req.Pin, b.need)
	if b.call == nil {
		return nil, permit{}, false
	}
	p, ok := b.permit(Ordinary, now, r.req.Stream)
	return b.call, p, ok
}

// permit adds the breaker's leave to the slot that b has. Without it the slot
// is given back.
func (b *bid) permit(c Claim, now int64, stream bool) (permit, bool) {
	pass, ok := uint64(0), !b.t.State.drained.Load() && b.t.State.absence.take(c, now)
	if ok {
		pass, ok = b.t.State.Breaker.AllowFor(c, now, b.t.lease(stream))
	}
	if !ok {
		b.call.cancel(now, b.need)
	}
	return permit{pass, b.need}, ok
}

// lease is how long a probe may take.
func (t *Target) lease(stream bool) time.Duration {
	if stream {
		return t.Timeouts.FirstToken
	}
	return t.State.silence(false, t.Timeouts.Total/4)
}

// pay takes a retry from the budget, or gives back what was permitted. The first
// call and those that follow a failure to connect, or an answer that was not
// accepted, are free.
func (r *run) pay(now int64, c choice, call *Call, p permit) bool {
	if r.attempts == 0 || r.free || r.last != nil && (r.last.Kind == llm.KindConnect || r.last.Kind == llm.KindUnsupported) {
		return true
	}
	if r.pool.Budget.Withdraw(now, r.pool.Policy.Budget) {
		return true
	}
	c.t.State.Breaker.Record(now, p.pass, Neutral)
	call.cancel(now, p.reserved)
	return false
}

// again waits and orders the last model anew, where attempts are left and
// waiting may help.
func (r *run) again(ctx context.Context, now int64) bool {
	if r.best != nil || r.last == nil || !r.begun() || r.context > 0 || r.level > 0 || r.delivered != "" {
		return false
	}
	wait := time.Millisecond
	if len(r.fallen) > 0 {
		most := min(maxBackoff, firstBackoff<<min(r.pauses, 5))
		wait += time.Duration(rand.Int64N(int64(most)))
	}
	switch r.last.Kind {
	case llm.KindRateLimited:
		soonest := r.soonest(now)
		if r.waited || soonest > waitInPlace {
			return false
		}
		r.waited = true
		wait = max(soonest, wait)
	case llm.KindCredential, llm.KindCredit, llm.KindUnsupported, llm.KindCanceled, llm.KindRejected:
		return false
	default:
		if !r.promising(now) {
			return false
		}
	}
	if int64(wait+leastLeft) > r.until()-now {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		r.last = &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: ctx.Err()}
		return false
	}
	now = r.now()
	r.refused, r.fallen = nil, nil
	r.pauses++
	r.refill(now)
	if len(r.queue) > 0 {
		return true
	}
	bids, longest := r.bids(now)
	return len(bids) > 0 && r.spent < longest
}

// promising reports whether a target of the current model could be asked, but
// for its room.
func (r *run) promising(now int64) bool {
	found := false
	r.current().each(r.top(), r.pool.outer(r.current()), func(c choice) {
		if found || r.never(c) || !r.left(c) || r.unfit(c) {
			return
		}
		state, _, _ := c.t.whyNot(now)
		found = state == "" || state == stateFull
	})
	return found
}

// attempt makes one call and reads up to the first content.
func (r *run) attempt(ctx context.Context, c choice, call *Call, p permit) (*llm.Response, *llm.Error) {
	r.attempts++
	if r.first == "" {
		r.first = c.pool.Model
	}
	now := r.now()
	bound := c.t.Timeouts.Total
	if r.req.Stream {
		bound = c.t.Timeouts.Stream
	}
	if r.attempts == 1 {
		r.deadline = min(r.deadline, now+int64(bound))
	}
	r.by = r.bound(c, now)
	w := newWatch(ctx, c.t, r.req, r.deadline, r.movable(c))
	w.within(r.by)
	h, from := r.hedged(ctx, c, call, w), c
	l, first, err := r.open(w, c, call, p, "")
	if h != nil {
		c, l, first, err = h.join(l, first, err)
	} else if err != nil {
		r.failed(c, call, err)
	}
	if err != nil {
		return nil, err
	}
	if of := r.gates(c); of != nil {
		if c.t != from.t { // it was slower than a hedge, whose answer may not do
			r.drop(from.t)
		}
		return r.judge(ctx, c, l, first, of)
	}
	return r.hand(ctx, c, &peeked{live: l, first: first, have: true}), nil
}

// open makes a call and reads up to the first content. It changes nothing of
// the run.
func (r *run) open(w *watch, c choice, call *Call, p permit, note string) (*live, llm.Chunk, *llm.Error) {
	req := r.req.WithModel(c.t.Vendor)
	req.Clamp, req.Prefix, req.Gated = r.clamp, r.delivered, r.gates(c) != nil
	req.Events = r.delivered == "" && (r.resumes() || req.Gated || r.req.Events)
	c.t.Engine.Learn(r.ask.Prefix)
	var arm *llm.Arm
	if c.arm != nil && r.req.Note == "" { // what the gateway asks is no part of an experiment
		arm = c.arm
		if drawn := r.drawnBy(arm.Split); drawn != nil {
			r.req.Trail.Draw(drawn)
		}
	}
	l, err := c.t.begin(w, req, c.pool.Model, arm, call, p, note)
	if err != nil {
		return nil, llm.Chunk{}, err
	}
	l.task = r.ask.Needs.Task
	first, err := peek(l)
	return l, first, err
}

// failed notes that a call has failed.
func (r *run) failed(c choice, call *Call, err *llm.Error) {
	switch err.Kind {
	case llm.KindRateLimited, llm.KindCredential, llm.KindCredit: // another credential may do
		r.refused = append(r.refused, call)
	case llm.KindUnsupported:
		r.cannot = append(r.cannot, c.t.State)
		r.drop(c.t)
	default: // the target's turn is over
		r.fallen = append(r.fallen, c.t.State)
		r.drop(c.t)
	}
	if err.Kind != llm.KindConnect && err.Kind != llm.KindUnsupported {
		r.free = false
	}
	if (err.Kind != llm.KindConnect || r.pauses > 0) && err.Kind != llm.KindUnsupported {
		r.count(c)
	}
}

// drop takes a target out of the queue, at which a watch may still be looking.
func (r *run) drop(t *Target) {
	if len(r.queue) > 0 && r.queue[0].t == t {
		r.queue = r.queue[1:]
		return
	}
	r.queue = slices.DeleteFunc(slices.Clone(r.queue), func(c choice) bool { return c.t == t })
}

// movable tells whether a target other than that of a call which begins could
// take the request now. It may be called while the attempt is under way, so it
// looks at copies.
func (r *run) movable(from choice) func() bool {
	rest := r.spared(r.queue[min(1, len(r.queue)):], from)
	later := r.fallback()[r.model:]
	if len(rest) == 0 && len(later) == 0 {
		return nil
	}
	reg := r.pool.Registry
	if r.screened(later) {
		later = r.fitting(later)
	}
	return func() bool {
		now := reg.now()
		for _, c := range rest {
			if state, _, _ := c.t.whyNot(now); c.t != from.t && state == "" && !c.t.State.Suspected() {
				return true
			}
		}
		for _, p := range later {
			for i := range p.Options {
				if o := &p.Options[i]; o.usable(now) && !o.suspected() {
					return true
				}
			}
		}
		return false
	}
}

// screened reports whether a screen holds for one of the models.
func (r *run) screened(models []*Pool) bool {
	return r.pool.Screen != nil || slices.ContainsFunc(models, func(p *Pool) bool { return p.Screen != nil })
}

// fitting are the targets of the models that no screen bars now, as pools that
// are good for nothing but to be looked at.
func (r *run) fitting(models []*Pool) []*Pool {
	var out []*Pool
	for _, p := range models {
		fit := &Pool{Registry: p.Registry}
		p.each(nil, r.pool.outer(p), func(c choice) {
			if !r.unfit(c) {
				fit.Options = append(fit.Options, Option{Target: c.t})
			}
		})
		out = append(out, fit)
	}
	return out
}

// peek reads up to the first content. Comments before it are dropped, roles
// and metadata are kept.
func peek(l *live) (llm.Chunk, *llm.Error) {
	var prefix []byte
	var events []llm.Event
	defer l.settle()
	for {
		c, err := l.Next()
		if err != nil {
			if err == io.EOF {
				err = &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer was empty"}
			}
			return c, llm.AsError(err)
		}
		if c.Level == llm.LevelContent {
			if prefix != nil {
				c.Raw = append(prefix, c.Raw...)
			}
			if events != nil && c.Events != nil { // else its content was not understood, and nobody may take it for more
				c.Events = append(events, c.Events...)
			}
			return c, nil
		}
		if c.Level != llm.LevelNone {
			if len(prefix)+len(c.Raw) > maxPrefix || len(events) > maxEvents {
				return c, l.fail(&llm.Error{Kind: llm.KindUpstream, Message: "the vendor sent no content in 1 MiB"})
			}
			prefix = append(prefix, c.Raw...)
			events = append(events, c.Events...)
		}
	}
}
