package route

import (
	"math"

	"github.com/sluicegate/sluice/internal/upstream"
)

// The score of an engine: 3·prefix + 2·queue + 2·(1−load) − 5·errors, each from 0
// to 1 (the scorers of the Gateway API Inference Extension, with the weights that
// did best in simulation), − 5 for each call that would wait for a place.
const (
	byPrefix = 3
	byQueue  = 2
	byLoad   = 2
	byErrors = 5
	// byPlace is more than a prefix: to wait for a place takes seconds, to read a
	// prompt tenths of one.
	byPlace = 5
	// unread is how many further calls one counts for in the queue that has no
	// content yet: its prompt is read before ours.
	unread = 4
	// shortQueue is the least difference between queues that counts as a whole
	// one, beside the shortest: that of one prompt being read.
	shortQueue = 4
	// closely is how much chance adds, so that equal engines share.
	closely = 0.01
	// most is how many engines are scored, all of them.
	most = 64
	// candidates is how many are scored of more, half of them
	// by affinity and half at random; affine is the block that says by which,
	// within what vendors cache at least.
	candidates = 4
	affine     = 15
)

// engines reports whether all options are self-hosted engines.
func engines(opts []*upstream.Option) bool {
	for _, o := range opts {
		if o.Target == nil || o.Target.Engine == nil {
			return false
		}
	}
	return true
}

// byScore orders engines by what of the prompt is in their prefix cache, how
// many calls wait there, how full they are and how they did.
func byScore(opts []*upstream.Option, a upstream.Ask) {
	d := diceOf(a)
	homes := 0
	if len(opts) > most {
		homes = shortlist(opts, a, &d)
		opts = opts[:candidates]
	}
	var space [few]room
	rooms := space[:0]
	weight, tokens, least, longest := 0.0, 0.0, math.Inf(1), 0.0
	for _, o := range opts {
		weight += o.Weight
	}
	weight /= float64(len(opts))
	for _, o := range opts {
		r := roomOf(o.Target.Engine.Load(a.Now), weight/o.Weight)
		least, longest = min(least, r.queue), max(longest, r.queue)
		tokens += r.tokens
		rooms = append(rooms, r)
	}
	tokens /= float64(len(opts))
	longest = max(longest-least, least+shortQueue)
	i := -1
	sortBy(opts, func(o *upstream.Option) float64 {
		i++
		r := &rooms[i]
		full := r.full
		if r.unknown && r.tokens > 0 { // as full as the others by what they have
			full = max(full, r.tokens/(r.tokens+tokens))
		}
		score := byPrefix*o.Target.Engine.Cached(a.Prefix) + byLoad*(1-full) + byQueue*(1-(r.queue-least)/longest)
		score -= byPlace * r.line
		score -= byErrors * o.Target.State.Errors(a.Now)
		if i < homes {
			return -score - closely*float64(homes-i+1)
		}
		return -score - closely*d.roll()
	})
}

// room is how much room an engine has.
type room struct {
	queue   float64
	tokens  float64 // under way
	full    float64 // of tokens or of places; 1: full
	unknown bool    // its size
	line    float64 // calls that would wait for a place, with one more
}

// roomOf tells the room of an engine whose calls count times as much: of two,
// one that weighs twice takes twice as many.
func roomOf(l upstream.Load, times float64) room {
	l.Calls *= times
	r := room{queue: l.Calls + unread*l.Waiting*times, tokens: l.Tokens * times, full: l.Used, unknown: l.Capacity == 0 && l.Places == 0}
	if l.Capacity > 0 {
		r.full = max(r.full, r.tokens/l.Capacity)
	}
	if l.Places > 0 {
		r.full = max(r.full, l.Calls/l.Places)
		r.line = max(0, l.Calls+1-l.Places)
	}
	return r
}

// shortlist brings the candidates of many engines to the front: homes by
// rendezvous on the beginning of the prompt, so that some engine comes to have
// it, the rest at random.
func shortlist(opts []*upstream.Option, a upstream.Ask, d *dice) (homes int) {
	front := 0
	if n := len(a.Prefix); n > 0 {
		h := a.Prefix[min(n-1, affine)]
		for ; front < candidates/2; front++ {
			best, at := 0.0, front
			for i := front; i < len(opts); i++ {
				if s := affinity(opts[i], h); s > best {
					best, at = s, i
				}
			}
			opts[front], opts[at] = opts[at], opts[front]
		}
	}
	homes = front
	for ; front < candidates; front++ {
		at := front + d.below(len(opts)-front)
		opts[front], opts[at] = opts[at], opts[front]
	}
	return homes
}
