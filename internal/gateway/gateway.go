// Package gateway is the life of a request between the front door and the
// models: who may, what is it called, who answers, what is remembered. A new
// reader begins at Serve.
package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Gateway is one configuration, built. It is immutable; a reload makes
// another one.
type Gateway struct {
	Keys         *tenant.Keys
	DefaultModel string // "": requests must name one
	BodyLimit    int64  // bytes
	Strategy     string // for models that name none
	Fallback     bool   // some model has a fallback
	Targets      []*upstream.Target
	Providers    []*Provider
	Kept         *Kept // nil while building
	// Classify tells what a request asks for and which models are good at it: those
	// that m, a model that is chosen, chooses between, else those of the file; only
	// those that may holds for. m is nil where the request names none that is known.
	Classify func(m *Model, req *llm.Request, may func(string) bool) route.Classification
	// Listed are the names of models that providers tell of by themselves, as
	// provider/vendor-model, sorted; nil: none do. Safe for concurrent use.
	Listed func() []string

	models   map[string]*Model // by name and alias
	names    []string          // sorted, no aliases
	patterns []Pattern         // longest first
	// dynamic makes a model for a name that only a rule knows; ok is false
	// if none does.
	dynamic func(name string) (*Model, bool)
	made    sync.Map // name → *Model, bounded by maxMade
	count   atomic.Int32
}

// maxMade bounds the models that are remembered for names outside the file.
const maxMade = 1024

// Model is a name that clients may ask for.
type Model struct {
	Name    string
	Handler llm.Handler
	OwnedBy string
	// Limits tells the largest context and output that one of its targets has,
	// in tokens; 0: unknown.
	Limits func() (context, output int)
	// Targets are all that may come to be asked, fallback models aside.
	Targets func() []*upstream.Target
}

// Pattern is a family of names.
type Pattern struct {
	Glob string // with one *
	// Make returns the model for a name that fits.
	Make func(name string) (*Model, error)
}

// SetModels gives the gateway its names. named is keyed by name and alias;
// dynamic may be nil. It is part of building and may be called once.
func (g *Gateway) SetModels(named map[string]*Model, patterns []Pattern, dynamic func(string) (*Model, bool)) {
	g.models, g.patterns, g.dynamic = named, patterns, dynamic
	for name, m := range named {
		if name == m.Name {
			g.names = append(g.names, name)
		}
	}
	slices.Sort(g.names)
	slices.SortStableFunc(g.patterns, func(a, b Pattern) int { return len(b.Glob) - len(a.Glob) })
}

// Names returns the models of the configuration and those that providers tell
// of by themselves, sorted.
func (g *Gateway) Names() []string {
	if g.Listed == nil {
		return g.names
	}
	all := slices.Concat(g.names, g.Listed())
	slices.Sort(all)
	return slices.Compact(all)
}

// Labels returns the models and aliases of the configuration: the names that
// metrics may tell apart.
func (g *Gateway) Labels() []string {
	return slices.Collect(maps.Keys(g.models))
}

// Lookup finds the model of a name: a model or alias, the longest pattern,
// provider/vendor-model, or a vendor's name that the catalog knows.
func (g *Gateway) Lookup(name string) (*Model, bool) {
	if m := g.models[name]; m != nil {
		return m, true
	}
	if m, ok := g.made.Load(name); ok {
		return m.(*Model), true
	}
	m, ok := g.make(name)
	if ok && g.count.Add(1) <= maxMade {
		g.made.Store(name, m)
	}
	return m, ok
}

func (g *Gateway) make(name string) (*Model, bool) {
	for _, p := range g.patterns {
		if tenant.Match(p.Glob, name) {
			m, err := p.Make(name)
			return m, err == nil
		}
	}
	if g.dynamic == nil {
		return nil, false
	}
	return g.dynamic(name)
}

// Serve answers req for a caller with that grant. The error is an *llm.Error
// that the client may see. The caller closes the response, then the trail.
func (g *Gateway) Serve(ctx context.Context, req *llm.Request, grant *tenant.Grant) (*llm.Response, *llm.Error) {
	m, e := g.Model(req, grant)
	if e != nil {
		return nil, e
	}
	req.Trail.Model = req.Model
	if req.Continues != "" {
		if e := g.pin(ctx, m, req, grant); e != nil {
			return nil, e
		}
	}
	resp, err := m.Handler.Do(ctx, req)
	if err != nil {
		return nil, llm.AsError(err)
	}
	return resp, nil
}

// Model finds the model that req asks for, filling in the default, and
// checks that the caller may ask for it.
func (g *Gateway) Model(req *llm.Request, grant *tenant.Grant) (*Model, *llm.Error) {
	if req.Model == "" {
		if g.DefaultModel == "" {
			return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "model", Message: "the request names no model and there is no default_model; send \"model\""}
		}
		req.Model = g.DefaultModel
	}
	if !grant.May(req.Model) {
		return nil, &llm.Error{Kind: llm.KindModelNotAllowed, Param: "model", Message: fmt.Sprintf("this key may not ask for %q; GET /v1/models lists what it may", clip(req.Model))}
	}
	m, ok := g.Lookup(req.Model)
	if !ok {
		return nil, &llm.Error{Kind: llm.KindModelNotFound, Param: "model", Message: g.unknown(req.Model, grant)}
	}
	return m, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func (g *Gateway) unknown(name string, grant *tenant.Grant) string {
	msg := fmt.Sprintf("no model %q here", clip(name))
	if near := g.nearest(name, grant); len(near) > 0 {
		return msg + "; did you mean " + strings.Join(near, ", ") + "?"
	}
	if p, _, ok := strings.Cut(name, "/"); ok && len(g.Providers) > 0 {
		if _, configured := g.Provider(p); configured {
			return msg + "; GET /v1/models lists them"
		}
		return msg + ": there is no provider of that name"
	}
	return msg + "; GET /v1/models lists them"
}

// nearest returns up to three names that the caller may ask for, by edit
// distance.
func (g *Gateway) nearest(name string, grant *tenant.Grant) []string {
	type near struct {
		name string
		d    int
	}
	var all []near
	for n := range g.models {
		if !grant.May(n) {
			continue
		}
		if d := Distance(strings.ToLower(name), strings.ToLower(n)); d <= max(2, len(n)/3) || strings.Contains(n, name) {
			all = append(all, near{n, d})
		}
	}
	slices.SortFunc(all, func(a, b near) int {
		if a.d != b.d {
			return a.d - b.d
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, n := range all[:min(3, len(all))] {
		out = append(out, n.name)
	}
	return out
}

// Distance is the Levenshtein distance in bytes of the first 64.
func Distance(a, b string) int {
	a, b = a[:min(64, len(a))], b[:min(64, len(b))]
	var row [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}
