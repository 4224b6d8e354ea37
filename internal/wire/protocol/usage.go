package protocol

import (
	"bytes"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
	"github.com/sluicegate/sluice/internal/wire/bedrock"
	"github.com/sluicegate/sluice/internal/wire/cohere"
	"github.com/sluicegate/sluice/internal/wire/gemini"
	"github.com/sluicegate/sluice/internal/wire/ollama"
	"github.com/sluicegate/sluice/internal/wire/openai"
	"github.com/sluicegate/sluice/internal/wire/responses"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Counted is the usage that an answer tells, and what else of it decides its
// price.
type Counted struct {
	Usage llm.Usage
	Model string    // "": the answer names none
	At    time.Time // when the answer was made; zero: it does not say
}

// FindUsage reads body, a vendor's usage object or the whole answer or event
// that holds one, of any protocol: members' names tell which. ok is false if
// there is none.
func FindUsage(body []byte) (c Counted, ok bool) {
	body = bytes.TrimSpace(body)
	if !scan.Valid(body) {
		return c, false
	}
	if body[0] == '[' { // Gemini's streams as an array: the last tells all
		_ = scan.Elements(body, func(e []byte) bool {
			if one, found := findUsage(e); found {
				c, ok = one, true
			}
			return true
		})
		return c, ok
	}
	return findUsage(body)
}

// findUsage is FindUsage of one object.
func findUsage(body []byte) (c Counted, ok bool) {
	for _, holder := range [...]string{"", "response", "message", "metadata", "delta", "x_groq"} {
		b := body
		if holder != "" {
			b = scan.Get(body, holder)
		}
		for _, name := range [...]string{"usage", "usageMetadata", "usage_metadata", "meta", ""} {
			u := b
			if name != "" {
				u = scan.Get(b, name)
			}
			if c.Usage, ok = parseUsage(u); ok {
				c.tell(b)
				c.tell(body)
				return c, true
			}
		}
	}
	return c, false
}

// parseUsage reads a usage object of any protocol.
func parseUsage(b []byte) (llm.Usage, bool) {
	has := func(names ...string) bool {
		for _, n := range names {
			if scan.Get(b, n) != nil {
				return true
			}
		}
		return false
	}
	if len(b) == 0 || b[0] != '{' {
		return llm.Usage{}, false
	}
	switch {
	case has("promptTokenCount", "candidatesTokenCount", "totalTokenCount", "prompt_token_count", "candidates_token_count", "total_token_count"):
		return gemini.ParseUsage(b)
	case has("inputTokens", "outputTokens"):
		return bedrock.ParseUsage(b)
	case has("billed_units", "tokens"):
		return cohere.ParseUsage(b)
	case has("prompt_eval_count", "eval_count"):
		return ollama.ParseUsage(b)
	case has("prompt_tokens", "completion_tokens"):
		return openai.ParseUsage(b)
	case has("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use"),
		scan.Get(scan.Get(b, "output_tokens_details"), "thinking_tokens") != nil:
		return anthropic.ParseUsage(b)
	case has("input_tokens", "output_tokens"):
		return responses.ParseUsage(b)
	case has("total_tokens"): // of embeddings and reranking
		return openai.ParseUsage(b)
	}
	return llm.Usage{}, false
}

// tell takes what the object around the usage says beside it.
func (c *Counted) tell(b []byte) {
	for _, name := range [...]string{"model", "modelVersion"} {
		if s, ok := scan.String(scan.Get(b, name)); ok && c.Model == "" {
			c.Model = s
		}
	}
	tier := scan.Get(b, "service_tier")
	if t := scan.Get(scan.Get(b, "serviceTier"), "type"); t != nil { // Bedrock
		tier = t
	}
	if s, ok := scan.String(tier); ok && c.Usage.Tier == llm.TierStandard {
		c.Usage.Tier = llm.ParseTier(s)
	}
	for _, name := range [...]string{"created", "created_at"} {
		v := scan.Get(b, name)
		if n, ok := scan.Int(v); ok && n > 0 && c.At.IsZero() {
			c.At = time.Unix(n, 0)
		} else if s, ok := scan.String(v); ok && c.At.IsZero() {
			c.At, _ = time.Parse(time.RFC3339, s)
		}
	}
}
