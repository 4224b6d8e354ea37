// Package eval measures routers on labelled outcomes: what quality each would
// have given at what cost.
package eval

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// maxModels bounds the models of a trial.
const maxModels = 256

// Trial is a set of prompts with the outcomes of every model.
type Trial struct {
	Models []string
	// Strong is the model with the best mean quality, Cheap that with the least
	// mean cost.
	Strong, Cheap int

	quality [][]float64 // by prompt and model
	cost    [][]float64
	expect  [][]float64 // cost, as far as it can be told from the prompt
}

// NewTrial takes the examples that have an outcome of every model, of which
// there are at most 256, and returns them too.
func NewTrial(examples []learned.Example, models []string) (t *Trial, used []learned.Example) {
	t = &Trial{Models: models[:min(len(models), maxModels)]}
next:
	for _, e := range examples {
		q, c := make([]float64, len(t.Models)), make([]float64, len(t.Models))
		for i, name := range t.Models {
			o, ok := e.Outcomes[name]
			if !ok {
				continue next
			}
			q[i], c[i] = o.Quality, o.Cost
		}
		t.quality, t.cost = append(t.quality, q), append(t.cost, c)
		used = append(used, e)
	}
	t.price(used)
	for i := range t.Models {
		if column(t.quality, i) > column(t.quality, t.Strong) {
			t.Strong = i
		}
		if column(t.cost, i) < column(t.cost, t.Cheap) {
			t.Cheap = i
		}
	}
	return t, used
}

// price tells what a model is expected to cost for a prompt: a line over the
// prompt's characters, fitted to all of its costs by least squares. What a prompt
// has cost is known only when it is answered, so no choice may look at it.
func (t *Trial) price(used []learned.Example) {
	size := make([]float64, len(used))
	var mean, spread float64
	for n := range used {
		size[n] = float64(utf8.RuneCountInString(used[n].Prompt))
		mean += size[n] / float64(len(used))
		t.expect = append(t.expect, make([]float64, len(t.Models)))
	}
	for _, x := range size {
		spread += (x - mean) * (x - mean)
	}
	for i := range t.Models {
		var together float64
		usual := column(t.cost, i) / float64(len(used))
		for n, x := range size {
			together += (x - mean) * (t.cost[n][i] - usual)
		}
		slope := 0.0
		if spread > 0 {
			slope = together / spread
		}
		for n, x := range size {
			t.expect[n][i] = max(0, usual+slope*(x-mean))
		}
	}
}

func column(x [][]float64, i int) (sum float64) {
	for _, row := range x {
		sum += row[i]
	}
	return sum
}

// Len is the number of prompts.
func (t *Trial) Len() int { return len(t.quality) }

// Score is a router's measure. Fields that do not apply are 0.
type Score struct {
	Quality float64 `json:"quality"` // mean, where the router weighs cost not at all
	Cost    float64 `json:"cost"`    // USD a prompt, there
	// Two models: APGR is the mean, over all shares of prompts that go to the
	// better one, of the gap in quality that is closed; SavingAt95 the share of
	// its cost not spent at 95 % of its quality.
	APGR       float64 `json:"apgr"`
	SavingAt95 float64 `json:"saving_at_95"`
	// More: GainOverBest is the quality over that of the best single model, less
	// one; SavingAtBest the share of its cost not spent at its quality.
	GainOverBest float64 `json:"gain_over_best"`
	SavingAtBest float64 `json:"saving_at_best"`
}

// Estimates are what a router expects of a model for a prompt, by prompt and
// model.
type Estimates [][]float64

// Run is a router's choices in a trial, for rising weights of cost.
type Run struct {
	t *Trial
	// chosen is the model by weight of cost, rising, and prompt; none is where the
	// weight is 0.
	chosen [][]uint8
	none   int
	// order are the prompts by what the strong of two models is expected to gain,
	// the most first; those with the same expectation lie between two of ends.
	order, ends []int
}

// steps is the number of weights of cost that are tried.
const steps = 400

// Run lets a router choose by what it estimates.
func (t *Trial) Run(est Estimates) *Run {
	r := &Run{t: t}
	for n, lambda := range t.weights(est) {
		if lambda == 0 {
			r.none = n
		}
		chosen := make([]uint8, t.Len())
		for n := range chosen {
			top := math.Inf(-1)
			for i := range t.Models { // of equals the cheaper
				u := est[n][i] - lambda*t.expect[n][i]
				if u > top || u == top && t.expect[n][i] < t.expect[n][chosen[n]] {
					chosen[n], top = uint8(i), u
				}
			}
		}
		r.chosen = append(r.chosen, chosen)
	}
	if len(t.Models) == 2 {
		r.rank(est)
	}
	return r
}

// weights are 0 and quantiles of the weights at which some choice changes. Of two
// models the dearer may be taken though it is expected to be the worse one: below 0.
func (t *Trial) weights(est Estimates) []float64 {
	var at []float64
	const most = 1 << 20 // that are looked at
	stride := 1 + t.Len()*len(t.Models)*len(t.Models)/2/most
	for n := 0; n < t.Len(); n += stride {
		for i := range t.Models {
			for j := range i {
				w := (est[n][i] - est[n][j]) / (t.expect[n][i] - t.expect[n][j])
				if (w > 0 || w < 0 && len(t.Models) == 2) && !math.IsInf(w, 0) {
					at = append(at, w)
				}
			}
		}
	}
	slices.Sort(at)
	out := []float64{0}
	if len(at) > 0 {
		least := math.Inf(1)
		for _, w := range at {
			least = min(least, math.Abs(w))
		}
		out = append(out, least/2) // of those that are expected to be equal, the cheapest
		for k := range steps {
			w := at[k*(len(at)-1)/(steps-1)]
			out = append(out, w+1e-9*math.Abs(w))
		}
		out = append(out, at[0]-math.Abs(at[0]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *Run) rank(est Estimates) {
	strong, weak := r.t.Strong, 1-r.t.Strong
	gain := func(n int) float64 { return est[n][strong] - est[n][weak] }
	for n := range est {
		r.order = append(r.order, n)
	}
	slices.SortStableFunc(r.order, func(a, b int) int { return cmp.Compare(gain(b), gain(a)) })
	for i := range r.order {
		if i+1 == len(r.order) || gain(r.order[i+1]) != gain(r.order[i]) {
			r.ends = append(r.ends, i+1)
		}
	}
}

// Score measures the choices.
func (r *Run) Score() Score {
	once := make([]float64, r.t.Len())
	for i := range once {
		once[i] = 1
	}
	return r.score(once)
}

// point is what a weight of cost gives a prompt.
type point struct{ quality, cost float64 }

// mean is the mean of each chosen model over the prompts, which count as often
// as times says.
func (t *Trial) mean(chosen []uint8, times []float64) (p point) {
	var all float64
	for n, i := range chosen {
		p.quality += times[n] * t.quality[n][i]
		p.cost += times[n] * t.cost[n][i]
		all += times[n]
	}
	return point{p.quality / all, p.cost / all}
}

func (r *Run) score(times []float64) Score {
	t := r.t
	only := func(model int) point {
		chosen := make([]uint8, t.Len())
		for i := range chosen {
			chosen[i] = uint8(model)
		}
		return t.mean(chosen, times)
	}
	best := only(t.Strong)
	share := func(x, of float64) float64 { // of nothing: 0
		if of == 0 {
			return 0
		}
		return x / of
	}
	var points []point
	for _, chosen := range r.chosen {
		points = append(points, t.mean(chosen, times))
	}
	s := Score{Quality: points[r.none].quality, Cost: points[r.none].cost}
	if len(t.Models) == 2 {
		s.APGR = share(r.closed(times), best.quality-only(1-t.Strong).quality)
		s.SavingAt95 = share(best.cost-cheapest(points, 0.95*best.quality, best.cost), best.cost)
		return s
	}
	top := points[r.none].quality
	for _, p := range points {
		top = max(top, p.quality)
	}
	s.GainOverBest = share(top-best.quality, best.quality)
	s.SavingAtBest = share(best.cost-cheapest(points, best.quality, best.cost), best.cost)
	return s
}

// cheapest is the cost of the cheapest point of at least that quality, price
// where there is none. Between neighbouring points a mixture of them serves.
func cheapest(points []point, quality, price float64) float64 {
	for i, a := range points {
		if a.quality >= quality {
			price = min(price, a.cost)
		}
		if i == 0 {
			continue
		}
		if b := points[i-1]; (a.quality < quality) != (b.quality < quality) {
			share := (quality - a.quality) / (b.quality - a.quality)
			price = min(price, a.cost+share*(b.cost-a.cost))
		}
	}
	return price
}

// closed is the mean gain in quality of a prompt, over all shares of prompts that
// go to the strong model in the order of what it is expected to gain, those of
// the same expectation in no order.
func (r *Run) closed(times []float64) float64 {
	strong, weak := r.t.Strong, 1-r.t.Strong
	var all, closed, area float64
	from := 0
	for _, end := range r.ends {
		var n, gain float64
		for _, p := range r.order[from:end] {
			n += times[p]
			gain += times[p] * (r.t.quality[p][strong] - r.t.quality[p][weak])
		}
		area += n * (closed + gain/2)
		closed += gain
		all += n
		from = end
	}
	return area / all / all
}

// Interval is a 95 % bootstrap interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// rounds is how many samples of the prompts a bootstrap draws.
const rounds = 200

// Intervals measures samples drawn from the prompts; of are the figures.
func (r *Run) Intervals(of map[string]func(Score) float64) map[string]Interval {
	draw := rand.New(rand.NewPCG(1, 2))
	all := map[string][]float64{}
	times := make([]float64, r.t.Len())
	for range rounds {
		clear(times)
		for range times {
			times[draw.IntN(len(times))]++
		}
		s := r.score(times)
		for name, figure := range of {
			all[name] = append(all[name], figure(s))
		}
	}
	out := map[string]Interval{}
	for name, x := range all {
		slices.Sort(x)
		out[name] = Interval{x[rounds*25/1000], x[rounds*975/1000-1]}
	}
	return out
}
