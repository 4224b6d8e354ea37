package openai

import (
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// takes are what a vendor takes beyond what all do.
type takes uint32

const (
	takesTopK takes = 1 << iota
	takesSeed
	takesPenalties
	takesUser
	takesMetadata
	takesTier
	takesCacheKey
	takesCache // cache_control on parts, as OpenRouter has it
	takesVerbosity
	takesStore
	takesParallel // parallel_tool_calls
	takesCustom   // custom tools and allowed_tools
	takesSchema   // response_format json_schema
	takesJSON     // response_format json_object
	takesFiles    // file parts with data
	takesAudio    // input_audio parts
	takesRefusal  // refusal in messages
	takesDetails  // reasoning_details in messages
	takesContent  // reasoning_content in messages of the turn that goes on
	takesGoogle   // extra_content.google in tool calls
	takesForm     // no schema, but a function that must be called stands for one
	takesCalm     // tools can be forced only while the model does not think
	takesLogProbs // logprobs and top_logprobs as OpenAI has them
	takesNoUsage  // stream_options must not be sent
	takesMaxCompletion
)

// usual is what most servers that follow OpenAI take, or skip without harm.
const usual = takesSeed | takesPenalties | takesUser | takesParallel | takesSchema | takesJSON

// dialect is how a vendor of this protocol wants to be asked.
type dialect struct {
	takes takes
	// reason appends the members that ask for thinking, or loses the field.
	reason func(b []byte, call *wire.Call, r llm.Reasoning, model string) []byte
	// search appends the members that let the vendor search the web; nil: it
	// cannot be told.
	search func(b []byte) []byte
	// searchTool is the element of tools that does so, "" for none.
	searchTool string
	// warmest is the highest temperature, 0 for 2.
	warmest float64
	// calls is how long a call's id may be; exact: it is that long, and of
	// letters and digits only.
	calls int
	exact bool
	// prefix is how the vendor is told to go on with the last message.
	prefix prefixForm
}

// prefixForm is how a vendor is told that the last message is the beginning of
// its answer.
type prefixForm uint8

const (
	prefixNone    prefixForm = iota // it cannot be told
	prefixBare                      // by nothing: it does
	prefixMark                      // "prefix": true in the message
	prefixPartial                   // "partial": true in the message
	prefixFinal                     // continue_final_message in the body
)

// Prefix reports whether a model can go on with an answer. Sources: DeepSeek's
// page on chat prefix completion, Mistral's on prefixes, Moonshot's on partial
// mode, the chat APIs of vLLM and SGLang, the README of llama.cpp's server.
func Prefix(t wire.Target) bool {
	return dialectOf(t.Dialect).prefix != prefixNone && !strings.Contains(t.Model, "reasoner") && !strings.Contains(t.Model, "thinking")
}

// dialects are the rows that differ from `other`, by the vendors' names. From
// the vendors' documentation, by general knowledge, and their recorded answers
// to fields they do not know.
var dialects = map[string]dialect{
	"":       {takes: openaiTakes, reason: effortAs(anyEffort), search: searchOptions, calls: 40},
	"openai": {takes: openaiTakes, reason: effortAs(anyEffort), search: searchOptions, calls: 40},
	"azure":  {takes: openaiTakes &^ takesTier, reason: effortAs(anyEffort), calls: 40},
	"github": {takes: takesLogProbs | usual&^takesUser, reason: effortAs(threeEfforts), calls: 40},
	"openrouter": {takes: takesLogProbs | usual | takesTopK | takesCache | takesFiles | takesAudio | takesDetails | takesVerbosity | takesNoUsage,
		reason: reasoningObject, search: searchPlugin},
	"vercel":            {takes: usual | takesTopK | takesCache | takesFiles | takesDetails, reason: effortAs(anyEffort)},
	"deepseek":          {takes: takesLogProbs | takesPenalties | takesJSON | takesForm | takesCalm | takesContent, reason: thinkingSwitch(true), prefix: prefixMark},
	"moonshot":          {takes: usual&^takesUser&^takesSeed | takesCacheKey | takesContent, reason: thinkingSwitch(false), warmest: 1, prefix: prefixPartial},
	"zai":               {takes: takesJSON | takesForm | takesContent, reason: thinkingSwitch(true), searchTool: `{"type":"web_search","web_search":{"enable":true}}`, warmest: 1},
	"alibaba":           {takes: takesTopK | takesSeed | takesPenalties | takesParallel | takesSchema | takesJSON | takesAudio | takesContent | takesCache, reason: qwenSwitch, search: searchSwitch},
	"mistral":           {takes: takesSeed | takesPenalties | takesMetadata | takesCacheKey | takesParallel | takesSchema | takesJSON | takesAudio | takesFiles | takesNoUsage, reason: effortAs(highOrNone), calls: 9, exact: true, prefix: prefixMark},
	"xai":               {takes: takesLogProbs | usual, reason: effortAs(threeEfforts), search: searchParameters},
	"groq":              {takes: takesSeed | takesUser | takesTier | takesParallel | takesSchema | takesJSON | takesMaxCompletion, reason: groqEffort},
	"cerebras":          {takes: takesSeed | takesUser | takesParallel | takesSchema | takesJSON | takesMaxCompletion, reason: effortAs(threeEfforts)},
	"perplexity":        {takes: takesTopK | takesPenalties | takesSchema | takesFiles | takesNoUsage, reason: effortAs(threeEfforts), search: searchAlways},
	"together":          {takes: usual | takesTopK, reason: effortAs(threeEfforts)},
	"fireworks":         {takes: takesLogProbs | usual | takesTopK, reason: effortAs(threeEfforts)},
	"deepinfra":         {takes: usual | takesTopK, reason: effortAs(threeEfforts)},
	"sambanova":         {takes: usual&^takesPenalties | takesTopK, reason: templateSwitch},
	"venice":            {takes: usual | takesTopK | takesCacheKey, reason: effortAs(anyEffort), search: searchVenice},
	"vllm":              {takes: takesLogProbs | usual | takesTopK | takesAudio | takesContent, reason: templateSwitch, prefix: prefixFinal},
	"sglang":            {takes: takesLogProbs | usual | takesTopK | takesAudio | takesContent, reason: templateSwitch, prefix: prefixFinal},
	"llamacpp":          {takes: takesLogProbs | usual | takesTopK | takesAudio | takesContent, reason: templateSwitch, prefix: prefixBare},
	"nvidia":            {takes: usual | takesTopK, reason: templateSwitch},
	"lmstudio":          {takes: usual | takesTopK | takesContent, reason: effortAs(threeEfforts)},
	"ollama":            {takes: usual | takesContent, reason: effortAs(threeEfforts)},
	"crusoe":            {takes: usual | takesTopK | takesContent, reason: effortAs(threeEfforts)},
	"doubleword":        {takes: usual | takesTopK | takesContent, reason: effortAs(threeEfforts)},
	"openai-compatible": {takes: takesLogProbs | usual | takesTopK | takesFiles | takesAudio | takesDetails | takesGoogle, reason: effortAs(anyEffort)},
}

const openaiTakes = usual | takesMetadata | takesTier | takesCacheKey | takesVerbosity | takesStore | takesCustom | takesFiles |
	takesAudio | takesRefusal | takesMaxCompletion | takesLogProbs

// other is what a vendor without a row takes.
var other = dialect{takes: usual, reason: effortAs(threeEfforts)}

func dialectOf(name string) dialect {
	if d, ok := dialects[name]; ok {
		return d
	}
	return other
}

// effortAs writes reasoning_effort in one of a vendor's words.
func effortAs(word func(effort string) string) func([]byte, *wire.Call, llm.Reasoning, string) []byte {
	return func(b []byte, call *wire.Call, r llm.Reasoning, _ string) []byte {
		effort := r.Effort
		if effort == "" {
			effort = wire.Effort(r.Budget)
		}
		if effort = word(effort); effort == "" {
			call.Lose("reasoning_effort")
			return b
		}
		return appendText(member(b, "reasoning_effort"), effort)
	}
}

func anyEffort(e string) string { return e }

// threeEfforts is for models that know low, medium and high, and none.
func threeEfforts(e string) string {
	switch e {
	case "minimal":
		return "low"
	case "xhigh", "max":
		return "high"
	}
	return e
}

// highOrNone is Mistral's reasoning_effort.
func highOrNone(e string) string {
	if e != "none" {
		return "high"
	}
	return e
}

// groqEffort asks Groq to keep thinking apart from the text, which gpt-oss
// does by itself and refuses to be told.
func groqEffort(b []byte, call *wire.Call, r llm.Reasoning, model string) []byte {
	b = effortAs(threeEfforts)(b, call, r, model)
	if r.On() && !strings.Contains(model, "gpt-oss") {
		b = append(member(b, "reasoning_format"), `"parsed"`...)
	}
	return b
}

// reasoningObject is OpenRouter's reasoning.
func reasoningObject(b []byte, _ *wire.Call, r llm.Reasoning, _ string) []byte {
	b = append(member(b, "reasoning"), '{')
	switch {
	case r.Budget > 0:
		b = strconv.AppendInt(member(b, "max_tokens"), r.Budget, 10)
	case r.Effort != "":
		b = appendText(member(b, "effort"), r.Effort)
	default:
		b = append(member(b, "enabled"), "true"...)
	}
	return append(b, '}')
}

// thinkingSwitch is thinking of DeepSeek, Moonshot and Z.AI. effort: there is
// reasoning_effort beside it.
func thinkingSwitch(effort bool) func([]byte, *wire.Call, llm.Reasoning, string) []byte {
	return func(b []byte, call *wire.Call, r llm.Reasoning, _ string) []byte {
		if !r.On() {
			return append(member(b, "thinking"), `{"type":"disabled"}`...)
		}
		b = append(member(b, "thinking"), `{"type":"enabled"}`...)
		switch e := threeEfforts(r.Effort); {
		case e != "" && effort:
			b = appendText(member(b, "reasoning_effort"), e)
		case e != "" || r.Budget > 0:
			call.Lose("reasoning_effort")
		}
		return b
	}
}

// qwenSwitch is Alibaba's enable_thinking with its budget.
func qwenSwitch(b []byte, _ *wire.Call, r llm.Reasoning, _ string) []byte {
	b = strconv.AppendBool(member(b, "enable_thinking"), r.On())
	n := r.Budget
	if n == 0 {
		n = wire.Budget(r.Effort)
	}
	if n > 0 {
		b = strconv.AppendInt(member(b, "thinking_budget"), n, 10)
	}
	return b
}

// templateSwitch is for servers that leave thinking to the model's chat
// template, where Qwen and others look for enable_thinking, DeepSeek for
// thinking, gpt-oss for reasoning_effort.
func templateSwitch(b []byte, _ *wire.Call, r llm.Reasoning, _ string) []byte {
	effort := r.Effort
	if effort == "" {
		effort = wire.Effort(r.Budget)
	}
	if effort = threeEfforts(effort); effort != "none" && effort != "" {
		b = appendText(member(b, "reasoning_effort"), effort)
	}
	yes := strconv.FormatBool(r.On())
	return append(append(append(append(append(member(b, "chat_template_kwargs"), `{"enable_thinking":`...), yes...), `,"thinking":`...), yes...), '}')
}

func searchOptions(b []byte) []byte { return append(member(b, "web_search_options"), "{}"...) }
func searchPlugin(b []byte) []byte  { return append(member(b, "plugins"), `[{"id":"web"}]`...) }
func searchSwitch(b []byte) []byte  { return append(member(b, "enable_search"), "true"...) }
func searchParameters(b []byte) []byte {
	return append(member(b, "search_parameters"), `{"mode":"auto"}`...)
}
func searchVenice(b []byte) []byte {
	return append(member(b, "venice_parameters"), `{"enable_web_search":"auto"}`...)
}

// searchAlways is for a vendor that searches unasked.
func searchAlways(b []byte) []byte { return b }
