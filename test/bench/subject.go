//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	clientKey = "sk-bench-0001"
	startWait = 20 * time.Second // until the first answer
	stopGrace = 20 * time.Second // for a gateway to drain and settle
	gatewayIs = "gateway"
	// posing is the GOGC of the floor that poses as the gateway with -self
	posing = 400
)

// floorGOGC are the settings of which the better one is the floor.
var floorGOGC = []int{100, 400}

// A lab is what all sections share: binaries, cores, a directory for files of
// the run, and the report.
type lab struct {
	dir                   string
	self                  string // this program
	gateway               string // path of the gateway; empty: a floor poses as it
	gatewayCore, loadCore int
	rounds                int
	phase                 time.Duration
	report                *report
}

// A subject is a running gateway or floor.
type subject struct {
	name     string
	addr     string
	proc     *process
	ready    time.Duration // from launch to the first answer
	config   string        // the gateway's file; empty for floors
	answered int           // 200s it gave, as its clients counted
	fleet    fleet
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// startMock runs a mock on the load core.
func (l *lab) startMock(name string) (*process, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err := launch(l.loadCore, l.loadCore, filepath.Join(l.dir, name+".log"), nil, l.self, "mock", addr)
	if err != nil {
		return nil, "", err
	}
	for end := time.Now().Add(startWait); ; time.Sleep(time.Millisecond) {
		if _, err = tally(addr); err == nil {
			return p, addr, nil
		}
		if time.Now().After(end) {
			p.stop(0)
			return nil, "", fmt.Errorf("mock did not start: %w: %s", err, p.logTail())
		}
	}
}

func (l *lab) startFloor(name string, gogc int, mock string) (*subject, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return l.start(&subject{name: name, addr: addr}, []string{"GOGC=" + strconv.Itoa(gogc)}, l.self, "floor", addr, mock)
}

// startGateway runs the gateway in front of one mock, or of several in order.
func (l *lab) startGateway(mocks ...string) (*subject, error) {
	if l.gateway == "" {
		return l.startFloor(gatewayIs, posing, mocks[0])
	}
	return l.startConfigured(func(addr, data string) []byte { return configFile(addr, data, mocks) })
}

// startConfigured runs the gateway with the file that config makes of its
// address and its directory.
func (l *lab) startConfigured(config func(addr, data string) []byte) (*subject, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(l.dir, "data")
	if err != nil {
		return nil, err
	}
	s := &subject{name: gatewayIs, addr: addr, config: filepath.Join(data, "sluice.yaml")}
	if err := os.WriteFile(s.config, config(addr, data), 0o600); err != nil {
		return nil, err
	}
	return l.start(s, nil, l.gateway, "serve", "-c", s.config, "--data", data)
}

// configFile is a gateway that does all it is measured with: a key, metrics,
// access log and ledger are on by default.
func configFile(addr, data string, mocks []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "listen: %s\nstore: sqlite:%s\nproviders:\n", addr, filepath.Join(data, "ledger.db"))
	var targets []string
	for i, m := range mocks {
		name := string(rune('a' + i))
		fmt.Fprintf(&b, "  %s: {kind: openai-compatible, base_url: http://%s/v1, api_key: %s}\n", name, m, mockKey)
		targets = append(targets, fmt.Sprintf("{target: %s/%s, price: {input: 0.15, output: 0.6}}", name, modelName))
	}
	strategy := ""
	if len(mocks) > 1 {
		strategy = ", strategy: ordered"
	}
	fmt.Fprintf(&b, "models:\n  %s: {targets: [%s]%s}\n", modelName, strings.Join(targets, ", "), strategy)
	fmt.Fprintf(&b, "keys:\n  - {name: bench, key: %s}\n", clientKey)
	return b.Bytes()
}

// start launches s and waits until it answers a request.
func (l *lab) start(s *subject, env []string, argv ...string) (*subject, error) {
	began := time.Now()
	p, err := launch(l.gatewayCore, l.loadCore, filepath.Join(l.dir, s.name+".log"), env, argv...)
	if err != nil {
		return nil, err
	}
	s.proc = p
	c := newClient(s.addr, mockBuffer)
	defer c.close()
	req := ask{bytes: 200}.request(s.addr, clientKey)
	for {
		if err = c.ask(req, time.Now().Add(patience), 0); err == nil {
			s.ready = time.Since(began)
			s.answered = 1
			return s, nil
		}
		select {
		case <-p.gone:
			return nil, fmt.Errorf("%s ended before it answered: %s", s.name, p.logTail())
		case <-time.After(time.Millisecond):
		}
		if time.Since(began) > startWait {
			p.stop(0)
			return nil, fmt.Errorf("%s gave no answer in %v: %w: %s", s.name, startWait, err, p.logTail())
		}
	}
}

func (s *subject) stop() {
	s.fleet.close()
	if s.config == "" {
		s.proc.stop(0)
		return
	}
	s.proc.stop(stopGrace)
	os.RemoveAll(filepath.Dir(s.config))
}

// vouch checks that what the gateway is measured with was at work: keys,
// metrics, access log and ledger. It ends the gateway. nil for floors.
func (l *lab) vouch(s *subject) error {
	if s.config == "" {
		return nil
	}
	c := newClient(s.addr, mockBuffer)
	defer c.close()
	var st statusError
	if err := c.ask(ask{bytes: 200}.request(s.addr, "sk-wrong"), time.Now().Add(patience), 0); !errors.As(err, &st) || st != "401" {
		return fmt.Errorf("a wrong key should be answered with 401, got %v", err)
	}
	if err := hasMetrics(s.addr); err != nil {
		return err
	}
	s.fleet.close()
	s.proc.stop(stopGrace)
	log, err := os.ReadFile(s.proc.log)
	if err != nil {
		return err
	}
	if n := bytes.Count(log, []byte{'\n'}); n < s.answered {
		return fmt.Errorf("access log has %d lines after %d answers", n, s.answered)
	}
	n, err := l.ledgerRows(s.config)
	if err != nil {
		return err
	}
	if n < s.answered {
		return fmt.Errorf("ledger has %d requests after %d answers", n, s.answered)
	}
	return nil
}

func hasMetrics(addr string) error {
	resp, err := controlClient.Get("http://" + addr + "/metrics")
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(nil, resp.Body, 8<<20)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if !bytes.Contains(b.Bytes(), []byte("sluice_requests_total")) {
		return fmt.Errorf("metrics: %s without sluice_requests_total", resp.Status)
	}
	return nil
}

// ledgerRows asks the gateway's own command how many requests its ledger has.
func (l *lab) ledgerRows(config string) (int, error) {
	cmd := exec.Command(l.gateway, "usage", "-c", config, "-o", "json")
	cmd.Env = childEnv(nil)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("sluice usage: %w: %s", err, bytes.TrimSpace(talk.Bytes()))
	}
	var u struct {
		Total struct {
			Requests int `json:"requests"`
		} `json:"total"`
	}
	if err := json.Unmarshal(out, &u); err != nil {
		return 0, fmt.Errorf("sluice usage: %w", err)
	}
	return u.Total.Requests, nil
}

// buildGateway builds the gateway of the module around this one into dir.
func buildGateway(dir string) (string, error) {
	root, err := moduleRoot("module github.com/sluicegate/sluice")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "sluice")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/sluice")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return bin, nil
}

// moduleRoot finds the nearest directory above this one whose go.mod begins
// with the line first.
func moduleRoot(first string) (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if line, _, _ := strings.Cut(string(b), "\n"); err == nil && strings.TrimSpace(line) == first {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("no go.mod with %q in this directory or above", first)
		}
		at = up
	}
}
