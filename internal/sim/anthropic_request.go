package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// messagesRequest is a request of Anthropic's Messages, with every member that
// the vendor knows. Members that only pass are not looked into.
type messagesRequest struct {
	Model         string          `json:"model"`
	Version       string          `json:"anthropic_version"` // on Vertex
	MaxTokens     *int            `json:"max_tokens"`
	Messages      json.RawMessage `json:"messages"`
	System        json.RawMessage `json:"system"`
	Stream        bool            `json:"stream"`
	Tools         json.RawMessage `json:"tools"`
	ToolChoice    json.RawMessage `json:"tool_choice"`
	Thinking      json.RawMessage `json:"thinking"`
	OutputConfig  json.RawMessage `json:"output_config"`
	StopSequences []string        `json:"stop_sequences"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	TopK          *int            `json:"top_k"`
	Metadata      json.RawMessage `json:"metadata"`
	CacheControl  json.RawMessage `json:"cache_control"`
	ServiceTier   string          `json:"service_tier"`
	Container     json.RawMessage `json:"container"`
	ContextMgmt   json.RawMessage `json:"context_management"`
	MCPServers    json.RawMessage `json:"mcp_servers"`
	InferenceGeo  json.RawMessage `json:"inference_geo"`
	Speed         json.RawMessage `json:"speed"`
	Diagnostics   json.RawMessage `json:"diagnostics"`
	Workspace     json.RawMessage `json:"workspace_id"`
}

// The versions of the API. From versionBearer on, sampling is not the caller's.
const (
	versionKey    = "2023-06-01"
	versionBearer = "2026-10-21"
	versionVertex = "vertex-2023-10-16"
)

// reader reads one request and remembers the first thing that the vendor
// would refuse.
type reader struct {
	s       *Server
	req     messagesRequest
	version string
	counts  bool // it only counts tokens
	bad     string

	query   query
	prompt  strings.Builder
	breaks  []cacheBreak
	display string // of the thinking: "omitted", or "" for shown
	budget  bool   // thinking is enabled by a budget, whose rules are stricter than adaptive's
	turns   []turn
}

// turn is a message as far as the rules between messages need it.
type turn struct {
	role    string
	blocks  []string // types, in order
	calls   []string // ids of tool_use blocks
	results []string // ids of tool_result blocks
}

// cacheBreak is where a cache_control block ends in the prompt.
type cacheBreak struct {
	bytes int
	hour  bool
}

// refuse remembers a message if it is the first.
func (r *reader) refuse(format string, args ...any) {
	if r.bad == "" {
		r.bad = fmt.Sprintf(format, args...)
	}
}

// object decodes an object strictly.
func (r *reader) object(raw json.RawMessage, at string, into any) bool {
	if !isObject(raw) {
		r.refuse("%s: Input should be a valid dictionary or object to extract fields from", at)
		return false
	}
	w := strict(raw, into)
	if w == nil {
		return true
	}
	if w.unknown != "" {
		r.refuse("%s: Extra inputs are not permitted", path(at, w.unknown))
	} else {
		r.refuse("%s: Input should be a valid value, not %s", strings.TrimPrefix(path(at, w.field), "."), w.got)
	}
	return false
}

// read reads the request; false: r.bad says what is wrong.
func (r *reader) read(body []byte) bool {
	if !r.object(body, "", &r.req) {
		r.bad = strings.TrimPrefix(r.bad, ": ")
		return false
	}
	r.scalars()
	r.thinking()
	r.tools()
	r.output()
	r.system()
	r.messages()
	r.between()
	r.thoughtful()
	if n := len(r.breaks); n > 4 {
		r.refuse("A maximum of 4 blocks with cache_control may be provided. Found %d.", n)
	}
	if given(r.req.CacheControl) && r.bad == "" { // the whole prompt, as far as it goes
		r.mark(r.req.CacheControl, "cache_control")
	}
	r.query.prompt = r.prompt.String()
	return r.bad == ""
}

func (r *reader) scalars() {
	q := &r.req
	if q.Messages == nil {
		r.refuse("messages: Field required")
	}
	if !r.counts {
		switch {
		case q.MaxTokens == nil:
			r.refuse("max_tokens: Field required")
		case *q.MaxTokens < 1:
			r.refuse("max_tokens: Input should be greater than or equal to 1")
		default:
			r.query.limit = *q.MaxTokens
		}
	}
	if r.version == versionBearer {
		switch {
		case q.Temperature != nil:
			r.refuse("temperature: Extra inputs are not permitted")
		case q.TopP != nil:
			r.refuse("top_p: Extra inputs are not permitted")
		case q.TopK != nil:
			r.refuse("top_k: Extra inputs are not permitted")
		}
	}
	if t := q.Temperature; t != nil && (*t < 0 || *t > 1) {
		r.refuse("temperature: range: 0..1")
	}
	if p := q.TopP; p != nil && (*p < 0 || *p > 1) {
		r.refuse("top_p: range: 0..1")
	}
	for _, s := range q.StopSequences {
		if strings.TrimSpace(s) == "" {
			r.refuse("stop_sequences: each stop sequence must contain non-whitespace")
		}
	}
	if !slices.Contains([]string{"", "auto", "standard_only"}, q.ServiceTier) {
		r.refuse("service_tier: Input should be 'auto' or 'standard_only'")
	}
	if given(q.Metadata) {
		var m struct {
			User *string `json:"user_id"`
		}
		r.object(q.Metadata, "metadata", &m)
	}
	r.query.stops = q.StopSequences
}

// thinking reads whether the model is to think.
func (r *reader) thinking() {
	if !given(r.req.Thinking) {
		return
	}
	var t struct {
		Type    string `json:"type"`
		Budget  *int   `json:"budget_tokens"`
		Display string `json:"display"`
	}
	if !r.object(r.req.Thinking, "thinking", &t) {
		return
	}
	switch t.Type {
	case "disabled":
		return
	case "adaptive", "between_tools":
	case "enabled":
		r.budget = true
		switch {
		case t.Budget == nil:
			r.refuse("thinking.enabled.budget_tokens: Field required")
		case *t.Budget < 1024:
			r.refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
		case r.req.MaxTokens != nil && *r.req.MaxTokens <= *t.Budget:
			r.refuse("`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-sizes")
		}
	default:
		r.refuse("thinking: Input tag '%s' found using 'type' does not match any of the expected tags: 'adaptive', 'between_tools', 'disabled', 'enabled'", clip(t.Type, 40))
	}
	q := &r.req
	switch {
	case q.Temperature != nil && *q.Temperature != 1:
		r.refuse("`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking")
	case q.TopK != nil:
		r.refuse("`top_k` must be unset when thinking is enabled. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking")
	case q.TopP != nil && *q.TopP < 0.95:
		r.refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
	}
	r.query.thinking, r.display = true, t.Display
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

func (r *reader) tools() {
	if given(r.req.Tools) {
		all, ok := items(r.req.Tools)
		if !ok {
			r.refuse("tools: Input should be a valid array")
		}
		for i, raw := range all {
			r.oneTool(raw, path("tools", i))
		}
	}
	r.toolChoice()
}

func (r *reader) oneTool(raw json.RawMessage, at string) {
	var k struct{ Type, Name string }
	if json.Unmarshal(raw, &k) != nil {
		r.refuse("%s: Input should be a valid dictionary or object to extract fields from", at)
		return
	}
	if k.Type != "" && k.Type != "custom" { // the vendor's own tools are never used here
		r.prompt.Write(raw)
		return
	}
	at = path(at, "custom")
	var t struct {
		Type        string            `json:"type"`
		Name        string            `json:"name"`
		Description *string           `json:"description"`
		Schema      json.RawMessage   `json:"input_schema"`
		Strict      *bool             `json:"strict"`
		Cache       json.RawMessage   `json:"cache_control"`
		Defer       *bool             `json:"defer_loading"`
		Callers     json.RawMessage   `json:"allowed_callers"`
		Examples    []json.RawMessage `json:"input_examples"`
		Eager       *bool             `json:"eager_input_streaming"`
	}
	if !r.object(raw, at, &t) {
		return
	}
	var s struct{ Type json.RawMessage }
	switch {
	case !toolName.MatchString(t.Name):
		r.refuse("%s.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", at)
	case r.query.offers(t.Name):
		r.refuse("tools: Tool names must be unique.")
	case !given(t.Schema):
		r.refuse("%s.input_schema: Field required", at)
	case json.Unmarshal(t.Schema, &s) != nil:
		r.refuse("%s.input_schema: Input does not match the expected shape.", at)
	case s.Type == nil:
		r.refuse("%s.input_schema.type: Field required", at)
	case string(s.Type) != `"object"`:
		r.refuse("%s.input_schema.type: Input should be 'object'", at)
	}
	r.query.tools = append(r.query.tools, offer{name: t.Name, schema: t.Schema})
	fmt.Fprintf(&r.prompt, "\n%s\n", t.Name)
	if t.Description != nil {
		r.prompt.WriteString(*t.Description)
	}
	r.prompt.Write(t.Schema)
	r.mark(t.Cache, path(at, "cache_control"))
}

func (r *reader) toolChoice() {
	if !given(r.req.ToolChoice) {
		return
	}
	var c struct {
		Type   string `json:"type"`
		Name   string `json:"name"`
		Single bool   `json:"disable_parallel_tool_use"`
	}
	if !r.object(r.req.ToolChoice, "tool_choice", &c) {
		return
	}
	if !given(r.req.Tools) {
		r.refuse("tool_choice may only be specified while providing tools")
	}
	r.query.single = c.Single
	switch c.Type {
	case "auto":
	case "none":
		r.query.mode = chooseNone
	case "any":
		r.query.mode = chooseAny
	case "tool":
		r.query.mode, r.query.tool = chooseAny, c.Name
		if !r.query.offers(c.Name) {
			r.refuse("Tool '%s' not found in provided tools", clip(c.Name, maxName))
		}
	default:
		r.refuse("tool_choice: Input tag '%s' found using 'type' does not match any of the expected tags: 'auto', 'any', 'tool', 'none'", clip(c.Type, 40))
	}
	if r.budget && r.query.mode == chooseAny {
		r.refuse("Thinking may not be enabled when tool_choice forces tool use.")
	}
}

// output reads the form that the answer must have.
func (r *reader) output() {
	if !given(r.req.OutputConfig) {
		return
	}
	var c struct {
		Effort *string         `json:"effort"`
		Format json.RawMessage `json:"format"`
		Budget json.RawMessage `json:"task_budget"`
	}
	if !r.object(r.req.OutputConfig, "output_config", &c) {
		return
	}
	if e := c.Effort; e != nil && !slices.Contains([]string{"low", "medium", "high", "xhigh", "max"}, *e) {
		r.refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
	}
	if !given(c.Format) {
		return
	}
	var f struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	}
	if !r.object(c.Format, "output_config.format", &f) {
		return
	}
	switch {
	case f.Type != "json_schema":
		r.refuse("output_config.format.type: Input should be 'json_schema'")
	case !given(f.Schema):
		r.refuse("output_config.format.schema: Field required")
	case !closed(f.Schema, 0):
		r.refuse("output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false")
	}
	r.query.schema = f.Schema
}

// closed reports whether every object of a schema says
// `additionalProperties: false`.
func closed(raw json.RawMessage, depth int) bool {
	var s struct {
		Type       json.RawMessage
		Properties map[string]json.RawMessage
		More       json.RawMessage `json:"additionalProperties"`
		Items      json.RawMessage
		AnyOf      []json.RawMessage
		AllOf      []json.RawMessage
		Defs       map[string]json.RawMessage `json:"$defs"`
	}
	if depth > maxDepth || !isObject(raw) || json.Unmarshal(raw, &s) != nil {
		return true
	}
	if bytes.Contains(s.Type, []byte(`"object"`)) && string(s.More) != "false" {
		return false
	}
	parts := slices.Concat(s.AnyOf, s.AllOf, []json.RawMessage{s.Items})
	for _, m := range []map[string]json.RawMessage{s.Properties, s.Defs} {
		for _, p := range m {
			parts = append(parts, p)
		}
	}
	return !slices.ContainsFunc(parts, func(p json.RawMessage) bool { return !closed(p, depth+1) })
}

// mark remembers a cache_control, which ends where the prompt does now.
func (r *reader) mark(raw json.RawMessage, at string) {
	if !given(raw) {
		return
	}
	var c struct {
		Type string `json:"type"`
		TTL  string `json:"ttl"`
	}
	if !r.object(raw, at, &c) {
		return
	}
	if c.Type != "ephemeral" {
		r.refuse("%s.type: Input should be 'ephemeral'", at)
	}
	if !slices.Contains([]string{"", "5m", "1h"}, c.TTL) {
		r.refuse("%s.ttl: Input should be '5m' or '1h'", at)
	}
	r.breaks = append(r.breaks, cacheBreak{r.prompt.Len(), c.TTL == "1h"})
}

// base64OK reports whether s is base64 of something.
func base64OK(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) > 0
}

// versionOf returns the version of the API that a request speaks; false with
// the vendor's words where it is none.
func versionOf(r *http.Request) (string, string) {
	v := r.Header.Get("Anthropic-Version")
	switch v {
	case "":
		return "", "anthropic-version: header is required"
	case versionKey, "2023-01-01", versionBearer:
		return v, ""
	}
	return "", fmt.Sprintf("anthropic-version: %q is not a valid version", clip(v, 40))
}
