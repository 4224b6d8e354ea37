package blackbox

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/test/faultlab"
)

// vendor is a faultlab.Upstream that speaks OpenAI's protocol; what its
// journal says it was asked is what the gateway really sent.
type vendor struct {
	*faultlab.Upstream
	t      testing.TB
	script func(*call)
	stop   <-chan struct{} // closed when it stops
}

// call is one request in a vendor's journal.
type call struct {
	*faultlab.Call
	n      int // from 1
	at     time.Time
	method string
	path   string
	header http.Header
	body   []byte
	model  string
	stream bool

	v    *vendor
	peer string          // its connection
	left <-chan struct{} // closed when the connection ends
}

// newVendor starts a vendor that answers each call by script; nil: whole
// answers that say its name.
func newVendor(t testing.TB, script func(*call)) *vendor {
	t.Helper()
	return vendorOf(t, faultlab.Config{}, script)
}

// newTLSVendor is newVendor behind TLS.
func newTLSVendor(t testing.TB, cfg *tls.Config, script func(*call)) *vendor {
	t.Helper()
	return vendorOf(t, faultlab.Config{TLS: cfg}, script)
}

// vendorOf is newVendor with all that a vendor can be told.
func vendorOf(t testing.TB, cfg faultlab.Config, script func(*call)) *vendor {
	t.Helper()
	if script == nil {
		script = func(c *call) { c.whole("ok") }
	}
	v := &vendor{t: t, script: script}
	cfg.Serve = func(c *faultlab.Call) { v.script(v.read(c)) }
	var err error
	if v.Upstream, err = faultlab.Start(cfg); err != nil {
		t.Fatal(err)
	}
	v.stop = v.Stopped()
	t.Cleanup(v.Close)
	return v
}

// read reads what a call asked for.
func (v *vendor) read(c *faultlab.Call) *call {
	var asked struct {
		Model  string
		Stream bool
	}
	_ = json.Unmarshal(c.Body, &asked)
	return &call{
		Call: c, n: c.N, at: c.At, method: c.Method, path: c.Path, header: c.Header, body: c.Body, model: asked.Model, stream: asked.Stream,
		v: v, peer: c.Peer, left: c.Gone,
	}
}

func (v *vendor) addr() string { return v.Addr() }

// provider is the configuration's entry for the vendor.
func (v *vendor) provider(name, key string) string {
	return fmt.Sprintf("  %s: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: %s}\n", name, v.addr(), key)
}

func (v *vendor) close() { v.Close() }

// journal returns the calls so far.
func (v *vendor) journal() (all []*call) {
	for _, c := range v.Calls() {
		all = append(all, v.read(c))
	}
	return all
}

func (v *vendor) count() int { return len(v.Calls()) }

// call waits for the n-th call, from 1.
func (v *vendor) call(n int) *call {
	v.t.Helper()
	eventually(v.t, fmt.Sprintf("call %d to the vendor", n), func() bool { return v.count() >= n })
	return v.read(v.Calls()[n-1])
}

// ended waits for the end of the connection of the n-th call, and checks that
// it was the gateway's.
func (v *vendor) ended(n int) {
	v.t.Helper()
	c := v.call(n)
	closed(v.t, "the end of the vendor's connection", c.left)
	eventually(v.t, "how the connection ended", func() bool { how, _ := c.End(); return how != faultlab.Open })
	if how, _ := c.End(); how == faultlab.Script {
		v.t.Errorf("the connection of call %d was ended by the vendor, want by the gateway", n)
	}
}

func (c *call) write(s string) { c.Write(s) }

// answer sends a whole answer; header is lines "Name: value".
func (c *call) answer(status int, body string, header ...string) {
	c.Answer(status, body, header...)
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
func (c *call) begin(header ...string) { c.Begin(header...) }

// raw sends bytes as one chunk of the body.
func (c *call) raw(s string) { c.Chunk(s) }

// events sends data events, each a chunk.
func (c *call) events(data ...string) {
	for _, d := range data {
		c.raw("data: " + d + "\n\n")
	}
}

// end ends a chunked body.
func (c *call) end() { c.Finish() }

// hang waits until the gateway leaves or the vendor stops.
func (c *call) hang() { c.Hang() }

// pause waits for d; false: the gateway left.
func (c *call) pause(d time.Duration) bool { return c.Sleep(d) }

// cut closes the connection.
func (c *call) cut() { c.Cut() }

// reset breaks the connection with a TCP reset.
func (c *call) reset() { c.Reset() }
