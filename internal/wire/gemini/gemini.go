// Package gemini is Google's generateContent protocol, as clients and as the
// Gemini API and Vertex AI speak it: requests, answers, streams as
// server-sent events or as a JSON array, and the counting of tokens. It is
// protobuf's JSON: names in camelCase or snake_case, enumerations by name or
// number, 64-bit integers as numbers or text, and one value where a list of
// one is meant.
package gemini

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Codec is the protocol for clients and vendors. It has no state.
type Codec struct{}

var (
	_ wire.Client = Codec{}
	_ wire.Vendor = Codec{}
)

// Vertex is the dialect of Vertex AI; "" is the Gemini API.
const Vertex = "vertex"

// lenient reads protobuf's JSON. Names match whatever their case, dashes and
// underscores.
var lenient = json.JoinOptions(json.MatchCaseInsensitiveNames(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// plain writes values that came from elsewhere as they are.
var plain = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// list is a repeated field: an array, or its only element.
type list[T any] []T

func (l *list[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '[':
		return json.UnmarshalDecode(d, (*[]T)(l))
	case 'n':
		*l = nil
		return d.SkipValue()
	}
	var one T
	if err := json.UnmarshalDecode(d, &one); err != nil {
		return err
	}
	*l = list[T]{one}
	return nil
}

// word is an enumeration: its name, or its number as text.
type word string

func (w *word) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	*w = ""
	switch t.Kind() {
	case '"', '0':
		*w = word(t.String())
	case '{', '[':
		return strconv.ErrSyntax
	}
	return nil
}

// number is an integer: a number, whole or not, or its text.
type number int64

func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var w word
	if err := w.UnmarshalJSONFrom(d); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(w), 64)
	if w != "" && (err != nil || f < -1<<53 || f > 1<<53) {
		return strconv.ErrRange
	}
	*n = number(f)
	return nil
}

// content is one turn.
type content struct {
	Parts list[part]     `json:"parts,omitzero"`
	Role  string         `json:"role,omitzero"`
	More  jsontext.Value `json:",embed"`
}

// instruction is a content that may be written as its text or its parts.
type instruction struct{ content }

func (i *instruction) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		s := t.String()
		i.Parts = list[part]{{Text: &s}}
		return nil
	case '[':
		return json.UnmarshalDecode(d, &i.Parts)
	}
	return json.UnmarshalDecode(d, &i.content)
}

type part struct {
	Text                *string        `json:"text,omitzero"`
	Thought             bool           `json:"thought,omitzero"`
	InlineData          *blob          `json:"inlineData,omitzero"`
	FileData            *file          `json:"fileData,omitzero"`
	FunctionCall        *call          `json:"functionCall,omitzero"`
	FunctionResponse    *result        `json:"functionResponse,omitzero"`
	ExecutableCode      jsontext.Value `json:"executableCode,omitzero"`
	CodeExecutionResult jsontext.Value `json:"codeExecutionResult,omitzero"`
	ToolCall            jsontext.Value `json:"toolCall,omitzero"`
	ToolResponse        jsontext.Value `json:"toolResponse,omitzero"`
	ThoughtSignature    string         `json:"thoughtSignature,omitzero"`
	VideoMetadata       jsontext.Value `json:"videoMetadata,omitzero"`
	More                jsontext.Value `json:",embed"`
}

type blob struct {
	MIMEType    string `json:"mimeType,omitzero"`
	Data        string `json:"data"`
	DisplayName string `json:"displayName,omitzero"`
}

type file struct {
	MIMEType    string `json:"mimeType,omitzero"`
	FileURI     string `json:"fileUri"`
	DisplayName string `json:"displayName,omitzero"`
}

type call struct {
	ID           string         `json:"id,omitzero"`
	Name         string         `json:"name,omitzero"`
	Args         jsontext.Value `json:"args,omitzero"`
	PartialArgs  list[partial]  `json:"partialArgs,omitzero"`
	WillContinue bool           `json:"willContinue,omitzero"`
}

type result struct {
	ID       string           `json:"id,omitzero"`
	Name     string           `json:"name"`
	Response jsontext.Value   `json:"response,omitzero"`
	Parts    list[resultPart] `json:"parts,omitzero"`
	More     jsontext.Value   `json:",embed"`
}

type resultPart struct {
	InlineData *blob `json:"inlineData,omitzero"`
	FileData   *file `json:"fileData,omitzero"`
}

// hosted returns the step of a tool of the vendor's that p is, and the
// member's name; "" if it is none.
func (p *part) hosted() (name string, v jsontext.Value) {
	for _, h := range [...]struct {
		name string
		v    jsontext.Value
	}{{"executableCode", p.ExecutableCode}, {"codeExecutionResult", p.CodeExecutionResult}, {"toolCall", p.ToolCall}, {"toolResponse", p.ToolResponse}} {
		if len(h.v) > 0 && h.v[0] == '{' {
			return h.name, h.v
		}
	}
	return "", nil
}

// setHosted makes p the hosted step that b is; false if b is another
// protocol's.
func (p *part) setHosted(b *llm.Block) bool {
	v := jsontext.Value(b.Text)
	if !scan.Valid(v) || v.Kind() != '{' || !v.IsValid(plain) {
		return false
	}
	switch b.Name {
	case "executableCode":
		p.ExecutableCode = v
	case "codeExecutionResult":
		p.CodeExecutionResult = v
	case "toolCall":
		p.ToolCall = v
	case "toolResponse":
		p.ToolResponse = v
	default:
		return false
	}
	return true
}

// media returns the block that inline data or a file is.
func media(in *blob, at *file) llm.Block {
	b := llm.Block{Media: &llm.Media{}}
	if in != nil {
		b.Name, b.Media.MIME, b.Media.Data = in.DisplayName, in.MIMEType, standard(in.Data)
	} else {
		if b.Name, b.Media.MIME = at.DisplayName, at.MIMEType; at.MIMEType == "" && video(at.FileURI) {
			b.Media.MIME = "video/*"
		}
		if ours(at.FileURI) {
			b.Media.FileID = at.FileURI
		} else {
			b.Media.URL = at.FileURI
		}
	}
	switch {
	case strings.HasPrefix(b.Media.MIME, "image/"):
		b.Kind = llm.BlockImage
	case strings.HasPrefix(b.Media.MIME, "audio/"):
		b.Kind = llm.BlockAudio
	default:
		b.Kind = llm.BlockFile
	}
	return b
}

// ours reports whether a file lies where only Google reads it: an uploaded
// file, or an object of Cloud Storage.
func ours(uri string) bool {
	return strings.HasPrefix(uri, "gs://") || strings.HasPrefix(uri, "files/") || strings.HasPrefix(uri, filesURL)
}

// filesURL begins the address of a file that was uploaded to the Gemini API.
const filesURL = "https://generativelanguage.googleapis.com/"

// standard returns base64 in the standard alphabet with padding; protobuf
// takes the other alphabet and no padding, too.
func standard(s string) string {
	if strings.ContainsAny(s, "-_") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	if n := len(s) % 4; n != 0 && !strings.HasSuffix(s, "=") {
		s += "==="[:4-n]
	}
	return s
}

// wrapped begins the base64 of every seal that wire.WrapSeal wrote.
const wrapped = "c2wx"

// seal reads a thoughtSignature that a client sent.
func seal(signature string) (llm.Seal, string) {
	signature = standard(signature)
	if strings.HasPrefix(signature, wrapped) {
		if text, err := base64.StdEncoding.DecodeString(signature); err == nil {
			if s, id := wire.UnwrapSeal(string(text), llm.ProtoGemini); s.Data != string(text) {
				return s, id
			}
		}
	}
	return llm.Seal{Maker: llm.ProtoGemini, Data: signature}, ""
}

// signature is what a client is shown of a block's seal: bytes, in base64.
func signature(b *llm.Block) string {
	if b.Seal.Maker == 0 {
		return ""
	}
	if b.Seal.Maker == llm.ProtoGemini {
		return b.Seal.Data
	}
	return base64.StdEncoding.EncodeToString([]byte(wire.WrapSeal(b)))
}

// object returns text as a JSON object; ok is false if it is none, "" is an
// empty one.
func object(text string) (v jsontext.Value, ok bool) {
	v = jsontext.Value(strings.TrimSpace(text))
	if len(v) == 0 {
		return jsontext.Value("{}"), true
	}
	if v[0] != '{' || !v.IsValid(plain) {
		return nil, false
	}
	return v, true
}

// wrap returns an object with one member of text.
func wrap(name, text string) jsontext.Value {
	b := append(quote([]byte{'{'}, name), ':')
	return append(quote(b, text), '}')
}

// quote appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	out, err := jsontext.AppendQuote(b, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}

// compact returns JSON without white space between its tokens, where it has
// line ends there: vendors indent what they answer.
func compact(v jsontext.Value) jsontext.Value {
	if bytes.IndexByte(v, '\n') < 0 {
		return v
	}
	c := v.Clone()
	if c.Compact(plain) != nil {
		return v
	}
	return c
}
