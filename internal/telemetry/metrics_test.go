package telemetry

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// scrape returns the samples of m that are ours, by series.
func scrape(t testing.TB, m *Metrics) map[string]string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("got status %d: %s", rec.Code, rec.Body)
	}
	out := map[string]string{}
	for line := range strings.Lines(rec.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			out[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return out
}

func want(t *testing.T, got map[string]string, series map[string]string) {
	t.Helper()
	for name, value := range series {
		if got[name] != value {
			t.Errorf("%s: got %q, want %q", name, got[name], value)
		}
	}
}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

var (
	someModels  = set("gpt-4", "claude-3")
	someTargets = set("openai/gpt-4o", "anthropic/claude")
)

func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2.3")
	m.Known(someModels, someTargets)
	m.Targets = func(yield func(string, TargetState)) {
		yield("openai/gpt-4o", TargetState{3, 2, 2, "open"})
		yield("stranger/a", TargetState{1, 5, 1, "half_open"})
		yield("stranger/b", TargetState{4, 1, 0, "drained"})
		yield("stranger/c", TargetState{0, 0, 0, "drained"})
	}
	m.LedgerDropped = func() uint64 { return 5 }
	m.LogDropped = func() uint64 { return 6 }
	m.Shed = func() float64 { return 1.25 }
	m.Arms = func(yield func(string, string, float64, int64, int64)) { yield("chat", "gpt-4", 0.75, 12, 2) }
	m.Record(whole(t))
	m.Record(settled(t, 701, nil, failed, second))
	m.Record(settled(t, 1, func(t *llm.Trail) { t.Status = 401 }))
	m.Limited("in_flight")
	m.Limited("whatever")

	got := scrape(t, m)
	chat := `{gen_ai_operation_name="chat",gen_ai_request_model="gpt-4"}`
	want(t, got, map[string]string{
		"gen_ai_client_operation_duration_seconds_count" + chat:                                                                "2",
		"gen_ai_client_operation_duration_seconds_sum" + chat:                                                                  "1.5135",
		`gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name="chat",gen_ai_request_model="gpt-4",le="1.28"}`: "2",
		"gen_ai_server_time_to_first_token_seconds_sum" + chat:                                                                 "0.23025",
		"gen_ai_server_time_to_first_token_seconds_count" + chat:                                                               "1",
		`gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_request_model="gpt-4",gen_ai_token_type="input"}`:   "220",
		`gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_request_model="gpt-4",gen_ai_token_type="output"}`:  "390",
		`sluice_requests_total{code="200",model="gpt-4"}`:                                                                      "2",
		`sluice_requests_total{code="401",model="gpt-4"}`:                                                                      "1",
		`sluice_attempts_total{outcome="ok",target="openai/gpt-4o"}`:                                                           "1",
		`sluice_attempts_total{outcome="upstream_error",target="openai/gpt-4o"}`:                                               "1",
		`sluice_attempts_total{outcome="ok",target="anthropic/claude"}`:                                                        "1",
		"sluice_overhead_seconds_count":                                                                                        "2",
		`sluice_overhead_seconds_bucket{le="0.0005"}`:                                                                          "1",
		"sluice_failover_seconds_count":                                                                                        "1",
		`sluice_failover_seconds_bucket{le="0.0005"}`:                                                                          "1",
		`sluice_cost_usd_total{model="gpt-4",target="openai/gpt-4o"}`:                                                          "0.023940001",
		`sluice_cost_usd_total{model="claude-3",target="anthropic/claude"}`:                                                    "0.00105",
		`sluice_tokens_total{kind="cached_read",model="gpt-4",target="openai/gpt-4o"}`:                                         "64",
		`sluice_tokens_total{kind="output",model="claude-3",target="anthropic/claude"}`:                                        "50",
		`sluice_limited_total{reason="in_flight"}`:                                                                             "1",
		`sluice_limited_total{reason="other"}`:                                                                                 "1",
		`sluice_in_flight{target="openai/gpt-4o"}`:                                                                             "3",
		`sluice_breaker_state{target="openai/gpt-4o"}`:                                                                         "2",
		`sluice_in_flight{target="other"}`:                                                                                     "5",
		`sluice_queue_depth{target="openai/gpt-4o"}`:                                                                           "2",
		`sluice_queue_depth{target="other"}`:                                                                                   "6",
		`sluice_breaker_state{target="other"}`:                                                                                 "1",
		`sluice_target_state{state="open",target="openai/gpt-4o"}`:                                                             "1",
		`sluice_target_state{state="drained",target="other"}`:                                                                  "2",
		"sluice_ledger_dropped_total":                                                                                          "5",
		"sluice_log_dropped_total":                                                                                             "6",
		`sluice_arm_share{arm="gpt-4",model="chat"}`:                                                                           "0.75",
		`sluice_arm_requests_total{arm="gpt-4",model="chat"}`:                                                                  "12",
		`sluice_arm_errors_total{arm="gpt-4",model="chat"}`:                                                                    "2",
		"sluice_shed_level": "1.25",
	})
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if _, found := got[name]; !found {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestHedge: an attempt that began before the other failed is no failover.
func TestHedge(t *testing.T) {
	m := NewMetrics("test")
	m.Record(settled(t, 10, nil, call{"a", "a/a", 1, 8, "timeout", llm.Usage{}, 0}, call{"a", "a/b", 4, 9, "ok", llm.Usage{}, 0}))
	m.Record(settled(t, 10, nil, call{"a", "a/a", 1, 2, "ok", llm.Usage{}, 0}, call{"a", "a/b", 4, 9, "ok", llm.Usage{}, 0}))
	want(t, scrape(t, m), map[string]string{"sluice_failover_seconds_count": "0", "sluice_overhead_seconds_count": "2"})
}

// TestFailover: it counts from the first failure to the first byte that another
// target or credential is sent; waiting for the same one is none.
func TestFailover(t *testing.T) {
	m := NewMetrics("test")
	record := func(change func([]*llm.Attempt), calls ...call) {
		m.Record(settled(t, 10, func(t *llm.Trail) {
			if change != nil {
				change(t.Attempts())
			}
		}, calls...))
	}
	refused := call{"a", "a/a", 1, 2, "connect", llm.Usage{}, 0}
	record(nil, refused, call{"a", "a/b", 4, 9, "ok", llm.Usage{}, 0}) // 2 ms
	record(nil, refused, call{"a", "a/a", 4, 9, "ok", llm.Usage{}, 0}) // the same
	record(func(all []*llm.Attempt) { all[1].Credential = "2" }, refused, call{"a", "a/a", 4, 9, "ok", llm.Usage{}, 0})
	record(nil, refused, call{"a", "a/b", 3, 3, "connect", llm.Usage{}, 0}, call{"a", "a/c", 4, 9, "ok", llm.Usage{}, 0}) // 1 ms, 1 ms
	record(nil, call{"a", "a/a", 1, 5, "lost", llm.Usage{}, 0}, call{"a", "a/b", 6, 9, "ok", llm.Usage{}, 0})
	want(t, scrape(t, m), map[string]string{
		"sluice_failover_seconds_count":               "4",
		`sluice_failover_seconds_bucket{le="0.0005"}`: "0",
		`sluice_failover_seconds_bucket{le="0.005"}`:  "4",
	})
}

func TestNoted(t *testing.T) {
	m := NewMetrics("test")
	for _, c := range []struct{ note, outcome string }{
		{llm.NoteHedge, "ok"}, {llm.NoteHedge, "lost"}, {llm.NoteHedge, "timeout"}, {llm.NoteResume, "ok"}, {llm.NoteResume, "upstream_error"}, {"", "ok"},
	} {
		m.Record(settled(t, 10, func(t *llm.Trail) { t.Attempts()[0].Note = c.note }, call{"a", "a/a", 1, 2, c.outcome, llm.Usage{}, 0}))
	}
	m.Known(set("gpt-4"), someTargets)
	m.Record(settled(t, 10, func(t *llm.Trail) { t.Degraded = 2 }))
	want(t, scrape(t, m), map[string]string{
		`sluice_hedges_total{result="ok"}`: "1", `sluice_hedges_total{result="lost"}`: "1", `sluice_hedges_total{result="failed"}`: "1",
		`sluice_resumed_total{result="ok"}`: "1", `sluice_resumed_total{result="failed"}`: "1",
		`sluice_degraded_total{level="2",model="gpt-4"}`: "1",
	})
}

func TestGuards(t *testing.T) {
	m := NewMetrics("test")
	said := func(guard, stage, action string) {
		m.Record(settled(t, 10, func(t *llm.Trail) { t.Guards = []llm.Verdict{{Guard: guard, Stage: stage, Action: action}} }))
	}
	said("words", llm.StageInput, llm.GuardMask)
	m.Guards(map[string]bool{"words": true, "gone": true})
	said("words", llm.StageOutput, llm.GuardBlock)
	said("gone", llm.StageInput, llm.GuardPass)
	m.Guards(map[string]bool{"words": true})
	got := scrape(t, m)
	want(t, got, map[string]string{
		`sluice_guard_total{action="mask",guard="other",stage="input"}`: "1", `sluice_guard_total{action="block",guard="words",stage="output"}`: "1",
	})
	if strings.Contains(fmt.Sprint(got), "gone") {
		t.Error("a guard that is gone is still told")
	}
}

// TestStrange: nothing that a vendor or clock may bring makes a counter panic.
func TestStrange(t *testing.T) {
	m := NewMetrics("test")
	m.Record(settled(t, -10, func(t *llm.Trail) { t.Stream, t.First, t.Op = true, at(-3), 99 },
		call{"\xff", "\xff", 5, -5, "made up", llm.Usage{Input: -1, Output: -2}, -3}))
	got := scrape(t, m)
	want(t, got, map[string]string{`sluice_attempts_total{outcome="other",target="other"}`: "1"})
}

// TestLabelBounds: whatever is asked for, the number of series does not grow.
func TestLabelBounds(t *testing.T) {
	m := NewMetrics("test")
	m.Known(set("gpt-4", "not\xffutf8", other), someTargets)
	record := func(i int) {
		name := fmt.Sprint("name-", i)
		m.Record(settled(t, 2, func(t *llm.Trail) {
			t.Model, t.Status, t.Outcome = name, 1000+i, name
		}, call{name, name, 0, 1, name, llm.Usage{Input: 1}, 1}))
		m.Record(settled(t, 2, func(t *llm.Trail) { t.Model = "not\xffutf8" }))
		m.Limited(name)
	}
	record(0)
	before := len(scrape(t, m))
	for i := range 200 {
		record(i)
	}
	got := scrape(t, m)
	if len(got) != before {
		t.Errorf("got %d series, want %d", len(got), before)
	}
	want(t, got, map[string]string{
		`sluice_requests_total{code="other",model="other"}`: "201",
		`sluice_requests_total{code="200",model="other"}`:   "201",
	})
	if m := m.known.Load().requests.p.Load(); len(*m) != 1 {
		t.Errorf("got %d request series remembered, want 1", len(*m))
	}
}

// TestKnownChanges: names that are gone take their series with them, the
// others keep counting.
func TestKnownChanges(t *testing.T) {
	m := NewMetrics("test")
	models := set("gpt-4", "claude-3")
	m.Known(models, someTargets)
	delete(models, "gpt-4") // the map is not kept
	a, b := settled(t, 701, nil, failed, second), settled(t, 701, func(t *llm.Trail) { t.Model = "claude-3" }, second)
	m.Record(a)
	m.Record(b)
	want(t, scrape(t, m), map[string]string{`sluice_requests_total{code="200",model="gpt-4"}`: "1"})

	old := m.known.Load()
	m.Known(set("claude-3"), set("anthropic/claude"))
	// A record that began before the change must not bring the name back.
	m.requestsOf(old, requestKey{"gpt-4", 503}).Inc()
	m.Record(a)
	m.Record(b)
	got := scrape(t, m)
	for name := range got {
		if strings.Contains(name, `"gpt-4"`) || strings.Contains(name, `"openai/gpt-4o"`) {
			t.Errorf("%s is still there", name)
		}
	}
	want(t, got, map[string]string{
		`sluice_requests_total{code="200",model="claude-3"}`:                           "2",
		`sluice_requests_total{code="200",model="other"}`:                              "1",
		`sluice_requests_total{code="503",model="other"}`:                              "1",
		`sluice_attempts_total{outcome="upstream_error",target="other"}`:               "1",
		`sluice_attempts_total{outcome="ok",target="anthropic/claude"}`:                "4",
		`sluice_tokens_total{kind="input",model="claude-3",target="anthropic/claude"}`: "400",
	})
}

func TestMetricsConcurrent(t *testing.T) {
	m := NewMetrics("test")
	m.Targets = func(yield func(string, TargetState)) { yield("openai/gpt-4o", TargetState{InFlight: 1}) }
	const writers, each = 4, 300
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				m.Record(whole(t))
				m.Record(settled(t, 701, nil, failed, second))
				m.Limited("body")
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			if i%2 == 0 {
				m.Known(someModels, someTargets)
			} else {
				m.Known(set("gpt-4"), set("openai/gpt-4o"))
			}
			scrape(t, m)
		}
	})
	wg.Wait()
	want(t, scrape(t, m), map[string]string{
		"sluice_overhead_seconds_count":       fmt.Sprint(2 * writers * each),
		`sluice_limited_total{reason="body"}`: fmt.Sprint(writers * each),
	})
}

func TestOutcomes(t *testing.T) {
	for _, name := range []string{"ok", "internal", "upstream_error", "canceled"} {
		if got := outcome(name); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	for _, name := range []string{"", "unknown", "x"} {
		if got := outcome(name); got != other {
			t.Errorf("%q: got %q, want %q", name, got, other)
		}
	}
}

func BenchmarkRecordMetrics(b *testing.B) {
	for _, bc := range []struct {
		name  string
		trail *llm.Trail
	}{{"one", whole(b)}, {"failover", settled(b, 701, nil, failed, second)}} {
		b.Run(bc.name, func(b *testing.B) {
			m := NewMetrics("bench")
			m.Known(someModels, someTargets)
			m.Record(bc.trail)
			b.ReportAllocs()
			for b.Loop() {
				m.Record(bc.trail)
			}
		})
	}
}
