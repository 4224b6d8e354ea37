package blackbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The ways of tools that are no SDK: what they send, word for word, at each
// vendor's protocol.

// waysGateway is a gateway before the simulator with each vendor's protocol.
func waysGateway(t *testing.T) *gateway {
	t.Helper()
	s := simulate(t, "seed: 7\nany_model: true\ndefault: {tokens: 12}\n")
	return serve(t, flowGateway(s.url), withEnv("KEY="+keyOne))
}

// eachVendor runs f with the model of each vendor.
func eachVendor(t *testing.T, f func(t *testing.T, v flowVendor)) {
	for _, v := range flowVendors {
		t.Run(v.name, func(t *testing.T) { f(t, v) })
	}
}

// TestCursor: bodies of Responses at chat completions, with tools of either
// protocol and of Anthropic's; what comes back are chat chunks.
func TestCursor(t *testing.T) {
	t.Parallel()
	g := waysGateway(t)
	eachVendor(t, func(t *testing.T, v flowVendor) {
		for _, tool := range []string{
			`{"type":"function","name":"clock","description":"The time","parameters":{"type":"object","properties":{}}}`,
			`{"name":"clock","description":"The time","input_schema":{"type":"object","properties":{}}}`,
			`{"type":"custom","name":"clock","description":"The time","format":{"type":"text"}}`,
		} {
			body := `{"model":"` + v.letter + `-m","stream":true,"user":"u","stream_options":{"include_usage":true},"input":[` +
				`{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"input_text","text":"Please call the tool."}]}],"tools":[` + tool + `],"tool_choice":"auto"}`
			r := g.post("/v1/chat/completions", body, "Authorization", "Bearer "+keyOne)
			if r.status != 200 || !strings.HasSuffix(string(r.body), "data: [DONE]\n\n") {
				t.Errorf("%s: got %s", tool, r)
				continue
			}
			name, finish := "", ""
			for _, e := range datas(r.body) {
				var c struct {
					Object  string
					Choices []struct {
						Delta struct {
							ToolCalls []struct{ Function, Custom struct{ Name string } } `json:"tool_calls"`
						}
						FinishReason string `json:"finish_reason"`
					}
				}
				if e == "[DONE]" {
					continue
				}
				if err := json.Unmarshal([]byte(e), &c); err != nil || c.Object != "chat.completion.chunk" {
					t.Fatalf("not a chunk: %s", e)
				}
				for _, x := range c.Choices {
					for _, call := range x.Delta.ToolCalls {
						name += call.Function.Name + call.Custom.Name
					}
					finish += x.FinishReason
				}
			}
			if name != "clock" || finish != "tool_calls" {
				t.Errorf("%s: got a call of %q and finish %q: %s", tool, name, finish, r)
			}
		}
	})
}

// codexEvent is what Codex reads of an event.
type codexEvent struct {
	Type     string
	Item     json.RawMessage
	Response struct {
		ID    string
		Usage *struct {
			Total int `json:"total_tokens"`
		}
	}
}

// TestCodexCustom: a stream of Responses that keeps nothing, a tool with a grammar
// beside a function, and the items back as they came.
func TestCodexCustom(t *testing.T) {
	t.Parallel()
	g := waysGateway(t)
	const head = `"instructions":"You are Codex.","stream":true,"store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"medium","summary":"auto"},` +
		`"tool_choice":"auto","parallel_tool_calls":false,"prompt_cache_key":"c0ffee","text":{"verbosity":"medium"},"tools":[` +
		`{"type":"custom","name":"apply_patch","description":"Edit files","format":{"type":"grammar","syntax":"lark","definition":"start: \"x\""}},` +
		`{"type":"function","name":"shell","description":"Run it","strict":false,"parameters":{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}}},"required":["command"],"additionalProperties":false}}]`
	const said = `{"type":"message","role":"user","content":[{"type":"input_text","text":"Please call the tool."}]}`
	turn := func(t *testing.T, model, input string) (items []string) {
		t.Helper()
		r := g.post("/v1/responses", `{"model":"`+model+`",`+head+`,"input":[`+input+`]}`, "Authorization", "Bearer "+keyOne, "Accept", "text/event-stream", "OpenAI-Beta", "responses=experimental", "Session_id", "c0ffee")
		completed := false
		for _, e := range datas(r.body) {
			var v codexEvent
			if err := json.Unmarshal([]byte(e), &v); err != nil {
				t.Fatalf("not an event: %s", e)
			}
			switch v.Type {
			case "response.output_item.done":
				items = append(items, string(v.Item))
			case "response.completed":
				completed = v.Response.ID != "" && v.Response.Usage != nil && v.Response.Usage.Total > 0
			}
		}
		if r.status != 200 || !completed || items == nil {
			t.Fatalf("got %s, want a stream that ends with response.completed", r)
		}
		return items
	}
	eachVendor(t, func(t *testing.T, v flowVendor) {
		model := v.letter + "-" + v.thinker + "codex"
		items := turn(t, model, said)
		var call struct {
			Type, Name, Input string
			CallID            string `json:"call_id"`
		}
		if err := json.Unmarshal([]byte(items[len(items)-1]), &call); err != nil || call.Type != "custom_tool_call" || call.Name != "apply_patch" || call.Input == "" {
			t.Fatalf("got %s, want a call of the custom tool", items)
		}
		result := fmt.Sprintf(`{"type":"custom_tool_call_output","call_id":"%s","output":"done"}`, call.CallID)
		items = turn(t, model, said+","+strings.Join(items, ",")+","+result)
		if last := strings.Join(items, "\n"); !strings.Contains(last, `"output_text"`) { // a seal may follow it
			t.Errorf("with the result: got %s, want text", last)
		}
	})
}

// TestGeminiWays: the key in every place that Google's clients put it, ids
// with and without models/, and a stream as an array.
func TestGeminiWays(t *testing.T) {
	t.Parallel()
	g := waysGateway(t)
	const body = `{"contents":[{"parts":[{"text":"Hello"}]}]}`
	text := func(b []byte) string {
		var v struct {
			Candidates []struct {
				Content struct{ Parts []struct{ Text string } }
			}
		}
		if json.Unmarshal(b, &v) != nil || len(v.Candidates) != 1 || len(v.Candidates[0].Content.Parts) == 0 {
			return ""
		}
		return v.Candidates[0].Content.Parts[0].Text
	}
	eachVendor(t, func(t *testing.T, v flowVendor) {
		for _, version := range []string{"v1beta", "v1", "v1alpha", "gemini/v1beta"} {
			for _, model := range []string{"models/" + v.letter + "-m", "models/" + v.name + "/m", v.name + "/m"} {
				path := "/" + version + "/" + model + ":generateContent"
				for _, r := range []*reply{
					g.post(path, body, "X-Goog-Api-Key", keyOne), g.post(path+"?key="+keyOne, body),
					g.post(path, body, "Authorization", "Bearer "+keyOne), g.post(path+"?alt=json&key="+keyOne, body),
				} {
					if r.status != 200 || !strings.HasPrefix(text(r.body), "This is m") {
						t.Errorf("%s: got %s", path, r)
					}
				}
			}
		}
		path := "/v1beta/models/" + v.letter + "-m:streamGenerateContent"
		var chunks []json.RawMessage
		r := g.post(path+"?key="+keyOne, body)
		if err := json.Unmarshal(r.body, &chunks); err != nil || len(chunks) < 3 || text(chunks[0]) == "" {
			t.Errorf("without alt=sse: got %s (%v), want an array", r, err)
		}
		if r := g.post(path+"?alt=sse&key="+keyOne, body); !strings.HasPrefix(string(r.body), "data: {") || len(datas(r.body)) < 3 {
			t.Errorf("with alt=sse: got %s, want events", r)
		}
		r = g.post(path+"?alt=sse&key=sk-wrong-0123456789", body)
		if r.status != 401 || !strings.Contains(string(r.body), `"status":"UNAUTHENTICATED"`) || strings.Contains(string(r.body), "sk-wrong") {
			t.Errorf("a wrong key: got %s", r)
		}
	})
}

// TestAnthropicVersions: both versions of the API, with the header that each
// brings its key in.
func TestAnthropicVersions(t *testing.T) {
	t.Parallel()
	g := waysGateway(t)
	eachVendor(t, func(t *testing.T, v flowVendor) {
		body := `{"model":"` + v.letter + `-m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]%s}`
		for _, head := range [][]string{
			{"Anthropic-Version", "2023-06-01", "X-Api-Key", keyOne}, {"Anthropic-Version", "2026-10-21", "Authorization", "Bearer " + keyOne},
			{"Anthropic-Version", "2026-10-21", "X-Api-Key", keyOne},
		} {
			for _, path := range []string{"/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages"} {
				if r := g.post(path, fmt.Sprintf(body, ""), head...); r.status != 200 || !strings.Contains(string(r.body), `"stop_reason":"end_turn"`) {
					t.Errorf("%v %s: got %s", head[:2], path, r)
				}
			}
			// The later version has no temperature; only its own vendor minds.
			want := 200
			if v.name == "anthropic" && head[1] == "2026-10-21" {
				want = 400
			}
			if r := g.post("/v1/messages", fmt.Sprintf(body, `,"temperature":0.5`), head...); r.status != want {
				t.Errorf("%v with a temperature: got %s, want %d", head[:2], r, want)
			}
		}
	})
}
