package sim

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// fuzz sends bodies to a path: whatever they are, the answer is JSON, and a
// stream of it ends.
func fuzz(f *testing.F, path string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := must(t, Config{AnyModel: true, Default: Model{Tokens: 5, Spread: 1, Thinking: 2}})
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Anthropic-Version", versionKey)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		got := w.Body.String()
		if w.Code != 200 && w.Code != 400 && w.Code != 404 {
			t.Errorf("%q: got status %d %s", body, w.Code, got)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			for _, end := range []string{`"type":"message_stop"}`, "response.completed", "response.incomplete", "[DONE]", "usageMetadata"} {
				if strings.Contains(got, end) {
					return
				}
			}
			t.Errorf("%q: the stream has no end: %s", body, got)
		} else if !json.Valid([]byte(got)) {
			t.Errorf("%q: got %s", body, got)
		}
	})
}

func FuzzChat(f *testing.F) {
	fuzz(f, "/v1/chat/completions", hello, streamed(hello),
		`{"model":"m","stream":true,"messages":[{"role":"user","content":"call every tool"}],"stop":["a"],`+weather+`}`,
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"x"}]},{"role":"tool","tool_call_id":"x","content":[{"type":"image_url"}]}]}`)
}

func FuzzMessages(f *testing.F) {
	fuzz(f, "/v1/messages", claudeHead+user("hi")+"}", `{"stream":true,`+claudeHead[1:]+user("call every tool")+`,"thinking":{"type":"adaptive"},`+claudeTools+"}",
		claudeHead+`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image","source":{"type":"base64"}}]},{"type":"thinking","signature":"AA=="}]}]}`,
		claudeHead+user("hi")+`,"output_config":{"format":{"type":"json_schema","schema":{"$ref":"#","anyOf":[1]}}},"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}`)
}

func FuzzGenerate(f *testing.F) {
	fuzz(f, unaryPath, "{"+contents("hi")+"}", "{"+contents("call every tool")+","+geminiTools+"}",
		`{"contents":[{"role":"model","parts":[{"function_call":{"name":"a","args":1},"thoughtSignature":"é"}]},{"parts":[{"functionResponse":{"name":"a","response":{},"parts":[{"inlineData":{}}]}}]}]}`,
		`{`+contents("hi")+`,"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":[],"enum":[null],"items":{"any_of":[{}]}},"thinkingConfig":{"includeThoughts":true}}}`)
}

func FuzzResponses(f *testing.F) {
	fuzz(f, "/v1/responses", `{"model":"m","input":"hi"}`, `{"model":"m","stream":true,"input":"call every tool","reasoning":{"summary":"auto"},`+openTools+`}`,
		`{"model":"m","input":[{"type":"reasoning","id":"rs","summary":[],"encrypted_content":""},{"type":"custom_tool_call","call_id":"a","name":"b","input":""},{"type":"custom_tool_call_output","call_id":"a","output":[{"type":"input_file","file_data":"data:;base64,"}]}]}`,
		`{"model":"m","background":true,"input":[{"role":"user","content":null}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[null]}}`)
}
