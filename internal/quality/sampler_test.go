package quality

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// body is a request's body that counts who holds it.
type body struct {
	llm.Body
	size int
	held atomic.Int32
	chat *llm.Chat
}

func (b *body) Bytes() []byte                 { return make([]byte, b.size) }
func (b *body) Hold()                         { b.held.Add(1) }
func (b *body) Release()                      { b.held.Add(-1) }
func (b *body) Chat() (*llm.Chat, *llm.Error) { return b.chat, nil }

// call is one attempt at an answer.
func call(b *body, start time.Time) (*llm.Request, *llm.Attempt) {
	tr := llm.NewTrail("id", start, func(*llm.Trail) {})
	tr.Task = "coding"
	req := &llm.Request{Op: llm.OpChat, Body: b, Trail: tr}
	return req, tr.Begin("model", "p/target", "1", start)
}

func pieces(text string, stop llm.Stop) []llm.Event {
	r := llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockText, Text: text}}, Stop: stop}}}
	return r.Events(nil)
}

// An answer is judged when it is over, against its request, and let go.
func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSampler(func(c *llm.Chat, r *llm.Reply) (f llm.Flags) {
			if c.User != "u" {
				t.Errorf("user = %q", c.User)
			}
			if r.Answers[0].Blocks[0].Text == "bad" {
				f = llm.FlagLoop
			}
			return f
		})
		got := make(chan *Verdict, 10)
		s.Tell(func(v *Verdict) { c := *v; got <- &c })
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx, func(any) {})
		b := &body{chat: &llm.Chat{User: "u"}}
		for i, text := range []string{"good", "bad"} {
			req, a := call(b, time.Now())
			h := s.Listen(1)(req, a, false)
			for _, e := range pieces(text, llm.StopEnd) {
				h.Hear([]llm.Event{e})
			}
			if b.held.Load() != 1 {
				t.Errorf("%d hold the body", b.held.Load())
			}
			h.Whole()
			v := <-got
			if v.Flags.Names() != nil != (i == 1) || v.Target != "p/target" || v.Model != "model" || v.Task != "coding" || v.Request != "id" {
				t.Errorf("verdict = %+v", v)
			}
		}
		synctest.Wait()
		if n, dropped := s.Stats(); n != 2 || dropped != 0 || b.held.Load() != 0 || s.held.Load() != 0 {
			t.Errorf("%d judged, %d dropped, %d hold the body, %d bytes", n, dropped, b.held.Load(), s.held.Load())
		}
		cancel()
	})
}

// Few answers are all judged, of many a share and one a second; those that must
// be, and none that gates judge.
func TestSample(t *testing.T) {
	var s *Sampler
	b := &body{}
	var listen func(*llm.Request, *llm.Attempt, bool) *Heard
	at, n := time.Now(), 0
	fresh := func() { s = NewSampler(nil); listen = s.Listen(0.1) }
	hear := func(op llm.Op, gated, must bool) bool {
		req, a := call(b, at)
		req.Op, req.Gated = op, gated
		h := listen(req, a, must)
		if h != nil {
			h.Drop()
		}
		return h != nil
	}
	for range 1000 {
		fresh()
		hear(llm.OpChat, false, false) // the one of the second
		for range 100 {
			if hear(llm.OpChat, false, false) {
				n++
			}
		}
	}
	if n < 9_000 || n > 11_000 {
		t.Errorf("%d of 100,000 answers at once were to be judged, want a tenth", n)
	}
	fresh()
	for n = 0; n < 1000 && s.turn(at.UnixNano()); n++ {
	}
	if n != burst || s.turn(at.Add(pace-1).UnixNano()) || !s.turn(at.Add(pace).UnixNano()) {
		t.Errorf("%d answers at once had a turn, want %d, and one more every %v", n, burst, pace)
	}
	fresh()
	for range 20 {
		if at = at.Add(time.Second); !hear(llm.OpChat, false, false) {
			t.Error("one a second was not to be judged")
		}
	}
	for range 20 {
		if !hear(llm.OpChat, false, true) || hear(llm.OpChat, true, true) || hear(llm.OpEmbedding, false, true) {
			t.Error("who must be judged was not, or who cannot be was")
		}
	}
	req, a := call(b, at)
	req.Prefix = "Once upon a"
	if listen(req, a, true) != nil {
		t.Error("the rest of an answer was to be judged")
	}
	if b.held.Load() != 0 || s.held.Load() != 0 {
		t.Errorf("%d hold the body, %d bytes", b.held.Load(), s.held.Load())
	}
}

// What does not fit is dropped and counted, and nothing is held for it.
func TestSamplerBounds(t *testing.T) {
	s := NewSampler(nil)
	listen := s.Listen(1)
	start := func(size int) *Heard {
		req, a := call(&body{size: size}, time.Now())
		return listen(req, a, true)
	}
	if start(maxHeard+1) != nil {
		t.Error("a request above the bound is held")
	}
	h := start(10)
	h.Hear(pieces(strings.Repeat("x", maxHeard+1), llm.StopEnd))
	h.Whole()
	var all []*Heard
	for range maxHeld/maxHeard + 10 {
		if h := start(maxHeard); h != nil {
			all = append(all, h)
		}
	}
	if len(all) != maxHeld/maxHeard {
		t.Errorf("%d requests of 1 MiB are held, want %d", len(all), maxHeld/maxHeard)
	}
	for _, h := range all {
		h.Drop()
	}
	for range maxQueue + 5 { // nobody judges
		start(1).Whole()
	}
	if _, dropped := s.Stats(); dropped != 1+1+10+5 || s.held.Load() != maxQueue {
		t.Errorf("dropped = %d, want 17; %d bytes are held, want %d", dropped, s.held.Load(), maxQueue)
	}
}

// What counts is what is kept, which is more than text; and that an answer ended at
// the bound that its request set is told.
func TestSamplerCounts(t *testing.T) {
	s := NewSampler(func(*llm.Chat, *llm.Reply) llm.Flags { return llm.FlagEmpty })
	listen := s.Listen(1)
	req, a := call(&body{}, time.Now())
	h := listen(req, a, true)
	for i := range MaxBlocks + 1 {
		h.Hear([]llm.Event{{Kind: llm.EventBlock, Index: i, Block: &llm.Block{Kind: llm.BlockThinking}}})
	}
	if !h.over || s.held.Load() != 0 {
		t.Errorf("very many blocks are held: %d bytes", s.held.Load())
	}
	var got []bool
	s.Tell(func(v *Verdict) { got = append(got, v.Cut && !v.Bad()) })
	for _, most := range []int{0, 5} {
		for _, stop := range []llm.Stop{llm.StopEnd, llm.StopLength} {
			req, a := call(&body{}, time.Now())
			req.MaxOutput = most
			h := listen(req, a, true)
			h.Hear(pieces("", stop))
			h.Whole()
			s.judge(<-s.queue, nil)
		}
	}
	if !slices.Equal(got, []bool{false, false, false, true}) {
		t.Errorf("cut as wished: %v", got)
	}
}

// A panic of a gate loses the answer and nothing else.
func TestSamplerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSampler(func(*llm.Chat, *llm.Reply) llm.Flags { panic("boom") })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		panics := 0
		go s.Run(ctx, func(any) { panics++ })
		b := &body{chat: &llm.Chat{}}
		for range 2 {
			req, a := call(b, time.Now())
			h := s.Listen(1)(req, a, true)
			h.Hear(pieces("x", llm.StopEnd))
			h.Whole()
		}
		synctest.Wait()
		if panics != 2 || b.held.Load() != 0 || s.held.Load() != 0 {
			t.Errorf("%d panics, %d hold the body, %d bytes", panics, b.held.Load(), s.held.Load())
		}
	})
}

// What an answer costs that is not chosen.
func BenchmarkListen(b *testing.B) {
	s := NewSampler(nil)
	listen := s.Listen(0)
	req, a := call(&body{}, time.Now())
	listen(req, a, true).Drop()
	b.ReportAllocs()
	for b.Loop() {
		if listen(req, a, false) != nil {
			b.Fatal("it was chosen")
		}
	}
}

// What judging an answer of 2 KB costs, in the sampler's own goroutine.
func BenchmarkExamine(b *testing.B) {
	text := strings.Repeat("The train leaves the station at a quarter past nine, and 17 + 25 = 42 people wait for it. ", 22)
	chat := &llm.Chat{Messages: []llm.Message{{Blocks: []llm.Block{{Text: "When does the train leave, and how many people wait for it?"}}}}}
	r := &llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{{Kind: llm.BlockText, Text: text}}, Stop: llm.StopEnd}}}
	examine := Examine()
	b.ReportAllocs()
	for b.Loop() {
		examine(chat, r)
	}
}
