package wire

import (
	"io"
	"net/http"

	"github.com/sluicegate/sluice/internal/llm"
)

// relayRead is how much of a relayed answer is read at once.
const relayRead = 32 << 10

// relay is an answer that goes to the client as it comes, whatever it is.
type relay struct {
	body io.ReadCloser
	left int64 // bytes that may still come
	buf  *Buffer
	over error
}

// Relay makes an answer of resp that goes to the client as it comes, at most
// most bytes of it: sound, text, JSON or an event stream. Its chunks tell of no
// usage. The caller closes the answer, which closes the response's body.
func Relay(resp *http.Response, most int64) llm.Stream { return &relay{body: resp.Body, left: most} }

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
		n, err := s.body.Read(b)
		s.left -= int64(n)
		switch {
		case s.left < 0:
			s.over = BadAnswer("answer larger than what is relayed of one")
			return llm.Chunk{}, s.over
		case err == io.EOF:
			s.over = io.EOF
		case err != nil:
			s.over = &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer broke off", Err: err}
		}
		if n == 0 && s.over == nil {
			continue
		}
		if n == 0 && (!first || s.over != io.EOF) {
			return llm.Chunk{}, s.over
		}
		return llm.Chunk{Raw: b[:n], Level: llm.LevelContent, Usage: &llm.Usage{}}, nil
	}
}

// Close implements llm.Stream.
func (s *relay) Close() error {
	if s.over == nil {
		s.over = io.ErrClosedPipe
	}
	err := s.body.Close()
	if s.buf != nil {
		s.buf.Free()
		s.buf = nil
	}
	return err
}
