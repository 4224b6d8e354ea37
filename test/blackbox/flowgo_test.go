package blackbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// goClients are the SDKs in Go.
func goClients() []flowClient {
	return []flowClient{
		{name: "go-openai-chat", proto: protoChat, driver: goChat{}, unary: true, streams: true, sees: true, seals: true, n: true, stops: true, embeds: true, lists: true},
		{name: "go-openai-responses", proto: protoResponses, driver: goResponses{}, unary: true, streams: true, sees: true, seals: true},
		{name: "go-anthropic", proto: protoAnthropic, driver: goAnthropic{}, counts: true, unary: true, streams: true, sees: true, seals: true, stops: true, marks: true},
		{name: "go-genai", proto: protoGemini, driver: goGemini{}, counts: true, unary: true, streams: true, sees: true, seals: true, n: true, stops: true, embeds: true},
	}
}

// finishes are the SDKs' words for why an answer ended.
var finishes = map[string]string{
	"stop": "stop", "length": "length", "tool_calls": "tools",
	"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tools",
	"completed": "stop", "incomplete": "length",
	"STOP": "stop", "MAX_TOKENS": "length",
}

func finish(word string) string {
	if f, ok := finishes[word]; ok {
		return f
	}
	return word
}

func openAIClient(a *ask) openai.Client {
	return openai.NewClient(option.WithBaseURL(a.Base+"/v1"), option.WithAPIKey(a.Key), option.WithMaxRetries(0), option.WithHTTPClient(client))
}

func openAIError(err error) *flowError {
	var e *openai.Error
	if errors.As(err, &e) {
		return &flowError{Class: "openai.Error", Status: e.StatusCode, Code: e.Code, Message: e.Message}
	}
	return &flowError{Class: "error", Message: err.Error()}
}

// goChat is openai-go's chat completions.
type goChat struct{}

func (goChat) ask(ctx context.Context, a *ask) *answer {
	c := openAIClient(a)
	if a.Embed != nil {
		r, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: a.Model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: a.Embed}})
		if err != nil {
			return &answer{Err: openAIError(err)}
		}
		out := &answer{}
		for _, d := range r.Data {
			out.Vectors = append(out.Vectors, d.Embedding)
		}
		return out
	}
	if a.Models {
		return openAIModels(ctx, c, a)
	}
	p := chatParams(a)
	if !a.Stream {
		r, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			return &answer{Err: openAIError(err)}
		}
		return chatAnswer(r, "")
	}
	if !a.Quiet {
		p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	}
	return chatStream(c.Chat.Completions.NewStreaming(ctx, p), a.Cancel)
}

func openAIModels(ctx context.Context, c openai.Client, a *ask) *answer {
	out := &answer{}
	all := c.Models.ListAutoPaging(ctx)
	for all.Next() {
		out.Models = append(out.Models, all.Current().ID)
	}
	one, err := c.Models.Get(ctx, a.Model)
	if err := errors.Join(all.Err(), err); err != nil {
		return &answer{Err: openAIError(err)}
	}
	out.Text = one.ID
	return out
}

func chatParams(a *ask) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{Model: a.Model}
	if a.System != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(a.System))
	}
	for _, t := range a.Turns {
		switch {
		case t.Reply != nil:
			p.Messages = append(p.Messages, t.Reply.native.(openai.ChatCompletionMessageParamUnion))
		case t.Image != "":
			p.Messages = append(p.Messages, openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
				openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + t.Image}), openai.TextContentPart(t.User),
			}))
		case t.User != "":
			p.Messages = append(p.Messages, openai.UserMessage(t.User))
		}
		for _, r := range t.Results {
			p.Messages = append(p.Messages, openai.ToolMessage(r.Text, r.ID))
		}
	}
	for _, t := range a.Tools {
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: t.Name, Description: openai.String(t.Description), Parameters: t.Schema, Strict: openai.Bool(true)}))
	}
	switch a.Choice {
	case "":
	case "required":
		p.ToolChoice.OfAuto = param.NewOpt(a.Choice)
	default:
		p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: a.Choice})
	}
	if a.Schema != nil {
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "answer", Schema: a.Schema, Strict: openai.Bool(true)}}
	}
	if a.Think {
		p.ReasoningEffort = shared.ReasoningEffortLow
	}
	if a.Max > 0 {
		p.MaxCompletionTokens = openai.Int(int64(a.Max))
	}
	if a.Stop != "" {
		p.Stop.OfString = openai.String(a.Stop)
	}
	if a.N > 0 {
		p.N = openai.Int(int64(a.N))
	}
	return p
}

// chatAnswer reads an answer. details are the stream's reasoning_details, as
// JSON; of a unary answer they are in the message.
func chatAnswer(r *openai.ChatCompletion, details string) *answer {
	out := &answer{Usage: flowUsage{int(r.Usage.PromptTokens), int(r.Usage.CompletionTokens), int(r.Usage.PromptTokensDetails.CachedTokens), int(r.Usage.CompletionTokensDetails.ReasoningTokens)}}
	for _, c := range r.Choices {
		out.Choices = append(out.Choices, c.Message.Content)
	}
	if len(r.Choices) == 0 {
		return out
	}
	m := r.Choices[0].Message
	out.Text, out.Finish = m.Content, finish(r.Choices[0].FinishReason)
	if raw := m.JSON.ExtraFields["reasoning_content"].Raw(); raw != "" {
		_ = json.Unmarshal([]byte(raw), &out.Thinking) // a wrong one is none, and the flow misses it
	}
	if details == "" {
		details = m.JSON.ExtraFields["reasoning_details"].Raw()
	}
	back := m.ToAssistantMessageParam()
	if details != "" && details != "null" {
		back.SetExtraFields(map[string]any{"reasoning_details": json.RawMessage(details)})
	}
	for _, c := range m.ToolCalls {
		out.Calls = append(out.Calls, toolCall{c.ID, c.Function.Name, c.Function.Arguments})
	}
	out.native = openai.ChatCompletionMessageParamUnion{OfAssistant: &back}
	return out
}

func chatStream(st interface {
	Next() bool
	Current() openai.ChatCompletionChunk
	Err() error
	Close() error
}, cancel int) *answer {
	defer st.Close()
	var acc openai.ChatCompletionAccumulator
	var details []json.RawMessage
	thinking, pieces := "", 0
	for st.Next() {
		chunk := st.Current()
		if !acc.AddChunk(chunk) {
			return &answer{Pieces: pieces, Err: &flowError{Class: "accumulator", Message: "it refused " + chunk.RawJSON()}}
		}
		if len(chunk.Choices) == 0 && chunk.Usage.TotalTokens == 0 {
			return &answer{Pieces: pieces, Err: &flowError{Class: "stream", Message: "an event says nothing: " + chunk.RawJSON()}}
		}
		for _, c := range chunk.Choices {
			var more string
			var some []json.RawMessage
			if raw := c.Delta.JSON.ExtraFields["reasoning_content"].Raw(); raw != "" && json.Unmarshal([]byte(raw), &more) == nil {
				thinking += more
			}
			if raw := c.Delta.JSON.ExtraFields["reasoning_details"].Raw(); raw != "" && json.Unmarshal([]byte(raw), &some) == nil {
				details = append(details, some...)
			}
			if c.Delta.Content != "" || len(c.Delta.ToolCalls) > 0 || more != "" {
				pieces++
			}
		}
		if cancel > 0 && pieces >= cancel {
			return &answer{Pieces: pieces}
		}
	}
	raw := ""
	if details != nil {
		b, err := json.Marshal(details)
		if err != nil {
			return &answer{Pieces: pieces, Err: openAIError(err)}
		}
		raw = string(b)
	}
	out := chatAnswer(&acc.ChatCompletion, raw)
	out.Thinking, out.Pieces = thinking, pieces
	if err := st.Err(); err != nil {
		out.Err = openAIError(err)
	}
	return out
}

// goResponses is openai-go's Responses.
type goResponses struct{}

func (goResponses) ask(ctx context.Context, a *ask) *answer {
	c := openAIClient(a)
	p := responsesParams(a)
	if !a.Stream {
		r, err := c.Responses.New(ctx, p)
		if err != nil {
			return &answer{Err: openAIError(err)}
		}
		return responsesAnswer(r)
	}
	st := c.Responses.NewStreaming(ctx, p)
	defer st.Close()
	var last *responses.Response
	text, thinking, pieces := "", "", 0
	for st.Next() {
		e := st.Current()
		switch e.Type {
		case "response.output_text.delta":
			text += e.Delta
			pieces++
		case "response.reasoning_summary_text.delta":
			thinking += e.Delta
			pieces++
		case "response.function_call_arguments.delta":
			pieces++
		case "response.completed", "response.incomplete":
			last = &e.Response
		case "response.failed":
			return &answer{Pieces: pieces, Err: &flowError{Class: e.Type, Code: string(e.Response.Error.Code), Message: e.Response.Error.Message}}
		case "error":
			return &answer{Pieces: pieces, Err: &flowError{Class: e.Type, Code: e.Code, Message: e.Message}}
		}
		if a.Cancel > 0 && pieces >= a.Cancel {
			return &answer{Pieces: pieces}
		}
	}
	if err := st.Err(); err != nil {
		return &answer{Pieces: pieces, Err: openAIError(err)}
	}
	if last == nil {
		return &answer{Pieces: pieces, Err: &flowError{Class: "stream", Message: "it ended without its last event"}}
	}
	out := responsesAnswer(last)
	if out.Text != text || out.Thinking != thinking {
		out.Err = &flowError{Class: "stream", Message: "its last event does not say what the deltas said"}
	}
	out.Pieces = pieces
	return out
}

func responsesParams(a *ask) responses.ResponseNewParams {
	p := responses.ResponseNewParams{Model: a.Model, Store: openai.Bool(false)}
	if a.System != "" {
		p.Instructions = openai.String(a.System)
	}
	var items responses.ResponseInputParam
	for _, t := range a.Turns {
		switch {
		case t.Reply != nil:
			items = append(items, t.Reply.native.([]responses.ResponseInputItemUnionParam)...)
		case t.Image != "":
			image := responses.ResponseInputContentParamOfInputImage(responses.ResponseInputImageDetailAuto)
			image.OfInputImage.ImageURL = openai.String("data:image/png;base64," + t.Image)
			items = append(items, responses.ResponseInputItemParamOfMessage(responses.ResponseInputMessageContentListParam{image, responses.ResponseInputContentParamOfInputText(t.User)}, "user"))
		case t.User != "":
			items = append(items, responses.ResponseInputItemParamOfMessage(t.User, "user"))
		}
		for _, r := range t.Results {
			item := responses.ResponseInputItemParamOfFunctionCallOutput(r.Text)
			item.OfFunctionCallOutput.CallID = openai.String(r.ID)
			items = append(items, item)
		}
	}
	p.Input.OfInputItemList = items
	for _, t := range a.Tools {
		f := responses.ToolParamOfFunction(t.Name, t.Schema, true)
		f.OfFunction.Description = openai.String(t.Description)
		p.Tools = append(p.Tools, f)
	}
	switch a.Choice {
	case "":
	case "required":
		p.ToolChoice.OfToolChoiceMode = param.NewOpt(responses.ToolChoiceOptionsRequired)
	default:
		p.ToolChoice.OfFunctionTool = &responses.ToolChoiceFunctionParam{Name: a.Choice}
	}
	if s, ok := a.Schema.(map[string]any); ok {
		p.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("answer", s)
		p.Text.Format.OfJSONSchema.Strict = openai.Bool(true)
	}
	if a.Think {
		p.Reasoning = shared.ReasoningParam{Effort: shared.ReasoningEffortLow, Summary: shared.ReasoningSummaryAuto}
		p.Include = []responses.ResponseIncludable{responses.ResponseIncludableReasoningEncryptedContent}
	}
	if a.Max > 0 {
		p.MaxOutputTokens = openai.Int(int64(a.Max))
	}
	return p
}

func responsesAnswer(r *responses.Response) *answer {
	u := r.Usage
	out := &answer{
		Text: r.OutputText(), Finish: finish(string(r.Status)),
		Usage: flowUsage{int(u.InputTokens), int(u.OutputTokens), int(u.InputTokensDetails.CachedTokens), int(u.OutputTokensDetails.ReasoningTokens)},
	}
	var back []responses.ResponseInputItemUnionParam
	for _, item := range r.Output {
		back = append(back, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(item.RawJSON())))
		switch item.Type {
		case "reasoning":
			for _, s := range item.Summary {
				out.Thinking += s.Text
			}
		case "function_call":
			c := item.AsFunctionCall()
			out.Calls = append(out.Calls, toolCall{c.CallID, c.Name, c.Arguments})
			out.Finish = "tools"
		}
	}
	out.native = back
	return out
}

// bytesOf decodes a picture of a flow.
func bytesOf(picture string) []byte {
	b, err := base64.StdEncoding.DecodeString(picture)
	if err != nil {
		panic("a flow's picture: " + err.Error())
	}
	return b
}
