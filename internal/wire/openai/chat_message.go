package openai

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// requestMessage is a message of a request.
type requestMessage struct {
	message
	Name       loose          `json:"name"`
	ToolCallID loose          `json:"tool_call_id"`
	Thinking   []litellmBlock `json:"thinking_blocks"`
	Cache      *cacheControl  `json:"cache_control"`
	Rest       jsontext.Value `json:",embed"`
}

// litellmBlock is an element of LiteLLM's thinking_blocks, which are
// Anthropic's blocks.
type litellmBlock struct {
	Type      loose `json:"type"`
	Thinking  loose `json:"thinking"`
	Signature loose `json:"signature"`
	Data      loose `json:"data"`
}

// part is a part of a message's content, in all the spellings that vendors
// take.
type part struct {
	Type         loose          `json:"type"`
	Text         loose          `json:"text"`
	Refusal      loose          `json:"refusal"`
	ImageURL     jsontext.Value `json:"image_url"`
	InputAudio   jsontext.Value `json:"input_audio"`
	File         *file          `json:"file"`
	FileURL      jsontext.Value `json:"file_url"`
	DocumentURL  loose          `json:"document_url"`
	DocumentName loose          `json:"document_name"`
	Thinking     jsontext.Value `json:"thinking"`
	Cache        *cacheControl  `json:"cache_control"`
	Breakpoint   *struct{}      `json:"prompt_cache_breakpoint"`
}

type file struct {
	Data loose `json:"file_data"`
	ID   loose `json:"file_id"`
	Name loose `json:"filename"`
}

// link is an image_url or file_url: an object, or the URL itself.
type link struct {
	URL    string `json:"url"`
	Detail loose  `json:"detail"`
}

func linkOf(v jsontext.Value) (l link) {
	if v.Kind() == '"' {
		_ = json.Unmarshal(v, &l.URL, lenient)
	} else {
		_ = json.Unmarshal(v, &l, lenient)
	}
	return l
}

// message adds one message to the chat. Tool messages that stand in a row are
// one turn of the user.
func (r *reader) message(m *requestMessage) *llm.Error {
	members(m.Rest, func(name string, v jsontext.Value) {
		if !null(v) {
			r.leave("messages."+name, false)
		}
	})
	if m.Role == "tool" || m.Role == "function" {
		return r.result(m)
	}
	r.flush()
	if m.Name != "" {
		r.leave("messages.name", false)
	}
	out := llm.Message{}
	var err *llm.Error
	switch m.Role {
	case "user":
	case "system", "developer":
		out.Role = llm.RoleSystem
	case "assistant":
		out.Role = llm.RoleAssistant
	default:
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: "messages.role", Message: "\"messages.role\" must be system, developer, user, assistant or tool"}
	}
	if out.Blocks, err = r.content(&m.Content); err != nil {
		return err
	}
	if out.Role == llm.RoleAssistant {
		out.Blocks = r.assistant(m, out.Blocks)
	}
	mark(out.Blocks, m.Cache.cache())
	r.chat.Messages = append(r.chat.Messages, out)
	return nil
}

// mark puts a marker at the end of a message.
func mark(blocks []llm.Block, c llm.Cache) {
	if n := len(blocks); n > 0 && c != llm.CacheNone {
		blocks[n-1].Cache = c
	}
}

func (r *reader) result(m *requestMessage) *llm.Error {
	blocks, err := r.content(&m.Content)
	if err != nil {
		return err
	}
	b := llm.Block{Kind: llm.BlockResult, ID: string(m.ToolCallID), Name: string(m.Name), Result: blocks, Cache: m.Cache.cache()}
	for i := range blocks { // the marker's place is the result
		b.Cache = max(b.Cache, blocks[i].Cache)
		blocks[i].Cache = llm.CacheNone
	}
	if b.ID == "" {
		b.ID = r.called[b.Name]
	}
	if b.ID == "" && len(r.waiting) > 0 { // Writer's models take calls and results without ids, in order
		b.ID = r.waiting[0]
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(id string) bool { return id == b.ID })
	r.results = append(r.results, b)
	return nil
}

// flush ends a row of tool messages.
func (r *reader) flush() {
	if len(r.results) > 0 {
		r.chat.Messages = append(r.chat.Messages, llm.Message{Role: llm.RoleUser, Blocks: r.results})
		r.results = nil
	}
}

// content reads the content of a message.
func (r *reader) content(c *content) ([]llm.Block, *llm.Error) {
	if c.parts == nil {
		if c.text == "" {
			return nil, nil
		}
		return []llm.Block{{Kind: llm.BlockText, Text: c.text}}, nil
	}
	var parts []part
	if err := json.Unmarshal(c.parts, &parts, lenient); err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "messages.content", Message: "\"messages.content\" must be a string or a list of parts", Err: err}
	}
	blocks := make([]llm.Block, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		b, ok := p.block()
		if !ok {
			r.leave("messages.content."+string(p.Type), true)
			continue
		}
		b.Cache = p.Cache.cache()
		if p.Breakpoint != nil && b.Cache == llm.CacheNone {
			b.Cache = llm.CacheShort
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// block reads a part; ok is false for one that has no neutral form.
func (p *part) block() (b llm.Block, ok bool) {
	switch p.Type {
	case "text", "input_text", "output_text":
		return llm.Block{Kind: llm.BlockText, Text: string(p.Text)}, true
	case "refusal":
		return llm.Block{Kind: llm.BlockRefusal, Text: string(p.Refusal)}, true
	case "thinking":
		return llm.Block{Kind: llm.BlockThinking, Text: partThinking(p.Thinking)}, true
	case "image_url", "input_image":
		l := linkOf(p.ImageURL)
		m := mediaOf(l.URL)
		m.Detail = string(l.Detail)
		return llm.Block{Kind: llm.BlockImage, Media: m}, true
	case "input_audio":
		return llm.Block{Kind: llm.BlockAudio, Media: audioOf(p.InputAudio)}, true
	case "file":
		if p.File == nil {
			return b, false
		}
		b = llm.Block{Kind: llm.BlockFile, Name: string(p.File.Name)}
		if p.File.ID != "" {
			b.Media = &llm.Media{FileID: string(p.File.ID)}
		} else {
			b.Media = mediaOf(string(p.File.Data))
		}
		return b, true
	case "file_url":
		return llm.Block{Kind: llm.BlockFile, Media: mediaOf(linkOf(p.FileURL).URL)}, true
	case "document_url":
		return llm.Block{Kind: llm.BlockFile, Name: string(p.DocumentName), Media: mediaOf(string(p.DocumentURL))}, true
	}
	return b, false
}

// partThinking is the text of one of Mistral's thinking parts: a string, or
// parts of text.
func partThinking(v jsontext.Value) string {
	var c content
	if json.Unmarshal(v, &c, lenient) != nil {
		return ""
	}
	if c.parts == nil {
		return c.text
	}
	var parts []part
	_ = json.Unmarshal(c.parts, &parts, lenient)
	for i := range parts {
		c.text += string(parts[i].Text)
	}
	return c.text
}

// mediaOf reads an URL, which may hold the data itself, or bare base64.
func mediaOf(url string) *llm.Media {
	rest, ok := strings.CutPrefix(url, "data:")
	if !ok {
		if strings.Contains(url, "://") || url == "" {
			return &llm.Media{URL: url}
		}
		return &llm.Media{Data: url}
	}
	head, data, _ := strings.Cut(rest, ",")
	head, ok = strings.CutSuffix(head, ";base64")
	if !ok {
		return &llm.Media{URL: url}
	}
	mime, _, _ := strings.Cut(head, ";")
	return &llm.Media{MIME: mime, Data: data}
}

// audioOf reads input_audio: an object with data and format, or Mistral's
// bare base64 or URL.
func audioOf(v jsontext.Value) *llm.Media {
	if v.Kind() == '"' {
		return mediaOf(linkOf(v).URL)
	}
	var in struct {
		Data   loose `json:"data"`
		Format loose `json:"format"`
	}
	_ = json.Unmarshal(v, &in, lenient)
	m := mediaOf(string(in.Data))
	if m.MIME == "" && in.Format != "" {
		if m.MIME = "audio/" + string(in.Format); in.Format == "mp3" {
			m.MIME = "audio/mpeg"
		}
	}
	return m
}

// assistant adds to blocks, the content, what else the model's turn had:
// thinking before it, calls after it.
func (r *reader) assistant(m *requestMessage, blocks []llm.Block) []llm.Block {
	if m.Refusal != "" {
		blocks = append(blocks, llm.Block{Kind: llm.BlockRefusal, Text: string(m.Refusal)})
	}
	if m.Audio != nil {
		r.leave("messages.audio", true)
	}
	calls := callBlocks(&m.message)
	r.waiting = r.waiting[:0]
	for i := range calls {
		if calls[i].Kind == llm.BlockCall {
			r.waiting = append(r.waiting, calls[i].ID)
			if r.called == nil {
				r.called = map[string]string{}
			}
			r.called[calls[i].Name] = calls[i].ID
		}
	}
	thoughts, seals := thoughtsOf(m), []llm.Block(nil)
	if n := len(calls); n > 0 {
		thoughts, seals = beforeCall(thoughts, calls)
	}
	if s := m.Extra.seal(); s != "" {
		thoughts = append(thoughts, llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: s}})
	}
	out := append(thoughts, blocks...)
	return append(append(out, seals...), calls...)
}

// callBlocks are the calls of a message, each after the seal that it brings.
func callBlocks(m *message) (blocks []llm.Block) {
	for i := range m.ToolCalls {
		t := &m.ToolCalls[i]
		b := llm.Block{Kind: llm.BlockCall, ID: string(t.ID), Cache: t.Cache.cache()}
		switch {
		case t.isCustom():
			b.Name, b.Text, b.Custom = string(t.Custom.Name), string(t.Custom.Input), true
		case t.Function != nil:
			b.Name, b.Text = string(t.Function.Name), string(t.Function.Arguments)
		}
		if b.ID == "" {
			b.ID = wire.NewCallID()
		}
		if s := t.Extra.seal(); s != "" {
			blocks = append(blocks, llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: s}})
		}
		blocks = append(blocks, b)
	}
	if f := m.FunctionCall; f != nil && len(blocks) == 0 {
		blocks = append(blocks, llm.Block{Kind: llm.BlockCall, ID: wire.NewCallID(), Name: string(f.Name), Text: string(f.Arguments)})
	}
	return blocks
}

// beforeCall parts thoughts into those that stand before the content and
// Gemini's seals without text, which belong to the first call unless the calls
// bring theirs.
func beforeCall(thoughts, calls []llm.Block) (before, seals []llm.Block) {
	own := false
	for i := range calls {
		own = own || calls[i].Kind == llm.BlockThinking
	}
	for _, b := range thoughts {
		switch {
		case b.Text != "" || b.Seal.Maker != llm.ProtoGemini:
			before = append(before, b)
		case !own:
			seals = append(seals, b)
		}
	}
	return before, seals
}

// thoughtsOf reads the thinking that a client sends back, from the member that
// keeps most of it.
func thoughtsOf(m *requestMessage) (blocks []llm.Block) {
	last := number{}
	lastType := ""
	for _, d := range details(m.Details) {
		// A client that gathers a stream keeps its pieces: those of one index
		// and type are one.
		if n := len(blocks); n > 0 && d.Index.ok && d.Index == last && d.Type == lastType && blocks[n-1].Seal.Maker == 0 {
			blocks[n-1].Text += d.visible()
			sealed(&blocks[n-1], &d)
			continue
		}
		last, lastType = d.Index, d.Type
		b := llm.Block{Kind: llm.BlockThinking, Text: d.visible()}
		sealed(&b, &d)
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		for _, t := range m.Thinking {
			b := llm.Block{Kind: llm.BlockThinking, Text: string(t.Thinking)}
			b.Seal, b.ID = wire.UnwrapSeal(string(t.Signature), llm.ProtoAnthropic)
			if t.Type == "redacted_thinking" {
				b.Seal, b.ID = wire.UnwrapSeal(string(t.Data), llm.ProtoAnthropic)
				b.Seal.Redacted = true
			}
			blocks = append(blocks, b)
		}
	}
	if text := m.thinking(); text != "" && !shown(blocks) {
		blocks = append([]llm.Block{{Kind: llm.BlockThinking, Text: text}}, blocks...)
	}
	return blocks
}

func shown(blocks []llm.Block) bool {
	for i := range blocks {
		if blocks[i].Text != "" {
			return true
		}
	}
	return false
}

// sealed gives b the seal of d: one of another protocol's that travelled
// wrapped, or what a vendor of this one made.
func sealed(b *llm.Block, d *reasoningDetail) {
	proof := d.proof()
	if proof == "" && (d.Type != detailSummary || d.Format == "" || d.Format == "unknown") {
		return
	}
	seal, id := wire.UnwrapSeal(proof, llm.ProtoOpenAI)
	if seal.Maker == llm.ProtoOpenAI || seal.Maker == 0 {
		seal, id = d.own(), ""
	}
	b.Seal, b.ID = seal, id
}
