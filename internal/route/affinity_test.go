package route

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// promptCache is a vendor's: per credential and model it remembers the blocks
// of the prompts it saw; a prompt is cached up to its first block that is new.
type promptCache map[string]bool

const blockSize, leastCached = 256, 4096 // bytes, as 64 and 1,024 tokens

// ask returns how many bytes of the prompt were cached, and remembers it.
func (c promptCache) ask(scope, prompt string) (cached int) {
	hit := true
	for at := blockSize; at <= len(prompt); at += blockSize {
		block := scope + "\x00" + prompt[:at]
		if hit = hit && c[block]; hit {
			cached = at
		}
		c[block] = true
	}
	if cached < leastCached {
		return 0
	}
	return cached
}

// once is an answer of one chunk.
type once struct{ done bool }

func (o *once) Next() (llm.Chunk, error) {
	if o.done {
		return llm.Chunk{}, io.EOF
	}
	o.done = true
	return llm.Chunk{Raw: []byte("{}"), Level: llm.LevelContent, Usage: &llm.Usage{Input: 1, Output: 1}}, nil
}

func (o *once) Close() error { return nil }

// gateway is a pool over targets with four credentials each, in front of the
// cache.
type gateway struct {
	pool   *upstream.Pool
	cached int             // of the last request
	target string          // of the last request
	used   map[string]bool // credentials
}

// newGateway builds a generation: reg outlives it.
func newGateway(t *testing.T, reg *upstream.Registry, strategy, affinity string, cache promptCache, weights map[string]float64) *gateway {
	t.Helper()
	g := &gateway{used: map[string]bool{}}
	order, conversation, ok := New(strategy, affinity)
	if !ok {
		t.Fatalf("no strategy %q", strategy)
	}
	g.pool = &upstream.Pool{Model: "m", Strategy: strategy, Order: order, Conversation: conversation,
		Policy: upstream.Policy{Attempts: 3}, Budget: reg.Budget("m"), Registry: reg}
	for _, id := range slices.Sorted(maps.Keys(weights)) {
		target := &upstream.Target{ID: id, State: reg.State(id), Price: &llm.Price{Input: 1000, Output: 1000},
			Timeouts: upstream.Timeouts{FirstToken: time.Minute, Idle: time.Minute, Total: time.Minute, Stream: time.Minute}}
		for n := range 4 {
			cred := reg.Credential(fmt.Sprint(id, "/", n), fmt.Sprint(n))
			target.Calls = append(target.Calls, upstream.Call{Credential: cred, Cooling: target.State.Cooling(cred),
				Send: func(_ context.Context, req *llm.Request) (*llm.Response, error) {
					g.cached, g.target, g.used[cred.ID] = cache.ask(cred.ID, string(req.Body.Bytes())), id, true
					return &llm.Response{Status: 200, Target: id, Stream: &once{}}, nil
				}})
		}
		g.pool.Options = append(g.pool.Options, upstream.Option{ID: id, Weight: weights[id], Priority: 1, Target: target})
	}
	return g
}

func (g *gateway) ask(t *testing.T, prompt, session string) {
	t.Helper()
	req := &llm.Request{ID: "r", Caller: llm.Caller{Key: "k", Session: session}, Trail: llm.NewTrail("r", time.Now(), func(*llm.Trail) {})}
	if err := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(prompt)}, req); err != nil {
		t.Fatal(err)
	}
	resp, err := g.pool.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = resp.Next()
	}
	_ = resp.Close()
	req.Body.Release()
	if err != io.EOF {
		t.Fatal(err)
	}
}

// agent is a conversation that grows by a turn with each prompt.
type agent struct {
	name     string
	messages []string
}

func (a *agent) prompt() string {
	say := func(role, text string) {
		b, _ := json.Marshal(map[string]string{"role": role, "content": text})
		a.messages = append(a.messages, string(b))
	}
	if a.messages == nil {
		say("system", strings.Repeat(a.name+" goes by the book. ", 250))
	} else {
		say("assistant", "done "+strings.Repeat("and said so ", 20))
	}
	say("user", fmt.Sprintf("%s, step %d: %s", a.name, len(a.messages), strings.Repeat("a line of a file ", 30)))
	return `{"model":"m","messages":[` + strings.Join(a.messages, ",") + `]}`
}

// Agents of one system prompt and of their own take turns at random behind
// targets of unequal weights with four credentials each: each gets at least
// 99 % of the cached bytes that it gets from one vendor with one credential,
// with every strategy, and the credentials share the work.
func TestConversationsKeepTheirCache(t *testing.T) {
	if raced {
		t.Skip("one goroutine and much arithmetic: make test runs it without the race detector")
	}
	for _, strategy := range Strategies() {
		rnd := rand.New(rand.NewPCG(4, 2))
		cache, direct := promptCache{}, promptCache{}
		g := newGateway(t, upstream.NewRegistry(), strategy, "auto", cache, map[string]float64{"a/m": 3, "b/m": 1, "c/m": 0.5})
		agents := make([]*agent, 20)
		for i := range agents {
			agents[i] = &agent{name: fmt.Sprint("agent ", i)}
		}
		with, without := make([]int, len(agents)), make([]int, len(agents))
		for range 20 * len(agents) {
			i := rnd.IntN(len(agents))
			prompt := agents[i].prompt()
			g.ask(t, prompt, "")
			with[i] += g.cached
			without[i] += direct.ask(agents[i].name, prompt)
			if rnd.IntN(3) == 0 { // others' single questions between
				g.ask(t, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "")
			}
		}
		for i := range agents {
			if without[i] == 0 || with[i]*100 < without[i]*99 {
				t.Errorf("%s: agent %d has %d cached bytes, without a gateway %d", strategy, i, with[i], without[i])
			}
		}
		if len(g.used) < 4 {
			t.Errorf("%s: %d credentials had work", strategy, len(g.used))
		}
	}
}

// Without affinity the same agents lose their caches: what the test above
// measures is affinity.
func TestCacheIsLostWithoutAffinity(t *testing.T) {
	g := newGateway(t, upstream.NewRegistry(), "weighted", "off", promptCache{}, map[string]float64{"a/m": 1, "b/m": 1, "c/m": 1})
	direct := promptCache{}
	with, without := 0, 0
	for i := range 10 {
		a := &agent{name: fmt.Sprint("agent ", i)}
		for range 12 {
			prompt := a.prompt()
			g.ask(t, prompt, "")
			with += g.cached
			without += direct.ask("", prompt)
		}
	}
	if with*100 > without*80 {
		t.Errorf("%d cached bytes with affinity off, %d without a gateway", with, without)
	}
}

// A reload that takes a target out, or brings one, moves only the
// conversations that were there, or that go there; the others keep target and
// credential, and so their caches.
func TestReloadMovesFew(t *testing.T) {
	reg, cache := upstream.NewRegistry(), promptCache{}
	two := map[string]float64{"a/m": 1, "b/m": 1}
	three := map[string]float64{"a/m": 1, "b/m": 1, "c/m": 2}
	agents := make([]*agent, 60)
	home := make([]string, len(agents))
	g := newGateway(t, reg, "weighted", "auto", cache, two)
	for i := range agents {
		agents[i] = &agent{name: fmt.Sprint("agent ", i)}
		g.ask(t, agents[i].prompt(), "")
		home[i] = g.target
	}
	for _, step := range []struct {
		weights map[string]float64
		from    string // who was there may move; "": anyone, but only to
		to      string
	}{{three, "", "c/m"}, {two, "c/m", ""}, {map[string]float64{"a/m": 1, "b/m": 5}, "a/m", "b/m"}} {
		g = newGateway(t, reg, "weighted", "auto", cache, step.weights)
		moved := 0
		for i := range agents {
			before := len(agents[i].messages)
			g.ask(t, agents[i].prompt(), "")
			if g.target == home[i] {
				if g.cached == 0 {
					t.Errorf("%v: agent %d stayed at %s and lost its cache after %d messages", step.weights, i, home[i], before)
				}
				continue
			}
			moved++
			if step.from != "" && home[i] != step.from || step.to != "" && g.target != step.to {
				t.Errorf("%v: agent %d moved from %s to %s", step.weights, i, home[i], g.target)
			}
			home[i] = g.target
		}
		if moved == 0 || moved == len(agents) {
			t.Errorf("%v: %d of %d moved", step.weights, moved, len(agents))
		}
	}
}

// Replicas and restarts agree on where a conversation lives, and so do the
// versions of the gateway that run side by side while one replaces the other.
func TestHomesAreTheSameEverywhere(t *testing.T) {
	var got []string
	for i := range 24 {
		all := options(upstream.NewRegistry(), []float64{2, 1, 1, 0.5}, nil, nil)
		order, _, _ := New("adaptive", "auto")
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) // whatever the file's order
		order(all, upstream.Ask{Req: request(body{}, fmt.Sprint("session-", i), "team"), Now: 1, Turn: uint64(i)})
		got = append(got, strings.TrimPrefix(all[0].ID, "p/"))
	}
	const want = "200030013210102210002000"
	if s := strings.Join(got, ""); s != want {
		t.Errorf("homes of 24 sessions: got %s, want %s", s, want)
	}
}

// Where the target of a conversation cannot be asked, the conversations go to
// their own second choices: in shares by weight, and the rest of each order
// as it was.
func TestSecondChoices(t *testing.T) {
	const n = 20_000
	weights := []float64{4, 3, 2, 1}
	all := options(upstream.NewRegistry(), weights, nil, nil)
	order, _, _ := New("weighted", "session")
	second, orphans := map[string]int{}, 0
	for i := range n {
		req := request(body{}, fmt.Sprint("s", i), "k")
		full := slices.Clone(all)
		order(full, upstream.Ask{Req: req, Now: 1})
		for gone := range full {
			rest := slices.DeleteFunc(slices.Clone(all), func(o *upstream.Option) bool { return o == full[gone] })
			order(rest, upstream.Ask{Req: req, Now: 1})
			if want := slices.Delete(slices.Clone(full), gone, gone+1); !slices.Equal(rest, want) {
				t.Fatalf("session %d: the order changed when %s went", i, full[gone].ID)
			}
		}
		if full[0].ID == "p/0" {
			orphans++
			second[full[1].ID]++
		}
	}
	for i, w := range weights[1:] {
		if id := fmt.Sprintf("p/%d", i+1); !near(second[id], orphans, w/6) {
			t.Errorf("%s took %d of the %d conversations of p/0, want a share of %.3f", id, second[id], orphans, w/6)
		}
	}
}

// The cheapest is the cheapest for this request: long prompts go where input
// is cheap, long answers where output is.
func TestCheapestForTheRequest(t *testing.T) {
	reader, writer := &llm.Price{Input: 1000, Output: 100_000}, &llm.Price{Input: 10_000, Output: 2000}
	reg := upstream.NewRegistry()
	all := options(reg, []float64{1, 1}, nil, []*llm.Price{reader, writer})
	order, _, _ := New("cost_optimized", "auto")
	ask := func(prompt int, answer int) string {
		req := &llm.Request{}
		if err := openai.Decode(llm.OpChat, &wire.Buffer{B: fmt.Appendf(nil, `{"messages":[{"role":"user","content":"%s"}],"max_tokens":%d}`, strings.Repeat("x", prompt), answer)}, req); err != nil {
			t.Fatal(err)
		}
		opts := slices.Clone(all)
		order(opts, upstream.Ask{Req: req, Now: 1})
		return opts[0].ID
	}
	if got := ask(400_000, 10); got != "p/0" {
		t.Errorf("a long prompt goes to %s", got)
	}
	if got := ask(10, 4000); got != "p/1" {
		t.Errorf("a long answer goes to %s", got)
	}
}
