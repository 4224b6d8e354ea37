package ollama

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func ptr[T any](v T) *T { return &v }

func text(s string) llm.Block { return llm.Block{Kind: llm.BlockText, Text: s} }

func TestEncode(t *testing.T) {
	picture := llm.Block{Kind: llm.BlockImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}}
	call := llm.Block{Kind: llm.BlockCall, ID: "c1", Name: "look", Text: `{"at":1}`}
	for _, x := range []struct {
		name   string
		chat   llm.Chat
		target wire.Target
		want   string
		lossy  string
	}{
		{"plain", llm.Chat{Messages: []llm.Message{{Role: llm.RoleSystem, Blocks: []llm.Block{text("be"), text("kind")}}, {Blocks: []llm.Block{text("hi")}}}},
			wire.Target{Model: "m", Stream: true},
			`{"model":"m","messages":[{"role":"system","content":"be\n\nkind"},{"role":"user","content":"hi"}],"stream":true}`, ""},
		{"settings", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("hi")}}}, MaxOutput: 100, Temperature: ptr(0.5), TopK: ptr(int64(3)), TopP: ptr(0.9),
			Seed: ptr(int64(7)), Stop: []string{"x"}, FrequencyPenalty: ptr(1.0), PresencePenalty: ptr(0.0), User: "u", Format: llm.Format{Kind: llm.FormatJSON}},
			wire.Target{Model: "m", MaxOutput: 50},
			`{"model":"m","messages":[{"role":"user","content":"hi"}],"format":"json","options":{"num_predict":50,"temperature":0.5,"top_k":3,"top_p":0.9,"seed":7,"stop":["x"],"frequency_penalty":1,"presence_penalty":0},"stream":false}`, "user"},
		{"picture and schema", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("see"), picture}}}, Format: llm.Format{Kind: llm.FormatSchema, Schema: []byte(`{"type":"object"}`)}},
			wire.Target{Model: "m"},
			`{"model":"m","messages":[{"role":"user","content":"see","images":["aGk="]}],"format":{"type":"object"},"stream":false}`, ""},
		{"tools", llm.Chat{Messages: []llm.Message{
			{Blocks: []llm.Block{text("do")}},
			{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "hm"}, call, {Kind: llm.BlockCall, ID: "c2", Name: "look", Text: "broken"}}},
			{Blocks: []llm.Block{{Kind: llm.BlockResult, ID: "c1", Result: []llm.Block{text("a"), picture}}, {Kind: llm.BlockResult, ID: "c2", Failed: true, Result: []llm.Block{text("b")}}}},
		}, Tools: []llm.Tool{{Name: "look", Schema: []byte(`{"type":"object"}`)}, {Kind: llm.ToolCustom, Name: "say"}, {Name: "other"}},
			Choice: llm.Choice{Mode: llm.ChoiceAny, Names: []string{"look", "say"}}},
			wire.Target{Model: "m"},
			`{"model":"m","messages":[{"role":"user","content":"do"},` +
				`{"role":"assistant","content":"","thinking":"hm","tool_calls":[{"id":"c1","function":{"name":"look","arguments":{"at":1}}},{"id":"c2","function":{"name":"look","arguments":{"_raw":"broken"}}}]},` +
				`{"role":"tool","content":"a","tool_name":"look","tool_call_id":"c1"},{"role":"tool","content":"Error: b","tool_name":"look","tool_call_id":"c2"},` +
				`{"role":"user","content":"","images":["aGk="]}],` +
				`"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}},` +
				`{"type":"function","function":{"name":"say","parameters":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}}],"stream":false}`,
			"messages.tool_calls.arguments messages.tool.content tool_choice"},
		{"no tools", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("hi")}}}, Tools: []llm.Tool{{Name: "look"}}, Choice: llm.Choice{Mode: llm.ChoiceNone}},
			wire.Target{Model: "m"}, `{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false}`, ""},
		{"old thinking", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("a")}}, {Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "hm"}, text("b"), text("c")}}, {Blocks: []llm.Block{text("d")}}}},
			wire.Target{Model: "m"},
			`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"bc"},{"role":"user","content":"d"}],"stream":false}`, ""},
		{"thinks", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("a")}}}, Reasoning: llm.Reasoning{Effort: "high"}},
			wire.Target{Model: "qwen3"}, `{"model":"qwen3","messages":[{"role":"user","content":"a"}],"think":true,"stream":false}`, "reasoning_effort"},
		{"levels", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("a")}}}, Reasoning: llm.Reasoning{Effort: "max"}},
			wire.Target{Model: "gpt-oss:20b"}, `{"model":"gpt-oss:20b","messages":[{"role":"user","content":"a"}],"think":"high","stream":false}`, ""},
		{"thinks not", llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{text("a")}}}, Reasoning: llm.Reasoning{Effort: "none"}},
			wire.Target{Model: "qwen3"}, `{"model":"qwen3","messages":[{"role":"user","content":"a"}],"think":false,"stream":false}`, ""},
	} {
		call, err := Codec{}.Encode(&x.chat, x.target)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if string(call.Body) != x.want {
			t.Errorf("%s:\n%s\nwant\n%s", x.name, call.Body, x.want)
		}
		if got := strings.Join(call.Lossy, " "); got != x.lossy {
			t.Errorf("%s: lost %q, want %q", x.name, got, x.lossy)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for param, c := range map[string]llm.Chat{
		"logprobs":                   {LogProbs: true},
		"echo":                       {Left: []llm.Left{{Name: "echo", Must: true}}},
		"tools":                      {Tools: []llm.Tool{{Kind: llm.ToolSearch}}},
		"messages.content.image_url": {Messages: []llm.Message{{Blocks: []llm.Block{{Kind: llm.BlockImage, Media: &llm.Media{URL: "https://x"}}}}}},
		"messages.content.file":      {Messages: []llm.Message{{Blocks: []llm.Block{{Kind: llm.BlockFile, Media: &llm.Media{Data: "aGk="}}}}}},
		"messages.content.input_audio": {Messages: []llm.Message{{Blocks: []llm.Block{{Kind: llm.BlockResult, ID: "a", Result: []llm.Block{
			{Kind: llm.BlockAudio, Media: &llm.Media{Data: "aGk="}}}}}}}},
	} {
		if _, err := (Codec{}).Encode(&c, wire.Target{Model: "m"}); err == nil || err.Kind != llm.KindUnsupported || err.Param != param {
			t.Errorf("%s: %v", param, err)
		}
	}
}

func TestReplyErrors(t *testing.T) {
	for _, b := range []string{``, `[]`, `{"error":"no"}`, `{"message":{"content":"a"},"done":false}`, `{"message":{"content":1}}`} {
		if r, err := (Codec{}).Reply(&wire.Call{}, []byte(b)); err == nil || err.Kind != llm.KindUpstream {
			t.Errorf("%s: %+v, %v", b, r, err)
		}
	}
}

func TestParseUsage(t *testing.T) {
	for in, want := range map[string]llm.Usage{
		`{"prompt_eval_count":3,"eval_count":4}`: {Input: 3, Output: 4},
		`{"eval_count":4}`:                       {Output: 4}, // the prompt was cached
	} {
		if u, ok := ParseUsage([]byte(in)); !ok || u != want {
			t.Errorf("%s: %+v, %v", in, u, ok)
		}
	}
	for _, in := range []string{``, `{}`, `[1]`, `{"eval_count":"4"}`} {
		if u, ok := ParseUsage([]byte(in)); ok {
			t.Errorf("%s: %+v", in, u)
		}
	}
}

func TestLines(t *testing.T) {
	const hello, end = `{"message":{"content":"a"}}`, `{"message":{"content":""},"done":true,"done_reason":"length"}`
	for _, x := range []struct {
		in    string
		whole bool
		err   error
	}{
		{hello + "\n" + end + "\n", true, nil},
		{hello + "\r\n\r\n" + end, true, nil},
		{hello + "\n", false, nil},
		{hello + "\n" + end[:20], false, io.ErrUnexpectedEOF},
		{"", false, nil},
		{`{"message":{"content":"` + strings.Repeat("x", maxLine), false, errTooLarge},
	} {
		all, whole, err := recorded.Events(Codec{}, &wire.Call{}, strings.NewReader(x.in))
		if whole != x.whole || err != x.err {
			t.Errorf("%.60q: whole %v, %v", x.in, whole, err)
		}
		if whole && all[len(all)-1].Stop != llm.StopLength {
			t.Errorf("%.60q: %+v", x.in, all)
		}
	}
}

// Every recorded answer is read, in whatever pieces it comes.
func TestRecorded(t *testing.T) {
	n := 0
	for _, row := range recorded.Exchanges(t, func(x *recorded.Exchange) bool { return x.Provider == "ollama" && x.API == "chat" && x.Status == 200 }) {
		b := row.Answer
		if bytes.Contains(b, []byte(`"choices"`)) {
			continue // its compatible protocol
		}
		n++
		said, thought, names := plain(t, b)
		var first *llm.Reply
		for round := range uint64(4) {
			events, whole, err := recorded.Events(Codec{}, &wire.Call{}, &recorded.Pieces{Left: b, Rand: rand.New(rand.NewPCG(3, round)), Most: 1 << (1 + 4*round)})
			if err != nil || !whole {
				t.Fatalf("%s: whole %v, %v", row.Case, whole, err)
			}
			r := recorded.Reply(events)
			var text, thinking string
			var called []string
			for i := range r.Answers[0].Blocks {
				switch b := &r.Answers[0].Blocks[i]; b.Kind {
				case llm.BlockText:
					text += b.Text
				case llm.BlockThinking:
					thinking += b.Text
				case llm.BlockCall:
					called = append(called, b.Name)
					if b.ID == "" || !json.Valid([]byte(b.Text)) {
						t.Errorf("%s: a call without id or arguments: %+v", row.Case, b)
					}
				}
			}
			if text != said || thinking != thought || !reflect.DeepEqual(called, names) || (r.Usage == nil) == bytes.Contains(b, []byte(`"eval_count"`)) {
				t.Errorf("%s: read %q, %q, %q, %+v", row.Case, text, thinking, called, r.Usage)
			}
			if first == nil {
				first = r
			} else if first.Model != r.Model || first.Created != r.Created || !reflect.DeepEqual(first.Usage, r.Usage) || len(first.Answers[0].Blocks) != len(r.Answers[0].Blocks) {
				t.Errorf("%s: in other pieces it reads otherwise", row.Case)
			}
		}
		if filepath.Ext(row.Response) == ".json" {
			r, err := Codec{}.Reply(&wire.Call{}, b)
			if err != nil || len(r.Answers) != 1 || r.Answers[0].Stop == llm.StopNone {
				t.Errorf("%s: %+v, %v", row.Case, r, err)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d answers: the recordings were not found", n)
	}
	t.Logf("%d answers", n)
}

func plain(t *testing.T, b []byte) (said, thought string, names []string) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	for dec.More() {
		var l struct {
			Message struct {
				Content, Thinking string
				ToolCalls         []struct{ Function struct{ Name string } } `json:"tool_calls"`
			}
		}
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		said += l.Message.Content
		thought += l.Message.Thinking
		for _, c := range l.Message.ToolCalls {
			names = append(names, c.Function.Name)
		}
	}
	return said, thought, names
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(`{"message":{"content":"a","thinking":"b","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]}}` + "\n" + `{"done":true}`))
	f.Add([]byte("\n\n{}\r\n[]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(b))
		if len(events) > 8*len(b)+8 {
			t.Errorf("%d events of %d bytes", len(events), len(b))
		}
		if whole && err != nil {
			t.Errorf("whole and %v", err)
		}
		var c llm.Collector
		c.Add(events...)
		_ = c.Reply()
		_, _ = Codec{}.Reply(&wire.Call{}, b)
		if u, ok := ParseUsage(b); ok && !u.Valid() {
			t.Errorf("usage %+v", u)
		}
	})
}
