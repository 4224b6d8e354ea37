package upstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Timeouts of the calls to one target, all positive.
type Timeouts struct {
	FirstToken time.Duration // streamed: until the first content
	Idle       time.Duration // streamed: between events
	Total      time.Duration // unary
	Stream     time.Duration // streamed
	Queue      time.Duration // in line until there is room
}

// Cooldown says how long refused credentials rest.
type Cooldown struct {
	Max        time.Duration // cap on a vendor's Retry-After; 0: off
	Quarantine time.Duration // after 401, 402, 403; 0: off
}

// Call makes one call to a vendor with one credential. The response's stream
// is not peeked at. Errors are *llm.Error, or ctx's.
type Call struct {
	Credential *Credential
	Cooling    *Cooling
	Send       func(ctx context.Context, req *llm.Request) (*llm.Response, error)
}

// Target is a model at a provider, as one model of the gateway uses it. Its
// state is shared by all that use it.
type Target struct {
	ID        string // provider/vendor-model
	Vendor    string // the vendor's name of the model
	State     *State
	Calls     []Call // one per credential, at least one
	Price     *llm.Price
	Context   int           // tokens, 0 unknown
	MaxOutput int           // tokens, 0 unknown
	Prior     time.Duration // expected time to the first token before any was measured
	Timeouts  Timeouts
	Cooldown  Cooldown
	Breaker   BreakerSettings
	Limits    Limits // of each credential
	// Fan is how many calls at a time a request makes, at least one; nil: one.
	Fan func(req *llm.Request) int64
	// ProbeEvery is how long the target may go without a good answer before it is
	// asked for the sake of asking; 0: never.
	ProbeEvery time.Duration
	// SlowStart is how long its share grows after it came back; 0: not at all.
	SlowStart time.Duration
	// Hold is how long a target of a nearer region must be well before its
	// region takes traffic back.
	Hold time.Duration
	// Region is where it runs, "" where nothing says.
	Region string
	// Can are its abilities, 0 where they are not known.
	Can llm.Ability
	// Keeps: the vendor keeps answers in Responses' protocol.
	Keeps bool
	// Engine is the self-hosted engine that answers, nil for a vendor.
	Engine *Engine
	// Listen says who listens to an answer to judge it, nil for nobody; must: it has
	// to be judged, for the target is out of rotation. nil: nobody ever does.
	Listen func(req *llm.Request, a *llm.Attempt, must bool) Listener
}

// Listener hears an answer as it comes. Whole or Drop is called, last.
type Listener interface {
	// Hear takes events that are valid until it returns.
	Hear(events []llm.Event)
	// Whole says that the answer is whole, Drop that it is not or cannot be known.
	Whole()
	Drop()
}

// Adopt puts the target's settings in force for its shared state: building a
// target changes nothing yet.
func (t *Target) Adopt() {
	t.State.Breaker.Configure(t.Breaker)
	for i := range t.Calls {
		t.Calls[i].Credential.limit(t.Limits)
	}
}

// Provider is the name of the target's provider.
func (t *Target) Provider() string {
	name, _, _ := strings.Cut(t.ID, "/")
	return name
}

// Cost is the expected and the worst price of req here.
func (t *Target) Cost(req *llm.Request) (expected, worst llm.Money) {
	in, out := req.InputTokens(), t.State.Output()
	most := int64(t.MaxOutput)
	if most == 0 {
		most = 4096
	}
	if req.MaxOutput > 0 {
		most = min(most, int64(req.MaxOutput))
	}
	n := int64(max(1, req.N))
	p := t.Price.At(time.Now())
	return p.Cost(llm.Usage{Input: in, Output: min(out, most) * n}), p.Cost(llm.Usage{Input: in, Output: most * n})
}

// whyNot says why no call may be made to t now, and for how long (below 0: until
// somebody says so); "" when one may.
func (t *Target) whyNot(now int64) (state, reason string, wait time.Duration) {
	if t.State.drained.Load() {
		return "drained", "drained by the operator", -1
	}
	if !t.State.Breaker.Ready(now) {
		_, why, until := t.State.Breaker.Phase(now)
		return "open", why, time.Duration(max(0, until-now))
	}
	if reason, wait := t.State.absence.why(now); wait > 0 {
		return stateBenched, reason, wait
	}
	soonest := int64(0)
	for i := range t.Calls {
		c := &t.Calls[i]
		b := c.why(now)
		if b.state == "" {
			return "", "", 0
		}
		if at := c.expect(now, b); soonest == 0 || at < soonest {
			soonest, reason, state = at, b.reason, b.state
		}
	}
	return state, reason, time.Duration(soonest - now)
}

// pick takes the slots for a request at a credential that is not in refused:
// the pinned one, else the conversation's by rendezvous, else by turn, where
// one with fewer tokens left by its vendor's word comes late. Where it has no
// room the next is tried. nil: none has.
func (t *Target) pick(now int64, conversation, turn uint64, refused []*Call, pin *llm.Pin, n need) *Call {
	take := func(c *Call) bool {
		return !slices.Contains(refused, c) && !c.lined() && c.claim(now, n).state == ""
	}
	if pin != nil {
		for i := range t.Calls {
			if c := &t.Calls[i]; c.Credential.ID == pin.Credential {
				if take(c) {
					return c
				}
				return nil
			}
		}
	}
	if conversation != 0 && len(t.Calls) > 1 {
		return t.rendezvous(conversation, take)
	}
	many := uint64(len(t.Calls))
	var late *Call
	for i := range many {
		c := &t.Calls[(turn+i)%many]
		if many > 1 && late == nil && c.Cooling.tokens.short(now, n.tokens) {
			late = c
		} else if take(c) {
			return c
		}
	}
	if late != nil && take(late) {
		return late
	}
	return nil
}

// rendezvous takes the first credential that it can, in the conversation's
// order.
func (t *Target) rendezvous(conversation uint64, take func(*Call) bool) *Call {
	for below := uint64(math.MaxUint64); ; {
		var best *Call
		var top uint64
		for i := range t.Calls {
			c := &t.Calls[i]
			if h := Mix(conversation, c.Credential.ID); h < below && (best == nil || h > top) {
				best, top = c, h
			}
		}
		if best == nil || take(best) {
			return best
		}
		below = top
	}
}

// need is what req is expected to take of the limits; clamp bounds its answer, 0
// does not.
func (t *Target) need(req *llm.Request, clamp int) need {
	n := req.InputTokens()
	if req.Op.Chats() {
		out := t.State.Output()
		if req.MaxOutput > 0 {
			out = min(out, int64(req.MaxOutput))
		}
		if clamp > 0 {
			out = min(out, int64(clamp))
		}
		n += out * int64(max(1, req.N))
	}
	calls := int64(1)
	if t.Fan != nil {
		calls = t.Fan(req)
	}
	return need{calls: calls, tokens: max(1, n)}
}

// Mix hashes a conversation with a name (FNV-1a, finished by a 64-bit mixer
// as in SplitMix64).
func Mix(conversation uint64, name string) uint64 {
	h := uint64(14695981039346656037) ^ conversation
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix64(h)
}

// mix64 is the mixer of SplitMix64.
func mix64(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

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

// watch bounds one call in time with one timer. It ends the call's context
// with an *llm.Error as the cause.
type watch struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	target   *Target
	stream   bool
	session  bool // both may be silent as long as they like
	start    int64
	deadline int64        // of the whole request
	by       atomic.Int64 // the answer must be accepted by then, 0: whenever
	heardAt  atomic.Int64 // last sign of life without data
	dataAt   atomic.Int64 // last data
	told     int64        // when the target last heard of it
	content  atomic.Bool
	movable  func() bool // another target could take the request now
	timer    *time.Timer
	due      atomic.Int64 // when the timer should fire
}

// tellEvery is small beside the least silence that makes a target suspected.
const tellEvery = 50 * time.Millisecond

// commentLimit is how many idle times comments alone keep a stream alive.
const commentLimit = 5

func newWatch(ctx context.Context, t *Target, req *llm.Request, deadline int64, movable func() bool) *watch {
	w := &watch{target: t, stream: req.Stream, session: req.Op == llm.OpRealtime, start: t.State.reg.now(), deadline: deadline, movable: movable}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(math.MaxInt64, w.fire)
	w.set(w.start, w.next(w.start)) // only now: fire reads w.timer
	return w
}

// within makes the call end at by unless its answer is accepted before; 0: it may
// take its time.
func (w *watch) within(by int64) {
	if by > 0 {
		w.by.Store(by)
		w.set(w.start, w.next(w.start))
	}
}

// free lets the call take its time: its answer is accepted, or kept.
func (w *watch) free() { w.by.Store(0) }

// set makes the timer fire in d.
func (w *watch) set(now int64, d time.Duration) {
	w.due.Store(now + int64(d))
	w.timer.Reset(d)
}

// late is how much later than it should the timer must fire to show that this
// process was stopped: then what came meanwhile is read first, for as long
// again.
const late = time.Second

// hear notes that the vendor gave a sign of life, with data or without. The
// target is told of it every tellEvery.
func (w *watch) hear(now int64, data bool) {
	if data {
		w.dataAt.Store(now)
	} else {
		w.heardAt.Store(now)
	}
	if now-w.told >= int64(tellEvery) {
		w.told = now
		w.target.State.hear(now)
	}
}

// heard is when the vendor last gave a sign of life, the start if it has not.
func (w *watch) heard() int64 { return max(w.start, w.heardAt.Load(), w.dataAt.Load()) }

func (w *watch) firstContent(now int64) {
	w.content.Store(true)
	if w.stream {
		w.set(now, w.next(now))
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// unknownSilence is what stands for the silence of a target before it is
// known (CONTRACT §2): the first token's bound, or a quarter of the whole.
func (w *watch) threshold() time.Duration {
	unknown := w.target.Timeouts.Total / 4
	if w.stream {
		unknown = w.target.Timeouts.FirstToken
	}
	return w.target.State.silence(w.stream, unknown)
}

// silent reports whether the call has heard nothing for long enough to
// suspect its target.
func (w *watch) silent(now int64) bool {
	return !w.content.Load() && now-w.heard() >= int64(w.threshold())
}

// next is how long until something may have to be done.
func (w *watch) next(now int64) time.Duration {
	at := w.deadline
	if by := w.by.Load(); by > 0 {
		at = min(at, by)
	}
	if w.content.Load() {
		if w.stream && !w.session {
			at = min(at, w.heard()+int64(w.target.Timeouts.Idle))
			at = min(at, w.dataAt.Load()+commentLimit*int64(w.target.Timeouts.Idle))
		}
	} else {
		if w.stream {
			at = min(at, w.start+int64(w.target.Timeouts.FirstToken))
		}
		t := w.threshold()
		suspicion := max(w.heard(), w.target.State.heard.Load()) + int64(t)
		if suspicion <= now { // due, but nobody could take the request: look again
			suspicion = now + int64(t)/4
		}
		at = min(at, suspicion)
	}
	return time.Duration(max(int64(time.Millisecond), at-now))
}

func timeout(message string) *llm.Error {
	return &llm.Error{Kind: llm.KindTimeout, Message: message}
}

// errUnaccepted is what ends a call that has brought no accepted answer in time.
var errUnaccepted = errors.New("no answer was accepted in the time that the model has for it")

// overdue is the error of such a call.
func overdue() *llm.Error {
	return &llm.Error{Kind: llm.KindTimeout, Message: errUnaccepted.Error(), Err: errUnaccepted}
}

func (w *watch) fire() {
	if w.ctx.Err() != nil {
		return
	}
	now, by := w.target.State.reg.now(), w.by.Load()
	if now-w.due.Load() >= int64(late) {
		w.set(now, late)
		return
	}
	tm := w.target.Timeouts
	content := w.content.Load()
	switch heard := w.heard(); {
	case now >= w.deadline:
		w.cancel(timeout("the request took longer than it may"))
		return
	case by > 0 && now >= by:
		w.cancel(overdue())
		return
	case w.stream && !content && now >= w.start+int64(tm.FirstToken):
		w.cancel(timeout("the model sent no content in " + tm.FirstToken.String()))
		return
	case w.stream && !w.session && content && now >= heard+int64(tm.Idle), w.stream && !w.session && content && now >= w.dataAt.Load()+commentLimit*int64(tm.Idle):
		w.cancel(timeout("the model fell silent for " + tm.Idle.String()))
		return
	}
	if st := w.target.State; w.silent(now) && now-st.heard.Load() >= int64(w.threshold()) {
		st.suspect.Store(now + suspectFor*int64(w.threshold()))
		if w.movable != nil && w.movable() {
			w.cancel(&llm.Error{Kind: llm.KindSuspected, Message: "the vendor fell silent"})
			return
		}
	}
	w.set(now, w.next(now))
}

// suspectFor is how many silences a target stays suspected when nobody asks
// it any more; then the next request finds out.
const suspectFor = 5
