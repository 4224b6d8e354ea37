package blackbox

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// gsm is what is recorded of models on GSM8K: final answers, whether they are
// right, and how long the whole answers were; not the answers' texts.
type gsm struct {
	prompts []string
	place   map[string]int // of a prompt
	models  map[string]*gsmModel
}

type gsmModel struct {
	Model   string    `json:"model"`
	Correct string    `json:"correct"` // a 0 or 1 for each question
	Answer  []*string `json:"answer"`  // nil: none could be read
	Chars   []int     `json:"out_chars"`
}

func readGSM(t *testing.T) *gsm {
	t.Helper()
	dir := filepath.Join(dataDir(t), "routing")
	d := &gsm{place: make(map[string]int), models: make(map[string]*gsmModel)}
	for i, q := range readLines[struct{ Prompt string }](t, filepath.Join(dir, "zeroeval_gsm_questions.jsonl.gz")) {
		d.prompts = append(d.prompts, q.Prompt)
		d.place[strings.TrimSpace(q.Prompt)] = i
	}
	for _, m := range readLines[*gsmModel](t, filepath.Join(dir, "zeroeval_gsm_models.jsonl.gz")) {
		d.models[m.Model] = m
	}
	return d
}

func (m *gsmModel) right(i int) float64 { return float64(m.Correct[i] - '0') }

func (m *gsmModel) said(i int) string {
	if m.Answer[i] == nil {
		return ""
	}
	return *m.Answer[i]
}

var numeral = regexp.MustCompile(`-?\d+(?:\.\d+)?`)

// final is an answer without what does not count in it: "$70,000" is 70000.
func final(s string) string {
	s = numeral.FindString(strings.NewReplacer(",", "", "$", "").Replace(s))
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return ""
}

// The three models and their list prices, USD per million tokens in and out: Groq's
// for Llama 3.1 8B and Gemma 2 9B, Anthropic's for Claude 3.5 Sonnet (the catalog,
// August 2026).
const (
	gsmCheap   = "Meta-Llama-3.1-8B-Instruct"
	gsmChecker = "gemma-2-9b-it"
	gsmStrong  = "claude-3-5-sonnet-20241022"
)

var gsmPrice = map[string][2]float64{gsmCheap: {0.05, 0.08}, gsmChecker: {0.2, 0.2}, gsmStrong: {3, 15}}

var verdictOn = regexp.MustCompile(`(?s)<request-\w+>\n(.*)\n</request-\w+>\n<answer-\w+>\n(.*)\n</answer-\w+>`)

// serve answers as the models did. One that is asked to judge has solved the
// question by itself, as it is recorded, and says whether the answer is its own.
func (d *gsm) serve(c *call) {
	var req struct {
		Messages []struct{ Content string }
	}
	if err := json.Unmarshal(c.body, &req); err != nil || len(req.Messages) == 0 || d.models[c.model] == nil {
		c.answer(400, `{"error":{"message":"no messages, or no such model"}}`)
		return
	}
	m, asked, in := d.models[c.model], req.Messages[len(req.Messages)-1].Content, 0
	for _, msg := range req.Messages {
		in += len(msg.Content)
	}
	var text string
	var i, out int
	if v := verdictOn.FindStringSubmatch(asked); v != nil {
		i = d.place[strings.TrimSpace(v[1])]
		score := 0
		if own := final(m.said(i)); own != "" && own == final(v[2]) {
			score = 1
		}
		text, out = fmt.Sprintf(`{"score": %d}`, score), m.Chars[i]+12
	} else {
		i = d.place[strings.TrimSpace(asked)]
		text, out = "Final answer: "+m.said(i), m.Chars[i]
	}
	body, _ := json.Marshal(map[string]any{
		"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": c.model,
		"choices": []any{map[string]any{"index": 0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": text}}},
		"usage":   map[string]int{"prompt_tokens": (in + 3) / 4, "completion_tokens": (out + 3) / 4, "total_tokens": (in+3)/4 + (out+3)/4},
	})
	c.answer(200, string(body))
}

// cost is what a recorded answer cost, in USD.
func (d *gsm) cost(model string, i int) float64 {
	p := gsmPrice[model]
	return (float64(len(d.prompts[i]))*p[0] + float64(d.models[model].Chars[i])*p[1]) / 4e6
}

// TestCascadeGSM compares a cascade with choosing by the prompt alone, on what
// models really answered to the questions of GSM8K: a cheap model first; where a
// second cheap one that solved the question by itself has another answer, a strong
// one. A router learned the same models from the other half of the questions.
func TestCascadeGSM(t *testing.T) {
	d := readGSM(t)
	dir := t.TempDir()
	var train, held []labelled
	var test []int
	for i, p := range d.prompts {
		l := labelled{Prompt: p, Task: "gsm8k", Outcomes: make(map[string]labelledOutcome)}
		for _, m := range []string{gsmCheap, gsmStrong} {
			l.Outcomes[m] = labelledOutcome{d.models[m].right(i), d.cost(m, i)}
		}
		switch {
		case i%2 == 0:
			train = append(train, l)
		case i%4 == 1 || !raced():
			test, held = append(test, i), append(held, l)
		}
	}
	router := filepath.Join(dir, "router.bin")
	if code, out, errs := run(t, dir, "", nil, "train", writeLines(t, dir, "train.jsonl", train), "-o", router); code != 0 {
		t.Fatalf("sluice train: exit %d: %s%s", code, out, errs)
	}
	v := newVendor(t, d.serve)
	config := "log: {level: warn}\nproviders:\n" + v.provider("v", "vendor-key-0123456789") + "models:\n"
	for m, p := range gsmPrice {
		config += fmt.Sprintf("  %[1]s: {targets: [{target: v/%[1]s, price: {input: %[2]v, output: %[3]v}}]}\n", m, p[0], p[1])
	}
	pair := gsmCheap + ", " + gsmStrong
	cascades := serve(t, config+fmt.Sprintf(`
  second-opinion: {cascade: {models: [%[1]s], accept: [complete, {judge: {model: %[2]s, min: 0.5, prompt: "Solve the request yourself. 1 if your final answer is the same, 0 if not."}}]}}
  pattern: {cascade: {models: [%[1]s], accept: [complete, {pattern: '^Final answer: \$?[0-9][0-9,]*(\.[0-9]+)?$'}]}}
`, pair, gsmChecker))
	all := d.measure(t, cascades, test, gsmStrong, gsmCheap, "second-opinion", "pattern")
	var routed []string
	config = fmt.Sprintf("router: %q\n", router) + config
	for _, dial := range []string{"prefer: cost", "prefer: balanced", "quality: 0.9"} {
		name := "prompt-" + strings.ReplaceAll(dial, ": ", "-")
		routed = append(routed, name)
		config += fmt.Sprintf("  %s: {auto: {models: [%s], %s}}\n", name, pair, dial)
	}
	all = append(all, d.measure(t, serve(t, config), test, routed...)...)
	t.Logf("%-34s %9s %10s %8s %8s", "model", "accuracy", "USD/1000", "saving", "strong")
	for _, r := range all {
		t.Logf("%-34s %8.1f%% %10.4f %7.1f%% %7.1f%%", r.name, 100*r.quality, 1000*r.ledger/float64(len(test)), 100*(1-r.ledger/all[0].ledger), 100*float64(r.by[gsmStrong])/float64(len(test)))
	}
	strong, cascade := all[0], all[2]
	code, out, errs := run(t, dir, "", nil, "eval", "--train", router, "--test", writeLines(t, dir, "test.jsonl", held), "-o", "json")
	var eval struct {
		Routers map[string]struct {
			Saving float64 `json:"saving_at_95"`
		}
	}
	if err := json.Unmarshal([]byte(out), &eval); code != 0 || err != nil {
		t.Fatalf("sluice eval: exit %d: %s%s", code, out, errs)
	}
	saved, learned := 1-cascade.ledger/strong.ledger, eval.Routers["learned"].Saving
	t.Logf("saving at 95 %% of the best quality, by the prompt alone (sluice eval): %.1f%%", 100*learned)
	if saved < learned+0.2 {
		t.Errorf("the cascade saves %.2f of the cost, choosing by the prompt %.2f", saved, learned)
	}
	if cascade.quality < 0.98*strong.quality || cascade.ledger > 0.4*strong.ledger {
		t.Errorf("the cascade: got accuracy %.3f for %.4f USD, want at least 98 %% of %.3f for at most 40 %% of %.4f", cascade.quality, cascade.ledger, strong.quality, strong.ledger)
	}
	for _, r := range all[4:] {
		if r.ledger <= cascade.ledger && r.quality >= cascade.quality {
			t.Errorf("%s has accuracy %.3f for %.4f USD: no worse than the cascade's %.3f for %.4f", r.name, r.quality, r.ledger, cascade.quality, cascade.ledger)
		}
	}
}

// measure asks each of the models all questions.
func (d *gsm) measure(t *testing.T, g *gateway, questions []int, models ...string) (all []tally) {
	t.Helper()
	for _, name := range models {
		all = append(all, d.replay(t, g, name, questions))
	}
	spent := g.spent(len(models) * len(questions))
	for i := range all {
		all[i].ledger = spent[all[i].name]
	}
	return all
}

// replay asks a model the questions and looks up whether who answered was right.
func (d *gsm) replay(t *testing.T, g *gateway, model string, questions []int) tally {
	t.Helper()
	out := tally{name: model, by: make(map[string]int)}
	for j, r := range g.many(len(questions), "/v1/chat/completions", func(j int) string {
		b, _ := json.Marshal(map[string]any{"model": model, "messages": []map[string]string{{"role": "user", "content": d.prompts[questions[j]]}}})
		return string(b)
	}) {
		who := d.models[r.header.Get("X-Sluice-Model")]
		if r.status != 200 || who == nil {
			t.Fatalf("%s on question %d: %s", model, questions[j], r)
		}
		out.by[who.Model]++
		out.quality += who.right(questions[j]) / float64(len(questions))
	}
	return out
}
