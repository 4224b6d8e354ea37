package openai

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// toolDef is an element of tools: OpenAI's nested form, or the flat one of the
// Responses API, which Cursor sends here, too.
type toolDef struct {
	Type     string        `json:"type"`
	Function *toolFunction `json:"function"`
	Custom   *toolCustom   `json:"custom"`
	toolFunction
	InputSchema jsontext.Value `json:"input_schema"`
	Format      jsontext.Value `json:"format"`
	Cache       *cacheControl  `json:"cache_control"`
}

type toolFunction struct {
	Name        loose          `json:"name"`
	Description loose          `json:"description"`
	Parameters  jsontext.Value `json:"parameters"`
	Strict      *bool          `json:"strict"`
}

type toolCustom struct {
	Name        loose          `json:"name"`
	Description loose          `json:"description"`
	Format      jsontext.Value `json:"format"`
}

func (f *toolFunction) tool() llm.Tool {
	t := llm.Tool{Name: string(f.Name), Description: string(f.Description), Strict: f.Strict}
	if !null(f.Parameters) {
		t.Schema = f.Parameters
	}
	return t
}

// tools reads the tools and which of them may be called.
func (r *reader) tools(in *chatBody) *llm.Error {
	var hosted []string // that only their own vendor can run
	for _, raw := range in.Tools {
		var t toolDef
		if err := json.Unmarshal(raw, &t, lenient); err != nil {
			return badTools(err)
		}
		switch {
		case t.Type == "custom":
			c := t.Custom
			if c == nil {
				c = &toolCustom{Name: t.Name, Description: t.Description, Format: t.Format}
			}
			r.add(llm.Tool{Kind: llm.ToolCustom, Name: string(c.Name), Description: string(c.Description), Grammar: grammarOf(c.Format), Cache: t.Cache.cache()})
		case t.Type == "function" || t.Type == "" && (t.Function != nil || t.Name != ""):
			f := t.Function
			if f == nil {
				f = &t.toolFunction
			}
			if null(f.Parameters) {
				f.Parameters = t.InputSchema
			}
			out := f.tool()
			out.Cache = t.Cache.cache()
			r.add(out)
		case strings.Contains(t.Type, "web_search"): // web_search, web_search_preview, openrouter:web_search
			r.add(llm.Tool{Kind: llm.ToolSearch})
		default:
			hosted = append(hosted, "tools."+t.Type)
		}
	}
	for i := range in.Functions {
		r.add(in.Functions[i].tool())
	}
	if !null(in.Search) {
		r.add(llm.Tool{Kind: llm.ToolSearch})
		members(in.Search, func(name string, v jsontext.Value) {
			if !null(v) {
				r.leave("web_search_options."+name, false)
			}
		})
	}
	r.chat.Serial = in.Parallel != nil && !*in.Parallel
	choice := in.ToolChoice
	if null(choice) {
		choice = in.FunctionCall
	}
	err := r.choice(choice)
	for _, name := range hosted {
		r.leave(name, r.chat.Hosted())
	}
	return err
}

func badTools(err error) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: "tools", Message: "\"tools\" must be a list of tools", Err: err}
}

func (r *reader) add(t llm.Tool) {
	if t.Kind == llm.ToolSearch {
		for i := range r.chat.Tools {
			if r.chat.Tools[i].Kind == llm.ToolSearch {
				return
			}
		}
	}
	r.chat.Tools = append(r.chat.Tools, t)
}

// grammarOf brings a custom tool's format into the flat form that the
// Responses API has: {"type":"grammar","syntax":…,"definition":…}. nil stands
// for any text.
func grammarOf(v jsontext.Value) []byte {
	var f struct {
		Type    string         `json:"type"`
		Grammar jsontext.Value `json:"grammar"`
	}
	if null(v) || json.Unmarshal(v, &f, lenient) != nil || f.Type == "text" {
		return nil
	}
	if f.Grammar.Kind() != '{' {
		return v
	}
	out := appendText([]byte(`{"type":`), f.Type)
	members(f.Grammar, func(name string, v jsontext.Value) {
		out = append(member(out, name), v...)
	})
	return append(out, '}')
}

// appendGrammar is grammarOf's reverse.
func appendGrammar(b []byte, flat []byte) []byte {
	b = append(b, `{"type":"grammar","grammar":{`...)
	members(flat, func(name string, v jsontext.Value) {
		if name != "type" {
			b = append(member(b, name), v...)
		}
	})
	return append(b, '}', '}')
}

// named is a tool_choice that names tools, or an element of its list.
type named struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Function *struct {
		Name string `json:"name"`
	} `json:"function"`
	Custom *struct {
		Name string `json:"name"`
	} `json:"custom"`
	Allowed *allowed `json:"allowed_tools"`
	allowed
}

type allowed struct {
	Mode  string  `json:"mode"`
	Tools []named `json:"tools"`
}

func (n *named) name() string {
	switch {
	case n.Function != nil:
		return n.Function.Name
	case n.Custom != nil:
		return n.Custom.Name
	}
	return n.Name
}

func (r *reader) choice(v jsontext.Value) *llm.Error {
	if null(v) {
		return nil
	}
	c := &r.chat.Choice
	if v.Kind() == '"' {
		var s string
		_ = json.Unmarshal(v, &s, lenient)
		mode, ok := modes[s]
		if !ok {
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: "tool_choice", Message: "\"tool_choice\" must be none, auto, required or name a tool"}
		}
		c.Mode = mode
		return nil
	}
	var n named
	if err := json.Unmarshal(v, &n, lenient); err != nil {
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: "tool_choice", Message: "\"tool_choice\" must be none, auto, required or name a tool", Err: err}
	}
	if n.Type == "allowed_tools" {
		a := n.Allowed
		if a == nil {
			a = &n.allowed
		}
		if c.Mode = modes[a.Mode]; c.Mode == llm.ChoiceUnset {
			c.Mode = llm.ChoiceAuto
		}
		for i := range a.Tools {
			c.Names = append(c.Names, a.Tools[i].name())
		}
		return nil
	}
	c.Mode = llm.ChoiceAny
	if name := n.name(); name != "" {
		c.Names = []string{name}
	} else if mode, ok := modes[n.Type]; ok { // {"type":"auto"}, Anthropic's way
		c.Mode = mode
	} else {
		r.leave("tool_choice", true)
	}
	return nil
}

// modes are the words of tool_choice; "any" is Mistral's.
var modes = map[string]llm.ChoiceMode{"none": llm.ChoiceNone, "auto": llm.ChoiceAuto, "required": llm.ChoiceAny, "any": llm.ChoiceAny}
