package blackbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// direct is a gateway before a scripted vendor that is asked as it is, as an
// OpenAI, an Anthropic and a Gemini account, and keys with and without lists.
func direct(t *testing.T, script func(*call)) (*gateway, *vendor) {
	t.Helper()
	v := newVendor(t, script)
	return serve(t, fmt.Sprintf(`
providers:
  v: {kind: openai, base_url: "http://%[1]s/tenant/v1", api_key: %[2]s, headers: {x-team: blue}}
  claude: {kind: anthropic, base_url: "http://%[1]s", api_key: %[2]s}
  gem: {kind: gemini, base_url: "http://%[1]s", api_key: %[2]s}
models: {m: v/gpt-4o}
keys:
  - {name: owner, key: %[3]s}
  - {name: listed, key: %[4]s, models: ["v/gpt-4o", m]}
  - {name: globbed, key: %[5]s, models: ["v/*"]}
`, v.addr(), secret, keyState, keyOther, keyOne)), v
}

// What a client asks is what the vendor is asked, and what it answers is what the
// client gets.
func TestDirect(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	big := make([]byte, 9<<20)
	for i := range big {
		big[i] = byte(rnd.Uint32())
	}
	g, v := direct(t, func(c *call) {
		if c.method == "HEAD" {
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n")
			return
		}
		status := 200
		if i := strings.Index(c.path, "status="); i >= 0 {
			_, _ = fmt.Sscan(c.path[i+7:], &status)
		}
		c.answer(status, fmt.Sprintf(`{"status":%d}`, status), "Content-Type: application/problem+json", "Retry-After: 7", "Location: http://internal.example/x",
			"Set-Cookie: a=b", "X-Internal: 10.0.0.1", `Content-Disposition: attachment; filename="a"`)
	})
	for _, c := range []struct {
		method, path, body string
		vendor             string // the path it saw
		status             int
	}{
		{"GET", "/p/v/models?limit=2&after=a%2Fb", "", "/tenant/v1/models?limit=2&after=a%2Fb", 200},
		{"GET", "/p/v/v1/models", "", "/tenant/v1/models", 200},
		{"GET", "/p/v/v2/models", "", "/tenant/v2/models", 200},
		{"GET", "/p/v/tenant/v1/models", "", "/tenant/v1/models", 200},
		{"PATCH", "/p/v/things/a%2Fb%20c", `{"x":1}`, "/tenant/v1/things/a%2Fb%20c", 200},
		{"DELETE", "/p/v/files/f1", "", "/tenant/v1/files/f1", 200},
		{"PROPFIND", "/p/v/files", "", "/tenant/v1/files", 200},
		{"HEAD", "/p/v/files", "", "/tenant/v1/files", 200},
		{"POST", "/p/v/chat?status=404", "{}", "/tenant/v1/chat?status=404", 404},
		{"POST", "/p/v/chat?status=500", "{}", "/tenant/v1/chat?status=500", 500},
		{"POST", "/p/v/chat?status=302", "{}", "/tenant/v1/chat?status=302", 302},
		{"POST", "/p/v/chat?status=429", "{}", "/tenant/v1/chat?status=429", 429},
		{"POST", "/p/v/bytes", string(big), "/tenant/v1/bytes", 200},
		{"POST", "/p/claude/v1/messages", "{}", "/v1/messages", 200},
		{"POST", "/p/gem/v1beta/models/g:embedContent?alt=json", "{}", "/v1beta/models/g:embedContent?alt=json", 200},
	} {
		before := v.count()
		r := do(t, c.method, g.url+c.path, c.body, append(bearer(keyState), "Content-Type", "application/x-odd", "Accept", "text/odd", "X-Forwarded-For", "10.1.1.1", "Cookie", "s=1", "Te", "trailers", "X-Own", "1")...)
		if r.status != c.status || c.method != "HEAD" && string(r.body) != fmt.Sprintf(`{"status":%d}`, c.status) || v.count() != before+1 {
			t.Errorf("%s %s: %s", c.method, c.path, r)
			continue
		}
		got := v.call(before + 1)
		if got.method != c.method || got.path != c.vendor || !bytes.Equal(got.body, []byte(c.body)) {
			t.Errorf("%s %s: the vendor saw %s %s with %d bytes", c.method, c.path, got.method, got.path, len(got.body))
		}
		if h := got.header; h.Get("Accept") != "text/odd" || h.Get("X-Own") != "1" || h.Get("X-Forwarded-For")+h.Get("Cookie")+h.Get("Te") != "" {
			t.Errorf("%s: the vendor saw header %v", c.path, h)
		}
		leaks(t, c.path, r)
		if h := r.header; c.method != "HEAD" && (h.Get("Content-Type") != "application/problem+json" || h.Get("Retry-After") != "7" || h.Get("Content-Disposition") == "" ||
			h.Get("Location")+h.Get("Set-Cookie")+h.Get("X-Internal") != "") {
			t.Errorf("%s: header %v", c.path, h)
		}
	}
	for n, want := range map[int]string{1: "Authorization: Bearer " + secret, 14: "X-Api-Key: " + secret, 15: "X-Goog-Api-Key: " + secret} {
		name, value, _ := strings.Cut(want, ": ")
		h := v.call(n).header
		if h.Get(name) != value || n == 1 && h.Get("X-Team") != "blue" || n == 14 && h.Get("Anthropic-Version") == "" {
			t.Errorf("call %d: header %v, want %s", n, h, want)
		}
		for _, vs := range h {
			if strings.Contains(strings.Join(vs, ","), keyState) {
				t.Errorf("call %d: the gateway's key travelled: %v", n, h)
			}
		}
	}
	before := v.count()
	if r := do(t, "GET", g.url+"/p/gem/v1beta/models/g?key="+keyState+"&x=1", ""); r.status != 200 || v.call(before+1).path != "/v1beta/models/g?x=1" {
		t.Errorf("a key in the query: %s, the vendor saw %s", r, v.call(before+1).path)
	}
}

// leaks fails if an answer tells the vendor's key or where it is.
func leaks(t *testing.T, what string, r *reply) {
	t.Helper()
	text := fmt.Sprint(r.header) + string(r.body)
	for _, s := range []string{secret, "internal.example", "127.0.0.1"} {
		if strings.Contains(text, s) {
			t.Errorf("%s tells %q: %s", what, s, r)
		}
	}
}

// Paths that would leave the base, and vendors' refusals of the credential, stay
// where they are.
func TestDirectRefused(t *testing.T) {
	t.Parallel()
	g, v := direct(t, func(c *call) {
		status := 200
		if i := strings.Index(c.path, "status="); i >= 0 {
			_, _ = fmt.Sscan(c.path[i+7:], &status)
		}
		c.answer(status, `{"error":{"message":"Incorrect API key provided: `+secret+`"}}`)
	})
	for _, path := range []string{"/p/v/../../admin", "/p/v/%2e%2e/x", "/p/v/a%2f..%2f..%2fx", "/p/v/..%5cx", "/p/v/%252e%252e/x", "/p/v/.;a/x", "/p/%2e%2e/v1"} {
		if r := g.get(path, bearer(keyState)...); r.status != 400 && r.status != 404 {
			t.Errorf("%s: %s", path, r)
		}
	}
	for _, path := range []string{"/p/none/v1/models", "/p/", "/p/V/models"} {
		if r := g.get(path, bearer(keyState)...); r.status != 404 {
			t.Errorf("%s: %s", path, r)
		}
	}
	if r := g.get("/p/v/models"); r.status != 401 {
		t.Errorf("without a key: %s", r)
	}
	if n := v.count(); n != 0 {
		t.Fatalf("%d calls went out", n)
	}
	for _, status := range []int{401, 402, 403} {
		r := g.post(fmt.Sprintf("/p/claude/v1/messages?status=%d", status), "{}", bearer(keyState)...)
		if r.status != 502 || !strings.Contains(string(r.body), `"type":"error"`) {
			t.Errorf("%d: %s", status, r)
		}
		leaks(t, fmt.Sprint(status), r)
	}
	before := v.count()
	for _, c := range []struct {
		key, method, path, body string
		status                  int
	}{
		{keyOther, "POST", "/p/v/chat/completions", `{"model":"gpt-4o"}`, 200},
		{keyOther, "POST", "/p/v/openai/deployments/gpt-4o/chat", `{}`, 200},
		{keyOther, "POST", "/p/v/chat/completions", `{"model":"gpt-5"}`, 403},
		{keyOther, "POST", "/p/v/chat/completions", `{"model":"gpt-4o","model":"gpt-5"}`, 403},
		{keyOther, "POST", "/p/v/chat/completions", `{"model":"gpt-4o","Model":"gpt-5"}`, 403},
		{keyOther, "POST", "/p/v/models/gpt-4o:do", `{"model":"gpt-5"}`, 403},
		{keyOther, "POST", "/p/v/chat/completions", `{"model":"m"}`, 403}, // a name of the gateway, not of the vendor
		{keyOther, "POST", "/p/claude/messages", `{"model":"gpt-4o"}`, 403},
		{keyOther, "GET", "/p/v/files", ``, 403},
		{keyOther, "DELETE", "/p/v/files/f", `{"model":"gpt-4o"}`, 403},
		{keyOne, "GET", "/p/v/files", ``, 200},
		{keyOne, "GET", "/p/claude/files", ``, 403},
	} {
		r := do(t, c.method, g.url+c.path, c.body, bearer(c.key)...)
		if r.status != c.status {
			t.Errorf("%s %s %s: %s, want %d", c.method, c.path, c.body, r, c.status)
		}
		if c.status == 200 {
			before++
		}
	}
	if n := v.count(); n != before {
		t.Errorf("%d calls went out, want %d", n, before)
	}
}

// What a vendor counts is in the record, with the price of its model; events go
// on as they come.
func TestDirectCounts(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	g, v := direct(t, func(c *call) {
		if !c.stream {
			c.answer(200, `{"id":"x","model":"gpt-4o","usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}`)
			return
		}
		c.begin()
		c.events(`{"choices":[{"delta":{"content":"a"}}]}`)
		<-next
		c.events(`{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":3}}`, "[DONE]")
		c.end()
	})
	r := g.post("/p/v/chat/completions", `{"model":"gpt-4o",`+hello+`}`, bearer(keyState)...)
	rec := g.record(r.id(), bearer(keyState)...)
	if rec.Usage.Input != 1000 || rec.Usage.Output != 100 || rec.Model != "v/gpt-4o" || len(rec.Attempts) != 1 || rec.Outcome != "ok" {
		t.Errorf("record: %+v", rec)
	}
	if line := g.logged(r.id()); line["op"] != "passthrough" || line["cost_usd"] == nil && line["cost_nano_usd"] == nil {
		t.Errorf("log: %v", line)
	}
	req, err := http.NewRequest("POST", g.url+"/p/v/chat/completions", strings.NewReader(`{"model":"gpt-4o","stream":true,`+hello+`}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+keyState)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 4<<10)
	n, err := resp.Body.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `"content":"a"`) {
		t.Fatalf("the first event did not come by itself: %q, %v", b[:n], err)
	}
	close(next)
	rest := new(bytes.Buffer)
	if _, err := rest.ReadFrom(resp.Body); err != nil || !strings.HasSuffix(rest.String(), "data: [DONE]\n\n") {
		t.Errorf("the rest: %q, %v", rest, err)
	}
	rec = g.record(resp.Header.Get("X-Request-Id"), bearer(keyState)...)
	if rec.Usage.Input != 20 || rec.Usage.Output != 3 {
		t.Errorf("record of the stream: %+v", rec)
	}
	if st := g.status(bearer(keyState)...); len(st.Targets) != 1 || st.Targets[0].State != "closed" || v.count() != 2 {
		t.Errorf("the target's state: %+v, %d calls", st, v.count())
	}
}
