package responses

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// seeds adds the bodies of the other tests.
func seeds(f *testing.F) {
	for _, r := range replies {
		out := Codec{}.AppendReply(nil, asked, r)
		f.Add(out)
		e := Codec{}.Encoder(asked)
		f.Add(e.End(e.Events(nil, r.Events(nil))))
	}
	f.Add([]byte(stream(`{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{"}`, `{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","name":5}}`)))
	f.Add([]byte(`{"type":"response.output_item.done","item":{"type":"message","content":{}}}`))
}

// Whatever a client sends is understood or refused, and what is understood can
// be written for a vendor, whole or not at all.
func FuzzChat(f *testing.F) {
	call, err := Codec{}.Encode(full(), wire.Target{Model: "m"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(call.Body)
	f.Add([]byte(`{"input":[{"type":"reasoning","summary":"x"},{"role":"user","content":[{"type":"input_file","file_data":"data:,%41"}]}]}`))
	f.Add([]byte(`{"input":[null,"x",{"type":"custom_tool_call","call_id":"c","name":5,"input":{}}],"tools":[{"type":"custom","name":"a","format":{"type":"grammar","grammar":{}}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Codec{}.Chat(body)
		if err != nil {
			if err.Message == "" {
				t.Error("an error without a message")
			}
			return
		}
		for _, dialect := range []string{"", "xai", "deepseek"} {
			call, err := Codec{}.Encode(c, wire.Target{Model: "gpt-5", Dialect: dialect})
			if err == nil && !json.Valid(call.Body) {
				t.Errorf("no JSON: %s", call.Body)
			}
		}
	})
}

// Whatever a vendor answers is an answer or an error, and an answer can be
// written for a client.
func FuzzReply(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Codec{}.Reply(nil, body)
		if _, bad := Inspect(llm.OpChat, body); bad == nil && err == nil && r == nil {
			t.Error("nothing")
		}
		if err != nil {
			return
		}
		if out := (Codec{}).AppendReply(nil, asked, r); !json.Valid(out) {
			t.Errorf("no JSON: %s", out)
		}
	})
}

// Whatever a vendor streams keeps the law of events, is not more than it sent,
// and can be written for a client.
func FuzzDecoder(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		events, whole, err := decode(nil, bytes.NewReader(body))
		size := 0
		for _, e := range events {
			size += len(e.Text)
		}
		if size > 4*len(body) {
			t.Errorf("%d bytes of text from %d", size, len(body))
		}
		if whole && err == nil {
			recorded.Lawful(t, "stream", events)
		}
		e := Codec{}.Encoder(asked)
		valid(t, e.End(e.Events(nil, events)))
		w := Watch(asked)
		_, _ = w.Event(body)
		_ = w.Usage()
		_ = IDOf(body)
	})
}

// valid checks that each event of a stream is JSON on one line.
func valid(t *testing.T, out []byte) {
	t.Helper()
	for _, ev := range bytes.Split(bytes.TrimSuffix(out, []byte("\n\n")), []byte("\n\n")) {
		name, data, ok := bytes.Cut(ev, []byte("\ndata: "))
		if len(ev) > 0 && (!ok || !bytes.HasPrefix(name, []byte("event: ")) || !json.Valid(data)) {
			t.Errorf("no event: %q", ev)
		}
	}
}

// Whatever events come, in whatever order, what is written is a stream.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0})
	f.Add([]byte{2, 0x60, 2, 0x21, 3, 0, 3, 1, 6, 1, 6, 0, 2, 2, 7, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		e := Codec{}.Encoder(asked)
		var out []byte
		for ; len(script) > 1; script = script[2:] {
			ev := llm.Event{Kind: llm.EventKind(script[0] & 15), Answer: int(script[0] >> 7), Index: int(script[1]&15) - 1, LogProbs: []llm.LogProb{{Token: "\xff"}}, Text: "\xff\n\"" + string(script[1])}
			switch script[0] >> 4 & 3 {
			case 0:
				ev.Block = &llm.Block{Kind: llm.BlockKind(script[1] >> 4), Name: "f", Custom: script[1]&1 == 1}
			case 1:
				ev.Block = &llm.Block{Kind: llm.BlockThinking, Seal: llm.Seal{Maker: llm.Proto(script[1] & 7), Data: "s"}}
				ev.Usage = &llm.Usage{Input: 1}
			case 2:
				ev.Cite = &llm.Cite{URL: "u"}
				ev.Stop = llm.Stop(script[1] & 15)
			}
			out = e.Events(out, []llm.Event{ev})
		}
		if len(script) > 0 {
			out = e.Fail(out, &llm.Error{Kind: llm.KindTimeout, Message: "\xff"})
		}
		valid(t, e.End(out))
	})
}

func FuzzParseUsage(f *testing.F) {
	f.Add([]byte(`{"input_tokens":20,"input_tokens_details":{"cached_tokens":8},"output_tokens":15,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":35}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := ParseUsage(b); ok && (!u.Valid() || u.Reasoning > u.Output) {
			t.Errorf("%+v", u)
		}
	})
}
