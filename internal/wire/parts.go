package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"mime"
	"net/textproto"
	"strings"
	"sync/atomic"

	"github.com/sluicegate/sluice/internal/llm"
)

// maxParts bounds the parts of a multipart body, maxHeader the header of each,
// maxField the fields of a form that are read, all in bytes but the first.
const (
	maxParts  = 1 << 10
	maxHeader = 8 << 10
	maxField  = 4 << 10
)

// Parts is a multipart/form-data body with the positions of its fields. It
// implements llm.Body; the files in it are never copied.
type Parts struct {
	buf    *Buffer
	kind   string
	delim  string // boundary with its dashes
	first  int    // where the first stands in buf.B
	fields []formField
	refs   atomic.Int32
}

// formField is a part that is no file: its value is buf.B[start:end].
type formField struct {
	name       string
	start, end int
}

// NewParts looks at body, which it owns from now on; on error it was freed.
// contentType names the boundary.
func NewParts(body *Buffer, contentType string) (*Parts, *llm.Error) {
	p := &Parts{buf: body, kind: contentType}
	p.refs.Store(1)
	if e := p.scan(); e != nil {
		p.Release()
		return nil, e
	}
	return p, nil
}

func badForm(detail string) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body is no multipart/form-data: " + detail}
}

func (p *Parts) scan() *llm.Error {
	kind, params, err := mime.ParseMediaType(p.kind)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return badForm("its Content-Type names no boundary")
	}
	p.delim = "--" + params["boundary"]
	b, delim := p.buf.B, []byte(p.delim)
	if p.first = bytes.Index(b, delim); p.first < 0 {
		return badForm("its boundary does not come")
	}
	if p.first > 0 && !bytes.HasSuffix(b[:p.first], lineEnd) {
		return badForm("its boundary comes inside a line")
	}
	at := p.first
	for range maxParts {
		start, last, e := p.part(at + len(delim))
		if e != nil || last {
			return e
		}
		at = start
	}
	if bytes.HasPrefix(b[at+len(delim):], dashes) {
		return nil
	}
	return badForm(fmt.Sprintf("it has more than %d parts", maxParts))
}

var lineEnd, blankLine, dashes = []byte("\r\n"), []byte("\r\n\r\n"), []byte("--")

// part reads the part whose boundary ends at at and returns where the next
// begins; last says that there is none. What another reader of forms could
// split elsewhere is an error.
func (p *Parts) part(at int) (next int, last bool, e *llm.Error) {
	b, delim := p.buf.B, []byte(p.delim)
	switch {
	case bytes.HasPrefix(b[at:], dashes):
		return 0, true, nil
	case !bytes.HasPrefix(b[at:], lineEnd):
		return 0, false, badForm("a boundary is followed by something else")
	}
	at += len(lineEnd)
	size := bytes.Index(b[at:min(len(b), at+maxHeader)], blankLine)
	if size < 0 {
		return 0, false, badForm("a part has no header, or one above 8 KiB")
	}
	start := at + size + len(blankLine)
	head := b[at:start]
	if bytes.Contains(head, delim) {
		return 0, false, badForm("a header holds the boundary")
	}
	name, file, ok := disposition(head)
	if !ok {
		return 0, false, badForm("a part has no name")
	}
	i := bytes.Index(b[start-1:], append([]byte{'\n'}, delim...))
	end := start - 1 + i - 1 // of the part: its line end is the boundary's
	switch {
	case i < 0:
		return 0, false, badForm("a part does not end")
	case end < start || b[end] != '\r':
		return 0, false, badForm("a boundary follows no line end")
	}
	return end + len(lineEnd), false, p.add(formField{name, start, end}, file)
}

// add keeps a field. Those that decide where a request goes may come once, in
// this spelling, and must be short enough to be read.
func (p *Parts) add(f formField, file bool) *llm.Error {
	for _, key := range [...]string{"model", "stream"} {
		_, twice := p.field(key)
		switch {
		case f.name != key && !strings.EqualFold(f.name, key):
			continue
		case f.name != key:
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: key, Message: fmt.Sprintf("%q must be spelled %q", clip(f.name), key)}
		case twice:
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: key, Message: fmt.Sprintf("%q appears twice; send it once", key)}
		case file || f.end-f.start > maxField:
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: key, Message: fmt.Sprintf("%q must be a field of the form, not a file", key)}
		}
	}
	if !file {
		p.fields = append(p.fields, f)
	}
	return nil
}

// disposition reads the header of a part.
func disposition(head []byte) (name string, file, ok bool) {
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	if err != nil || len(h["Content-Disposition"]) != 1 {
		return "", false, false
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil || kind != "form-data" || params["name"] == "" {
		return "", false, false
	}
	_, file = params["filename"]
	return params["name"], file, true
}

func (p *Parts) field(name string) (formField, bool) {
	for _, f := range p.fields {
		if f.name == name && f.end-f.start <= maxField {
			return f, true
		}
	}
	return formField{}, false
}

// Field returns the value of a field of at most 4 KiB that is no file, "" if
// there is none.
func (p *Parts) Field(name string) string {
	f, _ := p.field(name)
	return string(p.buf.B[f.start:f.end])
}

// Fill fills req.
func (p *Parts) Fill(op llm.Op, req *llm.Request) *llm.Error {
	req.Model = strings.TrimSpace(p.Field("model"))
	if e := CheckName(req.Model); e != nil {
		return e
	}
	req.Stream = p.Field("stream") == "true"
	req.Op, req.Proto, req.N, req.Body = op, llm.ProtoOpenAI, 1, p
	return nil
}

// ContentType is the body's, with its boundary.
func (p *Parts) ContentType() string { return p.kind }

// Payload is the body with model as its field "model". The caller closes it.
func (p *Parts) Payload(model string) *Payload {
	out := &Payload{held: p}
	p.refs.Add(1)
	out.pieces = out.space[:0]
	f, ok := p.field("model")
	switch {
	case !ok: // parts may come in any order
		out.add([]byte(p.delim + "\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model + "\r\n"))
		out.add(p.buf.B[p.first:])
		return out
	case p.Field("model") == model:
		out.add(p.buf.B)
		return out
	}
	out.add(p.buf.B[:f.start])
	out.add([]byte(model))
	out.add(p.buf.B[f.end:])
	return out
}

// Without is the body without the field of a name, if it is there. The caller
// closes it.
func (p *Parts) Without(name string) *Payload {
	out := &Payload{held: p}
	p.refs.Add(1)
	out.pieces = out.space[:0]
	f, ok := p.field(name)
	if !ok {
		out.add(p.buf.B)
		return out
	}
	out.add(p.buf.B[:bytes.LastIndex(p.buf.B[:f.start], []byte(p.delim))])
	out.add(p.buf.B[f.end+2:]) // from the next boundary on
	return out
}

// Bytes implements llm.Body.
func (p *Parts) Bytes() []byte { return p.buf.B }

// Prompt implements llm.Body: there is none to share.
func (p *Parts) Prompt(dst [][]byte) [][]byte { return dst }

// Conversation implements llm.Body: there is none.
func (p *Parts) Conversation() (uint64, bool) { return 0, false }

// User implements llm.Body.
func (p *Parts) User() string { return p.Field("user") }

// Chat implements llm.Body: there is none.
func (p *Parts) Chat() (*llm.Chat, *llm.Error) {
	return nil, Unsupported("model", "this model's vendor cannot be asked this; ask another model")
}

// Hold implements llm.Body.
func (p *Parts) Hold() { p.refs.Add(1) }

// Release implements llm.Body.
func (p *Parts) Release() {
	if p.refs.Add(-1) == 0 {
		p.buf.Free()
	}
}
