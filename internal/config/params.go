package config

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// maxJSON bounds the depth of a value in params.
const maxJSON = 64

// routed are the keys of a request body that say where it goes and what is
// asked; params must not touch them.
var routed = map[string]bool{"model": true, "stream": true, "messages": true, "input": true}

func checkParam(s string) string {
	switch {
	case s == "" || len(s) > maxName:
		return "write the name of a key of the request body"
	case routed[s]:
		return "the key belongs to the request: it can neither be set nor dropped"
	}
	return ""
}

func paramsSpec() spec[Params] {
	s := object(
		on("default", "", "set where the client has not", bodySpec(), func(p *Params) *map[string][]byte { return &p.Default }),
		on("set", "", "set always", bodySpec(), func(p *Params) *map[string][]byte { return &p.Set }),
		on("drop", "", "removed", list(text(schema{MinLength: 1}, checkParam), 1000), func(p *Params) *[]string { return &p.Drop }),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *Params) {
		read(d, v, dst)
		for name := range dst.Default {
			if dst.Set[name] != nil {
				d.fail(d.c.Pos.Find(v.path+".default."+name), v.path+": "+quote(name)+" is in default and in set: keep one")
			}
		}
		for i, name := range dst.Drop {
			if dst.Set[name] != nil || dst.Default[name] != nil {
				path := v.path + ".drop[" + strconv.Itoa(i) + "]"
				d.fail(d.c.Pos.Find(path), v.path+": "+d.show(path, name)+" is dropped and set: keep one")
			}
		}
	}
	return s
}

// bodySpec is a mapping from keys of a request body to values of any shape.
func bodySpec() spec[map[string][]byte] {
	doc := schema{Type: "object", Names: &schema{Not: &schema{Enum: literals([]string{"model", "stream", "messages", "input"})}}}
	return spec[map[string][]byte]{doc: doc, read: func(d *decoder, v value, dst *map[string][]byte) {
		if v.kind != kindMapping {
			if v.kind != kindNull {
				d.failf(v, "%s is %s: write a mapping such as {temperature: 0.2}", v.path, v.what())
			}
			return
		}
		out := make(map[string][]byte, len(v.keys))
		d.each(v, func(key *node, x value) {
			if !d.name(key, v.path, checkParam) {
				return
			}
			var b bytes.Buffer
			if d.json(&b, x, 0) {
				out[key.text] = b.Bytes()
			}
		})
		*dst = out
	}}
}

// json writes v as JSON. What comes by ${…} is a string.
func (d *decoder) json(b *bytes.Buffer, v value, depth int) bool {
	if depth > maxJSON {
		d.failf(v, "%s is nested more than %d levels deep: write a flatter value", v.path, maxJSON)
		return false
	}
	good := true
	switch v.kind {
	case kindNull:
		b.WriteString("null")
	case kindText:
		return d.jsonScalar(b, v)
	case kindMapping:
		b.WriteByte('{')
		first := true
		d.each(v, func(key *node, x value) {
			if !first {
				b.WriteByte(',')
			}
			first = false
			b.Write(jsonText(key.text))
			b.WriteByte(':')
			good = d.json(b, x, depth+1) && good
		})
		b.WriteByte('}')
	case kindSequence:
		b.WriteByte('[')
		for i, n := range v.vals {
			if i > 0 {
				b.WriteByte(',')
			}
			good = d.json(b, value{n, v.path + "[" + strconv.Itoa(i) + "]"}, depth+1) && good
		}
		b.WriteByte(']')
	}
	return good
}

func (d *decoder) jsonScalar(b *bytes.Buffer, v value) bool {
	raw := v.node.text
	switch v.scalar {
	case 'b':
		b.WriteString(strings.ToLower(raw))
		return true
	case 'n':
		text, ok := jsonNumber(raw)
		if !ok {
			d.failf(v, "%s is %s, which JSON has no number for: write a decimal number", v.path, v.show())
			return false
		}
		b.WriteString(text)
		return true
	}
	s, ok := d.text(v)
	if ok {
		b.Write(jsonText(s))
	}
	return ok
}

// jsonNumber returns a number of YAML as JSON: as it is where JSON has the
// same notation.
func jsonNumber(s string) (string, bool) {
	if json.Valid([]byte(s)) {
		return s, true
	}
	if n, err := strconv.ParseInt(s, 0, 64); err == nil && !strings.HasPrefix(strings.TrimLeft(s, "+-"), "0") {
		return strconv.FormatInt(n, 10), true // +1, 1_000
	}
	if len(s) > 2 && s[0] == '0' && strings.ContainsRune("xob", rune(s[1])) {
		if n, err := strconv.ParseUint(s, 0, 64); err == nil {
			return strconv.FormatUint(n, 10), true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !isNumber(s) || math.IsInf(f, 0) {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true // .5, 1., 007
}
