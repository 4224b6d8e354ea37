package upstream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// peers makes a pool of n targets that share its load.
func (r *rig) peers(n int) (*Pool, []*Target) {
	var members []any
	var targets []*Target
	for i := range n {
		x, _ := r.target(fmt.Sprintf("p/%d", i), always(fine(0)))
		members, targets = append(members, x), append(targets, x)
	}
	p := r.pool("m", members...)
	p.Spreads = true
	return p, targets
}

// see lets a target have answered n calls in d each, of which some failed, at
// most half, evenly spread.
func see(t *Target, n, failed int, d time.Duration) {
	st := t.State
	now := st.reg.now()
	for i := range n {
		if (i+1)*failed/n != i*failed/n {
			st.Breaker.Record(now, 0, Failure)
		} else {
			st.Breaker.Record(now, 0, Success)
			st.kinds[0].record(now, d, false)
		}
	}
}

func TestOutlier(t *testing.T) {
	const ms = time.Millisecond
	type one struct {
		n, failed int
		d         time.Duration
	}
	well := one{40, 0, 200 * ms}
	for _, c := range []struct {
		name  string
		share float64
		prior time.Duration // of the last
		all   []one
		want  string // reason of the last; "": not ejected
	}{
		{"all alike", 0.3, 0, []one{well, well, well, well}, ""},
		{"fails", 0.3, 0, []one{well, well, well, {40, 12, 200 * ms}}, "70 % of its calls succeed, 100 % of its peers'"},
		{"fails a little", 0.3, 0, []one{well, well, well, {40, 3, 200 * ms}}, ""},
		{"all fail somewhat", 0.3, 0, []one{{40, 12, 200 * ms}, {40, 4, 200 * ms}, {40, 16, 200 * ms}, {40, 14, 200 * ms}}, ""},
		{"three are no group", 0.3, 0, []one{well, well, {40, 12, 200 * ms}}, ""},
		{"too few results", 0.3, 0, []one{well, well, well, {1, 0, 2 * time.Second}}, ""},
		{"off", 0, 0, []one{well, well, well, {40, 12, 200 * ms}}, ""},
		{"a share that is less than one", 0.2, 0, []one{well, well, well, {40, 12, 200 * ms}}, ""},
		{"slow", 0.3, 0, []one{well, well, well, {40, 0, 2 * time.Second}}, "answers begin after 2s, its peers' after 200ms"},
		{"slow, as the operator expects", 0.3, time.Second, []one{well, well, well, {40, 0, 2 * time.Second}}, ""},
		{"a little slow", 0.3, 0, []one{well, well, well, {40, 0, 550 * ms}}, ""},
		{"slow among the fast", 0.3, 0, []one{{40, 0, 2 * ms}, {40, 0, 2 * ms}, {40, 0, 2 * ms}, {40, 0, 50 * ms}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				p, targets := r.peers(len(c.all))
				last := targets[len(targets)-1]
				last.Prior = c.prior
				o := NewOutliers([]*Pool{p}, c.share)
				for range 12 { // what is slow must be so for a while
					for i, x := range c.all {
						see(targets[i], x.n, x.failed, x.d)
					}
					o.Look()
					time.Sleep(time.Second)
				}
				reason, _ := last.State.ejection.why(r.reg.now())
				if c.want == "" && reason != "" || !strings.HasPrefix(reason, c.want) {
					t.Errorf("reason: got %q, want %q", reason, c.want)
				}
				for _, x := range targets[:len(targets)-1] {
					equal(t, "state of "+x.ID, x.Health().State, "closed")
				}
			})
		})
	}
}

// An outlier is asked behind its peers, longer with each time, and begins slowly
// when it comes back.
func TestEjection(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, targets := r.peers(4)
		p.Order = roundRobin
		bad := targets[2]
		bad.SlowStart = 30 * time.Second
		o := NewOutliers([]*Pool{p}, 0.3)
		for turn, rest := range []time.Duration{30 * time.Second, time.Minute, 90 * time.Second} {
			for _, x := range targets {
				see(x, 40, 0, time.Millisecond)
			}
			see(bad, 40, 20, time.Millisecond)
			o.Look()
			h := bad.Health()
			equal(t, fmt.Sprintf("state, turn %d", turn), h.State, "ejected")
			equal(t, "rest", h.Wait, rest)
			for range 8 {
				if out := r.unary(p); out.resp.Target == bad.ID {
					t.Error("an ejected target was asked first")
				}
			}
			time.Sleep(rest)
			o.Look()
			equal(t, "state", bad.Health().State, "closed")
			equal(t, "part", bad.ramp(r.reg.now()), leastRamp)
			o.Look()
			equal(t, "what was before is paid for", bad.Health().State, "closed")
		}
		if out := r.unary(r.pool("alone", bad)); out.err != nil {
			t.Errorf("alone: got %v, want an answer", out.err)
		}
	})
}

// Where nobody else is left, an ejected target answers.
func TestEjectedAnswers(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, targets := r.peers(4)
		NewOutliers([]*Pool{p}, 0.3)
		targets[0].State.eject(r.reg.now(), "slow")
		for i, x := range targets[1:] {
			r.vendors[i+1].set(always(failing(llm.KindUpstream)))
			r.opened(x, r.pool("one", x))
		}
		equal(t, "answered by", r.unary(p).resp.Target, "p/0")
	})
}

// TestEjectedShare: whatever targets do, in whichever pools they stand and
// however those change, no more than the share of a group is ejected.
func TestEjectedShare(t *testing.T) {
	for seed := range uint64(60) {
		virtual(t, func(t *testing.T, r *rig) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			_, all := r.peers(4 + rnd.IntN(20))
			share := float64(rnd.IntN(11)) / 10
			var pools []*Pool
			reload := func() {
				pools = nil
				for i := range 1 + rnd.IntN(4) {
					p := r.pool(fmt.Sprint("m", i))
					p.Spreads = rnd.IntN(5) > 0
					for _, j := range rnd.Perm(len(all))[:1+rnd.IntN(len(all))] {
						p.Options = append(p.Options, Option{ID: all[j].ID, Weight: 1, Priority: 1, Target: all[j]})
					}
					pools = append(pools, p)
				}
			}
			reload()
			o := NewOutliers(pools, share)
			most := 0
			for range 60 {
				for _, x := range all {
					n := rnd.IntN(60)
					see(x, n, rnd.IntN(n/2+1), time.Duration(1+rnd.IntN(3000))*time.Millisecond)
				}
				if rnd.IntN(20) == 0 {
					reload()
					o = NewOutliers(pools, share)
				}
				o.Look()
				for _, g := range o.groups {
					n := o.ejected(g, r.reg.now())
					most = max(most, n)
					if float64(n) > share*float64(len(g)) {
						t.Fatalf("seed %d: %d of %d ejected, want a share of %v at most", seed, n, len(g), share)
					}
				}
				time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
			}
		})
	}
}
