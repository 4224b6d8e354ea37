package openai

import (
	"net/http"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Code returns the type and code of OpenAI's envelope for e.
func code(e *llm.Error) (typ, code string) {
	switch e.Kind {
	case llm.KindInvalidJSON:
		return "invalid_request_error", "invalid_json"
	case llm.KindCaller:
		switch e.Status { // of the caller's own credential at the vendor
		case http.StatusUnauthorized:
			return "invalid_request_error", "invalid_api_key"
		case http.StatusPaymentRequired:
			return "insufficient_quota", "insufficient_quota"
		case http.StatusTooManyRequests:
			return "requests", "rate_limit_exceeded"
		}
		return "invalid_request_error", "invalid_request"
	case llm.KindInvalidRequest, llm.KindPathNotFound, llm.KindMethodNotAllowed:
		return "invalid_request_error", "invalid_request"
	case llm.KindNotFound:
		if e.Param == "previous_response_id" {
			return "invalid_request_error", "previous_response_not_found"
		}
		return "invalid_request_error", "not_found"
	case llm.KindUnsupported:
		return "invalid_request_error", "unsupported_parameter"
	case llm.KindInvalidKey:
		return "invalid_request_error", "invalid_api_key"
	case llm.KindModelNotAllowed:
		return "invalid_request_error", "model_not_allowed"
	case llm.KindModelNotFound:
		return "invalid_request_error", "model_not_found"
	case llm.KindContextLength:
		return "invalid_request_error", "context_length_exceeded"
	case llm.KindTooLarge:
		return "invalid_request_error", "request_too_large"
	case llm.KindKeyInUse, llm.KindKeyReused, llm.KindRequestBlocked, llm.KindBlocked:
		return "invalid_request_error", e.Kind.String()
	case llm.KindRateLimited:
		return "requests", "rate_limit_exceeded"
	case llm.KindQuota:
		return "insufficient_quota", "insufficient_quota"
	case llm.KindOverloaded:
		return "server_error", "overloaded"
	case llm.KindTimeout:
		return "server_error", "timeout"
	case llm.KindCanceled:
		return "server_error", "canceled"
	case llm.KindConnect, llm.KindUpstream, llm.KindSuspected, llm.KindCredential, llm.KindCredit, llm.KindRejected:
		return "server_error", "upstream_error"
	}
	return "server_error", "internal_error"
}

// AppendError appends e in OpenAI's envelope.
func AppendError(b []byte, e *llm.Error) []byte {
	typ, code := code(e)
	b = append(b, `{"error":{"message":`...)
	b = wire.AppendString(b, e.Message)
	b = append(append(append(b, `,"type":"`...), typ...), `","param":`...)
	if e.Param == "" {
		b = append(b, "null"...)
	} else {
		b = wire.AppendString(b, e.Param)
	}
	return append(append(append(b, `,"code":"`...), code...), `"}}`...)
}

// AppendFailure appends the error event that ends a stream which cannot be
// whole. No [DONE] follows it.
func AppendFailure(b []byte, e *llm.Error) []byte {
	b = AppendError(append(b, "data: "...), e)
	return append(b, '\n', '\n')
}

// Ping is the keep-alive of an event stream: a comment, which OpenAI's and
// Anthropic's clients skip.
var Ping = []byte(": keep-alive\n\n")
