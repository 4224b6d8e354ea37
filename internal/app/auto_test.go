package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route/learned"
	"github.com/sluicegate/sluice/internal/sim"
	"github.com/sluicegate/sluice/internal/store"
)

// running is a demo that serves, without faults and in no time.
type running struct {
	t    *testing.T
	demo *Demo
	base string
	log  *strings.Builder // read when it has ended
	end  func()
}

func run(t *testing.T, models string) *running {
	t.Helper()
	cfg := sim.Demo(demoSeed)
	cfg.Speed = 200
	for i := range cfg.Models {
		cfg.Models[i].Errors = 0
	}
	r := &running{t: t, log: &strings.Builder{}}
	var err error
	r.demo, err = newDemo(context.Background(), "test", demoOptions{listen: "127.0.0.1:0", models: models, sim: cfg, log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.demo.App.Run(ctx, ctx, nil, nil) }()
	over := false
	r.end = func() {
		if !over {
			over = true
			stop()
			<-ended
		}
	}
	t.Cleanup(func() { r.end(); r.demo.Close() })
	r.base = "http://" + r.demo.App.Addr().String()
	return r
}

// post sends a body and reads the answer into into, which may be nil.
func (r *running) post(path, body string, header http.Header, into any) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			r.t.Fatalf("%s: %v: %s", path, err, b)
		}
	}
	return resp.StatusCode, resp.Header, string(b)
}

func ask(model, text, more string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, text, more)
}

const chosenModels = `
  pick:    {auto: {models: [gpt-4, claude-3, gemini-pro, llama-2]}, fallback: off}
  seed:    {auto: {models: [gpt-4, claude-3, llama-2, gemini-pro]}, classifier: rules, fallback: off}
  cheap:   {auto: {models: [gpt-4, llama-2], max_cost: 0.001}, fallback: off}
  nowhere: {auto: {models: [gpt-4], regions: [eu]}, fallback: off}
`

// TestAutoThroughTheGateway: the plan, the answer, the record and the ledger say
// the same.
func TestAutoThroughTheGateway(t *testing.T) {
	r := run(t, chosenModels)
	for _, body := range []string{
		ask("pick", "Refactor this function and write unit tests for it, please", ""),
		ask("pick", "Write a short story about a fox", `,"context":{"budget":"low"}`),
		ask("pick", "Why is the sky blue?", `,"context":{"latency_critical":true,"task":"reasoning"}`),
		ask("seed", "Debug this code", ""),
		ask("cheap", "Hello", ""),
	} {
		var plan llm.Plan
		r.post("/gateway/route", body, nil, &plan)
		status, h, answer := r.post("/v1/chat/completions", body, nil, nil)
		if status != 200 || h.Get("X-Sluice-Strategy") != "auto" || plan.Decision == nil || h.Get("X-Sluice-Target") != plan.Candidates[0].Target ||
			h.Get("X-Sluice-Task") != plan.Decision.Task || h.Get("X-Sluice-Task") == "" {
			t.Fatalf("%s: %d %v; %s; planned %+v", body, status, h, answer, plan)
		}
		var rec gateway.Record
		r.get("/gateway/requests/"+h.Get("X-Request-Id"), &rec)
		if rec.Decision == nil || rec.Task != plan.Decision.Task || rec.Decision.Considered[0].Model != h.Get("X-Sluice-Model") {
			t.Errorf("%s: the record has %+v", body, rec.Decision)
		}
		if err := r.demo.App.ledger.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		old := r.explain(rec.ID)
		if got, want := jsonOf(t, old.Decision), jsonOf(t, rec.Decision); got != want || old.Task != rec.Task {
			t.Errorf("%s: the ledger has %s, want %s", body, got, want)
		}
	}
	r.end()
	if log := r.log.String(); strings.Contains(log, "fox") {
		t.Errorf("a prompt is in the log: %s", log)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (r *running) get(path string, into any) {
	r.t.Helper()
	resp, err := http.Get(r.base + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
}

func (r *running) explain(id string) gateway.Record {
	r.t.Helper()
	s, err := store.OpenReadOnly(context.Background(), filepath.Join(r.demo.dir, "demo.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close(context.Background())
	rec, err := Explain(context.Background(), s, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// TestContextStaysHere: it decides, is refused where it is wrong, and no vendor
// sees it.
func TestContextStaysHere(t *testing.T) {
	r := run(t, chosenModels)
	const text = "Summarize this"
	for _, x := range []struct {
		more   string
		header string
		first  string // the header wins
	}{
		{"", "", "gpt-4"},
		{`,"context":{"safety_critical":true}`, "", "claude-3"}, // 0.85 × 0.95 against 0.9 × 0.7
		{`,"context":{"safety_critical":true}`, "safety_critical=false", "gpt-4"},
		{"", "safety_critical; latency_critical=false", "claude-3"},
		{`,"context":{"task":"writing"}`, "", "claude-3"},
		{`,"context":{"task":"writing"}`, "task=coding", "gpt-4"},
	} {
		h := http.Header{}
		if x.header != "" {
			h.Set("X-Sluice-Context", x.header)
		}
		_, got, _ := r.post("/v1/chat/completions", ask("seed", text, x.more), h, nil)
		if got.Get("X-Sluice-Model") != x.first {
			t.Errorf("%s, %q: %s answers, want %s", x.more, x.header, got.Get("X-Sluice-Model"), x.first)
		}
	}
	for path, body := range map[string]string{
		"/v1/chat/completions": ask("seed", "x", `,"context":{"budget":"none"}`),
		"/v1/messages":         ask("seed", "x", `,"max_tokens":5,"context":{"budget":"none"}`),
		"/gateway/route":       ask("seed", "x", `,"context":{"budget":"none"}`),
		"/gateway/classify":    ask("seed", "x", `,"context":{"budget":"none"}`),
	} {
		status, _, answer := r.post(path, body, nil, nil)
		if status != 400 || !strings.Contains(answer, `\"budget\": \"low\"`) {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

// TestUnfitIsTold: what nobody may be asked is refused with the reason, and told
// by the plan.
func TestUnfitIsTold(t *testing.T) {
	r := run(t, chosenModels)
	status, _, answer := r.post("/v1/chat/completions", ask("nowhere", "Hello", ""), nil, nil)
	if status != 400 || !strings.Contains(answer, "nothing says where it runs") {
		t.Errorf("%d %s", status, answer)
	}
	var plan llm.Plan
	r.post("/gateway/route", ask("cheap", "Hello", ""), nil, &plan)
	if len(plan.Excluded) != 1 || plan.Excluded[0].Model != "gpt-4" || plan.Excluded[0].State != "unfit" || !strings.Contains(plan.Excluded[0].Reason, "max_cost is 0.001") {
		t.Errorf("excluded is %+v", plan.Excluded)
	}
	last := plan.Decision.Considered[len(plan.Decision.Considered)-1]
	if last.Model != "gpt-4" || last.Reason != plan.Excluded[0].Reason {
		t.Errorf("the decision has %+v", plan.Decision.Considered)
	}
}

// TestClassify: the seed's answer by rules, more by the learned classifier, and
// nothing that the caller may not ask for.
func TestClassify(t *testing.T) {
	r := run(t, chosenModels)
	var c struct {
		Task        string             `json:"primary_task"`
		Confidence  float64            `json:"task_confidence"`
		Recommended [][2]any           `json:"recommended_models"`
		Reason      string             `json:"routing_reason"`
		Classifier  string             `json:"classifier"`
		Tasks       map[string]float64 `json:"tasks"`
		Language    string             `json:"language"`
		PII         []string           `json:"pii"`
		Needs       []string           `json:"needs"`
		Shape       []string           `json:"shape"`
		Tokens      struct{ Input, Output int64 }
	}
	status, _, answer := r.post("/gateway/classify", ask("seed", "Please debug and refactor this", ""), nil, &c)
	if status != 200 || c.Task != "coding" || c.Confidence != 0.5 || c.Reason != "Best for coding tasks" || c.Classifier != "rules" ||
		fmt.Sprint(c.Recommended) != "[[gpt-4 0.9] [llama-2 0.8] [gemini-pro 0.8]]" {
		t.Errorf("%d %s", status, answer)
	}
	for _, body := range []string{
		ask("gpt-4", "Schreibe mir bitte ein Programm, das meine Rechnungen an max.muster@example.org schickt und sortiert", ""),
		`{"messages":[{"role":"user","content":"Schreibe mir bitte ein Programm, das meine Rechnungen an max.muster@example.org schickt und sortiert"}]}`,
		ask("no such model", "Schreibe mir bitte ein Programm, das meine Rechnungen an max.muster@example.org schickt und sortiert", ""),
	} {
		c.Recommended, c.PII = nil, nil
		status, _, answer := r.post("/gateway/classify", body, nil, &c)
		if status != 200 || c.Classifier != "learned" || c.Language != "de" || !slices.Equal(c.PII, []string{"email"}) || len(c.Recommended) != 3 ||
			c.Tokens.Input < 10 || len(c.Tasks) < 2 || strings.Contains(answer, "muster") {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if status, _, answer := r.post("/gateway/classify", `{"model":"seed","messages":5}`, nil, nil); status != 400 {
		t.Errorf("no chat: %d %s", status, answer)
	}
	if n := r.demo.Sim; n == nil {
		t.Error("no vendors")
	}
}

// TestClassifyByKey: models that a key may not ask for are not recommended.
func TestClassifyByKey(t *testing.T) {
	gen, _ := built(t, "listen: 127.0.0.1:0\nproviders: {openai: {api_key: k}}\nmodels: {a: openai/gpt-4o, b: openai/gpt-4o-mini, c: openai/gpt-5}\n")
	req := &llm.Request{Op: llm.OpChat, N: 1, Body: testBody{}}
	got := gen.gw.Classify(nil, req, func(name string) bool { return name != "b" })
	var names []string
	for _, x := range got.Recommended {
		names = append(names, x.Model)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("recommended: %v", names)
	}
}

// testBody is a chat of one message.
type testBody struct{ llm.Body }

func (testBody) Bytes() []byte                { return nil }
func (testBody) Conversation() (uint64, bool) { return 0, false }
func (testBody) Chat() (*llm.Chat, *llm.Error) {
	return &llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{{Text: "Hello"}}}}}, nil
}

// TestRouterFile: a file that is broken is a mistake with a position; one that
// changes is put in force, and one that breaks is not.
func TestRouterFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "router.bin")
	write := func(good string) {
		t.Helper()
		var data []learned.Example
		for i := range 100 {
			o := map[string]learned.Outcome{"gpt-4": {Quality: 0.1}, "llama-2": {Quality: 0.1}}
			o[good] = learned.Outcome{Quality: 0.9}
			data = append(data, learned.Example{Prompt: fmt.Sprint("Question ", i), Task: "any", Outcomes: o})
		}
		m, err := learned.Train(data, learned.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path + ".new")
		if err == nil {
			err = m.Write(f)
		}
		if err == nil {
			err = f.Close()
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text := "listen: 127.0.0.1:0\nstore: none\nrouter: " + filepath.ToSlash(path) + "\nproviders: {p: {kind: openai, api_key: k}}\nmodels:\n  gpt-4: p/gpt-4\n  llama-2: p/llama-2\n  pick: {auto: {models: [gpt-4, llama-2]}}\n"
	load := func() (*config.Config, error) {
		return config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	}
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{"missing": "", "broken": "sluice"} {
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Build(cfg, Env{}, NewShared()); err == nil || !strings.HasPrefix(err.Error(), "test.yaml:3:9: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	write("gpt-4")
	app, err := New(context.Background(), Options{Load: load, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, ctx, nil, nil) }()
	defer func() { stop(); <-ended }()
	first := func() string {
		m, _ := app.current.Load().gw.Lookup("pick")
		return m.Handler.Plan(&llm.Request{Op: llm.OpChat, N: 1, Body: testBody{}, Trail: llm.NewTrail("x", time.Now(), func(*llm.Trail) {})}).Candidates[0].Model
	}
	await := func(want string) {
		t.Helper()
		limit, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for first() != want {
			if pause(limit, 50*time.Millisecond); limit.Err() != nil {
				t.Fatalf("%s is first, want %s", first(), want)
			}
		}
	}
	await("gpt-4")
	write("llama-2")
	await("llama-2")
	if err := os.WriteFile(path, []byte("sluice router 1\nbroken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := app.Reload(); err == nil {
		t.Error("a reload takes a broken router")
	}
	if got := first(); got != "llama-2" {
		t.Errorf("with a broken file %s is first", got)
	}
}
