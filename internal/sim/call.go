package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// call is one request on its way. Its fields belong to the handler's
// goroutine, except rec, which is guarded by Server.mu.
type call struct {
	s          *Server
	dialect    *dialect
	w          http.ResponseWriter
	r          *http.Request
	rc         *http.ResponseController
	credential string
	start      time.Time

	// Set by admit.
	model   *model
	set     Model
	fault   *Fault // nil unless it strikes this call
	draw    draw
	number  uint64
	first   time.Time // when the first token is due
	limited bool      // by RPM
	ration  ration

	rec     *Call
	outcome Outcome
	stream  bool
	status  int
	in, out int64
	events  int // content events sent
	cached  int
	// What the journal tells: tokens, and seals that came back.
	input, output, reasoning, seals int
	moody                           MoodKind // of the last answer

	struck bool // a fault amid the content did its work
	// wrap, where it is not nil, puts an error's body into an answer's frame.
	wrap func(body []byte) []byte
	// broken, where it is not nil, makes the error event of a stream.
	broken func() []byte
}

// handle makes a handler of an operation whose body names the model. The
// operation runs when the model is known, the call admitted and the body read.
func (s *Server) handle(d *dialect, op func(c *call, body []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.serve(d, w, r, func(c *call) {
			from := c.source()
			name, rest, err := readModel(from)
			c.in = from.bytes
			if err != nil {
				c.unreadable(from)
				return
			}
			c.run(name, from, rest, op)
		})
	}
}

// serve begins a call, sees who calls, and ends the call after do.
func (s *Server) serve(d *dialect, w http.ResponseWriter, r *http.Request, do func(c *call)) {
	c := &call{s: s, dialect: d, w: w, r: r, rc: http.NewResponseController(w), credential: d.credential(r), start: time.Now()}
	c.open()
	defer c.close()
	if c.authorised() {
		do(c)
	}
}

func (c *call) source() *source {
	return &source{Reader: http.MaxBytesReader(c.w, c.r.Body, maxBody)}
}

// run admits a call of a model, reads what is left of its body and runs the
// operation. rest is the whole body, from what remains of it.
func (c *call) run(name string, from *source, rest io.Reader, op func(c *call, body []byte)) {
	if !c.admit(name) {
		return
	}
	if c.is(FaultRefuse) {
		c.reset()
		return
	}
	body, err := io.ReadAll(rest)
	c.in = from.bytes
	if err != nil {
		c.unreadable(from)
		return
	}
	if c.s.conf.OnRequest != nil {
		c.s.conf.OnRequest(c.r, body)
	}
	if c.early() {
		op(c, body)
	}
}

// source is a request body that remembers how far it was read and what went
// wrong; io.EOF did not.
type source struct {
	io.Reader
	bytes int64
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.bytes += int64(n)
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

// readModel reads no more of a request than its top-level model name needs.
// rest is the whole request.
func readModel(r io.Reader) (name string, rest io.Reader, err error) {
	var head bytes.Buffer
	dec := json.NewDecoder(io.TeeReader(r, &head))
	if t, err := dec.Token(); err != nil {
		return "", nil, err
	} else if t != json.Delim('{') {
		return "", nil, errors.New("the body is no JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", nil, err
		}
		if key == "model" {
			if err := dec.Decode(&name); err != nil {
				return "", nil, err
			}
			break
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return "", nil, err
		}
	}
	return name, io.MultiReader(&head, r), nil
}

// open enters the call in the journal.
func (c *call) open() {
	id := fmt.Sprintf("req_%016x", mix(uint64(c.start.UnixNano())^hash(c.r.RemoteAddr)))
	last := c.credential[max(0, len(c.credential)-4):]
	if len(c.credential) < 8 { // too short to show half of it
		last = ""
	}
	c.rec = &Call{ID: id, Path: clip(c.r.URL.Path, maxName), Credential: last, Start: c.start}
	if c.dialect.id != "" {
		c.w.Header().Set(c.dialect.id, id)
	}
	c.s.mu.Lock()
	c.s.journal.add(c.rec)
	c.s.mu.Unlock()
}

// close settles the call, also while an abort unwinds it.
func (c *call) close() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	r := c.rec
	r.Stream, r.Status, r.Outcome, r.End = c.stream, c.status, c.outcome, time.Now()
	r.BytesIn, r.Bytes, r.Events = c.in, c.out, c.events
	r.Input, r.Output, r.Reasoning, r.Cached, r.Seals, r.Mood = c.input, c.output, c.reasoning, c.cached, c.seals, c.moody
	if c.model == nil {
		return
	}
	n := &c.model.counters
	n.InFlight--
	switch c.outcome {
	case OutcomeOK:
	case OutcomeCanceled:
		n.Canceled++
	case OutcomeLimited:
		n.Limited++
		n.Errors++
	default:
		n.Errors++
	}
}

func (c *call) authorised() bool {
	if len(c.s.keys) == 0 || c.s.keys[c.credential] {
		return true
	}
	c.fail(OutcomeInvalid, c.dialect.refuses(c.credential))
	return false
}

// admit finds the model, counts the call and draws its luck; false: the call
// is over.
func (c *call) admit(name string) bool {
	if name == "" {
		p := c.dialect.says(http.StatusBadRequest, "")
		p.param, p.message = "model", c.dialect.noModel
		c.fail(OutcomeInvalid, p)
		return false
	}
	c.s.mu.Lock()
	m, ok := c.s.find(name)
	if !ok {
		c.s.mu.Unlock()
		c.fail(OutcomeInvalid, c.dialect.says(http.StatusNotFound, clip(name, maxName)))
		return false
	}
	m.counters.Calls++
	m.counters.InFlight++
	c.model, c.set, c.number = m, m.set, m.counters.Calls
	c.rec.Model, c.rec.Number = name, c.number
	c.draw = newDraw(c.s.conf.Seed, name, c.number)
	c.first = c.start.Add(c.scaled(c.draw.latency(&c.set)))
	ration := m.limits.take(c.credential, m.set.RPM, time.Now())
	if ration.retry == 0 {
		c.fault = m.strike(c.draw)
	}
	if c.fault != nil {
		c.rec.Fault = c.fault.Kind
	}
	c.s.mu.Unlock()
	if ration.limit > 0 {
		c.dialect.limits(ration, c.w.Header())
	}
	c.ration = ration
	c.limited = ration.retry > 0
	return true
}

// strike returns the fault if it hits this draw. A fault that has struck its
// Count is healed. The caller holds Server.mu.
func (m *model) strike(d draw) *Fault {
	f := m.set.Fault
	if f == nil || f.Share > 0 && d.fault >= f.Share {
		return nil
	}
	if f.Count > 0 {
		left := *f
		left.Count--
		m.set.Fault = &left
		if left.Count == 0 {
			m.set.Fault = nil
		}
	}
	return f
}

func (c *call) is(k FaultKind) bool { return c.fault != nil && c.fault.Kind == k }

// unreadable answers a request that is not JSON, or whose body did not come.
func (c *call) unreadable(from *source) {
	var big *http.MaxBytesError
	switch {
	case errors.As(from.err, &big):
		c.fail(OutcomeInvalid, c.dialect.says(http.StatusRequestEntityTooLarge, ""))
	case from.err != nil:
		c.outcome = OutcomeCanceled
	default:
		p := c.dialect.says(http.StatusBadRequest, "")
		p.message = c.dialect.notJSON
		c.fail(OutcomeInvalid, p)
	}
}

// early refuses what the model's limit forbids and carries out the faults
// that come before an answer; false: the call is over.
func (c *call) early() bool {
	if c.limited {
		p := c.dialect.says(http.StatusTooManyRequests, c.set.Name)
		p.retry = c.ration.retry
		c.fail(OutcomeLimited, p)
		return false
	}
	if c.fault == nil {
		return true
	}
	switch c.fault.Kind {
	case FaultReset:
		c.reset()
	case FaultHang:
		c.hang()
	case FaultHTML:
		c.outcome = OutcomeFault
		c.send(http.StatusOK, "text/html; charset=utf-8", []byte("<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>\n"))
	case FaultStatus:
		for k, v := range c.fault.Headers {
			c.w.Header().Set(k, v)
		}
		p := c.dialect.says(c.fault.Status, c.set.Name)
		p.retry = retryOf(c.w.Header())
		c.fail(OutcomeFault, p)
	default:
		return true
	}
	return false
}

// think waits for the first token and then fails if the draw says so; false:
// the call is over.
func (c *call) think() bool {
	if !c.until(c.first) {
		return false
	}
	if c.draw.failure >= c.set.Errors {
		return true
	}
	status := c.set.ErrorStatus
	if status == 0 {
		status = http.StatusInternalServerError
	}
	c.fail(OutcomeError, c.dialect.says(status, c.set.Name))
	return false
}

// scaled divides a simulated duration by the configured speed.
func (c *call) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.s.conf.Speed)
}

// until waits; false: the client left, or the Server was closed, and the
// call is over.
func (c *call) until(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return c.alive()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
	case <-c.s.done:
	}
	return c.alive()
}

func (c *call) alive() bool {
	if c.r.Context().Err() != nil {
		c.outcome = OutcomeCanceled
		return false
	}
	select {
	case <-c.s.done:
		c.outcome = OutcomeClosed
		panic(http.ErrAbortHandler)
	default:
		return true
	}
}

// hang waits until the client leaves or the Server is closed.
func (c *call) hang() {
	select {
	case <-c.r.Context().Done():
	case <-c.s.done:
	}
	c.alive()
}

// reset breaks the connection with a TCP reset; over HTTP/2, where it
// carries other calls too, it resets the stream.
func (c *call) reset() {
	c.outcome = OutcomeFault
	conn, _, err := c.rc.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn() // below TLS, which would say goodbye
	}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetLinger(0) // it fails on closed connections only, and then there is nothing to reset
	}
	conn.Close()
}

func (c *call) fail(o Outcome, p problem) {
	c.outcome = o
	body := c.dialect.body(&p, c.rec.ID)
	if c.wrap != nil {
		body = c.wrap(body)
	}
	c.send(p.status, "application/json", body)
}

// send sends a whole answer at once.
func (c *call) send(status int, kind string, body []byte) {
	c.begin(status, kind, len(body))
	c.write(body)
}

// begin sends the header; length -1: unknown.
func (c *call) begin(status int, kind string, length int) {
	h := c.w.Header()
	h.Set("Content-Type", kind)
	if length >= 0 {
		h.Set("Content-Length", strconv.Itoa(length))
	}
	if c.dialect.timing != "" {
		h.Set(c.dialect.timing, strconv.FormatInt(time.Since(c.start).Milliseconds(), 10))
	}
	c.status = status
	c.w.WriteHeader(status)
}

// write sends b now; false: the client left, and the call is over.
func (c *call) write(b []byte) bool {
	if c.is(FaultSlowBody) {
		return c.drip(b)
	}
	n, err := c.w.Write(b)
	c.out += int64(n)
	if err == nil {
		err = c.rc.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.outcome = OutcomeCanceled
		return false
	}
	return true
}

// drip sends b one byte at a time.
func (c *call) drip(b []byte) bool {
	every := c.fault.Every
	if every == 0 {
		every = 10 * time.Millisecond
	}
	every = c.scaled(every)
	next := time.Now()
	for i := range b {
		if next = next.Add(every); !c.until(next) {
			return false
		}
		n, err := c.w.Write(b[i : i+1])
		c.out += int64(n)
		if err == nil {
			err = c.rc.Flush()
		}
		if err != nil {
			c.outcome = OutcomeCanceled
			return false
		}
	}
	return true
}
