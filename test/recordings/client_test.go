package recordings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/genai"
)

// clients are the vendors' own SDKs in front of the gateway.
type clients struct {
	openai    openai.Client
	anthropic anthropic.Client
	gemini    *genai.Client
}

// names of the client protocols.
var protocols = [...]string{"openai", "responses", "anthropic", "gemini"}

func newClients(t *testing.T, url string) *clients {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}
	t.Cleanup(h.CloseIdleConnections)
	c := &clients{
		openai:    openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("k"), option.WithMaxRetries(0), option.WithHTTPClient(h)),
		anthropic: anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0), anthropicoption.WithHTTPClient(h)),
	}
	var err error
	c.gemini, err = genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: "k", Backend: genai.BackendGeminiAPI, HTTPClient: h, HTTPOptions: genai.HTTPOptions{BaseURL: url},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// failure is an error answer as a client's SDK tells it.
type failure struct {
	status     int // 0 in a stream
	kind, code string
	message    string
}

func (f *failure) Error() string {
	return fmt.Sprintf("status %d, type %s, code %s: %s", f.status, f.kind, f.code, f.message)
}

// ask asks model in a client protocol for a recording's answer. The error is a
// *failure where the gateway reported one; what came before it is returned.
func (c *clients) ask(ctx context.Context, proto, model, id string, stream bool) (a *answer, err error) {
	defer func() {
		if r := recover(); r != nil {
			a, err = &answer{}, fmt.Errorf("the SDK panicked: %v", r)
		}
	}()
	switch proto {
	case "openai":
		return c.chat(ctx, model, id, stream)
	case "responses":
		return c.responses(ctx, model, id, stream)
	case "anthropic":
		return c.messages(ctx, model, id, stream)
	}
	return c.generate(ctx, model, id, stream)
}

const hello = "Hello"

func openaiFailure(err error) error {
	var e *openai.Error
	if errors.As(err, &e) {
		return &failure{e.StatusCode, e.Type, e.Code, e.Message}
	}
	// The SDK words errors inside streams itself.
	if msg, ok := strings.CutPrefix(err.Error(), "received error while streaming: "); ok {
		var v struct{ Message, Type, Code string }
		if json.Unmarshal([]byte(msg), &v) == nil && v.Message != "" {
			return &failure{0, v.Type, v.Code, v.Message}
		}
	}
	return err
}

func (c *clients) chat(ctx context.Context, model, id string, stream bool) (*answer, error) {
	p := openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(hello)}}
	o := option.WithHeader(headerCase, id)
	if !stream {
		r, err := c.openai.Chat.Completions.New(ctx, p, o)
		if err != nil {
			return &answer{}, openaiFailure(err)
		}
		return fromChat(r), nil
	}
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	s := c.openai.Chat.Completions.NewStreaming(ctx, p, o)
	defer s.Close()
	var acc openai.ChatCompletionAccumulator
	for s.Next() {
		if !acc.AddChunk(s.Current()) {
			return fromChat(&acc.ChatCompletion), fmt.Errorf("the accumulator refuses a chunk: %s", clip(s.Current().RawJSON()))
		}
	}
	a := fromChat(&acc.ChatCompletion)
	if s.Err() != nil {
		return a, openaiFailure(s.Err())
	}
	return a, nil
}

func fromChat(r *openai.ChatCompletion) *answer {
	a := &answer{}
	for _, ch := range r.Choices {
		t := a.turn(int(ch.Index))
		t.text, t.refused = ch.Message.Content+ch.Message.Refusal, ch.Message.Refusal != ""
		for _, k := range ch.Message.ToolCalls {
			if k.Type == "custom" {
				t.calls = append(t.calls, &call{k.Custom.Name, k.Custom.Input, true})
			} else {
				t.calls = append(t.calls, &call{k.Function.Name, k.Function.Arguments, false})
			}
		}
		t.end(ch.FinishReason)
	}
	if u := r.Usage; u.TotalTokens > 0 {
		a.usage = &usage{u.PromptTokens, u.CompletionTokens, u.PromptTokensDetails.CachedTokens, u.CompletionTokensDetails.ReasoningTokens}
	}
	return a
}

func (c *clients) responses(ctx context.Context, model, id string, stream bool) (*answer, error) {
	p := responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(hello)}}
	o := option.WithHeader(headerCase, id)
	if !stream {
		r, err := c.openai.Responses.New(ctx, p, o)
		if err != nil {
			return &answer{}, openaiFailure(err)
		}
		return fromResponse(r), nil
	}
	s := c.openai.Responses.NewStreaming(ctx, p, o)
	defer s.Close()
	var text, args strings.Builder
	var last *responses.Response
	var failed *failure
	next := int64(0)
	for s.Next() {
		e := s.Current()
		if e.Type != "error" && e.SequenceNumber != next {
			return &answer{}, fmt.Errorf("sequence number %d, want %d", e.SequenceNumber, next)
		}
		next++
		switch e.Type {
		case "response.output_text.delta", "response.refusal.delta":
			text.WriteString(e.Delta)
		case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
			args.WriteString(e.Delta)
		case "response.completed", "response.incomplete":
			last = &e.Response
		case "response.failed":
			failed = &failure{0, "", string(e.Response.Error.Code), e.Response.Error.Message}
		case "error":
			failed = &failure{0, "", e.Code, e.Message}
		}
	}
	if failed != nil {
		a := &answer{}
		a.turn(0).text = text.String()
		return a, failed
	}
	if s.Err() != nil {
		a := &answer{}
		a.turn(0).text = text.String()
		return a, openaiFailure(s.Err())
	}
	if last == nil {
		return &answer{}, errors.New("no terminal event")
	}
	a := fromResponse(last)
	whole, calls := a.turns[0].text, ""
	for _, k := range a.turns[0].calls {
		calls += k.args
	}
	if whole != text.String() || calls != args.String() {
		return a, fmt.Errorf("the deltas say %s %s, the whole says %s %s", clip(text.String()), clip(args.String()), clip(whole), clip(calls))
	}
	return a, nil
}

func fromResponse(r *responses.Response) *answer {
	a := &answer{}
	t := a.turn(0)
	for _, o := range r.Output {
		switch o.Type {
		case "message":
			for _, part := range o.Content {
				t.text += part.Text + part.Refusal
				t.refused = t.refused || part.Refusal != ""
			}
		case "function_call":
			t.calls = append(t.calls, &call{o.Name, o.Arguments.OfString, false})
		case "custom_tool_call":
			t.calls = append(t.calls, &call{o.Name, o.Input, true})
		}
	}
	t.end(string(r.Status))
	if r.IncompleteDetails.Reason != "" {
		t.end(string(r.IncompleteDetails.Reason))
	}
	if u := r.Usage; u.TotalTokens > 0 {
		a.usage = &usage{u.InputTokens, u.OutputTokens, u.InputTokensDetails.CachedTokens, u.OutputTokensDetails.ReasoningTokens}
	}
	return a
}

func anthropicFailure(err error) error {
	var e *anthropic.Error
	if errors.As(err, &e) {
		var v struct {
			Type  string
			Error struct{ Type, Message string }
		}
		if json.Unmarshal([]byte(e.RawJSON()), &v) != nil || v.Type != "error" {
			return fmt.Errorf("no envelope of Anthropic's: %s", e.RawJSON())
		}
		return &failure{e.StatusCode, v.Error.Type, "", v.Error.Message}
	}
	if i := strings.Index(err.Error(), `{"type":"error"`); i >= 0 {
		var v struct {
			Error struct{ Type, Message string }
		}
		if json.NewDecoder(strings.NewReader(err.Error()[i:])).Decode(&v) == nil {
			return &failure{0, v.Error.Type, "", v.Error.Message}
		}
	}
	return err
}

func (c *clients) messages(ctx context.Context, model, id string, stream bool) (*answer, error) {
	p := anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 1024, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(hello))},
	}
	o := anthropicoption.WithHeader(headerCase, id)
	if !stream {
		r, err := c.anthropic.Messages.New(ctx, p, o)
		if err != nil {
			return &answer{}, anthropicFailure(err)
		}
		return fromMessage(r), nil
	}
	s := c.anthropic.Messages.NewStreaming(ctx, p, o)
	defer s.Close()
	var m anthropic.Message
	ended := false
	for s.Next() {
		e := s.Current()
		ended = ended || e.Type == "message_stop"
		if err := m.Accumulate(e); err != nil {
			return fromMessage(&m), fmt.Errorf("the accumulator refuses an event: %w: %s", err, clip(e.RawJSON()))
		}
	}
	a := fromMessage(&m)
	if s.Err() != nil {
		return a, anthropicFailure(s.Err())
	}
	if !ended {
		return a, errors.New("no message_stop")
	}
	return a, nil
}

func fromMessage(m *anthropic.Message) *answer {
	a := &answer{}
	t := a.turn(0)
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			t.text += b.Text
		case "tool_use":
			t.calls = append(t.calls, &call{b.Name, string(b.Input), false})
		}
	}
	t.end(string(m.StopReason))
	if u := m.Usage; u.InputTokens+u.OutputTokens+u.CacheReadInputTokens > 0 {
		a.usage = &usage{u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens, u.OutputTokens, u.CacheReadInputTokens, u.OutputTokensDetails.ThinkingTokens}
	}
	return a
}

func geminiFailure(err error) error {
	var e genai.APIError
	if errors.As(err, &e) {
		return &failure{e.Code, e.Status, "", e.Message}
	}
	return err
}

func (c *clients) generate(ctx context.Context, model, id string, stream bool) (*answer, error) {
	cfg := &genai.GenerateContentConfig{HTTPOptions: &genai.HTTPOptions{Headers: http.Header{headerCase: {id}}}}
	in := genai.Text(hello)
	a := &answer{}
	if !stream {
		r, err := c.gemini.Models.GenerateContent(ctx, model, in, cfg)
		if err != nil {
			return a, geminiFailure(err)
		}
		a.addGemini(r)
		return a, nil
	}
	for r, err := range c.gemini.Models.GenerateContentStream(ctx, model, in, cfg) {
		if err != nil {
			return a, geminiFailure(err)
		}
		a.addGemini(r)
	}
	return a, nil
}

func (a *answer) addGemini(r *genai.GenerateContentResponse) {
	for _, k := range r.Candidates {
		t := a.turn(int(k.Index))
		if k.Content != nil {
			for _, p := range k.Content.Parts {
				if p.FunctionCall != nil {
					args, _ := json.Marshal(p.FunctionCall.Args)
					t.calls = append(t.calls, &call{p.FunctionCall.Name, string(args), false})
				} else if !p.Thought {
					t.text += p.Text
				}
			}
		}
		t.end(string(k.FinishReason))
	}
	if f := r.PromptFeedback; f != nil && f.BlockReason != "" {
		a.turn(0).end("SAFETY")
	}
	if u := r.UsageMetadata; u != nil && u.TotalTokenCount > 0 {
		a.usage = &usage{
			int64(u.PromptTokenCount + u.ToolUsePromptTokenCount), int64(u.CandidatesTokenCount + u.ThoughtsTokenCount), int64(u.CachedContentTokenCount), int64(u.ThoughtsTokenCount),
		}
	}
}

func clip(s string) string {
	if len(s) > 160 {
		return fmt.Sprintf("%q…", s[:160])
	}
	return fmt.Sprintf("%q", s)
}
