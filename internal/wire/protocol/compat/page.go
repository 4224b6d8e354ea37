package main

import (
	"bytes"
	"fmt"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

const intro = `# Compatibility

What becomes of each field when client and vendor speak different protocols.
This page is written by ` + "`go run ./internal/wire/protocol/compat`" + `: an example of each
field goes through the same code that serves requests.

Where client and vendor speak the same protocol nothing is on this page: the
client's bytes pass, with fields that nobody has heard of yet.

- **✓** carried: the vendor is told, in its own words. An image, a schema or a
  choice of tools may be said by other means than the client's; it has its
  effect.
- **✓ⁿ** carried by asking the vendor as often as answers are wanted.
- **lossy**: a hint that the vendor cannot be told. The answer comes without
  it, and the header ` + "`x-sluice-lossy`" + ` and the log name it. With the request header
  ` + "`x-sluice-strict: 1`" + ` such a request is refused instead.
- **refused**: the answer would not be what was asked for. The request is
  answered 400 with the code ` + "`unsupported_parameter`" + ` and the field's name.
- **–** the vendor's protocol has nothing of the kind.

Tools that only their own vendor can run (code execution, file search, …) are
refused where the request depends on them: they are the only tools, or one of
them is forced. Beside functions they are one of an agent's many: lost.

A cell is for one model of the vendor that can do much. Where a model cannot
(an older one that does not think, one that takes no temperature), the field is
lossy there.

## Requests
`

// page is the whole page.
func page() ([]byte, error) {
	b := bytes.NewBufferString(intro)
	b.WriteString("\nThe models that were asked: ")
	for i, v := range vendors {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(b, "%s `%s`", v.name, v.model)
	}
	b.WriteString(".\n")
	for i := range clients {
		if err := clients[i].table(b); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n## Answers\n\nWhole answers and streams carry the same. A seal of thinking (Anthropic's signature, OpenAI's encrypted content,\nGemini's thought signature) travels in the client's own field and goes back to its maker byte for byte.\n")
	for i := range clients {
		if err := clients[i].answers(b); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n## Why an answer ended\n\n")
	stops(b)
	return b.Bytes(), nil
}

// reasons are the ends of an answer.
var reasons = []struct {
	name string
	stop llm.Stop
}{
	{"the model was done", llm.StopEnd}, {"at a stop sequence", llm.StopSequence}, {"at the bound of output tokens", llm.StopLength},
	{"at the end of the context", llm.StopContext}, {"tools are to be called", llm.StopTools}, {"a filter of the vendor's", llm.StopFilter},
	{"the model refused", llm.StopRefusal}, {"the vendor's own tools run on", llm.StopPause},
}

// stops appends what clients are told of each end.
func stops(b *bytes.Buffer) {
	b.WriteString("| answer ended | chat `finish_reason` | Responses `status` | Anthropic `stop_reason` | Gemini `finishReason` |\n|---|---|---|---|---|\n")
	req := &llm.Request{ID: "01", Model: "m", N: 1}
	for _, r := range reasons {
		blocks := []llm.Block{{Text: "x"}}
		if r.stop == llm.StopTools {
			blocks = []llm.Block{{Kind: llm.BlockCall, ID: "c", Name: "f"}}
		}
		reply := &llm.Reply{Model: "m", Created: 1, Answers: []llm.Answer{{Blocks: blocks, Stop: r.stop}}}
		say := func(p llm.Proto) []byte { return protocol.Of(p).Client.AppendReply(nil, req, reply) }
		first := func(list []byte) (out []byte) {
			_ = scan.Elements(list, func(e []byte) bool { out = e; return false })
			return out
		}
		text := func(v []byte) string { s, _ := scan.String(v); return s }
		resp := say(llm.ProtoResponses)
		status := text(scan.Get(resp, "status"))
		if why := text(scan.Get(scan.Get(resp, "incomplete_details"), "reason")); why != "" {
			status += ": " + why
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.name, text(scan.Get(first(scan.Get(say(llm.ProtoOpenAI), "choices")), "finish_reason")), status,
			text(scan.Get(say(llm.ProtoAnthropic), "stop_reason")), text(scan.Get(first(scan.Get(say(llm.ProtoGemini), "candidates")), "finishReason")))
	}
}
