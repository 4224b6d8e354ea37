package quality

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// of makes a verdict of a target's answer.
func of(target, task string, flags llm.Flags) *Verdict {
	return &Verdict{Target: target, Task: task, Flags: flags, Score: math.NaN(), Opinion: math.NaN()}
}

func TestBad(t *testing.T) {
	none := math.NaN()
	for _, tt := range []struct {
		v    Verdict
		want bool
	}{
		{Verdict{Score: none, Opinion: none}, false},
		{Verdict{Flags: llm.FlagJSON, Score: none, Opinion: none}, true},
		{Verdict{Flags: llm.FlagRefused | llm.FlagLoop, Score: none, Opinion: none}, false},
		{Verdict{Flags: llm.FlagTruncated, Score: none, Opinion: none}, true},
		{Verdict{Flags: llm.FlagTruncated | llm.FlagJSON, Cut: true, Score: none, Opinion: none}, false}, // by the client's own bound
		{Verdict{Flags: llm.FlagEmpty | llm.FlagTruncated, Cut: true, Score: none, Opinion: none}, false},
		{Verdict{Flags: llm.FlagJSON, Cut: true, Score: none, Opinion: none}, false},
		{Verdict{Flags: llm.FlagFiltered, Cut: true, Score: none, Opinion: none}, true},
		{Verdict{Score: 0.29, Opinion: none}, true},
		{Verdict{Score: 0.3, Opinion: none}, false},
		{Verdict{Score: none, Opinion: -0.1}, true},
		{Verdict{Score: none, Opinion: 0}, false},
	} {
		if got := tt.v.Bad(); got != tt.want {
			t.Errorf("%+v: bad = %v", tt.v, got)
		}
	}
}

// A target's day, its tasks and its flags are told, and nothing of the day before.
func TestReport(t *testing.T) {
	m := NewMonitor()
	if m.Report("a", noon) != nil {
		t.Error("a target of which nothing was judged has a report")
	}
	m.Observe(of("a", "coding", llm.FlagJSON), noon.Add(-25*time.Hour))
	for i := range 10 {
		m.Observe(of("a", "coding", 0), noon.Add(time.Duration(-i)*time.Hour))
	}
	m.Observe(of("a", "", llm.FlagLoop|llm.FlagEmpty), noon)
	scored := of("a", "math", 0)
	scored.Score = 0.75
	m.Observe(scored, noon)
	r := m.Report("a", noon)
	if r.Judged != 12 || r.BadRate != 0.0833 || r.Score == nil || *r.Score != 0.75 || r.Alarm != nil {
		t.Errorf("report = %+v", r)
	}
	if fmt.Sprint(r.Flags) != "map[empty:1 loop:1]" {
		t.Errorf("flags = %v", r.Flags)
	}
	if x := r.Tasks["coding"]; x.Judged != 10 || x.BadRate != 0 || x.Score != nil || len(r.Tasks) != 3 || r.Tasks[Other].BadRate != 1 {
		t.Errorf("tasks = %+v", r.Tasks)
	}
	if r = m.Report("a", noon.Add(26*time.Hour)); r.Judged != 0 || len(r.Flags) != 0 || r.Score != nil {
		t.Errorf("a day later: %+v", r)
	}
	m.Retain(map[string]bool{"b": true})
	if m.Report("a", noon) != nil {
		t.Error("a target that was not retained has a report")
	}
}

// Names that clients make up do not fill the memory.
func TestBounds(t *testing.T) {
	m := NewMonitor()
	for i := range maxTargets + 10 {
		m.Observe(of(fmt.Sprint("t", i), "", 0), noon)
	}
	for i := range maxTasks + 10 {
		m.Observe(of("t0", fmt.Sprint("task", i), 0), noon)
	}
	m.Observe(of("t0", string(make([]byte, maxTask+1)), 0), noon)
	n := 0
	m.Alarmed(func(string, int) { n++ })
	if r := m.Report("t0", noon); n != maxTargets || len(r.Tasks) != maxTasks || r.Tasks[Other].Judged != 1+1+11 {
		t.Errorf("%d targets, %d tasks, %d of other, want %d, %d, %d", n, len(r.Tasks), r.Tasks[Other].Judged, maxTargets, maxTasks, 13)
	}
}

// feed gives a target answers, one a second, and returns the alarms.
func feed(m *Monitor, at *time.Time, target, task string, flags llm.Flags, n int) (out []Alarm) {
	for range n {
		*at = at.Add(time.Second)
		out = append(out, m.Observe(of(target, task, flags), *at)...)
	}
	return out
}

// A collapse is told once for the target and once for its task, with numbers, and
// its end when answers are as before.
func TestAlarm(t *testing.T) {
	m, at := NewMonitor(), noon
	if got := feed(m, &at, "a", "coding", 0, 500); len(got) != 0 {
		t.Fatalf("alarms without a bad answer: %+v", got)
	}
	began := feed(m, &at, "a", "coding", llm.FlagJSON, 20)
	if len(began) != 2 || began[0].Task != "" || began[1].Task != "coding" {
		t.Fatalf("alarms = %+v", began)
	}
	a := began[0]
	if a.Over || !a.Collapsed || a.Target != "a" || a.Bad < 5 || a.Judged < a.Bad || a.Usual > 0.05 || a.Statistic < a.Bound || a.Flags["invalid_json"] < 5 {
		t.Errorf("alarm = %+v", a)
	}
	if why, ok := m.Collapsed("a"); !ok || why == "" {
		t.Errorf("collapsed = %q, %v", why, ok)
	}
	if r := m.Report("a", at); r.Alarm == nil || r.Alarm.Task != "" || !r.Alarm.Collapsed || r.Tasks["coding"].Alarm == nil {
		t.Errorf("report = %+v", r)
	}
	ended := feed(m, &at, "a", "coding", 0, 50)
	if len(ended) != 2 || !ended[0].Over || ended[0].Adopted {
		t.Errorf("ends = %+v", ended)
	}
	if _, ok := m.Collapsed("a"); ok || m.Report("a", at).Alarm != nil {
		t.Error("the alarm is still on")
	}
}

// One task that becomes bad alarms, while the others hide it in the whole.
func TestTaskAlarm(t *testing.T) {
	m, at := NewMonitor(), noon
	feed(m, &at, "a", "chat", 0, 2000)
	var got []Alarm
	for range 15 {
		got = append(got, feed(m, &at, "a", "json", llm.FlagSchema, 1)...)
		got = append(got, feed(m, &at, "a", "chat", 0, 60)...)
	}
	if len(got) != 1 || got[0].Task != "json" {
		t.Fatalf("alarms = %+v", got)
	}
	if _, ok := m.Collapsed("a"); ok {
		t.Error("the target has collapsed for one task's sake")
	}
	if r := m.Report("a", at); r.Alarm == nil || r.Alarm.Task != "json" {
		t.Errorf("report = %+v", r.Alarm)
	}
}

// What has been so for a day without being a collapse is the usual from then on.
func TestAdopted(t *testing.T) {
	m, at := NewMonitor(), noon
	var got []Alarm
	for range 2000 { // every fifth is bad
		at = at.Add(time.Minute)
		got = append(got, m.Observe(of("a", "", llm.FlagTruncated), at)...)
		for range 4 {
			got = append(got, m.Observe(of("a", "", 0), at)...)
		}
	}
	if len(got) != 4 || got[0].Over || got[0].Collapsed || !got[2].Adopted || !got[3].Adopted || got[2].Usual < 0.15 {
		t.Errorf("alarms = %+v", got)
	}
}

// A client's last word takes the place of the one before.
func TestAmend(t *testing.T) {
	m := NewMonitor()
	said := func(x float64) *Verdict {
		v := of("a", "math", 0)
		v.Opinion = x
		return v
	}
	m.Observe(said(-1), noon)
	m.Amend(said(-1), said(0.5))
	r := m.Report("a", noon.Add(time.Hour))
	if f := r.Feedback; r.Judged != 0 || f.Judged != 1 || f.BadRate != 0 || *f.Score != 0.75 || *r.Score != 0.75 || *r.Tasks["math"].Score != 0.75 {
		t.Errorf("report = %+v", r)
	}
}

// Alarms that are on become collapses when it gets worse.
func TestWorse(t *testing.T) {
	m, at := NewMonitor(), noon
	for range 100 {
		feed(m, &at, "a", "", llm.FlagTruncated, 1)
		feed(m, &at, "a", "", 0, 5)
	}
	if r := m.Report("a", at); r.Alarm == nil || r.Alarm.Collapsed {
		t.Fatalf("alarm = %+v", r.Alarm)
	}
	got := feed(m, &at, "a", "", llm.FlagEmpty, 20)
	if len(got) != 2 || !got[0].Collapsed || got[0].Over {
		t.Errorf("alarms = %+v", got)
	}
	m.Reset("a")
	if _, ok := m.Collapsed("a"); ok || m.Report("a", at).Alarm != nil {
		t.Error("the operator's reset has not ended it")
	}
}

func BenchmarkObserve(b *testing.B) {
	m, e := NewMonitor(), NewEvidence(14*24*time.Hour)
	v := of("openai/gpt-4o", "coding", 0)
	b.ReportAllocs()
	for i := range b.N {
		at := noon.Add(time.Duration(i) * time.Millisecond)
		e.Observe(v, at)
		m.Observe(v, at)
	}
}
