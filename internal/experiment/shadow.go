package experiment

import (
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Caps bound shadow traffic.
type Caps struct {
	Concurrent int       // copies at a time
	PerDay     llm.Money // what they may cost in a day (UTC)
}

// Dropped is why a copy was not made.
type Dropped uint8

// The reasons.
const (
	Made   Dropped = iota
	Full           // as many as may be are under way
	Budget         // the day's money is spent
)

// Shadow counts a split's shadow traffic and holds its caps, whatever
// configuration asks. Safe for concurrent use.
type Shadow struct {
	mu            sync.Mutex
	running       int
	day           int64     // since 1970, UTC
	spent         llm.Money // of the day, with what is reserved
	dropped       [Budget + 1]int64
	requests      int64
	errors        int64
	took          times
	cost          llm.Money
	output        int64
	flags, client flags // of the copies' answers, and of what clients got
	won, lost     int64
	tied          int64
}

// Begin takes a place for a copy, or counts that there is none. What a copy has
// cost on average is reserved of the day's money: what was spent may pass the cap
// by what those that run cost more. Whoever got a place calls End.
func (s *Shadow) Begin(caps Caps, now time.Time) (reserved llm.Money, why Dropped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if day := now.Unix() / (24 * 60 * 60); day != s.day {
		s.day, s.spent = day, 0
	}
	if s.requests > 0 {
		reserved = s.cost / llm.Money(s.requests)
	}
	switch {
	case s.running >= caps.Concurrent:
		why = Full
	case s.spent+reserved >= caps.PerDay:
		why = Budget
	default:
		s.running++
		s.spent += reserved
	}
	s.dropped[why]++
	return reserved, why
}

// Pair is a copy's end.
type Pair struct {
	Reserved llm.Money // as Begin said
	Cost     llm.Money
	Judging  llm.Money // what it cost to judge the two
	Output   int64     // tokens
	Took     time.Duration
	Skipped  bool // nobody was asked
	Failed   bool // there is no answer
	// Scored: both answers were, with these flags; Better says which one is by a
	// judge: above 0 the copy's, below 0 the client's, 0 neither.
	Scored        bool
	Flags, Client llm.Flags
	Better        int
}

// End gives the place back and counts the pair. Without a judge's word an answer
// of no use loses to one that may be of use.
func (s *Shadow) End(p Pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	p.Cost += p.Judging
	s.spent = max(0, s.spent+p.Cost-p.Reserved) // the day may be another one
	if p.Skipped {
		return
	}
	s.requests++
	s.cost += p.Cost
	s.output += p.Output
	if p.Failed {
		s.errors++
		return
	}
	s.took.add(p.Took)
	if !p.Scored {
		return
	}
	s.flags.add(p.Flags)
	s.client.add(p.Client)
	if p.Better == 0 && p.Flags.Hard() != p.Client.Hard() {
		if p.Better = 1; p.Flags.Hard() {
			p.Better = -1
		}
	}
	switch {
	case p.Better > 0:
		s.won++
	case p.Better < 0:
		s.lost++
	default:
		s.tied++
	}
}

// reset forgets what was counted, but not what the day has cost.
func (s *Shadow) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped, s.requests, s.errors, s.took, s.cost, s.output = [Budget + 1]int64{}, 0, 0, times{}, 0, 0
	s.flags, s.client, s.won, s.lost, s.tied = flags{}, flags{}, 0, 0, 0
}
