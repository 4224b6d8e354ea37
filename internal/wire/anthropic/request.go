package anthropic

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// request is the body of a messages request as clients write it.
type request struct {
	Model         jsontext.Value `json:"model"`
	Stream        jsontext.Value `json:"stream"`
	Version       jsontext.Value `json:"anthropic_version"` // of Vertex's clients
	Messages      []turn         `json:"messages"`
	System        jsontext.Value `json:"system"`
	MaxTokens     int64          `json:"max_tokens"`
	Temperature   *float64       `json:"temperature"`
	TopP          *float64       `json:"top_p"`
	TopK          *int64         `json:"top_k"`
	StopSequences []string       `json:"stop_sequences"`
	Tools         []tool         `json:"tools"`
	ToolChoice    *toolChoice    `json:"tool_choice"`
	Thinking      *thinking      `json:"thinking"`
	OutputConfig  *outputConfig  `json:"output_config"`
	OutputFormat  *outputFormat  `json:"output_format"` // its name in the beta
	Metadata      *metadata      `json:"metadata"`
	ServiceTier   string         `json:"service_tier"`
	CacheControl  *cacheControl  `json:"cache_control"`
	Rest          jsontext.Value `json:",embed"`
}

type turn struct {
	Role    string         `json:"role"`
	Content jsontext.Value `json:"content"`
}

// block is any block of a message.
type block struct {
	Type         string         `json:"type"`
	Text         string         `json:"text"`
	Source       jsontext.Value `json:"source"`
	Title        string         `json:"title"`
	Context      string         `json:"context"`
	Citations    jsontext.Value `json:"citations"`
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Input        jsontext.Value `json:"input"`
	ToolUseID    string         `json:"tool_use_id"`
	ToolName     string         `json:"tool_name"`
	Content      jsontext.Value `json:"content"`
	IsError      bool           `json:"is_error"`
	Thinking     string         `json:"thinking"`
	Signature    string         `json:"signature"`
	Data         string         `json:"data"`
	CacheControl *cacheControl  `json:"cache_control"`
}

// source is where an image or a document comes from.
type source struct {
	Type      string         `json:"type"`
	MediaType string         `json:"media_type,omitzero"`
	Data      string         `json:"data,omitzero"`
	URL       string         `json:"url,omitzero"`
	FileID    string         `json:"file_id,omitzero"`
	Content   jsontext.Value `json:"content,omitzero"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitzero"`
}

func (c *cacheControl) cache() llm.Cache {
	switch {
	case c == nil:
		return llm.CacheNone
	case c.TTL == "1h":
		return llm.CacheHour
	}
	return llm.CacheShort
}

type tool struct {
	Type         string         `json:"type"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	InputSchema  jsontext.Value `json:"input_schema"`
	Strict       *bool          `json:"strict"`
	CacheControl *cacheControl  `json:"cache_control"`
	Rest         jsontext.Value `json:",embed"`
}

type toolChoice struct {
	Type                   string `json:"type"`
	Name                   string `json:"name,omitzero"`
	DisableParallelToolUse bool   `json:"disable_parallel_tool_use,omitzero"`
}

type thinking struct {
	Type         string `json:"type"`
	BudgetTokens int64  `json:"budget_tokens,omitzero"`
	Display      string `json:"display,omitzero"`
}

type outputConfig struct {
	Effort string         `json:"effort,omitzero"`
	Format *outputFormat  `json:"format,omitzero"`
	Rest   jsontext.Value `json:",embed"`
}

type outputFormat struct {
	Type   string         `json:"type"`
	Schema jsontext.Value `json:"schema,omitzero"`
}

type metadata struct {
	UserID string         `json:"user_id,omitzero"`
	Rest   jsontext.Value `json:",embed"`
}

// musts are top-level members without which the answer would be another one.
func must(name string) bool {
	switch name {
	case "container", "mcp_servers", "inference_geo":
		return true
	}
	return false
}

// reader makes a Chat of a request.
type reader struct {
	chat   *llm.Chat
	theirs []string // tools that only their own vendor can run
}

// Chat reads the body of a messages request, or of one that counts tokens.
func (Codec) Chat(body []byte) (*llm.Chat, *llm.Error) {
	var q request
	if err := unmarshal(body, &q); err != nil {
		return nil, invalid("", err)
	}
	c := &llm.Chat{
		N: 1, MaxOutput: q.MaxTokens, Temperature: q.Temperature, TopP: q.TopP, TopK: q.TopK, Stop: q.StopSequences,
	}
	r := reader{chat: c}
	if q.Messages == nil {
		return nil, wrong("messages", "a list of messages is required")
	}
	if q.MaxTokens < 0 {
		return nil, wrong("max_tokens", "must be 1 or more")
	}
	if err := r.system(q.System); err != nil {
		return nil, err
	}
	for i, m := range q.Messages {
		if err := r.turn("messages."+strconv.Itoa(i), m); err != nil {
			return nil, err
		}
	}
	if k := q.CacheControl.cache(); k != llm.CacheNone {
		r.cacheLast(k)
	}
	for i := range q.Tools {
		r.tool("tools."+strconv.Itoa(i), &q.Tools[i])
	}
	if err := r.choice(q.ToolChoice); err != nil {
		return nil, err
	}
	for _, name := range r.theirs {
		r.leave(name, c.Hosted())
	}
	r.reasoning(&q)
	r.rest("", q.Rest, must)
	if q.Metadata != nil {
		c.User = q.Metadata.UserID
		r.rest("metadata.", q.Metadata.Rest, nil)
	}
	switch q.ServiceTier {
	case "standard_only":
		c.Tier = "default"
	default:
		c.Tier = q.ServiceTier
	}
	return c, nil
}

// invalid is the error for a body, or the value at path in it, that does not
// decode.
func invalid(path string, err error) *llm.Error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		at := strings.Trim(path+strings.ReplaceAll(string(semantic.JSONPointer), "/", "."), ".")
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: at, Message: strconv.Quote(at) + " has a value of the wrong type", Err: err}
	}
	return &llm.Error{Kind: llm.KindInvalidJSON, Message: "the body is not valid JSON", Err: err}
}

func wrong(param, why string) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: param + ": " + why}
}

// leave notes a member that has no neutral place.
func (r *reader) leave(name string, must bool) {
	r.chat.Left = append(r.chat.Left, llm.Left{Name: name, Must: must})
}

// rest leaves the members of an object that no field took.
func (r *reader) rest(path string, v jsontext.Value, must func(string) bool) {
	if len(v) == 0 {
		return
	}
	ms, err := scan.Object(nil, v)
	if err != nil {
		return
	}
	for _, m := range ms {
		name, _ := scan.String(v[m.Key:m.KeyEnd])
		if !scan.Null(v[m.Start:m.End]) {
			r.leave(path+name, must != nil && must(name))
		}
	}
}

func (r *reader) system(v jsontext.Value) *llm.Error {
	blocks, err := r.content("system", v)
	if err == nil && len(blocks) > 0 {
		r.chat.Messages = append(r.chat.Messages, llm.Message{Role: llm.RoleSystem, Blocks: blocks})
	}
	return err
}

func (r *reader) turn(path string, m turn) *llm.Error {
	var role llm.Role
	switch m.Role {
	case "user":
		role = llm.RoleUser
	case "assistant":
		role = llm.RoleAssistant
	case "system":
		role = llm.RoleSystem
	default:
		return wrong(path+".role", "must be user, assistant or system")
	}
	blocks, err := r.content(path+".content", m.Content)
	if err != nil {
		return err
	}
	r.chat.Messages = append(r.chat.Messages, llm.Message{Role: role, Blocks: blocks})
	return nil
}

// content reads what is a string or a list of blocks.
func (r *reader) content(path string, v jsontext.Value) ([]llm.Block, *llm.Error) {
	switch v.Kind() {
	case '"':
		s, _ := scan.String(v)
		return []llm.Block{{Kind: llm.BlockText, Text: s}}, nil
	case '[':
	case 0, 'n':
		return nil, nil
	default:
		return nil, wrong(path, "must be a string or a list of blocks")
	}
	var raw []jsontext.Value
	if err := unmarshal(v, &raw); err != nil {
		return nil, invalid(path, err)
	}
	var out []llm.Block
	for i, b := range raw {
		var err *llm.Error
		if out, err = r.block(out, path+"."+strconv.Itoa(i), b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// block appends what one block says, which may be more than one of ours, or
// none.
func (r *reader) block(out []llm.Block, path string, raw jsontext.Value) ([]llm.Block, *llm.Error) {
	typ, _ := scan.String(scan.Get(raw, "type"))
	if hosted(typ) {
		return r.hosted(out, path, typ, raw), nil
	}
	var b block
	if err := unmarshal(raw, &b); err != nil {
		return nil, invalid(path, err)
	}
	k := b.CacheControl.cache()
	switch b.Type {
	case "text", "mid_conv_system":
		out = append(out, llm.Block{Kind: llm.BlockText, Text: b.Text, Cites: cites(b.Citations), Cache: k})
	case "image":
		m, _ := b.media()
		out = append(out, llm.Block{Kind: llm.BlockImage, Media: m, Cache: k})
	case "document":
		return r.document(out, path, &b)
	case "search_result":
		return r.searchResult(out, path, &b)
	case "tool_use":
		out = append(out, llm.Block{Kind: llm.BlockCall, ID: b.ID, Name: b.Name, Text: string(b.Input), Cache: k})
	case "tool_result":
		in, err := r.content(path+".content", b.Content)
		if err != nil {
			return nil, err
		}
		out = append(out, llm.Block{Kind: llm.BlockResult, ID: b.ToolUseID, Result: in, Failed: b.IsError, Cache: k})
	case "thinking":
		seal, id := wire.UnwrapSeal(b.Signature, llm.ProtoAnthropic)
		out = append(out, llm.Block{Kind: llm.BlockThinking, Text: b.Thinking, ID: id, Seal: seal})
	case "redacted_thinking":
		seal := llm.Seal{Maker: llm.ProtoAnthropic, Data: b.Data, Redacted: true}
		out = append(out, llm.Block{Kind: llm.BlockThinking, Seal: seal})
	case "tool_reference":
		r.leave(path, false)
		out = append(out, llm.Block{Kind: llm.BlockText, Text: b.ToolName})
	case "":
		return nil, wrong(path+".type", "is required")
	default:
		r.leave(path+".type", true)
	}
	return out, nil
}

// hosted keeps a step of Anthropic's own tools for Anthropic's protocol.
func (r *reader) hosted(out []llm.Block, path, typ string, raw jsontext.Value) []llm.Block {
	if typ == "container_upload" { // nothing else can run on the client's files
		r.leave(path, true)
	}
	id, _ := scan.String(scan.Get(raw, "id"))
	return append(out, llm.Block{Kind: llm.BlockHosted, Name: typ, ID: id, Text: string(raw)})
}

// media reads the source of an image or a document; in holds blocks that
// stand in the place of one.
func (b *block) media() (m *llm.Media, in jsontext.Value) {
	var s source
	if b.Source.Kind() != '{' || unmarshal(b.Source, &s) != nil {
		return &llm.Media{}, nil
	}
	m = &llm.Media{MIME: s.MediaType}
	switch s.Type {
	case "base64":
		m.Data = s.Data
	case "url":
		m.URL = s.URL
	case "file":
		m.FileID = s.FileID
	case "text":
		m.Text = s.Data
	case "content":
		return m, s.Content
	}
	return m, nil
}

func (r *reader) document(out []llm.Block, path string, b *block) ([]llm.Block, *llm.Error) {
	r.enabled(path, b.Citations)
	if b.Context != "" {
		out = append(out, llm.Block{Kind: llm.BlockText, Text: b.Context})
	}
	m, in := b.media()
	if in == nil {
		return append(out, llm.Block{Kind: llm.BlockFile, Name: b.Title, Media: m, Cache: b.CacheControl.cache()}), nil
	}
	blocks, err := r.content(path+".source.content", in)
	if err != nil {
		return nil, err
	}
	if b.Title != "" {
		out = append(out, llm.Block{Kind: llm.BlockText, Text: b.Title})
	}
	return append(out, blocks...), nil
}

func (r *reader) searchResult(out []llm.Block, path string, b *block) ([]llm.Block, *llm.Error) {
	r.enabled(path, b.Citations)
	from, _ := scan.String(b.Source)
	blocks, err := r.content(path+".content", b.Content)
	if err != nil {
		return nil, err
	}
	head := strings.TrimSpace(b.Title + "\n" + from)
	return append(append(out, llm.Block{Kind: llm.BlockText, Text: head}), blocks...), nil
}

// enabled leaves citations that were asked for.
func (r *reader) enabled(path string, v jsontext.Value) {
	if string(scan.Get(v, "enabled")) == "true" {
		r.leave(path+".citations", true)
	}
}

// cacheLast marks the last block that can be: what cache_control at the top
// of a request means.
func (r *reader) cacheLast(k llm.Cache) {
	for i := len(r.chat.Messages) - 1; i >= 0; i-- {
		blocks := r.chat.Messages[i].Blocks
		for j := len(blocks) - 1; j >= 0; j-- {
			if blocks[j].Kind != llm.BlockThinking {
				blocks[j].Cache = k
				return
			}
		}
	}
}

func (r *reader) tool(path string, t *tool) {
	switch {
	case t.Type == "" || t.Type == "custom":
		r.rest(path+".", t.Rest, nil)
		var schema []byte
		if t.InputSchema.Kind() == '{' {
			schema = t.InputSchema
		}
		r.chat.Tools = append(r.chat.Tools, llm.Tool{
			Kind: llm.ToolFunction, Name: t.Name, Description: t.Description, Schema: schema, Strict: t.Strict, Cache: t.CacheControl.cache(),
		})
	case strings.HasPrefix(t.Type, "web_search_"):
		r.rest(path+".", t.Rest, func(name string) bool { return name == "allowed_domains" || name == "blocked_domains" })
		r.chat.Tools = append(r.chat.Tools, llm.Tool{Kind: llm.ToolSearch, Name: t.Name, Cache: t.CacheControl.cache()})
	default:
		r.theirs = append(r.theirs, "tools."+t.Type)
	}
}

func (r *reader) choice(t *toolChoice) *llm.Error {
	if t == nil {
		return nil
	}
	r.chat.Serial = t.DisableParallelToolUse
	switch t.Type {
	case "auto":
		r.chat.Choice.Mode = llm.ChoiceAuto
	case "none":
		r.chat.Choice.Mode = llm.ChoiceNone
	case "any":
		r.chat.Choice.Mode = llm.ChoiceAny
	case "tool":
		r.chat.Choice = llm.Choice{Mode: llm.ChoiceAny, Names: []string{t.Name}}
	default:
		return wrong("tool_choice.type", "must be auto, any, tool or none")
	}
	return nil
}

// reasoning reads thinking and output_config. Clients of this protocol expect
// to see the thinking that they ask for, and send its seal back.
func (r *reader) reasoning(q *request) {
	c := r.chat
	f := q.OutputFormat
	if o := q.OutputConfig; o != nil {
		c.Reasoning.Effort = o.Effort
		if o.Format != nil {
			f = o.Format
		}
		r.rest("output_config.", o.Rest, nil)
	}
	if f != nil && f.Type == "json_schema" {
		c.Format = llm.Format{Kind: llm.FormatSchema, Schema: f.Schema}
	}
	t := q.Thinking
	if t == nil {
		return
	}
	switch t.Type {
	case "enabled":
		c.Reasoning.Budget = t.BudgetTokens
	case "adaptive":
		c.Reasoning.Budget = -1
	case "between_tools":
		if c.Reasoning.Effort == "" {
			c.Reasoning.Effort = "minimal"
		}
	case "disabled":
		if c.Reasoning.Effort != "" {
			r.leave("output_config.effort", false)
		}
		c.Reasoning = llm.Reasoning{Effort: "none"}
		return
	default:
		r.leave("thinking.type", false)
		return
	}
	c.Reasoning.Encrypted = true
	if t.Display != "omitted" {
		c.Reasoning.Summary = "auto"
	}
}
