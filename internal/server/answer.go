package server

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

const (
	// pingEvery paces the keep-alives: a stream that was silent since the last
	// tick gets one, so silence lasts at most two. Proxies on the way cut
	// connections after 30 to 60 s.
	pingEvery = 10 * time.Second
	// writeStall is how long a client may take nothing before it is given up;
	// it is renewed with each tick.
	writeStall = 30 * time.Second
)

// vendorHeaders are those of a vendor's answer that go on to the client.
var vendorHeaders = [...]string{"Content-Type", "Openai-Processing-Ms", "Openai-Version"}

// contentHeaders are those that go on beside them where an answer is relayed
// that was not asked of a model: what its body is, and when to come again. None
// names a place.
var contentHeaders = [...]string{"Content-Encoding", "Content-Disposition", "Content-Range", "Accept-Ranges", "Etag", "Last-Modified", "Retry-After"}

// header writes the headers of an answer. Keys are in canonical form.
func (x *exchange) header(resp *llm.Response) {
	h := x.w.Header()
	n := 0
	var space = make([]string, 14)
	set := func(key, value string) {
		space[n] = value
		h[key] = space[n : n+1 : n+1]
		n++
	}
	for _, k := range vendorHeaders {
		if v := resp.Header[k]; len(v) > 0 {
			h[k] = v[:1:1]
		}
	}
	if x.asked.op >= llm.OpResponse {
		for _, k := range contentHeaders {
			if v := resp.Header[k]; len(v) > 0 {
				h[k] = v[:1:1]
			}
		}
	}
	t := x.trail
	set("X-Request-Id", t.ID)
	h["Request-Id"] = h["X-Request-Id"]
	set("X-Sluice-Model", resp.Model)
	if resp.Target != "" {
		set("X-Sluice-Target", resp.Target)
	}
	set("X-Sluice-Strategy", resp.Strategy)
	set("X-Sluice-Attempts", itoa(len(t.Attempts())))
	if t.Task != "" {
		set("X-Sluice-Task", t.Task)
	}
	if resp.FallbackFrom != "" {
		set("X-Sluice-Fallback-From", resp.FallbackFrom)
	}
	if resp.Flags != 0 {
		set("X-Sluice-Flags", strings.Join(resp.Flags.Names(), ", "))
	}
	if resp.Degraded > 0 {
		set("X-Sluice-Degraded", itoa(resp.Degraded))
	}
	if len(t.Guards) > 0 {
		if did := guarded(t.Guards); did != "" {
			set("X-Sluice-Guard", bounded(did))
		}
	}
	if resp.VendorID != "" {
		set("X-Sluice-Vendor-Request-Id", bounded(resp.VendorID))
	}
	if !x.req.Stream && !x.asked.op.Relayed() { // of those the count may come last
		var b [24]byte
		set("X-Sluice-Cost-Usd", string(resp.Cost.Append(b[:0])))
	}
	if resp.Lossy != nil {
		if lost := resp.Lossy(); len(lost) > 0 {
			set("X-Sluice-Lossy", bounded(strings.Join(lost, ", ")))
		}
	}
	if resp.Proto != x.asked.proto {
		h["Content-Type"] = jsonType
	}
	set("Server-Timing", x.timing(time.Now()))
}

// guarded tells what guards did, but for those that found nothing.
func guarded(said []llm.Verdict) string {
	var did []string
	for i := range said {
		if s := said[i].Guard + "=" + said[i].Action; said[i].Action != llm.GuardPass && !slices.Contains(did, s) {
			did = append(did, s)
		}
	}
	return strings.Join(did, ", ")
}

var jsonType = []string{"application/json"}

var digits = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func itoa(n int) string {
	if n < len(digits) {
		return digits[n]
	}
	return strconv.Itoa(n)
}

// timing is where the time went so far, in milliseconds: gateway is all of it
// less what vendors took, one or more of them at a time, and the wait for room.
func (x *exchange) timing(now time.Time) string {
	t := x.trail
	var vendors time.Duration
	covered := t.Start
	for _, a := range t.Attempts() { // but for the one that answers and one that is kept, they have ended
		from, end := a.Span()
		if end.IsZero() {
			end = now
		}
		if from.Before(covered) {
			from = covered
		}
		if d := end.Sub(from); d > 0 {
			vendors, covered = vendors+d, end
		}
	}
	b := make([]byte, 0, 96)
	add := func(name string, d time.Duration) {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, name...), ";dur="...)
		b = strconv.AppendFloat(b, float64(max(0, d).Microseconds())/1000, 'f', -1, 64)
	}
	add("admit", t.Admitted.Sub(t.Start))
	add("route", t.Routed.Sub(t.Admitted)-t.Queued)
	add("queue", t.Queued)
	add("upstream", vendors)
	add("gateway", now.Sub(t.Start)-vendors-t.Queued)
	return string(b)
}

// writePiece is how much of a body is written under one bound: a client that
// takes it slowly makes headway, one that takes nothing does not.
const writePiece = 64 << 10

// patience lets the client take nothing for writeStall from now on.
func (x *exchange) patience() {
	at := time.Now().Add(writeStall)
	if w, ok := x.w.(interface{ SetWriteDeadline(time.Time) error }); ok { // nearly always: no controller is made
		_ = w.SetWriteDeadline(at)
		return
	}
	_ = http.NewResponseController(x.w).SetWriteDeadline(at)
}

// write writes b to a client that takes something of it every writeStall. The
// bound holds for what is still buffered when the request is over, too.
func (x *exchange) write(b []byte) error {
	for {
		x.patience()
		n := min(len(b), writePiece)
		if _, err := x.w.Write(b[:n]); err != nil || n == len(b) {
			return err
		}
		b = b[n:]
	}
}

// sender writes a stream. One timer sends keep-alives while nothing else is
// written and renews the bound of writes; the lock keeps the two apart. No
// clock is read for a chunk.
type sender struct {
	x     *exchange
	flush http.Flusher
	rc    *http.ResponseController
	timer *time.Timer

	mu      sync.Mutex
	started bool // headers are out
	wrote   bool // something since the last tick
	over    bool
}

func newSender(x *exchange) *sender {
	s := &sender{x: x, rc: http.NewResponseController(x.w)}
	s.flush, _ = x.w.(http.Flusher)
	s.mu.Lock() // tick reads the timer
	s.timer = time.AfterFunc(pingEvery, s.tick)
	s.mu.Unlock()
	return s
}

// tick says that a silent stream lives, beginning it if it has not begun.
func (s *sender) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.started {
		s.renew()
	}
	if ping := s.x.client().Ping(); !s.wrote && ping != nil && !s.x.asked.array {
		s.begin(nil)
		if s.write(ping) != nil {
			return
		}
	}
	s.wrote = false
	s.timer.Reset(pingEvery)
}

// renew gives the client time to take what is written until the next tick
// and a stall after it.
func (s *sender) renew() { _ = s.rc.SetWriteDeadline(time.Now().Add(pingEvery + writeStall)) }

// begin sends the headers, once; resp is nil when keep-alives force them out
// early.
func (s *sender) begin(resp *llm.Response) {
	if s.started {
		return
	}
	s.started = true
	s.renew()
	h := s.x.w.Header()
	if resp != nil {
		s.x.header(resp)
	} else {
		id := []string{s.x.trail.ID}
		h["X-Request-Id"], h["Request-Id"] = id, id
	}
	h["Content-Type"] = eventStream
	if s.x.asked.array {
		h["Content-Type"] = jsonType
	}
	h["Cache-Control"] = noCache
	h["X-Accel-Buffering"] = noBuffering
	s.x.w.WriteHeader(http.StatusOK)
}

var (
	eventStream = []string{"text/event-stream; charset=utf-8"}
	noCache     = []string{"no-cache"}
	noBuffering = []string{"no"}
)

// write sends b at once.
func (s *sender) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	s.wrote = true
	if _, err := s.x.w.Write(b); err != nil {
		return err
	}
	if s.flush != nil {
		s.flush.Flush()
	}
	return nil
}

// send writes a chunk of resp, after the headers if it is the first.
func (s *sender) send(resp *llm.Response, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(resp)
	if s.x.trail.First.IsZero() {
		s.x.trail.First = time.Now()
	}
	return s.write(b)
}

// fail ends the stream with e: as a whole answer while nothing was sent, else
// as the stream's last event.
func (s *sender) fail(e *llm.Error, v *voice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.x.fail(e)
		return
	}
	s.x.trail.Err = e
	if s.x.trail.Status == 0 {
		s.x.trail.Status = http.StatusOK
	}
	if e.Kind != llm.KindCanceled {
		_ = s.write(v.fail(e))
	}
}

// close ends the keep-alives.
func (s *sender) close() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.timer.Stop()
	if s.started {
		_ = s.rc.SetWriteDeadline(time.Time{})
	}
}

// stream answers in pieces.
func (x *exchange) stream() {
	out := newSender(x)
	defer out.close()
	v := &voice{x: x}
	if t, ok := x.w.(*tape); ok {
		t.turn.Private()
	}
	resp, e := x.gw.Serve(x.r.Context(), x.req, x.grant)
	if e != nil {
		out.fail(x.stopping(e), v)
		return
	}
	defer resp.Close()
	x.answered(resp, http.StatusOK)
	for first := true; ; first = false {
		chunk, err := resp.Next()
		if err != nil && err != io.EOF { // nothing else is a clean end, what wraps it least of all
			out.fail(x.stopping(llm.AsError(err)), v)
			return
		}
		var piece []byte
		if err == nil {
			piece = v.say(chunk)
		} else {
			x.lost(resp)
			if piece = v.end(); piece == nil {
				return
			}
		}
		if first { // it holds all before the first content
			if b := chunk.Raw; len(b) > 0 {
				x.remember(resp, b)
			} else {
				x.remember(resp, piece) // what is told anew has the vendor's id, too
			}
		}
		if werr := out.send(resp, piece); werr != nil {
			x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: werr}
			return
		}
		if err == io.EOF {
			return
		}
	}
}

// voice tells a streamed answer in the client's protocol and framing. Bytes
// that pass need no encoder.
type voice struct {
	x      *exchange
	enc    wire.Encoder // nil until something is translated
	buf    []byte
	unsaid []byte // what the encoder makes of bytes that pass
	begun  bool   // of an array: its bracket is out
	framed bool   // enc frames an array
	passes bool   // the last chunk passed as bytes
}

func (v *voice) encoder() wire.Encoder {
	if v.enc == nil {
		v.enc = v.x.client().Encoder(v.x.req)
		if v.x.asked.array && !v.begun {
			v.enc, v.framed = protocol.Of(v.x.asked.proto).ArrayEncoder(v.enc), true
		}
	}
	return v.enc
}

// say returns what a chunk is for the client, valid until the next call.
func (v *voice) say(c llm.Chunk) []byte {
	switch {
	case len(c.Raw) > 0:
		v.passes = true
	case c.Events != nil:
		v.passes = false
	}
	if v.passes && c.Events != nil { // so that the encoder can go on where the bytes end
		v.unsaid = v.encoder().Events(v.unsaid[:0], c.Events)
	}
	switch {
	case c.Events != nil && !v.passes:
		v.buf = v.buf[:0]
		if c.Resumed && !v.x.asked.array && v.x.client().Ping() != nil {
			v.buf = append(v.buf, ": resumed\n\n"...)
		}
		v.buf = v.encoder().Events(v.buf, c.Events)
	case v.x.asked.array:
		v.buf = protocol.Of(v.x.asked.proto).Array(v.buf[:0], c.Raw, !v.begun)
		v.begun = v.begun || len(v.buf) > 0
	default:
		return c.Raw
	}
	return v.buf
}

// end returns what follows the last chunk of a whole answer.
func (v *voice) end() []byte {
	switch {
	case v.enc != nil && !v.passes:
		return v.enc.End(v.buf[:0])
	case v.x.asked.array:
		return protocol.Of(v.x.asked.proto).ArrayEnd(v.buf[:0], !v.begun)
	}
	return nil
}

// fail returns what ends an answer that cannot be whole.
func (v *voice) fail(e *llm.Error) []byte {
	p := protocol.Of(v.x.asked.proto)
	b := v.encoder().Fail(nil, e)
	if v.begun && !v.framed { // by bytes that passed
		return p.ArrayEnd(p.Array(nil, b, false), false)
	}
	return b
}

// statusOf is the status of an answer that is e.
func statusOf(proto llm.Proto, e *llm.Error) int {
	return protocol.Of(proto).Client.Status(e)
}

// writeError writes e as the whole answer to the request id: the vendor's own body where the
// error is the caller's and the vendor speaks the client's protocol, else ours.
func writeError(w http.ResponseWriter, proto llm.Proto, id string, e *llm.Error) {
	h := w.Header()
	ids := []string{id}
	h["X-Request-Id"], h["Request-Id"] = ids, ids
	h["Content-Type"] = jsonType
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(int64((e.RetryAfter+time.Millisecond-1)/time.Millisecond), 10))
	}
	if e.Final {
		h.Set("X-Should-Retry", "false")
	}
	body := e.Raw
	if envelope := protocol.Of(proto).Envelope; body == nil || protocol.Of(e.Proto).Envelope != envelope {
		body = protocol.Of(proto).Client.AppendError(nil, id, e)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeStall))
	w.WriteHeader(statusOf(proto, e))
	_, _ = w.Write(body)
}
