package protocol

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// A vendor that can be told the beginning of its answer is told it as its last
// message, in its own way.
func TestBegun(t *testing.T) {
	chat := &llm.Chat{N: 1, Open: true, Messages: []llm.Message{
		{Role: llm.RoleUser, Blocks: []llm.Block{{Text: "Count."}}},
		{Role: llm.RoleAssistant, Blocks: []llm.Block{{Text: "One two"}}},
	}}
	for _, c := range []struct {
		proto          llm.Proto
		dialect, model string
		want           string // "": it cannot be told
	}{
		{llm.ProtoOpenAI, "deepseek", "deepseek-chat", `{"role":"assistant","content":"One two","prefix":true}]`},
		{llm.ProtoOpenAI, "mistral", "mistral-large-latest", `{"role":"assistant","content":"One two","prefix":true}]`},
		{llm.ProtoOpenAI, "moonshot", "kimi-k2", `{"role":"assistant","content":"One two","partial":true}]`},
		{llm.ProtoOpenAI, "vllm", "qwen", `{"role":"assistant","content":"One two"}],"continue_final_message":true,"add_generation_prompt":false`},
		{llm.ProtoOpenAI, "sglang", "qwen", `{"role":"assistant","content":"One two"}],"continue_final_message":true,"add_generation_prompt":false`},
		{llm.ProtoOpenAI, "llamacpp", "qwen", `{"role":"assistant","content":"One two"}]`},
		{llm.ProtoAnthropic, "anthropic", "claude-sonnet-4-5", `{"role":"assistant","content":[{"type":"text","text":"One two"}]}]`},
		{llm.ProtoAnthropic, "vertex", "claude-3-7-sonnet@20250219", `{"role":"assistant","content":[{"type":"text","text":"One two"}]}]`},
		{llm.ProtoGemini, "gemini", "gemini-2.5-flash", `{"parts":[{"text":"One two"}],"role":"model"}]`},
		{llm.ProtoOpenAI, "openai", "gpt-5", ""},
		{llm.ProtoOpenAI, "openrouter", "x/y", ""},
		{llm.ProtoOpenAI, "openai-compatible", "m", ""},
		{llm.ProtoOpenAI, "deepseek", "deepseek-reasoner", ""},
		{llm.ProtoOpenAI, "moonshot", "kimi-k2-thinking", ""},
		{llm.ProtoAnthropic, "anthropic", "claude-opus-4-6", ""},
		{llm.ProtoAnthropic, "anthropic", "claude-sonnet-5", ""},
		{llm.ProtoAnthropic, "moonshot", "kimi-k2", ""},
		{llm.ProtoGemini, "gemini", "gemini-3-pro-preview", ""},
	} {
		p, target := Of(c.proto), wire.Target{Model: c.model, Dialect: c.dialect, Stream: true}
		if can := p.Prefix(target); can != (c.want != "") {
			t.Errorf("%s %s: can go on: got %v", c.dialect, c.model, can)
		}
		if c.want == "" {
			continue
		}
		call, err := p.Vendor.Encode(chat, target)
		if err != nil {
			t.Errorf("%s: %v", c.dialect, err)
		} else if !strings.Contains(string(call.Body), c.want) {
			t.Errorf("%s: got %s, want %s in it", c.dialect, call.Body, c.want)
		}
	}
	for _, p := range []llm.Proto{llm.ProtoResponses, llm.ProtoBedrock, llm.ProtoCohere, llm.ProtoOllama} {
		if Of(p).Prefix != nil {
			t.Errorf("%v goes on with answers: show it here", p)
		}
	}
}

// passing is a stream that passes, a chunk for each of its pieces.
type passing struct{ pieces []string }

func (s *passing) Next() (llm.Chunk, error) {
	if len(s.pieces) == 0 {
		return llm.Chunk{}, io.EOF
	}
	c := llm.Chunk{Raw: []byte(s.pieces[0]), Level: llm.LevelContent}
	s.pieces = s.pieces[1:]
	return c, nil
}

func (s *passing) Close() error { return errors.New("closed") }

// Bytes pass as they are; beside them are the events, until one is not
// understood.
func TestBoth(t *testing.T) {
	delta := func(s string) string { return "data: " + chunk(`{"index":0,"delta":{"content":"`+s+`"}}`, "") + "\n\n" }
	pieces := []string{": hello\n\n", "data: " + chunk(`{"index":0,"delta":{"role":"assistant","content":""}}`, "") + "\n\n" + delta("One "), delta("two"), "data: {\n\n", delta("three")}
	s := wire.Both(&passing{pieces}, Of(llm.ProtoOpenAI).Vendor.Decoder(&wire.Call{}))
	for i, want := range []string{"", "One ", "two", "-", "-"} {
		c, err := s.Next()
		if err != nil || string(c.Raw) != pieces[i] {
			t.Fatalf("piece %d: got %q, %v", i, c.Raw, err)
		}
		got := ""
		for _, e := range c.Events {
			got += e.Text
		}
		if c.Events == nil {
			got = "-"
		}
		if got != want {
			t.Errorf("piece %d: got the text %q, want %q", i, got, want)
		}
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("the stream was not closed")
	}
}

// Every protocol's answers pass with their events beside them, whole and streamed.
func TestBothOfAll(t *testing.T) {
	reply := &llm.Reply{ID: "i", Model: "m", Created: 1, Usage: &llm.Usage{Input: 3, Output: 2}, Answers: []llm.Answer{{Stop: llm.StopTools, Blocks: []llm.Block{
		{Text: "One two"}, {Kind: llm.BlockCall, ID: "call_1", Name: "get", Text: `{"a":1}`},
	}}}}
	check := func(what string, events []llm.Event) {
		t.Helper()
		var all llm.Collector
		all.Add(events...)
		r := all.Reply()
		if len(r.Answers) != 1 || r.Answers[0].Stop != llm.StopTools || len(r.Answers[0].Blocks) != 2 || r.Answers[0].Blocks[0].Text != "One two" ||
			r.Answers[0].Blocks[1].Name != "get" || r.Answers[0].Blocks[1].Text != `{"a":1}` {
			t.Errorf("%s: got %+v", what, r)
		}
	}
	for p := range table {
		proto, row := llm.Proto(p), &table[p]
		if row.Client == nil {
			continue
		}
		req := &llm.Request{ID: "01X", Op: llm.OpChat, Proto: proto, Model: "m", N: 1}
		whole := string(row.Client.AppendReply(nil, req, reply))
		c, err := wire.BothWhole(&passing{[]string{whole}}, row.Vendor).Next()
		if err != nil || string(c.Raw) != whole {
			t.Errorf("%v: got %q, %v", proto, c.Raw, err)
		}
		check(proto.String()+", whole", c.Events)

		enc := row.Client.Encoder(req)
		stream := string(enc.End(enc.Events(nil, reply.Events(nil))))
		s := wire.Both(&passing{strings.SplitAfter(stream, "\n\n")}, row.Vendor.Decoder(&wire.Call{}))
		var events []llm.Event
		raw := ""
		for {
			c, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			raw += string(c.Raw)
			events = append(events, c.Events...)
		}
		if raw != stream {
			t.Errorf("%v: the stream has changed", proto)
		}
		check(proto.String()+", streamed", events)
	}
	broken := wire.BothWhole(&passing{[]string{"{"}}, Of(llm.ProtoOpenAI).Vendor)
	if c, err := broken.Next(); err != nil || string(c.Raw) != "{" || c.Events != nil {
		t.Errorf("what is not understood passes without events: got %+v, %v", c, err)
	}
}
