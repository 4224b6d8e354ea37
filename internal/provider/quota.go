package provider

import (
	"net/http"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// windowNames are the headers of one limit, in canonical form.
type windowNames struct{ limit, remaining, reset string }

var (
	// OpenAI and most that follow it. OpenRouter and others tell one limit, of
	// requests, without a suffix.
	requestNames = []windowNames{
		{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
		{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
	}
	tokenNames = []windowNames{{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}}
	// Anthropic.
	claudeRequestNames = []windowNames{{"Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset"}}
	claudeTokenNames   = []windowNames{
		{"Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset"},
		{"Anthropic-Ratelimit-Input-Tokens-Limit", "Anthropic-Ratelimit-Input-Tokens-Remaining", "Anthropic-Ratelimit-Input-Tokens-Reset"},
		{"Anthropic-Ratelimit-Output-Tokens-Limit", "Anthropic-Ratelimit-Output-Tokens-Remaining", "Anthropic-Ratelimit-Output-Tokens-Reset"},
	}
)

// QuotaOf reads the limits that a vendor tells with an answer; nil if it tells
// none. Resets are bounded by 24 hours; what cannot be read is ignored. proto
// is the protocol in which the vendor was asked; now is asked where there is a
// limit to read.
func QuotaOf(proto llm.Proto, h http.Header, now func() time.Time) *llm.Quota {
	var q llm.Quota
	if proto == llm.ProtoAnthropic {
		tightest(&q.Requests, h, claudeRequestNames, now)
		tightest(&q.Tokens, h, claudeTokenNames, now)
	}
	tightest(&q.Requests, h, requestNames, now)
	tightest(&q.Tokens, h, tokenNames, now)
	if q == (llm.Quota{}) {
		return nil
	}
	return &llm.Quota{Requests: q.Requests, Tokens: q.Tokens} // q itself stays off the heap
}

// tightest reads the windows of names into w: the one with the least left, of
// those the one that is reset last.
func tightest(w *llm.Window, h http.Header, names []windowNames, now func() time.Time) {
	for i := range names {
		n := &names[i]
		left := h[n.remaining]
		if len(left) == 0 {
			continue
		}
		resets := h[n.reset]
		x := llm.Window{Remaining: -1}
		for _, v := range left {
			if c, ok := amount(v); ok && (x.Remaining < 0 || c < x.Remaining) {
				x.Remaining = c
			}
		}
		for _, v := range resets {
			if d, ok := reset(strings.TrimSpace(v), now()); ok {
				x.Reset = max(x.Reset, d)
			}
		}
		if x.Remaining < 0 || x.Reset <= 0 {
			continue
		}
		if l := h[n.limit]; len(l) > 0 {
			x.Limit, _ = amount(l[0])
		}
		if w.Reset == 0 || x.Remaining < w.Remaining || x.Remaining == w.Remaining && x.Reset > w.Reset {
			*w = x
		}
	}
}

// maxCount bounds what amount returns: more than any vendor allows.
const maxCount = 1 << 50

// amount reads a whole number, or one with a fraction of which it leaves
// nothing.
func amount(s string) (n int64, ok bool) {
	s = strings.TrimSpace(s)
	if !decimal(s) || s[0] == '.' {
		return 0, false
	}
	for i := 0; i < len(s) && s[i] != '.'; i++ {
		n = min(n*10+int64(s[i]-'0'), maxCount)
	}
	return n, true
}
