package bedrock

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// FuzzDecoder: whatever a stream says, its events keep the law and hold no
// more than came.
func FuzzDecoder(f *testing.F) {
	line := func(name, data string) []byte { return []byte(name + " " + data + "\n") }
	f.Add(line(eventDelta, `{"contentBlockIndex":0,"delta":{"text":"a"}}`))
	f.Add(bytes.Join([][]byte{line(eventBlockStart, `{"contentBlockIndex":0,"start":{"toolUse":{"name":"note"}}}`), line(eventDelta, `{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}`),
		line(eventBlockStart, `{"contentBlockIndex":0,"start":{"toolUse":{"name":"answer"}}}`), line(eventDelta, `{"contentBlockIndex":0,"delta":{"citation":{}}}`), line(eventStop, `{"stopReason":"tool_use"}`)}, nil))
	f.Add(bytes.Join([][]byte{line(eventDelta, `{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AAE="}}}`), line(eventDelta, `{"contentBlockIndex":1,"delta":{"reasoningContent":{"text":"a","signature":"b"}}}`),
		line(eventBlockStop, `{"contentBlockIndex":1}`), line(eventDelta, `{"contentBlockIndex":2,"delta":{"citation":{}}}`), line(eventMetadata, `{"usage":{"inputTokens":1}}`)}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var raw []byte
		for l := range bytes.Lines(b) {
			name, data, _ := bytes.Cut(bytes.TrimSpace(l), []byte(" "))
			raw = appendEvent(raw, string(name[:min(len(name), 99)]), string(data))
		}
		frames, err := readAll(bytes.NewReader(raw))
		if err != io.EOF {
			t.Fatal(err)
		}
		events, _, _ := decode(&wire.Call{}, frames)
		recorded.Lawful(t, "fuzz", events)
		size := 0
		for _, e := range events {
			size += len(e.Text)
			if e.Kind == llm.EventSeal {
				size += len(e.Block.Seal.Data)
			}
		}
		if size > 3*len(b) { // broken UTF-8 is replaced: three bytes for one
			t.Fatalf("%d bytes of %d", size, len(b))
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"output":{"message":{"content":[{"text":"a"},{"toolUse":{"name":"note","input":{"input":"x"}}},{"reasoningContent":{"redactedContent":"AAE="}},{"citationsContent":{"citations":[{}]}}]}},"stopReason":"end_turn","usage":{"inputTokens":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Codec{}.Reply(&wire.Call{}, b)
		if err != nil {
			return
		}
		if r.Answers[0].Stop == llm.StopNone {
			t.Fatal("no stop")
		}
		recorded.Lawful(t, "fuzz", r.Events(nil))
	})
}

// FuzzEncode: any texts of a client's make a body that is JSON, and tools'
// names find back.
func FuzzEncode(f *testing.F) {
	f.Add("hello", "get.weather", `{"a":1}`, "call 1", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", uint16(7))
	f.Add("", "", "[", "", "arn:aws:bedrock:x/y", uint16(0xffff))
	f.Fuzz(func(t *testing.T, text, name, args, id, model string, bits uint16) {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		c := &llm.Chat{Messages: []llm.Message{
			user(text1(text), llm.Block{Kind: llm.BlockFile, Name: name, Media: &llm.Media{Text: text + "."}}),
			assistant(text1(text), llm.Block{Kind: llm.BlockThinking, Text: text, Seal: llm.Seal{Maker: llm.ProtoAnthropic, Data: args, Redacted: bit(0)}},
				llm.Block{Kind: llm.BlockCall, ID: id, Name: name, Text: args, Custom: bit(1)}),
			user(llm.Block{Kind: llm.BlockResult, ID: id, Failed: bit(2), Result: []llm.Block{text1(text)}, Cache: llm.CacheHour}),
		}, Stop: []string{text}, Metadata: []llm.Pair{{Name: name, Value: text}}, MaxOutput: int64(bits)}
		if bit(3) {
			c.Tools = []llm.Tool{{Name: name}, {Name: name + "."}, {Name: text, Kind: llm.ToolCustom}}
		}
		if bit(4) {
			c.Format = llm.Format{Kind: llm.FormatSchema, Name: name}
		}
		if bit(5) {
			c.Reasoning = llm.Reasoning{Budget: int64(bits), Effort: text}
		}
		c.Choice.Mode = llm.ChoiceMode(bits >> 6 & 3)
		call, err := Codec{}.Encode(c, wire.Target{Model: model, Stream: bit(8)})
		if err != nil {
			return
		}
		var body struct {
			ToolConfig struct {
				Tools []struct{ ToolSpec struct{ Name string } }
			}
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatalf("%v: %s", err, call.Body)
		}
		seen := map[string]bool{}
		for _, x := range body.ToolConfig.Tools {
			n := x.ToolSpec.Name
			if n == "" {
				continue // a cache point
			}
			if tidy(n, "_-") != n || seen[n] && name != text {
				t.Fatalf("tool %q in %s", n, call.Body)
			}
			seen[n] = true
		}
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"inputTokens":1,"outputTokens":2,"totalTokens":3,"cacheReadInputTokens":4,"cacheDetails":[{"ttl":"1h","inputTokens":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := ParseUsage(b); ok && (!u.Valid() || u.CacheWrite1h > u.CacheWrite) {
			t.Fatalf("%+v", u)
		}
	})
}
