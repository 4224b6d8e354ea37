package blackbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v4"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// openAPI compiles schemas of OpenAI's document, by name.
func openAPI(t *testing.T, names ...string) map[string]*jsonschema.Schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dataDir(t), "specs", "openai", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Components struct {
			Schemas map[string]any `yaml:"schemas" json:"schemas"`
		} `yaml:"components" json:"components"`
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	told(file.Components.Schemas)
	forgotten(t, file.Components.Schemas)
	if b, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	const url = "openapi:///openai"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(url, doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]*jsonschema.Schema{}
	for _, name := range names {
		if all[name], err = c.Compile(url + "#/components/schemas/" + name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// nulls are members that OpenAI's own answers have as null and the document
// does not (recorded 2026-11): the usage of a response that is not over, the
// user of one that named none.
var nulls = []struct{ schema, member string }{
	{"Response", "usage"},
	{"ModelResponseProperties", "user"},
}

// forgotten lets those be null.
func forgotten(t *testing.T, schemas map[string]any) {
	t.Helper()
	for _, n := range nulls {
		found := false
		var look func(v any)
		look = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, e := range v {
					look(e)
				}
			case map[string]any:
				if props, ok := v["properties"].(map[string]any); ok && props[n.member] != nil {
					props[n.member] = map[string]any{"anyOf": []any{props[n.member], map[string]any{"type": "null"}}}
					found = true
					return
				}
				look(v["allOf"])
			}
		}
		if look(schemas[n.schema]); !found {
			t.Fatalf("the document's %s has no %s", n.schema, n.member)
		}
	}
}

// told brings the document's own dialect to JSON Schema's. Where it says
// oneOf it means the schema that the discriminator names: two of them may
// match (an item of the output is also one of the input), so anyOf is what
// can be checked; each has its type as an enum. It says nullable here and
// there, which OpenAPI 3.1 no longer knows, and recursive in words of an
// older JSON Schema: such a part is not looked into.
func told(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			told(e)
		}
	case map[string]any:
		for _, e := range v {
			told(e)
		}
		if list, ok := v["oneOf"].([]any); ok {
			delete(v, "oneOf")
			if more, both := v["anyOf"]; both {
				v["allOf"] = []any{map[string]any{"anyOf": more}}
			}
			v["anyOf"] = list
		}
		if v["$recursiveAnchor"] == true {
			delete(v, "$recursiveAnchor")
		}
		if v["$recursiveRef"] == "#" {
			delete(v, "$recursiveRef")
		}
		if v["nullable"] == true {
			was := map[string]any{}
			for k, e := range v {
				was[k] = e
			}
			delete(was, "nullable")
			clear(v)
			v["anyOf"] = []any{was, map[string]any{"type": "null"}}
		}
	}
}

// why lists what is wrong. Of alternatives it tells those of the right type.
func why(e *jsonschema.ValidationError) (all []string) {
	if len(e.Causes) == 0 {
		at := "/" + strings.Join(e.InstanceLocation, "/")
		return []string{at + " " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English))}
	}
	_, choice := e.ErrorKind.(*kind.AnyOf)
	for _, c := range e.Causes {
		list := why(c)
		other := slices.ContainsFunc(list, func(s string) bool {
			return strings.HasPrefix(s, strings.TrimSuffix("/"+strings.Join(e.InstanceLocation, "/"), "/")+"/type value must be")
		})
		if !choice || !other {
			all = append(all, list...)
		}
	}
	if len(all) == 0 {
		return []string{"/" + strings.Join(e.InstanceLocation, "/") + " is of no type that the document knows"}
	}
	return all
}

// checker checks answers of one gateway.
type checker struct {
	*testing.T
	g       *gateway
	schemas map[string]*jsonschema.Schema
	checked int
}

func (c *checker) is(what, schema string, body []byte) {
	c.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		c.Errorf("%s: %v: %s", what, err, tail(string(body), 500))
		return
	}
	c.checked++
	if err := c.schemas[schema].Validate(v); err != nil {
		var bad *jsonschema.ValidationError
		if errors.As(err, &bad) {
			err = errors.New(strings.Join(why(bad), "; "))
		}
		c.Errorf("%s is no %s: %v\n%s", what, schema, err, tail(string(body), 3000))
	}
}

// ask posts a body, unary and streamed, and checks what comes.
func (c *checker) ask(path, model, rest, whole, event string) {
	c.Helper()
	what := path + " " + model + " " + rest
	r := c.g.post(path, `{"model":"`+model+`",`+rest+`}`)
	if r.status != 200 {
		c.Errorf("%s: status %d: %s", what, r.status, r.body)
		return
	}
	c.is(what, whole, r.body)
	r = c.g.post(path, `{"model":"`+model+`","stream":true,`+rest+`}`)
	if r.status != 200 {
		c.Errorf("%s, streamed: status %d: %s", what, r.status, r.body)
		return
	}
	events := data(r.body)
	if len(events) < 2 {
		c.Errorf("%s: a stream of %d events: %s", what, len(events), r.body)
	}
	for _, e := range events {
		c.is(what, event, e)
	}
}

const (
	chatTools = `"tools":[{"type":"function","function":{"name":"weather","description":"The weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}},{"type":"function","function":{"name":"clock","parameters":{"type":"object","properties":{}}}}]`
	itemTools = `"tools":[{"type":"function","name":"weather","description":"The weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}},{"type":"function","name":"clock","parameters":{"type":"object","properties":{},"additionalProperties":false}}]`
	placeForm = `"name":"place","strict":true,"schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`
)

// chatAsked is the simulator's repertoire as a client of chat completions
// asks for it; what a vendor cannot be told is not in it.
var chatAsked = []string{
	`"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}]`,
	`"messages":[{"role":"user","content":"Hello"}],"max_completion_tokens":5`,
	`"messages":[{"role":"user","content":"Hello"}],"n":2,"temperature":0.5`,
	`"messages":[{"role":"user","content":"Hello"}],"stop":["the"],"max_completion_tokens":400`,
	`"messages":[{"role":"user","content":"please call the tool"}],` + chatTools,
	`"messages":[{"role":"user","content":"please call every tool"}],` + chatTools,
	`"messages":[{"role":"user","content":"Hello"}],"tool_choice":{"type":"function","function":{"name":"clock"}},` + chatTools,
	`"messages":[{"role":"user","content":"Where?"}],"response_format":{"type":"json_schema","json_schema":{` + placeForm + `}}`,
	`"messages":[{"role":"user","content":"Give me JSON"}],"response_format":{"type":"json_object"}`,
	`"messages":[{"role":"user","content":"Think"}],"reasoning_effort":"low","max_completion_tokens":8000`,
	`"messages":[{"role":"user","content":"refuse to answer"}]`,
}

// itemAsked is the same in the words of the Responses API.
var itemAsked = []string{
	`"instructions":"Be brief.","input":"Hello","store":false,"metadata":{"a":"b"},"user":"u"`,
	`"input":"Hello","max_output_tokens":16`,
	`"input":[{"role":"user","content":"please call the tool"}],` + itemTools,
	`"input":"please call every tool",` + itemTools,
	`"input":"Hello","tool_choice":{"type":"function","name":"clock"},` + itemTools,
	`"input":"please call the tool","tools":[{"type":"custom","name":"patch","format":{"type":"text"}}]`,
	`"input":"Where?","text":{"format":{"type":"json_schema",` + placeForm + `},"verbosity":"low"}`,
	`"input":"Give me JSON","text":{"format":{"type":"json_object"}}`,
	`"input":"Think","reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"],"store":false`,
	`"input":"refuse to answer"`,
}

// Every answer to a client of OpenAI is what OpenAI's document says, whichever
// vendor gave it.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	schemas := openAPI(t, "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse", "Response", "ResponseStreamEvent",
		"CreateEmbeddingResponse", "ListModelsResponse", "Model", "ErrorResponse")
	s := simulate(t, agentSim+`  gpt-4.1: {latency: 5ms, tokens: 12, tokens_per_second: 2000}
  text-embedding-3-small: {latency: 5ms, dimensions: 8}
  gpt-late: {latency: 5ms, tokens: 40, fault: {kind: error_mid, after: 3}}
  gpt-busy: {latency: 5ms, fault: {kind: status, status: 429}}
  gpt-down: {latency: 5ms, fault: {kind: status, status: 503}}
`)
	g := serve(t, agentVendors(s.url)+"  plain: {kind: openai-compatible, base_url: \""+s.url+"/v1\", api_key: k}\n"+
		"models:\n  late: {targets: [openai/gpt-late]}\n  late-claude: {targets: [anthropic/gpt-late]}\n  busy: {targets: [gemini/gpt-busy]}\n  down: {targets: [anthropic/gpt-down]}\n")
	for _, model := range []string{"openai/gpt-4.1", "openai/gpt-5.1", "plain/gpt-4.1", "chat/mistral-large-latest", "copy/grok-4", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gemini/gemini-3-pro-preview"} {
		t.Run(model, func(t *testing.T) {
			c := &checker{T: t, g: g, schemas: schemas}
			for _, rest := range chatAsked {
				if strings.Contains(rest, `"stop"`) && model == "openai/gpt-5.1" { // these models take none
					continue
				}
				c.ask("/v1/chat/completions", model, rest, "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse")
			}
			c.ask("/v1/chat/completions", model, `"messages":[{"role":"user","content":"Hello"}],"stream_options":{"include_usage":true}`, "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse")
			for _, rest := range itemAsked {
				c.ask("/v1/responses", model, rest, "Response", "ResponseStreamEvent")
			}
			t.Logf("%d answers and events checked", c.checked)
		})
	}
	c := &checker{T: t, g: g, schemas: schemas}
	c.is("embeddings", "CreateEmbeddingResponse", g.post("/v1/embeddings", `{"model":"openai/text-embedding-3-small","input":["a","b"],"encoding_format":"float"}`).body) // the document knows no base64
	c.is("models", "ListModelsResponse", g.get("/v1/models").body)
	c.is("a model", "Model", g.get("/v1/models/late").body)
	for _, x := range []struct {
		path, body string
		status     int
	}{
		{"/v1/chat/completions", `{"model":`, 400}, {"/v1/chat/completions", `{"model":"nobody/x",` + hello + `}`, 404},
		{"/v1/chat/completions", `{"model":"busy",` + hello + `}`, 429}, {"/v1/responses", `{"model":"down","input":"a"}`, 502},
		{"/v1/responses", `{"model":"busy","input":"a","stream":true}`, 429}, {"/v1/responses", `{"input":7}`, 400},
		{"/v1/embeddings", `{"model":"anthropic/claude-sonnet-4-5","input":"a"}`, 400}, {"/v1/nothing", `{}`, 404},
		{"/v1/chat/completions", `{"model":"anthropic/claude-sonnet-4-5","logprobs":true,` + hello + `}`, 400},
	} {
		r := g.post(x.path, x.body)
		if r.status != x.status {
			t.Errorf("%s %s: status %d, want %d: %s", x.path, x.body, r.status, x.status, r.body)
		}
		c.is(fmt.Sprintf("%s %s", x.path, x.body), "ErrorResponse", r.body)
	}
	for _, model := range []string{"late", "late-claude"} { // a stream that cannot be whole
		events := data(g.post("/v1/responses", `{"model":"`+model+`","input":"a","stream":true}`).body)
		for _, e := range events {
			c.is("a failed stream", "ResponseStreamEvent", e)
		}
		chunks := data(g.post("/v1/chat/completions", `{"model":"`+model+`","stream":true,`+hello+`}`).body)
		for _, e := range chunks[:len(chunks)-1] {
			c.is("a failed stream", "CreateChatCompletionStreamResponse", e)
		}
		c.is("the end of a failed stream", "ErrorResponse", chunks[len(chunks)-1])
	}
}
