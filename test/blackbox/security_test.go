package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

const (
	keyOne   = "sk-test-one-0123456789"
	keyTwo   = "sk-test-two-0123456789"
	adminKey = "sk-test-operator-0123456789"
)

func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// guarded is a gateway with keys: one may ask for "cheap" only, two for all.
func guarded(t *testing.T, script func(*call)) (*gateway, *vendor) {
	t.Helper()
	v := newVendor(t, script)
	g := serve(t, "admin: {key: \"${ADMIN}\"}\nproviders:\n"+v.provider("a", "vendor-key-0123456789")+
		"models: {cheap: a/cheap, expensive: a/expensive}\nkeys:\n  - {name: one, key: \"${ONE}\", models: [cheap]}\n  - {name: two, key: \"${TWO}\"}\n",
		withEnv("ADMIN="+adminKey, "ONE="+keyOne, "TWO="+keyTwo))
	return g, v
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	g, v := guarded(t, nil)
	for _, h := range [][]string{
		bearer(keyOne), {"Authorization", "bearer " + keyOne}, {"X-Api-Key", keyOne}, {"Api-Key", keyOne}, {"X-Goog-Api-Key", keyOne}, {"X-Sluice-Key", keyOne},
	} {
		if r := g.chat("cheap", h...); r.status != 200 {
			t.Errorf("%s: got %s, want 200", h[0], r)
		}
	}
	calls := v.count()
	for name, h := range map[string][]string{
		"none": nil, "wrong": bearer("sk-wrong-0123456789"), "prefix": bearer(keyOne[:len(keyOne)-1]), "longer": bearer(keyOne + "0"), "empty": bearer(""),
		"basic": {"Authorization", "Basic " + keyOne}, "two headers": {"Authorization", "Bearer x", "Authorization", "Bearer " + keyOne},
		"SQL": bearer("' OR 1=1 --"), "long": bearer(strings.Repeat("x", 8<<10)), "in the query": nil,
	} {
		path := "/v1/chat/completions"
		if name == "in the query" {
			path += "?key=" + keyOne
		}
		r := g.post(path, `{"model":"cheap",`+hello+`}`, h...)
		if r.status != 401 || r.code() != "invalid_api_key" {
			t.Errorf("%s: got %s, want 401 invalid_api_key", name, r)
		}
	}
	for _, path := range []string{"/v1/models", "/v1/models/cheap", "/gateway/status", "/gateway/requests/x"} {
		if r := g.get(path); r.status != 401 {
			t.Errorf("%s without a key: got %d, want 401", path, r.status)
		}
	}
	if r := g.post("/gateway/route", `{"model":"cheap"}`); r.status != 401 {
		t.Errorf("/gateway/route without a key: got %d, want 401", r.status)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := g.get(path); r.status != 200 {
			t.Errorf("%s: got %d, want 200: it is open", path, r.status)
		}
	}
	if n := v.count(); n != calls {
		t.Errorf("calls for strangers: got %d, want 0", n-calls)
	}
	if r := g.chat("expensive", bearer(keyOne)...); r.status != 403 || r.code() != "model_not_allowed" {
		t.Errorf("a model that is not on the key's list: got %s, want 403 model_not_allowed", r)
	}
	if r := g.chat("a/cheap", bearer(keyOne)...); r.status != 403 {
		t.Errorf("a target's name that is not on the key's list: got %s, want 403", r)
	}
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal(g.get("/v1/models", bearer(keyOne)...).body, &list); err != nil || len(list.Data) != 1 || list.Data[0].ID != "cheap" {
		t.Errorf("models of key one: got %v (%v), want cheap alone", list, err)
	}
}

// The value that was checked is the value that a vendor receives.
func TestFault119RoutedKeys(t *testing.T) {
	t.Parallel()
	g, v := guarded(t, nil)
	utf := func(s string) string {
		var b bytes.Buffer
		b.WriteString("\xfe\xff")
		for _, u := range utf16.Encode([]rune(s)) {
			b.WriteByte(byte(u >> 8))
			b.WriteByte(byte(u))
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"doubled":              `{"model":"cheap","model":"expensive",` + hello + `}`,
		"doubled, escaped":     `{"model":"cheap","\u006dodel":"expensive",` + hello + `}`,
		"upper case":           `{"model":"cheap","MODEL":"expensive",` + hello + `}`,
		"upper case alone":     `{"MODEL":"cheap",` + hello + `}`,
		"mixed case":           `{"model":"cheap","Model":"expensive",` + hello + `}`,
		"stream folded":        `{"model":"cheap","ſtream":true,` + hello + `}`,
		"stream twice":         `{"model":"cheap","stream":false,"stream":true,` + hello + `}`,
		"Stream":               `{"model":"cheap","Stream":true,` + hello + `}`,
		"messages twice":       `{"model":"cheap",` + hello + `,` + hello + `}`,
		"max_tokens twice":     `{"model":"cheap","max_tokens":1,"max_tokens":9,` + hello + `}`,
		"trailing data":        `{"model":"cheap",` + hello + `}{"model":"expensive"}`,
		"byte order mark":      "\ufeff" + `{"model":"cheap",` + hello + `}`,
		"UTF-16":               utf(`{"model":"cheap",` + hello + `}`),
		"array":                `[{"model":"cheap"}]`,
		"model is a number":    `{"model":5,` + hello + `}`,
		"model is a list":      `{"model":["cheap"],` + hello + `}`,
		"model with a newline": `{"model":"cheap\nexpensive",` + hello + `}`,
		"stream is a string":   `{"model":"cheap","stream":"true",` + hello + `}`,
		"comment":              `{"model":"cheap",/* */` + hello + `}`,
		"unquoted":             `{model:"cheap",` + hello + `}`,
		"truncated":            `{"model":"cheap",` + hello,
		"nothing":              ``,
		"null":                 `null`,
	} {
		r := g.post("/v1/chat/completions", body, bearer(keyOne)...)
		if r.status != 400 || r.code() != "invalid_json" && r.code() != "invalid_request" {
			t.Errorf("%s: got %s, want 400 invalid_json or invalid_request", name, r)
		}
	}
	if n := v.count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
	if r := g.post("/v1/chat/completions", `{"\u006dodel":"expensive",`+hello+`}`, bearer(keyOne)...); r.status != 403 {
		t.Errorf("an escaped name of a member: got %s, want 403: it is the model", r)
	}
	r := g.post("/v1/chat/completions", `{"mode\u006c":"ch\u0065ap",`+hello+`,"metadata":{"model":"expensive","MODEL":1}}`, bearer(keyOne)...)
	if r.status != 200 || v.call(1).model != "cheap" {
		t.Errorf("escaped model: got %s and %q at the vendor, want cheap", r, v.call(1).model)
	}
	if r := g.post("/v1/chat/completions", `{"model":"cheap","x":`+strings.Repeat("[", 10001)+strings.Repeat("]", 10001)+`,`+hello+`}`, bearer(keyOne)...); r.status != 400 {
		t.Errorf("10,001 deep: got %d, want 400", r.status)
	}
}

func TestFault127OthersRequests(t *testing.T) {
	t.Parallel()
	g, _ := guarded(t, nil)
	id := g.chat("cheap", bearer(keyOne)...).id()
	if rec := g.record(id, bearer(keyOne)...); rec.ID != id || rec.Outcome != "ok" {
		t.Errorf("its own key: got %+v", rec)
	}
	if r := g.get("/gateway/requests/"+id, bearer(keyTwo)...); r.status != 404 {
		t.Errorf("another key: got %s, want 404", r)
	}
	if r := g.get("/gateway/requests/"+id, bearer(adminKey)...); r.status != 200 {
		t.Errorf("the operator: got %s, want 200", r)
	}
	if r := g.get("/gateway/requests/01JD8Z3X7M3Q5W9Y2V4B6N8P0R", bearer(keyOne)...); r.status != 404 {
		t.Errorf("an unknown id: got %s, want 404", r)
	}
}

// Secrets, prompts and vendors' words are nowhere but where they belong.
func TestFault134Canaries(t *testing.T) {
	t.Parallel()
	const (
		vendorKey = "canary-vendor-key-7f3a"
		clientKey = "canary-client-key-9b1c"
		admin     = "canary-admin-key-44d0"
		header    = "canary-provider-header-5e5e"
		prompt    = "canary-prompt-c0ffee"
		vendorErr = "canary-vendor-words-d00d"
		answer    = "canary-answer-beef"
		wrong     = "canary-wrong-key-1234"
		query     = "canary-query-5678"
	)
	a := newVendor(t, func(c *call) { // fails in every way that has words
		switch c.n % 4 {
		case 0:
			c.answer(500, `{"error":{"message":"`+vendorErr+`"}}`)
		case 1:
			c.answer(401, `{"error":{"message":"Incorrect key `+vendorErr+`"}}`)
		case 2:
			c.answer(200, "<html>"+vendorErr+"</html>", "Content-Type: text/html")
		default:
			c.answer(429, `{"error":{"message":"`+vendorErr+`"}}`, "Retry-After: 0")
		}
	})
	b := newVendor(t, func(c *call) { c.whole(answer) })
	g := serve(t, "admin: {key: \"${ADMIN}\"}\ncooldown: {quarantine: 0s}\nproviders:\n"+
		fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: \"${VENDOR}\", headers: {x-extra: \"${EXTRA}\"}}\n", a.addr())+
		b.provider("b", "${VENDOR}")+"models: {m: [a/m, b/m], a: a/m}\nkeys: [{name: one, key: \"${CLIENT}\"}]\n",
		withEnv("ADMIN="+admin, "VENDOR="+vendorKey, "CLIENT="+clientKey, "EXTRA="+header))
	all := []string{vendorKey, clientKey, admin, header, prompt, vendorErr, answer, wrong, query}
	clean := func(where, text string, allowed ...string) {
		t.Helper()
		for _, c := range all {
			if strings.Contains(text, c) && !contains(allowed, c) {
				t.Errorf("%s holds %s: %s", where, c, around(text, c))
			}
		}
	}
	body := func(model, stream string) string {
		return `{"model":"` + model + `","stream":` + stream + `,"messages":[{"role":"user","content":"` + prompt + `"}]}`
	}
	var ids []string
	for range 4 {
		for _, stream := range []string{"false", "true"} {
			r := g.post("/v1/chat/completions?key="+query, body("m", stream), bearer(clientKey)...)
			clean("an answer", r.String(), answer)
			if r.status != 200 {
				t.Errorf("answer: got %s, want B's", r)
			}
			ids = append(ids, r.id())
			r = g.post("/v1/chat/completions", body("a", stream), bearer(clientKey)...)
			clean("an error", r.String())
			ids = append(ids, r.id())
		}
	}
	clean("a 401", g.post("/v1/chat/completions", body("m", "false"), bearer(wrong)...).String())
	clean("a 404", g.post("/v1/chat/completions", body("no-such", "false"), bearer(clientKey)...).String())
	clean("a 400", g.post("/v1/chat/completions", `{"model":"m","model":"`+prompt+`"}`, bearer(clientKey)...).String())
	for _, id := range ids {
		g.record(id, bearer(clientKey)...)
		clean("the caller's record", g.get("/gateway/requests/"+id, bearer(clientKey)...).String())
	}
	clean("status", g.get("/gateway/status", bearer(admin)...).String())
	clean("metrics", g.get("/metrics", bearer(admin)...).String())
	clean("models", g.get("/v1/models", bearer(clientKey)...).String())
	clean("a decision", g.post("/gateway/route", body("m", "false"), bearer(clientKey)...).String())
	for _, c := range b.journal() {
		if c.header.Get("Authorization") != "Bearer "+vendorKey || strings.Contains(fmt.Sprint(c.header), clientKey) || strings.Contains(c.path, query) {
			t.Errorf("headers to the vendor: %s %v", c.path, c.header)
		}
	}
	g.stop()
	clean("the log", g.log())
	clean("check", func() string {
		_, out, errs := run(t, g.dir, "", []string{"ADMIN=" + admin, "VENDOR=" + vendorKey, "CLIENT=" + clientKey, "EXTRA=" + header}, "check", "-c", g.file)
		return out + errs
	}())
	files := 0
	err := filepath.WalkDir(g.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		clean(d.Name(), string(b), vendorErr) // the operator's record may tell the vendor's words
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("files of the state directory: got %d, %v, want the ledger", files, err)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func around(text, s string) string {
	i := strings.Index(text, s)
	return text[max(0, i-120):min(len(text), i+len(s)+40)]
}

func TestFault135HopByHop(t *testing.T) {
	t.Parallel()
	g, v := guarded(t, nil)
	r := g.chat("cheap", append(bearer(keyOne),
		"Connection", "x-hop, keep-alive", "X-Hop", "hop", "Keep-Alive", "timeout=5", "TE", "trailers", "Proxy-Authorization", "Basic x",
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Host", "evil", "Forwarded", "for=10.0.0.1", "X-Real-Ip", "10.0.0.1", "Cookie", "session=1",
		"X-Sluice-Session", "s1", "X-Sluice-Tags", "t1", "X-Sluice-Strict", "1", "X-Sluice-Context", "budget=low", "X-Sluice-Target", "forged",
		"X-Api-Key", "second", "Api-Key", "third", "X-Goog-Api-Key", "fourth", "Origin", "http://evil", "Openai-Beta", "assistants=v2", "X-My-Own", "kept")...)
	if r.status != 200 {
		t.Fatalf("answer: got %s", r)
	}
	got := v.call(1).header
	for _, h := range []string{"X-Hop", "Keep-Alive", "Te", "Proxy-Authorization", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "Cookie",
		"X-Sluice-Session", "X-Sluice-Tags", "X-Sluice-Strict", "X-Sluice-Context", "X-Sluice-Target", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Origin", "X-Sluice-Key"} {
		if v := got.Values(h); len(v) > 0 {
			t.Errorf("%s travelled: %q", h, v)
		}
	}
	if got.Get("Connection") != "" && !strings.EqualFold(got.Get("Connection"), "keep-alive") {
		t.Errorf("Connection travelled: %q", got.Get("Connection"))
	}
	if got.Get("Authorization") != "Bearer vendor-key-0123456789" {
		t.Errorf("Authorization: got %q, want the gateway's own credential", got.Get("Authorization"))
	}
	if got.Get("Openai-Beta") != "assistants=v2" || got.Get("X-My-Own") != "kept" {
		t.Errorf("headers that may travel: got %v", got)
	}
}

// What clients choose stays one field of one line.
func TestFault136Injection(t *testing.T) {
	t.Parallel()
	g, _ := guarded(t, nil)
	nasty := "x\r\n{\"msg\":\"forged\"}"
	quoted, _ := json.Marshal(nasty)
	if r := g.post("/v1/chat/completions", `{"model":`+string(quoted)+`,`+hello+`}`, bearer(keyTwo)...); r.status != 400 {
		t.Errorf("model with CR LF: got %s, want 400", r)
	}
	r := g.post("/v1/chat/completions", `{"model":"cheap","user":`+string(quoted)+`,"metadata":{"a":`+string(quoted)+`},`+hello+`}`,
		append(bearer(keyTwo), "X-Sluice-Session", `"},{"msg":"forged"`, "X-Sluice-Tags", "\u2028\u0085[2J")...)
	if r.status != 200 {
		t.Errorf("answer: got %s, want 200", r)
	}
	g.logged(r.id())
	missing := g.chat(`\u001b[31mred\u2028"quoted"`, bearer(keyTwo)...)
	if missing.status != 400 && missing.status != 404 {
		t.Errorf("a name of control characters: got %s, want 400 or 404", missing)
	}
	// A raw request line with a header that is folded.
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Sluice-Session: a\r\n b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", keyTwo)
	buf := make([]byte, 4096)
	n, _ := conn.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 4") {
		t.Errorf("a folded header: got %q, want a refusal", buf[:n])
	}
	g.stop()
	for _, l := range strings.Split(g.log(), "\n")[1:] {
		var v map[string]any
		if err := json.Unmarshal([]byte(l), &v); err != nil || v["msg"] == "forged" || strings.ContainsAny(l, "\x1b\u2028") {
			t.Errorf("log line: got %q (%v), want one JSON object with everything escaped", l, err)
		}
	}
}

func TestFault79Smuggling(t *testing.T) {
	t.Parallel()
	g, v := guarded(t, nil)
	auth := "Authorization: Bearer " + keyTwo + "\r\n"
	for name, head := range map[string]string{
		"two lengths":          "Content-Length: 5\r\nContent-Length: 6\r\n",
		"signed length":        "Content-Length: +5\r\n",
		"length and chunked":   "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"space before a colon": "Content-Length : 5\r\n",
		"unknown coding":       "Transfer-Encoding: xchunked\r\n",
	} {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n0\r\n\r\n{\"model\":\"cheap\"}", auth, head)
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		_ = conn.Close()
		if s := string(buf[:n]); !strings.HasPrefix(s, "HTTP/1.1 400") && !strings.HasPrefix(s, "HTTP/1.1 501") {
			t.Errorf("%s: got %q, want 400", name, s)
		}
	}
	if n := v.count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
}

func TestFault81BodyLimit(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "limits: {body: 1MiB}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	big := `{"model":"a","messages":[{"role":"user","content":"` + strings.Repeat("x", 1<<20) + `"}]}`
	if r := g.post("/v1/chat/completions", big); r.status != 413 || r.code() != "request_too_large" {
		t.Errorf("above the limit: got %d %s, want 413 request_too_large", r.status, r.code())
	}
	req, err := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", struct{ *strings.Reader }{strings.NewReader(big)})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(req); err == nil { // of unknown length
		if resp.StatusCode != 413 {
			t.Errorf("above the limit, chunked: got %d, want 413", resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
	if r := g.post("/v1/chat/completions", big[:len(big)-1000]+`"}]}`); r.status != 200 {
		t.Errorf("below the limit: got %d, want 200", r.status)
	}
	if n := v.count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
	for _, enc := range []string{"gzip", "br", "deflate"} { // 82: a bomb is not opened
		if r := g.chat("a", "Content-Encoding", enc); r.status != 400 && r.status != 413 && r.status != 415 {
			t.Errorf("Content-Encoding %s: got %s, want a refusal", enc, r)
		}
	}
}

func TestFault140PublicListener(t *testing.T) {
	t.Parallel()
	g, _ := guarded(t, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/vars", "/debug/pprof/heap", "/pprof", "/sim", "/admin", "//gateway/status", "/gateway//status", "/v1/../gateway/status", "/gateway/status;x", "/gateway/%2e%2e/gateway/status"} {
		if r := g.get(path); r.status == 200 {
			t.Errorf("%s without a key: got %s", path, r)
		}
	}
	if r := g.get("/nowhere", bearer(keyOne)...); r.status != 404 || !strings.Contains(string(r.body), `{"error":{"message":`) {
		t.Errorf("an unknown path: got %s, want 404 in OpenAI's envelope", r)
	}
	if r := g.get("/v1/chat/completions", bearer(keyOne)...); r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET on a POST path: got %s, want 405 and Allow", r)
	}
	if r := g.get("/metrics"); r.status != 200 { // loopback
		t.Errorf("metrics from this machine: got %d, want 200", r.status)
	}
}

// 121: what clients say of addresses and keys decides nothing.
func TestFault121ClientChoosesNoAddress(t *testing.T) {
	t.Parallel()
	other := newVendor(t, nil)
	g, v := guarded(t, nil)
	body := fmt.Sprintf(`{"model":"cheap","api_base":"http://%[1]s","base_url":"http://%[1]s","api_key":"x","extra_headers":{"authorization":"x"},%[2]s}`, other.addr(), hello)
	g.post("/v1/chat/completions", body, append(bearer(keyTwo), "X-Portkey-Custom-Host", "http://"+other.addr(), "X-Base-Url", "http://"+other.addr(), "Host", other.addr())...)
	if other.count() != 0 || v.count() != 1 || v.call(1).header.Get("Authorization") != "Bearer vendor-key-0123456789" {
		t.Errorf("calls: got %d elsewhere and %d at the vendor", other.count(), v.count())
	}
}
