package provider

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// A connection is left when its name has led elsewhere for long enough, not
// when the name server fails or gives some of many addresses.
func TestPlaces(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	var answer []netip.Addr
	var failure error
	moved := 0
	p := newPlaces()
	p.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host != "vendor.test" {
			t.Errorf("looked up %q", host)
		}
		return answer, failure
	}
	p.moved = func() { moved++ }
	dial := p.watch(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, ln.Addr().String())
	})
	c, err := dial(t.Context(), "tcp", "vendor.test:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, x := range []struct {
		answer  []netip.Addr
		failure error
		left    bool
		moved   int
	}{
		{[]netip.Addr{there, netip.AddrFrom16(here.As16())}, nil, false, 0}, // among others, and in IPv6's writing
		{[]netip.Addr{there}, nil, false, 0},
		{nil, errors.New("no name server"), false, 0},
		{[]netip.Addr{here}, nil, false, 0}, // one of many again
		{[]netip.Addr{there}, nil, false, 0},
		{[]netip.Addr{there}, nil, true, 1},
		{[]netip.Addr{there}, nil, true, 1}, // told once
	} {
		answer, failure = x.answer, x.failure
		p.look()
		if left(c) != x.left || moved != x.moved {
			t.Errorf("look %d: left %v, moved %d times; want %v, %d", i, left(c), moved, x.left, x.moved)
		}
	}
	if err := c.Close(); err != nil || len(p.open) != 0 {
		t.Errorf("after its end (%v) %d connections are watched, want none", err, len(p.open))
	}
	p.look() // asks nobody, and ends the timer
	if p.timer != nil {
		t.Error("a timer runs for no connection")
	}
	at, err := dial(t.Context(), "tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	if _, watched := at.(*placed); watched {
		t.Error("an address is watched as if it were a name")
	}
}
