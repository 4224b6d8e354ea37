package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// wrongShape is what is wrong with a JSON object, in no vendor's words.
type wrongShape struct {
	unknown string // a member that does not belong there; "": none
	field   string // a member of the wrong type, with dots; "": the object
	got     string // what it is instead, such as "string"
}

// strict decodes an object that may have no members but those of into.
func strict(raw json.RawMessage, into any) *wrongShape {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		return nil
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name, err := strconv.Unquote(quoted)
		if err != nil {
			name = quoted
		}
		return &wrongShape{unknown: clip(name, maxName)}
	}
	if t, ok := err.(*json.UnmarshalTypeError); ok {
		return &wrongShape{field: t.Field, got: t.Value}
	}
	return &wrongShape{got: "malformed JSON"}
}

// isObject reports whether raw is a JSON object.
func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '{'
}

// items decodes an array; false if it is none.
func items(raw json.RawMessage) (all []json.RawMessage, ok bool) {
	err := json.Unmarshal(raw, &all)
	return all, err == nil && all != nil
}

// path joins what leads to a member, with dots.
func path(at string, more ...any) string {
	var b strings.Builder
	b.WriteString(at)
	for _, m := range more {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		switch m := m.(type) {
		case int:
			b.WriteString(strconv.Itoa(m))
		case string:
			b.WriteString(m)
		}
	}
	return b.String()
}
