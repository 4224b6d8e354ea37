package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrice(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	usage := `{"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}`
	file := write("answer.json", `{"model": "gpt-4o-2024-08-06", "usage": `+usage+`}`)
	rows := write("prices.txt", "openai gpt-4o input=1 output=1\n")
	ours := write("sluice.yaml", "catalog: "+rows+"\nproviders:\n  mine: {kind: openai, api_key: k}\nmodels:\n  m: {targets: [{target: mine/own, price: {input: 7, output: 0, request: 1}}]}\n")
	for _, tt := range []struct {
		args  []string
		stdin string
		code  int
		want  string // of stdout, or of stderr where it fails
	}{
		{[]string{"--vendor", "openai", "--model", "gpt-4o"}, usage, 0, "  0.003\n"},
		{[]string{"--vendor", "openai", file}, "", 0, "The price of gpt-4o-2024-08-06 at openai, from genai-prices as of 2026-"},
		{[]string{"--vendor", "openai", "--model", "gpt-4o", "-"}, usage, 0, "0.003"},
		{[]string{"--vendor", "openai", "--model", "gpt-4o", "-c", ours}, usage, 0, "0.0011"},
		{[]string{"--vendor", "mine", "--model", "own", "-c", ours}, usage, 0, "0.008"},
		{[]string{"--vendor", "anthropic", "--model", "claude-sonnet-5", "--at", "2026-08-31"}, `{"input_tokens": 1000, "output_tokens": 0}`, 0, "0.002"},
		{[]string{"--vendor", "anthropic", "--model", "claude-sonnet-5", "--at", "2026-09-01T00:00:00Z"}, `{"input_tokens": 1000, "output_tokens": 0}`, 0, "0.003"},
		{[]string{"--vendor", "openai", "--model", "gpt-5.4", "--tier", "batch"}, `{"input_tokens": 1000, "output_tokens": 0}`, 0, "0.00125"},
		{[]string{"--vendor", "openai", "--model", "gpt-4o"}, `{}`, 1, "there is no usage in the input"},
		{[]string{"--vendor", "openai"}, usage, 1, "write --model"},
		{[]string{"--vendor", "openai", "--model", "gpt-4oo"}, usage, 1, `the catalog knows no "gpt-4oo" of openai; it knows gpt-4o`},
		{[]string{"--vendor", "opnai", "--model", "gpt-4o"}, usage, 1, `no models of "opnai"`},
		{[]string{"--vendor", "openai", "--model", "gpt-4o", "--tier", "slow"}, usage, 1, "write standard, flex, priority or batch"},
		{[]string{"--vendor", "openai", "--model", "gpt-4o", "--at", "soon"}, usage, 2, "--at is a date"},
		{[]string{"--model", "gpt-4o"}, usage, 2, "--vendor"},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"price"}, tt.args...), strings.NewReader(tt.stdin), &out, &errs)
		text := out.String()
		if tt.code != 0 {
			text = errs.String()
		}
		if code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("price %s: exit code %d, want %d and %q\n%s%s", strings.Join(tt.args, " "), code, tt.code, tt.want, out.String(), errs.String())
		}
	}
}

func TestPriceJSON(t *testing.T) {
	var out, errs bytes.Buffer
	in := strings.NewReader(`{"prompt_tokens": 1000, "completion_tokens": 101, "prompt_tokens_details": {"cached_tokens": 400}}`)
	if code := run([]string{"price", "--vendor", "openai", "--model", "gpt-4o-mini", "-o", "json"}, in, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var got struct {
		USD    json.Number            `json:"usd"`
		Parts  map[string]json.Number `json:"parts"`
		Source string                 `json:"source"`
		AsOf   string                 `json:"as_of"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]json.Number{"input": "0.00009", "cached_read": "0.00003", "output": "0.0000606"}
	if got.USD != "0.0001806" || len(got.Parts) != len(want) || got.Source != "genai-prices" || !strings.HasPrefix(got.AsOf, "2026-") {
		t.Errorf("got %s", out.String())
	}
	for name, usd := range want {
		if got.Parts[name] != usd {
			t.Errorf("%s = %s, want %s", name, got.Parts[name], usd)
		}
	}
}
