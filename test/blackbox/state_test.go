package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	keyState = "sk-state-owner-0123456789"
	keyOther = "sk-state-other-0123456789"
	secret   = "vendor-secret-0123456789"
)

// keepers is a gateway before two simulators that keep responses, one that is
// asked in chat completions only, and two keys.
func keepers(t *testing.T, extra string) (g *gateway, one, two *simulator) {
	t.Helper()
	one, two = simulate(t, simConfig), simulate(t, strings.Replace(simConfig, "seed: 7", "seed: 8", 1)) // ids are drawn
	return serve(t, fmt.Sprintf(`
providers:
  one: {kind: openai, base_url: "%s", api_keys: [%s-a, %s-b]}
  two: {kind: openai, base_url: "%s", api_key: %s}
  chat: {kind: openai-compatible, base_url: "%s", api_key: %s, protocol: openai}
models:
  both: {targets: [one/chat-model, two/chat-model], strategy: round_robin, affinity: off, fallback: [stateless]}
  first: one/chat-model
  second: two/chat-model
  stateless: chat/chat-model
keys: [{name: owner, key: %s}, {name: other, key: %s}]
%s`, one.url, secret, secret, two.url, secret, one.url, secret, keyState, keyOther, extra)), one, two
}

// respond asks for a response and returns its id.
func (g *gateway) respond(key, body string) (*reply, string) {
	g.t.Helper()
	r := g.post("/v1/responses", body, bearer(key)...)
	if strings.Contains(body, `"stream":true`) {
		for _, d := range datas(r.body) {
			var ev struct{ Response struct{ ID string } }
			if json.Unmarshal([]byte(d), &ev) == nil && ev.Response.ID != "" {
				return r, ev.Response.ID
			}
		}
		return r, ""
	}
	var v struct{ ID string }
	_ = json.Unmarshal(r.body, &v)
	return r, v.ID
}

// paths counts the calls of a simulator whose path holds part.
func (s *simulator) paths(part string) int {
	s.t.Helper()
	var j struct{ Calls []simCall }
	r := do(s.t, http.MethodGet, s.url+"/sim/journal", "")
	if err := json.Unmarshal(r.body, &j); err != nil {
		s.t.Fatalf("the simulator's journal: %v: %s", err, r)
	}
	n := 0
	for _, c := range j.Calls {
		if strings.Contains(c.Path, part) {
			n++
		}
	}
	return n
}

// restart starts a gateway that was stopped again, with its file and its state.
func (g *gateway) restart() *gateway {
	g.t.Helper()
	n := &gateway{dir: g.dir, file: g.file, data: g.data}
	n.process = launch(g.t, g.dir, nil, "serve", "-c", g.file, "--data", g.data, "--listen", "127.0.0.1:0")
	n.addr = n.line(listens)[1]
	n.url = "http://" + n.addr
	g.t.Cleanup(func() { n.stop() })
	return n
}

// A response is asked for, gone on from and deleted where it was made, by the
// key that made it, after a restart too.
func TestResponsesState(t *testing.T) {
	t.Parallel()
	g, _, _ := keepers(t, "")
	made := map[string]string{} // id → target
	var ids []string
	for n := range 8 {
		body := `{"model":"both","input":"Remember ` + fmt.Sprint(n) + `"}`
		if n%2 == 1 {
			body = `{"model":"both","stream":true,"input":"Remember ` + fmt.Sprint(n) + `"}`
		}
		r, id := g.respond(keyState, body)
		if r.status != 200 || id == "" {
			t.Fatalf("making one: %s", r)
		}
		made[id] = g.record(r.id(), bearer(keyState)...).Target
		ids = append(ids, id)
	}
	use := func(g *gateway) {
		t.Helper()
		for _, id := range ids {
			for _, prefix := range []string{"/v1", "", "/openai/v1"} {
				if r := g.get(prefix+"/responses/"+id, bearer(keyState)...); r.status != 200 || !strings.Contains(string(r.body), id) {
					t.Fatalf("%s: %s", id, r)
				} else if got := r.header.Get("X-Sluice-Target"); got != made[id] {
					t.Errorf("%s: asked %s, made by %s", id, got, made[id])
				}
			}
			if r := g.get("/v1/responses/"+id+"/input_items?limit=1", bearer(keyState)...); r.status != 200 || !strings.Contains(string(r.body), "Remember") {
				t.Errorf("items of %s: %s", id, r)
			}
			for range 3 { // by turn it would go to both
				r, next := g.respond(keyState, `{"model":"both","previous_response_id":"`+id+`","input":"And now?"}`)
				if r.status != 200 || next == "" {
					t.Fatalf("going on from %s: %s", id, r)
				}
				if got := r.header.Get("X-Sluice-Target"); got != made[id] {
					t.Errorf("going on from %s: asked %s, made by %s", id, got, made[id])
				}
			}
			// Another key learns nothing.
			for _, r := range []*reply{
				g.get("/v1/responses/"+id, bearer(keyOther)...), g.get("/v1/responses/"+id+"/input_items", bearer(keyOther)...),
				do(t, http.MethodDelete, g.url+"/v1/responses/"+id, "", bearer(keyOther)...), g.post("/v1/responses/"+id+"/cancel", "", bearer(keyOther)...),
			} {
				unknown := g.get("/v1/responses/resp_unknown", bearer(keyOther)...)
				if r.status != 404 || r.code() != "not_found" || strings.ReplaceAll(string(r.body), id, "resp_unknown") != string(unknown.body) {
					t.Errorf("another key: %s, want as of an unknown one: %s", r, unknown)
				}
			}
			if r, _ := g.respond(keyOther, `{"model":"both","previous_response_id":"`+id+`","input":"And now?"}`); r.status != 404 || r.code() != "previous_response_not_found" {
				t.Errorf("another key goes on: %s", r)
			}
		}
	}
	use(g)
	g.stop()
	again := g.restart()
	use(again)
	if r := do(t, http.MethodDelete, again.url+"/v1/responses/"+ids[0], "", bearer(keyState)...); r.status != 200 || !strings.Contains(string(r.body), `"deleted"`) {
		t.Errorf("deleting: %s", r)
	}
	if r := again.get("/v1/responses/"+ids[0], bearer(keyState)...); r.status != 404 {
		t.Errorf("after deleting: %s", r)
	}
}

// What cannot be gone on from is refused in the words of the protocol.
func TestResponsesStateRefused(t *testing.T) {
	t.Parallel()
	g, one, two := keepers(t, "")
	_, id := g.respond(keyState, `{"model":"first","input":"Remember"}`)
	_, forgotten := g.respond(keyState, `{"model":"first","store":false,"input":"Forget"}`)
	asked := one.paths("/responses") + two.paths("/responses")
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		param      string
	}{
		{"unknown", `{"model":"both","previous_response_id":"resp_1","input":"x"}`, 404, "previous_response_not_found", "previous_response_id"},
		{"not stored", `{"model":"both","previous_response_id":"` + forgotten + `","input":"x"}`, 404, "previous_response_not_found", "previous_response_id"},
		{"unknown conversation", `{"model":"both","conversation":{"id":"conv_1"},"input":"x"}`, 404, "previous_response_not_found", "previous_response_id"},
		{"a vendor that keeps nothing", `{"model":"stateless","previous_response_id":"` + id + `","input":"x"}`, 400, "unsupported_parameter", "previous_response_id"},
		{"another provider", `{"model":"second","previous_response_id":"` + id + `","input":"x"}`, 400, "invalid_request", "model"},
	} {
		r := g.post("/v1/responses", c.body, bearer(keyState)...)
		var v struct {
			Error struct{ Code, Param, Message string }
		}
		_ = json.Unmarshal(r.body, &v)
		if r.status != c.status || v.Error.Code != c.code || v.Error.Param != c.param {
			t.Errorf("%s: %s", c.name, r)
		}
	}
	if now := one.paths("/responses") + two.paths("/responses"); now != asked {
		t.Errorf("%d calls went out for requests that were refused", now-asked)
	}
	if r := do(t, http.MethodPut, g.url+"/v1/responses/"+id, "", bearer(keyState)...); r.status != 405 || r.header.Get("Allow") != "GET, DELETE" {
		t.Errorf("a method that it has not: %s", r)
	}
	if r := g.get("/v1/responses/"+id+"/nothing", bearer(keyState)...); r.status != 404 {
		t.Errorf("a path that it has not: %s", r)
	}
}

// Without a store there is no state, and it is said.
func TestResponsesStateWithoutStore(t *testing.T) {
	t.Parallel()
	g, _, _ := keepers(t, "store: none")
	r, id := g.respond(keyState, `{"model":"first","input":"Remember"}`)
	if r.status != 200 {
		t.Fatalf("making one: %s", r)
	}
	for _, r := range []*reply{
		g.get("/v1/responses/"+id, bearer(keyState)...),
		g.post("/v1/responses", `{"model":"first","previous_response_id":"`+id+`","input":"x"}`, bearer(keyState)...),
	} {
		if r.status != 400 || r.code() != "unsupported_parameter" || !strings.Contains(string(r.body), "store") {
			t.Errorf("%s", r)
		}
	}
}

// A conversation is compacted by the vendor, as it came and as it comes, and
// refused where there is nobody to do it.
func TestCompact(t *testing.T) {
	t.Parallel()
	const answer = `{"id":"resp_c","object":"response.compaction","created_at":1,"output":[{"type":"compaction","id":"cmp_1","encrypted_content":"x"}],"usage":{"input_tokens":9,"output_tokens":4,"total_tokens":13}}`
	v := newVendor(t, func(c *call) { c.answer(200, answer) })
	g := serve(t, fmt.Sprintf(`
providers:
  keeper: {kind: openai, base_url: "http://%[1]s", api_key: %[2]s}
  chat: {kind: openai-compatible, base_url: "http://%[1]s", api_key: %[2]s, protocol: openai}
models: {m: keeper/gpt, stateless: chat/gpt}
keys: [{name: owner, key: %[3]s}, {name: other, key: %[4]s}]
`, v.addr(), secret, keyState, keyOther))
	r := g.post("/v1/responses/compact", `{"model":"m","input":[{"type":"odd"}]}`, bearer(keyState)...)
	if got := v.call(1); string(r.body) != answer || got.path != "/v1/responses/compact" || string(got.body) != `{"model":"gpt","input":[{"type":"odd"}]}` {
		t.Errorf("%s; the vendor saw %s %s", r, got.path, got.body)
	}
	if rec := g.record(r.id(), bearer(keyState)...); rec.Usage.Input != 9 || rec.Usage.Output != 4 || rec.Target != "keeper/gpt" {
		t.Errorf("record: %+v", rec)
	}
	for body, code := range map[string]string{
		`{"model":"stateless","input":"x"}`:                                 "unsupported_parameter",
		`{"model":"m","input":"x","previous_response_id":"resp_somebodys"}`: "previous_response_not_found",
	} {
		if r := g.post("/v1/responses/compact", body, bearer(keyState)...); r.code() != code {
			t.Errorf("%s: %s, want %s", body, r, code)
		}
	}
	if n := v.count(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}
