package upstream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Policy bounds the attempts for one model.
type Policy struct {
	Attempts int     // calls within one model
	Budget   float64 // share of recent requests that may be retried
	Hedge    *Hedge  // nil: off
	// Resume: where a stream breaks after content, another target is asked to
	// go on with the answer.
	Resume bool
}

// Ask is a request as an order sees it.
type Ask struct {
	Req   *llm.Request
	Now   int64  // on the registry's clock
	Turn  uint64 // numbers the requests of the pool
	Depth int    // of a pool in a pool; 0: the one that was asked
	// Prefix are the chained hashes of the prompt's blocks; nil where no order
	// looks at them. See Pool.Prefix.
	Prefix []uint64
	Talk   uint64 // the conversation, see Pool.Conversation of the pool that was asked
	// View is what was seen of the request, Needs what it says of targets; nil
	// where no pool looks. See Pool.Look.
	View  View
	Needs Needs

	way    *way    // to the pool whose options are ordered; nil: see choice
	chosen *chosen // nil: nobody wants to know
	run    *run    // that asks; nil: it is only told what would be
}

// chosen takes the decision of the first pool that makes one.
type chosen struct{ decision *llm.Decision }

// Order arranges the options of one priority and region, all of which can be
// asked, best first; those of a split all together, whoever can be asked. It does
// no I/O and changes nothing.
type Order func(options []*Option, a Ask)

// Pool is a model made of targets and other models. It implements
// llm.Handler; safe for concurrent use.
type Pool struct {
	Model        string
	Strategy     string
	Order        Order
	Spreads      bool                          // the strategy is about shares or load
	Conversation func(req *llm.Request) uint64 // 0: none; nil: never one
	Prefix       bool                          // Order looks at the prefixes of prompts where targets are engines
	Options      []Option                      // by rising priority, within it by rising region
	Fallback     []*Pool
	Degrade      []Degrade // when nobody of these can answer
	Policy       Policy
	Budget       *Budget
	Registry     *Registry
	Capabilities map[string]float64
	Accept       Accept // the gates of its answers; nil: none
	// Extra bounds what answers that were not accepted may cost: this times what
	// the dearest call is expected to; 0: anything. The best one is delivered then.
	Extra float64
	// By is how long it may take until an answer is accepted; 0: as long as
	// anything may.
	By time.Duration

	// A pool that chooses by what is asked has these. Its options are models, of
	// one priority.

	// Look sees what there is to see of a request; nil: the order needs no view.
	// The view is shared by all pools that the request comes to: they have the
	// same Look.
	Look func(req *llm.Request) View
	// Screen keeps requests from targets; nil: from none.
	Screen *Screen
	// Each option has its own count of attempts, by its model's policy; else the
	// pool has one for all.
	Each bool
	// Decide tells how the options were ordered, after Order, and who was left
	// out; nil: nobody chose.
	Decide func(ranked []*Option, out []llm.Considered, a Ask) *llm.Decision
	// Took hears that an option has begun to answer a request; nil: it need not.
	Took func(o *Option, a Ask)

	sought sync.Once
	gates  bool // see gated
	turn   atomic.Uint64
	looked sync.Once
	hashes bool                        // see prefixes
	viewer func(req *llm.Request) View // see view
}

// groupEnd is where the options end that have the priority and region of the
// i-th.
func (p *Pool) groupEnd(i int) int {
	first := &p.Options[i]
	for i++; i < len(p.Options) && p.Options[i].Priority == first.Priority && p.Options[i].Region == first.Region; i++ {
	}
	return i
}

// choice is a target with the pool that named it.
type choice struct {
	t    *Target
	pool *Pool
	from *Option  // of the pool that was asked
	by   *Pool    // whose option has the count of attempts; nil: the pool that was asked has it
	own  *Option  // that option
	late bool     // comes behind the others: suspected, or ejected
	away bool     // comes behind farther regions: its own is not home yet
	in   *screens // that hold for it; known where it comes from Pool.each
	arm  *llm.Arm // of the split that it is an arm of, nil: of none
	way  *way     // to pool; nil: no gates judge its answer
}

// owned says that p, one of whose options the choice comes from, counts its
// attempts, unless a pool in it does.
func (c *choice) owned(p *Pool, o *Option) {
	if p.Each && c.own == nil && o.Pool != nil {
		c.by, c.own = p, o
	}
}

// choices appends the targets that may be asked, in the order to ask them: by
// priority, by region, then by the strategy; those that are suspected or ejected
// last.
func (p *Pool) choices(dst []choice, a Ask) []choice {
	if len(p.Options) == 1 && p.Options[0].Target != nil && p.Options[0].Arm == nil { // most models
		o := &p.Options[0]
		if o.usable(a.Now) && (p.Screen == nil || o.fits(p.Screen, &a)) {
			dst = append(dst, choice{t: o.Target, pool: p, from: o, late: o.late(a.Now), way: a.way})
		}
		return dst
	}
	base := len(dst)
	var space [8]*Option
	var away []choice // of nearer regions of this priority
	for i := 0; i < len(p.Options); {
		group := space[:0]
		n := p.groupEnd(i)
		farther := n < len(p.Options) && p.Options[n].Priority == p.Options[i].Priority
		if p.Options[i].Arm != nil {
			group, i = p.draw(group, a), n
		}
		for ; i < n; i++ {
			if o := &p.Options[i]; o.usable(a.Now) && (p.Screen == nil || o.fits(p.Screen, &a)) {
				group = append(group, o)
			}
		}
		if (len(group) > 1 || len(group) == 1 && p.Decide != nil) && group[0].Arm == nil {
			p.Order(group, a)
		}
		if p.Decide != nil && a.chosen != nil && a.chosen.decision == nil {
			a.chosen.decision = p.Decide(group, p.leftOut(a), a)
		}
		at := len(dst)
		dst = p.expand(dst, group, a)
		if farther && !p.home(group, a) {
			for _, c := range dst[at:] {
				c.away = true
				away = append(away, c)
			}
			dst = dst[:at]
		} else if len(away) > 0 && (len(dst) > at || !farther) {
			dst = append(dst, away...)
			away = nil
		}
	}
	if p.Screen != nil {
		dst = p.Screen.sift(dst, base, &a)
	}
	return sink(dst, base)
}

// draw appends the arms of a split that can be asked, in the split's order. The
// first of all arms is what it has drawn: where that cannot be asked the next
// one answers in its place.
func (p *Pool) draw(group []*Option, a Ask) []*Option {
	for i := range p.Options {
		group = append(group, &p.Options[i])
	}
	p.Order(group, a)
	if a.run != nil {
		a.run.draw(group[0].Arm)
	}
	return slices.DeleteFunc(group, func(o *Option) bool { return !o.usable(a.Now) || p.Screen != nil && !o.fits(p.Screen, &a) })
}

// expand appends the targets of options that can be asked.
func (p *Pool) expand(dst []choice, group []*Option, a Ask) []choice {
	for _, o := range group {
		if o.Target != nil {
			dst = append(dst, choice{t: o.Target, pool: p, from: o, late: o.late(a.Now), arm: o.Arm, way: a.way})
			continue
		}
		n, inner := len(dst), a
		inner.Turn, inner.Depth = o.Pool.turn.Load()+a.Turn, a.Depth+1
		inner.way = a.way.through(p, o)
		dst = o.Pool.choices(dst, inner)
		for i := range dst[n:] {
			dst[n+i].from = o
			dst[n+i].owned(p, o)
			if o.Arm != nil {
				dst[n+i].arm = o.Arm
			}
		}
	}
	return dst
}

// home reports whether a region takes its traffic, group being its options that
// can be asked: at once where one of them has been well all along, else by the
// part that the one which came back first may have.
func (p *Pool) home(group []*Option, a Ask) bool {
	if !slices.ContainsFunc(group, func(o *Option) bool { return o.Target != nil && o.Target.State.since.Load() != 0 }) {
		return true // nearly always
	}
	part, well := 0.0, false
	for _, o := range group {
		if o.Target == nil {
			return true
		}
		if phase, _, _ := o.Target.State.Breaker.Phase(a.Now); phase == Closed {
			part, well = max(part, o.Target.returned(a.Now)), true
		}
	}
	if !well || part >= 1 { // nobody is well: one request may find out
		return true
	}
	h := a.Turn
	if p.Conversation != nil {
		if c := p.Conversation(a.Req); c != 0 { // it moves back once
			h = c
		}
	}
	return float64(Mix(h, "region")>>11)/(1<<53) < part
}

// returned is the part of its region's traffic that a target may take which came
// back: nothing while it must prove itself, then a growing part.
func (t *Target) returned(now int64) float64 {
	since := t.State.since.Load()
	if since == 0 {
		return 1
	}
	if passed := now - since - int64(t.Hold); passed >= 0 {
		return grown(passed, t.SlowStart)
	}
	return 0
}

// sink moves late choices behind the others, keeping the order.
func sink(dst []choice, base int) []choice {
	var late []choice
	kept := dst[:base]
	for _, c := range dst[base:] {
		if c.late {
			late = append(late, c)
		} else {
			kept = append(kept, c)
		}
	}
	return append(kept, late...)
}

// Do answers req by the first target that can. See Try.
func (p *Pool) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	r := run{pool: p, req: req, turn: p.turn.Add(1) - 1}
	resp, err := r.do(ctx)
	if r.ask.View != nil { // what goes on with the answer looks anew
		r.ask.View.Release()
		r.ask.View = nil
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Limits returns the largest context and output of the pool's targets, in
// tokens; 0: unknown. Pools that stand in a circle are looked at once.
func (p *Pool) Limits() (context, output int) {
	seen := map[*Pool]bool{}
	var walk func(p *Pool)
	walk = func(p *Pool) {
		if seen[p] {
			return
		}
		seen[p] = true
		for i := range p.Options {
			if t := p.Options[i].Target; t != nil {
				context, output = max(context, t.Context), max(output, t.MaxOutput)
			} else {
				walk(p.Options[i].Pool)
			}
		}
	}
	walk(p)
	return context, output
}

// prefixes reports whether an order of the pool, or of one in it, looks at
// prefixes: it wants to, and has engines to choose between. The options must
// not change any more.
func (p *Pool) prefixes() bool {
	p.looked.Do(p.look)
	return p.hashes
}

// see looks at the request, where a pool that it may come to wants to.
func (p *Pool) see(a *Ask) {
	if p.looked.Do(p.look); p.viewer != nil && a.View == nil {
		a.View = p.viewer(a.Req)
		a.Needs = a.View.Needs()
	}
}

// look finds out what the orders of the pool and of all that it may turn to look
// at; prefixes are its own and those in it.
func (p *Pool) look() {
	seen := map[*Pool]bool{}
	var walk func(q *Pool, inner bool)
	walk = func(q *Pool, inner bool) {
		if seen[q] {
			return
		}
		seen[q] = true
		if p.viewer == nil {
			p.viewer = q.Look
		}
		engines := 0
		for i := range q.Options {
			if o := &q.Options[i]; o.Target == nil {
				walk(o.Pool, inner)
			} else if o.Target.Engine != nil {
				engines++
			}
		}
		p.hashes = p.hashes || inner && q.Prefix && engines > 1
	}
	walk(p, true)
	for _, f := range p.Fallback {
		walk(f, false)
	}
	for i := range p.Degrade {
		if d := p.Degrade[i].Pool; d != nil {
			walk(d, false)
		}
	}
}

// Targets returns the targets of the pool and of the models in it, in the order
// of its options, each once.
func (p *Pool) Targets() []*Target {
	var all []*Target
	p.has(func(t *Target) bool {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
		return false
	})
	return all
}

// NextInLine returns the targets that are not asked while all is well: those
// behind the first priority and region, and those of fallback models. Each once.
func (p *Pool) NextInLine() []*Target {
	var all []*Target
	add := func(t *Target) bool {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
		return false
	}
	if len(p.Options) == 0 {
		return nil
	}
	for i := p.groupEnd(0); i < len(p.Options); i++ {
		if o := &p.Options[i]; o.Target != nil {
			add(o.Target)
		} else {
			o.Pool.has(add)
		}
	}
	for _, f := range p.Fallback {
		f.has(add)
	}
	return all
}

// has reports whether f holds for one of the pool's targets. Pools that stand in
// a circle are looked at once.
func (p *Pool) has(f func(*Target) bool) bool {
	seen := map[*Pool]bool{}
	var walk func(p *Pool) bool
	walk = func(p *Pool) bool {
		if seen[p] {
			return false
		}
		seen[p] = true
		return slices.ContainsFunc(p.Options, func(o Option) bool {
			if o.Target != nil {
				return f(o.Target)
			}
			return walk(o.Pool)
		})
	}
	return walk(p)
}

// Adopt puts the settings of all targets in force. See Target.Adopt.
func (p *Pool) Adopt() {
	for i := range p.Options {
		if o := &p.Options[i]; o.Target != nil {
			o.Target.Adopt()
		} else {
			o.Pool.Adopt()
		}
	}
}
