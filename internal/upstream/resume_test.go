package upstream

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// said tells events as a stream would: "text" for deltas, [b0] and [/b0] for
// blocks, [stop n] for the end, [in+out] for a count.
func told(events []llm.Event) string {
	var b strings.Builder
	for _, e := range events {
		switch e.Kind {
		case llm.EventStart:
			b.WriteString("[start]")
		case llm.EventBlock:
			b.WriteString("[" + string(rune('a'+e.Index)) + string("trhiufc"[min(6, int(e.Block.Kind))]) + "]")
		case llm.EventDelta:
			b.WriteString(e.Text)
		case llm.EventBlockEnd:
			b.WriteString("[/" + string(rune('a'+e.Index)) + "]")
		case llm.EventStop:
			b.WriteString("[stop]")
		case llm.EventUsage:
			b.WriteString("[" + string(rune('0'+e.Usage.Input)) + "+" + string(rune('0'+e.Usage.Output)) + "]")
		}
	}
	return b.String()
}

// evs is one read that brings events.
func evs(after time.Duration, events ...llm.Event) step {
	return step{after: after, chunk: llm.Chunk{Events: events, Level: llm.LevelContent, Usage: &llm.Usage{Output: 1, Estimated: true}}}
}

func start() llm.Event { return llm.Event{Kind: llm.EventStart, ID: "one"} }
func block(i int, k llm.BlockKind) llm.Event {
	return llm.Event{Kind: llm.EventBlock, Index: i, Block: &llm.Block{Kind: k}}
}
func delta(i int, s string) llm.Event { return llm.Event{Kind: llm.EventDelta, Index: i, Text: s} }
func end(i int) llm.Event             { return llm.Event{Kind: llm.EventBlockEnd, Index: i} }
func stop() llm.Event                 { return llm.Event{Kind: llm.EventStop, Stop: llm.StopEnd} }
func count(in, out int64) llm.Event {
	return llm.Event{Kind: llm.EventUsage, Usage: &llm.Usage{Input: in, Output: out}}
}

var cut = step{err: &llm.Error{Kind: llm.KindUpstream, Message: "cut"}}

// resumed asks a pool that resumes, of a target that answers with first and
// one that answers with second.
func resumed(t *testing.T, r *rig, first, second script, change func(*llm.Request, *Pool)) (text string, err *llm.Error, req *llm.Request, vb *vendor) {
	t.Helper()
	a, _ := r.target("p/a", always(first))
	a.Timeouts.Idle = 5 * time.Second
	b, vb := r.target("p/b", always(second))
	p := r.pool("m", a, b)
	p.Policy.Resume = true
	req = r.request(true)
	req.Body = talk{"the prompt", &llm.Chat{N: 1, Messages: []llm.Message{{Blocks: []llm.Block{{Text: "Hello"}}}}}}
	if change != nil {
		change(req, p)
	}
	defer func() { req.Trail.Close(time.Now()) }()
	resp, bad := p.Do(context.Background(), req)
	if bad != nil {
		return "", llm.AsError(bad), req, vb
	}
	defer resp.Close()
	marks := 0
	var all []llm.Event
	for {
		c, e := resp.Next()
		if e == io.EOF {
			break
		}
		if e != nil {
			err = llm.AsError(e)
			break
		}
		all = append(all, c.Events...)
		if c.Resumed {
			marks++
		}
	}
	if marks > 1 {
		t.Errorf("told %d times that it goes on", marks)
	}
	return told(all), err, req, vb
}

func TestResume(t *testing.T) {
	begun := evs(0, start(), block(0, llm.BlockText), delta(0, "One two "))
	for _, c := range []struct {
		name          string
		first, second []step
		prefix, want  string // prefix "": nobody is asked
	}{
		{"cut", []step{begun, cut}, []step{evs(0, start(), block(0, llm.BlockText), delta(0, "three.")), evs(0, end(0), stop(), count(2, 1))},
			"One two", "[start][at]One two three.[/a][stop]"},
		{"stall", []step{begun, {after: forever}}, []step{evs(0, block(0, llm.BlockText), delta(0, "three."), end(0), stop())}, "One two", "[start][at]One two three.[/a][stop]"},
		{"a clean end that is none", []step{begun, evs(0, end(0)), cut}, []step{evs(0, block(0, llm.BlockText), delta(0, "three."), end(0), stop())}, "One two", "[start][at]One two three.[/a][stop]"},
		{"the blank is said again", []step{begun, cut}, []step{evs(0, block(0, llm.BlockText), delta(0, " three."), end(0), stop())}, "One two", "[start][at]One two three.[/a][stop]"},
		{"nothing was missing", []step{begun, cut}, []step{evs(0, stop())}, "One two", "[start][at]One two [/a][stop]"},
		{"a call follows", []step{begun, cut}, []step{evs(0, block(0, llm.BlockText), delta(0, "so:"), end(0), block(1, llm.BlockCall), delta(1, "{}"), end(1), stop())}, "One two", "[start][at]One two so:[/a][bc]{}[/b][stop]"},
		{"a call alone follows", []step{begun, cut}, []step{evs(0, block(0, llm.BlockCall), delta(0, "{}"), end(0), stop())}, "One two", "[start][at]One two [/a][bc]{}[/b][stop]"},
		{"whole", []step{begun, evs(0, delta(0, "three.")), evs(0, end(0)), evs(0, stop())}, nil, "", "[start][at]One two three.[/a][stop]"},
		{"after the end of the text", []step{begun, evs(0, end(0)), evs(0, count(1, 1)), cut}, nil, "", "[start][at]One two [/a][1+1]"},
		{"a call has begun", []step{begun, evs(0, end(0), block(1, llm.BlockCall), delta(1, "{")), cut}, nil, "", "[start][at]One two [/a][bc]{"},
		{"it thought", []step{evs(0, start(), block(0, llm.BlockThinking), delta(0, "hm"), end(0), block(1, llm.BlockText), delta(1, "One")), cut}, nil, "", "[start][ah]hm[/a][bt]One"},
		{"blanks alone", []step{evs(0, start(), block(0, llm.BlockText), delta(0, " \n")), cut}, nil, "", "[start][at] \n"},
		{"bytes that nobody read", []step{content(0, "One"), cut}, nil, "", ""},
		{"the second breaks too", []step{begun, cut}, []step{evs(0, block(0, llm.BlockText), delta(0, "three")), cut}, "One two", "[start][at]One two three"},
		{"the second brings nothing", []step{begun, cut}, []step{cut}, "One two", "[start][at]One two "},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				got, err, req, vb := resumed(t, r, script{steps: c.first}, script{steps: c.second}, nil)
				equal(t, "answer", strings.NewReplacer("[3+2]", "", "[5+2]", "").Replace(got[:len(got)-len(tailCount(got))]), c.want)
				equal(t, "broken", err != nil, !strings.HasSuffix(c.want, "[stop]"))
				if c.prefix == "" {
					equal(t, "calls of the other", vb.count(), 0)
					return
				}
				equal(t, "calls of the other", vb.count(), 1)
				equal(t, "prefix", vb.asked[0].Prefix, c.prefix)
				equal(t, "note", req.Trail.Attempts()[1].Note, llm.NoteResume)
				for _, a := range req.Trail.Attempts() {
					if a.Usage.Output == 0 && len(c.second) != 1 {
						t.Errorf("attempt at %s was not billed: %+v", a.Target, a.Usage)
					}
				}
			})
		})
	}
}

// tailCount is the count at the end of an answer, "" if there is none.
func tailCount(s string) string {
	if i := strings.LastIndexByte(s, '['); i >= 0 && strings.Contains(s[i:], "+") && strings.HasSuffix(s[:i], "[stop]") {
		return s[i:]
	}
	return ""
}

// The count of the answer is the sum of both halves; what was delivered counts
// against the client's bound.
func TestResumeCounts(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		first := evs(0, start(), count(3, 0), block(0, llm.BlockText), delta(0, "One"))
		first.chunk.Usage = &llm.Usage{Input: 3, Output: 2}
		second := evs(0, start(), block(0, llm.BlockText), delta(0, " two"), end(0), stop(), count(4, 1))
		second.chunk.Usage = &llm.Usage{Input: 4, Output: 1}
		got, _, req, vb := resumed(t, r, script{steps: []step{first, cut}}, script{steps: []step{second}}, func(q *llm.Request, _ *Pool) { q.MaxOutput = 10 })
		equal(t, "answer", got, "[start][3+0][at]One two[/a][stop][7+3]")
		equal(t, "clamp", vb.asked[0].Clamp, 8)
		u := req.Trail.Usage()
		equal(t, "input billed", u.Input, 7)
		equal(t, "output billed", u.Output, 3)
	})
}

// What cannot be gone on with faithfully ends.
func TestResumeNever(t *testing.T) {
	for name, change := range map[string]func(*llm.Request, *Pool){
		"on_cut: end":    func(_ *llm.Request, p *Pool) { p.Policy.Resume = false },
		"pinned":         func(q *llm.Request, _ *Pool) { q.Pin = &llm.Pin{Provider: "p", Credential: "p/a#only"} },
		"several":        func(q *llm.Request, _ *Pool) { q.N = 2 },
		"log probs":      func(q *llm.Request, _ *Pool) { q.Body.(talk).chat.LogProbs = true },
		"a format":       func(q *llm.Request, _ *Pool) { q.Body.(talk).chat.Format.Kind = llm.FormatJSON },
		"thinking":       func(q *llm.Request, _ *Pool) { q.Body.(talk).chat.Reasoning.Effort = "high" },
		"a forced tool":  func(q *llm.Request, _ *Pool) { q.Body.(talk).chat.Choice.Mode = llm.ChoiceAny },
		"its own prefix": func(q *llm.Request, _ *Pool) { q.Body.(talk).chat.Messages[0].Role = llm.RoleAssistant },
		"too long":       nil,
		"no attempts":    func(_ *llm.Request, p *Pool) { p.Policy.Attempts = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				text := "One"
				if change == nil {
					text = strings.Repeat("x", maxResumed+1)
				}
				first := script{steps: []step{evs(0, start(), block(0, llm.BlockText), delta(0, text)), cut}}
				_, err, _, vb := resumed(t, r, first, fine(0), change)
				if err == nil || err.Kind != llm.KindUpstream {
					t.Errorf("got %v, want the cut", err)
				}
				equal(t, "calls of the other", vb.count(), 0)
			})
		})
	}
	virtual(t, func(t *testing.T, r *rig) { // a client that leaves is no cut
		a, _ := r.target("p/a", always(script{steps: []step{evs(0, start(), block(0, llm.BlockText), delta(0, "One")), {after: forever}}}))
		b, vb := r.target("p/b", always(fine(0)))
		p := r.pool("m", a, b)
		p.Policy.Resume = true
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		out := r.ask(ctx, p, r.request(true))
		equal(t, "kind", out.err.Kind, llm.KindCanceled)
		equal(t, "calls of the other", vb.count(), 0)
	})
}

// A continuation that begins with what was delivered says it once, however it
// is cut into pieces; less than leastRepeat is taken for meant.
func TestJoint(t *testing.T) {
	long := "The quick brown fox jumps over the lazy dog, and then over another one. "
	for _, c := range []struct{ done, more, want string }{
		{long, "It rests.", "It rests."},
		{long, long + "It rests.", "It rests."},
		{long, long[30:] + "It rests.", "It rests."},
		{long, strings.TrimRight(long[30:], " ") + " It rests.", "It rests."},
		{long, "one. It rests.", "one. It rests."},
		{long, long[:40] + "x", long[:40] + "x"},
		{long, long, ""},
		{"a\n\n", "\n\nb", "b"},
		{"a\n", "\n\nb", "\nb"},
		{"a ", "  b", " b"},
		{"a", " b", " b"},
		{"ha ha ", "ha ha", "ha ha"},
		{"x", "", ""},
	} {
		for size := 1; size <= len(c.more)+1; size++ {
			j := joint{done: []byte(c.done), open: true}
			got := ""
			for rest := c.more; rest != ""; {
				n := min(size, len(rest))
				got += j.add(rest[:n])
				rest = rest[n:]
				if len(j.held) > len(c.done)+size {
					t.Fatalf("%q: holds %d bytes", c.more, len(j.held))
				}
			}
			if got += j.rest(); got != c.want {
				t.Errorf("after %q, %q in pieces of %d: got %q, want %q", c.done, c.more, size, got, c.want)
			}
		}
	}
}

func FuzzJoint(f *testing.F) {
	f.Add("One two ", "two three", 2)
	f.Add("", "x", 1)
	f.Fuzz(func(t *testing.T, done, more string, size int) {
		size = min(max(1, size), 1<<10)
		j := joint{done: []byte(done), open: true}
		got := ""
		for rest := more; rest != ""; {
			n := min(size, len(rest))
			got += j.add(rest[:n])
			rest = rest[n:]
			if len(j.held) > len(done)+size {
				t.Fatalf("holds %d bytes of %d", len(j.held), len(done))
			}
		}
		got += j.rest()
		if !strings.HasSuffix(more, got) { // what is cut was delivered
			t.Fatalf("got %q of %q", got, more)
		}
		if gone := more[:len(more)-len(got)]; !strings.HasSuffix(done, gone) {
			t.Fatalf("cut %q, which is not the end of %q", gone, done)
		}
	})
}

// Who broke the answer does not go on with it, however often it was asked.
func TestResumeElsewhere(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		begun := evs(0, start(), block(0, llm.BlockText), delta(0, "One two "))
		_, err, req, _ := resumed(t, r, script{}, script{}, func(_ *llm.Request, p *Pool) {
			p.Options = p.Options[:1]
			r.vendors[0].set(inTurn(failing(llm.KindUpstream), script{steps: []step{begun, cut}}))
		})
		equal(t, "broken", err != nil, true)
		equal(t, "calls", len(req.Trail.Attempts()), 2)
	})
}
