package responses

import (
	"encoding/base64"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// item is an item of the input or the output. Members that mean another thing
// in each kind of item are left as they are.
type item struct {
	Type      string           `json:"type"`
	ID        string           `json:"id"`
	Role      string           `json:"role"`
	Content   jsontext.Value   `json:"content"`
	Summary   jsontext.Value   `json:"summary"`
	Encrypted string           `json:"encrypted_content"`
	CallID    string           `json:"call_id"`
	Name      jsontext.Value   `json:"name"`
	Space     string           `json:"namespace"`
	Execution string           `json:"execution"`
	Author    string           `json:"author"`
	Recipient string           `json:"recipient"`
	Arguments jsontext.Value   `json:"arguments"`
	Input     jsontext.Value   `json:"input"`
	Output    jsontext.Value   `json:"output"`
	Result    jsontext.Value   `json:"result"`
	Action    jsontext.Value   `json:"action"`
	Tools     []jsontext.Value `json:"tools"`
	Status    jsontext.Value   `json:"status"`
	Rest      jsontext.Value   `json:",embed"`
}

// part is a part of a message, of a tool's result or of reasoning.
type part struct {
	Type        string         `json:"type"`
	Text        string         `json:"text"`
	Refusal     string         `json:"refusal"`
	Annotations []annotation   `json:"annotations"`
	ImageURL    jsontext.Value `json:"image_url"`
	FileID      string         `json:"file_id"`
	Detail      string         `json:"detail"`
	FileData    string         `json:"file_data"`
	FileURL     string         `json:"file_url"`
	Filename    string         `json:"filename"`
	Audio       *audio         `json:"input_audio"`
	Breakpoint  jsontext.Value `json:"prompt_cache_breakpoint"`
	LogProbs    jsontext.Value `json:"logprobs"`
	Rest        jsontext.Value `json:",embed"`
}

type audio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

type annotation struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Title string `json:"title"`
	Start int    `json:"start_index"`
	End   int    `json:"end_index"`
}

// steps are the items of tools that the vendor ran: their outcome is in the
// text that followed, so another vendor can go on without them. Every other
// unknown item is something that the conversation hangs on.
var steps = map[string]bool{
	typeSearchCall: true, "file_search_call": true, "code_interpreter_call": true, "mcp_call": true, "mcp_list_tools": true,
	"x_search_call": true, "program": true, "program_output": true,
}

func (r *reader) input(v jsontext.Value) *llm.Error {
	if scan.Null(v) {
		return nil
	}
	if s, ok := scan.String(v); ok {
		r.add(llm.RoleUser, typeMessage, llm.Block{Text: s})
		return nil
	}
	var items []jsontext.Value
	if err := json.Unmarshal(v, &items, lax); err != nil {
		return wrong("input", "must be a string or a list of items")
	}
	for i, raw := range items {
		at := index("input", i)
		if s, ok := scan.String(raw); ok {
			r.add(llm.RoleUser, typeMessage, llm.Block{Text: s})
			continue
		}
		if err := r.item(at, raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) item(at string, raw jsontext.Value) *llm.Error {
	kind, _ := scan.String(scan.Get(raw, "type"))
	switch kind {
	case "", typeMessage, typeReasoning, typeCall, typeResult, typeCustomCall, typeCustomResult, typeAgent, typeFinderCall, typeFound, "additional_tools":
	default:
		if steps[kind] {
			r.leave("input."+kind, false)
		} else {
			r.leave(at+" ("+kind+")", true)
		}
		return nil
	}
	var it item
	if err := json.Unmarshal(raw, &it, lax); err != nil {
		return invalid(err, at)
	}
	r.unknown("input.", it.Rest, false)
	switch kind {
	case typeReasoning:
		return r.reasoning(at, &it)
	case typeCall, typeCustomCall:
		if it.CallID == "" {
			return wrong(at+".call_id", "is missing")
		}
		b := llm.Block{Kind: llm.BlockCall, ID: it.CallID, Name: r.join(it.Space, plain(it.Name)), Text: plain(it.Arguments)}
		if kind == typeCustomCall {
			b.Custom, b.Text = true, plain(it.Input)
		}
		if scan.Null(it.Name) {
			return wrong(at+".name", "is missing")
		}
		r.add(llm.RoleAssistant, typeCall, b)
	case typeResult, typeCustomResult:
		if it.CallID == "" {
			return wrong(at+".call_id", "is missing")
		}
		parts, err := r.parts(at+".output", it.Output)
		if err != nil {
			return err
		}
		r.add(llm.RoleUser, typeResult, llm.Block{Kind: llm.BlockResult, ID: it.CallID, Custom: kind == typeCustomResult, Result: parts})
	case typeFinderCall, typeFound:
		return r.finder(at, &it)
	case typeAgent:
		return r.agent(at, &it)
	case "additional_tools":
		return r.tools(at+".tools", it.Tools, "")
	default:
		return r.message(at, &it)
	}
	return nil
}

// finder reads a step of a search of tools. Those that were found may be
// called from then on, whoever searched.
func (r *reader) finder(at string, it *item) *llm.Error {
	mine := it.Execution == "client" && it.CallID != ""
	if !mine {
		r.leave("input."+it.Type, false)
	}
	if it.Type == typeFinderCall {
		if mine {
			r.add(llm.RoleAssistant, typeCall, llm.Block{Kind: llm.BlockCall, ID: it.CallID, Name: typeFinder, Text: plain(it.Arguments)})
		}
		return nil
	}
	first := len(r.chat.Tools)
	if err := r.tools(at+".tools", it.Tools, ""); err != nil {
		return err
	}
	if mine {
		found := []string{"These tools can be called now:"}
		for i := first; i < len(r.chat.Tools); i++ {
			found = append(found, r.chat.Tools[i].Name)
		}
		r.add(llm.RoleUser, typeResult, llm.Block{Kind: llm.BlockResult, ID: it.CallID, Result: []llm.Block{{Text: strings.Join(found, "\n")}}})
	}
	return nil
}

// agent reads what one of a client's agents told another: a message of the
// user that says so. Codex writes text that was never encrypted as
// encrypted_content where the model is not OpenAI's (openai/codex 0.169).
func (r *reader) agent(at string, it *item) *llm.Error {
	blocks := []llm.Block{{Text: "Message from " + it.Author + " to " + it.Recipient + ":"}}
	var bad bool
	err := scan.Elements(it.Content, func(raw []byte) bool {
		if s, ok := scan.String(scan.Get(raw, "encrypted_content")); ok {
			bad = bad || strings.HasPrefix(s, sealed)
			blocks = append(blocks, llm.Block{Text: s})
			return true
		}
		parts, err := r.parts(at+".content", raw)
		bad = bad || err != nil
		blocks = append(blocks, parts...)
		return true
	})
	if err != nil || bad {
		r.leave(at+" ("+typeAgent+")", true)
		return nil
	}
	r.add(llm.RoleUser, typeMessage, blocks...)
	return nil
}

// sealed begins what OpenAI encrypted: version 0x80 of a Fernet token.
const sealed = "gAAAA"

// plain is the text of a JSON string, and any other value as it stands.
func plain(v jsontext.Value) string {
	if scan.Null(v) {
		return ""
	}
	if s, ok := scan.String(v); ok {
		return s
	}
	return string(v)
}

func (r *reader) message(at string, it *item) *llm.Error {
	role := llm.RoleUser
	switch it.Role {
	case "user":
	case "assistant":
		role = llm.RoleAssistant
	case "system", "developer":
		role = llm.RoleSystem
	case "":
		if it.Type == "" && it.ID != "" && scan.Null(it.Content) { // an item_reference may come without its type
			r.leave(at+" (item_reference)", true)
			return nil
		}
		return wrong(at+".role", "is missing")
	default:
		return wrong(at+".role", "must be user, assistant, system or developer")
	}
	blocks, err := r.parts(at+".content", it.Content)
	if err != nil {
		return err
	}
	if len(blocks) > 0 {
		r.add(role, typeMessage, blocks...)
	}
	return nil
}

// add appends blocks of an item to the conversation. The items of one turn of
// the assistant become one message, and so do the results that follow it.
func (r *reader) add(role llm.Role, kind string, blocks ...llm.Block) {
	n := len(r.chat.Messages)
	joins := n > 0 && r.open != "" && r.chat.Messages[n-1].Role == role
	switch role {
	case llm.RoleAssistant:
		joins = joins && (kind != typeMessage || r.open != typeMessage)
	case llm.RoleUser:
		joins = joins && kind == typeResult && r.open == typeResult
	default:
		joins = false
	}
	r.open = kind
	if joins {
		r.chat.Messages[n-1].Blocks = append(r.chat.Messages[n-1].Blocks, blocks...)
		return
	}
	r.chat.Messages = append(r.chat.Messages, llm.Message{Role: role, Blocks: blocks})
}

// parts reads content: a string or a list of parts.
func (r *reader) parts(at string, v jsontext.Value) ([]llm.Block, *llm.Error) {
	if scan.Null(v) {
		return nil, nil
	}
	if s, ok := scan.String(v); ok {
		return []llm.Block{{Text: s}}, nil
	}
	var list []jsontext.Value
	if v[0] != '[' {
		list = []jsontext.Value{v}
	} else if err := json.Unmarshal(v, &list, lax); err != nil {
		return nil, invalid(err, at)
	}
	blocks := make([]llm.Block, 0, len(list))
	for i, raw := range list {
		at := index(at, i)
		if s, ok := scan.String(raw); ok {
			blocks = append(blocks, llm.Block{Text: s})
			continue
		}
		var p part
		if err := json.Unmarshal(raw, &p, lax); err != nil {
			return nil, invalid(err, at)
		}
		b, ok := p.block()
		if !ok {
			r.leave(at+" ("+p.Type+")", true)
			continue
		}
		r.unknown("input.content.", p.Rest, false)
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// block returns the part in neutral form; false if it has none.
func (p *part) block() (b llm.Block, ok bool) {
	if !scan.Null(p.Breakpoint) {
		b.Cache = llm.CacheShort
	}
	switch p.Type {
	case typeInputText, typeOutputText, "text", "":
		b.Text, b.Cites = p.Text, cites(p.Annotations)
	case typeRefusal:
		b.Kind, b.Text = llm.BlockRefusal, p.Refusal
	case typeInputImage, "image_url":
		b.Kind, b.Media = llm.BlockImage, &llm.Media{FileID: p.FileID, Detail: p.Detail}
		url := p.ImageURL
		if len(url) > 0 && url[0] == '{' { // chat completions' shape
			if b.Media.Detail == "" {
				b.Media.Detail = plain(scan.Get(url, "detail"))
			}
			url = scan.Get(url, "url")
		}
		locate(b.Media, plain(url))
	case typeInputFile:
		b.Kind, b.Name, b.Media = llm.BlockFile, p.Filename, &llm.Media{FileID: p.FileID, URL: p.FileURL}
		locateFile(b.Media, p)
	case "input_audio":
		if p.Audio == nil {
			return b, false
		}
		b.Kind, b.Media = llm.BlockAudio, &llm.Media{MIME: "audio/" + p.Audio.Format, Data: p.Audio.Data}
		if p.Audio.Format == "mp3" {
			b.Media.MIME = "audio/mpeg"
		}
	default:
		return b, false
	}
	return b, true
}

// locate fills media from a URL, which may be a data URL.
func locate(m *llm.Media, url string) {
	if mime, data, ok := dataURL(url); ok {
		m.MIME, m.Data = mime, data
	} else if url != "" {
		m.URL = url
	}
}

// extensions are the types of files whose data came without one.
var extensions = map[string]string{
	".pdf": "application/pdf", ".txt": "text/plain", ".md": "text/markdown", ".csv": "text/csv", ".json": "application/json",
	".html": "text/html", ".xml": "application/xml",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

func locateFile(m *llm.Media, p *part) {
	if p.FileData == "" {
		return
	}
	if mime, data, ok := dataURL(p.FileData); ok {
		m.MIME, m.Data = mime, data
	} else {
		m.MIME, m.Data = extensions[strings.ToLower(filepath.Ext(p.Filename))], p.FileData
	}
	if m.MIME == "text/plain" { // what every vendor can be told
		if b, err := base64.StdEncoding.DecodeString(m.Data); err == nil {
			m.Text, m.Data = string(b), ""
		}
	}
}

// cites returns the sources among annotations.
func cites(in []annotation) (out []llm.Cite) {
	for i := range in {
		if c, ok := in[i].cite(); ok {
			out = append(out, c)
		}
	}
	return out
}

func (a *annotation) cite() (llm.Cite, bool) {
	if a.Type != "url_citation" || a.URL == "" {
		return llm.Cite{}, false
	}
	return llm.Cite{URL: a.URL, Title: a.Title, Start: a.Start, End: a.End}, true
}

func (r *reader) reasoning(at string, it *item) *llm.Error {
	b, err := thinking(it)
	if err != nil {
		return invalid(err, at)
	}
	if b.Text == "" && b.Seal.Maker == 0 {
		return nil // nothing that anybody could read
	}
	r.add(llm.RoleAssistant, typeReasoning, b)
	return nil
}

// thinking reads a reasoning item.
func thinking(it *item) (llm.Block, error) {
	b := llm.Block{Kind: llm.BlockThinking}
	var err error
	if b.Text, err = joined(it.Summary); err == nil && b.Text == "" {
		b.Text, err = joined(it.Content)
	}
	if b.Seal, b.ID = wire.UnwrapSeal(it.Encrypted, llm.ProtoResponses); b.ID == "" && (b.Seal.Maker == 0 || b.Seal.Maker == llm.ProtoResponses) {
		b.ID = it.ID
	}
	return b, err
}

// joined is the text of a list of parts, a blank line between them.
func joined(v jsontext.Value) (string, error) {
	if scan.Null(v) {
		return "", nil
	}
	if s, ok := scan.String(v); ok {
		return s, nil
	}
	var list []part
	if err := json.Unmarshal(v, &list, lax); err != nil {
		return "", err
	}
	var b strings.Builder
	for i := range list {
		if b.Len() > 0 && list[i].Text != "" {
			b.WriteString(between)
		}
		b.WriteString(list[i].Text)
	}
	return b.String(), nil
}

// between stands between the parts of a summary.
const between = "\n\n"
