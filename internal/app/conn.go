package app

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// spareFiles are the descriptors left for files, the store and the like.
	spareFiles = 64
	// maxConns bounds clients' connections where the system does not.
	maxConns = 1 << 16
	// adminConns bounds those of the admin listener.
	adminConns = 256
	// roomEvery is how often a full listener looks for idle connections.
	roomEvery = 100 * time.Millisecond
)

// connLimit is how many connections clients may have open where a process may
// have so many files open; 0 is unknown. The other half is for vendors, who are
// asked over one connection for each request.
func connLimit(files uint64) int {
	if files == 0 || files > 2*maxConns+spareFiles {
		return maxConns
	}
	return int(max(16, (files-min(files, spareFiles))/2))
}

// bounded is a listener with a bound on its open connections. When all are
// taken it closes idle ones for the next, and leaves those after it to the
// system's backlog; what is under way goes on.
type bounded struct {
	net.Listener
	slots  chan struct{}
	full   func() // makes room; may be called again and again
	closed chan struct{}
	once   sync.Once
}

// bound returns l with room for n connections of s.
func bound(l net.Listener, n int, s *http.Server, log *slog.Logger) *bounded {
	b := &bounded{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
	said := time.Time{}
	b.full = func() { // called from Accept alone
		if now := time.Now(); now.Sub(said) >= time.Minute {
			said = now
			log.Warn("all connections are taken; new ones wait", "limit", n)
		}
		s.SetKeepAlivesEnabled(false) // closes the idle ones
		s.SetKeepAlivesEnabled(true)
	}
	return b
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	holdLittle(c)
	if !b.take() { // whoever is there is served, one above the bound
		return c, nil
	}
	return &slotted{Conn: c, slots: b.slots}, nil
}

// take waits for a free slot; false: the listener was closed.
func (b *bounded) take() bool {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
	}
	again := time.NewTicker(roomEvery)
	defer again.Stop()
	for {
		b.full()
		select {
		case b.slots <- struct{}{}:
			return true
		case <-b.closed:
			return false
		case <-again.C:
		}
	}
}

// Close implements net.Listener.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// slotted is a connection that gives its slot back when it is closed.
type slotted struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *slotted) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

// CloseWrite ends what is sent, so that the client sees the last answer before
// the connection ends.
func (c *slotted) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
