package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tokens of what is no text, as Gemini counts small images, pages and ten
// seconds of sound (ai.google.dev, "Understand and count tokens").
const (
	geminiImage = 258
	geminiSound = 320
)

// sealGemini is the maker of thought signatures.
const sealGemini = "gemini thought"

// noSignature are what Google's pages allow in place of a signature, for calls
// that another model made.
var noSignature = []string{"context_engineering_is_the_way_to_go", "skip_thought_signature_validator"}

// geminiPart is a part of a content.
type geminiPart struct {
	Text         *string         `json:"text"`
	Thought      bool            `json:"thought"`
	Signature    *string         `json:"thoughtSignature"`
	Inline       json.RawMessage `json:"inlineData"`
	File         json.RawMessage `json:"fileData"`
	Call         json.RawMessage `json:"functionCall"`
	Response     json.RawMessage `json:"functionResponse"`
	Code         json.RawMessage `json:"executableCode"`
	CodeResult   json.RawMessage `json:"codeExecutionResult"`
	ToolCall     json.RawMessage `json:"toolCall"`
	ToolResponse json.RawMessage `json:"toolResponse"`
	Video        json.RawMessage `json:"videoMetadata"`
	Resolution   json.RawMessage `json:"mediaResolution"`
	Metadata     json.RawMessage `json:"partMetadata"`
}

// geminiContent is a turn, or a system instruction.
type geminiContent struct {
	Role  string            `json:"role"`
	Parts []json.RawMessage `json:"parts"`
}

// system reads a system instruction: a content, or a text.
func (r *geminiReader) system(raw json.RawMessage) {
	var c geminiContent
	if !r.message(raw, "system_instruction", &c) {
		return
	}
	r.prompt.WriteString("\nsystem\n")
	for i, p := range c.Parts {
		var t geminiTurn
		if text := r.part(p, fmt.Sprintf("system_instruction.parts[%d]", i), &t); text == "" {
			r.refuse("* GenerateContentRequest.system_instruction.parts[%d]: only text is supported.\n", i)
		}
	}
}

func (r *geminiReader) content(raw json.RawMessage, i int) {
	at := fmt.Sprintf("contents[%d]", i)
	var c geminiContent
	if r.bad != nil || !r.message(raw, at, &c) {
		return
	}
	if !slices.Contains([]string{"", "user", "model", "function"}, c.Role) {
		r.refuse("Please use a valid role: user, model.")
	}
	if len(c.Parts) == 0 {
		r.refuse("* GenerateContentRequest.%s.parts: contents.parts must not be empty.\n", at)
	}
	t := geminiTurn{model: c.Role == "model"}
	r.prompt.WriteString("\n" + c.Role + "\n")
	said, last := "", 0
	for j, p := range c.Parts {
		before := t.responses
		said += r.part(p, fmt.Sprintf("%s.parts[%d]", at, j), &t)
		last = t.responses - before
	}
	r.query.last = ""
	if !t.model && last == 0 {
		r.query.last = said
	}
	r.contents = append(r.contents, t)
}

// part checks a part and adds it to the prompt. It returns its text.
func (r *geminiReader) part(raw json.RawMessage, at string, t *geminiTurn) (text string) {
	var p geminiPart
	if r.bad != nil || !r.message(raw, at, &p) {
		return ""
	}
	n := 0
	for _, data := range []json.RawMessage{p.Inline, p.File, p.Call, p.Response, p.Code, p.CodeResult, p.ToolCall, p.ToolResponse} {
		if given(data) {
			n++
		}
	}
	if p.Text != nil {
		n++
	}
	switch {
	case n == 0 && p.Signature == nil:
		r.refuse("* GenerateContentRequest.%s.data: required oneof field 'data' must have one initialized field\n", at)
	case n > 1:
		r.refuse("Invalid value at '%s' (oneof), oneof field 'data' is already set.", at)
	}
	if p.Signature != nil {
		r.signature(*p.Signature)
	}
	t.own = t.own || !given(p.Response)
	switch {
	case given(p.Call):
		r.call(&p, at, t)
	case given(p.Response):
		r.response(p.Response, at, t)
	case given(p.Inline):
		r.inline(p.Inline, at)
	case given(p.File):
		var f struct {
			MIME string `json:"mimeType"`
			URI  string `json:"fileUri"`
			Name string `json:"displayName"`
		}
		if r.message(p.File, at+".file_data", &f) && f.URI == "" {
			r.refuse("* GenerateContentRequest.%s.file_data.file_uri: file_uri is required.\n", at)
		}
		r.prompt.WriteString(f.URI)
		r.heavy(f.MIME, at)
	case p.Text != nil && !p.Thought:
		text = *p.Text
		r.prompt.WriteString(text)
	}
	return text
}

// signature refuses a signature that the model never made.
func (r *geminiReader) signature(s string) {
	if slices.Contains(noSignature, s) {
		return
	}
	data, ok := bytesOf(s)
	if ok && slices.Contains(noSignature, string(data)) {
		return
	}
	if _, made := r.s.unseal(sealGemini, data); !ok || !made {
		r.refuse("Corrupted thought signature.")
	}
	r.query.seals++
}

func (r *geminiReader) call(p *geminiPart, at string, t *geminiTurn) {
	var f struct {
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Args     json.RawMessage `json:"args"`
		Partial  json.RawMessage `json:"partialArgs"`
		Continue *bool           `json:"willContinue"`
	}
	if !r.message(p.Call, at+".function_call", &f) {
		return
	}
	switch {
	case f.Name == "":
		r.refuse("* GenerateContentRequest.%s.function_call.name: Name cannot be empty.\n", at)
	case given(f.Args) && !isObject(f.Args):
		r.refuse("Invalid value at '%s.function_call.args' (type.googleapis.com/google.protobuf.Struct), %s", at, clip(string(f.Args), 40))
	case !t.model:
		r.refuse("Please ensure that function call turns are of role model.")
	}
	if len(t.calls) == 0 {
		t.signed = p.Signature != nil
	}
	t.calls = append(t.calls, f.Name)
	r.prompt.WriteString(f.Name)
	r.prompt.Write(f.Args)
}

func (r *geminiReader) response(raw json.RawMessage, at string, t *geminiTurn) {
	var f struct {
		ID         string            `json:"id"`
		Name       string            `json:"name"`
		Response   json.RawMessage   `json:"response"`
		Parts      []json.RawMessage `json:"parts"`
		Continue   *bool             `json:"willContinue"`
		Scheduling string            `json:"scheduling"`
	}
	at += ".function_response"
	if !r.message(raw, at, &f) {
		return
	}
	switch {
	case f.Name == "":
		r.refuse("* GenerateContentRequest.%s.name: Name cannot be empty.\n", at)
	case !isObject(f.Response):
		r.refuse("Invalid value at '%s.response' (type.googleapis.com/google.protobuf.Struct), %s", at, clip(string(f.Response), 40))
	case t.model:
		r.refuse("Please ensure that function response turns are of role user.")
	}
	t.responses++
	r.prompt.WriteString(f.Name)
	r.prompt.Write(f.Response)
	for i, p := range f.Parts {
		where := fmt.Sprintf("%s.parts[%d]", at, i)
		var m struct {
			Inline json.RawMessage `json:"inlineData"`
			File   json.RawMessage `json:"fileData"`
		}
		if r.message(p, where, &m) && given(m.Inline) {
			r.inline(m.Inline, where)
		}
	}
}

func (r *geminiReader) inline(raw json.RawMessage, at string) {
	var b struct {
		MIME string `json:"mimeType"`
		Data string `json:"data"`
		Name string `json:"displayName"`
	}
	if !r.message(raw, at+".inline_data", &b) {
		return
	}
	data, ok := bytesOf(b.Data)
	if !ok || len(data) == 0 {
		r.refuse("Invalid value at '%s.inline_data.data' (TYPE_BYTES), Base64 decoding failed", at)
	}
	if strings.HasPrefix(b.MIME, "text/") {
		r.prompt.Write(data)
		return
	}
	fmt.Fprintf(&r.prompt, "[%s %x]", b.MIME, digest(b.Data))
	r.heavy(b.MIME, at)
}

// heavy counts what is no text.
func (r *geminiReader) heavy(mime, at string) {
	kind, tokens := "", geminiImage
	switch {
	case strings.HasPrefix(mime, "image/"):
		kind = "IMAGE"
	case strings.HasPrefix(mime, "audio/"):
		kind, tokens = "AUDIO", geminiSound
	case strings.HasPrefix(mime, "video/"):
		kind, tokens = "VIDEO", 10*geminiImage
	case mime == "application/pdf", mime == "":
		kind = "DOCUMENT"
	default:
		r.refuse("Unsupported MIME type: %s", clip(mime, 80))
		return
	}
	if r.media == nil {
		r.media = make(map[string]int)
	}
	r.media[kind] += tokens
	r.query.media += tokens
}

// between checks what the vendor wants of contents that follow each other.
func (r *geminiReader) between() {
	current := 0 // where the turn of the user that is being answered begins
	for i, t := range r.contents {
		if !t.model && t.own {
			current = i
		}
	}
	for i, t := range r.contents {
		var before geminiTurn
		if i > 0 {
			before = r.contents[i-1]
		}
		if len(t.calls) > 0 && (i == 0 || before.model) {
			r.refuse("Please ensure that function call turn comes immediately after a user turn or after a function response turn.")
		}
		if t.responses > 0 && len(before.calls) == 0 {
			r.refuse("Please ensure that function response turn comes immediately after a function call turn.")
		}
		if len(before.calls) > 0 && t.responses != len(before.calls) {
			r.refuse("Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.")
		}
		if strings.HasPrefix(r.model, "gemini-3") && i > current && len(t.calls) > 0 && !t.signed {
			r.refuse("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:%s` , position %d. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.", clip(t.calls[0], maxName), i+1)
		}
	}
	if n := len(r.contents); n > 0 && r.contents[n-1].model && len(r.contents[n-1].calls) > 0 {
		r.refuse("Please ensure that function call turn comes immediately before a function response turn.")
	}
}
