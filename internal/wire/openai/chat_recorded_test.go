package openai

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// said is what a plain reading finds in the choices of a recorded answer.
type said struct {
	text, thought, refusal, args string
	names                        []string
	finish                       string
}

type plainMessage struct {
	Content          json.RawMessage
	Refusal          string
	ReasoningContent string `json:"reasoning_content"`
	Reasoning        string
	ReasoningDetails []struct{ Text, Summary string } `json:"reasoning_details"`
	Audio            struct{ Transcript string }
	ToolCalls        []struct {
		Function struct {
			Name      string
			Arguments string
		}
		Custom struct{ Name, Input string }
	} `json:"tool_calls"`
}

type plainPart struct {
	Type     string
	Text     string
	Thinking json.RawMessage
}

// plain reads chunks without any of the codec's types.
func plain(t *testing.T, name string, chunks [][]byte, whole bool) []said {
	t.Helper()
	var out []said
	for _, b := range chunks {
		var c struct {
			Choices []struct {
				Index        int
				Delta        *plainMessage
				Message      *plainMessage
				FinishReason string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, ch := range c.Choices {
			if whole {
				ch.Index = i
			}
			for len(out) <= ch.Index {
				out = append(out, said{})
			}
			s := &out[ch.Index]
			if s.finish == "" {
				s.finish = ch.FinishReason
			}
			m := ch.Delta
			if m == nil || whole {
				m = ch.Message
			}
			if m == nil {
				continue
			}
			s.add(m)
		}
	}
	return out
}

func (s *said) add(m *plainMessage) {
	var text string
	var parts []plainPart
	if json.Unmarshal(m.Content, &text) != nil {
		_ = json.Unmarshal(m.Content, &parts)
	}
	if text == "" {
		text = m.Audio.Transcript
	}
	s.text += text
	for _, p := range parts {
		if p.Type == "text" {
			s.text += p.Text
		}
		var think []plainPart
		_ = json.Unmarshal(p.Thinking, &think)
		for _, x := range think {
			s.thought += x.Text
		}
	}
	s.refusal += m.Refusal
	if m.ReasoningContent != "" {
		s.thought += m.ReasoningContent
	} else if m.Reasoning != "" {
		s.thought += m.Reasoning
	} else {
		for _, d := range m.ReasoningDetails {
			s.thought += d.Text + d.Summary
		}
	}
	for _, c := range m.ToolCalls {
		if n := c.Function.Name + c.Custom.Name; n != "" {
			s.names = append(s.names, n)
		}
		s.args += c.Function.Arguments + c.Custom.Input
	}
}

// spoken is what the neutral form says of the same.
func spoken(a *llm.Answer) (s said) {
	for i := range a.Blocks {
		switch b := &a.Blocks[i]; b.Kind {
		case llm.BlockText:
			s.text += b.Text
		case llm.BlockThinking:
			s.thought += b.Text
		case llm.BlockRefusal:
			s.refusal += b.Text
		case llm.BlockCall:
			s.names = append(s.names, b.Name)
			s.args += b.Text
		}
	}
	return s
}

func same(t *testing.T, name string, want []said, got *llm.Reply) {
	t.Helper()
	if len(want) != len(got.Answers) {
		t.Errorf("%s: %d answers, want %d", name, len(got.Answers), len(want))
		return
	}
	for i, w := range want {
		s := spoken(&got.Answers[i])
		if w.finish == "" && len(got.Answers[i].Blocks) > 0 && got.Answers[i].Stop == llm.StopNone {
			t.Errorf("%s: no reason why it ended", name)
		}
		s.finish, w.finish = "", ""
		if !reflect.DeepEqual(s, w) {
			t.Errorf("%s: answer %d: read\n%+v\nwant\n%+v", name, i, s, w)
		}
	}
}

// gathered is a reply as chat completions can tell it: text and thinking in
// one piece each.
func gathered(r *llm.Reply) []said {
	var out []said
	for i := range r.Answers {
		s := spoken(&r.Answers[i])
		s.finish = finishReason(r.Answers[i].Stop, len(s.names))
		for n := range r.Answers[i].Blocks {
			if b := &r.Answers[i].Blocks[n]; b.Kind == llm.BlockCall && b.Text == "" {
				s.args += "{}"
			}
		}
		out = append(out, s)
	}
	return out
}

// Every recorded whole answer is read as it stands, and means the same when
// it is written again and read again.
func TestRecordedReplies(t *testing.T) {
	n := 0
	for _, x := range exchanges(t, "chat") {
		if x.Stream || x.Status != 200 || !json.Valid(x.Answer) {
			continue
		}
		if !bytes.Contains(x.Answer, []byte(`"choices"`)) {
			if _, err := (Codec{}).Reply(&wire.Call{}, x.Answer); err == nil {
				t.Errorf("%s: no answer was read as one", x.Case)
			}
			continue
		}
		n++
		r, err := Codec{}.Reply(&wire.Call{}, x.Answer)
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		same(t, x.Case, plain(t, x.Case, [][]byte{x.Answer}, true), r)
		again, err := Codec{}.Reply(&wire.Call{}, Codec{}.AppendReply(nil, &llm.Request{ID: "r"}, r))
		if err != nil {
			t.Errorf("%s: written again: %v", x.Case, err)
			continue
		}
		if a, b := gathered(r), gathered(again); !reflect.DeepEqual(a, b) {
			t.Errorf("%s: written again it says\n%+v\nwant\n%+v", x.Case, b, a)
		}
		if (r.Usage == nil) != (again.Usage == nil) || r.Usage != nil && *r.Usage != *again.Usage {
			t.Errorf("%s: usage %+v, written again %+v", x.Case, r.Usage, again.Usage)
		}
	}
	if n < 300 {
		t.Errorf("%d answers: the recordings were not found", n)
	}
}

// Every recorded stream, in whatever pieces it comes, gives the same lawful
// events, which say what it says; written again and read again, too.
func TestRecordedEvents(t *testing.T) {
	for _, x := range streams(t) {
		if x.API != "chat" {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte(x.Case))
		events, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(x.Answer))
		for round := range uint64(3) {
			e2, w2, err2 := recorded.Events(Codec{}, &wire.Call{}, &recorded.Pieces{Left: x.Answer, Rand: rand.New(rand.NewPCG(h.Sum64(), round)), Most: 1 << (2 + 4*round)})
			r1, r2 := recorded.Reply(events), recorded.Reply(e2)
			if w2 != whole || (err == nil) != (err2 == nil) || len(e2) != len(events) || !reflect.DeepEqual(gathered(r1), gathered(r2)) {
				t.Fatalf("%s: in pieces it reads otherwise", x.Case)
			}
		}
		want := read(t, x, true)
		if want.failed || want.finish == 0 {
			if err == nil && whole {
				t.Errorf("%s: a broken stream was read as whole", x.Case)
			}
			continue
		}
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", x.Case, whole, err)
			continue
		}
		recorded.Lawful(t, x.Case, events)
		var chunks [][]byte
		for _, f := range frames(t, x.Answer) {
			if string(f) != "[DONE]" {
				chunks = append(chunks, f)
			}
		}
		r := recorded.Reply(events)
		same(t, x.Case, plain(t, x.Case, chunks, false), r)
		if want.usage != nil && (r.Usage == nil || r.Usage.Input != want.usage.Input || r.Usage.Output != want.usage.Output) {
			t.Errorf("%s: usage %+v, want %+v", x.Case, r.Usage, want.usage)
		}
		for _, asked := range []bool{false, true} {
			enc := Codec{}.Encoder(&llm.Request{ID: "r", WantUsage: asked})
			out := enc.End(enc.Events(nil, events))
			strict(t, x.Case, out, asked && r.Usage != nil)
			again, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(out))
			if err != nil || !whole {
				t.Fatalf("%s: written again: whole %v, %v", x.Case, whole, err)
			}
			if a, b := gathered(r), gathered(recorded.Reply(again)); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: written again it says\n%+v\nwant\n%+v", x.Case, b, a)
			}
		}
	}
}

func frames(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	s := Codec{}.Source(bytes.NewReader(b))
	defer s.Close()
	for {
		fs, err := s.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			out = append(out, bytes.Clone(f.Data))
		}
	}
}

// strict checks what the strictest SDKs want of a stream.
func strict(t *testing.T, name string, b []byte, usage bool) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n\n")
	if lines[len(lines)-1] != "data: [DONE]" {
		t.Errorf("%s: does not end with [DONE]", name)
	}
	var head string
	roles, ends := map[int]bool{}, map[int]bool{}
	type key struct{ choice, call int }
	calls := map[key]bool{}
	for i, l := range lines[:len(lines)-1] {
		var c map[string]json.RawMessage
		data, ok := strings.CutPrefix(l, "data: ")
		if !ok || strings.Contains(l, "\n") || json.Unmarshal([]byte(data), &c) != nil {
			t.Fatalf("%s: not an event of one line: %q", name, l)
		}
		if _, has := c["error"]; has {
			t.Errorf("%s: a member called error ends the stream for SDKs", name)
		}
		h := string(c["id"]) + string(c["created"]) + string(c["model"]) + string(c["object"])
		if i > 0 && h != head {
			t.Errorf("%s: id, created and model change", name)
		}
		head = h
		var choices []struct {
			Index int
			Delta struct {
				Role      *string
				ToolCalls []struct {
					Index            *int
					ID, Type         string
					Function, Custom *struct{ Name string }
				} `json:"tool_calls"`
			}
			FinishReason *string `json:"finish_reason"`
		}
		if err := json.Unmarshal(c["choices"], &choices); err != nil {
			t.Fatal(err)
		}
		if u, has := c["usage"]; len(choices) == 0 {
			if !usage || i != len(lines)-2 || string(u) == "null" {
				t.Errorf("%s: usage where it was not asked for, or not at the end", name)
			}
		} else if has && string(u) != "null" {
			t.Errorf("%s: usage beside choices", name)
		}
		for _, ch := range choices {
			if (ch.Delta.Role != nil) == roles[ch.Index] {
				t.Errorf("%s: the role must come once, first", name)
			}
			roles[ch.Index] = true
			if ends[ch.Index] {
				t.Errorf("%s: a chunk after the finish reason", name)
			}
			ends[ch.Index] = ch.FinishReason != nil
			for _, tc := range ch.Delta.ToolCalls {
				k := key{ch.Index, *tc.Index}
				first := !calls[k]
				calls[k] = true
				if first != (tc.ID != "") || first != (tc.Type != "") || tc.Function == nil && tc.Custom == nil {
					t.Errorf("%s: id, type and name come in the first delta only: %s", name, data)
				}
			}
		}
	}
	for n := range roles {
		if !ends[n] {
			t.Errorf("%s: answer %d has no finish reason", name, n)
		}
	}
}
