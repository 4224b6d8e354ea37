package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const boom = `{"error":{"message":"boom","type":"server_error","code":null}}`

// failing answers the calls that bad picks, by number, with 500; the others
// whole.
func failing(bad func(n int) bool) func(*call) {
	return func(c *call) {
		if bad(c.n) {
			c.answer(500, boom)
		} else {
			c.whole("recovered A")
		}
	}
}

// trip sends requests, which B answers, until A's breaker is open.
func (p *pair) trip(t *testing.T) {
	t.Helper()
	eventually(t, "an open breaker", func() bool {
		if r := p.chat("m"); r.status != 200 {
			t.Errorf("answer: got %s, want B's", r)
		}
		return p.status().CircuitBreakers["a/vendor-m"] == "open"
	})
}

// heals sends requests until A answers one, and checks that its breaker has
// closed.
func (p *pair) heals(t *testing.T) {
	t.Helper()
	eventually(t, "A's return", func() bool {
		r := p.chat("m")
		if r.status != 200 {
			t.Errorf("answer: got %s, want 200: B can be asked", r)
		}
		return strings.Contains(string(r.body), "recovered A")
	})
	if s := p.status().CircuitBreakers["a/vendor-m"]; s != "closed" {
		t.Errorf("A's breaker: got %s, want closed", s)
	}
}

// A probe that hangs fails when its lease ends; the next one closes the
// breaker. Meanwhile everybody is answered by B.
func TestFault62HungProbe(t *testing.T) {
	p := newPair(t, func(c *call) {
		if c.n == 3 {
			c.hang()
			return
		}
		failing(func(n int) bool { return n < 3 })(c)
	}, "timeouts: {first_token: 6s, total: 6s}\nbreaker: {failures: 2, cooldown: 1s}\n") // a lease of 1.5 s, suspected for 7.5 s
	p.trip(t)
	first := make(chan *reply, 1)
	go func() {
		for p.a.count() < 3 {
			r, err := try(http.MethodPost, p.url+"/v1/chat/completions", `{"model":"m",`+hello+`}`)
			if err != nil || r.status != 200 || p.a.count() >= 3 {
				first <- r
				return
			}
		}
		first <- nil // another's probe
	}()
	probe := p.a.call(3)
	r := p.chat("m")
	select {
	case <-probe.left:
	default:
		if n := p.a.count(); n != 3 || !strings.Contains(string(r.body), "from B") {
			t.Errorf("while the probe hangs: %d calls to A, answer %s, want 3 and B's", n, r)
		}
	}
	closed(t, "the end of the probe", probe.left)
	if r := <-first; r != nil && (r.status != 200 || !strings.Contains(string(r.body), "from B")) {
		t.Errorf("the request that was the probe: got %s, want B's answer", r)
	}
	p.heals(t)
	if n := p.a.count(); n != 4 {
		t.Errorf("calls to A: got %d, want 4: two failures, the probe that hung, the one that closed the breaker", n)
	}
}

// A probe whose client leaves says nothing: the next request is the next
// probe, at once.
func TestFault63CanceledProbe(t *testing.T) {
	p := newPair(t, func(c *call) {
		if c.n == 3 {
			c.hang()
			return
		}
		failing(func(n int) bool { return n < 3 })(c)
	}, "timeouts: {first_token: 120s, total: 480s}\nbreaker: {failures: 2, cooldown: 1s}\n")
	p.trip(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := leave(t, ctx, p.url, `{"model":"a",`+hello+`}`)
	eventually(t, "the probe", func() bool {
		select {
		case <-gone: // answered: the breaker is open still
			gone = leave(t, ctx, p.url, `{"model":"a",`+hello+`}`)
		default:
		}
		return p.a.count() == 3
	})
	cancel()
	closed(t, "the client's end", gone)
	closed(t, "the end of the probe", p.a.call(3).left)
	p.line(`"outcome":"canceled"`)
	if r := p.chat("a"); r.status != 200 || p.a.count() != 4 {
		t.Errorf("after the probe was left: got %s after %d calls, want 200 by the fourth", r, p.a.count())
	}
	if s := p.status().CircuitBreakers["a/vendor-m"]; s != "closed" {
		t.Errorf("A's breaker: got %s, want closed", s)
	}
}

// However many come when the breaker is half open, one of them is the probe.
func TestFault64OneProbe(t *testing.T) {
	const crowd = 300
	release := make(chan struct{})
	p := newPair(t, func(c *call) {
		if c.n == 3 {
			select {
			case <-release:
			case <-c.v.stop:
			}
		}
		failing(func(n int) bool { return n < 3 })(c)
	}, "limits: {in_flight: 4000}\ntimeouts: {first_token: 120s, total: 480s}\nbreaker: {failures: 2, cooldown: 1s}\n")
	p.trip(t)
	for p.a.count() < 3 {
		var over atomic.Int64
		var wg sync.WaitGroup
		for range crowd {
			wg.Go(func() {
				defer over.Add(1)
				r, err := try(http.MethodPost, p.url+"/v1/chat/completions", `{"model":"m",`+hello+`}`)
				if err != nil || r.status != 200 {
					t.Errorf("one of the crowd: %v %v, want 200", err, r)
				}
			})
		}
		eventually(t, "the answers to all but the probe", func() bool {
			return over.Load() == crowd || over.Load() == crowd-1 && p.a.count() >= 3
		})
		if n := p.a.count(); n > 3 {
			t.Errorf("probes: got %d, want 1", n-2)
		}
		if p.a.count() >= 3 {
			close(release)
		}
		wg.Wait()
	}
	p.heals(t)
}

// Failures that never come in a row open the breaker by their share.
func TestFault65Ratio(t *testing.T) {
	p := newPair(t, failing(func(n int) bool { return n%2 == 0 }), "breaker: {failures: 5, success_rate: 0.6, window: 1h, min_requests: 10}\n")
	for range 40 {
		if r := p.chat("m"); r.status != 200 {
			t.Fatalf("answer: got %s, want 200", r)
		}
		if p.status().CircuitBreakers["a/vendor-m"] != "closed" {
			break
		}
	}
	if x := p.target("a/vendor-m"); p.status().CircuitBreakers["a/vendor-m"] != "open" || !strings.Contains(x.Reason, "success rate") {
		t.Errorf("A after %d calls: got %+v, want open by its success rate", p.a.count(), x)
	}
	if n := p.a.count(); n < 10 || n > 11 {
		t.Errorf("calls to A: got %d, want 10, the least that its share is judged by", n)
	}
}

// One failure of one request is no share to judge by.
func TestFault66OneFailure(t *testing.T) {
	p := newPair(t, failing(func(n int) bool { return n == 1 }), "")
	p.fromB(t, p.chat("m"), 1)
	if x := p.target("a/vendor-m"); x.State != "closed" || x.ErrorRate != 1 {
		t.Errorf("A: got %+v, want closed after one failure in one request", x)
	}
	if r := p.chat("m"); r.status != 200 || !strings.Contains(string(r.body), "recovered A") {
		t.Errorf("the next request: got %s, want A's answer", r)
	}
}

// With every target open, clients learn when to come again, and the first call
// after vendors are well again is answered.
func TestFault68AllOpen(t *testing.T) {
	var well atomic.Bool
	sick := failing(func(int) bool { return !well.Load() })
	p := newPair(t, sick, "breaker: {failures: 2, cooldown: 4s}\n")
	p.b.script = sick
	eventually(t, "two open breakers", func() bool {
		p.chat("m")
		s := p.status().CircuitBreakers
		return s["a/vendor-m"] == "open" && s["b/vendor-m"] == "open"
	})
	well.Store(true)
	before := p.a.count() + p.b.count()
	eventually(t, "an answer", func() bool {
		r := p.chat("m")
		if r.status != 200 && (r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "") {
			t.Errorf("with all targets open: got %s, want 503 overloaded with Retry-After", r)
		}
		return r.status == 200
	})
	if n := p.a.count() + p.b.count() - before; n != 1 {
		t.Errorf("calls since the vendors are well: got %d, want 1", n)
	}
}

// A target that fails at once attracts nothing, whatever the strategy: the
// slow one that answers gets the load.
func TestFault69FailsFast(t *testing.T) {
	t.Parallel()
	const requests, workers = 480, 8
	fast := newVendor(t, func(c *call) { c.answer(500, boom) })
	slow := newVendor(t, func(c *call) {
		if c.pause(40 * time.Millisecond) {
			c.whole("from B")
		}
	})
	strategies := []string{"weighted", "round_robin", "latency_based", "least_busy", "adaptive"}
	models := ""
	for _, s := range strategies {
		models += fmt.Sprintf("  %[1]s: {targets: [a/%[1]s, b/%[1]s], strategy: %[1]s}\n", s)
	}
	g := serve(t, "timeouts: {first_token: 60s, total: 240s}\nproviders:\n"+fast.provider("a", "k")+slow.provider("b", "k")+"models:\n"+models)
	var wg sync.WaitGroup
	for _, s := range strategies {
		for range workers {
			wg.Go(func() {
				for range requests / workers {
					if r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"`+s+`",`+hello+`}`); err != nil || r.status != 200 {
						t.Errorf("%s: got %v %v, want B's answer", s, err, r)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	share := map[string]int{}
	for _, c := range fast.journal() {
		share[c.model]++
	}
	for _, s := range strategies {
		if n := share[s]; n > requests/20 {
			t.Errorf("%s: %d of %d requests went to the target that fails, want at most 5 %%", s, n, requests)
		}
	}
	t.Logf("calls to the target that fails, of %d requests: %v", requests, share)
}

// Load moves away from the target that is ten times slower, and is shared by
// equal ones. The exact shares are a matter of the strategies' simulation.
func TestFault70Shares(t *testing.T) {
	t.Parallel()
	const requests, workers = 600, 12
	after := func(d time.Duration) *vendor {
		return newVendor(t, func(c *call) {
			if c.pause(d) {
				c.whole("ok")
			}
		})
	}
	quick := []*vendor{after(30 * time.Millisecond), after(30 * time.Millisecond), after(30 * time.Millisecond)}
	slow := after(300 * time.Millisecond)
	providers := slow.provider("slow", "k")
	for i, v := range quick {
		providers += v.provider(fmt.Sprintf("q%d", i), "k")
	}
	g := serve(t, "strategy: adaptive\ntimeouts: {first_token: 60s, total: 240s}\nproviders:\n"+providers+
		"models:\n  equal: {targets: [q0/equal, q1/equal, q2/equal]}\n  one-slow: {targets: [q0/m, q1/m, slow/m]}\n")
	var wg sync.WaitGroup
	for _, model := range []string{"equal", "one-slow"} {
		for range workers {
			wg.Go(func() {
				for range requests / workers {
					if r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"`+model+`",`+hello+`}`); err != nil || r.status != 200 {
						t.Errorf("%s: got %v %v", model, err, r)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	var equal []int
	for _, v := range quick {
		n := 0
		for _, c := range v.journal() {
			if c.model == "equal" {
				n++
			}
		}
		equal = append(equal, n)
		if n < requests/6 || n > requests/2 {
			t.Errorf("calls to one of three equal targets: got %d of %d, want about a third", n, requests)
		}
	}
	if n := slow.count(); n == 0 || n > requests/10 {
		t.Errorf("calls to the target that is ten times slower: got %d of %d, want some, at most a tenth", n, requests)
	}
	t.Logf("equal targets: %v; the slow one: %d of %d", equal, slow.count(), requests)
}

// Conversations keep to their target; those of one that failed go elsewhere
// and come back with it, the others stay where they are.
func TestFault61AffinityReturns(t *testing.T) {
	t.Parallel()
	const sessions = 24
	var sick atomic.Bool
	vendors := map[string]*vendor{}
	providers, targets := "", []string{}
	for _, name := range []string{"a", "b", "c"} {
		v := newVendor(t, func(c *call) {
			if name == "a" && sick.Load() {
				c.answer(500, boom)
			} else {
				c.whole("ok")
			}
		})
		vendors[name] = v
		providers += v.provider(name, "k")
		targets = append(targets, name+"/m")
	}
	g := serve(t, "breaker: {failures: 2, cooldown: 1s}\nhealth: {slow_start: 1s}\nproviders:\n"+providers+"models: {m: {targets: ["+strings.Join(targets, ", ")+"]}}\n")
	round := func() map[int]string {
		at := map[int]string{}
		for s := range sessions {
			r := g.chat("m", "X-Sluice-Session", fmt.Sprint("session-", s))
			if r.status != 200 {
				t.Errorf("session %d: got %s, want 200", s, r)
			}
			at[s] = r.header.Get("X-Sluice-Target")
		}
		return at
	}
	home := round()
	again := round()
	used := map[string]int{}
	for s, at := range home {
		used[at]++
		if again[s] != at {
			t.Errorf("session %d moved from %s to %s for no reason", s, at, again[s])
		}
	}
	if len(used) != 3 {
		t.Fatalf("sessions are not spread: %v", used)
	}
	sick.Store(true)
	moved := round()
	for s, at := range moved {
		if home[s] != "a/m" && at != home[s] || at == "a/m" {
			t.Errorf("session %d of %s is at %s while A fails", s, home[s], at)
		}
	}
	later := round()
	for s, at := range later {
		if at != moved[s] {
			t.Errorf("session %d went on to %s, want it to stay at %s", s, at, moved[s])
		}
	}
	sick.Store(false)
	eventually(t, "the return of A's sessions", func() bool {
		back := round()
		for s, at := range back {
			if at != home[s] && home[s] != "a/m" {
				t.Errorf("session %d of %s is at %s after A came back", s, home[s], at)
			}
			if at != home[s] {
				return false
			}
		}
		return true
	})
}

// TestBreakerOfFallback: targets that are reached only by fallback and
// degradation have the breaker and the row of any other, and hear orders.
func TestBreakerOfFallback(t *testing.T) {
	t.Parallel()
	dead := func(c *call) { c.answer(500, boom) }
	a, b := newVendor(t, dead), newVendor(t, dead)
	g := serve(t, quick+"retry: {attempts: 1}\nbreaker: {failures: 2}\nproviders:\n"+a.provider("a", "key-of-a")+b.provider("b", "key-of-b")+
		"models:\n  m: {targets: [a/vendor-m], fallback: [b/vendor-x], degrade: [{model: b/vendor-y}]}\n  \"x-*\": {targets: [\"a/*\"], fallback: [b/vendor-z]}\n")
	for range 4 {
		g.chat("m")
	}
	states := map[string]string{}
	for _, x := range g.status().Targets {
		states[x.ID] = x.State
	}
	if states["b/vendor-x"] != "open" {
		t.Errorf("states after 4 failures: got %v, want b/vendor-x open", states)
	}
	for _, id := range []string{"b/vendor-y", "b/vendor-z"} {
		if _, ok := states[id]; !ok {
			t.Errorf("status knows %v, want %s, too", states, id)
		}
	}
	if r := g.order("b/vendor-x", "drain"); r.status != 200 {
		t.Errorf("drain of a fallback's target: got %s, want 200", r)
	}
}
