package blackbox

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// egress is a proxy for HTTP and CONNECT that wants a password.
type egress struct {
	*httptest.Server
	tunnels, plain atomic.Int32
	seen           sync.Map // Proxy-Authorization
}

func newEgress(t *testing.T) *egress {
	e := &egress{}
	e.Server = httptest.NewServer(e)
	t.Cleanup(func() { e.CloseClientConnections(); e.Close() })
	return e
}

func (e *egress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.seen.Store(r.Header.Get("Proxy-Authorization"), true)
	if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpwcm94eS1zZWNyZXQ=" { // user:proxy-secret
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		e.plain.Add(1)
		r.RequestURI = ""
		r.Header.Del("Proxy-Authorization")
		resp, err := client.Do(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	e.tunnels.Add(1)
	up, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, _, err := http.NewResponseController(w).Hijack() // before the client speaks: nothing is read ahead
	if err != nil {
		return
	}
	defer down.Close()
	_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(up, down); _ = up.Close() }()
	_, _ = io.Copy(down, up)
}

// A provider is reached through its proxy and trusts its own authority, both
// without help from the environment.
func TestProviderProxyAndCA(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	secure := newTLSVendor(t, &tls.Config{Certificates: []tls.Certificate{ca.pair("", time.Now().Add(time.Hour))}}, func(c *call) { c.whole("from A") })
	plain := newVendor(t, func(c *call) { c.whole("from P") })
	b := newVendor(t, func(c *call) { c.whole("from B") })
	proxy := newEgress(t)
	with := strings.Replace(proxy.URL, "http://", "http://user:proxy-secret@", 1)
	g := serve(t, fmt.Sprintf(`
breaker: {failures: 0, success_rate: 0}
providers:
  a: {kind: openai-compatible, base_url: "https://%[1]s/v1", api_key: ka, proxy: "%[3]s", ca: %[4]s}
  direct: {kind: openai-compatible, base_url: "https://%[1]s/v1", api_key: ka, ca: %[4]s}
  strange: {kind: openai-compatible, base_url: "https://%[1]s/v1", api_key: ka, proxy: "%[3]s"}
  p: {kind: openai-compatible, base_url: "http://%[2]s/v1", api_key: kp, proxy: "%[3]s"}
  b: {kind: openai-compatible, base_url: "http://%[5]s/v1", api_key: kb}
models:
  tunnel: [a/m, b/m]
  direct: [direct/m, b/m]
  strange: [strange/m, b/m]
  plain: [p/m, b/m]
`, secure.addr(), plain.addr(), with, roots, b.addr()))
	for _, x := range []struct {
		model, target   string
		tunnels, plains int32
	}{{"tunnel", "a/m", 1, 0}, {"direct", "direct/m", 1, 0}, {"strange", "b/m", 2, 0}, {"plain", "p/m", 2, 1}} {
		r := g.chat(x.model)
		if r.status != 200 || r.header.Get("X-Sluice-Target") != x.target {
			t.Errorf("%s: got %s, want the answer of %s", x.model, r, x.target)
		}
		if n, m := proxy.tunnels.Load(), proxy.plain.Load(); n != x.tunnels || m != x.plains {
			t.Errorf("%s: the proxy saw %d tunnels and %d plain calls, want %d and %d", x.model, n, m, x.tunnels, x.plains)
		}
		if x.model == "strange" {
			if rec := g.record(r.id()); len(rec.Attempts) != 2 || rec.Attempts[0].Outcome != "connect" {
				t.Errorf("an authority that is not trusted: got %+v, want connect first", rec.Attempts)
			}
		}
	}
	g.stop()
	if log := g.log(); strings.Contains(log, "proxy-secret") || strings.Contains(log, "dXNlcjp") {
		t.Errorf("the proxy's password was told: %s", log)
	}
}
