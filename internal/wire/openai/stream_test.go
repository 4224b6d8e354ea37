package openai

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/recorded"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// reads gives one event a read, as a vendor that flushes each.
type reads struct{ rest []byte }

func (r *reads) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	ev, rest := sse.Split(r.rest)
	r.rest = rest
	return copy(b, ev), nil
}

func streamOf(src io.Reader, asked bool, n int) llm.Stream {
	s, bad := Stream(&llm.Request{Op: llm.OpChat, Stream: true, WantUsage: asked, N: n},
		&http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, Body: io.NopCloser(src), ContentLength: -1})
	if bad != nil {
		panic(bad)
	}
	return s
}

// The vendor's count is what is settled, also where it came alone in a read
// and the client was not shown it, where [DONE] never came, and where other
// counts stand beside it.
func TestUsageIsKept(t *testing.T) {
	nested := `data: {"choices":[{"index":0,"delta":{"meta":{"usage":{"input_tokens":1}}},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\n"
	null := `data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}` + "\n\n"
	for _, c := range []struct{ name, in, want string }{
		{"an event of its own", role + hello + stopped + usage + ended, role + hello + stopped + ended},
		{"without [DONE]", role + hello + stopped + usage, role + hello + stopped + ended},
		{"comments behind it", hello + stopped + usage + ": bye\n\n" + ended, hello + stopped + ": bye\n\n" + ended},
		{"beside another's", hello + nested + ended, hello + nested + ended},
		{"null before", null + null + stopped + usage + ended, null + null + stopped + ended},
	} {
		for name, src := range map[string]io.Reader{"read by event": &reads{[]byte(c.in)}, "whole": strings.NewReader(c.in), "read by byte": iotest.OneByteReader(strings.NewReader(c.in))} {
			s := streamOf(src, false, 1)
			text, u, err := drain(s)
			_ = s.Close()
			if err != io.EOF || text != c.want {
				t.Errorf("%s, %s: got %q, %v", c.name, name, text, err)
			}
			if want := (llm.Usage{Input: 5, CachedRead: 4, Output: 7}); u == nil || *u != want {
				t.Errorf("%s, %s: usage %+v, want %+v", c.name, name, u, want)
			}
		}
	}
}

// A vendor that closes in good order in the middle of an event has cut the
// stream: no half event goes out, and a finish reason in it counts for nothing.
func TestHalfEvent(t *testing.T) {
	whole := role + hello + stopped
	for cut := len(role + hello); cut < len(whole)-2; cut++ {
		s := streamOf(strings.NewReader(whole[:cut]), true, 1)
		text, _, err := drain(s)
		_ = s.Close()
		var e *llm.Error
		if !errors.As(err, &e) || e.Kind != llm.KindUpstream {
			t.Fatalf("cut at %d: ended with %v", cut, err)
		}
		if rest := strings.TrimPrefix(text, role+hello); strings.Contains(rest, "{") || strings.Contains(rest, "DONE") {
			t.Fatalf("cut at %d: %q went to the client", cut, rest)
		}
	}
	for _, end := range []string{"data: [DONE]", "data: [DONE]\n", "data:[DONE]\r\n"} { // all of it came
		s := streamOf(strings.NewReader(role+hello+end), true, 1)
		text, _, err := drain(s)
		_ = s.Close()
		if err != io.EOF || !strings.Contains(text, "[DONE]\n\n") {
			t.Errorf("%q at the end: got %q, %v", end, text, err)
		}
	}
}

// Until content has gone out another target may be tried; roles, empty
// deltas and comments are none.
func TestLevels(t *testing.T) {
	delta := func(d string) string {
		return `data: {"choices":[{"index":0,"delta":` + d + `,"finish_reason":null}]}` + "\n\n"
	}
	for _, c := range []struct {
		name, in string
		want     []llm.Level
	}{
		{"a comment, a role, text", ": ping\n\n" + role + hello, []llm.Level{llm.LevelNone, llm.LevelData, llm.LevelContent}},
		{"empty deltas", delta(`{}`) + delta(`{"content":null,"tool_calls":[],"refusal":""}`), []llm.Level{llm.LevelData, llm.LevelData}},
		{"a tool call", role + tool, []llm.Level{llm.LevelData, llm.LevelContent}},
		{"reasoning", delta(`{"role":"assistant","reasoning_content":"hm"}`), []llm.Level{llm.LevelContent}},
		{"a refusal", delta(`{"refusal":"no"}`), []llm.Level{llm.LevelContent}},
		{"filter results only", `data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}` + "\n\n" + role, []llm.Level{llm.LevelData, llm.LevelData}},
		{"a comment after text", hello + ": ping\n\n" + role, []llm.Level{llm.LevelContent, llm.LevelNone, llm.LevelContent}},
		{"nothing but an end", role + stopped, []llm.Level{llm.LevelData, llm.LevelContent}},
		{"of a legacy completion", `data: {"choices":[{"index":0,"text":"hi"}]}` + "\n\n", []llm.Level{llm.LevelContent}},
	} {
		s := streamOf(&reads{[]byte(c.in)}, true, 1)
		var got []llm.Level
		for range c.want {
			chunk, err := s.Next()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got = append(got, chunk.Level)
		}
		_ = s.Close()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: levels %v, want %v", c.name, got, c.want)
		}
	}
}

// An error that a vendor puts into a stream that began is one of ours, with
// nothing of its text in the message but where the caller can mend it.
func TestErrorInStream(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind llm.Kind
		say  string
	}{
		{`{"error":{"message":"boom","type":"server_error"}}`, llm.KindUpstream, "the vendor reported an error"},
		{`{"error":{"message":"slow down","code":429}}`, llm.KindRateLimited, "slow down"},
		{`{"error":{"message":"slow down","type":"overloaded_error"}}`, llm.KindRateLimited, "slow down"},
		{`{"error":{"message":"key sk-secret is wrong","code":"invalid_api_key"}}`, llm.KindCredential, "credential"},
		{`{"error":{"message":"sk-secret is out of money","code":402}}`, llm.KindCredit, "credential"},
		{`{"error":{"message":"too long","code":"context_length_exceeded"}}`, llm.KindContextLength, "too long"},
		{`{"error":{"message":"no","code":"content_filter"}}`, llm.KindCaller, "no"},
		{`{"error":"just text"}`, llm.KindUpstream, "the vendor reported an error"},
		{`{"error":[1]}`, llm.KindUpstream, "error"},
	} {
		s := streamOf(strings.NewReader(role+hello+"data: "+c.in+"\n\n"+ended), true, 1)
		text, _, err := drain(s)
		_ = s.Close()
		var e *llm.Error
		if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Message, c.say) || strings.Contains(e.Message, "sk-secret") {
			t.Errorf("%s: got %v, want %s that says %q", c.in, err, c.kind, c.say)
		}
		if text != role+hello {
			t.Errorf("%s: %q went to the client", c.in, text)
		}
	}
	for _, in := range []string{`{"choices":[{"index":0,"delta":{"content":"the \"error\": {}"}}],"error":null}`, `{"choices":[{"index":0,"delta":{"error":{"code":402}}}]}`} {
		s := streamOf(strings.NewReader("data: "+in+"\n\n"+stopped+ended), true, 1)
		if _, _, err := drain(s); err != io.EOF {
			t.Errorf("%s: taken for an error: %v", in, err)
		}
		_ = s.Close()
	}
}

// FuzzStream: whatever a vendor sends, the same comes of it in any pieces, and
// what is called whole ends with [DONE].
func FuzzStream(f *testing.F) {
	for _, s := range []string{role + hello + stopped + usage + ended, hello + usage + stopped, ": x\r\n\r\n" + strings.ReplaceAll(role+tool+stopped, "\n", "\r\n"), "data: {\"error\":{}}\n\n", "data: [DONE]", "data:\n\n", `data: {"usage":{"usage":`, hello + `data: {"choices":[{"finish_reason":"stop"`} {
		f.Add([]byte(s), uint64(1), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, asked bool) {
		run := func(src io.Reader) (string, llm.Usage, bool) {
			s := streamOf(src, asked, 1)
			defer s.Close()
			text, u, err := drain(s)
			var e *llm.Error
			if err != io.EOF && !errors.As(err, &e) {
				t.Fatalf("ended with %v, which no client can be told", err)
			}
			if u == nil {
				u = &llm.Usage{}
			}
			if !u.Valid() {
				t.Fatalf("usage %+v", u)
			}
			return strings.TrimRight(text, "\r\n"), *u, err == io.EOF
		}
		text, u, whole := run(bytes.NewReader(b))
		text2, u2, whole2 := run(&recorded.Pieces{Left: bytes.Clone(b), Rand: rand.New(rand.NewPCG(seed, 3)), Most: 20})
		squeeze := strings.NewReplacer("\r", "", "\n", "").Replace // a CR and its LF may come in two reads
		if whole != whole2 || squeeze(text) != squeeze(text2) {
			t.Fatalf("%q: in one piece %q, whole %v; in many %q, whole %v", b, text, whole, text2, whole2)
		}
		if !u.Estimated && whole && u != u2 {
			t.Fatalf("%q: usage %+v in one piece, %+v in many", b, u, u2)
		}
		if whole && !strings.Contains(text, "[DONE]") {
			t.Fatalf("%q: %q is called whole", b, text)
		}
	})
}

// Stream is the answer that resp, a vendor's stream, makes to a client of this
// protocol.
func Stream(req *llm.Request, resp *http.Response) (llm.Stream, *llm.Error) {
	return wire.Pass(resp, Watch(req), errorIn)
}
