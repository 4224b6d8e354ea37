package app

import (
	"fmt"
	"os"

	"github.com/sluicegate/sluice/internal/compose"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
)

// ownBody makes the body of what the gateway itself asks.
func ownBody(c *llm.Chat) llm.Body { return wire.Own(c) }

// actions are what follows from a gate, by the configuration's names.
var actions = map[string]upstream.Action{
	"flag": upstream.Flag, "repair": upstream.Repair, "retry": upstream.Retry, "escalate": upstream.Escalate, "block": upstream.Block, "revise": upstream.Block,
}

// accept gives a pool its gates. What is wrong with them is told to errorf.
func (b *builder) accept(p *upstream.Pool, m *config.Model, find func(string) *upstream.Pool, errorf func(path, format string, args ...any)) {
	if c := m.Cascade; c != nil {
		p.Each, p.Extra, p.By = true, c.MaxExtraCost, c.Deadline
	}
	if len(m.Accept) == 0 {
		return
	}
	if m.Cascade == nil {
		p.Extra = usualExtra
	}
	g := &compose.Gates{Desk: b.sh.Desk}
	for i := range m.Accept {
		c := &m.Accept[i]
		g.List = append(g.List, c.Name)
		if err := gate(g, c, find); err != nil {
			errorf(m.GatePath(i), "%v", err)
		}
	}
	p.Accept = g
}

// usualExtra bounds what answers that were not accepted may cost, where the model
// is no cascade.
const usualExtra = 1.5

// gate adds a gate.
func gate(g *compose.Gates, c *config.Gate, find func(string) *upstream.Pool) error {
	action := actions[c.Action]
	if c.Model != "" {
		p := find(c.Model)
		if p == nil {
			return fmt.Errorf("no model or target %q", c.Model)
		}
		asked := compose.Asked{Body: ownBody, Model: c.Model, Handler: p, Timeout: c.Timeout, Action: action, Sample: c.Sample}
		if c.OnError == "reject" {
			asked.OnError = compose.OnErrorReject
		}
		if c.Name == "judge" {
			g.Critics = append(g.Critics, &compose.Judge{Asked: asked, Min: c.Min, Prompt: c.Prompt})
		} else {
			g.Critics = append(g.Critics, &compose.Principles{Asked: asked, Rules: c.Rules, Revise: c.Action == "revise"})
		}
		return nil
	}
	o := quality.Options{Pattern: c.Pattern, Language: c.Language, Always: c.Always}
	if c.Schema != "" {
		o.Schema = []byte(c.Schema)
	}
	if c.SchemaFile != "" {
		var err error
		if o.Schema, err = os.ReadFile(c.SchemaFile); err != nil {
			return fmt.Errorf("reading the schema: %w", err)
		}
	}
	q, err := quality.New(c.Name, o)
	if err != nil {
		return err
	}
	gate := compose.Gate{Gate: q, Action: action, Chosen: c.Chosen}
	if action == upstream.Repair { // the others see what it made
		g.Pure = append([]compose.Gate{gate}, g.Pure...)
	} else {
		g.Pure = append(g.Pure, gate)
	}
	return nil
}
