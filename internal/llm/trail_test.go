package llm

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// In whatever order attempts begin and end and the client leaves, the trail
// is settled once: at the moment when the client's part is over and no
// attempt is open, with every attempt in it.
func TestSettledOnce(t *testing.T) {
	now := time.Unix(1, 0)
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		settled := 0
		var spent Money
		trail := NewTrail("id", now, func(t *Trail) { settled++; spent = t.Cost() })
		var open []*Attempt
		var want Money
		begun, closed := 0, false
		for !closed || len(open) > 0 {
			switch n := rnd.IntN(5); {
			case n < 2 && begun < 6 && (!closed || len(open) > 0):
				open = append(open, trail.Begin("m", "t", "1", now))
				begun++
			case n < 4 && len(open) > 0:
				i := rnd.IntN(len(open))
				a := open[i]
				open = slices.Delete(open, i, i+1)
				a.Finish("ok", Usage{Input: 1}, 7, now)
				want += 7
				a.Finish("late", Usage{Input: 100}, 1000, now) // a second end does nothing
				if a.Outcome != "ok" {
					t.Fatalf("seed %d: the second end made the outcome %q", seed, a.Outcome)
				}
			case n == 4 && !closed:
				closed = true
				trail.Close(now)
			}
			if over := closed && len(open) == 0; (settled == 1) != over {
				t.Fatalf("seed %d: settled %d times; client gone %v, %d attempts open", seed, settled, closed, len(open))
			}
		}
		if got := trail.Attempts(); len(got) != begun || spent != want || trail.Usage().Input != int64(begun) {
			t.Fatalf("seed %d: %d attempts of %d, cost %d of %d when settled", seed, len(got), begun, spent, want)
		}
	}
}

// Losers, hedges and the client end at the same time.
func TestSettledOnceAtOnce(t *testing.T) {
	now := time.Unix(1, 0)
	for range 200 {
		var settled []Money // unguarded: it is written once, and read after all have ended
		trail := NewTrail("id", now, func(t *Trail) { settled = append(settled, t.Cost()) })
		var wg sync.WaitGroup
		first := trail.Begin("m", "t", "1", now)
		for range 8 {
			a := trail.Begin("m", "t", "1", now)
			for range 2 {
				wg.Go(func() { a.Finish("ok", Usage{Output: 1}, 1, now) })
			}
		}
		wg.Go(func() { trail.Close(now) })
		wg.Go(func() {
			late := trail.Begin("m", "t", "2", now)
			first.Finish("ok", Usage{}, 1, now)
			late.Finish("ok", Usage{}, 1, now)
		})
		wg.Wait()
		if len(settled) != 1 || settled[0] != 10 {
			t.Fatalf("settled %v, want once with a cost of 10", settled)
		}
	}
}

// A trail remembers 64 attempts and the cost of all.
func TestManyAttempts(t *testing.T) {
	now := time.Unix(1, 0)
	for _, order := range []string{"as they began", "the last first"} {
		var cost Money
		var usage Usage
		trail := NewTrail("id", now, func(t *Trail) { cost, usage = t.Cost(), t.Usage() })
		var all []*Attempt
		for range 3 * MaxAttempts {
			all = append(all, trail.Begin("m", "t", "1", now))
		}
		if order == "the last first" {
			slices.Reverse(all)
		}
		trail.Close(now)
		for _, a := range all {
			a.Finish("ok", Usage{Input: 2, Output: 1, Estimated: a == all[0]}, 5, now)
		}
		if n := len(trail.Attempts()); n != MaxAttempts || cost != 15*MaxAttempts || usage != (Usage{Input: 6 * MaxAttempts, Output: 3 * MaxAttempts, Estimated: true}) {
			t.Errorf("%s: %d attempts, cost %d, usage %+v", order, n, cost, usage)
		}
	}
}

// No sum of costs turns into a credit.
func TestCostsDoNotWrap(t *testing.T) {
	now := time.Unix(1, 0)
	trail := NewTrail("id", now, func(*Trail) {})
	dear := &Price{Output: 1e12}
	for range 3 {
		u := Usage{Output: MaxTokens}
		trail.Begin("m", "t", "1", now).Finish("ok", u, dear.Cost(u), now)
	}
	if got := trail.Cost(); got != math.MaxInt64 {
		t.Errorf("got %d", got)
	}
}

// Ids sort by time, and FirstID divides them at its millisecond.
func TestIDs(t *testing.T) {
	start := time.UnixMilli(1_700_000_000_000)
	seen := map[string]bool{}
	for i := range 2000 {
		at := start.Add(time.Duration(i) * 37 * time.Millisecond)
		before, id, bound := NewID(at.Add(-time.Millisecond)), NewID(at.Add(999*time.Microsecond)), FirstID(at)
		if before >= bound || id < bound || before >= id || len(id) != 26 {
			t.Fatalf("%s, then the bound %s, then %s: not in order", before, bound, id)
		}
		if seen[id] || seen[before] {
			t.Fatalf("%s or %s twice", before, id)
		}
		seen[id], seen[before] = true, true
	}
}
