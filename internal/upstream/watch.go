package upstream

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

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
