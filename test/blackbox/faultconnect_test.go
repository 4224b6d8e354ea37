package blackbox

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicegate/sluice/test/faultlab"
)

func TestFault1Refused(t *testing.T) {
	p := newPair(t, nil, "")
	p.a.Refuse()
	p.chat("a") // the first request of a process pays for much
	r := p.chat("m")
	p.fromB(t, r, 0)
	t.Logf("refused: %s", r.header.Get("Server-Timing"))
	if got := outcomes(p.record(r.id())); !slices.Equal(got, []string{"connect", "ok"}) {
		t.Errorf("attempts: got %v, want connect at A and ok at B", got)
	}
	if x := p.target("a/vendor-m"); x.ErrorRate != 1 {
		t.Errorf("A's error rate: got %v, want 1: each refusal counts", x.ErrorRate)
	}
}

func TestFault2Blackhole(t *testing.T) {
	t.Parallel()
	addr := blackhole(t, "127.0.0.1:0")
	b := newVendor(t, func(c *call) { c.whole("from B") })
	g := serve(t, pairConfig(fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"http://%s/v1\"}\n", addr), b.provider("b", "kb"), ""))
	goroutines, files := g.held()
	begun := time.Now()
	r := g.chat("m")
	if r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" || b.count() != 1 {
		t.Errorf("answer: got %s, want B's", r)
	}
	if d := b.call(1).at.Sub(begun); d < quickConnect {
		t.Errorf("B was asked after %v, want the connect timeout first", d)
	} else {
		t.Logf("B was asked after %v, connect timeout %v", d, quickConnect)
	}
	if got := outcomes(g.record(r.id())); !slices.Equal(got, []string{"connect", "ok"}) {
		t.Errorf("attempts: got %v, want connect at A and ok at B", got)
	}
	g.settles(goroutines, files)
}

// A accepts and reads nothing: the request lies in the socket.
func TestFault3Silent(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		read := make(chan struct{})
		p := newPairOf(t, faultlab.Config{Accept: func(c *faultlab.Conn) { c.Until(read) }}, (*call).hang, "")
		r := ask(p, "m")
		close(read)
		p.a.ended(1)
		p.fromB(t, r, 1)
		if n := len(p.a.Conns()); n != 1 {
			t.Errorf("connections to A: got %d, want 1", n)
		}
	})
}

func TestFault4Reset(t *testing.T) {
	ways(t, func(t *testing.T, ask func(*pair, string) *reply) {
		p := newPair(t, (*call).reset, "")
		r := ask(p, "m")
		p.fromB(t, r, 1)
		if rec := p.record(r.id()); rec.Usage.Output != 7 || rec.Attempts[0].Usage != (usage{}) {
			t.Errorf("usage: got %+v, want B's alone, once", rec)
		}
	})
}

// The connection that A resets was used before, and the client gave a key that
// HTTP libraries take for leave to send a request twice.
func TestFault5NoHiddenReplay(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	once := func(c *call) {
		if c.n == 1 {
			c.whole("from A")
		} else {
			c.reset()
		}
	}
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			t.Parallel()
			var cfg *tls.Config
			if secure {
				cfg = &tls.Config{Certificates: []tls.Certificate{ca.pair("", time.Now().Add(time.Hour))}}
			}
			a := newTLSVendor(t, cfg, once)
			entry := a.provider("a", "ka")
			if secure {
				entry = a.secure("a", "ka", roots)
			}
			g := serve(t, quick+"retry: {attempts: 1}\nproviders:\n"+entry+"models: {a: a/vendor-m}\n")
			if r := g.chat("a"); r.status != 200 {
				t.Fatalf("first request: got %s, want 200", r)
			}
			r := g.chat("a", "Idempotency-Key", "once-only", "X-Idempotency-Key", "once-only")
			if r.status != http.StatusBadGateway || r.code() != "upstream_error" {
				t.Errorf("second request: got %s, want 502 upstream_error", r)
			}
			if rec := g.record(r.id()); len(rec.Attempts) != a.count()-1 {
				t.Errorf("attempts told %d, calls seen by the vendor %d, want the same: nothing is replayed in secret", len(rec.Attempts), a.count()-1)
			}
			c := a.call(2)
			if c.peer != a.call(1).peer {
				t.Errorf("the second call came over a new connection; this test needs the old one")
			}
			if c.header.Get("Idempotency-Key") != "" || c.header.Get("X-Idempotency-Key") != "" {
				t.Errorf("idempotency keys travelled: %v", c.header)
			}
		})
	}
}

var nextDNS atomic.Int32

// resolving starts a name server and returns it with what makes a gateway ask it.
func resolving(t *testing.T) (*faultlab.DNS, change) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("a name server of the gateway's own needs Linux, and root for a mount and port 53")
	}
	ip := fmt.Sprintf("127.53.%d.%d", os.Getpid()%250+1, nextDNS.Add(1))
	d, err := faultlab.StartDNS(ip + ":53")
	if err != nil {
		t.Skipf("no name server can be started here: %v", err)
	}
	t.Cleanup(d.Close)
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, conf, "nameserver "+ip+"\n")
	// the mount is the gateway's alone: the machine's resolver stays as it is
	wrap := []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, conf}
	if out, err := exec.Command(wrap[0], append(wrap[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("a mount of its own cannot be had here: %v: %s", err, out)
	}
	return d, func(s *settings) { s.wrap, s.env = wrap, append(s.env, "GODEBUG=netdns=go") }
}

func TestFault6DNS(t *testing.T) {
	t.Parallel()
	d, resolver := resolving(t)
	d.Set("servfail.vendor.test", faultlab.Record{Code: "SERVFAIL"})
	d.Set("slow.vendor.test", faultlab.Record{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Delay: 5 * time.Second})
	d.Set("silent.vendor.test", faultlab.Record{Drop: true})
	b := newVendor(t, func(c *call) { c.whole("from B") })
	config := quick + "providers:\n" + b.provider("b", "kb")
	faults := []string{"nxdomain", "servfail", "slow", "silent"}
	models := "models:\n"
	for _, name := range faults {
		config += fmt.Sprintf("  %s: {kind: openai-compatible, base_url: \"http://%s.vendor.test:1/v1\"}\n", name, name)
		models += fmt.Sprintf("  %s: [%s/vendor-m, b/vendor-m]\n", name, name)
	}
	g := serve(t, config+models, resolver)
	for _, name := range faults {
		r := g.chat(name)
		if r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" {
			t.Errorf("%s: got %s, want B's answer", name, r)
		}
		rec := g.record(r.id())
		if got := outcomes(rec); !slices.Equal(got, []string{"connect", "ok"}) || !strings.Contains(rec.Attempts[0].Detail, "lookup") {
			t.Errorf("%s: attempts %+v, want connect, with the lookup in its detail, and ok", name, rec.Attempts)
		}
		if len(d.Asked(name+".vendor.test")) == 0 {
			t.Errorf("%s: the name server was not asked", name)
		}
	}
	// no storm of lookups: the breaker opens after five failures, and then one
	// call a backoff finds out
	const requests = 80
	begun := time.Now()
	for range requests {
		if r := g.chat("nxdomain"); r.status != 200 {
			t.Fatalf("got %s, want B's answer", r)
		}
	}
	asked := 0
	for _, q := range d.Asked("nxdomain.vendor.test") {
		if !q.IPv6 {
			asked++
		}
	}
	if most := 6 + int(time.Since(begun)/time.Second); asked > most {
		t.Errorf("lookups for %d requests: got %d, want at most %d", requests+1, asked, most)
	}
	t.Logf("%d lookups for %d requests", asked, requests+1)
}

// onTwo starts two vendors on one port of two addresses.
func onTwo(t *testing.T, cfg faultlab.Config, first, second func(*call)) (a, b *vendor, port string) {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(ln.Addr().String())
		_ = ln.Close()
		other, err := net.Listen("tcp", "127.0.0.2:"+port)
		if err != nil {
			continue
		}
		_ = other.Close()
		cfg.Addr = "127.0.0.1:" + port
		a = vendorOf(t, cfg, first)
		cfg.Addr = "127.0.0.2:" + port
		return a, vendorOf(t, cfg, second), port
	}
	t.Skip("no port that is free at two addresses of the loopback")
	return nil, nil, ""
}

// A name that leads elsewhere is followed although the connections to the old
// address live and are in use.
func TestFault7NewAddress(t *testing.T) {
	t.Parallel()
	d, resolver := resolving(t)
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	cert := ca.pair("*.vendor.test", time.Now().Add(time.Hour))
	for _, x := range []struct {
		name, scheme string
		cfg          faultlab.Config
	}{
		{"plain", "http", faultlab.Config{}},
		{"tls", "https", faultlab.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}},
		{"h2", "https", faultlab.Config{
			TLS:    &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}},
			Stream: func(s *faultlab.Stream) { s.Answer(200, completion("over HTTP/2")) },
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			host := x.name + ".vendor.test"
			at := func(ip string) { d.Set(host, faultlab.Record{Addrs: []netip.Addr{netip.MustParseAddr(ip)}}) }
			at("127.0.0.1")
			old, moved, port := onTwo(t, x.cfg, nil, nil)
			g := serve(t, fmt.Sprintf("providers:\n  a: {kind: openai-compatible, base_url: \"%s://%s:%s/v1\", api_key: k, ca: %s}\nmodels: {a: a/m}\n", x.scheme, host, port, roots), resolver)
			if r := g.chat("a"); r.status != 200 || old.count() != 1 {
				t.Fatalf("got %s and %d calls at the first address", r, old.count())
			}
			at("127.0.0.2")
			begun := time.Now()
			for moved.count() == 0 {
				if r := g.chat("a"); r.status != 200 {
					t.Fatalf("while the name moves: got %s", r)
				}
				if time.Since(begun) > time.Minute {
					t.Fatalf("the new address was not used in %v; %d calls to the old one", time.Since(begun), old.count())
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Logf("the new address was used after %v", time.Since(begun))
			old.ended(old.count())
		})
	}
}

func TestFault8TLS(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	good := ca.pair("", time.Now().Add(time.Hour))
	for _, x := range []struct {
		name string
		cfg  *tls.Config
		ok   bool
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, true},
		{"expired", &tls.Config{Certificates: []tls.Certificate{ca.pair("", time.Now().Add(-time.Hour))}}, false},
		{"wrong host", &tls.Config{Certificates: []tls.Certificate{ca.pair("elsewhere.test", time.Now().Add(time.Hour))}}, false},
		{"unknown authority", &tls.Config{Certificates: []tls.Certificate{stranger.pair("", time.Now().Add(time.Hour))}}, false},
		{"TLS 1.0 only", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p := &pair{a: newTLSVendor(t, x.cfg, func(c *call) { c.whole("from A") }), b: newVendor(t, func(c *call) { c.whole("from B") })}
			p.gateway = serve(t, pairConfig(p.a.secure("a", "key-of-a", roots), p.b.provider("b", "kb"), ""))
			r := p.chat("m")
			if x.ok {
				if r.status != 200 || r.header.Get("X-Sluice-Target") != "a/vendor-m" {
					t.Errorf("answer: got %s, want A's", r)
				}
				return
			}
			p.fromB(t, r, 0)
			rec := p.record(r.id())
			if got := outcomes(rec); !slices.Equal(got, []string{"connect", "ok"}) {
				t.Errorf("attempts: got %v, want connect at A", got)
			}
			if s := rec.Attempts[0].Detail; strings.Contains(s, "BEGIN ") || len(s) > 1000 {
				t.Errorf("the detail tells more than what is wrong: %s", s)
			}
			for _, c := range p.a.Conns() { // a second try without TLS, or with less of it, would be seen here
				eventually(t, "the end of A's handshake", func() bool { return c.Handshake() != nil })
				if len(c.In()) > 0 {
					t.Errorf("connection %d: %v, and then %q was read", c.N, c.Handshake(), c.In())
				}
			}
			if n := len(p.a.Conns()); n != 1 {
				t.Errorf("connections to A: got %d, want 1", n)
			}
		})
	}
	t.Run("handshake stall", func(t *testing.T) {
		p := newPairOf(t, faultlab.Config{TLS: &tls.Config{Certificates: []tls.Certificate{good}}, Accept: func(c *faultlab.Conn) { c.Until(c.Stopped()) }}, nil, "")
		g := serve(t, pairConfig(p.a.secure("a", "ka", roots), p.b.provider("b", "kb"), "timeouts: {first_token: 60s, total: 60s}\n"))
		r := g.chat("m")
		if r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" {
			t.Errorf("answer: got %s, want B's", r)
		}
		if got := outcomes(g.record(r.id())); !slices.Equal(got, []string{"connect", "ok"}) {
			t.Errorf("attempts: got %v, want connect at A: the handshake has a bound of its own", got)
		}
		t.Logf("B was asked %v after A's connection", p.b.call(1).at.Sub(p.a.Conns()[0].Accepted))
	})
}

// A vendor that wants the gateway's certificate says so in the handshake
// (TLS 1.2) or as its first words after it (TLS 1.3): nothing was asked yet,
// and asking again is of no use.
func TestFault9ClientCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	write(t, roots, string(ca.pem))
	cert := ca.pair("", time.Now().Add(time.Hour))
	for _, x := range []struct {
		name    string
		version uint16
		protos  []string
	}{
		{"TLS 1.2", tls.VersionTLS12, nil},
		{"TLS 1.3", tls.VersionTLS13, nil},
		{"TLS 1.3, HTTP 2", tls.VersionTLS13, []string{"h2"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cfg := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: x.version, NextProtos: x.protos}
			p := &pair{a: newTLSVendor(t, cfg, func(c *call) { c.whole("from A") }), b: newVendor(t, func(c *call) { c.whole("from B") })}
			p.gateway = serve(t, pairConfig(p.a.secure("a", "ka", roots), p.b.provider("b", "kb"), ""))
			r := p.chat("m")
			p.fromB(t, r, 0)
			told := regexp.MustCompile(`(?i)tls|http2: client conn`)
			const raced = "use of closed network connection" // net/http lost the alert: a connection that broke like any other
			a := p.record(r.id()).Attempts[0]
			if a.Detail != raced && (a.Outcome != "connect" || !told.MatchString(a.Detail)) {
				t.Errorf("attempt: got %+v, want connect and a cause that tells where", a)
			}
			if r := p.chat("a"); r.status != http.StatusBadGateway {
				t.Errorf("alone: got %s, want 502", r)
			} else if all := p.record(r.id()).Attempts; all[0].Detail != raced && len(all) != 1 || len(p.a.Conns()) != 1+len(all) || p.a.count() != 0 {
				t.Errorf("alone: got %+v, %d connections and %d requests; want one attempt, one connection more and none: the same target is not asked again", all, len(p.a.Conns()), p.a.count())
			}
		})
	}
}

// A vendor's connections are bounded by `limits.concurrent`: what is more goes
// elsewhere, or waits for `timeouts.queue` and is told when to come again.
func TestFault10ConnectionsBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := newVendor(t, func(c *call) {
		if c.Until(release) {
			c.whole("from A")
		}
	})
	b := newVendor(t, func(c *call) { c.whole("from B") })
	entry := fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: ka, limits: {concurrent: 2}}\n", a.addr())
	g := serve(t, pairConfig(entry, b.provider("b", "kb"), "timeouts: {queue: 500ms}\n"))
	var held sync.WaitGroup
	for range 2 {
		held.Go(func() {
			if r, err := try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"a",`+hello+`}`); err != nil || r.status != 200 {
				t.Errorf("one of the two that fit: got %v, %v", r, err)
			}
		})
	}
	a.call(2)
	for range 5 {
		if r := g.chat("m"); r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" {
			t.Errorf("with another target: got %s, want B's answer", r)
		}
	}
	for _, r := range []*reply{g.chat("a"), g.stream("a")} {
		if r.status != http.StatusServiceUnavailable && r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
			t.Errorf("without: got %s, want 503 or 429 with Retry-After", r)
		}
	}
	close(release)
	held.Wait()
	if _, most := a.Open(); most != 2 || a.count() != 2 {
		t.Errorf("A saw %d connections at once and %d calls, want 2 and 2", most, a.count())
	}
}

// Happy eyeballs (RFC 8305): a name with a dead IPv6 address and a live IPv4 one.
func TestFault11DeadIPv6(t *testing.T) {
	t.Parallel()
	d, resolver := resolving(t)
	a := newVendor(t, func(c *call) { c.whole("from A") })
	_, port, _ := net.SplitHostPort(a.addr())
	blackhole(t, "[::1]:"+port)
	d.Set("both.vendor.test", faultlab.Record{Addrs: []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}})
	g := serve(t, fmt.Sprintf("timeouts: {connect: 30s}\nproviders:\n  a: {kind: openai-compatible, base_url: \"http://both.vendor.test:%s/v1\", api_key: k}\nmodels: {a: a/vendor-m}\n", port), resolver)
	begun := time.Now()
	r := g.chat("a")
	if r.status != 200 || r.header.Get("X-Sluice-Attempts") != "1" {
		t.Errorf("answer: got %s, want A's at the first attempt", r)
	}
	asked := d.Asked("both.vendor.test")
	if !slices.ContainsFunc(asked, func(q faultlab.Question) bool { return q.IPv6 }) {
		t.Fatalf("questions: %+v, want one for IPv6", asked)
	}
	// one address after the other would take half of the connect timeout
	if d := a.Conns()[0].Accepted.Sub(begun); d > 10*time.Second {
		t.Errorf("the live address was reached after %v, want it tried beside the dead one", d)
	} else {
		t.Logf("the live address was reached after %v", d)
	}
}

// A proxy on the way out that fails is a failure to connect; its password is
// told nowhere.
func TestFault12EgressProxy(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, outcome string
		script        func(*call)
	}{
		{"407", "connect", func(c *call) { c.answer(407, "", "Proxy-Authenticate: Basic realm=proxy-secret") }},
		{"403", "connect", func(c *call) { c.answer(403, "no proxy-secret") }},
		{"502", "connect", func(c *call) { c.answer(502, "") }},
		{"reset", "", (*call).reset},
		{"no HTTP", "", func(c *call) { c.write("SSH-2.0-x\r\n\r\n"); c.cut() }},
		{"silence", "", (*call).hang},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			a, proxy := newVendor(t, nil), newVendor(t, x.script)
			b := newVendor(t, func(c *call) { c.whole("from B") })
			entry := fmt.Sprintf("  a: {kind: openai-compatible, base_url: \"https://%s/v1\", api_key: ka, proxy: \"http://user:proxy-secret@%s\"}\n", a.addr(), proxy.addr())
			g := serve(t, pairConfig(entry, b.provider("b", "kb"), ""))
			r := g.chat("m")
			rec := g.record(r.id())
			if r.status != 200 || r.header.Get("X-Sluice-Target") != "b/vendor-m" || len(rec.Attempts) != 2 {
				t.Errorf("answer: got %s and %+v, want B's at the second attempt", r, rec.Attempts)
			}
			if got := rec.Attempts[0].Outcome; x.outcome != "" && got != x.outcome {
				t.Errorf("outcome: got %s, want %s", got, x.outcome)
			}
			if c := proxy.call(1); c.method != http.MethodConnect || c.path != a.addr() || proxy.count() != 1 || len(a.Conns()) != 0 {
				t.Errorf("the proxy saw %s %s, %d times, and the vendor %d connections; want one CONNECT and none", c.method, c.path, proxy.count(), len(a.Conns()))
			}
			g.stop()
			for _, told := range []string{g.log(), fmt.Sprintf("%+v", rec), r.String()} {
				if strings.Contains(told, "proxy-secret") || strings.Contains(told, "dXNlcjpw") {
					t.Errorf("the proxy's words or password were told: %s", told)
				}
			}
		})
	}
}
