package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sluicegate/sluice/internal/app"
	"github.com/sluicegate/sluice/internal/sim"
)

type serveCmd struct {
	Config string `short:"c" env:"SLUICE_CONFIG" placeholder:"FILE" help:"Configuration file. Without it ./sluice.yaml, else the environment's keys."`
	Listen string `env:"SLUICE_LISTEN" placeholder:"ADDR" help:"Address to listen on, in place of the file's."`
	Data   string `placeholder:"DIR" help:"State directory, for the ledger."`
}

func (serveCmd) Help() string {
	return `Examples:
  OPENAI_API_KEY=… sluice serve           every model of OpenAI, no file
  sluice serve -c sluice.yaml             what the file says; saving it reloads
  sluice serve --listen 0.0.0.0:8080      needs a key for clients: SLUICE_KEY=…`
}

func (c serveCmd) Run(e *env) error {
	hup, usr2 := hangups(), restarts() // one that comes while it starts waits
	src := app.Source{Path: c.Config, Getenv: e.getenv}
	sockets, err := app.Inherit()
	if err != nil {
		return err
	}
	a, err := app.New(e.ctx, app.Options{
		Load: src.Load, Watch: src.File(), Env: app.EnvOf(e.getenv), Listen: c.Listen, Data: c.Data,
		Sockets: sockets, Notify: e.getenv("NOTIFY_SOCKET"), Log: e.stderr, Version: version(),
	})
	if err != nil {
		sockets.Tell(err)
		return err
	}
	return serveApp(a, e.stderr, fmt.Sprintf("sluice %s listens on %s\n", version(), a.Addr()), hup, usr2)
}

type demoCmd struct {
	Tour   bool   `help:"Drive the demo through what works, print what happened, and exit."`
	Listen string `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address to listen on."`
}

func (demoCmd) Help() string {
	return `Examples:
  sluice demo                             then try the curl line that it prints
  sluice demo --tour                      routing, protocols, failover, circuits in a minute`
}

func (c demoCmd) Run(e *env) error {
	if c.Tour {
		if err := app.Tour(e.ctx, version(), e.stdout); err != nil {
			return fmt.Errorf("the tour failed at %w", err)
		}
		return nil
	}
	d, err := app.NewDemo(e.ctx, c.Listen, version(), e.stderr)
	if err != nil {
		return err
	}
	defer d.Close()
	return serveApp(d.App, e.stdout, app.DemoHint(d.App.Addr().String()), hangups(), nil)
}

type simCmd struct {
	Config string `short:"c" placeholder:"FILE" help:"What is simulated; without it a few well-known names, and any other."`
	Listen string `default:"127.0.0.1:9100" placeholder:"ADDR" help:"Address to listen on."`
}

func (simCmd) Help() string {
	return `Examples:
  sluice sim                              every protocol below on http://127.0.0.1:9100
  sluice sim -c sim.yaml --listen :9100
  curl -X POST 127.0.0.1:9100/sim/models/gpt-4o -d '{"fault": {"kind": "hang"}}'

Protocols, each with its vendor's own limits, errors and refusals:
  OpenAI      /v1/chat/completions, completions, embeddings, responses, models
  Anthropic   /v1/messages, /v1/messages/count_tokens, /v1/models
  Gemini      /v1beta/models/MODEL:METHOD, and Vertex's /v1/projects/…

What a user may say in the last turn, to any model:
  call the tool      the first tool that is offered is called
  call every tool    each is, in parallel where that is allowed
  refuse to answer   the model refuses
  think in secret    thinking that is asked for is redacted (Anthropic)

A model in sim.yaml:
  gpt-4o: {latency: 300ms, sigma: 0.2, tokens_per_second: 80, tokens: 60, spread: 20,
           thinking: 0, context: 0, cache: 5m, errors: 0, error_status: 500, rpm: 0,
           dimensions: 256, fault: {kind: cut, share: 0.1, count: 0, after: 3},
           moods: [{kind: loop, when: "a story", share: 0.5}],
           outcomes: {file: outcomes.jsonl.gz, model: gpt-4o, price: {input: 2.5, output: 10}},
           answers: {file: answers.jsonl, model: gpt-4o}}

A mood is an answer that the vendor takes for a good one and bills: refusal, empty, loop,
echo, language, arithmetic, truncated, filtered, broken_json, prose, wrong_schema,
wrong_tool, wrong_arguments. The first that fits comes, where the last turn says the words
of when, in that share of answers.

Recorded outcomes are those of sluice train: JSON Lines, plain or gzip. The answer to a
prompt of the file ends in "Recorded quality 0.750." and has as many tokens as make the
recorded cost at that price (USD per million). Recorded answers, a line {"prompt": …,
"answers": {MODEL: TEXT}}, are said as they are. Other prompts are answered as always.`
}

func (c simCmd) Run(e *env) error {
	cfg := sim.Default()
	if c.Config != "" {
		var err error
		if cfg, err = sim.LoadFile(c.Config); err != nil {
			return err
		}
	}
	s, err := sim.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(e.stderr, "sluice sim listens on http://%s (models and faults: /sim)\n", l.Addr())
	first, _, stop := signals()
	defer stop()
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-first.Done()
		s.Close()
		limit, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if h.Shutdown(limit) != nil {
			_ = h.Close()
		}
	}()
	if err := h.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
