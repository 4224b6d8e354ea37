package upstream

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// heldBytes and heldTime bound what is held back of a streamed answer while
	// its gates look at the beginning: so many bytes of text, and so long after
	// the first content. Then nothing is held any more.
	heldBytes = 400
	heldTime  = 150 * time.Millisecond
	// maxKept bounds an answer, in bytes, that was not accepted and is kept should
	// no better one come.
	maxKept = 8 << 20
	// lateTime bounds what is asked about an answer after its client has it.
	lateTime = time.Minute
)

// Accept are the gates that the answers of a pool must pass to be delivered.
// Implementations are safe for concurrent use.
type Accept interface {
	// Names are the gates, in their order.
	Names() []string
	// Later runs f where no client waits for it, until the context that f is given
	// ends; false: it does not, for the process stops or too much is run already.
	Later(f func(ctx context.Context)) bool
	// Begin begins to judge an answer to req that a target of by gives. The
	// request's body may be gone when Late is called, and only then.
	Begin(req *llm.Request, by *Pool) Judge
}

// Judge looks at one answer. It is not safe for concurrent use.
type Judge interface {
	// Add takes the next piece of the answer. It keeps nothing of its slices. A
	// piece with content and without events could not be understood: the judge
	// finds nothing wrong with what it does not know.
	Add(c *llm.Chunk)
	// End says that the answer is whole.
	End()
	// Held judges what has come, by the gates that need nobody else: those of the
	// beginning, and where the answer is whole all of them.
	Held() Verdict
	// Whole judges a whole answer by all gates. Those that ask somebody end with
	// ctx.
	Whole(ctx context.Context) Verdict
	// Late judges a whole answer that the client has.
	Late(ctx context.Context, trail *llm.Trail) (llm.Flags, float64)
}

// Action is what follows from a verdict, the more severe the later.
type Action uint8

// The actions.
const (
	Pass     Action = iota
	Flag            // the answer is delivered, with its flags
	Repair          // Verdict.Reply is delivered in its place
	Retry           // the same model is asked once more, then others
	Escalate        // the next model is asked
	Block           // an error is delivered
)

// Verdict is what a Judge found.
type Verdict struct {
	Action Action
	Flags  llm.Flags  // of the answer as it came
	Mended llm.Flags  // those that Reply has no more
	Score  float64    // 0 to 1; NaN: none
	Gate   string     // that decided; "" for Pass
	Reply  *llm.Reply // of Repair

	of *Pool // whose gate decided
}

// bench is the judges of one answer, the innermost model's first.
type bench struct {
	req    *llm.Request
	by     *Pool
	of     []*Pool // whose gates they are
	judges []Judge
	cut    bool // the answer ended at the bound that the request sets
}

// gates returns the pools whose gates an answer of c must pass: of those that led to
// it and of the one that was asked, the innermost first; nil: none.
func (r *run) gates(c choice) (of []*Pool) {
	if c.way == nil {
		return nil
	}
	for _, p := range r.around(c) {
		if p.Accept != nil && !slices.ContainsFunc(of, func(q *Pool) bool { return q.Accept == p.Accept }) {
			of = append(of, p)
		}
	}
	return of
}

// clamped is the request with the bound of output tokens that was set for it.
func (r *run) clamped() *llm.Request {
	if r.clamp == 0 {
		return r.req
	}
	req := *r.req
	req.Clamp = r.clamp
	return &req
}

func newBench(req *llm.Request, by *Pool, of []*Pool) *bench {
	b := &bench{req: req, by: by, of: of}
	for _, p := range of {
		b.judges = append(b.judges, p.Accept.Begin(req, by))
	}
	return b
}

// gated reports whether the pool, one in it or one that it turns to has gates.
// None of them must change any more.
func (p *Pool) gated() bool {
	p.sought.Do(func() {
		p.gates = p.Accept != nil || slices.ContainsFunc(p.Fallback, (*Pool).gatedIn) || p.gatedIn() ||
			slices.ContainsFunc(p.Degrade, func(d Degrade) bool { return d.Pool != nil && d.Pool.gatedIn() })
	})
	return p.gates
}

// gatedIn reports whether the pool or one in it has gates.
func (p *Pool) gatedIn() bool {
	return p.Accept != nil || slices.ContainsFunc(p.Options, func(o Option) bool { return o.Pool != nil && o.Pool.gatedIn() })
}

func (b *bench) add(c *llm.Chunk) {
	for _, j := range b.judges {
		j.Add(c)
	}
	if b.req.MaxOutput == 0 && b.req.Clamp == 0 {
		return
	}
	for i := range c.Events {
		if e := &c.Events[i]; e.Kind == llm.EventStop && e.Stop == llm.StopLength {
			b.cut = true
		}
	}
}

func (b *bench) end() {
	for _, j := range b.judges {
		j.End()
	}
}

// verdict asks each judge by ask. What one repaired goes on to the next.
func (b *bench) verdict(ask func(Judge) Verdict) Verdict {
	v := Verdict{Score: math.NaN()}
	for i, j := range b.judges {
		w := ask(j)
		v.Flags |= w.Flags &^ v.Mended
		v.Mended |= w.Mended
		if !math.IsNaN(w.Score) {
			v.Score = w.Score
		}
		if w.Action > v.Action {
			v.Action, v.Gate, v.of = w.Action, w.Gate, b.of[i]
		}
		if w.Reply == nil {
			continue
		}
		v.Reply = w.Reply
		c := llm.Chunk{Events: w.Reply.Events(nil), Level: llm.LevelContent}
		for k := i + 1; k < len(b.judges); k++ {
			b.judges[k] = b.of[k].Accept.Begin(b.req, b.by)
			b.judges[k].Add(&c)
			b.judges[k].End()
		}
	}
	return v
}

func (b *bench) held() Verdict { return b.verdict(Judge.Held) }

func (b *bench) whole(ctx context.Context) Verdict {
	return b.verdict(func(j Judge) Verdict { return j.Whole(ctx) })
}

// late judges an answer that the client has, and notes what is found at the
// attempt. The request's trail stays open until it is. Each model's gates look by
// themselves, as far as they are at leisure.
func (b *bench) late(a *llm.Attempt) {
	if b.cut {
		a.Shorten()
	}
	for i, j := range b.judges {
		trail := b.req.Trail.Branch(llm.NoteJudge, time.Now())
		if !b.of[i].Accept.Later(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, lateTime)
			defer cancel()
			defer func() { trail.Close(time.Now()) }()
			defer func() { _ = recover() }() // it loses the flags and nothing else
			a.Judged(j.Late(ctx, trail))
		}) {
			trail.Close(time.Now())
		}
	}
}

// kept is an answer that was not accepted.
type kept struct {
	resp    *llm.Response
	attempt *llm.Attempt
	flags   llm.Flags
	spool   *spool // of a stream; nil: it is whole
}

// better reports whether the answer is to be delivered rather than an earlier
// one: it has fewer hard flags, or as many.
func (k *kept) better(than *kept) bool {
	return than == nil || hard(k.flags) <= hard(than.flags)
}

func hard(f llm.Flags) (n int) {
	for ; f != 0; f &= f - 1 {
		if (f & -f).Hard() {
			n++
		}
	}
	return n
}

// whole reports whether the answer can be delivered: all of it was kept, or will
// be.
func (k *kept) whole() bool { return k.spool == nil || k.spool.take() }

// drop ends an answer that is not delivered.
func (k *kept) drop() {
	if k.spool != nil {
		k.spool.cut()
	}
	k.attempt.Reject()
}

// makeRoom gives up the kept stream where it has the slot that one of the next would
// be asked with at once, and reports whether it did: to be read to its end it takes
// the time in which the other answers. Where requests stand in line for the slot they
// would get it, and the stream is all there is.
func (r *run) makeRoom(now int64) bool {
	k := r.best
	if k == nil || k.spool == nil || !k.spool.reading() {
		return false
	}
	has := k.spool.half.call
	bids, _ := r.bids(now)
	for _, b := range bids {
		why := b.call.why(now)
		if b.call.Credential != has.Credential || why.state != stateFull || why.at != 0 || !why.whole && b.call.Cooling != has.Cooling || b.call.lined() {
			continue
		}
		k.drop()
		r.best, r.model, r.queue = nil, b.model, []choice{b.choice}
		return true
	}
	return false
}

// deliver is the best answer that was not accepted, where no better one came.
func (r *run) deliver() *llm.Response {
	k := r.best
	r.best = nil
	if !r.req.Stream {
		k.resp.Cost = r.req.Trail.Cost()
	}
	return k.resp
}

// judge looks at an answer before it is handed up, and decides what follows. An
// error of KindRejected says that somebody else is to be asked.
func (r *run) judge(ctx context.Context, c choice, l *live, first llm.Chunk, of []*Pool) (*llm.Response, *llm.Error) {
	half := &peeked{live: l, first: first, have: true}
	defer half.settle()
	b := newBench(r.clamped(), c.pool, of)
	v, bad := r.verdict(ctx, half, b)
	if bad != nil {
		r.failed(c, l.call, bad)
		return nil, bad
	}
	l.attempt.Judged(v.Flags, v.Score)
	if b.cut {
		l.attempt.Shorten()
	}
	switch v.Action {
	case Block:
		half.reject()
		return nil, &llm.Error{Kind: llm.KindBlocked, Message: "the answer was blocked by the gate " + v.Gate + " of " + r.pool.Model + "; ask in other words, or another model"}
	case Retry, Escalate:
		return nil, r.rejected(ctx, c, half, b, v)
	case Repair:
		half.replace(v.Reply)
	}
	resp := r.hand(ctx, c, half)
	resp.Flags = v.Flags &^ v.Mended
	if r.req.Stream {
		half.mute = false
		j := &judged{Stream: resp.Stream, bench: b, attempt: func() *llm.Attempt { return half.attempt }, seen: len(half.held), events: r.req.Events}
		if s, ok := resp.Stream.(*resumable); ok {
			j.attempt, j.events = func() *llm.Attempt { return s.half.attempt }, true
		}
		resp.Stream = j
	}
	return resp, nil
}

// verdict reads as much of an answer as is judged before it is handed up: all of
// it, or the beginning of a stream. An error is the end of the call.
func (r *run) verdict(ctx context.Context, half *peeked, b *bench) (Verdict, *llm.Error) {
	if r.req.Stream {
		if bad := half.hold(b); bad != nil {
			return Verdict{}, bad
		}
		return b.held(), nil
	}
	if bad := half.gather(b); bad != nil {
		return Verdict{}, bad
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(0, r.until()-r.now())))
	defer cancel()
	return b.whole(ctx), nil
}

// rejected keeps an answer that was not accepted if it is the best so far, and
// says who is asked next.
func (r *run) rejected(ctx context.Context, c choice, half *peeked, b *bench, v Verdict) *llm.Error {
	bad := &llm.Error{Kind: llm.KindRejected, Message: "no model's answer passed the gates of " + v.of.Model + "; the last was stopped by " + v.Gate}
	r.waste(c, v.of, r.wastes(c, half))
	if v.Reply != nil { // one model's gates repaired what another's did not accept
		half.replace(v.Reply)
	}
	k := &kept{attempt: half.attempt, flags: v.Flags &^ v.Mended}
	if !k.better(r.best) || half.size() > maxKept {
		half.reject()
	} else {
		if r.best != nil {
			r.best.drop()
		}
		k.resp = r.response(c, half.live)
		k.resp.Flags = k.flags
		if r.req.Stream {
			seen := len(half.held)
			half.watch.free()
			k.spool = newSpool(half)
			k.resp.Stream = &judged{Stream: k.spool, bench: b, attempt: func() *llm.Attempt { return k.attempt }, seen: seen, events: r.req.Events}
		} else {
			half.mute = !r.req.Events
			k.resp.Stream = half
		}
		r.best = k
	}
	r.free = true
	g := r.gating
	g.judged = append(g.judged, c.t.State)
	if at := c.seat(v.of); v.Action == Retry && g.retried != at {
		g.retried = at
	} else {
		g.passed = append(g.passed, at)
		r.queue = slices.DeleteFunc(slices.Clone(r.queue), r.isPassed)
	}
	return bad
}

// wastes is what an answer costs that was not accepted: while it is not whole, at
// least what is expected of it, for vendors tell the count at the end.
func (r *run) wastes(c choice, half *peeked) llm.Money {
	cost := c.t.Price.At(half.attempt.Start).Cost(half.spent)
	if half.over == nil || half.spent == (llm.Usage{}) {
		expected, _ := c.t.Cost(r.req)
		cost = max(cost, expected)
	}
	return cost
}

// until is when an answer must be accepted.
func (r *run) until() int64 {
	if r.by > 0 {
		return min(r.by, r.deadline)
	}
	return r.deadline
}
