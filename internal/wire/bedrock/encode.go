package bedrock

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
)

// request is the body of Converse and ConverseStream.
type request struct {
	Messages   []turn            `json:"messages"`
	System     []block           `json:"system,omitempty"`
	Inference  inference         `json:"inferenceConfig,omitzero"`
	Tools      *toolConfig       `json:"toolConfig,omitempty"`
	Additional additional        `json:"additionalModelRequestFields,omitzero"`
	Paths      []string          `json:"additionalModelResponseFieldPaths,omitempty"`
	Output     *outputConfig     `json:"outputConfig,omitempty"`
	Tier       *named            `json:"serviceTier,omitempty"`
	Metadata   map[string]string `json:"requestMetadata,omitempty"`
}

type inference struct {
	MaxTokens     int64    `json:"maxTokens,omitzero"`
	Temperature   *float64 `json:"temperature,omitempty"`
	TopP          *float64 `json:"topP,omitempty"`
	StopSequences []string `json:"stopSequences,omitempty"`
}

// named is an object that only says its type.
type named struct {
	Type string `json:"type"`
}

// additional is what models are told in their own words.
type additional struct {
	Thinking     *thinking      `json:"thinking,omitempty"`         // Claude
	OutputEffort *effort        `json:"output_config,omitempty"`    // Claude
	TopK         *int64         `json:"top_k,omitempty"`            // Claude, Mistral
	K            *int64         `json:"k,omitempty"`                // Cohere
	Nova         *novaInference `json:"inferenceConfig,omitempty"`  // Nova
	NovaThinking *novaThinking  `json:"reasoningConfig,omitempty"`  // Nova 2
	Effort       string         `json:"reasoning_effort,omitempty"` // gpt-oss
}

type thinking struct {
	Type    string `json:"type"`
	Budget  int64  `json:"budget_tokens,omitzero"`
	Display string `json:"display,omitempty"`
}

type effort struct {
	Effort string `json:"effort"`
}

type novaInference struct {
	TopK int64 `json:"topK"`
}

type novaThinking struct {
	Type   string `json:"type"`
	Effort string `json:"maxReasoningEffort,omitempty"`
}

type toolConfig struct {
	Tools  []tool      `json:"tools"`
	Choice *toolChoice `json:"toolChoice,omitempty"`
}

type tool struct {
	Spec   *toolSpec   `json:"toolSpec,omitempty"`
	System *systemTool `json:"systemTool,omitempty"`
	Cache  *cachePoint `json:"cachePoint,omitempty"`
}

type toolSpec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Schema      struct {
		JSON jsontext.Value `json:"json"`
	} `json:"inputSchema"`
	Strict *bool `json:"strict,omitempty"`
}

type systemTool struct {
	Name string `json:"name"`
}

type toolChoice struct {
	Any  *struct{}   `json:"any,omitzero"`
	Tool *systemTool `json:"tool,omitempty"`
}

type outputConfig struct {
	Format textFormat `json:"textFormat"`
}

type textFormat struct {
	Type      string `json:"type"`
	Structure struct {
		Schema jsonSchema `json:"jsonSchema"`
	} `json:"structure"`
}

type jsonSchema struct {
	Schema      string `json:"schema"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

// encoding is one request on its way into Converse's words.
type encoding struct {
	chat  *llm.Chat
	to    wire.Target
	model model
	call  *wire.Call
	req   request
	names map[string]string // the client's tool names → those sent
	used  map[string]bool   // names that were sent
	docs  map[string]bool   // names of documents, which must differ
}

// Encode writes a chat for a model on Bedrock. See wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	e := &encoding{chat: c, to: t, model: modelOf(t.Model), call: &wire.Call{}, names: map[string]string{}, used: map[string]bool{}, docs: map[string]bool{}}
	if c.LogProbs {
		return nil, wire.Unsupported("logprobs", "Bedrock gives no log probabilities; leave it out or ask another model")
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
	e.inference()
	e.hints()
	body, err := json.Marshal(&e.req, lenient, json.Deterministic(true))
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "the request holds JSON that is broken; check the schemas of its tools", Err: err}
	}
	e.call.Body = body
	return e.call, nil
}

// hints writes what is no part of the answer's meaning.
func (e *encoding) hints() {
	c := e.chat
	switch c.Tier {
	case "default", "flex", "priority":
		e.req.Tier = &named{c.Tier}
	case "", "auto":
	default:
		e.call.Lose("service_tier")
	}
	e.metadata()
	for _, h := range [...]struct {
		name string
		lost bool
	}{
		{"seed", c.Seed != nil},
		{"frequency_penalty", c.FrequencyPenalty != nil && *c.FrequencyPenalty != 0},
		{"presence_penalty", c.PresencePenalty != nil && *c.PresencePenalty != 0},
		{"user", c.User != ""},
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

// metadata writes pairs that Bedrock's log of invocations may hold: at most
// 16, of the letters that the API allows.
func (e *encoding) metadata() {
	for _, p := range e.chat.Metadata {
		if len(e.req.Metadata) == 16 || p.Name == "" || !loggable(p.Name) || !loggable(p.Value) {
			e.call.Lose("metadata")
			continue
		}
		if e.req.Metadata == nil {
			e.req.Metadata = map[string]string{}
		}
		e.req.Metadata[p.Name] = p.Value
	}
}

func loggable(s string) bool {
	if len(s) > 256 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alphanumeric(s[i]) && strings.IndexByte(" :_@$#=/+,-.", s[i]) < 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// inference writes the bounds and the sampling.
func (e *encoding) inference() {
	c, in := e.chat, &e.req.Inference
	if in.MaxTokens == 0 {
		in.MaxTokens = c.MaxOutput
	}
	if e.to.MaxOutput > 0 {
		in.MaxTokens = min(in.MaxTokens, e.to.MaxOutput)
	}
	for _, s := range c.Stop {
		if strings.TrimSpace(s) == "" { // refused by Claude
			e.call.Lose("stop")
			continue
		}
		in.StopSequences = append(in.StopSequences, s)
	}
	if len(in.StopSequences) > 0 && e.model.family == claude {
		e.req.Paths = []string{"/stop_sequence"}
		if e.to.Stream {
			e.req.Paths = []string{"/delta/stop_sequence"}
		}
	}
	e.sampling()
}

// sampling writes temperature, top_p and top_k as far as the model takes
// them, with the thinking that it does.
func (e *encoding) sampling() {
	c, in, x := e.chat, &e.req.Inference, &e.req.Additional
	fixed := !e.model.sampling() || x.NovaThinking != nil && x.NovaThinking.Effort == "high"
	thinks := x.Thinking != nil && x.Thinking.Type != "disabled"
	if t := c.Temperature; t != nil {
		switch {
		case fixed || thinks:
			if *t != 1 {
				e.call.Lose("temperature")
			}
		case *t > 1: // Converse's range is 0 to 1
			one := 1.0
			in.Temperature = &one
			e.call.Lose("temperature")
		default:
			in.Temperature = t
		}
	}
	if p := c.TopP; p != nil {
		// Not every Claude takes temperature and top_p; while it thinks, 0.95 to
		// 1.
		both := e.model.family == claude && e.model.can&anthropic.Both == 0 && in.Temperature != nil
		if fixed || both || thinks && (*p < 0.95 || *p > 1) {
			if *p != 1 {
				e.call.Lose("top_p")
			}
		} else {
			in.TopP = p
		}
	}
	if k := c.TopK; k != nil {
		switch {
		case fixed || thinks:
			e.call.Lose("top_k")
		case e.model.family == claude, e.model.family == mistral:
			x.TopK = k
		case e.model.family == cohere:
			x.K = k
		case e.model.family == nova:
			x.Nova = &novaInference{*k}
		default:
			e.call.Lose("top_k")
		}
	}
}

// thinking writes how much the model should think.
func (e *encoding) thinking() {
	r := e.chat.Reasoning
	if !r.On() {
		switch {
		case r.Effort != "none":
		case e.model.can&anthropic.Always != 0:
			e.req.Additional.Thinking, e.req.Additional.OutputEffort = &thinking{Type: "adaptive"}, &effort{"low"}
			e.call.Lose("reasoning_effort")
		case e.model.can&anthropic.Thinks != 0:
			e.req.Additional.Thinking = &thinking{Type: "disabled"}
		}
		return
	}
	switch {
	case e.model.can&(anthropic.Budget|anthropic.Adaptive) != 0:
		e.claudeThinking(r)
	case e.model.family == nova && e.model.version >= 200:
		e.novaThinking(r)
	case e.model.family == gptOSS:
		e.req.Additional.Effort = word(r)
	default:
		e.call.Lose("reasoning_effort")
	}
}

// word is an effort among low, medium and high.
func word(r llm.Reasoning) string {
	w := r.Effort
	if w == "" || w == "none" {
		w = wire.Effort(r.Budget)
	}
	switch w {
	case "minimal":
		return "low"
	case "xhigh", "max":
		return "high"
	}
	return w
}

// leastBudget is the least that Claude may be given to think, in tokens.
const leastBudget = 1024

func (e *encoding) claudeThinking(r llm.Reasoning) {
	can := e.model.can
	th := &thinking{Type: "adaptive"}
	if r.Summary != "" && can&anthropic.Hides != 0 {
		th.Display = "summarized"
	}
	if can&anthropic.Adaptive != 0 && (r.Budget <= 0 || can&anthropic.Budget == 0) {
		w := r.Effort
		if w == "" || w == "none" {
			w = wire.Effort(r.Budget)
		}
		switch {
		case w == "minimal":
			w = "low"
		case w == "xhigh" && can&anthropic.XHigh == 0:
			w = "high"
		}
		e.req.Additional.Thinking, e.req.Additional.OutputEffort = th, &effort{w}
		return
	}
	if t := e.req.Tools; t != nil && t.Choice != nil || e.openTurn() { // a budget excludes a forced tool
		e.call.Lose("reasoning_effort")
		return
	}
	budget := r.Budget
	if budget <= 0 {
		if budget = wire.Budget(r.Effort); budget == 0 {
			budget = wire.Budget("medium")
		}
	}
	budget = max(budget, leastBudget)
	bound := e.chat.MaxOutput
	switch {
	case bound == 0:
		bound = e.to.MaxOutput
		if bound == 0 {
			bound = budget + 4096
		}
	case bound < 2*leastBudget:
		bound += budget
	}
	if e.to.MaxOutput > 0 {
		bound = min(bound, e.to.MaxOutput)
	}
	if bound <= leastBudget { // a model of so small answers does not think
		e.call.Lose("reasoning_effort")
		return
	}
	th.Type, th.Display, th.Budget = "enabled", "", min(budget, bound-1)
	e.req.Additional.Thinking, e.req.Inference.MaxTokens = th, bound
}

// openTurn reports whether the conversation ends in results of calls whose
// thinking is missing: Claude before 4.6 then refuses to think.
func (e *encoding) openTurn() bool {
	last := len(e.req.Messages) - 1
	if last < 1 || e.req.Messages[last].Content[0].Result == nil {
		return false
	}
	for ; last >= 0; last-- {
		if m := e.req.Messages[last]; m.Role == "assistant" {
			return m.Content[0].Reasoning == nil
		}
	}
	return true
}

// novaThinking: with high effort Nova takes no bound of output tokens and no
// sampling.
func (e *encoding) novaThinking(r llm.Reasoning) {
	w := word(r)
	if w == "high" && e.chat.MaxOutput > 0 {
		w = "medium"
		e.call.Lose("reasoning_effort")
	}
	e.req.Additional.NovaThinking = &novaThinking{"enabled", w}
}
