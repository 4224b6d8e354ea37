package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// geminiRequest is a request of Gemini's generateContent and countTokens.
// Names are read in camel case and with underscores, as the vendor does.
type geminiRequest struct {
	Model    string          `json:"model"`
	Contents json.RawMessage `json:"contents"`
	System   json.RawMessage `json:"systemInstruction"`
	Tools    json.RawMessage `json:"tools"`
	Config   json.RawMessage `json:"toolConfig"`
	Generate json.RawMessage `json:"generationConfig"`
	Safety   json.RawMessage `json:"safetySettings"`
	Cached   string          `json:"cachedContent"`
	Labels   json.RawMessage `json:"labels"`
	Tier     string          `json:"serviceTier"`
	Store    *bool           `json:"store"`
	Whole    json.RawMessage `json:"generateContentRequest"` // of countTokens
}

// generation is the generationConfig. Members that only pass are not looked
// into.
type generation struct {
	Candidates  *int            `json:"candidateCount"`
	Stops       []string        `json:"stopSequences"`
	Limit       *int            `json:"maxOutputTokens"`
	Temperature *float64        `json:"temperature"`
	TopP        *float64        `json:"topP"`
	TopK        *float64        `json:"topK"`
	MIME        string          `json:"responseMimeType"`
	Schema      json.RawMessage `json:"responseSchema"`
	JSONSchema  json.RawMessage `json:"responseJsonSchema"`
	OldSchema   json.RawMessage `json:"_responseJsonSchema"`
	Thinking    json.RawMessage `json:"thinkingConfig"`
	Presence    *float64        `json:"presencePenalty"`
	Frequency   *float64        `json:"frequencyPenalty"`
	Logprobs    *bool           `json:"responseLogprobs"`
	TopLogprobs *int            `json:"logprobs"`
	Seed        *int            `json:"seed"`
	Modalities  []string        `json:"responseModalities"`
	Resolution  string          `json:"mediaResolution"`
	Speech      json.RawMessage `json:"speechConfig"`
	Image       json.RawMessage `json:"imageConfig"`
	Civic       *bool           `json:"enableEnhancedCivicAnswers"`
	Routing     json.RawMessage `json:"routingConfig"`
	Timestamp   *bool           `json:"audioTimestamp"`
}

// geminiReader reads one request and remembers the first thing that the
// vendor would refuse.
type geminiReader struct {
	s        *Server
	model    string
	bad      *problem
	query    query
	prompt   strings.Builder
	media    map[string]int // tokens by modality
	answers  int
	show     bool // thoughts
	contents []geminiTurn
}

// geminiTurn is a content as far as the rules between contents need it.
type geminiTurn struct {
	model     bool
	calls     []string // names
	signed    bool     // its first call is
	responses int
	own       bool // it has a part that is no response
}

func (r *geminiReader) refuse(format string, args ...any) {
	if r.bad == nil {
		p := geminiBad(fmt.Sprintf(format, args...))
		r.bad = &p
	}
}

// message decodes a protocol buffer's message from JSON. at leads to it in the
// vendor's words, "" for the request.
func (r *geminiReader) message(raw json.RawMessage, at string, into any) bool {
	where := ""
	if at != "" {
		where = " at '" + at + "'"
	}
	var all map[string]json.RawMessage
	if !isObject(raw) || json.Unmarshal(raw, &all) != nil {
		r.refuse("Invalid value%s (type.googleapis.com/google.ai.generativelanguage), a message was expected", where)
		return false
	}
	renamed := make(map[string]json.RawMessage, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if string(all[name]) != "null" {
			renamed[camel(name)] = all[name]
		}
	}
	w := strict(encode(renamed), into)
	if w == nil {
		return true
	}
	if w.unknown != "" {
		r.refuse("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", w.unknown, where)
		if r.bad.field == "" {
			r.bad.field = strings.TrimPrefix(at+"."+w.unknown, ".")
		}
	} else {
		r.refuse("Invalid value at '%s', %s", strings.Trim(at+"."+w.field, "."), w.got)
	}
	return false
}

// camel returns a_b as aB; a name that begins with an underscore keeps that.
func camel(name string) string {
	if !strings.Contains(name[min(1, len(name)):], "_") {
		return name
	}
	var b strings.Builder
	up := false
	for i, ch := range []byte(name) {
		if ch == '_' && i > 0 {
			up = true
			continue
		}
		if up && ch >= 'a' && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		up = false
		b.WriteByte(ch)
	}
	return b.String()
}

// read reads a request; false: r.bad says what is wrong.
func (r *geminiReader) read(body []byte) bool {
	var q geminiRequest
	if !r.message(body, "", &q) {
		return false
	}
	if q.Whole != nil {
		return r.read(q.Whole)
	}
	r.query.limit, r.answers = maxTokens, 1
	r.query.thinking = r.s.thinks(r.model)
	if given(q.Tools) {
		r.tools(q.Tools)
	}
	if given(q.Config) {
		r.calling(q.Config)
	}
	if given(q.Generate) {
		r.generation(q.Generate)
	}
	if given(q.System) {
		r.system(q.System)
	}
	all, ok := items(q.Contents)
	if !ok || len(all) == 0 {
		r.refuse("* GenerateContentRequest.contents: contents is not specified\n")
	}
	for i, raw := range all {
		r.content(raw, i)
	}
	r.between()
	r.query.prompt = r.prompt.String()
	return r.bad == nil
}

// thinks reports whether a model thinks though nobody asks.
func (s *Server) thinks(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.models[model]
	return ok && m.set.Thinking > 0
}

func (r *geminiReader) generation(raw json.RawMessage) {
	var g generation
	if !r.message(raw, "generation_config", &g) {
		return
	}
	outside := func(v *float64, low, high float64) bool { return v != nil && (*v < low || *v > high) }
	switch {
	case outside(g.Temperature, 0, 2):
		r.refuse("* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n")
	case outside(g.TopP, 0, 1):
		r.refuse("* GenerateContentRequest.generation_config.top_p: top_p must be in the range [0.0, 1.0].\n")
	case g.Limit != nil && *g.Limit < 1:
		r.refuse("* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive.\n")
	case g.Candidates != nil && (*g.Candidates < 1 || *g.Candidates > 8):
		r.refuse("* GenerateContentRequest.generation_config.candidate_count: candidate_count must be in the range [1, 8].\n")
	case len(g.Stops) > 5:
		r.refuse("* GenerateContentRequest.generation_config.stop_sequences: at most 5 stop sequences are supported.\n")
	case g.TopLogprobs != nil && (g.Logprobs == nil || !*g.Logprobs):
		r.refuse("* GenerateContentRequest.generation_config.logprobs: logprobs can only be set if response_logprobs is true.\n")
	case !slices.Contains([]string{"", "text/plain", "application/json", "text/x.enum"}, g.MIME):
		r.refuse("* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.\n")
	}
	r.query.stops = g.Stops
	if g.Limit != nil {
		r.query.limit = *g.Limit
	}
	if g.Candidates != nil {
		r.answers = *g.Candidates
	}
	r.form(&g)
	if given(g.Thinking) {
		r.thinking(g.Thinking)
	}
}

// form reads the form that the answer must have.
func (r *geminiReader) form(g *generation) {
	schema := g.JSONSchema
	if !given(schema) {
		schema = g.OldSchema
	}
	if given(g.Schema) {
		if given(schema) {
			r.refuse("* GenerateContentRequest.generation_config: only one of response_schema and response_json_schema may be set.\n")
		}
		schema = g.Schema
		r.schema(schema, "generation_config.response_schema", 0)
	}
	if given(schema) && g.MIME != "application/json" && g.MIME != "text/x.enum" {
		r.refuse("* GenerateContentRequest.generation_config.response_schema: only allowed when response_mime_type is application/json.\n")
	}
	r.query.object = g.MIME == "application/json"
	if given(schema) {
		r.query.schema = schema
	}
}

func (r *geminiReader) thinking(raw json.RawMessage) {
	var t struct {
		Show   bool   `json:"includeThoughts"`
		Budget *int   `json:"thinkingBudget"`
		Level  string `json:"thinkingLevel"`
	}
	if !r.message(raw, "generation_config.thinking_config", &t) {
		return
	}
	level := strings.ToUpper(t.Level)
	switch {
	case t.Budget != nil && t.Level != "":
		r.refuse("You can only set only one of thinking budget and thinking level.")
	case t.Budget != nil && *t.Budget < -1:
		r.refuse("The thinking budget %d is invalid. Please choose a value between -1 and 32768.", *t.Budget)
	case t.Level != "" && strings.HasPrefix(r.model, "gemini-2"):
		r.refuse("Thinking level is not supported for this model.")
	case !slices.Contains([]string{"", "MINIMAL", "LOW", "MEDIUM", "HIGH", "THINKING_LEVEL_UNSPECIFIED"}, level):
		r.refuse("Invalid value at 'generation_config.thinking_config.thinking_level' (type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel), %q", clip(t.Level, 40))
	}
	r.query.thinking = r.query.thinking || t.Show || t.Budget != nil || t.Level != ""
	if t.Budget != nil && *t.Budget == 0 || level == "MINIMAL" {
		r.query.thinking = false
	}
	r.show = t.Show
}

var geminiName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$`)

func (r *geminiReader) tools(raw json.RawMessage) {
	all, ok := items(raw)
	if !ok {
		r.refuse("Invalid value at 'tools', a list was expected")
	}
	for i, raw := range all {
		var t struct {
			Functions json.RawMessage `json:"functionDeclarations"`
			Search    json.RawMessage `json:"googleSearch"`
			Retrieval json.RawMessage `json:"googleSearchRetrieval"`
			Code      json.RawMessage `json:"codeExecution"`
			URL       json.RawMessage `json:"urlContext"`
			Maps      json.RawMessage `json:"googleMaps"`
			Files     json.RawMessage `json:"fileSearch"`
			Computer  json.RawMessage `json:"computerUse"`
			Vertex    json.RawMessage `json:"retrieval"`
		}
		at := fmt.Sprintf("tools[%d]", i)
		if !r.message(raw, at, &t) || !given(t.Functions) {
			continue
		}
		functions, _ := items(t.Functions)
		for j, f := range functions {
			r.function(f, fmt.Sprintf("%s.function_declarations[%d]", at, j))
		}
	}
	r.prompt.Write(raw)
}

func (r *geminiReader) function(raw json.RawMessage, at string) {
	var f struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
		JSONSchema  json.RawMessage `json:"parametersJsonSchema"`
		Response    json.RawMessage `json:"response"`
		ResponseJS  json.RawMessage `json:"responseJsonSchema"`
		Behavior    string          `json:"behavior"`
	}
	if !r.message(raw, at, &f) {
		return
	}
	switch {
	case !geminiName.MatchString(f.Name):
		r.refuse("* GenerateContentRequest.%s.name: [Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.]\n", at)
	case r.query.offers(f.Name):
		r.refuse("Duplicate function declaration found: %s", f.Name)
	case given(f.Parameters) && given(f.JSONSchema):
		r.refuse("* GenerateContentRequest.%s: only one of parameters and parameters_json_schema may be set.\n", at)
	}
	schema := f.JSONSchema
	if given(f.Parameters) {
		schema = f.Parameters
		r.schema(schema, at+".parameters", 0)
	}
	r.query.tools = append(r.query.tools, offer{name: f.Name, schema: schema})
}

// schema checks that a schema is of OpenAPI's subset.
func (r *geminiReader) schema(raw json.RawMessage, at string, depth int) {
	var s struct {
		Type        json.RawMessage            `json:"type"`
		Format      string                     `json:"format"`
		Title       string                     `json:"title"`
		Description string                     `json:"description"`
		Nullable    *bool                      `json:"nullable"`
		Enum        []json.RawMessage          `json:"enum"`
		Properties  map[string]json.RawMessage `json:"properties"`
		Required    []string                   `json:"required"`
		Items       json.RawMessage            `json:"items"`
		AnyOf       []json.RawMessage          `json:"anyOf"`
		Order       []string                   `json:"propertyOrdering"`
		Default     json.RawMessage            `json:"default"`
		Example     json.RawMessage            `json:"example"`
		Pattern     string                     `json:"pattern"`
		Minimum     *float64                   `json:"minimum"`
		Maximum     *float64                   `json:"maximum"`
		MinItems    json.RawMessage            `json:"minItems"`
		MaxItems    json.RawMessage            `json:"maxItems"`
		MinLength   json.RawMessage            `json:"minLength"`
		MaxLength   json.RawMessage            `json:"maxLength"`
		MinProps    json.RawMessage            `json:"minProperties"`
		MaxProps    json.RawMessage            `json:"maxProperties"`
	}
	if depth > maxDepth || r.bad != nil || !r.message(raw, at, &s) {
		return
	}
	if given(s.Type) && s.Type[0] == '[' { // a word, or its number
		r.refuse("Invalid JSON payload received. Unknown name \"type\" at '%s': Proto field is not repeating, cannot start list.", at)
	}
	for i, e := range s.Enum {
		if e[0] != '"' {
			r.refuse("Invalid value at '%s.enum[%d]' (TYPE_STRING), %s", at, i, clip(string(e), 40))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		r.schema(s.Properties[name], fmt.Sprintf("%s.properties[%q]", at, clip(name, maxName)), depth+1)
	}
	if given(s.Items) {
		r.schema(s.Items, at+".items", depth+1)
	}
	for i, a := range s.AnyOf {
		r.schema(a, fmt.Sprintf("%s.any_of[%d]", at, i), depth+1)
	}
}

// calling reads the toolConfig.
func (r *geminiReader) calling(raw json.RawMessage) {
	var t struct {
		Calling   json.RawMessage `json:"functionCallingConfig"`
		Retrieval json.RawMessage `json:"retrievalConfig"`
		Server    *bool           `json:"includeServerSideToolInvocations"`
	}
	var f struct {
		Mode    string   `json:"mode"`
		Allowed []string `json:"allowedFunctionNames"`
		Stream  *bool    `json:"streamFunctionCallArguments"`
	}
	if !r.message(raw, "tool_config", &t) || !given(t.Calling) || !r.message(t.Calling, "tool_config.function_calling_config", &f) {
		return
	}
	switch strings.ToUpper(f.Mode) {
	case "", "AUTO", "VALIDATED", "MODE_UNSPECIFIED":
	case "NONE":
		r.query.mode = chooseNone
	case "ANY":
		r.query.mode = chooseAny
	default:
		r.refuse("Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), %q", clip(f.Mode, 40))
	}
	if len(f.Allowed) == 0 {
		if r.query.mode == chooseAny && len(r.query.tools) == 0 {
			r.refuse("Function calling config is set without function_declarations.")
		}
		return
	}
	if !slices.Contains([]string{"ANY", "VALIDATED"}, strings.ToUpper(f.Mode)) {
		r.refuse("* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names: allowed_function_names should only be set when function calling mode is ANY or VALIDATED.\n")
	}
	for i, name := range f.Allowed {
		if !r.query.offers(name) {
			r.refuse("* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names[%d]: %s is not in function_declarations.\n", i, clip(name, maxName))
		}
	}
	r.query.tools = slices.DeleteFunc(r.query.tools, func(o offer) bool { return !slices.Contains(f.Allowed, o.name) })
}

// bytesOf decodes a protocol buffer's bytes: either alphabet, padded or not.
func bytesOf(s string) ([]byte, bool) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil
}

func geminiBad(message string) problem {
	return problem{status: http.StatusBadRequest, kind: "INVALID_ARGUMENT", message: message}
}
