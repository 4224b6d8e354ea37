package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// talker is a vendor of sessions: it greets, answers each event with a
// response and its usage, and remembers what it was asked.
type talker struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []*http.Request
	frames []string
	ended  chan websocket.StatusCode
}

func newTalker(t *testing.T, refuse int) *talker {
	v := &talker{ended: make(chan websocket.StatusCode, 16)}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.asked = append(v.asked, r)
		v.mu.Unlock()
		if refuse != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(refuse)
			_, _ = w.Write([]byte(`{"error":{"message":"not today","type":"server_error"}}`))
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		ctx := context.Background()
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"session.created","session":{"id":"sess_1"}}`))
		for n := 1; ; n++ {
			kind, b, err := c.Read(ctx)
			if err != nil {
				v.ended <- websocket.CloseStatus(err)
				return
			}
			v.mu.Lock()
			v.frames = append(v.frames, string(b))
			v.mu.Unlock()
			if kind == websocket.MessageBinary {
				_ = c.Write(ctx, websocket.MessageBinary, b)
				continue
			}
			if strings.Contains(string(b), "break") {
				return // CloseNow
			}
			if strings.Contains(string(b), "hang up") {
				_ = c.Close(websocket.StatusNormalClosure, "")
				return
			}
			_ = c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"response.done","response":{"id":"r%d","usage":{"input_tokens":10,"output_tokens":7,`+
				`"input_token_details":{"cached_tokens":4,"audio_tokens":3},"output_token_details":{"audio_tokens":5}}}}`, n))
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *talker) provider(name string) string {
	return fmt.Sprintf("  %s: {kind: openai, base_url: %q, api_key: vendor-key}\n", name, v.URL+"/v1")
}

func TestRealtime(t *testing.T) {
	t.Parallel()
	bad, good := newTalker(t, 500), newTalker(t, 0)
	g := serve(t, "providers:\n"+bad.provider("bad")+good.provider("good")+
		"models: {voice: [bad/gpt-realtime, good/gpt-realtime]}\nkeys: [{name: me, key: client-key-0123456789}]\n")
	url := "ws" + strings.TrimPrefix(g.url, "http") + "/v1/realtime?model=voice"
	ctx := t.Context()

	if _, resp, err := websocket.Dial(ctx, url, nil); err == nil || resp == nil || resp.StatusCode != 401 {
		t.Fatalf("without a key: %v, %v; want 401", resp, err)
	}
	if r := g.get("/v1/realtime?model=voice", "Authorization", "Bearer client-key-0123456789"); r.status != 400 || !strings.Contains(string(r.body), "WebSocket") {
		t.Errorf("without an upgrade: %s", r)
	}
	for _, how := range []*websocket.DialOptions{
		{HTTPHeader: http.Header{"Authorization": {"Bearer client-key-0123456789"}}},
		{Subprotocols: []string{"realtime", "openai-insecure-api-key.client-key-0123456789"}, HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}},
	} {
		c, resp, err := websocket.Dial(ctx, url, how)
		if err != nil {
			t.Fatalf("%v: %v", how, err)
		}
		read := func() string {
			_, b, err := c.Read(ctx)
			if err != nil {
				t.Fatalf("reading: %v", err)
			}
			return string(b)
		}
		if got := read(); !strings.Contains(got, "session.created") {
			t.Errorf("first came %s", got)
		}
		for _, ev := range []string{`{"type":"session.update"}`, `{"type":"response.create"}`} {
			if err := c.Write(ctx, websocket.MessageText, []byte(ev)); err != nil {
				t.Fatal(err)
			}
			if got := read(); !strings.Contains(got, "response.done") {
				t.Errorf("%s was answered with %s", ev, got)
			}
		}
		if err := c.Write(ctx, websocket.MessageBinary, []byte{0, 1, 2}); err != nil {
			t.Fatal(err)
		}
		if got := read(); got != "\x00\x01\x02" {
			t.Errorf("sound came back as %q", got)
		}
		if resp.Header.Get("X-Sluice-Target") != "good/gpt-realtime" || resp.Header.Get("X-Sluice-Attempts") != "2" {
			t.Errorf("header %v", resp.Header)
		}
		_ = c.Close(websocket.StatusNormalClosure, "")
		if code := <-good.ended; code != websocket.StatusNormalClosure {
			t.Errorf("the vendor's side ended with %d", code)
		}
		id := resp.Header.Get("X-Request-Id")
		rec := g.record(id, "Authorization", "Bearer client-key-0123456789")
		if rec.Outcome != "ok" || rec.Usage.Input != 20 || rec.Usage.Output != 14 || rec.Usage.CachedRead != 8 {
			t.Errorf("recorded %+v", rec)
		}
	}
	for _, r := range append(good.asked, bad.asked...) {
		if r.Header.Get("Authorization") != "Bearer vendor-key" || r.URL.Query().Get("model") != "gpt-realtime" || strings.Contains(fmt.Sprint(r.Header), "client-key") {
			t.Errorf("the vendor was asked %s with %v", r.URL, r.Header)
		}
	}
}

// A vendor that hangs up ends the client's session in order; one that breaks
// does not.
func TestRealtimeEnds(t *testing.T) {
	t.Parallel()
	v := newTalker(t, 0)
	g := serve(t, "providers:\n"+v.provider("a")+"models: {voice: a/m}\n")
	url := "ws" + strings.TrimPrefix(g.url, "http") + "/v1/realtime?model=voice"
	dial := func() *websocket.Conn {
		c, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := dial()
	_ = c.Write(t.Context(), websocket.MessageText, []byte(`hang up`))
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after the vendor hung up: %v", err)
	}
	c = dial()
	_ = c.Write(t.Context(), websocket.MessageText, []byte(`break`))
	if _, _, err := c.Read(t.Context()); err == nil || websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		t.Errorf("after the vendor broke: %v", err)
	}
	c = dial()
	_ = c.CloseNow() // the client breaks
	if code := <-v.ended; code != websocket.StatusNormalClosure {
		t.Errorf("the vendor's side ended with %d after the client broke", code)
	}
}

// Where no key is needed, another site's page opens no session: browsers let it
// read what comes.
func TestRealtimeOfAnotherSite(t *testing.T) {
	t.Parallel()
	v := newTalker(t, 0)
	g := serve(t, "auth: none\nproviders:\n"+v.provider("good")+"models: {voice: [good/gpt-realtime]}\n")
	url := "ws" + strings.TrimPrefix(g.url, "http") + "/v1/realtime?model=voice"
	c, resp, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}})
	if err == nil {
		_ = c.CloseNow()
		t.Error("a page of https://elsewhere.example has a session")
	} else if resp == nil || resp.StatusCode != 403 {
		t.Errorf("another site's page: %v, %v; want 403", resp, err)
	}
	for _, origin := range []string{"", g.url} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: h})
		if err != nil {
			t.Errorf("origin %q: %v", origin, err)
			continue
		}
		_ = c.CloseNow()
	}
}
