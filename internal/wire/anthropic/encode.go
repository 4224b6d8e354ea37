package anthropic

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// defaultOutput is max_tokens, which Anthropic wants in each request, where
// neither the client nor the model's limit says one.
const defaultOutput = 4096

// body is a request as Anthropic takes it.
type body struct {
	Version       string        `json:"anthropic_version,omitzero"` // Vertex
	Model         string        `json:"model,omitzero"`
	MaxTokens     int64         `json:"max_tokens,omitzero"`
	System        []outBlock    `json:"system,omitzero"`
	Messages      []outTurn     `json:"messages"`
	Tools         []outTool     `json:"tools,omitzero"`
	ToolChoice    *toolChoice   `json:"tool_choice,omitzero"`
	Thinking      *thinking     `json:"thinking,omitzero"`
	OutputConfig  *outputConfig `json:"output_config,omitzero"`
	Temperature   *float64      `json:"temperature,omitzero"`
	TopP          *float64      `json:"top_p,omitzero"`
	TopK          *int64        `json:"top_k,omitzero"`
	StopSequences []string      `json:"stop_sequences,omitzero"`
	Metadata      *metadata     `json:"metadata,omitzero"`
	ServiceTier   string        `json:"service_tier,omitzero"`
	Stream        bool          `json:"stream,omitzero"`
}

type outTurn struct {
	Role    string     `json:"role"`
	Content []outBlock `json:"content"`
}

// outBlock is a block of a request. raw, where it is set, is all of it.
type outBlock struct {
	Type         string         `json:"type"`
	Text         string         `json:"text,omitzero"`
	Source       *source        `json:"source,omitzero"`
	Title        string         `json:"title,omitzero"`
	ID           string         `json:"id,omitzero"`
	Name         string         `json:"name,omitzero"`
	Input        jsontext.Value `json:"input,omitzero"`
	ToolUseID    string         `json:"tool_use_id,omitzero"`
	Content      []outBlock     `json:"content,omitzero"`
	IsError      bool           `json:"is_error,omitzero"`
	Thinking     *string        `json:"thinking,omitzero"`
	Signature    string         `json:"signature,omitzero"`
	Data         string         `json:"data,omitzero"`
	CacheControl *cacheControl  `json:"cache_control,omitzero"`
	raw          jsontext.Value
}

// MarshalJSONTo writes the block.
func (b outBlock) MarshalJSONTo(enc *jsontext.Encoder) error {
	if b.raw != nil {
		return enc.WriteValue(b.raw)
	}
	type plain outBlock
	return json.MarshalEncode(enc, plain(b))
}

type outTool struct {
	Type         string         `json:"type,omitzero"`
	Name         string         `json:"name"`
	Description  string         `json:"description,omitzero"`
	InputSchema  jsontext.Value `json:"input_schema,omitzero"`
	Strict       bool           `json:"strict,omitzero"`
	CacheControl *cacheControl  `json:"cache_control,omitzero"`
}

func cacheMark(k llm.Cache) *cacheControl {
	switch k {
	case llm.CacheShort:
		return &cacheControl{Type: "ephemeral"}
	case llm.CacheHour:
		return &cacheControl{Type: "ephemeral", TTL: "1h"}
	}
	return nil
}

// writer makes a body of a Chat.
type writer struct {
	chat   *llm.Chat
	target wire.Target
	can    Ability
	call   *wire.Call
	body   body
	sent   map[string]string // tool names: the client's → sent
	ids    map[string]string // of calls: the client's → sent, the last with it
	used   map[string]bool   // ids that were sent
	say    []string          // instructions of ours, behind the system's
}

// Encode writes a chat for a target.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	w, err := write(c, t)
	if err != nil {
		return nil, err
	}
	return w.finish()
}

// CountRequest writes the body of a request that counts the prompt's tokens.
func CountRequest(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	w, err := write(c, t)
	if err != nil {
		return nil, err
	}
	b := &w.body
	w.body = body{Version: b.Version, Model: t.Model, System: b.System, Messages: b.Messages, Tools: b.Tools,
		ToolChoice: b.ToolChoice, Thinking: b.Thinking, OutputConfig: b.OutputConfig}
	return w.finish()
}

// ParseCount reads the answer to a request that counts tokens.
func ParseCount(b []byte) (int64, bool) { return scan.Int(scan.Get(b, "input_tokens")) }

// AppendCount appends the answer to a client that asked for a count.
func AppendCount(dst []byte, n int64) []byte {
	return append(strconv.AppendInt(append(dst, `{"input_tokens":`...), n, 10), '}')
}

func (w *writer) finish() (*wire.Call, *llm.Error) {
	out, err := json.Marshal(&w.body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "a JSON Schema of the request is not valid JSON", Err: err}
	}
	w.call.Body = out
	return w.call, nil
}

func write(c *llm.Chat, t wire.Target) (*writer, *llm.Error) {
	w := &writer{chat: c, target: t, can: AbilitiesOf(t.Model), call: &wire.Call{}, sent: map[string]string{}, ids: map[string]string{}, used: map[string]bool{}}
	if err := w.call.Leave(c.Left); err != nil {
		return nil, err
	}
	if c.LogProbs {
		return nil, wire.Unsupported("logprobs", "the model's vendor gives no log probabilities; leave it out or ask another model")
	}
	w.body.Model, w.body.Stream = t.Model, t.Stream
	if t.Dialect == Vertex {
		w.body.Model, w.body.Version = "", "vertex-2023-10-16"
	}
	w.tools()
	w.format()
	if err := w.choice(); err != nil {
		return nil, err
	}
	if err := w.messages(); err != nil {
		return nil, err
	}
	w.stubs()
	w.maxTokens()
	w.think()
	w.sampling()
	w.hints()
	return w, nil
}

// hints writes what the answer does not hang on, and notes what cannot be
// told.
func (w *writer) hints() {
	c := w.chat
	for _, s := range c.Stop {
		if strings.TrimSpace(s) == "" { // refused by Anthropic
			w.call.Lose("stop")
			continue
		}
		w.body.StopSequences = append(w.body.StopSequences, s)
	}
	if c.User != "" {
		w.body.Metadata = &metadata{UserID: c.User}
	}
	switch c.Tier {
	case "", "auto":
		w.body.ServiceTier = c.Tier
	case "default":
		w.body.ServiceTier = "standard_only"
	default:
		w.call.Lose("service_tier")
	}
	for _, x := range [...]struct {
		field string
		lost  bool
	}{
		{"frequency_penalty", c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0},
		{"presence_penalty", c.PresencePenalty != nil && *c.PresencePenalty != 0},
		{"seed", c.Seed != nil},
		{"metadata", len(c.Metadata) > 0},
		{"prompt_cache_key", c.CacheKey != ""},
		{"verbosity", c.Verbosity != ""},
		{"store", c.Store != nil && *c.Store},
	} {
		if x.lost {
			w.call.Lose(x.field)
		}
	}
}

// sampling writes temperature, top_p and top_k as far as the model takes
// them. Their default, 1, is never lost.
func (w *writer) sampling() {
	c := w.chat
	one := func(f *float64) bool { return f == nil || *f == 1 }
	if w.can&Sampling == 0 {
		if !one(c.Temperature) {
			w.call.Lose("temperature")
		}
		if !one(c.TopP) {
			w.call.Lose("top_p")
		}
		if c.TopK != nil {
			w.call.Lose("top_k")
		}
		return
	}
	w.body.TopK, w.body.TopP = c.TopK, c.TopP
	if t := c.Temperature; t != nil {
		v := min(max(*t, 0), 1)
		if v != *t {
			w.call.Lose("temperature")
		}
		w.body.Temperature = &v
	}
	if w.body.Temperature != nil && w.body.TopP != nil && w.can&Both == 0 {
		if !one(c.TopP) && one(c.Temperature) {
			w.body.Temperature = nil
			return
		}
		w.body.TopP = nil
		if !one(c.TopP) {
			w.call.Lose("top_p")
		}
	}
}

// maxTokens writes the bound on the answer.
func (w *writer) maxTokens() {
	n, most := w.chat.MaxOutput, w.target.MaxOutput
	if n == 0 {
		n = most
	}
	if n == 0 {
		n = defaultOutput
	}
	if most > 0 {
		n = min(n, most) // more is refused, and cannot be had
	}
	w.body.MaxTokens = n
}
