package quality

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// maxSchemas bounds the bytes of the schemas of which a gate keeps what was
	// compiled, maxSchema those of one: larger ones are not checked.
	maxSchemas = 1 << 20
	maxSchema  = 64 << 10
)

// schema is a compiled JSON Schema.
type schema struct {
	*jsonschema.Schema
	nodes int // values that its text holds
}

// expr is an expression of a schema.
type expr struct {
	*regexp.Regexp
	program int // instructions
}

func newExpr(s string, program int) (jsonschema.Regexp, error) {
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, err
	}
	return &expr{re, program}, nil
}

// schemas are compiled schemas by their text's SHA-256. A schema that cannot be
// compiled, or costs too much, is nil: nothing is checked by it. Safe for concurrent use.
type schemas struct {
	mu   sync.Mutex
	of   map[[sha256.Size]byte]*schema
	turn []kept // in the order they came; the oldest make room
	size int
}

type kept struct {
	id   [sha256.Size]byte
	size int
}

func (s *schemas) get(text []byte) *schema {
	if len(text) == 0 || len(text) > maxSchema {
		return nil
	}
	id := sha256.Sum256(text)
	s.mu.Lock()
	c, ok := s.of[id]
	s.mu.Unlock()
	if ok {
		return c
	}
	// What is no schema, the vendor judges.
	if doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text)); err == nil {
		if n, ok := measure(doc, 0); ok && n <= maxNodes {
			c, _ = compile(doc)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[id]; ok {
		return c
	}
	if s.of == nil {
		s.of = map[[sha256.Size]byte]*schema{}
	}
	for s.size += len(text); s.size > maxSchemas; s.turn = s.turn[1:] {
		s.size -= s.turn[0].size
		delete(s.of, s.turn[0].id)
	}
	s.of[id], s.turn = c, append(s.turn, kept{id, len(text)})
	return c
}

// nowhere is where the schemas come from that others refer to.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, errors.New("schemas are not fetched from elsewhere")
}

// compile reads a JSON Schema, of draft 2020-12 where it does not say another.
func compile(doc any) (*schema, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.UseRegexpEngine(expression)
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		return nil, fmt.Errorf("compiling the schema: %w", err)
	}
	return &schema{compiled, weigh(doc)}, nil
}

// misfit tells in the schema's words where value does not fit it: "" if it does,
// or if that would take too much.
func misfit(s *schema, text string) string {
	if len(text) > maxValue {
		return ""
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return "it is no JSON"
	}
	if _, ok := measure(value, 0); !ok || !bounded(s, value) {
		return ""
	}
	err = s.Validate(value)
	if err == nil {
		return ""
	}
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return "it does not fit"
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	place := v.SchemaURL
	if _, at, ok := strings.Cut(place, "#"); ok {
		place = at
	}
	return "it does not fit " + strings.Join(append([]string{place}, v.ErrorKind.KeywordPath()...), "/")
}

// validSchema: the text is JSON that fits the schema of the request's format, or
// the configured one.
func validSchema(o Options) (judge, error) {
	var own *schema
	if o.Schema != nil {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.Schema))
		if err != nil {
			return nil, fmt.Errorf("the schema is no JSON: %w", err)
		}
		if own, err = compile(doc); err != nil {
			return nil, err
		}
	}
	known := new(schemas)
	return func(a *Answer) (llm.Flags, string) {
		s := own
		if s == nil && a.Chat != nil && a.Chat.Format.Kind == llm.FormatSchema {
			s = known.get(a.Chat.Format.Schema)
		}
		if s == nil || !said(a) {
			return 0, ""
		}
		if err := checkJSON(a.Text, true); err != nil {
			return llm.FlagJSON | llm.FlagSchema, err.Error()
		}
		if why := misfit(s, a.Text); why != "" {
			return llm.FlagSchema, "the answer is checked by a schema: " + why
		}
		return 0, ""
	}, nil
}

// validToolCalls: each called tool is one of the request's, and its arguments are
// a JSON object that fits the tool's schema.
func validToolCalls(Options) (judge, error) {
	known := new(schemas)
	return func(a *Answer) (llm.Flags, string) {
		if a.Chat == nil {
			return 0, ""
		}
		for i := range a.Calls {
			if why := wrongCall(known, a.Chat, &a.Calls[i]); why != "" {
				return llm.FlagTool, fmt.Sprintf("tool call %d: %s", i+1, why)
			}
		}
		return 0, ""
	}, nil
}

// called is the request's tool of a name, which may be the one that it has in its
// namespace; nil: there is none.
func called(chat *llm.Chat, name string) *llm.Tool {
	for i := range chat.Tools {
		if chat.Tools[i].Name == name {
			return &chat.Tools[i]
		}
	}
	for i := range chat.Tools {
		if t := &chat.Tools[i]; t.Space != "" && t.Short == name {
			return t
		}
	}
	return nil
}

func wrongCall(known *schemas, chat *llm.Chat, call *llm.Block) string {
	t := called(chat, call.Name)
	if t == nil && beyond(chat, tools[:]) {
		return ""
	}
	if t == nil {
		return "the request has no tool of that name"
	}
	if call.Custom || t.Kind != llm.ToolFunction {
		return ""
	}
	text := call.Text
	if s := strings.TrimSpace(text); s == "" || s == "null" {
		text = "{}" // as vendors write a call without arguments
	}
	if err := checkJSON(text, true); err != nil || strings.TrimLeft(text, " \t\r\n")[0] != '{' {
		return "its arguments are no JSON object"
	}
	if s := known.get(t.Schema); s != nil {
		if why := misfit(s, text); why != "" {
			return "its arguments are checked by the tool's schema: " + why
		}
	}
	return ""
}
