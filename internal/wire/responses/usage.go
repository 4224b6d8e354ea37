package responses

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// ParseUsage reads the usage object that b begins with. ok is false when it is
// no object, has no count or an impossible one.
func ParseUsage(b []byte) (u llm.Usage, ok bool) {
	end, err := scan.End(b)
	if err != nil {
		return u, false
	}
	b = b[:end]
	var space [24]scan.Member
	ms, err := scan.Object(space[:0], b)
	if err != nil {
		return u, false
	}
	var total int64
	input := false
	for _, m := range ms {
		v := b[m.Start:m.End]
		n, isInt := scan.Int(v)
		switch name := string(b[m.Key+1 : m.KeyEnd-1]); name {
		case "input_tokens", "output_tokens", "total_tokens":
			if scan.Null(v) {
				continue
			}
			if !isInt {
				return u, false
			}
			switch name {
			case "input_tokens":
				u.Input, input = n, true
			case "output_tokens":
				u.Output, ok = n, true
			default:
				total = n
			}
		case "input_tokens_details", "input_token_details": // the second in realtime and audio
			u.CachedRead, u.CacheWrite = count(v, "cached_tokens"), count(v, "cache_write_tokens")
			u.AudioInput, u.ImageInput = count(v, "audio_tokens"), count(v, "image_tokens")
			cached := scan.Get(v, "cached_tokens_details")
			u.CachedAudio, u.CachedImage = count(cached, "audio_tokens"), count(cached, "image_tokens")
		case "output_tokens_details", "output_token_details":
			u.Reasoning, u.AudioOutput, u.ImageOutput = count(v, "reasoning_tokens"), count(v, "audio_tokens"), count(v, "image_tokens")
		case "server_side_tool_usage_details": // xAI
			u.Searches = count(v, "web_search_calls")
		}
	}
	// As in chat completions, xAI may count reasoning beside the output.
	if u.Reasoning > 0 && total == u.Input+u.Output+u.Reasoning {
		u.Output += u.Reasoning
	}
	u.CachedRead = min(u.CachedRead, u.Input)
	u.CacheWrite = min(u.CacheWrite, u.Input-u.CachedRead)
	u.AudioInput, u.Reasoning = min(u.AudioInput, u.Input), min(u.Reasoning, u.Output)
	return u, (ok || input) && u.Valid()
}

func count(b []byte, name string) int64 {
	n, _ := scan.Int(scan.Get(b, name))
	return n
}

// usageOf reads the usage of a whole response: its object, and the searches
// that only its output tells; nil if the vendor did not count.
func usageOf(response []byte) *llm.Usage {
	u, ok := ParseUsage(scan.Get(response, "usage"))
	if !ok {
		return nil
	}
	u.Searches = max(u.Searches, searches(response))
	tier, _ := scan.String(scan.Get(response, "service_tier"))
	u.Tier = llm.ParseTier(tier)
	return &u
}

// searches counts the web searches of a response. OpenAI counts a call as one
// however many queries it holds, and does not count pages that were opened.
func searches(response []byte) int64 {
	if n, ok := scan.Int(scan.Get(scan.Get(scan.Get(response, "tool_usage"), "web_search"), "num_requests")); ok {
		return n
	}
	var n int64
	_ = scan.Elements(scan.Get(response, "output"), func(it []byte) bool {
		if isSearch(it) {
			n++
		}
		return true
	})
	return n
}

// isSearch reports whether an output item is a search of the web.
func isSearch(it []byte) bool {
	if kind, _ := scan.String(scan.Get(it, "type")); kind != typeSearchCall {
		return false
	}
	action := scan.Get(scan.Get(it, "action"), "type")
	return scan.Null(action) || string(action) == `"search"`
}

// appendUsage appends a usage object with all that the protocol's clients
// demand.
func appendUsage(dst []byte, u *llm.Usage) []byte {
	var none llm.Usage
	if u == nil {
		u = &none
	}
	dst = appendInt(append(dst, `{"input_tokens":`...), u.Input)
	dst = appendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), u.CachedRead)
	dst = appendInt(append(dst, `,"cache_write_tokens":`...), u.CacheWrite)
	dst = appendInt(append(dst, `},"output_tokens":`...), u.Output)
	dst = appendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), u.Reasoning)
	dst = appendInt(append(dst, `},"total_tokens":`...), u.Input+u.Output)
	return append(dst, '}')
}
