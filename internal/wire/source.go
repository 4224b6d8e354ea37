package wire

import (
	"bytes"
	"io"

	"github.com/sluicegate/sluice/internal/wire/sse"
)

// SSE returns a source of server-sent events. Comments are not events.
func SSE(body io.Reader) Source { return &events{r: sse.NewReader(body)} }

type events struct {
	r      *sse.Reader
	frames []Frame
}

func (s *events) Next() ([]Frame, error) {
	raw, err := s.r.Next()
	if err != nil {
		return nil, err
	}
	s.frames = s.frames[:0]
	for len(raw) > 0 {
		var ev []byte
		ev, raw = sse.Split(raw)
		if data, ok := sse.Data(ev); ok {
			s.frames = append(s.frames, Frame{sse.Name(ev), bytes.TrimSpace(data)})
		}
	}
	return s.frames, nil
}

func (s *events) Close() { s.r.Close() }
