package upstream

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Due reports whether the target wants a probe now: its breaker is open and may
// be tried, or it has given no good answer for as long as ProbeEvery says. Nobody is
// due who is drained, whose credentials all rest, or who is being probed.
func (t *Target) Due() bool {
	st := t.State
	if t.ProbeEvery <= 0 || st.drained.Load() || st.probing.Load() {
		return false
	}
	now := st.reg.now()
	next := st.nextAsk.Load()
	if next == 0 || next > now+int64(t.ProbeEvery)*5/4 { // those of one configuration do not begin together; another's pace is over
		st.nextAsk.CompareAndSwap(next, now+rand.Int64N(int64(t.ProbeEvery)))
		return false
	}
	due := now >= next
	switch phase, _, until := st.Breaker.Phase(now); {
	case phase == Open: // its backoff is pace enough
		due = now >= until
	case phase == Closed && st.suspect.Load() == 0 && st.ejection.until.Load() <= now: // fresh traffic says as much
		due = due && now-st.fresh() >= int64(t.ProbeEvery)
	}
	return due && slices.ContainsFunc(t.Calls, func(c Call) bool { return c.why(now).state == "" })
}

// fresh is when the target last proved that it answers: by a whole answer, or by
// a part of one that is under way.
func (s *State) fresh() int64 {
	if s.InFlight() > 0 {
		return max(s.good.Load(), s.heard.Load())
	}
	return s.good.Load()
}

// Probe makes one call that no client waits for and reads its answer, which
// counts as a client's would, but for the latencies. Two never run at once;
// asked is false where the target could not be asked after all. The caller
// closes req's trail.
func (t *Target) Probe(ctx context.Context, req *llm.Request) (asked bool) {
	st := t.State
	if !st.probing.CompareAndSwap(false, true) {
		return false
	}
	defer st.probing.Store(false)
	now := st.reg.now()
	b := bid{choice: choice{t: t}, need: t.need(req, 0)}
	if b.call = t.pick(now, 0, st.calls.Load(), nil, nil, b.need); b.call == nil {
		return false
	}
	p, ok := b.permit(Active, now, false)
	if !ok {
		return false
	}
	defer func() { st.nextAsk.Store(st.reg.now() + int64(jitter(t.pace()))) }()
	w := newWatch(ctx, t, req, now+int64(t.Timeouts.FirstToken), nil)
	l, e := t.begin(w, req.WithModel(t.Vendor), t.ID, nil, b.call, p, "")
	if e == nil {
		defer l.settle()
		var err error
		for err == nil {
			_, err = l.Next()
		}
		_ = l.Close()
	}
	return true
}

// pace is how long after a probe the next one may be: a quarter of ProbeEvery, a
// second at least, while the target is not known to be well.
func (t *Target) pace() time.Duration {
	if st := t.State; st.suspect.Load() == 0 && st.Breaker.steady() {
		return t.ProbeEvery
	}
	return max(time.Second, t.ProbeEvery/4)
}

// jitter is d, up to a quarter more or less.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
