package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

func decode(op llm.Op, body string) (*llm.Request, *llm.Error) {
	req := &llm.Request{}
	err := Decode(op, &wire.Buffer{B: []byte(body)}, req)
	return req, err
}

func TestDecode(t *testing.T) {
	req, err := decode(llm.OpChat, `{"model":"gpt-4o","messages":[],"stream":true,"stream_options":{"include_usage":true},"n":3,"max_tokens":10,"max_completion_tokens":20,"user":"u1"}`)
	if err != nil {
		t.Fatal(err)
	}
	if req.Model != "gpt-4o" || !req.Stream || !req.WantUsage || req.N != 3 || req.MaxOutput != 20 || req.Body.User() != "u1" {
		t.Errorf("got %+v", req)
	}
	req, err = decode(llm.OpEmbedding, `{"model":"e","input":"x","encoding_format":"base64","stream":true}`)
	if err != nil || req.Vectors != llm.VectorsBase64 || req.Stream {
		t.Errorf("embeddings: got %+v, %v", req, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		body string
		kind llm.Kind
		say  string
	}{
		{``, llm.KindInvalidJSON, "JSON"},
		{`[]`, llm.KindInvalidJSON, "JSON"},
		{`{"model":"a",}`, llm.KindInvalidJSON, "byte"},
		{`{"model":"a","model":"b"}`, llm.KindInvalidRequest, `"model" appears twice`},
		{`{"model":"a","m\u006fdel":"b"}`, llm.KindInvalidRequest, "twice"},
		{`{"Model":"a"}`, llm.KindInvalidRequest, `must be spelled "model"`},
		{`{"model":"a","ſtream":true}`, llm.KindInvalidRequest, `must be spelled "stream"`}, // U+017F folds to s
		{`{"model":7}`, llm.KindInvalidRequest, "string"},
		{`{"model":"a\n"}`, llm.KindInvalidRequest, "printable"},
		{`{"model":"` + strings.Repeat("x", wire.MaxModelName+1) + `"}`, llm.KindInvalidRequest, "256"},
		{`{"model":"a","stream":"yes"}`, llm.KindInvalidRequest, "true or false"},
		{`{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, llm.KindInvalidRequest, "512"},
	} {
		_, err := decode(llm.OpChat, c.body)
		if err == nil || err.Kind != c.kind || !strings.Contains(err.Message, c.say) {
			t.Errorf("%.60s: got %v, want %v that says %q", c.body, err, c.kind, c.say)
		}
	}
}

func rewrite(t testing.TB, body string, w wire.Rewrite) string {
	t.Helper()
	req, err := decode(llm.OpChat, body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	p := Payload(req.Body.(*wire.Form), w)
	defer req.Body.Release()
	defer p.Close()
	size := p.Size()
	out, rerr := io.ReadAll(p)
	if rerr != nil || int64(len(out)) != size {
		t.Fatalf("%s: read %d bytes of %d, %v", body, len(out), size, rerr)
	}
	return string(out)
}

func TestRewrite(t *testing.T) {
	model := []byte(`"v"`)
	usage := `"stream_options":{"include_usage":true}`
	for _, c := range []struct {
		name, in, want string
		w              wire.Rewrite
	}{
		{"nothing to do", ` {"model" : "v", "x":1 } `, ` {"model" : "v", "x":1 } `, wire.Rewrite{Model: model}},
		{"the model alone", "{\"x\":\"\\ud800\xff\", \"model\" : \"a\" ,\"y\":1e400}", "{\"x\":\"\\ud800\xff\", \"model\" : \"v\" ,\"y\":1e400}", wire.Rewrite{Model: model}},
		{"no model", `{"x":1}`, `{"model":"v","x":1}`, wire.Rewrite{Model: model}},
		{"empty", `{}`, `{"model":"v"}`, wire.Rewrite{Model: model}},
		{"an escaped name", `{"m\u006fdel":"a"}`, `{"m\u006fdel":"v"}`, wire.Rewrite{Model: model}},
		{"usage", `{"model":"v"}`, `{` + usage + `,"model":"v"}`, wire.Rewrite{Stream: true}},
		{"usage was asked for", `{"stream_options":{"include_usage": true}}`, `{"stream_options":{"include_usage": true}}`, wire.Rewrite{Stream: true}},
		{"usage was refused", `{"stream_options":{"x":1, "include_usage" : false}}`, `{"stream_options":{"x":1, "include_usage" : true}}`, wire.Rewrite{Stream: true}},
		{"other options", `{"stream_options":{"x":1}}`, `{"stream_options":{"include_usage":true,"x":1}}`, wire.Rewrite{Stream: true}},
		{"no options", `{"stream_options":{}}`, `{"stream_options":{"include_usage":true}}`, wire.Rewrite{Stream: true}},
		{"null options", `{"stream_options":null}`, `{` + usage + `}`, wire.Rewrite{Stream: true}},
		{"not to be asked", `{"a":1,"stream_options":{"include_usage":true}}`, `{"a":1}`, wire.Rewrite{Stream: true, Usage: wire.UsageAlways}},
		{"not to be asked, alone", `{"stream_options":{}}`, `{}`, wire.Rewrite{Stream: true, Usage: wire.UsageAlways}},
		{"the gateway's context", `{"messages":[],"context":{"task":"x"}}`, `{"messages":[]}`, wire.Rewrite{}},
		{"another's context", `{"messages":[],"context":"text"}`, `{"messages":[],"context":"text"}`, wire.Rewrite{}},
		{"dropped first", `{"a":1, "b":2}`, `{"b":2}`, wire.Rewrite{Params: &wire.Params{Drop: []string{"a"}}}},
		{"dropped in the middle", `{"a":1, "b":2, "c":3}`, `{"a":1, "c":3}`, wire.Rewrite{Params: &wire.Params{Drop: []string{"b"}}}},
		{"dropped last", `{"a":1, "b":2 }`, `{"a":1 }`, wire.Rewrite{Params: &wire.Params{Drop: []string{"b"}}}},
		{"all dropped", `{ "a":1, "b":2 }`, `{  }`, wire.Rewrite{Params: &wire.Params{Drop: []string{"a", "b"}}}},
		{"default", `{"a":1}`, `{"t":0.2,"a":1}`, wire.Rewrite{Params: &wire.Params{Default: []wire.Field{{Name: "t", Value: []byte("0.2")}, {Name: "a", Value: []byte("9")}}}}},
		{"set", `{"a":1}`, `{"b":3,"a":2}`, wire.Rewrite{Params: &wire.Params{Set: []wire.Field{{Name: "a", Value: []byte("2")}, {Name: "b", Value: []byte("3")}}}}},
		{"Voyage's dimension", `{"input":"a","dimensions":256,"encoding_format":"float"}`, `{"output_dimension":256,"input":"a"}`, wire.Rewrite{Op: llm.OpEmbedding, Dialect: "voyage"}},
		{"Voyage's own dimension", `{"input":"a","output_dimension":8,"dimensions":256,"encoding_format":"base64"}`, `{"input":"a","output_dimension":8,"encoding_format":"base64"}`, wire.Rewrite{Op: llm.OpEmbedding, Dialect: "voyage"}},
		{"Mistral's dimension", `{"dimensions":256}`, `{"output_dimension":256}`, wire.Rewrite{Op: llm.OpEmbedding, Dialect: "mistral"}},
		{"OpenAI's dimensions", `{"dimensions":256}`, `{"dimensions":256}`, wire.Rewrite{Op: llm.OpEmbedding, Dialect: "openai"}},
	} {
		if got := rewrite(t, c.in, c.w); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzRewrite: whatever is asked for, the result is the same object but for
// exactly that.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{`{}`, `{"model":"a","stream_options":{"x":[1]},"temperature":1,"logit_bias":{}}`, ` { "logit_bias" : null } `, `{"context":{},"messages":[],"a":"\ud800"}`, `{"logit_BiAs":{},"SEED":1,"see\u0064":2,"a":1}`} {
		f.Add([]byte(s), uint8(255))
	}
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		req := &llm.Request{}
		if !json.Valid(b) || Decode(llm.OpChat, &wire.Buffer{B: b}, req) != nil {
			return
		}
		w := wire.Rewrite{Stream: bits&1 != 0, Usage: wire.UsageMode(bits >> 1 & 1)}
		if bits&4 != 0 {
			w.Model = []byte(`"vendor"`)
		}
		if bits&8 != 0 {
			w.Params = &wire.Params{Default: []wire.Field{{Name: "temperature", Value: []byte("0.5")}}, Set: []wire.Field{{Name: "seed", Value: []byte("7")}}, Drop: []string{"logit_bias"}}
		}
		p := Payload(req.Body.(*wire.Form), w)
		out, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Close()
		if !json.Valid(out) {
			t.Fatalf("%q became %q", b, out)
		}
		touched := []string{`"model"`, `"stream_options"`, `"context"`, `"temperature"`, `"seed"`, `"logit_bias"`}
		rest := func(b []byte) (out []string) {
			ms, err := scan.Object(nil, b)
			if err != nil {
				t.Fatalf("%q: %v", b, err)
			}
			for _, m := range ms {
				key := b[m.Key:m.KeyEnd]
				if s, ok := scan.String(key); ok {
					key = []byte(fmt.Sprintf("%q", s))
				}
				if !slices.ContainsFunc(touched, func(name string) bool { return strings.EqualFold(name, string(key)) }) {
					out = append(out, string(b[m.Key:m.End]))
				}
			}
			return out
		}
		if a, z := rest(b), rest(out); !slices.Equal(a, z) {
			t.Fatalf("%q became %q", b, out)
		}
	})
}

// answerOf decodes a body as a vendor's answer.
func response(kind, body string) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

func drain(s llm.Stream) (text string, usage *llm.Usage, err error) {
	for {
		c, err := s.Next()
		if err != nil {
			return text, usage, err
		}
		text += string(c.Raw)
		if c.Usage != nil {
			u := *c.Usage
			usage = &u
		}
	}
}

const (
	role    = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	hello   = `data: {"choices":[{"index":0,"delta":{"content":"hello \"finish_reason\":\"stop\""},"finish_reason":null}]}` + "\n\n"
	tool    = `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"usage\":{\"prompt_tokens\":99}}"}}]},"finish_reason":null}]}` + "\n\n"
	stopped = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usage   = `data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\n"
	ended   = "data: [DONE]\n\n"
)

func TestStreamEnds(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		n              int
		whole          bool
	}{
		{"whole", role + hello + stopped + ended, role + hello + stopped + ended, 1, true},
		{"without [DONE]", role + hello + stopped, role + hello + stopped + ended, 1, true},
		{"without a finish reason", role + hello + ended, role + hello + ended, 1, true},
		{"neither", role + hello, role + hello, 1, false},
		{"a finish reason in the text is none", hello, hello, 1, false},
		{"one of two finished", hello + stopped, hello + stopped, 2, false},
		{"two finished", hello + stopped + stopped, hello + stopped + stopped + ended, 2, true},
		{"twice [DONE]", hello + stopped + ended + ended + hello, hello + stopped + ended, 1, true},
		{"an error event", hello + "data: {\"error\":{\"message\":\"boom\"}}\n\n" + ended, hello, 1, false},
		{"nothing", "", "", 1, false},
	} {
		s, bad := Stream(&llm.Request{Op: llm.OpChat, Stream: true, WantUsage: true, N: c.n}, response("text/event-stream", c.in))
		if bad != nil {
			t.Fatalf("%s: %v", c.name, bad)
		}
		text, _, err := drain(s)
		_ = s.Close()
		if (err == io.EOF) != c.whole {
			t.Errorf("%s: ended with %v, want whole %v", c.name, err, c.whole)
		}
		if text != c.want {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}

func TestStreamUsage(t *testing.T) {
	all := role + tool + stopped + usage + ended
	for _, asked := range []bool{true, false} {
		s, _ := Stream(&llm.Request{Op: llm.OpChat, Stream: true, WantUsage: asked, N: 1}, response("text/event-stream", all))
		text, u, err := drain(s)
		_ = s.Close()
		want := all
		if !asked {
			want = role + tool + stopped + ended
		}
		if text != want || err != io.EOF {
			t.Errorf("asked %v: got %q, %v", asked, text, err)
		}
		if u == nil || *u != (llm.Usage{Input: 5, CachedRead: 4, Output: 7}) {
			t.Errorf("asked %v: usage %+v", asked, u)
		}
	}
}

func TestParseUsage(t *testing.T) {
	for _, c := range []struct {
		in   string
		want llm.Usage
		ok   bool
	}{
		{`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`, llm.Usage{Input: 10, Output: 5}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":22,"completion_tokens_details":{"reasoning_tokens":7}}`, llm.Usage{Input: 10, Output: 12, Reasoning: 7}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":3}}`, llm.Usage{Input: 10, Output: 5, Reasoning: 3}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":8}`, llm.Usage{Input: 10, CachedRead: 8, Output: 5}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":12}}`, llm.Usage{Input: 10, CachedRead: 10, Output: 5}, true},
		{`{"prompt_tokens":0,"completion_tokens":0}`, llm.Usage{}, true},
		{`{"prompt_tokens":30,"completion_tokens":20,"prompt_tokens_details":{"audio_tokens":5,"image_tokens":6,"video_tokens":7,"cache_write_tokens":8},"completion_tokens_details":{"audio_tokens":9,"image_tokens":10}}`,
			llm.Usage{Input: 30, AudioInput: 5, ImageInput: 6, VideoInput: 7, CacheWrite: 8, Output: 20, AudioOutput: 9, ImageOutput: 10}, true},
		{`{"prompt_tokens":33,"completion_tokens":100,"total_tokens":133,"citation_tokens":20,"num_search_queries":28,"reasoning_tokens":50}`,
			llm.Usage{Input: 33, Output: 170, Citation: 20, Reasoning: 50, Searches: 28}, true}, // Perplexity's
		{`{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":4,"cached_tokens":6}`, llm.Usage{Input: 10, CachedRead: 6, Output: 5, Reasoning: 4}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"num_cached_tokens":6,"service_tier":"flex"}`, llm.Usage{Input: 10, CachedRead: 6, Output: 5, Tier: llm.TierFlex}, true},
		{`{"prompt_tokens":10,"completion_tokens":5,"server_tool_use_details":{"web_search_requests":2}}`, llm.Usage{Input: 10, Output: 5, Searches: 2}, true},
		{`{"total_tokens":7}`, llm.Usage{Input: 7}, true}, // of embeddings
		{`{"prompt_tokens":null,"completion_tokens":5}`, llm.Usage{Output: 5}, true},
		{`{"prompt_tokens":-1,"completion_tokens":5}`, llm.Usage{}, false},
		{`{"prompt_tokens":1000000000000000000,"completion_tokens":5}`, llm.Usage{}, false},
		{`{"prompt_tokens":"7","completion_tokens":5}`, llm.Usage{}, false},
		{`{}`, llm.Usage{}, false}, {`null`, llm.Usage{}, false}, {``, llm.Usage{}, false},
	} {
		u, ok := ParseUsage([]byte(c.in))
		if ok != c.ok || ok && u != c.want {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.in, u, ok, c.want, c.ok)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ name, kind, body, say string }{
		{"whole", "application/json", `{"choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":7}}`, ""},
		{"half", "application/json", `{"choices":[{"message":`, "could not be understood"},
		{"a page", "text/html", `<html>`, "could not be understood"},
		{"an error in a 200", "application/json", `{"error":{"message":"boom","code":500}}`, "boom"},
		{"something else", "application/json", `{"status":"ok"}`, "could not be understood"},
	} {
		req := &llm.Request{Op: llm.OpChat, N: 1}
		s, bad := Answer(req, response(c.kind, c.body), wire.VectorFloat32)
		var err error
		if bad != nil {
			err = bad
		} else {
			var text string
			var u *llm.Usage
			if text, u, err = drain(s); err == io.EOF {
				err = nil
				if text != c.body || u == nil || u.Input != 5 || u.Output != 7 || u.Estimated {
					t.Errorf("%s: got %q, %+v", c.name, text, u)
				}
			}
			_ = s.Close()
		}
		if got := fmt.Sprint(err); (c.say == "") != (err == nil) || !strings.Contains(got, c.say) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.say)
		}
	}
}

// Vectors keep every bit on the way there and back.
func TestEmbeddings(t *testing.T) {
	floats := `{"object":"list","data":[{"embedding":[0.1,-3.4028235e+38,1e-45,0,1.1754944e-38],"index":0},{"index":1,"embedding":[1,2.5]}],"usage":{"prompt_tokens":3}}`
	b64, err := convertEmbeddings([]byte(floats), false, wire.VectorFloat32)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b64), "[0.1") || !strings.HasSuffix(string(b64), `"usage":{"prompt_tokens":3}}`) {
		t.Errorf("base64: got %s", b64)
	}
	back, err := convertEmbeddings(b64, true, wire.VectorFloat32)
	if err != nil {
		t.Fatal(err)
	}
	again, err := convertEmbeddings(back, false, wire.VectorFloat32)
	if err != nil || !bytes.Equal(again, b64) {
		t.Errorf("base64, numbers, base64: got %s, %v, want %s", again, err, b64)
	}
	if same, err := convertEmbeddings([]byte(floats), true, wire.VectorFloat32); err != nil || string(same) != floats {
		t.Errorf("numbers stay: got %s, %v", same, err)
	}
	bytes8 := `{"data":[{"embedding":"AX+A/w=="}]}` // 1, 127, -128, -1
	if got, err := convertEmbeddings([]byte(bytes8), true, wire.VectorInt8); err != nil || string(got) != `{"data":[{"embedding":[1,127,-128,-1]}]}` {
		t.Errorf("bytes as numbers: got %s, %v", got, err)
	}
	if got, err := convertEmbeddings([]byte(bytes8), false, wire.VectorInt8); err != nil {
		t.Error(err)
	} else if got, err = convertEmbeddings(got, true, wire.VectorFloat32); err != nil || string(got) != `{"data":[{"embedding":[1,127,-128,-1]}]}` {
		t.Errorf("bytes as base64 of float32: got %s, %v", got, err)
	}
	for _, in := range []string{`{}`, `{"data":[{"embedding":"!!"}]}`, `{"data":[{"embedding":"AAA="}]}`, `{"data":[{"embedding":"AADAfw=="}]}`, `{"data":7}`} {
		if out, err := convertEmbeddings([]byte(in), true, wire.VectorFloat32); err == nil {
			t.Errorf("%s: got %s, want an error", in, out)
		}
	}
}

// Later turns of a conversation are known by what they repeat.
func TestConversation(t *testing.T) {
	of := func(body string) (uint64, bool) {
		req, err := decode(llm.OpChat, body)
		if err != nil {
			t.Fatal(err)
		}
		return req.Body.Conversation()
	}
	first := `{"role":"system","content":"s"},{"role":"user","content":"` + strings.Repeat("long ", 1000) + `"}`
	h1, ok1 := of(`{"messages":[` + first + `]}`)
	h2, ok2 := of(`{"messages":[` + first + `,{"role":"assistant","content":"a"},{"role":"user","content":"next"}]}`)
	if !ok1 || !ok2 || h1 != h2 {
		t.Errorf("two turns: got %x %v and %x %v, want the same", h1, ok1, h2, ok2)
	}
	if _, ok := of(`{"messages":[{"role":"user","content":"short"}]}`); ok {
		t.Error("a single short prompt is a conversation")
	}
	k1, ok := of(`{"messages":[{"role":"user","content":"a"}],"prompt_cache_key":"k"}`)
	k2, _ := of(`{"messages":[{"role":"user","content":"b"}],"prompt_cache_key":"k"}`)
	if !ok || k1 != k2 {
		t.Error("prompt_cache_key does not keep requests together")
	}
}
