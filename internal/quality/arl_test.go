//go:build !race

package quality

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func answered(target, task string, bad bool) *Verdict {
	v := &Verdict{Target: target, Task: task, Score: math.NaN(), Opinion: math.NaN()}
	if bad {
		v.Flags = llm.FlagEmpty
	}
	return v
}

// All series together give one false alarm in 50,000 answers or fewer, however
// many there are, from the first answer on.
func TestFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("millions of answers")
	}
	const answers = 3_000_000
	for _, tt := range []struct {
		share          float64
		targets, tasks int
	}{{0.05, 1, 1}, {0.05, 8, 6}, {0.01, 4, 3}, {0.001, 4, 3}} {
		rng := rand.New(rand.NewPCG(1, uint64(tt.share*1e4)))
		m, at, alarms := NewMonitor(), time.Unix(1_800_000_000, 0), 0
		targets, tasks := letters("t", tt.targets), letters("task", tt.tasks)
		for range answers {
			at = at.Add(time.Second)
			v := answered(targets[rng.IntN(tt.targets)], tasks[rng.IntN(tt.tasks)], rng.Float64() < tt.share)
			for _, a := range m.Observe(v, at) {
				if !a.Over {
					alarms++
				}
			}
		}
		t.Logf("%.1f %% bad, %d targets with %d tasks each: %d alarms in %d answers", 100*tt.share, tt.targets, tt.tasks, alarms, answers)
		if alarms > answers/50_000 {
			t.Errorf("%.1f %% bad, %d targets with %d tasks each: %d false alarms in %d answers, want at most %d", 100*tt.share, tt.targets, tt.tasks, alarms, answers, answers/50_000)
		}
	}
}

func letters(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + string(rune('a'+i))
	}
	return out
}

// A rise is found soon: how many answers it takes, whatever was usual before.
func TestDelay(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of runs")
	}
	const runs = 400
	for _, tt := range []struct {
		usual, raised float64
		before        int
		mean, p90     int
	}{
		{0.05, 0.5, 5000, 30, 40},
		{0.05, 0.5, 0, 35, 45}, // nothing is known of the target yet
		{0.05, 0.2, 5000, 120, 200},
		{0.05, 0.1, 5000, 600, 1200},
		{0.01, 0.5, 5000, 20, 30},
	} {
		var delays []int
		for run := range runs {
			rng := rand.New(rand.NewPCG(2, uint64(run)))
			m, at := NewMonitor(), time.Unix(1_800_000_000, 0)
			n, found := 0, false
			for i := 0; !found; i++ {
				share := tt.usual
				if i >= tt.before {
					share = tt.raised
					n++
				}
				at = at.Add(time.Second)
				for _, a := range m.Observe(answered("a", "coding", rng.Float64() < share), at) {
					found = found || !a.Over && i >= tt.before
				}
			}
			delays = append(delays, n)
		}
		slices.Sort(delays)
		sum := 0
		for _, d := range delays {
			sum += d
		}
		mean, p90 := sum/runs, delays[runs*9/10]
		t.Logf("%.0f %% → %.0f %%, after %d answers: found in %d on the mean, %d at p90", 100*tt.usual, 100*tt.raised, tt.before, mean, p90)
		if mean > tt.mean || p90 > tt.p90 {
			t.Errorf("%.0f %% → %.0f %%, after %d answers: found in %d (p90 %d), want %d (%d)", 100*tt.usual, 100*tt.raised, tt.before, mean, p90, tt.mean, tt.p90)
		}
	}
}
