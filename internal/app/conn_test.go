package app

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnLimit(t *testing.T) {
	for files, want := range map[uint64]int{0: maxConns, 20: 16, 64: 16, 256: 96, 1024: 480, 20_000: 9968, 1 << 20: maxConns, 1 << 63: maxConns} {
		if got := connLimit(files); got != want {
			t.Errorf("%d files: got %d, want %d", files, got, want)
		}
	}
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// When all connections are taken new ones wait until one ends; idle ones end for
// them, those in use do not. It is said once, and Close ends
// the wait: who was accepted is served.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := &pipes{conns: make(chan net.Conn, 10), closed: make(chan struct{})}
		hold := make(chan struct{})
		srv := &http.Server{IdleTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
			}
			_, _ = io.WriteString(w, "ok")
		})}
		l := bound(p, 2, srv, slog.New(slog.NewTextHandler(&log, nil)))
		ended := make(chan error, 1)
		go func() { ended <- srv.Serve(l) }()
		ask := func(path string) (net.Conn, chan string) {
			mine, theirs := net.Pipe()
			p.conns <- theirs
			got := make(chan string, 1)
			go func() {
				if _, err := io.WriteString(mine, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					got <- err.Error()
					return
				}
				b := make([]byte, 1024)
				if _, err := io.ReadAtLeast(mine, b, 12); err != nil {
					got <- err.Error()
					return
				}
				got <- string(b[:12])
			}()
			synctest.Wait()
			return mine, got
		}
		_, held := ask("/hold")
		idle, first := ask("/")
		if s := <-first; s != "HTTP/1.1 200" {
			t.Fatalf("the second connection: %s", s)
		}
		_, third := ask("/hold") // takes the idle one's place
		time.Sleep(roomEvery)
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the idle connection: %v, want its end", err)
		}
		_, fourth := ask("/")
		time.Sleep(10 * time.Second)
		select {
		case s := <-fourth:
			t.Errorf("one too many: %s", s)
		default:
		}
		if n := strings.Count(log.String(), "all connections are taken"); n != 1 {
			t.Errorf("said %d times", n)
		}
		_ = l.Close()
		if s := <-fourth; s != "HTTP/1.1 200" {
			t.Errorf("who waited when the listener closed: %s", s)
		}
		close(hold)
		for i, c := range []chan string{held, third} {
			if s := <-c; s != "HTTP/1.1 200" {
				t.Errorf("answer %d: %s", i, s)
			}
		}
		_ = srv.Close()
		<-ended
	})
}
