// Package protocol is the table of the wire protocols.
package protocol

import (
	"net/http"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
	"github.com/sluicegate/sluice/internal/wire/bedrock"
	"github.com/sluicegate/sluice/internal/wire/cohere"
	"github.com/sluicegate/sluice/internal/wire/gemini"
	"github.com/sluicegate/sluice/internal/wire/ollama"
	"github.com/sluicegate/sluice/internal/wire/openai"
	"github.com/sluicegate/sluice/internal/wire/responses"
)

// Protocol is a row of the table. Rows are never changed.
type Protocol struct {
	// Client is nil for protocols that only vendors speak. So are Decode,
	// Payload, Watch and Inspect.
	Client wire.Client
	Vendor wire.Vendor
	// Envelope is the protocol whose form errors have.
	Envelope llm.Proto
	// Stream is the content type of a vendor's streams.
	Stream string
	// Several: a vendor gives several answers to one request. Most of Gemini's
	// models refuse more than one, and no stream of several is known.
	Several bool
	// Decode reads a body as a request for op and fills req. The body is the
	// request's from now on, whatever is returned.
	Decode func(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error
	// Foreign reports whether a vendor that copied the protocol is better told
	// a body in translation; nil: never.
	Foreign func(f *wire.Form, vendor string) bool
	// Payload is a client's body as it goes to a vendor of this protocol. The
	// caller closes it.
	Payload func(f *wire.Form, w wire.Rewrite) *wire.Payload
	// Bound names the member of a chat's body that bounds the answer; nil: none
	// can be put there.
	Bound func(f *wire.Form, vendor string) string
	// Prefix reports whether a model takes a Chat that is Open; nil: none does.
	Prefix func(t wire.Target) bool
	// Watch looks at the streamed answer to req as it passes.
	Watch func(req *llm.Request) wire.Watcher
	// Inspect looks at a whole answer: its usage, nil if it has none.
	Inspect func(op llm.Op, body []byte) (*llm.Usage, *llm.Error)
	// Answer makes an answer of a whole body as it passes; nil: Inspect is all
	// there is to do.
	Answer func(req *llm.Request, resp *http.Response, form wire.VectorForm) (llm.Stream, *llm.Error)
	// Kept returns the id of an answer to req that the vendor keeps, from a
	// whole answer or the beginning of a stream; "" if it does not tell one. nil:
	// vendors keep nothing.
	Kept func(req *llm.Request, answer []byte) string
	// Completions is the client of plain completions, nil where the protocol
	// has none.
	Completions wire.Client
	// CompletionVendor reads answers to plain completions, nil where vendors have
	// none.
	CompletionVendor wire.Vendor
	// CountCall asks a vendor for the tokens of a chat, ParseCount reads its
	// answer; nil where a vendor cannot be asked. AppendCount tells a client.
	CountCall   func(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error)
	ParseCount  func(body []byte) (int64, bool)
	AppendCount func(dst []byte, n int64) []byte
	// Embed reads a client's request for vectors and AppendEmbed tells it the
	// answer; EmbedCall asks a vendor for at most EmbedMost vectors (0: any
	// number) and ParseEmbed reads its answer. nil where clients or vendors
	// have no vectors.
	Embed       func(op llm.Op, body []byte) (*llm.Embed, *llm.Error)
	AppendEmbed func(dst []byte, req *llm.Request, r *llm.EmbedReply) []byte
	EmbedCall   func(e *llm.Embed, t wire.Target) (*wire.Call, *llm.Error)
	EmbedMost   func(t wire.Target) int
	ParseEmbed  func(t wire.Target, h http.Header, body []byte) (*llm.EmbedReply, *llm.Error)
	// Rerank reads a client's request to rank documents and AppendRerank tells
	// it the answer; RerankCall asks a vendor and ParseRerank reads its answer
	// to asked. nil where clients or vendors have nothing of the kind.
	Rerank       func(body []byte) (*llm.Rerank, *llm.Error)
	AppendRerank func(dst []byte, req *llm.Request, r *llm.RerankReply) []byte
	RerankCall   func(r *llm.Rerank, t wire.Target) (*wire.Call, *llm.Error)
	ParseRerank  func(asked *llm.Rerank, h http.Header, body []byte) (*llm.RerankReply, *llm.Error)
	// Array frames a stream as one JSON array: ArrayEncoder what an encoder
	// writes, Array the events that pass, ArrayEnd what follows them; first
	// says that nothing was written yet. nil where the protocol has no such
	// form.
	ArrayEncoder func(e wire.Encoder) wire.Encoder
	Array        func(dst, events []byte, first bool) []byte
	ArrayEnd     func(dst []byte, first bool) []byte
}

// Pass makes an answer of resp, a whole answer to req that goes to a client of
// the same protocol. form is openai.Answer's. The caller closes it.
func (p *Protocol) Pass(req *llm.Request, resp *http.Response, form wire.VectorForm) (llm.Stream, *llm.Error) {
	switch {
	case req.Op == llm.OpCount: // costs nothing
		return wire.Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
			return llm.Chunk{Raw: body, Level: llm.LevelContent, Usage: &llm.Usage{}}, nil
		})
	case p.Answer != nil:
		return p.Answer(req, resp, form)
	}
	return wire.Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
		usage, bad := p.Inspect(req.Op, body)
		if bad == nil && usage == nil {
			usage = &llm.Usage{Input: req.InputTokens(), Estimated: true}
			if !req.Op.Embeds() {
				usage.Output = int64(len(body)+3) / 4
			}
		}
		return llm.Chunk{Raw: body, Level: llm.LevelContent, Usage: usage}, bad
	})
}

// ClientOf returns the client side for an operation.
func (p *Protocol) ClientOf(op llm.Op) wire.Client {
	if op == llm.OpCompletion {
		return p.Completions
	}
	return p.Client
}

// VendorOf returns the vendor's side for an operation whose answer is a text, nil
// where it has none.
func (p *Protocol) VendorOf(op llm.Op) wire.Vendor {
	switch op {
	case llm.OpChat:
		return p.Vendor
	case llm.OpCompletion:
		return p.CompletionVendor
	}
	return nil
}

const events = "text/event-stream"

var table = [...]Protocol{
	llm.ProtoOpenAI: {
		Client: openai.Codec{}, Vendor: openai.Codec{}, Completions: openai.Completions{}, CompletionVendor: openai.CompletionVendor{}, Envelope: llm.ProtoOpenAI, Stream: events, Several: true,
		Decode: decodeOpenAI, Payload: openai.Payload, Bound: openai.Bound, Prefix: openai.Prefix, Watch: openai.Watch, Inspect: openai.Inspect, Answer: openai.Answer,
		Embed: openai.Embed, AppendEmbed: openai.AppendEmbed, EmbedCall: openai.EmbedCall, EmbedMost: unbounded, ParseEmbed: openai.ParseEmbed,
		Rerank: openai.Rerank, AppendRerank: openai.AppendRerank,
	},
	llm.ProtoResponses: {
		Client: responses.Codec{}, Vendor: responses.Codec{}, Envelope: llm.ProtoOpenAI, Stream: events,
		Foreign: responses.Foreign, Decode: responses.Decode, Payload: plain, Bound: responses.Bound, Watch: responses.Watch, Inspect: responses.Inspect, Kept: responses.Kept,
		CountCall: responses.CountCall, ParseCount: responses.ParseCount, AppendCount: responses.AppendCount,
	},
	llm.ProtoAnthropic: {
		Client: anthropic.Codec{}, Vendor: anthropic.Codec{}, Envelope: llm.ProtoAnthropic, Stream: events,
		Decode: anthropic.Decode, Payload: anthropic.Payload, Bound: anthropic.Bound, Prefix: anthropic.Prefix, Watch: anthropic.Watch, Inspect: anthropic.Inspect,
		CountCall: anthropic.CountRequest, ParseCount: anthropic.ParseCount, AppendCount: anthropic.AppendCount,
	},
	llm.ProtoGemini: {
		Client: gemini.Codec{}, Vendor: gemini.Codec{}, Envelope: llm.ProtoGemini, Stream: events,
		Decode: gemini.Decode, Payload: gemini.Payload, Prefix: gemini.Prefix, Watch: gemini.Watch, Inspect: gemini.Inspect,
		CountCall: gemini.CountRequest, ParseCount: gemini.ParseCount, AppendCount: gemini.AppendCount,
		Embed: gemini.Embed, AppendEmbed: gemini.AppendEmbed, EmbedCall: gemini.EmbedCall, EmbedMost: gemini.EmbedMost, ParseEmbed: gemini.ParseEmbed,
		ArrayEncoder: gemini.ArrayEncoder, Array: gemini.Array, ArrayEnd: gemini.ArrayEnd,
	},
	llm.ProtoBedrock: {
		Vendor: bedrock.Codec{}, Stream: "application/vnd.amazon.eventstream",
		EmbedCall: bedrock.EmbedCall, EmbedMost: bedrock.EmbedMost, ParseEmbed: bedrock.ParseEmbed,
		RerankCall: bedrock.RerankCall, ParseRerank: bedrock.ParseRerank,
	},
	llm.ProtoCohere: {
		Vendor: cohere.Codec{}, Stream: events,
		EmbedCall: cohere.EmbedCall, EmbedMost: cohere.EmbedMost, ParseEmbed: cohere.ParseEmbed,
		RerankCall: cohere.RerankCall, ParseRerank: cohere.ParseRerank,
	},
	llm.ProtoOllama: {Vendor: ollama.Codec{}, Stream: "application/x-ndjson", EmbedCall: ollama.EmbedCall, EmbedMost: unbounded, ParseEmbed: ollama.ParseEmbed},
}

func unbounded(wire.Target) int { return 0 }

func plain(f *wire.Form, w wire.Rewrite) *wire.Payload { return w.Payload(f) }

// inChat is the shape of a chat completions body that is written as Responses
// wants it, which Cursor does.
var inChat = wire.Shape{Proto: llm.ProtoResponses, Codec: responses.Codec{}, Asked: openai.KeyInput, Keys: openai.Keys}

func decodeOpenAI(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error {
	if e := openai.Decode(op, body, req); e != nil {
		return e
	}
	if f := req.Body.(*wire.Form); op == llm.OpChat && f.Has(openai.KeyInput) && !f.Has(openai.KeyMessages) {
		f.Reshape(&inChat)
	}
	return nil
}

// Predicts reports whether Vertex AI is asked for a model's vectors by predict.
func Predicts(model string) bool { return gemini.Predicts(model) }

// Of returns the row of a protocol.
func Of(p llm.Proto) *Protocol { return &table[p] }

// Batch finds the models in the body of a batch of Anthropic's messages.
func Batch(body []byte) ([]anthropic.Entry, *llm.Error) { return anthropic.Batch(body) }
