package app

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// view is how genai-prices reads a body as one vendor's.
type view struct {
	Provider string `json:"provider_id"`
	Flavor   string `json:"api_flavor"`
	Input    string `json:"input_price"`
	Output   string `json:"output_price"`
	Total    string `json:"total_price"`
}

type recordedUsage struct {
	Body      json.RawMessage
	Model     string
	Extracted []struct {
		Extractors []view
		Usage      map[string]int64
	}
}

var viewVendors = map[string][]string{"openai": {"openai"}, "azure": {"azure"}, "anthropic": {"anthropic"}, "google": {"gemini", "vertex"}, "aws": {"bedrock"},
	"groq": {"groq"}, "mistral": {"mistral"}, "cohere": {"cohere"}, "deepseek": {"deepseek"}, "cerebras": {"cerebras"}, "fireworks": {"fireworks"},
	"openrouter": {"openrouter"}, "perplexity": {"perplexity"}, "x-ai": {"xai"}, "moonshotai": {"moonshot"}, "zai": {"zai"}, "doubleword": {"doubleword"}}

// targetsOf are vendor and model for which the view stands; none: it is not
// one of our vendors, or reads the body as what it is not.
func (v view) targetsOf(r *recordedUsage) [][2]string {
	var body struct {
		File          string
		Usage         map[string]json.RawMessage
		UsageMetadata map[string]json.RawMessage
		Meta          map[string]json.RawMessage
	}
	_ = json.Unmarshal(r.Body, &body)
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return body.Usage[n] != nil })
	}
	anthropic := has("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation")
	shape := ""
	switch {
	case body.UsageMetadata != nil:
		shape = "google/default"
	case body.Meta != nil:
		shape = "cohere/embeddings"
	case has("billed_units"):
		shape = "cohere/default"
	case has("tokens"):
		shape = "cohere/tokens"
	case has("inputTokens", "outputTokens"):
		shape = "aws/default"
	case has("completion_tokens") || has("prompt_tokens") && !has("total_tokens"):
		shape = "chat"
	case has("prompt_tokens"):
		shape = "embeddings"
	case anthropic:
		shape = "anthropic"
	case has("input_tokens"):
		shape = "responses"
	}
	flavor := v.Flavor
	switch {
	case v.Provider == "google" && flavor == "default" || v.Provider == "cohere" || v.Provider == "aws" && flavor == "default":
		flavor = v.Provider + "/" + flavor
	case v.Provider == "anthropic" && flavor == "default":
		flavor = "anthropic"
	case flavor == "default":
		flavor = "chat"
	}
	if flavor != shape {
		return nil
	}
	if via, ok := strings.CutPrefix(v.Provider, "huggingface_"); ok {
		return [][2]string{{"huggingface", r.Model + ":" + via}}
	}
	own := map[string]string{"x-ai": "grok", "perplexity": "sonar"} // count what only their bodies tell
	if !strings.HasPrefix(r.Model, own[v.Provider]) {
		return nil
	}
	var out [][2]string
	for _, vendor := range viewVendors[v.Provider] {
		if vendor == "gemini" && strings.Contains(r.Model, "claude") {
			continue
		}
		out = append(out, [2]string{vendor, r.Model})
	}
	return out
}

// kindsOf compares counts by the names that genai-prices has for them.
func kindsOf(u llm.Usage) map[string]int64 {
	return map[string]int64{
		"input_tokens": u.Input, "output_tokens": u.Output, "output_reasoning_tokens": u.Reasoning, "cache_read_tokens": u.CachedRead,
		"cache_write_tokens": u.CacheWrite, "cache_write_5m_tokens": u.CacheWrite - u.CacheWrite1h, "cache_write_1h_tokens": u.CacheWrite1h,
		"input_audio_tokens": u.AudioInput, "input_image_tokens": u.ImageInput, "input_video_tokens": u.VideoInput, "input_tool_tokens": u.ToolInput,
		"output_audio_tokens": u.AudioOutput, "output_image_tokens": u.ImageOutput, "output_video_tokens": u.VideoOutput, "output_citation_tokens": u.Citation,
		"cache_audio_read_tokens": u.CachedAudio, "cache_image_read_tokens": u.CachedImage, "web_searches": u.Searches,
		"cache_text_read_tokens": u.CachedRead - u.CachedAudio - u.CachedImage,
	}
}

// reads are the kinds that a view reads: what it does not tell, there is none
// of.
var reads = map[string][]string{
	"anthropic default": {"input_tokens", "output_tokens", "output_reasoning_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches"},
	"openai chat":       {"input_tokens", "output_tokens", "output_reasoning_tokens", "cache_read_tokens", "cache_write_tokens", "input_audio_tokens", "output_audio_tokens"},
	"openai responses":  {"input_tokens", "output_tokens", "output_reasoning_tokens", "cache_read_tokens", "cache_write_tokens"},
	"google default": {"input_tokens", "output_tokens", "output_reasoning_tokens", "cache_read_tokens", "input_audio_tokens", "input_image_tokens", "input_video_tokens",
		"input_tool_tokens", "output_audio_tokens", "output_image_tokens", "output_video_tokens", "cache_audio_read_tokens", "cache_image_read_tokens"},
}

// derived are told by some vendors for what others leave to be computed.
var derived = []string{"input_text_tokens", "output_text_tokens", "input_text_tool_tokens"}

func readUsages(t *testing.T) []recordedUsage {
	t.Helper()
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: no recorded usage is priced")
	}
	b, err := os.ReadFile(filepath.Join(root, "catalog", "genai-prices", "usages.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recordedUsage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Every body's tokens are counted by kind as genai-prices counts them.
func TestRecordedCounts(t *testing.T) {
	bodies, passed := 0, 0
	for _, r := range readUsages(t) {
		views, ok := 0, true
		got, found := protocol.FindUsage(r.Body)
		have := kindsOf(got.Usage)
		for _, e := range r.Extracted {
			for _, v := range e.Extractors {
				if len(v.targetsOf(&r)) == 0 {
					continue
				}
				views++
				if !found {
					ok = false
					t.Errorf("no usage in %s", r.Body)
					break
				}
				for _, kind := range reads[v.Provider+" "+v.Flavor] {
					if v.Input == "" {
						break // another vendor's body, which may tell more
					}
					if _, told := e.Usage[kind]; !told && have[kind] != 0 && (kind != "cache_write_5m_tokens" || e.Usage["cache_write_tokens"] == 0) {
						ok = false
						t.Errorf("%s %s: %s = %d, want none: %s", v.Provider, v.Flavor, kind, have[kind], r.Body)
					}
				}
				for kind, want := range e.Usage {
					if have[kind] != want && !slices.Contains(derived, kind) {
						ok = false
						t.Errorf("%s %s: %s = %d, want %d: %s", v.Provider, v.Flavor, kind, have[kind], want, r.Body)
					}
				}
			}
		}
		if views == 0 {
			continue
		}
		bodies++
		if ok {
			passed++
		}
	}
	t.Logf("counts: %d of %d bodies as expected", passed, bodies)
	if bodies == 0 {
		t.Error("no body concerns our vendors")
	}
}

// What a recorded body costs is what genai-prices says, at the prices of the
// day of its data.
func TestRecordedPrices(t *testing.T) {
	at := catalog.Embedded().AsOf().Add(12 * time.Hour)
	known, right, today := 0, 0, 0
	all := readUsages(t)
	total, misses := 0, map[string]int{}
	for i := range all {
		r := &all[i]
		for _, e := range r.Extracted {
			for _, v := range e.Extractors {
				if v.Input == "" && v.Output == "" {
					continue
				}
				for _, target := range v.targetsOf(r) {
					total++
					want := v.usd(t)
					p, err := Price(PriceQuery{Vendor: target[0], Model: target[1], Body: r.Body, At: at})
					if err != nil {
						misses[target[0]+" "+target[1]+": not known: "+err.Error()]++
						continue
					}
					known++
					if now, err := Price(PriceQuery{Vendor: target[0], Model: target[1], Body: r.Body}); err == nil && within(now, want) {
						today++
					}
					if within(p, want) {
						right++
						continue
					}
					misses[target[0]+" "+target[1]+" costs "+p.USD.String()+", want "+strconv.FormatFloat(want, 'g', 6, 64)+": "+why(p)]++
				}
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(misses)) {
		t.Logf("miss ×%d: %s", misses[m], m)
	}
	t.Logf("prices: %d of %d known (%.1f %%), %d of them within 1 %% (%.1f %%)", known, total, 100*float64(known)/float64(total), right, 100*float64(right)/float64(known))
	if known*100 < total*95 || right*100 < known*99 {
		t.Error("want 95 % known and 99 % of them within 1 %")
	}
}

func within(p *Priced, want float64) bool {
	got, err := strconv.ParseFloat(p.USD.String(), 64)
	return err == nil && math.Abs(got-want) <= 0.01*want+1e-9
}

// why says what of a usage the expectation leaves out.
func why(p *Priced) string {
	switch {
	case p.Usage.Tier != llm.TierStandard:
		return "of the tier " + p.Usage.Tier.String() + ", which the expectation does not know"
	case p.Usage.Searches > 0:
		return "with searches, which this view of the body does not read"
	case p.Usage.CacheWrite > 0:
		return "with cache writes, which this view of the body does not read"
	}
	return "another price"
}

func (v view) usd(t *testing.T) float64 {
	t.Helper()
	number := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if v.Total != "" {
		return number(v.Total)
	}
	return number(v.Input) + number(v.Output)
}

// billed is what some vendors say that an answer cost, in USD; 0: this one
// does not.
func billed(usage []byte) float64 {
	var u struct {
		Ticks float64         `json:"cost_in_usd_ticks"` // xAI, 10⁻¹⁰ USD
		Cost  json.RawMessage // Perplexity, OpenRouter
	}
	_ = json.Unmarshal(usage, &u)
	if u.Ticks > 0 {
		return u.Ticks / 1e10
	}
	var of struct {
		Total float64 `json:"total_cost"`
	}
	var usd float64
	if json.Unmarshal(u.Cost, &of) == nil {
		return of.Total
	}
	_ = json.Unmarshal(u.Cost, &usd)
	return usd
}

// Recorded answers cost what their vendor says that it took for them.
func TestBilledPrices(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: no recorded bill is compared")
	}
	for _, vendor := range []string{"xai", "openrouter", "perplexity"} {
		files, err := filepath.Glob(filepath.Join(root, "wire", vendor, "*", "*", "response*"))
		if err != nil {
			t.Fatal(err)
		}
		known, right := 0, 0
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				body := []byte(strings.TrimPrefix(strings.TrimSpace(line), "data:"))
				if strings.HasPrefix(string(b), "{") {
					body = b
				}
				var answer struct {
					Usage    json.RawMessage
					Response struct{ Usage json.RawMessage }
				}
				_ = json.Unmarshal(body, &answer)
				want := max(billed(answer.Usage), billed(answer.Response.Usage))
				if p, err := Price(PriceQuery{Vendor: vendor, Body: body}); want > 0 && err == nil {
					known++
					if within(p, want) {
						right++
					} else {
						t.Logf("%s: %s costs %s, the bill says %g", filepath.Base(filepath.Dir(f)), p.Model, p.USD, want)
					}
				}
				if strings.HasPrefix(string(b), "{") {
					break
				}
			}
		}
		t.Logf("%s: %d of %d bills within 1 %%", vendor, right, known)
		if right*100 < known*85 { // prices have changed since, and plug-ins of a router are no usage
			t.Errorf("%s: want 85 %%", vendor)
		}
	}
}
