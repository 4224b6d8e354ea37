package provider

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// What a vendor refuses reaches the client with the status of what it means,
// not always with the vendor's.
func TestRefused(t *testing.T) {
	for _, x := range []struct {
		name   string
		status int
		body   string
		want   int
	}{
		{"the caller's", 404, `{"error":{"message":"no such model","code":"model_not_found"}}`, 404},
		{"content, as if it were the key", 403, `{"error":{"message":"no","code":"content_filter"}}`, 400},
		{"larger than a minute", 429, `{"error":{"message":"Request too large for m on tokens per min","code":"rate_limit_exceeded"}}`, 413},
		{"too long, as if it were the server", 500, `{"error":{"message":"full","type":"exceed_context_size_error"}}`, 400},
		{"the vendor's", 500, `{"error":{"message":"sorry"}}`, 502},
	} {
		_, _, _, err := askVendor(t, "openai", "m", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[]}`, false, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.body)
		})
		var e *llm.Error
		if !errors.As(err, &e) || e.HTTPStatus() != x.want {
			t.Errorf("%s: %v with status %d, want %d", x.name, err, e.HTTPStatus(), x.want)
		}
	}
}
