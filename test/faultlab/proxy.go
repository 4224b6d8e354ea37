package faultlab

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is a wire: it passes TCP connections on to an address and can be told
// to slow them, to hold them, and to break them. Safe for concurrent use.
type Proxy struct {
	ln    net.Listener
	to    string
	delay atomic.Int64
	all   sync.WaitGroup

	up, down atomic.Int64 // bytes

	mu     sync.Mutex
	held   chan struct{} // not nil: nothing passes until it is closed
	stop   chan struct{}
	refuse bool
	conns  map[*net.TCPConn]bool
	count  int
}

// NewProxy starts a proxy to an address. The caller closes it.
func NewProxy(to string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening as a proxy: %w", err)
	}
	p := &Proxy{ln: ln, to: to, stop: make(chan struct{}), conns: map[*net.TCPConn]bool{}}
	p.all.Go(p.accept)
	return p, nil
}

// Addr is host and port.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Delay makes every piece of data wait that long from now on, in each
// direction.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Hold lets nothing pass, nor any end of a connection, until Pass: a path that
// has died. New connections are accepted.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

// Pass ends Hold.
func (p *Proxy) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// Reset says whether new connections are reset at once, true, or passed on.
func (p *Proxy) Reset(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Break resets all open connections, on both sides.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// Count returns how many connections came, and the bytes that passed in each
// direction.
func (p *Proxy) Count() (conns int, up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.up.Load(), p.down.Load()
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	_ = p.ln.Close()
	p.Pass()
	p.Break()
	p.all.Wait()
}

func (p *Proxy) accept() {
	for {
		nc, err := p.ln.Accept()
		if err != nil {
			return
		}
		down := nc.(*net.TCPConn)
		p.mu.Lock()
		p.count++
		refuse := p.refuse
		p.mu.Unlock()
		if refuse {
			_ = down.SetLinger(0)
			_ = down.Close()
			continue
		}
		p.all.Go(func() { p.join(down) })
	}
}

// join passes between a connection and one of its own.
func (p *Proxy) join(down *net.TCPConn) {
	nc, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = down.SetLinger(0)
		_ = down.Close()
		return
	}
	up := nc.(*net.TCPConn)
	p.mu.Lock()
	p.conns[down], p.conns[up] = true, true
	stopped := false
	select {
	case <-p.stop:
		stopped = true
	default:
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	if !stopped {
		both.Go(func() { p.copy(up, down, &p.up) })
		both.Go(func() { p.copy(down, up, &p.down) })
		both.Wait()
	}
	_ = up.Close()
	_ = down.Close()
	p.mu.Lock()
	delete(p.conns, down)
	delete(p.conns, up)
	p.mu.Unlock()
}

// copy passes one direction on, its end too.
func (p *Proxy) copy(dst, src *net.TCPConn, count *atomic.Int64) {
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		if !p.wait() {
			break
		}
		if n > 0 {
			count.Add(int64(n))
			if _, werr := dst.Write(b[:n]); werr != nil {
				break
			}
		}
		if err != nil {
			_ = dst.CloseWrite()
			return
		}
	}
	_ = dst.Close()
	_ = src.Close()
}

// wait is the delay and the hold of one piece; false: the proxy ends.
func (p *Proxy) wait() bool {
	if d := time.Duration(p.delay.Load()); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.stop:
			return false
		}
	}
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held == nil {
		return true
	}
	select {
	case <-held:
		return true
	case <-p.stop:
		return false
	}
}
