package responses

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// tool is a tool in the protocol's shape, in Cursor's (input_schema, no type)
// and in that of chat completions (nested).
type tool struct {
	Type        string           `json:"type"`
	Name        string           `json:"name"`
	Description string           `json:"description"`
	Parameters  jsontext.Value   `json:"parameters"`
	InputSchema jsontext.Value   `json:"input_schema"`
	Strict      *bool            `json:"strict"`
	Format      jsontext.Value   `json:"format"`
	Tools       []jsontext.Value `json:"tools"`     // of a namespace
	Execution   string           `json:"execution"` // of a search of tools
	Function    *tool            `json:"function"`
	Custom      *tool            `json:"custom"`
	Rest        jsontext.Value   `json:",embed"`
}

// tools reads a list of tools: the request's, a namespace's, or one that an
// item of the input adds.
func (r *reader) tools(list string, in []jsontext.Value, space string) *llm.Error {
	if space == "" { // a namespace gives way to these
		for _, v := range in {
			if name, ok := scan.String(scan.Get(v, "name")); ok {
				r.reserve(name)
			}
		}
	}
	for i, v := range in {
		at := index(list, i)
		var t tool
		if err := json.Unmarshal(v, &t, lax); err != nil {
			if name, _ := scan.String(scan.Get(v, "type")); name != "" && name != typeFunction && name != typeCustom {
				r.leave(at, true)
				continue
			}
			return invalid(err, at)
		}
		if err := r.tool(at, &t, space); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) tool(at string, t *tool, space string) *llm.Error {
	kind := t.Type
	if t.Function != nil && (kind == "" || kind == typeFunction) {
		kind, t = typeFunction, t.Function
	} else if t.Custom != nil && (kind == "" || kind == typeCustom) {
		kind, t = typeCustom, t.Custom
	}
	out := llm.Tool{Name: t.Name, Description: t.Description, Strict: t.Strict}
	switch kind {
	case typeFunction, "":
		if out.Schema = t.Parameters; scan.Null(out.Schema) {
			out.Schema = t.InputSchema
		}
		if scan.Null(out.Schema) {
			out.Schema = nil
		}
	case typeCustom:
		out.Kind, out.Strict = llm.ToolCustom, nil
		out.Grammar = grammar(t.Format)
	case typeSpace:
		return r.space(at, t)
	case typeFinder:
		if t.Execution != "client" || scan.Null(t.Parameters) { // the vendor finds what is in the request anyway
			r.leave("tools."+kind, false)
			return nil
		}
		out.Kind, out.Name, out.Schema = llm.ToolFinder, typeFinder, t.Parameters
		r.chat.Tools = append(r.chat.Tools, out)
		return nil
	case typeSearch, "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11":
		r.chat.Tools = append(r.chat.Tools, llm.Tool{Kind: llm.ToolSearch, Name: typeSearch})
		must := !scan.Null(scan.Get(t.Rest, "filters"))
		if must {
			r.leave(at+".filters", true)
		}
		r.unknown("tools.", t.Rest, false)
		return nil
	default:
		r.theirs = append(r.theirs, "tools."+kind)
		return nil
	}
	if t.Name == "" {
		return wrong(at+".name", "is missing")
	}
	if space != "" {
		out.Name, out.Space, out.Short = r.join(space, t.Name), space, t.Name
	}
	r.chat.Tools = append(r.chat.Tools, out)
	r.unknown("tools.", t.Rest, false)
	return nil
}

// space reads a namespace: other protocols get its tools under names that
// begin with its own, and what it says of itself with the first of them.
func (r *reader) space(at string, t *tool) *llm.Error {
	if t.Name == "" {
		return wrong(at+".name", "is missing")
	}
	first := len(r.chat.Tools)
	if err := r.tools(at+".tools", t.Tools, t.Name); err != nil {
		return err
	}
	if first < len(r.chat.Tools) && t.Description != "" {
		f := &r.chat.Tools[first]
		f.Description = strings.TrimSpace(t.Name + ": " + t.Description + "\n\n" + f.Description)
	}
	r.unknown("tools.", t.Rest, false)
	return nil
}

// qualified is a tool's name in a namespace.
type qualified struct{ space, short string }

func (r *reader) reserve(name string) {
	if r.taken == nil {
		r.taken = map[string]bool{}
	}
	r.taken[name] = true
}

// join returns the one name of a tool in a namespace, and the same one
// whenever it is asked: of letters that every vendor takes if both are, no
// longer than the vendors' bound where the tool's own name leaves room.
func (r *reader) join(space, short string) string {
	if space == "" {
		return short
	}
	q := qualified{space, short}
	if name, ok := r.joined[q]; ok {
		return name
	}
	space = strings.TrimSuffix(space, "__")
	tail := "__" + short
	name := cut(space, tail)
	for i := 2; r.taken[name]; i++ {
		name = cut(space, strconv.Itoa(i)+tail)
	}
	r.reserve(name)
	if r.joined == nil {
		r.joined = map[qualified]string{}
	}
	r.joined[q] = name
	return name
}

// cut joins a name's parts, the first one cut to the vendors' bound if that
// leaves some of it.
func cut(head, tail string) string {
	if room := maxName - len(tail); room > 0 {
		head = head[:min(len(head), room)]
	}
	return head + tail
}

// lost leaves the tools that only their own vendor can run: what a request
// depends on must not be dropped, what a model merely may choose can be.
func (r *reader) lost() {
	for _, name := range r.theirs {
		r.leave(name, r.chat.Hosted())
	}
}
