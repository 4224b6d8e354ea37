//go:build linux

package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	pairs       = 400 // of a request and one that fails over
	failoverMax = 20  // ms that failing over adds at most, p99
	lostMax     = 1   // % of the requests after a target froze
	lostLast    = 3   // s after which none is lost
)

// failover compares, turn by turn, a request that meets a bad target first
// with one that goes to the good target at once. Breakers are off, so that
// every request meets it.
func (s *soak) failover() error {
	direct := ask{bytes: 200, model: "direct"}
	var rows [][]string
	var worst time.Duration
	for _, way := range []string{"refused", "reset", "500", "429", "error", "page"} {
		addrs, stop, err := s.mocks(2, script{Delay: 2 * time.Millisecond, Chunks: 64, Body: 600})
		if err != nil {
			return err
		}
		bad := addrs[0]
		if way == "refused" {
			if bad, err = freeAddr(); err != nil {
				stop()
				return err
			}
		} else if _, err := tell(bad, script{Chunks: 64, Body: 600, Fault: way, Each: 1}); err != nil {
			stop()
			return err
		}
		plain, failed, err := s.compare(bad, addrs[1], direct)
		stop()
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		added := quantile(failed, 0.99) - quantile(plain, 0.99)
		worst = max(worst, added)
		row := append([]string{way}, quantiles(plain)...)
		row = append(append(row, quantiles(failed)...),
			fmt.Sprintf("%.2f", ms(quantile(failed, 0.5)-quantile(plain, 0.5))), fmt.Sprintf("%.2f", ms(added)))
		rows = append(rows, row)
		s.put("failover", way, "added_p50_ms", ms(quantile(failed, 0.5)-quantile(plain, 0.5)))
		s.put("failover", way, "added_p99_ms", ms(added))
	}
	s.conclude([]bound{{"failing over adds, p99, worst of these, ms", "%.2f", ms(worst), failoverMax}},
		fmt.Sprintf("%d requests each, ms: undisturbed, failed over, and the difference", pairs),
		[]string{"first target", "p50", "p99", "failed over p50", "p99", "added p50", "added p99"}, rows)
	return nil
}

// compare returns the times of requests to good alone and of those that meet
// bad first, sorted.
func (s *soak) compare(bad, good string, direct ask) (plain, failed []time.Duration, err error) {
	// cooldown.max 0s: a 429 is met by every request, too
	g, err := s.gate("breaker: {failures: 0, success_rate: 0}\nretry: {budget: 1}\ncooldown: {max: 0s}\n", "  direct: b/"+modelName+"\n", bad, good)
	if err != nil {
		return nil, nil, err
	}
	defer g.stop()
	if _, err := tally(good); err != nil {
		return nil, nil, err
	}
	c := newClient(g.addr, mockBuffer)
	defer c.close()
	reqs := [][]byte{direct.request(g.addr, clientKey), ask{bytes: 200}.request(g.addr, clientKey)}
	var took [2][]time.Duration
	for n := range 20 + pairs {
		for i, req := range reqs {
			begin := time.Now()
			if err := c.ask(req, begin.Add(patience), 0); err != nil {
				return nil, nil, fmt.Errorf("request %d: %w: %s", n, err, g.proc.logTail())
			}
			if n >= 20 { // connections are made
				took[i] = append(took[i], time.Since(begin))
			}
		}
	}
	if calls, err := tally(good); err != nil || calls.Calls != 2*(20+pairs) {
		return nil, nil, fmt.Errorf("the good target got %d calls, want %d (%v)", calls.Calls, 2*(20+pairs), err)
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return took[0], took[1], nil
}

// lost strikes the first of two targets while load goes on.
func (s *soak) lost() error {
	var rows [][]string
	var bounds []bound
	for _, w := range []loss{{"killed", syscall.SIGKILL}, {"frozen", syscall.SIGSTOP}} {
		a, err := s.lose(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		share := 100 * float64(a.early+a.errors) / float64(max(1, a.requests))
		rows = append(rows, []string{w.name, fmt.Sprint(a.requests), fmt.Sprint(a.errors), fmt.Sprintf("%.2f", share), fmt.Sprintf("%.2f", a.last.Seconds()),
			fmt.Sprintf("%.1f", ms(quantile(a.before, 0.99))), fmt.Sprintf("%.1f", ms(quantile(a.after, 0.99))), fmt.Sprintf("%.1f", ms(quantile(a.after, 1))),
			fmt.Sprintf("%.3f", a.callRatio())})
		s.put("lost", w.name, "lost_percent", share)
		s.put("lost", w.name, "last_error_s", a.last.Seconds())
		s.put("lost", w.name, "p99_after_ms", ms(quantile(a.after, 0.99)))
		s.put("lost", w.name, "calls_per_request", a.callRatio())
		if w.signal == syscall.SIGKILL {
			bounds = append(bounds, bound{"target killed, requests lost", "%.0f", float64(a.early + a.errors), 0})
			continue
		}
		bounds = append(bounds, bound{"target frozen, % of the requests lost", "%.2f", share, lostMax},
			bound{"target frozen, last request lost, s after", "%.2f", a.last.Seconds(), lostLast})
	}
	s.conclude(bounds, fmt.Sprintf("%d requests/s, %v before and %v after the loss", failRate, undisturbed, afterLoss),
		[]string{"first target", "requests", "lost", "%", "last lost s", "p99 before ms", "p99 after ms", "max ms", "calls/request"}, rows)
	return nil
}

const (
	stormRate   = 200
	stormLength = 15 * time.Second
	stormCalls  = 1.2 // upstream calls per request, beside the retry budget's floor of 3/s
	stormP99    = 50  // ms, once breakers are open
	// budgetWindow is how far back the retry budget looks.
	budgetWindow = 10 * time.Second
)

// storm counts what two failing targets get of load that goes on: with
// breakers, and without, where the retry budget alone holds.
func (s *soak) storm() error {
	var rows [][]string
	var bounds []bound
	for _, x := range []struct{ name, top string }{{"breakers on", ""}, {"breakers off", "breaker: {failures: 0, success_rate: 0}\n"}} {
		ratio, shots, err := s.stormOf(x.top)
		if err != nil {
			return err
		}
		var answers []time.Duration // refusals are answers
		reached := 0
		for _, shot := range shots {
			if st, ok := shot.err.(statusError); ok && (st == "503" || st == "502") {
				reached++
				if shot.at.Sub(shots[0].at) > 2*time.Second {
					answers = append(answers, shot.took())
				}
			}
		}
		slices.Sort(answers)
		rows = append(rows, append([]string{x.name, fmt.Sprint(len(shots)), fmt.Sprint(len(shots) - reached), fmt.Sprintf("%.3f", ratio)}, quantiles(answers)...))
		s.put("storm", x.name, "calls_per_request", ratio)
		s.put("storm", x.name, "p99_ms", ms(quantile(answers, 0.99)))
		bounds = append(bounds, bound{"storm, " + x.name + ", upstream calls per request", "%.3f", ratio, stormCalls})
		if x.top == "" {
			bounds = append(bounds, bound{"storm, p99 of the refusals, ms", "%.1f", ms(quantile(answers, 0.99)), stormP99})
		}
		if reached < len(shots) {
			s.report.breach(fmt.Sprintf("storm, %s: %d of %d requests got neither 502 nor 503", x.name, len(shots)-reached, len(shots)))
		}
	}
	s.conclude(bounds, fmt.Sprintf("%d requests/s for %v while both targets fail; calls less the budget's floor of 3/s", stormRate, stormLength),
		[]string{"", "requests", "not refused", "calls/request", "refusal p50 ms", "p99 ms"}, rows)
	return nil
}

func (s *soak) stormOf(top string) (ratio float64, shots []shot, err error) {
	addrs, stop, err := s.mocks(2, script{Chunks: 64, Body: 600})
	if err != nil {
		return 0, nil, err
	}
	defer stop()
	g, err := s.gate(top, "", addrs...)
	if err != nil {
		return 0, nil, err
	}
	defer g.stop()
	for _, a := range addrs {
		if _, err := tell(a, script{Chunks: 64, Body: 600, Fault: "500", Each: 1}); err != nil {
			return 0, nil, err
		}
	}
	shots = fire(g.addr, ask{bytes: 200}.request(g.addr, clientKey), stormRate, stormLength)
	calls, err := tallyAll(addrs)
	if err != nil {
		return 0, nil, err
	}
	free := 3 * (stormLength + budgetWindow).Seconds() // a full window's floor may be spent at once
	return max(0, float64(calls)-free) / float64(len(shots)), shots, nil
}
