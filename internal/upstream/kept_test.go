package upstream

import (
	"context"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/sluicegate/sluice/internal/llm"
)

// lengthy is a stream that its gates refuse, and that takes 4.4 s.
func lengthy() script {
	return script{steps: []step{say(0, "bad "), say(400*ms, "one "), say(2*time.Second, "two "), say(2*time.Second, "three"), quiet("")}}
}

// A stream that is kept may take its time: the time of the cascade is for those
// that could still be accepted.
func TestKeptStreamOutlivesDeadline(t *testing.T) {
	for name, second := range map[string]script{"fails": failing(llm.KindUpstream), "is late": hang()} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				p, _ := r.cascade(byWords(), always(lengthy()), always(second))
				p.By = 3 * time.Second
				out := r.streamed(p)
				equal(t, "answer", out.String(), "bad one two three")
				equal(t, "took", out.took, 4400*ms)
			})
		})
	}
}

// A stream that broke while it was kept is no answer.
func TestKeptStreamBreaks(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		slow := failing(llm.KindUpstream)
		slow.wait = time.Second
		p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "bad "), {after: 400 * ms, err: &llm.Error{Kind: llm.KindUpstream, Message: "cut"}}}}), always(slow))
		out := r.streamed(p)
		equal(t, "text", out.text, "")
		equal(t, "answer", out.String(), "upstream_error")
	})
}

// A vendor that falls silent after content has failed, also where an answer must be
// accepted in time.
func TestSilenceInCascadeIsFailure(t *testing.T) {
	for _, by := range []time.Duration{0, 20 * time.Second} {
		virtual(t, func(t *testing.T, r *rig) {
			p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "good"), {after: forever}}}))
			p.By = by
			for range defaultBreaker.Failures {
				r.streamed(p)
			}
			equal(t, "breaker", phase(p.Options[0].Pool.Options[0].Target), Open)
		})
	}
}

// When an attempt ended may be asked while it ends.
func TestSpanOfHeldAttempt(t *testing.T) {
	r := &rig{t: t, reg: NewRegistry()}
	p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "good"), {after: 160 * ms, err: io.EOF}}}))
	req := r.request(true)
	resp, err := p.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Next()
	for ended := false; !ended; {
		_, end := req.Trail.Attempts()[0].Span()
		ended = !end.IsZero()
		runtime.Gosched()
	}
	_, _ = resp.Next()
	_ = resp.Close()
	req.Trail.Close(time.Now())
}

func TestSizes(t *testing.T) {
	for what, x := range map[string][2]uintptr{
		"chunk": {chunkSize, unsafe.Sizeof(llm.Chunk{})}, "event": {eventSize, unsafe.Sizeof(llm.Event{})}, "block": {blockSize, unsafe.Sizeof(llm.Block{})},
		"citation": {citeSize, unsafe.Sizeof(llm.Cite{})}, "count": {usageSize, unsafe.Sizeof(llm.Usage{})}, "probability": {probSize, unsafe.Sizeof(llm.LogProb{})},
	} {
		equal(t, what, x[0], x[1])
	}
}

// What a piece takes of the memory counts, not its text alone.
func TestKeptStreamOfManyPieces(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		tiny := script{steps: []step{say(0, "bad ")}}
		for range 60_000 {
			tiny.steps = append(tiny.steps, say(0, "x"))
		}
		tiny.steps[1].after = 400 * ms
		slow := failing(llm.KindCaller)
		slow.wait = 10 * time.Second
		p, all := r.cascade(byWords(), always(tiny), always(slow))
		out := r.streamed(p)
		equal(t, "answer", out.String(), "caller")
		equal(t, "streams open", all[0].open, 0)
	})
}

// Of a stream that is not whole, what is expected of it counts: its vendor tells
// what it took at the end.
func TestExtraCostOfStreams(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		cost := quiet("")
		cost.after, cost.chunk.Usage = 500*ms, &llm.Usage{Input: 10, Output: 5000}
		bad := always(script{steps: []step{say(0, "bad"), cost}})
		p, _ := r.cascade(byWords(), bad, bad, bad, bad, bad)
		p.Extra = 1
		for i := range p.Options {
			p.Options[i].Pool.Options[0].Target.State.answered(0, 5000)
		}
		out := ask(p)
		synctest.Wait()
		equal(t, "answer", out.String(), "bad")
		if n := len(out.attempts); n > 2 {
			t.Errorf("%d calls, want no more than two", n)
		}
	})
}

// The count of a stream may come while it is judged.
func TestCountWhileHeld(t *testing.T) {
	r := &rig{t: t, reg: NewRegistry()}
	more := say(heldTime, "more")
	more.chunk.Usage = &llm.Usage{Input: 10, Output: 5}
	bad := always(script{steps: []step{say(0, "bad"), more}})
	p, _ := r.cascade(byWords(), bad, bad)
	equal(t, "answer", r.streamed(p).String(), "badmore")
}

// An answer that one model's gates repaired and another's did not accept is kept as
// it was repaired.
func TestKeptRepaired(t *testing.T) {
	for _, stream := range []bool{false, true} {
		virtual(t, func(t *testing.T, r *rig) {
			outer := &wordGate{name: "outer", rules: map[string]Verdict{"mended": {Action: Escalate, Flags: llm.FlagPattern, Score: math.NaN()}}}
			a, _ := r.target("p/a", always(says("mend it")))
			b, _ := r.target("p/b", always(failing(llm.KindUpstream)))
			sub := r.pool("sub", a)
			sub.Accept = byWords()
			p := r.pool("m", sub, b)
			p.Accept = outer
			req := r.request(stream)
			resp, err := p.Do(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			for c, err := resp.Next(); err == nil; c, err = resp.Next() {
				got += told(c.Events) + string(c.Raw)
			}
			equal(t, "answer", got, "[start][at]mended[/a][stop]")
			equal(t, "flags left", resp.Flags, llm.FlagPattern)
			_ = resp.Close()
			req.Trail.Close(time.Now())
		})
	}
}

// What was understood of an answer's beginning does not stand for its content.
func TestContentThatIsNotUnderstood(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		role := quiet("role ")
		role.chunk.Events = []llm.Event{start()}
		p, _ := r.cascade(&wordGate{name: "any", early: true, rules: map[string]Verdict{"": {Action: Escalate, Flags: llm.FlagEmpty, Score: math.NaN()}}},
			always(script{steps: []step{role, content(0, "text")}}), always(says("other")))
		equal(t, "answer", r.streamed(p).text, "role text")
	})
}

// Thinking is no part of the 400 bytes.
func TestHoldBeyondThinking(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		thinks := evs(0, start(), block(0, llm.BlockThinking), delta(0, strings.Repeat("x", 500)), end(0))
		p, _ := r.cascade(byWords(), always(script{steps: []step{thinks, evs(50*ms, block(1, llm.BlockText), delta(1, "bad"))}}), always(says("good")))
		equal(t, "answer", r.streamed(p).text, "good")
	})
}

// Answers that were not accepted and could not be kept are no answer: the model
// degrades.
func TestDegradeAfterRejection(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, _ := r.cascade(byWords(), always(says("bad"+strings.Repeat("x", maxKept))))
		p.Degrade = []Degrade{{Answer: "sorry"}}
		out := r.unary(p)
		if out.err != nil {
			t.Fatal(out.err)
		}
		equal(t, "degraded", out.resp.Degraded, 1)
	})
}

// Each model's gates bound by themselves what is judged late.
func TestLateByEach(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		inner, outer := byWords(), byWords()
		inner.late, outer.late = llm.FlagLoop, llm.FlagEcho
		busy := &busyGate{wordGate: inner}
		a, _ := r.target("p/a", always(says("good")))
		sub := r.pool("sub", a)
		sub.Accept = busy
		p := r.pool("m", sub)
		p.Accept = outer
		out := r.streamed(p)
		synctest.Wait()
		equal(t, "flags", out.attempts[0].Flags, llm.FlagEcho)
	})
}

// busyGate has no leisure.
type busyGate struct{ *wordGate }

func (busyGate) Later(func(context.Context)) bool { return false }

// A gate that panics before it has looked leaves no call open.
func TestGatePanicsAtBegin(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		a, all := r.target("p/a", always(says("x")))
		p := r.pool("m", a)
		p.Accept = unready{}
		func() {
			defer func() { _ = recover() }()
			ask(p)
		}()
		equal(t, "streams open", all.open, 0)
	})
}

type unready struct{ panicking }

func (unready) Begin(*llm.Request, *Pool) Judge { panic("begin") }

// one makes the models of a cascade of two share a credential that has one slot.
func one(p *Pool) (a, b *Target) {
	a, b = p.Options[0].Pool.Options[0].Target, p.Options[1].Pool.Options[0].Target
	b.Calls[0].Credential, b.Calls[0].Cooling = a.Calls[0].Credential, b.State.Cooling(a.Calls[0].Credential)
	a.Limits.Concurrent, b.Limits.Concurrent = 1, 1
	a.Adopt()
	b.Adopt()
	return a, b
}

// A kept stream does not hold the slot that the next model needs, where that can be
// asked.
func TestKeptStreamMakesRoom(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, all := r.cascade(byWords(), always(lengthy()), always(says("good")))
		one(p)
		out := r.streamed(p)
		equal(t, "answer", out.String(), "good")
		equal(t, "took", out.took, 150*ms)
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b ok")
		equal(t, "streams open", all[0].open, 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // it cannot: nobody else answers
		p, all := r.cascade(byWords(), always(lengthy()), always(failing(llm.KindUpstream)))
		_, b := one(p)
		for phase(b) != Open {
			b.State.record(r.reg.now(), 0, Failure)
		}
		equal(t, "answer", r.streamed(p).String(), "bad one two three")
		equal(t, "calls of it", all[1].count(), 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // others stand in line for it
		p, _ := r.cascade(byWords(), always(lengthy()), always(says("good")))
		_, b := one(p)
		time.AfterFunc(100*ms, func() { r.streamed(r.pool("other", b)) })
		equal(t, "answer", r.streamed(p).String(), "bad one two three")
		time.Sleep(10 * time.Second)
	})
}
