// Package protocol is the table of the wire protocols.
package protocol

import (
	"net/http"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/bedrock"
	"github.com/sluicegate/sluice/internal/wire/cohere"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// Protocol is a row of the table. Rows are never changed.
type Protocol struct {
	// Client is nil for protocols that only vendors speak. So are Decode,
	// Payload, Watch and Inspect.
	Client wire.Client
	Vendor wire.Vendor
	// Stream is the content type of a vendor's streams.
	Stream string
	// Several: a vendor gives several answers to one request.
	Several bool
	// Decode reads a body as a request for op and fills req. The body is the
	// request's from now on, whatever is returned.
	Decode func(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error
	// Payload is a client's body as it goes to a vendor of this protocol. The
	// caller closes it.
	Payload func(f *wire.Form, w wire.Rewrite) *wire.Payload
	// Watch looks at the streamed answer to req as it passes.
	Watch func(req *llm.Request) wire.Watcher
	// Inspect looks at a whole answer: its usage, nil if it has none.
	Inspect func(op llm.Op, body []byte) (*llm.Usage, *llm.Error)
	// Answer makes an answer of a whole body as it passes.
	Answer func(req *llm.Request, resp *http.Response, int8 bool) (llm.Stream, *llm.Error)
}

var table = [...]Protocol{
	llm.ProtoOpenAI: {Stream: "text/event-stream", Several: true,
		Decode: openai.Decode, Payload: openai.Payload, Watch: openai.Watch, Inspect: openai.Inspect, Answer: openai.Answer},
	llm.ProtoBedrock: {Vendor: bedrock.Codec{}, Stream: "application/vnd.amazon.eventstream"},
	llm.ProtoCohere:  {Vendor: cohere.Codec{}, Stream: "text/event-stream"},
}

// Of returns the row of a protocol.
func Of(p llm.Proto) *Protocol { return &table[p] }
