package responses

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// messages writes the conversation. What the system says first is the
// instructions, later words of it stand where they were said.
func (w *writer) messages() *llm.Error {
	ms := w.chat.Messages
	var lead []string
	for len(ms) > 0 && ms[0].Role == llm.RoleSystem && onlyText(ms[0].Blocks) {
		for i := range ms[0].Blocks {
			w.cache(&ms[0].Blocks[i])
			if s := ms[0].Blocks[i].Text; s != "" {
				lead = append(lead, s)
			}
		}
		ms = ms[1:]
	}
	if len(ms) == 0 && len(lead) > 0 { // an input of no items is refused
		text := strings.Join(lead, "\n\n")
		w.add(itemOut{Type: typeMessage, Role: "developer", Content: content{{Type: typeInputText, Text: &text}}})
		return nil
	}
	w.body.Instructions = strings.Join(lead, "\n\n")
	for i := range ms {
		var err *llm.Error
		if ms[i].Role == llm.RoleAssistant {
			err = w.assistant(ms[i].Blocks)
		} else {
			err = w.user(ms[i].Role, ms[i].Blocks)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func onlyText(blocks []llm.Block) bool {
	for i := range blocks {
		if blocks[i].Kind != llm.BlockText {
			return false
		}
	}
	return true
}

// cache notes that a mark is lost: OpenAI and those who follow it find the
// prefixes of prompts by themselves.
func (w *writer) cache(b *llm.Block) {
	if b.Cache != llm.CacheNone {
		w.call.Lose("cache_control")
	}
}

func (w *writer) add(it itemOut) { w.body.Input = append(w.body.Input, it) }

// user writes a message of the user or the system; results of tools are items
// of their own.
func (w *writer) user(role llm.Role, blocks []llm.Block) *llm.Error {
	name := "user"
	if role == llm.RoleSystem {
		name = "developer"
	}
	var parts []partOut
	flush := func() {
		if len(parts) > 0 {
			w.add(itemOut{Type: typeMessage, Role: name, Content: parts})
			parts = nil
		}
	}
	for i := range blocks {
		b := &blocks[i]
		w.cache(b)
		if b.Kind == llm.BlockResult {
			flush()
			if err := w.result(b); err != nil {
				return err
			}
			continue
		}
		p, ok, err := w.part(b)
		if err != nil {
			return err
		}
		if ok {
			parts = append(parts, p)
		}
	}
	flush()
	return nil
}

// part writes a block of a user's message or of a tool's result; ok is false
// for one of which nothing is sent.
func (w *writer) part(b *llm.Block) (p partOut, ok bool, _ *llm.Error) {
	if b.Media == nil && (b.Kind == llm.BlockImage || b.Kind == llm.BlockFile) {
		return p, false, nil
	}
	switch b.Kind {
	case llm.BlockText, llm.BlockRefusal:
		return partOut{Type: typeInputText, Text: &b.Text}, b.Text != "", nil
	case llm.BlockImage:
		p = partOut{Type: typeInputImage, Detail: or(b.Media.Detail, "auto")}
		switch {
		case b.Media.FileID != "":
			p.FileID = b.Media.FileID
		case b.Media.Data != "":
			p.ImageURL = "data:" + b.Media.MIME + ";base64," + b.Media.Data
		default:
			p.ImageURL = b.Media.URL
		}
		return p, true, nil
	case llm.BlockFile:
		if b.Media.Video() {
			return p, false, wire.Unsupported("video", "the Responses API takes no videos; leave it out or ask another model")
		}
		p = partOut{Type: typeInputFile, Filename: b.Name}
		switch m := b.Media; {
		case m.FileID != "":
			p.FileID, p.Filename = m.FileID, ""
		case m.Data != "":
			p.FileData = "data:" + or(m.MIME, "application/pdf") + ";base64," + m.Data
			p.Filename = or(p.Filename, "document"+extension(or(m.MIME, "application/pdf")))
		case m.URL != "":
			p.FileURL, p.Filename = m.URL, "" // a name is refused beside a URL
		default: // plain text needs no file
			text := m.Text
			if b.Name != "" {
				text = b.Name + "\n\n" + text
			}
			p = partOut{Type: typeInputText, Text: &text}
		}
		return p, true, nil
	case llm.BlockAudio:
		return p, false, wire.Unsupported("input_audio", "the Responses API takes no audio; leave it out or ask another model")
	case llm.BlockHosted:
		w.call.Lose(or(b.Name, "hosted tools"))
	}
	return p, false, nil
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func extension(mime string) string {
	for ext, m := range extensions {
		if m == mime {
			return ext
		}
	}
	return ""
}

// result writes what a tool gave: text as a string, anything else as parts.
func (w *writer) result(b *llm.Block) *llm.Error {
	it := itemOut{Type: typeResult, CallID: shorten(b.ID)}
	if (b.Custom || w.custom[b.ID]) && w.dialect.custom {
		it.Type = typeCustomResult
	}
	prefix := ""
	if b.Failed { // the protocol has no mark for it
		prefix = "Error: "
	}
	if onlyText(b.Result) {
		texts := make([]string, 0, len(b.Result))
		for i := range b.Result {
			w.cache(&b.Result[i])
			texts = append(texts, b.Result[i].Text)
		}
		it.Output = wire.AppendString(nil, prefix+strings.Join(texts, "\n"))
		w.add(it)
		return nil
	}
	parts := make([]partOut, 0, len(b.Result)+1)
	if prefix != "" {
		parts = append(parts, partOut{Type: typeInputText, Text: &prefix})
	}
	for i := range b.Result {
		w.cache(&b.Result[i])
		p, ok, err := w.part(&b.Result[i])
		if err != nil {
			return err
		}
		if ok {
			parts = append(parts, p)
		}
	}
	out, err := json.Marshal(parts, lax)
	if err != nil {
		return wrong("messages", "cannot be written for the model's vendor")
	}
	it.Output = out
	w.add(it)
	return nil
}

// assistant writes a turn of the model's.
func (w *writer) assistant(blocks []llm.Block) *llm.Error {
	var parts []partOut
	flush := func() {
		if len(parts) > 0 {
			w.add(itemOut{Type: typeMessage, Role: "assistant", Content: parts})
			parts = nil
		}
	}
	last := len(blocks) - 1
	for last >= 0 && (blocks[last].Kind == llm.BlockThinking || blocks[last].Kind == llm.BlockHosted) {
		last-- // OpenAI refuses thinking that nothing follows
	}
	for i := range blocks[:last+1] {
		b := &blocks[i]
		w.cache(b)
		switch b.Kind {
		case llm.BlockText:
			if b.Text != "" {
				parts = append(parts, partOut{Type: typeOutputText, Text: &b.Text})
			}
		case llm.BlockRefusal:
			parts = append(parts, partOut{Type: typeRefusal, Refusal: b.Text})
		case llm.BlockThinking:
			flush()
			w.thinking(b)
		case llm.BlockCall:
			flush()
			w.called(b)
		case llm.BlockHosted:
			w.call.Lose(or(b.Name, "hosted tools"))
		default:
			return wire.Unsupported("messages", "the Responses API takes no images, audio or files from the assistant; leave them out or ask another model")
		}
	}
	flush()
	return nil
}

// thinking writes thinking that this protocol's vendor sealed, or, where the
// vendor seals nothing, its text. Everything else stays behind.
func (w *writer) thinking(b *llm.Block) {
	it := itemOut{Type: typeReasoning, Summary: []partOut{}}
	switch {
	case b.Seal.Maker == llm.ProtoResponses && b.Seal.Data != "":
		it.ID, it.Encrypted = b.ID, b.Seal.Data
		if b.Text != "" {
			it.Summary = append(it.Summary, partOut{Type: typeSummaryText, Text: &b.Text})
		}
	case w.dialect.bare && b.Seal.Maker == 0 && b.Text != "":
		it.ID = b.ID
		it.Content = []partOut{{Type: typeReasoningText, Text: &b.Text}}
	default:
		return
	}
	w.add(it)
}

func (w *writer) called(b *llm.Block) {
	it := itemOut{Type: typeCall, CallID: shorten(b.ID), Name: w.name(b.Name)}
	text := b.Text
	if b.Custom {
		if w.custom == nil {
			w.custom = map[string]bool{}
		}
		w.custom[b.ID] = true
	}
	switch {
	case b.Custom && w.dialect.custom:
		it.Type, it.Input = typeCustomCall, &text
	case b.Custom:
		text = string(append(wire.AppendString([]byte(`{"input":`), text), '}'))
		it.Arguments = &text
	default:
		text = or(text, "{}")
		it.Arguments = &text
	}
	w.add(it)
}

// maxCallID is OpenAI's bound on the ids of calls in bytes (API document,
// 2026-11).
const maxCallID = 64

// shorten returns what stands for the id of a call in a request: a hash of it
// where it is too long, the same in the call and in its output. Ids of answers
// are the vendor's own.
func shorten(id string) string {
	if len(id) <= maxCallID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:16])
}
