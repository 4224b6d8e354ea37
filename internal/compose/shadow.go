package compose

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

const (
	// maxCopied bounds the body of a request that is copied, in bytes: it is held
	// until the copy has ended.
	maxCopied = 1 << 20
	// maxHeard bounds the text of an answer that is looked at, in bytes.
	maxHeard = 1 << 20
)

// Shadow answers as its Handler does, and asks another model the same for a
// share of the chats that were answered whole. A copy begins when the client has
// its answer, takes none of its time, and is an attempt of the client's request,
// which is settled when both have ended. What goes on from an earlier answer, or
// has tools that a vendor runs, is not copied, nor what is longer than 1 MiB, nor
// where the client says "x-sluice-shadow: off".
type Shadow struct {
	llm.Handler
	Model   llm.Handler // is asked the same
	Name    string      // the model's
	Share   float64     // of the chats, 0 to 1
	Caps    experiment.Caps
	Timeout time.Duration // of a copy
	Gates   *Gates        // judge both answers, and stop none
	Counts  *experiment.Shadow
	Desk    *Desk

	turn atomic.Uint64
}

// Do implements llm.Handler.
func (s *Shadow) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	if !s.takes(req) {
		return s.Handler.Do(ctx, req)
	}
	heard := *req
	heard.Events = true
	resp, err := s.Handler.Do(ctx, &heard)
	if err == nil && resp.Target != "" { // a vendor's answer
		resp.Stream = &shadowed{Stream: resp.Stream, by: s, req: req}
	}
	return resp, err
}

// takes draws the requests that are copied.
func (s *Shadow) takes(req *llm.Request) bool {
	if !req.Op.Chats() || req.Pin != nil || req.Continues != "" || req.Note != "" {
		return false
	}
	if float64(upstream.Mix(s.turn.Add(1), "shadow")>>11)/(1<<53) >= s.Share {
		return false
	}
	return len(req.Body.Bytes()) <= maxCopied && !strings.EqualFold(req.Header.Get("X-Sluice-Shadow"), "off")
}

// shadowed is an answer on its way to a client, which is listened to.
type shadowed struct {
	llm.Stream
	by    *Shadow
	req   *llm.Request
	ear   ear
	whole bool
	// refused: the client does not get it.
	refused bool
}

var _ llm.Refuser = (*shadowed)(nil)

// Next implements llm.Stream.
func (x *shadowed) Next() (llm.Chunk, error) {
	c, err := x.Stream.Next()
	switch {
	case err == io.EOF:
		x.whole = true
	case err == nil:
		if x.ear.hear(&c); len(c.Raw) > 0 && !x.req.Stream && !x.req.Events { // of streams some are gone on with by their events
			c.Events = nil
		}
	}
	return c, err
}

// Refuse implements llm.Refuser: what was refused is not copied.
func (x *shadowed) Refuse() { x.refused = true }

// Close implements llm.Stream.
func (x *shadowed) Close() error {
	err := x.Stream.Close()
	if x.whole && !x.refused {
		x.whole = false
		x.by.copy(x.req, &x.ear)
	}
	return err
}

// copy asks the other model, if there is room. The request's body is there until
// copy returns, and its trail is open.
func (s *Shadow) copy(req *llm.Request, client *ear) {
	reserved, why := s.Counts.Begin(s.Caps, time.Now())
	if why != experiment.Made {
		return
	}
	req.Body.Hold()
	branch := req.Trail.Branch(llm.NoteShadow, time.Now())
	ask := func(ctx context.Context) {
		p := experiment.Pair{Reserved: reserved, Failed: true}
		defer req.Body.Release()
		defer func() { branch.Close(time.Now()) }()
		defer func() {
			_ = recover()                                           // it loses the copy and nothing else
			p.Cost, p.Output = branch.Cost(), branch.Usage().Output // not the judge's, which is counted apart
			s.Counts.End(p)
		}()
		s.ask(ctx, req, branch, client, &p)
	}
	if !s.Desk.Go(ask) {
		ask(canceled())
	}
}

// canceled is a context that is done.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// ask makes the copy and reads its answer.
func (s *Shadow) ask(ctx context.Context, req *llm.Request, branch *llm.Trail, client *ear, p *experiment.Pair) {
	chat, bad := req.Body.Chat()
	if bad != nil || acts(chat) || ctx.Err() != nil {
		p.Skipped = true
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	own := *req
	own.Model, own.Trail, own.Note, own.Events = s.Name, branch, llm.NoteShadow, true
	own.Deadline, own.Sent, own.Credential = time.Time{}, nil, llm.Credential{} // the client did not ask for it
	own.Caller.Priority = llm.PriorityBatch
	began := time.Now()
	resp, err := s.Model.Do(ctx, &own)
	if err != nil {
		return
	}
	defer resp.Close()
	var copied ear
	for {
		c, err := resp.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
		copied.hear(&c)
	}
	p.Failed, p.Took = false, time.Since(began)
	s.score(ctx, req, client, &copied, p)
}

// clearly is by how much a judge's score must be the higher one to say that an
// answer is the better one.
const clearly = 0.05

// score judges both answers, where all of them is known.
func (s *Shadow) score(ctx context.Context, req *llm.Request, client, copied *ear, p *experiment.Pair) {
	if client.deaf || copied.deaf {
		return
	}
	trail := req.Trail.Branch(llm.NoteJudge, time.Now())
	defer func() { trail.Close(time.Now()) }()
	judged := func(e *ear) (llm.Flags, float64) {
		h := s.Gates.Begin(req, nil)
		h.Add(&llm.Chunk{Events: e.collector.Reply().Events(nil), Level: llm.LevelContent})
		h.End()
		return h.Late(ctx, trail)
	}
	var ours, theirs float64
	p.Client, theirs = judged(client)
	p.Flags, ours = judged(copied)
	p.Scored, p.Judging = true, trail.Cost()
	switch {
	case ours > theirs+clearly:
		p.Better = 1
	case ours < theirs-clearly:
		p.Better = -1
	}
}

// acts reports whether a chat does more than to ask: it has tools that a vendor
// would run, or goes on at the vendor.
func acts(c *llm.Chat) bool {
	for i := range c.Tools {
		if c.Tools[i].Kind == llm.ToolSearch {
			return true
		}
	}
	for i := range c.Left {
		for _, name := range [...]string{"tools", "mcp", "background", "conversation", "container"} {
			if strings.HasPrefix(c.Left[i].Name, name) {
				return true
			}
		}
	}
	return false
}

// ear makes a reply of what it hears.
type ear struct {
	collector llm.Collector
	size      int
	deaf      bool // a part was not understood, or it was too long
}

func (e *ear) hear(c *llm.Chunk) {
	if c.Events == nil && len(c.Raw) > 0 && c.Level == llm.LevelContent {
		e.deaf = true
	}
	for i := range c.Events {
		e.size += len(c.Events[i].Text)
	}
	if e.size > maxHeard {
		e.deaf = true
	}
	if !e.deaf {
		e.collector.Add(c.Events...)
	}
}
