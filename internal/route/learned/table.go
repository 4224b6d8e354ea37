package learned

import "math"

// cell is how many outcomes of what is expected a cell of the table begins with.
const cell = 5

// tally is a sum of n.
type tally struct{ sum, n float64 }

func (t *tally) add(x tally) { t.sum, t.n = t.sum+x.sum, t.n+x.n }

// less is the tally of what is added up, each less by x.
func (t tally) less(x float64) tally { return tally{t.sum - t.n*x, t.n} }

// mean is the mean, drawn to what is expected where there is little.
func (t tally) mean(expected float64) float64 { return (t.sum + cell*expected) / (t.n + cell) }

// tables fills what is not learned word by word: the prior of the topics, the
// trust in each model's linear estimate and where that begins, and the table. A
// cell is expected to be what the topic and the model are on average, together;
// the model's outcomes of the task and then of the topic move it from there, the
// more the more there are.
func (t *trainer) tables() {
	m := t.m
	cells := make([][]tally, len(m.Models)) // by model and topic
	seen := make([]tally, len(m.Topics))
	for i := range cells {
		cells[i] = make([]tally, len(m.Topics))
	}
	for _, s := range t.samples {
		seen[s.topic].n++
		for i, q := range s.quality {
			if q == q {
				cells[i][s.topic].add(tally{float64(q), 1})
			}
		}
	}
	topics, models := m.additive(cells)
	for i, of := range cells {
		task, all := make([]tally, len(m.Tasks)), tally{}
		for j, c := range of {
			task[m.task[j]].add(c.less(topics[j] + models[i]))
			all.add(c)
		}
		row := make([]float32, len(m.Topics))
		for j, c := range of {
			base := topics[j] + models[i]
			q := base + c.less(base).mean(task[m.task[j]].mean(0))
			row[j] = float32(min(1, max(0, q)))
		}
		m.table = append(m.table, row)
		m.trust = append(m.trust, float32(all.n/(all.n+half)))
		t.b[len(m.Topics)+i] = logit(all.mean(0.5))
	}
	m.prior = m.expect(seen)
}

func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

// additive fits what a topic is on average over models, and what a model is
// beside others, in turn, so that models that were tried on other prompts can be
// compared through the topics that they share.
func (m *Model) additive(cells [][]tally) (topics, models []float64) {
	topics, models = make([]float64, len(m.Topics)), make([]float64, len(m.Models))
	for range 300 { // two sets of outcomes that share one topic in ten have met by then
		topic, task, all := make([]tally, len(m.Topics)), make([]tally, len(m.Tasks)), tally{}
		for i, of := range cells {
			for j, c := range of {
				c = c.less(models[i])
				topic[j].add(c)
				task[m.task[j]].add(c)
				all.add(c)
			}
		}
		for j := range topics {
			topics[j] = topic[j].mean(task[m.task[j]].mean(all.mean(0.5)))
		}
		for i, of := range cells {
			var rest tally
			for j, c := range of {
				rest.add(c.less(topics[j]))
			}
			models[i] = rest.sum / max(1, rest.n)
		}
	}
	return topics, models
}

// expect is the prior of the topics: those of General where there are any, else
// as often as they were seen.
func (m *Model) expect(seen []tally) []float32 {
	general := make([]tally, len(seen))
	var all, some tally
	for j, t := range seen {
		all.add(t)
		if m.Tasks[m.task[j]] == General {
			general[j] = t
			some.add(t)
		}
	}
	if some.n > 0 {
		seen, all = general, some
	}
	p := make([]float32, len(seen))
	for j, t := range seen {
		p[j] = float32(t.n / all.n)
	}
	return p
}
