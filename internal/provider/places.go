package provider

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// resolveEvery is how often a vendor's name is looked up while connections
	// under it are open; resolveWithin bounds one look.
	resolveEvery  = 10 * time.Second
	resolveWithin = 5 * time.Second
	// absences is how many answers in a row lack the address of a connection
	// that is left: names of large services lead to some of many in turn.
	absences = 2
)

// places notices when a vendor's name leads elsewhere. A connection lives as
// long as it is used, which may be for ever; its name may lead to another
// address meanwhile. Addresses in the place of names are not watched. Safe for
// concurrent use.
type places struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	moved  func() // what to do when there are connections to leave

	mu    sync.Mutex
	open  map[*placed]bool
	timer *time.Timer // runs while there is one open
}

// placed is a connection under a name.
type placed struct {
	*net.TCPConn
	in     *places
	host   string
	at     netip.Addr
	absent int // answers in a row without at; under the lock of in
	stale  atomic.Bool
}

// Close implements net.Conn.
func (c *placed) Close() error {
	c.in.mu.Lock()
	delete(c.in.open, c)
	c.in.mu.Unlock()
	return c.TCPConn.Close()
}

// left reports whether c leads to where its name does not any more.
func left(c net.Conn) bool {
	p, ok := c.(*placed)
	return ok && p.stale.Load()
}

func newPlaces() *places {
	return &places{lookup: net.DefaultResolver.LookupNetIP, open: map[*placed]bool{}}
}

// watch returns dial with its connections watched.
func (p *places) watch(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(addr)
		tc, ok := nc.(*net.TCPConn)
		if _, err := netip.ParseAddr(host); err == nil || !ok {
			return nc, nil
		}
		to, err := netip.ParseAddrPort(tc.RemoteAddr().String())
		if err != nil {
			return nc, nil
		}
		c := &placed{TCPConn: tc, in: p, host: host, at: to.Addr().Unmap()}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open[c] = true
		if p.timer == nil {
			p.timer = time.AfterFunc(resolveEvery, p.look)
		}
		return c, nil
	}
}

// look asks where the names of the open connections lead now.
func (p *places) look() {
	found := map[string][]netip.Addr{}
	p.mu.Lock()
	for c := range p.open {
		found[c.host] = nil
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), resolveWithin)
	defer cancel()
	for host := range found {
		all, err := p.lookup(ctx, "ip", host)
		if err != nil { // who does not know moves nobody
			continue
		}
		for _, a := range all {
			found[host] = append(found[host], a.Unmap())
		}
	}
	if p.mark(found) {
		p.moved()
	}
}

// mark notes which connections found says to leave, and reports whether there
// are new ones. It sets the timer of the next look.
func (p *places) mark(found map[string][]netip.Addr) (moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		switch all := found[c.host]; {
		case len(all) == 0: // not known
		case slices.Contains(all, c.at):
			c.absent = 0
		default:
			if c.absent++; c.absent >= absences && !c.stale.Swap(true) {
				moved = true
			}
		}
	}
	if p.timer = nil; len(p.open) > 0 {
		p.timer = time.AfterFunc(resolveEvery, p.look)
	}
	return moved
}

// rolling is an http.Transport that is left for a new one when names move:
// what is idle is closed, what is in use ends as it would have.
type rolling struct {
	fresh func() *http.Transport
	now   atomic.Pointer[http.Transport]
}

func newRolling(fresh func() *http.Transport) *rolling {
	r := &rolling{fresh: fresh}
	r.now.Store(fresh())
	return r
}

func (r *rolling) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.now.Load().RoundTrip(req)
}

func (r *rolling) CloseIdleConnections() { r.now.Load().CloseIdleConnections() }

func (r *rolling) roll() { r.now.Swap(r.fresh()).CloseIdleConnections() }
