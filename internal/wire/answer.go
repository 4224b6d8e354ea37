package wire

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

const (
	// MaxAnswer is the largest unary answer in bytes.
	MaxAnswer = 64 << 20
	// MaxFrame is the largest event of a session in bytes.
	MaxFrame = 16 << 20
	// MaxStream is the largest answer of a model that goes on as it comes, in
	// bytes: a million tokens, each an event of its own of 350 bytes, and as much
	// again twice.
	MaxStream = 1 << 30
	// segment is how much of a long answer of unknown length is read at once: it
	// is put together only when all has come, so that one that is too large costs
	// no more than MaxAnswer.
	segment = 1 << 20
)

// answer is a unary answer: a stream of one chunk.
type answer struct {
	resp *http.Response
	read func(body []byte) (llm.Chunk, *llm.Error)
	buf  *Buffer
	done bool
}

// Answer makes an answer of resp, which is not streamed. read makes the chunk
// of the whole body; what it returns may lie in the body. The caller closes
// the answer, which closes the response's body.
func Answer(resp *http.Response, read func(body []byte) (llm.Chunk, *llm.Error)) (llm.Stream, *llm.Error) {
	if t := resp.Header.Get("Content-Type"); t != "" && !strings.Contains(t, "json") {
		resp.Body.Close()
		return nil, BadAnswer("content type " + clip(t))
	}
	if resp.ContentLength > MaxAnswer {
		resp.Body.Close()
		return nil, BadAnswer("answer larger than 64 MiB")
	}
	return &answer{resp: resp, read: read}, nil
}

// BadAnswer is the error for an answer that a vendor should not have given.
func BadAnswer(detail string) *llm.Error {
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer could not be understood", Err: errors.New(detail)}
}

func (a *answer) Next() (llm.Chunk, error) {
	if a.done {
		return llm.Chunk{}, io.EOF
	}
	a.done = true
	a.buf = NewBuffer()
	if err := readAll(a.resp, a.buf); err != nil {
		return llm.Chunk{}, err
	}
	if a.resp.ContentLength < 0 && !scan.Valid(a.buf.B) { // nothing else tells that it was cut
		return llm.Chunk{}, BadAnswer("no whole JSON value")
	}
	c, bad := a.read(a.buf.B)
	if bad != nil {
		return llm.Chunk{}, bad
	}
	return c, nil
}

// readAll reads the whole body into buf. An answer that is shorter than it
// said is an error.
func readAll(resp *http.Response, buf *Buffer) error {
	b := buf.B
	if n := resp.ContentLength; n > int64(cap(b)) {
		b = make([]byte, 0, n+1)
	}
	defer func() { buf.B = b }()
	var full [][]byte // segments before b
	for {
		if len(b) == cap(b) {
			switch {
			case len(full)*segment+len(b) > MaxAnswer:
				return BadAnswer("answer larger than 64 MiB")
			case len(b) < segment:
				b = slices.Grow(b, min(max(len(b), 2<<10), segment-len(b)))
			default:
				full, b = append(full, b), make([]byte, 0, segment)
			}
		}
		n, err := resp.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			if full != nil {
				b = slices.Concat(append(full, b)...)
			}
			return nil
		}
		if err != nil {
			return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's answer broke off", Err: err}
		}
	}
}

func (a *answer) Close() error {
	err := a.resp.Body.Close()
	if a.buf != nil {
		a.buf.Free()
		a.buf = nil
	}
	a.done = true
	return err
}
