// Package provider reaches vendors: one row per vendor, and one HTTP attempt
// made into an answer.
package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

const (
	tlsTimeout = 5 * time.Second
	// idleTimeout is shorter than the 60 s after which common load balancers
	// close idle connections, so that we close first.
	idleTimeout = 50 * time.Second
	// maxIdle bounds the idle connections of one account.
	maxIdle = 4096
	// maxErrorBody is how much of an error answer is read.
	maxErrorBody = 64 << 10
)

// Transports keeps connection pools across configurations: accounts with the
// same name and the same way to the vendor share one. Safe for concurrent use.
type Transports struct {
	mu   sync.Mutex
	all  map[transportKey]transport
	used map[transportKey]bool // since the last Retain
}

// transport is an http.RoundTripper with idle connections.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

type transportKey struct {
	name    string
	plain   bool // without TLS
	connect time.Duration
	proxy   string
	ca      string // the certificates themselves
}

// get returns the transport of a key, made on first use.
func (t *Transports) get(k transportKey, way way) transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all, t.used = map[transportKey]transport{}, map[transportKey]bool{}
	}
	t.used[k] = true
	if t.all[k] == nil {
		dial := dialer(k.connect)
		if k.plain && way.proxy == nil {
			t.all[k] = newH1(dial)
		} else {
			t.all[k] = newTransport(dial, way)
		}
	}
	return t.all[k]
}

// Retain closes the idle connections of all providers but those named, and of
// ways to vendors that no account has taken since the last Retain, and forgets
// them. Calls under way go on.
func (t *Transports) Retain(names map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, tr := range t.all {
		if !names[k.name] || !t.used[k] {
			tr.CloseIdleConnections()
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

// newTransport is for vendors that are reached by TLS, HTTP/2 where they have
// it, or by a proxy.
func newTransport(dial dialFunc, way way) *http.Transport {
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
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(addr)
			tc := tls.Client(c, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: way.roots, NextProtos: []string{"h2", "http/1.1"}})
			hctx, cancel := context.WithTimeout(ctx, tlsTimeout)
			defer cancel()
			if err := tc.HandshakeContext(hctx); err != nil {
				_ = c.Close()
				return nil, &dialError{fmt.Errorf("TLS handshake: %w", err)}
			}
			return tc, nil
		},
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// Settings make an Account.
type Settings struct {
	Name    string // of the provider
	Vendor  *Vendor
	BaseURL string // "": the vendor's own
	Headers map[string]string
	Connect time.Duration
	Proxy   string // URL, "": none
	CA      string // further certificate authorities in PEM, "": none
}

// Account reaches one vendor with the credentials of one provider. Safe for
// concurrent use.
type Account struct {
	set       Settings
	transport transport
}

// NewAccount returns an account. It dials nobody.
func NewAccount(s Settings, t *Transports) (*Account, error) {
	if s.BaseURL == "" && s.Vendor.BaseURL == "" {
		return nil, fmt.Errorf("provider %q needs a base_url: %s is at no fixed place", s.Name, s.Vendor.Title)
	}
	u, err := url.Parse(s.Vendor.URL(s.BaseURL, llm.OpChat, "m"))
	if err != nil {
		return nil, fmt.Errorf("base_url of provider %q cannot be read as a URL", s.Name)
	}
	way, err := newWay(s.Proxy, s.CA)
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", s.Name, err)
	}
	k := transportKey{name: s.Name, plain: u.Scheme == "http", connect: s.Connect, proxy: s.Proxy, ca: s.CA}
	return &Account{set: s, transport: t.get(k, way)}, nil
}

// line is what every call of one target and credential has in common.
type line struct {
	acc    *Account
	model  []byte // as a JSON string
	urls   [4]*url.URL
	header http.Header // shared; copied into each request
	params *wire.Params
}

// Line returns a function that makes one call for model with key. params may
// be nil.
func (a *Account) Line(model, key string, params *wire.Params) (func(context.Context, *llm.Request) (*llm.Response, error), error) {
	l := &line{acc: a, params: params, header: http.Header{"Content-Type": {"application/json"}}}
	var err error
	if l.model, err = json.Marshal(model); err != nil {
		return nil, fmt.Errorf("model %q: %w", model, err)
	}
	for _, op := range []llm.Op{llm.OpChat, llm.OpCompletion, llm.OpEmbedding} {
		if l.urls[op], err = url.Parse(a.set.Vendor.URL(a.set.BaseURL, op, model)); err != nil {
			return nil, fmt.Errorf("the URL of model %q at provider %q cannot be read", model, a.set.Name)
		}
	}
	for k, v := range a.set.Headers {
		l.header.Set(k, v)
	}
	a.set.Vendor.Authorize(l.header, key)
	return l.send, nil
}

// send makes one HTTP attempt. Errors are *llm.Error, or come from ctx.
func (l *line) send(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	form, ok := req.Body.(*wire.Form)
	if !ok {
		return nil, &llm.Error{Kind: llm.KindUnsupported, Message: "this request cannot be sent to a vendor of the OpenAI protocol"}
	}
	v := l.acc.set.Vendor
	body := openai.Rewrite{
		Model: l.model, Usage: openai.UsageMode(v.Usage), Params: l.params, Stream: req.Stream,
		DropEncoding: req.Op == llm.OpEmbedding && (v.Floats || v.Int8 && req.Vectors != llm.VectorsAsSent),
	}.Payload(form)
	u := l.urls[req.Op]
	hr := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: l.headers(req.Header), Body: body, ContentLength: body.Size(),
	}
	resp, err := l.acc.transport.RoundTrip(hr.WithContext(ctx))
	if err != nil {
		return nil, l.broken(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, l.refused(resp)
	}
	return l.decode(req, resp)
}

func (l *line) decode(req *llm.Request, resp *http.Response) (*llm.Response, error) {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		_ = resp.Body.Close()
		return nil, &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer could not be understood", Err: errors.New("content encoding was not asked for")}
	}
	out := &llm.Response{Status: resp.StatusCode, Proto: llm.ProtoOpenAI, Header: resp.Header, VendorID: resp.Header.Get("X-Request-Id")}
	var e *llm.Error
	if req.Stream {
		out.Stream, e = openai.Stream(req, resp)
	} else {
		out.Stream, e = openai.Answer(req, resp, l.acc.set.Vendor.Int8)
	}
	if e != nil {
		return nil, e
	}
	return out, nil
}

// broken explains a call without an answer.
func (l *line) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var d *dialError
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &d) || errors.As(err, &untrusted) {
		return &llm.Error{Kind: llm.KindConnect, Message: "provider " + l.acc.set.Name + " could not be reached", Err: err}
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "provider " + l.acc.set.Name + " broke the connection", Err: err}
}

// refused reads an answer that is no success.
func (l *line) refused(resp *http.Response) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		b = nil
	}
	e := Classify(resp.StatusCode, resp.Header, b, time.Now())
	e.Proto, e.Status = llm.ProtoOpenAI, resp.StatusCode
	if e.Err == nil {
		e.Err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return e
}

// headers builds the header of one call: the client's that may travel, then
// the provider's.
func (l *line) headers(client http.Header) http.Header {
	h := make(http.Header, len(l.header)+4)
	for k, v := range client {
		if travels(k) {
			h[k] = v
		}
	}
	for _, list := range client["Connection"] { // names further hop-by-hop headers
		for name := range strings.SplitSeq(list, ",") {
			delete(h, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	for k, v := range l.header {
		h[k] = v
	}
	return h
}

// travels reports whether a client's header, in canonical form, goes to
// vendors. Hop-by-hop headers (RFC 9110 §7.6.1), credentials, cookies, what
// tells of the client's network, and what is meant for the gateway do not.
func travels(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Content-Length", "Content-Encoding", "Content-Type", "Accept-Encoding", "Expect", "Host",
		"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Openai-Organization", "Openai-Project",
		"Forwarded", "Via", "X-Real-Ip", "Origin", "Referer", "Idempotency-Key", "X-Idempotency-Key", "X-Request-Id", "Request-Id":
		return false
	}
	for _, p := range [...]string{"X-Sluice-", "X-Stainless-", "X-Forwarded-", "Sec-", "Proxy-", "Cf-"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}
