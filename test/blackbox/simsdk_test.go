package blackbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	claude "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"google.golang.org/genai"
)

// These tests drive the simulator by itself with the vendors' own clients:
// what the gateway is tested against is what the clients were written for.

const simVendors = `
seed: 7
models:
  vendor-model: {tokens: 12}
  gemini-3-model: {tokens: 12}
  limited-model: {fault: {kind: status, status: 429, headers: {Retry-After: "30"}}}
  busy-model: {fault: {kind: status, status: 529}}
  cut-model: {fault: {kind: cut, after: 3}}
  failing-model: {fault: {kind: error_mid, after: 3}}
`

func TestSimAnthropic(t *testing.T) {
	t.Parallel()
	s := simulate(t, simVendors)
	c := anthropic.NewClient(claude.WithBaseURL(s.url), claude.WithAPIKey(keyOne), claude.WithMaxRetries(0), claude.WithHTTPClient(client))
	ctx := t.Context()
	ask := func(words string) anthropic.MessageNewParams {
		return anthropic.MessageNewParams{
			Model: "vendor-model", MaxTokens: 2000,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(words))},
		}
	}
	stream := func(p anthropic.MessageNewParams) (m anthropic.Message, err error) {
		st := c.Messages.NewStreaming(ctx, p)
		for st.Next() {
			if err := m.Accumulate(st.Current()); err != nil {
				return m, err
			}
		}
		return m, st.Err()
	}
	both := map[string]func(p anthropic.MessageNewParams) (anthropic.Message, error){
		"stream": stream,
		"unary": func(p anthropic.MessageNewParams) (anthropic.Message, error) {
			m, err := c.Messages.New(ctx, p)
			if err != nil {
				return anthropic.Message{}, err
			}
			return *m, nil
		},
	}
	tool := anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"], Required: []string{"city", "days"}}, "forecast")
	for name, do := range both {
		t.Run("text "+name, func(t *testing.T) {
			m, err := do(ask("Hello"))
			if err != nil || len(m.Content) != 1 || !strings.HasPrefix(m.Content[0].Text, "This is vendor-model") || m.StopReason != "end_turn" || m.Usage.OutputTokens != 12 || m.Usage.InputTokens == 0 {
				t.Errorf("got %+v, %v", m, err)
			}
		})
		t.Run("thinking and tools "+name, func(t *testing.T) {
			p := ask("call every tool")
			p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
			p.Tools = []anthropic.ToolUnionParam{tool, anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: map[string]any{}}, "clock")}
			m, err := do(p)
			if err != nil || len(m.Content) != 3 || m.Content[0].Type != "thinking" || m.Content[0].Signature == "" || m.StopReason != "tool_use" {
				t.Fatalf("got %+v, %v", m, err)
			}
			checkWeather(t, "input", string(m.Content[1].Input))
			p.Messages = append(p.Messages, m.ToParam(), anthropic.NewUserMessage(
				anthropic.NewToolResultBlock(m.Content[1].ID, "sun", false), anthropic.NewToolResultBlock(m.Content[2].ID, "no clock", true)))
			if m, err = do(p); err != nil || m.StopReason != "end_turn" || len(m.Content) != 2 {
				t.Errorf("with the results: got %+v, %v", m, err)
			}
		})
		t.Run("structured "+name, func(t *testing.T) {
			p := ask("Weather?")
			p.OutputConfig = anthropic.OutputConfigParam{Format: anthropic.JSONOutputFormatParam{Schema: weatherSchema}}
			m, err := do(p)
			if err != nil {
				t.Fatal(err)
			}
			checkWeather(t, "text", m.Content[0].Text)
		})
	}
	t.Run("errors", func(t *testing.T) {
		for model, want := range map[string]struct {
			status int
			kind   string
		}{
			"unknown":       {404, "not_found_error"},
			"limited-model": {429, "rate_limit_error"},
			"busy-model":    {529, "overloaded_error"},
		} {
			p := ask("Hello")
			p.Model = anthropic.Model(model)
			_, err := c.Messages.New(ctx, p)
			var e *anthropic.Error
			if !errors.As(err, &e) || e.StatusCode != want.status || string(e.Type()) != want.kind || e.RequestID == "" {
				t.Errorf("%s: got %v, want %+v", model, err, want)
			}
		}
		for _, model := range []anthropic.Model{"cut-model", "failing-model"} {
			p := ask("Hello")
			p.Model = model
			if m, err := stream(p); err == nil || len(m.Content) == 0 {
				t.Errorf("%s: got %+v, want an error after some content", model, m)
			}
		}
	})
	t.Run("count and list", func(t *testing.T) {
		n, err := c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: "vendor-model", Messages: ask("Hello").Messages})
		if err != nil || n.InputTokens == 0 {
			t.Errorf("got %+v, %v", n, err)
		}
		list, err := c.Models.List(ctx, anthropic.ModelListParams{})
		if err != nil || len(list.Data) != 6 {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}

func TestSimGemini(t *testing.T) {
	t.Parallel()
	s := simulate(t, simVendors)
	ctx := t.Context()
	c, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: keyOne, Backend: genai.BackendGeminiAPI, HTTPClient: client, HTTPOptions: genai.HTTPOptions{BaseURL: s.url},
	})
	if err != nil {
		t.Fatal(err)
	}
	// stream joins the parts of a stream's first candidates; an empty one must
	// not go back.
	stream := func(model string, turns []*genai.Content, conf *genai.GenerateContentConfig) (*genai.GenerateContentResponse, error) {
		var all []*genai.Part
		var last *genai.GenerateContentResponse
		for r, err := range c.Models.GenerateContentStream(ctx, model, turns, conf) {
			if err != nil {
				return last, err
			}
			last = r
			if r.Candidates[0].Content == nil {
				continue
			}
			for _, p := range r.Candidates[0].Content.Parts {
				if p.Text != "" || p.FunctionCall != nil {
					all = append(all, p)
				}
			}
		}
		last.Candidates[0].Content = genai.NewContentFromParts(all, genai.RoleModel)
		return last, nil
	}
	both := map[string]func(string, []*genai.Content, *genai.GenerateContentConfig) (*genai.GenerateContentResponse, error){
		"stream": stream,
		"unary": func(model string, turns []*genai.Content, conf *genai.GenerateContentConfig) (*genai.GenerateContentResponse, error) {
			return c.Models.GenerateContent(ctx, model, turns, conf)
		},
	}
	tools := []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{
		{Name: "forecast", ParametersJsonSchema: weatherSchema},
		{Name: "clock", Parameters: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"zones": {Type: genai.TypeArray, Items: &genai.Schema{Type: genai.TypeString}, MinItems: genai.Ptr[int64](2)}}}},
	}}}
	for name, do := range both {
		t.Run("text "+name, func(t *testing.T) {
			r, err := do("vendor-model", genai.Text("Hello"), nil)
			if err != nil || !strings.HasPrefix(r.Text(), "This is vendor-model") || r.Candidates[0].FinishReason != genai.FinishReasonStop || r.UsageMetadata.CandidatesTokenCount != 12 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
		t.Run("thoughts and tools "+name, func(t *testing.T) {
			turns := genai.Text("call every tool")
			conf := &genai.GenerateContentConfig{Tools: tools, ThinkingConfig: &genai.ThinkingConfig{IncludeThoughts: true, ThinkingLevel: genai.ThinkingLevelHigh}}
			r, err := do("gemini-3-model", turns, conf)
			if err != nil || len(r.FunctionCalls()) != 2 || !r.Candidates[0].Content.Parts[0].Thought || r.UsageMetadata.ThoughtsTokenCount == 0 {
				t.Fatalf("got %+v, %v", r, err)
			}
			if zones, ok := r.FunctionCalls()[1].Args["zones"].([]any); !ok || len(zones) != 2 {
				t.Errorf("got arguments %+v, want two zones", r.FunctionCalls()[1].Args)
			}
			turns = append(turns, r.Candidates[0].Content, genai.NewContentFromParts([]*genai.Part{
				genai.NewPartFromFunctionResponse("forecast", map[string]any{"output": "sun"}), genai.NewPartFromFunctionResponse("clock", map[string]any{"error": "none"}),
			}, genai.RoleUser))
			if r, err = do("gemini-3-model", turns, conf); err != nil || r.Text() == "" {
				t.Errorf("with the results: got %+v, %v", r, err)
			}
		})
		t.Run("structured "+name, func(t *testing.T) {
			r, err := do("vendor-model", genai.Text("Weather?"), &genai.GenerateContentConfig{ResponseMIMEType: "application/json", ResponseJsonSchema: weatherSchema})
			if err != nil {
				t.Fatal(err)
			}
			checkWeather(t, "text", r.Text())
		})
	}
	t.Run("errors", func(t *testing.T) {
		for model, want := range map[string]struct {
			code   int
			status string
		}{
			"unknown":       {404, "NOT_FOUND"},
			"limited-model": {429, "RESOURCE_EXHAUSTED"},
			"busy-model":    {529, "UNAVAILABLE"},
		} {
			_, err := c.Models.GenerateContent(ctx, model, genai.Text("Hello"), nil)
			var e genai.APIError
			if !errors.As(err, &e) || e.Code != want.code || e.Status != want.status {
				t.Errorf("%s: got %v, want %+v", model, err, want)
			}
		}
		for _, model := range []string{"cut-model", "failing-model"} {
			if r, err := stream(model, genai.Text("Hello"), nil); err == nil || r == nil {
				t.Errorf("%s: got %+v, want an error after some content", model, r)
			}
		}
	})
	t.Run("rest", func(t *testing.T) {
		n, err := c.Models.CountTokens(ctx, "vendor-model", genai.Text("Hello"), nil)
		if err != nil || n.TotalTokens == 0 {
			t.Errorf("got %+v, %v", n, err)
		}
		v, err := c.Models.EmbedContent(ctx, "vendor-model", genai.Text("Hello"), &genai.EmbedContentConfig{OutputDimensionality: genai.Ptr[int32](16)})
		if err != nil || len(v.Embeddings) != 1 || len(v.Embeddings[0].Values) != 16 {
			t.Errorf("got %+v, %v", v, err)
		}
		list, err := c.Models.List(ctx, nil)
		if err != nil || len(list.Items) != 6 {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}

func TestSimResponses(t *testing.T) {
	t.Parallel()
	s := simulate(t, simVendors)
	c := openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(keyOne), option.WithMaxRetries(0), option.WithHTTPClient(client))
	ctx := t.Context()
	ask := func(words string) responses.ResponseNewParams {
		return responses.ResponseNewParams{Model: "vendor-model", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(words)}}
	}
	stream := func(p responses.ResponseNewParams) (*responses.Response, error) {
		st := c.Responses.NewStreaming(ctx, p)
		text, last := "", responses.Response{}
		for st.Next() {
			e := st.Current()
			switch e.Type {
			case "response.output_text.delta":
				text += e.Delta
			case "response.completed", "response.failed", "response.incomplete":
				last = e.Response
			}
		}
		if st.Err() == nil && last.OutputText() != text {
			t.Errorf("deltas: got %q, want %q", text, last.OutputText())
		}
		return &last, st.Err()
	}
	both := map[string]func(p responses.ResponseNewParams) (*responses.Response, error){
		"stream": stream,
		"unary":  func(p responses.ResponseNewParams) (*responses.Response, error) { return c.Responses.New(ctx, p) },
	}
	for name, do := range both {
		t.Run("text "+name, func(t *testing.T) {
			r, err := do(ask("Hello"))
			if err != nil || !strings.HasPrefix(r.OutputText(), "This is vendor-model") || r.Status != "completed" || r.Usage.OutputTokens != 12 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
		t.Run("reasoning and tools "+name, func(t *testing.T) {
			p := ask("call the tool")
			p.Reasoning = shared.ReasoningParam{Effort: "low", Summary: "auto"}
			p.Include = []responses.ResponseIncludable{"reasoning.encrypted_content"}
			p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("forecast", weatherSchema, true)}
			r, err := do(p)
			if err != nil || len(r.Output) != 2 || r.Output[0].Type != "reasoning" || r.Output[0].EncryptedContent == "" || r.Output[1].Type != "function_call" {
				t.Fatalf("got %+v, %v", r, err)
			}
			checkWeather(t, "arguments", r.Output[1].AsFunctionCall().Arguments)
			p.PreviousResponseID = openai.String(r.ID)
			result := responses.ResponseInputItemParamOfFunctionCallOutput("sun")
			result.OfFunctionCallOutput.CallID = openai.String(r.Output[1].CallID)
			p.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{result}}
			if r, err = do(p); err != nil || r.OutputText() == "" {
				t.Errorf("with the result: got %+v, %v", r, err)
			}
		})
		t.Run("structured "+name, func(t *testing.T) {
			p := ask("Weather?")
			p.Text = responses.ResponseTextConfigParam{Format: responses.ResponseFormatTextConfigParamOfJSONSchema("weather", weatherSchema)}
			r, err := do(p)
			if err != nil {
				t.Fatal(err)
			}
			checkWeather(t, "text", r.OutputText())
		})
	}
	t.Run("stored", func(t *testing.T) {
		r, err := c.Responses.New(ctx, ask("Hello"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Responses.Get(ctx, r.ID, responses.ResponseGetParams{})
		if err != nil || again.OutputText() != r.OutputText() {
			t.Errorf("got %+v, %v", again, err)
		}
		list, err := c.Responses.InputItems.List(ctx, r.ID, responses.InputItemListParams{})
		if err != nil || len(list.Data) != 1 {
			t.Errorf("got %+v, %v", list, err)
		}
		if err := c.Responses.Delete(ctx, r.ID); err != nil {
			t.Error(err)
		}
		var e *openai.Error
		if _, err := c.Responses.Get(ctx, r.ID, responses.ResponseGetParams{}); !errors.As(err, &e) || e.StatusCode != 404 {
			t.Errorf("got %v, want 404", err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		p := ask("Hello")
		p.Model = "limited-model"
		var e *openai.Error
		if _, err := c.Responses.New(ctx, p); !errors.As(err, &e) || e.StatusCode != 429 || e.Code != "rate_limit_exceeded" {
			t.Errorf("got %v, want 429", err)
		}
		p.Model = "cut-model"
		if r, err := stream(p); err == nil {
			t.Errorf("cut: got %+v, want an error", r)
		}
	})
}
