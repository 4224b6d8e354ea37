package blackbox

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What holds of models that choose, whatever is asked.

// many asks n times, some at once; body makes the i-th request. It returns the
// answers in order.
func (g *gateway) many(n int, path string, body func(i int) string, header ...string) []*reply {
	g.t.Helper()
	out := make([]*reply, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				r, err := try(http.MethodPost, g.url+path, body(i), header...)
				if err != nil {
					g.t.Errorf("request %d: %v", i, err)
					r = &reply{err: err}
				}
				out[i] = r
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// TestSplitConverges: the shares are the weights', within four standard deviations;
// a user stays with an arm; a shadow is asked as often as it should be and
// settled like all else.
func TestSplitConverges(t *testing.T) {
	t.Parallel()
	s := simulate(t, "seed: 4\njournal: 20000\nmodels: {a: {tokens: 5}, b: {tokens: 5}, c: {tokens: 5}, d: {tokens: 5}}\n")
	g := serve(t, fmt.Sprintf(`
log: {level: warn}
providers: {sim: {kind: openai-compatible, base_url: "%s/v1", api_key: vendor-key-0123456789}}
models:
  a: {targets: [{target: sim/a, price: {input: 1, output: 1}}]}
  b: {targets: [{target: sim/b, price: {input: 1, output: 1}}]}
  c: {targets: [{target: sim/c, price: {input: 1, output: 1}}]}
  d: {targets: [{target: sim/d, price: {input: 1, output: 1}}]}
  chat: {split: {arms: [{model: a, weight: 70}, {model: b, weight: 25}, {model: c, weight: 5}], sticky: user}}
  seen: {split: {arms: [{model: a}], shadow: {model: d, share: 0.25, concurrent: 1000, usd_per_day: 1000}}}
`, s.url))
	const n = 2400
	arm := make(map[string]string) // by user
	shares := make(map[string]int)
	user := func(i int) string { return fmt.Sprintf("user-%d", i%(n/2)) } // each comes twice
	for i, r := range g.many(n, "/v1/chat/completions", func(i int) string { return `{"model":"chat","user":"` + user(i) + `",` + hello + `}` }) {
		m := r.header.Get("X-Sluice-Model")
		if r.status != 200 {
			t.Fatalf("got %s", r)
		}
		if was, ok := arm[user(i)]; ok && was != m {
			t.Errorf("%s had %s and now has %s", user(i), was, m)
		} else if !ok {
			shares[m]++
		}
		arm[user(i)] = m
	}
	for m, want := range map[string]float64{"a": 0.70, "b": 0.25, "c": 0.05} {
		got, sd := float64(shares[m])/(n/2), math.Sqrt(want*(1-want)/(n/2))
		if math.Abs(got-want) > 4*sd {
			t.Errorf("the share of %s: got %.3f, want %.3f ± %.3f", m, got, want, 4*sd)
		}
	}

	const shadowed = 800
	for _, r := range g.many(shadowed, "/v1/chat/completions", func(int) string { return `{"model":"seen",` + hello + `}` }) {
		if r.status != 200 || r.header.Get("X-Sluice-Model") != "a" {
			t.Fatalf("got %s", r)
		}
	}
	g.spent(n + shadowed)
	calls := s.journal("d")
	if got, sd := float64(len(calls)), math.Sqrt(shadowed*0.25*0.75); math.Abs(got-shadowed*0.25) > 4*sd {
		t.Errorf("shadow calls: got %v, want %v ± %v", got, shadowed*0.25, 4*sd)
	}
	// All that vendors made is in the ledger, a nano-USD a token times 1,000: shadows
	// too, and no more requests than clients made.
	tokens := 0
	for _, m := range []string{"a", "b", "c", "d"} {
		for _, c := range s.journal(m) {
			tokens += c.Input + c.Output
		}
	}
	rep := g.usage("")
	if rep.Total.Requests != n+shadowed || rep.Total.Nano != int64(tokens)*1000 {
		t.Errorf("the ledger: got %d requests and %d nano-USD, want %d and %d", rep.Total.Requests, rep.Total.Nano, n+shadowed, tokens*1000)
	}
}

// usageReport is what `sluice usage -o json` says.
type usageReport struct {
	Rows []struct {
		Model string
		USD   float64 `json:"cost_usd"`
	}
	Total struct {
		Requests int
		Nano     int64 `json:"cost_nano_usd"`
	}
}

func (g *gateway) usage(by string) (rep usageReport) {
	g.t.Helper()
	args := []string{"usage", "-c", g.file, "--data", g.data, "-o", "json"}
	if by != "" {
		args = append(args, "--by", by)
	}
	code, out, errs := run(g.t, g.dir, "", nil, args...)
	if err := json.Unmarshal([]byte(out), &rep); code != 0 || err != nil {
		g.t.Fatalf("sluice usage: exit %d: %s%s", code, out, errs)
	}
	return rep
}

// everyGate is all that a streamed answer in words can be judged by.
const everyGate = `[complete, not_truncated, not_refused, no_echo, no_loops, right_language, arithmetic]`

var created = regexp.MustCompile(`("(?:created|created_at|completed_at)":)\d+`)

// TestGatedStreams: a stream that passes its gates is, byte for byte, the one that
// nobody judged, in each protocol and through each.
func TestGatedStreams(t *testing.T) {
	t.Parallel()
	const sim = "seed: 11\nmodels: {m: {latency: 1ms, tokens: 60, spread: 30, tokens_per_second: 4000, cache: 5m}}\n"
	// Two simulators of one seed: the n-th answer of one is that of the other.
	plain, gated := simulate(t, sim), simulate(t, sim)
	var providers, models strings.Builder
	for _, v := range []string{"openai", "anthropic", "gemini"} {
		fmt.Fprintf(&providers, "  %[1]s-plain: {kind: %[1]s, base_url: %[2]q, api_key: vendor-key-0123456789}\n  %[1]s-gated: {kind: %[1]s, base_url: %[3]q, api_key: vendor-key-0123456789}\n", v, plain.url, gated.url)
		fmt.Fprintf(&models, "  %[1]s-plain: %[1]s-plain/m\n  %[1]s-gated: {targets: [{target: %[1]s-gated/m}], accept: %[2]s}\n", v, everyGate)
	}
	g := serve(t, "log: {level: warn}\nproviders:\n"+providers.String()+"models:\n"+models.String())
	for _, c := range []struct{ name, vendor, path, body string }{
		{"chat", "openai", "/v1/chat/completions", `{"model":"%s","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}]}`},
		{"responses", "", "/v1/responses", `{"model":"%s","stream":true,"input":%q}`},
		{"anthropic", "anthropic", "/v1/messages", `{"model":"%s","stream":true,"max_tokens":4000,"messages":[{"role":"user","content":%q}]}`},
		{"gemini", "gemini", "/v1beta/models/%s:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":%[2]q}]}]}`},
	} {
		for _, v := range []string{"openai", "anthropic", "gemini"} {
			for i := range 12 {
				prompt := fmt.Sprintf("Please tell me something about the number %d, and why people like it so much.", i)
				ask := func(model string) *reply {
					path := c.path
					if strings.Contains(path, "%s") {
						path = fmt.Sprintf(path, model)
					}
					return g.post(path, fmt.Sprintf(c.body, model, prompt))
				}
				a, b := ask(v+"-plain"), ask(v+"-gated")
				strip := func(r *reply) string {
					text := created.ReplaceAllString(string(r.body), "${1}0")
					text = strings.ReplaceAll(text, "event: ping\ndata: {\"type\":\"ping\"}\n\n", "") // before content, one that comes alone is nobody's
					if c.vendor != v {                                                                // a translated stream has ids of its own, and begins with the tokens that are known by then
						text = startUsage.ReplaceAllString(anyID.ReplaceAllString(text, `"ID"`), "$1")
					}
					return text
				}
				if a.status != 200 || a.err != nil || b.status != 200 || b.err != nil || strip(a) != strip(b) {
					x, y := strip(a), strip(b)
					n := 0
					for n < min(len(x), len(y)) && x[n] == y[n] {
						n++
					}
					t.Fatalf("%s at %s, prompt %d, status %d and %d: the streams differ from byte %d:\n%s\n\n%s", c.name, v, i, a.status, b.status, n, head(x[max(0, n-100):], 400), head(y[max(0, n-100):], 400))
				}
			}
		}
	}
}

// startUsage is the usage that an Anthropic stream begins with.
var startUsage = regexp.MustCompile(`(?m)^(data: \{"type":"message_start".*)"usage":.*$`)

// anyID is an id of the gateway's own, which no two requests share.
var anyID = regexp.MustCompile(`"(?:chatcmpl|resp|msg|rs|fc|call|gen)[-_][0-9A-Za-z_-]{10,}"`)

func head(s string, n int) string { return s[:min(n, len(s))] }

// planned is what /gateway/route says.
type planned struct {
	Candidates []planLine `json:"candidates"`
	Excluded   []planLine `json:"excluded"`
}

type planLine struct {
	Model  string `json:"model"`
	Target string `json:"target"`
	Reason string `json:"reason"`
}

func (g *gateway) plan(body string, header ...string) planned {
	g.t.Helper()
	r := g.post("/gateway/route", body, header...)
	var p planned
	if err := json.Unmarshal(r.body, &p); err != nil || r.status != 200 {
		g.t.Fatalf("route: %v: %s", err, r)
	}
	return p
}

// TestRouteIsDone: the candidates of /gateway/route, in their order, are the
// attempts of a request that nobody answers.
func TestRouteIsDone(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0") // whom nobody hears costs no retry budget
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	g := serve(t, fmt.Sprintf(`
log: {level: warn}
breaker: {failures: 0, success_rate: 0}
retry: {attempts: 1}
health: {eject: 0}
providers: {sim: {kind: openai-compatible, base_url: "http://%s/v1", api_key: vendor-key-0123456789}}
models:
  a: {targets: [{target: sim/a, price: {input: 9, output: 9}}], capabilities: {coding: 0.9, math: 0.2}}
  b: {targets: [{target: sim/b, price: {input: 1, output: 1}}], capabilities: {coding: 0.5, math: 0.9}}
  c: {targets: [{target: sim/c, price: {input: 3, output: 3}}], capabilities: {coding: 0.7, math: 0.5}}
  d: {targets: [{target: sim/d, price: {input: 0.1, output: 0.1}}], capabilities: {coding: 0.1, math: 0.1}}
  auto: {auto: {models: [a, b, c], prefer: balanced}, fallback: [d]}
  rules: {auto: {models: [a, b, c]}, classifier: rules}
  best: {auto: {models: [a, b, c, d], quality: 1}}
  split: {split: {arms: [{model: a, weight: 50}, {model: b, weight: 30}, {model: c, weight: 20}]}, fallback: [d]}
  careful: {cascade: {models: [d, c, a], accept: [complete]}}
  nested: {cascade: {models: [d, auto], accept: [complete]}}
  twice: {auto: {models: [a, b, c]}, fallback: [b, d]}
`, nobody.Addr()))
	prompts := []string{
		"Write a Go function that reverses a string.", "What is 17 times 23?", "Tell me a story about a river.",
		"Translate 'good morning' into French.", "Prove that the square root of two is irrational.", "Fix this bug: for i := 0; i <= len(a); i++ { sum += a[i] }",
	}
	for _, m := range []string{"auto", "rules", "best", "split", "careful", "nested", "twice"} {
		orders := make(map[string]bool)
		for i, p := range prompts {
			for _, context := range []string{"", `,"context":{"budget":"low"}`, `,"context":{"task":"math","latency_critical":true}`} {
				body := fmt.Sprintf(`{"model":%q,"user":"user-%d","messages":[{"role":"user","content":%q}]%s}`, m, i, p, context)
				var want, got []string
				for _, c := range g.plan(body).Candidates {
					want = append(want, c.Target)
				}
				r := g.post("/v1/chat/completions", body)
				if r.status == 200 {
					t.Fatalf("everybody fails, and yet: %s", r)
				}
				for _, a := range g.record(r.id()).Attempts {
					got = append(got, a.Target)
				}
				if len(want) < 3 || len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
					t.Errorf("%s on %q%s: route says %v, the attempts were %v", m, p, context, want, got)
				}
				orders[strings.Join(want, " ")] = true
			}
		}
		if (m == "auto" || m == "split") && len(orders) < 2 {
			t.Errorf("%s: always the same order, %v: this proves little", m, orders)
		}
	}
}

// ability is what a target of the filters' test can do, by the catalog.
type ability struct {
	tools, schema, image bool
	context              int // tokens
	region               string
}

// abilities are by provider and model.
var abilities = map[string]ability{
	"us/gpt-4o":        {tools: true, schema: true, image: true, context: 128000, region: "us"},
	"us/gpt-4":         {tools: true, context: 8192, region: "us"},
	"eu/gpt-3.5-turbo": {tools: true, context: 16385, region: "eu"},
	"eu/o3-mini":       {tools: true, schema: true, context: 200000, region: "eu"},
}

// wrongs are what a call asks of a target that it must not be asked.
func wrongs(c *call) string {
	var body struct {
		Format *struct{ Type string } `json:"response_format"`
		Tools  []json.RawMessage
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		return "its body is no JSON: " + err.Error()
	}
	provider := "us"
	if strings.Contains(c.header.Get("Authorization"), "eu-key") {
		provider = "eu"
	}
	id, text := provider+"/"+c.model, string(c.body)
	can, ok := abilities[id]
	switch {
	case !ok:
		return "nobody knows " + id
	case len(body.Tools) > 0 && !can.tools:
		return id + " has no tools"
	case body.Format != nil && body.Format.Type == "json_schema" && !can.schema:
		return id + " keeps to no schema"
	case strings.Contains(text, `"image_url"`) && !can.image:
		return id + " sees nothing"
	case len(text)/4 > can.context+1000: // four bytes a token is what English has, and the frame is small
		return fmt.Sprintf("%s has a context of %d tokens, and the body %d bytes", id, can.context, len(text))
	case strings.Contains(text, "in Europe") && can.region != "eu":
		return id + " is not in Europe"
	case strings.Contains(text, "be cheap") && id == "us/gpt-4":
		return id + " costs more than max_cost"
	}
	return ""
}

// TestFilters: whatever is asked, and whoever fails, nobody is asked what it cannot
// answer or must not be asked: not first, not as a fallback, not as a hedge. And
// /gateway/route says of everybody whether it is a candidate, or why it is not.
func TestFilters(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.n%5 < 2 {
			c.answer(503, `{"error":{"message":"overloaded","type":"server_error"}}`)
			return
		}
		c.whole("ok")
	})
	url := "http://" + v.addr() + "/v1"
	g := serve(t, fmt.Sprintf(`
log: {level: warn}
breaker: {failures: 0, success_rate: 0}
retry: {budget: 1}
health: {eject: 0}
hedge: {after: 20ms, budget: 1}
providers:
  us: {kind: openai, base_url: %[1]q, api_key: us-key-0123456789, region: us}
  eu: {kind: openai, base_url: %[1]q, api_key: eu-key-0123456789, region: eu}
models:
  4o: us/gpt-4o
  4: us/gpt-4
  35: eu/gpt-3.5-turbo
  o3: eu/o3-mini
  all: {auto: {models: [4, 35, o3, 4o], prefer: balanced}}
  cost: {auto: {models: [4, 35, o3, 4o], prefer: cost}}
  eu: {auto: {models: [4, 35, o3, 4o], quality: 0.9, regions: [eu]}}
  cheap: {auto: {models: [4, 35, o3, 4o], max_cost: 0.002}}
  backed: {auto: {models: [35, 4]}, fallback: [o3, 4o]}
  nested: {auto: {models: [cost, 4, 4o]}}
  rules: {auto: {models: [4, 35, o3, 4o]}, classifier: rules}
`, url))
	random := rand.New(rand.NewPCG(7, 7))
	made := func() string {
		m := []string{"all", "cost", "eu", "cheap", "backed", "nested", "rules"}[random.IntN(7)]
		text := "Please tell me about rivers. "
		switch m {
		case "eu":
			text += "You are in Europe. "
		case "cheap":
			text += "Please be cheap. "
		}
		text += strings.Repeat("word ", []int{1, 1, 1, 5000, 12000, 30000}[random.IntN(6)])
		if m == "cheap" {
			text = (text + strings.Repeat("word ", 80))[:400] // about 100 tokens, which alone cost more at gpt-4
		}
		content := fmt.Sprintf("%q", text)
		if random.IntN(4) == 0 {
			content = fmt.Sprintf(`[{"type":"text","text":%q},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]`, text, dot)
		}
		body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%s}]`, m, content)
		if random.IntN(3) == 0 {
			body += `,"tools":[{"type":"function","function":{"name":"clock","parameters":{"type":"object"}}}]`
		}
		if random.IntN(4) == 0 {
			body += `,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}`
		}
		if random.IntN(3) == 0 {
			body += `,"stream":true`
		}
		return body + "}"
	}
	bodies := make([]string, 400)
	for i := range bodies {
		bodies[i] = made()
	}
	reasons := make(map[string]int)
	for _, b := range bodies[:80] {
		p := g.plan(b)
		told := make(map[string]bool)
		for _, c := range p.Candidates {
			told[c.Target] = true
		}
		for _, x := range p.Excluded {
			if told[x.Target] = true; x.Reason == "" {
				t.Errorf("%s is left out of %.200s without a reason", x.Target, b)
			}
			reasons[x.Reason]++
		}
		if want := 4; len(told) != want && !strings.Contains(b, `"nested"`) {
			t.Errorf("route tells of %d targets, want %d: %+v", len(told), want, p)
		}
	}
	if len(reasons) < 4 {
		t.Errorf("few reasons: %v", reasons)
	}
	answered := 0
	for i, r := range g.many(len(bodies), "/v1/chat/completions", func(i int) string { return bodies[i] }) {
		if r.status == 200 {
			answered++
		} else if r.status >= 500 && r.status != 502 && r.status != 503 || r.code() == "" {
			t.Errorf("request %.200s: got %s", bodies[i], r)
		}
	}
	if answered < len(bodies)/2 {
		t.Errorf("%d of %d requests were answered: this proves little", answered, len(bodies))
	}
	for _, c := range v.journal() {
		if why := wrongs(c); why != "" {
			t.Errorf("call %d: %s: %.300s", c.n, why, c.body)
		}
	}
}
