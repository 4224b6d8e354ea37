package protocol

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// telling are the protocols that tell log probabilities.
var telling = []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses, llm.ProtoGemini}

// textual is a list of tokens without what is the same in both forms: the bytes
// of a token that is text.
func textual(list []llm.LogProb) []llm.LogProb {
	var out []llm.LogProb
	for _, p := range list {
		if string(p.Bytes) == p.Token {
			p.Bytes = nil
		}
		p.Top = textual(p.Top)
		out = append(out, p)
	}
	return out
}

// Log probabilities come to the clients of every protocol that has a place for
// them, whole and streamed.
func TestLogProbs(t *testing.T) {
	want := []llm.LogProb{
		{Token: "4", LogProb: -0.25, Top: []llm.LogProb{{Token: "4", LogProb: -0.25}, {Token: "5", LogProb: -2}}},
		{Token: "2", LogProb: -1e-05, Top: []llm.LogProb{{Token: "2", LogProb: -1e-05}}},
		{Token: "\"é\"", LogProb: -9999},
	}
	reply := &llm.Reply{ID: "resp_1", Model: "m", Created: 7, Usage: &llm.Usage{Input: 1, Output: 3},
		Answers: []llm.Answer{{Stop: llm.StopEnd, Blocks: []llm.Block{{Kind: llm.BlockThinking, Text: "hm"}, {Text: "42\"é\"", LogProbs: want}}}}}
	found := func(r *llm.Reply) (out []llm.LogProb) {
		for _, b := range r.Answers[0].Blocks {
			out = append(out, b.LogProbs...)
		}
		return textual(out)
	}
	req := &llm.Request{ID: "01X", Op: llm.OpChat, Model: "m", WantUsage: true}
	for _, p := range telling {
		row := Of(p)
		back, err := row.Vendor.Reply(&wire.Call{}, row.Client.AppendReply(nil, req, reply))
		if err != nil || !reflect.DeepEqual(found(back), want) {
			t.Errorf("%v: %v: %+v", p, err, back)
		}
		enc := row.Client.Encoder(req)
		stream := enc.End(enc.Events(nil, spelled(reply, want)))
		src, dec := row.Vendor.Source(bytes.NewReader(stream)), row.Vendor.Decoder(&wire.Call{})
		var all llm.Collector
		for {
			frames, err := src.Next()
			if err != nil {
				if err != io.EOF {
					t.Errorf("%v: %v", p, err)
				}
				break
			}
			for _, f := range frames {
				out, bad := dec.Event(nil, f)
				if bad != nil {
					t.Fatalf("%v: %v", p, bad)
				}
				all.Add(out...)
			}
		}
		out, whole := dec.End(nil)
		all.Add(out...)
		if got := found(all.Reply()); !whole || !reflect.DeepEqual(got, want) {
			t.Errorf("%v streamed: whole %v, %+v in\n%s", p, whole, got, stream)
		}
	}
}

// spelled are the events of the reply as a vendor streams it: a token at a time.
func spelled(r *llm.Reply, tokens []llm.LogProb) []llm.Event {
	var out []llm.Event
	for _, e := range r.Events(nil) {
		switch {
		case e.Kind == llm.EventLogProbs:
		case e.Kind == llm.EventDelta && e.Index == 1:
			for i := range tokens {
				out = append(out, llm.Event{Kind: llm.EventLogProbs, Index: 1, LogProbs: tokens[i : i+1]},
					llm.Event{Kind: llm.EventDelta, Index: 1, Text: tokens[i].Token})
			}
		default:
			out = append(out, e)
		}
	}
	return out
}

// A vendor that tells log probabilities is asked for them in its own words;
// the others are not asked at all.
func TestLogProbsAsked(t *testing.T) {
	chat := &llm.Chat{N: 1, LogProbs: true, TopLogProbs: 3, Messages: []llm.Message{{Blocks: []llm.Block{{Text: "hi"}}}}}
	for p, want := range map[llm.Proto]string{
		llm.ProtoOpenAI:    `"logprobs":true,"top_logprobs":3`,
		llm.ProtoResponses: `"include":["message.output_text.logprobs"]`,
		llm.ProtoGemini:    `"responseLogprobs":true,"logprobs":3`,
	} {
		call, err := Of(p).Vendor.Encode(chat, wire.Target{Model: "m"})
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		back, err := Of(p).Client.Chat(call.Body)
		if !strings.Contains(string(call.Body), want) || err != nil || !back.LogProbs || back.TopLogProbs != 3 {
			t.Errorf("%v: %s: read again: %v", p, call.Body, err)
		}
	}
	for p, dialect := range map[llm.Proto]string{llm.ProtoOpenAI: "zai", llm.ProtoResponses: "deepseek", llm.ProtoAnthropic: "", llm.ProtoBedrock: "", llm.ProtoCohere: "", llm.ProtoOllama: ""} {
		if _, err := Of(p).Vendor.Encode(chat, wire.Target{Model: "m", Dialect: dialect}); err == nil || err.Param != "logprobs" {
			t.Errorf("%v of %q: %v", p, dialect, err)
		}
	}
}
