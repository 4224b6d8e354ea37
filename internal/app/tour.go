package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/route"
	"github.com/sluicegate/sluice/internal/server"
	"github.com/sluicegate/sluice/internal/sim"
	"github.com/sluicegate/sluice/internal/store"
)

// tourSpeed is how much faster than the demo's the tour's vendors are.
const tourSpeed = 20

// perStrategy is how many requests show the shares of a strategy.
const perStrategy = 240

// Tour drives a demo through what works and prints a line per step. It
// returns the first step's failure.
func Tour(ctx context.Context, version string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cfg := sim.Demo(demoSeed)
	cfg.Speed = tourSpeed
	for i := range cfg.Models {
		cfg.Models[i].Errors = 0 // faults come one at a time
		cfg.Models[i].Tokens = 20
	}
	cfg.Models = append(cfg.Models, sim.Model{Name: thinker})
	var pools strings.Builder
	for _, s := range route.Strategies() {
		fmt.Fprintf(&pools, `  tour-%[1]s:
    strategy: %[1]s
    targets:
      - {target: gpt-4, weight: 2.0}
      - {target: claude-3, weight: 1.8}
      - {target: gemini-pro, weight: 1.5}
      - {target: llama-2, weight: 1.0}
`, s)
	}
	d, err := newDemo(ctx, version, demoOptions{listen: "127.0.0.1:0", models: pools.String(), sim: cfg, log: io.Discard})
	if err != nil {
		return err
	}
	defer d.Close()
	run, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.App.Run(run, run, nil, nil) }() // force: nothing is under way at the end
	defer func() { stop(); <-ended }()
	t := &tour{ctx: ctx, d: d, base: "http://" + d.App.Addr().String(), out: out}
	for _, step := range []struct {
		name string
		do   func() (string, error)
	}{
		{"strategies", t.strategies}, {"auto", t.auto}, {"cascade", t.cascade}, {"split", t.split}, {"stream", t.stream},
		{"messages", t.messages}, {"tool call", t.toolCall}, {"generate", t.generate}, {"responses", t.responses}, {"thinking", t.thinking},
		{"failover", t.failover}, {"circuit", t.circuit}, {"rate limit", t.rateLimit}, {"frozen vendor", t.frozen}, {"account", t.account},
	} {
		said, err := step.do()
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(out, "%-14s %s\n", step.name, said)
	}
	return nil
}

type tour struct {
	ctx  context.Context
	d    *Demo
	base string
	out  io.Writer
	sent int
	mu   sync.Mutex
}

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

func (t *tour) ask(model string) (reply, error) {
	return t.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hello"}]}`, model))
}

// post sends a request to a model.
func (t *tour) post(path, body string) (reply, error) {
	t.mu.Lock()
	t.sent++
	t.mu.Unlock()
	return t.send(path, body)
}

func (t *tour) send(path, body string) (reply, error) {
	begin := time.Now()
	req, err := http.NewRequestWithContext(t.ctx, http.MethodPost, t.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, b, time.Since(begin)}, err
}

func (r reply) target() string { return r.header.Get("X-Sluice-Target") }

func (t *tour) get(path string, into any) error {
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, t.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

func (t *tour) fault(model string, f *sim.Fault) error {
	return t.d.Sim.Set(model, func(m *sim.Model) { m.Fault = f })
}

// wait asks until the condition holds or ten seconds have passed.
func (t *tour) wait(what string, ok func() (bool, error)) error {
	limit, cancel := context.WithTimeout(t.ctx, 10*time.Second)
	defer cancel()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		pause(limit, 20*time.Millisecond)
		if limit.Err() != nil {
			return errors.New("waited 10 s for " + what)
		}
	}
}

// strategies sends requests through a pool of each strategy. What a strategy
// must do is checked by counting answers, not by the clock.
func (t *tour) strategies() (string, error) {
	for _, s := range route.Strategies() {
		counts, err := t.spread("tour-" + s)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s, err)
		}
		if !plausible(s, counts) {
			return "", fmt.Errorf("%s gave unlikely shares: %s", s, shares(counts))
		}
		fmt.Fprintf(t.out, "%-14s %s\n", s, shares(counts))
	}
	return fmt.Sprintf("%d requests each, all answered", perStrategy), nil
}

// auto asks the model that is chosen by what is asked, and compares what the plan
// said with who answers.
func (t *tour) auto() (string, error) {
	var said []string
	for _, x := range []struct{ task, prompt string }{
		{"coding", "Write a Python function that reverses a linked list, with unit tests"},
		{"math", "A farmer has 12 boxes with 7 apples each and sells 29 apples. How many apples are left?"},
	} {
		body := fmt.Sprintf(`{"model":"auto","messages":[{"role":"user","content":%q}]}`, x.prompt)
		r, err := t.send("/gateway/route", body)
		if err != nil {
			return "", err
		}
		var plan llm.Plan
		if err := json.Unmarshal(r.body, &plan); err != nil || plan.Decision == nil || len(plan.Candidates) == 0 {
			return "", fmt.Errorf("no decision is told: %s", r.body)
		}
		if r, err = t.post("/v1/chat/completions", body); err != nil {
			return "", err
		}
		if task := r.header.Get("X-Sluice-Task"); r.status != http.StatusOK || task != x.task || r.target() != plan.Candidates[0].Target {
			return "", fmt.Errorf("status %d, task %q from %q; planned was %q from %q", r.status, task, r.target(), plan.Decision.Task, plan.Candidates[0].Target)
		}
		said = append(said, fmt.Sprintf("%s (%.2f) to %s", x.task, plan.Decision.Confidence, plan.Candidates[0].Model))
	}
	return strings.Join(said, ", ") + ", as planned", nil
}

// cascade asks for what the cheap model answers, and for what it declines.
func (t *tour) cascade() (string, error) {
	var cost []string
	for _, x := range []struct{ prompt, model, attempts string }{{"Hello", "llama-2", "1"}, {"How do I pick a lock?", "gpt-4", "2"}} {
		r, err := t.post("/v1/chat/completions", fmt.Sprintf(`{"model":"careful","messages":[{"role":"user","content":%q}]}`, x.prompt))
		if err != nil {
			return "", err
		}
		if by := r.header.Get("X-Sluice-Model"); r.status != http.StatusOK || by != x.model || r.header.Get("X-Sluice-Attempts") != x.attempts {
			return "", fmt.Errorf("%q: status %d from %q after %s attempts, want %s after %s", x.prompt, r.status, by, r.header.Get("X-Sluice-Attempts"), x.model, x.attempts)
		}
		cost = append(cost, r.header.Get("X-Sluice-Cost-Usd"))
	}
	return fmt.Sprintf("llama-2 answered for %s USD; what it declined, gpt-4 answered, both for %s", cost[0], cost[1]), nil
}

// split asks for many users, each twice: shares as configured, and each user's arm
// is the same.
func (t *tour) split() (string, error) {
	const users = 100
	counts := map[string]int{}
	for i := range users {
		arm := ""
		for range 2 {
			r, err := t.post("/v1/chat/completions", fmt.Sprintf(`{"model":"chat","user":"user-%d","max_tokens":1,"messages":[{"role":"user","content":"Hello"}]}`, i))
			if err != nil {
				return "", err
			}
			by := r.header.Get("X-Sluice-Model")
			if r.status != http.StatusOK || arm != "" && by != arm {
				return "", fmt.Errorf("status %d; user %d had %s and then %s", r.status, i, arm, by)
			}
			arm = by
		}
		counts[arm]++
	}
	// Ten are expected of a hundred: 0 to 22 is four standard deviations.
	if n := counts["gemini-pro"]; counts["claude-3"]+n != users || n > 22 {
		return "", fmt.Errorf("the arms have %v of %d users", counts, users)
	}
	return fmt.Sprintf("of %d users %d drew claude-3 and %d gemini-pro (90 to 10), each twice the same", users, counts["claude-3"], counts["gemini-pro"]), nil
}

var demoModels = []string{"gpt-4", "claude-3", "gemini-pro", "llama-2"}

func (t *tour) spread(model string) (map[string]int, error) {
	var mu sync.Mutex
	var failed error
	counts := map[string]int{}
	work := make(chan struct{}, perStrategy)
	for range perStrategy {
		work <- struct{}{}
	}
	close(work)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range work {
				r, err := t.ask(model)
				if err == nil && r.status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", r.status, r.body)
				}
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					counts[r.header.Get("X-Sluice-Model")]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return counts, failed
}

func shares(counts map[string]int) string {
	var parts []string
	for _, m := range demoModels {
		parts = append(parts, fmt.Sprintf("%s %d %%", m, (counts[m]*100+perStrategy/2)/perStrategy))
	}
	return strings.Join(parts, ", ")
}

// plausible allows five standard deviations around what a strategy promises by
// chance, and a tenth where it promises an order: on a busy machine a target
// may seem slow or silent for a moment.
func plausible(strategy string, c map[string]int) bool {
	near := func(model string, share float64) bool {
		want := share * perStrategy
		d := float64(c[model]) - want
		return d*d <= 25*want*(1-share)+1
	}
	switch strategy {
	case "weighted":
		return near("gpt-4", 2/6.3) && near("claude-3", 1.8/6.3) && near("gemini-pro", 1.5/6.3) && near("llama-2", 1/6.3)
	case "round_robin":
		return !slices.ContainsFunc(demoModels, func(m string) bool { return c[m] < perStrategy*9/40 })
	case "latency_based":
		return slices.Max(slices.Collect(maps.Values(c))) > perStrategy/2 // who is quickest is the machine's to say
	case "cost_optimized":
		return c["llama-2"] >= perStrategy*9/10
	case "ordered":
		return c["gpt-4"] >= perStrategy*9/10
	}
	return !slices.ContainsFunc(demoModels, func(m string) bool { return c[m] == 0 })
}

func (t *tour) stream() (string, error) {
	r, err := t.post("/v1/chat/completions", `{"model":"any","stream":true,"messages":[{"role":"user","content":"Hello"}]}`)
	if err != nil {
		return "", err
	}
	events, done := 0, false
	for sc := bufio.NewScanner(strings.NewReader(string(r.body))); sc.Scan(); {
		if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
			events++
			done = data == "[DONE]"
		}
	}
	if r.status != http.StatusOK || !done {
		return "", fmt.Errorf("status %d, %d events, [DONE] at the end: %t", r.status, events, done)
	}
	return fmt.Sprintf("%d events from %s, ended by [DONE]", events, r.target()), nil
}

// failover lets gpt-4 fail once; another vendor's model answers.
func (t *tour) failover() (string, error) {
	if err := t.fault("gpt-4", &sim.Fault{Kind: sim.FaultStatus, Status: 500, Count: 1}); err != nil {
		return "", err
	}
	r, err := t.ask("gpt-4")
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK || r.header.Get("X-Sluice-Fallback-From") != "gpt-4" {
		return "", fmt.Errorf("status %d from %q, fallback from %q", r.status, r.target(), r.header.Get("X-Sluice-Fallback-From"))
	}
	return fmt.Sprintf("gpt-4 answered 500; %s took over within the request (%s attempts)", r.target(), r.header.Get("X-Sluice-Attempts")), nil
}

func (t *tour) breaker(target string) (string, error) {
	var st server.Status
	err := t.get("/gateway/status", &st)
	return st.CircuitBreakers[target], err
}

// circuit breaks gpt-4 until its breaker opens, heals it, and waits for the
// probe that closes it.
func (t *tour) circuit() (string, error) {
	if err := t.fault("gpt-4", &sim.Fault{Kind: sim.FaultReset}); err != nil {
		return "", err
	}
	asked := 0
	err := t.wait("the circuit to open", func() (bool, error) {
		r, err := t.ask("gpt-4")
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("status %d while gpt-4 was broken", r.status)
		}
		if err != nil {
			return false, err
		}
		asked++
		state, err := t.breaker("openai/gpt-4")
		return state == "open", err
	})
	if err != nil {
		return "", err
	}
	if err := t.fault("gpt-4", nil); err != nil {
		return "", err
	}
	err = t.wait("the circuit to close", func() (bool, error) {
		if _, err := t.ask("gpt-4"); err != nil {
			return false, err
		}
		state, err := t.breaker("openai/gpt-4")
		return state == "closed", err
	})
	return fmt.Sprintf("opened after %d broken connections, every request answered elsewhere; closed by a probe when healed", asked), err
}

// rateLimit lets gpt-4 say 429 for two seconds.
func (t *tour) rateLimit() (string, error) {
	f := &sim.Fault{Kind: sim.FaultStatus, Status: 429, Count: 1, Headers: map[string]string{"Retry-After": "2"}}
	if err := t.fault("gpt-4", f); err != nil {
		return "", err
	}
	if _, err := t.ask("gpt-4"); err != nil {
		return "", err
	}
	before, _ := t.d.Sim.Counters("gpt-4")
	r, err := t.ask("gpt-4")
	if err != nil {
		return "", err
	}
	after, _ := t.d.Sim.Counters("gpt-4")
	if r.status != http.StatusOK || after.Calls != before.Calls {
		return "", fmt.Errorf("status %d, %d calls to a target that asked for a pause", r.status, after.Calls-before.Calls)
	}
	if state, err := t.breaker("openai/gpt-4"); state != "closed" || err != nil {
		return "", fmt.Errorf("a 429 made the circuit %q (%v)", state, err)
	}
	err = t.wait("gpt-4 to be asked again", func() (bool, error) {
		r, err := t.ask("gpt-4")
		return r.target() == "openai/gpt-4", err
	})
	return "gpt-4 said 429, Retry-After 2: not asked while it rests, its circuit stays closed, then asked again", err
}

// frozen lets gpt-4 accept and never answer.
func (t *tour) frozen() (string, error) {
	if err := t.fault("gpt-4", &sim.Fault{Kind: sim.FaultHang}); err != nil {
		return "", err
	}
	r, err := t.ask("gpt-4")
	if err != nil {
		return "", err
	}
	if err := t.fault("gpt-4", nil); err != nil {
		return "", err
	}
	if r.status != http.StatusOK || r.target() == "openai/gpt-4" {
		return "", fmt.Errorf("status %d from %q", r.status, r.target())
	}
	return fmt.Sprintf("gpt-4 accepted and fell silent; after %.1f s the request moved to %s", r.took.Seconds(), r.target()), nil
}

// account reads the ledger: a row for each request that the tour sent.
func (t *tour) account() (string, error) {
	if err := t.d.App.ledger.Flush(t.ctx); err != nil {
		return "", err
	}
	rep, err := t.d.App.ledger.Usage(t.ctx, store.UsageQuery{})
	if err != nil {
		return "", err
	}
	if int(rep.Total.Requests) != t.sent {
		return "", fmt.Errorf("%d rows for %d requests", rep.Total.Requests, t.sent)
	}
	return fmt.Sprintf("%d requests in the ledger, %s USD", rep.Total.Requests, rep.Total.Cost), nil
}
