package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// A body is a chat or an error; a chat is a body for every vendor or an error,
// and that body is a chat again.
func FuzzChat(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f.g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"x"}],"tools":[{"type":"function","function":{"name":"f.g","parameters":{"a":1}}}]}`))
	f.Add([]byte(`{"messages":[{"role":"assistant","reasoning_details":[{"type":"reasoning.text","signature":"sl1.anthropic.s.aQ.c2ln"}],"content":"a"}],"response_format":{"type":"json_schema","json_schema":{"schema":{}}}}`))
	f.Add([]byte(`{"prompt":"x","metadata":{"a":"b"},"stop":["a"],"messages":[{"role":"user","content":"\ud800"}],"metadata":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Completions{}.Chat(b)
		c, err := Codec{}.Chat(b)
		if err != nil {
			return
		}
		for _, dialect := range []string{"", "openrouter", "mistral", "deepseek", "zai", "openai-compatible"} {
			call, err := Codec{}.Encode(c, wire.Target{Model: "m", Dialect: dialect, Stream: true})
			if err != nil {
				continue
			}
			if _, err := (Codec{}).Chat(call.Body); err != nil && !strings.Contains(string(call.Body), `"messages":[]`) {
				t.Errorf("%s: %v in %s", dialect, err, call.Body)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"id":"i","model":"m","choices":[{"message":{"content":"a","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}],"reasoning_details":[{"type":"reasoning.summary","summary":"s","format":"x"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Codec{}.Reply(&wire.Call{}, b)
		if err != nil {
			return
		}
		out := Codec{}.AppendReply(nil, &llm.Request{ID: "r"}, r)
		if !json.Valid(out) {
			t.Fatalf("%s", out)
		}
		if _, err := (Codec{}).Reply(&wire.Call{}, out); err != nil {
			t.Errorf("%v in %s", err, out)
		}
	})
}

// A stream gives lawful events, not many more than bytes, which are a strict
// stream again.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("data: " + `{"choices":[{"index":0,"delta":{"content":"a","reasoning":"b"}}]}` + "\n\ndata: [DONE]\n\n"))
	f.Add([]byte("data: " + `{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}},{"index":0,"function":{"name":"f"}}]},"finish_reason":"x"}]}` + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(b))
		if len(events) > 8*len(b)+8 {
			t.Errorf("%d events of %d bytes", len(events), len(b))
		}
		if len(events) > 0 {
			recorded.Lawful(t, "fuzz", events)
		}
		if whole && err == nil {
			e := Codec{}.Encoder(&llm.Request{ID: "r"})
			strict(t, "fuzz", e.End(e.Events(nil, events)), false)
		}
	})
}

// Any events, lawful or not, give whole chunks and no panic.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 6, 0, 0, 7, 0, 0, 8, 0, 0})
	f.Add([]byte{2, 0, 6, 3, 0, 6, 2, 1, 2, 3, 1, 2, 6, 0, 0, 7, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var events []llm.Event
		for ; len(b) >= 3; b = b[3:] {
			e := llm.Event{Kind: llm.EventKind(b[0] % 10), Answer: int(b[1]%4) - 1, Index: int(b[1]>>2%4) - 1, Text: "t", Stop: llm.Stop(b[2] % 12), LogProbs: []llm.LogProb{{Token: "t"}}}
			if b[2]&0x40 == 0 {
				e.Block = &llm.Block{Kind: llm.BlockKind(b[2] % 10), ID: "i", Name: "n", Custom: b[2]&0x20 != 0, Seal: llm.Seal{Maker: llm.Proto(b[1] >> 4 % 8), Data: "d"}}
				e.Cite, e.Usage = &llm.Cite{URL: "u"}, &llm.Usage{Input: 1}
			}
			events = append(events, e)
		}
		for _, c := range []wire.Client{Codec{}, Completions{}} {
			e := c.Encoder(&llm.Request{ID: "r", WantUsage: true})
			out := e.End(e.Events(nil, events))
			if len(out) > 4096+2048*len(events) {
				t.Errorf("%d bytes of %d events", len(out), len(events))
			}
			fs := frames(t, out)
			for i, data := range fs {
				if i < len(fs)-1 && !json.Valid(data) {
					t.Errorf("%s", data)
				}
			}
			_ = e.Fail(nil, &llm.Error{})
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"audio_tokens":5},"citation_tokens":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := ParseUsage(b); ok && !u.Valid() {
			t.Errorf("%+v", u)
		}
	})
}
