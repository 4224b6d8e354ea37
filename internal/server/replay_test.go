package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
)

func posted(kind, body string) *exchange {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions?x=1", strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return &exchange{r: r, asked: asked{proto: llm.ProtoOpenAI, op: llm.OpChat}, grant: tenant.Anyone()}
}

// Two requests are the same if they ask the same.
func TestContent(t *testing.T) {
	const form = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B--\r\n"
	of := func(kind, body string) gateway.Digest { return posted(kind, body).content([]byte(body)) }
	multipart := func(boundary, form string) gateway.Digest {
		return of("multipart/form-data; boundary="+boundary, strings.ReplaceAll(form, "B", boundary))
	}
	first := of("application/json", `{"a":1}`)
	for name, same := range map[string]bool{
		"the same body":             of("application/json", `{"a":1}`) == first,
		"the type":                  of("", `{"a":1}`) == of("application/json", `{"a":1}`),
		"a form with a boundary":    multipart("one", form) == multipart("another", form),
		"another body":              of("application/json", `{"a":1}`) != of("application/json", `{"a":2}`),
		"another form":              multipart("one", form) != multipart("one", strings.Replace(form, "m\r\n--", "n\r\n--", 1)),
		"pieces that join the same": multipart("one", "aBb") != multipart("one", "abB"),
	} {
		if !same {
			t.Errorf("%s: not told right", name)
		}
	}
}

// A key is one caller's, for one route.
func TestScope(t *testing.T) {
	base := posted("application/json", "{}").scope("key")
	for name, change := range map[string]func(*exchange){
		"another operation":                func(x *exchange) { x.asked.op = llm.OpEmbedding },
		"another protocol":                 func(x *exchange) { x.asked.proto = llm.ProtoAnthropic },
		"another caller":                   func(x *exchange) { x.grant = &tenant.Grant{Name: "other"} },
		"another credential of the client": func(x *exchange) { x.own.Secret = "secret" },
	} {
		x := posted("application/json", "{}")
		if change(x); x.scope("key") == base {
			t.Errorf("%s: the same scope", name)
		}
	}
	x := posted("application/json", "{}")
	x.r.URL.Path = "/chat/completions"
	if x.scope("key") != base {
		t.Error("another path of the same endpoint: another scope")
	}
	x.asked.op = llm.OpPassthrough
	one := x.scope("key")
	if x.r.URL.Path = "/p/a/other"; x.scope("key") == one {
		t.Error("two places of a vendor: the same scope")
	}
}

// answers is a model whose answers are body, whole or cut.
func answers(calls *int, err error) script {
	return func(_ context.Context, req *llm.Request) (*llm.Response, error) {
		*calls++
		return &llm.Response{Status: 200, Proto: req.Proto, Model: "m", Target: "a/m", Header: http.Header{}, Stream: &once{err: err}}, nil
	}
}

// once is an answer of one chunk.
type once struct {
	err  error
	said bool
}

func (o *once) Next() (llm.Chunk, error) {
	if o.said {
		if o.err == nil {
			return llm.Chunk{}, io.EOF
		}
		return llm.Chunk{}, o.err
	}
	o.said = true
	return llm.Chunk{Raw: []byte("data: {}\n\n"), Level: llm.LevelContent}, nil
}

func (o *once) Close() error { return nil }

// A stream that broke off is not kept, one that did not is.
func TestReplayStreams(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		calls int
	}{
		"whole": {nil, 1},
		"cut":   {&llm.Error{Kind: llm.KindUpstream, Message: "broke"}, 2},
		"left":  {&llm.Error{Kind: llm.KindCanceled, Message: "left"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			s := front(t, answers(&calls, c.err))
			s.deps.Replays = gateway.NewReplays(1 << 40)
			var bodies [2]string
			for i := range bodies {
				r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"messages":[]}`))
				r.Header.Set("Idempotency-Key", "k")
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				bodies[i] = w.Body.String()
				if marked := w.Header().Get("X-Sluice-Idempotent-Replay") != ""; marked != (i == 1 && c.calls == 1) {
					t.Errorf("answer %d marked as a replay: %v", i+1, marked)
				}
			}
			if calls != c.calls || bodies[0] != bodies[1] {
				t.Errorf("calls: got %d, want %d; answers %q and %q", calls, c.calls, bodies[0], bodies[1])
			}
		})
	}
}

// again asks a model with an idempotency key.
func again(s *Server, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
	r.Header.Set("Idempotency-Key", "k")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// What no vendor answered is not kept; a lesser model's answer was paid, and is.
func TestReplayDegraded(t *testing.T) {
	for target, want := range map[string]int{"": 2, "a/small": 1} {
		calls := 0
		s := front(t, func(ctx context.Context, req *llm.Request) (*llm.Response, error) {
			resp, err := answers(&calls, nil)(ctx, req)
			resp.Target, resp.Degraded = target, 1
			return resp, err
		})
		s.deps.Replays = gateway.NewReplays(1 << 40)
		again(s)
		if again(s); calls != want {
			t.Errorf("answered by %q: %d calls, want %d", target, calls, want)
		}
	}
}

// An answer for which there is no room is given and not kept.
func TestReplayNoRoom(t *testing.T) {
	calls := 0
	s := front(t, answers(&calls, nil))
	s.deps.Replays = gateway.NewReplays(1 << 10)
	if first, second := again(s).Body.String(), again(s).Body.String(); first == "" || first != second || calls != 2 {
		t.Errorf("got %q, then %q in %d calls", first, second, calls)
	}
}

// Who waits for another's answer waits as long as it said.
func TestReplayTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := front(t, func(ctx context.Context, req *llm.Request) (*llm.Response, error) {
			time.Sleep(time.Minute)
			return answers(new(int), nil)(ctx, req)
		})
		s.deps.Replays = gateway.NewReplays(1 << 40)
		first := make(chan int)
		go func() { first <- again(s).Code }()
		synctest.Wait()
		start := time.Now()
		if w := again(s, "X-Sluice-Timeout-Ms", "1500"); w.Code != 504 || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("got %d after %v: %s", w.Code, time.Since(start), w.Body)
		}
		if w := again(s, "X-Sluice-Timeout-Ms", "soon"); w.Code != 400 {
			t.Errorf("a time that is none: got %d", w.Code)
		}
		if code := <-first; code != 200 {
			t.Errorf("the first: got %d", code)
		}
	})
}

// A client that takes a replay slowly gets all of it.
func TestReplaySlowReader(t *testing.T) {
	const size = 512 << 10
	synctest.Test(t, func(t *testing.T) {
		s := front(t, says(strings.Repeat("x", size)))
		s.deps.Replays = gateway.NewReplays(1 << 40)
		again(s)
		conn, stop := dial(s)
		defer stop()
		body := `{"model":"m","messages":[]}`
		send(conn, head("Idempotency-Key: k", fmt.Sprint("Content-Length: ", len(body)))+body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.Header.Get("X-Sluice-Idempotent-Replay") == "" {
			t.Fatalf("%+v, %v", resp, err)
		}
		b := make([]byte, 32<<10)
		for got := 0; got < size; {
			n, err := io.ReadFull(resp.Body, b[:min(len(b), size-got)])
			if got += n; err != nil {
				t.Fatalf("a slow reader got %d bytes, then %v", got, err)
			}
			time.Sleep(writeStall / 3)
		}
	})
}

// The encoding of a body that passes as it is belongs to what is asked.
func TestReplayEncoded(t *testing.T) {
	x := posted("application/json", "{}")
	x.asked.op = llm.OpPassthrough
	plain := x.content([]byte("{}"))
	if x.r.Header.Set("Content-Encoding", "gzip"); x.content([]byte("{}")) == plain {
		t.Error("encoded and plain: the same content")
	}
	x.gw, x.trail, x.w = &gateway.Gateway{BodyLimit: 1 << 20}, llm.NewTrail("id", time.Now(), func(*llm.Trail) {}), httptest.NewRecorder()
	x.s = &Server{deps: Deps{Replays: gateway.NewReplays(1 << 40)}}
	served := false
	if x.once("key", func(*exchange) { served = true }); !served {
		t.Errorf("not served: %v", x.trail.Err)
	}
}

// A panic in the middle of an answer leaves no answer and no turn.
func TestReplayPanic(t *testing.T) {
	calls := 0
	s := front(t, func(ctx context.Context, req *llm.Request) (*llm.Response, error) {
		if calls++; calls == 1 {
			panic("boom")
		}
		return answers(new(int), nil)(ctx, req)
	})
	s.deps.Replays = gateway.NewReplays(1 << 40)
	one := func() int {
		defer func() { _ = recover() }()
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
		r.Header.Set("X-Idempotency-Key", "k")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	if first, second := one(), one(); first != 0 || second != 200 || calls != 2 {
		t.Errorf("got %d, then %d in %d calls; want a panic, then 200", first, second, calls)
	}
}
