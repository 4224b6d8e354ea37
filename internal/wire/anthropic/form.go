package anthropic

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// keys of request bodies, after those that every protocol has.
const (
	fMessages = iota + wire.KeyOwn
	fSystem
	fMaxTokens
	fMetadata
)

var shape = wire.Shape{
	Proto: llm.ProtoAnthropic, Codec: Codec{}, Asked: fMessages, Prompt: []string{"tools", "system", "messages"},
	Keys: []string{"model", "stream", "context", "messages", "system", "max_tokens", "metadata"},
	Conversation: func(f *wire.Form) (uint64, bool) {
		return wire.Turns(f.Value(fSystem), f.Value(fMessages), "assistant")
	},
	User: func(f *wire.Form) string {
		s, _ := scan.String(scan.Get(f.Value(fMetadata), "user_id"))
		return s
	},
}

// Decode reads body as a request for op and fills req. The body is the
// request's from now on, whatever is returned.
func Decode(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error {
	f, err := wire.NewForm(&shape, body)
	if err != nil {
		return err
	}
	if req.Model, err = f.Model(); err == nil && op == llm.OpChat {
		req.Stream, err = f.Stream()
	}
	if err != nil {
		f.Release()
		return err
	}
	req.N, req.WantUsage, req.MaxOutput = 1, true, f.Int(fMaxTokens, 1<<30)
	req.Op, req.Proto, req.Body = op, llm.ProtoAnthropic, f
	return nil
}

// Bound names the member that bounds the answer.
func Bound(*wire.Form, string) string { return "max_tokens" }

// Payload is a client's body as it goes to a vendor. Vertex has the version in
// the body, and the model in the path where it is not counted. The caller
// closes it.
func Payload(f *wire.Form, w wire.Rewrite) *wire.Payload {
	var e wire.Edits
	e.Begin(f)
	if w.Dialect == Vertex && w.Op != llm.OpCount {
		e.Remove(wire.KeyModel)
	} else {
		e.Model(w.Model)
	}
	if w.Dialect == Vertex {
		if scan.Get(f.Bytes(), "anthropic_version") == nil {
			e.Add("anthropic_version", vertexVersion)
		}
	}
	e.Own()
	if w.Stream && !f.Has(wire.KeyStream) { // where the path asked for it
		e.Add("stream", []byte("true"))
	}
	if w.Params != nil {
		e.Params(w.Params)
	}
	return e.Payload()
}

// vertexVersion is the version that Vertex knows (its documentation of
// rawPredict).
var vertexVersion = []byte(`"vertex-2023-10-16"`)
