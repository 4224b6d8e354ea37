package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Limits of one credential; 0: none.
type Limits struct {
	RPM, TPM   int64 // calls and tokens a minute
	Concurrent int64 // calls at the same time
}

// Credential is what is known of one of a provider's credentials, and the line
// of those that wait for it. Where nothing limits it a call costs it two
// atomic additions. Safe for concurrent use.
type Credential struct {
	ID, Label string
	reg       *Registry
	until     atomic.Int64 // quarantined until
	reason    atomic.Pointer[string]
	inFlight  atomic.Int64
	bounded   atomic.Bool  // mu must be asked
	contended atomic.Bool  // whoever comes goes to the end of the line
	queued    atomic.Int64 // requests in line
	every     atomic.Int64 // mean time between two that leave the line with a slot, 0: unknown

	mu       sync.Mutex // nothing else is locked under it
	limits   Limits
	adaptive int // targets at which fewer calls are made than would come
	calls    bucket
	tokens   bucket

	line line // guarded by the registry's room
}

// quarantine keeps the credential unused for d.
func (cr *Credential) quarantine(now int64, d time.Duration, reason string) {
	if d > 0 {
		cr.reason.Store(&reason)
		cr.until.Store(now + int64(d))
	}
}

// limit puts limits in force, for what is under way as well.
func (cr *Credential) limit(l Limits) {
	cr.mu.Lock()
	changed := cr.limits != l
	cr.limits = l
	cr.bound()
	cr.mu.Unlock()
	if changed {
		cr.wake()
	}
}

// bound notes whether there is anything to ask mu for, which is held.
func (cr *Credential) bound() { cr.bounded.Store(cr.limits != (Limits{}) || cr.adaptive > 0) }

// wake gives what is free to those in line.
func (cr *Credential) wake() {
	if cr.queued.Load() > 0 {
		cr.reg.room.Lock()
		cr.reg.serve(cr)
		cr.reg.room.Unlock()
	}
}

// States of a target that cannot be asked, as whyNot and Health tell them,
// beside those of its breaker.
const (
	stateFull        = "full" // its slots are taken: another call's end lets the next begin
	stateCooldown    = "cooldown"
	stateQuarantined = "quarantined"
	stateUnfit       = "unfit"   // for this request: see Screen
	stateBenched     = "quality" // it answers, but badly
)

// hold is why a call cannot begin now. The zero value: it can.
type hold struct {
	state  string
	reason string
	at     int64 // when it can; full: at the latest, 0: when another call ends
	whole  bool  // it holds at every target of the credential
}

// rest tells whether the credential may not be used here for a time.
func (c *Call) rest(now int64) hold {
	if at := c.Credential.until.Load(); at > now {
		why := "credential refused"
		if p := c.Credential.reason.Load(); p != nil {
			why = *p
		}
		return hold{state: stateQuarantined, reason: why, at: at, whole: true}
	}
	x := c.Cooling
	if at := x.until.Load(); at > now {
		return hold{state: stateCooldown, reason: "rate limited by the vendor", at: at}
	}
	if b := x.requests.block(now, x.inFlight.Load(), &requestsSpent); b.state != "" {
		return b
	}
	return x.tokens.block(now, x.inFlight.Load(), &tokensSpent)
}

// why tells what keeps the smallest call from beginning now.
func (c *Call) why(now int64) hold {
	b := c.rest(now)
	if cr := c.Credential; b.state == "" && cr.bounded.Load() {
		cr.mu.Lock()
		b = cr.check(c.Cooling, now, need{calls: 1, tokens: 1})
		cr.mu.Unlock()
	}
	if b.state == "" && c.lined() {
		b = hold{state: stateFull, reason: "requests wait in line for it"}
	}
	return b
}

// lined reports whether a call that comes now has to stand in line.
func (c *Call) lined() bool {
	return c.Credential.contended.Load() || c.Cooling.waiting.Load() > 0
}

// need is what a request takes of limits: the calls that it makes, at least one
// and all at the same time, and tokens.
type need struct{ calls, tokens int64 }

// over reports whether a limit of calls at a time is exceeded by n more. Where
// none is under way those of one request may be.
func over(limit, inFlight, n int64) bool { return limit > 0 && inFlight > 0 && inFlight+n > limit }

// check tells what of the limits keeps a request from beginning. mu is held.
func (cr *Credential) check(x *Cooling, now int64, n need) hold {
	l := &cr.limits
	if over(l.Concurrent, cr.inFlight.Load(), n.calls) {
		return hold{state: stateFull, reason: "limits.concurrent is reached", whole: true}
	}
	if over(x.most, x.inFlight.Load(), n.calls) {
		return hold{state: stateFull, reason: "the vendor refused more calls at a time"}
	}
	if at := cr.calls.at(now, l.RPM, n.calls); at > now {
		return hold{state: stateCooldown, reason: "limits.rpm is reached", at: at, whole: true}
	}
	if at := cr.tokens.at(now, l.TPM, n.tokens); at > now {
		return hold{state: stateCooldown, reason: "limits.tpm is reached", at: at, whole: true}
	}
	return hold{}
}

// claim takes the slots for a request, or tells what is in the way. Who has them
// ends by release or cancel with the same need, once.
func (c *Call) claim(now int64, n need) hold {
	if b := c.rest(now); b.state != "" {
		return b
	}
	cr, x := c.Credential, c.Cooling
	if cr.bounded.Load() {
		cr.mu.Lock()
		defer cr.mu.Unlock()
		if b := cr.check(x, now, n); b.state != "" {
			return b
		}
		cr.calls.take(now, cr.limits.RPM, n.calls)
		cr.tokens.take(now, cr.limits.TPM, n.tokens)
	}
	cr.inFlight.Add(n.calls)
	x.inFlight.Add(n.calls)
	x.requests.take(n.calls)
	x.tokens.take(n.tokens)
	return hold{}
}

// hear notes what an answer tells of the vendor's quotas. Resets count for at
// most cap; 0: nothing is noted.
func (c *Call) hear(now int64, q *llm.Quota, cap time.Duration) {
	c.Cooling.tell(now, q, cap)
	if c.Cooling.waiting.Load() > 0 {
		c.Credential.wake()
	}
}

// release ends what was claimed. used is what it took of the tokens; below 0:
// nobody knows.
func (c *Call) release(now int64, n need, used int64) {
	cr := c.Credential
	cr.inFlight.Add(-n.calls)
	c.Cooling.inFlight.Add(-n.calls)
	if used >= 0 && cr.bounded.Load() {
		cr.mu.Lock()
		cr.tokens.take(now, cr.limits.TPM, used-n.tokens)
		cr.mu.Unlock()
	}
	cr.wake()
}

// cancel gives back what was claimed by a call that has not reached the vendor.
func (c *Call) cancel(now int64, n need) {
	cr, x := c.Credential, c.Cooling
	x.requests.take(-n.calls)
	x.tokens.take(-n.tokens)
	if cr.bounded.Load() {
		cr.mu.Lock()
		cr.calls.take(now, cr.limits.RPM, -n.calls)
		cr.mu.Unlock()
	}
	c.release(now, n, 0)
}

// The adaptive number of calls at a time falls to less times what was refused
// and grows by one after so many successes (additive increase, multiplicative
// decrease). It falls on refusals only: latency says little about models.
const (
	shrinkTo  = 0.7
	growAfter = 10
)

// refused notes a 429 or 529 for a call that began at start and is still
// counted. Calls that were under way when the number fell last say nothing
// new; one that was alone says nothing about how many may be.
func (c *Call) refused(now, start int64) {
	cr, x := c.Credential, c.Cooling
	if x.spent(now) { // the rate was at fault
		return
	}
	cr.mu.Lock()
	defer cr.mu.Unlock()
	n := x.inFlight.Load()
	if n < 2 || start <= x.shrunk {
		return
	}
	if x.most == 0 {
		cr.adaptive++
	}
	x.most, x.enough = max(1, int64(float64(n)*shrinkTo)), 2*n
	x.good, x.shrunk = 0, now
	cr.bound()
}

// succeeded notes a whole answer.
func (c *Call) succeeded() {
	c.Cooling.row.Store(0)
	cr, x := c.Credential, c.Cooling
	if !cr.bounded.Load() {
		return
	}
	cr.mu.Lock()
	defer cr.mu.Unlock()
	if x.most == 0 {
		return
	}
	if x.good++; x.good < growAfter {
		return
	}
	x.good = 0
	if x.most++; x.most >= x.enough { // as many as were refused and more go through
		x.most = 0
		cr.adaptive--
		cr.bound()
	}
}

// forget forgets why the credential rests here, what its vendor said is left, and
// how many calls were too many.
func (c *Call) forget() {
	cr, x := c.Credential, c.Cooling
	cr.until.Store(0)
	x.until.Store(0)
	x.row.Store(0)
	x.requests.reset.Store(0)
	x.tokens.reset.Store(0)
	cr.mu.Lock()
	if x.most > 0 {
		x.most = 0
		cr.adaptive--
		cr.bound()
	}
	cr.mu.Unlock()
	cr.wake()
}

// slots is how many calls may be made at a time, 0: as many as come.
func (c *Call) slots() int64 {
	cr := c.Credential
	cr.mu.Lock()
	defer cr.mu.Unlock()
	if n := cr.limits.Concurrent; n > 0 && (c.Cooling.most == 0 || n < c.Cooling.most) {
		return n
	}
	return c.Cooling.most
}

// usual is how long a slot takes to come free where that was never seen.
const usual = time.Second

// expect is when a call that is blocked by b may begin, behind those in line
// where they come one by one.
func (c *Call) expect(now int64, b hold) int64 {
	if b.state == stateQuarantined || b.state == stateCooldown && !b.whole {
		return b.at // for all at once
	}
	cr := c.Credential
	ahead, every := cr.queued.Load(), cr.every.Load()
	if every == 0 {
		every = int64(usual)
	}
	if b.state == stateFull {
		return now + (ahead+1)*every
	}
	cr.mu.Lock()
	rpm := cr.limits.RPM
	cr.mu.Unlock()
	if rpm > 0 {
		every = nanos(1, rpm)
	}
	return b.at + ahead*every
}
