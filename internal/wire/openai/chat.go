package openai

import (
	"io"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Codec is chat completions in both directions: OpenAI's own and the dialects
// of the vendors that follow it.
type Codec struct{}

var (
	_ wire.Client = Codec{}
	_ wire.Vendor = Codec{}
)

// AppendError implements wire.Client.
func (Codec) AppendError(dst []byte, _ string, e *llm.Error) []byte { return AppendError(dst, e) }

// Status implements wire.Client.
func (Codec) Status(e *llm.Error) int { return e.HTTPStatus() }

// Ping implements wire.Client.
func (Codec) Ping() []byte { return Ping }

// Source implements wire.Vendor.
func (Codec) Source(body io.Reader) wire.Source { return wire.SSE(body) }
