package route

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// simulated is a vendor in a simulation: the real pool asks it in virtual time.
type simulated interface {
	// answer waits for as long as the first token takes. more waits for further
	// ones; it returns io.EOF after the last. end is called once.
	answer(ctx context.Context, at time.Duration, n int) (more func(context.Context) error, end func(), err error)
}

// simulation is a pool of one strategy over simulated vendors, and what its
// clients saw.
type simulation struct {
	strategy string
	vendors  []simulated
	engines  bool
	rate     float64       // requests a second
	length   time.Duration // of the arrivals
	warm     time.Duration // what comes before is not counted
	seed     uint64
	prompt   func(n int) llm.Body
	tick     func(now time.Duration, targets []*upstream.Target) // every second

	mu    sync.Mutex
	first []time.Duration // time to the first token of what succeeded
	whole []time.Duration // and to its end
	total int
	well  int
	calls [][]simCall // by vendor
}

// simCall is one call to a vendor, for request n.
type simCall struct {
	at time.Duration
	n  int
}

// settings are the gateway's defaults (CONTRACT §2).
var (
	simTimeouts = upstream.Timeouts{FirstToken: 60 * time.Second, Idle: 60 * time.Second, Total: 10 * time.Minute, Stream: 30 * time.Minute}
	simBreaker  = upstream.BreakerSettings{Failures: 5, SuccessRate: 0.5, Window: 30 * time.Second, MinRequests: 20, Cooldown: 30 * time.Second}
)

// run runs the simulation in virtual time. It is repeatable from its seed.
func (s *simulation) run(t *testing.T) {
	t.Helper()
	s.calls = make([][]simCall, len(s.vendors))
	synctest.Test(t, func(t *testing.T) {
		reg, begin := upstream.NewRegistry(), time.Now()
		order, conversation, ok := New(s.strategy, "auto")
		if !ok {
			t.Fatalf("no strategy %q", s.strategy)
		}
		pool := &upstream.Pool{Model: "m", Strategy: s.strategy, Order: order, Conversation: conversation, Prefix: Prefixes(s.strategy, "auto"),
			Policy: upstream.Policy{Attempts: 3, Budget: 0.2}, Budget: reg.Budget("m"), Registry: reg}
		var targets []*upstream.Target
		for i, v := range s.vendors {
			id := fmt.Sprint("p/", i)
			target := &upstream.Target{ID: id, State: reg.State(id), Timeouts: simTimeouts, Breaker: simBreaker, Cooldown: upstream.Cooldown{Max: time.Minute}}
			if s.engines {
				target.Engine = target.State.Engine()
			}
			cred := reg.Credential(id, "1")
			target.Calls = []upstream.Call{{Credential: cred, Cooling: target.State.Cooling(cred), Send: func(ctx context.Context, req *llm.Request) (*llm.Response, error) {
				var n int
				_, _ = fmt.Sscan(req.ID, &n)
				at := time.Since(begin)
				s.mu.Lock()
				s.calls[i] = append(s.calls[i], simCall{at, n})
				s.mu.Unlock()
				more, end, err := v.answer(ctx, at, n)
				if err != nil {
					return nil, err
				}
				return &llm.Response{Status: 200, Stream: &simStream{ctx: ctx, more: more, end: end}}, nil
			}}}
			target.Adopt()
			targets = append(targets, target)
			pool.Options = append(pool.Options, upstream.Option{ID: id, Weight: 1, Priority: 1, Target: target})
		}
		stop := make(chan struct{})
		var loops, clients sync.WaitGroup
		if s.tick != nil {
			loops.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
						s.tick(time.Since(begin), targets)
					}
				}
			})
		}
		rnd := rand.New(rand.NewPCG(s.seed, 1))
		for n := 0; ; n++ {
			time.Sleep(time.Duration(rnd.ExpFloat64() / s.rate * float64(time.Second)))
			at := time.Since(begin)
			if at > s.length {
				break
			}
			clients.Go(func() { s.client(pool, n, at) })
		}
		clients.Wait()
		close(stop)
		loops.Wait()
	})
	slices.Sort(s.first)
	slices.Sort(s.whole)
}

// client makes one request and reads the whole answer.
func (s *simulation) client(pool *upstream.Pool, n int, at time.Duration) {
	req := &llm.Request{ID: fmt.Sprint(n), Op: llm.OpChat, Stream: true, N: 1, Trail: llm.NewTrail("t", time.Now(), func(*llm.Trail) {}), Body: s.prompt(n)}
	begin := time.Now()
	resp, err := pool.Do(context.Background(), req)
	first := time.Since(begin)
	if err == nil {
		for err == nil {
			_, err = resp.Next()
		}
		_ = resp.Close()
	}
	if at < s.warm {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if err == io.EOF {
		s.well++
		s.first = append(s.first, first)
		s.whole = append(s.whole, time.Since(begin))
	}
}

// quantile of the time to the first token.
func (s *simulation) quantile(q float64) time.Duration {
	return s.first[min(len(s.first)-1, int(q*float64(len(s.first))))]
}

// share is the part of all calls from a time on that went to a vendor.
func (s *simulation) share(vendor int, from, to time.Duration) float64 {
	own, all := 0, 0
	for i, calls := range s.calls {
		for _, c := range calls {
			if c.at >= from && c.at < to {
				if all++; i == vendor {
					own++
				}
			}
		}
	}
	if all == 0 {
		return 0
	}
	return float64(own) / float64(all)
}

// perRequest is how many calls were made for a request.
func (s *simulation) perRequest() float64 {
	n := 0
	for _, calls := range s.calls {
		for _, c := range calls {
			if c.at >= s.warm {
				n++
			}
		}
	}
	return float64(n) / float64(s.total)
}

// largest is the largest share that a vendor had within any two seconds.
func (s *simulation) largest(vendor int) (most float64) {
	for at := s.warm; at+2*time.Second <= s.length; at += time.Second {
		most = max(most, s.share(vendor, at, at+2*time.Second))
	}
	return most
}

// simStream is an answer whose first token has come.
type simStream struct {
	ctx    context.Context
	more   func(context.Context) error
	end    func()
	begun  bool
	closed bool
}

func (s *simStream) Next() (llm.Chunk, error) {
	if s.begun {
		if err := s.more(s.ctx); err != nil {
			return llm.Chunk{}, err
		}
	}
	s.begun = true
	return llm.Chunk{Raw: []byte("a"), Level: llm.LevelContent, Usage: &llm.Usage{Input: 100, Output: 250}}, nil
}

func (s *simStream) Close() error {
	if !s.closed {
		s.closed = true
		s.end()
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// vendor has a time to the first token around 300 ms, longer the more calls are
// under way, times slow, and fails a share of calls within a millisecond.
type vendor struct {
	seed  uint64
	slow  func(at time.Duration) float64 // nil: 1
	fails func(at time.Duration) float64 // nil: 0
	mu    sync.Mutex
	calls int // under way
	tries map[int]int
}

func (v *vendor) answer(ctx context.Context, at time.Duration, n int) (func(context.Context) error, func(), error) {
	v.mu.Lock()
	if v.tries == nil {
		v.tries = map[int]int{}
	}
	v.tries[n]++
	luck := rand.New(rand.NewPCG(v.seed, uint64(n)<<8|uint64(v.tries[n])))
	rnd := rand.New(rand.NewPCG(1, uint64(n))) // the same request is as long anywhere
	v.calls++
	busy := float64(v.calls) / 150
	v.mu.Unlock()
	done := func() { v.mu.Lock(); v.calls--; v.mu.Unlock() }
	if v.fails != nil && luck.Float64() < v.fails(at) {
		defer done()
		if err := wait(ctx, time.Millisecond); err != nil {
			return nil, nil, err
		}
		return nil, nil, &llm.Error{Kind: llm.KindUpstream, Message: "it fails"}
	}
	ms := 300 * math.Exp(0.4*rnd.NormFloat64()) * (1 + busy*busy)
	if v.slow != nil {
		ms *= v.slow(at)
	}
	if err := wait(ctx, time.Duration(ms*1e6)); err != nil {
		done()
		return nil, nil, err
	}
	left := time.Duration((0.3 + rnd.ExpFloat64()) * 1e9)
	return func(ctx context.Context) error {
		if left <= 0 {
			return io.EOF
		}
		d := min(left, time.Second)
		left -= d
		return wait(ctx, d)
	}, done, nil
}

// scenarios are four vendors of which the last is not well.
var scenarios = []struct {
	name string
	ill  func() *vendor
}{
	{"all well", func() *vendor { return &vendor{} }},
	{"one 10 × slow", func() *vendor { return &vendor{slow: func(time.Duration) float64 { return 10 }} }},
	{"one fails", func() *vendor { return &vendor{fails: func(time.Duration) float64 { return 1 }} }},
	{"one fails 4 of 10", func() *vendor { return &vendor{fails: func(time.Duration) float64 { return 0.4 }} }},
	{"one flaps", func() *vendor {
		return &vendor{fails: func(at time.Duration) float64 { return float64(at / (10 * time.Second) % 2) }}
	}},
	{"one browns out", func() *vendor {
		ill := func(at time.Duration) float64 { return min(1, max(0, (at.Seconds()-15)/20)) } // whole at 35 s
		return &vendor{slow: func(at time.Duration) float64 { return 1 + 19*ill(at) }, fails: func(at time.Duration) float64 { return ill(at) / 2 }}
	}},
}

// simulate runs 80 requests a second for 50 s against four vendors.
func simulate(t *testing.T, strategy string, ill *vendor, seed uint64) *simulation {
	s := &simulation{strategy: strategy, rate: 80, length: 50 * time.Second, warm: 10 * time.Second, seed: seed,
		prompt: func(int) llm.Body { return body{} }}
	for i := range 3 {
		s.vendors = append(s.vendors, &vendor{seed: seed*10 + uint64(i)})
	}
	ill.seed = seed*10 + 3
	s.vendors = append(s.vendors, ill)
	s.run(t)
	return s
}

// Load moves to what is fast and well, and no strategy does better for clients:
// in the time to the first token of the slowest hundredth and in what succeeds.
// Nothing herds: no vendor that is well ever has much more than its share, and
// one that returns is not stormed.
func TestAdaptiveAgainstOthers(t *testing.T) {
	if raced {
		t.Skip("hours of virtual time in one goroutine after another: nothing races; it runs without the race detector")
	}
	const seed = 7
	var table strings.Builder
	fmt.Fprintf(&table, "| scenario | strategy | first token p50 | p99 | success | calls for 100 requests | share of the one that is ill |\n|---|---|---|---|---|---|---|\n")
	for _, c := range scenarios {
		results := map[string]*simulation{}
		for _, strategy := range []string{"adaptive", "weighted", "round_robin", "least_busy"} {
			s := simulate(t, strategy, c.ill(), seed)
			results[strategy] = s
			fmt.Fprintf(&table, "| %s | `%s` | %.0f ms | %.0f ms | %.2f %% | %.1f | %.1f %% |\n", c.name, strategy, s.quantile(0.5).Seconds()*1e3, s.quantile(0.99).Seconds()*1e3,
				100*float64(s.well)/float64(s.total), 100*s.perRequest(), 100*s.share(3, s.warm, s.length))
		}
		a := results["adaptive"]
		for name, s := range results {
			if float64(a.quantile(0.99)) > 1.05*float64(s.quantile(0.99)) {
				t.Errorf("%s: p99 of adaptive is %v, of %s %v", c.name, a.quantile(0.99), name, s.quantile(0.99))
			}
			if a.well*s.total < s.well*a.total {
				t.Errorf("%s: %d of %d succeed with adaptive, with %s %d of %d", c.name, a.well, a.total, name, s.well, s.total)
			}
		}
		ill := a.share(3, a.warm, a.length)
		switch c.name {
		case "all well":
			for i := range 4 {
				if got := a.share(i, a.warm, a.length); math.Abs(got-0.25) > 0.03 {
					t.Errorf("of four equal vendors, %d has a share of %.3f", i, got)
				}
			}
		case "one 10 × slow":
			if ill > 0.1 {
				t.Errorf("the slow vendor has a share of %.3f, want less than 0.1", ill)
			}
		case "one fails", "one fails 4 of 10":
			if ill > 0.05 {
				t.Errorf("%s: its share is %.3f, want less than 0.05", c.name, ill)
			}
		}
		for i := range 4 {
			if got := a.largest(i); got > 0.5 {
				t.Errorf("%s: vendor %d had a share of %.2f within two seconds", c.name, i, got)
			}
		}
	}
	t.Log("\n" + table.String())
}

// Conversations keep to their homes, but for those at a home that is not well:
// they go to the next of their order, and return when it is.
func TestConversationsLeaveAnIllHome(t *testing.T) {
	const conversations = 100
	s := &simulation{strategy: "adaptive", rate: 30, length: 150 * time.Second, seed: 5, prompt: func(n int) llm.Body { return body{hash: uint64(n%conversations+1) << 1} }}
	for i := range 3 {
		s.vendors = append(s.vendors, &vendor{seed: uint64(i)})
	}
	s.vendors = append(s.vendors, &vendor{seed: 3, slow: func(at time.Duration) float64 {
		if at > 20*time.Second && at < 40*time.Second {
			return 15
		}
		return 1
	}})
	s.run(t)
	for _, c := range []struct {
		name     string
		from, to time.Duration
		min, max float64
	}{{"well", 5 * time.Second, 20 * time.Second, 0.15, 0.35}, {"ill", 28 * time.Second, 40 * time.Second, 0, 0.1}, {"well again", 130 * time.Second, 150 * time.Second, 0.15, 0.35}} {
		if got := s.share(3, c.from, c.to); got < c.min || got > c.max {
			t.Errorf("%s: its share is %.2f, want %.2f to %.2f", c.name, got, c.min, c.max)
		}
	}
	home := map[int]int{}
	for i, calls := range s.calls[:3] {
		for _, c := range calls {
			if c.at < 20*time.Second {
				home[c.n%conversations] = i + 1
			}
		}
	}
	for i, calls := range s.calls {
		for _, c := range calls {
			if at := home[c.n%conversations]; at != 0 && at != i+1 {
				t.Fatalf("conversation %d moved from %d to %d at %v without cause", c.n%conversations, at-1, i, c.at)
			}
		}
	}
}

// A target that is new gets no more calls at once than the others have.
func TestNewTargetIsNotStormed(t *testing.T) {
	s := &simulation{strategy: "adaptive", rate: 200, length: 20 * time.Second, warm: 10 * time.Second, seed: 1, prompt: func(int) llm.Body { return body{} }}
	for i := range 4 {
		s.vendors = append(s.vendors, &vendor{seed: uint64(i)})
	}
	unknown := s.vendors[3].(*vendor)
	unknown.slow = func(time.Duration) float64 { return 30 } // its first answer comes after ten seconds
	s.run(t)
	if got := s.share(3, 0, 5*time.Second); got > 0.25 {
		t.Errorf("while it is unknown it has a share of %.2f", got)
	}
	if got := s.share(3, 15*time.Second, 20*time.Second); got > 0.02 {
		t.Errorf("known to be slow it has a share of %.2f", got)
	}
}

// The decision that is told of is the one that comes.
func TestPlanTellsWhatComes(t *testing.T) {
	for _, strategy := range Strategies() {
		reg := upstream.NewRegistry()
		order, conversation, _ := New(strategy, "auto")
		p := &upstream.Pool{Model: "m", Strategy: strategy, Order: order, Conversation: conversation, Policy: upstream.Policy{Attempts: 1}, Budget: reg.Budget("m"), Registry: reg}
		for _, o := range options(reg, []float64{3, 2, 1, 1}, nil, []*llm.Price{{Input: 1}, {Input: 2}, {Input: 3}, {Input: 4}}) {
			cred := reg.Credential(o.ID, "1")
			o.Target.Timeouts, o.Target.Calls = simTimeouts, []upstream.Call{{Credential: cred, Cooling: o.Target.State.Cooling(cred),
				Send: func(context.Context, *llm.Request) (*llm.Response, error) {
					return &llm.Response{Status: 200, Stream: &once{}}, nil
				}}}
			p.Options = append(p.Options, *o)
		}
		for i := range 50 {
			req := short(0)
			req.Trail = llm.NewTrail("t", time.Now(), func(*llm.Trail) {})
			want := p.Plan(req).Candidates[0].Target
			resp, err := p.Do(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Target != want {
				t.Errorf("%s: request %d went to %s, %s was told", strategy, i, resp.Target, want)
			}
			_ = resp.Close()
		}
	}
}
