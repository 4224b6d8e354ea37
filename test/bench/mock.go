//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mockKey     = "sk-mock"
	mockBody    = 64 << 10 // largest request body the mock takes, bytes
	mockBuffer  = 4 << 10  // per connection: small, as thousands may be held
	mockControl = "/control"
	endless     = 1 << 20 // chunks: as fast as they are taken
)

// A script is how the mock answers until the next one is set.
type script struct {
	Delay  time.Duration // before an answer begins
	Gap    time.Duration // between content chunks
	Chunks int           // content chunks of a stream; from endless on: without an end or a gap
	Body   int           // bytes of a unary body
	Hold   bool          // streams stop after their first chunk, until the caller hangs up or the next script is set
	Fault  string        // one of faults, or mixed; empty: none
	Each   int           // the n-th of so many calls, drawn at random, meets the fault; 1: every one
}

// faults are the ways in which a call can go wrong.
var faults = []string{"500", "429", "reset", "hang", "page", "error", "cut", "stall"}

// mixed draws among faults, each as often as Each says of one.
const mixed = "mixed"

func (s script) query() string {
	return url.Values{
		"delay": {s.Delay.String()}, "gap": {s.Gap.String()}, "chunks": {strconv.Itoa(s.Chunks)},
		"body": {strconv.Itoa(s.Body)}, "hold": {strconv.FormatBool(s.Hold)},
		"fault": {s.Fault}, "each": {strconv.Itoa(s.Each)},
	}.Encode()
}

func parseScript(q url.Values) (script, error) {
	var s script
	var errs [6]error
	s.Delay, errs[0] = time.ParseDuration(q.Get("delay"))
	s.Gap, errs[1] = time.ParseDuration(q.Get("gap"))
	s.Chunks, errs[2] = strconv.Atoi(q.Get("chunks"))
	s.Body, errs[3] = strconv.Atoi(q.Get("body"))
	s.Hold, errs[4] = strconv.ParseBool(q.Get("hold"))
	s.Each, errs[5] = strconv.Atoi(q.Get("each"))
	if s.Fault = q.Get("fault"); s.Fault != "" && s.Fault != mixed && !slices.Contains(faults, s.Fault) {
		return s, fmt.Errorf("no fault %q", s.Fault)
	}
	return s, errors.Join(errs[:]...)
}

// counts is what the mock saw since it was last asked.
type counts struct {
	Calls        int64 `json:"calls"`        // POSTs whose body was read
	Unauthorized int64 `json:"unauthorized"` // of those, without the mock's key
	Left         int64 `json:"left"`         // streams whose caller hung up before the end
}

// rendered is a script as bytes ready to be sent.
type rendered struct {
	script
	unary  []byte
	lead   []byte // head of a stream and its first content chunk
	chunk  []byte
	stamps [2]int // where the clock reading goes, in lead and in chunk
	finish []byte // finish reason
	usage  []byte
	end    []byte        // [DONE] and the end of the body
	over   chan struct{} // closed when another script is set
}

const (
	chunkLead = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o-mini","choices":`
	chunkText = `[{"index":0,"delta":{"content":"`
	chunkTail = `"},"logprobs":null,"finish_reason":null}]}`
	lastText  = `[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`
	usageText = `[],"usage":{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104}}`
	unaryLead = `{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"`
	unaryTail = `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":120,"total_tokens":160}}`
)

func render(s script) *rendered {
	r := &rendered{script: s, over: make(chan struct{})}
	body := unaryLead + filler(s.Body-len(unaryLead)-len(unaryTail)) + unaryTail
	r.unary = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	event := func(text string) []byte { return frameOf(chunkLead + text + "\n\n") }
	blank := string(bytes.Repeat([]byte{'0'}, stampLen))
	r.chunk = event(chunkText + blank + chunkTail)
	r.lead = append(bytes.Clone(streamHead), r.chunk...)
	for i, b := range [][]byte{r.lead, r.chunk} {
		r.stamps[i] = bytes.Index(b, contentMark) + len(contentMark)
	}
	r.finish = event(lastText)
	r.usage = event(usageText)
	r.end = append(frameOf("data: [DONE]\n\n"), "0\r\n\r\n"...)
	return r
}

var streamHead = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n")

func frameOf(s string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(s), s) }

// A mock is an OpenAI-compatible vendor that costs next to nothing: it looks
// only at what it needs and answers with prebuilt bytes.
type mock struct {
	now                       atomic.Pointer[rendered]
	calls, unauthorized, left atomic.Int64
	bodies                    sync.Pool // *[mockBody]byte, in use while a body is read
}

func newMock() *mock {
	m := &mock{bodies: sync.Pool{New: func() any { return new([mockBody]byte) }}}
	m.now.Store(render(script{Chunks: 64, Body: 600}))
	return m
}

// mockMain is the sub-mode `mock ADDR`. It ends by signal.
func mockMain(addr string) error {
	debug.SetGCPercent(400)
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return newMock().serve(ln)
}

// serve answers until ln is closed.
func (m *mock) serve(ln net.Listener) error {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer nc.Close()
			rd := &reader{src: nc, buf: make([]byte, mockBuffer)}
			for m.one(nc, rd) == nil {
			}
		}()
	}
}

// call is the head of a request.
type call struct {
	post    bool
	path    string // of anything but a POST
	allowed bool
	length  int // of the body; -1 when it comes in chunks
}

func readCall(rd *reader) (call, error) {
	var c call
	line, err := rd.line()
	if err != nil {
		return c, err
	}
	method, rest, _ := bytes.Cut(line, []byte{' '})
	path, _, _ := bytes.Cut(rest, []byte{' '})
	if c.post = string(method) == "POST"; !c.post {
		c.path = string(path)
	}
	for {
		if line, err = rd.line(); err != nil {
			return c, err
		}
		if len(line) == 0 {
			return c, nil
		}
		if v, ok := field(line, "content-length"); ok {
			if c.length, err = strconv.Atoi(string(v)); err != nil {
				return c, err
			}
		} else if _, ok := field(line, "transfer-encoding"); ok {
			c.length = -1
		} else if v, ok := field(line, "authorization"); ok {
			c.allowed = string(v) == "Bearer "+mockKey
		}
	}
}

// one serves one request. An error ends the connection.
func (m *mock) one(nc net.Conn, rd *reader) error {
	c, err := readCall(rd)
	if err != nil {
		return err
	}
	if !c.post {
		return m.control(nc, c.path)
	}
	if c.length < 0 || c.length > mockBody {
		reply(nc, "411 Length Required", `{"error":{"message":"the mock wants a Content-Length of at most 64 KiB"}}`)
		return errors.New("body without usable length")
	}
	stream, usage, err := m.body(rd, c.length)
	if err != nil {
		return err
	}
	m.calls.Add(1)
	if !c.allowed {
		m.unauthorized.Add(1)
		return reply(nc, "401 Unauthorized", `{"error":{"message":"wrong key","type":"invalid_request_error","code":"invalid_api_key"}}`)
	}
	now := m.now.Load()
	if now.Delay > 0 {
		time.Sleep(now.Delay)
	}
	if fault := now.draw(); fault != "" {
		return now.fail(nc, fault, stream)
	}
	if !stream {
		_, err = nc.Write(now.unary)
		return err
	}
	if err = now.stream(nc, usage); err != nil {
		m.left.Add(1)
	}
	return err
}

// body reads n bytes and says what they ask for.
func (m *mock) body(rd *reader, n int) (stream, usage bool, err error) {
	room := m.bodies.Get().(*[mockBody]byte)
	defer m.bodies.Put(room)
	b := room[:0]
	if err = rd.each(n, func(p []byte) { b = append(b, p...) }); err != nil {
		return false, false, err
	}
	stream = bytes.Contains(b, []byte(`"stream":true`))
	return stream, stream && bytes.Contains(b, []byte(`"include_usage":true`)), nil
}

func (r *rendered) stream(nc net.Conn, usage bool) error {
	if err := sendStamped(nc, bytes.Clone(r.lead), r.stamps[0]); err != nil {
		return err
	}
	if r.Hold {
		if err := r.hold(nc); err != nil {
			return err
		}
		_, err := nc.Write(append(bytes.Clone(r.finish), r.end...))
		return cmp.Or(err, io.EOF) // the vendor closes, too
	}
	if r.Chunks >= endless {
		return r.pour(nc)
	}
	chunk, next := bytes.Clone(r.chunk), time.Now()
	for range r.Chunks - 1 {
		if r.Gap > 0 {
			next = next.Add(r.Gap)
			time.Sleep(time.Until(next))
		}
		if err := sendStamped(nc, chunk, r.stamps[1]); err != nil {
			return err
		}
	}
	last := bytes.Clone(r.finish)
	if usage {
		last = append(last, r.usage...)
	}
	_, err := nc.Write(append(last, r.end...))
	return err
}

// pour sends chunks as fast as they are taken until the caller hangs up.
// Little is under way in the kernel, so that it is the caller who holds them.
func (r *rendered) pour(nc net.Conn) error {
	if tcp, ok := nc.(*net.TCPConn); ok {
		tcp.SetWriteBuffer(mockBuffer)
	}
	b := bytes.Repeat(r.chunk, 16)
	for {
		if _, err := nc.Write(b); err != nil {
			return err
		}
	}
}

// hold waits for the next script; an error says that the caller hung up.
func (r *rendered) hold(nc net.Conn) error {
	left := make(chan error, 1)
	go func() {
		var b [1]byte
		_, err := nc.Read(b[:])
		left <- err
	}()
	select {
	case err := <-left:
		return err
	case <-r.over:
		nc.SetReadDeadline(time.Now())
		if err := <-left; !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nc.SetReadDeadline(time.Time{})
	}
}

// draw says which fault the next call meets, if any.
func (s script) draw() string {
	switch {
	case s.Fault == "" || s.Each < 1:
		return ""
	case s.Fault != mixed:
		if rand.IntN(s.Each) == 0 {
			return s.Fault
		}
	default:
		if n := rand.IntN(s.Each); n < len(faults) {
			return faults[n]
		}
	}
	return ""
}

// fail meets a call with a fault. An error ends the connection.
func (r *rendered) fail(nc net.Conn, fault string, stream bool) error {
	const told = `{"error":{"message":"the mock fails as it was told","type":"server_error","code":null}}`
	switch fault {
	case "500":
		return reply(nc, "500 Internal Server Error", told)
	case "429":
		_, err := fmt.Fprintf(nc, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After-Ms: 20\r\nContent-Length: %d\r\n\r\n%s", len(told), told)
		return err
	case "page":
		const page = "<html>Sign in</html>"
		_, err := fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
		return err
	case "error":
		if !stream {
			return reply(nc, "200 OK", told)
		}
		_, err := nc.Write(append(append(bytes.Clone(streamHead), frameOf("data: "+told+"\n\n")...), "0\r\n\r\n"...))
		return err
	case "hang":
		return r.silent(nc)
	case "cut", "stall":
		half := r.unary[:len(r.unary)-10]
		if stream {
			half = r.lead
		}
		if _, err := nc.Write(half); err != nil || fault == "cut" {
			return cmp.Or(err, io.EOF)
		}
		return r.silent(nc)
	}
	if tcp, ok := nc.(*net.TCPConn); ok { // reset
		tcp.SetLinger(0)
	}
	return io.EOF
}

// silent waits until the caller hangs up.
func (r *rendered) silent(nc net.Conn) error {
	var b [1]byte
	_, err := nc.Read(b[:])
	return cmp.Or(err, io.EOF)
}

func sendStamped(nc net.Conn, b []byte, at int) error {
	const digits = "0123456789abcdef"
	v := time.Now().UnixNano()
	for i := stampLen - 1; i >= 0; i-- {
		b[at+i] = digits[v&15]
		v >>= 4
	}
	_, err := nc.Write(b)
	return err
}

// control sets the script when the query holds one, answers the counts and
// resets them.
func (m *mock) control(nc net.Conn, path string) error {
	u, err := url.Parse(path)
	if err != nil || u.Path != mockControl {
		return reply(nc, "404 Not Found", `{"error":{"message":"not here"}}`)
	}
	if u.RawQuery != "" {
		s, err := parseScript(u.Query())
		if err != nil {
			return reply(nc, "400 Bad Request", `{"error":{"message":"bad script"}}`)
		}
		close(m.now.Swap(render(s)).over)
	}
	b, err := json.Marshal(counts{m.calls.Swap(0), m.unauthorized.Swap(0), m.left.Swap(0)})
	if err != nil {
		return err
	}
	return reply(nc, "200 OK", string(b))
}

func reply(nc net.Conn, status, body string) error {
	_, err := fmt.Fprintf(nc, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	return err
}

var controlClient = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// tell sets the script of the mock at addr and returns what it counted since
// it was last told.
func tell(addr string, s script) (counts, error) { return consult(addr, "?"+s.query()) }

// tally returns what the mock at addr counted since it was last asked.
func tally(addr string) (counts, error) { return consult(addr, "") }

func consult(addr, query string) (counts, error) {
	var c counts
	resp, err := controlClient.Get("http://" + addr + mockControl + query)
	if err != nil {
		return c, fmt.Errorf("mock control: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c, fmt.Errorf("mock control: %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil {
		return c, fmt.Errorf("mock control: %w", err)
	}
	return c, nil
}
