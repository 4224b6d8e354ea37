package scan

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// document draws a JSON value.
func document(rnd *rand.Rand, depth int) string {
	kind := rnd.IntN(9)
	if depth == 0 {
		kind = rnd.IntN(6)
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return []string{"true", "false"}[rnd.IntN(2)]
	case 2:
		return []string{"0", "-1", "1.5", "2e9", "-0.0E-3", "12345678901234567890"}[rnd.IntN(6)]
	case 3, 4, 5:
		return text(rnd)
	}
	open, end := "{", "}"
	if kind == 6 {
		open, end = "[", "]"
	}
	var parts []string
	for range rnd.IntN(4) {
		v := document(rnd, depth-1)
		if open == "{" {
			v = text(rnd) + blank(rnd) + ":" + blank(rnd) + v
		}
		parts = append(parts, blank(rnd)+v+blank(rnd))
	}
	return open + strings.Join(parts, ",") + blank(rnd) + end
}

// text draws a string of what is hard for a scanner: quotes, backslashes,
// brackets, what is outside of ASCII.
func text(rnd *rand.Rand) string {
	bits := []string{"a", `\"`, `\\`, `\\\"`, "{", "}", "[", "]", ",", ":", "é", "😀", `\ud800`, `\u0022`, "\u2028", " "}
	var b strings.Builder
	for range rnd.IntN(6) {
		b.WriteString(bits[rnd.IntN(len(bits))])
	}
	return `"` + b.String() + `"`
}

func blank(rnd *rand.Rand) string {
	return []string{"", "", " ", "\n", "\t\r\n "}[rnd.IntN(5)]
}

// What encoding/json calls valid is valid here; and no beginning of a valid
// object, nor one with a bracket, a quote, a colon or a comma of its frame
// missing, is.
func TestFrame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		doc := document(rnd, 5)
		if !json.Valid([]byte(doc)) {
			t.Fatalf("the test draws no JSON: %s", doc)
		}
		if !Valid([]byte(doc)) || !Valid([]byte(" "+doc+"\n")) {
			t.Fatalf("not valid: %s", doc)
		}
		if end, err := End([]byte(doc + ",{")); err != nil || end != len(doc) {
			t.Fatalf("%s ends at %d of %d, %v", doc, end, len(doc), err)
		}
		for cut := range len(doc) {
			if begin := []byte(doc[:cut]); Valid(begin) && !json.Valid(begin) && !strings.ContainsAny(doc[:1], "-0123456789") {
				t.Fatalf("the beginning %s of %s is valid", begin, doc)
			}
		}
		object := `{"k":` + doc + `,"l":` + doc + `}`
		b := []byte(object)
		ms, err := Object(nil, b)
		if err != nil || len(ms) != 2 {
			t.Fatalf("%s: %d members, %v", object, len(ms), err)
		}
		for _, at := range []int{0, 1, 3, 4, ms[1].Key - 1, ms[1].Key, ms[1].KeyEnd - 1, ms[1].KeyEnd, len(b) - 1} {
			if without := append(bytes.Clone(b[:at]), b[at+1:]...); !json.Valid(without) {
				if got, err := Object(nil, without); err == nil {
					t.Fatalf("%s without byte %d is read: %s, %d members", object, at, without, len(got))
				}
			}
		}
	}
}

// Get finds what encoding/json finds.
func TestGetFindsTheSame(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		doc := document(rnd, 4)
		var all map[string]json.RawMessage
		if json.Unmarshal([]byte(doc), &all) != nil || all == nil {
			continue
		}
		ms, err := Object(nil, []byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		seen := map[string]bool{}
		for _, m := range ms {
			raw := doc[m.Key+1 : m.KeyEnd-1]
			name, ok := String([]byte(doc[m.Key:m.KeyEnd]))
			if _, there := all[name]; !ok || !there {
				t.Fatalf("%s: encoding/json does not know %q", doc, name)
			}
			if !seen[raw] && string(Get([]byte(doc), raw)) != doc[m.Start:m.End] {
				t.Fatalf("%s: Get(%s) = %s, want the first, %s", doc, raw, Get([]byte(doc), raw), doc[m.Start:m.End])
			}
			seen[raw] = true
		}
	}
}

// FuzzValues: nothing makes any reader here fail or go out of bounds, and
// strings and integers are read as encoding/json reads them.
func FuzzValues(f *testing.F) {
	for _, s := range []string{`"a"`, `"\ud800"`, `"a"b"`, `"\`, "\"\xff\"", `12`, `-1`, `01`, `{"a":[1,{"b":2}],"b":"]"}`, `[1,[2],"]"]`, `{"a"`, `[`, `"`, ``, `tru`, strings.Repeat("[", 600)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if end, err := End(b); err == nil && (end < 1 || end > len(b)) {
			t.Fatalf("%q: ends at %d", b, end)
		}
		if v := Get(b, "a"); v != nil {
			if at := cap(b) - cap(v); at < 0 || at+len(v) > len(b) || !bytes.Equal(b[at:at+len(v)], v) {
				t.Fatalf("%q: Get returned %q, which is no part of it", b, v)
			}
		}
		n := 0
		_ = Elements(b, func(e []byte) bool { n++; return n < 1000 })
		var array []json.RawMessage
		if json.Unmarshal(b, &array) == nil && array != nil && len(array) < 1000 && Valid(b) && n != len(array) {
			t.Fatalf("%q: %d elements, encoding/json finds %d", b, n, len(array))
		}
		trimmed := bytes.TrimSpace(b)
		var s string
		want := len(trimmed) > 0 && trimmed[0] == '"' && json.Unmarshal(trimmed, &s) == nil
		if got, ok := String(trimmed); ok != want || got != s {
			t.Fatalf("%q: String says %q, %v, encoding/json %q, %v", trimmed, got, ok, s, want)
		}
		if got, ok := Int(b); ok {
			var n int64
			if err := json.Unmarshal(bytes.TrimLeft(b, "0"), &n); err == nil && n != got {
				t.Fatalf("%q: Int says %d, encoding/json %d", b, got, n)
			}
		}
		if json.Valid(b) && !Valid(b) {
			if _, err := End(bytes.TrimSpace(b)); err != ErrDepth && err != ErrMembers {
				t.Fatalf("%q is valid JSON: %v", b, err)
			}
		}
	})
}
