package anthropic

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// exchanges are recorded exchanges of the Messages API: at Anthropic, on Vertex
// and, whole answers only, on Bedrock.
func exchanges(t *testing.T, apis ...string) []recorded.Exchange {
	t.Helper()
	return recorded.Exchanges(t, func(x *recorded.Exchange) bool { return slices.Contains(apis, x.Provider+"/"+x.API) })
}

var messageAPIs = []string{"anthropic/messages", "vertex/rawPredict", "vertex/streamRawPredict"}

// Every recorded stream, in whatever pieces it comes, keeps the law of events
// and says the same; written again for a client of the protocol and read
// again it still does.
func TestRecordedStreams(t *testing.T) {
	n := 0
	for _, x := range exchanges(t, messageAPIs...) {
		if !x.Stream || x.Status != 200 {
			continue
		}
		n++
		events, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(x.Answer))
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", x.Case, whole, err)
			continue
		}
		recorded.Lawful(t, x.Case, events)
		pieces, _, _ := recorded.Events(Codec{}, &wire.Call{}, &recorded.Pieces{Left: x.Answer, Rand: recorded.Seed(x.Case, 1), Most: 200})
		if !reflect.DeepEqual(events, pieces) {
			t.Errorf("%s: other events in pieces", x.Case)
		}
		want := recorded.Reply(events)
		if want.Usage == nil || want.Usage.Estimated || len(want.Answers) != 1 || want.Answers[0].Stop == llm.StopNone || want.Model == "" {
			t.Errorf("%s: %+v", x.Case, want)
		}
		enc := Codec{}.Encoder(&llm.Request{ID: "1"})
		again, whole, err := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(enc.End(enc.Events(nil, events))))
		if err != nil || !whole {
			t.Errorf("%s: written again: whole %v, %v", x.Case, whole, err)
		}
		recorded.Lawful(t, x.Case, again)
		same(t, x.Case, recorded.Reply(again), want)
		unary, bad := Codec{}.Reply(&wire.Call{}, Codec{}.AppendReply(nil, &llm.Request{ID: "1"}, want))
		if bad != nil {
			t.Errorf("%s: written as a message: %v", x.Case, bad)
			continue
		}
		same(t, x.Case, unary, want)
	}
	if n < 40 {
		t.Errorf("%d streams: the recordings were not found", n)
	}
}

// same compares two replies, but for blocks that say nothing.
func same(t *testing.T, name string, got, want *llm.Reply) {
	t.Helper()
	a, b := *got, *want
	a.Answers, b.Answers = []llm.Answer{said(got)}, []llm.Answer{said(want)}
	if !reflect.DeepEqual(a, b) {
		g, _ := json.Marshal(a)
		w, _ := json.Marshal(b)
		i := 0
		for i < min(len(g), len(w)) && g[i] == w[i] {
			i++
		}
		i = max(0, i-80)
		t.Errorf("%s:\n got …%.300s\nwant …%.300s", name, g[i:], w[i:])
	}
}

func said(r *llm.Reply) llm.Answer {
	a := r.Answers[0]
	var out []llm.Block
	for _, b := range a.Blocks {
		if b.Kind == llm.BlockCall && b.Text == "" {
			b.Text = "{}"
		}
		if b.Kind == llm.BlockCall && a.Stop == llm.StopEnd { // recorded where the vendor's own code called
			a.Stop = llm.StopTools
		}
		if b.Kind == llm.BlockHosted || b.Kind == llm.BlockCall {
			b.Text = compact(b.Text)
		}
		for i := range b.Cites {
			b.Cites[i].Start, b.Cites[i].End = 0, 0
		}
		if b.Text != "" || b.Seal.Maker != 0 {
			out = append(out, b)
		}
	}
	a.Blocks = out
	return a
}

func compact(s string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(s)) != nil {
		return s
	}
	return b.String()
}

// Every recorded whole answer reads, and means the same written again.
func TestRecordedAnswers(t *testing.T) {
	n := 0
	for _, x := range exchanges(t, append(messageAPIs, "bedrock/invoke")...) {
		if x.Stream || x.Status != 200 || !strings.Contains(x.Model, "claude") {
			continue
		}
		n++
		r, err := Codec{}.Reply(&wire.Call{}, x.Answer)
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		if r.Usage == nil || len(r.Answers) != 1 || r.Answers[0].Stop == llm.StopNone || r.ID == "" {
			t.Errorf("%s: %+v", x.Case, r)
		}
		again, err := Codec{}.Reply(&wire.Call{}, Codec{}.AppendReply(nil, &llm.Request{ID: "1"}, r))
		if err != nil {
			t.Errorf("%s: written again: %v", x.Case, err)
			continue
		}
		same(t, x.Case, again, r)
		enc := Codec{}.Encoder(&llm.Request{ID: "1"})
		streamed, whole, bad := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(enc.End(enc.Events(nil, r.Events(nil)))))
		if bad != nil || !whole {
			t.Errorf("%s: written as a stream: whole %v, %v", x.Case, whole, bad)
		}
		recorded.Lawful(t, x.Case, streamed)
		same(t, x.Case, recorded.Reply(streamed), r)
		u, err := Inspect(llm.OpChat, x.Answer)
		if err != nil || u == nil || *u != *r.Usage {
			t.Errorf("%s: Inspect says %+v, %v; want %+v", x.Case, u, err, r.Usage)
		}
	}
	if n < 30 {
		t.Errorf("%d answers: the recordings were not found", n)
	}
}

// What the watcher sees of a stream is what the decoder reads in it.
func TestRecordedWatch(t *testing.T) {
	for _, x := range exchanges(t, messageAPIs...) {
		if !x.Stream || x.Status != 200 {
			continue
		}
		events, _, _ := recorded.Events(Codec{}, &wire.Call{}, bytes.NewReader(x.Answer))
		want := recorded.Reply(events)
		w := Watch(&llm.Request{})
		content, done := false, false
		for rest := x.Answer; len(rest) > 0; {
			var ev []byte
			ev, rest = sse.Split(rest)
			look, err := w.Event(ev)
			if err != nil {
				t.Fatalf("%s: %v", x.Case, err)
			}
			content = content || look.Content
			done = done || look.Done
		}
		if u := w.Usage(); u != *want.Usage || !content || !done {
			t.Errorf("%s: content %v, done %v, usage %+v, want %+v", x.Case, content, done, u, *want.Usage)
		}
	}
}

// Every recorded request reads, and means the same written again for the
// model that it was for.
func TestRecordedRequests(t *testing.T) {
	n, refused := 0, 0
	for _, x := range exchanges(t, messageAPIs...) {
		if x.Body == nil {
			continue
		}
		n++
		c, err := Codec{}.Chat(x.Body)
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		dialect := ""
		if x.Provider == "vertex" {
			dialect = Vertex
		}
		call, err := Codec{}.Encode(c, wire.Target{Model: x.Model, Stream: x.Stream, Dialect: dialect})
		if err != nil {
			if err.Kind != llm.KindUnsupported {
				t.Errorf("%s: %v", x.Case, err)
			}
			refused++
			t.Logf("%s: %v", x.Case, err)
			continue
		}
		if len(call.Lossy) > 0 {
			t.Logf("%s: lossy %v", x.Case, call.Lossy)
		}
		again, err := Codec{}.Chat(call.Body)
		if err != nil {
			t.Errorf("%s: written again: %v", x.Case, err)
			continue
		}
		if x.Status != 200 {
			continue
		}
		a, _ := json.Marshal(meaning(again))
		b, _ := json.Marshal(meaning(c))
		if !bytes.Equal(a, b) {
			t.Errorf("%s:\n got %s\nwant %s", x.Case, a, b)
		}
	}
	if n < 75 || refused > 15 {
		t.Errorf("%d requests, %d refused", n, refused)
	}
}

// meaning is what of a chat has to come through.
func meaning(c *llm.Chat) *llm.Chat {
	out := *c
	out.Left = nil
	return &out
}
