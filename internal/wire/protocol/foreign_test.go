package protocol

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Steps of a tool that one vendor runs stay behind with another, by their
// name: their words are nobody else's, and no text.
func TestForeignSteps(t *testing.T) {
	steps := map[llm.Proto]llm.Block{
		llm.ProtoGemini:    {Kind: llm.BlockHosted, Name: "executableCode", Text: `{"code":"print(42)","language":"PYTHON"}`},
		llm.ProtoAnthropic: {Kind: llm.BlockHosted, Name: "server_tool_use", ID: "s", Text: `{"type":"server_tool_use","id":"s","name":"code_execution","input":{"code":"print(42)"}}`},
	}
	for maker, step := range steps {
		chat := &llm.Chat{N: 1, Messages: []llm.Message{
			{Blocks: []llm.Block{{Text: "how much?"}}},
			{Role: llm.RoleAssistant, Blocks: []llm.Block{step, {Text: "42"}}},
			{Blocks: []llm.Block{{Text: "sure?"}}},
		}}
		for p := range table {
			if table[p].Vendor == nil {
				continue
			}
			call, err := table[p].Vendor.Encode(chat, wire.Target{Model: "m"})
			if err != nil {
				t.Errorf("%v's step for %v: %v", maker, llm.Proto(p), err)
				continue
			}
			own := llm.Proto(p) == maker
			if strings.Contains(string(call.Body), "print(42)") != own || (len(call.Lossy) == 0) != own {
				t.Errorf("%v's step for %v: lost %v in %s", maker, llm.Proto(p), call.Lossy, call.Body)
			}
		}
		reply := &llm.Reply{ID: "i", Model: "m", Answers: []llm.Answer{{Blocks: chat.Messages[1].Blocks, Stop: llm.StopEnd}}, Usage: &llm.Usage{}}
		for p := range table {
			if table[p].Client == nil {
				continue
			}
			req := &llm.Request{ID: "01X", Op: llm.OpChat, Model: "m"}
			whole := string(table[p].Client.AppendReply(nil, req, reply))
			enc := table[p].Client.Encoder(req)
			streamed := string(enc.End(enc.Events(nil, reply.Events(nil))))
			own := llm.Proto(p) == maker
			if strings.Contains(whole, "print(42)") != own || strings.Contains(streamed, "print(42)") != own {
				t.Errorf("%v's step to a client of %v:\n%s\n%s", maker, llm.Proto(p), whole, streamed)
			}
		}
	}
}

// Videos are refused by all that do not see them.
func TestVideos(t *testing.T) {
	for _, m := range []llm.Media{{MIME: "video/mp4", Data: "AAAA"}, {MIME: "video/mp4", URL: "https://example.com/a.mp4"}, {MIME: "video/*", URL: "https://www.youtube.com/watch?v=x"}} {
		chat := &llm.Chat{N: 1, Messages: []llm.Message{{Blocks: []llm.Block{{Kind: llm.BlockFile, Media: &m}, {Text: "what happens?"}}}}}
		for p := range table {
			if v := table[p].Vendor; v != nil && llm.Proto(p) != llm.ProtoGemini {
				_, err := v.Encode(chat, wire.Target{Model: "m", Dialect: "openrouter"})
				if err == nil || err.Kind != llm.KindUnsupported || !strings.HasSuffix(err.Param, "video") {
					t.Errorf("%v: %+v: %v", llm.Proto(p), m, err)
				}
			}
		}
	}
}
