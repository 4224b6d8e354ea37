package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// genaiUnits are its names of prices, in USD per million tokens or thousand
// pieces.
var genaiUnits = map[string]llm.Unit{
	"input_mtok": llm.UnitInput, "output_mtok": llm.UnitOutput, "cache_read_mtok": llm.UnitCachedRead, "cache_write_mtok": llm.UnitCacheWrite,
	"cache_write_1h_mtok": llm.UnitCacheWrite1h, "input_audio_mtok": llm.UnitAudioInput, "output_audio_mtok": llm.UnitAudioOutput,
	"cache_audio_read_mtok": llm.UnitCachedAudio, "input_image_mtok": llm.UnitImageInput, "cache_image_read_mtok": llm.UnitCachedImage,
	"output_image_mtok": llm.UnitImageOutput, "input_video_mtok": llm.UnitVideoInput, "output_video_mtok": llm.UnitVideoOutput,
	"output_reasoning_mtok": llm.UnitReasoning, "output_citation_mtok": llm.UnitCitation,
	"web_searches_kcount": llm.UnitSearch, "requests_kcount": llm.UnitRequest,
}

// genaiPrice is a number, or an object with the steps by prompt size.
type genaiPrice struct {
	Base  float64
	Tiers []struct{ Start, Price float64 }
}

func (p *genaiPrice) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type plain genaiPrice
		return json.Unmarshal(b, (*plain)(p))
	}
	return json.Unmarshal(b, &p.Base)
}

// genaiPrices are prices with the time that they hold for.
type genaiPrices []struct {
	Prices     map[string]genaiPrice
	Constraint *struct {
		StartDate string `json:"start_date"`
		StartTime string `json:"start_time"`
		EndTime   string `json:"end_time"`
	}
}

func (p *genaiPrices) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		*p = make(genaiPrices, 1)
		return json.Unmarshal(b, &(*p)[0].Prices)
	}
	type plain genaiPrices
	return json.Unmarshal(b, (*plain)(p))
}

// clause says which ids a model's price is for. It has one member.
type clause struct {
	Or         []clause
	And        []clause
	Equals     string
	StartsWith string `json:"starts_with"`
	EndsWith   string `json:"ends_with"`
	Contains   string
	Regex      string
	regex      *regexp.Regexp
}

func (c *clause) UnmarshalJSON(b []byte) (err error) {
	type plain clause
	if err = json.Unmarshal(b, (*plain)(c)); err == nil && c.Regex != "" {
		c.regex, err = regexp.Compile(c.Regex)
	}
	return err
}

// globs are the ids and patterns of the clause. Regular expressions are left
// out: they tell dated ids, which the catalog finds by itself.
func (c clause) globs() []string {
	var out []string
	for _, x := range c.Or {
		out = append(out, x.globs()...)
	}
	switch {
	case c.Equals != "":
		out = append(out, strings.ToLower(c.Equals))
	case c.StartsWith != "":
		out = append(out, strings.ToLower(c.StartsWith)+"*")
	case c.EndsWith != "":
		out = append(out, "*"+strings.ToLower(c.EndsWith))
	case c.Contains != "":
		out = append(out, "*"+strings.ToLower(c.Contains)+"*")
	}
	return out
}

// match reports whether the clause is for id.
func (c clause) match(id string) bool {
	has := func(s string, f func(string, string) bool) bool { return s != "" && f(id, strings.ToLower(s)) }
	return slices.ContainsFunc(c.Or, func(x clause) bool { return x.match(id) }) ||
		len(c.And) > 0 && !slices.ContainsFunc(c.And, func(x clause) bool { return !x.match(id) }) ||
		c.Equals != "" && id == strings.ToLower(c.Equals) ||
		c.regex != nil && c.regex.MatchString(id) ||
		has(c.StartsWith, strings.HasPrefix) || has(c.EndsWith, strings.HasSuffix) || has(c.Contains, strings.Contains)
}

func readGenai(path string) (*source, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file []struct {
		ID     string
		Models []struct {
			ID      string
			Match   clause
			Context int `json:"context_window"`
			Prices  genaiPrices
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	s := &source{entries: map[string]map[string]*entry{}, names: map[string][]name{}}
	for _, v := range file {
		for _, ours := range vendors {
			via, router := strings.CutPrefix(v.ID, "huggingface_")
			router = router && ours.name == "huggingface"
			if !router && !slices.Contains(ours.genai, v.ID) {
				continue
			}
			for _, m := range v.Models {
				id := strings.ToLower(m.ID)
				if ours.name == "gemini" && strings.Contains(id, "claude") {
					continue
				}
				e := &entry{context: m.Context}
				for _, p := range m.Prices {
					when, err := genaiScope(p.Constraint)
					if err != nil {
						return nil, fmt.Errorf("%s/%s: %w", v.ID, m.ID, err)
					}
					e.prices = append(e.prices, genaiSections(when, p.Prices)...)
				}
				if router { // its router takes the provider after the model
					id += ":" + via
					m.Match = clause{Equals: id}
				}
				s.add(ours.name, id, e)
				s.names[ours.name] = append(s.names[ours.name], name{m.Match, id})
			}
		}
	}
	return s, nil
}

func genaiScope(c *struct {
	StartDate string `json:"start_date"`
	StartTime string `json:"start_time"`
	EndTime   string `json:"end_time"`
}) (string, error) {
	switch {
	case c == nil:
		return "", nil
	case c.StartDate != "" && c.StartTime == "":
		return "since=" + c.StartDate, nil
	case c.StartDate == "" && len(c.StartTime) >= 5 && len(c.EndTime) >= 5 && strings.HasSuffix(c.EndTime, "Z"):
		return "daily=" + c.StartTime[:5] + "-" + c.EndTime[:5], nil
	}
	return "", fmt.Errorf("a constraint that is not known: %+v", *c)
}

// genaiSections are the prices of short prompts, then those of longer ones.
func genaiSections(when string, prices map[string]genaiPrice) []section {
	starts := map[float64]bool{0: true}
	for _, p := range prices {
		for _, t := range p.Tiers {
			starts[t.Start] = true
		}
	}
	var out []section
	for start := range starts {
		sec := section{when: when, above: int(start), rates: map[llm.Unit]float64{}}
		for k, p := range prices {
			u, ok := genaiUnits[k]
			if !ok {
				continue
			}
			usd := p.Base
			for _, t := range p.Tiers {
				if t.Start <= start {
					usd = t.Price
				}
			}
			sec.rates[u] = usd
		}
		if len(sec.rates) == 0 { // how free models are written
			sec.rates = map[llm.Unit]float64{llm.UnitInput: 0, llm.UnitOutput: 0}
		}
		out = append(out, sec)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].above < out[j].above })
	return out
}
