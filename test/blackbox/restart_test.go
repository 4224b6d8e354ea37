//go:build unix

package blackbox

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// family is a gateway and the processes that take its place, one after the
// other. They share stderr: its end is the end of them all.
type family struct {
	*gateway
	pids []int // the last one serves
}

// serveFamily is serve of a gateway that is to be restarted.
func serveFamily(t testing.TB, yaml string, opts ...change) *family {
	t.Helper()
	return adopt(t, serve(t, yaml, opts...))
}

func adopt(t testing.TB, g *gateway) *family {
	f := &family{gateway: g, pids: []int{g.cmd.Process.Pid}}
	t.Cleanup(f.end)
	return f
}

// serving is the process id of the one that serves.
func (f *family) serving() int { return f.pids[len(f.pids)-1] }

var another = regexp.MustCompile(`"another process serves","pid":(\d+)`)

// tell sends a signal to the process that serves.
func (f *family) tell(s syscall.Signal) {
	f.t.Helper()
	if err := syscall.Kill(f.serving(), s); err != nil {
		f.t.Fatalf("sending %v: %v", s, err)
	}
}

// swap has another process take the place of the one that serves.
func (f *family) swap() {
	f.t.Helper()
	f.tell(syscall.SIGUSR2)
	eventually(f.t, "another process", func() bool {
		m := another.FindAllStringSubmatch(f.log(), -1)
		if len(m) < len(f.pids) {
			return false
		}
		pid, err := strconv.Atoi(m[len(f.pids)-1][1])
		f.pids = append(f.pids, pid)
		return err == nil
	})
}

// end stops the process that serves, and waits for all.
func (f *family) end() {
	f.t.Helper()
	client.CloseIdleConnections()
	for range 2 { // the second cuts the lame duck's second short
		select {
		case <-f.done:
		default:
			_ = syscall.Kill(f.serving(), syscall.SIGTERM)
		}
		time.Sleep(50 * time.Millisecond) // signals that come together are one
	}
	select {
	case <-f.done:
		if f.code != 0 {
			f.t.Errorf("exit code of the first process: got %d, want 0", f.code)
		}
	case <-time.After(patience):
		f.t.Errorf("the processes %v do not all end", f.pids)
		for _, pid := range f.pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// load is clients that ask all the time and keep their connections. Nothing is
// sent twice in secret: what is lost is seen.
type load struct {
	t       *testing.T
	url     string
	tls     *tls.Config
	sent    atomic.Int64
	whole   atomic.Int64
	streams atomic.Int64
	lost    atomic.Int64
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

func newLoad(t *testing.T, url string, tls *tls.Config, posts, streams int) *load {
	l := &load{t: t, url: url, tls: tls}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for i := range posts + streams {
		l.wg.Go(func() {
			tr := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true, TLSClientConfig: tls, ForceAttemptHTTP2: tls != nil}
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr}
			for ctx.Err() == nil {
				l.ask(c, i >= posts)
				pauseFor(ctx, 4*time.Millisecond)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l *load) ask(c *http.Client, stream bool) {
	n := l.sent.Add(1)
	why := func() string {
		req, err := http.NewRequest(http.MethodPost, l.url+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(`{"model":"a","stream":%v,"user":"u-%d",%s}`, stream, n, hello)))
		if err != nil {
			return err.Error()
		}
		if l.tls == nil { // HTTP/2 goes to another connection with what the last GOAWAY leaves out
			req.GetBody = nil
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := c.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return err.Error()
		case resp.StatusCode != 200:
			return fmt.Sprintf("status %d: %s", resp.StatusCode, tail(string(b), 300))
		case stream && !strings.HasSuffix(string(b), "data: [DONE]\n\n"), !stream && !json.Valid(b):
			return "not whole: " + tail(string(b), 300)
		}
		return ""
	}()
	switch {
	case why != "":
		if l.lost.Add(1) <= 3 {
			l.t.Errorf("request %d (stream %v) was lost: %s", n, stream, why)
		}
	case stream:
		l.streams.Add(1)
	default:
		l.whole.Add(1)
	}
}

// more waits until n more requests have been answered.
func (l *load) more(n int64) {
	l.t.Helper()
	n += l.whole.Load()
	eventually(l.t, "more answers", func() bool { return l.whole.Load() >= n })
}

func (l *load) end() { l.stop(); l.wg.Wait() }

// swaps is how often a family is swapped.
func swaps() int {
	if raced() {
		return 4
	}
	return 10
}

// swapped drives a family through its swaps under load and checks that nothing
// was lost, and that the ledger has all.
func swapped(t *testing.T, f *family, l *load, others int) {
	t.Helper()
	for range swaps() {
		l.more(100)
		f.swap()
	}
	l.more(100)
	l.end()
	t.Logf("%d requests and %d streams in %d swaps: %d lost", l.whole.Load(), l.streams.Load(), swaps(), l.lost.Load())
	f.end()
	if got, want := usageOf(t, f.gateway).Total.Requests, l.sent.Load()+int64(others); got != want {
		t.Errorf("requests in the ledger: got %d, want %d", got, want)
	}
}

func TestFault110ProcessSwaps(t *testing.T) {
	t.Run("journal", func(t *testing.T) {
		release := make(chan struct{})
		v := newVendor(t, func(c *call) {
			if !c.stream {
				c.whole("ok")
				return
			}
			c.begin()
			c.events(roleChunk, contentChunk("first "))
			if c.model == "long" {
				<-release
			}
			for range 20 {
				if !c.pause(25 * time.Millisecond) {
					return
				}
				c.events(contentChunk("and "))
			}
			c.events(contentChunk("last"), stopChunk, "[DONE]")
			c.end()
		})
		f := serveFamily(t, "limits: {in_flight: 4000}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m, long: a/long}\n")
		rest := begun(t, f.url, "long")
		l := newLoad(t, f.url, nil, 8, 16)
		go func() { // the longest stream outlives all swaps
			for len(another.FindAllString(f.log(), -1)) < swaps() {
				time.Sleep(10 * time.Millisecond)
				select {
				case <-v.stop:
					return
				default:
				}
			}
			close(release)
		}()
		swapped(t, f, l, 1)
		if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
			t.Errorf("the stream that the first process began: got %s, %v, want it whole", tail(got, 200), err)
		}
		calls := map[string]int{}
		for _, c := range v.journal() {
			var b struct{ User string }
			_ = json.Unmarshal(c.body, &b)
			calls[b.User]++
		}
		for user, n := range calls {
			if n != 1 {
				t.Errorf("calls for request %q: got %d, want 1", user, n)
			}
		}
		if got, want := int64(len(calls)), l.sent.Load()+1; got != want {
			t.Errorf("requests that the vendor saw: got %d, want %d", got, want)
		}
	})
	t.Run("simulator", func(t *testing.T) {
		s := simulate(t, "seed: 3\nmodels:\n  m: {latency: 5ms, tokens: 10, tokens_per_second: 400}\n")
		f := serveFamily(t, fmt.Sprintf("limits: {in_flight: 4000}\nproviders:\n  sim: {kind: openai-compatible, base_url: %q, api_key: vendor-key-0123456789}\nmodels: {a: sim/m}\n", s.url))
		swapped(t, f, newLoad(t, f.url, nil, 8, 16), 0)
	})
	t.Run("TLS", func(t *testing.T) {
		ca := newAuthority(t)
		dir := t.TempDir()
		cert, key := ca.sign("", time.Now().Add(time.Hour))
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		write(t, certFile, string(cert))
		write(t, keyFile, string(key))
		v := newVendor(t, nil)
		f := serveFamily(t, fmt.Sprintf("tls: {cert: %s, key: %s}\nlimits: {in_flight: 4000}\nproviders:\n%smodels: {a: a/m}\n", certFile, keyFile, v.provider("a", "k")))
		swapped(t, f, newLoad(t, "https://"+f.addr, &tls.Config{RootCAs: ca.pool()}, 4, 4), 0)
	})
}

// What the operator drained stays so in the process that takes over, and in the
// next.
func TestRestartKeepsDrains(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	f := serveFamily(t, "providers:\n"+v.provider("a", "k")+v.provider("b", "k")+"models: {a: [a/m, b/m]}\n")
	states := func(when, a, b string) {
		t.Helper()
		if x, y := f.target("a/m").State, f.target("b/m").State; x != a || y != b {
			t.Errorf("%s: got %s and %s, want %s and %s", when, x, y, a, b)
		}
	}
	if r := f.order("a/m", "drain"); r.status != 200 {
		t.Fatalf("draining: got %s", r)
	}
	for range 2 {
		f.swap()
		client.CloseIdleConnections()
		states("drained before the restart", "drained", "closed")
	}
	f.order("a/m", "undrain")
	f.swap()
	client.CloseIdleConnections()
	states("undrained before the restart", "closed", "closed")
}

// A binary that cannot serve changes nothing; the log says why, and the next try
// may succeed.
func TestRestartRefused(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	good := "providers:\n" + v.provider("a", "k") + "models: {a: a/m}\n"
	f := serveFamily(t, good)
	write(t, f.file, good+"bogus: 1\n")
	f.tell(syscall.SIGUSR2)
	line := f.line(`(.*restart failed.*)`)[1]
	if want := f.file + ":4:1: "; !strings.Contains(line, want) {
		t.Errorf("what the log says: got %s, want %s in it", line, want)
	}
	for range 3 { // each over a new connection
		client.CloseIdleConnections()
		if r := f.chat("a"); r.status != 200 || r.header.Get("Connection") != "" {
			t.Errorf("after a restart that failed: got %s, want 200", r)
		}
	}
	if r := f.get("/readyz"); r.status != 200 {
		t.Errorf("ready: got %d, want 200", r.status)
	}
	write(t, f.file, good)
	f.swap()
	if r := f.chat("a"); r.status != 200 {
		t.Errorf("after the restart: got %s, want 200", r)
	}
	f.end()
	if n := usageOf(t, f.gateway).Total.Requests; n != 4 {
		t.Errorf("requests in the ledger: got %d, want 4", n)
	}
}

// A restart takes new addresses into use, and leaves old ones.
func TestRestartElsewhere(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	dir := t.TempDir()
	config := func(listen, admin string) string {
		return fmt.Sprintf("listen: %s\nadmin: {key: %s, listen: %q}\nauth: none\nproviders:\n%smodels: {a: a/m}\n", listen, adminKey, admin, v.provider("a", "k"))
	}
	main1, main2, admin := freeAddress(t), freeAddress(t), freeAddress(t)
	g := &gateway{dir: dir, file: filepath.Join(dir, "sluice.yaml"), data: filepath.Join(dir, "state"), addr: main1, url: "http://" + main1}
	write(t, g.file, config(main1, admin))
	g.process = launch(t, dir, nil, "serve", "-c", g.file, "--data", g.data)
	f := adopt(t, g)
	f.line(listens)
	f.swap() // with the same addresses: both listeners go over
	gone := func(addr string) func() bool {
		return func() bool {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		}
	}
	for _, url := range []string{g.url, "http://" + admin} {
		if r := do(t, http.MethodGet, url+"/readyz", ""); r.status != 200 {
			t.Errorf("%s/readyz after the first restart: got %s", url, r)
		}
	}
	write(t, g.file, config(main2, ""))
	f.line(`"msg":"reloaded"`)
	f.swap()
	g.addr, g.url = main2, "http://"+main2
	if r := g.chat("a"); r.status != 200 {
		t.Errorf("at the new address: got %s, want 200", r)
	}
	eventually(t, "the end of the old address", gone(main1))
	eventually(t, "the end of the admin listener", gone(admin))
}

// freeAddress is one on which nothing listens.
func freeAddress(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// While one process takes the place of another the service is ready, and who
// has a connection to the old one is asked to close it.
func TestRestartReady(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	f := serveFamily(t, "providers:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	rest := begun(t, f.url, "a") // keeps the old one
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	ready := func() *http.Response {
		_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("the old connection: %v", err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	ready()
	f.swap()
	f.line(`"msg":"stopping"`)
	if resp := ready(); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("over the old connection: got %d, close %v; want 200 and a close", resp.StatusCode, resp.Close)
	}
	if r := f.get("/readyz"); r.status != 200 || r.header.Get("Connection") != "" {
		t.Errorf("over a new one: got %s, want 200 of the new process", r)
	}
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the stream of the old process: got %q, %v, want it whole", got, err)
	}
}

// What outlives the drain in a process that was replaced is told so.
func TestRestartDrainDeadline(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	f := serveFamily(t, "drain: 300ms\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	rest := begun(t, f.url, "a")
	f.swap()
	if got, _ := rest(); !strings.Contains(got, `{"error":{"message":`) || strings.Contains(got, "[DONE]") {
		t.Errorf("a stream that outlives the drain: got %q, want an error event and no [DONE]", got)
	}
	if r := f.chat("a"); r.status != 200 {
		t.Errorf("the new process: got %s, want 200", r)
	}
	f.end()
	if n := usageOf(t, f.gateway).Total.Requests; n != 2 {
		t.Errorf("requests in the ledger: got %d, want 2", n)
	}
}

// supervisor is systemd's side of sd_notify(3).
func supervisor(t *testing.T) (path string, next func() string) {
	dir, err := os.MkdirTemp("", "sd") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return path, func() string {
		t.Helper()
		b := make([]byte, 1000)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("no news of the service: %v", err)
		}
		return string(b[:n])
	}
}

// As systemd starts it: sockets that are open already, and news of the service.
func TestSystemd(t *testing.T) {
	t.Parallel()
	v := newVendor(t, nil)
	dir := t.TempDir()
	news, next := supervisor(t)
	var files []*os.File
	var addrs []string
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close()
		files, addrs = append(files, file), append(addrs, ln.Addr().String())
	}
	g := &gateway{dir: dir, file: filepath.Join(dir, "sluice.yaml"), data: filepath.Join(dir, "state"), addr: addrs[1], url: "http://" + addrs[1]}
	write(t, g.file, "listen: 192.0.2.1:1\nadmin: {key: "+adminKey+"}\nkeys: [{name: one, key: "+keyOne+"}]\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "serve", "-c", g.file, "--data", g.data)
	cmd.ExtraFiles = files
	g.process = start(t, cmd, dir, []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=admin:sluice.socket", "NOTIFY_SOCKET=" + news})
	for _, file := range files {
		_ = file.Close()
	}
	f := adopt(t, g)
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := next(); got != w {
				t.Errorf("news of the service: got %q, want %q", got, w)
			}
		}
	}
	expect("READY=1")
	both := func(when string) {
		t.Helper()
		if r := f.chat("a", bearer(keyOne)...); r.status != 200 {
			t.Errorf("%s: got %s, want 200", when, r)
		}
		if r := do(t, http.MethodGet, "http://"+addrs[0]+"/metrics", ""); r.status != 200 {
			t.Errorf("%s, the admin socket: got %s, want 200", when, r)
		}
	}
	both("at the start")
	f.tell(syscall.SIGHUP)
	expect("RELOADING=1", "READY=1")
	both("after a reload")
	f.tell(syscall.SIGUSR2)
	expect("READY=1") // of the new process
	main := next()
	pid, err := strconv.Atoi(strings.TrimPrefix(main, "MAINPID="))
	if err != nil {
		t.Fatalf("news of the service: got %q, want MAINPID", main)
	}
	f.pids = append(f.pids, pid)
	client.CloseIdleConnections()
	both("after a restart")
	f.tell(syscall.SIGTERM)
	expect("STOPPING=1")
	f.end()
	if n := usageOf(t, g).Total.Requests; n != 3 {
		t.Errorf("requests in the ledger: got %d, want 3", n)
	}
}

// thousand begins n streams and returns when each has its first word; rest
// gives what comes of each afterwards.
func thousand(t *testing.T, g *gateway, n int) (rest func() []string) {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	var begun, wg sync.WaitGroup
	out := make([]string, n)
	for i := range n {
		begun.Add(1)
		wg.Go(func() {
			told := sync.OnceFunc(begun.Done)
			defer told()
			resp, err := c.Post(g.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"a","stream":true,`+hello+`}`))
			if err != nil {
				out[i] = err.Error()
				return
			}
			defer resp.Body.Close()
			r := bufio.NewReader(resp.Body)
			for line := ""; err == nil && !strings.Contains(line, "first "); {
				line, err = r.ReadString('\n')
			}
			told()
			b, err := io.ReadAll(r)
			if out[i] = string(b); err != nil {
				out[i] += err.Error()
			}
		})
	}
	begun.Wait()
	return func() []string { wg.Wait(); return out }
}

func TestFault113Drain(t *testing.T) {
	const n = 1000
	t.Run("streams that end", func(t *testing.T) {
		v := newHeld(t)
		g := serve(t, "limits: {in_flight: 4000}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
		rest := thousand(t, g, n)
		g.signal(syscall.SIGTERM)
		eventually(t, "the closing of the listener", func() bool {
			c, err := net.DialTimeout("tcp", g.addr, time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		select {
		case <-g.done:
			t.Fatal("the gateway ended before its streams did")
		default:
		}
		close(v.release)
		for i, s := range rest() {
			if !strings.HasSuffix(s, "data: [DONE]\n\n") || !strings.Contains(s, "last") {
				t.Fatalf("stream %d: got %q, want it whole", i, s)
			}
		}
		if code := g.wait(); code != 0 {
			t.Errorf("exit code: got %d, want 0", code)
		}
		if got := usageOf(t, g).Total.Requests; got != n {
			t.Errorf("requests in the ledger: got %d, want %d", got, n)
		}
	})
	t.Run("streams that do not", func(t *testing.T) {
		v := newHeld(t)
		g := serve(t, "drain: 1s\nlimits: {in_flight: 4000}\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
		rest := thousand(t, g, n)
		g.signal(syscall.SIGTERM)
		for i, s := range rest() {
			if !strings.Contains(s, `{"error":{"message":`) || strings.Contains(s, "[DONE]") {
				t.Fatalf("stream %d: got %q, want an error event and no [DONE]", i, s)
			}
		}
		if code := g.wait(); code != 0 {
			t.Errorf("exit code: got %d, want 0", code)
		}
		if got := usageOf(t, g).Total.Requests; got != n {
			t.Errorf("requests in the ledger: got %d, want %d", got, n)
		}
		for _, c := range v.journal() {
			closed(t, "the close of the vendor's connection", c.left)
		}
	})
}

func TestFault114SecondSignal(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		v := newHeld(t)
		g := serve(t, "drain: 10m\nproviders:\n"+v.provider("a", "k")+"models: {a: a/m}\n")
		for range 20 {
			g.chat("a")
		}
		rest := thousand(t, g, 50)
		g.signal(syscall.SIGTERM)
		g.line("stopping")
		g.signal(second)
		if code := g.wait(); code != 0 { // in less than patience, against ten minutes
			t.Errorf("exit code: got %d, want 0", code)
		}
		for i, s := range rest() {
			if !strings.Contains(s, `{"error":{"message":`) || strings.Contains(s, "[DONE]") {
				t.Errorf("stream %d: got %q, want an error event and no [DONE]", i, s)
			}
		}
		if got := usageOf(t, g).Total.Requests; got != 70 {
			t.Errorf("%v, requests in the ledger: got %d, want 70", second, got)
		}
	}
}

func TestFault115Readiness(t *testing.T) {
	t.Parallel()
	v := newHeld(t)
	admin := freeAddress(t)
	g := serve(t, fmt.Sprintf("admin: {key: %s, listen: %q}\nauth: none\nproviders:\n%smodels: {a: a/m}\n", adminKey, admin, v.provider("a", "k")))
	rest := begun(t, g.url, "a")
	told := time.Now()
	g.signal(syscall.SIGTERM)
	ready, alive := 0, 0
	for {
		client.CloseIdleConnections()
		r, err := try(http.MethodGet, g.url+"/readyz", "")
		if err != nil {
			break // the listener is closed
		}
		if r.status == 503 {
			ready++
		}
		if r, err := try(http.MethodGet, g.url+"/healthz", ""); err == nil && r.status == 200 {
			alive++
		}
	}
	if open := time.Since(told); ready == 0 || alive == 0 || open < time.Second {
		t.Errorf("the listener was open for %s, %d times not ready, %d times alive; want a second at least, and both", open, ready, alive)
	}
	if r := do(t, http.MethodGet, "http://"+admin+"/healthz", ""); r.status != 200 {
		t.Errorf("alive while draining: got %s, want 200", r)
	}
	if r := do(t, http.MethodGet, "http://"+admin+"/readyz", ""); r.status != 503 {
		t.Errorf("ready while draining: got %s, want 503", r)
	}
	close(v.release)
	if got, err := rest(); err != nil || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("the running stream: got %q, %v, want it whole", got, err)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
}

// Without a network it starts, is alive, and says why models do not answer.
func TestFault116ColdStart(t *testing.T) {
	t.Parallel()
	g := serve(t, "retry: {attempts: 1}\nbreaker: {failures: 2}\ntimeouts: {connect: 1s}\nproviders:\n"+
		"  away: {kind: openai-compatible, base_url: \"https://nowhere.invalid/v1\", api_key: k}\n"+
		"  down: {kind: openai-compatible, base_url: \"http://"+freeAddress(t)+"/v1\", api_key: k}\n"+
		"models: {away: away/m, down: down/m}\n")
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := g.get(path); r.status != 200 {
			t.Errorf("%s: got %s, want 200", path, r)
		}
	}
	for _, model := range []string{"away", "down"} {
		if r := g.chat(model); r.status != 502 || r.code() != "upstream_error" || !strings.Contains(string(r.body), "message") {
			t.Errorf("%s: got %s, want 502 and why", model, r)
		}
		g.chat(model) // opens the circuit
		if r := g.chat(model); r.status != 503 || r.code() != "overloaded" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s, once that is known: got %s, want 503 and when to come again", model, r)
		}
		if x := g.target(model + "/m"); x.State != "open" || x.Reason == "" {
			t.Errorf("%s: state %q, reason %q; want open and why", model, x.State, x.Reason)
		}
	}
}

// A process that is stopped for longer than its timeouts and goes on reads first
// what came meanwhile: nobody's answer is thrown away, nobody is asked twice, no
// circuit opens.
func TestFault117Stopped(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	v := newVendor(t, func(c *call) {
		if c.model == "dead" {
			c.hang()
			return
		}
		if c.stream {
			c.begin()
			c.events(roleChunk, contentChunk("first "))
		}
		select {
		case <-stopped: // the answer waits in the socket while the process is stopped
		case <-c.v.stop:
			return
		}
		if !c.stream {
			c.whole("while it was stopped")
			return
		}
		for range 40 {
			if !c.pause(50 * time.Millisecond) {
				return
			}
			c.events(contentChunk("word "))
		}
		c.events(stopChunk, "[DONE]")
		c.end()
	})
	other := newVendor(t, nil)
	g := serve(t, "timeouts: {first_token: 2s, idle: 2s, total: 8s}\nproviders:\n"+v.provider("a", "k")+v.provider("c", "k")+other.provider("b", "k")+
		"models:\n  a: [a/m, b/m]\n  dead: {targets: [c/dead], retry: {attempts: 1}}\n")
	const n = 8
	rest := thousand(t, g, n)
	var wg sync.WaitGroup
	answers := make([]*reply, n)
	for i := range n {
		wg.Go(func() { answers[i], _ = try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"a",`+hello+`}`) })
	}
	var dead *reply
	wg.Go(func() {
		dead, _ = try(http.MethodPost, g.url+"/v1/chat/completions", `{"model":"dead","stream":true,`+hello+`}`)
	})
	v.call(2*n + 1)
	g.signal(syscall.SIGSTOP)
	close(stopped)
	time.Sleep(3500 * time.Millisecond) // longer than every timeout but total
	g.signal(syscall.SIGCONT)
	wg.Wait()
	for i, s := range rest() {
		if !strings.HasSuffix(s, "data: [DONE]\n\n") {
			t.Errorf("stream %d: got %q, want it whole", i, tail(s, 300))
		}
	}
	for i, r := range answers {
		if r == nil || r.status != 200 || !strings.Contains(string(r.body), "while it was stopped") {
			t.Errorf("answer %d: got %v, want the one that came meanwhile", i, r)
		}
	}
	if dead == nil || dead.status != 504 {
		t.Errorf("a model that really is silent: got %v, want 504", dead)
	}
	if a, b := v.count(), other.count(); a != 2*n+1 || b != 0 {
		t.Errorf("calls: got %d and %d, want %d and 0: nobody is asked again", a, b, 2*n+1)
	}
	if st := g.target("a/m"); st.State != "closed" {
		t.Errorf("the vendor that answered: %s (%s), want closed", st.State, st.Reason)
	}
	if !slices.ContainsFunc(g.status().Targets, func(x target) bool { return x.ID == "b/m" && x.InFlight == 0 }) {
		t.Error("something is still under way")
	}
	if r := g.chat("a"); r.status != 200 {
		t.Errorf("afterwards: got %s, want 200", r)
	}
}
