package recordings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
		(status == 413 || status == 429) && says("request too large for"):
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
	model := r.model(x, s)
	for _, proto := range protocols {
		for _, stream := range []bool{false, true} {
			_, err := r.clients.ask(r.ctx, proto, model, x.Case, stream)
			var f *failure
			if !errors.As(err, &f) {
				return fmt.Errorf("to %s clients: no error but %v", proto, err)
			}
			if err := f.check(proto, x); err != nil {
				return fmt.Errorf("to %s clients: %w", proto, err)
			}
		}
	}
	return nil
}

// check compares an error with the table of envelopes.
func (f *failure) check(proto string, x *exchange) error {
	kind := faultOf(x.Status, string(x.response))
	if want := statusOf(kind, x.Status, string(x.response)); f.status != want {
		return fmt.Errorf("status %d, want %d: %w", f.status, want, f)
	}
	if f.message == "" {
		return fmt.Errorf("no message: %w", f)
	}
	field, got, want := "type", f.kind, ""
	switch proto {
	case "anthropic":
		want = anthropicType(kind, f.status)
	case "gemini":
		want = geminiStatus(kind, f.status)
	default:
		field, got = "code", f.code
		if want = openaiCode(kind); want == "" || kind == faultContext && got == "request_too_large" { // for the account's minute
			return nil
		}
	}
	if got != want {
		return fmt.Errorf("%s %q, want %q: %w", field, got, want, f)
	}
	return nil
}

// statusOf is the status that clients see. What the gateway's account at the
// vendor caused is no status of theirs.
func statusOf(kind fault, status int, body string) int {
	switch {
	case kind == faultVendor:
		return http.StatusBadGateway
	case kind == faultRate:
		return http.StatusTooManyRequests
	case status == http.StatusTooManyRequests && strings.Contains(strings.ToLower(body), "request too large for"):
		return http.StatusRequestEntityTooLarge
	case status == http.StatusForbidden, status < 400, status == http.StatusUnauthorized, status >= 500:
		return http.StatusBadRequest
	}
	return status
}

// openaiCode is the code in OpenAI's envelope, "" where any is right.
func openaiCode(kind fault) string {
	return map[fault]string{faultContext: "context_length_exceeded", faultVendor: "upstream_error", faultRate: "rate_limit_exceeded"}[kind]
}

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

// TestReportedErrors sends error answers that users have reported through the
// gateway. They were typed from reports, so that their words count, not their
// bytes.
func TestReportedErrors(t *testing.T) {
	data := os.Getenv("SLUICE_DATA")
	if data == "" {
		t.Skip("SLUICE_DATA does not say where the reported errors are")
	}
	b, err := os.ReadFile(filepath.Join(data, "wire", "_reported_errors", "errors.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*exchange
	for line := range bytes.Lines(b) {
		var v struct {
			Provider, Message string
			Status            int
			Headers           map[string]string
			Body              json.RawMessage
		}
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		if v.Status < 400 {
			continue
		}
		x := &exchange{Case: "reported " + strconv.Itoa(len(all)), Provider: v.Provider, API: apiOf(v.Provider), Status: v.Status, Response: "response.json", response: v.Body}
		if v.Message != "" {
			x.response, _ = json.Marshal(map[string]any{"error": map[string]string{"message": v.Message}})
		}
		x.head.Response = v.Headers
		all = append(all, x)
	}
	r := start(t, all)
	for _, x := range all {
		if err := r.refuses(x, x.shape()); err != nil {
			t.Errorf("%s %d %s: %v", x.Provider, x.Status, clip(string(x.response)), err)
		}
	}
}

// apiOf is what most ask of a vendor.
func apiOf(provider string) string {
	switch provider {
	case "anthropic":
		return "messages"
	case "gemini", "vertex":
		return "generateContent"
	case "bedrock":
		return "converse"
	}
	return "chat"
}
