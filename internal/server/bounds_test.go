package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/load"
	"github.com/sluicegate/sluice/internal/tenant"
)

// said is a whole answer of a model.
type said struct {
	body string
	over bool
}

func (s *said) Next() (llm.Chunk, error) {
	if s.over {
		return llm.Chunk{}, io.EOF
	}
	s.over = true
	return llm.Chunk{Raw: []byte(s.body), Level: llm.LevelContent, Usage: &llm.Usage{}}, nil
}

func (*said) Close() error { return nil }

// says is a model that always says the same.
func says(body string) script {
	return func(context.Context, *llm.Request) (*llm.Response, error) {
		return &llm.Response{Status: 200, Header: http.Header{}, Proto: llm.ProtoOpenAI, Stream: &said{body: body}}, nil
	}
}

// head is the header of a chat request.
func head(more ...string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
}

func chatOf(size int) string {
	begin, end := `{"model":"m","messages":[{"role":"user","content":"`, `"}]}`
	return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
}

// send writes to a connection whose other side may not read.
func send(conn net.Conn, s string) { go func() { _, _ = io.WriteString(conn, s) }() }

// A body may be slow, but not as slow as it likes: one that pauses or drips is
// cut, and what is left of it is not waited for.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct {
		name  string
		piece int
		every time.Duration
		ok    bool
	}{
		{"a byte now and then", 1, 9 * time.Second, false},
		{"nothing more", 1, time.Hour, false},
		{"a little less than the least", 900, time.Second, false},
		{"a little more", 1100, time.Second, true},
		{"in bursts", 40 << 10, 29 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, stop := dial(front(t, says("{}")))
				defer stop()
				const size = 800_000
				body := chatOf(size)
				start := time.Now()
				enough := make(chan struct{})
				defer close(enough)
				go func() {
					_, _ = io.WriteString(conn, head(fmt.Sprint("Content-Length: ", size))+body[:c.piece])
					for at := c.piece; at < size; at += c.piece {
						select {
						case <-time.After(c.every):
						case <-enough:
							return
						}
						if _, err := io.WriteString(conn, body[at:min(size, at+c.piece)]); err != nil {
							return
						}
					}
				}()
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.ReadAll(resp.Body)
				if want := map[bool]int{true: 200, false: 400}[c.ok]; resp.StatusCode != want || resp.Close == c.ok {
					t.Errorf("status %d, close %v after %v", resp.StatusCode, resp.Close, time.Since(start))
				}
				if c.ok {
					return
				}
				if _, err := r.ReadByte(); err == nil {
					t.Error("the connection goes on")
				}
				if d := time.Since(start); c.piece == 1 && d > bodyStall+2*bodyFarewell {
					t.Errorf("it was held for %v", d)
				}
			})
		})
	}
}

// A body that is too large is refused when its bound is passed, and its
// connection does not wait for the rest.
func TestLargeBodies(t *testing.T) {
	const limit = 1 << 20
	for name, begin := range map[string]string{
		"of known length":   head("Content-Length: 100000000"),
		"of unknown length": head("Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n", limit+1) + strings.Repeat(" ", limit+1) + "\r\n5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, stop := dial(front(t, says("{}")))
				defer stop()
				start := time.Now()
				send(conn, begin)
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 413 || !resp.Close || time.Since(start) != 0 {
					t.Fatalf("%+v, %v after %v", resp, err, time.Since(start))
				}
				_, _ = io.ReadAll(resp.Body)
				if _, err := r.ReadByte(); err == nil || time.Since(start) > 2*bodyFarewell {
					t.Errorf("the end of the connection: %v after %v", err, time.Since(start))
				}
			})
		})
	}
}

// A client that takes nothing of an answer is given up; one that takes it slowly
// gets all of it.
func TestSlowReaders(t *testing.T) {
	const size = 1 << 20
	answer := strings.Repeat("x", size)
	synctest.Test(t, func(t *testing.T) {
		s := front(t, says(answer))
		settled := make(chan *llm.Trail, 1)
		s.deps.Settle = func(tr *llm.Trail) { settled <- tr }
		conn, stop := dial(s)
		send(conn, head("Content-Length: 100")+chatOf(100))
		if _, err := conn.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if tr := <-settled; tr.Err == nil || tr.Err.Kind != llm.KindCanceled || time.Since(start) > writeStall {
			t.Errorf("a reader that stopped: %v after %v", tr.Err, time.Since(start))
		}
		stop()

		conn, stop = dial(s)
		defer stop()
		send(conn, head("Content-Length: 100")+chatOf(100))
		got, b := 0, make([]byte, 32<<10)
		for got < size {
			n, err := io.ReadFull(conn, b[:min(len(b), size-got)])
			if got += n; err != nil {
				t.Fatalf("a slow reader got %d bytes, then %v", got, err)
			}
			time.Sleep(writeStall / 3)
		}
	})
}

// keyed is a server with keys, each with the name that it is.
func keyed(t *testing.T, limit int, model script, names ...string) *Server {
	t.Helper()
	var list []tenant.Key
	for _, n := range names {
		list = append(list, tenant.Key{Name: n, Secret: "key-" + n, Operator: n == "operator", Priority: map[string]llm.Priority{"operator": llm.PriorityCritical, "batch": llm.PriorityBatch}[n]})
	}
	keys, err := tenant.NewKeys(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := front(t, model)
	s.deps.Current().Keys = keys
	s.SetLimit(limit, false)
	return s
}

// asking sends a header, and body if the server takes it, and returns the answer.
func asking(t *testing.T, s *Server, key, path, length, body string) (status int, h http.Header, took time.Duration) {
	t.Helper()
	conn, stop := dial(s)
	defer stop()
	start := time.Now()
	send(conn, "POST "+path+" HTTP/1.1\r\nHost: gateway\r\nX-Sluice-Key: key-"+key+"\r\n"+length+"\r\n\r\n"+body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(resp.Body)
	if resp.Close {
		resp.Header.Set("Connection", "close")
	}
	return resp.StatusCode, resp.Header, time.Since(start)
}

// What is refused is told when to come again: where the body is large, before it
// has come, and the connection ends; where it is small the connection goes on.
func TestShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted []string
		s := keyed(t, 10, says("{}"), "one", "operator")
		s.deps.Current().BodyLimit = 8 << 20
		s.deps.Limited = func(reason string) { counted = append(counted, reason) }
		const small, large = "Content-Length: 100", "Content-Length: 1048577"
		check := func(what, key, path, length, body string, want int) {
			t.Helper()
			status, h, took := asking(t, s, key, path, length, body)
			if status != want || took != 0 {
				t.Errorf("%s: got %d after %v, want %d at once", what, status, took, want)
			}
			if refused := status >= 500; refused != (h.Get("Retry-After") == "1") || (refused && length != small) != (h.Get("Connection") == "close") {
				t.Errorf("%s: status %d with %v", what, status, h)
			}
		}
		const openai, anthropic = "/v1/chat/completions", "/v1/messages"
		check("at ease", "one", openai, small, chatOf(100), 200)
		s.deps.Load.See(load.Sample{Memory: 0.8})
		check("large, with scarce memory", "one", openai, large, "", 503)
		check("large and Anthropic's", "one", anthropic, large, "", 529)
		check("small, with scarce memory", "one", openai, small, chatOf(100), 200)
		check("of unknown length", "one", openai, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", 3*bigBody, strings.Repeat(" ", 3*bigBody)), 503)
		for range 20 {
			s.deps.Load.See(load.Sample{Memory: 0.95})
		}
		check("normal", "one", openai, small, chatOf(100), 503)
		check("normal and large", "one", openai, large, "", 503)
		check("normal, Anthropic's", "one", anthropic, small, chatOf(100), 529)
		check("the operator's", "operator", openai, small, chatOf(100), 200)
		if got := fmt.Sprint(counted); got != "[shed shed shed shed shed shed]" {
			t.Errorf("counted %s", got)
		}
		if status, h, took := asking(t, s, "one", openai, small, ""); status != 503 || took > bodyFarewell || h.Get("Connection") != "close" {
			t.Errorf("a small body that does not come: %d after %v with %v", status, took, h)
		}
		if n := s.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// No key holds so much that others find no room, and where there is only one it
// may have all.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		model := func(ctx context.Context, r *llm.Request) (*llm.Response, error) {
			<-hold
			return says("{}")(ctx, r)
		}
		fill := func(s *Server, key string, n int) (answers chan int) {
			answers = make(chan int, n)
			for range n {
				go func() {
					status, _, _ := asking(t, s, key, "/v1/chat/completions", "Content-Length: 100", chatOf(100))
					answers <- status
				}()
				synctest.Wait()
			}
			return answers
		}
		s := keyed(t, 10, model, "greedy", "modest")
		greedy := fill(s, "greedy", 10)
		if n := s.InFlight(); n != 8 {
			t.Errorf("a greedy key holds %d of 10, want 8", n)
		}
		modest := fill(s, "modest", 1)
		if n := s.InFlight(); n != 9 {
			t.Errorf("another key found no room: %d under way", n)
		}
		close(hold)
		got := map[int]int{}
		for range 10 {
			got[<-greedy]++
		}
		if status := <-modest; status != 200 || got[200] != 8 || got[429] != 2 {
			t.Errorf("the greedy key's answers %v, the other's %d", got, status)
		}
		hold = make(chan struct{})
		s = keyed(t, 10, model, "only", "operator")
		only := fill(s, "only", 10)
		if n := s.InFlight(); n != 10 {
			t.Errorf("the only key holds %d of 10", n)
		}
		close(hold)
		for range 10 {
			if status := <-only; status != 200 {
				t.Errorf("status %d", status)
			}
		}
	})
}
