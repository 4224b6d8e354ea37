package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Every row of the embedded table can be read, is in its place, says where it
// is from, and has a price that can be meant.
func TestTable(t *testing.T) {
	vendors := map[string]int{}
	known, priced, last := 0, 0, ""
	for line := range strings.Lines(embedded) {
		row := strings.TrimSuffix(line, "\n")
		if row[0] == '#' {
			continue
		}
		r, err := parseRow(row)
		if err != nil {
			t.Fatalf("%s: %v", row, err)
		}
		name := r.Vendor + " " + r.ID
		if row <= last || !strings.HasPrefix(row, name+" ") {
			t.Errorf("%s: doubled, out of order or not in lower case", name)
		}
		last = row
		if r.alias != "" {
			if m, ok := Embedded().own(r.Vendor, r.alias); !ok || m.ID != r.alias {
				t.Errorf("%s: stands for %s, which is none", name, r.alias)
			}
			continue
		}
		known++
		vendors[r.Vendor]++
		if !slices.Contains([]string{"models.dev", "portkey", "genai-prices"}, r.Source) || r.AsOf.Before(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: source = %q of %v", name, r.Source, r.AsOf)
		}
		if r.Context > 0 && r.MaxOutput > r.Context {
			t.Errorf("%s: largest output %d is above the context %d", name, r.MaxOutput, r.Context)
		}
		if r.Price == nil {
			continue
		}
		priced++
		if p := r.Price; p.HasCached && p.CachedRead > p.Input {
			t.Errorf("%s: cached read = %d, want at most the input's %d", name, p.CachedRead, p.Input)
		}
		for p := r.Price; p.Long != nil; p = p.Long {
			if p.Long.Input < p.Input {
				t.Errorf("%s: prompts above %d are cheaper than those below", name, p.Above)
			}
		}
	}
	t.Logf("%d models of %d vendors, %d with prices, %d bytes", known, len(vendors), priced, len(embedded))
	if priced < 3000 {
		t.Errorf("models with prices = %d, want 3000", priced)
	}
	if len(vendors) < 30 {
		t.Errorf("vendors = %d, want 30", len(vendors))
	}
}

// Every row is found by its own name: the search does not lose one.
func TestFind(t *testing.T) {
	for line := range strings.Lines(embedded) {
		row := strings.TrimSuffix(line, "\n")
		if row[0] == '#' {
			continue
		}
		vendor, _, _ := strings.Cut(row, " ")
		if got, ok := find(embedded, vendor, idOf(row)); !ok || got != row {
			t.Fatalf("find(%q, %q) = %q, %v", vendor, idOf(row), got, ok)
		}
	}
	for _, id := range []string{"", " ", "#", "a", "zzz", "gpt-4", "gpt-4o-", "=gpt-4o", "\n"} {
		row, ok := find(embedded, "openai", id)
		if ok != (id == "gpt-4") {
			t.Errorf("find(openai, %q) = %q, %v", id, row, ok)
		}
	}
}

func TestLookup(t *testing.T) {
	tests := []struct{ vendor, id, want string }{
		{"openai", "gpt-4o", "gpt-4o"},
		{"OpenAI", "GPT-4o", "gpt-4o"},
		{"openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"}, // its own row: another price
		{"openai", "gpt-5-20250807", "gpt-5"},
		{"openai", "gpt-4o-mini-2031-01-02", "gpt-4o-mini"},
		{"openai", "-latest", ""},
		{"openai", "-20250101", ""},
		{"openai", "", ""},
		{"openai", "gpt", ""},
		{"openai", "llama-3.3-70b-versatile", ""},
		{"openai", "gpt-4o realtime", ""},
		{"anthropic", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"},
		{"anthropic", "claude-opus-4-5-of-tomorrow", "claude-opus-4-5"}, // a pattern
		{"azure", "claude-opus-4-5-of-tomorrow", "claude-opus-4-5"},     // by its maker's prices
		{"vertex", "gemini-2.5-flash-002", "gemini-2.5-flash"},
		{"groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"},
		{"mistral", "mistral-large-latest", "mistral-large-latest"},
		{"ollama", "gpt-4o", ""},
		{"", "gpt-4o", ""},
	}
	for _, tt := range tests {
		m, ok := Embedded().Lookup(tt.vendor, tt.id)
		if m.ID != tt.want || ok != (tt.want != "") {
			t.Errorf("Lookup(%q, %q) = %q, %v, want %q", tt.vendor, tt.id, m.ID, ok, tt.want)
		}
	}
}

func TestPrice(t *testing.T) {
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	now := day("2026-11-01 12:00:00")
	tests := []struct {
		vendor, id string
		at         time.Time
		usage      llm.Usage
		want       llm.Money
	}{
		{"openai", "gpt-4o", now, llm.Usage{Input: 1000, CachedRead: 400, Output: 100}, 3_000_000},
		{"openai", "gpt-5.4", now, llm.Usage{Input: 1000}, 2_500_000},
		{"openai", "gpt-5.4", now, llm.Usage{Input: 272_000}, 680_000_000},
		{"openai", "gpt-5.4", now, llm.Usage{Input: 272_001}, 1_360_005_000}, // all of it at the price of long prompts
		{"openai", "gpt-5.4", now, llm.Usage{Input: 1000, Tier: llm.TierPriority}, 5_000_000},
		{"openai", "gpt-5.4", now, llm.Usage{Input: 1000, Tier: llm.TierBatch}, 1_250_000},
		{"anthropic", "claude-haiku-4-5", now, llm.Usage{Input: 1000, CacheWrite: 1000, CacheWrite1h: 400}, 1_550_000},
		{"anthropic", "claude-haiku-4-5", now, llm.Usage{Searches: 3}, 30_000_000},
		{"anthropic", "claude-sonnet-5", day("2026-08-31 23:59:59"), llm.Usage{Output: 1000}, 10_000_000},
		{"anthropic", "claude-sonnet-5", day("2026-09-01 00:00:00"), llm.Usage{Output: 1000}, 15_000_000},
		{"deepseek", "deepseek-chat", day("2026-11-01 16:29:59"), llm.Usage{Output: 1000}, 1_100_000},
		{"deepseek", "deepseek-chat", day("2026-11-01 16:30:00"), llm.Usage{Output: 1000}, 550_000},
		{"deepseek", "deepseek-chat", day("1969-11-01 16:29:59"), llm.Usage{Output: 1000}, 1_100_000},
		{"gemini", "gemini-2.5-flash", now, llm.Usage{Input: 1000, AudioInput: 500, CachedRead: 200, CachedAudio: 100}, 533_000},
		{"perplexity", "sonar", now, llm.Usage{Input: 1000, Output: 1000}, 14_000_000}, // and a price for the request
		{"openai", "dall-e-3", now, llm.Usage{Images: 2}, 80_000_000},
		{"openai", "none", now, llm.Usage{Input: 1000}, 0},
	}
	for _, tt := range tests {
		if got := Embedded().Price(tt.vendor, tt.id).At(tt.at).Cost(tt.usage); got != tt.want {
			t.Errorf("%s %s at %v: %+v costs %d nano-USD, want %d", tt.vendor, tt.id, tt.at, tt.usage, got, tt.want)
		}
	}
}

func TestFacts(t *testing.T) {
	m, ok := Embedded().Lookup("openai", "gpt-5.4")
	if want := Tools | Structured | Reasoning | ImageInput | DocumentInput; !ok || m.Can != want || m.Context != 1_050_000 || m.MaxOutput != 128_000 || m.Family != "gpt" || m.Kind != "chat" {
		t.Errorf("gpt-5.4 = %+v", m)
	}
	for id, want := range map[string]string{"text-embedding-3-small": "embedding", "dall-e-3": "image", "omni-moderation-latest": "moderation", "gpt-4o-transcribe": "transcription", "tts-1": "speech"} {
		if m, _ := Embedded().Lookup("openai", id); m.Kind != want {
			t.Errorf("%s: kind = %q, want %q", id, m.Kind, want)
		}
	}
}

func TestVendors(t *testing.T) {
	for id, want := range map[string][]string{
		"GPT-4o-2024-08-06": {"azure", "openai"},
		"deepseek-reasoner": {"deepseek"},
		"none":              nil,
		"*":                 nil,
	} {
		if got := Embedded().Vendors(id); !slices.Equal(got, want) {
			t.Errorf("Vendors(%q) = %v, want %v", id, got, want)
		}
	}
}

func TestModels(t *testing.T) {
	rows := Embedded().Models("OpenAI")
	for i, m := range rows {
		if m.Vendor != "openai" || strings.Contains(m.ID, "*") || i > 0 && rows[i-1].ID >= m.ID {
			t.Errorf("row %d: %s %s", i, m.Vendor, m.ID)
		}
	}
	if len(rows) < 100 {
		t.Errorf("openai has %d models, want 100", len(rows))
	}
	for _, v := range []string{"ollama", "", "zzz", "#"} {
		if got := Embedded().Models(v); len(got) != 0 {
			t.Errorf("Models(%q) = %d rows, want 0", v, len(got))
		}
	}
}

// A file's rows go before the table's, in any order and spacing.
func TestWith(t *testing.T) {
	table, err := Embedded().With(`# our prices
openai   gpt-4o	input=1   output=2  source=contract@2027-01-01
OpenAI ours-* input=3 output=4 context=1000 max_output=100 kind=chat can=tools,json family=ours | above=500 input=6 output=8 | tier=batch input=1.5 output=2 | since=2027-01-01 input=5 output=5 | since=2027-01-01 above=500 input=7 output=7

azure production =gpt-4o
azure free-one input=0 output=0
azure unpriced context=5
`)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := table.Lookup("openai", "gpt-4o"); !ok || m.Price.Input != 1e6 || m.Source != "contract" {
		t.Errorf("gpt-4o = %+v", m)
	}
	if m, ok := table.Lookup("openai", "gpt-4o-mini"); !ok || m.Source == "file" {
		t.Errorf("gpt-4o-mini = %+v, want the built-in one", m)
	}
	if m, ok := table.Lookup("azure", "production"); !ok || m.ID != "gpt-4o" || m.Price.Input != 2_500_000 {
		t.Errorf("production = %+v, want azure's gpt-4o", m)
	}
	if m, ok := table.Lookup("azure", "free-one"); !ok || m.Price == nil || m.Price.Cost(llm.Usage{Input: 5}) != 0 {
		t.Errorf("free-one = %+v", m)
	}
	if m, ok := table.Lookup("azure", "unpriced"); !ok || m.Price != nil || m.Context != 5 {
		t.Errorf("unpriced = %+v", m)
	}
	p := table.Price("openai", "ours-7b")
	early, late := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		at    time.Time
		usage llm.Usage
		want  llm.Money
	}{
		{early, llm.Usage{Input: 500}, 1_500_000}, {early, llm.Usage{Input: 1000}, 6_000_000}, {late, llm.Usage{Input: 500}, 2_500_000},
		{late, llm.Usage{Input: 1000}, 7_000_000}, {early, llm.Usage{Input: 1000, Tier: llm.TierBatch}, 1_500_000}, {early, llm.Usage{Input: 100, Tier: llm.TierFlex}, 300_000},
	} {
		if got := p.At(tt.at).Cost(tt.usage); got != tt.want {
			t.Errorf("%+v at %v costs %d, want %d", tt.usage, tt.at, got, tt.want)
		}
	}
	if !table.AsOf().Equal(late) || !slices.Contains(table.Vendors("gpt-4o"), "openai") || len(table.Models("azure")) != len(Embedded().Models("azure"))+2 {
		t.Errorf("as of %v, vendors %v, %d models", table.AsOf(), table.Vendors("gpt-4o"), len(table.Models("azure")))
	}
}

func TestWithRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"openai\n":                        "line 1: a row is",
		"\n# x\nopenai gpt-4o":            "line 3: a row is",
		"v a input=1\nv a input=2":        "line 2: v a is in line 1 already",
		"v a inptu=1":                     `"inptu" is no word of a row`,
		"v a input":                       `"input" is no NAME=VALUE`,
		"v a input=x":                     "is no number",
		"v a input=-1":                    "out of range",
		"v a input=NaN":                   "out of range",
		"v a input=1 output=1e7":          "out of range",
		"v a context=-1":                  "context",
		"v a max_output=99999999999":      "max_output",
		"v a kind=chats":                  "kind: write one of",
		"v a can=fly":                     "can: \"fly\": write some of",
		"v a source=me@2026-13-01":        "source",
		"v a context=1 | above=5 input=1": "before the first",
		"v a input=1 | input=2":           "for nothing",
		"v a input=1 | above=0 input=2":   "above: write a number",
		"v a input=1 | above=5 input=2 | above=5 input=3": "longer prompts after shorter",
		"v a input=1 | tier=best input=2":                 "tier: write flex, priority or batch",
		"v a input=1 | tier=flex above=5 input=2":         "before the price that it is a case of",
		"v a input=1 | since=2027-01-01 above=5 input=2":  "before the price that it is a case of",
		"v a input=1 | since=soon input=2":                "since",
		"v a input=1 | daily=16:00-08:00 input=2":         "ends before it starts",
		"v a input=1 | daily=x input=2":                   "daily",
		"v a input=1 | context=5":                         `"context" is no word of a price`,
		"v a =":                                           "names no model",
		"v a =b*":                                         "names no model",
		"v a =b c":                                        "names no model",
		"v a =b":                                          "there is no v b",
		"v a =b\nv b =a":                                  "to stand for",
		"v a input=1 " + strings.Repeat("x", maxRow):      "longer than",
	} {
		if _, err := Embedded().With(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("With(%.60q): %v, want %q", text, err, want)
		}
	}
}

func TestStale(t *testing.T) {
	table := Embedded()
	if got := table.Stale(table.AsOf().Add(Fresh)); got != "" {
		t.Errorf("fresh prices are called stale: %s", got)
	}
	if got := table.Stale(table.AsOf().Add(Fresh + 25*time.Hour)); !strings.Contains(got, "181 days old") {
		t.Errorf("old prices: %q", got)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"*a*", "bab", true}, {"*a*", "b", false}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxcyyb", false}, {"ab*ba", "aba", false}, {"*", "", true},
	} {
		if got := match(tt.glob, tt.s); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.glob, tt.s, got)
		}
	}
}

// Whatever the file: no panic, and what is taken can be looked up.
func FuzzWith(f *testing.F) {
	f.Add("openai gpt-4o input=1 output=2 | above=5 input=3\nazure x =gpt-4o\nv a* input=1 | daily=01:00-02:00 tier=flex\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Embedded().With(text)
		if err != nil {
			return
		}
		for line := range strings.Lines(table.layers[0]) {
			vendor, _, _ := strings.Cut(line, " ")
			id := idOf(line)
			if _, ok := find(table.layers[0], vendor, id); !ok {
				t.Errorf("%q %q is not found", vendor, id)
			}
			table.Price(vendor, id).At(time.Unix(0, 0)).Cost(llm.Usage{Input: 10, Output: 10})
		}
		table.Models("openai")
		table.Vendors("gpt-4o")
	})
}

func BenchmarkLookup(b *testing.B) {
	table := Embedded()
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup("openai", "gpt-4o-mini-2024-07-18")
	}
}

func BenchmarkLookupPattern(b *testing.B) {
	table := Embedded()
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup("bedrock", "eu.anthropic.claude-sonnet-4-5-of-tomorrow")
	}
}
