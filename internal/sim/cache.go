package sim

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// OpenAI caches prompts of 1,024 tokens and more (platform.openai.com,
// "Prompt caching"); the blocks are ours.
const (
	cacheMin   = 1024 // tokens
	cacheBlock = 64   // tokens
	tokenBytes = 4    // of a prompt
)

// countTokens is how a prompt is counted: four bytes a token.
func countTokens(bytes int) int { return (bytes + tokenBytes - 1) / tokenBytes }

// promptCache remembers prefixes of prompts in blocks. A block's hash covers
// all that precedes it and the scope: credential and model. It holds at most
// size blocks and forgets the least recently used.
type promptCache struct {
	seed maphash.Seed
	size int

	mu     sync.Mutex
	blocks map[uint64]*list.Element
	order  *list.List // of block, the latest in front
}

type block struct {
	hash    uint64
	expires time.Time
}

func newPromptCache(size int) *promptCache {
	return &promptCache{seed: maphash.MakeSeed(), size: size, blocks: make(map[uint64]*list.Element), order: list.New()}
}

// split returns the hashes of the whole blocks of a prompt; nil if it is too
// short to be cached. The answer is never longer than the cache.
func (c *promptCache) split(credential, model, prompt string) []uint64 {
	if countTokens(len(prompt)) < cacheMin {
		return nil
	}
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, s := range []string{credential, "\x00", model, "\x00"} {
		h.WriteString(s)
	}
	const step = cacheBlock * tokenBytes
	hashes := make([]uint64, 0, len(prompt)/step)
	for len(prompt) >= step && len(hashes) < c.size {
		h.WriteString(prompt[:step])
		prompt = prompt[step:]
		hashes = append(hashes, h.Sum64())
	}
	return hashes
}

// hit returns how many tokens of the prompt are remembered: 0, or at least
// cacheMin.
func (c *promptCache) hit(hashes []uint64, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, h := range hashes {
		e, ok := c.blocks[h]
		if !ok || !now.Before(e.Value.(block).expires) {
			break
		}
		n++
	}
	if n *= cacheBlock; n < cacheMin {
		return 0
	}
	return n
}

// keep remembers the blocks for ttl. The prompt's beginning counts as used
// last, so that its end is forgotten first.
func (c *promptCache) keep(hashes []uint64, ttl time.Duration, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(hashes) - 1; i >= 0; i-- {
		b := block{hash: hashes[i], expires: now.Add(ttl)}
		if e, ok := c.blocks[b.hash]; ok {
			e.Value = b
			c.order.MoveToFront(e)
			continue
		}
		c.blocks[b.hash] = c.order.PushFront(b)
	}
	for c.order.Len() > c.size {
		e := c.order.Back()
		delete(c.blocks, e.Value.(block).hash)
		c.order.Remove(e)
	}
}

func (c *promptCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.blocks)
	c.order.Init()
}
