package provider

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds what RetryAfter returns.
const maxWait = 24 * time.Hour

// RetryAfter tells how long a vendor's headers ask to wait, from 0 to 24
// hours: retry-after and retry-after-ms, the longer of them; where there is
// none, the resets of rate limits that have nothing remaining, else of all.
// What is negative or cannot be read is ignored; times past are 0.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if wait, ok := stated(h, now); ok {
		return wait, true
	}
	return resets(h, now)
}

// stated reads retry-after (seconds, whole or not, or an HTTP date) and
// retry-after-ms.
func stated(h http.Header, now time.Time) (time.Duration, bool) {
	var m longest
	for _, v := range h.Values("Retry-After-Ms") {
		for part := range strings.SplitSeq(v, ",") {
			m.add(number(part, time.Millisecond))
		}
	}
	for _, v := range h.Values("Retry-After") {
		if t, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
			m.add(until(t, now), true)
			continue
		}
		for part := range strings.SplitSeq(v, ",") {
			m.add(number(part, time.Second))
		}
	}
	return m.wait, m.ok
}

// resets reads x-ratelimit-reset[-…] (also spelled x-rate-limit-) and
// anthropic-ratelimit-…-reset.
func resets(h http.Header, now time.Time) (time.Duration, bool) {
	var spent, all longest
	for name, values := range h {
		name = strings.ToLower(name)
		left := ""
		switch {
		case strings.HasPrefix(name, "x-ratelimit-reset"), strings.HasPrefix(name, "x-rate-limit-reset"):
			left = strings.Replace(name, "-reset", "-remaining", 1)
		case strings.HasPrefix(name, "anthropic-ratelimit-") && strings.HasSuffix(name, "-reset"):
			left = strings.TrimSuffix(name, "-reset") + "-remaining"
		default:
			continue
		}
		for _, v := range values {
			wait, ok := reset(strings.TrimSpace(v), now)
			all.add(wait, ok)
			if strings.TrimSpace(h.Get(left)) == "0" {
				spent.add(wait, ok)
			}
		}
	}
	if spent.ok {
		return spent.wait, true
	}
	return all.wait, all.ok
}

// reset reads "6m0s", "17ms", RFC 3339, seconds, or seconds or milliseconds
// since 1970.
func reset(v string, now time.Time) (time.Duration, bool) {
	if !decimal(v) {
		if len(v) > 4 && v[4] == '-' { // a year: errors cost more than looking
			t, err := time.Parse(time.RFC3339, v)
			return until(t, now), err == nil
		}
		d, err := time.ParseDuration(v)
		return min(d, maxWait), err == nil && d >= 0 && v[0] != '+'
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil && !math.IsInf(f, 1) {
		return 0, false
	}
	switch {
	case f >= 1e18: // no date at all
		return maxWait, true
	case f >= 1e12:
		return until(time.UnixMilli(int64(f)), now), true
	case f >= 1e9:
		return until(time.Unix(int64(f), 0), now), true
	}
	return bound(f, time.Second), true
}

// number reads a decimal number of units.
func number(s string, unit time.Duration) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if !decimal(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 1) {
		return 0, false
	}
	return bound(f, unit), true
}

// decimal reports whether s is digits with at most one point.
func decimal(s string) bool {
	digits, points := 0, 0
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits++
		case s[i] == '.':
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}

// bound returns f units, at most maxWait.
func bound(f float64, unit time.Duration) time.Duration {
	if f >= float64(maxWait)/float64(unit) {
		return maxWait
	}
	return time.Duration(f * float64(unit))
}

// until returns the time from now to t, from 0 to maxWait.
func until(t, now time.Time) time.Duration {
	return min(max(t.Sub(now), 0), maxWait)
}

// longest keeps the largest of the durations that could be read.
type longest struct {
	wait time.Duration
	ok   bool
}

func (m *longest) add(wait time.Duration, ok bool) {
	if ok {
		m.wait, m.ok = max(m.wait, wait), true
	}
}

// waitIn finds "try again in 6m0s" (OpenAI, Groq) or "retry after 45 seconds"
// (Azure) in a message; 0 if there is none.
func waitIn(message string) time.Duration {
	low := strings.ToLower(message)
	for _, lead := range [...]string{"try again in ", "retry in "} { // OpenAI and others, Google
		if _, rest, ok := strings.Cut(low, lead); ok {
			word, _, _ := strings.Cut(rest, " ")
			if d, err := time.ParseDuration(strings.TrimRight(word, ".,;")); err == nil && d > 0 {
				return min(d, maxWait)
			}
		}
	}
	if _, rest, ok := strings.Cut(low, "retry after "); ok {
		count, unit, _ := strings.Cut(rest, " ")
		if d, ok := number(count, time.Second); ok && strings.HasPrefix(unit, "second") {
			return d
		}
	}
	return 0
}
