package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/llm"
)

// cents is a price in US cents per token or piece.
type cents struct{ Price float64 }

type portkeyRates struct {
	Input       cents `json:"request_token"`
	Output      cents `json:"response_token"`
	CachedRead  cents `json:"cache_read_input_token"`
	CacheWrite  cents `json:"cache_write_input_token"`
	AudioInput  cents `json:"request_audio_token"`
	AudioOutput cents `json:"response_audio_token"`
	CachedAudio cents `json:"cache_read_audio_input_token"`
	ImageInput  cents `json:"request_image_token"`
	CachedImage cents `json:"cache_read_image_input_token"`
	ImageOutput cents `json:"response_image_token"`
	Reasoning   cents `json:"reasoning_token"`
	Image       map[string]map[string]cents
	More        struct {
		CacheWrite1h cents `json:"cache_write_1h"`
		WebSearch    cents `json:"web_search"`
		Search       cents
		Low          cents `json:"web_search_low_context"`
		Medium       cents `json:"web_search_medium_context"`
		High         cents `json:"web_search_high_context"`
	} `json:"additional_units"`
}

// rates in USD per million tokens or thousand pieces. 0 is a price that is
// not known.
func (p portkeyRates) rates() map[llm.Unit]float64 {
	out := map[llm.Unit]float64{}
	for u, c := range map[llm.Unit]cents{llm.UnitInput: p.Input, llm.UnitOutput: p.Output, llm.UnitCachedRead: p.CachedRead,
		llm.UnitCacheWrite: p.CacheWrite, llm.UnitCacheWrite1h: p.More.CacheWrite1h, llm.UnitAudioInput: p.AudioInput,
		llm.UnitAudioOutput: p.AudioOutput, llm.UnitCachedAudio: p.CachedAudio, llm.UnitImageInput: p.ImageInput,
		llm.UnitCachedImage: p.CachedImage, llm.UnitImageOutput: p.ImageOutput, llm.UnitReasoning: p.Reasoning} {
		if c.Price > 0 {
			out[u] = c.Price * 1e4
		}
	}
	if c := max(p.More.WebSearch.Price, p.More.Search.Price); c > 0 {
		out[llm.UnitSearch] = c * 10
	}
	for u, c := range map[llm.Unit]cents{llm.UnitRequestLow: p.More.Low, llm.UnitRequestMedium: p.More.Medium, llm.UnitRequestHigh: p.More.High} {
		if c.Price > 0 {
			out[u] = c.Price * 10
		}
	}
	if c := p.Image["default"]["default"].Price; c > 0 {
		out[llm.UnitImage] = c * 10
	}
	for u, usd := range out {
		if usd > 0 && (!u.PerThousand() || u == llm.UnitImage) && u != llm.UnitCacheWrite1h {
			return over(map[llm.Unit]float64{llm.UnitInput: 0, llm.UnitOutput: 0}, out)
		}
	}
	return nil
}

type portkeyConfig struct {
	Config struct {
		Pay   portkeyRates `json:"pay_as_you_go"`
		Batch portkeyRates `json:"batch_config"`
	} `json:"pricing_config"`
}

type portkeyModel struct {
	portkeyConfig
	Custom struct {
		Steps   map[string]string `json:"context_tier_map"` // tokens of the prompt → name
		Regions map[string]struct {
			Modes map[string]struct {
				portkeyConfig
				Steps map[string]portkeyConfig `json:"context_tiers"`
			} `json:"execution_modes"`
		}
	} `json:"custom_pricing"`
}

// sections are the prices of a model: the standard one, then tiers, each with
// its steps by prompt size.
func (m portkeyModel) sections() []section {
	base := m.Config.Pay.rates()
	if base == nil {
		return nil
	}
	out := []section{{rates: base}}
	modes := m.Custom.Regions["default"].Modes
	for _, tier := range []llm.Tier{llm.TierStandard, llm.TierFlex, llm.TierPriority, llm.TierBatch} {
		mode := modes[tier.String()]
		if tier != llm.TierStandard {
			rates := mode.Config.Pay.rates()
			for tokens, step := range m.Custom.Steps {
				if s := mode.Steps[step].Config.Pay.rates(); tokens == "0" && s != nil {
					rates = s
				}
			}
			if tier == llm.TierBatch && rates == nil {
				rates = m.Config.Batch.rates()
			}
			if rates == nil {
				continue
			}
			out = append(out, section{tier: tier, rates: rates})
		}
		var steps []section
		for tokens, step := range m.Custom.Steps {
			n, err := strconv.Atoi(tokens)
			if s := mode.Steps[step].Config.Pay.rates(); err == nil && n > 0 && s != nil {
				steps = append(steps, section{tier: tier, above: n, rates: s})
			}
		}
		slices.SortFunc(steps, func(a, b section) int { return a.above - b.above })
		out = append(out, steps...)
	}
	return out
}

// searched takes what a reranker's prompt costs for the price of a search where
// no tokens are that dear: the source has one member for both.
func searched(id string, prices []section) []section {
	if !strings.Contains(strings.ToLower(id), "rank") {
		return prices
	}
	for _, s := range prices {
		if usd := s.rates[llm.UnitInput]; usd >= 100 { // a million tokens of rerankers cost up to 0.05
			s.rates[llm.UnitInput], s.rates[llm.UnitSearch] = 0, usd/1000
		}
	}
	return prices
}

type portkeyFacts struct {
	Params []struct {
		Key string
		Max json.RawMessage `json:"maxValue"`
	}
	Type struct {
		Primary   string
		Supported []string
	}
}

var portkeyKinds = map[string]string{"text": "completion", "embedding": "embedding", "rerank": "rerank", "image": "image", "image_generation": "image",
	"audio": "audio", "video": "video", "moderation": "moderation", "ocr": "ocr"}

var portkeyAbilities = map[string]catalog.Ability{"tools": catalog.Tools, "image": catalog.ImageInput, "vision": catalog.ImageInput,
	"pdf": catalog.DocumentInput, "doc": catalog.DocumentInput, "audio": catalog.AudioInput, "video": catalog.VideoInput, "image_generation": catalog.ImageOutput}

func (f portkeyFacts) entry() *entry {
	e := &entry{kind: portkeyKinds[f.Type.Primary]}
	for _, p := range f.Params {
		if p.Key == "max_tokens" || p.Key == "max_completion_tokens" {
			n, _ := strconv.Atoi(string(p.Max))
			e.output = max(e.output, n)
		}
	}
	for _, s := range f.Type.Supported {
		e.can |= portkeyAbilities[s]
	}
	return e
}

func readPortkey(dir string) (*source, error) {
	s := &source{entries: map[string]map[string]*entry{}}
	for _, ours := range vendors {
		for _, theirs := range ours.portkey {
			var file map[string]portkeyModel
			if err := readJSON(filepath.Join(dir, "pricing", theirs+".json"), &file); err != nil {
				return nil, err
			}
			for id, m := range file {
				if !portkeyID(id) {
					continue
				}
				s.add(ours.name, strings.ToLower(id), &entry{prices: searched(id, m.sections())})
			}
		}
		for _, theirs := range ours.general {
			var file map[string]json.RawMessage
			if err := readJSON(filepath.Join(dir, "general", theirs+".json"), &file); err != nil {
				return nil, err
			}
			for _, id := range slices.Sorted(maps.Keys(file)) {
				var f portkeyFacts
				if !portkeyID(id) || json.Unmarshal(file[id], &f) != nil {
					continue
				}
				s.add(ours.name, strings.ToLower(id), f.entry())
			}
		}
	}
	return s, nil
}

var size = regexp.MustCompile(`^[0-9.]+b$`)

// portkeyID reports whether an entry is a model: not a default, a size class
// or a price step.
func portkeyID(id string) bool {
	return id != "default" && id != "name" && id != "description" && !size.MatchString(id) && !strings.HasSuffix(id, "-gt-128k") && !strings.HasSuffix(id, "-lte-128k")
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
