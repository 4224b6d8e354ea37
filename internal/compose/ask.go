// Package compose makes what must ask somebody while a request is served: judges
// of answers. It calls models as handlers, in the gateway's own name, and shares
// the trail of the request that it does so for.
package compose

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Body makes the body of a request of the gateway's own.
type Body func(*llm.Chat) llm.Body

// Ask asks h, the model of that name, for the sake of req: for its caller, with
// its credential, on its trail. note is why. The error is what the model's would
// be, or says that its answer has no text.
func (b Body) Ask(ctx context.Context, h llm.Handler, model, note string, req *llm.Request, chat *llm.Chat) (*llm.Reply, error) {
	own := &llm.Request{
		ID: req.ID, Op: llm.OpChat, Model: model, N: 1, MaxOutput: int(chat.MaxOutput), Note: note,
		Caller: req.Caller, Credential: req.Credential, Body: b(chat), Trail: req.Trail, Deadline: req.Deadline,
	}
	defer own.Body.Release()
	if at, ok := ctx.Deadline(); ok && (own.Deadline.IsZero() || at.Before(own.Deadline)) {
		own.Deadline = at
	}
	resp, err := h.Do(ctx, own)
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	var all llm.Collector
	for {
		c, err := resp.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		all.Add(c.Events...)
	}
	reply := all.Reply()
	if len(reply.Answers) == 0 {
		return nil, errors.New("the model gave no answer")
	}
	return reply, nil
}

// textOf is the text of an answer that a user sees.
func textOf(a *llm.Answer) string {
	var b strings.Builder
	for i := range a.Blocks {
		if a.Blocks[i].Kind == llm.BlockText {
			b.WriteString(a.Blocks[i].Text)
		}
	}
	return b.String()
}

// said is a turn of one text.
func said(role llm.Role, text string) llm.Message {
	return llm.Message{Role: role, Blocks: []llm.Block{{Kind: llm.BlockText, Text: text}}}
}

// within bounds ctx by d, 0 for not at all.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
