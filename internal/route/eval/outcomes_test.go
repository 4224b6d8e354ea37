//go:build !race

package eval

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// data returns the path of a file of $SLUICE_DATA/routing.
func data(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds routing/, labelled outcomes")
	}
	if testing.Short() {
		t.Skip("trains for a minute")
	}
	return filepath.Join(root, "routing", name)
}

// outcomes reads labelled outcomes.
func outcomes(t *testing.T, name string) []learned.Example {
	t.Helper()
	f, err := os.Open(data(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := learned.ReadExamples(f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// domains reads which domain each of the two models' tasks is of.
func domains(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(data(t, "domains.json"))
	if err != nil {
		t.Fatal(err)
	}
	domain := map[string]string{}
	if err := json.Unmarshal(b, &domain); err != nil {
		t.Fatal(err)
	}
	return domain
}

// A router that is learned of one part of the outcomes and measured on the rest
// is worth what is said of it.
func TestLearned(t *testing.T) {
	t.Parallel()
	folded := func(name string) Score {
		all := outcomes(t, name)
		trial, used := NewTrial(all, Models(all))
		est, err := trial.Folded(used, 5)
		if err != nil {
			t.Fatal(err)
		}
		s := trial.Run(est["learned"]).Score()
		t.Logf("%s: %+v", name, s)
		return s
	}
	if s := folded("two_models.jsonl.gz"); s.APGR < 0.655 || s.SavingAt95 < 0.47 {
		t.Errorf("two models: APGR %.3f, saving at 95 %% %.3f", s.APGR, s.SavingAt95)
	}
	if s := folded("nine_models.jsonl.gz"); s.GainOverBest < 0.04 || s.SavingAtBest < 0.6 {
		t.Errorf("nine models: gain %.3f, saving %.3f", s.GainOverBest, s.SavingAtBest)
	}
}

// A router that has never seen a domain is no worse there than chance.
func TestUnseenDomains(t *testing.T) {
	t.Parallel()
	all, domain := outcomes(t, "two_models.jsonl.gz"), domains(t)
	without := [][]string{{"math", "physics", "engineering"}, {"math"}, {"biology", "health", "psychology"}}
	if os.Getenv("SLUICE_SOAK") != "" { // each by itself: minutes
		without = nil
		for _, d := range slices.Compact(slices.Sorted(maps.Values(domain))) {
			without = append(without, []string{d})
		}
	}
	for _, without := range without {
		t.Run(strings.Join(without, "+"), func(t *testing.T) {
			t.Parallel()
			var train, test []learned.Example
			for _, e := range all {
				if slices.Contains(without, domain[e.Task]) {
					test = append(test, e)
				} else {
					train = append(train, e)
				}
			}
			m, err := learned.Train(train, learned.Options{})
			if err != nil {
				t.Fatal(err)
			}
			trial, used := NewTrial(test, m.Models)
			s := trial.Run(trial.learned(used, m)).Score()
			t.Logf("%d prompts, %+v", len(test), s)
			if s.APGR < 0.5 {
				t.Errorf("APGR %.3f", s.APGR)
			}
		})
	}
}

// What a prompt asks for is told for prompts that were not seen.
func TestClassify(t *testing.T) {
	t.Parallel()
	share := func(name string, labels learned.Options, right func(*learned.Model, *learned.Estimate, learned.Example) bool) float64 {
		all := outcomes(t, name)
		var train, test []learned.Example
		for i, n := range rand.New(rand.NewPCG(5, 5)).Perm(len(all)) {
			if i%5 == 0 {
				test = append(test, all[n])
			} else {
				train = append(train, all[n])
			}
		}
		m, err := learned.Train(train, labels)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var e learned.Estimate
		for _, x := range test {
			m.Estimate(&e, x.Prompt)
			if right(m, &e, x) {
				n++
			}
		}
		return float64(n) / float64(len(test))
	}
	task := share("nine_models.jsonl.gz", learned.Options{}, func(m *learned.Model, e *learned.Estimate, x learned.Example) bool {
		i, _ := e.Best()
		return m.Tasks[i] == x.Task
	})
	domain := domains(t)
	field := share("two_models.jsonl.gz", learned.Options{Domain: domain}, func(m *learned.Model, e *learned.Estimate, x learned.Example) bool {
		return m.Domains[slices.Index(e.Domain, slices.Max(e.Domain))] == domain[x.Task]
	})
	t.Logf("of 14 tasks %.4f, of 14 domains %.4f told right", task, field)
	if task < 0.90 || field < 0.86 {
		t.Errorf("of 14 tasks %.3f, of 14 domains %.3f told right", task, field)
	}
}
