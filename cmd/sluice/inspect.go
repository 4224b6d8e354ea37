package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluicegate/sluice/internal/app"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/store"
)

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows in columns; the first row is the head.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return t.Flush()
}

type checkCmd struct {
	Config string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file. Without it ./sluice.yaml, else the environment's keys."`
	Live   bool   `help:"Make one cheap call per credential and model."`
	Schema bool   `help:"Print the JSON Schema of the file, for editors."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (checkCmd) Help() string {
	return `Examples:
  sluice check -c sluice.yaml             every mistake with line and column
  sluice check -c sluice.yaml --live      do the keys and models work? (costs a few tokens)
  sluice check --schema > sluice.schema.json`
}

func (c checkCmd) Run(e *env) error {
	if c.Schema {
		_, err := e.stdout.Write(append(config.Schema(), '\n'))
		return err
	}
	src := app.Source{Path: c.Config, Getenv: e.getenv}
	gw, err := app.Check(src, app.EnvOf(e.getenv))
	if err != nil {
		return err
	}
	for _, w := range app.Warnings(src) {
		fmt.Fprintln(e.stderr, "warning:", w)
	}
	if !c.Live {
		if c.Output == "json" {
			return printJSON(e.stdout, map[string]int{"models": len(gw.Names()), "targets": len(gw.Targets), "providers": len(gw.Providers)})
		}
		_, err = fmt.Fprintf(e.stdout, "%s is good: %d models, %d targets, %d providers\n", src.Name(), len(gw.Names()), len(gw.Targets), len(gw.Providers))
		return err
	}
	calls := app.Live(e.ctx, gw)
	failed := 0
	rows := [][]string{{"TARGET", "CREDENTIAL", "RESULT", "MS"}}
	for _, x := range calls {
		if x.Outcome != "ok" {
			failed++
		}
		rows = append(rows, []string{x.Target, x.Credential, x.Outcome, strconv.Itoa(int(x.MS))})
	}
	if c.Output == "json" {
		err = printJSON(e.stdout, calls)
	} else {
		err = table(e.stdout, rows)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d calls failed", failed, len(calls))
	}
	return err
}

type routeCmd struct {
	Request string `arg:"" optional:"" help:"File with the request's body; - or nothing is stdin."`
	Config  string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file."`
	Output  string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (routeCmd) Help() string {
	return `Examples:
  echo '{"model": "any"}' | sluice route -c sluice.yaml
  sluice route -c sluice.yaml request.json -o json
A running gateway tells with its measurements: POST /gateway/route`
}

func (c routeCmd) Run(e *env) error {
	in := e.stdin
	if c.Request != "" && c.Request != "-" {
		f, err := os.Open(c.Request)
		if err != nil {
			return fmt.Errorf("reading the request: %w", err)
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	plan, err := app.PlanOf(app.Source{Path: c.Config, Getenv: e.getenv}, app.EnvOf(e.getenv), body)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(e.stdout, plan)
	}
	for _, v := range plan.Guards {
		fmt.Fprintf(e.stdout, "guard %s on %s: %s\n", v.Guard, v.Stage, strings.TrimSpace(v.Action+" "+v.Risk))
	}
	if plan.Blocked != "" {
		_, err = fmt.Fprintln(e.stdout, plan.Blocked)
		return err
	}
	fmt.Fprintf(e.stdout, "%s, strategy %s: expected %s USD, at worst %s USD\n\n", plan.Model, plan.Strategy, plan.Expected, plan.Worst)
	rows := [][]string{{"", "MODEL", "TARGET", "STATE", "WEIGHT", "LATENCY MS", "EXPECTED USD", "WHY"}}
	for i, x := range plan.Candidates {
		rows = append(rows, candidateRow(strconv.Itoa(i+1), x))
	}
	for _, x := range plan.Excluded {
		rows = append(rows, candidateRow("-", x))
	}
	if err := table(e.stdout, rows); err != nil {
		return err
	}
	if err := printDecision(e.stdout, plan.Decision); err != nil {
		return err
	}
	for i, d := range plan.Degrade {
		fmt.Fprintf(e.stdout, "degraded to %d: %s\n", i+1, levelOf(d))
	}
	return nil
}

// printDecision tells how a model was chosen; nil: nothing.
func printDecision(w io.Writer, d *llm.Decision) error {
	if d == nil {
		return nil
	}
	fmt.Fprintf(w, "\nchosen by the %s classifier: %s\n", d.Router, d.Reason)
	fmt.Fprintf(w, "task %s (%.2f)", d.Task, d.Confidence)
	if d.Language != "" {
		fmt.Fprintf(w, ", language %s", d.Language)
	}
	if d.Router == "learned" {
		fmt.Fprintf(w, ", %.0f %% of the prompt familiar", d.Coverage*100)
	}
	fmt.Fprint(w, "\n\n")
	rows := [][]string{{"", "MODEL", "TARGET", "UTILITY", "QUALITY", "BY", "EXPECTED USD", "LATENCY MS", "WHY NOT"}}
	for i, x := range d.Considered {
		row := []string{"-", x.Model, x.Target, "", "", x.By, x.Cost.String(), strconv.FormatFloat(x.LatencyMS, 'f', 0, 64), x.Reason}
		if x.Reason == "" {
			row[0], row[3], row[4] = strconv.Itoa(i+1), strconv.FormatFloat(x.Utility, 'f', 3, 64), strconv.FormatFloat(x.Quality, 'f', 3, 64)
		}
		rows = append(rows, row)
	}
	return table(w, rows)
}

// levelOf says in words what a level of degradation does.
func levelOf(d llm.Degrade) string {
	switch {
	case d.Model != "":
		return "ask " + d.Model
	case d.MaxTokens > 0:
		return "ask again for at most " + strconv.Itoa(d.MaxTokens) + " tokens"
	}
	return "answer " + strconv.Quote(d.Answer)
}

func candidateRow(n string, x llm.Candidate) []string {
	why := x.Reason
	if x.Fallback && why == "" {
		why = "fallback"
	}
	return []string{n, x.Model, x.Target, x.State, strconv.FormatFloat(x.Weight, 'g', -1, 64), strconv.FormatFloat(x.LatencyMS, 'f', 0, 64), x.Expected.String(), why}
}

// ledgerFlags say which ledger is read.
type ledgerFlags struct {
	Config string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file, for its store."`
	Data   string `placeholder:"DIR" help:"State directory, as given to serve."`
	Output string `short:"o" default:"table" help:"table, json or csv."`
}

func (f ledgerFlags) open(e *env) (*store.Store, error) {
	return app.OpenLedger(e.ctx, app.Source{Path: f.Config, Getenv: e.getenv}, f.Data)
}

type explainCmd struct {
	ID   string `arg:"" optional:"" help:"x-request-id of the answer."`
	Last bool   `help:"The newest request."`
	ledgerFlags
}

func (explainCmd) Help() string {
	return `Examples:
  sluice explain 01JD8Z3X7M3Q5W9Y2V4B6N8P0R
  sluice explain --last -c sluice.yaml`
}

func (c explainCmd) Run(e *env) error {
	if (c.ID == "") == !c.Last {
		return errUsage{fmt.Errorf("sluice explain: give the id of a request, or --last")}
	}
	if c.Output != "table" && c.Output != "json" {
		return errUsage{fmt.Errorf("sluice explain: -o is table or json")}
	}
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer s.Close(e.ctx)
	rec, err := app.Explain(e.ctx, s, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(e.stdout, rec)
	}
	fmt.Fprintf(e.stdout, "%s  %s\n", rec.ID, rec.Time.Format(time.RFC3339))
	fmt.Fprintf(e.stdout, "asked    %s (%s)\n", rec.Model, rec.Op)
	if rec.Target != "" {
		fmt.Fprintf(e.stdout, "answered %s by %s, strategy %s\n", rec.Target, rec.Answered, rec.Strategy)
	}
	if rec.Arm != "" {
		fmt.Fprintf(e.stdout, "drawn    %s\n", rec.Arm)
	}
	if rec.Degraded > 0 {
		fmt.Fprintf(e.stdout, "degraded to level %d of %s\n", rec.Degraded, rec.Model)
	}
	if rec.Risk != "" {
		fmt.Fprintf(e.stdout, "risk     %s\n", rec.Risk)
	}
	for _, v := range rec.Guards {
		fmt.Fprintf(e.stdout, "guard    %s on %s: %s\n", v.Guard, v.Stage, v.Action)
	}
	fmt.Fprintf(e.stdout, "ended    %s, status %d, after %.1f ms, first content after %.1f ms\n", rec.Outcome, rec.Status, rec.DurationMS, rec.FirstMS)
	if f := rec.Feedback; f != nil {
		fmt.Fprintf(e.stdout, "feedback %+.2g %s %q\n", f.Score, strings.Join(f.Labels, ", "), f.Comment)
	}
	fmt.Fprintf(e.stdout, "cost     %s USD for %d + %d tokens (%d cached)\n\n", rec.CostUSD, rec.Usage.Input, rec.Usage.Output, rec.Usage.CachedRead)
	rows := [][]string{{"", "TARGET", "FROM MS", "TO MS", "STATUS", "OUTCOME", "TOKENS", "USD", "DETAIL"}}
	for i, a := range rec.Attempts {
		target := a.Target
		if a.Note != "" {
			target += " (" + a.Note + ")"
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), target, fmt.Sprintf("%.1f", a.StartMS), fmt.Sprintf("%.1f", a.EndMS), strconv.Itoa(a.Status),
			strings.Join(append([]string{a.Outcome}, a.Flags...), " "), fmt.Sprintf("%d + %d", a.Usage.Input, a.Usage.Output), a.Cost.String(), a.Detail})
	}
	if err := table(e.stdout, rows); err != nil {
		return err
	}
	return printDecision(e.stdout, rec.Decision)
}

type usageCmd struct {
	By    []string      `placeholder:"WHAT" help:"Group by model, key, target, outcome, day, …"`
	Since time.Duration `default:"24h" help:"How far back."`
	ledgerFlags
}

func (usageCmd) Help() string {
	return `Examples:
  sluice usage                            the last 24 hours
  sluice usage --by model,key --since 720h -o csv`
}

func (c usageCmd) Run(e *env) error {
	if c.Output != "table" && c.Output != "json" && c.Output != "csv" {
		return errUsage{fmt.Errorf("sluice usage: -o is table, json or csv")}
	}
	s, err := c.open(e)
	if err != nil {
		return err
	}
	defer s.Close(e.ctx)
	rep, err := s.Usage(e.ctx, store.UsageQuery{By: c.By, Since: time.Now().Add(-c.Since)})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(e.stdout, rep)
	}
	rows := [][]string{append(upper(c.By), "REQUESTS", "INPUT", "CACHED", "OUTPUT", "USD")}
	for _, r := range rep.Rows {
		rows = append(rows, append(append([]string{}, r.Groups...), usageCells(r)...))
	}
	if c.Output == "csv" {
		w := csv.NewWriter(e.stdout)
		_ = w.WriteAll(rows) // the error stays in w
		return w.Error()
	}
	if len(c.By) > 0 {
		total := make([]string, len(c.By))
		total[0] = "total"
		rows = append(rows, append(total, usageCells(rep.Total)...))
	}
	return table(e.stdout, rows)
}

func upper(names []string) []string {
	out := make([]string, 0, len(names)+5)
	for _, n := range names {
		out = append(out, strings.ToUpper(n))
	}
	return out
}

func usageCells(r store.UsageRow) []string {
	n := func(x int64) string { return strconv.FormatInt(x, 10) }
	return []string{n(r.Requests), n(r.Tokens.Input), n(r.Tokens.CachedRead), n(r.Tokens.Output), r.Cost.String()}
}

type providersCmd struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (providersCmd) Help() string {
	return `Examples:
  sluice providers
  sluice providers -o json`
}

func (c providersCmd) Run(e *env) error {
	type row struct {
		Kind    string   `json:"kind"`
		Title   string   `json:"title"`
		Protos  []string `json:"protocols"` // the first for clients of others
		BaseURL string   `json:"base_url"`
		Env     []string `json:"env"`
		Set     bool     `json:"configured"`
		Tested  bool     `json:"tested"` // against recorded answers
		Docs    string   `json:"docs"`
	}
	var all []row
	rows := [][]string{{"KIND", "VENDOR", "PROTOCOLS", "ENVIRONMENT", "SET", "TESTED", "BASE URL"}}
	for _, v := range provider.Vendors() {
		vars := append([]string{}, v.KeyEnv...)
		if v.HostEnv != "" {
			vars = append(vars, v.HostEnv)
		}
		var protos []string
		for _, p := range v.Speaks("") {
			protos = append(protos, p.String())
		}
		_, _, set := v.FromEnv(e.getenv)
		all = append(all, row{v.Name, v.Title, protos, v.BaseURL, vars, set, !v.Untested, v.Docs})
		mark, tested := "-", "yes"
		if set {
			mark = "yes"
		}
		if v.Untested {
			tested = "no"
		}
		rows = append(rows, []string{v.Name, v.Title, strings.Join(protos, ", "), cmp.Or(strings.Join(vars, ", "), "-"), mark, tested, cmp.Or(v.BaseURL, "(base_url)")})
	}
	if c.Output == "json" {
		return printJSON(e.stdout, all)
	}
	return table(e.stdout, rows)
}
