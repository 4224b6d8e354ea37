package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/store"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// watching is an app that runs nothing, with a configuration of two targets a/x and
// b/x and what extra says.
func watching(t *testing.T, extra string) (*App, *generation) {
	t.Helper()
	gen, sh := built(t, extra+"listen: 127.0.0.1:0\nproviders:\n  a: {kind: openai-compatible, base_url: 'http://127.0.0.1:9/v1'}\n  b: {kind: openai-compatible, base_url: 'http://127.0.0.1:9/v1'}\nmodels:\n  both: [a/x, b/x]\n  one: a/y\n")
	a := &App{shared: sh, log: slog.New(slog.DiscardHandler), recent: gateway.NewRing(4), herald: newHerald(func(why error) { t.Error(why) })}
	a.current.Store(gen)
	return a, gen
}

func (a *App) hear(target string, flags llm.Flags) {
	a.judged(&quality.Verdict{Target: target, Task: "coding", Flags: flags, Score: math.NaN(), Opinion: math.NaN()})
}

// A target whose answers collapse leaves rotation, is tried now and then, and comes
// back when its answers are good again; webhooks hear both.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, gen := watching(t, "quality: {alarm: {webhook: 'http://127.0.0.1:9/secret'}}\n")
		x := gen.gw.Targets[0]
		for range 100 {
			a.hear("a/x", 0)
			a.hear("b/x", 0)
		}
		n := 0
		for ; !x.State.Benched() && n < 100; n++ {
			a.hear("a/x", llm.FlagEmpty)
		}
		if n > 20 || gen.gw.Targets[2].State.Benched() {
			t.Fatalf("benched after %d bad answers", n)
		}
		if h := x.Health(); h.State != "quality" || !strings.Contains(h.Reason, "answers are bad") {
			t.Errorf("health = %+v", h)
		}
		good := 0
		for ; x.State.Benched() && good < 100; good++ {
			time.Sleep(x.Health().Wait)
			a.hear("a/x", 0)
		}
		if good < 2 || good > 10 {
			t.Errorf("back after %d good answers", good)
		}
		var events []string
		for len(a.herald.queue) > 0 {
			p := <-a.herald.queue
			var n alarmNews
			if err := json.Unmarshal(p.body, &n); err != nil || p.url != "http://127.0.0.1:9/secret" || n.Target != "a/x" || n.Bad == 0 {
				t.Errorf("news = %s, %v", p.body, err)
			}
			events = append(events, n.Event+" "+n.Task+" "+n.State)
		}
		if got := strings.Join(events, ", "); got != "quality_alarm  quality, quality_alarm coding quality, quality_alarm_over  closed, quality_alarm_over coding closed" {
			t.Errorf("events = %s", got)
		}
	})
}

// Where nobody can stand in, or the operator does not want it, a target stays.
func TestNoRotation(t *testing.T) {
	for _, c := range []struct {
		extra, target string
		index         int
	}{{"", "a/y", 1}, {"quality: {eject: false}\n", "a/x", 0}} {
		a, gen := watching(t, c.extra)
		for range 60 {
			a.hear(c.target, llm.FlagEmpty)
		}
		if gen.gw.Targets[c.index].State.Benched() {
			t.Errorf("%s with %q is out of rotation", c.target, c.extra)
		}
		if r := a.shared.Monitor.Report(c.target, time.Now()); r.Alarm == nil || !r.Alarm.Collapsed {
			t.Errorf("%s: report = %+v", c.target, r)
		}
	}
}

// The second of two stays while the first is out, and leaves when it is back.
func TestRotationInTurn(t *testing.T) {
	a, gen := watching(t, "")
	x, y := gen.gw.Targets[0], gen.gw.Targets[2]
	for _, id := range []string{x.ID, y.ID} {
		for range 60 {
			a.hear(id, llm.FlagEmpty)
		}
	}
	if !x.State.Benched() || y.State.Benched() {
		t.Errorf("out of rotation: a/x %v, b/x %v, want the first alone", x.State.Benched(), y.State.Benched())
	}
	a.order(gen.gw, x.ID, "reset")
	a.rotate(gen)
	if x.State.Benched() || !y.State.Benched() {
		t.Errorf("out of rotation: a/x %v, b/x %v, want the second alone", x.State.Benched(), y.State.Benched())
	}
}

// Gated attempts are judged by what gates found, when they are settled; others are
// not, nor are those that follow a bad answer.
func TestSettleQuality(t *testing.T) {
	a, _ := watching(t, "")
	now := time.Now()
	tr := llm.NewTrail("id", now, a.settleQuality)
	tr.Task = "math"
	passed, refused := tr.Begin("both", "b/x", "1", now), tr.Begin("both", "a/x", "1", now)
	later, ungated := tr.Begin("both", "b/z", "1", now), tr.Begin("one", "a/y", "1", now)
	refused.Judged(llm.FlagJSON, math.NaN())
	passed.Judged(0, 0.9)
	later.Judged(llm.FlagRefused, 0.1)
	for _, x := range []*llm.Attempt{refused, passed, later, ungated} {
		x.Finish("ok", llm.Usage{}, 0, now)
	}
	tr.Close(now)
	other := llm.NewTrail("other", now, a.settleQuality)
	broke, cut := other.Begin("both", "b/broke", "1", now), other.Begin("both", "b/cut", "1", now)
	broke.Judged(0, math.NaN())
	broke.Finish("upstream_error", llm.Usage{}, 0, now)
	cut.Judged(llm.FlagEmpty|llm.FlagTruncated, math.NaN())
	cut.Shorten()
	cut.Finish("ok", llm.Usage{}, 0, now)
	other.Close(now)
	third := llm.NewTrail("third", now, a.settleQuality)
	short := third.Begin("both", "b/short", "1", now)
	short.Judged(llm.FlagTruncated, math.NaN())
	short.Finish("ok", llm.Usage{}, 0, now)
	third.Close(now)
	report := func(id string) *quality.Report { return a.shared.Monitor.Report(id, now) }
	if r := report("a/x"); r == nil || r.Tasks["math"].BadRate != 1 || r.Flags["invalid_json"] != 1 {
		t.Errorf("refused: %+v", r)
	}
	if r := report("b/x"); r == nil || r.BadRate != 0 || r.Score == nil || *r.Score != 0.9 {
		t.Errorf("passed: %+v", r)
	}
	if r := report("b/cut"); r == nil || r.BadRate != 0 || r.Flags["truncated"] != 1 {
		t.Errorf("cut where the client wanted: %+v", r)
	}
	if r := report("b/short"); r == nil || r.BadRate != 1 {
		t.Errorf("cut, and nobody wanted it: %+v", r)
	}
	for _, id := range []string{"a/y", "b/z", "b/broke"} { // ungated, after a bad one, and only begun
		if r := report(id); r != nil {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// Feedback counts for the target and task that answered, of requests that are
// remembered and of older ones in the ledger; the last word alone, and what was
// learned outlives the process.
func TestFeedbackIsEvidence(t *testing.T) {
	ctx := context.Background()
	a, _ := watching(t, "")
	ledger, err := store.Open(ctx, filepath.Join(t.TempDir(), "l.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close(ctx)
	a.ledger = ledger
	now := time.Now()
	recent := llm.NewTrail("recent", now, func(*llm.Trail) {})
	recent.Caller.Key, recent.Target, recent.Task = "one", "a/x", "math"
	a.recent.Add(recent)
	ledger.Record(&store.Entry{ID: "older", Time: now, Key: "one", Target: "a/x", Outcome: "ok", Task: "math", Decision: "{}"})
	if err := ledger.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	one, two, operator := &tenant.Grant{Name: "one"}, &tenant.Grant{Name: "two"}, &tenant.Grant{Name: "operator", Operator: true}
	say := func(g *tenant.Grant, id string, score float64) *llm.Error {
		return a.feedback(ctx, g, id, &gateway.Feedback{Score: score, Time: now})
	}
	for _, id := range []string{"recent", "older", "nobodys"} {
		if e := say(two, id, 1); e == nil || e.Kind != llm.KindNotFound {
			t.Errorf("another key's word on %s: %v", id, e)
		}
	}
	for _, score := range []float64{-1, -0.5, 0} {
		for _, id := range []string{"recent", "older"} {
			if e := say(one, id, score); e != nil {
				t.Errorf("%s: %v", id, e)
			}
		}
	}
	if e := say(operator, "older", 1); e != nil {
		t.Errorf("the operator's word: %v", e)
	}
	check := func(a *App) {
		t.Helper()
		if n := a.shared.Evidence.Weight("a/x", "math", now); math.Abs(n-2) > 1e-6 {
			t.Errorf("evidence is worth %v answers, want 2", n)
		}
		if q := a.shared.Evidence.Quality("a/x", "math", 0.75, 0, now); math.Abs(q-0.75) > 1e-6 { // (0.5 + 1) / 2
			t.Errorf("quality = %v, want 0.75", q)
		}
	}
	check(a)
	if f, err := lastWord(ctx, ledger, "older"); err != nil || f == nil || f.Score != 1 {
		t.Errorf("the last word on older: %+v, %v", f, err)
	}
	if f := a.recent.Said("recent"); f == nil || f.Score != 0 {
		t.Errorf("the last word on recent: %+v", f)
	}
	if err := a.keepEvidence(ctx); err != nil {
		t.Fatal(err)
	}
	next, _ := watching(t, "")
	next.ledger = ledger
	if err := next.recallEvidence(ctx); err != nil {
		t.Fatal(err)
	}
	check(next)
}

// However often clients complain, a target stays in rotation; one that is out of it
// is judged also where no others are, so that it comes back.
func TestComplaintsEjectNobody(t *testing.T) {
	a, gen := watching(t, "quality: {sample: 0}\n")
	x := gen.gw.Targets[0]
	for i := range 300 {
		a.watched(&quality.Verdict{Target: x.ID, Score: math.NaN(), Opinion: -1, By: "k"}, time.Now().Add(time.Duration(i)*time.Hour))
	}
	if x.State.Benched() {
		t.Error("complaints have taken the target out of rotation")
	}
	now := time.Now()
	req := &llm.Request{ID: "id", Trail: llm.NewTrail("id", now, func(*llm.Trail) {})}
	if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpChat, &wire.Buffer{B: []byte(`{"model":"both","messages":[{"role":"user","content":"hi"}]}`)}, req); bad != nil {
		t.Fatal(bad)
	}
	attempt := req.Trail.Begin("both", x.ID, "1", now)
	for _, benched := range []bool{true, false} {
		ear := x.Listen(req, attempt, benched)
		if (ear != nil) != benched {
			t.Errorf("out of rotation %v, judged %v", benched, ear != nil)
		}
		if ear != nil {
			ear.Drop()
		}
	}
}

// A process that takes over knows what became of a canary while it started.
func TestCanaryTakenOver(t *testing.T) {
	ctx := context.Background()
	ledger, err := store.Open(ctx, filepath.Join(t.TempDir(), "l.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close(ctx)
	process := func() *App {
		gen, sh := built(t, "listen: 127.0.0.1:0\nproviders: {openai: {api_key: k}}\nmodels:\n  chat: {split: {arms: [{model: openai/a}, {model: openai/b}], canary: {arm: openai/b}}}\n")
		a := &App{shared: sh, log: slog.New(slog.DiscardHandler), ledger: ledger, herald: newHerald(func(why error) { t.Error(why) })}
		a.current.Store(gen)
		a.recallCanaries(ctx)
		a.adoptSplits(gen)
		return a
	}
	old := process()
	old.keepCanaries(ctx)
	next := process()
	if !old.shared.Book.Split("chat").Canary().RollBack() {
		t.Fatal("not rolled back")
	}
	old.keepCanaries(ctx)
	next.takeOver(ctx)
	next.keepCanaries(ctx)
	for name, a := range map[string]*App{"the new process": next, "one after it": process()} {
		if share := a.shared.Book.Split("chat").Canary().Share(); share != 0 {
			t.Errorf("%s gives the canary %v", name, share)
		}
	}
}
