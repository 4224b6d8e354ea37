package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

const (
	// bodyStall is how long a client may pause while it sends a body. Its first
	// bytes are bounded by the HTTP server's ReadTimeout.
	bodyStall = 30 * time.Second
	// bodyRate is how many bytes a second a body must bring on the whole, one
	// bodyStall aside: who sends a byte now and then holds nothing for long.
	bodyRate = 1 << 10
	// bodyFarewell is how long the rest of a refused body is still read, so that
	// the client sees the answer before its connection breaks.
	bodyFarewell = time.Second
	// readAway is the largest body of a refused request, in bytes, that is read
	// so that the connection can go on.
	readAway = 64 << 10
)

// moment is until when the next bytes of a body must come, of which n have since
// start.
func moment(start, now time.Time, n int) time.Time {
	pause, slow := now.Add(bodyStall), start.Add(bodyStall+time.Duration(n)*(time.Second/bodyRate))
	if slow.Before(pause) {
		return slow
	}
	return pause
}

// encoded is the error for a body that must be decoded first: what small bytes
// stand for is not known before they are, and no vendor's client sends such.
func (x *exchange) encoded() *llm.Error {
	if enc := x.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		x.hangUp()
		return &llm.Error{Kind: llm.KindInvalidRequest, Message: "send the body without Content-Encoding"}
	}
	return nil
}

// read reads the body into buf. The deadline moves with each read, so that a
// slow client may finish and a stalled one is cut.
func (x *exchange) read(buf *wire.Buffer) (e *llm.Error) {
	if x.early != nil {
		*buf, *x.early = *x.early, *buf
		x.early.Free()
		x.early = nil
		return nil
	}
	limit := x.gw.BodyLimit
	if x.r.ContentLength > limit {
		x.hangUp()
		return x.tooLarge(limit)
	}
	b := buf.B
	if n := int(min(x.r.ContentLength, 1<<20)); n >= cap(b) {
		b = make([]byte, 0, n+1)
	}
	rc := http.NewResponseController(x.w)
	defer func() {
		buf.B = b
		if e != nil {
			x.hangUp()
			return
		}
		_ = rc.SetReadDeadline(time.Time{})
	}()
	for {
		if len(b) >= wire.SpoolAt {
			buf.B = b
			e := x.spool(buf, limit)
			b = buf.B
			return e
		}
		if len(b) == cap(b) {
			if len(b) > bigBody && x.s.deps.Load.Tight() {
				x.s.limited("shed")
				return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: noRoom}
			}
			more := len(b)
			if left := x.r.ContentLength - int64(len(b)); left > 0 {
				more = int(min(int64(more), left+1))
			}
			b = slices.Grow(b, max(more, 1))
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return x.tooLarge(limit)
		}
		if err != nil {
			return x.bodyError(err)
		}
		if int64(len(b)) != x.r.ContentLength {
			_ = rc.SetReadDeadline(moment(x.trail.Start, time.Now(), len(b)))
		}
	}
}

// spool reads the rest of a large body into a file.
func (x *exchange) spool(buf *wire.Buffer, limit int64) *llm.Error {
	err := buf.Spool(&patient{x.r.Body, http.NewResponseController(x.w), x.trail.Start, len(buf.B)}, limit)
	var disk *os.PathError
	switch {
	case errors.As(err, &disk):
		return &llm.Error{Kind: llm.KindInternal, Message: "the gateway cannot hold a body of this size now; tell the operator", Err: err}
	case err != nil:
		return x.bodyError(err)
	case int64(len(buf.B)) > limit:
		return x.tooLarge(limit)
	}
	return nil
}

// patient is a body whose deadline moves with each read.
type patient struct {
	io.Reader
	rc    *http.ResponseController
	start time.Time
	n     int // bytes so far
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(moment(p.start, time.Now(), p.n))
	n, err := p.Reader.Read(b)
	p.n += n
	return n, err
}

func (x *exchange) tooLarge(limit int64) *llm.Error {
	x.s.limited("body")
	return &llm.Error{Kind: llm.KindTooLarge, Message: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes (limits.body)"}
}

// closing is the value of Connection that ends one.
var closing = []string{"close"}

// hangUp ends the connection after the answer, since the client's body is not
// read to its end; what still comes of it is read for bodyFarewell. In HTTP/2 it
// is the stream alone that ends, by itself.
func (x *exchange) hangUp() {
	if x.r.ProtoMajor > 1 || x.r.Body == http.NoBody {
		return
	}
	x.w.Header()["Connection"] = closing
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(bodyFarewell))
}

// unread leaves the body of a refused request. One that is known to be small is
// read away, within bodyFarewell, which costs both sides less than a new
// connection.
func (x *exchange) unread() {
	switch n := x.r.ContentLength; {
	case n < 0, n > readAway:
		x.hangUp()
	case n > 0 && x.r.ProtoMajor == 1:
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(bodyFarewell))
	}
}

// bodyError explains the end of a body; nil for the clean one.
func (x *exchange) bodyError(err error) *llm.Error {
	if err == io.EOF {
		return nil
	}
	var ne net.Error
	switch isNet := errors.As(err, &ne); {
	case isNet && ne.Timeout():
		return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body stalled for 30 s, or came slower than 1 KiB/s", Err: err}
	case isNet, errors.Is(err, io.ErrUnexpectedEOF), x.r.ProtoMajor > 1, x.r.Context().Err() != nil:
		return &llm.Error{Kind: llm.KindCanceled, Message: "the body broke off", Err: err}
	}
	return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body's chunks cannot be read; send it with Content-Length", Err: err}
}
