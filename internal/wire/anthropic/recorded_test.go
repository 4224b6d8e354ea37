package anthropic

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// exchange is a recorded exchange with a vendor that speaks the protocol.
type exchange struct {
	name, provider, api, model string
	stream                     bool
	status                     int
	req, answer                []byte // nil where not recorded
}

// recorded returns the exchanges of the Messages API, at Anthropic, on Vertex
// and, whole answers only, on Bedrock.
func recorded(t *testing.T, apis ...string) (out []exchange) {
	t.Helper()
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds wire/, the recorded exchanges")
	}
	dir := filepath.Join(root, "wire")
	f, err := os.Open(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Case, Provider, API, Model, Response string
			Stream                               bool
			Status                               int
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(apis, row.Provider+"/"+row.API) {
			continue
		}
		x := exchange{name: row.Case, provider: row.Provider, api: row.API, model: row.Model, stream: row.Stream, status: row.Status}
		if x.answer, err = os.ReadFile(filepath.Join(dir, row.Case, row.Response)); err != nil {
			t.Fatal(err)
		}
		x.req, err = os.ReadFile(filepath.Join(dir, row.Case, "request.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

var messageAPIs = []string{"anthropic/messages", "vertex/rawPredict", "vertex/streamRawPredict"}

func seed(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

// stutter returns b in random pieces.
type stutter struct {
	b   []byte
	rnd *rand.Rand
}

func (s *stutter) Read(dst []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, s.b[:min(len(s.b), 1+s.rnd.IntN(200))])
	s.b = s.b[n:]
	return n, nil
}

// decode reads a stream to its end.
func decode(call *wire.Call, body io.Reader) (events []llm.Event, whole bool, err error) {
	src := Codec{}.Source(body)
	defer src.Close()
	d := Codec{}.Decoder(call)
	for {
		frames, err := src.Next()
		if err == io.EOF {
			events, whole = d.End(events)
			return events, whole, nil
		}
		if err != nil {
			return events, false, err
		}
		for _, f := range frames {
			var bad *llm.Error
			if events, bad = d.Event(events, f); bad != nil {
				return events, false, bad
			}
		}
	}
}

// lawful checks the law of events that llm.EventKind states.
func lawful(t *testing.T, name string, events []llm.Event) {
	t.Helper()
	open := map[int]bool{}
	next, stops := 0, 0
	for i, e := range events {
		switch e.Kind {
		case llm.EventStart:
			if i != 0 {
				t.Errorf("%s: a start at %d", name, i)
			}
		case llm.EventBlock:
			if e.Index != next || e.Block == nil || e.Block.Text != "" || stops > 0 {
				t.Errorf("%s: block %d begins, want %d: %+v", name, e.Index, next, e.Block)
			}
			open[e.Index] = true
			next++
		case llm.EventDelta, llm.EventCite, llm.EventSeal, llm.EventBlockEnd:
			if !open[e.Index] {
				t.Errorf("%s: event %d for block %d, which is not open", name, e.Kind, e.Index)
			}
			if e.Kind == llm.EventBlockEnd {
				delete(open, e.Index)
			}
		case llm.EventStop:
			if len(open) > 0 || stops > 0 {
				t.Errorf("%s: stop with %d open blocks, after %d stops", name, len(open), stops)
			}
			stops++
		}
	}
	if len(events) > 0 && events[0].Kind != llm.EventStart {
		t.Errorf("%s: begins with %d", name, events[0].Kind)
	}
}

func collect(events []llm.Event) *llm.Reply {
	var c llm.Collector
	c.Add(events...)
	return c.Reply()
}

// Every recorded stream, in whatever pieces it comes, keeps the law of events
// and says the same; written again for a client of the protocol and read
// again it still does.
func TestRecordedStreams(t *testing.T) {
	n := 0
	for _, x := range recorded(t, messageAPIs...) {
		if !x.stream || x.status != 200 {
			continue
		}
		n++
		events, whole, err := decode(&wire.Call{}, bytes.NewReader(x.answer))
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", x.name, whole, err)
			continue
		}
		lawful(t, x.name, events)
		pieces, _, _ := decode(&wire.Call{}, &stutter{x.answer, seed(x.name)})
		if !reflect.DeepEqual(events, pieces) {
			t.Errorf("%s: other events in pieces", x.name)
		}
		want := collect(events)
		if want.Usage == nil || want.Usage.Estimated || len(want.Answers) != 1 || want.Answers[0].Stop == llm.StopNone || want.Model == "" {
			t.Errorf("%s: %+v", x.name, want)
		}
		enc := Codec{}.Encoder(&llm.Request{ID: "1"})
		again, whole, err := decode(&wire.Call{}, bytes.NewReader(enc.End(enc.Events(nil, events))))
		if err != nil || !whole {
			t.Errorf("%s: written again: whole %v, %v", x.name, whole, err)
		}
		lawful(t, x.name, again)
		same(t, x.name, collect(again), want)
		unary, bad := Codec{}.Reply(&wire.Call{}, Codec{}.AppendReply(nil, &llm.Request{ID: "1"}, want))
		if bad != nil {
			t.Errorf("%s: written as a message: %v", x.name, bad)
			continue
		}
		same(t, x.name, unary, want)
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
	for _, x := range recorded(t, append(messageAPIs, "bedrock/invoke")...) {
		if x.stream || x.status != 200 || !strings.Contains(x.model, "claude") {
			continue
		}
		n++
		r, err := Codec{}.Reply(&wire.Call{}, x.answer)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if r.Usage == nil || len(r.Answers) != 1 || r.Answers[0].Stop == llm.StopNone || r.ID == "" {
			t.Errorf("%s: %+v", x.name, r)
		}
		again, err := Codec{}.Reply(&wire.Call{}, Codec{}.AppendReply(nil, &llm.Request{ID: "1"}, r))
		if err != nil {
			t.Errorf("%s: written again: %v", x.name, err)
			continue
		}
		same(t, x.name, again, r)
		enc := Codec{}.Encoder(&llm.Request{ID: "1"})
		streamed, whole, bad := decode(&wire.Call{}, bytes.NewReader(enc.End(enc.Events(nil, r.Events(nil)))))
		if bad != nil || !whole {
			t.Errorf("%s: written as a stream: whole %v, %v", x.name, whole, bad)
		}
		lawful(t, x.name, streamed)
		same(t, x.name, collect(streamed), r)
		u, err := Inspect(llm.OpChat, x.answer)
		if err != nil || u == nil || *u != *r.Usage {
			t.Errorf("%s: Inspect says %+v, %v; want %+v", x.name, u, err, r.Usage)
		}
	}
	if n < 30 {
		t.Errorf("%d answers: the recordings were not found", n)
	}
}

// What the watcher sees of a stream is what the decoder reads in it.
func TestRecordedWatch(t *testing.T) {
	for _, x := range recorded(t, messageAPIs...) {
		if !x.stream || x.status != 200 {
			continue
		}
		events, _, _ := decode(&wire.Call{}, bytes.NewReader(x.answer))
		want := collect(events)
		w := Watch(&llm.Request{})
		content, done := false, false
		for rest := x.answer; len(rest) > 0; {
			var ev []byte
			ev, rest = sse.Split(rest)
			look, err := w.Event(ev)
			if err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
			content = content || look.Content
			done = done || look.Done
		}
		if u := w.Usage(); u != *want.Usage || !content || !done {
			t.Errorf("%s: content %v, done %v, usage %+v, want %+v", x.name, content, done, u, *want.Usage)
		}
	}
}

// Every recorded request reads, and means the same written again for the
// model that it was for.
func TestRecordedRequests(t *testing.T) {
	n, refused := 0, 0
	for _, x := range recorded(t, messageAPIs...) {
		if x.req == nil {
			continue
		}
		n++
		c, err := Codec{}.Chat(x.req)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		dialect := ""
		if x.provider == "vertex" {
			dialect = Vertex
		}
		call, err := Codec{}.Encode(c, wire.Target{Model: x.model, Stream: x.stream, Dialect: dialect})
		if err != nil {
			if err.Kind != llm.KindUnsupported {
				t.Errorf("%s: %v", x.name, err)
			}
			refused++
			t.Logf("%s: %v", x.name, err)
			continue
		}
		if len(call.Lossy) > 0 {
			t.Logf("%s: lossy %v", x.name, call.Lossy)
		}
		again, err := Codec{}.Chat(call.Body)
		if err != nil {
			t.Errorf("%s: written again: %v", x.name, err)
			continue
		}
		if x.status != 200 {
			continue
		}
		a, _ := json.Marshal(meaning(again))
		b, _ := json.Marshal(meaning(c))
		if !bytes.Equal(a, b) {
			t.Errorf("%s:\n got %s\nwant %s", x.name, a, b)
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
