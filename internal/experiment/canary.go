package experiment

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/quality"
)

// Ladder is how a canary is to come to all of the traffic.
type Ladder struct {
	Arm    string
	Steps  []float64 // shares of all requests, rising; the last is 1
	Min    int64     // answers of the canary at each step, at least
	Margin float64   // how much more of its answers may be bad than of the control's
}

// State is where a canary is.
type State uint8

// The states.
const (
	Running    State = iota // at one of the steps
	Promoted                // it has all of the traffic for good
	RolledBack              // it has none
)

var stateNames = [...]string{"running", "promoted", "rolled_back"}

// String returns the state's name.
func (s State) String() string { return stateNames[s] }

// Event is a change of a canary's share and why it was made.
type Event struct {
	Time       time.Time
	Model, Arm string
	State      State // from now on
	Step       int   // from 1 on
	From, To   float64
	Reason     string
	Comparison quality.Comparison // what was known
}

// maxFound bounds the requests of which a canary remembers that the answer was bad,
// so that it counts once who ever says so.
const maxFound = 1024

// maxEvents bounds the events that a canary remembers; the oldest are forgotten.
const maxEvents = 32

// maxOwed bounds the answers of a side that were judged before their requests are
// settled.
const maxOwed = 32

// Canary moves traffic to an arm step by step while its answers are no worse than
// those of the others, and takes it all back where they are. Safe for concurrent
// use.
type Canary struct {
	model string
	share atomic.Uint64 // bits of a float64
	// running: it wants to know of every answer whether it is bad.
	running atomic.Bool

	mu     sync.Mutex
	ladder Ladder
	tell   func(Event) // called without mu
	state  State
	step   int // index of Steps
	since  time.Time
	strata []quality.Stratum // by step
	recent [2]quality.Recent // of the canary and of the others: which failed
	owed   [2]int64          // of the same: answers that were found bad before they were counted, at most maxOwed
	begun  time.Time         // what was asked before is of another canary, or was forgotten
	events []Event
	found  map[string]bool // requests whose answer was counted as bad
	turn   []string        // of them, in the order they came

	changed bool // since it was saved last
}

func newCanary(model string, l Ladder, tell func(Event)) *Canary {
	c := &Canary{model: model, ladder: l, tell: tell}
	c.begin(time.Now())
	c.put(l.Steps[0])
	return c
}

// begin is the first step, with nothing known. It needs mu, or nobody who asks
// yet.
func (c *Canary) begin(now time.Time) {
	c.state, c.step, c.since, c.changed = Running, 0, now, true
	c.strata = make([]quality.Stratum, len(c.ladder.Steps))
	c.recent, c.owed, c.begun = [2]quality.Recent{}, [2]int64{}, now
	c.running.Store(true)
	c.found, c.turn = nil, nil
}

// find notes that the answer to a request was bad; false: that was known. It needs
// mu.
func (c *Canary) find(request string) bool {
	if c.found[request] {
		return false
	}
	if c.found == nil {
		c.found = map[string]bool{}
	}
	if len(c.turn) == maxFound {
		delete(c.found, c.turn[0])
		c.turn = c.turn[1:]
	}
	c.found[request], c.turn = true, append(c.turn, request)
	return true
}

func (c *Canary) put(share float64) { c.share.Store(math.Float64bits(share)) }

// Share is the part of all requests that the canary has now.
func (c *Canary) Share() float64 { return math.Float64frombits(c.share.Load()) }

// continues reports whether a canary of another configuration is the same one.
func (c *Canary) continues(l *Ladder) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ladder.Arm == l.Arm && slices.Equal(c.ladder.Steps, l.Steps)
}

func (c *Canary) adopt(l Ladder, tell func(Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ladder, c.tell = l, tell
}

// observe takes a request that says something: whether it was the canary's, was
// bad, and failed. began is when it came.
func (c *Canary) observe(arm, request string, bad, failed bool, began, now time.Time) {
	c.mu.Lock()
	if c.state != Running || began.Before(c.begun) {
		c.mu.Unlock()
		return
	}
	c.changed = true
	side, count := c.side(arm, c.step)
	bad = bad && c.find(request) // or it was blamed before
	if !bad && c.owed[side] > 0 {
		c.owed[side]--
		bad = true
	}
	count.Add(bad)
	c.recent[side].Add(failed)
	c.decided(side, now)
}

// side is which side an arm is on, 0 for the canary's, and its count at a step.
func (c *Canary) side(arm string, step int) (int, *quality.Count) {
	if arm == c.ladder.Arm {
		return 0, &c.strata[step].Canary
	}
	return 1, &c.strata[step].Control
}

// blame makes one of an arm's answers a bad one, which was counted as one that is
// not, or is about to be. What is known of a request's answer counts once. began is
// when the request came.
func (c *Canary) blame(arm, request string, began, now time.Time) {
	c.mu.Lock()
	if c.state != Running || began.Before(c.begun) || !c.find(request) {
		c.mu.Unlock()
		return
	}
	c.changed = true
	side, count := c.side(arm, c.step)
	if count.Bad < count.N {
		count.Bad++
	} else if _, before := c.side(arm, max(0, c.step-1)); before.Bad < before.N {
		before.Bad++
	} else if c.owed[side] < maxOwed {
		c.owed[side]++
	}
	c.decided(side, now)
}

// decided lets the canary decide, after an answer of its own, and tells what
// follows. It releases mu.
func (c *Canary) decided(side int, now time.Time) {
	var e *Event
	if side == 0 {
		e = c.decide(now)
	}
	tell := c.tell
	c.mu.Unlock()
	if e != nil {
		tell(*e)
	}
}

// compare compares the canary with its control: at the last step, where there is
// no other traffic beside it, with what the others answered at all steps before.
// It needs mu.
func (c *Canary) compare() quality.Comparison {
	last := len(c.strata) - 1
	if c.step < last || c.strata[last].Canary.N == 0 {
		return quality.Compare(c.strata, c.ladder.Margin)
	}
	s := quality.Stratum{Canary: c.strata[last].Canary}
	for i := range c.strata {
		s.Control.N, s.Control.Bad = s.Control.N+c.strata[i].Control.N, s.Control.Bad+c.strata[i].Control.Bad
	}
	return quality.Compare([]quality.Stratum{s}, c.ladder.Margin)
}

// decide looks at what is known after an answer of the canary; nil: it stays as
// it is. A step is left upwards where it has brought enough answers and they are
// not above the margin; the one before the last, after which the others have
// nothing, only where it is known that they are not.
func (c *Canary) decide(now time.Time) *Event {
	x := c.compare()
	last := len(c.ladder.Steps) - 1
	switch enough := c.strata[c.step].Canary.N >= c.ladder.Min; {
	case quality.Broken(c.recent[0], c.recent[1]):
		return c.move(RolledBack, c.step, 0, "half of its last 20 requests failed, and not those of the others", x, now)
	case x.Worse:
		return c.move(RolledBack, c.step, 0, fmt.Sprintf("%.1f %% of its answers are bad, %.1f points more than of the others", 100*x.Canary.Share(), 100*x.Difference), x, now)
	case !enough:
		return nil
	case c.step == last && x.Difference > c.ladder.Margin:
		return nil
	case c.step == last:
		return c.move(Promoted, last, 1, "it has answered enough with all of the traffic", x, now)
	case c.step+1 == last && !x.Fine, x.Difference > c.ladder.Margin:
		return nil
	}
	return c.move(Running, c.step+1, c.ladder.Steps[c.step+1], fmt.Sprintf("%d answers at this step, %.1f points more of them bad than of the others", c.strata[c.step].Canary.N, 100*x.Difference), x, now)
}

// move changes the share at once. It needs mu.
func (c *Canary) move(to State, step int, share float64, why string, x quality.Comparison, now time.Time) *Event {
	e := Event{Time: now, Model: c.model, Arm: c.ladder.Arm, State: to, Step: step + 1, From: c.Share(), To: share, Reason: why, Comparison: x}
	c.state, c.step, c.since, c.changed = to, step, now, true
	c.put(share)
	c.running.Store(to == Running)
	if len(c.events) == maxEvents {
		c.events = append(c.events[:0], c.events[1:]...)
	}
	c.events = append(c.events, e)
	return &e
}

// orders is why a share changes that the operator changes.
const orders = "the operator's order"

// Promote goes on to the next step, whatever is known. false: there is none, or
// it was rolled back.
func (c *Canary) Promote() bool {
	c.mu.Lock()
	if c.state != Running {
		c.mu.Unlock()
		return false
	}
	now, x, last := time.Now(), c.compare(), len(c.ladder.Steps)-1
	var e *Event
	if c.step == last {
		e = c.move(Promoted, last, 1, orders, x, now)
	} else {
		e = c.move(Running, c.step+1, c.ladder.Steps[c.step+1], orders, x, now)
	}
	tell := c.tell
	c.mu.Unlock()
	tell(*e)
	return true
}

// RollBack takes all traffic from the canary. false: it has none.
func (c *Canary) RollBack() bool {
	c.mu.Lock()
	if c.state == RolledBack {
		c.mu.Unlock()
		return false
	}
	e, tell := c.move(RolledBack, c.step, 0, orders, c.compare(), time.Now()), c.tell
	c.mu.Unlock()
	tell(*e)
	return true
}

// reset begins at the first step with nothing known.
func (c *Canary) reset() {
	c.mu.Lock()
	now := time.Now()
	c.begin(now)
	e := c.move(Running, 0, c.ladder.Steps[0], orders, quality.Compare(nil, c.ladder.Margin), now)
	tell := c.tell
	c.mu.Unlock()
	tell(*e)
}
