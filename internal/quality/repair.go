package quality

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep values nest that are repaired.
	maxDepth = 512
	// maxCandidates bounds the places in a text where a value is looked for.
	maxCandidates = 16
	// maxRepair bounds a text, in bytes, that is repaired.
	maxRepair = 1 << 20
)

// RepairJSON returns the JSON value that text was meant to be: without a fence
// and words around it, with commas, brackets and quotes as JSON has them, with
// null for what JSON lacks (NaN, undefined, None). Text that is JSON comes back as
// it is. ok is false for what has no object or array, for what stays broken, and
// for more than 1 MiB. It takes time in proportion to the text; the result has at most six bytes for each of text's, and brackets.
func RepairJSON(text string) (fixed string, ok bool) {
	if checkJSON(text, true) == nil {
		return text, true
	}
	if len(text) > maxRepair {
		return "", false
	}
	body := unfence(text)
	if body != text && checkJSON(body, true) == nil {
		return strings.TrimSpace(body), true
	}
	if escaped(body) {
		body = strings.ReplaceAll(body, `\"`, `"`)
	}
	if opened(body) {
		body = "{" + body
	}
	ends := lasts(body)
	best, long := "", 0
	for n, at := 0, 0; n < maxCandidates; n++ {
		i := strings.IndexAny(body[at:], "{[")
		if i < 0 {
			break
		}
		m := mender{in: body, at: at + i, last: ends}
		whole := m.value(0)
		if took := m.at - (at + i); whole && took > long {
			best, long = string(m.out), took
		}
		at = max(m.at, at+i+1)
	}
	if long == 0 || checkJSON(best, true) != nil {
		return "", false
	}
	return best, true
}

// unfence returns what stands in the first fenced block that has a bracket; the
// text itself where there is none.
func unfence(text string) string {
	for rest := text; ; {
		i := strings.Index(rest, "```")
		if i < 0 {
			return text
		}
		body := rest[i+3:]
		if nl := strings.IndexAny(body, "\n{["); nl >= 0 {
			if body[nl] == '\n' {
				nl++
			}
			body = body[nl:]
		}
		end := strings.Index(body, "\n```")
		if end < 0 {
			if end = strings.LastIndex(body, "```"); end < 0 {
				end = len(body)
			}
		}
		if strings.ContainsAny(body[:end], "{[") {
			return body[:end]
		}
		if end == len(body) {
			return text
		}
		rest = body[end+3:]
	}
}

// escaped reports whether a value was written as the inside of a string.
func escaped(text string) bool {
	i := strings.IndexAny(text, "{[")
	if i < 0 {
		return false
	}
	rest := strings.TrimLeft(text[i+1:], "{[ \t\r\n")
	rest = strings.TrimLeft(strings.TrimPrefix(rest, `\n`), " ")
	return strings.HasPrefix(rest, `\"`)
}

// opened reports whether a text is an object but for its first bracket.
func opened(text string) bool {
	s := strings.TrimSpace(text)
	if s == "" || s[0] != '"' {
		return false
	}
	end := strings.IndexByte(s[1:], '"')
	return end > 0 && strings.HasPrefix(strings.TrimSpace(s[end+2:]), ":") && !strings.ContainsAny(s[:end+2], "{[\n")
}

// mender reads what was meant to be JSON, and writes JSON.
type mender struct {
	in   string
	at   int
	out  []byte
	last last
}

// last is where the last of each mark begins that is looked for far ahead; below
// 0: nowhere.
type last struct{ bracket, double, single int }

func lasts(s string) last {
	return last{strings.LastIndexByte(s, ']'), strings.LastIndex(s, `"""`), strings.LastIndex(s, "'''")}
}

// closes reports whether the three quotes that begin here come again behind them.
func (m *mender) closes() bool {
	if m.in[m.at] == '"' {
		return m.last.double >= m.at+3
	}
	return m.last.single >= m.at+3
}

// space passes what stands between values: blanks and comments.
func (m *mender) space() {
	for m.at < len(m.in) {
		rest := m.in[m.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			m.at++
		case strings.HasPrefix(rest, "//"), rest[0] == '#':
			m.skip("\n")
		case strings.HasPrefix(rest, "/*"):
			m.at += 2
			m.skip("*/")
		case strings.HasPrefix(rest, "..."):
			m.at += 3
		case strings.HasPrefix(rest, "…"), strings.HasPrefix(rest, "\u00a0"), strings.HasPrefix(rest, "\ufeff"):
			_, n := utf8.DecodeRuneInString(rest)
			m.at += n
		default:
			return
		}
	}
}

// skip goes behind the next mark, or to the end.
func (m *mender) skip(mark string) {
	if i := strings.Index(m.in[m.at:], mark); i >= 0 {
		m.at += i + len(mark)
	} else {
		m.at = len(m.in)
	}
}

func (m *mender) peek() byte {
	if m.at < len(m.in) {
		return m.in[m.at]
	}
	return 0
}

// value writes the value that begins here. false: it nests too deep.
func (m *mender) value(depth int) bool {
	m.space()
	switch c := m.peek(); {
	case c == '{':
		return m.object(depth)
	case c == '[', c == '(':
		return m.array(depth)
	case m.quote() != "":
		m.text(false)
		m.joined()
		return true
	default:
		return m.word(depth)
	}
}

func (m *mender) object(depth int) bool {
	if depth == maxDepth {
		return false
	}
	m.at++
	m.out = append(m.out, '{')
	for first := true; ; {
		m.separators()
		c := m.peek()
		if c == '}' {
			m.at++
			break
		}
		if c == 0 && m.at >= len(m.in) || c == ']' || c == ')' {
			break // it was not closed: the bracket is of what it lies in
		}
		mark := len(m.out)
		if !first {
			m.out = append(m.out, ',')
		}
		from := m.at
		if m.quote() != "" {
			m.text(true)
		} else {
			m.name()
		}
		m.space()
		if m.at >= len(m.in) { // only the beginning of a name came
			m.out = m.out[:mark]
			break
		}
		m.out = append(m.out, ':')
		if c := m.peek(); c == ':' || c == '=' {
			m.at++
			if m.peek() == '>' {
				m.at++
			}
			m.space()
		}
		switch c := m.peek(); {
		case c == 0 && m.at >= len(m.in), c == ',', c == '}', c == ']':
			m.out = append(m.out, "null"...)
		default:
			if !m.value(depth + 1) {
				return false
			}
		}
		if m.at == from { // what is no name and no value
			m.at++
		}
		first = false
	}
	m.out = append(m.out, '}')
	return true
}

func (m *mender) array(depth int) bool {
	if depth == maxDepth {
		return false
	}
	m.at++
	m.out = append(m.out, '[')
	for first := true; ; first = false {
		m.separators()
		c := m.peek()
		if c == ']' || c == ')' || c == '}' {
			if c != '}' || depth == 0 || m.last.bracket < m.at {
				m.at++
			}
			break
		}
		if c == 0 && m.at >= len(m.in) {
			break
		}
		if !first {
			m.out = append(m.out, ',')
		}
		from := m.at
		if !m.value(depth + 1) {
			return false
		}
		if m.at == from {
			m.at++
		}
	}
	m.out = append(m.out, ']')
	return true
}

// separators passes commas, however many.
func (m *mender) separators() {
	for {
		m.space()
		if c := m.peek(); c != ',' && c != ';' {
			return
		}
		m.at++
	}
}

// quotes are how strings begin, and how those end.
var quotes = []struct{ open, end string }{{`"""`, `"""`}, {`'''`, `'''`}, {`"`, `"`}, {`'`, `'`}, {"“", "”"}, {"‘", "’"}, {"`", "`"}}

// quote returns how the string ends that begins here, "" where none does.
func (m *mender) quote() string {
	rest := m.in[m.at:]
	if rest == "" || rest[0] >= 'A' && rest[0] <= 'Z' {
		return ""
	}
	for _, q := range quotes {
		if strings.HasPrefix(rest, q.open) && (len(q.open) == 1 || rest[0] >= utf8.RuneSelf || !strings.HasPrefix(rest[3:], ":")) {
			if len(q.open) == 3 && rest[0] < utf8.RuneSelf && !m.closes() {
				continue
			}
			return q.end
		}
	}
	return ""
}

// text writes the string that begins here. name: it is the name of a member.
func (m *mender) text(name bool) {
	end := m.quote()
	_, n := utf8.DecodeRuneInString(m.in[m.at:])
	if len(end) == 3 && end[0] < utf8.RuneSelf {
		n = 3
	}
	m.at += n
	m.out = append(m.out, '"')
	m.inside(end, name)
	m.out = append(m.out, '"')
}

// inside writes the inside of a string up to and with its end.
func (m *mender) inside(end string, name bool) {
	for m.at < len(m.in) {
		c := m.in[m.at]
		switch {
		case end != "" && strings.HasPrefix(m.in[m.at:], end):
			if len(end) == 3 && end[0] < utf8.RuneSelf || m.ends(m.at+len(end), name) {
				m.at += len(end)
				return
			}
			if c == '"' {
				m.out = append(m.out, '\\')
			}
			m.out = append(m.out, end...)
			m.at += len(end)
		case c == '\\':
			m.escape()
		case c == '"':
			m.out = append(m.out, `\"`...)
			m.at++
		case c == '\n' && len(end) == 1 && m.left():
			m.out = bytes.TrimRight(m.out, ", \t") // it was not closed in its line
			return
		case c < 0x20:
			m.control(c)
			m.at++
		case c < utf8.RuneSelf:
			m.out = append(m.out, c)
			m.at++
		default:
			r, n := utf8.DecodeRuneInString(m.in[m.at:])
			m.out = utf8.AppendRune(m.out, r)
			m.at += n
		}
	}
}

func (m *mender) control(c byte) {
	switch c {
	case '\n':
		m.out = append(m.out, `\n`...)
	case '\t':
		m.out = append(m.out, `\t`...)
	case '\r':
		m.out = append(m.out, `\r`...)
	default:
		const hex = "0123456789abcdef"
		m.out = append(m.out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}

// maxLook is how far ahead is looked for what follows a quote or line.
const maxLook = 256

// ends reports whether a quote that is followed by what stands at i ends its
// string: JSON goes on there, and no sentence.
func (m *mender) ends(i int, name bool) bool {
	rest := m.in[i:min(len(m.in), i+maxLook)]
	s := strings.TrimLeft(rest, " \t\r\n")
	if s == "" {
		return true
	}
	if name && (s[0] == ':' || s[0] == '=') {
		return true
	}
	switch s[0] {
	case ',', '}', ']', ')', ';':
		return true
	case ':':
		return name
	case '+', '"', '\'', '/', '#', '{', '[':
		return len(s) < len(rest) // after a blank: a comma is missing, or a comment follows
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f', 'n':
		return rest[0] == '\n' // in the next line: a comma is missing
	}
	return false
}

// left reports whether the string that a line ends in was left open: the next
// line begins with a member or a bracket.
func (m *mender) left() bool {
	s := strings.TrimLeft(m.in[m.at:min(len(m.in), m.at+maxLook)], " \t\r\n")
	if s == "" {
		return false
	}
	switch s[0] {
	case '}', ']':
		return true
	case '"', '\'':
		i := strings.IndexByte(s[1:], s[0])
		return i > 0 && strings.HasPrefix(strings.TrimLeft(s[i+2:], " \t"), ":")
	}
	return false
}

// escape writes what a backslash says.
func (m *mender) escape() {
	rest := m.in[m.at:]
	if len(rest) == 1 {
		m.at++
		return
	}
	switch c := rest[1]; {
	case strings.IndexByte(`"\/bfnrt`, c) >= 0:
		m.out = append(m.out, rest[:2]...)
		m.at += 2
	case c == 'u' && hexadecimal(rest[2:], 4):
		m.unicode(rest)
	case c == 'x' && hexadecimal(rest[2:], 2):
		m.out = append(append(m.out, `\u00`...), rest[2:4]...)
		m.at += 4
	case c == '\'' || c == '`' || c >= utf8.RuneSelf:
		m.at++ // what follows needs none
	case c == '\n':
		m.at += 2
	default:
		m.out = append(m.out, `\\`...)
		m.at++
	}
}

// unicode writes \uXXXX, and for half a pair of surrogates what stands for what
// cannot be said.
func (m *mender) unicode(rest string) {
	n, _ := strconv.ParseUint(rest[2:6], 16, 16)
	switch {
	case n < 0xd800 || n > 0xdfff:
		m.out = append(m.out, rest[:6]...)
		m.at += 6
	case n < 0xdc00 && len(rest) >= 12 && rest[6:8] == `\u` && hexadecimal(rest[8:], 4) && (rest[8]|0x20 == 'd') && rest[9]|0x20 >= 'c':
		m.out = append(m.out, rest[:12]...)
		m.at += 12
	default:
		m.out = append(m.out, `\ufffd`...)
		m.at += 6
	}
}

func hexadecimal(s string, n int) bool {
	if len(s) < n {
		return false
	}
	for i := range n {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// joined takes the strings that a plus adds to the last one.
func (m *mender) joined() {
	for {
		from := m.at
		m.space()
		if m.peek() != '+' {
			m.at = from
			return
		}
		m.at++
		m.space()
		if m.quote() == "" {
			m.at = from
			return
		}
		m.out = m.out[:len(m.out)-1]
		mark := len(m.out)
		m.text(false)
		m.out = append(m.out[:mark], m.out[mark+1:]...)
	}
}

// name writes a member's name that has no quotes.
func (m *mender) name() {
	from := m.at
	for m.at < len(m.in) && strings.IndexByte(":=,{}[]\n\"", m.in[m.at]) < 0 {
		m.at++
	}
	m.quoted(strings.TrimSpace(m.in[from:m.at]))
}

func (m *mender) quoted(s string) {
	m.out = append(m.out, '"')
	in := mender{in: s, out: m.out}
	in.inside("", false)
	m.out = append(in.out, '"')
}

// literals are the words that stand for values, in lower case.
var literals = map[string]string{"true": "true", "false": "false", "null": "null", "none": "null", "nil": "null", "undefined": "null", "nan": "null",
	"infinity": "null", "-infinity": "null", "+infinity": "null", "inf": "null", "-inf": "null", "": "null", "-": "null"}

// word writes what has no quotes and no brackets: a number, a literal, a call of a
// constructor, or a text.
func (m *mender) word(depth int) bool {
	from := m.at
	for m.at < len(m.in) && strings.IndexByte(",{}[]()\n\"';", m.in[m.at]) < 0 && !strings.HasPrefix(m.in[m.at:], "//") && !strings.HasPrefix(m.in[m.at:], " #") {
		m.at++
	}
	s := strings.TrimSpace(m.in[from:m.at])
	switch c := m.peek(); {
	case c == '(' && s != "" && identifier(s): // ObjectId("…")
		if depth == maxDepth {
			return false
		}
		m.at++
		m.space()
		if m.peek() == ')' {
			m.out = append(m.out, "null"...)
		} else if !m.value(depth + 1) {
			return false
		}
		for m.at < len(m.in) && strings.IndexByte(")]}\n", m.peek()) < 0 {
			m.at++ // further arguments
		}
		if m.peek() == ')' {
			m.at++
		}
		return true
	case (c == '"' || c == '\'') && len(s) > 0 && len(s) <= 2 && m.in[m.at-1] > ' ': // u"…", b'…'
		return m.value(depth)
	case c == '\'' || c == '(' || c == '"': // it's …
		for m.at < len(m.in) && strings.IndexByte(",{}[]\n", m.in[m.at]) < 0 {
			m.at++
		}
		s = strings.TrimSpace(m.in[from:m.at])
	}
	if v, ok := literals[strings.ToLower(s)]; ok {
		m.out = append(m.out, v...)
	} else if v := numeric(s); v != "" {
		m.out = append(m.out, v...)
	} else if v := begun(s); v != "" && m.at >= len(m.in) {
		m.out = append(m.out, v...)
	} else {
		m.quoted(s)
	}
	return true
}

// begun returns the literal whose beginning s is, at the end of a text.
func begun(s string) string {
	for _, l := range []string{"true", "false", "null"} {
		if s != "" && strings.HasPrefix(l, s) {
			return l
		}
	}
	return ""
}

func identifier(s string) bool {
	for i, r := range s {
		if !unicode.IsLetter(r) && r != '_' && (i == 0 || r != '.' && !unicode.IsDigit(r)) {
			return false
		}
	}
	return true
}

// numeric returns a number as JSON writes it, "" for what is none.
func numeric(s string) string {
	s = strings.TrimPrefix(s, "+")
	digits := strings.TrimPrefix(s, "-")
	sign := s[:len(s)-len(digits)]
	if strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X") {
		if n, err := strconv.ParseUint(digits[2:], 16, 63); err == nil {
			return sign + strconv.FormatUint(n, 10)
		}
		return ""
	}
	if strings.Contains(digits, "_") && strings.Trim(digits, "_") == digits {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	digits = strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(digits, "-"), "+"), "eE")
	if strings.HasPrefix(digits, ".") {
		digits = "0" + digits
	}
	if strings.HasSuffix(digits, ".") {
		digits += "0"
	}
	if v := sign + digits; digits != "" && digits[0] >= '0' && digits[0] <= '9' && checkJSON(v, true) == nil {
		return v
	}
	return ""
}
