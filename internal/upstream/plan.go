package upstream

import (
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Plan tells what Do would try now.
func (p *Pool) Plan(req *llm.Request) llm.Plan {
	var told chosen
	a := Ask{Req: req, Now: p.Registry.now(), chosen: &told}
	if p.see(&a); a.View != nil {
		defer a.View.Release()
	}
	if p.Conversation != nil {
		a.Talk = p.Conversation(req)
	}
	plan := llm.Plan{Model: p.Model, Strategy: p.Strategy, Candidates: []llm.Candidate{}, Excluded: []llm.Candidate{}}
	if p.Accept != nil {
		plan.Accept = p.Accept.Names()
	}
	var asked []*Target
	for i, m := range append([]*Pool{p}, p.Fallback...) {
		if a.Prefix == nil && m.prefixes() {
			a.Prefix = p.Registry.prefix(req)
		}
		a.Turn = m.turn.Load()
		all := m.choices(nil, a)
		if m != p && p.Screen != nil {
			all = p.Screen.sift(all, 0, &a)
		}
		asked = p.candidates(&plan, all, asked, &a, i > 0)
		plan.Excluded = m.excluded(plan.Excluded, &a, p.outer(m), i > 0)
	}
	plan.Decision = told.decision
	for i := range p.Degrade {
		d := llm.Degrade{MaxTokens: p.Degrade[i].MaxOutput, Answer: p.Degrade[i].Answer}
		if m := p.Degrade[i].Pool; m != nil {
			d.Model = m.Model
		}
		plan.Degrade = append(plan.Degrade, d)
	}
	return plan
}

// candidates adds the choices of one model to a plan, but for those that were asked
// by then: of its worst price as many as it has attempts. It returns who is asked.
func (p *Pool) candidates(plan *llm.Plan, all []choice, asked []*Target, a *Ask, fallback bool) []*Target {
	all = slices.DeleteFunc(all, func(c choice) bool { return slices.Contains(asked, c.t) })
	for i, c := range all {
		x := c.candidate(a)
		x.Fallback = fallback
		plan.Candidates = append(plan.Candidates, x)
		if len(plan.Candidates) == 1 {
			plan.Expected = x.Expected
		}
		before := 0
		for _, b := range all[:i] {
			if b.own == c.own {
				before++
			}
		}
		if before < c.attempts(p) || p.gated() { // answers that are not accepted are no attempts
			plan.Worst += x.Worst
			asked = append(asked, c.t)
		}
	}
	return asked
}

// outer are the screens that hold for m, one of p's fallback models or p itself,
// beside those of its own.
func (p *Pool) outer(m *Pool) *screens {
	if m == p {
		return nil
	}
	return p.under(nil)
}

// attempts is how many calls the model may make that counts those to c; of is the
// pool that was asked.
func (c choice) attempts(of *Pool) int {
	if c.own != nil {
		return c.own.Pool.Policy.Attempts
	}
	return of.Policy.Attempts
}

func (c choice) candidate(a *Ask) llm.Candidate {
	req, now := a.Req, a.Now
	x := llm.Candidate{Model: c.pool.Model, Target: c.t.ID, Weight: c.from.Weight, Priority: c.from.Priority, Capabilities: c.pool.Capabilities}
	x.LatencyMS = float64(c.t.State.Latency(req.Stream, c.t.Prior)) / 1e6
	x.Expected, x.Worst = c.t.Cost(req)
	if a.View != nil {
		x.Expected = c.t.Expect(a, 0)
	}
	x.Region = c.t.Region
	phase, _, _ := c.t.State.Breaker.Phase(now)
	x.State = phase.String()
	reason, rests := c.t.State.ejection.why(now)
	switch part := c.t.ramp(now); {
	case c.t.State.Benched():
		x.State, x.Reason = stateBenched, *c.t.State.absence.reason.Load()+"; this request would find out whether they still are"
	case c.late && rests > 0:
		x.State, x.Reason = "ejected", reason+"; tried last"
	case c.late:
		x.State, x.Reason = "suspected", "silent; tried last"
	case c.away:
		x.Reason = "its region came back; a farther one goes first until it has been well for " + c.t.Hold.String()
	case part < 1 && phase == Closed:
		x.Reason = slowStart(part)
	}
	return x
}

// excluded appends the targets that are not asked, with the reason; around are the
// screens that hold for the pool beside its own.
func (p *Pool) excluded(dst []llm.Candidate, a *Ask, around *screens, fallback bool) []llm.Candidate {
	p.each(nil, around, func(c choice) {
		state, reason, wait := c.t.whyNot(a.Now)
		if state == "" {
			b, s := c.in.bars(a, c.t)
			if b == 0 {
				return
			}
			state, reason, wait = stateUnfit, s.why(a, c.t, b), 0
			if b >= barTokens {
				state = stateCooldown
			}
		} else if wait >= 0 {
			reason += ", for another " + wait.Round(time.Millisecond).String()
		}
		x := c.candidate(a)
		x.Fallback, x.State, x.Reason = fallback, state, reason
		dst = append(dst, x)
	})
	return dst
}

// leftOut are the targets that are not asked, for a decision.
func (p *Pool) leftOut(a Ask) (out []llm.Considered) {
	for _, x := range p.excluded(nil, &a, nil, false) {
		out = append(out, llm.Considered{Model: x.Model, Target: x.Target, Cost: x.Expected, LatencyMS: x.LatencyMS, Reason: x.Reason})
	}
	return out
}
