package openai

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// CompletionVendor reads answers to plain completions; requests are Codec's.
type CompletionVendor struct{ Codec }

var _ wire.Vendor = CompletionVendor{}

// completion is an event of a streamed completion, or a whole one.
type completion struct {
	ID      loose  `json:"id"`
	Model   loose  `json:"model"`
	Created number `json:"created"`
	Choices []struct {
		Index  number `json:"index"`
		Text   loose  `json:"text"`
		Finish loose  `json:"finish_reason"`
	} `json:"choices"`
	Usage jsontext.Value `json:"usage"`
	Error jsontext.Value `json:"error"`
}

// chunk says the same as a chat completion would.
func (c *completion) chunk() *chunk {
	out := &chunk{ID: c.ID, Model: c.Model, Created: c.Created, Usage: c.Usage, Error: c.Error}
	for _, x := range c.Choices {
		out.Choices = append(out.Choices, choice{Index: x.Index, Finish: x.Finish, Message: &message{Content: content{text: string(x.Text)}}})
	}
	return out
}

// Reply implements wire.Vendor.
func (CompletionVendor) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	var in completion
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, wire.BadAnswer("not a completion")
	}
	return wholeOf(call, in.chunk())
}

// Decoder implements wire.Vendor.
func (CompletionVendor) Decoder(call *wire.Call) wire.Decoder {
	return &completionDecoder{decoder{call: call}}
}

// completionDecoder makes events of a streamed completion.
type completionDecoder struct{ decoder }

// Event implements wire.Decoder.
func (d *completionDecoder) Event(dst []llm.Event, f wire.Frame) ([]llm.Event, *llm.Error) {
	if string(f.Data) == "[DONE]" || len(f.Data) == 0 || d.done {
		return d.decoder.Event(dst, f)
	}
	var in completion
	if err := json.Unmarshal(f.Data, &in, lenient); err != nil {
		return dst, wire.BadAnswer("an event that is no completion")
	}
	c := in.chunk()
	for i := range c.Choices {
		c.Choices[i].Delta, c.Choices[i].Message = c.Choices[i].Message, nil
	}
	d.out = dst
	err := d.chunk(c, f.Name == "error")
	dst, d.out = d.out, nil
	return dst, err
}
