//go:build !race

package experiment

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/upstream"
)

// runs of each simulation.
const runs = 400

// simulate lets users ask a split with a canary until it is decided, and returns
// what became of it and how many answers of the canary it took. The arms are drawn
// by the split's order at the canary's share, and what they answer is settled.
func simulate(seed uint64, control, canary float64) (State, int64) {
	rnd := rand.New(rand.NewPCG(seed, 17))
	b := NewBook()
	l := ladder
	s := b.Split("chat")
	s.Adopt([]string{"old", "new"}, &l, func(Event) {})
	c := s.Canary()
	opts := []*upstream.Option{}
	for _, name := range []string{"old", "new"} {
		opts = append(opts, &upstream.Option{ID: name, Weight: 1, Arm: &llm.Arm{Split: "chat", Model: name}})
	}
	order := route.Split{Model: fmt.Sprint("chat", seed), Sticky: "off", Canary: "new", Share: c.Share}.Order()
	now := time.Now()
	answers := int64(0)
	for turn := uint64(0); ; turn++ {
		order(opts, upstream.Ask{Req: &llm.Request{}, Turn: turn})
		t := llm.NewTrail(strconv.FormatUint(turn, 10), now, b.Settle)
		t.Draw(opts[0].Arm)
		a := t.Begin("m", "p/m", "1", now)
		a.Arm = opts[0].Arm
		p := control
		if opts[0].Arm.Model == "new" {
			p = canary
			answers++
		}
		if rnd.Float64() < p {
			a.Flags = llm.FlagJSON
		}
		a.Finish("ok", llm.Usage{}, 0, now)
		t.Close(now)
		c.mu.Lock()
		state := c.state
		c.mu.Unlock()
		if state != Running {
			return state, answers
		}
	}
}

// The bounds that are asked of a canary: of 400 that are as good as their control
// at most 5 % are rolled back; of 400 that are bad in 20 % instead of 5 %, nine of
// ten are found within 80 of their answers.
func TestCanaryBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("twelve million requests, 20 s of one core: left out with -short")
	}
	type shares struct{ control, canary float64 }
	all := []shares{{0.05, 0.05}, {0.05, 0.20}}
	if os.Getenv("SLUICE_SOAK") != "" {
		all = append(all, shares{0.01, 0.01}, shares{0.05, 0.10}, shares{0.05, 0.5})
	}
	for _, x := range all {
		t.Run(fmt.Sprintf("%v and %v", x.control, x.canary), func(t *testing.T) {
			t.Parallel()
			back, answers := 0, []int64{}
			for seed := range uint64(runs) {
				state, n := simulate(seed, x.control, x.canary)
				if state == RolledBack {
					back++
				}
				answers = append(answers, n)
			}
			slices.Sort(answers)
			p50, p90 := answers[runs/2], answers[runs*9/10-1]
			t.Logf("%d of %d rolled back; answers of the canary until it was decided: median %d, p90 %d", back, runs, p50, p90)
			switch {
			case x.control == x.canary && back > runs/20:
				t.Errorf("%d of %d canaries that are as good were rolled back, want at most %d", back, runs, runs/20)
			case x.canary >= 2*x.control && back < runs:
				t.Errorf("%d of %d bad canaries were not rolled back", runs-back, runs)
			case x.canary == 0.20 && p90 > 80:
				t.Errorf("p90 is %d answers, want 80", p90)
			}
		})
	}
}
