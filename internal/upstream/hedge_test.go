package upstream

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// hedging makes a pool hedge after d; 0: the p95.
func hedging(p *Pool, d time.Duration, budget float64) *Pool {
	p.Policy.Hedge = &Hedge{After: d, Budget: budget}
	return p
}

// outcomes lists how the attempts of a request ended.
func outcomes(o outcome) (all string) {
	for i, a := range o.attempts {
		if i > 0 {
			all += ", "
		}
		all += a.Target + " " + a.Outcome
		if a.Note != "" {
			all += " (" + a.Note + ")"
		}
	}
	return all
}

const ms = time.Millisecond

func TestHedge(t *testing.T) {
	later := func(d time.Duration, err llm.Kind) script {
		s := failing(err)
		s.wait = d
		return s
	}
	for _, c := range []struct {
		name   string
		a, b   script
		by     string // "" for an error
		took   time.Duration
		calls  string
		cancel int // calls that were ended
	}{
		{"quick enough", fine(90 * ms), fine(0), "p/a", 90 * ms, "p/a ok", 0},
		{"the second wins", fine(3 * time.Second), fine(10 * ms), "p/b", 110 * ms, "p/a lost, p/b ok (hedge)", 1},
		{"the first wins", fine(150 * ms), fine(time.Second), "p/a", 150 * ms, "p/a ok, p/b lost (hedge)", 1},
		{"silent for ever", hang(), fine(10 * ms), "p/b", 110 * ms, "p/a lost, p/b ok (hedge)", 1},
		{"silent after a role", stalled(data(0, "role")), fine(10 * ms), "p/b", 110 * ms, "p/a lost, p/b ok (hedge)", 0},
		{"fails before", later(50*ms, llm.KindUpstream), fine(10 * ms), "p/b", 60 * ms, "p/a upstream_error, p/b ok", 0},
		{"the second fails", fine(300 * ms), failing(llm.KindUpstream), "p/a", 300 * ms, "p/a ok, p/b upstream_error (hedge)", 0},
		{"the first fails meanwhile", later(200*ms, llm.KindUpstream), fine(300 * ms), "p/b", 400 * ms, "p/a upstream_error, p/b ok (hedge)", 0},
		{"both fail", later(200*ms, llm.KindUpstream), later(200*ms, llm.KindUpstream), "", 300 * ms, "p/a upstream_error, p/b upstream_error (hedge)", 0},
		{"the caller's mistake at the second", fine(300 * ms), failing(llm.KindCaller), "p/a", 300 * ms, "p/a ok, p/b caller (hedge)", 0},
		{"the caller's mistake at the first", later(200*ms, llm.KindCaller), hang(), "", 200 * ms, "p/a caller, p/b lost (hedge)", 1},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				virtual(t, func(t *testing.T, r *rig) {
					a, va := r.target("p/a", always(c.a))
					b, vb := r.target("p/b", always(c.b))
					p := hedging(r.pool("m", a, b), 100*ms, 1)
					p.Policy.Attempts = 2
					out := r.ask(context.Background(), p, r.request(stream))
					by := ""
					if out.err == nil {
						by = out.resp.Target
						equal(t, "text", out.text[max(0, len(out.text)-3):], "oku")
					}
					equal(t, "answered by", by, c.by)
					equal(t, "took", out.took, c.took)
					equal(t, "attempts", outcomes(out), c.calls)
					equal(t, "calls that were ended", va.canceled+vb.canceled, c.cancel)
					for _, x := range []*Target{a, b} {
						failed := slices.ContainsFunc(out.attempts, func(at *llm.Attempt) bool {
							return at.Target == x.ID && at.Outcome == llm.KindUpstream.String()
						})
						equal(t, x.ID+" has failed", x.State.Errors(r.reg.now()) > 0, failed)
					}
				})
			})
		}
	}
}

// Each call is billed what its vendor counted, the slower one too where its
// content came after all.
func TestHedgeBillsBoth(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		counts := func(in, out int64) step {
			s := content(0, "ok")
			s.chunk.Usage = &llm.Usage{Input: in, Output: out}
			return s
		}
		a, _ := r.target("p/a", always(script{wait: 150 * ms, steps: []step{counts(100, 1)}}))
		b, vb := r.target("p/b", nil)
		b.Calls[0].Send = func(_ context.Context, req *llm.Request) (*llm.Response, error) {
			time.Sleep(100 * ms) // it is on the wire already, whoever leaves
			vb.open++
			return &llm.Response{Status: 200, Stream: &scripted{ctx: context.Background(), v: vb, steps: []step{counts(1000, 2)}}}, nil
		}
		out := r.unary(hedging(r.pool("m", a, b), 100*ms, 1))
		equal(t, "attempts", outcomes(out), "p/a ok, p/b lost (hedge)")
		equal(t, "tokens of the slower", out.attempts[1].Usage, llm.Usage{Input: 1000, Output: 2})
		equal(t, "cost told has both", out.resp.Cost, out.attempts[0].Cost+out.attempts[1].Cost)
	})
}

// What a vendor told of the prompt before it lost is billed.
func TestHedgeBillsThePrompt(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		begun := data(0, "role")
		begun.chunk.Usage = &llm.Usage{Input: 300, Estimated: true}
		a, _ := r.target("p/a", always(stalled(begun)))
		b, _ := r.target("p/b", always(fine(0)))
		out := r.streamed(hedging(r.pool("m", a, b), 100*ms, 1))
		equal(t, "attempts", outcomes(out), "p/a lost, p/b ok (hedge)")
		equal(t, "tokens of the slower", out.attempts[0].Usage, llm.Usage{Input: 300, Estimated: true})

		c, _ := r.target("p/c", always(stalled(data(0, "role"))))
		out = r.streamed(hedging(r.pool("n", c, b), 100*ms, 1))
		equal(t, "tokens of one that told nothing", out.attempts[0].Usage, llm.Usage{})
	})
}

// Hedges stay within their own share, whatever comes; the budget of retries
// is not touched.
func TestHedgeBudget(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(300*ms)))
		b, vb := r.target("p/b", always(fine(0)))
		p := hedging(r.pool("m", a, b), 100*ms, 0.05)
		for range 400 {
			r.unary(p)
		}
		equal(t, "hedges of 400 requests", vb.count(), 20)
		equal(t, "retries", p.Budget.spent, [budgetWindow]int32{})
		va := fine(0)
		a.Calls[0].Send = func(ctx context.Context, req *llm.Request) (*llm.Response, error) {
			return &llm.Response{Status: 200, Stream: &scripted{ctx: ctx, v: vb, steps: va.steps}}, nil
		}
		vb.open += 1000
		for range 1000 {
			r.unary(p)
		}
		vb.open = 0
		equal(t, "saved up in quiet times", p.Budget.hedges.Load(), int64(hedgeMost))
	})
}

// The p95 is that of the target and kind, and nothing is hedged before it is
// known.
func TestHedgeAfterP95(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(100*ms)))
		b, vb := r.target("p/b", always(fine(0)))
		p := hedging(r.pool("m", a, b), 0, 1)
		va.set(always(fine(2 * time.Second)))
		r.streamed(p)
		equal(t, "hedges of a target that is not known", vb.count(), 0)
		va.set(always(fine(100 * ms)))
		for range 200 {
			r.streamed(p)
		}
		equal(t, "hedges of usual calls", vb.count(), 0)
		va.set(always(fine(2 * time.Second)))
		out := r.streamed(p)
		equal(t, "answered by", out.resp.Target, "p/b")
		if out.took < 100*ms || out.took > 130*ms {
			t.Errorf("took %v, want the p95 of about 100 ms", out.took)
		}
		va.set(always(fine(2 * time.Second)))
		equal(t, "a unary call has its own p95, not known", r.unary(p).resp.Target, "p/a")
	})
}

// Another credential will do where there is no other target; a target that is
// not well will not.
func TestHedgeWhere(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(fine(3*time.Second), fine(0)), "k1", "k2")
		out := r.unary(hedging(r.pool("m", a), 100*ms, 1))
		equal(t, "took", out.took, 100*ms)
		equal(t, "calls by k1", va.by["k1"], 1)
		equal(t, "calls by k2", va.by["k2"], 1)

		one, _ := r.target("p/one", always(fine(time.Second)))
		equal(t, "alone", len(r.unary(hedging(r.pool("one", one), 100*ms, 1)).attempts), 1)

		b, _ := r.target("p/b", always(fine(time.Second)))
		c, vc := r.target("p/c", always(fine(0)))
		p := hedging(r.pool("n", b, c), 100*ms, 1)
		c.State.Breaker.mu.Lock()
		c.State.Breaker.phase = HalfOpen
		c.State.Breaker.mu.Unlock()
		equal(t, "calls beside, while half open", len(r.unary(p).attempts), 1)
		equal(t, "calls of the half open one", vc.count(), 0)

		req := r.request(false)
		req.Op = llm.OpImage
		d, _ := r.target("p/d", always(fine(time.Second)))
		e, ve := r.target("p/e", always(fine(0)))
		r.ask(context.Background(), hedging(r.pool("o", d, e), 100*ms, 1), req)
		equal(t, "hedges of an image", ve.count(), 0)
	})
}

// A client that leaves ends both.
func TestHedgeCanceled(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(hang()))
		b, vb := r.target("p/b", always(hang()))
		ctx, cancel := context.WithTimeout(context.Background(), 500*ms)
		defer cancel()
		out := r.ask(ctx, hedging(r.pool("m", a, b), 100*ms, 1), r.request(true))
		equal(t, "kind", out.err.Kind, llm.KindCanceled)
		equal(t, "took", out.took, 500*ms)
		synctest.Wait()
		equal(t, "calls that were ended", va.canceled+vb.canceled, 2)
	})
}

// A hedge that could not connect makes what follows a failed first call no
// cheaper: it is a retry.
func TestHedgeThatCannotConnect(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(script{wait: 200 * ms, err: &llm.Error{Kind: llm.KindUpstream, Message: "boom"}}))
		b, _ := r.target("p/b", always(failing(llm.KindConnect)))
		c, _ := r.target("p/c", always(fine(0)))
		p := hedging(r.pool("m", a, b, c), 100*ms, 1)
		out := r.unary(p)
		equal(t, "attempts", outcomes(out), "p/a upstream_error, p/b connect (hedge), p/c ok")
		equal(t, "retries paid for", withdrawn(p), 1)
	})
}

// withdrawn is how many retries a model has paid for lately.
func withdrawn(p *Pool) (n int32) {
	for _, s := range p.Budget.spent {
		n += s
	}
	return n
}
