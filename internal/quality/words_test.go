package quality

import (
	"math"
	"testing"
	"time"
)

// word is what a client says of an answer of t.
func word(by string, opinion float64) *Verdict {
	return &Verdict{Target: "t", Score: math.NaN(), Opinion: opinion, By: by}
}

// What clients say is told, and is no share of the answers: whatever they say, the
// target keeps its place.
func TestComplaintsCollapseNoTarget(t *testing.T) {
	for name, answers := range map[string]int{"nothing else is known": 0, "next to good answers": 2} {
		m, now := NewMonitor(), time.Unix(1_700_000_000, 0)
		for range 3000 {
			now = now.Add(time.Minute)
			for range answers {
				m.Observe(&Verdict{Target: "t", Score: math.NaN(), Opinion: math.NaN()}, now)
			}
			for _, al := range m.Observe(word("k", -1), now) {
				t.Errorf("%s: they complain as ever: %+v", name, al)
			}
			if why, bad := m.Collapsed("t"); bad {
				t.Fatalf("%s: collapsed: %s", name, why)
			}
		}
		r := m.Report("t", now)
		if r.BadRate != 0 || r.Feedback == nil || r.Feedback.BadRate != 1 || r.Feedback.Judged < 1000 || r.Score == nil || *r.Score != 0 {
			t.Errorf("%s: %+v, feedback %+v", name, r, r.Feedback)
		}
	}
}

// Clients who complain more than they did are an alarm, many of them and not one.
func TestComplaintsAlarm(t *testing.T) {
	for _, c := range []struct {
		voices int // who complain in a minute
		every  time.Duration
		alarm  bool
	}{{30, time.Minute, true}, {1, time.Second, false}} {
		m, now := NewMonitor(), time.Unix(1_700_000_040, 0)
		name := func(i int) string { return string(rune('a' + i)) }
		for i := range 400 {
			now = now.Add(time.Minute)
			opinion := 1.0
			if i%5 == 0 {
				opinion = -1
			}
			if al := m.Observe(word("k", opinion), now); al != nil {
				t.Fatalf("as usual: %+v", al)
			}
		}
		var alarms []Alarm
		for i := range 59 {
			now = now.Add(c.every)
			alarms = append(alarms, m.Observe(word(name(i%c.voices), -1), now)...)
		}
		if got := len(alarms) == 1 && alarms[0].Words && !alarms[0].Collapsed; got != c.alarm {
			t.Errorf("%d voices: %+v", c.voices, alarms)
		}
		if _, bad := m.Collapsed("t"); bad {
			t.Error("collapsed")
		}
	}
}
