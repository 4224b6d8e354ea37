package config

import (
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// maxTargets bounds the targets of one model.
const maxTargets = 1000

// modelsSpec is a mapping from names to models: a target, a list of targets
// in their order, or the long form.
func modelsSpec() spec[[]Model] {
	long, target := modelSpec(), text(schema{MinLength: 1}, checkTarget)
	short := schema{Type: "array", MinItems: 1, Items: &target.doc, Description: "targets in this order"}
	doc := schema{Type: "object", Values: &schema{AnyOf: []*schema{&target.doc, &short, &long.doc}}}
	return spec[[]Model]{doc: doc, read: func(d *decoder, v value, dst *[]Model) {
		if v.kind != kindMapping {
			if v.kind != kindNull {
				d.failf(v, "%s is %s: write a mapping such as {gpt-4: openai/gpt-4o}", v.path, v.what())
			}
			return
		}
		out := make([]Model, 0, len(v.keys))
		d.each(v, func(key *node, x value) {
			if !d.name(key, v.path, checkModel) {
				return
			}
			m := Model{Name: key.text, Strategy: d.c.Strategy, Affinity: "auto", Fallback: slices.Clone(d.c.Fallback), Hedge: d.c.Hedge, OnCut: "end", Guard: d.c.Guard, Risk: d.c.Risk}
			d.model(x, &m, long, target)
			out = append(out, m)
		})
		*dst = out
	}}
}

// model reads one model in any of its forms.
func (d *decoder) model(v value, m *Model, long spec[Model], target spec[string]) {
	switch v.kind {
	case kindNull:
		d.failf(v, "%s is empty: write a target such as openai/gpt-4o", v.path)
	case kindText:
		d.mark(v.path+".targets", nil, v.node)
		m.Targets = d.plain([]value{{v.node, v.path + ".targets[0]"}}, target)
	case kindSequence:
		d.mark(v.path+".targets", nil, v.node)
		if len(v.vals) == 0 {
			d.failf(v, "%s is empty: write a target such as openai/gpt-4o", v.path)
		}
		items, _ := d.items(value{v.node, v.path + ".targets"}, maxTargets)
		m.Targets = d.plain(items, target)
		m.Strategy = "ordered"
	default:
		long.read(d, v, m)
	}
}

// plain reads targets of which only the name is written.
func (d *decoder) plain(items []value, target spec[string]) []Target {
	out := make([]Target, len(items))
	for i, x := range items {
		d.mark(x.path, nil, x.node)
		out[i] = Target{Weight: 1, Priority: 1}
		target.read(d, x, &out[i].Target)
	}
	return out
}

func modelSpec() spec[Model] {
	s := object(
		on("targets", "", "what answers", targetsSpec(), func(m *Model) *[]Target { return &m.Targets }),
		on("strategy", "", "which target first; default: the file's", oneOf(Strategies...), func(m *Model) *string { return &m.Strategy }),
		on("affinity", "auto", "what keeps to one target: conversations (auto), nothing, sessions, users",
			oneOf("auto", "off", "session", "user"), func(m *Model) *string { return &m.Affinity }),
		on("capabilities", "", "what it is good at, 0 to 1; as a list: 1.0 each", capabilitiesSpec(), func(m *Model) *map[string]float64 { return &m.Capabilities }),
		on("fallback", "", "models or targets to go on with, in this order; off: none; default: the file's", fallbackSpec(), func(m *Model) *[]string { return &m.Fallback }),
		on("hedge", "", "a second call beside one that is slow; default: the file's", hedgeSpec(), func(m *Model) *Hedge { return &m.Hedge }),
		on("on_cut", "end", "a stream that breaks after content: end it with an error, or resume it at another target that can go on",
			oneOf("end", "resume"), func(m *Model) *string { return &m.OnCut }),
		on("degrade", "", "what answers when targets and fallback cannot, in this order", list(degradeSpec(), maxDegrade), func(m *Model) *[]Degrade { return &m.Degrade }),
		on("guard", "", "guards that look at its requests and answers; off: none; default: the file's", guardNames(), func(m *Model) *[]string { return &m.Guard }),
		on("risk", "", "what a class of risk does; default: the file's", riskSpec(), func(m *Model) *map[string]Response { return &m.Risk }),
		on("params", "", "changes to request bodies", paramsSpec(), func(m *Model) *Params { return &m.Params }),
		on("aliases", "", "other names", list(text(schema{MinLength: 1}, checkAlias), 100), func(m *Model) *[]string { return &m.Aliases }),
		on("timeouts", "", "instead of the provider's", bare(timeoutsSpec()), func(m *Model) *Timeouts { return &m.Timeouts }),
		on("retry", "", "instead of the file's", retryOverSpec(), func(m *Model) *RetryOver { return &m.Retry }),
		autoSpec(),
		on("classifier", "", "what tells an auto model what is asked: the learned router, or patterns (rules); default: learned", oneOf("learned", "rules"), func(m *Model) *string { return &m.Classifier }),
		splitSpec(),
		cascadeSpec(),
		on("accept", "", "what an answer must pass; where it does not, another model is asked: see escalate", gatesSpec(), func(m *Model) *[]Gate { return &m.Accept }),
		later[Model]("ensemble", "several models at once"),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *Model) {
		read(d, v, dst)
		d.kind(v, dst)
	}
	return s
}

// targetsSpec is a list of targets; one that is only a name stands for itself.
func targetsSpec() spec[[]Target] {
	name := text(schema{MinLength: 1, Description: "provider/vendor-model, or a model"}, checkTarget)
	long := object(
		required(on("target", "", "", name, func(t *Target) *string { return &t.Target })),
		on("weight", "1", "share of requests, against the others of its priority", weightSpec(), func(t *Target) *float64 { return &t.Weight }),
		on("priority", "1", "lower first", whole(1, 100), func(t *Target) *int { return &t.Priority }),
		on("price", "", "USD per million tokens; default: the catalog's", optional(priceSpec()), func(t *Target) **Price { return &t.Price }),
		on("context", "", "tokens that it takes; default: the catalog's", whole(1, maxToken), func(t *Target) *int { return &t.Context }),
		on("max_output", "", "tokens that it gives; default: the catalog's", whole(1, maxToken), func(t *Target) *int { return &t.MaxOutput }),
		on("latency", "", "expected time to the first token, until it is known", span(time.Millisecond, time.Hour), func(t *Target) *time.Duration { return &t.Latency }),
		on("region", "", "where it runs; default: its provider's", text(schema{}, checkWord), func(t *Target) *string { return &t.Region }),
	)
	either := spec[Target]{
		doc:  schema{AnyOf: []*schema{&name.doc, &long.doc}},
		init: long.init,
		read: func(d *decoder, v value, dst *Target) {
			switch v.kind {
			case kindText:
				name.read(d, v, &dst.Target)
			case kindMapping:
				long.read(d, v, dst)
			default:
				d.failf(v, "%s is %s: write a target such as openai/gpt-4o or {target: openai/gpt-4o, weight: 2}", v.path, v.what())
			}
		},
	}
	l := list(either, maxTargets)
	return needed(l, "is empty: write a target such as openai/gpt-4o")
}

// weightSpec is a number above 0, at most a million.
func weightSpec() spec[float64] {
	s := decimal(0, maxCount)
	s.doc = orEnv(schema{Type: "number", Above: of(0.0), Maximum: of(float64(maxCount))})
	read := s.read
	s.read = func(d *decoder, v value, dst *float64) {
		x := *dst
		if read(d, v, &x); x == 0 {
			d.failf(v, "%s is %s: write a number above 0, at most %d; to switch a target off, remove it", v.path, v.show(), maxCount)
			return
		}
		*dst = x
	}
	return s
}

func priceSpec() spec[Price] {
	usd := decimal(0, maxCount)
	fields := []field[Price]{
		required(on("input", "", "prompt tokens", usd, func(p *Price) *float64 { return &p.Input })),
		required(on("output", "", "answer tokens", usd, func(p *Price) *float64 { return &p.Output })),
	}
	for _, m := range moreUnits {
		f := field[Price]{name: m.unit.String(), doc: usd.doc, read: func(d *decoder, v value, dst *Price) {
			var x *float64
			optional(usd).read(d, v, &x)
			if x == nil {
				return
			}
			if dst.More == nil {
				dst.More = map[string]float64{}
			}
			dst.More[m.unit.String()] = *x
		}}
		f.doc.Description = m.doc
		fields = append(fields, f)
	}
	return object(fields...)
}

// moreUnits are the prices that may be left out.
var moreUnits = []struct {
	unit llm.Unit
	doc  string
}{
	{llm.UnitCachedRead, "prompt tokens read from the vendor's cache; default: input"},
	{llm.UnitCacheWrite, "prompt tokens written to the vendor's cache; default: input"},
	{llm.UnitCacheWrite1h, "those written for an hour; default: cache_write"},
	{llm.UnitAudioInput, "audio in the prompt; default: input"},
	{llm.UnitImageInput, "images in the prompt; default: input"},
	{llm.UnitReasoning, "reasoning tokens; default: output"},
	{llm.UnitAudioOutput, "audio in the answer; default: output"},
	{llm.UnitImageOutput, "images in the answer, in tokens; default: output"},
	{llm.UnitImage, "USD per thousand images made; default: 0"},
	{llm.UnitRequest, "USD per thousand requests; default: 0"},
	{llm.UnitSearch, "USD per thousand searches by the vendor; default: 0"},
}

func checkCapability(s string) string {
	if len(s) > 64 || !isName(s, "_-") {
		return "write a word of letters, digits, _ and -"
	}
	return ""
}

// capabilitiesSpec is a mapping from names to 0…1, or a list of names.
func capabilitiesSpec() spec[map[string]float64] {
	share, word := decimal(0, 1), text(schema{MinLength: 1}, checkCapability)
	doc := schema{AnyOf: []*schema{{Type: "object", Values: &share.doc}, {Type: "array", Items: &word.doc}}}
	return spec[map[string]float64]{doc: doc, read: func(d *decoder, v value, dst *map[string]float64) {
		out := map[string]float64{}
		switch v.kind {
		case kindNull:
			return
		case kindMapping:
			d.each(v, func(key *node, x value) {
				if d.name(key, v.path, checkCapability) {
					var f float64
					share.read(d, x, &f)
					out[key.text] = f
				}
			})
		case kindSequence:
			items, _ := d.items(v, 1000)
			for _, x := range items {
				var s string
				if word.read(d, x, &s); s == "" {
					continue
				}
				if _, ok := out[s]; ok {
					d.failf(x, "%s names %s twice: keep one", v.path, x.show())
				}
				out[s] = 1
			}
		default:
			d.failf(v, "%s is %s: write a mapping such as {coding: 0.9}, or a list such as [coding]", v.path, v.what())
			return
		}
		*dst = out
	}}
}

// Substitute returns target with its "*" replaced by star, what the pattern
// that it belongs to has matched.
func Substitute(target, star string) string { return strings.Replace(target, "*", star, 1) }
