package upstream

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// View is what was seen of a request, once, for the pools that choose by it.
type View interface {
	// Needs is what the request needs of a target.
	Needs() Needs
	// Release says that the view is used no more.
	Release()
}

// Needs are what a request needs of a target. The zero value: nothing.
type Needs struct {
	Can    llm.Ability
	Tokens int64  // of the prompt, as expected; 0: see llm.Request.InputTokens
	Most   int64  // of the prompt, at most; 0: nobody looked
	Task   uint32 // see TaskID
}

// Screen keeps a pool's requests from targets that cannot or must not answer
// them: those that lack an ability, whose context is too small, that have too few
// tokens left, and those that it says. It holds for the models in the pool, for
// its fallback models and for what degrades it.
type Screen struct {
	MaxCost llm.Money // that is expected of a request; 0: any
	Regions []string  // where targets may run; nil: anywhere
}

// bar is why a target must not be asked. 0: it may.
type bar uint8

// The bars.
const (
	barAbility bar = iota + 1
	barContext
	barRegion
	barPrice // it is not known
	barCost
	barTokens // the vendor says that too few are left
	barLimit  // so do the configured limits, with which a request may wait in line
)

// bars tells why t must not be asked.
func (s *Screen) bars(a *Ask, t *Target) bar {
	n := &a.Needs
	switch {
	case t.Can != 0 && n.Can&^t.Can != 0:
		return barAbility
	case t.Context > 0 && n.Most > 0 && n.Most+t.room(a) > int64(t.Context):
		return barContext
	case s.Regions != nil && !slices.Contains(s.Regions, t.Region):
		return barRegion
	case s.MaxCost > 0 && t.Price == nil && t.Engine == nil: // an engine of one's own asks for none
		return barPrice
	case s.MaxCost > 0 && t.Expect(a, 0) > s.MaxCost:
		return barCost
	}
	return t.short(a.Now, t.need(a.Req, 0))
}

// room is how many tokens an answer of t needs: what was asked for, else what is
// expected.
func (t *Target) room(a *Ask) int64 {
	if a.Req.MaxOutput > 0 {
		return int64(a.Req.MaxOutput)
	}
	return t.output(a)
}

// output is the expected length of an answer.
func (t *Target) output(a *Ask) int64 {
	out := t.State.OutputFor(a.Needs.Task)
	if t.MaxOutput > 0 {
		out = min(out, int64(t.MaxOutput))
	}
	if a.Req.MaxOutput > 0 {
		out = min(out, int64(a.Req.MaxOutput))
	}
	return out
}

// Expect is the price to expect of the request here, 0 where none is known,
// when that many tokens of the prompt are in the vendor's cache.
func (t *Target) Expect(a *Ask, cached int64) llm.Money {
	p := t.Price
	if p == nil {
		return 0
	}
	if len(p.Changes) > 0 {
		p = p.At(time.Now())
	}
	in := a.Needs.Tokens
	if in == 0 {
		in = a.Req.InputTokens()
	}
	u := llm.Usage{Input: in, CachedRead: min(cached, in)}
	if a.Req.Op.Chats() {
		u.Output = t.output(a) * int64(max(1, a.Req.N))
	}
	return p.Cost(u)
}

// short reports whether no credential of t has as many tokens left as are needed.
func (t *Target) short(now int64, n need) bar {
	by := bar(0)
	for i := range t.Calls {
		c := &t.Calls[i]
		if c.Cooling.tokens.short(now, n.tokens) {
			by = barTokens
			continue
		}
		cr := c.Credential
		if !cr.bounded.Load() {
			return 0
		}
		cr.mu.Lock()
		at := cr.tokens.at(now, cr.limits.TPM, n.tokens)
		cr.mu.Unlock()
		if at <= now {
			return 0
		}
		if by == 0 {
			by = barLimit
		}
	}
	return by
}

// why tells a bar in words.
func (s *Screen) why(a *Ask, t *Target, b bar) string {
	switch b {
	case barAbility:
		return "lacks what the request needs: " + strings.Join((a.Needs.Can&^t.Can).Names(), ", ")
	case barContext:
		return fmt.Sprintf("the prompt takes up to %d tokens and the answer %d; the context is %d", a.Needs.Most, t.room(a), t.Context)
	case barRegion:
		if t.Region == "" {
			return "nothing says where it runs; write a region"
		}
		return "runs in " + t.Region + ", not in " + strings.Join(s.Regions, " or ")
	case barPrice:
		return "its price is not known, and max_cost is set"
	case barCost:
		return fmt.Sprintf("is expected to cost %s USD; max_cost is %s", t.Expect(a, 0), s.MaxCost)
	case barTokens:
		return fmt.Sprintf("the vendor says that fewer tokens are left than the %d that the request is expected to take", t.need(a.Req, 0).tokens)
	case barLimit:
		return fmt.Sprintf("limits.tpm leaves fewer tokens than the %d that the request is expected to take", t.need(a.Req, 0).tokens)
	}
	return ""
}

// unfit is the error where a bar stands before all targets of a model.
func (s *Screen) unfit(a *Ask, t *Target, b bar, model string) *llm.Error {
	e := &llm.Error{Kind: llm.KindInvalidRequest, Message: fmt.Sprintf("no target of %q may be asked this: %s: %s", model, t.ID, s.why(a, t, b))}
	switch b {
	case barAbility:
		e.Kind = llm.KindUnsupported
	case barContext:
		e.Kind = llm.KindContextLength
	case barTokens, barLimit:
		e.Kind = llm.KindRateLimited
	}
	return e
}

// screens are those that hold for a target: its pool's and those of the pools
// around it. nil: none.
type screens struct {
	*Screen
	around *screens
}

// bars tells why t must not be asked, and which screen says so.
func (l *screens) bars(a *Ask, t *Target) (bar, *Screen) {
	for ; l != nil; l = l.around {
		if b := l.Screen.bars(a, t); b != 0 {
			return b, l.Screen
		}
	}
	return 0, nil
}

// under returns the screens that hold in p, inside of those that are given.
func (p *Pool) under(around *screens) *screens {
	if p.Screen == nil {
		return around
	}
	return &screens{p.Screen, around}
}

// fits reports whether one of the option's targets that can be asked may be.
func (o *Option) fits(s *Screen, a *Ask) bool {
	if o.Target != nil {
		return s.bars(a, o.Target) == 0
	}
	for i := range o.Pool.Options {
		if c := &o.Pool.Options[i]; c.usable(a.Now) && (o.Pool.Screen == nil || c.fits(o.Pool.Screen, a)) && c.fits(s, a) {
			return true
		}
	}
	return false
}

// Face is the target that speaks for an option: the first, in the order of the
// file, that can be asked and is not barred; nil if there is none.
func (o *Option) Face(s *Screen, a *Ask) *Target {
	if o.Target != nil {
		if state, _, _ := o.Target.whyNot(a.Now); state == "" && (s == nil || s.bars(a, o.Target) == 0) {
			return o.Target
		}
		return nil
	}
	for i := range o.Pool.Options {
		if t := o.Pool.Options[i].Face(s, a); t != nil {
			return t
		}
	}
	return nil
}

// sift takes out of dst[base:] what s bars.
func (s *Screen) sift(dst []choice, base int, a *Ask) []choice {
	kept := dst[:base]
	for _, c := range dst[base:] {
		if s.bars(a, c.t) == 0 {
			kept = append(kept, c)
		}
	}
	return kept
}
