package cohere

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

// exchanges are those of version 2 of the API.
func exchanges(t *testing.T) []recorded.Exchange {
	t.Helper()
	all := recorded.Exchanges(t, func(x *recorded.Exchange) bool { return x.Provider == "cohere" && x.API == "chat" })
	return slices.DeleteFunc(all, func(x recorded.Exchange) bool { return x.Body != nil && !bytes.Contains(x.Body, []byte(`"messages"`)) })
}

// decode reads a stream to its end.
func decode(call *wire.Call, src io.Reader) (out []llm.Event, whole bool, bad *llm.Error) {
	s := Codec{}.Source(src)
	defer s.Close()
	d := Codec{}.Decoder(call)
	for {
		frames, err := s.Next()
		for _, f := range frames {
			if out, bad = d.Event(out, f); bad != nil {
				return out, false, bad
			}
		}
		if err != nil {
			out, whole = d.End(out)
			return out, whole && err == io.EOF, nil
		}
	}
}

// raw is an answer as it was recorded.
type raw struct {
	ID      string
	Finish  string `json:"finish_reason"`
	Message struct {
		Plan    string `json:"tool_plan"`
		Content []struct{ Text, Thinking string }
		Calls   []struct {
			ID       string
			Function struct{ Name, Arguments string }
		} `json:"tool_calls"`
		Citations []struct{ Sources []any }
	}
	Usage struct {
		Billed struct {
			Input  int64 `json:"input_tokens"`
			Output int64 `json:"output_tokens"`
		} `json:"billed_units"`
	}
}

func TestRecordedReplies(t *testing.T) {
	for _, x := range exchanges(t) {
		if x.Stream {
			continue
		}
		call := &wire.Call{}
		r, err := Codec{}.Reply(call, x.Answer)
		if x.Status != 200 {
			if err == nil {
				t.Errorf("%s: an error was read as an answer", x.Case)
			}
			continue
		}
		if err != nil || call.Lossy != nil {
			t.Errorf("%s: %v, lost %v", x.Case, err, call.Lossy)
			continue
		}
		recorded.Lawful(t, x.Case, r.Events(nil))
		var want raw
		if err := json.Unmarshal(x.Answer, &want); err != nil {
			t.Fatal(err)
		}
		said := want.Message.Plan
		for _, p := range want.Message.Content {
			said += p.Thinking + p.Text
		}
		cited := 0
		for _, c := range want.Message.Citations {
			cited += len(c.Sources)
		}
		var got strings.Builder
		calls := want.Message.Calls
		for _, b := range r.Answers[0].Blocks {
			cited -= len(b.Cites)
			if b.Kind != llm.BlockCall {
				got.WriteString(b.Text)
				continue
			}
			if len(calls) == 0 || b.ID != calls[0].ID || b.Name != calls[0].Function.Name || b.Text != strings.TrimPrefix(calls[0].Function.Arguments, "null") {
				t.Fatalf("%s: got the call %+v, want the first of %+v", x.Case, b, calls)
			}
			calls = calls[1:]
		}
		if got.String() != said || cited != 0 || len(calls) != 0 {
			t.Errorf("%s: said %q, want %q; %d sources and %d calls are missing", x.Case, got.String(), said, cited, len(calls))
		}
		if (want.Finish == "TOOL_CALL") != (r.Answers[0].Stop == llm.StopTools) || r.ID != want.ID {
			t.Errorf("%s: %s gave %v, id %q", x.Case, want.Finish, r.Answers[0].Stop, r.ID)
		}
		if r.Usage == nil || r.Usage.Input != want.Usage.Billed.Input || r.Usage.Output != want.Usage.Billed.Output {
			t.Errorf("%s: usage %+v, want %+v", x.Case, r.Usage, want.Usage)
		}
	}
}

func TestRecordedStreams(t *testing.T) {
	streams := 0
	for _, x := range exchanges(t) {
		if !x.Stream {
			continue
		}
		streams++
		call := &wire.Call{}
		events, whole, err := decode(call, bytes.NewReader(x.Answer))
		if err != nil || !whole || call.Lossy != nil {
			t.Errorf("%s: %v, whole %v, lost %v", x.Case, err, whole, call.Lossy)
			continue
		}
		recorded.Lawful(t, x.Case, events)
		for seed := range uint64(5) {
			cut, whole, err := decode(&wire.Call{}, &recorded.Pieces{Left: x.Answer, Rand: rand.New(rand.NewPCG(seed, 7)), Most: 64})
			if err != nil || !whole || !reflect.DeepEqual(cut, events) {
				t.Errorf("%s: in pieces it is another answer: %v", x.Case, err)
			}
		}
		var want, got strings.Builder
		sources := 0
		for line := range bytes.Lines(x.Answer) {
			data, ok := bytes.CutPrefix(line, []byte("data: {"))
			if !ok {
				continue
			}
			var ev struct {
				Type  string
				Delta struct {
					Message struct {
						Plan      string `json:"tool_plan"`
						Content   any
						Calls     any `json:"tool_calls"`
						Citations any
					}
				}
			}
			if err := json.Unmarshal(append([]byte("{"), data...), &ev); err != nil {
				t.Fatal(err)
			}
			m := ev.Delta.Message
			want.WriteString(m.Plan)
			if c, ok := m.Content.(map[string]any); ok {
				for _, k := range []string{"text", "thinking"} {
					s, _ := c[k].(string)
					want.WriteString(s)
				}
			}
			if c, ok := m.Calls.(map[string]any); ok {
				f, _ := c["function"].(map[string]any)
				s, _ := f["arguments"].(string)
				want.WriteString(s)
			}
			if c, ok := m.Citations.(map[string]any); ok {
				sources += len(c["sources"].([]any))
			}
		}
		for _, e := range events {
			got.WriteString(e.Text)
			if e.Kind == llm.EventCite {
				sources--
			}
		}
		if got.String() != want.String() || sources != 0 {
			t.Errorf("%s: got %q\nwant %q\n%d sources are missing", x.Case, got.String(), want.String(), sources)
		}
		var c llm.Collector
		c.Add(events...)
		r := c.Reply()
		if r.Usage == nil || r.Usage.Output == 0 || r.ID == "" || r.Answers[0].Stop == llm.StopNone {
			t.Errorf("%s: %+v", x.Case, r)
		}
		if bytes.Contains(x.Answer, []byte(`TOOL_CALL"`)) != (r.Answers[0].Stop == llm.StopTools) {
			t.Errorf("%s stopped with %v", x.Case, r.Answers[0].Stop)
		}
	}
	t.Logf("%d streams", streams)
}

// written are members of recorded requests that are written otherwise: texts
// as strings, what is empty or null, metadata of documents.
var written = []string{".messages.content", ".messages.tool_plan", ".messages.citations", ".documents.data.source", ".documents.data.region", ".messages.tool_calls", ".documents"}

// TestRecordedRequests: what clients of Cohere were recorded to send is
// spelled as our structures spell it.
func TestRecordedRequests(t *testing.T) {
	for _, x := range exchanges(t) {
		if x.Body == nil {
			continue
		}
		var loose map[string]any
		if err := json.Unmarshal(x.Body, &loose); err != nil {
			t.Fatal(err)
		}
		for _, m := range loose["messages"].([]any) {
			if m := m.(map[string]any); m["content"] != nil {
				if s, ok := m["content"].(string); ok {
					m["content"] = []any{map[string]any{"type": "text", "text": s}}
				}
			}
		}
		b, err := json.Marshal(loose)
		if err != nil {
			t.Fatal(err)
		}
		var r request
		if err := unmarshal(b, &r); err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		if b, err = marshal(&r); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		missing(t, x.Case, "", loose, got)
	}
}

// missing reports the members of want that got has not.
func missing(t *testing.T, name, path string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			at := path + "." + k
			if _, ok := g[k]; !ok && v != false && !slices.Contains(written, at) {
				t.Errorf("%s: %s has no place", name, at)
			}
			missing(t, name, at, v, g[k])
		}
	case []any:
		g, _ := got.([]any)
		for i := range w {
			if i < len(g) {
				missing(t, name, path, w[i], g[i])
			}
		}
	}
}
