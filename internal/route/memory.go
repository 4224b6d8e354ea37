package route

import (
	"sync"
	"time"
)

const (
	// remembered is how many conversations a Memory knows at most: ways in each of
	// as many sets, of which the oldest makes room.
	ways       = 4
	remembered = 64 << 10
	// forgetAfter is how long a conversation that is not gone on with is known.
	forgetAfter = 24 * time.Hour
	// warm is how long a vendor is sure to keep the beginning of a prompt
	// (Anthropic's and OpenAI's documented least is five minutes).
	warm = 5 * time.Minute
	// leastKept is the shortest prompt that vendors keep, in tokens (the same
	// sources).
	leastKept = 1024
)

// Memory remembers which option of a pool answered a conversation last. The zero
// value is empty, and takes no room before it is used. Safe for concurrent use.
type Memory struct {
	once sync.Once
	sets []set
}

type set struct {
	mu  sync.Mutex
	all [ways]talk
}

// talk is a conversation with a pool.
type talk struct {
	key    uint64 // 0: free
	who    uint32 // the option, as upstream.TaskID numbers its name
	tokens uint32 // of its prompt
	at     int64  // on the registry's clock
}

func (m *Memory) of(key uint64) *set {
	m.once.Do(func() { m.sets = make([]set, remembered/ways) })
	return &m.sets[key%uint64(len(m.sets))]
}

// note remembers who answers a conversation, whose prompt has that many tokens.
func (m *Memory) note(key uint64, who uint32, tokens, now int64) {
	s := m.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	to := &s.all[0]
	for i := range s.all {
		t := &s.all[i]
		if t.key == key {
			to = t
			break
		}
		if t.at < to.at {
			to = t
		}
	}
	*to = talk{key: key, who: who, tokens: uint32(min(tokens, 1<<31)), at: now}
}

// recall returns what is remembered of a conversation; its key is 0 for nothing.
func (m *Memory) recall(key uint64, now int64) talk {
	s := m.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.all {
		if t.key == key && now-t.at < int64(forgetAfter) {
			return t
		}
	}
	return talk{}
}

// cached is how many tokens of the prompt its vendor still has in its cache.
func (t *talk) cached(now int64) int64 {
	if t.key == 0 || now-t.at > int64(warm) || t.tokens < leastKept {
		return 0
	}
	return int64(t.tokens)
}
