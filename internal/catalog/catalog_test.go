package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestTable(t *testing.T) {
	rows, err := parse(table)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rows); got < 200 || got > 300 {
		t.Errorf("rows = %d, want 200 to 300", got)
	}
	vendors := map[string]int{}
	for _, m := range rows {
		vendors[m.Vendor]++
		name := m.Vendor + "/" + m.ID
		if !slices.Contains([]string{"models.dev", "portkey", "genai-prices"}, m.Source) {
			t.Errorf("%s: source = %q", name, m.Source)
		}
		if m.AsOf.Before(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: as of %v, which is too old to be meant", name, m.AsOf)
		}
		if m.Price.Input == 0 && m.Price.Output == 0 {
			t.Errorf("%s: has no price", name)
		}
		if m.Price.HasCached && (m.Price.CachedRead == 0 || m.Price.CachedRead > m.Price.Input) {
			t.Errorf("%s: cached read = %d, want above 0 and at most the input's %d", name, m.Price.CachedRead, m.Price.Input)
		}
		if m.Price.HasWrite && m.Price.CacheWrite < m.Price.Input {
			t.Errorf("%s: cache write = %d, want at least the input's %d", name, m.Price.CacheWrite, m.Price.Input)
		}
		if m.Context > 0 && m.MaxOutput > m.Context {
			t.Errorf("%s: largest output %d is above the context %d", name, m.MaxOutput, m.Context)
		}
	}
	for _, v := range []string{"openai", "azure", "groq", "deepseek", "mistral", "xai", "openrouter", "perplexity"} {
		if vendors[v] == 0 {
			t.Errorf("no rows for %s", v)
		}
	}
	if len(vendors) != 8 {
		t.Errorf("vendors = %v, want 8", vendors)
	}
}

func TestLookup(t *testing.T) {
	tests := []struct{ vendor, id, want string }{
		{"openai", "gpt-4o", "gpt-4o"},
		{"OpenAI", "GPT-4o", "gpt-4o"},
		{"openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"}, // its own row: another price
		{"openai", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"},
		{"openai", "gpt-4o-latest", "gpt-4o"},
		{"openai", "gpt-5-20250807", "gpt-5"},
		{"openai", "gpt-4o-2024-13-45", ""}, // no date
		{"openai", "gpt-4o-2024-8-6", ""},
		{"openai", "-latest", ""},
		{"openai", "-20250101", ""},
		{"openai", "", ""},
		{"openai", "gpt", ""},
		{"openai", "gpt-4o-", ""},
		{"openai", "llama-3.3-70b-versatile", ""},
		{"groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"},
		{"mistral", "mistral-large-latest", "mistral-large-latest"},
		{"openrouter", "openai/gpt-oss-20b:free", ""}, // another price
		{"ollama", "gpt-4o", ""},
		{"", "gpt-4o", ""},
	}
	for _, tt := range tests {
		m, ok := Lookup(tt.vendor, tt.id)
		if m.ID != tt.want || ok != (tt.want != "") {
			t.Errorf("Lookup(%q, %q) = %q, %v, want %q", tt.vendor, tt.id, m.ID, ok, tt.want)
		}
	}
}

func TestPrice(t *testing.T) {
	p := Price("openai", "gpt-4o")
	want := llm.Price{Input: 2_500_000, Output: 10_000_000, CachedRead: 1_250_000, HasCached: true}
	if p == nil || *p != want {
		t.Errorf("Price(openai, gpt-4o) = %+v, want %+v", p, want)
	}
	if got := p.Cost(llm.Usage{Input: 1000, CachedRead: 400, Output: 100}); got != 3_000_000 {
		t.Errorf("cost = %d nano-USD, want 3000000", got)
	}
	if p := Price("openai", "none"); p != nil {
		t.Errorf("Price(openai, none) = %+v, want nil", p)
	}
}

func TestPerMillion(t *testing.T) {
	f := func(x float64) *float64 { return &x }
	got, err := PerMillion(3, 15, f(0), f(3.75))
	want := llm.Price{Input: 3e6, Output: 15e6, CachedRead: 0, CacheWrite: 3_750_000, HasCached: true, HasWrite: true}
	if err != nil || got != want {
		t.Errorf("PerMillion = %+v, %v, want %+v", got, err, want)
	}
	for i, bad := range []func() (llm.Price, error){
		func() (llm.Price, error) { return PerMillion(-1, 0, nil, nil) },
		func() (llm.Price, error) { return PerMillion(0, 2e6, nil, nil) },
		func() (llm.Price, error) { return PerMillion(0, 0, f(-1), nil) },
		func() (llm.Price, error) { return PerMillion(0, 0, nil, f(-1)) },
	} {
		if p, err := bad(); err == nil {
			t.Errorf("bad price %d = %+v, want an error", i, p)
		}
	}
}

func TestVendors(t *testing.T) {
	tests := []struct {
		id   string
		want []string
	}{
		{"gpt-4o", []string{"azure", "openai"}},
		{"GPT-4o-2024-08-06", []string{"azure", "openai"}},
		{"sonar", []string{"perplexity"}},
		{"deepseek-chat", []string{"deepseek"}},
		{"openai/gpt-oss-120b", []string{"groq", "openrouter"}},
		{"none", nil},
	}
	for _, tt := range tests {
		if got := Vendors(tt.id); !slices.Equal(got, tt.want) {
			t.Errorf("Vendors(%q) = %v, want %v", tt.id, got, tt.want)
		}
	}
}

func TestModels(t *testing.T) {
	all := 0
	for _, v := range []string{"azure", "deepseek", "groq", "mistral", "openai", "openrouter", "perplexity", "xai"} {
		rows := Models(v)
		all += len(rows)
		for _, m := range rows {
			if m.Vendor != v {
				t.Errorf("Models(%q) holds one of %q", v, m.Vendor)
			}
		}
	}
	if all != len(models()) {
		t.Errorf("sum over vendors = %d, want %d", all, len(models()))
	}
	for _, v := range []string{"ollama", "", "zzz"} {
		if got := Models(v); len(got) != 0 {
			t.Errorf("Models(%q) = %d rows, want 0", v, len(got))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := "v\tid\t1\t2\t-\t-\t100\t10\ts\t2026-01-02\n"
	if rows, err := parse("# head\n\n" + good); err != nil || len(rows) != 1 {
		t.Fatalf("parse = %d rows, %v, want 1", len(rows), err)
	}
	for _, bad := range []string{
		good + good,
		good + strings.Replace(good, "id", "ic", 1),
		strings.Replace(good, "\t-\t-", "\t-", 1),
		strings.Replace(good, "\t1\t", "\tx\t", 1),
		strings.Replace(good, "\t1\t", "\t-\t", 1),
		strings.Replace(good, "\t1\t", "\t-1\t", 1),
		strings.Replace(good, "100", "-1", 1),
		strings.Replace(good, "10\t", "9999999999\t", 1),
		strings.Replace(good, "01-02", "13-02", 1),
		strings.Replace(good, "id", "ID", 1),
		strings.Replace(good, "id", "", 1),
	} {
		if _, err := parse(bad); err == nil {
			t.Errorf("parse(%q) succeeded, want an error", bad)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(table); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Lookup("openai", "gpt-4o-mini-2024-07-18")
	}
}
