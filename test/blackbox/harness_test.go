// Package blackbox tests the real binary from the outside: its command line,
// its sockets, its signals and its files. What vendors saw (their journals)
// and what clients received decide, not clocks.
package blackbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait for something that must happen; it decides
// nothing.
const patience = 20 * time.Second

// binary is the gateway under test, built once per run.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // these tests wait more than they compute
		_ = flag.Set("test.parallel", "8")
	}
	dir, err := os.MkdirTemp("", "sluice-blackbox-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a directory for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sluice")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	args := []string{"build", "-o", binary}
	if raced() {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/sluice")...)
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building ../cmd/sluice: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	client.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreCurrent()); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			return 1
		}
	}
	return code
}

// raced reports whether the binary is built with the race detector.
func raced() bool { return os.Getenv("SLUICE_RACE") == "1" }

// client is that of all tests: no redirects, no retries, many connections.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// process is a running sluice command.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	code int           // then: its exit code

	mu    sync.Mutex
	lines []string // of stderr
	talk  []string // those beside the access log
	more  chan struct{}
}

// cleanEnv is the environment without what would configure a gateway. A binary with
// the race detector would sleep for a second at its end.
func cleanEnv(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "SLUICE_") || strings.HasSuffix(name, "_API_KEY") || name == "OLLAMA_HOST" ||
			name == "STATE_DIRECTORY" || name == "AZURE_OPENAI_ENDPOINT"
	})
	return append(append(env, "GORACE=atexit_sleep_ms=0"), extra...)
}

// launch starts the binary in dir. The test's end kills what still runs.
func launch(t testing.TB, dir string, env []string, args ...string) *process {
	t.Helper()
	return start(t, exec.Command(binary, args...), dir, env)
}

// start is launch for any command that becomes the binary.
func start(t testing.TB, cmd *exec.Cmd, dir string, env []string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, cleanEnv(env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting sluice: %v", err)
	}
	go func() {
		r := bufio.NewReaderSize(stderr, 64<<10)
		for {
			line, err := r.ReadString('\n')
			if line != "" {
				p.add(strings.TrimRight(line, "\n"))
			}
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		log := p.log()
		if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
			t.Errorf("%v raced or panicked:\n%s", cmd.Args, log)
		} else if t.Failed() {
			t.Logf("log of %v:\n%s\n…\n%s", cmd.Args, tail(strings.Join(p.talk, "\n"), 1500), tail(log, 1500))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (p *process) add(line string) {
	p.mu.Lock()
	p.lines = append(p.lines, line)
	if !strings.Contains(line, access) {
		p.talk = append(p.talk, line)
	}
	close(p.more)
	p.more = make(chan struct{})
	p.mu.Unlock()
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// line waits for a line of stderr that fits pattern, from the n-th on.
func (p *process) line(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for n := 0; ; {
		p.mu.Lock()
		lines, more := p.lines[n:], p.more
		n = len(p.lines)
		p.mu.Unlock()
		for _, l := range lines {
			if m := re.FindStringSubmatch(l); m != nil {
				return m
			}
		}
		select {
		case <-more:
		case <-p.done:
			p.mu.Lock()
			rest := len(p.lines) > n
			p.mu.Unlock()
			if !rest {
				p.t.Fatalf("sluice ended with exit code %d before a line like %q:\n%s", p.code, pattern, p.log())
			}
		case <-timeout:
			p.t.Fatalf("no line like %q:\n%s", pattern, tail(p.log(), 4000))
		}
	}
}

// access marks a line of the access log.
const access = `"msg":"request"`

// requests is how many lines the access log has.
func (p *process) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines) - len(p.talk)
}

// said is how many lines of stderr, beside the access log, hold one of words.
func (p *process) said(words ...string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, l := range p.talk {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(l, w) }) {
			n++
		}
	}
	return n
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("sending %v: %v", s, err)
	}
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(patience):
		p.t.Fatalf("sluice does not end:\n%s", tail(p.log(), 4000))
		return -1
	}
}

// gateway is a running `sluice serve`.
type gateway struct {
	*process
	addr string
	url  string
	dir  string // its working directory
	file string // its configuration
	data string // its state directory
}

// change changes how a gateway is started.
type change func(*settings)

type settings struct {
	env  []string
	wrap []string // a command that becomes the gateway, before the gateway's own
}

// withFiles lets the gateway have n open files (Unix only).
func withFiles(n int) change {
	return func(s *settings) {
		s.wrap = append(s.wrap, "sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(n))
	}
}

func withEnv(kv ...string) change { return func(s *settings) { s.env = append(s.env, kv...) } }

var listens = `^sluice \S+ listens on (\S+)$`

// serve starts a gateway with a configuration file, on a port of its own, and
// stops it when the test ends.
func serve(t testing.TB, yaml string, opts ...change) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{dir: dir, file: filepath.Join(dir, "sluice.yaml"), data: filepath.Join(dir, "state")}
	write(t, g.file, yaml)
	var s settings
	for _, o := range opts {
		o(&s)
	}
	args := append(s.wrap, binary, "serve", "-c", g.file, "--data", g.data, "--listen", "127.0.0.1:0")
	g.process = start(t, exec.Command(args[0], args[1:]...), dir, s.env)
	g.addr = g.line(listens)[1]
	g.url = "http://" + g.addr
	t.Cleanup(func() { g.stop() })
	return g
}

// stop ends the gateway at once: the second signal cuts the second in which a
// stopping gateway still accepts.
func (g *gateway) stop() {
	g.t.Helper()
	select {
	case <-g.done:
		return
	default:
	}
	client.CloseIdleConnections()
	g.signal(syscall.SIGTERM)
	time.Sleep(50 * time.Millisecond) // signals that come together are one
	g.signal(syscall.SIGTERM)
	if code := g.wait(); code != 0 {
		g.t.Errorf("exit code after SIGTERM: got %d, want 0", code)
	}
}

// run runs a command to its end.
func run(t testing.TB, dir, stdin string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, cleanEnv(env...), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running sluice %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func (r *reply) String() string {
	return fmt.Sprintf("status %d, header %v, body %s, end %v", r.status, r.header, tail(string(r.body), 1500), r.err)
}

// code is error.code of an error answer.
func (r *reply) code() string {
	var v struct{ Error struct{ Code string } }
	_ = json.Unmarshal(r.body, &v)
	return v.Error.Code
}

func (r *reply) id() string { return r.header.Get("X-Request-Id") }

// do sends a request; header is name, value, name, value, …
func do(t testing.TB, method, url string, body string, header ...string) *reply {
	t.Helper()
	r, err := try(method, url, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return r
}

func try(method, url, body string, header ...string) (*reply, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	r.body, r.err = io.ReadAll(resp.Body)
	return r, nil
}

func (g *gateway) get(path string, header ...string) *reply {
	g.t.Helper()
	return do(g.t, http.MethodGet, g.url+path, "", header...)
}

func (g *gateway) post(path, body string, header ...string) *reply {
	g.t.Helper()
	return do(g.t, http.MethodPost, g.url+path, body, header...)
}

const hello = `"messages":[{"role":"user","content":"Hello"}]`

// chat asks model for a unary answer.
func (g *gateway) chat(model string, header ...string) *reply {
	g.t.Helper()
	return g.post("/v1/chat/completions", `{"model":"`+model+`",`+hello+`}`, header...)
}

// stream asks model for a streamed one.
func (g *gateway) stream(model string, header ...string) *reply {
	g.t.Helper()
	return g.post("/v1/chat/completions", `{"model":"`+model+`","stream":true,`+hello+`}`, header...)
}

// target is a row of /gateway/status.
type target struct {
	ID            string     `json:"id"`
	State         string     `json:"state"`
	Reason        string     `json:"reason"`
	InFlight      int        `json:"in_flight"`
	QueueDepth    int        `json:"queue_depth"`
	ErrorRate     float64    `json:"error_rate"`
	CooldownUntil *time.Time `json:"cooldown_until"`
}

type status struct {
	Models          int               `json:"models"`
	RoutingStrategy string            `json:"routing_strategy"`
	FallbackEnabled bool              `json:"fallback_enabled"`
	CircuitBreakers map[string]string `json:"circuit_breakers"`
	Targets         []target          `json:"targets"`
	Version         string            `json:"version"`
	UptimeS         float64           `json:"uptime_s"`
}

func (g *gateway) status(header ...string) status {
	g.t.Helper()
	r := g.get("/gateway/status", header...)
	var s status
	if err := json.Unmarshal(r.body, &s); err != nil || r.status != 200 {
		g.t.Fatalf("status: %v: %s", err, r)
	}
	return s
}

func (g *gateway) target(id string) target {
	g.t.Helper()
	for _, x := range g.status().Targets {
		if x.ID == id {
			return x
		}
	}
	g.t.Fatalf("status knows no target %q", id)
	return target{}
}

// record is what /gateway/requests/{id} answers.
type record struct {
	ID       string `json:"id"`
	Model    string `json:"model"`
	Target   string `json:"target"`
	Status   int    `json:"status"`
	Outcome  string `json:"outcome"`
	Usage    usage  `json:"usage"`
	Attempts []struct {
		Target  string `json:"target"`
		Status  int    `json:"status"`
		Outcome string `json:"outcome"`
		Detail  string `json:"detail"`
		Usage   usage  `json:"usage"`
	} `json:"attempts"`
}

type usage struct {
	Input      int64 `json:"input"`
	Output     int64 `json:"output"`
	CachedRead int64 `json:"cached_read"`
	Estimated  bool  `json:"estimated"`
}

// record waits for a request to be settled.
func (g *gateway) record(id string, header ...string) record {
	g.t.Helper()
	var rec record
	eventually(g.t, "the request's record", func() bool {
		r := g.get("/gateway/requests/"+id, header...)
		return r.status == 200 && json.Unmarshal(r.body, &rec) == nil
	})
	return rec
}

// logged waits for the access log line of a request.
func (g *gateway) logged(id string) map[string]any {
	g.t.Helper()
	line := g.line(`(^\{.*"id":"` + regexp.QuoteMeta(id) + `".*\}$)`)[1]
	var v map[string]any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		g.t.Fatalf("an access log line is no JSON: %v: %s", err, line)
	}
	return v
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// closed waits for a channel to be closed.
func closed(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
}

// datas returns the payloads of an event stream's data events, by the rules of
// the specification.
func datas(b []byte) []string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(b), "\ufeff"))
	var out []string
	for _, ev := range strings.Split(text, "\n\n") {
		var lines []string
		for _, l := range strings.Split(ev, "\n") {
			l = strings.TrimPrefix(l, "\ufeff")
			if v, ok := strings.CutPrefix(l, "data:"); ok {
				lines = append(lines, strings.TrimPrefix(v, " "))
			}
		}
		if lines != nil {
			out = append(out, strings.Join(lines, "\n"))
		}
	}
	return out
}

// text joins the content of a stream's chunks.
func text(events []string) string {
	var b strings.Builder
	for _, e := range events {
		var c struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal([]byte(e), &c) == nil && len(c.Choices) > 0 {
			b.WriteString(c.Choices[0].Delta.Content)
		}
	}
	return b.String()
}

// dataDir is the root of the recordings; tests that need them skip without.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SLUICE_DATA")
	if dir == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds wire/, the recorded exchanges")
	}
	return dir
}
