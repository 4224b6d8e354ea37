package openai

import (
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

func (e *encoding) messages() *llm.Error {
	e.turn = -1
	for i := range e.chat.Messages {
		if m := &e.chat.Messages[i]; m.Role == llm.RoleUser && written(m) {
			e.turn = i
		}
	}
	e.b = append(member(e.b, "messages"), '[')
	if s := e.instruction(); s != "" {
		e.b = append(appendText(append(element(e.b), `{"role":"system","content":`...), s), '}')
	}
	for i := range e.chat.Messages {
		m := &e.chat.Messages[i]
		var err *llm.Error
		if m.Role != llm.RoleUser {
			err = e.turnOf("user", nil)
		}
		switch {
		case err != nil:
		case m.Role == llm.RoleAssistant:
			e.assistant(m, i > e.turn)
			if e.chat.Open && i == len(e.chat.Messages)-1 {
				e.goOn()
			}
		case m.Role == llm.RoleSystem:
			err = e.turnOf("system", m.Blocks)
		default:
			err = e.user(m)
		}
		if err != nil {
			return err
		}
	}
	if err := e.turnOf("user", nil); err != nil {
		return err
	}
	e.b = append(e.b, ']')
	return nil
}

// written reports whether a message of the user is more than results.
func written(m *llm.Message) bool {
	for i := range m.Blocks {
		if m.Blocks[i].Kind != llm.BlockResult {
			return true
		}
	}
	return false
}

// user writes the results of a turn, each a message, and what the user wrote.
func (e *encoding) user(m *llm.Message) *llm.Error {
	var rest []llm.Block
	for i := range m.Blocks {
		b := &m.Blocks[i]
		if b.Kind != llm.BlockResult {
			rest = append(rest, *b)
			continue
		}
		if err := e.result(b); err != nil {
			return err
		}
	}
	if len(rest) == 0 {
		return nil // what was moved must not stand between results
	}
	return e.turnOf("user", rest)
}

// result writes a tool message. What is no text goes to the user's message
// that follows.
func (e *encoding) result(b *llm.Block) *llm.Error {
	var texts []llm.Block
	for i := range b.Result {
		r := b.Result[i]
		switch r.Kind {
		case llm.BlockText:
			texts = append(texts, r)
		case llm.BlockFile:
			if r.Media != nil && r.Media.Text != "" {
				texts = append(texts, llm.Block{Kind: llm.BlockText, Text: r.Media.Text})
				continue
			}
			fallthrough
		default:
			e.call.Lose("messages.tool.content")
			e.moved = append(e.moved, r)
		}
	}
	if len(texts) == 0 && len(b.Result) > 0 {
		texts = []llm.Block{{Kind: llm.BlockText, Text: "The result is in the next message."}}
	}
	if b.Failed {
		if len(texts) == 0 {
			texts = []llm.Block{{Kind: llm.BlockText}}
		}
		texts[0].Text = "Error: " + texts[0].Text
	}
	if n := len(texts); n > 0 && texts[n-1].Cache == llm.CacheNone {
		texts[n-1].Cache = b.Cache
	}
	e.b = append(element(e.b), `{"role":"tool"`...)
	e.text("tool_call_id", e.id(b.ID))
	if b.Name != "" && e.target.Dialect == "mistral" {
		e.text("name", e.name(b.Name))
	}
	err := e.content(texts)
	e.b = append(e.b, '}')
	return err
}

// turnOf writes a message of the user or the system, with what was moved to
// it. A message of nothing is left out.
func (e *encoding) turnOf(role string, blocks []llm.Block) *llm.Error {
	if role == "user" && len(e.moved) > 0 {
		blocks = append(e.moved, blocks...)
		e.moved = nil
	}
	if len(blocks) == 0 {
		return nil
	}
	e.b = appendText(append(element(e.b), `{"role":`...), role)
	err := e.content(blocks)
	e.b = append(e.b, '}')
	return err
}

// content writes the content of a message: a string if it is text without a
// marker that the vendor takes, else parts.
func (e *encoding) content(blocks []llm.Block) *llm.Error {
	texts := make([]string, 0, len(blocks))
	plain := true
	for i := range blocks {
		b := &blocks[i]
		plain = plain && (b.Kind == llm.BlockText || b.Kind == llm.BlockRefusal) && (b.Cache == llm.CacheNone || e.takes&takesCache == 0)
		if b.Text != "" {
			texts = append(texts, b.Text)
		}
	}
	if plain {
		for i := range blocks {
			if blocks[i].Cache != llm.CacheNone {
				e.call.Lose("prompt_cache_breakpoint")
			}
		}
		e.text("content", strings.Join(texts, "\n\n"))
		return nil
	}
	e.b = append(member(e.b, "content"), '[')
	for i := range blocks {
		if err := e.part(&blocks[i]); err != nil {
			return err
		}
	}
	e.b = append(e.b, ']')
	return nil
}

func (e *encoding) part(b *llm.Block) *llm.Error {
	if b.Kind == llm.BlockText && b.Text == "" {
		return nil // vendors refuse empty texts
	}
	at := len(e.b)
	e.b = append(element(e.b), '{')
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		e.text("type", "text")
		e.text("text", b.Text)
	case llm.BlockImage:
		if b.Media == nil || b.Media.FileID != "" {
			return wire.Unsupported("messages.content.image_url", "the vendor does not have the client's uploaded image; send its data")
		}
		e.b = append(e.b, `"type":"image_url","image_url":{`...)
		e.text("url", dataURL(b.Media, "image/png"))
		if b.Media.Detail != "" {
			e.text("detail", b.Media.Detail)
		}
		e.b = append(e.b, '}')
	case llm.BlockAudio:
		if err := e.audio(b.Media); err != nil {
			return err
		}
	case llm.BlockFile:
		if err := e.file(b); err != nil {
			return err
		}
	default: // thinking and calls are not the user's
		e.b = e.b[:at]
		e.call.Lose("messages.content")
		return nil
	}
	e.cache(b.Cache)
	e.b = append(e.b, '}')
	return nil
}

// dataURL is where the media are: their URL, or one that holds them.
func dataURL(m *llm.Media, mime string) string {
	if m.URL != "" || m.Data == "" {
		return m.URL
	}
	if m.MIME != "" {
		mime = m.MIME
	}
	return "data:" + mime + ";base64," + m.Data
}

func (e *encoding) audio(m *llm.Media) *llm.Error {
	if e.takes&takesAudio == 0 || m == nil || m.Data == "" {
		return wire.Unsupported("messages.content.input_audio", "the model's vendor cannot be sent this audio; ask another model")
	}
	if e.target.Dialect == "mistral" {
		e.text("type", "input_audio")
		e.text("input_audio", m.Data)
		return nil
	}
	form := strings.TrimPrefix(strings.TrimPrefix(m.MIME, "audio/"), "x-")
	switch form {
	case "mpeg":
		form = "mp3"
	case "", "wave":
		form = "wav"
	}
	e.b = append(e.b, `"type":"input_audio","input_audio":{`...)
	e.text("data", m.Data)
	e.text("format", form)
	e.b = append(e.b, '}')
	return nil
}

func (e *encoding) file(b *llm.Block) *llm.Error {
	m := b.Media
	if m != nil && m.Text != "" {
		e.text("type", "text")
		e.text("text", m.Text)
		return nil
	}
	if m.Video() {
		return wire.Unsupported("messages.content.video", "the model's vendor cannot be sent videos; leave it out or ask another model")
	}
	if m == nil || e.takes&takesFiles == 0 || m.FileID != "" {
		return wire.Unsupported("messages.content.file", "the model's vendor cannot be sent this file; ask another model")
	}
	switch d := e.target.Dialect; {
	case d == "mistral":
		e.text("type", "document_url")
		e.text("document_url", dataURL(m, "application/pdf"))
	case d == "perplexity":
		e.b = append(e.b, `"type":"file_url","file_url":{`...)
		url := m.URL
		if url == "" {
			url = m.Data // bare base64, by Perplexity's documentation
		}
		e.text("url", url)
		e.b = append(e.b, '}')
	case m.URL != "" && d != "openrouter":
		return wire.Unsupported("messages.content.file", "the model's vendor takes no URL of a file; send its data")
	default:
		name := b.Name
		if name == "" {
			name = "file"
		}
		e.b = append(e.b, `"type":"file","file":{`...)
		e.text("filename", name)
		e.text("file_data", dataURL(m, "application/pdf"))
		e.b = append(e.b, '}')
	}
	return nil
}

// assistant writes a turn of the model. going: it belongs to the turn that
// goes on, in which some vendors want their thinking back.
func (e *encoding) assistant(m *llm.Message, going bool) {
	var text, refusal, thought strings.Builder
	var thoughts []*llm.Block
	calls, cached := 0, llm.CacheNone
	for i := range m.Blocks {
		b := &m.Blocks[i]
		switch b.Kind {
		case llm.BlockText:
			text.WriteString(b.Text)
			cached = max(cached, b.Cache)
		case llm.BlockRefusal:
			refusal.WriteString(b.Text)
		case llm.BlockThinking:
			thoughts = append(thoughts, b)
			thought.WriteString(b.Text)
		case llm.BlockCall:
			calls++
		case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
			e.call.Lose("messages.assistant.content")
			e.moved = append(e.moved, *b)
		case llm.BlockHosted:
			e.call.Lose("messages.assistant.tools")
		}
	}
	if refusal.Len() > 0 && e.takes&takesRefusal == 0 {
		text.WriteString(refusal.String())
		refusal.Reset()
	}
	if text.Len() == 0 && refusal.Len() == 0 && calls == 0 {
		return // of thinking alone, or of nothing
	}
	e.b = append(element(e.b), `{"role":"assistant"`...)
	switch {
	case e.target.Dialect == "mistral" && e.chat.Reasoning.On() && thought.Len() > 0:
		e.b = append(member(e.b, "content"), `[{"type":"thinking","thinking":[{"type":"text","text":`...)
		e.b = append(appendText(e.b, thought.String()), `}]}`...)
		if text.Len() > 0 {
			e.b = append(appendText(append(e.b, `,{"type":"text","text":`...), text.String()), '}')
		}
		e.b = append(e.b, ']')
	case text.Len() == 0 && (calls > 0 || refusal.Len() > 0):
		e.b = append(member(e.b, "content"), "null"...)
	default:
		_ = e.content([]llm.Block{{Kind: llm.BlockText, Text: text.String(), Cache: cached}})
	}
	if refusal.Len() > 0 {
		e.text("refusal", refusal.String())
	}
	e.thoughts(thoughts, thought.String(), going)
	if calls > 0 {
		e.toolCalls(m.Blocks)
	}
	e.b = append(e.b, '}')
}

// goOn marks the message that was written last as one to go on with.
func (e *encoding) goOn() {
	word := map[prefixForm]string{prefixMark: "prefix", prefixPartial: "partial"}[e.prefix]
	if word == "" {
		return
	}
	e.b = append(member(e.b[:len(e.b)-1], word), "true}"...)
}

// thoughts gives thinking back to vendors that want it.
func (e *encoding) thoughts(blocks []*llm.Block, text string, going bool) {
	if e.takes&takesContent != 0 && going && text != "" {
		e.text("reasoning_content", text)
	}
	if e.takes&takesDetails == 0 {
		return
	}
	n := 0
	for _, b := range blocks {
		if b.Seal.Maker != llm.ProtoOpenAI {
			continue
		}
		if n++; n == 1 {
			e.b = append(member(e.b, "reasoning_details"), '[')
		}
		e.b = appendDetail(element(e.b), b, n-1)
	}
	if n > 0 {
		e.b = append(e.b, ']')
	}
}

func (e *encoding) toolCalls(blocks []llm.Block) {
	e.b = append(member(e.b, "tool_calls"), '[')
	signature := ""
	for i := range blocks {
		b := &blocks[i]
		if b.Kind == llm.BlockThinking && b.Seal.Maker == llm.ProtoGemini {
			signature = b.Seal.Data
			continue
		}
		if b.Kind != llm.BlockCall {
			continue
		}
		e.b = append(element(e.b), '{')
		e.text("id", e.id(b.ID))
		name := e.name(b.Name)
		if b.Custom && e.takes&takesCustom != 0 {
			e.b = append(e.b, `,"type":"custom","custom":{`...)
			e.text("name", name)
			e.text("input", b.Text)
		} else {
			e.b = append(e.b, `,"type":"function","function":{`...)
			e.text("name", name)
			e.text("arguments", arguments(b))
		}
		e.b = append(e.b, '}')
		if signature != "" && e.takes&takesGoogle != 0 {
			e.b = appendGoogle(e.b, signature)
		}
		signature = ""
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, ']')
}

// appendGoogle appends the member that carries Google's signature.
func appendGoogle(b []byte, signature string) []byte {
	b = append(member(b, "extra_content"), `{"google":{"thought_signature":`...)
	return append(appendText(b, signature), '}', '}')
}

// arguments are a call's arguments as a function has them.
func arguments(b *llm.Block) string {
	switch {
	case b.Custom:
		return string(append(appendText([]byte(`{"input":`), b.Text), '}'))
	case b.Text == "":
		return "{}"
	}
	return b.Text
}
