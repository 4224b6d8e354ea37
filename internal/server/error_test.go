package server

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

type envelope struct {
	Error struct {
		Message, Type, Code string
		Param               *string
	}
}

// The statuses and codes that clients may rely on.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		kind      llm.Kind
		status    int
		typ, code string
	}{
		{llm.KindInvalidJSON, 400, "invalid_request_error", "invalid_json"},
		{llm.KindInvalidRequest, 400, "invalid_request_error", "invalid_request"},
		{llm.KindUnsupported, 400, "invalid_request_error", "unsupported_parameter"},
		{llm.KindInvalidKey, 401, "invalid_request_error", "invalid_api_key"},
		{llm.KindModelNotAllowed, 403, "invalid_request_error", "model_not_allowed"},
		{llm.KindModelNotFound, 404, "invalid_request_error", "model_not_found"},
		{llm.KindContextLength, 400, "invalid_request_error", "context_length_exceeded"},
		{llm.KindTooLarge, 413, "invalid_request_error", "request_too_large"},
		{llm.KindRateLimited, 429, "requests", "rate_limit_exceeded"},
		{llm.KindQuota, 429, "insufficient_quota", "insufficient_quota"},
		{llm.KindOverloaded, 503, "server_error", "overloaded"},
		{llm.KindUpstream, 502, "server_error", "upstream_error"},
		{llm.KindCredential, 502, "server_error", "upstream_error"},
		{llm.KindTimeout, 504, "server_error", "timeout"},
		{llm.KindCanceled, 499, "server_error", "canceled"},
	} {
		w := httptest.NewRecorder()
		writeError(w, llm.ProtoOpenAI, "01X", &llm.Error{Kind: c.kind, Message: "say \"what\"\nto do \u2028 \xff", Param: "model"})
		var got envelope
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s: %v in %s", c.kind, err, w.Body)
			continue
		}
		if w.Code != c.status || got.Error.Type != c.typ || got.Error.Code != c.code || !strings.Contains(got.Error.Message, "to do") || got.Error.Param == nil || *got.Error.Param != "model" {
			t.Errorf("%s: status %d, %s; want %d, %s, %s", c.kind, w.Code, w.Body, c.status, c.typ, c.code)
		}
		if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) || h.Get("Retry-After") != "" || h.Get("X-Should-Retry") != "" {
			t.Errorf("%s: header %v", c.kind, h)
		}
		event := string(protocol.Of(llm.ProtoOpenAI).Client.Encoder(&llm.Request{}).Fail(nil, &llm.Error{Kind: c.kind, Message: "two\n\nlines"}))
		data, ok := strings.CutPrefix(strings.TrimSuffix(event, "\n\n"), "data: ")
		if !ok || strings.Contains(data, "\n") || json.Unmarshal([]byte(data), &got) != nil || got.Error.Code != c.code || got.Error.Param != nil {
			t.Errorf("%s: the error event is %q", c.kind, event)
		}
	}
}

// Clients find the request's id in both headers, and those of Anthropic's in
// the body too.
func TestErrorID(t *testing.T) {
	w := httptest.NewRecorder()
	writeError(w, llm.ProtoAnthropic, "01X", &llm.Error{Kind: llm.KindInvalidKey, Message: "no"})
	if h := w.Header(); h.Get("X-Request-Id") != "01X" || h.Get("Request-Id") != "01X" || !strings.Contains(w.Body.String(), `"request_id":"01X"`) {
		t.Errorf("header %v, body %s", h, w.Body)
	}
}

// When to come back is rounded up: who waits that long is let in.
func TestRetryHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	writeError(w, llm.ProtoOpenAI, "01X", &llm.Error{Kind: llm.KindRateLimited, RetryAfter: 1500*time.Millisecond + 1, Final: true})
	if h := w.Header(); h.Get("Retry-After") != "2" || h.Get("Retry-After-Ms") != "1501" || h.Get("X-Should-Retry") != "false" {
		t.Errorf("header %v", h)
	}
}

// A vendor's refusal of a request reaches clients of its protocol as it was
// written, and clients of another in theirs.
func TestVendorErrorBody(t *testing.T) {
	raw := `{"error":{"message":"bad","vendor_field":[1]}}`
	w := httptest.NewRecorder()
	writeError(w, llm.ProtoOpenAI, "01X", &llm.Error{Kind: llm.KindCaller, Status: 422, Message: "bad", Raw: []byte(raw), Proto: llm.ProtoOpenAI})
	if w.Code != 422 || w.Body.String() != raw {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	writeError(w, llm.ProtoOpenAI, "01X", &llm.Error{Kind: llm.KindCaller, Status: 422, Message: "bad", Raw: []byte(`<xml/>`)})
	var got envelope
	if json.Unmarshal(w.Body.Bytes(), &got) != nil || w.Code != 422 || got.Error.Message != "bad" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

// The key in a query is taken where Google's clients put it, and nowhere else.
func TestGeminiKey(t *testing.T) {
	for target, want := range map[string]string{
		"/v1beta/models/m:generateContent?key=k": "k", "/v1beta/models?key=k": "k", "/v1beta/org/m:streamGenerateContent?alt=sse&key=k": "k",
		"/gemini/v1/org/m:countTokens?key=k": "k", "/v1beta/models/m:generateContent": "", "/v1/chat/completions?key=k": "", "/v1/org/m:other?key=k": "",
	} {
		if got := geminiKey(httptest.NewRequest("POST", target, nil)); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
