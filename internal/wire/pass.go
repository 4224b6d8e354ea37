package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/scan"
	"github.com/sluicegate/sluice/internal/wire/sse"
)

// pass is a vendor's event stream on its way to a client of the same protocol.
// Events keep their bytes.
type pass struct {
	body    io.ReadCloser
	events  *sse.Reader
	watch   Watcher
	content bool  // something a user would see has come
	left    int64 // bytes that may still come
	done    bool  // the answer is whole
	over    error
	usage   llm.Usage
	linger  *time.Timer
}

// Pass makes an answer of resp, a stream of server-sent events that go to the
// client as they come. errorIn finds the error object in a body that is no
// stream, nil if there is none. The caller closes the stream, which closes the
// response's body.
func Pass(resp *http.Response, w Watcher, errorIn func(body []byte) *llm.Error) (llm.Stream, *llm.Error) {
	if e := checkStream(resp, "text/event-stream", errorIn); e != nil {
		return nil, e
	}
	return &pass{body: resp.Body, events: sse.NewReader(resp.Body), watch: w, left: MaxStream}, nil
}

// checkStream explains a 200 that is no stream of the kind that was asked for:
// an error object, or an answer of another kind. It closes the body then.
func checkStream(resp *http.Response, want string, errorIn func(body []byte) *llm.Error) *llm.Error {
	kind := resp.Header.Get("Content-Type")
	if strings.HasPrefix(kind, want) {
		return nil
	}
	defer resp.Body.Close()
	if strings.HasPrefix(kind, "application/json") {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if e := errorIn(b); e != nil {
			return e
		}
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor answered a streamed request with something else", Err: errors.New("content type " + clip(kind))}
}

// linger is how long the end of the body may come after the answer's; waiting
// for it lets the connection be used again.
const linger = time.Second

// Next returns the events of one read. See llm.Stream.
func (s *pass) Next() (llm.Chunk, error) {
	for s.over == nil {
		if s.done && s.linger == nil {
			s.linger = time.AfterFunc(linger, func() { _ = s.body.Close() })
		}
		raw, err := s.events.Next()
		if err != nil {
			return s.end(err)
		}
		if s.done {
			continue // what follows the end is nobody's
		}
		if s.left -= int64(len(raw)); s.left < 0 {
			s.over = BadAnswer("stream larger than 1 GiB")
			break
		}
		if s.events.Cut() && half(raw) {
			continue
		}
		if len(raw) == 0 { // a sign of life
			return llm.Chunk{}, nil
		}
		c, bad := s.chunk(raw)
		if bad != nil {
			s.over = bad
		}
		if len(c.Raw) > 0 {
			return c, nil
		}
	}
	return llm.Chunk{}, s.over
}

// half reports whether the last event of a source is the beginning of one.
func half(ev []byte) bool {
	data, ok := sse.Data(ev)
	data = bytes.TrimSpace(data)
	return !ok || string(data) != "[DONE]" && !scan.Valid(data)
}

// end decides what the end of the vendor's bytes means.
func (s *pass) end(err error) (llm.Chunk, error) {
	if s.done {
		s.over = io.EOF
		return llm.Chunk{}, s.over
	}
	if tail, whole := s.watch.End(); whole {
		s.over, s.done = io.EOF, true
		if len(tail) == 0 {
			return llm.Chunk{}, io.EOF
		}
		return llm.Chunk{Raw: bytes.Clone(tail), Level: llm.LevelContent, Usage: s.count()}, nil
	}
	s.over = early(err)
	return llm.Chunk{}, s.over
}

// early is the error for a stream that ended too soon.
func early(err error) *llm.Error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's stream ended before the answer was whole", Err: err}
}

// chunk looks at each event of raw and returns what goes to the client.
func (s *pass) chunk(raw []byte) (llm.Chunk, *llm.Error) {
	kept := 0 // raw[:kept] goes to the client
	level := llm.LevelNone
	for rest := raw; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		look, err := s.watch.Event(ev)
		if err != nil {
			return s.result(raw[:kept], level), err
		}
		if look.Data {
			level = llm.LevelData
		}
		s.content = s.content || look.Content
		if !look.Hidden {
			at := len(raw) - len(rest) - len(ev)
			if kept != at {
				copy(raw[kept:], ev)
			}
			kept += len(ev)
		}
		if s.done = look.Done; s.done {
			break
		}
	}
	return s.result(raw[:kept], level), nil
}

func (s *pass) result(raw []byte, level llm.Level) llm.Chunk {
	c := llm.Chunk{Raw: raw, Level: level}
	if s.content && level != llm.LevelNone {
		c.Level = llm.LevelContent
	}
	c.Usage = s.count()
	return c
}

// count returns the usage so far, which may have come in an event that nobody
// was shown.
func (s *pass) count() *llm.Usage {
	s.usage = s.watch.Usage()
	return &s.usage
}

// Close ends the stream and the vendor's response.
func (s *pass) Close() error {
	if s.over == nil {
		s.over = io.ErrClosedPipe
	}
	if s.linger != nil {
		s.linger.Stop()
	}
	err := s.body.Close()
	s.events.Close()
	return err
}
