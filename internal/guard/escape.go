package guard

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// written is the text that JSON says, as the arguments of tools are, and where in
// the JSON each part of it stands.
type written struct {
	text   string
	shifts []shift // in their order; nil: the text is as it was written
}

// shift is from where on, in a text and in its JSON, both are the same again.
type shift struct{ text, raw int }

// unescape reads the escapes of strings in JSON that may end anywhere. An escape
// that may still go on, where this is not the last of it, is left out at the end.
// What is no escape stands for itself.
func unescape(raw string, last bool) written {
	i := strings.IndexByte(raw, '\\')
	if i < 0 {
		return written{text: raw}
	}
	var b strings.Builder
	b.WriteString(raw[:i])
	var shifts []shift
	for i < len(raw) {
		if raw[i] != '\\' {
			n := strings.IndexByte(raw[i:], '\\')
			if n < 0 {
				n = len(raw) - i
			}
			b.WriteString(raw[i : i+n])
			i += n
			continue
		}
		r, n, more := escape(raw[i:])
		if more && !last {
			break
		}
		shifts = append(shifts, shift{b.Len(), i})
		if n == 0 {
			r, n = '\\', 1
		}
		b.WriteRune(r)
		i += n
		shifts = append(shifts, shift{b.Len(), i})
	}
	return written{b.String(), shifts}
}

// plainEscapes are the escapes of one character, each before what it says.
const plainEscapes = "\"\"\\\\//b\bf\fn\nr\rt\t"

// escape reads the escape that s begins with: what it says and its length, 0
// where it is none; more: it may go on behind s.
func escape(s string) (r rune, size int, more bool) {
	if len(s) < 2 {
		return 0, 0, true
	}
	if s[1] != 'u' {
		for i := 0; i < len(plainEscapes); i += 2 {
			if plainEscapes[i] == s[1] {
				return rune(plainEscapes[i+1]), 2, false
			}
		}
		return 0, 0, false
	}
	if len(s) < 6 {
		return 0, 0, true
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	if err != nil {
		return 0, 0, false
	}
	if r = rune(n); !utf16.IsSurrogate(r) {
		return r, 6, false
	}
	rest := s[6:]
	if len(rest) < 6 {
		return utf8.RuneError, 6, len(rest) == 0 || strings.HasPrefix(rest, `\u`) || rest == `\`
	}
	if low, err := strconv.ParseUint(rest[2:6], 16, 16); err == nil && rest[:2] == `\u` {
		if both := utf16.DecodeRune(r, rune(low)); both != utf8.RuneError {
			return both, 12, false
		}
	}
	return utf8.RuneError, 6, false
}

// raw is where in the JSON a place of the text stands.
func (w *written) raw(text int) int {
	i := sort.Search(len(w.shifts), func(i int) bool { return w.shifts[i].text > text })
	if i == 0 {
		return text
	}
	return w.shifts[i-1].raw + text - w.shifts[i-1].text
}

// at is where in the text a place of the JSON stands.
func (w *written) at(raw int) int {
	i := sort.Search(len(w.shifts), func(i int) bool { return w.shifts[i].raw > raw })
	if i == 0 {
		return min(raw, len(w.text))
	}
	return min(w.shifts[i-1].text+raw-w.shifts[i-1].raw, len(w.text))
}
