package cohere

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// answer is the answer of /v2/chat.
type answer struct {
	ID      string `json:"id"`
	Finish  string `json:"finish_reason"`
	Message struct {
		Content   []part     `json:"content"`
		Plan      string     `json:"tool_plan"`
		Calls     []call     `json:"tool_calls"`
		Citations []citation `json:"citations"`
	} `json:"message"`
	Usage jsontext.Value `json:"usage"`
}

type citation struct {
	Start   int      `json:"start"`
	End     int      `json:"end"`
	Content *int     `json:"content_index"`
	Type    string   `json:"type"`
	Sources []source `json:"sources"`
}

type source struct {
	ID       string         `json:"id"`
	Document docSource      `json:"document"`
	Tool     jsontext.Value `json:"tool_output"`
}

// docSource is a document with the members that it was given; these are usual.
type docSource struct {
	Title   jsontext.Value `json:"title"`
	URL     jsontext.Value `json:"url"`
	Text    jsontext.Value `json:"text"`
	Snippet jsontext.Value `json:"snippet"`
}

// cites returns a source each of what a text rests on; none for citations of
// plans and thinking.
func (c *citation) cites() (out []llm.Cite) {
	if c.Type != "" && c.Type != "TEXT_CONTENT" {
		return nil
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		cite := llm.Cite{URL: text(s.Document.URL), Title: text(s.Document.Title), Quote: text(s.Document.Text), Start: max(0, c.Start), End: max(0, c.End)}
		if cite.Quote == "" {
			cite.Quote = text(s.Document.Snippet)
		}
		if cite.Quote == "" {
			cite.Quote = toolText(s.Tool)
		}
		if cite.Title == "" {
			cite.Title = s.ID
		}
		out = append(out, cite)
	}
	return out
}

// text is what a JSON string says, "" for any other value.
func text(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	var s string
	_ = json.Unmarshal(v, &s, lenient) // v is whole: it was read from JSON
	return s
}

// toolText is what a tool gave: its content, or the whole output.
func toolText(v jsontext.Value) string {
	var o struct {
		Content jsontext.Value `json:"content"`
	}
	if v.Kind() == '{' && json.Unmarshal(v, &o, lenient) == nil && o.Content.Kind() == '"' {
		return text(o.Content)
	}
	return string(v)
}

// Reply reads a whole answer. See wire.Vendor.
func (Codec) Reply(call *wire.Call, body []byte) (*llm.Reply, *llm.Error) {
	var v answer
	if err := json.Unmarshal(body, &v, lenient); err != nil {
		return nil, wire.BadAnswer(err.Error())
	}
	if v.Finish == "" {
		return nil, wire.BadAnswer("an answer without finish_reason")
	}
	stop, bad := stopOf(call, v.Finish, len(v.Message.Calls) > 0)
	if bad != nil {
		return nil, bad
	}
	a := llm.Answer{Stop: stop}
	if v.Message.Plan != "" {
		a.Blocks = append(a.Blocks, llm.Block{Kind: llm.BlockThinking, Text: v.Message.Plan})
	}
	at := make([]int, len(v.Message.Content)) // the block of a part, -1 for none
	for i := range v.Message.Content {
		p := &v.Message.Content[i]
		at[i] = -1
		switch {
		case p.Thinking != nil && *p.Thinking != "":
			a.Blocks = append(a.Blocks, llm.Block{Kind: llm.BlockThinking, Text: *p.Thinking})
		case p.Text != nil && *p.Text != "":
			at[i] = len(a.Blocks)
			a.Blocks = append(a.Blocks, llm.Block{Kind: llm.BlockText, Text: *p.Text})
		}
	}
	for i := range v.Message.Citations {
		c := &v.Message.Citations[i]
		if n := partOf(c, at); n >= 0 {
			a.Blocks[n].Cites = append(a.Blocks[n].Cites, c.cites()...)
		}
	}
	for i := range v.Message.Calls {
		b := callBlock(&v.Message.Calls[i])
		b.Text = arguments(v.Message.Calls[i].Function.Arguments)
		a.Blocks = append(a.Blocks, b)
	}
	r := &llm.Reply{ID: v.ID, Answers: []llm.Answer{a}}
	if u, ok := ParseUsage(v.Usage); ok {
		r.Usage = &u
	}
	return r, nil
}

// partOf finds the block that a citation is of: the part that it names, else
// the last text. -1: there is none.
func partOf(c *citation, at []int) int {
	if c.Content != nil && *c.Content >= 0 && *c.Content < len(at) {
		return at[*c.Content]
	}
	for i := len(at) - 1; i >= 0; i-- {
		if at[i] >= 0 {
			return at[i]
		}
	}
	return -1
}

// callBlock is a call without its arguments.
func callBlock(c *call) llm.Block {
	b := llm.Block{Kind: llm.BlockCall, ID: c.ID, Name: c.Function.Name}
	if b.ID == "" {
		b.ID = wire.NewCallID()
	}
	return b
}

// arguments: a tool without parameters is called with null (recorded).
func arguments(s string) string {
	if s == "null" {
		return ""
	}
	return s
}

// stopOf reads Cohere's finish_reason. calls: tools are to be called.
func stopOf(call *wire.Call, reason string, calls bool) (llm.Stop, *llm.Error) {
	switch reason {
	case "COMPLETE":
		if calls {
			return llm.StopTools, nil
		}
		return llm.StopEnd, nil
	case "STOP_SEQUENCE":
		return llm.StopSequence, nil
	case "MAX_TOKENS":
		return llm.StopLength, nil
	case "TOOL_CALL":
		return llm.StopTools, nil
	case "ERROR", "TIMEOUT":
		return 0, failure("finish_reason " + reason)
	}
	call.Lose("stop_reason")
	return llm.StopEnd, nil
}

// failure is the error for an answer that the vendor itself gave up.
func failure(detail string) *llm.Error {
	const most = 2 << 10
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor reported an error", Err: errors.New(detail[:min(len(detail), most)])}
}
