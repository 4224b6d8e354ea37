package provider

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestQuotaOf(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	w := func(limit, left int64, reset time.Duration) llm.Window {
		return llm.Window{Limit: limit, Remaining: left, Reset: reset}
	}
	none := llm.Window{}
	for _, c := range []struct {
		name             string
		proto            llm.Proto
		header           []string // "name: value"
		requests, tokens llm.Window
	}{
		{"nothing", llm.ProtoOpenAI, []string{"Content-Type: application/json", "X-Request-Id: 1"}, none, none},
		{"OpenAI", llm.ProtoOpenAI, []string{
			"x-ratelimit-limit-requests: 500", "x-ratelimit-remaining-requests: 499", "x-ratelimit-reset-requests: 120ms",
			"x-ratelimit-limit-tokens: 200000", "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 6m0s",
		}, w(500, 499, 120*time.Millisecond), w(200000, 0, 6*time.Minute)},
		{"Groq: fractions", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 14370", "x-ratelimit-reset-requests: 2m59.56s"}, w(0, 14370, 179560*time.Millisecond), none},
		{"seconds", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-tokens: 7", "x-ratelimit-reset-tokens: 1.5"}, none, w(0, 7, 1500*time.Millisecond)},
		{"since 1970", llm.ProtoOpenAI, []string{"x-ratelimit-limit: 20", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 1795694460000"}, w(20, 0, time.Minute), none},
		{"the tighter of two", llm.ProtoOpenAI, []string{
			"x-ratelimit-remaining: 3", "x-ratelimit-reset: 60", "x-ratelimit-remaining-requests: 900", "x-ratelimit-reset-requests: 10s",
		}, w(0, 3, time.Minute), none},
		{"Anthropic", llm.ProtoAnthropic, []string{
			"anthropic-ratelimit-requests-limit: 50", "anthropic-ratelimit-requests-remaining: 49", "anthropic-ratelimit-requests-reset: " + at(2*time.Second),
			"anthropic-ratelimit-tokens-limit: 50000", "anthropic-ratelimit-tokens-remaining: 40000", "anthropic-ratelimit-tokens-reset: " + at(time.Second),
			"anthropic-ratelimit-input-tokens-limit: 40000", "anthropic-ratelimit-input-tokens-remaining: 39000", "anthropic-ratelimit-input-tokens-reset: " + at(time.Second),
			"anthropic-ratelimit-output-tokens-limit: 8000", "anthropic-ratelimit-output-tokens-remaining: 0", "anthropic-ratelimit-output-tokens-reset: " + at(40*time.Second),
		}, w(50, 49, 2*time.Second), w(8000, 0, 40*time.Second)},
		{"Anthropic's names mean nothing elsewhere", llm.ProtoOpenAI, []string{"anthropic-ratelimit-requests-remaining: 0", "anthropic-ratelimit-requests-reset: " + at(time.Minute)}, none, none},
		{"several values: the least left, the last reset", llm.ProtoOpenAI, []string{
			"x-ratelimit-remaining-requests: 5", "x-ratelimit-remaining-requests: 2", "x-ratelimit-reset-requests: 1s", "x-ratelimit-reset-requests: 3s",
		}, w(0, 2, 3*time.Second), none},
		{"no reset", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 0"}, none, none},
		{"reset in the past", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: " + at(-time.Hour)}, none, none},
		{"a week", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 604800"}, w(0, 0, 24*time.Hour), none},
		{"no numbers", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: few", "x-ratelimit-reset-requests: 1s", "x-ratelimit-remaining-tokens: -1", "x-ratelimit-reset-tokens: 1s"}, none, none},
		{"no times", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 1", "x-ratelimit-reset-requests: soon", "x-ratelimit-remaining-tokens: 1", "x-ratelimit-reset-tokens: -5"}, none, none},
		{"huge", llm.ProtoOpenAI, []string{"x-ratelimit-remaining-requests: 100000000000000000000", "x-ratelimit-reset-requests: 1s"}, w(0, maxCount, time.Second), none},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := headerOf(c.header)
			q := QuotaOf(c.proto, h, func() time.Time { return now })
			if c.requests == none && c.tokens == none {
				if q != nil {
					t.Errorf("got %+v, want nothing", *q)
				}
				return
			}
			if q == nil || q.Requests != c.requests || q.Tokens != c.tokens {
				t.Errorf("got %+v, want %+v and %+v", q, c.requests, c.tokens)
			}
		})
	}
}

func headerOf(lines []string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// Where a vendor tells nothing, looking costs nothing to be collected.
func TestQuotaOfAllocatesNothing(t *testing.T) {
	h := headerOf([]string{"Content-Type: application/json", "X-Request-Id: 1", "Date: x", "Server: y"})
	for _, proto := range []llm.Proto{llm.ProtoOpenAI, llm.ProtoAnthropic} {
		if n := testing.AllocsPerRun(100, func() { QuotaOf(proto, h, time.Now) }); n != 0 {
			t.Errorf("%v: got %v allocations, want none", proto, n)
		}
	}
}

// FuzzQuotaOf: whatever a vendor writes, what is read is within bounds.
func FuzzQuotaOf(f *testing.F) {
	for _, s := range [][3]string{{"500", "0", "6m0s"}, {"", "1", "17ms"}, {"1e9", "-1", "2026-11-26T12:00:01Z"}, {"x", "9999999999999999999999", "1795694460"}, {".", "3.7", "1.5"}, {"", "", "+1s"}, {"0", "0", "NaN"}} {
		f.Add(s[0], s[1], s[2])
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, limit, remaining, reset string) {
		for _, n := range append(append([]windowNames{}, requestNames...), claudeTokenNames...) {
			h := http.Header{n.limit: {limit}, n.remaining: {remaining}, n.reset: {reset, "1s"}}
			q := QuotaOf(llm.ProtoAnthropic, h, func() time.Time { return now })
			if q == nil {
				continue
			}
			w := q.Requests
			if w == (llm.Window{}) {
				w = q.Tokens
			}
			if w.Limit < 0 || w.Limit > maxCount || w.Remaining < 0 || w.Remaining > maxCount || w.Reset <= 0 || w.Reset > maxWait {
				t.Errorf("%q, %q, %q: got %+v", limit, remaining, reset, w)
			}
		}
	})
}
