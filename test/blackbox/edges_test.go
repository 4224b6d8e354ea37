package blackbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// of is the configuration's entry for the vendor as one of a kind.
func (v *vendor) of(kind, name, key string) string {
	return fmt.Sprintf("  %s: {kind: %s, base_url: \"http://%s\", api_key: %s}\n", name, kind, v.addr(), key)
}

// surface is a way to ask a model, with what its errors look like.
type surface struct {
	name, path, body string // %m is the model
	header           []string
}

var surfaces = []surface{
	{"openai", "/v1/chat/completions", `{"model":"%m","messages":[{"role":"user","content":"Hello"}]}`, nil},
	{"openai", "/chat/completions", `{"model":"%m","messages":[{"role":"user","content":"Hello"}]}`, nil},
	{"openai", "/openai/deployments/%m/chat/completions?api-version=2024-10-21", `{"messages":[{"role":"user","content":"Hello"}]}`, nil},
	{"openai", "/v1/responses", `{"model":"%m","input":"Hello"}`, nil},
	{"openai", "/v1/completions", `{"model":"%m","prompt":"Hello"}`, nil},
	{"anthropic", "/v1/messages?beta=true", `{"model":"%m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`, []string{"Anthropic-Version", "2026-10-21"}},
	{"anthropic", "/anthropic/v1/messages", `{"model":"%m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`, nil},
	{"gemini", "/v1beta/models/%m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, nil},
	{"gemini", "/gemini/v1beta/models/%m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, nil},
}

func (s surface) ask(g *gateway, model, body string, header ...string) *reply {
	g.t.Helper()
	if body == "" {
		body = strings.ReplaceAll(s.body, "%m", model)
	}
	return g.post(strings.ReplaceAll(s.path, "%m", model), body, append(slices.Clone(s.header), header...)...)
}

// envelope checks the form of an error and returns its type, or Gemini's
// status, and code.
func envelope(t testing.TB, proto string, r *reply) (typ, code, message string) {
	t.Helper()
	var v struct {
		Type      string
		RequestID *json.RawMessage `json:"request_id"`
		Error     struct {
			Message, Type, Status string
			Code                  any
			Param                 *json.RawMessage
		}
	}
	if err := json.Unmarshal(r.body, &v); err != nil || v.Error.Message == "" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: no envelope: %v: %s", proto, err, r)
		return
	}
	if r.header.Get("X-Request-Id") == "" || r.header.Get("X-Request-Id") != r.header.Get("Request-Id") {
		t.Errorf("%s: header %v", proto, r.header)
	}
	code, _ = v.Error.Code.(string)
	typ = v.Error.Type
	switch proto {
	case "anthropic":
		if v.Type != "error" || code != "" || v.Error.Status != "" {
			t.Errorf("not Anthropic's envelope: %s", r)
		}
	case "gemini":
		n, _ := v.Error.Code.(float64)
		if typ = v.Error.Status; int(n) != r.status || typ == "" || v.Error.Type != "" {
			t.Errorf("not Google's envelope: %s", r)
		}
	default:
		if v.Type != "" || typ == "" || code == "" || v.Error.Status != "" {
			t.Errorf("not OpenAI's envelope: %s", r)
		}
	}
	return typ, code, v.Error.Message
}

// Every kind of error comes in the envelope of the client's protocol, with its
// status and type, and tells nothing of the vendor's place, key or words.
func TestErrorsOnEverySurface(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	v := newVendor(t, func(c *call) {
		n := int(status.Load())
		c.answer(n, fmt.Sprintf(`{"error":{"message":"vendor words %d at 10.1.2.3","type":"t","code":"c"}}`, n), "Retry-After: 3")
	})
	g := serve(t, "providers:\n"+v.provider("p", "sk-vendor-secret")+`models:
  m: p/m
  other: p/other
retry: {attempts: 1}
breaker: {failures: 0, success_rate: 0}
cooldown: {max: 0s, quarantine: 0s}
limits: {body: 64KiB}
keys: [{name: one, key: key-number-one, models: ["m", "nothing", "un*"]}]
`)
	for _, c := range []struct {
		name, model, body     string
		vendor                int
		key                   string
		status                map[string]int
		openai, typ, anth, gm string
	}{
		{"bad JSON", "m", `{"model":`, 0, "key-number-one", map[string]int{"": 400}, "invalid_json", "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		{"a list", "m", `[]`, 0, "key-number-one", map[string]int{"": 400}, "invalid_json", "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		{"too large", "m", `{"a":"` + strings.Repeat("a", 70<<10) + `"}`, 0, "key-number-one", map[string]int{"": 413}, "request_too_large", "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"},
		{"no key", "m", "", 0, "", map[string]int{"": 401}, "invalid_api_key", "invalid_request_error", "authentication_error", "UNAUTHENTICATED"},
		{"wrong key", "m", "", 0, "key-number-two", map[string]int{"": 401}, "invalid_api_key", "invalid_request_error", "authentication_error", "UNAUTHENTICATED"},
		{"forbidden", "other", "", 0, "key-number-one", map[string]int{"": 403}, "model_not_allowed", "invalid_request_error", "permission_error", "PERMISSION_DENIED"},
		{"unknown model", "nothing", "", 0, "key-number-one", map[string]int{"": 404}, "model_not_found", "invalid_request_error", "not_found_error", "NOT_FOUND"},
		{"vendor 500", "m", "", 500, "key-number-one", map[string]int{"": 502}, "upstream_error", "server_error", "api_error", "INTERNAL"},
		{"vendor 401", "m", "", 401, "key-number-one", map[string]int{"": 502}, "upstream_error", "server_error", "api_error", "INTERNAL"},
		{"vendor 429", "m", "", 429, "key-number-one", map[string]int{"": 429}, "rate_limit_exceeded", "requests", "rate_limit_error", "RESOURCE_EXHAUSTED"},
	} {
		status.Store(int64(c.vendor))
		for _, s := range surfaces {
			var header []string
			if c.key != "" {
				header = []string{"Authorization", "Bearer " + c.key}
			}
			r := s.ask(g, c.model, c.body, header...)
			typ, code, message := envelope(t, s.name, r)
			want := map[string]string{"openai": c.typ, "anthropic": c.anth, "gemini": c.gm}[s.name]
			if r.status != c.status[""] || typ != want || s.name == "openai" && code != c.openai {
				t.Errorf("%s on %s: %s; want %d, %s, %s", c.name, s.path, r, c.status[""], want, c.openai)
			}
			for _, secret := range []string{"sk-vendor-secret", v.addr(), "10.1.2.3", "key-number-one", "key-number-two"} {
				if strings.Contains(message, secret) {
					t.Errorf("%s on %s tells %q: %s", c.name, s.path, secret, r)
				}
			}
			if c.vendor == 429 && r.header.Get("Retry-After") != "3" {
				t.Errorf("%s on %s: header %v", c.name, s.path, r.header)
			}
		}
	}
}

// Paths that are none, and methods that a path does not take, are answered in
// the envelope of whom the path belongs to.
func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {m: p/m}\nauth: none\n")
	for _, c := range []struct {
		method, path string
		status       int
		proto        string
		header       []string
	}{
		{"POST", "/v1/nothing", 404, "openai", nil},
		{"POST", "/nothing", 404, "openai", nil},
		{"GET", "/", 404, "openai", nil},
		{"POST", "/v1/nothing", 404, "anthropic", []string{"Anthropic-Version", "2023-06-01"}},
		{"POST", "/v1/messages/nothing", 404, "anthropic", nil},
		{"POST", "/anthropic/v1/nothing", 404, "anthropic", nil},
		{"POST", "/v1beta/nothing", 404, "gemini", nil},
		{"POST", "/v1alpha/nothing", 404, "gemini", nil},
		{"POST", "/gemini/nothing", 404, "gemini", nil},
		{"POST", "/v1beta1/projects/p/locations/l/nothing", 404, "gemini", nil},
		{"POST", "/v1beta/models/m:doSomething", 404, "gemini", nil},
		{"POST", "/v1/models/m:doSomething", 404, "openai", nil},
		{"POST", "/openai/deployments/m/nothing", 404, "openai", nil},
		{"POST", "/openai/deployments//chat/completions", 404, "openai", nil},
		{"GET", "/v1/chat/completions", 405, "openai", nil},
		{"GET", "/v1/messages", 405, "anthropic", nil},
		{"DELETE", "/v1/messages/count_tokens", 405, "anthropic", nil},
		{"GET", "/v1beta/models/m:generateContent", 405, "gemini", nil},
		{"POST", "/v1beta/models", 405, "gemini", nil},
		{"POST", "/v1/models", 405, "openai", nil},
		{"POST", "/v1/models", 405, "anthropic", []string{"Anthropic-Version", "2023-06-01"}},
		{"PUT", "/v1/audio/speech", 405, "openai", nil},
		{"OPTIONS", "/v1/chat/completions", 405, "openai", nil},
		{"TRACE", "/v1/messages", 405, "anthropic", nil},
		{"POST", "/healthz", 405, "openai", nil},
	} {
		r := do(t, c.method, g.url+c.path, "{}", c.header...)
		if r.status != c.status {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, r, c.status)
			continue
		}
		envelope(t, c.proto, r)
		if (r.header.Get("Allow") != "") != (c.status == 405) {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, r.header.Get("Allow"))
		}
	}
	for path, want := range map[string]int{"/v1/models": 200, "/healthz": 200, "/v1beta/models": 200, "/v1/chat/completions": 405, "/nothing": 404} {
		r := do(t, "HEAD", g.url+path, "")
		if r.status != want || len(r.body) != 0 || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("HEAD %s: %s, want %d", path, r, want)
		}
	}
	if n := v.count(); n != 0 {
		t.Errorf("the vendor was asked %d times", n)
	}
}

// claudeAnswer answers as Anthropic does.
func claudeAnswer(c *call, text string) {
	c.answer(200, `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"`+text+`"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7}}`)
}

// What a target cannot be told is named in the answer and in the log; strict
// requests go to one that can be told everything, or nowhere.
func TestLossyAndStrict(t *testing.T) {
	t.Parallel()
	claude := newVendor(t, func(c *call) { claudeAnswer(c, "claude") })
	plain := newVendor(t, func(c *call) { c.whole("plain") })
	g := serve(t, "providers:\n"+claude.of("anthropic", "claude", "k")+plain.provider("plain", "k")+`models:
  both: {targets: [claude/c, plain/m], strategy: ordered}
  alone: claude/c
auth: none
`)
	body := func(model string) string {
		return `{"model":"` + model + `","seed":7,"logit_bias":{"5":1},"messages":[{"role":"user","content":"Hello"}]}`
	}
	r := g.post("/v1/chat/completions", body("both"))
	if lost := r.header.Get("X-Sluice-Lossy"); r.status != 200 || r.header.Get("X-Sluice-Target") != "claude/c" || !strings.Contains(lost, "seed") || !strings.Contains(lost, "logit_bias") {
		t.Errorf("lossy: %s", r)
	}
	if line := fmt.Sprint(g.logged(r.id())["lossy"]); !strings.Contains(line, "seed") || !strings.Contains(line, "logit_bias") {
		t.Errorf("the log says that %s got lost", line)
	}
	r = g.post("/v1/chat/completions", body("both"), "X-Sluice-Strict", "1")
	if r.status != 200 || r.header.Get("X-Sluice-Target") != "plain/m" || r.header.Get("X-Sluice-Lossy") != "" {
		t.Errorf("strict: %s", r)
	}
	r = g.post("/v1/chat/completions", body("alone"), "X-Sluice-Strict", "1")
	if r.status != 400 || r.code() != "unsupported_parameter" {
		t.Errorf("strict, nobody can: %s", r)
	}
	if n := claude.count(); n != 1 {
		t.Errorf("Anthropic was asked %d times", n)
	}
	if s := g.target("claude/c"); s.State != "closed" || s.ErrorRate != 0 {
		t.Errorf("the target that was not asked is %+v", s)
	}
}

// geminiChunk is an event of Gemini's.
func geminiChunk(text, finish string) string {
	if finish != "" {
		finish = `,"finishReason":"` + finish + `"`
	}
	return `{"candidates":[{"content":{"role":"model","parts":[{"text":"` + text + `"}]}` + finish + `,"index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12},"modelVersion":"g"}`
}

// Without alt=sse a stream is one JSON array, passed or translated, whole or
// failed in the middle; with it, events and nothing else.
func TestGeminiFraming(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	own := newVendor(t, func(c *call) {
		c.begin()
		c.events(geminiChunk("Hello", ""))
		if broken.Load() {
			c.cut()
			return
		}
		c.events(geminiChunk(" world", "STOP"))
		c.end()
	})
	other := newVendor(t, func(c *call) {
		c.begin()
		c.events(roleChunk, contentChunk("Hello"))
		if broken.Load() {
			c.cut()
			return
		}
		c.events(contentChunk(" world"), stopChunk, usageChunk, "[DONE]")
		c.end()
	})
	g := serve(t, "providers:\n"+own.of("gemini", "own", "k")+other.provider("other", "k")+"models: {own: own/g, other: other/m}\nauth: none\nretry: {attempts: 1}\n")
	for _, model := range []string{"own", "other"} {
		for _, cut := range []bool{false, true} {
			broken.Store(cut)
			for _, sse := range []bool{false, true} {
				path := "/v1beta/models/" + model + ":streamGenerateContent"
				if sse {
					path += "?alt=sse"
				}
				r := g.post(path, `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`)
				kind := "application/json"
				parts := []string{string(r.body)}
				if sse {
					kind, parts = "text/event-stream", datas(r.body)
					if strings.Contains(string(r.body), "event:") || strings.Contains(string(r.body), "[DONE]") || strings.Contains(string(r.body), "\n:") {
						t.Errorf("%s: more than data: %s", model, r)
					}
				}
				type element struct {
					Candidates []struct {
						Content struct{ Parts []struct{ Text string } }
						Finish  string `json:"finishReason"`
					}
					Error *struct {
						Code   int
						Status string
					}
				}
				var all []element
				var err error
				for _, p := range parts {
					var one element
					if sse {
						err = json.Unmarshal([]byte(p), &one)
						all = append(all, one)
					} else {
						err = json.Unmarshal([]byte(p), &all)
					}
					if err != nil {
						t.Errorf("%s, cut %v, sse %v: %v in %s", model, cut, sse, err, r)
					}
				}
				text, finish, failed := "", "", 0
				for i, e := range all {
					for _, c := range e.Candidates {
						finish += c.Finish
						for _, p := range c.Content.Parts {
							text += p.Text
						}
					}
					if e.Error != nil {
						failed = e.Error.Code
						if i != len(all)-1 {
							t.Errorf("%s: something follows the error: %s", model, r)
						}
					}
				}
				want, wantFinish := "Hello world", "STOP"
				if cut {
					want, wantFinish = "Hello", ""
				}
				if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), kind) || text != want || finish != wantFinish || (failed == 502) != cut {
					t.Errorf("%s, cut %v, sse %v: %q, finish %q, error %d: %s", model, cut, sse, text, finish, failed, r)
				}
			}
		}
	}
}

// A model that thinks for long is not taken for dead: OpenAI's clients get
// comments, Anthropic's pings, Google's, which take neither, nothing.
func TestKeepAlives(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.pause(12 * time.Second) {
			c.whole("at last")
		}
	})
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {m: p/m}\nauth: none\n")
	for _, c := range []struct{ name, path, body, ping string }{
		{"openai", "/v1/chat/completions", `{"model":"m","stream":true,` + hello + `}`, ": keep-alive\n\n"},
		{"responses", "/v1/responses", `{"model":"m","stream":true,"input":"Hi"}`, ": keep-alive\n\n"},
		{"anthropic", "/v1/messages", `{"model":"m","stream":true,"max_tokens":5,` + hello + `}`, "event: ping\ndata: {\"type\": \"ping\"}\n\n"},
		{"gemini", "/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`, ""},
		{"gemini's array", "/v1beta/models/m:streamGenerateContent", `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := do(t, "POST", g.url+c.path, c.body)
			body := string(r.body)
			if r.status != 200 || r.err != nil || !strings.Contains(body, "at ") || !strings.HasPrefix(body, c.ping) {
				t.Errorf("got %s", r)
			}
			if c.ping == "" && !strings.HasPrefix(body, "data: {") && !strings.HasPrefix(body, "[{") {
				t.Errorf("it begins with %q", tail(body, 100))
			}
			early := r.header.Get("X-Sluice-Target") == ""
			if r.id() == "" || early != (c.ping != "") {
				t.Errorf("header %v", r.header)
			}
		})
	}
}

// A key in the query, as Google's clients may send it, opens Google's paths
// only, and is written nowhere.
func TestKeyInTheQuery(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {m: p/m}\nkeys: [{name: one, key: secret-in-query}]\nlog: {level: debug}\n")
	body := `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}`
	r := g.post("/v1beta/models/m:generateContent?key=secret-in-query&alt=json", body)
	if r.status != 200 {
		t.Errorf("with the key: %s", r)
	}
	g.logged(r.id())
	bad := g.post("/v1beta/models/m:generateContent?key=secret-of-others", body)
	if _, _, _ = envelope(t, "gemini", bad); bad.status != 401 {
		t.Errorf("with another: %s", bad)
	}
	if r := g.get("/v1beta/models?key=secret-in-query"); r.status != 200 {
		t.Errorf("the list: %s", r)
	}
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses"} {
		if r := g.post(path+"?key=secret-in-query", `{"model":"m","max_tokens":1,"input":"x",`+hello+`}`); r.status != 401 {
			t.Errorf("%s took the query's key: %s", path, r)
		}
	}
	if c := v.call(1); strings.Contains(c.path, "key=") {
		t.Errorf("the vendor was asked %s", c.path)
	}
	g.logged(bad.id())
	if log := g.log(); strings.Contains(log, "secret-in-query") || strings.Contains(log, "secret-of-others") {
		t.Errorf("the key is in the log:\n%s", log)
	}
}

// The list of models comes in three shapes, holds what the key may ask for,
// and each of them can be looked up, slashes and all.
func TestModelLists(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("p", "k")+`models: {small: p/small, "team/large": p/large, hidden: p/hidden}
keys: [{name: one, key: key-of-one, models: [small, "team/*"]}]
`)
	key := []string{"Authorization", "Bearer key-of-one"}
	for _, c := range []struct {
		path   string
		header []string
		list   string // the member that holds the list
		id     string // of an element
		prefix string
	}{
		{"/v1/models", nil, "data", "id", ""},
		{"/models", nil, "data", "id", ""},
		{"/openai/v1/models", nil, "data", "id", ""},
		{"/v1/models", []string{"Anthropic-Version", "2023-06-01"}, "data", "id", ""},
		{"/anthropic/v1/models", nil, "data", "id", ""},
		{"/v1beta/models", nil, "models", "name", "models/"},
		{"/v1alpha/models", nil, "models", "name", "models/"},
		{"/gemini/v1beta/models", nil, "models", "name", "models/"},
		{"/gemini/v1/models", nil, "models", "name", "models/"},
		{"/gemini/models", nil, "models", "name", "models/"},
	} {
		header := append(slices.Clone(key), c.header...)
		r := g.get(c.path, header...)
		var v map[string]any
		if err := json.Unmarshal(r.body, &v); err != nil || r.status != 200 {
			t.Errorf("%s: %v: %s", c.path, err, r)
			continue
		}
		var ids []string
		list, _ := v[c.list].([]any)
		for _, x := range list {
			id, _ := x.(map[string]any)[c.id].(string)
			ids = append(ids, strings.TrimPrefix(id, c.prefix))
		}
		if fmt.Sprint(ids) != "[small team/large]" {
			t.Errorf("%s %v lists %v", c.path, c.header, ids)
		}
		_, anthropic := v["has_more"]
		if want := len(c.header) > 0 || strings.HasPrefix(c.path, "/anthropic"); anthropic != want {
			t.Errorf("%s: %s", c.path, r)
		}
		for id, want := range map[string]int{"small": 200, "team/large": 200, "team%2Flarge": 200, "hidden": 403, "team/none": 404} {
			r := g.get(c.path+"/"+id, header...)
			var one map[string]any
			_ = json.Unmarshal(r.body, &one)
			name, _ := one[c.id].(string)
			plain, _ := url.PathUnescape(id)
			if r.status != want || want == 200 && name != c.prefix+plain {
				t.Errorf("%s/%s: %s", c.path, id, r)
			}
			if want != 200 {
				proto := map[bool]string{true: "anthropic", false: "openai"}[anthropic]
				if c.list == "models" {
					proto = "gemini"
				}
				envelope(t, proto, r)
			}
		}
	}
	if r := g.get("/v1/models"); r.status != 401 {
		t.Errorf("without a key: %s", r)
	}
}

// send sends any body of any type.
func send(t testing.TB, method, to, kind string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, to, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A recording of 9 MiB, with the model behind it, reaches the vendor whole and
// under the vendor's name of the model, on every path.
func TestTranscription(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if bytes.Contains(c.body, []byte("\r\nsrt\r\n")) {
			c.answer(200, "1\n00:00:00,000 --> 00:00:01,000\nHello\n", "Content-Type: text/plain; charset=utf-8")
			return
		}
		c.answer(200, `{"text":"Hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":2,"total_tokens":16}}`)
	})
	temp := t.TempDir()
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {whisper: p/vendor-whisper}\nauth: none\n", withEnv("TMPDIR="+temp, "TMP="+temp))
	sound := bytes.Repeat([]byte("RIFF\r\n\r\n\x00\xff----\n"), 9<<16)
	build := func(fields ...string) (*bytes.Buffer, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		f, err := w.CreateFormFile("file", "speech.wav")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(sound)
		for i := 0; i+1 < len(fields); i += 2 {
			_ = w.WriteField(fields[i], fields[i+1])
		}
		_ = w.Close()
		return &b, w.FormDataContentType()
	}
	for n, c := range []struct {
		path   string
		fields []string
		kind   string
		want   string
	}{
		{"/v1/audio/transcriptions", []string{"language", "en", "model", "whisper"}, "application/json", `{"text":"Hello"`},
		{"/openai/v1/audio/translations", []string{"model", "whisper", "response_format", "srt"}, "text/plain; charset=utf-8", "1\n00:00"},
		{"/openai/deployments/whisper/audio/transcriptions?api-version=2024-10-21", []string{"language", "en"}, "application/json", `{"text":"Hello"`},
	} {
		body, kind := build(c.fields...)
		resp := send(t, "POST", g.url+c.path, kind, body)
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != c.kind || !strings.HasPrefix(string(got), c.want) || resp.Header.Get("X-Sluice-Target") != "p/vendor-whisper" {
			t.Errorf("%s: %d, %v, %s", c.path, resp.StatusCode, resp.Header, tail(string(got), 300))
		}
		asked := v.call(n + 1)
		_, params, _ := strings.Cut(asked.header.Get("Content-Type"), "boundary=")
		form, err := multipart.NewReader(bytes.NewReader(asked.body), params).ReadForm(32 << 20)
		if err != nil {
			t.Fatalf("%s: the vendor got no form: %v", c.path, err)
		}
		if fmt.Sprint(form.Value["model"]) != "[vendor-whisper]" || len(form.File["file"]) != 1 {
			t.Errorf("%s: the vendor got %v", c.path, form.Value)
			continue
		}
		f, _ := form.File["file"][0].Open()
		whole, _ := io.ReadAll(f)
		if !bytes.Equal(whole, sound) {
			t.Errorf("%s: the vendor got a file of %d bytes, not of %d", c.path, len(whole), len(sound))
		}
		_ = form.RemoveAll()
		if n == 0 {
			if u := g.record(resp.Header.Get("X-Request-Id")).Usage; u.Input != 14 || u.Output != 2 {
				t.Errorf("usage %+v", u)
			}
		}
	}
	body, kind := build("model", "whisper", "model", "other")
	if resp := send(t, "POST", g.url+"/v1/audio/transcriptions", kind, body); resp.StatusCode != 400 {
		t.Errorf("two models: %d", resp.StatusCode)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// Sound comes as it is made, chunk by chunk, byte for byte; pictures, checks of
// content and their events too.
func TestRelayed(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	v := newVendor(t, func(c *call) {
		switch {
		case strings.HasSuffix(c.path, "/audio/speech"):
			c.write("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.raw("ID3\x00\xff one")
			select {
			case <-next:
			case <-c.v.stop:
				return
			}
			c.raw(" two")
			c.end()
		case strings.HasSuffix(c.path, "/moderations"):
			c.answer(200, `{"id":"modr-1","model":"omni","results":[{"flagged":false}]}`)
		case c.stream:
			c.begin()
			c.raw("event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AAAA\"}\n\n")
			c.raw("event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"" + strings.Repeat("A", 100<<10) + "\",\"usage\":{\"input_tokens\":9,\"output_tokens\":8,\"total_tokens\":17}}\n\n")
			c.end()
		default:
			c.answer(200, `{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":9,"output_tokens":8,"total_tokens":17}}`)
		}
	})
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {m: p/vendor-m}\nauth: none\n")
	resp := send(t, "POST", g.url+"/v1/audio/speech", "application/json", strings.NewReader(`{"model":"m","input":"Hi","voice":"alloy","new":1}`))
	first := make([]byte, 9)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "ID3\x00\xff one" {
		t.Fatalf("the first piece: %q, %v", first, err)
	}
	close(next)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != " two" || resp.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("the rest: %q, %v, header %v", rest, err, resp.Header)
	}
	if got := string(v.call(1).body); got != `{"model":"vendor-m","input":"Hi","voice":"alloy","new":1}` {
		t.Errorf("the vendor got %s", got)
	}
	r := g.post("/openai/deployments/m/audio/speech?api-version=1", `{"input":"Hi"}`)
	if c := v.call(2); r.status != 200 || c.model != "vendor-m" || c.path != "/v1/audio/speech" {
		t.Errorf("Azure's path: %s, %s, %s", c.path, c.body, r)
	}
	for _, path := range []string{"/v1/moderations", "/v1/images/generations", "/images/generations", "/openai/deployments/m/images/generations"} {
		if r := g.post(path, `{"model":"m","input":"x","prompt":"x"}`); r.status != 200 || r.err != nil || !json.Valid(r.body) {
			t.Errorf("%s: %s", path, r)
		}
	}
	r = g.post("/v1/images/generations", `{"model":"m","prompt":"x","stream":true}`)
	events := datas(r.body)
	if r.status != 200 || len(events) != 2 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") || r.header.Get("Cache-Control") != "no-cache" || r.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("events of a picture: %s", r)
	}
	if u := g.record(r.id()).Usage; u.Input != 9 || u.Output != 8 {
		t.Errorf("usage %+v", u)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_ = w.WriteField("model", "m")
	_ = w.WriteField("stream", "true")
	f, _ := w.CreateFormFile("image[]", "a.png")
	_, _ = f.Write([]byte("\x89PNG\r\n"))
	_ = w.Close()
	for _, path := range []string{"/v1/images/edits", "/v1/images/variations"} {
		resp = send(t, "POST", g.url+path, w.FormDataContentType(), bytes.NewReader(form.Bytes()))
		if b, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil {
			t.Errorf("%s: %d %s, %v", path, resp.StatusCode, b, err)
		}
	}
	last := v.journal()[v.count()-1]
	if last.path != "/v1/images/variations" || !bytes.Contains(last.body, []byte("vendor-m")) || !bytes.Contains(last.body, []byte("\x89PNG\r\n")) {
		t.Errorf("the vendor got %s %s", last.path, last.body)
	}
}

// A relayed answer that the vendor cuts short is a broken one for the client,
// never a short one, whichever framing the vendor used.
func TestRelayedCut(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.model == "sized" {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 100\r\n\r\nID3 only this")
		} else {
			c.write("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.raw("ID3 only this")
		}
		if c.model == "reset" {
			c.pause(100 * time.Millisecond)
			c.reset()
			return
		}
		c.cut()
	})
	g := serve(t, "providers:\n"+v.provider("p", "k")+"models: {sized: p/sized, chunked: p/chunked, reset: p/reset}\nauth: none\nretry: {attempts: 1}\n")
	for _, model := range []string{"sized", "chunked", "reset"} {
		r := g.post("/v1/audio/speech", `{"model":"`+model+`","input":"Hi"}`)
		if r.status == 200 && r.err == nil {
			t.Errorf("%s: a whole answer: %s", model, r)
		}
		if rec := g.record(r.id()); rec.Outcome == "ok" {
			t.Errorf("%s: the record says %+v", model, rec)
		}
	}
	if r := g.post("/v1/audio/speech", `{"model":"none","input":"Hi"}`); r.status != 404 {
		t.Errorf("after it: %s", r)
	}
}

// A client's own credential goes to the vendor and its troubles come back to
// that client alone; it is written nowhere.
func TestClientCredential(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		switch {
		case strings.Contains(fmt.Sprint(c.header), "sk-good"):
			claudeAnswer(c, "Hi")
		case strings.Contains(fmt.Sprint(c.header), "sk-slow"):
			c.answer(429, `{"type":"error","error":{"type":"rate_limit_error","message":"your limit"}}`, "Retry-After: 60")
		default:
			c.answer(401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`)
		}
	})
	g := serve(t, "providers:\n"+v.of("anthropic", "claude", "client")+"models: {m: claude/c}\nkeys: [{name: one, key: gw-key-1}]\nlog: {level: debug}\nretry: {attempts: 1}\n")
	body := `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}`
	for _, c := range []struct {
		path, header, value string
		status              int
		sent                string
	}{
		{"/v1/messages", "Authorization", "Bearer sk-bad", 401, "Authorization"},
		{"/v1/messages", "X-Api-Key", "sk-slow", 429, "X-Api-Key"},
		{"/v1/messages", "X-Api-Key", "sk-good", 200, "X-Api-Key"},
		{"/v1/messages", "Authorization", "Bearer sk-good", 200, "Authorization"},
		{"/v1/chat/completions", "Authorization", "Bearer sk-good", 200, "X-Api-Key"},
		{"/v1/chat/completions", "Authorization", "Bearer sk-bad", 401, "X-Api-Key"},
		{"/v1/chat/completions", "Authorization", "Bearer sk-slow", 429, "X-Api-Key"},
		{"/v1/messages", "X-Api-Key", "sk-good", 200, "X-Api-Key"},
	} {
		n := v.count()
		r := g.post(c.path, body, "X-Sluice-Key", "gw-key-1", c.header, c.value)
		if r.status != c.status || v.count() != n+1 {
			t.Errorf("%s with %s: %s", c.path, c.value, r)
			continue
		}
		if c.status != 200 {
			envelope(t, map[bool]string{true: "anthropic", false: "openai"}[c.path == "/v1/messages"], r)
		}
		asked := v.journal()[n]
		if asked.header.Get(c.sent) == "" || strings.Contains(fmt.Sprint(asked.header), "gw-key-1") {
			t.Errorf("%s with %s %s: the vendor saw %v", c.path, c.header, c.value, asked.header)
		}
	}
	n := v.count()
	for _, header := range [][]string{{"X-Sluice-Key", "gw-key-1"}, {"X-Api-Key", "gw-key-1"}, {"X-Sluice-Key", "gw-key-1", "Authorization", "Bearer gw-key-1"}} {
		r := g.post("/v1/messages", body, header...)
		if _, _, message := envelope(t, "anthropic", r); r.status != 401 || !strings.Contains(message, "x-sluice-key") {
			t.Errorf("without a credential: %s", r)
		}
	}
	if r := g.post("/v1/messages", body, "Authorization", "Bearer sk-good"); r.status != 401 {
		t.Errorf("without the gateway's key: %s", r)
	}
	if v.count() != n {
		t.Error("the vendor was asked without a credential of the client's")
	}
	for _, s := range g.status("X-Sluice-Key", "gw-key-1").Targets {
		if s.State != "closed" || s.ErrorRate != 0 {
			t.Errorf("the target is %+v", s)
		}
	}
	if log := g.log(); strings.Contains(log, "sk-") || strings.Contains(log, "gw-key-1") {
		t.Errorf("a key is in the log:\n%s", log)
	}
}

// An engine tells its models at the start and after a reload; they are asked
// for by both names, as far as a key's list goes; one that is away keeps them.
func TestEngines(t *testing.T) {
	t.Parallel()
	var models atomic.Pointer[string]
	set := func(s string) { models.Store(&s) }
	set(`{"object":"list","data":[{"id":"qwen3"},{"id":"org/gemma"},{"id":"secret-one"},{"id":""}]}`)
	v := newVendor(t, func(c *call) {
		if c.path == "/v1/models" {
			switch m := *models.Load(); m {
			case "":
				c.answer(503, "")
			default:
				c.answer(200, m)
			}
			return
		}
		c.whole("from " + c.model)
	})
	yaml := "providers:\n" + v.of("vllm", "engine", "k") + `keys:
  - {name: all, key: key-of-one}
  - {name: some, key: key-of-two, models: ["engine/qwen*", "qwen*"]}
`
	g := serve(t, yaml)
	names := func(key string) string {
		var v struct{ Data []struct{ ID string } }
		_ = json.Unmarshal(g.get("/v1/models", "Authorization", "Bearer "+key).body, &v)
		var out []string
		for _, m := range v.Data {
			out = append(out, m.ID)
		}
		return strings.Join(out, " ")
	}
	shows := func(what, key, want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if got = names(key); got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: the list of %s is %q, want %q", what, key, got, want)
			}
		}
	}
	shows("at the start", "key-of-one", "engine/org/gemma engine/qwen3 engine/secret-one")
	shows("at the start", "key-of-two", "engine/qwen3")
	if a := v.call(1).header.Get("Authorization"); a != "Bearer k" {
		t.Errorf("the engine was asked with %q", a)
	}
	for _, c := range []struct {
		model, key string
		status     int
	}{
		{"engine/qwen3", "key-of-one", 200}, {"qwen3", "key-of-one", 200}, {"org/gemma", "key-of-one", 200}, {"engine/org/gemma", "key-of-one", 200}, {"engine/unlisted", "key-of-one", 200}, {"unlisted", "key-of-one", 404},
		{"qwen3", "key-of-two", 200}, {"engine/qwen3", "key-of-two", 200}, {"secret-one", "key-of-two", 403}, {"engine/secret-one", "key-of-two", 403},
	} {
		if r := g.chat(c.model, "Authorization", "Bearer "+c.key); r.status != c.status {
			t.Errorf("%s with %s: %s, want %d", c.model, c.key, r, c.status)
		}
	}
	reload := func() {
		t.Helper()
		n := 0
		for _, c := range v.journal() {
			if c.path == "/v1/models" {
				n++
			}
		}
		g.signal(syscall.SIGHUP)
		eventually(t, "another look at the engine", func() bool {
			have := 0
			for _, c := range v.journal() {
				if c.path == "/v1/models" {
					have++
				}
			}
			return have > n
		})
	}
	set("")
	reload()
	shows("away", "key-of-one", "engine/org/gemma engine/qwen3 engine/secret-one")
	set("<html>")
	reload()
	shows("no list", "key-of-one", "engine/org/gemma engine/qwen3 engine/secret-one")
	set(`{"object":"list","data":[{"id":"qwen4"}]}`)
	reload()
	shows("another", "key-of-one", "engine/qwen4")
	if r := g.chat("qwen4", "Authorization", "Bearer key-of-two"); r.status != 200 {
		t.Errorf("the new model: %s", r)
	}
	set(`{"object":"list","data":null}`) // Ollama without models
	reload()
	shows("none", "key-of-one", "")
}

// What keeps a cloud's provider from working is said with what to write.
func TestCheckClouds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml string
		env  []string
		says []string
		ok   bool
	}{
		"no region":    {"providers:\n  b: {kind: bedrock, api_key: k}\nmodels: {m: b/x}\n", nil, []string{"sluice.yaml:2:", "region", "AWS_REGION"}, false},
		"a region":     {"providers:\n  b: {kind: bedrock, api_key: k, region: eu-west-1}\nmodels: {m: b/x}\n", nil, nil, true},
		"of AWS":       {"providers:\n  b: {kind: bedrock, api_key: k}\nmodels: {m: b/x}\n", []string{"AWS_REGION=eu-west-1"}, nil, true},
		"no project":   {"providers:\n  v: {kind: vertex, api_key: k, region: global}\nmodels: {m: v/x}\n", nil, []string{"sluice.yaml:2:", "project"}, false},
		"a project":    {"providers:\n  v: {kind: vertex, api_key: k, region: global, project: p}\nmodels: {m: v/x}\n", nil, nil, true},
		"no key":       {"providers: [anthropic]\nmodels: {m: anthropic/x}\n", nil, []string{"sluice.yaml:1:", "ANTHROPIC_API_KEY"}, false},
		"no base":      {"providers:\n  a: {kind: azure, api_key: k}\nmodels: {m: a/x}\n", nil, []string{"sluice.yaml:2:", "base_url"}, false},
		"a protocol":   {"providers:\n  o: {kind: openai-compatible, base_url: \"http://127.0.0.1:9/v1\", protocol: anthropic, api_key: k}\nmodels: {m: o/x}\n", nil, nil, true},
		"no protocol":  {"providers:\n  o: {kind: openai-compatible, base_url: \"http://127.0.0.1:9/v1\", protocol: smtp, api_key: k}\nmodels: {m: o/x}\n", nil, []string{"sluice.yaml:2:", "protocol"}, false},
		"no such file": {"providers:\n  v: {kind: vertex, region: global, project: p, credentials: /nowhere.json}\nmodels: {m: v/x}\n", nil, []string{"sluice.yaml:2:", "credentials file"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "sluice.yaml"), c.yaml)
			env := append([]string{"AWS_REGION=", "AWS_DEFAULT_REGION=", "GOOGLE_CLOUD_PROJECT=", "GOOGLE_CLOUD_LOCATION=", "HOME=" + dir, "AWS_EC2_METADATA_DISABLED=true"}, c.env...)
			code, _, errs := run(t, dir, "", env, "check", "-c", "sluice.yaml")
			if (code == 0) != c.ok {
				t.Errorf("exit code %d: %s", code, errs)
			}
			for _, s := range c.says {
				if !strings.Contains(errs, s) {
					t.Errorf("%q is not said: %s", s, errs)
				}
			}
		})
	}
}

// protocol says what one provider speaks, whatever its kind.
func TestProviderProtocol(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) {
		if c.path == "/v1/messages" {
			claudeAnswer(c, "Hi")
		} else {
			c.answer(404, `{}`)
		}
	})
	g := serve(t, fmt.Sprintf("providers:\n  p: {kind: openai-compatible, base_url: \"http://%s/v1\", protocol: anthropic, api_key: k}\nmodels: {m: p/m}\nauth: none\n", v.addr()))
	for _, s := range surfaces {
		if r := s.ask(g, "m", ""); r.status != 200 {
			t.Errorf("%s: %s", s.path, r)
		}
	}
	for _, c := range v.journal() {
		if c.path != "/v1/messages" || c.header.Get("Anthropic-Version") == "" {
			t.Errorf("the vendor was asked %s, %v", c.path, c.header)
		}
	}
}

// Three answers from a vendor that gives one at a time; a client that leaves
// ends all three calls.
func TestSeveralAnswers(t *testing.T) {
	t.Parallel()
	var hang atomic.Bool
	v := newVendor(t, func(c *call) {
		if hang.Load() {
			c.hang()
			return
		}
		claudeAnswer(c, fmt.Sprint("answer ", c.n))
	})
	g := serve(t, "providers:\n"+v.of("anthropic", "claude", "k")+"models: {m: claude/c}\nauth: none\n")
	r := g.post("/v1/chat/completions", `{"model":"m","n":3,`+hello+`}`)
	var a struct {
		Choices []struct {
			Index   int
			Message struct{ Content string }
		}
		Usage struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal(r.body, &a); err != nil || len(a.Choices) != 3 || a.Usage.Prompt != 15 || a.Usage.Completion != 21 {
		t.Errorf("%v: %s", err, r)
	}
	if rec := g.record(r.id()); rec.Usage.Input != 15 || len(rec.Attempts) != 1 {
		t.Errorf("the record is %+v", rec)
	}
	hang.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", g.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","n":3,"stream":true,`+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	v.call(6)
	cancel()
	for _, c := range v.journal()[3:] {
		closed(t, "the end of a call that nobody waits for", c.left)
	}
	<-over
}
