// Package app wires the rooms together: it builds a configuration into a
// gateway, runs it, reloads it and stops it. Only app knows everybody.
package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/compose"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/guard"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
)

// Env are the settings that come from the environment, beside the file.
type Env struct {
	Key      string // SLUICE_KEY: one client key
	AdminKey string // SLUICE_ADMIN_KEY, where the file names none
	Getenv   func(string) string
}

// Shared is what outlives configurations: the state of targets, the connections
// to vendors, and what splits have shown.
type Shared struct {
	Registry   *upstream.Registry
	Transports *provider.Transports
	Listed     *listing
	Book       *experiment.Book // of splits
	Desk       *compose.Desk    // for what no client waits for
	Hooks      *http.Client     // of guards' webhooks
	Monitor    *quality.Monitor
	Evidence   *quality.Evidence
	Sampler    *quality.Sampler
	Talks      *route.Memory // conversations with models that are chosen
}

// NewShared returns an empty one.
func NewShared() *Shared {
	return &Shared{Registry: upstream.NewRegistry(), Transports: &provider.Transports{}, Listed: &listing{}, Book: experiment.NewBook(), Desk: compose.NewDesk(), Hooks: guard.NewClient(),
		Monitor: quality.NewMonitor(), Evidence: quality.NewEvidence(14 * 24 * time.Hour), Sampler: quality.NewSampler(quality.Examine()), Talks: &route.Memory{}}
}

// Build makes a gateway of a configuration. It calls nobody. The error is a
// config.Errors with every mistake.
func Build(cfg *config.Config, env Env, sh *Shared) (*gateway.Gateway, error) {
	g, err := build(cfg, env, sh)
	if err != nil {
		return nil, err
	}
	return g.gw, nil
}

// build makes a generation. See Build.
func build(cfg *config.Config, env Env, sh *Shared) (*generation, error) {
	b := &builder{cfg: cfg, env: env, sh: sh, catalog: catalog.Embedded(), providers: map[string]*account{}, targets: map[string]*upstream.Target{}}
	gw := &gateway.Gateway{DefaultModel: cfg.DefaultModel, BodyLimit: cfg.Limits.Body, Strategy: cfg.Strategy}
	b.table()
	b.router()
	b.accounts(gw)
	b.keys(gw)
	if len(b.errs) == 0 { // models would repeat the mistakes of providers
		b.models(gw)
	}
	if len(b.errs) > 0 {
		return nil, config.Sort(b.errs)
	}
	for _, t := range b.targets {
		gw.Targets = append(gw.Targets, t)
	}
	slices.SortFunc(gw.Targets, func(x, y *upstream.Target) int { return strings.Compare(x.ID, y.ID) })
	return &generation{cfg: cfg, gw: gw, listers: b.listers(), engines: b.engines(), care: b.care(), alone: b.alone, splits: b.splits, router: b.learned, stamp: b.stamp}, nil
}

type builder struct {
	cfg       *config.Config
	env       Env
	sh        *Shared
	catalog   *catalog.Table
	learned   *route.Router
	stamp     stamp // of its file, before it was read
	errs      []*config.Error
	providers map[string]*account
	order     []*account
	targets   map[string]*upstream.Target // by id, one of each
	known     map[string]*upstream.Target // of the configuration, for what is made after it
	alone     []*upstream.Pool            // of what the catalog knows, where the file names no model
	pools     []*upstream.Pool            // the file's, without patterns
	splits    []split
	named     map[string]*upstream.Pool // the same by name and alias
	guard     map[string]*guard.Guard   // the file's, by name
}

func (b *builder) errorf(path, format string, args ...any) {
	b.errs = append(b.errs, b.cfg.Errorf(path, format, args...))
}

// table reads the rows of the file over the built-in catalog's.
func (b *builder) table() {
	t, err := catalogOf(b.cfg)
	if err != nil {
		b.errorf("catalog", "%v", err)
		return
	}
	b.catalog = t
}

// catalogOf is the catalog that a configuration asks for.
func catalogOf(cfg *config.Config) (*catalog.Table, error) {
	t := catalog.Embedded()
	if cfg.Catalog == "" {
		return t, nil
	}
	text, err := os.ReadFile(cfg.Catalog)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	if t, err = t.With(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Catalog, err)
	}
	return t, nil
}

// keys decides who may ask, by the rule of CONTRACT §2: keys, unless the file
// says none, or the gateway is reached from this machine only and there is no
// key anywhere.
func (b *builder) keys(gw *gateway.Gateway) {
	admin := b.cfg.Admin.Key.Reveal()
	if admin == "" {
		admin = b.env.AdminKey
	}
	var keys []tenant.Key
	for _, k := range b.cfg.Keys {
		priority, _ := llm.PriorityByName(k.Priority) // config knows the names
		keys = append(keys, tenant.Key{Name: k.Name, Secret: k.Key.Reveal(), Models: k.Models, Priority: priority})
	}
	if b.env.Key != "" && !slices.ContainsFunc(keys, func(k tenant.Key) bool { return k.Secret == b.env.Key }) { // the file says more of it
		keys = append(keys, tenant.Key{Name: "SLUICE_KEY", Secret: b.env.Key})
	}
	var open *tenant.Grant
	switch {
	case b.cfg.Auth == "none":
		open = tenant.Anyone()
	case b.cfg.Auth == "" && len(keys) == 0 && admin == "" && onLoopback(b.cfg.Listen):
		open = tenant.Anyone()
	case len(keys) == 0:
		b.errorf("listen", "clients need a key and there is none: write keys, set SLUICE_KEY, or say \"auth: none\"")
	}
	if admin != "" {
		keys = append(keys, tenant.Key{Name: "operator", Secret: admin, Models: []string{}, Operator: true, Priority: llm.PriorityCritical})
	}
	var err error
	if gw.Keys, err = tenant.NewKeys(keys, open); err != nil {
		b.errorf("keys", "%v", err)
	}
}

func onLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// models builds the pools of the file, then the rules for other names.
func (b *builder) models(gw *gateway.Gateway) {
	named := map[string]*gateway.Model{}
	pools := map[string]*upstream.Pool{}
	b.named = pools
	for i := range b.cfg.Models { // first all pools, so that they can name each other
		m := &b.cfg.Models[i]
		if !strings.Contains(m.Name, "*") {
			pools[m.Name] = b.empty(m, m.Name)
		}
	}
	for _, m := range b.cfg.Models {
		for _, alias := range m.Aliases {
			pools[alias] = pools[m.Name]
		}
	}
	find := b.finder(pools, b.keep)
	for i := range b.cfg.Models {
		m := &b.cfg.Models[i]
		if m.Split != nil {
			b.splits = append(b.splits, splitOf(m))
		}
		p := pools[m.Name]
		if p == nil { // its members are made when they are asked for; these are named already
			b.others(m, find)
			b.accept(&upstream.Pool{}, m, find, b.errorf)
			continue
		}
		switch {
		case m.Auto != nil:
			b.members(p, "models."+m.Name+".auto.models", m.Auto.Models, find)
		case m.Cascade != nil:
			b.members(p, "models."+m.Name+".cascade.models", m.Cascade.Models, find)
			b.learned.Model() // as for what is chosen
			p.Screen, p.Look = &upstream.Screen{}, b.learned.LookForNeeds
		default:
			b.fill(p, m, "", pools)
		}
		b.accept(p, m, find, b.errorf)
		b.pools = append(b.pools, p)
		for j, name := range m.Fallback {
			if f := find(name); f != nil {
				p.Fallback = append(p.Fallback, f)
			} else {
				b.errorf("models."+m.Name+".fallback["+strconv.Itoa(j)+"]", "no model or target %q", name)
			}
		}
		b.degrade(p, m, find)
		gw.Fallback = gw.Fallback || len(p.Fallback) > 0
		gm := modelOf(m.Name, p, owner(m))
		h, path, err := b.shadow(p, m, find)
		if gm.Handler = h; err != nil {
			b.errorf(path, "%v", err)
		}
		named[m.Name] = gm
		for _, alias := range m.Aliases {
			named[alias] = gm
		}
	}
	for i := range b.cfg.Models {
		if m := &b.cfg.Models[i]; m.Auto != nil {
			b.choose(pools[m.Name], m)
		}
	}
	b.guards(find)
	for i := range b.cfg.Models { // what they are made of is known now
		m := &b.cfg.Models[i]
		if gm := named[m.Name]; gm != nil {
			gm.Handler = b.guarded(m, pools[m.Name], gm.Handler, find)
		}
	}
	if len(b.cfg.Models) == 0 { // providers alone: what the catalog knows of them
		for _, a := range b.order {
			for _, cm := range b.catalog.Models(a.row.Name) {
				name := a.cfg.Name + "/" + cm.ID
				if p, ok := b.adHoc(name); ok {
					named[name] = modelOf(name, p, a.cfg.Name)
					named[name].Handler = b.guarded(b.nameless(name), p, p, find)
					b.alone = append(b.alone, p)
				}
			}
		}
	}
	if of := b.listers(); len(of) > 0 {
		gw.Listed = func() []string { return b.sh.Listed.names(of) }
	}
	gw.Classify = b.classify(pools, named)
	later := b.finder(pools, (*upstream.Pool).Adopt)
	gw.SetModels(named, b.patterns(later), func(name string) (*gateway.Model, bool) {
		p, ok := b.adHoc(name)
		if !ok {
			return nil, false
		}
		p.Adopt()
		gm := modelOf(name, p, p.Options[0].Target.Provider())
		gm.Handler = b.guarded(b.nameless(name), p, p, later)
		return gm, true
	})
}

// finder finds the pool of a name: a model, a pattern's member, or one ad hoc.
// Those that are not in pools are made, and told to made.
func (b *builder) finder(pools map[string]*upstream.Pool, made func(*upstream.Pool)) func(string) *upstream.Pool {
	return func(name string) *upstream.Pool {
		if p := pools[name]; p != nil {
			return p
		}
		for _, m := range b.patternModels() {
			if star, ok := config.Match(m.Name, name); ok {
				if p, err := b.family(m, name, star); err == nil {
					made(p)
					return p
				}
			}
		}
		p, ok := b.adHoc(name)
		if !ok {
			return nil
		}
		made(p)
		return p
	}
}

// keep makes a pool's targets the configuration's, where no model has them. It
// is part of building.
func (b *builder) keep(p *upstream.Pool) {
	for _, t := range p.Targets() {
		if b.targets[t.ID] == nil {
			b.targets[t.ID] = t
		}
	}
}

// others finds the pools that a pattern's members turn to.
func (b *builder) others(m *config.Model, find func(string) *upstream.Pool) {
	for _, name := range m.Fallback {
		find(name)
	}
	for _, d := range m.Degrade {
		if d.Model != "" {
			find(d.Model)
		}
	}
	if m.Split != nil {
		if _, path, err := b.shadow(nil, m, find); err != nil {
			b.errorf(path, "%v", err)
		}
	}
}

// degrade gives a pool its levels of degradation.
func (b *builder) degrade(p *upstream.Pool, m *config.Model, find func(string) *upstream.Pool) {
	for j, d := range m.Degrade {
		level := upstream.Degrade{MaxOutput: d.MaxTokens, Answer: d.Answer}
		if d.Model != "" {
			if level.Pool = find(d.Model); level.Pool == nil {
				b.errorf("models."+m.Name+".degrade["+strconv.Itoa(j)+"].model", "no model or target %q", d.Model)
				continue
			}
		}
		p.Degrade = append(p.Degrade, level)
	}
}

// modelOf makes the model of a pool.
func modelOf(name string, p *upstream.Pool, owner string) *gateway.Model {
	return &gateway.Model{Name: name, Handler: p, OwnedBy: owner, Limits: p.Limits, Targets: p.Targets}
}

func owner(m *config.Model) string {
	if len(m.Targets) == 1 {
		if p, _, ok := strings.Cut(m.Targets[0].Target, "/"); ok {
			return p
		}
	}
	return "sluice"
}

func (b *builder) patternModels() []*config.Model {
	var out []*config.Model
	for i := range b.cfg.Models {
		if strings.Contains(b.cfg.Models[i].Name, "*") {
			out = append(out, &b.cfg.Models[i])
		}
	}
	slices.SortStableFunc(out, func(x, y *config.Model) int { return len(y.Name) - len(x.Name) })
	return out
}

func (b *builder) patterns(find func(string) *upstream.Pool) []gateway.Pattern {
	var out []gateway.Pattern
	for _, m := range b.patternModels() {
		for _, glob := range append([]string{m.Name}, m.Aliases...) {
			if !strings.Contains(glob, "*") {
				continue
			}
			out = append(out, gateway.Pattern{Glob: glob, Make: func(name string) (*gateway.Model, error) {
				star, _ := config.Match(glob, name)
				p, err := b.family(m, name, star)
				if err != nil {
					return nil, err
				}
				p.Adopt()
				for _, f := range m.Fallback {
					if fp := find(f); fp != nil && f != name {
						p.Fallback = append(p.Fallback, fp)
					}
				}
				b.degrade(p, m, find)
				b.accept(p, m, find, func(string, string, ...any) {}) // they were made before
				gm := modelOf(name, p, owner(m))
				gm.Handler, _, _ = b.shadow(p, m, find) // they were found before
				gm.Handler = b.guarded(m, p, gm.Handler, find)
				return gm, nil
			}})
		}
	}
	return out
}

// family makes the pool of one member of a pattern.
func (b *builder) family(m *config.Model, name, star string) (*upstream.Pool, error) {
	one := builder{cfg: b.cfg, env: b.env, sh: b.sh, catalog: b.catalog, providers: b.providers, order: b.order, targets: map[string]*upstream.Target{}, known: b.targets}
	p := one.empty(m, name)
	one.fill(p, m, star, b.named)
	if len(one.errs) > 0 {
		return nil, one.errs[0]
	}
	return p, nil
}

// adHoc makes the pool of a name that is no model: provider/vendor-model, or
// a bare name that the catalog knows at a configured provider.
func (b *builder) adHoc(name string) (*upstream.Pool, bool) {
	target := name
	if p, vendorModel, ok := strings.Cut(name, "/"); !ok || b.providers[p] == nil || vendorModel == "" {
		vendors := b.catalog.Vendors(name)
		i := slices.IndexFunc(b.order, func(a *account) bool { return slices.Contains(vendors, a.row.Name) })
		if i >= 0 {
			target = b.order[i].cfg.Name + "/" + name
		} else if p, ok := b.sh.Listed.find(b.listers(), name); ok {
			target = p + "/" + name
		} else {
			return nil, false
		}
	}
	m := &config.Model{Name: name, Strategy: b.cfg.Strategy, Affinity: "auto", Hedge: b.cfg.Hedge, Targets: []config.Target{{Target: target, Weight: 1, Priority: 1}}}
	one := builder{cfg: b.cfg, env: b.env, sh: b.sh, catalog: b.catalog, providers: b.providers, targets: map[string]*upstream.Target{}, known: b.targets}
	p := one.empty(m, name)
	one.fill(p, m, "", nil)
	return p, len(one.errs) == 0
}

// listers are the providers that tell their models by themselves.
func (b *builder) listers() []lister {
	var out []lister
	for _, a := range b.order {
		if a.row.Lists {
			out = append(out, lister{a.cfg.Name, a.acc, a.keys[0]})
		}
	}
	return out
}

// empty makes the pool of a model without its options.
func (b *builder) empty(m *config.Model, name string) *upstream.Pool {
	strategy := m.Strategy
	if m.Cascade != nil { // in the file's order
		strategy = "ordered"
	}
	order, conversation, ok := route.New(strategy, m.Affinity)
	switch {
	case m.Auto != nil: // it gets its order when it has its options
		conversation = route.Conversation(m.Affinity)
	case !ok && m.Split == nil:
		b.errorf("models."+m.Name+".strategy", "no strategy %q", m.Strategy)
	}
	retry := m.RetryOver(b.retry(m))
	policy := upstream.Policy{Attempts: retry.Attempts, Budget: retry.Budget, Resume: m.OnCut == "resume"}
	if h := m.Hedge; h.On {
		policy.Hedge = &upstream.Hedge{After: h.After, Budget: h.Budget}
	}
	p := &upstream.Pool{
		Model: name, Strategy: m.Strategy, Order: order, Spreads: route.Spreads(m.Strategy), Conversation: conversation,
		Prefix: route.Prefixes(m.Strategy, m.Affinity), Policy: policy,
		Budget: b.sh.Registry.Budget(m.Name), Registry: b.sh.Registry, Capabilities: m.Capabilities,
	}
	if m.Split != nil {
		b.split(p, m)
	}
	return p
}

// retry is that of the provider where all targets of a model have one
// provider, else the file's.
func (b *builder) retry(m *config.Model) config.Retry {
	var one *account
	for _, t := range m.Targets {
		p, _, _ := strings.Cut(t.Target, "/")
		a := b.providers[p]
		if a == nil || one != nil && one != a {
			return b.cfg.Retry
		}
		one = a
	}
	if one == nil {
		return b.cfg.Retry
	}
	return one.cfg.Retry
}

// fill gives a pool its options; star stands for the * of targets.
func (b *builder) fill(p *upstream.Pool, m *config.Model, star string, pools map[string]*upstream.Pool) {
	for j, t := range m.Targets {
		path := m.TargetPath(j)
		o := upstream.Option{ID: t.Target, Weight: t.Weight, Priority: t.Priority, Region: b.rank(t.Region), Place: j}
		if id := config.Substitute(t.Target, star); strings.Contains(id, "/") {
			tg, err := b.target(id, m, t)
			if err != nil {
				b.errorf(path, "%v", err)
				continue
			}
			o.ID, o.Target, o.Region = id, tg, b.rank(tg.Region)
		} else if o.Pool = pools[t.Target]; o.Pool == nil {
			b.errorf(path, "no model %q", t.Target)
			continue
		}
		if m.Split != nil { // arms are equals
			o.Arm, o.Region = &llm.Arm{Split: m.Name, Model: t.Target}, 0
		}
		p.Options = append(p.Options, o)
	}
	slices.SortStableFunc(p.Options, func(x, y upstream.Option) int {
		return cmp.Or(x.Priority-y.Priority, x.Region-y.Region)
	})
}

// members gives a pool other models for its options. All pools that the file names
// exist by now.
func (b *builder) members(p *upstream.Pool, path string, names []string, find func(string) *upstream.Pool) {
	for j, name := range names {
		q := find(name)
		if q == nil {
			b.errorf(path+"["+strconv.Itoa(j)+"]", "no model or target %q", name)
			continue
		}
		p.Options = append(p.Options, upstream.Option{ID: name, Weight: 1, Priority: 1, Place: len(p.Options), Pool: q})
	}
}

// rank is how near a region is: 0 for the nearest, and for what is in none.
func (b *builder) rank(region string) int { return max(0, slices.Index(b.cfg.Regions, region)) }

// target builds one target of a model.
func (b *builder) target(id string, m *config.Model, t config.Target) (*upstream.Target, error) {
	name, vendorModel, _ := strings.Cut(id, "/")
	a := b.providers[name]
	if a == nil {
		return nil, fmt.Errorf("no provider %q", name)
	}
	tm := m.TimeoutsOver(a.cfg.Timeouts)
	tg := &upstream.Target{
		ID: id, Vendor: vendorModel, State: b.sh.Registry.State(id), Context: t.Context, MaxOutput: t.MaxOutput, Prior: t.Latency,
		Timeouts:   upstream.Timeouts{FirstToken: tm.FirstToken, Idle: tm.Idle, Total: tm.Total, Stream: tm.Stream, Queue: tm.Queue},
		Cooldown:   upstream.Cooldown{Max: b.cfg.Cooldown.Max, Quarantine: b.cfg.Cooldown.Quarantine},
		Limits:     upstream.Limits{RPM: a.cfg.Limits.RPM, TPM: a.cfg.Limits.TPM, Concurrent: a.cfg.Limits.Concurrent},
		ProbeEvery: a.probes(), SlowStart: a.cfg.Health.SlowStart, Hold: b.cfg.Health.Hold, Region: cmp.Or(t.Region, a.cfg.Region),
		Keeps: slices.Contains(a.acc.Protos(), llm.ProtoResponses),
	}
	br := a.cfg.Breaker
	if a.row.Engine {
		tg.Engine = tg.State.Engine()
	}
	tg.Listen = b.listen()
	tg.Breaker = upstream.BreakerSettings{
		Failures: br.Failures, SuccessRate: br.SuccessRate, Window: br.Window, MinRequests: br.MinRequests, Cooldown: br.Cooldown,
	}
	if k := b.known[id]; k != nil { // it may be probed
		tg.Breaker.Grace = k.Breaker.Grace
	}
	if cm, ok := b.catalog.Lookup(a.row.Name, vendorModel); ok {
		tg.Price = cm.Price
		tg.Context = cmp.Or(tg.Context, cm.Context)
		tg.MaxOutput = cmp.Or(tg.MaxOutput, cm.MaxOutput)
		tg.Can = can(&cm, a.acc.Protos())
	}
	if t.Price != nil {
		var err error
		if tg.Price, err = priceOf(t.Price); err != nil {
			return nil, err
		}
	}
	line := provider.Model{Name: vendorModel, MaxOutput: tg.MaxOutput, Params: paramsOf(m.Params)}
	tg.Fan = a.acc.Fan(line)
	for i, key := range a.keys {
		send, err := a.acc.Line(line, key)
		if err != nil {
			return nil, err
		}
		cred := b.sh.Registry.Credential(credentialID(name, key), strconv.Itoa(i+1))
		tg.Calls = append(tg.Calls, upstream.Call{Credential: cred, Cooling: tg.State.Cooling(cred), Send: send})
	}
	b.targets[id] = tg
	return tg, nil
}

// priceOf is a price of the file.
func priceOf(c *config.Price) (*llm.Price, error) {
	p := &llm.Price{}
	rates := map[string]float64{llm.UnitInput.String(): c.Input, llm.UnitOutput.String(): c.Output}
	maps.Copy(rates, c.More)
	for _, u := range llm.Units() {
		usd, ok := rates[u.String()]
		if !ok {
			continue
		}
		r, err := u.Rate(usd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u, err)
		}
		p.Set(u, r)
	}
	return p, nil
}

// credentialID names a credential without telling it.
func credentialID(provider, key string) string {
	d := sha256.Sum256([]byte(provider + "\x00" + key))
	return hex.EncodeToString(d[:16])
}

func paramsOf(p config.Params) *wire.Params {
	if len(p.Default) == 0 && len(p.Set) == 0 && len(p.Drop) == 0 {
		return nil
	}
	fields := func(m map[string][]byte) []wire.Field {
		var out []wire.Field
		for k, v := range m {
			out = append(out, wire.Field{Name: k, Value: v})
		}
		slices.SortFunc(out, func(a, b wire.Field) int { return strings.Compare(a.Name, b.Name) })
		return out
	}
	return &wire.Params{Default: fields(p.Default), Set: fields(p.Set), Drop: p.Drop}
}

// commit makes gen the configuration whose targets are remembered.
func (sh *Shared) commit(gen *generation) {
	gw := gen.gw
	for _, p := range gen.alone {
		p.Adopt()
	}
	ids := make(map[string]bool, len(gw.Targets))
	for _, t := range gw.Targets {
		ids[t.ID] = true
		t.Adopt()
	}
	sh.Registry.Retain(ids)
	sh.Monitor.Retain(ids)
	names := make(map[string]bool, len(gw.Providers))
	for _, p := range gw.Providers {
		names[p.Name] = true
	}
	sh.Transports.Retain(names)
}

var _ llm.Handler = (*upstream.Pool)(nil)

// started is when the process began, for the uptime.
var started = time.Now()
