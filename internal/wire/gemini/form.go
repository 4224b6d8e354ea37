package gemini

import (
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// keys of request bodies, after those that every protocol has. Model and
// stream are said by the path; bodies may name the model, too.
const (
	fContents = iota + wire.KeyOwn
	fConfig
	fConfigSnake
	fSystem
	fSystemSnake
	fCounted
	fCountedSnake
	fRequests
)

var shape = wire.Shape{
	Proto: llm.ProtoGemini, Codec: Codec{}, Asked: fContents, Conversation: conversation,
	Prompt: []string{"tools", "systemInstruction", "system_instruction", "contents"},
	Keys: []string{
		"model", "stream", "context", "contents", "generationConfig", "generation_config", "systemInstruction", "system_instruction",
		"generateContentRequest", "generate_content_request", "requests",
	},
}

// Decode reads body as a request for op and fills req, but for what the path
// says: the model and whether it is streamed. The body is the request's from
// now on, whatever is returned.
func Decode(op llm.Op, body *wire.Buffer, req *llm.Request) *llm.Error {
	f, err := wire.NewForm(&shape, body)
	if err != nil {
		return err
	}
	if req.Model, err = f.Model(); err != nil {
		f.Release()
		return err
	}
	req.Model = strings.TrimPrefix(req.Model, "models/")
	config := either(f, fConfig, fConfigSnake)
	req.N, req.WantUsage = max(1, member(config, "candidateCount", "candidate_count")), true
	req.MaxOutput = member(config, "maxOutputTokens", "max_output_tokens")
	req.Op, req.Proto, req.Body = op, llm.ProtoGemini, f
	return nil
}

// either returns the value of the first of two keys that is there.
func either(f *wire.Form, key, snake int) []byte {
	if f.Has(key) {
		return f.Value(key)
	}
	return f.Value(snake)
}

// member returns a positive integer of an object under either name, 0 if
// there is none.
func member(object []byte, name, snake string) int {
	for _, n := range [...]string{name, snake} {
		if n, ok := count(scan.Get(object, n)); ok && n > 0 {
			return int(min(n, 1<<30))
		}
	}
	return 0
}

// conversation hashes the instruction and the contents up to the first of the
// user.
func conversation(f *wire.Form) (uint64, bool) {
	return wire.Turns(either(f, fSystem, fSystemSnake), f.Value(fContents), "model")
}

// Payload is the body of f as it goes to a vendor, whose path says the model:
// Vertex AI refuses bodies that name it. A request that is to be counted names
// its model inside, but on Vertex AI, which wants what counts itself. The
// caller closes it.
func Payload(f *wire.Form, w wire.Rewrite) *wire.Payload {
	var e wire.Edits
	e.Begin(f)
	e.Own()
	e.Remove(wire.KeyModel)
	e.Remove(wire.KeyStream)
	for _, key := range [...]int{fCounted, fCountedSnake} {
		v := f.Value(key)
		if len(v) == 0 || v[0] != '{' {
			continue
		}
		if w.Dialect == Vertex {
			e.Remove(key)
			addCounted(&e, f, v)
		} else if w.Model != nil {
			e.Set(key, modelInside(v, w.Model))
		}
	}
	if v := f.Value(fRequests); len(v) > 0 && v[0] == '[' && w.Model != nil {
		e.Set(fRequests, modelsInside(v, w.Model))
	}
	if w.Params != nil {
		e.Params(w.Params)
	}
	return e.Payload()
}

// addCounted adds the members of a wrapped request that Vertex AI counts.
func addCounted(e *wire.Edits, f *wire.Form, v []byte) {
	for _, name := range [...]string{"contents", "systemInstruction", "system_instruction", "tools"} {
		if value := scan.Get(v, name); value != nil && scan.Get(f.Bytes(), name) == nil {
			e.Add(name, value)
		}
	}
}

// modelsInside returns the array v with the model of each request in it said as
// the vendor calls it.
func modelsInside(v, model []byte) []byte {
	out := append(make([]byte, 0, len(v)+64), '[')
	err := scan.Elements(v, func(e []byte) bool {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, modelInside(e, model)...)
		return true
	})
	if err != nil {
		return v
	}
	return append(out, ']')
}

// modelInside returns the object v with its member model said as the vendor
// calls it; model is a JSON string.
func modelInside(v, model []byte) []byte {
	name := append([]byte(`"models/`), strings.TrimPrefix(string(model[1:]), "models/")...)
	out := append([]byte(`{"model":`), name...)
	ms, err := scan.Object(nil, v)
	if err != nil {
		return v
	}
	for _, m := range ms {
		if key, _ := scan.String(v[m.Key:m.KeyEnd]); key != "model" {
			out = append(append(out, ','), v[m.Key:m.End]...)
		}
	}
	return append(out, '}')
}
