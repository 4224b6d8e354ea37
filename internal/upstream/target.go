package upstream

import (
	"context"
	"math"
	"slices"
	"strings"
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
