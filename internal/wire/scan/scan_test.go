package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func members2(t testing.TB, b []byte) (keys, values []string, err error) {
	ms, err := Object(nil, b)
	for _, m := range ms {
		keys = append(keys, string(b[m.Key:m.KeyEnd]))
		values = append(values, string(b[m.Start:m.End]))
	}
	return keys, values, err
}

func TestObject(t *testing.T) {
	for _, c := range []struct{ in, keys, values string }{
		{`{}`, ``, ``},
		{" \r\n\t{ \n } ", ``, ``},
		{`{"a":1}`, `"a"`, `1`},
		{`{"a" : "x" , "b":[1,{"c":"]}"}],"c":{"a":2}}`, `"a"|"b"|"c"`, `"x"|[1,{"c":"]}"}]|{"a":2}`},
		{`{"a":1,"a":2,"A":3}`, `"a"|"a"|"A"`, `1|2|3`},
		{`{"\u0061":true,"a\"b":null,"":-1.5e+3}`, `"\u0061"|"a\"b"|""`, `true|null|-1.5e+3`},
		{"{\"k\":\"\u2028\U0001F600\\ud800\"}", `"k"`, "\"\u2028\U0001F600\\ud800\""},
		{"{\"k\":\"\xff\xfe\"}", `"k"`, "\"\xff\xfe\""}, // not UTF-8: the vendor's to judge
	} {
		keys, values, err := members2(t, []byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got := strings.Join(keys, "|"); got != c.keys {
			t.Errorf("%s: names %s, want %s", c.in, got, c.keys)
		}
		if got := strings.Join(values, "|"); got != c.values {
			t.Errorf("%s: values %s, want %s", c.in, got, c.values)
		}
	}
}

// Each error tells at which byte.
func TestSyntax(t *testing.T) {
	for _, in := range []string{
		``, ` `, `[]`, `"a"`, `nul`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1} x`,
		`{"a":[}`, `{"a":[1}`, `{"a":{]}`, `{"a":"x}`, `{"a":tru}`, `{"a":}`, `{'a':1}`, `{"a":1}{"a":1}`, `{"a":+1}`,
	} {
		_, _, err := members2(t, []byte(in))
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("%q: got %v, want a syntax error", in, err)
		} else if se.Offset > len(in) {
			t.Errorf("%q: offset %d is behind the end", in, se.Offset)
		}
	}
}

func TestBounds(t *testing.T) {
	deep := func(n int) []byte {
		return []byte(`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)
	}
	if _, err := Object(nil, deep(MaxDepth)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if _, err := Object(nil, deep(MaxDepth+1)); err != ErrDepth {
		t.Errorf("%d levels: got %v, want %v", MaxDepth+1, err, ErrDepth)
	}
	many := []byte("{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, MaxMembers+1), ",") + "}")
	if _, err := Object(nil, many); err != ErrMembers {
		t.Errorf("%d members: got %v, want %v", MaxMembers+1, err, ErrMembers)
	}
}

func TestGetAndElements(t *testing.T) {
	b := []byte(` {"x":{"model":"inner"},"model":"outer","model":"later","list":[ 1 , [2,3] ,"]"]}`)
	if got := string(Get(b, "model")); got != `"outer"` {
		t.Errorf("got %s, want the first at this level", got)
	}
	if got := Get(b, "absent"); got != nil {
		t.Errorf("got %s, want nil", got)
	}
	var all []string
	if err := Elements(Get(b, "list"), func(e []byte) bool { all = append(all, string(e)); return true }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(all, "|"); got != `1|[2,3]|"]"` {
		t.Errorf("elements: got %s", got)
	}
}

func TestScalars(t *testing.T) {
	for in, want := range map[string]string{`"a"`: "a", `"\u00e9\n"`: "é\n", `"é"`: "é", `"😀"`: "😀", `""`: ""} {
		if got, ok := String([]byte(in)); !ok || got != want {
			t.Errorf("String(%s): got %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{``, `"`, `a`, `1`, `"a`, "\"\x01\"", `null`} {
		if got, ok := String([]byte(in)); ok {
			t.Errorf("String(%s): got %q, want no string", in, got)
		}
	}
	for _, in := range []string{``, `-1`, `1.0`, `1e3`, `"1"`, `1000000000000000`, `null`} {
		if n, ok := Int([]byte(in)); ok {
			t.Errorf("Int(%s): got %d, want none", in, n)
		}
	}
	if n, ok := Int([]byte("999999999999999")); !ok || n != 999999999999999 {
		t.Errorf("Int: got %d, %v", n, ok)
	}
}

// FuzzObject: what encoding/json calls a valid object is read, with the same
// members in the same order; what is read covers the input without overlap.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":[{"b":"c"}],"d":null}`, `{"a":"\\\"","a":{}}`, ` {"x" : -0.5e-7 } `, `{"a":[[[[]]]]}`, `{`, "{\"\xff\":\"\\ud800\"}", `[1]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := Object(nil, b)
		valid := json.Valid(b) && bytes.TrimLeft(b, " \t\r\n")[0] == '{'
		if valid && err != nil && err != ErrDepth && err != ErrMembers {
			t.Fatalf("%q is valid JSON: %v", b, err)
		}
		if err != nil {
			return
		}
		at := 0
		for _, m := range ms {
			if m.Key < at || m.KeyEnd <= m.Key || m.Start < m.KeyEnd || m.End <= m.Start || m.End > len(b) {
				t.Fatalf("%q: positions %+v after %d", b, m, at)
			}
			at = m.End
		}
		if !valid {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		_, _ = dec.Token()
		for _, m := range ms {
			key, err := dec.Token()
			if err != nil {
				t.Fatalf("%q: more members than encoding/json finds", b)
			}
			if s, ok := String(b[m.Key:m.KeyEnd]); ok && s != key {
				t.Fatalf("%q: name %q, encoding/json says %q", b, s, key)
			}
			var v json.RawMessage
			if err := dec.Decode(&v); err != nil || !bytes.Equal(v, b[m.Start:m.End]) {
				t.Fatalf("%q: value %q, encoding/json says %q (%v)", b, b[m.Start:m.End], v, err)
			}
		}
		if dec.More() {
			t.Fatalf("%q: fewer members than encoding/json finds", b)
		}
	})
}
