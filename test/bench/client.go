//go:build linux

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A reader hands out lines and byte counts of an HTTP/1.1 connection from one
// fixed buffer. Not safe for concurrent use.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	at   time.Time // when the last read from src returned
}

var errLongLine = errors.New("line longer than the buffer")

func (rd *reader) fill() error {
	if rd.r == rd.w {
		rd.r, rd.w = 0, 0
	} else if rd.w == len(rd.buf) {
		if rd.r == 0 {
			return errLongLine
		}
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	}
	n, err := rd.src.Read(rd.buf[rd.w:])
	rd.at = time.Now()
	rd.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// line returns the next line without its end; valid until the next call.
func (rd *reader) line() ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(rd.buf[rd.r+seen:rd.w], '\n'); i >= 0 {
			l := rd.buf[rd.r : rd.r+seen+i]
			rd.r += seen + i + 1
			return bytes.TrimSuffix(l, []byte{'\r'}), nil
		}
		seen = rd.w - rd.r
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
}

// each passes the next n bytes to f, piece by piece; a piece is valid during
// the call only.
func (rd *reader) each(n int, f func([]byte)) error {
	for n > 0 {
		if rd.r == rd.w {
			if err := rd.fill(); err != nil {
				return err
			}
		}
		m := min(n, rd.w-rd.r)
		f(rd.buf[rd.r : rd.r+m])
		rd.r += m
		n -= m
	}
	return nil
}

// field reports the value of a header line when its name is name (lower case).
func field(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.TrimSpace(line[len(name)+1:]), true
}

// A watch follows one event stream through any split of its bytes: it counts
// content events, notes [DONE], and compares the gaps between events with the
// gaps at the sender, whose clock readings the mock puts into the content.
type watch struct {
	messages bool // the stream is Anthropic's, else OpenAI's
	chunks   int
	done     bool
	failed   bool // an error event came
	first    time.Time
	stretch  []time.Duration // received gap minus sent gap, for each pair of neighbours
	tail     []byte
	sent     int64 // Unix nanoseconds of the last content event, at the mock
	seen     int64 // and here
}

var (
	contentMark = []byte(`"content":"`)
	doneLine    = []byte("data: [DONE]")
	failMark    = []byte(`data: {"error":`)
	textMark    = []byte(`"text_delta","text":"`) // of Anthropic's
	stopLine    = []byte("event: message_stop")
)

// reset readies w for the next stream and keeps the gaps gathered so far.
func (w *watch) reset() {
	*w = watch{messages: w.messages, stretch: w.stretch, tail: w.tail[:0]}
}

func (w *watch) feed(b []byte, at time.Time) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.tail = append(w.tail, b...)
			return
		}
		if l := b[:i]; len(w.tail) == 0 {
			w.event(l, at)
		} else {
			w.tail = append(w.tail, l...)
			w.event(w.tail, at)
			w.tail = w.tail[:0]
		}
		b = b[i+1:]
	}
}

func (w *watch) event(line []byte, at time.Time) {
	mark, end := contentMark, doneLine
	if w.messages {
		mark, end = textMark, stopLine
	}
	if bytes.HasPrefix(line, end) {
		w.done = true
		return
	}
	i := bytes.Index(line, mark)
	if i < 0 {
		w.failed = w.failed || bytes.HasPrefix(line, failMark)
		return
	}
	text := line[i+len(mark):]
	if len(text) == 0 || text[0] == '"' {
		return
	}
	w.chunks++
	if w.chunks == 1 {
		w.first = at
	}
	sent := stamp(text)
	if sent == 0 {
		return
	}
	seen := at.UnixNano()
	if w.sent != 0 {
		w.stretch = append(w.stretch, time.Duration((seen-w.seen)-(sent-w.sent)))
	}
	w.sent, w.seen = sent, seen
}

// stampLen is the length of a clock reading in a chunk: Unix nanoseconds as
// hexadecimal digits.
const stampLen = 16

// stamp reads the clock reading that text begins with; 0 when there is none.
func stamp(text []byte) int64 {
	if len(text) < stampLen {
		return 0
	}
	var v int64
	for _, c := range text[:stampLen] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | int64(c-'a'+10)
		default:
			return 0
		}
	}
	return v
}

// A client is one keep-alive connection that asks prebuilt requests. Not safe
// for concurrent use; it dials when it must and close ends it.
type client struct {
	addr string
	nc   net.Conn
	rd   reader
	w    watch
	used time.Time // when it was last put aside
}

// fresh closes a connection that was put aside so long ago that the server may
// have closed it: clients keep none longer than servers do (2 minutes here).
func (c *client) fresh() {
	if time.Since(c.used) > time.Minute {
		c.close()
	}
}

func newClient(addr string, buffer int) *client {
	return &client{addr: addr, rd: reader{buf: make([]byte, buffer)}}
}

func (c *client) close() {
	if c.nc != nil {
		c.nc.Close()
		c.nc = nil
	}
}

type statusError string

func (e statusError) Error() string { return "status " + string(e) }

var (
	errShort = errors.New("stream ended early")
	// errTold is a stream that was cut short and said so.
	errTold = errors.New("stream ended with an error event")
)

// ask sends req and reads the whole answer. Anything but a 200 and, for
// streams, wantChunks content events and [DONE], is an error; after one the
// connection is closed. wantChunks 0 means a unary answer.
func (c *client) ask(req []byte, deadline time.Time, wantChunks int) error {
	err := c.open(req, deadline)
	if err == nil {
		err = c.answer(wantChunks)
	}
	if err != nil {
		c.close()
	}
	return err
}

func (c *client) open(req []byte, deadline time.Time) error {
	if c.nc == nil {
		nc, err := net.DialTimeout("tcp", c.addr, time.Until(deadline))
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		c.nc = nc
		c.rd.src, c.rd.r, c.rd.w = nc, 0, 0
	}
	c.nc.SetDeadline(deadline)
	if _, err := c.nc.Write(req); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// head is what the first lines of an answer say; length is -1 for chunked.
type head struct {
	status string
	length int
	last   bool // the connection ends with this answer
}

func (c *client) head() (head, error) {
	h := head{length: -2}
	line, err := c.rd.line()
	if err != nil {
		return h, fmt.Errorf("read status: %w", err)
	}
	if len(line) < 12 {
		return h, fmt.Errorf("status line %q", line)
	}
	h.status = statusText(line[9:12])
	for {
		if line, err = c.rd.line(); err != nil {
			return h, fmt.Errorf("read header: %w", err)
		}
		if len(line) == 0 {
			break
		}
		if v, ok := field(line, "content-length"); ok {
			if h.length, err = strconv.Atoi(string(v)); err != nil || h.length < 0 {
				return h, fmt.Errorf("content-length %q", v)
			}
		} else if v, ok := field(line, "transfer-encoding"); ok && string(v) == "chunked" {
			h.length = -1
		} else if v, ok := field(line, "connection"); ok && strings.EqualFold(string(v), "close") {
			h.last = true
		}
	}
	if h.length == -2 {
		return h, errors.New("answer has neither length nor chunks")
	}
	return h, nil
}

func statusText(b []byte) string {
	if string(b) == "200" {
		return "200"
	}
	return string(b)
}

func (c *client) answer(wantChunks int) error {
	h, err := c.head()
	if err != nil {
		return err
	}
	c.w.reset()
	sink := func([]byte) {}
	if wantChunks > 0 {
		sink = func(b []byte) { c.w.feed(b, c.rd.at) }
	}
	if h.length >= 0 {
		err = c.rd.each(h.length, sink)
	} else {
		for more := true; more && err == nil; {
			more, err = c.piece(sink)
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("read body: %w", err)
	case h.status != "200":
		return statusError(h.status)
	case c.w.failed && !c.w.done:
		return errTold
	case wantChunks > 0 && (!c.w.done || c.w.chunks != wantChunks):
		return fmt.Errorf("%w: %d of %d chunks", errShort, c.w.chunks, wantChunks)
	}
	if h.last {
		c.close()
	}
	return nil
}

// piece reads one frame of a chunked body and reports whether more follow.
func (c *client) piece(sink func([]byte)) (bool, error) {
	n, err := c.rd.frame()
	if err != nil {
		return false, err
	}
	if err := c.rd.each(n, sink); err != nil {
		return false, err
	}
	_, err = c.rd.line()
	return n > 0, err
}

// frame reads the length line of a chunked frame; extensions are dropped.
func (rd *reader) frame() (int, error) {
	line, err := rd.line()
	if err != nil {
		return 0, err
	}
	line, _, _ = bytes.Cut(line, []byte{';'})
	n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
	if err != nil {
		return 0, fmt.Errorf("chunk length %q", line)
	}
	return int(n), nil
}

// hold asks for a stream and returns at its first content event, leaving the
// stream open.
func (c *client) hold(req []byte, deadline time.Time) error {
	if err := c.open(req, deadline); err != nil {
		return err
	}
	h, err := c.head()
	if err != nil {
		return err
	}
	if h.status != "200" {
		return statusError(h.status)
	}
	c.w.reset()
	for c.w.chunks == 0 {
		more, err := c.piece(func(b []byte) { c.w.feed(b, c.rd.at) })
		if err != nil {
			return err
		}
		if !more {
			return errShort
		}
	}
	return c.nc.SetDeadline(time.Time{})
}

// An ask is what a request looks like.
type ask struct {
	bytes  int // of the body; as small as it gets when less
	chunks int // content events to expect of a stream; 0 asks for a unary answer
	// messages: in Anthropic's protocol, else in OpenAI's chat completions
	messages bool
	model    string // modelName where empty
}

const modelName = "gpt-4o-mini"

// request renders a chat request as the official SDKs order it, messages
// first, complete with its head.
func (a ask) request(addr, key string) []byte {
	tail := `"}],"model":"` + cmp.Or(a.model, modelName) + `","max_tokens":256`
	if a.chunks > 0 {
		tail += `,"stream":true`
	}
	path := "/v1/messages"
	if !a.messages {
		path = "/v1/chat/completions"
		if a.chunks > 0 {
			tail += `,"stream_options":{"include_usage":true}`
		}
	}
	tail += "}"
	lead := `{"messages":[{"role":"user","content":"`
	body := lead + filler(a.bytes-len(lead)-len(tail)) + tail
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: sluice-bench\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, key, len(body), body)
}

// filler is n bytes of prose that need no JSON escaping; at least one.
func filler(n int) string {
	const prose = "A gateway stands between those who ask and those who answer, and says who may pass. "
	n = max(n, 1)
	return strings.Repeat(prose, n/len(prose)+1)[:n]
}
