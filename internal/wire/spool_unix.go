//go:build unix

package wire

import (
	"os"
	"syscall"
)

// temporary makes a file that is gone when it is closed.
func temporary() (*os.File, error) {
	f, err := os.CreateTemp("", "sluice-body-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// remap returns the first n bytes of f, n > 0, without reading them.
func remap(f *os.File, n int64) ([]byte, error) {
	b, err := syscall.Mmap(int(f.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: "a large body", Err: err}
	}
	return b, nil
}

func unmap(b []byte) { _ = syscall.Munmap(b) }
