package cloud

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// refreshTimeout bounds one refresh, whoever waits for it.
	refreshTimeout = 30 * time.Second
	// early is how long before its end a credential is refreshed.
	early = 5 * time.Minute
	// spare is how long before its end a credential is used no more: requests
	// travel, and clocks differ.
	spare = 10 * time.Second
	// gap is the least time between two refreshes that succeed. Metadata
	// servers hand out the same token until shortly before it ends.
	gap = 30 * time.Second
	// After a failure the next refresh waits, doubling from holdMin to
	// holdMax; until then callers get the same error.
	holdMin = time.Second
	holdMax = 30 * time.Second
)

// kept holds a credential and refreshes it. One refresh runs at a time, in a
// goroutine that lives no longer than refreshTimeout; callers wait for it only
// while there is no credential that can still be used. Safe for concurrent
// use.
type kept[T any] struct {
	// fetch returns a new credential and when it ends; the zero time: never.
	fetch func(context.Context) (T, time.Time, error)

	mu     sync.Mutex
	value  T
	have   bool          // value was fetched
	ends   time.Time     // when value is used no more; zero: never
	next   time.Time     // no refresh before
	err    error         // of the last refresh
	hold   time.Duration // after the last failure
	flight *flight[T]    // nil: none under way
}

// flight is a refresh. Its fields may be read once done is closed.
type flight[T any] struct {
	done  chan struct{}
	value T
	err   error
}

var errEnded = errors.New("the credential had ended when it came; is the clock right?")

// get returns a credential that can be used now.
func (k *kept[T]) get(ctx context.Context) (T, error) {
	k.mu.Lock()
	now := time.Now()
	usable := k.have && (k.ends.IsZero() || now.Before(k.ends))
	if k.flight == nil && !now.Before(k.next) && !(usable && k.ends.IsZero()) {
		k.flight = &flight[T]{done: make(chan struct{})}
		go k.refresh(k.flight)
	}
	value, err, f := k.value, k.err, k.flight
	k.mu.Unlock()
	var none T
	switch {
	case usable:
		return value, nil
	case f == nil:
		return none, err // a failure that is held
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (k *kept[T]) refresh(f *flight[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), refreshTimeout)
	defer cancel()
	value, ends, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if err == nil && !ends.IsZero() {
		if ends = ends.Add(-spare); !now.Before(ends) {
			err = errEnded
		}
	}
	k.err, k.flight = err, nil
	if err != nil {
		k.hold = min(max(2*k.hold, holdMin), holdMax)
		k.next = now.Add(k.hold)
		f.err = err
	} else {
		k.value, k.have, k.ends, k.hold = value, true, ends, 0
		k.next = refreshAt(now, ends)
		f.value = value
	}
	close(f.done)
}

// refreshAt is when a credential that is used until ends is refreshed.
func refreshAt(now, ends time.Time) time.Time {
	next := ends.Add(-early)
	if least := now.Add(gap); next.Before(least) {
		next = least
	}
	if next.After(ends) {
		next = ends
	}
	return next
}
