package upstream

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// TestSimulation lets pools of all kinds serve random traffic through random
// weather: each vendor's times of being well, slow, silent, broken, refusing or
// limiting are drawn from the seed, and so are pools, settings, arrivals and
// clients that leave. See world for what must hold. A failure names its seed;
// SLUICE_SEED=n runs that one, a hundred times, since what the code draws itself
// (jitter) and who comes first of two at the same time are not of the seed.
// SLUICE_SOAK=1 runs twenty thousand.
func TestSimulation(t *testing.T) {
	first, runs := uint64(0), uint64(1000)
	if testing.Short() || raced {
		runs = 100
	}
	if os.Getenv("SLUICE_SOAK") == "1" {
		runs = 20_000
	}
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = n, 1
	}
	again := 1
	if runs == 1 {
		again = 100
	}
	for i := range runs * uint64(again) {
		seed := first + i/uint64(again)
		virtual(t, func(t *testing.T, r *rig) { newWorld(t, r, seed).play() })
		if t.Failed() {
			t.Fatalf("the seed was %d", seed)
		}
	}
}

// lawful is the order of events, up to any of them.
var lawful = regexp.MustCompile(`^(s(b(d*(et?)?)?)?)?$`)

// longestLine is how long a request may wait for room at most.
const longestLine = 3 * time.Second

// words are a whole answer.
var words = []string{"one ", "two ", "three ", "four ", "five."}

// climate is what a vendor does at a time.
type climate uint8

const (
	fair   climate = iota // answers
	slow                  // answers, late
	silent                // takes the call and says nothing
	down                  // refuses connections
	broken                // 500
	busy                  // 429
	torn                  // breaks off in the middle
	stuck                 // falls silent in the middle
	climates
)

// spell is a time of one climate.
type spell struct {
	until time.Duration
	climate
}

// place is a target with its weather.
type place struct {
	*Target
	w       *world
	weather []spell // by rising time; fair after the last
	well    bool    // it has none, and is never drained
	mu      sync.Mutex
	calls   int
	drained time.Time // since when the operator drains it; zero: it does not
}

// drain drains the target, or ends that.
func (x *place) drain() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.drained.IsZero() {
		x.drained = time.Now()
		x.Drain()
	} else {
		x.drained = time.Time{}
		x.Undrain()
	}
}

// world is one simulation. What must hold: every request ends once, with a whole
// answer said once or with an error; every attempt that began has ended and is
// settled once, and the vendors saw as many; attempts stay within their number,
// retries and hedges within their budgets, calls within their credential's
// slots; none begins at a target that is drained; a request whose pool has a target that is always well, and no limits,
// is answered; nobody waits or takes longer than it may; and when all is well
// again, so is every target, and nobody is in line.
type world struct {
	t      *testing.T
	r      *rig
	rnd    *rand.Rand // of the plan; calls draw from their own
	seed   uint64
	begin  time.Time
	places []*place
	pools  []*Pool
	sure   map[*Pool]bool // one of its targets is always well, and attempts reach it
	wg     sync.WaitGroup
	asked  int
}

func newWorld(t *testing.T, r *rig, seed uint64) *world {
	w := &world{t: t, r: r, rnd: rand.New(rand.NewPCG(seed, 11)), seed: seed, begin: time.Now(), sure: map[*Pool]bool{}}
	for m := range 1 + w.rnd.IntN(3) {
		w.pool(m)
	}
	for _, p := range w.pools {
		for _, f := range w.pools {
			if f != p && w.rnd.IntN(3) == 0 {
				p.Fallback = append(p.Fallback, f)
			}
		}
		switch f := w.pools[w.rnd.IntN(len(w.pools))]; w.rnd.IntN(4) {
		case 0:
			p.Degrade = append(p.Degrade, Degrade{MaxOutput: 10}, Degrade{Answer: "busy"})
		case 1:
			if f != p {
				p.Degrade = append(p.Degrade, Degrade{Pool: f})
			}
		}
	}
	return w
}

func (w *world) pool(m int) {
	var members []any
	n := 1 + w.rnd.IntN(4)
	sure := w.rnd.IntN(3) == 0
	for i := range n {
		keys := []string{"k1", "k2", "k3"}[:1+w.rnd.IntN(3)]
		if sure {
			keys = keys[:1]
		}
		x := w.place(fmt.Sprintf("p%d/%d", m, i), keys, sure && i == 0)
		members = append(members, x.Target)
	}
	p := w.r.pool(fmt.Sprint("m", m), members...)
	p.Order = [...]Order{ordered, roundRobin}[w.rnd.IntN(2)]
	p.Policy = Policy{Attempts: 1 + w.rnd.IntN(4), Budget: float64(w.rnd.IntN(4)) / 10, Resume: w.rnd.IntN(2) == 0}
	if w.rnd.IntN(2) == 0 {
		p.Policy.Hedge = &Hedge{After: time.Duration(w.rnd.IntN(2)*w.rnd.IntN(2000)) * ms, Budget: []float64{0.05, 0.5, 1}[w.rnd.IntN(3)]}
	}
	if sure { // attempts and budget reach every target, and a hedge beside
		p.Policy.Attempts, p.Policy.Budget = 10, 10
	}
	w.pools = append(w.pools, p)
	w.sure[p] = sure
}

// place makes a target with weather of its own, none where it is always well.
func (w *world) place(id string, keys []string, well bool) *place {
	t, v := w.r.target(id, nil, keys...)
	x := &place{Target: t, w: w, well: well}
	t.SlowStart = time.Duration(w.rnd.IntN(2)*10) * time.Second
	t.Timeouts = Timeouts{FirstToken: 3 * time.Second, Idle: 2 * time.Second, Total: 5 * time.Second, Stream: 20 * time.Second}
	t.Breaker.Failures = 1 + w.rnd.IntN(5)
	if limited := !well && w.rnd.IntN(2) == 0; limited {
		t.Limits.Concurrent = int64(1 + w.rnd.IntN(3))
		t.Limits.RPM = int64(w.rnd.IntN(2) * (20 + w.rnd.IntN(100)))
	}
	t.Timeouts.Queue = time.Duration(1 + w.rnd.Int64N(int64(longestLine)))
	t.Adopt()
	for at := time.Duration(0); !well && at < 40*time.Second; {
		s := spell{at + time.Duration(w.rnd.IntN(8000))*ms, climate(w.rnd.IntN(int(climates)))}
		if w.rnd.IntN(2) == 0 {
			s.climate = fair
		}
		x.weather = append(x.weather, s)
		at = s.until
	}
	for i := range t.Calls {
		t.Calls[i].Send = x.send(v, keys[i])
	}
	w.places = append(w.places, x)
	return x
}

// at is the climate after d.
func (x *place) at(d time.Duration) climate {
	for _, s := range x.weather {
		if d < s.until {
			return s.climate
		}
	}
	return fair
}

// send answers as the weather is when the call comes.
func (x *place) send(v *vendor, key string) func(context.Context, *llm.Request) (*llm.Response, error) {
	return func(ctx context.Context, req *llm.Request) (resp *llm.Response, err error) {
		x.mu.Lock()
		x.calls++
		n := x.calls
		if at := x.drained; !at.IsZero() && time.Now().After(at) {
			x.w.t.Errorf("a call to %s, which has been drained for %v", x.ID, time.Since(at))
		}
		x.mu.Unlock()
		v.mu.Lock()
		v.busy[key]++
		if most := x.Limits.Concurrent; most > 0 && int64(v.busy[key]) > most {
			x.w.t.Errorf("%d calls at %s with %s, want at most %d", v.busy[key], x.ID, key, most)
		}
		v.mu.Unlock()
		defer func() {
			if err != nil {
				v.end(key)
			}
		}()
		h := fnv.New64a()
		_, _ = io.WriteString(h, x.ID)
		rnd := rand.New(rand.NewPCG(x.w.seed, h.Sum64()+uint64(n)))
		d := time.Duration(rnd.IntN(300)) * ms
		c := x.at(time.Since(x.w.begin))
		switch c {
		case slow:
			d += time.Duration(rnd.IntN(4000)) * ms
		case silent:
			d = forever
		}
		if err := sleep(ctx, d); err != nil {
			return nil, err
		}
		switch c {
		case down:
			return nil, &llm.Error{Kind: llm.KindConnect, Message: "refused"}
		case broken:
			return nil, &llm.Error{Kind: llm.KindUpstream, Message: "500"}
		case busy:
			return nil, &llm.Error{Kind: llm.KindRateLimited, Message: "429", RetryAfter: time.Duration(rnd.IntN(3000)) * ms}
		}
		v.mu.Lock()
		v.open++
		v.mu.Unlock()
		return &llm.Response{Status: 200, Proto: llm.ProtoOpenAI, Stream: &scripted{ctx: ctx, v: v, credential: key, steps: x.steps(req, c, rnd)}}, nil
	}
}

// steps are an answer, or what is left of it after the prefix.
func (x *place) steps(req *llm.Request, c climate, rnd *rand.Rand) []step {
	left := words
	for p := req.Prefix; p != "" && len(left) > 0; left = left[1:] {
		p = strings.TrimPrefix(strings.TrimPrefix(p, " "), strings.TrimSpace(left[0]))
	}
	if !req.Stream {
		all := evs(0, start(), block(0, llm.BlockText), delta(0, strings.Join(left, "")), end(0), stop())
		if c == torn || c == stuck {
			return []step{{after: time.Duration(int64(c)-int64(torn)) * forever, err: cut.err}}
		}
		return []step{all}
	}
	all := []step{{chunk: llm.Chunk{Events: []llm.Event{start()}, Level: llm.LevelData}}}
	for i, w := range left {
		s := evs(time.Duration(rnd.IntN(200))*ms, delta(0, w))
		if i == 0 {
			s = evs(0, block(0, llm.BlockText), delta(0, w))
		}
		all = append(all, s)
	}
	if len(left) == 0 {
		all = append(all, evs(0, block(0, llm.BlockText)))
	}
	all = append(all, evs(0, end(0), stop(), count(1, int64(len(left)))))
	switch c {
	case torn:
		return append(all[:rnd.IntN(len(all))], cut)
	case stuck:
		return append(all[:rnd.IntN(len(all))], step{after: forever})
	}
	return all
}

// play lets clients come, and checks what they saw; then all is well again.
func (w *world) play() {
	for range 5 + w.rnd.IntN(60) {
		w.client(w.pools[w.rnd.IntN(len(w.pools))], w.rnd.IntN(2) == 0, w.rnd.IntN(8) == 0, time.Duration(w.rnd.IntN(4000))*ms)
		time.Sleep(time.Duration(w.rnd.IntN(400)) * ms)
		switch x := w.places[w.rnd.IntN(len(w.places))]; w.rnd.IntN(30) {
		case 0:
			for _, x := range w.places {
				x.Adopt()
			}
		case 1, 2:
			if !x.well {
				x.drain()
			}
		case 3:
			x.Reset()
		}
	}
	w.wg.Wait()
	synctest.Wait()
	w.budgets()
	for _, x := range w.places {
		if x.weather = nil; !x.drained.IsZero() {
			x.drain()
		}
	}
	time.Sleep(11 * time.Minute) // longer than any cooldown
	for _, x := range w.places {
		if x.State.InFlight() != 0 {
			w.t.Errorf("%s: %d calls in flight at the end", x.ID, x.State.InFlight())
		}
		p := w.r.pool("alone "+x.ID, x.Target)
		w.client(p, true, false, 0)
		w.wg.Wait()
		equal(w.t, "phase of "+x.ID+" when all is well", phase(x.Target), Closed)
	}
}

// client asks once in a goroutine of its own.
func (w *world) client(p *Pool, stream, leaves bool, after time.Duration) {
	w.asked++
	alone := strings.HasPrefix(p.Model, "alone")
	req := w.r.request(stream)
	req.Caller = llm.Caller{Key: []string{"one", "two", "three"}[w.rnd.IntN(3)], Priority: llm.Priority(w.rnd.IntN(3) - 1)}
	req.Body = talk{"the prompt", &llm.Chat{N: 1, Messages: []llm.Message{{Blocks: []llm.Block{{Text: "Count."}}}}}}
	w.wg.Go(func() {
		ctx := context.Background()
		if leaves {
			c, cancel := context.WithTimeout(ctx, after)
			defer cancel()
			ctx = c
		}
		begin := time.Now()
		text, degraded, err := w.read(ctx, p, req)
		took := time.Since(begin)
		req.Trail.Close(time.Now())
		whole := strings.Join(words, "")
		switch {
		case err == nil && degraded > 0 && text == "busy":
		case err == nil && text != whole:
			w.t.Errorf("a clean answer reads %q", text)
		case err != nil && !strings.HasPrefix(whole, text):
			w.t.Errorf("a broken answer reads %q", text)
		case err != nil && err.Kind != llm.KindCanceled && (alone || w.sure[p] && text == "" && err.Kind != llm.KindTimeout):
			w.t.Errorf("%s has a target that is well, but the answer is %v", p.Model, err)
		}
		if most := 45 * time.Second; took > most {
			w.t.Errorf("took %v", took)
		}
		w.attempts(p, req)
	})
}

// read reads an answer to its end.
func (w *world) read(ctx context.Context, p *Pool, req *llm.Request) (text string, degraded int, err *llm.Error) {
	resp, bad := p.Do(ctx, req)
	if bad != nil {
		return "", 0, llm.AsError(bad)
	}
	defer resp.Close()
	law := ""
	for {
		c, e := resp.Next()
		for _, ev := range c.Events {
			text += ev.Text
			law += [...]string{llm.EventStart: "s", llm.EventBlock: "b", llm.EventDelta: "d", llm.EventBlockEnd: "e", llm.EventStop: "t", llm.EventUsage: ""}[ev.Kind]
			if ev.Index != 0 {
				w.t.Errorf("an event of block %d", ev.Index)
			}
		}
		if !lawful.MatchString(law) {
			w.t.Errorf("events in the order %s", law)
		}
		if e == io.EOF {
			return text, resp.Degraded, nil
		}
		if e != nil {
			return text, resp.Degraded, llm.AsError(e)
		}
	}
}

// attempts checks those of one request.
func (w *world) attempts(p *Pool, req *llm.Request) {
	hedges, resumed := 0, 0
	by := map[string]int{}
	for _, a := range req.Trail.Attempts() {
		switch a.Note {
		case llm.NoteHedge:
			hedges++
		case llm.NoteResume:
			resumed++
		}
		if a.Outcome != llm.KindConnect.String() {
			by[a.Model]++
		}
	}
	if d := req.Trail.Queued; d > longestLine {
		w.t.Errorf("stood in line for %v, want at most %v", d, longestLine)
	}
	if hedges > 1 {
		w.t.Errorf("%d hedges of one request", hedges)
	}
	rounds := 1 + len(p.Degrade)
	for m, n := range by {
		if most := p.Policy.Attempts * rounds; n > most {
			w.t.Errorf("%d calls within %s, want at most %d", n, m, most)
		}
	}
}

// budgets checks what all requests took together, against what the vendors saw.
func (w *world) budgets() {
	calls, seen, free, hedges := 0, 0, 0, 0
	for _, tr := range w.r.trails {
		for i, a := range tr.Attempts() {
			calls++
			switch {
			case a.Note == llm.NoteHedge:
				hedges++
				free++
			case i == 0 || tr.Attempts()[i-1].Outcome == llm.KindConnect.String():
				free++
			}
		}
	}
	for _, x := range w.places {
		seen += x.calls
	}
	equal(w.t, "calls that vendors saw", seen, calls)
	share, hedge := 0.0, 0.0
	for _, p := range w.pools {
		share = max(share, p.Policy.Budget)
		if h := p.Policy.Hedge; h != nil {
			hedge = max(hedge, h.Budget)
		}
	}
	if most := hedge * float64(w.asked); float64(hedges) > most {
		w.t.Errorf("%d hedges of %d requests, want at most %.0f", hedges, w.asked, most)
	}
	seconds := int(time.Since(w.begin)/time.Second) + budgetWindow + 1
	if most := float64(free) + share*float64(w.asked) + float64(len(w.pools)*budgetFloor*seconds); float64(calls) > most {
		w.t.Errorf("%d calls for %d requests, want at most %.0f", calls, w.asked, most)
	}
}
