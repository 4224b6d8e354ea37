// Command make trains the embedded router: on labelled outcomes of other
// projects, whose licences docs/router-card.md names, and on prompts of our own.
//
//	go run ./internal/route/learned/make -data $SLUICE_DATA -o internal/route/learned/router.bin
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/route/learned"
)

func main() {
	data := flag.String("data", os.Getenv("SLUICE_DATA"), "directory that holds routing/, labelled outcomes")
	out := flag.String("o", "router.bin", "file to write")
	flag.Parse()
	m, err := build(*data)
	var b bytes.Buffer
	if err == nil {
		err = m.Write(&b)
	}
	if err == nil {
		err = os.WriteFile(*out, b.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %d prompts, %d topics, %d tasks, %d models, %d KiB\n", *out, m.Card.Prompts, len(m.Topics), len(m.Tasks), len(m.Models), b.Len()>>10)
}

// asOf is the date of the data.
const asOf = "2026-11-22"

// build trains the router on the data in dir.
func build(dir string) (*learned.Model, error) {
	var all []learned.Example
	for _, name := range []string{"two_models.jsonl.gz", "nine_models.jsonl.gz"} {
		f, err := os.Open(filepath.Join(dir, "routing", name))
		if err != nil {
			return nil, err
		}
		examples, err := learned.ReadExamples(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, examples...)
	}
	b, err := os.ReadFile(filepath.Join(dir, "routing", "domains.json"))
	if err != nil {
		return nil, err
	}
	domain := map[string]string{}
	if err := json.Unmarshal(b, &domain); err != nil {
		return nil, fmt.Errorf("domains.json: %w", err)
	}
	o := learned.Options{Task: map[string]string{}, Domain: domain, Least: 4}
	for _, e := range all {
		o.Task[e.Task] = "knowledge"
	}
	for task, topics := range tasks {
		for _, t := range topics {
			o.Task[t] = task
			if d := domainOf[task]; d != "" {
				o.Domain[t] = d
			}
		}
	}
	own := ours()
	long := beside(own, passages(all))
	prompts := len(all) + len(own) + len(long)
	all = append(all, long...)
	for range weight {
		all = append(all, own...)
	}
	for _, e := range own {
		o.Task[e.Task] = strings.TrimPrefix(e.Task, prefix)
		o.Domain[e.Task] = domainOf[o.Task[e.Task]]
	}
	m, err := learned.Train(all, o)
	if err != nil {
		return nil, err
	}
	m.Card.Date, m.Card.Prompts = asOf, prompts
	m.Card.Source = "RouteLLM's outcomes of MMLU and GSM8K (Apache-2.0, MIT, MIT); LLMRouter's of 14 tasks (MIT); prompts of our own"
	return m, nil
}

// tasks are the topics of the data that ask for something other than knowledge.
var tasks = map[string][]string{
	"coding":    {"human_eval", "mbpp"},
	"creative":  {"commongen"},
	"math":      {"abstract_algebra", "agentverse-mgsm", "college_mathematics", "elementary_mathematics", "gsm8k", "high_school_mathematics", "high_school_statistics", "math"},
	"reasoning": {"agentverse-logicgrid", "formal_logic", "logical_fallacies", "moral_scenarios"},
}

// domainOf are the domains that follow from a task; others are told by topic.
var domainOf = map[string]string{"coding": "computer_science", "math": "math"}

//go:embed everyday.txt
var everyday string

const (
	// prefix stands before the topics of everyday prompts.
	prefix = "everyday "
	// weight is how often each everyday prompt counts: they are few.
	weight = 4
)

// ours are the everyday prompts: sections [task], a prompt a line, \n a new
// line, ⟨a|b⟩ for a prompt with each.
func ours() (out []learned.Example) {
	task := ""
	for line := range strings.Lines(everyday) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			task = strings.Trim(line, "[]")
		default:
			for _, p := range each(strings.ReplaceAll(line, `\n`, "\n")) {
				out = append(out, learned.Example{Prompt: p, Task: prefix + task})
			}
		}
	}
	return out
}

// each writes out ⟨a|b⟩.
func each(line string) (out []string) {
	before, rest, ok := strings.Cut(line, "⟨")
	if !ok {
		return []string{line}
	}
	choices, after, _ := strings.Cut(rest, "⟩")
	for _, c := range strings.Split(choices, "|") {
		out = append(out, each(before+c+after)...)
	}
	return out
}

// onTexts are the tasks that are done with a text.
var onTexts = []string{"analysis", "summarization", "translation", "writing"}

// beside puts texts beside the prompts that ask for something to be done with
// one, so that a short request is known beside a long text.
func beside(own []learned.Example, texts []string) (out []learned.Example) {
	for i, e := range own {
		if !slices.Contains(onTexts, strings.TrimPrefix(e.Task, prefix)) {
			continue
		}
		text := texts[i*37%len(texts)]
		if i%2 == 0 {
			e.Prompt += "\n\n" + text
		} else {
			e.Prompt = text + "\n\n" + e.Prompt
		}
		out = append(out, e)
	}
	return out
}

// passages are texts that stand in the questions of the data.
func passages(all []learned.Example) (out []string) {
	for _, e := range all {
		text, _, _ := strings.Cut(e.Prompt, "\nA. ")
		if len(text) > 600 && (strings.HasSuffix(e.Task, "_history") || e.Task == "professional_law") {
			out = append(out, text)
		}
	}
	return out
}
