package llm

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Trail is what happened to one client request. All its branches share it:
// losers, hedges and stragglers end here too. It is settled once, when the
// answer is closed and the last attempt has ended.
type Trail struct {
	ID       string
	Op       Op
	Proto    Proto
	Model    string // the name asked for
	Stream   bool
	Caller   Caller
	Start    time.Time
	Admitted time.Time // authenticated, read and decoded
	Routed   time.Time // first attempt begins
	First    time.Time // first byte of the answer left for the client
	// Queued is the time spent waiting until a target had room. Written by the
	// goroutine that asks, before the answer.
	Queued time.Duration
	// Written before the answer by the goroutine that asks, and not changed
	// after.
	Decision *Decision // how the model was chosen; nil: nobody chose. See Choose
	Task     string    // what is asked for; "": nobody looked
	Arm      string    // of the first split that drew, what it drew; "": none did
	Risk     string    // see Context

	mu       sync.Mutex
	drawn    []*Arm
	attempts []*Attempt
	one      [1]*Attempt
	first    Attempt // of most the only one
	open     int
	closed   bool
	onDone   func(*Trail)

	// Set before Close, read in onDone and after.
	Answered string // model that answered
	Target   string
	Strategy string
	Guards   []Verdict // what guards said, in the order they did
	Lossy    []string  // what got lost between the client's protocol and the vendor's
	Degraded int       // level of degradation that answered, from 1; 0: none
	Status   int       // HTTP status sent to the client
	Outcome  string
	Err      *Error // nil when the answer was whole
	End      time.Time
}

// NewTrail begins a trail; onDone runs once, in the goroutine that ends the
// last attempt or closes the trail, whichever is later.
func NewTrail(id string, start time.Time, onDone func(*Trail)) *Trail {
	t := &Trail{ID: id, Start: start, onDone: onDone}
	t.attempts = t.one[:0]
	return t
}

// Attempt is one call to a vendor.
type Attempt struct {
	trail *Trail
	over  bool         // beyond MaxAttempts
	later bool         // not the first of its trail
	sent  atomic.Int64 // ns after Start, 0 for not yet

	Model      string // the operator's name for the model that was tried
	Target     string
	Credential string // which of the provider's credentials, "1", "2", …
	// Note is why it was made, where that is no failure before it: NoteHedge,
	// NoteResume, NoteShadow; "" for all others.
	Note    string
	Arm     *Arm // of the split that it was made for; nil: none
	Start   time.Time
	First   time.Time // first content, zero if none came
	End     time.Time
	Status  int    // the vendor's, 0 if none came
	Outcome string // "ok" or a Kind's name
	Detail  string // the error's cause, for the operator
	Usage   Usage
	Cost    Money
	Gated   bool    // gates have judged the answer
	Flags   Flags   // what they found
	Score   float64 // of the answer, 0 to 1; NaN: none
	Cut     bool    // gates have seen it end at the bound that the request set
}

// The notes of attempts.
const (
	NoteHedge  = "hedge"  // beside one that was slow
	NoteResume = "resume" // goes on from what one that broke had delivered
	NoteJudge  = "judge"  // asks a model what it thinks of an answer
	NoteRevise = "revise" // asks for an answer anew that broke a principle
	NoteShadow = "shadow" // asks another model the same, whose answer no client gets
	NoteGuard  = "guard"  // asks what a guard thinks of a text
)

// MaxAttempts bounds the attempts that one trail remembers; more are counted
// in the last one.
const MaxAttempts = 64

// Begin adds an attempt. The caller ends it.
func (t *Trail) Begin(model, target, credential string, now time.Time) *Attempt {
	t.mu.Lock()
	a := &t.first
	if t.Routed.IsZero() {
		t.Routed = now
	}
	if len(t.attempts) > 0 {
		a = new(Attempt)
	}
	*a = Attempt{trail: t, Model: model, Target: target, Credential: credential, Start: now, Score: math.NaN(), later: len(t.attempts) > 0}
	if len(t.attempts) < MaxAttempts {
		t.attempts = append(t.attempts, a)
	} else {
		a.over = true
	}
	t.open++
	t.mu.Unlock()
	return a
}

// Choose notes how the model was chosen, the first time that it is called.
func (t *Trail) Choose(d *Decision) {
	if t.Decision == nil {
		t.Decision, t.Task = d, d.Task
	}
}

// Arm is one of the models that a split draws from. It is never changed.
type Arm struct {
	Split string // the model of the configuration that draws
	Model string // what is drawn: a model, or provider/vendor-model
}

// MaxDraws bounds the splits that one trail remembers.
const MaxDraws = 8

// Draw notes what a split has drawn for the request, the first time it does.
func (t *Trail) Draw(arm *Arm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.drawn {
		if a.Split == arm.Split {
			return
		}
	}
	if len(t.drawn) == 0 {
		t.Arm = arm.Model
	}
	if len(t.drawn) < MaxDraws {
		t.drawn = append(t.drawn, arm)
	}
}

// Drawn returns what splits have drawn, nil where none did. It is final when the
// trail is settled.
func (t *Trail) Drawn() []*Arm {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drawn
}

// Branch returns a trail for calls beside those that answer the client, which may
// outlive them. t is not settled before the branch is closed and its attempts
// have ended; they are attempts of t then, with that note. Branch is called
// before t is closed, or while another branch is not.
func (t *Trail) Branch(note string, now time.Time) *Trail {
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
	b := NewTrail(t.ID, now, func(b *Trail) { t.join(b, note) })
	b.Op, b.Proto, b.Model, b.Stream, b.Caller = t.Op, t.Proto, t.Model, t.Stream, t.Caller
	return b
}

// join takes the attempts of a branch that is settled.
func (t *Trail) join(b *Trail, note string) {
	t.mu.Lock()
	for _, a := range b.attempts {
		a.Note, a.Arm = note, nil
		if len(t.attempts) < MaxAttempts {
			t.attempts = append(t.attempts, a)
			continue
		}
		last := t.attempts[MaxAttempts-1]
		last.Usage, last.Cost = last.Usage.Add(a.Usage), last.Cost.add(a.Cost)
	}
	t.open--
	done := t.closed && t.open == 0
	t.mu.Unlock()
	if done {
		t.onDone(t)
	}
}

// Drawn is the arm that the attempt was made for, where that is what its split had
// drawn for the request; nil: it is none's, or another arm's in its place.
func (a *Attempt) Drawn() *Arm {
	if a.Arm == nil || !slices.Contains(a.trail.Drawn(), a.Arm) {
		return nil
	}
	return a.Arm
}

// Later reports whether there was an attempt before.
func (a *Attempt) Later() bool { return a.later }

// MarkSent notes that the first byte of the call leaves, once. Safe for
// concurrent use.
func (a *Attempt) MarkSent(now time.Time) {
	a.sent.CompareAndSwap(0, max(1, int64(now.Sub(a.Start))))
}

// Sent is when the first byte of the call left, zero where it is not known.
func (a *Attempt) Sent() time.Time {
	if d := a.sent.Load(); d > 0 {
		return a.Start.Add(time.Duration(d))
	}
	return time.Time{}
}

// Finish ends the attempt; its caller must not change its fields afterwards.
// Later calls do nothing.
func (a *Attempt) Finish(outcome string, usage Usage, cost Money, now time.Time) {
	t := a.trail
	t.mu.Lock()
	if a.Outcome != "" {
		t.mu.Unlock()
		return
	}
	a.Outcome, a.End = outcome, now
	if a.over {
		a = t.attempts[MaxAttempts-1]
	}
	a.Usage, a.Cost = a.Usage.Add(usage), a.Cost.add(cost)
	t.open--
	done := t.closed && t.open == 0
	t.mu.Unlock()
	if done {
		t.onDone(t)
	}
}

// Span is when the attempt began and when it ended, zero while it has not. Safe for
// concurrent use.
func (a *Attempt) Span() (start, end time.Time) {
	a.trail.mu.Lock()
	defer a.trail.mu.Unlock()
	return a.Start, a.End
}

// Judged notes what gates found in the attempt's answer, which may have ended: the
// flags join those found before, and score, unless it is NaN, stands for the one
// before. It is called before the trail is settled.
func (a *Attempt) Judged(flags Flags, score float64) {
	a.trail.mu.Lock()
	defer a.trail.mu.Unlock()
	a.Gated = true
	a.Flags |= flags
	if !math.IsNaN(score) {
		a.Score = score
	}
}

// Shorten notes that the attempt's answer ended at the bound of output tokens that
// the request set: what that explains is no fault of the model's. It is called
// before the trail is settled.
func (a *Attempt) Shorten() {
	a.trail.mu.Lock()
	defer a.trail.mu.Unlock()
	a.Cut = true
}

// Reject notes of an attempt that ended well that its answer was not accepted. It
// is called before the trail is settled.
func (a *Attempt) Reject() {
	a.trail.mu.Lock()
	defer a.trail.mu.Unlock()
	if a.Outcome == "ok" {
		a.Outcome = KindRejected.String()
	}
}

// Close says that the client's part is over. It is called once.
func (t *Trail) Close(now time.Time) {
	t.mu.Lock()
	t.closed = true
	t.End = now
	done := t.open == 0
	t.mu.Unlock()
	if done {
		t.onDone(t)
	}
}

// Attempts returns the attempts so far. After the trail is settled the slice
// is final; before, callers must treat it as a snapshot and not read Outcome,
// Usage, Cost and End (see Span).
func (t *Trail) Attempts() []*Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attempts
}

// Cost sums all attempts.
func (t *Trail) Cost() Money {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum Money
	for _, a := range t.attempts {
		sum = sum.add(a.Cost)
	}
	return sum
}

// Usage sums all attempts.
func (t *Trail) Usage() Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum Usage
	for _, a := range t.attempts {
		sum = sum.Add(a.Usage)
	}
	return sum
}
