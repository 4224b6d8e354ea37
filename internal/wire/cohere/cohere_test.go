package cohere

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v, lenient) }
func marshal(v any) ([]byte, error)   { return json.Marshal(v, lenient) }

func p[T any](v T) *T { return &v }

func say(s string) llm.Block { return llm.Block{Kind: llm.BlockText, Text: s} }

func user(blocks ...llm.Block) llm.Message { return llm.Message{Role: llm.RoleUser, Blocks: blocks} }

func assistant(blocks ...llm.Block) llm.Message {
	return llm.Message{Role: llm.RoleAssistant, Blocks: blocks}
}

var weather = llm.Tool{Name: "get_weather", Description: "The weather.", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`), Strict: p(true)}

// agent is a conversation with everything that Cohere takes.
func agent() *llm.Chat {
	return &llm.Chat{
		Messages: []llm.Message{
			{Role: llm.RoleSystem, Blocks: []llm.Block{say("Be brief.")}},
			user(say("What is in these?"),
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/jpeg", Data: "/9j/", Detail: "low"}},
				llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com/a.png"}},
				llm.Block{Kind: llm.BlockFile, Name: "a.txt", Media: &llm.Media{MIME: "text/plain", Data: "aGVsbG8="}}),
			assistant(
				llm.Block{Kind: llm.BlockThinking, Text: "I look."},
				llm.Block{Kind: llm.BlockThinking, Text: "another's", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "x"}},
				llm.Block{Kind: llm.BlockCall, ID: "c1", Name: "get_weather", Text: `{"city": "Bern"}`},
				llm.Block{Kind: llm.BlockCall, ID: "c2", Name: "take.note", Custom: true, Text: "sunny \"now\""},
				llm.Block{Kind: llm.BlockCall, ID: "c3", Name: "get_weather"}),
			user(say("Go on."),
				llm.Block{Kind: llm.BlockResult, ID: "c1", Failed: true, Result: []llm.Block{say("no such city")}},
				llm.Block{Kind: llm.BlockResult, ID: "c2"},
				llm.Block{Kind: llm.BlockResult, ID: "c3", Result: []llm.Block{{Kind: llm.BlockFile, Name: "f", Media: &llm.Media{Text: "x"}},
					{Kind: llm.BlockImage, Media: &llm.Media{Data: "iVBORw0KGgo="}}}}),
			assistant(say("Fine."), llm.Block{Kind: llm.BlockThinking, Text: "no calls follow"}),
			user(say("")),
			user(say("More?")),
		},
		Tools:     []llm.Tool{weather, {Kind: llm.ToolCustom, Name: "take.note", Description: "Notes.", Strict: p(true)}},
		MaxOutput: 4000, Temperature: p(0.5), TopP: p(1.0), TopK: p(int64(40)), Seed: p(int64(7)), Stop: []string{"END"},
		FrequencyPenalty: p(0.1), PresencePenalty: p(0.2),
	}
}

func TestEncode(t *testing.T) {
	schema := llm.Format{Kind: llm.FormatSchema, Name: "city", Description: "A city.", Schema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`)}
	hello := []llm.Message{user(say("Hello"))}
	file := []llm.Message{user(llm.Block{Kind: llm.BlockFile, Name: "a.txt", Media: &llm.Media{Text: "x"}})}
	thinks := agent()
	thinks.Reasoning = llm.Reasoning{Effort: "high"}
	for _, c := range []struct {
		name, model string
		chat        *llm.Chat
		lossy       []string
	}{
		{"agent", "command-a-03-2025", agent(), []string{"tool_result.image"}},
		{"agent-thinks", "command-a-reasoning-08-2025", thinks, []string{"tool_result.image"}},
		{"schema", "command-a-03-2025", &llm.Chat{Messages: file, Format: schema}, nil},
		{"file", "command-a-03-2025", &llm.Chat{Messages: file}, nil},
		{"schema-tools", "command-a-03-2025", &llm.Chat{Messages: hello, Format: schema, Tools: []llm.Tool{weather}}, nil},
		{"json", "command-r7b-12-2024", &llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatJSON}}, nil},
		{"json-tools", "command-a-03-2025", &llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatJSON}, Tools: []llm.Tool{weather}}, []string{"response_format"}},
		{"choice", "command-a-03-2025", &llm.Chat{Messages: hello, Tools: []llm.Tool{{Name: "a"}, weather}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"a"}}}, nil},
		{"none", "command-a-reasoning-08-2025", &llm.Chat{Messages: hello, Tools: []llm.Tool{{Name: "a"}}, Choice: llm.Choice{Mode: llm.ChoiceNone}, Reasoning: llm.Reasoning{Effort: "none"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			call, err := Codec{}.Encode(c.chat, wire.Target{Model: c.model, Stream: c.name == "agent"})
			if err != nil {
				t.Fatal(err)
			}
			recorded.Golden(t, c.name+".json", recorded.Indent(t, call.Body))
			if !slices.Equal(call.Lossy, c.lossy) {
				t.Errorf("lost %v, want %v", call.Lossy, c.lossy)
			}
		})
	}
}

func TestEncodeLosses(t *testing.T) {
	for _, c := range []struct {
		chat llm.Chat
		want []string
	}{
		{llm.Chat{User: "u", CacheKey: "k", Verbosity: "low", Store: p(true), Serial: true, Tools: []llm.Tool{weather}, Tier: "flex", Metadata: []llm.Pair{{Name: "a"}}},
			[]string{"user", "metadata", "service_tier", "prompt_cache_key", "verbosity", "store", "parallel_tool_calls"}},
		{llm.Chat{Temperature: p(1.5), TopP: p(0.0), FrequencyPenalty: p(-1.0), PresencePenalty: p(2.0)}, []string{"temperature", "top_p", "frequency_penalty", "presence_penalty"}},
		{llm.Chat{Temperature: p(1.0), TopP: p(0.99), TopK: p(int64(500)), Seed: p(int64(0))}, nil},
		{llm.Chat{TopK: p(int64(501)), Seed: p(int64(-1)), Stop: []string{"1", "2", "3", "4", "5", "6"}}, []string{"top_k", "seed", "stop"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "low"}}, []string{"reasoning_effort"}},
		{llm.Chat{Reasoning: llm.Reasoning{Effort: "none"}}, nil},
		{llm.Chat{Tools: []llm.Tool{weather, {Name: "b", Cache: llm.CacheShort}}}, []string{"cache_control", "tools.function.strict"}},
		{llm.Chat{Left: []llm.Left{{Name: "logit_bias"}}}, []string{"logit_bias"}},
	} {
		c.chat.Messages = []llm.Message{user(say("Hello"))}
		call, err := Codec{}.Encode(&c.chat, wire.Target{Model: "command-a-03-2025"})
		if err != nil || !slices.Equal(call.Lossy, c.want) {
			t.Errorf("%+v: lost %v, %v, want %v", c.chat, call.Lossy, err, c.want)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	with := func(b llm.Block) llm.Chat { return llm.Chat{Messages: []llm.Message{user(b)}} }
	for _, c := range []struct {
		chat  llm.Chat
		param string
	}{
		{llm.Chat{LogProbs: true}, "logprobs"},
		{llm.Chat{Left: []llm.Left{{Name: "audio", Must: true}}}, "audio"},
		{llm.Chat{Tools: []llm.Tool{{Kind: llm.ToolSearch}}}, "tools"},
		{llm.Chat{Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"x"}}}, "tool_choice"},
		{with(llm.Block{Kind: llm.BlockAudio}), "messages"},
		{with(llm.Block{Kind: llm.BlockImage, Media: &llm.Media{FileID: "f"}}), "messages"},
		{with(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "application/pdf", Data: "JVBERi0="}}), "messages"},
		{with(llm.Block{Kind: llm.BlockResult, Result: []llm.Block{{Kind: llm.BlockAudio}}}), "messages"},
		{llm.Chat{Messages: []llm.Message{assistant(llm.Block{Kind: llm.BlockImage})}}, "messages"},
	} {
		if _, err := (Codec{}).Encode(&c.chat, wire.Target{}); err == nil || err.Param != c.param {
			t.Errorf("%+v: got %v, want an error of %s", c.chat, err, c.param)
		}
	}
	broken := llm.Chat{Tools: []llm.Tool{{Name: "a", Schema: []byte(`{"type":`)}}}
	if _, err := (Codec{}).Encode(&broken, wire.Target{}); err == nil || err.Kind != llm.KindInvalidRequest {
		t.Errorf("a broken schema: %v", err)
	}
}

// TestNames: names that Cohere refuses are replaced, each by its own.
func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	chat := &llm.Chat{Messages: []llm.Message{user(say("a"))}, Tools: []llm.Tool{{Name: "a.b"}, {Name: "a_b"}, {Name: "a-b"}, {Name: long}, {Name: "1st"}, {Name: "answer"}},
		Format: llm.Format{Kind: llm.FormatSchema}}
	call, err := Codec{}.Encode(chat, wire.Target{Model: "command-a-03-2025"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a_b_2": "a.b", "a_b_3": "a-b", strings.Repeat("x", 60): long, "_st": "1st"}
	if !reflect.DeepEqual(call.Names, want) || call.FormatTool != "answer_2" {
		t.Errorf("got %v, the format's tool is %q", call.Names, call.FormatTool)
	}
}

// stream writes events: data only, as some recorded answers have it.
func stream(data ...string) string { return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n" }

// TestStreamOddities: parts without a start or an end, plans, calls that
// interleave, come whole or with null, citations that come late.
func TestStreamOddities(t *testing.T) {
	events, whole, err := decode(&wire.Call{}, strings.NewReader(stream(
		`{"type":"message-start","id":"m1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}`,
		`{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}`,
		`{"type":"content-end","index":0}`,
		`{"type":"content-delta","index":1,"delta":{"message":{"content":{"thinking":"Hm"}}}}`,
		`{"type":"content-delta","index":1,"delta":{"message":{"content":{"text":"It is 4."}}}}`,
		`{"type":"content-end","index":1}`,
		`{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":6,"end":7,"text":"4","sources":[{"type":"document","id":"d","document":{"title":"T","url":"https://a.example/","snippet":"q"}},{"type":"tool","id":"t:0","tool_output":{"n":4}}],"type":"TEXT_CONTENT"}}}}`,
		`{"type":"citation-start","index":1,"delta":{"message":{"citations":{"sources":[{"id":"p"}],"type":"PLAN"}}}}`,
		`{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I "}}}`,
		`{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"call."}}}`,
		`{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c0","type":"function","function":{"name":"f","arguments":"{"}}}}}`,
		`{"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"type":"function","function":{"name":"g","arguments":"null"}}}}}`,
		`{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"}"}}}}}`,
		`{"type":"tool-call-delta","index":9,"delta":{"message":{"tool_calls":{"function":{"arguments":"nobody's"}}}}}`,
		`{"type":"debug","prompt":"p"}`,
		`{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":10,"output_tokens":2.0},"cached_tokens":4}}}`,
		`[DONE]`)))
	if err != nil || !whole {
		t.Fatalf("%v, whole %v", err, whole)
	}
	recorded.Lawful(t, "oddities", events)
	var c llm.Collector
	c.Add(events...)
	r := c.Reply()
	a := r.Answers[0]
	if len(a.Blocks) == 5 && strings.HasPrefix(a.Blocks[4].ID, "call_") {
		a.Blocks[4].ID = "made up"
	}
	want := []llm.Block{
		{Kind: llm.BlockThinking, Text: "Hm"},
		{Kind: llm.BlockText, Text: "It is 4.", Cites: []llm.Cite{{URL: "https://a.example/", Title: "T", Quote: "q", Start: 6, End: 7}, {Title: "t:0", Quote: `{"n":4}`, Start: 6, End: 7}}},
		{Kind: llm.BlockThinking, Text: "I call."},
		{Kind: llm.BlockCall, ID: "c0", Name: "f", Text: "{}"},
		{Kind: llm.BlockCall, ID: "made up", Name: "g"},
	}
	if !reflect.DeepEqual(a.Blocks, want) {
		t.Errorf("got %+v\nwant %+v", a.Blocks, want)
	}
	if r.ID != "m1" || a.Stop != llm.StopTools || *r.Usage != (llm.Usage{Input: 10, CachedRead: 4, Output: 2}) {
		t.Errorf("got %+v, %+v", r, r.Usage)
	}
}

func TestStops(t *testing.T) {
	for reason, want := range map[string]llm.Stop{"COMPLETE": llm.StopEnd, "STOP_SEQUENCE": llm.StopSequence, "MAX_TOKENS": llm.StopLength, "TOOL_CALL": llm.StopTools, "NEW": llm.StopEnd} {
		call := &wire.Call{}
		r, err := Codec{}.Reply(call, []byte(`{"finish_reason":"`+reason+`","message":{}}`))
		if err != nil || r.Answers[0].Stop != want || (reason == "NEW") != slices.Equal(call.Lossy, []string{"stop_reason"}) {
			t.Errorf("%s: got %+v, %v, lost %v", reason, r, err, call.Lossy)
		}
	}
	for _, end := range []string{
		`{"type":"message-end","delta":{"finish_reason":"ERROR"}}`, `{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}`,
		`{"type":"message-end","delta":{"finish_reason":"COMPLETE","error":"secret"}}`, `{"message":"secret"}`, `{"type":1}`, `secret`,
	} {
		_, whole, err := decode(&wire.Call{}, strings.NewReader(stream(`{"type":"message-start","id":"m"}`, end)))
		if whole || err == nil || err.Kind != llm.KindUpstream || strings.Contains(err.Message, "secret") {
			t.Errorf("%s: got %v, whole %v", end, err, whole)
		}
	}
	for _, body := range []string{`{"finish_reason":"ERROR","message":{}}`, `{"message":"secret"}`, `{}`, `[]`, ``} {
		if r, err := (Codec{}).Reply(&wire.Call{}, []byte(body)); err == nil || err.Kind != llm.KindUpstream || strings.Contains(err.Message, "secret") {
			t.Errorf("%s: got %+v, %v", body, r, err)
		}
	}
	if _, whole, err := decode(&wire.Call{}, strings.NewReader(stream(`{"type":"message-start","id":"m"}`, `[DONE]`))); whole || err != nil {
		t.Errorf("without message-end: whole %v, %v", whole, err)
	}
	many := []string{`{"type":"message-start","id":"m"}`}
	for i := range maxOpen + 1 {
		many = append(many, `{"type":"tool-call-start","index":`+jsontext.Int(int64(i)).String()+`}`)
	}
	if _, _, err := decode(&wire.Call{}, strings.NewReader(stream(many...))); err == nil || err.Kind != llm.KindUpstream {
		t.Errorf("more open blocks than can be: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for in, want := range map[string]llm.Usage{
		// Recorded; what is expected of the bill is what genai-prices expects (2026-11).
		`{"billed_units":{"input_tokens":41,"output_tokens":28},"cached_tokens":1040,"tokens":{"input_tokens":1442,"output_tokens":29}}`:                          {Input: 41, Output: 28},
		`{"billed_units":{"input_tokens":84,"output_tokens":314},"cached_tokens":1008,"tokens":{"input_tokens":1501,"output_tokens":346,"reasoning_tokens":304}}`: {Input: 84, Output: 314, Reasoning: 304},
		`{"api_version":{"version":"2"},"billed_units":{"search_units":1}}`:                                                                                       {Searches: 1},
		`{"api_version":{"version":"2"},"billed_units":{"image_tokens":0,"input_tokens":4}}`:                                                                      {Input: 4},
		`{"tokens":{"input_tokens":1442.0,"output_tokens":29},"cached_tokens":1040}`:                                                                              {Input: 1442, CachedRead: 1040, Output: 29},
	} {
		if got, ok := ParseUsage([]byte(in)); !ok || got != want {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{``, `null`, `{}`, `[]`, `{"prompt_tokens":1}`, `{"billed_units":{"search_units":-1}}`, `{"tokens":{"input_tokens":-1}}`, `{"tokens":{"input_tokens":1e300}}`} {
		if u, ok := ParseUsage([]byte(in)); ok {
			t.Errorf("%s: got %+v", in, u)
		}
	}
}
