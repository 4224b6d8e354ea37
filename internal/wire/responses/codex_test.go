package responses

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// codex is a second turn as Codex CLI 0.169.0 writes it, its texts cut short:
// tools in a namespace, a search of tools that it runs itself, a search of the
// web that it offers to every model, what its agents said.
const codex = `{"model":"m","stream":true,"store":false,"tool_choice":"auto","parallel_tool_calls":true,"include":["reasoning.encrypted_content"],
	"reasoning":{"summary":"auto"},"prompt_cache_key":"k","client_metadata":{"session_id":"s"},
	"tools":[
		{"type":"function","name":"exec_command","description":"Runs.","strict":false,"parameters":{"type":"object"}},
		{"type":"namespace","name":"multi_agent_v1","description":"Tools for agents.","tools":[
			{"type":"function","name":"spawn_agent","description":"Spawns.","strict":false,"parameters":{"type":"object","properties":{}}},
			{"type":"function","name":"wait_agent","description":"Waits.","strict":false,"parameters":{"type":"object"}}]},
		{"type":"custom","name":"apply_patch","description":"Edits.","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},
		{"type":"tool_search","execution":"client","description":"Finds.","parameters":{"type":"object","properties":{"query":{"type":"string"}}}},
		{"type":"web_search","external_web_access":false},
		{"type":"image_generation","output_format":"png"}],
	"input":[
		{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"go"}]},
		{"type":"function_call","id":"fc_1","namespace":"multi_agent_v1","name":"spawn_agent","arguments":"{}","call_id":"c1"},
		{"type":"function_call_output","call_id":"c1","output":"started"},
		{"type":"tool_search_call","call_id":"c2","execution":"client","status":"completed","arguments":{"query":"js"}},
		{"type":"tool_search_output","call_id":"c2","execution":"client","status":"completed","tools":[
			{"type":"namespace","name":"mcp__js__","description":"JavaScript.","tools":[{"type":"function","name":"run","parameters":{"type":"object"},"defer_loading":true}]}]},
		{"type":"agent_message","id":"a1","author":"/root/a","recipient":"/root","content":[{"type":"input_text","text":"done"},{"type":"encrypted_content","encrypted_content":"really"}]}]}`

func TestCodex(t *testing.T) {
	c, bad := Codec{}.Chat([]byte(codex))
	if bad != nil {
		t.Fatal(bad)
	}
	var tools []string
	for _, x := range c.Tools {
		tools = append(tools, x.Name)
	}
	want := []string{"exec_command", "multi_agent_v1__spawn_agent", "multi_agent_v1__wait_agent", "apply_patch", "tool_search", "web_search", "mcp__js__run"}
	if !reflect.DeepEqual(tools, want) {
		t.Errorf("tools %q, want %q", tools, want)
	}
	if d := c.Tools[1].Description; d != "multi_agent_v1: Tools for agents.\n\nSpawns." || c.Tools[2].Description != "Waits." {
		t.Errorf("described as %q", d)
	}
	for _, l := range c.Left {
		if l.Must {
			t.Errorf("%s is refused", l.Name)
		}
	}
	if !reflect.DeepEqual(c.Left, []llm.Left{{Name: "tools.external_web_access"}, {Name: "tools.defer_loading"}, {Name: "tools.image_generation"}, {Name: "client_metadata"}}) {
		t.Errorf("left %v", c.Left)
	}
	got := map[string]string{}
	for _, m := range c.Messages {
		for _, b := range m.Blocks {
			switch b.Kind {
			case llm.BlockCall:
				got[b.ID] = b.Name + " " + b.Text
			case llm.BlockResult:
				got[b.ID] += " → " + b.Result[0].Text
			default:
				got["said"] += b.Text + "|"
			}
		}
	}
	if want := map[string]string{"c1": "multi_agent_v1__spawn_agent {} → started", "said": "go|Message from /root/a to /root:|done|really|",
		"c2": "tool_search {\"query\":\"js\"} → These tools can be called now:\nmcp__js__run"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the conversation is %q, want %q", got, want)
	}
	call, bad := Codec{}.Encode(c, wire.Target{Model: "m", Dialect: "xai"}) // no word of a namespace
	if bad != nil || strings.Contains(string(call.Body), "namespace") || !strings.Contains(string(call.Body), `"name":"multi_agent_v1__wait_agent"`) {
		t.Errorf("%v: %s", bad, call.Body)
	}
}

// A call goes back to the client under the name that it gave the tool.
func TestCodexCalls(t *testing.T) {
	req := &llm.Request{ID: "01", Model: "m", Body: fixed(codex)}
	r := &llm.Reply{Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{
		{Kind: llm.BlockCall, ID: "c1", Name: "multi_agent_v1__wait_agent", Text: `{"a":1}`},
		{Kind: llm.BlockCall, ID: "c2", Name: "mcp__js__run"},
		{Kind: llm.BlockCall, ID: "c3", Name: "tool_search", Text: `{"query":"x"}`},
		{Kind: llm.BlockCall, ID: "c4", Name: "exec_command"}}}}}
	want := []string{
		`{"id":"fc_01_0","type":"function_call","status":"completed","arguments":"{\"a\":1}","call_id":"c1","namespace":"multi_agent_v1","name":"wait_agent"}`,
		`{"id":"fc_01_1","type":"function_call","status":"completed","arguments":"{}","call_id":"c2","namespace":"mcp__js__","name":"run"}`,
		`{"id":"tsc_01_2","type":"tool_search_call","execution":"client","status":"completed","arguments":{"query":"x"},"call_id":"c3"}`,
		`{"id":"fc_01_3","type":"function_call","status":"completed","arguments":"{}","call_id":"c4","name":"exec_command"}`,
	}
	body := Codec{}.AppendReply(nil, req, r)
	var got []string
	_ = scan.Elements(scan.Get(body, "output"), func(it []byte) bool {
		got = append(got, string(it))
		return true
	})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("items\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e := Codec{}.Encoder(req)
	s := string(e.End(e.Events(nil, r.Events(nil))))
	for _, item := range want {
		if strings.Count(s, item) != 2 { // its own end, and the response's
			t.Errorf("the stream has not twice %s:\n%s", item, s)
		}
	}
	if strings.Count(s, "response.function_call_arguments.done\"") != 3 || !strings.Contains(s, `"name":"run","arguments":"{}"`) {
		t.Errorf("the ends of arguments: %s", s)
	}
}

func TestJoin(t *testing.T) {
	long := strings.Repeat("n", 70)
	r := &reader{}
	r.reserve("a__b")
	for _, c := range []struct{ space, short, want string }{
		{"", "x", "x"}, {"s", "x", "s__x"}, {"s", "x", "s__x"}, {"s__", "y", "s__y"}, {"s__", "x", "s2__x"}, {"a", "b", "a2__b"},
		{long, "tool", strings.Repeat("n", 58) + "__tool"}, {long + "1", "tool", strings.Repeat("n", 57) + "2__tool"}, {"s", long, "s__" + long},
	} {
		if got := r.join(c.space, c.short); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.short, c.space, got, c.want)
		}
	}
}

// A tool that only its vendor runs is refused where the request depends on it.
func TestHosted(t *testing.T) {
	const f, mcp = `{"type":"function","name":"f"}`, `{"type":"mcp","server_label":"s"}`
	for body, must := range map[string]bool{
		`"tools":[` + mcp + `]`:                                        true,
		`"tools":[` + mcp + `],"tool_choice":"none"`:                   false,
		`"tools":[` + f + `,` + mcp + `]`:                              false,
		`"tools":[` + f + `,` + mcp + `],"tool_choice":"required"`:     false,
		`"tools":[` + f + `,` + mcp + `],"tool_choice":{"type":"mcp"}`: true,
		`"tools":[` + f + `,` + mcp + `],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[` + mcp + `]}`:           true,
		`"tools":[` + f + `,` + mcp + `],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[` + mcp + `,` + f + `]}`: false,
	} {
		c, bad := Codec{}.Chat([]byte("{" + body + "}"))
		if bad != nil {
			t.Fatal(bad)
		}
		got := false
		for _, l := range c.Left {
			got = got || l.Must
		}
		if got != must {
			t.Errorf("%s: refused %v", body, got)
		}
	}
}
