// Package ollama is Ollama's own chat protocol, /api/chat, as a vendor's.
package ollama

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Codec is Ollama's protocol.
type Codec struct{}

var _ wire.Vendor = Codec{}

// lenient are the options by which foreign JSON is read and written: what only
// passes through is not ours to refuse.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// request is the body of a request.
type request struct {
	Model    string         `json:"model"`
	Messages []message      `json:"messages"`
	Tools    []tool         `json:"tools,omitempty"`
	Format   jsontext.Value `json:"format,omitzero"`
	Options  options        `json:"options,omitempty"`
	Think    jsontext.Value `json:"think,omitzero"`
	Stream   bool           `json:"stream"`
}

type message struct {
	Role     string   `json:"role"`
	Content  string   `json:"content"`
	Thinking string   `json:"thinking,omitempty"`
	Images   []string `json:"images,omitempty"` // base64
	Calls    []call   `json:"tool_calls,omitempty"`
	ToolName string   `json:"tool_name,omitempty"`
	CallID   string   `json:"tool_call_id,omitempty"`
}

type call struct {
	ID       string `json:"id,omitempty"`
	Function struct {
		Name      string         `json:"name"`
		Arguments jsontext.Value `json:"arguments"`
	} `json:"function"`
}

type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string         `json:"name"`
		Description string         `json:"description,omitempty"`
		Parameters  jsontext.Value `json:"parameters"`
	} `json:"function"`
}

type options struct {
	NumPredict       int64    `json:"num_predict,omitzero"`
	Temperature      *float64 `json:"temperature,omitzero"`
	TopK             *int64   `json:"top_k,omitzero"`
	TopP             *float64 `json:"top_p,omitzero"`
	Seed             *int64   `json:"seed,omitzero"`
	Stop             []string `json:"stop,omitempty"`
	FrequencyPenalty *float64 `json:"frequency_penalty,omitzero"`
	PresencePenalty  *float64 `json:"presence_penalty,omitzero"`
}

// encoding is a request that is being written.
type encoding struct {
	chat  *llm.Chat
	call  *wire.Call
	out   request
	names map[string]string // of the tools, by the ids of their calls
	moved []string          // pictures that a message of the user must bring
	turn  int               // index of the last message that the user wrote
}

// Encode implements wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	e := encoding{chat: c, call: &wire.Call{}, names: map[string]string{}, turn: -1}
	if err := e.call.Leave(c.Left); err != nil {
		return nil, err
	}
	if c.LogProbs {
		return nil, wire.Unsupported("logprobs", "the client's protocol and the vendor's write log probabilities in different ways; leave it out")
	}
	e.out.Model, e.out.Stream = t.Model, t.Stream
	for i := range c.Messages {
		if m := &c.Messages[i]; m.Role == llm.RoleUser && written(m) {
			e.turn = i
		}
	}
	for i := range c.Messages {
		if err := e.message(&c.Messages[i], i > e.turn); err != nil {
			return nil, err
		}
	}
	e.flush()
	if err := e.tools(); err != nil {
		return nil, err
	}
	e.settings(t)
	body, err := json.Marshal(&e.out, lenient)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "a JSON Schema or the arguments of a call are not valid JSON", Err: err}
	}
	e.call.Body = body
	return e.call, nil
}

// written reports whether a message of the user is more than results.
func written(m *llm.Message) bool {
	return slices.ContainsFunc(m.Blocks, func(b llm.Block) bool { return b.Kind != llm.BlockResult })
}

func (e *encoding) settings(t wire.Target) {
	c := e.chat
	o := &e.out.Options
	*o = options{NumPredict: c.MaxOutput, Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Seed: c.Seed, Stop: c.Stop,
		FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty}
	if t.MaxOutput > 0 {
		o.NumPredict = min(o.NumPredict, t.MaxOutput)
	}
	switch c.Format.Kind {
	case llm.FormatJSON:
		e.out.Format = jsontext.Value(`"json"`)
	case llm.FormatSchema:
		e.out.Format = c.Format.Schema
	}
	e.think(t.Model)
	for _, f := range [...]struct {
		name  string
		given bool
	}{
		{"user", c.User != ""}, {"metadata", len(c.Metadata) > 0}, {"service_tier", c.Tier != ""}, {"prompt_cache_key", c.CacheKey != ""},
		{"verbosity", c.Verbosity != ""}, {"store", c.Store != nil && *c.Store},
	} {
		if f.given {
			e.call.Lose(f.name)
		}
	}
}

// think asks for thinking. Only gpt-oss knows levels; other models refuse
// them.
func (e *encoding) think(model string) {
	r := e.chat.Reasoning
	effort := r.Effort
	if effort == "" {
		effort = wire.Effort(r.Budget)
	}
	switch {
	case effort == "":
	case !r.On():
		e.out.Think = jsontext.Value("false")
	case !strings.Contains(model, "gpt-oss"):
		e.out.Think = jsontext.Value("true")
		if r.Budget >= 0 {
			e.call.Lose("reasoning_effort")
		}
	default:
		switch effort {
		case "minimal":
			effort = "low"
		case "xhigh", "max":
			effort = "high"
		}
		e.out.Think, _ = jsontext.AppendQuote(nil, effort)
	}
}

// tools writes the tools. Ollama cannot be told which to call: those that may
// not be called are left out.
func (e *encoding) tools() *llm.Error {
	ch := e.chat.Choice
	for i := range e.chat.Tools {
		t := &e.chat.Tools[i]
		if t.Kind == llm.ToolSearch && !e.chat.Hosted() {
			e.call.Lose("tools.web_search")
			continue
		}
		if t.Kind == llm.ToolSearch {
			return wire.Unsupported("tools", "the model's vendor cannot be told to search the web; ask another model")
		}
		if ch.Mode == llm.ChoiceNone || len(ch.Names) > 0 && !slices.Contains(ch.Names, t.Name) {
			continue
		}
		out := tool{Type: "function"}
		f := &out.Function
		f.Name, f.Description, f.Parameters = t.Name, t.Description, t.Schema
		if t.Kind == llm.ToolCustom {
			if t.Grammar != nil {
				e.call.Lose("tools.custom.format")
			}
			if e.call.Custom == nil {
				e.call.Custom = map[string]bool{}
			}
			e.call.Custom[t.Name] = true
			f.Parameters = jsontext.Value(`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`)
		}
		if len(f.Parameters) == 0 {
			f.Parameters = jsontext.Value(`{"type":"object","properties":{}}`)
		}
		if t.Strict != nil && *t.Strict {
			e.call.Lose("tools.function.strict")
		}
		if t.Cache != llm.CacheNone {
			e.call.Lose("prompt_cache_breakpoint")
		}
		e.out.Tools = append(e.out.Tools, out)
	}
	if len(e.out.Tools) > 0 {
		if ch.Mode == llm.ChoiceAny {
			e.call.Lose("tool_choice")
		}
		if e.chat.Serial {
			e.call.Lose("parallel_tool_calls")
		}
	}
	return nil
}

// flush writes a message of the user with the pictures that were moved to it.
func (e *encoding) flush() {
	if len(e.moved) > 0 {
		e.out.Messages = append(e.out.Messages, message{Role: "user", Images: e.moved})
		e.moved = nil
	}
}

// message writes a turn. going: it belongs to the turn that goes on, in which
// the model gets its thinking back.
func (e *encoding) message(m *llm.Message, going bool) *llm.Error {
	if m.Role != llm.RoleUser {
		e.flush()
	}
	out := message{Role: "user"}
	switch m.Role {
	case llm.RoleAssistant:
		out.Role = "assistant"
	case llm.RoleSystem:
		out.Role = "system"
	}
	var texts []string
	rest := false
	for i := range m.Blocks {
		b := &m.Blocks[i]
		if b.Cache != llm.CacheNone {
			e.call.Lose("prompt_cache_breakpoint")
		}
		switch b.Kind {
		case llm.BlockResult:
			if err := e.result(b); err != nil {
				return err
			}
			continue
		case llm.BlockThinking:
			if going && m.Role == llm.RoleAssistant {
				out.Thinking += b.Text
			}
			continue
		case llm.BlockCall:
			out.Calls = append(out.Calls, e.callOf(b))
		case llm.BlockHosted:
			e.call.Lose("messages.assistant.tools")
			continue
		default:
			text, image, err := piece(b)
			if err != nil {
				return err
			}
			if image != "" {
				out.Images = append(out.Images, image)
			} else if text != "" {
				texts = append(texts, text)
			}
		}
		rest = true
	}
	if !rest {
		return nil
	}
	sep := "\n\n"
	if m.Role == llm.RoleAssistant {
		sep = "" // its blocks are pieces of one text
	}
	out.Content = strings.Join(texts, sep)
	if m.Role == llm.RoleUser {
		out.Images = append(e.moved, out.Images...)
		e.moved = nil
	}
	e.out.Messages = append(e.out.Messages, out)
	return nil
}

// piece is what a text, picture or file is to Ollama: a text or base64.
func piece(b *llm.Block) (text, image string, _ *llm.Error) {
	switch {
	case b.Kind == llm.BlockText || b.Kind == llm.BlockRefusal:
		return b.Text, "", nil
	case b.Kind == llm.BlockImage && b.Media != nil && b.Media.Data != "":
		return "", b.Media.Data, nil
	case b.Kind == llm.BlockImage:
		return "", "", wire.Unsupported("messages.content.image_url", "Ollama takes no URL of a picture; send its data")
	case b.Kind == llm.BlockFile && b.Media != nil && b.Media.Text != "":
		return b.Media.Text, "", nil
	case b.Media.Video():
		return "", "", wire.Unsupported("messages.content.video", "the model's vendor cannot be sent videos; leave it out or ask another model")
	case b.Kind == llm.BlockAudio:
		return "", "", wire.Unsupported("messages.content.input_audio", "the model's vendor cannot be sent audio; ask another model")
	}
	return "", "", wire.Unsupported("messages.content.file", "the model's vendor cannot be sent this file; ask another model")
}

func (e *encoding) callOf(b *llm.Block) call {
	e.names[b.ID] = b.Name
	out := call{ID: b.ID}
	out.Function.Name = b.Name
	switch args := []byte(b.Text); {
	case b.Custom:
		quoted, _ := jsontext.AppendQuote([]byte(`{"input":`), b.Text)
		out.Function.Arguments = append(quoted, '}')
	case len(args) == 0:
		out.Function.Arguments = jsontext.Value("{}")
	case args[0] == '{' && scan.Valid(args):
		out.Function.Arguments = args
	default: // the model broke them
		e.call.Lose("messages.tool_calls.arguments")
		quoted, _ := jsontext.AppendQuote([]byte(`{"_raw":`), b.Text)
		out.Function.Arguments = append(quoted, '}')
	}
	return out
}

func (e *encoding) result(b *llm.Block) *llm.Error {
	var texts []string
	for i := range b.Result {
		text, image, err := piece(&b.Result[i])
		if err != nil {
			return err
		}
		if image != "" {
			e.call.Lose("messages.tool.content")
			e.moved = append(e.moved, image)
		} else if text != "" {
			texts = append(texts, text)
		}
	}
	out := message{Role: "tool", Content: strings.Join(texts, "\n\n"), ToolName: b.Name, CallID: b.ID}
	if out.ToolName == "" {
		out.ToolName = e.names[b.ID]
	}
	if b.Failed {
		out.Content = "Error: " + out.Content
	}
	e.out.Messages = append(e.out.Messages, out)
	return nil
}
