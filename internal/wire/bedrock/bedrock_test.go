package bedrock

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/anthropic"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v, lenient) }
func marshal(v any) ([]byte, error)   { return json.Marshal(v, lenient) }

func p[T any](v T) *T { return &v }

func user(blocks ...llm.Block) llm.Message { return llm.Message{Role: llm.RoleUser, Blocks: blocks} }
func assistant(blocks ...llm.Block) llm.Message {
	return llm.Message{Role: llm.RoleAssistant, Blocks: blocks}
}
func system(text string) llm.Message {
	return llm.Message{Role: llm.RoleSystem, Blocks: []llm.Block{text1(text)}}
}
func text1(s string) llm.Block { return llm.Block{Kind: llm.BlockText, Text: s} }

var weather = llm.Tool{Name: "get_weather", Description: "The weather.", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`)}

// agent is a conversation with everything that Claude takes.
func agent() *llm.Chat {
	return &llm.Chat{
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{{Kind: llm.BlockText, Text: "Be brief.", Cache: llm.CacheHour}}},
			user(text1("What is in these?"),
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/jpg", Data: "/9j/"}},
				llm.Block{Kind: llm.BlockFile, Name: "Q3_report  (final).pdf", Media: &llm.Media{MIME: "application/pdf", Data: "JVBERi0="}},
				llm.Block{Kind: llm.BlockFile, Name: "Q3_report (final).pdf", Media: &llm.Media{Data: "JVBERi0="}},
				llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Text: "plain"}, Cache: llm.CacheShort}),
			assistant(
				llm.Block{Kind: llm.BlockThinking, Text: "Hm.", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "c2ln"}},
				llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "hidden", Redacted: true}},
				llm.Block{Kind: llm.BlockThinking, Text: "not Claude's", Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "x"}},
				llm.Block{Kind: llm.BlockCall, ID: "call_1", Name: "get_weather", Text: `{"city": "Bern"}`},
				llm.Block{Kind: llm.BlockCall, ID: "functions.note:0", Name: "take.note", Custom: true, Text: "sunny \"now\""}),
			user(text1("Go on."),
				llm.Block{Kind: llm.BlockResult, ID: "call_1", Failed: true, Result: []llm.Block{text1("no such city")}},
				llm.Block{Kind: llm.BlockResult, ID: "functions.note:0", Result: nil, Cache: llm.CacheShort}),
		},
		Tools:  []llm.Tool{weather, {Kind: llm.ToolCustom, Name: "take.note", Description: "Notes."}},
		Choice: llm.Choice{Mode: llm.ChoiceAuto}, MaxOutput: 4000, Temperature: p(0.5), TopP: p(0.98), Stop: []string{"END", " "},
		User: "u1", Metadata: []llm.Pair{{Name: "team", Value: "a-b"}, {Name: "bad", Value: "a;b"}}, Tier: "flex",
	}
}

func TestEncode(t *testing.T) {
	schema := llm.Format{Kind: llm.FormatSchema, Name: "city", Description: "A city.", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}}}`)}
	hello := []llm.Message{user(text1("Hello"))}
	withThinking := agent()
	withThinking.Reasoning = llm.Reasoning{Effort: "high", Summary: "auto"}
	for _, c := range []struct {
		name  string
		model string
		chat  *llm.Chat
		most  int64
		lossy string
	}{
		{"agent", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", agent(), 0, "tools.custom.format stop"},
		{"agent-thinks", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", withThinking, 3000, ""},
		{"agent-adaptive", "us.anthropic.claude-opus-4-6-v1", withThinking, 0, ""},
		{"agent-foreign", "us.meta.llama3-1-70b-instruct-v1:0", agent(), 0, "cache_control"},
		{"schema", "us.anthropic.claude-haiku-4-5-20251001-v1:0", &llm.Chat{Messages: hello, Format: schema}, 0, ""},
		{"schema-tool", "amazon.nova-lite-v1:0", &llm.Chat{Messages: hello, Format: schema}, 0, ""},
		{"schema-tools", "us.amazon.nova-lite-v1:0", &llm.Chat{Messages: hello, Format: schema, Tools: []llm.Tool{weather}}, 0, ""},
		{"nova", "us.amazon.nova-2-lite-v1:0", &llm.Chat{Messages: hello, TopK: p(int64(20)), Temperature: p(1.5), Tools: []llm.Tool{{Kind: llm.ToolSearch}, weather},
			Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"get_weather"}}, Reasoning: llm.Reasoning{Budget: 2000}}, 0, "temperature"},
		{"gpt-oss", "openai.gpt-oss-120b-1:0", &llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "minimal"}, TopK: p(int64(1)), Seed: p(int64(7))}, 0, "top_k seed"},
		{"system-only", "cohere.command-r-v1:0", &llm.Chat{Messages: []llm.Message{system("Say hi.")}, TopK: p(int64(3))}, 0, ""},
		{"turns", "mistral.mistral-large-2402-v1:0", &llm.Chat{Messages: []llm.Message{system("A"), assistant(text1("B ")), system("C"), user(text1(" "), text1("D")),
			user(llm.Block{Kind: llm.BlockFile, Name: "a.txt", Media: &llm.Media{Text: "x"}}), assistant(text1("E\n"))}}, 0, ""},
		{"history", "anthropic.claude-3-haiku-20240307-v1:0", &llm.Chat{Messages: []llm.Message{hello[0],
			assistant(llm.Block{Kind: llm.BlockCall, ID: "a b", Name: "x", Text: "[1"}),
			user(llm.Block{Kind: llm.BlockResult, ID: "a b", Result: []llm.Block{text1("1")}})}}, 0, "tool_calls.function.arguments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call, err := Codec{}.Encode(c.chat, wire.Target{Model: c.model, MaxOutput: c.most, Stream: c.name == "agent"})
			if err != nil {
				t.Fatal(err)
			}
			recorded.Golden(t, c.name+".json", recorded.Indent(t, call.Body))
			for _, want := range strings.Fields(c.lossy) {
				if want != "tools.custom.format" && !slices.Contains(call.Lossy, want) {
					t.Errorf("lost %v, want %s among it", call.Lossy, want)
				}
			}
		})
	}
}

func TestEncodeLosses(t *testing.T) {
	hello := []llm.Message{user(text1("Hello"))}
	sonnet := "anthropic.claude-sonnet-4-5-20250929-v1:0"
	for _, c := range []struct {
		chat  llm.Chat
		model string
		want  []string
	}{
		{llm.Chat{User: "u", CacheKey: "k", Verbosity: "low", Store: p(true), Serial: true, Tools: []llm.Tool{weather}}, sonnet,
			[]string{"user", "prompt_cache_key", "verbosity", "store", "parallel_tool_calls"}},
		{llm.Chat{Store: p(false), Serial: true, FrequencyPenalty: p(0.0)}, sonnet, nil},
		{llm.Chat{FrequencyPenalty: p(0.1), PresencePenalty: p(0.1), Tier: "scale"}, sonnet, []string{"service_tier", "frequency_penalty", "presence_penalty"}},
		{llm.Chat{Temperature: p(0.2), TopP: p(0.5)}, sonnet, []string{"top_p"}},
		{llm.Chat{Temperature: p(0.2), TopP: p(0.5), TopK: p(int64(1))}, "us.anthropic.claude-opus-4-7-v1", []string{"temperature", "top_p", "top_k"}},
		{llm.Chat{Temperature: p(1.0), TopP: p(1.0)}, "us.anthropic.claude-opus-4-7-v1", nil},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "low"}, Temperature: p(0.2), TopK: p(int64(1))}, sonnet, []string{"temperature", "top_k"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "low"}}, "anthropic.claude-3-5-sonnet-20241022-v2:0", []string{"reasoning_effort"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "low"}, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}}, sonnet, []string{"reasoning_effort"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "low"}, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}}, "us.anthropic.claude-opus-4-6-v1", nil},
		{llm.Chat{Reasoning: llm.Reasoning{Budget: 2000}, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}}, "us.anthropic.claude-opus-4-6-v1", []string{"reasoning_effort"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "none"}}, "us.anthropic.claude-fable-5", []string{"reasoning_effort"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "none"}}, sonnet, nil},
		{llm.Chat{Format: llm.Format{Kind: llm.FormatJSON}}, sonnet, []string{"response_format"}},
		{llm.Chat{Left: []llm.Left{{Name: "logit_bias"}}}, sonnet, []string{"logit_bias"}},
	} {
		c.chat.Messages = hello
		call, err := Codec{}.Encode(&c.chat, wire.Target{Model: c.model})
		if err != nil || !slices.Equal(call.Lossy, c.want) {
			t.Errorf("%+v: lost %v, %v, want %v", c.chat, call.Lossy, err, c.want)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	image := func(m *llm.Media) llm.Chat {
		return llm.Chat{Messages: []llm.Message{user(llm.Block{Kind: llm.BlockImage, Media: m})}}
	}
	for _, c := range []struct {
		chat  llm.Chat
		param string
	}{
		{llm.Chat{LogProbs: true}, "logprobs"},
		{llm.Chat{Left: []llm.Left{{Name: "audio", Must: true}}}, "audio"},
		{llm.Chat{Tools: []llm.Tool{{Kind: llm.ToolSearch}}}, "tools"},
		{llm.Chat{Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"x"}}}, "tool_choice"},
		{image(&llm.Media{URL: "https://example.com/a.png"}), "messages"},
		{image(&llm.Media{FileID: "file_1"}), "messages"},
		{image(&llm.Media{MIME: "image/tiff", Data: "AAAA"}), "messages"},
		{image(nil), "messages"},
		{llm.Chat{Messages: []llm.Message{assistant(llm.Block{Kind: llm.BlockImage, Media: &llm.Media{Data: "iVBORw0KGgo="}})}}, "messages"},
	} {
		_, err := Codec{}.Encode(&c.chat, wire.Target{Model: "anthropic.claude-sonnet-4-5-20250929-v1:0"})
		if err == nil || err.Param != c.param {
			t.Errorf("%+v: got %v, want an error of %s", c.chat, err, c.param)
		}
	}
	forced := llm.Chat{Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}}
	if _, err := (Codec{}).Encode(&forced, wire.Target{Model: "us.anthropic.claude-fable-5-1"}); err == nil || err.Kind != llm.KindUnsupported {
		t.Errorf("a tool forced on a model that cannot be forced: %v", err)
	}
	broken := llm.Chat{Tools: []llm.Tool{{Name: "a", Schema: []byte(`{"type":`)}}}
	if _, err := (Codec{}).Encode(&broken, wire.Target{}); err == nil || err.Kind != llm.KindInvalidRequest {
		t.Errorf("a broken schema: %v", err)
	}
}

// TestNames: names that Bedrock refuses are replaced, each by its own.
func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	chat := &llm.Chat{Messages: []llm.Message{user(text1("a"))}, Tools: []llm.Tool{{Name: "a.b"}, {Name: "a_b"}, {Name: "a b"}, {Name: long}, {Name: "ü"}, {Name: "answer"}},
		Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)}}
	call, err := Codec{}.Encode(chat, wire.Target{Model: "amazon.nova-lite-v1:0"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a_b_2": "a.b", "a_b_3": "a b", strings.Repeat("x", 64): long, "__": "ü"}
	if !reflect.DeepEqual(call.Names, want) || call.FormatTool != "answer_2" {
		t.Errorf("got %v, the format's tool is %q", call.Names, call.FormatTool)
	}
	r, err := Codec{}.Reply(call, []byte(`{"output":{"message":{"content":[{"toolUse":{"name":"a_b_3","input":{}}},{"toolUse":{"name":"a_b","toolUseId":"t"}}]}},"stopReason":"end_turn"}`))
	if err != nil {
		t.Fatal(err)
	}
	b := r.Answers[0].Blocks
	if b[0].Name != "a_b_3" || b[0].ID == "" || b[0].Text != "{}" || b[1].Name != "a_b" || b[1].ID != "t" || r.Answers[0].Stop != llm.StopTools {
		t.Errorf("got %+v", r.Answers[0])
	}
}

// stream makes frames: event name, payload, …
func stream(pairs ...string) (out []wire.Frame) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, wire.Frame{Name: pairs[i], Data: []byte(pairs[i+1])})
	}
	return out
}

// collect decodes frames into a reply and checks the law of events.
func collect(t *testing.T, call *wire.Call, frames []wire.Frame) *llm.Reply {
	t.Helper()
	events, whole, err := decode(call, frames)
	if err != nil || !whole {
		t.Fatalf("%v, whole %v", err, whole)
	}
	recorded.Lawful(t, t.Name(), events)
	var c llm.Collector
	c.Add(events...)
	return c.Reply()
}

// TestStandIns: custom tools and the format's tool come back as what they
// stand for, whole and in streams.
func TestStandIns(t *testing.T) {
	chat := &llm.Chat{Messages: []llm.Message{user(text1("a"))}, Tools: []llm.Tool{{Kind: llm.ToolCustom, Name: "no.te"}}, Format: llm.Format{Kind: llm.FormatSchema}}
	call, err := Codec{}.Encode(chat, wire.Target{Model: "amazon.nova-lite-v1:0"})
	if err != nil {
		t.Fatal(err)
	}
	answer := `{"output":{"message":{"content":[{"toolUse":{"toolUseId":"1","name":"no_te","input":{"input":"a\nb"}}},
		{"toolUse":{"toolUseId":"3","name":"answer","input":{"city": "Bern"}}}]}},"stopReason":"tool_use"}`
	want := []llm.Block{
		{Kind: llm.BlockCall, ID: "1", Name: "no.te", Custom: true, Text: "a\nb"},
		{Kind: llm.BlockText, Text: `{"city":"Bern"}`},
	}
	var raw []byte
	for _, f := range stream(
		"contentBlockStart", `{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"1","name":"no_te"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"inp"}}}`,
		"contentBlockStart", `{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"3","name":"answer"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"toolUse":{"input":"ut\":\"a\\nb\"}"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"city\":\"Bern\"}"}}}`,
		"messageStop", `{"stopReason":"tool_use"}`) {
		raw = appendEvent(raw, f.Name, string(f.Data))
	}
	for kind, body := range map[string]string{"application/json": answer, "application/vnd.amazon.eventstream": string(raw)} {
		resp := &http.Response{Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		s, err := wire.Translate(resp, Codec{}, call, kind != "application/json", "application/vnd.amazon.eventstream")
		if err != nil {
			t.Fatal(err)
		}
		var c llm.Collector
		for {
			chunk, err := s.Next()
			c.Add(chunk.Events...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		if got := c.Reply().Answers[0]; !reflect.DeepEqual(got.Blocks, want) || got.Stop != llm.StopTools {
			t.Errorf("%s: got %+v", kind, got)
		}
	}
}

// TestSeals: what Claude seals on Bedrock is what Anthropic wrote.
func TestSeals(t *testing.T) {
	redacted := base64.StdEncoding.EncodeToString([]byte("EtkECkgIBxAB"))
	r := collect(t, &wire.Call{}, stream(
		"messageStart", `{"role":"assistant"}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":""}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"AB"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"CD"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"`+redacted+`"}}}`,
		"contentBlockStop", `{"contentBlockIndex":1}`,
		"contentBlockStop", `{"contentBlockIndex":0}`,
		"contentBlockDelta", `{"contentBlockIndex":2,"delta":{"reasoningContent":{"redactedContent":"AAE="}}}`,
		"messageStop", `{"stopReason":"end_turn"}`))
	want := []llm.Block{
		{Kind: llm.BlockThinking, Text: "Hm", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "ABCD"}},
		{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "EtkECkgIBxAB", Redacted: true}},
		{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoBedrock, Data: "\x00\x01", Redacted: true}},
	}
	if !reflect.DeepEqual(r.Answers[0].Blocks, want) {
		t.Fatalf("got %+v", r.Answers[0].Blocks)
	}
	call, err := Codec{}.Encode(&llm.Chat{Messages: []llm.Message{user(text1("a")), assistant(want...)}}, wire.Target{Model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"})
	if err != nil {
		t.Fatal(err)
	}
	back := `{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"Hm","signature":"ABCD"}}},{"reasoningContent":{"redactedContent":"` + redacted + `"}},{"reasoningContent":{"redactedContent":"AAE="}}]}`
	if !bytes.Contains(call.Body, []byte(back)) {
		t.Errorf("got %s\nwant in it %s", call.Body, back)
	}
}

// TestStreamOddities: blocks without a start or an end, empty texts, sources
// of their own, tools that Bedrock runs, calls without an id.
func TestStreamOddities(t *testing.T) {
	r := collect(t, &wire.Call{}, stream(
		"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":""}}`,
		"contentBlockStop", `{"contentBlockIndex":0}`,
		"contentBlockStart", `{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}`,
		"contentBlockStop", `{"contentBlockIndex":1}`,
		"contentBlockStart", `{"contentBlockIndex":2,"start":{"toolResult":{"toolUseId":"s"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolResult":[{"text":"hidden"}]}}`,
		"contentBlockStop", `{"contentBlockIndex":2}`,
		"contentBlockDelta", `{"contentBlockIndex":7,"delta":{"text":"It is 4."}}`,
		"contentBlockStop", `{"contentBlockIndex":7}`,
		"contentBlockDelta", `{"contentBlockIndex":8,"delta":{"citation":{"location":{"web":{"url":"https://a.example/","domain":"a.example"}}}}}`,
		"contentBlockStop", `{"contentBlockIndex":8}`,
		"contentBlockDelta", `{"contentBlockIndex":9,"delta":{"citation":{"title":"t","source":"https://b.example/","sourceContent":[{"text":"x"},{"text":"y"}]}}}`,
		"futureEvent", `{"contentBlockIndex":"?"}`,
		"contentBlockDelta", `{"contentBlockIndex":10,"delta":{"text":"Yes."}}`,
		"contentBlockDelta", `{"contentBlockIndex":10,"delta":{"toolUse":{"input":"nobody's"}}}`,
		"contentBlockStart", `{"contentBlockIndex":10,"start":{"toolUse":{"name":"f"}}}`,
		"contentBlockStart", `{"contentBlockIndex":11,"start":{}}`,
		"messageStop", `{"stopReason":"stop_sequence","additionalModelResponseFields":{"delta":{"stop_sequence":"END"}}}`,
		"contentBlockDelta", `{"contentBlockIndex":12,"delta":{"text":"late"}}`,
		"metadata", `{"usage":{"inputTokens":22,"outputTokens":13,"totalTokens":2527,"cacheWriteInputTokens":2492}}`))
	a := r.Answers[0]
	if len(a.Blocks) != 3 || a.Blocks[2].ID == "" || a.Blocks[2].Name != "f" {
		t.Fatalf("got %+v", a.Blocks)
	}
	cites := []llm.Cite{{URL: "https://a.example/", Title: "a.example"}, {URL: "https://b.example/", Title: "t", Quote: "xy"}}
	if a.Blocks[0].Text != "It is 4." || !reflect.DeepEqual(a.Blocks[0].Cites, cites) || a.Blocks[1].Text != "Yes." {
		t.Errorf("got %+v", a.Blocks)
	}
	if a.Stop != llm.StopSequence || a.Sequence != "END" || r.Usage == nil || r.Usage.Input != 2514 || r.Usage.CacheWrite != 2492 {
		t.Errorf("got %+v, %+v", a, r.Usage)
	}
}

func TestCutStream(t *testing.T) {
	_, whole, err := decode(&wire.Call{}, stream("messageStart", `{}`, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"a"}}`))
	if whole || err != nil {
		t.Errorf("without messageStop: whole %v, %v", whole, err)
	}
	many := stream("messageStart", `{}`)
	for i := range maxOpen + 1 {
		many = append(many, wire.Frame{Name: eventBlockStart, Data: []byte(`{"contentBlockIndex":` + string(jsontext.Int(int64(i)).String()) + `,"start":{"toolUse":{"name":"f"}}}`)})
	}
	if _, _, err := decode(&wire.Call{}, many); err == nil || err.Kind != llm.KindUpstream {
		t.Errorf("more open blocks than can be: %v", err)
	}
}

func TestStops(t *testing.T) {
	for reason, want := range map[string]llm.Stop{
		"end_turn": llm.StopEnd, "tool_use": llm.StopTools, "max_tokens": llm.StopLength, "stop_sequence": llm.StopSequence,
		"guardrail_intervened": llm.StopFilter, "content_filtered": llm.StopFilter, "model_context_window_exceeded": llm.StopContext,
		"refusal": llm.StopRefusal, "new_reason": llm.StopEnd,
	} {
		call := &wire.Call{}
		r := collect(t, call, stream("messageStop", `{"stopReason":"`+reason+`"}`))
		if r.Answers[0].Stop != want || (reason == "new_reason") != slices.Equal(call.Lossy, []string{"stop_reason"}) {
			t.Errorf("%s: got %v, lost %v", reason, r.Answers[0].Stop, call.Lossy)
		}
	}
	for _, reason := range []string{"malformed_model_output", "malformed_tool_use"} {
		if _, _, err := decode(&wire.Call{}, stream("messageStop", `{"stopReason":"`+reason+`"}`)); err == nil || err.Kind != llm.KindUpstream {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, data string
		kind       llm.Kind
		shown      string // of the vendor's words
	}{
		{":exception:throttlingException", `{"message":"secret"}`, llm.KindRateLimited, ""},
		{":exception:ThrottlingException", `{}`, llm.KindRateLimited, ""},
		{":exception:serviceQuotaExceededException", ``, llm.KindRateLimited, ""},
		{":exception:validationException", `{"message":"toolConfig is wrong"}`, llm.KindCaller, "toolConfig is wrong"},
		{":exception:validationException", `{"message":"Input is too long for requested model."}`, llm.KindContextLength, "Input is too long"},
		{":exception:validationException", `{"message":"The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length."}`, llm.KindContextLength, "Exceeded"},
		{":exception:modelStreamErrorException", `{"message":"secret","originalStatusCode":500,"originalMessage":"secret"}`, llm.KindUpstream, ""},
		{":exception:modelStreamErrorException", `{"originalStatusCode":429}`, llm.KindRateLimited, ""},
		{":exception:internalServerException", `{"message":"secret"}`, llm.KindUpstream, ""},
		{":exception:serviceUnavailableException", `not JSON`, llm.KindUpstream, ""},
		{":exception:accessDeniedException", `{"message":"secret"}`, llm.KindCredential, ""},
		{":error:InternalError", `{"message":"secret"}`, llm.KindUpstream, ""},
		{"messageStop", `{`, llm.KindUpstream, ""},
	} {
		_, _, err := decode(&wire.Call{}, stream(c.name, c.data))
		if err == nil || err.Kind != c.kind || !strings.Contains(err.Message, c.shown) || strings.Contains(err.Message, "secret") {
			t.Errorf("%s %s: got %v", c.name, c.data, err)
		}
	}
}

func TestUsage(t *testing.T) {
	for in, want := range map[string]llm.Usage{
		// Recorded with Nova Lite and with Claude Haiku 4.5.
		`{"cacheReadInputTokenCount":0,"cacheReadInputTokens":0,"cacheWriteInputTokenCount":2492,"cacheWriteInputTokens":2492,"inputTokens":22,"outputTokens":13,"serverToolUsage":{},"totalTokens":2527}`: {Input: 2514, CacheWrite: 2492, Output: 13},
		`{"cacheReadInputTokens":7351,"cacheWriteInputTokens":0,"inputTokens":10,"outputTokens":4,"totalTokens":7365}`:                                                                                     {Input: 7361, CachedRead: 7351, Output: 4},
		`{"inputTokens":1,"outputTokens":2,"totalTokens":3}`: {Input: 1, Output: 2},
		`{"inputTokens":1,"outputTokens":2,"totalTokens":33,"cacheWriteInputTokens":30,"cacheDetails":[{"inputTokens":20,"ttl":"1h"},{"inputTokens":10,"ttl":"5m"}]}`: {Input: 31, CacheWrite: 30, CacheWrite1h: 20, Output: 2},
		// A model whose input has the cached tokens in it already.
		`{"inputTokens":10,"outputTokens":2,"totalTokens":12,"cacheReadInputTokens":8}`: {Input: 10, CachedRead: 8, Output: 2},
	} {
		if got, ok := ParseUsage([]byte(in)); !ok || got != want {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{``, `null`, `{}`, `[]`, `{"prompt_tokens":1}`, `{"inputTokens":-1}`, `{"inputTokens":"1"}`, `{"inputTokens":9007199254740993}`, `{"inputTokens":1,"cacheReadInputTokens":-5}`} {
		if u, ok := ParseUsage([]byte(in)); ok {
			t.Errorf("%s: got %+v", in, u)
		}
	}
}

func TestModels(t *testing.T) {
	for name, want := range map[string]model{
		"anthropic.claude-v2:1":                                         {family: claude, version: 201},
		"us.anthropic.claude-3-7-sonnet-20250219-v1:0":                  {family: claude, version: 307},
		"anthropic.claude-3-haiku-20240307-v1:0":                        {family: claude, version: 300},
		"us.anthropic.claude-sonnet-4-20250514-v1:0":                    {family: claude, version: 400},
		"global.anthropic.claude-opus-4-6-v1":                           {family: claude, version: 406},
		"us.anthropic.claude-sonnet-5":                                  {family: claude, version: 500},
		"us.anthropic.claude-fable-5-1":                                 {family: claude, version: 501},
		"us.amazon.nova-2-lite-v1:0":                                    {family: nova, version: 200},
		"amazon.nova-micro-v1:0":                                        {family: nova, version: 100},
		"openai.gpt-oss-120b-1:0":                                       {family: gptOSS},
		"moonshot.kimi-k2-thinking":                                     {},
		"arn:aws:bedrock:us-east-1:1:application-inference-profile/abc": {family: profile},
		"arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0": {family: claude, version: 405},
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-5-20251101-v1:0":        {family: claude, version: 405},
	} {
		if want.family == claude {
			want.can = anthropic.AbilitiesOf(name)
		}
		if got := modelOf(name); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}
