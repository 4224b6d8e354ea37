package telemetry

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 2, 3, 4, 5, 6, 7_890_000, time.UTC)

func at(ms float64) time.Time { return began.Add(time.Duration(ms * 1e6)) }

// call is an attempt of a test's trail, in milliseconds from its start.
type call struct {
	model, target string
	from, to      float64
	outcome       string
	usage         llm.Usage
	cost          llm.Money
}

// settled makes a settled trail of calls; fill sets the rest.
func settled(t testing.TB, end float64, fill func(*llm.Trail), calls ...call) *llm.Trail {
	t.Helper()
	done := false
	trail := llm.NewTrail("req_1", began, func(*llm.Trail) { done = true })
	trail.Op, trail.Proto, trail.Model = llm.OpChat, llm.ProtoOpenAI, "gpt-4"
	trail.Status, trail.Outcome = 200, "ok"
	var open []*llm.Attempt
	for _, c := range calls {
		open = append(open, trail.Begin(c.model, c.target, "1", at(c.from)))
	}
	for i, c := range calls {
		if i > 0 {
			open[i].MarkSent(at(c.from))
		}
		open[i].Finish(c.outcome, c.usage, c.cost, at(c.to))
	}
	if n := len(calls); n > 0 {
		trail.Answered, trail.Target, trail.Strategy = calls[n-1].model, calls[n-1].target, "weighted"
	}
	if fill != nil {
		fill(trail)
	}
	trail.Close(at(end))
	if !done {
		t.Fatal("trail is not settled")
	}
	return trail
}

var (
	plainCall = call{"gpt-4", "openai/gpt-4o", 0.1, 812.3, "ok", llm.Usage{Input: 120, CachedRead: 64, Output: 340}, 23_940_001}
	failed    = call{"gpt-4", "openai/gpt-4o", 0.1, 100.1, "upstream_error", llm.Usage{}, 0}
	second    = call{"claude-3", "anthropic/claude", 100.5, 700.5, "ok", llm.Usage{Input: 100, Output: 50, Estimated: true}, 1_050_000}
)

// whole is a trail with every field of a good answer.
func whole(t testing.TB) *llm.Trail {
	return settled(t, 812.5, func(t *llm.Trail) {
		t.Caller = llm.Caller{Key: "team-a", Session: "s-1"}
		t.Stream, t.First = true, at(230.25)
	}, plainCall)
}

func TestBusy(t *testing.T) {
	span := func(from, to float64) call { return call{from: from, to: to, outcome: "ok"} }
	for _, tc := range []struct {
		name  string
		calls []call
		want  float64
	}{
		{"none", nil, 0},
		{"one", []call{span(1, 9)}, 8},
		{"in turn", []call{span(1, 3), span(5, 9)}, 6},
		{"overlapping", []call{span(1, 6), span(4, 9)}, 8},
		{"one inside another", []call{span(1, 9), span(4, 5)}, 8},
		{"straggler", []call{span(1, 20), span(4, 9)}, 9},
		{"begun after the end", []call{span(1, 2), span(12, 14)}, 1},
	} {
		trail := settled(t, 10, nil, tc.calls...)
		if got, want := busy(trail, trail.Attempts()), at(tc.want).Sub(began); got != want {
			t.Errorf("%s: got %v, want %v", tc.name, got, want)
		}
	}
}
