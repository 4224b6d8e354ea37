package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// responsesRequest is a request of OpenAI's Responses, with every member that
// the vendor knows. Members that only pass are not looked into.
type responsesRequest struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	Instructions   *string         `json:"instructions"`
	Background     bool            `json:"background"`
	ClientMeta     json.RawMessage `json:"client_metadata"` // undocumented; Codex 0.169 sends it
	Conversation   json.RawMessage `json:"conversation"`
	Context        json.RawMessage `json:"context_management"`
	Include        []string        `json:"include"`
	Limit          *int            `json:"max_output_tokens"`
	ToolCalls      *int            `json:"max_tool_calls"`
	Metadata       json.RawMessage `json:"metadata"`
	Moderation     json.RawMessage `json:"moderation"`
	Parallel       *bool           `json:"parallel_tool_calls"`
	Previous       *string         `json:"previous_response_id"`
	Prompt         json.RawMessage `json:"prompt"`
	CacheKey       *string         `json:"prompt_cache_key"`
	CacheOptions   json.RawMessage `json:"prompt_cache_options"`
	CacheRetention *string         `json:"prompt_cache_retention"`
	Reasoning      json.RawMessage `json:"reasoning"`
	Safety         *string         `json:"safety_identifier"`
	Tier           *string         `json:"service_tier"`
	Store          *bool           `json:"store"`
	Stream         bool            `json:"stream"`
	StreamOptions  json.RawMessage `json:"stream_options"`
	Temperature    *float64        `json:"temperature"`
	Text           json.RawMessage `json:"text"`
	ToolChoice     json.RawMessage `json:"tool_choice"`
	Tools          json.RawMessage `json:"tools"`
	TopLogprobs    *int            `json:"top_logprobs"`
	TopP           *float64        `json:"top_p"`
	Truncation     *string         `json:"truncation"`
	User           *string         `json:"user"`
}

// effort is how a request asks for thinking.
type effort struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
	Old     *string `json:"generate_summary"`
	Context *string `json:"context"`
	Mode    *string `json:"mode"`
}

// itemReader reads one request and remembers the first thing that the vendor
// would refuse.
type itemReader struct {
	s     *Server
	owner uint64 // whose stored responses it may name
	req   responsesRequest
	bad   *problem

	query  query
	prompt strings.Builder
	effort effort
	tools  []json.RawMessage // as they are told back
	before []json.RawMessage // the conversation that is continued
	items  []json.RawMessage // the request's own, as they are kept
	asked  map[string]string // call id to "", or the type of what has not been answered
	order  []string          // call ids
	alone  string            // id of a reasoning item that nothing follows yet
}

func (r *itemReader) refuse(param, code, format string, args ...any) {
	if r.bad == nil {
		r.bad = badRequest(param, fmt.Sprintf(format, args...))
		r.bad.code = code
	}
}

func (r *itemReader) object(raw json.RawMessage, at string, into any) bool {
	if !isObject(raw) {
		r.refuse(at, "invalid_type", "Invalid type for '%s': expected an object.", at)
		return false
	}
	w := strict(raw, into)
	if w == nil {
		return true
	}
	if w.unknown != "" {
		p := path(at, w.unknown)
		r.refuse(p, "unknown_parameter", "Unknown parameter: '%s'.", p)
	} else {
		p := strings.Trim(at+"."+w.field, ".")
		r.refuse(p, "invalid_type", "Invalid type for '%s': got %s instead.", p, w.got)
	}
	return false
}

// oneOf refuses a value that is none of several; "" is none, and passes.
func (r *itemReader) oneOf(param, value string, all ...string) {
	if value != "" && !slices.Contains(all, value) {
		r.refuse(param, "invalid_value", "Invalid value: '%s'. Supported values are: '%s'.", clip(value, 80), strings.Join(all, "', '"))
	}
}

func (r *itemReader) missing(param string) {
	r.refuse(param, "missing_required_parameter", "Missing required parameter: '%s'.", param)
}

// read reads a request; false: r.bad says what is wrong.
func (r *itemReader) read(body []byte) bool {
	if !r.object(body, "", &r.req) {
		return false
	}
	r.asked = make(map[string]string)
	r.scalars()
	r.thinking()
	r.readTools()
	r.choice()
	r.form()
	if r.bad == nil {
		r.conversation()
	}
	if r.req.Instructions != nil {
		r.prompt.WriteString("\nsystem\n" + *r.req.Instructions)
	}
	for i, raw := range r.before {
		r.item(raw, fmt.Sprintf("history[%d]", i), true)
	}
	r.input()
	for _, id := range r.order {
		if r.asked[id] != "" {
			r.refuse("input", "", "No tool output found for %s %s.", r.asked[id], clip(id, maxName))
		}
	}
	if r.alone != "" {
		r.refuse("input", "", "Item '%s' of type 'reasoning' was provided without its required following item.", clip(r.alone, maxName))
	}
	r.query.prompt = r.prompt.String()
	return r.bad == nil
}

func (r *itemReader) scalars() {
	q := &r.req
	outside := func(param string, v *float64, high float64) {
		if v != nil && *v < 0 {
			r.refuse(param, "decimal_below_min_value", "Invalid '%s': decimal below minimum value. Expected a value >= 0, but got %v instead.", param, *v)
		} else if v != nil && *v > high {
			r.refuse(param, "decimal_above_max_value", "Invalid '%s': decimal above maximum value. Expected a value <= %v, but got %v instead.", param, high, *v)
		}
	}
	outside("temperature", q.Temperature, 2)
	outside("top_p", q.TopP, 1)
	r.query.limit = maxTokens
	if q.Limit != nil {
		r.query.limit = *q.Limit
		if *q.Limit < 16 {
			r.refuse("max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got %d instead.", *q.Limit)
		}
	}
	if n := q.TopLogprobs; n != nil && (*n < 0 || *n > 20) {
		r.refuse("top_logprobs", "integer_out_of_range", "Invalid 'top_logprobs': integer out of range 0 to 20.")
	}
	for i, v := range q.Include {
		r.oneOf(fmt.Sprintf("include[%d]", i), v, "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
			"message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
			"reasoning.encrypted_content", "message.output_text.logprobs")
	}
	r.oneOf("truncation", deref(q.Truncation), "auto", "disabled")
	r.oneOf("service_tier", deref(q.Tier), "auto", "default", "flex", "scale", "priority")
	if q.Background && !r.stores() {
		r.refuse("store", "", "Background mode requires 'store' to be true.")
	}
	if given(q.StreamOptions) && !q.Stream {
		r.refuse("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	r.query.single = q.Parallel != nil && !*q.Parallel
}

func (r *itemReader) stores() bool { return r.req.Store == nil || *r.req.Store }

func (r *itemReader) thinking() {
	if given(r.req.Reasoning) {
		r.object(r.req.Reasoning, "reasoning", &r.effort)
	}
	e := deref(r.effort.Effort)
	r.oneOf("reasoning.effort", e, "none", "minimal", "low", "medium", "high", "xhigh", "max")
	r.oneOf("reasoning.summary", deref(r.effort.Summary), "auto", "concise", "detailed")
	r.query.thinking = e != "none" && (given(r.req.Reasoning) || r.s.thinks(r.req.Model))
}

func (r *itemReader) readTools() {
	if !given(r.req.Tools) {
		return
	}
	all, ok := items(r.req.Tools)
	if !ok {
		r.refuse("tools", "invalid_type", "Invalid type for 'tools': expected an array of objects.")
	}
	for i, raw := range all {
		r.readTool(raw, fmt.Sprintf("tools[%d]", i))
	}
	r.prompt.Write(r.req.Tools)
}

// ownTools are tools that the vendor runs itself; they are never used here.
var ownTools = []string{
	"file_search", "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "computer",
	"computer_use_preview", "mcp", "code_interpreter", "image_generation", "local_shell", "shell", "apply_patch",
	"tool_search", "namespace",
}

func (r *itemReader) readTool(raw json.RawMessage, at string) {
	var k struct{ Type string }
	if json.Unmarshal(raw, &k) != nil {
		r.refuse(at, "invalid_type", "Invalid type for '%s': expected an object.", at)
		return
	}
	switch {
	case slices.Contains(ownTools, k.Type):
		r.tools = append(r.tools, raw)
	case k.Type == "function":
		r.function(raw, at)
	case k.Type == "custom":
		var t struct {
			Type        string          `json:"type"`
			Name        string          `json:"name"`
			Description *string         `json:"description"`
			Format      json.RawMessage `json:"format"`
			Defer       *bool           `json:"defer_loading"`
			Callers     json.RawMessage `json:"allowed_callers"`
		}
		if r.object(raw, at, &t) {
			r.offer(offer{name: t.Name, plain: true}, at)
			r.tools = append(r.tools, raw)
		}
	case k.Type == "":
		r.missing(at + ".type")
	default:
		r.oneOf(at+".type", k.Type, append([]string{"function", "custom"}, ownTools...)...)
	}
}

// functionTool is a function as requests offer it and answers tell it back.
type functionTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description *string         `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Strict      *bool           `json:"strict"`
	Defer       *bool           `json:"defer_loading,omitempty"`
	Output      json.RawMessage `json:"output_schema,omitempty"`
	Callers     json.RawMessage `json:"allowed_callers,omitempty"`
}

func (r *itemReader) function(raw json.RawMessage, at string) {
	var t functionTool
	if !r.object(raw, at, &t) {
		return
	}
	r.offer(offer{name: t.Name, schema: t.Parameters}, at)
	if given(t.Parameters) && !isObject(t.Parameters) {
		r.refuse(at+".parameters", "invalid_type", "Invalid type for '%s.parameters': expected an object.", at)
	}
	if t.Strict != nil && *t.Strict {
		r.strictSchema(t.Parameters, at+".parameters", "invalid_function_parameters", "function '"+t.Name+"'")
	}
	if t.Strict == nil {
		t.Strict = new(bool)
	}
	r.tools = append(r.tools, encode(t))
}

func (r *itemReader) offer(o offer, at string) {
	switch {
	case o.name == "":
		r.missing(at + ".name")
	case !toolName.MatchString(o.name):
		r.refuse(at+".name", "invalid_value", "Invalid '%s.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.", at)
	case r.query.offers(o.name):
		r.refuse("tools", "", "Duplicate tool names: '%s'.", o.name)
	}
	r.query.tools = append(r.query.tools, o)
}

// strictSchema refuses a schema that the vendor cannot force: objects are
// closed and require what they have.
func (r *itemReader) strictSchema(raw json.RawMessage, param, code, what string) {
	if !closed(raw, 0) {
		r.refuse(param, code, "Invalid schema for %s: In context=(), 'additionalProperties' is required to be supplied and to be false.", what)
	}
	var s schema
	if json.Unmarshal(raw, &s) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if !slices.Contains(s.Required, name) {
			r.refuse(param, code, "Invalid schema for %s: In context=(), 'required' is required to be supplied and to be an array including every key in properties. Missing '%s'.", what, clip(name, maxName))
		}
	}
}

func (r *itemReader) choice() {
	raw := r.req.ToolChoice
	if !given(raw) {
		return
	}
	var mode string
	if json.Unmarshal(raw, &mode) != nil {
		var c struct {
			Type  string            `json:"type"`
			Name  string            `json:"name"`
			Mode  string            `json:"mode"`
			Tools []json.RawMessage `json:"tools"`
			Label string            `json:"server_label"`
		}
		if !r.object(raw, "tool_choice", &c) {
			return
		}
		switch c.Type {
		case "function", "custom":
			r.query.mode, r.query.tool = chooseAny, c.Name
			if !r.query.offers(c.Name) {
				r.refuse("tool_choice", "", "Tool choice '%s' not found in 'tools' parameter.", clip(c.Name, maxName))
			}
			return
		case "allowed_tools":
			mode = c.Mode
			r.allow(c.Tools)
		default:
			mode = "auto" // one of the vendor's own
		}
	}
	r.oneOf("tool_choice", mode, "none", "auto", "required")
	switch mode {
	case "none":
		r.query.mode = chooseNone
	case "required":
		r.query.mode = chooseAny
		if !given(r.req.Tools) {
			r.refuse("tool_choice", "", "Tool choice 'required' must be specified with 'tools' parameter.")
		}
	}
}

// allow keeps the tools of an allowed_tools choice.
func (r *itemReader) allow(tools []json.RawMessage) {
	var names []string
	for _, raw := range tools {
		var t struct{ Name string }
		if json.Unmarshal(raw, &t) == nil {
			names = append(names, t.Name)
		}
	}
	r.query.tools = slices.DeleteFunc(r.query.tools, func(o offer) bool { return !slices.Contains(names, o.name) })
}

// form reads the form that the answer must have.
func (r *itemReader) form() {
	if !given(r.req.Text) {
		return
	}
	var t struct {
		Format    json.RawMessage `json:"format"`
		Verbosity *string         `json:"verbosity"`
	}
	if !r.object(r.req.Text, "text", &t) {
		return
	}
	r.oneOf("text.verbosity", deref(t.Verbosity), "low", "medium", "high")
	if !given(t.Format) {
		return
	}
	var f struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		Description *string         `json:"description"`
		Schema      json.RawMessage `json:"schema"`
		Strict      *bool           `json:"strict"`
	}
	if !r.object(t.Format, "text.format", &f) {
		return
	}
	switch f.Type {
	case "text":
	case "json_object":
		r.query.object = true
	case "json_schema":
		switch {
		case f.Name == "":
			r.missing("text.format.name")
		case !given(f.Schema):
			r.missing("text.format.schema")
		case f.Strict != nil && *f.Strict:
			r.strictSchema(f.Schema, "text.format.schema", "invalid_json_schema", "response_format '"+f.Name+"'")
		}
		r.query.schema = f.Schema
	default:
		r.oneOf("text.format.type", f.Type, "text", "json_object", "json_schema")
	}
}

// conversation finds what the request continues.
func (r *itemReader) conversation() {
	if given(r.req.Conversation) {
		r.bad = notFound("Conversation with id '" + clip(string(r.req.Conversation), 80) + "' not found.")
		return
	}
	id := deref(r.req.Previous)
	if id == "" {
		return
	}
	before, ok := r.s.responses.conversation(r.owner, id)
	if !ok {
		r.refuse("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", clip(id, 80))
		return
	}
	r.before = before
}

func notFound(message string) *problem {
	return &problem{status: http.StatusNotFound, kind: "invalid_request_error", message: message}
}
