package config

import (
	"encoding/json"
	"strconv"
)

// schema is a JSON Schema, draft 2020-12, as far as it is needed here.
type schema struct {
	Version     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Type        string             `json:"type,omitempty"`
	Enum        []json.RawMessage  `json:"enum,omitempty"`
	Default     json.RawMessage    `json:"default,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	MaxLength   int                `json:"maxLength,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Above       *float64           `json:"exclusiveMinimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Names       *schema            `json:"propertyNames,omitempty"`
	Closed      bool               `json:"-"` // no other properties
	Values      *schema            `json:"-"` // of all other properties
	Required    []string           `json:"required,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	Not         *schema            `json:"not,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// MarshalJSON adds additionalProperties, which is a schema or false.
func (s schema) MarshalJSON() ([]byte, error) {
	type plain schema
	out := struct {
		plain
		Additional json.RawMessage `json:"additionalProperties,omitempty"`
	}{plain: plain(s)}
	switch {
	case s.Values != nil:
		b, err := json.Marshal(s.Values)
		if err != nil {
			return nil, err
		}
		out.Additional = b
	case s.Closed:
		out.Additional = json.RawMessage("false")
	}
	return json.Marshal(out)
}

// Schema returns the JSON Schema, draft 2020-12, of a configuration file. It is
// stricter than Parse in notation (a number where a text is meant, a section
// left empty) and knows nothing of how parts refer to each other.
func Schema() []byte {
	s := table().doc
	s.Version = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Sluice configuration"
	s.Defs = map[string]*schema{"env": {
		Type: "string", Pattern: `\$\{[^}]+\}`,
		Description: "${NAME} reads the environment, ${file:/path} a file",
	}}
	gates := gatesSpec().doc
	s.Defs["gates"] = &gates
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: the schema is not JSON: " + err.Error()) // made of constants
	}
	return append(b, '\n')
}

// orEnv is s, or a text with ${…}.
func orEnv(s schema) schema {
	return schema{AnyOf: []*schema{&s, {Ref: "#/$defs/env"}}}
}

// literal is the JSON of a scalar as it would be written in the file.
func literal(text string) json.RawMessage {
	if text == "true" || text == "false" || isNumber(text) {
		return json.RawMessage(text)
	}
	return json.RawMessage(strconv.Quote(text))
}

func literals(texts []string) []json.RawMessage {
	out := make([]json.RawMessage, len(texts))
	for i, t := range texts {
		out[i] = literal(t)
	}
	return out
}
