package upstream

import (
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxWaiting bounds the requests in line for one credential.
	maxWaiting = 1024
	// maxBids bounds the credentials and targets that one request waits for.
	maxBids = 64
	// maxPassed is how many times in a row those of a lower priority are passed
	// over; then it is their turn.
	maxPassed = 8
	// breakerLook is how often those in line look at a target whose probe is
	// under way.
	breakerLook = 100 * time.Millisecond
)

// bid is one call that a request in line would make.
type bid struct {
	choice
	model int // of the run: 0 the pool, n its n-th fallback
	call  *Call
	need  need
}

// claim takes a slot for it, if its target can be asked.
func (b *bid) claim(now int64) hold {
	st := b.t.State
	if !st.Breaker.Ready(now) {
		_, _, until := st.Breaker.Phase(now)
		return hold{state: "open", at: max(until, now+int64(breakerLook))}
	}
	return b.call.claim(now, b.need)
}

// waiter is a request in line. All but done is guarded by the room.
type waiter struct {
	key   string
	class int // 0: the most important
	bids  []bid
	since int64
	got   *bid          // what it was given, nil: nothing yet
	done  chan struct{} // closed when it has left the line without asking to
}

func newWaiter(c llm.Caller, bids []bid) *waiter {
	return &waiter{key: c.Key, class: int(llm.PriorityCritical - c.Priority), bids: bids, done: make(chan struct{})}
}

// credentials calls f with each credential that w waits for, once.
func (w *waiter) credentials(f func(*Credential)) {
	for i := range w.bids {
		cr := w.bids[i].call.Credential
		if !slices.ContainsFunc(w.bids[:i], func(b bid) bool { return b.call.Credential == cr }) {
			f(cr)
		}
	}
}

// count adds n to what others see of w: at each target once, at each credential
// of it.
func (w *waiter) count(n int32) {
	for i := range w.bids {
		b := &w.bids[i]
		b.call.Cooling.waiting.Add(n)
		if !slices.ContainsFunc(w.bids[:i], func(o bid) bool { return o.t.State == b.t.State }) {
			b.t.State.waiting.Add(int64(n))
		}
	}
}

// line is who waits for one credential. Guarded by the room.
//
// The order: the more important class first, unless a lesser one was passed
// over maxPassed times; in a class the keys in turn; of one key who came first.
type line struct {
	classes [3]class
	n       int
	timer   *time.Timer
	granted int64 // when one last left with a slot, or the line began
}

type class struct {
	parties []*party // in turn
	passed  int
}

// party is the requests of one key.
type party struct {
	key     string
	waiters []*waiter // at least one
}

func (c *class) party(key string) *party {
	for _, p := range c.parties {
		if p.key == key {
			return p
		}
	}
	return nil
}

func (l *line) add(w *waiter) {
	c := &l.classes[w.class]
	p := c.party(w.key)
	if p == nil {
		p = &party{key: w.key}
		c.parties = append(c.parties, p)
	}
	p.waiters = append(p.waiters, w)
	l.n++
}

// remove takes w out, if it is in.
func (l *line) remove(w *waiter) bool {
	c := &l.classes[w.class]
	p := c.party(w.key)
	if p == nil {
		return false
	}
	i := slices.Index(p.waiters, w)
	if i < 0 {
		return false
	}
	p.waiters = slices.Delete(p.waiters, i, i+1)
	l.n--
	if len(p.waiters) == 0 {
		j := slices.Index(c.parties, p)
		c.parties = slices.Delete(c.parties, j, j+1)
	}
	if len(c.parties) == 0 {
		c.passed = 0
	}
	return true
}

// order is that of the classes for the next slot.
func (l *line) order() [3]int {
	switch {
	case l.classes[2].passed >= maxPassed:
		return [3]int{2, 0, 1}
	case l.classes[1].passed >= maxPassed:
		return [3]int{1, 0, 2}
	}
	return [3]int{0, 1, 2}
}

// served notes that a class had its turn, and that the key at its place had.
func (l *line) served(class, place int) {
	for i := range l.classes {
		switch c := &l.classes[i]; {
		case i == class:
			c.passed = 0
			p := c.parties[place]
			c.parties = append(slices.Delete(c.parties, place, place+1), p)
		case i > class && len(c.parties) > 0:
			c.passed++
		}
	}
}

// yields returns who leaves a full line for a newcomer: the last of the key
// with the most requests in the least class, if that is less important than
// the newcomer's, or its own and the key has more than the newcomer's would.
// nil: nobody does.
func (l *line) yields(w *waiter) *waiter {
	for i := len(l.classes) - 1; i >= w.class; i-- {
		c := &l.classes[i]
		if len(c.parties) == 0 {
			continue
		}
		most := slices.MaxFunc(c.parties, func(a, b *party) int { return len(a.waiters) - len(b.waiters) })
		if i == w.class {
			own := 0
			if p := c.party(w.key); p != nil {
				own = len(p.waiters)
			}
			if len(most.waiters) <= own+1 {
				return nil
			}
		}
		return most.waiters[len(most.waiters)-1]
	}
	return nil
}

// join puts w in line and gives it what is free. false: the lines are full.
func (r *Registry) join(w *waiter) bool {
	r.room.Lock()
	defer r.room.Unlock()
	w.since = r.now()
	w.bids = slices.DeleteFunc(w.bids, func(b bid) bool { return !r.admits(b.call.Credential, w) })
	if len(w.bids) == 0 {
		return false
	}
	w.count(1)
	w.credentials(func(cr *Credential) {
		if cr.line.n == 0 {
			cr.line.granted = w.since
		}
		cr.line.add(w)
		cr.queued.Store(int64(cr.line.n))
	})
	for i := range w.bids {
		if cr := w.bids[i].call.Credential; w.got == nil {
			r.serve(cr)
		}
	}
	return true
}

// admits makes place for w in a credential's line, if need be and it may.
func (r *Registry) admits(cr *Credential, w *waiter) bool {
	if cr.line.n < maxWaiting {
		return true
	}
	v := cr.line.yields(w)
	if v == nil {
		return false
	}
	for _, cr := range r.remove(v, nil) {
		r.serve(cr)
	}
	close(v.done)
	return true
}

// leave takes w out of line. It returns what w was given, nil for nothing.
func (r *Registry) leave(w *waiter) *bid {
	r.room.Lock()
	defer r.room.Unlock()
	if w.got == nil {
		for _, cr := range r.remove(w, nil) { // it may have stood in another's way
			r.serve(cr)
		}
	}
	return w.got
}

// remove takes w out of its lines and appends to dst the credentials at which
// others still wait.
func (r *Registry) remove(w *waiter, dst []*Credential) []*Credential {
	counted := false
	w.credentials(func(cr *Credential) {
		if !cr.line.remove(w) {
			return
		}
		counted = true
		cr.queued.Store(int64(cr.line.n))
		if cr.line.n > 0 {
			if !slices.Contains(dst, cr) {
				dst = append(dst, cr)
			}
			return
		}
		cr.contended.Store(false)
		cr.line.arm(cr, 0, 0)
	})
	if counted {
		w.count(-1)
	}
	return dst
}

// serve gives what is free of a credential to those in line for it, and of the
// credentials that they waited for besides to those who stood behind them. The
// room is locked.
func (r *Registry) serve(cr *Credential) {
	var space [8]*Credential
	for work := append(space[:0], cr); len(work) > 0; {
		cr := work[len(work)-1]
		w := cr.next(r.now())
		if w == nil {
			work = work[:len(work)-1]
			continue
		}
		work = r.remove(w, work)
		close(w.done)
	}
}

// next gives a slot to the first in line that can take one, and returns it; nil
// if none can now, and then the line is looked at when time alone may have
// changed that. The room is locked.
func (cr *Credential) next(now int64) *waiter {
	l := &cr.line
	var soonest int64
	for _, i := range l.order() {
		for j, p := range l.classes[i].parties {
			for _, w := range p.waiters {
				b := w.claim(cr, now)
				if b.state == "" {
					if now > w.since {
						cr.pace(now - l.granted)
					}
					l.granted = now
					l.served(i, j)
					return w
				}
				if b.at > 0 && (soonest == 0 || b.at < soonest) {
					soonest = b.at
				}
				if b.whole { // nobody overtakes
					cr.contended.Store(true)
					l.arm(cr, now, soonest)
					return nil
				}
			}
		}
	}
	cr.contended.Store(false)
	l.arm(cr, now, soonest)
	return nil
}

// claim takes a slot of cr for the first bid that can have one. Else it tells
// when the first may, and whether what is in the way is the credential's.
func (w *waiter) claim(cr *Credential, now int64) (all hold) {
	for i := range w.bids {
		b := &w.bids[i]
		if b.call.Credential != cr {
			continue
		}
		x := b.claim(now)
		if x.state == "" {
			w.got = b
			return x
		}
		whole := all.whole || x.whole
		if all.state == "" || x.at > 0 && (all.at == 0 || x.at < all.at) {
			all = x
		}
		all.whole = whole
	}
	return all
}

// pace notes the time between two that left the line with a slot.
func (cr *Credential) pace(d int64) {
	old := cr.every.Load()
	if old == 0 {
		old = d
	}
	cr.every.Store(max(1, old+(d-old)/8))
}

// arm has the line looked at when it is at; 0: not by time.
func (l *line) arm(cr *Credential, now, at int64) {
	switch {
	case at == 0 && l.timer != nil:
		l.timer.Stop()
	case at == 0:
	case l.timer == nil:
		l.timer = time.AfterFunc(time.Duration(at-now), cr.wake)
	default:
		l.timer.Reset(time.Duration(at - now))
	}
}
