package compose

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/upstream"
)

// maxWhole and maxStream bound what is kept of an answer to judge it, in bytes: of
// one that is judged whole before it is handed up, and of a stream. Longer ones
// pass, as do those of more than quality.MaxBlocks blocks.
const (
	maxWhole  = 8 << 20
	maxStream = 1 << 20
)

// Gate is a gate that asks nobody, and what follows where an answer fails it.
type Gate struct {
	*quality.Gate
	Action upstream.Action
	// Chosen: the operator chose the action. Otherwise an answer that ended at the
	// bound which the request set is not escalated for what that explains.
	Chosen bool
}

// Critic is a gate that asks a model. Implementations are safe for concurrent use.
type Critic interface {
	// Name is the gate's in the configuration.
	Name() string
	// Judge judges a whole answer. What cannot be judged passes, or does not, as
	// the gate is configured.
	Judge(ctx context.Context, c *Case) upstream.Verdict
	// Look only tells what is wrong with it.
	Look(ctx context.Context, c *Case) upstream.Verdict
}

// Case is an answer that a Critic judges. It is read and not changed.
type Case struct {
	Req   *llm.Request
	By    string      // the model that answered
	Self  llm.Handler // it
	Chat  *llm.Chat   // nil: it is not known
	Reply *llm.Reply
	// Pass returns what the other gates let pass of a reply in this one's place: it,
	// or what they repaired of it; nil: they stop it. It may be nil itself.
	Pass func(*llm.Reply) *llm.Reply
}

// Gates are what the answers of a model must pass. They implement
// upstream.Accept.
type Gates struct {
	List    []string // all of them, by their names in the configuration's order
	Pure    []Gate
	Critics []Critic // asked where all others let the answer pass
	Desk    *Desk    // where streams are judged that their clients have
	late    atomic.Int64
}

// maxLate bounds the streams of a model that are judged when their clients have
// them, at a time: judges may be slow. More are not judged.
const maxLate = 256

// Names implements upstream.Accept.
func (g *Gates) Names() []string { return g.List }

// Later implements upstream.Accept.
func (g *Gates) Later(f func(ctx context.Context)) bool {
	if g.late.Add(1) <= maxLate && g.Desk.Go(func(ctx context.Context) {
		defer g.late.Add(-1)
		f(ctx)
	}) {
		return true
	}
	g.late.Add(-1)
	return false
}

// Begin implements upstream.Accept.
func (g *Gates) Begin(req *llm.Request, by *upstream.Pool) upstream.Judge {
	chat, err := req.Body.Chat()
	if err != nil {
		chat = nil
	}
	h := &hearing{gates: g, c: Case{Req: req, Chat: chat}}
	if by != nil {
		h.c.By, h.c.Self = by.Model, by
	}
	return h
}

// hearing is one answer before its gates.
type hearing struct {
	gates   *Gates
	c       Case
	answers llm.Collector
	size    int
	blocks  int
	begun   int  // answers that have begun
	stopped int  // answers that are whole
	blind   bool // something of it is not known
	ended   bool
}

// Add implements upstream.Judge.
func (h *hearing) Add(c *llm.Chunk) {
	if c.Events == nil && c.Level == llm.LevelContent && len(c.Raw) > 0 {
		h.blind = true
	}
	for i := range c.Events {
		e := &c.Events[i]
		h.size += e.Size()
		h.begun = max(h.begun, e.Answer+1)
		switch e.Kind {
		case llm.EventStop:
			h.stopped++
		case llm.EventBlock:
			h.blocks++
		}
	}
	most := maxWhole
	if h.c.Req.Stream {
		most = maxStream
	}
	if h.blind = h.blind || h.size > most || h.blocks > quality.MaxBlocks; h.blind {
		h.answers = llm.Collector{}
		return
	}
	h.answers.Add(c.Events...)
}

// End implements upstream.Judge.
func (h *hearing) End() { h.ended = true }

// whole reports whether all answers have ended.
func (h *hearing) whole() bool { return h.ended || h.stopped >= max(1, h.begun, h.c.Req.N) }

// Held implements upstream.Judge.
func (h *hearing) Held() upstream.Verdict { return h.pure(h.whole()) }

// Whole implements upstream.Judge.
func (h *hearing) Whole(ctx context.Context) upstream.Verdict {
	v := h.pure(true)
	if h.blind || v.Action >= upstream.Retry {
		return v
	}
	c := h.c
	if c.Reply = v.Reply; c.Reply == nil {
		c.Reply = h.answers.Reply()
	}
	var anew llm.Flags // of what was made in the answer's place
	c.Pass = func(r *llm.Reply) *llm.Reply {
		w := h.judge(r, true)
		if w.Action >= upstream.Retry {
			return nil
		}
		anew = w.Flags &^ w.Mended
		if w.Reply != nil {
			r = w.Reply
		}
		return r
	}
	for _, critic := range h.gates.Critics {
		w := critic.Judge(ctx, &c)
		v.Flags |= w.Flags
		v.Mended |= w.Mended
		if !math.IsNaN(w.Score) {
			v.Score = w.Score
		}
		if w.Action > v.Action {
			v.Action, v.Gate = w.Action, critic.Name()
		}
		if w.Action >= upstream.Retry {
			break
		}
		if w.Reply != nil {
			v.Reply, c.Reply = w.Reply, w.Reply
			v.Flags |= anew
		}
	}
	return v
}

// Late implements upstream.Judge.
func (h *hearing) Late(ctx context.Context, trail *llm.Trail) (llm.Flags, float64) {
	v := h.pure(true)
	if h.blind || len(h.gates.Critics) == 0 {
		return v.Flags, v.Score
	}
	c, req := h.c, *h.c.Req
	req.Trail, req.Deadline = trail, time.Time{} // that was the client's
	c.Req, c.Reply = &req, h.answers.Reply()
	for _, critic := range h.gates.Critics {
		w := critic.Look(ctx, &c)
		v.Flags |= w.Flags
		if !math.IsNaN(w.Score) {
			v.Score = w.Score
		}
	}
	return v.Flags, v.Score
}

// pure asks the gates that ask nobody: all of them where the answer is whole,
// else those that know by its beginning. Each of several answers must pass.
func (h *hearing) pure(whole bool) upstream.Verdict {
	if h.blind {
		return upstream.Verdict{Score: math.NaN()}
	}
	return h.judge(h.answers.Reply(), whole)
}

func (h *hearing) judge(reply *llm.Reply, whole bool) upstream.Verdict {
	v := upstream.Verdict{Score: math.NaN()}
	answers := reply.Answers
	if len(answers) == 0 {
		answers = make([]llm.Answer, 1)
	}
	for i := range answers {
		h.answer(&v, reply, i, quality.Of(h.c.Chat, &answers[i], whole))
	}
	return v
}

// cut reports whether an answer ended at the bound that the request sets.
func (h *hearing) cut(a *quality.Answer) bool {
	return a.Stop == llm.StopLength && (h.c.Req.MaxOutput > 0 || h.c.Req.Clamp > 0 || a.Chat != nil && a.Chat.MaxOutput > 0)
}

// answer judges the n-th answer of a reply. What is repaired is judged as it is
// then.
func (h *hearing) answer(v *upstream.Verdict, reply *llm.Reply, n int, a quality.Answer) {
	for i := range h.gates.Pure {
		g := &h.gates.Pure[i]
		if !a.Whole && !g.Early {
			continue
		}
		flags, _ := g.Judge(&a)
		if flags == 0 {
			continue
		}
		action := g.Action
		if !g.Chosen && flags&^llm.CutFlags == 0 && h.cut(&a) {
			action = upstream.Flag
		}
		if action == upstream.Repair {
			switch text, ok := repaired(g, a); {
			case ok:
				a.Text = text
				v.Mended |= flags
				v.Reply = instead(v.Reply, reply, n, text)
			case a.Whole && !h.cut(&a):
				action = upstream.Escalate
			default: // nothing is held back until it could be repaired
				action = upstream.Flag
			}
		}
		v.Flags |= flags
		if action > v.Action {
			v.Action, v.Gate = action, g.Name
		}
	}
}

// repaired returns the text of a whole answer repaired so that the gate lets it
// pass; false: it cannot be.
func repaired(g *Gate, a quality.Answer) (string, bool) {
	if !a.Whole || len(a.Calls) > 0 {
		return "", false
	}
	text, ok := quality.RepairJSON(a.Text)
	if !ok {
		return "", false
	}
	a.Text = text
	flags, _ := g.Judge(&a)
	return text, flags == 0
}

// instead returns the reply with another text in its n-th answer: so, or
// reply's copy where so is nil.
func instead(so, reply *llm.Reply, n int, text string) *llm.Reply {
	if so == nil {
		c := *reply
		c.Answers = append([]llm.Answer(nil), reply.Answers...)
		so = &c
	}
	a := &so.Answers[n]
	blocks := make([]llm.Block, 0, len(a.Blocks))
	for _, b := range a.Blocks {
		if b.Kind == llm.BlockText {
			if text == "" {
				continue
			}
			b = llm.Block{Kind: llm.BlockText, Text: text}
			text = ""
		}
		blocks = append(blocks, b)
	}
	a.Blocks = blocks
	return so
}
