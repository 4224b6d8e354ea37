package upstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// live is a call under way: the response's stream with its accounting. It is
// finished exactly once, by its end, its failure or its close.
type live struct {
	inner   *llm.Response
	t       *Target
	call    *Call
	req     *llm.Request
	attempt *llm.Attempt
	watch   *watch
	ear     Listener // nil: nobody listens
	permit
	start    int64
	usage    llm.Usage
	tokens   int64  // counted at the target's engine
	task     uint32 // see TaskID
	content  bool
	local    bool // the vendor was not asked
	finished bool
}

// permit is what a call needs to begin: its breaker's leave, and a slot of its
// credential.
type permit struct {
	pass     uint64 // see Breaker.Allow
	reserved need
}

// begin makes the call and waits for the vendor's headers. req is the call's
// own copy; arm is the split's that it is made for, nil for none.
func (t *Target) begin(w *watch, req *llm.Request, model string, arm *llm.Arm, c *Call, p permit, note string) (*live, *llm.Error) {
	now := t.State.reg.now()
	l := &live{t: t, call: c, req: req, watch: w, permit: p, start: now}
	t.State.inFlight.Add(1)
	t.State.calls.Add(1)
	if t.Engine != nil {
		l.tokens = t.Engine.begin(req, t.State.Output())
	}
	l.attempt = req.Trail.Begin(model, t.ID, c.Credential.Label, time.Now())
	l.attempt.Note, l.attempt.Arm = cmp.Or(note, req.Note), arm
	if l.attempt.Later() {
		a := l.attempt
		req.Sent = func() { a.MarkSent(time.Now()) }
	}
	if t.Listen != nil {
		if l.ear = t.Listen(req, l.attempt, t.State.Benched()); l.ear != nil {
			req.Events = true
		}
	}
	defer l.settle()
	resp, err := c.Send(w.ctx, req)
	if err != nil {
		return nil, l.fail(err)
	}
	l.attempt.Status = resp.Status
	now = t.State.reg.now()
	if !resp.Local {
		w.hear(now, false)
	}
	if resp.Quota != nil {
		c.hear(now, resp.Quota, t.Cooldown.Max)
	}
	l.inner, l.local = resp, resp.Local
	return l, nil
}

// Next implements llm.Stream.
func (l *live) Next() (llm.Chunk, error) {
	c, err := l.inner.Next()
	if err != nil {
		if err == io.EOF {
			l.finish(nil)
			return c, io.EOF
		}
		return c, l.fail(err)
	}
	if c.Usage != nil {
		l.usage = *c.Usage
	}
	if l.ear != nil {
		l.hear(&c)
	}
	now := l.t.State.reg.now()
	if !l.local {
		l.watch.hear(now, c.Level != llm.LevelNone)
	}
	if c.Level == llm.LevelContent && !l.content {
		l.firstContent(now)
	}
	return c, nil
}

// hear lets the listener hear a piece of the answer. Bytes without events were
// not understood.
func (l *live) hear(c *llm.Chunk) {
	if len(c.Raw) > 0 && c.Events == nil {
		l.ear.Drop()
		l.ear = nil
		return
	}
	l.ear.Hear(c.Events)
}

func (l *live) firstContent(now int64) {
	l.content = true
	l.attempt.First = time.Now()
	l.watch.firstContent(now)
	if l.t.Engine != nil {
		l.t.Engine.waiting.Add(-1)
	}
	if l.local {
		return
	}
	if l.pass != 0 { // a probe has proven what it was for
		l.t.State.recovered()
		l.t.State.record(now, l.pass, Success)
		l.pass = 0
	}
	if !l.idle() {
		l.t.State.kinds[kind(l.req.Stream)].record(now, time.Duration(now-l.start), false)
	}
}

// idle reports whether no client waits for the answer: it is as short as can be
// and says nothing of how long answers and their making take.
func (l *live) idle() bool { return l.req.Trail.Op == llm.OpProbe }

// Close implements llm.Stream.
func (l *live) Close() error {
	if !l.finished {
		l.fail(context.Canceled)
	}
	return nil
}

// fail ends the call with err and returns what it means.
func (l *live) fail(err error) *llm.Error {
	e := l.explain(err)
	l.finish(e)
	return e
}

// explain finds the cause of err: what ended the watch, the client that left,
// or the vendor.
func (l *live) explain(err error) *llm.Error {
	var e *llm.Error
	if cause := context.Cause(l.watch.ctx); cause != nil {
		if errors.As(cause, &e) {
			return e
		}
		return &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: err}
	}
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return &llm.Error{Kind: llm.KindCanceled, Message: "the answer was no longer wanted", Err: err}
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's connection broke", Err: err}
}

// finish settles the call.
func (l *live) finish(e *llm.Error) {
	if l.finished {
		return
	}
	l.finished = true
	st := l.t.State
	now := st.reg.now()
	silent := l.watch.silent(now)
	if l.inner != nil {
		_ = l.inner.Close() // before the context ends: a whole answer leaves its connection usable
	}
	l.watch.stop()
	st.inFlight.Add(-1)
	if l.t.Engine != nil {
		l.t.Engine.end(l.tokens, l.content)
	}
	outcome := "ok"
	if e != nil {
		outcome = e.Kind.String()
		if e.Err != nil {
			l.attempt.Detail = e.Err.Error()
		} else {
			l.attempt.Detail = e.Message
		}
		if e.Status != 0 {
			l.attempt.Status = e.Status
		}
	}
	st.record(now, l.pass, l.judge(now, e, silent))
	if l.ear != nil {
		if e == nil {
			l.ear.Whole()
		} else {
			l.ear.Drop()
		}
	}
	if l.content && l.usage.Estimated && l.usage.Input == 0 {
		l.usage.Input = l.req.InputTokens()
	}
	if e == nil && !l.local {
		st.good.Store(now)
		if l.req.Op.Chats() && !l.idle() {
			st.answered(l.task, l.usage.Output)
		}
	}
	l.free(now, e)
	told := e != nil && e.Kind == llm.KindLost && l.usage.Input > 0 // it was on its way, and the vendor said what it takes
	if !l.content && !told {
		l.usage = llm.Usage{}
	}
	l.attempt.Finish(outcome, l.usage, l.t.Price.At(l.attempt.Start).Cost(l.usage), time.Now())
}

// free gives the slot back, with what the call took of the tokens reserved.
func (l *live) free(now int64, e *llm.Error) {
	used := l.usage.Input + l.usage.Output
	switch {
	case l.local || e != nil && (unsent(e.Kind)):
		l.call.cancel(now, l.reserved)
		return
	case l.req.Op == llm.OpCount: // costs nothing
		used = 0
	case l.content && used > 0:
	case e == nil: // the vendor does not count
		used = -1
	case l.content || e.Kind == llm.KindLost || e.Kind == llm.KindTimeout || e.Kind == llm.KindSuspected || e.Kind == llm.KindCanceled:
		used = -1
	}
	l.call.release(now, l.reserved, used)
}

// unsent reports whether nothing reached the vendor of a call that ended so: it
// could not be reached, or the gateway refused to ask it.
func unsent(k llm.Kind) bool {
	switch k {
	case llm.KindConnect, llm.KindUnsupported, llm.KindInvalidRequest, llm.KindInvalidJSON, llm.KindInvalidKey:
		return true
	}
	return false
}

// judge tells the breaker, the cooldowns and the latency what the call
// showed of its target.
func (l *live) judge(now int64, e *llm.Error, silent bool) Result {
	st := l.t.State
	if l.local {
		return Neutral
	}
	if e == nil || e.Kind == llm.KindRejected { // it did answer
		st.errors.record(now, st.measured(), false)
		l.call.succeeded()
		return Success
	}
	if e.Quota != nil {
		l.call.hear(now, e.Quota, l.t.Cooldown.Max)
	}
	switch e.Kind {
	case llm.KindRateLimited:
		st.hear(now)
		l.call.Cooling.pause(now, e.RetryAfter, l.t.Cooldown.Max)
		l.call.refused(now, l.start)
		return Neutral
	case llm.KindCredential, llm.KindCredit:
		st.hear(now)
		reason := "credential refused by the vendor"
		if e.Kind == llm.KindCredit {
			reason = "out of credit at the vendor"
		}
		l.call.Credential.quarantine(now, l.t.Cooldown.Quarantine, reason)
		return Neutral
	case llm.KindCanceled:
		if !silent {
			return Neutral
		}
	case llm.KindCaller, llm.KindContextLength:
		st.hear(now)
		return Neutral
	case llm.KindTimeout:
		if !silent && (e.Err == errUnaccepted || !l.req.Deadline.IsZero()) {
			return Neutral // the client's own deadline says little, and so does that of gates
		}
	case llm.KindConnect, llm.KindUpstream, llm.KindSuspected:
	default:
		return Neutral
	}
	st.errors.record(now, st.measured(), true)
	if !l.content && !l.idle() {
		st.kinds[kind(l.req.Stream)].record(now, time.Duration(now-l.start), true)
	}
	return Failure
}
