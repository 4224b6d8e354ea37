package learned

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Outcome is how a model answered a prompt.
type Outcome struct {
	Quality float64 `json:"quality"` // 0 to 1
	Cost    float64 `json:"cost"`    // USD
}

// Example is a labelled prompt.
type Example struct {
	Prompt   string             `json:"prompt"`
	Task     string             `json:"task"` // the topic; "": General
	Outcomes map[string]Outcome `json:"outcomes"`
}

// Options are what may be said of a training beside its examples.
type Options struct {
	// Task and Domain are words for topics. A topic without a task is its own;
	// nil Domain: there are no domains.
	Task, Domain map[string]string
	// Least is in how many prompts a word or pair stands that is kept. 0: 2.
	Least int
}

const (
	epochs = 12
	// topicRate and qualityRate are AdaGrad's steps: whether an answer is right
	// is mostly chance, which a long step would learn by heart. decay is the
	// weight of the L2 penalty.
	topicRate   = 0.3
	qualityRate = 0.05
	decay       = 2e-6
	// slight is the gradient below which a head is left as it is.
	slight = 1e-4
	// half is the number of outcomes of a model with which its linear estimate
	// counts half as much as the table.
	half = 1000
)

// Train makes a model of examples. It is deterministic.
func Train(examples []Example, o Options) (*Model, error) {
	m := &Model{Card: Card{Prompts: len(examples)}}
	for _, e := range examples {
		m.Topics = append(m.Topics, e.topic())
		for name := range e.Outcomes {
			m.Models = append(m.Models, name)
		}
	}
	m.Topics, m.Models = distinct(m.Topics), distinct(m.Models)
	if len(m.Models) < 2 {
		return nil, errors.New("the data has outcomes of fewer than two models: there is nothing to choose between")
	}
	if n := len(m.Topics) + len(m.Models); n >= maxHeads {
		return nil, fmt.Errorf("the data has %d tasks and %d models: together at most %d", len(m.Topics), len(m.Models), maxHeads-1)
	}
	m.label(o)
	t := newTrainer(m, examples, o)
	t.tables()
	m.derive()
	for n := range epochs {
		t.epoch(n)
	}
	t.pack()
	return m, nil
}

func (e *Example) topic() string {
	if e.Task == "" {
		return General
	}
	return e.Task
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Clip(slices.Compact(names))
}

// label fills tasks and domains.
func (m *Model) label(o Options) {
	of := func(words map[string]string, topic, otherwise string) string {
		if w := words[topic]; w != "" {
			return w
		}
		return otherwise
	}
	for _, t := range m.Topics {
		m.Tasks = append(m.Tasks, of(o.Task, t, t))
		if o.Domain != nil {
			m.Domains = append(m.Domains, of(o.Domain, t, "other"))
		}
	}
	tasks, domains := slices.Clone(m.Tasks), slices.Clone(m.Domains)
	m.Tasks, m.Domains = distinct(m.Tasks), distinct(m.Domains)
	for _, w := range tasks {
		i, _ := slices.BinarySearch(m.Tasks, w)
		m.task = append(m.task, i)
	}
	for _, w := range domains {
		i, _ := slices.BinarySearch(m.Domains, w)
		m.domain = append(m.domain, i)
	}
}

// sample is an example as numbers.
type sample struct {
	rows    []uint32
	norm    float32 // one over the root of the mass of the rows
	topic   int
	quality []float32 // by model, NaN: unknown
}

type trainer struct {
	m       *Model
	heads   int
	samples []sample
	rare    []float32 // by row: how little a word or pair stands, the root of its mass
	w, g    []float32 // weights and AdaGrad's sums, by row and head
	b, gb   []float32
	step    []float32 // gradient by head, of one sample
	active  []int     // heads with a gradient
}

func newTrainer(m *Model, examples []Example, o Options) *trainer {
	t := &trainer{m: m, heads: len(m.Topics) + len(m.Models)}
	texts := make([][]uint32, len(examples))
	var r reader
	for i, e := range examples {
		r.read(e.Prompt)
		texts[i] = slices.Clone(r.features)
	}
	t.choose(texts, cmp.Or(o.Least, 2))
	for i, e := range examples {
		s := sample{quality: make([]float32, len(m.Models))}
		var mass float32
		for _, f := range texts[i] {
			if row := m.row(f); row >= 0 {
				s.rows = append(s.rows, uint32(row))
				mass += t.rare[row] * t.rare[row]
			}
		}
		s.norm = float32(1 / math.Sqrt(max(1e-6, float64(mass))))
		s.topic, _ = slices.BinarySearch(m.Topics, e.topic())
		for j, name := range m.Models {
			s.quality[j] = float32(math.NaN())
			if o, ok := e.Outcomes[name]; ok {
				s.quality[j] = float32(o.Quality)
			}
		}
		t.samples = append(t.samples, s)
	}
	n := len(m.hashes) * t.heads
	t.w, t.g = make([]float32, n), make([]float32, n)
	t.b, t.gb, t.step = make([]float32, t.heads), make([]float32, t.heads), make([]float32, t.heads)
	return t
}

// choose makes the vocabulary of the features that stand in at least so many
// texts, of the most frequent if there are too many.
func (t *trainer) choose(texts [][]uint32, least int) {
	in := map[uint32]int{}
	for _, fs := range texts {
		for _, f := range fs {
			in[f]++
		}
	}
	var hashes []uint32
	for ; ; least++ {
		hashes = hashes[:0]
		for f, n := range in {
			if n >= least {
				hashes = append(hashes, f)
			}
		}
		if len(hashes) <= maxRows {
			break
		}
	}
	slices.Sort(hashes)
	t.m.vocabulary = newVocabulary(hashes)
	for _, f := range hashes {
		t.rare = append(t.rare, float32(math.Log(1+float64(len(texts))/float64(in[f]))))
	}
}

// epoch goes over all samples once, in an order of its own.
func (t *trainer) epoch(n int) {
	for _, i := range rand.New(rand.NewPCG(1, uint64(n))).Perm(len(t.samples)) {
		t.learn(&t.samples[i])
	}
}

func (t *trainer) learn(s *sample) {
	topics := len(t.m.Topics)
	copy(t.step, t.b)
	for _, r := range s.rows {
		x := t.rare[r] * s.norm
		for h, w := range t.w[int(r)*t.heads:][:t.heads] {
			t.step[h] += w * x
		}
	}
	softmax(t.step[:topics])
	t.step[s.topic]--
	for i, q := range s.quality {
		if h := topics + i; q == q {
			t.step[h] = sigmoid(t.step[h]) - q
		} else {
			t.step[h] = 0
		}
	}
	t.active = t.active[:0]
	for h, d := range t.step {
		if d > slight || d < -slight {
			t.active = append(t.active, h)
			t.gb[h] += d * d
			t.b[h] -= t.rate(h) * d / (float32(math.Sqrt(float64(t.gb[h]))) + 1e-6)
		}
	}
	for _, r := range s.rows {
		x := t.rare[r] * s.norm
		w, g := t.w[int(r)*t.heads:][:t.heads], t.g[int(r)*t.heads:][:t.heads]
		for _, h := range t.active {
			d := t.step[h]*x + decay*w[h]
			g[h] += d * d
			w[h] -= t.rate(h) * d / (float32(math.Sqrt(float64(g[h]))) + 1e-6)
		}
	}
}

func (t *trainer) rate(head int) float32 {
	if head < len(t.m.Topics) {
		return topicRate
	}
	return qualityRate
}

// pack makes bytes of the weights.
func (t *trainer) pack() {
	m := t.m
	heads := t.heads + 1
	at := func(r, h int) float32 {
		if h == t.heads {
			return t.rare[r] * t.rare[r]
		}
		return t.w[r*t.heads+h] * t.rare[r]
	}
	m.words, m.scale, m.bias = wordsFor(heads), make([]float32, heads), t.b
	for r := range m.hashes {
		for h := range heads {
			m.scale[h] = max(m.scale[h], float32(math.Abs(float64(at(r, h))))/largest)
		}
	}
	m.weights = make([]uint64, len(m.hashes)*m.words)
	for r := range m.hashes {
		for h := range m.words * perWord {
			b := uint64(zero)
			if h < heads && m.scale[h] > 0 {
				b = uint64(zero + int(math.Round(float64(at(r, h)/m.scale[h]))))
			}
			m.weights[r*m.words+h/perWord] |= b << (8 * (h % perWord))
		}
	}
}
