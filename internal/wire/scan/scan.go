// Package scan reads JSON just as far as routing needs: the members of one
// object as positions, in one pass, without decoding values. Names are
// compared byte by byte, never folded. It checks the frame (brackets, strings,
// literals at this level, nothing after the end) and leaves the inside of
// values to whoever the bytes are for.
package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxDepth is how deep brackets may nest.
const MaxDepth = 512

// MaxMembers is how many members one object may have here.
const MaxMembers = 4096

// Errors that callers tell apart; every other error is a syntax error.
var (
	ErrDepth   = errors.New("nested deeper than 512 levels")
	ErrMembers = errors.New("more than 4096 members in one object")
)

// SyntaxError is malformed JSON at a byte offset.
type SyntaxError struct {
	Offset int
	Msg    string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.Offset) }

func syntax(at int, msg string) error { return &SyntaxError{at, msg} }

// Member is one member of an object, as positions in the bytes that were
// scanned: b[Key:KeyEnd] is the name with its quotes, b[Start:End] the value.
type Member struct{ Key, KeyEnd, Start, End int }

// Object appends the members of the JSON object b to dst. b may have white
// space around the object and nothing else.
func Object(dst []Member, b []byte) ([]Member, error) {
	i := space(b, 0)
	if i == len(b) {
		return dst, syntax(i, "empty, want a JSON object")
	}
	dst, i, err := members(dst, b, i)
	if err != nil {
		return dst, err
	}
	if i = space(b, i); i != len(b) {
		return dst, syntax(i, "text after the JSON object")
	}
	return dst, nil
}

// members reads the object that begins at i and returns the offset after it.
func members(dst []Member, b []byte, i int) ([]Member, int, error) {
	if b[i] != '{' {
		return dst, i, syntax(i, "want a JSON object")
	}
	base := len(dst)
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return dst, i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return dst, i, syntax(i, "want a member name")
		}
		m := Member{Key: i}
		var err error
		if m.KeyEnd, err = str(b, i); err != nil {
			return dst, i, err
		}
		if i = space(b, m.KeyEnd); i >= len(b) || b[i] != ':' {
			return dst, i, syntax(i, "want ':'")
		}
		m.Start = space(b, i+1)
		if m.End, err = value(b, m.Start); err != nil {
			return dst, i, err
		}
		if len(dst)-base == MaxMembers {
			return dst, i, ErrMembers
		}
		dst = append(dst, m)
		if i = space(b, m.End); i >= len(b) {
			return dst, i, syntax(i, "object not closed")
		}
		switch b[i] {
		case '}':
			return dst, i + 1, nil
		case ',':
			i = space(b, i+1)
		default:
			return dst, i, syntax(i, "want ',' or '}'")
		}
	}
}

// Elements calls f with each element of the JSON array b, until f returns
// false. b is a value as found by Object.
func Elements(b []byte, f func(elem []byte) bool) error {
	i := space(b, 0)
	if i >= len(b) || b[i] != '[' {
		return syntax(i, "want a JSON array")
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return nil
	}
	for {
		end, err := value(b, i)
		if err != nil {
			return err
		}
		if !f(b[i:end]) {
			return nil
		}
		if i = space(b, end); i >= len(b) {
			return syntax(i, "array not closed")
		}
		switch b[i] {
		case ']':
			return nil
		case ',':
			i = space(b, i+1)
		default:
			return syntax(i, "want ',' or ']'")
		}
	}
}

// Get returns the value of the first member of the object b called name, nil
// if there is none or b is no object.
func Get(b []byte, name string) []byte {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return nil
	}
	for i = space(b, i+1); i < len(b) && b[i] == '"'; {
		keyEnd, err := str(b, i)
		if err != nil {
			return nil
		}
		key := b[i+1 : keyEnd-1]
		if i = space(b, keyEnd); i >= len(b) || b[i] != ':' {
			return nil
		}
		start := space(b, i+1)
		end, err := value(b, start)
		if err != nil {
			return nil
		}
		if string(key) == name {
			return b[start:end]
		}
		if i = space(b, end); i >= len(b) || b[i] != ',' {
			return nil
		}
		i = space(b, i+1)
	}
	return nil
}

// String decodes the JSON string b, quotes included; what is not UTF-8 becomes
// U+FFFD. It reports false when b is no string.
func String(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", false
	}
	in := b[1 : len(b)-1]
	plain := true
	for _, c := range in {
		if c < 0x20 || c == '"' {
			return "", false
		}
		if c == '\\' || c >= 0x80 {
			plain = false
			break
		}
	}
	if plain {
		return string(in), true
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return "", false
	}
	return s, true
}

// Int decodes a non-negative JSON integer below 10^15.
func Int(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Null reports whether b is absent or the literal null.
func Null(b []byte) bool { return len(b) == 0 || string(b) == "null" }

// Valid reports whether b is exactly one JSON value by this package's rules.
func Valid(b []byte) bool {
	i := space(b, 0)
	end, err := value(b, i)
	return err == nil && space(b, end) == len(b)
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// str returns the offset after the string that begins at i.
func str(b []byte, i int) (int, error) {
	first := i + 1
	for i = first; ; {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return i, syntax(first-1, "string not closed")
		}
		j += i
		k := j
		for k > first && b[k-1] == '\\' {
			k--
		}
		if (j-k)&1 == 0 {
			return j + 1, nil
		}
		i = j + 1
	}
}

// value returns the offset after the value that begins at i.
func value(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, syntax(i, "want a value")
	}
	switch c := b[i]; {
	case c == '"':
		return str(b, i)
	case c == '{' || c == '[':
		return nested(b, i)
	case c == '-' || c >= '0' && c <= '9':
		for i++; i < len(b) && number(b[i]); i++ {
		}
		return i, nil
	}
	for _, lit := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(lit) && string(b[i:i+len(lit)]) == lit {
			return i + len(lit), nil
		}
	}
	return i, syntax(i, "not a JSON value")
}

func number(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// nested returns the offset after the object or array that begins at i.
func nested(b []byte, i int) (int, error) {
	var objects [MaxDepth / 64]uint64 // a bit per level: 1 for an object
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			end, err := str(b, i)
			if err != nil {
				return i, err
			}
			i = end
			continue
		case '{', '[':
			if depth == MaxDepth {
				return i, ErrDepth
			}
			bit := uint64(1) << (depth & 63)
			if c == '{' {
				objects[depth>>6] |= bit
			} else {
				objects[depth>>6] &^= bit
			}
			depth++
		case '}', ']':
			depth--
			if objects[depth>>6]>>(depth&63)&1 == 1 != (c == '}') {
				return i, syntax(i, "bracket does not match")
			}
			if depth == 0 {
				return i + 1, nil
			}
		}
		i++
	}
	return i, syntax(i, "value not closed")
}

// End returns the length of the JSON value that b begins with.
func End(b []byte) (int, error) { return value(b, 0) }
