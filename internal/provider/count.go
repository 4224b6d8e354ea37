package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// estimated is what an answer loses that the gateway counted itself.
var estimated = []string{"input_tokens (estimated)"}

// orEstimate makes an estimate of the answer of a vendor that does not count,
// which no client may take for a model that is not there.
func (l *line) orEstimate(req *llm.Request) func(*llm.Response, error) (*llm.Response, error) {
	return func(resp *llm.Response, err error) (*llm.Response, error) {
		var e *llm.Error
		if errors.As(err, &e) {
			switch e.Status {
			case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
				return l.estimate(req)
			}
		}
		return resp, err
	}
}

// count asks a vendor of another protocol for the tokens of a chat, or
// estimates them where it cannot be asked. Counting costs nothing.
func (l *line) count(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	i := slices.IndexFunc(l.protos, func(p llm.Proto) bool { return l.urls[route{proto: p, op: llm.OpCount}] != nil })
	if i < 0 {
		return l.estimate(req)
	}
	chat, e := req.Body.Chat()
	if e != nil {
		return nil, e
	}
	p := protocol.Of(l.protos[i])
	call, e := p.CountCall(chat, l.target(false))
	if e != nil {
		return nil, e
	}
	if e := strict(req, call); e != nil {
		return nil, e
	}
	resp, err := l.call(ctx, req, route{proto: l.protos[i], op: llm.OpCount}, newBody(call.Body), int64(len(call.Body)), "")
	if err != nil {
		return nil, err
	}
	out := l.response(l.protos[i], resp)
	out.Lossy = func() []string { return call.Lossy }
	out.Stream, e = wire.Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
		n, ok := p.ParseCount(body)
		if !ok {
			return llm.Chunk{}, wire.BadAnswer("no count")
		}
		return counted(n), nil
	})
	if e != nil {
		return nil, e
	}
	return out, nil
}

// counted is a count as an answer.
func counted(n int64) llm.Chunk {
	return llm.Chunk{Events: []llm.Event{{Kind: llm.EventUsage, Usage: &llm.Usage{Input: n}}}, Level: llm.LevelContent, Usage: &llm.Usage{}}
}

// estimate answers without asking anybody.
func (l *line) estimate(req *llm.Request) (*llm.Response, error) {
	if req.Strict {
		return nil, wire.Unsupported("model", "the model's vendor cannot count tokens, and x-sluice-strict forbids an estimate")
	}
	return &llm.Response{
		Status: http.StatusOK, Proto: l.protos[0], Local: true, Header: http.Header{"Content-Type": {"application/json"}},
		Lossy: func() []string { return estimated }, Stream: &told{chunk: counted(req.InputTokens())},
	}, nil
}
