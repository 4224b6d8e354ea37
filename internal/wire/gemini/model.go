package gemini

import (
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// model is what the protocol must know of a model, by its name.
type model struct {
	three    bool // Gemini 3 and later: signatures are checked, tools and formats go together
	thinking thinkingForm
	low      int64 // bounds of a budget that is not 0
	high     int64
	off      bool // a budget of 0 turns thinking off
	levels   string
}

type thinkingForm uint8

const (
	noThinking thinkingForm = iota
	byBudget
	byLevel
)

// thinkers are the forms of thinkingConfig by the beginning of a model's
// name, first match: ai.google.dev/gemini-api/docs/thinking and
// docs/gemini-3, November 2025, and the levels that later models are
// documented with. What begins otherwise does not think.
var thinkers = []struct {
	prefix string
	m      model
}{
	{"gemini-1", model{}},
	{"gemini-2.0", model{}},
	{"gemini-2.5-flash-image", model{}},
	{"gemini-2.5-flash-lite", model{thinking: byBudget, low: 512, high: 24576, off: true}},
	{"gemini-2.5-flash", model{thinking: byBudget, low: 1, high: 24576, off: true}},
	{"gemini-2.5-pro", model{thinking: byBudget, low: 128, high: 32768}},
	{"gemini-robotics", model{thinking: byBudget, low: 1, high: 24576, off: true}},
	{"gemini-3-pro-image", model{three: true}},
	{"gemini-3-pro", model{three: true, thinking: byLevel, levels: "low high"}},
	// An alias may stand for any generation from 2.5 on; budgets are taken by
	// all of them, signatures too.
	{"gemini-pro-latest", model{three: true, thinking: byBudget, low: 128, high: 24576}},
	{"gemini-flash-lite-latest", model{three: true, thinking: byBudget, low: 512, high: 24576, off: true}},
	{"gemini-flash-latest", model{three: true, thinking: byBudget, low: 1, high: 24576, off: true}},
}

// modelOf returns what is known of the model called name.
func modelOf(name string) model {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	if strings.Contains(name, "-tts") {
		return model{}
	}
	for _, t := range thinkers {
		if strings.HasPrefix(name, t.prefix) {
			return t.m
		}
	}
	rest, ok := strings.CutPrefix(name, "gemini-")
	digits, _, _ := strings.Cut(strings.SplitN(rest, "-", 2)[0], ".")
	if n, err := strconv.Atoi(digits); !ok || err != nil || n < 3 {
		return model{}
	}
	if strings.Contains(name, "-pro") {
		return model{three: true, thinking: byLevel, levels: "low medium high"}
	}
	return model{three: true, thinking: byLevel, levels: "minimal low medium high"}
}

// Prefix reports whether a model goes on with an answer: a conversation that
// ends with the model's turn. Of Gemini 3 and later that is not known.
func Prefix(t wire.Target) bool { return !modelOf(t.Model).three }

// config returns the thinkingConfig for what was asked, nil for none. maxOut
// bounds answer and thinking together, 0 for no bound.
func (m *model) config(r llm.Reasoning, maxOut int64, out *wire.Call) *thinkingConfig {
	if r.Effort == "" && r.Budget == 0 && r.Summary == "" {
		return nil
	}
	if m.thinking == noThinking {
		if r.On() {
			out.Lose("reasoning_effort")
		}
		return nil
	}
	t := &thinkingConfig{IncludeThoughts: r.Summary != "" && r.Effort != "none"}
	if m.thinking == byLevel {
		t.ThinkingLevel = word(strings.ToUpper(m.level(r, out)))
		return t
	}
	budget := r.Budget
	if budget == 0 {
		budget = wire.Budget(r.Effort)
		if maxOut > 0 && budget >= maxOut {
			budget = maxOut - 1
		}
	}
	switch {
	case r.Effort == "none" && m.off:
		budget = 0
	case r.Effort == "none":
		budget = m.low
		out.Lose("reasoning_effort") // it cannot be turned off
	case budget > 0:
		budget = min(max(budget, m.low), m.high)
	case budget == 0:
		return t // only the summary was asked for
	}
	t.ThinkingBudget = (*number)(&budget)
	return t
}

// level is the thinkingLevel that comes nearest, "" for the model's own.
func (m *model) level(r llm.Reasoning, out *wire.Call) string {
	effort := r.Effort
	if effort == "" {
		if r.Budget <= 0 {
			return ""
		}
		effort = wire.Effort(r.Budget)
	}
	switch effort {
	case "none":
		out.Lose("reasoning_effort") // it cannot be turned off
		effort = "minimal"
	case "xhigh", "max":
		effort = "high"
	}
	switch {
	case strings.Contains(m.levels, effort):
		return effort
	case effort == "medium":
		return "high" // as Google's own OpenAI endpoint does
	}
	return "low"
}
