package provider

import (
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// Where calls beside models go, by the vendor's row and base URL.
func TestRawPlaces(t *testing.T) {
	const file, batch, response, pass = llm.OpFile, llm.OpBatch, llm.OpResponse, llm.OpPassthrough
	for _, c := range []struct {
		vendor, base string
		op           llm.Op
		proto        llm.Proto
		path, query  string
		want         string
	}{
		{"openai", "", file, llm.ProtoOpenAI, "/f/content", "a=1", "https://api.openai.com/v1/files/f/content?a=1"},
		{"openai", "http://h", batch, llm.ProtoOpenAI, "", "", "http://h/v1/batches"},
		{"openai", "", response, llm.ProtoResponses, "/r/cancel", "", "https://api.openai.com/v1/responses/r/cancel"},
		{"groq", "", file, llm.ProtoOpenAI, "", "", "https://api.groq.com/openai/v1/files"},
		{"anthropic", "", batch, llm.ProtoAnthropic, "/b", "", "https://api.anthropic.com/v1/messages/batches/b"},
		{"anthropic", "", file, llm.ProtoAnthropic, "", "", "https://api.anthropic.com/v1/files"},
		{"azure", "https://x.openai.azure.com", file, llm.ProtoOpenAI, "", "", "https://x.openai.azure.com/openai/v1/files"},
		{"azure", "https://x.openai.azure.com/openai/v1?api-version=preview", batch, llm.ProtoOpenAI, "/b", "limit=1", "https://x.openai.azure.com/openai/v1/batches/b?limit=1&api-version=preview"},

		{"openai", "", pass, llm.ProtoOpenAI, "/models", "", "https://api.openai.com/v1/models"},
		{"openai", "", pass, llm.ProtoOpenAI, "/v1/models", "", "https://api.openai.com/v1/models"},
		{"openai", "", pass, llm.ProtoOpenAI, "/v1", "", "https://api.openai.com/v1"},
		{"groq", "", pass, llm.ProtoOpenAI, "/openai/v1/models", "", "https://api.groq.com/openai/v1/models"},
		{"groq", "", pass, llm.ProtoOpenAI, "/v1/models", "", "https://api.groq.com/openai/v1/models"},
		{"gemini", "", pass, llm.ProtoGemini, "/v1beta/models/m:embedContent", "", "https://generativelanguage.googleapis.com/v1beta/models/m:embedContent"},
		{"gemini", "", pass, llm.ProtoGemini, "/files", "", "https://generativelanguage.googleapis.com/v1beta/files"},
		{"cohere", "", pass, llm.ProtoCohere, "/v1/tokenize", "", "https://api.cohere.com/v1/tokenize"},
		{"deepseek", "", pass, llm.ProtoOpenAI, "/user/balance", "", "https://api.deepseek.com/user/balance"},
		{"openai-compatible", "http://h:1", pass, llm.ProtoOpenAI, "/models", "", "http://h:1/v1/models"},
		{"openai-compatible", "http://h:1/sub", pass, llm.ProtoOpenAI, "/v1/models", "", "http://h:1/sub/v1/models"},
		{"azure", "https://x.openai.azure.com?api-version=1", pass, llm.ProtoOpenAI, "/openai/deployments/d/x", "api-version=2", "https://x.openai.azure.com/openai/deployments/d/x?api-version=2"},
		{"vertex", "https://h/v1/projects/p/locations/l", pass, llm.ProtoGemini, "/publishers/google/models/m:predict", "", "https://h/v1/projects/p/locations/l/publishers/google/models/m:predict"},
	} {
		v, _ := VendorByName(c.vendor)
		r := &llm.Raw{Op: c.op, Path: c.path, Query: c.query}
		got := v.place(c.base, c.proto, r)
		if c.op == pass {
			got = v.under(c.base, c.proto, r)
		}
		if got != c.want {
			t.Errorf("%s at %q, %s %s: %s, want %s", c.vendor, c.base, c.op, c.path, got, c.want)
		}
	}
}
