package sim

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

const maxBuckets = 1024 // credentials that one model's limiter tells apart

// limiter is one model's requests a minute, a token bucket per credential
// that begins full. Guarded by Server.mu.
type limiter struct {
	buckets map[uint64]bucket // by the credential's hash
}

type bucket struct {
	left float64
	at   time.Time
}

// ration is what a limiter said.
type ration struct {
	limit     int // a minute; 0: unlimited
	remaining int
	reset     time.Duration // until the bucket is full
	retry     time.Duration // until the next request; 0: allowed
}

func (l *limiter) take(credential string, rpm int, now time.Time) ration {
	if rpm == 0 {
		return ration{}
	}
	who := hash(credential)
	b, ok := l.buckets[who]
	if !ok {
		if l.buckets == nil || len(l.buckets) >= maxBuckets {
			l.buckets = make(map[uint64]bucket)
		}
		b = bucket{left: float64(rpm), at: now}
	}
	perSecond := float64(rpm) / 60
	b.left = min(float64(rpm), b.left+now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	a := ration{limit: rpm}
	if b.left < 1 {
		a.retry = max(time.Millisecond, seconds((1-b.left)/perSecond))
	} else {
		b.left--
	}
	a.remaining = int(b.left)
	a.reset = seconds((float64(rpm) - b.left) / perSecond)
	l.buckets[who] = b
	return a
}

func seconds(s float64) time.Duration {
	return time.Duration(math.Ceil(s*1000)) * time.Millisecond
}

// headers sets what OpenAI sends with every answer of a limited account.
func (a ration) headers(h http.Header) {
	h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(a.limit))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(a.remaining))
	h.Set("X-Ratelimit-Reset-Requests", a.reset.String())
	if a.retry > 0 {
		a.wait(h)
		h.Set("Retry-After-Ms", strconv.FormatInt(a.retry.Milliseconds(), 10))
	}
}

func (a ration) wait(h http.Header) {
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(a.retry.Seconds())), 10))
}

// retryOf reads the seconds of a Retry-After header; 0: there is none.
func retryOf(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}
