package bedrock

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// exception is what a stream says of its failure.
type exception struct {
	Message  string `json:"message"`
	Status   int    `json:"originalStatusCode"` // of modelStreamErrorException
	Original string `json:"originalMessage"`
}

// tooLong are the words of Bedrock's models for a prompt above their context.
// The last two are of Claude and Nova as recorded.
var tooLong = []string{"input is too long", "too many input tokens", "maximum context length", "context window", "prompt is too long", "input tokens exceeded"}

// failure is the error that a message of the stream reports: an exception of
// the API's model, or an error code of the event stream's framing.
func failure(name string, data []byte) *llm.Error {
	var x exception
	_ = json.Unmarshal(data, &x, lenient) // without a message the name alone tells
	text := x.Message
	if x.Original != "" {
		text = x.Original
	}
	e := &llm.Error{Kind: llm.KindUpstream, Message: "the vendor reported an error", Err: errors.New(name + ": " + clip(text))}
	switch strings.ToLower(name) {
	case "throttlingexception", "servicequotaexceededexception":
		e.Kind, e.Message = llm.KindRateLimited, "the vendor's rate limit is reached; try again later"
	case "accessdeniedexception", "unrecognizedclientexception", "expiredtokenexception":
		e.Kind, e.Message = llm.KindCredential, "the vendor refused the gateway's credential; tell the operator"
	case "modelstreamerrorexception":
		if x.Status == http.StatusTooManyRequests || x.Status == 529 {
			e.Kind, e.Message = llm.KindRateLimited, "the vendor's rate limit is reached; try again later"
		}
	case "validationexception":
		e.Kind, e.Status, e.Message = llm.KindCaller, http.StatusBadRequest, clip(text)
		low := strings.ToLower(text)
		for _, t := range tooLong {
			if strings.Contains(low, t) {
				e.Kind = llm.KindContextLength
			}
		}
		if e.Message == "" {
			e.Message = "the vendor refused the request"
		}
	}
	return e
}

// clip bounds what is kept of a vendor's words, in bytes.
func clip(s string) string {
	const most = 2 << 10
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// message is a text as the payload of an exception has it.
func message(text []byte) []byte {
	b := append(make([]byte, 0, len(text)+16), `{"message":`...)
	b, _ = jsontext.AppendQuote(b, text) // the error tells of invalid UTF-8, which is replaced
	return append(b, '}')
}
