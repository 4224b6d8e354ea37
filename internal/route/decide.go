package route

import (
	"fmt"
	"math"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Decide tells what the last Order for the request decided.
func (x *Auto) Decide(ranked []*upstream.Option, out []llm.Considered, a upstream.Ask) *llm.Decision {
	v, ok := a.View.(*View)
	if !ok {
		return nil
	}
	d := &llm.Decision{Router: "learned", Task: v.task, Confidence: digits(v.confidence, 1e4), Language: v.show().Language}
	if x.rules {
		d.Router = "rules"
	} else {
		d.Coverage = digits(float64(v.est.Coverage), 1e4)
	}
	n := 0
	if len(ranked) > 0 {
		n = v.ranked
	}
	d.Considered = make([]llm.Considered, 0, min(n+len(out), llm.MaxConsidered))
	for i := range v.ranks[:n] {
		r := &v.ranks[i]
		c := llm.Considered{Model: r.option.ID, Utility: digits(r.utility, 1e5), Quality: digits(r.quality, 1e5), Cost: r.cost, LatencyMS: digits(r.latency, 10)}
		c.By = x.by(r.option.Place, v)
		if r.face != nil {
			c.Target = r.face.ID
		}
		d.Considered = append(d.Considered, c)
	}
	d.Reason = x.reason(v, n)
	d.Considered = append(d.Considered, out[:min(len(out), cap(d.Considered)-n)]...)
	return d
}

// digits rounds x to a part of one.
func digits(x, part float64) float64 { return math.Round(x*part) / part }

// reason tells a decision in a sentence.
func (x *Auto) reason(v *View, ranked int) string {
	if ranked == 0 {
		return "nobody can be asked"
	}
	if x.rules {
		return "Best for " + v.task + " tasks"
	}
	task := fmt.Sprintf("%s (%.2f)", v.task, v.confidence)
	if v.said != "" {
		task = v.task + ", as the request says"
	}
	by := "prefer: " + x.prefer.name
	switch d := x.dial; {
	case d.Quality > 0:
		by = fmt.Sprintf("the cheapest of those with %g of the best expected quality", d.Quality)
	case d.MaxCost > 0:
		by = "the best of those that are expected to cost at most " + d.MaxCost.String() + " USD"
	}
	if r := &v.ranks[0]; v.talk.key != 0 && x.ids[r.option.Place] == v.talk.who {
		return task + "; " + by + "; the conversation stays where it is"
	}
	return task + "; " + by
}
