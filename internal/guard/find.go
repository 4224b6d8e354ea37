package guard

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
)

const (
	// reach bounds what of a streamed text is held back because a finding may
	// begin there, in bytes. What a finder looks for may be longer, but is seen
	// only in part where a stream cuts it.
	reach = 200
	// grown bounds what is held back of a finding that still grows, in bytes:
	// room for a private key.
	grown = 6 << 10
	// short is how much is held back, in bytes, before it matters how often it is
	// looked at.
	short = 64
	// before is how much of what was let through a finder sees again, in bytes:
	// what stands before a number tells what it is.
	before = 48
)

// Action is what is done with a finding; the greater is done where there are
// several.
type Action uint8

// The actions.
const (
	Pass  Action = iota
	Flag         // it raises the class
	Mask         // something else takes its place
	Block        // the request or the answer is refused
)

var actionNames = [...]string{llm.GuardPass, llm.GuardFlag, llm.GuardMask, llm.GuardBlock}

func (a Action) String() string { return actionNames[a] }

// finding is a place in a text, in bytes.
type finding struct {
	start, end int
	kind       string // the guard's own name for it
	mask       string // what its masks are called
	action     Action
	risk       llm.Risk
	with       string // what takes its place; "": a mask
	back       bool   // the answer has it again
}

// Finder looks for something in texts. Implementations have no state that
// changes and are safe for concurrent use.
type Finder interface {
	// find appends what is in text, in any order.
	find(dst []finding, text string) []finding
	// open returns where the first finding may begin that text does not hold to
	// its end; len(text) where none may. What lies before is decided.
	open(text string) int
	// masks reports whether something else may take the place of what it finds.
	masks() bool
}

// Rule looks for words or a pattern.
type Rule struct {
	Pattern *regexp.Regexp // nil: words
	Words   []string       // found in any case, not within longer words
	Action  Action
	Risk    llm.Risk
}

// NewRules makes the finders of rules, which are numbered from 1 in what they
// find. mask is what their masks are called.
func NewRules(mask string, rules []Rule) []Finder {
	var out []Finder
	for i, r := range rules {
		f := finding{kind: "rule_" + strconv.Itoa(i+1), mask: mask, action: max(Flag, r.Action), risk: r.Risk}
		if r.Pattern != nil {
			out = append(out, &pattern{re: r.Pattern, most: longest(r.Pattern.String()), as: f})
		} else {
			out = append(out, newWords(slices.Clone(r.Words), f))
		}
	}
	return out
}

// pattern finds what a regular expression matches.
type pattern struct {
	re   *regexp.Regexp
	most int // bytes of the longest match, at most reach
	as   finding
}

func (p *pattern) find(dst []finding, text string) []finding {
	for n, m := range p.re.FindAllStringIndex(text, maxFindings+1) {
		if n == maxFindings {
			m[1] = len(text)
		}
		if m[0] < m[1] {
			f := p.as
			f.start, f.end = m[0], m[1]
			dst = append(dst, f)
		}
	}
	return dst
}

// open holds back what a match could begin in, and the character behind it that
// an assertion such as \b looks at.
func (p *pattern) open(text string) int {
	at := max(0, len(text)-min(reach, p.most+utf8.UTFMax)+1)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}

func (p *pattern) masks() bool { return p.as.action == Mask }

// longest is how many bytes a match of an expression may have, at most reach.
func longest(expr string) int {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil { // it was compiled
		return reach
	}
	return length(re)
}

func length(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			n += widest(r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		for _, r := range re.Rune {
			n = max(n, utf8.RuneLen(min(r, utf8.MaxRune)))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = utf8.UTFMax
	case syntax.OpCapture, syntax.OpQuest:
		n = length(re.Sub[0])
	case syntax.OpConcat:
		for _, s := range re.Sub {
			n += length(s)
		}
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			n = max(n, length(s))
		}
	case syntax.OpRepeat:
		if re.Max < 0 {
			return reach
		}
		n = length(re.Sub[0]) * re.Max
	case syntax.OpStar, syntax.OpPlus:
		return reach
	}
	return min(n, reach)
}

// widest is how many bytes a character may have, in any case where it folds.
func widest(r rune, folds bool) int {
	n := max(1, utf8.RuneLen(r))
	for f := unicode.SimpleFold(r); folds && f != r; f = unicode.SimpleFold(f) {
		n = max(n, utf8.RuneLen(f))
	}
	return n
}

// words finds words and phrases in any case, with any white space between those
// of a phrase.
type words struct {
	by map[rune][][]rune // folded, a space between the words of a phrase, the longest first; by their first character
	as finding
}

func newWords(list []string, as finding) *words {
	w := &words{by: map[rune][][]rune{}, as: as}
	for _, s := range list {
		if p := []rune(strings.Join(strings.Fields(s), " ")); len(p) > 0 {
			for i := range p {
				p[i] = unicode.ToLower(p[i])
			}
			w.by[p[0]] = append(w.by[p[0]], p)
		}
	}
	for _, list := range w.by {
		slices.SortFunc(list, func(a, b []rune) int { return len(b) - len(a) })
	}
	return w
}

// at returns how long the phrase is that text begins with, -1 where it begins with
// none; open says that it may be the beginning of one.
func (w *words) at(text string) (size int, open bool) {
	first, _ := utf8.DecodeRuneInString(text)
	size = -1
	for _, p := range w.by[unicode.ToLower(first)] {
		n, whole, more := 0, false, false
		for i, want := range p {
			if more = n == len(text); more {
				break
			}
			r, width := utf8.DecodeRuneInString(text[n:])
			if want == ' ' && unicode.IsSpace(r) {
				for n += width; n < len(text); n += width { // all of it
					if r, width = utf8.DecodeRuneInString(text[n:]); !unicode.IsSpace(r) {
						break
					}
				}
				continue
			}
			if unicode.ToLower(r) != want {
				break
			}
			n += width
			whole = i == len(p)-1
		}
		if whole {
			more = n == len(text) // what follows may make it another word
			if edge(text, n) {
				size = max(size, n)
			}
		}
		open = open || more
	}
	return size, open
}

func (w *words) find(dst []finding, text string) []finding {
	inside, from := false, 0
	for i, r := range text {
		l := letter(r)
		if i >= from && !(inside && l) {
			if n, _ := w.at(text[i:]); n > 0 {
				f := w.as
				f.start, f.end = i, i+n
				dst = append(dst, f)
				from = i + n
			}
		}
		inside = l
	}
	return dst
}

// edge reports whether a word begins or ends at position i of text.
func edge(text string, i int) bool {
	l, _ := utf8.DecodeLastRuneInString(text[:i])
	r, _ := utf8.DecodeRuneInString(text[i:])
	return !(letter(l) && letter(r))
}

func letter(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r)
}

// open holds back the beginning of a word of the list.
func (w *words) open(text string) int {
	from := max(0, len(text)-reach)
	for from < len(text) && !utf8.RuneStart(text[from]) {
		from++
	}
	before, _ := utf8.DecodeLastRuneInString(text[:from])
	inside := letter(before)
	for i, r := range text[from:] {
		l := letter(r)
		if !(inside && l) {
			if _, open := w.at(text[from+i:]); open {
				return from + i
			}
		}
		inside = l
	}
	return len(text)
}

func (w *words) masks() bool { return w.as.action == Mask }

// NewPII makes the finder of what identifies people or lets them in. actions
// says what is done with each kind; a kind that it lacks is not looked for.
func NewPII(actions map[signal.Kind]Action, risk llm.Risk) []Finder {
	return []Finder{&pii{actions, risk}}
}

type pii struct {
	actions map[signal.Kind]Action
	risk    llm.Risk
}

func (p *pii) find(dst []finding, text string) []finding {
	var space [8]signal.Span
	for _, s := range signal.Find(space[:0], text) {
		if a := p.actions[s.Kind]; a != Pass {
			dst = append(dst, finding{start: s.Start, end: s.End, kind: s.Kind.String(), mask: strings.Trim(s.Kind.Mask(), "[]"), action: a, risk: p.risk})
		}
	}
	return dst
}

// open holds back the last run of what addresses, keys and numbers are made of,
// and the groups of a number before it.
func (p *pii) open(text string) int {
	at := len(text)
	for at > 0 && len(text)-at < grown/2 && joins(text, at-1) {
		at--
	}
	if run := text[at:]; len(run) > reach && !strings.Contains(run, "eyJ") { // a token is long before it is one
		at = len(text) - reach
	}
	at = min(at, numeral(text), account(text))
	if i := strings.LastIndex(text[max(0, len(text)-2*reach):], "-----BEG"); i >= 0 {
		at = min(at, max(0, len(text)-2*reach)+i)
	}
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}

func (p *pii) masks() bool {
	for _, a := range p.actions {
		if a == Mask {
			return true
		}
	}
	return false
}

// joins reports whether the byte at i may stand within an address or a key.
func joins(text string, i int) bool {
	switch c := text[i]; {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c >= 0xc3 && c <= 0xc9:
		return true
	case c >= 0x80 && c < 0xc0:
		return i > 0 && text[i-1] >= 0xc3 && text[i-1] <= 0xc9
	default:
		return strings.IndexByte("_.%+-'@:()", c) >= 0
	}
}

// numeral is where the groups of digits begin that a text ends with.
func numeral(text string) int {
	at := len(text)
	for i := at - 1; i >= 0 && len(text)-i <= before; i-- {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c == '+', c == '(':
			at = i
		case strings.IndexByte(" -.)", c) >= 0:
		default:
			return at
		}
	}
	return at
}

// account is where the groups of an IBAN may begin that a text ends with: two
// letters and two digits, then groups of up to four.
func account(text string) int {
	at, size := len(text), 0
	for i := len(text) - 1; i >= -1 && len(text)-i <= before; i-- {
		if i >= 0 && text[i] != ' ' {
			if c := text[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
				return at
			}
			if size++; size > 4 {
				return at
			}
			continue
		}
		if g := text[i+1:]; size == 4 && !digits(g[:1]) && !digits(g[1:2]) && digits(g[2:4]) {
			at = i + 1
		}
		size = 0
	}
	return at
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// literals finds texts that somebody named, as they are.
type literals struct {
	texts []string
	as    finding
}

func (l *literals) find(dst []finding, text string) []finding {
	for _, s := range l.texts {
		for at, n := 0, 0; n <= maxFindings; n++ {
			i := strings.Index(text[at:], s)
			if i < 0 {
				break
			}
			f := l.as
			f.start, f.end = at+i, at+i+len(s)
			if n == maxFindings {
				f.end = len(text)
			}
			dst = append(dst, f)
			at = f.end
		}
	}
	return dst
}

// open implements finder: literals are looked for in whole texts.
func (l *literals) open(text string) int { return len(text) }

func (l *literals) masks() bool { return true }

// maxFindings bounds how often a pattern or a literal is found in one text: the
// next time, all that follows counts as found.
const maxFindings = 100_000

// merged are the findings that are masked, in their order; those that meet are
// one.
func merged(all []finding) []finding {
	var out []finding
	for _, f := range all {
		if f.action == Mask {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b finding) int { return cmp.Or(a.start-b.start, b.end-a.end) })
	n := 0
	for _, f := range out {
		if n > 0 && f.start < out[n-1].end {
			out[n-1].end, out[n-1].back = max(out[n-1].end, f.end), out[n-1].back && f.back
			continue
		}
		out[n] = f
		n++
	}
	return out[:n]
}
