package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func ptr[T any](v T) *T { return &v }

func text(s string) llm.Block { return llm.Block{Kind: llm.BlockText, Text: s} }

func said1(role llm.Role, blocks ...llm.Block) llm.Message {
	return llm.Message{Role: role, Blocks: blocks}
}

func ask(blocks ...llm.Block) []llm.Message {
	return []llm.Message{said1(llm.RoleUser, blocks...)}
}

var (
	hello          = ask(text("hello"))
	schema         = []byte(`{"type":"object","properties":{"city":{"type":"string","minLength":1}},"required":["city"]}`)
	weather        = llm.Tool{Name: "weather", Description: "tells it", Schema: schema}
	sealed         = llm.Block{Kind: llm.BlockThinking, Text: "hm", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "c2ln"}}
	foreignThought = llm.Block{Kind: llm.BlockThinking, Text: "hm", ID: "rs_1", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "ZW5j"}}
	hidden         = llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "cmVk", Redacted: true}}
	called         = llm.Block{Kind: llm.BlockCall, ID: "call_1", Name: "weather", Text: `{"city":"Oslo"}`}
	result         = llm.Block{Kind: llm.BlockResult, ID: "call_1", Result: []llm.Block{text("rain")}}
)

const (
	sonnet37 = "claude-3-7-sonnet-20250219"
	sonnet45 = "claude-sonnet-4-5"
	sonnet46 = "claude-sonnet-4-6"
	opus48   = "claude-opus-4-8"
	sonnet55 = "claude-sonnet-5-5"
)

type encodeCase struct {
	name string
	chat llm.Chat
	to   wire.Target
}

func encodeCases() []encodeCase {
	loop := []llm.Message{said1(llm.RoleUser, text("weather?")), said1(llm.RoleAssistant, called), said1(llm.RoleUser, result)}
	thought := []llm.Message{loop[0], said1(llm.RoleAssistant, sealed, called), loop[2]}
	return []encodeCase{
		{"least", llm.Chat{Messages: hello}, wire.Target{Model: sonnet45}},
		{"limit of the model", llm.Chat{Messages: hello, MaxOutput: 90000}, wire.Target{Model: sonnet45, MaxOutput: 64000, Stream: true}},
		{"vertex", llm.Chat{Messages: hello, MaxOutput: 10}, wire.Target{Model: sonnet45, Dialect: Vertex, Stream: true}},
		{"scalars", llm.Chat{Messages: hello, Temperature: ptr(1.5), TopP: ptr(0.5), TopK: ptr(int64(40)), Stop: []string{"END", " \n"}, User: "u1",
			Tier: "default", Seed: ptr(int64(1)), FrequencyPenalty: ptr(0.5), PresencePenalty: ptr(0.0), CacheKey: "k", Verbosity: "low", Store: ptr(false),
			Metadata: []llm.Pair{{Name: "a", Value: "b"}}}, wire.Target{Model: sonnet37}},
		{"one sampler", llm.Chat{Messages: hello, Temperature: ptr(0.5), TopP: ptr(0.5)}, wire.Target{Model: sonnet45}},
		{"default samplers", llm.Chat{Messages: hello, Temperature: ptr(1.0), TopP: ptr(1.0), Tier: "flex"}, wire.Target{Model: opus48}},
		{"no samplers", llm.Chat{Messages: hello, Temperature: ptr(0.0), TopP: ptr(0.1), TopK: ptr(int64(1))}, wire.Target{Model: opus48}},
		{"left hint", llm.Chat{Messages: hello, Left: []llm.Left{{Name: "logit_bias"}}}, wire.Target{Model: sonnet45}},
		{"left must", llm.Chat{Messages: hello, Left: []llm.Left{{Name: "modalities", Must: true}}}, wire.Target{Model: sonnet45}},
		{"logprobs", llm.Chat{Messages: hello, LogProbs: true}, wire.Target{Model: sonnet45}},
		{"turns", llm.Chat{Messages: []llm.Message{
			said1(llm.RoleSystem, text("one")), said1(llm.RoleSystem, text(""), text("two")), said1(llm.RoleAssistant, text("first")),
			said1(llm.RoleUser, text("a")), said1(llm.RoleUser, text(""), text("b")), said1(llm.RoleSystem, text("now be brief")), said1(llm.RoleAssistant, text(" ok \n")),
		}}, wire.Target{Model: sonnet45}},
		{"system turn", llm.Chat{Messages: []llm.Message{said1(llm.RoleUser, text("a")), said1(llm.RoleSystem, text("be brief"))}}, wire.Target{Model: opus48}},
		{"system turn that has no place", llm.Chat{Messages: []llm.Message{
			said1(llm.RoleUser, text("a")), said1(llm.RoleAssistant, text("b")), said1(llm.RoleSystem, text("be brief")), said1(llm.RoleUser, text("c")),
		}}, wire.Target{Model: opus48}},
		{"only system", llm.Chat{Messages: []llm.Message{said1(llm.RoleSystem, text("say hi"))}}, wire.Target{Model: sonnet45}},
		{"cache", llm.Chat{Messages: []llm.Message{
			said1(llm.RoleSystem, llm.Block{Text: "long", Cache: llm.CacheHour}, text("short")), said1(llm.RoleUser, llm.Block{Text: "q", Cache: llm.CacheShort}),
		}, Tools: []llm.Tool{{Name: "weather", Schema: schema, Cache: llm.CacheShort}}}, wire.Target{Model: sonnet45}},
		{"media", llm.Chat{Messages: ask(
			llm.Block{Kind: llm.BlockImage, Media: &llm.Media{Data: "iVBORw0KGgoAAAANSUhEUg==", Detail: "high"}},
			llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com/a.png"}},
			llm.Block{Kind: llm.BlockFile, Name: "a.pdf", Media: &llm.Media{MIME: "application/pdf", Data: "JVBERi0="}},
			llm.Block{Kind: llm.BlockFile, Name: "a.txt", Media: &llm.Media{MIME: "text/plain", Data: "aGk="}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{Text: "plain"}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{URL: "https://example.com/a.pdf"}},
			llm.Block{Kind: llm.BlockFile, Media: &llm.Media{FileID: "file_01"}},
		)}, wire.Target{Model: sonnet45}},
		{"audio", llm.Chat{Messages: ask(llm.Block{Kind: llm.BlockAudio, Media: &llm.Media{MIME: "audio/wav", Data: "aGk="}})}, wire.Target{Model: sonnet45}},
		{"a file of another vendor", llm.Chat{Messages: ask(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{FileID: "file-01"}})}, wire.Target{Model: sonnet45}},
		{"a file that is not read", llm.Chat{Messages: ask(llm.Block{Kind: llm.BlockFile, Media: &llm.Media{MIME: "application/zip", Data: "UEsDBP8="}})}, wire.Target{Model: sonnet45}},
		{"tool loop", llm.Chat{Messages: []llm.Message{
			said1(llm.RoleUser, text("weather?")),
			said1(llm.RoleAssistant, text("let me see"), called, llm.Block{Kind: llm.BlockCall, ID: "fc.2/x", Name: "get weather!", Text: ""}),
			said1(llm.RoleUser, text("here:"), result),
			said1(llm.RoleUser, llm.Block{Kind: llm.BlockResult, ID: "fc.2/x", Failed: true, Result: []llm.Block{text("no"), {Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "iVBORw0KGgo="}}}}),
		}, Tools: []llm.Tool{weather, {Name: "get weather!"}}, Choice: llm.Choice{Mode: llm.ChoiceAuto}, Serial: true}, wire.Target{Model: sonnet45}},
		{"ids used again", llm.Chat{Messages: []llm.Message{
			loop[0], said1(llm.RoleAssistant, called), said1(llm.RoleUser, result), said1(llm.RoleAssistant, called), said1(llm.RoleUser, result),
		}, Tools: []llm.Tool{weather}}, wire.Target{Model: sonnet45}},
		{"broken arguments", llm.Chat{Messages: []llm.Message{loop[0], said1(llm.RoleAssistant, llm.Block{Kind: llm.BlockCall, ID: "call_1", Name: "weather", Text: `{"city":`}), loop[2]},
			Tools: []llm.Tool{weather}}, wire.Target{Model: sonnet45}},
		{"tools of the history", llm.Chat{Messages: loop, Choice: llm.Choice{Mode: llm.ChoiceAny}}, wire.Target{Model: sonnet45}},
		{"one tool", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"weather"}}, Serial: true}, wire.Target{Model: sonnet45}},
		{"some tools", llm.Chat{Messages: hello, Tools: []llm.Tool{weather, {Name: "b"}, {Name: "c"}}, Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"weather", "c"}}}, wire.Target{Model: sonnet45}},
		{"no tool", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceNone}, Serial: true}, wire.Target{Model: sonnet45}},
		{"a tool that cannot be forced", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}}, wire.Target{Model: sonnet55}},
		{"kinds of tools", llm.Chat{Messages: []llm.Message{
			loop[0], said1(llm.RoleAssistant, llm.Block{Kind: llm.BlockCall, Custom: true, ID: "c1", Name: "patch", Text: "*** \"x\""}),
			said1(llm.RoleUser, llm.Block{Kind: llm.BlockResult, ID: "c1", Result: []llm.Block{text("done")}}),
		}, Tools: []llm.Tool{
			{Kind: llm.ToolCustom, Name: "patch", Description: "patches", Grammar: []byte(`{"type":"grammar"}`)},
			{Kind: llm.ToolSearch},
			{Name: "strict", Schema: []byte(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`), Strict: ptr(true)},
			{Name: "loose", Schema: schema, Strict: ptr(true)},
			{Name: "bare"}, {Name: "untyped", Schema: []byte(`{"properties":{}}`)},
		}}, wire.Target{Model: sonnet45}},
		{"json object", llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatJSON}}, wire.Target{Model: sonnet45}},
		{"schema", llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatSchema, Name: "city", Schema: schema}}, wire.Target{Model: sonnet45}},
		{"schema by a tool", llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatSchema, Name: "city", Schema: schema}}, wire.Target{Model: sonnet37}},
		{"schema by a tool among others", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Format: llm.Format{Kind: llm.FormatSchema, Name: "weather", Schema: schema},
			Reasoning: llm.Reasoning{Effort: "high"}}, wire.Target{Model: sonnet37}},
		{"schema of any names", llm.Chat{Messages: hello, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object","additionalProperties":{"type":"string"}}`)}}, wire.Target{Model: sonnet45}},
		{"schema by asking", llm.Chat{Messages: []llm.Message{said1(llm.RoleSystem, text("be kind")), hello[0]}, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"array"}`)}}, wire.Target{Model: sonnet37}},
		{"effort as budget", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "high"}}, wire.Target{Model: sonnet45}},
		{"effort in a given bound", llm.Chat{Messages: hello, MaxOutput: 4000, Reasoning: llm.Reasoning{Effort: "high"}}, wire.Target{Model: sonnet45, MaxOutput: 64000}},
		{"no room to think", llm.Chat{Messages: hello, MaxOutput: 1000, Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet45}},
		{"budget above the bound", llm.Chat{Messages: hello, MaxOutput: 3000, Reasoning: llm.Reasoning{Budget: 8000}}, wire.Target{Model: sonnet45}},
		{"budget where it is still taken", llm.Chat{Messages: hello, MaxOutput: 3000, Reasoning: llm.Reasoning{Budget: 1024}}, wire.Target{Model: sonnet46}},
		{"effort where both are taken", llm.Chat{Messages: hello, MaxOutput: 3000, Reasoning: llm.Reasoning{Effort: "xhigh", Summary: "auto"}}, wire.Target{Model: sonnet46}},
		{"adaptive", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "minimal", Summary: "auto"}, Format: llm.Format{Kind: llm.FormatSchema, Schema: schema}}, wire.Target{Model: opus48}},
		{"budget as effort", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Budget: 20000}}, wire.Target{Model: opus48}},
		{"as much as it likes", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Budget: -1}}, wire.Target{Model: opus48}},
		{"no thinking", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "none"}}, wire.Target{Model: sonnet45}},
		{"no thinking where it is the rule", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "none"}}, wire.Target{Model: "claude-opus-5"}},
		{"no thinking where it must be", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "none"}}, wire.Target{Model: "claude-fable-5"}},
		{"little thinking where it must be", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "none"}}, wire.Target{Model: sonnet55}},
		{"a model that does not think", llm.Chat{Messages: hello, Reasoning: llm.Reasoning{Effort: "high"}}, wire.Target{Model: "claude-3-5-haiku-20241022"}},
		{"thinking or temperature", llm.Chat{Messages: hello, Temperature: ptr(0.2), Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet45}},
		{"thinking and no temperature", llm.Chat{Messages: hello, Temperature: ptr(0.2), Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: opus48}},
		{"thinking or a forced tool", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}, Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet45}},
		{"adaptive thinking and a forced tool", llm.Chat{Messages: hello, Tools: []llm.Tool{weather}, Choice: llm.Choice{Mode: llm.ChoiceAny}, Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet46}},
		{"thinking in a tool loop", llm.Chat{Messages: thought, Tools: []llm.Tool{weather}, Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet45}},
		{"a tool loop without its thinking", llm.Chat{Messages: loop, Tools: []llm.Tool{weather}, Reasoning: llm.Reasoning{Effort: "low"}}, wire.Target{Model: sonnet45}},
		{"seals", llm.Chat{Messages: []llm.Message{hello[0], said1(llm.RoleAssistant, hidden, sealed, foreignThought, llm.Block{Kind: llm.BlockThinking, Text: "bare"}, text("hi")), hello[0]}}, wire.Target{Model: sonnet45}},
		{"what only others can say", llm.Chat{Messages: []llm.Message{hello[0], said1(llm.RoleAssistant,
			llm.Block{Kind: llm.BlockHosted, Name: "server_tool_use", Text: `{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}`},
			llm.Block{Kind: llm.BlockHosted, Name: "web_search_call", Text: `{}`}, llm.Block{Kind: llm.BlockRefusal, Text: "no"},
			llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com/a.png"}}), hello[0]}}, wire.Target{Model: sonnet45}},
		{"a model of another maker", llm.Chat{Messages: hello, Temperature: ptr(0.5), TopP: ptr(0.5), Reasoning: llm.Reasoning{Effort: "none"},
			Format: llm.Format{Kind: llm.FormatSchema, Schema: schema}}, wire.Target{Model: "kimi-k2"}},
	}
}

// What a neutral chat is for a vendor.
func TestEncode(t *testing.T) {
	var out bytes.Buffer
	for _, c := range encodeCases() {
		fmt.Fprintf(&out, "== %s (%s)\n", c.name, c.to.Model)
		call, err := Codec{}.Encode(&c.chat, c.to)
		if err != nil {
			fmt.Fprintf(&out, "%s\n\n", err.Error())
			continue
		}
		if !json.Valid(call.Body) {
			t.Errorf("%s: not JSON: %s", c.name, call.Body)
		}
		out.Write(call.Body)
		if len(call.Lossy) > 0 {
			fmt.Fprintf(&out, "\nlossy %s", strings.Join(call.Lossy, ", "))
		}
		for _, sent := range slices.Sorted(keys(call.Names)) {
			fmt.Fprintf(&out, "\nname %s: %s", sent, call.Names[sent])
		}
		for _, sent := range slices.Sorted(keys(call.Custom)) {
			fmt.Fprintf(&out, "\ncustom %s", sent)
		}
		if call.FormatTool != "" {
			fmt.Fprintf(&out, "\nformat tool %s", call.FormatTool)
		}
		fmt.Fprint(&out, "\n\n")
	}
	recorded.Golden(t, "encode.golden", out.Bytes())
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func replies() map[string]*llm.Reply {
	one := func(stop llm.Stop, blocks ...llm.Block) *llm.Reply {
		return &llm.Reply{ID: "msg_1", Model: "gpt-5", Answers: []llm.Answer{{Blocks: blocks, Stop: stop}}}
	}
	cited := text("it rains")
	cited.Cites = []llm.Cite{{URL: "https://example.com", Title: "Weather", Quote: "rain"}, {Title: "doc", Quote: "rain"}}
	full := one(llm.StopTools, foreignThought, text("let me see"), called, llm.Block{Kind: llm.BlockCall, ID: "call_2", Name: "now"})
	full.Usage = &llm.Usage{Input: 30, CachedRead: 8, CacheWrite: 6, CacheWrite1h: 2, Output: 15, Reasoning: 5, Searches: 1}
	stop := one(llm.StopSequence, text("x"))
	stop.Answers[0].Sequence = "END"
	return map[string]*llm.Reply{
		"1 everything":         full,
		"2 nothing":            {},
		"3 sequence":           stop,
		"4 refusal":            one(llm.StopEnd, llm.Block{Kind: llm.BlockRefusal, Text: "I won't"}),
		"5 filter":             one(llm.StopFilter),
		"6 pause":              one(llm.StopPause, text("…")),
		"7 context":            one(llm.StopContext, text("…")),
		"8 length":             one(llm.StopLength, text("a\u2028b\n\"")),
		"9 own seals":          one(llm.StopEnd, sealed, hidden, llm.Block{Kind: llm.BlockThinking, Text: "bare"}, text("x")),
		"a seal only":          one(llm.StopTools, llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "Z2Vt"}}, called),
		"b sources":            one(llm.StopEnd, cited),
		"c stop, tools":        one(llm.StopEnd, called),
		"d broken":             one(llm.StopTools, llm.Block{Kind: llm.BlockCall, ID: "c", Name: "n", Text: `{"a":`}),
		"e custom":             one(llm.StopTools, llm.Block{Kind: llm.BlockCall, ID: "c", Name: "n", Custom: true, Text: "a\nb"}),
		"f hosted":             one(llm.StopEnd, llm.Block{Kind: llm.BlockHosted, Name: "server_tool_use", Text: `{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}`}, llm.Block{Kind: llm.BlockHosted, Name: "web_search_call", Text: "{}"}, text("x")),
		"g empty text":         one(llm.StopEnd, text(""), text("x"), text("")),
		"h two answers":        {Answers: []llm.Answer{{Blocks: []llm.Block{text("a")}, Stop: llm.StopEnd}, {Blocks: []llm.Block{text("b")}, Stop: llm.StopEnd}}},
		"i not UTF-8":          one(llm.StopEnd, text("a\xffb")),
		"k last seal":          one(llm.StopEnd, foreignThought, text("x"), llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "Z2Vt"}}),
		"l seal before a call": one(llm.StopTools, text("x"), llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "Z2Vt"}}, called),
		"j picture":            one(llm.StopEnd, llm.Block{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://example.com"}}, text("x")),
	}
}

// What a neutral answer is for a client, whole and streamed.
func TestReplyToClient(t *testing.T) {
	req := &llm.Request{ID: "01REQ", Model: "smart"}
	var whole, stream bytes.Buffer
	all := replies()
	for _, name := range slices.Sorted(keys(all)) {
		r := all[name]
		fmt.Fprintf(&whole, "== %s\n", name)
		b := Codec{}.AppendReply(nil, req, r)
		if !json.Valid(b) {
			t.Errorf("%s: not JSON: %s", name, b)
		}
		fmt.Fprintf(&whole, "%s\n\n", b)
		enc := Codec{}.Encoder(req)
		fmt.Fprintf(&stream, "== %s\n%s", name, enc.End(enc.Events(nil, r.Events(nil))))
	}
	recorded.Golden(t, "reply.golden", whole.Bytes())
	recorded.Golden(t, "stream.golden", stream.Bytes())
}
