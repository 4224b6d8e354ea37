package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

const (
	tlsTimeout = 5 * time.Second
	// idleTimeout is shorter than the 60 s after which common load balancers
	// close idle connections, so that we close first.
	idleTimeout = 50 * time.Second
	// maxIdle bounds the idle connections of one account.
	maxIdle = 4096
	// receiveBytes is how much of one answer may lie here before anybody has read
	// it, in the kernel or in HTTP/2's window; a client that takes nothing holds
	// no more. It is 2.6 MB/s at 50 ms, half of that where Linux keeps the other
	// for its own. By themselves Linux goes to tcp_rmem's 6 MiB and more, Go's
	// HTTP/2 to 4 MiB.
	receiveBytes = 128 << 10
	// proofTime is how long a connection of HTTP/2 may be silent before it is
	// asked for a sign of life, and then until it is given up.
	proofTime = 15 * time.Second
)

// Transports keeps connection pools across configurations: accounts with the
// same name and the same way to the vendor share one. Safe for concurrent use.
type Transports struct {
	mu   sync.Mutex
	all  map[transportKey]*kept
	used map[transportKey]bool // since the last Retain
}

// transport is an http.RoundTripper with idle connections.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// kept is a transport with the connections that stand ready for it.
type kept struct {
	transport
	spare *standby // nil: none do
}

// CloseIdleConnections closes those that stand ready, too.
func (k *kept) CloseIdleConnections() {
	k.transport.CloseIdleConnections()
	if k.spare != nil {
		k.spare.close()
	}
}

// retire closes what is idle and lets no more stand ready.
func (k *kept) retire() {
	if k.spare != nil {
		k.spare.shut.Store(true)
	}
	k.CloseIdleConnections()
}

type transportKey struct {
	name    string
	plain   bool // without TLS
	upgrade bool // for WebSockets: HTTP/1.1 alone has them
	connect time.Duration
	proxy   string
	ca      string // the certificates themselves
}

// get returns the transport of a key, made on first use.
func (t *Transports) get(k transportKey, way way) *kept {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all, t.used = map[transportKey]*kept{}, map[transportKey]bool{}
	}
	t.used[k] = true
	if t.all[k] == nil {
		t.all[k] = newKept(k, way, t.relieved(dialer(k.connect)))
	}
	return t.all[k]
}

// relieved is dial, which where the process has no file descriptor left closes
// what is idle and tries once more.
func (t *Transports) relieved(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil || !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) {
			return c, err
		}
		t.mu.Lock()
		for _, tr := range t.all {
			tr.CloseIdleConnections()
		}
		t.mu.Unlock()
		return dial(ctx, network, addr)
	}
}

// newKept makes the transport of a key.
func newKept(k transportKey, way way, dial dialFunc) *kept {
	p := newPlaces()
	dial = p.watch(dial)
	x := &kept{}
	if k.plain && way.proxy == nil && !k.upgrade {
		x.spare = &standby{dial: dial, ahead: dial}
		x.transport = newH1(x.spare.get)
		p.moved = x.CloseIdleConnections
		return x
	}
	if way.proxy == nil && !k.upgrade {
		x.spare = &standby{dial: secured(dial, way, spoken), ahead: secured(watched(dial), way, spoken)}
	}
	r := newRolling(func() *http.Transport {
		tr := newTransport(dial, way, k.upgrade)
		if x.spare != nil {
			tr.DialTLSContext = x.spare.get
		}
		return tr
	})
	x.transport = r
	p.moved = func() {
		r.roll()
		if x.spare != nil {
			x.spare.close()
		}
	}
	return x
}

// spoken are the versions of HTTP, in ALPN's words.
var spoken = []string{"h2", "http/1.1"}

// secured is dial with TLS. versions are offered in ALPN's words.
func secured(dial dialFunc, way way, versions []string) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(addr)
		tc := tls.Client(c, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: way.roots, NextProtos: versions})
		hctx, cancel := context.WithTimeout(ctx, tlsTimeout)
		defer cancel()
		if err := tc.HandshakeContext(hctx); err != nil {
			_ = c.Close()
			return nil, &dialError{fmt.Errorf("TLS handshake: %w", err)}
		}
		if tc.ConnectionState().NegotiatedProtocol != "h2" {
			holdLittle(c)
		}
		return tc, nil
	}
}

// Retain closes the idle connections of all providers but those named, and of
// ways to vendors that no account has taken since the last Retain, and forgets
// them. Calls under way go on.
func (t *Transports) Retain(names map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, tr := range t.all {
		if !names[k.name] || !t.used[k] {
			tr.retire()
			delete(t.all, k)
		}
	}
	clear(t.used)
}

// Close closes all idle connections.
func (t *Transports) Close() { t.Retain(nil) }

// dialError is a failure before anything was written to the vendor.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer connects within a time; its errors are dialErrors.
func dialer(within time.Duration) dialFunc {
	d := &net.Dialer{Timeout: within, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return c, nil
	}
}

// holdLittle bounds what a connection that carries one answer at a time receives
// unread. A system that has no such bound keeps its own.
func holdLittle(c net.Conn) {
	if tcp, ok := c.(interface{ SetReadBuffer(int) error }); ok {
		_ = tcp.SetReadBuffer(receiveBytes / 2) // Linux doubles it (socket(7))
	}
}

// way is how a vendor is reached.
type way struct {
	proxy *url.URL       // nil: directly
	roots *x509.CertPool // nil: the system's
}

// newWay reads a proxy's URL and PEM certificates; both may be empty.
func newWay(proxy, ca string) (w way, err error) {
	if proxy != "" {
		if w.proxy, err = url.Parse(proxy); err != nil {
			return w, errors.New("its proxy cannot be read as a URL") // which may hold a password
		}
	}
	if ca != "" {
		if w.roots, err = x509.SystemCertPool(); err != nil {
			w.roots = x509.NewCertPool()
		}
		if !w.roots.AppendCertsFromPEM([]byte(ca)) {
			return w, errors.New("its ca file holds no certificate in PEM")
		}
	}
	return w, nil
}

// newTransport is for vendors that are reached by TLS, or by a proxy. It is of
// HTTP/1.1 alone where connections are to be upgraded.
func newTransport(dial dialFunc, way way, upgrade bool) *http.Transport {
	versions := spoken
	if upgrade {
		versions = spoken[1:]
	}
	return &http.Transport{
		Proxy: func(*http.Request) (*url.URL, error) { return way.proxy, nil },
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return &dialError{fmt.Errorf("the proxy answered %d", resp.StatusCode)}
			}
			return nil
		},
		DialContext: dial,
		// behind a proxy; without one DialTLSContext does it
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: way.roots},
		TLSHandshakeTimeout: tlsTimeout,
		DialTLSContext:      secured(dial, way, versions),
		ForceAttemptHTTP2:   !upgrade,
		// Where a vendor's streams are all in use another connection is opened.
		// The window of a whole connection is Go's, 1 GiB: an answer that nobody
		// reads does not stop the others.
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: proofTime, PingTimeout: proofTime, WriteByteTimeout: 2 * proofTime, MaxReceiveBufferPerStream: receiveBytes,
		},
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true,
	}
}
