package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/sluicegate/sluice/internal/app"
)

type priceCmd struct {
	Usage  string `arg:"" optional:"" help:"File with a vendor's usage object, or its whole answer; - or nothing is stdin."`
	Vendor string `required:"" placeholder:"VENDOR" help:"Vendor, or a provider of the configuration."`
	Model  string `placeholder:"MODEL" help:"The vendor's name of the model. Default: the one that the answer names."`
	Tier   string `placeholder:"TIER" help:"Service tier: standard, flex, priority or batch. Default: the one that the answer names."`
	At     string `placeholder:"TIME" help:"When the answer was made, as 2026-08-31 or 2026-08-31T12:00:00Z, or now, for prices that change. Default: what the answer says, else the date that the catalog's row carries."`
	Config string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file, for its own prices and catalog."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

func (priceCmd) Help() string {
	return `Examples:
  echo '{"prompt_tokens": 1200, "completion_tokens": 300}' | sluice price --vendor openai --model gpt-4o
  sluice price --vendor anthropic answer.json -o json
  sluice price --vendor gemini --model gemini-2.5-pro --tier batch usage.json
  sluice price --vendor deepseek --model deepseek-chat --at 2026-08-31T18:00:00Z usage.json
It reads the usage of OpenAI (chat and Responses), Anthropic, Gemini, Bedrock,
Cohere and Ollama, and of all who speak their protocols.`
}

func (c priceCmd) Run(e *env) error {
	q := app.PriceQuery{Vendor: c.Vendor, Model: c.Model, Tier: c.Tier}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, c.At); err == nil {
			q.At = t
		}
	}
	if c.At == "now" {
		q.At = time.Now()
	}
	if c.At != "" && q.At.IsZero() {
		return errUsage{fmt.Errorf("sluice price: --at is a date such as 2026-08-31, a time such as 2026-08-31T12:00:00Z, or now")}
	}
	var err error
	if c.Config != "" {
		if q.Config, err = (app.Source{Path: c.Config, Getenv: e.getenv}).Load(); err != nil {
			return err
		}
	}
	in := e.stdin
	if c.Usage != "" && c.Usage != "-" {
		f, err := os.Open(c.Usage)
		if err != nil {
			return fmt.Errorf("reading the usage: %w", err)
		}
		defer f.Close()
		in = f
	}
	if q.Body, err = io.ReadAll(io.LimitReader(in, 64<<20)); err != nil {
		return fmt.Errorf("reading the usage: %w", err)
	}
	p, err := app.Price(q)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(e.stdout, p)
	}
	rows := [][]string{{"", "COUNT", "USD PER MILLION", "USD"}}
	for _, l := range p.Lines {
		rows = append(rows, []string{l.Unit.String(), strconv.FormatInt(l.N, 10), strconv.FormatFloat(float64(l.Rate)/1e6, 'f', -1, 64), app.Amount(l).String()})
	}
	rows = append(rows, []string{"total", "", "", p.USD.String()})
	if err := table(e.stdout, rows); err != nil {
		return err
	}
	from := p.Source
	if p.AsOf != "" {
		from += " as of " + p.AsOf
	}
	_, err = fmt.Fprintf(e.stdout, "\nThe price of %s at %s, from %s.\n", p.Model, p.Vendor, from)
	return err
}
