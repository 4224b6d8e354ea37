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
	// maxHeads bounds topics, models and the mass together, maxRows the words and
	// pairs that are known.
	maxHeads = 256
	maxRows  = 1 << 17
	// perWord is how many weights lie in a word, a byte each.
	perWord = 8
	// zero is a weight of 0 as a byte, largest the largest: four weights fit into a
	// byte together. Finer ones make the file larger and nothing better (measured).
	zero    = 32
	largest = 31
	// lanes bounds the rows that are added up before a lane of 16 bits could
	// overflow, which holds 1040 × 63.
	lanes = 1024
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
	column       []float32   // the same by topic and model, in one
	trust        []float32   // what the linear estimate counts beside the table, by model, 0 to 1

	// level is what a model's mean over the topics is above that of all models.
	// It is added as far as a prompt is unfamiliar: in doubt the better model.
	// On domains that were left out of training this is worth more than anything
	// that was learned of words, and elsewhere it costs nothing (measured).
	level []float32

	vocabulary
	words   int       // of a row, an even number
	weights []uint64  // by row: a byte plus zero for each topic, each model, and the row's mass
	scale   []float32 // of the bytes
	bias    []float32 // of topics and models
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

	reader
	sums   [maxHeads]int32
	likely []uint8 // topics that are not negligible
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
	e.read(text)
	e.Topic = resize(e.Topic, len(m.Topics))
	e.Task = resize(e.Task, len(m.Tasks))
	e.Domain = resize(e.Domain, len(m.Domains))
	e.Quality = resize(e.Quality, len(m.Models))
	e.Table = resize(e.Table, len(m.Models))
	all := len(e.features)
	known := m.known(e.features)
	m.add(&e.sums, known)
	e.Coverage = float32(len(known)) / float32(max(1, all))
	mass := float32(e.sums[len(m.bias)]) * m.scale[len(m.bias)]
	norm := float32(1 / math.Sqrt(max(1e-6, float64(mass))))
	m.classify(e, norm)
	m.means(e)
	doubt := strange(e.Coverage)
	for i := range e.Quality {
		h := len(m.Topics) + i
		linear := sigmoid(float32(e.sums[h])*m.scale[h]*norm + m.bias[h])
		k := m.trust[i] * e.Coverage
		e.Quality[i] = min(1, max(0, (e.Table[i]+k*linear)/(1+k)+doubt*m.level[i]))
	}
}

// derive fills level and column of the table.
func (m *Model) derive() {
	for t := range m.Topics {
		for i := range m.table {
			m.column = append(m.column, m.table[i][t])
		}
	}
	m.level = make([]float32, len(m.Models))
	var all float32
	for i, row := range m.table {
		for _, q := range row {
			m.level[i] += q / float32(len(row))
		}
		all += m.level[i] / float32(len(m.table))
	}
	for i := range m.level {
		m.level[i] -= all
	}
}

// means fills in what the table says of each model for a prompt of those topics.
func (m *Model) means(e *Estimate) {
	clear(e.Table)
	n := len(e.Table)
	for _, t := range e.likely {
		p := e.Topic[t]
		for i, q := range m.column[int(t)*n:][:n] {
			e.Table[i] += p * q
		}
	}
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
	e.likely = e.likely[:0]
	for t, p := range e.Topic {
		if m.domain != nil {
			e.Domain[m.domain[t]] += p
		}
		if p > 0 {
			e.likely = append(e.likely, uint8(t))
		}
	}
	for i := range e.Quality {
		e.Quality[i] -= e.Table[i] // what the words say
	}
	m.means(e)
	for i := range e.Quality {
		e.Quality[i] = min(1, max(0, e.Table[i]+e.Quality[i]))
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
	e.likely = slices.Grow(e.likely[:0], maxHeads)
	for t, p := range e.Topic {
		p = k*p + (1-k)*m.prior[t]
		e.Topic[t] = p
		if p > negligible {
			e.likely = append(e.likely, uint8(t))
		}
		e.Task[m.task[t]] += p
		if m.domain != nil {
			e.Domain[m.domain[t]] += p
		}
	}
}

// negligible is a posterior that moves no quality.
const negligible = 1e-4

// familiar is how much what was learned counts for a prompt of that coverage:
// all where at least two in five words and pairs are known.
func familiar(coverage float32) float32 { return min(1, coverage/0.4) }

// strange is how much the better model counts in doubt: where fewer than seven in ten
// words and pairs are known.
func strange(coverage float32) float32 { return 3 * max(0, 0.7-coverage) }

// known puts where the weights of the features begin that are known in place of
// the features.
func (m *Model) known(fs []uint32) []uint32 {
	n := 0
	for _, f := range fs {
		if row := m.row(f); row >= 0 {
			fs[n] = uint32(row * m.words)
			n++
		}
	}
	return fs[:n]
}

// add sums the weights that begin at rows by head, two words at a time: four rows
// in lanes of 8 bits, those in lanes of 16.
func (m *Model) add(sums *[maxHeads]int32, rows []uint32) {
	const low = 0x00ff00ff00ff00ff
	clear(sums[:m.words*perWord])
	for rest := rows; len(rest) > 0; {
		n := min(lanes, len(rest))
		for w := 0; w < m.words; w += 2 {
			var a, b, c, d uint64
			from := m.weights[w:]
			part := rest[:n]
			for ; len(part) >= 4; part = part[4:] {
				p, q := (*[2]uint64)(from[part[0]:]), (*[2]uint64)(from[part[1]:])
				r, s := (*[2]uint64)(from[part[2]:]), (*[2]uint64)(from[part[3]:])
				x, y := p[0]+q[0]+r[0]+s[0], p[1]+q[1]+r[1]+s[1]
				a += x & low
				b += x >> 8 & low
				c += y & low
				d += y >> 8 & low
			}
			for _, r := range part {
				x := (*[2]uint64)(from[r:])
				a += x[0] & low
				b += x[0] >> 8 & low
				c += x[1] & low
				d += x[1] >> 8 & low
			}
			to := (*[2 * perWord]int32)(sums[w*perWord:])
			for i := range perWord / 2 {
				to[2*i] += int32(a>>(16*i)&0xffff) - zero*int32(n)
				to[2*i+1] += int32(b>>(16*i)&0xffff) - zero*int32(n)
				to[perWord+2*i] += int32(c>>(16*i)&0xffff) - zero*int32(n)
				to[perWord+2*i+1] += int32(d>>(16*i)&0xffff) - zero*int32(n)
			}
		}
		rest = rest[n:]
	}
}

// Index returns which of Models name is, -1 for none. Names that vendors give a
// model are the same: prefixes before a slash, letter case, dots for dashes and
// words such as "instruct" do not tell models apart.
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
	return strings.ReplaceAll(strings.Join(slices.DeleteFunc(parts, func(s string) bool {
		return slices.Contains(noise, s) || len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789.") == ""
	}), "-"), ".", "-")
}

// noise are words that vendors add to the names of models.
var noise = []string{"chat", "fp8", "hf", "instant", "instruct", "it", "latest", "meta", "open", "preview", "turbo", "versatile"}

// wordsFor is how many words the weights of so many heads take, an even number.
func wordsFor(heads int) int { return (heads + 2*perWord - 1) / (2 * perWord) * 2 }

func resize(x []float32, n int) []float32 { return slices.Grow(x[:0], n)[:n] }

func softmax(x []float32) {
	top := slices.Max(x)
	var sum float32
	for i := range x {
		if d := x[i] - top; d > -9.21 { // e to that is negligible
			x[i] = exp(d)
		} else {
			x[i] = 0
		}
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

func sigmoid(x float32) float32 { return 1 / (1 + exp(-min(80, max(-80, x)))) }

// exp is e to x, |x| at most 80, to seven digits: 2 to the whole part of x·log2 e
// times e to the rest by the polynomial of Cephes' expf.
func exp(x float32) float32 {
	n := math.Float32frombits(math.Float32bits(0.5) | math.Float32bits(x)&(1<<31)) // halves go away from 0
	k := float32(int32(x*math.Log2E + n))
	x = x - k*0.693359375 + k*2.12194440e-4 // ln 2 in two parts
	p := ((((1.9875691500e-4*x+1.3981999507e-3)*x+8.3334519073e-3)*x+4.1665795894e-2)*x+1.6666665459e-1)*x + 5.0000001201e-1
	return (p*x*x + x + 1) * math.Float32frombits(uint32(int32(k)+127)<<23)
}
