package upstream

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// blockBytes is the size of a prompt's blocks: 64 tokens of about 4 bytes.
	blockBytes = 256
	// blockTokens is the same in tokens.
	blockTokens = 64
	// maxBlocks bounds what is looked at of a prompt: 512 KiB of it.
	maxBlocks = 2048
	// unknownRoom is the room of a prefix cache of which nothing is known, in
	// blocks: 65,536 tokens, a few slots of the small engines that tell nothing.
	unknownRoom = 1024
	// slack is how much more room a mirror has than the cache: sets of eight
	// forget some blocks too early, and too small costs more than too large.
	slack = 1.2
	// maxRoom bounds the mirror of one engine, maxRooms that of all together,
	// in blocks of 12 bytes: 768 KiB and 48 MiB.
	maxRoom  = 1 << 16
	maxRooms = 1 << 22
	// believed is how long what an engine said of its load counts: several
	// looks.
	believed = 5 * time.Second
	// placesFor is how long the number of places is believed that an engine was
	// seen to have.
	placesFor = 10 * time.Minute
)

// Engine is what is known of the self-hosted engine behind a target: what was
// sent there and has not ended, what it says of itself, and which prompts its
// prefix cache should hold. Safe for concurrent use. All methods of nil do
// nothing.
type Engine struct {
	state   *State
	reg     *Registry
	tokens  atomic.Int64 // of calls under way: prompt and expected answer
	waiting atomic.Int64 // calls without content yet
	said    atomic.Pointer[spoken]
	cache   atomic.Pointer[mirror] // nil until something was sent
	mu      sync.Mutex             // held to change cache
	gone    bool                   // the target was forgotten
}

// Report is what an engine says of itself. Numbers below 0 are unknown.
type Report struct {
	Running  float64 // requests that it works on
	Waiting  float64 // requests that wait for a place
	Used     float64 // share of its KV cache in use, 0 to 1
	Capacity float64 // of its KV cache, in tokens
}

// spoken is a report with what the gateway had counted when it came.
type spoken struct {
	Report
	at      int64
	calls   int64
	tokens  int64
	waiting int64
	places  float64 // requests that it works on at a time; 0: unknown
	seen    int64   // when it was seen to work on no more
}

// Engine returns what is known of the engine behind the target, made on first
// use.
func (s *State) Engine() *Engine {
	if e := s.engine.Load(); e != nil {
		return e
	}
	s.engine.CompareAndSwap(nil, &Engine{state: s, reg: s.reg})
	return s.engine.Load()
}

// Calls is the number of calls that were begun.
func (s *State) Calls() uint64 { return s.calls.Load() }

// begin counts a call with an answer of output tokens, and returns what to
// give to end.
func (e *Engine) begin(req *llm.Request, output int64) (tokens int64) {
	if req.MaxOutput > 0 {
		output = min(output, int64(req.MaxOutput))
	}
	tokens = req.InputTokens() + output*int64(max(1, req.N))
	e.tokens.Add(tokens)
	e.waiting.Add(1)
	return tokens
}

// end is the end of a call; content: its first content has come.
func (e *Engine) end(tokens int64, content bool) {
	e.tokens.Add(-tokens)
	if !content {
		e.waiting.Add(-1)
	}
}

// Hear takes in what the engine says of itself.
func (e *Engine) Hear(r Report) {
	now := &spoken{Report: r, at: e.reg.now(), calls: e.state.InFlight(), tokens: e.tokens.Load(), waiting: e.waiting.Load()}
	switch old := e.said.Load(); {
	case r.Waiting > 0 && r.Running > 0:
		now.places, now.seen = r.Running, now.at
	case old != nil && now.at-old.seen < int64(placesFor):
		now.places, now.seen = max(old.places, r.Running), old.seen
	}
	e.said.Store(now)
	if r.Capacity > 0 && e.cache.Load() != nil {
		e.resize(r.Capacity)
	}
}

// Load is how busy an engine is.
type Load struct {
	Calls    float64 // under way
	Waiting  float64 // those of them without content yet
	Tokens   float64 // of calls under way
	Capacity float64 // of its KV cache in tokens, 0: unknown
	Places   float64 // calls that it works on at a time, 0: unknown
	Used     float64 // share of its KV cache in use as it said itself, 0 where it did not
}

// Load tells how busy the engine is: what is under way from here, and what it
// says of others' beside that.
func (e *Engine) Load(now int64) Load {
	l := Load{Calls: float64(e.state.InFlight()), Waiting: float64(e.waiting.Load()), Tokens: float64(e.tokens.Load())}
	s := e.said.Load()
	if s == nil {
		return l
	}
	l.Capacity, l.Places = max(0, s.Capacity), s.places
	if now-s.at > int64(believed) {
		return l
	}
	l.Used = max(0, s.Used)
	l.Calls += max(0, max(0, s.Running)+max(0, s.Waiting)-float64(s.calls))
	l.Waiting += max(0, s.Waiting-float64(s.waiting))
	l.Tokens += max(0, l.Used*l.Capacity-float64(s.tokens))
	return l
}

// Cached is the share of a prompt that the engine's prefix cache should hold, 0
// to 1.
func (e *Engine) Cached(prefix []uint64) float64 {
	m := e.cache.Load()
	if m == nil || len(prefix) == 0 {
		return 0
	}
	return float64(m.match(prefix)) / float64(len(prefix))
}

// Learn notes that a prompt is sent to the engine.
func (e *Engine) Learn(prefix []uint64) {
	if e == nil || len(prefix) == 0 {
		return
	}
	m := e.cache.Load()
	if m == nil {
		capacity := 0.0
		if s := e.said.Load(); s != nil {
			capacity = s.Capacity
		}
		if m = e.resize(capacity); m == nil {
			return
		}
	}
	m.learn(prefix)
}

// resize makes the mirror one of a cache of capacity tokens, 0 or less for
// unknown. What it held is forgotten where the size is new: another cache is
// empty. It returns what is
// there, nil for none, where all mirrors together have no room left.
func (e *Engine) resize(capacity float64) *mirror {
	room := int64(unknownRoom)
	if capacity > 0 {
		room = int64(math.Ceil(min(maxRoom, capacity/blockTokens*slack)))
	}
	room = (room + ways - 1) / ways * ways
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil
	}
	old := e.cache.Load()
	had := int64(0)
	if old != nil {
		if had = int64(len(old.keys)); had == room {
			return old
		}
	}
	if e.reg.blocks.Add(room-had) > maxRooms {
		e.reg.blocks.Add(had - room)
		return old
	}
	m := newMirror(int(room))
	e.cache.Store(m)
	return m
}

// drop gives the mirror's room back.
func (e *Engine) drop() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	if m := e.cache.Swap(nil); m != nil {
		e.reg.blocks.Add(-int64(len(m.keys)))
	}
}

// prefix hashes the blocks of a request's prompt, each with all before it: two
// prompts share as many hashes as they share blocks from their beginning. It is
// empty and not nil for a prompt of less than a block.
func (r *Registry) prefix(req *llm.Request) []uint64 {
	var parts [4][]byte
	prompt := req.Body.Prompt(parts[:0])
	n := 0
	for _, p := range prompt {
		n += (len(p) + blockBytes - 1) / blockBytes
	}
	out := make([]uint64, 0, min(n, maxBlocks))
	var h uint64
	for i, p := range prompt {
		for len(p) > 0 && len(out) < maxBlocks {
			size := min(blockBytes, len(p))
			if size < blockBytes && i == len(prompt)-1 { // it will grow with the next turn
				break
			}
			h = mix64(h ^ maphash.Bytes(r.seed, p[:size]))
			out = append(out, h|1) // 0 is none
			p = p[size:]
		}
	}
	return out
}

// ways is how many places a block may have in a mirror: a cache line of keys.
const ways = 8

// mirror is a guess at what a prefix cache holds: the hashes of the blocks that
// were sent there, in sets of eight of which each forgets the one not used for
// longest. Readers take no lock.
type mirror struct {
	keys  []atomic.Uint64 // 0: none
	mu    sync.Mutex      // held to write
	used  []uint32        // when each was sent last, by clock
	clock uint32          // prompts learnt
}

// newMirror makes a mirror for so many blocks, a multiple of ways.
func newMirror(blocks int) *mirror {
	return &mirror{keys: make([]atomic.Uint64, blocks), used: make([]uint32, blocks)}
}

// set is where the places of a block begin.
func (m *mirror) set(h uint64) int {
	return int((h>>32)*uint64(len(m.keys)/ways)>>32) * ways
}

func (m *mirror) has(h uint64) bool {
	at := m.set(h)
	for i := range m.keys[at : at+ways] {
		if m.keys[at+i].Load() == h {
			return true
		}
	}
	return false
}

// match returns how many blocks of a prompt are there from its beginning,
// searched by halves: a block is there with those before it.
func (m *mirror) match(prefix []uint64) int {
	if !m.has(prefix[0]) {
		return 0
	}
	least, most := 1, len(prefix)
	for least < most {
		if mid := (least + most + 1) / 2; m.has(prefix[mid-1]) {
			least = mid
		} else {
			most = mid - 1
		}
	}
	return least
}

// learn puts the blocks of a prompt in, or notes that they were used again.
func (m *mirror) learn(prefix []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	for _, h := range prefix {
		at := m.set(h)
		oldest := at
		for i := at; i < at+ways; i++ {
			k := m.keys[i].Load()
			if k == h {
				oldest = i
				break
			}
			if m.used[i] < m.used[oldest] {
				oldest = i
			}
		}
		m.keys[oldest].Store(h)
		m.used[oldest] = m.clock
	}
}
