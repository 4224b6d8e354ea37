package bedrock

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// answer is Converse's answer.
type answer struct {
	Output struct {
		Message *struct {
			Content []content `json:"content"`
		} `json:"message"`
	} `json:"output"`
	Stop  string         `json:"stopReason"`
	Extra extra          `json:"additionalModelResponseFields"`
	Usage jsontext.Value `json:"usage"`
}

// extra is what was asked for by additionalModelResponseFieldPaths: Claude's
// stop sequence, in streams inside of delta.
type extra struct {
	Sequence string `json:"stop_sequence"`
	Delta    struct {
		Sequence string `json:"stop_sequence"`
	} `json:"delta"`
}

func (x extra) sequence() string {
	if x.Sequence != "" {
		return x.Sequence
	}
	return x.Delta.Sequence
}

// content is a content block of an answer.
type content struct {
	Text      *string    `json:"text"`
	Call      *callStart `json:"toolUse"`
	Reasoning *struct {
		Text     *reasoningText `json:"reasoningText"`
		Redacted string         `json:"redactedContent"`
	} `json:"reasoningContent"`
	Cited *struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Citations []citation `json:"citations"`
	} `json:"citationsContent"`
	Image  jsontext.Value `json:"image"`
	Result jsontext.Value `json:"toolResult"` // of a tool of Bedrock's own
}

// callStart is a call; streams give its input later, in pieces.
type callStart struct {
	ID    string         `json:"toolUseId"`
	Name  string         `json:"name"`
	Type  string         `json:"type"`
	Input jsontext.Value `json:"input"`
}

// hosted: Bedrock runs the tool itself.
func (c *callStart) hosted() bool { return c.Type == "server_tool_use" }

type citation struct {
	Title    string `json:"title"`
	Source   string `json:"source"`
	Location struct {
		Web struct {
			URL    string `json:"url"`
			Domain string `json:"domain"`
		} `json:"web"`
	} `json:"location"`
	Content []struct {
		Text string `json:"text"`
	} `json:"sourceContent"`
}

func (c *citation) cite() llm.Cite {
	out := llm.Cite{URL: c.Location.Web.URL, Title: c.Title}
	if out.URL == "" && strings.Contains(c.Source, "://") {
		out.URL = c.Source
	}
	if out.Title == "" {
		out.Title = c.Location.Web.Domain
	}
	for _, t := range c.Content {
		out.Quote += t.Text
	}
	return out
}

// Reply reads a whole answer. See wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	var v answer
	if err := json.Unmarshal(body, &v, lenient); err != nil {
		return nil, wire.BadAnswer(err.Error())
	}
	if v.Output.Message == nil || v.Stop == "" {
		return nil, wire.BadAnswer("an answer without output.message or stopReason")
	}
	a := llm.Answer{}
	calls := false
	for i := range v.Output.Message.Content {
		b, ok := blockOf(call, &v.Output.Message.Content[i])
		calls = calls || b.Kind == llm.BlockCall
		if n := len(a.Blocks); ok && b.Kind == llm.BlockText && b.Text == "" && n > 0 && a.Blocks[n-1].Kind == llm.BlockText {
			a.Blocks[n-1].Cites = append(a.Blocks[n-1].Cites, b.Cites...) // sources alone: of the text before them
			continue
		}
		if ok {
			a.Blocks = append(a.Blocks, b)
		}
	}
	var err *llm.Error
	if a.Stop, err = stopOf(call, v.Stop, calls); err != nil {
		return nil, err
	}
	if a.Stop == llm.StopSequence {
		a.Sequence = v.Extra.sequence()
	}
	r := &llm.Reply{Answers: []llm.Answer{a}}
	if u, ok := ParseUsage(v.Usage); ok {
		r.Usage = &u
	}
	return r, nil
}

// blockOf reads a content block; ok is false for one that is nothing to the
// client: a step of a tool that Bedrock ran itself.
func blockOf(call *wire.Call, c *content) (b llm.Block, ok bool) {
	switch {
	case c.Text != nil:
		return llm.Block{Kind: llm.BlockText, Text: *c.Text}, *c.Text != ""
	case c.Call != nil:
		if c.Call.hosted() {
			return b, false
		}
		b = callBlock(c.Call)
		b.Text = compact(c.Call.Input)
		return b, true
	case c.Reasoning != nil:
		b.Kind = llm.BlockThinking
		if t := c.Reasoning.Text; t != nil {
			b.Text = t.Text
			if t.Signature != "" {
				b.Seal = sealOf(t.Signature, false)
			}
			return b, true
		}
		data, err := base64.StdEncoding.DecodeString(c.Reasoning.Redacted)
		if err != nil || len(data) == 0 {
			return b, false
		}
		b.Seal = sealOf(string(data), true)
		return b, true
	case c.Cited != nil:
		b.Kind = llm.BlockText
		for _, t := range c.Cited.Content {
			b.Text += t.Text
		}
		for i := range c.Cited.Citations {
			b.Cites = append(b.Cites, c.Cited.Citations[i].cite())
		}
		return b, b.Text != "" || b.Cites != nil
	case c.Image != nil:
		call.Lose("image")
	}
	return b, false
}

// callBlock is a call without its arguments.
func callBlock(c *callStart) llm.Block {
	b := llm.Block{Kind: llm.BlockCall, ID: c.ID, Name: c.Name}
	if b.ID == "" {
		b.ID = wire.NewCallID()
	}
	return b
}

// compact is JSON without spaces, "" for none.
func compact(v jsontext.Value) string {
	if v == nil || v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return string(v)
	}
	return string(v)
}

// stopOf reads Converse's stopReason. calls: tools are to be called.
func stopOf(call *wire.Call, reason string, calls bool) (llm.Stop, *llm.Error) {
	switch reason {
	case "end_turn":
		if calls {
			return llm.StopTools, nil
		}
		return llm.StopEnd, nil
	case "tool_use":
		return llm.StopTools, nil
	case "max_tokens":
		return llm.StopLength, nil
	case "stop_sequence":
		return llm.StopSequence, nil
	case "model_context_window_exceeded":
		return llm.StopContext, nil
	case "guardrail_intervened", "content_filtered":
		return llm.StopFilter, nil
	case "refusal":
		return llm.StopRefusal, nil
	case "malformed_model_output", "malformed_tool_use":
		return 0, wire.BadAnswer("stopReason " + reason)
	}
	call.Lose("stop_reason")
	return llm.StopEnd, nil
}
