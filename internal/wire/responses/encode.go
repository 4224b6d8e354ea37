package responses

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// body is a request to a vendor.
type body struct {
	Model        string         `json:"model"`
	Instructions string         `json:"instructions,omitempty"`
	Input        []itemOut      `json:"input"`
	Tools        []toolOut      `json:"tools,omitempty"`
	ToolChoice   jsontext.Value `json:"tool_choice,omitzero"`
	Parallel     *bool          `json:"parallel_tool_calls,omitzero"`
	MaxOutput    int64          `json:"max_output_tokens,omitzero"`
	Temperature  *float64       `json:"temperature,omitzero"`
	TopLogProbs  int64          `json:"top_logprobs,omitzero"`
	TopP         *float64       `json:"top_p,omitzero"`
	Reasoning    *reasoningOut  `json:"reasoning,omitzero"`
	Text         *textOut       `json:"text,omitzero"`
	Include      []string       `json:"include,omitempty"`
	Store        *bool          `json:"store,omitzero"`
	Stream       bool           `json:"stream,omitzero"`
	Metadata     jsontext.Value `json:"metadata,omitzero"`
	User         string         `json:"user,omitempty"`
	Tier         string         `json:"service_tier,omitempty"`
	CacheKey     string         `json:"prompt_cache_key,omitempty"`
}

type itemOut struct {
	Type      string         `json:"type"`
	ID        string         `json:"id,omitempty"`
	Role      string         `json:"role,omitempty"`
	Content   content        `json:"content,omitzero"`
	Summary   []partOut      `json:"summary,omitzero"`
	Encrypted string         `json:"encrypted_content,omitempty"`
	CallID    string         `json:"call_id,omitempty"`
	Name      string         `json:"name,omitempty"`
	Arguments *string        `json:"arguments,omitzero"`
	Input     *string        `json:"input,omitzero"`
	Output    jsontext.Value `json:"output,omitzero"`
}

// content is that of a message or of raw thinking: a text alone is a string,
// which is the only form of an assistant's text that needs no id.
type content []partOut

// MarshalJSONTo implements json.MarshalerTo.
func (c content) MarshalJSONTo(enc *jsontext.Encoder) error {
	if len(c) == 1 && (c[0].Type == typeInputText || c[0].Type == typeOutputText) {
		return enc.WriteToken(jsontext.String(*c[0].Text))
	}
	return json.MarshalEncode(enc, []partOut(c))
}

type partOut struct {
	Type     string  `json:"type"`
	Text     *string `json:"text,omitzero"`
	Refusal  string  `json:"refusal,omitempty"`
	ImageURL string  `json:"image_url,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	FileID   string  `json:"file_id,omitempty"`
	FileURL  string  `json:"file_url,omitempty"`
	FileData string  `json:"file_data,omitempty"`
	Filename string  `json:"filename,omitempty"`
}

type toolOut struct {
	Type        string         `json:"type"`
	Name        string         `json:"name,omitempty"`
	Description string         `json:"description,omitempty"`
	Parameters  jsontext.Value `json:"parameters,omitzero"`
	Strict      *bool          `json:"strict,omitzero"`
	Format      jsontext.Value `json:"format,omitzero"`
}

type reasoningOut struct {
	Effort  string `json:"effort,omitempty"`
	Summary string `json:"summary,omitempty"`
}

type textOut struct {
	Format    *formatOut `json:"format,omitzero"`
	Verbosity string     `json:"verbosity,omitempty"`
}

type formatOut struct {
	Type        string         `json:"type"`
	Name        string         `json:"name,omitempty"`
	Description string         `json:"description,omitempty"`
	Schema      jsontext.Value `json:"schema,omitzero"`
	Strict      *bool          `json:"strict,omitzero"`
}

// minOutput is the least max_output_tokens that OpenAI takes (API reference,
// 2026-11).
const minOutput = 16

// writer makes a request of a chat.
type writer struct {
	chat    *llm.Chat
	target  wire.Target
	dialect dialect
	call    *wire.Call
	body    body
	sent    map[string]string // the client's name of a tool → the one sent
	custom  map[string]bool   // ids of calls of custom tools
}

// Encode writes a chat for a target. See wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	w, err := write(c, t)
	if err != nil {
		return nil, err
	}
	return w.finish()
}

// CountCall asks a vendor how many tokens a chat is. The answer to the call is
// read by ParseCount.
func CountCall(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	w, err := write(c, t)
	if err != nil {
		return nil, err
	}
	b := &w.body // all that the operation knows of a request (API reference, 2026-11)
	w.body = body{Model: b.Model, Instructions: b.Instructions, Input: b.Input, Tools: b.Tools, ToolChoice: b.ToolChoice,
		Parallel: b.Parallel, Reasoning: b.Reasoning, Text: b.Text}
	return w.finish()
}

func write(c *llm.Chat, t wire.Target) (*writer, *llm.Error) {
	w := &writer{chat: c, target: t, dialect: dialectOf(t.Dialect), call: &wire.Call{}}
	w.body = body{Model: t.Model, Stream: t.Stream, Input: []itemOut{}}
	if err := w.refuse(); err != nil {
		return nil, err
	}
	if err := w.call.Leave(c.Left); err != nil {
		return nil, err
	}
	w.tools()
	if err := w.messages(); err != nil {
		return nil, err
	}
	w.choice()
	w.scalars()
	w.reasoning()
	w.format()
	return w, nil
}

func (w *writer) finish() (*wire.Call, *llm.Error) {
	b, err := json.Marshal(&w.body, lax)
	if err != nil { // a schema that is no JSON
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "the request cannot be written for the model's vendor", Err: err}
	}
	w.call.Body = b
	return w.call, nil
}

// refuse finds what the protocol cannot say and must not drop.
func (w *writer) refuse() *llm.Error {
	c := w.chat
	switch {
	case len(c.Stop) > 0:
		return wire.Unsupported("stop", "the Responses API knows no stop sequences; leave it out or ask another model")
	case c.LogProbs && !w.dialect.probs:
		return wire.Unsupported("logprobs", "the model's vendor is not known to give log probabilities; leave it out or ask another model")
	}
	for _, x := range [...]struct {
		name string
		set  bool
	}{
		{"top_k", c.TopK != nil}, {"seed", c.Seed != nil},
		{"frequency_penalty", c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0},
		{"presence_penalty", c.PresencePenalty != nil && *c.PresencePenalty != 0},
	} {
		if x.set {
			w.call.Lose(x.name)
		}
	}
	return nil
}

func (w *writer) scalars() {
	c, b := w.chat, &w.body
	b.MaxOutput = c.MaxOutput
	if most := w.target.MaxOutput; most > 0 && b.MaxOutput > most {
		b.MaxOutput = most
		w.call.Lose("max_tokens")
	}
	if b.MaxOutput > 0 && b.MaxOutput < minOutput {
		b.MaxOutput = minOutput
		w.call.Lose("max_tokens")
	}
	b.Temperature, b.TopP = c.Temperature, c.TopP
	if b.Store = c.Store; c.Store == nil {
		b.Store = new(bool) // absent means true in this protocol
	}
	if c.LogProbs {
		b.Include, b.TopLogProbs = append(b.Include, includeLogProbs), c.TopLogProbs
	}
	b.User, b.Tier, b.CacheKey = c.User, c.Tier, c.CacheKey
	if len(c.Metadata) > 0 {
		v := []byte{'{'}
		for i, p := range c.Metadata {
			if i > 0 {
				v = append(v, ',')
			}
			v = append(wire.AppendString(v, p.Name), ':')
			v = wire.AppendString(v, p.Value)
		}
		b.Metadata = append(v, '}')
	}
	if c.Serial && len(b.Tools) > 0 {
		b.Parallel = new(bool)
	}
}

// reasoning asks for thinking, and for the seals without which a vendor that
// keeps nothing could not go on from it.
func (w *writer) reasoning() {
	c, b, model := w.chat, &w.body, w.target.Model
	effort := c.Reasoning.Effort
	if effort == "" {
		effort = wire.Effort(c.Reasoning.Budget)
	}
	known := thinks(model)
	if known == never {
		if effort != "" && effort != "none" {
			w.call.Lose("reasoning_effort")
		}
		return
	}
	if fits := fit(model, effort); fits != effort {
		w.call.Lose("reasoning_effort")
		effort = fits
	}
	if known == always && effort != "none" {
		// What these models refuse; 1 is what they do anyway.
		for _, x := range [...]struct {
			name  string
			value **float64
		}{{"temperature", &b.Temperature}, {"top_p", &b.TopP}} {
			if *x.value != nil && **x.value != 1 {
				w.call.Lose(x.name)
			}
			*x.value = nil
		}
	}
	summary := c.Reasoning.Summary
	if w.dialect.bare || effort == "none" { // thinking is shown unasked, or there is none
		summary = ""
	}
	if effort != "" || summary != "" {
		b.Reasoning = &reasoningOut{Effort: effort, Summary: summary}
	}
	if !*b.Store && !w.dialect.bare && effort != "none" && (known == always || c.Reasoning.On() || c.Reasoning.Encrypted) {
		b.Include = append(b.Include, includeEncrypted)
	}
}

func (w *writer) format() {
	f := &w.chat.Format
	var out *formatOut
	switch f.Kind {
	case llm.FormatJSON:
		out = &formatOut{Type: "json_object"}
		if !w.mentions("json") { // OpenAI refuses the format if no message says the word
			hint := "Answer with a JSON object."
			w.body.Input = append(w.body.Input, itemOut{Type: typeMessage, Role: "developer", Content: content{{Type: typeInputText, Text: &hint}}})
		}
	case llm.FormatSchema:
		out = &formatOut{Type: "json_schema", Name: f.Name, Description: f.Description, Schema: f.Schema, Strict: f.Strict}
		if out.Name = clean(out.Name); out.Name == "" {
			out.Name = "answer"
		}
	}
	if out != nil || w.chat.Verbosity != "" {
		w.body.Text = &textOut{Format: out, Verbosity: w.chat.Verbosity}
	}
}

// mentions reports whether the input has the word, in any case.
func (w *writer) mentions(word string) bool {
	for i := range w.body.Input {
		for _, p := range w.body.Input[i].Content {
			if p.Text != nil && strings.Contains(strings.ToLower(*p.Text), word) {
				return true
			}
		}
	}
	return false
}

// customSchema is the schema of a function that stands for a custom tool.
const customSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`

func (w *writer) tools() {
	only := map[string]bool{}
	if !w.dialect.allowed && len(w.chat.Choice.Names) > 1 { // the vendor cannot be told of a choice among tools
		for _, name := range w.chat.Choice.Names {
			only[name] = true
		}
	}
	for i := range w.chat.Tools {
		t := &w.chat.Tools[i]
		if t.Cache != llm.CacheNone {
			w.call.Lose("cache_control")
		}
		if len(only) > 0 && !only[t.Name] {
			continue
		}
		if t.Kind == llm.ToolSearch {
			w.body.Tools = append(w.body.Tools, toolOut{Type: typeSearch})
			continue
		}
		out := toolOut{Type: typeFunction, Name: w.name(t.Name), Description: t.Description}
		switch {
		case t.Kind == llm.ToolCustom && w.dialect.custom:
			out.Type, out.Format = typeCustom, grammar(t.Grammar)
		case t.Kind == llm.ToolCustom:
			out.Parameters, out.Strict = jsontext.Value(customSchema), new(bool)
			if t.Grammar != nil {
				w.call.Lose("tools.format")
			}
			if w.call.Custom == nil {
				w.call.Custom = map[string]bool{}
			}
			w.call.Custom[out.Name] = true
		default:
			if out.Parameters = t.Schema; len(t.Schema) == 0 {
				out.Parameters = jsontext.Value(`{"type":"object","properties":{}}`)
			}
			if out.Strict = t.Strict; t.Strict == nil {
				out.Strict = new(bool) // absent means true in this protocol, and false in the others
			}
		}
		w.body.Tools = append(w.body.Tools, out)
	}
}

func (w *writer) choice() {
	c := &w.chat.Choice
	word := map[llm.ChoiceMode]string{llm.ChoiceAuto: "auto", llm.ChoiceNone: "none", llm.ChoiceAny: "required"}[c.Mode]
	if word == "" || len(w.body.Tools) == 0 && c.Mode != llm.ChoiceAny {
		return
	}
	switch {
	case len(c.Names) == 0 || len(c.Names) > 1 && !w.dialect.allowed || c.Mode == llm.ChoiceNone:
		w.body.ToolChoice = wire.AppendString(nil, word)
	case len(c.Names) == 1 && c.Mode == llm.ChoiceAny:
		w.body.ToolChoice = w.pick(nil, c.Names[0])
	case !w.dialect.allowed:
		w.body.ToolChoice = wire.AppendString(nil, word)
	default:
		v := []byte(`{"type":"allowed_tools","mode":"` + word + `","tools":[`)
		for i, name := range c.Names {
			if i > 0 {
				v = append(v, ',')
			}
			v = w.pick(v, name)
		}
		w.body.ToolChoice = append(v, "]}"...)
	}
}

// pick appends the choice of one tool.
func (w *writer) pick(v []byte, name string) []byte {
	kind := typeFunction
	for i := range w.chat.Tools {
		if t := &w.chat.Tools[i]; t.Name == name {
			if t.Kind == llm.ToolSearch {
				return append(v, `{"type":"`+typeSearch+`"}`...)
			}
			if t.Kind == llm.ToolCustom && w.dialect.custom {
				kind = typeCustom
			}
		}
	}
	v = append(v, `{"type":"`+kind+`","name":`...)
	return append(wire.AppendString(v, w.name(name)), '}')
}

// name returns what a tool is called in the request, and notes it where it is
// not the client's name.
func (w *writer) name(s string) string {
	if out, ok := w.sent[s]; ok {
		return out
	}
	out := clean(s)
	if out == "" {
		out = "tool"
	}
	taken := func(n string) bool {
		for _, o := range w.sent {
			if o == n {
				return true
			}
		}
		return false
	}
	for base, n := out, 'a'; taken(out) && n <= 'z'; n++ {
		out = base[:min(len(base), maxName-2)] + "_" + string(n)
	}
	if w.sent == nil {
		w.sent = map[string]string{}
	}
	w.sent[s] = out
	if out != s {
		if w.call.Names == nil {
			w.call.Names = map[string]string{}
		}
		w.call.Names[out] = s
	}
	return out
}

// maxName is OpenAI's bound on the names of tools and formats in bytes.
const maxName = 64

// clean makes a name of what OpenAI takes: letters, digits, _ and -.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), maxName)]
}
