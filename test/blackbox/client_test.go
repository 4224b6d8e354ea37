package blackbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection that the test's end closes.
func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

func postText(body, header string) string {
	return fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), header, body)
}

// Who leaves while waiting in line has asked nobody and holds no place.
func TestFault74InLine(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	v := newVendor(t, func(c *call) {
		if c.n == 1 {
			select {
			case <-release:
			case <-c.left:
			}
		}
		c.whole("ok")
	})
	g := serve(t, "timeouts: {queue: 60s, total: 240s}\nproviders:\n"+limitedProvider(v, "a", "{concurrent: 1}")+"models: {a: a/m}\n")
	depth := func(n int) func() bool { return func() bool { return g.target("a/m").QueueDepth == n } }
	first := leave(t, context.Background(), g.url, `{"model":"a",`+hello+`}`)
	v.call(1)
	for _, stream := range []string{"false", "true"} {
		ctx, cancel := context.WithCancel(context.Background())
		gone := leave(t, ctx, g.url, `{"model":"a","stream":`+stream+`,`+hello+`}`)
		eventually(t, "a place in line", depth(1))
		cancel()
		closed(t, "the client's end", gone)
		eventually(t, "an empty line", depth(0))
	}
	close(release)
	closed(t, "the first answer", first)
	if r := g.chat("a"); r.status != 200 {
		t.Errorf("afterwards: got %s, want 200: the slot is free", r)
	}
	if n := v.count(); n != 2 {
		t.Errorf("calls: got %d, want 2: nobody was asked for those who left", n)
	}
	eventually(t, "four lines in the access log", func() bool { return g.requests() == 4 })
	if n := strings.Count(g.log(), `"outcome":"canceled"`); n != 2 {
		t.Errorf("outcome canceled: %d times, want 2", n)
	}
}

// Who leaves before the body is whole has asked nothing.
func TestFault75HalfABody(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	body := `{"model":"a",` + hello + `}`
	whole := postText(body, "")
	for name, sent := range map[string]string{
		"expecting 100-continue": strings.TrimSuffix(postText(body, "Expect: 100-continue\r\n"), body),
		"half of the body":       whole[:len(whole)-len(body)/2],
		"all but a byte":         whole[:len(whole)-1],
		"half a chunk":           "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + body,
		"no last chunk":          fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body),
	} {
		before := g.requests()
		conn := dial(t, g.addr)
		_, _ = io.WriteString(conn, sent)
		if strings.Contains(sent, "Expect") { // it waits for the body now
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
				t.Errorf("%s: got %q, %v, want 100 Continue", name, line, err)
			}
		}
		_ = conn.Close()
		eventually(t, "the end of the request: "+name, func() bool { return g.requests() > before })
	}
	if n := v.count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
	if n := strings.Count(g.log(), `"outcome":"canceled"`); n != g.requests() {
		t.Errorf("outcome canceled: %d of %d requests", n, g.requests())
	}
	if r := g.chat("a"); r.status != 200 || v.count() != 1 {
		t.Errorf("a whole request afterwards: got %s", r)
	}
}

// On the wire a client that shuts its sending side down looks like one that
// left (a FIN either way), and what is sent to nobody is paid for: the call
// ends. Clients that want their answer keep the connection open.
func TestFault76HalfClose(t *testing.T) {
	t.Parallel()
	v := newVendor(t, (*call).hang)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	conn := dial(t, g.addr)
	_, _ = io.WriteString(conn, postText(`{"model":"a",`+hello+`}`, ""))
	c := v.call(1)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	closed(t, "the close of the vendor's connection", c.left)
	g.line(`"outcome":"canceled"`)
}

// Each of several requests sent at once gets its own answer, in turn, those
// that are refused too; the connection goes on.
func TestFault84Pipelined(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(c *call) { c.whole("for " + c.model) })
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {one: a/one, two: a/two, three: a/three}\n")
	ask := func(model string, stream bool) string {
		return postText(fmt.Sprintf(`{"model":%q,"stream":%v,%s}`, model, stream, hello), "")
	}
	conn := dial(t, g.addr)
	r := bufio.NewReader(conn)
	for range 3 {
		_, _ = io.WriteString(conn, ask("one", false)+ask("nobody", false)+ask("two", true)+postText(`{"model":`, "")+ask("three", false))
		for i, want := range []struct {
			status int
			text   string
		}{{200, "for one"}, {404, "nobody"}, {200, "two"}, {400, "invalid_json"}, {200, "for three"}} {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("answer %d: %v", i+1, err)
			}
			b, err := io.ReadAll(resp.Body)
			got := string(b)
			if events := datas(b); len(events) > 0 {
				got = text(events)
			}
			if err != nil || resp.StatusCode != want.status || !strings.Contains(got, want.text) || resp.Close {
				t.Errorf("answer %d: got %d %s, %v, closing %v, want %d with %q", i+1, resp.StatusCode, b, err, resp.Close, want.status, want.text)
			}
		}
	}
	if n := v.count(); n != 9 {
		t.Errorf("calls: got %d, want 9", n)
	}
}

// A body whose chunks are not what they should be is no request; the
// connection ends, so that nothing behind it is taken for one.
func TestFault79Chunks(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	body := `{"model":"a",` + hello + `}`
	behind := postText(body, "")
	for name, chunks := range map[string]string{
		"extension of 16 KiB": fmt.Sprintf("%x;%s\r\n%s\r\n0\r\n\r\n", len(body), strings.Repeat("x", 16<<10), body),
		"signed length":       fmt.Sprintf("+%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"length with 0x":      fmt.Sprintf("0x%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"huge length":         fmt.Sprintf("ffffffffffffffffff\r\n%s\r\n0\r\n\r\n", body),
		"too long":            fmt.Sprintf("%x\r\n%s0\r\n\r\n", len(body)-3, body),
		"bare LF":             fmt.Sprintf("%x\n%s\n0\n\n", len(body), body),
	} {
		conn := dial(t, g.addr)
		_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+behind)
		got, err := io.ReadAll(conn)
		if strings.Contains(string(got), "HTTP/1.1 200") || strings.Count(string(got), "HTTP/1.1 ") > 1 {
			t.Errorf("%s: got %q, want one refusal", name, got)
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s: the connection is still open", name)
		}
	}
	if n := v.count(); n != 0 {
		t.Errorf("calls: got %d, want 0", n)
	}
}

// Connections that bring next to nothing end, whether they drip or are silent;
// meanwhile everybody else is served.
func TestFault78Slowloris(t *testing.T) {
	t.Parallel()
	const each, drip = 20, 500 * time.Millisecond
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
	start := time.Now()
	var wg sync.WaitGroup
	for name, x := range map[string]struct {
		sent string
		drip bool
	}{
		"nothing":              {"", false},
		"half a header":        {head, false},
		"a header that drips":  {head + "X-Long: ", true},
		"no body":              {head + "Content-Length: 100000\r\n\r\n", false},
		"a body that drips":    {head + "Content-Length: 100000\r\n\r\n{", true},
		"chunks that drip":     {head + "Transfer-Encoding: chunked\r\n\r\nfffff\r\n{", true},
		"a body, then silence": {head + "Content-Length: 100000\r\n\r\n{\"model\":", false},
	} {
		for range each {
			conn := dial(t, g.addr)
			_ = conn.SetDeadline(time.Now().Add(90 * time.Second))
			_, _ = io.WriteString(conn, x.sent)
			over := make(chan struct{})
			wg.Go(func() {
				defer close(over)
				b, err := io.ReadAll(conn)
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Errorf("%s: still open after %v", name, time.Since(start))
				}
				if strings.Contains(string(b), "HTTP/1.1 200") {
					t.Errorf("%s: got %s", name, b)
				}
			})
			wg.Go(func() {
				for tick := time.Tick(drip); x.drip; {
					select {
					case <-tick:
						_, _ = io.WriteString(conn, "x")
					case <-over:
						return
					}
				}
			})
		}
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	asked := 0
	for going := true; going; {
		select {
		case <-ended:
			going = false
		case <-time.After(50 * time.Millisecond):
		}
		if r := g.chat("a"); r.status != 200 {
			t.Errorf("another client meanwhile: got %s, want 200", r)
		}
		asked++
	}
	if n := v.count(); n != asked {
		t.Errorf("calls: got %d, want the %d of the client that is not slow", n, asked)
	}
	t.Logf("%d slow connections ended within %v; %d requests of others were answered", 7*each, time.Since(start).Round(time.Second), asked)
}
