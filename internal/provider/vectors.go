package provider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// Bounds on the calls that are made for one request where a vendor takes fewer
// inputs at a time than the client sent.
const (
	maxParts   = 256 // calls for a request
	partsAtOne = 8   // calls at a time
)

// embed asks a vendor of other words for vectors, in as many calls as it needs.
func (l *line) embed(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	r, p, e := l.other(req, func(p *protocol.Protocol) bool { return p.EmbedCall != nil }, l.vectorOps()...)
	if e != nil {
		return nil, e
	}
	read := protocol.Of(req.Proto).Embed
	if read == nil {
		return nil, unasked(req.Op)
	}
	in, e := read(req.Op, req.Body.Bytes())
	if e != nil {
		return nil, e
	}
	t := l.target(false)
	size := p.EmbedMost(t)
	if size == 0 || size > len(in.Inputs) {
		size = len(in.Inputs)
	}
	n := (len(in.Inputs) + size - 1) / size
	if n > maxParts {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "input", Message: fmt.Sprintf("at most %d inputs fit into a request to this model; send fewer", maxParts*size)}
	}
	parts, calls := make([]*llm.Embed, n), make([]*wire.Call, n)
	var lossy []string
	for i := range n { // all are written before any is sent: what cannot be told costs nothing
		parts[i] = in.Part(i*size, min((i+1)*size, len(in.Inputs)))
		if calls[i], e = p.EmbedCall(parts[i], t); e != nil {
			return nil, e
		}
		if lossy, e = lose(req, lossy, calls[i]); e != nil {
			return nil, e
		}
	}
	answers, replies := make([]*llm.Response, n), make([]*llm.EmbedReply, n)
	err := inParts(ctx, n, func(ctx context.Context, i int) (err error) {
		answers[i], err = l.exchange(ctx, req, r, calls[i], func(h http.Header, body []byte) (bad *llm.Error) {
			if replies[i], bad = p.ParseEmbed(t, h, body); bad != nil {
				return bad
			}
			return whole(parts[i], replies[i])
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	all := joined(replies)
	if all.Model == "" {
		all.Model = l.model.Name
	}
	out := answers[0]
	out.Stream = &told{chunk: llm.Chunk{Embed: all, Level: llm.LevelContent, Usage: all.Usage}}
	out.Lossy = func() []string { return lossy }
	return out, nil
}

// joined is one reply of the replies to parts of a request.
func joined(parts []*llm.EmbedReply) *llm.EmbedReply {
	all := *parts[0]
	usage := *all.Usage
	for _, r := range parts[1:] {
		all.Vectors = append(all.Vectors, r.Vectors...)
		usage = usage.Add(*r.Usage)
	}
	all.Usage = &usage
	return &all
}

// whole checks that each input has its vector, of the length that was asked
// for, and counts what the vendor did not.
func whole(e *llm.Embed, r *llm.EmbedReply) *llm.Error {
	if len(r.Vectors) != len(e.Inputs) {
		return wire.BadAnswer(fmt.Sprintf("%d vectors for %d inputs", len(r.Vectors), len(e.Inputs)))
	}
	for _, v := range r.Vectors {
		if len(v) == 0 {
			return wire.BadAnswer("an empty vector")
		}
		if e.Dimensions > 0 && int64(len(v)) != e.Dimensions {
			return wire.Unsupported("dimensions", fmt.Sprintf("the model gives vectors of %d; leave it out or ask another model", len(v)))
		}
	}
	if r.Usage == nil {
		r.Usage = &llm.Usage{Input: int64(e.Len()+3) / 4, Estimated: true}
	}
	return nil
}

// rerank asks a vendor of other words which documents answer a query.
func (l *line) rerank(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	r, p, e := l.other(req, func(p *protocol.Protocol) bool { return p.RerankCall != nil }, llm.OpRerank)
	if e != nil {
		return nil, e
	}
	asked, e := protocol.Of(req.Proto).Rerank(req.Body.Bytes())
	if e != nil {
		return nil, e
	}
	call, e := p.RerankCall(asked, l.target(false))
	if e != nil {
		return nil, e
	}
	lossy, e := lose(req, nil, call)
	if e != nil {
		return nil, e
	}
	var reply *llm.RerankReply
	out, err := l.exchange(ctx, req, r, call, func(h http.Header, body []byte) (bad *llm.Error) {
		if reply, bad = p.ParseRerank(asked, h, body); bad != nil {
			return bad
		}
		if err := reply.Complete(asked); err != nil {
			return wire.BadAnswer(err.Error())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if reply.Model == "" {
		reply.Model = l.model.Name
	}
	if reply.Usage == nil {
		reply.Usage = &llm.Usage{Input: int64(asked.Len()+3) / 4, Estimated: true}
	}
	out.Stream = &told{chunk: llm.Chunk{Rerank: reply, Level: llm.LevelContent, Usage: reply.Usage}}
	out.Lossy = func() []string { return lossy }
	return out, nil
}

// vectorOps are the operations by which vectors are asked for, the first that
// there is.
func (l *line) vectorOps() []llm.Op {
	if l.differs(llm.OpEmbeddingBatch) {
		return []llm.Op{llm.OpEmbedding}
	}
	return []llm.Op{llm.OpEmbeddingBatch, llm.OpEmbedding}
}

// other finds the first of the vendor's protocols that has one of ops, tried in
// this order, and its row.
func (l *line) other(req *llm.Request, has func(*protocol.Protocol) bool, ops ...llm.Op) (route, *protocol.Protocol, *llm.Error) {
	for _, proto := range l.speaks(req.Op) {
		p := protocol.Of(proto)
		if !has(p) {
			continue
		}
		for _, op := range ops {
			if r := (route{proto: proto, op: op}); l.urls[r] != nil {
				return r, p, nil
			}
		}
	}
	return route{}, nil, unasked(req.Op)
}

// lose adds what call cannot tell to lossy; with x-sluice-strict that is an
// error.
func lose(req *llm.Request, lossy []string, call *wire.Call) ([]string, *llm.Error) {
	if req.Strict && len(call.Lossy) > 0 {
		return nil, wire.Unsupported(call.Lossy[0], "the model's vendor cannot be told "+strings.Join(call.Lossy, ", ")+", and x-sluice-strict forbids to leave it out")
	}
	all := wire.Call{Lossy: lossy}
	for _, f := range call.Lossy {
		all.Lose(f)
	}
	return all.Lossy, nil
}

// exchange makes one call in a vendor's words and reads the whole of its
// answer. The response has no stream yet.
func (l *line) exchange(ctx context.Context, req *llm.Request, r route, call *wire.Call, read func(h http.Header, body []byte) *llm.Error) (*llm.Response, error) {
	if l.model.Params != nil {
		var e *llm.Error
		if call.Body, e = wire.Apply(l.model.Params, call.Body); e != nil {
			return nil, e
		}
	}
	resp, err := l.call(ctx, req, r, newBody(call.Body), int64(len(call.Body)), "")
	if err != nil {
		return nil, err
	}
	out := l.response(r.proto, resp)
	answer, e := wire.Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) { return llm.Chunk{}, read(resp.Header, body) })
	if e != nil {
		return nil, e
	}
	defer answer.Close()
	if _, err := answer.Next(); err != nil && err != io.EOF {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return out, nil
}

// inParts runs do for 0 to n-1, a few at a time. The first error ends all.
func inParts(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	if n == 1 {
		return do(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wait  sync.WaitGroup
		once  sync.Once
		first error
	)
	slots := make(chan struct{}, partsAtOne)
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := do(ctx, i); err != nil {
				once.Do(func() { first = err; cancel() })
			}
		})
	}
	wait.Wait()
	if first == nil {
		first = ctx.Err()
	}
	return first
}
