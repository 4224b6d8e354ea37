package gemini

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxSchema is how deep a schema is translated; what lies deeper is taken as
// it is. Google's own bound on nesting is lower.
const maxSchema = 64

// jsonSchema returns the JSON Schema of a schema in Google's form, which is
// OpenAPI 3.0's: types in capitals or as numbers, nullable, counts as text,
// names in either spelling. A JSON Schema comes out as it went in.
func jsonSchema(v jsontext.Value) []byte { return appendSchema(nil, v, 0) }

// keywords are the names of a schema's members in both spellings, where they
// differ from JSON Schema's.
var keywords = map[string]string{
	"any_of": "anyOf", "max_items": "maxItems", "min_items": "minItems", "max_length": "maxLength", "min_length": "minLength",
	"max_properties": "maxProperties", "min_properties": "minProperties", "additional_properties": "additionalProperties",
	"property_ordering": "propertyOrdering", "defs": "$defs", "ref": "$ref", "prefix_items": "prefixItems",
}

// typeNumbers are the values of Google's enumeration Type.
var typeNumbers = map[string]string{"1": "string", "2": "number", "3": "integer", "4": "boolean", "5": "array", "6": "object", "7": "null"}

func appendSchema(dst []byte, v []byte, depth int) []byte {
	ms, err := scan.Object(nil, v)
	if err != nil || depth == maxSchema {
		return append(dst, v...)
	}
	nullable := false
	for _, m := range ms {
		nullable = nullable || string(v[m.Key:m.KeyEnd]) == `"nullable"` && string(v[m.Start:m.End]) == "true"
	}
	dst = append(dst, '{')
	for _, m := range ms {
		name, _ := scan.String(v[m.Key:m.KeyEnd])
		value := v[m.Start:m.End]
		if k, ok := keywords[name]; ok {
			name = k
		}
		if name == "nullable" || name == "propertyOrdering" || name == "example" {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(quote(dst, name), ':')
		dst = appendKeyword(dst, name, value, nullable, depth)
	}
	return append(dst, '}')
}

func appendKeyword(dst []byte, name string, v []byte, nullable bool, depth int) []byte {
	switch name {
	case "type":
		t := string(bytes.Trim(v, `"`))
		if n, ok := typeNumbers[t]; ok {
			t = n
		}
		if v[0] != '"' && v[0] != '[' && t == string(v) || v[0] == '[' {
			return append(dst, v...)
		}
		t = strings.ToLower(t)
		if nullable {
			return append(append(append(dst, `["`...), t...), `","null"]`...)
		}
		return append(append(append(dst, '"'), t...), '"')
	case "maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties":
		if n := bytes.Trim(v, `"`); len(n) > 0 && jsontext.Value(n).Kind() == '0' {
			return append(dst, n...)
		}
	case "items", "additionalProperties", "not":
		return appendSchema(dst, v, depth+1)
	case "properties", "$defs", "definitions":
		return appendMembers(dst, v, depth)
	case "anyOf", "oneOf", "allOf", "prefixItems":
		base := len(dst)
		dst = append(dst, '[')
		err := scan.Elements(v, func(e []byte) bool {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = appendSchema(dst, e, depth+1)
			return true
		})
		if err != nil {
			return append(dst[:base], v...)
		}
		if nullable && name == "anyOf" {
			dst = append(dst, `,{"type":"null"}`...)
		}
		return append(dst, ']')
	}
	return append(dst, v...)
}

// appendMembers appends an object whose values are schemas.
func appendMembers(dst []byte, v []byte, depth int) []byte {
	ms, err := scan.Object(nil, v)
	if err != nil {
		return append(dst, v...)
	}
	dst = append(dst, '{')
	for i, m := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, v[m.Key:m.KeyEnd]...), ':')
		dst = appendSchema(dst, v[m.Start:m.End], depth+1)
	}
	return append(dst, '}')
}
