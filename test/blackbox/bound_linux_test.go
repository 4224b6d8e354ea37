package blackbox

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What the bounds of clients and of the process do to the real binary: bytes that
// crossed, the vendor's journal and the memory in /proc decide.

// 83: what is made to be hard to read is refused, or passed on as it is where it
// is the vendor's to judge.
func TestFault83HardJSON(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	digits := strings.Repeat("9", 5<<20)
	var keys strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&keys, `"k%d":0,`, i)
	}
	deep := strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)
	for name, body := range map[string]string{
		"too deep":              `{"model":"a","x":` + deep + `,` + hello + `}`,
		"deep and never closed": `{"model":"a","x":` + strings.Repeat("[", 1<<20),
		"deep in messages":      `{"model":"a","messages":` + deep + `}`,
		"a million keys":        `{"model":"a",` + keys.String() + hello + `}`,
		"a model of digits":     `{"model":` + digits + `,` + hello + `}`,
		"a stream of digits":    `{"model":"a","stream":` + digits + `,` + hello + `}`,
		"model twice":           `{"model":"a","model":"b",` + hello + `}`,
		"stream twice":          `{"model":"a","stream":false,` + hello + `,"stream":true}`,
		"model in capitals":     `{"model":"a","Model":"b",` + hello + `}`,
	} {
		if r := g.post("/v1/chat/completions", body); r.status != 400 {
			t.Errorf("%s: got %s, want 400", name, r)
		}
	}
	if n := v.count(); n != 0 {
		t.Errorf("the vendor was asked %d times", n)
	}
	schema := strings.Repeat(`{"type":"object","properties":{"p":`, 200) + `{}` + strings.Repeat(`}}`, 200) // 400 levels, as tools' schemas nest
	for name, more := range map[string]string{"a deep schema": schema, "the vendor's long number": digits} {
		n := v.count()
		if r := g.post("/v1/chat/completions", `{"model":"a","x":`+more+`,`+hello+`}`); r.status != 200 || v.count() != n+1 || !bytes.Contains(v.call(n+1).body, []byte(more)) {
			t.Errorf("%s: got %s, want it to pass", name, tail(r.String(), 300))
		}
	}
}

// 81, 82: a body that is too large is refused one read past the limit, one that
// would grow is not opened, and neither connection is used again.
func TestFault81Bodies(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g := serve(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	before := peakRSS(g.process)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	for name, x := range map[string]struct {
		head   string
		piece  []byte
		pieces int
		status string
	}{
		"too large, chunked":    {"Transfer-Encoding: chunked\r\n", append(append([]byte("100000\r\n"), zeros...), "\r\n"...), 200, "413"},
		"too large by its word": {"Content-Length: 34603008\r\n", zeros, 33, "413"},
		"a bomb":                {fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", bomb.Len()), bomb.Bytes(), 1, "400"},
		"chunks that are none":  {"Transfer-Encoding: chunked\r\n", []byte("zz\r\n"), 1, "400"},
	} {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		wrote := 0
		if _, err = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"+x.head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		for range x.pieces {
			n, err := conn.Write(x.piece)
			if wrote += n; err != nil {
				break
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		b, err := io.ReadAll(conn)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Errorf("%s: the connection is still open", name)
		}
		if !strings.HasPrefix(string(b), "HTTP/1.1 "+x.status) || !strings.Contains(string(b), "Connection: close") {
			t.Errorf("%s: got %q, %v, want %s", name, tail(string(b), 300), err, x.status)
		}
		if wrote > 100<<20 { // the limit, and what the kernels hold of 200 MiB
			t.Errorf("%s: %d MiB were taken", name, wrote>>20)
		}
		_ = conn.Close()
	}
	if n := v.count(); n != 0 {
		t.Errorf("the vendor was asked %d times", n)
	}
	if grown := peakRSS(g.process) - before; grown > 64<<20 && !raced() {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

// 77: between a vendor that sends as fast as it can and a client that has stopped
// to read lie no more than 256 KiB, kernel buffers included; another stream is
// not held up.
func TestFault77SlowReader(t *testing.T) {
	t.Parallel()
	const most = 256 << 10
	event := "data: " + contentChunk(strings.Repeat("x", 1<<10)) + "\n\n"
	fast := newFlood(t, event)
	v := newVendor(t, nil)
	g := serve(t, "timeouts: {idle: 60s}\nproviders:\n"+v.provider("a", "k")+
		fmt.Sprintf("  fast: {kind: openai-compatible, base_url: \"http://%s/v1\", api_key: k}\n", fast.ln.Addr())+"models: {fast: fast/m, quiet: a/m}\n")
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10) // nor is what waits at the client
	body := `{"model":"fast","stream":true,` + hello + `}`
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	const quick = 16 << 20 // at first: the kernel lets buffers grow for who is quick
	if _, err := io.CopyN(io.Discard, resp.Body, quick); err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	eventually(t, "the end of the vendor's sending", func() bool {
		time.Sleep(200 * time.Millisecond)
		now := fast.sent.Load()
		same := now == last
		last = now
		return same
	})
	// What both ends hold themselves: Linux doubles what it is told, and takes a
	// segment whole where there is room for its first byte.
	const ends = 2*(4<<10) + 2*(64<<10) + 64<<10
	if held := last - quick; held > most+ends {
		t.Errorf("%d KiB lie between the two, want at most %d", held>>10, (most+ends)>>10)
	} else {
		t.Logf("%d KiB lie between the two", held>>10)
	}
	if r := g.stream("quiet"); text(datas(r.body)) != "ok" {
		t.Errorf("another stream: %s", r)
	}
	_ = conn.Close()
	closed(t, "the end of the vendor's call", fast.left)
}

// flood is a vendor of one call that sends an event as often as it is taken, of
// which its own kernel holds little.
type flood struct {
	ln   net.Listener
	sent atomic.Int64 // bytes of events that were taken
	left chan struct{}
}

func newFlood(t *testing.T, event string) *flood {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flood{ln: ln, left: make(chan struct{})}
	go func() {
		defer close(f.left)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			_, err = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(event), event)
			f.sent.Add(int64(len(event)))
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-f.left })
	return f
}

// 73: when what lives comes near the memory limit, large bodies find no room;
// small requests and running streams do.
func TestFault73Memory(t *testing.T) {
	t.Parallel()
	if raced() {
		t.Skip("the race detector's memory is not the gateway's")
	}
	v := newHeld(t)
	hang := newVendor(t, (*call).hang)
	g := serve(t, "timeouts: {idle: 60s, total: 60s}\nbreaker: {failures: 0, success_rate: 0}\nproviders:\n"+v.provider("a", "k")+hang.provider("h", "k")+
		"models: {a: a/m, h: h/m}\n", withEnv("GOMEMLIMIT=192MiB"))
	rest := begun(t, g.url, "a")
	big := `{"model":"h","messages":[{"role":"user","content":"` + strings.Repeat("x", 7<<20) + `"}]}`
	refused := make(chan *reply, 64)
	var open atomic.Int64
	for i := range 40 { // 280 MiB, if all were let in
		open.Add(1)
		go func() {
			r, err := try(http.MethodPost, g.url+"/v1/chat/completions", big)
			if err != nil {
				r = &reply{err: err}
			}
			refused <- r
			open.Add(-1)
		}()
		eventually(t, "the request's way", func() bool {
			return hang.count() > i || len(refused) > 0
		})
		time.Sleep(200 * time.Millisecond) // two samples, so that it is the next that finds no room
		if len(refused) > 0 {
			break
		}
	}
	select {
	case r := <-refused:
		if r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" {
			t.Errorf("a large body: got %s, want 503 overloaded", r)
		}
	default:
		t.Errorf("280 MiB of bodies were let in")
	}
	if n := hang.count(); n < 3 {
		t.Errorf("%d large bodies were let in, want some", n)
	}
	if r := g.chat("a"); r.status != 200 {
		t.Errorf("a small request: got %s", r)
	}
	if m := string(g.get("/metrics").body); !strings.Contains(m, `sluice_limited_total{reason="shed"} 1`) {
		t.Errorf("not counted as shed:\n%s", around(m+" sluice_limited_total", "sluice_limited_total"))
	}
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the running stream: got %q, %v, want it whole", got, err)
	}
	hang.close()
	eventually(t, "the end of what hung", func() bool { return open.Load() == 0 })
	eventually(t, "room for a large body", func() bool {
		return g.post("/v1/chat/completions", strings.Replace(big, `"h"`, `"a"`, 1)).status == 200
	})
}

// 71: room is kept from batch work, and the last of it for what is critical.
func TestFault71Priorities(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	g := serve(t, `limits: {in_flight: 20}
providers:
`+v.provider("a", "k")+`models: {a: a/m}
keys:
  - {name: low, key: key-of-low, priority: batch}
  - {name: plain, key: key-of-plain}
  - {name: high, key: key-of-high, priority: critical}
`)
	n := 0
	fill := func(key string, most int) {
		t.Helper()
		for ; n < most; n++ {
			begunWith(t, g.url, key)
		}
		for range 2 {
			if r := g.chat("a", bearer(key)...); r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" {
				t.Errorf("%s with %d under way: got %s, want 503 overloaded", key, n, r)
			}
		}
	}
	for ; n < 4; n++ { // so that no key alone has more than its share
		begunWith(t, g.url, "key-of-high")
	}
	fill("key-of-low", 16)
	fill("key-of-plain", 19)
	fill("key-of-high", 20)
	if n := len(v.journal()); n != 20 {
		t.Errorf("the vendor was asked %d times, want 20", n)
	}
	close(v.release)
}

// begunWith is begun with a key; the stream is left open.
func begunWith(t *testing.T, url, key string) {
	t.Helper()
	resp := send(t, "POST", url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"a","stream":true,`+hello+`}`), bearer(key)...)
	if resp.StatusCode != 200 {
		t.Fatalf("a stream of %s: status %d", key, resp.StatusCode)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
}

// client2 is a client of HTTP/2 that may do what none does.
type client2 struct {
	*http2.Framer
	conn net.Conn
	buf  bytes.Buffer
	enc  *hpack.Encoder
	ends chan error // the connection's end, and why
	// answers has one for each header that came, as far as there is room.
	answers chan uint32
	whole   chan uint32 // streams whose answer came to its end
	resets  chan uint32 // streams that the gateway reset
}

// attack opens a connection of HTTP/2 whose frames are read and forgotten.
func attack(t *testing.T, addr string, cfg *tls.Config) *client2 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &client2{Framer: http2.NewFramer(conn, conn), conn: conn, ends: make(chan error, 1), answers: make(chan uint32, 1000), whole: make(chan uint32, 1000), resets: make(chan uint32, 1000)}
	c.enc = hpack.NewEncoder(&c.buf)
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			f, err := c.ReadFrame()
			if err != nil {
				c.ends <- err
				return
			}
			switch f := f.(type) {
			case *http2.GoAwayFrame:
				if f.ErrCode != http2.ErrCodeNo {
					_, _ = io.Copy(io.Discard, conn)
					c.ends <- fmt.Errorf("GOAWAY %v", f.ErrCode)
					return
				}
			case *http2.HeadersFrame:
				note(c.answers, f.StreamID)
			case *http2.DataFrame:
				if f.StreamEnded() {
					note(c.whole, f.StreamID)
				}
			case *http2.RSTStreamFrame:
				note(c.resets, f.StreamID)
			}
		}
	}()
	return c
}

// note adds to a journal, as far as there is room.
func note(journal chan uint32, id uint32) {
	select {
	case journal <- id:
	default:
	}
}

// ask encodes the header of a chat request.
func (c *client2) ask(more ...hpack.HeaderField) []byte {
	c.buf.Reset()
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: "/v1/chat/completions"},
	}, more...) {
		_ = c.enc.WriteField(f)
	}
	return c.buf.Bytes()
}

// secure is a gateway behind TLS, and what its clients need.
func secure(t *testing.T, v *vendor, opts ...change) (*gateway, *tls.Config) {
	t.Helper()
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := ca.sign("", time.Now().Add(time.Hour))
	write(t, keyFile, string(key))
	write(t, certFile, string(cert))
	g := serve(t, fmt.Sprintf("tls: {cert: %s, key: %s}\nproviders:\n", certFile, keyFile)+v.provider("a", "k")+"models: {a: a/m}\n", opts...)
	return g, &tls.Config{RootCAs: ca.pool(), NextProtos: []string{"h2"}}
}

// 77 in HTTP/2: an answer for which its client opens no window is given up after
// 30 s, unary and streamed; another on the same connection comes meanwhile.
func TestFault77Window(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	g, cfg := secure(t, v)
	c := attack(t, g.addr, cfg)
	if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	ask := func(id uint32, stream bool) {
		t.Helper()
		body := fmt.Sprintf(`{"model":"a","stream":%v,%s}`, stream, hello)
		err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.ask(), EndHeaders: true})
		if err == nil {
			err = c.WriteData(id, true, []byte(body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, journal chan uint32, want ...uint32) {
		t.Helper()
		for range want {
			select {
			case id := <-journal:
				if !slices.Contains(want, id) {
					t.Errorf("%s of stream %d", what, id)
				}
			case err := <-c.ends:
				t.Fatalf("the connection ended: %v", err)
			case <-time.After(40*time.Second + patience): // 30 s, or 40 in a stream
				t.Fatalf("no %s", what)
			}
		}
	}
	ask(1, false)
	ask(3, true)
	ask(5, true)
	await("header", c.answers, 1, 3, 5)
	if err := c.WriteWindowUpdate(5, 1<<20); err != nil {
		t.Fatal(err)
	}
	await("whole answer", c.whole, 5)
	await("reset", c.resets, 1, 3)
	if n := len(c.whole); n > 0 {
		t.Errorf("%d further answers are whole", n)
	}
}

// 80: streams that are reset at once and headers that never end end their
// connection; headers that unfold are refused. All cost little.
func TestFault80HTTP2(t *testing.T) {
	t.Parallel()
	v := newVendor(t, (*call).hang)
	g, cfg := secure(t, v, withEnv("GOMEMLIMIT=64MiB")) // so that what waits to be collected does not hide what is held
	before := peakRSS(g.process)
	body := []byte(`{"model":"a",` + hello + `}`)
	for name, do := range map[string]func(c *client2) error{
		"rapid reset": func(c *client2) error {
			for id := uint32(1); id < 200_000; id += 2 {
				if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.ask(), EndHeaders: true}); err != nil {
					return err
				}
				if err := c.WriteData(id, true, body); err != nil {
					return err
				}
				if err := c.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		},
		"headers that never end": func(c *client2) error {
			if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.ask()}); err != nil {
				return err
			}
			for i := range 100_000 {
				c.buf.Reset()
				_ = c.enc.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: strings.Repeat("v", 1000), Sensitive: true})
				if err := c.WriteContinuation(1, false, c.buf.Bytes()); err != nil {
					return err
				}
			}
			return nil
		},
		"headers that unfold": func(c *client2) error { // a byte each for 4,000
			fold := hpack.HeaderField{Name: "x-fold", Value: strings.Repeat("v", 4000)}
			for id := uint32(1); id < 400; id += 2 { // 8 GB in all
				many := make([]hpack.HeaderField, 10_000)
				for i := range many {
					many[i] = fold
				}
				if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.ask(many...), EndHeaders: true, EndStream: true}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := attack(t, g.addr, cfg)
			_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
			err := do(c)
			if name == "headers that unfold" { // each is refused by itself, and nothing of it kept
				if err != nil {
					t.Error(err)
				}
				for range 200 {
					select {
					case <-c.answers:
					case why := <-c.ends:
						t.Fatalf("the connection ended: %v", why)
					case <-time.After(patience):
						t.Fatal("no answer")
					}
				}
				return
			}
			select {
			case why := <-c.ends:
				t.Logf("the connection ended: %v", why)
			case <-time.After(patience):
				if err == nil || name != "rapid reset" { // which a slow machine meets by reading slowly
					t.Error("the connection goes on")
				}
			}
		})
	}
	if grown := peakRSS(g.process) - before; grown > 64<<20 && !raced() {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	if n := v.count(); n > 2000 {
		t.Errorf("the vendor was asked %d times by streams that were reset at once", n)
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + g.addr + "/healthz")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("afterwards: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}
