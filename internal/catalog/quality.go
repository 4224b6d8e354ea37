package catalog

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed quality.txt
var figures string

// Prior is how good a model is expected to be at something, by public figures.
type Prior struct {
	// Quality is 0 to 1: the share of right answers to tests as hard as those known
	// of its kind are on the whole. What is of one kind can be compared.
	Quality float64
	Weight  float64 // how many answers the opinion is worth
	// Of is the model of which the figures are, in their writing: where none are of
	// the model itself, one of its family; "" where it is judged by its size or
	// price alone.
	Of     string
	Source string // of the figures, several with commas between
	AsOf   time.Time
}

const (
	// perFigure is what a figure is worth in answers, mostWeight what all are. A
	// figure is the mean of hundreds of answers, but to others' questions.
	perFigure  = 10
	mostWeight = 50
	// general is how many figures what a model can do in general is worth beside
	// those of a kind.
	general = 4.0
	// untested is how much less able a model is taken for than its size or price
	// says where there are no figures of it.
	untested = 0.5
)

// Kinds of what models are good at, of which there are figures; General is all of
// them together.
const (
	Coding    = "coding"
	Math      = "math"
	Reason    = "reasoning"
	Knowledge = "knowledge"
	Writing   = "writing"
	General   = "general"
)

// words are other words for a kind: those of capabilities and of tasks.
var words = map[string]string{
	"code": Coding, "programming": Coding, "human_eval": Coding, "mbpp": Coding,
	"gsm8k": Math, "mathematics": Math, "agentverse-mgsm": Math, "mgsm": Math,
	"analysis": Reason, "logic": Reason, "agentverse-logicgrid": Reason, "logicgrid": Reason, "gpqa": Reason, "arc_challenge": Reason,
	"mmlu": Knowledge, "natural_qa": Knowledge, "trivia_qa": Knowledge, "openbook_qa": Knowledge, "commonsense_qa": Knowledge,
	"creative": Writing, "commongen": Writing,
}

// figure is a result of a model in a test.
type figure struct {
	test   string
	score  float64
	source string
	asOf   time.Time
}

// test is what results are of.
type test struct {
	kind string
	hard float64 // logit that is added to a result's
}

// results are the table, read.
type results struct {
	tests  map[string]test
	models map[string][]figure
	ids    []string           // sorted
	level  map[string]float64 // mean hardness of a kind's results
}

var known = sync.OnceValue(func() *results {
	r, err := readFigures(figures)
	if err != nil {
		panic("catalog: " + err.Error()) // a test reads them
	}
	return r
})

// readFigures reads the table of figures. Its rows:
//
//	test NAME KIND HARD
//	MODEL TEST SCORE SOURCE@DATE
func readFigures(text string) (*results, error) {
	r := &results{tests: map[string]test{}, models: map[string][]figure{}, level: map[string]float64{}}
	count := map[string]float64{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		w := strings.Fields(line)
		if len(w) == 0 || w[0] == "#" {
			continue
		}
		if len(w) != 4 {
			return nil, fmt.Errorf("line %d: a row has four words", n)
		}
		if w[0] == "test" {
			hard, err := strconv.ParseFloat(w[3], 64)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			r.tests[w[1]] = test{w[2], hard}
			continue
		}
		f := figure{test: w[1]}
		t, ok := r.tests[f.test]
		score, err := strconv.ParseFloat(w[2], 64)
		source, day, _ := strings.Cut(w[3], "@")
		at, bad := time.Parse(time.DateOnly, day)
		if !ok || err != nil || bad != nil || source == "" || score < 0 || score > 1 {
			return nil, fmt.Errorf("line %d: a row is: MODEL TEST SCORE SOURCE@DATE, after its test", n)
		}
		f.score, f.source, f.asOf = score, source, at
		r.models[w[0]] = append(r.models[w[0]], f)
		for _, kind := range [...]string{t.kind, General} {
			r.level[kind] += t.hard
			count[kind]++
		}
	}
	for kind, n := range count {
		r.level[kind] /= n
	}
	for id := range r.models {
		r.ids = append(r.ids, id)
	}
	slices.Sort(r.ids)
	return r, nil
}

// Quality returns how good the model is expected to be at a kind of task, or at
// what another word for it means; at a word that is not known, what it is in
// general. false: there are no figures of it, nor of its family, nor is its size or
// price known.
func (m Model) Quality(word string) (Prior, bool) { return Quality(m.ID, word) }

// Quality is that of the model with a vendor's name for it.
func Quality(id, word string) (Prior, bool) {
	r := known()
	name := Bare(id)
	of := name
	if r.models[name] == nil {
		if of = r.relative(name); of == "" {
			able, ok := Expected(name)
			kind := r.kind(word)
			return Prior{Quality: Share(able - untested - r.level[kind]), Weight: 1, Source: "size,price", AsOf: Embedded().asOf}, ok
		}
	}
	return r.prior(name, of, r.kind(word)), true
}

// kind is what a word is about, General where it is not known.
func (r *results) kind(word string) string {
	kind, ok := words[word]
	if !ok {
		kind = word
	}
	if _, ok := r.level[kind]; !ok {
		kind = General
	}
	return kind
}

// prior makes an opinion of a model by the figures of another, which is mostly
// itself, and by what is to be expected of it: how able it is in general, and from
// there at a kind, as its figures of that kind say.
func (r *results) prior(id, of, kind string) Prior {
	figures := make([]Figure, len(r.models[of]))
	p := Prior{Of: of}
	for i, f := range r.models[of] {
		figures[i] = Figure{f.test, Logit(f.score) + r.tests[f.test].hard}
		if !strings.Contains(p.Source, f.source) {
			p.Source = strings.TrimPrefix(p.Source+","+f.source, ",")
		}
		if f.asOf.After(p.AsOf) {
			p.AsOf = f.asOf
		}
	}
	mean, ok := Expected(id)
	if !ok {
		mean, ok = Expected(of)
	}
	able := Able(figures, mean, ok)
	sum, n, all := general*able, general, 0.0
	for _, f := range figures {
		w := f.weight(able)
		all += w
		if r.tests[f.Test].kind == kind {
			sum += w * f.Shown
			n += w
		}
	}
	x, weight := able, all/2
	if kind != General {
		x, weight = sum/n, n-general+all/4
	}
	p.Quality = Share(x - r.level[kind])
	p.Weight = min(mostWeight, max(1, perFigure*weight))
	if of != id {
		p.Weight /= 2
	}
	return p
}

// Share is the share of right answers of somebody who is so much abler than a
// test is hard.
func Share(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Logit of a share, which is kept from 0 and 1.
func Logit(p float64) float64 {
	p = min(0.99, max(0.01, p))
	return math.Log(p / (1 - p))
}

// smaller are parts of names that tell models of a family apart by their size.
var smaller = []string{"mini", "nano", "lite", "small", "tiny", "micro", "air", "flash", "haiku", "medium", "large", "pro", "max", "plus", "ultra", "opus", "sonnet"}

// relative is the model of the same family and size with figures whose version is
// the next one below id's, else the next above; "" if there is none.
func (r *results) relative(id string) string {
	family, version := split(id)
	if family == "" {
		return ""
	}
	if len(version) == 0 { // the latest
		version = []int{math.MaxInt}
	}
	below, above := "", ""
	var low, high []int
	for _, x := range r.ids {
		f, v := split(x)
		if f != family {
			continue
		}
		if slices.Compare(v, version) <= 0 {
			if below == "" || slices.Compare(v, low) > 0 {
				below, low = x, v
			}
		} else if above == "" || slices.Compare(v, high) < 0 {
			above, high = x, v
		}
	}
	if below != "" {
		return below
	}
	return above
}

// split parts a bare id into what stays the same from version to version, and the
// version. What says neither size nor version, such as thinking, counts as none.
func split(id string) (family string, version []int) {
	var parts []string
	for i, part := range strings.Split(id, "-") {
		if n, err := strconv.Atoi(part); err == nil && len(part) <= 4 {
			version = append(version, n)
		} else if i == 0 || slices.Contains(smaller, part) || sized(part) || part != "" && part[0] >= '0' && part[0] <= '9' {
			parts = append(parts, part)
		} else if len(parts) == 1 && len(version) == 0 { // claude-instant-1
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "-"), version
}

// sized reports whether a part of a name is a number of parameters: 70b, 8x7b.
func sized(part string) bool {
	n := strings.TrimSuffix(part, "b")
	return n != part && n != "" && strings.Trim(n, "0123456789x") == ""
}

// put are what vendors put behind the name of a model.
var put = []string{"-latest", "-instruct-turbo", "-instruct", "-inst", "-it", "-chat", "-preview", "-versatile", "-instant", "-maas", "-hf", "-fp8"}

// Bare is a model's name without what vendors put around it: the maker, a region,
// a place, a variant, a date. Dots are dashes.
func Bare(id string) string {
	id = strings.ToLower(id)
	id = id[strings.LastIndexByte(id, '/')+1:]
	id, _, _ = strings.Cut(id, "@")
	id, tag, _ := strings.Cut(id, ":")
	if size, _, _ := strings.Cut(tag, "-"); sized(size) { // llama3.1:8b
		id += "-" + size
	}
	for { // us.anthropic.claude-…
		head, rest, ok := strings.Cut(id, ".")
		if !ok || head == "" || strings.ContainsAny(head, "0123456789-") {
			break
		}
		id = rest
	}
	id = strings.TrimPrefix(id, "meta-")
	for _, maker := range [...]string{"llama", "gemma"} { // llama3-1, llama-v3p1
		rest, ok := strings.CutPrefix(strings.Replace(id, maker+"-v", maker, 1), maker)
		if ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			if len(rest) > 2 && rest[1] == 'p' {
				rest = rest[:1] + "-" + rest[2:]
			}
			id = maker + "-" + rest
		}
	}
	for again := true; again; {
		again = false
		for _, s := range put {
			if short, ok := strings.CutSuffix(id, s); ok && short != "" {
				id, again = short, true
			}
		}
		if short, ok := undated(id); ok {
			id, again = short, true
		}
		if i := strings.LastIndex(id, "-v"); i > 0 && strings.ContainsAny(id[:i], "0123456789") && strings.Trim(id[i+2:], "0123456789.") == "" { // not deepseek-v3
			id, again = id[:i], true
		}
	}
	return strings.ReplaceAll(id, ".", "-")
}
