package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/upstream"
)

const (
	// lookEvery paces the looks at how busy an engine is while calls go there,
	// jittered by a tenth; lookWithin bounds each. maxLooks are under way at a
	// time.
	lookEvery  = time.Second
	lookWithin = time.Second
	maxLooks   = 16
	// quiet is how long an engine is looked at after its last call.
	quiet = 10 * time.Second
	// longestRest is how long one is left alone at most that could not be asked,
	// or that offers no metrics: twice as long each time.
	longestRest = 5 * time.Minute
)

// engine is a provider whose engine is looked at: a model chooses between it and
// others by how busy they are.
type engine struct {
	name string
	acc  *provider.Account
	key  string

	calls  uint64 // of all its targets at the last tick
	active time.Time
	next   time.Time
	rest   time.Duration
}

// engines are the providers of a configuration whose engines a model chooses
// between.
func (b *builder) engines() []*engine {
	var out []*engine
	for _, a := range b.order {
		if a.row.Engine && slices.ContainsFunc(b.cfg.Models, func(m config.Model) bool { return b.choosesBetween(&m, a) }) {
			out = append(out, &engine{name: a.cfg.Name, acc: a.acc, key: a.keys[0]})
		}
	}
	return out
}

// choosesBetween reports whether a model chooses between the engine of a and
// another by how they do.
func (b *builder) choosesBetween(m *config.Model, a *account) bool {
	has, others := false, 0
	for _, t := range m.Targets {
		name, _, _ := strings.Cut(t.Target, "/")
		switch x := b.providers[name]; {
		case x == nil || !x.row.Engine:
		case x == a:
			has = true
		default:
			others++
		}
	}
	return m.Strategy == "adaptive" && has && others > 0
}

// due reports whether the engine of these targets is to be looked at now: calls
// went there lately, and it is not left alone.
func (e *engine) due(targets []*upstream.State, now time.Time) bool {
	var calls uint64
	busy := false
	for _, s := range targets {
		calls += s.Calls()
		busy = busy || s.InFlight() > 0
	}
	if busy || calls != e.calls {
		e.calls, e.active = calls, now
	}
	return now.Sub(e.active) < quiet && !now.Before(e.next)
}

// look asks the engine how busy it is and tells its targets.
func (e *engine) look(ctx context.Context, targets []*upstream.State, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	m, err := e.acc.Metrics(ctx, e.key)
	if err == nil {
		e.rest = 0
		for _, s := range targets {
			s.Engine().Hear(upstream.Report(m))
		}
		return
	}
	e.rest = min(longestRest, max(2*e.rest, lookEvery))
	if errors.Is(err, provider.ErrNoMetrics) {
		e.rest = longestRest
	}
	e.next = now.Add(e.rest)
}

// watchEngines looks at the engines of the configuration in force, until ctx is
// done. Those without calls are left alone.
func (a *App) watchEngines(ctx context.Context) {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if all := a.current.Load().engines; len(all) > 0 {
				lookAt(ctx, all, a.shared.Registry.Engines(), now)
			}
		}
		t.Reset(lookEvery*9/10 + rand.N(lookEvery/5))
	}
}

// lookAt looks at the engines that are due, of all targets that have one.
func lookAt(ctx context.Context, engines []*engine, targets []*upstream.State, now time.Time) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxLooks)
	for _, e := range engines {
		var own []*upstream.State
		for _, s := range targets {
			if strings.HasPrefix(s.ID, e.name+"/") {
				own = append(own, s)
			}
		}
		if !e.due(own, now) {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			e.look(ctx, own, now)
		})
	}
	wait.Wait()
}
