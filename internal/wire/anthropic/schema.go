package anthropic

import (
	"bytes"

	"github.com/sluicegate/sluice/internal/wire/scan"
)

// closer rewrites a JSON Schema into the subset that Anthropic compiles for
// structured outputs and strict tools: objects closed, no bounds on values
// (Anthropic's page on structured outputs, read 2026-11-25).
type closer struct {
	// relaxed: a keyword was left out, so that more would fit than the schema
	// allows.
	relaxed bool
	// open: the schema wants what cannot be told, such as objects with any
	// names; the result is of no use.
	open bool
	defs []string // the definitions that are being read
}

// maxSchema bounds how deep schemas nest.
const maxSchema = 64

// schema appends b, a schema, rewritten.
func (c *closer) schema(dst, b []byte, depth int) []byte {
	if len(b) == 0 || b[0] != '{' || depth > maxSchema {
		c.open = true
		return append(dst, b...)
	}
	ms, err := scan.Object(nil, b)
	if err != nil {
		c.open = true
		return append(dst, b...)
	}
	dst = append(dst, '{')
	start := len(dst)
	var isObject, closed, named bool
	for _, m := range ms {
		name, v := b[m.Key+1:m.KeyEnd-1], b[m.Start:m.End]
		switch string(name) {
		case "type":
			isObject = isObject || bytes.Contains(v, []byte(`"object"`))
		case "properties":
			isObject, named = true, len(v) > 2
		case "additionalProperties":
			closed = string(v) == "false"
			c.open = c.open || !closed
		}
		if !c.keep(string(name), v) {
			c.relaxed = true
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if string(name) == "oneOf" {
			name = []byte("anyOf")
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
		dst = c.member(dst, string(name), v, depth)
	}
	if isObject && !closed {
		if !named {
			c.open = true
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, `"additionalProperties":false`...)
	}
	return append(dst, '}')
}

// keep reports whether a keyword can be told.
func (c *closer) keep(name string, v []byte) bool {
	switch name {
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
		"maxItems", "uniqueItems", "minProperties", "maxProperties", "not":
		return false
	case "minItems":
		return string(v) == "0" || string(v) == "1"
	case "format":
		s, _ := scan.String(v)
		switch s {
		case "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid":
			return true
		}
		return false
	case "patternProperties", "dependentSchemas", "propertyNames", "unevaluatedProperties", "contains", "prefixItems", "if", "then", "else":
		c.open = true
	}
	return true
}

// member appends the value of a keyword.
func (c *closer) member(dst []byte, name string, v []byte, depth int) []byte {
	switch name {
	case "items":
		return c.schema(dst, v, depth+1)
	case "anyOf", "allOf":
		dst = append(dst, '[')
		first := true
		if scan.Elements(v, func(e []byte) bool {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = c.schema(dst, e, depth+1)
			return true
		}) != nil {
			c.open = true
		}
		return append(dst, ']')
	case "properties", "$defs", "definitions":
		return c.named(dst, v, name != "properties", depth)
	case "$ref":
		s, _ := scan.String(v)
		c.open = c.open || s == "#"
		for _, d := range c.defs { // a schema within itself is refused
			c.open = c.open || s == "#/$defs/"+d || s == "#/definitions/"+d
		}
	}
	return append(dst, v...)
}

// named appends an object whose values are schemas; defs says that they are
// definitions.
func (c *closer) named(dst, b []byte, defs bool, depth int) []byte {
	ms, err := scan.Object(nil, b)
	if err != nil {
		c.open = true
		return append(dst, b...)
	}
	dst = append(dst, '{')
	for i, m := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, b[m.Key:m.KeyEnd]...), ':')
		if defs {
			name, _ := scan.String(b[m.Key:m.KeyEnd])
			c.defs = append(c.defs, name)
		}
		dst = c.schema(dst, b[m.Start:m.End], depth+1)
		if defs {
			c.defs = c.defs[:len(c.defs)-1]
		}
	}
	return append(dst, '}')
}

// input returns a schema as a tool's input_schema, which must say that it is
// an object.
func input(schema []byte) []byte {
	if len(schema) == 0 || schema[0] != '{' {
		return []byte(`{"type":"object","properties":{}}`)
	}
	if scan.Get(schema, "type") != nil {
		return schema
	}
	out := append([]byte(`{"type":"object"`), schema[1:]...)
	if rest := bytes.TrimSpace(schema[1:]); len(rest) > 1 {
		out = append(append([]byte(`{"type":"object",`), rest...), []byte(nil)...)
	}
	return out
}
