package wire

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sluicegate/sluice/internal/llm"
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

// UsageMode says how a vendor is brought to count a stream, in OpenAI's
// protocol; in others it always does.
type UsageMode uint8

// The modes.
const (
	UsageAsked  UsageMode = iota // by stream_options.include_usage
	UsageAlways                  // it always does, and refuses stream_options
)

// Rewrite says what to change in a body on its way to a vendor that speaks
// the client's protocol.
type Rewrite struct {
	Model  []byte  // the vendor's name as a JSON string; nil keeps the client's
	Params *Params // nil: none
	Op     llm.Op
	Stream bool // the request is streamed
	// Dialect is the vendor's row.
	Dialect string
	Usage   UsageMode
	// DropEncoding takes encoding_format out, for vendors that refuse it.
	DropEncoding bool
}

// Payload is the body of f with these changes where the protocol has none of
// its own. The caller closes it.
func (w Rewrite) Payload(f *Form) *Payload {
	var e Edits
	e.Begin(f)
	if w.Model != nil {
		e.Model(w.Model)
	}
	e.Own()
	if w.Params != nil {
		e.Params(w.Params)
	}
	return e.Payload()
}

// Bare is the shape of a body of which nothing is known.
var Bare = Shape{Keys: []string{"model", "stream", "context"}}

// Apply returns body, a JSON object, with the operator's changes. body may not
// be used afterwards.
func Apply(p *Params, body []byte) ([]byte, *llm.Error) {
	f, bad := NewForm(&Bare, &Buffer{B: body})
	if bad != nil {
		return nil, bad
	}
	defer f.Release()
	var e Edits
	e.Begin(f)
	e.Params(p)
	out := e.Payload()
	defer out.Close()
	b, err := io.ReadAll(out)
	if err != nil {
		return nil, llm.AsError(err)
	}
	return b, nil
}

// Payload is a body on its way to a vendor: pieces of the received bytes with
// new values between them. It holds the body until it is closed.
type Payload struct {
	mu     sync.Mutex             // HTTP/2 closes a body while it is being read
	held   interface{ Release() } // what the pieces lie in
	pieces [][]byte
	size   int64
	space  [9][]byte
}

// Edits are changes to the members of a form; what is not named keeps its
// bytes.
type Edits struct {
	form    *Form
	changes []change
	insert  []Field
}

// Begin makes e the changes to f, none so far.
func (e *Edits) Begin(f *Form) {
	e.form, e.insert, e.changes = f, nil, nil
}

// change gives the member at index a new value; nil takes it out.
type change struct {
	index int
	value []byte
}

// of returns what happens to the member at index i.
func (e *Edits) of(i int) (value []byte, changed bool) {
	for _, c := range e.changes {
		if c.index == i {
			return c.value, true
		}
	}
	return nil, false
}

func (e *Edits) dropped(i int) bool {
	v, changed := e.of(i)
	return changed && v == nil
}

// Set gives a key's member a new value, adding it where it is absent.
func (e *Edits) Set(key int, v []byte) {
	if i := int(e.form.at[key]); i >= 0 {
		e.set(i, v)
		return
	}
	e.Add(e.form.shape.Keys[key], v)
}

// Remove takes a key's member out.
func (e *Edits) Remove(key int) {
	if i := int(e.form.at[key]); i >= 0 {
		e.remove(i)
	}
}

// Model puts a JSON string in the place of the model's name.
func (e *Edits) Model(name []byte) {
	if string(e.form.Value(KeyModel)) != string(name) {
		e.Set(KeyModel, name)
	}
}

// Own takes out what is the gateway's own.
func (e *Edits) Own() {
	if e.form.own() {
		e.Remove(KeyContext)
	}
}

func (e *Edits) set(i int, v []byte) {
	for n := range e.changes {
		if e.changes[n].index == i {
			e.changes[n].value = v
			return
		}
	}
	e.changes = append(e.changes, change{i, v})
}

func (e *Edits) remove(i int) { e.set(i, nil) }

// Add puts a member before the others. There must be none of that name.
func (e *Edits) Add(name string, v []byte) {
	e.insert = append(e.insert, Field{name, v})
}

// Params applies the operator's changes. A client cannot escape them by
// writing a name twice, with escapes or in another letter case: a vendor may
// take the last of two, or fold the case.
func (e *Edits) Params(p *Params) {
	f := e.form
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
			e.Add(x.Name, x.Value)
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
			e.Add(x.Name, x.Value)
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

func (e *Edits) inserts(name string) bool {
	return slices.ContainsFunc(e.insert, func(x Field) bool { return x.Name == name })
}

func (e *Edits) uninsert(name string) {
	e.insert = slices.DeleteFunc(e.insert, func(x Field) bool { return x.Name == name })
}

// Payload returns the body with the changes. The caller closes it.
func (e *Edits) Payload() *Payload {
	f := e.form
	p := &Payload{held: f}
	f.refs.Add(1)
	p.pieces = p.space[:0]
	if len(e.changes) == 0 && len(e.insert) == 0 {
		p.add(f.raw)
		return p
	}
	p.build(f, e)
	return p
}

func (p *Payload) add(b []byte) {
	if len(b) > 0 {
		p.pieces = append(p.pieces, b)
		p.size += int64(len(b))
	}
}

func (p *Payload) build(f *Form, e *Edits) {
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
	if h := p.held; h != nil {
		p.held, p.pieces = nil, nil
		h.Release()
	}
	return nil
}
