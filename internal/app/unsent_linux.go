package app

import (
	"net"
	"syscall"
)

// unsentBytes is how much of what a client does not take yet waits in the
// kernel; what is on its way is not counted, so that it costs no speed. Linux
// lets it grow to tcp_wmem's 4 MiB by itself.
const unsentBytes = 64 << 10

// notSentLowat is TCP_NOTSENT_LOWAT of linux/tcp.h.
const notSentLowat = 25

// holdLittle bounds what a client's connection holds unsent. It is set for each:
// those of a listener that could speak MPTCP do not inherit it. A system that
// knows no such bound keeps its own.
func holdLittle(c net.Conn) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, unsentBytes)
	})
}
