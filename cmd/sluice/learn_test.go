package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcomes writes n lines: of two tasks, the small model is right at one.
func outcomes(n int) string {
	var b strings.Builder
	for i := range n {
		prompt, task, small := fmt.Sprintf("Add the numbers %d and %d.", i, 3*i), "sums", 1
		if i%2 == 1 {
			prompt, task, small = fmt.Sprintf("Prove the theorem of the year %d!", 1000+i), "proofs", 0
		}
		fmt.Fprintf(&b, `{"prompt": %q, "task": %q, "outcomes": {"large": {"quality": 1, "cost": 0.01}, "small": {"quality": %d, "cost": 0.001}}}`+"\n", prompt, task, small)
	}
	return b.String()
}

func TestTrainAndEval(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"train.jsonl": outcomes(200), "test.jsonl": outcomes(100),
		"holes.jsonl": outcomes(60) + `{"prompt": "p", "outcomes": {"small": {"quality": 1, "cost": 0}}}`,
		"bad.jsonl":   `{"prompt": "p"}`,
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		want string // of stdout and stderr
	}{
		{[]string{"train", at("train.jsonl"), "-o", at("router.bin")}, 0, "200 prompts, 2 tasks, 2 models"},
		{[]string{"eval", "--train", at("router.bin"), "--test", at("test.jsonl")}, 0, "100 prompts, 2 models"},
		{[]string{"eval", "--train", at("train.jsonl"), "--test", at("holes.jsonl")}, 0, "1 prompts are left out"},
		{[]string{"eval", "--folds", "4", "--test", at("test.jsonl")}, 0, "SAVING_AT_95"},
		{[]string{"eval", "--test", at("test.jsonl")}, 0, "not trained on large, small"},
		{[]string{"eval", "--folds", "1", "--test", at("test.jsonl")}, 2, "N of at least 2"},
		{[]string{"eval", "--train", at("bad.jsonl"), "--test", at("test.jsonl")}, 1, "bad.jsonl: line 1"},
		{[]string{"eval", "--train", at("none.jsonl"), "--test", at("test.jsonl")}, 1, "none.jsonl"},
		{[]string{"train", at("bad.jsonl"), "-o", at("never.bin")}, 1, "line 1"},
		{[]string{"train", at("train.jsonl")}, 2, "--out"},
	} {
		code, out, errs := sluice(t, tt.args...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", strings.Join(tt.args, " "), code, tt.code, tt.want, out, errs)
		}
	}
	if _, err := os.Stat(at("never.bin")); err == nil {
		t.Error("a training that failed left a file")
	}
	files, _ := filepath.Glob(at(".*"))
	if len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestEvalJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.jsonl")
	if err := os.WriteFile(path, []byte(outcomes(200)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := sluice(t, "eval", "--train", path, "--test", path, "-o", "json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got struct {
		Routers map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"always_best", "always_cheapest", "random", "rules", "learned", "oracle"} {
		for _, figure := range []string{"quality", "cost", "apgr", "saving_at_95", "gain_over_best", "saving_at_best"} {
			if _, ok := got.Routers[name][figure]; !ok {
				t.Errorf("%s has no %s: %s", name, figure, out)
			}
		}
	}
	var apgr float64
	if err := json.Unmarshal(got.Routers["learned"]["apgr"], &apgr); err != nil || apgr < 0.74 { // the oracle's is 0.75
		t.Errorf("learned: APGR %f, %v", apgr, err)
	}
	if len(got.Routers) != 6 {
		t.Errorf("%d routers", len(got.Routers))
	}
}
