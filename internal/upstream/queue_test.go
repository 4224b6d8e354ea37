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

// limit puts limits of each credential in force.
func (t *Target) limited(l Limits) *Target {
	t.Limits = l
	t.Adopt()
	return t
}

// arrival is a request that is asked a while after the test began.
type arrival struct {
	after    time.Duration
	key      string
	priority llm.Priority
}

// arrive asks for all of them and returns the outcomes in their order, and the
// keys in the order in which they were answered.
func (r *rig) arrive(p *Pool, all ...arrival) (out []outcome, order []string) {
	out = make([]outcome, len(all))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, a := range all {
		wg.Go(func() {
			time.Sleep(a.after + time.Duration(i)) // in this order
			req := r.request(false)
			req.Caller = llm.Caller{Key: a.key, Priority: a.priority}
			o := r.ask(context.Background(), p, req)
			mu.Lock()
			out[i] = o
			if o.err == nil {
				order = append(order, a.key)
			}
			mu.Unlock()
		})
	}
	wg.Wait()
	return out, order
}

func several(n int, a arrival) []arrival { return slices.Repeat([]arrival{a}, n) }

func kinds(all []outcome) map[string]int {
	by := map[string]int{}
	for _, o := range all {
		by[o.String()]++
	}
	return by
}

func TestConcurrentIsNeverExceeded(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(100*time.Millisecond)))
		p := r.pool("m", a.limited(Limits{Concurrent: 2}))
		begin := time.Now()
		out, _ := r.arrive(p, several(10, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 10)
		equal(t, "at a time", va.peak["only"], 2)
		equal(t, "in pairs", time.Since(begin).Round(time.Millisecond), 500*time.Millisecond)
		equal(t, "the last has waited", out[9].resp.Target, "p/a")
		equal(t, "told as the queue's time", r.trails[9].Queued.Round(time.Millisecond), 400*time.Millisecond)
	})
}

// A limit is the credential's at all its targets.
func TestConcurrentIsTheCredentials(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Second)))
		b, _ := r.target("p/b", always(fine(0)))
		b.Calls[0].Credential = a.Calls[0].Credential
		b.Calls[0].Cooling = b.State.Cooling(a.Calls[0].Credential)
		one, two := r.pool("one", a.limited(Limits{Concurrent: 1})), r.pool("two", b.limited(Limits{Concurrent: 1}))
		var wg sync.WaitGroup
		wg.Go(func() { r.unary(one) })
		synctest.Wait()
		equal(t, "state of the other", b.Health().State, "full")
		out := r.unary(two)
		equal(t, "answer", out.String(), "oku")
		equal(t, "waited for the first", out.took, time.Second)
		wg.Wait()
		equal(t, "calls", va.count(), 1)
	})
}

func TestQueueEndsHonestly(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Minute)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		var wg sync.WaitGroup
		wg.Go(func() { r.unary(p) })
		synctest.Wait()
		out := r.unary(p)
		equal(t, "outcome", out.String(), "overloaded")
		equal(t, "after", out.took, 2*time.Second)
		if e := out.err; e.RetryAfter <= 0 || e.Final || e.HTTPStatus() != 503 {
			t.Errorf("got %+v, want 503 with Retry-After and not final", e)
		}
		req := r.request(false)
		req.Deadline = time.Now().Add(500 * time.Millisecond)
		equal(t, "a client in a hurry", r.ask(context.Background(), p, req).took, 500*time.Millisecond)
		wg.Wait()
		equal(t, "calls", va.count(), 1)
	})
}

// The wait that is asked for grows with the line.
func TestRetryAfterCountsTheLine(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(time.Second)))
		a.Timeouts.Queue = time.Minute
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		var wg sync.WaitGroup
		wg.Go(func() { r.arrive(p, several(20, arrival{key: "k"})...) })
		time.Sleep(5500 * time.Millisecond) // 14 in line, one a second leaves it
		b := *a
		b.Timeouts.Queue = time.Millisecond
		out := r.unary(r.pool("hasty", &b))
		if got := out.err.RetryAfter.Round(time.Second); got != 15*time.Second {
			t.Errorf("Retry-After: got %v, want 15s", got)
		}
		equal(t, "depth", a.Health().Waiting, 14)
		wg.Wait()
	})
}

// A rate admits a minute's worth at once, then as much as flows in.
func TestRate(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0)))
		p := r.pool("m", a.limited(Limits{RPM: 60}))
		out, _ := r.arrive(p, several(70, arrival{key: "k"})...)
		equal(t, "the burst and two that were paced", kinds(out)["oku"], 62)
		equal(t, "refused", kinds(out)["rate_limited"], 8)
		for i, at := range va.times {
			want := time.Duration(0)
			if i >= 60 {
				want = time.Duration(i-59) * time.Second
			}
			if got := at.Round(100 * time.Millisecond); got != want {
				t.Errorf("call %d: got %v, want %v", i, got, want)
			}
		}
		if e := out[69].err; e == nil || e.RetryAfter <= 0 {
			t.Errorf("refused with %+v, want when to come back", e)
		}
		h := a.Health()
		equal(t, "state", h.State, "cooldown")
		equal(t, "reason", h.Reason, "limits.rpm is reached")
	})
}

func TestBucket(t *testing.T) {
	const minute = int64(time.Minute)
	for _, c := range []struct {
		name      string
		perMinute int64
		n         []int64 // taken one after another
		want      []int64 // when each may be taken
	}{
		{"no limit", 0, []int64{1, 1e9}, []int64{0, 0}},
		{"one a minute", 1, []int64{1, 1, 1}, []int64{0, minute, 2 * minute}},
		{"a burst, then one by one", 3, []int64{1, 1, 1, 1, 1}, []int64{0, 0, 0, 20 * sec, 40 * sec}},
		{"tokens", 1000, []int64{900, 200, 500}, []int64{0, 6 * sec, 36 * sec}},
		{"more than a minute's worth waits for a full bucket", 1000, []int64{5000, 1, 1000}, []int64{0, 4*minute + 60*sec/1000, 5*minute + 60*sec/1000}},
		{"given back", 60, []int64{60, -30, 30, 1}, []int64{0, 0, 0, sec}},
		{"uneven", 7, []int64{1, 1, 1, 1, 1, 1, 1}, make([]int64, 7)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bucket
			for i, n := range c.n {
				if n > 0 {
					equal(t, fmt.Sprintf("take %d", i), b.at(0, c.perMinute, n), c.want[i])
				}
				b.take(0, c.perMinute, n)
			}
		})
	}
}

// Tokens are reserved by an estimate, which is corrected at the end.
func TestTokens(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(0))) // takes 10 + 5 tokens
		p := r.pool("m", a.limited(Limits{TPM: 600}))
		for range 39 { // the first is expected to take 11 + 256, the others 11 + 5
			equal(t, "answer", r.unary(p).took, 0)
		}
		equal(t, "one token is missing", r.unary(p).took.Round(time.Millisecond), 100*time.Millisecond)
		equal(t, "then sixteen less the one not taken", r.unary(p).took.Round(time.Millisecond), 1500*time.Millisecond)
		equal(t, "calls", va.count(), 41)
	})
}

func TestQueueIsFairBetweenKeys(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(100*time.Millisecond)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		all := append(several(100, arrival{key: "noisy"}), several(5, arrival{after: 50 * time.Millisecond, key: "quiet"})...)
		out, order := r.arrive(p, all...)
		for i, o := range out[100:] {
			if o.err != nil || o.took > 1100*time.Millisecond {
				t.Errorf("quiet %d: %v after %v, want an answer in its turn", i, o, o.took)
			}
		}
		equal(t, "served in turn", fmt.Sprint(order[1:7]), "[noisy quiet noisy quiet noisy quiet]")
	})
}

func TestQueueByPriority(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(100*time.Millisecond)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		_, order := r.arrive(p,
			arrival{key: "first"},
			arrival{key: "batch", priority: llm.PriorityBatch},
			arrival{key: "normal"},
			arrival{after: 50 * time.Millisecond, key: "critical", priority: llm.PriorityCritical},
		)
		equal(t, "order", fmt.Sprint(order), "[first critical normal batch]")
	})
}

// However many more important requests come, every so often it is a lesser
// one's turn.
func TestBatchIsNotStarved(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(10*time.Millisecond)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		all := append(several(40, arrival{key: "critical", priority: llm.PriorityCritical}), several(40, arrival{key: "normal"})...)
		all = append(all, several(10, arrival{key: "batch", priority: llm.PriorityBatch})...)
		for i := range 100 { // and more all the time
			all = append(all, arrival{after: time.Duration(i) * 10 * time.Millisecond, key: "critical", priority: llm.PriorityCritical})
		}
		_, order := r.arrive(p, all...)
		passed := map[string]int{}
		for i, k := range order[1:80] {
			for _, lesser := range []string{"normal", "batch"} {
				if passed[lesser]++; k == lesser {
					passed[lesser] = 0
				}
				if most := 2 * (maxPassed + 1); passed[lesser] > most {
					t.Fatalf("at %d: %s was passed over %d times in a row, want at most %d: %v", i, lesser, passed[lesser], most, order)
				}
			}
		}
	})
}

func TestClientLeavesTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Second)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		var wg sync.WaitGroup
		wg.Go(func() { r.unary(p) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		wg.Go(func() {
			out := r.ask(ctx, p, r.request(true))
			equal(t, "outcome", out.String(), "canceled")
			equal(t, "at once", out.took, 100*time.Millisecond)
		})
		synctest.Wait()
		equal(t, "in line", a.Health().Waiting, 1)
		time.Sleep(100 * time.Millisecond)
		cancel()
		synctest.Wait()
		equal(t, "in line afterwards", a.Health().Waiting, 0)
		wg.Wait()
		equal(t, "the slot is free", r.unary(p).took, time.Second)
		equal(t, "calls", va.count(), 2)
	})
}

// A full line refuses the key that fills it, and no other.
func TestQueueIsBounded(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(time.Second)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		all := several(maxWaiting+101, arrival{key: "noisy"})
		all = append(all, arrival{after: time.Millisecond, key: "quiet"}, arrival{after: time.Millisecond, key: "critical", priority: llm.PriorityCritical})
		var depth int64
		var wg sync.WaitGroup
		wg.Go(func() { time.Sleep(10 * time.Millisecond); depth = a.Health().Waiting })
		out, order := r.arrive(p, all...)
		wg.Wait()
		equal(t, "in line", depth, maxWaiting)
		equal(t, "order", fmt.Sprint(order), "[noisy critical noisy]")
		n := 0
		for _, o := range out {
			if o.err != nil && o.took < time.Second {
				n++
				if o.err.Kind != llm.KindOverloaded || o.err.RetryAfter <= 0 {
					t.Fatalf("refused with %+v, want overloaded and when to come back", o.err)
				}
			}
		}
		equal(t, "refused at once", n, 102)
		equal(t, "the quiet one had its place", out[len(out)-2].took.Round(time.Millisecond), 2*time.Second)
	})
}

// Who is full is passed by; only where all are is there a line.
func TestFullTargetsArePassedBy(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Second)))
		b, vb := r.target("q/b", always(fine(time.Second)))
		f, vf := r.target("z/f", always(fine(1500*time.Millisecond)))
		one := Limits{Concurrent: 1}
		p := r.pool("m", a.limited(one), b.limited(one))
		p.Fallback = []*Pool{r.pool("other", f.limited(one))}
		out, _ := r.arrive(p, several(5, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 5)
		equal(t, "calls of the first", va.count(), 2)
		equal(t, "calls of the second", vb.count(), 2)
		equal(t, "calls of the fallback", vf.count(), 1)
		equal(t, "the third", out[2].resp.FallbackFrom, "m")
		equal(t, "the fourth is back at the model", out[3].resp.FallbackFrom, "")
		equal(t, "took", out[3].took.Round(time.Millisecond), 2*time.Second)
	})
}

// A slot that comes free while its target fails is no one's.
func TestBrokenTargetsAreNotWaitedFor(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Second)))
		p := r.pool("m", a.limited(Limits{Concurrent: 1}))
		tell(&a.State.Breaker, r.reg.now(), repeat(5, Failure)...)
		out := r.unary(p)
		equal(t, "outcome", out.String(), "overloaded")
		equal(t, "at once", out.took, 0)
		equal(t, "calls", va.count(), 0)
	})
}

// What fails after it has waited is tried elsewhere, and holds no slot.
func TestFailureAfterTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(fine(time.Second), failing(llm.KindUpstream), fine(0)))
		b, _ := r.target("q/b", inTurn(fine(1200*time.Millisecond), fine(0)))
		one := Limits{Concurrent: 1}
		out, _ := r.arrive(r.pool("m", a.limited(one), b.limited(one)), several(3, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 3)
		equal(t, "by the second, when it had room", out[2].resp.Target, "q/b")
		equal(t, "took", out[2].took.Round(time.Millisecond), 1200*time.Millisecond)
		equal(t, "calls of the first", va.count(), 2)
	})
}

func TestLimitsChange(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(fine(time.Second)))
		p := r.pool("m", a) // no limits yet
		var wg sync.WaitGroup
		wg.Go(func() { r.arrive(p, several(5, arrival{key: "k"})...) })
		time.Sleep(time.Millisecond)
		equal(t, "without limits", a.State.InFlight(), 5)
		a.limited(Limits{Concurrent: 3}) // more are under way
		wg.Go(func() { r.arrive(p, several(6, arrival{key: "k"})...) })
		time.Sleep(time.Millisecond)
		equal(t, "in line", a.Health().Waiting, 6)
		a.limited(Limits{Concurrent: 6})
		synctest.Wait()
		equal(t, "one more at once", a.State.InFlight(), 6)
		a.limited(Limits{})
		synctest.Wait()
		equal(t, "all", a.State.InFlight(), 11)
		wg.Wait()
		equal(t, "calls", va.count(), 11)
	})
}

// The number of calls at a time falls by what was refused, once for what was
// under way, and comes back.
func TestAdaptiveSlots(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", func(n int) script {
			if n < 20 && n >= 10 { // ten of twenty at a time are too many
				return script{wait: 100 * time.Millisecond, err: limited(time.Millisecond).err}
			}
			return fine(200 * time.Millisecond)
		})
		a.Timeouts.Queue = time.Minute
		p := r.pool("m", a)
		c := &a.Calls[0]
		var wg sync.WaitGroup
		wg.Go(func() { r.arrive(p, several(20, arrival{key: "k"})...) })
		time.Sleep(150 * time.Millisecond)
		equal(t, "after the first refusal of twenty", c.slots(), 14)
		wg.Wait()
		va.set(always(fine(100 * time.Millisecond)))
		va.peak["only"] = 0
		out, _ := r.arrive(p, several(100, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 100)
		if peak := va.peak["only"]; peak < 14 || peak > 30 {
			t.Errorf("at a time: got %d, want about what was not refused", peak)
		}
		for range 30 {
			r.arrive(p, several(10, arrival{key: "k"})...)
		}
		equal(t, "forgotten", c.slots(), 0)
		equal(t, "nothing to ask for", c.Credential.bounded.Load(), false)
	})
}

func TestAdaptiveSlotsTable(t *testing.T) {
	set := func(inFlight int64) (*Call, *Cooling) {
		reg := NewRegistry()
		cr := reg.Credential("c", "1")
		c := &Call{Credential: cr, Cooling: reg.State("p/a").Cooling(cr)}
		c.Cooling.inFlight.Store(inFlight)
		return c, c.Cooling
	}
	for _, x := range []struct {
		name     string
		inFlight int64
		quota    *llm.Quota
		refusals int // of calls that began together
		want     int64
	}{
		{"of ten seven", 10, nil, 1, 7},
		{"those under way say nothing new", 10, nil, 9, 7},
		{"of two one", 2, nil, 1, 1},
		{"one alone says nothing", 1, nil, 1, 0},
		{"a spent rate is no matter of slots", 10, &llm.Quota{Requests: llm.Window{Limit: 5, Reset: time.Minute}}, 1, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, k := set(x.inFlight)
			if x.quota != nil {
				k.tell(sec, x.quota, time.Hour)
			}
			for range x.refusals {
				c.refused(2*sec, sec)
			}
			equal(t, "slots", c.slots(), x.want)
		})
	}
	c, _ := set(10)
	c.Credential.limit(Limits{Concurrent: 5})
	c.refused(2*sec, sec)
	equal(t, "never above what is configured", c.slots(), 5)
	for range growAfter {
		c.succeeded()
	}
	equal(t, "one more after ten", c.Cooling.most, 8)
}

// leaves answers with what is left of the vendor's quota of requests, whose
// limit it does not tell.
func leaves(left int64, reset time.Duration) script { return leavesOf(0, left, reset) }

// leavesOf tells the limit, too.
func leavesOf(limit, left int64, reset time.Duration) script {
	s := fine(0)
	s.quota = &llm.Quota{Requests: llm.Window{Limit: limit, Remaining: left, Reset: reset}}
	return s
}

// A vendor's refusal is what the client is told, though by then fewer calls at a
// time may be made and another takes the slot.
func TestRefusalIsTold(t *testing.T) {
	for kind, want := range map[llm.Kind]llm.Kind{llm.KindRateLimited: llm.KindRateLimited, llm.KindCredential: llm.KindUpstream} {
		virtual(t, func(t *testing.T, r *rig) {
			refusal := failing(kind)
			refusal.wait = time.Second
			a, _ := r.target("p/a", inTurn(fine(10*time.Second), refusal), "k1")
			a.Cooldown = Cooldown{}
			p := r.pool("m", a)
			go r.unary(p)
			synctest.Wait()
			time.AfterFunc(500*time.Millisecond, func() { a.Calls[0].Credential.limit(Limits{Concurrent: 1}) })
			out := r.unary(p)
			if out.err == nil || out.err.Kind != want {
				t.Errorf("%v while another call takes the slot: got %v, want %v", kind, out.err, want)
			}
			time.Sleep(20 * time.Second)
			r.settled()
		})
	}
}

// What a vendor said of its quotas, and how many calls were too many, is
// forgotten by the operator's order; who waits for it goes on.
func TestResetForgetsQuotas(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", inTurn(leaves(0, 30*time.Second), fine(0)), "k1")
		p := r.pool("m", a)
		equal(t, "first", r.unary(p).resp.Target, "p/a")
		equal(t, "state", a.Health().State, "cooldown")
		c := &a.Calls[0]
		c.Credential.mu.Lock()
		c.Cooling.most, c.Cooling.enough = 1, 4
		c.Credential.adaptive++
		c.Credential.bound()
		c.Credential.mu.Unlock()
		a.Reset()
		equal(t, "state", a.Health().State, "closed")
		equal(t, "slots", c.slots(), 0)
		equal(t, "asked for limits", c.Credential.bounded.Load(), false)
		equal(t, "at once", r.unary(p).resp.Target, "p/a")
	})
}

// A request that makes several calls at a time has a slot for each, and counts as
// so many calls a minute. Alone it may make more than there are slots.
func TestFanTakesItsCalls(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		calls  int64
		want   [3]time.Duration // when each of three begins that last a second
	}{
		{"two of two at a time", Limits{Concurrent: 4}, 2, [3]time.Duration{0, 0, time.Second}},
		{"three do not fit twice", Limits{Concurrent: 4}, 3, [3]time.Duration{0, time.Second, 2 * time.Second}},
		{"sixteen alone", Limits{Concurrent: 4}, 16, [3]time.Duration{0, time.Second, 2 * time.Second}},
		{"calls a minute", Limits{RPM: 60}, 30, [3]time.Duration{0, 0, 30 * time.Second}},
		{"no limit", Limits{}, 16, [3]time.Duration{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, va := r.target("p/a", always(fine(time.Second)))
				a.Limits, a.Timeouts.Queue = c.limits, time.Minute
				a.Fan = func(*llm.Request) int64 { return c.calls }
				a.Adopt()
				out, _ := r.arrive(r.pool("m", a), several(3, arrival{key: "k"})...)
				equal(t, "answered", kinds(out)["oku"], 3)
				for i, at := range va.times {
					equal(t, "begins", at.Round(time.Millisecond), c.want[i])
				}
			})
		})
	}
}

// A spent quota whose limit is told refills: at 500 a minute there is one after
// 120 ms, and what begins is taken off what flows in.
func TestSpentQuotaRefills(t *testing.T) {
	const unit = 120 * time.Millisecond
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(leavesOf(500, 0, time.Minute), fine(0)), "k1")
		p := r.pool("m", a)
		equal(t, "first", r.unary(p).resp.Target, "p/a")
		h := a.Health()
		equal(t, "state", h.State, "cooldown")
		equal(t, "for", h.Wait, unit)
		equal(t, "left", h.Credentials[0].Requests, 0)
		out, _ := r.arrive(p, several(5, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 5)
		for i, at := range va.times[1:] {
			equal(t, "at", at, time.Duration(i+1)*unit)
		}
		time.Sleep(10*unit + unit/2)
		equal(t, "flowed in", a.Health().Credentials[0].Requests, 10)
		time.Sleep(time.Minute)
		equal(t, "whole", a.Health().Credentials[0].Requests, -1)
	})
}

// A credential of which nothing is left rests, by the vendor's own word: until
// the reset where it does not tell the limit.
func TestSpentQuotaRests(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(leaves(0, 30*time.Second), leaves(50, time.Minute)), "k1")
		b, _ := r.target("q/b", always(fine(0)))
		p := r.pool("m", a, b)
		equal(t, "first", r.unary(p).resp.Target, "p/a")
		h := a.Health()
		equal(t, "state", h.State, "cooldown")
		equal(t, "reason", h.Reason, "the vendor's quota of requests is used up")
		equal(t, "for", h.Wait, 30*time.Second)
		equal(t, "breaker", h.Phase, Closed)
		equal(t, "then", r.unary(p).resp.Target, "q/b")
		time.Sleep(30 * time.Second)
		equal(t, "afterwards", r.unary(p).resp.Target, "p/a")
		equal(t, "left", a.Health().Credentials[0].Requests, 50)
		equal(t, "calls", va.count(), 2)
	})
}

// The other credential of the provider goes on.
func TestSpentQuotaIsTheCredentials(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(leaves(0, 30*time.Second), leaves(10, time.Minute)), "k1", "k2")
		p := r.pool("m", a)
		for range 5 {
			equal(t, "at once", r.unary(p).took, 0)
		}
		equal(t, "with the spent one", va.by["k1"], 1)
		equal(t, "with the other", va.by["k2"], 4)
	})
}

// Calls that begin before the vendor tells more are taken off what it told.
func TestQuotaIsPaced(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		later := leaves(50, time.Minute)
		later.wait = 100 * time.Millisecond
		a, va := r.target("p/a", inTurn(leaves(3, time.Minute), later))
		p := r.pool("m", a)
		r.unary(p)
		out, _ := r.arrive(p, several(9, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 9)
		early := 0
		for _, at := range va.times[1:] {
			if at < 100*time.Millisecond {
				early++
			}
		}
		equal(t, "before more was told", early, 3)
	})
}

// A short rest is waited for; a long one is told at once.
func TestRestIsWaitedFor(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", inTurn(leaves(0, 1500*time.Millisecond), leaves(0, 3*time.Second)))
		p := r.pool("m", a)
		r.unary(p)
		equal(t, "waited", r.unary(p).took, 1500*time.Millisecond)
		out := r.unary(p)
		equal(t, "outcome", out.String(), "rate_limited")
		equal(t, "at once", out.took, 0)
		equal(t, "retry after", out.err.RetryAfter, 3*time.Second)
		equal(t, "calls", va.count(), 2)
	})
}

func TestQuotaOff(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, va := r.target("p/a", always(leaves(0, time.Minute)))
		a.Cooldown.Max = 0
		for range 3 {
			equal(t, "answer", r.unary(r.pool("m", a)).took, 0)
		}
		equal(t, "calls", va.count(), 3)
	})
}

// TestRandomQueues throws random arrivals, limits, faults, cancellations and
// reloads at credentials that several targets share. At every look nobody waits
// for what is free, no limit is exceeded, no line is longer than it may be, and
// in the end nothing is left. SLUICE_SOAK=1 makes it long.
func TestRandomQueues(t *testing.T) {
	runs := uint64(1000)
	if testing.Short() || raced {
		runs = 100
	}
	if os.Getenv("SLUICE_SOAK") == "1" {
		runs = 100_000
	}
	for seed := range runs {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) { crowd(t, r, rand.New(rand.NewPCG(seed, 11))) })
		}) {
			return
		}
	}
}

func crowd(t *testing.T, r *rig, rnd *rand.Rand) {
	var mu sync.Mutex // of rnd
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	answer := func(int) script {
		d := time.Duration(draw(400)) * time.Millisecond
		switch draw(12) {
		case 0:
			return script{wait: d, err: limited(time.Duration(draw(800)) * time.Millisecond).err}
		case 1:
			return script{wait: d, err: failing(llm.KindUpstream).err}
		case 2:
			return failing(llm.KindConnect)
		case 3:
			s := leavesOf(int64(20*draw(2)), int64(draw(4)), time.Duration(1+draw(1500))*time.Millisecond)
			s.wait = d
			return s
		}
		return fine(d)
	}
	limits := func() Limits {
		return [...]Limits{
			{Concurrent: int64(1 + draw(3))}, {RPM: int64(60 + draw(600))}, {TPM: int64(500 + draw(5000))}, {},
			{Concurrent: int64(1 + draw(3)), RPM: int64(60 + draw(600)), TPM: int64(500 + draw(5000))},
		}[draw(5)]
	}
	var targets []*Target
	var pools []*Pool
	most := map[*Credential]int64{} // by mu: the largest limit that was in force; 0: for a time none
	adopt := func(l Limits, all ...*Target) {
		mu.Lock()
		defer mu.Unlock()
		for _, x := range all {
			x.limited(l)
			for i := range x.Calls {
				cr := x.Calls[i].Credential
				if m, ok := most[cr]; l.Concurrent == 0 || ok && m == 0 {
					most[cr] = 0
				} else {
					most[cr] = max(m, l.Concurrent)
				}
			}
		}
	}
	for n := range 1 + draw(3) { // providers
		var mine []*Target
		for i := range 1 + draw(2) {
			x, _ := r.target(fmt.Sprintf("p%d/%d", n, i), answer, []string{"k1", "k2", "k3"}[:1+draw(3)]...)
			if i > 0 { // the same credentials
				x.Calls = x.Calls[:min(len(x.Calls), len(mine[0].Calls))]
				for j := range x.Calls {
					cr := mine[0].Calls[j].Credential
					x.Calls[j].Credential, x.Calls[j].Cooling = cr, x.State.Cooling(cr)
				}
			}
			x.Breaker = BreakerSettings{} // has a test of its own
			x.Timeouts.Queue = time.Duration(1+draw(3000)) * time.Millisecond
			mine = append(mine, x)
		}
		adopt(limits(), mine...)
		targets = append(targets, mine...)
	}
	for m := range 1 + draw(3) {
		var members []any
		for _, i := range rnd.Perm(len(targets))[:1+draw(len(targets))] {
			members = append(members, targets[i])
		}
		pools = append(pools, r.pool(fmt.Sprint("m", m), members...))
	}
	if len(pools) > 1 {
		pools[0].Fallback = pools[1:2]
	}
	over := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Duration(1+draw(200))*time.Millisecond + 137): // at no other timer's instant
			}
			synctest.Wait()
			mu.Lock()
			look(t, r, most)
			mu.Unlock()
		}
	})
	var wg sync.WaitGroup
	for range 10 + draw(120) {
		p, key, priority := pools[draw(len(pools))], fmt.Sprint("k", draw(4)), llm.Priority(draw(3)-1)
		leave := time.Duration(draw(8)) * 400 * time.Millisecond // 0: never
		wg.Go(func() {
			ctx := context.Background()
			if leave > 0 {
				c, cancel := context.WithTimeout(ctx, leave)
				defer cancel()
				ctx = c
			}
			req := r.request(draw(2) == 0)
			req.Caller = llm.Caller{Key: key, Priority: priority}
			r.ask(ctx, p, req)
		})
		if draw(3) > 0 {
			time.Sleep(time.Duration(draw(60)) * time.Millisecond)
		}
		if draw(30) == 0 {
			l := limits()
			for _, x := range targets {
				adopt(l, x)
			}
		}
	}
	wg.Wait()
	close(over)
	looking.Wait()
	synctest.Wait()
}

// look checks all credentials while nothing moves.
func look(t *testing.T, r *rig, most map[*Credential]int64) {
	r.reg.room.Lock()
	defer r.reg.room.Unlock()
	now := r.reg.now()
	for _, cr := range r.reg.creds {
		if m := most[cr]; m > 0 && cr.inFlight.Load() > m {
			t.Errorf("%s: %d at a time, want at most %d", cr.ID, cr.inFlight.Load(), m)
		}
		if cr.line.n > maxWaiting {
			t.Errorf("%s: %d in line", cr.ID, cr.line.n)
		}
		before := cr.inFlight.Load()
		if w := cr.next(now); w != nil {
			t.Errorf("%s at %v: a request of %s waits since %v for what is free (%d under way, %+v)", cr.ID, time.Duration(now), w.key, time.Duration(now-w.since), before, cr.limits)
		}
	}
}

// Time in a call is no time in line, and who has stood in line has the fallback
// models still.
func TestFallbackAfterTheQueue(t *testing.T) {
	boom := script{wait: 5 * time.Second, err: &llm.Error{Kind: llm.KindUpstream, Message: "boom"}}
	one := Limits{Concurrent: 1}
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", inTurn(fine(100*ms), boom))
		b, vb := r.target("q/b", inTurn(fine(time.Second), fine(0)))
		p := r.pool("m", a.limited(one))
		p.Fallback = []*Pool{r.pool("other", b.limited(one))}
		out, _ := r.arrive(p, several(3, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 3)
		equal(t, "by the fallback", out[2].resp.Target, "q/b")
		equal(t, "took", out[2].took.Round(ms), 5100*ms)
		equal(t, "calls of the fallback", vb.count(), 2)
	})
	virtual(t, func(t *testing.T, r *rig) { // the fallback has room later only
		a, _ := r.target("p/a", inTurn(fine(100*ms), boom))
		b, _ := r.target("q/b", inTurn(fine(6*time.Second), fine(0)))
		p := r.pool("m", a.limited(one))
		p.Fallback = []*Pool{r.pool("other", b.limited(one))}
		out, _ := r.arrive(p, several(3, arrival{key: "k"})...)
		equal(t, "answered", kinds(out)["oku"], 3)
		equal(t, "by the fallback", out[2].resp.Target, "q/b")
		equal(t, "took", out[2].took.Round(ms), 6*time.Second)
		if q := r.trails[2].Queued.Round(ms); q != time.Second {
			t.Errorf("in line: %v, want 1 s", q)
		}
	})
}
