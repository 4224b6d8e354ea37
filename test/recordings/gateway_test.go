package recordings

import (
	"bufio"
	"bytes"
	"fmt"
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
)

// gateway is the real binary, serving.
type gateway struct {
	url string
	cmd *exec.Cmd

	mu  sync.Mutex
	log bytes.Buffer
}

// sluice is the binary under test, built once per run.
var sluice string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Getenv("SLUICE_DATA") != "" {
		dir, err := os.MkdirTemp("", "sluice-recordings-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "making a directory for the binary:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if sluice, err = build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// build makes the binary below dir.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "sluice")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	args := []string{"build", "-o", binary}
	if os.Getenv("SLUICE_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/sluice")...)
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building ./cmd/sluice: %w\n%s", err, out)
	}
	return binary, nil
}

// environ is the environment without what would configure a gateway.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "SLUICE_") || strings.HasSuffix(name, "_API_KEY") || name == "OLLAMA_HOST" || name == "STATE_DIRECTORY"
	})
}

const settings = `auth: none
log: {level: error}
store: none
retry: {attempts: 1}
breaker: {failures: 0, success_rate: 0}
cooldown: {max: 0s, quarantine: 0s}
timeouts: {first_token: 1m, idle: 1m, total: 1m, stream: 1m, queue: 1m}
providers:
`

// account is a provider of the configuration.
type account struct{ name, kind, protocol, base string }

func (a account) line() string {
	return fmt.Sprintf("  %s: {kind: %s, protocol: %s, base_url: %q, api_key: k}\n", a.name, a.kind, a.protocol, a.base)
}

// fallbackKind is the vendor's row for recordings of vendors without one.
const fallbackKind = "openai-compatible"

// configure writes a configuration with the accounts. Kinds that the gateway
// does not know, or that want more than a key, become fallbackKind.
func configure(t *testing.T, file string, accounts []account) {
	t.Helper()
	place := regexp.MustCompile(`:(\d+):\d+: `)
	first := strings.Count(settings, "\n") + 1
	for range 2 {
		text := settings
		for _, a := range accounts {
			text += a.line()
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(sluice, "check", "-c", file)
		cmd.Env = environ()
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		bad := place.FindAllSubmatch(out, -1)
		if len(bad) == 0 {
			t.Fatalf("sluice check: %v\n%s", err, out)
		}
		for _, m := range bad {
			n, _ := strconv.Atoi(string(m[1]))
			if n < first || n-first >= len(accounts) || accounts[n-first].kind == fallbackKind {
				t.Fatalf("sluice check: %v\n%s", err, out)
			}
			accounts[n-first].kind = fallbackKind
		}
	}
}

// serve starts the gateway. The test's end stops it.
func serve(t *testing.T, dir, file string) *gateway {
	t.Helper()
	g := &gateway{cmd: exec.Command(sluice, "serve", "-c", file, "--data", filepath.Join(dir, "state"), "--listen", "127.0.0.1:0")}
	g.cmd.Env, g.cmd.Dir = environ(), dir
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		listens := regexp.MustCompile(`^sluice \S+ listens on (\S+)$`)
		r := bufio.NewReader(stderr)
		for {
			line, err := r.ReadString('\n')
			if m := listens.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
				addr <- m[1]
			}
			g.mu.Lock()
			if g.log.Len() < 1<<20 {
				g.log.WriteString(line)
			}
			g.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		time.Sleep(50 * time.Millisecond) // signals that come together are one
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		<-done
		_ = g.cmd.Wait()
		if log := g.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
			t.Errorf("the gateway raced or panicked:\n%s", log)
		}
	})
	select {
	case a := <-addr:
		g.url = "http://" + a
	case <-done:
		t.Fatalf("the gateway did not start:\n%s", g.log.String())
	case <-time.After(20 * time.Second):
		t.Fatal("the gateway does not listen")
	}
	return g
}
