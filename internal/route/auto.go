package route

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// MaxChoice bounds the models that one pool chooses between.
const MaxChoice = llm.MaxConsidered

// prefer is what counts for how much in a choice: a row of the table.
type prefer struct {
	name string
	// lambda is what the cost of the request at the dearest candidate is worth in
	// quality; mu is what a second is worth that the first token comes after pace.
	lambda, mu float64
}

// preferences are the presets of the dial. With balanced, a model that costs next
// to nothing beside the dearest may be 0.08 worse, in quality from 0 to 1; with
// quality, no more than a tie.
var preferences = []prefer{
	{"quality", 0.01, 0.01},
	{"balanced", 0.08, 0.05},
	{"cost", 0.4, 0.02},
	{"latency", 0.03, 0.5},
}

const (
	// pace is how long the first token may take before that counts, in ms.
	pace = 500
	// longest bounds what lateness counts, in seconds.
	longest = 10
	// neutral is the quality of a model of which nothing is known (as in the rules
	// that RequestClassifier states).
	neutral = 0.5
	// priors is how many judged answers the expected quality counts as, beside the
	// tenant's own evidence.
	priors = 50
	// band is how much better another model must be for a conversation to leave
	// the one that it is with.
	band = 0.01
	// tier is how much less quality, over all tasks, makes a lesser model; loyalty is
	// how much better it must be for a conversation to go there whose prompt is in the
	// vendor's cache.
	tier, loyalty = 0.02, 0.1
	// behind puts options behind all others, in their order.
	behind = -100
)

// What a request's context does to the weights: money counts four times, or a
// quarter, and less quality is enough; a latency-critical request's seconds count
// eight times and at least by leastMu.
const (
	lowBudget, highBudget = 4, 0.25
	lowEnough             = 0.9
	critical, leastMu     = 8, 0.4
)

// What is taken where a capability is not configured (RequestClassifier's).
const (
	noCostEfficient = 0.8
	noSafety        = 0.7
	noLatency       = 500 // ms
)

// Evidence is what is known of a tenant's own traffic.
type Evidence interface {
	// Quality is how good a target's answers to a task are expected to be, 0 to 1,
	// where prior was thought and that is worth weight answers. Safe for concurrent
	// use.
	Quality(target, task string, prior, weight float64, now time.Time) float64
}

// Candidate is what is known of one of the models that an Auto chooses between.
type Candidate struct {
	Name  string   // of the option
	Names []string // by which the learned router may know it, the best first
	// Capabilities are the operator's word, by task.
	Capabilities map[string]float64
	// Prior is the catalog's word for a task, and where it is from; ok is false where
	// it has none. nil: it has none.
	Prior func(task string) (quality float64, source string, ok bool)
}

// Dial says what an Auto goes by. One of its fields is set; none: balanced.
type Dial struct {
	Prefer string // one of Preferences
	// Quality is the share of the best candidate's expected quality that is good
	// enough: the cheapest such goes first.
	Quality float64
	// MaxCost is what a request may be expected to cost: the best such goes first.
	MaxCost llm.Money
}

// Auto chooses between models by what is asked. Safe for concurrent use.
type Auto struct {
	name       string
	dial       Dial
	prefer     prefer
	screen     *upstream.Screen
	candidates []Candidate // by upstream.Option.Place
	ids        []uint32    // of their names, see talk
	rules      bool
	evidence   Evidence
	memory     *Memory
	efficient  bool // some candidate has cost_efficient
	safe       bool // some candidate has safety

	known atomic.Pointer[table]
}

// AutoSettings make an Auto.
type AutoSettings struct {
	Name       string // of its pool
	Candidates []Candidate
	Dial       Dial
	Screen     *upstream.Screen // the pool's
	Rules      bool             // patterns classify, and their scores rank
	Evidence   Evidence         // nil: there is none
	Memory     *Memory          // nil: conversations go anywhere
}

// NewAuto makes an Auto of at most MaxChoice candidates.
func NewAuto(s AutoSettings) *Auto {
	x := &Auto{name: s.Name, dial: s.Dial, screen: s.Screen, candidates: s.Candidates, rules: s.Rules, evidence: s.Evidence, memory: s.Memory}
	name := s.Dial.Prefer
	switch {
	case s.Dial.MaxCost > 0:
		name = "quality"
	case s.Dial.Quality > 0:
		name = "cost"
	case name == "":
		name = "balanced"
	}
	for _, p := range preferences {
		if p.name == name {
			x.prefer = p
		}
	}
	if s.Dial.Quality > 0 { // the price alone
		x.prefer.mu = 0
	}
	if s.Dial.MaxCost > 0 { // what fits may cost what it does
		x.prefer.lambda = 0
	}
	for _, c := range s.Candidates {
		_, efficient := c.Capabilities["cost_efficient"]
		_, safe := c.Capabilities["safety"]
		x.efficient, x.safe = x.efficient || efficient, x.safe || safe
		x.ids = append(x.ids, upstream.TaskID(c.Name))
	}
	return x
}

// by is whose word the candidate's quality at a request's task is.
func (x *Auto) by(at int, v *View) string {
	c := &x.candidates[at]
	if _, ok := c.Capabilities[v.task]; ok && (x.rules || v.said != "") {
		return byOperator
	}
	if x.rules {
		return ""
	}
	t := x.table(v.model)
	best, _ := v.est.Best()
	return t.rows[at].by[best]
}

// rank is what an Order found of an option.
type rank struct {
	option  *upstream.Option
	face    *upstream.Target
	quality float64
	utility float64
	key     float64 // the order is by it, the largest first
	cost    llm.Money
	latency float64 // ms; 0: unknown
}

// Order is the pool's order.
func (x *Auto) Order(opts []*upstream.Option, a upstream.Ask) {
	v, ok := a.View.(*View)
	if !ok {
		return
	}
	v.classify(x.rules)
	opts = opts[:min(len(opts), MaxChoice)]
	v.ranked = len(opts)
	ranks := v.ranks[:v.ranked]
	for i, o := range opts {
		r := &ranks[i]
		*r = rank{option: o, face: o.Face(x.screen, &a)}
		if r.face != nil {
			r.latency = float64(r.face.State.LatencyAt(a.Now, a.Req.Stream, r.face.Prior)) / 1e6
			r.cost = r.face.Expect(&a, 0)
		}
	}
	if x.rules {
		x.score(v, &a)
	} else {
		x.weigh(v, &a)
	}
	for i := 1; i < len(ranks); i++ {
		j, r := i, ranks[i]
		for ; j > 0 && r.key > ranks[j-1].key; j-- {
			ranks[j] = ranks[j-1]
		}
		ranks[j] = r
	}
	for i := range ranks {
		opts[i] = ranks[i].option
	}
}

// score ranks by the rules: what a candidate can do, times what the context says.
func (x *Auto) score(v *View, a *upstream.Ask) {
	ctx := &a.Req.Context
	for i := range v.ranks[:v.ranked] {
		r := &v.ranks[i]
		caps := x.candidates[r.option.Place].Capabilities
		s := capability(caps, v.task, neutral)
		if ctx.Budget == "low" {
			s *= capability(caps, "cost_efficient", noCostEfficient)
		}
		if ctx.LatencyCritical {
			ms := r.latency
			if ms == 0 {
				ms = noLatency
			}
			s *= max(0, 1-ms/1000)
		}
		if ctx.SafetyCritical {
			s *= capability(caps, "safety", noSafety)
		}
		r.quality, r.utility, r.key = s, s, s
	}
}

func capability(caps map[string]float64, word string, otherwise float64) float64 {
	if c, ok := caps[word]; ok {
		return c
	}
	return otherwise
}

// weigh ranks by utility: expected quality − λ·cost − μ·lateness.
func (x *Auto) weigh(v *View, a *upstream.Ask) {
	t := x.table(v.model)
	v.estimate()
	v.talk = talk{}
	if x.memory != nil && a.Talk != 0 {
		v.talk = x.memory.recall(x.key(a), a.Now)
	}
	ranks := v.ranks[:v.ranked]
	lambda, mu := x.weights(&a.Req.Context)
	enough := x.enough(&a.Req.Context)
	var now time.Time
	if x.evidence != nil {
		now = time.Now()
	}
	var dearest llm.Money
	best := 0.0
	for i := range ranks {
		r := &ranks[i]
		x.expect(r, v, t, a, now)
		dearest, best = max(dearest, r.cost), max(best, r.quality)
	}
	for i := range ranks {
		r := &ranks[i]
		cost := r.cost
		if r.face != nil && r.face.Price == nil && r.face.Engine == nil { // unknown is not free
			cost = dearest
		}
		late := mu * min(longest, max(0, r.latency-pace)/1000)
		switch {
		case x.dial.Quality == 0:
			r.utility = r.quality - lambda*ratio(cost, dearest) - late
			r.key = r.utility
		case r.quality >= enough*best: // what remains is the price
			r.utility = 1 - ratio(cost, dearest) - late
			r.key = r.utility
		default:
			r.utility = r.quality - 1
			r.key = behind + r.utility
		}
		if a.Needs.Can != 0 && r.face != nil && r.face.Can == 0 { // it may be able to
			r.key += behind
		}
	}
	x.stay(v, t, a.Now)
}

// enough is the share of the best quality that is good enough.
func (x *Auto) enough(ctx *llm.Context) float64 {
	switch ctx.Budget {
	case "low":
		return x.dial.Quality * lowEnough
	case "high":
		return (1 + x.dial.Quality) / 2
	}
	return x.dial.Quality
}

// ratio is a cost as a part of the dearest.
func ratio(cost, dearest llm.Money) float64 {
	if dearest == 0 {
		return 0
	}
	return float64(cost) / float64(dearest)
}

// weights are λ, in quality for the cost of the dearest, and μ, for a second.
func (x *Auto) weights(ctx *llm.Context) (lambda, mu float64) {
	lambda, mu = x.prefer.lambda, x.prefer.mu
	switch ctx.Budget {
	case "low":
		lambda *= lowBudget
	case "high":
		lambda *= highBudget
	}
	if ctx.LatencyCritical {
		mu = max(critical*mu, leastMu)
	}
	return lambda, mu
}

// expect fills in what is expected of a candidate.
func (x *Auto) expect(r *rank, v *View, t *table, a *upstream.Ask, now time.Time) {
	at, ctx := r.option.Place, &a.Req.Context
	caps := x.candidates[at].Capabilities
	if q, ok := caps[v.task]; ok && v.said != "" {
		r.quality = q
	} else {
		r.quality = t.quality(at, &v.est)
	}
	if x.evidence != nil && r.face != nil {
		r.quality = x.evidence.Quality(r.face.ID, v.task, r.quality, priors, now)
	}
	if ctx.Budget == "low" && x.efficient {
		r.quality *= capability(caps, "cost_efficient", noCostEfficient)
	}
	if ctx.SafetyCritical && x.safe {
		r.quality *= capability(caps, "safety", noSafety)
	}
	if r.face != nil && v.talk.key != 0 && v.talk.who == x.ids[at] {
		r.cost = r.face.Expect(a, v.talk.cached(a.Now))
	}
}

// stay keeps a conversation with the model that it is with, where others are no
// better by as much as the band; and from lesser ones, while its prompt is in the
// cache, that are no better by as much as loyalty asks.
func (x *Auto) stay(v *View, t *table, now int64) {
	if v.talk.key == 0 {
		return
	}
	ranks := v.ranks[:v.ranked]
	i := slices.IndexFunc(ranks, func(r rank) bool { return x.ids[r.option.Place] == v.talk.who })
	if i < 0 {
		return
	}
	ranks[i].key += band
	if v.talk.cached(now) == 0 {
		return
	}
	least := t.rows[ranks[i].option.Place].level - tier
	for i := range ranks {
		if t.rows[ranks[i].option.Place].level < least {
			ranks[i].key -= loyalty
		}
	}
}

// key is that of a conversation with the pool. What no client names as a session
// is one only as far as its first turn is the same: one key of a cache, or one
// user, may stand for all that an app asks.
func (x *Auto) key(a *upstream.Ask) uint64 {
	h := upstream.Mix(a.Talk, x.name)
	if a.Req.Caller.Session == "" {
		h = opening(h, a.Req)
	}
	return h | 1
}

// openingBytes bounds how much of a block of the first turn tells conversations
// apart.
const openingBytes = 1 << 10

// openings seeds the hashes of first turns, which no other process has to know.
var openings = maphash.MakeSeed()

// opening mixes the first turn of the user into h.
func opening(h uint64, req *llm.Request) uint64 {
	if req.Body == nil {
		return h
	}
	chat, _ := req.Body.Chat()
	if chat == nil {
		return h
	}
	for i := range chat.Messages {
		m := &chat.Messages[i]
		if m.Role != llm.RoleUser {
			continue
		}
		for j := range m.Blocks {
			text := m.Blocks[j].Text
			h = upstream.Mix(h+uint64(len(text))^maphash.String(openings, text[:min(len(text), openingBytes)]), "")
		}
		break
	}
	return h
}

// Took hears that an option answers.
func (x *Auto) Took(o *upstream.Option, a upstream.Ask) {
	if x.memory == nil || x.rules || a.Talk == 0 {
		return
	}
	tokens := a.Needs.Tokens
	if tokens == 0 {
		tokens = a.Req.InputTokens()
	}
	x.memory.note(x.key(&a), x.ids[o.Place], tokens, a.Now)
}
