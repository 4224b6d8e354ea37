package blackbox

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Choosing by cost and quality, proved on recorded outcomes: the simulator
// answers by them, the gateway chooses, the ledger says what it cost.

// labelled is a line of routing data: a prompt and what each model made of it.
type labelled struct {
	Prompt   string                     `json:"prompt"`
	Task     string                     `json:"task,omitempty"`
	Outcomes map[string]labelledOutcome `json:"outcomes"`
}

type labelledOutcome struct {
	Quality float64 `json:"quality"`
	Cost    float64 `json:"cost"` // USD
}

// readLines decodes a packed file of JSON Lines.
func readLines[T any](t testing.TB, file string) (all []T) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, v)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

// writeLines writes JSON Lines into dir and returns the file's name.
func writeLines[T any](t testing.TB, dir, name string, all []T) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, v := range all {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, name)
	write(t, file, b.String())
	return file
}

// modelNames returns the models of routing data, sorted.
func modelNames(data []labelled) []string {
	seen := make(map[string]bool)
	for _, d := range data {
		for m := range d.Outcomes {
			seen[m] = true
		}
	}
	var all []string
	for m := range seen {
		all = append(all, m)
	}
	slices.Sort(all)
	return all
}

// mean returns the mean quality and cost of a model.
func mean(data []labelled, model string) (quality, cost float64) {
	for _, d := range data {
		quality += d.Outcomes[model].Quality / float64(len(data))
		cost += d.Outcomes[model].Cost / float64(len(data))
	}
	return quality, cost
}

var recordedQuality = regexp.MustCompile(`Recorded quality (\d\.\d{3})\.`)

// tally is what a model made of all prompts.
type tally struct {
	name    string
	quality float64 // mean, as the answers said
	cost    float64 // USD, as the headers said
	ledger  float64 // USD, as the ledger says
	by      map[string]int
	each    []float64 // quality by prompt
}

// replay asks a model each prompt once, some at a time, and reads what the
// answers say of themselves.
func (g *gateway) replay(model string, prompts []string, header ...string) tally {
	g.t.Helper()
	out := tally{name: model, by: make(map[string]int), each: make([]float64, len(prompts))}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 24 {
		wg.Go(func() {
			for i := range next {
				body, _ := json.Marshal(map[string]any{"model": model, "messages": []map[string]string{{"role": "user", "content": prompts[i]}}})
				r, err := try("POST", g.url+"/v1/chat/completions", string(body), header...)
				if err != nil || r.status != 200 {
					g.t.Errorf("%s on prompt %d: %v %v", model, i, r, err)
					continue
				}
				cost, err := strconv.ParseFloat(r.header.Get("X-Sluice-Cost-Usd"), 64)
				said := recordedQuality.FindSubmatch(r.body)
				if err != nil || said == nil {
					g.t.Errorf("%s on prompt %d: no cost, or no quality: %s", model, i, r)
					continue
				}
				q, _ := strconv.ParseFloat(string(said[1]), 64)
				mu.Lock()
				out.each[i] = q
				out.quality += q / float64(len(prompts))
				out.cost += cost
				out.by[r.header.Get("X-Sluice-Model")]++
				mu.Unlock()
			}
		})
	}
	for i := range prompts {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// spent returns what the ledger says that requests for each model cost, in USD,
// once it has n rows.
func (g *gateway) spent(n int) map[string]float64 {
	g.t.Helper()
	by := make(map[string]float64)
	eventually(g.t, fmt.Sprintf("the ledger's row %d", n), func() bool {
		rep := g.usage("model")
		for _, r := range rep.Rows {
			by[r.Model] = r.USD
		}
		return rep.Total.Requests >= n
	})
	return by
}

// TestAutoSaves trains the router on two thirds of the recorded outcomes of nine
// models and lets the gateway choose for the other prompts: who wants nine tenths of
// the best that is expected for each pays at least 30 % less than for the best single
// model, and has at least 99 % of its quality; so does, for 20 % less, a model that
// says no more than auto. The best is the one that the training data would call so.
func TestAutoSaves(t *testing.T) {
	data := readLines[labelled](t, filepath.Join(dataDir(t), "routing", "nine_models.jsonl.gz"))
	rand.New(rand.NewPCG(5, 5)).Shuffle(len(data), func(i, j int) { data[i], data[j] = data[j], data[i] })
	test, train := data[:1400], data[1400:]
	if raced() {
		test = test[:500]
	}
	dir := t.TempDir()
	learnt := writeLines(t, dir, "train.jsonl", train)
	played := writeLines(t, dir, "test.jsonl", test)
	router := filepath.Join(dir, "router.bin")
	if code, out, errs := run(t, dir, "", nil, "train", learnt, "-o", router); code != 0 {
		t.Fatalf("sluice train: exit %d: %s%s", code, out, errs)
	}
	g := serve(t, autoConfig(t, simulate(t, nineSim(t, played, train)), train, router))

	best, cheapest := extremes(train)
	prompts := make([]string, len(test))
	for i, d := range test {
		prompts[i] = d.Prompt
	}
	models := []string{best, cheapest, "random", "auto", "nearly", "as-good", "cost"}
	if raced() { // the last two are shown and not judged
		models = models[:5]
	}
	var all []tally
	for _, m := range models {
		all = append(all, g.replay(m, prompts))
	}
	spent := g.spent(len(all) * len(prompts))
	t.Logf("%-34s %8s %10s %8s", "model", "quality", "USD/1000", "saving")
	for i := range all {
		r := &all[i]
		r.ledger = spent[r.name]
		t.Logf("%-34s %8.4f %10.4f %7.1f%%  %v", r.name, r.quality, 1000*r.ledger/float64(len(prompts)), 100*(1-r.ledger/all[0].ledger), r.by)
		if diff := r.cost - r.ledger; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("%s: the headers say %v USD, the ledger %v", r.name, r.cost, r.ledger)
		}
	}
	always, random := all[0], all[2]
	// What is replayed is what was recorded.
	for _, r := range all[:2] {
		q, c := mean(test, r.name)
		if d := r.quality - q; d > 1e-3 || d < -1e-3 {
			t.Errorf("%s: the answers say quality %v, %v was recorded", r.name, r.quality, q)
		}
		if ratio := r.ledger / float64(len(test)) / c; ratio < 0.98 || ratio > 1.02 {
			t.Errorf("%s: the ledger has %v of the recorded cost", r.name, ratio)
		}
	}
	for i, share := range map[int]float64{3: 0.80, 4: 0.70} {
		if r := all[i]; r.quality < 0.99*always.quality || r.ledger > share*always.ledger {
			t.Errorf("%s: got quality %.4f for %.4f USD, want at least 99 %% of %.4f for at most %v of %.4f", r.name, r.quality, r.ledger, always.quality, share, always.ledger)
		}
	}
	if random.quality > 0.9*always.quality {
		t.Errorf("random choice has quality %.4f of %.4f: this data proves nothing", random.quality, always.quality)
	}
}

// extremes returns the model of the highest mean quality, and the cheapest: of
// equal cost, the better.
func extremes(data []labelled) (best, cheapest string) {
	names := modelNames(data)
	best, cheapest = names[0], names[0]
	for _, m := range names[1:] {
		q, c := mean(data, m)
		bq, _ := mean(data, best)
		cq, cc := mean(data, cheapest)
		if q > bq {
			best = m
		}
		if c < cc*0.999 || c < cc*1.001 && q > cq {
			cheapest = m
		}
	}
	return best, cheapest
}

// ninePrices are USD per million tokens, in and out, of the data's own list.
func ninePrices(t testing.TB) map[string]float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dataDir(t), "routing", "nine_models_prices.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list map[string]struct {
		Price float64 `json:"output_price"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for name, p := range list {
		out[name] = p.Price
	}
	return out
}

// nineSim is the simulator's file: each model answers by its recorded outcomes.
func nineSim(t testing.TB, file string, data []labelled) string {
	var b strings.Builder
	b.WriteString("seed: 5\nmodels:\n")
	price := ninePrices(t)
	for _, m := range modelNames(data) {
		fmt.Fprintf(&b, "  %s: {outcomes: {file: %q, price: {input: %v, output: %v}}}\n", m, file, price[m], price[m])
	}
	return b.String()
}

// autoConfig has each model, the models that choose among them, and a random mix.
func autoConfig(t testing.TB, s *simulator, data []labelled, router string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router: %q\nlog: {level: warn}\nproviders:\n  sim: {kind: openai-compatible, base_url: %q, api_key: vendor-key-0123456789}\nmodels:\n", router, s.url+"/v1")
	names, price := modelNames(data), ninePrices(t)
	for _, m := range names {
		fmt.Fprintf(&b, "  %s: {targets: [{target: sim/%s, price: {input: %v, output: %v}}]}\n", m, m, price[m], price[m])
	}
	all := strings.Join(names, ", ")
	fmt.Fprintf(&b, "  auto: {auto: {models: [%s]}}\n", all)
	fmt.Fprintf(&b, "  as-good: {auto: {models: [%s], quality: 1}}\n", all)
	fmt.Fprintf(&b, "  nearly: {auto: {models: [%s], quality: 0.9}}\n", all)
	fmt.Fprintf(&b, "  cost: {auto: {models: [%s], prefer: cost}}\n", all)
	fmt.Fprintf(&b, "  random: {strategy: weighted, affinity: off, targets: [%s]}\n", all)
	return b.String()
}
