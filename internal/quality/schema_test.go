package quality

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicegate/sluice/internal/llm"
)

// doubling is a schema that is applied 2^n times to one value: by name, then in
// what ever way how says.
func doubling(n int, how, last string) string {
	var b strings.Builder
	b.WriteString(`{"type":"object","$ref":"#/$defs/a0","$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"a%d":{"%s":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, how, i+1, i+1)
	}
	fmt.Fprintf(&b, `"a%d":%s}}`, n, last)
	return b.String()
}

// hostile are schemas, and values for them, whose check would take hours or GBs.
func hostile() map[string][2]string {
	deep := strings.Repeat(`{"a":`, 60) + "{}" + strings.Repeat("}", 60)
	long := `{"a":"` + strings.Repeat("x", 200_000) + `"}`
	names := "{"
	for i := range 2000 {
		names += fmt.Sprintf(`"k%d":0,`, i)
	}
	names = names[:len(names)-1] + "}"
	var patterns strings.Builder
	for i := range 500 {
		fmt.Fprintf(&patterns, `"^(k|x%d)*$":{},`, i)
	}
	return map[string][2]string{
		"allOf":              {doubling(40, "allOf", `{"type":"object"}`), `{}`},
		"allOf that fails":   {doubling(40, "allOf", `{"type":"string"}`), `{}`},
		"anyOf":              {doubling(40, "anyOf", `{"type":"string"}`), `{}`},
		"oneOf":              {doubling(40, "oneOf", `{"type":"object"}`), `{}`},
		"recursive":          {`{"type":"object","properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`, deep},
		"dynamic":            {`{"$dynamicAnchor":"n","properties":{"a":{"allOf":[{"$dynamicRef":"#n"},{"$dynamicRef":"#n"}]}}}`, deep},
		"older recursion":    {`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"properties":{"a":{"allOf":[{"$recursiveRef":"#"},{"$recursiveRef":"#"}]}}}`, deep},
		"cycle":              {`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}}}`, `{}`},
		"expression":         {`{"properties":{"a":{"pattern":"^(x?){900}(x{1,900})$"}}}`, long},
		"many expressions":   {`{"patternProperties":{` + patterns.String() + `"z":{}}}`, names},
		"large expression":   {`{"properties":{"a":{"pattern":"` + strings.Repeat(`(a{900})`, 400) + `"}}}`, long},
		"names":              {`{"propertyNames":` + doubling(12, "allOf", `{"minLength":1}`)[len(`{"type":"object",`)-1:] + `}`, names},
		"large number":       {`{"properties":{"a":{"multipleOf":7}}}`, `{"a":1e999999}`},
		"too large a number": {`{"properties":{"a":{"maximum":7}}}`, `{"a":1e9999999}`},
		"number in it":       {`{"properties":{"a":{"maximum":1e9999999}}}`, `{"a":1}`},
		"nesting":            {strings.Repeat(`{"not":`, 5000) + "{}" + strings.Repeat("}", 5000), `{}`},
		"deep value":         {`{"properties":{"a":{"$ref":"#"}}}`, strings.Repeat(`{"a":`, 5000) + "{}" + strings.Repeat("}", 5000)},
		"the same items":     {`{"properties":{"a":{"items":{"allOf":[` + strings.Repeat(`{"uniqueItems":true},`, 500) + `{}]}}}}`, `{"a":[` + strings.Repeat("["+strings.Repeat(`{"b":[1]},`, 19)+"1],", 500) + "1]}"},
	}
}

// What a schema would make too dear is not checked: nothing is found, and the work
// that is counted before stays within its bound.
func TestHostileSchemas(t *testing.T) {
	for name, x := range hostile() {
		t.Run(name, func(t *testing.T) {
			chat := &llm.Chat{Tools: []llm.Tool{{Name: "f", Schema: []byte(x[0])}}}
			r := &llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockCall, Name: "f", Text: x[1]}}, Stop: llm.StopTools}}}
			if f := Examine()(chat, r); f != 0 {
				t.Errorf("flags %v", f.Names())
			}
		})
	}
}

// The work that is counted is no less than what a check does.
func TestWorkIsCounted(t *testing.T) {
	for _, n := range []int{1, 4, 8, 12} {
		s := schemaOf(t, doubling(n, "allOf", `{"type":"object"}`))
		w := &work{left: maxWork, nodes: s.nodes}
		if !w.on(s.Schema, map[string]any{}, 0, 0) || maxWork-w.left < 1<<n {
			t.Errorf("2^%d schemas are counted as %d", n, maxWork-w.left)
		}
	}
}

// Schemas as clients have them are checked, recursive ones too, on large values.
func TestUsualSchemasAreChecked(t *testing.T) {
	row := `{"id":1,"name":"a name of usual length","tags":["a","b","c"],"at":"2024-05-01T10:00:00Z","price":1.25,"sold":false}`
	rows := `{"type":"object","required":["rows"],"properties":{"rows":{"type":"array","items":{"type":"object","additionalProperties":false,"required":["id","name","tags"],
		"properties":{"id":{"type":"integer","minimum":0},"name":{"type":"string","pattern":"^[a-z ]+$"},"tags":{"type":"array","uniqueItems":true,"items":{"enum":["a","b","c"]}},
		"at":{"type":"string","format":"date-time"},"price":{"anyOf":[{"type":"number"},{"type":"null"}]},"sold":{"type":"boolean"}}}}}}`
	tree := `{"type":"object","properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},"required":["name"],"additionalProperties":false}`
	leaves := strings.Repeat(`{"name":"b","children":[{"name":"c"}]},`, 300)
	for _, x := range []struct {
		name, schema, good, bad string
	}{
		{"rows", rows, `{"rows":[` + strings.Repeat(row+",", 199) + row + `]}`, `{"rows":[` + strings.Repeat(row+",", 199) + `{"id":1}]}`},
		{"tree", tree, `{"name":"a","children":[` + leaves + `{"name":"d"}]}`, `{"name":"a","children":[` + leaves + `{"name":1}]}`},
		{"large number", `{"properties":{"a":{"multipleOf":3}}}`, `{"a":3e300}`, `{"a":1e300}`},
	} {
		s := schemaOf(t, x.schema)
		if why := misfit(s, x.good); why != "" {
			t.Errorf("%s: %s", x.name, why)
		}
		if misfit(s, x.bad) == "" {
			t.Errorf("%s: what is wrong was not found", x.name)
		}
	}
}

func schemaOf(t *testing.T, text string) *schema {
	t.Helper()
	s := new(schemas).get([]byte(text))
	if s == nil {
		t.Fatalf("not compiled: %.200s", text)
	}
	return s
}

// Whatever schema a client sends and whatever a model answers, the work of a check
// is bounded and what was not counted is not done.
func FuzzSchema(f *testing.F) {
	for _, x := range hostile() {
		if len(x[0])+len(x[1]) < 8<<10 {
			f.Add(x[0], x[1])
		}
	}
	f.Add(`{"type":["object","null"],"properties":{"a":{"const":[1]}},"unevaluatedProperties":{"type":"string"}}`, `{"a":[1],"b":""}`)
	f.Add(`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"format":"regex"}],"additionalItems":{"contains":{"minimum":1}}}`, `["(",[0,1e3]]`)
	f.Fuzz(func(t *testing.T, text, value string) {
		s := new(schemas).get([]byte(text))
		if s == nil {
			return
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
		if err != nil {
			return
		}
		if _, ok := measure(v, 0); !ok || len(value) > maxValue {
			return
		}
		seen := &counter{}
		s.Extensions = append(slices.Clone(s.Extensions), seen)
		w := &work{left: maxWork, nodes: s.nodes}
		ok := w.on(s.Schema, v, 0, 0)
		if w.left < -maxWork-1 {
			t.Fatalf("the work went on to %d", maxWork-w.left)
		}
		if !ok {
			return
		}
		_ = s.Validate(v)
		if seen.n > maxWork-w.left {
			t.Errorf("the schema was applied %d times, counted were %d", seen.n, maxWork-w.left)
		}
	})
}

// counter counts how often the schema is applied that has it.
type counter struct{ n int }

// Validate implements jsonschema.SchemaExt.
func (c *counter) Validate(*jsonschema.ValidatorContext, any) { c.n++ }
