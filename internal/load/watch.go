package load

import (
	"context"
	"runtime"
	"time"
)

// busyAt is how many requests under way, for each processor, make a process
// busy: with fewer, goroutines wait because of somebody else.
const busyAt = 64

// Watch samples this process until ctx ends. limit is the memory limit in
// bytes; inFlight is how many requests are under way. told is called from Watch
// when a whole priority begins to be refused, and when nothing is any more.
func (s *Shedder) Watch(ctx context.Context, limit int64, inFlight func() int64, told func(shedding bool)) {
	g := newGauge()
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for shedding := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		x := g.sample(limit)
		x.Busy = inFlight() >= int64(busyAt*runtime.GOMAXPROCS(0))
		s.See(x)
		if (s.Tight() || s.Level() > 0) && g.stale() {
			runtime.GC()
		}
		if l := s.Level(); !shedding && l >= 1 || shedding && l == 0 {
			shedding = !shedding
			told(shedding)
		}
	}
}
