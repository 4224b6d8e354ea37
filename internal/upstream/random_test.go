package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// TestRandomSchedules throws random faults, delays, cancellations and reloads
// at random pools. Whatever happens: each request ends once and is settled
// once, calls stay within attempts and budget, nothing is called after content,
// no clean answer is short, and afterwards every target can be asked again.
// SLUICE_SOAK=1 makes it long.
func TestRandomSchedules(t *testing.T) {
	runs := uint64(300)
	if testing.Short() {
		runs = 40
	}
	if os.Getenv("SLUICE_SOAK") == "1" {
		runs = 100_000
	}
	for seed := range runs {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) { schedule(t, r, rand.New(rand.NewPCG(seed, 7))) })
		}) {
			return
		}
	}
}

// whole is what an answer reads like when nothing is missing.
const whole = "role,one :\n\ntwo three u"

func schedule(t *testing.T, r *rig, rnd *rand.Rand) {
	var mu sync.Mutex // of rnd
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	healed := false
	answer := func(int) script {
		if healed {
			return healthy(time.Millisecond)
		}
		return fault(draw)
	}
	var pools []*Pool
	var targets []*Target
	for m := range 1 + draw(3) {
		var members []any
		for n := range 1 + draw(4) {
			x, _ := r.target(fmt.Sprintf("p%d/%d", m, n), answer, []string{"k1", "k2", "k3"}[:1+draw(3)]...)
			x.Timeouts = Timeouts{FirstToken: 3 * time.Second, Idle: 2 * time.Second, Total: 5 * time.Second, Stream: 20 * time.Second}
			x.Breaker.Failures = 1 + draw(5)
			x.Context = 1000 * (1 + draw(3))
			x.Limits = Limits{Concurrent: int64(draw(6)), RPM: int64(draw(3) * 100), TPM: int64(draw(3) * 20_000)}
			x.Timeouts.Queue = 2 * time.Second
			x.Adopt()
			members, targets = append(members, x), append(targets, x)
		}
		p := r.pool(fmt.Sprint("m", m), members...)
		p.Policy = Policy{Attempts: 1 + draw(4), Budget: float64(draw(4)) / 10}
		pools = append(pools, p)
	}
	for i, p := range pools {
		for j, f := range pools {
			if i != j && draw(2) == 0 {
				p.Fallback = append(p.Fallback, f)
			}
		}
	}
	begin := time.Now()
	asked := 0
	var wg sync.WaitGroup
	for range 4 + draw(60) {
		p, stream, leave, limit := pools[draw(len(pools))], draw(2) == 0, draw(8) == 0, draw(10) == 0
		after := time.Duration(draw(4000)) * time.Millisecond
		asked++
		wg.Go(func() {
			ctx := context.Background()
			if leave {
				c, cancel := context.WithTimeout(ctx, after)
				defer cancel()
				ctx = c
			}
			req := r.request(stream)
			if limit {
				req.Deadline = time.Now().Add(after + time.Millisecond)
			}
			out := r.ask(ctx, p, req)
			judge(t, p, out)
		})
		time.Sleep(time.Duration(draw(300)) * time.Millisecond)
		if draw(10) == 0 {
			for _, x := range targets {
				x.Adopt()
			}
		}
	}
	wg.Wait()
	calls := 0
	free := 0
	for _, tr := range r.trails {
		for i := range tr.Attempts() {
			calls++
			if i == 0 || nothing(tr.Attempts()[i-1]) { // pays nothing
				free++
			}
		}
	}
	seconds := int(time.Since(begin)/time.Second) + budgetWindow + 1
	if most := float64(free) + 0.3*float64(asked) + float64(len(pools)*budgetFloor*seconds); float64(calls) > most {
		t.Errorf("%d calls for %d requests, want at most %.0f", calls, asked, most)
	}

	healed = true // every target comes back by itself
	time.Sleep(11 * time.Minute)
	for _, x := range targets {
		p := r.pool("alone "+x.ID, x)
		if out := r.streamed(p); out.text != whole {
			t.Errorf("target %s after all is well: %v; %+v", x.ID, out, x.Health())
		}
		equal(t, "phase of "+x.ID, phase(x), Closed)
	}
	synctest.Wait()
}

// judge checks what one client saw against the pool's rules.
func judge(t *testing.T, p *Pool, out outcome) {
	t.Helper()
	if out.err == nil && out.text != whole {
		t.Errorf("a clean answer reads %q", out.text)
	}
	by := map[string]int{}
	for i, a := range out.attempts {
		by[a.Model]++
		if !a.First.IsZero() && i < len(out.attempts)-1 {
			t.Errorf("a call was made after content: %s, then %d more", a.Target, len(out.attempts)-1-i)
		}
		if nothing(a) {
			by[a.Model]-- // costs none in the first round
		}
		if a.Outcome == llm.KindUnsupported.String() && slices.ContainsFunc(out.attempts[:i], func(b *llm.Attempt) bool {
			return b.Target == a.Target && b.Outcome == a.Outcome
		}) {
			t.Errorf("%s cannot be asked this, and was asked twice", a.Target)
		}
	}
	for m, n := range by {
		if n > p.Policy.Attempts {
			t.Errorf("%d calls within %s, want at most %d", n, m, p.Policy.Attempts)
		}
	}
	if out.err != nil && out.err.Final && (out.err.Kind != llm.KindOverloaded || out.err.RetryAfter <= 0) {
		t.Errorf("final without all being open: %+v", out.err)
	}
	if out.took > 23*time.Second { // two of them in line
		t.Errorf("took %v", out.took)
	}
}

// nothing reports whether nothing of the request went to the vendor.
func nothing(a *llm.Attempt) bool {
	return a.Outcome == llm.KindConnect.String() || a.Outcome == llm.KindUnsupported.String()
}

func healthy(d time.Duration) script {
	return script{wait: d, steps: []step{data(0, "role,"), content(d, "one "), comment(0), content(d, "two "), content(d, "three "), counted(10, 5)}}
}

// fault draws what a vendor does: half of the time it answers.
func fault(draw func(int) int) script {
	d := time.Duration(draw(500)) * time.Millisecond
	cut := &llm.Error{Kind: llm.KindUpstream, Message: "cut"}
	s := healthy(d)
	switch draw(16) {
	case 0:
		return script{wait: forever}
	case 1:
		return script{wait: d, err: cut}
	case 2:
		return limited(time.Duration(draw(5000)) * time.Millisecond)
	case 3:
		return failing(llm.KindConnect)
	case 4:
		return failing([]llm.Kind{llm.KindCredential, llm.KindCredit, llm.KindCaller, llm.KindContextLength, llm.KindUnsupported}[draw(5)])
	case 5: // breaks somewhere
		s.steps = append(s.steps[:draw(len(s.steps))], step{after: d, err: cut})
	case 6: // falls silent somewhere
		s.steps = append(s.steps[:draw(len(s.steps))], step{after: forever})
	case 7: // is slow somewhere
		s.steps[draw(len(s.steps))].after = time.Duration(draw(6000)) * time.Millisecond
	}
	return s
}
