package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/upstream"
)

// An engine is looked at while calls go there and a little longer, and left
// alone for a while where it could not be asked or tells nothing.
func TestEnginesAreLookedAtWhileBusy(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	var status, looks atomic.Int32
	status.Store(200)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		looks.Add(1)
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, "sglang:num_queue_reqs 3\nsglang:max_total_num_tokens 5000\n")
	}))
	t.Cleanup(srv.Close)
	row, ok := provider.VendorByName("sglang")
	if !ok {
		t.Fatal("no vendor sglang")
	}
	transports := &provider.Transports{}
	t.Cleanup(transports.Close)
	acc, err := provider.NewAccount(provider.Settings{Name: "box", Vendor: row, BaseURL: srv.URL, Connect: time.Second}, transports)
	if err != nil {
		t.Fatal(err)
	}
	reg := upstream.NewRegistry()
	state := reg.State("box/m")
	state.Engine()
	reg.State("boxes/m").Engine() // another's
	call := func() {
		cred := reg.Credential("c", "1")
		target := &upstream.Target{ID: "box/m", State: state, Engine: state.Engine(), Timeouts: upstream.Timeouts{Total: time.Minute},
			Calls: []upstream.Call{{Credential: cred, Cooling: state.Cooling(cred), Send: func(context.Context, *llm.Request) (*llm.Response, error) {
				return nil, &llm.Error{Kind: llm.KindCaller, Message: "over"}
			}}}}
		p := &upstream.Pool{Model: "m", Options: []upstream.Option{{ID: target.ID, Weight: 1, Priority: 1, Target: target}}, Policy: upstream.Policy{Attempts: 1}, Budget: reg.Budget("m"), Registry: reg}
		_, _ = p.Do(context.Background(), &llm.Request{N: 1, Body: nobody{}, Trail: llm.NewTrail("t", time.Now(), func(*llm.Trail) {})})
	}
	engines, now := []*engine{{name: "box", acc: acc}}, time.Now()
	look := func(what string, at time.Duration, want int32) {
		t.Helper()
		before := looks.Load()
		lookAt(context.Background(), engines, reg.Engines(), now.Add(at))
		if got := looks.Load() - before; got != want {
			t.Errorf("%s: looked %d times, want %d", what, got, want)
		}
	}
	look("before the first call", 0, 0)
	call()
	look("after a call", 0, 1)
	if l := state.Engine().Load(1); l.Waiting != 3 || l.Capacity != 5000 {
		t.Errorf("the engine is known as %+v", l)
	}
	look("a little later", quiet-time.Millisecond, 1)
	look("long after", quiet+time.Millisecond, 0)
	call()
	status.Store(503)
	look("it fails", quiet+time.Second, 1)
	look("at once again", quiet+time.Second, 0)
	status.Store(404)
	look("after a rest", quiet+2*time.Second, 1)
	call()
	look("it tells nothing", longestRest-time.Second, 0)
	call()
	look("much later", longestRest+time.Minute, 1)
}

// nobody is a body of nothing.
type nobody struct{}

func (nobody) Bytes() []byte                 { return nil }
func (nobody) Conversation() (uint64, bool)  { return 0, false }
func (nobody) User() string                  { return "" }
func (nobody) Prompt(dst [][]byte) [][]byte  { return dst }
func (nobody) Chat() (*llm.Chat, *llm.Error) { return nil, nil }
func (nobody) Hold()                         {}
func (nobody) Release()                      {}
