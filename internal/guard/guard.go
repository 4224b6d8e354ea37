// Package guard looks at requests before a model is asked and at its answers:
// it finds, masks and refuses, and decides a class of risk, by which the model
// may be another one.
package guard

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// maxText bounds what one guard is asked about, in bytes. Longer texts cannot be
// judged by it.
const maxText = 1 << 20

// Guard is one of the configuration's guards: it finds things in texts itself,
// or asks somebody about them. It is immutable.
type Guard struct {
	Name          string
	Input, Output bool // the stages at which it looks
	// Finders look at texts where they stand; nil where Remote is asked.
	Finders []Finder
	Remote  Remote
	// Restore: what was masked in a request stands in its answer again.
	Restore bool
	// Open: where the guard cannot tell, the request goes on.
	Open bool
	// Hold: a streamed answer is held back until it is whole and was judged.
	Hold bool
	// Last: of a conversation only what followed the last answer is judged.
	Last    bool
	Timeout time.Duration // of Remote
	Sample  float64       // share of requests that it looks at, 0 to 1
}

// Remote is somebody who is asked about a text. Implementations are safe for
// concurrent use.
type Remote interface {
	Ask(ctx context.Context, q *Question) (Opinion, error)
}

// Question is what a Remote is asked.
type Question struct {
	Request *llm.Request // for whose sake; its body holds no more than Text and Before do
	Stage   string
	Text    string
	Before  string // of an answer: what it answers, as the guard may see it
}

// Opinion is what a Remote thinks of a text. The zero value: nothing was found.
type Opinion struct {
	Action Action
	Risk   llm.Risk
	Found  []string // kinds of what was found, bounded
	Mask   []string // literal pieces of the text that are to be masked, bounded
}

// looks reports whether the guard looks at a request. The same request is
// always drawn alike.
func (g *Guard) looks(id string) bool {
	if g.Sample >= 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(g.Name + "\x00" + id))
	x := h.Sum64()
	x ^= x >> 33 // FNV's upper bits depend little on the last bytes: MurmurHash3's finalizer
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<53) < g.Sample
}

// Class is what a class of risk does.
type Class struct {
	Block bool
	// Handler answers in the model's place; nil: the model itself.
	Handler llm.Handler
}

// Handler is a model with guards. It implements llm.Handler.
type Handler struct {
	Model  llm.Handler
	Guards []*Guard
	// Classes say what each class of risk does, by llm.Risk.
	Classes [4]Class
	// Later runs f where no client waits for it, with a context that ends with the
	// gateway; false: it does not. nil: the client waits.
	Later func(f func(ctx context.Context)) bool

	late atomic.Int64 // of Later, that have not ended
}

// maxLate bounds the streams of a model that are judged when their clients have
// them; of others the record says that the guard could not tell.
const maxLate = 128

// later runs f where no client waits for it, if there is room.
func (h *Handler) later(f func(ctx context.Context)) bool {
	if h.Later == nil {
		f(context.Background())
		return true
	}
	if h.late.Add(1) <= maxLate && h.Later(func(ctx context.Context) {
		defer h.late.Add(-1)
		f(ctx)
	}) {
		return true
	}
	h.late.Add(-1)
	return false
}

var _ llm.Handler = (*Handler)(nil)

// Do implements llm.Handler.
func (h *Handler) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	if req.Note != "" { // the gateway's own, made of what was looked at
		return h.Model.Do(ctx, req)
	}
	if req.Op == llm.OpRealtime {
		return h.session(ctx, req)
	}
	a := newAsking(h, req)
	if err := a.input(ctx); err != nil {
		a.release()
		return nil, err
	}
	resp, err := a.answer(ctx)
	if err != nil {
		a.release()
		return nil, err
	}
	return resp, nil
}

// session opens a session, whose frames no guard sees.
func (h *Handler) session(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	for _, g := range h.Guards {
		if !g.Open {
			return nil, &llm.Error{Kind: llm.KindUnsupported, Param: "model", Message: "guard " + g.Name + " of this model cannot look into sessions; ask a model without it"}
		}
	}
	return h.Model.Do(ctx, req)
}

// of returns what answers a request of a class: a class without a rule is
// treated as the next lower one.
func (h *Handler) of(risk llm.Risk) Class {
	for r := risk; r > llm.RiskNone; r-- {
		if c := h.Classes[r]; c.Block || c.Handler != nil {
			return c
		}
	}
	return Class{}
}

// Plan implements llm.Handler. Guards that would have to ask somebody are named
// with what is not known.
func (h *Handler) Plan(req *llm.Request) llm.Plan {
	a := newAsking(h, req)
	defer a.release()
	blocked := a.tokens()
	if blocked == nil {
		blocked = a.local()
	}
	for _, g := range h.Guards {
		if g.Remote != nil && g.Input && blocked == nil {
			a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageInput, Action: llm.GuardUnknown})
		}
		if g.Output && blocked == nil {
			a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageOutput, Action: llm.GuardUnknown})
		}
	}
	class := h.of(a.risk)
	if blocked == nil && class.Block {
		blocked = a.byClass()
	}
	var plan llm.Plan
	switch {
	case blocked != nil:
		plan = llm.Plan{Model: req.Model, Candidates: []llm.Candidate{}, Excluded: []llm.Candidate{}, Blocked: blocked.Message}
	case class.Handler != nil:
		plan = class.Handler.Plan(a.asked())
	default:
		plan = h.Model.Plan(a.asked())
	}
	plan.Risk, plan.Guards = a.risk.String(), a.verdicts
	return plan
}

// asking is one request on its way through a model's guards. It is not safe for
// concurrent use.
type asking struct {
	h        *Handler
	req      *llm.Request
	looking  []*Guard // those that look at this request
	body     llm.Body // without what was masked
	masks    masks
	risk     llm.Risk
	by       string // the guard that found it
	verdicts []llm.Verdict
	released bool
	late     bool // the client has the answer
	// literal takes what a guard wants masked in the answer; nil: it cannot be.
	literal func(l *literals)
}

func newAsking(h *Handler, req *llm.Request) *asking {
	a := &asking{h: h, req: req, body: req.Body}
	for _, g := range h.Guards {
		if g.looks(req.ID) {
			a.looking = append(a.looking, g)
		}
	}
	return a
}

// asked is the request as the model gets it.
func (a *asking) asked() *llm.Request {
	r := *a.req
	if a.body != a.req.Body {
		r.User = a.req.EndUser() // masks make all users one
	}
	r.Body = a.body
	r.Context.Risk = a.risk.String()
	return &r
}

// release gives up the body that the guards made.
func (a *asking) release() {
	if a.body != a.req.Body && !a.released {
		a.released = true
		a.body.Release()
	}
}

// note keeps a verdict.
func (a *asking) note(v llm.Verdict) {
	if len(a.verdicts) < llm.MaxVerdicts {
		a.verdicts = append(a.verdicts, v)
	}
}

// publish tells the trail what the guards said so far.
func (a *asking) publish() {
	if t := a.req.Trail; t != nil {
		t.Guards, t.Risk = a.verdicts, a.risk.String()
	}
}

// raise takes over a class that a guard found.
func (a *asking) raise(r llm.Risk, guard string) {
	if r > a.risk {
		a.risk, a.by = r, guard
	}
}

// input looks at the request. On error it must not be asked.
func (a *asking) input(ctx context.Context) error {
	defer a.publish()
	if bad := a.tokens(); bad != nil {
		return bad
	}
	if bad := a.local(); bad != nil {
		return bad
	}
	if bad := a.remote(ctx, llm.StageInput, a.question); bad != nil {
		return bad
	}
	if a.h.of(a.risk).Block {
		return a.byClass()
	}
	return nil
}

// tokens is the error for a request that holds tokens in the place of text, where
// a guard lets nothing through that it cannot read.
func (a *asking) tokens() *llm.Error {
	texts, ok := a.body.(llm.Texts)
	for _, g := range a.looking {
		if g.Input && !g.Open && ok && texts.Tokens() {
			a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageInput, Action: llm.GuardError})
			return &llm.Error{Kind: llm.KindUnsupported, Param: "input", Message: "guard " + g.Name + " of this model cannot read tokens; send text"}
		}
	}
	return nil
}

// tally is what a guard's finders found in all texts of a stage.
type tally struct {
	action Action
	risk   llm.Risk
	found  []string
}

func (t *tally) add(f finding) {
	if f.kind == "" { // what is given back
		return
	}
	t.action = max(t.action, f.action)
	if f.action == Flag {
		t.risk = max(t.risk, f.risk)
	}
	if len(t.found) < llm.MaxFound && !slices.Contains(t.found, f.kind) {
		t.found = append(t.found, f.kind)
	}
}

// local lets the guards that need nobody look at the request and mask it.
func (a *asking) local() *llm.Error {
	var guards []*Guard
	for _, g := range a.looking {
		if g.Input && len(g.Finders) > 0 {
			guards = append(guards, g)
		}
	}
	if len(guards) == 0 {
		return nil
	}
	tallies := make([]tally, len(guards))
	bad := a.edit(func(text string) (string, bool) {
		var at []finding
		for i, g := range guards {
			for _, f := range g.Finders {
				n := len(at)
				at = f.find(at, text)
				for j := n; j < len(at); j++ {
					at[j].back = g.Restore
					tallies[i].add(at[j])
				}
			}
		}
		with := a.masks.put(text, merged(at))
		return with, with != text
	})
	if bad != nil {
		return bad
	}
	var blocked *llm.Error
	for i, g := range guards {
		t := &tallies[i]
		a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageInput, Action: t.action.String(), Risk: t.risk.String(), Found: t.found})
		a.raise(t.risk, g.Name)
		if t.action == Block && blocked == nil {
			blocked = refused(llm.StageInput, g.Name)
		}
	}
	return blocked
}

// edit changes the texts of the body.
func (a *asking) edit(f func(string) (string, bool)) *llm.Error {
	texts, ok := a.body.(llm.Texts)
	if !ok {
		return &llm.Error{Kind: llm.KindInternal, Message: "internal error", Err: errors.New("guards cannot read this kind of body")}
	}
	body, bad := texts.Texts(f)
	if bad != nil {
		return bad
	}
	if body != a.body {
		a.release()
		a.body, a.released = body, false
	}
	return nil
}

// refused is the error for what a guard does not let through. It tells nothing of
// what was found.
func refused(stage, guard string) *llm.Error {
	if stage == llm.StageInput {
		return &llm.Error{Kind: llm.KindRequestBlocked, Message: "guard " + guard + " blocked this request; take out what it may not hold"}
	}
	return &llm.Error{Kind: llm.KindBlocked, Message: "guard " + guard + " blocked the answer; ask for something else"}
}

// byClass is the error for a request whose class may not be asked.
func (a *asking) byClass() *llm.Error { return refused(llm.StageInput, a.by) }

// failed is the error where a guard could not tell and the request may not go on
// without.
func failed(guard string, err error) *llm.Error {
	return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Err: err,
		Message: "guard " + guard + " could not look at this, and nothing passes without it; try again"}
}

// remote asks the guards of a stage that ask somebody, at the same time. question
// makes what they are asked; a text of "" asks nobody.
func (a *asking) remote(ctx context.Context, stage string, question func(g *Guard) (*Question, error)) *llm.Error {
	var guards []*Guard
	for _, g := range a.looking {
		if g.Remote != nil && (stage == llm.StageInput && g.Input || stage == llm.StageOutput && g.Output) {
			guards = append(guards, g)
		}
	}
	if len(guards) == 0 {
		return nil
	}
	type told struct {
		Opinion
		err error
	}
	said := make([]told, len(guards))
	var all sync.WaitGroup
	for i, g := range guards {
		q, err := question(g)
		if err != nil || q.Text == "" {
			said[i].err = err
			continue
		}
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					said[i] = told{err: errors.New("the guard panicked")}
				}
			}()
			ctx, cancel := context.WithTimeout(ctx, g.Timeout)
			defer cancel()
			said[i].Opinion, said[i].err = g.Remote.Ask(ctx, q)
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: err}
	}
	var bad *llm.Error
	for i, g := range guards {
		if e := a.heard(stage, g, said[i].Opinion, said[i].err); e != nil && bad == nil {
			bad = e
		}
	}
	return bad
}

// heard takes over what a guard was told.
func (a *asking) heard(stage string, g *Guard, o Opinion, err error) *llm.Error {
	v := llm.Verdict{Guard: g.Name, Stage: stage, Action: o.Action.String(), Risk: o.Risk.String(), Found: o.Found}
	if err != nil {
		v.Action = llm.GuardError
		a.note(v)
		if g.Open {
			return nil
		}
		return failed(g.Name, err)
	}
	if o.Risk > llm.RiskNone {
		v.Action = max(o.Action, Flag).String()
	}
	a.raise(o.Risk, g.Name)
	l := &literals{texts: o.Mask, as: finding{mask: MaskName(g.Name), action: Mask, back: g.Restore && stage == llm.StageInput}}
	switch {
	case o.Action == Mask && stage == llm.StageInput:
		if e := a.edit(func(text string) (string, bool) {
			with := a.masks.put(text, merged(l.find(nil, text)))
			return with, with != text
		}); e != nil {
			return e
		}
	case o.Action == Mask && a.literal != nil:
		a.literal(l)
	case a.late && o.Action > Flag:
		v.Action = llm.GuardFlag
	}
	a.note(v)
	if o.Action == Block {
		return refused(stage, g.Name)
	}
	return nil
}
