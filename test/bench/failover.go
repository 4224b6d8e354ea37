//go:build linux

package main

import (
	"fmt"
	"syscall"
	"time"
)

const (
	failRate    = 200                    // requests per second
	vendorDelay = 20 * time.Millisecond  // of both mocks
	undisturbed = 5 * time.Second        // before the loss
	firstSecond = time.Second            // of it, not counted: connections are made
	afterLoss   = 10 * time.Second       // that load goes on for
	waking      = 500 * time.Millisecond // for a frozen mock to read what was sent to it
	killP99     = 20                     // ms above the undisturbed p99
	freezeLost  = 2                      // % of the requests that ended after the loss
	freezeLast  = 5                      // s after the loss, when the last client saw an error
	freezeCalls = 1.2                    // upstream calls per request after the loss
)

// A loss is a way for the primary to be lost.
type loss struct {
	name   string
	signal syscall.Signal
}

// An aftermath is what clients saw from the loss on.
type aftermath struct {
	early    int // errors before the loss
	requests int // that ended after it
	errs     map[string]int
	errors   int
	last     time.Duration // after the loss, when the last error was seen
	lastSent time.Duration // and when that request was due
	before   []time.Duration
	after    []time.Duration
	calls    int64 // upstream, after the loss
	due      int   // requests due after the loss
}

func (l *lab) failoverSection() error {
	l.report.say("\n== failover: %d requests/s, %v before and %v after the loss, clients wait %v", failRate, undisturbed, afterLoss, patience)
	var rows [][]string
	var ends []aftermath
	ways := []loss{{"killed", syscall.SIGKILL}, {"frozen", syscall.SIGSTOP}}
	for _, w := range ways {
		a, err := l.lose(w)
		if err != nil {
			return fmt.Errorf("primary %s: %w", w.name, err)
		}
		ends = append(ends, a)
		last := "-"
		if a.errors > 0 {
			last = fmt.Sprintf("%.2f (sent %.2f)", a.last.Seconds(), a.lastSent.Seconds())
		}
		p0, p1 := ms(quantile(a.before, 0.99)), ms(quantile(a.after, 0.99))
		rows = append(rows, []string{w.name, fmt.Sprint(a.requests), fmt.Sprint(a.errors), last,
			fmt.Sprintf("%.1f", p0), fmt.Sprintf("%.1f", p1), fmt.Sprintf("%.1f", ms(quantile(a.after, 1))), fmt.Sprintf("%.3f", a.callRatio())})
		l.recordLoss(w.name, a)
	}
	l.report.table("after the loss of the primary", []string{"primary", "requests", "errors", "last error s", "p99 before ms", "p99 after ms", "max ms", "calls/request"}, rows)
	for i, w := range ways {
		if e := ends[i].errs; len(e) > 0 {
			l.report.say("%s: %s", w.name, listErrors(e))
		}
	}
	l.report.say("")
	kill, freeze := ends[0], ends[1]
	l.report.atMost("primary killed, client errors", "%.0f", float64(kill.early+kill.errors), 0)
	if len(kill.after) == 0 {
		l.report.breach("primary killed: nothing was answered any more")
	} else {
		l.report.atMost("primary killed, p99 above the undisturbed, ms", "%.1f", ms(quantile(kill.after, 0.99)-quantile(kill.before, 0.99)), killP99)
	}
	l.report.atMost("primary frozen, % of requests lost", "%.2f", 100*float64(freeze.early+freeze.errors)/float64(max(1, freeze.requests)), freezeLost)
	l.report.atMost("primary frozen, last error seen, s after the loss", "%.2f", freeze.last.Seconds(), freezeLast)
	l.report.atMost("primary frozen, upstream calls per request", "%.3f", freeze.callRatio(), freezeCalls)
	return nil
}

func (a aftermath) callRatio() float64 { return float64(a.calls) / float64(max(1, a.due)) }

func (l *lab) recordLoss(way string, a aftermath) {
	put := func(metric string, v float64) {
		l.report.record(reading{"failover", 1, gatewayIs, "primary " + way, metric, v})
	}
	put("requests", float64(a.requests))
	put("errors", float64(a.early+a.errors))
	put("last_error_s", a.last.Seconds())
	put("p99_before_ms", ms(quantile(a.before, 0.99)))
	put("p99_after_ms", ms(quantile(a.after, 0.99)))
	put("calls_per_request", a.callRatio())
}

// lose runs the gateway in front of two mocks and strikes the first while
// load goes on.
func (l *lab) lose(w loss) (aftermath, error) { return l.strike(w, 2, 1, l.startGateway) }

// strike runs the gateway that start starts in front of n mocks and strikes
// the first struck of them while load goes on.
func (l *lab) strike(w loss, n, struck int, start func(mocks ...string) (*subject, error)) (aftermath, error) {
	addrs, mocks := make([]string, n), make([]*process, n)
	for i := range mocks {
		p, addr, err := l.startMock(fmt.Sprintf("mock-%d", i+1))
		if err != nil {
			return aftermath{}, err
		}
		defer p.stop(0)
		if _, err := tell(addr, script{Delay: vendorDelay, Chunks: 64, Body: 600}); err != nil {
			return aftermath{}, err
		}
		mocks[i], addrs[i] = p, addr
	}
	s, err := start(addrs...)
	if err != nil {
		return aftermath{}, err
	}
	defer s.stop()
	type blow struct {
		at  time.Time
		err error
	}
	blows := make(chan blow, 1)
	time.AfterFunc(undisturbed, func() {
		_, err := tallyAll(addrs)
		at := time.Now()
		for _, m := range mocks[:struck] {
			if err == nil {
				err = m.cmd.Process.Signal(w.signal)
			}
		}
		blows <- blow{at, err}
	})
	shots := fire(s.addr, columns[0].request(s.addr, clientKey), failRate, undisturbed+afterLoss)
	hit := <-blows
	if hit.err != nil {
		return aftermath{}, hit.err
	}
	a := judge(shots, hit.at)
	if a.calls, err = callsAfter(w, mocks[:struck], addrs); err != nil {
		return a, err
	}
	return a, nil
}

// tallyAll is the sum of the calls of several mocks since they were last
// asked.
func tallyAll(addrs []string) (n int64, err error) {
	for _, a := range addrs {
		c, err := tally(a)
		if err != nil {
			return n, err
		}
		n += c.Calls
	}
	return n, nil
}

// callsAfter counts the calls that the mocks at addrs got since the loss of
// the first of them. Those that are frozen are woken and read what was sent to
// them; those that were killed got none.
func callsAfter(w loss, struck []*process, addrs []string) (int64, error) {
	n, err := tallyAll(addrs[len(struck):])
	if err != nil || w.signal != syscall.SIGSTOP {
		return n, err
	}
	for _, p := range struck {
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return 0, err
		}
	}
	time.Sleep(waking)
	woken, err := tallyAll(addrs[:len(struck)])
	return n + woken, err
}

// judge sorts shots into before and after the loss, by when they ended.
func judge(shots []shot, lost time.Time) aftermath {
	var a aftermath
	var s sum
	var before, after []shot
	for _, x := range shots {
		if !x.at.Before(lost) {
			a.due++
		}
		switch {
		case !x.end.Before(lost):
			after = append(after, x)
			if x.err == nil {
				continue
			}
			a.errors++
			s.fail(root(x.err), 1)
			if d := x.end.Sub(lost); d >= a.last {
				a.last, a.lastSent = d, x.at.Sub(lost)
			}
		case x.err != nil:
			a.early++
			s.fail("before the loss: "+root(x.err), 1)
		case x.at.Sub(shots[0].at) >= firstSecond:
			before = append(before, x)
		}
	}
	a.requests, a.errs = len(after), s.errs
	a.before, a.after = times(before), times(after)
	return a
}
