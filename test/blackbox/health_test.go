package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// order sends an operator's order to a target.
func (g *gateway) order(id, order string, header ...string) *reply {
	g.t.Helper()
	return g.post("/admin/v1/targets/"+id+"/"+order, "", header...)
}

// TestOrders: drain, undrain and reset by the operator, across a reload.
func TestOrders(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	a := newVendor(t, func(c *call) {
		if c.stream {
			c.begin()
			c.events(roleChunk, contentChunk("from "), contentChunk("A"))
			<-slow
			c.events(stopChunk, "[DONE]")
			c.end()
			return
		}
		c.whole("from A")
	})
	b := newVendor(t, func(c *call) { c.whole("from B") })
	config := pairConfig(a.provider("a", "key-of-a"), b.provider("b", "key-of-b"), "timeouts: {idle: 20s, first_token: 20s}\nadmin: {key: operator-key}\nkeys: [{name: k, key: client-key}]\n")
	config = strings.ReplaceAll(config, "a/vendor-m", "a/meta/vendor-m") // a name with a slash
	g := serve(t, config)
	client := []string{"Authorization", "Bearer client-key"}
	operator := []string{"Authorization", "Bearer operator-key"}
	state := func() target {
		t.Helper()
		for _, x := range g.status(operator...).Targets {
			if x.ID == "a/meta/vendor-m" {
				return x
			}
		}
		t.Fatal("status does not know the target")
		return target{}
	}
	const id = "a/meta/vendor-m"

	for _, x := range []struct {
		name   string
		status int
		r      *reply
	}{
		{"a client's key", 403, g.order(id, "drain", client...)},
		{"no key", 401, g.order(id, "drain")},
		{"no such target", 404, g.order("a/other", "drain", operator...)},
		{"no such order", 404, g.order(id, "stop", operator...)},
		{"GET", 405, g.get("/admin/v1/targets/"+id+"/drain", operator...)},
	} {
		if x.r.status != x.status {
			t.Errorf("%s: got %s, want status %d", x.name, x.r, x.status)
		}
	}
	if s := state(); s.State != "closed" {
		t.Errorf("state after orders of those who may not: got %+v, want closed", s)
	}

	var wg sync.WaitGroup
	var running *reply
	wg.Go(func() { running = g.stream("m", client...) })
	a.call(1)
	r := g.order(url.PathEscape(id), "drain", operator...)
	var told target
	if err := json.Unmarshal(r.body, &told); err != nil || r.status != 200 || told.ID != id || told.State != "drained" || told.InFlight != 1 {
		t.Errorf("drain: got %s, want the target, drained, with a call in flight", r)
	}
	for range 5 {
		if r := g.chat("m", client...); !strings.Contains(string(r.body), "from B") {
			t.Errorf("while A is drained: got %s, want B's answer", r)
		}
	}
	if r := g.chat("a", client...); r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" {
		t.Errorf("the model of A alone: got %s, want 503 with Retry-After", r)
	}
	write(t, g.file, config+"default_model: m\n")
	g.line("reloaded")
	if s := state(); s.State != "drained" || s.Reason != "drained by the operator" {
		t.Errorf("after a reload: got %+v, want drained still", s)
	}
	close(slow)
	wg.Wait()
	if got := text(datas(running.body)); got != "from A" || running.status != 200 {
		t.Errorf("the running stream: got %s, want it whole", running)
	}
	if n := a.count(); n != 1 {
		t.Errorf("calls to A: got %d, want 1", n)
	}
	if m := string(g.get("/metrics").body); !strings.Contains(m, `sluice_target_state{state="drained",target="a/meta/vendor-m"} 1`) {
		t.Errorf("metrics do not show the drain:\n%s", tail(m, 2000))
	}
	g.order(id, "undrain", operator...)
	if r := g.chat("m", client...); !strings.Contains(string(r.body), "from A") {
		t.Errorf("undrained: got %s, want A's answer", r)
	}
}

// TestResetOrder: what keeps requests away from a target is forgotten at the
// operator's word. Without any key, this machine alone gives orders, and no page
// of another origin.
func TestResetOrder(t *testing.T) {
	ill := true
	var mu sync.Mutex
	p := newPair(t, func(c *call) {
		mu.Lock()
		defer mu.Unlock()
		if ill {
			c.answer(401, `{"error":{"message":"no"}}`)
			return
		}
		c.whole("from A")
	}, "")
	p.chat("m")
	if x := p.target("a/vendor-m"); x.State != "quarantined" || x.CooldownUntil == nil {
		t.Errorf("state: got %+v, want quarantined", x)
	}
	mu.Lock()
	ill = false
	mu.Unlock()
	if r := p.order("a/vendor-m", "reset", "Origin", "http://elsewhere.example", "Sec-Fetch-Site", "cross-site"); r.status == 200 {
		t.Errorf("a page of another origin: got %s, want a refusal", r)
	}
	if r := p.order("a/vendor-m", "reset"); r.status != 200 {
		t.Fatalf("reset: got %s", r)
	}
	if x := p.target("a/vendor-m"); x.State != "closed" || x.CooldownUntil != nil {
		t.Errorf("state: got %+v, want closed", x)
	}
	if r := p.chat("m"); !strings.Contains(string(r.body), "from A") {
		t.Errorf("after reset: got %s, want A's answer", r)
	}
}

// TestProbes: an idle target is asked by the gateway itself, in its vendor's
// words and never as a client; what it cost is in the ledger.
func TestProbes(t *testing.T) {
	t.Parallel()
	a := newVendor(t, nil)
	b := newVendor(t, nil)
	g := serve(t, "health: {probe: 1s}\nproviders:\n"+a.provider("a", "key-of-a")+
		strings.Replace(b.provider("b", "key-of-b"), "api_key", "health: {probe: off}, api_key", 1)+
		"models:\n  m: {targets: [{target: a/vendor-m, price: {input: 1, output: 2}}, b/vendor-m], strategy: ordered}\n")
	a.call(2)
	for _, c := range a.journal() {
		var body struct {
			Model     string
			MaxTokens int `json:"max_tokens"`
			Messages  []struct{ Role, Content string }
		}
		if err := json.Unmarshal(c.body, &body); err != nil || c.path != "/v1/chat/completions" || body.Model != "vendor-m" || body.MaxTokens != 16 || len(body.Messages) != 1 {
			t.Errorf("a probe: got %s %s, want a small chat", c.path, c.body)
		}
		if c.header.Get("Authorization") != "Bearer key-of-a" {
			t.Errorf("a probe's credential: got %v", c.header)
		}
	}
	if n := b.count(); n != 0 {
		t.Errorf("probes of a provider without: got %d, want 0", n)
	}
	if r := g.chat("m"); r.status != 200 {
		t.Fatalf("a client's request: got %s", r)
	}
	g.stop()
	code, out, errs := run(t, g.dir, "", nil, "usage", "-c", g.file, "--data", g.data, "--by", "op", "-o", "json")
	type row struct {
		Op       string
		Requests int
		Nano     int64 `json:"cost_nano_usd"`
	}
	var rep struct {
		Rows  []row
		Total row
	}
	if err := json.Unmarshal([]byte(out), &rep); err != nil || code != 0 {
		t.Fatalf("usage: %d %v %s", code, err, errs)
	}
	const each = 5*1000 + 7*2000 // nano-USD: what the vendor counts, by the price
	got := map[string]row{}
	for _, x := range rep.Rows {
		got[x.Op] = x
	}
	if x := got["probe"]; x.Requests != 0 || x.Nano < 2*each || x.Nano%each != 0 {
		t.Errorf("probes in the ledger: got %+v, want their cost and no request", x)
	}
	if x := got["chat"]; x.Requests != 1 || x.Nano != each || rep.Total.Requests != 1 {
		t.Errorf("requests in the ledger: got %+v of %+v, want 1", x, rep.Total)
	}
}

// TestProbeBringsBack: a dead target is brought back by the gateway's own probe;
// no client's request finds out.
func TestProbeBringsBack(t *testing.T) {
	ill := true
	var mu sync.Mutex
	p := newPair(t, func(c *call) {
		mu.Lock()
		bad := ill
		mu.Unlock()
		if bad {
			c.answer(500, `{"error":{"message":"down"}}`)
			return
		}
		c.whole("from A")
	}, "health: {probe: 60s}\nbreaker: {failures: 1}\n")
	probe := func(c *call) bool { return strings.Contains(string(c.body), "Say ok.") }
	p.chat("m")
	clients := 1
	mu.Lock()
	ill = false
	mu.Unlock()
	eventually(t, "the breaker closes", func() bool {
		p.chat("m")
		return p.target("a/vendor-m").State == "closed"
	})
	probes := 0
	for _, c := range p.a.journal() {
		if probe(c) {
			probes++
		} else if probes == 0 {
			clients--
		}
	}
	if probes != 1 || clients != 0 {
		t.Errorf("before it came back A saw %d probes and %d more clients' calls than the first, want 1 and 0", probes, -clients)
	}
}

// TestRegions: a region is lost and comes back.
func TestRegions(t *testing.T) {
	t.Parallel()
	down := false
	var mu sync.Mutex
	set := func(d bool) { mu.Lock(); down = d; mu.Unlock() }
	eu := newVendor(t, func(c *call) {
		mu.Lock()
		d := down
		mu.Unlock()
		if d {
			c.answer(503, `{"error":{"message":"region down"}}`)
			return
		}
		c.whole("from eu")
	})
	us := newVendor(t, func(c *call) { c.whole("from us") })
	in := func(v *vendor, name string) string {
		return strings.Replace(v.provider(name, "key-of-"+name), "api_key", "region: "+name+", api_key", 1)
	}
	g := serve(t, "regions: [eu, us]\nhealth: {hold: 2s, slow_start: 2s, probe: 1s}\nbreaker: {failures: 2}\nproviders:\n"+in(us, "us")+in(eu, "eu")+
		"models:\n  m: {targets: [us/vendor-m, eu/vendor-m]}\n")
	who := func() string {
		t.Helper()
		r := g.chat("m")
		if r.status != 200 {
			t.Errorf("a request: got %s, want an answer", r)
		}
		return r.header.Get("X-Sluice-Target")
	}
	for range 5 {
		if w := who(); w != "eu/vendor-m" {
			t.Errorf("all well: answered by %s, want the nearest region", w)
		}
	}
	eventually(t, "a connection to the next region", func() bool {
		now, _ := us.Open()
		return now > 0
	})
	set(true)
	for range 20 {
		if w := who(); w != "us/vendor-m" {
			t.Errorf("region lost: answered by %s, want the next region", w)
		}
	}
	set(false)
	eventually(t, "the nearer region is well", func() bool { return g.target("eu/vendor-m").State == "closed" })
	back := time.Now()
	plan := string(g.post("/gateway/route", `{"model":"m",`+hello+`}`).body)
	if first := strings.Index(plan, "us/vendor-m"); first < 0 || strings.Index(plan, "eu/vendor-m") < first || !strings.Contains(plan, "a farther one goes first") {
		t.Errorf("plan: got %s, want us first, and why", plan)
	}
	if w := who(); w != "us/vendor-m" && time.Since(back) < time.Second {
		t.Errorf("just back: answered by %s, want the farther region for a while", w)
	}
	eventually(t, "the nearer region takes its traffic back", func() bool {
		for range 20 {
			if who() != "eu/vendor-m" {
				return false
			}
		}
		return true
	})
	if since := time.Since(back); since < 2*time.Second {
		t.Errorf("it took its traffic back after %v, want 2 s at least", since)
	}
}

// TestRegionRefused: regions that the list does not have are an error with a
// position.
func TestRegionRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/sluice.yaml", "regions: [eu, us]\nproviders:\n  a: {kind: openai, api_key: k, region: ue}\nmodels: {m: a/x}\n")
	code, out, errs := run(t, dir, "", nil, "check")
	if want := `sluice.yaml:3:41: providers.a.region is "ue", which regions does not name: add it there`; code != 1 || !strings.Contains(out+errs, want) {
		t.Errorf("check: got %d %s%s, want %s", code, out, errs, want)
	}
}

// TestLastResort: where every target is dead one request a second finds out, the
// others are told when.
func TestLastResort(t *testing.T) {
	t.Parallel()
	a := newVendor(t, func(c *call) { c.answer(500, `{"error":{"message":"down"}}`) })
	g := serve(t, "breaker: {failures: 1, cooldown: 1h}\nretry: {attempts: 1}\nproviders:\n"+a.provider("a", "k")+"models: {m: a/vendor-m}\n")
	statuses := map[string]int{}
	begin := time.Now()
	for time.Since(begin) < 3500*time.Millisecond {
		r := g.chat("m")
		statuses[fmt.Sprint(r.status, " ", r.code())]++
		if r.status == http.StatusServiceUnavailable && (r.header.Get("Retry-After") != "1" || r.header.Get("X-Should-Retry") != "false") {
			t.Fatalf("refused: got %s, want Retry-After: 1 and x-should-retry: false", r)
		}
	}
	seconds := int(time.Since(begin)/time.Second) + 1
	if n := a.count(); n < 2 || n > seconds+1 {
		t.Errorf("calls in %d s: got %d, want about one a second; %v", seconds, n, statuses)
	}
}
