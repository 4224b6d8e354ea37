package wire

import "sync"

// Buffer holds bytes that are read whole: a request's body, an answer.
type Buffer struct {
	B []byte
}

// keepBuffer is the largest buffer that is pooled.
const keepBuffer = 256 << 10

var buffers = sync.Pool{New: func() any { return &Buffer{B: make([]byte, 0, 2<<10)} }}

// NewBuffer returns an empty buffer.
func NewBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer back; its bytes may not be used afterwards. Large ones
// are left to the collector.
func (b *Buffer) Free() {
	if cap(b.B) <= keepBuffer {
		b.B = b.B[:0]
		buffers.Put(b)
	}
}
