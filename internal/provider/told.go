package provider

import (
	"io"

	"github.com/sluicegate/sluice/internal/llm"
)

// told is an answer that is known already.
type told struct {
	chunk llm.Chunk
	over  bool
}

// Next implements llm.Stream.
func (s *told) Next() (llm.Chunk, error) {
	if s.over {
		return llm.Chunk{}, io.EOF
	}
	s.over = true
	return s.chunk, nil
}

// Close implements llm.Stream.
func (s *told) Close() error {
	s.over = true
	return nil
}
