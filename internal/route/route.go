// Package route decides where a request goes first. It orders and never
// calls: a strategy is a function over the options that can be asked.
package route

import (
	"math"
	"slices"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// strategy is a row of the table.
type strategy struct {
	name  string
	order upstream.Order
	// home orders for a conversation, which may override the order since that
	// is about shares or load; nil where the order is about a fact (a price,
	// the operator's list): it stands, only the credential is kept, nobody is
	// ejected as an outlier, and what came back has its whole share at once.
	home func(opts []*upstream.Option, a upstream.Ask, conversation uint64)
}

// The configuration accepts exactly these names.
var strategies = []strategy{
	{"weighted", weighted, rendezvous},
	{"round_robin", roundRobin, rendezvous},
	{"latency_based", latencyBased, rendezvous},
	{"cost_optimized", costOptimized, nil},
	{"least_busy", leastBusy, rendezvous},
	{"adaptive", adaptive, adaptiveHome},
	{"ordered", ordered, nil},
}

// Strategies returns the names in the table's order.
func Strategies() []string {
	names := make([]string, len(strategies))
	for i, s := range strategies {
		names[i] = s.name
	}
	return names
}

// Spreads reports whether a strategy is about shares or load.
func Spreads(name string) bool {
	return slices.ContainsFunc(strategies, func(s strategy) bool { return s.name == name && s.home != nil })
}

// New returns the order of a strategy with an affinity of "auto", "off",
// "session" or "user", and the function that finds a request's conversation,
// nil where affinity is off. ok is false for a name that is no strategy.
func New(name, affinity string) (order upstream.Order, conversation func(*llm.Request) uint64, ok bool) {
	i := slices.IndexFunc(strategies, func(s strategy) bool { return s.name == name })
	if i < 0 {
		return nil, nil, false
	}
	s := strategies[i]
	conversation = conversations[affinity]
	if s.home == nil {
		return s.order, conversation, true
	}
	hashed := Prefixes(name, affinity)
	return func(opts []*upstream.Option, a upstream.Ask) {
		if conversation != nil && !(hashed && engines(opts)) { // whose caches are known by the prompt itself
			if h := conversation(a.Req); h != 0 {
				s.home(opts, a, h)
				return
			}
		}
		s.order(opts, a)
		ease(opts, a)
	}, conversation, true
}

// Conversation returns the function that finds a request's conversation by an
// affinity, nil where that is off.
func Conversation(affinity string) func(*llm.Request) uint64 { return conversations[affinity] }

// Prefixes reports whether the order of a strategy with an affinity looks at
// the prefixes of prompts where it chooses between engines.
func Prefixes(name, affinity string) bool { return name == "adaptive" && affinity == "auto" }

// ease lets an option that came back a short while ago have its growing part of
// the share that the strategy gives it: the rest of the time the next one goes
// first. Where all came back, the order stands.
func ease(opts []*upstream.Option, a upstream.Ask) {
	d := ^diceOf(a) // not the numbers that the strategy drew
	for range opts {
		if part := opts[0].Ramp(); part == 1 || d.roll() < part {
			return
		}
		rotate(opts, 1)
	}
}

// conversations finds what keeps requests together, by affinity. 0: nothing.
var conversations = map[string]func(*llm.Request) uint64{
	"auto": func(req *llm.Request) uint64 {
		if h := session(req); h != 0 {
			return h
		}
		if h, ok := req.Body.Conversation(); ok {
			return upstream.Mix(h, req.Caller.Key) | 1
		}
		return 0
	},
	"session": session,
	"user": func(req *llm.Request) uint64 {
		if u := req.EndUser(); u != "" {
			return upstream.Mix(upstream.Mix(2, req.Caller.Key), u) | 1
		}
		return session(req)
	},
}

func session(req *llm.Request) uint64 {
	if req.Caller.Session == "" {
		return 0
	}
	return upstream.Mix(upstream.Mix(1, req.Caller.Key), req.Caller.Session) | 1
}

// rendezvous orders by weighted rendezvous hashing (Wang et al., "Weighted
// rendezvous hashing": score −w/ln u): each conversation has its own order,
// shares follow the weights, and an option that comes or goes moves only the
// conversations it wins or had.
func rendezvous(opts []*upstream.Option, _ upstream.Ask, conversation uint64) {
	sortBy(opts, func(o *upstream.Option) float64 { return -affinity(o, conversation) })
}

func affinity(o *upstream.Option, conversation uint64) float64 {
	u := (float64(upstream.Mix(conversation, o.ID)>>11) + 0.5) / (1 << 53)
	return -o.Weight * o.Ramp() / math.Log(u)
}

// sortBy orders opts by rising key, computing each key once. Equal keys keep
// their order.
func sortBy(opts []*upstream.Option, key func(*upstream.Option) float64) {
	var space [few]float64
	keys := space[:0]
	for _, o := range opts {
		keys = append(keys, key(o))
	}
	for i := 1; i < len(opts); i++ {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
			opts[j], opts[j-1] = opts[j-1], opts[j]
		}
	}
}

// dice are the random numbers of one decision, made of its turn (SplitMix64):
// what is told of a decision beforehand is what comes.
type dice uint64

func diceOf(a upstream.Ask) dice { return dice(a.Turn ^ uint64(a.Depth)<<48) }

// roll returns a number of [0, 1).
func (d *dice) roll() float64 {
	*d += 0x9e3779b97f4a7c15
	h := uint64(*d)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return float64((h^h>>31)>>11) / (1 << 53)
}

// below returns a whole number of [0, n).
func (d *dice) below(n int) int { return int(d.roll() * float64(n)) }

func (d *dice) shuffle(opts []*upstream.Option) {
	for i := len(opts) - 1; i > 0; i-- {
		j := d.below(i + 1)
		opts[i], opts[j] = opts[j], opts[i]
	}
}

// weighted draws without replacement, each draw by weight (Efraimidis and
// Spirakis: the order of −ln(u)/w).
func weighted(opts []*upstream.Option, a upstream.Ask) {
	d := diceOf(a)
	sortBy(opts, func(o *upstream.Option) float64 { return -math.Log(1-d.roll()) / o.Weight })
}

// roundRobin begins one further with each turn.
func roundRobin(opts []*upstream.Option, a upstream.Ask) {
	rotate(opts, int(a.Turn%uint64(len(opts))))
}

func rotate(opts []*upstream.Option, n int) {
	slices.Reverse(opts[:n])
	slices.Reverse(opts[n:])
	slices.Reverse(opts)
}

// latencyBased takes the least expected time to the first token.
func latencyBased(opts []*upstream.Option, a upstream.Ask) {
	sortBy(opts, func(o *upstream.Option) float64 { return float64(o.Latency(a.Req.Stream)) })
}

// costOptimized takes the least expected price; unknown prices come last.
func costOptimized(opts []*upstream.Option, a upstream.Ask) {
	sortBy(opts, func(o *upstream.Option) float64 {
		cost, known := o.Cost(a.Req)
		if !known {
			return math.Inf(1)
		}
		return float64(cost)
	})
}

// leastBusy takes the fewest calls in flight for its weight; ties are drawn.
func leastBusy(opts []*upstream.Option, a upstream.Ask) {
	d := diceOf(a)
	d.shuffle(opts)
	sortBy(opts, func(o *upstream.Option) float64 { return float64(o.InFlight()) / o.Weight })
}

// ordered keeps the order of the file.
func ordered([]*upstream.Option, upstream.Ask) {}
