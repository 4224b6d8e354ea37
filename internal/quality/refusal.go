package quality

import (
	_ "embed"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxRefusal is how much of an answer phrases are looked for in, maxScored
	// how much the linear model reads: whether an answer refuses is said first.
	maxRefusal = 600
	maxScored  = 400
	// refusalBits is the binary logarithm of the model's weights.
	refusalBits = 13
	// sure is what the linear model's score must exceed, in thousandths of a logit:
	// odds of 9 to 4. Ordinary answers have few words that it knows.
	sure = 800
	// longestPhrase is in words.
	longestPhrase = 5
)

// notRefused: the answer does what was asked. Phrases decide, and where they are
// silent a linear model of words; of an answer that has only begun the phrases
// alone.
func notRefused(a *Answer) (llm.Flags, string) {
	switch {
	case a.Refused:
		return llm.FlagRefused, "the answer is marked as a refusal"
	case len(a.Calls) > 0:
		return 0, ""
	case refuses(a.Text, a.Whole || len(a.Text) >= maxScored):
		return llm.FlagRefused, "the answer refuses what was asked"
	}
	return 0, ""
}

// refuses reports whether an answer refuses what was asked, by how it begins; scored:
// enough of it is there to be scored.
func refuses(text string, scored bool) bool {
	var t terms
	t.read(text)
	return t.phrase || unspacedRefusal(text) || scored && refusals.score(&t) > sure
}

// terms are the words of the beginning of an answer.
type terms struct {
	slots  [3 * maxScored]uint16 // of words, pairs and triples
	n      int
	phrase bool // one of phrases was found, or of denials
}

func (t *terms) read(text string) {
	text = text[:min(len(text), maxRefusal)]
	var last [longestPhrase]uint64 // the hashes of the last words
	h, words, denied := uint64(0), 0, false
	end := func(i int) {
		if h == 0 {
			return
		}
		copy(last[1:], last[:])
		last[0], h = h, 0
		words++
		t.phrase = t.phrase || denied && !excused.has(last[0])
		denied = false
		run := uint64(0)
		for n := range min(words, longestPhrase) {
			run = run*0x9e3779b97f4a7c15 + last[n]
			if n < 3 && i <= maxScored && t.n < len(t.slots) {
				t.slots[t.n] = slot(run, n)
				t.n++
			}
			t.phrase = t.phrase || known.has(run)
			denied = denied || denying.has(run)
		}
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			h = (h ^ uint64(c|0x20)) * 0x100000001b3
			i++
		case c == '\'': // can't is one word
			i++
		case c < utf8.RuneSelf:
			end(i)
			if c == '.' || c == '!' || c == '?' || c == '\n' || c == ':' || c == ';' {
				words = 0 // no phrase goes beyond a sentence
			}
			i++
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			if r != '’' {
				if unicode.IsLetter(r) || unicode.IsMark(r) {
					h = (h ^ uint64(unicode.ToLower(r))) * 0x100000001b3
				} else {
					end(i)
				}
			}
			i += n
		}
	}
	end(len(text))
	t.phrase = t.phrase || denied
}

// slot is where the weight of n+1 words is.
func slot(run uint64, n int) uint16 {
	run ^= uint64(n+1) * 0xff51afd7ed558ccd
	run ^= run >> 29
	return uint16(run * 0xbf58476d1ce4e5b9 >> (64 - refusalBits))
}

// phraseSet are the hashes of phrases, in the order of words from the last.
type phraseSet struct{ slots [1 << 11]uint64 }

func (p *phraseSet) has(run uint64) bool {
	for i := run * 0xff51afd7ed558ccd >> 53; ; i = (i + 1) & (1<<11 - 1) {
		if p.slots[i] == run {
			return true
		}
		if p.slots[i] == 0 {
			return false
		}
	}
}

func (p *phraseSet) add(run uint64) {
	i := run * 0xff51afd7ed558ccd >> 53
	for p.slots[i] != 0 && p.slots[i] != run {
		i = (i + 1) & (1<<11 - 1)
	}
	p.slots[i] = run
}

var known, denying, excused = hashed(phrases), hashed(denials), hashed(excuses)

// hashed makes a set of the phrases of a list, one a line.
func hashed(list string) *phraseSet {
	p := new(phraseSet)
	for line := range strings.Lines(list) {
		words := strings.Fields(strings.ReplaceAll(line, "'", ""))
		if len(words) == 0 {
			continue
		}
		run := uint64(0)
		for i := range words {
			h := uint64(0)
			for _, r := range words[len(words)-1-i] {
				h = (h ^ uint64(r)) * 0x100000001b3
			}
			run = run*0x9e3779b97f4a7c15 + h
		}
		p.add(run)
	}
	return p
}

// unspacedRefusal looks for the phrases of languages without blanks between words.
func unspacedRefusal(text string) bool {
	text = text[:min(len(text), maxRefusal)]
	high := 0
	for i := 0; i < len(text) && high < 4; i++ {
		if text[i] >= 0xe0 && text[i] <= 0xed {
			high++
		}
	}
	if high < 4 {
		return false
	}
	for _, p := range unspaced {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// RefusalModel are the weights of words, pairs and triples of words, hashed.
type RefusalModel struct {
	Weights [1 << refusalBits]int8
	// Scale is what a weight of 1 is worth, Bias what an answer without words
	// scores, both in thousandths of a logit.
	Scale, Bias int32
}

//go:embed refusal.bin
var refusalFile string

// refusals is the model of refusal.bin: weights, then Scale and Bias in
// little-endian.
var refusals = func() *RefusalModel {
	m := new(RefusalModel)
	for i := range m.Weights {
		m.Weights[i] = int8(refusalFile[i])
	}
	tail := refusalFile[len(m.Weights):]
	word := func(b string) int32 {
		return int32(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	}
	m.Scale, m.Bias = word(tail), word(tail[4:])
	return m
}()

// Append appends the model as its file has it.
func (m *RefusalModel) Append(dst []byte) []byte {
	for _, w := range m.Weights {
		dst = append(dst, byte(w))
	}
	for _, v := range []int32{m.Scale, m.Bias} {
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return dst
}

// score is the logarithm of the odds that an answer refuses, in thousandths.
func (m *RefusalModel) score(t *terms) int64 {
	if t.n == 0 {
		return -1
	}
	sum := int64(0)
	for _, s := range t.slots[:t.n] {
		sum += int64(m.Weights[s])
	}
	return sum*int64(m.Scale)/isqrt(t.n) + int64(m.Bias)
}

func isqrt(n int) int64 { return int64(max(1, math.Round(math.Sqrt(float64(n))))) }

// Labelled is an answer of which somebody said whether it refuses.
type Labelled struct {
	Text    string
	Refuses bool
}

// TrainRefusals returns a model of what the answers say: logistic regression with
// AdaGrad and a little weight decay, in the order of the answers, the same each time.
func TrainRefusals(answers []Labelled) *RefusalModel {
	const epochs, rate, decay = 30, 0.3, 1e-4
	var weights, squares [1 << refusalBits]float64
	bias, biasSquare := 0.0, 1e-6
	all := make([]terms, len(answers))
	for i := range answers {
		all[i].read(answers[i].Text)
	}
	for epoch := range epochs {
		for k := range answers {
			// A large prime as the step mixes the answers, and visits each once.
			at := (k*7919 + epoch*104729) % len(answers)
			t := &all[at]
			if t.n == 0 {
				continue
			}
			norm := 1 / float64(isqrt(t.n))
			z := bias
			for _, s := range t.slots[:t.n] {
				z += weights[s] * norm
			}
			y := 0.0
			if answers[at].Refuses {
				y = 1
			}
			g := 1/(1+math.Exp(-z)) - y
			biasSquare += g * g
			bias -= rate * g / math.Sqrt(biasSquare)
			for _, s := range t.slots[:t.n] {
				d := g*norm + decay*weights[s]
				squares[s] += d * d
				if squares[s] > 0 {
					weights[s] -= rate * d / math.Sqrt(squares[s]+1e-8)
				}
			}
		}
	}
	return quantize(&weights, bias)
}

func quantize(weights *[1 << refusalBits]float64, bias float64) *RefusalModel {
	most := 1e-9
	for _, w := range weights {
		most = max(most, math.Abs(w))
	}
	step := math.Ceil(most / 127 * 1000)
	m := &RefusalModel{Scale: int32(step), Bias: int32(math.Round(bias * 1000))}
	for i, w := range weights {
		m.Weights[i] = int8(math.Round(w * 1000 / step))
	}
	return m
}
