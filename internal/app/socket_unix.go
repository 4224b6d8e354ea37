//go:build unix

package app

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// own makes a file of a descriptor that was passed to this process, which its
// own children do not get.
func own(fd int, name string) *os.File {
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// share returns another descriptor of a listener's socket. File would leave the
// socket blocking once it is passed on: Accept could not be ended any more.
func share(l net.Listener) (*os.File, error) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%s has no descriptor", l.Addr())
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(from uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(from)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), l.Addr().String()), nil
}
