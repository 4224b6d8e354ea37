package bedrock

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
)

func exchanges(t *testing.T, api string) []recorded.Exchange {
	t.Helper()
	return recorded.Exchanges(t, func(x *recorded.Exchange) bool { return x.Provider == "bedrock" && x.API == api })
}

// texts returns what a recorded answer or event says under any of the names,
// in order, however deep.
func texts(v any, names ...string) (out []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			out = append(out, texts(x, names...)...)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if s, ok := v[k].(string); ok && slices.Contains(names, k) {
				out = append(out, s)
			} else {
				out = append(out, texts(v[k], names...)...)
			}
		}
	}
	return out
}

// said is what an answer says in texts and thinking, in order.
func said(r *llm.Reply) string {
	var b strings.Builder
	for _, x := range r.Answers[0].Blocks {
		if x.Kind == llm.BlockText || x.Kind == llm.BlockThinking {
			b.WriteString(x.Text)
		}
	}
	return b.String()
}

func TestRecordedReplies(t *testing.T) {
	whole := 0
	for _, x := range exchanges(t, "converse") {
		call := &wire.Call{}
		r, err := Codec{}.Reply(call, x.Answer)
		if x.Status != 200 {
			if err == nil {
				t.Errorf("%s: an error was read as an answer", x.Case)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		whole++
		var raw struct {
			Output struct {
				Message struct{ Content []map[string]any }
			}
			Usage struct{ TotalTokens int64 }
		}
		if err := json.Unmarshal(x.Answer, &raw); err != nil {
			t.Fatal(err)
		}
		want := ""
		calls, cited := 0, 0
		for _, c := range raw.Output.Message.Content {
			if c["toolUse"] != nil && c["toolUse"].(map[string]any)["type"] != "server_tool_use" {
				calls++
			}
			delete(c, "toolUse")
			delete(c, "toolResult")
			if c, ok := c["citationsContent"].(map[string]any); ok {
				cited += len(c["citations"].([]any))
				delete(c, "citations")
			}
			want += strings.Join(texts(c, "text"), "")
		}
		if got := said(r); got != want {
			t.Errorf("%s: said\n%q\nwant\n%q", x.Case, got, want)
		}
		got := 0
		for _, b := range r.Answers[0].Blocks {
			if b.Kind == llm.BlockCall {
				got++
				if b.ID == "" || b.Name == "" || !json.Valid([]byte(b.Text)) {
					t.Errorf("%s: call %+v", x.Case, b)
				}
			}
		}
		if got != calls || calls > 0 && r.Answers[0].Stop != llm.StopTools {
			t.Errorf("%s: %d calls, want %d; stop %v", x.Case, got, calls, r.Answers[0].Stop)
		}
		if u := r.Usage; u == nil || u.Input+u.Output != raw.Usage.TotalTokens {
			t.Errorf("%s: usage %+v, total %d", x.Case, u, raw.Usage.TotalTokens)
		}
		for _, b := range r.Answers[0].Blocks {
			cited -= len(b.Cites)
		}
		if cited != 0 || call.Lossy != nil {
			t.Errorf("%s: %d sources are missing, lost %v", x.Case, cited, call.Lossy)
		}
	}
	t.Logf("%d answers", whole)
}

// lineFrames is a stream that was recorded as a line for each event.
func lineFrames(t *testing.T, b []byte) (out []wire.Frame) {
	for line := range bytes.Lines(b) {
		var ev map[string]json.RawMessage
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatal(err)
		}
		for name, data := range ev {
			out = append(out, wire.Frame{Name: name, Data: data})
		}
	}
	return out
}

// decode reads frames as one stream.
func decode(call *wire.Call, frames []wire.Frame) ([]llm.Event, bool, *llm.Error) {
	d := Codec{}.Decoder(call)
	var out []llm.Event
	for _, f := range frames {
		var err *llm.Error
		if out, err = d.Event(out, f); err != nil {
			return out, false, err
		}
	}
	out, whole := d.End(out)
	return out, whole, nil
}

func TestRecordedStreams(t *testing.T) {
	streams := 0
	for _, x := range exchanges(t, "converse-stream") {
		if x.Status != 200 {
			continue
		}
		streams++
		var frames []wire.Frame
		if filepath.Ext(x.Response) == ".ndjson" {
			frames = lineFrames(t, x.Answer)
		} else {
			var err error
			if frames, err = readAll(bytes.NewReader(x.Answer)); err != io.EOF {
				t.Fatalf("%s: %v", x.Case, err)
			}
			for seed := range uint64(5) {
				cut, err := readAll(&recorded.Pieces{Left: x.Answer, Rand: rand.New(rand.NewPCG(seed, 3)), Most: 64})
				if err != io.EOF || !same(cut, frames) {
					t.Errorf("%s: in pieces it is another stream: %v", x.Case, err)
				}
			}
		}
		call := &wire.Call{}
		events, whole, err := decode(call, frames)
		if err != nil || !whole || call.Lossy != nil {
			t.Errorf("%s: %v, whole %v, lost %v", x.Case, err, whole, call.Lossy)
			continue
		}
		recorded.Lawful(t, x.Case, events)
		var c llm.Collector
		c.Add(events...)
		r := c.Reply()
		var want string
		var total int64
		for _, f := range frames {
			var ev struct {
				Delta map[string]any
				Usage struct{ TotalTokens int64 }
			}
			if err := json.Unmarshal(f.Data, &ev); err != nil {
				t.Fatal(err)
			}
			delete(ev.Delta, "toolResult")
			delete(ev.Delta, "citation")
			want += strings.Join(texts(ev.Delta, "text"), "")
			total += ev.Usage.TotalTokens
		}
		if got := said(r); got != want {
			t.Errorf("%s: said\n%q\nwant\n%q", x.Case, got, want)
		}
		if total > 0 && (r.Usage == nil || r.Usage.Input+r.Usage.Output != total) {
			t.Errorf("%s: usage %+v, total %d", x.Case, r.Usage, total)
		}
		for _, b := range r.Answers[0].Blocks {
			if b.Kind == llm.BlockCall && b.Text != "" && !json.Valid([]byte(b.Text)) {
				t.Errorf("%s: call %+v", x.Case, b)
			}
		}
		for tag, kind := range map[string]llm.BlockKind{"reasoning": llm.BlockThinking, "tool_call": llm.BlockCall} {
			if slices.Contains(x.Tags, tag) && !slices.ContainsFunc(r.Answers[0].Blocks, func(b llm.Block) bool { return b.Kind == kind }) {
				t.Errorf("%s is tagged %s; the answer has %+v", x.Case, tag, r.Answers[0].Blocks)
			}
		}
		if slices.Contains(x.Tags, "citations") && !slices.ContainsFunc(events, func(e llm.Event) bool { return e.Kind == llm.EventCite }) {
			t.Errorf("%s: no source", x.Case)
		}
	}
	t.Logf("%d streams", streams)
}

// apart are members of recorded requests that no neutral form asks for, and
// two that are written otherwise.
var apart = []string{".citationsContent", ".citations", ".context", ".guardrailConfig", ".searchResult", ".status", ".reasoning_config",
	".source.text", ".source.content", ".toolResult.content.json", ".toolChoice.auto"}

// TestRecordedRequests: what clients of Bedrock were recorded to send is
// spelled as our structures spell it.
func TestRecordedRequests(t *testing.T) {
	seen := 0
	for _, api := range []string{"converse", "converse-stream"} {
		for _, x := range exchanges(t, api) {
			if x.Body == nil {
				continue
			}
			seen++
			var r request
			if err := unmarshal(x.Body, &r); err != nil {
				t.Errorf("%s: %v", x.Case, err)
				continue
			}
			b, err := marshal(&r)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if json.Unmarshal(x.Body, &want) != nil || json.Unmarshal(b, &got) != nil {
				t.Fatal("broken")
			}
			missing(t, x.Case, "", want, got)
		}
	}
	t.Logf("%d requests", seen)
}

// missing reports the members of want that got has not.
func missing(t *testing.T, name, path string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			at := path + "." + k
			if empty(at, v) {
				continue
			}
			if _, ok := g[k]; !ok {
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

// empty: nothing is at the path that is not apart.
func empty(path string, v any) bool {
	for _, a := range apart {
		if strings.HasSuffix(path, a) {
			return true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if !empty(path+"."+k, x) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}
