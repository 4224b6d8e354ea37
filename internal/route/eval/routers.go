package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/route/learned"
)

// Names are the routers in the order in which they are told.
var Names = []string{"always_best", "always_cheapest", "random", "rules", "learned", "oracle"}

// Routers returns what each of Names expects of the models for the prompts of
// the trial. m may know other models than the trial: of those that it does not
// know it expects what it expects of the mean of all. train are the outcomes
// that the rules' table is made of; nil: it has none.
func (t *Trial) Routers(used []learned.Example, m *learned.Model, train []learned.Example) map[string]Estimates {
	return map[string]Estimates{
		"always_best":     t.always(t.Strong),
		"always_cheapest": t.always(t.Cheap),
		"random":          t.random(),
		"rules":           t.rules(used, train),
		"learned":         t.learned(used, m),
		"oracle":          Estimates(t.quality),
	}
}

func (t *Trial) always(model int) Estimates {
	out := make(Estimates, t.Len())
	for n := range out {
		out[n] = make([]float64, len(t.Models))
		out[n][model] = math.Inf(1) // no price is a reason
	}
	return out
}

func (t *Trial) random() Estimates {
	r := rand.New(rand.NewPCG(3, 4))
	out := make(Estimates, t.Len())
	for n := range out {
		out[n] = make([]float64, len(t.Models))
		for i := range out[n] {
			out[n][i] = r.Float64()
		}
	}
	return out
}

// rules expects of a model its mean quality for the prompts of the task that the
// rules tell.
func (t *Trial) rules(used, train []learned.Example) Estimates {
	type cell struct{ sum, n float64 }
	cells := map[string][]cell{}
	for _, e := range train {
		task, _ := route.Rules(e.Prompt)
		row := cells[task]
		if row == nil {
			row = make([]cell, len(t.Models))
			cells[task] = row
		}
		for i, name := range t.Models {
			if o, ok := e.Outcomes[name]; ok {
				row[i].sum += o.Quality
				row[i].n++
			}
		}
	}
	out := make(Estimates, t.Len())
	for n, e := range used {
		task, _ := route.Rules(e.Prompt)
		out[n] = make([]float64, len(t.Models))
		for i := range out[n] {
			out[n][i] = 0.5 // of a task that is not known
			if row := cells[task]; row != nil && row[i].n > 0 {
				out[n][i] = row[i].sum / row[i].n
			}
		}
	}
	return out
}

func (t *Trial) learned(used []learned.Example, m *learned.Model) Estimates {
	at := make([]int, len(t.Models)) // of the trial's models in m's, -1: none
	for i, name := range t.Models {
		at[i] = m.Index(name)
	}
	var e learned.Estimate
	out := make(Estimates, t.Len())
	for n, x := range used {
		m.Estimate(&e, x.Prompt)
		var mean float64
		for _, q := range e.Quality {
			mean += float64(q) / float64(len(e.Quality))
		}
		out[n] = make([]float64, len(t.Models))
		for i, j := range at {
			if out[n][i] = mean; j >= 0 {
				out[n][i] = float64(e.Quality[j])
			}
		}
	}
	return out
}

// Folded is what Routers expect of prompts that they have not seen: each part of
// used is estimated by a model of the others.
func (t *Trial) Folded(used []learned.Example, folds int) (map[string]Estimates, error) {
	if t.Len() < 2*folds {
		return nil, fmt.Errorf("%d prompts have an outcome of every model: too few for %d parts", t.Len(), folds)
	}
	out := map[string]Estimates{}
	for _, name := range Names {
		out[name] = make(Estimates, t.Len())
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(t.Len())
	for f := range folds {
		var train, test []learned.Example
		var at []int
		for i, n := range order {
			if i%folds == f {
				test, at = append(test, used[n]), append(at, n)
			} else {
				train = append(train, used[n])
			}
		}
		m, err := learned.Train(train, learned.Options{})
		if err != nil {
			return nil, err
		}
		part, held := NewTrial(test, t.Models)
		part.Strong, part.Cheap = t.Strong, t.Cheap
		for name, est := range part.Routers(held, m, train) {
			for i, n := range at {
				out[name][n] = est[i]
			}
		}
	}
	return out, nil
}

// Models are all that the examples have outcomes of, sorted.
func Models(examples []learned.Example) (models []string) {
	known := map[string]bool{}
	for _, e := range examples {
		for name := range e.Outcomes {
			if !known[name] {
				known[name] = true
				models = append(models, name)
			}
		}
	}
	slices.Sort(models)
	return models
}
