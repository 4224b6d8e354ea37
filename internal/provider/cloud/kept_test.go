package cloud

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// issuer hands out numbered credentials.
type issuer struct {
	mu    sync.Mutex
	calls int
	life  time.Duration // 0: for ever
	takes time.Duration
	err   error
}

func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls
}

func (i *issuer) fetch(ctx context.Context) (int, time.Time, error) {
	i.mu.Lock()
	i.calls++
	n, life, takes, err := i.calls, i.life, i.takes, i.err
	i.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return 0, time.Time{}, ctx.Err()
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	if life == 0 {
		return n, time.Time{}, nil
	}
	return n, time.Now().Add(life), nil
}

// take gets a credential and how long that took.
func take(t *testing.T, k *kept[int]) (int, time.Duration) {
	t.Helper()
	start := time.Now()
	n, err := k.get(t.Context())
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return n, time.Since(start)
}

func TestKeptOneRefreshForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour, takes: 3 * time.Second}
		k := &kept[int]{fetch: i.fetch}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if n, err := k.get(t.Context()); n != 1 || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
			})
		}
		wg.Wait()
		equal(t, "fetches", i.count(), 1)
	})
}

func TestKeptRefreshesBehindCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		k := &kept[int]{fetch: i.fetch}
		take(t, k)
		i.set(func() { i.takes = 20 * time.Second })
		time.Sleep(time.Hour - early - spare - time.Second)
		n, _ := take(t, k)
		synctest.Wait()
		equal(t, "before its time", n, 1)
		equal(t, "fetches", i.count(), 1)
		time.Sleep(2 * time.Second)
		for range 5 {
			n, waited := take(t, k)
			equal(t, "while it is refreshed", n, 1)
			equal(t, "waited", waited, 0)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		n, _ = take(t, k)
		equal(t, "afterwards", n, 2)
		equal(t, "fetches", i.count(), 2)
	})
}

func TestKeptFailures(t *testing.T) {
	down := errors.New("down")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		k := &kept[int]{fetch: i.fetch}
		take(t, k)
		i.set(func() { i.err = down })
		end := time.Now().Add(time.Hour - spare)
		time.Sleep(time.Hour - early - spare)
		before := i.count()
		for time.Now().Before(end) { // still good: nobody notices
			n, _ := take(t, k)
			equal(t, "while the endpoint is down", n, 1)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		// 1+2+4+8+16 s, then every 30 s
		if n := i.count() - before; n < 10 || n > 16 {
			t.Errorf("%d refreshes in %s", n, early)
		}
		if _, err := k.get(t.Context()); !errors.Is(err, down) {
			t.Errorf("after its end: %v", err)
		}
		i.set(func() { i.err = nil })
		time.Sleep(holdMax)
		n, _ := take(t, k)
		equal(t, "when the endpoint is back", n, i.count())
	})
}

func TestKeptHoldsFailure(t *testing.T) {
	down := errors.New("down")
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{err: down}
		k := &kept[int]{fetch: i.fetch}
		for range 100 {
			if _, err := k.get(t.Context()); !errors.Is(err, down) {
				t.Fatalf("got %v", err)
			}
		}
		equal(t, "fetches at once", i.count(), 1)
		time.Sleep(holdMin)
		_, _ = k.get(t.Context())
		equal(t, "fetches after the hold", i.count(), 2)
	})
}

func TestKeptWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour, takes: time.Hour}
		k := &kept[int]{fetch: i.fetch}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := k.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller without patience got %v", err)
		}
		start := time.Now()
		_, err := k.get(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > refreshTimeout {
			t.Errorf("an endpoint that is silent: %v after %s", err, time.Since(start))
		}
		equal(t, "fetches", i.count(), 1)
	})
}

func TestKeptEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		life  time.Duration
		calls int // fetches in an hour of one get a second
		fails bool
	}{
		{"never", 0, 1, false},
		{"an hour", time.Hour, 2, false},
		{"a minute", time.Minute, 121, false}, // every gap
		{"at once", spare, 125, true},         // every hold
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{life: c.life}
				k := &kept[int]{fetch: i.fetch}
				for range 3600 {
					if _, err := k.get(t.Context()); c.fails != errors.Is(err, errEnded) {
						t.Fatalf("got %v", err)
					}
					time.Sleep(time.Second)
				}
				if i.count() > c.calls {
					t.Errorf("%d fetches, want at most %d", i.count(), c.calls)
				}
			})
		})
	}
}
