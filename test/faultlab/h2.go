package faultlab

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// H2 is a connection of HTTP/2 in a vendor's journal. Its steps are frames.
type H2 struct {
	*Conn
	fr    *http2.Framer
	quiet atomic.Bool

	mu      sync.Mutex // of all below, and of writing
	enc     *hpack.Encoder
	block   bytes.Buffer
	streams map[uint32]*Stream
	frames  []string
}

// Stream is one request of HTTP/2 with the way of its answer. The body is
// whole when Config.Stream is called.
type Stream struct {
	*Call
	H2 *H2
	ID uint32

	gone     chan struct{}
	reset    http2.ErrCode
	isReset  bool
	withhold bool
}

func newH2(c *Conn) *H2 {
	h := &H2{Conn: c, fr: http2.NewFramer(framed{c}, c), streams: map[uint32]*Stream{}}
	h.enc = hpack.NewEncoder(&h.block)
	h.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return h
}

// framed is the writing side of a connection.
type framed struct{ c *Conn }

func (f framed) Write(b []byte) (int, error) {
	n, err := f.c.nc.Write(b)
	f.c.mu.Lock()
	f.c.wrote += int64(n)
	f.c.mu.Unlock()
	return n, err
}

// Frames returns the frames that came so far, as "TYPE stream detail".
func (h *H2) Frames() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.frames...)
}

// write writes one frame.
func (h *H2) write(f func() error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return f() == nil
}

// serve reads frames until the connection ends.
func (h *H2) serve() {
	defer h.end()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(h.Conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	h.write(func() error { return h.fr.WriteSettings(h.up.cfg.Settings...) })
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			return
		}
		h.note(f)
		h.take(f)
	}
}

// end tells all streams that the connection is over.
func (h *H2) end() {
	h.left()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		s.leave()
	}
}

func (h *H2) note(f http2.Frame) {
	detail := ""
	switch f := f.(type) {
	case *http2.RSTStreamFrame:
		detail = f.ErrCode.String()
	case *http2.GoAwayFrame:
		detail = f.ErrCode.String()
	case *http2.PingFrame, *http2.SettingsFrame:
		if f.Header().Flags.Has(http2.FlagPingAck) {
			detail = "ACK"
		}
	case *http2.DataFrame:
		detail = fmt.Sprint(len(f.Data()))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.frames) < 1<<14 {
		h.frames = append(h.frames, strings.TrimSpace(fmt.Sprintf("%v %d %s", f.Header().Type, f.Header().StreamID, detail)))
	}
}

// take does what a frame asks for.
func (h *H2) take(f http2.Frame) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			h.write(h.fr.WriteSettingsAck)
		}
	case *http2.PingFrame:
		if !f.IsAck() && !h.quiet.Load() {
			h.write(func() error { return h.fr.WritePing(true, f.Data) })
		}
	case *http2.MetaHeadersFrame:
		h.begin(f)
	case *http2.DataFrame:
		h.data(f)
	case *http2.RSTStreamFrame:
		h.mu.Lock()
		if s := h.streams[f.StreamID]; s != nil {
			s.reset, s.isReset = f.ErrCode, true
			s.leave()
		}
		h.mu.Unlock()
	}
}

func (h *H2) begin(f *http2.MetaHeadersFrame) {
	gone := make(chan struct{})
	call := &Call{Conn: h.Conn, At: time.Now(), Method: f.PseudoValue("method"), Path: f.PseudoValue("path"), Header: http.Header{}, Gone: gone}
	for _, x := range f.RegularFields() {
		call.Header.Add(x.Name, x.Value)
	}
	s := &Stream{Call: call, H2: h, ID: f.StreamID, gone: gone}
	s.withhold = h.up.cfg.Withhold != nil && h.up.cfg.Withhold(s)
	h.up.enter(call)
	h.mu.Lock()
	h.streams[s.ID] = s
	h.mu.Unlock()
	if f.StreamEnded() {
		h.answer(s)
	}
}

func (h *H2) data(f *http2.DataFrame) {
	h.mu.Lock()
	s := h.streams[f.StreamID]
	h.mu.Unlock()
	n := f.Header().Length
	if n > 0 {
		h.write(func() error { return h.fr.WriteWindowUpdate(0, n) })
	}
	if s == nil {
		return
	}
	h.up.mu.Lock() // of the journal, which has the call already
	s.Body = append(s.Body, f.Data()...)
	h.up.mu.Unlock()
	if n > 0 && !s.withhold && !f.StreamEnded() {
		h.write(func() error { return h.fr.WriteWindowUpdate(s.ID, n) })
	}
	if f.StreamEnded() {
		h.answer(s)
	}
}

func (h *H2) answer(s *Stream) {
	if h.up.cfg.Stream == nil {
		s.Answer(200, "{}")
		return
	}
	h.up.all.Go(func() { h.up.cfg.Stream(s) })
}

// leave is called with the connection's lock held.
func (s *Stream) leave() {
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}

// WasReset returns the code with which the gateway reset the stream, if it did.
func (s *Stream) WasReset() (http2.ErrCode, bool) {
	s.H2.mu.Lock()
	defer s.H2.mu.Unlock()
	return s.reset, s.isReset
}

// Head sends the header of the answer. header is lines "Name: value"; without
// a content type it is an event stream.
func (s *Stream) Head(status int, header ...string) bool {
	h := s.H2
	return h.write(func() error {
		h.block.Reset()
		kind := "text/event-stream"
		fields := []hpack.HeaderField{{Name: ":status", Value: fmt.Sprint(status)}}
		for _, l := range header {
			k, v, _ := strings.Cut(l, ":")
			if k = strings.ToLower(k); k == "content-type" {
				kind = ""
			}
			fields = append(fields, hpack.HeaderField{Name: k, Value: strings.TrimSpace(v)})
		}
		if kind != "" {
			fields = append(fields, hpack.HeaderField{Name: "content-type", Value: kind})
		}
		for _, f := range fields {
			if err := h.enc.WriteField(f); err != nil {
				return err
			}
		}
		return h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: h.block.Bytes(), EndHeaders: true})
	})
}

// Data sends a part of the answer, at most 16 KiB. The gateway's window is not
// looked at.
func (s *Stream) Data(text string) bool {
	return s.H2.write(func() error { return s.H2.fr.WriteData(s.ID, false, []byte(text)) })
}

// Finish ends the answer.
func (s *Stream) Finish() bool {
	return s.H2.write(func() error { return s.H2.fr.WriteData(s.ID, true, nil) })
}

// Answer sends a whole JSON answer.
func (s *Stream) Answer(status int, body string, header ...string) {
	s.Head(status, append(header, "content-type: application/json")...)
	s.Data(body)
	s.Finish()
}

// Refuse ends the stream with RST_STREAM.
func (s *Stream) Refuse(code http2.ErrCode) bool {
	return s.H2.write(func() error { return s.H2.fr.WriteRSTStream(s.ID, code) })
}

// Hang waits until the gateway resets the stream or leaves, or the vendor
// stops. The connection goes on.
func (s *Stream) Hang() {
	select {
	case <-s.gone:
	case <-s.up.stop:
	}
}

// GoAway says that streams above last will not be answered.
func (h *H2) GoAway(last uint32, code http2.ErrCode) bool {
	return h.write(func() error { return h.fr.WriteGoAway(last, code, nil) })
}

// Mute leaves PINGs without an answer from now on, as a path does that has
// died.
func (h *H2) Mute() { h.quiet.Store(true) }
