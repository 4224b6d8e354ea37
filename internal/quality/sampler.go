package quality

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxQueue bounds the answers that wait to be judged, maxHeld the bytes of them
	// and of their requests, with those that are still coming, and maxHeard the
	// bytes of one of them.
	maxQueue = 256
	maxHeld  = 32 << 20
	maxHeard = 1 << 20
	// leastEvery is how long a target goes unjudged at most while it is asked: few
	// answers can all be judged, for next to nothing.
	leastEvery = time.Second
	// pace is how far apart answers are judged on the whole: fifty a second are
	// enough to find a collapse at once, and cost a percent or two of a processor.
	// burst is how many may come at a time.
	pace  = 20 * time.Millisecond
	burst = 100
)

// Sampler judges a share of the answers, when they are over, in a goroutine of
// its own. Nothing of them is kept afterwards. Safe for concurrent use.
type Sampler struct {
	examine func(*llm.Chat, *llm.Reply) llm.Flags
	told    atomic.Pointer[func(*Verdict)]
	queue   chan *Heard
	held    atomic.Int64
	due     atomic.Int64 // of the next answer, Unix ns
	judged  atomic.Uint64
	dropped atomic.Uint64
}

// NewSampler returns a sampler that finds flags by examine. It judges nothing
// until Run.
func NewSampler(examine func(*llm.Chat, *llm.Reply) llm.Flags) *Sampler {
	return &Sampler{examine: examine, queue: make(chan *Heard, maxQueue)}
}

// Examine returns what finds flags in a whole answer: all gates that need nothing
// of the configuration.
func Examine() func(*llm.Chat, *llm.Reply) llm.Flags {
	var gates []*Gate
	for _, name := range Names() {
		if g, err := New(name, Options{}); err == nil {
			gates = append(gates, g)
		}
	}
	return func(chat *llm.Chat, r *llm.Reply) (flags llm.Flags) {
		for i := range r.Answers {
			a := Of(chat, &r.Answers[i], true)
			for _, f := range Check(nil, gates, &a) {
				flags |= f.Flags
			}
		}
		return flags
	}
}

// Tell says who is told what was found, one at a time. It comes before Run.
func (s *Sampler) Tell(f func(*Verdict)) { s.told.Store(&f) }

// Stats are how many answers were judged, and how many were not for want of room
// or time.
func (s *Sampler) Stats() (judged, dropped uint64) { return s.judged.Load(), s.dropped.Load() }

// Listen returns what decides whether an answer of one target is judged: a share
// of them at random, one a second at least and as many as there is time for at
// most, and all where must is set, for which there is a reason of its own. It
// returns nil for an answer that is not, for one that gates judge, for a judge's,
// and for the rest of one that broke.
func (s *Sampler) Listen(share float64) func(req *llm.Request, a *llm.Attempt, must bool) *Heard {
	last := new(atomic.Int64)
	return func(req *llm.Request, a *llm.Attempt, must bool) *Heard {
		if !req.Op.Chats() || req.Gated || req.Note == llm.NoteJudge || req.Prefix != "" {
			return nil
		}
		now := a.Start.UnixNano()
		if was := last.Load(); !must && (now-was < int64(leastEvery) && rand.Float64() >= share || !s.turn(now)) {
			return nil
		}
		last.Store(now)
		return s.begin(req, a)
	}
}

// turn reports whether one more answer may be judged (GCRA).
func (s *Sampler) turn(now int64) bool {
	for {
		due := s.due.Load()
		next := max(due, now) + int64(pace)
		if next-now > burst*int64(pace) {
			return false
		}
		if s.due.CompareAndSwap(due, next) {
			return true
		}
	}
}

// begin holds on to the request's body until the answer is judged.
func (s *Sampler) begin(req *llm.Request, a *llm.Attempt) *Heard {
	size := int64(len(req.Body.Bytes()))
	if size > maxHeard || s.held.Add(size) > maxHeld {
		if size <= maxHeard {
			s.held.Add(-size)
		}
		s.dropped.Add(1)
		return nil
	}
	req.Body.Hold()
	return &Heard{s: s, body: req.Body, attempt: a, trail: req.Trail, size: size, bounded: req.MaxOutput > 0 || req.Clamp > 0}
}

// Heard is an answer that is to be judged, as it comes. One goroutine may use it
// at a time. Whole or Drop ends it.
type Heard struct {
	s       *Sampler
	body    llm.Body
	attempt *llm.Attempt
	trail   *llm.Trail
	answer  llm.Collector
	size    int64 // that are held
	kept    int   // of the answer
	blocks  int
	bounded bool // the request sets a bound of output tokens
	over    bool
	verdict Verdict
}

// Hear takes the next events of the answer.
func (h *Heard) Hear(events []llm.Event) {
	if h.over {
		return
	}
	n := 0
	for i := range events {
		n += events[i].Size()
		if events[i].Kind == llm.EventBlock {
			h.blocks++
		}
	}
	h.size += int64(n)
	if h.kept += n; h.kept > maxHeard || h.blocks > MaxBlocks || h.s.held.Add(int64(n)) > maxHeld {
		if h.kept > maxHeard || h.blocks > MaxBlocks {
			h.size -= int64(n)
		}
		h.s.dropped.Add(1)
		h.Drop()
		return
	}
	h.answer.Add(events...)
}

// Whole says that the answer is whole. It never waits.
func (h *Heard) Whole() {
	if h.over {
		return
	}
	h.over = true
	a, t := h.attempt, h.trail
	h.verdict = Verdict{Request: t.ID, Began: t.Start, Model: a.Model, Target: a.Target, Task: t.Task, Arm: a.Drawn(), Score: math.NaN(), Opinion: math.NaN()}
	select {
	case h.s.queue <- h:
	default:
		h.s.dropped.Add(1)
		h.release()
	}
}

// Drop says that the answer is not to be judged after all.
func (h *Heard) Drop() {
	if h.over {
		return
	}
	h.over = true
	h.release()
}

func (h *Heard) release() {
	h.body.Release()
	h.s.held.Add(-h.size)
	h.answer = llm.Collector{}
}

// Run judges until ctx is done. What waits then is not judged. panicked is told
// of an answer that could not be.
func (s *Sampler) Run(ctx context.Context, panicked func(what any)) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-s.queue:
			s.judge(h, panicked)
		}
	}
}

// judge judges one answer and forgets it.
func (s *Sampler) judge(h *Heard, panicked func(what any)) {
	defer h.release()
	defer func() {
		if x := recover(); x != nil {
			s.dropped.Add(1)
			panicked(x)
		}
	}()
	chat, e := h.body.Chat()
	reply := h.answer.Reply()
	if e != nil || len(reply.Answers) == 0 { // it has no neutral form
		s.dropped.Add(1)
		return
	}
	h.verdict.Flags = s.examine(chat, reply)
	h.verdict.Cut = h.bounded && slices.ContainsFunc(reply.Answers, func(a llm.Answer) bool { return a.Stop == llm.StopLength })
	s.judged.Add(1)
	if f := s.told.Load(); f != nil {
		(*f)(&h.verdict)
	}
}
