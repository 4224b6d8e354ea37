package upstream

import (
	"math/rand/v2"
	"sync"
	"time"
)

// BreakerSettings of one target. A rule whose number is 0 is off.
type BreakerSettings struct {
	Failures    int           // open after so many failures in a row
	SuccessRate float64       // open when the share of successes over Window falls below
	Window      time.Duration // of SuccessRate
	MinRequests int           // fewer results in Window decide nothing
	Cooldown    time.Duration // cap of the time it stays open
}

// Phase is the state of a breaker. The numbers are those of the metric
// sluice_breaker_state.
type Phase uint8

// The phases.
const (
	Closed Phase = iota
	HalfOpen
	Open
)

func (p Phase) String() string { return [...]string{"closed", "half_open", "open"}[p] }

// firstOpen is how long a breaker stays open the first time; it doubles up to
// the cap, jittered down by as much as half (Finagle's equal jitter).
const firstOpen = time.Second

const buckets = 10

// Breaker keeps calls away from a target that fails. Open, it lets one probe
// through after a while; the probe holds a lease, so that one that hangs
// counts as failed instead of blocking the breaker. Safe for concurrent use.
type Breaker struct {
	mu     sync.Mutex
	set    BreakerSettings
	phase  Phase
	row    int // failures in a row
	opened int // times in a row that it opened without closing between
	until  int64
	probe  uint64 // pass of the probe under way, 0 for none
	lease  int64  // when that probe counts as failed
	passes uint64
	good   [buckets]int32
	all    [buckets]int32
	bucket int64 // number of the newest bucket
	reason string
}

// Configure changes the settings. What was counted stays, but for the window's
// counts where its length changes.
func (b *Breaker) Configure(s BreakerSettings) {
	b.mu.Lock()
	if s.Window != b.set.Window {
		b.good, b.all, b.bucket = [buckets]int32{}, [buckets]int32{}, 0
	}
	b.set = s
	b.mu.Unlock()
}

func (b *Breaker) off() bool { return b.set.Failures <= 0 && b.set.SuccessRate <= 0 }

// Phase returns the phase, why, and when an open breaker lets a probe through.
func (b *Breaker) Phase(now int64) (p Phase, reason string, until int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	return b.phase, b.reason, b.until
}

// Ready reports whether Allow would let a call through now.
func (b *Breaker) Ready(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	return b.ready(now)
}

func (b *Breaker) ready(now int64) bool {
	switch b.phase {
	case Open:
		return now >= b.until
	case HalfOpen:
		return b.probe == 0
	}
	return true
}

// Allow lets a call through or not. A call that is let through is recorded
// once, with the pass; lease is how long it may take if it is a probe.
func (b *Breaker) Allow(now int64, lease time.Duration) (pass uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if !b.ready(now) {
		return 0, false
	}
	if b.phase == Closed {
		return 0, true
	}
	b.phase = HalfOpen
	b.passes++
	b.probe, b.lease = b.passes, now+int64(lease)
	return b.probe, true
}

// expire fails a probe whose lease has ended.
func (b *Breaker) expire(now int64) {
	if b.phase == HalfOpen && b.probe != 0 && now >= b.lease {
		b.open(now, "the probe did not answer")
	}
}

// Result of a call, as a breaker sees it.
type Result uint8

// The results.
const (
	Neutral Result = iota // says nothing about the target
	Success
	Failure
)

// Record tells how a call that Allow let through ended. Results of probes
// whose lease has ended are ignored.
func (b *Breaker) Record(now int64, pass uint64, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off() {
		b.phase, b.probe = Closed, 0
		return
	}
	b.expire(now)
	if pass != 0 {
		b.recordProbe(now, pass, r)
		return
	}
	if b.phase != Closed || r == Neutral {
		return
	}
	b.count(now, r)
	if r == Success {
		b.row = 0
	} else {
		b.row++
	}
	if b.set.Failures > 0 && b.row >= b.set.Failures {
		b.open(now, "failures in a row")
	} else if b.set.SuccessRate > 0 && r == Failure {
		if good, all := b.sums(); all >= int32(max(1, b.set.MinRequests)) && float64(good) < b.set.SuccessRate*float64(all) {
			b.open(now, "success rate too low")
		}
	}
}

func (b *Breaker) recordProbe(now int64, pass uint64, r Result) {
	if b.phase != HalfOpen || b.probe != pass {
		return
	}
	b.probe = 0
	switch r {
	case Success:
		b.phase, b.row, b.opened, b.reason = Closed, 0, 0, ""
		b.good, b.all = [buckets]int32{}, [buckets]int32{}
	case Failure:
		b.open(now, "the probe failed")
	}
}

func (b *Breaker) open(now int64, reason string) {
	d := b.set.Cooldown
	if b.opened < 30 {
		d = min(d, firstOpen<<b.opened)
	}
	b.opened++
	d = d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
	b.phase, b.until, b.probe, b.row, b.reason = Open, now+int64(d), 0, 0, reason
}

// errorRate is the share of failures over the window, 0 where nothing was
// counted.
func (b *Breaker) errorRate(now int64) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	good, all := b.sums()
	if all == 0 {
		return 0
	}
	return 1 - float64(good)/float64(all)
}

// advance empties the buckets that time has passed.
func (b *Breaker) advance(now int64) {
	n := now / max(1, int64(b.set.Window)/buckets)
	for i := max(b.bucket+1, n-buckets+1); i <= n; i++ {
		b.good[i%buckets], b.all[i%buckets] = 0, 0
	}
	b.bucket = max(b.bucket, n)
}

// count adds a result to the newest bucket.
func (b *Breaker) count(now int64, r Result) {
	b.advance(now)
	b.all[b.bucket%buckets]++
	if r == Success {
		b.good[b.bucket%buckets]++
	}
}

func (b *Breaker) sums() (good, all int32) {
	for i := range b.all {
		good += b.good[i]
		all += b.all[i]
	}
	return good, all
}
