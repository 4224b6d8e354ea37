package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicegate/sluice/internal/llm"
)

// Bounds on what is kept of a vendor's error.
const (
	maxRaw     = 64 << 10 // body that is passed on
	maxMessage = 2 << 10  // text for client or log
	maxCode    = 128
)

// Classify turns an answer other than 2xx of a vendor that speaks proto into an
// *llm.Error: Kind by status and body, message, RetryAfter. The caller's own
// errors carry the vendor's status and, in Raw, its body in the envelope of its
// protocol; all others tell the client nothing of what the vendor said. body is
// not kept.
func Classify(proto llm.Proto, status int, h http.Header, body []byte, now time.Time) *llm.Error {
	d := readDetail(body)
	if d.code == "" { // Bedrock
		name, _, _ := strings.Cut(h.Get("X-Amzn-Errortype"), ":")
		d.code = lower(name)
	}
	wait, known := stated(h, now)
	e := &llm.Error{Kind: kindOf(status, d, known), Err: d.cause(status)}
	switch e.Kind {
	case llm.KindCaller, llm.KindContextLength:
		refuse(e, proto, status, d, body)
	case llm.KindCredential:
		e.Message = "the vendor refused the gateway's credential; tell the operator"
	case llm.KindCredit:
		e.Message = "the gateway's account at the vendor is out of credit; tell the operator"
	case llm.KindRateLimited:
		e.Message = "the vendor's rate limit is reached; try again later"
		e.RetryAfter = wait
		if !known {
			e.RetryAfter = d.waitOr(h, now)
		}
	default:
		e.Message = fmt.Sprintf("the vendor failed with status %d", status)
		e.RetryAfter = wait
	}
	return e
}

// refuse fills in what the caller is told of its own error.
func refuse(e *llm.Error, proto llm.Proto, status int, d detail, body []byte) {
	e.Status = status
	switch {
	case status == http.StatusForbidden: // the text names the operator's team and key (xAI)
		e.Status = http.StatusBadRequest
		d = detail{message: "the vendor refused the content of the request by its policy; change it", code: "content_filter"}
	case d.tooLarge(status): // the text names the operator's organization
		e.Status = http.StatusRequestEntityTooLarge
		d = detail{message: "the request is larger than the tokens a minute of the gateway's account at the vendor; shorten it", code: "request_too_large"}
	case status < 400 || status > 499 || status == http.StatusUnauthorized || status == http.StatusTooManyRequests:
		e.Status = http.StatusBadRequest
	}
	e.Message, e.Param = d.message, d.param
	if e.Message == "" {
		e.Message = fmt.Sprintf("the vendor refused the request with status %d", status)
	}
	switch {
	case proto == llm.ProtoOpenAI || proto == llm.ProtoResponses:
		if e.Kind == llm.KindContextLength && d.code != contextCodes[0] && d.code != "request_too_large" {
			d.kind, d.code, d.wrapped = "invalid_request_error", contextCodes[0], false // what clients act upon
		}
		e.Raw, proto = d.envelope(unlisted(body)), llm.ProtoOpenAI
	case d.wrapped:
		e.Raw = bytes.Clone(unlisted(body))
	}
	if e.Raw != nil {
		e.Proto = proto
	}
}

// kindOf decides. stated: the vendor said when to come back.
func kindOf(status int, d detail, stated bool) llm.Kind {
	refusal := status >= 400 && status < 500
	switch {
	case status == http.StatusPaymentRequired, refusal && d.has(creditCodes), (status == 403 || status == 429) && d.says(creditTexts):
		return llm.KindCredit
	case d.has(contextCodes), d.tooLarge(status):
		return llm.KindContextLength
	case (status == 400 || status == 413 || status == 422) && d.says(contextTexts):
		return llm.KindContextLength
	case (status == 400 || status == 403 || status == 422) && (d.flagged || d.has(filterCodes)), status == 403 && d.says(filterTexts):
		return llm.KindCaller
	case status == 401, status == 403, status == 400 && (d.has(keyCodes) || d.says(keyTexts)):
		return llm.KindCredential
	case status == 429, status == 529, status == 498, status == 503 && stated: // 498: Groq's flex tier is full
		return llm.KindRateLimited
	case status == 407, status == 408, status == 409, status == 425, status == 499: // proxy, timeout, lock, too early, closed
		return llm.KindUpstream
	case refusal:
		return llm.KindCaller
	}
	return llm.KindUpstream
}

// Codes and types of error bodies, in lower case, by what they mean.
var (
	creditCodes = []string{
		"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance",
		"insufficient_credits", "insufficient_funds", "billing_error", "payment_required",
	}
	contextCodes = []string{
		"context_length_exceeded", // OpenAI, Azure, Groq
		"too_many_prompt_tokens",  // Perplexity
		"exceed_context_size_error", "context_window_exceeded", "model_max_prompt_tokens_exceeded",
	}
	filterCodes = []string{
		"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation",
		"data_inspection_failed", "content_moderation",
	}
	keyCodes = []string{"invalid_api_key", "api_key_invalid", "authentication_error"}
)

// Parts of messages, in lower case, of vendors whose codes do not tell.
var (
	creditTexts = []string{
		"used all available credits", "reached its monthly spending limit", // xAI, 403 and 429
		"insufficient balance", "insufficient credits", "credit balance is too low",
		"key limit exceeded", // OpenRouter, 403: the key's own budget
	}
	contextTexts = []string{
		"maximum context length",                     // OpenAI, OpenRouter, Mistral, DeepSeek
		"maximum prompt length",                      // xAI
		"context window of this model",               // OpenAI
		"max context length",                         // Ollama
		"available context size",                     // llama.cpp
		"prompt is too long",                         // Anthropic through OpenRouter
		"total length of all messages is too long",   // Perplexity
		"exceeds the maximum number of tokens",       // Google through OpenRouter
		"reduce the length of the messages",          // Groq
		"input token count exceeds the maximum",      // Google
		"input tokens exceeds the configured limit",  // OpenAI
		"number of input tokens exceeds the maximum", // Amazon
		"too large for model with",                   // Mistral
		"input is too long",                          // Bedrock
		"exceed context limit",                       // Anthropic
		"too many tokens: total number of tokens",    // Cohere
		"too many tokens: size limit exceeded",       // Cohere
	}
	filterTexts = []string{
		"content management policy", // Azure
		"usage guidelines",          // xAI
		"content policy", "input was flagged", "requires moderation",
	}
	keyTexts = []string{"incorrect api key provided", "api key not valid"} // xAI, 400
)

// detail is what an error body says, in whichever of the shapes.
type detail struct {
	message string
	kind    string // type
	code    string
	inner   string // Azure's innererror.code
	param   string
	nested  string // what OpenRouter's own vendor said
	delay   string // Gemini's RetryInfo
	flagged bool   // OpenRouter's moderation
	wrapped bool   // {"error": {"message": "…"}}
	private bool   // members beside "error" that are the operator's
	object  json.RawMessage
}

// wireError holds every member that some vendor uses. They are raw, so that
// an unexpected type in one does not hide the others.
type wireError struct {
	Error   json.RawMessage `json:"error"`
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
	Type    json.RawMessage `json:"type"`
	Code    json.RawMessage `json:"code"`
	Status  json.RawMessage `json:"status"` // Gemini's name of the status
	Param   json.RawMessage `json:"param"`
	Details []struct {
		Delay string `json:"retryDelay"`
	} `json:"details"`
	UserID json.RawMessage `json:"user_id"` // OpenRouter's account
	Inner  struct {
		Code json.RawMessage `json:"code"`
	} `json:"innererror"`
	Metadata struct {
		Reasons json.RawMessage `json:"reasons"`
		Flagged json.RawMessage `json:"flagged_input"`
		Raw     json.RawMessage `json:"raw"`
	} `json:"metadata"`
}

// readDetail reads {"error": {…}} (OpenAI and most), {"error": "…"} (xAI,
// Ollama), {"message": …, "code": …} (Bedrock, Cohere), {"detail": …}
// (Mistral) and a list of one of them (Gemini's streams). Anything else gives
// the zero detail.
func readDetail(body []byte) detail {
	var top wireError
	if body = unlisted(body); len(body) > maxRaw || !read(body, &top) {
		return detail{}
	}
	var in wireError
	if isObject(top.Error) && read(top.Error, &in) {
		d := in.detail()
		d.object, d.wrapped = top.Error, len(in.Message) > 0 && in.Message[0] == '"'
		d.private = len(top.UserID) > 0
		return d
	}
	d := top.detail()
	if s := text(top.Error); s != "" {
		d.message = s
	}
	return d
}

// unlisted takes a body out of a list of one.
func unlisted(body []byte) []byte {
	if list := bytes.TrimSpace(body); len(list) > 1 && list[0] == '[' && list[len(list)-1] == ']' {
		return bytes.TrimSpace(list[1 : len(list)-1])
	}
	return body
}

// read decodes into w; members of an unexpected type are left out.
func read(b []byte, w *wireError) bool {
	if !isObject(b) {
		return false
	}
	err := json.Unmarshal(b, w)
	var mismatch *json.UnmarshalTypeError
	return err == nil || errors.As(err, &mismatch)
}

func isObject(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

func (w *wireError) detail() detail {
	d := detail{
		message: text(w.Message), kind: lower(text(w.Type)), code: lower(text(w.Code)),
		inner: lower(text(w.Inner.Code)), param: clip(stringOf(w.Param), maxCode),
		nested:  text(w.Metadata.Raw),
		flagged: len(w.Metadata.Reasons) > 0 || len(w.Metadata.Flagged) > 0,
	}
	if d.message == "" {
		d.message = text(w.Detail)
	}
	if d.kind == "" {
		d.kind = lower(stringOf(w.Status))
	}
	for _, x := range w.Details {
		d.delay = cmp.Or(d.delay, x.Delay)
	}
	return d
}

// stringOf returns a JSON string's value, "" for anything else.
func stringOf(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// text returns a string's value, or a number, list or object as it is
// written, bounded; "" for null.
func text(raw json.RawMessage) string {
	if len(raw) > 0 && raw[0] == '"' {
		return clip(stringOf(raw), maxMessage)
	}
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return clip(string(raw), maxMessage)
}

func lower(s string) string { return strings.ToLower(clip(s, maxCode)) }

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "\ufffd")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// has reports whether the body's code or type is one of codes.
func (d detail) has(codes []string) bool {
	return slices.Contains(codes, d.code) || slices.Contains(codes, d.kind) || slices.Contains(codes, d.inner)
}

// says reports whether the message holds one of texts.
func (d detail) says(texts []string) bool {
	low := strings.ToLower(d.message + "\n" + d.nested)
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(low, t) })
}

// tooLarge: the request is larger than the account's tokens a minute, which
// no waiting cures (Groq 413, OpenAI 429). A larger target may take it.
func (d detail) tooLarge(status int) bool {
	return (status == 413 || status == 429) && strings.HasPrefix(strings.ToLower(d.message), "request too large for")
}

// cause is the vendor's own words, for the log.
func (d detail) cause(status int) error {
	code := d.code
	if code == "" {
		code = d.kind
	}
	switch {
	case code == "" && d.message == "":
		return fmt.Errorf("vendor status %d", status)
	case code == "":
		return fmt.Errorf("vendor status %d: %s", status, d.message)
	}
	return fmt.Errorf("vendor status %d, code %s: %s", status, code, d.message)
}

// envelope returns the error in OpenAI's envelope: the body as it is where it
// has that form already. nil if the vendor said nothing readable.
func (d detail) envelope(body []byte) []byte {
	switch {
	case d.wrapped && !d.private:
		return bytes.Clone(body)
	case d.wrapped:
		return slices.Concat([]byte(`{"error":`), d.object, []byte(`}`))
	case d.message == "":
		return nil
	}
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	w := inner{Message: d.message, Type: d.kind}
	if w.Type == "" {
		w.Type = "invalid_request_error"
	}
	if d.param != "" {
		w.Param = &d.param
	}
	if d.code != "" {
		w.Code = &d.code
	}
	b, err := json.Marshal(struct {
		Error inner `json:"error"`
	}{w})
	if err != nil {
		return nil
	}
	return b
}

// waitOr returns the wait that rate limit headers tell, else the one in the
// message, else 0.
func (d detail) waitOr(h http.Header, now time.Time) time.Duration {
	if wait, ok := resets(h, now); ok {
		return wait
	}
	if wait, err := time.ParseDuration(d.delay); err == nil && wait > 0 {
		return min(wait, maxWait)
	}
	return waitIn(d.message)
}
