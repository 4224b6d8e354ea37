package config

import (
	"strings"
	"time"
)

// maxDegrade bounds the levels of one model's degradation.
const maxDegrade = 10

// hedgeSpec is off, or when and how often a second call is made.
func hedgeSpec() spec[Hedge] {
	long := object(
		on("after", "p95", "how long a call may be without content: p95 of its target's calls, or a fixed time", afterSpec(), func(h *Hedge) *time.Duration { return &h.After }),
		on("budget", "0.05", "share of recent requests that may be hedged", decimal(0, 1), func(h *Hedge) *float64 { return &h.Budget }),
	)
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"off"})}, &long.doc}}
	return spec[Hedge]{doc: doc, read: func(d *decoder, v value, dst *Hedge) {
		if v.kind == kindText {
			if v.node.text != "off" {
				d.failf(v, "%s is %s: write off, or a mapping such as {after: p95, budget: 0.05}", v.path, v.show())
			}
			*dst = Hedge{}
			return
		}
		h := Hedge{On: true}
		long.init(&h)
		long.read(d, v, &h)
		*dst = h
	}}
}

// afterSpec is a duration, or p95, which is 0.
func afterSpec() spec[time.Duration] {
	fixed := span(time.Millisecond, time.Hour)
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"p95"})}, &fixed.doc}}
	return spec[time.Duration]{doc: doc, read: func(d *decoder, v value, dst *time.Duration) {
		switch {
		case v.kind == kindText && v.node.text == "p95":
			*dst = 0
		case v.kind == kindText && strings.HasPrefix(v.node.text, "p"):
			d.failf(v, "%s is %s: write p95, or a duration such as 800ms", v.path, v.show())
		default:
			fixed.read(d, v, dst)
		}
	}}
}

// degradeSpec is one level of degradation.
func degradeSpec() spec[Degrade] {
	s := object(
		on("model", "", "another model, or a target", text(schema{MinLength: 1}, checkTarget), func(l *Degrade) *string { return &l.Model }),
		on("max_tokens", "", "the model's targets again, for so many tokens at most", whole(1, maxToken), func(l *Degrade) *int { return &l.MaxTokens }),
		on("answer", "", "a text that is the answer", answerSpec(), func(l *Degrade) *string { return &l.Answer }),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *Degrade) {
		read(d, v, dst)
		if v.kind == kindNull || v.kind == kindMapping && len(v.keys) != 1 {
			d.failf(v, "%s must have one of model, max_tokens and answer", v.path)
		}
	}
	return s
}

// maxAnswer bounds a text that is the answer, in bytes.
const maxAnswer = 64 << 10

// answerSpec is a text of any number of lines.
func answerSpec() spec[string] {
	return spec[string]{doc: schema{Type: "string", MinLength: 1, MaxLength: maxAnswer}, read: func(d *decoder, v value, dst *string) {
		s, ok := d.text(v)
		switch {
		case !ok:
		case s == "" || len(s) > maxAnswer:
			d.failf(v, "%s is empty or longer than %d bytes: write what clients are told", v.path, maxAnswer)
		default:
			*dst = s
		}
	}}
}
