package provider

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// maxFan bounds the calls that are made for one request with n > 1.
const maxFan = 16

// Fan returns a function that tells how many calls a request for the model
// makes, 1 to maxFan; nil where that is always one.
func (a *Account) Fan(m Model) func(*llm.Request) int64 {
	l := &line{acc: a, model: m, protos: a.protos(m.Name)}
	if !a.set.Vendor.Single && !slices.ContainsFunc(l.protos, func(p llm.Proto) bool { return !protocol.Of(p).Several }) {
		return nil
	}
	return l.fan
}

func (l *line) fan(req *llm.Request) int64 {
	if req.N <= 1 || req.Op != llm.OpChat && req.Op != llm.OpCompletion {
		return 1
	}
	if !l.acc.set.Vendor.Single {
		p, e := l.proto(req)
		if e != nil || protocol.Of(p).Several {
			return 1
		}
		if b, ok := req.Body.(*wire.Form); ok && l.passes(req, b) {
			return 1
		}
	}
	return int64(min(req.N, maxFan))
}

// body is a request body in memory.
type body struct{ *bytes.Reader }

func newBody(b []byte) body { return body{bytes.NewReader(b)} }

func (body) Close() error { return nil }

// several asks n times for one answer each and makes one answer of them. The
// first that fails fails all.
func (l *line) several(ctx context.Context, req *llm.Request, proto llm.Proto, call *wire.Call, n int) (*llm.Response, error) {
	if n <= 1 {
		return l.ask(ctx, req, proto, call)
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &fan{lost: slices.Clone(call.Lossy), ctx: ctx, cancel: cancel, pieces: make(chan piece), usage: make([]llm.Usage, n), left: n}
	heads := make(chan result, n)
	for i := range n {
		mine := *call // the decoder writes into it
		mine.Lossy = slices.Clone(call.Lossy)
		go func() {
			resp, err := l.ask(ctx, req, proto, &mine)
			heads <- result{i, resp, err}
		}()
	}
	all := make([]*llm.Response, n)
	var failed error
	for range n {
		if h := <-heads; h.err == nil {
			all[h.index] = h.resp
		} else if failed == nil {
			failed = h.err
			cancel()
		}
	}
	if failed != nil {
		cancel()
		for _, r := range all {
			if r != nil {
				_ = r.Close()
			}
		}
		return nil, failed
	}
	for i, r := range all {
		f.wait.Add(1)
		go f.read(ctx, i, r)
	}
	out := *all[0]
	out.Lossy = func() []string { return f.lost }
	if out.Stream = f; !req.Stream {
		out.Stream = &gathered{fan: f}
	}
	return &out, nil
}

type result struct {
	index int
	resp  *llm.Response
	err   error
}

// piece is what one of the calls brought.
type piece struct {
	index int
	chunk llm.Chunk
	err   error
	lost  []string      // by this answer so far
	taken chan struct{} // closed when the chunk is no longer used
}

// fan is several answers as one stream: events as they come, each with its
// answer's number.
type fan struct {
	ctx    context.Context // of the calls
	cancel context.CancelFunc
	pieces chan piece
	usage  []llm.Usage
	lost   []string // by any of them, with Next's
	sum    llm.Usage
	left   int
	begun  bool // the start of the whole was told
	last   chan struct{}
	wait   sync.WaitGroup
	over   error
}

// read hands the pieces of one answer over until its end.
func (f *fan) read(ctx context.Context, index int, resp *llm.Response) {
	defer f.wait.Done()
	defer resp.Close()
	for {
		c, err := resp.Next()
		p := piece{index, c, err, slices.Clone(resp.Lossy()), make(chan struct{})}
		select {
		case f.pieces <- p:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-p.taken:
		case <-ctx.Done():
			return
		}
	}
}

// Next implements llm.Stream.
func (f *fan) Next() (llm.Chunk, error) {
	if f.last != nil {
		close(f.last)
		f.last = nil
	}
	for f.over == nil {
		if f.left == 0 {
			f.over = io.EOF
			break
		}
		var p piece
		select {
		case p = <-f.pieces:
		case <-f.ctx.Done():
			f.over = f.ctx.Err()
			return llm.Chunk{}, f.over
		}
		for _, name := range p.lost {
			if !slices.Contains(f.lost, name) {
				f.lost = append(f.lost, name)
			}
		}
		if p.err == io.EOF {
			f.left--
			continue
		}
		if p.err != nil {
			f.over = p.err
			break
		}
		f.last = p.taken
		return f.renumber(p), nil
	}
	return llm.Chunk{}, f.over
}

// renumber makes a piece part of the whole.
func (f *fan) renumber(p piece) llm.Chunk {
	c := p.chunk
	if c.Usage != nil {
		f.usage[p.index] = *c.Usage
	}
	f.sum = llm.Usage{}
	for _, u := range f.usage {
		f.sum = f.sum.Add(u)
	}
	c.Usage = &f.sum
	out := c.Events[:0]
	for _, e := range c.Events {
		e.Answer = p.index
		switch e.Kind {
		case llm.EventStart:
			if f.begun {
				continue
			}
			f.begun = true
		case llm.EventUsage:
			u := f.sum
			e.Usage = &u
		}
		out = append(out, e)
	}
	c.Events = out
	return c
}

// Close implements llm.Stream. It waits until the calls have ended.
func (f *fan) Close() error {
	if f.over == nil {
		f.over = io.ErrClosedPipe
	}
	f.cancel()
	f.wait.Wait()
	return nil
}

// gathered is several whole answers as one chunk, so that what they cost is
// known with it.
type gathered struct {
	*fan
	done bool
}

// Next implements llm.Stream.
func (g *gathered) Next() (llm.Chunk, error) {
	if g.done {
		return llm.Chunk{}, io.EOF
	}
	g.done = true
	all := llm.Chunk{Level: llm.LevelContent}
	for {
		c, err := g.fan.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return llm.Chunk{}, err
		}
		all.Events = append(all.Events, c.Events...)
		u := *c.Usage
		all.Usage = &u
	}
}
