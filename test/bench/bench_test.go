//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// serveMock runs a mock on a free port until the test ends.
func serveMock(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		newMock().serve(ln)
		close(done)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func TestMockAnswers(t *testing.T) {
	addr := serveMock(t)
	for _, c := range columns {
		t.Run(c.name, func(t *testing.T) {
			s := c.script
			s.Gap = 0
			if _, err := tell(addr, s); err != nil {
				t.Fatal(err)
			}
			cl := newClient(addr, mockBuffer)
			defer cl.close()
			req := c.request(addr, mockKey)
			for i := range 3 {
				if err := cl.ask(req, time.Now().Add(patience), c.chunks); err != nil {
					t.Fatalf("request %d: %v", i+1, err)
				}
			}
			if c.chunks > 0 && (cl.w.chunks != c.chunks || !cl.w.done) {
				t.Errorf("got %d chunks, done %v; want %d and done", cl.w.chunks, cl.w.done, c.chunks)
			}
			if got, err := tally(addr); err != nil || got != (counts{Calls: 3}) {
				t.Errorf("got counts %+v, error %v; want 3 calls", got, err)
			}
		})
	}
}

func TestMockRefuses(t *testing.T) {
	addr := serveMock(t)
	for _, tt := range []struct {
		name string
		req  string
		want statusError
	}{
		{"wrong key", string(ask{bytes: 200}.request(addr, "sk-other")), "401"},
		{"unknown path", "GET /v1/models HTTP/1.1\r\nHost: mock\r\n\r\n", "404"},
		{"bad script", "GET /control?delay=x HTTP/1.1\r\nHost: mock\r\n\r\n", "400"},
		{"chunked body", "POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(addr, mockBuffer)
			var got statusError
			err := c.ask([]byte(tt.req), time.Now().Add(patience), 0)
			if !errors.As(err, &got) || got != tt.want {
				t.Errorf("got %v, want status %s", err, tt.want)
			}
		})
	}
}

func TestMockHoldsStreams(t *testing.T) {
	addr := serveMock(t)
	if _, err := tell(addr, script{Chunks: 64, Body: 600, Hold: true}); err != nil {
		t.Fatal(err)
	}
	c := newClient(addr, mockBuffer)
	if err := c.hold(ask{chunks: 64}.request(addr, mockKey), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if c.w.chunks != 1 || c.w.done {
		t.Errorf("got %d chunks, done %v; want 1 and not done", c.w.chunks, c.w.done)
	}
	c.close()
}

func TestUsageOnlyWhenAsked(t *testing.T) {
	addr := serveMock(t)
	for _, tt := range []struct {
		body string
		want int
	}{
		{`{"stream":true,"stream_options":{"include_usage":true}}`, 1},
		{`{"stream":true}`, 0},
	} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		head := "POST / HTTP/1.1\r\nAuthorization: Bearer " + mockKey + "\r\nContent-Length: "
		if _, err := nc.Write([]byte(head + strconv.Itoa(len(tt.body)) + "\r\n\r\n" + tt.body)); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		sc := bufio.NewScanner(nc)
		for sc.Scan() && sc.Text() != "0" {
			all.WriteString(sc.Text() + "\n")
		}
		nc.Close()
		if got := strings.Count(all.String(), `"choices":[],"usage":`); got != tt.want {
			t.Errorf("%s: got %d usage chunks, want %d", tt.body, got, tt.want)
		}
	}
}

// TestWatchSplits feeds one stream cut at every byte.
func TestWatchSplits(t *testing.T) {
	stamped := strings.Replace(chunkLead+chunkText+"0000000000000000"+chunkTail, "0000000000000000", "00000000000003e8", 1)
	later := strings.Replace(stamped, "00000000000003e8", "00000000000007d0", 1)
	text := []byte(stamped + "\n\n" + later + "\n\n" + chunkLead + lastText + "\n\n" + chunkLead + usageText + "\n\ndata: [DONE]\n\n")
	at := time.Unix(0, 5000)
	for cut := range text {
		var w watch
		w.feed(text[:cut], at)
		w.feed(text[cut:], at)
		if w.chunks != 2 || !w.done || !w.first.Equal(at) || len(w.stretch) != 1 || w.stretch[0] != -1000 {
			t.Fatalf("cut at %d: got %d chunks, done %v, stretch %v; want 2, true, [-1µs]", cut, w.chunks, w.done, w.stretch)
		}
	}
}

func TestRequestSizes(t *testing.T) {
	for _, a := range []ask{{bytes: 200}, {bytes: 20 << 10}, {bytes: 300, chunks: 64}} {
		_, body, ok := bytes.Cut(a.request("h", "k"), []byte("\r\n\r\n"))
		if !ok || len(body) != a.bytes {
			t.Errorf("%+v: got a body of %d bytes", a, len(body))
		}
	}
	for _, n := range []int{600, 10 << 10} {
		_, body, ok := bytes.Cut(render(script{Body: n}).unary, []byte("\r\n\r\n"))
		if !ok || len(body) != n {
			t.Errorf("script of %d: got a body of %d bytes", n, len(body))
		}
	}
}

func TestScriptTravels(t *testing.T) {
	want := script{Delay: time.Millisecond, Gap: 20 * time.Millisecond, Chunks: 2, Body: 600, Hold: true, Fault: mixed, Each: 50}
	q, err := url.ParseQuery(want.query())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseScript(q); err != nil || got != want {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
}

func TestNumbers(t *testing.T) {
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three: got %v, want 2", got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median of four: got %v, want 2.5", got)
	}
	v := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 6, 0.99: 10, 1: 10} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t0 := time.Unix(1000, 0)
	shotOf := func(at, end float64, err error) shot {
		s := func(v float64) time.Time { return t0.Add(time.Duration(v * float64(time.Second))) }
		return shot{s(at), s(end), err}
	}
	bad := errors.New("gone")
	a := judge([]shot{
		shotOf(0, 0.1, nil),   // first second: not counted
		shotOf(2, 2.1, nil),   // before
		shotOf(3, 3.1, bad),   // early error
		shotOf(4.9, 5.1, nil), // under way at the loss
		shotOf(5, 7, bad),
		shotOf(6, 6.5, bad),
		shotOf(7, 7.1, nil),
	}, t0.Add(5*time.Second))
	if a.early != 1 || a.errors != 2 || a.requests != 4 || a.due != 3 || len(a.before) != 1 || len(a.after) != 2 {
		t.Errorf("got %+v", a)
	}
	if a.last != 2*time.Second || a.lastSent != 0 {
		t.Errorf("got last %v sent %v, want 2s sent 0s", a.last, a.lastSent)
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args string
		ok   bool
	}{
		{"-rounds 5 -only cpu,streams -seconds 1", true},
		{"-self", true},
		{"-rounds 0", false},
		{"-only cpus", false},
		{"-self -gateway x", false},
		{"-seconds 0.1", false},
		{"extra", false},
	} {
		if _, err := parseFlags(strings.Fields(tt.args)); (err == nil) != tt.ok {
			t.Errorf("%s: got error %v, want ok %v", tt.args, err, tt.ok)
		}
	}
}

func TestConfig(t *testing.T) {
	got := string(configFile("127.0.0.1:1", "d", []string{"127.0.0.1:2", "127.0.0.1:3"}))
	want := `listen: 127.0.0.1:1
store: sqlite:d/ledger.db
providers:
  a: {kind: openai-compatible, base_url: http://127.0.0.1:2/v1, api_key: sk-mock}
  b: {kind: openai-compatible, base_url: http://127.0.0.1:3/v1, api_key: sk-mock}
models:
  gpt-4o-mini: {targets: [{target: a/gpt-4o-mini, price: {input: 0.15, output: 0.6}}, {target: b/gpt-4o-mini, price: {input: 0.15, output: 0.6}}], strategy: ordered}
keys:
  - {name: bench, key: sk-bench-0001}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
