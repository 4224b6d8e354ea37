package recordings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// loss is a named rule by which something cannot be kept.
type loss string

// The rules.
const (
	lossAnswers   loss = "one answer only: the client's protocol has no place for further choices"
	lossArguments loss = "arguments that are no JSON object: the client's protocol has objects only"
	lossOwnTool   loss = "a tool of the vendor's protocol alone (computer, shell, patch) is to be run by the client"
	lossStop      loss = "a reason for the stop that no other protocol knows"
	lossPause     loss = "a pause of the vendor's own tools: the client's protocol cannot say that it goes on"
	lossCounts    loss = "the vendor's counts contradict each other: more cached than input, or more reasoning than output"
	lossReasoning loss = "reasoning counted without a name: the total alone tells of it"
)

// compare checks what a client got against what was recorded. lost are the
// rules that explain what it misses.
func compare(proto string, want, got *answer) (lost []loss, err error) {
	turns := want.turns
	one := proto == "responses" || proto == "anthropic"
	if one && len(turns) > 1 {
		turns, lost = turns[:1], append(lost, lossAnswers)
	}
	for i, w := range turns {
		g := &turn{}
		if i < len(got.turns) {
			g = got.turns[i]
		}
		l, err := w.compare(proto, g)
		lost = append(lost, l...)
		if err != nil {
			return lost, err
		}
	}
	l, err := want.usage.compare(got.usage)
	return append(lost, l...), err
}

func (w *turn) compare(proto string, g *turn) (lost []loss, err error) {
	if g.text != w.text {
		return nil, fmt.Errorf("text: %s", difference([]byte(g.text), []byte(w.text)))
	}
	if len(g.calls) != len(w.calls) {
		return nil, fmt.Errorf("tool calls: got %d, want %d", len(g.calls), len(w.calls))
	}
	for i, c := range w.calls {
		l, err := c.compare(proto, g.calls[i])
		lost = append(lost, l...)
		if err != nil {
			return lost, err
		}
	}
	if w.own {
		lost = append(lost, lossOwnTool)
	}
	return w.compareStop(proto, g, lost)
}

// compareStop follows the table of stop reasons. A turn with calls that ended
// well ended for them.
func (w *turn) compareStop(proto string, g *turn, lost []loss) ([]loss, error) {
	want := w.stop
	if want == stopEnd && len(w.calls) > 0 || want == stopTools && (proto == "responses" || proto == "gemini") {
		want = stopTools
	}
	ok := g.stop == want
	switch want {
	case stopTools:
		switch {
		case len(w.calls) == 0:
			ok = g.stop == stopEnd || g.stop == stopTools
		case proto == "responses" || proto == "gemini": // the calls say it
			ok = g.stop == stopEnd
		}
	case stopEnd:
		ok = ok || w.refused && g.stop == stopFilter
	case stopFilter:
		ok = ok || g.refused
	case stopPause:
		if ok = g.stop != stopNone; proto != "anthropic" {
			lost = append(lost, lossPause)
		}
	case stopOther, stopNone:
		if ok = g.stop != stopNone; want == stopOther {
			lost = append(lost, lossStop)
		}
	}
	if !ok {
		return lost, fmt.Errorf("stop: got %s (%s), want %s (%s)", g.stop, g.raw, want, w.raw)
	}
	return lost, nil
}

func (c *call) compare(proto string, g *call) (lost []loss, err error) {
	if g.name != c.name {
		return nil, fmt.Errorf("tool name: got %q, want %q", g.name, c.name)
	}
	if sameJSON(g.args, c.args) {
		return nil, nil
	}
	if c.custom {
		var v struct{ Input string }
		if g.args == c.args || json.Unmarshal([]byte(g.args), &v) == nil && v.Input == c.args {
			return nil, nil
		}
	}
	if !isObject([]byte(c.args)) || !json.Valid([]byte(c.args)) {
		if proto == "anthropic" || proto == "gemini" {
			return []loss{lossArguments}, nil
		}
		if g.args == c.args {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("arguments of %s: got %s, want %s", c.name, clip(g.args), clip(c.args))
}

// sameJSON compares JSON values; "" is {}.
func sameJSON(a, b string) bool {
	norm := func(s string) (any, bool) {
		if strings.TrimSpace(s) == "" || s == "null" {
			s = "{}"
		}
		d := json.NewDecoder(strings.NewReader(s))
		var v any
		err := d.Decode(&v)
		return v, err == nil && !d.More()
	}
	x, ok1 := norm(a)
	y, ok2 := norm(b)
	if !ok1 || !ok2 {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// compare: what was not counted cannot be kept.
func (w *usage) compare(g *usage) (lost []loss, err error) {
	if w == nil || w.in+w.out == 0 {
		return nil, nil
	}
	if g == nil {
		return nil, fmt.Errorf("usage: none, want %+v", *w)
	}
	want := *w
	if want.reasoning < 0 {
		want.reasoning, want.out = g.reasoning, g.out
		lost = append(lost, lossReasoning)
	}
	if *g != want && (w.cached > w.in || w.reasoning > w.out) {
		return append(lost, lossCounts), nil
	}
	if *g != want {
		return lost, fmt.Errorf("usage: got %+v, want %+v", *g, want)
	}
	return lost, nil
}

// difference shows where two texts part.
func difference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	cut := func(b []byte) []byte { return b[max(0, min(len(b), i)-40):min(len(b), i+120)] }
	return fmt.Sprintf("%d bytes against %d, they part at %d: got …%q, want …%q", len(got), len(want), i, cut(got), cut(want))
}
