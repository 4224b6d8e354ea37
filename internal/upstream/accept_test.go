package upstream

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// wordGate judges answers by words in their text.
type wordGate struct {
	name   string
	rules  map[string]Verdict // by a word that the answer has
	early  bool               // the beginning is judged by them, too
	late   llm.Flags          // found when the client has the answer
	begun  int
	looked []string // texts that were judged before they were handed up
	asked  time.Duration
}

func (g *wordGate) Names() []string { return []string{g.name} }

func (g *wordGate) Later(f func(context.Context)) bool {
	go f(context.Background())
	return true
}

func (g *wordGate) Begin(*llm.Request, *Pool) Judge {
	g.begun++
	return &wordJudge{gate: g}
}

type wordJudge struct {
	gate  *wordGate
	text  string
	blind bool
	ended bool
}

func (j *wordJudge) Add(c *llm.Chunk) {
	j.blind = j.blind || c.Events == nil && c.Level == llm.LevelContent
	for _, e := range c.Events {
		j.text += e.Text
	}
}

func (j *wordJudge) End() { j.ended = true }

func (j *wordJudge) verdict() Verdict {
	j.gate.looked = append(j.gate.looked, j.text)
	v := Verdict{Score: math.NaN()}
	for word, w := range j.gate.rules {
		if !j.blind && strings.Contains(j.text, word) {
			if w.Gate = j.gate.name; w.Action > v.Action {
				v = w
			}
		}
	}
	return v
}

func (j *wordJudge) Held() Verdict {
	if !j.ended && !j.gate.early {
		j.gate.looked = append(j.gate.looked, j.text)
		return Verdict{Score: math.NaN()}
	}
	return j.verdict()
}

func (j *wordJudge) Whole(ctx context.Context) Verdict {
	if sleep(ctx, j.gate.asked) != nil {
		return Verdict{Score: math.NaN()}
	}
	return j.verdict()
}

func (j *wordJudge) Late(ctx context.Context, trail *llm.Trail) (llm.Flags, float64) {
	if sleep(ctx, j.gate.asked) == nil && j.ended && !j.blind {
		return j.gate.late, 0.5
	}
	return 0, math.NaN()
}

// say is one read that brings bytes and the events that they are.
func say(after time.Duration, text string) step {
	return step{after: after, chunk: llm.Chunk{Raw: []byte(text), Events: []llm.Event{delta(0, text)}, Level: llm.LevelContent}}
}

// quiet is a read that brings bytes and no content, as the end of a stream does.
func quiet(text string) step {
	return step{chunk: llm.Chunk{Raw: []byte(text), Events: []llm.Event{}, Level: llm.LevelData}}
}

// says answers with a text, and counts 10 + 5 tokens: 20 µUSD.
func says(text string) script {
	count := quiet("")
	count.chunk.Usage = &llm.Usage{Input: 10, Output: 5}
	return script{steps: []step{say(0, text), count}}
}

// byWords is a gate that refuses by words, in the hardest way that is left to each.
func byWords() *wordGate {
	verdict := func(a Action, f llm.Flags) Verdict { return Verdict{Action: a, Flags: f, Score: math.NaN()} }
	return &wordGate{name: "words", early: true, rules: map[string]Verdict{
		"bad":     verdict(Escalate, llm.FlagRefused),
		"broken":  verdict(Escalate, llm.FlagJSON|llm.FlagSchema),
		"again":   verdict(Retry, llm.FlagLoop),
		"odd":     verdict(Flag, llm.FlagEcho),
		"poison":  verdict(Block, llm.FlagPrinciple),
		"mend it": {Action: Repair, Flags: llm.FlagJSON, Mended: llm.FlagJSON, Score: 0.25, Reply: &llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{{Text: "mended"}}, Stop: llm.StopEnd}}}},
	}}
}

// The attempt tells of an answer that ends at the bound which the request sets.
func TestCutIsTold(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, c := range []struct {
			most int
			stop llm.Stop
			want bool
		}{{5, llm.StopLength, true}, {5, llm.StopEnd, false}, {0, llm.StopLength, false}} {
			virtual(t, func(t *testing.T, r *rig) {
				end := quiet("")
				end.chunk.Events = []llm.Event{{Kind: llm.EventStop, Stop: c.stop}}
				p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "good"), say(time.Second, "so far"), end}}))
				req := r.request(stream)
				req.MaxOutput = c.most
				out := r.ask(context.Background(), p, req)
				synctest.Wait()
				if got := out.attempts[0].Cut; got != c.want {
					t.Errorf("stream %v, bound %d, stop %v: cut %v", stream, c.most, c.stop, got)
				}
			})
		}
	}
}

// cascade makes a model of models that are asked in turn, each of one target.
func (r *rig) cascade(g Accept, answers ...func(int) script) (*Pool, []*vendor) {
	p := r.pool("cascade")
	p.Accept, p.Each = g, true
	var all []*vendor
	for i, a := range answers {
		name := string(rune('a' + i))
		t, v := r.target("p/"+name, a)
		p.Options = append(p.Options, Option{ID: name, Weight: 1, Priority: 1, Pool: r.pool(name, t)})
		all = append(all, v)
	}
	return p, all
}

// either runs f for an answer in one piece and for a stream.
func either(t *testing.T, f func(t *testing.T, r *rig, ask func(*Pool) outcome)) {
	for _, stream := range []bool{false, true} {
		t.Run(map[bool]string{false: "unary", true: "stream"}[stream], func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				f(t, r, func(p *Pool) outcome { return r.ask(context.Background(), p, r.request(stream)) })
			})
		})
	}
}

func TestCascade(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []func(int) script
		want    string // the answer, or the error
		by      string
		flags   string
		calls   string
	}{
		{"the first does", []func(int) script{always(says("good")), always(says("better"))}, "good", "a", "", "p/a ok"},
		{"the second does", []func(int) script{always(says("bad")), always(says("better"))}, "better", "b", "", "p/a rejected, p/b ok"},
		{"the third does", []func(int) script{always(says("bad")), always(says("bad too")), always(says("best"))}, "best", "c", "", "p/a rejected, p/b rejected, p/c ok"},
		{"nobody does: fewer hard flags", []func(int) script{always(says("bad")), always(says("broken"))}, "bad", "a", "refused", "p/a ok, p/b rejected"},
		{"nobody does: the later", []func(int) script{always(says("bad")), always(says("bad too"))}, "bad too", "b", "refused", "p/a rejected, p/b ok"},
		{"the rest fail", []func(int) script{always(says("bad")), always(failing(llm.KindUpstream))}, "bad", "a", "refused", "p/a ok, p/b upstream_error"},
		{"the rest is refused for the caller's sake", []func(int) script{always(says("bad")), always(failing(llm.KindCaller))}, "bad", "a", "refused", "p/a ok, p/b caller"},
		{"once more", []func(int) script{inTurn(says("again"), says("good")), always(says("better"))}, "good", "a", "", "p/a rejected, p/a ok"},
		{"once more and no more", []func(int) script{always(says("again")), always(says("better"))}, "better", "b", "", "p/a rejected, p/a rejected, p/b ok"},
		{"flagged", []func(int) script{always(says("odd")), always(says("better"))}, "odd", "a", "echo", "p/a ok"},
		{"blocked", []func(int) script{always(says("poison")), always(says("better"))}, "answer_blocked", "", "", "p/a rejected"},
		{"blocked after a bad one", []func(int) script{always(says("bad")), always(says("poison"))}, "answer_blocked", "", "", "p/a rejected, p/b rejected"},
		{"the first fails", []func(int) script{always(failing(llm.KindConnect)), always(says("better"))}, "better", "b", "", "p/a connect, p/b ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
				p, _ := r.cascade(byWords(), c.answers...)
				out := ask(p)
				equal(t, "answer", out.String(), c.want)
				synctest.Wait()
				equal(t, "calls", outcomes(out), c.calls)
				if out.err != nil {
					return
				}
				equal(t, "by", out.resp.Model, c.by)
				equal(t, "flags", strings.Join(out.resp.Flags.Names(), ", "), c.flags)
				from := ""
				if c.by != "a" {
					from = "a"
				}
				equal(t, "fallback from", out.resp.FallbackFrom, from)
				for _, o := range p.Options {
					if tg := o.Pool.Options[0].Target; phase(tg) != Closed || tg.State.Errors(r.reg.now()) > 0 && !strings.Contains(c.calls, tg.ID+" upstream_error") && !strings.Contains(c.calls, tg.ID+" connect") {
						t.Errorf("%s: what its gates refuse is no failure", tg.ID)
					}
				}
			})
		})
	}
}

// Every answer is paid for, and the answer's cost is that of all.
func TestCascadeCosts(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, _ := r.cascade(byWords(), always(says("bad")), always(says("bad")), always(says("good")))
		out := r.unary(p)
		equal(t, "cost", out.resp.Cost, 3*20_000)
		for _, a := range out.attempts {
			equal(t, a.Target, a.Cost, 20_000)
		}
		out = r.streamed(p)
		for _, a := range out.attempts {
			equal(t, a.Target, a.Cost, 20_000)
		}
	})
}

// Answers that are not accepted cost neither attempts nor the retry budget.
func TestCascadeIsNoRetry(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		answers := []func(int) script{}
		for range 6 {
			answers = append(answers, always(says("bad")))
		}
		p, _ := r.cascade(byWords(), append(answers, always(says("good")))...)
		p.Policy.Attempts = 1
		for p.Budget.Withdraw(r.reg.now(), 0) {
		}
		equal(t, "answer", ask(p).String(), "good")
	})
}

// A failure after an answer that was not accepted is one.
func TestCascadeFailover(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		p, _ := r.cascade(byWords(), always(says("bad")), inTurn(failing(llm.KindUpstream), says("good")))
		b2, _ := r.target("p/b2", always(says("good")))
		p.Options[1].Pool.Options = append(p.Options[1].Pool.Options, Option{ID: "p/b2", Weight: 1, Priority: 1, Target: b2})
		out := ask(p)
		equal(t, "answer", out.String(), "good")
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b upstream_error, p/b2 ok")
		for p.Budget.Withdraw(r.reg.now(), 0) {
		}
		r.vendors[1].set(always(failing(llm.KindUpstream)))
		out = ask(p)
		synctest.Wait()
		equal(t, "calls without a budget", outcomes(out), "p/a ok, p/b upstream_error")
	})
}

func TestExtraCost(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		p, all := r.cascade(byWords(), always(says("bad")), always(says("bad")), always(says("bad")), always(says("good")))
		p.Extra = 1.5
		for i := range p.Options { // 10 tokens in and as many out as 256
			p.Options[i].Pool.Options[0].Target.State.answered(0, 5)
		}
		out := ask(p)
		equal(t, "answer", out.String(), "bad")
		if n := all[2].count() + all[3].count(); n > 1 {
			t.Errorf("calls behind the bound: %d", n)
		}
		synctest.Wait()
	})
}

// The gates of plain targets: another model's name is another model.
func TestAcceptOnTargets(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		a, _ := r.target("p/a", always(says("bad")))
		same, v := r.target("q/a", always(says("bad")))
		same.Vendor = a.Vendor
		b, _ := r.target("p/b", always(says("bad too")))
		f, _ := r.target("p/f", always(says("good")))
		p := r.pool("m", a, same, b)
		p.Accept = byWords()
		p.Fallback = []*Pool{r.pool("other", f)}
		out := ask(p)
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b rejected, p/f ok")
		equal(t, "calls of the same model elsewhere", v.count(), 0)
		equal(t, "from", out.resp.FallbackFrom, "m")
		equal(t, "by", out.resp.Model, "other")
	})
}

// Gates of nested models hold inside of those around them, and what one repairs
// the next one sees.
func TestNestedGates(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		inner, outer := byWords(), byWords()
		inner.name, outer.name = "inner", "outer"
		outer.rules = map[string]Verdict{"mended": {Action: Escalate, Flags: llm.FlagPattern, Score: math.NaN()}}
		a, _ := r.target("p/a", always(says("mend it")))
		b, _ := r.target("p/b", always(says("good")))
		sub := r.pool("sub", a)
		sub.Accept = inner
		p := r.pool("m", r.pool("mid", sub), b)
		p.Accept = outer
		out := ask(p)
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b ok")
		if len(outer.looked) < 2 || outer.looked[0] != "mended" {
			t.Errorf("the outer gate saw %q", outer.looked)
		}
	})
}

// What is repaired is delivered in no vendor's words.
func TestRepair(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		a, _ := r.target("p/a", always(says("mend it")))
		p := r.pool("m", a)
		p.Accept = byWords()
		req := r.request(strings.HasSuffix(t.Name(), "stream"))
		resp, err := p.Do(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		c, err := resp.Next()
		if err != nil || len(c.Raw) > 0 || c.Events[len(c.Events)-1].Kind != llm.EventStop && c.Events[len(c.Events)-1].Kind != llm.EventUsage {
			t.Errorf("got %+v, %v", c, err)
		}
		equal(t, "text", told(c.Events), "[start][at]mended[/a][stop]")
		if _, err := resp.Next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		equal(t, "flags left", resp.Flags, 0)
		_ = resp.Close()
		req.Trail.Close(time.Now())
		synctest.Wait()
		at := req.Trail.Attempts()[0]
		equal(t, "flags of the attempt", at.Flags, llm.FlagJSON)
		equal(t, "outcome", at.Outcome, "ok")
	})
}

// The best so far is delivered when the time of the cascade is over, also of an
// answer that comes.
func TestCascadeDeadline(t *testing.T) {
	slow := says("good")
	slow.wait = 30 * time.Second
	half := script{steps: []step{say(0, "g"), say(30*time.Second, "ood")}}
	for name, second := range map[string]script{"silent": slow, "for ever": hang()} {
		t.Run(name, func(t *testing.T) {
			either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
				p, _ := r.cascade(byWords(), always(says("bad")), always(second))
				p.By = 5 * time.Second
				out := ask(p)
				equal(t, "answer", out.String(), "bad")
				equal(t, "took", out.took, 5*time.Second)
				equal(t, "slow is no failure in so little time", p.Options[1].Pool.Options[0].Target.State.Errors(r.reg.now()), 0)
			})
		})
	}
	virtual(t, func(t *testing.T, r *rig) { // what is accepted may take its time
		p, _ := r.cascade(byWords(), always(half))
		p.By = 5 * time.Second
		out := r.streamed(p)
		equal(t, "answer", out.String(), "good")
		equal(t, "took", out.took, 30*time.Second)
	})
	virtual(t, func(t *testing.T, r *rig) {
		p, _ := r.cascade(byWords(), always(hang()))
		p.By = 5 * time.Second
		equal(t, "nothing came", r.unary(p).err.Kind, llm.KindTimeout)
	})
}

// taking reads an answer and notes when its bytes come.
func taking(t *testing.T, r *rig, p *Pool) (got []string) {
	t.Helper()
	req := r.request(true)
	start := time.Now()
	resp, err := p.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, err := resp.Next()
		if err != nil {
			break
		}
		if n := len(c.Raw); n > 0 {
			got = append(got, fmt.Sprintf("%d at %d ms", n, time.Since(start).Milliseconds()))
		}
	}
	_ = resp.Close()
	req.Trail.Close(time.Now())
	return got
}

// Of a stream at most 400 bytes are held back, for at most 150 ms after the
// first content; then nothing.
func TestHold(t *testing.T) {
	x := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"by time", []step{say(10*ms, x[:10]), say(100*ms, x[:10]), say(100*ms, x[:10]), say(500*ms, x[:10])}, "10 at 160 ms, 10 at 160 ms, 10 at 210 ms, 10 at 710 ms"},
		{"by bytes", []step{say(10*ms, x[:300]), say(20*ms, x[:99]), say(20*ms, x[:1]), say(50*ms, x[:10])}, "300 at 50 ms, 99 at 50 ms, 1 at 50 ms, 10 at 100 ms"},
		{"one large piece", []step{say(10*ms, x), say(50*ms, x[:10])}, "1000 at 10 ms, 10 at 60 ms"},
		{"a short answer", []step{say(10*ms, x[:20]), say(30*ms, x[:20])}, "20 at 40 ms, 20 at 40 ms"},
		{"a role before", []step{quiet("role"), say(300*ms, x[:10]), say(200*ms, x[:10])}, "14 at 450 ms, 10 at 500 ms"},
		{"bytes that are not understood", []step{content(10*ms, x[:399]), content(10*ms, x[:10]), content(10*ms, x[:10])}, "399 at 20 ms, 10 at 20 ms, 10 at 30 ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T, r *rig) {
				a, _ := r.target("p/a", always(script{steps: c.steps}))
				p := r.pool("m", a)
				p.Accept = byWords()
				equal(t, "came", strings.Join(taking(t, r, p), ", "), c.want)
			})
		})
	}
}

// What passes its gates is the same to the byte, however it is cut.
func TestHoldChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		text := strings.Repeat("All is well. ", random.IntN(100))
		var steps []step
		for rest := text; rest != ""; {
			n := min(len(rest), 1+random.IntN(120))
			s := say(time.Duration(random.IntN(60))*ms, rest[:n])
			if random.IntN(10) == 0 {
				s = content(0, rest[:n])
			}
			steps, rest = append(steps, s), rest[n:]
		}
		steps = append(steps, quiet("[DONE]"))
		virtual(t, func(t *testing.T, r *rig) {
			a, _ := r.target("p/a", always(script{steps: append([]step{say(0, "First. ")}, steps...)}))
			p := r.pool("m", a)
			p.Accept = byWords()
			equal(t, "answer", r.streamed(p).text, "First. "+text+"[DONE]")
		})
	}
}

// A failure while the beginning is held back is one that nobody has seen.
func TestHeldFailure(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, _ := r.cascade(byWords(), always(script{steps: []step{say(0, "go"), {after: 100 * ms, err: &llm.Error{Kind: llm.KindUpstream, Message: "cut"}}}}), always(says("good")))
		out := r.streamed(p)
		equal(t, "answer", out.String(), "good")
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a upstream_error, p/b ok")
	})
}

// A stream that is not accepted is read on while the next model is asked: it is
// the answer should nobody do better, and is cut when somebody does.
func TestSpool(t *testing.T) {
	long := script{steps: []step{say(0, "bad "), say(200*ms, "and "), say(2*time.Second, "long"), quiet(".")}}
	virtual(t, func(t *testing.T, r *rig) {
		slow := failing(llm.KindUpstream)
		slow.wait = time.Second
		p, _ := r.cascade(byWords(), always(long), always(slow))
		out := r.streamed(p)
		equal(t, "answer", out.String(), "bad and long.")
		equal(t, "took", out.took, 2200*ms)
		equal(t, "flags", out.resp.Flags, llm.FlagRefused)
	})
	virtual(t, func(t *testing.T, r *rig) {
		p, all := r.cascade(byWords(), always(long), always(says("good")))
		out := r.streamed(p)
		equal(t, "answer", out.String(), "good")
		synctest.Wait()
		equal(t, "calls", outcomes(out), "p/a rejected, p/b ok")
		equal(t, "took", out.took, 150*ms)
		equal(t, "streams open", all[0].open, 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // a client that leaves meanwhile
		p, all := r.cascade(byWords(), always(long), always(hang()))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		out := r.ask(ctx, p, r.request(true))
		equal(t, "kind", out.err.Kind, llm.KindCanceled)
		equal(t, "streams open", all[0].open, 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // more than is kept
		big := script{steps: []step{say(0, "bad ")}}
		for range 10 {
			big.steps = append(big.steps, say(200*ms, strings.Repeat("x", 1<<20)))
		}
		slow := failing(llm.KindCaller)
		slow.wait = 10 * time.Second
		p, all := r.cascade(byWords(), always(big), always(slow))
		out := r.streamed(p)
		equal(t, "answer", out.String(), "caller")
		equal(t, "streams open", all[0].open, 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // a client that is slower than the vendor
		big := script{steps: []step{say(0, "bad ")}}
		for range 30 {
			big.steps = append(big.steps, say(200*ms, strings.Repeat("x", 1<<20)))
		}
		p, all := r.cascade(byWords(), always(big), always(failing(llm.KindUpstream)))
		req := r.request(true)
		resp, err := p.Do(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		n := 0
		for {
			c, err := resp.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n += len(c.Raw)
		}
		equal(t, "bytes", n, 30<<20+4)
		_ = resp.Close()
		req.Trail.Close(time.Now())
		equal(t, "streams open", all[0].open, 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // a client that leaves in the middle of it
		p, all := r.cascade(byWords(), always(long), always(failing(llm.KindUpstream)))
		req := r.request(true)
		resp, err := p.Do(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = resp.Next()
		_ = resp.Close()
		_ = resp.Close()
		req.Trail.Close(time.Now())
		equal(t, "streams open", all[0].open, 0)
	})
}

// What is found when the client has the answer is noted before the request is
// settled, and takes none of its time.
func TestLateFlags(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		g := byWords()
		g.late, g.asked = llm.FlagLoop, 3*time.Second
		a, _ := r.target("p/a", always(script{steps: []step{say(0, strings.Repeat("x", 500)), say(time.Second, "odd"), quiet("")}}))
		p := r.pool("m", a)
		p.Accept = g
		out := r.streamed(p)
		equal(t, "took", out.took, time.Second)
		equal(t, "flags before headers", out.resp.Flags, 0)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		equal(t, "flags", out.attempts[0].Flags, llm.FlagLoop)
		equal(t, "score", out.attempts[0].Score, 0.5)
	})
	virtual(t, func(t *testing.T, r *rig) { // half an answer is not judged
		g := byWords()
		g.late = llm.FlagLoop
		a, _ := r.target("p/a", always(script{steps: []step{say(0, strings.Repeat("x", 500)), cut}}))
		p := r.pool("m", a)
		p.Accept = g
		out := r.streamed(p)
		synctest.Wait()
		equal(t, "flags", out.attempts[0].Flags, 0)
	})
}

// Gates and the other users of the loop.
func TestGatesBeside(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) { // a hedge that wins is judged
		slow := says("good")
		slow.wait = time.Second
		a, _ := r.target("p/a", always(slow))
		b, _ := r.target("p/b", always(says("bad")))
		c, _ := r.target("p/c", always(says("good")))
		p := hedging(r.pool("m", a, b, c), 100*ms, 1)
		p.Accept = byWords()
		out := r.unary(p)
		equal(t, "calls", outcomes(out), "p/a lost, p/b rejected (hedge), p/c ok")
	})
	virtual(t, func(t *testing.T, r *rig) { // an accepted stream may be gone on with
		x := strings.Repeat("x", 500)
		first := script{steps: []step{evs(0, start(), block(0, llm.BlockText), delta(0, x)), evs(300*ms, delta(0, "y")), cut}}
		second := script{steps: []step{evs(0, start(), block(0, llm.BlockText), delta(0, "z")), evs(0, end(0), stop())}}
		got, err, req, vb := resumed(t, r, first, second, func(_ *llm.Request, p *Pool) { p.Accept = &wordGate{name: "w", late: llm.FlagLoop} })
		if err != nil {
			t.Error(err)
		}
		equal(t, "answer", got, "[start][at]"+x+"yz[/a][stop]")
		equal(t, "prefix", vb.asked[0].Prefix, x+"y")
		synctest.Wait()
		equal(t, "flags of who ended it", req.Trail.Attempts()[1].Flags, llm.FlagLoop)
	})
	virtual(t, func(t *testing.T, r *rig) { // one bad answer is better than a degraded one
		a, _ := r.target("p/a", always(says("bad")))
		p := r.pool("m", a)
		p.Accept, p.Degrade = byWords(), []Degrade{{Answer: "sorry"}}
		equal(t, "answer", r.unary(p).text, "bad")
		r.vendors[0].set(always(failing(llm.KindUpstream)))
		equal(t, "degraded", r.unary(p).resp.Degraded, 1)
	})
	virtual(t, func(t *testing.T, r *rig) { // a pinned request has nobody else
		p, all := r.cascade(byWords(), always(says("bad")), always(says("good")))
		p.Options[1].Pool.Options[0].Target.ID = "q/b"
		req := r.request(false)
		req.Pin = &llm.Pin{Provider: "p"}
		out := r.ask(context.Background(), p, req)
		equal(t, "answer", out.text, "bad")
		equal(t, "calls of the other", all[1].count(), 0)
	})
	virtual(t, func(t *testing.T, r *rig) { // the gateway's own requests are not judged
		p, _ := r.cascade(byWords(), always(says("bad")), always(says("good")))
		req := r.request(false)
		req.Note = llm.NoteJudge
		out := r.ask(context.Background(), p, req)
		equal(t, "answer", out.text, "bad")
		equal(t, "note", out.attempts[0].Note, llm.NoteJudge)
	})
	virtual(t, func(t *testing.T, r *rig) { // nor is what has no text
		p, _ := r.cascade(byWords(), always(says("bad")), always(says("good")))
		req := r.request(false)
		req.Op = llm.OpEmbedding
		equal(t, "answer", r.ask(context.Background(), p, req).text, "bad")
	})
}

// A gate that panics leaves no call open.
func TestGatePanics(t *testing.T) {
	either(t, func(t *testing.T, r *rig, ask func(*Pool) outcome) {
		a, all := r.target("p/a", always(says("x")))
		p := r.pool("m", a)
		p.Accept = panicking{}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			ask(p)
		}()
		equal(t, "streams open", all.open, 0)
	})
}

type panicking struct{}

func (panicking) Names() []string                  { return nil }
func (panicking) Begin(*llm.Request, *Pool) Judge  { return panicking{} }
func (panicking) Later(func(context.Context)) bool { return false }
func (panicking) Add(*llm.Chunk)                   {}
func (panicking) End()                             {}
func (panicking) Held() Verdict                    { panic("held") }
func (panicking) Whole(context.Context) Verdict    { panic("whole") }
func (panicking) Late(context.Context, *llm.Trail) (llm.Flags, float64) {
	return 0, math.NaN()
}

// A plan tells the gates, and the price of all who may come to be asked.
func TestCascadePlan(t *testing.T) {
	virtual(t, func(t *testing.T, r *rig) {
		p, _ := r.cascade(byWords(), always(says("bad")), always(says("bad")), always(says("bad")), always(says("bad")))
		req := r.request(false)
		plan := p.Plan(req)
		equal(t, "gates", strings.Join(plan.Accept, " "), "words")
		var sum llm.Money
		for _, c := range plan.Candidates {
			sum += c.Worst
		}
		equal(t, "candidates", len(plan.Candidates), 4)
		equal(t, "worst", plan.Worst, sum)
		out := r.ask(context.Background(), p, req)
		for i, a := range out.attempts {
			equal(t, "planned", plan.Candidates[i].Target, a.Target)
		}
	})
}
