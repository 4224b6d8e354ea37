package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	Parallel            *bool           `json:"parallel_tool_calls"`
	Effort              string          `json:"reasoning_effort"`
	Stop                json.RawMessage
	ResponseFormat      struct {
		Type       string
		JSONSchema struct {
			Schema json.RawMessage
		} `json:"json_schema"`
	} `json:"response_format"`

	offers []offer  // Tools, decoded
	stops  []string // Stop, decoded
}

type message struct {
	Role       string
	Content    json.RawMessage
	ToolCalls  []messageCall `json:"tool_calls"`
	ToolCallID string        `json:"tool_call_id"`
}

type messageCall struct {
	ID       string
	Function struct{ Name, Arguments string }
	Custom   struct{ Name, Input string }
}

type tool struct {
	Type     string
	Function struct {
		Name       string
		Parameters json.RawMessage
	}
	Custom struct{ Name string }
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
	if p := r.checkTools(); p != nil {
		return p
	}
	var one string
	if given(r.Stop) && json.Unmarshal(r.Stop, &one) == nil {
		r.stops = []string{one}
	} else if given(r.Stop) && (json.Unmarshal(r.Stop, &r.stops) != nil || len(r.stops) > 4) {
		return badRequest("stop", "Invalid 'stop': expected a string or an array of up to 4 strings.")
	}
	return nil
}

func (r *chatRequest) checkTools() *problem {
	var all []tool
	if given(r.Tools) {
		if err := json.Unmarshal(r.Tools, &all); err != nil {
			return badRequest("tools", "Invalid type for 'tools': expected an array of objects.")
		}
	}
	for i, t := range all {
		o := offer{name: t.Function.Name, schema: t.Function.Parameters}
		if t.Type == "custom" {
			o = offer{name: t.Custom.Name, plain: true}
		}
		if o.name == "" {
			p := fmt.Sprintf("tools[%d].function.name", i)
			return badRequest(p, "Missing required parameter: '"+p+"'.")
		}
		r.offers = append(r.offers, o)
	}
	if given(r.ToolChoice) && len(r.offers) == 0 {
		return badRequest("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	if name := r.chosen(); name != "" && !slices.ContainsFunc(r.offers, func(o offer) bool { return o.name == name }) {
		return badRequest("tool_choice", "Tool choice '"+clip(name, maxName)+"' not found in 'tools' parameter.")
	}
	return nil
}

func (r *chatRequest) checkMessages() *problem {
	if len(r.Messages) == 0 {
		return badRequest("messages", "Missing required parameter: 'messages'.")
	}
	var open []string // ids of calls that no message has answered yet
	for i, m := range r.Messages {
		at := fmt.Sprintf("messages.[%d].role", i)
		switch m.Role {
		case "":
			return badRequest("messages", "Missing required parameter: 'messages[].role'.")
		case "tool":
			if !slices.Contains(open, m.ToolCallID) {
				return badRequest(at, "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")
			}
			open = slices.DeleteFunc(open, func(id string) bool { return id == m.ToolCallID })
			continue
		case "system", "developer", "user", "assistant", "function":
		default:
			return badRequest(at, "Invalid value: '"+clip(m.Role, 40)+"'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.")
		}
		if len(open) > 0 {
			break
		}
		for _, call := range m.ToolCalls {
			open = append(open, call.ID)
		}
	}
	if len(open) > 0 {
		return badRequest("messages", "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: "+clip(strings.Join(open, ", "), maxName))
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

// query returns what the answer depends on. The prompt has tools first, then
// the messages, so that a conversation that grows keeps its beginning.
func (r *chatRequest) query() *query {
	q := &query{
		limit: r.limit(), stops: r.stops, tools: r.offers, tool: r.chosen(),
		single: r.Parallel != nil && !*r.Parallel, object: r.ResponseFormat.Type == "json_object",
	}
	if r.ResponseFormat.Type == "json_schema" {
		q.schema = or(r.ResponseFormat.JSONSchema.Schema, "{}")
	}
	switch r.mode() {
	case "none":
		q.mode = chooseNone
	case "required":
		q.mode = chooseAny
	}
	var b strings.Builder
	b.Write(r.Tools)
	for _, m := range r.Messages {
		b.WriteString("\n" + m.Role + "\n")
		text, media := contentText(m.Content)
		b.WriteString(text)
		for _, call := range m.ToolCalls {
			b.WriteString(call.ID + call.Function.Name + call.Function.Arguments + call.Custom.Name + call.Custom.Input)
		}
		b.WriteString(m.ToolCallID)
		q.media += media
		q.last = ""
		if m.Role == "user" {
			q.last = text
		}
	}
	q.prompt = b.String()
	return q
}

// contentText returns the text of a message's content: a string, or parts.
// A part that is no text is told by its type alone, and its tokens are counted
// apart.
func contentText(raw json.RawMessage) (text string, media int) {
	if json.Unmarshal(raw, &text) == nil {
		return text, 0
	}
	var parts []struct{ Type, Text, Refusal string }
	if json.Unmarshal(raw, &parts) != nil {
		return string(raw), 0
	}
	var b strings.Builder
	for _, p := range parts {
		switch p.Type {
		case "image_url":
			media += openImage
		case "file", "input_audio":
			media += openFile
		}
		if p.Text+p.Refusal == "" {
			b.WriteString("[" + p.Type + "]")
		}
		b.WriteString(p.Text + p.Refusal)
	}
	return b.String(), media
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// chosen returns the tool that tool_choice names, "" if it names none.
func (r *chatRequest) chosen() string {
	var c struct{ Function, Custom struct{ Name string } }
	if !given(r.ToolChoice) || json.Unmarshal(r.ToolChoice, &c) != nil {
		return ""
	}
	return c.Function.Name + c.Custom.Name
}

// mode returns the tool_choice that is a word, "" if it is none.
func (r *chatRequest) mode() (word string) {
	if !given(r.ToolChoice) || json.Unmarshal(r.ToolChoice, &word) != nil {
		return ""
	}
	return word
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
