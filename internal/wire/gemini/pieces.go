package gemini

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// partial is a piece of a call's arguments: a value, or more of a text, at a
// JSONPath. Vertex AI sends them where streamFunctionCallArguments is set.
type partial struct {
	JSONPath     string         `json:"jsonPath"`
	StringValue  *string        `json:"stringValue"`
	NumberValue  jsontext.Value `json:"numberValue"`
	BoolValue    *bool          `json:"boolValue"`
	NullValue    jsontext.Value `json:"nullValue"`
	WillContinue bool           `json:"willContinue"`
}

// pieces collects a call whose arguments come in pieces.
type pieces struct {
	id, name string
	whole    jsontext.Value // arguments that came whole after all
	root     node
	nodes    int
	held     int
}

// node is a value that is being put together.
type node struct {
	keys   []string // of an object or array, in the order they came
	kids   []*node
	list   bool
	text   []byte
	isText bool
	value  jsontext.Value // a number, true, false or null
}

// maxNodes bounds the values of one call's arguments.
const maxNodes = 1 << 16

func (p *pieces) add(c *call) {
	if len(c.Args) > 2 {
		p.whole = c.Args
	}
	if p.id == "" {
		p.id = c.ID
	}
	for i := range c.PartialArgs {
		v := &c.PartialArgs[i]
		n := p.at(v.JSONPath)
		if n == nil {
			continue
		}
		switch {
		case v.StringValue != nil:
			if n.isText = true; p.held+len(*v.StringValue) <= maxHeld {
				p.held += len(*v.StringValue)
				n.text = append(n.text, *v.StringValue...)
			}
		case v.BoolValue != nil:
			n.value = jsontext.Value(strconv.FormatBool(*v.BoolValue))
		case len(v.NumberValue) > 0 && v.NumberValue.Kind() == '0':
			n.value = v.NumberValue
		case len(v.NullValue) > 0:
			n.value = jsontext.Value("null")
		}
	}
}

// at returns the node at a path such as $.list[0].name or $['a b'], nil if
// the path cannot be read or there are too many.
func (p *pieces) at(path string) *node {
	rest, ok := strings.CutPrefix(path, "$")
	n := &p.root
	for ok && rest != "" {
		var key string
		list := false
		switch {
		case strings.HasPrefix(rest, "['"), strings.HasPrefix(rest, `["`):
			end := strings.Index(rest[2:], rest[1:2]+"]")
			if end < 0 {
				return nil
			}
			key, rest = rest[2:2+end], rest[end+4:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil
			}
			list, key, rest = true, rest[1:end], rest[end+1:]
		case rest[0] == '.':
			key = rest[1:]
			if end := strings.IndexAny(key, ".["); end >= 0 {
				key = key[:end]
			}
			rest = rest[1+len(key):]
		default:
			return nil
		}
		if n = n.kid(p, key, list); n == nil {
			return nil
		}
	}
	if !ok {
		return nil
	}
	return n
}

func (n *node) kid(p *pieces, key string, list bool) *node {
	for i := len(n.keys) - 1; i >= 0; i-- { // the last one nearly always
		if n.keys[i] == key {
			return n.kids[i]
		}
	}
	if p.nodes == maxNodes || len(n.kids) == maxKids {
		return nil
	}
	p.nodes++
	kid := &node{}
	n.list = list
	n.keys, n.kids = append(n.keys, key), append(n.kids, kid)
	return kid
}

// maxKids bounds the members of one object or array.
const maxKids = 4096

// args returns the arguments as far as they came.
func (p *pieces) args() jsontext.Value {
	if p.whole != nil {
		return p.whole
	}
	if len(p.root.kids) == 0 {
		return jsontext.Value("{}")
	}
	return p.root.append(nil)
}

func (n *node) append(b []byte) []byte {
	switch {
	case len(n.kids) > 0:
		open, end := byte('{'), byte('}')
		if n.list {
			open, end = '[', ']'
		}
		b = append(b, open)
		for i, kid := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			if !n.list {
				b = append(quote(b, n.keys[i]), ':')
			}
			b = kid.append(b)
		}
		return append(b, end)
	case n.isText:
		return quote(b, string(n.text))
	case n.value != nil:
		return append(b, n.value...)
	}
	return append(b, "null"...)
}
