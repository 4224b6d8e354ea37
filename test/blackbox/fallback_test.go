package blackbox

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// What a further target cannot be told is not left out in silence: it is not
// asked, or the client learns what went wrong.
func TestFault57NothingDropped(t *testing.T) {
	t.Parallel()
	a := newVendor(t, func(c *call) { c.answer(500, boom) })
	small := newVendor(t, func(c *call) { // knows its own limits
		c.answer(400, `{"error":{"message":"This model's maximum context length is 10 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`)
	})
	deaf := newVendor(t, func(c *call) {
		c.answer(200, `{"message":{"role":"assistant","content":"saw no picture"},"done":true}`)
	})
	c := newVendor(t, func(c *call) { c.whole("from C") })
	g := serve(t, "strategy: ordered\nproviders:\n"+a.provider("a", "k")+small.provider("small", "k")+fmt.Sprintf("  deaf: {kind: ollama, protocol: ollama, base_url: \"http://%s\"}\n", deaf.addr())+c.provider("c", "k")+`models:
  pictures: {targets: [a/m, deaf/m, {target: c/m, context: 1000000}]}
  no-pictures: {targets: [a/n, deaf/m]}
  contexts: {targets: [{target: a/o, context: 1000}, {target: small/m, context: 10}, {target: a/p, context: 5}, {target: c/m, context: 1000000}]}
  small: {targets: [{target: a/q, context: 1000}, {target: small/m, context: 10}]}
`)
	picture := func(model string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"https://pictures.example/cat.png"}}]}]}`
	}
	for _, x := range []struct {
		model, body string
		status      int
		text        string
	}{
		{"pictures", picture("pictures"), 200, "from C"},
		{"no-pictures", picture("no-pictures"), 502, "upstream_error"},
		{"contexts", `{"model":"contexts",` + hello + `}`, 200, "from C"},
		{"small", `{"model":"small",` + hello + `}`, 400, "context_length_exceeded"},
	} {
		r := g.post("/v1/chat/completions", x.body)
		if r.status != x.status || !strings.Contains(string(r.body), x.text) {
			t.Errorf("%s: got %s, want %d with %q", x.model, r, x.status, x.text)
		}
	}
	for _, call := range deaf.journal() {
		if call.method == "POST" {
			t.Errorf("the target that takes no picture by its address was asked: %s", call.body)
		}
	}
	for _, call := range c.journal() {
		if call.model == "m" && strings.Contains(string(call.body), "What is this?") && !strings.Contains(string(call.body), "cat.png") {
			t.Errorf("the picture got lost: %s", call.body)
		}
	}
	for _, call := range a.journal() {
		if call.model == "p" {
			t.Error("a target with a smaller known context was asked after context_length_exceeded")
		}
	}
}

// Models in a circle, or nested without end, are no configuration. Fallback
// models that name each other are: a fallback's own fallback is not followed.
func TestFault58Circles(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) { c.answer(500, boom) })
	head := "providers:\n" + v.provider("a", "k") + "models:\n"
	deep := head + "  m0: a/m\n"
	for i := range 50 {
		deep += fmt.Sprintf("  m%d: {targets: [m%d]}\n", i+1, i)
	}
	for name, x := range map[string]struct{ yaml, want string }{
		"circle": {head + "  one: {targets: [two]}\n  two: {targets: [three, a/m]}\n  three: {targets: [one]}\n", "circle"},
		"itself": {head + "  one: {targets: [one]}\n", "the model itself"},
		"deep":   {deep, "deep"},
	} {
		dir := t.TempDir()
		write(t, dir+"/sluice.yaml", x.yaml)
		code, out, errs := run(t, dir, "", nil, "check")
		if code != 1 || !strings.Contains(out+errs, x.want) || !strings.Contains(out+errs, "sluice.yaml:") {
			t.Errorf("%s: got exit code %d and %s%s, want 1 and a position with %q", name, code, out, errs, x.want)
		}
	}
	g := serve(t, "retry: {attempts: 1}\n"+head+"  gpt-4: {targets: [a/one], fallback: [claude-3]}\n  claude-3: {targets: [a/two], fallback: [gpt-4]}\n")
	if r := g.chat("gpt-4"); r.status != 502 {
		t.Errorf("both fail: got %s, want 502", r)
	}
	if n := v.count(); n != 2 {
		t.Errorf("calls: got %d, want 2: one at each model", n)
	}
}

// The answer says who gave it and after how many attempts, and its record has
// each of them, as the vendors' journals do.
func TestFault59WhoAnswered(t *testing.T) {
	t.Parallel()
	a := newVendor(t, func(c *call) { c.answer(503, boom) })
	b := newVendor(t, func(c *call) { c.whole("from B") })
	g := serve(t, "strategy: ordered\nproviders:\n"+a.provider("a", "k")+b.provider("b", "k")+"models:\n  m: {targets: [a/one, a/two], fallback: [n]}\n  n: {targets: [a/three, b/four]}\n")
	for _, r := range []*reply{g.chat("m"), g.stream("m")} {
		rec := g.record(r.id())
		h := r.header
		if r.status != 200 || h.Get("X-Sluice-Model") != "n" || h.Get("X-Sluice-Target") != "b/four" || h.Get("X-Sluice-Fallback-From") != "m" {
			t.Errorf("answer: got %s, want that of b/four for n, fallen back from m", r)
		}
		if h.Get("X-Sluice-Attempts") != strconv.Itoa(len(rec.Attempts)) || rec.Target != "b/four" || rec.Attempts[len(rec.Attempts)-1].Outcome != "ok" {
			t.Errorf("record: got %+v, want the %s attempts that the answer tells", rec, h.Get("X-Sluice-Attempts"))
		}
	}
	if first := a.journal(); len(first) < 3 || first[0].model != "one" || first[1].model != "two" || first[2].model != "three" {
		t.Errorf("A's first calls: got %d, want one, two and three in this order", len(first))
	}
}
