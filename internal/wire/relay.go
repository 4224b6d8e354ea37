package wire

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// relayRead is how much of a relayed answer is read at once.
	relayRead = 32 << 10
	// relayTail is how much of its end is kept, to find the usage in.
	relayTail = 16 << 10
)

// relay is an answer that goes to the client as it comes, whatever it is.
type relay struct {
	resp  *http.Response
	usage func(tail []byte) (llm.Usage, bool)
	buf   *Buffer
	tail  []byte
	count llm.Usage // so far: the last that was found
	over  error
}

// Relay makes an answer of resp that goes to the client as it comes: sound,
// text, JSON or an event stream. usage finds the vendor's count in the end of a
// JSON answer or stream, which is at most 16 KiB; nil: there is none. The
// caller closes the answer, which closes the response's body.
func Relay(resp *http.Response, usage func(tail []byte) (llm.Usage, bool)) llm.Stream {
	kind := resp.Header.Get("Content-Type")
	if !strings.Contains(kind, "json") && !strings.HasPrefix(kind, "text/event-stream") {
		usage = nil
	}
	return &relay{resp: resp, usage: usage}
}

// Next implements llm.Stream. An empty answer is one empty chunk.
func (s *relay) Next() (llm.Chunk, error) {
	if s.over != nil {
		return llm.Chunk{}, s.over
	}
	first := s.buf == nil
	if first {
		s.buf = NewBuffer()
		if cap(s.buf.B) < relayRead {
			s.buf.B = make([]byte, relayRead)
		}
	}
	b := s.buf.B[:relayRead]
	for {
		n, err := s.resp.Body.Read(b)
		if err == io.EOF {
			s.over = io.EOF
		} else if err != nil {
			s.over = &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer broke off", Err: err}
		}
		if n == 0 && s.over == nil {
			continue
		}
		if n == 0 && (!first || s.over != io.EOF) {
			return llm.Chunk{}, s.over
		}
		return llm.Chunk{Raw: b[:n], Level: llm.LevelContent, Usage: s.counted(b[:n])}, nil
	}
}

// counted looks for the usage at the end of the answer.
func (s *relay) counted(b []byte) *llm.Usage {
	if s.usage == nil {
		return &s.count
	}
	s.tail = append(s.tail, b...)
	if drop := len(s.tail) - relayTail; drop > 0 {
		s.tail = append(s.tail[:0], s.tail[drop:]...)
	}
	if bytes.Contains(s.tail, []byte(`"usage"`)) {
		if u, ok := s.usage(s.tail); ok {
			s.count = u
		}
	}
	return &s.count
}

// Close implements llm.Stream.
func (s *relay) Close() error {
	if s.over == nil {
		s.over = io.ErrClosedPipe
	}
	err := s.resp.Body.Close()
	if s.buf != nil {
		s.buf.Free()
		s.buf = nil
	}
	return err
}
