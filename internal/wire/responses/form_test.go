package responses

import (
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

func read(t *testing.T, body string) *llm.Request {
	t.Helper()
	req := &llm.Request{}
	b := wire.NewBuffer()
	b.B = append(b.B, body...)
	if err := Decode(llm.OpChat, b, req); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return req
}

func TestDecode(t *testing.T) {
	req := read(t, `{"model":"m","stream":true,"max_output_tokens":7,"user":"u","input":"hi","new":1}`)
	defer req.Body.Release()
	if req.Model != "m" || !req.Stream || req.MaxOutput != 7 || req.N != 1 || !req.WantUsage || req.Proto != llm.ProtoResponses || req.Body.User() != "u" {
		t.Errorf("%+v", req)
	}
	if c, err := req.Body.Chat(); err != nil || c.MaxOutput != 7 || len(c.Left) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, ok := req.Body.Conversation(); ok {
		t.Error("one short prompt is a conversation")
	}
	for _, body := range []string{`{"model":5}`, `{"stream":"yes"}`, `{"Model":"m"}`, `{"model":"a","model":"b"}`, `[]`} {
		b := wire.NewBuffer()
		b.B = append(b.B, body...)
		if err := Decode(llm.OpChat, b, &llm.Request{}); err == nil {
			t.Errorf("%s: understood", body)
		}
	}
}

// Later turns of a conversation have the hash of the first.
func TestConversation(t *testing.T) {
	hash := func(body string) uint64 {
		req := read(t, body)
		defer req.Body.Release()
		h, ok := req.Body.Conversation()
		if !ok {
			t.Errorf("%s: no conversation", body)
		}
		return h
	}
	two := hash(`{"instructions":"i","input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`)
	three := hash(`{"instructions":"i","input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"d"},{"role":"assistant","content":"e"}]}`)
	other := hash(`{"instructions":"j","input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`)
	if two != three || two == other {
		t.Errorf("hashes %x, %x, %x", two, three, other)
	}
	if hash(`{"input":"x","prompt_cache_key":"k"}`) != hash(`{"input":"y","prompt_cache_key":"k"}`) || hash(`{"input":"x","conversation":"c1"}`) == hash(`{"input":"x","conversation":"c2"}`) {
		t.Error("what the client calls its conversation does not count")
	}
}

func TestCount(t *testing.T) {
	call, err := CountCall(full(), wire.Target{Model: "m", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"model": true, "input": true, "instructions": true, "tools": true, "text": true, "stream": false, "store": false, "include": false, "max_output_tokens": false} {
		if got := scan.Get(call.Body, name) != nil; got != want {
			t.Errorf("%s is sent: %v", name, got)
		}
	}
	out := AppendCount(nil, 42)
	if n, ok := ParseCount(out); n != 42 || !ok || string(scan.Get(out, "object")) != `"response.input_tokens"` {
		t.Errorf("%s read as %d, %v", out, n, ok)
	}
	if _, ok := ParseCount([]byte(`{}`)); ok {
		t.Error("no count is a count")
	}
}

// A vendor that copied the protocol is told in translation what only OpenAI's
// models know.
func TestForeign(t *testing.T) {
	for body, want := range map[string]bool{
		`{"input":"hi","tools":[{"type":"function","name":"f"},{"type":"namespace","name":"n","tools":[]}]}`: true,
		`{"input":"hi","tools":[{"type":"custom","name":"c"}]}`:                                              true,
		`{"input":[{"type":"agent_message"}]}`:                                                               true,
		`{"input":"hi","tools":[{"type":"function","name":"f"},{"type":"web_search"}]}`:                      false,
		`{"input":"hi","tools":[{"type":"custom","name":"c"}],"previous_response_id":"r"}`:                   false,
		`{"input":"hi"}`: false,
	} {
		req := read(t, body)
		f := req.Body.(*wire.Form)
		if got := Foreign(f, "vllm"); got != want {
			t.Errorf("%s: %v", body, got)
		}
		if Foreign(f, "openai") {
			t.Errorf("%s: foreign to OpenAI", body)
		}
		req.Body.Release()
	}
}
