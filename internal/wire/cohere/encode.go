package cohere

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// request is the body of /v2/chat.
type request struct {
	Model            string     `json:"model"`
	Messages         []message  `json:"messages"`
	Stream           bool       `json:"stream,omitzero"`
	Tools            []tool     `json:"tools,omitempty"`
	ToolChoice       string     `json:"tool_choice,omitempty"`
	StrictTools      bool       `json:"strict_tools,omitzero"`
	Documents        []document `json:"documents,omitempty"`
	Format           *format    `json:"response_format,omitempty"`
	MaxTokens        int64      `json:"max_tokens,omitzero"`
	Temperature      *float64   `json:"temperature,omitempty"`
	P                *float64   `json:"p,omitempty"`
	K                *int64     `json:"k,omitempty"`
	Seed             *int64     `json:"seed,omitempty"`
	Stop             []string   `json:"stop_sequences,omitempty"`
	FrequencyPenalty *float64   `json:"frequency_penalty,omitempty"`
	PresencePenalty  *float64   `json:"presence_penalty,omitempty"`
	Thinking         *thinking  `json:"thinking,omitempty"`
}

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Parameters  jsontext.Value `json:"parameters"`
}

type format struct {
	Type   string         `json:"type"`
	Schema jsontext.Value `json:"json_schema,omitempty"`
}

type thinking struct {
	Type   string `json:"type"`
	Budget int64  `json:"token_budget,omitzero"`
}

// encoding is one request on its way into Cohere's words.
type encoding struct {
	chat  *llm.Chat
	to    wire.Target
	call  *wire.Call
	req   request
	names map[string]string // the client's tool names → those sent
	used  map[string]bool   // names that were sent
}

// Encode writes a chat for a model of Cohere's. See wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	e := &encoding{chat: c, to: t, call: &wire.Call{}, names: map[string]string{}, used: map[string]bool{}}
	e.req.Model, e.req.Stream = t.Model, t.Stream
	if c.LogProbs {
		return nil, wire.Unsupported("logprobs", "Cohere's log probabilities are of another form; leave it out or ask another model")
	}
	if err := e.call.Leave(c.Left); err != nil {
		return nil, err
	}
	if err := e.tools(); err != nil {
		return nil, err
	}
	if err := e.messages(); err != nil {
		return nil, err
	}
	e.format()
	e.thinking()
	e.sampling()
	e.hints()
	body, err := json.Marshal(&e.req, lenient)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "the request holds JSON that is broken; check the schemas of its tools", Err: err}
	}
	e.call.Body = body
	return e.call, nil
}

func (e *encoding) hints() {
	c := e.chat
	for _, h := range [...]struct {
		name string
		lost bool
	}{
		{"user", c.User != ""},
		{"metadata", len(c.Metadata) > 0},
		{"service_tier", c.Tier != "" && c.Tier != "auto" && c.Tier != "default"},
		{"prompt_cache_key", c.CacheKey != ""},
		{"verbosity", c.Verbosity != ""},
		{"store", c.Store != nil && *c.Store},
		{"parallel_tool_calls", c.Serial && len(c.Tools) > 0},
	} {
		if h.lost {
			e.call.Lose(h.name)
		}
	}
}

// maxStops bounds the stop sequences.
const maxStops = 5

func (e *encoding) sampling() {
	c, r := e.chat, &e.req
	r.MaxTokens = c.MaxOutput // Cohere caps it at the model's own bound
	r.Temperature = e.within("temperature", c.Temperature, 0, 1)
	if p := c.TopP; p != nil && *p > 0.99 && *p <= 1 { // 1 is nearly what Cohere takes at most
		most := 0.99
		r.P = &most
	} else {
		r.P = e.within("top_p", p, 0.01, 0.99)
	}
	r.FrequencyPenalty = e.within("frequency_penalty", c.FrequencyPenalty, 0, 1)
	r.PresencePenalty = e.within("presence_penalty", c.PresencePenalty, 0, 1)
	if r.K = c.TopK; r.K != nil && (*r.K < 0 || *r.K > 500) {
		r.K = nil
		e.call.Lose("top_k")
	}
	if r.Seed = c.Seed; r.Seed != nil && *r.Seed < 0 {
		r.Seed = nil
		e.call.Lose("seed")
	}
	if r.Stop = c.Stop; len(r.Stop) > maxStops {
		r.Stop = r.Stop[:maxStops]
		e.call.Lose("stop")
	}
}

// within clamps a value and notes it.
func (e *encoding) within(name string, v *float64, least, most float64) *float64 {
	if v == nil || *v >= least && *v <= most {
		return v
	}
	e.call.Lose(name)
	clamped := min(max(*v, least), most)
	return &clamped
}

// thinking writes how much the model should think. Models that can, do so
// unless they are told not to.
func (e *encoding) thinking() {
	r := e.chat.Reasoning
	switch {
	case !thinks(e.to.Model):
		if r.On() {
			e.call.Lose("reasoning_effort")
		}
	case r.On():
		budget := r.Budget
		if budget == 0 {
			budget = wire.Budget(r.Effort)
		}
		if most := e.chat.MaxOutput; most > 0 { // some are left for the answer
			budget = min(budget, max(1, most-1))
		}
		e.req.Thinking = &thinking{"enabled", max(0, budget)}
	case r.Effort == "none":
		e.req.Thinking = &thinking{Type: "disabled"}
	}
}

// format writes the form that the answer must have. Cohere takes none beside
// tools: a tool whose arguments are the answer stands for it.
func (e *encoding) format() {
	f := &e.chat.Format
	switch {
	case f.Kind == llm.FormatText:
	case len(e.req.Tools) == 0:
		e.req.Format = &format{Type: "json_object"}
		if f.Kind == llm.FormatSchema {
			e.req.Format.Schema = f.Schema
		}
	case f.Kind == llm.FormatJSON:
		e.call.Lose("response_format")
		e.req.Messages = append([]message{{Role: "system", Content: words("Answer with one JSON object and nothing else.")}}, e.req.Messages...)
	default:
		e.call.FormatTool = e.unused("answer")
		text := "Gives the final answer to the user. Call it once, when the answer is known."
		if f.Description != "" {
			text += " The answer: " + f.Description
		}
		if e.req.ToolChoice == "NONE" {
			e.req.Tools = nil
		}
		e.req.Tools = append(e.req.Tools, tool{"function", function{e.call.FormatTool, text, schemaOr(f.Schema)}})
		e.req.ToolChoice = "REQUIRED"
	}
}

// Schemas: any object, and the arguments of the function that stands for a tool
// which takes text.
var (
	anyObject    = jsontext.Value(`{"type":"object","properties":{}}`)
	customSchema = jsontext.Value(`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`)
)

// schemaOr returns a schema, any object's if there is none.
func schemaOr(schema []byte) jsontext.Value {
	if len(schema) == 0 {
		return anyObject
	}
	return schema
}

// tools writes the tools and which of them may be called. Of tools that are
// named only those are sent: Cohere cannot be told which.
func (e *encoding) tools() *llm.Error {
	e.reserve()
	c := e.chat.Choice
	strict, loose := 0, 0
	for i := range e.chat.Tools {
		t := &e.chat.Tools[i]
		if t.Kind == llm.ToolSearch && !e.chat.Hosted() {
			e.call.Lose("tools.web_search")
			continue
		}
		if t.Kind == llm.ToolSearch {
			return wire.Unsupported("tools", "Cohere's models cannot search the web; leave the search tool out or ask another model")
		}
		if len(c.Names) > 0 && !slices.Contains(c.Names, t.Name) {
			continue
		}
		f := function{e.name(t.Name), t.Description, schemaOr(t.Schema)}
		if t.Kind == llm.ToolCustom {
			f.Parameters = customSchema
			if e.call.Custom == nil {
				e.call.Custom = map[string]bool{}
			}
			e.call.Custom[f.Name] = true
			if t.Grammar != nil {
				e.call.Lose("tools.custom.format")
			}
		}
		if t.Strict != nil && *t.Strict {
			strict++
		} else {
			loose++
		}
		if t.Cache != llm.CacheNone {
			e.call.Lose("cache_control")
		}
		e.req.Tools = append(e.req.Tools, tool{"function", f})
	}
	if len(e.req.Tools) == 0 && c.Mode == llm.ChoiceAny {
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: "tool_choice", Message: "\"tool_choice\" asks for a tool that is not among \"tools\""}
	}
	if strict > 0 { // one word for all of them
		if e.req.StrictTools = loose == 0; loose > 0 {
			e.call.Lose("tools.function.strict")
		}
	}
	switch {
	case len(e.req.Tools) == 0:
	case c.Mode == llm.ChoiceAny:
		e.req.ToolChoice = "REQUIRED"
	case c.Mode == llm.ChoiceNone:
		e.req.ToolChoice = "NONE"
	}
	return nil
}

// reserve gives every tool whose name may be sent that name, so that none of
// the others takes it.
func (e *encoding) reserve() {
	keep := func(name string) {
		if tidy(name) == name {
			e.names[name], e.used[name] = name, true
		}
	}
	for i := range e.chat.Tools {
		keep(e.chat.Tools[i].Name)
	}
	for _, m := range e.chat.Messages {
		for i := range m.Blocks {
			if m.Blocks[i].Kind == llm.BlockCall {
				keep(m.Blocks[i].Name)
			}
		}
	}
}

// name returns the name that is sent for a tool, and keeps the way back.
func (e *encoding) name(client string) string {
	if sent, ok := e.names[client]; ok {
		return sent
	}
	sent := e.unused(tidy(client))
	e.names[client] = sent
	if e.call.Names == nil {
		e.call.Names = map[string]string{}
	}
	e.call.Names[sent] = client
	return sent
}

// unused returns the name, with a number if another tool has it.
func (e *encoding) unused(name string) string {
	free := name
	for n := 2; e.used[free]; n++ {
		free = name + "_" + strconv.Itoa(n)
	}
	e.used[free] = true
	return free
}

// maxName bounds a tool's name.
const maxName = 60

// tidy makes a name of letters, digits and underscores that does not begin
// with a digit. It is never empty.
func tidy(name string) string {
	b := []byte(name[:min(len(name), maxName)])
	for i, c := range b {
		if !('0' <= c && c <= '9' && i > 0 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "_"
	}
	return string(b)
}
