package catalog

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// quote is a price in USD per million tokens, as a source has it.
type quote struct{ input, output, cached, write float64 }

// TestSources compares every row with the source that it names: the price
// must be one that the source quotes for the model, now or at another date,
// and the context one that some source has.
func TestSources(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: prices are not compared with their sources")
	}
	dir := filepath.Join(root, "catalog")
	quotes := map[string]map[[2]string][]quote{
		"models.dev": {}, "portkey": {}, "genai-prices": {},
	}
	contexts := map[string]map[int]bool{}
	readModelsDev(t, dir, quotes["models.dev"], contexts)
	readPortkey(t, dir, quotes["portkey"])
	readGenaiPrices(t, dir, quotes["genai-prices"], contexts)
	for _, m := range models() {
		found := quotes[m.Source][[2]string{m.Vendor, m.ID}]
		ok := false
		for _, q := range found {
			ok = ok || agrees(m.Price, q)
		}
		if !ok {
			t.Errorf("%s/%s: price %+v is none of what %s has: %+v", m.Vendor, m.ID, m.Price, m.Source, found)
		}
		if known := contexts[m.ID]; m.Context > 0 && len(known) > 0 && !known[m.Context] {
			t.Errorf("%s/%s: context %d is none of what the sources have: %v", m.Vendor, m.ID, m.Context, known)
		}
	}
}

// agrees compares what the row tells; a zero cache price in a source means
// that it has none.
func agrees(p llm.Price, q quote) bool {
	near := func(r llm.Rate, usd float64) bool { return math.Abs(float64(r)-usd*1e6) < 1.5 }
	if !near(p.Input, q.input) || !near(p.Output, q.output) {
		return false
	}
	return (!p.HasCached || near(p.CachedRead, q.cached)) && (!p.HasWrite || near(p.CacheWrite, q.write))
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("reading the data: %v", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
}

func note(contexts map[string]map[int]bool, id string, n int) {
	if contexts[id] == nil {
		contexts[id] = map[int]bool{}
	}
	contexts[id][n] = true
}

func readModelsDev(t *testing.T, dir string, quotes map[[2]string][]quote, contexts map[string]map[int]bool) {
	t.Helper()
	var file map[string]json.RawMessage
	readJSON(t, filepath.Join(dir, "models.dev", "api.compiled.json"), &file)
	for _, v := range vendorNames {
		var vendor struct {
			Models map[string]struct {
				Cost struct {
					Input, Output float64
					Read          float64 `json:"cache_read"`
					Write         float64 `json:"cache_write"`
				}
				Limit struct{ Context int }
			}
		}
		if err := json.Unmarshal(file[v.name], &vendor); err != nil {
			t.Fatalf("models.dev %s: %v", v.name, err)
		}
		for id, m := range vendor.Models {
			key := [2]string{v.name, id}
			quotes[key] = append(quotes[key], quote{m.Cost.Input, m.Cost.Output, m.Cost.Read, m.Cost.Write})
			note(contexts, id, m.Limit.Context)
		}
	}
}

var vendorNames = []struct{ name, portkey, genai string }{
	{"azure", "azure-openai", "azure"}, {"deepseek", "deepseek", "deepseek"}, {"groq", "groq", "groq"},
	{"mistral", "mistral-ai", "mistral"}, {"openai", "openai", "openai"}, {"openrouter", "openrouter", "openrouter"},
	{"perplexity", "perplexity-ai", "perplexity"}, {"xai", "x-ai", "x-ai"},
}

func readPortkey(t *testing.T, dir string, quotes map[[2]string][]quote) {
	t.Helper()
	type cents struct{ Price float64 } // US cents per token
	for _, v := range vendorNames {
		var file map[string]struct {
			Config struct {
				Pay struct {
					Input  cents `json:"request_token"`
					Output cents `json:"response_token"`
					Read   cents `json:"cache_read_input_token"`
					Write  cents `json:"cache_write_input_token"`
				} `json:"pay_as_you_go"`
			} `json:"pricing_config"`
		}
		readJSON(t, filepath.Join(dir, "portkey", "pricing", v.portkey+".json"), &file)
		for id, m := range file {
			p := m.Config.Pay
			key := [2]string{v.name, id}
			quotes[key] = append(quotes[key], quote{p.Input.Price * 1e4, p.Output.Price * 1e4, p.Read.Price * 1e4, p.Write.Price * 1e4})
		}
	}
}

// tiered is a number, or an object with the base price of short prompts.
type tiered float64

func (p *tiered) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var x struct{ Base float64 }
		err := json.Unmarshal(b, &x)
		*p = tiered(x.Base)
		return err
	}
	var f float64
	err := json.Unmarshal(b, &f)
	*p = tiered(f)
	return err
}

type genaiPrice struct {
	Input  tiered `json:"input_mtok"`
	Output tiered `json:"output_mtok"`
	Read   tiered `json:"cache_read_mtok"`
	Write  tiered `json:"cache_write_mtok"`
}

// genaiPrices is one price, or several with dates.
type genaiPrices []genaiPrice

func (p *genaiPrices) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var list []struct{ Prices genaiPrice }
		err := json.Unmarshal(b, &list)
		for _, x := range list {
			*p = append(*p, x.Prices)
		}
		return err
	}
	var one genaiPrice
	err := json.Unmarshal(b, &one)
	*p = genaiPrices{one}
	return err
}

func readGenaiPrices(t *testing.T, dir string, quotes map[[2]string][]quote, contexts map[string]map[int]bool) {
	t.Helper()
	var file []struct {
		ID     string
		Models []struct {
			ID      string
			Context int `json:"context_window"`
			Prices  genaiPrices
		}
	}
	readJSON(t, filepath.Join(dir, "genai-prices", "prices_new_data_v2_data.json"), &file)
	name := map[string]string{}
	for _, v := range vendorNames {
		name[v.genai] = v.name
	}
	for _, vendor := range file {
		if name[vendor.ID] == "" {
			continue
		}
		for _, m := range vendor.Models {
			key := [2]string{name[vendor.ID], m.ID}
			for _, p := range m.Prices {
				quotes[key] = append(quotes[key], quote{float64(p.Input), float64(p.Output), float64(p.Read), float64(p.Write)})
			}
			if m.Context > 0 {
				note(contexts, m.ID, m.Context)
			}
		}
	}
}
