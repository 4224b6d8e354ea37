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
	// Grace is how long clients' requests leave the probe of an open breaker to
	// one that no client waits for; 0: there is none.
	Grace time.Duration
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

// Claim is what speaks for asking a target whose breaker is open.
type Claim uint8

// The claims.
const (
	Ordinary Claim = iota // a client's request that others may serve: waits out the backoff, and Grace
	Active                // a probe that no client waits for: waits out the backoff
	Last                  // a client's request that nobody else can serve: waits a second at most
)

// Breaker keeps calls away from a target that fails. Open, it lets one probe
// through after a while; the probe holds a lease, so that one that hangs
// counts as failed instead of blocking the breaker. Safe for concurrent use.
type Breaker struct {
	mu     sync.Mutex
	set    BreakerSettings
	phase  Phase
	row    int   // failures in a row
	opened int   // times in a row that it opened without closing between
	since  int64 // when it opened last
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
	return b.opens(Ordinary) <= now
}

// Opens returns from when on a call with that claim is let through: 0 for at
// once, the end of its lease where a probe is under way.
func (b *Breaker) Opens(now int64, c Claim) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	return b.opens(c)
}

func (b *Breaker) opens(c Claim) int64 {
	switch {
	case b.phase == HalfOpen && b.probe != 0:
		return b.lease
	case b.phase != Open:
		return 0
	case c == Active:
		return b.until
	case c == Last:
		return min(b.until, b.since+int64(firstOpen))
	}
	return b.until + int64(b.set.Grace)
}

// Allow lets a client's call through or not. A call that is let through is
// recorded once, with the pass; lease is how long it may take if it is a probe.
func (b *Breaker) Allow(now int64, lease time.Duration) (pass uint64, ok bool) {
	return b.AllowFor(Ordinary, now, lease)
}

// AllowFor is Allow for a call with that claim.
func (b *Breaker) AllowFor(c Claim, now int64, lease time.Duration) (pass uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if b.opens(c) > now {
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

// Record tells how a call that Allow let through ended, and reports whether
// that closed the breaker. Results of probes whose lease has ended are ignored.
func (b *Breaker) Record(now int64, pass uint64, r Result) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off() {
		b.phase, b.probe = Closed, 0
		return false
	}
	b.expire(now)
	if pass != 0 {
		return b.recordProbe(now, pass, r)
	}
	if b.phase != Closed || r == Neutral {
		return false
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
	return false
}

func (b *Breaker) recordProbe(now int64, pass uint64, r Result) (closed bool) {
	if b.phase != HalfOpen || b.probe != pass {
		return false
	}
	b.probe = 0
	switch r {
	case Success:
		b.close()
		return true
	case Failure:
		b.open(now, "the probe failed")
	}
	return false
}

func (b *Breaker) close() {
	b.phase, b.row, b.opened, b.probe, b.reason = Closed, 0, 0, 0, ""
	b.good, b.all = [buckets]int32{}, [buckets]int32{}
}

// Reset closes the breaker, whatever it has seen. Probes that are under way
// count no more.
func (b *Breaker) Reset() {
	b.mu.Lock()
	b.close()
	b.mu.Unlock()
}

// Recount forgets what the window has counted.
func (b *Breaker) Recount() {
	b.mu.Lock()
	b.good, b.all = [buckets]int32{}, [buckets]int32{}
	b.mu.Unlock()
}

func (b *Breaker) open(now int64, reason string) {
	b.since = now
	if b.phase == HalfOpen && now < b.until { // a last resort came early: the backoff stands
		b.phase, b.probe, b.reason = Open, 0, reason
		return
	}
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
	good, all := b.counts(now)
	if all == 0 {
		return 0
	}
	return 1 - float64(good)/float64(all)
}

// steady reports whether the breaker is closed and the last result was no
// failure.
func (b *Breaker) steady() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.phase == Closed && b.row == 0
}

// counts are the successes and all results over the window.
func (b *Breaker) counts(now int64) (good, all int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	return b.sums()
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
