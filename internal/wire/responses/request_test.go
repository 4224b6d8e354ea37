package responses

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func ptr[T any](v T) *T { return &v }

func user(blocks ...llm.Block) llm.Message { return llm.Message{Role: llm.RoleUser, Blocks: blocks} }
func bot(blocks ...llm.Block) llm.Message {
	return llm.Message{Role: llm.RoleAssistant, Blocks: blocks}
}

func TestChat(t *testing.T) {
	hi := []llm.Message{user(llm.Block{Text: "hi"})}
	for _, c := range []struct {
		name, body string
		want       llm.Chat
	}{
		{"string", `{"model":"m","input":"hi"}`, llm.Chat{Messages: hi}},
		{"instructions", `{"input":[{"role":"developer","content":"b"},{"role":"user","content":"hi"}],"instructions":"a"}`,
			llm.Chat{Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "a"}}}, {Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "b"}}}, hi[0]}}},
		{"scalars", `{"input":"hi","max_output_tokens":9,"temperature":0.5,"top_p":1,"parallel_tool_calls":false,"store":true,"user":"u",
			"metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","text":{"verbosity":"low"},"stream":true,"stream_options":{"include_obfuscation":false}}`,
			llm.Chat{Messages: hi, MaxOutput: 9, Temperature: ptr(0.5), TopP: ptr(1.0), Serial: true, Store: ptr(true), User: "u",
				Metadata: []llm.Pair{{Name: "a", Value: "b"}}, Tier: "flex", CacheKey: "k", Verbosity: "low"}},
		{"nulls", `{"input":"hi","instructions":null,"max_output_tokens":null,"temperature":null,"tools":null,"tool_choice":null,"reasoning":null,
			"text":null,"include":null,"previous_response_id":null,"conversation":null,"background":null,"prompt":null,"truncation":null,"metadata":null,"user":null,"new":null}`,
			llm.Chat{Messages: hi}},
		{"names of chat completions", `{"input":"hi","max_completion_tokens":5,"stop":"x","seed":3,"frequency_penalty":1,"reasoning_effort":"low"}`,
			llm.Chat{Messages: hi, MaxOutput: 5, Stop: []string{"x"}, Seed: ptr(int64(3)), FrequencyPenalty: ptr(1.0), Reasoning: llm.Reasoning{Effort: "low"}}},
		{"reasoning", `{"input":"hi","reasoning":{"effort":"high","summary":"auto","context":"all_turns"},"include":["reasoning.encrypted_content","message.output_text.logprobs","x"],"top_logprobs":3}`,
			llm.Chat{Messages: hi, Reasoning: llm.Reasoning{Effort: "high", Summary: "auto", Encrypted: true}, LogProbs: true, TopLogProbs: 3,
				Left: []llm.Left{{Name: "include[2]"}, {Name: "reasoning.context"}}}},
		{"state", `{"input":"hi","previous_response_id":"r","conversation":{"id":"c"},"background":true,"prompt":{"id":"p"},"truncation":"auto","max_tool_calls":2}`,
			llm.Chat{Messages: hi, Left: []llm.Left{{Name: "previous_response_id", Must: true}, {Name: "conversation", Must: true}, {Name: "background", Must: true},
				{Name: "prompt", Must: true}, {Name: "truncation"}, {Name: "max_tool_calls"}}}},
		{"schema", `{"input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}}}`,
			llm.Chat{Messages: hi, Format: llm.Format{Kind: llm.FormatSchema, Name: "n", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)}}},
		{"json", `{"input":"hi","text":{"format":{"type":"json_object"}}}`, llm.Chat{Messages: hi, Format: llm.Format{Kind: llm.FormatJSON}}},
		{"tools", `{"input":"hi","tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":null},
			{"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"x"}},{"type":"custom","name":"p","format":{"type":"text"}},
			{"type":"web_search","search_context_size":"low"},{"type":"file_search","vector_store_ids":["v"]}],"tool_choice":{"type":"function","name":"f"}}`,
			llm.Chat{Messages: hi, Tools: []llm.Tool{{Name: "f", Description: "d", Schema: []byte(`{"type":"object"}`)},
				{Kind: llm.ToolCustom, Name: "c", Grammar: []byte(`{"type":"grammar","syntax":"lark","definition":"x"}`)}, {Kind: llm.ToolCustom, Name: "p"},
				{Kind: llm.ToolSearch, Name: "web_search"}}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"f"}},
				Left: []llm.Left{{Name: "tools.search_context_size"}, {Name: "tools.file_search"}}}},
		{"Cursor's tools", `{"input":"hi","tools":[{"name":"f","input_schema":{"type":"object"}},{"type":"function","function":{"name":"g","parameters":{}}},
			{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}],"tool_choice":{"type":"function","function":{"name":"g"}}}`,
			llm.Chat{Messages: hi, Tools: []llm.Tool{{Name: "f", Schema: []byte(`{"type":"object"}`)}, {Name: "g", Schema: []byte(`{}`)},
				{Kind: llm.ToolCustom, Name: "c", Grammar: []byte(`{"type":"grammar","syntax":"regex","definition":"a+"}`)}},
				Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"g"}}}},
		{"allowed tools", `{"input":"hi","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"},{"type":"web_search_preview"},{"type":"mcp","server_label":"s"}]}}`,
			llm.Chat{Messages: hi, Choice: llm.Choice{Mode: llm.ChoiceAuto, Names: []string{"f", "web_search"}}, Left: []llm.Left{{Name: "tool_choice.tools[2]", Must: true}}}},
		{"hosted choice", `{"input":"hi","tool_choice":{"type":"file_search"}}`, llm.Chat{Messages: hi, Left: []llm.Left{{Name: "tool_choice", Must: true}}}},
		{"required", `{"input":"hi","tool_choice":"required"}`, llm.Chat{Messages: hi, Choice: llm.Choice{Mode: llm.ChoiceAny}}},
		{"parts", `{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a","prompt_cache_breakpoint":{"mode":"explicit"}},
			{"type":"input_image","image_url":"data:image/png;base64,QQ==","detail":"low"},{"type":"input_image","image_url":"https://x/y.png"},{"type":"input_image","file_id":"f1"},
			{"type":"input_file","file_data":"data:application/pdf;base64,QQ==","filename":"a.pdf"},{"type":"input_file","file_data":"QQ==","filename":"b.pdf"},
			{"type":"input_file","file_url":"https://x/z.pdf"},{"type":"input_file","filename":"t.txt","file_data":"data:text/plain;base64,aGk="},
			{"type":"input_audio","input_audio":{"data":"QQ==","format":"mp3"}},{"type":"input_video"}]}]}`,
			llm.Chat{Messages: []llm.Message{user(llm.Block{Text: "a", Cache: llm.CacheShort},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "QQ==", Detail: "low"}},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x/y.png"}},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{FileID: "f1"}},
				llm.Block{Kind: llm.BlockFile, Name: "a.pdf", Media: &llm.Media{MIME: "application/pdf", Data: "QQ=="}},
				llm.Block{Kind: llm.BlockFile, Name: "b.pdf", Media: &llm.Media{MIME: "application/pdf", Data: "QQ=="}},
				llm.Block{Kind: llm.BlockFile, Media: &llm.Media{URL: "https://x/z.pdf"}},
				llm.Block{Kind: llm.BlockFile, Name: "t.txt", Media: &llm.Media{MIME: "text/plain", Text: "hi"}},
				llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{MIME: "audio/mpeg", Data: "QQ=="}})},
				Left: []llm.Left{{Name: "input[0].content[9] (input_video)", Must: true}}}},
		{"a turn with tools", `{"input":[{"role":"user","content":"hi"},
			{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"E"},
			{"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[{"type":"output_text","text":"ok","annotations":[{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":2}],"logprobs":[]}]},
			{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
			{"type":"custom_tool_call","call_id":"c2","name":"g","input":"x"},
			{"type":"function_call_output","call_id":"c1","output":"42"},
			{"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"y"},{"type":"input_image","image_url":"https://x/y.png"}]},
			{"role":"user","content":"go on"}]}`,
			llm.Chat{Messages: []llm.Message{hi[0],
				bot(llm.Block{Kind: llm.BlockThinking, Text: "a\n\nb", ID: "rs_1", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "E"}},
					llm.Block{Text: "ok", Cites: []llm.Cite{{URL: "u", Title: "t", End: 2}}},
					llm.Block{Kind: llm.BlockCall, ID: "c1", Name: "f", Text: `{"a":1}`},
					llm.Block{Kind: llm.BlockCall, ID: "c2", Name: "g", Text: "x", Custom: true}),
				user(llm.Block{Kind: llm.BlockResult, ID: "c1", Result: []llm.Block{{Text: "42"}}},
					llm.Block{Kind: llm.BlockResult, ID: "c2", Custom: true, Result: []llm.Block{{Text: "y"}, {Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x/y.png"}}}}),
				user(llm.Block{Text: "go on"})}}},
		{"members of items", `{"input":[{"role":"assistant","phase":"commentary","status":"completed","content":[{"type":"output_text","text":"a","logprobs":[],"new":1}]},{"role":"user","phase":"x","content":"hi"}],
			"tools":[{"type":"web_search","filters":{"allowed_domains":["x"]}},{"name":"f","parameters":{},"defer_loading":true}]}`,
			llm.Chat{Messages: []llm.Message{bot(llm.Block{Text: "a"}), hi[0]}, Tools: []llm.Tool{{Kind: llm.ToolSearch, Name: "web_search"}, {Name: "f", Schema: []byte(`{}`)}},
				Left: []llm.Left{{Name: "tools[0].filters", Must: true}, {Name: "tools.filters"}, {Name: "tools.defer_loading"}, {Name: "input.phase"}, {Name: "input.content.new"}}}},
		{"refusal", `{"input":[{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}]}`,
			llm.Chat{Messages: []llm.Message{bot(llm.Block{Kind: llm.BlockRefusal, Text: "no"})}}},
		{"a foreign seal", `{"input":[{"type":"reasoning","id":"rs_x_0","summary":[],"encrypted_content":"` +
			wire.WrapSeal(&llm.Block{Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "S", Redacted: true}}) + `"}]}`,
			llm.Chat{Messages: []llm.Message{bot(llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "S", Redacted: true}})}}},
		{"items of the vendor's", `{"input":[{"type":"item_reference","id":"i"},{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search"}},
			{"type":"local_shell_call","id":"l","call_id":"c","action":{}},{"type":"computer_call_output","call_id":"c","output":{}},{"type":"mcp_approval_response","approve":true},{"type":"compaction"},{"id":"msg_1"}]}`,
			llm.Chat{Left: []llm.Left{{Name: "input[0] (item_reference)", Must: true}, {Name: "input.web_search_call"}, {Name: "input[2] (local_shell_call)", Must: true},
				{Name: "input[3] (computer_call_output)", Must: true}, {Name: "input[4] (mcp_approval_response)", Must: true}, {Name: "input[5] (compaction)", Must: true}, {Name: "input[6] (item_reference)", Must: true}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.N = 1
			got, err := Codec{}.Chat([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, c.want) {
				x, _ := json.Marshal(got)
				y, _ := json.Marshal(c.want)
				t.Errorf("got  %s\nwant %s", x, y)
			}
		})
	}
}

func TestChatRefuses(t *testing.T) {
	for _, c := range []struct {
		body, param string
		kind        llm.Kind
	}{
		{`{`, "", llm.KindInvalidJSON},
		{`[]`, "", llm.KindInvalidRequest},
		{`{"temperature":"hot"}`, "temperature", llm.KindInvalidRequest},
		{`{"max_output_tokens":0}`, "max_output_tokens", llm.KindInvalidRequest},
		{`{"input":7}`, "input", llm.KindInvalidRequest},
		{`{"input":[{"role":"user","content":[{"type":"input_text","text":5}]}]}`, "input[0].content[0].text", llm.KindInvalidRequest},
		{`{"input":[{"role":"judge","content":"x"}]}`, "input[0].role", llm.KindInvalidRequest},
		{`{"input":[{"type":"function_call","name":"f"}]}`, "input[0].call_id", llm.KindInvalidRequest},
		{`{"input":[{"type":"function_call","call_id":"c"}]}`, "input[0].name", llm.KindInvalidRequest},
		{`{"tools":[{"type":"function"}]}`, "tools[0].name", llm.KindInvalidRequest},
		{`{"tool_choice":"sometimes"}`, "tool_choice", llm.KindInvalidRequest},
		{`{"tool_choice":{"type":"function"}}`, "tool_choice.name", llm.KindInvalidRequest},
		{`{"text":{"format":{"type":"json_schema"}}}`, "text.format.schema", llm.KindInvalidRequest},
		{`{"instructions":[]}`, "instructions", llm.KindInvalidRequest},
		{`{"metadata":"x"}`, "metadata", llm.KindInvalidRequest},
	} {
		_, err := Codec{}.Chat([]byte(c.body))
		if err == nil || err.Kind != c.kind || err.Param != c.param {
			t.Errorf("%s: %v, param %q; want %v of %q", c.body, err, err.Param, c.kind, c.param)
		}
	}
}

// full is a chat with everything in it that the protocol can say.
func full() *llm.Chat {
	return &llm.Chat{
		N: 1,
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "be brief"}, {Text: "be kind", Cache: llm.CacheShort}}},
			user(llm.Block{Text: "what is this?"}, llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "QQ==", Detail: "low"}},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x/y.png"}},
				llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Data: "QQ=="}}, llm.Block{Kind: llm.BlockFile, Name: "n", Media: &llm.Media{URL: "https://x/z.pdf"}},
				llm.Block{Kind: llm.BlockFile, Name: "t.txt", Media: &llm.Media{MIME: "text/plain", Text: "hi"}}),
			bot(llm.Block{Kind: llm.BlockThinking, Text: "hm", ID: "rs_1", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "E"}},
				llm.Block{Kind: llm.BlockThinking, Text: "foreign", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "S"}},
				llm.Block{Kind: llm.BlockThinking, Text: "bare"},
				llm.Block{Text: "let me look"},
				llm.Block{Kind: llm.BlockCall, ID: "c1", Name: "look/up", Text: ""},
				llm.Block{Kind: llm.BlockCall, ID: "c2", Name: "patch", Text: "+ \"a\"", Custom: true},
				llm.Block{Kind: llm.BlockThinking, ID: "rs_2", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "last"}}),
			user(llm.Block{Kind: llm.BlockResult, ID: "c1", Failed: true, Result: []llm.Block{{Text: "no such"}, {Text: "thing"}}},
				llm.Block{Kind: llm.BlockResult, ID: "c2", Result: []llm.Block{{Text: "done"}, {Kind: llm.BlockImage, Media: &llm.Media{FileID: "f"}}}},
				llm.Block{Text: "go on"}),
			{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "hurry"}}},
			bot(llm.Block{Kind: llm.BlockRefusal, Text: "no"}),
			user(llm.Block{Text: "please"}),
		},
		Tools: []llm.Tool{{Name: "look/up", Description: "looks", Schema: []byte(`{"type":"object"}`)}, {Name: "look_up", Strict: ptr(true)},
			{Kind: llm.ToolCustom, Name: "patch", Grammar: []byte(`{"type":"grammar","syntax":"lark","definition":"x"}`)}, {Kind: llm.ToolSearch, Name: "web_search"}},
		Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"look/up", "patch", "web_search"}}, Serial: true,
		MaxOutput: 4, Temperature: ptr(0.5), TopP: ptr(0.9), TopK: ptr(int64(3)), Seed: ptr(int64(1)), User: "u",
		Metadata: []llm.Pair{{Name: "a", Value: "b\"c"}}, Tier: "flex", CacheKey: "k", Verbosity: "low",
		Reasoning: llm.Reasoning{Effort: "high", Summary: "auto"},
		Format:    llm.Format{Kind: llm.FormatSchema, Name: "an answer", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)},
		Left:      []llm.Left{{Name: "logit_bias"}},
	}
}

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		name  string
		t     wire.Target
		lossy string
		edit  func(*llm.Chat)
	}{
		{"full", wire.Target{Model: "some-model", Stream: true}, "top_k seed logit_bias cache_control max_tokens", nil},
		{"xai", wire.Target{Model: "grok-5", Dialect: "xai"}, "top_k seed logit_bias tools.format cache_control max_tokens", nil},
		{"deepseek", wire.Target{Model: "deepseek-v4", Dialect: "deepseek"}, "top_k seed logit_bias tools.format cache_control max_tokens", nil},
		{"thinker", wire.Target{Model: "gpt-5-mini"}, "top_k seed logit_bias cache_control max_tokens reasoning_effort temperature top_p",
			func(c *llm.Chat) { c.Reasoning.Effort = "max" }},
		{"talker", wire.Target{Model: "gpt-4o", MaxOutput: 100}, "top_k seed logit_bias cache_control max_tokens reasoning_effort", func(c *llm.Chat) {
			c.MaxOutput, c.Store, c.Format = 5000, ptr(true), llm.Format{Kind: llm.FormatJSON}
			c.Choice.Names = c.Choice.Names[:1]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chat := full()
			if c.edit != nil {
				c.edit(chat)
			}
			call, err := Codec{}.Encode(chat, c.t)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(call.Lossy, " "); got != c.lossy {
				t.Errorf("lossy %q, want %q", got, c.lossy)
			}
			if call.Names["look_up"] != "look/up" || c.t.Dialect == "" && call.Names["look_up_a"] != "look_up" {
				t.Errorf("names %v", call.Names)
			}
			recorded.Golden(t, "request_"+c.name+".json", pretty(t, call.Body))
			back, err := Codec{}.Chat(call.Body)
			if err != nil || len(back.Left) > 0 {
				t.Errorf("read again: %v, left %v", err, back.Left)
			}
		})
	}
}

// Ids that are too long for the vendor become others, and a call's output
// still names its call.
func TestEncodeLongIDs(t *testing.T) {
	long, fits := "toolu_"+strings.Repeat("x", 80), strings.Repeat("y", maxCallID)
	call, err := Codec{}.Encode(&llm.Chat{N: 1, Messages: []llm.Message{
		user(llm.Block{Text: "go"}),
		bot(llm.Block{Kind: llm.BlockCall, ID: long + "1", Name: "f"}, llm.Block{Kind: llm.BlockCall, ID: long + "2", Name: "f"},
			llm.Block{Kind: llm.BlockCall, ID: fits, Name: "f"}),
		user(llm.Block{Kind: llm.BlockResult, ID: long + "2"}, llm.Block{Kind: llm.BlockResult, ID: long + "1"}, llm.Block{Kind: llm.BlockResult, ID: fits}),
	}}, wire.Target{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Input []struct {
			ID string `json:"call_id"`
		} `json:"input"`
	}
	if err := json.Unmarshal(call.Body, &body); err != nil || len(body.Input) != 7 {
		t.Fatalf("%v: %s", err, call.Body)
	}
	in := body.Input
	if in[1].ID != in[5].ID || in[2].ID != in[4].ID || in[1].ID == in[2].ID || in[3].ID != fits || in[6].ID != fits {
		t.Errorf("ids %v", in)
	}
	for _, it := range in {
		if len(it.ID) > maxCallID {
			t.Errorf("%q is too long", it.ID)
		}
	}
}

// A chat of the system alone is input, since an input of nothing is refused.
func TestEncodeSystemAlone(t *testing.T) {
	call, err := Codec{}.Encode(&llm.Chat{N: 1, Messages: []llm.Message{
		{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "greet"}}}, {Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "briefly"}}},
	}}, wire.Target{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"m","input":[{"type":"message","role":"developer","content":"greet\n\nbriefly"}],"store":false}`
	if string(call.Body) != want {
		t.Errorf("%s\nwant %s", call.Body, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for field, edit := range map[string]func(*llm.Chat){
		"stop": func(c *llm.Chat) { c.Stop = []string{"x"} },
		"input_audio": func(c *llm.Chat) {
			c.Messages = []llm.Message{user(llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{}})}
		},
		"messages": func(c *llm.Chat) {
			c.Messages = []llm.Message{bot(llm.Block{Kind: llm.BlockImage, Media: &llm.Media{}})}
		},
		"cachedContent": func(c *llm.Chat) { c.Left = []llm.Left{{Name: "cachedContent", Must: true}} },
	} {
		chat := full()
		edit(chat)
		if _, err := (Codec{}).Encode(chat, wire.Target{Model: "m"}); err == nil || err.Kind != llm.KindUnsupported || err.Param != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range [][3]string{
		{"o3", "none", "low"}, {"o4-mini", "minimal", "low"}, {"o3", "max", "high"}, {"openai/gpt-5", "none", "minimal"}, {"gpt-5-codex", "none", "low"},
		{"gpt-5.1", "none", "none"}, {"gpt-5.1", "minimal", "low"}, {"gpt-5.1", "xhigh", "high"}, {"gpt-5.1-codex-max", "xhigh", "xhigh"},
		{"gpt-5.6-sol", "max", "max"}, {"grok-4", "minimal", "minimal"}, {"gpt-5", "high", "high"}, {"gpt-5-2025-08-07", "none", "minimal"},
	} {
		if got := fit(c[0], c[1]); got != c[2] {
			t.Errorf("%s, %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	for model, want := range map[string]thought{"gpt-5": always, "o3-mini": always, "gpt-5-chat-latest": never, "gpt-4o": never, "grok-4": unknown, "openai.gpt-5": always, "o": unknown, "orca-2": unknown} {
		if got := thinks(model); got != want {
			t.Errorf("%s: %v, want %v", model, got, want)
		}
	}
}
