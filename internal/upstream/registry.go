// Package upstream calls well: it knows the state of every target, orders
// pools by a strategy it is given, and has the only attempt loop. It holds
// calls and knows no vendor.
package upstream

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// MaxStates bounds the targets that are remembered, those of the
// configuration aside: names that clients made up must not fill the memory.
const MaxStates = 4096

// Registry keeps what was learned and what is open across configurations:
// the same target id is the same state. Safe for concurrent use.
type Registry struct {
	epoch   time.Time
	room    sync.Mutex // guards the lines of all credentials
	mu      sync.Mutex
	states  map[string]*State
	creds   map[string]*Credential
	budgets map[string]*Budget
	seed    maphash.Seed // of the hashes of prompts
	blocks  atomic.Int64 // room of all mirrors
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{epoch: time.Now(), states: map[string]*State{}, creds: map[string]*Credential{}, budgets: map[string]*Budget{}, seed: maphash.MakeSeed()}
}

// now is the monotonic time since the registry was made, never 0.
func (r *Registry) now() int64 { return int64(time.Since(r.epoch)) + 1 }

// State returns the state of a target, made on first use. When too many are
// known, idle ones of no configuration are forgotten first.
func (r *Registry) State(id string) *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.states[id]
	if s == nil {
		if len(r.states) >= MaxStates {
			r.forget()
		}
		s = &State{ID: id, reg: r, cooling: map[*Credential]*Cooling{}}
		r.states[id] = s
	}
	return s
}

// Known returns the state of a target, nil where none was asked for.
func (r *Registry) Known(id string) *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[id]
}

// Engines returns the states of targets with an engine behind them, in no order.
func (r *Registry) Engines() []*State {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*State
	for _, s := range r.states {
		if s.engine.Load() != nil {
			all = append(all, s)
		}
	}
	return all
}

func (r *Registry) forget() {
	for id, s := range r.states {
		if !s.pinned.Load() && s.inFlight.Load() == 0 && s.waiting.Load() == 0 {
			delete(r.states, id)
			s.engine.Load().drop()
			if len(r.states) < MaxStates*3/4 {
				return
			}
		}
	}
}

// Retain says which targets a configuration names; the others may be
// forgotten when space is needed.
func (r *Registry) Retain(ids map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.states {
		s.pinned.Store(ids[id])
	}
}

// Credential returns the state of a provider's credential. id must not be
// the secret itself; a digest of it will do.
func (r *Registry) Credential(id, label string) *Credential {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.creds[id]
	if c == nil {
		c = &Credential{ID: id, Label: label, reg: r}
		r.creds[id] = c
	}
	return c
}

// Budget returns the retry budget of a model.
func (r *Registry) Budget(model string) *Budget {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.budgets[model]
	if b == nil {
		if len(r.budgets) >= MaxStates {
			clear(r.budgets)
		}
		b = &Budget{}
		r.budgets[model] = b
	}
	return b
}

// State is what is known of one target, shared by every model that uses it.
type State struct {
	ID       string
	Breaker  Breaker
	reg      *Registry
	pinned   atomic.Bool
	inFlight atomic.Int64
	waiting  atomic.Int64 // requests in line for it
	heard    atomic.Int64 // last sign of life on any call
	suspect  atomic.Int64 // suspected until
	kinds    [2]latency   // unary, streamed
	errors   failures
	engine   atomic.Pointer[Engine] // nil: never asked for
	output   atomic.Int64           // mean output tokens of an answer, ×16
	outputs  outputs
	calls    atomic.Uint64
	good     atomic.Int64 // when it last gave a whole answer, 0: never
	drained  atomic.Bool
	since    atomic.Int64 // when it came back after it could not be asked; 0: it is as it was
	ejection ejection
	absence  absence
	probing  atomic.Bool  // a probe is under way
	nextAsk  atomic.Int64 // when the next probe may be, 0: not decided

	mu      sync.Mutex
	cooling map[*Credential]*Cooling
}

// Cooling returns what is known of c at this target.
func (s *State) Cooling(c *Credential) *Cooling {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.cooling[c]
	if x == nil {
		if len(s.cooling) >= 1024 { // credentials of configurations long gone
			clear(s.cooling)
		}
		x = &Cooling{}
		s.cooling[c] = x
	}
	return x
}

// InFlight is the number of calls under way.
func (s *State) InFlight() int64 { return s.inFlight.Load() }

// Latency is the expected time to the first event of a call: measured for
// its kind, else for the other kind, else prior.
func (s *State) Latency(stream bool, prior time.Duration) time.Duration {
	return s.LatencyAt(s.reg.now(), stream, prior)
}

// LatencyAt is Latency at a time on the registry's clock.
func (s *State) LatencyAt(now int64, stream bool, prior time.Duration) time.Duration {
	k := kind(stream)
	d, ok := s.kinds[k].expected(now, prior)
	if !ok {
		d, _ = s.kinds[1-k].expected(now, prior)
	}
	return d
}

// measured is when a call last told something of the target, 0: never.
func (s *State) measured() int64 { return max(s.kinds[0].last.Load(), s.kinds[1].last.Load()) }

// Errors is the share of calls that failed lately, 0 to 1.
func (s *State) Errors(now int64) float64 {
	if s.errors.bits.Load() == 0 {
		return 0
	}
	return s.errors.rate(now, s.measured())
}

// recovered forgets how the target did before its breaker let a probe through
// that succeeded: the breaker forgets it, too.
func (s *State) recovered() {
	s.errors.bits.Store(0)
	for i := range s.kinds {
		s.kinds[i].restart()
	}
}

func kind(stream bool) int {
	if stream {
		return 1
	}
	return 0
}

// Suspected reports whether the target has fallen silent.
func (s *State) Suspected() bool { return s.suspect.Load() > s.reg.now() }

// silence is how long a target may be silent before it is suspected: four
// times the p99 of its first event, at least a second; unknown while few
// calls were seen.
func (s *State) silence(stream bool, unknown time.Duration) time.Duration {
	p, ok := s.kinds[kind(stream)].quantile(99)
	if !ok {
		return unknown
	}
	return min(unknown, max(time.Second, 4*p))
}

func (s *State) hear(now int64) {
	s.heard.Store(now)
	if s.suspect.Load() != 0 {
		s.suspect.Store(0)
	}
}
