package provider

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// tally is a transport of which is known how often its idle connections were
// closed.
type tally struct{ closed int }

func (c *tally) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.EOF }
func (c *tally) CloseIdleConnections()                           { c.closed++ }

// Where the process is out of files, idle connections are given up for a new
// one, once; any other failure is what it is.
func TestDialWithoutFiles(t *testing.T) {
	full := &dialError{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}}
	refused := &dialError{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	for _, c := range []struct {
		name          string
		errs          []error
		calls, closed int
		want          error
	}{
		{"at once", []error{nil}, 1, 0, nil},
		{"with what was idle", []error{full, nil}, 2, 1, nil},
		{"not even so", []error{full, full}, 2, 1, full},
		{"refused", []error{refused}, 1, 0, refused},
	} {
		idle := &tally{}
		ts := &Transports{all: map[transportKey]*kept{{name: "p"}: {transport: idle}}}
		calls := 0
		dial := ts.relieved(func(context.Context, string, string) (net.Conn, error) {
			calls++
			return nil, c.errs[calls-1]
		})
		if _, err := dial(t.Context(), "tcp", "x"); !errors.Is(err, c.want) || calls != c.calls || idle.closed != c.closed {
			t.Errorf("%s: %v after %d calls, idle ones closed %d times", c.name, err, calls, idle.closed)
		}
	}
}

// A connection that the vendor has made another protocol's is not used again, and
// an answer with both lengths is as long as its chunks are.
func TestH1Framing(t *testing.T) {
	const both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	answers := []string{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", both, both}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var served sync.WaitGroup
	conns := make(chan int, 10) // requests of each connection
	served.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r, n := bufio.NewReader(c), 0
			for len(answers) > 0 {
				if _, err := http.ReadRequest(r); err != nil {
					break
				}
				_, _ = io.WriteString(c, answers[0])
				answers, n = answers[1:], n+1
			}
			conns <- n
			_ = c.Close()
		}
	})
	h := newH1(dialer(tlsTimeout))
	for i, want := range []string{"", "hello", "hello"} {
		req, _ := http.NewRequest("POST", "http://"+ln.Addr().String()+"/", io.NopCloser(strings.NewReader("")))
		resp, err := h.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != want || err != nil {
			t.Errorf("answer %d: %q, %v", i, b, err)
		}
		_ = resp.Body.Close()
	}
	h.CloseIdleConnections()
	if a, b := <-conns, <-conns; a != 1 || b != 2 {
		t.Errorf("requests by connection: %d, %d; want 1 and 2", a, b)
	}
	_ = ln.Close()
	served.Wait()
}
