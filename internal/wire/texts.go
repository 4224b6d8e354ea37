package wire

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// opaque are the members of bodies that hold no text for a model: names that
// others refer to, addresses, and what only its maker reads. They are looked at
// where a body is free (see place).
var opaque = map[string]bool{
	"model": true, "role": true, "type": true, "object": true, "id": true, "name": true, "$ref": true,
	"call_id": true, "tool_call_id": true, "tool_use_id": true, "item_id": true, "previous_response_id": true, "conversation": true,
	"file_id": true, "fileId": true, "file_data": true, "url": true, "uri": true, "image_url": true, "file_url": true, "fileUri": true, "file_uri": true,
	"mime_type": true, "mimeType": true, "media_type": true, "signature": true, "thoughtSignature": true, "thought_signature": true,
	"encrypted_content": true, "prompt_cache_key": true, "cachedContent": true, "cached_content": true,
}

// schemas are the members that hold JSON Schemas: only what they say to the
// model is text.
var schemas = map[string]bool{
	"parameters": true, "parametersJsonSchema": true, "parameters_json_schema": true, "input_schema": true, "schema": true,
	"responseSchema": true, "response_schema": true, "responseJsonSchema": true, "response_json_schema": true, "response": true,
}

// place is what a value of a body may hold.
type place uint8

const (
	ordinary   place = iota
	silent           // no text
	schema           // a JSON Schema
	free             // what people and tools write: names of members and long numbers are text too
	named            // an object whose members have what names people give
	properties       // such an object of a JSON Schema
)

// inside returns the place of the member name of an object in a place. within
// is the name that the object itself has.
func (p place) inside(within, name string) place {
	switch {
	case p == free:
		return free
	case p == named:
		return ordinary
	case p == properties:
		return schema
	case p == schema:
		return inSchema(name)
	case name == "metadata":
		return free
	case name == "variables" && within == "prompt":
		return named
	case name == "name" && within == "messages":
		return ordinary
	case name == "response" && (within == "functionResponse" || within == "function_response"), name == "args", name == "arguments":
		return free
	case schemas[name]:
		return schema
	case opaque[name]:
		return silent
	}
	return ordinary
}

// inSchema is the place of a member of a JSON Schema.
func inSchema(name string) place {
	switch name {
	case "description", "title", "$comment":
		return ordinary
	case "enum", "const", "default", "example", "examples":
		return free
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		return properties
	}
	return schema
}

// urls are the members that may hold media as a data URL.
var urls = map[string]bool{"image": true, "images": true, "audio": true, "video": true, "data": true, "document": true, "document_url": true}

// dataURL reports whether a text is a data URL of base64 and nothing else.
func dataURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "data:")
	kind, data, cut := strings.Cut(rest, ";base64,")
	return ok && cut && mediaType(kind) && encoded(data)
}

// maxMIME bounds a media type in bytes.
const maxMIME = 127

// mediaType reports whether s is a media type of what is no text.
func mediaType(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	token := func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
		}) < 0
	}
	return ok && len(s) <= maxMIME && token(kind) && token(sub) && !strings.EqualFold(kind, "text")
}

// encoded reports whether a text has the alphabet of base64, which no model reads
// as words.
func encoded(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/' || r == '=' || r == '-' || r == '_' || r == '\r' || r == '\n')
	}) < 0
}

// holders are the objects whose member data is media where a media type, or a
// format of sound, stands beside it.
var holders = map[string]bool{"source": true, "inlineData": true, "inline_data": true, "input_audio": true}

// typed reports whether the object that b begins with says that its data is media.
func typed(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewBuffer(b), readable...)
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return false
		}
		key := textOfString(name)
		v, err := d.ReadValue()
		if err != nil || len(v) > maxMIME || v.Kind() != '"' {
			continue
		}
		switch s := textOfString(v); key {
		case "media_type", "mimeType", "mime_type":
			return mediaType(s)
		case "format":
			return mediaType("audio/" + s)
		}
	}
	return false
}

// leastNumber is how many digits a number has, at least, that may be more than a
// number.
const leastNumber = 7

// level is an object or array that is being read.
type level struct {
	place  place  // of its values
	name   string // that it has itself, or the array that it stands in
	member string // whose value comes next
	object bool
	named  bool // the next token is a value
	media  bool // its member data is media
}

// texts reads the values of a JSON document.
type texts struct {
	b       []byte
	dec     *jsontext.Decoder
	stack   []level
	f       func(string) (string, bool)
	patches []Patch
}

// readable are the options of documents that vendors take, too.
var readable = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// editTexts calls f with each text of the JSON document b, in its order, and
// returns what to put in place of those that f changes. begin is where b
// stands.
func editTexts(b []byte, begin place, f func(string) (string, bool)) ([]Patch, error) {
	t := texts{b: b, dec: jsontext.NewDecoder(bytes.NewBuffer(b), readable...), f: f}
	for {
		at := begin
		var top *level
		if n := len(t.stack); n > 0 {
			top = &t.stack[n-1]
			at = top.place
		}
		if top != nil && top.object && top.named {
			at = top.place.inside(top.name, top.member)
		}
		switch kind := t.dec.PeekKind(); kind {
		case '{', '[':
			if _, err := t.dec.ReadToken(); err != nil {
				return nil, err
			}
			in := level{place: at, object: kind == '{'}
			if top != nil {
				if in.name = top.member; !top.object {
					in.name = top.name
				}
				in.media = in.object && at == ordinary && holders[top.member] && typed(b[t.dec.InputOffset()-1:])
				if in.object && top.object && top.member == "input" && at == ordinary && len(t.stack) > 1 { // of a call, as Anthropic writes it
					in.place = free
				}
				top.named = false
			}
			t.stack = append(t.stack, in)
		case '}', ']':
			if _, err := t.dec.ReadToken(); err != nil {
				return nil, err
			}
			t.stack = t.stack[:len(t.stack)-1]
		default:
			v, err := t.dec.ReadValue()
			if err != nil {
				return nil, err
			}
			if top != nil && top.object && !top.named {
				top.member, top.named = textOfString(v), true
				if top.place == free {
					t.string(v, free, "")
				}
				break
			}
			member := ""
			if top != nil {
				member, top.named = top.member, false
			}
			t.value(kind, v, at, member)
		}
		if len(t.stack) == 0 {
			return t.patches, t.end()
		}
	}
}

// end is the error for what follows the document.
func (t *texts) end() error {
	switch _, err := t.dec.ReadToken(); err {
	case io.EOF:
		return nil
	case nil:
		return errors.New("text after the JSON document")
	default:
		return err
	}
}

func textOfString(v []byte) string {
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1])
	}
	s, _ := jsontext.AppendUnquote(nil, v)
	return string(s)
}

// value looks at a scalar in a place.
func (t *texts) value(kind jsontext.Kind, v []byte, at place, member string) {
	switch {
	case at == silent || at == schema || at == properties:
	case kind == '"':
		t.string(v, at, member)
	case kind == '0' && at == free && len(v) >= leastNumber:
		if with, changed := t.f(string(v)); changed {
			t.replace(v, AppendString(nil, with))
		}
	}
}

// string looks at a text in a place, the value of a member.
func (t *texts) string(v []byte, at place, member string) {
	s := textOfString(v)
	switch in := t.stack; {
	case s == "":
		return
	case at == ordinary && len(in) > 0 && (in[len(in)-1].media && member == "data" && encoded(s) || urls[cmp.Or(member, in[len(in)-1].name)] && dataURL(s)):
		return
	case member == "arguments" && strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{"):
		if in := []byte(s); t.inner(v, in) {
			return
		}
	}
	if with, changed := t.f(s); changed {
		t.replace(v, AppendString(nil, with))
	}
}

// inner looks into a JSON document that stands in a string; false: it is none.
func (t *texts) inner(v, in []byte) bool {
	if !jsontext.Value(in).IsValid(readable...) {
		return false
	}
	patches, err := editTexts(in, free, t.f)
	if err != nil {
		return false
	}
	if len(patches) > 0 {
		t.replace(v, AppendString(nil, string(patched(in, patches))))
	}
	return true
}

// replace puts with in the place of v, which was read last.
func (t *texts) replace(v, with []byte) {
	end := int(t.dec.InputOffset())
	t.patches = append(t.patches, Patch{end - len(v), end, with})
}

// patched is b with other values in some places that follow each other.
func patched(b []byte, patches []Patch) []byte {
	out := make([]byte, 0, len(b)+64*len(patches))
	at := 0
	for _, p := range patches {
		out = append(append(out, b[at:p.Start]...), p.Value...)
		at = p.End
	}
	return append(out, b[at:]...)
}

// Tokens implements llm.Texts.
func (f *Form) Tokens() bool {
	for _, m := range f.members {
		if name := string(f.raw[m.Key+1 : m.KeyEnd-1]); (name == "input" || name == "prompt") && hasNumbers(f.raw[m.Start:m.End]) {
			return true
		}
	}
	return false
}

// hasNumbers reports whether b is an array of numbers, or has one.
func hasNumbers(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewBuffer(b), readable...)
	for d.PeekKind() == '[' || d.StackDepth() > 0 {
		var err error
		switch kind := d.PeekKind(); {
		case kind == '0':
			return true
		case kind == '{', kind == '[' && d.StackDepth() == 2:
			err = d.SkipValue()
		default:
			_, err = d.ReadToken()
		}
		if err != nil {
			return false
		}
	}
	return false
}

// Texts implements llm.Texts.
func (f *Form) Texts(edit func(text string) (string, bool)) (llm.Body, *llm.Error) {
	patches, err := editTexts(f.raw, ordinary, edit)
	if err != nil {
		return nil, &llm.Error{Kind: llm.KindInvalidJSON, Message: "the body cannot be read by this model's guards: " + clip(err.Error())}
	}
	if len(patches) == 0 {
		return f, nil
	}
	return bodyOf(NewForm(f.shape, &Buffer{B: patched(f.raw, patches)}))
}

// Tokens implements llm.Texts.
func (p *Parts) Tokens() bool { return false }

// Texts implements llm.Texts: texts are the fields that are no files, but for
// those that say where the request goes.
func (p *Parts) Texts(edit func(text string) (string, bool)) (llm.Body, *llm.Error) {
	var patches []Patch
	for _, x := range p.fields {
		if x.name == "model" || x.name == "stream" || x.start == x.end {
			continue
		}
		if with, changed := edit(string(p.buf.B[x.start:x.end])); changed {
			patches = append(patches, Patch{x.start, x.end, []byte(with)})
		}
	}
	if len(patches) == 0 {
		return p, nil
	}
	return bodyOf(NewParts(&Buffer{B: patched(p.buf.B, patches)}, p.kind))
}

// bodyOf is a body, or the error; never a body that is nil inside.
func bodyOf[B llm.Body](b B, bad *llm.Error) (llm.Body, *llm.Error) {
	if bad != nil {
		return nil, bad
	}
	return b, nil
}
