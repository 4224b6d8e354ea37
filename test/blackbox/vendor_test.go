package blackbox

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// vendor is a scripted vendor on a raw socket with a journal: what it was
// asked is what the gateway really sent.
type vendor struct {
	t      testing.TB
	ln     net.Listener
	script func(*call)
	stop   chan struct{}
	conns  sync.WaitGroup

	mu    sync.Mutex
	calls []*call
	open  map[net.Conn]bool
}

// call is one request in a vendor's journal.
type call struct {
	n      int // from 1
	at     time.Time
	method string
	path   string
	header http.Header
	body   []byte
	model  string
	stream bool

	v      *vendor
	conn   net.Conn
	peer   string        // its connection
	left   chan struct{} // closed when the gateway closed the connection
	closes bool          // the connection ends with this answer
}

// newVendor starts a vendor that answers each call by script; nil: whole
// answers that say its name.
func newVendor(t testing.TB, script func(*call)) *vendor {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return vendorOn(t, ln, script)
}

// newTLSVendor is newVendor behind TLS.
func newTLSVendor(t testing.TB, cfg *tls.Config, script func(*call)) *vendor {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return vendorOn(t, ln, script)
}

func vendorOn(t testing.TB, ln net.Listener, script func(*call)) *vendor {
	if script == nil {
		script = func(c *call) { c.whole("ok") }
	}
	v := &vendor{t: t, ln: ln, script: script, stop: make(chan struct{}), open: map[net.Conn]bool{}}
	go v.accept()
	t.Cleanup(v.close)
	return v
}

func (v *vendor) addr() string { return v.ln.Addr().String() }

// provider is the configuration's entry for the vendor.
func (v *vendor) provider(name, key string) string {
	return fmt.Sprintf("  %s: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: %s}\n", name, v.addr(), key)
}

func (v *vendor) close() {
	v.mu.Lock()
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	_ = v.ln.Close()
	for c := range v.open {
		_ = c.Close()
	}
	v.mu.Unlock()
	v.conns.Wait()
}

// journal returns the calls so far.
func (v *vendor) journal() []*call {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*call(nil), v.calls...)
}

func (v *vendor) count() int { return len(v.journal()) }

// call waits for the n-th call, from 1.
func (v *vendor) call(n int) *call {
	v.t.Helper()
	eventually(v.t, fmt.Sprintf("call %d to the vendor", n), func() bool { return v.count() >= n })
	return v.journal()[n-1]
}

func (v *vendor) accept() {
	for {
		conn, err := v.ln.Accept()
		if err != nil {
			return
		}
		v.mu.Lock()
		select {
		case <-v.stop:
			v.mu.Unlock()
			_ = conn.Close()
			return
		default:
		}
		v.open[conn] = true
		v.conns.Add(1)
		v.mu.Unlock()
		go v.serve(conn)
	}
}

func (v *vendor) serve(conn net.Conn) {
	defer v.conns.Done()
	defer func() {
		_ = conn.Close()
		v.mu.Lock()
		delete(v.open, conn)
		v.mu.Unlock()
	}()
	br := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		c := &call{
			v: v, conn: conn, peer: conn.RemoteAddr().String(), at: time.Now(), method: r.Method, path: r.URL.RequestURI(),
			header: r.Header, body: body, left: make(chan struct{}),
		}
		var asked struct {
			Model  string
			Stream bool
		}
		_ = json.Unmarshal(body, &asked)
		c.model, c.stream = asked.Model, asked.Stream
		v.mu.Lock()
		v.calls = append(v.calls, c)
		c.n = len(v.calls)
		v.mu.Unlock()
		next := make(chan bool, 1)
		go func() { // sees the gateway leave while the script runs
			_, err := br.Peek(1)
			if err != nil {
				close(c.left)
			}
			next <- err == nil
		}()
		v.script(c)
		if c.closes {
			_ = conn.Close()
		}
		if !<-next {
			return
		}
	}
}

func (c *call) write(s string) { _, _ = io.WriteString(c.conn, s) }

// answer sends a whole answer; header is lines "Name: value".
func (c *call) answer(status int, body string, header ...string) {
	h := ""
	kind := "Content-Type: application/json\r\n"
	for _, l := range header {
		h += l + "\r\n"
		if strings.HasPrefix(strings.ToLower(l), "content-type:") {
			kind = ""
		}
	}
	c.write(fmt.Sprintf("HTTP/1.1 %d X\r\n%s%sContent-Length: %d\r\n\r\n%s", status, kind, h, len(body), body))
}

// completion is a whole unary answer.
func completion(text string) string {
	return `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"vendor-model","choices":[{"index":0,"message":{"role":"assistant","content":"` + text +
		`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`
}

func chunk(delta, finish string) string {
	return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"vendor-model","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
}

const usageChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"vendor-model","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`

var (
	roleChunk = chunk(`{"role":"assistant","content":""}`, "null")
	stopChunk = chunk(`{}`, `"stop"`)
)

func contentChunk(s string) string { return chunk(`{"content":"`+s+`"}`, "null") }

// whole answers whatever was asked, in the form that was asked for.
func (c *call) whole(text string) {
	if !c.stream {
		c.answer(200, completion(text))
		return
	}
	c.begin()
	c.events(roleChunk)
	for _, w := range strings.SplitAfter(text, " ") {
		c.events(contentChunk(w))
	}
	c.events(stopChunk, usageChunk, "[DONE]")
	c.end()
}

// begin sends the header of an event stream, chunked.
func (c *call) begin(header ...string) {
	h := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
	for _, l := range header {
		h += l + "\r\n"
	}
	c.write(h + "\r\n")
}

// raw sends bytes as one chunk of the body.
func (c *call) raw(s string) {
	if s != "" {
		c.write(fmt.Sprintf("%x\r\n%s\r\n", len(s), s))
	}
}

// events sends data events, each a chunk.
func (c *call) events(data ...string) {
	for _, d := range data {
		c.raw("data: " + d + "\n\n")
	}
}

// end ends a chunked body.
func (c *call) end() { c.write("0\r\n\r\n") }

// hang waits until the gateway leaves or the vendor stops.
func (c *call) hang() {
	select {
	case <-c.left:
	case <-c.v.stop:
	}
	c.closes = true
}

// pause waits for d; false: the gateway left.
func (c *call) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.left:
	case <-c.v.stop:
	}
	c.closes = true
	return false
}

// cut closes the connection.
func (c *call) cut() { c.closes = true }

// reset breaks the connection with a TCP reset.
func (c *call) reset() {
	conn := c.conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
	c.closes = true
}
