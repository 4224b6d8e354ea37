package cohere

import (
	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
)

// tokens are counts; the API says "number", and version 1 wrote fractions.
type tokens struct {
	Input     *float64 `json:"input_tokens"`
	Output    *float64 `json:"output_tokens"`
	Reasoning float64  `json:"reasoning_tokens"`
	Searches  *float64 `json:"search_units"` // of reranking
}

// ParseUsage reads Cohere's usage object, or the meta object of its other
// APIs; ok is false if b is none. What is billed counts: it leaves out the
// instructions that Cohere puts before the prompt (1,301 of 1,442 tokens are not
// billed in one recorded answer), and what its cache held is part of these.
// Where nothing is said of the bill, the tokens that the model saw count.
func ParseUsage(b []byte) (llm.Usage, bool) {
	var v struct {
		Billed tokens  `json:"billed_units"`
		Tokens tokens  `json:"tokens"`
		Cached float64 `json:"cached_tokens"`
	}
	if err := json.Unmarshal(b, &v, lenient); err != nil {
		return llm.Usage{}, false
	}
	t := v.Billed
	if t.Input == nil && t.Output == nil && t.Searches == nil {
		if t = v.Tokens; t.Input == nil && t.Output == nil {
			return llm.Usage{}, false
		}
	} else {
		v.Cached = 0
	}
	for _, n := range [...]float64{of(t.Input), of(t.Output), of(t.Searches), v.Tokens.Reasoning, v.Cached} {
		if !(n >= 0 && n <= llm.MaxTokens) {
			return llm.Usage{}, false
		}
	}
	u := llm.Usage{Input: int64(of(t.Input)), Output: int64(of(t.Output)), Searches: int64(of(t.Searches))}
	u.Reasoning = min(int64(v.Tokens.Reasoning), u.Output)
	u.CachedRead = min(int64(v.Cached), u.Input)
	return u, u.Valid()
}

func of(n *float64) float64 {
	if n == nil {
		return 0
	}
	return *n
}
