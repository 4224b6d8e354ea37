package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/compose"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/guard"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// guards builds the file's guards. find finds the pool of a name.
func (b *builder) guards(find func(string) *upstream.Pool) {
	b.guard = make(map[string]*guard.Guard, len(b.cfg.Guards))
	for i := range b.cfg.Guards {
		c := &b.cfg.Guards[i]
		g := &guard.Guard{
			Name: c.Name, Input: slices.Contains(c.On, llm.StageInput), Output: slices.Contains(c.On, llm.StageOutput),
			Restore: c.Restore, Open: c.OnError == "open", Hold: c.Hold == "whole", Last: c.Scope == "last", Timeout: c.Timeout, Sample: c.Sample,
		}
		risk := llm.RiskByName(c.Risk)
		switch {
		case c.PII != nil:
			g.Finders = guard.NewPII(piiOf(c.PII), risk)
		case c.Moderation != nil:
			g.Remote = b.moderation(c, find)
		case c.Model != nil:
			g.Remote = b.guardModel(c, find)
		case c.Webhook != nil:
			h := http.Header{}
			for name, v := range c.Webhook.Headers {
				h.Set(name, v.Reveal())
			}
			g.Remote = &guard.Webhook{Client: b.sh.Hooks, URL: c.Webhook.URL.Reveal(), Header: h, Secret: c.Webhook.Secret.Reveal(), Risk: risk, Now: time.Now}
		default:
			g.Finders = guard.NewRules(guard.MaskName(c.Name), rulesOf(c.Rules))
		}
		b.guard[c.Name] = g
	}
}

func rulesOf(rules []config.GuardRule) []guard.Rule {
	var out []guard.Rule
	for _, r := range rules {
		x := guard.Rule{Words: r.Words, Action: actionOf(r.Action), Risk: llm.RiskByName(r.Risk)}
		if r.Pattern != "" {
			x.Pattern = regexp.MustCompile(r.Pattern) // config compiled it
		}
		out = append(out, x)
	}
	return out
}

func piiOf(kinds map[string]string) map[signal.Kind]guard.Action {
	out := map[signal.Kind]guard.Action{}
	for name, action := range kinds {
		if k, ok := signal.KindByName(name); ok { // config knows the names
			out[k] = actionOf(action)
		}
	}
	return out
}

func actionOf(name string) guard.Action {
	switch name {
	case llm.GuardBlock:
		return guard.Block
	case llm.GuardMask:
		return guard.Mask
	}
	return guard.Flag
}

// moderation asks the moderation endpoint of a target.
func (b *builder) moderation(c *config.Guard, find func(string) *upstream.Pool) guard.Remote {
	p := find(c.Moderation.Model)
	if p == nil {
		b.errorf("guards."+c.Name+".moderation.model", "no model or target %q", c.Moderation.Model)
		return nil
	}
	m := &guard.Moderation{Post: moderates(p, c.Moderation.Model), Categories: c.Moderation.Categories, Risk: llm.RiskByName(c.Risk)}
	for name, score := range c.Moderation.Thresholds {
		m.Bounds[llm.RiskByName(name)] = score
	}
	return m
}

// maxModerated bounds the answer of a moderation endpoint, in bytes.
const maxModerated = 1 << 20

// moderates asks a handler to moderate texts.
func moderates(h llm.Handler, model string) func(ctx context.Context, sake *llm.Request, text string) ([]byte, error) {
	return func(ctx context.Context, sake *llm.Request, text string) ([]byte, error) {
		body := wire.NewBuffer()
		body.B = append(wire.AppendString(append(body.B, `{"input":`...), text), '}')
		req := &llm.Request{ID: sake.ID, Note: llm.NoteGuard, Caller: sake.Caller, Credential: sake.Credential, Deadline: sake.Deadline}
		if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpModeration, body, req); bad != nil {
			return nil, bad
		}
		defer req.Body.Release()
		req.Model = model
		if at, ok := ctx.Deadline(); ok && (req.Deadline.IsZero() || at.Before(req.Deadline)) {
			req.Deadline = at
		}
		req.Trail = sake.Trail.Branch(llm.NoteGuard, time.Now())
		defer func() { req.Trail.Close(time.Now()) }()
		resp, err := h.Do(ctx, req)
		if err != nil {
			return nil, err
		}
		defer resp.Close()
		var all []byte
		for {
			chunk, err := resp.Next()
			if err == io.EOF {
				return all, nil
			}
			if err != nil {
				return nil, err
			}
			if all = append(all, chunk.Raw...); len(all) > maxModerated {
				return nil, errors.New("the moderation endpoint's answer is larger than 1 MiB")
			}
		}
	}
}

// maxGuardWords bounds what a guard model may say, in tokens: some think first.
const maxGuardWords = 512

// guardModel asks a model for a verdict.
func (b *builder) guardModel(c *config.Guard, find func(string) *upstream.Pool) guard.Remote {
	p := find(c.Model.Model)
	if p == nil {
		b.errorf("guards."+c.Name+".model.model", "no model or target %q", c.Model.Model)
		return nil
	}
	own := compose.Body(func(c *llm.Chat) llm.Body { return wire.Own(c) })
	ask := func(ctx context.Context, sake *llm.Request, turns []guard.Turn) (string, error) {
		zero := 0.0
		chat := &llm.Chat{N: 1, MaxOutput: maxGuardWords, Temperature: &zero}
		for _, t := range turns {
			chat.Messages = append(chat.Messages, llm.Message{Role: t.Role, Blocks: []llm.Block{{Kind: llm.BlockText, Text: t.Text}}})
		}
		req := *sake
		req.Trail = sake.Trail.Branch(llm.NoteGuard, time.Now())
		defer func() { req.Trail.Close(time.Now()) }()
		reply, err := own.Ask(ctx, p, c.Model.Model, llm.NoteGuard, &req, chat)
		if err != nil {
			return "", err
		}
		var said strings.Builder
		for i := range reply.Answers[0].Blocks {
			if x := &reply.Answers[0].Blocks[i]; x.Kind == llm.BlockText {
				said.WriteString(x.Text)
			}
		}
		return said.String(), nil
	}
	return &guard.Model{Chat: ask, Prompt: c.Model.Prompt, Risk: llm.RiskByName(c.Risk)}
}

// nameless is the model of a name that only a rule knows.
func (b *builder) nameless(name string) *config.Model {
	return &config.Model{Name: name, Guard: b.cfg.Guard, Risk: b.cfg.Risk}
}

// guarded is the handler of a model, whose pool is p, behind the guards that it
// names and those that the models name by which it may be answered.
func (b *builder) guarded(m *config.Model, p *upstream.Pool, answers llm.Handler, find func(string) *upstream.Pool) llm.Handler {
	if len(b.guard) == 0 {
		return answers
	}
	names := slices.Clone(m.Guard)
	classes := b.classes(m, p, m.Risk, find)
	others := answering(nil, p)
	if m.Split != nil && m.Split.Shadow != nil { // it and its judge are asked the same
		for _, name := range []string{m.Split.Shadow.Model, m.Split.Shadow.Judge} {
			if name != "" {
				others = answering(others, find(name))
			}
		}
	}
	others = byClass(others, &classes)
	for i := 0; i < len(others); i++ {
		x := b.modelNamed(others[i].Model)
		if x == nil || x.Name == m.Name {
			continue
		}
		if _, own := b.cfg.Pos["models."+x.Name+".guard"]; own {
			names = append(names, x.Guard...)
		}
		if _, own := b.cfg.Pos["models."+x.Name+".risk"]; own {
			b.inherit(&classes, m, p, x.Risk, find)
			others = byClass(others, &classes)
		}
	}
	h := &guard.Handler{Model: answers, Classes: classes, Later: b.sh.Desk.Go}
	for i, name := range names {
		if g := b.guard[name]; g != nil && slices.Index(names, name) == i {
			h.Guards = append(h.Guards, g)
		}
	}
	if len(h.Guards) == 0 {
		return answers
	}
	return h
}

// byClass appends the pools by which requests of a class may be answered and that
// all lacks.
func byClass(all []*upstream.Pool, classes *[4]guard.Class) []*upstream.Pool {
	for _, c := range classes {
		if q, ok := c.Handler.(*upstream.Pool); ok {
			all = answering(all, q)
		}
	}
	return all
}

// classes are what the classes of risk do to requests of a model.
func (b *builder) classes(m *config.Model, p *upstream.Pool, risk map[string]config.Response, find func(string) *upstream.Pool) (out [4]guard.Class) {
	for name, r := range risk {
		c := &out[llm.RiskByName(name)]
		if c.Block = r.Block; !c.Block {
			c.Handler = b.instead(m, p, r, find)
		}
	}
	return out
}

// inherit takes over what a model that may answer says of a class, where the
// model that was asked says nothing: to block goes before all else.
func (b *builder) inherit(classes *[4]guard.Class, m *config.Model, p *upstream.Pool, risk map[string]config.Response, find func(string) *upstream.Pool) {
	for i, c := range b.classes(m, p, risk, find) {
		if own := &classes[i]; !own.Block && (c.Block || own.Handler == nil) {
			*own = c
		}
	}
}

// instead makes the pool that answers requests of a class: the model's, between
// fewer of its own or behind more gates, or others in the order in which they are
// named.
func (b *builder) instead(m *config.Model, p *upstream.Pool, r config.Response, find func(string) *upstream.Pool) *upstream.Pool {
	at := "models." + m.Name + ".risk"
	q := p.Variant(p.Options, p.Accept)
	if len(r.Models) > 0 {
		q.Options, q.Fallback, q.Degrade = nil, nil, nil
		for _, o := range p.Options {
			if slices.Contains(r.Models, o.ID) {
				q.Options = append(q.Options, o)
			}
		}
	}
	if len(r.Models) > len(q.Options) { // not all of them are the model's
		q = &upstream.Pool{
			Model: p.Model, Strategy: "ordered", Order: func([]*upstream.Option, upstream.Ask) {}, Conversation: p.Conversation,
			Policy: p.Policy, Budget: p.Budget, Registry: p.Registry, Capabilities: p.Capabilities, Accept: p.Accept, Extra: p.Extra, By: p.By, Each: true,
			Screen: p.Screen, Look: p.Look, // what bars the model's own bars these
		}
		for i, name := range r.Models {
			o := upstream.Option{ID: name, Weight: 1, Priority: i + 1}
			if o.Pool = find(name); o.Pool == nil {
				b.errorf(at, "no model or target %q", name)
				continue
			}
			q.Options = append(q.Options, o)
		}
	}
	if len(r.Accept) > 0 {
		more := *m
		more.Accept = slices.Concat(m.Accept, r.Accept)
		b.accept(q, &more, find, b.errorf)
	}
	return q
}

// modelNamed is the file's model of a name, nil if it has none.
func (b *builder) modelNamed(name string) *config.Model {
	for i := range b.cfg.Models {
		if m := &b.cfg.Models[i]; m.Name == name || slices.Contains(m.Aliases, name) {
			return m
		}
	}
	for _, m := range b.patternModels() {
		if _, ok := config.Match(m.Name, name); ok {
			return m
		}
	}
	return nil
}

// answering appends the pools by which a pool may be answered, itself among them,
// and that all lacks.
func answering(all []*upstream.Pool, p *upstream.Pool) []*upstream.Pool {
	if p == nil || slices.Contains(all, p) {
		return all
	}
	all = append(all, p)
	for i := range p.Options {
		all = answering(all, p.Options[i].Pool)
	}
	for _, f := range p.Fallback {
		all = answering(all, f)
	}
	for i := range p.Degrade {
		all = answering(all, p.Degrade[i].Pool)
	}
	return all
}
