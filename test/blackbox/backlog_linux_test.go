package blackbox

import (
	"net/netip"
	"syscall"
	"testing"
)

// fullBacklog listens with a queue of one and never accepts.
func fullBacklog(t *testing.T, at netip.AddrPort) string {
	t.Helper()
	family, sa := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(at.Port())})
	if at.Addr().Is6() {
		family, sa = syscall.AF_INET6, &syscall.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skipf("no socket of this family here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, sa); err != nil {
		t.Skipf("no address %v here: %v", at, err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	if sa, err = syscall.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	port := 0
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		port = sa.Port
	case *syscall.SockaddrInet6:
		port = sa.Port
	}
	return netip.AddrPortFrom(at.Addr(), uint16(port)).String()
}
