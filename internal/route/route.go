// Package route decides where a request goes first. It orders and never
// calls: a strategy is a function over the options that can be asked.
package route

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// strategy is a row of the table.
type strategy struct {
	name  string
	order upstream.Order
	// sticky: a conversation may override the order, since the order is
	// about shares or load. Where it is about a fact (a price, the
	// operator's list) it stands, and only the credential is kept.
	sticky bool
}

// The configuration accepts exactly these names.
var strategies = []strategy{
	{"weighted", weighted, true},
	{"round_robin", roundRobin, true},
	{"latency_based", latencyBased, true},
	{"cost_optimized", costOptimized, false},
	{"least_busy", leastBusy, true},
	{"adaptive", adaptive, true},
	{"ordered", ordered, false},
}

// Strategies returns the names in the table's order.
func Strategies() []string {
	names := make([]string, len(strategies))
	for i, s := range strategies {
		names[i] = s.name
	}
	return names
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
	if conversation == nil || !s.sticky {
		return s.order, conversation, true
	}
	return func(opts []*upstream.Option, req *llm.Request, turn uint64) {
		if h := conversation(req); h != 0 {
			rendezvous(opts, h)
			return
		}
		s.order(opts, req, turn)
	}, conversation, true
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
		if u := req.Body.User(); u != "" {
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
func rendezvous(opts []*upstream.Option, conversation uint64) {
	score := func(o *upstream.Option) float64 {
		u := (float64(upstream.Mix(conversation, o.ID)>>11) + 0.5) / (1 << 53)
		return -o.Weight / math.Log(u)
	}
	sortBy(opts, func(o *upstream.Option) float64 { return -score(o) })
}

// sortBy orders opts by rising key, computing each key once. Equal keys keep
// their order.
func sortBy(opts []*upstream.Option, key func(*upstream.Option) float64) {
	var space [16]float64
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

// weighted draws without replacement, each draw by weight (Efraimidis and
// Spirakis: the order of −ln(u)/w).
func weighted(opts []*upstream.Option, _ *llm.Request, _ uint64) {
	sortBy(opts, func(o *upstream.Option) float64 { return rand.ExpFloat64() / o.Weight })
}

// roundRobin begins one further with each turn.
func roundRobin(opts []*upstream.Option, _ *llm.Request, turn uint64) {
	rotate(opts, int(turn%uint64(len(opts))))
}

func rotate(opts []*upstream.Option, n int) {
	slices.Reverse(opts[:n])
	slices.Reverse(opts[n:])
	slices.Reverse(opts)
}

// latencyBased takes the least expected time to the first token.
func latencyBased(opts []*upstream.Option, req *llm.Request, _ uint64) {
	sortBy(opts, func(o *upstream.Option) float64 { return float64(o.Latency(req.Stream)) })
}

// costOptimized takes the least expected price; unknown prices come last.
func costOptimized(opts []*upstream.Option, req *llm.Request, _ uint64) {
	sortBy(opts, func(o *upstream.Option) float64 {
		cost, known := o.Cost(req)
		if !known {
			return math.Inf(1)
		}
		return float64(cost)
	})
}

// leastBusy takes the fewest calls in flight for its weight; ties are drawn.
func leastBusy(opts []*upstream.Option, _ *llm.Request, _ uint64) {
	rand.Shuffle(len(opts), func(i, j int) { opts[i], opts[j] = opts[j], opts[i] })
	sortBy(opts, func(o *upstream.Option) float64 { return float64(o.InFlight()) / o.Weight })
}

// adaptive takes the better of two drawn at random (Mitzenmacher's power of
// two choices), by expected time to the first token × (in flight + 1) ÷
// weight; the others follow by the same measure.
func adaptive(opts []*upstream.Option, req *llm.Request, _ uint64) {
	rand.Shuffle(len(opts), func(i, j int) { opts[i], opts[j] = opts[j], opts[i] })
	load := func(o *upstream.Option) float64 {
		d := max(o.Latency(req.Stream), time.Millisecond)
		return float64(d) * float64(o.InFlight()+1) / o.Weight
	}
	if len(opts) > 1 && load(opts[1]) < load(opts[0]) {
		opts[0], opts[1] = opts[1], opts[0]
	}
	sortBy(opts[1:], load)
}

// ordered keeps the order of the file.
func ordered([]*upstream.Option, *llm.Request, uint64) {}
