package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// A cascade cascades wherever it stands, and is asked as planned.
func TestCascadeWithin(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(r *rig, c *Pool, down *Target) *Pool
		want string
	}{
		{"an ordered model", func(r *rig, c *Pool, _ *Target) *Pool { return r.pool("m", c) }, "p/a rejected, p/b rejected, p/c ok"},
		{"an arm", func(r *rig, c *Pool, down *Target) *Pool { return split(r.pool("m", c, r.pool("other", down))) }, "p/a rejected, p/b rejected, p/c ok"},
		{"a model that chooses", func(r *rig, c *Pool, _ *Target) *Pool {
			p := r.pool("m", c)
			p.Each = true
			return p
		}, "p/a rejected, p/b rejected, p/c ok"},
		{"a cascade", func(r *rig, c *Pool, _ *Target) *Pool {
			p := r.pool("m", c)
			p.Each, p.Accept = true, &wordGate{name: "none"}
			return p
		}, "p/a rejected, p/b rejected, p/c ok"},
		{"a model within another", func(r *rig, c *Pool, _ *Target) *Pool { return r.pool("m", r.pool("mid", c)) }, "p/a rejected, p/b rejected, p/c ok"},
		{"fallback", func(r *rig, c *Pool, down *Target) *Pool {
			p := r.pool("m", down)
			p.Policy.Attempts, p.Fallback = 1, []*Pool{c}
			return p
		}, "p/down upstream_error, p/a rejected, p/b rejected, p/c ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
				inner, _ := r.cascade(byWords(), always(says("bad")), always(says("bad too")), always(says("good")))
				down, _ := r.target("p/down", always(failing(llm.KindUpstream)))
				p := c.make(r, inner, down)
				plan := p.Plan(r.closed(false))
				out := ask(p)
				synctest.Wait()
				equal(t, "calls", outcomes(out), c.want)
				equal(t, "answer", out.String(), "good")
				for i, a := range out.attempts {
					equal(t, "planned", plan.Candidates[i].Target, a.Target)
				}
			})
		})
	}
}

// closed makes a request that nobody asks.
func (r *rig) closed(stream bool) *llm.Request {
	req := r.request(stream)
	req.Trail.Close(time.Now())
	return req
}

// Where all models of a cascade are refused, the one beside it is asked.
func TestBesideCascade(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		c, _ := r.cascade(byWords(), always(says("bad")), always(says("bad too")))
		d, _ := r.target("p/d", always(says("bad, but nobody looks")))
		out := ask(r.pool("m", c, d))
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b rejected, p/d ok")
		equal(t, "answer", out.String(), "bad, but nobody looks")
	})
}

// An answer that is not accepted says nothing of another model's at the same target.
func TestSharedTarget(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		x, _ := r.target("p/x", always(says("bad")))
		y, _ := r.target("p/y", always(says("good")))
		p := r.pool("c", r.pool("m1", x, y), r.pool("m2", y))
		p.Accept, p.Each = byWords(), true
		out := ask(p)
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/x rejected, p/y ok")
		equal(t, "by", out.resp.Model, "m2")
	})
}

// What rejected answers may cost is bounded by the model whose gates reject them,
// within it.
func TestExtraCostWithin(t *testing.T) {
	make := func(r *rig, price *llm.Price) *Pool {
		bad := always(says("bad"))
		c, _ := r.cascade(byWords(), bad, bad, bad, bad, bad)
		c.Extra = 1.5
		for i := range c.Options {
			c.Options[i].Pool.Options[0].Target.State.answered(0, 5)
		}
		c.Options[4].Pool.Options[0].Target.Price = price
		return c
	}
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		down, _ := r.target("p/down", always(failing(llm.KindUpstream)))
		p := r.pool("m", down)
		p.Policy.Attempts, p.Fallback = 1, []*Pool{make(r, &llm.Price{Input: 1e6, Output: 2e6})}
		out := ask(p)
		equal(t, "answer", out.String(), "bad")
		if n := len(out.attempts); n > 4 {
			t.Errorf("%d calls: %s", n, outcomes(out))
		}
	})
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) { // others are not bound by it
		d, _ := r.target("p/d", always(says("good")))
		out := ask(r.pool("m", make(r, &llm.Price{Input: 1e6, Output: 2e6}), d))
		equal(t, "answer", out.String(), "good")
		if n := len(out.attempts); n > 4 {
			t.Errorf("%d calls: %s", n, outcomes(out))
		}
	})
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) { // without a price there is no bound
		equal(t, "calls", len(ask(make(r, nil)).attempts), 5)
	})
}

// So is the time.
func TestDeadlineWithin(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		slow := failing(llm.KindUpstream)
		slow.wait = 2 * time.Second
		down, _ := r.target("p/down", always(slow))
		c, _ := r.cascade(byWords(), always(says("bad")), always(hang()), always(says("good")))
		c.By = 5 * time.Second
		p := r.pool("m", down)
		p.Policy.Attempts, p.Fallback = 1, []*Pool{c}
		out := ask(p)
		equal(t, "answer", out.String(), "bad")
		equal(t, "took", out.took, 7*time.Second)
	})
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		late := says("late")
		late.wait = 20 * time.Second
		d, _ := r.target("p/d", always(late))
		c, _ := r.cascade(byWords(), always(hang()), always(says("good")))
		c.By = 5 * time.Second
		out := ask(r.pool("m", c, d))
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a timeout, p/d ok")
		equal(t, "took", out.took, 25*time.Second)
	})
}

// A gate that asks for another try asks the same model, wherever that stands.
func TestRetryWithin(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		c, _ := r.cascade(byWords(), inTurn(says("again"), says("again"), says("good")), always(says("good")))
		out := r.ask(context.Background(), r.pool("m", c), r.request(false))
		equal(t, "calls", outcomes(out), "p/a rejected, p/a rejected, p/b ok")
	})
}

// A fallback model does not ask a target anew whose answer was not accepted.
func TestFallbackSharesTarget(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		x, _ := r.target("p/x", always(says("bad")))
		y, _ := r.target("p/y", always(says("good")))
		p := r.pool("m", x)
		p.Accept, p.Fallback = byWords(), []*Pool{r.pool("f", x, y)}
		plan := p.Plan(r.closed(false))
		out := ask(p)
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/x rejected, p/y ok")
		equal(t, "planned", len(plan.Candidates), 2)
	})
}
