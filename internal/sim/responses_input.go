package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tokens of what is no text: an image in low detail, and a page
// (platform.openai.com, "Images and vision").
const (
	openImage = 85
	openFile  = 500
)

// sealReasoning is the maker of encrypted_content.
const sealReasoning = "openai reasoning"

// inputItem is an item with the members of all kinds; itemKinds says which
// belong to which.
type inputItem struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Status    json.RawMessage `json:"status"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	Phase     json.RawMessage `json:"phase"`
	CallID    *string         `json:"call_id"`
	Name      string          `json:"name"`
	Arguments *string         `json:"arguments"`
	Input     *string         `json:"input"`
	Output    json.RawMessage `json:"output"`
	Summary   json.RawMessage `json:"summary"`
	Encrypted *string         `json:"encrypted_content"`
	Caller    json.RawMessage `json:"caller"`
	Namespace json.RawMessage `json:"namespace"`
}

// itemKinds are the kinds of items, their members, and how the id begins.
var itemKinds = map[string]struct {
	prefix  string
	members []string
}{
	"message":                 {"msg", []string{"role", "content", "phase"}},
	"function_call":           {"fc", []string{"call_id", "name", "arguments", "caller", "namespace"}},
	"function_call_output":    {"", []string{"call_id", "output", "caller"}},
	"custom_tool_call":        {"ctc", []string{"call_id", "name", "input", "caller", "namespace"}},
	"custom_tool_call_output": {"", []string{"call_id", "output", "caller"}},
	"reasoning":               {"rs", []string{"summary", "content", "encrypted_content"}},
	"item_reference":          {"", nil},
}

// ownItems are kinds that only the vendor's own tools make, and whose inside
// is not looked at.
var ownItems = []string{
	"file_search_call", "web_search_call", "computer_call", "computer_call_output", "code_interpreter_call",
	"image_generation_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
	"apply_patch_call", "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response",
	"mcp_call", "compaction", "tool_search_call", "tool_search_output", "additional_tools", "program", "program_output",
}

// input reads the input: a text, or items.
func (r *itemReader) input() {
	if !given(r.req.Input) {
		if len(r.before) == 0 && !given(r.req.Prompt) {
			r.missing("input")
		}
		return
	}
	var s string
	if json.Unmarshal(r.req.Input, &s) == nil {
		r.req.Input = encode([]struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		}{{"user", s}})
	}
	all, ok := items(r.req.Input)
	if !ok {
		r.refuse("input", "invalid_type", "Invalid type for 'input': expected one of a string or array of objects.")
	}
	if ok && len(all) == 0 && len(r.before) == 0 {
		r.refuse("input", "empty_array", "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i, raw := range all {
		r.item(raw, fmt.Sprintf("input[%d]", i), false)
	}
}

// item checks an item and adds it to the prompt. What is kept comes back as it
// was and is not checked again.
func (r *itemReader) item(raw json.RawMessage, at string, kept bool) {
	if r.bad != nil {
		return
	}
	var all map[string]json.RawMessage
	var k struct{ Type, Role string }
	if !isObject(raw) || json.Unmarshal(raw, &all) != nil || json.Unmarshal(raw, &k) != nil {
		r.refuse(at, "invalid_type", "Invalid type for '%s': expected an object.", at)
		return
	}
	if k.Type == "" && k.Role != "" {
		k.Type = "message"
	}
	r.query.last = ""
	if slices.Contains(ownItems, k.Type) {
		r.prompt.Write(raw)
		r.keep(all, k.Type)
		return
	}
	kind, ok := itemKinds[k.Type]
	if !ok {
		if k.Type == "" {
			r.missing(at + ".type")
		}
		r.oneOf(at, k.Type, "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning", "item_reference")
		return
	}
	for name := range all {
		if !slices.Contains([]string{"type", "id", "status"}, name) && !slices.Contains(kind.members, name) {
			p := path(at, clip(name, maxName))
			r.refuse(p, "unknown_parameter", "Unknown parameter: '%s'.", p)
			return
		}
	}
	var it inputItem
	if !r.object(raw, at, &it) {
		return
	}
	it.Type = k.Type
	if it.ID != "" && kind.prefix != "" && !strings.HasPrefix(it.ID, kind.prefix) {
		r.refuse(at+".id", "invalid_value", "Invalid '%s.id': '%s'. Expected an ID that begins with '%s'.", at, clip(it.ID, 80), kind.prefix)
	}
	if it.Type != "reasoning" {
		r.alone = ""
	}
	r.write(&it, at, kept)
	if !kept {
		r.keep(all, k.Type)
	}
}

// keep remembers an item as it is told back: with a type and an id.
func (r *itemReader) keep(all map[string]json.RawMessage, kind string) {
	all["type"] = encode(kind)
	if all["id"] == nil {
		prefix := itemKinds[kind].prefix
		if prefix == "" {
			prefix = "item"
		}
		all["id"] = encode(fmt.Sprintf("%s_sim%016x", prefix, mix(hash(r.prompt.String())+uint64(len(r.items)))))
	}
	if all["status"] == nil && kind != "item_reference" {
		all["status"] = encode("completed")
	}
	var text string
	if kind == "message" && json.Unmarshal(all["content"], &text) == nil {
		part := "input_text"
		var role string
		if json.Unmarshal(all["role"], &role) == nil && role == "assistant" {
			part = "output_text"
		}
		all["content"] = encode([]struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}{{part, text}})
	}
	r.items = append(r.items, encode(all))
}

func (r *itemReader) write(it *inputItem, at string, kept bool) {
	switch it.Type {
	case "message":
		r.message(it, at)
	case "function_call", "custom_tool_call":
		what, args := "function call", it.Arguments
		if it.Type == "custom_tool_call" {
			what, args = "custom tool call", it.Input
		}
		if r.callID(it, at); r.bad != nil {
			return
		}
		switch {
		case it.Name == "":
			r.missing(at + ".name")
		case args == nil:
			r.missing(at + map[string]string{"function call": ".arguments", "custom tool call": ".input"}[what])
		default:
			r.asked[*it.CallID] = what
			r.order = append(r.order, *it.CallID)
			r.prompt.WriteString("\n" + it.Name + *args)
		}
	case "function_call_output", "custom_tool_call_output":
		if r.callID(it, at); r.bad != nil {
			return
		}
		if _, ok := r.asked[*it.CallID]; !ok {
			r.refuse("input", "", "No tool call found for %s with call_id %s.", strings.ReplaceAll(it.Type, "_", " "), clip(*it.CallID, maxName))
		}
		r.asked[*it.CallID] = ""
		r.prompt.WriteString("\ntool\n")
		if !given(it.Output) {
			r.missing(at + ".output")
			return
		}
		r.content(it.Output, at+".output", "tool")
	case "reasoning":
		r.reasoning(it, at, kept)
	case "item_reference":
		if !r.s.responses.has(r.owner, it.ID) {
			r.bad = notFound("Item with id '" + clip(it.ID, 80) + "' not found.")
		}
	}
}

func (r *itemReader) callID(it *inputItem, at string) {
	switch {
	case it.CallID == nil:
		r.missing(at + ".call_id")
	case *it.CallID == "":
		r.refuse(at+".call_id", "empty_string", "Invalid '%s.call_id': empty string. Expected a string with minimum length 1, but got an empty string instead.", at)
	case len(*it.CallID) > 64:
		r.refuse(at+".call_id", "string_above_max_length", "Invalid '%s.call_id': string too long. Expected a string with maximum length 64, but got a string with length %d instead.", at, len(*it.CallID))
	}
}

func (r *itemReader) message(it *inputItem, at string) {
	r.oneOf(at+".role", it.Role, "assistant", "system", "developer", "user")
	r.prompt.WriteString("\n" + it.Role + "\n")
	if !given(it.Content) {
		r.missing(at + ".content")
		return
	}
	said := r.content(it.Content, at+".content", it.Role)
	if it.Role == "user" {
		r.query.last = said
	}
}

// inputPart is a part of a message, or of what a tool answered.
type inputPart struct {
	Type        string          `json:"type"`
	Text        *string         `json:"text"`
	Refusal     *string         `json:"refusal"`
	ImageURL    *string         `json:"image_url"`
	FileID      *string         `json:"file_id"`
	Detail      *string         `json:"detail"`
	FileData    *string         `json:"file_data"`
	FileURL     *string         `json:"file_url"`
	Filename    *string         `json:"filename"`
	Annotations json.RawMessage `json:"annotations"`
	Logprobs    json.RawMessage `json:"logprobs"`
	Breakpoint  json.RawMessage `json:"prompt_cache_breakpoint"`
}

// content reads a text, or parts. It returns the text.
func (r *itemReader) content(raw json.RawMessage, at, role string) (said string) {
	if json.Unmarshal(raw, &said) == nil {
		r.prompt.WriteString(said)
		return said
	}
	all, ok := items(raw)
	if !ok {
		r.refuse(at, "invalid_type", "Invalid type for '%s': expected one of an array of objects or string.", at)
	}
	for i, raw := range all {
		where := fmt.Sprintf("%s[%d]", at, i)
		var p inputPart
		if r.bad != nil || !r.object(raw, where, &p) {
			return said
		}
		if role == "assistant" {
			r.oneOf(where, p.Type, "output_text", "refusal")
		} else {
			r.oneOf(where, p.Type, "input_text", "input_image", "input_file")
		}
		said += r.part(&p, where)
	}
	return said
}

func (r *itemReader) part(p *inputPart, at string) string {
	switch p.Type {
	case "":
		r.missing(at + ".type")
	case "input_text", "output_text":
		if p.Text == nil {
			r.missing(at + ".text")
			return ""
		}
		r.prompt.WriteString(*p.Text)
		return *p.Text
	case "refusal":
		r.prompt.WriteString(deref(p.Refusal))
	case "input_image":
		switch {
		case p.ImageURL == nil && p.FileID == nil:
			r.missing(at + ".image_url")
		case p.ImageURL != nil && !urlOK(*p.ImageURL):
			r.refuse(at+".image_url", "invalid_value", "Invalid '%s.image_url'. Expected a valid URL, but got a value with an invalid format.", at)
		}
		r.query.media += openImage
		fmt.Fprintf(&r.prompt, "[image %x]", digest(deref(p.ImageURL)+deref(p.FileID)))
	case "input_file":
		switch {
		case p.FileData == nil && p.FileID == nil && p.FileURL == nil:
			r.missing(at + ".file_data")
		case p.FileData != nil && (!urlOK(*p.FileData) || !strings.HasPrefix(*p.FileData, "data:")):
			r.refuse(at+".file_data", "invalid_value", "Invalid file data: '%s.file_data'. Expected a base64-encoded data URL with a valid file MIME type (e.g. 'data:text/plain;base64,SGVsbG8sIFdvcmxkIQ=='), but got a value without the 'data:' prefix.", at)
		case p.FileData != nil && p.Filename == nil:
			r.missing(at + ".filename")
		}
		r.query.media += openFile
		fmt.Fprintf(&r.prompt, "[file %x]", digest(deref(p.FileData)+deref(p.FileID)+deref(p.FileURL)))
	}
	return ""
}

// urlOK reports whether an address is one of the web, or holds its data.
func urlOK(s string) bool {
	if rest, ok := strings.CutPrefix(s, "data:"); ok {
		_, data, ok := strings.Cut(rest, ";base64,")
		return ok && base64OK(data)
	}
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// reasoning checks that what was thought comes back as it was: sealed, or by
// the id of an item that was stored.
func (r *itemReader) reasoning(it *inputItem, at string, kept bool) {
	if it.Summary == nil {
		r.missing(at + ".summary")
	}
	if kept {
		return
	}
	r.alone = it.ID
	if it.Encrypted == nil {
		if !r.s.responses.has(r.owner, it.ID) {
			r.bad = notFound("Item with id '" + clip(it.ID, 80) + "' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.")
		}
		return
	}
	seal, err := base64.RawURLEncoding.DecodeString(*it.Encrypted)
	if _, ok := r.s.unseal(sealReasoning, seal); err != nil || !ok {
		r.refuse("input", "invalid_encrypted_content", "The encrypted content %s could not be verified. Reason: Encrypted content could not be decrypted or parsed.", clip(*it.Encrypted, 24)+"...")
	}
	r.query.seals++
}
