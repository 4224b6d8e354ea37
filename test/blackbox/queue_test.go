package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// limitedProvider is the configuration's entry for a vendor whose credentials
// are limited.
func limitedProvider(v *vendor, name, limits string) string {
	return strings.Replace(v.provider(name, "key-of-"+name), "api_key", "limits: "+limits+", api_key", 1)
}

// together asks n times at once and returns the answers.
func (g *gateway) together(n int, model string, header ...string) []*reply {
	g.t.Helper()
	out := make([]*reply, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"`+model+`",`+hello+`}`, header...)
			if err != nil {
				g.t.Errorf("request %d: %v", i, err)
				r = &reply{}
			}
			out[i] = r
		})
	}
	wg.Wait()
	return out
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	var busy, peak atomic.Int32
	v := newVendor(t, func(c *call) {
		n := busy.Add(1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		c.pause(20 * time.Millisecond)
		busy.Add(-1) // before the gateway can know
		c.whole("ok")
	})
	g := serve(t, "timeouts: {queue: 20s}\nproviders:\n"+limitedProvider(v, "a", "{concurrent: 2}")+"models: {a: a/m}\n")
	queued := 0
	for i, r := range g.together(24, "a") {
		if r.status != 200 {
			t.Fatalf("request %d: %s", i, r)
		}
		if m := regexp.MustCompile(`queue;dur=([0-9.]+)`).FindStringSubmatch(r.header.Get("Server-Timing")); m != nil && m[1] != "0" {
			if queued++; queued == 1 {
				eventually(t, "the record of who has waited", func() bool {
					return strings.Contains(string(g.get("/gateway/requests/"+r.id()).body), `"queued_ms":`)
				})
			}
		}
	}
	if got := peak.Load(); got > 2 {
		t.Errorf("at a time: got %d, want at most 2", got)
	}
	if v.count() != 24 {
		t.Errorf("calls: got %d, want 24", v.count())
	}
	if queued == 0 {
		t.Error("no answer tells in Server-Timing that it has waited")
	}
	if m := string(g.get("/metrics").body); !strings.Contains(m, `sluice_queue_depth{target="a/m"} 0`) {
		t.Error("sluice_queue_depth is not 0 in the end")
	}
}

func TestQueueRefusesHonestly(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) { c.hang() })
	g := serve(t, "timeouts: {queue: 300ms}\nproviders:\n"+limitedProvider(v, "a", "{concurrent: 1}")+"models: {a: a/m}\n")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // holds the slot
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat/completions", strings.NewReader(`{"model":"a",`+hello+`}`))
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	})
	v.call(1)
	r := g.chat("a")
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != 503 || r.code() != "overloaded" || after < 1 || r.header.Get("X-Should-Retry") == "false" {
		t.Errorf("answer: got %s, want 503 overloaded with Retry-After", r)
	}
	if r := g.post("/v1/messages", `{"model":"a","max_tokens":9,`+hello+`}`); r.status != 529 {
		t.Errorf("Anthropic's: got %s, want 529", r)
	}
	if x := g.target("a/m"); x.State != "full" || x.InFlight != 1 {
		t.Errorf("status: got %+v, want full with 1 in flight", x)
	}
	// 74: a client that leaves the queue leaves nothing behind, nor does the one
	// that held the slot.
	slow := serve(t, "timeouts: {queue: 20s}\nproviders:\n"+limitedProvider(v, "a", "{concurrent: 1}")+"models: {a: a/m}\n")
	ask := func() (leave context.CancelFunc) {
		gone, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(gone, http.MethodPost, slow.url+"/v1/chat/completions", strings.NewReader(`{"model":"a",`+hello+`}`))
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		})
		return leave
	}
	release := ask() // holds the slot
	v.call(2)
	leave := ask()
	eventually(t, "one in line", func() bool { return slow.target("a/m").QueueDepth == 1 })
	leave()
	eventually(t, "an empty line", func() bool { return slow.target("a/m").QueueDepth == 0 })
	release()
	eventually(t, "a free slot", func() bool { return slow.target("a/m").InFlight == 0 })
	if n := v.count(); n != 2 {
		t.Errorf("calls: got %d, want 2: who left the queue asked nobody", n)
	}
	cancel()
	wg.Wait()
}

// A configured rate is kept by pacing: no call is sent into a refusal.
func TestRateIsPaced(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "timeouts: {queue: 20s}\nproviders:\n"+limitedProvider(v, "a", "{rpm: 120}")+"models: {a: a/m}\n")
	begin := time.Now()
	for i, r := range g.together(123, "a") {
		if r.status != 200 {
			t.Fatalf("request %d: %s", i, r)
		}
	}
	calls := v.journal()
	if len(calls) != 123 {
		t.Fatalf("calls: got %d, want 123", len(calls))
	}
	for i := 1; i <= 3; i++ { // a burst of 120, then one each half second
		if got, want := calls[119+i].at.Sub(begin), time.Duration(i)*500*time.Millisecond; got < want {
			t.Errorf("call %d: after %v, want at least %v", 120+i, got, want)
		}
	}
}

// 72: however much one key asks for, another waits for a turn only; and who is
// critical goes first.
func TestFault72NoisyKey(t *testing.T) {
	t.Parallel()
	first := make(chan struct{})
	v := newVendor(t, func(c *call) {
		if c.n == 1 {
			<-first
		}
		c.whole("ok")
	})
	g := serve(t, "timeouts: {queue: 20s}\nproviders:\n"+limitedProvider(v, "a", "{concurrent: 1}")+`models: {a: a/m}
keys:
  - {name: noisy, key: noisy-key-1}
  - {name: quiet, key: quiet-key-1}
  - {name: critical, key: critical-key-1, priority: critical}
  - {name: batch, key: batch-key-1, priority: batch}
`)
	var wg sync.WaitGroup
	ask := func(n int, key string) {
		for range n {
			wg.Go(func() {
				r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"a","user":"`+key+`",`+hello+`}`, "Authorization", "Bearer "+key+"-key-1")
				if err != nil || r.status != 200 {
					t.Errorf("%s: %v, %s", key, err, r)
				}
			})
		}
	}
	ask(1, "noisy")
	v.call(1)
	ask(1, "batch")
	ask(40, "noisy")
	depth := func(n int) func() bool {
		return func() bool {
			return g.status("Authorization", "Bearer quiet-key-1").Targets[0].QueueDepth == n
		}
	}
	eventually(t, "41 in line", depth(41))
	ask(1, "quiet")
	ask(1, "critical")
	eventually(t, "43 in line", depth(43))
	close(first)
	wg.Wait()
	at := map[string]int{}
	for _, c := range v.journal() {
		for _, key := range []string{"noisy", "quiet", "critical", "batch"} {
			if strings.Contains(string(c.body), `"user":"`+key+`"`) && at[key] == 0 {
				at[key] = c.n
			}
		}
	}
	if at["critical"] != 2 || at["quiet"] > 4 || at["batch"] > 12 {
		t.Errorf("places in the vendor's journal: got %v, want critical 2nd, quiet by the 4th, batch by the 12th", fmt.Sprint(at))
	}
}

// What a vendor tells with a good answer is believed: a credential of which
// nothing is left rests.
func TestSpentQuota(t *testing.T) {
	p := newPair(t, func(c *call) {
		c.answer(200, completion("from A"), "X-Ratelimit-Limit-Requests: 1", "X-Ratelimit-Remaining-Requests: 0", "X-Ratelimit-Reset-Requests: 1m0s")
	}, "")
	if r := p.chat("m"); r.status != 200 || !strings.Contains(string(r.body), "from A") {
		t.Fatalf("first: got %s, want A's", r)
	}
	if r := p.chat("m"); r.status != 200 || !strings.Contains(string(r.body), "from B") || r.header.Get("X-Sluice-Attempts") != "1" {
		t.Errorf("second: got %s, want B's without asking A", r)
	}
	if x := p.target("a/vendor-m"); x.State != "cooldown" || !strings.Contains(x.Reason, "quota of requests") || x.CooldownUntil == nil {
		t.Errorf("A: got %+v, want cooldown with its reason", x)
	}
	r := p.chat("a") // nobody else can
	after, _ := strconv.Atoi(r.header.Get("Retry-After"))
	if r.status != 429 || r.code() != "rate_limit_exceeded" || after < 40 || after > 60 {
		t.Errorf("alone: got %s, want 429 with the vendor's reset", r)
	}
	if n := p.a.count(); n != 1 {
		t.Errorf("calls to A: got %d, want 1", n)
	}
}
