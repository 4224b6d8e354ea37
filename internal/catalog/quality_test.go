package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Every row of the table can be read and says where it is from and of when.
func TestFigures(t *testing.T) {
	r, err := readFigures(figures)
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]int{}
	for id, fs := range r.models {
		if id != Bare(id) {
			t.Errorf("%s is not written as Bare has it", id)
		}
		for _, f := range fs {
			sources[f.source]++
			if f.asOf.Before(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)) || f.asOf.After(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("%s in %s: as of %v", id, f.test, f.asOf)
			}
		}
	}
	for _, s := range []string{"zeroeval", "routellm", "llmrouter", "models.dev"} {
		if sources[s] == 0 {
			t.Errorf("nothing is of %s", s)
		}
	}
	t.Logf("%d models, %d tests, figures by source: %v", len(r.models), len(r.tests), sources)
}

// Opinions stand in the order that nobody doubts, and name what they rest on.
func TestQuality(t *testing.T) {
	get := func(id, word string) Prior {
		t.Helper()
		p, ok := Quality(id, word)
		if !ok || p.Quality <= 0 || p.Quality >= 1 || p.Weight <= 0 || p.Weight > mostWeight || p.Source == "" || p.AsOf.IsZero() {
			t.Errorf("%s at %s: %+v, %v", id, word, p, ok)
		}
		return p
	}
	for _, tt := range []struct{ word, better, worse string }{
		{"math", "claude-3-5-sonnet-20241022", "gpt-3.5-turbo-0125"},
		{"math", "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", "llama-3.1-8b-instant"},
		{"gsm8k", "openai/gpt-4o-2024-08-06", "command-r"},
		{"coding", "gpt-5.5", "gpt-4o-mini"},
		{"coding", "anthropic/claude-opus-4.7", "claude-3-5-haiku-20241022"},
		{"code", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "qwen/qwen2.5-7b-instruct"},
		{"knowledge", "llama-3.1-nemotron-51b-instruct", "llama3-chatqa-1.5-8b"},
		{"general", "gpt-5.4", "mistral-7b-instruct-v0.3"},
	} {
		if a, b := get(tt.better, tt.word), get(tt.worse, tt.word); a.Quality <= b.Quality {
			t.Errorf("%s: %s %.3f, %s %.3f, want the first to be better", tt.word, tt.better, a.Quality, tt.worse, b.Quality)
		}
	}
	own, kin := get("claude-opus-4-7", "coding"), get("claude-opus-4-7-thinking", "coding")
	if own.Of != "claude-opus-4-7" || kin.Of != "claude-opus-4-7" || kin.Weight != own.Weight/2 || kin.Quality != own.Quality {
		t.Errorf("own = %+v, of the family = %+v", own, kin)
	}
	if p, ok := Quality("claude-opus-4-9", "coding"); !ok || !strings.HasPrefix(p.Of, "claude-opus-4-") {
		t.Errorf("a newer version: %+v, %v", p, ok)
	}
	for _, id := range []string{"", "no-such-model", "gpt-5-nano-of-tomorrow", "claude", "llama-3.1-400b"} {
		if p, ok := Quality(id, "coding"); ok && p.Of == "gpt-5" {
			t.Errorf("%q has figures of %s", id, p.Of)
		}
	}
	if m, ok := Embedded().Lookup("openai", "gpt-4o"); !ok {
		t.Error("no gpt-4o")
	} else if p, ok := m.Quality("math"); !ok || p.Of != "gpt-4o" || !strings.Contains(p.Source, "zeroeval") {
		t.Errorf("gpt-4o at math: %+v, %v", p, ok)
	}
}

func TestBare(t *testing.T) {
	for id, want := range map[string]string{
		"claude-3-5-sonnet-20241022":                       "claude-3-5-sonnet",
		"us.anthropic.claude-3-5-sonnet-20241022-v2:0":     "claude-3-5-sonnet",
		"anthropic/claude-opus-4.7":                        "claude-opus-4-7",
		"Meta-Llama-3.1-405B-Instruct@hyperbolic":          "llama-3-1-405b",
		"mistral-7b-instruct-v0.3":                         "mistral-7b",
		"gpt-4o-2024-08-06":                                "gpt-4o",
		"gpt-3.5-turbo":                                    "gpt-3-5-turbo",
		"gemini-3-pro-preview":                             "gemini-3-pro",
		"deepseek-v3":                                      "deepseek-v3",
		"llama3:70b":                                       "llama-3-70b",
		"llama3.1:8b":                                      "llama-3-1-8b",
		"gemma2-9b-it":                                     "gemma-2-9b",
		"accounts/fireworks/models/llama-v3p1-8b-instruct": "llama-3-1-8b",
		"meta.llama3-1-8b-instruct-v1:0":                   "llama-3-1-8b",
		"":                                                 "",
		"-latest":                                          "-latest",
	} {
		if got := Bare(id); got != want {
			t.Errorf("Bare(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestBadFigures(t *testing.T) {
	const head = "test t math 0\n"
	for _, text := range []string{"m t 0.5", head + "m u 0.5 s@2026-01-01", head + "m t 1.5 s@2026-01-01", head + "m t x s@2026-01-01", head + "m t 0.5 s", head + "m t 0.5 @2026-01-01", "test t math x"} {
		if _, err := readFigures(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzQuality(f *testing.F) {
	for _, id := range known().ids {
		f.Add(id, "coding")
	}
	f.Add("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "")
	f.Add("..-v1", "math")
	f.Fuzz(func(t *testing.T, id, word string) {
		p, ok := Quality(id, word)
		if ok && (p.Of != "" && !slices.Contains(known().ids, p.Of) || !(p.Quality > 0 && p.Quality < 1)) {
			t.Errorf("Quality(%q, %q) = %+v", id, word, p)
		}
	})
}
