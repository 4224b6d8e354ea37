package anthropic

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// tooLong is how Anthropic words a prompt above the model's context; agents
// look for it.
const tooLong = "prompt is too long"

// errorType returns the type of Anthropic's envelope for e.
func errorType(e *llm.Error) string {
	switch e.Kind {
	case llm.KindInvalidJSON, llm.KindInvalidRequest, llm.KindUnsupported, llm.KindMethodNotAllowed, llm.KindContextLength,
		llm.KindKeyInUse, llm.KindKeyReused, llm.KindRequestBlocked, llm.KindBlocked:
		return "invalid_request_error"
	case llm.KindCaller:
		switch e.Status {
		case http.StatusNotFound:
			return "not_found_error"
		case http.StatusRequestEntityTooLarge:
			return "request_too_large"
		case http.StatusUnauthorized: // this and the next: of the caller's own credential at the vendor
			return "authentication_error"
		case http.StatusPaymentRequired:
			return "billing_error"
		case http.StatusForbidden:
			return "permission_error"
		case http.StatusTooManyRequests:
			return "rate_limit_error"
		}
		return "invalid_request_error"
	case llm.KindInvalidKey:
		return "authentication_error"
	case llm.KindModelNotAllowed:
		return "permission_error"
	case llm.KindModelNotFound, llm.KindPathNotFound, llm.KindNotFound:
		return "not_found_error"
	case llm.KindTooLarge:
		return "request_too_large"
	case llm.KindRateLimited:
		return "rate_limit_error"
	case llm.KindQuota:
		return "billing_error"
	case llm.KindOverloaded:
		return "overloaded_error"
	case llm.KindTimeout:
		return "timeout_error"
	}
	return "api_error"
}

// Status is the HTTP status of an answer that is e: Anthropic's own for a
// spent budget and for overload.
func (Codec) Status(e *llm.Error) int {
	switch e.Kind {
	case llm.KindQuota:
		return http.StatusPaymentRequired
	case llm.KindOverloaded:
		return 529
	}
	return e.HTTPStatus()
}

// AppendError appends e in Anthropic's envelope.
func (Codec) AppendError(b []byte, id string, e *llm.Error) []byte {
	b = append(append(b, `{"type":"error","error":{"type":"`...), errorType(e)...)
	b = append(b, `","message":`...)
	b = wire.AppendString(b, message(e))
	if code := errorCode(e.Kind); code != "" {
		b = append(append(append(b, `,"details":{"error_code":"`...), code...), `"}`...)
	}
	b = append(b, `},"request_id":`...)
	if id == "" {
		return append(b, `null}`...)
	}
	return append(wire.AppendString(b, id), '}')
}

// errorCode tells apart what Anthropic's types do not, in the words that
// clients of the other protocols get; "" where the type says it all.
func errorCode(k llm.Kind) string {
	switch k {
	case llm.KindInvalidJSON, llm.KindUnsupported, llm.KindContextLength, llm.KindModelNotFound, llm.KindQuota, llm.KindKeyInUse, llm.KindKeyReused, llm.KindRequestBlocked, llm.KindBlocked:
		return k.String()
	case llm.KindConnect, llm.KindUpstream, llm.KindSuspected, llm.KindCredential, llm.KindCredit, llm.KindRejected:
		return llm.KindUpstream.String()
	}
	return ""
}

// message words e as Anthropic's clients expect it.
func message(e *llm.Error) string {
	if e.Kind != llm.KindContextLength || strings.Contains(e.Message, tooLong) {
		return e.Message
	}
	if have, most, ok := sizes(e.Message); ok {
		return tooLong + ": " + strconv.FormatInt(have, 10) + " tokens > " + strconv.FormatInt(most, 10) + " maximum"
	}
	return tooLong + ": " + e.Message
}

// sizes finds the two token counts in another vendor's words for a prompt
// that is too long: the larger is what was sent. ok is false where there are
// not two that can be meant.
func sizes(s string) (have, most int64, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		var n int64
		for ; i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == ',') && n < llm.MaxTokens; i++ {
			if s[i] != ',' {
				n = n*10 + int64(s[i]-'0')
			}
		}
		if n < 256 { // no context is that small; a number of something else
			continue
		}
		if n > have {
			have, most = n, max(most, have)
		} else if n < have {
			most = max(most, n)
		}
	}
	return have, most, most > 0
}

// Ping keeps a silent stream alive.
func (Codec) Ping() []byte { return []byte("event: ping\ndata: {\"type\": \"ping\"}\n\n") }

// errorIn returns the error that a vendor put into a 200 or a stream: an
// object whose member "error" is not null. nil if b has none.
func errorIn(b []byte) *llm.Error {
	v := scan.Get(b, "error")
	if scan.Null(v) {
		return nil
	}
	msg, _ := scan.String(v)
	typ := ""
	if v[0] == '{' {
		msg, _ = scan.String(scan.Get(v, "message"))
		typ, _ = scan.String(scan.Get(v, "type"))
	}
	return vendorError(typ, msg)
}

// vendorError is the error that a vendor reported inside an answer.
func vendorError(typ, msg string) *llm.Error {
	cause := errors.New("error in a 200 answer: " + clip(typ) + ": " + clip(msg))
	switch typ {
	case "authentication_error", "permission_error":
		return &llm.Error{Kind: llm.KindCredential, Message: "the vendor refused the gateway's credential", Err: cause}
	case "billing_error":
		return &llm.Error{Kind: llm.KindCredit, Message: "the vendor refused the gateway's credential", Err: cause}
	case "rate_limit_error", "overloaded_error":
		return &llm.Error{Kind: llm.KindRateLimited, Message: "the vendor is overloaded; try again later", Err: cause}
	case "invalid_request_error", "request_too_large", "not_found_error":
		e := &llm.Error{Kind: llm.KindCaller, Message: msg, Err: cause}
		switch {
		case strings.Contains(msg, tooLong):
			e.Kind = llm.KindContextLength
		case typ == "request_too_large":
			e.Status = http.StatusRequestEntityTooLarge
		case typ == "not_found_error":
			e.Status = http.StatusNotFound
		}
		if msg == "" {
			e.Message = "the vendor refused the request"
		}
		return e
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor reported an error", Err: cause}
}

// clip bounds what of a vendor's words goes into the log.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
