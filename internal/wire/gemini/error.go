package gemini

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Status is the HTTP status of an answer that is e. See wire.Client.
func (Codec) Status(e *llm.Error) int { return e.HTTPStatus() }

// status returns the canonical name of google.rpc.Code for e.
func status(e *llm.Error) string {
	switch e.Kind {
	case llm.KindInvalidKey:
		return "UNAUTHENTICATED"
	case llm.KindModelNotAllowed:
		return "PERMISSION_DENIED"
	case llm.KindModelNotFound, llm.KindPathNotFound, llm.KindNotFound:
		return "NOT_FOUND"
	case llm.KindMethodNotAllowed:
		return "UNIMPLEMENTED"
	case llm.KindRateLimited, llm.KindQuota:
		return "RESOURCE_EXHAUSTED"
	case llm.KindOverloaded:
		return "UNAVAILABLE"
	case llm.KindTimeout:
		return "DEADLINE_EXCEEDED"
	case llm.KindCanceled:
		return "CANCELLED"
	}
	switch code := e.HTTPStatus(); {
	case code == 401:
		return "UNAUTHENTICATED"
	case code == 403:
		return "PERMISSION_DENIED"
	case code == 404:
		return "NOT_FOUND"
	case code == 409:
		return "ABORTED"
	case code == 402, code == 429:
		return "RESOURCE_EXHAUSTED"
	case code < 500:
		return "INVALID_ARGUMENT"
	}
	return "INTERNAL"
}

// AppendError appends e in Google's envelope. See wire.Client.
func (Codec) AppendError(b []byte, _ string, e *llm.Error) []byte {
	b = append(b, `{"error":{"code":`...)
	b = strconv.AppendInt(b, int64(e.HTTPStatus()), 10)
	b = quote(append(b, `,"message":`...), e.Message)
	b = append(append(append(b, `,"status":"`...), status(e)...), '"')
	sep := `,"details":[`
	if e.Param != "" {
		b = append(append(b, sep...), `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":`...)
		b = quote(b, e.Param)
		b = append(quote(append(b, `,"description":`...), e.Message), `}]}`...)
		sep = ","
	}
	if e.RetryAfter > 0 {
		b = append(append(b, sep...), `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...)
		b = strconv.AppendFloat(b, e.RetryAfter.Seconds(), 'f', -1, 64)
		b = append(b, `s"}`...)
		sep = ","
	}
	if sep == "," {
		b = append(b, ']')
	}
	return append(b, `}}`...)
}

// Ping is nil: Google's clients fail on everything but data. See wire.Client.
func (Codec) Ping() []byte { return nil }

// maxCause bounds what is kept of a vendor's message for the log, in bytes.
const maxCause = 512

// fault reads an error object that came inside a 200: in a body, an event or
// an element of an array. v is the value of "error".
func fault(v []byte) *llm.Error {
	code, _ := scan.Int(scan.Get(v, "code"))
	status, _ := scan.String(scan.Get(v, "status"))
	msg, _ := scan.String(scan.Get(v, "message"))
	if m, ok := scan.String(v); ok {
		msg = m
	}
	e := &llm.Error{Kind: faultKind(code, status, msg, v), Err: errors.New("error in a 200 answer: " + status + ": " + msg[:min(len(msg), maxCause)])}
	switch e.Kind {
	case llm.KindCaller, llm.KindContextLength:
		e.Message, e.Status = msg, int(code)
	case llm.KindCredential:
		e.Message = "the vendor refused the gateway's credential"
	case llm.KindRateLimited:
		e.Message, e.RetryAfter = "the vendor limits requests; try again later", retryDelay(v)
	default:
		e.Message = "the vendor reported an error"
	}
	return e
}

func faultKind(code int64, status, msg string, v []byte) llm.Kind {
	switch {
	case code == 401 || code == 403 || status == "UNAUTHENTICATED" || status == "PERMISSION_DENIED",
		bytes.Contains(v, []byte("API_KEY_INVALID")), status == "FAILED_PRECONDITION":
		return llm.KindCredential
	case code == 429 || status == "RESOURCE_EXHAUSTED":
		return llm.KindRateLimited
	case code == 400 && (strings.Contains(msg, "token count") && strings.Contains(msg, "exceed")):
		return llm.KindContextLength
	case code == 400 || code == 413 || status == "INVALID_ARGUMENT" || status == "OUT_OF_RANGE":
		return llm.KindCaller
	}
	return llm.KindUpstream
}

// maxDelay bounds the wait that a vendor may ask for.
const maxDelay = 24 * time.Hour

// retryDelay returns the delay of a RetryInfo, 0 if there is none.
func retryDelay(v []byte) (d time.Duration) {
	_ = scan.Elements(scan.Get(v, "details"), func(e []byte) bool {
		s, ok := scan.String(scan.Get(e, "retryDelay"))
		if n, err := time.ParseDuration(s); ok && err == nil && n > 0 && n <= maxDelay {
			d = n
		}
		return d == 0
	})
	return d
}

func misread(err error) *llm.Error {
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer could not be understood", Err: err}
}
