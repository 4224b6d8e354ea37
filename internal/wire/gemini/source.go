package gemini

import (
	"bytes"
	"io"

	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// Source cuts a streamed answer into its chunks: server-sent events, or the
// elements of the JSON array that comes without alt=sse. See wire.Vendor.
func (Codec) Source(body io.Reader) wire.Source { return &source{body: body} }

// source decides by the first byte.
type source struct {
	body io.Reader
	wire.Source
}

func (s *source) Next() ([]wire.Frame, error) {
	if s.Source == nil {
		first := make([]byte, 1)
		for first[0] == 0 || bytes.ContainsAny(first, " \t\r\n") {
			if _, err := io.ReadFull(s.body, first); err != nil {
				return nil, err
			}
		}
		if r := io.MultiReader(bytes.NewReader(first), s.body); first[0] == '[' || first[0] == '{' {
			s.Source = &array{body: r}
		} else {
			s.Source = wire.SSE(r)
		}
	}
	return s.Source.Next()
}

func (s *source) Close() {
	if s.Source != nil {
		s.Source.Close()
	}
}

// array reads the elements of a JSON array, or one object.
type array struct {
	body   io.Reader
	buf    []byte // what was read and not returned
	at     int    // up to here buf was looked at
	start  int    // of the open element
	depth  int    // brackets that are open, the array's own included
	base   int    // depth of elements: 1 in an array
	quoted bool
	escape bool
	done   bool
	frames []wire.Frame
}

func (a *array) Close() { a.buf = nil }

func (a *array) Next() ([]wire.Frame, error) {
	kept := copy(a.buf, a.buf[a.start:])
	a.buf, a.at, a.start = a.buf[:kept], a.at-a.start, 0
	a.frames = a.frames[:0]
	for {
		if len(a.buf) == cap(a.buf) {
			if len(a.buf) >= sse.MaxEvent {
				return nil, sse.ErrTooLarge
			}
			bigger := make([]byte, len(a.buf), min(max(4<<10, 2*cap(a.buf)), sse.MaxEvent))
			copy(bigger, a.buf)
			a.buf = bigger
		}
		n, err := a.body.Read(a.buf[len(a.buf):cap(a.buf)])
		a.buf = a.buf[:len(a.buf)+n]
		a.scan()
		if len(a.frames) > 0 {
			return a.frames, nil
		}
		if err == io.EOF && !a.done {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
}

// scan looks at the new bytes and cuts off the elements that they end.
func (a *array) scan() {
	for ; a.at < len(a.buf); a.at++ {
		c := a.buf[a.at]
		switch {
		case a.done:
			a.start = a.at + 1
		case a.quoted:
			if a.escape {
				a.escape = false
			} else if c == '\\' {
				a.escape = true
			} else if c == '"' {
				a.quoted = false
			}
		case c == '"':
			a.quoted = true
		case c == '[' && a.depth == 0:
			a.depth, a.base, a.start = 1, 1, a.at+1
		case c == '{' || c == '[':
			if a.depth == a.base {
				a.start = a.at
			}
			a.depth++
		case c == '}' || c == ']':
			a.depth--
			if a.depth == a.base {
				a.frames = append(a.frames, wire.Frame{Data: a.buf[a.start : a.at+1]})
				a.start = a.at + 1
			}
			a.done = a.depth <= 0
		case a.depth == a.base:
			a.start = a.at + 1 // a comma or white space
		}
	}
}
