package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/catalog"

	"github.com/sluicegate/sluice/internal/llm"
)

// write makes the files of the sources and returns the arguments that name
// them.
func write(t *testing.T, genai, dev string, portkey map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"genai.json": genai, "dev.json": dev}
	for _, v := range vendors {
		for _, name := range v.portkey {
			files["pricing/"+name+".json"] = "{}"
		}
		for _, name := range v.general {
			files["general/"+name+".json"] = "{}"
		}
	}
	for name, text := range portkey {
		files[name+".json"] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"genai-prices=" + dir + "/genai.json@2026-02-01", "models.dev=" + dir + "/dev.json@2026-03-01", "portkey=" + dir + "@2026-01-01"}
}

func devFile(vendors map[string]string) string {
	all := map[string]string{}
	for _, v := range vendorsOfDev() {
		all[v] = `{"models":{}}`
	}
	for name, models := range vendors {
		all[name] = `{"models":` + models + `}`
	}
	var members []string
	for name, text := range all {
		members = append(members, `"`+name+`":`+text)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func vendorsOfDev() []string {
	var out []string
	for _, v := range vendors {
		out = append(out, v.dev...)
	}
	return out
}

func TestGen(t *testing.T) {
	genai := `[{"id":"openai","models":[
		{"id":"gpt-x","match":{"or":[{"equals":"gpt-x"},{"equals":"GPT-X-chat"},{"starts_with":"gpt-x-2"},{"regex":"^gpt-x:\\d+$"}]},"context_window":99,
		 "prices":[{"prices":{"input_mtok":{"base":2,"tiers":[{"start":1000,"price":4}]},"output_mtok":8,"cache_write_mtok":2.5}},
		           {"constraint":{"start_date":"2026-05-01"},"prices":{"input_mtok":1,"output_mtok":4}}]},
		{"id":"gift","match":{"equals":"gift"},"prices":{}}]},
	 {"id":"huggingface_groq","models":[{"id":"Org/M","match":{"equals":"Org/M"},"prices":{"input_mtok":1,"output_mtok":1}}]}]`
	dev := devFile(map[string]string{
		"openai": `{"gpt-x":{"family":"gpt","tool_call":true,"limit":{"context":100,"output":50},"modalities":{"input":["text","image"],"output":["text"]},"cost":{"input":9,"output":9}},
			"gpt-y":{"cost":{"input":3,"output":6,"cache_read":0,"tiers":[{"tier":{"size":500},"input":6}]},"limit":{"context":10,"output":20}}}`,
		"azure":    `{"gpt-x":{"limit":{"context":80}}}`,
		"deepseek": `{"gift":{"cost":{"input":0,"output":0}}}`,
	})
	portkey := map[string]string{
		"pricing/openai": `{"default":{"pricing_config":{}},
			"gpt-x":{"pricing_config":{"pay_as_you_go":{"request_token":{"price":0.0001},"response_token":{"price":0.0004},"additional_units":{"web_search":{"price":1}}},
				"batch_config":{"request_token":{"price":0.00005},"response_token":{"price":0.0002}}}},
			"gpt-y":{"pricing_config":{"pay_as_you_go":{"request_token":{"price":0.5},"response_token":{"price":0.5}}}},
			"pages":{"pricing_config":{"pay_as_you_go":{"request_token":{"price":5},"response_token":{"price":0}}}},
			"paint":{"pricing_config":{"pay_as_you_go":{"image":{"default":{"default":{"price":4}}}}}}}`,
		"pricing/deepseek":   `{"gift":{"pricing_config":{"pay_as_you_go":{"request_token":{"price":0.0001},"response_token":{"price":0.0001}}}}}`,
		"pricing/openrouter": `{"openai/gpt-x":{"pricing_config":{"pay_as_you_go":{"request_token":{"price":0.0003},"response_token":{"price":0.0003}}}}}`,
		"general/openai":     `{"gpt-z":{"params":[{"key":"max_tokens","maxValue":77}],"type":{"primary":"chat","supported":["tools"]}}}`,
	}
	out := filepath.Join(t.TempDir(), "models.txt")
	if err := run(out, write(t, genai, dev, portkey)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"# as of 2026-03-01",
		// What the vendor itself is said to have, at the maker's price.
		"azure gpt-x context=80 max_output=50 family=gpt source=genai-prices@2026-02-01 input=2 cache_write=2.5 output=8 | above=1000 input=4 cache_write=2.5 output=8 | since=2026-05-01 input=1 output=4",
		// models.dev does not tell free from unknown.
		"deepseek gift source=portkey@2026-01-01 input=1 output=1",
		"huggingface org/m:groq source=genai-prices@2026-02-01 input=1 output=1",
		// genai-prices does.
		"openai gift source=genai-prices@2026-02-01 input=0 output=0",
		// Prices of the first; tiers and searches of the last where it agrees.
		"openai gpt-x context=100 max_output=50 can=tools,image family=gpt source=genai-prices@2026-02-01 input=2 cache_write=2.5 output=8 | above=1000 input=4 cache_write=2.5 output=8 | since=2026-05-01 input=1 output=4 search=10 | since=2026-05-01 tier=batch input=0.5 output=2 search=10",
		"openai gpt-x-2* =gpt-x",
		"openai gpt-x-chat =gpt-x",
		"openai gpt-y context=10 family=gpt source=models.dev@2026-03-01 input=3 output=6 | above=500 input=6 output=6",
		"openai gpt-z max_output=77 can=tools family=gpt source=portkey@2026-01-01",
		// A price per page is none per token.
		"openai pages source=portkey@2026-01-01",
		"openai paint source=portkey@2026-01-01 input=0 output=0 image=40",
		"openrouter *:free source=genai-prices@2026-02-01 input=0 output=0",
		// A router's price is the maker's, before Portkey's.
		"openrouter openai/gpt-x context=80 max_output=50 can=tools,image family=gpt source=genai-prices@2026-02-01 input=2 cache_write=2.5 output=8 | above=1000 input=4 cache_write=2.5 output=8 | since=2026-05-01 input=1 output=4 search=10 | since=2026-05-01 tier=batch input=0.5 output=2 search=10",
	}
	got := strings.Split(strings.TrimSpace(string(b)), "\n")
	got = slices.DeleteFunc(got, func(l string) bool { return strings.HasPrefix(l, "# Made") })
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := catalog.Embedded().With(string(b)); err != nil {
		t.Errorf("the catalog does not read it: %v", err)
	}
	for _, bad := range [][]string{nil, {"genai-prices"}, {"genai-prices=x"}, {"genai-prices=x@yesterday"}, {"genai-prices=" + out + "@2026-01-01"}} {
		if err := run(out, bad); err == nil {
			t.Errorf("%v: made a table", bad)
		}
	}
}

// The embedded table is what the generator makes of the sources that it
// names.
func TestEmbedded(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: the embedded table is not made again")
	}
	b, err := os.ReadFile("../models.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "catalog")
	var args []string
	for name, path := range map[string]string{"genai-prices": "genai-prices/prices_new_data_v2_data.json", "models.dev": "models.dev/api.compiled.json", "portkey": "portkey"} {
		day := regexp.MustCompile(name + `@(\S+)`).FindSubmatch(b)
		if day == nil {
			t.Fatalf("no row is of %s", name)
		}
		args = append(args, name+"="+filepath.Join(dir, path)+"@"+string(day[1]))
	}
	out := filepath.Join(t.TempDir(), "models.txt")
	if err := run(out, args); err != nil {
		t.Skipf("other sources than the table's: %v", err)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(made) != string(b) {
		t.Error("models.txt is not what gen makes: run it as its comment says")
	}
}

func TestBare(t *testing.T) {
	for id, want := range map[string]string{
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5", "claude-opus-4-5@20251101": "claude-opus-4-5", "openai/gpt-4o-2024-08-06": "gpt-4o",
		"meta.llama3-2-3b-instruct-v1:0": "llama3-2-3b-instruct", "Qwen/Qwen3-32B:groq": "qwen3-32b", "gemini-2.0-flash-001": "gemini-2.0-flash", "qwen3-coder-480b-a35b-instruct-maas": "qwen3-coder-480b-a35b-instruct",
		"mistral-large-latest": "mistral-large", "o3": "o3",
	} {
		if got := bare(id); got != want {
			t.Errorf("bare(%q) = %q, want %q", id, got, want)
		}
	}
}

// A reranker's prompt that costs what no tokens cost is a search.
func TestSearched(t *testing.T) {
	for _, c := range []struct {
		id           string
		usd          float64
		input, price float64
	}{{"Rerank-v3.5", 2000, 0, 2}, {"semantic-ranker-default", 1000, 0, 1}, {"jina-reranker-v3", 0.05, 0.05, 0}, {"gpt-x", 2000, 2000, 0}} {
		rates := map[llm.Unit]float64{llm.UnitInput: c.usd, llm.UnitOutput: 0}
		searched(c.id, []section{{rates: rates}})
		if rates[llm.UnitInput] != c.input || rates[llm.UnitSearch] != c.price {
			t.Errorf("%s: got %v", c.id, rates)
		}
	}
}

// The table of figures is what gen makes of the data.
func TestQualityTable(t *testing.T) {
	data := os.Getenv("SLUICE_DATA")
	if data == "" {
		t.Skip("needs SLUICE_DATA, the folder of routing and catalog data")
	}
	out := filepath.Join(t.TempDir(), "quality.txt")
	if err := quality(out, data); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("..", "quality.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("quality.txt is not what gen -quality makes of the data; make it anew")
	}
}
