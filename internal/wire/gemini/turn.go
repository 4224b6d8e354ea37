package gemini

import (
	"encoding/base64"
	"net/http"
	"path"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// skipSignature stands for the signature of a call that has none, which
// Gemini 3 would refuse: ai.google.dev/gemini-api/docs/thought-signatures,
// "FAQs", November 2025.
const skipSignature = "skip_thought_signature_validator"

// messages writes contents and systemInstruction: the system messages that
// come first are the instruction, later ones are the user's; turns alternate.
func (w *writer) messages() *llm.Error {
	first := true
	var open []llm.Block // calls of the last turn of the model
	ms := w.chat.Messages
	for i := 0; i < len(ms); {
		if first = first && ms[i].Role == llm.RoleSystem; first {
			w.system(ms[i].Blocks)
			i++
			continue
		}
		var turn []llm.Block
		model := ms[i].Role == llm.RoleAssistant
		for ; i < len(ms) && (ms[i].Role == llm.RoleAssistant) == model; i++ {
			turn = append(turn, ms[i].Blocks...)
		}
		c := content{Role: "user"}
		var err *llm.Error
		if model {
			c.Role = "model"
			c.Parts, open, err = w.answer(turn)
		} else {
			c.Parts, err = w.asked(turn, open)
			open = nil
		}
		if err != nil {
			return err
		}
		if len(c.Parts) > 0 {
			w.req.Contents = append(w.req.Contents, c)
		}
	}
	if s := w.req.SystemInstruction; len(w.req.Contents) == 0 && s != nil {
		w.req.Contents, w.req.SystemInstruction = list[content]{{Role: "user", Parts: s.Parts}}, nil
	}
	return nil
}

func (w *writer) system(blocks []llm.Block) {
	for i := range blocks {
		w.cached(&blocks[i])
		if blocks[i].Kind != llm.BlockText || blocks[i].Text == "" {
			continue
		}
		if w.req.SystemInstruction == nil {
			w.req.SystemInstruction = &instruction{}
		}
		s := w.req.SystemInstruction
		s.Parts = append(s.Parts, text(blocks[i].Text))
	}
}

func text(s string) part { return part{Text: &s} }

func (w *writer) cached(b *llm.Block) {
	if b.Cache != llm.CacheNone {
		w.out.Lose("cache_control")
	}
}

// answer writes a turn of the model and returns its calls. A seal of Gemini's
// goes to the part that it came with.
func (w *writer) answer(blocks []llm.Block) (parts list[part], calls []llm.Block, bad *llm.Error) {
	waiting := "" // the signature of the next part
	flush := func() {
		if waiting != "" {
			p := text("")
			p.ThoughtSignature, waiting = waiting, ""
			parts = append(parts, p)
		}
	}
	for i := range blocks {
		b := &blocks[i]
		w.cached(b)
		var p part
		switch b.Kind {
		case llm.BlockThinking:
			if b.Seal.Maker != llm.ProtoGemini {
				continue
			}
			flush()
			if b.Text == "" {
				waiting = b.Seal.Data
				continue
			}
			p = text(b.Text)
			p.Thought, p.ThoughtSignature = true, b.Seal.Data
			parts = append(parts, p)
			continue
		case llm.BlockText, llm.BlockRefusal:
			if b.Text == "" {
				continue
			}
			p = text(b.Text)
		case llm.BlockCall:
			if waiting == "" && len(calls) == 0 && w.model.three {
				waiting = skipSignature
			}
			p.FunctionCall = w.call(b)
			calls = append(calls, *b)
		case llm.BlockHosted:
			if !p.setHosted(b) {
				w.out.Lose("messages.hosted_tool")
				continue
			}
		default:
			if p, bad = w.media(b); bad != nil {
				return nil, nil, bad
			}
		}
		p.ThoughtSignature, waiting = waiting, ""
		parts = append(parts, p)
	}
	flush()
	return parts, calls, nil
}

func (w *writer) call(b *llm.Block) *call {
	c := &call{Name: w.name(b.Name)}
	if w.ids() {
		c.ID = b.ID
	}
	var ok bool
	if b.Custom {
		c.Args = wrap("input", b.Text)
	} else if c.Args, ok = object(b.Text); !ok {
		c.Args = wrap("_raw", b.Text)
		w.out.Lose("tool_calls.function.arguments")
	}
	return c
}

// ids reports whether calls are told with their ids. Vertex takes them for
// Gemini 3 and later; results are matched by their order anyway.
func (w *writer) ids() bool { return w.target.Dialect != Vertex || w.model.three }

// asked writes a turn of the user: the results first, one for each open call
// in the calls' order, then the rest.
func (w *writer) asked(blocks, open []llm.Block) (parts list[part], bad *llm.Error) {
	results := map[string]*llm.Block{}
	known := map[string]bool{}
	for i := range open {
		known[open[i].ID] = true
	}
	for i := range blocks {
		b := &blocks[i]
		if b.Kind != llm.BlockResult {
			continue
		}
		w.cached(b)
		if !known[b.ID] {
			return nil, invalid("messages", "a tool's result must follow the message that called the tool, and name the call's id")
		}
		results[b.ID] = b
	}
	var media list[part]
	for i := range open {
		p, extra, err := w.result(&open[i], results[open[i].ID])
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{FunctionResponse: p})
		media = append(media, extra...)
	}
	parts = append(parts, media...)
	for i := range blocks {
		b := &blocks[i]
		w.cached(b)
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if b.Text != "" {
				parts = append(parts, text(b.Text))
			}
		case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
			p, err := w.media(b)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		case llm.BlockHosted:
			var p part
			if p.setHosted(b) {
				parts = append(parts, p)
			} else {
				w.out.Lose("messages.hosted_tool")
			}
		}
	}
	return parts, nil
}

// result writes what a call gave; b is nil if nothing came back. Media are
// part of it from Gemini 3 on, before they follow the results.
func (w *writer) result(c, b *llm.Block) (f *result, media list[part], bad *llm.Error) {
	f = &result{Name: w.name(c.Name)}
	if w.ids() {
		f.ID = c.ID
	}
	if b == nil {
		f.Response = wrap("error", "the tool gave no result")
		return f, nil, nil
	}
	var texts []string
	for i := range b.Result {
		r := &b.Result[i]
		w.cached(r)
		if r.Kind == llm.BlockText || r.Kind == llm.BlockRefusal {
			texts = append(texts, r.Text)
			continue
		}
		p, err := w.media(r)
		if err != nil {
			return nil, nil, err
		}
		if w.model.three && (p.InlineData != nil || p.FileData != nil) {
			f.Parts = append(f.Parts, resultPart{InlineData: p.InlineData, FileData: p.FileData})
			continue
		}
		media = append(media, p)
		w.out.Lose("tool_result.media")
	}
	all := strings.Join(texts, "\n")
	v, ok := object(all)
	switch {
	case b.Failed:
		f.Response = wrap("error", all)
	case ok && strings.TrimSpace(all) != "":
		f.Response = v
	default:
		f.Response = output(all)
	}
	return f, media, nil
}

// output returns {"output": …} of a text: the JSON value that it is, else the
// text.
func output(s string) jsontext.Value {
	if v := jsontext.Value(strings.TrimSpace(s)); len(v) > 0 && v.Kind() == '[' && v.IsValid(plain) {
		return append(append(jsontext.Value(`{"output":`), v...), '}')
	}
	return wrap("output", s)
}

// media writes an image, audio or file.
func (w *writer) media(b *llm.Block) (p part, bad *llm.Error) {
	m := b.Media
	field := map[llm.BlockKind]string{llm.BlockImage: "image_url", llm.BlockAudio: "input_audio"}[b.Kind]
	if field == "" {
		field = "file"
	}
	if m == nil {
		return p, invalid(field, "there is no content")
	}
	if m.Detail != "" && m.Detail != "auto" {
		w.out.Lose("image_url.detail")
	}
	mime := mimeOf(b)
	switch {
	case m.Data != "":
		if mime == "" {
			return p, wire.Unsupported(field, "this model's vendor must be told the media type")
		}
		p.InlineData = &blob{MIMEType: mime, Data: m.Data}
	case m.Text != "":
		if mime == "" {
			mime = "text/plain"
		}
		p.InlineData = &blob{MIMEType: mime, Data: base64.StdEncoding.EncodeToString([]byte(m.Text))}
	case m.FileID != "":
		if !ours(m.FileID) {
			return p, wire.Unsupported(field, "the file lies at another vendor; send its content")
		}
		uri := m.FileID
		if strings.HasPrefix(uri, "files/") {
			uri = filesURL + "v1beta/" + uri
		}
		p.FileData = &file{MIMEType: mime, FileURI: uri}
	case m.URL != "":
		if w.target.Dialect != Vertex && !ours(m.URL) && !video(m.URL) {
			return p, wire.Unsupported(field, "this model's vendor does not fetch addresses; send the content itself as base64")
		}
		if mime == "" && b.Kind == llm.BlockImage {
			mime = "image/jpeg" // Vertex wants a type, and looks for itself
		}
		p.FileData = &file{MIMEType: mime, FileURI: m.URL}
	default:
		return p, invalid(field, "there is no content")
	}
	return p, nil
}

// video reports whether an address is a video that Gemini fetches itself.
func video(url string) bool {
	return strings.HasPrefix(url, "https://www.youtube.com/") || strings.HasPrefix(url, "https://youtube.com/") || strings.HasPrefix(url, "https://youtu.be/")
}

// types are the media types that Gemini reads, by the ending of a name.
var types = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".heic": "image/heic",
	".heif": "image/heif", ".pdf": "application/pdf", ".txt": "text/plain", ".md": "text/markdown", ".html": "text/html", ".csv": "text/csv",
	".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".aac": "audio/aac", ".mp4": "video/mp4",
	".mov": "video/mov", ".webm": "video/webm", ".mpeg": "video/mpeg",
}

// mimeOf returns the media type: as told, else by the name, else by the first
// bytes; "" if nothing tells.
func mimeOf(b *llm.Block) string {
	m := b.Media
	switch m.MIME {
	case "":
	case "image/jpg": // widely written, and refused
		return "image/jpeg"
	default:
		return m.MIME
	}
	address, _, _ := strings.Cut(m.URL, "?")
	for _, name := range [...]string{b.Name, address} {
		if t := types[strings.ToLower(path.Ext(name))]; t != "" {
			return t
		}
	}
	if m.Data == "" {
		return ""
	}
	head, _ := base64.StdEncoding.DecodeString(m.Data[:min(len(m.Data), 684)&^3])
	if t := http.DetectContentType(head); t != "application/octet-stream" {
		t, _, _ = strings.Cut(t, ";")
		return t
	}
	return ""
}
