package signal

import "strings"

// Shape is what a text looks like, a set.
type Shape uint8

// The shapes.
const (
	Code     Shape = 1 << iota // has code, or speaks of it
	Math                       // has formulas or asks for a calculation
	JSON                       // speaks of JSON
	List                       // has items, each in its line
	Question                   // asks
	URL
	Short // at most shortText bytes
)

const shortText = 120

var shapeNames = [...]string{"code", "math", "json", "list", "question", "url", "short"}

// Names returns the names of the shapes, in their order.
func (s Shape) Names() []string {
	var names []string
	for i, n := range shapeNames {
		if s>>i&1 != 0 {
			names = append(names, n)
		}
	}
	return names
}

// topics are words by which a text says what it is about.
var topics = []struct {
	shape Shape
	words string
}{
	{Code, `python javascript typescript golang java kotlin swift rust php ruby html css sql bash regex javascript nodejs react django flask numpy pandas
		api json yaml dockerfile kubernetes compiler unittest refactor debug codebase stacktrace traceback typeerror nullpointerexception segfault
		algorithm recursion backend frontend javascript postgres mysql sqlite webpack npm pip async await struct enum`},
	{Math, `equation equations calculate compute integral derivative probability percentage polynomial triangle theorem prove algebra arithmetic
		multiply divided modulo factorial hypotenuse logarithm matrix gleichung berechne equation calcule calcular ecuación integrale`},
	{JSON, `json`},
}

// What a byte is to the shape of a line.
const (
	isOther = iota
	isLower
	isUpper
	isNumber
	isBlank
	isCodeMark // rare in prose
	isOperator
)

var lineClass = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-0x20] = isLower, isUpper
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = isNumber
	}
	for _, c := range " \t\r\v\f" {
		t[c] = isBlank
	}
	for _, c := range `{}[]()<>;=_\|&$#@^~/"` + "`" {
		t[c] = isCodeMark
	}
	for _, c := range `+*%` {
		t[c] = isOperator
	}
	for c := 0x80; c < 0x100; c++ {
		t[c] = isLower // of words in other scripts
	}
	return t
}()

// reader is a text while it is read.
type reader struct {
	speech
	shape  Shape
	lines  int
	bytes  int
	coded  int // lines of code, without those in fences
	items  int
	sums   int // places where an operator stands between numbers
	fenced bool
}

// read takes a text. More may follow, which begins a line.
func (r *reader) read(text string) {
	if r.lexicon == nil {
		r.lexicon = lexical()
	}
	r.bytes += len(text)
	for text != "" {
		line := text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		r.lines++
		r.line(line)
	}
}

func (r *reader) line(line string) {
	bare := strings.TrimLeft(line, " \t")
	if strings.HasPrefix(bare, "```") || strings.HasPrefix(bare, "~~~") {
		r.shape |= Code
		r.fenced = !r.fenced
		return
	}
	if bare == "" || r.fenced {
		return
	}
	var n [16]int64
	census(&n, &lineClass, bare)
	if r.code(bare, &n) {
		r.coded++
		return
	}
	if item(bare) {
		r.items++
	}
	if n[isNumber] > 0 {
		r.sums += sums(bare)
	}
	if n[isCodeMark] > 0 {
		r.marked(bare)
	}
	if asks(bare) {
		r.shape |= Question
	}
	if r.words < maxWords {
		r.prose(bare)
	}
}

// code reports whether a line is one of a program: it ends or begins as those do,
// or has as many marks as prose never has.
func (r *reader) code(line string, n *[16]int64) bool {
	text := n[isLower] + n[isUpper] + n[isNumber]
	marks := n[isCodeMark]
	if marks >= 4 && marks*7 > text && !strings.HasPrefix(line, "http") {
		return true
	}
	if marks == 0 {
		return false
	}
	end := strings.TrimRight(line, " \t\r")
	switch end[len(end)-1] {
	case '{', ';':
		return marks >= 2 || end[len(end)-1] == '{'
	case '}':
		return line[0] == '}' || marks >= 2
	case ')', ':', ']', ',':
		return marks >= 3 && starts(line)
	}
	return starts(line) && marks >= 2
}

// openers are how lines of programs begin.
var openers = []string{"def ", "func ", "function ", "class ", "import ", "from ", "const ", "let ", "var ", "return ", "if (", "for (", "while (", "public ", "private ",
	"static ", "#include", "//", "/*", "@", "print(", "console.", "SELECT ", "INSERT ", "UPDATE ", "CREATE ", "elif ", "else", "try", "except", "async ", "await ", "package ", "fn ", "use ", "$ ", "</", "<"}

// beginners are the openers by their first byte.
var beginners = func() (t [256][]string) {
	for _, o := range openers {
		t[o[0]] = append(t[o[0]], o)
	}
	return t
}()

func starts(line string) bool {
	for _, o := range beginners[line[0]] {
		if strings.HasPrefix(line, o) {
			return true
		}
	}
	return false
}

// item reports whether a line is an item of a list: "- ", "* ", "• ", "1. ", "2) ".
func item(line string) bool {
	if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "• ") {
		return true
	}
	i := 0
	for i < len(line) && i < 3 && isDigit(line[i]) {
		i++
	}
	return i > 0 && i+1 < len(line) && (line[i] == '.' || line[i] == ')') && line[i+1] == ' '
}

// sums counts the operators between numbers in a line, up to 4.
func sums(line string) int {
	n, last, op := 0, false, false
	for i := 0; i < len(line) && n < 4; i++ {
		switch c := line[i]; {
		case isDigit(c):
			if op {
				n++
			}
			last, op = true, false
		case c == ' ':
		case last && (c == '+' || c == '*' || c == '=' || c == '^' || c == '%'):
			last, op = false, true
		case last && (c == '-' || c == '/') && i > 0 && line[i-1] == ' ':
			last, op = false, true
		case c == '.' || c == ',' || c == '$':
		default:
			last, op = false, false
			if c == 0xc3 && i+1 < len(line) && (line[i+1] == 0x97 || line[i+1] == 0xb7) { // × and ÷
				i, op = i+1, true
			}
		}
	}
	return n
}

// marked looks for addresses and formulas among a line's marks.
func (r *reader) marked(line string) {
	for i := 0; i+1 < len(line); i++ {
		switch line[i] {
		case '/':
			if line[i+1] == '/' && i >= 5 && (strings.HasSuffix(line[:i], "http:") || strings.HasSuffix(line[:i], "https:")) {
				r.shape |= URL
			}
		case '\\':
			if c := line[i+1]; c|0x20 >= 'a' && c|0x20 <= 'z' || c == '(' || c == '[' {
				r.sums += 2
			}
		case '`':
			r.shape |= Code
		}
	}
}

// asks reports whether a line has a question mark that ends a sentence.
func asks(line string) bool {
	for at := 0; ; {
		i := strings.IndexByte(line[at:], '?')
		if i < 0 {
			return strings.Contains(line, "？") || strings.Contains(line, "؟")
		}
		if at += i + 1; at == len(line) || strings.IndexByte(" \t\r\"')?!*", line[at]) >= 0 {
			return true
		}
	}
}

// prose takes the words of a line without what is between backticks and without
// addresses.
func (r *reader) prose(line string) {
	for line != "" {
		from := strings.IndexByte(line, '`')
		if from < 0 {
			break
		}
		to := strings.IndexByte(line[from+1:], '`')
		if to < 0 {
			break
		}
		r.text(line[:from])
		line = line[from+1+to+1:]
	}
	r.text(line)
}

func (r *reader) text(s string) {
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			r.speech.read(s)
			return
		}
		from := i
		for from > 0 && isLetter(s[from-1]) {
			from--
		}
		r.speech.read(s[:from])
		for i < len(s) && s[i] > ' ' && s[i] < 0x80 {
			i++
		}
		s = s[i:]
	}
}

// looks returns the shape of what was read.
func (r *reader) looks() Shape {
	s := r.shape | r.topic
	if r.coded >= 2 || r.coded == 1 && r.lines <= 3 {
		s |= Code
	}
	if r.items >= 2 {
		s |= List
	}
	if r.sums >= 2 {
		s |= Math
	}
	if r.bytes <= shortText {
		s |= Short
	}
	return s
}
