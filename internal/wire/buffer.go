package wire

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// Buffer holds bytes that are read whole: a request's body, an answer. Above
// SpoolAt they lie in a file that has no name and is mapped into memory, so
// that the kernel can do without them.
type Buffer struct {
	B    []byte
	file *os.File // nil while B is in memory
}

// SpoolAt is the size in bytes above which a body goes to a file.
const SpoolAt = 8 << 20

// keepBuffer is the largest buffer that is pooled.
const keepBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, 2<<10)} }}

// NewBuffer returns an empty buffer.
func NewBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer back; its bytes may not be used afterwards. Large ones
// are left to the collector.
func (b *Buffer) Free() {
	if b.file != nil {
		unmap(b.B)
		_ = b.file.Close()
		b.B, b.file = nil, nil
		return
	}
	if cap(b.B) <= keepBuffer {
		b.B = b.B[:0]
		buffers.Put(b)
	}
}

// Spool moves what b holds and the rest of r into a file, at most limit bytes
// in all; what is more is left in r, and the length of B tells. b must be freed
// whatever is returned; an error of r is returned as it is, one of the file is
// an *os.PathError inside.
func (b *Buffer) Spool(r io.Reader, limit int64) error {
	f, err := temporary()
	if err != nil {
		return fmt.Errorf("making a file for a large body: %w", err)
	}
	n := int64(len(b.B))
	_, err = f.Write(b.B)
	b.B = nil
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("writing a large body: %w", err)
	}
	w := &fileWriter{f: f}
	more, err := io.CopyBuffer(w, io.LimitReader(r, limit+1-n), make([]byte, 256<<10))
	if err == nil {
		b.B, err = remap(f, n+more)
	}
	if err != nil {
		_ = f.Close()
		if w.err != nil {
			err = fmt.Errorf("writing a large body: %w", w.err)
		}
		return err
	}
	b.file = f
	return nil
}

// fileWriter hides the file's ReadFrom, which would take the buffer away, and
// keeps its errors apart from the reader's.
type fileWriter struct {
	f   *os.File
	err error
}

func (w *fileWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil {
		w.err = err
	}
	return n, err
}

// Patch is a new value for the bytes from Start to End.
type Patch struct {
	Start, End int
	Value      []byte
}

// Patched is all of a buffer, with other values in some places that follow each
// other, as a body on its way to a vendor. It owns the buffer, which is freed
// when it is closed.
func Patched(b *Buffer, patches ...Patch) *Payload {
	p := &Payload{held: freed{b}}
	p.pieces = p.space[:0]
	at := 0
	for _, x := range patches {
		p.add(b.B[at:x.Start])
		p.add(x.Value)
		at = x.End
	}
	p.add(b.B[at:])
	return p
}

// freed releases a buffer by freeing it.
type freed struct{ *Buffer }

// Release implements what a Payload holds.
func (f freed) Release() { f.Free() }
