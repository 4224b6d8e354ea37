package route

import (
	"math"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// table is what is known of the candidates by one learned model.
type table struct {
	model *learned.Model
	rows  []row
	// words is true where the model knows all candidates: then what it reads off the
	// words of a prompt counts, else the task alone.
	words bool
}

// row is what is known of one candidate.
type row struct {
	column int       // in the model; -1: it does not know the candidate
	tasks  []float32 // by the model's task; NaN: the model's table says
	by     []string  // whose word it is, see llm.Considered
	level  float64   // its quality over all that may be asked
}

// unknown is how much less good a model that nobody knows is taken for than the
// least of those who are known.
const unknown = 0.02

// Whose word a quality is.
const (
	byOperator = "capabilities"
	byRouter   = "learned"
)

// table returns what is known by m.
func (x *Auto) table(m *learned.Model) *table {
	if t := x.known.Load(); t != nil && t.model == m {
		return t
	}
	t := &table{model: m, words: true}
	for i := range x.candidates {
		r := row{column: -1, tasks: make([]float32, len(m.Tasks)), by: make([]string, len(m.Tasks))}
		for _, name := range x.candidates[i].Names {
			if r.column = m.Index(name); r.column >= 0 {
				break
			}
		}
		t.words = t.words && r.column >= 0
		t.rows = append(t.rows, r)
	}
	for task := range m.Tasks {
		t.fill(x.candidates, task)
	}
	var e learned.Estimate
	m.Estimate(&e, "") // what is to be expected before anything is asked
	for i := range t.rows {
		t.rows[i].level = t.quality(i, &e)
	}
	x.known.Store(t)
	return t
}

// fill says what the candidates are at a task. The operator's word counts. Others
// are compared on one scale: that of the learned model where it knows all of them,
// or more of them than the catalog does, else that of the catalog. Who is not known
// there is taken for a little less good than the least of those who are.
func (t *table) fill(candidates []Candidate, task int) {
	name := t.model.Tasks[task]
	columns, priors, others := 0, 0, 0
	for i := range candidates {
		r, c := &t.rows[i], &candidates[i]
		if q, ok := c.Capabilities[name]; ok {
			r.tasks[task], r.by[task] = float32(q), byOperator
			continue
		}
		others++
		r.tasks[task] = float32(math.NaN())
		if r.column >= 0 {
			columns++
		}
		if c.Prior != nil {
			if q, source, ok := c.Prior(name); ok {
				r.tasks[task], r.by[task] = float32(q), source
				priors++
			}
		}
	}
	learns := columns > 0 && (columns == others || columns > priors)
	least := float32(math.Inf(1))
	var e learned.Estimate
	if learns {
		t.model.Estimate(&e, "")
		t.model.Given(&e, task)
	}
	for i := range t.rows {
		r := &t.rows[i]
		switch {
		case r.by[task] == byOperator:
			if columns+priors == 0 {
				least = min(least, neutral, r.tasks[task])
			}
		case learns && r.column >= 0:
			r.tasks[task], r.by[task] = float32(math.NaN()), byRouter
			least = min(least, e.Table[r.column])
		case learns:
			r.tasks[task], r.by[task] = float32(math.NaN()), ""
		case r.by[task] != "":
			least = min(least, r.tasks[task])
		}
	}
	if math.IsInf(float64(least), 1) {
		least = neutral
	} else {
		least -= unknown
	}
	for i := range t.rows {
		if r := &t.rows[i]; r.by[task] == "" {
			r.tasks[task] = max(0, least)
		}
	}
}

// quality is what is expected of a candidate for a prompt: by task as the
// operator, the learned model or the catalog says, and what the model reads off
// the words beside its table.
func (t *table) quality(at int, e *learned.Estimate) float64 {
	r := &t.rows[at]
	table, q := float32(neutral), float32(0)
	if r.column >= 0 {
		table = e.Table[r.column]
		if t.words {
			q = e.Quality[r.column] - table
		}
	}
	for i, p := range e.Task {
		if w := r.tasks[i]; w == w {
			q += p * w
		} else {
			q += p * table
		}
	}
	return float64(min(1, max(0, q)))
}
