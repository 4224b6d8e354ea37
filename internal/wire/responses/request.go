package responses

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// request is the body of a client's request. What stands beside the protocol's
// own members are chat completions' names for the same: Cursor mixes them.
type request struct {
	Model        string         `json:"model"`
	Input        jsontext.Value `json:"input"`
	Instructions jsontext.Value `json:"instructions"`

	Tools      []jsontext.Value `json:"tools"`
	ToolChoice jsontext.Value   `json:"tool_choice"`
	Parallel   *bool            `json:"parallel_tool_calls"`

	MaxOutput     *int64 `json:"max_output_tokens"`
	MaxTokens     *int64 `json:"max_tokens"`
	MaxCompletion *int64 `json:"max_completion_tokens"`

	Temperature      *float64       `json:"temperature"`
	TopP             *float64       `json:"top_p"`
	FrequencyPenalty *float64       `json:"frequency_penalty"`
	PresencePenalty  *float64       `json:"presence_penalty"`
	Seed             *int64         `json:"seed"`
	Stop             jsontext.Value `json:"stop"`
	TopLogProbs      int64          `json:"top_logprobs"`

	Reasoning *reasoning `json:"reasoning"`
	Effort    string     `json:"reasoning_effort"`
	Text      *text      `json:"text"`
	Verbosity string     `json:"verbosity"`
	Include   []string   `json:"include"`

	Store    *bool          `json:"store"`
	Metadata jsontext.Value `json:"metadata"`
	User     string         `json:"user"`
	Safety   string         `json:"safety_identifier"`
	Tier     string         `json:"service_tier"`
	CacheKey string         `json:"prompt_cache_key"`

	PreviousID   string         `json:"previous_response_id"`
	Conversation jsontext.Value `json:"conversation"`
	Background   bool           `json:"background"`
	Prompt       jsontext.Value `json:"prompt"`
	Truncation   string         `json:"truncation"`

	// Read elsewhere, or of no meaning in another protocol.
	Stream        jsontext.Value `json:"stream"`
	StreamOptions jsontext.Value `json:"stream_options"`

	Rest jsontext.Value `json:",embed"`
}

type reasoning struct {
	Effort          string         `json:"effort"`
	Summary         string         `json:"summary"`
	GenerateSummary string         `json:"generate_summary"`
	Rest            jsontext.Value `json:",embed"`
}

type text struct {
	Format    jsontext.Value `json:"format"`
	Verbosity string         `json:"verbosity"`
	Rest      jsontext.Value `json:",embed"`
}

type format struct {
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Schema      jsontext.Value `json:"schema"`
	Strict      *bool          `json:"strict"`
}

// reader makes a chat of a request.
type reader struct {
	chat llm.Chat
	// open is the kind of the item that the last message holds, "" if nothing
	// may be added to it.
	open   string
	theirs []string // tools that only their own vendor can run
	taken  map[string]bool
	joined map[qualified]string // the names of tools in namespaces
}

// Chat reads the body of a request. See wire.Client.
func (Codec) Chat(body []byte) (*llm.Chat, *llm.Error) {
	var in request
	if err := json.Unmarshal(body, &in, lax); err != nil {
		return nil, invalid(err, "")
	}
	r := &reader{chat: llm.Chat{N: 1}}
	if err := r.tools("tools", in.Tools, ""); err != nil {
		return nil, err
	}
	if err := r.instructions(in.Instructions); err != nil {
		return nil, err
	}
	if err := r.input(in.Input); err != nil {
		return nil, err
	}
	if err := r.choice(in.ToolChoice); err != nil {
		return nil, err
	}
	r.lost()
	if err := r.scalars(&in); err != nil {
		return nil, err
	}
	if err := r.format(in.Text); err != nil {
		return nil, err
	}
	r.state(&in)
	r.unknown("", in.Rest, false)
	return &r.chat, nil
}

// leave notes a member that has no neutral form, a hint only once.
func (r *reader) leave(name string, must bool) {
	if !must && slices.Contains(r.chat.Left, llm.Left{Name: name}) {
		return
	}
	r.chat.Left = append(r.chat.Left, llm.Left{Name: name, Must: must})
}

// maxHints bounds the names of members that were not understood.
const maxHints = 64

// unknown notes the members of an object that were not understood. null is
// nothing. Members of items, parts and tools are named without their index.
func (r *reader) unknown(prefix string, v jsontext.Value, must bool) {
	if len(v) == 0 || !must && len(r.chat.Left) >= maxHints {
		return
	}
	var space [8]scan.Member
	ms, err := scan.Object(space[:0], v)
	if err != nil {
		return
	}
	for _, m := range ms {
		if name, ok := scan.String(v[m.Key:m.KeyEnd]); ok && !scan.Null(v[m.Start:m.End]) {
			r.leave(prefix+name, must)
		}
	}
}

func (r *reader) instructions(v jsontext.Value) *llm.Error {
	if scan.Null(v) {
		return nil
	}
	s, ok := scan.String(v)
	if !ok {
		return wrong("instructions", "must be a string")
	}
	if s != "" {
		r.chat.Messages = append(r.chat.Messages, llm.Message{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: s}}})
	}
	return nil
}

func (r *reader) scalars(in *request) *llm.Error {
	c := &r.chat
	for _, n := range [...]*int64{in.MaxOutput, in.MaxCompletion, in.MaxTokens} {
		if n == nil {
			continue
		}
		if *n < 1 {
			return wrong("max_output_tokens", "must be at least 1")
		}
		c.MaxOutput = *n
		break
	}
	c.Temperature, c.TopP, c.Seed = in.Temperature, in.TopP, in.Seed
	c.FrequencyPenalty, c.PresencePenalty = in.FrequencyPenalty, in.PresencePenalty
	c.Serial = in.Parallel != nil && !*in.Parallel
	if err := r.stop(in.Stop); err != nil {
		return err
	}
	for i, name := range in.Include {
		switch name {
		case includeEncrypted:
			c.Reasoning.Encrypted = true
		case includeLogProbs:
			c.LogProbs, c.TopLogProbs = true, in.TopLogProbs
		default:
			r.leave(index("include", i), false)
		}
	}
	if in.TopLogProbs > 0 {
		c.LogProbs, c.TopLogProbs = true, in.TopLogProbs
	}
	c.Reasoning.Effort, c.Verbosity = in.Effort, in.Verbosity
	if in.Reasoning != nil {
		if in.Reasoning.Effort != "" {
			c.Reasoning.Effort = in.Reasoning.Effort
		}
		if c.Reasoning.Summary = in.Reasoning.Summary; c.Reasoning.Summary == "" {
			c.Reasoning.Summary = in.Reasoning.GenerateSummary
		}
		r.unknown("reasoning.", in.Reasoning.Rest, false)
	}
	c.Store, c.Tier, c.CacheKey = in.Store, in.Tier, in.CacheKey
	if c.User = in.User; c.User == "" {
		c.User = in.Safety
	} else if in.Safety != "" && in.Safety != in.User {
		r.leave("safety_identifier", false)
	}
	return r.metadata(in.Metadata)
}

func (r *reader) stop(v jsontext.Value) *llm.Error {
	if scan.Null(v) {
		return nil
	}
	if s, ok := scan.String(v); ok {
		r.chat.Stop = []string{s}
		return nil
	}
	if err := json.Unmarshal(v, &r.chat.Stop, lax); err != nil {
		return wrong("stop", "must be a string or a list of strings")
	}
	return nil
}

func (r *reader) metadata(v jsontext.Value) *llm.Error {
	if scan.Null(v) {
		return nil
	}
	ms, err := scan.Object(nil, v)
	if err != nil {
		return wrong("metadata", "must be an object")
	}
	for _, m := range ms {
		name, _ := scan.String(v[m.Key:m.KeyEnd])
		value, ok := scan.String(v[m.Start:m.End])
		if !ok {
			value = string(v[m.Start:m.End])
		}
		r.chat.Metadata = append(r.chat.Metadata, llm.Pair{Name: name, Value: value})
	}
	return nil
}

func (r *reader) format(t *text) *llm.Error {
	if t == nil {
		return nil
	}
	if t.Verbosity != "" {
		r.chat.Verbosity = t.Verbosity
	}
	r.unknown("text.", t.Rest, false)
	if scan.Null(t.Format) {
		return nil
	}
	var f format
	if err := json.Unmarshal(t.Format, &f, lax); err != nil {
		return invalid(err, "text.format")
	}
	switch f.Type {
	case "text", "":
	case "json_object":
		r.chat.Format.Kind = llm.FormatJSON
	case "json_schema":
		if scan.Null(f.Schema) {
			return wrong("text.format.schema", "is missing")
		}
		r.chat.Format = llm.Format{Kind: llm.FormatSchema, Name: f.Name, Description: f.Description, Schema: f.Schema, Strict: f.Strict}
	default:
		r.leave("text.format", true)
	}
	return nil
}

// state leaves what only a vendor that keeps state, or runs prompts and jobs
// of its own, can do.
func (r *reader) state(in *request) {
	for _, x := range [...]struct {
		name string
		set  bool
		must bool
	}{
		{"previous_response_id", in.PreviousID != "", true},
		{"conversation", !scan.Null(in.Conversation), true},
		{"background", in.Background, true},
		{"prompt", !scan.Null(in.Prompt), true},
		{"truncation", in.Truncation != "" && in.Truncation != "disabled", false},
	} {
		if x.set {
			r.leave(x.name, x.must)
		}
	}
}

// grammar returns the format of a custom tool in the protocol's flat shape,
// nil for plain text.
func grammar(v jsontext.Value) []byte {
	if kind, _ := scan.String(scan.Get(v, "type")); kind != "grammar" {
		return nil
	}
	nested := scan.Get(v, "grammar")
	if nested == nil {
		return v
	}
	b := append([]byte(nil), `{"type":"grammar"`...)
	for _, name := range [...]string{"syntax", "definition"} {
		if m := scan.Get(nested, name); m != nil {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = append(b, m...)
		}
	}
	return append(b, '}')
}

// choice is a tool_choice that is an object.
type choice struct {
	Type     string   `json:"type"`
	Name     string   `json:"name"`
	Space    string   `json:"namespace"`
	Mode     string   `json:"mode"`
	Tools    []choice `json:"tools"`
	Function *choice  `json:"function"`
	Custom   *choice  `json:"custom"`
	Allowed  *choice  `json:"allowed_tools"`
}

func mode(s string) (llm.ChoiceMode, bool) {
	switch s {
	case "auto":
		return llm.ChoiceAuto, true
	case "none":
		return llm.ChoiceNone, true
	case "required", "any":
		return llm.ChoiceAny, true
	}
	return llm.ChoiceUnset, false
}

func (r *reader) choice(v jsontext.Value) *llm.Error {
	if scan.Null(v) {
		return nil
	}
	if s, ok := scan.String(v); ok {
		if r.chat.Choice.Mode, ok = mode(s); !ok {
			return wrong("tool_choice", "must be none, auto, required or an object")
		}
		return nil
	}
	var c choice
	if err := json.Unmarshal(v, &c, lax); err != nil {
		return invalid(err, "tool_choice")
	}
	switch c.Type {
	case typeFunction, typeCustom:
		name := r.called(&c)
		if name == "" {
			return wrong("tool_choice.name", "is missing")
		}
		r.chat.Choice = llm.Choice{Mode: llm.ChoiceAny, Names: []string{name}}
	case "allowed_tools":
		if c.Allowed != nil {
			c = *c.Allowed
		}
		var ok bool
		if r.chat.Choice.Mode, ok = mode(c.Mode); !ok {
			return wrong("tool_choice.mode", "must be auto or required")
		}
		for i := range c.Tools {
			if name := r.called(&c.Tools[i]); name != "" {
				r.chat.Choice.Names = append(r.chat.Choice.Names, name)
			}
		}
		for i := range c.Tools {
			if r.called(&c.Tools[i]) == "" {
				r.leave(index("tool_choice.tools", i), len(r.chat.Choice.Names) == 0 || r.chat.Hosted())
			}
		}
	default:
		r.leave("tool_choice", true)
	}
	return nil
}

// called is the tool that a choice names; "" for one that has no name here.
func (r *reader) called(c *choice) string {
	switch {
	case c.Name != "":
		return r.join(c.Space, c.Name)
	case c.Function != nil:
		return c.Function.Name
	case c.Custom != nil:
		return c.Custom.Name
	case len(c.Type) >= len(typeSearch) && c.Type[:len(typeSearch)] == typeSearch:
		return typeSearch
	}
	return ""
}
