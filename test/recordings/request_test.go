package recordings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// vendors are the protocols that a request is translated to. Their providers
// answer with the least that the protocol wants.
var vendors = [...]string{"openai", "responses", "anthropic", "gemini", "bedrock", "cohere", "ollama"}

// asks checks what a vendor is asked when a client sends the recorded body: in
// the same protocol all of it, in another one what was said.
func (r *run) asks(x *exchange, s shape) error {
	if x.request == nil {
		return nil
	}
	if _, ok := surfaces[s]; !ok {
		return nil
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(x.request, &body) != nil {
		return nil // not what a client sent
	}
	if err := r.forwards(x, s, body); err != nil {
		return fmt.Errorf("the request to its own vendor: %w", err)
	}
	if x.Status >= 400 {
		return nil
	}
	said := sayings(s, x.request)
	for _, proto := range vendors {
		if proto == protocol[s] {
			continue
		}
		if err := r.tells(x, s, body, proto, said); err != nil {
			return fmt.Errorf("the request to a vendor of %s: %w", proto, err)
		}
	}
	return nil
}

// sent makes the path and body by which a client asks model.
func sent(x *exchange, s shape, body map[string]json.RawMessage, model string) (path string, b []byte) {
	at := surfaces[s].path
	if s == shapeGemini {
		if strings.HasPrefix(x.API, "stream") {
			at = surfaces[s].stream
		}
		return strings.ReplaceAll(at, "%s", model), x.request
	}
	out := make(map[string]json.RawMessage, len(body))
	for k, v := range body {
		out[k] = v
	}
	out["model"], _ = json.Marshal(model)
	b, _ = json.Marshal(out)
	return at, b
}

// forwards: only the model's name and the request for usage may change.
func (r *run) forwards(x *exchange, s shape, body map[string]json.RawMessage) error {
	id := "own " + x.Case
	path, b := sent(x, s, body, r.model(x, s))
	got, err := r.post(path, string(b), headerCase, x.Case, headerCall, id)
	if err != nil {
		return err
	}
	seen := r.vendor.taken(id)
	if seen == nil {
		return fmt.Errorf("it did not come: status %d: %s", got.status, clip(string(got.body)))
	}
	want, have := generic(x.request), generic(seen.body)
	for _, m := range []map[string]any{want, have} {
		delete(m, "model")
		delete(m, "stream_options")
	}
	for k := range have {
		if !reflect.DeepEqual(have[k], want[k]) {
			return fmt.Errorf("member %q became %s", k, clip(fmt.Sprint(have[k])))
		}
	}
	for k := range want {
		if _, ok := have[k]; !ok && k == "n" {
			return nil // the vendor gives one answer a call, and is asked as often
		} else if !ok {
			return fmt.Errorf("member %q is missing", k)
		}
	}
	return nil
}

func generic(b []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	_ = d.Decode(&m) // what is no object has no members
	return m
}

// tells: what was said arrives, or what cannot be told is named: in the
// answer's header, or in an error that refuses it.
func (r *run) tells(x *exchange, s shape, body map[string]json.RawMessage, proto string, said []string) error {
	id := proto + " " + x.Case
	path, b := sent(x, s, body, accountName(madeUp, proto)+"/m")
	got, err := r.post(path, string(b), headerForm, proto, headerCall, id)
	if err != nil {
		return err
	}
	seen := r.vendor.taken(id)
	if got.status == http.StatusBadRequest && seen == nil && names(got.body) {
		return nil
	}
	if got.status != http.StatusOK || seen == nil {
		return fmt.Errorf("status %d: %s", got.status, clip(string(got.body)))
	}
	if !bytes.Contains(got.body, []byte(madeUpText)) {
		return fmt.Errorf("the answer did not come: %s", clip(string(got.body)))
	}
	all := spoken(seen.body)
	for _, w := range said {
		if !strings.Contains(all, w) && !holds(generic(seen.body), w) && !strings.Contains(got.header.Get("X-Sluice-Lossy"), "messages") {
			return fmt.Errorf("%s is missing; lost by name: %q", clip(w), got.header.Get("X-Sluice-Lossy"))
		}
	}
	return nil
}

// holds reports whether a value is, somewhere inside, what text is as JSON:
// results go as objects where a vendor wants them so.
func holds(v any, text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var want any
	if d.Decode(&want) != nil {
		return false
	}
	var find func(v any) bool
	find = func(v any) bool {
		switch e := v.(type) {
		case []any:
			if slices.ContainsFunc(e, find) {
				return true
			}
		case map[string]any:
			for _, m := range e {
				if find(m) {
					return true
				}
			}
		}
		return reflect.DeepEqual(v, want)
	}
	return find(v)
}

// named is how a refusal begins: with the field that cannot be told.
var named = regexp.MustCompile(`"message":\s*"(\\"|\\u0022)[^"\\]+(\\"|\\u0022): `)

func names(body []byte) bool { return named.Match(body) }

// spoken is all strings of a JSON body, each on lines of its own.
func spoken(b []byte) string {
	var out strings.Builder
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out.WriteString(v + "\n")
			if inner := []byte(v); isObject(inner) { // JSON in a string
				var o any
				if json.Unmarshal(inner, &o) == nil {
					walk(o)
				}
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	var v any
	_ = json.Unmarshal(b, &v)
	walk(v)
	return out.String()
}

// texts is a string or the text of a list of parts, each apart.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = texts{s}
		return nil
	}
	var parts []json.RawMessage
	if json.Unmarshal(b, &parts) != nil {
		return nil
	}
	for _, p := range parts {
		var v struct {
			Type, Text string
			Thought    bool
			Content    texts // of a tool's result
		}
		if json.Unmarshal(p, &v) == nil && !v.Thought && slices.Contains([]string{"", "text", "input_text", "output_text", "tool_result"}, v.Type) {
			*t = append(append(*t, v.Text), v.Content...)
		}
	}
	return nil
}

// sayings are the texts and tools' names of a request that every vendor must
// be told.
func sayings(s shape, body []byte) []string {
	var v struct {
		Prompt       texts
		Instructions texts
		System       texts
		Messages     []struct{ Content texts }
		Input        json.RawMessage
		Contents     []struct{ Parts texts }
		Gemini       *struct{ Parts texts } `json:"systemInstruction"`
	}
	_ = json.Unmarshal(body, &v) // what is of another form says nothing
	all := slices.Concat(v.Prompt, v.Instructions, v.System)
	for _, m := range v.Messages {
		all = append(all, m.Content...)
	}
	var text string
	var items []struct {
		Content texts
		Output  texts
	}
	if json.Unmarshal(v.Input, &text) == nil {
		all = append(all, text)
	} else if json.Unmarshal(v.Input, &items) == nil {
		for _, i := range items {
			all = append(append(all, i.Content...), i.Output...)
		}
	}
	for _, c := range v.Contents {
		all = append(all, c.Parts...)
	}
	if v.Gemini != nil {
		all = append(all, v.Gemini.Parts...)
	}
	all = append(all, toolNames(s, body)...)
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// toolNames are the names of the functions that a request offers and that may
// be called: none, or those that the choice names.
func toolNames(s shape, body []byte) (names []string) {
	var v struct {
		Choice json.RawMessage `json:"tool_choice"`
		Tools  []struct {
			Type, Name   string
			Function     struct{ Name string }
			Declarations []struct{ Name string } `json:"functionDeclarations"`
		}
	}
	_ = json.Unmarshal(body, &v)
	if bytes.Contains(v.Choice, []byte(`"none"`)) {
		return nil
	}
	for _, t := range v.Tools {
		switch {
		case t.Type == "function" || s == shapeAnthropic && (t.Type == "" || t.Type == "custom"):
			names = append(names, t.Name+t.Function.Name)
		}
		for _, d := range t.Declarations {
			names = append(names, d.Name)
		}
	}
	if bytes.Contains(v.Choice, []byte(`"name"`)) {
		names = slices.DeleteFunc(names, func(n string) bool { return !bytes.Contains(v.Choice, []byte(`"`+n+`"`)) })
	}
	return names
}
