package upstream

import (
	"bytes"
	"context"
	"io"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxResumed bounds the text, in bytes, of an answer that is gone on with.
	maxResumed = 64 << 10
	// leastRepeat is how many bytes of the delivered text a continuation must
	// repeat at its beginning to be taken for a repetition, and be cut. Less may
	// be what the model means to say.
	leastRepeat = 32
	blanks      = " \t\r\n"
)

// resumes reports whether another target may go on with the answer where it
// breaks, as far as that can be told before it begins.
func (r *run) resumes() bool {
	q := r.req
	return r.pool.Policy.Resume && q.Stream && q.Op == llm.OpChat && q.N <= 1 && q.Pin == nil && q.Continues == ""
}

// goesOn reports whether a vendor that is given the beginning of an answer to c
// would go on as the first one did.
func goesOn(c *llm.Chat) bool {
	n := len(c.Messages)
	return n > 0 && c.Messages[n-1].Role != llm.RoleAssistant && c.N <= 1 && !c.LogProbs && c.Format.Kind == llm.FormatText &&
		!c.Reasoning.On() && c.Choice.Mode != llm.ChoiceAny
}

// resume asks others than from to go on with the answer that begins with
// prefix, for at most clamp tokens (0: any number), until one has brought
// content. bad is what ended it.
func (r *run) resume(ctx context.Context, from choice, prefix string, clamp int, bad *llm.Error) (*live, llm.Chunk, bool) {
	r.count(from)
	r.drop(from.t)
	r.fallen = append(r.fallen, from.t.State)
	r.last, r.delivered, r.clamp = bad, prefix, clamp
	for {
		c, call, p, ok := r.next(ctx)
		if !ok {
			return nil, llm.Chunk{}, false
		}
		r.attempts++
		l, first, err := r.open(newWatch(ctx, c.t, r.req, r.deadline, r.movable(c)), c, call, p, llm.NoteResume)
		if err == nil {
			return l, first, true
		}
		r.failed(c, call, err)
		if err.Next() != llm.StepNext {
			return nil, llm.Chunk{}, false
		}
	}
}

// resumable is a streamed answer that another target goes on with, once, where
// the vendor's stream breaks in the middle of a text: the client sees one
// answer. It can only be gone on with while it is one text and nothing else.
type resumable struct {
	run  *run
	ctx  context.Context
	c    choice // whose call half is
	half peeked // the call that answers

	text  []byte     // delivered
	open  bool       // the text has begun
	other bool       // more than a text has come, or its end
	ended *llm.Event // the text's end, held back: it may be the break's
	out   []llm.Event

	second bool // the continuation answers
	told   bool // it was told that it does
	usage  llm.Usage
	joint  joint
	begun  bool // the continuation's first block has begun
	merged bool // it is the rest of the text
	base   int  // the continuation's block 0 is this one of the answer
}

// Next implements llm.Stream.
func (s *resumable) Next() (llm.Chunk, error) {
	if !s.second {
		c, err := s.half.Next()
		if err == nil {
			s.watch(&c)
			return c, nil
		}
		if err == io.EOF || !s.goOn(llm.AsError(err)) {
			return c, err
		}
	}
	for {
		c, err := s.half.Next()
		if err != nil {
			return c, err
		}
		if c = s.splice(c); len(c.Events) > 0 {
			c.Resumed, s.told = !s.told, true
			return c, nil
		}
	}
}

// Close implements llm.Stream.
func (s *resumable) Close() error { return s.half.Close() }

// watch notes what of the answer's first half goes to the client.
func (s *resumable) watch(c *llm.Chunk) {
	if len(c.Raw) > 0 && c.Events == nil {
		s.other = s.other || c.Level != llm.LevelNone
		return
	}
	if s.ended != nil {
		s.out = append(append(s.out[:0], *s.ended), c.Events...)
		c.Events, s.ended, s.other = s.out, nil, true
	}
	for i := range c.Events {
		e := &c.Events[i]
		switch {
		case e.Kind == llm.EventStart, e.Kind == llm.EventUsage:
		case e.Kind == llm.EventBlock && !s.open && e.Index == 0 && e.Block != nil && e.Block.Kind == llm.BlockText:
			s.open = true
		case e.Kind == llm.EventDelta && s.open && e.Index == 0 && len(s.text)+len(e.Text) <= maxResumed:
			s.text = append(s.text, e.Text...)
		case e.Kind == llm.EventBlockEnd && len(c.Raw) == 0 && i == len(c.Events)-1:
			s.ended = new(llm.Event)
			*s.ended = *e
			c.Events = c.Events[:i]
		default:
			s.other = true
		}
	}
	if s.other {
		s.text = nil
	}
}

// goOn looks for a target that goes on with the answer, which bad has ended.
func (s *resumable) goOn(bad *llm.Error) bool {
	prefix := string(bytes.TrimRight(s.text, blanks)) // vendors refuse blanks at its end
	if s.other || !s.open || prefix == "" || bad.Next() != llm.StepNext || s.ctx.Err() != nil {
		return false
	}
	if chat, err := s.run.req.Body.Chat(); err != nil || !goesOn(chat) {
		return false
	}
	s.usage = s.half.usage
	clamp := s.run.clamp
	if most := s.run.req.MaxOutput; most > 0 && (clamp == 0 || most < clamp) {
		clamp = most
	}
	if clamp > 0 {
		clamp = max(1, clamp-int(min(s.usage.Output, int64(clamp))))
	}
	l, first, ok := s.run.resume(s.ctx, s.c, prefix, clamp, bad)
	if !ok {
		return false
	}
	s.half = peeked{live: l, first: first, have: true}
	s.second, s.joint = true, joint{done: s.text, open: true}
	return true
}

// splice makes a chunk of the continuation one of the answer.
func (s *resumable) splice(c llm.Chunk) llm.Chunk {
	s.out = s.out[:0]
	for i := range c.Events {
		e := c.Events[i]
		switch e.Kind {
		case llm.EventStart:
			continue
		case llm.EventUsage:
			if e.Usage != nil {
				sum := s.usage.Add(*e.Usage)
				e.Usage = &sum
			}
			s.out = append(s.out, e)
			continue
		case llm.EventBlock:
			if !s.begun && e.Block != nil && e.Block.Kind == llm.BlockText {
				s.begun, s.merged = true, true
				continue
			}
		case llm.EventDelta:
			if s.merged && e.Index == 0 {
				if e.Text = s.joint.add(e.Text); e.Text != "" {
					s.out = append(s.out, e)
				}
				continue
			}
		}
		if rest := s.joint.rest(); rest != "" {
			s.out = append(s.out, llm.Event{Kind: llm.EventDelta, Text: rest})
		}
		if !s.begun { // with something else than text, or nothing
			s.begun, s.base = true, 1
			s.out = append(s.out, llm.Event{Kind: llm.EventBlockEnd})
		}
		e.Index += s.base
		s.out = append(s.out, e)
	}
	c.Raw, c.Events = nil, s.out
	return c
}

// joint is where a continuation meets what was delivered. It holds its
// beginning back while that may be a repetition: as long as it is part of the
// delivered text, so never more than that.
type joint struct {
	done []byte // delivered
	held []byte
	open bool
}

// add takes the continuation's next text and returns what goes to the client.
func (j *joint) add(text string) string {
	if !j.open {
		return text
	}
	j.held = append(j.held, text...)
	if bytes.Contains(j.done, j.held) {
		return ""
	}
	return j.rest()
}

// rest decides, and returns what was held back and is no repetition.
func (j *joint) rest() string {
	if !j.open {
		return ""
	}
	j.open = false
	n := overlap(j.done, j.held)
	if n < leastRepeat { // but for the blanks, which the vendor was not told
		n = overlap(j.done[len(bytes.TrimRight(j.done, blanks)):], j.held)
	}
	return string(j.held[n:])
}

// overlap is the length of the longest end of a that b begins with.
func overlap(a, b []byte) int {
	for n := min(len(a), len(b)); n > 0; n-- {
		if bytes.HasSuffix(a, b[:n]) {
			return n
		}
	}
	return 0
}
