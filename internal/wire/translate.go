package wire

import (
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Translate makes an answer of resp, a vendor's answer to call, in no vendor's
// words. kind is the content type of the vendor's streams. The caller closes
// it, which closes the response's body.
func Translate(resp *http.Response, v Vendor, call *Call, stream bool, kind string) (llm.Stream, *llm.Error) {
	if !stream {
		return Answer(resp, func(body []byte) (llm.Chunk, *llm.Error) {
			r, bad := v.Reply(call, body)
			if bad != nil {
				return llm.Chunk{}, bad
			}
			c := llm.Chunk{Events: r.Events(nil), Level: llm.LevelContent, Usage: r.Usage}
			if !call.plain() {
				if c.Events, bad = (&restorer{call: call}).events(nil, c.Events); bad != nil {
					return llm.Chunk{}, bad
				}
			}
			if c.Usage == nil {
				c.Usage = &llm.Usage{Output: int64(textOf(c.Events)+3) / 4, Estimated: true}
			}
			return c, nil
		})
	}
	errorIn := func(body []byte) *llm.Error {
		_, bad := v.Reply(call, body)
		return bad
	}
	if e := checkStream(resp, kind, errorIn); e != nil {
		return nil, e
	}
	return &translated{body: resp.Body, src: v.Source(resp.Body), dec: v.Decoder(call), restore: restorer{call: call}}, nil
}

// textOf is how many bytes a user would see of events.
func textOf(events []llm.Event) (n int) {
	for i := range events {
		n += len(events[i].Text)
	}
	return n
}

// translated is a vendor's stream in no vendor's words.
type translated struct {
	body    io.Closer
	src     Source
	dec     Decoder
	restore restorer
	events  []llm.Event // what the decoder gave, reused
	out     []llm.Event // with the client's names, reused
	content bool
	usage   llm.Usage // the vendor's last count
	counted bool      // it covers all that has come
	seen    int       // bytes of text so far
	blocks  int       // that have begun
	begun   int       // answers that have begun
	stopped int       // answers that are whole
	linger  *time.Timer
	over    error
}

// lastCount is how long a vendor may take to count and to end its stream after
// the last answer is whole.
const lastCount = 2 * time.Second

// Next returns the events of one read. See llm.Stream.
func (s *translated) Next() (llm.Chunk, error) {
	for s.over == nil {
		if s.stopped >= max(1, s.begun, s.restore.call.N) && s.linger == nil {
			s.linger = time.AfterFunc(lastCount, func() { _ = s.body.Close() })
		}
		frames, err := s.src.Next()
		s.events = s.events[:0]
		if err != nil {
			s.end(err)
		}
		for _, f := range frames {
			var bad *llm.Error
			if s.events, bad = s.dec.Event(s.events, f); bad != nil {
				s.over = bad
				break
			}
		}
		if len(s.events) > 0 {
			return s.chunk(), nil
		}
		if s.over == nil {
			c := llm.Chunk{Usage: s.count()}
			if len(frames) > 0 {
				c.Level = llm.LevelData
			}
			return c, nil
		}
	}
	return llm.Chunk{}, s.over
}

// end decides what the end of the vendor's bytes means.
func (s *translated) end(err error) {
	if err != io.EOF && s.linger == nil { // else it was we who closed it, or all had come
		s.over = early(err)
		return
	}
	var whole bool
	if s.events, whole = s.dec.End(s.events); whole {
		s.over = io.EOF
		return
	}
	// What is cut does not end: half a tool's arguments would seem whole.
	s.events = slices.DeleteFunc(s.events, func(e llm.Event) bool { return e.Kind == llm.EventBlockEnd })
	s.over = early(err)
}

// maxBlocks and maxText bound the blocks and the bytes of text of an answer,
// since encoders hold some of them.
const (
	maxBlocks = 1 << 14
	maxText   = MaxAnswer
)

func (s *translated) chunk() llm.Chunk {
	for i := range s.events {
		s.begun = max(s.begun, s.events[i].Answer+1)
		switch e := &s.events[i]; e.Kind {
		case llm.EventDelta:
			s.seen += len(e.Text)
			s.content, s.counted = s.content || e.Text != "", false
		case llm.EventUsage:
			if e.Usage != nil {
				s.usage, s.counted = *e.Usage, true
			}
		case llm.EventStop:
			s.content = true
			s.stopped++
		case llm.EventBlock:
			s.blocks++
			s.content = s.content || e.Block != nil && e.Block.Kind == llm.BlockCall
		}
	}
	if s.blocks > maxBlocks || s.seen > maxText {
		s.over = BadAnswer("answer larger than 64 MiB or 16,384 blocks")
	}
	c := llm.Chunk{Events: s.events, Level: llm.LevelData, Usage: s.count()}
	if !s.restore.call.plain() {
		out, bad := s.restore.events(s.out[:0], s.events)
		if s.out, c.Events = out, out; bad != nil {
			s.over = bad
		}
	}
	if s.content {
		c.Level = llm.LevelContent
	}
	return c
}

// count returns the usage so far: the vendor's, and while that does not cover
// all that has come, at least what was delivered.
func (s *translated) count() *llm.Usage {
	u := s.usage
	if !s.counted {
		u.Output, u.Estimated = max(u.Output, int64(s.seen+3)/4), true
	}
	return &u
}

// Close ends the stream and the vendor's response.
func (s *translated) Close() error {
	if s.over == nil {
		s.over = io.ErrClosedPipe
	}
	if s.linger != nil {
		s.linger.Stop()
	}
	err := s.body.Close()
	s.src.Close()
	return err
}
