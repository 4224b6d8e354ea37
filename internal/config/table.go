package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// value is a node and the path that leads to it.
type value struct {
	*node
	path string
}

// spec is how a value of the file becomes a T, and what it looks like. read
// leaves dst alone where it reports a mistake.
type spec[T any] struct {
	read func(d *decoder, v value, dst *T)
	init func(dst *T) // sets the defaults; nil: the zero value
	doc  schema
}

// field is a key of an object that is kept in a T.
type field[T any] struct {
	name string
	read func(d *decoder, v value, dst *T)
	init func(dst *T)
	doc  schema
	need bool // must be given
}

// on makes the field of T that get returns. def is the default as it would be
// written in the file, "" for none.
func on[T, F any](name, def, doc string, s spec[F], get func(*T) *F) field[T] {
	f := field[T]{name: name, doc: s.doc}
	f.doc.Description = strings.TrimPrefix(strings.TrimSuffix(s.doc.Description+". "+doc, ". "), ". ")
	f.read = func(d *decoder, v value, dst *T) { s.read(d, v, get(dst)) }
	if s.init != nil {
		f.init = func(dst *T) { s.init(get(dst)) }
	}
	if def == "" {
		return f
	}
	var x F
	s.read(&decoder{}, value{&node{kind: kindText, scalar: 's', text: def}, name}, &x)
	f.init = func(dst *T) { *get(dst) = x }
	f.doc.Default = literal(def)
	return f
}

// required marks a field that must be given.
func required[T any](f field[T]) field[T] {
	f.need = true
	return f
}

// later is a key that is known but whose part does not exist. Its values that
// mean "without" are accepted.
func later[T any](name, doc string, without ...string) field[T] {
	f := field[T]{name: name, doc: schema{Description: doc + ": not built yet", Not: &schema{}}}
	if len(without) > 0 {
		f.doc.Not, f.doc.Enum = nil, literals(without)
	}
	f.read = func(d *decoder, v value, _ *T) {
		if v.kind == kindNull {
			return
		}
		if v.kind == kindText && len(without) > 0 {
			if text, ok := d.text(v); !ok || slices.Contains(without, text) {
				return
			}
		}
		d.failf(v, "%s is not built yet", v.path)
	}
	return f
}

// object is a mapping with fixed keys. Keys are read in the order of fields,
// not in that of the file: a field may rely on those before it.
func object[T any](fields ...field[T]) spec[T] {
	names := make([]string, len(fields))
	doc := schema{Type: "object", Properties: map[string]*schema{}, Closed: true}
	for i, f := range fields {
		names[i] = f.name
		doc.Properties[f.name] = &fields[i].doc
		if f.need {
			doc.Required = append(doc.Required, f.name)
		}
	}
	read := func(d *decoder, v value, dst *T) {
		given, ok := d.keys(v, names)
		if !ok {
			return
		}
		for i := range fields {
			f := &fields[i]
			if x, ok := given[f.name]; ok {
				f.read(d, x, dst)
			} else if f.need {
				d.failf(v, "%s is missing: write it", join(v.path, f.name))
			}
		}
	}
	init := func(dst *T) {
		for _, f := range fields {
			if f.init != nil {
				f.init(dst)
			}
		}
	}
	return spec[T]{read: read, init: init, doc: doc}
}

// list is a sequence of at most limit items.
func list[T any](item spec[T], limit int) spec[[]T] {
	return spec[[]T]{
		doc: schema{Type: "array", Items: &item.doc},
		read: func(d *decoder, v value, dst *[]T) {
			items, ok := d.items(v, limit)
			if !ok {
				return
			}
			out := make([]T, len(items))
			for i, x := range items {
				if item.init != nil {
					item.init(&out[i])
				}
				item.read(d, x, &out[i])
			}
			*dst = out
		},
	}
}

// filled is a list that is not empty where it is written; otherwise says what to
// write.
func filled[T any](l spec[[]T], otherwise string) spec[[]T] {
	read := l.read
	l.doc.MinItems = 1
	l.read = func(d *decoder, v value, dst *[]T) {
		if v.kind == kindSequence && len(v.vals) == 0 {
			d.failf(v, "%s %s", v.path, otherwise)
			return
		}
		read(d, v, dst)
	}
	return l
}

// needed is a list that is neither empty nor left open; otherwise says what to
// write.
func needed[T any](l spec[[]T], otherwise string) spec[[]T] {
	l = filled(l, otherwise)
	read := l.read
	l.read = func(d *decoder, v value, dst *[]T) {
		if v.kind == kindNull {
			d.failf(v, "%s %s", v.path, otherwise)
			return
		}
		read(d, v, dst)
	}
	return l
}

// optional is a value that may be left open.
func optional[T any](s spec[T]) spec[*T] {
	return spec[*T]{doc: s.doc, read: func(d *decoder, v value, dst **T) {
		if v.kind == kindNull {
			return
		}
		x := new(T)
		if s.init != nil {
			s.init(x)
		}
		s.read(d, v, x)
		*dst = x
	}}
}

// bare is an object without its defaults: it overrides what is set elsewhere.
func bare[T any](s spec[T]) spec[T] {
	s.init = nil
	fields := make(map[string]*schema, len(s.doc.Properties))
	for name, doc := range s.doc.Properties {
		doc := *doc
		doc.Default = nil
		fields[name] = &doc
	}
	s.doc.Properties = fields
	return s
}

// decoder is one reading of a file.
type decoder struct {
	c       *Config
	extent  extent
	env     func(string) (string, bool)
	files   map[string]string // contents of ${file:…}, by path
	bytes   int               // read by ${…} so far
	raw     map[string]string // values that came by ${…}, as written, by path
	errs    []*Error
	dropped int
	broken  bool // a part could not be read as YAML
}

// fail reports a mistake.
func (d *decoder) fail(at Position, msg string) {
	if d.c == nil {
		panic("config: the table's own default is wrong: " + msg)
	}
	if len(d.errs) == maxKept {
		d.dropped++
		return
	}
	at = d.extent.clamp(at)
	d.errs = append(d.errs, &Error{File: d.c.File, Line: at.Line, Col: at.Col, Msg: msg})
}

func (d *decoder) failf(v value, format string, args ...any) {
	d.fail(v.Position, fmt.Sprintf(format, args...))
}

// mark remembers where path stands: at its value, or at its key where the
// value has parts of its own.
func (d *decoder) mark(path string, key, val *node) {
	if d.c == nil {
		return
	}
	if key != nil && val.kind != kindText {
		val = key
	}
	d.c.Pos[path] = d.extent.clamp(val.Position)
}

// keys returns the entries of a mapping whose keys must be among names.
func (d *decoder) keys(v value, names []string) (map[string]value, bool) {
	switch v.kind {
	case kindNull:
		return nil, true
	case kindMapping:
	default:
		d.failf(v, "%s is %s: write a mapping with any of %s", subject(v.path), v.what(), strings.Join(names, ", "))
		return nil, false
	}
	given := make(map[string]value, len(v.keys))
	d.each(v, func(key *node, x value) {
		if slices.Contains(names, key.text) {
			given[key.text] = x
			return
		}
		hint := "write one of " + strings.Join(names, ", ")
		if near := nearest(key.text, slices.Values(names)); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.fail(key.Position, fmt.Sprintf("unknown key %s in %s: %s", quote(key.text), subject(v.path), hint))
	})
	return given, true
}

// each calls f for the entries of a mapping, in the order of the file,
// without those that stand twice.
func (d *decoder) each(v value, f func(key *node, x value)) {
	seen := make(map[string]*node, len(v.keys))
	for i, key := range v.keys {
		if first := seen[key.text]; first != nil {
			d.fail(key.Position, fmt.Sprintf("%s stands twice in %s, first in line %d: keep one", quote(key.text), subject(v.path), first.Line))
			continue
		}
		seen[key.text] = key
		x := value{v.vals[i], join(v.path, key.text)}
		d.mark(x.path, key, x.node)
		f(key, x)
	}
}

// items returns the values of a sequence.
func (d *decoder) items(v value, limit int) ([]value, bool) {
	if v.kind != kindSequence {
		if v.kind != kindNull {
			d.failf(v, "%s is %s: write a list such as [a, b]", subject(v.path), v.what())
		}
		return nil, false
	}
	if len(v.vals) > limit {
		d.failf(v, "%s has %d items: write at most %d", subject(v.path), len(v.vals), limit)
		return nil, false
	}
	out := make([]value, len(v.vals))
	for i, n := range v.vals {
		out[i] = value{n, v.path + "[" + strconv.Itoa(i) + "]"}
		d.mark(out[i].path, nil, n)
	}
	return out, true
}

// text returns a scalar with ${…} filled in.
func (d *decoder) text(v value) (string, bool) {
	switch v.kind {
	case kindText:
	case kindNull:
		d.failf(v, "%s is empty: write a value, or leave the key out", subject(v.path))
		return "", false
	default:
		d.failf(v, "%s is %s: write a single value", subject(v.path), v.what())
		return "", false
	}
	if !strings.Contains(v.node.text, "${") {
		return v.node.text, true
	}
	if d.raw == nil {
		d.raw = map[string]string{}
	}
	d.raw[v.path] = v.node.text
	return d.expand(v)
}

// show returns the value at path for a message: as written in the file, never
// what ${…} stands for.
func (d *decoder) show(path, text string) string {
	if raw, ok := d.raw[path]; ok {
		return quote(raw)
	}
	return quote(text)
}

// show returns the value for a message, as written in the file.
func (v value) show() string { return quote(v.node.text) }

// what names the shape of a node.
func (n *node) what() string {
	switch n.kind {
	case kindNull:
		return "empty"
	case kindMapping:
		return "a mapping"
	case kindSequence:
		return "a list"
	}
	return "a single value"
}

// quote returns s in quotes, shortened for a message.
func quote(s string) string {
	const most = 80
	if r := []rune(s[:min(len(s), 4*most)]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// subject names path at the beginning of a message.
func subject(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// nearest returns the name that s was probably meant to be, "" if none comes
// near.
func nearest(s string, names func(yield func(string) bool)) string {
	if len(s) > maxName {
		return ""
	}
	best, least := "", max(2, len(s)/3)+1
	if len(s) < 4 {
		least = 2
	}
	for name := range names {
		if abs(len(name)-len(s)) >= least {
			continue
		}
		if n := distance(s, name); n < least {
			best, least = name, n
		}
	}
	return best
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}

func abs(n int) int { return max(n, -n) }
