package openai

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// foreign vendors have an API of the same name and another protocol.
var foreign = map[string]bool{"cohere": true, "snowflake": true}

// exchanges are those of APIs of OpenAI's, at any vendor.
func exchanges(t *testing.T, apis ...string) []recorded.Exchange {
	t.Helper()
	return recorded.Exchanges(t, func(x *recorded.Exchange) bool {
		return !foreign[x.Provider] && slices.Contains(apis, x.API) && filepath.Ext(x.Response) != ".ndjson"
	})
}

func opOf(api string) llm.Op {
	return map[string]llm.Op{"chat": llm.OpChat, "completions": llm.OpCompletion, "embeddings": llm.OpEmbedding}[api]
}

// Every recorded request goes to a vendor as it was received but for the
// model's name and the asking for usage: put back, the bytes are the same.
func TestRecordedRequests(t *testing.T) {
	n, streamed := 0, 0
	for _, x := range exchanges(t, "chat", "completions", "embeddings") {
		if x.Body == nil {
			continue
		}
		req := &llm.Request{}
		if err := Decode(opOf(x.API), &wire.Buffer{B: bytes.Clone(x.Body)}, req); err != nil {
			t.Errorf("%s: refused: %v", x.Case, err)
			continue
		}
		n++
		var told struct {
			Model         string
			Stream        bool
			StreamOptions struct {
				IncludeUsage bool `json:"include_usage"`
			} `json:"stream_options"`
		}
		if err := json.Unmarshal(x.Body, &told); err != nil {
			t.Fatalf("%s: %v", x.Case, err)
		}
		if req.Model != told.Model || req.Stream != told.Stream || req.WantUsage != told.StreamOptions.IncludeUsage {
			t.Errorf("%s: read model %q, stream %v, usage %v, encoding/json says %+v", x.Case, req.Model, req.Stream, req.WantUsage, told)
		}
		p := Payload(req.Body.(*wire.Form), wire.Rewrite{Model: []byte(`"a/vendor's \"name\""`), Stream: req.Stream})
		size := p.Size()
		out, err := io.ReadAll(p)
		_ = p.Close()
		if err != nil || int64(len(out)) != size {
			t.Fatalf("%s: %d bytes of %d, %v", x.Case, len(out), size, err)
		}
		if req.Stream {
			streamed++
			if string(scan.Get(scan.Get(out, "stream_options"), "include_usage")) != "true" {
				t.Errorf("%s: usage is not asked for: %s", x.Case, scan.Get(out, "stream_options"))
			}
		}
		back := out
		if raw := scan.Get(x.Body, "model"); raw != nil {
			back = bytes.Replace(back, []byte(`"a/vendor's \"name\""`), raw, 1)
		} else {
			back = bytes.Replace(back, []byte(`"model":"a/vendor's \"name\"",`), nil, 1)
		}
		if req.Stream {
			if scan.Get(x.Body, "stream_options") == nil {
				back = bytes.Replace(back, []byte(`"stream_options":{"include_usage":true},`), nil, 1)
			} else {
				back = bytes.Replace(back, scan.Get(out, "stream_options"), scan.Get(x.Body, "stream_options"), 1)
			}
		}
		if scan.Get(x.Body, "context") == nil && !bytes.Equal(back, x.Body) {
			t.Errorf("%s: other bytes than the model and the usage have changed", x.Case)
		}
		req.Body.Release()
	}
	if n < 600 || streamed < 250 {
		t.Errorf("%d requests, %d of them streamed: the recordings were not found", n, streamed)
	}
}

// told is what a chunk says to a reader that decodes all of it.
type told struct {
	Choices []struct {
		FinishReason *string                    `json:"finish_reason"`
		Text         string                     `json:"text"`
		Delta        map[string]json.RawMessage `json:"delta"`
	} `json:"choices"`
	Usage *count `json:"usage"`
	Groq  struct {
		Usage *count `json:"usage"`
	} `json:"x_groq"`
	Error json.RawMessage `json:"error"`
}

type count struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
	Details    struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
	PromptDetails struct {
		Audio int64 `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
}

// input is what is billed as input: Mistral counts audio beside it.
func (c *count) input() int64 {
	if a := c.PromptDetails.Audio; a > 0 && c.Total == c.Prompt+c.Completion+a {
		return c.Prompt + a
	}
	return c.Prompt
}

// output is what is billed as output: some count reasoning beside it.
func (c *count) output() int64 {
	if r := c.Details.Reasoning; r > 0 && c.Total == c.Prompt+c.Completion+r {
		return c.Completion + r
	}
	return c.Completion
}

func (c *told) visible() bool {
	for _, x := range c.Choices {
		if x.Text != "" || x.FinishReason != nil && *x.FinishReason != "" {
			return true
		}
		for name, v := range x.Delta {
			switch s := string(v); s {
			case "null", `""`, "[]", "{}":
			default:
				if name != "role" {
					return true
				}
			}
		}
	}
	return false
}

// script is what a client should see of a recorded stream.
type script struct {
	want    []byte // with [DONE]
	content int    // offset in the recording after the event with the first content
	finish  int    // offset after the event with the first finish reason
	usage   *llm.Usage
	failed  bool
	ends    []int // offsets after each event
}

func read(t *testing.T, x recorded.Exchange, asked bool) (s script) {
	t.Helper()
	for rest := x.Answer; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		at := len(x.Answer) - len(rest)
		s.ends = append(s.ends, at)
		data, ok := sse.Data(ev)
		if string(bytes.TrimSpace(data)) == "[DONE]" {
			s.want = append(s.want, ev...)
			if s.finish == 0 {
				s.finish = at
			}
			return s
		}
		var c told
		if ok {
			if err := json.Unmarshal(data, &c); err != nil {
				t.Fatalf("%s: %v in %s", x.Case, err, data)
			}
		}
		if len(c.Error) > 0 && string(c.Error) != "null" {
			s.failed = true
			return s
		}
		if s.content == 0 && c.visible() {
			s.content = at
		}
		for _, choice := range c.Choices {
			if s.finish == 0 && choice.FinishReason != nil && *choice.FinishReason != "" {
				s.finish = at
			}
		}
		hidden := c.Usage != nil
		if c.Usage == nil {
			c.Usage = c.Groq.Usage
		}
		if u := c.Usage; u != nil && u.Prompt+u.Completion > 0 {
			s.usage = &llm.Usage{Input: u.input(), Output: u.output()}
		}
		if !asked && hidden && c.Choices != nil && len(c.Choices) == 0 {
			continue
		}
		s.want = append(s.want, ev...)
	}
	if s.finish > 0 {
		s.want = append(s.want, "data: [DONE]\n\n"...)
	}
	return s
}

// unended is a stream without the white space at its end and before [DONE].
func unended(b []byte) []byte {
	b = bytes.TrimSpace(b)
	if rest, ok := bytes.CutSuffix(b, []byte("data: [DONE]")); ok {
		return append(bytes.TrimSpace(rest), "[DONE]"...)
	}
	return b
}

func play(t *testing.T, b []byte, asked bool, rnd *rand.Rand, look func(llm.Chunk, *recorded.Pieces)) (all []byte, usage llm.Usage, err error) {
	t.Helper()
	src := &recorded.Pieces{Left: b, Rand: rnd, Most: 1 << (2 + rnd.IntN(11))}
	s, bad := Stream(&llm.Request{Op: llm.OpChat, Stream: true, WantUsage: asked, N: 1},
		&http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: src, ContentLength: -1})
	if bad != nil {
		t.Fatal(bad)
	}
	defer s.Close()
	for {
		c, err := s.Next()
		if err != nil {
			return all, usage, err
		}
		all = append(all, c.Raw...)
		if c.Usage != nil {
			usage = *c.Usage
		}
		if look != nil {
			look(c, src)
		}
	}
}

func streams(t *testing.T) (out []recorded.Exchange) {
	for _, x := range exchanges(t, "chat", "completions") {
		if x.Stream && x.Status == 200 && bytes.Contains(x.Answer, []byte(`"choices"`)) {
			out = append(out, x)
		}
	}
	if len(out) < 280 {
		t.Fatalf("%d streams: the recordings were not found", len(out))
	}
	return out
}

// Every recorded stream, in whatever pieces it comes: the bytes are the same,
// the usage is the vendor's, and content is called content from the first
// that a user would see.
func TestRecordedStreams(t *testing.T) {
	counted := 0
	for _, x := range streams(t) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(x.Case))
		for round := range uint64(4) {
			asked := round%2 == 0
			want := read(t, x, asked)
			content := false
			all, usage, err := play(t, x.Answer, asked, rand.New(rand.NewPCG(h.Sum64(), round)), func(c llm.Chunk, src *recorded.Pieces) {
				came := len(x.Answer)-len(src.Left)+1 >= want.content && want.content > 0 // CR ends a line without its LF
				if c.Level == llm.LevelContent && !came {
					t.Errorf("%s: content before there was any: %q", x.Case, c.Raw)
				}
				content = content || c.Level == llm.LevelContent
			})
			if want.failed || want.finish == 0 {
				if _, ok := err.(*llm.Error); !ok {
					t.Errorf("%s: a broken stream ended with %v", x.Case, err)
				}
				continue
			}
			if err != io.EOF || !bytes.Equal(unended(all), unended(want.want)) {
				t.Errorf("%s, usage asked %v: %d bytes, want %d, ended with %v", x.Case, asked, len(all), len(want.want), err)
			}
			if !content {
				t.Errorf("%s: no chunk brought content", x.Case)
			}
			if want.usage == nil {
				if !usage.Estimated {
					t.Errorf("%s: usage %+v is not called an estimate", x.Case, usage)
				}
				continue
			}
			counted++
			if usage.Input != want.usage.Input || usage.Output != want.usage.Output || usage.Estimated {
				t.Errorf("%s: usage %+v, want %+v", x.Case, usage, *want.usage)
			}
		}
	}
	if counted < 600 {
		t.Errorf("usage was compared %d times only", counted)
	}
}

// A stream that ends before the vendor has finished is an error, wherever it
// was cut, even where the connection was closed in good order; what went to
// the client by then are whole events that came.
func TestCutStreams(t *testing.T) {
	for i, x := range streams(t) {
		want := read(t, x, true)
		if want.failed || want.finish == 0 || raced && i%8 != 0 {
			continue
		}
		rnd := rand.New(rand.NewPCG(7, uint64(len(x.Answer))))
		most := min(30, 1+600_000/len(x.Answer)) // bounds the work with long streams
		var last int                             // after the event before the finish
		var cuts []int
		for _, at := range want.ends {
			if at < want.finish {
				last = at
				if len(want.ends) < most || rnd.IntN(len(want.ends)) < most {
					cuts = append(cuts, at)
				}
			}
		}
		for range most/2 + 1 {
			cuts = append(cuts, rnd.IntN(want.finish-4))
		}
		for at := last; at < want.finish-4; at += 1 + rnd.IntN(800/most) { // inside the last one
			cuts = append(cuts, at)
		}
		for _, at := range cuts {
			whole := 0
			for _, end := range want.ends {
				if end <= at {
					whole = end
				}
			}
			all, _, err := play(t, x.Answer[:at], true, rnd, nil)
			if e, ok := err.(*llm.Error); !ok || e.Kind != llm.KindUpstream {
				t.Fatalf("%s cut at %d of %d: ended with %v", x.Case, at, len(x.Answer), err)
			}
			if !bytes.HasPrefix(x.Answer, bytes.TrimRight(all, "\r\n")) || len(bytes.TrimSpace(all)) > len(bytes.TrimSpace(x.Answer[:at])) {
				t.Fatalf("%s cut at %d: %q went to the client", x.Case, at, all)
			}
			for rest := all[min(whole, len(all)):]; len(rest) > 0; {
				var ev []byte
				ev, rest = sse.Split(rest)
				if d, ok := sse.Data(ev); ok && !json.Valid(d) {
					t.Fatalf("%s cut at %d: half an event went to the client: %q", x.Case, at, ev)
				}
			}
		}
	}
}

// Every recorded unary answer keeps its bytes and tells its usage; cut
// anywhere, it is an error, also where only the end of the connection says
// how long it is.
func TestRecordedAnswers(t *testing.T) {
	n := 0
	for _, x := range exchanges(t, "chat", "completions", "embeddings") {
		if x.Stream || x.Status != 200 || !bytes.Contains(x.Answer, []byte(`"usage"`)) || !json.Valid(x.Answer) {
			continue
		}
		req := &llm.Request{}
		body := x.Body
		if body == nil {
			body = []byte("{}")
		}
		if err := Decode(opOf(x.API), &wire.Buffer{B: body}, req); err != nil {
			t.Fatalf("%s: %v", x.Case, err)
		}
		form := wire.VectorFloat32
		if strings.HasPrefix(x.Case, "perplexity/") {
			form = wire.VectorInt8
		}
		ask := func(b []byte, length int64) (string, *llm.Usage, error) {
			s, bad := Answer(req, &http.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: length, Body: io.NopCloser(bytes.NewReader(b))}, form)
			if bad != nil {
				return "", nil, bad
			}
			defer s.Close()
			return drain(s)
		}
		var c told
		if err := json.Unmarshal(x.Answer, &c); err != nil {
			continue // another shape under the same name
		}
		var shape struct{ Choices, Data []json.RawMessage }
		if json.Unmarshal(x.Answer, &shape) != nil || shape.Choices == nil && shape.Data == nil || c.Usage == nil || c.Usage.Prompt+c.Usage.Completion == 0 {
			continue
		}
		n++
		text, u, err := ask(x.Answer, int64(len(x.Answer)))
		if err != io.EOF {
			t.Errorf("%s: %v", x.Case, err)
			continue
		}
		if x.API != "embeddings" && text != string(x.Answer) {
			t.Errorf("%s: other bytes", x.Case)
		}
		out := c.Usage.output()
		if x.API == "embeddings" {
			out = 0
		}
		if u == nil || u.Estimated || u.Input != c.Usage.input() || u.Output != out {
			t.Errorf("%s: usage %+v, want %d and %d", x.Case, u, c.Usage.Prompt, out)
		}
		body = bytes.TrimSpace(x.Answer)
		rnd := rand.New(rand.NewPCG(9, uint64(len(body))))
		for i, b := range body[:len(body)-1] {
			if b == '}' && rnd.IntN(4) == 0 || rnd.IntN(len(body)) < 8 {
				if text, _, err := ask(body[:i+1], -1); err == io.EOF {
					t.Fatalf("%s cut after %d of %d bytes: passed as whole: …%q", x.Case, i+1, len(body), text[max(0, len(text)-40):])
				}
			}
		}
	}
	if n < 300 {
		t.Errorf("%d answers: the recordings were not found", n)
	}
}
