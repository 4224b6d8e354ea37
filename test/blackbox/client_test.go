package blackbox

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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
