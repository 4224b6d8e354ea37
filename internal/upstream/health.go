package upstream

import (
	"fmt"
	"time"
)

// Health is what is known of a target now.
type Health struct {
	Phase     Phase
	State     string // one of States
	Reason    string
	Wait      time.Duration // until it can be asked again, 0 when it can or nobody knows
	InFlight  int64
	Waiting   int64         // requests in line for it
	Unary     time.Duration // expected time of a unary answer
	First     time.Duration // expected time to a stream's first token
	ErrorRate float64       // over the breaker's window
	// Credentials are the target's, in their order.
	Credentials []CredentialHealth
}

// CredentialHealth is what is known of one credential at a target.
type CredentialHealth struct {
	Label    string
	State    string // ready, full, cooldown, quarantined
	Reason   string
	Wait     time.Duration // until it can be asked with again, 0 when it can
	InFlight int64
	Slots    int64 // calls at a time, 0: as many as come
	Requests int64 // left by the vendor's last word, -1: not known
	Tokens   int64 // the same
}

func (c *Call) health(now int64) CredentialHealth {
	x := c.Cooling
	h := CredentialHealth{Label: c.Credential.Label, State: "ready", InFlight: x.inFlight.Load(), Slots: c.slots(),
		Requests: x.requests.headroom(now), Tokens: x.tokens.headroom(now)}
	if b := c.why(now); b.state != "" {
		if h.State, h.Reason = b.state, b.reason; b.state != stateFull {
			h.Wait = time.Duration(b.at - now)
		}
	}
	return h
}

// States are those of a target, the phases of its breaker among them. Where
// several hold, the first is told.
var States = [...]string{"drained", "open", stateBenched, stateQuarantined, stateCooldown, stateFull, "ejected", "suspected", "half_open", "closed"}

// Health tells the target's state.
func (t *Target) Health() Health {
	st := t.State
	now := st.reg.now()
	h := Health{InFlight: st.InFlight(), Waiting: st.waiting.Load(), Unary: st.Latency(false, t.Prior), First: st.Latency(true, t.Prior)}
	h.Phase, h.Reason, _ = st.Breaker.Phase(now)
	h.State, h.ErrorRate = h.Phase.String(), st.Breaker.errorRate(now)
	if state, reason, wait := t.whyNot(now); state != "" {
		if h.Reason = reason; state != stateFull {
			h.Wait = max(0, wait)
		}
		if state != "open" {
			h.State = state
		}
	} else if st.Benched() {
		h.State, h.Reason = stateBenched, *st.absence.reason.Load()+"; the next request finds out whether they still are"
	} else if reason, wait := st.ejection.why(now); wait > 0 {
		h.State, h.Reason, h.Wait = "ejected", reason, wait
	} else if st.Suspected() {
		h.State, h.Reason = "suspected", "fell silent"
	} else if part := t.ramp(now); part < 1 && h.Phase == Closed {
		h.Reason = slowStart(part)
	}
	for i := range t.Calls {
		h.Credentials = append(h.Credentials, t.Calls[i].health(now))
	}
	return h
}

func slowStart(part float64) string {
	return fmt.Sprintf("slow start: %.0f %% of its share", part*100)
}

// Drain keeps new requests away from the target until Undrain, whatever its
// state; calls under way go on.
func (t *Target) Drain() { t.State.drained.Store(true) }

// Drained reports whether the operator drains the target.
func (t *Target) Drained() bool { return t.State.drained.Load() }

// Undrain ends Drain.
func (t *Target) Undrain() {
	if t.State.drained.Swap(false) {
		t.State.back(t.State.reg.now())
	}
}

// Reset forgets what keeps requests away from the target, a drain aside: what
// opened its breaker, the rest of its credentials (which the provider's other
// targets share) and what vendors said of their quotas, suspicion, ejection and
// bad answers.
func (t *Target) Reset() {
	st := t.State
	now := st.reg.now()
	if state, _, _ := t.whyNot(now); state != "" || st.ejection.until.Load() > now {
		st.back(now)
	}
	st.Breaker.Reset()
	st.suspect.Store(0)
	st.ejection.until.Store(0)
	st.absence.next.Store(0)
	for i := range t.Calls {
		t.Calls[i].forget()
	}
}

// record tells the breaker of a call's end.
func (s *State) record(now int64, pass uint64, r Result) {
	if s.Breaker.Record(now, pass, r) {
		s.back(now)
	}
}

// back notes that the target can be asked again after it could not.
func (s *State) back(now int64) { s.since.Store(now) }

// leastRamp is the part of its share that a target has at once when it comes
// back (Envoy's slow start begins with a tenth, too).
const leastRamp = 0.1

// Ramp is the part of its share that the option may have now: below 1 for a
// target that came back a short while ago, growing with time.
func (o *Option) Ramp() float64 {
	if o.Target == nil || o.Target.State.since.Load() == 0 { // nearly always
		return 1
	}
	return o.Target.ramp(o.Target.State.reg.now())
}

func (t *Target) ramp(now int64) float64 {
	since := t.State.since.Load()
	if since == 0 {
		return 1
	}
	if now >= since+int64(t.Hold+t.SlowStart) {
		t.State.since.CompareAndSwap(since, 0)
		return 1
	}
	return grown(now-since, t.SlowStart)
}

// grown is the part of a share some time after the beginning of a slow start.
func grown(passed int64, over time.Duration) float64 {
	if passed >= int64(over) {
		return 1
	}
	return max(leastRamp, float64(passed)/float64(over))
}

// Welcome lets targets that no configuration named before begin slowly in a
// pool whose other targets have answered. It is called before Retain.
func (p *Pool) Welcome() {
	warm := false
	for i := range p.Options {
		t := p.Options[i].Target
		warm = warm || t != nil && t.State.good.Load() != 0
	}
	if !warm {
		return
	}
	for i := range p.Options {
		if t := p.Options[i].Target; t != nil && !t.State.pinned.Load() && t.State.calls.Load() == 0 {
			t.State.back(t.State.reg.now())
		}
	}
}
