package upstream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// split makes the options of a pool the arms of a split that draws in their order.
func split(p *Pool) *Pool {
	p.Strategy = "split"
	for i := range p.Options {
		p.Options[i].Arm = &llm.Arm{Split: p.Model, Model: p.Options[i].ID}
	}
	return p
}

// The arm that was drawn answers, and is noted; where it fails, or cannot be
// asked, the next one does and the client is told.
func TestSplitAnswers(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0)))
		b, _ := r.target("p/b", always(fine(0)))
		chat := split(r.pool("chat", r.pool("one", a), r.pool("two", b)))
		ask := func(what, answered, from string) {
			t.Helper()
			req := r.request(false)
			plan := chat.Plan(req)
			o := r.ask(context.Background(), chat, req)
			if o.err != nil {
				t.Fatalf("%s: %v", what, o.err)
			}
			equal(t, what+": model", o.resp.Model, answered)
			equal(t, what+": strategy", o.resp.Strategy, "split")
			equal(t, what+": fallback from", o.resp.FallbackFrom, from)
			equal(t, what+": drawn", req.Trail.Arm, "one")
			last := o.attempts[len(o.attempts)-1]
			equal(t, what+": arm of the answer", *last.Arm, llm.Arm{Split: "chat", Model: answered})
			equal(t, what+": first of the plan", plan.Candidates[0].Target, o.attempts[0].Target)
		}
		ask("all well", "one", "")
		va.set(always(failing(llm.KindUpstream)))
		ask("it fails", "two", "one")
		for range 10 { // its breaker opens
			r.unary(chat)
		}
		equal(t, "breaker", phase(a), Open)
		calls := va.count()
		ask("it cannot be asked", "two", "one")
		equal(t, "calls to one that cannot be asked", va.count(), calls)
	})
}

// Arms may be targets; a split in another pool still tells what it drew, and so
// does one that is a fallback model, where it was asked.
func TestSplitInPools(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0)))
		b, _ := r.target("p/b", always(fine(0)))
		c, vc := r.target("p/c", always(fine(0)))
		chat := split(r.pool("chat", a, b))
		other := split(r.pool("talk", b, a))
		any := r.pool("any", r.pool("plain", c), chat, other)
		backed := r.pool("backed", c)
		backed.Fallback = []*Pool{chat}
		names := func(o outcome) (all string) {
			for _, x := range o.attempts {
				all += x.Target
				if x.Arm != nil {
					all += "=" + x.Arm.Split + "/" + x.Arm.Model
				}
				all += " "
			}
			return all
		}
		draws := func(tr *llm.Trail) (all string) {
			for _, x := range tr.Drawn() {
				all += x.Split + "/" + x.Model + " "
			}
			return all
		}
		for _, x := range []struct {
			pool            *Pool
			cFails, aFails  bool
			attempts, drawn string
		}{
			{any, false, false, "p/c ", ""},
			{any, true, false, "p/c p/a=chat/p/a ", "chat/p/a "},
			{any, true, true, "p/c p/a=chat/p/a p/b=chat/p/b ", "chat/p/a "},
			{backed, false, false, "p/c ", ""},
			{backed, true, true, "p/c p/a=chat/p/a p/b=chat/p/b ", "chat/p/a "},
		} {
			fails := func(v *vendor, yes bool) {
				v.set(always(fine(0)))
				if yes {
					v.set(always(failing(llm.KindUpstream)))
				}
			}
			fails(vc, x.cFails)
			fails(va, x.aFails)
			req := r.request(false)
			o := r.ask(context.Background(), x.pool, req)
			equal(t, x.pool.Model+": attempts", names(o), x.attempts)
			equal(t, x.pool.Model+": drawn", draws(req.Trail), x.drawn)
		}
	})
}

// A request that waits for room is told of with its arm, too.
func TestSplitWaits(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(time.Second)))
		chat := split(r.pool("chat", a.limited(Limits{Concurrent: 1})))
		go r.unary(chat)
		synctest.Wait()
		req := r.request(false)
		o := r.ask(context.Background(), chat, req)
		if o.err != nil || o.took != 2*time.Second {
			t.Fatalf("got %v after %v", o, o.took)
		}
		equal(t, "arm", o.attempts[0].Arm.Model, "p/a")
		equal(t, "drawn", req.Trail.Arm, "p/a")
	})
}

// A hedge of a split stays within the arm.
func TestSplitHedges(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(time.Second)))
		a2, _ := r.target("p/a2", always(fine(10*ms)))
		b, vb := r.target("p/b", always(fine(0)))
		alone := hedging(split(r.pool("alone", r.pool("one", a), r.pool("two", b))), 100*ms, 1)
		equal(t, "with nobody else in the arm", outcomes(r.unary(alone)), "p/a ok")
		equal(t, "calls to the other arm", vb.count(), 0)
		pair := hedging(split(r.pool("pair", r.pool("one", a, a2), r.pool("two", b))), 100*ms, 1)
		equal(t, "with another target in the arm", outcomes(r.unary(pair)), "p/a lost, p/a2 ok (hedge)")
	})
}
