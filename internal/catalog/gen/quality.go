package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/catalog"
)

// result is a model's share of right answers in a test.
type result struct {
	model, test, kind string
	score             float64
	source, date      string
}

// Dates of what the sources' figures do not date: the newest that the source
// carries, or the day it was read where it carries none.
const (
	zeroevalDate  = "2024-10-22" // of its newest model
	routellmDate  = "2023-11-06" // the same
	llmrouterDate = "2026-11-22" // read
	modelsDevDate = "2026-06-30"
)

// qualityHead begins the table.
const qualityHead = `# Results of models in tests, of public sources: facts, with source and date; no text is taken.
# zeroeval: WildEval/ZeroEval. routellm: lm-sys/RouteLLM (Apache-2.0). llmrouter: ulab-uiuc/LLMRouter (MIT).
# models.dev: its list of benchmarks (MIT), tests named NAME/WHO-MEASURED-IT.
# A date is that of the figure where the source says it, else the newest that the source carries, else the day it was read.
# Made by gen -quality. test NAME KIND HARD: HARD makes the tests' results one scale; see fit.
# MODEL TEST SCORE SOURCE@DATE: MODEL as catalog.Bare writes it.
`

// quality writes the table of figures from the folder of data.
func quality(out, data string) error {
	var all []result
	for _, read := range []func(string) ([]result, error){readZeroEval, readRouteLLM, readLLMRouter, readBenchmarks} {
		rs, err := read(data)
		if err != nil {
			return err
		}
		all = append(all, rs...)
	}
	all = unite(all)
	hard := fit(all)
	kinds := map[string]string{}
	for _, r := range all {
		kinds[r.test] = r.kind
	}
	var b strings.Builder
	b.WriteString(qualityHead)
	for _, t := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&b, "test %s %s %.3f\n", t, kinds[t], hard[t])
	}
	for _, r := range all {
		fmt.Fprintf(&b, "%s %s %.4f %s@%s\n", r.model, r.test, r.score, r.source, r.date)
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

// unite sorts the results and takes the mean of what is of one model and test;
// the newest date holds. Tests with one model say nothing of it.
func unite(all []result) []result {
	type key struct{ model, test string }
	sum, n := map[key]*result{}, map[key]float64{}
	for i := range all {
		r := &all[i]
		k := key{r.model, r.test}
		n[k]++
		if s := sum[k]; s != nil {
			s.score += (r.score - s.score) / n[k]
			s.date = max(s.date, r.date)
		} else {
			sum[k] = r
		}
	}
	models := map[string]int{}
	for k := range sum {
		models[k.test]++
	}
	var out []result
	for k, r := range sum {
		if models[k.test] > 1 {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b result) int {
		return cmp.Or(strings.Compare(a.model, b.model), strings.Compare(a.test, b.test))
	})
	return out
}

// fit finds how hard the tests are: logit(score) = ability of the model - hardness
// of the test (Rasch 1960), in turn; the abilities as catalog.Able has them, the
// hardness by least squares, drawn to nothing by a twentieth of a result.
func fit(all []result) (hard map[string]float64) {
	const draw = 0.05
	hard = map[string]float64{}
	for range 500 {
		of := map[string][]catalog.Figure{}
		for _, r := range all {
			of[r.model] = append(of[r.model], catalog.Figure{Test: r.test, Shown: catalog.Logit(r.score) + hard[r.test]})
		}
		able := map[string]float64{}
		for m, figures := range of {
			mean, ok := catalog.Expected(m)
			able[m] = catalog.Able(figures, mean, ok)
		}
		sum, n := map[string]float64{}, map[string]float64{}
		for _, r := range all {
			sum[r.test] += able[r.model] - catalog.Logit(r.score)
			n[r.test]++
		}
		for t, s := range sum {
			hard[t] = s / (n[t] + draw)
		}
	}
	return hard
}

// lines calls f with each line of a gzipped file, as JSON in a T.
func lines[T any](path string, f func(T)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var x T
		if err := json.Unmarshal(in.Bytes(), &x); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		f(x)
	}
	return in.Err()
}

// renamed are names that mean another model today.
var renamed = []string{"deepseek-chat", "deepseek-coder"}

func readZeroEval(data string) (out []result, err error) {
	type row struct {
		Model string
		Acc   float64
	}
	err = lines(filepath.Join(data, "routing", "zeroeval_gsm_models.jsonl.gz"), func(r row) {
		if !slices.Contains(renamed, r.Model) {
			out = append(out, result{catalog.Bare(r.Model), "gsm8k/zeroeval", catalog.Math, r.Acc / 100, "zeroeval", zeroevalDate})
		}
	})
	return out, err
}

// outcomes is a prompt with how models answered it.
type outcomes struct {
	Task     string
	Outcomes map[string]struct{ Quality float64 }
}

// means are the mean qualities by model and by what name makes of the task.
func means(path string, name func(task string) string) (map[[2]string]float64, error) {
	sum, n := map[[2]string]float64{}, map[[2]string]float64{}
	err := lines(path, func(o outcomes) {
		for m, x := range o.Outcomes {
			k := [2]string{m, name(o.Task)}
			sum[k] += x.Quality
			n[k]++
		}
	})
	for k := range sum {
		sum[k] /= n[k]
	}
	return sum, err
}

func readRouteLLM(data string) (out []result, err error) {
	all, err := means(filepath.Join(data, "routing", "two_models.jsonl.gz"), func(task string) string {
		if task == "gsm8k" {
			return task
		}
		return "mmlu"
	})
	for k, q := range all {
		kind := catalog.Math
		if k[1] == "mmlu" {
			kind = catalog.Knowledge
		}
		out = append(out, result{catalog.Bare(k[0]), k[1] + "/routellm", kind, q, "routellm", routellmDate})
	}
	return out, err
}

// routerKinds are the kinds of LLMRouter's tasks.
var routerKinds = map[string]string{
	"agentverse-logicgrid": catalog.Reason, "agentverse-mgsm": catalog.Math, "arc_challenge": catalog.Reason, "commongen": catalog.Writing,
	"commonsense_qa": catalog.Knowledge, "gpqa": catalog.Reason, "gsm8k": catalog.Math, "human_eval": catalog.Coding, "math": catalog.Math,
	"mbpp": catalog.Coding, "mmlu": catalog.Knowledge, "natural_qa": catalog.Knowledge, "openbook_qa": catalog.Knowledge, "trivia_qa": catalog.Knowledge,
}

func readLLMRouter(data string) (out []result, err error) {
	all, err := means(filepath.Join(data, "routing", "nine_models.jsonl.gz"), func(task string) string { return task })
	for k, q := range all {
		kind, ok := routerKinds[k[1]]
		if !ok {
			return nil, fmt.Errorf("llmrouter: no kind of task %q", k[1])
		}
		out = append(out, result{catalog.Bare(k[0]), k[1] + "/llmrouter", kind, q, "llmrouter", llmrouterDate})
	}
	return out, err
}

// benchmarkKinds are the kinds of the tests in models.dev's list.
var benchmarkKinds = []struct{ begins, kind string }{
	{"swe", catalog.Coding}, {"aider", catalog.Coding}, {"scicode", catalog.Coding}, {"artificial-analysis-coding", catalog.Coding},
	{"terminal", catalog.Coding}, {"livecodebench", catalog.Coding}, {"nl2repo", catalog.Coding}, {"gpqa", catalog.Reason},
	{"humanity", catalog.Reason},
}

func readBenchmarks(data string) (out []result, err error) {
	b, err := os.ReadFile(filepath.Join(data, "catalog", "models.dev", "lab-models.json"))
	if err != nil {
		return nil, err
	}
	var models map[string]struct {
		Benchmarks []struct {
			Name, Source, Date string
			Score              float64
		}
	}
	if err := json.Unmarshal(b, &models); err != nil {
		return nil, err
	}
	for id, m := range models {
		for _, x := range m.Benchmarks {
			name := strings.ToLower(strings.Join(strings.Fields(strings.NewReplacer("-", " ", "’", "").Replace(x.Name)), "-"))
			for _, k := range benchmarkKinds {
				if strings.HasPrefix(name, k.begins) {
					u, err := url.Parse(x.Source)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", id, err)
					}
					out = append(out, result{catalog.Bare(id), name + "/" + strings.TrimPrefix(u.Hostname(), "www."), k.kind, x.Score / 100, "models.dev", cmp.Or(x.Date, modelsDevDate)})
				}
			}
		}
	}
	return out, nil
}
