package blackbox

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/anthropics/anthropic-sdk-go"
	claude "github.com/anthropics/anthropic-sdk-go/option"
	"google.golang.org/genai"
)

// goAnthropic is anthropic-sdk-go.
type goAnthropic struct{}

func (goAnthropic) ask(ctx context.Context, a *ask) *answer {
	c := anthropic.NewClient(claude.WithBaseURL(a.Base), claude.WithAPIKey(a.Key), claude.WithMaxRetries(0), claude.WithHTTPClient(client))
	p := anthropicParams(a)
	if a.Count {
		n, err := c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: p.Model, Messages: p.Messages})
		if err != nil {
			return &answer{Err: anthropicError(err)}
		}
		return &answer{Usage: flowUsage{Input: int(n.InputTokens)}}
	}
	if !a.Stream {
		m, err := c.Messages.New(ctx, p)
		if err != nil {
			return &answer{Err: anthropicError(err)}
		}
		return anthropicAnswer(m)
	}
	st := c.Messages.NewStreaming(ctx, p)
	defer st.Close()
	var m anthropic.Message
	pieces := 0
	for st.Next() {
		e := st.Current()
		if err := m.Accumulate(e); err != nil {
			return &answer{Pieces: pieces, Err: anthropicError(err)}
		}
		if e.Type == "content_block_delta" {
			pieces++
		}
		if a.Cancel > 0 && pieces >= a.Cancel {
			return &answer{Pieces: pieces}
		}
	}
	if err := st.Err(); err != nil {
		return &answer{Pieces: pieces, Err: anthropicError(err)}
	}
	out := anthropicAnswer(&m)
	out.Pieces = pieces
	return out
}

func anthropicError(err error) *flowError {
	var e *anthropic.Error
	if !errors.As(err, &e) {
		return &flowError{Class: "error", Message: err.Error()}
	}
	return &flowError{Class: "anthropic.Error", Status: e.StatusCode, Code: string(e.Type()), Message: e.Error()}
}

func anthropicParams(a *ask) anthropic.MessageNewParams {
	p := anthropic.MessageNewParams{Model: anthropic.Model(a.Model), MaxTokens: 3000, StopSequences: nil}
	if a.Max > 0 {
		p.MaxTokens = int64(a.Max)
	}
	if a.System != "" {
		p.System = []anthropic.TextBlockParam{{Text: a.System}}
		if a.Mark {
			p.System[0].CacheControl = anthropic.NewCacheControlEphemeralParam()
		}
	}
	for _, t := range a.Turns {
		switch {
		case t.Reply != nil:
			p.Messages = append(p.Messages, t.Reply.native.(anthropic.MessageParam))
		case t.Image != "":
			p.Messages = append(p.Messages, anthropic.NewUserMessage(anthropic.NewImageBlockBase64("image/png", t.Image), anthropic.NewTextBlock(t.User)))
		case t.User != "":
			p.Messages = append(p.Messages, anthropic.NewUserMessage(anthropic.NewTextBlock(t.User)))
		}
		var results []anthropic.ContentBlockParamUnion
		for _, r := range t.Results {
			results = append(results, anthropic.NewToolResultBlock(r.ID, r.Text, false))
		}
		if results != nil {
			p.Messages = append(p.Messages, anthropic.NewUserMessage(results...))
		}
	}
	for _, t := range a.Tools {
		required, _ := t.Schema["required"].([]string)
		u := anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: t.Schema["properties"], Required: required}, t.Name)
		u.OfTool.Description = anthropic.String(t.Description)
		p.Tools = append(p.Tools, u)
	}
	switch a.Choice {
	case "":
	case "required":
		p.ToolChoice.OfAny = &anthropic.ToolChoiceAnyParam{}
	default:
		p.ToolChoice = anthropic.ToolChoiceParamOfTool(a.Choice)
	}
	if s, ok := a.Schema.(map[string]any); ok {
		p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: s}
	}
	if a.Think {
		p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	}
	if a.Stop != "" {
		p.StopSequences = []string{a.Stop}
	}
	return p
}

func anthropicAnswer(m *anthropic.Message) *answer {
	u := m.Usage
	out := &answer{
		Finish: finish(string(m.StopReason)), native: m.ToParam(),
		Usage: flowUsage{int(u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens), int(u.OutputTokens), int(u.CacheReadInputTokens), -1},
	}
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			out.Text += b.Text
		case "thinking":
			out.Thinking += b.Thinking
		case "tool_use":
			out.Calls = append(out.Calls, toolCall{b.ID, b.Name, string(b.Input)})
		}
	}
	return out
}

// goGemini is Google's genai.
type goGemini struct{}

func (goGemini) ask(ctx context.Context, a *ask) *answer {
	c, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: a.Key, Backend: genai.BackendGeminiAPI, HTTPClient: client, HTTPOptions: genai.HTTPOptions{BaseURL: a.Base}})
	if err != nil {
		return &answer{Err: geminiError(err)}
	}
	if a.Embed != nil {
		return geminiEmbed(ctx, c, a)
	}
	turns, conf := geminiParams(a)
	if a.Count {
		n, err := c.Models.CountTokens(ctx, a.Model, turns, nil)
		if err != nil {
			return &answer{Err: geminiError(err)}
		}
		return &answer{Usage: flowUsage{Input: int(n.TotalTokens)}}
	}
	if !a.Stream {
		r, err := c.Models.GenerateContent(ctx, a.Model, turns, conf)
		if err != nil {
			return &answer{Err: geminiError(err)}
		}
		out := &answer{}
		var parts []*genai.Part
		for _, x := range r.Candidates {
			out.Choices = append(out.Choices, textOf(x.Content))
		}
		if len(r.Candidates) > 0 && r.Candidates[0].Content != nil {
			parts = r.Candidates[0].Content.Parts
		}
		geminiAnswer(out, r, parts)
		return out
	}
	return geminiStream(c.Models.GenerateContentStream(ctx, a.Model, turns, conf), a)
}

func geminiError(err error) *flowError {
	var e genai.APIError
	if !errors.As(err, &e) {
		return &flowError{Class: "error", Message: err.Error()}
	}
	return &flowError{Class: "genai.APIError", Status: e.Code, Code: e.Status, Message: e.Message}
}

func geminiEmbed(ctx context.Context, c *genai.Client, a *ask) *answer {
	var texts []*genai.Content
	for _, s := range a.Embed {
		texts = append(texts, genai.NewContentFromText(s, genai.RoleUser))
	}
	r, err := c.Models.EmbedContent(ctx, a.Model, texts, nil)
	if err != nil {
		return &answer{Err: geminiError(err)}
	}
	out := &answer{}
	for _, e := range r.Embeddings {
		var v []float64
		for _, x := range e.Values {
			v = append(v, float64(x))
		}
		out.Vectors = append(out.Vectors, v)
	}
	return out
}

func textOf(c *genai.Content) string {
	text := ""
	if c != nil {
		for _, p := range c.Parts {
			if !p.Thought {
				text += p.Text
			}
		}
	}
	return text
}

func geminiParams(a *ask) ([]*genai.Content, *genai.GenerateContentConfig) {
	conf := &genai.GenerateContentConfig{MaxOutputTokens: int32(a.Max), CandidateCount: int32(a.N)}
	if a.System != "" {
		conf.SystemInstruction = genai.NewContentFromText(a.System, genai.RoleUser)
	}
	var turns []*genai.Content
	for _, t := range a.Turns {
		switch {
		case t.Reply != nil:
			turns = append(turns, t.Reply.native.(*genai.Content))
		case t.Image != "":
			turns = append(turns, genai.NewContentFromParts([]*genai.Part{genai.NewPartFromBytes(bytesOf(t.Image), "image/png"), genai.NewPartFromText(t.User)}, genai.RoleUser))
		case t.User != "":
			turns = append(turns, genai.NewContentFromText(t.User, genai.RoleUser))
		}
		var results []*genai.Part
		for _, r := range t.Results {
			p := genai.NewPartFromFunctionResponse(r.Name, map[string]any{"output": r.Text})
			p.FunctionResponse.ID = r.ID
			results = append(results, p)
		}
		if results != nil {
			turns = append(turns, genai.NewContentFromParts(results, genai.RoleUser))
		}
	}
	if a.Tools != nil {
		var all []*genai.FunctionDeclaration
		for _, t := range a.Tools {
			all = append(all, &genai.FunctionDeclaration{Name: t.Name, Description: t.Description, ParametersJsonSchema: t.Schema})
		}
		conf.Tools = []*genai.Tool{{FunctionDeclarations: all}}
	}
	if a.Choice != "" {
		f := &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeAny}
		if a.Choice != "required" {
			f.AllowedFunctionNames = []string{a.Choice}
		}
		conf.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: f}
	}
	if a.Schema != nil {
		conf.ResponseMIMEType, conf.ResponseJsonSchema = "application/json", a.Schema
	}
	if a.Think {
		conf.ThinkingConfig = &genai.ThinkingConfig{IncludeThoughts: true, ThinkingBudget: genai.Ptr[int32](1024)}
	}
	if a.Stop != "" {
		conf.StopSequences = []string{a.Stop}
	}
	return turns, conf
}

// geminiAnswer reads the last response and all parts of an answer.
func geminiAnswer(out *answer, last *genai.GenerateContentResponse, parts []*genai.Part) {
	if len(last.Candidates) > 0 {
		out.Finish = finish(string(last.Candidates[0].FinishReason))
	}
	if u := last.UsageMetadata; u != nil {
		out.Usage = flowUsage{int(u.PromptTokenCount), int(u.CandidatesTokenCount + u.ThoughtsTokenCount), int(u.CachedContentTokenCount), int(u.ThoughtsTokenCount)}
	}
	var back []*genai.Part
	for _, p := range parts {
		switch {
		case p.FunctionCall != nil:
			args, err := json.Marshal(p.FunctionCall.Args)
			if err != nil {
				out.Err = geminiError(err)
			}
			out.Calls = append(out.Calls, toolCall{p.FunctionCall.ID, p.FunctionCall.Name, string(args)})
			if out.Finish == "stop" {
				out.Finish = "tools"
			}
		case p.Thought:
			out.Thinking += p.Text
		default:
			out.Text += p.Text
		}
		if p.Text != "" || p.FunctionCall != nil || p.ThoughtSignature != nil {
			back = append(back, p)
		}
	}
	out.native = genai.NewContentFromParts(back, genai.RoleModel)
}

func geminiStream(st func(yield func(*genai.GenerateContentResponse, error) bool), a *ask) *answer {
	out := &answer{}
	var last *genai.GenerateContentResponse
	var parts []*genai.Part
	texts := make([]string, max(a.N, 1))
	for r, err := range st {
		if err != nil {
			out.Err = geminiError(err)
			return out
		}
		for _, x := range r.Candidates {
			if int(x.Index) < len(texts) {
				texts[x.Index] += textOf(x.Content)
			}
			if x.Content == nil || x.Index > 0 {
				continue
			}
			parts = append(parts, x.Content.Parts...)
			out.Pieces++
		}
		last = r
		if a.Cancel > 0 && out.Pieces >= a.Cancel {
			return out
		}
	}
	if last == nil {
		out.Err = &flowError{Class: "stream", Message: "it was empty"}
		return out
	}
	geminiAnswer(out, last, parts)
	out.Choices = texts
	return out
}
