// Package anthropic is Anthropic's Messages API in both directions, in the
// versions 2023-06-01 and 2026-10-21, and as Google's Vertex carries it.
package anthropic

import (
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Codec is the Messages API as clients and as vendors speak it.
type Codec struct{}

var (
	_ wire.Client = Codec{}
	_ wire.Vendor = Codec{}
)

// Vertex is the dialect of Google's Vertex: the model is in the path and the
// version in the body.
const Vertex = "vertex"

// Source returns the events of a streamed answer.
func (Codec) Source(body io.Reader) wire.Source { return wire.SSE(body) }

// unmarshal decodes what just has to be understood, not policed: duplicate
// names and text that is not UTF-8 pass.
func unmarshal(b []byte, v any) error {
	return json.Unmarshal(b, v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// object reports whether s is a JSON object.
func object(s string) bool {
	v := jsontext.Value(s)
	return v.Kind() == '{' && v.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// hosted reports whether a block of this type is a step of a tool that
// Anthropic runs. Such a block is a BlockHosted: Name is its type, Text the
// block as JSON.
func hosted(typ string) bool {
	switch typ {
	case "tool_use", "tool_result":
		return false
	case "container_upload", "compaction":
		return true
	}
	return strings.HasSuffix(typ, "_tool_use") || strings.HasSuffix(typ, "_tool_result")
}

// ownHosted reports whether b is a step that this protocol can say.
func ownHosted(b *llm.Block) bool {
	if !hosted(b.Name) || !object(b.Text) {
		return false
	}
	typ, _ := scan.String(scan.Get([]byte(b.Text), "type"))
	return typ == b.Name
}
