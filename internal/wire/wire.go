// Package wire is what the protocols have in common: each is learned once, as
// a codec between its own words and the neutral form (llm.Chat, llm.Event,
// llm.Reply), and any client is served by any vendor through it.
package wire

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// Target is what a codec must know of the model it writes a request for.
type Target struct {
	Model     string // the vendor's name
	MaxOutput int64  // the most output tokens the model gives, 0 if unknown
	Stream    bool
	// Dialect is the vendor's row, for vendors whose words differ; "" for the
	// protocol's owner.
	Dialect string
}

// Call is a request in a vendor's words.
type Call struct {
	Body []byte
	// Header is what the vendor is told beside the body; nil for nothing.
	Header http.Header
	// N is how many answers were asked for; 0 is one.
	N int
	// Lossy names the neutral fields that the vendor cannot be told, in
	// OpenAI's spelling: "seed", "top_k".
	Lossy []string
	// Names are tool names that the vendor would refuse and what was sent
	// instead: sent → the client's.
	Names map[string]string
	// Custom are the functions, by the name sent, that stand for custom tools:
	// their arguments are {"input": …}.
	Custom map[string]bool
	// FormatTool is the tool that stands for the format of the answer: its
	// arguments are the text. "" for none.
	FormatTool string
}

// Lose notes a field that the vendor cannot be told, once.
func (c *Call) Lose(field string) {
	for _, f := range c.Lossy {
		if f == field {
			return
		}
	}
	c.Lossy = append(c.Lossy, field)
}

// Leave deals with what only the client's protocol has: hints are noted as
// lost, what would change the answer is an error.
func (c *Call) Leave(left []llm.Left) *llm.Error {
	for _, l := range left {
		if l.Must {
			return Unsupported(l.Name, "the model's vendor cannot be told this; leave it out or ask another model")
		}
		c.Lose(l.Name)
	}
	return nil
}

// Client is a protocol as clients speak it. Implementations have no state and
// are safe for concurrent use.
type Client interface {
	// Chat reads the body of a chat request. Fields that have no neutral form
	// are in Chat.Left; a field that is not understood at all is left there
	// too, as a hint. The error is the caller's.
	Chat(body []byte) (*llm.Chat, *llm.Error)
	// AppendReply appends a whole answer to req.
	AppendReply(dst []byte, req *llm.Request, r *llm.Reply) []byte
	// Encoder begins a streamed answer to req.
	Encoder(req *llm.Request) Encoder
	// AppendError appends e in the protocol's envelope, never the vendor's
	// own body. id is the request's, which some envelopes repeat; "" if it has
	// none.
	AppendError(dst []byte, id string, e *llm.Error) []byte
	// Status is the HTTP status of an answer that is e.
	Status(e *llm.Error) int
	// Ping is what keeps a silent stream alive; nil where the protocol's
	// clients take nothing of the kind.
	Ping() []byte
}

// Vendor is a protocol as vendors speak it. Implementations have no state and
// are safe for concurrent use.
type Vendor interface {
	// Encode writes a chat for a target. What the vendor cannot be told is in
	// Call.Lossy, or an error of KindUnsupported where leaving it out would
	// change the answer. Chat.N is not its business where the protocol has no
	// such field: the caller asks as often as needed.
	Encode(c *llm.Chat, t Target) (*Call, *llm.Error)
	// Reply reads a whole answer to call, which was no error by its status.
	Reply(call *Call, body []byte) (*llm.Reply, *llm.Error)
	// Source cuts a streamed answer into its events.
	Source(body io.Reader) Source
	// Decoder begins to read a streamed answer to call.
	Decoder(call *Call) Decoder
}

// Encoder writes one streamed answer in a client's protocol. It holds the
// answer's ids, indices and what the protocol wants repeated; it is not safe
// for concurrent use.
type Encoder interface {
	// Events appends what the events are in the client's stream, framing
	// included.
	Events(dst []byte, events []llm.Event) []byte
	// End appends what follows the last event of a whole answer.
	End(dst []byte) []byte
	// Fail appends the event that ends an answer which cannot be whole. No
	// End follows it.
	Fail(dst []byte, e *llm.Error) []byte
}

// Source reads the events of a streamed answer. It is not safe for concurrent
// use.
type Source interface {
	// Next returns the events that one read brought, valid until the next
	// call; none where it brought a comment or a part of an event, a sign of
	// life. io.EOF after a clean end, io.ErrUnexpectedEOF if the source ended
	// inside an event. Events above 8 MiB are an error.
	Next() ([]Frame, error)
	// Close gives buffers back. It does not close the body.
	Close()
}

// Frame is one event as its framing tells it: its name ("" where the framing
// has none) and its data.
type Frame struct {
	Name string
	Data []byte
}

// Decoder reads one streamed answer of a vendor. It is not safe for
// concurrent use.
type Decoder interface {
	// Event appends what one event says; its data is not kept. An error ends
	// the answer: it is what the vendor reported, or says that the event
	// cannot be understood.
	Event(dst []llm.Event, f Frame) ([]llm.Event, *llm.Error)
	// End is called when the vendor's bytes have ended cleanly. It appends
	// what was held back. whole is false if the answer is not.
	End(dst []llm.Event) (events []llm.Event, whole bool)
}

// Look is what a Watcher saw in one event.
type Look struct {
	Data    bool // more than a comment
	Content bool // something a user would see, or the answer's end
	Hidden  bool // not for the client
	Done    bool // the answer is whole, nothing follows
}

// Watcher looks at the events of an answer that goes to a client of the same
// protocol as it came. It is not safe for concurrent use.
type Watcher interface {
	// Event looks at one event of the stream with its framing, which may not
	// be changed. The error is what the vendor reports in it.
	Event(ev []byte) (Look, *llm.Error)
	// Usage is the count so far, Estimated where the vendor has not counted.
	Usage() llm.Usage
	// End is called when the stream has ended cleanly without a Done. tail is
	// what the client still misses; whole is false if the answer is not.
	End() (tail []byte, whole bool)
}

// Unsupported is the error for a field that cannot be told to the vendor and
// must not be dropped.
func Unsupported(field, why string) *llm.Error {
	return &llm.Error{Kind: llm.KindUnsupported, Param: field, Message: "\"" + field + "\": " + why}
}

// sealPrefix begins a seal that travels in another protocol's field: the
// prefix, the maker, the maker's id and the data, the last two in base64.
const sealPrefix = "sl1."

// WrapSeal returns what stands for a block's seal in a protocol other than
// its maker's.
func WrapSeal(b *llm.Block) string {
	kind := "s"
	if b.Seal.Redacted {
		kind = "r"
	}
	enc := base64.RawURLEncoding
	return sealPrefix + b.Seal.Maker.String() + "." + kind + "." + enc.EncodeToString([]byte(b.ID)) + "." + enc.EncodeToString([]byte(b.Seal.Data))
}

// UnwrapSeal reads what a client of the protocol own sent back: a wrapped
// seal, or one that own's vendor made. id is "" where the seal has none.
func UnwrapSeal(s string, own llm.Proto) (seal llm.Seal, id string) {
	if s == "" {
		return llm.Seal{}, ""
	}
	rest, ok := strings.CutPrefix(s, sealPrefix)
	if !ok {
		return llm.Seal{Maker: own, Data: s}, ""
	}
	part := strings.Split(rest, ".")
	if len(part) != 4 {
		return llm.Seal{Maker: own, Data: s}, ""
	}
	maker, known := llm.ProtoByName(part[0])
	enc := base64.RawURLEncoding
	name, err1 := enc.DecodeString(part[2])
	data, err2 := enc.DecodeString(part[3])
	if !known || err1 != nil || err2 != nil {
		return llm.Seal{Maker: own, Data: s}, ""
	}
	return llm.Seal{Maker: maker, Data: string(data), Redacted: part[1] == "r"}, string(name)
}

// Budget is how many tokens of thinking an effort stands for where a vendor
// wants a number; 0 for none.
func Budget(effort string) int64 {
	switch effort {
	case "minimal":
		return 1024
	case "low":
		return 2048
	case "medium":
		return 8192
	case "high":
		return 16384
	case "xhigh":
		return 24576
	case "max":
		return 32768
	}
	return 0
}

// Effort is the effort that a budget in tokens stands for where a vendor
// wants a word. The least budget is low: minimal may be no thinking at all.
func Effort(budget int64) string {
	switch {
	case budget == 0:
		return ""
	case budget < 0:
		return "medium"
	case budget <= 2048:
		return "low"
	case budget <= 8192:
		return "medium"
	case budget <= 16384:
		return "high"
	}
	return "xhigh"
}
