//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a client waits for an answer (issue: clients wait 15 s).
const patience = 15 * time.Second

// A sum is what a closed loop brought.
type sum struct {
	ok, failed int
	errs       map[string]int
	stretch    []time.Duration
	took       time.Duration // of the loop, wall clock
}

func (s *sum) add(o sum) {
	s.ok += o.ok
	s.failed += o.failed
	s.took += o.took
	s.stretch = append(s.stretch, o.stretch...)
	for k, n := range o.errs {
		s.fail(k, n)
	}
}

func (s *sum) fail(why string, n int) {
	if s.errs == nil {
		s.errs = map[string]int{}
	}
	s.errs[why] += n
}

// A fleet is the connections of one closed loop. They stay open between runs.
type fleet []*client

func newFleet(addr string, n int) fleet {
	f := make(fleet, n)
	for i := range f {
		f[i] = newClient(addr, 16<<10)
	}
	return f
}

func (f fleet) close() {
	for _, c := range f {
		c.close()
	}
}

// run asks req on every connection, again as soon as it was answered, for d;
// what is under way then is finished. Beginnings are spread over stagger, so
// that paced streams do not march in step.
func (f fleet) run(req []byte, chunks int, d, stagger time.Duration) sum {
	parts := make([]sum, len(f))
	start := time.Now()
	end := start.Add(d)
	var wg sync.WaitGroup
	for i, c := range f {
		wg.Go(func() {
			time.Sleep(stagger * time.Duration(i) / time.Duration(len(f)))
			p := &parts[i]
			c.w.stretch = c.w.stretch[:0]
			for time.Now().Before(end) {
				if err := c.ask(req, time.Now().Add(patience), chunks); err != nil {
					p.failed++
					p.fail(root(err), 1)
					time.Sleep(time.Millisecond)
					continue
				}
				p.ok++
			}
			p.stretch = c.w.stretch
		})
	}
	wg.Wait()
	all := sum{took: time.Since(start)}
	for _, p := range parts {
		all.add(p)
	}
	return all
}

// A shot is one request of an open loop.
type shot struct {
	at, end time.Time // the instant it was due; the instant it was over
	err     error
}

// took counts from the instant the request was due, so that a stall shows in
// every request behind it.
func (s shot) took() time.Duration { return s.end.Sub(s.at) }

// fire asks req at rate per second for d, whatever the answers do, and returns
// all shots once the last is over. Connections are reused, last used first.
func fire(addr string, req []byte, rate int, d time.Duration) []shot {
	// one more, so that the thread asleep until the next instant holds nobody up
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	gap := time.Second / time.Duration(rate)
	shots := make([]shot, int(d/gap))
	var mu sync.Mutex
	var idle []*client
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := time.Now().Add(gap)
		for i := range shots {
			s := &shots[i]
			s.at = start.Add(gap * time.Duration(i))
			sleepUntil(s.at)
			wg.Go(func() {
				mu.Lock()
				c := (*client)(nil)
				if n := len(idle); n > 0 {
					c, idle = idle[n-1], idle[:n-1]
				}
				mu.Unlock()
				if c == nil {
					c = newClient(addr, mockBuffer)
				}
				s.err = c.ask(req, s.at.Add(patience), 0)
				s.end = time.Now()
				mu.Lock()
				idle = append(idle, c)
				mu.Unlock()
			})
		}
	})
	wg.Wait()
	fleet(idle).close()
	return shots
}

// sleepUntil is exact to the kernel's timer slack (50 µs), where Go's timers
// round to a millisecond in an idle process. It blocks its thread.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		ts := syscall.NsecToTimespec(int64(d))
		syscall.Nanosleep(&ts, nil)
	}
}

// times returns how long the successful shots took, sorted.
func times(shots []shot) []time.Duration {
	var out []time.Duration
	for _, s := range shots {
		if s.err == nil {
			out = append(out, s.took())
		}
	}
	slices.Sort(out)
	return out
}

// quantile is the nearest-rank quantile of sorted values; 0 of none.
func quantile[T ~int64 | ~float64](sorted []T, q float64) T {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// median of any order of values; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// root is the text of the innermost error, free of addresses and ports, so
// that like errors count together.
func root(err error) string {
	var st statusError
	if errors.As(err, &st) {
		return st.Error()
	}
	for u := errors.Unwrap(err); u != nil; u = errors.Unwrap(err) {
		err = u
	}
	return err.Error()
}

func listErrors(errs map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(errs)) {
		parts = append(parts, fmt.Sprintf("%d × %s", errs[k], k))
	}
	return strings.Join(parts, ", ")
}
