package ollama

import (
	"bytes"
	"errors"
	"io"

	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxLine is the largest line that is read, in bytes.
const maxLine = 8 << 20

// firstSize is what an idle stream holds.
const firstSize = 4 << 10

var errTooLarge = errors.New("line larger than 8 MiB")

// lines reads values that stand each on a line of its own.
type lines struct {
	src    io.Reader
	buf    []byte
	done   int // buf[:done] was returned
	seen   int // buf[done:seen] has no line end
	err    error
	frames []wire.Frame
}

func newLines(src io.Reader) *lines { return &lines{src: src, buf: make([]byte, 0, firstSize)} }

// Next implements wire.Source.
func (l *lines) Next() ([]wire.Frame, error) {
	n := copy(l.buf, l.buf[l.done:])
	l.buf, l.seen, l.done = l.buf[:n], l.seen-l.done, 0
	for {
		if l.err != nil {
			return l.last()
		}
		if len(l.buf) == cap(l.buf) {
			if len(l.buf) >= maxLine {
				l.err, l.buf = errTooLarge, l.buf[:0]
				return nil, l.err
			}
			l.buf = append(make([]byte, 0, min(2*cap(l.buf), maxLine)), l.buf...)
		}
		n, err := l.src.Read(l.buf[len(l.buf):cap(l.buf)])
		l.buf = l.buf[:len(l.buf)+n]
		l.err = err
		if l.cut(); len(l.frames) > 0 {
			return l.frames, nil
		}
	}
}

// cut makes frames of the whole lines.
func (l *lines) cut() {
	l.frames = l.frames[:0]
	for {
		i := bytes.IndexByte(l.buf[l.seen:], '\n')
		if i < 0 {
			l.seen = len(l.buf)
			return
		}
		end := l.seen + i
		if data := bytes.TrimSpace(l.buf[l.done:end]); len(data) > 0 {
			l.frames = append(l.frames, wire.Frame{Data: data})
		}
		l.done, l.seen = end+1, end+1
	}
}

// last returns what stands after the last line end, and then the error.
func (l *lines) last() ([]wire.Frame, error) {
	rest := bytes.TrimSpace(l.buf[l.done:])
	l.done, l.seen = len(l.buf), len(l.buf)
	if l.err != io.EOF || len(rest) == 0 {
		return nil, l.err
	}
	if !scan.Valid(rest) {
		l.err = io.ErrUnexpectedEOF
		return nil, l.err
	}
	return append(l.frames[:0], wire.Frame{Data: rest}), nil
}

// Close implements wire.Source.
func (l *lines) Close() { l.buf = nil; l.done, l.seen, l.err = 0, 0, io.ErrClosedPipe }
