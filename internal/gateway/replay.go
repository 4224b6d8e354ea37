package gateway

import (
	"container/list"
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	// MaxAnswer is the largest body of an answer that is kept, in bytes.
	MaxAnswer = 1 << 20
	// keepAnswer is how long an answer is kept at most.
	keepAnswer = 24 * time.Hour
	// maxAnswers bounds what all answers take, in bytes, those under way
	// included; the oldest go first. In little memory it is a part of that.
	maxAnswers  = 64 << 20
	answersPart = 16
	// answerCost stands for what an answer takes beside its body and header,
	// which bounds their number, too.
	answerCost = 1 << 10
)

// Digest is the SHA-256 of what identifies a request, or of its content.
type Digest [sha256.Size]byte

// Answer is an answer as its client got it. It is immutable.
type Answer struct {
	ID       string // of the request that was answered
	Model    string // the name asked for
	Answered string // model that answered
	Target   string
	Stream   bool
	Status   int
	Header   http.Header // without what is one request's own
	Body     []byte
	Err      *llm.Error // nil when the answer was whole
}

func (a *Answer) size() int {
	n := answerCost + cap(a.Body)
	for k, vs := range a.Header {
		for _, v := range vs {
			n += len(k) + len(v)
		}
	}
	return n
}

// Replays answers requests that carry the same idempotency key with one answer.
// What succeeded is kept in the memory of this process for a day, as far as
// there is room. Safe for concurrent use.
type Replays struct {
	bound int // of size and reserved together

	mu       sync.Mutex
	turns    map[Digest]*Turn
	kept     *list.List // of *Turn, the oldest answer first
	size     int        // bytes of what is kept
	reserved int        // bytes for answers under way
}

// NewReplays returns an empty one for a process with so much memory, in bytes.
func NewReplays(memory int64) *Replays {
	return &Replays{bound: int(min(maxAnswers, memory/answersPart)), turns: map[Digest]*Turn{}, kept: list.New()}
}

// Turn is the one request that is served for a key. Whoever has it ends it.
type Turn struct {
	r       *Replays
	key     Digest
	content Digest
	told    chan struct{} // closed when those who wait can be told something

	// Under the lock of r.
	private  bool
	ended    bool
	reserved int
	answer   *Answer
	at       time.Time // of the answer
}

// Begin is asked with a key and the content of its request. It returns either
// the turn to serve the request, the answer to give instead, or an error: the
// key came with another content, or its request is being answered with what
// cannot be shared. It waits while the request is being served.
func (r *Replays) Begin(ctx context.Context, key, content Digest) (*Turn, *Answer, *llm.Error) {
	for {
		t, mine := r.turn(key, content)
		switch {
		case mine:
			return t, nil, nil
		case t.content != content:
			return nil, nil, &llm.Error{Kind: llm.KindKeyReused, Message: "this idempotency key came with another request before; send a new key for a new request"}
		}
		select {
		case <-t.told:
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return nil, nil, &llm.Error{Kind: llm.KindTimeout, Message: "the request of this idempotency key was still being answered when the time was over"}
			}
			return nil, nil, &llm.Error{Kind: llm.KindCanceled, Message: "the client closed the request", Err: ctx.Err()}
		}
		if a, shared := t.result(); a != nil {
			return nil, a, nil
		} else if !shared {
			return nil, nil, &llm.Error{Kind: llm.KindKeyInUse, RetryAfter: time.Second, Message: "the request of this idempotency key is being answered; try again when that has ended"}
		}
	}
}

// turn returns the turn of a key. It is the caller's own if there was none.
func (r *Replays) turn(key, content Digest) (t *Turn, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for e := r.kept.Front(); e != nil && now.Sub(e.Value.(*Turn).at) >= keepAnswer; e = r.kept.Front() {
		r.forget(e)
	}
	if t = r.turns[key]; t != nil {
		return t, false
	}
	t = &Turn{r: r, key: key, content: content, told: make(chan struct{})}
	r.turns[key] = t
	return t, true
}

func (r *Replays) forget(e *list.Element) {
	t := r.kept.Remove(e).(*Turn)
	r.size -= t.answer.size()
	delete(r.turns, t.key)
}

// result is what those who waited are told: the answer; without one, shared is
// false while the request is being answered.
func (t *Turn) result() (a *Answer, shared bool) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	return t.answer, t.ended || !t.private
}

// Private says that the answer cannot be shared before it has ended. It may be
// called again.
func (t *Turn) Private() {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if !t.private {
		t.private = true
		close(t.told)
	}
}

// Reserve asks for room for n more bytes of the answer under way, for which the
// oldest answers go. false: there is none, so that it cannot be kept.
func (t *Turn) Reserve(n int) bool {
	r := t.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reserved+n > r.bound {
		return false
	}
	t.reserved += n
	r.reserved += n
	r.fit()
	return true
}

// Release gives back what was reserved: the answer is not kept.
func (t *Turn) Release() {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.release()
}

func (t *Turn) release() {
	t.r.reserved -= t.reserved
	t.reserved = 0
}

// fit forgets the oldest answers until all are within the bound.
func (r *Replays) fit() {
	for r.size+r.reserved > r.bound && r.kept.Len() > 0 {
		r.forget(r.kept.Front())
	}
}

// End ends the turn with the answer that the client got. nil: there was none,
// so that one of those who wait is served in its place. An answer that is a
// failure goes to those who wait and is not kept.
func (t *Turn) End(a *Answer) {
	r := t.r
	r.mu.Lock()
	defer r.mu.Unlock()
	t.release()
	t.ended, t.answer, t.at = true, a, time.Now()
	if a != nil && a.Status < 300 {
		r.kept.PushBack(t)
		r.size += a.size()
		r.fit()
	} else {
		delete(r.turns, t.key)
	}
	if !t.private {
		close(t.told)
	}
}
