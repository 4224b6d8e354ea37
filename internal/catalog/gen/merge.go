package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/llm"
)

// entry is what one source says of a vendor's model.
type entry struct {
	prices  []section // the first is the standard one of now
	context int
	output  int
	kind    string // "": chat, or not known
	can     catalog.Ability
	family  string
}

// section is a price with what it is for.
type section struct {
	when  string // since=… or daily=…
	tier  llm.Tier
	above int
	rates map[llm.Unit]float64 // USD per million tokens or thousand pieces
}

// add takes an entry, beside what the source said before of the same model.
func (s *source) add(vendor, id string, e *entry) {
	if strings.ContainsAny(id, " \t\n*|=") || id == "" {
		return
	}
	if s.entries[vendor] == nil {
		s.entries[vendor] = map[string]*entry{}
	}
	if old := s.entries[vendor][id]; old != nil {
		old.fill(e)
		return
	}
	s.entries[vendor][id] = e
}

// fill takes from o what e does not have.
func (e *entry) fill(o *entry) {
	if len(e.prices) == 0 {
		e.prices = o.prices
	}
	e.context, e.output = cmp.Or(e.context, o.context), cmp.Or(e.output, o.output)
	e.kind, e.can, e.family = cmp.Or(e.kind, o.kind), cmp.Or(e.can, o.can), cmp.Or(e.family, o.family)
}

// over returns base with the rates of more.
func over(base, more map[llm.Unit]float64) map[llm.Unit]float64 {
	out := maps.Clone(base)
	maps.Copy(out, more)
	return out
}

// merge returns the rows of all vendors, sorted.
func merge(sources []*source) []string {
	var rows []string
	for _, v := range vendors {
		ids := map[string]bool{}
		for _, s := range sources {
			for id := range s.entries[v.name] {
				ids[id] = true
			}
		}
		for id := range ids {
			rows = append(rows, v.name+" "+id+row(sources, v.name, id))
		}
		for _, s := range sources {
			for _, n := range s.names[v.name] {
				for _, glob := range n.clause.globs() {
					if !ids[glob] {
						ids[glob] = true
						rows = append(rows, v.name+" "+glob+" ="+n.id)
					}
				}
			}
		}
	}
	rows = append(rows, "openrouter *:free source="+sources[0].name+"@"+sources[0].date+" input=0 output=0")
	slices.Sort(rows)
	return rows
}

// named returns the entry that a source has for id, by its id or by the first
// of its rules that matches.
func (s *source) named(vendor, id string) *entry {
	for _, n := range s.names[vendor] {
		if n.clause.match(id) {
			return s.entries[vendor][n.id]
		}
	}
	return s.entries[vendor][id]
}

// makers are the vendors whose prices others have for the same models, where
// a source with rules for names has none of their own.
var makers = map[string][]string{"azure": {"openai", "anthropic"}, "vertex": {"anthropic"}}

// priced is named, with the makers' prices, where there is a price.
func (s *source) priced(vendor, id string) *entry {
	look := []string{vendor}
	if s.names != nil {
		look = append(look, makers[vendor]...)
	}
	for _, v := range look {
		if e := s.named(v, id); e != nil && len(e.prices) > 0 && sane(e.prices[0].rates) {
			return e
		}
	}
	return nil
}

// resold is the maker's price of a model whose id names the maker, where it
// alone makes it: routers pass such prices on.
func (s *source) resold(vendor, id string) *entry {
	by, name, _ := strings.Cut(id, "/")
	maker := map[string]string{"openai": "openai", "anthropic": "anthropic", "google": "gemini", "x-ai": "xai", "xai": "xai"}[by]
	if vendor != "openrouter" && vendor != "vercel" || maker == "" || strings.Contains(name, ":") || strings.Contains(name, "oss") || strings.Contains(name, "gemma") {
		return nil
	}
	return s.priced(maker, name)
}

// row is what follows vendor and id.
func row(sources []*source, vendor, id string) string {
	var all entry
	from := ""
	var priced []section
	firm := false
	for i, e := range []*entry{sources[0].priced(vendor, id), sources[1].priced(vendor, id), sources[0].resold(vendor, id), sources[2].priced(vendor, id), sources[2].resold(vendor, id)} {
		if e == nil {
			continue
		}
		s := sources[[]int{0, 1, 0, 2, 2}[i]]
		if priced == nil || !firm && free(priced[0].rates) && !free(e.prices[0].rates) {
			firm = s.names != nil // it knows free models from those whose price it does not know
			priced, from = e.prices, " source="+s.name+"@"+s.date
		} else {
			priced = enrich(priced, e.prices)
		}
	}
	for _, i := range []int{1, 0, 2} { // models.dev knows most of facts
		if e := sources[i].named(vendor, id); e != nil {
			all.fill(e)
			if from == "" {
				from = " source=" + sources[i].name + "@" + sources[i].date
			}
		}
	}
	sources[1].borrow(&all, vendor, id)
	var b strings.Builder
	for i, s := range priced {
		if i > 0 {
			b.WriteString(" |")
			if s.when != "" {
				b.WriteString(" " + s.when)
			}
			if s.tier != llm.TierStandard {
				b.WriteString(" tier=" + s.tier.String())
			}
			if s.above > 0 {
				b.WriteString(" above=" + strconv.Itoa(s.above))
			}
		} else {
			b.WriteString(facts(&all, id) + from)
		}
		b.WriteString(words(s.rates))
	}
	if len(priced) == 0 {
		b.WriteString(facts(&all, id) + from)
	}
	return b.String()
}

func facts(e *entry, id string) string {
	s := ""
	if e.context > 0 {
		s += " context=" + strconv.Itoa(e.context)
	}
	if k := kind(e.kind, id); e.output > 0 && (e.context == 0 || e.output <= e.context) && k != "embedding" && k != "rerank" {
		s += " max_output=" + strconv.Itoa(e.output)
	}
	if k := kind(e.kind, id); k != "chat" {
		s += " kind=" + k
	}
	if names := e.can.Names(); len(names) > 0 {
		s += " can=" + strings.Join(names, ",")
	}
	if e.family != "" {
		s += " family=" + e.family
	}
	return s
}

// kind corrects what sources say by words that only such models have in
// their names.
func kind(said, id string) string {
	for _, k := range []struct{ word, kind string }{
		{"rerank", "rerank"}, {"embed", "embedding"}, {"moderation", "moderation"}, {"transcribe", "transcription"}, {"whisper", "transcription"},
		{"-tts", "speech"}, {"tts-", "speech"}, {"dall-e", "image"}, {"gpt-image", "image"}, {"imagen-", "image"}, {"veo-", "video"}, {"sora-", "video"},
	} {
		if strings.Contains(id, k.word) {
			return k.kind
		}
	}
	return cmp.Or(said, "chat")
}

// words are a price's, in the order of units.
func words(rates map[llm.Unit]float64) string {
	s := ""
	for _, u := range llm.Units() {
		if usd, ok := rates[u]; ok {
			s += " " + u.String() + "=" + strconv.FormatFloat(math.Round(usd*1e6)/1e6, 'f', -1, 64)
		}
	}
	return s
}

func free(rates map[llm.Unit]float64) bool {
	for _, usd := range rates {
		if usd > 0 {
			return false
		}
	}
	return true
}

// sane reports whether a price can be meant: below 1,000 USD per million
// tokens (what is dearer is a price per page or picture), and a cache no
// dearer than the prompt.
func sane(rates map[llm.Unit]float64) bool {
	in := rates[llm.UnitInput]
	return in >= 0 && in <= 1e3 && rates[llm.UnitOutput] >= 0 && rates[llm.UnitOutput] <= 1e3 && (in == 0 || rates[llm.UnitCachedRead] <= in)
}

// tiersOf returns those of other's tiers that the prices of one time lack. What
// other does not tell of a tier, units or long prompts, is the standard price
// by the proportion of the tier's; pieces are as they are.
func tiersOf(group, other []section, when string) []section {
	var out []section
	for _, tier := range []llm.Tier{llm.TierFlex, llm.TierPriority, llm.TierBatch} {
		base := slices.IndexFunc(other, func(s section) bool { return s.tier == tier && s.above == 0 && s.when == "" })
		if base < 0 || slices.ContainsFunc(group, func(s section) bool { return s.tier == tier }) {
			continue
		}
		share := 1.0
		for _, u := range []llm.Unit{llm.UnitOutput, llm.UnitInput} {
			if usd := group[0].rates[u]; usd > 0 {
				share = other[base].rates[u] / usd
			}
		}
		for _, std := range group {
			if std.tier != llm.TierStandard || std.above > 0 && tier == llm.TierPriority {
				continue // no vendor says that it hurries long prompts
			}
			s := section{when: when, tier: tier, above: std.above, rates: map[llm.Unit]float64{}}
			for u, usd := range std.rates {
				if s.rates[u] = usd; !u.PerThousand() {
					s.rates[u] = usd * share
				}
			}
			if i := slices.IndexFunc(other, func(o section) bool { return o.tier == tier && o.above == std.above && o.when == "" }); i >= 0 {
				s.rates = over(s.rates, other[i].rates)
			}
			out = append(out, s)
		}
	}
	return out
}

// enrich adds to a model's prices what another source knows beside them, where
// the two agree on input and output: tiers, searches, writes for an hour.
func enrich(priced, other []section) []section {
	same := func(a, b section) bool {
		return near(a.rates[llm.UnitInput], b.rates[llm.UnitInput]) && near(a.rates[llm.UnitOutput], b.rates[llm.UnitOutput])
	}
	var out []section
	for i := 0; i < len(priced); {
		when := priced[i].when
		var group []section // the prices of one time
		for ; i < len(priced) && priced[i].when == when; i++ {
			group = append(group, priced[i])
		}
		if same(group[0], other[0]) {
			for j := range group {
				rates := maps.Clone(group[j].rates)
				for _, u := range []llm.Unit{llm.UnitSearch, llm.UnitRequestLow, llm.UnitRequestMedium, llm.UnitRequestHigh, llm.UnitCacheWrite1h} {
					usd, ok := other[0].rates[u]
					if _, has := rates[u]; ok && !has && (u.PerThousand() || group[j].above == 0 && near(rates[llm.UnitCacheWrite], other[0].rates[llm.UnitCacheWrite])) {
						rates[u] = usd
					}
				}
				group[j].rates = rates
			}
			group = append(group, tiersOf(group, other, when)...)
		}
		out = append(out, group...)
	}
	return out
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
