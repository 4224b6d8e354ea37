package openai

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func ptr[T any](v T) *T { return &v }

func said1(kind llm.BlockKind, text string) llm.Block { return llm.Block{Kind: kind, Text: text} }

// What a client's body means.
func TestChat(t *testing.T) {
	txt := func(s string) llm.Block { return said1(llm.BlockText, s) }
	wrapped := wire.WrapSeal(&llm.Block{ID: "i", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "sig"}})
	redacted := wire.WrapSeal(&llm.Block{Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "red", Redacted: true}})
	google := wire.WrapSeal(&llm.Block{Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "g"}})
	sig := llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "g"}}
	for _, x := range []struct {
		name, body string
		want       []llm.Message
	}{
		{"roles", `[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]`, []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{txt("a")}}, {Role: llm.RoleSystem, Blocks: []llm.Block{txt("b")}}, {Blocks: []llm.Block{txt("c")}},
			{Role: llm.RoleAssistant, Blocks: []llm.Block{txt("d")}}}},
		{"parts", `[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"b","prompt_cache_breakpoint":{"mode":"explicit"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk=","detail":"low"}},{"type":"image_url","image_url":"https://x/y.png"},
			{"type":"input_audio","input_audio":{"data":"aGk=","format":"mp3"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,aGk=","filename":"f"}},
			{"type":"file","file":{"file_id":"id"}},{"type":"file_url","file_url":{"url":"https://x"}},{"type":"document_url","document_url":"https://y","document_name":"d"}]}]`,
			[]llm.Message{{Blocks: []llm.Block{{Text: "a", Cache: llm.CacheHour}, {Text: "b", Cache: llm.CacheShort},
				{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "aGk=", Detail: "low"}}, {Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x/y.png"}},
				{Kind: llm.BlockAudio, Media: &llm.Media{MIME: "audio/mpeg", Data: "aGk="}}, {Kind: llm.BlockFile, Name: "f", Media: &llm.Media{MIME: "application/pdf", Data: "aGk="}},
				{Kind: llm.BlockFile, Media: &llm.Media{FileID: "id"}}, {Kind: llm.BlockFile, Media: &llm.Media{URL: "https://x"}},
				{Kind: llm.BlockFile, Name: "d", Media: &llm.Media{URL: "https://y"}}}}}},
		{"calls", `[{"role":"assistant","content":null,"refusal":"r","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"2","type":"custom","custom":{"name":"c","input":"in"}},
			{"id":"3","function":{"name":"o","arguments":{"a":1}}}]},
			{"role":"tool","tool_call_id":"1","content":"x"},{"role":"tool","tool_call_id":"2","content":[{"type":"text","text":"y","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"z"}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{said1(llm.BlockRefusal, "r"), {Kind: llm.BlockCall, ID: "1", Name: "f", Text: "{}"},
				{Kind: llm.BlockCall, ID: "2", Name: "c", Text: "in", Custom: true}, {Kind: llm.BlockCall, ID: "3", Name: "o", Text: `{"a":1}`}}},
				{Blocks: []llm.Block{{Kind: llm.BlockResult, ID: "1", Result: []llm.Block{txt("x")}}, {Kind: llm.BlockResult, ID: "2", Result: []llm.Block{txt("y")}, Cache: llm.CacheShort}}},
				{Blocks: []llm.Block{txt("z")}}}},
		{"thinking as text", `[{"role":"assistant","content":"a","reasoning_content":"t"},{"role":"assistant","content":"a","reasoning":"t"}]`, []llm.Message{
			{Role: llm.RoleAssistant, Blocks: []llm.Block{said1(llm.BlockThinking, "t"), txt("a")}}, {Role: llm.RoleAssistant, Blocks: []llm.Block{said1(llm.BlockThinking, "t"), txt("a")}}}},
		{"seals of others", `[{"role":"assistant","content":"a","reasoning_content":"t","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"` + wrapped + `","index":0},{"type":"reasoning.encrypted","data":"` + redacted + `","index":1}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "t", ID: "i", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "sig"}},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "red", Redacted: true}}, txt("a")}}}},
		{"a gathered stream", `[{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"t","index":0},{"type":"reasoning.text","text":"u","index":0},{"type":"reasoning.text","signature":"` + wrapped + `","index":0}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "tu", ID: "i", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "sig"}}, txt("a")}}}},
		{"a seal of OpenRouter's", `[{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.encrypted","data":"d","format":"openai-responses-v1","id":"rs","index":0}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoOpenAI, Redacted: true,
				Data: `{"type":"reasoning.encrypted","format":"openai-responses-v1","id":"rs","data":"d","index":0}`}}, txt("a")}}}},
		{"LiteLLM's blocks", `[{"role":"assistant","content":"a","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "t", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "s"}},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "d", Redacted: true}}, txt("a")}}}},
		{"Google's seal at its call", `[{"role":"assistant","content":"a","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}}],
			"reasoning_details":[{"type":"reasoning.encrypted","data":"` + google + `","index":0}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{txt("a"), sig, {Kind: llm.BlockCall, ID: "1", Name: "f", Text: "{}"}}}}},
		{"Google's seal in the details alone", `[{"role":"assistant","content":"a","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}],"reasoning_details":[{"type":"reasoning.encrypted","data":"` + google + `","index":0}]}]`,
			[]llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{txt("a"), sig, {Kind: llm.BlockCall, ID: "1", Name: "f", Text: "{}"}}}}},
	} {
		c, err := Codec{}.Chat([]byte(`{"model":"m","messages":` + x.body + `}`))
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if !reflect.DeepEqual(c.Messages, x.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", x.name, c.Messages, x.want)
		}
		if len(c.Left) > 0 {
			t.Errorf("%s: left %v", x.name, c.Left)
		}
	}
}

// A legacy result finds the id of its call.
func TestLegacyFunctions(t *testing.T) {
	c, err := Codec{}.Chat([]byte(`{"messages":[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}],
		"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}}`))
	if err != nil {
		t.Fatal(err)
	}
	id := c.Messages[0].Blocks[0].ID
	if id == "" || c.Messages[1].Blocks[0].ID != id {
		t.Errorf("%+v", c.Messages)
	}
	if len(c.Tools) != 1 || string(c.Tools[0].Schema) != `{"type":"object"}` || c.Choice.Mode != llm.ChoiceAny || c.Choice.Names[0] != "f" {
		t.Errorf("%+v, %+v", c.Tools, c.Choice)
	}
}

// Results without id and name answer the calls in order.
func TestResultsInOrder(t *testing.T) {
	c, err := Codec{}.Chat([]byte(`{"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}},
		{"type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"},{"role":"tool","content":"3"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	calls, results := c.Messages[0].Blocks, c.Messages[1].Blocks
	for i := range calls {
		if calls[i].ID == "" || results[i].ID != calls[i].ID {
			t.Errorf("call %d has id %q, its result %q", i, calls[i].ID, results[i].ID)
		}
	}
}

func TestChatFields(t *testing.T) {
	const msgs = `{"messages":[{"role":"user","content":"a"}],`
	for _, x := range []struct {
		body string
		want llm.Chat
	}{
		{`"max_tokens":5,"max_completion_tokens":6,"temperature":0,"top_p":0.5,"top_k":3,"seed":-1,"n":2,"stop":"x","model":"m","stream":true,"stream_options":{},"context":{"budget":"low"}`,
			llm.Chat{MaxOutput: 6, Temperature: ptr(0.0), TopP: ptr(0.5), TopK: ptr(int64(3)), Seed: ptr(int64(-1)), N: 2, Stop: []string{"x"}}},
		{`"max_tokens":5,"stop":["x","y"],"user":"u","safety_identifier":"u","metadata":{"b":"1","a":2},"service_tier":"flex","prompt_cache_key":"k","verbosity":"low","store":false`,
			llm.Chat{MaxOutput: 5, Stop: []string{"x", "y"}, User: "u", Metadata: []llm.Pair{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}}, Tier: "flex", CacheKey: "k", Verbosity: "low", Store: ptr(false)}},
		{`"logprobs":true,"top_logprobs":2,"frequency_penalty":1,"presence_penalty":-1,"safety_identifier":"s"`,
			llm.Chat{LogProbs: true, TopLogProbs: 2, FrequencyPenalty: ptr(1.0), PresencePenalty: ptr(-1.0), User: "s"}},
		{`"reasoning_effort":"low"`, llm.Chat{Reasoning: llm.Reasoning{Effort: "low", Summary: "auto", Encrypted: true}}},
		{`"reasoning_effort":"low","include_reasoning":false`, llm.Chat{Reasoning: llm.Reasoning{Effort: "low", Encrypted: true}}},
		{`"reasoning_effort":"none"`, llm.Chat{Reasoning: llm.Reasoning{Effort: "none"}}},
		{`"reasoning":{"max_tokens":100}`, llm.Chat{Reasoning: llm.Reasoning{Budget: 100, Summary: "auto", Encrypted: true}}},
		{`"reasoning":{"effort":"high","exclude":true}`, llm.Chat{Reasoning: llm.Reasoning{Effort: "high", Encrypted: true}}},
		{`"reasoning":{"enabled":true}`, llm.Chat{Reasoning: llm.Reasoning{Budget: -1, Summary: "auto", Encrypted: true}}},
		{`"thinking":{"type":"enabled"},"reasoning_effort":"high"`, llm.Chat{Reasoning: llm.Reasoning{Effort: "high", Summary: "auto", Encrypted: true}}},
		{`"thinking":{"type":"disabled"}`, llm.Chat{Reasoning: llm.Reasoning{Effort: "none"}}},
		{`"enable_thinking":true,"thinking_budget":50`, llm.Chat{Reasoning: llm.Reasoning{Budget: 50, Summary: "auto", Encrypted: true}}},
		{`"response_format":{"type":"json_object"}`, llm.Chat{Format: llm.Format{Kind: llm.FormatJSON}}},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}`,
			llm.Chat{Format: llm.Format{Kind: llm.FormatSchema, Name: "n", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)}}},
		{`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{},"strict":true},"cache_control":{"type":"ephemeral"}},{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}],"tool_choice":"required","parallel_tool_calls":false`,
			llm.Chat{Tools: []llm.Tool{{Name: "f", Description: "d", Schema: []byte("{}"), Strict: ptr(true), Cache: llm.CacheShort},
				{Kind: llm.ToolCustom, Name: "c", Grammar: []byte(`{"type":"grammar","syntax":"lark","definition":"x"}`)}}, Choice: llm.Choice{Mode: llm.ChoiceAny}, Serial: true}},
		{`"tools":[{"type":"function","name":"f","parameters":{}},{"name":"g","input_schema":{"a":1}},{"type":"custom","name":"c","format":{"type":"text"}},{"type":"web_search"}],"web_search_options":{},"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"c"}}]}}`,
			llm.Chat{Tools: []llm.Tool{{Name: "f", Schema: []byte("{}")}, {Name: "g", Schema: []byte(`{"a":1}`)}, {Kind: llm.ToolCustom, Name: "c"}, {Kind: llm.ToolSearch}},
				Choice: llm.Choice{Mode: llm.ChoiceAuto, Names: []string{"f", "c"}}}},
		{`"tool_choice":{"type":"function","function":{"name":"f"}}`, llm.Chat{Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"f"}}}},
		{`"tool_choice":{"type":"function","name":"f"}`, llm.Chat{Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"f"}}}},
		{`"tool_choice":"none","unknown":1,"nothing":null,"logit_bias":{"1":2}`, llm.Chat{Choice: llm.Choice{Mode: llm.ChoiceNone}, Left: []llm.Left{{Name: "unknown"}, {Name: "logit_bias"}}}},
		{`"modalities":["text","audio"],"audio":{"voice":"x"},"prediction":{}`,
			llm.Chat{Left: []llm.Left{{Name: "modalities", Must: true}, {Name: "audio", Must: true}, {Name: "prediction"}}}},
		{`"tools":[{"type":"mcp"},{"type":"function","name":"f"}]`, llm.Chat{Tools: []llm.Tool{{Name: "f"}}, Left: []llm.Left{{Name: "tools.mcp"}}}},
		{`"tools":[{"type":"mcp"}],"web_search_options":{"search_context_size":"low"}`,
			llm.Chat{Tools: []llm.Tool{{Kind: llm.ToolSearch}}, Left: []llm.Left{{Name: "web_search_options.search_context_size"}, {Name: "tools.mcp", Must: true}}}},
	} {
		c, err := Codec{}.Chat([]byte(msgs + x.body + "}"))
		if err != nil {
			t.Errorf("%s: %v", x.body, err)
			continue
		}
		c.Messages = nil
		x.want.N = max(1, x.want.N)
		if !reflect.DeepEqual(*c, x.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", x.body, *c, x.want)
		}
	}
}

func TestChatRefuses(t *testing.T) {
	for _, x := range []struct {
		body, param string
		kind        llm.Kind
	}{
		{`{`, "", llm.KindInvalidJSON},
		{`{}`, "messages", llm.KindInvalidRequest},
		{`{"messages":[]}`, "messages", llm.KindInvalidRequest},
		{`{"messages":{}}`, "messages", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":"a","tool_calls":"x"}]}`, "messages[0].tool_calls", llm.KindInvalidRequest},
		{`{"messages":[{"role":"king","content":"a"}]}`, "messages.role", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":["a"]}]}`, "messages.content", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":"a"}],"temperature":"hot"}`, "temperature", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":"a"}],"tools":["x"]}`, "tools", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":"a"}],"tool_choice":"maybe"}`, "tool_choice", llm.KindInvalidRequest},
		{`{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema"}}`, "response_format.json_schema", llm.KindInvalidRequest},
	} {
		if c, err := (Codec{}).Chat([]byte(x.body)); err == nil || err.Kind != x.kind || err.Param != x.param {
			t.Errorf("%s: %+v, %v", x.body, c, err)
		}
	}
}

// everything is a chat that has all that can be asked.
func everything() *llm.Chat {
	picture := llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "aGk=", Detail: "high"}}
	openrouter := llm.Seal{Maker: llm.ProtoOpenAI, Data: `{"type":"reasoning.text","format":"anthropic-claude-v1","signature":"s","index":0}`}
	return &llm.Chat{
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "be kind", Cache: llm.CacheHour}}},
			{Blocks: []llm.Block{{Text: "look"}, picture}},
			{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "old"}, {Text: "seen"}}},
			{Blocks: []llm.Block{{Text: "act"}}},
			{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "hm", Seal: openrouter},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "g"}}, {Kind: llm.BlockCall, ID: "call_1", Name: "f"},
				{Kind: llm.BlockCall, ID: "call_2", Name: "c", Custom: true, Text: "in \"put\""}}},
			{Blocks: []llm.Block{{Kind: llm.BlockResult, ID: "call_1", Name: "f", Result: []llm.Block{{Text: "got"}, picture}}, {Kind: llm.BlockResult, ID: "call_2", Failed: true, Result: []llm.Block{{Text: "no"}}}}},
		},
		Tools:  []llm.Tool{{Name: "f", Description: "does", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)}, {Kind: llm.ToolCustom, Name: "c", Grammar: []byte(`{"type":"grammar","syntax":"lark","definition":"x"}`)}, {Name: "a.b"}},
		Choice: llm.Choice{Mode: llm.ChoiceAuto, Names: []string{"f", "c"}}, Serial: true,
		MaxOutput: 5000, Temperature: ptr(1.5), TopP: ptr(0.9), TopK: ptr(int64(40)), FrequencyPenalty: ptr(0.5), PresencePenalty: ptr(0.25), Seed: ptr(int64(7)),
		Stop: []string{"END"}, N: 2, User: "u", Metadata: []llm.Pair{{Name: "k", Value: "v"}}, Tier: "flex", CacheKey: "key", Verbosity: "low", Store: ptr(true),
		Reasoning: llm.Reasoning{Effort: "xhigh"}, Format: llm.Format{Kind: llm.FormatSchema, Name: "out put", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)},
		Left: []llm.Left{{Name: "logit_bias"}},
	}
}

// What is asked of each vendor, and what it cannot be told.
func TestEncodeDialects(t *testing.T) {
	for name := range dialects {
		call, err := Codec{}.Encode(everything(), wire.Target{Model: "m", MaxOutput: 4096, Stream: true, Dialect: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var out bytes.Buffer
		if err := json.Indent(&out, call.Body, "", "  "); err != nil {
			t.Fatalf("%s: %v in %s", name, err, call.Body)
		}
		out.WriteString("\nlossy: " + strings.Join(call.Lossy, ", ") + "\n")
		if name == "" {
			name = "own"
		}
		recorded.Golden(t, "request-"+name+".txt", out.Bytes())
	}
}

// A function stands for the schema of the answer where the vendor knows no
// schemas; where that cannot be, the model is told in words.
func TestEncodeSchemaAsFunction(t *testing.T) {
	object := llm.Format{Kind: llm.FormatSchema, Name: "per son", Schema: []byte(`{"type":"object","properties":{}}`)}
	said := []llm.Message{{Blocks: []llm.Block{{Text: "who?"}}}}
	const tool = `"tools":[{"type":"function","function":{"name":"per_son","description":"Gives the answer. Call it once, with the whole answer.","parameters":{"type":"object","properties":{}}}}],"tool_choice":{"type":"function","function":{"name":"per_son"}}`
	for _, x := range []struct {
		dialect, model string
		chat           llm.Chat
		want, lossy    string // want: the body after the model; "": in words
	}{
		{"deepseek", "deepseek-v4-flash", llm.Chat{Format: object}, tool + `,"thinking":{"type":"disabled"}`, ""},
		{"deepseek", "deepseek-chat", llm.Chat{Format: object}, tool, ""},
		{"zai", "glm-5", llm.Chat{Format: object}, tool, ""},
		{"zai", "glm-5", llm.Chat{Format: object, Reasoning: llm.Reasoning{Effort: "high"}}, tool + `,"thinking":{"type":"enabled"},"reasoning_effort":"high"`, ""},
		{"deepseek", "deepseek-v4-flash", llm.Chat{Format: object, Reasoning: llm.Reasoning{Effort: "high"}}, "", "response_format"},
		{"deepseek", "deepseek-reasoner", llm.Chat{Format: object}, "", "response_format"},
		{"zai", "glm-5", llm.Chat{Format: object, Tools: []llm.Tool{{Name: "f"}}}, "", "response_format"},
		{"zai", "glm-5", llm.Chat{Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"array"}`)}}, "", "response_format"},
		{"deepseek", "deepseek-v4-flash", llm.Chat{Tools: []llm.Tool{{Name: "f"}}, Choice: llm.Choice{Mode: llm.ChoiceAny}, Reasoning: llm.Reasoning{Effort: "low"}},
			`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":"required","thinking":{"type":"disabled"}`, "reasoning_effort"},
	} {
		x.chat.Messages, x.chat.N = said, 1
		call, err := Codec{}.Encode(&x.chat, wire.Target{Model: x.model, Dialect: x.dialect})
		if err != nil {
			t.Errorf("%s: %v", x.dialect, err)
			continue
		}
		want := `{"model":"` + x.model + `","messages":[{"role":"user","content":"who?"}],` + x.want + `}`
		if x.want != "" && string(call.Body) != want || x.want == "" && (call.FormatTool != "" || !strings.Contains(string(call.Body), `JSON Schema`)) {
			t.Errorf("%s: %s\nwant %s", x.dialect, call.Body, want)
		}
		if got := strings.Join(call.Lossy, " "); got != x.lossy {
			t.Errorf("%s: lossy %q, want %q", x.dialect, got, x.lossy)
		}
		if strings.Contains(x.want, "per_son") && call.FormatTool != "per_son" {
			t.Errorf("%s: the function is %q", x.dialect, call.FormatTool)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	user := func(b llm.Block) llm.Chat { return llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{b}}}} }
	for _, x := range []struct {
		dialect, param string
		chat           llm.Chat
	}{
		{"openai", "audio", llm.Chat{Left: []llm.Left{{Name: "audio", Must: true}}}},
		{"zai", "logprobs", llm.Chat{LogProbs: true}},
		{"openai", "stop", llm.Chat{Stop: []string{"1", "2", "3", "4", "5"}}},
		{"deepseek", "tools", llm.Chat{Tools: []llm.Tool{{Kind: llm.ToolSearch}}}},
		{"openai", "messages.content.image_url", user(llm.Block{Kind: llm.BlockImage, Media: &llm.Media{FileID: "x"}})},
		{"groq", "messages.content.file", user(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Data: "aGk="}})},
		{"openai", "messages.content.file", user(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{URL: "https://x"}})},
		{"groq", "messages.content.input_audio", user(llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{Data: "aGk="}})},
	} {
		if _, err := (Codec{}).Encode(&x.chat, wire.Target{Model: "m", Dialect: x.dialect}); err == nil || err.Kind != llm.KindUnsupported || err.Param != x.param {
			t.Errorf("%s: %v, want %q", x.dialect, err, x.param)
		}
	}
}

func TestNames(t *testing.T) {
	c := &llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{{Text: "a"}}}, {Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockCall, ID: "1", Name: "a.b"}}}},
		Tools:  []llm.Tool{{Name: "a.b"}, {Name: "a_b"}, {Name: "a:b"}, {Name: strings.Repeat("é", 40)}, {Name: strings.Repeat("é", 41)}},
		Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"a:b"}}}
	call, err := Codec{}.Encode(c, wire.Target{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Codec{}.Chat(call.Body)
	if err != nil {
		t.Fatal(err)
	}
	was := func(s string) string {
		if n, ok := call.Names[s]; ok {
			return n
		}
		return s
	}
	seen := map[string]bool{}
	for i, x := range back.Tools {
		if safeName(x.Name) != x.Name || seen[x.Name] || was(x.Name) != c.Tools[i].Name {
			t.Errorf("tool %q is sent as %q, which stands for %q", c.Tools[i].Name, x.Name, was(x.Name))
		}
		seen[x.Name] = true
	}
	if n := was(back.Messages[1].Blocks[0].Name); n != "a.b" || was(back.Choice.Names[0]) != "a:b" {
		t.Errorf("the call is of %q, the choice %q", n, back.Choice.Names)
	}
}

// A vendor that wants short ids gets short ones, the same for call and result.
func TestIDs(t *testing.T) {
	for dialect, n := range map[string]int{"mistral": 9, "openai": 40} {
		long := strings.Repeat("x", 41)
		c := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockCall, ID: long, Name: "f"}}},
			{Blocks: []llm.Block{{Kind: llm.BlockResult, ID: long}}}}}
		call, err := Codec{}.Encode(c, wire.Target{Model: "m", Dialect: dialect})
		if err != nil {
			t.Fatal(err)
		}
		back, err := Codec{}.Chat(call.Body)
		if err != nil {
			t.Fatal(err)
		}
		id := back.Messages[0].Blocks[0].ID
		if len(id) > n || id != back.Messages[1].Blocks[0].ID {
			t.Errorf("%s: %q and %q", dialect, id, back.Messages[1].Blocks[0].ID)
		}
	}
}
