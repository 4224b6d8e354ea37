package bedrock

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// turn is a message of the request.
type turn struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// block is a content block of the request: one member is set. Text is never
// blank, which Bedrock refuses.
type block struct {
	Text      string      `json:"text,omitempty"`
	Image     *media      `json:"image,omitempty"`
	Audio     *media      `json:"audio,omitempty"`
	Document  *media      `json:"document,omitempty"`
	Call      *call       `json:"toolUse,omitempty"`
	Result    *result     `json:"toolResult,omitempty"`
	Reasoning *reasoning  `json:"reasoningContent,omitempty"`
	Cache     *cachePoint `json:"cachePoint,omitempty"`
}

type media struct {
	Format string `json:"format"`
	Name   string `json:"name,omitempty"` // of a document
	Source source `json:"source"`
}

type source struct {
	Bytes string    `json:"bytes,omitempty"` // base64
	S3    *location `json:"s3Location,omitempty"`
}

type location struct {
	URI string `json:"uri"`
}

type call struct {
	ID    string         `json:"toolUseId"`
	Name  string         `json:"name"`
	Input jsontext.Value `json:"input"`
}

type result struct {
	ID      string  `json:"toolUseId"`
	Content []block `json:"content"`
	Status  string  `json:"status,omitempty"`
}

type reasoning struct {
	Text     *reasoningText `json:"reasoningText,omitempty"`
	Redacted string         `json:"redactedContent,omitempty"` // base64
}

type reasoningText struct {
	Text      string `json:"text"`
	Signature string `json:"signature,omitempty"`
}

type cachePoint struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

const (
	roleUser      = "user"
	roleAssistant = "assistant"
)

// messages writes the conversation: system first, then turns that alternate
// and begin with the user's, results before what else the user says.
func (e *encoding) messages() *llm.Error {
	begun := false
	for i := range e.chat.Messages {
		m := &e.chat.Messages[i]
		if m.Role == llm.RoleSystem {
			e.system(m, begun)
			continue
		}
		begun = true
		role := roleUser
		if m.Role == llm.RoleAssistant {
			role = roleAssistant
		}
		blocks, err := e.blocks(m)
		if err != nil {
			return err
		}
		e.say(role, blocks)
	}
	e.finish()
	return nil
}

// system writes instructions. Those that come when the conversation has begun
// are told in the user's turn.
func (e *encoding) system(m *llm.Message, begun bool) {
	for i := range m.Blocks {
		b := &m.Blocks[i]
		if b.Kind != llm.BlockText || strings.TrimSpace(b.Text) == "" {
			continue
		}
		if begun {
			e.say(roleUser, []block{{Text: "<system>\n" + b.Text + "\n</system>"}})
			continue
		}
		e.req.System = e.mark(append(e.req.System, block{Text: b.Text}), b.Cache)
	}
}

// say adds to the turn of role, a new one if the other spoke last.
func (e *encoding) say(role string, blocks []block) {
	if len(blocks) == 0 {
		return
	}
	last := len(e.req.Messages) - 1
	if last < 0 || e.req.Messages[last].Role != role {
		e.req.Messages = append(e.req.Messages, turn{role, blocks})
		return
	}
	e.req.Messages[last].Content = append(e.req.Messages[last].Content, blocks...)
}

// finish makes the turns what Bedrock insists on.
func (e *encoding) finish() {
	if len(e.req.Messages) == 0 { // instructions only: they are the question
		if len(e.req.System) > 0 {
			e.req.Messages, e.req.System = []turn{{roleUser, e.req.System}}, nil
		} else {
			e.req.Messages = []turn{}
		}
		return
	}
	if e.req.Messages[0].Role != roleUser {
		e.req.Messages = append([]turn{{roleUser, []block{{Text: "(continued)"}}}}, e.req.Messages...)
	}
	for i := range e.req.Messages {
		m := &e.req.Messages[i]
		if m.Role == roleUser {
			m.Content = resultsFirst(m.Content)
			m.Content = explained(m.Content)
		}
	}
	if m := &e.req.Messages[len(e.req.Messages)-1]; m.Role == roleAssistant { // Claude refuses it to end in space
		if b := &m.Content[len(m.Content)-1]; b.Text != "" {
			b.Text = strings.TrimRight(b.Text, " \t\r\n")
		}
	}
}

// resultsFirst moves results before everything else, each with its cache
// point.
func resultsFirst(blocks []block) []block {
	var first, rest []block
	for i := range blocks {
		after := i > 0 && blocks[i].Cache != nil && blocks[i-1].Result != nil
		if blocks[i].Result != nil || after {
			first = append(first, blocks[i])
		} else {
			rest = append(rest, blocks[i])
		}
	}
	return append(first, rest...)
}

// explained adds a text to a turn that holds documents only, which Bedrock
// refuses.
func explained(blocks []block) []block {
	name := ""
	for i := range blocks {
		if blocks[i].Text != "" {
			return blocks
		}
		if d := blocks[i].Document; d != nil && name == "" {
			name = d.Name
		}
	}
	if name == "" {
		return blocks
	}
	return append(blocks, block{Text: "See " + name + "."})
}

// mark adds a cache point after the last block if the client wants one there.
func (e *encoding) mark(blocks []block, c llm.Cache) []block {
	if c == llm.CacheNone || len(blocks) == 0 {
		return blocks
	}
	if p := e.cache(c); p != nil {
		blocks = append(blocks, block{Cache: p})
	}
	return blocks
}

// cache returns a cache point, nil for a model that takes none. Only Claude
// from 4.5 on keeps a prompt for an hour.
func (e *encoding) cache(c llm.Cache) *cachePoint {
	if !e.model.caches() {
		e.call.Lose("cache_control")
		return nil
	}
	p := &cachePoint{Type: "default"}
	if c == llm.CacheHour {
		if e.model.family == claude && e.model.version >= 405 {
			p.TTL = "1h"
		} else {
			e.call.Lose("cache_control.ttl")
		}
	}
	return p
}

// blocks writes the content of a message.
func (e *encoding) blocks(m *llm.Message) (out []block, err *llm.Error) {
	for i := range m.Blocks {
		b := &m.Blocks[i]
		had := len(out)
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if strings.TrimSpace(b.Text) != "" {
				out = append(out, block{Text: b.Text})
			}
		case llm.BlockThinking:
			if r := e.reasoning(b); r != nil {
				out = append(out, block{Reasoning: r})
			}
		case llm.BlockCall:
			out = append(out, block{Call: e.callOf(b)})
		case llm.BlockResult:
			r, err := e.result(b)
			if err != nil {
				return nil, err
			}
			out = append(out, block{Result: r})
		case llm.BlockHosted:
			e.call.Lose("messages." + b.Name)
		case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
			if m.Role == llm.RoleAssistant {
				return nil, wire.Unsupported("messages", "Bedrock takes images, audio and files from the user only; leave them out of the assistant's turns")
			}
			x, err := e.media(b)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		if len(out) > had {
			out = e.mark(out, b.Cache)
		}
	}
	return out, nil
}

// reasoning returns thinking that may go back to the model that made it, nil
// for all other, which may be left out.
func (e *encoding) reasoning(b *llm.Block) *reasoning {
	s := b.Seal
	if s.Maker != llm.ProtoAnthropic && s.Maker != llm.ProtoBedrock || s.Data == "" || !e.model.seals() {
		return nil
	}
	if s.Redacted {
		return &reasoning{Redacted: base64.StdEncoding.EncodeToString([]byte(s.Data))}
	}
	return &reasoning{Text: &reasoningText{b.Text, s.Data}}
}

// callOf writes a call that the model made before.
func (e *encoding) callOf(b *llm.Block) *call {
	c := &call{ID: e.id(b.ID), Name: e.name(b.Name)}
	args := strings.TrimSpace(b.Text)
	switch {
	case b.Custom:
		c.Input = wrap("input", b.Text)
	case args == "":
		c.Input = jsontext.Value("{}")
	case args[0] != '{' || !scan.Valid([]byte(args)):
		c.Input = wrap("_raw", b.Text)
		e.call.Lose("tool_calls.function.arguments")
	default:
		c.Input = jsontext.Value(args)
	}
	return c
}

// wrap returns an object with one text.
func wrap(name, text string) jsontext.Value {
	b, _ := jsontext.AppendQuote([]byte(`{"`+name+`":`), text) // the error tells of invalid UTF-8, which is replaced
	return append(b, '}')
}

// id returns a call's id as the model takes it: Claude letters, digits, _ and
// -; others . and : too, as Kimi K2 makes them. Ids that differ must stay so.
func (e *encoding) id(id string) string {
	more := "_-.:"
	if e.model.family == claude || e.model.family == profile {
		more = "_-"
	}
	out := tidy(id, more)
	if out != id && id != "" {
		sum := strconv.FormatUint(uint64(hash(id)), 36)
		out = out[:min(len(out), maxName-1-len(sum))] + "_" + sum
	}
	return out
}

// hash is FNV-1a.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// result writes what a called tool gave.
func (e *encoding) result(b *llm.Block) (*result, *llm.Error) {
	r := &result{ID: e.id(b.ID)}
	for i := range b.Result {
		x := &b.Result[i]
		switch x.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if strings.TrimSpace(x.Text) != "" {
				r.Content = append(r.Content, block{Text: x.Text})
			}
		case llm.BlockHosted:
			e.call.Lose("messages." + x.Name)
		case llm.BlockImage, llm.BlockFile, llm.BlockAudio:
			if x.Kind == llm.BlockAudio {
				return nil, wire.Unsupported("messages", "Bedrock takes no audio in the results of tools; leave it out")
			}
			m, err := e.media(x)
			if err != nil {
				return nil, err
			}
			r.Content = append(r.Content, m)
		}
	}
	if len(r.Content) == 0 {
		r.Content = []block{{Text: "(empty)"}}
	}
	if b.Failed {
		if e.model.status() {
			r.Status = "error"
		} else {
			r.Content = append([]block{{Text: "Error:"}}, r.Content...)
		}
	}
	return r, nil
}
