package blackbox

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/test/faultlab"
)

// The numbers are those of the project's fault catalogue. A is the first
// target of model "m", B the second; model "a" has A alone.

// quick are limits that make faults visible soon; a binary with the race
// detector gets more time, so that only vendors that are silent seem so.
var quick = func() string {
	if raced() {
		quickConnect, quickIdle = 1500*time.Millisecond, 3*time.Second
		return "timeouts: {connect: 1500ms, first_token: 4s, idle: 3s, total: 16s, stream: 60s}\n"
	}
	quickConnect, quickIdle = 300*time.Millisecond, 400*time.Millisecond
	return "timeouts: {connect: 300ms, first_token: 600ms, idle: 400ms, total: 2400ms, stream: 20s}\n"
}()

// quickConnect and quickIdle are those of quick.
var quickConnect, quickIdle time.Duration

// pair is a gateway in front of two vendors.
type pair struct {
	*gateway
	a, b *vendor
}

func newPair(t *testing.T, a func(*call), extra string) *pair {
	t.Helper()
	return newPairOf(t, faultlab.Config{}, a, extra)
}

// newPairOf is newPair with all that A can be told.
func newPairOf(t *testing.T, cfg faultlab.Config, a func(*call), extra string) *pair {
	t.Helper()
	t.Parallel()
	p := &pair{a: vendorOf(t, cfg, a), b: newVendor(t, func(c *call) { c.whole("from B") })}
	p.gateway = serve(t, pairConfig(p.a.provider("a", "key-of-a"), p.b.provider("b", "key-of-b"), extra))
	return p
}

func pairConfig(a, b, extra string) string {
	if !strings.Contains(extra, "timeouts:") {
		extra = quick + extra
	}
	return extra + "providers:\n" + a + b + "models:\n  m: [a/vendor-m, b/vendor-m]\n  a: a/vendor-m\n"
}

// fromB checks that B answered whole, once, and nothing of A is seen.
func (p *pair) fromB(t *testing.T, r *reply, calls int) {
	t.Helper()
	got := string(r.body)
	if events := datas(r.body); len(events) > 0 {
		got = text(events)
		if last := events[len(events)-1]; last != "[DONE]" {
			t.Errorf("last event: got %s, want [DONE]", last)
		}
	}
	if r.status != 200 || !strings.Contains(got, "from B") || strings.Contains(string(r.body), "from A") {
		t.Errorf("answer: got %s, want B's, whole", r)
	}
	if x := r.header.Get("X-Sluice-Target"); x != "b/vendor-m" {
		t.Errorf("x-sluice-target: got %q, want b/vendor-m", x)
	}
	if n := p.a.count(); n != calls {
		t.Errorf("calls to A: got %d, want %d", n, calls)
	}
	if n := p.b.count(); n != 1 {
		t.Errorf("calls to B: got %d, want 1", n)
	}
	if x := r.header.Get("X-Sluice-Attempts"); x != "2" {
		t.Errorf("x-sluice-attempts: got %q, want 2", x)
	}
}

// broken checks that a stream ended with one error event, as its last, and
// without [DONE].
func broken(t *testing.T, r *reply, wantText string) {
	t.Helper()
	events := datas(r.body)
	if r.status != 200 || len(events) == 0 {
		t.Fatalf("answer: got %s, want a stream that ends with an error event", r)
	}
	if got := text(events); got != wantText {
		t.Errorf("content before the error: got %q, want %q", got, wantText)
	}
	errors := 0
	for _, e := range events {
		if e == "[DONE]" {
			t.Errorf("[DONE] in a broken stream: %s", r)
		}
		if strings.HasPrefix(e, `{"error":{"message":`) {
			errors++
		}
	}
	if errors != 1 || !strings.HasPrefix(events[len(events)-1], `{"error"`) {
		t.Errorf("error events: got %d, want 1, the last: %s", errors, r)
	}
	if r.err != nil {
		t.Errorf("end of the body: got %v, want a clean end after the error event", r.err)
	}
}

// ways runs a test with a unary and with a streamed request; both are parallel.
func ways(t *testing.T, f func(t *testing.T, ask func(p *pair, model string) *reply)) {
	t.Parallel()
	t.Run("unary", func(t *testing.T) {
		f(t, func(p *pair, model string) *reply { return p.chat(model) })
	})
	t.Run("streamed", func(t *testing.T) {
		f(t, func(p *pair, model string) *reply { return p.stream(model) })
	})
}

// follow asks model for a stream and calls then once text has come.
func (g *gateway) follow(model, text string, then func()) *reply {
	g.t.Helper()
	resp, err := client.Post(g.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"`+model+`","stream":true,`+hello+`}`))
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	b := make([]byte, 4096)
	for waits := true; r.err == nil; {
		var n int
		n, r.err = resp.Body.Read(b)
		r.body = append(r.body, b[:n]...)
		if waits && strings.Contains(string(r.body), text) {
			waits = false
			then()
		}
	}
	if r.err == io.EOF {
		r.err = nil
	}
	return r
}

// calm is for tests in which one target fails many times.
const calm = "breaker: {failures: 0, success_rate: 0}\n"

// atRow is the header of a request that tells a vendor which row of a table it
// is in; row reads it.
func atRow(n int) []string { return []string{"X-Test-Row", strconv.Itoa(n)} }

func row(c *call) int {
	n, _ := strconv.Atoi(c.header.Get("X-Test-Row"))
	return n
}

// outcomes are how the attempts of a request ended, in order.
func outcomes(r record) (all []string) {
	for _, a := range r.Attempts {
		all = append(all, a.Outcome)
	}
	return all
}

// held are the process's goroutines and open files, as its metrics tell.
func (g *gateway) held() (goroutines, files int) {
	g.t.Helper()
	text := string(g.get("/metrics").body)
	read := func(name string) int {
		m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
		if m == nil {
			g.t.Fatalf("no %s in the metrics", name)
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			g.t.Fatal(err)
		}
		return int(v)
	}
	return read("go_goroutines"), read("process_open_fds")
}

// settles waits until the process holds no more than before, but for what the
// test's own connections take.
func (g *gateway) settles(goroutines, files int) {
	g.t.Helper()
	var n, m int
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if n, m = g.held(); n <= goroutines+5 && m <= files+5 {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("held after the fault: %d goroutines and %d files, before it %d and %d", n, m, goroutines, files)
		}
	}
}

// peakRSS is the process's largest resident set in bytes, 0 where it cannot be
// read.
func peakRSS(p *process) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscanf(rest, "%d kB", &kib)
	return kib << 10
}

// A vendor that says it counted is believed; what it is asked is seen in its
// journal.
func TestUsageIsAskedFor(t *testing.T) {
	p := newPair(t, nil, "")
	r := p.stream("m")
	if got, want := string(p.a.call(1).body), `"stream_options":{"include_usage":true}`; !strings.Contains(got, want) {
		t.Errorf("body to the vendor: got %s, want %s in it", got, want)
	}
	if strings.Contains(string(r.body), `"usage"`) {
		t.Errorf("the client did not ask for usage: %s", r)
	}
	if u := p.record(r.id()).Usage; u.Input != 5 || u.Output != 7 || u.Estimated {
		t.Errorf("usage: got %+v, want the vendor's 5 and 7", u)
	}
	with := p.post("/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},`+hello+`}`)
	if n := strings.Count(string(with.body), `"choices":[],"usage"`); n != 1 {
		t.Errorf("usage events for a client that asked: got %d, want 1", n)
	}
}

// blackhole returns an address that accepts no connection and refuses none:
// its backlog is full. at is an address of the loopback with a port, which may
// be 0.
func blackhole(t *testing.T, at string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("a full accept queue is made in Linux's way")
	}
	addr := fullBacklog(t, netip.MustParseAddrPort(at))
	for range 4 { // fill the queue; those that do not fit stay in the handshake
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	if c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond); err == nil {
		_ = c.Close()
		t.Skip("this kernel still accepts with a full queue")
	}
	return addr
}

// secure is the configuration's entry for a vendor behind TLS that an
// authority has signed.
func (v *vendor) secure(name, key, roots string) string {
	return fmt.Sprintf("  %s: {kind: openai-compatible, base_url: \"https://%s/v1\", api_key: %s, ca: %s}\n", name, v.addr(), key, roots)
}
