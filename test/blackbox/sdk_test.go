package blackbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
	sashabaranov "github.com/sashabaranov/go-openai"
)

var weatherSchema = map[string]any{
	"type":                 "object",
	"properties":           map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}},
	"required":             []string{"city", "days"},
	"additionalProperties": false,
}

// weather is what a document of weatherSchema decodes into.
type weather struct {
	City *string `json:"city"`
	Days *int    `json:"days"`
}

func checkWeather(t *testing.T, where, doc string) {
	t.Helper()
	var w weather
	if err := json.Unmarshal([]byte(doc), &w); err != nil || w.City == nil || w.Days == nil {
		t.Errorf("%s: got %q (%v), want a document of the schema", where, doc, err)
	}
}

func checkVector(t *testing.T, where string, v []float64) {
	t.Helper()
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	if len(v) != 16 || math.Abs(sum-1) > 0.01 {
		t.Errorf("%s: got %d dimensions of length² %v, want the simulator's 16 of length 1", where, len(v), sum)
	}
}

func user(s string) []openai.ChatCompletionMessageParamUnion {
	return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(s)}
}

func TestOpenAIGo(t *testing.T) {
	t.Parallel()
	g, s := sdkGateway(t)
	c := openai.NewClient(option.WithBaseURL(g.url+"/v1"), option.WithAPIKey(keyOne), option.WithMaxRetries(0), option.WithHTTPClient(client))
	ctx := t.Context()

	t.Run("chat", func(t *testing.T) {
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "chat", Messages: user("Hello")})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Choices) != 1 || r.Choices[0].Message.Content == "" || r.Choices[0].FinishReason != "stop" || r.Usage.TotalTokens == 0 || r.Model != "chat-model" {
			t.Errorf("got %s, want an answer of chat-model with usage", r.RawJSON())
		}
	})
	t.Run("stream", func(t *testing.T) {
		for _, usage := range []bool{false, true} {
			p := openai.ChatCompletionNewParams{Model: "chat", Messages: user("Hello")}
			if usage {
				p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
			}
			st := c.Chat.Completions.NewStreaming(ctx, p)
			var acc openai.ChatCompletionAccumulator
			empty := 0
			for st.Next() {
				chunk := st.Current()
				if len(chunk.Choices) == 0 {
					empty++
				}
				if !acc.AddChunk(chunk) {
					t.Error("the accumulator refused a chunk")
				}
			}
			if err := st.Err(); err != nil {
				t.Fatal(err)
			}
			if len(acc.Choices) != 1 || acc.Choices[0].Message.Content == "" || acc.Choices[0].FinishReason != "stop" {
				t.Errorf("got %+v, want a whole answer", acc.Choices)
			}
			if want := map[bool]int{true: 1}[usage]; empty != want || (acc.Usage.TotalTokens > 0) != usage {
				t.Errorf("usage asked for: %v; got %d usage events and %d tokens", usage, empty, acc.Usage.TotalTokens)
			}
		}
	})
	tools := []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "forecast", Parameters: weatherSchema})}
	required := openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: param.NewOpt("required")}
	t.Run("tools", func(t *testing.T) {
		p := openai.ChatCompletionNewParams{Model: "chat", Messages: user("Weather?"), Tools: tools, ToolChoice: required}
		r, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Choices[0].Message.ToolCalls) != 1 || r.Choices[0].FinishReason != "tool_calls" {
			t.Fatalf("got %s, want one tool call", r.RawJSON())
		}
		call := r.Choices[0].Message.ToolCalls[0]
		checkWeather(t, "arguments", call.Function.Arguments)
		if call.ID == "" || call.Function.Name != "forecast" {
			t.Errorf("call: got %+v", call)
		}
		p.Messages = append(p.Messages, r.Choices[0].Message.ToParam(), openai.ToolMessage(`{"sun": true}`, call.ID))
		p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: param.NewOpt("none")}
		if r, err = c.Chat.Completions.New(ctx, p); err != nil || r.Choices[0].Message.Content == "" {
			t.Errorf("with the tool's result: got %v, want text", err)
		}
	})
	t.Run("tools streamed", func(t *testing.T) {
		st := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: "chat", Messages: user("Weather?"), Tools: tools, ToolChoice: required})
		var acc openai.ChatCompletionAccumulator
		finished := 0
		for st.Next() {
			acc.AddChunk(st.Current())
			if call, ok := acc.JustFinishedToolCall(); ok {
				finished++
				checkWeather(t, "arguments", call.Arguments)
			}
		}
		if st.Err() != nil || len(acc.Choices) != 1 || len(acc.Choices[0].Message.ToolCalls) != 1 || acc.Choices[0].Message.ToolCalls[0].Function.Name != "forecast" {
			t.Fatalf("got %+v, %v, want one tool call", acc.Choices, st.Err())
		}
		checkWeather(t, "accumulated arguments", acc.Choices[0].Message.ToolCalls[0].Function.Arguments)
		if finished != 1 {
			t.Errorf("finished tool calls: got %d, want 1", finished)
		}
	})
	t.Run("structured output", func(t *testing.T) {
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: "chat", Messages: user("Weather?"),
			ResponseFormat: openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
				JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Strict: openai.Bool(true), Schema: weatherSchema},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		checkWeather(t, "content", r.Choices[0].Message.Content)
	})
	t.Run("completions", func(t *testing.T) {
		r, err := c.Completions.New(ctx, openai.CompletionNewParams{Model: "chat", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")}})
		if err != nil || len(r.Choices) != 1 || r.Choices[0].Text == "" {
			t.Errorf("got %+v, %v, want text", r, err)
		}
	})
	t.Run("embeddings", func(t *testing.T) {
		r, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "emb", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}}})
		if err != nil || len(r.Data) != 2 {
			t.Fatalf("got %+v, %v, want two vectors", r, err)
		}
		checkVector(t, "first vector", r.Data[0].Embedding)
	})
	t.Run("models", func(t *testing.T) {
		page, err := c.Models.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, m := range page.Data {
			ids[m.ID] = true
		}
		if !ids["chat"] || !ids["emb"] {
			t.Errorf("models: got %v, want chat and emb among them", ids)
		}
		for _, id := range []string{"chat", "sim/chat-model"} {
			if m, err := c.Models.Get(ctx, id); err != nil || m.ID != id {
				t.Errorf("model %s: got %+v, %v", id, m, err)
			}
		}
		r, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: "sim/chat-model", Messages: user("Hello")})
		if err != nil || r.Choices[0].Message.Content == "" {
			t.Errorf("sim/chat-model: %v", err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		ask := func(key, model string) *openai.Error {
			t.Helper()
			_, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: model, Messages: user("Hello")}, option.WithAPIKey(key))
			var e *openai.Error
			if !errors.As(err, &e) {
				t.Fatalf("%s: got %v, want an API error", model, err)
			}
			return e
		}
		if e := ask("sk-wrong", "chat"); e.StatusCode != 401 || e.Code != "invalid_api_key" {
			t.Errorf("wrong key: got %d %s, want 401 invalid_api_key", e.StatusCode, e.Code)
		}
		if e := ask(keyOne, "chta"); e.StatusCode != 404 || e.Code != "model_not_found" || !strings.Contains(e.Message, "chat") {
			t.Errorf("unknown model: got %d %s %q, want 404 model_not_found with the nearest name", e.StatusCode, e.Code, e.Message)
		}
		e := ask(keyOne, "limited")
		if e.StatusCode != 429 || e.Code != "rate_limit_exceeded" || e.Response.Header.Get("Retry-After") == "" {
			t.Errorf("rate limited: got %d %s, Retry-After %q", e.StatusCode, e.Code, e.Response.Header.Get("Retry-After"))
		}
		if e := ask(keyOne, "refusing"); e.StatusCode != 400 {
			t.Errorf("the caller's error: got %d, want 400", e.StatusCode)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		st := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{Model: "slow", Messages: user("Hello")})
		for range 3 {
			if !st.Next() {
				t.Fatal(st.Err())
			}
		}
		cancel()
		for st.Next() {
		}
		_ = st.Close()
		canceled(t, s)
	})
}

// canceled waits until the simulator has seen its newest call to slow-model
// being left.
func canceled(t *testing.T, s *simulator) {
	t.Helper()
	eventually(t, "the vendor's notice of the cancel", func() bool {
		j := s.journal("slow-model")
		return len(j) > 0 && j[len(j)-1].Outcome == "canceled"
	})
	j := s.journal("slow-model")
	if last := j[len(j)-1]; last.Events < 1 || last.Events > 1500 {
		t.Errorf("events before the cancel: got %d, want some, and far from all", last.Events)
	}
}

func TestGoOpenAI(t *testing.T) {
	t.Parallel()
	g, s := sdkGateway(t)
	dial := func(key string) *sashabaranov.Client {
		cfg := sashabaranov.DefaultConfig(key)
		cfg.BaseURL, cfg.HTTPClient = g.url+"/v1", client
		return sashabaranov.NewClientWithConfig(cfg)
	}
	c := dial(keyOne)
	ctx := t.Context()
	req := func(model string) sashabaranov.ChatCompletionRequest {
		return sashabaranov.ChatCompletionRequest{Model: model, Messages: []sashabaranov.ChatCompletionMessage{{Role: "user", Content: "Hello"}}}
	}
	collect := func(t *testing.T, r sashabaranov.ChatCompletionRequest) (text, args string, usage int) {
		t.Helper()
		st, err := c.CreateChatCompletionStream(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for {
			chunk, err := st.Recv()
			if errors.Is(err, io.EOF) {
				return text, args, usage
			}
			if err != nil {
				t.Fatal(err)
			}
			if chunk.Usage != nil {
				usage = chunk.Usage.TotalTokens
			}
			for _, x := range chunk.Choices {
				text += x.Delta.Content
				for _, call := range x.Delta.ToolCalls {
					args += call.Function.Arguments
				}
			}
		}
	}
	t.Run("chat", func(t *testing.T) {
		r, err := c.CreateChatCompletion(ctx, req("chat"))
		if err != nil || len(r.Choices) != 1 || r.Choices[0].Message.Content == "" || r.Usage.TotalTokens == 0 {
			t.Errorf("got %+v, %v, want an answer with usage", r, err)
		}
	})
	t.Run("stream", func(t *testing.T) {
		if text, _, usage := collect(t, req("chat")); text == "" || usage != 0 {
			t.Errorf("got %q and %d tokens, want text and no usage", text, usage)
		}
		r := req("chat")
		r.StreamOptions = &sashabaranov.StreamOptions{IncludeUsage: true}
		if text, _, usage := collect(t, r); text == "" || usage == 0 {
			t.Errorf("got %q and %d tokens, want text and usage", text, usage)
		}
	})
	tools := []sashabaranov.Tool{{Type: "function", Function: &sashabaranov.FunctionDefinition{Name: "forecast", Parameters: weatherSchema}}}
	t.Run("tools", func(t *testing.T) {
		r := req("chat")
		r.Tools, r.ToolChoice = tools, "required"
		got, err := c.CreateChatCompletion(ctx, r)
		if err != nil || len(got.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("got %+v, %v, want one tool call", got, err)
		}
		checkWeather(t, "arguments", got.Choices[0].Message.ToolCalls[0].Function.Arguments)
		_, args, _ := collect(t, r)
		checkWeather(t, "streamed arguments", args)
	})
	t.Run("structured output", func(t *testing.T) {
		r := req("chat")
		raw, err := json.Marshal(weatherSchema)
		if err != nil {
			t.Fatal(err)
		}
		r.ResponseFormat = &sashabaranov.ChatCompletionResponseFormat{Type: "json_schema", JSONSchema: &sashabaranov.ChatCompletionResponseFormatJSONSchema{Name: "weather", Schema: json.RawMessage(raw), Strict: true}}
		got, err := c.CreateChatCompletion(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		checkWeather(t, "content", got.Choices[0].Message.Content)
	})
	t.Run("embeddings", func(t *testing.T) {
		for _, enc := range []sashabaranov.EmbeddingEncodingFormat{"", sashabaranov.EmbeddingEncodingFormatFloat, sashabaranov.EmbeddingEncodingFormatBase64} {
			r, err := c.CreateEmbeddings(ctx, sashabaranov.EmbeddingRequest{Model: "emb", Input: []string{"one", "two"}, EncodingFormat: enc})
			if err != nil || len(r.Data) != 2 {
				t.Errorf("%q: got %+v, %v, want two vectors", enc, r, err)
				continue
			}
			v := make([]float64, len(r.Data[0].Embedding))
			for i, x := range r.Data[0].Embedding {
				v[i] = float64(x)
			}
			checkVector(t, "encoding "+string(enc), v)
		}
	})
	t.Run("models", func(t *testing.T) {
		list, err := c.ListModels(ctx)
		if err != nil || len(list.Models) < 5 {
			t.Errorf("got %+v, %v, want the five models", list, err)
		}
		if m, err := c.GetModel(ctx, "sim/chat-model"); err != nil || m.ID != "sim/chat-model" {
			t.Errorf("model with a slash: got %+v, %v", m, err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		for _, x := range []struct {
			key, model, code string
			status           int
		}{
			{"sk-wrong", "chat", "invalid_api_key", 401}, {keyOne, "nothing-like-it", "model_not_found", 404}, {keyOne, "limited", "rate_limit_exceeded", 429},
		} {
			_, err := dial(x.key).CreateChatCompletion(ctx, req(x.model))
			var e *sashabaranov.APIError
			if !errors.As(err, &e) || e.HTTPStatusCode != x.status || e.Code != x.code {
				t.Errorf("%s: got %v, want %d %s", x.model, err, x.status, x.code)
			}
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		st, err := c.CreateChatCompletionStream(ctx, req("slow"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := st.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		_ = st.Close()
		canceled(t, s)
	})
}
