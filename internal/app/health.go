package app

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/server"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

const (
	// tendEvery paces the looks at who is due for a probe, who is an outlier and
	// to whom a connection is missing.
	tendEvery = 500 * time.Millisecond
	// maxProbes and maxDials bound what is under way at a time. Who waits for
	// an answer that does not come keeps no connection from being made.
	maxProbes = 8
	maxDials  = 8
	// probeGrace is how long clients' requests leave an open breaker's probe to
	// the gateway's own; many looks, so that it need not be waited out.
	probeGrace = 5 * time.Second
)

// care is what a configuration wants done for its targets beside requests.
type care struct {
	pools    []*upstream.Pool
	outliers *upstream.Outliers
	probes   []probe
	standby  []*provider.Account // those next in line
	conns    int                 // to keep ready to each of them
}

// probe is a target that is asked without a client, and with what.
type probe struct {
	target *upstream.Target
	proto  llm.Proto
	op     llm.Op
	body   string
}

// care finds out what is wanted. It comes after models and is part of building.
func (b *builder) care() care {
	c := care{pools: b.pools, outliers: upstream.NewOutliers(b.pools, b.cfg.Health.Eject), conns: b.cfg.Health.Standby}
	if c.conns < 0 {
		c.conns = min(1, len(b.cfg.Regions))
	}
	for _, t := range b.targets {
		if p, ok := b.probe(t); ok {
			t.Breaker.Grace = probeGrace
			c.probes = append(c.probes, p)
		}
	}
	if c.conns > 0 {
		for _, p := range b.pools {
			for _, t := range p.NextInLine() {
				if a := b.providers[t.Provider()].acc; !slices.Contains(c.standby, a) {
					c.standby = append(c.standby, a)
				}
			}
		}
	}
	return c
}

// welcome lets the targets that are new begin slowly.
func (c *care) welcome() {
	for _, p := range c.pools {
		p.Welcome()
	}
}

// probes is how long the provider's targets may go unasked, 0 where they are
// asked by clients alone: with their own credentials there is none to ask with.
func (a *account) probes() time.Duration {
	if len(a.cfg.APIKeys) == 1 && a.cfg.APIKeys[0] == config.ClientKey {
		return 0
	}
	return a.cfg.Health.Probe
}

// The bodies of probes: the least that a model answers to. Responses takes no
// bound below 16 tokens, and no model writes as many here. Chats are in
// Anthropic's words, which name their bound alike for every model; the codecs
// know what each vendor calls it.
const (
	probeChat   = `{"model":"probe","max_tokens":16,"messages":[{"role":"user","content":"Say ok."}]}`
	probeEmbed  = `{"model":"probe","input":"ok"}`
	probeRerank = `{"model":"probe","query":"ok","documents":["ok"]}`
)

// probe is how a target is probed; false where it is not: images and sound cost
// too much to be asked for nothing.
func (b *builder) probe(t *upstream.Target) (probe, bool) {
	row := b.providers[t.Provider()].row
	kind := "chat"
	if m, ok := b.catalog.Lookup(row.Name, t.Vendor); ok {
		kind = m.Kind
	} else if row.Only != nil && !slices.Contains(row.Only, llm.OpChat) {
		kind = "embedding"
	}
	p := probe{target: t, proto: llm.ProtoOpenAI}
	switch kind {
	case "chat":
		p.proto, p.op, p.body = llm.ProtoAnthropic, llm.OpChat, probeChat
	case "embedding":
		p.op, p.body = llm.OpEmbedding, probeEmbed
	case "rerank":
		p.op, p.body = llm.OpRerank, probeRerank
	}
	return p, t.ProbeEvery > 0 && p.op != 0
}

// watchHealth looks after the targets of the configuration in force until ctx
// is done.
func (a *App) watchHealth(ctx context.Context) {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	probes, dials := newErrands(maxProbes, a.errand), newErrands(maxDials, a.errand)
	defer probes.running.Wait()
	defer dials.running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		gen := a.current.Load()
		c := &gen.care
		a.rotate(gen)
		c.outliers.Look()
		probes.look(len(c.probes), func(i int) func() {
			if p := c.probes[i]; p.target.Due() {
				return func() { a.probe(ctx, p) }
			}
			return nil
		})
		dials.look(len(c.standby), func(i int) func() {
			if acc := c.standby[i]; acc.Lacks(c.conns) {
				return func() { acc.Ready(ctx, c.conns) }
			}
			return nil
		})
	}
}

// errands are run beside each other, a bounded number at a time. One goroutine
// looks for them.
type errands struct {
	run     func(do func())
	seats   chan struct{}
	next    int // where the next look begins
	running sync.WaitGroup
}

func newErrands(most int, run func(do func())) *errands {
	return &errands{run: run, seats: make(chan struct{}, most)}
}

// look goes once round n places, from where the last look found no seat free,
// and runs what due says of each; nil: nothing.
func (e *errands) look(n int, due func(i int) func()) {
	begin := e.next
	for k := range n {
		i := (begin + k) % n
		do := due(i)
		if do == nil {
			continue
		}
		select {
		case e.seats <- struct{}{}:
			e.running.Go(func() { e.run(do); <-e.seats })
		default: // the next look comes soon
			e.next = i
			return
		}
	}
}

// probe makes one call of which the ledger tells as a probe's.
func (a *App) probe(ctx context.Context, p probe) {
	now := time.Now()
	tr := llm.NewTrail(llm.NewID(now), now, a.settleProbe)
	tr.Op, tr.Proto, tr.Model, tr.Target = llm.OpProbe, p.proto, p.target.ID, p.target.ID
	req := &llm.Request{ID: tr.ID, Trail: tr, Header: http.Header{}}
	if e := protocol.Of(p.proto).Decode(p.op, &wire.Buffer{B: []byte(p.body)}, req); e != nil {
		a.log.Error("a probe cannot be read", "target", p.target.ID, "error", e.Error())
		return
	}
	defer req.Body.Release()
	asked := true // where it panics, too
	defer func() {
		if asked {
			tr.Close(time.Now())
		}
	}()
	asked = p.target.Probe(ctx, req)
}

// errand runs do, whose panic ends it and not the process. What it panicked with
// may hold a key and is not told.
func (a *App) errand(do func()) {
	defer func() {
		if x := recover(); x != nil {
			a.log.Error("a probe or a dial has panicked; please report this", "type", fmt.Sprintf("%T", x), "stack", string(debug.Stack()))
		}
	}()
	do()
}

// settleProbe is settle for what no client asked for.
func (a *App) settleProbe(t *llm.Trail) {
	for _, x := range t.Attempts() {
		t.Answered, t.Status, t.Outcome = x.Model, x.Status, x.Outcome
	}
	if a.metrics != nil {
		a.metrics.Record(t)
	}
	a.ledger.Record(entry(t))
}

// order carries out what the operator wants of a target.
func (a *App) order(gw *gateway.Gateway, id, order string) (server.TargetStatus, bool) {
	is := func(t *upstream.Target) bool { return t.ID == id }
	all := gw.Targets
	if !slices.ContainsFunc(all, is) && slices.Contains(gw.Names(), id) { // a model of a provider alone
		if m, ok := gw.Lookup(id); ok {
			all = m.Targets()
		}
	}
	i := slices.IndexFunc(all, is)
	if i < 0 {
		return server.TargetStatus{}, false
	}
	t := all[i]
	switch order {
	case "drain":
		t.Drain()
	case "undrain":
		t.Undrain()
	case "reset":
		a.shared.Monitor.Reset(id)
		t.Reset()
	}
	a.log.Info("the operator's order to a target", "order", order, "target", id)
	return targetStatus(t, t.Health(), time.Now()), true
}
