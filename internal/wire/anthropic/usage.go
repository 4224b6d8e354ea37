package anthropic

import (
	"strconv"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// counts is the usage object as far as it has been told. A stream tells it in
// pieces: what a later one names replaces what was known, but for a prompt of
// no tokens, which vendors name who counted it at the beginning.
type counts struct {
	input, output         int64
	read, write           int64
	short, hour           int64 // of cache_creation: 5 minutes, 1 hour
	thinking, searches    int64
	tier                  llm.Tier
	hasInput, hasOutput   bool
	hasWrite, hasCreation bool
}

// add reads the usage object that b is. false: it is none, or has a count
// that cannot be.
func (c *counts) add(b []byte) bool {
	var space [24]scan.Member
	ms, err := scan.Object(space[:0], b)
	if err != nil {
		return false
	}
	for _, m := range ms {
		v := b[m.Start:m.End]
		if scan.Null(v) {
			continue
		}
		n, isInt := scan.Int(v)
		switch string(b[m.Key+1 : m.KeyEnd-1]) {
		case "input_tokens":
			if !isInt {
				return false
			}
			c.input, c.hasInput = known(n, c.input), true
		case "output_tokens":
			if !isInt {
				return false
			}
			c.output, c.hasOutput = n, true
		case "cache_read_input_tokens":
			c.read = known(n, c.read)
		case "cache_creation_input_tokens":
			c.write, c.hasWrite = known(n, c.write), true
		case "cache_creation":
			c.short, _ = scan.Int(scan.Get(v, "ephemeral_5m_input_tokens"))
			c.hour, _ = scan.Int(scan.Get(v, "ephemeral_1h_input_tokens"))
			c.hasCreation = true
		case "output_tokens_details":
			c.thinking, _ = scan.Int(scan.Get(v, "thinking_tokens"))
		case "service_tier":
			s, _ := scan.String(v)
			c.tier = llm.ParseTier(s)
		case "server_tool_use":
			c.searches, _ = scan.Int(scan.Get(v, "web_search_requests"))
		}
	}
	return c.hasInput || c.hasOutput
}

// known is the later count of two, where it is one.
func known(later, earlier int64) int64 {
	if later == 0 {
		return earlier
	}
	return later
}

// usage returns the counts in neutral form. ok is false where they cannot be.
func (c *counts) usage() (u llm.Usage, ok bool) {
	write := c.write
	if c.hasCreation && (!c.hasWrite || write < c.short+c.hour) {
		write = c.short + c.hour
	}
	u = llm.Usage{
		Input: c.input + c.read + write, CachedRead: c.read, CacheWrite: write, CacheWrite1h: c.hour,
		Output: c.output, Reasoning: min(c.thinking, c.output), Searches: c.searches, Tier: c.tier,
	}
	return u, (c.hasInput || c.hasOutput) && u.Valid()
}

// ParseUsage reads a usage object as vendors of this protocol write it. ok is
// false when it is none.
func ParseUsage(b []byte) (llm.Usage, bool) {
	var c counts
	if !c.add(b) {
		return llm.Usage{}, false
	}
	return c.usage()
}

// appendUsage appends the members of a usage object with its braces. The cache
// counts are always there: clients refuse usage without them.
func appendUsage(b []byte, u *llm.Usage) []byte {
	num := func(name string, n int64) {
		b = append(append(append(b, '"'), name...), `":`...)
		b = append(strconv.AppendInt(b, n, 10), ',')
	}
	b = append(b, '{')
	num("input_tokens", max(0, u.Input-u.CachedRead-u.CacheWrite))
	num("cache_creation_input_tokens", u.CacheWrite)
	num("cache_read_input_tokens", u.CachedRead)
	b = append(b, `"cache_creation":{`...)
	num("ephemeral_5m_input_tokens", max(0, u.CacheWrite-u.CacheWrite1h))
	num("ephemeral_1h_input_tokens", u.CacheWrite1h)
	b[len(b)-1] = '}'
	b = append(b, ',')
	num("output_tokens", u.Output)
	if u.Reasoning > 0 {
		b = append(b, `"output_tokens_details":{`...)
		num("thinking_tokens", u.Reasoning)
		b[len(b)-1] = '}'
		b = append(b, ',')
	}
	if u.Searches > 0 {
		b = append(b, `"server_tool_use":{`...)
		num("web_search_requests", u.Searches)
		num("web_fetch_requests", 0)
		b[len(b)-1] = '}'
		b = append(b, ',')
	}
	if u.Tier != llm.TierStandard {
		b = append(append(append(b, `"service_tier":"`...), u.Tier.String()...), `",`...)
	}
	b[len(b)-1] = '}'
	return b
}
