package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Tokens of what is no text. Anthropic counts an image by its pixels, about
// 1,600 at most (platform.claude.com, "Vision"); a document is taken for one
// page.
const (
	claudeImage    = 1600
	claudeDocument = 1500
)

// claudeBlock is a block of content with the members of all kinds; claudeKinds
// says which belong to which.
type claudeBlock struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text"`
	Source    json.RawMessage `json:"source"`
	Title     json.RawMessage `json:"title"`
	Context   json.RawMessage `json:"context"`
	Citations json.RawMessage `json:"citations"`
	Thinking  *string         `json:"thinking"`
	Signature *string         `json:"signature"`
	Data      *string         `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	Caller    json.RawMessage `json:"caller"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   *bool           `json:"is_error"`
	ToolName  string          `json:"tool_name"`
	Cache     json.RawMessage `json:"cache_control"`
}

// claudeKinds are the kinds of blocks and their members.
var claudeKinds = map[string][]string{
	"text":              {"text", "citations", "cache_control"},
	"image":             {"source", "cache_control"},
	"document":          {"source", "title", "context", "citations", "cache_control"},
	"search_result":     {"source", "title", "content", "citations", "cache_control"},
	"thinking":          {"thinking", "signature"},
	"redacted_thinking": {"data"},
	"tool_use":          {"id", "name", "input", "caller", "cache_control"},
	"tool_result":       {"tool_use_id", "content", "is_error", "cache_control"},
	"tool_reference":    {"tool_name", "cache_control"}, // in tool_result alone
}

// claudeOwn are kinds that only the vendor makes, and whose inside is not
// looked at.
var claudeOwn = []string{
	"server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
	"bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
	"mcp_tool_use", "mcp_tool_result", "container_upload", "compaction", "advisor_tool_result",
}

var blockID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (r *reader) system() {
	raw := r.req.System
	if !given(raw) {
		return
	}
	r.prompt.WriteString("\nsystem\n")
	var s string
	if json.Unmarshal(raw, &s) == nil {
		r.prompt.WriteString(s)
		return
	}
	all, ok := items(raw)
	if !ok {
		r.refuse("system: Input should be a valid array")
	}
	for i, b := range all {
		at := path("system", i)
		var t claudeBlock
		if !r.block(b, at, &t) {
			return
		}
		if t.Type != "text" {
			r.refuse("%s.type: Input should be 'text'", at)
		}
		r.write(&t, at, nil)
	}
}

func (r *reader) messages() {
	all, ok := items(r.req.Messages)
	if !ok {
		r.refuse("messages: Input should be a valid array")
	} else if len(all) == 0 {
		r.refuse("messages: at least one message is required")
	}
	for i, raw := range all {
		if r.bad != "" {
			return
		}
		r.message(raw, i, len(all))
	}
}

func (r *reader) message(raw json.RawMessage, i, n int) {
	at := path("messages", i)
	var m struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if !r.object(raw, at, &m) {
		return
	}
	switch m.Role {
	case "user", "assistant":
	case "system":
		if i == 0 {
			r.refuse(`messages: Unexpected role "system". The Messages API accepts a top-level ` + "`system` parameter, not \"system\" as the first message.")
		}
	default:
		r.refuse("%s.role: Input should be 'user' or 'assistant'", at)
	}
	if i == 0 && m.Role == "assistant" {
		r.refuse("messages: first message must use the \"user\" role")
	}
	t := turn{role: m.Role}
	r.prompt.WriteString("\n" + m.Role + "\n")
	r.query.last = ""
	var text string
	if json.Unmarshal(m.Content, &text) == nil && given(m.Content) {
		t.blocks = []string{"text"}
		r.filled(text, i == n-1 && m.Role == "assistant", i)
		r.prompt.WriteString(text)
		if m.Role == "user" {
			r.query.last = text
		}
	} else if !r.blocks(m.Content, at, &t, i == n-1) {
		return
	}
	r.turns = append(r.turns, t)
}

// filled refuses a text that says nothing; the last of the assistant's may be
// empty, and then must not end in white space.
func (r *reader) filled(text string, final bool, i int) {
	switch {
	case text == "" && !final:
		r.refuse("messages.%d: all messages must have non-empty content except for the optional final assistant message", i)
	case strings.TrimSpace(text) == "" && text != "":
		r.refuse("messages: text content blocks must contain non-whitespace text")
	case final && strings.TrimRight(text, " \t\r\n") != text:
		r.refuse("messages: final assistant content cannot end with trailing whitespace")
	}
}

// blocks reads the content of a message.
func (r *reader) blocks(raw json.RawMessage, at string, t *turn, final bool) bool {
	all, ok := items(raw)
	if !ok {
		r.refuse("%s.content: Input should be a valid array", at)
		return false
	}
	if len(all) == 0 && (!final || t.role != "assistant") {
		r.refuse("%s: all messages must have non-empty content except for the optional final assistant message", at)
	}
	said := ""
	for i, b := range all {
		where := path(at, "content", i)
		var k claudeBlock
		if !r.block(b, where, &k) {
			return false
		}
		r.write(&k, where, t)
		if k.Type == "text" {
			said += *k.Text
		}
		t.blocks = append(t.blocks, k.Type)
	}
	if t.role == "user" && len(t.blocks) > 0 && t.blocks[len(t.blocks)-1] != "tool_result" {
		r.query.last = said
	}
	return r.bad == ""
}

// block decodes a block of its kind.
func (r *reader) block(raw json.RawMessage, at string, into *claudeBlock) bool {
	var k struct{ Type string }
	if json.Unmarshal(raw, &k) != nil {
		r.refuse("%s: Input should be a valid dictionary or object to extract fields from", at)
		return false
	}
	if slices.Contains(claudeOwn, k.Type) {
		into.Type = k.Type
		r.prompt.Write(raw)
		return true
	}
	members, ok := claudeKinds[k.Type]
	if !ok || k.Type == "tool_reference" && !strings.Contains(at, ".tool_result.") {
		r.refuse("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'search_result', 'text', 'thinking', 'tool_result', 'tool_use'", at, clip(k.Type, 40))
		return false
	}
	at = path(at, k.Type)
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return false
	}
	for name := range all {
		if name != "type" && !slices.Contains(members, name) {
			r.refuse("%s: Extra inputs are not permitted", path(at, clip(name, maxName)))
			return false
		}
	}
	return r.object(raw, at, into)
}

// write checks a block and adds it to the prompt.
func (r *reader) write(b *claudeBlock, at string, t *turn) {
	at = path(at, b.Type)
	if t != nil {
		r.placed(b, at, t)
	}
	switch b.Type {
	case "text":
		switch {
		case b.Text == nil:
			b.Text = new(string)
			r.refuse("%s.text: Field required", at)
		case *b.Text == "" && given(b.Cache):
			r.refuse("%s: cache_control cannot be set for empty text blocks", at)
		case *b.Text == "":
			r.refuse("messages: text content blocks must be non-empty")
		case strings.TrimSpace(*b.Text) == "":
			r.refuse("messages: text content blocks must contain non-whitespace text")
		}
		r.prompt.WriteString(*b.Text)
	case "image", "document":
		r.source(b, at)
	case "search_result":
		r.prompt.Write(b.Content)
	case "thinking":
		r.thought(b, at)
	case "redacted_thinking":
		data, err := base64.StdEncoding.DecodeString(deref(b.Data))
		if _, ok := r.s.unseal(sealSecret, data); err != nil || !ok {
			r.refuse("%s: Invalid `data` in `redacted_thinking` block", strings.TrimSuffix(at, ".redacted_thinking"))
		}
		r.query.seals++
	case "tool_use":
		r.toolUse(b, at)
	case "tool_result":
		r.toolResult(b, at)
	}
	r.mark(b.Cache, path(at, "cache_control"))
}

// placed refuses blocks in messages of the wrong role.
func (r *reader) placed(b *claudeBlock, at string, t *turn) {
	wrong := ""
	switch b.Type {
	case "tool_use", "thinking", "redacted_thinking":
		if t.role != "assistant" {
			wrong = "assistant"
		}
	case "tool_result", "image":
		if t.role != "user" {
			wrong = "user"
		}
	case "document":
		if t.role != "user" && r.version == versionBearer {
			wrong = "user"
		}
	}
	if wrong != "" {
		r.refuse("messages: `%s` blocks can only be in `%s` messages", b.Type, wrong)
	}
	if b.Type == "tool_use" {
		t.calls = append(t.calls, b.ID)
	}
	if b.Type == "tool_result" {
		t.results = append(t.results, b.ToolUseID)
	}
}

// source reads where an image or a document comes from. Addresses are not
// looked up.
func (r *reader) source(b *claudeBlock, at string) {
	var s struct {
		Type      string          `json:"type"`
		MediaType string          `json:"media_type"`
		Data      string          `json:"data"`
		URL       string          `json:"url"`
		FileID    string          `json:"file_id"`
		Content   json.RawMessage `json:"content"`
	}
	at = path(at, "source")
	if !given(b.Source) {
		r.refuse("%s: Field required", at)
		return
	}
	if !r.object(b.Source, at, &s) {
		return
	}
	switch {
	case s.Type == "url" && s.URL != "", s.Type == "file" && s.FileID != "":
		r.prompt.WriteString(s.URL + s.FileID)
	case s.Type == "text" && b.Type == "document":
		r.prompt.WriteString(s.Data)
		return
	case s.Type == "content" && b.Type == "document":
		r.prompt.Write(s.Content)
		return
	case s.Type != "base64":
		r.refuse("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'file', 'url'", at, clip(s.Type, 40))
	case b.Type == "image" && !slices.Contains([]string{"image/jpeg", "image/png", "image/gif", "image/webp"}, s.MediaType):
		r.refuse("%s.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'", at)
	case b.Type == "document" && s.MediaType != "application/pdf":
		r.refuse("%s.base64.media_type: Input should be 'application/pdf'", at)
	case !base64OK(s.Data):
		r.refuse("%s.base64.data: Invalid base64 data", at)
	default:
		fmt.Fprintf(&r.prompt, "[%s %x]", s.MediaType, digest(s.Data))
	}
	if b.Type == "image" {
		r.query.media += claudeImage
	} else {
		r.query.media += claudeDocument
	}
}

// The makers of Anthropic's seals.
const (
	sealThinking = "anthropic thinking"
	sealSecret   = "anthropic redacted_thinking"
)

// thought checks that thinking comes back as it was.
func (r *reader) thought(b *claudeBlock, at string) {
	switch {
	case b.Thinking == nil:
		r.refuse("%s.thinking: Field required", at)
		return
	case b.Signature == nil:
		r.refuse("%s.signature: Field required", at)
		return
	}
	seal, err := base64.StdEncoding.DecodeString(*b.Signature)
	said, ok := r.s.unseal(sealThinking, seal)
	if err != nil || !ok || *b.Thinking != "" && string(said) != string(digest(*b.Thinking)) {
		r.refuse("%s: Invalid `signature` in `thinking` block", strings.TrimSuffix(at, ".thinking"))
	}
	r.query.seals++
}

func (r *reader) toolUse(b *claudeBlock, at string) {
	switch {
	case !blockID.MatchString(b.ID):
		r.refuse("%s.id: String should match pattern '^[a-zA-Z0-9_-]+$'", at)
	case b.Name == "" || len(b.Name) > 200:
		r.refuse("%s.name: String should have at least 1 character and at most 200 characters", at)
	case !isObject(b.Input):
		r.refuse("%s.input: Input should be a valid dictionary", at)
	}
	r.prompt.WriteString(b.ID + b.Name)
	r.prompt.Write(b.Input)
}

func (r *reader) toolResult(b *claudeBlock, at string) {
	if !blockID.MatchString(b.ToolUseID) {
		r.refuse("%s.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'", at)
	}
	r.prompt.WriteString(b.ToolUseID)
	var s string
	if !given(b.Content) {
		return
	}
	if json.Unmarshal(b.Content, &s) == nil {
		r.prompt.WriteString(s)
		return
	}
	all, ok := items(b.Content)
	if !ok {
		r.refuse("%s.content: Input should be a valid array", at)
	}
	for i, raw := range all {
		where := path(at, "content", i)
		var k claudeBlock
		if !r.block(raw, where, &k) {
			return
		}
		if !slices.Contains([]string{"text", "image", "document", "search_result", "tool_reference"}, k.Type) {
			r.refuse("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'document', 'image', 'search_result', 'text', 'tool_reference'", where, k.Type)
		}
		r.write(&k, where, nil)
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
