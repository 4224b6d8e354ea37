package anthropic

import (
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// minBudget is the least budget_tokens that Anthropic takes.
const minBudget = 1024

// reasoningField names what is lost with the thinking.
const reasoningField = "reasoning_effort"

// think writes how much the model should think. Where thinking excludes what
// else was asked for, it is the thinking that goes.
func (w *writer) think() {
	r := w.chat.Reasoning
	switch {
	case r.Effort == "none":
		w.quiet()
	case !r.On():
	case w.can&(Budget|Adaptive) == 0:
		w.call.Lose(reasoningField)
	case w.can&Sampling != 0 && w.samples():
		w.call.Lose(reasoningField)
	case w.can&Adaptive != 0 && (r.Budget <= 0 || w.can&Budget == 0):
		w.adapt()
	default:
		w.spend()
	}
}

// samples reports whether the sampling excludes thinking: temperature must be
// 1, top_p 0.95 or more, and top_k absent (Anthropic's page on extended
// thinking).
func (w *writer) samples() bool {
	c := w.chat
	return c.Temperature != nil && *c.Temperature != 1 || c.TopP != nil && *c.TopP < 0.95 || c.TopK != nil
}

// quiet asks for no thinking.
func (w *writer) quiet() {
	switch {
	case w.can&Between != 0:
		w.body.Thinking = &thinking{Type: "between_tools"}
		w.call.Lose(reasoningField)
	case w.can&Always != 0:
		w.body.Thinking = &thinking{Type: "adaptive"}
		w.effort("low")
		w.call.Lose(reasoningField)
	case w.can&Thinks != 0:
		w.body.Thinking = &thinking{Type: "disabled"}
	}
}

// adapt lets the model decide, led by the effort.
func (w *writer) adapt() {
	r := w.chat.Reasoning
	level := r.Effort
	if level == "" && r.Budget > 0 {
		level = wire.Effort(r.Budget)
	}
	w.body.Thinking = &thinking{Type: "adaptive"}
	if r.Summary != "" && w.can&Hides != 0 {
		w.body.Thinking.Display = "summarized"
	}
	w.effort(w.level(level))
}

// level is the word for an effort that the model knows: the nearest below.
func (w *writer) level(effort string) string {
	switch {
	case effort == "minimal":
		return "low"
	case effort == "xhigh" && w.can&XHigh == 0:
		return "high"
	}
	return effort
}

func (w *writer) effort(level string) {
	if level == "" {
		return
	}
	if w.body.OutputConfig == nil {
		w.body.OutputConfig = &outputConfig{}
	}
	w.body.OutputConfig.Effort = level
}

// spend gives the model a budget of tokens to think with, less than
// max_tokens. A budget that was asked for is kept as far as it can be; of an
// effort's, a quarter of max_tokens is left for the answer.
func (w *writer) spend() {
	r := w.chat.Reasoning
	if w.forced() || !w.sealed() {
		w.call.Lose(reasoningField)
		return
	}
	most := w.body.MaxTokens - 1
	n := r.Budget
	if n <= 0 {
		if n = wire.Budget(r.Effort); n == 0 {
			n = wire.Budget("medium")
		}
		most = w.body.MaxTokens - w.body.MaxTokens/4
		if w.chat.MaxOutput == 0 && w.target.MaxOutput == 0 { // nobody bounds the answer but us
			w.body.MaxTokens += n
			most = n
		}
	}
	if n = min(max(n, minBudget), most); n < minBudget {
		w.call.Lose(reasoningField)
		return
	}
	w.body.Thinking = &thinking{Type: "enabled", BudgetTokens: n}
	if r.Budget > 0 && r.Effort != "" && w.can&Adaptive != 0 {
		w.effort(w.level(r.Effort))
	}
}

// forced reports whether a tool must be called, which excludes a budget to
// think with. Adaptive thinking goes with it.
func (w *writer) forced() bool {
	t := w.body.ToolChoice
	return t != nil && (t.Type == "any" || t.Type == "tool")
}

// sealed reports whether the turn that the last tool results answer begins
// with thinking of this vendor's, which a budget to think with demands.
func (w *writer) sealed() bool {
	turns := w.body.Messages
	if n := len(turns); n > 0 && turns[n-1].Role == "user" {
		turns = turns[:n-1]
	}
	if len(turns) == 0 {
		return true
	}
	last := turns[len(turns)-1]
	calls := false
	for i := range last.Content {
		calls = calls || last.Content[i].Type == "tool_use"
	}
	if last.Role != "assistant" || !calls && len(turns) < len(w.body.Messages) {
		return true
	}
	first := last.Content[0].Type
	return first == "thinking" || first == "redacted_thinking"
}

// ownSeal reports whether the block's proof is this vendor's.
func ownSeal(b *llm.Block) bool { return b.Seal.Maker == llm.ProtoAnthropic && b.Seal.Data != "" }
