package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// simulator is a running `sluice sim`.
type simulator struct {
	*process
	url string
}

const simConfig = `
seed: 7
speed: 1
control: true
models:
  chat-model: {latency: 5ms, tokens: 12, tokens_per_second: 2000}
  slow-model: {latency: 5ms, tokens: 2000, tokens_per_second: 50}
  limited-model: {fault: {kind: status, status: 429, headers: {Retry-After: "30"}}}
  refusing-model: {fault: {kind: status, status: 400}}
  emb-model: {dimensions: 16}
`

// simulate starts the simulator; the test's end stops it.
func simulate(t testing.TB, yaml string) *simulator {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sim.yaml")
	write(t, file, yaml)
	s := &simulator{process: launch(t, dir, nil, "sim", "--listen", "127.0.0.1:0", "-c", file)}
	s.url = s.line(`listens on (http://\S+)`)[1]
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.signal(syscall.SIGTERM)
		if code := s.wait(); code != 0 {
			t.Errorf("the simulator's exit code: got %d, want 0", code)
		}
	})
	return s
}

// simCall is a call in the simulator's journal.
type simCall struct {
	Model      string    `json:"model"`
	Path       string    `json:"path"`
	Credential string    `json:"credential"`
	Stream     bool      `json:"stream"`
	Status     int       `json:"status"`
	Outcome    string    `json:"outcome"`
	Events     int       `json:"events"`
	Input      int       `json:"input_tokens"`
	Output     int       `json:"output_tokens"`
	Reasoning  int       `json:"reasoning_tokens"`
	Cached     int       `json:"cached_tokens"`
	Seals      int       `json:"seals"`
	End        time.Time `json:"end"`
}

// journal returns the calls for a model.
func (s *simulator) journal(model string) []simCall {
	s.t.Helper()
	var j struct{ Calls []simCall }
	r := do(s.t, http.MethodGet, s.url+"/sim/journal", "")
	if err := json.Unmarshal(r.body, &j); err != nil {
		s.t.Fatalf("the simulator's journal: %v: %s", err, r)
	}
	var out []simCall
	for _, c := range j.Calls {
		if c.Model == model {
			out = append(out, c)
		}
	}
	return out
}

// sdkGateway is what the SDKs talk to.
func sdkGateway(t testing.TB) (*gateway, *simulator) {
	t.Helper()
	s := simulate(t, simConfig)
	return serve(t, fmt.Sprintf(`
providers:
  sim: {kind: openai-compatible, base_url: "%s", api_key: vendor-key-0123456789}
models:
  chat: sim/chat-model
  slow: sim/slow-model
  limited: sim/limited-model
  refusing: sim/refusing-model
  emb: sim/emb-model
keys: [{name: sdk, key: "${KEY}"}]
`, s.url), withEnv("KEY="+keyOne)), s
}
