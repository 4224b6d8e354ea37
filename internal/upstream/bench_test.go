package upstream

import (
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// A target whose answers are bad is not asked but by one request at a time, which
// is to be judged; the pause doubles while they are bad and halves while they are
// good.
func TestBenched(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(0)))
		b, _ := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		judged := 0
		a.Listen = func(_ *llm.Request, _ *llm.Attempt, must bool) Listener {
			if must {
				judged++
			}
			return nil
		}
		by := func() string { return r.unary(p).resp.Target }
		equal(t, "before", by(), "p/a")
		a.State.Bench("12 of 20 answers are bad")
		equal(t, "on the bench", by(), "p/b")
		h := a.Health()
		equal(t, "state", h.State, "quality")
		equal(t, "reason", h.Reason, "12 of 20 answers are bad")
		equal(t, "wait", h.Wait, firstBench)
		equal(t, "phase", h.Phase, Closed)
		plan := p.Plan(r.request(false))
		r.trails[len(r.trails)-1].Close(time.Now())
		if len(plan.Candidates) != 1 || len(plan.Excluded) != 1 || plan.Excluded[0].State != "quality" {
			t.Errorf("plan = %+v", plan)
		}
		time.Sleep(firstBench)
		equal(t, "state when a request may try", a.Health().State, "quality")
		equal(t, "the try", by(), "p/a")
		equal(t, "after the try", by(), "p/b")
		a.State.Proved(false)
		equal(t, "wait after a bad answer", a.Health().Wait, 2*firstBench)
		time.Sleep(2 * firstBench)
		equal(t, "the second try", by(), "p/a")
		a.State.Proved(true)
		equal(t, "wait after a good answer", a.Health().Wait, firstBench)
		equal(t, "tries that must be judged", judged, 2)
		for range 10 {
			a.State.Proved(false)
		}
		equal(t, "longest wait", a.Health().Wait, maxBench)
		a.SlowStart = time.Minute
		a.State.Unbench()
		equal(t, "back", by(), "p/a")
		if a.ramp(r.reg.now()) >= 1 {
			t.Error("it has all of its share at once")
		}
		a.State.Bench("again")
		a.Reset()
		equal(t, "state after the operator's reset", a.Health().State, "closed")
	})
}

// Where nobody else can be asked, a target on the bench answers, at once and
// however many ask; a fallback model goes before it.
func TestBenchedAnswers(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("p/a", always(fine(0)))
		b, vb := r.target("p/b", always(fine(0)))
		alone, p := r.pool("alone", a), r.pool("m", a)
		p.Fallback = []*Pool{r.pool("other", b)}
		a.State.Bench("bad")
		for range 3 {
			equal(t, "alone", r.unary(alone).String(), "oku")
			equal(t, "with a fallback model", r.unary(p).resp.Target, "p/b")
		}
		vb.set(always(failing(llm.KindUpstream)))
		r.opened(b, r.pool("b", b))
		equal(t, "when the other is open", r.unary(p).resp.Target, "p/a")
	})
}

// noGates are gates that nobody asks.
type noGates struct{ Accept }

// Nobody rests whom no one can stand in for, nor more than half of a pool.
func TestSpare(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		var all []*Target
		for _, id := range []string{"p/a", "p/b", "p/c", "p/d", "p/e"} {
			x, _ := r.target(id, always(fine(0)))
			all = append(all, x)
		}
		one, four := r.pool("one", all[0]), r.pool("four", all[0], all[1], all[2], all[3])
		cascade := r.pool("cascade", all[0], all[1])
		cascade.Accept, cascade.Each = noGates{}, true
		back := r.pool("back", all[3])
		back.Fallback = []*Pool{r.pool("last", all[4])}
		for _, c := range []struct {
			what    string
			pools   []*Pool
			benched []int
			who     int
			want    bool
		}{
			{"alone", []*Pool{one}, nil, 0, false},
			{"in no pool", []*Pool{one}, nil, 1, false},
			{"one of four", []*Pool{one, four}, nil, 0, true},
			{"the second of four", []*Pool{four}, []int{1}, 0, true},
			{"the third of four", []*Pool{four}, []int{1, 2}, 0, false},
			{"before a fallback model", []*Pool{back}, nil, 3, true},
			{"a fallback model", []*Pool{back}, nil, 4, true},
			{"both of two", []*Pool{back}, []int{3}, 4, false},
			{"in a cascade", []*Pool{cascade}, nil, 0, false},
			{"in a cascade and beside others", []*Pool{cascade, four}, nil, 0, true},
			{"enough in one pool, not in the other", []*Pool{four, back}, []int{4}, 3, false},
		} {
			for i, x := range all {
				x.State.absence.next.Store(0)
				for _, n := range c.benched {
					if n == i {
						x.State.Bench("bad")
					}
				}
			}
			equal(t, c.what, Spare(c.pools, all[c.who].State), c.want)
		}
	})
}

// heard is a Listener that remembers.
type heard struct {
	events int
	end    string
}

func (h *heard) Hear(e []llm.Event) { h.events += len(e) }
func (h *heard) Whole()             { h.end += "whole" }
func (h *heard) Drop()              { h.end += "drop" }

// A listener hears all events of an answer and how it ended, once; of what has
// none it hears that it cannot be known.
func TestListener(t *testing.T) {
	event := func(n int) step {
		return step{chunk: llm.Chunk{Raw: []byte("x"), Events: make([]llm.Event, n), Level: llm.LevelContent}}
	}
	for _, c := range []struct {
		name   string
		script script
		end    string
		events int
	}{
		{"whole", script{steps: []step{event(1), event(0), event(2)}}, "whole", 3},
		{"cut", script{steps: []step{event(1), {err: &llm.Error{Kind: llm.KindUpstream}}}}, "drop", 1},
		{"refused", failing(llm.KindUpstream), "drop", 0},
		{"not understood", script{steps: []step{event(1), content(0, "y"), content(0, "z")}}, "drop", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, v := r.target("p/a", always(c.script))
				p := r.pool("m", a)
				p.Policy.Attempts = 1
				var h heard
				a.Listen = func(*llm.Request, *llm.Attempt, bool) Listener { return &h }
				r.streamed(p)
				equal(t, "end", h.end, c.end)
				equal(t, "events", h.events, c.events)
				if !v.asked[0].Events {
					t.Error("events were not asked for")
				}
			})
		})
	}
}
