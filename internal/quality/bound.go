package quality

import (
	"encoding/json"
	"errors"
	"math"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxNodes bounds the values that a client's schema holds, maxLevels how deep they
	// nest, and the schemas that lead to each other at one place of an answer.
	maxNodes  = 8192
	maxLevels = 128
	// maxValue bounds the text, in bytes, that is checked by a schema.
	maxValue = 1 << 20
	// maxWork bounds what it takes to check one value: schemas applied to a part of
	// it, and what these look at. It is some tens of ms and of MB.
	maxWork = 1 << 17
	// maxProgram bounds the instructions of an expression in a schema, and maxExpr
	// its bytes.
	maxProgram = 2048
	maxExpr    = 4096
	// maxNumber bounds a number's text, and its exponent, so that its value can be
	// calculated exactly.
	maxNumber = 400
)

// measure returns how many values a JSON value holds, itself with them; false: it
// is too large, nests too deep, or has a number that is too long.
func measure(v any, deep int) (n int, ok bool) {
	if deep > maxLevels {
		return 0, false
	}
	n = 1
	add := func(x any) bool {
		k, fine := measure(x, deep+1)
		n += k
		return fine
	}
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			if !add(x) {
				return 0, false
			}
		}
	case []any:
		for _, x := range v {
			if !add(x) {
				return 0, false
			}
		}
	case json.Number:
		return 1, short(string(v))
	}
	return n, true
}

// short reports whether a number can be calculated with exactly, at little cost.
func short(number string) bool {
	if len(number) > maxNumber {
		return false
	}
	i := strings.IndexAny(number, "eE")
	if i < 0 {
		return true
	}
	e, err := strconv.Atoi(strings.TrimPrefix(number[i+1:], "+"))
	return err == nil && -maxNumber <= e && e <= maxNumber
}

// expression compiles an expression of a schema, which must be small.
func expression(s string) (jsonschema.Regexp, error) {
	if len(s) > maxExpr {
		return nil, errors.New("an expression is too long")
	}
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := program(re)
	if n > maxProgram {
		return nil, errors.New("an expression is too large")
	}
	return newExpr(s, n)
}

// program returns at least how many instructions an expression has; saturating.
func program(re *syntax.Regexp) int {
	n := 2
	for _, sub := range re.Sub {
		n = add(n, program(sub))
	}
	switch re.Op {
	case syntax.OpLiteral:
		n += len(re.Rune)
	case syntax.OpCharClass:
		n += len(re.Rune) / 2
	case syntax.OpRepeat:
		n = times(n, max(1, re.Min, re.Max))
	}
	return n
}

func add(a, b int) int { return min(a+b, math.MaxInt32) }

func times(a, b int) int { return min(min(a, math.MaxInt32)*min(b, math.MaxInt32), math.MaxInt32) }

// work counts what it takes at most to check a value by a schema, before it is
// done: as the library goes through both, but without an early end.
type work struct {
	left  int // of maxWork
	nodes int // that the schema's text holds
}

// bounded reports whether v can be checked by s with at most maxWork.
func bounded(s *schema, v any) bool {
	w := &work{left: maxWork, nodes: s.nodes}
	return w.on(s.Schema, v, 0, 0)
}

// spend reports whether there was as much left.
func (w *work) spend(n int) bool {
	w.left -= min(n, maxWork+1)
	return w.left >= 0
}

// on counts the application of s to v, which lies deep in the whole value; chain
// schemas led there at this place.
func (w *work) on(s *jsonschema.Schema, v any, deep, chain int) bool {
	// A dynamic reference leads to where only the way there tells.
	if deep > maxLevels || chain > maxLevels || s.DynamicRef != nil || s.RecursiveRef != nil || !w.spend(1+(deep+chain)/8) {
		return false
	}
	if s.Bool != nil {
		return true
	}
	if !w.compare(s, v) || !w.each(v, deep, chain+1, s.Ref, s.Not, s.If, s.Then, s.Else) ||
		!w.each(v, deep, chain+1, s.AllOf...) || !w.each(v, deep, chain+1, s.AnyOf...) || !w.each(v, deep, chain+1, s.OneOf...) {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		return w.object(s, v, deep, chain)
	case []any:
		return w.array(s, v, deep)
	case string:
		return w.text(s, v)
	case json.Number:
		return w.spend(4 + len(v)/8)
	}
	return true
}

// each counts the application of all schemas that are not nil.
func (w *work) each(v any, deep, chain int, all ...*jsonschema.Schema) bool {
	for _, s := range all {
		if s != nil && !w.on(s, v, deep, chain) {
			return false
		}
	}
	return true
}

// compare counts what looks for a value among others.
func (w *work) compare(s *jsonschema.Schema, v any) bool {
	if s.Enum == nil && s.Const == nil {
		return true
	}
	switch v.(type) {
	case map[string]any, []any:
		return w.spend(w.nodes)
	}
	if s.Enum != nil {
		return w.spend(2 * len(s.Enum.Values))
	}
	return true
}

func (w *work) object(s *jsonschema.Schema, v map[string]any, deep, chain int) bool {
	if !w.spend(len(v) + len(s.Required) + len(s.DependentRequired)) {
		return false
	}
	for _, names := range s.DependentRequired {
		if !w.spend(len(names)) {
			return false
		}
	}
	for name, d := range s.Dependencies {
		if _, ok := v[name]; !ok {
			continue
		}
		if sub, ok := d.(*jsonschema.Schema); ok && !w.on(sub, v, deep, chain+1) {
			return false
		}
	}
	for name, sub := range s.DependentSchemas {
		if _, ok := v[name]; ok && !w.on(sub, v, deep, chain+1) {
			return false
		}
	}
	more, _ := s.AdditionalProperties.(*jsonschema.Schema)
	for name, x := range v {
		own := s.Properties[name]
		if own != nil && !w.on(own, x, deep+1, 0) || own == nil && more != nil && !w.on(more, x, deep+1, 0) ||
			!w.each(x, deep+1, 0, s.UnevaluatedProperties) || !w.each(name, 0, 0, s.PropertyNames) {
			return false
		}
		for re, sub := range s.PatternProperties {
			if !w.match(re, name) || !w.on(sub, x, deep+1, 0) {
				return false
			}
		}
	}
	return true
}

func (w *work) array(s *jsonschema.Schema, v []any, deep int) bool {
	if !w.spend(len(v)) {
		return false
	}
	if s.UniqueItems {
		n := weigh(v)
		if !w.spend(times(n, min(len(v), 20))) { // up to 20 are compared in pairs
			return false
		}
	}
	every, _ := s.Items.(*jsonschema.Schema)
	first, _ := s.Items.([]*jsonschema.Schema)
	rest, _ := s.AdditionalItems.(*jsonschema.Schema)
	for i, x := range v {
		if !w.each(x, deep+1, 0, every, s.Contains, s.UnevaluatedItems) ||
			i < len(first) && !w.on(first[i], x, deep+1, 0) || i >= len(first) && !w.each(x, deep+1, 0, rest) ||
			i < len(s.PrefixItems) && !w.on(s.PrefixItems[i], x, deep+1, 0) || i >= len(s.PrefixItems) && !w.each(x, deep+1, 0, s.Items2020) {
			return false
		}
	}
	return true
}

func (w *work) text(s *jsonschema.Schema, v string) bool {
	if s.Pattern != nil && !w.match(s.Pattern, v) {
		return false
	}
	if s.Format != nil && !w.spend(256) { // of draft 7 and before; "regex" is compiled
		return false
	}
	return w.spend(len(v) / 64)
}

// match counts the match of an expression, by the bound of RE2.
func (w *work) match(re jsonschema.Regexp, s string) bool {
	n := maxProgram
	if e, ok := re.(*expr); ok {
		n = e.program
	}
	return w.spend(1 + times(len(s), n)/8)
}

// weigh is how much it takes to compare a value with another.
func weigh(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			n = add(n, 1+len(name)/64+weigh(x))
		}
	case []any:
		for _, x := range v {
			n = add(n, weigh(x))
		}
	case string:
		n += len(v) / 64
	case json.Number:
		n += 4 + len(v)/8
	}
	return n
}
