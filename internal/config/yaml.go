package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	goyaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file. The parser calls itself for each entry of a block mapping
// and for each level, hence maxEntries and maxDepth.
const (
	maxSize    = 64 << 20  // bytes
	maxTokens  = 1_000_000 // names, values and signs
	maxDepth   = 64        // brackets within brackets, dashes on a line
	maxIndent  = 512       // characters
	maxEntries = 10_000    // of one mapping below the second level
)

// The braces of ${…} are replaced by these two before YAML is read and put
// back afterwards, so that ${NAME} needs no quotes within {} and []. Unicode
// keeps both out of texts; files that hold them are refused.
const (
	maskOpen  = '\ufdd0'
	maskClose = '\ufdd1'
)

// kind is the shape of a node.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindMapping
	kindSequence
)

// node is a value of the file: YAML without anchors, tags and comments.
type node struct {
	kind kind
	Position
	text   string  // of a scalar, unquoted, with ${…} as written
	scalar byte    // of a scalar: 's' string, 'n' number, 'b' boolean
	keys   []*node // of a mapping
	vals   []*node // of a mapping or a sequence
}

// parse reads data as one YAML document. What it cannot read is reported to
// fail; the rest is returned, nil for an empty document.
func parse(data []byte, fail func(Position, string)) *node {
	src, ok := source(data, fail)
	if !ok {
		return nil
	}
	toks, ok := scan(src, fail)
	if !ok || len(toks) == 0 {
		return nil
	}
	return parseLevel(toks, 2, fail)
}

// source checks the bytes and masks ${…}.
func source(data []byte, fail func(Position, string)) (string, bool) {
	start := Position{1, 1}
	if len(data) > maxSize {
		fail(start, fmt.Sprintf("the file has %d bytes: at most %d (64 MiB) are read", len(data), maxSize))
		return "", false
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		fail(start, "the file is UTF-16: save it as UTF-8")
		return "", false
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	at := start
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fail(at, "the file is not UTF-8 here: save it as UTF-8")
			return "", false
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f, r >= maskOpen && r <= maskClose, r == '\ufeff':
			fail(at, fmt.Sprintf("character %U must not stand in the file: remove it, or write it as an escape in double quotes", r))
			return "", false
		}
		i += n
		at.Col++
		if r == '\n' || r == '\r' && (i == len(data) || data[i] != '\n') {
			at = Position{at.Line + 1, 1}
		}
	}
	return maskBraces(string(data)), true
}

// extent is the number of characters in each line of a file.
type extent []int32

func measure(data []byte) extent {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	lines := make(extent, 1, 1+bytes.Count(data, []byte("\n")))
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		i += n
		switch {
		case r == '\n', r == '\r' && (i == len(data) || data[i] != '\n'):
			lines = append(lines, 0)
		case r != '\r':
			lines[len(lines)-1]++
		}
	}
	return lines
}

// clamp returns the place in the file, or right behind a line of it, that is
// nearest to at: the library's places of texts over several lines are off.
func (x extent) clamp(at Position) Position {
	if len(x) == 0 {
		return Position{1, 1}
	}
	line := min(max(1, at.Line), len(x))
	return Position{line, min(max(1, at.Col), int(x[line-1])+1)}
}

func maskBraces(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		n := 2 + strings.IndexAny(s[i+2:], "{}[],#'\" \t\r\n")
		if n < 2 || s[i+n] != '}' {
			b.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i+1])
		b.WriteRune(maskOpen)
		b.WriteString(s[i+2 : i+n])
		b.WriteRune(maskClose)
		s = s[i+n+1:]
	}
	if b.Len() == 0 {
		return s
	}
	b.WriteString(s)
	return b.String()
}

var unmask = strings.NewReplacer(string(maskOpen), "{", string(maskClose), "}")

// refused are the parts of YAML that a configuration does without.
var refused = map[token.Type]string{
	token.AnchorType:     "anchors (&name) are not supported: write the value out where it is used; quote a text that begins with &",
	token.AliasType:      `aliases (*name) are not supported: write the value out; quote a name that begins with *, as in "*-mini"`,
	token.MergeKeyType:   "merge keys (<<) are not supported: write the values out",
	token.TagType:        "tags (!name) are not supported: remove it; quote a text that begins with !",
	token.DirectiveType:  "directives (%) are not supported: remove the line",
	token.MappingKeyType: "keys marked by ? are not supported: write name: value",
}

// scan returns the tokens of one document without comments and document
// marks. It reports false when they are not worth parsing.
func scan(src string, fail func(Position, string)) (token.Tokens, bool) {
	var s scanner.Scanner
	s.Init(src)
	var all token.Tokens
	for {
		some, err := s.Scan()
		if errors.Is(err, io.EOF) {
			break
		}
		all.Add(some...)
		if len(all) > maxTokens {
			fail(place(all[len(all)-1]), fmt.Sprintf("the file is too long: at most %d names, values and signs are read", maxTokens))
			return nil, false
		}
	}
	if bad := all.InvalidToken(); bad != nil {
		fail(place(bad), syntax(bad.Error, bad))
		return nil, false
	}
	toks := make(token.Tokens, 0, len(all))
	ended, good := false, true
	for i, t := range all {
		switch {
		case t.Type == token.CommentType:
			continue
		case t.Type == token.DocumentHeaderType && len(toks) == 0 && !ended:
			continue
		case t.Type == token.DocumentEndType && !ended:
			ended = true
			continue
		case ended || t.Type == token.DocumentHeaderType:
			fail(place(t), "a second document begins here: write one document per file")
			return nil, false
		}
		if msg, ok := refused[t.Type]; ok && (i == 0 || all[i-1].Type != token.DirectiveType) {
			fail(place(t), msg)
			good = false
		}
		toks = append(toks, t)
	}
	return toks, good && bounded(toks, fail)
}

// bounded reports whether toks nest and repeat no further than the parser can
// bear.
func bounded(toks token.Tokens, fail func(Position, string)) bool {
	type block struct{ col, n int }
	var blocks []block // block mappings around the token, by column
	flow, dashes, line := 0, 0, 0
	for i, t := range toks {
		first := t.Position.Line != line
		if first {
			line, dashes = t.Position.Line, 0
		}
		col := t.Position.Column
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType:
			dashes++
		}
		if flow > maxDepth || dashes > maxDepth || first && flow == 0 && col > maxIndent {
			fail(place(t), fmt.Sprintf("nested too deeply: at most %d levels", maxDepth))
			return false
		}
		dash, key := t.Type == token.SequenceEntryType, i+1 < len(toks) && toks[i+1].Type == token.MappingValueType
		if flow > 0 || !dash && !key {
			continue
		}
		for len(blocks) > 0 && blocks[len(blocks)-1].col > col {
			blocks = blocks[:len(blocks)-1]
		}
		if !key {
			continue
		}
		if len(blocks) == 0 || blocks[len(blocks)-1].col < col {
			blocks = append(blocks, block{col: col})
		}
		b := &blocks[len(blocks)-1]
		if b.n++; b.n > maxEntries && len(blocks) > 2 {
			fail(place(t), fmt.Sprintf("too many entries in one mapping: at most %d", maxEntries))
			return false
		}
	}
	return true
}

// parseLevel parses toks, the tokens of one value. The entries of the
// outermost levels of block mappings are parsed one by one: it keeps the cost
// linear and finds a mistake in each of them.
func parseLevel(toks token.Tokens, levels int, fail func(Position, string)) *node {
	starts := entries(toks)
	if levels == 0 || len(starts) == 0 {
		return parseTokens(toks, fail)
	}
	n := &node{kind: kindMapping, Position: place(toks[0])}
	for i, from := range starts {
		to := len(toks)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		if rest := toks[from+2 : to]; len(entries(rest)) > 0 && rest[0].Position.Line > toks[from].Position.Line &&
			rest[0].Position.Column > toks[from].Position.Column {
			if v := parseLevel(rest, levels-1, fail); v != nil {
				n.keys = append(n.keys, keyNode(toks[from]))
				n.vals = append(n.vals, v)
			}
			continue
		}
		if one := parseTokens(toks[from:to], fail); one != nil {
			n.keys = append(n.keys, one.keys...)
			n.vals = append(n.vals, one.vals...)
		}
	}
	return n
}

// entries returns where the entries of a block mapping begin in toks, or nil
// when toks are something else.
func entries(toks token.Tokens) []int {
	if len(toks) < 2 || toks[1].Type != token.MappingValueType {
		return nil
	}
	var starts []int
	flow, line, col := 0, 0, toks[0].Position.Column
	for i, t := range toks {
		first := t.Position.Line > line
		line = max(line, t.Position.Line)
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		if flow != 0 || !first || i+1 == len(toks) || toks[i+1].Type != token.MappingValueType {
			continue
		}
		if t.Position.Column < col || t.Type == token.MappingValueType {
			return nil // not well formed: the parser says how
		}
		if t.Position.Column == col {
			starts = append(starts, i)
		}
	}
	return starts
}

// parseTokens parses toks by the library. A panic of the library is a mistake
// of the file: a reload must not end the process.
func parseTokens(toks token.Tokens, fail func(Position, string)) (n *node) {
	defer func() {
		if recover() != nil {
			n = nil
			fail(place(toks[0]), "the part that begins here cannot be read as YAML: simplify it")
		}
	}()
	file, err := parser.Parse(toks, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var se *goyaml.SyntaxError
		if errors.As(err, &se) && se.Token != nil {
			fail(place(se.Token), syntax(se.Message, se.Token))
		} else {
			fail(place(toks[0]), "the part that begins here cannot be read as YAML: check indentation and brackets")
		}
		return nil
	}
	if len(file.Docs) != 1 {
		fail(place(toks[0]), "the part that begins here is not one document: check indentation and brackets")
		return nil
	}
	return convert(file.Docs[0].Body, fail)
}

// hints say what to do about the library's messages.
var hints = []struct{ part, hint string }{
	{"tab", "indent with spaces, not tabs"},
	{`\t`, "indent with spaces, not tabs"},
	{"must be specified", "quote a text that holds any of { } [ ] ,"},
	{"not found", "close the bracket"},
	{"could not find flow", "close the bracket"},
	{"end character", "close the quotes"},
	{"reserved character", "put the text in quotes"},
	{"not allowed in this context", "check the indentation, and quote a text that holds \": \" or begins with a sign"},
}

func syntax(msg string, t *token.Token) string {
	msg = strings.NewReplacer("\n", " ", "\r", " ", "\t", `\t`).Replace(unmask.Replace(msg))
	hint := "check indentation, brackets and quotes"
	for _, h := range hints {
		if strings.Contains(msg, h.part) {
			hint = h.hint
			break
		}
	}
	if t.Prev != nil && t.Prev.Type == token.AliasType {
		hint = `quote a name that begins with *`
	}
	return "not valid YAML: " + msg + ": " + hint
}

func place(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{1, 1}
	}
	return Position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

func keyNode(t *token.Token) *node {
	return &node{kind: kindText, scalar: 's', Position: place(t), text: unmask.Replace(t.Value)}
}

// convert makes a node of the library's tree, whose depth is bounded.
func convert(x ast.Node, fail func(Position, string)) *node {
	if x == nil {
		return &node{Position: Position{1, 1}}
	}
	n := &node{Position: place(x.GetToken())}
	switch x := x.(type) {
	case *ast.NullNode:
		return n
	case *ast.MappingNode:
		n.kind = kindMapping
		n.keys, n.vals = make([]*node, len(x.Values)), make([]*node, len(x.Values))
		for i, e := range x.Values {
			n.keys[i] = keyNode(e.Key.GetToken())
			if n.vals[i] = convert(e.Value, fail); n.vals[i] == nil {
				return nil
			}
			if t := e.Value.GetToken(); t.Type == token.ImplicitNullType {
				n.vals[i].Position = n.keys[i].Position // nothing stands there
			}
		}
		if !x.IsFlowStyle && len(n.keys) > 0 {
			n.Position = n.keys[0].Position
		}
		return n
	case *ast.SequenceNode:
		n.kind = kindSequence
		n.vals = make([]*node, len(x.Values))
		for i, e := range x.Values {
			if n.vals[i] = convert(e, fail); n.vals[i] == nil {
				return nil
			}
			if t := e.GetToken(); t.Type == token.ImplicitNullType {
				n.vals[i].Position = n.Position
				if i < len(x.Entries) {
					n.vals[i].Position = place(x.Entries[i].Start)
				}
			}
		}
		return n
	case *ast.LiteralNode:
		n.kind, n.scalar, n.text = kindText, 's', unmask.Replace(x.Value.Value)
		return n
	case *ast.StringNode:
		n.kind, n.scalar, n.text = kindText, 's', unmask.Replace(x.Value)
		if x.Token.Type == token.StringType && isNumber(n.text) {
			n.scalar = 'n' // the library takes 1e3 for a text
		}
		return n
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.scalar, n.text = kindText, 'n', x.GetToken().Value
		return n
	case *ast.BoolNode:
		n.kind, n.scalar, n.text = kindText, 'b', x.GetToken().Value
		return n
	}
	fail(n.Position, "this part of YAML is not supported: write plain names, values, lists and mappings")
	return nil
}
