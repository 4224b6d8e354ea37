package cohere

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// FuzzDecoder: whatever a stream says and however it is cut, its events keep
// the law and hold no more than came.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(stream(`{"type":"message-start","id":"m"}`, `{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}`, `{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}`)), uint64(1))
	f.Add([]byte(stream(`{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"a"}}}`, `{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c","function":{"name":"f","arguments":"x"}}}}}`,
		`{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"a"}}}}`, `{"type":"tool-call-end","index":0}`, `{"type":"message-end"}`)), uint64(2))
	f.Add([]byte("event: content-delta\ndata: {\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"a\"}}}}\n\nevent: citation-start\ndata: {\"delta\":{\"message\":{\"citations\":{\"sources\":[{}]}}}}\n\n"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		events, whole, err := decode(&wire.Call{}, bytes.NewReader(b))
		recorded.Lawful(t, "fuzz", events)
		size := 0
		for i, e := range events {
			size += len(e.Text)
			if e.Block != nil && e.Block.Kind == llm.BlockCall {
				events[i].Block = &llm.Block{Kind: llm.BlockCall, Name: e.Block.Name} // ids may be made up
			}
		}
		if size > 3*len(b) { // broken UTF-8 is replaced: three bytes for one
			t.Fatalf("%d bytes of %d", size, len(b))
		}
		cut, whole2, err2 := decode(&wire.Call{}, &recorded.Pieces{Left: b, Rand: rand.New(rand.NewPCG(seed, 0)), Most: 64})
		for i, e := range cut {
			if e.Block != nil && e.Block.Kind == llm.BlockCall {
				cut[i].Block = &llm.Block{Kind: llm.BlockCall, Name: e.Block.Name}
			}
		}
		if whole != whole2 || (err == nil) != (err2 == nil) || !reflect.DeepEqual(events, cut) {
			t.Fatalf("whole: %+v, %v\nin pieces: %+v, %v", events, err, cut, err2)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"id":"m","finish_reason":"COMPLETE","message":{"tool_plan":"p","content":[{"type":"text","text":"a"}],"tool_calls":[{"function":{"name":"f","arguments":"null"}}],"citations":[{"content_index":0,"sources":[{"tool_output":{"content":"x"}}]}]},"usage":{"tokens":{"input_tokens":1}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := (Codec{}).Reply(&wire.Call{}, b); err == nil {
			recorded.Lawful(t, "fuzz", r.Events(nil))
		}
	})
}

// FuzzEncode: any texts of a client's make a body that is JSON, and no two
// tools have one name.
func FuzzEncode(f *testing.F) {
	f.Add("hello", "get.weather", `{"a":1}`, "command-a-reasoning-08-2025", uint16(0xffff))
	f.Add("", "", "[", "", uint16(0))
	f.Fuzz(func(t *testing.T, text, name, args, model string, bits uint16) {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		c := &llm.Chat{Messages: []llm.Message{
			user(say(text), llm.Block{Kind: llm.BlockFile, Name: name, Media: &llm.Media{Text: text + "."}}),
			assistant(llm.Block{Kind: llm.BlockThinking, Text: text}, llm.Block{Kind: llm.BlockCall, ID: text, Name: name, Text: args, Custom: bit(1)}),
			user(llm.Block{Kind: llm.BlockResult, ID: text, Failed: bit(2), Result: []llm.Block{say(text)}}),
		}, Stop: []string{text}, MaxOutput: int64(bits)}
		if bit(3) {
			c.Tools = []llm.Tool{{Name: name}, {Name: name + "."}, {Name: name + "-", Kind: llm.ToolCustom}}
		}
		if bit(4) {
			c.Format = llm.Format{Kind: llm.FormatSchema, Name: name}
		}
		if bit(5) {
			c.Reasoning = llm.Reasoning{Budget: int64(bits) - 1, Effort: text}
		}
		c.Choice.Mode = llm.ChoiceMode(bits >> 6 & 3)
		call, err := Codec{}.Encode(c, wire.Target{Model: model, Stream: bit(8)})
		if err != nil {
			return
		}
		var body struct {
			Tools []struct{ Function struct{ Name string } }
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatalf("%v: %s", err, call.Body)
		}
		seen := map[string]bool{}
		for _, x := range body.Tools {
			n := x.Function.Name
			if n == "" || seen[n] {
				t.Fatalf("tool %q in %s", n, call.Body)
			}
			seen[n] = true
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"billed_units":{"input_tokens":84,"output_tokens":314},"cached_tokens":1008,"tokens":{"input_tokens":1501,"output_tokens":346,"reasoning_tokens":304}}`))
	f.Add([]byte(`{"cached_tokens":1e9,"tokens":{"input_tokens":1.5}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := ParseUsage(b); ok && (!u.Valid() || u.Reasoning > u.Output) {
			t.Fatalf("%+v", u)
		}
	})
}
