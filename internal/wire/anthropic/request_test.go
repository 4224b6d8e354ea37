package anthropic

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// What a client's body is as a neutral chat. Bodies are the members beside
// one short message, where they do not bring messages.
func TestChat(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want llm.Chat
	}{
		"least": {`"max_tokens":5,"model":"m","stream":true`, llm.Chat{MaxOutput: 5, Messages: hello}},
		"scalars": {`"max_tokens":5,"temperature":0.5,"top_p":0,"top_k":3,"stop_sequences":["a","b"],"metadata":{"user_id":"u"},"service_tier":"standard_only"`,
			llm.Chat{MaxOutput: 5, Temperature: ptr(0.5), TopP: ptr(0.0), TopK: ptr(int64(3)), Stop: []string{"a", "b"}, User: "u", Tier: "default", Messages: hello}},
		"nulls": {`"system":null,"temperature":null,"tools":null,"tool_choice":null,"thinking":null,"metadata":null,"stop_sequences":null,"cache_control":null,"container":null`,
			llm.Chat{Messages: hello}},
		"system text": {`"system":"be kind"`, llm.Chat{Messages: []llm.Message{said1(llm.RoleSystem, text("be kind")), hello[0]}}},
		"system blocks": {`"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"b"}]`,
			llm.Chat{Messages: []llm.Message{said1(llm.RoleSystem, llm.Block{Text: "a", Cache: llm.CacheHour}, text("b")), hello[0]}}},
		"system turn": {`"messages":[{"role":"user","content":"hello"},{"role":"system","content":"be kind"}]`,
			llm.Chat{Messages: []llm.Message{hello[0], said1(llm.RoleSystem, text("be kind"))}}},
		"cache of the whole": {`"cache_control":{"type":"ephemeral"}`, llm.Chat{Messages: ask(llm.Block{Text: "hello", Cache: llm.CacheShort})}},
		"media": {`"messages":[{"role":"user","content":[
			{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QQ=="},"cache_control":{"type":"ephemeral"}},
			{"type":"image","source":{"type":"url","url":"https://example.com/a"}},
			{"type":"image","source":{"type":"file","file_id":"file_1"}},
			{"type":"document","title":"t","context":"about","source":{"type":"base64","media_type":"application/pdf","data":"QQ=="},"citations":{"enabled":false}},
			{"type":"document","source":{"type":"text","media_type":"text/plain","data":"abc"}},
			{"type":"document","title":"t2","source":{"type":"content","content":[{"type":"text","text":"x"}]},"citations":{"enabled":true}},
			{"type":"search_result","source":"https://example.com","title":"T","content":[{"type":"text","text":"y"}]}]}]`,
			llm.Chat{Messages: ask(
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "QQ=="}, Cache: llm.CacheShort},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com/a"}},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{FileID: "file_1"}},
				text("about"), llm.Block{Kind: llm.BlockFile, Name: "t", Media: &llm.Media{MIME: "application/pdf", Data: "QQ=="}},
				llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "text/plain", Text: "abc"}},
				text("t2"), text("x"), text("T\nhttps://example.com"), text("y"),
			), Left: []llm.Left{{Name: "messages.0.content.5.citations", Must: true}}}},
		"tools": {`"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"no","is_error":true},{"type":"tool_result","tool_use_id":"c2"},
			{"type":"tool_result","tool_use_id":"c3","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"u"}}]}]}],
			"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"},"defer_loading":true},
			{"type":"custom","name":"g","input_schema":null},{"type":"web_search_20260209","name":"web_search","max_uses":3,"allowed_domains":["a"]},{"type":"bash_20250124","name":"bash"}],
			"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}`,
			llm.Chat{
				Messages: []llm.Message{
					said1(llm.RoleAssistant, llm.Block{Kind: llm.BlockCall, ID: "c1", Name: "f", Text: `{"a":1}`}),
					said1(llm.RoleUser, llm.Block{Kind: llm.BlockResult, ID: "c1", Failed: true, Result: []llm.Block{text("no")}}, llm.Block{Kind: llm.BlockResult, ID: "c2"},
						llm.Block{Kind: llm.BlockResult, ID: "c3", Result: []llm.Block{text("x"), {Kind: llm.BlockImage, Media: &llm.Media{URL: "u"}}}}),
				},
				Tools: []llm.Tool{{Name: "f", Description: "d", Schema: []byte(`{"type":"object"}`), Strict: ptr(true), Cache: llm.CacheShort}, {Name: "g"},
					{Kind: llm.ToolSearch, Name: "web_search"}},
				Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"f"}}, Serial: true,
				Left: []llm.Left{{Name: "tools.0.defer_loading"}, {Name: "tools.2.max_uses"}, {Name: "tools.2.allowed_domains", Must: true}, {Name: "tools.bash_20250124"}},
			}},
		"thinking": {`"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"assistant","content":[
			{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"cmVk"},{"type":"thinking","thinking":"hm","signature":"` + wire.WrapSeal(&foreignThought) + `"},
			{"type":"thinking","thinking":"bare","signature":""}]}]`,
			llm.Chat{Messages: []llm.Message{said1(llm.RoleAssistant, sealed, hidden, foreignThought, llm.Block{Kind: llm.BlockThinking, Text: "bare"})},
				Reasoning: llm.Reasoning{Budget: 2000, Summary: "auto", Encrypted: true}}},
		"adaptive": {`"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"max","task_budget":{}}`,
			llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Budget: -1, Effort: "max", Encrypted: true}, Left: []llm.Left{{Name: "output_config.task_budget"}}}},
		"disabled": {`"thinking":{"type":"disabled"},"output_config":{"effort":"low"}`,
			llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "none"}, Left: []llm.Left{{Name: "output_config.effort"}}}},
		"between tools": {`"thinking":{"type":"between_tools"}`, llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "minimal", Summary: "auto", Encrypted: true}}},
		"format": {`"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`,
			llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)}}},
		"format of the beta": {`"output_format":{"type":"json_schema","schema":{"type":"object"}}`,
			llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)}}},
		"not known": {`"speed":"fast","container":"c","mcp_servers":[{}],"context_management":{},"metadata":{"user_id":"u","x":1},"inference_geo":"eu",
			"messages":[{"role":"user","content":[{"type":"hologram"},{"type":"text","text":"hello"}]},
			{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]}]`,
			llm.Chat{User: "u", Messages: []llm.Message{hello[0], said1(llm.RoleAssistant,
				llm.Block{Kind: llm.BlockHosted, Name: "server_tool_use", ID: "s", Text: `{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`})},
				Left: []llm.Left{{Name: "messages.0.content.0.type", Must: true}, {Name: "speed"}, {Name: "container", Must: true},
					{Name: "mcp_servers", Must: true}, {Name: "context_management"}, {Name: "inference_geo", Must: true}, {Name: "metadata.x"}}}},
	} {
		body := c.body
		if !strings.Contains(body, `"messages"`) {
			body += `,"messages":[{"role":"user","content":"hello"}]`
		}
		got, err := Codec{}.Chat([]byte("{" + body + "}"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.want.N = 1
		if !reflect.DeepEqual(*got, c.want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(c.want)
			t.Errorf("%s:\n got %s\nwant %s", name, a, b)
		}
	}
}

// What no client may send, and the field that is named.
func TestChatRefused(t *testing.T) {
	for _, c := range []struct {
		body, param string
		kind        llm.Kind
	}{
		{`{"messages":`, "", llm.KindInvalidJSON},
		{`[]`, "", llm.KindInvalidRequest},
		{`{}`, "messages", llm.KindInvalidRequest},
		{`{"messages":{}}`, "messages", llm.KindInvalidRequest},
		{`{"messages":[{"role":"tool","content":"x"}]}`, "messages.0.role", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":5}]}`, "messages.0.content", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":["x"]}]}`, "messages.0.content.0", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, "messages.0.content.0.type", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}`, "messages.0.content.0.text", llm.KindInvalidRequest},
		{`{"messages":[],"max_tokens":"5"}`, "max_tokens", llm.KindInvalidRequest},
		{`{"messages":[],"max_tokens":-5}`, "max_tokens", llm.KindInvalidRequest},
		{`{"messages":[],"tools":[{"name":5}]}`, "tools.0.name", llm.KindInvalidRequest},
		{`{"messages":[],"tool_choice":{"type":"some"}}`, "tool_choice.type", llm.KindInvalidRequest},
	} {
		_, err := Codec{}.Chat([]byte(c.body))
		if err == nil || err.Kind != c.kind || err.Param != c.param {
			t.Errorf("%s: got %+v, want %s at %q", c.body, err, c.kind, c.param)
		}
	}
}

// A count is asked with what the prompt is made of alone.
func TestCount(t *testing.T) {
	c := &llm.Chat{Messages: append([]llm.Message{said1(llm.RoleSystem, text("be kind"))}, hello...), Tools: []llm.Tool{{Name: "f"}}, MaxOutput: 5000,
		Temperature: ptr(1.0), Stop: []string{"x"}, User: "u", Reasoning: llm.Reasoning{Budget: 2000}}
	for _, x := range []struct{ dialect, begin string }{
		{"", `{"model":"claude-sonnet-4-5","system":`}, {Vertex, `{"anthropic_version":"vertex-2023-10-16","model":"claude-sonnet-4-5","system":`},
	} {
		call, err := CountRequest(c, wire.Target{Model: sonnet45, Stream: true, Dialect: x.dialect})
		want := x.begin + `[{"type":"text","text":"be kind"}],"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}],` +
			`"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"thinking":{"type":"enabled","budget_tokens":2000}}`
		if err != nil || string(call.Body) != want {
			t.Errorf("got %s, %v\nwant %s", call.Body, err, want)
		}
	}
	if n, ok := ParseCount(AppendCount(nil, 42)); n != 42 || !ok {
		t.Errorf("got %d, %v", n, ok)
	}
	if _, ok := ParseCount([]byte(`{"type":"error"}`)); ok {
		t.Error("an error was read as a count")
	}
}

// Recorded requests for a count read, and so do their answers.
func TestRecordedCounts(t *testing.T) {
	for _, x := range exchanges(t, "anthropic/count_tokens") {
		if _, err := (Codec{}).Chat(x.Body); err != nil {
			t.Errorf("%s: %v", x.Case, err)
		}
		if n, ok := ParseCount(x.Answer); ok != (x.Status == 200) || ok && n == 0 {
			t.Errorf("%s: %d, %v", x.Case, n, ok)
		}
	}
}

func TestAbilities(t *testing.T) {
	for name, want := range map[string]struct {
		family  string
		version int
		can     Ability
	}{
		"claude-2.1":                                {"", 201, gen3},
		"claude-v2":                                 {"", 200, gen3},
		"claude-instant-1.2":                        {"", 100, gen3},
		"claude-3-opus-20240229":                    {"opus", 300, gen3},
		"claude-3-5-sonnet-20241022":                {"sonnet", 305, gen3},
		"claude-3-7-sonnet@20250219":                {"sonnet", 307, gen4},
		"claude-sonnet-4-20250514":                  {"sonnet", 400, gen4},
		"claude-opus-4-1-20250805":                  {"opus", 401, gen4&^Both | Format},
		"anthropic/claude-haiku-4.5":                {"haiku", 405, gen4&^Both | Format},
		"claude-sonnet-4-5@20250929":                {"sonnet", 405, gen4&^Both | Format},
		"us.anthropic.claude-opus-4-6-v1:0":         {"opus", 406, Budget | Adaptive | Sampling | Format | Force},
		"claude-opus-4-7":                           {"opus", 407, gen5 &^ (Thinks | Turns)},
		"claude-opus-4-8-20260528":                  {"opus", 408, gen5 &^ Thinks},
		"claude-sonnet-5":                           {"sonnet", 500, gen5 &^ (Thinks | Turns)},
		"claude-opus-5":                             {"opus", 500, gen5},
		"claude-haiku-5-5":                          {"haiku", 505, gen5},
		"claude-sonnet-5-5":                         {"sonnet", 505, (gen5 | Always | Between) &^ Force},
		"claude-fable-5-1":                          {"fable", 501, (gen5 | Always) &^ Force},
		"claude-mythos-preview":                     {"mythos", newest, gen5 | Always},
		"claude-latest":                             {"", newest, gen5},
		"Claude-Sonnet-4-5":                         {"sonnet", 405, gen4&^Both | Format},
		"arn:aws:bedrock:eu:1:claude-sonnet-4-6-v1": {"sonnet", 406, Budget | Adaptive | Sampling | Format | Force},
	} {
		family, version, claude := ParseModel(name)
		if family != want.family || version != want.version || !claude {
			t.Errorf("%s: read as %q %d %v, want %q %d", name, family, version, claude, want.family, want.version)
		}
		if got := AbilitiesOf(name); got != want.can {
			t.Errorf("%s: abilities %b, want %b", name, got, want.can)
		}
	}
	if got := AbilitiesOf("glm-5"); got != foreign {
		t.Errorf("abilities %b, want %b", got, foreign)
	}
}

func TestSchema(t *testing.T) {
	for _, c := range []struct {
		in, want      string
		relaxed, open bool
	}{
		{`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"}}}}}`,
			`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"}},"additionalProperties":false}},"additionalProperties":false}`, false, false},
		{`{"type":"object","properties":{"a":{"type":"integer","minimum":1,"default":2}},"additionalProperties":false}`,
			`{"type":"object","properties":{"a":{"type":"integer","default":2}},"additionalProperties":false}`, true, false},
		{`{"type":"array","minItems":1,"maxItems":3,"items":{"oneOf":[{"type":"null"},{"type":["object","null"],"properties":{"x":{}}}]}}`,
			`{"type":"array","minItems":1,"items":{"anyOf":[{"type":"null"},{"type":["object","null"],"properties":{"x":{}},"additionalProperties":false}]}}`, true, false},
		{`{"$defs":{"n":{"type":"string","format":"email"}},"properties":{"minimum":{"$ref":"#/$defs/n"}}}`,
			`{"$defs":{"n":{"type":"string","format":"email"}},"properties":{"minimum":{"$ref":"#/$defs/n"}},"additionalProperties":false}`, false, false},
		{`{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}}}}}`, "", false, true},
		{`{"type":"object"}`, "", false, true},
		{`{"type":"object","properties":{"a":true}}`, "", false, true},
		{`{"type":"object","properties":{"a":{}},"additionalProperties":true}`, "", false, true},
		{`{"properties":{"a":{"$ref":"#"}}}`, "", false, true},
		{`true`, "", false, true},
	} {
		var x closer
		got := x.schema(nil, []byte(c.in), 0)
		if x.relaxed != c.relaxed || x.open != c.open || !c.open && string(got) != c.want {
			t.Errorf("%s: relaxed %v, open %v, %s; want %v, %v, %s", c.in, x.relaxed, x.open, got, c.relaxed, c.open, c.want)
		}
	}
}
