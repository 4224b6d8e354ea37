package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/route/eval"
	"github.com/sluicegate/sluice/internal/route/learned"
)

type trainCmd struct {
	Data   []string `arg:"" help:"Files of labelled prompts: JSON Lines, plain or gzip; - is stdin."`
	Out    string   `short:"o" required:"" placeholder:"FILE" help:"File of the router to write."`
	Source string   `placeholder:"TEXT" help:"What the data is, for the router's card. Default: the names of the files."`
}

func (trainCmd) Help() string {
	return `Examples:
  sluice train outcomes.jsonl -o router.bin
  zcat outcomes-*.jsonl.gz | sluice train - -o router.bin --source "our traffic, November"
A line is a prompt with what models made of it:
  {"prompt": "…", "task": "optional", "outcomes": {"model-a": {"quality": 0.9, "cost": 0.002}, …}}
About 1,000 prompts are enough to begin; sluice eval tells what it is worth.`
}

func (c trainCmd) Run(e *env) error {
	examples, err := readExamples(e, c.Data)
	if err != nil {
		return err
	}
	m, err := learned.Train(examples, learned.Options{})
	if err != nil {
		return err
	}
	m.Card.Source, m.Card.Date = c.Source, time.Now().UTC().Format(time.DateOnly)
	if c.Source == "" {
		var names []string
		for _, f := range c.Data {
			names = append(names, filepath.Base(f))
		}
		m.Card.Source = strings.Join(names, ", ")
	}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		return err
	}
	if err := writeWhole(c.Out, b.Bytes()); err != nil {
		return fmt.Errorf("writing the router: %w", err)
	}
	_, err = fmt.Fprintf(e.stdout, "%s: %d prompts, %d tasks, %d models, %d KiB\n", c.Out, len(examples), len(m.Topics), len(m.Models), b.Len()>>10)
	return err
}

// writeWhole puts a file in place whole or not at all.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func readExamples(e *env, files []string) (out []learned.Example, err error) {
	for _, name := range files {
		in := e.stdin
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("reading the data: %w", err)
			}
			defer f.Close()
			in = f
		}
		more, err := learned.ReadExamples(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, more...)
	}
	if len(out) == 0 {
		return nil, errors.New("the data has no prompts")
	}
	return out, nil
}

type evalCmd struct {
	Test   []string `required:"" placeholder:"FILE" help:"Labelled prompts to measure on. May be repeated."`
	Train  []string `placeholder:"FILE" help:"A router's file, or labelled prompts to train one on. May be repeated. Default: the embedded router."`
	Folds  int      `placeholder:"N" help:"Instead of --train: N times train on the rest and measure on one part in N."`
	Output string   `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (evalCmd) Help() string {
	return `Examples:
  sluice eval --test outcomes.jsonl                  what the embedded router is worth here
  sluice eval --train router.bin --test outcomes.jsonl
  sluice eval --train january.jsonl.gz --test february.jsonl.gz -o json
  sluice eval --folds 5 --test outcomes.jsonl        what a router of this data would be worth
always_best and always_cheapest ask one model, random any, rules by patterns,
learned by what was learned, oracle whoever was right. With two models: APGR, the
share of their gap in quality that is closed on average, and what is saved at
95 % of the better one's quality. With more: quality over the best single model,
and what is saved at its quality. In brackets: 95 % bootstrap intervals.`
}

// measured is what eval prints of a router.
type measured struct {
	eval.Score
	Interval map[string]eval.Interval `json:"interval"`
}

// evaluation is what eval prints.
type evaluation struct {
	Prompts int                 `json:"prompts"`
	LeftOut int                 `json:"left_out"` // prompts without an outcome of every model
	Models  []string            `json:"models"`
	Routers map[string]measured `json:"routers"`
}

func (c evalCmd) Run(e *env) error {
	if len(c.Train) > 0 && c.Folds > 0 || c.Folds < 0 || c.Folds == 1 {
		return errUsage{errors.New("sluice eval: say --train FILE, or --folds N with N of at least 2, or neither for the embedded router")}
	}
	test, err := readExamples(e, c.Test)
	if err != nil {
		return err
	}
	t, used := eval.NewTrial(test, eval.Models(test))
	switch {
	case len(t.Models) < 2:
		return errors.New("the test has outcomes of fewer than two models: there is nothing to choose between")
	case t.Len() == 0:
		return errors.New("no prompt of the test has an outcome of every model")
	}
	var all map[string]eval.Estimates
	if c.Folds > 0 {
		all, err = t.Folded(used, c.Folds)
	} else {
		all, err = c.estimates(e, t, used)
	}
	if err != nil {
		return err
	}
	out := evaluation{t.Len(), len(test) - t.Len(), t.Models, map[string]measured{}}
	figures := figures(t)
	for _, name := range eval.Names {
		run := t.Run(all[name])
		out.Routers[name] = measured{run.Score(), run.Intervals(figures)}
	}
	if c.Output == "json" {
		return printJSON(e.stdout, out)
	}
	return printRouters(e.stdout, out, figures)
}

// estimates are those of a router that is not of the test's data.
func (c evalCmd) estimates(e *env, t *eval.Trial, used []learned.Example) (map[string]eval.Estimates, error) {
	m, train, err := c.router(e)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, name := range t.Models {
		if m.Index(name) < 0 {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		fmt.Fprintf(e.stderr, "the router was not trained on %s: it takes them for the mean of the models that it knows\n", strings.Join(unknown, ", "))
	}
	return t.Routers(used, m, train), nil
}

// router is the embedded one, or reads a router's file, or trains on data.
func (c evalCmd) router(e *env) (*learned.Model, []learned.Example, error) {
	if len(c.Train) == 0 {
		return learned.Embedded(), nil, nil
	}
	if len(c.Train) == 1 && c.Train[0] != "-" {
		f, err := os.Open(c.Train[0])
		if err != nil {
			return nil, nil, fmt.Errorf("reading the router: %w", err)
		}
		defer f.Close()
		b := bufio.NewReader(f)
		if learned.IsModel(b) {
			m, err := learned.Read(b)
			return m, nil, err
		}
	}
	train, err := readExamples(e, c.Train)
	if err != nil {
		return nil, nil, err
	}
	m, err := learned.Train(train, learned.Options{})
	return m, train, err
}

// figures are the measures that apply, by name.
func figures(t *eval.Trial) map[string]func(eval.Score) float64 {
	of := map[string]func(eval.Score) float64{
		"quality": func(s eval.Score) float64 { return s.Quality }, "cost": func(s eval.Score) float64 { return s.Cost },
	}
	if len(t.Models) == 2 {
		of["apgr"] = func(s eval.Score) float64 { return s.APGR }
		of["saving_at_95"] = func(s eval.Score) float64 { return s.SavingAt95 }
	} else {
		of["gain_over_best"] = func(s eval.Score) float64 { return s.GainOverBest }
		of["saving_at_best"] = func(s eval.Score) float64 { return s.SavingAtBest }
	}
	return of
}

func printRouters(w io.Writer, v evaluation, figures map[string]func(eval.Score) float64) error {
	names := []string{"gain_over_best", "saving_at_best"}
	if len(v.Models) == 2 {
		names = []string{"apgr", "saving_at_95"}
	}
	rows := [][]string{{"ROUTER", "QUALITY", "USD PER 1,000", strings.ToUpper(names[0]), strings.ToUpper(names[1])}}
	for _, name := range eval.Names {
		m := v.Routers[name]
		row := []string{name, num(m.Quality, 4), num(1000*m.Cost, 4)}
		for _, n := range names {
			i := m.Interval[n]
			row = append(row, fmt.Sprintf("%s [%s, %s]", num(figures[n](m.Score), 3), num(i.Low, 3), num(i.High, 3)))
		}
		rows = append(rows, row)
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d prompts, %d models\n", v.Prompts, len(v.Models))
	if v.LeftOut > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d prompts are left out: they have not an outcome of every model\n", v.LeftOut)
	}
	return err
}

func num(x float64, digits int) string { return strconv.FormatFloat(x, 'f', digits, 64) }
