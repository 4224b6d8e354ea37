package openai

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

// stream decodes a vendor's event stream. Events keep their bytes; the usage
// event is taken out when the client did not ask for it.
type stream struct {
	body      io.ReadCloser
	events    *sse.Reader
	hideUsage bool
	want      int // finish reasons that make the answer whole
	finished  int
	content   bool // something a user would see has come
	done      bool // [DONE] has come
	over      error
	usage     llm.Usage
	counted   bool  // usage is the vendor's
	delivered int64 // tokens seen so far, estimated
	linger    *time.Timer
}

// Stream decodes resp, a streamed answer to req. The caller closes it, which
// closes the response's body.
func Stream(req *llm.Request, resp *http.Response) (llm.Stream, *llm.Error) {
	kind := resp.Header.Get("Content-Type")
	if !strings.HasPrefix(kind, "text/event-stream") {
		defer resp.Body.Close()
		return nil, notStream(kind, resp.Body)
	}
	return &stream{body: resp.Body, events: sse.NewReader(resp.Body), hideUsage: !req.WantUsage, want: req.N}, nil
}

// notStream explains a 200 that is no event stream: an error object, or an
// answer of another kind.
func notStream(kind string, body io.Reader) *llm.Error {
	if strings.HasPrefix(kind, "application/json") {
		b, _ := io.ReadAll(io.LimitReader(body, 64<<10))
		if e := errorIn(b); e != nil {
			return e
		}
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "the vendor answered a streamed request with something else", Err: errors.New("content type " + clip(kind))}
}

// linger is how long the end of the body may come after [DONE]; waiting for
// it lets the connection be used again.
const linger = time.Second

// Next returns the events of one read. See llm.Stream.
func (s *stream) Next() (llm.Chunk, error) {
	for s.over == nil {
		if s.done && s.linger == nil {
			s.linger = time.AfterFunc(linger, func() { _ = s.body.Close() })
		}
		raw, err := s.events.Next()
		if err != nil {
			return s.end(err)
		}
		if s.done {
			continue // what follows [DONE] is nobody's
		}
		if s.events.Cut() && half(raw) {
			continue
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
	return ok && string(data) != "[DONE]" && !scan.Valid(data)
}

var done = []byte("data: [DONE]\n\n")

// end decides what the end of the vendor's bytes means.
func (s *stream) end(err error) (llm.Chunk, error) {
	switch {
	case s.done:
		s.over = io.EOF
	case s.finished >= max(1, s.want):
		s.over, s.done = io.EOF, true
		return llm.Chunk{Raw: append([]byte(nil), done...), Level: llm.LevelContent, Usage: s.count()}, nil
	default:
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		s.over = &llm.Error{Kind: llm.KindUpstream, Message: "the vendor's stream ended before the answer was whole", Err: err}
	}
	return llm.Chunk{}, s.over
}

// chunk looks at each event of raw and returns what goes to the client.
func (s *stream) chunk(raw []byte) (llm.Chunk, *llm.Error) {
	kept := 0 // raw[:kept] goes to the client
	level := llm.LevelNone
	for rest := raw; len(rest) > 0; {
		var ev []byte
		ev, rest = sse.Split(rest)
		verdict, err := s.event(ev)
		if err != nil {
			return s.result(raw[:kept], level), err
		}
		if verdict&hasData != 0 {
			level = llm.LevelData
		}
		if verdict&hidden == 0 {
			at := len(raw) - len(rest) - len(ev)
			if kept != at {
				copy(raw[kept:], ev)
			}
			kept += len(ev)
		}
		if s.done {
			break
		}
	}
	return s.result(raw[:kept], level), nil
}

func (s *stream) result(raw []byte, level llm.Level) llm.Chunk {
	c := llm.Chunk{Raw: raw, Level: level}
	if s.content && level != llm.LevelNone {
		c.Level = llm.LevelContent
	}
	c.Usage = s.count()
	return c
}

// count returns the usage so far: the vendor's, which may have come in an
// event that nobody was shown, else what was delivered.
func (s *stream) count() *llm.Usage {
	if !s.counted {
		s.usage = llm.Usage{Output: s.delivered, Estimated: true}
	}
	return &s.usage
}

type verdict uint8

const (
	hidden verdict = 1 << iota
	hasData
)

var (
	keyError   = []byte(`"error"`)
	keyUsage   = []byte(`"usage"`)
	keyFinish  = []byte(`"finish_reason"`)
	keyContent = []byte(`"content"`)
	keyChoices = []byte(`"choices"`)
)

func (s *stream) event(ev []byte) (v verdict, bad *llm.Error) {
	data, ok := sse.Data(ev)
	if !ok {
		return 0, nil // a comment
	}
	if data = bytes.TrimSpace(data); string(data) == "[DONE]" {
		s.done, s.content = true, true
		return hasData, nil
	}
	if bytes.Contains(data, keyError) {
		if e := errorIn(data); e != nil {
			return 0, e
		}
	}
	v = hasData
	s.finishes(data)
	if !s.content {
		n := visible(data)
		s.delivered += int64(n+3) / 4
		s.content = n > 0 || s.finished > 0
	} else if n := after(data, keyContent); len(n) > 2 && n[0] == '"' {
		s.delivered += int64(textLen(n)+3) / 4
	} else if len(data) > 0 {
		s.delivered++
	}
	object := false // vendors put others' usage into the choices, too
	for count := after(data, keyUsage); len(count) > 0; count = after(count, keyUsage) {
		object = object || count[0] == '{'
		if u, has := parseUsage(count); has {
			s.usage, s.counted = u, true
		}
	}
	if s.hideUsage && object && emptyArray(after(data, keyChoices)) {
		v |= hidden
	}
	return v, nil
}

// after returns what follows the member called key (quotes included) and its
// colon. A quoted name that is followed by a colon cannot stand inside a JSON
// string, where quotes are escaped.
func after(b, key []byte) []byte {
	for {
		i := bytes.Index(b, key)
		if i < 0 {
			return nil
		}
		b = b[i+len(key):]
		if v := bytes.TrimLeft(b, " \t"); len(v) > 0 && v[0] == ':' {
			return bytes.TrimLeft(v[1:], " \t")
		}
	}
}

func emptyArray(b []byte) bool {
	if len(b) == 0 || b[0] != '[' {
		return false
	}
	b = bytes.TrimLeft(b[1:], " \t")
	return len(b) > 0 && b[0] == ']'
}

// textLen is the length of the JSON string that b begins with, escapes
// counted as they stand.
func textLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i - 1
		}
	}
	return len(b) - 1
}

func (s *stream) finishes(data []byte) {
	for v := after(data, keyFinish); v != nil; v = after(v, keyFinish) {
		if len(v) > 1 && v[0] == '"' && v[1] != '"' {
			s.finished++
		}
	}
}

// visible is how many bytes of a chunk a user would see: text, reasoning,
// tool calls, audio; not roles.
func visible(data []byte) int {
	n := 0
	_ = scan.Elements(scan.Get(data, "choices"), func(choice []byte) bool {
		if t := scan.Get(choice, "text"); len(t) > 2 {
			n += len(t) - 2
		}
		delta := scan.Get(choice, "delta")
		if len(delta) == 0 || delta[0] != '{' {
			return true
		}
		var space [16]scan.Member
		ms, err := scan.Object(space[:0], delta)
		if err != nil {
			return false
		}
		for _, m := range ms {
			v := delta[m.Start:m.End]
			switch {
			case string(delta[m.Key:m.KeyEnd]) == `"role"`, scan.Null(v):
			case string(v) == `""`, string(v) == `[]`, string(v) == `{}`:
			default:
				n += len(v)
			}
		}
		return true
	})
	return n
}

// Close ends the stream and the vendor's response.
func (s *stream) Close() error {
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
