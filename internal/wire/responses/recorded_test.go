package responses

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
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// foreign are exchanges of the API whose answer is that of chat completions:
// so the vendor answered.
const foreign = "azure-deepseek"

func exchanges(t *testing.T) []recorded.Exchange {
	t.Helper()
	return recorded.Exchanges(t, func(x *recorded.Exchange) bool {
		x.Stream = x.Stream && strings.HasSuffix(x.Response, ".sse")
		return x.API == "responses" && !strings.Contains(x.Case, foreign)
	})
}

// split returns a reader of b whose pieces are random, by name.
func split(name string, b []byte) io.Reader {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name)
	return &recorded.Pieces{Left: b, Rand: rand.New(rand.NewPCG(h.Sum64(), 3)), Most: 700}
}

// decode reads a stream as a vendor's.
func decode(call *wire.Call, r io.Reader) (events []llm.Event, whole bool, bad *llm.Error) {
	src := Codec{}.Source(r)
	defer src.Close()
	d := Codec{}.Decoder(call)
	for {
		frames, err := src.Next()
		if err != nil {
			events, whole = d.End(events)
			return events, whole && err == io.EOF, nil
		}
		for _, f := range frames {
			if events, bad = d.Event(events, f); bad != nil {
				return events, false, bad
			}
		}
	}
}

// Every recorded answer is read, and what is written of it for a client means
// the same when it is read again.
func TestRecordedAnswers(t *testing.T) {
	n := 0
	for _, x := range exchanges(t) {
		n++
		req := &llm.Request{ID: "01TEST", Model: "asked"}
		if x.Body != nil {
			req.Body = fixed(x.Body)
		}
		if x.Status != 200 {
			continue
		}
		var r *llm.Reply
		var err *llm.Error
		if x.Stream {
			var events, again []llm.Event
			var whole bool
			if events, whole, err = decode(nil, strings.NewReader(string(x.Answer))); err != nil || !whole {
				t.Errorf("%s: whole %v: %v", x.Case, whole, err)
				continue
			}
			recorded.Lawful(t, x.Case, events)
			if again, _, _ = decode(nil, split(x.Case, x.Answer)); !reflect.DeepEqual(events, again) {
				t.Errorf("%s: other events where the stream is split", x.Case)
			}
			r = recorded.Reply(events)
			watched(t, x, r)
			encoded(t, x.Case, req, events, r)
		} else {
			if r, err = (Codec{}).Reply(nil, x.Answer); err != nil {
				t.Errorf("%s: %v", x.Case, err)
				continue
			}
			u, bad := Inspect(llm.OpChat, x.Answer)
			if bad != nil || !reflect.DeepEqual(u, r.Usage) {
				t.Errorf("%s: inspected as %+v, %v; read as %+v", x.Case, u, bad, r.Usage)
			}
			events := r.Events(nil)
			recorded.Lawful(t, x.Case, events)
			encoded(t, x.Case, req, events, r)
		}
		if r.ID == "" || r.Model == "" || r.Usage == nil || len(r.Answers) != 1 {
			t.Errorf("%s: incomplete: %+v %+v", x.Case, r, r.Usage)
		}
		told(t, x, r)
		back, err := Codec{}.Reply(nil, Codec{}.AppendReply(nil, req, r))
		if err != nil {
			t.Errorf("%s: written: %v", x.Case, err)
			continue
		}
		same(t, x.Case+" written", r, back)
	}
	if n < 200 {
		t.Errorf("%d exchanges: the recordings were not found", n)
	}
	t.Logf("%d exchanges", n)
}

// told checks a reply against the recorded response as encoding/json reads it.
func told(t *testing.T, x recorded.Exchange, r *llm.Reply) {
	t.Helper()
	var want struct {
		Output []struct {
			Type    string
			Content []struct{ Type, Text, Refusal string }
			CallID  string `json:"call_id"`
			Name    string
			Encrypt string `json:"encrypted_content"`
		}
	}
	raw := x.Answer
	if x.Stream {
		raw = nil
		for rest := x.Answer; len(rest) > 0; {
			var ev []byte
			ev, rest = sse.Split(rest)
			data, _ := sse.Data(ev)
			if v := scan.Get(data, "response"); v != nil {
				raw = v
			}
		}
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		return // of a shape that the test does not know
	}
	if len(want.Output) == 0 {
		return // ChatGPT's streams do not repeat their output
	}
	var text, calls, seals, gotText, gotCalls, gotSeals string
	for _, o := range want.Output {
		switch o.Type {
		case "message":
			for _, c := range o.Content {
				text += c.Text + c.Refusal
			}
		case "function_call", "custom_tool_call":
			calls += o.CallID + o.Name + " "
		case "reasoning":
			seals += o.Encrypt
		}
	}
	for _, b := range r.Answers[0].Blocks {
		switch b.Kind {
		case llm.BlockText, llm.BlockRefusal:
			gotText += b.Text
		case llm.BlockCall:
			gotCalls += b.ID + b.Name + " "
		case llm.BlockThinking:
			gotSeals += b.Seal.Data
		}
	}
	if (gotSeals != "") != (seals != "") || gotCalls != calls { // OpenAI seals anew in the last event
		t.Errorf("%s: calls %q and %d bytes of seals, want %q and %d", x.Case, gotCalls, len(gotSeals), calls, len(seals))
	}
	if cut, ok := strings.CutSuffix(text, "..."); gotText != text && !(ok && strings.HasPrefix(gotText, cut)) {
		t.Errorf("%s: text %q, want %q", x.Case, gotText, text)
	}
	if (r.Answers[0].Stop == llm.StopTools) != (calls != "" && r.Answers[0].Stop != llm.StopLength) {
		t.Errorf("%s: stop %v with calls %q", x.Case, r.Answers[0].Stop, calls)
	}
}

// watched checks that a watcher sees the end and the usage of a stream.
func watched(t *testing.T, x recorded.Exchange, r *llm.Reply) {
	t.Helper()
	w := Watch(&llm.Request{})
	content, done := false, false
	for rest := x.Answer; len(rest) > 0 && !done; {
		var ev []byte
		ev, rest = sse.Split(rest)
		look, err := w.Event(ev)
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
		}
		content, done = content || look.Content, look.Done
	}
	if _, whole := w.End(); !whole || !done || !content || w.Usage() != *r.Usage {
		t.Errorf("%s: whole %v, done %v, content %v, usage %+v, want %+v", x.Case, whole, done, content, w.Usage(), *r.Usage)
	}
	if IDOf(x.Answer) != r.ID {
		t.Errorf("%s: id %q, want %q", x.Case, IDOf(x.Answer), r.ID)
	}
}

// encoded checks that a stream written for a client is in order and means the
// same.
func encoded(t *testing.T, name string, req *llm.Request, events []llm.Event, r *llm.Reply) {
	t.Helper()
	e := Codec{}.Encoder(req)
	out := e.End(e.Events(nil, events))
	ordered(t, name, out)
	again, whole, err := decode(nil, split(name, out))
	if err != nil || !whole {
		t.Errorf("%s: written stream: whole %v: %v", name, whole, err)
		return
	}
	recorded.Lawful(t, name+" written", again)
	same(t, name+" streamed", r, recorded.Reply(again))
}

// same compares what two replies mean.
func same(t *testing.T, name string, a, b *llm.Reply) {
	t.Helper()
	a, b = meaning(a), meaning(b)
	if !reflect.DeepEqual(a, b) {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		t.Errorf("%s: means another thing:\n%s\n%s", name, x, y)
	}
}

// meaning is a reply without what a codec may choose: the ids of thinking
// that was not sealed, that of the reply where it is no response's, and the
// time where there was none.
func meaning(r *llm.Reply) *llm.Reply {
	out := *r
	out.Created = 0
	if !strings.HasPrefix(out.ID, "resp_") {
		out.ID = "resp_01TEST"
	}
	if r.Usage != nil {
		u := *r.Usage
		u.AudioInput, u.AudioOutput, u.ImageOutput = 0, 0, 0
		out.Usage = &u
	}
	out.Answers = nil
	for _, a := range r.Answers {
		blocks := append([]llm.Block(nil), a.Blocks...)
		for i := range blocks {
			if blocks[i].Kind == llm.BlockThinking {
				blocks[i].ID = ""
			}
			if blocks[i].Kind == llm.BlockCall && blocks[i].Text == "" && !blocks[i].Custom {
				blocks[i].Text = "{}"
			}
		}
		a.Blocks = blocks
		out.Answers = append(out.Answers, a)
	}
	return &out
}

// Every recorded request is read and written again with the same meaning.
func TestRecordedRequests(t *testing.T) {
	n, refused := 0, 0
	for _, x := range exchanges(t) {
		if x.Body == nil {
			continue
		}
		n++
		c, err := Codec{}.Chat(x.Body)
		if err != nil {
			if x.Status < 400 {
				t.Errorf("%s: %v", x.Case, err)
			}
			continue
		}
		call, err := Codec{}.Encode(c, wire.Target{Model: "m", Dialect: x.Provider})
		if err != nil {
			if err.Kind != llm.KindUnsupported {
				t.Errorf("%s: %v", x.Case, err)
			}
			refused++
			t.Logf("%s: %v", x.Case, err)
			continue
		}
		back, err := Codec{}.Chat(call.Body)
		if err != nil {
			t.Errorf("%s: written: %v", x.Case, err)
			continue
		}
		alike(t, x.Case, c, back)
	}
	if n < 150 || refused > n/20 {
		t.Errorf("%d requests, %d refused", n, refused)
	}
	t.Logf("%d requests, %d refused", n, refused)
}

// alike compares what two chats ask, but for what Encode decides: storing,
// strictness of tools and what is included.
func alike(t *testing.T, name string, a, b *llm.Chat) {
	t.Helper()
	norm := func(c *llm.Chat) string {
		n := *c
		n.Store, n.Left, n.Reasoning.Encrypted = nil, nil, false
		if n.Choice.Mode == llm.ChoiceAuto || len(n.Tools) == 0 {
			n.Choice = llm.Choice{}
		}
		n.Tools = append([]llm.Tool(nil), n.Tools...)
		for i := range n.Tools {
			if n.Tools[i].Strict == nil {
				n.Tools[i].Strict = new(bool)
			}
			var line bytes.Buffer
			_ = json.Compact(&line, n.Tools[i].Schema)
			n.Tools[i].Schema = line.Bytes()
		}
		n.Messages = nil
		for _, m := range c.Messages {
			var blocks []llm.Block
			for _, b := range m.Blocks {
				if b.Kind == llm.BlockThinking { // only sealed thinking travels
					if b.Seal.Maker == 0 {
						continue
					}
				}
				b.Cites, b.Cache = nil, llm.CacheNone
				if b.Kind == llm.BlockImage && b.Media.Detail == "" {
					m := *b.Media
					m.Detail = "auto"
					b.Media = &m
				}
				if b.Kind == llm.BlockCall && b.Text == "" {
					b.Text = "{}"
				}
				blocks = append(blocks, b)
			}
			if len(blocks) == 0 || blocks[0].Text == "Answer with a JSON object." {
				continue
			}
			if k := len(n.Messages); k > 0 && m.Role == llm.RoleSystem && n.Messages[k-1].Role == llm.RoleSystem {
				n.Messages[k-1].Blocks[0].Text += "\n\n" + blocks[0].Text
				continue
			}
			n.Messages = append(n.Messages, llm.Message{Role: m.Role, Blocks: blocks})
		}
		out, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if x, y := norm(a), norm(b); x != y {
		t.Errorf("%s: asks another thing:\n%s\n%s", name, x, y)
	}
}

// fixed is a request body that is held by nobody else.
type fixed []byte

func (b fixed) Bytes() []byte                 { return b }
func (b fixed) Conversation() (uint64, bool)  { return 0, false }
func (b fixed) User() string                  { return "" }
func (b fixed) Prompt(dst [][]byte) [][]byte  { return dst }
func (b fixed) Chat() (*llm.Chat, *llm.Error) { return Codec{}.Chat(b) }
func (b fixed) Hold()                         {}
func (b fixed) Release()                      {}

// ordered checks a client's stream: each event named as its type, numbered
// from 0, items and parts opened before they are filled and closed once.
func ordered(t *testing.T, name string, out []byte) {
	t.Helper()
	items := map[int64]string{} // by output index
	closed := map[int64]bool{}
	seq := int64(0)
	last := ""
	for len(out) > 0 {
		var ev []byte
		ev, out = sse.Split(out)
		data, _ := sse.Data(ev)
		if !json.Valid(data) {
			t.Fatalf("%s: no JSON: %s", name, ev)
		}
		kind, _ := scan.String(scan.Get(data, "type"))
		n, _ := scan.Int(scan.Get(data, "sequence_number"))
		if sse.Name(ev) != kind || n != seq {
			t.Errorf("%s: event %q of type %q with number %d, want %d", name, sse.Name(ev), kind, n, seq)
		}
		seq++
		last = kind
		if seq == 1 && kind != "response.created" || seq == 2 && kind != "response.in_progress" {
			t.Errorf("%s: event %d is %s", name, seq-1, kind)
		}
		at, has := scan.Int(scan.Get(data, "output_index"))
		if !has {
			continue
		}
		switch kind {
		case "response.output_item.added":
			if at != int64(len(items)) {
				t.Errorf("%s: item %d after %d", name, at, len(items))
			}
			items[at], _ = scan.String(scan.Get(scan.Get(data, "item"), "id"))
		case "response.output_item.done":
			if id, _ := scan.String(scan.Get(scan.Get(data, "item"), "id")); id != items[at] || closed[at] {
				t.Errorf("%s: item %d is %q, was %q, closed %v", name, at, id, items[at], closed[at])
			}
			closed[at] = true
		default:
			if id, _ := scan.String(scan.Get(data, "item_id")); id != items[at] || id == "" || closed[at] {
				t.Errorf("%s: %s of item %q, want %q, closed %v", name, kind, id, items[at], closed[at])
			}
		}
	}
	if last != "response.completed" && last != "response.incomplete" || len(closed) != len(items) {
		t.Errorf("%s: ends with %s, %d items of %d closed", name, last, len(closed), len(items))
	}
}
