// Package load tells how much of its work a process should refuse, the least
// important first, and when it should hold no more large things.
package load

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// classes is how many priorities there are, which are refused in their order.
const classes = int(llm.PriorityCritical-llm.PriorityBatch) + 1

// Sample is what was seen of the process in one interval.
type Sample struct {
	// Memory is what is live, as a share of the memory limit.
	Memory float64
	// Delay is how long goroutines that could run waited for a processor, the
	// 99th percentile; 0 where too few waited to tell.
	Delay time.Duration
	// Busy: so many requests are under way that they are the reason.
	Busy bool
}

// Interval is how often samples are taken.
const Interval = 100 * time.Millisecond

// Bounds of the two signals: from the first on batch work is refused, then what
// is normal, then all. Waiting for 20 ms is WeChat's sign of overload (DAGOR,
// SoCC 2018, §4.2); what is normal takes a delay that its callers notice beside
// a model's own. Of memory, what is live counts and not what waits to be
// collected: the collector works all the time when 9/10 of the limit live.
var (
	memoryAt = [classes]float64{0.85, 0.92, 0.97}
	delayAt  = [classes]time.Duration{20 * time.Millisecond, 250 * time.Millisecond, time.Second}
)

// tightAt is the share of memory from which large bodies are refused: before
// anybody else, since one is as much as many small ones, and since what lives is
// only known since the last collection.
const tightAt = 0.75

const (
	// memorySlack is how far memory must fall below a bound, and delaySlack the
	// part of it to which delay must, for the level to fall: between the two it
	// stays, so that it does not flap.
	memorySlack = 0.05
	delaySlack  = 2
	// A level rises a class in half a second by memory, which runs out, and in
	// two by delay; it falls one in five (DAGOR: 5 % up, 1 % down).
	memoryStep = 0.2
	delayStep  = 0.05
	fallStep   = 0.02
)

// Level is how much is refused: 0 nothing, 1 all batch work, 2 what is normal as
// well, 3 everything; in between, a share of the next.
type Level float64

// Next is the level after a sample.
func Next(l Level, s Sample) Level {
	var byMemory, byDelay, hold Level
	for i := range classes {
		level := Level(i + 1)
		if s.Memory >= memoryAt[i] {
			byMemory = level
		}
		if s.Busy && s.Delay >= delayAt[i] {
			byDelay = level
		}
		if s.Memory >= memoryAt[i]-memorySlack || s.Busy && s.Delay >= delayAt[i]/delaySlack {
			hold = level
		}
	}
	up := l
	if l < byMemory {
		up = min(byMemory, l+memoryStep)
	}
	if l < byDelay {
		up = max(up, min(byDelay, l+delayStep))
	}
	if up == l && l > hold {
		return max(hold, l-fallStep)
	}
	return up
}

// tight is whether no more large things should be held after a sample, which
// needs memory alone; before is whether that was so.
func tight(before bool, s Sample) bool {
	return s.Memory >= tightAt || before && s.Memory >= tightAt-memorySlack
}

// share is how much of a priority is refused at a level.
func (l Level) share(p llm.Priority) float64 {
	return min(1, max(0, float64(l)-float64(p-llm.PriorityBatch)))
}

// Shedder holds the level in force. The zero value refuses nothing. Safe for
// concurrent use.
type Shedder struct {
	level atomic.Uint64 // bits of a Level
	tight atomic.Bool
}

// Level is the level in force.
func (s *Shedder) Level() Level { return Level(math.Float64frombits(s.level.Load())) }

// Refuses reports whether a request of a priority is refused. draw is a number
// from 0 to 1, asked only where a share of the priority is.
func (s *Shedder) Refuses(p llm.Priority, draw func() float64) bool {
	bits := s.level.Load()
	if bits == 0 {
		return false
	}
	share := Level(math.Float64frombits(bits)).share(p)
	return share > 0 && (share >= 1 || draw() < share)
}

// Tight reports whether memory is so scarce that large bodies are refused.
func (s *Shedder) Tight() bool { return s.tight.Load() }

// See takes a sample into account.
func (s *Shedder) See(x Sample) {
	s.level.Store(math.Float64bits(float64(Next(s.Level(), x))))
	s.tight.Store(tight(s.tight.Load(), x))
}

// Caps are how many requests may be under way when one more comes, by its
// priority.
type Caps [classes]int64

// NewCaps divides a limit: the last twentieth is for what is critical where some
// keys are, and a fifth is kept from batch work.
func NewCaps(limit int64, critical bool) *Caps {
	normal := limit
	if critical {
		normal = limit - limit/20
	}
	return &Caps{min(normal, limit-limit/5), normal, limit}
}

// Of is the cap of a priority.
func (c *Caps) Of(p llm.Priority) int64 { return c[p-llm.PriorityBatch] }

// Limit is the cap of all.
func (c *Caps) Limit() int64 { return c[classes-1] }
