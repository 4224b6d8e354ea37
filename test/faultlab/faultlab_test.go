package faultlab

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func start(t *testing.T, cfg Config) *Upstream {
	t.Helper()
	u, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ended(t *testing.T, c *Conn, want End) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		how, _ := c.End()
		if how == want {
			return
		}
		if how != Open || time.Now().After(end) {
			t.Fatalf("connection %d ended by %v, want %v", c.N, how, want)
		}
	}
}

func TestJournal(t *testing.T) {
	u := start(t, Config{Serve: func(c *Call) {
		if c.Path == "/hang" {
			c.Hang()
			return
		}
		c.Answer(200, "hello", "X-A: b")
	}})
	one := dial(t, u.Addr())
	_, _ = io.WriteString(one, "POST /x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
	resp, err := http.ReadResponse(bufio.NewReader(one), nil)
	if err != nil || resp.Header.Get("X-A") != "b" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if c := u.Calls(); len(c) != 1 || c[0].Path != "/x?y" || string(c[0].Body) != "abc" || c[0].Conn.N != 1 {
		t.Fatalf("journal: %+v", c)
	}
	_ = one.Close()
	two := dial(t, u.Addr())
	_, _ = io.WriteString(two, "GET /hang HTTP/1.1\r\nHost: h\r\n\r\n")
	for len(u.Calls()) < 2 {
		time.Sleep(time.Millisecond)
	}
	_ = two.(*net.TCPConn).SetLinger(0)
	_ = two.Close()
	<-u.Calls()[1].Gone
	conns := u.Conns()
	ended(t, conns[0], FIN)
	ended(t, conns[1], RST)
	if in := string(conns[1].In()); !strings.HasPrefix(in, "GET /hang") {
		t.Errorf("bytes read: %q", in)
	}
}

func TestSteps(t *testing.T) {
	steps := map[string]func(*Call){
		"reset": func(c *Call) { c.Reset() },
		"cut":   func(c *Call) { c.Write("half"); c.Cut() },
		"drip":  func(c *Call) { c.Drip("abcd", 2, time.Millisecond); c.Close() },
		"half":  func(c *Call) { c.Write("x"); c.HalfClose() },
	}
	u := start(t, Config{Serve: func(c *Call) { steps[c.Header.Get("X-Step")](c) }})
	for name, want := range map[string]string{"reset": "", "cut": "half", "drip": "abcd", "half": "x"} {
		c := dial(t, u.Addr())
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-Step: "+name+"\r\n\r\n")
		b, err := io.ReadAll(c)
		if string(b) != want || (err != nil) != (name == "reset") {
			t.Errorf("%s: got %q, %v, want %q", name, b, err, want)
		}
	}
	u.Refuse()
	if c, err := net.Dial("tcp", u.Addr()); err == nil {
		_ = c.Close()
		t.Error("a connection to a vendor that refuses")
	}
	if err := u.Heal(); err != nil {
		t.Fatal(err)
	}
	dial(t, u.Addr())
}

// certificate is one for 127.0.0.1 that nobody has signed.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHTTP2(t *testing.T) {
	u := start(t, Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2"}},
		Stream: func(s *Stream) {
			switch s.Path {
			case "/refused":
				s.Refuse(http2.ErrCodeRefusedStream)
			case "/hang":
				s.Hang()
			default:
				s.Head(200, "Content-Type: text/plain")
				s.Data(string(s.Body))
				s.Finish()
			}
		},
	})
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} // the certificate is the test's own
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	big := strings.Repeat("x", 10<<10)
	resp, err := client.Post("https://"+u.Addr()+"/", "text/plain", strings.NewReader(big))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 || string(b) != big || err != nil {
		t.Errorf("got %s, %d bytes, %v", resp.Proto, len(b), err)
	}
	if _, err := client.Post("https://"+u.Addr()+"/refused", "text/plain", struct{ io.Reader }{strings.NewReader("x")}); err == nil || !strings.Contains(err.Error(), "REFUSED_STREAM") {
		t.Errorf("refused: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+u.Addr()+"/hang", nil)
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Error("a stream that hangs was answered")
		}
	}()
	for len(u.Calls()) < 3 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-failed
	<-u.Calls()[2].Gone
	if n := len(u.Conns()); n != 1 {
		t.Errorf("connections: got %d, want 1", n)
	}
}

func TestProxy(t *testing.T) {
	u := start(t, Config{Serve: func(c *Call) { c.Answer(200, "hello") }})
	p, err := NewProxy(u.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	ask := func(c net.Conn) (*http.Response, error) {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		return http.ReadResponse(bufio.NewReader(c), nil)
	}
	c := dial(t, p.Addr())
	if resp, err := ask(c); err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	p.Hold()
	held := dial(t, p.Addr())
	answered := make(chan error, 1)
	go func() { _, err := ask(held); answered <- err }()
	for {
		if n, _, _ := p.Count(); n == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := len(u.Calls()); n != 1 {
		t.Errorf("calls while held: got %d, want 1", n)
	}
	p.Pass()
	if err := <-answered; err != nil {
		t.Errorf("after the hold: %v", err)
	}
	p.Break()
	if _, err := ask(held); err == nil {
		t.Error("a connection that was broken answered")
	}
}

func TestDNS(t *testing.T) {
	d, err := StartDNS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", d.pc.LocalAddr().String())
	}}
	d.Set("vendor.test", Record{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::1")}})
	got, err := r.LookupNetIP(t.Context(), "ip4", "vendor.test")
	if err != nil || len(got) != 1 || got[0].Unmap().String() != "127.0.0.9" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := r.LookupNetIP(t.Context(), "ip", "other.test"); err == nil {
		t.Error("a name that does not exist was found")
	}
	if n := len(d.Asked("vendor.test")); n == 0 {
		t.Error("no question in the journal")
	}
}
