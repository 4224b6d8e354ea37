package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// The bound on an answer takes the place of the client's; all else stays as it
// was sent where the protocols match.
func TestClamp(t *testing.T) {
	for _, c := range []struct {
		row   string
		proto llm.Proto
		op    llm.Op
		body  string
		want  string
	}{
		{"openai", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","max_tokens":900,"zzz":1,"messages":[{"role":"user","content":"Hi"}]}`, `{"model":"m","max_tokens":64,"zzz":1,"messages":[{"role":"user","content":"Hi"}]}`},
		{"openai", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`, `{"max_completion_tokens":64,"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
		{"vllm", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`, `{"max_tokens":64,"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
		{"openai", llm.ProtoOpenAI, llm.OpCompletion, `{"model":"m","max_tokens":900,"prompt":"Hi"}`, `{"model":"m","max_tokens":64,"prompt":"Hi"}`},
		{"anthropic", llm.ProtoAnthropic, llm.OpChat, `{"model":"m","max_tokens":900,"messages":[{"role":"user","content":"Hi"}]}`, `{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"Hi"}]}`},
		{"openai", llm.ProtoResponses, llm.OpChat, `{"model":"m","max_output_tokens":900,"input":"Hi"}`, `{"model":"m","max_output_tokens":64,"input":"Hi"}`},
		{"gemini", llm.ProtoGemini, llm.OpChat, `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":900}}`, `"maxOutputTokens":64`},
		{"anthropic", llm.ProtoOpenAI, llm.OpChat, `{"model":"m","max_tokens":900,"messages":[{"role":"user","content":"Hi"}]}`, `"max_tokens":64`},
	} {
		got := ""
		ask := lineTo(t, c.row, "m", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got = string(b)
			w.WriteHeader(http.StatusInternalServerError)
		})
		req := request(t, c.proto, c.op, c.body)
		req.Clamp = 64
		if _, err := ask(context.Background(), req); err == nil {
			t.Fatal("a status 500 was no error")
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", c.row, got, c.want)
		}
	}
}

// The operator's own bound on an answer stands where it is the closer one.
func TestClampUnderSet(t *testing.T) {
	for set, want := range map[string]string{"100": "100", "256": "256", "900": "256", "null": "256"} {
		p := clamped(&wire.Params{Set: []wire.Field{{Name: "max_tokens", Value: []byte(set)}}}, "max_tokens", 256)
		b, e := wire.Apply(p, []byte(`{"model":"m","max_tokens":5}`))
		if e != nil || !strings.Contains(string(b), `"max_tokens":`+want) {
			t.Errorf("set to %s, clamped to 256: got %s (%v), want %s", set, b, e, want)
		}
	}
}

// A vendor that cannot be told the beginning of its answer is not asked.
func TestPrefix(t *testing.T) {
	body := `{"model":"m","stream":true,"messages":[{"role":"user","content":"Count."}]}`
	for row, want := range map[string]string{"vllm": `{"role":"assistant","content":"One two"}],"continue_final_message":true`, "openai": "", "bedrock": "", "cohere": ""} {
		got := ""
		ask := lineTo(t, row, "m", func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got = string(b)
			w.WriteHeader(http.StatusInternalServerError)
		})
		req := request(t, llm.ProtoOpenAI, llm.OpChat, body)
		req.Prefix = "One two"
		_, err := ask(context.Background(), req)
		var e *llm.Error
		if !errors.As(err, &e) || (e.Kind == llm.KindUnsupported) != (want == "") {
			t.Errorf("%s: got %v", row, err)
		}
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: got %s, want %q in it", row, got, want)
		}
	}
	v, _ := VendorByName("deepseek")
	r := route{proto: llm.ProtoOpenAI, op: llm.OpChat, stream: true, begun: true}
	if got, want := v.URL("", r, "m"), "https://api.deepseek.com/beta/chat/completions"; got != want {
		t.Errorf("deepseek: got %s, want %s", got, want)
	}
}

// Sent is called when the vendor is reached, before it sees the request.
func TestSent(t *testing.T) {
	var sent atomic.Int64
	before := int64(-1)
	ask := lineTo(t, "openai", "m", func(w http.ResponseWriter, r *http.Request) {
		before = sent.Load()
		w.WriteHeader(http.StatusInternalServerError)
	})
	req := request(t, llm.ProtoOpenAI, llm.OpChat, `{"model":"m","messages":[]}`)
	req.Sent = func() { sent.Add(1) }
	_, _ = ask(context.Background(), req)
	if before < 1 {
		t.Error("the vendor was asked before it was told")
	}
	srv := httptest.NewServer(nil)
	srv.Close()
	gone := lineTo(t, "openai", "m", nil, func(s *Settings) { s.BaseURL, s.Connect = srv.URL, time.Second })
	sent.Store(0)
	if _, err := gone(context.Background(), req); err == nil || sent.Load() != 0 {
		t.Errorf("nobody listens: got %v, told %d times", err, sent.Load())
	}
}
