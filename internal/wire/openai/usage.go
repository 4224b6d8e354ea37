package openai

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// ParseUsage reads the usage object that b begins with. Its counts are taken
// as the vendor gives them; ok is false when it is no object, has no count or
// an impossible one.
func ParseUsage(b []byte) (u llm.Usage, ok bool) {
	if len(b) == 0 || b[0] != '{' {
		return u, false
	}
	b = b[:objectEnd(b)]
	var space [24]scan.Member
	ms, err := scan.Object(space[:0], b)
	if err != nil {
		return u, false
	}
	var total int64
	for _, m := range ms {
		v := b[m.Start:m.End]
		n, isInt := scan.Int(v)
		switch name := string(b[m.Key+1 : m.KeyEnd-1]); name {
		case "prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens":
			if !isInt {
				if scan.Null(v) {
					continue
				}
				return u, false
			}
			switch name {
			case "prompt_tokens":
				u.Input, ok = n, true
			case "completion_tokens":
				u.Output, ok = n, true
			case "total_tokens":
				total = n
			default:
				u.CachedRead = max(u.CachedRead, n)
			}
		case "prompt_tokens_details":
			u.CachedRead = max(u.CachedRead, detail(v, "cached_tokens"))
			u.CacheWrite = detail(v, "cache_write_tokens")
		case "completion_tokens_details":
			u.Reasoning = detail(v, "reasoning_tokens")
		}
	}
	// xAI counts reasoning beside completion_tokens; everyone else inside.
	if u.Reasoning > 0 && total == u.Input+u.Output+u.Reasoning {
		u.Output += u.Reasoning
	}
	// grok on Azure was recorded with more cached tokens than prompt tokens.
	u.CachedRead = min(u.CachedRead, u.Input)
	u.CacheWrite = min(u.CacheWrite, u.Input-u.CachedRead)
	return u, ok && u.Valid()
}

func detail(b []byte, name string) int64 {
	n, _ := scan.Int(scan.Get(b, name))
	return n
}
