package protocol

import (
	"bytes"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// A prompt's parts come in the order in which a model reads them, wherever they
// stand in the body, and the next turn only makes the last longer.
func TestPrompt(t *testing.T) {
	for _, c := range []struct {
		name       string
		proto      llm.Proto
		op         llm.Op
		body, want string
	}{
		{"OpenAI", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"tools":[1]}`, `[1]|[{"role":"user","content":"a"}]`},
		{"completions", llm.ProtoOpenAI, llm.OpCompletion, `{"model":"m","prompt":"a"}`, `"a"`},
		{"Responses", llm.ProtoResponses, llm.OpChat, `{"input":"a","tools":[1],"instructions":"b"}`, `[1]|"b"|"a"`},
		{"Anthropic", llm.ProtoAnthropic, llm.OpChat, `{"messages":[2],"system":"b","max_tokens":1,"tools":[1]}`, `[1]|"b"|[2]`},
		{"Gemini", llm.ProtoGemini, llm.OpChat, `{"contents":[2],"systemInstruction":{}, "tools":[1]}`, `[1]|{}|[2]`},
		{"Gemini in snakes", llm.ProtoGemini, llm.OpChat, `{"contents":[2],"system_instruction":{}}`, `{}|[2]`},
		{"vectors have none", llm.ProtoOpenAI, llm.OpEmbedding, `{"input":"a"}`, ``},
	} {
		req := &llm.Request{}
		if err := Of(c.proto).Decode(c.op, &wire.Buffer{B: []byte(c.body)}, req); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := string(bytes.Join(req.Body.Prompt(nil), []byte("|"))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		req.Body.Release()
	}
}
