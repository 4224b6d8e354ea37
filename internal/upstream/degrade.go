package upstream

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Degrade is one level of what a model does when nobody of its targets and
// fallback models can answer. One of the fields is set.
type Degrade struct {
	Pool      *Pool  // this model is asked; its own fallback models are not
	MaxOutput int    // the model's targets are asked again, for so many tokens at most
	Answer    string // this is the answer
}

// degrade goes down the levels until one answers. bad is why there is need to;
// it is the error where no level answers.
func (r *run) degrade(ctx context.Context, bad *llm.Error) (*llm.Response, *llm.Error) {
	if !exhausted(bad) {
		return nil, bad
	}
	for i := range r.pool.Degrade {
		d := &r.pool.Degrade[i]
		r.level = i + 1
		switch {
		case d.Answer != "" && r.req.Op.Chats():
			return r.told(d.Answer), nil
		case d.Answer != "", d.MaxOutput > 0 && !d.shortens(r.req):
			continue
		}
		r.only, r.clamp = cmp.Or(d.Pool, r.pool), d.MaxOutput
		r.model, r.made, r.pauses, r.context = 0, r.made[:0], 0, 0
		r.refused, r.fallen = nil, nil
		r.gating.reopen()
		r.refill(r.now())
		resp, err := r.try(ctx)
		if err == nil {
			return resp, nil
		}
		if err.Kind == llm.KindCanceled {
			return nil, err
		}
	}
	return nil, bad
}

// exhausted reports whether an error means that nobody could answer now. What
// the caller did wrong does not, nor that it left.
func exhausted(e *llm.Error) bool {
	switch e.Kind {
	case llm.KindOverloaded, llm.KindRateLimited, llm.KindTimeout, llm.KindUpstream, llm.KindConnect, llm.KindSuspected, llm.KindRejected:
		return true
	}
	return false
}

// shortens reports whether the level asks for less than the request does.
func (d *Degrade) shortens(req *llm.Request) bool {
	return req.Op.Chats() && (req.MaxOutput == 0 || req.MaxOutput > d.MaxOutput)
}

// told answers with a text, for nothing. Each of the answers asked for is it.
func (r *run) told(text string) *llm.Response {
	reply := llm.Reply{Model: r.pool.Model, Created: time.Now().Unix(), Usage: &llm.Usage{}}
	for range max(1, r.req.N) {
		reply.Answers = append(reply.Answers, llm.Answer{Blocks: []llm.Block{{Kind: llm.BlockText, Text: text}}, Stop: llm.StopEnd})
	}
	chunk := llm.Chunk{Events: reply.Events(nil), Level: llm.LevelContent, Usage: reply.Usage}
	out := &llm.Response{
		Status: 200, Model: r.pool.Model, Strategy: r.pool.Strategy, Degraded: r.level, Stream: &said{chunk: chunk},
	}
	if !r.req.Stream {
		out.Cost = r.req.Trail.Cost()
	}
	return out
}

// said is an answer of one chunk that no vendor gave.
type said struct {
	chunk llm.Chunk
	over  bool
}

func (s *said) Next() (llm.Chunk, error) {
	if s.over {
		return llm.Chunk{}, io.EOF
	}
	s.over = true
	return s.chunk, nil
}

func (s *said) Close() error {
	s.over = true
	return nil
}
