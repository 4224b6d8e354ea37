// Package cohere is Cohere's Chat API, version 2, as vendors speak it.
//
// Field names and bounds are those of Cohere's OpenAPI document; what models
// do with them is as recorded.
package cohere

import (
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/wire"
)

// Codec is Cohere's chat. It has no state.
type Codec struct{}

var _ wire.Vendor = Codec{}

// Source cuts a streamed answer into its events.
func (Codec) Source(body io.Reader) wire.Source { return wire.SSE(body) }

// Decoder begins to read a streamed answer.
func (Codec) Decoder(call *wire.Call) wire.Decoder { return &decoder{call: call} }

// lenient lets what clients and vendors send inside values pass: names twice,
// lone surrogates.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// thinks reports whether a model reasons; all others refuse to be told how
// much.
func thinks(model string) bool {
	return strings.Contains(model, "reasoning") || strings.Contains(model, "command-a-plus")
}
