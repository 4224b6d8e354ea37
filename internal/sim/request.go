package sim

import (
	"encoding/json"
	"errors"
	"strings"
)

// chatRequest is what the simulator understands of a chat or completion
// request; it does not look at the rest.
type chatRequest struct {
	Model         string
	Messages      []message
	Prompt        json.RawMessage
	Stream        bool
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	N                   *int
	Tools               json.RawMessage
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ResponseFormat      struct {
		Type       string
		JSONSchema struct {
			Schema json.RawMessage
		} `json:"json_schema"`
	} `json:"response_format"`

	tools []tool // Tools, decoded
}

type message struct {
	Role       string
	Content    json.RawMessage
	ToolCalls  json.RawMessage `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
}

type tool struct {
	Type     string
	Function struct {
		Name       string
		Parameters json.RawMessage
	}
}

// maxAnswers is OpenAI's bound on n.
const maxAnswers = 128

// check decodes what depends on other fields and finds what OpenAI would
// refuse.
func (r *chatRequest) check() *problem {
	for _, m := range []struct {
		param string
		v     *int
		high  int
	}{{"max_tokens", r.MaxTokens, 1 << 30}, {"max_completion_tokens", r.MaxCompletionTokens, 1 << 30}, {"n", r.N, maxAnswers}} {
		if m.v != nil && (*m.v < 1 || *m.v > m.high) {
			p := badRequest(m.param, "Invalid '"+m.param+"': integer out of range.")
			p.code = "integer_out_of_range"
			return p
		}
	}
	if given(r.Tools) {
		if err := json.Unmarshal(r.Tools, &r.tools); err != nil {
			return badRequest("tools", "Invalid type for 'tools': expected an array of objects.")
		}
	}
	if given(r.ToolChoice) && len(r.tools) == 0 {
		return badRequest("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	if name := r.chosen(); name != "" && r.tool(name) == nil {
		return badRequest("tool_choice", "Tool choice '"+clip(name, maxName)+"' not found in 'tools' parameter.")
	}
	return nil
}

func (r *chatRequest) checkMessages() *problem {
	if len(r.Messages) == 0 {
		return badRequest("messages", "Missing required parameter: 'messages'.")
	}
	for _, m := range r.Messages {
		if m.Role == "" {
			return badRequest("messages", "Missing required parameter: 'messages[].role'.")
		}
	}
	return nil
}

// answers returns how many answers each prompt gets.
func (r *chatRequest) answers() int {
	if r.N == nil {
		return 1
	}
	return *r.N
}

// limit returns the bound on the tokens of an answer.
func (r *chatRequest) limit() int {
	n := maxTokens
	for _, v := range []*int{r.MaxTokens, r.MaxCompletionTokens} {
		if v != nil {
			n = min(n, *v)
		}
	}
	return n
}

// prompt returns the text that is counted and cached: tools first, then the
// messages, so that a conversation that grows keeps its beginning.
func (r *chatRequest) prompt() string {
	var b strings.Builder
	b.Write(r.Tools)
	for _, m := range r.Messages {
		b.WriteString("\n" + m.Role + "\n")
		b.WriteString(contentText(m.Content))
		b.Write(m.ToolCalls)
		b.WriteString(m.ToolCallID)
	}
	return b.String()
}

// contentText returns the text of a message's content: a string, or parts.
// A part that is no text is told by its type alone.
func contentText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(raw, &parts) != nil {
		return string(raw)
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Text == "" {
			b.WriteString("[" + p.Type + "]")
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// chosen returns the tool that tool_choice names, "" if it names none.
func (r *chatRequest) chosen() string {
	var c struct{ Function struct{ Name string } }
	if !given(r.ToolChoice) || json.Unmarshal(r.ToolChoice, &c) != nil {
		return ""
	}
	return c.Function.Name
}

func (r *chatRequest) tool(name string) *tool {
	for i := range r.tools {
		if r.tools[i].Function.Name == name {
			return &r.tools[i]
		}
	}
	return nil
}

// toCall returns the tool that is to be called, nil for an answer in text: the
// chosen one, or the first where a call is required or the last message is a
// user's that says "call the tool".
func (r *chatRequest) toCall() *tool {
	if len(r.tools) == 0 {
		return nil
	}
	if name := r.chosen(); name != "" {
		return r.tool(name)
	}
	var mode string
	if given(r.ToolChoice) && json.Unmarshal(r.ToolChoice, &mode) != nil {
		mode = ""
	}
	last := r.Messages[len(r.Messages)-1]
	asked := last.Role == "user" && strings.Contains(strings.ToLower(contentText(last.Content)), "call the tool")
	if mode == "required" || asked && mode != "none" {
		return &r.tools[0]
	}
	return nil
}

// input is one text of a completion or embeddings request.
type input struct {
	text   string // or the JSON of its token numbers
	tokens int
}

// maxInputs is OpenAI's bound on the inputs of one embeddings request.
const maxInputs = 2048

// readInput reads a string, an array of strings, an array of token numbers
// or an array of those.
func readInput(raw json.RawMessage) ([]input, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil && given(raw) {
		return []input{{s, countTokens(len(s))}}, nil
	}
	var one []int
	if json.Unmarshal(raw, &one) == nil && len(one) > 0 {
		return []input{{string(raw), len(one)}}, nil
	}
	var texts []string
	var many [][]int
	var all []input
	switch {
	case json.Unmarshal(raw, &texts) == nil:
		for _, s := range texts {
			all = append(all, input{s, countTokens(len(s))})
		}
	case json.Unmarshal(raw, &many) == nil:
		for _, ids := range many {
			all = append(all, input{string(encode(ids)), len(ids)})
		}
	}
	if len(all) == 0 || len(all) > maxInputs {
		return nil, errors.New("it is no string, array of strings, array of tokens, or array of token arrays, of 1 to 2048")
	}
	return all, nil
}
