package catalog

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Figure is a result of a model in a test: how able it shows it to be, in logits.
type Figure struct {
	Test  string
	Shown float64
}

const (
	// doubt is how many figures what is expected of a model is worth, and little
	// where nothing is.
	doubt, little = 2.0, 0.2
	// outlier is how far from the model's ability a figure may be and count in full:
	// one that is twice as far counts half (Huber 1964).
	outlier = 0.7
	// alike is what a result of LLMRouter's counts: its 14 tests were made by one
	// hand, of small models, and agree with each other more than with others.
	alike = 0.1
)

func (f Figure) weight(able float64) float64 {
	w := 1 / max(1, math.Abs(f.Shown-able)/outlier)
	if strings.HasSuffix(f.Test, "/llmrouter") {
		w *= alike
	}
	return w
}

// Able is how able figures show a model to be of which mean is expected; ok is
// false where nothing is.
func Able(figures []Figure, mean float64, ok bool) float64 {
	k := doubt
	if !ok {
		mean, k = 0, little
	}
	able := mean
	for range 30 { // it has settled by then
		sum, n := k*mean, k
		for _, f := range figures {
			w := f.weight(able)
			sum += w * f.Shown
			n += w
		}
		able = sum / n
	}
	return able
}

const (
	// slope is how many logits abler a model is that has e times the parameters, or
	// costs e times as much; a model of refSize billion parameters, or at refPrice
	// USD per million tokens, has none. Of prices beyond dearest and below cheapest
	// no more is expected, or less.
	slope             = 0.6
	refSize, refPrice = 70, 0.6
	cheapest, dearest = 0.05, 10
)

// Expected is how able, in logits, a model of that name is by what is known before
// it is tested: by the number of its parameters, where the name has one, else by
// what vendors charge for it. false: neither is known.
func Expected(id string) (able float64, ok bool) {
	id = Bare(id)
	if b := parameters(id); b > 0 {
		return slope * math.Log(b/refSize), true
	}
	if usd := prices()[id]; usd > 0 {
		return slope * math.Log(min(dearest, max(cheapest, usd/era(id)))/refPrice), true
	}
	return 0, false
}

// parameters is how many billions of them a bare name says that there are, 0 for
// nothing. Of a mixture of experts, three fifths of them add to what one has
// (Mixtral 8x7B is as good as a model of 34).
func parameters(id string) float64 {
	for part := range strings.SplitSeq(id, "-") {
		if !sized(part) {
			continue
		}
		n, b, mixed := strings.Cut(strings.TrimSuffix(part, "b"), "x")
		size, _ := strconv.ParseFloat(n, 64)
		if mixed {
			each, _ := strconv.ParseFloat(b, 64)
			size *= 0.6 * each
		}
		if size > 0 {
			return min(size, 2000)
		}
	}
	return 0
}

// eras are models whose prices are of before what they can do became cheaper: how
// many times as much they cost as the like of them did at the end of 2024.
var eras = []struct {
	prefix string
	times  float64
}{
	{"claude-3-haiku", 2}, {"claude-3-sonnet", 4}, {"claude-3-opus", 4}, {"claude-2", 6}, {"claude-instant", 6},
	{"command-r", 4}, {"gpt-3-5", 6}, {"gpt-4-turbo", 4}, {"gpt-4-1106", 4}, {"gpt-4-32k", 6}, {"gpt-4-0", 6}, {"yi-large", 3}, {"mistral-large-24", 2},
}

func era(id string) float64 {
	if id == "gpt-4" {
		return 6
	}
	for _, e := range eras {
		if strings.HasPrefix(id, e.prefix) {
			return e.times
		}
	}
	return 1
}

// prices are what a million tokens cost by bare name, in USD, three quarters of
// them of the prompt: the median of the vendors.
var prices = sync.OnceValue(func() map[string]float64 {
	all := map[string][]float64{}
	for line := range strings.Lines(Embedded().layers[0]) {
		if words := strings.SplitN(line, " ", 3); len(words) == 3 && words[0] != "#" {
			first, _, _ := strings.Cut(words[2], " | ")
			if in, out := amount(first, " input="), amount(first, " output="); in > 0 {
				id := Bare(words[1])
				all[id] = append(all[id], (3*in+out)/4)
			}
		}
	}
	mid := make(map[string]float64, len(all))
	for id, usd := range all {
		slices.Sort(usd)
		mid[id] = usd[len(usd)/2]
	}
	return mid
})

// amount is what a row says behind a word, 0 for nothing.
func amount(row, word string) float64 {
	_, rest, _ := strings.Cut(" "+row, word)
	rest, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
	x, _ := strconv.ParseFloat(rest, 64)
	return x
}
