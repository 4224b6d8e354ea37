package upstream

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Time: every bound of a call, what it is called, and what it costs the
// target.

func hang() script { return script{wait: forever} }

func stalled(steps ...step) script {
	return script{steps: append(steps, step{after: forever})}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream bool
		answer script
		set    Timeouts
		text   string
		took   time.Duration
		opened bool // the breaker counted it
	}{
		{"unary total", false, hang(), Timeouts{Total: 20 * time.Second}, "", 20 * time.Second, true},
		{"first token", true, hang(), Timeouts{FirstToken: 7 * time.Second}, "", 7 * time.Second, true},
		{"first token after a role", true, stalled(data(time.Second, "role")), Timeouts{FirstToken: 7 * time.Second}, "", 7 * time.Second, true},
		{"comments are no token", true, script{steps: []step{comment(time.Second), comment(time.Second), comment(time.Second), comment(forever)}}, Timeouts{FirstToken: 7 * time.Second}, "", 7 * time.Second, true},
		{"idle", true, stalled(content(time.Second, "a"), content(4*time.Second, "b")), Timeouts{Idle: 5 * time.Second}, "ab", 10 * time.Second, true},
		{"whole stream", true, script{steps: []step{content(time.Second, "a"), content(4*time.Second, "b"), content(4*time.Second, "c")}}, Timeouts{Idle: 5 * time.Second, Stream: 8 * time.Second}, "ab", 8 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, _ := r.target("p/a", always(c.answer))
				a.Timeouts = merge(defaultTimeouts, c.set)
				a.Breaker.Failures = 1
				a.Adopt()
				out := r.ask(context.Background(), r.pool("m", a), r.request(c.stream))
				if out.err == nil || out.err.Kind != llm.KindTimeout && out.err.Kind != llm.KindOverloaded {
					t.Fatalf("got %v, want a timeout", out)
				}
				equal(t, "text", out.text, c.text)
				equal(t, "took", out.took, c.took)
				equal(t, "calls", len(out.attempts), 1)
				equal(t, "breaker open", phase(a) == Open, c.opened)
			})
		})
	}
}

func merge(d, s Timeouts) Timeouts {
	pick := func(a, b time.Duration) time.Duration {
		if b != 0 {
			return b
		}
		return a
	}
	return Timeouts{FirstToken: pick(d.FirstToken, s.FirstToken), Idle: pick(d.Idle, s.Idle), Total: pick(d.Total, s.Total), Stream: pick(d.Stream, s.Stream)}
}

// Comments keep a stream alive, but not for ever.
func TestCommentsHaveALimit(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		steps := []step{content(0, "a")}
		for range 1000 {
			steps = append(steps, comment(time.Second))
		}
		a, _ := r.target("p/a", always(script{steps: steps}))
		a.Timeouts.Idle = 5 * time.Second
		out := r.streamed(r.pool("m", a))
		equal(t, "kind", out.err.Kind, llm.KindTimeout)
		equal(t, "took", out.took, commentLimit*a.Timeouts.Idle)
	})
}

// The deadline that a client sets bounds the whole, and says nothing about
// the target.
func TestClientDeadline(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(script{wait: 1500 * time.Millisecond, err: &llm.Error{Kind: llm.KindUpstream, Message: "boom"}}))
		b, vb := r.target("p/b", always(script{wait: 450 * time.Millisecond, err: &llm.Error{Kind: llm.KindUpstream, Message: "boom"}}))
		c, vc := r.target("p/c", always(fine(0)))
		req := r.request(false)
		req.Deadline = time.Now().Add(2 * time.Second)
		out := r.ask(context.Background(), r.pool("m", a, b, c), req)
		equal(t, "kind", out.err.Kind, llm.KindTimeout)
		equal(t, "took: nothing is begun with less than 100 ms left", out.took, 1950*time.Millisecond)
		equal(t, "calls of the second", vb.count(), 1)
		equal(t, "calls of the third", vc.count(), 0)

		a.Breaker.Failures = 1
		a.Adopt()
		d, _ := r.target("p/d", always(hang()))
		d.Breaker.Failures = 1
		d.Adopt()
		req = r.request(false)
		req.Deadline = time.Now().Add(700 * time.Millisecond)
		out = r.ask(context.Background(), r.pool("n", d), req)
		equal(t, "took", out.took, 700*time.Millisecond)
		equal(t, "breaker", phase(d), Closed)
	})
}

// learn makes a target known: ten quick answers.
func learn(r *rig, p *Pool, stream bool) {
	for range known {
		r.ask(context.Background(), p, r.request(stream))
	}
}

// A target that falls silent is suspected after a second where it is known to
// be quick: waiting calls with nothing sent move on, new ones go elsewhere.
func TestSuspicion(t *testing.T) {
	for _, stream := range []bool{false, true} {
		virtual(t, func(t *testing.T, r *rig) {
			a, va := r.target("p/a", always(fine(10*time.Millisecond)))
			b, vb := r.target("p/b", always(fine(10*time.Millisecond)))
			p := r.pool("m", a, b)
			learn(r, p, stream)
			va.set(always(hang()))
			out := r.ask(context.Background(), p, r.request(stream))
			equal(t, "answered by", out.resp.Target, "p/b")
			equal(t, "took", out.took, time.Second+10*time.Millisecond)
			equal(t, "outcome of the first", out.attempts[0].Outcome, llm.KindSuspected.String())
			equal(t, "state", a.Health().State, "suspected")
			before := va.count()
			equal(t, "the next goes elsewhere at once", r.ask(context.Background(), p, r.request(stream)).took, 10*time.Millisecond)
			equal(t, "calls of the silent one", va.count(), before)
			equal(t, "calls of the other", vb.count(), 2)

			va.set(always(fine(10 * time.Millisecond)))
			time.Sleep((suspectFor + 1) * time.Second)
			equal(t, "asked again when the suspicion is old", r.ask(context.Background(), p, r.request(stream)).resp.Target, "p/a")
			equal(t, "state", a.Health().State, "closed")
		})
	}
}

// A target is not silent while any of its calls is answered, and a slow first
// token of a target that is known to be slow is no silence.
func TestSuspicionNeedsSilence(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(10*time.Millisecond)))
		b, vb := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		learn(r, p, false)
		n := 0
		va.set(func(int) script { // the first hangs for 5 s, others are answered
			if n++; n == 1 {
				return fine(5 * time.Second)
			}
			return fine(10 * time.Millisecond)
		})
		done := make(chan outcome)
		go func() { done <- r.unary(p) }()
		for range 20 {
			time.Sleep(250 * time.Millisecond)
			r.unary(p)
		}
		equal(t, "answered by", (<-done).resp.Target, "p/a")
		equal(t, "calls of the other", vb.count(), 0)
	})
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(3*time.Second)))
		b, vb := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		learn(r, p, true)
		learn(r, p, true)
		equal(t, "calls of the other", vb.count(), 0)
	})
}

// Where nobody else could take it, a silent target keeps its call.
func TestSuspicionWithNobodyElse(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(10*time.Millisecond)))
		p := r.pool("m", a)
		learn(r, p, false)
		va.set(always(fine(30 * time.Second)))
		out := r.unary(p)
		equal(t, "text", out.String(), "oku")
		equal(t, "took", out.took, 30*time.Second)
	})
}

// A client that gave up after the silence counts as a failure of the target;
// one that gave up before says nothing.
func TestClientsThatGiveUp(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  Phase
	}{{900 * time.Millisecond, Closed}, {1100 * time.Millisecond, Open}} {
		virtual(t, func(t *testing.T, r *rig) {
			a, va := r.target("p/a", always(fine(10*time.Millisecond)))
			a.Breaker.Failures = 1
			a.Adopt()
			p := r.pool("m", a)
			learn(r, p, false)
			va.set(always(hang()))
			ctx, cancel := context.WithTimeout(context.Background(), c.after)
			defer cancel()
			out := r.ask(ctx, p, r.request(false))
			equal(t, "kind", out.err.Kind, llm.KindCanceled)
			equal(t, "breaker", phase(a), c.want)
		})
	}
}

// Commit levels: before content anything may be tried again, after it nothing.
func TestCommit(t *testing.T) {
	broken := &llm.Error{Kind: llm.KindUpstream, Message: "cut"}
	for _, c := range []struct {
		name  string
		steps []step
		text  string
		by    string
	}{
		{"before anything", []step{{err: broken}}, "whole", "p/b"},
		{"after a role", []step{data(0, "role"), {err: broken}}, "whole", "p/b"},
		{"after comments", []step{comment(0), {err: broken}}, "whole", "p/b"},
		{"empty", nil, "whole", "p/b"},
		{"after content", []step{data(0, "role,"), content(0, "half"), {err: broken}}, "role,half", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, _ := r.target("p/a", always(script{steps: c.steps}))
				b, vb := r.target("p/b", always(script{steps: []step{content(0, "whole")}}))
				out := r.streamed(r.pool("m", a, b))
				equal(t, "text", out.text, c.text)
				if c.by == "" {
					if out.err == nil {
						t.Error("the answer ended cleanly, want an error")
					}
					equal(t, "calls of the other", vb.count(), 0)
					return
				}
				equal(t, "answered by", out.resp.Target, c.by)
			})
		})
	}
}

// What is the caller's is returned once and counts against nobody.
func TestCallersMistakes(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindCaller)))
		a.Breaker.Failures = 1
		a.Adopt()
		b, vb := r.target("p/b", always(fine(0)))
		out := r.unary(r.pool("m", a, b))
		equal(t, "kind", out.err.Kind, llm.KindCaller)
		equal(t, "calls", va.count()+vb.count(), 1)
		equal(t, "breaker", phase(a), Closed)
	})
}

// A prompt that is too long goes to targets with a larger known context only.
func TestLargerContext(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(failing(llm.KindContextLength)))
		same, vs := r.target("p/same", always(fine(0)))
		unknown, vu := r.target("p/unknown", always(fine(0)))
		large, _ := r.target("p/large", always(fine(0)))
		a.Context, same.Context, large.Context = 8000, 8000, 128000
		out := r.unary(r.pool("m", a, same, unknown, large))
		equal(t, "answered by", out.resp.Target, "p/large")
		equal(t, "calls of the others", vs.count()+vu.count(), 0)
		out = r.unary(r.pool("n", a, same))
		equal(t, "nobody larger", out.err.Kind, llm.KindContextLength)
	})
}

// attempts counts within one model; a fallback has its own count, and its own
// fallback is not followed.
func TestAttemptsAndFallback(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		var ts []any
		var vs []*vendor
		for _, id := range []string{"p/1", "p/2", "p/3", "p/4"} {
			x, v := r.target(id, always(failing(llm.KindUpstream)))
			ts, vs = append(ts, x), append(vs, v)
		}
		f, vf := r.target("q/1", always(failing(llm.KindUpstream)))
		g, vg := r.target("q/2", always(fine(0)))
		fb := r.pool("second", f, g)
		last, vl := r.target("z/1", always(fine(0)))
		fb.Fallback = []*Pool{r.pool("third", last)}
		p := r.pool("first", ts...)
		p.Fallback = []*Pool{fb}
		out := r.unary(p)
		equal(t, "answered by", out.resp.Target, "q/2")
		equal(t, "fallback from", out.resp.FallbackFrom, "first")
		equal(t, "calls of the fourth: three attempts are a model's", vs[3].count(), 0)
		equal(t, "calls", len(out.attempts), 5)
		equal(t, "calls of the fallback", vf.count()+vg.count(), 2)
		equal(t, "calls of the fallback's fallback", vl.count(), 0)
	})
}

// Connect failures, where nothing was written, cost neither attempts nor
// budget.
func TestConnectFailuresAreFree(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		var ts []any
		for _, id := range []string{"p/1", "p/2", "p/3", "p/4", "p/5"} {
			x, _ := r.target(id, always(failing(llm.KindConnect)))
			ts = append(ts, x)
		}
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", append(ts, b)...)
		p.Policy = Policy{Attempts: 1, Budget: 0}
		equal(t, "answered by", r.unary(p).resp.Target, "p/b")
	})
}

// All open: 503 with the time until the soonest probe, final; no call is made.
func TestAllOpen(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		b, vb := r.target("p/b", always(failing(llm.KindUpstream)))
		p := r.pool("m", a, b)
		for range 20 {
			r.unary(p)
		}
		calls := va.count() + vb.count()
		out := r.unary(p)
		if e := out.err; e.Kind != llm.KindOverloaded || !e.Final || e.RetryAfter <= 0 || e.RetryAfter > 30*time.Second {
			t.Errorf("got %+v, want overloaded, final, with a time", e)
		}
		equal(t, "calls", va.count()+vb.count(), calls)
	})
}

// Retries are a share of the requests of the last ten seconds, with a floor.
func TestRetryBudget(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		b, vb := r.target("p/b", always(failing(llm.KindUpstream)))
		for _, x := range []*Target{a, b} {
			x.Breaker = BreakerSettings{}
			x.Adopt()
		}
		p := r.pool("m", a, b)
		const requests = 3000
		begin := time.Now()
		for range requests {
			r.unary(p)
			time.Sleep(10 * time.Millisecond)
		}
		floor := budgetFloor * (budgetWindow + int(time.Since(begin)/time.Second))
		calls := va.count() + vb.count()
		if most := requests*12/10 + floor; calls > most {
			t.Errorf("calls: got %d for %d requests, want at most %d", calls, requests, most)
		}
		if least := requests*11/10 + floor/2; calls < least {
			t.Errorf("calls: got %d for %d requests, want at least %d: the budget was not used", calls, requests, least)
		}
	})
}

// A plan tells what is tried, with the weight and place in the pool that was
// asked, what is left out and why, and changes nothing.
func TestPlan(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0)))
		b, _ := r.target("p/b", always(limited(time.Minute)))
		c, _ := r.target("p/c", always(fine(0)))
		inner := r.pool("inner", a)
		p := r.pool("m", inner, b)
		p.Options[0].Weight, p.Options[1].Weight = 1.8, 0.5
		p.Fallback = []*Pool{r.pool("spare", c)}
		r.unary(r.pool("alone", b)) // rests now
		req := r.request(false)
		plan := p.Plan(req)
		req.Trail.Close(time.Now())
		if len(plan.Candidates) != 2 || len(plan.Excluded) != 1 {
			t.Fatalf("got %+v", plan)
		}
		first, second, out := plan.Candidates[0], plan.Candidates[1], plan.Excluded[0]
		equal(t, "first", first.Model+" "+first.Target, "inner p/a")
		equal(t, "its weight", first.Weight, 1.8)
		equal(t, "second is the fallback", second.Target, "p/c")
		equal(t, "marked", second.Fallback, true)
		equal(t, "left out", out.Target+" "+out.State, "p/b cooldown")
		equal(t, "its weight", out.Weight, 0.5)
		equal(t, "calls", va.count(), 0)
		if plan.Worst < plan.Expected || plan.Expected <= 0 {
			t.Errorf("cost: expected %v, worst %v", plan.Expected, plan.Worst)
		}
	})
}

// What failed is asked again after a pause only, in each round.
func TestPauseInEachRound(t *testing.T) {
	boom := script{wait: 10 * ms, err: &llm.Error{Kind: llm.KindUpstream, Message: "boom"}}
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(boom))
		a.Breaker = BreakerSettings{}
		a.Adopt()
		p := r.pool("m", a)
		p.Policy.Attempts = 4
		r.unary(p)
		equal(t, "calls", va.count(), 4)
		for i := range va.times[1:] {
			if pause := va.times[i+1] - va.times[i] - 10*ms; pause <= 0 {
				t.Errorf("call %d: began %v after the one before had failed, want a pause", i+2, pause)
			}
		}
	})
	virtual(t, func(t *testing.T, r *rig) { // nor when others failed since
		a, va := r.target("p/a", always(boom))
		b, vb := r.target("q/b", always(boom))
		for _, x := range []*Target{a, b} {
			x.Breaker = BreakerSettings{}
			x.Adopt()
		}
		p := r.pool("m", a)
		p.Fallback = []*Pool{r.pool("other", b)}
		r.unary(p)
		for _, v := range []*vendor{va, vb} {
			if v.count() > p.Policy.Attempts {
				t.Errorf("calls: got %d, want at most %d", v.count(), p.Policy.Attempts)
			}
		}
		all := slices.Sorted(slices.Values(slices.Concat(va.times, vb.times)))
		for i := 2; i < len(all); i++ {
			if all[i]-all[i-2] <= 20*ms {
				t.Errorf("three calls to two targets within %v", all[i]-all[i-2])
			}
		}
	})
}

// Who cannot be asked this is asked once, and is nobody to wait for.
func TestUnsupportedIsAskedOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  func(int) script
		want   string
		calls  int // of the first
		within time.Duration
	}{
		{"rests long", always(limited(time.Minute)), "rate_limited", 1, 0},
		{"rests briefly", inTurn(limited(time.Second), fine(0)), "oku", 2, time.Second},
		{"breaks", always(failing(llm.KindUpstream)), "overloaded", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, va := r.target("p/a", c.first)
				a.Breaker.Failures = 1
				a.Adopt()
				b, vb := r.target("q/b", always(failing(llm.KindUnsupported)))
				p := r.pool("m", a, b)
				out := r.unary(p)
				equal(t, "outcome", out.String(), c.want)
				equal(t, "calls of the first", va.count(), c.calls)
				equal(t, "calls of the other", vb.count(), 1)
				if out.took > c.within {
					t.Errorf("took %v, want at most %v", out.took, c.within)
				}
			})
		})
	}
}

// A refusal elsewhere makes the pause of what failed no shorter.
func TestPauseBesideARefusal(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		b, _ := r.target("q/b", always(limited(time.Minute)))
		r.unary(r.pool("m", a, b))
		equal(t, "calls", va.count(), 2)
		if pause := va.times[1] - va.times[0]; pause <= time.Millisecond {
			t.Errorf("asked again after %v, want a pause", pause)
		}
	})
}
