package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// vendor is a column: a protocol as a vendor speaks it.
type vendor struct {
	name    string
	proto   llm.Proto
	dialect string
	model   string
}

// vendors are the columns: each protocol, and the dialects that differ most.
// The model is one that can do what the protocol can.
var vendors = []vendor{
	{"OpenAI chat", llm.ProtoOpenAI, "openai", "gpt-4.1"},
	{"OpenRouter", llm.ProtoOpenAI, "openrouter", "vendor/model"},
	{"DeepSeek", llm.ProtoOpenAI, "deepseek", "deepseek-chat"},
	{"Mistral", llm.ProtoOpenAI, "mistral", "mistral-large-latest"},
	{"Qwen", llm.ProtoOpenAI, "alibaba", "qwen3-max"},
	{"vLLM", llm.ProtoOpenAI, "vllm", "vendor/model"},
	{"OpenAI Responses", llm.ProtoResponses, "openai", "vendor/model"},
	{"Anthropic", llm.ProtoAnthropic, "", "claude-opus-4-6"},
	{"Gemini", llm.ProtoGemini, "", "gemini-3-pro-preview"},
	{"Vertex Gemini", llm.ProtoGemini, "vertex", "gemini-3-pro-preview"},
	{"Bedrock", llm.ProtoBedrock, "", "anthropic.claude-sonnet-4-5-20250929-v1:0"},
	{"Cohere", llm.ProtoCohere, "", "command-a-03-2025"},
	{"Ollama", llm.ProtoOllama, "", "llama3.3"},
}

// client is a protocol as clients speak it, with an example of each field.
type client struct {
	name   string
	proto  llm.Proto
	fields []field
}

// field is a field of a client's request: a body that has it, and the same
// body without it.
type field struct {
	name          string
	with, without string
	// usual: it asks for what a vendor does anyway that is told nothing.
	usual bool
}

// fate is what becomes of a field.
type fate uint8

const (
	carried fate = iota
	fanned       // the gateway asks as often as answers are wanted
	lossy
	refused
	dropped // in silence: a bug
)

func (f fate) String() string {
	return [...]string{carried: "✓", fanned: "✓ⁿ", lossy: "lossy", refused: "refused", dropped: "DROPPED"}[f]
}

// fateOf sends a field through the codecs.
func fateOf(c *client, f *field, v *vendor) (fate, error) {
	codec, to := protocol.Of(c.proto).Client, protocol.Of(v.proto)
	encode := func(body string) (*llm.Chat, *wire.Call, error) {
		chat, bad := codec.Chat([]byte(body))
		if bad != nil {
			return nil, nil, fmt.Errorf("%s, %s: the example cannot be read: %w", c.name, f.name, bad)
		}
		one := *chat
		if chat.N > 1 && !to.Several {
			one.N = 1
		}
		call, bad := to.Vendor.Encode(&one, wire.Target{Model: v.model, Dialect: v.dialect})
		if bad != nil {
			return chat, nil, bad
		}
		return chat, call, nil
	}
	_, plain, err := encode(f.without)
	if err != nil {
		return 0, fmt.Errorf("%s, %s to %s without the field: %w", c.name, f.name, v.name, err)
	}
	chat, call, err := encode(f.with)
	var bad *llm.Error
	if e, ok := err.(*llm.Error); ok {
		bad = e
	}
	switch {
	case bad != nil && bad.Kind == llm.KindUnsupported:
		return refused, nil
	case err != nil:
		return 0, fmt.Errorf("%s, %s to %s: %w", c.name, f.name, v.name, err)
	}
	for _, name := range call.Lossy {
		if !slices.Contains(plain.Lossy, name) {
			return lossy, nil
		}
	}
	switch {
	case !bytes.Equal(call.Body, plain.Body), !maps.EqualFunc(call.Header, plain.Header, slices.Equal):
		return carried, nil
	case chat.N > 1 && !to.Several:
		return fanned, nil
	case f.usual:
		return carried, nil
	}
	return dropped, nil
}

// table appends a client's fields at all vendors of other protocols. Rows
// that say the same of neighbouring fields are not joined: they are looked up
// by name.
func (c *client) table(b *bytes.Buffer) error {
	var columns []*vendor
	for i := range vendors {
		if vendors[i].proto != c.proto {
			columns = append(columns, &vendors[i])
		}
	}
	fmt.Fprintf(b, "\n### %s\n\n| field |", c.name)
	for _, v := range columns {
		fmt.Fprintf(b, " %s |", v.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for i := range c.fields {
		f := &c.fields[i]
		fmt.Fprintf(b, "| %s |", f.name)
		for _, v := range columns {
			what, err := fateOf(c, f, v)
			if err != nil {
				return err
			}
			fmt.Fprintf(b, " %s |", what)
		}
		b.WriteByte('\n')
	}
	return nil
}
