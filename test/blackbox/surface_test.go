package blackbox

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// names is a gateway with every kind of name.
func names(t *testing.T) (*gateway, *vendor, *vendor) {
	t.Helper()
	a, b := newVendor(t, func(c *call) { c.whole("from A") }), newVendor(t, func(c *call) { c.whole("from B") })
	return serve(t, "providers:\n"+a.provider("a", "ka")+b.provider("b", "kb")+`
default_model: plain
models:
  plain: a/vendor-plain
  aliased: {targets: [{target: a/vendor-aliased}], aliases: [other-name]}
  fam-*: a/family-*
  fam-long-*: b/long-*
  pooled: {targets: [{target: plain, weight: 1}, {target: b/x, weight: 0.000001}], strategy: ordered}
  backed: {targets: [{target: a/fails}], fallback: [plain]}
  tuned: {targets: [{target: a/tuned}], params: {default: {temperature: 0.25}, drop: [logit_bias], set: {seed: 7}}}
`), a, b
}

func TestNames(t *testing.T) {
	t.Parallel()
	g, a, b := names(t)
	last := func(v *vendor) string { return v.call(v.count()).model }
	for _, x := range []struct {
		asked string
		v     *vendor
		want  string
	}{
		{"plain", a, "vendor-plain"}, {"other-name", a, "vendor-aliased"}, {"fam-x", a, "family-x"}, {"fam-long-y", b, "long-y"},
		{"a/any/thing", a, "any/thing"}, {"b/z", b, "z"}, {"pooled", a, "vendor-plain"},
	} {
		if r := g.chat(x.asked); r.status != 200 || last(x.v) != x.want {
			t.Errorf("%s: got %s and %q at the vendor, want %q", x.asked, r, last(x.v), x.want)
		}
	}
	if r := g.post("/v1/chat/completions", `{`+hello+`}`); r.status != 200 || last(a) != "vendor-plain" {
		t.Errorf("no model: got %s and %q at the vendor, want default_model's", r, last(a))
	}
	r := g.chat("plian")
	if r.status != 404 || r.code() != "model_not_found" || !strings.Contains(string(r.body), "plain") {
		t.Errorf("a misspelt name: got %s, want 404 with the nearest", r)
	}
	for _, prefix := range []string{"/v1", "", "/openai/v1"} {
		if r := g.post(prefix+"/chat/completions", `{"model":"plain",`+hello+`}`); r.status != 200 {
			t.Errorf("%s/chat/completions: got %s, want 200", prefix, r)
		}
		for _, id := range []string{"plain", "other-name", "a/b/c", url.PathEscape("a/b/c")} {
			var m struct{ ID string }
			r := g.get(prefix + "/models/" + id)
			if err := json.Unmarshal(r.body, &m); err != nil || r.status != 200 || m.ID != strings.ReplaceAll(id, "%2F", "/") {
				t.Errorf("%s/models/%s: got %s", prefix, id, r)
			}
		}
		if r := g.get(prefix + "/models"); r.status != 200 || !strings.Contains(string(r.body), `"plain"`) {
			t.Errorf("%s/models: got %s", prefix, r)
		}
	}
	for path, want := range map[string]string{ // Azure's clients: the path names the model, whatever the body says
		"/openai/deployments/plain/chat/completions?api-version=2024-10-21":                     "vendor-plain",
		"/openai/deployments/a/any/thing/chat/completions":                                      "any/thing",
		"/openai/deployments/" + url.PathEscape("a/any/thing") + "/chat/completions":            "any/thing",
		"/openai/deployments/fam-x/chat/completions?api-version=2025-01-01-preview&extra=1%2F2": "family-x",
	} {
		for _, body := range []string{`{` + hello + `}`, `{"model":"pooled",` + hello + `}`} {
			if r := g.post(path, body, "Api-Key", "any"); r.status != 200 || last(a) != want {
				t.Errorf("%s: got %s and %q at the vendor, want %q", path, r, last(a), want)
			}
		}
	}
	for path, status := range map[string]int{"/openai/deployments/nothing-at-all/chat/completions": 404, "/openai/deployments/plain/other": 404, "/openai/deployments/a%0Ab/chat/completions": 400} {
		if r := g.post(path, `{`+hello+`}`); r.status != status {
			t.Errorf("%s: got %s, want %d", path, r, status)
		}
	}
	if r := g.get("/v1/models/nothing-at-all"); r.status != 404 {
		t.Errorf("an unknown model: got %s, want 404", r)
	}
}

func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	g, a, _ := names(t)
	r := g.chat("plain")
	h := r.header
	if r.id() == "" || h.Get("Request-Id") != r.id() || h.Get("X-Sluice-Model") != "plain" || h.Get("X-Sluice-Target") != "a/vendor-plain" ||
		h.Get("X-Sluice-Attempts") != "1" || h.Get("X-Sluice-Strategy") == "" || h.Get("X-Sluice-Cost-Usd") == "" {
		t.Errorf("headers: got %v", h)
	}
	for _, part := range []string{"admit", "route", "queue", "upstream", "gateway"} {
		if !strings.Contains(h.Get("Server-Timing"), part+";dur=") {
			t.Errorf("Server-Timing: got %q, want %s in it", h.Get("Server-Timing"), part)
		}
	}
	if string(r.body) != completion("from A") {
		t.Errorf("body: got %s, want what the vendor sent", r.body)
	}
	a.script = func(c *call) {
		if c.model == "fails" {
			c.answer(500, "{}")
		} else {
			c.whole("from A")
		}
	}
	r = g.chat("backed")
	if r.status != 200 || r.header.Get("X-Sluice-Fallback-From") != "backed" || r.header.Get("X-Sluice-Model") != "plain" {
		t.Errorf("a fallback: got %s, want x-sluice-fallback-from: backed and x-sluice-model: plain", r)
	}
	// CONTRACT: x-ratelimit-… are the key's own; without limits there are none.
	if v := r.header.Get("X-Ratelimit-Limit-Requests"); v != "" {
		t.Errorf("x-ratelimit-limit-requests without a limit: %q", v)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	g, a, _ := names(t)
	sent := func(body string) string {
		t.Helper()
		if r := g.post("/v1/chat/completions", body); r.status != 200 {
			t.Fatalf("%s: %s", body, r)
		}
		return string(a.call(a.count()).body)
	}
	if got, want := sent(`{"context":{"budget":"low"},"model":"plain",`+hello+`}`), `{"model":"vendor-plain",`+hello+`}`; got != want {
		t.Errorf("the gateway's own object: got %s, want %s", got, want)
	}
	got := sent(`{"model":"tuned","logit_bias":{"1":2},"seed":1,` + hello + `,"x_unknown":[1, 2.50,1e3]}`)
	var v map[string]any
	if err := json.Unmarshal([]byte(got), &v); err != nil || v["temperature"] != 0.25 || v["seed"] != 7.0 || v["logit_bias"] != nil || !strings.Contains(got, `"x_unknown":[1, 2.50,1e3]`) {
		t.Errorf("params: got %s (%v), want temperature 0.25, seed 7, no logit_bias, the rest as it was", got, err)
	}
	if got := sent(`{"model":"tuned","temperature":1,` + hello + `}`); !strings.Contains(got, `"temperature":1,`) {
		t.Errorf("a default where the client has set it: got %s", got)
	}
	// The vendor's answer is not touched, whatever is in it.
	weird := `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"\ud800 \u0000 é 😀 ` + "\u2028" + `"},"finish_reason":"stop"}],"vendor_field":{"b":1,"a":2.50},"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	a.script = func(c *call) { c.answer(200, weird) }
	if r := g.chat("plain"); string(r.body) != weird {
		t.Errorf("answer: got %q, want %q", r.body, weird)
	}
}

func TestRouteTellsWithoutCalling(t *testing.T) {
	t.Parallel()
	g, a, b := names(t)
	r := g.post("/gateway/route", `{"model":"pooled",`+hello+`}`)
	var plan struct {
		Model, Strategy string
		Candidates      []struct{ Target, Model string }
	}
	if err := json.Unmarshal(r.body, &plan); err != nil || plan.Strategy != "ordered" || len(plan.Candidates) != 2 || plan.Candidates[0].Target != "a/vendor-plain" || plan.Candidates[1].Target != "b/x" {
		t.Errorf("decision: got %s (%v)", r, err)
	}
	if a.count()+b.count() != 0 {
		t.Error("a decision called a vendor")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	g, a, _ := names(t)
	g.chat("plain")
	g.stream("plain")
	g.chat("no-such-model-1")
	g.chat("a/free-form-name")
	a.script = func(c *call) { c.answer(500, "{}") }
	g.record(g.chat("pooled").id())
	m := string(g.get("/metrics").body)
	for _, want := range []string{
		"gen_ai_client_operation_duration_seconds", "gen_ai_client_token_usage", "gen_ai_server_time_to_first_token_seconds", "sluice_requests_total{",
		"sluice_attempts_total{", "sluice_overhead_seconds", "sluice_in_flight{", "sluice_breaker_state{", "sluice_failover_seconds", "sluice_cost_usd_total", "sluice_tokens_total{",
		`model="plain"`, `target="a/vendor-plain"`, `model="other"`,
	} {
		if !strings.Contains(m, want) {
			t.Errorf("metrics: no %s", want)
		}
	}
	for _, not := range []string{"no-such-model-1", "free-form-name"} {
		if strings.Contains(m, not) {
			t.Errorf("metrics: %s is a label; names outside the file are \"other\"", not)
		}
	}
}

func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, "limits: {in_flight: 2}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	first, second := begun(t, g.url, "a"), begun(t, g.url, "a")
	r := g.chat("a")
	if r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" || r.header.Get("X-Should-Retry") == "false" {
		t.Errorf("the third at a time: got %s, want 503 overloaded with Retry-After", r)
	}
	close(v.release)
	for _, rest := range []func() (string, error){first, second} {
		if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("a stream: got %q, %v, want it whole", got, err)
		}
	}
	eventually(t, "room", func() bool { return g.chat("a").status == 200 })
}

func TestEmbeddingEncodings(t *testing.T) {
	t.Parallel()
	const floats = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`
	const base64 = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAAPwAAgL8="}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`
	for _, vendorSends := range []string{floats, base64} {
		v := newVendor(t, func(c *call) { c.answer(200, vendorSends) })
		g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {e: a/m}\n")
		for _, x := range []struct{ ask, want string }{{``, "[0.5,-1]"}, {`"encoding_format":"float",`, "[0.5,-1]"}, {`"encoding_format":"base64",`, `"AAAAPwAAgL8="`}} {
			r := g.post("/v1/embeddings", `{"model":"e",`+x.ask+`"input":"x"}`)
			if r.status != 200 || !strings.Contains(string(r.body), `"embedding":`+x.want) {
				t.Errorf("asked with %q, vendor sent %.120s: got %s, want %s", x.ask, vendorSends, r, x.want)
			}
		}
	}
}
