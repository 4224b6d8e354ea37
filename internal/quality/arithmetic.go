package quality

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxTerms bounds the numbers of one calculation, maxDigits those of one
	// number, maxSums the calculations of one answer, maxSigns the equals signs.
	maxTerms  = 32
	maxDigits = 24
	maxSums   = 256
	maxSigns  = 2048
)

// arithmetic: the calculations that the answer writes out are right: a + b = c,
// with any number of terms, brackets, × · ÷ and their names in LaTeX, thousands
// separators, currencies, percent and units. Numbers are exact decimals; the
// result may be rounded as it is written. What is no plain calculation is passed
// by: variables, powers, remainders, units that are converted, other bases.
func arithmetic(a *Answer) (llm.Flags, string) {
	good, bad := sums(a.Text)
	if bad == 0 {
		return 0, ""
	}
	return llm.FlagArithmetic, fmt.Sprintf("%d of %d calculations are wrong", bad, good+bad)
}

// sums counts the calculations of a text that are right and wrong.
func sums(text string) (good, bad int) {
	if strings.IndexByte(text, '=') < 0 || otherBase(text) {
		return 0, 0
	}
	for at, signs := 0, 0; good+bad < maxSums && signs < maxSigns; signs++ {
		i := strings.IndexByte(text[at:], '=')
		if i < 0 {
			break
		}
		at += i + 1
		switch verdict(text, at-1) {
		case right:
			good++
		case wrong:
			bad++
		}
	}
	return good, bad
}

// otherBase reports whether a text may count in something else than tens.
func otherBase(text string) bool {
	lower := strings.ToLower(text)
	for _, w := range []string{"binary", "hexadecimal", "octal", " mod ", "modulo", "mod(", "base-", "base 2", "base 8", "base 16", "xor", "bitwise", "clock arithmetic"} {
		if strings.Contains(lower, w) {
			return true
		}
	}
	return false
}

type outcome uint8

const (
	unclear outcome = iota
	right
	wrong
)

// verdict judges the calculation around the '=' at i. Numbers with one comma can be
// read in two ways; it is wrong only if it is so in both.
func verdict(text string, i int) outcome {
	if i > 0 && strings.IndexByte("=<>!~+-*/%&|^:", text[i-1]) >= 0 || i+1 < len(text) && strings.IndexByte("=>~", text[i+1]) >= 0 {
		return unclear // an operator of a program
	}
	left := text[lineStart(text, i):i]
	after := text[i+1 : lineEnd(text, i)]
	if e := strings.IndexByte(after, '='); e >= 0 {
		after = after[:e]
	}
	chained := false
	if e := strings.LastIndexByte(left, '='); e >= 0 {
		left, chained = left[e+1:], true
	}
	after = strings.TrimPrefix(strings.TrimLeft(after, " *"), `\boxed{`)
	result := unclear
	for _, comma := range []bool{false, true} {
		switch v := compare(left, after, comma, chained); v {
		case right:
			return right
		case wrong:
			result = wrong
		}
		if !strings.ContainsRune(left, ',') && !strings.ContainsRune(after, ',') {
			break
		}
	}
	return result
}

// maxSide bounds the bytes of one side of a calculation.
const maxSide = 400

func lineStart(text string, i int) int {
	from := max(0, i-maxSide)
	return from + strings.LastIndexByte(text[from:i], '\n') + 1
}

func lineEnd(text string, i int) int {
	to := min(len(text), i+1+maxSide)
	if n := strings.IndexByte(text[i:to], '\n'); n >= 0 {
		return i + n
	}
	return to
}

// compare judges what stands on both sides of an equals sign. comma: a comma is
// where the decimals begin; chained: the left side is what another sign left of it
// made.
func compare(left, after string, comma, chained bool) outcome {
	r := parser{in: after, comma: comma}
	result, ok := r.sum(0)
	if !ok || goesOn(after[r.at:]) {
		return unclear
	}
	calculation, ok := end(left, comma)
	if !ok || !calculation.fits(result) {
		return unclear
	}
	if calculation.terms == 1 {
		if !chained || result.terms == 1 {
			return unclear
		}
		calculation, result = result, calculation
	}
	if calculation.near(result) {
		return right
	}
	if result.percent && !calculation.percent { // 20/80 × 100 = 25 %
		result.value.Mul(result.value, hundred)
		result.step.Mul(result.step, hundred)
		if calculation.near(result) {
			return right
		}
	}
	return wrong
}

// side is what one side of a calculation comes to.
type side struct {
	value   *big.Rat
	step    *big.Rat // what the last digit of its finest number is worth
	loose   *big.Rat // what it may be off because its terms were rounded
	terms   int
	percent bool // all of it is a percentage
	mixed   bool // it adds what cannot be added
	units   []string
}

// fits reports whether the other side says it in a unit of this one.
func (l *side) fits(r *side) bool {
	if l.mixed || r.mixed {
		return false
	}
	for _, u := range r.units {
		if len(l.units) > 0 && !slices.Contains(l.units, u) {
			return false
		}
	}
	return true
}

// near reports whether r is the value of l, or that rounded or cut off as it is
// written; and where r is written coarser than l's terms, what they were rounded by
// may be missing too.
func (l *side) near(r *side) bool {
	diff := new(big.Rat).Sub(l.value, r.value)
	if diff.Abs(diff).Sign() == 0 {
		return true
	}
	slack := new(big.Rat)
	if r.terms == 1 {
		if steps := new(big.Rat).Quo(l.value, r.step); !steps.IsInt() {
			slack.Mul(r.step, half)
			if new(big.Rat).Abs(r.value).Cmp(new(big.Rat).Abs(l.value)) < 0 {
				slack.Set(r.step)
			}
		}
	}
	if r.terms > 1 || r.step.Cmp(l.step) > 0 {
		slack.Add(slack, l.loose)
		slack.Add(slack, r.loose)
	}
	return diff.Cmp(slack) <= 0
}

// finer notes the finest step.
func (l *side) finer(t *side) {
	if t.step.Cmp(l.step) < 0 {
		l.step = t.step
	}
}

var (
	half    = big.NewRat(1, 2)
	hundred = big.NewRat(100, 1)
)

// stops are words behind a number by which it is not the whole result.
var stops = []string{"remainder", "rest", "reste", "resto", "r", "mod", "plus", "minus", "times", "over", "divided", "million", "billion", "trillion", "thousand", "hundred",
	"dozen", "millionen", "milliarden", "tausend", "millones", "millions", "mil", "squared", "cubed", "factorial", "am", "pm", "if", "when", "where", "for"}

// goesOn reports whether a text continues a calculation in a way that is not read.
func goesOn(rest string) bool {
	s := strings.TrimLeft(rest, " \t")
	if s == "" {
		return false
	}
	glued := len(s) == len(rest)
	if op, n := operator(s); op != 0 {
		return term(strings.TrimLeft(s[n:], " \t"))
	}
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case unicode.IsDigit(r), strings.ContainsRune("^√²³⁴⁵⁰¹⅓⅔½¼¾π…", r):
		return true
	case unicode.IsLetter(r):
		word := s
		if e := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }); e >= 0 {
			word = s[:e]
		}
		lower := strings.ToLower(word)
		if lower == "and" || lower == "or" || lower == "und" || lower == "et" || lower == "y" || lower == "to" {
			return term(strings.TrimLeft(s[len(word):], " "))
		}
		return slices.Contains(stops, lower) || len(word) == n && (glued || lower != "a" && lower != "i" && r < 0x2e80)
	}
	switch s[0] {
	case '_', '{', '(', '[', '!':
		return glued
	case ':', '.', ',':
		return glued && n < len(s) && unicode.IsDigit(rune(s[1]))
	case '\\':
		return !strings.HasPrefix(s, `\)`) && !strings.HasPrefix(s, `\]`) && !strings.HasPrefix(s, `\\`) && !strings.HasPrefix(s, `\text`) && !strings.HasPrefix(s, `\quad`)
	}
	return false
}

// term reports whether a text begins like a number, a bracket or a variable.
func term(s string) bool {
	if s == "" {
		return false
	}
	r, n := utf8.DecodeRuneInString(s)
	if unicode.IsLetter(r) {
		next, _ := utf8.DecodeRuneInString(s[n:])
		return !unicode.IsLetter(next)
	}
	return unicode.IsDigit(r) || strings.ContainsRune("($€£\\√.-−", r)
}

// operator returns the operator that a text begins with, as + - * or /, and its
// bytes; 0 for none.
func operator(s string) (byte, int) {
	if s == "" {
		return 0, 0
	}
	switch c := s[0]; c {
	case '+', '-', '/':
		return c, 1
	case '*':
		if strings.HasPrefix(s, "**") {
			return 0, 0
		}
		return c, 1
	case 'x', 'X':
		if t := strings.TrimLeft(s[1:], " "); t != "" && (t[0] >= '0' && t[0] <= '9' || t[0] == '$' || t[0] == '(') {
			return '*', 1
		}
		return 0, 0
	}
	for _, o := range []struct {
		text string
		op   byte
	}{{"×", '*'}, {"·", '*'}, {"⋅", '*'}, {"∙", '*'}, {"÷", '/'}, {"−", '-'}, {"–", '-'}, {`\times`, '*'}, {`\cdot`, '*'}, {`\div`, '/'}} {
		if strings.HasPrefix(s, o.text) {
			return o.op, len(o.text)
		}
	}
	return 0, 0
}

// end reads the calculation at the end of a text: the longest of which nothing is
// left.
func end(text string, comma bool) (*side, bool) {
	tries := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c >= '0' && c <= '9':
			if i > 0 && (text[i-1] >= '0' && text[i-1] <= '9' || text[i-1] == '.' || text[i-1] == ',') {
				continue // within a number
			}
		case c == '-' && i+1 < len(text) && text[i+1] == ' ':
			continue // an item, or an operator
		case c != '(' && c != '$' && c != '-' && c != '.' && c != '\\' && c < utf8.RuneSelf:
			continue
		}
		if !starts(text[:i]) {
			continue
		}
		if tries++; tries > maxTerms {
			return nil, false
		}
		p := parser{in: text, at: i, comma: comma}
		if s, ok := p.sum(0); ok && strings.Trim(text[p.at:], " \t`") == "" {
			return s, true
		}
	}
	return nil, false
}

// opens are words behind which a number goes on with what was before.
var opens = []string{"plus", "minus", "times", "of", "over", "by", "mod", "sqrt", "log", "power", "and", "from", "to", "add", "subtract", "multiply", "divide", "root", "with", "than", "mal", "durch"}

// starts reports whether a calculation may begin behind a text: not behind an
// operator, a bracket, a number or a variable.
func starts(before string) bool {
	s := strings.TrimRight(before, " \t")
	if s == "" {
		return true
	}
	glued := len(s) == len(before)
	r, n := utf8.DecodeLastRuneInString(s)
	switch {
	case unicode.IsLetter(r):
		word := s[strings.LastIndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })+1:]
		return !glued && (len(word) > n || word == "a" || r >= 0x2e80) && !slices.Contains(opens, strings.ToLower(word))
	case unicode.IsDigit(r):
		return false
	case r == '$':
		return glued && starts(s[:len(s)-n]) // a formula
	case r == '*' || r == '-' || r == '•':
		return strings.Trim(s, "*-• \t>#") == "" || strings.HasSuffix(s, "**") && glued // an item, bold
	case r == '.' || r == ')':
		return !glued && (r == '.' || strings.IndexByte(s, '(') < 0 && len(strings.TrimSpace(s)) <= 3) // a sentence, "2)"
	case r == '<':
		return glued && strings.HasSuffix(s, "<<") // a calculator's note
	case r == '(' || r == '[':
		return strings.HasSuffix(s, `\(`) || strings.HasSuffix(s, `\[`)
	}
	return strings.ContainsRune(":,;=>?!\"'`“|&", r) || r >= 0x2e80
}

// parser reads a calculation.
type parser struct {
	in    string
	at    int
	comma bool
	terms int
}

func (p *parser) blank() {
	for p.at < len(p.in) && (p.in[p.at] == ' ' || p.in[p.at] == '\t') {
		p.at++
	}
}

// maxNest bounds brackets within brackets.
const maxNest = 8

// next returns the operator that follows where a term follows it; 0 for none. It
// is passed only if it is one of those asked for.
func (p *parser) next(of string) byte {
	from := p.at
	p.blank()
	op, n := operator(p.in[p.at:])
	if op != 0 && strings.IndexByte(of, op) >= 0 && term(strings.TrimLeft(p.in[p.at+n:], " \t")) {
		p.at += n
		return op
	}
	p.at = from
	return 0
}

func (p *parser) sum(depth int) (*side, bool) {
	s, ok := p.product(depth)
	for ok {
		op := p.next("+-")
		if op == 0 {
			return s, true
		}
		var t *side
		if t, ok = p.product(depth); !ok {
			break
		}
		if op == '-' {
			t.value.Neg(t.value)
		}
		s.value.Add(s.value, t.value)
		s.loose.Add(s.loose, t.loose)
		s.mixed = s.mixed || t.mixed || s.percent != t.percent || len(s.units) > 0 && len(t.units) > 0 && !slices.Equal(s.units, t.units)
		s.terms += t.terms
		s.finer(t)
		s.units = append(s.units, t.units...)
	}
	return nil, false
}

func (p *parser) product(depth int) (*side, bool) {
	s, ok := p.factor(depth)
	for ok {
		op := p.next("*/")
		if op == 0 && s.percent && strings.HasPrefix(strings.TrimLeft(p.in[p.at:], " "), "of ") {
			p.blank()
			p.at += len("of ")
			op = '*'
		}
		if op == 0 {
			return s, true
		}
		var t *side
		if t, ok = p.factor(depth); !ok || op == '/' && t.value.Sign() == 0 {
			break
		}
		// The relative errors add up.
		loose := new(big.Rat).Mul(s.loose, t.value)
		other := new(big.Rat).Mul(t.loose, s.value)
		if op == '*' {
			s.value.Mul(s.value, t.value)
			s.loose = loose.Add(loose.Abs(loose), other.Abs(other))
		} else {
			square := new(big.Rat).Mul(t.value, t.value)
			s.value.Quo(s.value, t.value)
			s.loose = loose.Quo(loose.Add(loose.Abs(loose), other.Abs(other)), square)
		}
		s.mixed = s.mixed || t.mixed
		s.percent = s.percent && t.percent && op == '*'
		s.finer(t)
		s.terms += t.terms
		s.units = append(s.units, t.units...)
	}
	return nil, false
}

// factor reads a number, a fraction of LaTeX or what brackets hold.
func (p *parser) factor(depth int) (*side, bool) {
	p.blank()
	if depth == maxNest || p.terms == maxTerms || p.at >= len(p.in) {
		return nil, false
	}
	rest := p.in[p.at:]
	switch {
	case rest[0] == '-' || strings.HasPrefix(rest, "−"):
		_, n := utf8.DecodeRuneInString(rest)
		p.at += n
		s, ok := p.factor(depth + 1)
		if ok {
			s.value.Neg(s.value)
		}
		return s, ok
	case rest[0] == '(':
		p.at++
		s, ok := p.sum(depth + 1)
		p.blank()
		if !ok || p.at >= len(p.in) || p.in[p.at] != ')' {
			return nil, false
		}
		p.at++
		s.units = append(s.units, p.unit()...)
		return s, p.apart()
	case strings.HasPrefix(rest, `\frac{`):
		p.at += len(`\frac{`)
		n, ok := p.sum(depth + 1)
		if !ok || !strings.HasPrefix(p.in[p.at:], "}{") {
			return nil, false
		}
		p.at += len("}{")
		d, ok := p.sum(depth + 1)
		if !ok || !strings.HasPrefix(p.in[p.at:], "}") || d.value.Sign() == 0 {
			return nil, false
		}
		p.at++
		n.value.Quo(n.value, d.value)
		n.terms += d.terms
		return n, p.apart()
	}
	return p.number()
}

// apart reports whether a factor ends here: no power, index or variable is glued
// to it.
func (p *parser) apart() bool {
	rest := p.in[p.at:]
	if rest == "" {
		return true
	}
	if op, _ := operator(rest); op != 0 {
		return true
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("^_([{!²³⁴⁵⁰¹½¼¾", r) && !(strings.HasPrefix(rest, "**") && term(rest[2:]))
}

var currencies = []string{`\$`, "$", "€", "£", "¥", "US$", "₹"}

// number reads a number with its currency, percent and unit.
func (p *parser) number() (*side, bool) {
	p.terms++
	s := &side{terms: 1, loose: new(big.Rat)}
	for _, c := range currencies {
		if strings.HasPrefix(p.in[p.at:], c) {
			p.at += len(c)
			s.units = append(s.units, strings.TrimPrefix(c, `\`))
			break
		}
	}
	scale, ok := p.digits(s)
	if !ok {
		return nil, false
	}
	s.step = new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	if scale >= 2 {
		s.loose.Mul(s.step, half)
	}
	rest := p.in[p.at:]
	trimmed := strings.TrimPrefix(strings.TrimLeft(rest, " "), `\`)
	if strings.HasPrefix(trimmed, "%") && !term(strings.TrimLeft(trimmed[1:], " ")) {
		p.at += len(rest) - len(trimmed) + 1
		s.percent = true
		for _, v := range []*big.Rat{s.value, s.step, s.loose} {
			v.Quo(v, hundred)
		}
	}
	s.units = append(s.units, p.unit()...)
	return s, p.apart()
}

// digits reads the digits of a number and returns how many are decimals.
func (p *parser) digits(s *side) (scale int, ok bool) {
	point, group := byte('.'), byte(',')
	if p.comma {
		point, group = group, point
	}
	var digits []byte
	from, decimals := p.at, false
	for p.at < len(p.in) && len(digits) <= maxDigits {
		c := p.in[p.at]
		next := byte(0)
		if p.at+1 < len(p.in) {
			next = p.in[p.at+1]
		}
		switch {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
			if decimals {
				scale++
			}
		case c == point && !decimals && next >= '0' && next <= '9':
			decimals = true
		case c == group && !decimals && len(digits) > 0 && threeDigits(p.in[p.at+1:]) && (p.at-from <= 3 || p.in[p.at-4] == group):
		default:
			goto done
		}
		p.at++
	}
done:
	if len(digits) == 0 || len(digits) > maxDigits {
		return 0, false
	}
	n, _ := new(big.Int).SetString(string(digits), 10)
	s.value = new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	return scale, true
}

func threeDigits(s string) bool {
	for i := range 3 {
		if i >= len(s) || s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 3 || s[3] < '0' || s[3] > '9'
}

// unit reads the word behind a number that says of what it is.
func (p *parser) unit() []string {
	rest := p.in[p.at:]
	s := strings.TrimLeft(rest, " ")
	if t, ok := strings.CutPrefix(s, `\text{`); ok {
		end := strings.IndexByte(t, '}')
		if end < 0 {
			return nil
		}
		p.at += len(rest) - len(t) + end + 1
		return named(strings.Trim(t[:end], " ."))
	}
	for _, c := range []string{"€", "£", "¥", "$"} {
		if strings.HasPrefix(s, c) && !term(strings.TrimLeft(s[len(c):], " ")) && (c != "$" || len(s) < len(rest)) {
			p.at += len(rest) - len(s) + len(c)
			return []string{c}
		}
	}
	end := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	if end < 0 {
		end = len(s)
	}
	word := s[:end]
	if utf8.RuneCountInString(word) < 2 || slices.Contains(stops, strings.ToLower(word)) || slices.Contains(opens, strings.ToLower(word)) || strings.ToLower(word) == "or" {
		return nil
	}
	p.at += len(rest) - len(s) + end
	return named(word)
}

// named is a unit by its name, the same in singular and plural.
func named(word string) []string {
	switch w := strings.TrimSuffix(strings.ToLower(word), "s"); w {
	case "":
		return nil
	case "dollar", "usd":
		return []string{"$"}
	case "euro", "eur":
		return []string{"€"}
	case "pound", "gbp":
		return []string{"£"}
	default:
		return []string{w}
	}
}
