package app

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/route/learned"
	"github.com/sluicegate/sluice/internal/upstream"
)

// router loads the learned router that the file names.
func (b *builder) router() {
	b.stamp = stampOf(b.cfg.Router)
	m, err := routerOf(b.cfg)
	if err != nil {
		b.errorf("router", "%v", err)
	}
	b.learned = route.NewRouter(m)
}

// routerOf is the learned router that a configuration asks for; nil: the embedded
// one.
func routerOf(cfg *config.Config) (*learned.Model, error) {
	if cfg.Router == "" {
		return nil, nil
	}
	text, err := os.ReadFile(cfg.Router)
	if err != nil {
		return nil, fmt.Errorf("reading the router: %w", err)
	}
	m, err := learned.Read(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Router, err)
	}
	return m, nil
}

// choose gives a model that is chosen its order. All pools have their options by
// now.
func (b *builder) choose(p *upstream.Pool, m *config.Model) {
	b.learned.Model() // no request waits for it to be unpacked
	dial := route.Dial{Prefer: m.Auto.Prefer, Quality: m.Auto.Quality, MaxCost: moneyOf(m.Auto.MaxCost)}
	b.auto(p, dial, m.Auto.Regions, m.Classifier == "rules")
}

// moneyOf is an amount of the file.
func moneyOf(usd float64) llm.Money { return llm.Money(math.Round(usd * 1e9)) }

// auto makes a pool one that chooses between its options by what is asked.
func (b *builder) auto(p *upstream.Pool, dial route.Dial, regions []string, rules bool) {
	p.Screen = &upstream.Screen{MaxCost: dial.MaxCost, Regions: regions}
	x := route.NewAuto(route.AutoSettings{
		Name: p.Model, Candidates: b.candidates(p), Dial: dial, Screen: p.Screen, Rules: rules, Memory: b.sh.Talks, Evidence: b.sh.Evidence,
	})
	p.Order, p.Decide, p.Took, p.Each = x.Order, x.Decide, x.Took, true
	if p.Look = b.learned.Look; rules {
		p.Look = b.learned.LookByRules
	}
}

// candidates is what is known of a pool's options.
func (b *builder) candidates(p *upstream.Pool) []route.Candidate {
	var out []route.Candidate
	for i := range p.Options {
		o := &p.Options[i]
		c := route.Candidate{Name: o.ID, Names: []string{o.ID}, Capabilities: capabilities(o.Pool)}
		for _, m := range b.cfg.Models {
			if m.Name == o.Pool.Model {
				c.Names = append(append(c.Names, m.Name), m.Aliases...)
			}
		}
		for i, t := range o.Pool.Targets() {
			c.Names = append(c.Names, t.Vendor, catalog.Bare(t.Vendor))
			if i == 0 {
				c.Prior = opinion(t.Vendor)
			}
		}
		out = append(out, c)
	}
	return out
}

// capabilities are a model's: of a cascade, a split or an auto model without any,
// those of its first model.
func capabilities(p *upstream.Pool) map[string]float64 {
	for p != nil && p.Capabilities == nil && len(p.Options) > 0 {
		p = p.Options[0].Pool
	}
	if p == nil {
		return nil
	}
	return p.Capabilities
}

// opinion is the catalog's of a vendor's model.
func opinion(model string) func(task string) (float64, string, bool) {
	return func(task string) (float64, string, bool) {
		p, ok := catalog.Quality(model, task)
		return p.Quality, p.Source + "@" + p.AsOf.Format(time.DateOnly), ok
	}
}

// classified is a pool of the models of the file with targets, of which no client may
// ask: a classification tells them apart.
func (b *builder) classified(named map[string]*upstream.Pool) *upstream.Pool {
	p := &upstream.Pool{Strategy: "auto", Registry: b.sh.Registry, Budget: &upstream.Budget{}}
	for i := range b.cfg.Models {
		m := &b.cfg.Models[i]
		if q := named[m.Name]; q != nil && m.Auto == nil && m.Split == nil && len(p.Options) < route.MaxChoice {
			p.Options = append(p.Options, upstream.Option{ID: m.Name, Weight: 1, Priority: 1, Place: len(p.Options), Pool: q})
		}
	}
	b.auto(p, route.Dial{}, nil, false)
	return p
}

// can are a target's abilities, by the catalog. A codec of another protocol than
// OpenAI's makes a tool stand for the schema of an answer where the model has no
// other way.
func can(cm *catalog.Model, protos []llm.Proto) llm.Ability {
	a := cm.Can
	if a&llm.CanTools != 0 && !slices.Contains(protos, llm.ProtoOpenAI) && !slices.Contains(protos, llm.ProtoResponses) {
		a |= llm.CanStructured
	}
	return a
}

// routerEvery paces the looks at the router's file.
const routerEvery = 2 * time.Second

// watchRouter puts the learned router in force whose file has changed, until ctx
// is done. A file that cannot be read changes nothing.
func (a *App) watchRouter(ctx context.Context) {
	var seen, tried stamp
	var of *generation
	for ctx.Err() == nil {
		gen := a.current.Load()
		if gen != of { // it has read the file
			of, seen, tried = gen, gen.stamp, gen.stamp
		}
		pause(ctx, routerEvery)
		now := stampOf(gen.cfg.Router)
		switch {
		case now == seen:
		case now != tried: // it may be written still
			tried = now
		default:
			seen = now
			m, err := routerOf(gen.cfg)
			if err != nil {
				a.log.Error("the router was not changed", "error", err.Error())
				continue
			}
			gen.router.Use(m)
			a.log.Info("another router is in force", "source", m.Card.Source, "date", m.Card.Date)
		}
	}
}

// stamp tells whether a file is as it was; the zero value: there is none.
type stamp struct {
	size int64
	at   time.Time
}

func stampOf(path string) stamp {
	if info, err := os.Stat(path); err == nil {
		return stamp{info.Size(), info.ModTime()}
	}
	return stamp{}
}

// classify is gateway.Gateway.Classify.
func (b *builder) classify(pools map[string]*upstream.Pool, named map[string]*gateway.Model) func(*gateway.Model, *llm.Request, func(string) bool) route.Classification {
	all, r := b.classified(pools), b.learned
	chosen := map[*gateway.Model]*upstream.Pool{}
	for _, m := range b.cfg.Models {
		if m.Auto != nil {
			chosen[named[m.Name]] = pools[m.Name]
		}
	}
	return func(m *gateway.Model, req *llm.Request, may func(string) bool) route.Classification {
		if p := chosen[m]; p != nil { // what it is made of is the operator's choice
			return r.Classify(p, req, func(string) bool { return true })
		}
		return r.Classify(all, req, may)
	}
}
