package blackbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The bodies below are what Codex CLI 0.169.0 and Claude Code 2.1.197 send,
// 2026-11, their texts cut short and their lists cut to one of each kind.

// codexTools are Codex's, the namespace first: it is what the simulator calls.
const codexTools = `"tools":[
	{"type":"namespace","name":"multi_agent_v1","description":"Tools for agents.","tools":[
		{"type":"function","name":"wait_agent","description":"Waits.","strict":false,"parameters":{"type":"object","properties":{"targets":{"type":"array","items":{"type":"string"}}},"required":["targets"],"additionalProperties":false}}]},
	{"type":"function","name":"exec_command","description":"Runs.","strict":false,"parameters":{"type":"object","properties":{"cmd":{"type":"string"}},"required":["cmd"],"additionalProperties":false}},
	{"type":"custom","name":"apply_patch","description":"Edits.","format":{"type":"grammar","syntax":"lark","definition":"start: /.+/"}},
	{"type":"tool_search","execution":"client","description":"Finds.","parameters":{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}},
	{"type":"web_search","external_web_access":false,"search_content_types":["text","image"]}],
	"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"medium","summary":"auto"},"text":{"verbosity":"low"},"store":false,"stream":true,
	"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","client_metadata":{"session_id":"s"}`

// agentSim are the models that the agents ask.
const agentSim = `
seed: 7
models:
  mistral-large-latest: {latency: 5ms, tokens: 12, tokens_per_second: 2000}
  grok-4: {latency: 5ms, tokens: 12, tokens_per_second: 2000}
  gpt-5.1: {latency: 5ms, tokens: 12, tokens_per_second: 2000, thinking: 8}
  claude-sonnet-4-5: {latency: 5ms, tokens: 12, tokens_per_second: 2000, thinking: 8}
  gemini-2.5-pro: {latency: 5ms, tokens: 12, tokens_per_second: 2000, thinking: 8}
  gemini-3-pro-preview: {latency: 5ms, tokens: 12, tokens_per_second: 2000, thinking: 8}
`

// agentVendors are the simulator behind each vendor protocol.
func agentVendors(url string) string {
	return fmt.Sprintf(`providers:
  chat: {kind: mistral, base_url: "%[1]s/v1", api_key: k}
  copy: {kind: xai, base_url: "%[1]s/v1", api_key: k}
  openai: {kind: openai, base_url: "%[1]s/v1", api_key: k}
  anthropic: {kind: anthropic, base_url: "%[1]s", api_key: k}
  gemini: {kind: gemini, base_url: "%[1]s", api_key: k}
`, url)
}

// data returns the data of a stream's events.
func data(body []byte) (all []json.RawMessage) {
	for sc := bufio.NewScanner(bytes.NewReader(body)); sc.Scan(); {
		if d, ok := strings.CutPrefix(sc.Text(), "data: "); ok && d != "[DONE]" {
			all = append(all, json.RawMessage(d))
		}
	}
	return all
}

// A turn of Codex, the call of a tool in a namespace and the turn after it, in
// front of every vendor that knows no namespace: a copy of OpenAI's protocol
// is one.
func TestCodex(t *testing.T) {
	t.Parallel()
	s := simulate(t, agentSim)
	g := serve(t, agentVendors(s.url))
	for _, model := range []string{"chat/mistral-large-latest", "copy/grok-4", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gemini/gemini-3-pro-preview"} {
		t.Run(model, func(t *testing.T) {
			ask := func(input string) []json.RawMessage {
				r := g.post("/v1/responses", `{"model":"`+model+`","input":[`+input+`],`+codexTools+`}`)
				if r.status != 200 {
					t.Fatalf("status %d: %s", r.status, r.body)
				}
				events := data(r.body)
				var last struct {
					Type     string
					Response struct{ Output []json.RawMessage }
				}
				if err := json.Unmarshal(events[len(events)-1], &last); err != nil || last.Type != "response.completed" {
					t.Fatalf("the stream ends in %s (%v)", events[len(events)-1], err)
				}
				return last.Response.Output
			}
			const user = `{"type":"message","role":"developer","content":[{"type":"input_text","text":"You are an agent."}]},
				{"type":"message","role":"user","content":[{"type":"input_text","text":"please call the tool"}]}`
			type item struct {
				Type, Namespace, Name, Arguments string
				CallID                           string `json:"call_id"`
				Content                          []struct{ Text string }
			}
			first := ask(user)
			var call item
			for _, raw := range first {
				if err := json.Unmarshal(raw, &call); err != nil {
					t.Fatal(err)
				}
			}
			if call.Type != "function_call" || call.Namespace != "multi_agent_v1" || call.Name != "wait_agent" || call.CallID == "" || !json.Valid([]byte(call.Arguments)) {
				t.Fatalf("the answer ends in %+v", call)
			}
			history := user
			for _, raw := range first {
				history += "," + string(raw)
			}
			said := "" // a seal may follow it
			for _, raw := range ask(history + `,{"type":"function_call_output","call_id":"` + call.CallID + `","output":"done"}`) {
				var it item
				if err := json.Unmarshal(raw, &it); err != nil {
					t.Fatal(err)
				}
				if it.Type == "message" {
					said += it.Content[0].Text
				}
			}
			if !strings.HasPrefix(said, "This is ") {
				t.Errorf("the second answer says %q", said)
			}
		})
	}
}

// A turn of Claude Code in front of every vendor. It takes the last block of
// an answer for the answer.
func TestClaudeCode(t *testing.T) {
	t.Parallel()
	s := simulate(t, agentSim)
	g := serve(t, agentVendors(s.url))
	for _, model := range []string{"chat/mistral-large-latest", "openai/gpt-5.1", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gemini/gemini-3-pro-preview"} {
		for text, want := range map[string]string{"hello": "text", "please call the tool": "tool_use"} {
			r := g.post("/v1/messages?beta=true", `{"model":"`+model+`","max_tokens":32000,"stream":true,
				"system":[{"type":"text","text":"a: b"},{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],
				"messages":[{"role":"user","content":[{"type":"text","text":"<reminder>"},{"type":"text","text":"`+text+`","cache_control":{"type":"ephemeral"}}]}],
				"tools":[{"name":"Bash","description":"Runs.","input_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"command":{"type":"string"}},"required":["command"],"additionalProperties":false}}],
				"metadata":{"user_id":"{\"session_id\":\"s\"}"},"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},
				"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}`,
				"Anthropic-Version", "2023-06-01", "Anthropic-Beta", "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,effort-2025-11-24")
			if r.status != 200 {
				t.Errorf("%s: status %d: %s", model, r.status, r.body)
				continue
			}
			last, end := "", ""
			for _, d := range data(r.body) {
				var e struct {
					Type  string
					Block struct{ Type string } `json:"content_block"`
				}
				if err := json.Unmarshal(d, &e); err != nil {
					t.Fatal(err)
				}
				if end = e.Type; e.Block.Type != "" {
					last = e.Block.Type
				}
			}
			if last != want || end != "message_stop" {
				t.Errorf("%s, %q: the last block is %q, the last event %q", model, text, last, end)
			}
		}
	}
}
