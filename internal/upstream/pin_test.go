package upstream

import (
	"context"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// A pinned request goes to its provider with its credential, whatever fails,
// and to nobody else.
func TestPin(t *testing.T) {
	down := failing(llm.KindUpstream)
	for _, c := range []struct {
		name       string
		pin        llm.Pin
		kept       func(int) script // how the keeper answers
		want       string
		k1, k2     int // calls of the keeper's credentials
		keeperOpen bool
	}{
		{"by its credential", llm.Pin{Provider: "q", Credential: "q/b#k2"}, always(fine(0)), "oku", 0, 1, false},
		{"failures are tried again there", llm.Pin{Provider: "q", Credential: "q/b#k2"}, inTurn(down, down, fine(0)), "oku", 0, 3, false},
		{"and nowhere else", llm.Pin{Provider: "q", Credential: "q/b#k2"}, always(down), "upstream_error", 0, 3, false},
		{"a refused credential is no reason for another", llm.Pin{Provider: "q", Credential: "q/b#k2"}, always(failing(llm.KindCredential)), "upstream_error", 0, 1, false},
		{"nor is a rate limit", llm.Pin{Provider: "q", Credential: "q/b#k1"}, always(limited(time.Minute)), "rate_limited", 1, 0, false},
		{"a credential that is gone", llm.Pin{Provider: "q", Credential: "old"}, inTurn(limited(time.Minute), fine(0)), "oku", 1, 1, false},
		{"an open breaker", llm.Pin{Provider: "q", Credential: "q/b#k1"}, always(fine(0)), "overloaded", 0, 0, true},
		{"no target there", llm.Pin{Provider: "z"}, always(fine(0)), "invalid_request", 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, va := r.target("p/a", always(fine(0)))
				b, vb := r.target("q/b", c.kept, "k1", "k2")
				f, vf := r.target("p/f", always(fine(0)))
				p := r.pool("m", a, r.pool("inner", b))
				p.Fallback = []*Pool{r.pool("other", f)}
				if c.keeperOpen {
					tell(&b.State.Breaker, r.reg.now(), repeat(5, Failure)...)
				}
				req := r.request(false)
				req.Pin = &c.pin
				out := r.ask(context.Background(), p, req)
				if out.String() != c.want {
					t.Errorf("answer: %v, %v, want %s", out, out.err, c.want)
				}
				equal(t, "calls with the first credential", vb.by["k1"], c.k1)
				equal(t, "calls with the second", vb.by["k2"], c.k2)
				equal(t, "calls of others", va.count()+vf.count(), 0)
			})
		})
	}
}

func TestTargets(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(0)))
		b, _ := r.target("q/b", always(fine(0)))
		inner := r.pool("inner", b, a)
		p := r.pool("m", a, inner)
		inner.Options = append(inner.Options, Option{ID: "m", Pool: p}) // in a circle
		got := p.Targets()
		if len(got) != 2 || got[0] != a || got[1] != b {
			t.Errorf("got %v, want each once in order", got)
		}
	})
}
