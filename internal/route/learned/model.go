// Package learned is the learned router: it estimates, for a prompt, what it
// asks for and how well each model would answer. An estimate is one pass over
// hashed words and needs no memory of its own.
//
// Prompts are told apart by topic, the finest labels of the data. A topic is of
// a task, a word that users know, and may be of a domain. The estimate of a
// model's quality is a table by topic, weighted with the posterior of the
// topics, with a linear estimate from the words beside it. On labelled outcomes
// the two together are better than either.
package learned

import (
	"math"
	"slices"
	"strings"
)

const (
	// maxHeads bounds topics and models together, maxRows the words and pairs
	// that are known.
	maxHeads = 256
	maxRows  = 1 << 17
	// perWord is how many weights lie in a word, a byte each.
	perWord = 8
	// lanes bounds the rows that are added up before a 16-bit lane could
	// overflow: 257 × 255 is the most it holds.
	lanes = 256
)

// General is the task of a prompt of which nothing is known.
const General = "general"

// Model is a learned router. It is immutable and safe for concurrent use.
type Model struct {
	Topics  []string
	Tasks   []string // sorted
	Domains []string // sorted; none: the data has no domains
	Models  []string // sorted
	Card    Card

	task, domain []int       // of topics; domain is nil where there are no domains
	prior        []float32   // what is expected of a prompt whose words are unknown, by topic
	table        [][]float32 // the quality to expect, by model and topic, 0 to 1
	trust        []float32   // what the linear estimate counts beside the table, by model, 0 to 1

	vocabulary
	words   int       // of a row
	weights []uint64  // by row: a byte for each head, topics first, plus 128
	scale   []float32 // by head
	bias    []float32 // by head
}

// Card is what is known of a model's making.
type Card struct {
	Source  string `json:"source"` // the data, as its maker named it
	Date    string `json:"date"`   // of the training, as 2006-01-02
	Prompts int    `json:"prompts"`
}

// Estimate is what a prompt was estimated to be. It may be used again, by one
// goroutine at a time.
type Estimate struct {
	Topic    []float32 // posterior by topic, sums to 1
	Task     []float32 // posterior by task, sums to 1
	Domain   []float32 // posterior by domain; empty where there are none
	Quality  []float32 // by model, 0 to 1
	Table    []float32 // by model, what the table alone says
	Coverage float32   // share of the words and pairs that are known, 0 to 1

	features []uint32
	sums     [maxHeads]int32
}

// Best returns the likeliest task and its posterior.
func (e *Estimate) Best() (task int, p float32) {
	for i, x := range e.Task {
		if x > p {
			task, p = i, x
		}
	}
	return task, p
}

// Estimate fills e with what text asks for. It allocates only while e is new.
func (m *Model) Estimate(e *Estimate, text string) {
	e.features = features(slices.Grow(e.features[:0], maxFeatures), text)
	e.Topic = resize(e.Topic, len(m.Topics))
	e.Task = resize(e.Task, len(m.Tasks))
	e.Domain = resize(e.Domain, len(m.Domains))
	e.Quality = resize(e.Quality, len(m.Models))
	e.Table = resize(e.Table, len(m.Models))
	all := len(e.features)
	known := m.known(e.features)
	m.add(&e.sums, known)
	e.Coverage = float32(len(known)) / float32(max(1, all))
	norm := float32(1 / math.Sqrt(float64(max(1, all))))
	m.classify(e, norm)
	for i := range e.Quality {
		h := len(m.Topics) + i
		table := m.mean(i, e.Topic)
		linear := sigmoid(float32(e.sums[h])*m.scale[h]*norm + m.bias[h])
		k := m.trust[i] * e.Coverage
		e.Table[i], e.Quality[i] = table, (table+k*linear)/(1+k)
	}
}

// mean is what the table says of a model for a prompt that may be of those topics.
func (m *Model) mean(model int, topics []float32) (sum float32) {
	for t, p := range topics {
		sum += p * m.table[model][t]
	}
	return sum
}

// Given makes e an estimate of a prompt whose task is known: which of m.Tasks.
func (m *Model) Given(e *Estimate, task int) {
	var sum float32
	n := 0
	for t := range e.Topic {
		if m.task[t] != task {
			e.Topic[t] = 0
			continue
		}
		sum += e.Topic[t]
		n++
	}
	for t := range e.Topic {
		switch {
		case m.task[t] != task:
		case sum > 0:
			e.Topic[t] /= sum
		default: // each as likely
			e.Topic[t] = 1 / float32(n)
		}
	}
	clear(e.Task)
	e.Task[task] = 1
	clear(e.Domain)
	for t, p := range e.Topic {
		if m.domain != nil {
			e.Domain[m.domain[t]] += p
		}
	}
	for i := range e.Quality {
		words := e.Quality[i] - e.Table[i]
		e.Table[i] = m.mean(i, e.Topic)
		e.Quality[i] = min(1, max(0, e.Table[i]+words))
	}
}

// classify fills the posteriors. As far as words are unknown the prior counts.
func (m *Model) classify(e *Estimate, norm float32) {
	for i := range e.Topic {
		e.Topic[i] = float32(e.sums[i])*m.scale[i]*norm + m.bias[i]
	}
	softmax(e.Topic)
	clear(e.Task)
	clear(e.Domain)
	k := familiar(e.Coverage)
	for t, p := range e.Topic {
		p = k*p + (1-k)*m.prior[t]
		e.Topic[t] = p
		e.Task[m.task[t]] += p
		if m.domain != nil {
			e.Domain[m.domain[t]] += p
		}
	}
}

// familiar is how much what was learned counts for a prompt of that coverage:
// all where at least two in five words and pairs are known.
func familiar(coverage float32) float32 { return min(1, coverage/0.4) }

// known puts the rows of the features that are known in place of the features.
func (m *Model) known(fs []uint32) []uint32 {
	n := 0
	for _, f := range fs {
		if row := m.row(f); row >= 0 {
			fs[n] = uint32(row)
			n++
		}
	}
	return fs[:n]
}

// add sums the weights of the rows by head.
func (m *Model) add(sums *[maxHeads]int32, rows []uint32) {
	const low = 0x00ff00ff00ff00ff
	clear(sums[:m.words*perWord])
	for rest := rows; len(rest) > 0; {
		n := min(lanes, len(rest))
		var even, odd [maxHeads / perWord]uint64
		for _, r := range rest[:n] {
			row := m.weights[int(r)*m.words:][:m.words]
			for w, x := range row {
				even[w&(len(even)-1)] += x & low
				odd[w&(len(odd)-1)] += x >> 8 & low
			}
		}
		for w := range m.words {
			to := sums[w*perWord:][:perWord]
			for i := range perWord / 2 {
				to[2*i] += int32(even[w]>>(16*i)&0xffff) - 128*int32(n)
				to[2*i+1] += int32(odd[w]>>(16*i)&0xffff) - 128*int32(n)
			}
		}
		rest = rest[n:]
	}
}

// Index returns which of Models name is, -1 for none. Names that vendors give a
// model are the same: prefixes before a slash, letter case and words such as
// "instruct" do not tell models apart.
func (m *Model) Index(name string) int {
	if i, ok := slices.BinarySearch(m.Models, name); ok {
		return i
	}
	name = plain(name)
	return slices.IndexFunc(m.Models, func(s string) bool { return plain(s) == name })
}

// plain is a model's name without what vendors add to it.
func plain(name string) string {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == ':' || r == '_' || r == '@' })
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool {
		return slices.Contains(noise, s) || len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789.") == ""
	}), "-")
}

// noise are words that vendors add to the names of models.
var noise = []string{"chat", "fp8", "hf", "instant", "instruct", "it", "latest", "meta", "open", "preview", "turbo", "versatile"}

func resize(x []float32, n int) []float32 { return slices.Grow(x[:0], n)[:n] }

func softmax(x []float32) {
	top := slices.Max(x)
	var sum float32
	for i := range x {
		x[i] = float32(math.Exp(float64(x[i] - top)))
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
