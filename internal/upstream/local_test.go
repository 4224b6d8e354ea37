package upstream

import (
	"context"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// op is a request for an operation.
func (r *rig) op(op llm.Op) *llm.Request {
	req := r.request(false)
	req.Op, req.Trail.Op = op, op
	return req
}

// An answer that the gateway makes itself says nothing of the target: its open
// breaker, its latency and its quota are as they were.
func TestLocalAnswer(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		p := r.pool("m", a)
		r.opened(a, p)
		time.Sleep(2 * time.Second)
		first := a.State.Latency(false, time.Second)
		va.set(always(script{local: true, steps: []step{content(0, "12")}}))
		for range 3 {
			equal(t, "answer", r.ask(context.Background(), p, r.op(llm.OpCount)).String(), "12")
		}
		equal(t, "breaker", phase(a), HalfOpen)
		equal(t, "last good answer", a.State.good.Load(), 0)
		equal(t, "latency", a.State.Latency(false, time.Second), first)
		va.set(always(fine(0)))
		r.unary(p)
		equal(t, "breaker after the vendor's own answer", phase(a), Closed)
	})
}

// What never reached the vendor takes nothing of the limits, nor do counts of
// tokens; answers that are no text say nothing of how long texts are.
func TestUnsent(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUnsupported)))
		a.Limits = Limits{RPM: 4, TPM: 1000}
		a.Adopt()
		p := r.pool("m", a)
		for range 6 {
			equal(t, "refused by us", r.unary(p).String(), "unsupported_parameter")
		}
		va.set(always(script{local: true, steps: []step{content(0, "12")}}))
		for range 6 {
			equal(t, "counted by us", r.ask(context.Background(), p, r.op(llm.OpCount)).String(), "12")
		}
		before := a.State.Output()
		va.set(always(script{steps: []step{content(0, "12")}}))
		for _, op := range []llm.Op{llm.OpCount, llm.OpEmbedding} {
			equal(t, op.String(), r.ask(context.Background(), p, r.op(op)).String(), "12")
		}
		equal(t, "expected output", a.State.Output(), before)
		req := r.op(llm.OpCount)
		req.Body = prompt(make([]byte, 3600)) // nine tenths of limits.tpm
		equal(t, "a long count", r.ask(context.Background(), p, req).String(), "12")
		req = r.request(false)
		req.MaxOutput = 10
		equal(t, "a chat after it", r.ask(context.Background(), p, req).String(), "12")
	})
}

// A probe that fails says as little of how long answers take as one that does
// not.
func TestFailedProbeIsNoLatency(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.probed("p/a", always(failing(llm.KindUpstream)), 8*time.Second)
		r.tend(20*time.Second, a)
		if va.count() == 0 {
			t.Fatal("no probe was sent")
		}
		equal(t, "expected time", a.State.Latency(false, time.Second), time.Second)
	})
}
