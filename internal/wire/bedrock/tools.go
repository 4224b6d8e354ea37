package bedrock

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
)

// maxName bounds a tool's name and a call's id.
const maxName = 64

// grounding is Nova's search of the web (recorded with Nova 2 Lite).
const grounding = "nova_grounding"

// Schemas: any object, and the arguments of the function that stands for a tool
// which takes text.
var (
	anyObject    = jsontext.Value(`{"type":"object"}`)
	customSchema = jsontext.Value(`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`)
)

// tools writes the tools and which of them may be called.
func (e *encoding) tools() *llm.Error {
	cfg := &toolConfig{}
	e.reserve()
	for i := range e.chat.Tools {
		t := &e.chat.Tools[i]
		if n := e.chat.Choice.Names; len(n) > 0 && t.Kind != llm.ToolSearch && !slices.Contains(n, t.Name) {
			continue
		}
		if err := e.tool(cfg, t); err != nil {
			return err
		}
	}
	called := e.called()
	if len(cfg.Tools) == 0 && len(e.chat.Choice.Names) > 0 && e.chat.Choice.Mode == llm.ChoiceAny {
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: "tool_choice", Message: "\"tool_choice\" names a tool that is not among \"tools\""}
	}
	none := e.chat.Choice.Mode == llm.ChoiceNone
	if none && len(called) == 0 {
		cfg.Tools = nil
	}
	if len(cfg.Tools) == 0 && len(called) > 0 { // a history of calls is refused without tools
		for _, n := range called {
			cfg.Tools = append(cfg.Tools, tool{Spec: spec(e.name(n), "", anyObject)})
		}
		none = true
	}
	if len(cfg.Tools) == 0 {
		return nil
	}
	e.req.Tools = cfg
	if none {
		if len(e.chat.Tools) > 0 {
			e.call.Lose("tool_choice")
		}
		return nil
	}
	if cfg.Choice = e.choice(); cfg.Choice != nil && e.model.family == claude && e.model.can&anthropic.Force == 0 {
		return wire.Unsupported("tool_choice", "the model cannot be forced to call a tool; let it choose or ask another model")
	}
	return nil
}

// choice is nil where the model is free to call.
func (e *encoding) choice() *toolChoice {
	c := e.chat.Choice
	switch {
	case c.Mode != llm.ChoiceAny:
		return nil // not every model takes the word for auto, which is the default
	case len(c.Names) == 1 && (e.model.family == claude || e.model.family == nova):
		return &toolChoice{Tool: &systemTool{e.name(c.Names[0])}}
	}
	return &toolChoice{Any: &struct{}{}} // among the named ones: no other was sent
}

func (e *encoding) tool(cfg *toolConfig, t *llm.Tool) *llm.Error {
	var s *toolSpec
	switch t.Kind {
	case llm.ToolSearch:
		if e.model.family != nova && !e.chat.Hosted() {
			e.call.Lose("tools.web_search")
			return nil
		}
		if e.model.family != nova {
			return wire.Unsupported("tools", "the model cannot search the web; leave the search tool out or ask another model")
		}
		cfg.Tools = append(cfg.Tools, tool{System: &systemTool{grounding}})
		return nil
	case llm.ToolCustom:
		s = spec(e.name(t.Name), t.Description, customSchema)
		if e.call.Custom == nil {
			e.call.Custom = map[string]bool{}
		}
		e.call.Custom[s.Name] = true
		if t.Grammar != nil {
			e.call.Lose("tools.custom.format")
		}
	default:
		s = spec(e.name(t.Name), t.Description, schemaOr(t.Schema))
		if t.Strict != nil && *t.Strict {
			if e.model.structured() {
				s.Strict = t.Strict
			} else {
				e.call.Lose("tools.function.strict")
			}
		}
	}
	cfg.Tools = append(cfg.Tools, tool{Spec: s})
	if t.Cache != llm.CacheNone {
		if e.model.family == nova { // which caches messages and system only
			e.call.Lose("cache_control")
		} else if p := e.cache(t.Cache); p != nil {
			cfg.Tools = append(cfg.Tools, tool{Cache: p})
		}
	}
	return nil
}

// schemaOr returns a schema, any object's if there is none.
func schemaOr(schema []byte) jsontext.Value {
	if len(schema) == 0 {
		return anyObject
	}
	return schema
}

func spec(name, description string, schema jsontext.Value) *toolSpec {
	s := &toolSpec{Name: name, Description: description}
	s.Schema.JSON = schema
	return s
}

// called returns the names of the tools in the conversation, once each.
func (e *encoding) called() (names []string) {
	for _, m := range e.chat.Messages {
		for i := range m.Blocks {
			if b := &m.Blocks[i]; b.Kind == llm.BlockCall && !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// reserve gives every tool whose name may be sent that name, so that none of
// the others takes it.
func (e *encoding) reserve() {
	keep := func(name string) {
		if tidy(name, "_-") == name {
			e.names[name], e.used[name] = name, true
		}
	}
	for i := range e.chat.Tools {
		keep(e.chat.Tools[i].Name)
	}
	for _, name := range e.called() {
		keep(name)
	}
}

// name returns the name that is sent for a tool, and keeps the way back.
func (e *encoding) name(client string) string {
	if sent, ok := e.names[client]; ok {
		return sent
	}
	sent := e.unused(tidy(client, "_-"))
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
		suffix := "_" + strconv.Itoa(n)
		free = name[:min(len(name), maxName-len(suffix))] + suffix
	}
	e.used[free] = true
	return free
}

// tidy replaces what is neither a letter nor a digit nor in more, and cuts
// the name at maxName. It is never empty.
func tidy(s, more string) string {
	b := []byte(s[:min(len(s), maxName)])
	for i, c := range b {
		if !alphanumeric(c) && strings.IndexByte(more, c) < 0 {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "_"
	}
	return string(b)
}

// format writes the form that the answer must have.
func (e *encoding) format() {
	f := &e.chat.Format
	switch {
	case f.Kind == llm.FormatText:
	case f.Kind == llm.FormatJSON:
		e.call.Lose("response_format")
		e.req.System = append(e.req.System, block{Text: "Answer with one JSON object and nothing else."})
	case e.model.structured():
		out := &outputConfig{textFormat{Type: "json_schema"}}
		out.Format.Structure.Schema = jsonSchema{Schema: string(schemaOr(f.Schema)), Name: f.Name, Description: f.Description}
		e.req.Output = out
	default:
		e.formatTool(f)
	}
}

// formatTool gives a model that cannot be held to a schema a tool whose
// arguments are the answer.
func (e *encoding) formatTool(f *llm.Format) {
	if e.req.Tools == nil {
		e.req.Tools = &toolConfig{}
	}
	t := e.req.Tools
	name := e.unused("answer")
	e.call.FormatTool = name
	text := "Gives the final answer to the user. Call it once, when the answer is known."
	if f.Description != "" {
		text += " The answer: " + f.Description
	}
	t.Tools = append(t.Tools, tool{Spec: spec(name, text, schemaOr(f.Schema))})
	if len(t.Tools) == 1 || e.chat.Choice.Mode == llm.ChoiceNone {
		t.Choice = &toolChoice{Tool: &systemTool{name}}
	} else if t.Choice == nil {
		t.Choice = &toolChoice{Any: &struct{}{}}
	}
}
