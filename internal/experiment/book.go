// Package experiment keeps what splits have shown: how each arm did, what shadow
// traffic found, and how far a canary has come. It outlives configurations and is
// fed when requests are settled; it asks nobody.
package experiment

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
)

// Book has the splits by the names of their models. Safe for concurrent use.
type Book struct {
	mu     sync.RWMutex
	splits map[string]*Split
	saving sync.Mutex // held by Save, before mu
}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{splits: map[string]*Split{}} }

// Split returns what is known of a split, made on first use.
func (b *Book) Split(model string) *Split {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.splits[model]
	if s == nil {
		s = &Split{model: model, arms: map[string]*arm{}, since: time.Now()}
		b.splits[model] = s
	}
	return s
}

// Retain forgets the splits that a configuration does not have.
func (b *Book) Retain(models map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for model := range b.splits {
		if !models[model] {
			delete(b.splits, model)
		}
	}
}

// Settle counts a request for the arms that were drawn for it.
func (b *Book) Settle(t *llm.Trail) {
	for _, drawn := range t.Drawn() {
		if s := b.known(drawn); s != nil {
			s.settle(drawn, t)
		}
	}
}

// Watches reports whether an arm's split has a canary on its way, which wants to
// know of every answer whether it is bad.
func (b *Book) Watches(arm *llm.Arm) bool {
	if s := b.known(arm); s != nil {
		if c := s.Canary(); c != nil {
			return c.running.Load()
		}
	}
	return false
}

func (b *Book) known(arm *llm.Arm) *Split {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.splits[arm.Split]
}

// Judge takes what was found in an answer of a drawn arm beside its request, which
// Settle did not know.
func (b *Book) Judge(v *quality.Verdict) {
	if v.Arm == nil {
		return
	}
	s := b.known(v.Arm)
	if s == nil {
		return
	}
	s.mu.Lock()
	if a := s.arms[v.Arm.Model]; a != nil {
		a.flags.add(v.Flags)
	}
	s.mu.Unlock()
	if v.Bad() {
		b.Blame(v)
	}
}

// Blame counts an answer of a drawn arm as a bad one, once for each request.
func (b *Book) Blame(v *quality.Verdict) {
	if v.Arm == nil {
		return
	}
	if s := b.known(v.Arm); s != nil {
		if c := s.Canary(); c != nil {
			c.blame(v.Arm.Model, v.Request, v.Began, time.Now())
		}
	}
}

// Split is what one split has shown. Safe for concurrent use.
type Split struct {
	model string

	canary atomic.Pointer[Canary] // nil: there is none
	shadow Shadow

	mu    sync.Mutex
	arms  map[string]*arm // by what the configuration calls them, at most its own
	since time.Time
}

// Adopt puts a configuration's arms and canary in force: what is known of arms
// that it does not have is forgotten, and a canary that is another one begins.
// ladder is nil where there is no canary; tell hears what becomes of it.
func (s *Split) Adopt(arms []string, ladder *Ladder, tell func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := make(map[string]*arm, len(arms))
	for _, name := range arms {
		if keep[name] = s.arms[name]; keep[name] == nil {
			keep[name] = &arm{}
		}
	}
	s.arms = keep
	switch c := s.canary.Load(); {
	case ladder == nil:
		s.canary.Store(nil)
	case c == nil || !c.continues(ladder):
		s.canary.Store(newCanary(s.model, *ladder, tell))
	default:
		c.adopt(*ladder, tell)
	}
}

// Canary returns the split's canary, nil where it has none.
func (s *Split) Canary() *Canary { return s.canary.Load() }

// Shadow is where the split's shadow traffic is counted.
func (s *Split) Shadow() *Shadow { return &s.shadow }

// Reset forgets how the arms did and begins the canary anew.
func (s *Split) Reset() {
	s.mu.Lock()
	for name := range s.arms {
		s.arms[name] = &arm{}
	}
	s.since = time.Now()
	s.mu.Unlock()
	s.shadow.reset()
	if c := s.Canary(); c != nil {
		c.reset()
	}
}

func (s *Split) settle(drawn *llm.Arm, t *llm.Trail) {
	r := resultOf(drawn, t)
	s.mu.Lock()
	if a := s.arms[drawn.Model]; a != nil {
		a.add(&r)
	}
	s.mu.Unlock()
	if c := s.Canary(); c != nil && r.counts() {
		c.observe(drawn.Model, t.ID, r.bad(), r.end == failed, t.Start, time.Now())
	}
}

// end is how a request ended for the arm that was drawn for it.
type end uint8

const (
	answered end = iota // whole
	failed              // the arm could not answer, and another one did, or nobody
	callers             // the request was at fault
	nobodys             // the client left before the end
)

// result is what a request showed of the arm that was drawn for it.
type result struct {
	end   end
	flags llm.Flags
	score float64 // NaN: none
	cut   bool    // see llm.Attempt
	// refused: gates did not accept the answer.
	refused bool
	took    time.Duration
	first   time.Duration // to the first token of a stream, 0: none
	cost    llm.Money
	output  int64
}

// counts reports whether the request says something of the arm.
func (r *result) counts() bool { return r.end == answered || r.end == failed }

// bad reports whether the arm gave no answer, or one of no use.
func (r *result) bad() bool {
	v := quality.Verdict{Flags: r.flags, Score: r.score, Opinion: math.NaN(), Cut: r.cut}
	return r.end == failed || r.refused || v.Bad()
}

// resultOf looks at the attempts that were made for the arm. Those beside the
// answer have none.
func resultOf(drawn *llm.Arm, t *llm.Trail) result {
	r := result{end: failed, score: math.NaN()}
	var began time.Time
	asked, canceled := false, false
	for _, a := range t.Attempts() {
		if a.Arm == nil || *a.Arm != *drawn {
			continue
		}
		if asked = true; began.IsZero() {
			began = a.Start
		}
		r.cost, r.output = r.cost+a.Cost, r.output+a.Usage.Output
		switch a.Outcome {
		case "ok", rejected:
			r.end, r.flags, r.score, r.cut, r.refused = answered, a.Flags, a.Score, a.Cut, a.Outcome == rejected
			if r.took = a.End.Sub(began); t.Stream && !a.First.IsZero() {
				r.first = a.First.Sub(began)
			}
		case llm.KindCaller.String(), llm.KindContextLength.String(), llm.KindUnsupported.String(), llm.KindInvalidRequest.String(), llm.KindInvalidJSON.String():
			r.end = callers
		case llm.KindCanceled.String():
			canceled = true
		}
	}
	if r.end == failed && (canceled || !asked && t.Err != nil && t.Err.Kind == llm.KindCanceled) {
		r.end = nobodys
	}
	return r
}

// rejected is the outcome of an attempt whose answer gates refused.
const rejected = "rejected"
