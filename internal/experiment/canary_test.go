package experiment

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
)

// rig is a split with a canary whose events are kept.
func rig(l Ladder) (*Book, Setting, *[]string) {
	b := NewBook()
	set := Setting{Model: "chat", Sticky: "user", Arms: []string{"old", "new"}, Weights: []float64{1, 1}}
	events := &[]string{}
	b.Split("chat").Adopt(set.Arms, &l, func(e Event) {
		*events = append(*events, fmt.Sprintf("%s %d %v→%v", e.State, e.Step, e.From, e.To))
	})
	return b, set, events
}

var ladder = Ladder{Arm: "new", Steps: []float64{0.01, 0.05, 0.25, 0.5, 1}, Min: 200, Margin: 0.02}

// feed settles n requests of an arm, each with this outcome.
func feed(b *Book, arm, outcome string, n int) {
	for range n {
		b.Settle(trail(arm, 0, try{arm: arm, outcome: outcome}))
	}
}

// usual settles n requests that were answered, of which each twentieth of the arm
// is of no use.
func usual(b *Book, set Setting, arm string, n int) {
	for range n {
		x := try{arm: arm, outcome: "ok"}
		for _, a := range b.Split("chat").Report(set).Arms {
			if a.Model == arm && a.Requests%20 == 19 {
				x.flags = llm.FlagEmpty
			}
		}
		b.Settle(trail(arm, 0, x))
	}
}

// A canary that does well goes up all steps, the last ones only when it is known
// to do well.
func TestCanaryIsPromoted(t *testing.T) {
	b, set, events := rig(ladder)
	c := b.Split("chat").Canary()
	for range 199 {
		usual(b, set, "old", 99)
		usual(b, set, "new", 1)
	}
	if c.Share() != 0.01 {
		t.Fatalf("share %v after 199 answers", c.Share())
	}
	usual(b, set, "new", 1)
	for _, others := range []int{19, 3} {
		usual(b, set, "old", 200*others)
		usual(b, set, "new", 200)
	}
	if c.Share() != 0.5 {
		t.Fatalf("share %v after three steps, want 0.5", c.Share())
	}
	usual(b, set, "old", 200)
	usual(b, set, "new", 200)
	if c.Share() != 0.5 {
		t.Errorf("it got all of the traffic for 800 answers")
	}
	usual(b, set, "old", 3000)
	usual(b, set, "new", 3000)
	want := []string{"running 2 0.01→0.05", "running 3 0.05→0.25", "running 4 0.25→0.5", "running 5 0.5→1", "promoted 5 1→1"}
	if !slices.Equal(*events, want) {
		t.Errorf("events: got %q, want %q", *events, want)
	}
	r := b.Split("chat").Report(set)
	if r.Canary.State != "promoted" || r.Arms[1].Share != 1 || r.Arms[0].Share != 0 || len(r.Canary.History) != 5 {
		t.Errorf("report: got %+v, shares %v and %v", r.Canary, r.Arms[0].Share, r.Arms[1].Share)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// A canary that fails as a broken target does is rolled back at once, and stays
// so when a configuration is read again.
func TestCanaryIsRolledBack(t *testing.T) {
	b, set, events := rig(ladder)
	feed(b, "old", "ok", 500)
	feed(b, "new", "ok", 150)
	feed(b, "new", "upstream_error", 9)
	if len(*events) != 0 {
		t.Fatalf("rolled back after 9 failures of 159: %q", *events)
	}
	feed(b, "new", "upstream_error", 3)
	if want := []string{"rolled_back 1 0.01→0"}; !slices.Equal(*events, want) {
		t.Fatalf("events: got %q, want %q", *events, want)
	}
	l := ladder
	b.Split("chat").Adopt(set.Arms, &l, func(Event) {})
	r := b.Split("chat").Report(set)
	if r.Canary.State != "rolled_back" || r.Arms[1].Share != 0 || r.Canary.History[0].Reason == "" {
		t.Errorf("after a reload: got %+v", r.Canary)
	}
	l.Arm = "old"
	b.Split("chat").Adopt(set.Arms, &l, func(Event) {})
	if r := b.Split("chat").Report(set); r.Canary.State != "running" || r.Canary.Share != 0.01 {
		t.Errorf("another canary: got %+v", r.Canary)
	}
}

// A failure that all arms have is nobody's, and neither is what clients do wrong.
func TestCanaryIsNotBlamed(t *testing.T) {
	b, _, events := rig(ladder)
	feed(b, "old", "ok", 2000)
	feed(b, "new", "ok", 50)
	for range 40 {
		feed(b, "old", "upstream_error", 99)
		feed(b, "new", "upstream_error", 1)
	}
	feed(b, "new", "caller", 100)
	b.Settle(trail("new", llm.KindCanceled, try{arm: "new", outcome: "canceled"}))
	if len(*events) != 0 {
		t.Errorf("events: got %q", *events)
	}
}

// The operator's orders.
func TestCanaryOrders(t *testing.T) {
	b, _, events := rig(ladder)
	s := b.Split("chat")
	c := s.Canary()
	for range 5 {
		if !c.Promote() {
			t.Fatal("not promoted")
		}
	}
	if c.Promote() || c.Share() != 1 {
		t.Errorf("beyond the last step: share %v", c.Share())
	}
	if !c.RollBack() || c.RollBack() || c.Promote() || c.Share() != 0 {
		t.Errorf("after a rollback: share %v", c.Share())
	}
	s.Reset()
	want := []string{"running 2 0.01→0.05", "running 3 0.05→0.25", "running 4 0.25→0.5", "running 5 0.5→1", "promoted 5 1→1", "rolled_back 5 1→0", "running 1 0→0.01"}
	if !slices.Equal(*events, want) {
		t.Errorf("events: got %q, want %q", *events, want)
	}
	for range 2 * maxEvents {
		c.RollBack()
		s.Reset()
	}
	if n := len(c.report().History); n != maxEvents {
		t.Errorf("%d changes are remembered, want %d", n, maxEvents)
	}
	if c.report().Since.After(time.Now()) {
		t.Error("since when is in the future")
	}
}

// Who ever says that an answer was bad, and how often, it is one bad answer.
func TestCanaryCountsOnce(t *testing.T) {
	b, set, _ := rig(ladder)
	say := func(id string, f llm.Flags, opinion float64) {
		b.Blame(&quality.Verdict{Request: id, Began: start, Arm: &llm.Arm{Split: "chat", Model: "new"}, Flags: f, Score: math.NaN(), Opinion: opinion})
	}
	feed(b, "new", "ok", 10)
	bad := trail("new", 0, try{arm: "new", outcome: "ok", flags: llm.FlagEmpty})
	b.Settle(bad)
	early := trail("new", 0, try{arm: "new", outcome: "rejected"})
	say(early.ID, llm.FlagJSON, math.NaN())
	b.Settle(early)
	for range 5 {
		say(bad.ID, 0, -1)
		say(early.ID, 0, -1)
		say("another", 0, -1)
	}
	if x := b.Split("chat").Report(set).Canary.Test; x.Canary.Bad != 3 || x.Canary.Answers != 12 {
		t.Errorf("got %+v, want 3 bad of 12", x.Canary)
	}
	c := b.Split("chat").Canary()
	for i := range 2 * maxFound {
		say(strconv.Itoa(i), 0, -1)
	}
	if len(c.found) > maxFound || len(c.turn) > maxFound {
		t.Errorf("%d requests are remembered", len(c.found))
	}
}

// What is found in an answer after its request was counted, or before, makes it a
// bad one, and of the right arm.
func TestCanaryIsJudged(t *testing.T) {
	b, set, events := rig(ladder)
	arm := func(name string) *llm.Arm { return &llm.Arm{Split: "chat", Model: name} }
	verdict := func(name string, f llm.Flags) *quality.Verdict {
		return &quality.Verdict{Request: llm.NewID(time.Now()), Began: start, Arm: arm(name), Flags: f, Score: math.NaN(), Opinion: math.NaN()}
	}
	if !b.Watches(arm("old")) || !b.Watches(arm("new")) || b.Watches(&llm.Arm{Split: "other", Model: "new"}) {
		t.Error("the answers of both arms are to be judged, and no others")
	}
	b.Judge(verdict("new", llm.FlagEmpty)) // before it is settled
	feed(b, "old", "ok", 1000)
	feed(b, "new", "ok", 30)
	for range 5 {
		b.Judge(verdict("old", llm.FlagJSON))
		b.Judge(verdict("old", llm.FlagLanguage))
		b.Judge(verdict("old", 0))
	}
	b.Judge(&quality.Verdict{Flags: llm.FlagEmpty})
	r := b.Split("chat").Report(set)
	if x := r.Canary.Test; x.Canary.Bad != 1 || x.Control.Bad != 5 || x.Canary.Answers != 30 || x.Control.Answers != 1000 {
		t.Errorf("test: got %+v", x)
	}
	if r.Arms[0].Flags["invalid_json"] != 5 || r.Arms[0].Flags["wrong_language"] != 5 || r.Arms[1].Flags["empty"] != 1 {
		t.Errorf("flags: got %v and %v", r.Arms[0].Flags, r.Arms[1].Flags)
	}
	for range 12 {
		b.Judge(verdict("new", llm.FlagTool))
	}
	if want := []string{"rolled_back 1 0.01→0"}; !slices.Equal(*events, want) {
		t.Errorf("events: got %q, want %q", *events, want)
	}
	if b.Watches(arm("new")) {
		t.Error("a canary that was rolled back is watched")
	}
}

// promoting brings a canary that does well to all of the traffic.
func promoting(t *testing.T, b *Book, set Setting) {
	t.Helper()
	for range 6000 {
		if b.Split("chat").Canary().Share() == 1 {
			return
		}
		usual(b, set, "old", 3)
		usual(b, set, "new", 1)
	}
	t.Fatal("it never got all of the traffic")
}

// With all of the traffic a canary is compared with what the others answered
// before: it is rolled back where it has become worse, and else promoted.
func TestCanaryAtLastStep(t *testing.T) {
	for name, x := range map[string]struct {
		flags llm.Flags
		last  string
	}{"empty answers": {llm.FlagEmpty, "rolled_back 5 1→0"}, "good answers": {0, "promoted 5 1→1"}} {
		b, set, events := rig(ladder)
		promoting(t, b, set)
		if !b.Watches(&llm.Arm{Split: "chat", Model: "new"}) {
			t.Errorf("%s: at the last step answers are not judged", name)
		}
		n := len(*events)
		for i := 0; len(*events) == n && i < 250; i++ {
			b.Settle(trail("new", 0, try{arm: "new", outcome: "ok", flags: x.flags}))
		}
		if got := (*events)[len(*events)-1]; got != x.last {
			t.Errorf("%s: %q, want %q", name, got, x.last)
		}
	}
}

// What comes of requests from before a canary began, or began anew, says nothing of
// it.
func TestCanaryForgetsWhatWasBefore(t *testing.T) {
	b, set, events := rig(ladder)
	feed(b, "old", "ok", 3000)
	feed(b, "new", "ok", 100)
	old := time.Now()
	b.Split("chat").Reset()
	n := len(*events)
	for i := range 40 {
		b.Blame(&quality.Verdict{Request: strconv.Itoa(i), Began: old.Add(-time.Minute), Arm: &llm.Arm{Split: "chat", Model: "new"}, Score: math.NaN(), Opinion: -1})
		late := llm.NewTrail("id", old.Add(-time.Minute), b.Settle)
		late.Draw(&llm.Arm{Split: "chat", Model: "new"})
		late.Err = &llm.Error{Kind: llm.KindUpstream}
		late.Close(old)
	}
	feed(b, "old", "ok", 300)
	feed(b, "new", "ok", 25)
	if x := b.Split("chat").Report(set).Canary.Test; len(*events) != n || x.Canary.Answers != 25 || x.Canary.Bad != 0 {
		t.Errorf("events %q, test %+v", *events, x)
	}
}

// However many answers are found bad that are never counted, few others pay for
// it.
func TestCanaryOwesLittle(t *testing.T) {
	b, set, _ := rig(ladder)
	for i := range 1000 {
		b.Blame(&quality.Verdict{Request: strconv.Itoa(i), Began: start, Arm: &llm.Arm{Split: "chat", Model: "old"}, Score: math.NaN(), Opinion: -1})
	}
	feed(b, "old", "ok", 200)
	if x := b.Split("chat").Report(set).Canary.Test.Control; x.Bad != maxOwed {
		t.Errorf("%d of %d answers are bad, want %d", x.Bad, x.Answers, maxOwed)
	}
}
