//go:build !linux

package app

import "net"

// holdLittle does nothing: the system's own bound stays.
func holdLittle(net.Conn) {}
