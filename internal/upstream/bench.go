package upstream

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	// firstBench is how long a target rests whose answers have become bad before one
	// request may find out whether they still are; a bad answer doubles it up to
	// maxBench, a good one halves it.
	firstBench = 10 * time.Second
	maxBench   = 5 * time.Minute
	// mostBenched is the share of a pool's targets that may rest for that at a time,
	// one at least. What is wrong with all of them is more likely wrong elsewhere.
	mostBenched = 0.5
)

// absence keeps requests away from a target that answers, but badly. One request at
// a time is let through to be judged; where nobody else can be asked, all are.
type absence struct {
	next   atomic.Int64 // from when a request may try the target, 0: it is in rotation
	pause  atomic.Int64
	reason atomic.Pointer[string]
}

// why is why and for how long no request may try the target; 0: one may.
func (b *absence) why(now int64) (reason string, wait time.Duration) {
	next := b.next.Load()
	if next <= now { // nearly always
		return "", 0
	}
	return *b.reason.Load(), time.Duration(next - now)
}

// take lets a request with that claim try the target.
func (b *absence) take(c Claim, now int64) bool {
	next := b.next.Load()
	if next == 0 || c == Last {
		return true
	}
	return next <= now && b.next.CompareAndSwap(next, now+b.pause.Load())
}

// Bench takes the target out of rotation for its answers' sake, until Unbench or
// the operator's reset.
func (s *State) Bench(reason string) {
	b := &s.absence
	b.reason.Store(&reason)
	b.pause.Store(int64(firstBench))
	b.next.Store(s.reg.now() + int64(firstBench))
}

// Unbench puts it back.
func (s *State) Unbench() {
	if s.absence.next.Swap(0) != 0 {
		s.back(s.reg.now())
	}
}

// Benched reports whether the target is out of rotation for its answers' sake.
func (s *State) Benched() bool { return s.absence.next.Load() != 0 }

// Proved says how an answer of a target was that is out of rotation, which moves
// the time of the next one.
func (s *State) Proved(good bool) {
	b := &s.absence
	next := b.next.Load()
	if next == 0 {
		return
	}
	pause := min(int64(maxBench), 2*b.pause.Load())
	at := s.reg.now() + pause
	if good {
		pause = max(int64(firstBench), b.pause.Load()/2)
		at = min(next, s.reg.now()+pause)
	}
	b.pause.Store(pause)
	b.next.CompareAndSwap(next, at)
}

// Spare reports whether the target can be done without: others stand beside or
// behind it in a pool, and in no such pool too many rest for their answers' sake
// by then. A cascade does not count: it looks at each answer by itself, and its
// first model is one whose answers often do not do.
func Spare(pools []*Pool, s *State) bool {
	useful := false
	for _, p := range pools {
		if p.cascades() {
			continue
		}
		all := p.Targets()
		for _, f := range p.Fallback {
			for _, t := range f.Targets() {
				if !slices.Contains(all, t) {
					all = append(all, t)
				}
			}
		}
		has, benched := false, 1
		for _, t := range all {
			if t.State == s {
				has = true
			} else if t.State.Benched() {
				benched++
			}
		}
		switch {
		case !has || len(all) == 1:
		case benched > max(1, int(mostBenched*float64(len(all)))):
			return false
		default:
			useful = true
		}
	}
	return useful
}

// cascades reports whether the pool asks its models one after the other until an
// answer passes its gates.
func (p *Pool) cascades() bool { return p.Accept != nil && p.Each && p.Decide == nil }
