package blackbox

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
)

// splitReport is a split of /gateway/status.
type splitReport struct {
	Model  string
	Sticky string
	Arms   []struct {
		Model            string
		Share            float64
		Requests, Errors int64
		Cost             *int64 `json:"cost_nano_usd"`
		Output           int64  `json:"tokens_out"`
		Flags            map[string]int64
		Latency          struct{ P50, P95 float64 } `json:"latency_ms"`
	}
	Shadow *struct {
		Requests, Errors, Running int64
		Full                      int64 `json:"dropped_full"`
		Ties                      int64
	}
	Canary *struct {
		State   string
		Step    int
		Share   float64
		History []struct{ Reason string }
	}
}

// split returns what is told of the first split.
func (g *gateway) split(header ...string) (x splitReport) {
	g.t.Helper()
	var s struct{ Splits []splitReport }
	if r := g.get("/gateway/status", header...); json.Unmarshal(r.body, &s) != nil || len(s.Splits) == 0 {
		g.t.Fatalf("no split in the status: %s", r)
	}
	return s.Splits[0]
}

// Users keep to the arm that they drew, over reloads and restarts; the arms get
// their shares, and the status tells what each did.
func TestSplit(t *testing.T) {
	t.Parallel()
	a, b := newVendor(t, func(c *call) { c.whole("from A") }), newVendor(t, func(c *call) { c.whole("from B") })
	yaml := "admin: {key: operator-key}\nkeys: [{name: me, key: client-key}]\nproviders:\n" + a.provider("a", "k") + b.provider("b", "k") + `models:
  old: {targets: [{target: a/m, price: {input: 1, output: 2}}]}
  new: {targets: [{target: b/m, price: {input: 1, output: 2}}]}
  chat: {split: {arms: [{model: old, weight: 3}, {model: new}]}}
`
	g := serve(t, yaml)
	ask := func(user string) *reply {
		return g.post("/v1/chat/completions", fmt.Sprintf(`{"model":"chat","user":%q,%s}`, user, hello), "Authorization", "Bearer client-key")
	}
	const users = 300
	home := map[string]string{}
	for i := range users {
		u := fmt.Sprint("user-", i)
		r := ask(u)
		if home[u] = r.header.Get("X-Sluice-Model"); r.status != 200 || r.header.Get("X-Sluice-Strategy") != "split" || r.header.Get("X-Sluice-Fallback-From") != "" {
			t.Fatalf("got %s", r)
		}
	}
	if share := float64(b.count()) / users; math.Abs(share-0.25) > 0.1 {
		t.Errorf("the arm with a quarter of the weight has a share of %.2f", share)
	}
	if r := g.post("/admin/v1/reload", "", "Authorization", "Bearer operator-key"); r.status != 200 {
		t.Fatalf("reload: %s", r)
	}
	for u, want := range home {
		if got := ask(u).header.Get("X-Sluice-Model"); got != want {
			t.Fatalf("%s moved from %s to %s", u, want, got)
		}
	}
	var x splitReport
	eventually(t, "all requests in the status", func() bool {
		x = g.split("Authorization", "Bearer operator-key")
		return x.Arms[0].Requests+x.Arms[1].Requests == 2*users
	})
	if x.Arms[0].Requests != int64(a.count()) || x.Arms[1].Requests != int64(b.count()) || x.Arms[0].Errors+x.Arms[1].Errors != 0 {
		t.Errorf("status: got %+v; the vendors saw %d and %d", x.Arms, a.count(), b.count())
	}
	if x.Arms[1].Share != 0.25 || x.Arms[1].Output == 0 || x.Arms[1].Cost == nil || *x.Arms[1].Cost == 0 || x.Arms[1].Latency.P95 == 0 {
		t.Errorf("status of the new arm: got %+v", x.Arms[1])
	}
	if y := g.split("Authorization", "Bearer client-key"); y.Arms[0].Cost != nil || y.Arms[0].Requests == 0 {
		t.Errorf("a client is told %+v", y.Arms[0])
	}
	if g.post("/admin/v1/splits/chat/reset", "", "Authorization", "Bearer client-key").status != 403 {
		t.Error("a client may give orders")
	}
	id := ask("user-1").id()
	eventually(t, "the arm in the record", func() bool {
		var rec struct{ Arm string }
		_ = json.Unmarshal(g.get("/gateway/requests/"+id, "Authorization", "Bearer client-key").body, &rec)
		return rec.Arm == home["user-1"]
	})
	if l := g.logged(id); l["arm"] != home["user-1"] {
		t.Errorf("access log: got %v, want the arm %s", l, home["user-1"])
	}
	g.stop()
	g = g.restart()
	for u, want := range home {
		if got := ask(u).header.Get("X-Sluice-Model"); got != want {
			t.Fatalf("after a restart %s moved from %s to %s", u, want, got)
		}
	}
}

// An arm that cannot answer is answered for by the other one, which is told, and
// counted as the first one's error.
func TestSplitFallsBack(t *testing.T) {
	t.Parallel()
	a, b := newVendor(t, func(c *call) { c.answer(500, boom) }), newVendor(t, func(c *call) { c.whole("from B") })
	g := serve(t, "providers:\n"+a.provider("a", "k")+b.provider("b", "k")+"models:\n  chat: {split: {arms: [{model: a/m}, {model: b/m}], sticky: off}}\n")
	told := int64(0)
	for range 40 {
		r := g.chat("chat")
		if r.status != 200 || !strings.Contains(string(r.body), "from B") {
			t.Fatalf("got %s", r)
		}
		switch from := r.header.Get("X-Sluice-Fallback-From"); from {
		case "a/m":
			told++
		case "":
		default:
			t.Errorf("fallback from %q", from)
		}
	}
	var x splitReport
	eventually(t, "all requests in the status", func() bool { x = g.split(); return x.Arms[0].Requests+x.Arms[1].Requests == 40 })
	if told == 0 || x.Arms[0].Errors != told || x.Arms[0].Requests != told || x.Arms[1].Errors != 0 {
		t.Errorf("%d answers say that they are in the place of a/m; status %+v", told, x.Arms)
	}
}

// The client has its whole answer while the shadow's vendor has not begun its own;
// then both are in one record, and in the ledger when the process is stopped in
// the middle.
func TestShadow(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	a := newVendor(t, func(c *call) { c.whole("from A") })
	slow := newVendor(t, func(c *call) { <-free; c.whole("from the shadow") })
	t.Cleanup(func() { close(free) })
	g := serve(t, "drain: 1s\nproviders:\n"+a.provider("a", "k")+slow.provider("slow", "k")+"models:\n  chat: {split: {arms: [{model: a/m}], shadow: {model: slow/m, share: 1, concurrent: 2}}}\n")
	for _, stream := range []bool{false, true} {
		ask, other := g.chat, slow.count()
		if stream {
			ask = g.stream
		}
		r := ask("chat")
		if r.status != 200 || r.err != nil || !strings.Contains(string(r.body), "A") {
			t.Fatalf("got %s", r)
		}
		c := slow.call(other + 1)
		if strings.Contains(string(r.body), "shadow") || !strings.Contains(string(c.body), "Hello") {
			t.Errorf("stream %v: the shadow was asked %s", stream, c.body)
		}
		if rec := g.get("/gateway/requests/" + r.id()); rec.status != 404 {
			t.Errorf("stream %v: the request is settled before its shadow: %s", stream, rec)
		}
		if !stream {
			free <- struct{}{}
			if m := g.marked(r.id()); len(m.Attempts) != 2 || m.Attempts[1].Note != "shadow" || m.Attempts[1].Outcome != "ok" || m.Attempts[1].Target != "slow/m" {
				t.Errorf("attempts: got %+v", m.Attempts)
			}
		}
	}
	g.chat("chat")
	slow.call(3)
	dropped := g.chat("chat") // two are under way
	if m := g.marked(dropped.id()); len(m.Attempts) != 1 {
		t.Errorf("attempts of a request whose copy was dropped: got %+v", m.Attempts)
	}
	if x := g.split(); x.Shadow.Requests != 1 || x.Shadow.Full != 1 || x.Shadow.Ties != 1 {
		t.Errorf("status: got %+v", x.Shadow)
	}
	g.stop()
	code, out, errs := run(t, g.dir, "", nil, "usage", "-c", g.file, "--data", g.data, "--by", "model", "-o", "json")
	var use struct {
		Total struct{ Requests int }
	}
	if err := json.Unmarshal([]byte(out), &use); code != 0 || err != nil || use.Total.Requests != 4 {
		t.Errorf("usage: exit %d, %s %s; want 4 requests", code, out, errs)
	}
}

// A canary that fails is rolled back by itself, gets nothing any more, and begins
// anew by the operator's order.
func TestCanary(t *testing.T) {
	t.Parallel()
	told := newVendor(t, func(c *call) { c.answer(200, "{}") })
	a, b := newVendor(t, func(c *call) { c.whole("from A") }), newVendor(t, func(c *call) { c.answer(500, boom) })
	g := serve(t, "breaker: {failures: 0, success_rate: 0}\nproviders:\n"+a.provider("a", "k")+b.provider("b", "k")+`models:
  chat: {split: {arms: [{model: a/m}, {model: b/m}], sticky: off, canary: {arm: b/m, steps: [30, 100], webhook: "http://`+told.addr()+`/canary"}}}
`)
	for i := 0; g.split().Canary.State == "running"; i++ {
		if r := g.chat("chat"); r.status != 200 || i == 400 {
			t.Fatalf("after %d requests: got %s", i, r)
		}
	}
	if n := b.count(); n < 20 || n > 40 {
		t.Errorf("the canary was asked %d times until it was rolled back, want a few more than 20", n)
	}
	before := b.count()
	for range 30 {
		g.chat("chat")
	}
	x := g.split()
	if b.count() != before || x.Canary.State != "rolled_back" || x.Canary.Share != 0 || x.Arms[1].Share != 0 || len(x.Canary.History) != 1 {
		t.Errorf("%d calls after the rollback; status %+v", b.count()-before, x)
	}
	g.line(`"msg":"the share of a canary changes".*"state":"rolled_back".*"canary_bad"`)
	if body := string(told.call(1).body); !strings.Contains(body, `"canary_rolled_back"`) || !strings.Contains(body, `"control"`) {
		t.Errorf("the webhook was told %s", body)
	}
	order := func(verb string) *reply { return do(t, http.MethodPost, g.url+"/admin/v1/splits/chat/"+verb, "") }
	if r := order("promote"); r.status != 400 {
		t.Errorf("promoting what was rolled back: got %s", r)
	}
	if r := order("reset"); r.status != 200 || g.split().Canary.Share != 0.3 {
		t.Errorf("reset: got %s", r)
	}
	if r := order("promote"); r.status != 200 || g.split().Canary.Share != 1 {
		t.Errorf("promote: got %s", r)
	}
	if r := order("rollback"); r.status != 200 || g.split().Canary.Share != 0 {
		t.Errorf("rollback: got %s", r)
	}
	if r := do(t, http.MethodPost, g.url+"/admin/v1/splits/none/reset", ""); r.status != 404 {
		t.Errorf("an order to a split that is none: got %s", r)
	}
	g.stop()
	g = g.restart()
	if x := g.split(); x.Canary.State != "rolled_back" || x.Canary.Share != 0 || len(x.Canary.History) != 4 {
		t.Errorf("after a restart: got %+v", x.Canary)
	}
}

// A canary whose answers come but are of no use is rolled back, too, by what gates
// find in all of its answers and by what clients say.
func TestCanaryByWhatItSays(t *testing.T) {
	t.Parallel()
	a, b := newVendor(t, func(c *call) { c.whole(`{\"ok\":true}`) }), newVendor(t, func(c *call) { c.whole("no JSON") })
	g := serve(t, "quality: {eject: false}\nproviders:\n"+a.provider("a", "k")+b.provider("b", "k")+`models:
  chat: {split: {arms: [{model: a/m}, {model: b/m}], sticky: off, canary: {arm: b/m, steps: [40, 100]}}}
  talk: {split: {arms: [{model: a/m}, {model: b/n}], sticky: off, canary: {arm: b/n, steps: [40, 100]}}}
`)
	ask := func(model, more string) *reply {
		return g.post("/v1/chat/completions", `{"model":"`+model+`",`+more+hello+`}`)
	}
	for i := 0; g.split().Canary.State == "running"; i++ {
		if r := ask("chat", `"response_format":{"type":"json_object"},`); r.status != 200 || i == 400 {
			t.Fatalf("after %d requests: got %s, split %+v", i, r, g.split())
		}
	}
	x := g.split()
	if n := x.Arms[1].Requests; n < 20 || n > 60 || x.Arms[1].Errors != 0 || x.Arms[1].Flags["invalid_json"] < 15 || x.Arms[0].Flags["invalid_json"] != 0 {
		t.Errorf("rolled back with %+v", x.Arms)
	}
	talk := func() splitReport {
		var s struct{ Splits []splitReport }
		_ = json.Unmarshal(g.get("/gateway/status").body, &s)
		return s.Splits[1]
	}
	for i := 0; talk().Canary.State == "running"; i++ {
		r := ask("talk", "")
		g.record(r.id())
		if strings.HasPrefix(r.header.Get("X-Sluice-Target"), "b/") {
			g.post("/gateway/feedback", `{"request_id":"`+r.id()+`","score":-1}`)
		}
		if i == 400 {
			t.Fatalf("what clients say is not heard: %+v", talk())
		}
	}
}
