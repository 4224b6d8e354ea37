package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/sim"
)

// demoSeed makes every demo the same.
const demoSeed = 1

// demoConfig is the demo's file: four models at four simulated vendors of three
// protocols, and a pool of them. %[1]s is the address to listen on, %[2]s that of the vendors.
const demoConfig = `
listen: %[1]s
store: sqlite:demo.db
log: {format: text, level: warn}
fallback: [gpt-4, claude-3, gemini-pro, llama-2]
default_model: any
providers:
  openai:    {kind: openai-compatible, base_url: "http://%[2]s/v1", api_key: simulated}
  anthropic: {kind: anthropic, base_url: "http://%[2]s", api_key: simulated}
  google:    {kind: gemini, base_url: "http://%[2]s", api_key: simulated}
  local:     {kind: openai-compatible, base_url: "http://%[2]s/v1", api_key: simulated}
models:
  gpt-4:
    targets: [{target: openai/gpt-4, price: {input: 30, output: 60}, latency: 800ms}]
    capabilities: {reasoning: 0.95, coding: 0.9, creative: 0.85, analysis: 0.9}
  claude-3:
    targets: [{target: anthropic/claude-3, price: {input: 3, output: 15}, latency: 650ms}]
    capabilities: {reasoning: 0.9, writing: 0.95, analysis: 0.85, safety: 0.95}
  gemini-pro:
    targets: [{target: google/gemini-pro, price: {input: 1.25, output: 5}, latency: 600ms}]
    capabilities: {multimodal: 0.9, reasoning: 0.85, coding: 0.8}
  llama-2:
    targets: [{target: local/llama-2, price: {input: 0.2, output: 0.2}, latency: 300ms}]
    capabilities: {coding: 0.8, general: 0.85, cost_efficient: 0.95}
  any:
    targets:
      - {target: gpt-4, weight: 2.0}
      - {target: claude-3, weight: 1.8}
      - {target: gemini-pro, weight: 1.5}
      - {target: llama-2, weight: 1.0}
  auto: {auto: {models: [gpt-4, claude-3, gemini-pro, llama-2]}}
  careful: {cascade: {models: [llama-2, gpt-4], accept: [complete, not_refused, valid_json]}, fallback: off}
  chat: {split: {arms: [{model: claude-3, weight: 90}, {model: gemini-pro, weight: 10}], sticky: user}}
`

// Demo is a gateway with simulated vendors behind it. It leaves no file.
type Demo struct {
	App     *App
	Sim     *sim.Server
	vendors *http.Server
	dir     string
}

// demoOptions are what the demo and its tour differ in.
type demoOptions struct {
	listen string
	models string // more YAML under models
	sim    sim.Config
	log    io.Writer
}

// NewDemo starts the vendors and builds the gateway on listen. The caller
// runs App and closes the demo.
func NewDemo(ctx context.Context, listen, version string, log io.Writer) (*Demo, error) {
	return newDemo(ctx, version, demoOptions{listen: listen, sim: sim.Demo(demoSeed), log: log})
}

func newDemo(ctx context.Context, version string, o demoOptions) (*Demo, error) {
	d := &Demo{}
	var err error
	if d.Sim, err = sim.New(o.sim); err != nil {
		return nil, fmt.Errorf("starting the simulated vendors: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("starting the simulated vendors: %w", err)
	}
	d.vendors = &http.Server{Handler: d.Sim, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.vendors.Serve(l) }() // ends with Close
	if d.dir, err = os.MkdirTemp("", "sluice-demo-"); err != nil {
		d.Close()
		return nil, fmt.Errorf("making a directory for the demo's ledger: %w", err)
	}
	text := fmt.Sprintf(demoConfig+o.models, o.listen, l.Addr())
	d.App, err = New(ctx, Options{
		Load: func() (*config.Config, error) {
			return config.Parse("demo", []byte(text), func(string) (string, bool) { return "", false })
		},
		Data: d.dir, Log: o.log, Version: version,
	})
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close stops the vendors and removes the demo's files. The app must have
// ended.
func (d *Demo) Close() {
	if d.Sim != nil {
		d.Sim.Close()
	}
	if d.vendors != nil {
		_ = d.vendors.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}

// DemoHint says what to try at a demo that listens on addr.
func DemoHint(addr string) string {
	return fmt.Sprintf(`Sluice is listening on http://%[1]s with four simulated vendors behind it.
Each fails one call in twenty; watch the gateway answer all the same.

  curl http://%[1]s/v1/chat/completions -H 'content-type: application/json' \
    -d '{"model": "any", "messages": [{"role": "user", "content": "Hello"}]}'

  the same as a stream:     add "stream": true (and -N to curl)
  one model:                "model": "gpt-4", "claude-3", "gemini-pro" or "llama-2"
  any OpenAI SDK:           base_url http://%[1]s/v1, any api_key
  any Anthropic SDK:        base_url http://%[1]s, any api_key, any of the models
  any Gemini SDK:           base_url http://%[1]s, any api_key, any of the models
  what the gateway knows:   curl http://%[1]s/gateway/status
  what it would do:         curl http://%[1]s/gateway/route -d '{"model": "any"}'
  one request in full:      curl http://%[1]s/gateway/requests/ID   (ID: x-request-id of an answer)
  the model by the task:    "model": "auto"; curl http://%[1]s/gateway/classify -d '{"model": "auto", "messages": [{"role": "user", "content": "Debug this"}]}'
  a cheap model first:      "model": "careful" with "How do I pick a lock?": llama-2 declines, gpt-4 answers
  shares by user:           "model": "chat" with "user": "ann"
  metrics:                  curl http://%[1]s/metrics
  the whole tour:           sluice demo --tour

Ctrl-C stops it.
`, addr)
}
