package gemini

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func indent(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return append(out.Bytes(), '\n')
}

func user(s string) llm.Message {
	return llm.Message{Role: llm.RoleUser, Blocks: []llm.Block{{Text: s}}}
}

func assistant(b ...llm.Block) llm.Message { return llm.Message{Role: llm.RoleAssistant, Blocks: b} }

func results(b ...llm.Block) llm.Message { return llm.Message{Role: llm.RoleUser, Blocks: b} }

func called(id, name, args string) llm.Block {
	return llm.Block{Kind: llm.BlockCall, ID: id, Name: name, Text: args}
}

func gave(id, text string) llm.Block {
	b := llm.Block{Kind: llm.BlockResult, ID: id}
	if text != "" {
		b.Result = []llm.Block{{Text: text}}
	}
	return b
}

func sealed(maker llm.Proto, data string) llm.Block {
	return llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: maker, Data: data}}
}

var weather = llm.Tool{Name: "weather", Description: "Tells the weather.", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`)}

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// The requests that are written, whole.
func TestEncode(t *testing.T) {
	for name, c := range map[string]struct {
		target wire.Target
		chat   llm.Chat
		lossy  string
	}{
		"text": {wire.Target{Model: "gemini-2.5-flash", MaxOutput: 65536}, llm.Chat{
			Messages: []llm.Message{
				{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Be brief."}}}, {Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Be kind."}}},
				user("Hi"), user("there"), assistant(llm.Block{Text: "Hello"}, llm.Block{Kind: llm.BlockRefusal, Text: "No."}),
				{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Now in French."}}}, user("Go on")},
			N: 2, MaxOutput: 100000, Temperature: ptr(2.5), TopP: ptr(0.9), TopK: ptr(int64(40)), Seed: ptr(int64(1<<40 + 7)), FrequencyPenalty: ptr(0.5),
			PresencePenalty: ptr(-0.5), Stop: []string{"END"}, User: "u1", Metadata: []llm.Pair{{Name: "k", Value: "v"}}, Tier: "flex", CacheKey: "k",
			Verbosity: "low", Store: ptr(false), Serial: true, Left: []llm.Left{{Name: "logit_bias"}},
		}, "logit_bias temperature prompt_cache_key verbosity metadata user"},
		"tools": {wire.Target{Model: "gemini-3-pro-preview"}, llm.Chat{
			Messages: []llm.Message{
				user("Weather?"),
				assistant(llm.Block{Kind: llm.BlockThinking, Text: "Hm."}, sealed(llm.ProtoGemini, "c2lnMQ=="), called("a", "weather", `{"city":"Paris"}`), called("b", "weather", "")),
				results(gave("b", "42"), gave("a", `{"temp":20}`), llm.Block{Text: "And Rome?"}),
				assistant(sealed(llm.ProtoAnthropic, "other"), called("c", "weather", `{"city":`)),
				results(llm.Block{Kind: llm.BlockResult, ID: "c", Failed: true, Result: []llm.Block{{Text: "no such city"}}}),
			},
			Tools:  []llm.Tool{weather, {Name: "2nd tool!"}, {Kind: llm.ToolCustom, Name: "patch", Description: "Edits.", Grammar: []byte(`{"syntax":"lark"}`)}, {Kind: llm.ToolSearch}},
			Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"2nd tool!"}}, N: 1, Serial: true,
			Reasoning: llm.Reasoning{Effort: "medium"},
		}, "tools.custom.format tool_calls.function.arguments parallel_tool_calls"},
		"missing result": {wire.Target{Model: "gemini-2.5-pro"}, llm.Chat{
			Messages: []llm.Message{user("x"), assistant(called("a", "f", "{}"), called("b", "f", "{}")), results(gave("b", ""))}, N: 1,
		}, ""},
		"media": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{N: 1, Messages: []llm.Message{results(
			llm.Block{Kind: llm.BlockImage, Media: &llm.Media{Data: pixel, Detail: "high"}},
			llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{MIME: "audio/wav", Data: "UklGRg=="}},
			llm.Block{Kind: llm.BlockFile, Name: "a.pdf", Media: &llm.Media{Data: "JVBERi0="}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Text: "plain"}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{FileID: "files/abc", MIME: "application/pdf"}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{URL: "https://youtu.be/x"}},
		)}}, "image_url.detail"},
		"result media": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{N: 1, Messages: []llm.Message{
			user("x"), assistant(called("a", "shot", "{}")),
			results(llm.Block{Kind: llm.BlockResult, ID: "a", Result: []llm.Block{{Text: "here"}, {Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: pixel}}}}),
		}}, "tool_result.media"},
		"result media 3": {wire.Target{Model: "gemini-3-flash-preview"}, llm.Chat{N: 1, Messages: []llm.Message{
			user("x"), assistant(called("a", "shot", "{}")),
			results(llm.Block{Kind: llm.BlockResult, ID: "a", Result: []llm.Block{{Text: "here"}, {Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: pixel}}}}),
		}}, ""},
		"vertex": {wire.Target{Model: "gemini-2.5-pro", Dialect: Vertex}, llm.Chat{
			Messages: []llm.Message{results(llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com/a.png?x=1"}}), assistant(called("a", "f", "{}")), results(gave("a", "ok"))},
			N:        1, User: "user-1", Metadata: []llm.Pair{{Name: "team", Value: "blue"}, {Name: "Bad", Value: "x"}}, Store: ptr(true), Tier: "priority",
			Reasoning: llm.Reasoning{Effort: "none"},
		}, "reasoning_effort store metadata"},
		"schema": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{
			Messages: []llm.Message{user("x")}, N: 1, Format: llm.Format{Kind: llm.FormatSchema, Name: "n", Schema: []byte(`{"type":"object"}`), Strict: ptr(true)},
			Reasoning: llm.Reasoning{Budget: 5000, Summary: "auto"}, MaxOutput: 1000,
		}, ""},
		"schema and tools": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{
			Messages: []llm.Message{user("x")}, N: 1, Tools: []llm.Tool{weather}, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)},
		}, ""},
		"schema and a tool forced": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{
			Messages: []llm.Message{user("x")}, N: 1, Tools: []llm.Tool{weather, {Name: "2"}}, Choice: llm.Choice{Mode: llm.ChoiceAny}, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)},
		}, ""},
		"schema and tools 3": {wire.Target{Model: "gemini-3-flash-preview"}, llm.Chat{
			Messages: []llm.Message{user("x")}, N: 1, Tools: []llm.Tool{{Name: "weather", Strict: ptr(true)}}, Format: llm.Format{Kind: llm.FormatJSON},
		}, ""},
		"only system": {wire.Target{Model: "gemini-2.5-flash"}, llm.Chat{N: 1, Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Say hi.", Cache: llm.CacheShort}}}}}, "cache_control"},
		"last signature": {wire.Target{Model: "gemini-3-flash-preview"}, llm.Chat{N: 1, Messages: []llm.Message{
			user("x"), assistant(llm.Block{Text: "y"}, sealed(llm.ProtoGemini, "c2ln")), user("z"),
			assistant(sealed(llm.ProtoGemini, "c2ln"), llm.Block{Kind: llm.BlockHosted, Name: "executableCode", Text: `{"code":"1"}`}, llm.Block{Kind: llm.BlockHosted, Name: "server_tool_use", Text: `{}`}), user("z"),
		}}, "messages.hosted_tool"},
	} {
		t.Run(name, func(t *testing.T) {
			call, bad := Codec{}.Encode(&c.chat, c.target)
			if bad != nil {
				t.Fatal(bad)
			}
			if got := strings.Join(call.Lossy, " "); got != c.lossy {
				t.Errorf("lost %q, want %q", got, c.lossy)
			}
			recorded.Golden(t, "encode/"+strings.ReplaceAll(name, " ", "_")+".json", indent(t, call.Body))
		})
	}
}

// Vertex AI is told the tier beside the body.
func TestVertexTier(t *testing.T) {
	for tier, want := range map[string]string{"flex": "flex", "priority": "priority", "default": "", "auto": "", "": ""} {
		call, bad := Codec{}.Encode(&llm.Chat{N: 1, Tier: tier, Messages: []llm.Message{user("x")}}, wire.Target{Model: "gemini-2.5-pro", Dialect: Vertex})
		if bad != nil || call.Header.Get("X-Vertex-AI-LLM-Shared-Request-Type") != want || len(call.Lossy) > 0 {
			t.Errorf("%q: %v, %v, lost %v", tier, bad, call.Header, call.Lossy)
		}
	}
}

// What cannot be told and must not be dropped is refused by its name.
func TestEncodeRefuses(t *testing.T) {
	search := []llm.Tool{{Kind: llm.ToolSearch}}
	image := func(m llm.Media) []llm.Message {
		return []llm.Message{results(llm.Block{Kind: llm.BlockImage, Media: &m})}
	}
	for param, c := range map[string]llm.Chat{
		"stop":            {Stop: []string{"1", "2", "3", "4", "5", "6"}},
		"tools":           {Tools: append(search, weather), Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{""}}},
		"response_format": {Tools: search, Format: llm.Format{Kind: llm.FormatJSON}},
		"image_url":       {Messages: image(llm.Media{URL: "https://example.com/a.png"})},
		"file":            {Messages: []llm.Message{results(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{FileID: "file-abc"}})}},
		"prediction":      {Left: []llm.Left{{Name: "prediction", Must: true}}},
	} {
		_, bad := Codec{}.Encode(&c, wire.Target{Model: "gemini-2.5-flash"})
		if bad == nil || bad.Kind != llm.KindUnsupported || bad.Param != param {
			t.Errorf("%s: %v", param, bad)
		}
	}
	_, bad := Codec{}.Encode(&llm.Chat{Messages: []llm.Message{user("x"), results(gave("nobody", "x"))}}, wire.Target{Model: "gemini-2.5-flash"})
	if bad == nil || bad.Kind != llm.KindInvalidRequest {
		t.Errorf("a result without a call: %v", bad)
	}
}

// Each generation takes thinking its own way.
func TestThinking(t *testing.T) {
	effort := func(s string) llm.Reasoning { return llm.Reasoning{Effort: s} }
	for _, c := range []struct {
		model string
		r     llm.Reasoning
		max   int64
		want  string
		lossy string
	}{
		{"gemini-2.5-flash", effort("none"), 0, `{"thinkingBudget":0}`, ""},
		{"gemini-2.5-pro", effort("none"), 0, `{"thinkingBudget":128}`, "reasoning_effort"},
		{"gemini-2.5-flash", effort("high"), 0, `{"thinkingBudget":16384}`, ""},
		{"gemini-2.5-flash", effort("max"), 0, `{"thinkingBudget":24576}`, ""},
		{"gemini-2.5-flash", effort("high"), 1000, `{"thinkingBudget":999}`, ""},
		{"models/gemini-2.5-flash-lite", llm.Reasoning{Budget: 100}, 0, `{"thinkingBudget":512}`, ""},
		{"gemini-2.5-pro", llm.Reasoning{Budget: -1}, 0, `{"thinkingBudget":-1}`, ""},
		{"gemini-2.5-pro", llm.Reasoning{Summary: "auto"}, 0, `{"includeThoughts":true}`, ""},
		{"gemini-2.5-flash", llm.Reasoning{Effort: "high", Summary: "auto"}, 0, `{"includeThoughts":true,"thinkingBudget":16384}`, ""},
		{"gemini-2.5-flash", llm.Reasoning{Effort: "none", Summary: "auto"}, 0, `{"thinkingBudget":0}`, ""},
		{"gemini-2.0-flash", effort("low"), 0, `null`, "reasoning_effort"},
		{"gemini-2.0-flash", effort("none"), 0, `null`, ""},
		{"gemini-3-pro-preview", effort("medium"), 0, `{"thinkingLevel":"HIGH"}`, ""},
		{"gemini-3-pro-preview", effort("minimal"), 0, `{"thinkingLevel":"LOW"}`, ""},
		{"gemini-3.1-pro-preview", effort("medium"), 0, `{"thinkingLevel":"MEDIUM"}`, ""},
		{"gemini-3-flash-preview", effort("minimal"), 0, `{"thinkingLevel":"MINIMAL"}`, ""},
		{"gemini-3.5-flash", effort("none"), 0, `{"thinkingLevel":"MINIMAL"}`, "reasoning_effort"},
		{"gemini-3.5-flash", llm.Reasoning{Budget: 10000}, 0, `{"thinkingLevel":"HIGH"}`, ""},
		{"gemini-3.5-flash", llm.Reasoning{Budget: 1024}, 0, `{"thinkingLevel":"LOW"}`, ""},
		{"gemini-3.5-flash", llm.Reasoning{Budget: -1}, 0, `{}`, ""},
		{"gemini-flash-latest", effort("low"), 0, `{"thinkingBudget":2048}`, ""},
		{"gemma-3-27b-it", effort("low"), 0, `null`, "reasoning_effort"},
		{"gemini-2.5-flash-preview-tts", effort("low"), 0, `null`, "reasoning_effort"},
		{"gemini-3-flash-preview", llm.Reasoning{}, 0, `null`, ""},
	} {
		call, bad := Codec{}.Encode(&llm.Chat{Messages: []llm.Message{user("x")}, Reasoning: c.r, MaxOutput: c.max, N: 1}, wire.Target{Model: c.model})
		if bad != nil {
			t.Fatal(bad)
		}
		var body struct {
			GenerationConfig struct {
				ThinkingConfig json.RawMessage `json:"thinkingConfig"`
			} `json:"generationConfig"`
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatal(err)
		}
		got := string(body.GenerationConfig.ThinkingConfig)
		if got == "" {
			got = "null"
		}
		if got != c.want || strings.Join(call.Lossy, " ") != c.lossy {
			t.Errorf("%s %+v: %s, lost %v; want %s, %q", c.model, c.r, got, call.Lossy, c.want, c.lossy)
		}
	}
}

// What clients write, in any of protobuf's spellings.
func TestChat(t *testing.T) {
	parts := func(s string) string { return `{"contents":[{"role":"user","parts":[` + s + `]}]}` }
	for name, c := range map[string]struct {
		body string
		want llm.Chat
	}{
		"one object for a list": {`{"contents":{"parts":{"text":"Hi"}},"systemInstruction":"Be brief.","tools":{"google_search":{}}}`, llm.Chat{
			Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "Be brief."}}}, user("Hi")}, Tools: []llm.Tool{{Kind: llm.ToolSearch}},
		}},
		"instruction in parts": {`{"contents":[{"parts":[{"text":"Hi"}]}],"system_instruction":[{"text":"A"},{"text":"B"}]}`, llm.Chat{
			Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "A"}, {Text: "B"}}}, user("Hi")},
		}},
		"scalars": {`{"contents":[{"parts":[{"text":"Hi"}]}],"safetySettings":null,"cachedContent":"","labels":{"a":"b"},"serviceTier":"standard","store":true,"generationConfig":{"candidateCount":3,"maxOutputTokens":"17",
			"temperature":0.5,"topP":1,"topK":40.0,"stopSequences":["x"],"seed":5,"frequencyPenalty":0.1,"presencePenalty":0.2,"responseLogprobs":true,"logprobs":4,
			"responseMimeType":"application/json","responseModalities":["TEXT"],"thinkingConfig":{"thinkingBudget":0}}}`, llm.Chat{
			Messages: []llm.Message{user("Hi")}, N: 3, MaxOutput: 17, Temperature: ptr(0.5), TopP: ptr(1.0), TopK: ptr(int64(40)), Stop: []string{"x"}, Seed: ptr(int64(5)),
			FrequencyPenalty: ptr(0.1), PresencePenalty: ptr(0.2), LogProbs: true, TopLogProbs: 4, Format: llm.Format{Kind: llm.FormatJSON}, Metadata: []llm.Pair{{Name: "a", Value: "b"}},
			Tier: "default", Store: ptr(true), Reasoning: llm.Reasoning{Effort: "none"},
		}},
		"only Google's": {`{"contents":[{"parts":[{"text":"Hi","mediaResolution":{"level":1}}]}],"safety_settings":[{}],"cached_content":"c","modelArmorConfig":{},"newThing":1,
			"tools":[{"codeExecution":{}},{"urlContext":{}}],"generationConfig":{"responseModalities":["IMAGE"],"media_resolution":"LOW","responseFormat":[]}}`, llm.Chat{
			Messages: []llm.Message{user("Hi")},
			Left: []llm.Left{{Name: "contents.parts.mediaResolution"}, {Name: "tools.codeExecution", Must: true}, {Name: "tools.urlContext", Must: true},
				{Name: "generationConfig.responseModalities", Must: true}, {Name: "generationConfig.responseFormat", Must: true}, {Name: "generationConfig.media_resolution"},
				{Name: "cachedContent", Must: true}, {Name: "modelArmorConfig", Must: true}, {Name: "safety_settings"}, {Name: "newThing"}},
		}},
		"tools": {`{"contents":[{"parts":[{"text":"Hi"}]}],"tools":[{"function_declarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true},
			"n":{"type":3,"min_items":"2"},"l":{"any_of":[{"type":"ARRAY","items":{"type":"NUMBER"}}]}},"propertyOrdering":["n"]}},{"name":"g","parametersJsonSchema":{"type":"object","$defs":{}}}]}],
			"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}}`, llm.Chat{
			Messages: []llm.Message{user("Hi")},
			Tools: []llm.Tool{{Name: "f", Description: "d", Schema: []byte(`{"type":"object","properties":{"type":{"type":["string","null"]},"n":{"type":"integer","minItems":2},"l":{"anyOf":[{"type":"array","items":{"type":"number"}}]}}}`)},
				{Name: "g", Schema: []byte(`{"type":"object","$defs":{}}`)}},
			Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"f"}},
		}},
		"media": {parts(`{"inlineData":{"mimeType":"image/png","data":"-_8"}},{"inline_data":{"mime_type":"audio/wav","data":"AAAA"}},{"fileData":{"mimeType":"application/pdf","fileUri":"gs://b/o"}},{"file_data":{"file_uri":"https://example.com/v.mp4","mime_type":"video/mp4"}}`), llm.Chat{
			Messages: []llm.Message{results(
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "+/8="}}, llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{MIME: "audio/wav", Data: "AAAA"}},
				llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "application/pdf", FileID: "gs://b/o"}}, llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "video/mp4", URL: "https://example.com/v.mp4"}})},
		}},
		"calls": {`{"contents":[{"parts":[{"text":"x"}]},{"role":"model","parts":[{"text":"thin","thought":true}]},{"role":"model","parts":[{"text":"king","thought":true}]},{"role":"model","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]},
			{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{"x":1}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"2","name":"f"}}]},
			{"role":"function","parts":[{"functionResponse":{"name":"f","response":{"name":"f","content":"one"}}},{"functionResponse":{"id":"2","name":"f","response":{"error":"two"}}}]}]}`, llm.Chat{
			Messages: []llm.Message{user("x"),
				assistant(llm.Block{Kind: llm.BlockThinking, Text: "thinking"}, llm.Block{Text: "ab"}, sealed(llm.ProtoGemini, "c2ln"), called("1", "f", `{"x":1}`), called("2", "f", "{}")),
				results(llm.Block{Kind: llm.BlockResult, ID: "1", Name: "f", Result: []llm.Block{{Text: "one"}}}, llm.Block{Kind: llm.BlockResult, ID: "2", Name: "f", Failed: true, Result: []llm.Block{{Text: "two"}}})},
		}},
		"thinking level": {`{"contents":[{"parts":[{"text":"x"}]}],"generation_config":{"thinking_config":{"thinking_level":"HIGH","include_thoughts":true}}}`, llm.Chat{
			Messages: []llm.Message{user("x")}, Reasoning: llm.Reasoning{Effort: "high", Summary: "auto", Encrypted: true},
		}},
		"hosted": {`{"contents":[{"role":"model","parts":[{"executableCode":{"code":"1"}},{"codeExecutionResult":{"output":"1"}}]},{"parts":[{"text":"x"}]}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}}`, llm.Chat{
			Messages: []llm.Message{assistant(llm.Block{Kind: llm.BlockHosted, Name: "executableCode", Text: `{"code":"1"}`}, llm.Block{Kind: llm.BlockHosted, Name: "codeExecutionResult", Text: `{"output":"1"}`}), user("x")},
			Choice:   llm.Choice{Mode: llm.ChoiceAuto}, Left: []llm.Left{{Name: "toolConfig.functionCallingConfig.mode"}},
		}},
	} {
		got, bad := Codec{}.Chat([]byte(c.body))
		if bad != nil {
			t.Errorf("%s: %v", name, bad)
			continue
		}
		c.want.N = max(1, c.want.N)
		if !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, show(got), show(c.want))
		}
	}
}

func TestChatRefuses(t *testing.T) {
	for body, want := range map[string]llm.Error{
		`{"contents"`: {Kind: llm.KindInvalidJSON},
		`{}`:          {Kind: llm.KindInvalidRequest, Param: "contents"},
		`{"contents":[{"role":"robot","parts":[{"text":"x"}]}]}`:        {Kind: llm.KindInvalidRequest, Param: "contents[0].role"},
		`{"contents":[{"parts":[{"text":7}]}]}`:                         {Kind: llm.KindInvalidRequest, Param: "contents.0.parts.0.text"},
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":[]}`: {Kind: llm.KindInvalidRequest, Param: "generationConfig"},
	} {
		_, bad := Codec{}.Chat([]byte(body))
		if bad == nil || bad.Kind != want.Kind || bad.Param != want.Param {
			t.Errorf("%s: %v, param %q; want %v, %q", body, bad, bad.Param, want.Kind, want.Param)
		}
	}
}

// A call without an id has the same one each time it is sent, and one of its
// own.
func TestMadeUpIDs(t *testing.T) {
	body := []byte(`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]},{"parts":[{"functionResponse":{"name":"f"}},{"functionResponse":{"name":"f"}}]}]}`)
	one, bad := Codec{}.Chat(body)
	two, _ := Codec{}.Chat(body)
	if bad != nil || !reflect.DeepEqual(one, two) {
		t.Fatalf("%v: %s, then %s", bad, show(one), show(two))
	}
	calls, gave := one.Messages[0].Blocks, one.Messages[1].Blocks
	if calls[0].ID == calls[1].ID || calls[0].ID == "" || gave[0].ID != calls[0].ID || gave[1].ID != calls[1].ID {
		t.Errorf("calls %s and %s, results %s and %s", calls[0].ID, calls[1].ID, gave[0].ID, gave[1].ID)
	}
}

// A seal of another maker goes through a Gemini client, which keeps it as
// bytes, and comes back as it was.
func TestSealsOfOthers(t *testing.T) {
	foreign := llm.Seal{Maker: llm.ProtoAnthropic, Data: "EqQB/+sig==", Redacted: true}
	for name, blocks := range map[string][]llm.Block{
		"before a call": {{Kind: llm.BlockThinking, ID: "rs_1", Seal: foreign}, called("1", "f", "{}")},
		"of a thought":  {{Kind: llm.BlockThinking, ID: "rs_1", Text: "Hm.", Seal: foreign}, {Text: "x"}},
		"alone":         {{Text: "x"}, {Kind: llm.BlockThinking, Seal: foreign}},
		"two":           {{Kind: llm.BlockThinking, ID: "a", Seal: foreign}, {Kind: llm.BlockThinking, ID: "b", Seal: foreign}, {Text: "x"}},
	} {
		reply := &llm.Reply{ID: "r", Model: "m", Answers: []llm.Answer{{Blocks: blocks, Stop: llm.StopEnd}}}
		e := Codec{}.Encoder(&llm.Request{})
		chunks := e.End(e.Events(nil, reply.Events(nil)))
		for how, out := range map[string][]byte{"whole": Codec{}.AppendReply(nil, &llm.Request{}, reply), "streamed": chunks} {
			var parts []json.RawMessage
			for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n\n")) {
				var r struct {
					Candidates []struct {
						Content struct {
							Parts []struct {
								ThoughtSignature []byte          `json:"thoughtSignature,omitempty"` // as genai keeps it
								Text             *string         `json:"text,omitempty"`
								Thought          bool            `json:"thought,omitempty"`
								FunctionCall     json.RawMessage `json:"functionCall,omitempty"`
							}
						}
					}
				}
				if err := json.Unmarshal(bytes.TrimPrefix(line, []byte("data: ")), &r); err != nil {
					t.Fatalf("%s, %s: %v in %s", name, how, err, line)
				}
				for _, p := range r.Candidates[0].Content.Parts {
					b, _ := json.Marshal(p)
					parts = append(parts, b)
				}
			}
			history, _ := json.Marshal(map[string]any{"contents": []any{map[string]any{"role": "model", "parts": parts}}})
			chat, bad := Codec{}.Chat(history)
			if bad != nil {
				t.Fatal(bad)
			}
			if got := chat.Messages[0].Blocks; !reflect.DeepEqual(got, blocks) {
				t.Errorf("%s, %s: came back as\n%s, want\n%s", name, how, show(got), show(blocks))
			}
		}
	}
	text := base64.StdEncoding.EncodeToString([]byte("sl1.x"))
	if s, _ := seal(text); s.Maker != llm.ProtoGemini || s.Data != text {
		t.Errorf("a signature that only begins like a wrapped one: %+v", s)
	}
}

func TestCount(t *testing.T) {
	c := &llm.Chat{Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{{Text: "s"}}}, user("x")}, Tools: []llm.Tool{weather}, N: 9, LogProbs: true, Left: []llm.Left{{Name: "x", Must: true}}}
	call, bad := CountRequest(c, wire.Target{Model: "models/gemini-2.5-flash"})
	if bad != nil {
		t.Fatal(bad)
	}
	recorded.Golden(t, "count.json", indent(t, call.Body))
	call, bad = CountRequest(c, wire.Target{Model: "gemini-2.5-flash", Dialect: Vertex})
	if bad != nil {
		t.Fatal(bad)
	}
	recorded.Golden(t, "count_vertex.json", indent(t, call.Body))
}
