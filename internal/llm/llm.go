// Package llm is the vocabulary of the gateway: what is asked, what answers,
// what it cost and how it failed. It does no I/O and imports nothing of ours.
package llm

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Handler answers requests: a target, a pool of targets, and everything made
// of them. Implementations are safe for concurrent use.
type Handler interface {
	// Do answers req. The caller closes the response. On error the response
	// is nil and the error is an *Error, unless ctx ended.
	Do(ctx context.Context, req *Request) (*Response, error)
	// Plan tells what Do would try. It does no I/O and changes nothing.
	Plan(req *Request) Plan
}

// Op is the operation a client asks for.
type Op uint8

// The operations.
const (
	OpChat Op = iota + 1
	OpCompletion
	OpEmbedding
	OpEmbeddingBatch // OpEmbedding where a protocol asks for several vectors in other words than for one
	OpCount          // the tokens of a chat request, without answering it
	OpCompact
	OpModeration
	OpRerank
	OpImage
	OpImageEdit
	OpImageVariation
	OpSpeech
	OpTranscription
	OpTranslation
	OpResponse    // a response that its vendor keeps
	OpFile        // the files of a vendor
	OpBatch       // its batches
	OpPassthrough // anything, as it is
	OpRealtime    // a session: events both ways
	OpProbe       // the gateway's own, to see whether a target answers
)

// Relayed reports whether answers go to the client as they come: no protocol
// has a neutral form for them.
func (o Op) Relayed() bool { return o == OpModeration || o >= OpImage && o < OpRealtime }

var opNames = [...]string{
	OpChat: "chat", OpCompletion: "text_completion", OpEmbedding: "embeddings", OpEmbeddingBatch: "embeddings", OpCount: "count_tokens", OpCompact: "compact", OpModeration: "moderation",
	OpRerank: "rerank", OpImage: "image_generation", OpImageEdit: "image_edit", OpImageVariation: "image_variation",
	OpSpeech: "speech", OpTranscription: "transcription", OpTranslation: "translation",
	OpResponse: "response", OpFile: "file", OpBatch: "batch", OpPassthrough: "passthrough",
	OpRealtime: "realtime", OpProbe: "probe",
}

// Chats reports whether a text is asked for that any protocol can tell.
func (o Op) Chats() bool { return o == OpChat || o == OpCompletion }

// Embeds reports whether vectors are asked for.
func (o Op) Embeds() bool { return o == OpEmbedding || o == OpEmbeddingBatch }

// String returns the operation's name, in OpenTelemetry's GenAI vocabulary
// where that has one.
func (o Op) String() string {
	if o > 0 && int(o) < len(opNames) {
		return opNames[o]
	}
	return "unknown"
}

// Proto is a wire protocol.
type Proto uint8

// The protocols.
const (
	ProtoOpenAI Proto = iota + 1 // chat completions, and all of OpenAI's that is no Responses
	ProtoResponses
	ProtoAnthropic
	ProtoGemini
	ProtoBedrock // Converse
	ProtoCohere
	ProtoOllama
)

var protoNames = [...]string{ProtoOpenAI: "openai", ProtoResponses: "responses", ProtoAnthropic: "anthropic", ProtoGemini: "gemini",
	ProtoBedrock: "bedrock", ProtoCohere: "cohere", ProtoOllama: "ollama"}

// String returns the protocol's short name.
func (p Proto) String() string {
	if p > 0 && int(p) < len(protoNames) {
		return protoNames[p]
	}
	return "unknown"
}

// ProtoByName returns the protocol of a short name.
func ProtoByName(name string) (Proto, bool) {
	for p, n := range protoNames {
		if n == name && n != "" {
			return Proto(p), true
		}
	}
	return 0, false
}

// Raw is one call of a vendor beside its models: about what it keeps, or
// anything as it is.
type Raw struct {
	Op     Op    // OpPassthrough, or what Path follows the place of
	Proto  Proto // in which the vendor is asked; of OpPassthrough: the vendor's own
	Method string
	// Path follows the vendor's base URL, or where it has Op. It is escaped,
	// and "" or begins with a slash.
	Path   string
	Query  string      // escaped
	Header http.Header // the client's
	// Credential is the client's own for a vendor.
	Credential Credential
	Body       io.ReadCloser // closed by the call; nil: none
	Size       int64
	Type       string // the body's content type, "" for none
}

// Vectors is the form in which embeddings are wanted.
type Vectors uint8

// The forms.
const (
	VectorsAsSent  Vectors = iota // what the vendor sends: the client asked for a form of its own
	VectorsNumbers                // JSON numbers
	VectorsBase64                 // base64 of little-endian float32
)

// Caller is who asks.
type Caller struct {
	Key      string // name of the key, "" where nobody authenticates
	Session  string // x-sluice-session, or what the client's protocol has for it
	Tags     string // x-sluice-tags as sent
	Operator bool
	Priority Priority
}

// Credential is what a client sent beside its key for the gateway, for
// providers that ask with it. The zero value: nothing.
type Credential struct {
	Header string // canonical name of the header it came in
	Value  string // as it came
	Secret string // without a scheme
}

// Pin binds a request to who keeps what it goes on from.
type Pin struct {
	Provider   string
	Credential string // its id; where it is configured no more, the provider alone binds
}

// Body is a request body. It is immutable while the request lives.
type Body interface {
	Bytes() []byte
	// Conversation identifies the conversation that the body continues, by
	// what stays the same from turn to turn. ok is false for a request that
	// may go anywhere: one short prompt.
	Conversation() (hash uint64, ok bool)
	// User is the end user that the body names, "" if none.
	User() string
	// Prompt appends the parts of the prompt in the order in which a model
	// reads them, as they were received: tools, instructions, messages. The
	// last is the one that the next turn makes longer.
	Prompt(dst [][]byte) [][]byte
	// Chat is the neutral form, decoded on first use; an error for requests
	// that have none. Safe for concurrent use.
	Chat() (*Chat, *Error)
	// Hold keeps the buffer until Release is called once more.
	Hold()
	// Release drops the gateway's hold on the buffer. Calls that are still
	// sending keep theirs. No other method may be used afterwards.
	Release()
}

// Request is one client request. It is immutable once decoded: WithModel
// returns a shallow copy that shares Body and Trail.
type Request struct {
	ID     string
	Op     Op
	Proto  Proto
	Model  string // the name asked for; for a target, the vendor's name
	Stream bool
	// WantUsage: the client asked for the usage event of a stream.
	WantUsage bool
	N         int // answers asked for, at least 1
	MaxOutput int // bound on output tokens given by the client, 0 for none
	// Clamp bounds the output tokens that a vendor is asked for, whatever the
	// body says; 0: nothing but the body does.
	Clamp int
	// Prefix is the beginning of the answer, which the client has: a vendor is
	// asked to go on from it. "": the answer begins.
	Prefix string
	// Events: the events of a chat's answer are wanted beside the bytes that
	// pass.
	Events bool
	// Gated: gates judge the answer, and note at the attempt what they find.
	Gated bool
	// Note is why the gateway itself asks, the Note of its attempts; "": a client
	// asks. No gate judges answers to the gateway.
	Note string
	// Sent is called when the first byte of a call leaves for the vendor; nil:
	// nobody wants to know. It may be called in any goroutine.
	Sent    func()
	Vectors Vectors
	// Strict: a target that cannot be told everything must not be asked.
	Strict bool
	// Continues is the id of what the request goes on from at the vendor that
	// keeps it, "" for nothing.
	Continues string
	// Pin says who alone may be asked; nil: anybody.
	Pin *Pin
	// User is the end user that the client's body named, where a guard has made
	// another body of it; "": ask the body. No vendor is told of it. See EndUser.
	User   string
	Caller Caller
	// Context is what the client says for the choice of a model.
	Context Context
	// Credential is the client's own for a vendor.
	Credential Credential
	Header     http.Header // client headers that may travel; no credentials
	Body       Body
	Trail      *Trail
	// Deadline bounds the whole request; zero for the configured bounds only.
	Deadline time.Time
}

// EndUser is the end user that the client's body named, "" if none.
func (r *Request) EndUser() string {
	if r.User != "" {
		return r.User
	}
	return r.Body.User()
}

// WithModel returns a copy that asks for model.
func (r *Request) WithModel(model string) *Request {
	c := *r
	c.Model = model
	return &c
}

// InputTokens is a rough estimate of the prompt: four bytes a token.
func (r *Request) InputTokens() int64 {
	if r.Body == nil {
		return 0
	}
	return int64(len(r.Body.Bytes())+3) / 4
}

// Response is an answer that has begun. Nothing was sent to the client yet.
type Response struct {
	Status int
	Header http.Header // vendor headers that may travel
	Proto  Proto
	Model  string // model (the operator's name) that answers
	Target string
	// Credential is the id of the credential that was asked with.
	Credential string
	Strategy   string
	// FallbackFrom is the model that was tried first, "" if it answered.
	FallbackFrom string
	// Degraded is the level of the model's degradation that answers, from 1; 0:
	// none.
	Degraded int
	// Flags are what gates found wrong with the answer that is delivered all
	// the same.
	Flags Flags
	// Cost of all attempts, known for unary answers only.
	Cost Money
	// Lossy names the client's fields that the target could not be told, and
	// what of its answer the client cannot be told; nil: nothing is lost. It
	// may grow while the answer comes.
	Lossy func() []string
	// VendorID is the vendor's own request id, "" if it sent none.
	VendorID string
	// Quota is what the vendor told of its limits, nil for nothing.
	Quota *Quota
	// Local: the gateway answers by itself, of which the vendor knows nothing.
	Local bool
	// Fixed: its bytes pass, and nobody but their vendor could go on with them.
	Fixed bool
	// Send is the way back of a session; nil for all else. It may be called
	// while Next is, by one goroutine at a time. A nil frame ends the session
	// in order: Next returns io.EOF then.
	Send func(ctx context.Context, frame []byte, binary bool) error
	Stream
}

// Stream is an answer in pieces; a unary answer is a stream of one. It is
// not safe for concurrent use, except that Close may be called at any time.
type Stream interface {
	// Next returns the next piece, or io.EOF after the last. An error other
	// than io.EOF means that the answer is not whole.
	Next() (Chunk, error)
	// Close ends the answer and cancels what is under way. It may be called
	// more than once, not while Next runs: another goroutine ends an answer
	// by its context.
	Close() error
}

// Level tells how much of an answer a chunk brings.
type Level uint8

// The levels.
const (
	LevelNone    Level = iota // comments only
	LevelData                 // roles, metadata
	LevelContent              // something a user would see
)

// Chunk is what one read from the vendor brought.
type Chunk struct {
	// Raw is what the vendor sent, for clients that speak its protocol; valid
	// until the next Next or Close. It is what they get, where there are Events
	// beside it.
	Raw []byte
	// Events say the same in no vendor's words, where the client speaks
	// another protocol than the vendor.
	Events []Event
	Binary bool // of a session: Raw is no text
	// Embed and Rerank are the whole of such answers, in no vendor's words.
	Embed  *EmbedReply
	Rerank *RerankReply
	Level  Level
	Usage  *Usage // the vendor's count so far, nil where this chunk has none
	// Resumed: from here on another target goes on with the answer.
	Resumed bool
}

// Plan is a decision told without being carried out.
type Plan struct {
	Model      string      `json:"model"`
	Strategy   string      `json:"strategy"`
	Candidates []Candidate `json:"candidates"` // in the order they would be tried
	Excluded   []Candidate `json:"excluded"`   // with the reason
	Expected   Money       `json:"expected_nano_usd"`
	Worst      Money       `json:"worst_nano_usd"` // if every attempt were billed in full
	// Decision is how the model was chosen; nil: nobody chose.
	Decision *Decision `json:"decision,omitempty"`
	// Accept are the gates that answers must pass to be delivered, in their order.
	Accept []string `json:"accept,omitempty"`
	// Degrade is what follows when nobody of them can answer, in this order.
	Degrade []Degrade `json:"degrade,omitempty"`
	// Risk is the class of the request, Guards what its guards say: those that
	// would have to ask somebody, that it is unknown. Blocked is what the client
	// would be told instead of an answer.
	Risk    string    `json:"risk,omitempty"`
	Guards  []Verdict `json:"guards,omitempty"`
	Blocked string    `json:"blocked,omitempty"`
}

// Degrade is one level of a Plan's degradation; one of its fields is set.
type Degrade struct {
	Model     string `json:"model,omitempty"`      // this one is asked instead
	MaxTokens int    `json:"max_tokens,omitempty"` // the same are asked for a shorter answer
	Answer    string `json:"answer,omitempty"`     // this is the answer
}

// Candidate is one target of a Plan.
type Candidate struct {
	Model    string  `json:"model"`
	Target   string  `json:"target"`
	Fallback bool    `json:"fallback,omitempty"`
	Weight   float64 `json:"weight"`
	Priority int     `json:"priority"`
	Region   string  `json:"region,omitempty"`
	State    string  `json:"state"`
	Reason   string  `json:"reason,omitempty"` // why it was left out, or comes late
	// LatencyMS is the expected time to the first token.
	LatencyMS float64 `json:"latency_ms"`
	Expected  Money   `json:"expected_nano_usd"`
	Worst     Money   `json:"worst_nano_usd"`
	// Capabilities of the model, as configured.
	Capabilities map[string]float64 `json:"capabilities,omitempty"`
}
