package sim

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a document made for a schema.
const (
	maxDepth = 12
	maxNodes = 2000
)

// schema is the part of JSON Schema that decides what is made.
type schema struct {
	Ref        string `json:"$ref"`
	Type       json.RawMessage
	Enum       []json.RawMessage
	Const      json.RawMessage
	AnyOf      []json.RawMessage
	OneOf      []json.RawMessage
	AllOf      []json.RawMessage
	Properties map[string]json.RawMessage
	Required   []string
	Items      json.RawMessage
	MinItems   whole
	MinLength  whole
	Minimum    *float64
	Maximum    *float64
	Format     string
}

// whole is a number that Google's clients write as a string.
type whole int

// UnmarshalJSON takes any whole number, in quotes or not; others are 0.
func (w *whole) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err == nil {
		*w = whole(n)
	}
	return nil
}

// maker makes a document that follows a schema: required properties, by
// type. Patterns, conditions and dependencies are not looked at; beyond its
// bounds everything is null.
type maker struct {
	r     *rand.Rand
	root  json.RawMessage
	nodes int
}

// document returns JSON for a schema; a simple object where it is none.
func document(r *rand.Rand, raw json.RawMessage) string {
	m := maker{r: r, root: raw}
	return string(m.add(nil, raw, 0))
}

func (m *maker) add(b []byte, raw json.RawMessage, depth int) []byte {
	m.nodes++
	var s schema
	if depth > maxDepth || m.nodes > maxNodes || json.Unmarshal(raw, &s) != nil {
		return append(b, "null"...)
	}
	switch {
	case s.Ref != "":
		return m.add(b, m.resolve(s.Ref), depth+1)
	case len(s.Const) > 0:
		return append(b, s.Const...)
	case len(s.Enum) > 0:
		return append(b, s.Enum[m.r.IntN(len(s.Enum))]...)
	}
	for _, some := range [][]json.RawMessage{s.AnyOf, s.OneOf, s.AllOf} {
		if len(some) > 0 {
			return m.add(b, some[0], depth+1)
		}
	}
	switch s.kind() {
	case "object":
		return m.object(b, &s, depth)
	case "array":
		return m.array(b, &s, depth)
	case "integer":
		low, high := s.bounds()
		low, high = math.Ceil(low), math.Floor(high)
		return strconv.AppendInt(b, int64(low+math.Floor(m.r.Float64()*max(0, high-low+1))), 10)
	case "number":
		low, high := s.bounds()
		return strconv.AppendFloat(b, math.Round((low+m.r.Float64()*(high-low))*100)/100, 'f', -1, 64)
	case "boolean":
		return strconv.AppendBool(b, m.r.IntN(2) == 0)
	case "null":
		return append(b, "null"...)
	}
	return append(b, encode(m.text(&s))...)
}

// kind returns the type to make, in small letters; of several the first that
// is not null.
func (s *schema) kind() string {
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		return strings.ToLower(one)
	}
	var many []string
	if json.Unmarshal(s.Type, &many) == nil {
		for _, t := range many {
			if t != "null" {
				return t
			}
		}
		return "null"
	}
	if len(s.Items) > 0 {
		return "array"
	}
	if len(s.Properties) > 0 || len(s.Type) == 0 {
		return "object"
	}
	return "string"
}

func (s *schema) bounds() (low, high float64) {
	high = 100
	if s.Minimum != nil {
		low = max(-1<<53, min(*s.Minimum, 1<<53))
		high = max(high, low+100)
	}
	if s.Maximum != nil {
		high = max(-1<<53, min(*s.Maximum, 1<<53))
		low = min(low, high)
	}
	return low, high
}

// object makes the required properties; all, where none is required.
func (m *maker) object(b []byte, s *schema, depth int) []byte {
	keys := s.Required
	if len(keys) == 0 {
		keys = slices.Sorted(maps.Keys(s.Properties))
	}
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, encode(k)...), ':')
		b = m.add(b, s.Properties[k], depth+1)
	}
	return append(b, '}')
}

func (m *maker) array(b []byte, s *schema, depth int) []byte {
	n := min(max(1, int(s.MinItems)), 16)
	if depth >= maxDepth || len(s.Items) == 0 {
		n = 0
	}
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.add(b, s.Items, depth+1)
	}
	return append(b, ']')
}

func (m *maker) text(s *schema) string {
	switch s.Format {
	case "date-time":
		return "2025-01-02T03:04:05Z"
	case "date":
		return "2025-01-02"
	case "time":
		return "03:04:05Z"
	case "email":
		return "someone@example.com"
	case "uri":
		return "https://example.com/"
	case "uuid":
		return "01234567-89ab-4def-8123-456789abcdef"
	}
	text := words[m.r.IntN(len(words))]
	for len(text) < min(int(s.MinLength), 1000) {
		text += " " + words[m.r.IntN(len(words))]
	}
	return text
}

// resolve follows a reference inside the document, such as #/$defs/Name;
// nil if it leads nowhere.
func (m *maker) resolve(ref string) json.RawMessage {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := m.root
	for _, key := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		if key == "" {
			continue
		}
		var obj map[string]json.RawMessage
		if json.Unmarshal(at, &obj) != nil {
			return nil
		}
		at = obj[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
	}
	return at
}
