package bedrock

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// The framing of application/vnd.amazon.eventstream, all numbers big-endian:
// length of the message (4 bytes), length of its headers (4), CRC-32 of these
// (4), headers, payload, CRC-32 of all before (4).
const (
	preludeSize = 12
	leastSize   = preludeSize + 4
	// maxHeaders is AWS's own bound; maxMessage is ours for events of any
	// framing.
	maxHeaders = 128 << 10
	maxMessage = sse.MaxEvent
)

// firstSize is what an idle stream holds; keepSize is the largest buffer that
// is kept for the next stream.
const (
	firstSize = 4 << 10
	keepSize  = 32 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, firstSize); return &b }}

// errFrame is wrapped by every error for bytes that are no event stream.
var errFrame = errors.New("no event stream")

// Prefixes of a Frame's name for messages that are no events.
const (
	prefixException = ":exception:"
	prefixError     = ":error:"
)

// frames reads an event stream. The buffer grows as bytes come, never by what
// a length only promises, up to maxMessage.
type frames struct {
	src    io.Reader
	buf    *[]byte
	begin  int // of what was not returned yet
	end    int // of what was read
	err    error
	frames []wire.Frame
}

func newFrames(src io.Reader) *frames {
	return &frames{src: src, buf: buffers.Get().(*[]byte)}
}

// Next returns the messages that one read brought. See wire.Source. A frame's
// name is the event's type; ":exception:" and the exception's type; ":error:"
// and the error's code, with its text as a message in JSON as data.
func (s *frames) Next() ([]wire.Frame, error) {
	if s.buf == nil {
		return nil, io.ErrClosedPipe
	}
	if s.begin > 0 {
		s.end = copy(*s.buf, (*s.buf)[s.begin:s.end])
		s.begin = 0
	}
	s.frames = s.frames[:0]
	for s.err == nil {
		if s.end == len(*s.buf) {
			s.grow()
		}
		n, err := s.src.Read((*s.buf)[s.end:])
		s.end += n
		if bad := s.cut(); bad != nil {
			err = bad
		}
		if err != nil {
			if err == io.EOF && s.begin < s.end {
				err = io.ErrUnexpectedEOF
			}
			s.err = err
		}
		if len(s.frames) > 0 {
			return s.frames, nil
		}
	}
	return nil, s.err
}

// Close gives the buffer back. It does not close the body.
func (s *frames) Close() {
	if s.buf != nil && cap(*s.buf) <= keepSize {
		buffers.Put(s.buf)
	}
	s.buf = nil
}

// grow doubles the buffer. cut has refused every message that would not fit
// into maxMessage.
func (s *frames) grow() {
	bigger := make([]byte, min(2*len(*s.buf), maxMessage))
	copy(bigger, (*s.buf)[:s.end])
	if cap(*s.buf) <= keepSize {
		buffers.Put(s.buf)
	}
	s.buf = &bigger
}

// cut takes the whole messages off the buffer.
func (s *frames) cut() error {
	for {
		b := (*s.buf)[s.begin:s.end]
		if len(b) < preludeSize {
			return nil
		}
		size, head := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
			return frameError("the checksum of a prelude is wrong")
		}
		if size < leastSize || size > maxMessage || head > maxHeaders || head > size-leastSize {
			return frameError("a message has an impossible length")
		}
		if uint32(len(b)) < size {
			return nil
		}
		b = b[:size]
		if crc32.ChecksumIEEE(b[:size-4]) != binary.BigEndian.Uint32(b[size-4:]) {
			return frameError("the checksum of a message is wrong")
		}
		f, err := frame(b[preludeSize:preludeSize+head], b[preludeSize+head:size-4])
		if err != nil {
			return err
		}
		s.begin += int(size)
		s.frames = append(s.frames, f)
	}
}

func frameError(detail string) error { return errors.Join(errFrame, errors.New(detail)) }

// frame reads the headers of a message. A message without a type is an event.
func frame(headers, payload []byte) (wire.Frame, error) {
	var kind, event, exception, code, text []byte
	for len(headers) > 0 {
		name, value, rest, ok := header(headers)
		if !ok {
			return wire.Frame{}, frameError("a header is broken")
		}
		headers = rest
		switch string(name) {
		case ":message-type":
			kind = value
		case ":event-type":
			event = value
		case ":exception-type":
			exception = value
		case ":error-code":
			code = value
		case ":error-message":
			text = value
		}
	}
	switch string(kind) {
	case "exception":
		return wire.Frame{Name: prefixException + string(exception), Data: payload}, nil
	case "error":
		return wire.Frame{Name: prefixError + string(code), Data: message(text)}, nil
	}
	return wire.Frame{Name: eventName(event), Data: payload}, nil
}

// eventName is string(b) without an allocation for the events of
// ConverseStream.
func eventName(b []byte) string {
	for _, name := range [...]string{eventDelta, eventBlockStart, eventBlockStop, eventStart, eventStop, eventMetadata} {
		if string(b) == name {
			return name
		}
	}
	return string(b)
}

// header cuts the first header off b. value is nil for what is no string.
// Types: 0 true, 1 false, 2 byte, 3 int16, 4 int32, 5 int64, 6 bytes,
// 7 string, 8 timestamp, 9 UUID.
func header(b []byte) (name, value, rest []byte, ok bool) {
	n := int(b[0])
	if n == 0 || len(b) < 1+n+1 {
		return nil, nil, nil, false
	}
	name, kind, b := b[1:1+n], b[1+n], b[2+n:]
	size := 0
	switch kind {
	case 0, 1:
	case 2:
		size = 1
	case 3:
		size = 2
	case 4:
		size = 4
	case 5, 8:
		size = 8
	case 9:
		size = 16
	case 6, 7:
		if len(b) < 2 {
			return nil, nil, nil, false
		}
		size = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	default:
		return nil, nil, nil, false
	}
	if len(b) < size {
		return nil, nil, nil, false
	}
	if kind == 7 {
		value = b[:size]
	}
	return name, value, b[size:], true
}
