package sim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// claude posts a request of Messages with a version that the body suits.
func (r *rig) claude(body string, head ...string) (*http.Response, string, error) {
	r.Helper()
	if !slices.Contains(head, "anthropic-version") {
		head = append(head, "anthropic-version", versionKey)
	}
	return r.post("/v1/messages", body, head...)
}

// frame is an event of Anthropic's or OpenAI's Responses stream.
type frame struct {
	name string
	data string
}

func (r *rig) frames(body string) (all []frame) {
	r.Helper()
	for part := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(part, "\ndata: ")
		name, named := strings.CutPrefix(name, "event: ")
		if !ok || !named {
			r.Fatalf("event %q has no name or data", part)
		}
		all = append(all, frame{name, data})
	}
	return all
}

// replayed rebuilds a message from its stream and checks the stream's order.
func (r *rig) replayed(body string) claudeMessage {
	r.Helper()
	var m claudeMessage
	open, ended := -1, false
	for _, f := range r.frames(body) {
		var e struct {
			Type    string
			Index   int
			Message *claudeMessage
			Block   *claudePart `json:"content_block"`
			Delta   struct {
				Type, Text, Thinking, Signature string
				JSON                            string      `json:"partial_json"`
				StopReason                      *string     `json:"stop_reason"`
				Sequence                        *string     `json:"stop_sequence"`
				Details                         *claudeStop `json:"stop_details"`
			}
			Usage *claudeUsage
		}
		if err := json.Unmarshal([]byte(f.data), &e); err != nil || e.Type != f.name {
			r.Fatalf("event %+v: %v", f, err)
		}
		switch e.Type {
		case "message_start":
			m = *e.Message
		case "content_block_start":
			if e.Index != len(m.Content) || open >= 0 {
				r.Fatalf("block %d begins after %d blocks, open is %d", e.Index, len(m.Content), open)
			}
			open = e.Index
			m.Content = append(m.Content, *e.Block)
			if e.Block.Type == "tool_use" {
				m.Content[open].Input = nil
			}
		case "content_block_delta":
			if e.Index != open {
				r.Fatalf("delta of block %d while %d is open", e.Index, open)
			}
			b := &m.Content[open]
			switch e.Delta.Type {
			case "text_delta":
				*b.Text += e.Delta.Text
			case "thinking_delta":
				*b.Thinking += e.Delta.Thinking
			case "signature_delta":
				*b.Signature += e.Delta.Signature
			case "input_json_delta":
				b.Input = append(b.Input, e.Delta.JSON...)
			}
		case "content_block_stop":
			open = -1
		case "message_delta":
			m.StopReason, m.Sequence, m.StopDetails = e.Delta.StopReason, e.Delta.Sequence, e.Delta.Details
			m.Usage.Output, m.Usage.Details = e.Usage.Output, e.Usage.Details
		case "message_stop":
			ended = true
		}
	}
	if !ended || open >= 0 {
		r.Fatalf("the stream ends open: %s", body)
	}
	return m
}

const (
	claudeTools = `"tools":[{"name":"clock","input_schema":{"type":"object"}},{"name":"weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]`
	claudeHead  = `{"model":"m","max_tokens":2000,`
)

func user(text string) string { return `"messages":[{"role":"user","content":"` + text + `"}]` }

// TestClaude: each answer says in a stream what it says whole.
func TestClaude(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		kinds      []string
		stop       string
	}{
		{"text", user("hi"), []string{"text"}, "end_turn"},
		{"tool", user("call the tool") + "," + claudeTools, []string{"tool_use"}, "tool_use"},
		{"tools", user("Call every tool") + "," + claudeTools, []string{"tool_use", "tool_use"}, "tool_use"},
		{"one at a time", user("Call every tool") + `,"tool_choice":{"type":"auto","disable_parallel_tool_use":true},` + claudeTools, []string{"tool_use"}, "tool_use"},
		{"forced", user("hi") + `,"tool_choice":{"type":"tool","name":"weather"},` + claudeTools, []string{"tool_use"}, "tool_use"},
		{"any", user("hi") + `,"tool_choice":{"type":"any"},` + claudeTools, []string{"tool_use"}, "tool_use"},
		{"none", user("call the tool") + `,"tool_choice":{"type":"none"},` + claudeTools, []string{"text"}, "end_turn"},
		{"thinking", user("hi") + `,"thinking":{"type":"enabled","budget_tokens":1024}`, []string{"thinking", "text"}, "end_turn"},
		{"mute thinking", user("hi") + `,"thinking":{"type":"adaptive","display":"omitted"}`, []string{"thinking", "text"}, "end_turn"},
		{"secret thinking", user("think in secret") + `,"thinking":{"type":"adaptive"}`, []string{"redacted_thinking", "text"}, "end_turn"},
		{"stop sequence", user("hi") + `,"stop_sequences":["zzz","(simul"]`, []string{"text"}, "stop_sequence"},
		{"length", user("hi") + `,"max_tokens":3`, []string{"text"}, "max_tokens"},
		{"refusal", user("refuse to answer"), []string{"text"}, "refusal"},
		{"structured", user("hi") + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}}}`, []string{"text"}, "end_turn"},
	} {
		r := start(t, Config{Seed: 3, Models: []Model{{Name: "m"}}})
		body := claudeHead + tc.body + "}"
		if strings.Contains(tc.body, "max_tokens") {
			body = `{"model":"m",` + tc.body + "}"
		}
		resp, whole, err := r.claude(body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: got %v %s, %v", tc.name, resp, whole, err)
		}
		var m claudeMessage
		if err := json.Unmarshal([]byte(whole), &m); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		var kinds []string
		for _, b := range m.Content {
			kinds = append(kinds, b.Type)
		}
		if !slices.Equal(kinds, tc.kinds) || *m.StopReason != tc.stop || m.Usage.Output == 0 || m.Usage.Input == 0 {
			t.Errorf("%s: got %s", tc.name, whole)
		}
		r.sim.Reset()
		_, streamed, _ := r.claude(strings.Replace(body, `{"model"`, `{"stream":true,"model"`, 1))
		if again := encode(r.replayed(streamed)); string(again) != whole {
			t.Errorf("%s: the stream says\n%s, want\n%s", tc.name, again, whole)
		}
	}
}

func TestClaudeStructured(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	_, body, _ := r.claude(claudeHead + user("hi") + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"enum":["x"]}},"required":["a"],"additionalProperties":false}}}}`)
	var m claudeMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil || *m.Content[0].Text != `{"a":"x"}` {
		t.Errorf("got %s", body)
	}
}

// TestClaudeRefusals: what the vendor refuses, in its words.
func TestClaudeRefusals(t *testing.T) {
	r := start(t, Config{Keys: []string{"sk-ant-correct"}, Models: []Model{{Name: "m"}, {Name: "short", Context: 5}}})
	const call = `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"clock","input":{}}]}`
	chat := func(more string) string {
		return `"messages":[{"role":"user","content":"hi"},` + more + `],` + claudeTools
	}
	for _, tc := range []struct{ name, body, want string }{
		{"max_tokens", `{"model":"m",` + user("hi") + `}`, "max_tokens: Field required"},
		{"no messages", claudeHead + `"messages":[]}`, "at least one message"},
		{"unknown member", claudeHead + user("hi") + `,"n":2}`, "n: Extra inputs are not permitted"},
		{"unknown member inside", claudeHead + `"messages":[{"role":"user","content":[{"type":"text","text":"a","foo":1}]}]}`, "messages.0.content.0.text.foo: Extra inputs"},
		{"unknown kind", claudeHead + `"messages":[{"role":"user","content":[{"type":"input_text","text":"a"}]}]}`, "Input tag 'input_text'"},
		{"role", claudeHead + `"messages":[{"role":"tool","content":"x"}]}`, "messages.0.role: Input should be 'user' or 'assistant'"},
		{"first", claudeHead + `"messages":[{"role":"assistant","content":"x"}]}`, "first message must use the"},
		{"empty text", claudeHead + `"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}`, "text content blocks must be non-empty"},
		{"blank text", claudeHead + user("  ") + `}`, "non-whitespace"},
		{"trailing space", claudeHead + `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b "}]}`, "trailing whitespace"},
		{"no tools", claudeHead + `"messages":[{"role":"user","content":"hi"},` + call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"}]}]}`, "must define tools"},
		{"no result", claudeHead + chat(call+`,{"role":"user","content":"go on"}`) + `}`, "without `tool_result` blocks immediately after: a."},
		{"late result", claudeHead + chat(call+`,{"role":"user","content":[{"type":"text","text":"well"},{"type":"tool_result","tool_use_id":"a","content":"1"}]}`) + `}`, "without `tool_result` blocks"},
		{"wrong result", claudeHead + chat(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"b","content":"1"}]}`) + `}`, "unexpected `tool_use_id`"},
		{"id", claudeHead + chat(`{"role":"assistant","content":[{"type":"tool_use","id":"a.b","name":"clock","input":{}}]}`) + `}`, "tool_use.id: String should match pattern"},
		{"arguments", claudeHead + chat(`{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"clock","input":"{}"}]}`) + `}`, "input: Input should be a valid dictionary"},
		{"choice without tools", claudeHead + user("hi") + `,"tool_choice":{"type":"auto"}}`, "tool_choice may only be specified while providing tools"},
		{"unknown tool", claudeHead + user("hi") + `,"tool_choice":{"type":"tool","name":"x"},` + claudeTools + `}`, "Tool 'x' not found"},
		{"tool schema", claudeHead + user("hi") + `,"tools":[{"name":"a","input_schema":{}}]}`, "tools.0.custom.input_schema.type: Field required"},
		{"tool name", claudeHead + user("hi") + `,"tools":[{"name":"a.b","input_schema":{"type":"object"}}]}`, "custom.name: String should match"},
		{"small budget", claudeHead + user("hi") + `,"thinking":{"type":"enabled","budget_tokens":10}}`, "greater than or equal to 1024"},
		{"large budget", claudeHead + user("hi") + `,"thinking":{"type":"enabled","budget_tokens":2000}}`, "`max_tokens` must be greater than `thinking.budget_tokens`"},
		{"thinking at a temperature", claudeHead + user("hi") + `,"temperature":0.5,"thinking":{"type":"adaptive"}}`, "`temperature` may only be set to 1"},
		{"thinking and force", claudeHead + user("hi") + `,"thinking":{"type":"enabled","budget_tokens":1024},"tool_choice":{"type":"any"},` + claudeTools + `}`, "tool_choice forces tool use"},
		{"thinking left out", claudeHead + chat(call+`,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"}]}`) + `,"thinking":{"type":"enabled","budget_tokens":1024}}`, "Expected `thinking` or `redacted_thinking`, but found `tool_use`"},
		{"signature", claudeHead + chat(`{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gw1.x"},{"type":"text","text":"y"}]},{"role":"user","content":"go on"}`) + `}`, "messages.1.content.0: Invalid `signature` in `thinking` block"},
		{"open schema", claudeHead + user("hi") + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}`, "'additionalProperties' must be explicitly set to false"},
		{"picture", claudeHead + `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/tiff","data":"AAAA"}}]}]}`, "base64.media_type"},
		{"temperature", claudeHead + user("hi") + `,"temperature":1.5}`, "temperature: range: 0..1"},
		{"marks", claudeHead + `"messages":[{"role":"user","content":[` + strings.TrimSuffix(strings.Repeat(`{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},`, 5), ",") + `]}]}`, "maximum of 4 blocks"},
		{"too long", strings.Replace(claudeHead, `"m"`, `"short"`, 1) + user(strings.Repeat("word ", 20)) + `}`, "prompt is too long: 27 tokens > 5 maximum"},
	} {
		resp, body, err := r.claude(tc.body, "x-api-key", "sk-ant-correct")
		var e claudeErrorBody
		if err != nil || json.Unmarshal([]byte(body), &e) != nil || resp.StatusCode != 400 || e.Type != "error" || e.Error.Type != "invalid_request_error" || !strings.Contains(e.Error.Message, tc.want) {
			t.Errorf("%s: got %v %s, %v, want %q", tc.name, resp, body, err, tc.want)
		}
	}
	for _, tc := range []struct {
		name, version, key, body string
		status                   int
		want                     string
	}{
		{"no version", "", "sk-ant-correct", claudeHead + user("hi") + "}", 400, "invalid_request_error"},
		{"wrong version", "2020-01-01", "sk-ant-correct", claudeHead + user("hi") + "}", 400, "invalid_request_error"},
		{"sampling", versionBearer, "sk-ant-correct", claudeHead + user("hi") + `,"temperature":1}`, 400, "temperature: Extra inputs"},
		{"key", versionKey, "sk-wrong-key", claudeHead + user("hi") + "}", 401, "authentication_error"},
		{"model", versionKey, "sk-ant-correct", `{"model":"x","max_tokens":1}`, 404, "not_found_error"},
		{"fine", versionBearer, "sk-ant-correct", claudeHead + user("hi") + `}`, 200, `"type":"message"`},
	} {
		resp, body, err := r.claude(tc.body, "anthropic-version", tc.version, "x-api-key", tc.key)
		if err != nil || resp.StatusCode != tc.status || !strings.Contains(body, tc.want) || resp.Header.Get("Request-Id") == "" {
			t.Errorf("%s: got %v %s, %v", tc.name, resp, body, err)
		}
	}
}

// TestClaudeReplay: what was thought comes back unchanged and is accepted,
// changed and is not; also after the simulator was started again.
func TestClaudeReplay(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m"}}})
	const thinking = `,"thinking":{"type":"enabled","budget_tokens":1024},` + claudeTools + `}`
	for _, words := range []string{"call the tool", "think in secret and call the tool"} {
		_, body, _ := r.claude(claudeHead + user(words) + thinking)
		var m claudeMessage
		if err := json.Unmarshal([]byte(body), &m); err != nil || len(m.Content) != 2 {
			t.Fatalf("got %s, %v", body, err)
		}
		again := func(content string) string {
			return claudeHead + `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":` + content + `},{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + m.Content[1].ID + `","is_error":true,"content":[{"type":"text","text":"1"}]}]}]` + thinking
		}
		next := start(t, Config{Models: []Model{{Name: "m"}}})
		content := string(encode(m.Content))
		if resp, body, _ := next.claude(again(content)); resp.StatusCode != 200 {
			t.Errorf("unchanged: got %d %s", resp.StatusCode, body)
		} else if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if last := next.settled(); last.Seals != 1 || last.Input != m.Usage.Input || last.Output != m.Usage.Output || last.Reasoning != defThinking {
			t.Errorf("journal: got %+v, want a seal and the usage of %+v", last, m.Usage)
		}
		changed := strings.Replace(strings.Replace(content, "This is", "That is", 1), `"data":"`, `"data":"AAAA`, 1)
		if resp, body, _ := next.claude(again(changed)); resp.StatusCode != 400 || !strings.Contains(body, "Invalid `") {
			t.Errorf("changed: got %d %s", resp.StatusCode, body)
		}
	}
}

func TestClaudeCache(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Cache: time.Hour}}})
	ask := func(mark string) claudeUsage {
		long := strings.Repeat("some words again ", 400)
		_, body, _ := r.claude(claudeHead + `"system":[{"type":"text","text":"` + long + `"` + mark + `}],` + user("hi") + `}`)
		var m claudeMessage
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		return m.Usage
	}
	none := ask("")
	first, second := ask(`,"cache_control":{"type":"ephemeral","ttl":"1h"}`), ask(`,"cache_control":{"type":"ephemeral"}`)
	if none.Read+none.Written != 0 || none.Input != first.Input+first.Written {
		t.Errorf("got %+v and %+v", none, first)
	}
	if first.Written < cacheMin || first.Creation.Hour != first.Written || first.Read != 0 {
		t.Errorf("got %+v first", first)
	}
	if second.Read != first.Written || second.Written != 0 || second.Input != first.Input {
		t.Errorf("got %+v, want what %+v wrote to be read", second, first)
	}
}

func TestClaudeFaults(t *testing.T) {
	for _, tc := range []struct {
		fault  Fault
		status int
		events int // whole deltas
		broken bool
		want   string
	}{
		{Fault{Kind: FaultCut, After: 3}, 200, 3, true, ""},
		{Fault{Kind: FaultErrorMid, After: 2}, 200, 2, false, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""},
		{Fault{Kind: FaultError200}, 200, 0, false, "event: error\n"},
		{Fault{Kind: FaultMalformed, After: 1}, 200, 40, false, "no JSON\nevent: "},
		{Fault{Kind: FaultStatus, Status: 529}, 529, 0, false, `"overloaded_error"`},
		{Fault{Kind: FaultStatus, Status: 429}, 429, 0, false, `"rate_limit_error"`},
	} {
		r := start(t, Config{Models: []Model{{Name: "m", Fault: &tc.fault}}})
		resp, body, err := r.claude(`{"stream":true,` + claudeHead[1:] + user("hi") + "}")
		if (err != nil) != tc.broken || resp.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: got %v %s, %v", tc.fault.Kind, resp, body, err)
		}
		if got := strings.Count(body, `"type":"text_delta"`); got != tc.events && !(tc.broken && got == tc.events+1) {
			t.Errorf("%s: got %d deltas, want %d", tc.fault.Kind, got, tc.events)
		}
		if last := r.settled(); last.Outcome != OutcomeFault || last.Path != "/v1/messages" {
			t.Errorf("%s: got journal %+v", tc.fault.Kind, last)
		}
	}
}

func TestClaudeLimit(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", RPM: 1}}})
	resp, _, _ := r.claude(claudeHead + user("hi") + "}")
	if resp.StatusCode != 200 || resp.Header.Get("Anthropic-Ratelimit-Requests-Limit") != "1" || resp.Header.Get("Anthropic-Ratelimit-Requests-Remaining") != "0" {
		t.Errorf("got %v", resp.Header)
	}
	resp, body, _ := r.claude(claudeHead + user("hi") + "}")
	reset, err := time.Parse(time.RFC3339, resp.Header.Get("Anthropic-Ratelimit-Requests-Reset"))
	if resp.StatusCode != 429 || !strings.Contains(body, "rate_limit_error") || resp.Header.Get("Retry-After") == "" || err != nil || reset.Before(time.Now()) {
		t.Errorf("got %d %s %v, %v", resp.StatusCode, body, resp.Header, err)
	}
}

func TestClaudeCount(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Latency: time.Hour}}})
	picture := base64.StdEncoding.EncodeToString([]byte("picture"))
	count := func(content string) (n int) {
		resp, body, err := r.post("/v1/messages/count_tokens?beta=true", `{"model":"m","messages":[{"role":"user","content":`+content+`}]}`, "anthropic-version", versionKey)
		var c struct {
			N int `json:"input_tokens"`
		}
		if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(body), &c) != nil {
			t.Fatalf("got %v %s, %v", resp, body, err)
		}
		return c.N
	}
	text := count(`[{"type":"text","text":"hello"}]`)
	if both := count(`[{"type":"text","text":"hello"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + picture + `"}}]`); text < 1 || both < text+claudeImage {
		t.Errorf("got %d for a text and %d with an image", text, both)
	}
}

func TestClaudeModels(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "a"}, {Name: "b"}}})
	for path, want := range map[string]string{
		"/v1/models":   `"first_id":"a","last_id":"b"`,
		"/v1/models/b": `{"type":"model","id":"b","display_name":"b"`,
		"/v1/models/c": `"type":"not_found_error"`,
	} {
		req, _ := http.NewRequest("GET", r.url+path, nil)
		req.Header.Set("anthropic-version", versionKey)
		resp, err := r.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		resp.Body.Close()
		if !strings.Contains(string(b[:n]), want) {
			t.Errorf("%s: got %s, want %s", path, b[:n], want)
		}
	}
}
