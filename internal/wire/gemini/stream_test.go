package gemini

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

func sseOf(chunks ...string) string {
	return "data: " + strings.Join(chunks, "\r\n\r\ndata: ") + "\r\n\r\n"
}

// What vendors stream, and what it means.
func TestDecode(t *testing.T) {
	usage := `"usageMetadata":{"promptTokenCount":20,"cachedContentTokenCount":8,"candidatesTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":35}`
	counted := &llm.Usage{Input: 20, CachedRead: 8, Output: 15, Reasoning: 5}
	for name, c := range map[string]struct {
		call   wire.Call
		stream string
		want   llm.Reply
		lossy  string
	}{
		"thinking, text and calls": {stream: sseOf(
			`{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"}}],"modelVersion":"m","responseId":"r","createTime":"2026-01-02T03:04:05.6Z"}`,
			`{"candidates":[{"content":{"parts":[{"text":".","thought":true},{"text":"Let "}]}}],"modelVersion":"m","responseId":"r"}`,
			`{"candidates":[{"content":{"parts":[{"text":"me."}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"1","name":"f","args":{"a":"\u2028"}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"2","name":"f"}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],`+usage+`}`),
			want: llm.Reply{ID: "r", Model: "m", Created: 1767323045, Usage: counted, Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{
				{Kind: llm.BlockThinking, Text: "Hm."}, {Text: "Let me."}, sealed(llm.ProtoGemini, "c2ln"), called("1", "f", `{"a":"\u2028"}`), called("2", "f", "{}")}}}}},
		"candidates": {stream: sseOf(
			`{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]}},{"content":{"parts":[{"text":"a"}]},"finishReason":1}]}`,
			`{"candidates":[{"index":1,"finishReason":"MAX_TOKENS"}]}`),
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: "a"}}}, {Stop: llm.StopLength, Blocks: []llm.Block{{Text: "b"}}}}}},
		"filter":       {stream: sseOf(`{"candidates":[{"finishReason":"SAFETY"}]}`), want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopFilter}}}},
		"bad prompt":   {stream: sseOf(`{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},` + usage + `}`), want: llm.Reply{Usage: counted, Answers: []llm.Answer{{Stop: llm.StopFilter}}}},
		"new reason":   {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"BORED"}]}`), lossy: "stop_reason", want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: "a"}}}}}},
		"strange tool": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"1","name":"f"}}]},"finishReason":"UNEXPECTED_TOOL_CALL"}]}`), lossy: "stop_reason", want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{called("1", "f", "{}")}}}}},
		"signature at the end": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2ln"}]},"finishReason":"STOP"}]}`),
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: "a"}, sealed(llm.ProtoGemini, "c2ln")}}}}},
		"signed thought": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a","thought":true,"thoughtSignature":"c2ln"},{"text":"b"}]},"finishReason":"STOP"}]}`),
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "a", Seal: llm.Seal{Maker: llm.ProtoGemini, Data: "c2ln"}}, {Text: "b"}}}}}},
		"picture": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"text":"b"}]},"finishReason":"STOP"}]}`),
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: "a"}, {Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "AAAA"}}, {Text: "b"}}}}}},
		"sources": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"Zürich ist"}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"text":" groß."}]},"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a","b"],"groundingChunks":[{"web":{"uri":"u","title":"t"}},{"retrievedContext":{"title":"d","text":"q"}}],"groundingSupports":[{"segment":{"startIndex":8,"endIndex":18},"groundingChunkIndices":[0,1,7]},{"segment":{"partIndex":1,"endIndex":4},"groundingChunkIndices":[1]}]}}],"usageMetadata":{"promptTokenCount":1}}`),
			want: llm.Reply{Usage: &llm.Usage{Input: 1, Searches: 2}, Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: "Zürich ist groß.", Cites: []llm.Cite{
				{URL: "u", Title: "t", Start: 7, End: 16}, {Title: "d", Quote: "q", Start: 7, End: 16}, {Title: "d", Quote: "q"}}}}}}}},
		"arguments in pieces": {stream: sseOf(
			`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"1","name":"f","willContinue":true},"thoughtSignature":"c2ln"}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a","stringValue":"one ","willContinue":true}],"willContinue":true}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a","stringValue":"two"},{"jsonPath":"$.b[0].c","numberValue":1.5},{"jsonPath":"$.b[1]['d e']","boolValue":true},{"jsonPath":"$.n","nullValue":"NULL_VALUE"}],"willContinue":true}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"2","name":"g","args":{}}}]},"finishReason":"STOP"}]}`),
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{sealed(llm.ProtoGemini, "c2ln"), called("1", "f", `{"a":"one two","b":[{"c":1.5},{"d e":true}],"n":null}`), called("2", "g", "{}")}}}}},
		"an array": {stream: "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a]}\\\"\"}]}}]}\n,\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}\n]\n",
			want: llm.Reply{Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Text: `a]}"`}}}}}},
	} {
		events, whole, err := recorded.Events(Codec{}, &c.call, strings.NewReader(c.stream))
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", name, whole, err)
			continue
		}
		if why := unlawful(events); why != "" {
			t.Errorf("%s: %s", name, why)
		}
		if got := recorded.Reply(events); !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, show(got), show(c.want))
		}
		if got := strings.Join(c.call.Lossy, " "); got != c.lossy {
			t.Errorf("%s: lost %q, want %q", name, got, c.lossy)
		}
	}
}

// unlawful says how events break the law of a stream, "" if they keep it.
func unlawful(events []llm.Event) string {
	type block struct{ open bool }
	blocks := map[int][]block{}
	stopped := map[int]bool{}
	for i, e := range events {
		if (i == 0) != (e.Kind == llm.EventStart) {
			return "the start is not the first event alone"
		}
		b := blocks[e.Answer]
		switch e.Kind {
		case llm.EventBlock:
			if e.Index != len(b) || stopped[e.Answer] {
				return "a block out of order"
			}
			blocks[e.Answer] = append(b, block{true})
		case llm.EventDelta, llm.EventSeal, llm.EventCite, llm.EventBlockEnd:
			if e.Index >= len(b) || !b[e.Index].open {
				return "a piece of a block that is not open"
			}
			b[e.Index].open = e.Kind != llm.EventBlockEnd
		case llm.EventStop:
			if stopped[e.Answer] {
				return "two ends"
			}
			stopped[e.Answer] = true
			for _, b := range b {
				if b.open {
					return "an end with an open block"
				}
			}
		}
	}
	return ""
}

// Until the vendor counts the answer it is estimated.
func TestEarlyUsage(t *testing.T) {
	events, _, _ := recorded.Events(Codec{}, nil, strings.NewReader(sseOf(`{"candidates":[{"content":{"parts":[{"text":"0123456789"}]}}],"usageMetadata":{"promptTokenCount":7}}`)))
	if got := recorded.Reply(events).Usage; got == nil || *got != (llm.Usage{Input: 7, Output: 3, Estimated: true}) {
		t.Errorf("%+v", got)
	}
}

// A stream that ends badly is not whole.
func TestBrokenStreams(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		kind   llm.Kind // of the error; 0: no error, but not whole
		err    error
	}{
		"cut":            {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`)},
		"empty":          {stream: ""},
		"a comment":      {stream: ": hi\n\n"},
		"one of two":     {stream: sseOf(`{"candidates":[{"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"b"}]}}]}`)},
		"cut array":      {stream: `[{"candidates":[{"finishReason":"STOP"}]}`, err: io.ErrUnexpectedEOF},
		"cut in element": {stream: `[{"candidates":[{"fini`, err: io.ErrUnexpectedEOF},
		"no JSON":        {stream: sseOf("<html>"), kind: llm.KindUpstream},
		"overloaded":     {stream: sseOf(`{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`), kind: llm.KindUpstream},
		"error, whole":   {stream: `{"error":{"code":503,"status":"UNAVAILABLE"}}`, kind: llm.KindUpstream},
		"error in array": {stream: `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]`, kind: llm.KindRateLimited},
		"malformed call": {stream: sseOf(`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MALFORMED_FUNCTION_CALL"}]}`), kind: llm.KindUpstream},
		"index":          {stream: sseOf(`{"candidates":[{"index":100000}]}`), kind: llm.KindUpstream},
	} {
		_, whole, err := recorded.Events(Codec{}, nil, strings.NewReader(c.stream))
		var bad *llm.Error
		switch {
		case whole:
			t.Errorf("%s: whole", name)
		case c.kind != 0 && (!errors.As(err, &bad) || bad.Kind != c.kind):
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		case c.kind == 0 && err != c.err:
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
	}
}

// Elements above the bound are an error, whatever their shape.
func TestLargeElement(t *testing.T) {
	_, _, err := recorded.Events(Codec{}, nil, strings.NewReader(`[{"a":"`+strings.Repeat("x", sse.MaxEvent)))
	if err != sse.ErrTooLarge {
		t.Errorf("%v, want %v", err, sse.ErrTooLarge)
	}
}

// Errors inside a 200 are told by what they mean.
func TestFault(t *testing.T) {
	for body, want := range map[string]llm.Error{
		`{"error":{"code":400,"message":"The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`:                 {Kind: llm.KindContextLength, Status: 400, Message: "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576)."},
		`{"error":{"code":400,"message":"Please use a valid role: user, model.","status":"INVALID_ARGUMENT"}}`:                                                                   {Kind: llm.KindCaller, Status: 400, Message: "Please use a valid role: user, model."},
		`{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`:                                             {Kind: llm.KindCredential, Message: "the vendor refused the gateway's credential"},
		`{"error":{"code":403,"message":"secret","status":"PERMISSION_DENIED"}}`:                                                                                                 {Kind: llm.KindCredential, Message: "the vendor refused the gateway's credential"},
		`{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.4s"}]}}`: {Kind: llm.KindRateLimited, Message: "the vendor limits requests; try again later", RetryAfter: 34400 * time.Millisecond},
		`{"error":{"code":500,"message":"at 10.0.0.1","status":"INTERNAL"}}`:                                                                                                     {Kind: llm.KindUpstream, Message: "the vendor reported an error"},
		`{"error":"boom"}`: {Kind: llm.KindUpstream, Message: "the vendor reported an error"},
	} {
		for how, read := range map[string]func() *llm.Error{
			"Reply":   func() *llm.Error { _, e := Codec{}.Reply(nil, []byte(body)); return e },
			"Inspect": func() *llm.Error { _, e := Inspect(llm.OpChat, []byte(body)); return e },
			"Watch": func() *llm.Error {
				_, e := Watch(&llm.Request{}).Event([]byte("data: " + body + "\n\n"))
				return e
			},
		} {
			got := read()
			if got == nil || got.Kind != want.Kind || got.Status != want.Status || got.Message != want.Message || got.RetryAfter != want.RetryAfter {
				t.Errorf("%s: %s: %+v, want %+v", how, body, got, want)
			}
		}
	}
}

// A whole answer needs no reason for its end.
func TestReplyWithoutFinish(t *testing.T) {
	call := &wire.Call{}
	r, e := Codec{}.Reply(call, []byte(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`))
	if e != nil || len(r.Answers) != 1 || r.Answers[0].Stop != llm.StopEnd || r.Answers[0].Blocks[0].Text != "a" {
		t.Errorf("%+v, %v", r, e)
	}
	if len(call.Lossy) != 1 || call.Lossy[0] != "stop_reason" {
		t.Errorf("lost: %v", call.Lossy)
	}
}

var reply = llm.Reply{ID: "r1", Model: "claude-3", Created: 5, Usage: &llm.Usage{Input: 20, CachedRead: 8, AudioInput: 3, Output: 15, Reasoning: 5, ImageOutput: 2},
	Answers: []llm.Answer{
		{Stop: llm.StopTools, Blocks: []llm.Block{
			{Kind: llm.BlockThinking, Text: "Hm.", Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: "Eq=="}},
			{Text: "Züri\u2028.", Cites: []llm.Cite{{URL: "u", Title: "t", Start: 1, End: 4}}},
			sealed(llm.ProtoGemini, "c2ln"), called("1", "f", "{\n \"a\": 1}"), called("2", "f", "{broken"),
			{Kind: llm.BlockCall, ID: "3", Name: "patch", Custom: true, Text: "*** a"},
			{Kind: llm.BlockHosted, Name: "server_tool_use", Text: "{}"},
		}},
		{Stop: llm.StopRefusal, Blocks: []llm.Block{{Kind: llm.BlockRefusal, Text: "No."}, {Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "AAAA"}}}},
		{Stop: llm.StopContext},
	}}

// What clients get, whole, streamed and as an array.
func TestAnswers(t *testing.T) {
	req := &llm.Request{ID: "req_1", Model: "m"}
	recorded.Golden(t, "reply.json", indent(t, Codec{}.AppendReply(nil, req, &reply)))
	events := reply.Events(nil)
	e := Codec{}.Encoder(req)
	out := e.End(e.Events(nil, events))
	recorded.Golden(t, "stream/reply.sse", out)
	a := ArrayEncoder(Codec{}.Encoder(req))
	array := a.End(a.Events(nil, events))
	recorded.Golden(t, "stream/reply.json", array)
	if again := ArrayEnd(Array(nil, out, true), false); string(again) != string(array) {
		t.Errorf("events framed afterwards are\n%s, want\n%s", again, array)
	}
	var chunks []json.RawMessage
	if err := json.Unmarshal(array, &chunks); err != nil || len(chunks) < 8 {
		t.Errorf("the array has %d elements, %v", len(chunks), err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
		if !strings.HasPrefix(line, "data: {") || strings.ContainsAny(line, "\r\n") || !json.Valid([]byte(line[6:])) {
			t.Errorf("not an event that Google's clients take: %q", line)
		}
	}
	e = Codec{}.Encoder(req)
	bad := &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's stream ended before the answer was whole"}
	recorded.Golden(t, "stream/failed.sse", e.Fail(e.Events(nil, events[:4]), bad))
	if failed := (Codec{}).Encoder(req).Fail(nil, bad); strings.Contains(string(failed), "\n\n") {
		t.Errorf("after Google's events %q is not an event of its own to Go's genai", failed)
	}
	a = ArrayEncoder(Codec{}.Encoder(req))
	failed := a.Fail(a.Events(nil, events[:4]), bad)
	recorded.Golden(t, "stream/failed.json", failed)
	if !json.Valid(failed) {
		t.Error("the array of a broken answer is no JSON")
	}
	for _, a := range []wire.Encoder{ArrayEncoder(Codec{}.Encoder(req)), ArrayEncoder(Codec{}.Encoder(req))} {
		if out := a.Fail(nil, bad); !json.Valid(out) {
			t.Errorf("an array that only fails: %s", out)
		}
	}
	if out := string(ArrayEnd(nil, true)); out != "[]\n" {
		t.Errorf("an empty array is %q", out)
	}
}

// A count that the last chunk repeats covers what came since it was first told.
func TestRepeatedCount(t *testing.T) {
	const usage = `"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":12,"totalTokenCount":15}`
	d := Codec{}.Decoder(&wire.Call{})
	var last llm.Event
	for _, data := range []string{
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"a"}]},"index":0}],` + usage + `}`,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"b"}]},"finishReason":"STOP","index":0}],` + usage + `}`,
	} {
		events, bad := d.Event(nil, wire.Frame{Data: []byte(data)})
		if bad != nil || len(events) == 0 {
			t.Fatalf("got %v, %v", events, bad)
		}
		last = events[len(events)-1]
	}
	if last.Kind != llm.EventUsage || last.Usage.Output != 12 {
		t.Errorf("the last event is %+v, want the count", last)
	}
}

// Blocks that come interleaved keep their pieces.
func TestInterleaved(t *testing.T) {
	a, b := called("1", "f", ""), called("2", "g", "")
	e := Codec{}.Encoder(&llm.Request{})
	out := e.Events(nil, []llm.Event{
		{Kind: llm.EventStart}, {Kind: llm.EventBlock, Index: 0, Block: &a}, {Kind: llm.EventBlock, Index: 1, Block: &b},
		{Kind: llm.EventDelta, Index: 0, Text: `{"x"`}, {Kind: llm.EventDelta, Index: 1, Text: `{"y"`}, {Kind: llm.EventDelta, Index: 0, Text: `:1}`},
	})
	if len(out) > 0 {
		t.Errorf("half a call was written: %s", out)
	}
	out = e.Events(out, []llm.Event{{Kind: llm.EventDelta, Index: 1, Text: `:2}`}, {Kind: llm.EventBlockEnd, Index: 1}, {Kind: llm.EventBlockEnd, Index: 0}, {Kind: llm.EventStop, Stop: llm.StopTools}})
	events, whole, err := recorded.Events(Codec{}, nil, strings.NewReader(string(e.End(out))))
	want := []llm.Block{called("2", "g", `{"y":2}`), called("1", "f", `{"x":1}`)}
	if got := recorded.Reply(events).Answers[0]; err != nil || !whole || !reflect.DeepEqual(got.Blocks, want) || got.Stop != llm.StopTools {
		t.Errorf("%s, whole %v, %v", show(got), whole, err)
	}
}

func TestErrors(t *testing.T) {
	for want, e := range map[string]llm.Error{
		`{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"p","description":"m"}]}]}}`: {Kind: llm.KindUnsupported, Message: "m", Param: "p"},
		`{"error":{"code":401,"message":"m","status":"UNAUTHENTICATED"}}`:                                                                                         {Kind: llm.KindInvalidKey, Message: "m"},
		`{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}`:                                                                                       {Kind: llm.KindModelNotAllowed, Message: "m"},
		`{"error":{"code":404,"message":"\"m\"","status":"NOT_FOUND"}}`:                                                                                           {Kind: llm.KindModelNotFound, Message: `"m"`},
		`{"error":{"code":413,"message":"m","status":"INVALID_ARGUMENT"}}`:                                                                                        {Kind: llm.KindTooLarge, Message: "m"},
		`{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"}]}}`: {Kind: llm.KindRateLimited, Message: "m", RetryAfter: 1500 * time.Millisecond},
		`{"error":{"code":502,"message":"m","status":"INTERNAL"}}`:                                                                                                {Kind: llm.KindUpstream, Message: "m"},
		`{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`:                                                                                             {Kind: llm.KindOverloaded, Message: "m"},
		`{"error":{"code":504,"message":"m","status":"DEADLINE_EXCEEDED"}}`:                                                                                       {Kind: llm.KindTimeout, Message: "m"},
		`{"error":{"code":499,"message":"m","status":"CANCELLED"}}`:                                                                                               {Kind: llm.KindCanceled, Message: "m"},
		`{"error":{"code":404,"message":"m2","status":"NOT_FOUND"}}`:                                                                                              {Kind: llm.KindCaller, Message: "m2", Status: 404, Raw: []byte("{}")},
	} {
		got := string(Codec{}.AppendError(nil, "", &e))
		if got != want {
			t.Errorf("%v:\ngot  %s\nwant %s", e.Kind, got, want)
		}
		var back struct{ Error struct{ Code int } }
		if err := json.Unmarshal([]byte(got), &back); err != nil || back.Error.Code != (Codec{}).Status(&e) {
			t.Errorf("%v: code %d, status %d, %v", e.Kind, back.Error.Code, Codec{}.Status(&e), err)
		}
	}
}

// A watcher estimates while the vendor has not counted, and is not satisfied
// by half an answer.
func TestWatch(t *testing.T) {
	w := Watch(&llm.Request{N: 2})
	see := func(data string) wire.Look {
		t.Helper()
		look, bad := w.Event([]byte("data: " + data + "\n\n"))
		if bad != nil {
			t.Fatal(bad)
		}
		return look
	}
	if l, _ := w.Event([]byte(": ping\n\n")); l != (wire.Look{}) {
		t.Errorf("a comment: %+v", l)
	}
	if l := see(`{"candidates":[{"content":{"parts":[{"text":""}]}}],"usageMetadata":{"promptTokenCount":7}}`); l != (wire.Look{Data: true}) {
		t.Errorf("no content yet: %+v", l)
	}
	if l := see(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}],"usageMetadata":{"promptTokenCount":7}}`); l != (wire.Look{Data: true, Content: true}) {
		t.Errorf("a call: %+v", l)
	}
	see(`{"candidates":[{"content":{"parts":[{"text":"0123456789"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7}}`)
	if u := w.Usage(); u.Input != 7 || u.Output < 3 || u.Output > 15 || !u.Estimated {
		t.Errorf("estimated %+v", u)
	}
	if _, whole := w.End(); whole {
		t.Error("one of two candidates is whole")
	}
	see(`{"candidates":[{"index":1,"finishReason":"STOP","groundingMetadata":{"webSearchQueries":["a"]}}],"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":9,"thoughtsTokenCount":1}}`)
	if _, whole := w.End(); !whole || w.Usage() != (llm.Usage{Input: 7, Output: 10, Reasoning: 1, Searches: 1}) {
		t.Errorf("whole %v, %+v", whole, w.Usage())
	}
	w = Watch(&llm.Request{})
	see(`{"promptFeedback":{"blockReason":"SAFETY"}}`)
	if _, whole := w.End(); !whole {
		t.Error("a refused prompt is an answer")
	}
	for body, ok := range map[string]bool{`{"candidates":[]}`: true, `{"promptFeedback":{}}`: true, `{}`: false, `[]`: false, `{"candidates":[`: false, ``: false} {
		if _, bad := Inspect(llm.OpChat, []byte(body)); (bad == nil) != ok {
			t.Errorf("%s: %v", body, bad)
		}
	}
	if _, bad := Inspect(llm.OpEmbedding, []byte(`{"embedding":{"values":[]}}`)); bad != nil {
		t.Error(bad)
	}
}

func TestParseUsage(t *testing.T) {
	for body, want := range map[string]llm.Usage{
		`{"promptTokenCount":20,"cachedContentTokenCount":8,"candidatesTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":35}`: {Input: 20, CachedRead: 8, Output: 15, Reasoning: 5},
		`{"prompt_token_count":20,"tool_use_prompt_token_count":3,"candidates_token_count":10}, "more": 1`:                          {Input: 23, ToolInput: 3, Output: 10},
		`{"promptTokenCount":50,"promptTokensDetails":[{"modality":"TEXT","tokenCount":10},{"modality":"IMAGE","tokenCount":8},{"modality":"DOCUMENT","tokenCount":7},{"modality":"VIDEO","tokenCount":25}],"cachedContentTokenCount":12,"cacheTokensDetails":[{"modality":"TEXT","tokenCount":2},{"modality":"DOCUMENT","tokenCount":6},{"modality":"AUDIO","tokenCount":4}],"candidatesTokenCount":3,"candidatesTokensDetails":[{"modality":"VIDEO","tokenCount":3}],"serviceTier":"flex"}`: {Input: 50, ImageInput: 15, VideoInput: 25, CachedRead: 12, CachedImage: 6, CachedAudio: 4, Output: 3, VideoOutput: 3, Tier: llm.TierFlex},
		`{"promptTokenCount":5,"trafficType":"ON_DEMAND_PRIORITY"}`: {Input: 5, Tier: llm.TierPriority},
		`{"promptTokenCount":"20","promptTokensDetails":[{"modality":"AUDIO"},{"modality":"AUDIO","tokenCount":4},{"modality":4,"tokenCount":5}],"candidatesTokenCount":9,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":6},{"modality":"AUDIO","tokenCount":2}]}`: {Input: 20, AudioInput: 9, Output: 9, ImageOutput: 6, AudioOutput: 2},
	} {
		if got, ok := ParseUsage([]byte(body)); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", body, got, ok, want)
		}
		if got, ok := ParseUsage(appendUsage(nil, &want)); !ok || got != want {
			t.Errorf("%+v written and read: %+v, %v", want, got, ok)
		}
	}
	for _, body := range []string{``, `{}`, `[]`, `{"promptTokenCount":-1}`, `{"promptTokenCount"`, `null`, `{"trafficType":"ON_DEMAND"}`} {
		if got, ok := ParseUsage([]byte(body)); ok {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

// Every recorded count is read as others read it.
func TestRecordedUsage(t *testing.T) {
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds catalog/, recorded usages among it")
	}
	b, err := os.ReadFile(filepath.Join(root, "catalog", "genai-prices", "usages.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Body struct {
			UsageMetadata json.RawMessage
		}
		Extracted []struct{ Usage map[string]int64 }
	}
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range rows {
		if len(r.Body.UsageMetadata) == 0 || len(r.Extracted) == 0 {
			continue
		}
		n++
		w := r.Extracted[0].Usage
		u, ok := ParseUsage(r.Body.UsageMetadata)
		got := map[string]int64{"input_tokens": u.Input, "output_tokens": u.Output, "output_reasoning_tokens": u.Reasoning, "cache_read_tokens": u.CachedRead,
			"input_audio_tokens": u.AudioInput, "output_audio_tokens": u.AudioOutput, "output_image_tokens": u.ImageOutput}
		for kind, tokens := range got {
			if !ok || tokens != w[kind] {
				t.Errorf("%s: %s %d, want %d (%v)", r.Body.UsageMetadata, kind, tokens, w[kind], w)
			}
		}
	}
	if n < 100 {
		t.Errorf("%d usages, too few for a proof", n)
	}
	t.Logf("%d usages", n)
}

func FuzzChat(f *testing.F) {
	for _, s := range []string{`{"contents":[{"role":"user","parts":[{"text":"x"}]}]}`, `{"contents":{"parts":[{"functionCall":{"name":"f"}},{"functionResponse":{"name":"f","response":{"output":1}}}]},"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT"}}]}]}`,
		`{"contents":[{"parts":[{"text":"\ud800","thoughtSignature":"c2wxLg=="},{"inlineData":{"data":"_-"}}]}],"generationConfig":{"topK":1e300,"seed":"9"}}`} {
		f.Add([]byte(s), "gemini-3-flash")
	}
	f.Fuzz(func(t *testing.T, b []byte, model string) {
		c, bad := Codec{}.Chat(b)
		if (c == nil) == (bad == nil) {
			t.Fatal("neither a chat nor an error")
		}
		if bad != nil {
			return
		}
		call, bad := Codec{}.Encode(c, wire.Target{Model: model})
		if bad == nil && (!json.Valid(call.Body) || len(call.Body) > 8*len(b)+4096) {
			t.Fatalf("%d bytes became %d: %s", len(b), len(call.Body), call.Body)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"},{"functionCall":{"name":"f","args":{"a":1}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}`))
	f.Add([]byte(`[{"error":{}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, bad := Codec{}.Reply(nil, b)
		if bad == nil && !json.Valid(Codec{}.AppendReply(nil, &llm.Request{}, r)) {
			t.Fatalf("%q is written as %q", b, Codec{}.AppendReply(nil, &llm.Request{}, r))
		}
		_, _ = Inspect(llm.OpChat, b)
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(sseOf(`{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}`, `{"candidates":[{"index":3,"finishReason":2}]}`)), uint64(1))
	f.Add([]byte(`[{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0]['b']","stringValue":"x"}],"willContinue":true}}]}}]},{}]`), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		events, _, _ := recorded.Events(Codec{}, nil, &recorded.Pieces{Left: b, Rand: rand.New(rand.NewPCG(seed, 3)), Most: 90})
		if why := unlawful(events); why != "" {
			t.Fatal(why)
		}
		if len(events) > 8*len(b)+256 {
			t.Fatalf("%d bytes gave %d events", len(b), len(events))
		}
		w := Watch(&llm.Request{})
		_, _ = w.Event(b)
		e := ArrayEncoder(Codec{}.Encoder(&llm.Request{}))
		if out := e.End(e.Events(nil, events)); !json.Valid(out) {
			t.Fatalf("written again: %q", out)
		}
	})
}

// FuzzEncoder: whatever events come, lawful or not, what is written are events
// of the protocol.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 6, 0, 0, 7, 0, 0}, "text")
	f.Add([]byte{2, 0, 6, 3, 0, 0, 2, 1, 1, 4, 1, 1, 5, 0, 0, 8, 9, 9}, "{\"a\":1}")
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		var events []llm.Event
		for ; len(b) >= 3 && len(events) < 1000; b = b[3:] {
			e := llm.Event{Kind: llm.EventKind(b[0] % 10), Answer: int(b[1]%4) - 1, Index: int(b[2]%5) - 1, Text: text, Stop: llm.Stop(b[1] % 10)}
			if b[1]%3 > 0 {
				e.Block = &llm.Block{Kind: llm.BlockKind(b[2] % 9), Name: text, Text: text, Seal: llm.Seal{Maker: llm.Proto(b[2] % 8), Data: text}}
				e.Cite = &llm.Cite{URL: text, Start: int(b[2]), End: int(b[1])}
				e.Usage = &llm.Usage{Output: int64(b[1])}
			}
			events = append(events, e)
		}
		e := ArrayEncoder(Codec{}.Encoder(&llm.Request{ID: text}))
		if out := e.End(e.Events(nil, events)); !json.Valid(out) {
			t.Fatalf("%q", out)
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"promptTokenCount":20,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":6}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := ParseUsage(b); ok && !u.Valid() {
			t.Fatalf("%+v", u)
		}
	})
}
