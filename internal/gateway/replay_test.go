package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func digest(s string) Digest { return sha256.Sum256([]byte(s)) }

func answer(status int, body string) *Answer {
	return &Answer{ID: "id-" + body, Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
}

// begun is what Begin returned.
type begun struct {
	turn *Turn
	a    *Answer
	e    *llm.Error
}

func begin(r *Replays, ctx context.Context, key, content string) (b begun) {
	b.turn, b.a, b.e = r.Begin(ctx, digest(key), digest(content))
	return b
}

// waiting asks in n goroutines and returns when all wait.
func waiting(r *Replays, ctx context.Context, key, content string, n int) chan begun {
	out := make(chan begun, n)
	for range n {
		go func() { out <- begin(r, ctx, key, content) }()
	}
	synctest.Wait()
	return out
}

func TestReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		if one.turn == nil {
			t.Fatal("the first request has no turn")
		}
		joined := waiting(r, t.Context(), "key", "hello", 3)
		if other := begin(r, t.Context(), "key", "other"); other.e == nil || other.e.Kind != llm.KindKeyReused {
			t.Errorf("another content while the first is served: got %+v, want %v", other, llm.KindKeyReused)
		}
		if other := begin(r, t.Context(), "other key", "hello"); other.turn == nil {
			t.Error("another key has no turn")
		}
		if len(joined) != 0 {
			t.Fatal("a duplicate did not wait")
		}
		a := answer(200, "yes")
		one.turn.End(a)
		for range 3 {
			if got := <-joined; got.a != a {
				t.Errorf("one that waited: got %+v, want the answer", got)
			}
		}
		time.Sleep(keepAnswer - time.Second)
		if got := begin(r, t.Context(), "key", "hello"); got.a != a {
			t.Errorf("a day later, less a second: got %+v, want the answer", got)
		}
		if got := begin(r, t.Context(), "key", "other"); got.e == nil || got.e.Kind != llm.KindKeyReused {
			t.Errorf("another content afterwards: got %+v, want %v", got, llm.KindKeyReused)
		}
		time.Sleep(time.Second)
		if got := begin(r, t.Context(), "key", "other"); got.turn == nil {
			t.Errorf("a day later: got %+v, want a turn", got)
		}
		if r.size != 0 || r.kept.Len() != 0 {
			t.Errorf("what is kept after a day: %d bytes, %d answers", r.size, r.kept.Len())
		}
	})
}

// A failure is the answer of those who wait for it, and of nobody else.
func TestReplayFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		joined := waiting(r, t.Context(), "key", "hello", 2)
		a := answer(502, "no")
		one.turn.End(a)
		for range 2 {
			if got := <-joined; got.a != a {
				t.Errorf("one that waited: got %+v, want the failure", got)
			}
		}
		if got := begin(r, t.Context(), "key", "other"); got.turn == nil {
			t.Errorf("after a failure: got %+v, want a turn, whatever the content", got)
		}
	})
}

// Where there was no answer, one of those who wait is served, not all.
func TestReplayAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		joined := waiting(r, t.Context(), "key", "hello", 3)
		one.turn.End(nil)
		synctest.Wait()
		if len(joined) != 1 {
			t.Fatalf("who goes on: got %d, want 1", len(joined))
		}
		next := <-joined
		if next.turn == nil {
			t.Fatalf("who goes on: got %+v, want a turn", next)
		}
		a := answer(200, "yes")
		next.turn.End(a)
		for range 2 {
			if got := <-joined; got.a != a {
				t.Errorf("who waits further: got %+v, want the answer", got)
			}
		}
	})
}

func TestReplayPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		joined := waiting(r, t.Context(), "key", "hello", 1)
		one.turn.Private()
		one.turn.Private()
		for _, got := range []begun{<-joined, begin(r, t.Context(), "key", "hello")} {
			if got.e == nil || got.e.Kind != llm.KindKeyInUse || got.e.RetryAfter == 0 {
				t.Errorf("a duplicate of what cannot be shared: got %+v, want %v with a time to come again", got, llm.KindKeyInUse)
			}
		}
		a := answer(200, "data: [DONE]\n\n")
		one.turn.End(a)
		if got := begin(r, t.Context(), "key", "hello"); got.a != a {
			t.Errorf("once it has ended: got %+v, want the answer", got)
		}
		two := begin(r, t.Context(), "cut", "hello")
		two.turn.Private()
		two.turn.End(nil)
		if got := begin(r, t.Context(), "cut", "hello"); got.turn == nil {
			t.Errorf("after a stream that broke off: got %+v, want a turn", got)
		}
	})
}

func TestReplayLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		ctx, leave := context.WithCancel(t.Context())
		joined := waiting(r, ctx, "key", "hello", 1)
		leave()
		if got := <-joined; got.e == nil || got.e.Kind != llm.KindCanceled {
			t.Errorf("one that left: got %+v, want %v", got, llm.KindCanceled)
		}
		one.turn.End(answer(200, "yes"))
	})
}

// What is kept is bounded, whatever comes, and counted right.
func TestReplayBound(t *testing.T) {
	r := NewReplays(1 << 40)
	draw := rand.New(rand.NewPCG(1, 2))
	body := bytes.Repeat([]byte("x"), MaxAnswer)
	for i := range 1000 {
		b := begin(r, t.Context(), strconv.Itoa(i), "")
		b.turn.End(&Answer{Status: 200, Body: body[:draw.IntN(MaxAnswer)]})
		sum := 0
		for e := r.kept.Front(); e != nil; e = e.Next() {
			sum += e.Value.(*Turn).answer.size()
		}
		if sum != r.size || r.size > maxAnswers || len(r.turns) != r.kept.Len() {
			t.Fatalf("after %d answers: %d bytes in %d answers, counted %d in %d", i+1, sum, r.kept.Len(), r.size, len(r.turns))
		}
	}
	if got := begin(r, t.Context(), "999", ""); got.a == nil {
		t.Error("the newest answer is gone")
	}
	if got := begin(r, t.Context(), "0", ""); got.turn == nil {
		t.Error("the oldest answer is still there")
	}
}

// Whatever the order of events, a key's request is served by one at a time, and
// everybody who waits is told something.
func TestReplayStorm(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := NewReplays(1 << 40)
			draw := rand.New(rand.NewPCG(seed, 0))
			var serving, told atomic.Int32
			for range 40 {
				delay, ends := time.Duration(draw.IntN(50))*time.Millisecond, draw.IntN(4)
				private := draw.IntN(4) == 0
				go func() {
					time.Sleep(delay)
					b := begin(r, t.Context(), "key", "hello")
					if b.turn != nil {
						if n := serving.Add(1); n != 1 {
							t.Errorf("seed %d: %d requests are served at a time", seed, n)
						}
						if private {
							b.turn.Private()
						}
						time.Sleep(delay / 2)
						serving.Add(-1)
						switch ends {
						case 0:
							b.turn.End(nil)
						case 1:
							b.turn.End(answer(500, "no"))
						default:
							b.turn.End(answer(200, "yes"))
						}
					}
					told.Add(1)
				}()
			}
			time.Sleep(time.Minute)
			if n := told.Load(); n != 40 {
				t.Errorf("seed %d: %d of 40 were told something", seed, n)
			}
		})
	}
}

// Answers under way count as those that are kept, which make room for them, and
// give it back when they end.
func TestReplayReserve(t *testing.T) {
	r := NewReplays(64 << 20) // 4 MiB of it
	kept := func(key string) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		turn := r.turns[digest(key)]
		return turn != nil && turn.answer != nil
	}
	begin(r, t.Context(), "old", "").turn.End(&Answer{Status: 200, Body: make([]byte, MaxAnswer)})
	var under []*Turn
	for i := range 3 {
		turn := begin(r, t.Context(), strconv.Itoa(i), "").turn
		for range 2 {
			if !turn.Reserve(MaxAnswer / 2) {
				t.Fatalf("answer %d under way has no room", i)
			}
		}
		under = append(under, turn)
	}
	if kept("old") {
		t.Error("the old answer made no room")
	}
	four := begin(r, t.Context(), "four", "").turn
	if !four.Reserve(MaxAnswer) || four.Reserve(1) {
		t.Error("four answers fill the room, and no more")
	}
	four.Release()
	four.End(nil)
	for _, turn := range under {
		turn.End(&Answer{Status: 200, Body: make([]byte, MaxAnswer-answerCost)})
	}
	if r.reserved != 0 || r.size != 3*MaxAnswer || !kept("0") {
		t.Errorf("after all have ended: %d reserved, %d kept", r.reserved, r.size)
	}
}

// Who waits may say for how long.
func TestReplayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReplays(1 << 40)
		one := begin(r, t.Context(), "key", "hello")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := begin(r, ctx, "key", "hello"); got.e == nil || got.e.Kind != llm.KindTimeout {
			t.Errorf("got %+v, want %v", got, llm.KindTimeout)
		}
		one.turn.End(nil)
	})
}
