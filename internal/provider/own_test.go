package provider

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// What the gateway asks in its own name goes to every vendor in the vendor's words.
func TestOwn(t *testing.T) {
	zero := 0.0
	chat := &llm.Chat{N: 1, MaxOutput: 9, Temperature: &zero, Messages: []llm.Message{
		{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "be short"}}}, {Blocks: []llm.Block{{Text: "is it?"}}},
	}}
	for row, answer := range map[string]string{
		"anthropic": strings.Replace(claude, "%s", "yes", 1),
		"openai":    `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`,
		"gemini":    `{"candidates":[{"content":{"role":"model","parts":[{"text":"yes"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"totalTokenCount":12}}`,
	} {
		var sent string
		send := lineTo(t, row, "m", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			sent = string(b)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		})
		req := &llm.Request{ID: "req-1", Op: llm.OpChat, N: 1, MaxOutput: 9, Note: llm.NoteJudge, Body: wire.Own(chat), Trail: llm.NewTrail("req-1", time.Now(), func(*llm.Trail) {})}
		if n := req.InputTokens(); n != 4 {
			t.Errorf("%s: %d tokens are expected of 14 bytes", row, n)
		}
		resp, err := send(context.Background(), req)
		if err != nil {
			t.Fatalf("%s: %v", row, err)
		}
		reply, usage, err := lawful(t, resp)
		if err != io.EOF || len(reply.Answers) != 1 || reply.Answers[0].Blocks[0].Text != "yes" || usage.Output != 7 {
			t.Errorf("%s: got %+v, %+v, %v", row, reply, usage, err)
		}
		_ = resp.Close()
		req.Body.Release()
		for _, want := range []string{"be short", "is it?", "9"} {
			if !strings.Contains(sent, want) {
				t.Errorf("%s: sent %s, want %s in it", row, sent, want)
			}
		}
	}
}
