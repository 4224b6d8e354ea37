package app

import (
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
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
// not.
func TestSettleQuality(t *testing.T) {
	a, _ := watching(t, "")
	now := time.Now()
	tr := llm.NewTrail("id", now, a.settleQuality)
	tr.Task = "math"
	refused, passed, ungated := tr.Begin("both", "a/x", "1", now), tr.Begin("both", "b/x", "1", now), tr.Begin("one", "a/y", "1", now)
	refused.Judged(llm.FlagJSON, math.NaN())
	passed.Judged(0, 0.9)
	for _, x := range []*llm.Attempt{refused, passed, ungated} {
		x.Finish("ok", llm.Usage{}, 0, now)
	}
	tr.Close(now)
	report := func(id string) *quality.Report { return a.shared.Monitor.Report(id, now) }
	if r := report("a/x"); r == nil || r.Tasks["math"].BadRate != 1 || r.Flags["invalid_json"] != 1 {
		t.Errorf("refused: %+v", r)
	}
	if r := report("b/x"); r == nil || r.BadRate != 0 || r.Score == nil || *r.Score != 0.9 {
		t.Errorf("passed: %+v", r)
	}
	if r := report("a/y"); r != nil {
		t.Errorf("ungated: %+v", r)
	}
}
