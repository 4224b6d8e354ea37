package responses

import (
	"errors"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/openai"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// errorOf is what a vendor reported inside an answer that was none by its
// status: v is the error object, or its message alone.
func errorOf(v []byte) *llm.Error {
	msg, _ := scan.String(v)
	kind := llm.KindUpstream
	if len(v) > 0 && v[0] == '{' {
		msg, _ = scan.String(scan.Get(v, "message"))
		kind = kindOf(v)
	}
	cause := errors.New("error inside an answer: " + clip(msg))
	e := &llm.Error{Kind: kind, Err: cause}
	switch kind {
	case llm.KindCaller, llm.KindContextLength:
		e.Status, e.Message = 400, or(msg, "the vendor refused the request")
		e.Param, _ = scan.String(scan.Get(v, "param"))
	case llm.KindCredential, llm.KindCredit:
		e.Message = "the vendor refused the gateway's credential"
	case llm.KindRateLimited:
		e.Message = "the vendor's rate limit is reached; try again later"
	default:
		e.Message = "the vendor reported an error"
	}
	return e
}

// kindOf reads an error object by OpenAI's codes; a numeric code is an HTTP
// status (OpenRouter).
func kindOf(v []byte) llm.Kind {
	code := scan.Get(v, "code")
	n, _ := scan.Int(code)
	name, _ := scan.String(code)
	typ, _ := scan.String(scan.Get(v, "type"))
	switch {
	case n == 401 || n == 403 || name == "invalid_api_key" || typ == "authentication_error":
		return llm.KindCredential
	case n == 402 || name == "insufficient_quota" || typ == "insufficient_quota":
		return llm.KindCredit
	case n == 429 || n == 529 || name == "rate_limit_exceeded" || name == "slow_down" || typ == "rate_limit_error" || typ == "overloaded_error":
		return llm.KindRateLimited
	case name == "context_length_exceeded":
		return llm.KindContextLength
	case n == 400 || n == 413 || n == 422 || callers[name] || typ == "invalid_request_error":
		return llm.KindCaller
	}
	return llm.KindUpstream
}

// callers are the codes of failed responses that are the caller's doing
// (OpenAI's document, ResponseErrorCode, 2026-11).
var callers = map[string]bool{
	"invalid_prompt": true, "bio_policy": true, "cyber_policy": true, "content_filter": true, "invalid_image": true, "invalid_image_format": true,
	"invalid_base64_image": true, "invalid_image_url": true, "image_too_large": true, "image_too_small": true,
	"image_parse_error": true, "image_content_policy_violation": true, "invalid_image_mode": true, "image_file_too_large": true,
	"unsupported_image_media_type": true, "empty_image_file": true, "failed_to_download_image": true, "image_file_not_found": true,
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// failedCode is the code of a failed response: one of the protocol's own list,
// and the two beside it that Codex looks for.
func failedCode(e *llm.Error) string {
	switch e.Kind {
	case llm.KindContextLength:
		return "context_length_exceeded"
	case llm.KindQuota:
		return "insufficient_quota"
	case llm.KindRateLimited:
		return "rate_limit_exceeded"
	case llm.KindCaller, llm.KindInvalidJSON, llm.KindInvalidRequest, llm.KindUnsupported, llm.KindTooLarge:
		return "invalid_prompt"
	}
	return "server_error"
}

// appendErrorEvent appends the data of an error event without its number:
// message, code and parameter as in the envelope, and the envelope's object.
func appendErrorEvent(dst []byte, e *llm.Error) []byte {
	env := scan.Get(openai.AppendError(nil, e), "error")
	for _, name := range [...]string{"code", "message", "param"} {
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = append(dst, scan.Get(env, name)...)
	}
	return appendThrown(dst, e)
}

// appendThrown appends the member by which OpenAI's SDKs tell that an event of
// any type is an error, and raise it: without it an application that does not
// look for response.failed takes the answer for whole.
func appendThrown(dst []byte, e *llm.Error) []byte {
	env := scan.Get(openai.AppendError(nil, e), "error")
	return append(append(dst, `,"error":`...), env...)
}
