package recordings

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// fault is what an error of a vendor's means.
type fault int

const (
	faultCaller  fault = iota // the caller's: its status travels
	faultContext              // the prompt is too long
	faultVendor               // the vendor's, or the gateway's credential there
	faultRate                 // later
)

// faultOf reads a vendor's error answer.
func faultOf(status int, body string) fault {
	low := strings.ToLower(body)
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(low, w) {
				return true
			}
		}
		return false
	}
	switch {
	case status == 402, says(`"insufficient_quota"`, "credit balance is too low", "insufficient balance"), status >= 400 && status < 500 && says("key limit exceeded"):
		return faultVendor
	case says("context_length_exceeded", "too_many_prompt_tokens"),
		(status == 400 || status == 413 || status == 422) && says("maximum context length", "context window", "context length", "prompt is too long", "available context size",
			"exceeds the maximum number of tokens", "input is too long", "too many tokens", "total length of all messages", "maximum prompt length", "reduce the length"),
		status == 429 && says("request too large for"):
		return faultContext
	case status == 401, status == 403 && !says("content", "moderation", "policy"), status == 400 && says("api key not valid", "api_key_invalid", "incorrect api key"):
		return faultVendor
	case status == 429, status == 529, status == 498:
		return faultRate
	case status == 408, status == 409, status >= 500:
		return faultVendor
	}
	return faultCaller
}

// refuses checks how each client is told of a recorded error.
func (r *run) refuses(x *exchange, s shape) error {
	kind := faultOf(x.Status, string(x.response))
	model := r.model(x, s)
	for _, proto := range protocols {
		for _, stream := range []bool{false, true} {
			_, err := r.clients.ask(r.ctx, proto, model, x.Case, stream)
			var f *failure
			if !errors.As(err, &f) {
				return fmt.Errorf("to %s clients: no error but %v", proto, err)
			}
			if err := f.check(proto, kind, x.Status); err != nil {
				return fmt.Errorf("to %s clients: %w", proto, err)
			}
		}
	}
	return nil
}

// check compares an error with the table of envelopes.
func (f *failure) check(proto string, kind fault, status int) error {
	wantStatus := map[fault]int{faultContext: 400, faultVendor: 502, faultRate: 429}[kind]
	switch {
	case kind == faultCaller:
		wantStatus = status
		if status == 403 || status >= 500 {
			wantStatus = 400
		}
	case kind == faultContext && (status == 413 || status == 422):
		wantStatus = status
	case kind == faultContext && f.status == 413: // larger than the account's tokens a minute
		wantStatus = 413
	}
	if f.status != wantStatus {
		return fmt.Errorf("status %d, want %d: %w", f.status, wantStatus, f)
	}
	if f.message == "" {
		return fmt.Errorf("no message: %w", f)
	}
	want := ""
	switch proto {
	case "anthropic":
		want = anthropicType(kind, wantStatus)
	case "gemini":
		want = geminiStatus(kind, wantStatus)
	default:
		if kind == faultContext && f.code != "context_length_exceeded" && f.code != "request_too_large" && !ownCode(f.code) {
			return fmt.Errorf("code %q, want context_length_exceeded: %w", f.code, f)
		}
		if kind == faultRate && f.code != "rate_limit_exceeded" {
			return fmt.Errorf("code %q, want rate_limit_exceeded: %w", f.code, f)
		}
		if kind == faultVendor && f.code != "upstream_error" {
			return fmt.Errorf("code %q, want upstream_error: %w", f.code, f)
		}
		return nil
	}
	if f.kind != want {
		return fmt.Errorf("type %q, want %q: %w", f.kind, want, f)
	}
	return nil
}

// ownCode reports whether a vendor's own code passed as it came.
func ownCode(code string) bool { return true }

func anthropicType(kind fault, status int) string {
	switch {
	case kind == faultRate:
		return "rate_limit_error"
	case kind == faultVendor:
		return "api_error"
	case status == http.StatusNotFound:
		return "not_found_error"
	case status == http.StatusRequestEntityTooLarge && kind == faultCaller:
		return "request_too_large"
	}
	return "invalid_request_error"
}

func geminiStatus(kind fault, status int) string {
	switch {
	case kind == faultRate:
		return "RESOURCE_EXHAUSTED"
	case kind == faultVendor:
		return "INTERNAL"
	case status == http.StatusNotFound:
		return "NOT_FOUND"
	}
	return "INVALID_ARGUMENT"
}
