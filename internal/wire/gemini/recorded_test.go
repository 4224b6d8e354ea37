package gemini

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// exchanges are those with the Gemini API and Vertex AI.
func exchanges(t *testing.T, apis ...string) []recorded.Exchange {
	t.Helper()
	return recorded.Exchanges(t, func(x *recorded.Exchange) bool {
		x.Stream = x.API == "streamGenerateContent"
		return (x.Provider == "gemini" || x.Provider == "vertex") && slices.Contains(apis, x.API)
	})
}

// dialect is that of a recorded exchange.
func dialect(x recorded.Exchange) string {
	if x.Provider == "vertex" {
		return Vertex
	}
	return ""
}

// said is a reply without what two ways of telling it may differ in: the
// borders of texts that follow each other, ids that were made up.
func said(r *llm.Reply) *llm.Reply {
	out := *r
	out.Answers = nil
	out.Created = 0
	for _, a := range r.Answers {
		n := llm.Answer{Stop: a.Stop}
		for _, b := range a.Blocks {
			if strings.HasPrefix(b.ID, "call_") {
				b.ID = ""
			}
			if l := len(n.Blocks); l > 0 && b.Kind == llm.BlockText && n.Blocks[l-1].Kind == llm.BlockText {
				n.Blocks[l-1].Text += b.Text
				n.Blocks[l-1].Cites = append(n.Blocks[l-1].Cites, b.Cites...)
				continue
			}
			n.Blocks = append(n.Blocks, b)
		}
		out.Answers = append(out.Answers, n)
	}
	return &out
}

func show(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// usageOf is a usage without what an answer cannot say.
func usageOf(u *llm.Usage) llm.Usage {
	if u == nil {
		return llm.Usage{}
	}
	c := *u
	c.Searches = 0
	return c
}

// Every recorded whole answer decodes, and written again it means the same.
func TestRecordedReplies(t *testing.T) {
	n := 0
	for _, x := range exchanges(t, "generateContent") {
		if x.Status != 200 {
			continue
		}
		n++
		r, bad := Codec{}.Reply(nil, x.Answer)
		if bad != nil {
			t.Errorf("%s: %v", x.Case, bad)
			continue
		}
		if r.Model == "" || len(r.Answers) == 0 || r.Usage == nil || r.Answers[0].Stop == llm.StopNone {
			t.Errorf("%s: not whole: %s", x.Case, show(r))
		}
		again, bad := Codec{}.Reply(nil, Codec{}.AppendReply(nil, &llm.Request{}, r))
		if bad != nil {
			t.Errorf("%s: written again: %v", x.Case, bad)
			continue
		}
		one, two := said(r), said(again)
		one.Usage, two.Usage = nil, nil
		if r.Answers[0].Stop == llm.StopFilter && len(two.Answers[0].Blocks) == 0 {
			one.Answers[0].Blocks = nil
		}
		if !reflect.DeepEqual(one, two) {
			t.Errorf("%s: written again it is\n%s\nwant\n%s", x.Case, show(two), show(one))
		}
		if usageOf(r.Usage) != usageOf(again.Usage) {
			t.Errorf("%s: usage %+v, again %+v", x.Case, r.Usage, again.Usage)
		}
		u, bad := Inspect(llm.OpChat, x.Answer)
		if bad != nil || u == nil || *u != *r.Usage {
			t.Errorf("%s: Inspect says %+v, %v, Reply %+v", x.Case, u, bad, r.Usage)
		}
	}
	t.Logf("%d answers", n)
}

// Every recorded stream decodes to the same events in whatever pieces it
// comes; written again, as events or as an array, it means the same; and the
// watcher sees what the decoder sees.
func TestRecordedStreams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 11))
	n := 0
	for _, x := range exchanges(t, "streamGenerateContent") {
		n++
		call := &wire.Call{}
		events, whole, err := recorded.Events(Codec{}, call, bytes.NewReader(x.Answer))
		if err != nil || !whole {
			t.Errorf("%s: whole %v, %v", x.Case, whole, err)
			continue
		}
		r := said(recorded.Reply(events))
		for range 3 {
			pieces, whole, err := recorded.Events(Codec{}, call, &recorded.Pieces{Left: x.Answer, Rand: rnd, Most: 90})
			if err != nil || !whole || !reflect.DeepEqual(said(recorded.Reply(pieces)), r) || len(pieces) != len(events) {
				t.Errorf("%s: in pieces: %d events, whole %v, %v; want %d", x.Case, len(pieces), whole, err, len(events))
			}
		}
		for _, e := range []wire.Encoder{Codec{}.Encoder(&llm.Request{}), ArrayEncoder(Codec{}.Encoder(&llm.Request{}))} {
			out := e.End(e.Events(nil, events))
			back, whole, err := recorded.Events(Codec{}, nil, &recorded.Pieces{Left: out, Rand: rnd, Most: 90})
			if err != nil || !whole {
				t.Fatalf("%s: written again: whole %v, %v", x.Case, whole, err)
			}
			again := said(recorded.Reply(back))
			one, two := *r, *again
			one.Usage, two.Usage = nil, nil
			if !reflect.DeepEqual(one, two) || usageOf(r.Usage) != usageOf(again.Usage) {
				t.Errorf("%s: written again it is\n%s\nwant\n%s", x.Case, show(again), show(r))
			}
		}
		if !bytes.HasPrefix(x.Answer, []byte("data:")) {
			continue
		}
		w := Watch(&llm.Request{N: 1})
		content := false
		for rest := x.Answer; len(rest) > 0; {
			var ev []byte
			if ev, rest = cutEvent(rest); len(ev) == 0 {
				break
			}
			look, bad := w.Event(ev)
			if bad != nil {
				t.Errorf("%s: watched: %v", x.Case, bad)
			}
			content = content || look.Content
		}
		if _, whole := w.End(); !whole || !content || usageOf(r.Usage) != usageOf(ptr(w.Usage())) {
			t.Errorf("%s: watched: whole %v, content %v, usage %+v, decoded %+v", x.Case, whole, content, w.Usage(), r.Usage)
		}
	}
	t.Logf("%d streams", n)
}

func ptr[T any](v T) *T { return &v }

func cutEvent(b []byte) (ev, rest []byte) {
	b = bytes.TrimLeft(b, "\r\n")
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		return b[:i+2], b[i+2:]
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return b[:i+4], b[i+4:]
	}
	return b, nil
}

// refusable are the members of recorded requests that only Google can obey.
var refusable = []string{"cachedContent", "modelArmorConfig", "tools.codeExecution", "tools.code_execution", "tools.fileSearch"}

// Every recorded request is read as a client's, written for its vendor, and
// means the same when it is read again.
func TestRecordedRequests(t *testing.T) {
	n, refused := 0, 0
	for _, x := range exchanges(t, "generateContent", "streamGenerateContent", "countTokens") {
		if x.Body == nil || x.Status != 200 {
			continue
		}
		n++
		c, bad := Codec{}.Chat(x.Body)
		if bad != nil {
			t.Errorf("%s: %v", x.Case, bad)
			continue
		}
		target := wire.Target{Model: x.Model, Dialect: dialect(x), Stream: x.Stream}
		call, bad := Codec{}.Encode(c, target)
		if bad != nil {
			known := false
			for _, name := range refusable {
				known = known || bad.Param == name
			}
			if refused++; !known || bad.Kind != llm.KindUnsupported {
				t.Errorf("%s: %v", x.Case, bad)
			}
			continue
		}
		again, bad := Codec{}.Chat(call.Body)
		if bad != nil {
			t.Errorf("%s: written again: %v\n%s", x.Case, bad, call.Body)
			continue
		}
		one, two := meaning(c), meaning(again)
		if !reflect.DeepEqual(one, two) {
			t.Errorf("%s: written again it is\n%s\nwant\n%s", x.Case, show(two), show(one))
		}
		for _, lost := range call.Lossy {
			if !strings.Contains(lost, ".") && lost != "safetySettings" && lost != "reasoning_effort" {
				t.Errorf("%s: lost %s", x.Case, lost)
			}
		}
		count, bad := CountRequest(c, target)
		if bad != nil {
			t.Errorf("%s: to count: %v", x.Case, bad)
			continue
		}
		counted, bad := Codec{}.Chat(count.Body)
		if bad != nil || !reflect.DeepEqual(meaning(counted).Messages, one.Messages) {
			t.Errorf("%s: to count: %v %s", x.Case, bad, count.Body)
		}
	}
	t.Logf("%d requests, %d of them refused", n, refused)
}

// meaning is a chat without what two ways of telling it may differ in.
func meaning(c *llm.Chat) *llm.Chat {
	out := *c
	out.Left, out.Store = nil, nil
	out.Messages = nil
	for _, m := range c.Messages {
		n := llm.Message{Role: m.Role}
		for _, b := range m.Blocks {
			if b.Kind == llm.BlockCall || b.Kind == llm.BlockResult {
				b.ID = "" // Vertex is not told of all
			}
			if b.Kind == llm.BlockThinking && b.Seal.Maker == 0 {
				continue // need not be sent
			}
			if b.Seal.Data == standard(skipSignature) {
				continue
			}
			n.Blocks = append(n.Blocks, b)
		}
		if l := len(out.Messages); l > 0 && m.Role == llm.RoleUser && out.Messages[l-1].Role == m.Role {
			out.Messages[l-1].Blocks = append(out.Messages[l-1].Blocks, n.Blocks...)
			continue
		}
		out.Messages = append(out.Messages, n)
	}
	out.Tools = slices.Clone(c.Tools)
	slices.SortStableFunc(out.Tools, func(a, b llm.Tool) int { return int(a.Kind) - int(b.Kind) })
	for i := range out.Tools {
		if !hasMembers(out.Tools[i].Schema) {
			out.Tools[i].Schema = nil
		}
		if s := string(out.Tools[i].Schema); scan.Valid([]byte(s)) {
			out.Tools[i].Schema = squeeze(out.Tools[i].Schema)
		}
	}
	if out.Format.Schema != nil {
		out.Format.Schema = squeeze(out.Format.Schema)
	}
	return &out
}

func squeeze(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return nil
	}
	return out.Bytes()
}

func TestRecordedCounts(t *testing.T) {
	for _, x := range exchanges(t, "countTokens") {
		n, ok := ParseCount(x.Answer)
		if !ok || n < 1 {
			t.Errorf("%s: %d, %v in %s", x.Case, n, ok, x.Answer)
		}
		if again, ok := ParseCount(AppendCount(nil, n)); !ok || again != n {
			t.Errorf("%s: %d came back as %d", x.Case, n, again)
		}
	}
}
