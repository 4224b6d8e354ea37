package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sluicegate/sluice/internal/compose"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/upstream"
)

// split is one of a configuration.
type split struct {
	experiment.Setting
	ladder  *experiment.Ladder // nil: there is no canary
	webhook config.Secret
}

// splitOf is how a split is to be told of.
func splitOf(m *config.Model) split {
	s := split{Setting: experiment.Setting{Model: m.Name, Sticky: m.Split.Sticky}}
	for _, t := range m.Targets {
		s.Arms, s.Weights = append(s.Arms, t.Target), append(s.Weights, t.Weight)
	}
	if x := m.Split.Shadow; x != nil {
		s.Shadow, s.Setting.Share = x.Model, x.Share
	}
	if c := m.Split.Canary; c != nil {
		s.ladder, s.webhook = ladderOf(c), c.Webhook
	}
	return s
}

func ladderOf(c *config.Canary) *experiment.Ladder {
	l := &experiment.Ladder{Arm: c.Arm, Min: c.Min, Margin: c.Margin}
	for _, percent := range c.Steps {
		l.Steps = append(l.Steps, percent/100)
	}
	return l
}

// split makes a pool draw its options.
func (b *builder) split(p *upstream.Pool, m *config.Model) {
	s := route.Split{Model: m.Name, Sticky: m.Split.Sticky}
	if c := m.Split.Canary; c != nil {
		of, first := b.sh.Book.Split(m.Name), c.Steps[0]/100
		s.Canary, s.Share = c.Arm, func() float64 {
			if c := of.Canary(); c != nil {
				return c.Share()
			}
			return first // nothing is in force yet
		}
	}
	p.Order, p.Conversation, p.Each = s.Order(), route.Conversation(m.Affinity), true
}

// shadow is h with a shadow where the model has one; an error says which model of
// the configuration, at that path, is not found.
func (b *builder) shadow(h llm.Handler, m *config.Model, find func(string) *upstream.Pool) (_ llm.Handler, path string, err error) {
	if m.Split == nil || m.Split.Shadow == nil {
		return h, "", nil
	}
	x, at := m.Split.Shadow, "models."+m.Name+".split.shadow."
	p := find(x.Model)
	if p == nil {
		return h, at + "model", fmt.Errorf("no model or target %q", x.Model)
	}
	gates := shadowGates()
	if x.Judge != "" {
		judge := find(x.Judge)
		if judge == nil {
			return h, at + "judge", fmt.Errorf("no model or target %q", x.Judge)
		}
		gates.Critics = append(gates.Critics, &compose.Judge{Asked: compose.Asked{Body: ownBody, Model: x.Judge, Handler: judge, Timeout: x.Timeout, Sample: 1}})
	}
	return &compose.Shadow{
		Handler: h, Model: p, Name: x.Model, Share: x.Share, Timeout: x.Timeout, Gates: gates, Counts: b.sh.Book.Split(m.Name).Shadow(), Desk: b.sh.Desk,
		Caps: experiment.Caps{Concurrent: x.Concurrent, PerDay: llm.Money(x.PerDay * 1e9)},
	}, "", nil
}

// shadowGates are all gates that need nobody and no options: what they find is
// counted.
func shadowGates() *compose.Gates {
	g := &compose.Gates{}
	for _, name := range quality.Names() {
		one, err := quality.New(name, quality.Options{})
		if err != nil { // it has options that it needs
			continue
		}
		g.List, g.Pure = append(g.List, name), append(g.Pure, compose.Gate{Gate: one, Action: upstream.Flag})
	}
	return g
}

// adoptSplits puts the splits of a configuration in force.
func (a *App) adoptSplits(gen *generation) {
	names := make(map[string]bool, len(gen.splits))
	for _, s := range gen.splits {
		names[s.Model] = true
		a.shared.Book.Split(s.Model).Adopt(s.Arms, s.ladder, a.tellCanary)
	}
	a.shared.Book.Retain(names)
}

// tellCanary tells the log what becomes of a canary.
func (a *App) tellCanary(e experiment.Event) {
	c, level := e.Change(), slog.LevelInfo
	if e.State == experiment.RolledBack {
		level = slog.LevelWarn
	}
	a.log.Log(context.Background(), level, "the share of a canary changes", "model", c.Model, "arm", c.Arm, "state", c.State, "step", c.Step, "from", c.From, "to", c.To, "reason", c.Reason,
		"canary_answers", c.Test.Canary.Answers, "canary_bad", c.Test.Canary.Bad, "control_answers", c.Test.Control.Answers, "control_bad", c.Test.Control.Bad,
		"difference", c.Test.Difference, "log_ratio", c.Test.Evidence)
	a.shared.Desk.Go(a.keepCanaries) // where it is closed, the end writes it; a changed share is not lost
	for _, s := range a.current.Load().splits {
		if s.Model == e.Model {
			a.herald.post(s.webhook.Reveal(), canaryNews{"canary_" + c.State, c})
		}
	}
}

// canaryNews is what webhooks are told of a canary.
type canaryNews struct {
	Event string `json:"event"` // canary_running: another step, canary_promoted, canary_rolled_back
	experiment.Change
}

// gradedAnswer takes what was found in an answer after its request was settled.
func (a *App) gradedAnswer(v *quality.Verdict) {
	a.judged(v)
	a.shared.Book.Judge(v)
}

// keepCanaries writes how far canaries have come, unless another process serves:
// that one knows more.
func (a *App) keepCanaries(ctx context.Context) {
	if a.retired.Load() {
		return
	}
	err := a.shared.Book.Save(func(model string, x experiment.Saved) error {
		state, err := json.Marshal(x)
		if err != nil {
			return err
		}
		return a.ledger.PutCanary(ctx, model, state)
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("how far a canary has come is not on disk", "error", err.Error())
	}
}

// recallCanaries reads what was kept. What cannot be read is forgotten.
func (a *App) recallCanaries(ctx context.Context) {
	all, err := a.ledger.Canaries(ctx)
	if err != nil {
		a.log.Warn("canaries begin anew", "error", err.Error())
	}
	for model, state := range all {
		var x experiment.Saved
		if err := json.Unmarshal(state, &x); err != nil {
			a.log.Warn("a canary begins anew", "model", model, "error", err.Error())
			continue
		}
		a.shared.Book.Restore(model, x)
	}
}

// takeOver reads anew how far canaries have come: the process in whose place this
// one serves went on with them. Nobody may be served yet.
func (a *App) takeOver(ctx context.Context) {
	a.recallCanaries(ctx)
	a.adoptSplits(a.current.Load())
}

// splits tells of the splits of the configuration in force.
func (a *App) splits() []experiment.Report {
	out := []experiment.Report{}
	for _, s := range a.current.Load().splits {
		out = append(out, a.shared.Book.Split(s.Model).Report(s.Setting))
	}
	return out
}

// arms tells metrics of the arms of all splits.
func (a *App) arms(yield func(model, arm string, share float64, requests, errors int64)) {
	for _, r := range a.splits() {
		for _, x := range r.Arms {
			yield(r.Model, x.Model, x.Share, x.Requests, x.Errors)
		}
	}
}

// orderSplit carries out what the operator wants of a split.
func (a *App) orderSplit(model, order string) (experiment.Report, *llm.Error) {
	all := a.current.Load().splits
	i := slices.IndexFunc(all, func(s split) bool { return s.Model == model })
	if i < 0 {
		return experiment.Report{}, &llm.Error{Kind: llm.KindPathNotFound, Message: "the configuration has no such split; GET /gateway/status lists them"}
	}
	of := a.shared.Book.Split(model)
	refuse := func(why string) (experiment.Report, *llm.Error) {
		return experiment.Report{}, &llm.Error{Kind: llm.KindInvalidRequest, Message: why}
	}
	switch c := of.Canary(); {
	case order == "reset":
		of.Reset()
	case c == nil:
		return refuse("this split has no canary; reset forgets how its arms did")
	case order == "promote" && !c.Promote():
		return refuse("the canary has all of the traffic for good, or was rolled back; reset begins anew")
	case order == "rollback" && !c.RollBack():
		return refuse("the canary was rolled back before; reset begins anew")
	}
	a.log.Info("the operator's order to a split", "order", order, "model", model)
	return of.Report(all[i].Setting), nil
}
