package provider

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wait waits until ok holds.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not come", what)
		}
	}
}

// served is a vendor that counts its connections.
func served(t *testing.T, start func(*httptest.Server)) (s *httptest.Server, conns *atomic.Int32) {
	t.Helper()
	conns = &atomic.Int32{}
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // every request wants a connection
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	start(s)
	t.Cleanup(s.Close)
	return s, conns
}

func TestStandby(t *testing.T) {
	for _, c := range []struct {
		name, proto string
		start       func(*httptest.Server)
	}{
		{"plain", "HTTP/1.1", (*httptest.Server).Start},
		{"tls", "HTTP/1.1", (*httptest.Server).StartTLS},
		{"http2", "HTTP/2.0", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, conns := served(t, c.start)
			ca := ""
			if s.TLS != nil {
				ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
			}
			var all Transports
			defer all.Close()
			row, _ := VendorByName("openai-compatible")
			a, err := NewAccount(Settings{Name: "p", Vendor: row, BaseURL: s.URL, Connect: time.Second, CA: ca}, &all)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Lacks(1) || a.Lacks(0) {
				t.Error("at first one is missing")
			}
			a.Ready(context.Background(), 1)
			if a.Lacks(1) {
				t.Error("one is ready and one is missing")
			}
			wait(t, "one connection", func() bool { return conns.Load() == 1 })
			get := func() string {
				t.Helper()
				r, _ := http.NewRequest(http.MethodPost, s.URL+"/v1/x", strings.NewReader("{}"))
				resp, err := a.transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				return string(b)
			}
			if got := get(); got != c.proto {
				t.Errorf("protocol: got %s, want %s", got, c.proto)
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("connections after a request: got %d, want the one that was ready", n)
			}
			if !a.Lacks(1) {
				t.Error("the one that is in use still counts as ready")
			}
			a.Ready(context.Background(), 2)
			wait(t, "two more connections", func() bool { return conns.Load() == 3 })
			s.CloseClientConnections()
			wait(t, "closed connections are missing", func() bool { return a.Lacks(1) })
			a.transport.transport.CloseIdleConnections()
			if got := get(); got != c.proto {
				t.Errorf("after the vendor closed all: got %s, want an answer", got)
			}
		})
	}
}

// A vendor that cannot be reached is left alone for a while, one whose provider
// is gone for ever.
func TestStandbyFails(t *testing.T) {
	s, _ := served(t, (*httptest.Server).Start)
	url := s.URL
	s.Close()
	var all Transports
	row, _ := VendorByName("openai-compatible")
	a, err := NewAccount(Settings{Name: "p", Vendor: row, BaseURL: url, Connect: time.Second}, &all)
	if err != nil {
		t.Fatal(err)
	}
	a.Ready(context.Background(), 1)
	if a.Lacks(1) {
		t.Error("it is dialed again at once")
	}
	s, conns := served(t, (*httptest.Server).Start)
	if a, err = NewAccount(Settings{Name: "q", Vendor: row, BaseURL: s.URL, Connect: time.Second}, &all); err != nil {
		t.Fatal(err)
	}
	all.Close()
	if a.Lacks(1) {
		t.Error("connections are missing to a provider that is gone")
	}
	a.Ready(context.Background(), 1)
	if n := conns.Load(); n != 0 {
		t.Errorf("connections to a provider that is gone: got %d, want 0", n)
	}
}
