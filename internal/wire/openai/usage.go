package openai

import (
	"bytes"

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
		case "prompt_tokens", "completion_tokens", "total_tokens":
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
			default:
				total = n
			}
		default:
			more(&u, name, v, n)
		}
	}
	// xAI counts reasoning beside completion_tokens; everyone else inside.
	if u.Reasoning > 0 && u.Citation == 0 && total == u.Input+u.Output+u.Reasoning {
		u.Output += u.Reasoning
	}
	if !ok && total > 0 { // embeddings and reranking of some
		u.Input, ok = total, true
	}
	// Perplexity's research counts its citations and, unlike others, what it
	// reasons at the top level beside completion_tokens.
	if u.Citation > 0 {
		u.Output += u.Citation + u.Reasoning
	}
	// Mistral counts audio beside prompt_tokens; everyone else inside.
	if u.AudioInput > 0 && total == u.Input+u.Output+u.AudioInput {
		u.Input += u.AudioInput
	}
	// grok on Azure was recorded with more cached tokens than prompt tokens.
	u.CachedRead = min(u.CachedRead, u.Input)
	u.CacheWrite = min(u.CacheWrite, u.Input-u.CachedRead)
	u.CacheWrite1h = min(u.CacheWrite1h, u.CacheWrite)
	return u, ok && u.Valid()
}

// more reads a member of usage that not all vendors send. n is its value if
// that is an integer, else 0.
func more(u *llm.Usage, name string, v []byte, n int64) {
	switch name {
	case "prompt_tokens_details":
		d := partsOf(v)
		u.CachedRead, u.CacheWrite = max(u.CachedRead, d.cached), max(u.CacheWrite, d.written)
		u.AudioInput, u.ImageInput, u.VideoInput = d.audio, d.image, d.video
	case "completion_tokens_details":
		d := partsOf(v)
		u.Reasoning = max(u.Reasoning, d.reasoning)
		u.AudioOutput, u.ImageOutput, u.VideoOutput = d.audio, d.image, d.video
	case "prompt_cache_hit_tokens", // DeepSeek
		"cached_tokens",           // Moonshot, some of Hugging Face's
		"num_cached_tokens",       // Mistral
		"cache_read_input_tokens": // Anthropic's models at Venice and others
		u.CachedRead = max(u.CachedRead, n)
	case "cache_creation_input_tokens": // the same
		u.CacheWrite = max(u.CacheWrite, n)
	case "cache_creation":
		u.CacheWrite1h = detail(v, "ephemeral_1h_input_tokens")
	case "reasoning_tokens": // GitHub Copilot, Perplexity
		u.Reasoning = max(u.Reasoning, n)
	case "service_tier": // Mistral
		name, _ := scan.String(v)
		u.Tier = llm.ParseTier(name)
	case "search_context_size": // Perplexity
		size, _ := scan.String(v)
		u.SearchSize = llm.ParseSearchSize(size)
	case "citation_tokens": // Perplexity
		u.Citation = n
	case "num_search_queries": // Perplexity
		u.Searches = max(u.Searches, n)
	case "server_tool_use_details", "server_tool_use": // OpenRouter
		u.Searches = max(u.Searches, detail(v, "web_search_requests"))
	}
}

// keyTier is parted where bytes.IndexByte finds it: looking for all of it takes
// a nanosecond and a half for each byte of an answer.
var keyTier = [2][]byte{[]byte(`"service`), []byte(`_tier"`)}

// served is u with the tier that the answer or chunk around it tells.
func served(u llm.Usage, b []byte) llm.Usage {
	for i := 0; u.Tier == llm.TierStandard; i++ {
		n := bytes.IndexByte(b[i:], keyTier[1][0])
		if n < 0 {
			break
		}
		i += n
		rest, is := bytes.CutPrefix(b[i:], keyTier[1])
		if !is || !bytes.HasSuffix(b[:i], keyTier[0]) {
			continue
		}
		rest = bytes.TrimLeft(rest, " \t\r\n")
		if len(rest) == 0 || rest[0] != ':' {
			continue // a text of that name
		}
		v := bytes.TrimLeft(rest[1:], " \t\r\n")
		s, _ := scan.String(v[:objectEnd(v)])
		u.Tier = llm.ParseTier(s)
		break
	}
	return u
}

// parts of a count of tokens, by kind.
type parts struct{ cached, written, reasoning, audio, image, video int64 }

// partsOf reads an object of parts in one pass; what it does not hold is 0.
func partsOf(b []byte) (d parts) {
	var space [16]scan.Member
	if len(b) == 0 || b[0] != '{' {
		return d
	}
	ms, err := scan.Object(space[:0], b)
	if err != nil {
		return d
	}
	for _, m := range ms {
		n, _ := scan.Int(b[m.Start:m.End])
		switch string(b[m.Key+1 : m.KeyEnd-1]) {
		case "cached_tokens":
			d.cached = n
		case "cache_write_tokens":
			d.written = n
		case "reasoning_tokens":
			d.reasoning = n
		case "audio_tokens":
			d.audio = n
		case "image_tokens":
			d.image = n
		case "video_tokens":
			d.video = n
		}
	}
	return d
}

func detail(b []byte, name string) int64 {
	n, _ := scan.Int(scan.Get(b, name))
	return n
}
