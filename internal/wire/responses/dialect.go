package responses

import "strings"

// dialect is what vendors of the protocol do otherwise than its owner.
type dialect struct {
	custom  bool // custom tools
	allowed bool // tool_choice may be a list of tools
	probs   bool // log probabilities
	// bare: thinking goes back as plain text; it has no seal.
	bare bool
}

// dialectOf returns the dialect of a vendor. Those that run OpenAI's models
// speak as OpenAI does; the others took over functions only (recordings of
// 2026 of xAI, DeepSeek, LM Studio, llama.cpp, mistral.rs).
func dialectOf(vendor string) dialect {
	switch vendor {
	case "", "openai", "azure", "copilot", "chatgpt", "github", "openrouter", "bedrock-mantle", "bedrock":
		return dialect{custom: true, allowed: true, probs: true}
	case "deepseek", "lmstudio", "llamacpp", "vllm":
		return dialect{bare: true}
	}
	return dialect{}
}

// thought says whether a model of OpenAI's thinks before it answers.
type thought uint8

const (
	unknown thought = iota
	never
	always
)

// thinks tells from the name of a model whether it thinks; unknown for models
// that are not OpenAI's. Models that do not refuse to be asked for encrypted
// thinking and for an effort, those that do refuse temperature and top_p
// (OpenAI's reasoning guide, 2026-11).
func thinks(model string) thought {
	m := base(model)
	switch {
	case strings.HasPrefix(m, "gpt-5") && strings.Contains(m, "-chat"):
		return never
	case strings.HasPrefix(m, "gpt-5"), strings.HasPrefix(m, "codex-"), oSeries(m):
		return always
	case strings.HasPrefix(m, "gpt-4"), strings.HasPrefix(m, "gpt-3.5"), strings.HasPrefix(m, "chatgpt-4o"):
		return never
	}
	return unknown
}

// base is a model's name without the vendor before it.
func base(model string) string {
	m := model[strings.LastIndexByte(model, '/')+1:]
	return strings.TrimPrefix(m, "openai.")
}

func oSeries(m string) bool {
	return len(m) > 1 && m[0] == 'o' && m[1] >= '1' && m[1] <= '9' && (len(m) == 2 || m[2] == '-')
}

// fit returns the nearest effort that a model takes. Only what is known to be
// refused is changed: the o series knows low to high, the first GPT-5 minimal
// to high, GPT-5.1 none and low to high (OpenAI's reasoning guide, 2026-11).
func fit(model, effort string) string {
	m := base(model)
	first := m == "gpt-5" || strings.HasPrefix(m, "gpt-5-")
	one := m == "gpt-5.1" || strings.HasPrefix(m, "gpt-5.1-")
	later := strings.HasPrefix(m, "gpt-5.") && !one
	switch effort {
	case "none":
		switch {
		case oSeries(m):
			return "low"
		case first && strings.Contains(m, "codex"):
			return "low"
		case first:
			return "minimal"
		}
	case "minimal":
		if oSeries(m) || one || later || strings.Contains(m, "codex") {
			return "low"
		}
	case "xhigh", "max":
		if oSeries(m) || first || one && !strings.Contains(m, "codex-max") {
			return "high"
		}
	}
	return effort
}
