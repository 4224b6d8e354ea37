package provider

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name   string
		header http.Header
		want   time.Duration
		ok     bool
	}{
		{"none", http.Header{}, 0, false},
		{"nil", nil, 0, false},
		{"seconds", http.Header{"Retry-After": {"16"}}, 16 * s, true},
		{"spaces", http.Header{"Retry-After": {" 16 "}}, 16 * s, true},
		{"part of a second", http.Header{"Retry-After": {"0.25"}}, 250 * ms, true},
		{"zero", http.Header{"Retry-After": {"0"}}, 0, true},
		{"negative", http.Header{"Retry-After": {"-5"}}, 0, false},
		{"word", http.Header{"Retry-After": {"soon"}}, 0, false},
		{"infinite", http.Header{"Retry-After": {"inf"}}, 0, false},
		{"not a number", http.Header{"Retry-After": {"NaN"}}, 0, false},
		{"exponent", http.Header{"Retry-After": {"1e3"}}, 0, false},
		{"empty", http.Header{"Retry-After": {""}}, 0, false},
		{"point", http.Header{"Retry-After": {"."}}, 0, false},
		{"huge", http.Header{"Retry-After": {"100000000000000000000"}}, 24 * time.Hour, true},
		{"beyond float64", http.Header{"Retry-After": {"1" + string(make400zeros())}}, 24 * time.Hour, true},
		{"a day", http.Header{"Retry-After": {"86400"}}, 24 * time.Hour, true},
		{"date", http.Header{"Retry-After": {"Wed, 04 Mar 2026 12:00:30 GMT"}}, 30 * s, true},
		{"past date", http.Header{"Retry-After": {"Wed, 04 Mar 2020 12:00:30 GMT"}}, 0, true},
		{"far date", http.Header{"Retry-After": {"Wed, 04 Mar 2099 12:00:30 GMT"}}, 24 * time.Hour, true},
		{"two headers", http.Header{"Retry-After": {"2", "5"}}, 5 * s, true},
		{"two values", http.Header{"Retry-After": {"7, 5"}}, 7 * s, true},
		{"one of two unreadable", http.Header{"Retry-After": {"x", "5"}}, 5 * s, true},
		{"milliseconds", http.Header{"Retry-After-Ms": {"1500"}}, 1500 * ms, true},
		{"azure says both", http.Header{"Retry-After": {"1"}, "Retry-After-Ms": {"0"}}, 1 * s, true},
		{"stated goes before resets", http.Header{"Retry-After": {"1"}, "X-Ratelimit-Reset-Requests": {"9s"}, "X-Ratelimit-Remaining-Requests": {"0"}}, 1 * s, true},
		{"unreadable, then resets", http.Header{"Retry-After": {"-1"}, "X-Ratelimit-Reset-Requests": {"9s"}}, 9 * s, true},
		{"openai", http.Header{
			"X-Ratelimit-Remaining-Requests": {"99"}, "X-Ratelimit-Reset-Requests": {"6m0s"},
			"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {"17ms"},
		}, 17 * ms, true},
		{"groq", http.Header{"X-Ratelimit-Reset-Requests": {"2m59.56s"}, "X-Ratelimit-Reset-Tokens": {"7.66s"}}, 179560 * ms, true},
		{"both spent", http.Header{
			"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"1s"},
			"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {"2s"},
		}, 2 * s, true},
		{"azure's other spelling", http.Header{"X-Rate-Limit-Reset-Tokens": {"55"}}, 55 * s, true},
		{"openrouter, milliseconds since 1970", http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1772625605000"}}, 5 * s, true},
		{"seconds since 1970", http.Header{"X-Ratelimit-Reset": {"1772625605"}}, 5 * s, true},
		{"past second", http.Header{"X-Ratelimit-Reset": {"1700000000"}}, 0, true},
		{"no date", http.Header{"X-Ratelimit-Reset": {"100000000000000000000"}}, 24 * time.Hour, true},
		{"rfc 3339", http.Header{"X-Ratelimit-Reset-Tokens": {"2026-03-04T12:00:10Z"}}, 10 * s, true},
		{"negative duration", http.Header{"X-Ratelimit-Reset-Tokens": {"-3s"}}, 0, false},
		{"unreadable reset", http.Header{"X-Ratelimit-Reset-Tokens": {"later"}}, 0, false},
		{"empty reset", http.Header{"X-Ratelimit-Reset-Tokens": {""}}, 0, false},
		{"long duration", http.Header{"X-Ratelimit-Reset-Tokens": {"1000h"}}, 24 * time.Hour, true},
		{"spent but unreadable", http.Header{
			"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"?"}, "X-Ratelimit-Reset-Tokens": {"2s"},
		}, 2 * s, true},
		{"anthropic", http.Header{
			"Anthropic-Ratelimit-Input-Tokens-Remaining": {"0"}, "Anthropic-Ratelimit-Input-Tokens-Reset": {"2026-03-04T12:00:16Z"},
			"Anthropic-Ratelimit-Requests-Remaining": {"9"}, "Anthropic-Ratelimit-Requests-Reset": {"2026-03-04T12:01:00Z"},
		}, 16 * s, true},
	}
	for _, tt := range tests {
		if got, ok := RetryAfter(tt.header, noon); got != tt.want || ok != tt.ok {
			t.Errorf("%s: RetryAfter = %v, %v, want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func make400zeros() []byte {
	b := make([]byte, 400)
	for i := range b {
		b[i] = '0'
	}
	return b
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"5", "0.5", "-1", "6m0s", "1e9", "2026-03-04T12:00:10Z", "Wed, 04 Mar 2026 12:00:30 GMT", "9999999999999999999", "1,2", "", "."} {
		f.Add(v, v, v)
	}
	f.Fuzz(func(t *testing.T, after, ms, reset string) {
		for _, h := range []http.Header{
			{"Retry-After": {after}}, {"Retry-After-Ms": {ms}}, {"X-Ratelimit-Reset": {reset}, "X-Ratelimit-Remaining": {"0"}},
			{"Retry-After": {after, ms}, "Retry-After-Ms": {ms}, "X-Ratelimit-Reset-Tokens": {reset}, "Anthropic-Ratelimit-Tokens-Reset": {reset}},
		} {
			wait, ok := RetryAfter(h, noon)
			if wait < 0 || wait > maxWait || !ok && wait != 0 {
				t.Errorf("RetryAfter(%q) = %v, %v, want 0 to 24h", h, wait, ok)
			}
		}
	})
}

// 67: with the wall clock an hour off, what is told as a span stays as it is;
// what is told as a date is off by the hour, never below nothing.
func TestFault67ClockJumps(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for _, off := range []time.Duration{-time.Hour, 0, time.Hour} {
		for header, want := range map[string]time.Duration{"2": 2 * time.Second, "1.5": 1500 * time.Millisecond} {
			if got, ok := RetryAfter(http.Header{"Retry-After": {header}}, noon.Add(off)); got != want || !ok {
				t.Errorf("Retry-After: %s with the clock off by %v: got %v, %v, want %v", header, off, got, ok, want)
			}
		}
		if got, ok := RetryAfter(http.Header{"X-Ratelimit-Reset-Requests": {"6m0s"}}, noon.Add(off)); got != 6*time.Minute || !ok {
			t.Errorf("a reset in 6m0s with the clock off by %v: got %v, %v", off, got, ok)
		}
		date := noon.Add(3 * time.Second).Format(http.TimeFormat)
		if got, ok := RetryAfter(http.Header{"Retry-After": {date}}, noon.Add(off)); got != max(0, 3*time.Second-off) || !ok {
			t.Errorf("a date with the clock off by %v: got %v, %v, want %v", off, got, ok, max(0, 3*time.Second-off))
		}
	}
}
