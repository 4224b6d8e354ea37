package gateway

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Ring remembers the last requests by id, and what clients said of them. Safe for
// concurrent use.
type Ring struct {
	mu   sync.Mutex
	ring []*llm.Trail // no index: adding is on the road, looking up is not
	next int
	said map[string]*Feedback // of requests in the ring
}

// Feedback is what a client says of an answer.
type Feedback struct {
	Score   float64   `json:"score"` // -1 to 1
	Labels  []string  `json:"labels,omitempty"`
	Comment string    `json:"comment,omitempty"`
	Time    time.Time `json:"time"`
}

// NewRing returns a ring of n requests.
func NewRing(n int) *Ring {
	return &Ring{ring: make([]*llm.Trail, n), said: map[string]*Feedback{}}
}

// Add remembers a settled trail and forgets the oldest.
func (r *Ring) Add(t *llm.Trail) {
	r.mu.Lock()
	if len(r.said) > 0 && r.ring[r.next] != nil {
		delete(r.said, r.ring[r.next].ID)
	}
	r.ring[r.next] = t
	r.next = (r.next + 1) % len(r.ring)
	r.mu.Unlock()
}

// Get returns the settled trail of an id, nil if it is not remembered.
func (r *Ring) Get(id string) *llm.Trail {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(id)
}

func (r *Ring) get(id string) *llm.Trail {
	for _, t := range r.ring {
		if t != nil && t.ID == id {
			return t
		}
	}
	return nil
}

// Say notes what a client says of a remembered request.
func (r *Ring) Say(id string, f *Feedback) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.get(id) != nil {
		r.said[id] = f
	}
}

// Said returns the last word on a remembered request, nil for none.
func (r *Ring) Said(id string) *Feedback {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[id]
}

// Record is what is told of a request that was served.
type Record struct {
	ID         string          `json:"id"`
	Time       time.Time       `json:"time"`
	Key        string          `json:"key,omitempty"`
	Session    string          `json:"session,omitempty"`
	Op         string          `json:"op"`
	Model      string          `json:"model"`
	Stream     bool            `json:"stream"`
	Answered   string          `json:"answered_by,omitempty"`
	Target     string          `json:"target,omitempty"`
	Strategy   string          `json:"strategy,omitempty"`
	Arm        string          `json:"arm,omitempty"` // of a split, what was drawn
	Task       string          `json:"task,omitempty"`
	Degraded   int             `json:"degraded,omitempty"`
	Risk       string          `json:"risk,omitempty"` // the highest that guards found
	Guards     []llm.Verdict   `json:"guards,omitempty"`
	Status     int             `json:"status"`
	Outcome    string          `json:"outcome"`
	Error      string          `json:"error,omitempty"`
	Usage      llm.Usage       `json:"usage"`
	Cost       llm.Money       `json:"cost_nano_usd"`
	CostUSD    string          `json:"cost_usd"`
	DurationMS float64         `json:"duration_ms"`
	FirstMS    float64         `json:"first_token_ms,omitempty"`
	QueuedMS   float64         `json:"queued_ms,omitempty"` // in line until a target had room
	Attempts   []AttemptRecord `json:"attempts"`
	// Feedback is the last that a client said of the answer; nil: nothing.
	Feedback *Feedback `json:"feedback,omitempty"`
	// Decision is how the model was chosen; nil: nobody chose.
	Decision *llm.Decision `json:"decision,omitempty"`
}

// AttemptRecord is one attempt of a Record. Times are from the request's
// start.
type AttemptRecord struct {
	Model      string    `json:"model"`
	Target     string    `json:"target"`
	Credential string    `json:"credential,omitempty"`
	Note       string    `json:"note,omitempty"`
	StartMS    float64   `json:"start_ms"`
	FirstMS    float64   `json:"first_token_ms,omitempty"`
	EndMS      float64   `json:"end_ms"`
	Status     int       `json:"status,omitempty"`
	Outcome    string    `json:"outcome"`
	Detail     string    `json:"detail,omitempty"`
	Usage      llm.Usage `json:"usage"`
	Cost       llm.Money `json:"cost_nano_usd"`
	// Flags are what gates found wrong with its answer, Score what a judge gave it,
	// 0 to 1; nil: nothing.
	Flags []string `json:"flags,omitempty"`
	Score *float64 `json:"score,omitempty"`
}

// NewRecord tells a settled trail.
func NewRecord(t *llm.Trail) Record {
	ms := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return float64(at.Sub(t.Start).Microseconds()) / 1000
	}
	r := Record{
		ID: t.ID, Time: t.Start.UTC(), Key: t.Caller.Key, Session: t.Caller.Session, Op: t.Op.String(), Model: t.Model, Stream: t.Stream,
		Answered: t.Answered, Target: t.Target, Strategy: t.Strategy, Arm: t.Arm, Task: t.Task, Degraded: t.Degraded, Status: t.Status, Outcome: t.Outcome, Decision: t.Decision,
		Usage: t.Usage(), Cost: t.Cost(), CostUSD: t.Cost().String(), DurationMS: ms(t.End), FirstMS: ms(t.First), QueuedMS: float64(t.Queued.Microseconds()) / 1000, Attempts: []AttemptRecord{},
		Risk: t.Risk, Guards: t.Guards,
	}
	if t.Err != nil {
		r.Error = t.Err.Message
	}
	for _, a := range t.Attempts() {
		r.Attempts = append(r.Attempts, AttemptRecord{
			Model: a.Model, Target: a.Target, Credential: a.Credential, Note: a.Note, StartMS: ms(a.Start), FirstMS: ms(a.First), EndMS: ms(a.End),
			Status: a.Status, Outcome: a.Outcome, Detail: a.Detail, Usage: a.Usage, Cost: a.Cost, Flags: a.Flags.Names(),
		})
		if !math.IsNaN(a.Score) {
			r.Attempts[len(r.Attempts)-1].Score = &a.Score
		}
	}
	return r
}

// Public returns the record without what only the operator may see: the
// vendors' own words and addresses, and what guards look for.
func (r Record) Public() Record {
	r.Guards = slices.Clone(r.Guards)
	for i := range r.Guards {
		r.Guards[i].Found = nil
	}
	r.Attempts = slices.Clone(r.Attempts)
	for i := range r.Attempts {
		r.Attempts[i].Detail, r.Attempts[i].Credential = "", ""
	}
	return r
}
