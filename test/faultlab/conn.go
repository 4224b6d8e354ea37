package faultlab

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// keepRead is how many of a connection's bytes the journal keeps.
const keepRead = 1 << 20

// End is how a connection ended.
type End uint8

// The ends.
const (
	Open   End = iota // it has not
	FIN               // the gateway closed it
	RST               // the gateway broke it
	Script            // the vendor's script, or the vendor's own end
)

func (e End) String() string { return [...]string{"open", "FIN", "RST", "script"}[e] }

// Conn is one connection in a vendor's journal, and what a script can do with
// it. All steps may be called at any time; those that come after the end of
// the connection do nothing.
type Conn struct {
	N        int // from 1
	Accepted time.Time
	Peer     string // the gateway's address

	up   *Upstream
	raw  *net.TCPConn
	nc   net.Conn      // with TLS, if there is
	gone chan struct{} // closed at the end

	mu    sync.Mutex
	in    []byte
	read  int64
	wrote int64
	shake error
	h2    *H2
	end   End
	ended time.Time
	over  bool // gone is closed
}

// tap is the socket, which knows of what kind the gateway's end was.
type tap struct {
	*net.TCPConn
	c *Conn
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.TCPConn.Read(b)
	switch {
	case err == nil || errors.Is(err, net.ErrClosed):
	case errors.Is(err, syscall.ECONNRESET):
		t.c.finish(RST)
	case err == io.EOF:
		t.c.finish(FIN)
	}
	return n, err
}

// Read implements io.Reader, for the vendor itself.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.nc.Read(b)
	c.mu.Lock()
	c.read += int64(n)
	c.in = append(c.in, b[:min(n, keepRead-len(c.in))]...)
	c.mu.Unlock()
	return n, err
}

// finish notes the first end.
func (c *Conn) finish(how End) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != Open {
		return false
	}
	c.end, c.ended = how, time.Now()
	return true
}

// left is called when nothing can be read any more. Behind TLS the end of the
// connection follows the end of the session.
func (c *Conn) left() {
	c.mu.Lock()
	if !c.over {
		c.over = true
		close(c.gone)
	}
	open := c.end == Open
	c.mu.Unlock()
	if open {
		_, _ = io.Copy(io.Discard, onlyReader{c.nc})
		if tc, ok := c.nc.(*tls.Conn); ok {
			_, _ = io.Copy(io.Discard, onlyReader{tc.NetConn()})
		}
	}
}

type onlyReader struct{ io.Reader }

func (c *Conn) ours() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end == Script
}

// In returns the first MiB of what was read, after TLS.
func (c *Conn) In() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.in...)
}

// Count returns how many bytes were read and written, after TLS.
func (c *Conn) Count() (read, written int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read, c.wrote
}

// End returns how the connection ended, and when.
func (c *Conn) End() (End, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end, c.ended
}

// Handshake returns why there was no TLS.
func (c *Conn) Handshake() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shake
}

// H2 returns the connection as one of HTTP/2, nil if it is none.
func (c *Conn) H2() *H2 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h2
}

// Write sends s as it is.
func (c *Conn) Write(s string) bool {
	n, err := io.WriteString(c.nc, s)
	c.mu.Lock()
	c.wrote += int64(n)
	c.mu.Unlock()
	return err == nil
}

// Drip sends s in pieces of n bytes, one after each pause; false: the gateway
// left before the end.
func (c *Conn) Drip(s string, n int, every time.Duration) bool {
	for len(s) > 0 {
		k := min(n, len(s))
		if !c.Sleep(every) || !c.Write(s[:k]) {
			return false
		}
		s = s[k:]
	}
	return true
}

// Sleep waits; false: the gateway left, or the vendor stops.
func (c *Conn) Sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.gone:
	case <-c.up.stop:
	}
	return false
}

// Until waits for something else to happen; false: the gateway left, or the
// vendor stops.
func (c *Conn) Until(what <-chan struct{}) bool {
	select {
	case <-what:
		return true
	case <-c.gone:
	case <-c.up.stop:
	}
	return false
}

// Stopped is closed when the vendor is.
func (c *Conn) Stopped() <-chan struct{} { return c.up.stop }

// Hang waits until the gateway leaves or the vendor stops, and ends the
// connection.
func (c *Conn) Hang() {
	c.Until(nil)
	c.Close()
}

// Close ends the connection as a vendor does that has no more to say.
func (c *Conn) Close() {
	c.finish(Script)
	_ = c.nc.Close()
}

// Cut ends the connection in the middle: a FIN, and no goodbye of TLS.
func (c *Conn) Cut() {
	c.finish(Script)
	_ = c.raw.Close()
}

// Reset breaks the connection: an RST.
func (c *Conn) Reset() {
	c.finish(Script)
	_ = c.raw.SetLinger(0)
	_ = c.raw.Close()
}

// HalfClose sends a FIN and goes on reading.
func (c *Conn) HalfClose() {
	if tc, ok := c.nc.(*tls.Conn); ok {
		_ = tc.CloseWrite()
	}
	_ = c.raw.CloseWrite()
}
