package blackbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// judgedRecord is what is told of a request and its gates.
type judgedRecord struct {
	Outcome  string `json:"outcome"`
	Target   string `json:"target"`
	Strategy string `json:"strategy"`
	Cost     int64  `json:"cost_nano_usd"`
	Attempts []struct {
		Model   string   `json:"model"`
		Target  string   `json:"target"`
		Note    string   `json:"note"`
		Outcome string   `json:"outcome"`
		Flags   []string `json:"flags"`
		Score   *float64 `json:"score"`
		Usage   usage    `json:"usage"`
		Cost    int64    `json:"cost_nano_usd"`
	} `json:"attempts"`
}

func (g *gateway) judged(id string) (m judgedRecord) {
	g.t.Helper()
	eventually(g.t, "the request's record", func() bool {
		r := g.get("/gateway/requests/" + id)
		return r.status == 200 && json.Unmarshal(r.body, &m) == nil
	})
	return m
}

// calls tells who was asked and how that ended.
func (m judgedRecord) calls() string {
	var all []string
	for _, a := range m.Attempts {
		s := a.Target + " " + a.Outcome
		if len(a.Flags) > 0 {
			s += " [" + strings.Join(a.Flags, " ") + "]"
		}
		if a.Note != "" {
			s += " (" + a.Note + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

const declines = "I'm sorry, but I can't help with that request."

// A cheap model's refusal, or its broken JSON, brings the next one, whatever the
// client and the vendor speak, whole and streamed. Both calls are billed.
func TestCascade(t *testing.T) {
	t.Parallel()
	s := simulate(t, `
seed: 3
control: true
any_model: true
default: {tokens: 4}
models:
  shy: {moods: [{kind: refusal}]}
  mute: {moods: [{kind: empty}]}
  messy: {moods: [{kind: broken_json}]}
`)
	vendors := map[string]string{"openai": "openai", "responses": "openai, protocol: responses", "anthropic": "anthropic", "gemini": "gemini"}
	var b strings.Builder
	b.WriteString("providers:\n")
	for name, kind := range vendors {
		fmt.Fprintf(&b, "  %s: {kind: %s, base_url: %q, api_key: vendor-key-0123456789}\n", name, kind, s.url)
	}
	b.WriteString("models:\n")
	price := "price: {input: 1, output: 2}"
	for name := range vendors {
		for _, m := range []string{"shy", "mute", "messy", "good"} {
			fmt.Fprintf(&b, "  %s-%s: {targets: [{target: %s/%s, %s}]}\n", m, name, name, m, price)
		}
		for _, m := range []string{"shy", "mute", "messy"} {
			fmt.Fprintf(&b, "  cascade-%[1]s-%[2]s: {cascade: {models: [%[1]s-%[2]s, good-%[2]s], accept: [complete, not_refused, valid_json]}}\n", m, name)
		}
	}
	g := serve(t, b.String())
	asks := map[string]func(model, extra string, stream bool) *reply{
		"openai": func(model, extra string, stream bool) *reply {
			return g.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%v%s,%s}`, model, stream, extra, hello))
		},
		"responses": func(model, extra string, stream bool) *reply {
			if extra != "" {
				extra = `,"text":{"format":{"type":"json_object"}}`
			}
			return g.post("/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%v%s,"input":"Hello, in JSON"}`, model, stream, extra))
		},
		"anthropic": func(model, _ string, stream bool) *reply {
			return g.post("/v1/messages", fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":500,%s}`, model, stream, hello), "anthropic-version", "2023-06-01")
		},
		"gemini": func(model, extra string, stream bool) *reply {
			verb := "generateContent"
			if stream {
				verb = "streamGenerateContent?alt=sse"
			}
			if extra != "" {
				extra = `,"generationConfig":{"responseMimeType":"application/json"}`
			}
			return g.post("/v1beta/models/"+model+":"+verb, `{"contents":[{"role":"user","parts":[{"text":"Hello, in JSON"}]}]`+extra+`}`)
		},
	}
	flags := map[string]string{"shy": "refused", "mute": "empty", "messy": "invalid_json"}
	for client, ask := range asks {
		for vendor := range vendors {
			for mood, flag := range flags {
				for _, stream := range []bool{false, true} {
					extra := ""
					if mood == "messy" {
						extra = `,"response_format":{"type":"json_object"}`
						if client == "anthropic" || vendor == "anthropic" { // has no such format
							continue
						}
					}
					what := fmt.Sprintf("%s at %s, %s, stream %v", client, vendor, mood, stream)
					r := ask("cascade-"+mood+"-"+vendor, extra, stream)
					if r.status != 200 || strings.Contains(string(r.body), "sorry") || r.header.Get("X-Sluice-Model") != "good-"+vendor || r.header.Get("X-Sluice-Attempts") != "2" ||
						r.header.Get("X-Sluice-Fallback-From") != mood+"-"+vendor || r.header.Get("X-Sluice-Strategy") != "cascade" || r.header.Get("X-Sluice-Flags") != "" {
						t.Errorf("%s: got %s, %v", what, r, r.header)
						continue
					}
					m := g.judged(r.id())
					want := fmt.Sprintf("%[1]s/%[2]s rejected [%[3]s], %[1]s/good ok", vendor, mood, flag)
					if m.calls() != want {
						t.Errorf("%s: calls %s, want %s", what, m.calls(), want)
					}
					var sum int64
					for _, a := range m.Attempts {
						if sum += a.Cost; a.Usage.Input == 0 || a.Cost == 0 {
							t.Errorf("%s: %s was not billed: %+v", what, a.Target, a)
						}
					}
					if m.Cost != sum {
						t.Errorf("%s: the request cost %d, its calls %d", what, m.Cost, sum)
					}
				}
			}
		}
	}
	for _, x := range g.status().Targets {
		if x.State != "closed" || x.ErrorRate != 0 {
			t.Errorf("%s: got %+v; what gates refuse is no failure", x.ID, x)
		}
	}
	if n := g.metric(`sluice_attempts_total{outcome="rejected",target="openai/shy"}`); n == 0 {
		t.Error("sluice_attempts_total of rejected answers is 0")
	}
	t.Run("ledger", func(t *testing.T) {
		r := g.chat("cascade-shy-openai")
		m := g.judged(r.id())
		var out string
		eventually(t, "the row of the ledger", func() bool {
			var code int
			code, out, _ = run(t, g.dir, "", nil, "explain", "-c", g.file, "--data", g.data, "-o", "json", r.id())
			return code == 0
		})
		var rec judgedRecord
		if err := json.Unmarshal([]byte(out), &rec); err != nil {
			t.Fatal(err)
		}
		if len(rec.Attempts) != 2 || rec.Attempts[0].Outcome != "rejected" || strings.Join(rec.Attempts[0].Flags, " ") != "refused" || rec.Attempts[0].Cost != m.Attempts[0].Cost || rec.Attempts[1].Cost != m.Attempts[1].Cost || rec.Cost != m.Cost {
			t.Errorf("the ledger has %+v, want %+v", rec, m)
		}
	})
}

// Where nobody's answer does, the best there is is delivered, and told to be bad.
func TestCascadeNobody(t *testing.T) {
	t.Parallel()
	a := newVendor(t, func(c *call) { c.whole(declines) })
	b := newVendor(t, func(c *call) { c.answer(500, boom) })
	g := serve(t, "providers:\n"+a.provider("a", "k")+b.provider("b", "k")+`models:
  careful: {cascade: {models: [a/m, b/m], accept: [not_refused]}}
  strict: {targets: [a/m], accept: [{not_refused: {action: block}}]}
  known: {targets: [a/m], accept: [{not_refused: {action: flag}}]}
`)
	for _, stream := range []bool{false, true} {
		ask := g.chat
		if stream {
			ask = g.stream
		}
		r := ask("careful")
		if r.status != 200 || r.header.Get("X-Sluice-Flags") != "refused" || r.header.Get("X-Sluice-Model") != "a/m" {
			t.Errorf("stream %v: got %s, %v", stream, r, r.header)
		}
		if stream && text(datas(r.body)) != declines || !stream && !strings.Contains(string(r.body), declines) {
			t.Errorf("stream %v: got %s", stream, r.body)
		}
		if r = ask("known"); r.status != 200 || r.header.Get("X-Sluice-Flags") != "refused" || r.header.Get("X-Sluice-Attempts") != "1" {
			t.Errorf("flagged, stream %v: got %s, %v", stream, r, r.header)
		}
		if r = ask("strict"); r.status != 422 || r.code() != "answer_blocked" || !strings.Contains(string(r.body), "not_refused") {
			t.Errorf("blocked, stream %v: got %s", stream, r)
		}
	}
}

// Broken JSON is mended where that is asked for, in the client's protocol.
func TestRepairedAnswer(t *testing.T) {
	t.Parallel()
	a := newVendor(t, func(c *call) { c.whole("```json\\n{\\\"a\\\": [1, 2,]}\\n```") })
	g := serve(t, "providers:\n"+a.provider("a", "k")+"models: {m: {targets: [a/m], accept: [{valid_json: {action: repair, always: true}}]}}\n")
	var one struct {
		ID      string
		Choices []struct {
			Message struct{ Content string }
		}
		Usage struct {
			Completion int `json:"completion_tokens"`
		}
	}
	r := g.chat("m")
	if err := json.Unmarshal(r.body, &one); err != nil || r.status != 200 || len(one.Choices) != 1 || !json.Valid([]byte(one.Choices[0].Message.Content)) || one.ID != "chatcmpl-1" || one.Usage.Completion != 7 {
		t.Errorf("got %s, %v", r, err)
	}
	if m := g.judged(r.id()); m.calls() != "a/m ok [invalid_json]" || r.header.Get("X-Sluice-Flags") != "" {
		t.Errorf("calls %s, %v", m.calls(), r.header)
	}
	r = g.stream("m")
	events := datas(r.body)
	if got := text(events); !json.Valid([]byte(got)) || events[len(events)-1] != "[DONE]" {
		t.Errorf("streamed: got %s", r.body)
	}
	msg := g.post("/v1/messages", `{"model":"m","max_tokens":50,`+hello+`}`, "anthropic-version", "2023-06-01")
	if msg.status != 200 || strings.Contains(string(msg.body), "```") {
		t.Errorf("to a client of another protocol: got %s", msg)
	}
}

// What passes its gates is the same to the byte, and of a stream no more than 400
// bytes are held back while its vendor waits, and none for ever.
func TestStreamPassesGates(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1) // what the client has, when it has waited
	a := newVendor(t, func(c *call) {
		switch {
		case !c.stream:
			c.answer(200, "  "+completion("well, ")+"\n")
		case strings.Contains(string(c.body), "slowly"):
			c.begin()
			c.events(roleChunk, contentChunk("a few"))
			if s := <-got; !strings.Contains(s, "a few") { // by time, not by bytes
				c.v.t.Errorf("the client has %q", s)
			}
			c.events(contentChunk(" bytes"))
			if s := <-got; !strings.Contains(s, " bytes") { // and nothing is held any more
				c.v.t.Errorf("the client has %q", s)
			}
			c.events(stopChunk, usageChunk, "[DONE]")
			c.end()
		case strings.Contains(string(c.body), "at once"):
			c.begin()
			c.events(roleChunk, contentChunk(strings.Repeat("x", 400)))
			if s := <-got; !strings.Contains(s, "xxxx") {
				c.v.t.Errorf("the client has %q", s)
			}
			c.events(stopChunk, usageChunk, "[DONE]")
			c.end()
		default:
			c.begin()
			c.raw("data: " + roleChunk + "\n\n")
			for i := range 50 {
				if i == 30 {
					c.raw(": a comment\n\n")
				}
				c.raw("event:  odd\nid: " + fmt.Sprint(i) + "\ndata:" + contentChunk(fmt.Sprintf("word %d ", i)) + "\n\n")
			}
			c.events(stopChunk, usageChunk, "[DONE]")
			c.end()
		}
	})
	g := serve(t, "providers:\n"+a.provider("a", "k")+"models: {bare: a/m, gated: {targets: [a/m], accept: [complete, not_refused, no_loops, not_truncated, right_language, arithmetic]}}\n")
	for _, ask := range []func(string, ...string) *reply{g.chat, g.stream} {
		bare, gated := ask("bare"), ask("gated")
		if bare.status != 200 || string(bare.body) != string(gated.body) {
			t.Errorf("without gates %s\nwith gates %s", bare, gated)
		}
	}
	for _, how := range []string{"slowly", "at once"} {
		resp, err := client.Post(g.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"gated","stream":true,"messages":[{"role":"user","content":"`+how+`"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			if strings.Contains(line, `"content":"`) && !strings.Contains(line, `"content":""`) {
				got <- line
			}
		}
		rest, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || len(rest) > 0 {
			t.Errorf("%s: got %d, %q", how, resp.StatusCode, rest)
		}
		_ = resp.Body.Close()
	}
}

// A model judges the answers of another, and one writes its own anew; their calls
// belong to the request.
func TestJudgedAnswers(t *testing.T) {
	t.Parallel()
	judge := newVendor(t, func(c *call) {
		verdict := `{\"score\": 0.9}`
		switch body := string(c.body); {
		case strings.Contains(body, "which of these rules"):
			if verdict = `{\"broken\": []}`; strings.Contains(body, "damn") {
				verdict = `{\"broken\": [1]}`
			}
		case strings.Contains(body, "nonsense"):
			verdict = `{\"score\": 0.1}`
		}
		c.whole(verdict)
	})
	worker := newVendor(t, func(c *call) {
		switch body := string(c.body); {
		case strings.Contains(body, "It does not swear."):
			c.whole("It is done.")
		case c.model == "rude":
			c.whole("The damn thing is done.")
		case c.model == "weak":
			c.whole("This is nonsense.")
		default:
			c.whole("It is done.")
		}
	})
	g := serve(t, "providers:\n"+judge.provider("judge", "k")+worker.provider("w", "k")+`models:
  careful: {cascade: {models: [w/weak, w/strong], accept: [complete, {judge: {model: judge/m, min: 0.5}}]}}
  polite: {targets: [w/rude], accept: [{principles: {model: judge/m, action: revise, rules: ["It does not swear."]}}]}
  plain: {targets: [w/rude], accept: [{principles: {model: judge/m, rules: ["It does not swear."]}}]}
  failing: {targets: [w/strong], accept: [{judge: {model: w/weak, min: 0.5, on_error: reject, action: block}}]}
`)
	r := g.chat("careful")
	if r.status != 200 || !strings.Contains(string(r.body), "It is done.") || r.header.Get("X-Sluice-Attempts") != "4" {
		t.Errorf("got %s, %v", r, r.header)
	}
	m := g.judged(r.id())
	if want := "w/weak rejected [low_score], judge/m ok (judge), w/strong ok, judge/m ok (judge)"; m.calls() != want {
		t.Errorf("calls %s, want %s", m.calls(), want)
	}
	if a := m.Attempts; len(a) == 4 && (a[0].Score == nil || *a[0].Score != 0.1 || a[2].Score == nil || *a[2].Score != 0.9) {
		t.Errorf("scores: %+v", a)
	}
	r = g.chat("polite")
	if r.status != 200 || !strings.Contains(string(r.body), "It is done.") || strings.Contains(string(r.body), "damn") {
		t.Errorf("got %s", r)
	}
	if m, want := g.judged(r.id()), "w/rude ok [principle], judge/m ok (judge), w/rude ok (revise), judge/m ok (judge)"; m.calls() != want {
		t.Errorf("calls %s, want %s", m.calls(), want)
	}
	if r = g.chat("plain"); r.status != 422 || r.code() != "answer_blocked" {
		t.Errorf("got %s", r)
	}
	if r = g.chat("failing"); r.status != 422 {
		t.Errorf("no verdict, and strict: got %s", r)
	}
	r = g.stream("plain") // the client has it before anybody is asked
	if text(datas(r.body)) != "The damn thing is done." {
		t.Errorf("got %s", r.body)
	}
	if m, want := g.judged(r.id()), "w/rude ok [principle], judge/m ok (judge)"; m.calls() != want {
		t.Errorf("calls %s, want %s", m.calls(), want)
	}
}

// A cascade is told before it is asked.
func TestCascadeRoute(t *testing.T) {
	t.Parallel()
	a := newVendor(t, nil)
	g := serve(t, "providers:\n"+a.provider("a", "k")+`models:
  small: {targets: [{target: a/s, price: {input: 1, output: 1}}]}
  large: {targets: [{target: a/l, price: {input: 10, output: 10}}]}
  careful: {cascade: {models: [small, large], accept: [complete, {pattern: "x"}]}}
`)
	var plan struct {
		Strategy   string
		Accept     []string
		Candidates []struct {
			Model string
			Worst int64 `json:"worst_nano_usd"`
		}
		Worst int64 `json:"worst_nano_usd"`
	}
	r := g.post("/gateway/route", `{"model":"careful",`+hello+`}`)
	if err := json.Unmarshal(r.body, &plan); err != nil || plan.Strategy != "cascade" || strings.Join(plan.Accept, " ") != "complete pattern" || len(plan.Candidates) != 2 ||
		plan.Candidates[0].Model != "small" || plan.Worst != plan.Candidates[0].Worst+plan.Candidates[1].Worst {
		t.Errorf("got %s", r)
	}
	if a.count() != 0 {
		t.Error("a vendor was asked")
	}
}
