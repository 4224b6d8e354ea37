package upstream

import (
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Cooling is what is known of one credential at one target: until when it
// rests after 429 and 529, what its vendor says is left of its quotas, and how
// many calls at a time were too many. Safe for concurrent use.
type Cooling struct {
	until    atomic.Int64
	row      atomic.Int32 // refusals in a row without a hint
	requests window
	tokens   window
	inFlight atomic.Int64
	waiting  atomic.Int32 // requests in line for it

	// Guarded by the credential's mu.
	most   int64 // calls at a time, 0: as many as come
	enough int64 // most is forgotten when it reaches this
	good   int   // successes since most grew
	shrunk int64 // when most was made smaller
}

// firstPause doubles up to maxPause for refusals that do not say how long.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// pause sets the pause: what the vendor asked for, at most cap, else a
// doubling one. cap 0 switches pauses off.
func (c *Cooling) pause(now int64, asked, cap time.Duration) {
	if cap <= 0 {
		return
	}
	d := asked
	if d <= 0 {
		d = min(maxPause, firstPause<<min(c.row.Load(), 10))
	}
	c.row.Add(1)
	until := now + int64(min(d, cap))
	for {
		old := c.until.Load()
		if old >= until || c.until.CompareAndSwap(old, until) {
			return
		}
	}
}

// tell notes what a vendor's answer says is left. Resets count for at most
// cap; 0: nothing is noted.
func (c *Cooling) tell(now int64, q *llm.Quota, cap time.Duration) {
	if cap > 0 {
		c.requests.tell(now, q.Requests, cap)
		c.tokens.tell(now, q.Tokens, cap)
	}
}

// spent reports whether a quota is used up by the vendor's last word.
func (c *Cooling) spent(now int64) bool { return c.requests.spent(now) || c.tokens.spent(now) }

// window is one of a vendor's quotas as its last answer told it. Its parts are
// read one by one: a mixture of two answers does no harm.
//
// Where the limit is told what is missing flows in evenly until the reset: for
// OpenAI that is when the limit is back at its initial state, for Anthropic when
// it is fully replenished, and both refill all the time. A vendor with fixed
// windows answers 429 to the first that comes too early.
type window struct {
	told  atomic.Int64 // what was left by the vendor's word
	left  atomic.Int64 // less what has begun since
	heard atomic.Int64 // when it was told
	every atomic.Int64 // time in which one flows in; 0: the limit was not told, all comes with the reset
	reset atomic.Int64 // when it is whole again; 0: nothing was ever told
}

func (w *window) tell(now int64, x llm.Window, cap time.Duration) {
	if x.Reset <= 0 {
		return
	}
	every := int64(0)
	if missing := x.Limit - x.Remaining; missing > 0 {
		every = max(1, int64(x.Reset)/missing)
	}
	w.every.Store(every)
	w.heard.Store(now)
	w.told.Store(x.Remaining)
	w.left.Store(x.Remaining)
	w.reset.Store(now + int64(min(x.Reset, cap)))
}

// take takes off what begins.
func (w *window) take(n int64) {
	if w.reset.Load() != 0 {
		w.left.Add(-n)
	}
}

// refill is what has flowed in since the vendor's word.
func (w *window) refill(now int64) int64 {
	if every := w.every.Load(); every > 0 {
		return max(0, now-w.heard.Load()) / every
	}
	return 0
}

func (w *window) spent(now int64) bool {
	return w.reset.Load() > now && w.told.Load()+w.refill(now) <= 0
}

// What a spent window and one that is being spent are called.
var (
	requestsSpent = [2]string{"the vendor's quota of requests is used up", "calls under way take the rest of the vendor's quota of requests"}
	tokensSpent   = [2]string{"the vendor's quota of tokens is used up", "calls under way take the rest of the vendor's quota of tokens"}
)

// block tells whether nothing is left until something flows in. Where it is what
// is under way that has taken the rest, an answer will soon tell more: it is full.
func (w *window) block(now, inFlight int64, why *[2]string) hold {
	at, left := w.reset.Load(), w.left.Load()
	if at <= now || left > 0 {
		return hold{}
	}
	if every := w.every.Load(); every > 0 {
		missing := 1 - left
		if missing <= w.refill(now) {
			return hold{}
		}
		if heard := w.heard.Load(); missing < (at-heard)/every {
			at = heard + missing*every
		}
	}
	switch {
	case w.told.Load() <= 0:
		return hold{state: stateCooldown, reason: why[0], at: at}
	case inFlight > 0:
		return hold{state: stateFull, reason: why[1], at: at}
	}
	return hold{}
}

// short reports whether less than n is left by the vendor's word.
func (w *window) short(now, n int64) bool {
	return w.reset.Load() > now && w.left.Load()+w.refill(now) < n
}

// headroom is what is left, -1 where nothing is known.
func (w *window) headroom(now int64) int64 {
	if w.reset.Load() <= now {
		return -1
	}
	return max(0, w.left.Load()+w.refill(now))
}

// bucket meters a rate by GCRA (ITU-T I.371): a minute's worth may begin at
// once, then as much as flows in.
type bucket struct {
	full int64 // when it is full again
}

// nanos is how long n units take to flow in, at most an hour.
func nanos(n, perMinute int64) int64 {
	return int64(min(float64(n)*float64(time.Minute)/float64(perMinute), float64(time.Hour)))
}

// at is when n units may be taken: now, or later. What is more than a minute's
// worth may be taken from a full bucket. perMinute 0: no limit.
func (b *bucket) at(now, perMinute, n int64) int64 {
	if perMinute == 0 {
		return now
	}
	return max(now, max(now, b.full)+min(nanos(n, perMinute), int64(time.Minute))-int64(time.Minute))
}

// take takes n units; below 0: gives them back.
func (b *bucket) take(now, perMinute, n int64) {
	if perMinute == 0 || n == 0 {
		return
	}
	if n < 0 {
		b.full -= nanos(-n, perMinute)
		return
	}
	b.full = max(now, b.full) + nanos(n, perMinute)
}
