package anthropic

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// opening is what a conversation begins with that does not begin with the
// user: Anthropic wants the user first.
const opening = "."

// messages writes the conversation: turns of one role joined, the user
// first, tool results before what else a turn says.
func (w *writer) messages() *llm.Error {
	c := w.chat
	first := 0
	for first < len(c.Messages) && c.Messages[first].Role == llm.RoleSystem {
		first++
	}
	w.system(c.Messages[:first])
	for i := first; i < len(c.Messages); i++ {
		m := &c.Messages[i]
		role := "user"
		var blocks []outBlock
		switch m.Role {
		case llm.RoleSystem:
			role, blocks = w.later(m, i)
		case llm.RoleAssistant:
			role, blocks = "assistant", w.assistant(m)
		default:
			var err *llm.Error
			if blocks, err = w.user(m.Blocks); err != nil {
				return err
			}
		}
		w.turn(role, blocks)
	}
	if len(w.body.Messages) == 0 {
		w.turn("user", []outBlock{{Type: "text", Text: opening}})
	}
	for i := range w.body.Messages {
		slices.SortStableFunc(w.body.Messages[i].Content, func(a, b outBlock) int { return rank(&a) - rank(&b) })
	}
	w.trim()
	return nil
}

// rank puts tool results before what else a turn says.
func rank(b *outBlock) int {
	if b.Type == "tool_result" {
		return 0
	}
	return 1
}

// turn appends blocks to the conversation.
func (w *writer) turn(role string, blocks []outBlock) {
	if len(blocks) == 0 {
		return
	}
	n := len(w.body.Messages)
	if n == 0 && role == "assistant" {
		w.body.Messages = append(w.body.Messages, outTurn{"user", []outBlock{{Type: "text", Text: opening}}})
		n++
	}
	if n > 0 && w.body.Messages[n-1].Role == role {
		last := &w.body.Messages[n-1]
		last.Content = append(last.Content, blocks...)
		return
	}
	w.body.Messages = append(w.body.Messages, outTurn{role, blocks})
}

// trim takes white space off the end of a conversation that ends with the
// assistant, where Anthropic refuses it.
func (w *writer) trim() {
	last := &w.body.Messages[len(w.body.Messages)-1]
	if last.Role != "assistant" {
		return
	}
	if b := &last.Content[len(last.Content)-1]; b.Type == "text" {
		if b.Text = strings.TrimRight(b.Text, " \t\r\n"); b.Text == "" {
			last.Content = last.Content[:len(last.Content)-1]
		}
	}
	if len(last.Content) == 0 {
		w.body.Messages = w.body.Messages[:len(w.body.Messages)-1]
	}
}

// system writes what leads the conversation: one text, or blocks where one is
// to be kept in the cache.
func (w *writer) system(messages []llm.Message) {
	var texts []outBlock
	marked := false
	for i := range messages {
		for j := range messages[i].Blocks {
			b := &messages[i].Blocks[j]
			if b.Text == "" {
				continue
			}
			marked = marked || b.Cache != llm.CacheNone
			texts = append(texts, outBlock{Type: "text", Text: b.Text, CacheControl: cacheMark(b.Cache)})
		}
	}
	for _, s := range w.say {
		texts = append(texts, outBlock{Type: "text", Text: s})
	}
	if marked || len(texts) < 2 {
		w.body.System = texts
		return
	}
	var all []string
	for _, b := range texts {
		all = append(all, b.Text)
	}
	w.body.System = []outBlock{{Type: "text", Text: strings.Join(all, "\n\n")}}
}

// later writes a system message inside the conversation: as such where the
// model takes it there, behind a user's turn and before an assistant's; else
// as the user's words, marked.
func (w *writer) later(m *llm.Message, at int) (role string, blocks []outBlock) {
	all := w.chat.Messages
	n := len(w.body.Messages)
	native := w.can&Turns != 0 && w.target.Dialect != Vertex && n > 0 && w.body.Messages[n-1].Role == "user" &&
		(at+1 == len(all) || all[at+1].Role == llm.RoleAssistant)
	role = "user"
	if native {
		role = "system"
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		if b.Text == "" {
			continue
		}
		text := b.Text
		if !native {
			text = "<system>\n" + text + "\n</system>"
		}
		blocks = append(blocks, outBlock{Type: "text", Text: text, CacheControl: cacheMark(b.Cache)})
	}
	return role, blocks
}

// assistant writes what the model said before.
func (w *writer) assistant(m *llm.Message) (out []outBlock) {
	for i := range m.Blocks {
		b := &m.Blocks[i]
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if b.Text != "" {
				out = append(out, outBlock{Type: "text", Text: b.Text, CacheControl: cacheMark(b.Cache)})
			}
		case llm.BlockThinking:
			switch {
			case !ownSeal(b): // thinking without its proof is refused
			case b.Seal.Redacted:
				out = append(out, outBlock{Type: "redacted_thinking", Data: b.Seal.Data})
			default:
				out = append(out, outBlock{Type: "thinking", Thinking: &b.Text, Signature: b.Seal.Data})
			}
		case llm.BlockCall:
			out = append(out, outBlock{Type: "tool_use", ID: w.callID(b.ID), Name: w.name(b.Name), Input: w.arguments(b), CacheControl: cacheMark(b.Cache)})
		case llm.BlockHosted:
			if ownHosted(b) {
				out = append(out, outBlock{Type: b.Name, raw: jsontext.Value(b.Text)})
			} else {
				w.call.Lose("messages." + b.Name)
			}
		case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
			w.call.Lose("messages.media") // the model takes none of what it said
		}
	}
	return out
}

// arguments are a call's as an object.
func (w *writer) arguments(b *llm.Block) jsontext.Value {
	switch {
	case b.Custom:
		return append(wire.AppendString([]byte(`{"input":`), b.Text), '}')
	case strings.TrimSpace(b.Text) == "":
		return jsontext.Value("{}")
	case object(b.Text):
		return jsontext.Value(b.Text)
	}
	w.call.Lose("messages.tool_calls.arguments")
	return append(wire.AppendString([]byte(`{"_raw":`), b.Text), '}')
}

// callID returns the id under which a call goes to the vendor: of the letters
// that it takes, and no two the same.
func (w *writer) callID(client string) string {
	id := clean(client)
	if id == "" {
		id = "call"
	}
	base := id
	for i := 2; w.used[id]; i++ {
		id = base + "_" + strconv.Itoa(i)
	}
	w.used[id] = true
	w.ids[client] = id
	return id
}

// resultID returns the id of the call that a result answers.
func (w *writer) resultID(client string) string {
	if id, ok := w.ids[client]; ok {
		return id
	}
	if id := clean(client); id != "" {
		return id
	}
	return "call"
}

// user writes what the user said, and what tools gave.
func (w *writer) user(blocks []llm.Block) (out []outBlock, err *llm.Error) {
	for i := range blocks {
		b := &blocks[i]
		var o outBlock
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if b.Text == "" {
				continue
			}
			o = outBlock{Type: "text", Text: b.Text}
		case llm.BlockImage, llm.BlockFile:
			if o, err = w.media(b); err != nil {
				return nil, err
			}
		case llm.BlockAudio:
			return nil, wire.Unsupported("input_audio", "the model takes no audio; send text or ask another model")
		case llm.BlockResult:
			in, err := w.user(b.Result)
			if err != nil {
				return nil, err
			}
			o = outBlock{Type: "tool_result", ToolUseID: w.resultID(b.ID), Content: in, IsError: b.Failed}
		case llm.BlockHosted:
			if !ownHosted(b) {
				w.call.Lose("messages." + b.Name)
				continue
			}
			o = outBlock{Type: b.Name, raw: jsontext.Value(b.Text)}
		default:
			continue // thinking and calls are the assistant's
		}
		o.CacheControl = cacheMark(b.Cache)
		out = append(out, o)
	}
	return out, nil
}

// media writes an image or a document.
func (w *writer) media(b *llm.Block) (outBlock, *llm.Error) {
	m := b.Media
	if m == nil {
		m = &llm.Media{}
	}
	if m.Video() {
		return outBlock{}, wire.Unsupported("video", "the model sees no videos; leave it out or ask another model")
	}
	if m.Detail != "" && m.Detail != "auto" {
		w.call.Lose("image_url.detail")
	}
	mime := m.MIME
	if m.Data != "" && (mime == "" || mime == "application/octet-stream") {
		mime = sniff(m.Data)
	}
	o := outBlock{Type: "document", Title: b.Name}
	if b.Kind == llm.BlockImage || strings.HasPrefix(mime, "image/") {
		o = outBlock{Type: "image"}
	}
	switch {
	case m.FileID != "":
		if !strings.HasPrefix(m.FileID, "file_") { // Anthropic's begin so, OpenAI's with file-
			return o, wire.Unsupported("file_id", "the file is at another vendor; send its content")
		}
		o.Source = &source{Type: "file", FileID: m.FileID}
	case m.URL != "":
		o.Source = &source{Type: "url", URL: m.URL}
	case m.Text != "":
		o.Source = &source{Type: "text", MediaType: "text/plain", Data: m.Text}
	case o.Type == "image" || mime == "application/pdf":
		o.Source = &source{Type: "base64", MediaType: mime, Data: m.Data}
	default:
		text, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil || len(text) == 0 || !utf8.Valid(text) {
			return o, wire.Unsupported("file", "the model reads PDF and plain text only, not "+strconv.Quote(clip(mime))+"; send one of them or ask another model")
		}
		o.Source = &source{Type: "text", MediaType: "text/plain", Data: string(text)}
	}
	return o, nil
}

// sniff tells the type of base64 data by its beginning, "" if it is not
// base64.
func sniff(data string) string {
	head, err := base64.StdEncoding.DecodeString(data[:min(len(data), 684)/4*4])
	if err != nil {
		return ""
	}
	mime, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return mime
}
