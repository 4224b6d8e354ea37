package config

import (
	"slices"
	"strings"
	"time"
)

// Split is a model that draws one of others for each request. Its arms are the
// model's targets.
type Split struct {
	Sticky string  // user | session | key | tag | tag:NAME | off
	Shadow *Shadow // nil: none
	Canary *Canary // nil: none
}

// Shadow is a copy of some requests to another model, whose answers no client
// gets.
type Shadow struct {
	Model      string // or a target
	Share      float64
	Concurrent int
	PerDay     float64 // USD
	Timeout    time.Duration
	Judge      string // a model or target that scores both answers, "": none
}

// Canary moves traffic to one of the arms step by step.
type Canary struct {
	Arm     string
	Steps   []float64 // percent, rising; the last is 100
	Min     int64     // answers at a step
	Margin  float64
	Webhook Secret // "": none
}

const (
	maxArms  = 100
	maxSteps = 20
)

// splitSpec reads the arms into the model's targets.
func splitSpec() field[Model] {
	arm := text(schema{MinLength: 1, Description: "a model, or provider/vendor-model"}, checkTarget)
	arms := list(object(
		required(on("model", "", "", arm, func(t *Target) *string { return &t.Target })),
		on("weight", "1", "share of requests, against the other arms; a canary has its steps", weightSpec(), func(t *Target) *float64 { return &t.Weight }),
	), maxArms)
	arms.doc.MinItems = 1
	arms.doc.Description = "what is drawn from"
	long := object(
		required(field[Model]{name: "arms", doc: arms.doc, read: func(d *decoder, v value, m *Model) { d.arms(v, arms, m) }}),
		on("sticky", "user", "what keeps to an arm: the end user that the body names, else the session, else the conversation (user); the session, else the conversation; the key; all tags (tag); the value of one (tag:NAME); off: nothing", stickySpec(),
			func(m *Model) *string { return &m.Split.Sticky }),
		on("shadow", "", "a copy of some requests to another model, whose answers are counted and go nowhere", optional(shadowSpec()), func(m *Model) **Shadow { return &m.Split.Shadow }),
		on("canary", "", "traffic that moves to one arm step by step, and back where its answers are worse", optional(canarySpec()), func(m *Model) **Canary { return &m.Split.Canary }),
	)
	f := field[Model]{name: "split", doc: long.doc, read: func(d *decoder, v value, m *Model) {
		if v.kind == kindNull {
			d.failf(v, "%s is empty: write {arms: [{model: a, weight: 90}, {model: b, weight: 10}]}", v.path)
			return
		}
		m.Split, m.Strategy = &Split{}, "split"
		long.init(m)
		long.read(d, v, m)
		d.canary(v.path, m)
	}}
	f.doc.Description = "one of several models for each request, by weight"
	return f
}

// arms are targets of one priority.
func (d *decoder) arms(v value, arms spec[[]Target], m *Model) {
	if v.kind == kindNull || v.kind == kindSequence && len(v.vals) == 0 {
		d.failf(v, "%s is empty: write [{model: a, weight: 90}, {model: b, weight: 10}]", v.path)
		return
	}
	arms.read(d, v, &m.Targets)
	for j := range m.Targets {
		m.Targets[j].Priority = 1
	}
}

// canary checks a split's canary against its arms.
func (d *decoder) canary(path string, m *Model) {
	c := m.Split.Canary
	if c == nil || c.Arm == "" || len(m.Targets) == 0 {
		return
	}
	i := slices.IndexFunc(m.Targets, func(t Target) bool { return t.Target == c.Arm })
	switch {
	case i < 0:
		d.failAt(path+".canary.arm", "%s.canary.arm is %s, which is no arm of the split: name one of them", path, d.show(path+".canary.arm", c.Arm))
		return
	case len(m.Targets) == 1:
		d.failAt(path+".canary", "%s.canary has nobody to be compared with: add another arm", path)
	}
	if at := m.TargetPath(i); d.has(strings.TrimSuffix(at, ".model") + ".weight") {
		at = strings.TrimSuffix(at, ".model") + ".weight"
		d.failAt(at, "%s stands beside canary, whose steps are the arm's share: remove it", at)
	}
}

// has reports whether a path is in the file.
func (d *decoder) has(path string) bool {
	_, ok := d.c.Pos[path]
	return ok
}

func stickySpec() spec[string] {
	named := []string{"user", "session", "key", "tag", "off"}
	s := text(schema{}, func(s string) string {
		if name, tag := strings.CutPrefix(s, "tag:"); slices.Contains(named, s) || tag && name != "" && len(name) <= 64 && isName(name, "_-.") {
			return ""
		}
		return "write one of user, session, key, tag, tag:NAME, off"
	})
	s.doc = orEnv(schema{Type: "string", Pattern: `^(user|session|key|tag|tag:[0-9A-Za-z_.-]{1,64}|off)$`})
	return s
}

func shadowSpec() spec[Shadow] {
	return object(
		required(on("model", "", "the model that is asked the same, or a target", text(schema{MinLength: 1}, checkTarget), func(s *Shadow) *string { return &s.Model })),
		on("share", "0.05", "share of the chat requests that are copied", decimal(0, 1), func(s *Shadow) *float64 { return &s.Share }),
		on("concurrent", "8", "copies at a time; more are dropped", whole(1, 1000), func(s *Shadow) *int { return &s.Concurrent }),
		on("usd_per_day", "10", "what they may cost in a day (UTC), with the judge; more are dropped", decimal(0, maxCount), func(s *Shadow) *float64 { return &s.PerDay }),
		on("judge", "", "a model, or a target, that scores both answers; default: none", text(schema{MinLength: 1}, checkTarget), func(s *Shadow) *string { return &s.Judge }),
		on("timeout", "60s", "time of each", span(time.Second, 10*time.Minute), func(s *Shadow) *time.Duration { return &s.Timeout }),
	)
}

func canarySpec() spec[Canary] {
	return object(
		required(on("arm", "", "the arm that the traffic moves to", text(schema{MinLength: 1}, checkTarget), func(c *Canary) *string { return &c.Arm })),
		stepsField(),
		on("min", "200", "answers of the arm at each step, at least", whole[int64](20, maxCount), func(c *Canary) *int64 { return &c.Min }),
		on("margin", "0.02", "how much larger a part of its answers may be bad than of the others'", decimal(0, 0.5), func(c *Canary) *float64 { return &c.Margin }),
		on("webhook", "", "URL that each step, promotion and rollback is posted to, as JSON", alarmHookSpec(), func(c *Canary) *Secret { return &c.Webhook }),
	)
}

// stepsField are the steps, [1, 5, 25, 50, 100] unless they are given.
func stepsField() field[Canary] {
	steps := list(decimal(0.01, 100), maxSteps)
	read := steps.read
	steps.read = func(d *decoder, v value, dst *[]float64) {
		var got []float64
		if read(d, v, &got); got == nil {
			return
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) < len(got) || len(got) == 0 || got[len(got)-1] != 100 {
			d.failf(v, "%s must rise and end with 100: write percent of the requests, such as [1, 5, 25, 50, 100]", v.path)
			return
		}
		*dst = got
	}
	f := on("steps", "", "percent of the requests, one step after the other; default: [1, 5, 25, 50, 100]", steps, func(c *Canary) *[]float64 { return &c.Steps })
	f.init = func(c *Canary) { c.Steps = []float64{1, 5, 25, 50, 100} }
	return f
}
