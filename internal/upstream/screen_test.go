package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// sight is a View that says what it was made to.
type sight struct{ needs Needs }

func (s sight) Needs() Needs { return s.needs }
func (s sight) Release()     {}

// choosing makes a model of models that chooses, in the order of its options.
func (r *rig) choosing(name string, s *Screen, needs func(*llm.Request) Needs, members ...any) *Pool {
	p := r.pool(name, members...)
	p.Screen, p.Each = s, true
	p.Look = func(req *llm.Request) View { return sight{needs(req)} }
	for i := range p.Options {
		p.Options[i].Place = i
	}
	p.Decide = func(ranked []*Option, out []llm.Considered, _ Ask) *llm.Decision {
		d := &llm.Decision{Task: "any"}
		for _, o := range ranked {
			d.Considered = append(d.Considered, llm.Considered{Model: o.ID})
		}
		d.Considered = append(d.Considered, out...)
		return d
	}
	return p
}

func always0(n Needs) func(*llm.Request) Needs { return func(*llm.Request) Needs { return n } }

// TestScreen: what a target must be, told and kept.
func TestScreen(t *testing.T) {
	for name, x := range map[string]struct {
		set    func(*Target)
		screen Screen
		needs  Needs
		kind   llm.Kind
		reason string // "": it may be asked
	}{
		"all is well":     {},
		"abilities fit":   {set: func(t *Target) { t.Can = llm.CanTools | llm.CanImage }, needs: Needs{Can: llm.CanImage}},
		"unknown ability": {needs: Needs{Can: llm.CanImage}},
		"ability lacks":   {set: func(t *Target) { t.Can = llm.CanTools }, needs: Needs{Can: llm.CanImage | llm.CanTools}, kind: llm.KindUnsupported, reason: "lacks what the request needs: image"},
		"context fits":    {set: func(t *Target) { t.Context = 1100 }, needs: Needs{Most: 1000}},
		"context lacks":   {set: func(t *Target) { t.Context = 1099 }, needs: Needs{Most: 1000}, kind: llm.KindContextLength, reason: "the prompt takes up to 1000 tokens and the answer 100; the context is 1099"},
		"unknown context": {needs: Needs{Most: 1e9}},
		"region fits":     {set: func(t *Target) { t.Region = "eu" }, screen: Screen{Regions: []string{"us", "eu"}}},
		"region lacks":    {set: func(t *Target) { t.Region = "us" }, screen: Screen{Regions: []string{"eu"}}, kind: llm.KindInvalidRequest, reason: "runs in us, not in eu"},
		"unknown region":  {screen: Screen{Regions: []string{"eu"}}, kind: llm.KindInvalidRequest, reason: "nothing says where it runs"},
		"price fits":      {screen: Screen{MaxCost: 1_200_000}, needs: Needs{Tokens: 1000}}, // 1000 × 1 USD/M + 100 × 2 USD/M
		"price lacks":     {screen: Screen{MaxCost: 1_199_999}, needs: Needs{Tokens: 1000}, kind: llm.KindInvalidRequest, reason: "is expected to cost 0.0012 USD; max_cost is 0.001199999"},
		"unknown price":   {set: func(t *Target) { t.Price = nil }, screen: Screen{MaxCost: 1}, kind: llm.KindInvalidRequest, reason: "its price is not known"},
		"tokens lack": {set: func(t *Target) {
			t.Calls[0].hear(t.State.reg.now(), &llm.Quota{Tokens: llm.Window{Limit: 1000, Remaining: 50, Reset: time.Minute}}, time.Hour)
		}, kind: llm.KindRateLimited, reason: "the vendor says that fewer tokens are left than the 111"},
		"other credential": {set: func(t *Target) {
			t.Calls[1].hear(t.State.reg.now(), &llm.Quota{Tokens: llm.Window{Limit: 1000, Remaining: 50, Reset: time.Minute}}, time.Hour)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				keys := []string{"a", "b"}
				if name == "tokens lack" {
					keys = keys[:1]
				}
				bad, v := r.target("p/bad", always(fine(0)), keys...)
				if x.set != nil {
					x.set(bad)
				}
				screen := x.screen
				p := r.choosing("auto", &screen, always0(x.needs), r.pool("bad", bad))
				req := func() *llm.Request {
					q := r.request(false)
					q.MaxOutput = 100
					return q
				}
				plan := req()
				told := p.Plan(plan)
				plan.Trail.Close(time.Now())
				q := req()
				out := r.ask(context.Background(), p, q)
				if x.reason == "" {
					if out.text != "oku" || len(told.Candidates) != 1 {
						t.Errorf("%v; %+v", out, told)
					}
					return
				}
				if out.err == nil || out.err.Kind != x.kind || !strings.Contains(out.err.Message, x.reason) {
					t.Errorf("the error is %v", out.err)
				}
				equal(t, "calls", v.count(), 0)
				if len(told.Candidates) != 0 || len(told.Excluded) != 1 || !strings.Contains(told.Excluded[0].Reason, x.reason) {
					t.Errorf("the plan is %+v", told)
				}
				for what, d := range map[string]*llm.Decision{"plan": told.Decision, "trail": q.Trail.Decision} {
					if d == nil || len(d.Considered) != 1 || d.Considered[0].Target != "p/bad" || !strings.Contains(d.Considered[0].Reason, x.reason) {
						t.Errorf("the decision of the %s is %+v", what, d)
					}
				}
			})
		})
	}
}

// TestScreenHolds: also for fallback models, for what degrades a model and for
// models in models.
func TestScreenHolds(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		blind := func(id string) (*Pool, *vendor) {
			x, v := r.target("p/"+id, always(fine(0)))
			x.Can = llm.CanTools
			return r.pool(id, x), v
		}
		dead, _ := r.target("p/dead", always(failing(llm.KindUpstream)))
		inner, v1 := blind("inner")
		fall, v2 := blind("fall")
		level, v3 := blind("level")
		p := r.choosing("auto", &Screen{}, always0(Needs{Can: llm.CanImage}), r.pool("nested", inner, r.pool("dead", dead)))
		p.Fallback = []*Pool{fall}
		p.Degrade = []Degrade{{Pool: level}}
		out := r.unary(p)
		if out.err == nil || out.err.Kind != llm.KindUpstream {
			t.Errorf("the error is %v", out.err)
		}
		for _, v := range []*vendor{v1, v2, v3} {
			equal(t, "calls", v.count(), 0)
		}
		outer := r.pool("outer", p, fall) // whose own models the screen is not for
		equal(t, "answer", r.unary(outer).String(), "oku")
	})
}

// TestEach: the options of a pool that chooses have their own counts of attempts.
func TestEach(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		var members []any
		var vendors []*vendor
		for m := range 3 {
			a, v := r.target(fmt.Sprintf("p/%d-a", m), always(failing(llm.KindUpstream)))
			b, w := r.target(fmt.Sprintf("p/%d-b", m), always(failing(llm.KindUpstream)))
			model := r.pool(fmt.Sprint("m", m), a, b)
			model.Policy.Attempts = 2 - m%2
			members, vendors = append(members, model), append(vendors, v, w)
		}
		vendors[5].set(always(fine(0)))
		p := r.choosing("auto", nil, always0(Needs{}), members...)
		p.Policy.Attempts, p.Policy.Budget = 1, 1
		out := r.unary(p)
		equal(t, "answer", out.text, "oku")
		var order []string
		for _, a := range out.attempts {
			order = append(order, a.Target)
		}
		if want := []string{"p/0-a", "p/0-b", "p/1-a", "p/2-a", "p/2-b"}; !slices.Equal(order, want) {
			t.Errorf("asked %v, want %v", order, want)
		}
		equal(t, "from", out.resp.FallbackFrom, "m0")
	})
}

// TestEachAgain: where nobody else is left, a model is asked again as long as it
// has attempts of its own.
func TestEachAgain(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, v := r.target("p/a", always(failing(llm.KindUpstream)))
		b, w := r.target("p/b", inTurn(failing(llm.KindUpstream), failing(llm.KindUpstream), fine(0)))
		first, second := r.pool("a", a), r.pool("b", b)
		first.Policy.Attempts = 1
		p := r.choosing("auto", nil, always0(Needs{}), first, second)
		p.Policy.Budget = 1
		equal(t, "answer", r.unary(p).String(), "oku")
		equal(t, "calls to a", v.count(), 1)
		equal(t, "calls to b", w.count(), 3)
	})
}

// TestTook: who answers is told, once, with the option that was chosen.
func TestTook(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(failing(llm.KindUpstream)))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.choosing("auto", nil, always0(Needs{}), r.pool("a", a), r.pool("b", b))
		var took []string
		p.Took = func(o *Option, _ Ask) { took = append(took, o.ID) }
		equal(t, "answer", r.unary(r.pool("outer", p)).String(), "oku")
		if !slices.Equal(took, []string{"b"}) {
			t.Errorf("took %v", took)
		}
	})
}

// TestTookWithin: where what answers is a model of a model that chooses, each pool
// on the way hears of its own option.
func TestTookWithin(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(failing(llm.KindUpstream)))
		b, _ := r.target("p/b", always(fine(0)))
		c, _ := r.target("p/c", always(fine(0)))
		inner := r.choosing("inner", nil, always0(Needs{}), r.pool("a", a), r.pool("b", b))
		outer := r.choosing("outer", nil, always0(Needs{}), inner, r.pool("c", c))
		first := r.choosing("first", nil, always0(Needs{}), outer, r.pool("c", c))
		var took []string
		for name, p := range map[string]*Pool{"first": first, "outer": outer, "inner": inner} {
			p.Took = func(o *Option, _ Ask) { took = append(took, name+" "+o.ID) }
		}
		equal(t, "answer", r.unary(first).String(), "oku")
		if !slices.Equal(took, []string{"first outer", "outer inner", "inner b"}) {
			t.Errorf("took %v", took)
		}
	})
}

// TestNobodyUnfitIsAsked throws random requests at random pools of random models
// in random weather: no call reaches a target that the request does not fit, also
// not as a fallback, a hedge or a resumption, and what the plan says first is
// asked first where all is well.
func TestNobodyUnfitIsAsked(t *testing.T) {
	runs := uint64(400)
	if testing.Short() || raced {
		runs = 60
	}
	if os.Getenv("SLUICE_SOAK") == "1" {
		runs = 20_000
	}
	asked := 0
	for seed := range runs {
		virtual(t, func(t *testing.T, r *rig) { asked += unfitting(t, r, rand.New(rand.NewPCG(seed, 11))) })
		if t.Failed() {
			t.Fatalf("the seed was %d", seed)
		}
	}
	if asked == 0 {
		t.Error("nobody was ever asked")
	}
}

// unfitting is one run; it returns how many calls were made.
func unfitting(t *testing.T, r *rig, rnd *rand.Rand) int {
	var mu sync.Mutex
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n)
	}
	calm := draw(4) == 0
	answer := func(int) script {
		if calm {
			return healthy(time.Millisecond)
		}
		return fault(draw)
	}
	regions := []string{"", "eu", "us"}
	var targets []*Target
	var models []*Pool
	for m := range 1 + draw(5) {
		var members []any
		for n := range 1 + draw(3) {
			x, _ := r.target(fmt.Sprintf("p%d/%d", m, n), answer)
			x.Can = llm.Ability(draw(16)) // of tools, json, reasoning, image; 0: nobody knows
			x.Context = draw(4) * 1000
			x.Region = regions[draw(3)]
			x.Price = []*llm.Price{nil, {Input: 1e6}, {Input: 5e6}}[draw(3)]
			x.Timeouts = Timeouts{FirstToken: 3 * time.Second, Idle: 2 * time.Second, Total: 5 * time.Second, Stream: 20 * time.Second, Queue: time.Second}
			members, targets = append(members, x), append(targets, x)
		}
		models = append(models, r.pool(fmt.Sprint("m", m), members...))
	}
	needs := map[string]Needs{} // by request
	screen := &Screen{}
	if draw(2) == 0 {
		screen.Regions = regions[1 : 2+draw(2)]
	}
	if draw(2) == 0 {
		screen.MaxCost = llm.Money(1_000_000 * (1 + draw(8)))
	}
	var in, out []any
	for _, m := range models {
		if draw(4) > 0 {
			in = append(in, m)
		} else {
			out = append(out, m)
		}
	}
	if len(in) == 0 {
		in, out = out, nil
	}
	p := r.choosing("auto", screen, func(req *llm.Request) Needs { mu.Lock(); defer mu.Unlock(); return needs[req.ID] }, in...)
	p.Order = roundRobin
	p.Policy = Policy{Attempts: 2, Budget: 1, Resume: draw(2) == 0}
	if draw(2) == 0 {
		p.Policy.Hedge = &Hedge{After: 50 * time.Millisecond, Budget: 1}
	}
	for _, m := range out {
		if draw(2) == 0 {
			p.Fallback = append(p.Fallback, m.(*Pool))
		} else {
			p.Degrade = append(p.Degrade, Degrade{Pool: m.(*Pool)})
		}
	}
	if draw(3) == 0 {
		p.Degrade = append(p.Degrade, Degrade{MaxOutput: 5})
	}
	var wg sync.WaitGroup
	for range 1 + draw(12) {
		req := r.request(draw(2) == 0)
		req.MaxOutput = 1 + draw(500)
		mu.Lock()
		needs[req.ID] = Needs{Can: llm.Ability(rnd.IntN(16)), Most: int64(rnd.IntN(3000)), Tokens: int64(1 + rnd.IntN(2000))}
		mu.Unlock()
		if calm { // one by one, and nothing happens between
			first := ""
			if plan := p.Plan(req); len(plan.Candidates) > 0 {
				first = plan.Candidates[0].Target
			}
			got := r.ask(context.Background(), p, req)
			if len(got.attempts) > 0 && first != "" && got.attempts[0].Target != first || len(got.attempts) == 0 && first != "" {
				t.Errorf("the plan was %s, asked was %v", first, got.attempts)
			}
			continue
		}
		wg.Go(func() { r.ask(context.Background(), p, req) })
		time.Sleep(time.Duration(draw(300)) * time.Millisecond)
	}
	wg.Wait()
	calls := 0
	for i, v := range r.vendors {
		for _, q := range v.asked {
			calls++
			misfit(t, targets[i], &q, needs[q.ID], screen)
		}
	}
	synctest.Wait()
	return calls
}

// misfit reports why a call should not have been made.
func misfit(t *testing.T, x *Target, q *llm.Request, n Needs, s *Screen) {
	t.Helper()
	if x.Can != 0 {
		for a := llm.Ability(1); a < 16; a <<= 1 {
			if n.Can&a != 0 && x.Can&a == 0 {
				t.Errorf("%s cannot do %v and was asked", x.ID, a.Names())
			}
		}
	}
	if most := n.Most + int64(q.MaxOutput); x.Context > 0 && most > int64(x.Context) {
		t.Errorf("%s takes %d tokens and was asked with %d", x.ID, x.Context, most)
	}
	if s.Regions != nil && x.Region != "eu" && !(len(s.Regions) == 2 && x.Region == "us") {
		t.Errorf("%s is in %q and was asked, where %v may be", x.ID, x.Region, s.Regions)
	}
	if s.MaxCost > 0 {
		switch {
		case x.Price == nil:
			t.Errorf("%s has no price and was asked", x.ID)
		case llm.Money(n.Tokens*int64(x.Price.Input)/1000) > s.MaxCost:
			t.Errorf("%s costs more than %v and was asked", x.ID, s.MaxCost)
		}
	}
}

func TestOutputsByTask(t *testing.T) {
	s := NewRegistry().State("p/m")
	code, prose := TaskID("code"), TaskID("prose")
	equal(t, "nothing known", s.OutputFor(code), defaultOutput)
	s.answered(0, 100)
	equal(t, "unknown task", s.OutputFor(code), 100)
	for range 200 {
		s.answered(code, 1000)
		s.answered(prose, 50)
	}
	equal(t, "code", s.OutputFor(code), 1000)
	equal(t, "prose", s.OutputFor(prose), 50)
	for i := range 100 { // more than there are places for
		s.answered(TaskID(fmt.Sprint(i)), 10)
	}
	equal(t, "code", s.OutputFor(code), 1000)
	equal(t, "no task", s.OutputFor(0), s.Output())
}

// TestScreenWaits: a request that the configured limits alone keep back goes
// elsewhere, and where there is nobody else waits in line.
func TestScreenWaits(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, v := r.target("p/a", always(fine(0)))
		b, w := r.target("p/b", always(fine(0)))
		a.Limits = Limits{TPM: 6000}
		a.Adopt()
		spend := func() {
			cr := a.Calls[0].Credential
			cr.mu.Lock()
			cr.tokens.take(r.reg.now(), 6000, 5950) // 50 are left, 100 a second flow in
			cr.mu.Unlock()
		}
		ask := func(p *Pool) outcome {
			q := r.request(false)
			q.MaxOutput = 100
			return r.ask(context.Background(), p, q)
		}
		spend()
		two := r.choosing("two", &Screen{}, always0(Needs{}), r.pool("a", a), r.pool("b", b))
		equal(t, "answer", ask(two).String(), "oku")
		equal(t, "calls to b", w.count(), 1)
		one := r.choosing("one", &Screen{}, always0(Needs{}), r.pool("a", a))
		out := ask(one)
		equal(t, "answer", out.String(), "oku")
		if out.took < 500*time.Millisecond || out.took > time.Second {
			t.Errorf("it took %v, want about 0.6 s in line", out.took)
		}
		equal(t, "calls to a", v.count(), 1)
	})
}
