package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const sec = int64(time.Second)

// tell records results at a time.
func tell(b *Breaker, now int64, results ...Result) {
	for _, x := range results {
		b.Record(now, 0, x)
	}
}

func repeat(n int, x Result) []Result {
	out := make([]Result, n)
	for i := range out {
		out[i] = x
	}
	return out
}

func TestBreakerRules(t *testing.T) {
	row := BreakerSettings{Failures: 3, Window: 30 * time.Second, Cooldown: 30 * time.Second}
	rate := BreakerSettings{SuccessRate: 0.5, Window: 10 * time.Second, MinRequests: 4, Cooldown: 30 * time.Second}
	mixed := []Result{Failure, Success, Failure, Failure}
	for _, c := range []struct {
		name string
		set  BreakerSettings
		run  func(b *Breaker)
		want Phase
	}{
		{"two of three in a row", row, func(b *Breaker) { tell(b, sec, repeat(2, Failure)...) }, Closed},
		{"three in a row", row, func(b *Breaker) { tell(b, sec, repeat(3, Failure)...) }, Open},
		{"a success begins the row anew", row, func(b *Breaker) { tell(b, sec, Failure, Failure, Success, Failure, Failure) }, Closed},
		{"neutral neither counts nor begins anew", row, func(b *Breaker) { tell(b, sec, Failure, Neutral, Failure, Neutral, Failure) }, Open},
		{"rate: too few results", rate, func(b *Breaker) { tell(b, sec, mixed[:3]...) }, Closed},
		{"rate: below", rate, func(b *Breaker) { tell(b, sec, mixed...) }, Open},
		{"rate: exactly at it", rate, func(b *Breaker) { tell(b, sec, Success, Success, Failure, Failure) }, Closed},
		{"rate: the window has passed", rate, func(b *Breaker) {
			tell(b, sec, mixed[:3]...)
			tell(b, 12*sec, Failure)
		}, Closed},
		{"rate: within the window", rate, func(b *Breaker) {
			tell(b, sec, mixed[:3]...)
			tell(b, 9*sec, Failure)
		}, Open},
		{"rate: never by a success", rate, func(b *Breaker) { tell(b, sec, Failure, Failure, Failure, Success) }, Closed},
		{"both rules off", BreakerSettings{Window: 30 * time.Second, Cooldown: 30 * time.Second}, func(b *Breaker) { tell(b, sec, repeat(1000, Failure)...) }, Closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Breaker{}
			b.Configure(c.set)
			c.run(b)
			p, _, _ := b.Phase(12 * sec)
			equal(t, "phase", p, c.want)
		})
	}
}

// opened returns a breaker that opened at 1 s, and when it lets a probe
// through.
func opened(t *testing.T) (*Breaker, int64) {
	t.Helper()
	b := &Breaker{}
	b.Configure(BreakerSettings{Failures: 1, Window: 30 * time.Second, Cooldown: 30 * time.Second})
	tell(b, sec, Failure)
	p, _, until := b.Phase(sec)
	equal(t, "phase", p, Open)
	return b, until
}

func TestBreakerOneProbe(t *testing.T) {
	b, until := opened(t)
	if _, ok := b.Allow(until-1, time.Second); ok {
		t.Fatal("a call was let through while open")
	}
	var through atomic.Int32
	var pass atomic.Uint64
	var wg sync.WaitGroup
	for range 10_000 {
		wg.Go(func() {
			if p, ok := b.Allow(until, time.Minute); ok {
				through.Add(1)
				pass.Store(p)
			}
		})
	}
	wg.Wait()
	equal(t, "probes of 10,000 calls", through.Load(), 1)
	b.Record(until, pass.Load(), Success)
	p, reason, _ := b.Phase(until)
	equal(t, "phase after the probe", p, Closed)
	equal(t, "reason", reason, "")
}

func TestBreakerProbeEnds(t *testing.T) {
	b, until := opened(t)
	pass, ok := b.Allow(until, 10*time.Second)
	equal(t, "probe", ok, true)
	if _, ok := b.Allow(until+9*sec, time.Second); ok {
		t.Error("a second probe within the lease")
	}
	b.Record(until+1, 0, Success) // of a call from before
	p, _, _ := b.Phase(until + 1)
	equal(t, "phase after an old call's success", p, HalfOpen)

	p, _, again := b.Phase(until + 10*sec) // the lease ends
	equal(t, "phase after the lease", p, Open)
	b.Record(until+11*sec, pass, Success) // too late
	p, _, _ = b.Phase(until + 11*sec)
	equal(t, "phase after a late success", p, Open)

	pass, ok = b.Allow(again, 10*time.Second)
	equal(t, "probe after the lease", ok, true)
	b.Record(again, pass, Neutral) // cancelled
	next, ok := b.Allow(again, 10*time.Second)
	equal(t, "probe after a cancelled one", ok, true)
	b.Record(again, pass, Failure) // settled already
	p, _, _ = b.Phase(again)
	equal(t, "phase after an old pass", p, HalfOpen)
	b.Record(again, next, Success)
	p, _, _ = b.Phase(again)
	equal(t, "phase at the end", p, Closed)
}

func TestBreakerBackoff(t *testing.T) {
	const limit = 30 * time.Second
	for range 200 { // the jitter is random
		b, until := opened(t)
		now := sec
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			want *= time.Second
			d := time.Duration(until - now)
			if d < want/2 || d > want {
				t.Fatalf("opening %d: %v, want %v to %v", i+1, d, want/2, want)
			}
			if d > limit {
				t.Fatalf("opening %d: %v is longer than the cap", i+1, d)
			}
			now = until
			pass, ok := b.Allow(now, time.Second)
			equal(t, "probe", ok, true)
			b.Record(now, pass, Failure)
			_, _, until = b.Phase(now)
		}
	}
	short := &Breaker{} // a cap below the first second
	short.Configure(BreakerSettings{Failures: 1, Window: time.Second, Cooldown: 100 * time.Millisecond})
	tell(short, sec, Failure)
	if _, _, until := short.Phase(sec); until > sec+int64(100*time.Millisecond) {
		t.Errorf("open for %v, want at most the cap of 100ms", time.Duration(until-sec))
	}
}

func TestBreakerResultsAfterOpening(t *testing.T) {
	b, until := opened(t)
	tell(b, sec+1, repeat(100, Failure)...)
	tell(b, sec+1, repeat(100, Success)...)
	p, _, at := b.Phase(sec + 2)
	equal(t, "phase", p, Open)
	equal(t, "open until", at, until)
}

func TestBreakerConfigure(t *testing.T) {
	b := &Breaker{}
	b.Configure(BreakerSettings{SuccessRate: 0.5, Window: time.Second, MinRequests: 2, Cooldown: time.Second})
	now := 3600 * sec
	tell(b, now, Failure, Success)
	b.Configure(BreakerSettings{SuccessRate: 0.5, Window: time.Minute, MinRequests: 2, Cooldown: time.Second})
	tell(b, now+sec, Failure)
	tell(b, now+120*sec, Failure) // two minutes later the others are forgotten
	p, _, _ := b.Phase(now + 120*sec)
	equal(t, "phase after the window was made longer", p, Closed)

	b.Configure(BreakerSettings{Failures: 1, Window: time.Minute, Cooldown: time.Second})
	tell(b, now+200*sec, Failure)
	p, _, _ = b.Phase(now + 200*sec)
	equal(t, "phase by the new rule", p, Open)
}

// The breaker of a target as requests see it.

func TestTargetOpensAndCloses(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		for range 5 {
			equal(t, "answer", r.unary(p).String(), "oku")
		}
		equal(t, "phase after five failures", phase(a), Open)
		before := va.count()
		out := r.unary(p)
		equal(t, "calls to the open target", va.count(), before)
		equal(t, "attempts: skipping costs none", len(out.attempts), 1)
		va.set(always(fine(0)))
		time.Sleep(time.Second)
		equal(t, "answered after a second", r.unary(p).resp.Target, "p/a")
		equal(t, "phase", phase(a), Closed)
	})
}

func TestProbeThatHangs(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		a.Timeouts.Total, a.Timeouts.FirstToken = 40*time.Second, 10*time.Second
		a.Breaker.Failures = 1
		a.Adopt()
		p := r.pool("m", a)
		p.Policy.Attempts = 1
		r.streamed(p)
		equal(t, "phase", phase(a), Open)
		time.Sleep(time.Second)
		va.set(inTurn(script{wait: forever}, fine(0)))
		var probe outcome
		var wg sync.WaitGroup
		wg.Go(func() { probe = r.streamed(p) })
		time.Sleep(9 * time.Second)
		equal(t, "phase while the probe hangs", phase(a), HalfOpen)
		equal(t, "another request meanwhile", r.streamed(p).String(), "overloaded")
		time.Sleep(2 * time.Second)
		equal(t, "phase after the lease", phase(a), Open)
		wg.Wait()
		if probe.err == nil {
			t.Error("the probe was answered")
		}
		time.Sleep(4 * time.Second)
		equal(t, "after the pause", r.streamed(p).String(), "oku")
		equal(t, "phase", phase(a), Closed)
	})
}

func TestProbeThatIsCancelled(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		a.Breaker.Failures = 1
		a.Adopt()
		p := r.pool("m", a)
		p.Policy.Attempts = 1
		r.unary(p)
		time.Sleep(time.Second)
		va.set(inTurn(script{wait: forever}, fine(0)))
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		equal(t, "the client left", r.ask(ctx, p, r.request(false)).String(), "canceled")
		equal(t, "the next probe", r.unary(p).String(), "oku")
		equal(t, "phase", phase(a), Closed)
	})
}

func TestRateLimitIsNeutral(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(limited(time.Second)))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		for range 50 {
			r.unary(p)
			time.Sleep(1100 * time.Millisecond)
		}
		equal(t, "phase", phase(a), Closed)
		equal(t, "error rate", a.Health().ErrorRate, 0)
	})
}

func TestFirstFailureIsNotFinal(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(failing(llm.KindUpstream)))
		p := r.pool("m", a)
		p.Policy.Attempts = 1
		for i := range 4 {
			e := r.unary(p).err
			if e == nil || e.Kind != llm.KindUpstream || e.Final {
				t.Errorf("request %d: got %v, want an upstream error that may be tried again", i, e)
			}
		}
		r.unary(p) // opens
		e := r.unary(p).err
		if e == nil || e.Kind != llm.KindOverloaded || !e.Final || e.RetryAfter <= 0 || e.RetryAfter > time.Second {
			t.Errorf("all open: got %v, want overloaded, final, with Retry-After up to 1 s", e)
		}
	})
}
