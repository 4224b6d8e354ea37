package quality

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const fortnight = 14 * 24 * time.Hour

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within || math.IsNaN(got) {
		t.Errorf("%s = %.4f, want %.4f", what, got, want)
	}
}

func scored(target, task string, score float64) *Verdict {
	v := of(target, task, 0)
	v.Score = score
	return v
}

// Scores move what was thought by their number, and fade.
func TestEvidenceScores(t *testing.T) {
	e := NewEvidence(fortnight)
	near(t, "nothing known", e.Quality("a", "math", 0.6, 50, noon), 0.6, 0)
	for range 50 {
		e.Observe(scored("a", "math", 0.9), noon)
	}
	near(t, "as many as the prior", e.Quality("a", "math", 0.6, 50, noon), 0.75, 1e-9)
	near(t, "of another task", e.Quality("a", "coding", 0.6, 50, noon), 0.6, 1e-9)
	near(t, "of any task", e.Quality("a", "", 0.6, 50, noon), 0.75, 1e-9)
	near(t, "of another target", e.Quality("b", "math", 0.6, 50, noon), 0.6, 0)
	near(t, "a half-life later", e.Quality("a", "math", 0.6, 25, noon.Add(fortnight)), 0.75, 1e-9)
	near(t, "weight", e.Weight("a", "math", noon.Add(fortnight)), 25, 1e-9)
}

// Answers in which gates find nothing say nothing of how good they are; those in
// which they do lower what was thought by their share.
func TestEvidenceFlags(t *testing.T) {
	e := NewEvidence(fortnight)
	for range 1000 {
		e.Observe(of("sound", "math", 0), noon)
	}
	near(t, "sound", e.Quality("sound", "math", 0.6, 50, noon), 0.6, 1e-9)
	for i := range 1000 {
		f := llm.Flags(0)
		if i%2 == 0 {
			f = llm.FlagEmpty
		}
		e.Observe(of("half", "math", f), noon)
	}
	near(t, "half of them flawed", e.Quality("half", "math", 0.6, 50, noon), 0.6*0.5/0.95, 0.01)
	near(t, "a task that was not judged", e.Quality("half", "coding", 0.6, 50, noon), 0.6*0.5/0.95, 0.01)
}

// A client's last word takes the place of the one before.
func TestEvidenceWithdraw(t *testing.T) {
	e := NewEvidence(fortnight)
	say := func(x float64) *Verdict {
		v := of("a", "math", 0)
		v.Opinion = x
		return v
	}
	e.Observe(say(-1), noon)
	later := noon.Add(fortnight)
	e.Withdraw(say(-1), noon, later)
	e.Observe(say(1), later)
	near(t, "quality", e.Quality("a", "math", 0.5, 1, later), 0.75, 1e-9)
	near(t, "weight", e.Weight("a", "math", later), 1, 1e-9)
}

// What is kept is what was known.
func TestEvidenceRestore(t *testing.T) {
	e := NewEvidence(fortnight)
	e.Observe(scored("a", "math", 0.9), noon)
	e.Observe(of("a", "math", llm.FlagEmpty), noon)
	rows := e.Changed()
	if len(rows) != 2 || len(e.Changed()) != 0 {
		t.Fatalf("rows = %+v", rows)
	}
	again := NewEvidence(fortnight)
	again.Restore(append(rows, Row{Target: "b", Alpha: math.Inf(1), Beta: -1, Sound: math.NaN(), At: noon}))
	for _, task := range []string{"", "math"} {
		near(t, "restored "+task, again.Quality("a", task, 0.5, 10, noon), e.Quality("a", task, 0.5, 10, noon), 1e-12)
	}
	near(t, "what makes no sense", again.Quality("b", "", 0.5, 10, noon), 0.5, 1e-9)
}

func TestEvidenceConcurrent(t *testing.T) {
	e := NewEvidence(fortnight)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 500 {
				if i%2 == 0 {
					e.Observe(scored("a", []string{"math", "coding"}[j%2], 0.5), noon)
				} else {
					_ = e.Quality("a", "math", 0.5, 10, noon)
				}
			}
		})
	}
	all.Wait()
	near(t, "weight", e.Weight("a", "", noon), 1000, 1e-6)
}

func TestEvidenceAllocates(t *testing.T) {
	e := NewEvidence(fortnight)
	e.Observe(scored("openai/gpt-4o", "math", 0.9), noon)
	if n := testing.AllocsPerRun(100, func() { _ = e.Quality("openai/gpt-4o", "math", 0.5, 10, noon) }); n != 0 {
		t.Errorf("reading allocates %.0f times", n)
	}
}

// Whatever names clients give to tasks, evidence stays bounded, and what is known
// best of a target stays.
func TestEvidenceIsBounded(t *testing.T) {
	e, at := NewEvidence(fortnight), noon
	for range 50 {
		e.Observe(scored("a", "coding", 0), at)
	}
	for i := range 9000 {
		at = at.Add(time.Second)
		e.Observe(scored("a", fmt.Sprint("task-", i), 1), at)
		e.Observe(scored("a", strings.Repeat("x", maxTask+1), 1), at)
	}
	if n := len(*(*e.targets.Load())["a"].tasks.Load()); n != maxTasks {
		t.Errorf("%d tasks of one target, want %d", n, maxTasks)
	}
	if q := e.Quality("a", "coding", 0.9, 20, at); q > 0.3 {
		t.Errorf("what was known of coding is gone: %v", q)
	}
	for range 1000 {
		e.Observe(scored("a", "math", 0), at)
		e.Observe(scored("new", "coding", 0), at)
	}
	for target, task := range map[string]string{"a": "math", "new": "coding"} {
		if q := e.Quality(target, task, 0.9, 20, at); q > 0.1 {
			t.Errorf("1,000 answers of %s to %s teach nothing: %v", target, task, q)
		}
	}
	for i := range 2 * maxTargets {
		e.Observe(scored(fmt.Sprint("target-", i), "", 1), at.Add(time.Second))
	}
	if n := len(*e.targets.Load()); n != maxTargets {
		t.Errorf("%d targets, want %d", n, maxTargets)
	}
}
