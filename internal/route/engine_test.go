package route

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// The engines of the simulation: 8 replicas of 16 slots; prompts of a shared
// prefix of 2,000 tokens (Zipf 0.9 over 200) and 200 of their own; a prefix
// cache of the last 25 prefixes; answers of lognormal length, mean 250 tokens.
// A prompt is read at 8,500 tokens/s, and answers are written slower the more
// slots are taken. Speeds and fullLoad, the requests a second that 100 % stands
// for, are such that whole answers of least_busy take 5.0 s at 70 % and 6.5 s at
// 88 % at the median, as in the study that the goals come from.
const (
	replicas, slots   = 8, 16
	prefixes, held    = 200, 25
	shared, own       = 2000, 200 // tokens
	answers           = 250.      // mean tokens
	readRate          = 8500.     // tokens a second
	capacity          = held*shared + slots*(own+answers)
	bytesPerToken     = 4
	tokenAlone        = 15 * time.Millisecond
	tokensAtOnce      = 40
	slowerWithTakenBy = 8.6
	fullLoad          = 12.5
)

func perToken(taken int) time.Duration {
	return time.Duration(float64(tokenAlone) * (1 + float64(taken)/slowerWithTakenBy))
}

// replica is one engine.
type replica struct {
	times  float64 // as slow
	seed   uint64
	prefix func(n int) int // of request n

	mu      sync.Mutex
	taken   int
	queue   []chan struct{}
	cache   []int // the last used last
	tokens  int   // in use
	hits    int
	lookups int
}

func (r *replica) answer(ctx context.Context, _ time.Duration, n int) (func(context.Context) error, func(), error) {
	rnd := rand.New(rand.NewPCG(r.seed, uint64(n)))                     // the same answer is as long anywhere
	tokens := int(math.Ceil(answers * math.Exp(rnd.NormFloat64()-0.5))) // σ = 1
	if err := r.enter(ctx); err != nil {
		return nil, nil, err
	}
	use := shared + own + tokens
	r.mu.Lock()
	r.tokens += use
	read := shared + own
	if r.cached(r.prefix(n)) {
		read = own
	}
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		r.tokens -= use
		r.mu.Unlock()
		r.leave()
	}
	if err := wait(ctx, time.Duration((float64(read)/readRate*1e9+3e6)*r.times)); err != nil {
		leave()
		return nil, nil, err
	}
	return func(ctx context.Context) error {
		if tokens <= 0 {
			return io.EOF
		}
		r.mu.Lock()
		d := float64(perToken(r.taken)) * float64(min(tokens, tokensAtOnce)) * r.times
		r.mu.Unlock()
		tokens -= tokensAtOnce
		return wait(ctx, time.Duration(d))
	}, leave, nil
}

// enter waits for a slot.
func (r *replica) enter(ctx context.Context) error {
	r.mu.Lock()
	if r.taken < slots {
		r.taken++
		r.mu.Unlock()
		return nil
	}
	place := make(chan struct{})
	r.queue = append(r.queue, place)
	r.mu.Unlock()
	select {
	case <-place: // handed on
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	i := slices.Index(r.queue, place)
	if i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
	}
	r.mu.Unlock()
	if i < 0 {
		r.leave()
	}
	return ctx.Err()
}

// leave hands the slot on.
func (r *replica) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) > 0 {
		close(r.queue[0])
		r.queue = r.queue[1:]
	} else {
		r.taken--
	}
}

// cached reports whether a prefix is held, and holds it from now on.
func (r *replica) cached(prefix int) bool {
	i := slices.Index(r.cache, prefix)
	if i >= 0 {
		r.cache = slices.Delete(r.cache, i, i+1)
		r.hits++
	} else if len(r.cache) == held {
		r.cache = slices.Delete(r.cache, 0, 1)
	}
	r.cache = append(r.cache, prefix)
	r.lookups++
	return i >= 0
}

// report is what the engine's metrics would say.
func (r *replica) report() upstream.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return upstream.Report{Running: float64(r.taken), Waiting: float64(len(r.queue)), Used: min(1, float64(r.tokens)/capacity), Capacity: capacity}
}

// document is a prompt that engines look at.
type document struct{ text []byte }

func (d document) Bytes() []byte                 { return d.text }
func (d document) Conversation() (uint64, bool)  { return 0, false }
func (d document) User() string                  { return "" }
func (d document) Prompt(dst [][]byte) [][]byte  { return append(dst, d.text) }
func (d document) Chat() (*llm.Chat, *llm.Error) { return nil, nil }
func (d document) Hold()                         {}
func (d document) Release()                      {}

// zipf draws the prefix of each request.
func zipf(seed uint64) func(n int) int {
	sum := 0.0
	var upTo [prefixes]float64
	for i := range upTo {
		sum += math.Pow(float64(i+1), -0.9)
		upTo[i] = sum
	}
	return func(n int) int {
		x := rand.New(rand.NewPCG(seed, uint64(n))).Float64() * sum
		i, _ := slices.BinarySearch(upTo[:], x)
		return min(i, prefixes-1)
	}
}

// texts are the shared prefixes.
func texts() [][]byte {
	all := make([][]byte, prefixes)
	for i := range all {
		all[i] = []byte(strings.Repeat(fmt.Sprintf("%07d ", i), shared*bytesPerToken/8))
	}
	return all
}

// fleet runs the engines at a load; the first is times as slow.
func fleet(t *testing.T, strategy string, load, times float64, seed uint64, length time.Duration) *simulation {
	s := &simulation{strategy: strategy, engines: true, rate: load * fullLoad, length: length, warm: 2 * time.Minute, seed: seed}
	prefix, text := zipf(seed), texts()
	s.prompt = func(n int) llm.Body {
		b := append(make([]byte, 0, (shared+own)*bytesPerToken), text[prefix(n)]...)
		return document{append(b, strings.Repeat(fmt.Sprintf("%07d,", n), own*bytesPerToken/8)...)}
	}
	var all []*replica
	for i := range replicas {
		r := &replica{times: 1, seed: seed, prefix: prefix}
		if i == 0 {
			r.times = times
		}
		all = append(all, r)
		s.vendors = append(s.vendors, r)
	}
	s.tick = func(_ time.Duration, targets []*upstream.Target) {
		for i, r := range all {
			targets[i].Engine.Hear(r.report())
		}
	}
	s.run(t)
	hits, lookups := 0, 0
	for _, r := range all {
		hits, lookups = hits+r.hits, lookups+r.lookups
	}
	t.Logf("%-10s at %.0f %%, first %.0f × slow: first token p50 %.3f s, p95 %.2f s, p99 %.2f s, whole p50 %.1f s, prefix hits %.0f %%, share of the first %.1f %%, %d requests", strategy, load*100, times,
		s.quantile(0.5).Seconds(), s.quantile(0.95).Seconds(), s.quantile(0.99).Seconds(), s.whole[len(s.whole)/2].Seconds(), 100*float64(hits)/float64(lookups), 100*s.share(0, s.warm, s.length), s.total)
	return s
}

// Between engines, adaptive finds the prefix in a cache without losing the
// balance: the first token comes at least five times sooner than with
// least_busy, the slowest hundredth waits no longer near saturation, and a slow
// replica has less than half of its share.
func TestEngines(t *testing.T) {
	if raced {
		t.Skip("hours of virtual time in one goroutine after another: nothing races; it runs without the race detector")
	}
	const seed, length = 3, 12 * time.Minute
	calm, calmest := fleet(t, "adaptive", 0.7, 1, seed, length), fleet(t, "least_busy", 0.7, 1, seed, length)
	if a, b := calm.quantile(0.5), calmest.quantile(0.5); float64(a) > 0.2*float64(b) {
		t.Errorf("at 70 %%: the first token comes after %v, with least_busy %v; want a fifth", a, b)
	}
	var busy, busiest time.Duration
	for _, seed := range []uint64{2, 3} { // queues near saturation are long by chance
		busy += fleet(t, "adaptive", 0.88, 1, seed, length).quantile(0.99)
		busiest += fleet(t, "least_busy", 0.88, 1, seed, length).quantile(0.99)
	}
	if busy > busiest {
		t.Errorf("at 88 %%: the slowest hundredth waits %v, with least_busy %v", busy/2, busiest/2)
	}
	slow := fleet(t, "adaptive", 0.75*(7+1./3)/8, 3, seed, 2*length)
	if got := slow.share(0, slow.warm, slow.length); got > 0.06 {
		t.Errorf("a replica that is 3 times as slow has a share of %.3f, want 0.06", got)
	}
	if slow.well != slow.total {
		t.Errorf("%d of %d were answered", slow.well, slow.total)
	}
}

// fleetOf are engines of which nothing is known.
func fleetOf(n int) (all []*upstream.Option) {
	all = options(upstream.NewRegistry(), slices.Repeat([]float64{1}, n), nil, nil)
	for _, o := range all {
		o.Target.Engine = o.Target.State.Engine()
	}
	return all
}

func chain(name string, n int) (blocks []uint64) {
	for i := range n {
		blocks = append(blocks, upstream.Mix(uint64(i+1)<<32, name)|1)
	}
	return blocks
}

// What decides between two engines, the second of which has the prompt's prefix.
func TestScore(t *testing.T) {
	prompt := chain("p", 20)
	tell := func(running, waiting, used, capacity float64) upstream.Report {
		return upstream.Report{Running: running, Waiting: waiting, Used: used, Capacity: capacity}
	}
	const size = 64 * 1024
	idle := tell(0, 0, 0, size)
	for _, c := range []struct {
		name          string
		first, second upstream.Report
		weight        float64 // of the second
		shared        int     // blocks that it has
		want          int
	}{
		{"both idle", idle, idle, 1, 20, 1},
		{"half of it is there", idle, idle, 1, 10, 1},
		{"one is read there", idle, tell(1, 0, 0.1, size), 1, 20, 1},
		{"many are at work there", idle, tell(20, 0, 0.6, size), 1, 20, 0},
		{"one waits for a place there", idle, tell(8, 1, 0.1, size), 1, 20, 0},
		{"a longer line there", tell(8, 1, 0.5, size), tell(8, 2, 0.5, size), 1, 20, 0},
		{"lines as long", tell(8, 2, 0.5, size), tell(8, 2, 0.6, size), 1, 20, 1},
		{"more calls, twice the size", tell(10, 0, 0.3, size), tell(12, 0, 0.3, size), 2, 1, 1},
		{"full", tell(1, 0, 0.1, size), tell(3, 0, 0.99, size), 1, 10, 0},
		{"nothing of it is there, and it is fuller", idle, tell(1, 0, 0.1, size), 1, 0, 0},
		{"of unknown size, by its own word full", tell(1, 0, 0.1, -1), tell(1, 0, 0.9, -1), 1, 0, 0},
	} {
		all := fleetOf(2)
		all[1].Weight = c.weight
		all[0].Target.Engine.Hear(c.first)
		all[1].Target.Engine.Hear(c.second)
		all[1].Target.Engine.Learn(append(prompt[:c.shared:c.shared], chain("other", 20)[c.shared:]...))
		want := all[c.want]
		for turn := range uint64(20) {
			opts := slices.Clone(all)
			adaptive(opts, upstream.Ask{Req: short(0), Now: 1, Turn: turn, Prefix: prompt})
			if opts[0] != want {
				t.Errorf("%s: the other one was taken", c.name)
				break
			}
		}
	}
}

// Engines that are alike share; of very many, some are looked at, and among them
// the one where prompts of the same beginning went.
func TestManyEngines(t *testing.T) {
	got := map[*upstream.Option]int{}
	all := fleetOf(4)
	for turn := range uint64(4000) {
		opts := slices.Clone(all)
		adaptive(opts, upstream.Ask{Req: short(0), Now: 1, Turn: turn})
		got[opts[0]]++
	}
	for _, o := range all {
		if !near(got[o], 4000, 0.25) {
			t.Errorf("%s was taken %d times of 4000", o.ID, got[o])
		}
	}
	all = fleetOf(100)
	for i := range 50 {
		prompt := chain(fmt.Sprint(i), 30)
		var home *upstream.Option
		for turn := range uint64(20) {
			opts := slices.Clone(all)
			adaptive(opts, upstream.Ask{Req: short(0), Now: 1, Turn: turn, Prefix: prompt})
			if home != nil && opts[0] != home {
				t.Fatalf("prompt %d moved from %s to %s", i, home.ID, opts[0].ID)
			}
			home = opts[0]
			home.Target.Engine.Learn(prompt)
			sorted := slices.Clone(opts)
			slices.SortFunc(sorted, func(a, b *upstream.Option) int { return slices.Index(all, a) - slices.Index(all, b) })
			if !slices.Equal(sorted, all) {
				t.Fatal("an engine was lost or doubled")
			}
		}
	}
}
