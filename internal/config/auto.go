package config

import "fmt"

// Auto is a model that is chosen by what is asked. At most one of Prefer, Quality
// and MaxCost is set; none: balanced.
type Auto struct {
	Models  []string // models and targets to choose between
	Prefer  string   // one of Preferences, "" for none
	Quality float64  // share of the best's expected quality that is good enough, 0 for none
	MaxCost float64  // USD of a request, as expected; 0 for none
	Regions []string // where targets may run; nil: anywhere
}

// Preferences are the values of an auto model's prefer.
var Preferences = []string{"quality", "balanced", "cost", "latency"}

// dials are the keys of an auto model of which one may be set.
var dials = []string{"prefer", "quality", "max_cost"}

func autoSpec() field[Model] {
	long := object(
		required(on("models", "", "models or targets to choose between", membersSpec(), func(a *Auto) *[]string { return &a.Models })),
		on("prefer", "", "what counts beside quality; default: balanced, where nothing else is said", oneOf(Preferences...), func(a *Auto) *string { return &a.Prefer }),
		on("quality", "", "the cheapest of those with this share of the best's expected quality", above(1), func(a *Auto) *float64 { return &a.Quality }),
		on("max_cost", "", "the best of those that are expected to cost at most so much, in USD a request", above(maxCount), func(a *Auto) *float64 { return &a.MaxCost }),
		on("regions", "", "where targets may run; default: anywhere", regionsSpec(), func(a *Auto) *[]string { return &a.Regions }),
	)
	f := field[Model]{name: "auto", doc: long.doc, read: func(d *decoder, v value, m *Model) {
		if v.kind == kindNull {
			d.failf(v, "%s is empty: write {models: [a, b]}", v.path)
			return
		}
		m.Auto, m.Classifier = &Auto{}, "learned"
		long.read(d, v, m.Auto)
		d.dials(v, m.Auto)
	}}
	f.doc.Description = "a model that is chosen by what is asked"
	return f
}

// dials checks that an auto model has one dial at most, and regions where it
// speaks of them.
func (d *decoder) dials(v value, a *Auto) {
	if v.kind != kindMapping {
		return
	}
	var set []string
	for _, name := range dials {
		if v.entry(name) != nil {
			set = append(set, name)
		}
	}
	if len(set) > 1 {
		d.fail(v.entry(set[1]).Position, join(v.path, set[1])+" stands beside "+set[0]+": keep one of them")
	}
	if key := v.entry("regions"); key != nil && len(a.Regions) == 0 {
		d.fail(key.Position, join(v.path, "regions")+" names nothing: name regions, or leave it out for all")
	}
}

// above is a number above 0, at most most.
func above(most float64) spec[float64] {
	s := decimal(0, most)
	s.doc = orEnv(schema{Type: "number", Above: of(0.0), Maximum: of(most)})
	read := s.read
	s.read = func(d *decoder, v value, dst *float64) {
		x := 1.0
		if read(d, v, &x); x == 0 {
			d.failf(v, "%s is %s: write a number above 0, at most %s", v.path, v.show(), format(most))
			return
		}
		*dst = x
	}
	return s
}

// autos checks the regions of models that are chosen.
func (d *decoder) autos(check func(path, region string)) {
	for i := range d.c.Models {
		if a := d.c.Models[i].Auto; a != nil {
			for j, region := range a.Regions {
				check(fmt.Sprintf("models.%s.auto.regions[%d]", d.c.Models[i].Name, j), region)
			}
		}
	}
}
