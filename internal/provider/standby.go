package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// standbyLife is how long a connection is kept that nobody has used, up to a
	// quarter less: within idleTimeout.
	standbyLife = 45 * time.Second
	// standbyPause is how long after a failure to connect the next try comes, up
	// to half as much again.
	standbyPause = 5 * time.Second
)

// standby holds connections that were made before they are needed, TLS and all,
// so that a failover does not wait for them. What asks for a connection gets one
// of these, or dials. Safe for concurrent use.
type standby struct {
	dial  dialFunc // for those that wait
	ahead dialFunc // for those that will stand ready

	shut  atomic.Bool  // nobody asks here any more
	count atomic.Int32 // of ready
	mu    sync.Mutex
	ready []spare
	busy  bool      // somebody dials
	next  time.Time // no dial before
}

type spare struct {
	net.Conn
	addr string
	ends time.Time
}

// get is a dialFunc.
func (s *standby) get(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.count.Load() > 0 {
		if c := s.take(addr); c != nil {
			return c, nil
		}
	}
	return s.dial(ctx, network, addr)
}

func (s *standby) take(addr string) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	for i, c := range s.ready {
		if c.addr == addr {
			s.drop(i)
			if w := watchOf(c.Conn); w != nil && !w.release() {
				return nil
			}
			return c.Conn
		}
	}
	return nil
}

// sweep closes what is old or was closed by the vendor. The lock is held.
func (s *standby) sweep() {
	now := time.Now()
	for i := 0; i < len(s.ready); {
		if c := s.ready[i]; now.After(c.ends) || over(c.Conn) {
			_ = c.Close()
			s.drop(i)
		} else {
			i++
		}
	}
}

func (s *standby) drop(i int) {
	last := len(s.ready) - 1
	s.ready[i] = s.ready[last]
	s.ready[last] = spare{}
	s.ready = s.ready[:last]
	s.count.Store(int32(last))
}

// lacks reports whether there are fewer than n and one may be dialed.
func (s *standby) lacks(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	return len(s.ready) < n && !s.busy && !s.shut.Load() && !time.Now().Before(s.next)
}

// fill dials until n are ready; after a failure it leaves off for a while. Only
// one caller dials at a time.
func (s *standby) fill(ctx context.Context, addr string, n int) {
	for s.begin(n) {
		c, err := s.ahead(ctx, "tcp", addr)
		if w := watchOf(c); w != nil {
			w.begin()
		}
		s.mu.Lock()
		s.busy = false
		if err == nil && s.shut.Load() {
			_ = c.Close()
		} else if err != nil {
			s.next = time.Now().Add(standbyPause + rand.N(standbyPause/2))
		} else {
			s.ready = append(s.ready, spare{c, addr, time.Now().Add(standbyLife - rand.N(standbyLife/4))})
			s.count.Store(int32(len(s.ready)))
		}
		s.mu.Unlock()
	}
}

func (s *standby) begin(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || s.shut.Load() || len(s.ready) >= n || time.Now().Before(s.next) {
		return false
	}
	s.busy = true
	return true
}

// close closes all that are ready.
func (s *standby) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.ready {
		_ = c.Close()
	}
	s.ready = nil
	s.count.Store(0)
}

// sentry is a connection of which somebody sees at once that the vendor has
// closed it, also behind what it said before: under TLS, tickets and settings.
// What comes while it is watched is kept for the reader after release.
type sentry struct {
	net.Conn
	done chan struct{} // closed when nobody watches any more
	kept []byte
	err  error // what ended the watch, nil for release
}

// maxKept bounds what a vendor may say unasked.
const maxKept = 16 << 10

// watched is dial for connections that will be watched.
func watched(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &sentry{Conn: c}, nil
	}
}

// watchOf is the sentry under c, nil for none.
func watchOf(c net.Conn) *sentry {
	t, ok := c.(*tls.Conn)
	if !ok {
		return nil
	}
	w, _ := t.NetConn().(*sentry)
	return w
}

// begin begins the watch. Nobody may read until release.
func (w *sentry) begin() {
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		var b [1024]byte
		for {
			n, err := w.Conn.Read(b[:])
			w.kept = append(w.kept, b[:n]...)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return
			case err != nil:
				w.err = err
				return
			case len(w.kept) > maxKept:
				w.err = errors.New("the vendor says too much unasked")
				return
			}
		}
	}()
}

// ended reports whether the connection cannot be used any more.
func (w *sentry) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// release ends the watch; false: the connection cannot be used.
func (w *sentry) release() bool {
	if err := w.Conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		_ = w.Close()
		return false
	}
	<-w.done
	if err := w.Conn.SetReadDeadline(time.Time{}); err != nil || w.err != nil {
		_ = w.Close()
		return false
	}
	return true
}

// Read implements net.Conn.
func (w *sentry) Read(b []byte) (int, error) {
	if len(w.kept) > 0 {
		n := copy(b, w.kept)
		w.kept = w.kept[n:]
		return n, nil
	}
	return w.Conn.Read(b)
}

// SetReadBuffer is that of a TCP connection.
func (w *sentry) SetReadBuffer(n int) error {
	if c, ok := w.Conn.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(n)
	}
	return nil
}

// over reports whether the vendor has closed a connection that stands ready.
func over(c net.Conn) bool {
	if w := watchOf(c); w != nil {
		return w.ended()
	}
	return !alive(c)
}

// Lacks reports whether Ready has something to do: fewer than n connections to
// the vendor are ready, and one may be dialed.
func (a *Account) Lacks(n int) bool {
	return a.transport.spare != nil && a.transport.spare.lacks(n)
}

// Ready makes connections to the vendor until n are ready beside those that are
// in use. They end by themselves after a while. Where a proxy leads to the
// vendor, none are made.
func (a *Account) Ready(ctx context.Context, n int) {
	if s := a.transport.spare; s != nil {
		s.fill(ctx, a.addr, n)
	}
}
