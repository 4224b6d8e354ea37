package signal

import (
	"slices"
)

// Kind is what a Span holds.
type Kind uint8

// The kinds. Cards and IBANs have check digits; keys and tokens are told by
// their makers' marks; what nothing proves, names and addresses of people, is
// not looked for.
const (
	Email Kind = iota
	Card       // of a known range, with Luhn's check digit
	IBAN       // by its country's pattern, modulo 97
	SSN        // of the United States
	Phone      // E.164 with its plus, or a North American number as it is written there
	IP         // version 4 or 6, of one machine that others can reach
	JWT
	APIKey // and private keys
	kinds
)

var kindNames = [kinds]string{Email: "email", Card: "card", IBAN: "iban", SSN: "ssn", Phone: "phone", IP: "ip", JWT: "jwt", APIKey: "api_key"}

// masks are what stands in the place of a span.
var masks = [kinds]string{Email: "[EMAIL]", Card: "[CARD]", IBAN: "[IBAN]", SSN: "[SSN]", Phone: "[PHONE]", IP: "[IP]", JWT: "[JWT]", APIKey: "[API_KEY]"}

// String returns the kind's name.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Mask is what Mask writes for the kind.
func (k Kind) Mask() string {
	if k < kinds {
		return masks[k]
	}
	return "[PII]"
}

// Kinds is a set of kinds.
type Kinds uint16

// AllKinds has every kind.
const AllKinds Kinds = 1<<kinds - 1

// KindNames returns the names that KindByName takes.
func KindNames() []string { return slices.Clone(kindNames[:]) }

// KindByName returns the kind of a name.
func KindByName(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// With returns the set with k.
func (s Kinds) With(k Kind) Kinds { return s | 1<<k }

// Has reports whether k is in the set.
func (s Kinds) Has(k Kind) bool { return s>>k&1 != 0 }

// Names returns the kinds' names, in their order.
func (s Kinds) Names() []string {
	var names []string
	for k, n := range kindNames {
		if s.Has(Kind(k)) {
			names = append(names, n)
		}
	}
	return names
}

// Span is a piece of a text, in bytes.
type Span struct {
	Kind       Kind
	Start, End int
}

// Find appends the spans of a text that identify somebody or let somebody in:
// in their order, none within another. text is what a person reads: escapes of
// JSON hide what stands behind them.
func Find(dst []Span, text string) []Span {
	for at := 0; ; {
		s, ok := next(text, at)
		if !ok {
			return dst
		}
		dst = append(dst, s)
		at = s.End
	}
}

// KindsOf returns what kinds of spans text has.
func KindsOf(text string) Kinds {
	var set Kinds
	for at := 0; ; {
		s, ok := next(text, at)
		if !ok {
			return set
		}
		set = set.With(s.Kind)
		at = s.End
	}
}

// A text is scanned by words: runs of letters, digits and '_'. Only the
// beginning of a word, and the few marks that a span may begin with or is told
// by, are looked at.
const (
	glue  = iota // what stands between words, and bytes of other characters than ASCII
	mark         // '@', '+', '(', '-': see next
	alpha        // letters and '_'
	digit
)

var classes = func() (t [256]uint8) {
	for c := range t {
		switch b := byte(c); {
		case b|0x20 >= 'a' && b|0x20 <= 'z' || b == '_':
			t[c] = alpha
		case b >= '0' && b <= '9':
			t[c] = digit
		case b == '@' || b == '+' || b == '(' || b == '-':
			t[c] = mark
		}
	}
	return t
}()

// next finds the first span that begins at or after from.
func next(text string, from int) (Span, bool) {
	for i := from; i < len(text); {
		c := text[i]
		var s Span
		ok := false
		switch classes[c] {
		case alpha:
			if s, ok = word(text, i); !ok {
				for i++; i < len(text) && classes[text[i]] >= alpha; i++ {
				}
			}
		case digit:
			if s, ok = number(text, i); !ok {
				for i++; i < len(text) && classes[text[i]] >= alpha; i++ {
				}
			}
		case mark:
			switch c {
			case '@':
				s, ok = email(text, from, i)
			case '+':
				s, ok = phone(text, i)
			case '(':
				s, ok = american(text, i)
			case '-':
				s, ok = private(text, i)
			}
			i++
		default:
			i++
		}
		if ok {
			return s, true
		}
	}
	return Span{}, false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

// within reports whether position i of text lies inside a longer name or
// number: the byte there goes on with it.
func within(text string, i int) bool {
	return i >= 0 && i < len(text) && (isAlnum(text[i]) || text[i] == '_')
}

// word looks for what begins with a letter.
func word(text string, i int) (Span, bool) {
	if i+4 > len(text) {
		return Span{}, false
	}
	switch c := text[i]; {
	case c == 'e' && text[i+1] == 'y' && text[i+2] == 'J':
		return token(text, i)
	case isDigit(text[i+2]) && isDigit(text[i+3]) && isLetter(text[i]) && isLetter(text[i+1]):
		if s, ok := account(text, i); ok {
			return s, true
		}
	}
	if i+5 < len(text) && text[i+4] == ':' {
		if s, ok := address6(text, i); ok {
			return s, true
		}
	}
	if pair := uint(text[i])<<8 | uint(text[i+1]); pairs[pair>>6]>>(pair&63)&1 == 0 {
		return Span{}, false
	}
	return apiKey(text, i)
}

// number looks for what begins with a digit.
func number(text string, i int) (Span, bool) {
	if i > 0 && (text[i-1] == '.' || text[i-1] == '-' || text[i-1] == '/') && within(text, i-2) {
		return Span{}, false // goes on with a longer number, date or name
	}
	if s, ok := address4(text, i); ok {
		return s, true
	}
	if s, ok := address6(text, i); ok {
		return s, true
	}
	g := group(text, i)
	if end, ok := g.card(text); ok && !fourth(text, i) {
		return Span{Card, i, end}, true
	}
	if end, ok := g.ssn(text, i); ok {
		return Span{SSN, i, end}, true
	}
	if end, ok := g.american(text); ok {
		return Span{Phone, i, end}, true
	}
	return Span{}, false
}

// fourth reports whether four letters or digits and a blank stand before i: the
// number there is the rest of a longer one in groups of four.
func fourth(text string, i int) bool {
	return i >= 5 && text[i-1] == ' ' && isAlnum(text[i-2]) && isAlnum(text[i-3]) && isAlnum(text[i-4]) && isDigit(text[i-2]) && isAlnum(text[i-5]) &&
		!within(text, i-6)
}

// maxLocal and maxDomain bound an address: RFC 5321 §4.5.3.1.
const (
	maxLocal  = 64
	maxDomain = 255
)

// email takes the address around the '@' at i; it does not begin before from.
func email(text string, from, at int) (Span, bool) {
	start := at
	for start > from && at-start < maxLocal && local(text, start-1) {
		start--
	}
	for start < at && (text[start] == '.' || text[start] == '-' || text[start] == '\'' || text[start]&0xc0 == 0x80) {
		start++
	}
	if start == at || text[at-1] == '.' || text[start:at] == "git" {
		return Span{}, false
	}
	end, label, last := at+1, at+1, 0
	for end < len(text) && end-at <= maxDomain {
		switch c := text[end]; {
		case isAlnum(c) || c == '-' && end > label || latin(text, end):
			end++
			continue
		case c == '.' && end > label && end+1 < len(text) && (isAlnum(text[end+1]) || latin(text, end+1)):
			label, last = end+1, last+1
			end++
			continue
		}
		break
	}
	for end > label && text[end-1] == '-' {
		end--
	}
	if last == 0 || end-label < 2 || !isLetter(text[label]) && !latin(text, label) {
		return Span{}, false
	}
	if name := text[at+1:]; len(name) > 2 && isDigit(name[0]) && name[1] == 'x' && name[2] == '.' {
		return Span{}, false // logo@2x.png
	}
	return Span{Email, start, end}, true
}

// local reports whether the byte at i may be of the part before the '@'.
func local(text string, i int) bool {
	switch c := text[i]; {
	case isAlnum(c):
		return true
	case c >= 0x80:
		return latin(text, i)
	default:
		return c == '.' || c == '_' || c == '%' || c == '+' || c == '-' || c == '\''
	}
}

// latin reports whether the byte at i is of a Latin letter with a mark, U+00C0
// to U+024F: two bytes, of which the first is 0xC3 to 0xC9.
func latin(text string, i int) bool {
	c := text[i]
	if c >= 0xc3 && c <= 0xc9 {
		return i+1 < len(text) && text[i+1]&0xc0 == 0x80
	}
	return c&0xc0 == 0x80 && i > 0 && text[i-1] >= 0xc3 && text[i-1] <= 0xc9
}
