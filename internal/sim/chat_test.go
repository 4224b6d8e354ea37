package sim

import (
	"slices"
	"strings"
	"testing"
)

// TestChatParts: what a chat says in a stream, part by part, is what it says
// whole.
func TestChatParts(t *testing.T) {
	custom := `"tools":[{"type":"custom","custom":{"name":"shell"}},` + weather[len(`"tools":[`):]
	for _, tc := range []struct {
		name     string
		model    Model
		body     string
		text     bool
		thinking bool
		refusal  bool
		calls    []string
		finish   string
	}{
		{"thinking", Model{Thinking: 5}, user("hi"), true, true, false, nil, "stop"},
		{"no thinking", Model{Thinking: 5}, user("hi") + `,"reasoning_effort":"none"`, true, false, false, nil, "stop"},
		{"thinking and a tool", Model{Thinking: 5}, user("call the tool") + "," + weather, false, true, false, []string{"clock"}, "tool_calls"},
		{"tools", Model{}, user("call every tool") + "," + custom, false, false, false, []string{"shell", "clock", "weather"}, "tool_calls"},
		{"one at a time", Model{}, user("call every tool") + `,"parallel_tool_calls":false,` + weather, false, false, false, []string{"clock"}, "tool_calls"},
		{"refusal", Model{}, user("refuse to answer"), false, false, true, nil, "stop"},
		{"stop", Model{}, user("hi") + `,"stop":" (simul"`, true, false, false, nil, "stop"},
		{"stop at once", Model{Thinking: 5}, user("hi") + `,"stop":["x","This"]`, true, true, false, nil, "stop"},
		{"cut while thinking", Model{Thinking: 5}, user("hi") + `,"max_tokens":3`, false, true, false, nil, "length"},
	} {
		tc.model.Name = "m"
		r := start(t, Config{Models: []Model{tc.model}})
		_, body, _ := r.post("/v1/chat/completions", `{"model":"m",`+tc.body+`}`)
		ch := r.unary(body).Choices[0]
		var names []string
		for _, call := range ch.Message.ToolCalls {
			names = append(names, call.Function.Name+call.Custom.Name)
		}
		if (ch.Message.Content != nil) != tc.text || (ch.Message.Reasoning != "") != tc.thinking || (ch.Message.Refusal != nil) != tc.refusal || !slices.Equal(names, tc.calls) || ch.Finish != tc.finish {
			t.Errorf("%s: got %s", tc.name, body)
		}
		r.sim.Reset()
		_, streamed, _ := r.post("/v1/chat/completions", `{"stream":true,"model":"m",`+tc.body+`}`)
		all, done := r.events(streamed)
		text, thinking, refusal, args := "", "", "", make([]string, len(tc.calls))
		for _, e := range all {
			d := e.Choices[0].Delta
			text += deref(d.Content)
			thinking += d.Reasoning
			refusal += deref(d.Refusal)
			for _, call := range d.ToolCalls {
				args[call.Index] += call.Function.Arguments + call.Custom.Input
			}
		}
		if !done || text != deref(ch.Message.Content) || thinking != ch.Message.Reasoning || refusal != deref(ch.Message.Refusal) {
			t.Errorf("%s: the stream says %q %q %q, want %s", tc.name, text, thinking, refusal, body)
		}
		for i, call := range ch.Message.ToolCalls {
			if args[i] != call.Function.Arguments+call.Custom.Input {
				t.Errorf("%s: call %d has %q, want %+v", tc.name, i, args[i], call)
			}
		}
	}
}

func TestChatRefusals(t *testing.T) {
	r := start(t, Config{Models: []Model{{Name: "m", Context: 100}}})
	const calls = `{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"clock","arguments":"{}"}}]}`
	for _, tc := range []struct{ name, body, want string }{
		{"result alone", `"messages":[{"role":"tool","tool_call_id":"x","content":"1"}]`, "must be a response to a preceeding message with 'tool_calls'"},
		{"wrong result", `"messages":[` + calls + `,{"role":"tool","tool_call_id":"y","content":"1"}]`, "must be a response to a preceeding message"},
		{"call alone", `"messages":[` + calls + `,{"role":"user","content":"go on"}]`, "did not have response messages: x"},
		{"call last", `"messages":[` + calls + `]`, "did not have response messages: x"},
		{"role", `"messages":[{"role":"model","content":"1"}]`, "Invalid value: 'model'"},
		{"flat tool", user("hi") + `,"tools":[{"type":"function","name":"a"}]`, "tools[0].function.name"},
		{"stops", user("hi") + `,"stop":["1","2","3","4","5"]`, "Invalid 'stop'"},
		{"too long", user(strings.Repeat("word ", 100)), `"code":"context_length_exceeded"`},
	} {
		if resp, body, _ := r.post("/v1/chat/completions", `{"model":"m",`+tc.body+`}`); resp.StatusCode != 400 || !strings.Contains(body, tc.want) {
			t.Errorf("%s: got %d %s, want %s", tc.name, resp.StatusCode, body, tc.want)
		}
	}
}
