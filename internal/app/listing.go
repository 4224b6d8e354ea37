package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/provider"
)

const (
	// listEvery paces the looks at what self-hosted engines serve, listWithin
	// bounds each.
	listEvery  = 30 * time.Second
	listWithin = 5 * time.Second
)

// lister is a provider that tells its models by itself.
type lister struct {
	name string
	acc  *provider.Account
	key  string
}

// listing is what self-hosted engines said they serve. What one said last
// holds until it says otherwise. Safe for concurrent use.
type listing struct {
	mu sync.Mutex
	by map[string][]string // the vendor's names by provider
}

// names returns the models as provider/vendor-model, sorted.
func (l *listing) names(of []lister) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, x := range of {
		for _, m := range l.by[x.name] {
			all = append(all, x.name+"/"+m)
		}
	}
	slices.Sort(all)
	return all
}

// find returns the first provider that serves a model.
func (l *listing) find(of []lister, model string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range of {
		if slices.Contains(l.by[x.name], model) || slices.Contains(l.by[x.name], model+":latest") { // Ollama's tag
			return x.name, true
		}
	}
	return "", false
}

// look asks all for their models and forgets providers that are gone.
func (l *listing) look(ctx context.Context, of []lister) {
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	next := make([][]string, len(of))
	var wait sync.WaitGroup
	for i, x := range of {
		wait.Go(func() { next[i], _ = x.acc.Models(ctx, x.key) }) // one that is away keeps its list
	}
	wait.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	by := map[string][]string{}
	for i, x := range of {
		if by[x.name] = next[i]; next[i] == nil {
			by[x.name] = l.by[x.name]
		}
	}
	l.by = by
}

// watchLists looks now and then until ctx is done, and at once when a
// configuration comes into force.
func (a *App) watchLists(ctx context.Context) {
	t := time.NewTicker(listEvery)
	defer t.Stop()
	for {
		select { // the start asks, too
		case <-ctx.Done():
			return
		case <-t.C:
		case <-a.relist:
		}
		if of := a.current.Load().listers; len(of) > 0 {
			a.shared.Listed.look(ctx, of)
		}
	}
}
