package provider

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxHead bounds a vendor's response header in bytes.
	maxHead = 64 << 10
	// maxInformational is how many 1xx answers may come before the real one.
	maxInformational = 8
	// checkAfter is how long a connection may have been idle to be used
	// without a look whether the vendor has closed it.
	checkAfter = 100 * time.Millisecond
	// lookEvery is how often all idle connections are looked at.
	lookEvery = 2 * time.Second
)

// h1 is an http.RoundTripper for HTTP/1.1 without TLS, the protocol of
// self-hosted engines. It reads and writes in the caller's goroutine:
// http.Transport hands each request to two others and writes head and body
// apart, which costs a third more CPU (measured). Answers are parsed by
// http.ReadResponse. Nothing is ever sent twice. Safe for concurrent use.
type h1 struct {
	dial dialFunc

	mu    sync.Mutex
	idle  map[string][]*h1conn // by address, the last used last
	count int
	sweep *time.Timer // runs while there are idle connections
}

// h1conn is one connection. It has one user at a time.
type h1conn struct {
	net.Conn
	addr  string
	br    *bufio.Reader
	head  int64 // bytes that may still be read, while a header is
	since time.Time
}

// Read bounds what a header may take.
func (c *h1conn) Read(b []byte) (int, error) {
	if c.head <= 0 {
		return 0, errors.New("response header larger than 64 KiB")
	}
	if int64(len(b)) > c.head {
		b = b[:c.head]
	}
	n, err := c.Conn.Read(b)
	c.head -= int64(n)
	return n, err
}

// unbounded is more than any body.
const unbounded = 1 << 62

func newH1(dial dialFunc) *h1 {
	return &h1{dial: dial, idle: map[string][]*h1conn{}}
}

// RoundTrip implements http.RoundTripper. The request's context ends the
// call, its body's too, by closing the connection. The request's body is read
// before RoundTrip returns, and closed.
func (t *h1) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, err := t.conn(ctx, address(req.URL.Host, "80"))
	if err != nil {
		_ = req.Body.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	werr := c.send(req)
	_ = req.Body.Close()
	resp, err := c.receive(req)
	if err != nil {
		stop()
		_ = c.Close()
		if werr != nil {
			err = werr
		}
		return nil, err
	}
	resp.Body = &h1body{ReadCloser: resp.Body, t: t, c: c, stop: stop, last: resp.Close || werr != nil || resp.StatusCode == http.StatusSwitchingProtocols}
	return resp, nil
}

// address is where a host of a URL is connected to, by port where it names none.
func address(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// conn returns an idle connection that the vendor has not closed, or dials.
func (t *h1) conn(ctx context.Context, addr string) (*h1conn, error) {
	for {
		c := t.take(addr)
		if c == nil {
			break
		}
		if d := time.Since(c.since); d < checkAfter || d < idleTimeout && alive(c.Conn) {
			return c, nil
		}
		_ = c.Close()
	}
	nc, err := t.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	holdLittle(nc)
	c := &h1conn{Conn: nc, addr: addr}
	c.br = bufio.NewReader(c)
	return c, nil
}

func (t *h1) take(addr string) *h1conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.idle[addr]
	if len(l) == 0 {
		return nil
	}
	c := l[len(l)-1]
	l[len(l)-1] = nil
	t.idle[addr] = l[:len(l)-1]
	t.count--
	return c
}

// put keeps a connection for the next request.
func (t *h1) put(c *h1conn) {
	c.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count >= maxIdle || c.br.Buffered() > 0 || left(c.Conn) { // buffered: more than it was asked for
		_ = c.Close()
		return
	}
	t.idle[c.addr] = append(t.idle[c.addr], c)
	t.count++
	if t.sweep == nil {
		t.sweep = time.AfterFunc(lookEvery, t.expire)
	}
}

// expire closes what the vendor has closed and what has been idle for long.
// No lock is held while it looks: who asks then finds no idle connection.
func (t *h1) expire() {
	t.mu.Lock()
	looked := t.idle
	t.idle, t.count = map[string][]*h1conn{}, 0
	t.mu.Unlock()
	now := time.Now()
	for addr, l := range looked {
		looked[addr] = slices.DeleteFunc(l, func(c *h1conn) bool {
			d := now.Sub(c.since)
			over := d >= idleTimeout || d >= checkAfter && !alive(c.Conn)
			if over {
				_ = c.Close()
			}
			return over
		})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for addr, l := range looked {
		for t.count+len(l) > maxIdle {
			_ = l[0].Close()
			l = l[1:]
		}
		if t.count += len(l); len(l) > 0 {
			t.idle[addr] = append(l, t.idle[addr]...)
		}
	}
	if t.sweep != nil { // another, where all were closed meanwhile
		t.sweep.Stop()
	}
	t.sweep = nil
	if t.count > 0 {
		t.sweep = time.AfterFunc(lookEvery, t.expire)
	}
}

// CloseIdleConnections closes what is not in use.
func (t *h1) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.idle {
		for _, c := range l {
			_ = c.Close()
		}
	}
	clear(t.idle)
	t.count = 0
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
}

// outSize is how much of a request is written at once.
const outSize = 32 << 10

var outs = sync.Pool{New: func() any { b := make([]byte, outSize); return &b }}

// send writes the request, head and body together where they fit.
func (c *h1conn) send(req *http.Request) error {
	buf := outs.Get().(*[]byte)
	defer outs.Put(buf)
	b, err := head((*buf)[:0], req)
	if err != nil {
		return err
	}
	for {
		for len(b) < cap(b) {
			n, err := req.Body.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			if err == io.EOF {
				_, err = c.Write(b)
				return err
			}
			if err != nil {
				return fmt.Errorf("reading the request's body: %w", err)
			}
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
}

// head appends the request's line and header. Values that could forge
// another line are an error; the server in front lets none in.
func head(b []byte, req *http.Request) ([]byte, error) {
	room := cap(b)
	b = append(append(append(append(b, req.Method...), ' '), req.URL.RequestURI()...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, req.Host...), "\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, req.ContentLength, 10), "\r\n"...)
	for k, vs := range req.Header {
		for _, v := range vs {
			if !oneLine(k) || !oneLine(v) {
				return nil, fmt.Errorf("header %q holds a line end", k)
			}
			b = append(append(append(append(b, k...), ": "...), v...), "\r\n"...)
		}
	}
	if b = append(b, "\r\n"...); len(b) > room {
		return nil, errors.New("request header larger than 32 KiB")
	}
	return b, nil
}

func oneLine(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}

// receive reads the answer's header, skipping informational ones.
func (c *h1conn) receive(req *http.Request) (*http.Response, error) {
	for range maxInformational {
		c.head = maxHead
		resp, err := http.ReadResponse(c.br, req)
		if err != nil {
			return nil, err
		}
		c.head = unbounded
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errors.New("too many informational answers")
}

// h1body gives the connection back when the body was read to its end, and
// closes it otherwise.
type h1body struct {
	io.ReadCloser
	t    *h1
	c    *h1conn
	stop func() bool
	last bool // the connection may not be used again

	mu     sync.Mutex
	ended  bool
	closed bool
}

func (b *h1body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.mu.Lock()
		b.ended = true
		b.mu.Unlock()
	}
	return n, err
}

// Close may be called while Read runs; it ends the read.
func (b *h1body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.stop() && b.ended && !b.last {
		b.t.put(b.c)
		return nil
	}
	return b.c.Close()
}
