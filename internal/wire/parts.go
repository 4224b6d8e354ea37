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

// maxParts bounds the parts of a multipart body, maxField the fields of a form
// that are read.
const (
	maxParts = 1 << 10
	maxField = 4 << 10
)

// Parts is a multipart/form-data body with the positions of its fields. It
// implements llm.Body; the files in it are never copied.
type Parts struct {
	buf    *Buffer
	kind   string
	delim  string // boundary with its dashes
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
	b := p.buf.B
	p.delim = "--" + params["boundary"]
	delim := []byte("\r\n" + p.delim)
	at := bytes.Index(b, delim[2:])
	if at < 0 {
		return badForm("its boundary does not come")
	}
	at += len(delim) - 2
	for range maxParts {
		switch {
		case bytes.HasPrefix(b[at:], []byte("--")):
			return nil
		case bytes.HasPrefix(b[at:], []byte("\r\n")):
			at += 2
		default:
			return badForm("a boundary is followed by something else")
		}
		head := bytes.Index(b[at:], []byte("\r\n\r\n"))
		if head < 0 {
			return badForm("a part has no header")
		}
		name, file, ok := disposition(b[at : at+head+4])
		if !ok {
			return badForm("a part has no name")
		}
		start := at + head + 4
		size := bytes.Index(b[start:], delim)
		if size < 0 {
			return badForm("a part does not end")
		}
		if !file && size <= maxField {
			if e := p.add(formField{name, start, start + size}); e != nil {
				return e
			}
		}
		at = start + size + len(delim)
	}
	return badForm(fmt.Sprintf("it has more than %d parts", maxParts))
}

// add keeps a field. Those that decide where a request goes may come once.
func (p *Parts) add(f formField) *llm.Error {
	if f.name == "model" || f.name == "stream" {
		if _, twice := p.field(f.name); twice {
			return &llm.Error{Kind: llm.KindInvalidRequest, Param: f.name, Message: fmt.Sprintf("%q appears twice; send it once", f.name)}
		}
	}
	p.fields = append(p.fields, f)
	return nil
}

// disposition reads the header of a part.
func disposition(head []byte) (name string, file, ok bool) {
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	if err != nil {
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
		if f.name == name {
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
		out.add(p.buf.B[bytes.Index(p.buf.B, []byte(p.delim)):])
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

// Bytes implements llm.Body.
func (p *Parts) Bytes() []byte { return p.buf.B }

// Conversation implements llm.Body: there is none.
func (p *Parts) Conversation() (uint64, bool) { return 0, false }

// User implements llm.Body.
func (p *Parts) User() string { return p.Field("user") }

// Chat implements llm.Body: there is none.
func (p *Parts) Chat() (*llm.Chat, *llm.Error) {
	return nil, Unsupported("model", "this model's vendor cannot be asked this; ask another model")
}

// Release implements llm.Body.
func (p *Parts) Release() {
	if p.refs.Add(-1) == 0 {
		p.buf.Free()
	}
}
