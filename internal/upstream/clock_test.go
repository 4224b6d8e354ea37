package upstream

import (
	"strings"
	"testing"
	"time"
)

// 67: what the wall clock does decides nothing here. Go takes the monotonic
// reading of a time where it has one (shown as m=), so a registry whose epoch
// has one counts on while the wall clock jumps; breakers, cooldowns, budgets
// and leases are given that count and never a time.
func TestFault67MonotonicEpoch(t *testing.T) {
	r := NewRegistry()
	if s := r.epoch.String(); !strings.Contains(s, " m=") {
		t.Fatalf("epoch: got %s, want a monotonic reading", s)
	}
	jumped := &Registry{epoch: r.epoch.Round(0).Add(-time.Hour)} // without one, an hour back
	if d := r.now() - jumped.now(); d > int64(-59*time.Minute) {
		t.Fatalf("the test shows nothing: a wall clock an hour off makes a difference of %v", time.Duration(d))
	}
	before := r.now()
	if after := r.now(); after < before || after-before > int64(time.Minute) {
		t.Errorf("now: got %d, then %d", before, after)
	}
}

// 67: a date that is an hour off, by whichever clock, rests a credential for
// cooldown.max at most.
func TestFault67DatesAreCapped(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", inTurn(limited(time.Hour+3*time.Second), fine(0)))
		p := r.pool("m", a)
		if out := r.unary(p); out.err == nil {
			t.Fatalf("got %v, want a refusal", out)
		}
		time.Sleep(defaultCooldown.Max - 3*time.Second) // less would be waited for
		if out := r.unary(p); out.err == nil {
			t.Errorf("three seconds before cooldown.max: got %v, want a refusal", out)
		}
		time.Sleep(4 * time.Second)
		equal(t, "after cooldown.max", r.unary(p).String(), "oku")
	})
}
