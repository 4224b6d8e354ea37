package upstream

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// opened makes the breaker of t open with a backoff of some length.
func (r *rig) opened(t *Target, p *Pool) {
	r.t.Helper()
	p.Policy.Attempts = 1
	for range t.Breaker.Failures {
		r.unary(p)
	}
	equal(r.t, "breaker of "+t.ID, phase(t), Open)
}

func TestLastResort(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		p := r.pool("m", a)
		p.Policy.Attempts = 1
		r.opened(a, p)
		for range 6 { // the backoff grows to its cap
			time.Sleep(31 * time.Second)
			r.unary(p)
		}
		calls := va.count()
		equal(t, "at once", r.unary(p).String(), "overloaded")
		time.Sleep(999 * time.Millisecond)
		equal(t, "within a second", r.unary(p).String(), "overloaded")
		equal(t, "calls", va.count(), calls)
		time.Sleep(time.Millisecond)

		va.set(always(fine(3 * time.Second)))
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]int{}
		for range 100 {
			wg.Go(func() {
				out := r.unary(p)
				mu.Lock()
				got[out.String()]++
				mu.Unlock()
				if e := out.err; e != nil && (e.RetryAfter <= 0 || !e.Final) {
					t.Errorf("refused: got %+v, want final with Retry-After", e)
				}
			})
		}
		wg.Wait()
		equal(t, "answered", got["oku"], 1)
		equal(t, "refused", got["overloaded"], 99)
		equal(t, "calls", va.count(), 1)
		equal(t, "breaker", phase(a), Closed)
	})
}

// Of several dead targets the one is asked that would reopen first, of the
// fallback models, too; and nobody early while one is left.
func TestLastResortChooses(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		b, vb := r.target("p/b", always(failing(llm.KindUpstream)))
		c, vc := r.target("q/c", always(failing(llm.KindUpstream)))
		one, two := r.pool("one", a, b), r.pool("two", c)
		r.opened(a, r.pool("a", a))
		for range 6 {
			time.Sleep(31 * time.Second)
			r.unary(r.pool("a", a))
		}
		one.Fallback = []*Pool{two}
		vb.set(always(fine(0)))
		calls := va.count()
		time.Sleep(2 * time.Second)
		equal(t, "with one left", r.unary(one).resp.Target, "p/b")
		equal(t, "calls of the dead", va.count(), calls)

		vb.set(always(failing(llm.KindUpstream)))
		r.opened(b, r.pool("b", b))
		r.opened(c, r.pool("c", c))
		va.set(always(fine(0)))
		vc.set(always(fine(0)))
		out := r.unary(one)
		equal(t, "the first to open, whose second is over", out.String(), "oku")
		equal(t, "its target", out.resp.Target, "p/a")

		va.set(always(failing(llm.KindUpstream)))
		r.opened(a, r.pool("a", a))
		r.opened(a, r.pool("a", a))
		time.Sleep(400 * time.Millisecond)
		equal(t, "nobody's second is over", r.unary(one).String(), "overloaded")
	})
}

// A last resort that fails leaves the backoff as it was.
func TestLastResortKeepsBackoff(t *testing.T) {
	var b Breaker
	b.Configure(defaultBreaker)
	now := sec
	fail := func() {
		pass, ok := b.AllowFor(Ordinary, now, time.Minute)
		if !ok {
			t.Fatalf("no call is let through at %v", time.Duration(now))
		}
		b.Record(now, pass, Failure)
	}
	for range 5 {
		fail()
	}
	for range 8 {
		_, _, now = b.Phase(now)
		fail()
	}
	_, _, until := b.Phase(now)
	if rest := time.Duration(until - now); rest < 15*time.Second {
		t.Fatalf("backoff: got %v, want at least 15 s", rest)
	}
	for range 3 {
		now = b.Opens(now, Last)
		pass, ok := b.AllowFor(Last, now, time.Minute)
		if !ok {
			t.Fatal("the last resort is not let through")
		}
		if _, twice := b.AllowFor(Last, now, time.Minute); twice {
			t.Fatal("two are let through")
		}
		b.Record(now, pass, Failure)
		_, _, at := b.Phase(now)
		equal(t, "end of the backoff", at, until)
		equal(t, "next last resort", b.Opens(now, Last), min(until, now+sec))
	}
}

func TestDrain(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(script{steps: []step{content(0, "one"), content(5*time.Second, "two"), counted(1, 2)}}))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		var running outcome
		var wg sync.WaitGroup
		wg.Go(func() { running = r.streamed(p) })
		synctest.Wait()
		a.Drain()
		equal(t, "state", a.Health().State, "drained")
		equal(t, "in flight", a.Health().InFlight, 1)
		for range 5 {
			equal(t, "answered by", r.unary(p).resp.Target, "p/b")
		}
		a.Reset() // is no undrain
		out := r.unary(r.pool("alone", a))
		equal(t, "alone", out.String(), "overloaded")
		wg.Wait()
		equal(t, "the running answer", running.text, "onetwou")
		equal(t, "calls", va.count(), 1)
		plan := p.Plan(r.request(false))
		equal(t, "excluded", plan.Excluded[0].State+": "+plan.Excluded[0].Reason, "drained: drained by the operator")
		r.trails[len(r.trails)-1].Close(time.Now())

		again, _ := r.target("p/a", va.answer) // a reload
		equal(t, "state after a reload", again.Health().State, "drained")
		again.SlowStart = 30 * time.Second
		again.Undrain()
		equal(t, "state", again.Health().State, "closed")
		equal(t, "reason", again.Health().Reason, "slow start: 10 % of its share")
	})
}

func TestReset(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)), "k1", "k2", "k3")
		p := r.pool("m", a)
		r.opened(a, r.pool("one", a))
		a.Reset()
		equal(t, "breaker", a.Health().State, "closed")
		va.set(inTurn(failing(llm.KindCredential), limited(time.Hour), fine(0)))
		equal(t, "answer by the third key", r.unary(p).String(), "oku")
		a.State.suspect.Store(r.reg.now() + sec)
		a.State.eject(r.reg.now(), "slow")
		equal(t, "state", a.Health().State, "ejected")
		a.Reset()
		equal(t, "state", a.Health().State, "closed")
		va.set(always(fine(0)))
		for range 6 {
			r.unary(p)
		}
		for _, k := range []string{"k1", "k2", "k3"} {
			if va.by[k] < 2 {
				t.Errorf("calls with %s: got %d, want the credential back in turn", k, va.by[k])
			}
		}
	})
}

func TestRamp(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		a.SlowStart, a.Hold = 30*time.Second, 30*time.Second
		p := r.pool("m", a)
		o := &p.Options[0]
		equal(t, "before", o.Ramp(), 1)
		r.opened(a, p)
		va.set(always(fine(0)))
		time.Sleep(2 * time.Second)
		equal(t, "probe", r.unary(p).String(), "oku")
		for _, x := range []struct {
			at   time.Duration
			part float64
		}{{0, 0.1}, {2 * time.Second, 0.1}, {6 * time.Second, 0.2}, {15 * time.Second, 0.5}, {27 * time.Second, 0.9}, {30 * time.Second, 1}, {time.Minute, 1}} {
			since := a.State.since.Load()
			if since != 0 {
				time.Sleep(time.Duration(since) + x.at - time.Duration(r.reg.now()))
			}
			if got := o.Ramp(); math.Abs(got-x.part) > 1e-9 {
				t.Errorf("part after %v: got %v, want %v", x.at, got, x.part)
			}
		}
		equal(t, "since, when all is over", a.State.since.Load(), 0)
		a.State.back(r.reg.now())
		a.SlowStart = 0
		equal(t, "switched off", o.Ramp(), 1)
	})
}

// A target that a configuration adds beside warm ones begins slowly; those of
// the first configuration do not.
func TestWelcome(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(0)))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		p.Welcome()
		r.reg.Retain(map[string]bool{"p/a": true, "p/b": true})
		equal(t, "at the start", p.Options[1].Ramp(), 1)
		r.unary(p)
		c, _ := r.target("p/c", always(fine(0)))
		p = r.pool("m", a, b, c)
		for i := range p.Options {
			p.Options[i].Target.SlowStart = 10 * time.Second
		}
		p.Welcome()
		r.reg.Retain(map[string]bool{"p/a": true, "p/b": true, "p/c": true})
		for i, want := range []float64{1, 1, leastRamp} {
			equal(t, p.Options[i].ID, p.Options[i].Ramp(), want)
		}
	})
}

// regional makes a pool whose targets are in regions by these ranks.
func (r *rig) regional(ranks []int, targets ...*Target) *Pool {
	p := r.pool("m")
	for i, x := range targets {
		x.Hold, x.SlowStart, x.Region = 30*time.Second, 30*time.Second, x.Provider()
		p.Options = append(p.Options, Option{ID: x.ID, Weight: 1, Priority: 1, Region: ranks[i], Target: x})
	}
	return p
}

func TestRegions(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("eu/a", always(fine(0)))
		b, vb := r.target("eu/b", always(fine(0)))
		c, vc := r.target("us/c", always(fine(0)))
		d, _ := r.target("ap/d", always(fine(0)))
		p := r.regional([]int{0, 0, 1, 2}, a, b, c, d)
		p.Order = roundRobin
		share := func() map[string]int {
			got := map[string]int{}
			for range 200 {
				got[r.unary(p).resp.Target]++
			}
			return got
		}
		got := share()
		equal(t, "nearest alone", got["eu/a"]+got["eu/b"], 200)

		vb.set(always(failing(llm.KindUpstream)))
		r.opened(b, r.pool("b", b))
		equal(t, "one of the region is enough", share()["eu/a"], 200)
		va.set(always(failing(llm.KindConnect)))
		r.opened(a, r.pool("a", a))
		equal(t, "the region is lost", share()["us/c"], 200)
		equal(t, "calls of the next region", vc.count(), 200)

		va.set(always(fine(0)))
		time.Sleep(2 * time.Second)
		equal(t, "one request finds out", r.unary(p).resp.Target, "eu/a")
		equal(t, "not home yet", share()["us/c"], 200)
		plan := p.Plan(r.request(false))
		r.trails[len(r.trails)-1].Close(time.Now())
		equal(t, "first", plan.Candidates[0].Target, "us/c")
		equal(t, "second", plan.Candidates[1].Region, "eu")
		if plan.Candidates[1].Reason == "" {
			t.Error("the plan does not say why the nearer region comes second")
		}
		vb.set(always(failing(llm.KindUpstream))) // b stays dead
		time.Sleep(45 * time.Second)
		if got := share(); got["eu/a"] < 60 || got["eu/a"] > 140 || got["eu/a"]+got["us/c"] != 200 {
			t.Errorf("after half of the slow start: got %v, want about half each", got)
		}
		time.Sleep(16 * time.Second)
		if got := share(); got["us/c"] > 1 { // one may be b's probe
			t.Errorf("home: got %v, want all at eu/a", got)
		}

		vc.set(always(failing(llm.KindUpstream))) // the third region serves when two are lost
		va.set(always(failing(llm.KindUpstream)))
		r.opened(a, r.pool("a", a))
		r.opened(c, r.pool("c", c))
		equal(t, "two regions lost", r.unary(p).resp.Target, "ap/d")
	})
}

// A conversation goes back to its nearer region once and does not come and go.
func TestRegionsConversation(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("eu/a", always(failing(llm.KindConnect)))
		c, _ := r.target("us/c", always(fine(0)))
		p := r.regional([]int{0, 1}, a, c)
		r.opened(a, r.pool("a", a))
		va.set(always(fine(0)))
		time.Sleep(2 * time.Second)
		r.unary(r.pool("a", a))
		for h := uint64(1); h < 40; h++ {
			p.Conversation = func(*llm.Request) uint64 { return h }
			if f := a.returned(r.reg.now()); f > 0 {
				t.Fatalf("returned: got %v, want 0 at first", f)
			}
			equal(t, "held", r.unary(p).resp.Target, "us/c")
		}
		moved := map[uint64]bool{}
		for range 65 {
			time.Sleep(time.Second)
			for h := uint64(1); h < 40; h++ {
				p.Conversation = func(*llm.Request) uint64 { return h }
				home := r.unary(p).resp.Target == "eu/a"
				if moved[h] && !home {
					t.Fatalf("conversation %d went back and forth", h)
				}
				moved[h] = home
			}
		}
		for h, home := range moved {
			if !home {
				t.Errorf("conversation %d is not home", h)
			}
		}
	})
}

// probe asks t as the gateway's loop does.
func (r *rig) probe(t *Target) bool {
	req := r.request(false)
	req.Trail.Op = llm.OpProbe
	asked := t.Probe(context.Background(), req)
	req.Trail.Close(time.Now())
	return asked
}

// tend probes who is due every half second for some time.
func (r *rig) tend(d time.Duration, targets ...*Target) {
	for range d / (500 * time.Millisecond) {
		for _, t := range targets {
			if t.Due() {
				r.probe(t)
			}
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (r *rig) probed(id string, answer func(int) script, every time.Duration) (*Target, *vendor) {
	t, v := r.target(id, answer)
	t.ProbeEvery, t.Breaker.Grace = every, 5*time.Second
	t.Adopt()
	return t, v
}

func TestProbeIdle(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(fine(10*time.Millisecond)), 10*time.Second)
		r.tend(100*time.Second, a)
		if n := va.count(); n < 8 || n > 13 {
			t.Errorf("probes of an idle target in 100 s: got %d, want about one in 10 s", n)
		}
		equal(t, "expected time of answers, of which probes say nothing", a.State.Latency(false, time.Second), time.Second)
		equal(t, "expected output", a.State.Output(), defaultOutput)

		before := va.count()
		p := r.pool("m", a)
		for range 100 {
			r.unary(p)
			r.tend(time.Second, a)
		}
		equal(t, "calls while traffic is fresh", va.count()-before, 100)

		off, voff := r.target("p/off", always(fine(0)))
		r.tend(time.Minute, off)
		equal(t, "probes where they are off", voff.count(), 0)
		a.Drain()
		before = va.count()
		r.tend(time.Minute, a)
		equal(t, "probes of a drained target", va.count()-before, 0)
	})
}

// An idle target that dies is found out by probes, and comes back by one.
func TestProbeOpensAndCloses(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(failing(llm.KindUpstream)), 8*time.Second)
		r.tend(30*time.Second, a)
		equal(t, "breaker", phase(a), Open)
		va.set(always(fine(0)))
		r.tend(31*time.Second, a)
		equal(t, "breaker", phase(a), Closed)
		if a.State.since.Load() == 0 {
			t.Error("it does not begin slowly")
		}
	})
}

// Clients leave the probe of an open breaker to the gateway, for a while.
func TestProbeBeforeClients(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(failing(llm.KindUpstream)), time.Minute)
		b, _ := r.target("p/b", always(fine(0)))
		r.opened(a, r.pool("a", a))
		calls := va.count()
		p := r.pool("m", a, b)
		time.Sleep(3 * time.Second)
		for range 10 {
			equal(t, "answered by", r.unary(p).resp.Target, "p/b")
		}
		equal(t, "clients' calls", va.count(), calls)
		va.set(always(fine(0)))
		a.State.nextAsk.Store(1)
		equal(t, "due", a.Due(), true)
		r.probe(a)
		equal(t, "answered by, after the probe", r.unary(p).resp.Target, "p/a")

		va.set(always(failing(llm.KindUpstream)))
		r.opened(a, r.pool("a", a))
		va.set(always(fine(0)))
		time.Sleep(7 * time.Second) // nobody probed
		equal(t, "answered by, when the grace is over", r.unary(p).resp.Target, "p/a")
	})
}

func TestProbeNeverTwice(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(fine(3*time.Second)), 10*time.Second)
		var wg sync.WaitGroup
		asked := 0
		var mu sync.Mutex
		for range 20 {
			wg.Go(func() {
				if r.probe(a) {
					mu.Lock()
					asked++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		equal(t, "probes", asked, 1)
		equal(t, "calls", va.count(), 1)
	})
}

// A probe that hangs ends by itself and counts as a failure; one that is refused
// for its credential is not repeated while that rests.
func TestProbeFails(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.probed("p/a", always(script{wait: forever}), 10*time.Second)
		begin := time.Now()
		r.probe(a)
		if took := time.Since(begin); took != a.Timeouts.FirstToken {
			t.Errorf("a probe that hangs took %v, want %v", took, a.Timeouts.FirstToken)
		}
		equal(t, "error rate", a.Health().ErrorRate, 1)

		b, vb := r.probed("p/b", always(failing(llm.KindCredential)), 10*time.Second)
		r.tend(2*time.Minute, b)
		equal(t, "probes with a refused credential", vb.count(), 1)
		equal(t, "state", b.Health().State, "quarantined")
	})
}

// A reload that makes probes more frequent need not wait for the old date.
func TestProbePaceChanges(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(fine(0)), 24*time.Hour)
		r.tend(time.Second, a)
		a.ProbeEvery = 10 * time.Second
		r.tend(30*time.Second, a)
		if va.count() == 0 {
			t.Error("no probe in 30 s, want one in 10 s")
		}
	})
}

// An ejection that is over asks for no probes, whoever forgot to say so.
func TestProbeAfterEjection(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(fine(0)), 10*time.Second)
		p := r.pool("m", a)
		a.State.ejection.until.Store(1)
		for range 60 {
			r.unary(p)
			r.tend(time.Second, a)
		}
		equal(t, "calls while traffic is fresh", va.count(), 60)
	})
}
