package route

import (
	"math"

	"github.com/sluicegate/sluice/internal/upstream"
)

const (
	// leastTime to the first token that is told from none, in ns.
	leastTime = 1e6
	// errorCost is how much a share of failures costs: one call in ten that
	// fails is as bad as twice the time.
	errorCost = 10
	// leastPart is the least part of its weight that an option keeps, whatever
	// its performance.
	leastPart = 1. / 16
	// astray is how much worse than the best a conversation's home may be. What
	// it has there, a warm prompt cache, makes the first token come up to five
	// times sooner (OpenAI's and Anthropic's documented savings).
	astray = 4
	// quick is a time to the first token, in ns, that no home is left for: it
	// is as good as the best.
	quick = 100e6
	// few is how many options are looked at with no allocation.
	few = 16
)

// worth is an option as it did lately, in a decision.
type worth struct {
	cost float64 // expected time to the first token, made longer by failures
	part float64 // weight by performance
	load float64 // cost with what is in flight
}

// appraise measures the options. An option of which nothing is known, or
// nothing any more, counts as the best one, so that it is asked. Its calls in
// flight count each until it has answered; those of the others against what the
// options have on average, since a stream that is being written says little of
// how long the next one waits. probe is the index of an option whose breaker
// waits for a call, -1 for none.
func appraise(dst []worth, opts []*upstream.Option, a upstream.Ask) (all []worth, probe int) {
	var space [few]upstream.Measure
	measures := space[:0]
	least, weight, calls := math.Inf(1), 0.0, 0.0
	probe = -1
	for i, o := range opts {
		m := o.Measure(a.Now, a.Req.Stream)
		if m.Probe && probe < 0 {
			probe = i
		}
		if m.Latency > 0 {
			least = min(least, m.Latency)
		}
		weight += o.Weight
		calls += float64(m.InFlight)
		measures = append(measures, m)
	}
	if math.IsInf(least, 1) {
		least = 0
	}
	least = max(least, leastTime)
	weight /= float64(len(opts))
	calls = max(1, calls/float64(len(opts)))
	for i, o := range opts {
		m := &measures[i]
		latency := least + max(0, m.Latency-least)*m.Trust
		w := worth{cost: latency * (1 + errorCost*m.Errors)}
		well := (1 - m.Errors) * (1 - m.Errors)
		w.part = o.Weight * max(leastPart, math.Sqrt(least/latency)*well*well)
		w.load = w.cost * (1 + float64(m.InFlight)*weight/o.Weight*(m.Fresh/calls+1-m.Fresh))
		dst = append(dst, w)
	}
	return dst, probe
}

// adaptive draws two options by weight and performance and takes the better
// one (Mitzenmacher's power of two choices); the others follow from the best
// on.
//
// The weight of an option is part: w·(least/ttft)^0.5·success⁴, at least a
// sixteenth of w. What is compared is load: ttft·(1+10·errors)·(1+in flight/w).
// The call itself is not divided by w, so that the shares of an idle pool are
// the weights. The means behind it move within ten seconds and are never
// exact, so the comparison is soft: the second option that was drawn takes the
// place of the first with the chance 1−(its load/the first's)³. Equal options
// stay equal whatever the noise, and one that is 10 times worse is taken once in
// 1,000 draws.
//
// Engines are chosen between by score.
func adaptive(opts []*upstream.Option, a upstream.Ask) {
	if engines(opts) {
		byScore(opts, a)
		return
	}
	var space [few]worth
	all, probe := appraise(space[:0], opts, a)
	if probe >= 0 { // one call finds out
		swap(opts, all, 0, probe)
	} else if len(opts) > 1 {
		d := diceOf(a)
		draw(opts, all, 0, &d)
		draw(opts, all, 1, &d)
		if r := all[1].load / all[0].load; d.roll() > r*r*r {
			swap(opts, all, 0, 1)
		}
	}
	for i := 2; i < len(opts); i++ {
		for j := i; j > 1 && all[j].load < all[j-1].load; j-- {
			swap(opts, all, j, j-1)
		}
	}
}

// draw brings one of the options from at on to at, by weight.
func draw(opts []*upstream.Option, all []worth, at int, d *dice) {
	sum := 0.0
	for _, w := range all[at:] {
		sum += w.part
	}
	x := d.roll() * sum
	for i := at; i < len(all); i++ {
		if x -= all[i].part; x < 0 || i == len(all)-1 {
			swap(opts, all, at, i)
			return
		}
	}
}

func swap(opts []*upstream.Option, all []worth, i, j int) {
	opts[i], opts[j] = opts[j], opts[i]
	all[i], all[j] = all[j], all[i]
}

// adaptiveHome is rendezvous, in which options that do much worse than the best
// come last: a conversation leaves a home that is not well, for the next of its
// order, and returns when it is.
func adaptiveHome(opts []*upstream.Option, a upstream.Ask, conversation uint64) {
	var space [few]worth
	all, probe := appraise(space[:0], opts, a)
	best := math.Inf(1)
	for _, w := range all {
		best = min(best, w.cost)
	}
	best = max(best, quick)
	i := -1
	sortBy(opts, func(o *upstream.Option) float64 {
		i++
		key := -affinity(o, conversation)
		if all[i].cost > astray*best && i != probe {
			return -1 / key // behind all, in the same order
		}
		return key
	})
}
