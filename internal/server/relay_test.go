package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
)

// script is a model that answers as it is told.
type script func(ctx context.Context, req *llm.Request) (*llm.Response, error)

func (s script) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) { return s(ctx, req) }
func (s script) Plan(*llm.Request) llm.Plan                                      { return llm.Plan{} }

// front is a server with one model, "m", which needs no key.
func front(t *testing.T, model script) *Server {
	t.Helper()
	keys, err := tenant.NewKeys(nil, tenant.Anyone())
	if err != nil {
		t.Fatal(err)
	}
	gw := &gateway.Gateway{Keys: keys, BodyLimit: 1 << 20}
	gw.SetModels(map[string]*gateway.Model{"m": {
		Name: "m", Handler: model, Limits: func() (int, int) { return 0, 0 }, Targets: func() []*upstream.Target { return nil },
	}}, nil, nil)
	return New(Deps{Current: func() *gateway.Gateway { return gw }, Settle: func(*llm.Trail) {}}, 10)
}

// oneConn is a listener of one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
}

// dial serves one connection in memory, whose deadlines follow the test's clock.
func dial(s *Server) (conn net.Conn, stop func()) {
	mine, theirs := net.Pipe()
	l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
	l.conns <- theirs
	h := &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Serve(l) }()
	return mine, func() {
		_ = mine.Close()
		_ = h.Close()
		<-ended
		time.Sleep(time.Second) // the half that a connection lasts which ended before its body
	}
}

// A connection that brought a relayed answer serves the next as any other,
// however much later it is asked.
func TestRelayLeavesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := front(t, func(context.Context, *llm.Request) (*llm.Response, error) {
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"audio/mpeg"}}, Body: io.NopCloser(strings.NewReader("ID3")), ContentLength: -1}
			return &llm.Response{Status: 200, Header: resp.Header, Proto: llm.ProtoOpenAI, Stream: wire.Relay(resp, wire.MaxStream)}, nil
		})
		conn, stop := dial(s)
		defer stop()
		r := bufio.NewReader(conn)
		for n := range 3 {
			body := `{"model":"m","input":"Hi"}`
			req, _ := http.NewRequest("POST", "http://gateway/v1/audio/speech", strings.NewReader(body))
			go func() { _ = req.Write(conn) }()
			resp, err := http.ReadResponse(r, req)
			if err != nil {
				t.Fatalf("answer %d: %v", n, err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "ID3" || err != nil {
				t.Errorf("answer %d: %q, %v", n, b, err)
			}
			time.Sleep(writeStall + 10*time.Second)
		}
		req, _ := http.NewRequest("GET", "http://gateway/v1/models", nil)
		go func() { _ = req.Write(conn) }()
		if resp, err := http.ReadResponse(r, req); err != nil || resp.StatusCode != 200 {
			t.Errorf("another path: %v", err)
		} else if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("another path: %v", err)
		}
	})
}

// A client that takes nothing of a relayed answer is given up.
func TestRelayStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		s := front(t, func(ctx context.Context, _ *llm.Request) (*llm.Response, error) {
			context.AfterFunc(ctx, func() { close(gone) })
			resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"audio/mpeg"}}, Body: io.NopCloser(endless{}), ContentLength: -1}
			return &llm.Response{Status: 200, Header: resp.Header, Proto: llm.ProtoOpenAI, Stream: wire.Relay(resp, wire.MaxStream)}, nil
		})
		conn, stop := dial(s)
		defer stop()
		req, _ := http.NewRequest("POST", "http://gateway/v1/audio/speech", strings.NewReader(`{"model":"m","input":"Hi"}`))
		go func() { _ = req.Write(conn) }()
		if _, err := http.ReadResponse(bufio.NewReader(conn), req); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-gone
		if d := time.Since(start); d > writeStall {
			t.Errorf("it was held for %v", d)
		}
	})
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// The gateway's own keys are never taken for a client's credential at a vendor.
func TestForeignCredential(t *testing.T) {
	keys, err := tenant.NewKeys([]tenant.Key{{Name: "a", Secret: "gw-key-a"}, {Name: "b", Secret: "gw-key-b"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	open, err := tenant.NewKeys([]tenant.Key{{Name: "a", Secret: "gw-key-a"}}, tenant.Anyone())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys   *tenant.Keys
		header []string
		path   string
		want   string
	}{
		{keys, []string{"X-Sluice-Key", "gw-key-a", "Authorization", "Bearer sk-own"}, "/v1/messages", "sk-own"},
		{keys, []string{"X-Sluice-Key", "gw-key-a", "X-Api-Key", "sk-own"}, "/v1/messages", "sk-own"},
		{keys, []string{"X-Sluice-Key", "gw-key-a"}, "/v1beta/models/m:generateContent?key=sk-own", "sk-own"},
		{keys, []string{"X-Sluice-Key", "gw-key-a", "Authorization", "Bearer gw-key-a"}, "/v1/messages", ""},
		{keys, []string{"X-Sluice-Key", "gw-key-a", "Authorization", "Bearer gw-key-b"}, "/v1/messages", ""},
		{keys, []string{"X-Sluice-Key", "gw-key-a", "Authorization", "Bearer gw-key-b", "X-Api-Key", "sk-own"}, "/v1/messages", "sk-own"},
		{keys, []string{"X-Sluice-Key", "gw-key-a"}, "/v1beta/models/m:generateContent?key=gw-key-b", ""},
		{keys, []string{"Authorization", "Bearer gw-key-a", "X-Api-Key", "sk-own"}, "/v1/messages", ""},
		{open, []string{"Authorization", "Bearer sk-own"}, "/v1/messages", "sk-own"},
		{open, []string{"Authorization", "Bearer gw-key-a"}, "/v1/messages", ""},
		{open, []string{"Authorization", "Bearer gw-key-a", "X-Api-Key", "sk-own"}, "/v1/messages", ""},
		{open, nil, "/v1/messages", ""},
	} {
		r, _ := http.NewRequest("POST", "http://gateway"+c.path, nil)
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		_, own, e := authenticate(c.keys, r)
		if e != nil || own.Secret != c.want {
			t.Errorf("%v %s: %+v, %v, want %q", c.header, c.path, own, e, c.want)
		}
	}
}
