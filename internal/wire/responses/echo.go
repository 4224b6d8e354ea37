package responses

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// echoes are the members of a request that a response repeats: what the
// client sent, where it is of the right kind, else what stands for none.
var echoes = [...]struct {
	name, none string // none "": the member may be absent, and may not be null
	kinds      string // the first bytes of a value
}{
	{"instructions", `null`, `"[`},
	{"max_output_tokens", `null`, `0123456789`},
	{"max_tool_calls", `null`, `0123456789`},
	{"metadata", `{}`, `{`},
	{"parallel_tool_calls", `true`, `tf`},
	{"prompt_cache_key", `null`, `"`},
	{"reasoning", `{"effort":null,"summary":null}`, `{`},
	{"safety_identifier", `null`, `"`},
	{"temperature", `null`, `0123456789`},
	{"top_logprobs", `0`, `0123456789`},
	{"top_p", `null`, `0123456789`},
	{"truncation", `"disabled"`, `"`},
	{"user", ``, `"`},
}

// appendEcho appends the members of a response that repeat the request, with
// a comma before each. Nothing is stored here, whatever was asked.
func appendEcho(dst []byte, req *llm.Request) []byte {
	var m members
	if req.Body != nil {
		m.data = req.Body.Bytes()
		m.list, _ = scan.Object(nil, m.data)
	}
	for _, e := range echoes {
		v := m.get(e.name)
		fits := len(v) > 0 && strings.IndexByte(e.kinds, v[0]) >= 0
		if !fits && e.none == "" {
			continue
		}
		dst = append(append(append(dst, `,"`...), e.name...), `":`...)
		if fits {
			dst = appendValue(dst, v, or(e.none, `""`))
		} else {
			dst = append(dst, e.none...)
		}
	}
	dst = append(dst, `,"background":false,"previous_response_id":null,"store":false,"text":`...)
	dst = appendText(dst, m.get("text"))
	dst = append(dst, `,"tool_choice":`...)
	if v := m.get("tool_choice"); len(v) > 0 && (v[0] == '"' || v[0] == '{' && scan.Get(v, "type") != nil) {
		dst = appendValue(dst, v, `"auto"`)
	} else {
		dst = append(dst, `"auto"`...)
	}
	return appendTools(append(dst, `,"tools":`...), m.get("tools"))
}

// appendValue appends v on one line, none where it is no JSON.
func appendValue(dst []byte, v jsontext.Value, none string) []byte {
	line := v.Clone()
	if line.Compact(lax) != nil {
		return append(dst, none...)
	}
	return append(dst, line...)
}

func appendText(dst []byte, v []byte) []byte {
	dst = append(dst, `{"format":`...)
	if f := scan.Get(v, "format"); len(f) > 0 && f[0] == '{' && scan.Get(f, "type") != nil {
		dst = appendValue(dst, f, `{"type":"text"}`)
	} else {
		dst = append(dst, `{"type":"text"}`...)
	}
	if s, ok := scan.String(scan.Get(v, "verbosity")); ok {
		dst = wire.AppendString(append(dst, `,"verbosity":`...), s)
	}
	return append(dst, '}')
}

// appendTools appends the tools as the protocol writes them, whatever shape
// the client chose.
func appendTools(dst []byte, v []byte) []byte {
	dst = append(dst, '[')
	n := 0
	_ = scan.Elements(v, func(raw []byte) bool {
		var t tool
		if json.Unmarshal(raw, &t, lax) != nil {
			return true
		}
		kind, in := t.Type, &t
		switch {
		case t.Function != nil && (kind == "" || kind == typeFunction):
			kind, in = typeFunction, t.Function
		case t.Custom != nil && (kind == "" || kind == typeCustom):
			kind, in = typeCustom, t.Custom
		case kind == "" && t.Name != "":
			kind = typeFunction
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		n++
		if kind != typeFunction {
			dst = appendValue(dst, raw, `{"type":"custom","name":""}`)
			return true
		}
		dst = wire.AppendString(append(dst, `{"type":"function","name":`...), in.Name)
		dst = append(dst, `,"description":`...)
		if in.Description == "" {
			dst = append(dst, "null"...)
		} else {
			dst = wire.AppendString(dst, in.Description)
		}
		schema := in.Parameters
		if scan.Null(schema) {
			schema = in.InputSchema
		}
		dst = append(dst, `,"parameters":`...)
		if len(schema) == 0 {
			dst = append(dst, "null"...)
		} else {
			dst = appendValue(dst, schema, "null")
		}
		if in.Strict != nil && *in.Strict {
			dst = append(dst, `,"strict":true}`...)
		} else {
			dst = append(dst, `,"strict":false}`...)
		}
		return true
	})
	return append(dst, ']')
}
