package route

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// body is a request body of a conversation.
type body struct {
	hash uint64
	user string
}

func (b body) Bytes() []byte                 { return make([]byte, 400) }
func (b body) Conversation() (uint64, bool)  { return b.hash, b.hash != 0 }
func (b body) User() string                  { return b.user }
func (b body) Prompt(dst [][]byte) [][]byte  { return dst }
func (b body) Chat() (*llm.Chat, *llm.Error) { return nil, nil }
func (b body) Hold()                         {}
func (b body) Release()                      {}

func request(b body, session, key string) *llm.Request {
	return &llm.Request{Op: llm.OpChat, N: 1, Body: b, Caller: llm.Caller{Session: session, Key: key}}
}

// options are targets of one priority with these weights, priors and prices.
func options(reg *upstream.Registry, weights []float64, priors []time.Duration, prices []*llm.Price) []*upstream.Option {
	var out []*upstream.Option
	for i, w := range weights {
		id := fmt.Sprintf("p/%d", i)
		t := &upstream.Target{ID: id, State: reg.State(id)}
		if priors != nil {
			t.Prior = priors[i]
		}
		if prices != nil {
			t.Price = prices[i]
		}
		out = append(out, &upstream.Option{ID: id, Weight: w, Priority: 1, Target: t})
	}
	return out
}

// first counts who comes first in n orders of all options.
func first(t *testing.T, strategy string, all []*upstream.Option, req func(n int) *llm.Request, n int) map[string]int {
	t.Helper()
	order, _, ok := New(strategy, "auto")
	if !ok {
		t.Fatalf("no strategy %q", strategy)
	}
	got := map[string]int{}
	for i := range n {
		opts := slices.Clone(all)
		order(opts, upstream.Ask{Req: req(i), Now: 1, Turn: uint64(i)})
		sorted := slices.Clone(opts)
		slices.SortFunc(sorted, func(a, b *upstream.Option) int { return slices.Index(all, a) - slices.Index(all, b) })
		if !slices.Equal(sorted, all) {
			t.Fatalf("%s lost or doubled an option", strategy)
		}
		got[opts[0].ID]++
	}
	return got
}

func short(int) *llm.Request { return request(body{}, "", "") }

// near reports whether n of total is the share p within six standard
// deviations of a binomial: once in a thousand million runs it is not by chance.
func near(n, total int, p float64) bool {
	return math.Abs(float64(n)-p*float64(total)) <= 6*math.Sqrt(float64(total)*p*(1-p))+1
}

func TestShares(t *testing.T) {
	const n = 60_000
	weights := []float64{2, 1.8, 1.5, 1}
	got := first(t, "weighted", options(upstream.NewRegistry(), weights, nil, nil), short, n)
	for i, w := range weights {
		if id := fmt.Sprintf("p/%d", i); !near(got[id], n, w/6.3) {
			t.Errorf("weighted: %s came first %d times of %d, want a share of %.3f", id, got[id], n, w/6.3)
		}
	}
	got = first(t, "round_robin", options(upstream.NewRegistry(), weights, nil, nil), short, 400)
	for id, k := range got {
		if k != 100 {
			t.Errorf("round_robin: %s came first %d times of 400, want 100", id, k)
		}
	}
	if got := first(t, "ordered", options(upstream.NewRegistry(), weights, nil, nil), short, 50); got["p/0"] != 50 {
		t.Errorf("ordered: got %v", got)
	}
	same := []float64{1, 1, 1}
	for _, strategy := range []string{"least_busy", "adaptive"} { // ties are drawn
		got := first(t, strategy, options(upstream.NewRegistry(), same, nil, nil), short, n)
		for id, k := range got {
			if !near(k, n, 1./3) {
				t.Errorf("%s: %s came first %d times of %d, want a third", strategy, id, k, n)
			}
		}
	}
}

func TestOrderByFacts(t *testing.T) {
	ones := []float64{1, 1, 1}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	if got := first(t, "latency_based", options(upstream.NewRegistry(), ones, []time.Duration{ms(800), ms(300), ms(650)}, nil), short, 20); got["p/1"] != 20 {
		t.Errorf("latency_based: got %v, want the least prior", got)
	}
	dear, cheap := &llm.Price{Input: 30_000, Output: 60_000}, &llm.Price{Input: 200, Output: 200}
	if got := first(t, "cost_optimized", options(upstream.NewRegistry(), ones, nil, []*llm.Price{dear, nil, cheap}), short, 20); got["p/2"] != 20 {
		t.Errorf("cost_optimized: got %v, want the least price; an unknown one comes last", got)
	}
	// the better of two drawn: the slowest of three only when it is both
	if got := first(t, "adaptive", options(upstream.NewRegistry(), ones, []time.Duration{ms(100), ms(100), ms(1000)}, nil), short, 3000); got["p/2"] != 0 {
		t.Errorf("adaptive: the slowest of three came first %d times", got["p/2"])
	}
	// weights are shares where all else is equal; time moves load, softly
	if got := first(t, "adaptive", options(upstream.NewRegistry(), []float64{1, 4}, []time.Duration{ms(100), ms(100)}, nil), short, 10_000); !near(got["p/1"], 10_000, 0.8) {
		t.Errorf("adaptive: got %v, want shares by weight", got)
	}
	if got := first(t, "adaptive", options(upstream.NewRegistry(), []float64{1, 4}, []time.Duration{ms(100), ms(300)}, nil), short, 10_000); got["p/0"] < 9000 {
		t.Errorf("adaptive: got %v, want the one that is three times as fast", got)
	}
}

// What is in flight counts, for its weight.
func TestLeastBusy(t *testing.T) {
	all := options(upstream.NewRegistry(), []float64{1, 2}, nil, nil)
	block := make(chan struct{})
	begin := func(o *upstream.Option) {
		started := make(chan struct{})
		c := upstream.Call{Credential: upstream.NewRegistry().Credential("c", "1"), Send: func(ctx context.Context, _ *llm.Request) (*llm.Response, error) {
			close(started)
			<-block
			return nil, &llm.Error{Kind: llm.KindCaller, Message: "over"}
		}}
		c.Cooling = o.Target.State.Cooling(c.Credential)
		o.Target.Calls = []upstream.Call{c}
		reg := upstream.NewRegistry()
		o.Target.Timeouts = upstream.Timeouts{FirstToken: time.Minute, Idle: time.Minute, Total: time.Minute, Stream: time.Minute}
		p := &upstream.Pool{Model: "m", Order: ordered, Options: []upstream.Option{*o}, Policy: upstream.Policy{Attempts: 1}, Budget: reg.Budget("m"), Registry: reg}
		go func() {
			req := short(0)
			req.Trail = llm.NewTrail("t", time.Now(), func(*llm.Trail) {})
			_, _ = p.Do(context.Background(), req)
		}()
		<-started
	}
	defer close(block)
	begin(all[1])
	if got := first(t, "least_busy", all, short, 20); got["p/0"] != 20 {
		t.Errorf("one in flight at the second: got %v", got)
	}
	begin(all[0])
	if got := first(t, "least_busy", all, short, 20); got["p/1"] != 20 {
		t.Errorf("one in flight at each, the second weighs twice: got %v", got)
	}
}

// A conversation keeps its target; shares follow the weights; a target that
// goes moves only its own conversations.
func TestRendezvous(t *testing.T) {
	const n = 20_000
	weights := []float64{3, 2, 1}
	all := options(upstream.NewRegistry(), weights, nil, nil)
	order, _, _ := New("weighted", "auto")
	at := func(opts []*upstream.Option, i int) string {
		opts = slices.Clone(opts)
		order(opts, upstream.Ask{Req: request(body{hash: uint64(i)*2 + 2}, "", "k"), Now: 1})
		return opts[0].ID
	}
	got := map[string]int{}
	home := make([]string, n)
	for i := range n {
		home[i] = at(all, i)
		got[home[i]]++
		if at(all, i) != home[i] {
			t.Fatal("a conversation moved without cause")
		}
	}
	for i, w := range weights {
		if id := fmt.Sprintf("p/%d", i); !near(got[id], n, w/6) {
			t.Errorf("%s has %d of %d conversations, want a share of %.3f", id, got[id], n, w/6)
		}
	}
	for i := range n {
		if now := at(all[1:], i); home[i] != "p/0" && now != home[i] {
			t.Fatalf("a conversation at %s moved to %s when p/0 went", home[i], now)
		}
	}
}

func TestWhatKeepsTogether(t *testing.T) {
	same := func(affinity string, a, b *llm.Request) bool {
		_, conversation, _ := New("weighted", affinity)
		if conversation == nil {
			return false
		}
		x, y := conversation(a), conversation(b)
		return x != 0 && x == y
	}
	for _, c := range []struct {
		name, affinity string
		a, b           *llm.Request
		want           bool
	}{
		{"one session", "auto", request(body{}, "s", "k"), request(body{hash: 9}, "s", "k"), true},
		{"sessions of two keys", "auto", request(body{}, "s", "k1"), request(body{}, "s", "k2"), false},
		{"one prompt", "auto", request(body{hash: 4}, "", "k"), request(body{hash: 4}, "", "k"), true},
		{"two prompts", "auto", request(body{hash: 4}, "", "k"), request(body{hash: 6}, "", "k"), false},
		{"short prompts", "auto", request(body{}, "", "k"), request(body{}, "", "k"), false},
		{"off", "off", request(body{hash: 4}, "s", "k"), request(body{hash: 4}, "s", "k"), false},
		{"session only", "session", request(body{hash: 4}, "", "k"), request(body{hash: 4}, "", "k"), false},
		{"one user", "user", request(body{user: "u"}, "", "k"), request(body{user: "u", hash: 4}, "", "k"), true},
		{"two users", "user", request(body{user: "u"}, "", "k"), request(body{user: "v"}, "", "k"), false},
	} {
		if got := same(c.affinity, c.a, c.b); got != c.want {
			t.Errorf("%s: kept together %v, want %v", c.name, got, c.want)
		}
	}
}

// TestEase: an option that came back gets the growing part of the share that a
// strategy gives it; a conversation that is its moves to it once.
func TestEase(t *testing.T) {
	const n = 3000
	for _, strategy := range Strategies() {
		synctest.Test(t, func(t *testing.T) {
			all := options(upstream.NewRegistry(), []float64{1, 1, 1, 1}, nil, []*llm.Price{{Input: 1}, {Input: 2}, {Input: 3}, {Input: 4}})
			full := first(t, strategy, all, short, n)
			back := all[0].Target
			back.SlowStart = 40 * time.Second
			back.Drain()
			back.Undrain()
			time.Sleep(20 * time.Second)
			got := first(t, strategy, all, short, n)
			want := float64(full["p/0"]) / n
			if Spreads(strategy) {
				want /= 2
			}
			if !near(got["p/0"], n, want) {
				t.Errorf("%s: half way of its slow start got %d of %d, want a share of %.3f", strategy, got["p/0"], n, want)
			}
			time.Sleep(20 * time.Second)
			if got := first(t, strategy, all, short, n); !near(got["p/0"], n, float64(full["p/0"])/n) {
				t.Errorf("%s: after its slow start got %d of %d, want %d as before", strategy, got["p/0"], n, full["p/0"])
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		all := options(upstream.NewRegistry(), []float64{1, 1, 1, 1}, nil, nil)
		talk := func(i int) *llm.Request { return request(body{hash: uint64(i + 1)}, "", "k") }
		order, _, _ := New("weighted", "auto")
		who := func(i int) string {
			opts := slices.Clone(all)
			order(opts, upstream.Ask{Req: talk(i)})
			return opts[0].ID
		}
		before := make([]string, 2000)
		for i := range before {
			before[i] = who(i)
		}
		back := all[0].Target
		back.SlowStart = 10 * time.Second
		back.Drain()
		back.Undrain()
		home := make([]bool, len(before))
		for range 11 {
			for i := range before {
				now := who(i)
				if before[i] != "p/0" && now != before[i] {
					t.Fatalf("conversation %d moved from %s to %s, which did not come back", i, before[i], now)
				}
				if home[i] && now != "p/0" {
					t.Fatalf("conversation %d went back and forth", i)
				}
				home[i] = now == "p/0"
			}
			time.Sleep(time.Second)
		}
		for i := range before {
			if home[i] != (before[i] == "p/0") {
				t.Errorf("conversation %d: home %v after the slow start, before it at %s", i, home[i], before[i])
			}
		}
	})
}
