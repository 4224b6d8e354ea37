package eval

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// made are n prompts: the strong model is right at all of them, the weak one at
// the first half.
func made(n int) (out []learned.Example) {
	for i := range n {
		weak := 1.0
		if i >= n/2 {
			weak = 0
		}
		out = append(out, learned.Example{Prompt: "p", Outcomes: map[string]learned.Outcome{"strong": {Quality: 1, Cost: 1}, "weak": {Quality: weak, Cost: 0.01}}})
	}
	return out
}

func near(t *testing.T, name string, got, want, by float64) {
	t.Helper()
	if math.Abs(got-want) > by {
		t.Errorf("%s is %.4f, want %.4f", name, got, want)
	}
}

func TestTwoModels(t *testing.T) {
	trial, used := NewTrial(append(made(1000), learned.Example{Prompt: "p", Outcomes: map[string]learned.Outcome{"weak": {}}}), []string{"strong", "weak"})
	if trial.Len() != 1000 || len(used) != 1000 {
		t.Fatalf("%d prompts: one has no outcome of the strong model", trial.Len())
	}
	oracle := trial.Run(Estimates(trial.quality)).Score()
	// The gap closes evenly over the first half of the calls and stays closed:
	// 1/4 + 1/2. Who is right at the same prompts stands in no order.
	near(t, "the oracle's APGR", oracle.APGR, 0.75, 0.001)
	// 95 % of the quality takes the strong model for 45 % of the prompts.
	near(t, "the oracle's saving", oracle.SavingAt95, 1-(0.45+0.55*0.01), 0.001)
	backwards := make(Estimates, trial.Len())
	for i, q := range trial.quality {
		backwards[i] = []float64{1 - q[0], 1 - q[1]}
	}
	near(t, "APGR of the opposite", trial.Run(backwards).Score().APGR, 0.25, 0.001)
	// Chance reaches 95 % of the quality with the strong model for 90 % of the prompts.
	near(t, "saving at random", trial.Run(trial.random()).Score().SavingAt95, 0.99*0.1, 0.05)
	near(t, "APGR at random", trial.Run(trial.random()).Score().APGR, 0.5, 0.05)
	always := trial.Run(trial.always(0)).Score()
	if always.Quality != 1 || always.Cost != 1 || always.SavingAt95 != 0 || always.APGR != 0.5 {
		t.Errorf("always the best: %+v", always)
	}
}

// What an answer has cost is known when it is there: a choice that looked at it
// would save by luck.
func TestCostIsNotForeseen(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var data []learned.Example
	for range 3000 {
		o := map[string]learned.Outcome{}
		for _, name := range []string{"a", "b", "c"} {
			o[name] = learned.Outcome{Quality: float64(r.IntN(2)), Cost: math.Exp(r.NormFloat64())}
		}
		data = append(data, learned.Example{Prompt: strings.Repeat("p", 1+r.IntN(100)), Outcomes: o})
	}
	for _, models := range [][]string{{"a", "b"}, {"a", "b", "c"}} {
		trial, _ := NewTrial(data, models)
		s := trial.Run(trial.random()).Score()
		if saved := max(s.SavingAt95, s.SavingAtBest); saved > 0.15 {
			t.Errorf("%d models of the same quality and price: chance saves %.2f", len(models), saved)
		}
	}
}

// A price that follows the prompt is foreseen.
func TestCostByLength(t *testing.T) {
	var data []learned.Example
	for n := range 100 {
		c := float64(n + 1)
		data = append(data, learned.Example{Prompt: strings.Repeat("ü", n+1), Outcomes: map[string]learned.Outcome{"a": {Cost: c/4 + 200}, "b": {Cost: 2 * c}}})
	}
	trial, _ := NewTrial(data, []string{"a", "b"})
	for n := range data {
		near(t, "a's price", trial.expect[n][0], trial.cost[n][0], 1e-6)
		near(t, "b's price", trial.expect[n][1], trial.cost[n][1], 1e-6)
	}
}

// Who knows nothing of the models takes the cheapest.
func TestRulesWithoutData(t *testing.T) {
	trial, used := NewTrial(made(100), []string{"strong", "weak"})
	if s := trial.Run(trial.rules(used, nil)).Score(); math.Abs(s.Cost-0.01) > 1e-9 {
		t.Errorf("got %+v", s)
	}
}

func TestMoreModels(t *testing.T) {
	var data []learned.Example
	for i := range 300 { // a is right at one third and dear, b and c at another each and cheap
		o := map[string]learned.Outcome{"a": {Cost: 1}, "b": {Cost: 0.1}, "c": {Cost: 0.1}}
		name := string(rune('a' + i%3))
		x := o[name]
		x.Quality = 1
		o[name] = x
		if i%30 == 1 { // a is the best single model
			o["a"] = learned.Outcome{Quality: 1, Cost: 1}
		}
		data = append(data, learned.Example{Prompt: "p", Outcomes: o})
	}
	trial, _ := NewTrial(data, []string{"a", "b", "c"})
	s := trial.Run(Estimates(trial.quality)).Score()
	best := (100 + 10) / 300.0
	near(t, "the oracle's gain", s.GainOverBest, 1/best-1, 1e-9)
	// Its quality takes 110 of the prompts, which b and c serve.
	near(t, "the oracle's saving", s.SavingAtBest, 0.9, 1e-9)
	if r := trial.Run(trial.random()).Score(); r.GainOverBest > 0.05 {
		t.Errorf("at random: %+v", r)
	}
}

func TestIntervals(t *testing.T) {
	trial, _ := NewTrial(made(400), []string{"strong", "weak"})
	i := trial.Run(Estimates(trial.quality)).Intervals(map[string]func(Score) float64{"apgr": func(s Score) float64 { return s.APGR }})["apgr"]
	if !(i.Low < 0.75 && 0.75 < i.High && i.High-i.Low < 0.1) {
		t.Errorf("%+v", i)
	}
}
