package server

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/wire/openai"
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

// header writes the headers of an answer. Keys are in canonical form.
func (x *exchange) header(resp *llm.Response) {
	h := x.w.Header()
	n := 0
	var space = make([]string, 10)
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
	t := x.trail
	set("X-Request-Id", t.ID)
	h["Request-Id"] = h["X-Request-Id"]
	set("X-Sluice-Model", resp.Model)
	set("X-Sluice-Target", resp.Target)
	set("X-Sluice-Strategy", resp.Strategy)
	set("X-Sluice-Attempts", itoa(len(t.Attempts())))
	if resp.FallbackFrom != "" {
		set("X-Sluice-Fallback-From", resp.FallbackFrom)
	}
	if resp.VendorID != "" {
		set("X-Sluice-Vendor-Request-Id", bounded(resp.VendorID))
	}
	if !x.req.Stream {
		var b [24]byte
		set("X-Sluice-Cost-Usd", string(resp.Cost.Append(b[:0])))
	}
	set("Server-Timing", x.timing(time.Now()))
}

var digits = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func itoa(n int) string {
	if n < len(digits) {
		return digits[n]
	}
	return strconv.Itoa(n)
}

// timing is where the time went so far, in milliseconds: gateway is all of it
// less what vendors took.
func (x *exchange) timing(now time.Time) string {
	t := x.trail
	var vendors time.Duration
	for _, a := range t.Attempts() {
		end := a.End
		if end.IsZero() {
			end = now
		}
		vendors += end.Sub(a.Start)
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
	add("route", t.Routed.Sub(t.Admitted))
	add("queue", 0)
	add("upstream", vendors)
	add("gateway", now.Sub(t.Start)-vendors)
	return string(b)
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
	s.timer = time.AfterFunc(pingEvery, s.tick)
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
	if !s.wrote {
		s.begin(nil)
		if s.write(openai.Ping) != nil {
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
func (s *sender) fail(e *llm.Error) {
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
		_ = s.write(openai.AppendFailure(nil, e))
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

// stream answers with an event stream.
func (x *exchange) stream(grant *tenant.Grant) {
	out := newSender(x)
	defer out.close()
	resp, e := x.gw.Serve(x.r.Context(), x.req, grant)
	if e != nil {
		out.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	x.answered(resp, http.StatusOK)
	for {
		chunk, err := resp.Next()
		if err == io.EOF { // nothing else is a clean end, what wraps it least of all
			return
		}
		if err != nil {
			out.fail(x.stopping(llm.AsError(err)))
			return
		}
		if err := out.send(resp, chunk.Raw); err != nil {
			x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: err}
			return
		}
	}
}
