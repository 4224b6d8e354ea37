package quality

import (
	"math/rand/v2"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// document makes values as models write them, and ways to break them.
type document struct{ *rand.Rand }

func (d document) of(choices ...string) string { return choices[d.IntN(len(choices))] }

func (d document) text() string {
	return d.of("Oslo", "a b c", "", "it's here", "x, y: z", "C:\\temp", "line one\nline two", "say \"hello\" twice", "naïve café", "数据", "😀 ok", "https://example.com/a?b=1#c",
		"[draft]", "{name}", "50%", "true", "// no comment", "tab\there", "ends with a comma,")
}

func (d document) scalar() string {
	switch d.IntN(6) {
	case 0:
		return strconv.Itoa(d.IntN(100000) - 500)
	case 1:
		return strconv.FormatFloat(d.Float64()*100, 'f', 2, 64)
	case 2:
		return d.of("true", "false", "null")
	}
	return quoted(d.text())
}

func quoted(s string) string { b, _ := jsontext.AppendQuote(nil, s); return string(b) }

// value writes a value, indented or not.
func (d document) value(depth int, indent, pad string) string {
	if depth == 0 || d.IntN(4) == 0 {
		return d.scalar()
	}
	n := 1 + d.IntN(4)
	parts := make([]string, n)
	if d.IntN(2) == 0 {
		for i := range parts {
			parts[i] = d.value(depth-1, indent, pad+indent)
		}
		return "[" + join(parts, indent, pad) + "]"
	}
	for i := range parts {
		parts[i] = quoted(d.of("id", "name", "items", "city_name", "isOpen", "x-y", "Größe", "a.b")+strconv.Itoa(i)) + ": " + d.value(depth-1, indent, pad+indent)
	}
	return "{" + join(parts, indent, pad) + "}"
}

func join(parts []string, indent, pad string) string {
	if indent == "" {
		return strings.Join(parts, ", ")
	}
	return "\n" + pad + indent + strings.Join(parts, ",\n"+pad+indent) + "\n" + pad
}

func (d document) valid() string {
	for {
		if s := d.value(3, d.of("", "  "), ""); s[0] == '{' || s[0] == '[' {
			return s
		}
	}
}

// outside replaces what a pattern finds outside of strings.
func outside(s string, re *regexp.Regexp, with string) string {
	var out strings.Builder
	at := 0
	for _, p := range strs.FindAllStringIndex(s, -1) {
		out.WriteString(re.ReplaceAllString(s[at:p[0]], with))
		out.WriteString(s[p[0]:p[1]])
		at = p[1]
	}
	out.WriteString(re.ReplaceAllString(s[at:], with))
	return out.String()
}

var (
	strs      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	names     = regexp.MustCompile(`"([A-Za-z_][A-Za-z0-9_]*)":`)
	closers   = regexp.MustCompile(`([^\s,{[:])(\s*[}\]])`)
	commas    = regexp.MustCompile(`,(\s)`)
	trues     = regexp.MustCompile(`\btrue\b`)
	falses    = regexp.MustCompile(`\bfalse\b`)
	nulls     = regexp.MustCompile(`\bnull\b`)
	lineBreak = regexp.MustCompile(`,\n`)
)

// python writes strings in single quotes, and literals as Python does.
func python(s string) string {
	s = outside(outside(outside(s, trues, "True"), falses, "False"), nulls, "None")
	return strs.ReplaceAllStringFunc(s, func(q string) string {
		return "'" + strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), "'", `\'`) + "'"
	})
}

// flaws are the ways in which models break JSON. lossy: not all of the value is
// left.
var flaws = []struct {
	name  string
	lossy bool
	spoil func(d document, s string) string
}{
	{"fence", false, func(d document, s string) string { return "```" + d.of("json", "", "JSON") + "\n" + s + "\n```" }},
	{"fence and words", false, func(d document, s string) string {
		return "Here is the JSON you asked for:\n\n```json\n" + s + "\n```\n\nLet me know if you need more."
	}},
	{"words", false, func(d document, s string) string { return "Sure! The result is: " + s + "\nI hope this helps." }},
	{"open fence", false, func(d document, s string) string { return "```json\n" + s }},
	{"trailing commas", false, func(d document, s string) string {
		return outside(s, closers, "$1,$2")
	}},
	{"closing brackets are missing", false, func(d document, s string) string { return strings.TrimRight(s, "}] \n") }},
	{"single quotes", false, func(d document, s string) string { return python(s) }},
	{"line comments", false, func(d document, s string) string { return outside(s, lineBreak, ", // as asked\n") }},
	{"block comments", false, func(d document, s string) string { return outside(s, commas, ", /* next */$1") }},
	{"hash comments", false, func(d document, s string) string { return outside(s, lineBreak, ", # as asked\n") }},
	{"names without quotes", false, func(d document, s string) string { return names.ReplaceAllString(s, "$1:") }},
	{"NaN", false, func(d document, s string) string {
		return outside(s, nulls, d.of("NaN", "undefined", "None", "Infinity"))
	}},
	{"Python", false, func(d document, s string) string { return python(s) }},
	{"raw line breaks in strings", false, func(d document, s string) string { return strings.ReplaceAll(s, `\n`, "\n") }},
	{"commas are missing", false, func(d document, s string) string { return outside(s, lineBreak, "\n") }},
	{"escaped", false, func(d document, s string) string { return strings.ReplaceAll(s, `"`, `\"`) }},
	{"ellipsis", false, func(d document, s string) string { return outside(s, closers, "$1, ...$2") }},
	{"double commas", false, func(d document, s string) string { return outside(s, commas, ",,$1") }},
	{"curly quotes", false, func(d document, s string) string {
		return strs.ReplaceAllStringFunc(s, func(q string) string { return "“" + q[1:len(q)-1] + "”" })
	}},
	{"cut", true, func(d document, s string) string { return s[:len(s)/3+d.IntN(len(s)/2+1)] }},
	{"inner quotes", false, func(d document, s string) string {
		return strings.ReplaceAll(s, `say \"hello\" twice`, `say "hello" twice`)
	}},
	{"too many brackets", false, func(d document, s string) string { return s + d.of("}", "]", "}}") }},
	{"no first bracket", false, func(d document, s string) string { return strings.TrimPrefix(s, "{") }},
	{"arrows", false, func(d document, s string) string { return outside(s, regexp.MustCompile(`: `), " => ") }},
	{"a semicolon", false, func(d document, s string) string { return s + ";" }},
}

func same(t *testing.T, a, b string) bool {
	t.Helper()
	x, y := jsontext.Value(a), jsontext.Value(b)
	if x.Canonicalize() != nil || y.Canonicalize() != nil {
		return false
	}
	return string(x) == string(y)
}

// TestRepairBroken breaks 200 documents made from a seed, each flaw as often as the
// others, and counts those that come back as they were: of those that were cut,
// valid.
func TestRepairBroken(t *testing.T) {
	d := document{rand.New(rand.NewPCG(11, 29))}
	fixed, all := 0, 0
	for n := 0; all < 200; n++ {
		f := flaws[n%len(flaws)]
		whole := d.valid()
		broken := f.spoil(d, whole)
		if checkJSON(broken, true) == nil {
			continue // there was nothing to break
		}
		all++
		got, ok := RepairJSON(broken)
		if ok && checkJSON(got, true) == nil && (f.lossy || same(t, got, whole)) {
			fixed++
		} else {
			t.Logf("%s:\n%s\n-> %v %s", f.name, broken, ok, got)
		}
	}
	t.Logf("%d of %d", fixed, all)
	if fixed < 180 {
		t.Errorf("only %d of %d are repaired", fixed, all)
	}
}

// TestRepairValid: what is JSON stays as it is, and words or a fence around it
// change nothing in it.
func TestRepairValid(t *testing.T) {
	d := document{rand.New(rand.NewPCG(3, 1))}
	for range 2000 {
		s := d.valid()
		if got, ok := RepairJSON(s); !ok || got != s {
			t.Fatalf("%s became %s", s, got)
		}
		for _, around := range []string{"```json\n" + s + "\n```", "The answer:\n" + s + "\nDone."} {
			if got, ok := RepairJSON(around); !ok || !same(t, got, s) {
				t.Fatalf("%s became %s", around, got)
			}
		}
	}
}

func TestRepairOne(t *testing.T) {
	for broken, want := range map[string]string{
		`{"a": 1, "b": [1, 2`:                       `{"a":1,"b":[1,2]}`,
		`{"a": "x`:                                  `{"a":"x"}`,
		`{"a": tru`:                                 `{"a":true}`,
		`{"a": 1, "b`:                               `{"a":1}`,
		`{"a": 1, "b":`:                             `{"a":1,"b":null}`,
		"{\"a\": \"x,\n\"b\": 2}":                   `{"a":"x","b":2}`,
		`{a: 'it\'s', b: .5, c: 1_000, d: 0xff}`:    `{"a":"it's","b":0.5,"c":1000,"d":255}`,
		`{"n": 007, "m": 1., "k": +3}`:              `{"n":"007","m":1.0,"k":3}`,
		`{"id": ObjectId("abc"), "at": Date(1, 2)}`: `{"id":"abc","at":1}`,
		`{"a": "x" + "y"}`:                          `{"a":"xy"}`,
		`{"a": """two "quoted" words"""}`:           `{"a":"two \"quoted\" words"}`,
		`{'a': (1, 2), 'b': u'x', 'c': None}`:       `{"a":[1,2],"b":"x","c":null}`,
		`[1, 2, 3}`:                                 `[1,2,3]`,
		`{"a": [1, 2}`:                              `{"a":[1,2]}`,
		`{"a": {"b": 1]}`:                           `{"a":{"b":1}}`,
		`See [the] notes: {"a": 1, "b": 2,}`:        `{"a":1,"b":2}`,
		`{"a": "\x41\d\ud800"}`:                     `{"a":"\u0041\\d\ufffd"}`,
		`{"a": yes it is, "b": 2}`:                  `{"a":"yes it is","b":2}`,
	} {
		got, ok := RepairJSON(broken)
		if v := jsontext.Value(got); !ok || v.Compact() != nil || string(v) != want {
			t.Errorf("%s: %v %s, not %s", broken, ok, got, want)
		}
	}
	for _, s := range []string{"", "Yes.", "17", "no brackets at all", strings.Repeat("[", 100_000)} {
		if got, ok := RepairJSON(s); ok && s != "17" {
			t.Errorf("%.40q became %.40q", s, got)
		}
	}
}

// What repair takes grows with the text, not with its square: of a text twice as
// long it is twice as much. That is counted in bytes allocated; what is looked for
// ahead shows in a long text, which is done in no time.
func TestRepairIsLinear(t *testing.T) {
	for name, piece := range map[string]string{
		"lines": "\"a\": \"x\n", "brackets": "{\"a\":[}", "triple": "\"a\":'''x\n,", "quotes": "\"\"\"a", "fences": "```x\n", "comments": "/*", "calls": "a(\"b\"+",
		"words": "it's ", "escapes": "\\\"", "numbers": "1_", "commas": ",,",
	} {
		took := func(n int) uint64 {
			s := "{\"x\":[" + strings.Repeat(piece, n/len(piece))
			var a, b runtime.MemStats
			runtime.ReadMemStats(&a)
			RepairJSON(s)
			runtime.ReadMemStats(&b)
			return b.TotalAlloc - a.TotalAlloc
		}
		took(1 << 12)
		if one, two := took(1<<15), took(1<<16); two > 3*one+1<<16 {
			t.Errorf("%s: %d KiB for 32 KiB, %d KiB for 64 KiB", name, one>>10, two>>10)
		}
		took(1 << 17)
	}
	if _, ok := RepairJSON("{" + strings.Repeat("a", maxRepair)); ok {
		t.Error("more than there is room for was repaired")
	}
}

func FuzzRepairJSON(f *testing.F) {
	d := document{rand.New(rand.NewPCG(7, 7))}
	for _, flaw := range flaws {
		f.Add(flaw.spoil(d, d.valid()))
	}
	f.Add("{\"a\": 'b\\")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := RepairJSON(s)
		if !ok {
			return
		}
		if len(got) > 8*len(s)+16 {
			t.Fatalf("%d bytes of %d", len(got), len(s))
		}
		if checkJSON(got, true) != nil {
			t.Fatalf("%q is no JSON", got)
		}
		var was any
		if json.Unmarshal([]byte(s), &was, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) == nil && got != s {
			t.Fatalf("%q became %q", s, got)
		}
		if again, ok := RepairJSON(got); !ok || again != got {
			t.Fatalf("%q became %q", got, again)
		}
	})
}
