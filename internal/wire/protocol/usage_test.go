package protocol

import (
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestFindUsage(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       Counted
	}{
		{"OpenAI's object", ` {"prompt_tokens":5,"completion_tokens":3} `, Counted{Usage: llm.Usage{Input: 5, Output: 3}}},
		{"OpenAI's answer", `{"model":"gpt-4o","created":1700000000,"service_tier":"flex","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}`,
			Counted{Usage: llm.Usage{Input: 5, Output: 3, Tier: llm.TierFlex}, Model: "gpt-4o", At: time.Unix(1700000000, 0)}},
		{"Groq's last event", `{"model":"x","x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":3}}}`, Counted{Usage: llm.Usage{Input: 5, Output: 3}, Model: "x"}},
		{"embeddings", `{"model":"voyage-4","data":[],"usage":{"total_tokens":9}}`, Counted{Usage: llm.Usage{Input: 9}, Model: "voyage-4"}},
		{"a response", `{"model":"gpt-5","created_at":5,"usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":8},"output_tokens":3}}`,
			Counted{Usage: llm.Usage{Input: 20, CachedRead: 8, Output: 3}, Model: "gpt-5", At: time.Unix(5, 0)}},
		{"a response's last event", `{"type":"response.completed","response":{"model":"gpt-5","service_tier":"priority","usage":{"input_tokens":20,"output_tokens":3}}}`,
			Counted{Usage: llm.Usage{Input: 20, Output: 3, Tier: llm.TierPriority}, Model: "gpt-5"}},
		{"Anthropic's object", `{"input_tokens":12,"cache_read_input_tokens":8,"output_tokens":3}`, Counted{Usage: llm.Usage{Input: 20, CachedRead: 8, Output: 3}}},
		{"Anthropic's thinking", `{"input_tokens":12,"output_tokens":3,"output_tokens_details":{"thinking_tokens":2}}`, Counted{Usage: llm.Usage{Input: 12, Output: 3, Reasoning: 2}}},
		{"Anthropic's first event", `{"type":"message_start","message":{"model":"claude-haiku-4-5","usage":{"input_tokens":12,"cache_creation_input_tokens":8,"output_tokens":1,"service_tier":"batch"}}}`,
			Counted{Usage: llm.Usage{Input: 20, CacheWrite: 8, Output: 1, Tier: llm.TierBatch}, Model: "claude-haiku-4-5"}},
		{"Gemini's answer", `{"modelVersion":"gemini-2.5-pro","usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3,"thoughtsTokenCount":2}}`,
			Counted{Usage: llm.Usage{Input: 5, Output: 5, Reasoning: 2}, Model: "gemini-2.5-pro"}},
		{"Gemini's stream as an array", `[{"candidates":[]},{"usageMetadata":{"promptTokenCount":5}},{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3}}]`,
			Counted{Usage: llm.Usage{Input: 5, Output: 3}}},
		{"Bedrock's answer", `{"usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8},"serviceTier":{"type":"flex"}}`, Counted{Usage: llm.Usage{Input: 5, Output: 3, Tier: llm.TierFlex}}},
		{"Cohere's answer", `{"usage":{"billed_units":{"input_tokens":5,"output_tokens":3},"tokens":{"input_tokens":500,"output_tokens":4}}}`, Counted{Usage: llm.Usage{Input: 5, Output: 3}}},
		{"Cohere's last event", `{"type":"message-end","delta":{"usage":{"billed_units":{"input_tokens":5,"output_tokens":3}}}}`, Counted{Usage: llm.Usage{Input: 5, Output: 3}}},
		{"Cohere's embeddings", `{"embeddings":{},"meta":{"billed_units":{"input_tokens":5}}}`, Counted{Usage: llm.Usage{Input: 5}}},
		{"Ollama's answer", `{"model":"llama3","created_at":"2026-01-02T03:04:05Z","done":true,"prompt_eval_count":5,"eval_count":3}`,
			Counted{Usage: llm.Usage{Input: 5, Output: 3}, Model: "llama3", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		{"Bedrock's last event", `{"metadata":{"usage":{"inputTokens":5,"outputTokens":3,"totalTokens":8}}}`, Counted{Usage: llm.Usage{Input: 5, Output: 3}}},
	} {
		if got, ok := FindUsage([]byte(c.body)); !ok || got.Usage != c.want.Usage || got.Model != c.want.Model || !got.At.Equal(c.want.At) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
	for _, body := range []string{``, `{`, `{}`, `[]`, `[[[]]]`, `5`, `null`, `"usage"`, `{"usage":null}`, `{"usage":{}}`, `{"usage":{"prompt_tokens":-1}}`, `{"error":{"message":"no"}}`} {
		if got, ok := FindUsage([]byte(body)); ok {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

// Whatever is given: no panic, and no count that cannot be.
func FuzzFindUsage(f *testing.F) {
	for _, s := range []string{`{"usage":{"prompt_tokens":5,"completion_tokens":3}}`, `[{"usageMetadata":{"promptTokenCount":5}}]`, `{"response":{"usage":{"input_tokens":5}}}`,
		`{"message":{"usage":{"input_tokens":12,"cache_creation_input_tokens":8}}}`, `{"metadata":{"usage":{"inputTokens":5,"outputTokens":3}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := FindUsage(b); ok && !c.Usage.Valid() {
			t.Errorf("%s: %+v", b, c.Usage)
		}
	})
}
