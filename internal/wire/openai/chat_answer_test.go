package openai

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// foreignReply is an answer that only other protocols give.
func foreignReply() *llm.Reply {
	return &llm.Reply{
		ID: "msg_1", Model: "claude", Created: 1700000000,
		Answers: []llm.Answer{
			{Blocks: []llm.Block{
				{Kind: llm.BlockThinking, Text: "hm", ID: "t", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "sig"}},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "red", Redacted: true}},
				{Kind: llm.BlockText, Text: "héllo "},
				{Kind: llm.BlockText, Text: "wörld", Cites: []llm.Cite{{URL: "https://x", Title: "X", Start: 0, End: 5}, {Title: "a document"}}},
				{Kind: llm.BlockHosted, Text: "{}"},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "g"}},
				{Kind: llm.BlockCall, ID: "c1", Name: "f"},
				{Kind: llm.BlockCall, ID: "c2", Name: "f", Text: `{"a":"\u2028"}`},
				{Kind: llm.BlockCall, ID: "c3", Name: "c", Custom: true, Text: "in"},
			}, Stop: llm.StopTools},
			{Blocks: []llm.Block{{Kind: llm.BlockRefusal, Text: "no"}}, Stop: llm.StopRefusal},
			{Blocks: []llm.Block{{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/webp", Data: "aGk="}}}, Stop: llm.StopContext},
			{},
		},
		Usage: &llm.Usage{Input: 20, CachedRead: 8, CacheWrite: 4, CacheWrite1h: 1, AudioInput: 2, Output: 15, Reasoning: 5, AudioOutput: 1, ImageOutput: 3, Searches: 2, Tier: llm.TierFlex},
	}
}

func TestAppendReply(t *testing.T) {
	req := &llm.Request{ID: "req", Model: "m"}
	recorded.Golden(t, "reply.json", Codec{}.AppendReply(nil, req, foreignReply()))
	r := foreignReply()
	r.ID, r.Model, r.Usage = "", "", nil
	r.Answers = r.Answers[1:2]
	recorded.Golden(t, "reply-bare.json", Codec{}.AppendReply(nil, req, r))
	recorded.Golden(t, "completion.json", Completions{}.AppendReply(nil, req, foreignReply()))
}

func TestEncoder(t *testing.T) {
	for name, c := range map[string]wire.Client{"stream": Codec{}, "completions": Completions{}} {
		for _, asked := range []bool{false, true} {
			e := c.Encoder(&llm.Request{ID: "req", Model: "m", WantUsage: asked})
			out := e.End(e.Events(nil, foreignReply().Events(nil)))
			file := name
			if asked {
				file += "-usage"
			}
			recorded.Golden(t, file+".sse", out)
			if name == "stream" {
				strict(t, file, out, asked)
			}
		}
	}
	e := Codec{}.Encoder(&llm.Request{ID: "req", Model: "m"})
	out := e.Events(nil, foreignReply().Events(nil)[:4])
	if out = e.Fail(out, &llm.Error{Kind: llm.KindUpstream, Message: "broke"}); bytes.Contains(out, []byte("[DONE]")) || !bytes.HasSuffix(out, []byte(`"code":"upstream_error"}}`+"\n\n")) {
		t.Errorf("a failure ends with %s", out)
	}
}

// What a client got and sends back comes to its maker byte by byte, whether
// it came whole or streamed.
func TestSealsComeBack(t *testing.T) {
	want := foreignReply().Answers[0].Blocks
	var seals []llm.Block
	for _, b := range want {
		if b.Kind == llm.BlockThinking {
			seals = append(seals, b)
		}
	}
	whole := Codec{}.AppendReply(nil, &llm.Request{}, foreignReply())
	i, j := bytes.Index(whole, []byte(`{"role"`)), bytes.Index(whole, []byte(`,"logprobs"`))
	e := Codec{}.Encoder(&llm.Request{})
	streamed := e.End(e.Events(nil, foreignReply().Events(nil)))
	for name, message := range map[string]string{"whole": string(whole[i:j]), "streamed": gather(t, streamed)} {
		c, err := Codec{}.Chat([]byte(`{"messages":[` + message + `]}`))
		if err != nil {
			t.Fatalf("%s: %v in %s", name, err, message)
		}
		var got []llm.Block
		blocks := c.Messages[0].Blocks
		for i, b := range blocks {
			if b.Kind != llm.BlockThinking {
				continue
			}
			got = append(got, b)
			if b.Seal.Maker == llm.ProtoGemini && blocks[i+1].ID != "c1" {
				t.Errorf("%s: Gemini's seal stands before %+v", name, blocks[i+1])
			}
		}
		if !reflect.DeepEqual(got, seals) {
			t.Errorf("%s: %+v, want %+v", name, got, seals)
		}
	}
}

// gather makes a message of a stream's first answer as clients do.
func gather(t *testing.T, b []byte) string {
	t.Helper()
	var details, calls []string
	text := ""
	for _, f := range frames(t, b) {
		s := string(f)
		if !strings.Contains(s, `"choices":[{"index":0,`) {
			continue
		}
		if _, d, ok := strings.Cut(s, `"reasoning_details":[`); ok {
			d, _, _ = strings.Cut(d, `]},"logprobs"`)
			details = append(details, d)
		}
		if _, d, ok := strings.Cut(s, `"tool_calls":[`); ok && strings.Contains(d, `"id"`) {
			d, _, _ = strings.Cut(d, `]},"logprobs"`)
			calls = append(calls, d)
		}
	}
	return `{"role":"assistant","content":"` + text + `","reasoning_details":[` + strings.Join(details, ",") + `],"tool_calls":[` + strings.Join(calls, ",") + `]}`
}

func run(t *testing.T, call *wire.Call, data ...string) (*llm.Reply, bool, *llm.Error) {
	t.Helper()
	d := Codec{}.Decoder(call)
	var events []llm.Event
	for _, s := range data {
		name := ""
		if strings.HasPrefix(s, "!") {
			name, s = "error", s[1:]
		}
		var err *llm.Error
		if events, err = d.Event(events, wire.Frame{Name: name, Data: []byte(s)}); err != nil {
			return recorded.Reply(events), false, err
		}
	}
	events, whole := d.End(events)
	recorded.Lawful(t, strings.Join(data, " "), events)
	return recorded.Reply(events), whole, nil
}

// d is a chunk with a delta of one answer.
func d(delta string) string {
	return `{"id":"i","model":"m","created":5,"choices":[{"index":0,"delta":{` + delta + `}}]}`
}

// fin is a chunk with a finish reason.
func fin(reason string) string {
	return `{"choices":[{"index":0,"delta":{},"finish_reason":"` + reason + `"}]}`
}

func TestDecoder(t *testing.T) {
	call := func(id, name, args string) llm.Block {
		return llm.Block{Kind: llm.BlockCall, ID: id, Name: name, Text: args}
	}
	txt := func(s string) llm.Block { return llm.Block{Text: s} }
	think := func(s string) llm.Block { return said1(llm.BlockThinking, s) }
	google := llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "g"}}
	for _, x := range []struct {
		name string
		in   []string
		want []llm.Block
		stop llm.Stop
	}{
		{"text", []string{d(`"role":"assistant","content":""`), d(`"content":"a"`), d(`"content":"b"`), fin("stop"), "[DONE]"}, []llm.Block{txt("ab")}, llm.StopEnd},
		{"no [DONE]", []string{d(`"content":"a"`), fin("length")}, []llm.Block{txt("a")}, llm.StopLength},
		{"[DONE] without a reason", []string{d(`"content":"a"`), "[DONE]"}, []llm.Block{txt("a")}, llm.StopEnd},
		{"[DONE] after a call without a reason", []string{d(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"}}]`), "[DONE]"}, []llm.Block{call("1", "f", "{}")}, llm.StopTools},
		{"two reasons", []string{d(`"content":"a"`), fin("stop"), fin("length"), d(`"content":"late"`)}, []llm.Block{txt("a")}, llm.StopEnd},
		{"thinking", []string{d(`"reasoning_content":"t","content":null`), d(`"reasoning":"u"`), d(`"content":"a"`), fin("stop")}, []llm.Block{think("tu"), txt("a")}, llm.StopEnd},
		{"Mistral's thinking", []string{d(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]`), d(`"content":[{"type":"thinking","thinking":"u","closed":true},{"type":"text","text":"a"}]`), fin("model_length")}, []llm.Block{think("tu"), txt("a")}, llm.StopContext},
		{"sealed thinking", []string{d(`"reasoning":"t","reasoning_details":[{"type":"reasoning.text","text":"t","format":"anthropic-claude-v1","index":0}]`),
			d(`"reasoning_details":[{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":0}]`),
			d(`"reasoning_details":[{"type":"reasoning.encrypted","data":"d","format":"anthropic-claude-v1","index":1}]`), d(`"content":"a"`), fin("stop")},
			[]llm.Block{{Kind: llm.BlockThinking, Text: "t", Seal: llm.Seal{Maker: llm.ProtoOpenAI, Data: `{"type":"reasoning.text","format":"anthropic-claude-v1","signature":"s","index":0}`}},
				{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoOpenAI, Data: `{"type":"reasoning.encrypted","format":"anthropic-claude-v1","data":"d","index":1}`, Redacted: true}}, txt("a")}, llm.StopEnd},
		{"interleaved calls", []string{d(`"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":""}},{"index":1,"id":"2","function":{"name":"g"}}]`),
			d(`"tool_calls":[{"index":1,"function":{"arguments":"{\"b\""}},{"index":0,"function":{"arguments":"{}"}}]`), d(`"tool_calls":[{"index":1,"function":{"arguments":":1}"}}]`), fin("tool_calls")},
			[]llm.Block{call("1", "f", "{}"), call("2", "g", `{"b":1}`)}, llm.StopTools},
		{"calls without index", []string{d(`"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{"}}]`), d(`"tool_calls":[{"function":{"arguments":"}"}}]`), d(`"tool_calls":[{"id":"2","function":{"name":"f","arguments":"{}"}}]`), fin("stop")},
			[]llm.Block{call("1", "f", "{}"), call("2", "f", "{}")}, llm.StopTools},
		{"whole calls of one index", []string{d(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"}}]`), d(`"tool_calls":[{"index":0,"id":"2","function":{"name":"g","arguments":{"a":1}}}]`), fin("tool_use")},
			[]llm.Block{call("1", "f", "{}"), call("2", "g", `{"a":1}`)}, llm.StopTools},
		{"an id in every piece", []string{d(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{"}}]`), d(`"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":null,"arguments":"}"}}]`), fin("tool_calls")},
			[]llm.Block{call("1", "f", "{}")}, llm.StopTools},
		{"a name after its arguments", []string{d(`"tool_calls":[{"index":0,"id":"1","function":{"arguments":"{"}}]`), d(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]`), fin("tool_calls")},
			[]llm.Block{call("1", "f", "{}")}, llm.StopTools},
		{"a custom call", []string{d(`"tool_calls":[{"index":0,"id":"1","type":"custom","custom":{"name":"c","input":"x"}}]`), d(`"tool_calls":[{"index":0,"custom":{"input":"y"}}]`), fin("tool_calls")},
			[]llm.Block{{Kind: llm.BlockCall, ID: "1", Name: "c", Custom: true, Text: "xy"}}, llm.StopTools},
		{"a call with every member", []string{d(`"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":"{}"},"custom":{"name":"","input":""}}]`), fin("tool_calls")},
			[]llm.Block{call("1", "f", "{}")}, llm.StopTools},
		{"Google's seal", []string{d(`"content":"a"`), d(`"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}}]`), fin("stop")},
			[]llm.Block{txt("a"), google, call("1", "f", "{}")}, llm.StopTools},
		{"refusal", []string{d(`"refusal":"n"`), d(`"refusal":"o"`), fin("stop")}, []llm.Block{said1(llm.BlockRefusal, "no")}, llm.StopRefusal},
		{"citations", []string{`{"choices":[{"index":0,"delta":{"content":"a"}}],"citations":["https://x"]}`, `{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],"search_results":[{"url":"https://x","title":"X","snippet":"q"}]}`},
			[]llm.Block{{Text: "ab", Cites: []llm.Cite{{URL: "https://x", Title: "X", Quote: "q"}}}}, llm.StopEnd},
		{"annotations", []string{d(`"content":"a"`), d(`"annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"X","start_index":1,"end_index":2}}]`), fin("stop")},
			[]llm.Block{{Text: "a", Cites: []llm.Cite{{URL: "https://x", Title: "X", Start: 1, End: 2}}}}, llm.StopEnd},
		{"spoken", []string{d(`"audio":{"id":"a","transcript":"he"}`), d(`"audio":{"transcript":"y"}`), fin("stop")}, []llm.Block{txt("hey")}, llm.StopEnd},
		{"a picture", []string{d(`"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]`), fin("stop")}, []llm.Block{{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}}}, llm.StopEnd},
		{"nothing", []string{`{"choices":[]}`, fin("content_filter")}, nil, llm.StopFilter},
		{"a message beside the delta", []string{`{"choices":[{"index":0,"delta":{"content":"a"},"message":{"content":"a"}}]}`, `{"choices":[{"index":0,"delta":{"content":"b"},"message":{"content":"ab"},"finish_reason":"stop"}]}`}, []llm.Block{txt("ab")}, llm.StopEnd},
		{"lone surrogates", []string{d(`"content":"\ud800a"`), fin("stop")}, []llm.Block{txt("\ufffda")}, llm.StopEnd},
	} {
		r, whole, err := run(t, &wire.Call{}, x.in...)
		if err != nil || !whole || len(r.Answers) != 1 {
			t.Errorf("%s: %d answers, whole %v, %v", x.name, len(r.Answers), whole, err)
			continue
		}
		if !reflect.DeepEqual(r.Answers[0].Blocks, x.want) || r.Answers[0].Stop != x.stop {
			t.Errorf("%s: stop %d, %+v\nwant %d, %+v", x.name, r.Answers[0].Stop, r.Answers[0].Blocks, x.stop, x.want)
		}
	}
}

// Legacy and nameless calls get ids, each its own.
func TestDecoderMakesIDs(t *testing.T) {
	r, _, _ := run(t, &wire.Call{}, d(`"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}]`), d(`"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}]`), fin("stop"))
	b := r.Answers[0].Blocks
	if len(b) != 2 || b[0].ID == "" || b[0].ID == b[1].ID {
		t.Errorf("%+v", b)
	}
	r, _, _ = run(t, &wire.Call{}, d(`"function_call":{"name":"f","arguments":""}`), d(`"function_call":{"arguments":"{}"}`), fin("function_call"))
	if b := r.Answers[0].Blocks; len(b) != 1 || b[0].ID == "" || b[0].Name != "f" || b[0].Text != "{}" || r.Answers[0].Stop != llm.StopTools {
		t.Errorf("%+v", r.Answers)
	}
}

func TestDecoderEnds(t *testing.T) {
	for _, x := range []struct {
		name string
		in   []string
		kind llm.Kind // 0: no error, and not whole
		msg  string
	}{
		{"cut", []string{d(`"content":"a"`)}, 0, ""},
		{"nothing", nil, 0, ""},
		{"nothing but [DONE]", []string{"[DONE]"}, 0, ""},
		{"one of two", []string{d(`"content":"a"`), `{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}`}, 0, ""},
		{"no chunk", []string{`[1]`}, llm.KindUpstream, "the vendor's answer could not be understood"},
		{"an error", []string{d(`"content":"a"`), `{"error":{"message":"secret","code":500}}`}, llm.KindUpstream, "the vendor reported an error"},
		{"the caller's error", []string{`{"error":{"message":"too long","code":"context_length_exceeded"}}`}, llm.KindContextLength, "too long"},
		{"an error event", []string{`!{"message":"slow","type":"rate_limit_error"}`}, llm.KindRateLimited, "the vendor asks to slow down"},
		{"an error event with error", []string{`!{"error":{"message":"bad","type":"invalid_request_error"}}`}, llm.KindCaller, "bad"},
		{"a text", []string{`{"error":"secret"}`}, llm.KindUpstream, "the vendor reported an error"},
		{"an error of a choice", []string{`{"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"code":429,"message":"secret"}}]}`}, llm.KindRateLimited, "the vendor asks to slow down"},
		{"out of means", []string{d(`"content":"a"`), fin("insufficient_system_resource")}, llm.KindUpstream, "the vendor broke the answer off"},
		{"a key", []string{`{"error":{"message":"secret","code":401}}`}, llm.KindCredential, "the vendor refused the gateway's credential"},
	} {
		_, whole, err := run(t, &wire.Call{}, x.in...)
		switch {
		case whole:
			t.Errorf("%s: whole", x.name)
		case (err == nil) != (x.kind == 0):
			t.Errorf("%s: %v", x.name, err)
		case err != nil && (err.Kind != x.kind || err.Message != x.msg):
			t.Errorf("%s: %s: %q, want %s: %q", x.name, err.Kind, err.Message, x.kind, x.msg)
		}
	}
	c := &wire.Call{}
	if r, whole, err := run(t, c, d(`"content":"a"`), fin("because")); err != nil || !whole || r.Answers[0].Stop != llm.StopEnd || len(c.Lossy) != 1 {
		t.Errorf("an unknown reason: %+v, %v, %v, lost %v", r, whole, err, c.Lossy)
	}
}

func TestReplyRefuses(t *testing.T) {
	for body, kind := range map[string]llm.Kind{
		``: llm.KindUpstream, `{}`: llm.KindUpstream, `{"choices":[]}`: llm.KindUpstream, `{"choices":{}}`: llm.KindUpstream,
		`{"error":{"message":"m","code":"content_filter"}}`: llm.KindCaller, `{"error":null,"choices":[]}`: llm.KindUpstream,
		`{"choices":[{"message":null,"finish_reason":"error"}]}`: llm.KindUpstream,
	} {
		if r, err := (Codec{}).Reply(&wire.Call{}, []byte(body)); err == nil || err.Kind != kind {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
}

func TestParseUsageKinds(t *testing.T) {
	for in, want := range map[string]llm.Usage{
		`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":3,"cache_write_tokens":2,"image_tokens":1},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":1,"image_tokens":1}}`: {
			Input: 10, CachedRead: 4, CacheWrite: 2, AudioInput: 3, ImageInput: 1, Output: 5, Reasoning: 2, AudioOutput: 1, ImageOutput: 1},
		`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}`:                                               {Input: 10, Output: 12, Reasoning: 7},
		`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}`:                                         {Input: 10, CachedRead: 6, Output: 5},
		`{"prompt_tokens":11,"completion_tokens":15,"total_tokens":401,"prompt_audio_seconds":5,"prompt_tokens_details":{"audio_tokens":375},"service_tier":"flex"}`:    {Input: 386, AudioInput: 375, Output: 15, Tier: llm.TierFlex},
		`{"prompt_tokens":10,"completion_tokens":5,"num_search_queries":3,"citation_tokens":4,"reasoning_tokens":6,"total_tokens":15}`:                                  {Input: 10, Output: 15, Reasoning: 6, Citation: 4, Searches: 3},
		`{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":2,"cached_tokens":3,"server_tool_use_details":{"web_search_requests":1}}`:                         {Input: 10, CachedRead: 3, Output: 5, Reasoning: 2, Searches: 1},
		`{"prompt_tokens":10,"completion_tokens":5,"cache_creation_input_tokens":4,"cache_read_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":1}}`:       {Input: 10, CachedRead: 3, CacheWrite: 4, CacheWrite1h: 1, Output: 5},
		`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null,"num_cached_tokens":2,"prompt_token_details":[1,"2"]}`: {Input: 10, CachedRead: 2, Output: 5},
	} {
		if u, ok := ParseUsage([]byte(in)); !ok || u != want {
			t.Errorf("%s:\n%+v, %v, want\n%+v", in, u, ok, want)
		}
	}
}

func TestCompletionsChat(t *testing.T) {
	c, err := Completions{}.Chat([]byte(`{"model":"m","prompt":["hi"],"max_tokens":5,"echo":false,"best_of":1,"logprobs":null,"temperature":0.5,"stop":["x"],"odd":1}`))
	if err != nil {
		t.Fatal(err)
	}
	want := llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{{Text: "hi"}}}}, MaxOutput: 5, Temperature: ptr(0.5), Stop: []string{"x"}, N: 1, Left: []llm.Left{{Name: "odd"}}}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("%+v\nwant\n%+v", *c, want)
	}
	c, err = Completions{}.Chat([]byte(`{"prompt":"hi","suffix":"s","echo":true,"best_of":2,"logprobs":0}`))
	if err != nil || len(c.Left) != 4 || !c.Left[0].Must || !c.Left[3].Must {
		t.Errorf("%+v, %v", c, err)
	}
	for body, kind := range map[string]llm.Kind{
		`{}`: llm.KindInvalidRequest, `{"prompt":[1,2]}`: llm.KindInvalidRequest, `{"prompt":["a","b"]}`: llm.KindUnsupported, `{"prompt":[]}`: llm.KindUnsupported, `[]`: llm.KindInvalidRequest, `{`: llm.KindInvalidJSON,
	} {
		if c, err := (Completions{}).Chat([]byte(body)); err == nil || err.Kind != kind {
			t.Errorf("%s: %+v, %v", body, c, err)
		}
	}
}
