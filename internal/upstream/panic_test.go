package upstream

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// bug panics with a prompt in hand, instead of answering or at the first read.
type bug struct {
	llm.Stream
	atRead bool
}

const secret = "a prompt"

func (b bug) send(context.Context, *llm.Request) (*llm.Response, error) {
	if !b.atRead {
		panic(secret)
	}
	return &llm.Response{Status: 200, Proto: llm.ProtoOpenAI, Stream: b}, nil
}

func (bug) Next() (llm.Chunk, error) { panic(secret) }
func (bug) Close() error             { return nil }

// A panic leaves no slot taken and no attempt open, and goes on to whoever asked;
// where nobody did it ends with the call.
func TestPanicSettles(t *testing.T) {
	settled := func(t *testing.T, a *Target, tr *llm.Trail) {
		t.Helper()
		c := &a.Calls[0]
		equal(t, "in flight", a.State.InFlight()+c.Credential.inFlight.Load()+c.Cooling.inFlight.Load(), 0)
		for _, x := range tr.Attempts() {
			if x.Target != a.ID {
				continue
			}
			equal(t, "outcome", x.Outcome, "internal")
			if !strings.HasPrefix(x.Detail, "panic: string in ") || !strings.Contains(x.Detail, "upstream.bug") || strings.Contains(x.Detail, secret) {
				t.Errorf("detail: got %q", x.Detail)
			}
		}
	}
	for _, atRead := range []bool{false, true} {
		b := bug{atRead: atRead}
		virtual(t, func(t *testing.T, r *rig) {
			a, _ := r.target("p/a", always(fine(0)))
			a.Calls[0].Send = b.send
			p, req := r.pool("m", a), r.request(true)
			func() {
				defer func() { equal(t, "the asker sees", recover(), any(secret)) }()
				_, _ = p.Do(t.Context(), req)
			}()
			req.Trail.Close(time.Now())
			settled(t, a, req.Trail)

			req = r.request(false)
			req.Op, req.Trail.Op = llm.OpProbe, llm.OpProbe
			func() {
				defer func() { equal(t, "the prober sees", recover(), any(secret)) }()
				a.Probe(t.Context(), req)
			}()
			req.Trail.Close(time.Now())
			settled(t, a, req.Trail)
			equal(t, "probing", a.State.probing.Load(), false)
		})
		virtual(t, func(t *testing.T, r *rig) {
			a, _ := r.target("p/a", always(fine(300*ms)))
			c, _ := r.target("p/c", always(fine(0)))
			c.Calls[0].Send = b.send
			p := hedging(r.pool("m", a, c), 100*ms, 1)
			req := r.request(true)
			out := r.ask(t.Context(), p, req)
			equal(t, "answer", out.String(), "oku")
			equal(t, "calls", outcomes(out), "p/a ok, p/c internal (hedge)")
			settled(t, c, req.Trail)
		})
	}
}
