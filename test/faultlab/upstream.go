// Package faultlab is what a gateway meets when things go wrong, on raw
// sockets and with a journal: vendors that do what a script says (Upstream), a
// wire that delays, holds and breaks (Proxy), a name server that lies (DNS).
// What they saw and what clients received is what a test decides by.
//
// A script is a function that is called with each request and says, step by
// step, what happens on its connection. It chooses by what it is asked: the
// number of the call, its path, its header:
//
//	up, err := faultlab.Start(faultlab.Config{Serve: func(c *faultlab.Call) {
//		switch {
//		case c.N == 1: // the first request
//			c.Reset()
//		case c.Header.Get("X-Test") == "drip": // a header that never ends
//			c.Write("HTTP/1.1 200 OK\r\nX-Long: ")
//			c.Drip(strings.Repeat("x", 1000), 1, 20*time.Millisecond)
//		case c.Path == "/v1/models":
//			c.Answer(200, `{"data":[]}`)
//		default: // half a stream, then silence until the gateway leaves
//			c.Begin()
//			c.Chunk("data: {}\n\n")
//			c.Hang()
//		}
//	}})
//	…
//	defer up.Close()
//	up.Calls()           // what was asked, and when
//	up.Conns()           // which connections came, what was read from each
//	up.Conns()[0].End()  // how it ended: FIN, RST or by the script; and when
//
// What happens before a request can be read is Config.Accept's to say; what
// happens to new connections altogether, Refuse's and Heal's. A vendor behind
// TLS that offers "h2" answers with Config.Stream, frame by frame.
package faultlab

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Config is a vendor's script. Its functions run on the connection's own
// goroutine; those of several connections run at once.
type Config struct {
	Network string      // "": tcp
	Addr    string      // "": a free port of 127.0.0.1
	TLS     *tls.Config // nil: none. Its NextProtos choose between Serve and Stream

	// Accept is what happens to a connection before anything is read from it,
	// TLS's handshake included. nil: nothing.
	Accept func(*Conn)
	// Serve answers one request of HTTP/1.1. nil: 200 with an empty object.
	Serve func(*Call)
	// Stream answers one request of HTTP/2, on a goroutine of its own.
	Stream func(*Stream)
	// Settings are what an HTTP/2 connection begins with.
	Settings []http2.Setting
	// Withhold: no more window is given for the body of this stream, whose
	// header alone has come. nil: every body is read.
	Withhold func(*Stream) bool
}

// Upstream is a vendor with a script. Safe for concurrent use.
type Upstream struct {
	cfg  Config
	addr net.Addr
	stop chan struct{}
	all  sync.WaitGroup

	mu     sync.Mutex
	ln     net.Listener // nil: refused
	closed bool
	conns  []*Conn
	calls  []*Call
	open   int
	most   int
}

// Start starts a vendor. The caller closes it.
func Start(cfg Config) (*Upstream, error) {
	if cfg.Network == "" {
		cfg.Network = "tcp"
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Serve == nil {
		cfg.Serve = func(c *Call) { c.Answer(200, "{}") }
	}
	u := &Upstream{cfg: cfg, stop: make(chan struct{})}
	if err := u.listen(cfg.Addr); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *Upstream) listen(addr string) error {
	ln, err := net.Listen(u.cfg.Network, addr)
	if err != nil {
		return fmt.Errorf("listening as a vendor: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || u.ln != nil {
		_ = ln.Close()
		return nil
	}
	if u.ln = ln; u.addr == nil {
		u.addr = ln.Addr()
	}
	u.all.Go(func() { u.accept(ln) })
	return nil
}

// Addr is host and port.
func (u *Upstream) Addr() string { return u.addr.String() }

// Stopped is closed when the vendor is.
func (u *Upstream) Stopped() <-chan struct{} { return u.stop }

// Refuse closes the listener: the system refuses new connections. Open ones
// stay.
func (u *Upstream) Refuse() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ln != nil {
		_ = u.ln.Close()
		u.ln = nil
	}
}

// Heal listens again where Refuse ended it.
func (u *Upstream) Heal() error { return u.listen(u.Addr()) }

// Break resets all open connections.
func (u *Upstream) Break() {
	for _, c := range u.Conns() {
		c.Reset()
	}
}

// Close refuses new connections, closes the open ones and waits for their
// scripts.
func (u *Upstream) Close() {
	u.Refuse()
	u.mu.Lock()
	if !u.closed {
		u.closed = true
		close(u.stop)
	}
	conns := append([]*Conn(nil), u.conns...)
	u.mu.Unlock()
	for _, c := range conns {
		c.Cut()
	}
	u.all.Wait()
}

// Calls returns the requests so far, in the order in which they were read
// whole (HTTP/2: in which their headers came).
func (u *Upstream) Calls() []*Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*Call(nil), u.calls...)
}

// Conns returns the connections so far.
func (u *Upstream) Conns() []*Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*Conn(nil), u.conns...)
}

// Open returns how many connections are open, and how many were at most.
func (u *Upstream) Open() (now, most int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open, u.most
}

func (u *Upstream) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		c := &Conn{up: u, Accepted: time.Now(), Peer: nc.RemoteAddr().String(), raw: nc.(*net.TCPConn), gone: make(chan struct{})}
		c.nc = &tap{TCPConn: c.raw, c: c}
		if u.cfg.TLS != nil {
			c.nc = tls.Server(c.nc, u.cfg.TLS)
		}
		u.mu.Lock()
		if u.closed {
			u.mu.Unlock()
			_ = nc.Close()
			return
		}
		u.conns = append(u.conns, c)
		c.N = len(u.conns)
		u.open++
		u.most = max(u.most, u.open)
		u.all.Go(func() { u.serve(c) })
		u.mu.Unlock()
	}
}

func (u *Upstream) serve(c *Conn) {
	defer func() {
		c.Close()
		u.mu.Lock()
		u.open--
		u.mu.Unlock()
	}()
	if u.cfg.Accept != nil {
		u.cfg.Accept(c)
	}
	if tc, ok := c.nc.(*tls.Conn); ok {
		if err := tc.Handshake(); err != nil {
			c.mu.Lock()
			c.shake = err
			c.mu.Unlock()
			c.left()
			return
		}
		if tc.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS {
			h := newH2(c)
			c.mu.Lock()
			c.h2 = h
			c.mu.Unlock()
			h.serve()
			return
		}
	}
	br := bufio.NewReader(c)
	for !c.ours() && u.one(c, br) {
	}
}

// one reads and answers one request; false: the connection is over.
func (u *Upstream) one(c *Conn, br *bufio.Reader) bool {
	r, err := http.ReadRequest(br)
	if err != nil {
		c.left()
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.left()
		return false
	}
	call := &Call{Conn: c, At: time.Now(), Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header, Body: body, Gone: c.gone}
	if call.Method == http.MethodConnect {
		call.Path = r.Host
	}
	u.enter(call)
	next := make(chan bool, 1)
	go func() { // sees the gateway leave while the script runs
		_, err := br.Peek(1)
		if err != nil {
			c.left()
		}
		next <- err == nil
	}()
	u.cfg.Serve(call)
	return <-next
}

// enter puts a call into the journal.
func (u *Upstream) enter(call *Call) {
	u.mu.Lock()
	u.calls = append(u.calls, call)
	call.N = len(u.calls)
	u.mu.Unlock()
}
