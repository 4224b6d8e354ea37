// Package openai is the OpenAI wire protocol in both directions: chat
// completions, completions and embeddings.
package openai

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// keys of request bodies, after those that every protocol has.
const (
	fStreamOptions = iota + wire.KeyOwn
	fN
	fMaxTokens
	fMaxCompletion
	fMessages
	fInput
	fPrompt
	fUser
	fCacheKey
	fEncoding
)

// KeyMessages and KeyInput are the keys of a conversation in chat completions
// and in Responses.
const (
	KeyMessages = fMessages
	KeyInput    = fInput
)

// Keys are those of all bodies.
var Keys = []string{
	"model", "stream", "context", "stream_options", "n", "max_tokens", "max_completion_tokens",
	"messages", "input", "prompt", "user", "prompt_cache_key", "encoding_format",
}

var (
	chatShape = wire.Shape{Proto: llm.ProtoOpenAI, Codec: Codec{}, Keys: Keys, Asked: fMessages, Conversation: conversation, User: user,
		Prompt: []string{"tools", "messages"}}
	completionShape = wire.Shape{Proto: llm.ProtoOpenAI, Codec: Completions{}, Keys: Keys, Asked: fPrompt, Conversation: conversation, User: user,
		Prompt: []string{"prompt"}}
	embeddingShape = wire.Shape{Proto: llm.ProtoOpenAI, Keys: Keys, Asked: fMessages, User: user}
	relayedShape   = wire.Shape{Proto: llm.ProtoOpenAI, Keys: Keys, Asked: fMessages, User: user}
)

// Decode reads body as a request for op and fills req. The body is the
// request's from now on, whatever is returned.
func Decode(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error {
	shape := &chatShape
	switch op {
	case llm.OpCompletion:
		shape = &completionShape
	case llm.OpEmbedding, llm.OpRerank:
		shape = &embeddingShape
	default:
		if op.Relayed() {
			shape = &relayedShape
		}
	}
	f, err := wire.NewForm(shape, body)
	if err != nil {
		return err
	}
	if err := fill(f, op, req); err != nil {
		f.Release()
		return err
	}
	req.Op, req.Proto, req.Body = op, llm.ProtoOpenAI, f
	return nil
}

func fill(f *wire.Form, op llm.Op, req *llm.Request) (err *llm.Error) {
	if req.Model, err = f.Model(); err != nil {
		return err
	}
	if op != llm.OpEmbedding && op != llm.OpRerank {
		if req.Stream, err = f.Stream(); err != nil {
			return err
		}
	}
	if v := f.Value(fStreamOptions); len(v) > 0 && v[0] == '{' {
		req.WantUsage = string(scan.Get(v, "include_usage")) == "true"
	}
	if op.Relayed() {
		req.N = 1
		return nil
	}
	req.N = max(1, f.Int(fN, 1<<20))
	if req.MaxOutput = f.Int(fMaxCompletion, 1<<30); req.MaxOutput == 0 {
		req.MaxOutput = f.Int(fMaxTokens, 1<<30)
	}
	if op == llm.OpEmbedding {
		switch v := f.Value(fEncoding); {
		case scan.Null(v), string(v) == `"float"`:
			req.Vectors = llm.VectorsNumbers
		case string(v) == `"base64"`:
			req.Vectors = llm.VectorsBase64
		}
	}
	return nil
}

// user returns the member "user", "" if it is absent or no string.
func user(f *wire.Form) string {
	s, _ := scan.String(f.Value(fUser))
	return s
}

// conversation hashes prompt_cache_key if there is one, else the messages up
// to the first of the user.
func conversation(f *wire.Form) (uint64, bool) {
	if hash, ok := wire.Named(f.Value(fCacheKey)); ok {
		return hash, true
	}
	return wire.Turns(nil, f.Value(fMessages), "assistant")
}

// Payload is the body of f as it goes to a vendor. The caller closes it.
func Payload(f *wire.Form, w wire.Rewrite) *wire.Payload {
	var e wire.Edits
	e.Begin(f)
	if w.Model != nil {
		e.Model(w.Model)
	}
	e.Own()
	if w.DropEncoding {
		e.Remove(fEncoding)
	}
	switch {
	case w.Op == llm.OpEmbedding:
		rename(&e, f, w.Dialect)
	case w.Op == llm.OpRerank && w.Dialect == "voyage":
		renamed(&e, f, "top_n", "top_k")
	}
	if w.Stream {
		askUsage(&e, f, w.Usage)
	}
	if w.Params != nil {
		e.Params(w.Params)
	}
	return e.Payload()
}

// Bound names the member that bounds the answer: the one that the client wrote,
// else the one that the vendor knows.
func Bound(f *wire.Form, vendor string) string {
	if f.Has(fMaxCompletion) || !f.Has(fMaxTokens) && dialectOf(vendor).takes&takesMaxCompletion != 0 {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// rename says what a request for embeddings asks in the words of vendors that
// have others than OpenAI. What else is in it is theirs to judge.
func rename(e *wire.Edits, f *wire.Form, dialect string) {
	switch dialect {
	case "voyage":
		if string(f.Value(fEncoding)) == `"float"` { // numbers are what it sends unasked
			e.Remove(fEncoding)
		}
	case "mistral":
	default:
		return
	}
	renamed(e, f, "dimensions", "output_dimension")
}

// renamed gives a member another name, unless there is one of that name.
func renamed(e *wire.Edits, f *wire.Form, name, theirs string) {
	if v := scan.Get(f.Bytes(), name); !scan.Null(v) {
		e.Params(&wire.Params{Drop: []string{name}, Default: []wire.Field{{Name: theirs, Value: v}}})
	}
}

var includeUsage = []byte(`{"include_usage":true}`)

func askUsage(e *wire.Edits, f *wire.Form, mode wire.UsageMode) {
	if mode == wire.UsageAlways {
		e.Remove(fStreamOptions)
		return
	}
	v := f.Value(fStreamOptions)
	if scan.Null(v) {
		e.Set(fStreamOptions, includeUsage)
		return
	}
	if v[0] != '{' {
		return // what is no object is the vendor's to refuse
	}
	members, err := scan.Object(nil, v)
	if err != nil {
		return
	}
	var out []byte // v[:at] with each value of include_usage made true
	at, asked := 0, false
	for _, m := range members {
		if name, _ := scan.String(v[m.Key:m.KeyEnd]); name != "include_usage" {
			continue
		}
		asked = true
		if string(v[m.Start:m.End]) != "true" {
			out = append(append(out, v[at:m.Start]...), "true"...)
			at = m.End
		}
	}
	switch {
	case asked && at == 0: // as it is
	case asked:
		e.Set(fStreamOptions, append(out, v[at:]...))
	case len(members) == 0:
		e.Set(fStreamOptions, includeUsage)
	default:
		e.Set(fStreamOptions, append([]byte(`{"include_usage":true,`), v[1:]...))
	}
}
