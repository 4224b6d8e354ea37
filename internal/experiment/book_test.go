package experiment

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// start is when requests come: after all canaries of the tests have begun.
var start = time.Now().Add(time.Hour)

// try is one call of a request: for an arm or for nobody's.
type try struct {
	arm     string
	outcome string
	took    time.Duration
	flags   llm.Flags
	cut     bool
	score   float64 // 0: none
	cost    llm.Money
}

// trail is a request that drew an arm, settled.
func trail(drawn string, err llm.Kind, tries ...try) *llm.Trail {
	t := llm.NewTrail(llm.NewID(time.Now()), start, func(*llm.Trail) {})
	if drawn != "" {
		t.Draw(&llm.Arm{Split: "chat", Model: drawn})
	}
	at := start
	for _, x := range tries {
		a := t.Begin("m", "p/m", "1", at)
		if x.arm != "" {
			a.Arm = &llm.Arm{Split: "chat", Model: x.arm}
		}
		at = at.Add(x.took)
		a.Flags, a.Cut = x.flags, x.cut
		if a.Score = math.NaN(); x.score > 0 {
			a.Score = x.score
		}
		a.Finish(x.outcome, llm.Usage{Output: 7}, x.cost, at)
	}
	if err != 0 {
		t.Err = &llm.Error{Kind: err}
	}
	t.Close(at)
	return t
}

// How a request ended for the arm that was drawn.
func TestResult(t *testing.T) {
	ok := func(arm string) try { return try{arm: arm, outcome: "ok", took: time.Second} }
	bad := func(arm, outcome string) try { return try{arm: arm, outcome: outcome, took: time.Second} }
	flagged := func(f llm.Flags, score float64) try {
		return try{arm: "a", outcome: "ok", took: time.Second, flags: f, score: score}
	}
	for _, x := range []struct {
		name  string
		err   llm.Kind
		tries []try
		want  end
		bad   bool
	}{
		{"answered", 0, []try{ok("a")}, answered, false},
		{"after a failure of its own", 0, []try{bad("a", "upstream_error"), ok("a")}, answered, false},
		{"by the other arm", 0, []try{bad("a", "upstream_error"), ok("b")}, failed, true},
		{"it could not be asked", 0, []try{ok("b")}, failed, true},
		{"by nobody", llm.KindUpstream, []try{bad("a", "upstream_error"), bad("b", "timeout")}, failed, true},
		{"a fallback model", 0, []try{bad("a", "timeout"), ok("")}, failed, true},
		{"broke after content", llm.KindUpstream, []try{bad("a", "upstream_error")}, failed, true},
		{"the caller's mistake", llm.KindCaller, []try{bad("a", "caller")}, callers, false},
		{"too long for it", 0, []try{bad("a", "context_length_exceeded"), ok("b")}, callers, false},
		{"the client left", llm.KindCanceled, []try{bad("a", "canceled")}, nobodys, false},
		{"the client left before", llm.KindCanceled, nil, nobodys, false},
		{"a hedge won", 0, []try{bad("a", "lost"), ok("a")}, answered, false},
		{"of no use", 0, []try{flagged(llm.FlagEmpty, 0)}, answered, true},
		{"cut where the client wanted", 0, []try{{arm: "a", outcome: "ok", flags: llm.FlagEmpty | llm.FlagTruncated, cut: true}}, answered, false},
		{"cut, and nobody wanted it", 0, []try{flagged(llm.FlagTruncated, 0)}, answered, true},
		{"not as wished", 0, []try{flagged(llm.FlagLanguage, 0)}, answered, false},
		{"a low score", 0, []try{flagged(0, 0.2)}, answered, true},
		{"a good score", 0, []try{flagged(0, 0.8)}, answered, false},
		{"refused by a gate", 0, []try{{arm: "a", outcome: "rejected", flags: llm.FlagLanguage}, ok("b")}, answered, true},
		{"refused, then accepted", 0, []try{{arm: "a", outcome: "rejected", flags: llm.FlagLanguage}, ok("a")}, answered, false},
	} {
		r := resultOf(&llm.Arm{Split: "chat", Model: "a"}, trail("a", x.err, x.tries...))
		if r.end != x.want || r.counts() && r.bad() != x.bad {
			t.Errorf("%s: got end %d, bad %v, want %d, %v", x.name, r.end, r.bad(), x.want, x.bad)
		}
	}
}

// What is told of the arms, whatever configuration came in between.
func TestReport(t *testing.T) {
	b := NewBook()
	set := Setting{Model: "chat", Sticky: "user", Arms: []string{"a", "b"}, Weights: []float64{3, 1}}
	b.Split("chat").Adopt(set.Arms, nil, nil)
	for range 9 {
		b.Settle(trail("a", 0, try{arm: "a", outcome: "ok", took: 100 * time.Millisecond, flags: llm.FlagRefused, cost: 5}))
	}
	b.Settle(trail("a", 0, try{arm: "a", outcome: "upstream_error", took: time.Second, cost: 1}, try{arm: "b", outcome: "ok", took: time.Second, cost: 50}))
	b.Settle(trail("b", 0, try{arm: "b", outcome: "ok", took: time.Second}, try{outcome: "ok", took: time.Hour, cost: 1000}))
	b.Split("chat").Adopt(set.Arms, nil, nil) // a reload
	b.Retain(map[string]bool{"chat": true})
	r := b.Split("chat").Report(set)
	if len(r.Arms) != 2 || r.Shadow != nil || r.Canary != nil {
		t.Fatalf("got %+v", r)
	}
	a, other := r.Arms[0], r.Arms[1]
	if a.Requests != 10 || a.Errors != 1 || a.Flags["refused"] != 9 || *a.Cost != 46 || a.Output != 70 || a.Share != 0.75 {
		t.Errorf("a: got %+v", a)
	}
	if a.Latency.P50 < 100 || a.Latency.P50 > 110 {
		t.Errorf("a's p50: got %v ms, want 100, at most 9 %% more", a.Latency.P50)
	}
	if other.Requests != 1 || other.Errors != 0 || *other.Cost != 0 || other.Share != 0.25 {
		t.Errorf("b: got %+v", other)
	}
	if r.HideCosts(); r.Arms[0].Cost != nil || r.Arms[0].CostUSD != "" {
		t.Error("costs are not hidden")
	}
	b.Split("chat").Adopt([]string{"a", "c"}, nil, nil)
	b.Split("chat").Adopt(set.Arms, nil, nil)
	if r := b.Split("chat").Report(set); r.Arms[0].Requests != 10 || r.Arms[1].Requests != 0 {
		t.Errorf("after a configuration without b: got %+v", r.Arms)
	}
	b.Split("chat").Reset()
	if r := b.Split("chat").Report(set); r.Arms[0].Requests != 0 {
		t.Errorf("after a reset: got %+v", r.Arms)
	}
}

// Quantiles are at most a slot too long and never too short, over all that can be
// told apart.
func TestTimes(t *testing.T) {
	for d := leastTime; d < 30*time.Minute; d = d*21/20 + 1 {
		var x times
		x.add(d)
		if got := x.quantile(0.95); got < d || float64(got) > 1.1*float64(d) {
			t.Errorf("%v is told as %v", d, got)
		}
	}
	var x times
	for i := range 1000 {
		x.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.95: 950} {
		if got := x.quantile(q).Seconds() * 1000; got < want || got > 1.1*want {
			t.Errorf("p%v: got %v ms, want %v", 100*q, got, want)
		}
	}
	if x.add(time.Hour); (&times{}).quantile(0.5) != 0 {
		t.Error("nothing has a quantile")
	}
}

// Caps hold whatever comes at once, and a day's money is a day's.
func TestShadowCaps(t *testing.T) {
	var s Shadow
	caps := Caps{Concurrent: 8, PerDay: 1000}
	var wg sync.WaitGroup
	made := make(chan llm.Money, 100)
	for range 100 {
		wg.Go(func() {
			if reserved, why := s.Begin(caps, start); why == Made {
				made <- reserved
			}
		})
	}
	wg.Wait()
	close(made)
	if n := len(made); n != 8 {
		t.Fatalf("%d copies at a time, want 8", n)
	}
	for reserved := range made {
		s.End(Pair{Reserved: reserved, Cost: 100})
	}
	n := 0
	for range 50 { // 800 are spent
		if reserved, why := s.Begin(caps, start); why == Made {
			n++
			s.End(Pair{Reserved: reserved, Cost: 100})
		}
	}
	if n != 1 {
		t.Errorf("%d copies more of the day's money, want 1", n)
	}
	if _, why := s.Begin(caps, start.Add(24*time.Hour)); why != Made {
		t.Error("none on the next day")
	}
	if r := s.report(); r.Full != 92 || r.Budget != 49 || r.Requests != 9 || *r.Cost != 900 {
		t.Errorf("got %+v", r)
	}
}

// Which of two answers is the better one.
func TestPairs(t *testing.T) {
	for _, x := range []struct {
		p                 Pair
		wins, losses, tie int64
	}{
		{Pair{Scored: true}, 0, 0, 1},
		{Pair{Scored: true, Client: llm.FlagEmpty}, 1, 0, 0},
		{Pair{Scored: true, Flags: llm.FlagJSON}, 0, 1, 0},
		{Pair{Scored: true, Flags: llm.FlagJSON, Client: llm.FlagTool}, 0, 0, 1},
		{Pair{Scored: true, Flags: llm.FlagRefused}, 0, 0, 1},
		{Pair{Scored: true, Better: 1}, 1, 0, 0},
		{Pair{Scored: true, Better: -1, Client: llm.FlagEmpty}, 0, 1, 0},
		{Pair{Failed: true, Scored: true}, 0, 0, 0},
		{Pair{}, 0, 0, 0},
		{Pair{Skipped: true, Scored: true}, 0, 0, 0},
	} {
		var s Shadow
		_, _ = s.Begin(Caps{Concurrent: 1, PerDay: 1}, start)
		s.End(x.p)
		if r := s.report(); r.Wins != x.wins || r.Losses != x.losses || r.Ties != x.tie || r.Running != 0 {
			t.Errorf("%+v: got %+v", x.p, r)
		}
	}
}
