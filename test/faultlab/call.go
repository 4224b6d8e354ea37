package faultlab

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Call is one request in a vendor's journal, and the connection that its
// answer goes over. What it was asked does not change any more.
type Call struct {
	*Conn            // of HTTP/1.1; for HTTP/2 see Stream
	N      int       // of the request at this vendor, from 1
	At     time.Time // when it was read whole
	Method string
	Path   string // with the query; host and port of a CONNECT
	Header http.Header
	Body   []byte // of HTTP/2: as much as has come
	// Gone is closed when the gateway leaves: when the connection ends, or
	// HTTP/2's stream is reset.
	Gone <-chan struct{}
}

// Answer sends a whole answer. header is lines "Name: value"; without a
// Content-Type it is JSON.
func (c *Call) Answer(status int, body string, header ...string) {
	c.Write(head(status, append(header, fmt.Sprintf("Content-Length: %d", len(body))), "application/json") + body)
}

// Begin begins an event stream, chunked.
func (c *Call) Begin(header ...string) {
	c.Write(head(http.StatusOK, append(header, "Transfer-Encoding: chunked"), "text/event-stream"))
}

// Chunk sends s as one chunk of the body.
func (c *Call) Chunk(s string) bool {
	return s == "" || c.Write(fmt.Sprintf("%x\r\n%s\r\n", len(s), s))
}

// Finish ends a chunked body.
func (c *Call) Finish() { c.Write("0\r\n\r\n") }

// head is a status line with a header; kind is its content type if it names
// none.
func head(status int, header []string, kind string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d X\r\n", status)
	for _, l := range header {
		if strings.HasPrefix(strings.ToLower(l), "content-type:") {
			kind = ""
		}
		b.WriteString(l + "\r\n")
	}
	if kind != "" {
		b.WriteString("Content-Type: " + kind + "\r\n")
	}
	return b.String() + "\r\n"
}
