package upstream

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Cooldowns and quarantine: credentials that rest.

func TestCoolingPause(t *testing.T) {
	const limit = 10 * time.Minute
	for _, c := range []struct {
		name  string
		asked []time.Duration // refusals, each at the end of the last pause
		limit time.Duration
		want  []time.Duration
	}{
		{"the vendor's word", []time.Duration{7 * time.Second, 2 * time.Second}, limit, []time.Duration{7 * time.Second, 2 * time.Second}},
		{"capped", []time.Duration{time.Hour}, limit, []time.Duration{limit}},
		{"no hint: doubling to a minute", make([]time.Duration, 8), limit, []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9, 60e9}},
		{"no hint: capped", make([]time.Duration, 3), 3 * time.Second, []time.Duration{1e9, 2e9, 3e9}},
		{"off", []time.Duration{time.Second, 0}, 0, []time.Duration{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var x Cooling
			now := sec
			for i, asked := range c.asked {
				x.pause(now, asked, c.limit)
				got := time.Duration(max(0, x.until.Load()-now))
				equal(t, fmt.Sprintf("pause %d", i+1), got, c.want[i])
				now += int64(got)
			}
		})
	}
	var x Cooling
	x.pause(sec, 10*time.Second, limit)
	x.pause(2*sec, time.Second, limit)
	equal(t, "a shorter pause shortens nothing", x.until.Load(), 11*sec)
}

func TestCooldownSecondTarget(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(limited(5*time.Second), fine(0)))
		b, vb := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		out := r.unary(p)
		equal(t, "answered by", out.resp.Target, "p/b")
		equal(t, "attempts", len(out.attempts), 2)
		equal(t, "first outcome", out.attempts[0].Outcome, "rate_limited")
		time.Sleep(4900 * time.Millisecond)
		r.unary(p)
		equal(t, "calls while it rests", va.count(), 1)
		time.Sleep(100 * time.Millisecond)
		equal(t, "afterwards", r.unary(p).resp.Target, "p/a")
		equal(t, "calls of the other", vb.count(), 2)
	})
}

func TestCooldownPerCredential(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(limited(time.Minute), fine(0)), "k1", "k2")
		p := r.pool("m", a)
		out := r.unary(p)
		equal(t, "answer", out.String(), "oku")
		equal(t, "took", out.took, 0)
		equal(t, "first credential", out.attempts[0].Credential, "k1")
		equal(t, "second credential", out.attempts[1].Credential, "k2")
		for range 4 {
			r.unary(p)
		}
		equal(t, "calls with the one that rests", va.by["k1"], 1)
		equal(t, "calls with the other", va.by["k2"], 5)
	})
}

// A pause holds for one credential at one target: the same credential serves
// the provider's other models.
func TestCooldownPerTarget(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(limited(time.Minute)))
		b, vb := r.target("p/b", always(fine(0)))
		b.Calls[0].Credential = a.Calls[0].Credential
		b.Calls[0].Cooling = b.State.Cooling(a.Calls[0].Credential)
		r.unary(r.pool("one", a, b))
		equal(t, "the other target", r.unary(r.pool("two", b)).String(), "oku")
		equal(t, "its calls", vb.count(), 2)
	})
}

func TestAllCooled(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(limited(40*time.Second)))
		b, _ := r.target("p/b", always(limited(30*time.Second)))
		p := r.pool("m", a, b)
		for i := range 2 {
			out := r.unary(p)
			if out.err == nil || out.err.Kind != llm.KindRateLimited || out.err.RetryAfter != 30*time.Second || out.err.Final {
				t.Errorf("request %d: got %+v, want rate limited, 30 s, not final", i, out.err)
			}
			equal(t, "answered at once", out.took, 0)
		}
		equal(t, "calls", va.count(), 1)
		time.Sleep(10 * time.Second)
		equal(t, "soonest", r.unary(p).err.RetryAfter, 20*time.Second)
	})
}

func TestWaitInPlace(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(limited(time.Second), fine(0)))
		out := r.unary(r.pool("m", a))
		equal(t, "answer", out.String(), "oku")
		equal(t, "took", out.took, time.Second)
		equal(t, "calls", va.count(), 2)

		va.set(always(limited(time.Second))) // waited for once only
		out = r.unary(r.pool("m", a))
		equal(t, "still limited", out.String(), "rate_limited")
		equal(t, "took", out.took, time.Second)
		equal(t, "calls", va.count(), 2)

		time.Sleep(time.Second)
		va.set(always(limited(30 * time.Second)))
		out = r.unary(r.pool("m", a))
		equal(t, "long pause", out.String(), "rate_limited")
		equal(t, "took", out.took, 0)
		equal(t, "retry after", out.err.RetryAfter, 30*time.Second)
		equal(t, "calls", va.count(), 1)
	})
}

func TestCooldownOff(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(limited(time.Minute)), "k1", "k2")
		b, _ := r.target("p/b", always(fine(0)))
		a.Cooldown.Max = 0
		p := r.pool("m", a, b)
		for range 3 {
			out := r.unary(p)
			equal(t, "answer", out.String(), "oku")
			equal(t, "attempts: each credential once, then the next target", len(out.attempts), 3)
		}
		equal(t, "calls with the first key", va.by["k1"], 3)
		equal(t, "calls with the second key", va.by["k2"], 3)
	})
}

func TestQuarantine(t *testing.T) {
	for _, kind := range []llm.Kind{llm.KindCredential, llm.KindCredit} {
		t.Run(kind.String(), func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, va := r.target("p/a", inTurn(failing(kind), fine(0)), "k1", "k2")
				p := r.pool("m", a)
				equal(t, "answer by the other key", r.unary(p).String(), "oku")
				for range 4 {
					r.unary(p)
				}
				equal(t, "calls with the bad key", va.by["k1"], 1)
				equal(t, "breaker", phase(a), Closed)
				time.Sleep(5*time.Minute + time.Second)
				for range 4 {
					r.unary(p)
				}
				if va.by["k1"] < 2 {
					t.Error("the key was not tried again after its quarantine")
				}
			})
		})
	}
}

// A credential is refused for all targets of its provider.
func TestQuarantineIsTheCredentials(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(failing(llm.KindCredential)))
		b, vb := r.target("p/b", always(fine(0)))
		b.Calls[0].Credential = a.Calls[0].Credential
		r.unary(r.pool("one", a))
		out := r.unary(r.pool("two", b))
		equal(t, "another model of the provider", out.String(), "overloaded")
		equal(t, "calls", vb.count(), 0)
		equal(t, "state", b.Health().State, "quarantined")
	})
}

func TestRefusalNeverReachesTheCaller(t *testing.T) {
	for _, quarantine := range []time.Duration{5 * time.Minute, 0} {
		for _, kind := range []llm.Kind{llm.KindCredential, llm.KindCredit} {
			t.Run(kind.String()+" "+quarantine.String(), func(t *testing.T) {
				virtual(t, func(t *testing.T, r *rig) {
					a, va := r.target("p/a", always(failing(kind)), "k1", "k2")
					a.Cooldown.Quarantine = quarantine
					out := r.unary(r.pool("m", a))
					if s := out.err.HTTPStatus(); s < 500 {
						t.Errorf("status: got %d, want 5xx", s)
					}
					equal(t, "calls with the first key", va.by["k1"], 1)
					equal(t, "calls with the second key", va.by["k2"], 1)
				})
			})
		}
	}
}

func TestQuarantineOff(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(failing(llm.KindCredential)))
		b, _ := r.target("p/b", always(fine(0)))
		a.Cooldown.Quarantine = 0
		p := r.pool("m", a, b)
		for range 3 {
			equal(t, "answered by", r.unary(p).resp.Target, "p/b")
		}
		equal(t, "calls: asked anew by each request, once", va.count(), 3)
	})
}

// Credentials take turns at every target, whatever the pool's own turn is.
func TestCredentialsTakeTurns(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0)), "k1", "k2")
		b, vb := r.target("q/b", always(fine(0)), "k1", "k2")
		p := r.pool("m", a, b)
		p.Order = roundRobin
		for range 40 {
			r.unary(p)
		}
		for _, v := range []*vendor{va, vb} {
			equal(t, "calls with the first key", v.by["k1"], 10)
			equal(t, "calls with the second key", v.by["k2"], 10)
		}
	})
}
