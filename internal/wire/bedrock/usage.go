package bedrock

import (
	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
)

// usage is Converse's TokenUsage. totalTokens is the sum of all the others
// (recorded with Claude Haiku 4.5, Claude Sonnet 4.5 and Nova Lite): inputTokens
// leaves out what was read from the cache and what was written to it.
type usage struct {
	Input   *int64 `json:"inputTokens"`
	Output  *int64 `json:"outputTokens"`
	Total   int64  `json:"totalTokens"`
	Read    int64  `json:"cacheReadInputTokens"`
	Write   int64  `json:"cacheWriteInputTokens"`
	Details []struct {
		Input int64  `json:"inputTokens"`
		TTL   string `json:"ttl"`
	} `json:"cacheDetails"`
}

// ParseUsage reads Converse's usage object; ok is false if b is none.
func ParseUsage(b []byte) (llm.Usage, bool) {
	var v usage
	if err := json.Unmarshal(b, &v, lenient); err != nil || v.Input == nil && v.Output == nil {
		return llm.Usage{}, false
	}
	var u llm.Usage
	if v.Input != nil {
		u.Input = *v.Input
	}
	if v.Output != nil {
		u.Output = *v.Output
	}
	u.CachedRead, u.CacheWrite = v.Read, v.Write
	for _, n := range [...]int64{u.Input, u.Output, v.Total, v.Read, v.Write} {
		if n < 0 || n > llm.MaxTokens {
			return llm.Usage{}, false
		}
	}
	if cached := v.Read + v.Write; cached > u.Input || v.Total != u.Input+u.Output {
		u.Input += cached // else the total says that the input has them already
	}
	for _, d := range v.Details {
		if d.TTL == "1h" && d.Input >= 0 {
			u.CacheWrite1h = min(u.CacheWrite, d.Input)
		}
	}
	return u, u.Valid()
}
