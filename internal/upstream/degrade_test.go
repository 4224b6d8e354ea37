package upstream

import (
	"context"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// collected is the text of an answer that no vendor gave.
func collected(t *testing.T, p *Pool, req *llm.Request) (*llm.Response, string) {
	t.Helper()
	resp, err := p.Do(context.Background(), req)
	if err != nil {
		t.Fatalf("got %v, want an answer", err)
	}
	defer resp.Close()
	var c llm.Collector
	for {
		chunk, err := resp.Next()
		if err != nil {
			break
		}
		c.Add(chunk.Events...)
	}
	req.Trail.Close(time.Now())
	text := ""
	for _, a := range c.Reply().Answers {
		equal(t, "stop", a.Stop, llm.StopEnd)
		text += a.Blocks[0].Text + ";"
	}
	return resp, text
}

func TestDegradeOrder(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindUpstream)))
		f, _ := r.target("p/f", always(failing(llm.KindUpstream)))
		s, vs := r.target("p/s", always(fine(0)))
		p, small := r.pool("m", a), r.pool("small", s)
		p.Policy.Attempts = 1
		p.Fallback = []*Pool{r.pool("other", f)}
		p.Degrade = []Degrade{{MaxOutput: 10}, {Pool: small}, {Answer: "busy"}}
		out := r.unary(p)
		equal(t, "attempts", outcomes(out), "p/a upstream_error, p/f upstream_error, p/a upstream_error, p/s ok")
		equal(t, "level", out.resp.Degraded, 2)
		equal(t, "fallback from", out.resp.FallbackFrom, "m")
		equal(t, "clamp before", va.asked[0].Clamp, 0)
		equal(t, "clamp", va.asked[1].Clamp, 10)
		equal(t, "clamp after", vs.asked[0].Clamp, 0)

		va.set(inTurn(failing(llm.KindUpstream), fine(0)))
		out = r.unary(p)
		equal(t, "level of the shorter answer", out.resp.Degraded, 1)
		va.set(always(failing(llm.KindUpstream)))
		req := r.request(false)
		req.MaxOutput = 8
		equal(t, "level where it would not be shorter", r.ask(context.Background(), p, req).resp.Degraded, 2)

		vs.set(always(failing(llm.KindUpstream)))
		va.set(always(failing(llm.KindUpstream)))
		req = r.request(true)
		req.N = 2
		resp, text := collected(t, p, req)
		equal(t, "text", text, "busy;busy;")
		equal(t, "level", resp.Degraded, 3)
		equal(t, "target", resp.Target, "")
		equal(t, "cost of the answer", req.Trail.Cost(), 0)

		plan := p.Plan(r.request(false))
		equal(t, "levels of the plan", len(plan.Degrade), 3)
		equal(t, "model of the plan", plan.Degrade[1].Model, "small")
		for _, tr := range r.trails[len(r.trails)-1:] {
			tr.Close(time.Now())
		}
	})
}

// Nothing is degraded for what the caller did, nor after content.
func TestDegradeNever(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer script
		kind   llm.Kind
	}{
		{"caller", failing(llm.KindCaller), llm.KindCaller},
		{"context length", failing(llm.KindContextLength), llm.KindContextLength},
		{"unsupported", failing(llm.KindUnsupported), llm.KindUnsupported},
		{"after content", script{steps: []step{content(0, "half"), {err: &llm.Error{Kind: llm.KindUpstream}}}}, llm.KindUpstream},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, _ := r.target("p/a", always(c.answer))
				s, vs := r.target("p/s", always(fine(0)))
				p := r.pool("m", a)
				p.Degrade = []Degrade{{Pool: r.pool("small", s)}, {Answer: "busy"}}
				out := r.streamed(p)
				equal(t, "kind", out.err.Kind, c.kind)
				equal(t, "calls of the other", vs.count(), 0)
			})
		})
	}
}

// What has run out of time, of targets, of quota, is degraded; what no text can
// answer is not answered by one.
func TestDegradeWhen(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer script
	}{
		{"rate limited", limited(time.Minute)},
		{"silent", hang()},
		{"refused", failing(llm.KindConnect)},
		{"no credit", failing(llm.KindCredit)},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, _ := r.target("p/a", always(c.answer))
				a.Timeouts.Total = 5 * time.Second
				p := r.pool("m", a)
				p.Degrade = []Degrade{{Answer: "busy"}}
				req := r.request(false)
				resp, text := collected(t, p, req)
				equal(t, "text", text, "busy;")
				equal(t, "level", resp.Degraded, 1)
				req = r.request(false)
				req.Op = llm.OpEmbedding
				if out := r.ask(context.Background(), p, req); out.err == nil {
					t.Error("vectors were answered by a text")
				}
			})
		})
	}
	virtual(t, func(t *testing.T, r *rig) { // a client's own deadline
		a, _ := r.target("p/a", always(hang()))
		p := r.pool("m", a)
		p.Degrade = []Degrade{{Pool: r.pool("n", a)}, {Answer: "late"}}
		req := r.request(false)
		req.Deadline = time.Now().Add(time.Second)
		_, text := collected(t, p, req)
		equal(t, "text", text, "late;")
	})
}

// A shorter answer fits into a quota of tokens that a longer one does not.
func TestDegradeFitsQuota(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(30*time.Second)))
		a.Limits.TPM = 2*(10+defaultOutput) + 50
		a.Adopt()
		p := r.pool("m", a)
		p.Degrade = []Degrade{{MaxOutput: 20}, {Answer: "busy"}}
		done := make(chan outcome)
		for range 3 {
			go func() { done <- r.unary(p) }()
			time.Sleep(ms)
		}
		levels := 0
		for range 3 {
			levels += (<-done).resp.Degraded
		}
		equal(t, "levels of three requests", levels, 1)
		equal(t, "clamp of the third", va.asked[2].Clamp, 20)
	})
}

// Who finds no room in time is answered by what comes next.
func TestDegradeWhereNoRoom(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(30*time.Second)))
		a.Limits.Concurrent = 1
		a.Timeouts.Queue = 200 * ms
		a.Adopt()
		s, _ := r.target("p/s", always(fine(0)))
		p := r.pool("m", a)
		p.Degrade = []Degrade{{MaxOutput: 20}, {Pool: r.pool("small", s)}}
		first := make(chan outcome)
		go func() { first <- r.unary(p) }()
		time.Sleep(ms)
		out := r.unary(p)
		equal(t, "level", out.resp.Degraded, 2)
		equal(t, "took", out.took, 200*ms)
		equal(t, "level of who had room", (<-first).resp.Degraded, 0)
		equal(t, "calls", va.count(), 1)
	})
}
