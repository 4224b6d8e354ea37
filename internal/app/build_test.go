package app

import (
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/upstream"
)

// built commits a configuration and returns the generation with its state.
func built(t *testing.T, text string) (*generation, *Shared) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	sh := NewShared()
	t.Cleanup(sh.Transports.Close)
	gen, err := build(cfg, Env{Getenv: func(string) string { return "" }}, sh)
	if err != nil {
		t.Fatal(err)
	}
	sh.commit(gen)
	return gen, sh
}

// opens fails a target until its breaker must be open, and returns it.
func opens(t *testing.T, sh *Shared, id string) *upstream.Breaker {
	t.Helper()
	b := &sh.Registry.State(id).Breaker
	for range 5 {
		b.Record(1, 0, upstream.Failure)
	}
	if p, _, _ := b.Phase(1); p != upstream.Open {
		t.Errorf("breaker of %s after 5 failures: got %v, want open", id, p)
	}
	return b
}

// Where the file names no model, the catalog's have their breakers, too, and
// hear orders, but fill no list.
func TestProvidersAlone(t *testing.T) {
	gen, sh := built(t, "listen: 127.0.0.1:0\nproviders: {openai: {api_key: k}}\n")
	opens(t, sh, "openai/gpt-4o")
	if n := len(gen.gw.Targets); n != 0 {
		t.Errorf("targets in status: got %d, want none", n)
	}
}

// A client that names a configured target by itself leaves its breaker as the
// configuration wants it.
func TestAdHocKeepsGrace(t *testing.T) {
	gen, sh := built(t, "listen: 127.0.0.1:0\nhealth: {probe: 10s}\nproviders: {openai: {api_key: k}}\nmodels: {m: openai/gpt-4o}\n")
	if _, ok := gen.gw.Lookup("openai/gpt-4o"); !ok {
		t.Fatal("openai/gpt-4o is not found")
	}
	b := opens(t, sh, "openai/gpt-4o")
	if d := time.Duration(b.Opens(1, upstream.Ordinary) - b.Opens(1, upstream.Active)); d != probeGrace {
		t.Errorf("clients leave a probe %v, want %v", d, probeGrace)
	}
}
