package config

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Gate is one thing that the answers of a model must pass.
type Gate struct {
	Name   string // one of Gates
	Action string // escalate | retry | repair | flag | block; of principles also revise

	Chosen bool // the action stands in the configuration

	Pattern    string // of pattern: RE2
	Always     bool   // of valid_json: JSON is wanted whatever the request says
	Schema     string // of valid_schema: JSON; "": that of SchemaFile, or the request's
	SchemaFile string // "": none
	Language   string // of right_language: ISO 639-1; "": the request's

	// Of judge and principles.
	Model   string // that is asked
	Min     float64
	Prompt  string // "": the usual one
	Rules   []string
	OnError string // pass | reject
	Sample  float64
	Timeout time.Duration
}

// maxGates bounds the gates of one model, maxPrinciples the rules of a principles gate.
const (
	maxGates      = 32
	maxPrinciples = 32
)

// gate is a row of the table of gates.
type gate struct {
	name   string
	doc    string
	fields []field[Gate]
	more   []string // actions beside those that all have
	short  *field[Gate]
}

// actions are what may follow from any gate.
var actions = []string{"escalate", "retry", "flag", "block"}

// gates are the gates, in the order of the documentation.
func gates() []gate {
	pattern := required(on("is", "", "what the text must hold, in RE2's words", regexpSpec(), func(g *Gate) *string { return &g.Pattern }))
	language := on("is", "", "the language, as ISO 639-1 has it; default: the request's", text(schema{Pattern: "^[a-z]{2}$"}, checkLanguage), func(g *Gate) *string { return &g.Language })
	model := required(on("model", "", "who is asked: a model, or provider/vendor-model", text(schema{MinLength: 1}, checkTarget), func(g *Gate) *string { return &g.Model }))
	asked := []field[Gate]{
		model,
		on("on_error", "pass", "what becomes of answers that could not be judged", oneOf("pass", "reject"), func(g *Gate) *string { return &g.OnError }),
		on("sample", "1", "share of the answers that are judged", decimal(0, 1), func(g *Gate) *float64 { return &g.Sample }),
		on("timeout", "10s", "time for the verdict", span(time.Millisecond, 10*time.Minute), func(g *Gate) *time.Duration { return &g.Timeout }),
	}
	return []gate{
		{name: "complete", doc: "there is an answer, and no filter cut it"},
		{name: "not_truncated", doc: "it does not end at a bound, nor in a code block or in brackets"},
		{name: "valid_json", doc: "it is JSON where JSON was asked for", more: []string{"repair"}, fields: []field[Gate]{
			on("always", "false", "JSON is wanted whatever the request says", boolean(), func(g *Gate) *bool { return &g.Always }),
		}},
		{name: "valid_schema", doc: "it fits the schema that was asked for", more: []string{"repair"}, fields: []field[Gate]{
			{name: "schema", doc: schema{Description: "a JSON Schema, or the path of one; default: the request's", AnyOf: []*schema{{Type: "string", MinLength: 1}, {Type: "object"}}}, read: readSchema},
		}},
		{name: "valid_tool_calls", doc: "called tools are the request's, and their arguments fit"},
		{name: "pattern", doc: "the text has what an expression describes", fields: []field[Gate]{pattern}, short: &pattern},
		{name: "not_refused", doc: "the model did not refuse"},
		{name: "no_echo", doc: "it does not give the prompt back"},
		{name: "no_loops", doc: "it does not say the same over and over"},
		{name: "right_language", doc: "it is in the right language", fields: []field[Gate]{language}, short: &language},
		{name: "arithmetic", doc: "calculations in it are right"},
		{name: "judge", doc: "a model scores it", fields: append([]field[Gate]{
			on("min", "0.6", "the least score that passes", decimal(0, 1), func(g *Gate) *float64 { return &g.Min }),
			on("prompt", "", "what is scored; default: how good the answer is", longText(), func(g *Gate) *string { return &g.Prompt }),
		}, asked...)},
		{name: "principles", doc: "it keeps rules, as a model sees it", more: []string{"revise"}, fields: append([]field[Gate]{
			required(on("rules", "", "the rules, each a sentence", rulesSpec(), func(g *Gate) *[]string { return &g.Rules })),
		}, asked...)},
	}
}

// gatesSpec is a list of gates: each a name, or {name: {…}}.
func gatesSpec() spec[[]Gate] {
	one := gateSpec()
	l := list(one, maxGates)
	return needed(l, "is empty: write gates such as [complete, not_refused]")
}

func gateSpec() spec[Gate] {
	table := gates()
	names := make([]string, len(table))
	long := make([]spec[Gate], len(table))
	entries := map[string]*schema{}
	var alone []string // those that a name is enough for
	for i, g := range table {
		names[i] = g.name
		act := "escalate"
		if g.name == "principles" {
			act = "block"
		}
		long[i] = object(append([]field[Gate]{on("action", act, "what follows where an answer does not pass",
			oneOf(append(slices.Clone(actions), g.more...)...), func(x *Gate) *string { return &x.Action })}, g.fields...)...)
		long[i].doc.Description = g.doc
		doc := &long[i].doc
		if g.short != nil {
			doc = &schema{AnyOf: []*schema{&g.short.doc, &long[i].doc}}
		}
		entries[g.name] = doc
		if !slices.ContainsFunc(g.fields, func(f field[Gate]) bool { return f.need }) {
			alone = append(alone, g.name)
		}
	}
	doc := schema{AnyOf: []*schema{{Enum: literals(alone)}, {Type: "object", Properties: entries, Closed: true}}}
	return spec[Gate]{doc: doc, read: func(d *decoder, v value, dst *Gate) {
		switch {
		case v.kind == kindText:
			i := d.gate(v.Position, v.path, v.node.text, names)
			if i < 0 {
				return
			}
			if !slices.Contains(alone, names[i]) {
				d.failf(v, "%s is %s, which needs more than its name: write {%s: …}", v.path, v.show(), names[i])
				return
			}
			dst.Name = names[i]
			long[i].init(dst)
		case v.kind == kindMapping && len(v.keys) == 1:
			d.each(v, func(key *node, x value) {
				i := d.gate(key.Position, v.path, key.text, names)
				if i < 0 {
					return
				}
				dst.Name = names[i]
				long[i].init(dst)
				if short := table[i].short; short != nil && x.kind == kindText {
					short.read(d, x, dst)
					return
				}
				long[i].read(d, x, dst)
				dst.Chosen = x.entry("action") != nil
			})
		default:
			d.failf(v, "%s is %s: write one gate, such as complete or {pattern: \"^OK\"}", v.path, v.what())
		}
	}}
}

// gate finds a name among names; below 0: it is none, which was reported.
func (d *decoder) gate(at Position, path, name string, names []string) int {
	i := slices.Index(names, name)
	if i < 0 {
		hint := "write one of " + strings.Join(names, ", ")
		if near := nearest(name, slices.Values(names)); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.fail(at, path+" is "+quote(name)+", but there is no such gate: "+hint)
	}
	return i
}

// readSchema reads a JSON Schema that stands in the file, or the path of one.
func readSchema(d *decoder, v value, dst *Gate) {
	if v.kind == kindText {
		if s, ok := d.line(v); ok && s == "" {
			d.failf(v, "%s is empty: write a JSON Schema, or the path of one", v.path)
		} else if ok {
			dst.SchemaFile = s
		}
		return
	}
	if v.kind != kindMapping {
		d.failf(v, "%s is %s: write a JSON Schema as a mapping, or the path of one", v.path, v.what())
		return
	}
	var b bytes.Buffer
	if d.json(&b, v, 0) {
		dst.Schema = b.String()
	}
}

func regexpSpec() spec[string] {
	return text(schema{MinLength: 1}, func(s string) string {
		if s == "" {
			return "write a regular expression"
		}
		if _, err := regexp.Compile(s); err != nil {
			return "this is no regular expression (RE2): " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		}
		return ""
	})
}

func checkLanguage(s string) string {
	if len(s) != 2 || !allBytes(s, func(b byte) bool { return b >= 'a' && b <= 'z' }) {
		return "write two letters, such as en or de"
	}
	return ""
}

// longText is a text of any number of lines, at most maxText bytes.
func longText() spec[string] {
	return spec[string]{doc: schema{Type: "string", MinLength: 1, MaxLength: maxText}, read: func(d *decoder, v value, dst *string) {
		s, ok := d.text(v)
		switch {
		case !ok:
		case strings.TrimSpace(s) == "" || len(s) > maxText:
			d.failf(v, "%s is empty or longer than %d bytes: write a shorter text", v.path, maxText)
		default:
			*dst = s
		}
	}}
}

// rulesSpec is a list of sentences, at least one.
func rulesSpec() spec[[]string] {
	l := list(longText(), maxPrinciples)
	return needed(l, "is empty: write rules such as [\"Never give medical advice.\"]")
}

// Cascade is a model that asks a cheap one first, and the next where the answer
// does not pass its gates, which are the model's Accept.
type Cascade struct {
	Models       []string // models and targets, in their order
	MaxExtraCost float64  // of answers that did not pass, times the dearest call
	Deadline     time.Duration
}

// cascadeSpec reads the gates into the model's.
func cascadeSpec() field[Model] {
	long := object(
		required(on("models", "", "models or targets, the cheapest first", membersSpec(), func(m *Model) *[]string { return &m.Cascade.Models })),
		required(on("accept", "", "what an answer must pass; where it does not, the next model is asked", gatesSpec(), func(m *Model) *[]Gate { return &m.Accept })),
		on("max_extra_cost", "1.5", "what answers that did not pass may cost, times what the dearest model is expected to; then the best so far is delivered",
			decimal(0, 1000), func(m *Model) *float64 { return &m.Cascade.MaxExtraCost }),
		on("deadline", "", "time until an answer passes; then the best so far is delivered", span(time.Millisecond, time.Hour), func(m *Model) *time.Duration { return &m.Cascade.Deadline }),
	)
	f := field[Model]{name: "cascade", doc: long.doc, read: func(d *decoder, v value, m *Model) {
		if v.kind == kindNull {
			d.failf(v, "%s is empty: write {models: [small, large], accept: [complete, not_refused]}", v.path)
			return
		}
		m.Cascade = &Cascade{}
		long.init(m)
		long.read(d, v, m)
	}}
	f.doc.Description = "a cheap model first, another where its answer does not do"
	return f
}

// GatePath is where the i-th gate of a model stands.
func (m *Model) GatePath(i int) string {
	base := "models." + m.Name + "."
	if m.Cascade != nil {
		base += "cascade."
	}
	return base + "accept[" + strconv.Itoa(i) + "]"
}
