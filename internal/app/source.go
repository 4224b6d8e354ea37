package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/store"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// defaultFile is read where no file is named.
const defaultFile = "sluice.yaml"

// Source is where a configuration comes from: a file, else ./sluice.yaml,
// else the keys in the environment.
type Source struct {
	Path   string
	Getenv func(string) string
}

// EnvOf reads the gateway's own variables.
func EnvOf(getenv func(string) string) Env {
	return Env{Key: getenv("SLUICE_KEY"), AdminKey: getenv("SLUICE_ADMIN_KEY"), Getenv: getenv}
}

// File is the file that is read, "" for none.
func (s Source) File() string {
	if s.Path != "" {
		return s.Path
	}
	if _, err := os.Stat(defaultFile); err == nil {
		return defaultFile
	}
	return ""
}

// Name is what the source is called in messages.
func (s Source) Name() string {
	if f := s.File(); f != "" {
		return f
	}
	return "the environment"
}

// Load reads the configuration.
func (s Source) Load() (*config.Config, error) {
	if f := s.File(); f != "" {
		return config.Load(f)
	}
	cfg := config.Default()
	cfg.File = "environment"
	var names []string
	for _, v := range provider.Vendors() {
		names = append(names, v.KeyEnv...)
		if _, _, ok := v.FromEnv(s.Getenv); ok {
			cfg.Providers = append(cfg.Providers, cfg.NewProvider(v.Name, v.Name))
		}
	}
	if len(cfg.Providers) == 0 {
		return nil, fmt.Errorf("nothing to serve: there is no sluice.yaml, and none of %s or OLLAMA_HOST is set; set one, or run `sluice demo`, which needs nothing", strings.Join(names, ", "))
	}
	return cfg, nil
}

// Check builds what the source asks for and serves nothing.
func Check(src Source, env Env) (*gateway.Gateway, error) {
	cfg, err := src.Load()
	if err != nil {
		return nil, err
	}
	gw, err := Build(cfg, env, NewShared())
	if err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		if _, err := newCertificates(*cfg.TLS); err != nil {
			return nil, config.Sort([]*config.Error{cfg.Errorf("tls", "%v", err)})
		}
	}
	return gw, nil
}

// Warnings say what is no mistake in a configuration that builds, and should
// be known.
func Warnings(src Source) []string {
	cfg, err := src.Load()
	if err != nil {
		return nil
	}
	return warnings(cfg)
}

func warnings(cfg *config.Config) (all []string) {
	if t, err := catalogOf(cfg); err == nil {
		if s := t.Stale(time.Now()); s != "" {
			all = append(all, s)
		}
	}
	for i := range cfg.Models {
		m := &cfg.Models[i]
		for j := range m.Accept {
			if g := &m.Accept[j]; g.Model != "" && g.Action != "flag" {
				all = append(all, m.GatePath(j)+": of streams "+g.Name+" is asked when the client has them: it flags them and stops nothing")
			}
		}
	}
	return all
}

// LiveCall is one call of Live.
type LiveCall struct {
	Target     string  `json:"target"`
	Credential string  `json:"credential"`
	Outcome    string  `json:"outcome"` // "ok", or what went wrong
	MS         float64 `json:"ms"`
}

// liveTimeout bounds each call of Live.
const liveTimeout = 30 * time.Second

// Live makes one cheap call for each target and credential, one after the
// other.
func Live(ctx context.Context, gw *gateway.Gateway) []LiveCall {
	var out []LiveCall
	for _, t := range gw.Targets {
		for _, c := range t.Calls {
			start := time.Now()
			x := LiveCall{Target: t.ID, Credential: c.Credential.Label, Outcome: "ok"}
			if err := live(ctx, c.Send); err != nil {
				x.Outcome = llm.AsError(err).Kind.String() + ": " + llm.AsError(err).Message
			}
			x.MS = millis(time.Since(start))
			out = append(out, x)
		}
	}
	return out
}

func live(ctx context.Context, send func(context.Context, *llm.Request) (*llm.Response, error)) error {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	req := &llm.Request{Header: http.Header{}}
	if e := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(`{"model":"","messages":[{"role":"user","content":"Say ok."}]}`)}, req); e != nil {
		return e
	}
	defer req.Body.Release()
	resp, err := send(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			return &llm.Error{Kind: llm.KindTimeout, Message: "no answer in " + liveTimeout.String(), Err: err}
		}
		return err
	}
	defer resp.Close()
	_, err = resp.Next()
	return err
}

// PlanOf tells what a configuration would do with a request's body, before
// anything was measured.
func PlanOf(src Source, env Env, body []byte) (llm.Plan, error) {
	gw, err := Check(src, env)
	if err != nil {
		return llm.Plan{}, err
	}
	req := &llm.Request{}
	if e := openai.Decode(llm.OpChat, &wire.Buffer{B: body}, req); e != nil {
		return llm.Plan{}, errors.New(e.Message)
	}
	if f, ok := req.Body.(*wire.Form); ok {
		var e *llm.Error
		if req.Context, e = f.Context(); e != nil {
			return llm.Plan{}, errors.New(e.Message)
		}
	}
	m, e := gw.Model(req, tenant.Anyone())
	if e != nil {
		return llm.Plan{}, errors.New(e.Message)
	}
	return m.Handler.Plan(req), nil
}

// OpenLedger opens the ledger of a configuration for reading. The caller
// closes it.
func OpenLedger(ctx context.Context, src Source, data string) (*store.Store, error) {
	setting := "sqlite"
	if src.File() != "" {
		cfg, err := src.Load()
		if err != nil {
			return nil, err
		}
		setting = cfg.Store
	}
	path, err := LedgerPath(setting, data)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("this configuration keeps no ledger (store: none)")
	}
	return store.OpenReadOnly(ctx, path)
}
