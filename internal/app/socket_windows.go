package app

import (
	"errors"
	"net"
	"os"
)

// own makes a file of a descriptor that was passed to this process.
func own(fd int, name string) *os.File { return os.NewFile(uintptr(fd), name) }

// share is an error: there is no signal that asks for it.
func share(net.Listener) (*os.File, error) {
	return nil, errors.New("Windows passes no listeners on")
}
