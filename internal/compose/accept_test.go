package compose

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/upstream"
)

// gate makes a gate with an action.
func gate(t *testing.T, name string, action upstream.Action, o quality.Options) Gate {
	t.Helper()
	g, err := quality.New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return Gate{Gate: g, Action: action}
}

// pieces are a reply as a stream brings it, n bytes of text at a time.
func pieces(r *llm.Reply, n int) (out []llm.Chunk) {
	for _, e := range r.Events(nil) {
		text := e.Text
		for {
			cut := min(n, len(text))
			if e.Text = text[:cut]; e.Kind != llm.EventDelta {
				e.Text = ""
			}
			out = append(out, llm.Chunk{Events: []llm.Event{e}, Level: llm.LevelContent})
			if text = text[cut:]; text == "" {
				break
			}
		}
	}
	return out
}

func answers(texts ...string) *llm.Reply {
	r := &llm.Reply{ID: "vendor's", Model: "m"}
	for _, text := range texts {
		r.Answers = append(r.Answers, replyOf(text).Answers[0])
	}
	return r
}

const refusal = "I'm sorry, but I can't help with that."

func TestGates(t *testing.T) {
	json := func(req *llm.Request) {
		chat, _ := req.Body.Chat()
		chat.Format.Kind = llm.FormatJSON
	}
	complete, refused := gate(t, "complete", upstream.Escalate, quality.Options{}), gate(t, "not_refused", upstream.Escalate, quality.Options{})
	flagged := gate(t, "not_refused", upstream.Flag, quality.Options{})
	mend := gate(t, "valid_json", upstream.Repair, quality.Options{})
	schema := gate(t, "valid_schema", upstream.Block, quality.Options{Schema: []byte(`{"type":"object","required":["a"]}`)})
	for _, c := range []struct {
		name   string
		gates  []Gate
		reply  *llm.Reply
		change func(*llm.Request)
		action upstream.Action
		gate   string
		flags  string
		left   string // after what was repaired
		text   string // of what was repaired
	}{
		{"good", []Gate{complete, refused}, answers("The sky is blue."), nil, upstream.Pass, "", "", "", ""},
		{"a refusal", []Gate{complete, refused}, answers(refusal), nil, upstream.Escalate, "not_refused", "refused", "refused", ""},
		{"only flagged", []Gate{complete, flagged}, answers(refusal), nil, upstream.Flag, "not_refused", "refused", "refused", ""},
		{"no answer", []Gate{complete, refused}, &llm.Reply{}, nil, upstream.Escalate, "complete", "empty", "empty", ""},
		{"an empty one", []Gate{complete, refused}, answers(" "), nil, upstream.Escalate, "complete", "empty", "empty", ""},
		{"one of two", []Gate{complete, refused}, answers("The sky is blue.", refusal), func(q *llm.Request) { q.N = 2 }, upstream.Escalate, "not_refused", "refused", "refused", ""},
		{"mended", []Gate{mend, complete}, answers("```json\n{\"a\": 1,}\n```"), json, upstream.Repair, "valid_json", "invalid_json", "", `{"a": 1}`},
		{"mended and judged then", []Gate{mend, schema}, answers("```json\n{\"b\": 1,}\n```"), json, upstream.Block, "valid_schema", "invalid_json invalid_schema", "invalid_schema", `{"b": 1}`},
		{"cannot be mended", []Gate{mend}, answers("no JSON here"), json, upstream.Escalate, "valid_json", "invalid_json", "invalid_json", ""},
		{"JSON was not asked for", []Gate{mend}, answers("no JSON here"), nil, upstream.Pass, "", "", "", ""},
		{"one of two is mended", []Gate{mend}, answers(`{"a":1}`, `{"a":2`), func(q *llm.Request) { json(q); q.N = 2 }, upstream.Repair, "valid_json", "invalid_json", "", `{"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := request("What is it?")
			if c.change != nil {
				c.change(req)
			}
			g := &Gates{Pure: c.gates}
			j := g.Begin(req, nil)
			for _, p := range pieces(c.reply, 7) {
				j.Add(&p)
			}
			j.End()
			for what, v := range map[string]upstream.Verdict{"whole": j.Whole(context.Background()), "held": j.Held()} {
				if v.Action != c.action || v.Gate != c.gate || strings.Join(v.Flags.Names(), " ") != c.flags || strings.Join((v.Flags&^v.Mended).Names(), " ") != c.left {
					t.Errorf("%s: got %v by %q, %v, mended %v", what, v.Action, v.Gate, v.Flags.Names(), v.Mended.Names())
				}
				if !math.IsNaN(v.Score) {
					t.Errorf("%s: a score of %v", what, v.Score)
				}
				if c.text != "" && (v.Reply == nil || len(v.Reply.Answers) != len(c.reply.Answers) || compact(textOf(&v.Reply.Answers[0])) != compact(c.text) || v.Reply.ID != c.reply.ID) {
					t.Errorf("%s: mended %+v", what, v.Reply)
				}
			}
			if flags, _ := j.Late(context.Background(), req.Trail); strings.Join(flags.Names(), " ") != c.flags {
				t.Errorf("late: %v", flags.Names())
			}
		})
	}
}

func compact(s string) string { return strings.ReplaceAll(s, " ", "") }

// The beginning of an answer is judged by the gates that can, and is not taken for
// an answer that is empty or cut.
func TestBeginnings(t *testing.T) {
	all := []Gate{gate(t, "complete", upstream.Escalate, quality.Options{}), gate(t, "not_truncated", upstream.Escalate, quality.Options{}), gate(t, "not_refused", upstream.Escalate, quality.Options{})}
	for text, want := range map[string]upstream.Action{"": upstream.Pass, "```\nThe sky": upstream.Pass, refusal: upstream.Escalate} {
		j := (&Gates{Pure: all}).Begin(request("What is it?"), nil)
		for _, e := range answers(text).Events(nil) {
			if e.Kind != llm.EventStop && e.Kind != llm.EventBlockEnd {
				j.Add(&llm.Chunk{Events: []llm.Event{e}, Level: llm.LevelContent})
			}
		}
		if v := j.Held(); v.Action != want {
			t.Errorf("%q: got %v %v", text, v.Action, v.Flags.Names())
		}
	}
	// Of a stream nothing can be mended that is not wholly held.
	req := request("What is it?")
	chat, _ := req.Body.Chat()
	chat.Format.Kind = llm.FormatJSON
	j := (&Gates{Pure: []Gate{gate(t, "valid_json", upstream.Repair, quality.Options{})}}).Begin(req, nil)
	j.Add(&llm.Chunk{Events: answers("Here you are: {").Events(nil)[:3], Level: llm.LevelContent})
	if v := j.Held(); v.Action != upstream.Flag || v.Flags != llm.FlagJSON {
		t.Errorf("got %v %v", v.Action, v.Flags.Names())
	}
}

// Where a piece of an answer was not understood, or there is too much of it,
// nothing is said of it.
func TestUnknownAnswers(t *testing.T) {
	m := &model{f: func(*llm.Request, *llm.Chat) (string, error) { return `{"score":0}`, nil }}
	g := &Gates{Pure: []Gate{gate(t, "complete", upstream.Block, quality.Options{})}, Critics: []Critic{&Judge{Asked: asked(m), Min: 1}}}
	for name, c := range map[string]llm.Chunk{
		"bytes": {Raw: []byte("x"), Level: llm.LevelContent},
		"much":  {Events: append(answers("").Events(nil)[:2:2], llm.Event{Kind: llm.EventDelta, Text: strings.Repeat("x", maxStream+1)}), Level: llm.LevelContent},
	} {
		req := request("What is it?")
		req.Stream = true
		j := g.Begin(req, nil)
		j.Add(&c)
		j.Add(&llm.Chunk{Events: answers("").Events(nil), Level: llm.LevelContent})
		j.End()
		flags, _ := j.Late(context.Background(), req.Trail)
		if v := j.Whole(context.Background()); v.Action != upstream.Pass || v.Flags != 0 || flags != 0 {
			t.Errorf("%s: got %v %v, late %v", name, v.Action, v.Flags.Names(), flags.Names())
		}
	}
	if len(m.asked) > 0 {
		t.Error("a judge was asked")
	}
}

// An answer that ends where the request wants it to is not escalated for that, but
// where the operator says so.
func TestCutAsWished(t *testing.T) {
	chosen := gate(t, "not_truncated", upstream.Escalate, quality.Options{})
	chosen.Chosen = true
	all := []Gate{gate(t, "complete", upstream.Escalate, quality.Options{}), gate(t, "not_truncated", upstream.Escalate, quality.Options{}), gate(t, "valid_json", upstream.Escalate, quality.Options{Always: true})}
	for _, c := range []struct {
		name   string
		gates  []Gate
		text   string
		stop   llm.Stop
		change func(*llm.Request, *llm.Chat)
		want   upstream.Action
	}{
		{"by the client", all, `{"a":`, llm.StopLength, func(_ *llm.Request, c *llm.Chat) { c.MaxOutput = 5 }, upstream.Flag},
		{"while it was thinking", all, "", llm.StopLength, func(_ *llm.Request, c *llm.Chat) { c.MaxOutput = 5 }, upstream.Flag},
		{"by a clamp", all, `{"a":`, llm.StopLength, func(q *llm.Request, _ *llm.Chat) { q.Clamp = 5 }, upstream.Flag},
		{"by nobody", all, `{"a":`, llm.StopLength, nil, upstream.Escalate},
		{"at its end", all, `{"a":`, llm.StopEnd, func(_ *llm.Request, c *llm.Chat) { c.MaxOutput = 5 }, upstream.Escalate},
		{"by the client, and the operator says", []Gate{chosen}, `{"a":`, llm.StopLength, func(_ *llm.Request, c *llm.Chat) { c.MaxOutput = 5 }, upstream.Escalate},
		{"a refusal", []Gate{gate(t, "not_refused", upstream.Escalate, quality.Options{})}, refusal, llm.StopLength, func(_ *llm.Request, c *llm.Chat) { c.MaxOutput = 5 }, upstream.Escalate},
	} {
		req := request("What is it?")
		chat, _ := req.Body.Chat()
		if c.change != nil {
			c.change(req, chat)
		}
		reply := answers(c.text)
		reply.Answers[0].Stop = c.stop
		j := (&Gates{Pure: c.gates}).Begin(req, nil)
		j.Add(&llm.Chunk{Events: reply.Events(nil), Level: llm.LevelContent})
		j.End()
		if v := j.Whole(context.Background()); v.Action != c.want || v.Flags == 0 {
			t.Errorf("%s: got %v %v, want %v", c.name, v.Action, v.Flags.Names(), c.want)
		}
	}
}

// An answer of very many blocks is not kept, and nothing is said of it.
func TestManyBlocks(t *testing.T) {
	req := request("What is it?")
	req.Stream = true
	j := (&Gates{Pure: []Gate{gate(t, "complete", upstream.Escalate, quality.Options{})}}).Begin(req, nil).(*hearing)
	for i := range quality.MaxBlocks + 1 {
		j.Add(&llm.Chunk{Events: []llm.Event{{Kind: llm.EventBlock, Index: i, Block: &llm.Block{Kind: llm.BlockThinking}}}, Level: llm.LevelContent})
	}
	j.End()
	if v := j.Whole(context.Background()); v.Flags != 0 || len(j.answers.Reply().Answers) != 0 {
		t.Errorf("flags %v, %d answers are kept", v.Flags.Names(), len(j.answers.Reply().Answers))
	}
}

// What is judged late is bounded, and ends with the desk.
func TestLater(t *testing.T) {
	g := &Gates{Desk: NewDesk()}
	begun := 0
	for range maxLate + 10 {
		if g.Later(func(ctx context.Context) { <-ctx.Done() }) {
			begun++
		}
	}
	if begun != maxLate {
		t.Errorf("%d are judged at a time, want %d", begun, maxLate)
	}
	g.Desk.Close()
	if n := g.late.Load(); n != 0 {
		t.Errorf("%d are counted at the end", n)
	}
	if g.Later(func(context.Context) {}) {
		t.Error("a closed desk takes more")
	}
}

// asked is what gates have that ask m.
func asked(m *model) Asked {
	return Asked{Body: bodies(nil), Model: "small", Handler: m, Timeout: time.Minute, Action: upstream.Escalate, Sample: 1}
}
