package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/llm"
)

// devCost is in USD per million tokens; 0 for a cache means that there is no
// price of its own.
type devCost struct {
	Input       *float64
	Output      *float64
	CacheRead   float64 `json:"cache_read"`
	CacheWrite  float64 `json:"cache_write"`
	Reasoning   float64
	InputAudio  float64 `json:"input_audio"`
	OutputAudio float64 `json:"output_audio"`
}

func (c devCost) rates() map[llm.Unit]float64 {
	out := map[llm.Unit]float64{}
	if c.Input != nil {
		out[llm.UnitInput] = *c.Input
	}
	if c.Output != nil {
		out[llm.UnitOutput] = *c.Output
	}
	for u, usd := range map[llm.Unit]float64{llm.UnitCachedRead: c.CacheRead, llm.UnitCacheWrite: c.CacheWrite, llm.UnitReasoning: c.Reasoning,
		llm.UnitAudioInput: c.InputAudio, llm.UnitAudioOutput: c.OutputAudio} {
		if usd > 0 {
			out[u] = usd
		}
	}
	return out
}

type devModel struct {
	Family     string
	Reasoning  bool
	ToolCall   bool `json:"tool_call"`
	Structured bool `json:"structured_output"`
	Limit      struct{ Context, Output int }
	Modalities struct{ Input, Output []string }
	Cost       *struct {
		devCost
		Tiers []struct {
			devCost
			Tier struct {
				Type string
				Size int
			}
		}
	}
	Experimental struct {
		Modes map[string]struct {
			Cost     *devCost
			Provider struct {
				Body struct {
					ServiceTier string `json:"service_tier"`
				}
			}
		}
	}
}

func readModelsDev(path string) (*source, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, err
	}
	s := &source{entries: map[string]map[string]*entry{}, alike: map[string][]*entry{}}
	for _, theirs := range slices.Sorted(maps.Keys(file)) {
		var vendor struct{ Models map[string]devModel }
		if json.Unmarshal(file[theirs], &vendor) != nil {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(vendor.Models)) {
			e := vendor.Models[id].entry()
			s.alike[bare(id)] = append(s.alike[bare(id)], e)
			if e.family != "" && !slices.Contains(s.families, e.family) {
				s.families = append(s.families, e.family)
			}
		}
	}
	for _, ours := range vendors {
		for _, theirs := range ours.dev {
			var vendor struct{ Models map[string]devModel }
			if err := json.Unmarshal(file[theirs], &vendor); err != nil {
				return nil, err
			}
			for id, m := range vendor.Models {
				s.add(ours.name, strings.ToLower(id), m.entry())
			}
		}
	}
	return s, nil
}

func (m devModel) entry() *entry {
	e := &entry{context: m.Limit.Context, output: m.Limit.Output, family: strings.ReplaceAll(m.Family, " ", "-"), kind: devKind(m)}
	for ability, has := range map[catalog.Ability]bool{
		catalog.Tools: m.ToolCall, catalog.Structured: m.Structured, catalog.Reasoning: m.Reasoning,
		catalog.ImageInput: slices.Contains(m.Modalities.Input, "image"), catalog.AudioInput: slices.Contains(m.Modalities.Input, "audio"),
		catalog.VideoInput: slices.Contains(m.Modalities.Input, "video"), catalog.DocumentInput: slices.Contains(m.Modalities.Input, "pdf"),
		catalog.ImageOutput: slices.Contains(m.Modalities.Output, "image"), catalog.AudioOutput: slices.Contains(m.Modalities.Output, "audio"),
	} {
		if has {
			e.can |= ability
		}
	}
	if m.Cost == nil || m.Cost.Input == nil || m.Cost.Output == nil {
		return e
	}
	base := m.Cost.rates()
	e.prices = []section{{rates: base}}
	for _, t := range m.Cost.Tiers {
		if t.Tier.Type != "" && t.Tier.Type != "context" || t.Tier.Size <= 0 {
			continue
		}
		e.prices = append(e.prices, section{above: t.Tier.Size, rates: over(base, t.rates())})
	}
	slices.SortStableFunc(e.prices, func(a, b section) int { return a.above - b.above })
	for _, mode := range m.Experimental.Modes {
		if tier := llm.ParseTier(mode.Provider.Body.ServiceTier); tier != llm.TierStandard && mode.Cost != nil {
			e.prices = append(e.prices, section{tier: tier, rates: over(base, mode.Cost.rates())})
		}
	}
	return e
}

// devKind tells what a model is for by what it takes and gives.
func devKind(m devModel) string {
	switch {
	case m.Family == "text-embedding" || strings.HasSuffix(m.Family, "-embed") || strings.Contains(m.Family, "embedding"):
		return "embedding"
	case strings.Contains(m.Family, "rerank"):
		return "rerank"
	case slices.Contains(m.Modalities.Output, "text") || len(m.Modalities.Output) == 0:
		return "chat"
	case slices.Contains(m.Modalities.Output, "image"):
		return "image"
	case slices.Contains(m.Modalities.Output, "video"):
		return "video"
	case slices.Contains(m.Modalities.Output, "audio"):
		return "speech"
	}
	return "chat"
}
