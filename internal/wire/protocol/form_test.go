package protocol

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// bodies are a request of each protocol that clients speak; Gemini's path says
// the model.
var bodies = map[llm.Proto]string{
	llm.ProtoOpenAI:    `{"model":"m","messages":[{"role":"user","content":"Hello"}],"unknown":{"model":1,"model":2}}`,
	llm.ProtoResponses: `{"model":"m","input":"Hello","unknown":{"model":1,"model":2}}`,
	llm.ProtoAnthropic: `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}],"unknown":{"model":1,"model":2}}`,
	llm.ProtoGemini:    `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}],"unknown":{"model":1,"model":2}}`,
}

// decode reads a body as the protocol's chat.
func decode(p llm.Proto, body string) (*llm.Request, *llm.Error) {
	req := &llm.Request{}
	if e := Of(p).Decode(llm.OpChat, &wire.Buffer{B: []byte(body)}, req); e != nil {
		return nil, e
	}
	return req, nil
}

// The keys that decide where a request goes and what it may cost are taken once
// and in one spelling, however they are written: what the gateway has not seen,
// no vendor may see.
func TestRoutedKeys(t *testing.T) {
	for p, body := range bodies {
		req, e := decode(p, body)
		if e != nil {
			t.Fatalf("%s: %v", p, e)
		}
		keys := req.Body.(*wire.Form).Shape().Keys
		req.Body.Release()
		if len(keys) < 5 {
			t.Fatalf("%s: %d keys", p, len(keys))
		}
		for _, key := range keys {
			escaped := fmt.Sprintf(`\u%04x%s`, key[0], key[1:])
			values := map[string]string{"model": `"m"`, "stream": "false"}
			v := values[key]
			if v == "" {
				v = "null"
			}
			add := func(names ...string) string {
				rest := strings.Replace(body, `"`+key+`":`, `"was_`+key+`":`, 1)
				out := "{"
				for _, n := range names {
					out += `"` + n + `":` + v + ","
				}
				return out + rest[1:]
			}
			for _, c := range []struct {
				names []string
				ok    bool
			}{
				{[]string{key}, true},
				{[]string{escaped}, true},
				{[]string{key, key}, false},
				{[]string{key, escaped}, false},
				{[]string{escaped, key}, false},
				{[]string{strings.ToUpper(key)}, false},
				{[]string{strings.ToUpper(key[:1]) + key[1:]}, false},
				{[]string{fmt.Sprintf(`\u%04x%s`, key[0]-32, key[1:])}, false},
				{[]string{key, strings.ToUpper(key)}, false},
			} {
				req, e := decode(p, add(c.names...))
				switch {
				case c.ok && e != nil:
					t.Errorf("%s: %q is refused: %v", p, c.names, e)
				case !c.ok && (e == nil || e.Kind != llm.KindInvalidRequest || e.Param != key):
					t.Errorf("%s: %q: got %v, want a 400 that names %q", p, c.names, e, key)
				}
				if req != nil {
					req.Body.Release()
				}
			}
		}
	}
}

// A model's name is a string of at most 256 printable bytes in every protocol,
// and an escaped one is the name that it stands for.
func TestModelNames(t *testing.T) {
	for p, body := range bodies {
		for value, want := range map[string]string{
			`"m"`: "m", `"\u006d"`: "m", `"a\/b"`: "a/b", `null`: "", `""`: "", `"` + strings.Repeat("n", 256) + `"`: strings.Repeat("n", 256),
			`"` + strings.Repeat("n", 257) + `"`: "refused", `5`: "refused", `["m"]`: "refused", `{}`: "refused", `"a\nb"`: "refused", `"\u0000"`: "refused", `"a\u007f"`: "refused",
		} {
			text := `{"model":` + value + "," + strings.Replace(body, `"model":"m",`, "", 1)[1:]
			req, e := decode(p, text)
			switch {
			case want == "refused" && (e == nil || e.HTTPStatus() != 400 || e.Param != "model"):
				t.Errorf("%s: %.60s: got %v, want a 400", p, value, e)
			case want != "refused" && (e != nil || req.Model != want):
				t.Errorf("%s: %.60s: got %+v, %v", p, value, req, e)
			}
			if req != nil {
				req.Body.Release()
			}
		}
	}
}

// A body that goes to a vendor of its protocol under its own name is the same
// to the byte, and changes nothing but the name under another; many may read
// it at once.
func TestBodiesPass(t *testing.T) {
	for p, body := range bodies {
		body = strings.Replace(body, `"unknown"`, "  \"new_field\" :\t[1e400, \"\\ud800\",{\"a\":1,\"a\":2}],\n\"unknown\"", 1)
		req, e := decode(p, body)
		if e != nil {
			t.Fatalf("%s: %v", p, e)
		}
		var wait sync.WaitGroup
		for _, name := range []string{`"m"`, `"other/model"`} {
			out := Of(p).Payload(req.Body.(*wire.Form), wire.Rewrite{Model: []byte(name), Op: llm.OpChat})
			wait.Go(func() {
				got, err := io.ReadAll(out)
				_ = out.Close()
				if want := strings.Replace(body, `"model":"m"`, `"model":`+name, 1); err != nil || string(got) != want {
					t.Errorf("%s, %s: sent\n%s\nwant\n%s", p, name, got, want)
				}
			})
		}
		req.Body.Release()
		wait.Wait()
	}
}

// pass begins to read a vendor's stream as a client of the same protocol.
func pass(t *testing.T, p llm.Proto, body io.Reader, req *llm.Request) llm.Stream {
	t.Helper()
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, Body: io.NopCloser(body), ContentLength: -1}
	s, e := wire.Pass(resp, Of(p).Watch(req), func([]byte) *llm.Error { return nil })
	if e != nil {
		t.Fatalf("%s: %v", p, e)
	}
	return s
}

// passed reads a stream that passes to its end.
func passed(s llm.Stream) (raw string, usage llm.Usage, err error) {
	var b strings.Builder
	for {
		c, err := s.Next()
		if err != nil {
			return b.String(), usage, err
		}
		b.Write(c.Raw)
		if c.Usage != nil {
			usage = *c.Usage
		}
	}
}

// A stream that passes keeps its bytes in every protocol; one that is cut
// anywhere before the answer is whole is an error, and what was told of it
// is no less true.
func TestPassCut(t *testing.T) {
	for _, v := range tellings {
		if Of(v.proto).Watch == nil {
			continue
		}
		whole := strings.Join(v.events, "")
		req := &llm.Request{Op: llm.OpChat, Proto: v.proto, WantUsage: true, Stream: true}
		s := pass(t, v.proto, strings.NewReader(whole), req)
		got, u, err := passed(s)
		if err != io.EOF || got != whole || u.Input != 5 || u.Output != 7 || u.Estimated {
			t.Errorf("%s: %v, usage %+v, sent\n%s", v.proto, err, u, got)
		}
		_ = s.Close()
		before := len(strings.Join(v.events[:v.stop], ""))
		for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
			for n := range before + 1 {
				s := pass(t, v.proto, io.MultiReader(strings.NewReader(whole[:n]), &ends{end}), req)
				got, _, err := passed(s)
				if e := llm.AsError(err); err == io.EOF || e.Kind != llm.KindUpstream || !strings.HasPrefix(whole, got) {
					t.Fatalf("%s, %d of %d bytes: %v after %q", v.proto, n, len(whole), err, got)
				}
				_ = s.Close()
			}
		}
		for n := range v.stop + 1 {
			if v.broken == "" {
				break
			}
			s := pass(t, v.proto, strings.NewReader(strings.Join(v.events[:n], "")+v.broken), req)
			got, _, err := passed(s)
			if err == io.EOF || !strings.HasPrefix(whole, got) {
				t.Errorf("%s, an error after %d events: %v after %q", v.proto, n, err, got)
			}
			_ = s.Close()
		}
	}
}
