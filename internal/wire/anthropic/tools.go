package anthropic

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxName bounds a tool's name in letters.
const maxName = 64

// maxStrict is how many strict tools a request may have (recorded: "Too many
// strict tools (21)").
const maxStrict = 20

// webSearch is the version of the search that all models with tools take.
const webSearch = "web_search_20250305"

// inputSchema is of the function that stands for a custom tool.
const inputSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`

// clean returns s with each letter that is not of [a-zA-Z0-9_-] replaced.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, s)
}

// name returns what a tool is called towards the vendor.
func (w *writer) name(client string) string {
	if s, ok := w.sent[client]; ok {
		return s
	}
	s := clean(client)
	if s == "" {
		s = "tool"
	}
	s = s[:min(len(s), maxName)]
	for i := 2; w.taken(s); i++ {
		tail := "_" + strconv.Itoa(i)
		s = s[:min(len(s), maxName-len(tail))] + tail
	}
	w.sent[client] = s
	if s != client {
		if w.call.Names == nil {
			w.call.Names = map[string]string{}
		}
		w.call.Names[s] = client
	}
	return s
}

func (w *writer) taken(sent string) bool {
	for _, s := range w.sent {
		if s == sent {
			return true
		}
	}
	return false
}

// tools writes the tools that may be called.
func (w *writer) tools() {
	c := w.chat
	for i := range c.Tools { // names that need no change come first
		if n := c.Tools[i].Name; n != "" && n == clean(n) && len(n) <= maxName {
			w.sent[n] = n
		}
	}
	strict := 0
	for i := range c.Tools {
		t := &c.Tools[i]
		if len(c.Choice.Names) > 1 || len(c.Choice.Names) == 1 && c.Choice.Mode != llm.ChoiceAny {
			if !has(c.Choice.Names, t.Name) {
				continue
			}
		}
		out := outTool{Description: t.Description, CacheControl: cacheMark(t.Cache)}
		if t.Kind != llm.ToolSearch {
			out.Name = w.name(t.Name)
		}
		switch t.Kind {
		case llm.ToolSearch:
			out.Type, out.Name, out.Description = webSearch, "web_search", ""
		case llm.ToolCustom:
			out.InputSchema = jsontext.Value(inputSchema)
			if len(t.Grammar) > 0 {
				out.Description = strings.TrimSpace(out.Description + "\n\nThe input must be of this format: " + string(t.Grammar))
			}
			if w.call.Custom == nil {
				w.call.Custom = map[string]bool{}
			}
			w.call.Custom[out.Name] = true
		default:
			out.InputSchema = input(t.Schema)
			if t.Strict != nil && *t.Strict {
				w.strict(&out, &strict)
			}
		}
		w.body.Tools = append(w.body.Tools, out)
	}
}

func has(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// strict holds the tool's arguments to their schema where the vendor can.
func (w *writer) strict(t *outTool, n *int) {
	var c closer
	schema := c.schema(nil, t.InputSchema, 0)
	if w.can&Format == 0 || c.open || c.relaxed || *n == maxStrict {
		w.call.Lose("strict")
		return
	}
	t.InputSchema, t.Strict = schema, true
	*n++
}

// format writes the form that the answer must have: by the vendor's own
// means, by a tool that must be called, or by asking for it.
func (w *writer) format() {
	f := &w.chat.Format
	choice := w.chat.Choice.Mode
	switch f.Kind {
	case llm.FormatJSON:
		w.say = append(w.say, "Answer with one JSON object and nothing else.")
		w.call.Lose("response_format")
		return
	case llm.FormatSchema:
	default:
		return
	}
	if w.can&Format != 0 {
		var c closer
		schema := c.schema(nil, f.Schema, 0)
		if !c.open {
			if c.relaxed {
				w.call.Lose("response_format.schema")
			}
			w.body.OutputConfig = &outputConfig{Format: &outputFormat{Type: "json_schema", Schema: schema}}
			return
		}
	}
	typ, _ := scan.String(scan.Get(f.Schema, "type"))
	if w.can&Force == 0 || typ != "object" && typ != "" || choice == llm.ChoiceAny {
		w.say = append(w.say, "Answer with one JSON value that matches this JSON Schema and nothing else: "+string(f.Schema))
		w.call.Lose("response_format")
		return
	}
	name := f.Name
	if name == "" {
		name = "json"
	}
	if _, clash := w.sent[name]; clash {
		name += "_answer"
	}
	w.call.FormatTool = w.name(name)
	what := f.Description
	if what == "" {
		what = "Gives the answer. Call it once, with the whole answer."
	}
	w.body.Tools = append(w.body.Tools, outTool{Name: w.call.FormatTool, Description: what, InputSchema: input(f.Schema)})
}

// choice writes which tools must be called.
func (w *writer) choice() *llm.Error {
	c := w.chat
	if len(w.body.Tools) == 0 {
		return nil
	}
	t := &toolChoice{}
	switch c.Choice.Mode {
	case llm.ChoiceAuto:
		t.Type = "auto"
	case llm.ChoiceNone:
		t.Type = "none"
	case llm.ChoiceAny:
		t.Type = "any"
		if len(c.Choice.Names) == 1 {
			t.Type, t.Name = "tool", w.name(c.Choice.Names[0])
		}
		if w.can&Force == 0 {
			return wire.Unsupported("tool_choice", "the model cannot be forced to call a tool; let it choose or ask another model")
		}
	case llm.ChoiceUnset:
		if c.Serial {
			t.Type = "auto"
		}
	}
	if w.call.FormatTool != "" {
		*t = toolChoice{Type: "any"}
		if len(w.body.Tools) == 1 || c.Choice.Mode == llm.ChoiceNone {
			*t = toolChoice{Type: "tool", Name: w.call.FormatTool}
		}
	}
	if t.Type == "" {
		return nil
	}
	t.DisableParallelToolUse = c.Serial && t.Type != "none"
	w.body.ToolChoice = t
	return nil
}

// stubs declares the tools of the history where the request has none:
// Anthropic refuses calls of tools that it was not told of. They cannot be
// called.
func (w *writer) stubs() {
	if len(w.body.Tools) > 0 {
		return
	}
	seen := map[string]bool{}
	for _, m := range w.body.Messages {
		for i := range m.Content {
			if n := m.Content[i].Name; m.Content[i].Type == "tool_use" && !seen[n] {
				seen[n] = true
				w.body.Tools = append(w.body.Tools, outTool{Name: n, InputSchema: input(nil)})
			}
		}
	}
	if len(w.body.Tools) > 0 {
		w.body.ToolChoice = &toolChoice{Type: "none"}
	}
}
