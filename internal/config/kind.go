package config

import (
	"fmt"
	"strings"
)

// kinds of model: each has one of these keys.
var kinds = []string{"targets", "auto", "split", "cascade", "ensemble"}

// unlike are the keys of a model that only one with targets has.
var unlike = []string{"strategy", "params", "timeouts"}

// kind reports what is wrong with the keys of a model that say what it is.
func (d *decoder) kind(v value, m *Model) {
	if v.kind != kindMapping {
		return
	}
	var is []string
	for _, k := range kinds {
		if v.entry(k) != nil {
			is = append(is, k)
		}
	}
	switch {
	case len(is) == 0:
		d.failf(v, "%s has no targets: write targets: [openai/gpt-4o]", v.path)
		return
	case len(is) > 1:
		d.fail(v.entry(is[1]).Position, v.path+" has "+is[0]+" and "+is[1]+": keep one of them")
		return
	}
	if key := v.entry("classifier"); key != nil && is[0] != "auto" {
		d.fail(key.Position, join(v.path, "classifier")+" stands without auto: remove it")
	}
	switch is[0] {
	case "targets":
		return
	case "split": // its arms are targets
		if e := v.entry("strategy"); e != nil {
			d.fail(e.Position, join(v.path, "strategy")+" stands beside split, which draws: remove it")
		}
		return
	}
	for _, k := range unlike {
		if key := v.entry(k); key != nil {
			d.fail(key.Position, join(v.path, k)+" is for models with targets: write it where they are")
		}
	}
	if strings.Contains(m.Name, "*") {
		d.failf(v, "%s is a pattern: only a model with targets may have a pattern for its name", v.path)
	}
	if key := v.entry("accept"); key != nil && m.Cascade != nil {
		d.fail(key.Position, join(v.path, "accept")+" stands beside cascade, which has its own: write the gates there")
	}
	m.Strategy = is[0]
}

// maxChoice bounds the models that one is made of.
const maxChoice = 64

// membersSpec is a list of models and targets, at least one.
func membersSpec() spec[[]string] {
	l := list(text(schema{MinLength: 1}, checkTarget), maxChoice)
	return needed(l, "is empty: write models such as [smart, openai/gpt-4o]")
}

// part is a model or target that another model is made of.
type part struct{ name, path string }

// parts are what a model is made of, in the order of the file.
func (r *refs) parts(m *Model) []part {
	var out []part
	for j := range m.Targets {
		out = append(out, part{m.Targets[j].Target, r.targetPath(m, j)})
	}
	if m.Auto != nil {
		for j, name := range m.Auto.Models {
			out = append(out, part{name, fmt.Sprintf("models.%s.auto.models[%d]", m.Name, j)})
		}
	}
	if m.Cascade != nil {
		for j, name := range m.Cascade.Models {
			out = append(out, part{name, fmt.Sprintf("models.%s.cascade.models[%d]", m.Name, j)})
		}
	}
	return out
}
