package gemini

import (
	"errors"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// request is a GenerateContentRequest.
type request struct {
	Model             string            `json:"model,omitzero"` // only inside a request to count tokens
	Contents          list[content]     `json:"contents,omitzero"`
	SystemInstruction *instruction      `json:"systemInstruction,omitzero"`
	Tools             list[tool]        `json:"tools,omitzero"`
	ToolConfig        *toolConfig       `json:"toolConfig,omitzero"`
	GenerationConfig  *generationConfig `json:"generationConfig,omitzero"`
	Labels            jsontext.Value    `json:"labels,omitzero"`
	ServiceTier       word              `json:"serviceTier,omitzero"`
	Store             *bool             `json:"store,omitzero"`
	CachedContent     jsontext.Value    `json:"cachedContent,omitzero"`
	ModelArmorConfig  jsontext.Value    `json:"modelArmorConfig,omitzero"`
	OutputConfig      jsontext.Value    `json:"outputConfig,omitzero"`
	ContinuationToken jsontext.Value    `json:"continuationToken,omitzero"`
	Counted           *request          `json:"generateContentRequest,omitzero"` // of a request to count tokens
	More              jsontext.Value    `json:",embed"`
}

type tool struct {
	FunctionDeclarations  list[declaration] `json:"functionDeclarations,omitzero"`
	GoogleSearch          jsontext.Value    `json:"googleSearch,omitzero"`
	GoogleSearchRetrieval jsontext.Value    `json:"googleSearchRetrieval,omitzero"`
	EnterpriseWebSearch   jsontext.Value    `json:"enterpriseWebSearch,omitzero"`
	More                  jsontext.Value    `json:",embed"`
}

type declaration struct {
	Name                 string         `json:"name"`
	Description          string         `json:"description,omitzero"`
	Parameters           jsontext.Value `json:"parameters,omitzero"`
	ParametersJSONSchema jsontext.Value `json:"parametersJsonSchema,omitzero"`
	More                 jsontext.Value `json:",embed"`
}

type toolConfig struct {
	FunctionCallingConfig            *callingConfig `json:"functionCallingConfig,omitzero"`
	IncludeServerSideToolInvocations bool           `json:"includeServerSideToolInvocations,omitzero"`
	More                             jsontext.Value `json:",embed"`
}

type callingConfig struct {
	Mode                 word           `json:"mode,omitzero"`
	AllowedFunctionNames list[string]   `json:"allowedFunctionNames,omitzero"`
	More                 jsontext.Value `json:",embed"`
}

type generationConfig struct {
	CandidateCount           number          `json:"candidateCount,omitzero"`
	MaxOutputTokens          number          `json:"maxOutputTokens,omitzero"`
	Temperature              *float64        `json:"temperature,omitzero"`
	TopP                     *float64        `json:"topP,omitzero"`
	TopK                     *number         `json:"topK,omitzero"`
	StopSequences            list[string]    `json:"stopSequences,omitzero"`
	Seed                     *number         `json:"seed,omitzero"`
	FrequencyPenalty         *float64        `json:"frequencyPenalty,omitzero"`
	PresencePenalty          *float64        `json:"presencePenalty,omitzero"`
	ResponseLogprobs         bool            `json:"responseLogprobs,omitzero"`
	Logprobs                 number          `json:"logprobs,omitzero"`
	ResponseMIMEType         string          `json:"responseMimeType,omitzero"`
	ResponseSchema           jsontext.Value  `json:"responseSchema,omitzero"`
	ResponseJSONSchema       jsontext.Value  `json:"responseJsonSchema,omitzero"`
	ResponseModalities       list[word]      `json:"responseModalities,omitzero"`
	ResponseFormat           jsontext.Value  `json:"responseFormat,omitzero"`
	TranslationConfig        jsontext.Value  `json:"translationConfig,omitzero"`
	AudioTranscriptionConfig jsontext.Value  `json:"audioTranscriptionConfig,omitzero"`
	ThinkingConfig           *thinkingConfig `json:"thinkingConfig,omitzero"`
	More                     jsontext.Value  `json:",embed"`
}

type thinkingConfig struct {
	IncludeThoughts bool           `json:"includeThoughts,omitzero"`
	ThinkingBudget  *number        `json:"thinkingBudget,omitzero"`
	ThinkingLevel   word           `json:"thinkingLevel,omitzero"`
	More            jsontext.Value `json:",embed"`
}

// reader makes a chat of a request.
type reader struct {
	chat  *llm.Chat
	left  map[string]bool // names that are in chat.Left
	calls []pending
}

// pending is a call of the history that has no result yet.
type pending struct{ id, name string }

// Chat reads a client's request, also one whose tokens are to be counted. See
// wire.Client.
func (Codec) Chat(body []byte) (*llm.Chat, *llm.Error) {
	var in request
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return nil, unreadable(err)
	}
	if in.Counted != nil {
		in = *in.Counted
	}
	if len(in.Contents) == 0 {
		return nil, invalid("contents", "at least one content with a text or another part is needed")
	}
	r := &reader{chat: &llm.Chat{N: 1, Store: in.Store}, left: map[string]bool{}}
	if s := in.SystemInstruction; s != nil {
		r.instruction(s)
	}
	for i := range in.Contents {
		if err := r.content(&in.Contents[i], "contents["+strconv.Itoa(i)+"]"); err != nil {
			return nil, err
		}
	}
	for i := range in.Tools {
		r.tool(&in.Tools[i])
	}
	if in.ToolConfig != nil {
		r.toolConfig(in.ToolConfig)
	}
	for i := range in.Tools { // those that only their own vendor can run
		r.each(in.Tools[i].More, func(name string, v jsontext.Value) { r.leave("tools."+name, v, r.chat.Hosted()) })
	}
	if in.GenerationConfig != nil {
		r.generation(in.GenerationConfig)
	}
	r.labels(in.Labels)
	switch tier := strings.ToLower(string(in.ServiceTier)); tier {
	case "standard":
		r.chat.Tier = "default"
	case "flex", "priority":
		r.chat.Tier = tier
	}
	r.leave("cachedContent", in.CachedContent, true)
	r.leave("modelArmorConfig", in.ModelArmorConfig, true)
	r.leave("outputConfig", in.OutputConfig, true)
	r.leave("continuationToken", in.ContinuationToken, true)
	r.more("", in.More)
	return r.chat, nil
}

// unreadable is the error for a body that is no JSON or no request.
func unreadable(err error) *llm.Error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		path := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		return &llm.Error{Kind: llm.KindInvalidRequest, Param: path, Message: "\"" + path + "\" has a value of the wrong type; see the API's reference", Err: err}
	}
	return &llm.Error{Kind: llm.KindInvalidJSON, Message: "the body is not valid JSON", Err: err}
}

func invalid(param, what string) *llm.Error {
	return &llm.Error{Kind: llm.KindInvalidRequest, Param: param, Message: param + ": " + what}
}

// leave notes a member that has no neutral form, unless it says nothing.
func (r *reader) leave(name string, v jsontext.Value, must bool) {
	if scan.Null(v) || string(v) == "false" || string(v) == `""` || r.left[name] {
		return
	}
	r.left[name] = true
	r.chat.Left = append(r.chat.Left, llm.Left{Name: name, Must: must})
}

// more notes members that this package does not know: hints.
func (r *reader) more(prefix string, unknown jsontext.Value) {
	r.each(unknown, func(name string, v jsontext.Value) { r.leave(prefix+name, v, false) })
}

func (r *reader) each(object jsontext.Value, f func(name string, v jsontext.Value)) {
	if len(object) == 0 || object[0] != '{' {
		return
	}
	ms, err := scan.Object(nil, object)
	if err != nil {
		return
	}
	for _, m := range ms {
		if name, ok := scan.String(object[m.Key:m.KeyEnd]); ok {
			f(name, object[m.Start:m.End])
		}
	}
}

func (r *reader) labels(v jsontext.Value) {
	r.each(v, func(name string, v jsontext.Value) {
		if value, ok := scan.String(v); ok {
			r.chat.Metadata = append(r.chat.Metadata, llm.Pair{Name: name, Value: value})
		}
	})
}

func (r *reader) instruction(s *instruction) {
	m := llm.Message{Role: llm.RoleSystem}
	for i := range s.Parts {
		if t := s.Parts[i].Text; t != nil && *t != "" {
			m.Blocks = append(m.Blocks, llm.Block{Text: *t})
		} else if t == nil {
			r.leave("systemInstruction.parts", jsontext.Value("{}"), true)
		}
	}
	if len(m.Blocks) > 0 {
		r.chat.Messages = append(r.chat.Messages, m)
	}
}

// content adds a turn. Turns of the model that follow each other are one: a
// client that collected a stream may send each piece as a turn.
func (r *reader) content(c *content, path string) *llm.Error {
	role := llm.RoleUser
	switch c.Role {
	case "", "user", "function", "tool":
		if c.Role == "" && len(c.Parts) > 0 && c.Parts[0].FunctionCall != nil {
			role = llm.RoleAssistant
		}
	case "model", "assistant":
		role = llm.RoleAssistant
	case "system":
		role = llm.RoleSystem
	default:
		return invalid(path+".role", "use \"user\" or \"model\"")
	}
	m := llm.Message{Role: role}
	if n := len(r.chat.Messages); n > 0 && role == llm.RoleAssistant && r.chat.Messages[n-1].Role == role {
		m = r.chat.Messages[n-1]
		r.chat.Messages = r.chat.Messages[:n-1]
	}
	for i := range c.Parts {
		m.Blocks = r.part(m.Blocks, &c.Parts[i], role)
	}
	if len(m.Blocks) > 0 {
		r.chat.Messages = append(r.chat.Messages, m)
	}
	r.more("contents.", c.More)
	return nil
}

// part appends the blocks that a part is.
func (r *reader) part(dst []llm.Block, p *part, role llm.Role) []llm.Block {
	r.more("contents.parts.", p.More)
	r.leave("contents.parts.videoMetadata", p.VideoMetadata, true)
	if p.Thought {
		return thought(dst, p)
	}
	if p.ThoughtSignature != "" {
		s, id := seal(p.ThoughtSignature)
		dst = append(dst, llm.Block{Kind: llm.BlockThinking, ID: id, Seal: s})
	}
	switch name, hosted := p.hosted(); {
	case p.FunctionCall != nil:
		return append(dst, r.call(p.FunctionCall))
	case p.FunctionResponse != nil:
		return append(dst, r.result(p.FunctionResponse))
	case p.InlineData != nil, p.FileData != nil:
		return append(dst, media(p.InlineData, p.FileData))
	case name != "":
		return append(dst, llm.Block{Kind: llm.BlockHosted, Name: name, Text: string(compact(hosted))})
	case p.Text == nil || *p.Text == "":
		return dst
	}
	if n := len(dst); n > 0 && role == llm.RoleAssistant && dst[n-1].Kind == llm.BlockText {
		dst[n-1].Text += *p.Text
		return dst
	}
	return append(dst, llm.Block{Text: *p.Text})
}

// thought appends a part of thinking, to the block before if that is thinking
// which is not sealed yet.
func thought(dst []llm.Block, p *part) []llm.Block {
	b := llm.Block{Kind: llm.BlockThinking}
	if n := len(dst); n > 0 && dst[n-1].Kind == llm.BlockThinking && dst[n-1].Seal.Maker == 0 {
		b = dst[n-1]
		dst = dst[:n-1]
	}
	if p.Text != nil {
		b.Text += *p.Text
	}
	if p.ThoughtSignature != "" {
		b.Seal, b.ID = seal(p.ThoughtSignature)
	}
	if b.Text == "" && b.Seal.Maker == 0 {
		return dst
	}
	return append(dst, b)
}

// call reads a call of the history. One without an id gets one that is the
// same each time the conversation is sent, so that vendors' prompt caches
// know it again.
func (r *reader) call(c *call) llm.Block {
	args := string(compact(c.Args))
	if scan.Null(c.Args) {
		args = "{}"
	}
	id := c.ID
	if id == "" {
		h := fnv.New64a()
		_, _ = h.Write([]byte(strconv.Itoa(len(r.chat.Messages)) + " " + strconv.Itoa(len(r.calls)) + " " + c.Name + args))
		id = "call_" + strconv.FormatUint(h.Sum64(), 16)
	}
	r.calls = append(r.calls, pending{id, c.Name})
	return llm.Block{Kind: llm.BlockCall, ID: id, Name: c.Name, Text: args}
}

// result reads a tool's result. It belongs to the call of its id, else to the
// first open one of its name.
func (r *reader) result(f *result) llm.Block {
	b := llm.Block{Kind: llm.BlockResult, ID: f.ID, Name: f.Name}
	at := -1
	for i, c := range r.calls {
		if f.ID != "" && c.id == f.ID {
			at = i
			break
		}
		if at < 0 && c.name == f.Name {
			at = i
		}
	}
	if at >= 0 {
		b.ID = r.calls[at].id
		r.calls = append(r.calls[:at], r.calls[at+1:]...)
	}
	var text string
	text, b.Failed = f.text()
	if text != "" {
		b.Result = append(b.Result, llm.Block{Text: text})
	}
	for _, p := range f.Parts {
		if p.InlineData != nil || p.FileData != nil {
			b.Result = append(b.Result, media(p.InlineData, p.FileData))
		}
	}
	r.more("contents.parts.functionResponse.", f.More)
	return b
}

// text returns a result as text: what {"output": …}, {"error": …} and
// {"name": the tool, "content": …} hold, the last as Vercel's AI SDK writes
// it, else the object.
func (f *result) text() (s string, failed bool) {
	if scan.Null(f.Response) {
		return "{}", false
	}
	v := f.Response
	ms, err := scan.Object(nil, v)
	if err == nil && len(ms) == 1 {
		switch name, _ := scan.String(v[ms[0].Key:ms[0].KeyEnd]); name {
		case "output", "error":
			v, failed = v[ms[0].Start:ms[0].End], name == "error"
		}
	} else if err == nil && len(ms) == 2 {
		name, _ := scan.String(scan.Get(v, "name"))
		if content := scan.Get(v, "content"); name == f.Name && content != nil {
			v = content
		}
	}
	if s, ok := scan.String(v); ok {
		return s, failed
	}
	return string(compact(v)), failed
}

func (r *reader) tool(t *tool) {
	for i := range t.FunctionDeclarations {
		d := &t.FunctionDeclarations[i]
		f := llm.Tool{Name: d.Name, Description: d.Description}
		if !scan.Null(d.ParametersJSONSchema) {
			f.Schema = d.ParametersJSONSchema
		} else if !scan.Null(d.Parameters) {
			f.Schema = jsonSchema(d.Parameters)
		}
		r.chat.Tools = append(r.chat.Tools, f)
		r.more("tools.functionDeclarations.", d.More)
	}
	for _, s := range [...]struct {
		name string
		v    jsontext.Value
	}{{"googleSearch", t.GoogleSearch}, {"googleSearchRetrieval", t.GoogleSearchRetrieval}, {"enterpriseWebSearch", t.EnterpriseWebSearch}} {
		if scan.Null(s.v) {
			continue
		}
		r.chat.Tools = append(r.chat.Tools, llm.Tool{Kind: llm.ToolSearch})
		r.each(s.v, func(name string, v jsontext.Value) { r.leave("tools."+s.name+"."+name, v, false) })
	}
}

func (r *reader) toolConfig(t *toolConfig) {
	r.more("toolConfig.", t.More)
	c := t.FunctionCallingConfig
	if c == nil {
		return
	}
	r.more("toolConfig.functionCallingConfig.", c.More)
	r.chat.Choice.Names = c.AllowedFunctionNames
	switch c.Mode { // by name, or by its number in FunctionCallingConfig.Mode
	case "AUTO", "1":
		r.chat.Choice.Mode = llm.ChoiceAuto
	case "ANY", "2":
		r.chat.Choice.Mode = llm.ChoiceAny
	case "NONE", "3":
		r.chat.Choice = llm.Choice{Mode: llm.ChoiceNone}
	case "VALIDATED", "4":
		r.chat.Choice.Mode = llm.ChoiceAuto
		if len(c.AllowedFunctionNames) == 0 {
			r.leave("toolConfig.functionCallingConfig.mode", jsontext.Value("4"), false)
		}
	}
}

func (r *reader) generation(g *generationConfig) {
	c := r.chat
	c.N = max(1, int(min(g.CandidateCount, 1<<20)))
	c.MaxOutput = max(0, int64(g.MaxOutputTokens))
	c.Temperature, c.TopP = g.Temperature, g.TopP
	c.TopK, c.Seed = (*int64)(g.TopK), (*int64)(g.Seed)
	c.FrequencyPenalty, c.PresencePenalty = g.FrequencyPenalty, g.PresencePenalty
	c.Stop = g.StopSequences
	c.LogProbs, c.TopLogProbs = g.ResponseLogprobs, int64(g.Logprobs)
	switch schema := g.ResponseJSONSchema; {
	case !scan.Null(schema):
		c.Format = llm.Format{Kind: llm.FormatSchema, Schema: schema}
	case !scan.Null(g.ResponseSchema):
		c.Format = llm.Format{Kind: llm.FormatSchema, Schema: jsonSchema(g.ResponseSchema)}
	case g.ResponseMIMEType == "application/json":
		c.Format.Kind = llm.FormatJSON
	}
	if t := g.ResponseMIMEType; t != "" && t != "text/plain" && t != "application/json" {
		r.leave("generationConfig.responseMimeType", jsontext.Value("1"), true)
	}
	for _, m := range g.ResponseModalities {
		if m != "TEXT" && m != "1" && m != "MODALITY_UNSPECIFIED" && m != "0" {
			r.leave("generationConfig.responseModalities", jsontext.Value("1"), true)
		}
	}
	r.leave("generationConfig.responseFormat", g.ResponseFormat, true)
	r.leave("generationConfig.translationConfig", g.TranslationConfig, true)
	r.leave("generationConfig.audioTranscriptionConfig", g.AudioTranscriptionConfig, true)
	r.more("generationConfig.", g.More)
	if t := g.ThinkingConfig; t != nil {
		r.thinking(t)
	}
}

func (r *reader) thinking(t *thinkingConfig) {
	re := &r.chat.Reasoning
	switch level := strings.ToLower(string(t.ThinkingLevel)); level {
	case "minimal", "low", "medium", "high":
		re.Effort = level
	}
	if b := t.ThinkingBudget; b != nil && re.Effort == "" {
		switch {
		case *b == 0:
			re.Effort = "none"
		case *b < 0:
			re.Budget = -1
		default:
			re.Budget = int64(*b)
		}
	}
	if t.IncludeThoughts {
		re.Summary = "auto"
	}
	// Signatures are part of every answer that was thought about, and clients
	// send them back.
	re.Encrypted = re.On() || t.IncludeThoughts
	r.more("generationConfig.thinkingConfig.", t.More)
}
