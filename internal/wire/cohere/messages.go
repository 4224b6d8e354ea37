package cohere

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// message is a message of a request.
type message struct {
	Role    string `json:"role"`
	Content []part `json:"content,omitempty"`
	Plan    string `json:"tool_plan,omitempty"`
	Calls   []call `json:"tool_calls,omitempty"`
	CallID  string `json:"tool_call_id,omitempty"`
}

// part is a piece of a message's content, in requests and answers.
type part struct {
	Type     string    `json:"type"`
	Text     *string   `json:"text,omitzero"`
	Thinking *string   `json:"thinking,omitzero"`
	Image    *image    `json:"image_url,omitempty"`
	Document *document `json:"document,omitempty"`
}

type image struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

type document struct {
	ID   string  `json:"id,omitempty"`
	Data docData `json:"data"`
}

type docData struct {
	Title string `json:"title,omitempty"`
	Text  string `json:"text"`
}

// call is a call of a tool, in requests and answers.
type call struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

func words(s string) []part { return []part{{Type: "text", Text: &s}} }

// messages writes the conversation.
func (e *encoding) messages() *llm.Error {
	e.req.Messages = []message{}
	for i := range e.chat.Messages {
		m := &e.chat.Messages[i]
		var err *llm.Error
		switch m.Role {
		case llm.RoleSystem:
			e.system(m)
		case llm.RoleAssistant:
			err = e.assistant(m)
		default:
			err = e.user(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) system(m *llm.Message) {
	var parts []part
	for i := range m.Blocks {
		e.marked(&m.Blocks[i])
		if t := m.Blocks[i].Text; m.Blocks[i].Kind == llm.BlockText && t != "" {
			parts = append(parts, words(t)...)
		}
	}
	e.say(message{Role: "system", Content: parts})
}

// say adds a message unless it is empty, which Cohere refuses.
func (e *encoding) say(m message) {
	if len(m.Content) > 0 || len(m.Calls) > 0 {
		e.req.Messages = append(e.req.Messages, m)
	}
}

// marked: Cohere keeps prompts by itself, and cannot be told which.
func (e *encoding) marked(b *llm.Block) {
	if b.Cache != llm.CacheNone {
		e.call.Lose("cache_control")
	}
}

// assistant writes a turn of the model's. Thinking goes back as the plan of
// the calls that follow it, or to a model that thinks. What another vendor has
// sealed is that vendor's.
func (e *encoding) assistant(m *llm.Message) *llm.Error {
	out := message{Role: "assistant"}
	var plan []string
	for i := range m.Blocks {
		b := &m.Blocks[i]
		e.marked(b)
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if b.Text != "" {
				out.Content = append(out.Content, words(b.Text)...)
			}
		case llm.BlockThinking:
			switch {
			case b.Text == "" || b.Seal.Maker != 0:
			case thinks(e.to.Model):
				out.Content = append(out.Content, part{Type: "thinking", Thinking: &b.Text})
			default:
				plan = append(plan, b.Text)
			}
		case llm.BlockCall:
			out.Calls = append(out.Calls, e.called(b))
		case llm.BlockHosted:
			e.call.Lose("messages." + b.Name)
		case llm.BlockImage, llm.BlockAudio, llm.BlockFile:
			return wire.Unsupported("messages", "Cohere takes images and files from the user only; leave them out of the assistant's turns")
		}
	}
	if len(out.Calls) > 0 {
		out.Plan = strings.Join(plan, "\n")
	}
	e.say(out)
	return nil
}

func (e *encoding) called(b *llm.Block) call {
	c := call{ID: b.ID, Type: "function"}
	c.Function.Name = e.name(b.Name)
	c.Function.Arguments = b.Text
	switch {
	case b.Custom:
		arg, _ := jsontext.AppendQuote([]byte(`{"input":`), b.Text) // the error tells of invalid UTF-8, which is replaced
		c.Function.Arguments = string(append(arg, '}'))
	case strings.TrimSpace(b.Text) == "":
		c.Function.Arguments = "{}"
	}
	return c
}

// user writes a turn of the user's: first the results of tools, each a message
// of its own, then what the user says.
func (e *encoding) user(m *llm.Message) *llm.Error {
	said := message{Role: "user"}
	shown := "" // what stands for a document where nothing else is said
	for i := range m.Blocks {
		b := &m.Blocks[i]
		e.marked(b)
		switch b.Kind {
		case llm.BlockResult:
			moved, err := e.result(b)
			if err != nil {
				return err
			}
			said.Content = append(said.Content, moved...)
		case llm.BlockText, llm.BlockRefusal:
			if b.Text != "" {
				said.Content = append(said.Content, words(b.Text)...)
			}
		case llm.BlockImage:
			p, err := e.image(b)
			if err != nil {
				return err
			}
			said.Content = append(said.Content, p)
		case llm.BlockFile:
			d, err := fileOf(b)
			if err != nil {
				return err
			}
			if e.chat.Format.Kind != llm.FormatText { // no documents beside a format
				said.Content = append(said.Content, words(strings.TrimPrefix(d.Title+"\n\n"+d.Text, "\n\n"))...)
			} else {
				e.req.Documents = append(e.req.Documents, document{Data: *d})
				shown = "See the document " + d.Title
			}
		case llm.BlockAudio:
			return wire.Unsupported("messages", "Cohere takes no audio; leave it out or ask another model")
		case llm.BlockHosted:
			e.call.Lose("messages." + b.Name)
		}
	}
	if len(said.Content) == 0 && shown != "" {
		said.Content = words(strings.TrimSpace(shown))
	}
	e.say(said)
	return nil
}

// result writes what a called tool gave. Images are returned: the user shows
// them, since tools cannot.
func (e *encoding) result(b *llm.Block) (images []part, err *llm.Error) {
	out := message{Role: "tool", CallID: b.ID}
	if b.Failed {
		out.Content = words("Error:")
	}
	for i := range b.Result {
		x := &b.Result[i]
		switch x.Kind {
		case llm.BlockText, llm.BlockRefusal:
			if x.Text != "" {
				out.Content = append(out.Content, words(x.Text)...)
			}
		case llm.BlockImage:
			p, err := e.image(x)
			if err != nil {
				return nil, err
			}
			images = append(images, p)
			e.call.Lose("tool_result.image")
		case llm.BlockFile:
			d, err := fileOf(x)
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, part{Type: "document", Document: &document{Data: *d}})
		default:
			return nil, wire.Unsupported("messages", "Cohere takes texts, images and text files in the results of tools; leave out the rest")
		}
	}
	if len(out.Content) == 0 {
		out.Content = words("(empty)")
	}
	e.say(out)
	return images, nil
}

func (e *encoding) image(b *llm.Block) (part, *llm.Error) {
	m := b.Media
	if m == nil || m.Data == "" && m.URL == "" {
		return part{}, wire.Unsupported("messages", "Cohere knows no image of that id; send the image itself, as base64")
	}
	url := m.URL
	if url == "" {
		kind := m.MIME
		if kind == "" {
			kind = "image/png"
		}
		url = "data:" + kind + ";base64," + m.Data
	}
	return part{Type: "image_url", Image: &image{url, m.Detail}}, nil
}

// fileOf reads a file that is text.
func fileOf(b *llm.Block) (*docData, *llm.Error) {
	m := b.Media
	if m != nil && m.Text != "" {
		return &docData{b.Name, m.Text}, nil
	}
	if m != nil && m.Data != "" && (strings.HasPrefix(m.MIME, "text/") || strings.HasPrefix(m.MIME, "application/json")) {
		if text, err := base64.StdEncoding.DecodeString(m.Data); err == nil {
			return &docData{b.Name, string(text)}, nil
		}
	}
	if m.Video() {
		return nil, wire.Unsupported("video", "Cohere takes no videos; leave it out or ask another model")
	}
	return nil, wire.Unsupported("messages", "Cohere takes files of text only; send the text itself or ask another model")
}
