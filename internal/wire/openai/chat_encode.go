package openai

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxStops is how many stop sequences OpenAI takes.
const maxStops = 4

// encoding is a request body that is being written.
type encoding struct {
	dialect
	chat   *llm.Chat
	target wire.Target
	call   *wire.Call
	b      []byte
	moved  []llm.Block // pictures that can only stand in a message of the user
	// turn is the index of the last message that the user wrote: what follows
	// is the turn that goes on.
	turn int
}

// Encode implements wire.Vendor.
func (Codec) Encode(c *llm.Chat, t wire.Target) (*wire.Call, *llm.Error) {
	e := encoding{dialect: dialectOf(t.Dialect), chat: c, target: t, call: &wire.Call{}, b: make([]byte, 0, 4<<10)}
	if err := e.call.Leave(c.Left); err != nil {
		return nil, err
	}
	if c.LogProbs && e.takes&takesLogProbs == 0 {
		return nil, wire.Unsupported("logprobs", "the model's vendor is not known to give log probabilities; leave it out or ask another model")
	}
	e.standIn()
	e.b = appendText(append(e.b, `{"model":`...), t.Model)
	if err := e.messages(); err != nil {
		return nil, err
	}
	if err := e.tools(); err != nil {
		return nil, err
	}
	if err := e.scalars(); err != nil {
		return nil, err
	}
	if c.Open && e.prefix == prefixFinal {
		e.b = append(member(e.b, "continue_final_message"), "true"...)
		e.b = append(member(e.b, "add_generation_prompt"), "false"...)
	}
	if t.Stream {
		e.b = append(member(e.b, "stream"), "true"...)
		if e.takes&takesNoUsage == 0 {
			e.b = append(member(e.b, "stream_options"), `{"include_usage":true}`...)
		}
	}
	e.call.Body = append(e.b, '}')
	return e.call, nil
}

// has reports whether the vendor takes what; else field is lost.
func (e *encoding) has(what takes, field string) bool {
	if e.takes&what != 0 {
		return true
	}
	e.call.Lose(field)
	return false
}

func (e *encoding) int(name string, n int64) { e.b = strconv.AppendInt(member(e.b, name), n, 10) }
func (e *encoding) text(name, s string)      { e.b = appendText(member(e.b, name), s) }
func (e *encoding) float(name string, x *float64) {
	if x != nil {
		e.b = strconv.AppendFloat(member(e.b, name), *x, 'g', -1, 64)
	}
}

func (e *encoding) scalars() *llm.Error {
	c := e.chat
	if n := c.MaxOutput; n > 0 {
		if e.target.MaxOutput > 0 {
			n = min(n, e.target.MaxOutput)
		}
		name := "max_tokens"
		if e.takes&takesMaxCompletion != 0 {
			name = "max_completion_tokens"
		}
		e.int(name, n)
	}
	t := c.Temperature
	if t != nil && e.warmest > 0 && *t > e.warmest {
		t = &e.warmest
		e.call.Lose("temperature")
	}
	e.float("temperature", t)
	e.float("top_p", c.TopP)
	if c.TopK != nil && e.has(takesTopK, "top_k") {
		e.int("top_k", *c.TopK)
	}
	if c.FrequencyPenalty != nil && e.has(takesPenalties, "frequency_penalty") {
		e.float("frequency_penalty", c.FrequencyPenalty)
	}
	if c.PresencePenalty != nil && e.has(takesPenalties, "presence_penalty") {
		e.float("presence_penalty", c.PresencePenalty)
	}
	if c.Seed != nil && e.has(takesSeed, "seed") {
		name := "seed"
		if e.target.Dialect == "mistral" {
			name = "random_seed"
		}
		e.int(name, *c.Seed)
	}
	if c.N > 1 {
		e.int("n", int64(c.N))
	}
	if c.LogProbs {
		e.b = append(member(e.b, "logprobs"), "true"...)
		if c.TopLogProbs > 0 {
			e.int("top_logprobs", c.TopLogProbs)
		}
	}
	if err := e.stop(); err != nil {
		return err
	}
	e.hints()
	e.format()
	r := c.Reasoning
	forced := e.call.FormatTool != "" || c.Choice.Mode == llm.ChoiceAny && len(c.Tools) > 0
	if forced && e.takes&takesCalm != 0 && (r.On() || !strings.HasSuffix(e.target.Model, "-chat")) { // which does not think unasked
		if r.On() {
			e.call.Lose("reasoning_effort")
		}
		r = llm.Reasoning{Effort: "none"}
	}
	if r.Effort != "" || r.Budget != 0 {
		e.b = e.reason(e.b, e.call, r, e.target.Model)
	}
	return nil
}

// standIn makes a function stand for the schema of the answer, where the
// vendor knows no schemas, no other tool is offered, and the model would not
// have to think for it less than was asked.
func (e *encoding) standIn() {
	f := &e.chat.Format
	if f.Kind != llm.FormatSchema || e.takes&takesForm == 0 || len(e.chat.Tools) > 0 {
		return
	}
	if e.takes&takesCalm != 0 && (e.chat.Reasoning.On() || strings.Contains(e.target.Model, "reasoner")) {
		return
	}
	if typ, _ := scan.String(scan.Get(f.Schema, "type")); typ != "object" {
		return // which arguments are
	}
	e.call.FormatTool = safeName(cmp.Or(f.Name, "answer"))
}

func (e *encoding) stop() *llm.Error {
	stop := e.chat.Stop
	if len(stop) == 0 {
		return nil
	}
	if len(stop) > maxStops && e.takes&takesMaxCompletion != 0 {
		return wire.Unsupported("stop", "the vendor takes at most 4 stop sequences")
	}
	e.b = append(member(e.b, "stop"), '[')
	for _, s := range stop {
		e.b = appendText(element(e.b), s)
	}
	e.b = append(e.b, ']')
	return nil
}

// hints writes what changes no answer's meaning.
func (e *encoding) hints() {
	c := e.chat
	if c.User != "" && e.has(takesUser, "user") {
		e.text("user", c.User)
	}
	// OpenAI takes metadata with answers that it keeps only.
	if len(c.Metadata) > 0 && e.has(takesMetadata, "metadata") {
		if e.takes&takesStore != 0 && (c.Store == nil || !*c.Store) {
			e.call.Lose("metadata")
		} else {
			e.b = append(member(e.b, "metadata"), '{')
			for _, p := range c.Metadata {
				if e.b[len(e.b)-1] != '{' {
					e.b = append(e.b, ',')
				}
				e.b = appendText(append(appendText(e.b, p.Name), ':'), p.Value)
			}
			e.b = append(e.b, '}')
		}
	}
	if c.Tier != "" && e.has(takesTier, "service_tier") {
		e.text("service_tier", c.Tier)
	}
	if c.CacheKey != "" && e.has(takesCacheKey, "prompt_cache_key") {
		e.text("prompt_cache_key", c.CacheKey)
	}
	if c.Verbosity != "" && e.has(takesVerbosity, "verbosity") {
		e.text("verbosity", c.Verbosity)
	}
	if c.Store != nil && (e.takes&takesStore != 0 || *c.Store) && e.has(takesStore, "store") {
		e.b = strconv.AppendBool(member(e.b, "store"), *c.Store)
	}
}

func (e *encoding) format() {
	f := &e.chat.Format
	switch {
	case e.call.FormatTool != "":
	case f.Kind == llm.FormatSchema && e.takes&takesSchema != 0:
		e.b = append(member(e.b, "response_format"), `{"type":"json_schema","json_schema":{`...)
		e.text("name", safeName(cmp.Or(f.Name, "answer")))
		if f.Description != "" {
			e.text("description", f.Description)
		}
		e.b = append(member(e.b, "schema"), f.Schema...)
		if f.Strict != nil {
			e.b = strconv.AppendBool(member(e.b, "strict"), *f.Strict)
		}
		e.b = append(e.b, '}', '}')
	case f.Kind != llm.FormatText && e.takes&takesJSON != 0:
		e.b = append(member(e.b, "response_format"), `{"type":"json_object"}`...)
	}
}

// instruction is what the model is told of the answer's form in words: where
// the vendor has no other way, and where OpenAI wants the word JSON in the
// prompt. "" for nothing.
func (e *encoding) instruction() string {
	f := &e.chat.Format
	switch {
	case e.call.FormatTool != "":
		return ""
	case f.Kind == llm.FormatSchema && e.takes&takesSchema == 0:
		e.call.Lose("response_format")
		return "Answer with nothing but a JSON object that matches this JSON Schema:\n" + string(f.Schema)
	case f.Kind != llm.FormatJSON:
		return ""
	case e.takes&takesJSON == 0:
		e.call.Lose("response_format")
	case mentions(e.chat, "json"):
		return ""
	}
	return "Answer with nothing but a JSON object."
}

// mentions reports whether a text of the chat holds word, which is in lower
// case.
func mentions(c *llm.Chat, word string) bool {
	for i := range c.Messages {
		for _, b := range c.Messages[i].Blocks {
			if b.Kind == llm.BlockText && strings.Contains(strings.ToLower(b.Text), word) {
				return true
			}
		}
	}
	return false
}

func (e *encoding) tools() *llm.Error {
	if name := e.call.FormatTool; name != "" {
		f := &e.chat.Format
		e.call.FormatTool = e.name(name)
		e.b = append(member(e.b, "tools"), '[')
		e.tool(&llm.Tool{Name: name, Description: cmp.Or(f.Description, "Gives the answer. Call it once, with the whole answer."), Schema: f.Schema})
		e.b = append(e.b, ']')
		e.choice(llm.Choice{Mode: llm.ChoiceAny, Names: []string{name}})
		return nil
	}
	tools := e.chat.Tools
	ch := e.chat.Choice
	if len(ch.Names) > 1 || len(ch.Names) == 1 && ch.Mode != llm.ChoiceAny {
		if e.takes&takesCustom == 0 { // no allowed_tools: send these tools only
			tools = slices.DeleteFunc(slices.Clone(tools), func(t llm.Tool) bool {
				return t.Kind != llm.ToolSearch && !slices.Contains(ch.Names, t.Name)
			})
			ch.Names = nil
		}
	}
	search := false
	n := 0
	for i := range tools {
		if tools[i].Kind == llm.ToolSearch {
			search = true
			continue
		}
		if n++; n == 1 {
			e.b = append(member(e.b, "tools"), '[')
		}
		e.tool(&tools[i])
	}
	if search && e.searchTool != "" {
		if n++; n == 1 {
			e.b = append(member(e.b, "tools"), '[')
		}
		e.b = append(element(e.b), e.searchTool...)
		search = false
	}
	if n > 0 {
		e.b = append(e.b, ']')
		e.choice(ch)
		if e.chat.Serial && e.has(takesParallel, "parallel_tool_calls") {
			e.b = append(member(e.b, "parallel_tool_calls"), "false"...)
		}
	}
	if search {
		switch {
		case e.search != nil:
			e.b = e.search(e.b)
		case !e.chat.Hosted():
			e.call.Lose("tools.web_search")
		default:
			return wire.Unsupported("tools", "the model's vendor cannot be told to search the web; ask another model")
		}
	}
	return nil
}

func (e *encoding) tool(t *llm.Tool) {
	name := e.name(t.Name)
	if t.Kind == llm.ToolCustom && e.takes&takesCustom != 0 {
		e.b = appendText(append(element(e.b), `{"type":"custom","custom":{"name":`...), name)
		if t.Description != "" {
			e.text("description", t.Description)
		}
		if t.Grammar != nil {
			e.b = appendGrammar(member(e.b, "format"), t.Grammar)
		}
		e.b = append(e.b, '}', '}')
		return
	}
	e.b = appendText(append(element(e.b), `{"type":"function","function":{"name":`...), name)
	if t.Description != "" {
		e.text("description", t.Description)
	}
	switch {
	case t.Kind == llm.ToolCustom:
		if t.Grammar != nil {
			e.call.Lose("tools.custom.format")
		}
		if e.call.Custom == nil {
			e.call.Custom = map[string]bool{}
		}
		e.call.Custom[name] = true
		e.b = append(member(e.b, "parameters"), `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`...)
	case len(t.Schema) > 0:
		e.b = append(member(e.b, "parameters"), t.Schema...)
	default:
		e.b = append(member(e.b, "parameters"), `{"type":"object","properties":{}}`...)
	}
	if t.Strict != nil {
		e.b = strconv.AppendBool(member(e.b, "strict"), *t.Strict)
	}
	e.b = append(e.b, '}')
	e.cache(t.Cache)
	e.b = append(e.b, '}')
}

func (e *encoding) choice(ch llm.Choice) {
	word := "auto"
	switch ch.Mode {
	case llm.ChoiceUnset:
		return
	case llm.ChoiceNone:
		word = "none"
	case llm.ChoiceAny:
		word = "required"
	}
	switch {
	case len(ch.Names) == 0 || ch.Mode == llm.ChoiceNone:
		e.text("tool_choice", word)
	case len(ch.Names) == 1 && ch.Mode == llm.ChoiceAny:
		e.b = e.appendNamed(member(e.b, "tool_choice"), ch.Names[0])
	default:
		e.b = append(member(e.b, "tool_choice"), `{"type":"allowed_tools","allowed_tools":{`...)
		e.text("mode", word)
		e.b = append(member(e.b, "tools"), '[')
		for _, n := range ch.Names {
			e.b = e.appendNamed(element(e.b), n)
		}
		e.b = append(e.b, `]}}`...)
	}
}

// appendNamed names a tool by its kind.
func (e *encoding) appendNamed(b []byte, name string) []byte {
	kind := "function"
	for i := range e.chat.Tools {
		if t := &e.chat.Tools[i]; t.Name == name && t.Kind == llm.ToolCustom && e.takes&takesCustom != 0 {
			kind = "custom"
		}
	}
	b = append(append(append(append(b, `{"type":"`...), kind...), `","`...), kind...)
	return append(appendText(append(b, `":{"name":`...), e.name(name)), '}', '}')
}

// maxName is how long a tool's name may be.
const maxName = 64

// safeName brings a name into the letters that vendors take.
func safeName(s string) string {
	ok := len(s) <= maxName && s != ""
	for i := 0; ok && i < len(s); i++ {
		ok = nameByte(s[i])
	}
	if ok {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if !nameByte(c) {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "_"
	}
	return string(b[:min(len(b), maxName)])
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// name is what a tool is called in the request; Call.Names leads back.
func (e *encoding) name(s string) string {
	safe := safeName(s)
	if safe == s && e.call.Names[s] == "" {
		return s
	}
	base := safe
	for n := 2; ; n++ {
		if was, taken := e.call.Names[safe]; taken && was == s {
			return safe
		} else if !taken && !e.client(safe, s) {
			break
		}
		tail := "_" + strconv.Itoa(n)
		safe = base[:min(len(base), maxName-len(tail))] + tail
	}
	if e.call.Names == nil {
		e.call.Names = map[string]string{}
	}
	e.call.Names[safe] = s
	return safe
}

// client reports whether the client has a tool called safe that is not s.
func (e *encoding) client(safe, s string) bool {
	return safe != s && slices.ContainsFunc(e.chat.Tools, func(t llm.Tool) bool { return t.Name == safe })
}

// cache appends a marker where the vendor takes one.
func (e *encoding) cache(c llm.Cache) {
	if c == llm.CacheNone || !e.has(takesCache, "prompt_cache_breakpoint") {
		return
	}
	e.b = append(member(e.b, "cache_control"), `{"type":"ephemeral"`...)
	if c == llm.CacheHour {
		e.b = append(e.b, `,"ttl":"1h"`...)
	}
	e.b = append(e.b, '}')
}

// id is what a call's id is in the request.
func (e *encoding) id(s string) string {
	switch {
	case e.exact && (len(s) != e.calls || bytes.IndexFunc([]byte(s), func(r rune) bool { return r == '_' || r == '-' || r > 127 || !nameByte(byte(r)) }) >= 0):
		return shortID(s, e.calls)
	case e.calls > 0 && len(s) > e.calls:
		return "call_" + shortID(s, 12)
	}
	return s
}
