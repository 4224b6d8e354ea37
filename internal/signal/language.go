package signal

import (
	"math/bits"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// leastLetters is what a language is told by at least; a character of Han,
	// Kana or Hangul counts as three.
	leastLetters = 20
	// maxTold bounds the words that a language is told by, maxWords those that are
	// looked up for what a text speaks of.
	maxTold  = 64
	maxWords = 512
)

// lexicon finds what a word, its ends and its letters say. It is made once.
type lexicon struct {
	slots [1 << lexiconBits]entry
}

const lexiconBits = 15

// entry says of which languages a piece is, how much that weighs, and of what it
// speaks.
type entry struct {
	key    uint32 // 0: free
	weight uint8
	topic  Shape
	of     uint64 // bit n: tongues[n]
}

// What a key is made of tells pieces of different kinds apart.
const (
	wholeWord = 0x9e3779b97f4a7c15 + iota*0x5851f42d4c957f2d&0xffff
	firstThree
	lastThree
	oneMark
)

func mix(h, kind uint64) uint32 {
	h = (h ^ kind) * 0xff51afd7ed558ccd
	return uint32(h>>32) | 1
}

func three(a, b, c rune) uint64 {
	return (uint64(a)<<42 | uint64(b)<<21 | uint64(c)) * 0xc4ceb9fe1a85ec53
}

func (l *lexicon) find(key uint32) *entry {
	for i := key >> (32 - lexiconBits); ; i = (i + 1) & (1<<lexiconBits - 1) {
		if e := &l.slots[i]; e.key == key || e.key == 0 {
			return e
		}
	}
}

// lexical makes the lexicon of tongues and topics.
var lexical = sync.OnceValue(func() *lexicon {
	l := new(lexicon)
	add := func(key uint32, n int) {
		e := l.find(key)
		e.key = key
		e.of |= 1 << n
	}
	for n, t := range tongues {
		for w := range strings.FieldsFuncSeq(t.words, func(r rune) bool { return r == ' ' || r == '\n' || r == '\'' || r == zeroWidth }) {
			v := vocable{}
			for _, r := range w {
				v.add(r)
			}
			add(v.whole(), n)
			if v.n > 3 {
				add(v.first(), n)
				add(v.last(), n)
			}
		}
		for _, r := range t.marks {
			add(mix(uint64(r), oneMark), n)
		}
	}
	for i := range l.slots {
		e := &l.slots[i]
		e.weight = rarity[min(bits.OnesCount64(e.of), len(rarity)-1)]
	}
	for _, t := range topics {
		for w := range strings.FieldsSeq(t.words) {
			v := vocable{}
			for _, r := range w {
				v.add(r)
			}
			e := l.find(v.whole())
			e.key = v.whole()
			e.topic |= t.shape
		}
	}
	return l
})

// rarity weighs a piece by how many languages have it: about the logarithm of one
// in so many.
var rarity = [...]uint8{0, 12, 8, 6, 5, 4, 3, 3, 2, 2, 1}

const zeroWidth = 0x200c // joins nothing: between a word and its ending in Persian

// vocable is a word while it is read, letter by letter in lower case.
type vocable struct {
	hash       uint64
	n          int
	odd        bool // digits are in it: it is no word
	script     script
	head       uint64
	r1, r2, r3 rune // the last letters, r3 the very last
}

func (v *vocable) add(r rune) {
	v.hash = (v.hash ^ uint64(r)) * 0x100000001b3
	v.r1, v.r2, v.r3 = v.r2, v.r3, r
	if v.n++; v.n == 3 {
		v.head = three(v.r1, v.r2, v.r3)
	}
}

// plain reads the word at the beginning of a text, where all its letters are of
// ASCII and it ends behind them, and returns its bytes; 0 for another.
func (v *vocable) plain(text string) int {
	i, h := 0, uint64(0)
	for ; i < len(text) && lineClass[text[i]]-isLower <= 1 && text[i] < utf8.RuneSelf; i++ {
		h = (h ^ uint64(text[i]|0x20)) * 0x100000001b3
	}
	if i == 0 || i < len(text) && (text[i] >= utf8.RuneSelf || isDigit(text[i])) {
		return 0
	}
	v.hash, v.n, v.script = h, i, scriptLatin
	if i > 3 {
		v.head = three(rune(text[0]|0x20), rune(text[1]|0x20), rune(text[2]|0x20))
		v.r1, v.r2, v.r3 = rune(text[i-3]|0x20), rune(text[i-2]|0x20), rune(text[i-1]|0x20)
	}
	return i
}

func (v *vocable) whole() uint32 { return mix(v.hash, wholeWord) }
func (v *vocable) first() uint32 { return mix(v.head, firstThree) }
func (v *vocable) last() uint32  { return mix(three(v.r1, v.r2, v.r3), lastThree) }

// speech is what is known of the language of a text while it is read.
type speech struct {
	lexicon *lexicon
	scores  [64]int32
	letters [scripts]int32
	words   int32
	topic   Shape
}

func (s *speech) credit(e *entry, by int32) {
	w := int32(e.weight) * by
	for of := e.of; of != 0; of &= of - 1 {
		s.scores[bits.TrailingZeros64(of)] += w
	}
}

// word ends a word.
func (s *speech) word(v *vocable) {
	if v.n == 0 || v.odd {
		if v.odd {
			*v = vocable{}
		}
		return
	}
	s.letters[v.script] += int32(v.n)
	s.words++
	e := s.lexicon.find(v.whole())
	s.topic |= e.topic
	switch {
	case s.words > maxTold:
	case e.key != 0:
		s.credit(e, 3)
	case v.n > 3:
		if e := s.lexicon.find(v.first()); e.of&(e.of-1) == 0 || bits.OnesCount64(e.of) <= 3 {
			s.credit(e, 1)
		}
		if e := s.lexicon.find(v.last()); e.of&(e.of-1) == 0 || bits.OnesCount64(e.of) <= 3 {
			s.credit(e, 1)
		}
	}
	*v = vocable{}
}

// read takes the words of a piece of prose, until there are enough.
func (s *speech) read(text string) {
	var v vocable
	for i := 0; i < len(text) && s.words < maxWords; {
		if v.n == 0 && !v.odd {
			if text[i] == ' ' {
				i++
				continue
			}
			if n := v.plain(text[i:]); n > 0 {
				i += n
				s.word(&v)
				continue
			}
		}
		if c := text[i]; c < utf8.RuneSelf {
			i++
			if c|0x20 >= 'a' && c|0x20 <= 'z' {
				v.script = scriptLatin
				v.add(rune(c | 0x20))
			} else if isDigit(c) {
				v.odd = true
			} else {
				s.word(&v)
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		in := scriptOf(r)
		if in == scriptNone {
			s.word(&v)
			continue
		}
		switch in {
		case scriptLatin, scriptCyrillic:
			r = unicode.ToLower(r)
			fallthrough
		case scriptArabic, scriptDevanagari:
			if e := s.lexicon.find(mix(uint64(r), oneMark)); e.key != 0 {
				s.credit(e, 1)
			}
			v.script = in
			v.add(r)
		default: // no words to look up
			s.letters[in]++
			if s.letters[in]%8 == 0 {
				s.words++
			}
			s.word(&v)
		}
	}
	s.word(&v)
}

// language returns the language that was read as ISO 639-1 has it, and how sure
// that is, from 0 to 1; "" for too few letters or too near to another one.
func (s *speech) language() (string, float64) {
	n := &s.letters
	var in script
	total := int32(0)
	for k := range n {
		if k == int(scriptHan) || k == int(scriptKana) || k == int(scriptHangul) {
			n[k] *= 3
		}
		total += n[k]
		if n[k] > n[in] {
			in = script(k)
		}
	}
	if total < leastLetters {
		return "", 0
	}
	share := float64(n[in]) / float64(total)
	switch {
	case n[scriptKana] > 0 && n[scriptKana]*8 >= n[scriptHan] && (in == scriptHan || in == scriptKana):
		return "ja", float64(n[scriptKana]+n[scriptHan]) / float64(total)
	case sole[in] != "":
		return sole[in], share
	}
	best, second := -1, int32(0)
	for k := range tongues {
		switch score := s.scores[k]; {
		case tongues[k].script != in:
		case best < 0 || score > s.scores[best]:
			if best >= 0 {
				second = max(second, s.scores[best])
			}
			best = k
		default:
			second = max(second, score)
		}
	}
	if best < 0 || s.scores[best] == 0 {
		return "", 0
	}
	top := float64(s.scores[best])
	// How much is known of its words, and how far ahead of the next it is.
	known := min(1, top/(leastScore*float64(min(s.words, maxTold))))
	ahead := (top - float64(second)) / top
	sure := share * known * min(1, ahead*3)
	if sure < leastSure {
		return "", sure
	}
	return tongues[best].code, sure
}

const (
	// leastScore is what a word of a known language scores, with most of the
	// text's names and rare words in it.
	leastScore = 4
	leastSure  = 0.15
)

// Language returns the language of a text as ISO 639-1 has it, and how sure that
// is, from 0 to 1. It is "" for what has less than 20 letters, for code, and where
// no language is well ahead of the others.
func Language(text string) (string, float64) {
	var t reader
	t.readEnds(text)
	return t.speech.language()
}

// Knows reports whether Language can give code.
func Knows(code string) bool {
	for _, t := range tongues {
		if t.code == code {
			return true
		}
	}
	for _, c := range sole {
		if c == code && c != "" {
			return true
		}
	}
	return false
}
