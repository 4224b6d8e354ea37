package responses

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

func pretty(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return append(out.Bytes(), '\n')
}

// asked is a client's request, of which the answer repeats parts.
var asked = &llm.Request{ID: "01ABC", Model: "m", Body: fixed(`{"model":"m","input":"hi","instructions":"be brief","max_output_tokens":99,"temperature":0.5,
	"metadata":{"a": "b"},"user":"u","tools":[{"name":"f","input_schema":{"type": "object"}},{"type":"custom","name":"g"},{"type":"web_search"}],
	"tool_choice":"required","text":{"format":{"type":"json_object"},"verbosity":"low"},"reasoning":{"effort":"low"},"parallel_tool_calls":false}`)}

// replies are whole answers, by name.
var replies = map[string]*llm.Reply{
	"text": {ID: "resp_1", Model: "gpt", Created: 1700000000, Usage: &llm.Usage{Input: 20, CachedRead: 8, Output: 15, Reasoning: 5, Searches: 2, Tier: llm.TierFlex},
		Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{
			{Kind: llm.BlockThinking, Text: "hm\u2028\"", ID: "rs_1", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "E"}},
			{Text: "see this", Cites: []llm.Cite{{URL: "https://x", Title: "X", Start: 0, End: 8}}}, {Text: "and that"}}}}},
	"tools": {Model: "claude", Created: 1700000000, Usage: &llm.Usage{Input: 1, Output: 2},
		Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{
			{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "S", Redacted: true}},
			{Text: "let me look"},
			{Kind: llm.BlockCall, ID: "c1", Name: "f", Text: `{"a":1}`}, {Kind: llm.BlockCall, ID: "c2", Name: "f"},
			{Kind: llm.BlockCall, ID: "c3", Name: "g", Text: "plain", Custom: true}}}, {Blocks: []llm.Block{{Text: "a second answer"}}}}},
	"length":  {ID: "r", Model: "m", Created: 1, Answers: []llm.Answer{{Stop: llm.StopLength, Blocks: []llm.Block{{Text: "cut"}}}}},
	"filter":  {ID: "r", Model: "m", Created: 1, Answers: []llm.Answer{{Stop: llm.StopFilter}}},
	"refusal": {ID: "r", Model: "m", Created: 1, Answers: []llm.Answer{{Stop: llm.StopRefusal, Blocks: []llm.Block{{Kind: llm.BlockRefusal, Text: "no"}}}}},
	"image": {ID: "r", Model: "m", Created: 1, Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{
		{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "QQ=="}}}}}},
	"pause": {ID: "r", Model: "m", Created: 1, Answers: []llm.Answer{{Stop: llm.StopPause, Blocks: []llm.Block{{Text: "on it"}}}}},
}

// first is a reply as this protocol can say it.
func first(r *llm.Reply) *llm.Reply {
	out := *r
	out.Answers = r.Answers[:1]
	if !strings.HasPrefix(out.ID, "resp_") { // another protocol's is no id of a response
		out.ID = "resp_" + asked.ID
	}
	if out.Usage == nil {
		out.Usage = &llm.Usage{}
	}
	return &out
}

func TestReplies(t *testing.T) {
	for name, r := range replies {
		t.Run(name, func(t *testing.T) {
			out := Codec{}.AppendReply(nil, asked, r)
			recorded.Golden(t, "reply_"+name+".json", pretty(t, out))
			back, err := Codec{}.Reply(nil, out)
			if err != nil {
				t.Fatal(err)
			}
			same(t, name, first(r), back)

			events := r.Events(nil)
			e := Codec{}.Encoder(asked)
			stream := e.End(e.Events(nil, events))
			recorded.Golden(t, "stream_"+name+".txt", stream)
			ordered(t, name, stream)
			again, whole, err := decode(nil, bytes.NewReader(stream))
			if err != nil || !whole {
				t.Fatal(whole, err)
			}
			same(t, name+" streamed", first(r), recorded.Reply(again))
			last := lastResponse(stream)
			if want := scan.Get(out, "output"); !bytes.Equal(scan.Get(last, "output"), want) {
				t.Errorf("output of the stream %s, of the answer %s", scan.Get(last, "output"), want)
			}
		})
	}
}

// lastResponse is the response in the last event of a stream.
func lastResponse(stream []byte) (last []byte) {
	for len(stream) > 0 {
		var ev []byte
		ev, stream = sse.Split(stream)
		data, _ := sse.Data(ev)
		last = scan.Get(data, "response")
	}
	return last
}

// Blocks that are open at the same time keep their items apart.
func TestInterleaved(t *testing.T) {
	e := Codec{}.Encoder(asked)
	call := func(i int) llm.Event {
		return llm.Event{Kind: llm.EventBlock, Index: i, Block: &llm.Block{Kind: llm.BlockCall, ID: "c" + string(rune('0'+i)), Name: "f"}}
	}
	delta := func(i int, s string) llm.Event { return llm.Event{Kind: llm.EventDelta, Index: i, Text: s} }
	end := func(i int) llm.Event { return llm.Event{Kind: llm.EventBlockEnd, Index: i} }
	events := []llm.Event{{Kind: llm.EventStart, ID: "r", Model: "m", Created: 1}, {Kind: llm.EventBlock, Index: 0, Block: &llm.Block{}}, delta(0, "a"),
		call(1), call(2), delta(1, "{"), delta(2, `{"b"`), delta(0, "b"), delta(1, "}"), end(1), delta(2, ":2}"), end(2), end(0), {Kind: llm.EventStop, Stop: llm.StopTools}}
	out := e.End(e.Events(nil, events))
	ordered(t, "interleaved", out)
	again, whole, err := decode(nil, bytes.NewReader(out))
	if err != nil || !whole {
		t.Fatal(whole, err)
	}
	got := recorded.Reply(again).Answers[0].Blocks
	if len(got) != 3 || got[0].Text != "ab" || got[1].Text != "{}" || got[2].Text != `{"b":2}` {
		t.Errorf("%+v", got)
	}
}

func TestFailures(t *testing.T) {
	bad := &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer broke off"}
	e := Codec{}.Encoder(asked)
	recorded.Golden(t, "fail_early.txt", e.Fail(nil, bad))
	e = Codec{}.Encoder(asked)
	out := e.Events(nil, []llm.Event{{Kind: llm.EventStart, ID: "r", Model: "m", Created: 1}, {Kind: llm.EventBlock, Block: &llm.Block{}}, {Kind: llm.EventDelta, Text: "half"}})
	out = e.Fail(out, bad)
	recorded.Golden(t, "fail_late.txt", out)
	if n := bytes.Count(out, []byte(`,"error":{"message":"the vendor's answer broke off","type":"server_error"`)); n != 1 {
		t.Errorf("%d errors that OpenAI's SDKs raise, want 1: %s", n, out)
	}
	if more := e.End(e.Fail(nil, bad)); len(more) > 0 {
		t.Errorf("after the failure: %s", more)
	}
	if _, _, err := decode(nil, bytes.NewReader(out)); err == nil || err.Kind != llm.KindUpstream {
		t.Errorf("read as %v", err)
	}
}

// stream makes a stream of data.
func stream(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("data: " + e + "\n\n")
	}
	return b.String()
}

func TestDecoder(t *testing.T) {
	created := `{"type":"response.created","response":{"id":"r","model":"m","created_at":7.5}}`
	text := llm.Block{Text: "hello"}
	usage := &llm.Usage{Input: 3, Output: 2}
	for _, c := range []struct {
		name   string
		stream string
		want   llm.Reply
		lossy  string
	}{
		{"deltas without a beginning", stream(`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hel"}`,
			`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"lo"}`, `{"type":"response.completed","response":{}}`),
			llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{text}, Stop: llm.StopEnd}}}, ""},
		{"the end alone", stream(created, `{"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hello"}]}],"usage":{"input_tokens":3,"output_tokens":2}}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Usage: usage, Answers: []llm.Answer{{Blocks: []llm.Block{text}, Stop: llm.StopEnd}}}, ""},
		{"only done", stream(created, `{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"hello"}`, `{"type":"response.completed","response":{"output":[]}}`, `[DONE]`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Blocks: []llm.Block{text}, Stop: llm.StopEnd}}}, ""},
		{"half of the deltas", stream(created, `{"type":"response.output_text.delta","output_index":0,"delta":"hel"}`, `{"type":"response.output_text.done","output_index":0,"text":"hello"}`, `{"type":"response.completed","response":{}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Blocks: []llm.Block{text}, Stop: llm.StopEnd}}}, ""},
		{"a call whose name comes late", stream(created, `{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call"}}`,
			`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"a\":1}"}`,
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"}}`, `{"type":"response.completed","response":{}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockCall, ID: "c", Name: "f", Text: `{"a":1}`}}, Stop: llm.StopTools}}}, ""},
		{"a call that comes whole, its arguments an object", stream(created, `{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"d","name":"f","arguments":{"b":2}}}`,
			`{"type":"response.completed","response":{}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockCall, ID: "d", Name: "f", Text: `{"b":2}`}}, Stop: llm.StopTools}}}, ""},
		{"summaries", stream(created, `{"type":"response.reasoning_summary_text.delta","output_index":0,"item_id":"rs","summary_index":0,"delta":"a"}`,
			`{"type":"response.reasoning_summary_text.delta","output_index":0,"item_id":"rs","summary_index":1,"delta":"b"}`,
			`{"type":"response.reasoning_text.delta","output_index":0,"item_id":"rs","content_index":0,"delta":"raw"}`,
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs2","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"E"}}`,
			`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "a\n\nb", ID: "rs2", Seal: llm.Seal{Maker: llm.ProtoResponses, Data: "E"}}}, Stop: llm.StopLength}}}, ""},
		{"a search with sources", stream(created, `{"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","action":{"type":"search"}}}`,
			`{"type":"response.output_item.done","output_index":1,"item":{"type":"web_search_call","action":{"type":"open_page"}}}`,
			`{"type":"response.output_item.done","output_index":2,"item":{"type":"mcp_call"}}`,
			`{"type":"response.output_text.delta","output_index":3,"delta":"hello"}`,
			`{"type":"response.output_text.annotation.added","output_index":3,"content_index":0,"annotation":{"type":"url_citation","url":"u","title":"t","start_index":1,"end_index":2}}`,
			`{"type":"response.content_part.done","output_index":3,"content_index":0,"part":{"type":"output_text","text":"hello","annotations":[{"type":"url_citation","url":"u","title":"t","start_index":1,"end_index":2},{"type":"url_citation","url":"v","start_index":3,"end_index":4}]}}`,
			`{"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":2}}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Usage: &llm.Usage{Input: 3, Output: 2, Searches: 1}, Answers: []llm.Answer{{Blocks: []llm.Block{
				{Text: "hello", Cites: []llm.Cite{{URL: "u", Title: "t", Start: 1, End: 2}, {URL: "v", Start: 3, End: 4}}}}, Stop: llm.StopEnd}}}, "mcp_call"},
		{"an unknown end", stream(created, `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"boredom"}}}`),
			llm.Reply{ID: "r", Model: "m", Created: 7, Answers: []llm.Answer{{Stop: llm.StopEnd}}}, "stop_reason"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := &wire.Call{}
			events, whole, err := decode(call, strings.NewReader(c.stream))
			if err != nil || !whole {
				t.Fatal(whole, err)
			}
			recorded.Lawful(t, c.name, events)
			if got := recorded.Reply(events); !reflect.DeepEqual(*got, c.want) {
				x, _ := json.Marshal(got)
				y, _ := json.Marshal(c.want)
				t.Errorf("got  %s\nwant %s", x, y)
			}
			if got := strings.Join(call.Lossy, " "); got != c.lossy {
				t.Errorf("lossy %q, want %q", got, c.lossy)
			}
		})
	}
}

func TestVendorErrors(t *testing.T) {
	for _, c := range []struct {
		stream string
		kind   llm.Kind
	}{
		{`{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}`, llm.KindRateLimited},
		{`{"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"too long"}}`, llm.KindContextLength},
		{`{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"secret"}}}`, llm.KindUpstream},
		{`{"type":"response.failed","response":{"status":"failed","error":{"code":"invalid_prompt","message":"mind your words"}}}`, llm.KindCaller},
		{`{"type":"response.failed","response":{"error":{"code":"insufficient_quota","message":"pay"}}}`, llm.KindCredit},
		{`{"type":"response.failed"}`, llm.KindUpstream},
		{`{"error":{"code":401,"message":"who?"}}`, llm.KindCredential},
		{`{"error":"oops"}`, llm.KindUpstream},
		{`{"type":`, llm.KindUpstream},
	} {
		_, _, err := decode(nil, strings.NewReader(stream(c.stream)))
		if err == nil || err.Kind != c.kind || err.Message == "" || strings.Contains(err.Message, "secret") {
			t.Errorf("%s: %v", c.stream, err)
		}
		if strings.HasSuffix(c.stream, "}") {
			if _, err := Watch(&llm.Request{}).Event([]byte(stream(c.stream))); err == nil || err.Kind != c.kind {
				t.Errorf("watched %s: %v", c.stream, err)
			}
		}
	}
	if _, whole, err := decode(nil, strings.NewReader(stream(`{"type":"response.output_text.delta","delta":"x"}`))); whole || err != nil {
		t.Errorf("a cut stream: whole %v, %v", whole, err)
	}
	for body, kind := range map[string]llm.Kind{
		`{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}`: llm.KindUpstream,
		`{"error":{"code":"rate_limit_exceeded","message":"x"}}`:                                                     llm.KindRateLimited,
		`{"id":"r","object":"chat.completion","choices":[]}`:                                                         llm.KindUpstream,
		`<html>`: llm.KindUpstream, ``: llm.KindUpstream, `{"output":[]`: llm.KindUpstream,
	} {
		if _, err := (Codec{}).Reply(nil, []byte(body)); err == nil || err.Kind != kind {
			t.Errorf("%s: %v", body, err)
		}
		if _, err := Inspect(llm.OpChat, []byte(body)); err == nil || err.Kind != kind {
			t.Errorf("inspected %s: %v", body, err)
		}
	}
	if _, err := (Codec{}).Reply(nil, []byte(`{"status":"queued","output":[]}`)); err == nil {
		t.Error("a queued response is no answer")
	}
}

func TestParseUsage(t *testing.T) {
	for _, c := range []struct {
		in   string
		want llm.Usage
		ok   bool
	}{
		{`{"input_tokens":20,"input_tokens_details":{"cached_tokens":8,"cache_write_tokens":4},"output_tokens":15,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":35}`,
			llm.Usage{Input: 20, CachedRead: 8, CacheWrite: 4, Output: 15, Reasoning: 5}, true},
		{`{"input_tokens":20,"output_tokens":10,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":35}`, llm.Usage{Input: 20, Output: 15, Reasoning: 5}, true},
		{`{"input_tokens":2,"output_tokens":1,"input_tokens_details":{"cached_tokens":9},"server_side_tool_usage_details":{"web_search_calls":3}}`, llm.Usage{Input: 2, CachedRead: 2, Output: 1, Searches: 3}, true},
		{`{"input_tokens":20,"output_tokens":9,"input_token_details":{"text_tokens":4,"audio_tokens":10,"image_tokens":6,"cached_tokens":8,"cached_tokens_details":{"audio_tokens":5,"image_tokens":2}},"output_token_details":{"audio_tokens":7}}`, // realtime
			llm.Usage{Input: 20, CachedRead: 8, CachedAudio: 5, CachedImage: 2, AudioInput: 10, ImageInput: 6, Output: 9, AudioOutput: 7}, true},
		{`{"input_tokens":20,"input_tokens_details":{"image_tokens":15,"text_tokens":5},"output_tokens":9,"output_tokens_details":{"image_tokens":9,"text_tokens":0},"total_tokens":29}`, // of images
			llm.Usage{Input: 20, ImageInput: 15, Output: 9, ImageOutput: 9}, true},
		{`{"input_tokens":2,"output_tokens":1} trailing`, llm.Usage{Input: 2, Output: 1}, true},
		{`{"input_tokens":2.5,"output_tokens":1}`, llm.Usage{}, false},
		{`{"prompt_tokens":2}`, llm.Usage{}, false}, {`null`, llm.Usage{}, false}, {``, llm.Usage{}, false}, {`{`, llm.Usage{}, false},
	} {
		if got, ok := ParseUsage([]byte(c.in)); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v", c.in, got, ok)
		}
	}
}

func TestState(t *testing.T) {
	for body, want := range map[string]string{
		`{"previous_response_id":"resp_1","conversation":"conv_1"}`: "resp_1", `{"conversation":"conv_1"}`: "conv_1", `{"conversation":{"id":"conv_2"}}`: "conv_2",
		`{"previous_response_id":null}`: "", `{}`: "",
	} {
		var req llm.Request
		if e := Decode(llm.OpChat, &wire.Buffer{B: []byte(body)}, &req); e != nil || req.Continues != want {
			t.Errorf("%s: %q, %v, want %q", body, req.Continues, e, want)
		}
	}
	for answer, want := range map[string]string{
		`{"id":"resp_1","output":[{"id":"msg"}]}`: "resp_1",
		": ping\n\nevent: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}\n\n": "resp_2",
		`{"type":"response.created","response":{"id":"resp_3"}}`:                                                        "resp_3", "data: [DONE]\n\n": "", "": "",
	} {
		if got := IDOf([]byte(answer)); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

func TestWatch(t *testing.T) {
	w := Watch(&llm.Request{})
	for _, c := range []struct {
		ev   string
		want wire.Look
	}{
		{": ping\n\n", wire.Look{}},
		{"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n", wire.Look{Data: true}},
		{"data: {\"type\":\"response.output_text.delta\",\"delta\":\"12345678\"}\n\n", wire.Look{Data: true, Content: true}},
		{"data: [DONE]\n\n", wire.Look{Data: true}},
	} {
		if got, err := w.Event([]byte(c.ev)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.ev, got, err)
		}
	}
	if u := w.Usage(); u != (llm.Usage{Output: 2, Estimated: true}) {
		t.Errorf("usage %+v", u)
	}
	if _, whole := w.End(); whole {
		t.Error("whole without an end")
	}
	got, err := w.Event([]byte("data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":1,\"output_tokens\":3}}}\n\n"))
	if _, whole := w.End(); err != nil || !got.Done || !whole || w.Usage() != (llm.Usage{Input: 1, Output: 3}) {
		t.Errorf("%+v, %v, %+v", got, err, w.Usage())
	}
}
