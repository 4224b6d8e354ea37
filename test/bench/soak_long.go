//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	burstEvery  = time.Minute
	burstLength = 5 * time.Second
	mixedRate   = 200
	mixedEach   = 50 // each kind of fault meets one call in 50
	drainFor    = 20 * time.Second
)

// A scale counts durations in steps of 1/16 octave from 1 µs on.
type scale [512]atomic.Int64

func (h *scale) add(d time.Duration) {
	i := int(16 * math.Log2(max(1, float64(d)/1e3)))
	h[min(i, len(h)-1)].Add(1)
}

// quantile is the upper end of the step that holds it: at most 4.5 % too much.
func (h *scale) quantile(q float64) time.Duration {
	var all, seen int64
	for i := range h {
		all += h[i].Load()
	}
	for i := range h {
		if seen += h[i].Load(); float64(seen) > q*float64(all) {
			return time.Duration(1e3 * math.Exp2(float64(i+1)/16))
		}
	}
	return 0
}

// A flood is what an open loop brought.
type flood struct {
	sent  int
	times scale // of answers
	mu    sync.Mutex
	errs  map[string]int
	lost  int // neither answered nor told
	told  int // statuses, and streams that ended with an error event
}

func (f *flood) count(err error, took time.Duration) {
	if err == nil {
		f.times.add(took)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.errs == nil {
		f.errs = map[string]int{}
	}
	f.errs[root(err)]++
	var st statusError
	if errors.As(err, &st) || errors.Is(err, errTold) {
		f.told++
		return
	}
	f.lost++
}

// pour asks in an open loop for d, at a rate that may change with time; the
// n-th request is what next says.
func pour(addr string, d time.Duration, rate func(time.Duration) int, next func(n int) (req []byte, chunks int)) *flood {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // as fire
	f := &flood{}
	var mu sync.Mutex
	var idle []*client
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		begin := time.Now()
		for at := begin; at.Sub(begin) < d; at = at.Add(time.Second / time.Duration(rate(at.Sub(begin)))) {
			sleepUntil(at)
			req, chunks := next(f.sent)
			f.sent++
			wg.Go(func() {
				mu.Lock()
				c := (*client)(nil)
				if n := len(idle); n > 0 {
					c, idle = idle[n-1], idle[:n-1]
				}
				mu.Unlock()
				if c != nil {
					c.fresh()
				} else {
					c = newClient(addr, mockBuffer)
				}
				f.count(c.ask(req, at.Add(patience), chunks), time.Since(at))
				c.w.stretch = c.w.stretch[:0]
				mu.Lock()
				c.used = time.Now()
				idle = append(idle, c)
				mu.Unlock()
			})
		}
	})
	wg.Wait()
	fleet(idle).close()
	return f
}

// memory samples the resident memory of p until stop is closed, in MiB.
func (p *process) memory(every time.Duration, stop <-chan struct{}) (samples []float64) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if b, err := p.rss(); err == nil {
			samples = append(samples, b/(1<<20))
		}
		select {
		case <-t.C:
		case <-stop:
			return samples
		}
	}
}

// watched runs f while the memory of p is sampled.
func (p *process) watched(d time.Duration, f func() *flood) (*flood, []float64) {
	stop := make(chan struct{})
	var samples []float64
	var wg sync.WaitGroup
	wg.Go(func() { samples = p.memory(max(time.Second, d/90), stop) })
	all := f()
	close(stop)
	wg.Wait()
	return all, samples
}

// growth is how much the last third of samples exceeds the middle one, by
// their medians; start, middle and end are the medians of the thirds.
func growth(samples []float64) (start, middle, end float64) {
	n := len(samples) / 3
	if n == 0 {
		return 0, 0, 0
	}
	return median(samples[:n]), median(samples[n : 2*n]), median(samples[len(samples)-n:])
}

// long is a steady load with bursts: unary requests, every fourth a stream.
func (s *soak) long() error {
	addrs, stop, err := s.mocks(2, script{Delay: 5 * time.Millisecond, Chunks: 16, Gap: 5 * time.Millisecond, Body: 600})
	if err != nil {
		return err
	}
	defer stop()
	g, err := s.gate("strategy: weighted\n", "", addrs...)
	if err != nil {
		return err
	}
	defer g.stop()
	unary, stream := ask{bytes: 200}.request(g.addr, clientKey), ask{bytes: 200, chunks: 16}.request(g.addr, clientKey)
	f, memory := g.proc.watched(s.length.long, func() *flood {
		return pour(g.addr, s.length.long, func(at time.Duration) int {
			if at%burstEvery >= burstEvery-burstLength {
				return s.burst
			}
			return s.rate
		}, func(n int) ([]byte, int) {
			if n%4 == 3 {
				return stream, 16
			}
			return unary, 0
		})
	})
	start, middle, end := growth(memory)
	rows, err := s.settled(g, f.sent+1)
	if err != nil {
		return err
	}
	s.put("long", "", "requests", float64(f.sent))
	s.put("long", "", "errors", float64(f.lost+f.told))
	s.put("long", "", "rss_start_mib", start)
	s.put("long", "", "rss_middle_mib", middle)
	s.put("long", "", "rss_end_mib", end)
	s.put("long", "", "p99_ms", ms(f.times.quantile(0.99)))
	if f.errs != nil {
		s.report.say("%s", listErrors(f.errs))
	}
	s.conclude(flat([]bound{
		{"errors", "%.0f", float64(f.lost + f.told), 0},
		{"ledger rows missing or too many", "%.0f", math.Abs(float64(rows - f.sent - 1)), 0},
	}, s.length.long, middle, end), fmt.Sprintf("%v at %d requests/s, %v of every %v at %d; every fourth is a stream of 16 chunks, 5 ms apart", s.length.long, s.rate, burstLength, burstEvery, s.burst),
		[]string{"requests", "errors", "p50 ms", "p99 ms", "p99.9 ms", "MiB first third", "middle", "last"},
		[][]string{{fmt.Sprint(f.sent), fmt.Sprint(f.lost + f.told), fmt.Sprintf("%.1f", ms(f.times.quantile(0.5))), fmt.Sprintf("%.1f", ms(f.times.quantile(0.99))),
			fmt.Sprintf("%.1f", ms(f.times.quantile(0.999))), fmt.Sprintf("%.0f", start), fmt.Sprintf("%.0f", middle), fmt.Sprintf("%.0f", end)}})
	return nil
}

// settled waits until nothing is under way, ends the gateway and returns how
// many requests its ledger has.
func (s *soak) settled(g *subject, want int) (int, error) {
	g.proc.stop(stopGrace)
	n, err := s.ledgerRows(g.config)
	if err == nil && n != want {
		s.report.say("the ledger has %d requests of %d", n, want)
	}
	return n, err
}

// mixed is a load on three targets of which each fails in every way, each way
// in 2 % of its calls.
func (s *soak) mixed() error {
	calmly := script{Delay: 2 * time.Millisecond, Chunks: 16, Gap: 5 * time.Millisecond, Body: 600}
	addrs, stop, err := s.mocks(3, calmly)
	if err != nil {
		return err
	}
	defer stop()
	g, err := s.gate("timeouts: {first_token: 2s, idle: 2s, total: 8s}\n", "", addrs...)
	if err != nil {
		return err
	}
	defer g.stop()
	time.Sleep(calm)
	base, err := leftOf(g)
	if err != nil {
		return err
	}
	faulty := calmly
	faulty.Fault, faulty.Each = mixed, mixedEach
	for _, a := range addrs {
		if _, err := tell(a, faulty); err != nil {
			return err
		}
	}
	unary, stream := ask{bytes: 200}.request(g.addr, clientKey), ask{bytes: 200, chunks: 16}.request(g.addr, clientKey)
	f, memory := g.proc.watched(s.length.faults, func() *flood {
		return pour(g.addr, s.length.faults, func(time.Duration) int { return mixedRate }, func(n int) ([]byte, int) {
			if n%2 == 1 {
				return stream, 16
			}
			return unary, 0
		})
	})
	calls, err := tallyAll(addrs)
	if err != nil {
		return err
	}
	stop() // with their connections
	after, err := s.quiet(g, base)
	if err != nil {
		return err
	}
	start, middle, end := growth(memory)
	rows, err := s.settled(g, f.sent+1)
	if err != nil {
		return err
	}
	s.put("faults", "", "requests", float64(f.sent))
	s.put("faults", "", "lost", float64(f.lost))
	s.put("faults", "", "told", float64(f.told))
	s.put("faults", "", "calls_per_request", float64(calls)/float64(f.sent))
	s.put("faults", "", "rss_growth_mib", end-middle)
	s.report.say("told: %s", listErrors(f.errs))
	s.conclude(flat([]bound{
		{"requests neither answered whole nor told of an error", "%.0f", float64(f.lost), 0},
		{"goroutines more than before", "%.0f", float64(after.routines - base.routines), slack},
		{"descriptors more than before", "%.0f", float64(after.files - base.files), slack},
		{"ledger rows missing or too many", "%.0f", math.Abs(float64(rows - f.sent - 1)), 0},
	}, s.length.faults, middle, end), fmt.Sprintf("%v at %d requests/s, half of them streams; at each of three targets 2 %% of the calls meet each of %s", s.length.faults, mixedRate, strings.Join(faults, ", ")),
		[]string{"requests", "whole", "told", "lost", "calls/request", "p50 ms", "p99 ms", "MiB first third", "middle", "last"},
		[][]string{{fmt.Sprint(f.sent), fmt.Sprint(f.sent - f.told - f.lost), fmt.Sprint(f.told), fmt.Sprint(f.lost), fmt.Sprintf("%.3f", float64(calls)/float64(f.sent)),
			fmt.Sprintf("%.1f", ms(f.times.quantile(0.5))), fmt.Sprintf("%.1f", ms(f.times.quantile(0.99))),
			fmt.Sprintf("%.0f", start), fmt.Sprintf("%.0f", middle), fmt.Sprintf("%.0f", end)}})
	return nil
}

// quiet waits until the gateway has no more open than base.
func (s *soak) quiet(g *subject, base left) (left, error) {
	for end := time.Now().Add(drainFor); ; time.Sleep(100 * time.Millisecond) {
		now, err := leftOf(g)
		if err != nil || now.files <= base.files+slack && now.routines <= base.routines+slack || time.Now().After(end) {
			return now, err
		}
	}
}

// fuzz runs each fuzz target of the gateway's module for a while.
func (s *soak) fuzz() error {
	top, err := moduleRoot("module github.com/sluicegate/sluice")
	if err != nil {
		return err
	}
	list := exec.Command("go", "list", "-f", `{{if .TestGoFiles}}{{.ImportPath}}{{"\t"}}{{.Dir}}{{end}}`, "./...")
	list.Dir = top
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	targets, failed := 0, 0
	for line := range strings.Lines(string(out)) {
		_, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		names, err := fuzzTargets(dir)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, dir)
		for _, name := range names {
			targets++
			cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", s.length.fuzz.String(), ".")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				failed++
				s.report.say("%s %s: %v\n%s", rel, name, err, out)
			}
		}
	}
	s.put("fuzz", "", "targets", float64(targets))
	s.conclude([]bound{{"fuzz targets that failed", "%.0f", float64(failed), 0}},
		fmt.Sprintf("each fuzz target for %v", s.length.fuzz), []string{"targets", "failed"}, [][]string{{fmt.Sprint(targets), fmt.Sprint(failed)}})
	if targets == 0 {
		return errors.New("no fuzz target was found")
	}
	return nil
}

// fuzzTargets are the fuzz targets of the package in dir.
func fuzzTargets(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		found, err := grepFuzz(file)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	return names, nil
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

func grepFuzz(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range fuzzFunc.FindAllSubmatch(b, -1) {
		names = append(names, string(m[1]))
	}
	return names, nil
}
