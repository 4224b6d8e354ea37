package guard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// maxHeld bounds a streamed answer that is held back until it is whole, in bytes
// and events together. Answers that come in one piece are bounded by their own
// limit.
const maxHeld = 16 << 20

// answer asks the model, or who answers in its place by the request's class.
func (a *asking) answer(ctx context.Context) (*llm.Response, error) {
	var out []*Guard
	hold := false
	for _, g := range a.looking {
		if g.Output {
			out = append(out, g)
			hold = hold || g.Hold
		}
	}
	req := a.asked()
	watched := req.Op.Chats() && (len(out) > 0 || a.masks.back != nil)
	req.Events = req.Events || watched
	resp, err := a.model().Do(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case watched && resp.Send == nil && req.Stream && !hold:
		s := &stream{asking: a, inner: resp.Stream, flow: a.flow(out, a.back()...)}
		s.flow.anew = resp.Fixed && s.flow.edits()
		resp.Stream = s
	case watched && resp.Send == nil:
		return a.whole(ctx, resp, out)
	case a.body != a.req.Body:
		resp.Stream = &releasing{resp.Stream, a}
	}
	return resp, nil
}

// model is who is asked.
func (a *asking) model() llm.Handler {
	if c := a.h.of(a.risk); c.Handler != nil {
		return c.Handler
	}
	return a.h.Model
}

// flow is what the answer goes through. What was masked in the request is given
// back by extra.
func (a *asking) flow(out []*Guard, extra ...Finder) *flow {
	var local []*Guard
	for _, g := range out {
		if len(g.Finders) > 0 {
			local = append(local, g)
		}
	}
	return newFlow(local, &a.masks, extra...)
}

// back finds what the answer gives back.
func (a *asking) back() []Finder {
	if a.masks.back == nil {
		return nil
	}
	return []Finder{&a.masks}
}

// edits reports whether the answer may be changed.
func (f *flow) edits() bool {
	return len(f.extra) > 0 || slices.ContainsFunc(f.guards, (*Guard).masks)
}

// masks reports whether what the guard finds itself may be masked.
func (g *Guard) masks() bool {
	return slices.ContainsFunc(g.Finders, func(f Finder) bool { return f.masks() })
}

// releasing gives up a request's body when its answer is closed.
type releasing struct {
	llm.Stream
	asking *asking
}

func (r *releasing) Close() error {
	err := r.Stream.Close()
	r.asking.release()
	return err
}

// account takes over what the finders found in an answer.
func (a *asking) account(f *flow) *llm.Error {
	for i, g := range f.guards {
		t := &f.tallies[i]
		a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageOutput, Action: t.action.String(), Risk: t.risk.String(), Found: t.found})
		a.raise(t.risk, g.Name)
	}
	if f.blocked != "" {
		return refused(llm.StageOutput, f.blocked)
	}
	return a.unread(f)
}

// unread is the error for an answer of which something could not be read, where a
// guard does not let that through.
func (a *asking) unread(f *flow) *llm.Error {
	if !f.blind {
		return nil
	}
	for _, g := range a.looking {
		if g.Output && !g.Open {
			return failed(g.Name, errors.New("the answer could not be read"))
		}
	}
	return nil
}

// whole judges an answer before anybody gets it. One whose class asks for another
// model is asked of that, once.
func (a *asking) whole(ctx context.Context, resp *llm.Response, out []*Guard) (*llm.Response, error) {
	for again := false; ; again = true {
		had := a.risk
		chunks, err := gather(resp)
		var bad *llm.Error
		if err == nil {
			chunks, bad = a.judge(ctx, chunks, out)
		} else if errors.Is(err, errLarge) {
			bad = a.large(out, err)
		} else {
			bad = llm.AsError(err)
		}
		class := a.h.of(a.risk)
		if bad == nil && a.risk > had && class.Block {
			bad = refused(llm.StageOutput, a.by)
		}
		a.publish()
		if bad != nil {
			refuse(resp.Stream)
			_ = resp.Close()
			return nil, bad
		}
		if a.risk == had || class.Handler == nil || again || err != nil {
			if !a.req.Stream {
				resp.Cost = a.req.Trail.Cost()
				for i := range chunks { // what passes is told by its bytes alone
					if len(chunks[i].Raw) > 0 {
						chunks[i].Events = nil
					}
				}
			}
			resp.Stream = &releasing{&held{Stream: resp.Stream, chunks: chunks, more: err != nil}, a}
			return resp, nil
		}
		refuse(resp.Stream)
		_ = resp.Close()
		req := a.asked()
		req.Events = true
		if resp, err = class.Handler.Do(ctx, req); err != nil {
			return nil, err
		}
	}
}

// refuse tells an answer that it is not delivered.
func refuse(s llm.Stream) {
	if r, ok := s.(llm.Refuser); ok {
		r.Refuse()
	}
}

// large is the error for an answer that is too large to be judged, nil where it
// goes through unjudged.
func (a *asking) large(out []*Guard, err error) *llm.Error {
	for _, g := range out {
		a.note(llm.Verdict{Guard: g.Name, Stage: llm.StageOutput, Action: llm.GuardError})
		if !g.Open {
			return failed(g.Name, err)
		}
	}
	return nil
}

// judge looks at a whole answer, and returns it as it may be delivered.
func (a *asking) judge(ctx context.Context, chunks []llm.Chunk, out []*Guard) ([]llm.Chunk, *llm.Error) {
	f := a.flow(out)
	chunks = f.all(chunks)
	if bad := a.account(f); bad != nil {
		return nil, bad
	}
	text := f.text.String()
	var mask []Finder
	a.literal = func(l *literals) { mask = append(mask, l) }
	bad := a.remote(ctx, llm.StageOutput, func(g *Guard) (*Question, error) { return a.said(g, text) })
	a.literal = nil
	if mask = append(mask, a.back()...); bad != nil || len(mask) == 0 {
		return chunks, bad
	}
	return newFlow(nil, &a.masks, mask...).all(chunks), nil // who judged it saw no more than the model
}

// all is a whole answer as it goes through.
func (f *flow) all(chunks []llm.Chunk) []llm.Chunk {
	f.whole = true
	for _, c := range chunks {
		f.add(c)
	}
	f.end()
	return f.ready
}

var errLarge = errors.New("the answer is larger than guards can hold back")

// gather reads a whole answer. Of one that is too large it returns what came with
// errLarge; the rest follows in resp.
func gather(resp *llm.Response) ([]llm.Chunk, error) {
	var all []llm.Chunk
	size := 0
	for {
		c, err := resp.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(c.Raw) == 0 && c.Events == nil && c.Embed == nil && c.Rerank == nil {
			continue // a sign of life
		}
		c.Raw, c.Events = bytes.Clone(c.Raw), slices.Clone(c.Events)
		all = append(all, c)
		if size += len(c.Raw) + 64*len(c.Events); len(all) > 1 && size > maxHeld {
			return all, errLarge
		}
	}
}

// held is an answer that was held back. What it was read from follows where more
// is set.
type held struct {
	llm.Stream
	chunks []llm.Chunk
	more   bool
}

func (h *held) Next() (llm.Chunk, error) {
	if len(h.chunks) > 0 {
		c := h.chunks[0]
		h.chunks = h.chunks[1:]
		return c, nil
	}
	if h.more {
		return h.Stream.Next()
	}
	return llm.Chunk{}, io.EOF
}

// stream is an answer that goes through its guards as it comes. Those that have
// to ask somebody are asked when the client has it, and can do no more than note
// what they find.
type stream struct {
	*asking
	inner llm.Stream
	flow  *flow
	ended error // of inner
	over  error
	told  bool // the verdicts
}

// Next implements llm.Stream.
func (s *stream) Next() (llm.Chunk, error) {
	for {
		switch {
		case s.over != nil:
			return llm.Chunk{}, s.over
		case len(s.flow.ready) > 0:
			c := s.flow.ready[0]
			s.flow.ready = s.flow.ready[1:]
			return c, nil
		case s.ended != nil:
			s.finish()
			s.over = s.ended
			continue
		}
		c, err := s.inner.Next()
		switch {
		case err != nil:
			s.ended = err
			s.flow.end()
		case len(c.Raw) == 0 && c.Events == nil: // a sign of life
			return c, nil
		default:
			s.flow.add(c)
		}
		if bad := s.stops(); bad != nil {
			s.over = bad
			refuse(s.inner)
			s.tell()
		}
	}
}

// stops is the error that ends the answer, nil while it goes on.
func (s *stream) stops() *llm.Error {
	if s.flow.blocked != "" {
		return refused(llm.StageOutput, s.flow.blocked)
	}
	for i, g := range s.flow.guards {
		if r := s.flow.tallies[i].risk; r > s.risk {
			s.raise(r, g.Name)
			if s.h.of(s.risk).Block {
				return refused(llm.StageOutput, g.Name)
			}
		}
	}
	return s.unread(s.flow)
}

// tell notes what the finders found, once.
func (s *stream) tell() {
	if !s.told {
		s.told = true
		_ = s.account(s.flow)
		s.publish()
	}
}

// finish ends an answer that the client has.
func (s *stream) finish() {
	if s.told {
		return
	}
	s.tell()
	if s.ended != io.EOF {
		return
	}
	if !slices.ContainsFunc(s.looking, func(g *Guard) bool { return g.Remote != nil && g.Output }) {
		return
	}
	q, err := s.said(nil, s.flow.text.String()) // the request's body may be gone later
	s.late = true
	branch := s.req.Trail.Branch(llm.NoteGuard, time.Now()) // holds the trail open
	ask := func(ctx context.Context) {
		defer func() { branch.Close(time.Now()) }()
		defer func() { _ = recover() }() // it loses the verdicts and nothing else
		_ = s.remote(ctx, llm.StageOutput, func(*Guard) (*Question, error) { return q, err })
		s.publish()
	}
	if !s.h.later(ask) {
		err = errBusy
		ask(context.Background())
	}
}

var errBusy = errors.New("too many answers are being judged")

// Close implements llm.Stream.
func (s *stream) Close() error {
	err := s.inner.Close()
	s.tell()
	s.release()
	return err
}

// question is what a guard is asked about the request.
func (a *asking) question(g *Guard) (*Question, error) {
	text, err := a.words(g.Last)
	return &Question{Request: a.req, Stage: llm.StageInput, Text: text}, err
}

// said is what a guard is asked about an answer.
func (a *asking) said(_ *Guard, text string) (*Question, error) {
	if len(text) > maxText {
		return nil, errLong
	}
	asked, err := a.words(true)
	if err != nil {
		asked = "" // it was judged before, if anybody wanted to
	}
	return &Question{Request: a.req, Stage: llm.StageOutput, Text: strings.TrimSpace(text), Before: asked}, nil
}

var errLong = errors.New("the text is longer than a guard is asked about")

// words are the texts of the request, with a blank line between them: all that
// finders see, or, where last is set, of a conversation what was said after the
// last answer.
func (a *asking) words(last bool) (string, error) {
	var b strings.Builder
	add := func(s string) {
		if s != "" && b.Len() <= maxText {
			if b.Len() > 0 {
				b.WriteString("\n\n")
			}
			b.WriteString(s)
		}
	}
	chat, bad := a.body.Chat()
	if last && bad == nil {
		messages := chat.Messages
		for i := len(messages) - 1; i >= 0; i-- {
			if messages[i].Role == llm.RoleAssistant && i < len(messages)-1 {
				messages = messages[i+1:]
				break
			}
		}
		for i := range messages {
			spoken(messages[i].Blocks, add)
		}
	} else if bad := a.edit(func(text string) (string, bool) { add(text); return "", false }); bad != nil {
		return "", bad
	}
	if b.Len() > maxText {
		return "", errLong
	}
	return b.String(), nil
}

// spoken calls add with the texts of blocks.
func spoken(blocks []llm.Block, add func(string)) {
	for i := range blocks {
		b := &blocks[i]
		add(b.Text)
		spoken(b.Result, add)
		if b.Media != nil {
			add(b.Media.Text)
		}
	}
}
