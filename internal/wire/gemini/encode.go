package gemini

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// writer makes a request of a chat.
type writer struct {
	chat   *llm.Chat
	target wire.Target
	model  model
	out    *wire.Call
	req    request
	sent   map[string]string // the client's tool names → what is sent, where they differ
}

// Encode writes a chat for a model of the Gemini API or of Vertex AI. See
// wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	w, err := write(c, t)
	if err != nil {
		return nil, err
	}
	return w.marshal(&w.req)
}

func (w *writer) marshal(v any) (*wire.Call, *llm.Error) {
	body, err := json.Marshal(v, plain)
	if err != nil {
		var semantic *json.SemanticError
		if errors.As(err, &semantic) {
			return nil, invalid("messages", "a text, an argument or a schema is no valid JSON")
		}
		return nil, invalid("messages", "a text, an argument or a schema cannot be written as JSON")
	}
	w.out.Body = body
	return w.out, nil
}

func write(c *llm.Chat, t wire.Target) (*writer, *llm.Error) {
	w := &writer{chat: c, target: t, model: modelOf(t.Model), out: &wire.Call{}}
	if err := w.out.Leave(c.Left); err != nil {
		return nil, err
	}
	w.names()
	for _, step := range [...]func() *llm.Error{w.tools, w.generation, w.messages} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	w.choice()
	w.rest()
	return w, nil
}

// rest is what is not about the answer's content.
func (w *writer) rest() {
	c := w.chat
	vertex := w.target.Dialect == Vertex
	if c.Serial && len(c.Tools) > 0 {
		w.out.Lose("parallel_tool_calls")
	}
	if c.CacheKey != "" {
		w.out.Lose("prompt_cache_key")
	}
	if c.Verbosity != "" {
		w.out.Lose("verbosity")
	}
	if !vertex {
		w.req.Store = c.Store
	} else if c.Store != nil {
		w.out.Lose("store")
	}
	switch {
	case c.Tier == "" || c.Tier == "auto":
	case !vertex && c.Tier == "default":
		w.req.ServiceTier = "standard"
	case !vertex && (c.Tier == "flex" || c.Tier == "priority"):
		w.req.ServiceTier = word(c.Tier)
	case c.Tier == "flex" || c.Tier == "priority":
		w.out.Header = http.Header{vertexTier: {c.Tier}}
	case c.Tier != "default":
		w.out.Lose("service_tier")
	}
	w.labels(vertex)
}

// vertexTier is the header by which Vertex AI is told the tier (its pages on
// Flex PayGo and Priority PayGo, 2026-11).
const vertexTier = "X-Vertex-Ai-Llm-Shared-Request-Type"

// labels writes metadata and end user where the vendor has labels.
func (w *writer) labels(vertex bool) {
	var b []byte
	for _, p := range append(w.chat.Metadata[:len(w.chat.Metadata):len(w.chat.Metadata)], llm.Pair{Name: "user", Value: w.chat.User}) {
		field := "metadata"
		if p.Name == "user" && p.Value == w.chat.User {
			field = "user"
		}
		switch {
		case field == "user" && p.Value == "":
		case !vertex || !label(p.Name) || !label(p.Value):
			w.out.Lose(field)
		default:
			b = append(quote(append(b, ','), p.Name), ':')
			b = quote(b, p.Value)
		}
	}
	if len(b) > 0 {
		b[0] = '{'
		w.req.Labels = append(b, '}')
	}
}

// label reports whether Google Cloud takes s in a label: up to 63 of lower
// case letters, digits, underscores and dashes.
func label(s string) bool {
	if len(s) > 63 {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// names finds what is sent for tool names that Gemini would refuse.
func (w *writer) names() {
	used := map[string]bool{}
	for _, t := range w.chat.Tools {
		used[t.Name] = true
	}
	w.sent = map[string]string{}
	change := func(name string) {
		if name == "" || w.sent[name] != "" || name == legal(name) {
			return
		}
		s := legal(name)
		for n := 2; used[s]; n++ {
			suffix := "_" + strconv.Itoa(n)
			s = s[:min(len(s), maxName-len(suffix))] + suffix
		}
		used[s] = true
		w.sent[name] = s
		if w.out.Names == nil {
			w.out.Names = map[string]string{}
		}
		w.out.Names[s] = name
	}
	for _, t := range w.chat.Tools {
		change(t.Name)
	}
	for _, m := range w.chat.Messages {
		for i := range m.Blocks {
			if m.Blocks[i].Kind == llm.BlockCall {
				change(m.Blocks[i].Name)
			}
		}
	}
}

// maxName is the longest name of a function.
const maxName = 64

// legal returns name with what Gemini does not take in the name of a function
// replaced: letters, digits, underscores, dots, colons and dashes, a letter or
// an underscore first.
func legal(name string) string {
	b := make([]byte, 0, len(name)+1)
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		other := c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-'
		switch {
		case letter || other && i > 0:
			b = append(b, c)
		case other:
			b = append(b, '_', c)
		default:
			b = append(b, '_')
		}
	}
	return string(b[:min(len(b), maxName)])
}

func (w *writer) name(name string) string {
	if s := w.sent[name]; s != "" {
		return s
	}
	return name
}

// inputSchema is the schema of a function that stands for a custom tool.
const inputSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`

func (w *writer) tools() *llm.Error {
	c := w.chat
	var functions list[declaration]
	search := false
	for i := range c.Tools {
		t := &c.Tools[i]
		if t.Cache != llm.CacheNone {
			w.out.Lose("cache_control")
		}
		switch t.Kind {
		case llm.ToolSearch:
			search = true
		case llm.ToolCustom:
			functions = append(functions, w.custom(t))
		default:
			d := declaration{Name: w.name(t.Name), Description: t.Description}
			if hasMembers(t.Schema) {
				d.ParametersJSONSchema = t.Schema
			}
			functions = append(functions, d)
		}
	}
	if search && len(functions) > 0 && !w.model.three && !c.Hosted() {
		w.out.Lose("tools.web_search")
		search = false
	}
	if search && len(functions) > 0 && !w.model.three {
		return wire.Unsupported("tools", "models before Gemini 3 cannot search the web and call functions in one request; leave one out")
	}
	if c.Format.Kind != llm.FormatText && !w.model.three {
		if search {
			return wire.Unsupported("response_format", "models before Gemini 3 cannot search the web and answer in a given format; leave one out")
		}
		functions = w.formatted(functions)
	}
	if len(functions) > 0 {
		w.req.Tools = append(w.req.Tools, tool{FunctionDeclarations: functions})
	}
	if search {
		w.req.Tools = append(w.req.Tools, tool{GoogleSearch: jsontext.Value("{}")})
	}
	return nil
}

func (w *writer) custom(t *llm.Tool) declaration {
	d := declaration{Name: w.name(t.Name), Description: t.Description, ParametersJSONSchema: jsontext.Value(inputSchema)}
	if len(t.Grammar) > 0 {
		d.Description = strings.TrimSpace(d.Description + "\n\nThe input must follow this format: " + string(t.Grammar))
		w.out.Lose("tools.custom.format")
	}
	if w.out.Custom == nil {
		w.out.Custom = map[string]bool{}
	}
	w.out.Custom[d.Name] = true
	return d
}

// formatted deals with functions beside a format, which models before Gemini
// 3 refuse together: where functions may not be called they are left out,
// else a function stands for the format.
func (w *writer) formatted(functions list[declaration]) list[declaration] {
	c := w.chat
	if len(functions) == 0 || c.Choice.Mode == llm.ChoiceNone {
		return nil
	}
	if c.Format.Kind == llm.FormatJSON {
		w.out.Lose("response_format")
		return functions
	}
	name := "final_answer"
	for n := 2; taken(functions, name); n++ {
		name = "final_answer_" + strconv.Itoa(n)
	}
	w.out.FormatTool = name
	return append(functions, declaration{
		Name:                 name,
		Description:          "Gives the final answer to the user. Call it once nothing else is to be called.",
		ParametersJSONSchema: c.Format.Schema,
	})
}

func taken(functions list[declaration], name string) bool {
	for i := range functions {
		if functions[i].Name == name {
			return true
		}
	}
	return false
}

func hasMembers(object []byte) bool {
	ms, err := scan.Object(nil, object)
	return err == nil && len(ms) > 0
}

// choice writes toolConfig. Schemas are kept to in modes ANY and VALIDATED
// alone.
func (w *writer) choice() {
	functions, search := false, false
	for i := range w.req.Tools {
		functions = functions || len(w.req.Tools[i].FunctionDeclarations) > 0
		search = search || len(w.req.Tools[i].GoogleSearch) > 0
	}
	if !functions {
		return
	}
	c := callingConfig{}
	switch w.chat.Choice.Mode {
	case llm.ChoiceAuto:
		c.Mode = "AUTO"
	case llm.ChoiceNone:
		c.Mode = "NONE"
	case llm.ChoiceAny:
		c.Mode = "ANY"
	}
	if w.out.FormatTool != "" {
		c.Mode = "ANY"
	}
	names := w.chat.Choice.Names
	if len(names) == 0 && w.out.FormatTool != "" && w.chat.Choice.Mode == llm.ChoiceAny { // not the one for the format
		for i := range w.chat.Tools {
			names = append(names, w.chat.Tools[i].Name)
		}
	}
	if len(names) > 0 && c.Mode != "NONE" {
		if c.Mode != "ANY" {
			c.Mode = "VALIDATED"
		}
		for _, n := range names {
			c.AllowedFunctionNames = append(c.AllowedFunctionNames, w.name(n))
		}
		if w.out.FormatTool != "" && w.chat.Choice.Mode != llm.ChoiceAny {
			c.AllowedFunctionNames = append(c.AllowedFunctionNames, w.out.FormatTool)
		}
	}
	if (c.Mode == "" || c.Mode == "AUTO") && w.strict() {
		if w.model.thinking == noThinking && !w.model.three {
			w.out.Lose("tools.strict") // VALIDATED came with Gemini 2.5
		} else {
			c.Mode = "VALIDATED"
		}
	}
	config := toolConfig{IncludeServerSideToolInvocations: search && w.target.Dialect != Vertex}
	if c.Mode != "" {
		config.FunctionCallingConfig = &c
	}
	if c.Mode != "" || config.IncludeServerSideToolInvocations {
		w.req.ToolConfig = &config
	}
}

func (w *writer) strict() bool {
	for i := range w.chat.Tools {
		if s := w.chat.Tools[i].Strict; s != nil && *s {
			return true
		}
	}
	return false
}

// maxStops is the most stop sequences that Gemini takes.
const maxStops = 5

func (w *writer) generation() *llm.Error {
	c := w.chat
	if len(c.Stop) > maxStops {
		return wire.Unsupported("stop", "this model's vendor takes at most 5 stop sequences")
	}
	g := &generationConfig{
		Temperature: c.Temperature, TopP: c.TopP, TopK: (*number)(c.TopK), StopSequences: c.Stop,
		FrequencyPenalty: c.FrequencyPenalty, PresencePenalty: c.PresencePenalty, MaxOutputTokens: number(c.MaxOutput),
		ResponseLogprobs: c.LogProbs,
	}
	if c.LogProbs {
		g.Logprobs = number(c.TopLogProbs)
	}
	if t := c.Temperature; t != nil && *t > 2 {
		two := 2.0
		g.Temperature = &two
		w.out.Lose("temperature")
	}
	if m := w.target.MaxOutput; m > 0 && c.MaxOutput > m {
		g.MaxOutputTokens = number(m) // no more could come anyway
	}
	if c.Seed != nil { // an int32; the same seed gives the same one
		seed := number(int32(uint64(*c.Seed) & (1<<31 - 1)))
		g.Seed = &seed
	}
	if w.out.FormatTool == "" && !w.lost("response_format") {
		switch c.Format.Kind {
		case llm.FormatJSON:
			g.ResponseMIMEType = "application/json"
		case llm.FormatSchema:
			g.ResponseMIMEType, g.ResponseJSONSchema = "application/json", c.Format.Schema
		}
	}
	g.ThinkingConfig = w.model.config(c.Reasoning, int64(g.MaxOutputTokens), w.out)
	if !g.empty() {
		w.req.GenerationConfig = g
	}
	return nil
}

func (w *writer) lost(field string) bool {
	for _, f := range w.out.Lossy {
		if f == field {
			return true
		}
	}
	return false
}

func (g *generationConfig) empty() bool {
	return g.Temperature == nil && g.TopP == nil && g.TopK == nil && g.StopSequences == nil && g.FrequencyPenalty == nil &&
		g.PresencePenalty == nil && g.MaxOutputTokens == 0 && g.Seed == nil && g.ResponseMIMEType == "" &&
		g.ThinkingConfig == nil && !g.ResponseLogprobs
}
