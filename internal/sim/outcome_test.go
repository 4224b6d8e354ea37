package sim

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put writes a file for a test, packed where its name says so.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	b := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(b) // into memory
		_ = w.Close()
		b = packed.Bytes()
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

const outcomeLines = `{"prompt": "What is 2+2?\n", "task": "math", "outcomes": {"big": {"quality": 1, "cost": 0.0021}, "small": {"quality": 0.25, "cost": 0.00004}}}

{"prompt": "Name a river.", "outcomes": {"small": {"quality": 0.5, "cost": 0}}}
`

func TestOutcomes(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "o.jsonl.gz", outcomeLines)
	put(t, dir, "a.jsonl", `{"prompt": "What is 2+2?", "answers": {"big": "The answer is 4."}}`)
	put(t, dir, "sim.yaml", `
any_model: true
models:
  small: {tokens: 20, outcomes: {file: o.jsonl.gz}}
  priced: {outcomes: {file: o.jsonl.gz, model: big, price: {input: 2, output: 10}}}
  said: {answers: {file: a.jsonl, model: big}}
  both: {answers: {file: a.jsonl, model: big}, outcomes: {file: o.jsonl.gz, model: big, price: {input: 2, output: 10}}}
`)
	c, err := LoadFile(filepath.Join(dir, "sim.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, c)
	for _, tc := range []struct {
		model, prompt, end string
		cost               float64 // at the price of "priced"; 0: not looked at
		tokens             int     // 0: any number
	}{
		{"small", "What is 2+2?", " Recorded quality 0.250.", 0, 20},
		{"small", "  What is 2+2?\\n", " Recorded quality 0.250.", 0, 20},
		{"small", "Name a river.", " Recorded quality 0.500.", 0, 20},
		{"priced", "What is 2+2?", " Recorded quality 1.000.", 0.0021, 0},
		{"said", "What is 2+2?", "The answer is 4.", 0, 4},
		{"both", "What is 2+2?", " The answer is 4.", 0.0021, 0},
		{"said", "Name a river.", ".", 0, 40},
		{"another", "What is 2+2?", ".", 0, 40},
	} {
		_, body, err := r.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"%s"}]}`, tc.model, tc.prompt))
		if err != nil {
			t.Fatal(err)
		}
		got := r.unary(body)
		text := *got.Choices[0].Message.Content
		if !strings.HasSuffix(text, tc.end) || tc.end == "." && strings.Contains(text, "Recorded") {
			t.Errorf("%s on %q: got %q, want it to end in %q", tc.model, tc.prompt, text, tc.end)
		}
		if tc.tokens > 0 && got.Usage.Completion != tc.tokens {
			t.Errorf("%s on %q: got %d tokens, want %d", tc.model, tc.prompt, got.Usage.Completion, tc.tokens)
		}
		cost := (float64(got.Usage.Prompt)*2 + float64(got.Usage.Completion)*10) / 1e6
		if tc.cost > 0 && (cost < tc.cost-1e-5 || cost > tc.cost+1e-5) {
			t.Errorf("%s on %q: %d and %d tokens cost %v, want %v", tc.model, tc.prompt, got.Usage.Prompt, got.Usage.Completion, cost, tc.cost)
		}
	}
	if err := r.sim.Set("small", func(m *Model) { m.Outcomes.File = "/etc/passwd" }); err == nil {
		t.Error("outcomes could be changed while it runs")
	}
	if err := r.sim.Set("another", func(m *Model) { m.Answers = &Answers{File: "/etc/passwd"} }); err == nil {
		t.Error("answers could be set while it runs")
	}
	if err := r.sim.Set("small", func(m *Model) { m.Tokens = 30 }); err != nil {
		t.Errorf("another setting of a model with outcomes: %v", err)
	}
}

func TestOutcomeErrors(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{`{"prompt": "a", "outcomes": {"m": {"quality": 1, "cost": 0}}}` + "\nnonsense", "o.jsonl:2: invalid character"},
		{`{"prompt": "a"}`, `o.jsonl:1: no "prompt" with "outcomes"`},
		{`{"prompt": "a", "outcomes": {"m": {"quality": 1.1, "cost": 0}}}`, `o.jsonl:1: the outcome of "m"`},
		{`{"prompt": "a", "outcomes": {"m": {"cost": 0}}}`, `o.jsonl:1: the outcome of "m"`},
		{`{"prompt": "a", "outcomes": {"m": {"quality": 1, "cost": -1}}}`, `o.jsonl:1: the outcome of "m"`},
		{`{"prompt": "a", "outcomes": {"n": {"quality": 1, "cost": 0}}}`, `o.jsonl says nothing of a model "m", write its name there as model: NAME`},
		{"\x1f\x8b and then no gzip", "o.jsonl: gzip"},
	} {
		dir := t.TempDir()
		put(t, dir, "o.jsonl", tc.lines)
		put(t, dir, "sim.yaml", "models:\n  m: {latency: 1ms, outcomes: {file: o.jsonl}}\n")
		_, err := LoadFile(filepath.Join(dir, "sim.yaml"))
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "sim.yaml:2:") {
			t.Errorf("%q: got %v, want sim.yaml:2:… %s", tc.lines, err, tc.want)
		}
	}
}

// Whatever a line is, it is refused or holds outcomes in their range.
func FuzzOutcomes(f *testing.F) {
	f.Add(strings.Split(outcomeLines, "\n")[0])
	f.Add(`{"prompt": "a", "outcomes": {"m": {"quality": 1e999}}}`)
	f.Fuzz(func(t *testing.T, line string) {
		_, by, err := readOutcomes([]byte(line))
		if err != nil {
			return
		}
		for name, o := range by {
			if *o.Quality < 0 || *o.Quality > 1 || o.Cost < 0 {
				t.Errorf("%q: got %v of %q", line, o, name)
			}
			p := Price{Input: 1, Output: 1}
			if n := p.tokens(o.Cost, 100); n < 1 || n > maxTokens {
				t.Errorf("%q: got %d tokens", line, n)
			}
		}
	})
}
