package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/provider"
)

// What engines serve is found by either name, the first that has it; one that
// is away keeps its list, one that is gone loses it; and the looks end with
// their context, whoever does not answer.
func TestListing(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after all that follows
	var away atomic.Bool
	engine := func(list string) lister {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, list)
		}))
		t.Cleanup(srv.Close)
		v, ok := provider.VendorByName("vllm")
		if !ok {
			t.Fatal("no vendor vllm")
		}
		transports := &provider.Transports{}
		t.Cleanup(transports.Close)
		acc, err := provider.NewAccount(provider.Settings{Name: "engine", Vendor: v, BaseURL: srv.URL, Connect: time.Second}, transports)
		if err != nil {
			t.Fatal(err)
		}
		return lister{acc: acc}
	}
	a, b := engine(`{"data":[{"id":"qwen"},{"id":"llama:latest"}]}`), engine(`{"data":[{"id":"qwen"},{"id":"org/gemma"}]}`)
	a.name, b.name = "a", "b"
	both := []lister{a, b}
	l := &listing{}
	if got := l.names(both); len(got) != 0 {
		t.Errorf("before the first look: %v", got)
	}
	l.look(context.Background(), both)
	const all = "[a/llama:latest a/qwen b/org/gemma b/qwen]"
	if got := fmt.Sprint(l.names(both)); got != all {
		t.Errorf("names %s", got)
	}
	for model, want := range map[string]string{"qwen": "a", "llama": "a", "llama:latest": "a", "org/gemma": "b", "gemma": "", "": ""} {
		if got, ok := l.find(both, model); got != want || ok != (want != "") {
			t.Errorf("%q is at %q, %v", model, got, ok)
		}
	}
	away.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.look(ctx, both) }()
	cancel()
	<-done
	if got := fmt.Sprint(l.names(both)); got != all {
		t.Errorf("while they are away: %s", got)
	}
	away.Store(false)
	l.look(context.Background(), both[1:])
	if got := fmt.Sprint(l.names(both)); got != "[b/org/gemma b/qwen]" {
		t.Errorf("after one is gone: %s", got)
	}
}
