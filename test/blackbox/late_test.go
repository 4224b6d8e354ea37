package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is done for an answer that is late, breaks off or cannot be had: hedges,
// resumption, degradation.

// marked is what is told of a request beyond record.
type marked struct {
	Outcome  string `json:"outcome"`
	Degraded int    `json:"degraded"`
	Usage    usage  `json:"usage"`
	Attempts []struct {
		Target  string `json:"target"`
		Outcome string `json:"outcome"`
		Note    string `json:"note"`
		Usage   usage  `json:"usage"`
	} `json:"attempts"`
}

// marked waits for a request to be settled.
func (g *gateway) marked(id string) (m marked) {
	g.t.Helper()
	eventually(g.t, "the request's record", func() bool {
		r := g.get("/gateway/requests/" + id)
		return r.status == 200 && json.Unmarshal(r.body, &m) == nil
	})
	return m
}

// metric reads a sample of /metrics, 0 if there is none.
func (g *gateway) metric(name string) float64 {
	g.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(g.get("/metrics").body)
	if m == nil {
		return 0
	}
	x, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return x
}

func TestFault60Hedge(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			p := newPair(t, (*call).hang, "hedge: {after: 100ms, budget: 1}\ntimeouts: {first_token: 15s, total: 15s}\n")
			ask := p.chat
			if stream {
				ask = p.stream
			}
			r := ask("m")
			if r.status != 200 || !strings.Contains(string(r.body), "from") || strings.Contains(string(r.body), "error") || r.header.Get("X-Sluice-Target") != "b/vendor-m" {
				t.Fatalf("answer: got %s, want B's", r)
			}
			for _, c := range p.a.journal() {
				closed(t, "the close of A's connection", c.left)
			}
			m := p.marked(r.id())
			if len(m.Attempts) != 2 || m.Attempts[0].Outcome != "lost" || m.Attempts[1].Outcome != "ok" || m.Attempts[1].Note != "hedge" {
				t.Errorf("attempts: got %+v, want A's lost and B's as the hedge", m.Attempts)
			}
			if l := p.logged(r.id()); l["hedged"] != true {
				t.Errorf("access log: got %v, want it hedged", l)
			}
			if x := p.target("a/vendor-m"); x.ErrorRate != 0 || x.State != "closed" {
				t.Errorf("A: got %+v; a call that was slower is no failure", x)
			}
			if n := p.metric(`sluice_hedges_total{result="ok"}`); n < 1 {
				t.Errorf("sluice_hedges_total of those that won: got %v", n)
			}
		})
	}
	t.Run("both are billed", func(t *testing.T) {
		t.Parallel()
		a := newVendor(t, func(c *call) { anthropicStream(c, "msg_1"); c.hang() })
		b := newVendor(t, func(c *call) { c.whole("from B") })
		g := serve(t, "hedge: {after: 100ms, budget: 1}\nproviders:\n"+a.kind("a", "anthropic")+b.provider("b", "k")+
			"models: {m: {targets: [{target: a/claude-sonnet-4-5, price: {input: 3, output: 15}}, {target: b/x, price: {input: 1, output: 2}}], strategy: ordered}}\n")
		r := g.stream("m")
		answered := time.Now()
		closed(t, "the close of A's connection", a.call(1).left)
		t.Logf("the slower call had ended %v after the answer", time.Since(answered))
		m := g.marked(r.id())
		if len(m.Attempts) != 2 || m.Attempts[0].Usage.Input != 10 || m.Attempts[0].Outcome != "lost" || m.Attempts[1].Usage.Input != 5 {
			t.Errorf("attempts: got %+v, want what each vendor counted", m.Attempts)
		}
		if m.Usage.Input != 15 {
			t.Errorf("usage: got %+v, want that of both", m.Usage)
		}
	})
	t.Run("the first is quicker after all", func(t *testing.T) {
		begun := make(chan struct{})
		p := newPair(t, func(c *call) { <-begun; c.whole("from A") }, "hedge: {after: 50ms, budget: 1}\ntimeouts: {first_token: 15s, total: 15s}\n")
		p.b.script = func(c *call) { close(begun); c.hang() }
		r := p.chat("m")
		if r.status != 200 || r.header.Get("X-Sluice-Target") != "a/vendor-m" || r.header.Get("X-Sluice-Attempts") != "2" {
			t.Fatalf("answer: got %s, want A's, of two attempts", r)
		}
		closed(t, "the close of B's connection", p.b.call(1).left)
		if m := p.marked(r.id()); len(m.Attempts) != 2 || m.Attempts[1].Outcome != "lost" {
			t.Errorf("attempts: got %+v", m.Attempts)
		}
	})
	t.Run("budget", func(t *testing.T) {
		p := newPair(t, func(c *call) {
			if c.pause(60 * time.Millisecond) {
				c.whole("from A")
			}
		}, "hedge: {after: 10ms}\ntimeouts: {first_token: 15s, total: 15s}\n")
		const requests = 100
		for range requests {
			if r := p.chat("m"); r.status != 200 {
				t.Fatalf("answer: got %s", r)
			}
		}
		if n := p.b.count(); n > requests/20 {
			t.Errorf("hedges: got %d of %d requests, want at most 5 %%", n, requests)
		}
	})
}

// message is Anthropic's stream up to the text.
func anthropicStream(c *call, id string, pieces ...string) {
	c.begin()
	c.raw(`event: message_start` + "\n" + `data: {"type":"message_start","message":{"id":"` + id + `","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}` + "\n\n")
	c.raw("event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n")
	for _, p := range pieces {
		c.raw("event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + p + `"}}` + "\n\n")
	}
}

func anthropicEnd(c *call) {
	c.raw("event: content_block_stop\n" + `data: {"type":"content_block_stop","index":0}` + "\n\n")
	c.raw("event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}}` + "\n\n")
	c.raw("event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n")
	c.end()
}

// half is the first half of an answer, and how it breaks.
func half(kind string, end func(*call)) func(*call) {
	return func(c *call) {
		if kind == "anthropic" {
			anthropicStream(c, "msg_first", "One ", "two ")
		} else {
			c.begin()
			c.events(roleChunk, contentChunk("One "), contentChunk("two "))
		}
		end(c)
	}
}

// rest is the second half.
func rest(kind string) func(*call) {
	return func(c *call) {
		if kind == "anthropic" {
			anthropicStream(c, "msg_second", "three ", "four.")
			anthropicEnd(c)
			return
		}
		c.begin()
		second := func(s string) string { return strings.ReplaceAll(s, "chatcmpl-1", "chatcmpl-2") }
		c.events(second(roleChunk), second(contentChunk("three ")), second(contentChunk("four.")), second(stopChunk), second(usageChunk), "[DONE]")
		c.end()
	}
}

// posts are the calls that ask for an answer; engines are asked for their models
// too.
func (v *vendor) posts() []*call {
	return slices.DeleteFunc(v.journal(), func(c *call) bool { return c.method != http.MethodPost })
}

// listing answers questions for models, and hands on all else.
func listing(script func(*call)) func(*call) {
	return func(c *call) {
		if c.method == http.MethodPost {
			script(c)
			return
		}
		c.answer(200, `{"object":"list","data":[]}`)
	}
}

func (v *vendor) kind(name, kind string) string {
	return fmt.Sprintf("  %s: {kind: %s, base_url: \"http://%s\", api_key: k}\n", name, kind, v.addr())
}

// texts joins what a client is told in a stream of any protocol, and counts
// what may come once.
func texts(t *testing.T, proto string, r *reply) (text string) {
	t.Helper()
	count := map[string]int{}
	ids := map[string]bool{}
	for _, d := range datas(r.body) {
		var e struct {
			Type, ID string
			Delta    struct{ Text, Role string }
			Message  struct{ ID string }
			Choices  []struct {
				Delta struct{ Role, Content string }
				Stop  string `json:"finish_reason"`
			}
		}
		if d == "[DONE]" {
			count[d]++
			continue
		}
		if err := json.Unmarshal([]byte(d), &e); err != nil {
			t.Fatalf("%v: %s", err, d)
		}
		count[e.Type]++
		if text += e.Delta.Text; proto == "openai" {
			ids[e.ID] = true
		}
		for _, c := range e.Choices {
			text += c.Delta.Content
			if c.Delta.Role != "" {
				count["role"]++
			}
			if c.Stop != "" {
				count["stop"]++
			}
		}
	}
	want := []string{"role", "stop", "[DONE]"}
	if proto == "anthropic" {
		want = []string{"message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"}
	}
	for _, w := range want {
		if count[w] != 1 {
			t.Errorf("%s: got %d, want 1: %s", w, count[w], r)
		}
	}
	if proto == "openai" && len(ids) != 1 {
		t.Errorf("ids: got %v, want one", ids)
	}
	return text
}

func TestResumed(t *testing.T) {
	cut := func(c *call) { c.cut() }
	paths := map[string]string{"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
	for _, x := range []struct{ client, first, second string }{
		{"openai", "vllm", "vllm"}, {"openai", "vllm", "anthropic"}, {"openai", "anthropic", "vllm"},
		{"anthropic", "anthropic", "anthropic"}, {"anthropic", "vllm", "anthropic"}, {"anthropic", "anthropic", "vllm"},
	} {
		for name, end := range map[string]func(*call){
			"cut":   cut,
			"stall": (*call).hang,
			"error": func(c *call) {
				if x.first == "anthropic" {
					c.raw("event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}` + "\n\n")
				} else {
					c.events(`{"error":{"message":"it broke","type":"server_error","code":null}}`)
				}
				c.end()
			},
		} {
			t.Run(x.client+" "+x.first+" "+x.second+" "+name, func(t *testing.T) {
				t.Parallel()
				a, b := newVendor(t, listing(half(x.first, end))), newVendor(t, listing(rest(x.second)))
				g := serve(t, quick+"providers:\n"+a.kind("a", x.first)+b.kind("b", x.second)+
					"models: {m: {targets: [a/claude-sonnet-4-5, b/claude-haiku-4-5], strategy: ordered, on_cut: resume}}\n")
				r := g.post(paths[x.client], `{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":100,`+hello+`}`)
				if got := texts(t, x.client, r); r.status != 200 || got != "One two three four." {
					t.Errorf("text: got %q in %s, want it once and whole", got, r)
				}
				if !strings.Contains(string(r.body), "\n: resumed\n") {
					t.Errorf("no comment says that the answer was resumed: %s", r)
				}
				goneOn(t, x.second, b)
				m := g.marked(r.id())
				if len(m.Attempts) != 2 || m.Attempts[1].Note != "resume" || m.Outcome != "ok" {
					t.Fatalf("record: got %+v", m)
				}
				for _, at := range m.Attempts {
					if at.Usage.Output == 0 || at.Usage.Input == 0 {
						t.Errorf("attempt at %s was not billed: %+v", at.Target, at.Usage)
					}
				}
				if l := g.logged(r.id()); l["resumed"] != true || l["outcome"] != "ok" {
					t.Errorf("access log: got %v, want it resumed", l)
				}
				if len(a.posts()) != 1 || len(b.posts()) != 1 {
					t.Errorf("calls: got %d and %d, want 1 and 1", len(a.posts()), len(b.posts()))
				}
			})
		}
	}
}

// The other protocols' clients see one answer too; of Responses only where it is
// translated, for what passes has ids that only its vendor knows.
func TestResumedOthers(t *testing.T) {
	gemini := func(c *call) {
		c.begin()
		for _, w := range []string{"One ", "two "} {
			c.events(`{"candidates":[{"content":{"role":"model","parts":[{"text":"` + w + `"}]},"index":0}],"responseId":"r1","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11}}`)
		}
		c.cut()
	}
	ask := `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`
	for _, x := range []struct {
		name, path, body, kind string
		script                 func(*call)
		text                   *regexp.Regexp
		end                    string
	}{
		{"gemini", "/v1beta/models/m:streamGenerateContent?alt=sse", ask, "gemini", gemini, regexp.MustCompile(`"text":\s*"([^"]*)"`), `"STOP"`},
		{"gemini array", "/v1beta/models/m:streamGenerateContent", ask, "gemini", gemini, regexp.MustCompile(`"text":\s*"([^"]*)"`), `"STOP"`},
		{"gemini before claude", "/v1beta/models/m:streamGenerateContent", ask, "anthropic", half("anthropic", (*call).cut), regexp.MustCompile(`"text":\s*"([^"]*)"`), `"STOP"`},
		{"responses before claude", "/v1/responses", `{"model":"m","stream":true,"store":false,"input":"Hello"}`, "anthropic", half("anthropic", (*call).cut),
			regexp.MustCompile(`"type":"response.output_text.delta".*"delta":"([^"]*)"`), "response.completed"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			a, b := newVendor(t, listing(x.script)), newVendor(t, listing(rest("vllm")))
			g := serve(t, quick+"providers:\n"+a.kind("a", x.kind)+b.kind("b", "vllm")+
				"models: {m: {targets: [a/claude-sonnet-4-5, b/qwen], strategy: ordered, on_cut: resume}}\n")
			r := g.post(x.path, x.body)
			text := ""
			for _, m := range x.text.FindAllSubmatch(r.body, -1) {
				text += string(m[1])
			}
			if r.status != 200 || text != "One two three four." || strings.Count(string(r.body), x.end) == 0 {
				t.Errorf("text: got %q in %s, want it once and whole", text, r)
			}
			if strings.HasSuffix(x.path, "Content") && !json.Valid(r.body) {
				t.Errorf("the array is no JSON: %s", r)
			}
			if m := g.marked(r.id()); len(m.Attempts) != 2 || m.Attempts[1].Note != "resume" {
				t.Errorf("record: got %+v", m)
			}
		})
	}
}

// goneOn checks that a vendor was given the beginning of the answer, and what of
// the client's bound was left.
func goneOn(t *testing.T, kind string, v *vendor) {
	t.Helper()
	var body struct {
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
		Max   int  `json:"max_tokens"`
		Final bool `json:"continue_final_message"`
	}
	if err := json.Unmarshal(v.posts()[0].body, &body); err != nil {
		t.Fatal(err)
	}
	last := body.Messages[len(body.Messages)-1]
	if last.Role != "assistant" || !strings.Contains(string(last.Content), `"One two"`) || body.Final != (kind == "vllm") {
		t.Errorf("the second vendor was asked with %s", v.posts()[0].body)
	}
	if body.Max >= 100 || body.Max < 90 {
		t.Errorf("max_tokens: got %d, want what is left of 100", body.Max)
	}
}

func TestNotResumed(t *testing.T) {
	for _, x := range []struct{ name, model, kind, more string }{
		{"not asked for", "on_cut: end", "vllm", ""},
		{"nobody can go on", "on_cut: resume", "openai", ""},
		{"log probabilities", "on_cut: resume", "vllm", `"logprobs":true,`},
		{"a format", "on_cut: resume", "vllm", `"response_format":{"type":"json_object"},`},
		{"two answers", "on_cut: resume", "vllm", `"n":2,`},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			a, b := newVendor(t, listing(half("vllm", (*call).cut))), newVendor(t, listing(rest("vllm")))
			g := serve(t, quick+"providers:\n"+a.kind("a", "vllm")+b.kind("b", x.kind)+"models: {m: {targets: [a/x, b/y], strategy: ordered, "+x.model+"}}\n")
			broken(t, g.post("/v1/chat/completions", `{"model":"m","stream":true,`+x.more+hello+`}`), "One two ")
			if n := len(b.posts()); n != 0 {
				t.Errorf("calls to B: got %d, want 0", n)
			}
		})
	}
}

// asks are the requests of every protocol that a text can answer, with where it
// stands in a whole answer and how a stream ends.
var asks = []struct{ name, path, body, end string }{
	{"chat", "/v1/chat/completions", `{"model":"m",` + hello + `}`, ""},
	{"chat streamed", "/v1/chat/completions", `{"model":"m","stream":true,` + hello + `}`, "data: [DONE]\n\n"},
	{"completions", "/v1/completions", `{"model":"m","prompt":"Hello"}`, ""},
	{"completions streamed", "/v1/completions", `{"model":"m","stream":true,"prompt":"Hello"}`, "data: [DONE]\n\n"},
	{"responses", "/v1/responses", `{"model":"m","store":false,"input":"Hello"}`, ""},
	{"responses streamed", "/v1/responses", `{"model":"m","store":false,"stream":true,"input":"Hello"}`, "response.completed"},
	{"messages", "/v1/messages", `{"model":"m","max_tokens":5000,` + hello + `}`, ""},
	{"messages streamed", "/v1/messages", `{"model":"m","max_tokens":5000,"stream":true,` + hello + `}`, "message_stop"},
	{"gemini", "/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, ""},
	{"gemini streamed", "/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, `"STOP"`},
	{"gemini array", "/v1beta/models/m:streamGenerateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`, "]\n"},
}

// refuse answers as a vendor that is overloaded.
func refuse(c *call) { c.answer(500, `{"error":{"message":"boom"}}`) }

// number reads a positive number of a JSON body by its key, wherever it stands;
// 0 if there is none.
func number(body []byte, keys ...string) int {
	for _, k := range keys {
		if m := regexp.MustCompile(`"` + k + `":\s*(\d+)`).FindSubmatch(body); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			return n
		}
	}
	return 0
}

func TestDegraded(t *testing.T) {
	for _, x := range []struct{ name, steps, level, target string }{
		{"answer", `[{answer: "from the gateway"}]`, "1", ""},
		{"model", `[{model: small}, {answer: never}]`, "1", "b/small"},
		{"max_tokens", `[{model: gone}, {max_tokens: 16}, {answer: never}]`, "2", "a/vendor-m"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			a := newVendor(t, func(c *call) {
				if n := number(c.body, "max_tokens", "max_completion_tokens"); n == 0 || n > 16 {
					refuse(c)
				} else {
					c.whole("from A, shortly")
				}
			})
			b := newVendor(t, func(c *call) { c.whole("from small") })
			g := serve(t, quick+"retry: {attempts: 1, budget: 1}\nbreaker: {failures: 0, success_rate: 0}\nproviders:\n"+a.provider("a", "k")+b.provider("b", "k")+
				fmt.Sprintf("  c: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: k}\n", deaf(t))+
				"models:\n  m: {targets: [a/vendor-m], degrade: "+x.steps+"}\n  small: b/small\n  gone: c/x\n")
			for _, ask := range asks {
				r := g.post(ask.path, ask.body)
				body := string(r.body)
				if r.status != 200 || r.header.Get("X-Sluice-Degraded") != x.level || r.header.Get("X-Sluice-Target") != x.target {
					t.Errorf("%s: got %s, want level %s of %q", ask.name, r, x.level, x.target)
				}
				if all := regexp.MustCompile(`[^a-zA-Z]`).ReplaceAllString(body, ""); !strings.Contains(all, "from") || strings.Contains(body, "error\":{") || !strings.HasSuffix(strings.TrimRight(body, "\n}]"), strings.TrimRight(ask.end, "\n}]")) && !strings.Contains(body, ask.end) {
					t.Errorf("%s: got %s", ask.name, body)
				}
				m := g.marked(r.id())
				if strconv.Itoa(m.Degraded) != x.level || m.Outcome != "ok" {
					t.Errorf("%s: record: got %+v", ask.name, m)
				}
				if x.target == "" && (len(m.Attempts) != 1 || m.Usage != usage{}) {
					t.Errorf("%s: the gateway's own answer costs: %+v", ask.name, m)
				}
				if l := g.logged(r.id()); fmt.Sprint(l["degraded"]) != x.level {
					t.Errorf("%s: access log: got %v", ask.name, l)
				}
			}
			if n := g.metric(`sluice_degraded_total{level="` + x.level + `",model="m"}`); int(n) != len(asks) {
				t.Errorf("sluice_degraded_total: got %v, want %d", n, len(asks))
			}
			r := g.post("/v1/embeddings", `{"model":"m","input":"Hello"}`)
			if x.name == "answer" && (r.status != http.StatusBadGateway || r.header.Get("X-Sluice-Degraded") != "") {
				t.Errorf("vectors: got %s, want the vendor's failure: no text is a vector", r)
			}
			r = g.post("/gateway/route", `{"model":"m",`+hello+`}`)
			if !strings.Contains(string(r.body), `"degrade":[{`) {
				t.Errorf("plan: got %s, want the levels", r)
			}
			id := g.chat("m").id()
			eventually(t, "the level in the ledger", func() bool {
				_, out, _ := run(t, g.dir, "", nil, "explain", "-c", g.file, "--data", g.data, "-o", "json", id)
				return regexp.MustCompile(`"degraded":\s*` + x.level).MatchString(out)
			})
		})
	}
	t.Run("callers", func(t *testing.T) {
		t.Parallel()
		a := newVendor(t, func(c *call) { c.answer(400, `{"error":{"message":"bad","type":"invalid_request_error"}}`) })
		g := serve(t, quick+"providers:\n"+a.provider("a", "k")+"models: {m: {targets: [a/x], degrade: [{answer: never}]}}\n")
		if r := g.chat("m"); r.status != 400 || r.header.Get("X-Sluice-Degraded") != "" {
			t.Errorf("answer: got %s, want the caller's 400", r)
		}
	})
}

// deaf is an address where nobody listens.
func deaf(t *testing.T) string {
	v := newVendor(t, nil)
	v.close()
	return v.addr()
}

func TestFailoverMetric(t *testing.T) {
	for name, script := range map[string]func(*call){"refused": nil, "reset": (*call).reset, "5xx": refuse} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, script, "")
			if script == nil {
				p.a.close()
			}
			var clean, over []time.Duration
			measure := func(model string) time.Duration {
				begin := time.Now()
				if r := p.chat(model); r.status != 200 {
					t.Fatalf("answer: got %s", r)
				}
				return time.Since(begin)
			}
			for range 4 {
				over = append(over, measure("m"))
				clean = append(clean, measure("b/vendor-m"))
			}
			slices.Sort(clean)
			slices.Sort(over)
			eventually(t, "the metric", func() bool { return p.metric("sluice_failover_seconds_count") == 4 })
			t.Logf("failover: %v on top of %v (medians of 4); signal to first byte %v", over[2]-clean[2], clean[2],
				time.Duration(p.metric("sluice_failover_seconds_sum")/4*float64(time.Second)))
		})
	}
}
