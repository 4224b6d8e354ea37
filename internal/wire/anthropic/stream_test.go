package anthropic

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

const (
	begun   = `{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3,"output_tokens":1}}}`
	stopped = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}`
	over    = `{"type":"message_stop"}`
)

// stream frames the data of events.
func stream(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		var e struct{ Type string }
		_ = json.Unmarshal([]byte(d), &e)
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", e.Type, d)
	}
	return b.String()
}

func starts(i int, block string) string {
	return fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, i, block)
}

func brings(i int, kind, field, text string) string {
	q, _ := json.Marshal(text)
	return fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":%q,%q:%s}}`, i, kind, field, q)
}

func ends(i int) string { return fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, i) }

// Streams as they should be and as they should not: what is read keeps the
// law of events.
func TestDecoder(t *testing.T) {
	end := []string{stopped, over}
	answer := func(stop llm.Stop, blocks ...llm.Block) llm.Answer { return llm.Answer{Blocks: blocks, Stop: stop} }
	for name, c := range map[string]struct {
		in   []string
		want llm.Answer
	}{
		"text": {in: []string{begun, starts(0, `{"type":"text","text":"a"}`), `{"type":"ping"}`, brings(0, "text_delta", "text", "b"), ends(0)}, want: answer(llm.StopEnd, text("ab"))},
		"indices out of order": {in: []string{begun, starts(7, `{"type":"text","text":""}`), starts(2, `{"type":"thinking","thinking":"","signature":""}`),
			brings(2, "thinking_delta", "thinking", "hm"), brings(7, "text_delta", "text", "a"), ends(2), ends(7)},
			want: answer(llm.StopEnd, text("a"), llm.Block{Kind: llm.BlockThinking, Text: "hm"})},
		"no beginnings":  {in: []string{begun, brings(0, "text_delta", "text", "a"), brings(0, "text_delta", "text", "b"), brings(1, "input_json_delta", "partial_json", "{")}, want: answer(llm.StopEnd, text("ab"))},
		"no first event": {in: []string{starts(0, `{"type":"text","text":"a"}`)}, want: answer(llm.StopEnd, text("a"))},
		"begun twice":    {in: []string{begun, starts(0, `{"type":"text","text":"a"}`), begun, starts(0, `{"type":"text","text":"b"}`), ends(0)}, want: answer(llm.StopEnd, text("a"), text("b"))},
		"late deltas":    {in: []string{begun, starts(0, `{"type":"tool_use","id":"c","name":"f","input":{}}`), ends(0), ends(0), brings(0, "input_json_delta", "partial_json", "{")}, want: answer(llm.StopEnd, llm.Block{Kind: llm.BlockCall, ID: "c", Name: "f"})},
		"arguments at once": {in: []string{begun, starts(0, `{"type":"tool_use","id":"c","name":"f","input":{"a":1}}`), ends(0)},
			want: answer(llm.StopEnd, llm.Block{Kind: llm.BlockCall, ID: "c", Name: "f", Text: `{"a":1}`})},
		"kinds mixed": {in: []string{begun, starts(0, `{"type":"text","text":""}`), brings(0, "thinking_delta", "thinking", "no"), brings(0, "text_delta", "text", "a"), ends(0)}, want: answer(llm.StopEnd, text("a"))},
		"not known": {in: []string{begun, starts(0, `{"type":"hologram"}`), brings(0, "beam", "light", "x"), ends(0), `{"type":"new_event"}`, starts(1, `{"type":"text","text":"a"}`)},
			want: answer(llm.StopEnd, text("a"))},
		"seals": {in: []string{begun, starts(0, `{"type":"thinking","thinking":"","signature":""}`), brings(0, "thinking_delta", "thinking", "hm"), brings(0, "signature_delta", "signature", "c2"), brings(0, "signature_delta", "signature", "ln"), ends(0),
			starts(1, `{"type":"redacted_thinking","data":"cmVk"}`), ends(1),
			starts(2, `{"type":"thinking","thinking":"hm","signature":"`+wire.WrapSeal(&foreignThought)+`"}`), ends(2)},
			want: answer(llm.StopEnd, sealed, hidden, foreignThought)},
		"a reason that is not known": {in: []string{begun, strings.Replace(stopped, "end_turn", "bored", 1)}, want: answer(llm.StopEnd)},
		"no reason":                  {in: []string{begun, starts(0, `{"type":"tool_use","id":"c","name":"f","input":{}}`), over}, want: answer(llm.StopTools, llm.Block{Kind: llm.BlockCall, ID: "c", Name: "f"})},
		"a word of OpenAI's":         {in: []string{begun, "[DONE]"}, want: answer(llm.StopEnd)},
	} {
		call := &wire.Call{}
		events, whole, err := recorded.Events(Codec{}, call, strings.NewReader(stream(append(c.in, end...)...)))
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", name, whole, err)
			continue
		}
		recorded.Lawful(t, name, events)
		if got := recorded.Reply(events).Answers[0]; !reflect.DeepEqual(got, c.want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(c.want)
			t.Errorf("%s:\n got %s\nwant %s", name, a, b)
		}
		if lost := strings.Contains(name, "not known") && strings.Contains(name, "reason"); lost != (len(call.Lossy) > 0) {
			t.Errorf("%s: lossy %v", name, call.Lossy)
		}
	}
}

// A stream that is cut before its stop reason is not whole, wherever.
func TestCut(t *testing.T) {
	all := []string{begun, starts(0, `{"type":"text","text":""}`), brings(0, "text_delta", "text", "abc"), ends(0), stopped, over}
	head := len(stream(all[:4]...))
	for at := range len(stream(all...)) {
		_, whole, err := recorded.Events(Codec{}, &wire.Call{}, strings.NewReader(stream(all...)[:at]))
		want := at >= head+len(stream(stopped))-2 // without its blank line the last event is one
		if err == nil && whole != want || err != nil && want && at < head+len(stream(stopped)) {
			t.Errorf("cut at %d of %d: whole %v, %v", at, head, whole, err)
		}
		w := Watch(&llm.Request{})
		done := false
		for rest := []byte(stream(all...)[:at]); len(rest) > 0; {
			var ev []byte
			if ev, rest = sse.Split(rest); strings.HasSuffix(string(ev), "\n\n") {
				look, _ := w.Event(ev)
				done = done || look.Done
			}
		}
		tail, ok := w.End()
		if want := at >= head+len(stream(stopped)); ok != want || (len(tail) > 0) != (want && !done) {
			t.Errorf("cut at %d of %d: the watcher says %v, %q", at, head, ok, tail)
		}
	}
}

// What a vendor reports inside an answer.
func TestReported(t *testing.T) {
	for _, c := range []struct {
		typ, msg string
		kind     llm.Kind
		told     bool // the client is told the vendor's words
	}{
		{"overloaded_error", "Overloaded", llm.KindRateLimited, false},
		{"rate_limit_error", "slow down", llm.KindRateLimited, false},
		{"authentication_error", "invalid x-api-key", llm.KindCredential, false},
		{"permission_error", "no", llm.KindCredential, false},
		{"billing_error", "pay", llm.KindCredit, false},
		{"api_error", "oops", llm.KindUpstream, false},
		{"timeout_error", "late", llm.KindUpstream, false},
		{"invalid_request_error", "prompt is too long: 5 tokens > 4 maximum", llm.KindContextLength, true},
		{"invalid_request_error", "temperature: wrong", llm.KindCaller, true},
		{"not_found_error", "model: x", llm.KindCaller, true},
	} {
		body := fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, c.typ, c.msg)
		_, _, err := recorded.Events(Codec{}, &wire.Call{}, strings.NewReader(stream(begun, body)))
		streamed := llm.AsError(err)
		_, unary := Codec{}.Reply(&wire.Call{}, []byte(body))
		_, inspected := Inspect(llm.OpChat, []byte(body))
		_, watched := Watch(&llm.Request{}).Event([]byte(stream(body)))
		for where, e := range map[string]*llm.Error{"streamed": streamed, "unary": unary, "inspected": inspected, "watched": watched} {
			if e == nil || e.Kind != c.kind || strings.Contains(e.Message, c.msg) != c.told {
				t.Errorf("%s %s: %v, want %s", where, c.typ, e, c.kind)
			}
		}
	}
}

// What a client is told: status, type, words.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		e      llm.Error
		status int
		typ    string
		code   string
	}{
		{llm.Error{Kind: llm.KindInvalidJSON}, 400, "invalid_request_error", "invalid_json"},
		{llm.Error{Kind: llm.KindUnsupported}, 400, "invalid_request_error", "unsupported_parameter"},
		{llm.Error{Kind: llm.KindContextLength}, 400, "invalid_request_error", "context_length_exceeded"},
		{llm.Error{Kind: llm.KindInvalidKey}, 401, "authentication_error", ""},
		{llm.Error{Kind: llm.KindQuota}, 402, "billing_error", "insufficient_quota"},
		{llm.Error{Kind: llm.KindModelNotAllowed}, 403, "permission_error", ""},
		{llm.Error{Kind: llm.KindModelNotFound}, 404, "not_found_error", "model_not_found"},
		{llm.Error{Kind: llm.KindCaller, Status: 404}, 404, "not_found_error", ""},
		{llm.Error{Kind: llm.KindCaller, Status: 422}, 422, "invalid_request_error", ""},
		{llm.Error{Kind: llm.KindTooLarge}, 413, "request_too_large", ""},
		{llm.Error{Kind: llm.KindRateLimited}, 429, "rate_limit_error", ""},
		{llm.Error{Kind: llm.KindUpstream}, 502, "api_error", "upstream_error"},
		{llm.Error{Kind: llm.KindCredential}, 502, "api_error", "upstream_error"},
		{llm.Error{Kind: llm.KindTimeout}, 504, "timeout_error", ""},
		{llm.Error{Kind: llm.KindOverloaded}, 529, "overloaded_error", ""},
		{llm.Error{Kind: llm.KindInternal}, 500, "api_error", ""},
	} {
		c.e.Message = "say \"what\"\n to do \xff"
		var got struct {
			Type  string
			Error struct {
				Type, Message string
				Details       struct {
					Code string `json:"error_code"`
				}
			}
			RequestID *string `json:"request_id"`
		}
		if err := json.Unmarshal(Codec{}.AppendError(nil, "01Y", &c.e), &got); err != nil {
			t.Errorf("%s: %v", c.e.Kind, err)
		}
		if (Codec{}).Status(&c.e) != c.status || got.Type != "error" || got.Error.Type != c.typ || !strings.Contains(got.Error.Message, "to do") || got.Error.Details.Code != c.code || got.RequestID == nil || *got.RequestID != "01Y" {
			t.Errorf("%s: status %d, %+v; want %d, %s, %s", c.e.Kind, Codec{}.Status(&c.e), got, c.status, c.typ, c.code)
		}
		event := string(Codec{}.Encoder(&llm.Request{ID: "01X"}).Fail(nil, &c.e))
		data, ok := strings.CutPrefix(strings.TrimSuffix(event, "\n\n"), "event: error\ndata: ")
		if !ok || strings.Contains(data, "\n") || json.Unmarshal([]byte(data), &got) != nil || got.Error.Type != c.typ || got.RequestID == nil || *got.RequestID != "01X" {
			t.Errorf("%s: the error event is %q", c.e.Kind, event)
		}
	}
}

// However a vendor says that the prompt is too long, agents of this protocol
// read it.
func TestTooLong(t *testing.T) {
	for in, want := range map[string]string{
		"prompt is too long: 5 tokens > 4 maximum": "prompt is too long: 5 tokens > 4 maximum",
		"This model's maximum context length is 128000 tokens. However, you requested 130,500 tokens (126500 in the messages, 4000 in the completion).": "prompt is too long: 130500 tokens > 128000 maximum",
		"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).":                                                       "prompt is too long: 1200000 tokens > 1048576 maximum",
		"too large": "prompt is too long: too large",
	} {
		if got := message(&llm.Error{Kind: llm.KindContextLength, Message: in}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Blocks that are open at the same time come one after the other, each with
// all that it had.
func TestInterleaved(t *testing.T) {
	block := func(i int, b llm.Block) llm.Event { return llm.Event{Kind: llm.EventBlock, Index: i, Block: &b} }
	more := func(i int, s string) llm.Event { return llm.Event{Kind: llm.EventDelta, Index: i, Text: s} }
	end := func(i int) llm.Event { return llm.Event{Kind: llm.EventBlockEnd, Index: i} }
	call := func(id string) llm.Block { return llm.Block{Kind: llm.BlockCall, ID: id, Name: "f"} }
	events := []llm.Event{
		{Kind: llm.EventStart, ID: "m", Model: "x"},
		block(0, call("a")), block(1, call("b")), more(1, `{"n":`), more(0, `{"n"`), block(2, text("")), more(2, "done"), end(2),
		more(1, `2}`), more(0, `:1}`), end(1), more(5, "nobody's"), end(0), block(3, call("c")), more(3, `{}`),
		{Kind: llm.EventStop, Stop: llm.StopTools}, {Kind: llm.EventUsage, Usage: &llm.Usage{Input: 1, Output: 2}},
	}
	enc := Codec{}.Encoder(&llm.Request{})
	var out []byte
	for _, e := range events { // one at a time, as they come
		out = enc.Events(out, []llm.Event{e})
	}
	out = enc.End(out)
	strict(t, out)
	got, whole, err := recorded.Events(Codec{}, &wire.Call{}, strings.NewReader(string(out)))
	if err != nil || !whole {
		t.Fatalf("whole %v, %v", whole, err)
	}
	want := &llm.Reply{ID: "m", Model: "x", Usage: &llm.Usage{Input: 1, Output: 2}, Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{
		{Kind: llm.BlockCall, ID: "a", Name: "f", Text: `{"n":1}`}, {Kind: llm.BlockCall, ID: "b", Name: "f", Text: `{"n":2}`}, text("done"), {Kind: llm.BlockCall, ID: "c", Name: "f", Text: `{}`},
	}}}}
	same(t, "interleaved", recorded.Reply(got), want)
}

// strict holds a stream to what the strictest of the protocol's clients
// demand: names that match, contiguous indices, one open block, deltas of its
// kind, one line of JSON an event, a beginning and an end.
func strict(t *testing.T, out []byte) {
	t.Helper()
	open, next := "", 0
	var names []string
	fits := map[string]string{"text_delta": "text", "citations_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking", "input_json_delta": "tool_use"}
	for rest := out; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		lines := strings.Split(strings.TrimSuffix(string(ev), "\n\n"), "\n")
		var e struct {
			Type         string
			Index        int
			ContentBlock struct{ Type string } `json:"content_block"`
			Delta        struct{ Type string }
		}
		if len(lines) != 2 || !strings.HasPrefix(lines[1], "data: ") || json.Unmarshal([]byte(lines[1][6:]), &e) != nil || lines[0] != "event: "+e.Type {
			t.Fatalf("not an event: %q", ev)
		}
		names = append(names, e.Type)
		switch e.Type {
		case "content_block_start":
			if open != "" || e.Index != next {
				t.Fatalf("%q while %q is open, want index %d", ev, open, next)
			}
			open = e.ContentBlock.Type
		case "content_block_delta":
			if want := fits[e.Delta.Type]; e.Index != next || open != want && !(want == "tool_use" && hosted(open)) {
				t.Fatalf("%q in block %d of type %q", ev, next, open)
			}
		case "content_block_stop":
			if open == "" || e.Index != next {
				t.Fatalf("%q ends block %d", ev, next)
			}
			open = ""
			next++
		}
	}
	n := len(names)
	if n < 3 || names[0] != "message_start" || names[n-2] != "message_delta" || names[n-1] != "message_stop" || open != "" {
		t.Fatalf("events %v, open %q", names, open)
	}
}

func TestUsage(t *testing.T) {
	for in, want := range map[string]llm.Usage{
		`{"input_tokens":12,"cache_read_input_tokens":8,"cache_creation_input_tokens":6,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":2},"output_tokens":15,"output_tokens_details":{"thinking_tokens":5},"server_tool_use":{"web_search_requests":2}}`: {Input: 26, CachedRead: 8, CacheWrite: 6, CacheWrite1h: 2, Output: 15, Reasoning: 5, Searches: 2},
		`{"input_tokens":12,"output_tokens":3,"cache_creation":null,"cache_read_input_tokens":null,"server_tool_use":null}`:                                                                                                                                                           {Input: 12, Output: 3},
		`{"input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":5}}`: {Input: 6, CacheWrite: 5, CacheWrite1h: 5},
		`{"output_tokens":3}`: {Output: 3},
		`{"input_tokens":1,"output_tokens":3,"service_tier":"batch"}`: {Input: 1, Output: 3, Tier: llm.TierBatch},
	} {
		if got, ok := ParseUsage([]byte(in)); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, ok, want)
		}
		u := want
		if got, ok := ParseUsage(appendUsage(nil, &u)); !ok || got != want {
			t.Errorf("%+v written and read: %+v, %v", want, got, ok)
		}
	}
	for _, in := range []string{`{}`, `[]`, `null`, ``, `{"input_tokens":-1}`, `{"input_tokens":"5"}`, `{"output_tokens":1.5}`, `{"input_tokens":999999999999999}`, `{"prompt_tokens":5}`} {
		if u, ok := ParseUsage([]byte(in)); ok {
			t.Errorf("%s: read as %+v", in, u)
		}
	}
}

// A stream's second count replaces the first, but not with no prompt at all.
func TestUsageTwice(t *testing.T) {
	var c counts
	for _, x := range []struct {
		in   string
		want llm.Usage
	}{
		{`{"input_tokens":5,"cache_read_input_tokens":3,"output_tokens":1}`, llm.Usage{Input: 8, CachedRead: 3, Output: 1}},
		{`{"output_tokens":9}`, llm.Usage{Input: 8, CachedRead: 3, Output: 9}},
		{`{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":10}`, llm.Usage{Input: 8, CachedRead: 3, Output: 10}},
		{`{"input_tokens":6,"cache_read_input_tokens":2,"output_tokens":0}`, llm.Usage{Input: 8, CachedRead: 2}},
	} {
		if !c.add([]byte(x.in)) {
			t.Errorf("%s: not read", x.in)
		}
		if u, ok := c.usage(); !ok || u != x.want {
			t.Errorf("%s: %+v, want %+v", x.in, u, x.want)
		}
	}
}

// Until the vendor has counted, the watcher estimates.
func TestWatchEstimate(t *testing.T) {
	w := Watch(&llm.Request{})
	for _, x := range []struct {
		data    string
		content bool
		out     int64
	}{
		{begun, false, 1},
		{`{"type":"ping"}`, false, 1},
		{starts(0, `{"type":"thinking","thinking":"","signature":""}`), false, 1},
		{brings(0, "signature_delta", "signature", strings.Repeat("x", 400)), false, 1},
		{brings(0, "thinking_delta", "thinking", strings.Repeat("x", 40)), true, 10},
		{starts(1, `{"type":"text","text":""}`), false, 10},
		{brings(1, "text_delta", "text", strings.Repeat("x", 8)), true, 12},
		{starts(2, `{"type":"tool_use","id":"a","name":"f","input":{}}`), true, 12},
		{brings(2, "input_json_delta", "partial_json", `{"a":"b"}`), true, 16},
	} {
		look, err := w.Event([]byte(stream(x.data)))
		if u := w.Usage(); err != nil || look.Content != x.content || u != (llm.Usage{Input: 3, Output: x.out, Estimated: true}) {
			t.Errorf("%s: %+v, %v, usage %+v", x.data, look, err, u)
		}
	}
	_, _ = w.Event([]byte(stream(stopped)))
	if u := w.Usage(); u != (llm.Usage{Input: 3, Output: 7}) {
		t.Errorf("usage %+v", u)
	}
}
