package openai

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sluicegate/sluice/internal/wire/scan"
)

// Field is one member of a JSON object, its value raw.
type Field struct {
	Name  string
	Value []byte
}

// Params are the operator's changes to a body.
type Params struct {
	Default []Field  // added where the client has not set them
	Set     []Field  // put in place of what the client set
	Drop    []string // taken out
}

// UsageMode says how a vendor is brought to count a stream.
type UsageMode uint8

// The modes.
const (
	UsageAsked  UsageMode = iota // by stream_options.include_usage
	UsageAlways                  // it always does, and refuses stream_options
)

// Rewrite says what to change in a body on its way to a vendor.
type Rewrite struct {
	Model  []byte // the vendor's name as a JSON string; nil keeps the client's
	Usage  UsageMode
	Params *Params // nil: none
	Stream bool    // the request is streamed
	// DropEncoding takes encoding_format out, for vendors that refuse it.
	DropEncoding bool
}

// Payload is a body on its way to a vendor: pieces of the received bytes with
// new values between them. It holds the form until it is closed.
type Payload struct {
	mu     sync.Mutex // HTTP/2 closes a body while it is being read
	form   *Form
	pieces [][]byte
	size   int64
	space  [9][]byte
}

// Rewrite returns the body with exactly the changes that w asks for; all else
// keeps its bytes. The caller closes the payload.
func (f *Form) Rewrite(w Rewrite) *Payload {
	p := &Payload{form: f}
	f.refs.Add(1)
	p.pieces = p.space[:0]
	var e edits
	e.changes = e.space[:0]
	e.plan(f, w)
	if len(e.changes) == 0 && len(e.insert) == 0 {
		p.add(f.raw)
		return p
	}
	p.build(f, &e)
	return p
}

// edits is what happens to members; those that are not named are kept.
type edits struct {
	changes []change
	insert  []Field
	space   [4]change
}

// change gives the member at index a new value; nil takes it out.
type change struct {
	index int
	value []byte
}

// of returns what happens to the member at index i.
func (e *edits) of(i int) (value []byte, changed bool) {
	for _, c := range e.changes {
		if c.index == i {
			return c.value, true
		}
	}
	return nil, false
}

func (e *edits) dropped(i int) bool {
	v, changed := e.of(i)
	return changed && v == nil
}

func (e *edits) set(i int, v []byte) {
	for n := range e.changes {
		if e.changes[n].index == i {
			e.changes[n].value = v
			return
		}
	}
	e.changes = append(e.changes, change{i, v})
}

func (e *edits) remove(i int) { e.set(i, nil) }

func (e *edits) add(name string, v []byte) {
	e.insert = append(e.insert, Field{name, v})
}

func (e *edits) plan(f *Form, w Rewrite) {
	if i := int(f.at[fModel]); i < 0 {
		if w.Model != nil {
			e.add("model", w.Model)
		}
	} else if w.Model != nil && string(f.value(fModel)) != string(w.Model) {
		e.set(i, w.Model)
	}
	if i := int(f.at[fContext]); i >= 0 && f.at[fMessages] >= 0 {
		if v := f.value(fContext); len(v) > 0 && v[0] == '{' {
			e.remove(i)
		}
	}
	if i := int(f.at[fEncoding]); i >= 0 && w.DropEncoding {
		e.remove(i)
	}
	if w.Stream {
		e.usage(f, w.Usage)
	}
	if w.Params != nil {
		e.params(f, w.Params)
	}
}

var includeUsage = []byte(`{"include_usage":true}`)

func (e *edits) usage(f *Form, mode UsageMode) {
	i := int(f.at[fStreamOptions])
	if mode == UsageAlways {
		if i >= 0 {
			e.remove(i)
		}
		return
	}
	if i < 0 {
		e.add("stream_options", includeUsage)
		return
	}
	v := f.value(fStreamOptions)
	if v[0] != '{' {
		if scan.Null(v) {
			e.set(i, includeUsage)
		}
		return // what is no object is the vendor's to refuse
	}
	members, err := scan.Object(nil, v)
	if err != nil {
		return
	}
	var out []byte // v[:at] with each value of include_usage made true
	at, asked := 0, false
	for _, m := range members {
		if nameOf(v, m) != "include_usage" {
			continue
		}
		asked = true
		if string(v[m.Start:m.End]) != "true" {
			out = append(append(out, v[at:m.Start]...), "true"...)
			at = m.End
		}
	}
	switch {
	case asked && at == 0: // as it is
	case asked:
		e.set(i, append(out, v[at:]...))
	case len(members) == 0:
		e.set(i, includeUsage)
	default:
		e.set(i, append([]byte(`{"include_usage":true,`), v[1:]...))
	}
}

// params applies the operator's changes. A client cannot escape them by
// writing a name twice, with escapes or in another letter case: a vendor may
// take the last of two, or fold the case.
func (e *edits) params(f *Form, p *Params) {
	for _, name := range p.Drop {
		e.uninsert(name)
		for i := range f.members {
			if strings.EqualFold(f.name(i), name) {
				e.remove(i)
			}
		}
	}
	for _, x := range p.Default {
		if !e.inserts(x.Name) && !f.has(x.Name) {
			e.add(x.Name, x.Value)
		}
	}
	for _, x := range p.Set {
		e.uninsert(x.Name)
		placed := false
		for i := range f.members {
			switch name := f.name(i); {
			case name == x.Name && !placed && !e.dropped(i):
				e.set(i, x.Value)
				placed = true
			case strings.EqualFold(name, x.Name):
				e.remove(i)
			}
		}
		if !placed {
			e.add(x.Name, x.Value)
		}
	}
}

// name is the name of the member at index i, escapes decoded.
func (f *Form) name(i int) string {
	return nameOf(f.raw, f.members[i])
}

func nameOf(b []byte, m scan.Member) string {
	key := b[m.Key+1 : m.KeyEnd-1]
	if bytes.IndexByte(key, '\\') >= 0 {
		if s, ok := scan.String(b[m.Key:m.KeyEnd]); ok {
			return s
		}
	}
	return string(key)
}

func (f *Form) has(name string) bool {
	for i := range f.members {
		if f.name(i) == name {
			return true
		}
	}
	return false
}

func (e *edits) inserts(name string) bool {
	return slices.ContainsFunc(e.insert, func(x Field) bool { return x.Name == name })
}

func (e *edits) uninsert(name string) {
	e.insert = slices.DeleteFunc(e.insert, func(x Field) bool { return x.Name == name })
}

func (p *Payload) add(b []byte) {
	if len(b) > 0 {
		p.pieces = append(p.pieces, b)
		p.size += int64(len(b))
	}
}

func (p *Payload) build(f *Form, e *edits) {
	ms := f.members
	lastKept := -1
	for i := range ms {
		if !e.dropped(i) {
			lastKept = i
		}
	}
	pos := 0
	for f.raw[pos] != '{' {
		pos++
	}
	pos++
	p.add(f.raw[:pos])
	for n, x := range e.insert {
		text := append(append(append(append(make([]byte, 0, len(x.Name)+len(x.Value)+4), '"'), x.Name...), `":`...), x.Value...)
		if lastKept >= 0 || n < len(e.insert)-1 {
			text = append(text, ',')
		}
		p.add(text)
	}
	for i, m := range ms {
		v, changed := e.of(i)
		switch {
		case i > lastKept: // the tail goes, with the comma before it
			if i == 0 {
				p.add(f.raw[pos:m.Key])
			} else if i == lastKept+1 && lastKept >= 0 {
				p.add(f.raw[pos:ms[lastKept].End])
			}
			pos = m.End
		case changed && v == nil:
			p.add(f.raw[pos:m.Key])
			pos = ms[i+1].Key
		case changed:
			p.add(f.raw[pos:m.Start])
			p.add(v)
			pos = m.End
		}
	}
	p.add(f.raw[pos:])
}

// Size returns how many bytes are left to read. It may not be called while
// Read is.
func (p *Payload) Size() int64 { return p.size }

// Read implements io.Reader.
func (p *Payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(b) && len(p.pieces) > 0 {
		c := copy(b[n:], p.pieces[0])
		n += c
		if p.pieces[0] = p.pieces[0][c:]; len(p.pieces[0]) == 0 {
			p.pieces = p.pieces[1:]
		}
	}
	p.size -= int64(n)
	return n, nil
}

// Close releases the form. The HTTP transport calls it when it has stopped
// reading, which may be after the answer has begun.
func (p *Payload) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.form; f != nil {
		p.form, p.pieces = nil, nil
		f.Release()
	}
	return nil
}
