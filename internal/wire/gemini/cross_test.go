package gemini_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
	"github.com/sluicegate/sluice/internal/wire/gemini"
	"github.com/sluicegate/sluice/internal/wire/openai"
	"github.com/sluicegate/sluice/internal/wire/responses"
)

// A signature that Gemini put on a call comes back to Gemini byte for byte, on
// that call, through the clients of every other protocol.
func TestSignaturesAbroad(t *testing.T) {
	const sig = "CvMBAb4+9vvZC/KtDBiEfP1WF+wUiObd6A=="
	vendor := `{"candidates":[{"content":{"parts":[{"text":"Let me think.","thought":true},{"text":"I look."},
		{"functionCall":{"id":"call_1","name":"weather","args":{"city":"Paris"}},"thoughtSignature":"` + sig + `"},{"functionCall":{"id":"call_2","name":"weather","args":{"city":"Rome"}}}],"role":"model"},"finishReason":"STOP"}],"modelVersion":"gemini-3-pro","responseId":"r"}`
	for name, c := range map[string]struct {
		client wire.Client
		ask    string                          // the next request; %s is the answer
		answer func(body []byte) (said []byte) // what the client keeps of an answer
	}{
		"openai": {openai.Codec{}, `{"model":"m","messages":[{"role":"user","content":"Weather?"},%s,{"role":"tool","tool_call_id":"call_1","content":"20"},{"role":"tool","tool_call_id":"call_2","content":"30"}]}`,
			func(b []byte) []byte {
				var r struct {
					Choices []struct{ Message json.RawMessage }
				}
				_ = json.Unmarshal(b, &r)
				return r.Choices[0].Message
			}},
		"anthropic": {anthropic.Codec{}, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Weather?"},{"role":"assistant","content":%s},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"20"},{"type":"tool_result","tool_use_id":"call_2","content":"30"}]}]}`,
			func(b []byte) []byte {
				var r struct{ Content json.RawMessage }
				_ = json.Unmarshal(b, &r)
				return r.Content
			}},
		"responses": {responses.Codec{}, `{"model":"m","input":[{"role":"user","content":"Weather?"},%s,{"type":"function_call_output","call_id":"call_1","output":"20"},{"type":"function_call_output","call_id":"call_2","output":"30"}]}`,
			func(b []byte) []byte {
				var r struct{ Output json.RawMessage }
				_ = json.Unmarshal(b, &r)
				return []byte(strings.Trim(string(r.Output), "[]"))
			}},
		"gemini": {gemini.Codec{}, `{"contents":[{"role":"user","parts":[{"text":"Weather?"}]},%s,{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"output":"20"}}},{"functionResponse":{"name":"weather","response":{"output":"30"}}}]}]}`,
			func(b []byte) []byte {
				var r struct {
					Candidates []struct{ Content json.RawMessage }
				}
				_ = json.Unmarshal(b, &r)
				return r.Candidates[0].Content
			}},
	} {
		t.Run(name, func(t *testing.T) {
			reply, bad := gemini.Codec{}.Reply(nil, []byte(vendor))
			if bad != nil {
				t.Fatal(bad)
			}
			req := &llm.Request{ID: "req", Op: llm.OpChat, N: 1}
			said := c.answer(c.client.AppendReply(nil, req, reply))
			chat, bad := c.client.Chat([]byte(strings.Replace(c.ask, "%s", string(said), 1)))
			if bad != nil {
				t.Fatalf("%v in %s", bad, said)
			}
			call, bad := gemini.Codec{}.Encode(chat, wire.Target{Model: "gemini-3-pro"})
			if bad != nil {
				t.Fatalf("%v in %s", bad, said)
			}
			var back struct {
				Contents []struct {
					Parts []struct {
						ThoughtSignature string
						FunctionCall     *struct{ ID, Name string }
						FunctionResponse *struct{ ID string }
					}
				}
			}
			if err := json.Unmarshal(call.Body, &back); err != nil || len(back.Contents) != 3 {
				t.Fatalf("%v in %s", err, call.Body)
			}
			calls := 0
			for _, p := range back.Contents[1].Parts {
				want := ""
				if p.FunctionCall != nil {
					if calls++; calls == 1 {
						want = sig
					}
				}
				if p.ThoughtSignature != want {
					t.Errorf("signature %q, want %q, in %s", p.ThoughtSignature, want, call.Body)
				}
			}
			if r := back.Contents[2].Parts; calls != 2 || len(r) != 2 || r[0].FunctionResponse == nil || r[0].FunctionResponse.ID != "call_1" {
				t.Errorf("calls and results: %s", call.Body)
			}
		})
	}
}
