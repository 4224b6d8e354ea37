package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// witness stands in front of a server and keeps the bodies that are sent to it.
type witness struct {
	url string

	mu     sync.Mutex
	bodies []string
}

func watch(t testing.TB, to string) *witness {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	r := &witness{}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport: client.Transport, FlushInterval: -1,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.bodies = append(r.bodies, string(body))
		r.mu.Unlock()
		req.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

// take returns what came since the last time.
func (r *witness) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.bodies
	r.bodies = nil
	return out
}

// guardSim has models that say what the user said.
const guardSim = `
seed: 9
any_model: true
control: true
default: {latency: 1ms, tokens: 12, tokens_per_second: 20000, moods: [{kind: echo}]}
`

// guardVendors are the simulator behind each protocol.
func guardVendors(url string) string {
	return fmt.Sprintf(`
providers:
  chat: {kind: openai-compatible, base_url: "%[1]s/v1", api_key: k}
  responses: {kind: openai, protocol: responses, base_url: "%[1]s/v1", api_key: k}
  anthropic: {kind: anthropic, base_url: "%[1]s", api_key: k}
  gemini: {kind: gemini, base_url: "%[1]s", api_key: k}
`, url)
}

// asking is a request of one protocol that holds a text at several places.
type asking struct {
	name string
	path func(model string, stream bool) string
	body func(model, text string, stream bool) string
	said func(t *testing.T, body []byte, stream bool) string // the answer's text
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// joined joins what f finds in the events of a stream, or in a whole answer.
func joined[T any](t *testing.T, body []byte, stream bool, f func(*T) string) string {
	t.Helper()
	docs := []json.RawMessage{body}
	if stream {
		docs = data(body)
	}
	var b strings.Builder
	for _, d := range docs {
		var v T
		if err := json.Unmarshal(d, &v); err != nil {
			t.Fatalf("%v: %s", err, d)
		}
		b.WriteString(f(&v))
	}
	return b.String()
}

var guardClients = []asking{
	{
		"chat", func(string, bool) string { return "/v1/chat/completions" },
		func(model, text string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"x_unknown":[1, 2],"user":%[3]s,"messages":[{"role":"system","content":%[3]s},{"role":"user","content":"hello"},
			{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"find","arguments":%[4]s}}]},{"role":"tool","tool_call_id":"call_1","content":%[3]s},
			{"role":"user","content":[{"type":"text","text":%[3]s}]}]}`, model, stream, quoted(text), quoted(`{"q": `+quoted(text)+`, "card": 4111111111111111}`))
		},
		func(t *testing.T, body []byte, stream bool) string {
			type chunk struct {
				Choices []struct{ Delta, Message struct{ Content string } }
			}
			return joined(t, body, stream, func(c *chunk) string {
				if len(c.Choices) == 0 {
					return ""
				}
				return c.Choices[0].Delta.Content + c.Choices[0].Message.Content
			})
		},
	},
	{
		"responses", func(string, bool) string { return "/v1/responses" },
		func(model, text string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"instructions":%[3]s,"input":[{"role":"user","content":"hello"},{"type":"function_call","call_id":"call_1","name":"find","arguments":%[4]s},
			{"type":"function_call_output","call_id":"call_1","output":%[3]s},{"role":"user","content":[{"type":"input_text","text":%[3]s}]}]}`, model, stream, quoted(text), quoted(`{"q": `+quoted(text)+`}`))
		},
		func(t *testing.T, body []byte, stream bool) string {
			type event struct {
				Type   string
				Delta  json.RawMessage
				Output []struct {
					Content []struct{ Text string }
				}
			}
			return joined(t, body, stream, func(e *event) (s string) {
				if e.Type == "response.output_text.delta" {
					_ = json.Unmarshal(e.Delta, &s)
				}
				for _, o := range e.Output {
					for _, c := range o.Content {
						s += c.Text
					}
				}
				return s
			})
		},
	},
	{
		"anthropic", func(string, bool) string { return "/v1/messages" },
		func(model, text string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":900,"metadata":{"user_id":%[3]s},"system":[{"type":"text","text":%[3]s}],"messages":[{"role":"user","content":"hello"},
			{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"find","input":{"q":%[3]s,"card":4111111111111111}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":%[3]s},{"type":"text","text":%[3]s}]}],"tools":[{"name":"find","input_schema":{"type":"object"}}]}`, model, stream, quoted(text))
		},
		func(t *testing.T, body []byte, stream bool) string {
			type event struct {
				Delta   struct{ Text string }
				Content []struct{ Text string }
			}
			return joined(t, body, stream, func(e *event) string {
				s := e.Delta.Text
				for _, c := range e.Content {
					s += c.Text
				}
				return s
			})
		},
	},
	{
		"gemini", func(model string, stream bool) string {
			if stream {
				return "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
			}
			return "/v1beta/models/" + model + ":generateContent"
		},
		func(_, text string, _ bool) string {
			return fmt.Sprintf(`{"systemInstruction":{"parts":[{"text":%[1]s}]},"contents":[{"role":"user","parts":[{"text":"hello"}]},{"role":"model","parts":[{"functionCall":{"name":"find","args":{"q":%[1]s}}}]},
			{"role":"user","parts":[{"functionResponse":{"name":"find","response":{"result":%[1]s}}}]},{"role":"user","parts":[{"text":%[1]s}]}]}`, quoted(text))
		},
		func(t *testing.T, body []byte, stream bool) string {
			type event struct {
				Candidates []struct {
					Content struct{ Parts []struct{ Text string } }
				}
			}
			return joined(t, body, stream, func(e *event) (s string) {
				for _, c := range e.Candidates {
					for _, p := range c.Content.Parts {
						s += p.Text
					}
				}
				return s
			})
		},
	},
}

// personal is a text, and what of it nobody may see.
const personal = "I am jo.do@mail.example, card 4111 1111 1111 1111, call +49 30 901820; that is all."

var secrets = []string{"jo.do", "mail.example", "4111", "901820"}

func holds(t *testing.T, where, s string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(s, secret) {
			t.Errorf("%s holds %q: %s", where, secret, tail(s, 1500))
		}
	}
}

// What is masked reaches no vendor, whatever the client and the vendor speak, and
// what is not masked stays as it was. With restore, the client sees its own words.
func TestGuardMasksRequests(t *testing.T) {
	t.Parallel()
	s := simulate(t, guardSim)
	seen := watch(t, s.url)
	g := serve(t, guardVendors(seen.url)+`
guards:
  personal: {pii: mask}
  mine: {pii: mask, restore: true}
guard: [personal]
models:
  masked-*: {targets: ["chat/*"]}
  m-chat: chat/m
  m-responses: responses/m
  m-anthropic: anthropic/claude-m
  m-gemini: gemini/gemini-m
  r-chat: {targets: [chat/m], guard: [mine]}
  r-responses: {targets: [responses/m], guard: [mine]}
  r-anthropic: {targets: [anthropic/claude-m], guard: [mine]}
  r-gemini: {targets: [gemini/gemini-m], guard: [mine]}
`)
	const masked = "I am [EMAIL_1], card [CARD_1], call [PHONE_1]; that is all."
	for _, c := range guardClients {
		for _, vendor := range []string{"m-chat", "m-responses", "m-anthropic", "m-gemini", "r-chat", "r-responses", "r-anthropic", "r-gemini"} {
			for _, stream := range []bool{false, true} {
				where := fmt.Sprintf("%s at %s, stream %t", c.name, vendor, stream)
				seen.take()
				r := g.post(c.path(vendor, stream), c.body(vendor, personal, stream), "Anthropic-Version", "2023-06-01")
				if c.name != "anthropic" {
					r = g.post(c.path(vendor, stream), c.body(vendor, personal, stream))
				}
				if r.status != 200 {
					t.Errorf("%s: %s", where, r)
					continue
				}
				bodies := seen.take()
				for _, b := range bodies {
					holds(t, where+": the vendor's request", b)
				}
				if len(bodies) == 0 || !strings.Contains(bodies[0], "[EMAIL_1]") {
					t.Errorf("%s: the vendor saw %q", where, bodies)
				}
				if c.name == "chat" && vendor == "m-chat" && !strings.Contains(bodies[0], `"x_unknown":[1, 2]`) {
					t.Errorf("%s: an unknown field is lost: %s", where, bodies[0])
				}
				want := masked
				if vendor[0] == 'r' {
					want = personal
				}
				if got := c.said(t, r.body, stream); got != want {
					t.Errorf("%s: got %q, want %q", where, got, want)
				}
				if got := r.header.Get("X-Sluice-Guard"); got != map[byte]string{'m': "personal=mask", 'r': "mine=mask"}[vendor[0]] {
					t.Errorf("%s: x-sluice-guard is %q", where, got)
				}
			}
		}
	}
	seen.take() // names that only rules know have the file's guards
	for _, model := range []string{"chat/other", "masked-x"} {
		if r := g.post("/v1/chat/completions", guardClients[0].body(model, personal, false)); r.status != 200 {
			t.Errorf("%s: %s", model, r)
		}
	}
	for path, body := range map[string]string{
		"/v1/embeddings":            `{"model":"m-chat","input":[` + quoted(personal) + `,"x"]}`,
		"/v1/completions":           `{"model":"m-chat","prompt":` + quoted(personal) + `}`,
		"/v1/messages/count_tokens": `{"model":"m-anthropic","messages":[{"role":"user","content":` + quoted(personal) + `}]}`,
	} {
		if r := g.post(path, body); r.status != 200 {
			t.Errorf("%s: %s", path, r)
		}
	}
	for _, b := range seen.take() {
		holds(t, "a vendor's request", b)
	}
	holds(t, "the log", g.log())
	g.stop()
	err := filepath.WalkDir(g.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		holds(t, path, string(b))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What a model says is masked or blocked before the client sees any of it, whole
// and streamed; what nobody masks keeps its bytes.
func TestGuardAnswers(t *testing.T) {
	t.Parallel()
	s := simulate(t, guardSim)
	var models strings.Builder
	for vendor, name := range map[string]string{"chat": "m", "responses": "m", "anthropic": "claude-m", "gemini": "gemini-m"} {
		for _, kind := range []string{"mask", "block", "plain"} {
			guards := map[string]string{"mask": "[masks]", "block": "[blocks]", "plain": "off"}[kind]
			fmt.Fprintf(&models, "  %s-%s: {targets: [%s/%s], guard: %s}\n", kind, vendor, vendor, name, guards)
		}
	}
	g := serve(t, guardVendors(s.url)+`
guards:
  masks: {pii: mask, on: [output]}
  blocks: {pii: block, on: [output]}
  words: {rules: [{words: [simulated], action: mask}], on: [output]}
models:
  words: {targets: [chat/m], guard: [words]}
`+models.String())
	const masked = "I am [EMAIL_1], card [CARD_1], call [PHONE_1]; that is all."
	for _, c := range guardClients {
		for _, vendor := range []string{"chat", "responses", "anthropic", "gemini"} {
			for _, stream := range []bool{false, true} {
				where := fmt.Sprintf("%s at %s, stream %t", c.name, vendor, stream)
				r := g.post(c.path("mask-"+vendor, stream), c.body("mask-"+vendor, personal, stream))
				if got := c.said(t, r.body, stream); r.status != 200 || got != masked {
					t.Errorf("%s: status %d, got %q, want %q", where, r.status, got, masked)
				}
				if c.name != "responses" { // which gives back its instructions
					holds(t, where, string(r.body))
				}
				r = g.post(c.path("block-"+vendor, stream), c.body("block-"+vendor, personal, stream))
				switch {
				case !stream && r.status != 422, !stream && c.name != "gemini" && !strings.Contains(string(r.body), `"answer_blocked"`), !strings.Contains(string(r.body), "guard blocks"):
					t.Errorf("%s: blocked: %s", where, r)
				case c.name != "responses":
					holds(t, where+": what is blocked", string(r.body))
				}
			}
		}
	}
	for _, stream := range []bool{false, true} { // plain completions, which are another API
		r := g.post("/v1/completions", fmt.Sprintf(`{"model":"words","prompt":"hello","stream":%t}`, stream))
		type chunk struct{ Choices []struct{ Text string } }
		got := joined(t, r.body, stream, func(c *chunk) (s string) {
			for _, x := range c.Choices {
				s += x.Text
			}
			return s
		})
		if r.status != 200 || !strings.HasPrefix(got, "This is m ([WORDS_1]).") {
			t.Errorf("completions, stream %t: status %d, got %q", stream, r.status, got)
		}
	}
	// Bytes: what the same model says without a guard and with it, where nothing is
	// found, but for ids and times.
	for _, c := range guardClients {
		if c.name == "responses" || c.name == "gemini" {
			continue // their streams are told anew
		}
		for _, stream := range []bool{false, true} {
			plain := g.post(c.path("plain-"+c.name, stream), c.body("plain-"+c.name, "nothing to find here, 12 of 13", stream))
			guarded := g.post(c.path("mask-"+c.name, stream), c.body("mask-"+c.name, "nothing to find here, 12 of 13", stream))
			if a, b := shapeOf(string(plain.body)), shapeOf(string(guarded.body)); a != b {
				t.Errorf("%s, stream %t:\n%s\nand with a guard\n%s", c.name, stream, a, b)
			}
		}
	}
}

// shapeOf is a body without what differs from call to call.
func shapeOf(s string) string {
	var out []string
	s = regexp.MustCompile("event: ping\ndata: [^\n]*\n\n").ReplaceAllString(s, "") // they come by the clock
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '{' || r == '}' }) {
		if !slices.ContainsFunc([]string{`"id":`, `"created":`, `"system_fingerprint":`, `"request_id"`}, func(k string) bool { return strings.HasPrefix(part, k) }) {
			out = append(out, part)
		}
	}
	return strings.Join(out, "\n")
}

// A vendor's moderation endpoint, a guard model and a webhook: what they find
// changes who answers, or blocks before anybody is asked, and their calls are in
// the request's record.
func TestGuardRemote(t *testing.T) {
	t.Parallel()
	s := simulate(t, guardSim)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct{ Text, Stage string }
		_ = json.Unmarshal(body, &in)
		switch {
		case r.Header.Get("X-Sluice-Signature") == "" || r.Header.Get("X-Team") != "a":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(in.Text, "redirect"):
			http.Redirect(w, r, s.url, http.StatusTemporaryRedirect)
		case strings.Contains(in.Text, "Ann Smith"):
			_, _ = io.WriteString(w, `{"action":"mask","mask":["Ann Smith"]}`)
		case strings.Contains(in.Text, "forbidden"):
			_, _ = io.WriteString(w, `{"action":"block","reason":"policy"}`)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	t.Cleanup(hook.Close)
	judge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		verdict := "safe"
		switch {
		case strings.Contains(string(body), "poison"):
			verdict = "unsafe\\nS9"
		case strings.Contains(string(body), "chatty"):
			verdict = "I think that it is safe"
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","created":1,"model":"guard","choices":[{"index":0,"message":{"role":"assistant","content":"`+verdict+`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`)
	}))
	t.Cleanup(judge.Close)
	g := serve(t, guardVendors(s.url)+`
  judge: {kind: openai-compatible, base_url: "`+judge.URL+`", api_key: k}
guards:
  vendor: {moderation: {model: chat/omni-moderation-latest, thresholds: {low: 0.2, medium: 0.5, high: 0.9}}}
  llama: {model: {model: judge/guard}, on: [input, output]}
  held: {model: {model: judge/guard}, on: [output], hold: whole}
  hook: {webhook: {url: "`+hook.URL+`", secret: "${HOOK}", headers: {x-team: a}}, on: [input, output], hold: whole}
  gone: {webhook: {url: "http://127.0.0.1:1/"}, on_error: open}
  shut: {webhook: {url: "http://127.0.0.1:1/"}}
models:
  moderated: {targets: [chat/m], guard: [vendor], risk: {high: block, medium: {models: [safe]}}}
  safe: {targets: [{target: chat/safe-m, price: {input: 1, output: 1}}]}
  judged: {targets: [chat/m], guard: [llama], risk: {high: block}}
  held: {targets: [chat/m], guard: [held], risk: {high: block}}
  hooked: {targets: [chat/m], guard: [hook]}
  open: {targets: [chat/m], guard: [gone]}
  shut: {targets: [chat/m], guard: [shut]}
  gated: {targets: [chat/m], guard: [vendor], risk: {medium: {accept: [{pattern: {is: "^sorry", action: block}}]}}}
  outer: {targets: [{target: moderated}, {target: safe, priority: 2}]}
`, withEnv("HOOK=a-secret-of-the-hook"))
	ask := func(model, text string, stream bool) *reply {
		return g.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":%s}]}`, model, stream, quoted(text)))
	}
	calls := func() int { return len(s.journal("m")) + len(s.journal("safe-m")) }
	for _, x := range []struct {
		model, text string
		stream      bool
		status      int
		code        string
		said        string // by the model that answers
		target      string
		guards      string // of the record
	}{
		{"moderated", "good morning", false, 200, "", "good morning", "chat/m", "vendor input pass "},
		{"moderated", "you loser", false, 200, "", "you loser", "chat/safe-m", "vendor input flag medium"},
		{"moderated", "how to pick with a lockpick", true, 200, "", "how to pick with a lockpick", "chat/m", "vendor input flag low"},
		{"moderated", "build a bomb", false, 400, "request_blocked", "", "", "vendor input flag high"},
		{"moderated", "build a bomb", true, 400, "request_blocked", "", "", "vendor input flag high"},
		{"outer", "build a bomb", false, 400, "request_blocked", "", "", "vendor input flag high"},
		{"gated", "good morning", false, 200, "", "good morning", "chat/m", "vendor input pass "},
		{"gated", "you loser", false, 422, "answer_blocked", "", "", "vendor input flag medium"},
		{"gated", "sorry, loser", false, 200, "", "sorry, loser", "chat/m", "vendor input flag medium"},
		{"judged", "good morning", false, 200, "", "good morning", "chat/m", "llama input pass ; llama output pass "},
		{"judged", "the poison", false, 400, "request_blocked", "", "", "llama input flag high"},
		{"judged", "be chatty", false, 503, "overloaded", "", "", "llama input error "},
		{"held", "the poison", false, 422, "answer_blocked", "", "", "held output flag high"},
		{"held", "the poison", true, 422, "answer_blocked", "", "", "held output flag high"},
		{"held", "good morning", true, 200, "", "good morning", "chat/m", "held output pass "},
		{"hooked", "I am Ann Smith, hello", false, 200, "", "I am [HOOK_1], hello", "chat/m", "hook input mask ; hook output pass "},
		{"hooked", "forbidden", true, 400, "request_blocked", "", "", "hook input block high"},
		{"hooked", "a redirect", false, 503, "overloaded", "", "", "hook input error "},
		{"open", "good morning", false, 200, "", "good morning", "chat/m", "gone input error "},
		{"shut", "good morning", false, 503, "overloaded", "", "", "shut input error "},
	} {
		where := fmt.Sprintf("%s, %q, stream %t", x.model, x.text, x.stream)
		before := calls()
		r := ask(x.model, x.text, x.stream)
		if r.status != x.status || r.code() != x.code {
			t.Errorf("%s: got %s", where, r)
			continue
		}
		asked := calls() - before
		if want := map[bool]int{true: 1, false: 0}[x.status == 200 || x.code == "answer_blocked"]; asked != want {
			t.Errorf("%s: the models were asked %d times, want %d", where, asked, want)
		}
		if x.status == 200 {
			if got := guardClients[0].said(t, r.body, x.stream); got != x.said || r.header.Get("X-Sluice-Target") != x.target {
				t.Errorf("%s: got %q of %s, want %q of %s", where, got, r.header.Get("X-Sluice-Target"), x.said, x.target)
			}
		} else if strings.Contains(string(r.body), x.text) {
			t.Errorf("%s: the error tells the text: %s", where, r)
		}
		var rec struct {
			Guards   []struct{ Guard, Stage, Action, Risk string }
			Attempts []struct{ Note, Target string }
		}
		eventually(t, "the record", func() bool {
			b := g.get("/gateway/requests/" + r.id())
			return b.status == 200 && json.Unmarshal(b.body, &rec) == nil
		})
		var said []string
		for _, v := range rec.Guards {
			said = append(said, v.Guard+" "+v.Stage+" "+v.Action+" "+v.Risk)
		}
		if got := strings.Join(said, "; "); got != x.guards {
			t.Errorf("%s: the record has %q, want %q", where, got, x.guards)
		}
		notes := 0
		for _, a := range rec.Attempts {
			if a.Note == "guard" {
				notes++
			}
		}
		if want := map[string]int{"moderated": 1, "gated": 1, "outer": 1, "held": 1, "judged": len(rec.Guards)}[x.model]; notes != want {
			t.Errorf("%s: %d attempts of guards, want %d: %+v", where, notes, want, rec.Attempts)
		}
	}
	plan := g.post("/gateway/route", `{"model":"hooked","messages":[{"role":"user","content":"Ann Smith"}]}`)
	if !strings.Contains(string(plan.body), `"guards":[{"guard":"hook","stage":"input","action":"unknown"},{"guard":"hook","stage":"output","action":"unknown"}]`) {
		t.Errorf("the plan: %s", plan)
	}
	metrics := string(g.get("/metrics").body)
	for _, want := range []string{`sluice_guard_total{action="block",guard="hook",stage="input"} 1`, `sluice_guard_total{action="error",guard="gone",stage="input"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	g.stop()
	if code, out, _ := run(t, g.dir, "", []string{"HOOK=a-secret-of-the-hook"}, "explain", "--last", "-c", g.file, "--data", g.data); code != 0 || !strings.Contains(out, "guard    shut on input: error") {
		t.Errorf("explain: %d, %s", code, out)
	}
}

// A response that is told anew for a guard's sake has the vendor's id, and its
// client can go on from it.
func TestGuardContinues(t *testing.T) {
	t.Parallel()
	s := simulate(t, guardSim)
	g := serve(t, guardVendors(s.url)+`
guards: {masks: {pii: mask, on: [input, output]}}
models: {m: {targets: [responses/m], guard: [masks]}}
`)
	for _, stream := range []bool{false, true} {
		ask := func(more string) (id, text string) {
			r := g.post("/v1/responses", fmt.Sprintf(`{"model":"m","stream":%t,"input":%s%s}`, stream, quoted(personal), more))
			if r.status != 200 {
				t.Fatalf("stream %t: %s", stream, r)
			}
			type event struct {
				ID       string
				Response struct{ ID string }
			}
			first := r.body
			if stream {
				first = data(r.body)[0]
			}
			var e event
			if err := json.Unmarshal(first, &e); err != nil {
				t.Fatal(err)
			}
			return e.ID + e.Response.ID, guardClients[1].said(t, r.body, stream)
		}
		id, _ := ask("")
		if _, text := ask(`,"previous_response_id":` + quoted(id)); !strings.Contains(text, "[EMAIL_1]") {
			t.Errorf("stream %t: the answer that goes on is %q", stream, text)
		}
	}
}
