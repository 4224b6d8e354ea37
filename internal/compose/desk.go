package compose

import (
	"context"
	"sync"
)

// Desk runs what no client waits for. Who has something for it bounds how much.
// Safe for concurrent use.
type Desk struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// NewDesk returns a desk. The caller closes it.
func NewDesk() *Desk {
	d := &Desk{}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Go runs f in a goroutine of its own, which ends with the context that f is
// given; false: the desk is closed.
func (d *Desk) Go(f func(ctx context.Context)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.running.Go(func() { f(d.ctx) })
	return true
}

// Close ends what runs and waits for it; nothing begins any more. It may be
// called more than once.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.running.Wait()
}
