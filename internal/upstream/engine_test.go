package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// What is under way at an engine is counted from the call to its end, however it
// ends, and what waits until its first content.
func TestEngineCounts(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, v := r.target("e/a", always(script{wait: time.Second, steps: []step{content(0, "ok"), content(time.Second, "ok")}}))
		a.Engine = a.State.Engine()
		p := r.pool("m", a)
		load := func() Load { return a.Engine.Load(r.reg.now()) }
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { r.streamed(p) })
		}
		time.Sleep(500 * time.Millisecond)
		const each = 11 + defaultOutput // 41 bytes of a prompt, an answer of which nothing is known
		equal(t, "before the first content", load(), Load{Calls: 2, Waiting: 2, Tokens: 2 * each})
		time.Sleep(time.Second)
		equal(t, "before the end", load(), Load{Calls: 2, Tokens: 2 * each})
		wg.Wait()
		equal(t, "after the end", load(), Load{})
		ctx, cancel := context.WithCancel(context.Background())
		v.set(always(script{wait: forever}))
		wg.Go(func() { r.ask(ctx, p, r.request(true)) })
		time.Sleep(time.Millisecond)
		equal(t, "while it hangs", load().Waiting, 1)
		cancel()
		wg.Wait()
		equal(t, "after the client left", load(), Load{})
		v.set(always(failing(llm.KindUpstream)))
		r.streamed(p)
		equal(t, "after failures", load(), Load{})
	})
}

// What an engine says of itself adds others' calls to the gateway's own, and is
// forgotten after a while, but for its size.
func TestEngineReport(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		state := r.reg.State("e/a")
		e := state.Engine()
		load := func() Load { return e.Load(r.reg.now()) }
		req := &llm.Request{N: 1, Body: prompt("forty bytes of a prompt, ten tokens long.")}
		begin := func(output int64) int64 { state.inFlight.Add(1); return e.begin(req, output) }
		begin(100) // 11 + 100 tokens
		e.Hear(Report{Running: 4, Waiting: 3, Used: 0.5, Capacity: 1000})
		equal(t, "six calls are others', two of them wait, and 389 tokens", load(), Load{Calls: 7, Waiting: 3, Tokens: 500, Capacity: 1000, Places: 4, Used: 0.5})
		tokens := begin(89)
		equal(t, "one more of ours", load(), Load{Calls: 8, Waiting: 4, Tokens: 600, Capacity: 1000, Places: 4, Used: 0.5})
		state.inFlight.Add(-1)
		e.end(tokens, false)
		time.Sleep(believed + time.Second)
		equal(t, "long ago", load(), Load{Calls: 1, Waiting: 1, Tokens: 111, Capacity: 1000, Places: 4})
		e.Hear(Report{Running: 6, Waiting: 0, Used: 0, Capacity: 1000})
		equal(t, "it works on more at a time than was seen", load(), Load{Calls: 6, Waiting: 1, Tokens: 111, Capacity: 1000, Places: 6})
		time.Sleep(placesFor)
		e.Hear(Report{-1, -1, -1, -1})
		equal(t, "nothing known", load(), Load{Calls: 1, Waiting: 1, Tokens: 111})
		state.inFlight.Add(-1)
	})
}

// chain is a prompt of so many blocks, of which the first n are shared.
func chain(name string, of, n int) []uint64 {
	var out []uint64
	for i := range of {
		who := "all"
		if i >= n {
			who = name
		}
		out = append(out, Mix(uint64(i+1)<<32, who)|1)
	}
	return out
}

func TestMirror(t *testing.T) {
	reg := NewRegistry()
	e := reg.State("e/a").Engine()
	equal(t, "before anything was sent", e.Cached(chain("a", 10, 0)), 0)
	e.Learn(chain("a", 10, 5))
	equal(t, "the same again", e.Cached(chain("a", 10, 5)), 1)
	equal(t, "half of it is shared", e.Cached(chain("b", 10, 5)), 0.5)
	equal(t, "nothing is", e.Cached(chain("c", 10, 0)), 0)
	equal(t, "no prompt", e.Cached(nil), 0)
	equal(t, "room", reg.blocks.Load(), int64(unknownRoom))
	e.Hear(Report{Capacity: 50_000})
	equal(t, "room of an engine that told its size", reg.blocks.Load(), int64(944))
	equal(t, "another cache is empty", e.Cached(chain("a", 10, 5)), 0)
	e.Learn(chain("a", 10, 5))
	e.Hear(Report{Capacity: 50_000})
	equal(t, "the same size", e.Cached(chain("a", 10, 5)), 1)
	e.Hear(Report{Capacity: 1e12})
	equal(t, "no engine has more", reg.blocks.Load(), int64(maxRoom))
	reg.State("e/a").engine.Load().drop()
	equal(t, "room given back", reg.blocks.Load(), int64(0))
	e.Learn(chain("a", 10, 5))
	equal(t, "forgotten for good", reg.blocks.Load(), int64(0))
}

// All mirrors together are bounded; engines that come later have none.
func TestMirrorsAreBounded(t *testing.T) {
	reg := NewRegistry()
	for i := range maxRooms/maxRoom + 3 {
		e := reg.State(fmt.Sprint("e/", i)).Engine()
		e.Hear(Report{Capacity: 1e9})
		e.Learn(chain("a", 10, 5))
		if n := reg.blocks.Load(); n > maxRooms {
			t.Fatalf("%d blocks, want at most %d", n, maxRooms)
		}
	}
	equal(t, "an engine too many", reg.State(fmt.Sprint("e/", maxRooms/maxRoom+1)).Engine().Cached(chain("a", 10, 5)), 0)
}

// A mirror holds what a cache of its size would: of prompts that come again by
// chance it finds as much as the least-recently-used rule, within a few points.
func TestMirrorIsNearlyLRU(t *testing.T) {
	const blocks, prompts, each = 800, 60, 31
	rnd := rand.New(rand.NewPCG(1, 2))
	m := newMirror(blocks * slack)
	var lru []int // of prompts, the last used last
	var found, exact, total float64
	for range 20_000 {
		i := int(float64(prompts) * rnd.Float64() * rnd.Float64())
		prompt := chain(fmt.Sprint(i), each, 0)
		total++
		found += float64(m.match(prompt)) / each
		m.learn(prompt)
		if at := slices.Index(lru, i); at >= 0 {
			exact++
			lru = slices.Delete(lru, at, at+1)
		} else if len(lru) == blocks/each {
			lru = slices.Delete(lru, 0, 1)
		}
		lru = append(lru, i)
	}
	if found /= total; found < exact/total-0.05 || found > exact/total+0.05 {
		t.Errorf("found %.3f of all blocks, the least-recently-used rule %.3f", found, exact/total)
	}
}

// document is a body of these parts.
type document struct {
	prompt
	parts [][]byte
}

func (d document) Prompt(dst [][]byte) [][]byte { return append(dst, d.parts...) }

// The hashes of a prompt are those of what it begins with, whatever follows.
func TestPrefix(t *testing.T) {
	reg := NewRegistry()
	hash := func(parts ...string) []uint64 {
		d := document{}
		for _, p := range parts {
			d.parts = append(d.parts, []byte(p))
		}
		return reg.prefix(&llm.Request{Body: d})
	}
	text := func(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
	a := hash("tools", text(1000))
	equal(t, "blocks: the tools, three whole ones", len(a), 4)
	if b := hash("tools", text(1000)+", and another turn"+text(300)); !slices.Equal(a, b[:4]) || len(b) != 6 {
		t.Errorf("the next turn has %d blocks and another beginning", len(b))
	}
	if b := hash("other", text(1000)); b[0] == a[0] || b[3] == a[3] {
		t.Error("other tools, the same hashes")
	}
	if a := hash("hello"); a == nil || len(a) != 0 {
		t.Errorf("a short prompt: %v", a)
	}
	if a := hash(text(4 << 20)); len(a) != maxBlocks {
		t.Errorf("a long prompt has %d blocks", len(a))
	}
	if a := hash(strings.Repeat("x", 1024)); a[0] == a[1] || slices.Contains(a, 0) {
		t.Errorf("blocks of the same text: %v", a)
	}
}

// An order of engines sees prefixes where it wants to and has a choice; the
// target that is asked learns them.
func TestPoolLearnsPrefixes(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		a, _ := r.target("e/a", always(fine(0)))
		b, _ := r.target("e/b", always(fine(0)))
		vendor, _ := r.target("v/c", always(fine(0)))
		a.Engine, b.Engine = a.State.Engine(), b.State.Engine()
		body := document{parts: [][]byte{[]byte(strings.Repeat("long ", 200))}}
		ask := func(p *Pool) (seen []uint64) {
			p.Order = func(_ []*Option, a Ask) { seen = a.Prefix }
			req := r.request(false)
			req.Body = body
			r.ask(context.Background(), p, req)
			return seen
		}
		equal(t, "not asked for", len(ask(r.pool("one", a, b))), 0)
		p := r.pool("two", a, b)
		p.Prefix = true
		equal(t, "blocks", len(ask(p)), 3)
		equal(t, "the first has it", a.Engine.Cached(r.reg.prefix(&llm.Request{Body: body})), 1)
		equal(t, "the second has not", b.Engine.Cached(r.reg.prefix(&llm.Request{Body: body})), 0)
		p = r.pool("three", a, vendor)
		p.Prefix = true
		equal(t, "no choice between engines", len(ask(p)), 0)
		inner := r.pool("four", b, a)
		inner.Prefix = true
		ask(inner)
		equal(t, "in a model that is asked by another", len(ask(r.pool("five", inner, vendor))), 3)
	})
}

// Reading and writing at once is safe.
func TestMirrorConcurrently(t *testing.T) {
	e := NewRegistry().State("e/a").Engine()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 200 {
				e.Learn(chain(fmt.Sprint(i, k), 20, 5))
				e.Cached(chain("x", 20, 5))
				e.Hear(Report{Capacity: float64(10_000 * (1 + k%2))})
			}
		})
	}
	wg.Wait()
	if got := e.Cached(chain("x", 20, 5)); got > 0.25 {
		t.Errorf("knows %.2f of a prompt of which a quarter was sent", got)
	}
}
