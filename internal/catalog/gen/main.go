// Command gen makes the catalog's table of public sources.
//
//	go run ./internal/catalog/gen -o internal/catalog/models.txt \
//		genai-prices=prices_new_data_v2_data.json@2026-08-03 \
//		models.dev=api.compiled.json@2026-06-30 \
//		portkey=portkey@2026-07-30
//	go run ./internal/catalog/gen -quality internal/catalog/quality.txt -data DIR
//
// An argument is SOURCE=PATH@DATE: what the source's project publishes, and
// the newest date that it carries. Portkey's is the folder that holds pricing
// and general. The order of precedence is always that above: a model's price
// is of the first source that prices it, a router's the maker's before
// Portkey's; a later one adds service tiers, the price of searches and of a
// cache write for an hour where it has the same input and output price.
// Context, output limit, abilities and family are models.dev's; where it does
// not have them of the vendor, the others', then what it has most often of the
// same model elsewhere. Only facts are taken: no text.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	out := flag.String("o", "", "file to write")
	figures := flag.String("quality", "", "file to write the results of models in tests to, instead")
	data := flag.String("data", "", "folder of routing and catalog data, for -quality")
	flag.Parse()
	err := error(nil)
	if *figures != "" {
		err = quality(*figures, *data)
	} else {
		err = run(*out, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// source is what one source says of all vendors.
type source struct {
	name string
	date string
	// entries are by our vendor, then by id in lower case.
	entries map[string]map[string]*entry
	// alike are the entries of all vendors by bare id, families all of theirs.
	alike    map[string][]*entry
	families []string
	// names are ids and patterns that stand for one of the entries.
	names map[string][]name
}

// name is another name of an entry: an id, or a pattern with stars.
type name struct {
	clause clause
	id     string
}

var readers = []struct {
	name string
	read func(path string) (*source, error)
}{{"genai-prices", readGenai}, {"models.dev", readModelsDev}, {"portkey", readPortkey}}

func run(out string, args []string) error {
	given := map[string]string{}
	for _, a := range args {
		name, rest, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("%q is no SOURCE=PATH@DATE", a)
		}
		given[name] = rest
	}
	var sources []*source
	newest := ""
	for _, r := range readers {
		arg, ok := given[r.name]
		if !ok {
			return fmt.Errorf("%s=PATH@DATE is missing", r.name)
		}
		at := strings.LastIndexByte(arg, '@')
		if at < 0 {
			return fmt.Errorf("%s: no @DATE", r.name)
		}
		if _, err := time.Parse(time.DateOnly, arg[at+1:]); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		s, err := r.read(arg[:at])
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		s.name, s.date = r.name, arg[at+1:]
		newest = max(newest, s.date)
		sources = append(sources, s)
	}
	rows := merge(sources)
	text := "# as of " + newest + "\n# Made by gen of facts from genai-prices, models.dev and Portkey's models; parseRow says what a row is.\n" + strings.Join(rows, "\n") + "\n"
	return os.WriteFile(out, []byte(text), 0o644)
}

// vendors are our vendors and the sources' names for them. Of several the
// first goes before.
var vendors = []struct {
	name    string
	genai   []string
	dev     []string
	portkey []string // of pricing
	general []string // of general
}{
	{"alibaba", nil, []string{"alibaba"}, []string{"dashscope"}, []string{"dashscope"}},
	{"anthropic", []string{"anthropic"}, []string{"anthropic"}, []string{"anthropic"}, []string{"anthropic"}},
	{"avian", []string{"avian"}, nil, nil, nil},
	{"azure", []string{"azure"}, []string{"azure", "azure-cognitive-services"}, []string{"azure-openai", "azure-ai"}, []string{"azure-openai", "azure-ai"}},
	{"bedrock", []string{"aws"}, []string{"amazon-bedrock"}, []string{"bedrock", "bedrock-mantle"}, []string{"bedrock", "bedrock-mantle"}},
	{"cerebras", []string{"cerebras"}, []string{"cerebras"}, []string{"cerebras"}, []string{"cerebras"}},
	{"cloudflare", nil, []string{"cloudflare-workers-ai"}, []string{"workers-ai"}, []string{"workers-ai"}},
	{"cohere", []string{"cohere"}, []string{"cohere"}, []string{"cohere"}, []string{"cohere"}},
	{"databricks", nil, []string{"databricks"}, nil, nil},
	{"deepinfra", nil, []string{"deepinfra"}, []string{"deepinfra"}, []string{"deepinfra"}},
	{"deepseek", []string{"deepseek"}, []string{"deepseek"}, []string{"deepseek"}, []string{"deepseek"}},
	{"doubleword", []string{"doubleword"}, nil, nil, nil},
	{"fireworks", []string{"fireworks"}, []string{"fireworks-ai"}, []string{"fireworks-ai"}, []string{"fireworks-ai", "fireworks"}},
	{"gemini", []string{"google"}, []string{"google"}, []string{"google"}, []string{"google"}},
	{"github", nil, []string{"github-models"}, nil, []string{"github"}},
	{"groq", []string{"groq"}, []string{"groq"}, []string{"groq"}, []string{"groq"}},
	{"huggingface", nil, []string{"huggingface"}, nil, nil},
	{"jina", nil, nil, []string{"jina"}, []string{"jina"}},
	{"mistral", []string{"mistral"}, []string{"mistral"}, []string{"mistral-ai"}, []string{"mistral-ai"}},
	{"moonshot", []string{"moonshotai"}, []string{"moonshotai"}, []string{"moonshot"}, []string{"moonshot"}},
	{"nvidia", nil, []string{"nvidia"}, nil, nil},
	{"openai", []string{"openai"}, []string{"openai"}, []string{"openai"}, []string{"openai", "open-ai"}},
	{"openrouter", []string{"openrouter"}, []string{"openrouter"}, []string{"openrouter"}, []string{"openrouter"}},
	{"perplexity", []string{"perplexity"}, []string{"perplexity", "perplexity-agent"}, []string{"perplexity-ai"}, []string{"perplexity-ai"}},
	{"sambanova", nil, nil, nil, []string{"sambanova"}},
	{"together", []string{"together"}, []string{"togetherai"}, []string{"together-ai"}, []string{"together-ai"}},
	{"venice", nil, []string{"venice"}, nil, nil},
	{"vercel", nil, []string{"vercel"}, nil, nil},
	{"vertex", []string{"google"}, []string{"google-vertex", "google-vertex-anthropic"}, []string{"vertex-ai"}, []string{"vertex-ai"}},
	{"voyage", []string{"voyageai"}, nil, nil, []string{"voyage"}},
	{"xai", []string{"x-ai"}, []string{"xai"}, []string{"x-ai"}, []string{"x-ai"}},
	{"zai", []string{"zai"}, []string{"zai"}, []string{"z-ai"}, []string{"z-ai"}},
}
