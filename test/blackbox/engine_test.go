package blackbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// engineVendor is an engine that tells how busy it is with the page that busy
// holds; nil: it tells nothing.
func engineVendor(t *testing.T, busy *atomic.Pointer[string]) *vendor {
	return newVendor(t, func(c *call) {
		switch page := busy.Load(); {
		case c.path == "/v1/models":
			c.answer(200, `{"data":[]}`)
		case c.path != "/metrics":
			c.whole("ok")
		case page == nil:
			c.answer(404, "")
		default:
			c.answer(200, *page, "Content-Type: text/plain; version=0.0.4")
		}
	})
}

// asked counts the calls of a vendor at a path.
func (v *vendor) asked(path string) (n int) {
	for _, c := range v.journal() {
		if c.path == path {
			n++
		}
	}
	return n
}

// vllmSays is what vLLM's /metrics would.
func vllmSays(running, waiting int, used float64) *string {
	s := fmt.Sprintf(`# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen"} %d.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="qwen"} %d.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="qwen"} %g
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="4096"} 1.0
`, running, waiting, used)
	return &s
}

// An engine that others keep busy is left alone, by what it says of itself, and
// comes back when it is idle; after a reload, too.
func TestBusyEngineIsAvoided(t *testing.T) {
	t.Parallel()
	var one, two atomic.Pointer[string]
	one.Store(vllmSays(16, 40, 0.98))
	two.Store(vllmSays(0, 0, 0))
	a, b := engineVendor(t, &one), engineVendor(t, &two)
	g := serve(t, "providers:\n"+a.of("vllm", "a", "k1")+b.of("vllm", "b", "k2")+`models:
  qwen: {strategy: adaptive, targets: [a/qwen, b/qwen]}
`)
	const chat = "/v1/chat/completions"
	looked := func() {
		t.Helper()
		before, other := a.asked("/metrics"), b.asked("/metrics")
		eventually(t, "another look at both engines", func() bool { // while calls flow
			g.chat("qwen")
			return a.asked("/metrics") > before+1 && b.asked("/metrics") > other+1 // the one before is over
		})
	}
	quiet := func(what string, v *vendor) {
		t.Helper()
		before := v.asked(chat)
		for range 30 {
			if r := g.chat("qwen"); r.status != 200 {
				t.Fatalf("%s: %s", what, r)
			}
		}
		if n := v.asked(chat) - before; n > 0 {
			t.Errorf("%s: the busy engine got %d of 30 calls", what, n)
		}
	}
	looked()
	quiet("a is busy", a)
	if h := a.call(1).header.Get("Authorization"); h != "Bearer k1" {
		t.Errorf("a was asked with %q", h)
	}
	one.Store(vllmSays(0, 0, 0))
	two.Store(vllmSays(16, 40, 0.98))
	looked()
	quiet("b is busy", b)
	one.Store(vllmSays(16, 40, 0.98))
	two.Store(vllmSays(0, 0, 0))
	g.signal(syscall.SIGHUP)
	g.line(`"reloaded"`)
	looked()
	quiet("a is busy after a reload", a)
}

// The turns of a conversation go to the engine that has its prefix, whichever of
// the engines tell how busy they are; conversations are spread.
func TestPrefixKeepsToItsEngine(t *testing.T) {
	t.Parallel()
	const conversations, turns = 12, 5
	pages := make([]atomic.Pointer[string], 4)
	pages[0].Store(vllmSays(0, 0, 0))
	pages[1].Store(vllmSays(1, 0, 0.02))
	yaml, targets := "providers:\n", []string{}
	for i, name := range []string{"a", "b", "c", "d"} {
		yaml += engineVendor(t, &pages[i]).of([]string{"vllm", "vllm", "llamacpp", "ollama"}[i], name, "k")
		targets = append(targets, name+"/qwen")
	}
	g := serve(t, yaml+"models:\n  qwen: {strategy: adaptive, targets: ["+strings.Join(targets, ", ")+"]}\n")
	messages := make([][]turn, conversations)
	homes, used := make([]string, conversations), map[string]bool{}
	for step := range turns {
		for i := range messages {
			if step == 0 {
				messages[i] = []turn{{"system", strings.Repeat(fmt.Sprintf("Agent %d works by the book. ", i), 100)}}
			} else {
				messages[i] = append(messages[i], turn{"assistant", "ok"})
			}
			messages[i] = append(messages[i], turn{"user", fmt.Sprintf("Step %d. %s", step, strings.Repeat("A line of a file. ", 20))})
			body, err := json.Marshal(map[string]any{"model": "qwen", "messages": messages[i]})
			if err != nil {
				t.Fatal(err)
			}
			r := g.post("/v1/chat/completions", string(body))
			at := r.header.Get("X-Sluice-Target")
			if r.status != 200 || step > 0 && at != homes[i] {
				t.Errorf("conversation %d, step %d: at %q, before at %q: %s", i, step, at, homes[i], r)
			}
			homes[i] = at
			used[at] = true
		}
	}
	if len(used) < 2 {
		t.Errorf("all conversations are at %v", used)
	}
}
