package wire

import (
	"os"
	"syscall"
	"unsafe"
)

// temporary makes a file that is gone when it is closed
// (FILE_FLAG_DELETE_ON_CLOSE).
func temporary() (*os.File, error) {
	f, err := os.CreateTemp("", "sluice-body-")
	if err != nil {
		return nil, err
	}
	name := f.Name()
	if err := f.Close(); err != nil {
		return nil, err
	}
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const attributeTemporary, deleteOnClose = 0x100, 0x04000000
	h, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_DELETE, nil, syscall.OPEN_EXISTING, attributeTemporary|deleteOnClose, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}

// remap returns the first n bytes of f, n > 0, without reading them.
func remap(f *os.File, n int64) ([]byte, error) {
	h, err := syscall.CreateFileMapping(syscall.Handle(f.Fd()), nil, syscall.PAGE_READONLY, uint32(n>>32), uint32(n), nil)
	if err != nil {
		return nil, &os.PathError{Op: "map", Path: "a large body", Err: err}
	}
	defer syscall.CloseHandle(h)
	addr, err := syscall.MapViewOfFile(h, syscall.FILE_MAP_READ, 0, 0, uintptr(n))
	if err != nil {
		return nil, &os.PathError{Op: "map", Path: "a large body", Err: err}
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), int(n)), nil
}

func unmap(b []byte) { _ = syscall.UnmapViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
