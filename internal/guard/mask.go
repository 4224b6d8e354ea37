package guard

import (
	"strconv"
	"strings"
)

// maxMasks bounds the values that one request's masks tell apart.
const maxMasks = 10_000

// masks are what stands in one request and its answer in the place of what was
// masked: [EMAIL_1], the same for the same value. It is not safe for concurrent
// use.
type masks struct {
	made  map[string]string // value → mask
	count map[string]int    // by the name of the masks
	back  map[string]string // mask → value, of those that the answer gives back; nil: none
}

// of returns what takes the place of a value; own: of no other value.
func (m *masks) of(name, value string) (mask string, own bool) {
	key := name + "\x00" + value
	if s, ok := m.made[key]; ok {
		return s, true
	}
	if len(m.made) >= maxMasks {
		return "[" + name + "]", false
	}
	if m.made == nil {
		m.made, m.count = map[string]string{}, map[string]int{}
	}
	m.count[name]++
	s := "[" + name + "_" + strconv.Itoa(m.count[name]) + "]"
	m.made[key] = s
	return s, true
}

// put returns text with the findings, in their order and apart from each other,
// replaced.
func (m *masks) put(text string, at []finding) string {
	if len(at) == 0 {
		return text
	}
	var b strings.Builder
	from := 0
	for _, f := range at {
		b.WriteString(text[from:f.start])
		b.WriteString(m.instead(text, f))
		from = f.end
	}
	b.WriteString(text[from:])
	return b.String()
}

// instead is what takes the place of a finding in text.
func (m *masks) instead(text string, f finding) string {
	if f.with != "" {
		return f.with
	}
	value := text[f.start:f.end]
	mask, told := m.of(f.mask, value)
	if f.back && told {
		m.remember(mask, value)
	}
	return mask
}

// remember notes that the answer gives back what was masked as mask.
func (m *masks) remember(mask, value string) {
	if !plain(value) {
		return
	}
	if m.back == nil {
		m.back = map[string]string{}
	}
	m.back[mask] = value
}

// plain reports whether a value may stand in a JSON string as it is, as the
// arguments of tools are.
func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) < 0
}

// longestMask bounds a mask in bytes.
const longestMask = 80

// find implements Finder: masks that the answer gives back.
func (m *masks) find(dst []finding, text string) []finding {
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '[')
		if i < 0 {
			return dst
		}
		start := at + i
		at = start + 1
		n := strings.IndexByte(text[start:min(len(text), start+longestMask)], ']')
		if n < 0 {
			continue
		}
		if value, ok := m.back[text[start:start+n+1]]; ok {
			at = start + n + 1
			dst = append(dst, finding{start: start, end: at, action: Mask, mask: text[start:at], with: value})
		}
	}
}

// open implements Finder.
func (m *masks) open(text string) int {
	tail := max(0, len(text)-longestMask)
	if i := strings.LastIndexByte(text[tail:], '['); i >= 0 && strings.IndexByte(text[tail+i:], ']') < 0 {
		return tail + i
	}
	return len(text)
}

func (m *masks) masks() bool { return true }

var _ Finder = (*masks)(nil)

// MaskName is how a guard's masks are called: its own name in capitals.
func MaskName(guard string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, guard)
}
