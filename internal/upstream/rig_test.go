package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// virtual runs f in a bubble of virtual time, with a rig whose registry was
// made in it, and checks afterwards that every call and trail has ended.
func virtual(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, reg: NewRegistry()}
		f(t, r)
		synctest.Wait()
		r.settled()
	})
}

// rig makes targets with scripted vendors, and requests.
type rig struct {
	t       *testing.T
	reg     *Registry
	vendors []*vendor
	mu      sync.Mutex
	trails  []*llm.Trail
	done    []*atomic.Int32
}

// step is one read from a vendor: a pause, then a chunk or an error. A pause
// below 0 lasts until the call is cancelled.
type step struct {
	after time.Duration
	chunk llm.Chunk
	err   error
}

// script is how a vendor answers one call: after a pause with an error, or
// with a stream.
type script struct {
	wait  time.Duration // before headers; below 0: for ever
	err   error
	quota *llm.Quota // told with the headers
	local bool       // the gateway answers itself
	steps []step
}

const forever = time.Duration(-1)

func content(after time.Duration, text string) step {
	return step{after: after, chunk: llm.Chunk{Raw: []byte(text), Level: llm.LevelContent}}
}

func data(after time.Duration, text string) step {
	return step{after: after, chunk: llm.Chunk{Raw: []byte(text), Level: llm.LevelData}}
}

func comment(after time.Duration) step {
	return step{after: after, chunk: llm.Chunk{Raw: []byte(":\n\n")}}
}

func counted(in, out int64) step {
	return step{chunk: llm.Chunk{Raw: []byte("u"), Level: llm.LevelContent, Usage: &llm.Usage{Input: in, Output: out}}}
}

// fine answers with text after d, and counts 10 + 5 tokens.
func fine(d time.Duration) script {
	return script{wait: d, steps: []step{content(0, "ok"), counted(10, 5)}}
}

func failing(kind llm.Kind) script {
	return script{err: &llm.Error{Kind: kind, Message: "scripted " + kind.String()}}
}

func limited(after time.Duration) script {
	return script{err: &llm.Error{Kind: llm.KindRateLimited, Message: "slow down", RetryAfter: after}}
}

// always answers every call with s.
func always(s script) func(int) script { return func(int) script { return s } }

// inTurn answers the n-th call with the n-th script and goes on with the last.
func inTurn(all ...script) func(int) script {
	return func(n int) script { return all[min(n, len(all)-1)] }
}

// vendor is a scripted vendor with one credential or several.
type vendor struct {
	r        *rig
	mu       sync.Mutex
	answer   func(n int) script // n from 0
	calls    int
	by       map[string]int // calls by credential
	open     int            // streams that were not closed
	busy     map[string]int // calls under way by credential
	peak     map[string]int // the most there were
	times    []time.Duration
	asked    []llm.Request
	canceled int
	start    time.Time
}

func (v *vendor) set(answer func(n int) script) {
	v.mu.Lock()
	v.answer, v.calls = answer, 0
	v.mu.Unlock()
}

func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	if d < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end notes that a call with a credential is over.
func (v *vendor) end(credential string) {
	v.mu.Lock()
	v.busy[credential]--
	v.mu.Unlock()
}

func (v *vendor) send(credential string) func(context.Context, *llm.Request) (*llm.Response, error) {
	return func(ctx context.Context, req *llm.Request) (resp *llm.Response, err error) {
		defer func() {
			if err != nil {
				v.end(credential)
			}
		}()
		v.mu.Lock()
		v.busy[credential]++
		v.peak[credential] = max(v.peak[credential], v.busy[credential])
		s := v.answer(v.calls)
		v.calls++
		v.by[credential]++
		v.times = append(v.times, time.Since(v.start))
		v.asked = append(v.asked, *req)
		v.mu.Unlock()
		if err := sleep(ctx, s.wait); err != nil {
			v.mu.Lock()
			v.canceled++
			v.mu.Unlock()
			return nil, err
		}
		if s.err != nil {
			return nil, s.err
		}
		v.mu.Lock()
		v.open++
		v.mu.Unlock()
		return &llm.Response{Status: 200, Proto: llm.ProtoOpenAI, Quota: s.quota, Local: s.local, Stream: &scripted{ctx: ctx, v: v, credential: credential, steps: s.steps}}, nil
	}
}

// scripted is a vendor's answer.
type scripted struct {
	ctx        context.Context
	v          *vendor
	credential string
	steps      []step
	closed     bool
}

func (s *scripted) Next() (llm.Chunk, error) {
	if s.closed {
		return llm.Chunk{}, errors.New("Next after Close")
	}
	if len(s.steps) == 0 {
		return llm.Chunk{}, io.EOF
	}
	st := s.steps[0]
	s.steps = s.steps[1:]
	if err := sleep(s.ctx, st.after); err != nil {
		return llm.Chunk{}, err
	}
	return st.chunk, st.err
}

func (s *scripted) Close() error {
	if !s.closed {
		s.closed = true
		s.v.end(s.credential)
		s.v.mu.Lock()
		s.v.open--
		s.v.mu.Unlock()
	}
	return nil
}

// defaults are the gateway's (CONTRACT §2).
var (
	defaultTimeouts = Timeouts{FirstToken: 60 * time.Second, Idle: 60 * time.Second, Total: 10 * time.Minute, Stream: 30 * time.Minute, Queue: 2 * time.Second}
	defaultBreaker  = BreakerSettings{Failures: 5, SuccessRate: 0.5, Window: 30 * time.Second, MinRequests: 20, Cooldown: 30 * time.Second}
	defaultCooldown = Cooldown{Max: 10 * time.Minute, Quarantine: 5 * time.Minute}
	defaultPolicy   = Policy{Attempts: 3, Budget: 0.2}
)

// target makes a target with the default settings; keys are its credentials,
// one if there are none.
func (r *rig) target(id string, answer func(int) script, keys ...string) (*Target, *vendor) {
	v := &vendor{r: r, answer: answer, by: map[string]int{}, busy: map[string]int{}, peak: map[string]int{}, start: time.Now()}
	r.vendors = append(r.vendors, v)
	if len(keys) == 0 {
		keys = []string{"only"}
	}
	t := &Target{
		ID: id, Vendor: id, State: r.reg.State(id), Timeouts: defaultTimeouts, Cooldown: defaultCooldown, Breaker: defaultBreaker,
		Price: &llm.Price{Input: 1e6, Output: 2e6},
	}
	for _, k := range keys {
		c := r.reg.Credential(id+"#"+k, k)
		t.Calls = append(t.Calls, Call{Credential: c, Cooling: t.State.Cooling(c), Send: v.send(k)})
	}
	t.Adopt()
	return t, v
}

// ordered keeps the order of the pool.
func ordered([]*Option, Ask) {}

// roundRobin begins one further with each turn.
func roundRobin(opts []*Option, a Ask) {
	n := int(a.Turn % uint64(len(opts)))
	copy(opts, append(append([]*Option{}, opts[n:]...), opts[:n]...))
}

// pool makes a model of targets and pools, in this order.
func (r *rig) pool(name string, members ...any) *Pool {
	p := &Pool{Model: name, Strategy: "ordered", Order: ordered, Policy: defaultPolicy, Budget: r.reg.Budget(name), Registry: r.reg}
	for _, m := range members {
		switch m := m.(type) {
		case *Target:
			p.Options = append(p.Options, Option{ID: m.ID, Weight: 1, Priority: 1, Target: m})
		case *Pool:
			p.Options = append(p.Options, Option{ID: m.Model, Weight: 1, Priority: 1, Pool: m})
		}
	}
	return p
}

// request makes a request with its trail; the rig checks that it is settled.
func (r *rig) request(stream bool) *llm.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &atomic.Int32{}
	tr := llm.NewTrail(fmt.Sprint(len(r.trails)), time.Now(), func(*llm.Trail) { n.Add(1) })
	r.trails, r.done = append(r.trails, tr), append(r.done, n)
	return &llm.Request{ID: tr.ID, Op: llm.OpChat, Stream: stream, N: 1, Trail: tr, Body: prompt("forty bytes of a prompt, ten tokens long.")}
}

// talk is a body with a neutral form.
type talk struct {
	prompt
	chat *llm.Chat
}

func (b talk) Chat() (*llm.Chat, *llm.Error) { return b.chat, nil }

// prompt is a body.
type prompt string

func (p prompt) Bytes() []byte                 { return []byte(p) }
func (p prompt) Conversation() (uint64, bool)  { return 0, false }
func (p prompt) User() string                  { return "" }
func (p prompt) Prompt(dst [][]byte) [][]byte  { return append(dst, []byte(p)) }
func (p prompt) Chat() (*llm.Chat, *llm.Error) { return nil, nil }
func (p prompt) Hold()                         {}
func (p prompt) Release()                      {}

// outcome is what a client saw.
type outcome struct {
	text     string
	resp     *llm.Response
	err      *llm.Error // before or after content
	took     time.Duration
	attempts []*llm.Attempt
}

func (o outcome) String() string {
	if o.err != nil {
		return o.err.Kind.String()
	}
	return o.text
}

// ask does what the server does: ask, read to the end, close, settle.
func (r *rig) ask(ctx context.Context, p *Pool, req *llm.Request) (out outcome) {
	begin := time.Now()
	defer func() {
		req.Trail.Close(time.Now())
		out.took, out.attempts = time.Since(begin), req.Trail.Attempts()
	}()
	resp, err := p.Do(ctx, req)
	if err != nil {
		if resp != nil {
			r.t.Errorf("Do returned a response and an error")
		}
		out.err = llm.AsError(err)
		return out
	}
	defer resp.Close()
	out.resp = resp
	for {
		c, err := resp.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			out.err = llm.AsError(err)
			return out
		}
		out.text += string(c.Raw)
	}
}

func (r *rig) unary(p *Pool) outcome { return r.ask(context.Background(), p, r.request(false)) }

func (r *rig) streamed(p *Pool) outcome { return r.ask(context.Background(), p, r.request(true)) }

// settled checks that nothing is under way and all is accounted for once.
func (r *rig) settled() {
	r.t.Helper()
	for i, tr := range r.trails {
		if n := r.done[i].Load(); n != 1 {
			r.t.Errorf("request %d settled %d times, want once", i, n)
			continue
		}
		var sum llm.Money
		for _, a := range tr.Attempts() {
			if a.Outcome == "" || a.End.IsZero() {
				r.t.Errorf("request %d: attempt at %s has not ended", i, a.Target)
			}
			sum += a.Cost
		}
		if sum != tr.Cost() {
			r.t.Errorf("request %d: cost %v, want the sum of its attempts %v", i, tr.Cost(), sum)
		}
	}
	for _, st := range r.reg.states {
		if n, w := st.InFlight(), st.waiting.Load(); n != 0 || w != 0 {
			r.t.Errorf("target %s: %d in flight, %d in line, want 0", st.ID, n, w)
		}
		for _, x := range st.cooling {
			if n, w := x.inFlight.Load(), x.waiting.Load(); n != 0 || w != 0 {
				r.t.Errorf("a credential at %s: %d in flight, %d in line, want 0", st.ID, n, w)
			}
		}
	}
	for _, cr := range r.reg.creds {
		if n, w := cr.inFlight.Load(), cr.line.n; n != 0 || w != 0 || cr.queued.Load() != 0 || cr.contended.Load() {
			r.t.Errorf("credential %s: %d in flight, %d in line, want 0", cr.ID, n, w)
		}
	}
	for i, v := range r.vendors {
		if v.open != 0 {
			r.t.Errorf("vendor %d: %d streams not closed", i, v.open)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func phase(t *Target) Phase {
	p, _, _ := t.State.Breaker.Phase(t.State.reg.now())
	return p
}
