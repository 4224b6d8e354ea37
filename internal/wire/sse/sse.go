// Package sse reads server-sent events as they come over the wire, keeping
// their bytes, and splits them at any of the line ends that the WHATWG
// specification allows (LF, CR, CRLF).
package sse

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// MaxEvent is the largest event that is read, in bytes.
const MaxEvent = 8 << 20

// ErrTooLarge is returned for an event above MaxEvent.
var ErrTooLarge = errors.New("event larger than 8 MiB")

// firstSize is what an idle stream holds; keepSize is the largest buffer that
// is kept for the next stream.
const (
	firstSize = 4 << 10
	keepSize  = 32 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, firstSize); return &b }}

// Reader reads whole events. It is not safe for concurrent use.
type Reader struct {
	src   io.Reader
	buf   *[]byte
	ready int // end of what the last Next returned
	end   int // end of what was read
	seen  int // up to here no event ends
	cut   bool
	err   error
}

// NewReader returns a reader on src. Close gives its buffer back.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: buffers.Get().(*[]byte)}
}

// Close gives the buffer back. The bytes of the last Next are no longer
// valid. It does not close the source.
func (r *Reader) Close() {
	if r.buf != nil && cap(*r.buf) <= keepSize {
		buffers.Put(r.buf)
	}
	r.buf = nil
}

// Next returns the events that one read brought: whole events with their
// blank lines, as they came, valid until the next call. There may be none: the
// source lives, and an event is under way. The bytes that follow
// the last blank line before the end of the source are an event too; they are
// returned with blank line added. After that the source's error is returned,
// io.EOF for a clean end.
func (r *Reader) Next() ([]byte, error) {
	if r.buf == nil {
		return nil, io.ErrClosedPipe
	}
	r.compact()
	for {
		if r.err != nil {
			return r.last()
		}
		if r.end == len(*r.buf) {
			if r.end >= MaxEvent {
				r.err = ErrTooLarge
				r.end, r.seen = 0, 0
				return nil, r.err
			}
			bigger := make([]byte, min(2*len(*r.buf), MaxEvent))
			copy(bigger, (*r.buf)[:r.end])
			r.swap(bigger)
		}
		n, err := r.src.Read((*r.buf)[r.end:])
		r.end += n
		r.err = err
		if n == 0 {
			continue
		}
		if at := lastEnd((*r.buf)[:r.known()], r.seen); at > 0 {
			r.ready, r.seen = at, at
			return (*r.buf)[:at], nil
		}
		if r.seen = max(0, r.end-3); r.err == nil {
			return nil, nil
		}
	}
}

// known is how far the bytes that were read tell where events end: where lines end
// with CRLF, the CR of a blank line that was read last belongs to an LF to come.
func (r *Reader) known() int {
	if bytes.HasSuffix((*r.buf)[:r.end], halfBlank) {
		return r.end - 1
	}
	return r.end
}

var halfBlank = []byte("\r\n\r")

// last returns what stands after the last blank line at the end of a clean
// source, and then the error.
func (r *Reader) last() ([]byte, error) {
	if r.known() < r.end { // the blank line's LF did not come
		if at := lastEnd((*r.buf)[:r.end], r.seen); at > 0 {
			r.ready, r.seen = at, at
			return (*r.buf)[:at], nil
		}
	}
	rest := bytes.TrimRight((*r.buf)[:r.end], "\r\n")
	if r.err != io.EOF || len(bytes.TrimSpace(rest)) == 0 {
		r.end, r.seen = 0, 0
		return nil, r.err
	}
	out := append(rest[:len(rest):len(rest)], '\n', '\n')
	r.end, r.seen, r.ready, r.cut = 0, 0, 0, true
	return out, nil
}

// Cut reports whether the source ended before the blank line of the event that
// Next returned last: the event may be the beginning of one.
func (r *Reader) Cut() bool { return r.cut }

func (r *Reader) compact() {
	if r.ready == 0 {
		return
	}
	n := copy(*r.buf, (*r.buf)[r.ready:r.end])
	r.end, r.seen, r.ready = n, 0, 0
}

func (r *Reader) swap(bigger []byte) {
	old := r.buf
	r.buf = &bigger
	if cap(*old) <= keepSize {
		buffers.Put(old)
	}
}

// lastEnd returns the offset after the last blank line of b, 0 if there is
// none. No blank line ends before from: what stands before it is not read
// again.
func lastEnd(b []byte, from int) int {
	from = max(0, from-3)
	if bytes.IndexByte(b[from:], '\r') < 0 {
		if i := bytes.LastIndex(b[from:], []byte("\n\n")); i >= 0 {
			return from + i + 2
		}
		return 0
	}
	at := 0
	begun := from > 0 && b[from-1] != '\n' && b[from-1] != '\r' // inside a line
	if from > 0 && b[from-1] == '\r' && b[from] == '\n' {
		from++
	}
	for {
		j := bytes.IndexAny(b[from:], "\r\n")
		if j < 0 {
			return at
		}
		empty := j == 0 && !begun
		from += j + 1
		if b[from-1] == '\r' && from < len(b) && b[from] == '\n' {
			from++
		}
		if begun = false; empty {
			at = from
		}
	}
}

// Split cuts the first event off b, which holds whole events as returned by
// Next. raw is the event with its blank line. It looks at no byte of rest.
func Split(b []byte) (raw, rest []byte) {
	for at := 0; at < len(b); {
		line, next := cutLine(b[at:])
		at = len(b) - len(next)
		if len(line) == 0 {
			return b[:at], next
		}
	}
	return b, nil
}

// lineEnd returns the index of the first line end in b, -1 if there is none. It
// looks ahead in steps, so that short lines cost little wherever the other kind
// of line end stands.
func lineEnd(b []byte) int {
	const step = 512
	for at := 0; at < len(b); at += step {
		part := b[at:min(at+step, len(b))]
		i := bytes.IndexByte(part, '\n')
		if i >= 0 {
			part = part[:i]
		}
		if c := bytes.IndexByte(part, '\r'); c >= 0 {
			i = c
		}
		if i >= 0 {
			return at + i
		}
	}
	return -1
}

// Data returns the payload of an event's data fields. Several are joined by
// LF in a new slice; one is returned in place. ok is false when the event has
// no data field.
func Data(event []byte) (data []byte, ok bool) {
	var joined []byte
	count := 0
	for len(event) > 0 {
		var line []byte
		line, event = cutLine(event)
		v, is := field(line, "data")
		if !is {
			continue
		}
		switch count++; count {
		case 1:
			data = v
		case 2:
			joined = append(append(append(make([]byte, 0, len(data)+len(v)+1), data...), '\n'), v...)
		default:
			joined = append(append(joined, '\n'), v...)
		}
	}
	if count > 1 {
		return joined, true
	}
	return data, count == 1
}

// Name returns an event's name, "" if it has none.
func Name(event []byte) string {
	name := ""
	for len(event) > 0 {
		var line []byte
		line, event = cutLine(event)
		if v, is := field(line, "event"); is {
			name = string(v)
		}
	}
	return name
}

var bom = []byte("\xef\xbb\xbf")

// field returns the value of a line that is the field called name.
func field(line []byte, name string) ([]byte, bool) {
	line = bytes.TrimPrefix(line, bom)
	n := len(name)
	if len(line) < n || string(line[:n]) != name {
		return nil, false
	}
	if len(line) == n {
		return nil, true
	}
	if line[n] != ':' {
		return nil, false
	}
	if line = line[n+1:]; len(line) > 0 && line[0] == ' ' {
		line = line[1:]
	}
	return line, true
}

func cutLine(b []byte) (line, rest []byte) {
	i := lineEnd(b)
	if i < 0 {
		return b, nil
	}
	if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
		return b[:i], b[i+2:]
	}
	return b[:i], b[i+1:]
}
