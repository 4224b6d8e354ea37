package anthropic

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// size is how much a value holds, roughly: what decoding may not blow up.
func size(v any) int {
	b, _ := json.Marshal(v)
	return len(b)
}

// A body, whatever it holds, is a chat or an error; a chat can be written for
// any model, as JSON, and does not grow beyond what was sent.
func FuzzChat(f *testing.F) {
	for _, c := range encodeCases() {
		if call, err := (Codec{}).Encode(&c.chat, c.to); err == nil {
			f.Add(call.Body)
		}
	}
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"\ud800"}]}}]}],"x":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Codec{}.Chat(b)
		if err != nil {
			return
		}
		if n := size(c); n > 1000*(len(b)+1) {
			t.Errorf("%d bytes became %d", len(b), n)
		}
		for _, model := range []string{sonnet37, sonnet45, opus48, "kimi"} {
			call, err := Codec{}.Encode(c, wire.Target{Model: model})
			if err != nil {
				continue
			}
			if !json.Valid(call.Body) {
				t.Errorf("not JSON: %s", call.Body)
			}
			if _, err := (Codec{}).Chat(call.Body); err != nil {
				t.Errorf("%v in what was written: %s", err, call.Body)
			}
		}
	})
}

// An answer, whatever it holds, is a reply or an error; a reply can be
// written, as JSON.
func FuzzReply(f *testing.F) {
	for _, r := range replies() {
		f.Add((Codec{}).AppendReply(nil, &llm.Request{}, r))
	}
	f.Add([]byte(`{"type":"error","error":{"type":"overloaded_error","message":"x"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Inspect(llm.OpChat, b)
		r, err := Codec{}.Reply(&wire.Call{}, b)
		if err != nil {
			return
		}
		if out := (Codec{}).AppendReply(nil, &llm.Request{}, r); !json.Valid(out) {
			t.Errorf("not JSON: %s", out)
		}
	})
}

// A stream of any bytes keeps the law of events, and can be written.
func FuzzDecoder(f *testing.F) {
	for _, r := range replies() {
		enc := Codec{}.Encoder(&llm.Request{})
		f.Add(enc.End(enc.Events(nil, r.Events(nil))))
	}
	f.Add([]byte(stream(begun, starts(5, `{"type":"tool_use"}`), brings(5, "input_json_delta", "partial_json", "{"), ends(2), stopped)))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, _, _ := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(b))
		recorded.Lawful(t, "fuzz", events)
		if n := size(recorded.Reply(events)); n > 1000*(len(b)+1) {
			t.Errorf("%d bytes became %d", len(b), n)
		}
		enc := Codec{}.Encoder(&llm.Request{})
		strict(t, enc.End(enc.Events(nil, events)))
		w := Watch(&llm.Request{})
		_, _ = w.Event(b)
		_, _ = w.End()
	})
}

// Events in any order make a stream that the protocol's clients take.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 2, 0, 7, 5, 0, 0, 6, 0, 1})
	f.Add([]byte{1, 0, 6, 1, 1, 2, 2, 1, 9, 2, 0, 9, 5, 1, 0, 5, 0, 0})
	f.Add([]byte{1, 0, 3, 3, 0, 0, 2, 0, 1, 5, 0, 0, 1, 1, 8, 2, 1, 3, 4, 1, 0, 7, 0, 0, 6, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		enc := Codec{}.Encoder(&llm.Request{})
		var out []byte
		for ; len(b) >= 3; b = b[3:] {
			kind, index, x := llm.EventKind(b[0]%9), int(b[1]%8)-1, b[2]
			e := llm.Event{Kind: kind, Answer: int(x / 128), Index: index}
			block := llm.Block{Kind: llm.BlockKind(x % 9), ID: "i", Name: "server_tool_use", Custom: x&16 != 0, Seal: llm.Seal{Maker: llm.Proto(x % 8), Data: "d", Redacted: x&32 != 0}}
			switch kind {
			case llm.EventBlock, llm.EventSeal:
				if x != 255 {
					e.Block = &block
				}
			case llm.EventDelta:
				e.Text = [...]string{"", "a\n", `{"type":"server_tool_use",` + "\n" + `"input":{"a":1}}`, "\xff", `{"x":1}`}[x%5]
			case llm.EventCite:
				if x != 255 {
					e.Cite = &llm.Cite{URL: string(b[2:3])}
				}
			case llm.EventStop:
				e.Stop = llm.Stop(x)
			case llm.EventUsage:
				if x != 255 {
					e.Usage = &llm.Usage{Input: int64(x)}
				}
			}
			out = enc.Events(out, []llm.Event{e})
		}
		strict(t, enc.End(out))
	})
}

// Whatever is read as usage can be, and means the same written again.
func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"input_tokens":12,"cache_read_input_tokens":8,"cache_creation":{"ephemeral_1h_input_tokens":2},"output_tokens":15,"output_tokens_details":{"thinking_tokens":5}}`))
	f.Add([]byte(`{"input_tokens":null,"output_tokens":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, ok := ParseUsage(b)
		if !ok {
			return
		}
		if !u.Valid() {
			t.Errorf("%+v", u)
		}
		if again, ok := ParseUsage(appendUsage(nil, &u)); !ok || again != u {
			t.Errorf("%+v written and read: %+v, %v", u, again, ok)
		}
	})
}
