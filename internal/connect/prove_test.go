package connect

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	anthropicStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ready\"}}\n\n"
	responsesStream = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n" +
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"ready\"}\n\n" +
		"event: response.output_item.done\ndata: {\"type\":\"x\",\"delta\":{\"not\":\"text\"}}\n\n"
	chatStream = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"ready\"}}]}\n\n: keep-alive\n\ndata: {\"choices\":[],\"usage\":{}}\n\n"
)

func TestProve(t *testing.T) {
	for _, c := range []struct {
		name, tool, stream string
		status             int
		want               string // text, or the error's words
		fails              bool
	}{
		{"Claude Code", "claude-code", anthropicStream + "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", 200, "ready", false},
		{"Claude Code, cut", "claude-code", anthropicStream, 200, "without its last event", true},
		{"Claude Code, error", "claude-code", anthropicStream + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"try later\"}}\n\n", 200, "try later", true},
		{"Claude Code, event under another name", "claude-code", "event: x\ndata: {\"type\":\"message_stop\"}\n\n", 200, "its name is not its type", true},
		{"Codex", "codex", responsesStream + "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n", 200, "ready", false},
		{"Codex, cut", "codex", responsesStream, 200, "without its last event", true},
		{"Codex, failed", "codex", responsesStream + "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"try later\"}}}\n\n", 200, "try later", true},
		{"aider", "aider", chatStream + "data: [DONE]\n\n", 200, "ready", false},
		{"aider, cut", "aider", chatStream, 200, "without its last event", true},
		{"aider, error", "aider", chatStream + "data: {\"error\":{\"message\":\"try later\"}}\n\n", 200, "try later", true},
		{"Cursor, refused", "cursor", `{"error":{"message":"unknown model"}}`, 404, "404: unknown model", true},
		{"opencode, another server", "opencode", "<html>", 502, "answered 502", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body []byte
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ = io.ReadAll(r.Body)
				if got := r.Header.Get("Authorization"); got != "Bearer "+gw.Key {
					t.Errorf("authorization %q", got)
				}
				if want := tool(t, c.tool).call.path; r.URL.RequestURI() != want {
					t.Errorf("path %q, want %q", r.URL.RequestURI(), want)
				}
				if c.status == 200 {
					w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.stream)
			}))
			defer srv.Close()
			p, err := tool(t, c.tool).Prove(t.Context(), Gateway{URL: srv.URL, Key: gw.Key, Model: "smart"})
			if c.fails {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), gw.Key) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			} else if err != nil || p.Text != c.want {
				t.Errorf("got %q, %v", p.Text, err)
			}
			var sent struct {
				Model  string
				Stream bool
				Store  *bool
				Tools  []struct{ Type string }
			}
			if err := json.Unmarshal(body, &sent); err != nil || sent.Model != "smart" || !sent.Stream || (c.tool == "codex") != (sent.Store != nil && !*sent.Store) ||
				(c.tool == "codex") != (len(sent.Tools) == 1 && sent.Tools[0].Type == "namespace") {
				t.Errorf("sent %s (%v)", body, err)
			}
		})
	}
}

func TestProveNobodyThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := Models(t.Context(), Gateway{URL: srv.URL})
	if err == nil || !strings.Contains(err.Error(), "does the gateway run there?") {
		t.Errorf("got %v", err)
	}
}
