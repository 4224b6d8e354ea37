package openai

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// chatBody is a chat request. Members that say nothing of the answer (model,
// stream, the gateway's own context) are read elsewhere.
type chatBody struct {
	Model         jsontext.Value   `json:"model"`
	Stream        jsontext.Value   `json:"stream"`
	StreamOptions jsontext.Value   `json:"stream_options"`
	Context       jsontext.Value   `json:"context"`
	UsageAsked    jsontext.Value   `json:"usage"` // OpenRouter's; usage is always counted
	Messages      []requestMessage `json:"messages"`

	Tools        []jsontext.Value `json:"tools"`
	ToolChoice   jsontext.Value   `json:"tool_choice"`
	Functions    []toolFunction   `json:"functions"`
	FunctionCall jsontext.Value   `json:"function_call"`
	Parallel     *bool            `json:"parallel_tool_calls"`
	Search       jsontext.Value   `json:"web_search_options"`

	MaxCompletion    int64          `json:"max_completion_tokens"`
	MaxTokens        int64          `json:"max_tokens"`
	Temperature      *float64       `json:"temperature"`
	TopP             *float64       `json:"top_p"`
	TopK             *int64         `json:"top_k"`
	FrequencyPenalty *float64       `json:"frequency_penalty"`
	PresencePenalty  *float64       `json:"presence_penalty"`
	Seed             *int64         `json:"seed"`
	RandomSeed       *int64         `json:"random_seed"` // Mistral's
	Stop             stops          `json:"stop"`
	N                int64          `json:"n"`
	LogProbs         bool           `json:"logprobs"`
	TopLogProbs      int64          `json:"top_logprobs"`
	User             string         `json:"user"`
	SafetyID         string         `json:"safety_identifier"`
	Metadata         jsontext.Value `json:"metadata"`
	Tier             string         `json:"service_tier"`
	CacheKey         string         `json:"prompt_cache_key"`
	Verbosity        string         `json:"verbosity"`
	Store            *bool          `json:"store"`
	Modalities       []string       `json:"modalities"`
	Audio            jsontext.Value `json:"audio"`
	Format           *format        `json:"response_format"`

	Effort           string     `json:"reasoning_effort"`
	Reasoning        *reasoning `json:"reasoning"`         // OpenRouter's
	IncludeReasoning *bool      `json:"include_reasoning"` // OpenRouter's and Groq's
	Thinking         *thinking  `json:"thinking"`          // DeepSeek's and Z.AI's
	EnableThinking   *bool      `json:"enable_thinking"`   // Qwen's
	ThinkingBudget   int64      `json:"thinking_budget"`   // Qwen's

	Rest jsontext.Value `json:",embed"`
}

type reasoning struct {
	Effort    string `json:"effort"`
	MaxTokens int64  `json:"max_tokens"`
	Exclude   bool   `json:"exclude"`
	Enabled   *bool  `json:"enabled"`
	Summary   string `json:"summary"`
}

type thinking struct {
	Type   loose `json:"type"`
	Budget int64 `json:"budget_tokens"`
}

type format struct {
	Type   string `json:"type"`
	Schema *struct {
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Schema      jsontext.Value `json:"schema"`
		Strict      *bool          `json:"strict"`
	} `json:"json_schema"`
}

// stops is one stop sequence or several.
type stops []string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *stops) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '"' {
		return json.UnmarshalDecode(dec, (*[]string)(s))
	}
	tok, err := dec.ReadToken()
	*s = stops{tok.String()}
	return err
}

// Chat implements wire.Client.
func (Codec) Chat(body []byte) (*llm.Chat, *llm.Error) {
	var in chatBody
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, badBody(err)
	}
	r := reader{chat: &llm.Chat{}}
	if len(in.Messages) == 0 {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "messages", Message: "\"messages\" must be a list of at least one message"}
	}
	for i := range in.Messages {
		if err := r.message(&in.Messages[i]); err != nil {
			return nil, err
		}
	}
	r.flush()
	if err := r.tools(&in); err != nil {
		return nil, err
	}
	if err := r.format(in.Format); err != nil {
		return nil, err
	}
	r.scalars(&in)
	r.reasoning(&in)
	r.rest(in.Rest)
	return r.chat, nil
}

// rest leaves what is not understood.
func (r *reader) rest(v jsontext.Value) {
	members(v, func(name string, v jsontext.Value) {
		if !null(v) {
			r.leave(name, false)
		}
	})
}

// badBody tells the caller where its body is not what it should be.
func badBody(err error) *llm.Error {
	var at *json.SemanticError
	if !errors.As(err, &at) {
		return &llm.Error{Kind: llm.KindInvalidJSON, Message: "the body is not valid JSON", Err: err}
	}
	path := pathOf(string(at.JSONPointer))
	if path == "" {
		return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body is not a JSON object", Err: err}
	}
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: path, Message: "\"" + path + "\" has a value of the wrong type", Err: err}
}

// pathOf writes a JSON pointer as OpenAI names parameters: messages[0].role.
func pathOf(pointer string) string {
	var b strings.Builder
	for seg := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch {
		case seg != "" && strings.Trim(seg, "0123456789") == "":
			b.WriteString("[" + seg + "]")
		case b.Len() > 0:
			b.WriteString("." + seg)
		default:
			b.WriteString(seg)
		}
	}
	return b.String()
}

// reader makes a chat of a body.
type reader struct {
	chat    *llm.Chat
	results []llm.Block       // of tool messages that stand in a row
	called  map[string]string // id of the last call of a function, by name: legacy results have no id
	waiting []string          // ids of the last turn's calls that have no result yet
}

// leave notes a member without a neutral place, once.
func (r *reader) leave(name string, must bool) {
	for _, l := range r.chat.Left {
		if l.Name == name {
			return
		}
	}
	r.chat.Left = append(r.chat.Left, llm.Left{Name: name, Must: must})
}

func (r *reader) scalars(in *chatBody) {
	c := r.chat
	c.MaxOutput = max(0, in.MaxCompletion)
	if c.MaxOutput == 0 {
		c.MaxOutput = max(0, in.MaxTokens)
	}
	c.Temperature, c.TopP, c.TopK = in.Temperature, in.TopP, in.TopK
	c.FrequencyPenalty, c.PresencePenalty = in.FrequencyPenalty, in.PresencePenalty
	if c.Seed = in.Seed; c.Seed == nil {
		c.Seed = in.RandomSeed
	}
	c.Stop = in.Stop
	c.N = int(min(max(1, in.N), 1<<20))
	c.LogProbs, c.TopLogProbs = in.LogProbs, max(0, in.TopLogProbs)
	if c.User = in.User; c.User == "" {
		c.User = in.SafetyID
	} else if in.SafetyID != "" && in.SafetyID != in.User {
		r.leave("safety_identifier", false)
	}
	members(in.Metadata, func(name string, v jsontext.Value) {
		var s rawText
		if json.Unmarshal(v, &s, lenient) == nil {
			c.Metadata = append(c.Metadata, llm.Pair{Name: name, Value: string(s)})
		}
	})
	c.Tier, c.CacheKey, c.Verbosity, c.Store = in.Tier, in.CacheKey, in.Verbosity, in.Store
	for _, m := range in.Modalities {
		if m != "text" {
			r.leave("modalities", true)
		}
	}
	if !null(in.Audio) {
		r.leave("audio", true)
	}
}

// reasoning reads the asking for thinking, which every vendor spells in its
// own way. Who asks for it is shown it, since answers have a place for it,
// but for those who say that they do not want to see it.
func (r *reader) reasoning(in *chatBody) {
	out := &r.chat.Reasoning
	out.Effort = in.Effort
	hide := false
	if o := in.Reasoning; o != nil {
		if o.Effort != "" {
			out.Effort = o.Effort
		}
		out.Budget, out.Summary = max(0, o.MaxTokens), o.Summary
		on(out, o.Enabled)
		hide = o.Exclude
	}
	if t := in.Thinking; t != nil {
		if t.Budget > 0 {
			out.Budget = t.Budget
		}
		switch t.Type {
		case "enabled", "adaptive":
			yes := true
			on(out, &yes)
		case "disabled":
			no := false
			on(out, &no)
		}
	}
	if in.ThinkingBudget > 0 {
		out.Budget = in.ThinkingBudget
	}
	on(out, in.EnableThinking)
	show := out.On()
	if in.IncludeReasoning != nil {
		show, hide = *in.IncludeReasoning, !*in.IncludeReasoning
	}
	if show && !hide && out.Summary == "" {
		out.Summary = "auto"
	}
	out.Encrypted = out.On()
}

// on applies a switch.
func on(r *llm.Reasoning, enabled *bool) {
	switch {
	case enabled == nil:
	case !*enabled:
		r.Effort, r.Budget = "none", 0
	case !r.On():
		r.Effort, r.Budget = "", -1
	}
}

func (r *reader) format(f *format) *llm.Error {
	if f == nil {
		return nil
	}
	switch f.Type {
	case "", "text":
	case "json_object":
		r.chat.Format.Kind = llm.FormatJSON
	case "json_schema":
		s := f.Schema
		if s == nil {
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: "response_format.json_schema", Message: "\"response_format.json_schema\" is missing"}
		}
		r.chat.Format = llm.Format{Kind: llm.FormatSchema, Name: s.Name, Description: s.Description, Schema: s.Schema, Strict: s.Strict}
		if null(s.Schema) {
			r.chat.Format.Schema = []byte("{}")
		}
	default:
		r.leave("response_format", true)
	}
	return nil
}
