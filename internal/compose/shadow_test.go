package compose

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vendor answers each call after a while with a text, and keeps the bodies.
type vendor struct {
	after time.Duration
	text  string

	mu     sync.Mutex
	bodies []string
	ended  int // calls that were given up
}

func (v *vendor) send(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	t := time.NewTimer(v.after)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		v.mu.Lock()
		v.ended++
		v.mu.Unlock()
		return nil, ctx.Err()
	}
	v.mu.Lock()
	v.bodies = append(v.bodies, string(req.Body.Bytes()))
	v.mu.Unlock()
	reply := llm.Reply{Answers: []llm.Answer{{Blocks: []llm.Block{{Text: v.text}}, Stop: llm.StopEnd}}}
	return &llm.Response{Status: 200, Stream: &single{chunk: llm.Chunk{Raw: []byte(v.text), Events: reply.Events(nil), Level: llm.LevelContent, Usage: &llm.Usage{Input: 10, Output: 5}}}}, nil
}

func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.bodies)
}

// single is an answer of one chunk.
type single struct {
	chunk llm.Chunk
	over  bool
}

func (o *single) Next() (llm.Chunk, error) {
	if o.over {
		return llm.Chunk{}, io.EOF
	}
	o.over = true
	return o.chunk, nil
}

func (o *single) Close() error { return nil }

// pool is a model of one target at a vendor.
func pool(reg *upstream.Registry, name string, v *vendor) *upstream.Pool {
	state := reg.State("p/" + name)
	cred := reg.Credential(name, "1")
	t := &upstream.Target{
		ID: "p/" + name, Vendor: name, State: state, Price: &llm.Price{Input: 1e6, Output: 2e6},
		Timeouts: upstream.Timeouts{FirstToken: time.Minute, Idle: time.Minute, Total: time.Minute, Stream: time.Minute, Queue: time.Second},
		Calls:    []upstream.Call{{Credential: cred, Cooling: state.Cooling(cred), Send: v.send}},
	}
	t.Adopt()
	return &upstream.Pool{Model: name, Strategy: "ordered", Order: func([]*upstream.Option, upstream.Ask) {}, Policy: upstream.Policy{Attempts: 1},
		Budget: reg.Budget(name), Registry: reg, Options: []upstream.Option{{ID: t.ID, Weight: 1, Priority: 1, Target: t}}}
}

// rig is a model with a shadow.
type rig struct {
	t            *testing.T
	client, copy *vendor
	split        *experiment.Split
	shadow       *Shadow
	mu           sync.Mutex
	settled      []*llm.Trail
}

func newRig(t *testing.T, client, copied *vendor) *rig {
	reg := upstream.NewRegistry()
	r := &rig{t: t, client: client, copy: copied, split: experiment.NewBook().Split("chat")}
	r.shadow = &Shadow{
		Handler: pool(reg, "chat", client), Model: pool(reg, "other", copied), Name: "other", Share: 1, Timeout: time.Minute,
		Caps: experiment.Caps{Concurrent: 8, PerDay: 1e9}, Counts: r.split.Shadow(), Desk: NewDesk(), Gates: &Gates{},
	}
	return r
}

const hello = `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`

// ask does what the server does, and returns how long the client waited.
func (r *rig) ask(body string, change func(*llm.Request)) (*llm.Trail, time.Duration) {
	r.t.Helper()
	began := time.Now()
	tr := llm.NewTrail(llm.NewID(began), began, func(tr *llm.Trail) {
		r.mu.Lock()
		r.settled = append(r.settled, tr)
		r.mu.Unlock()
	})
	tr.Op = llm.OpChat
	req := &llm.Request{ID: tr.ID, Trail: tr, Header: http.Header{}}
	if e := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(body)}, req); e != nil {
		r.t.Fatal(e)
	}
	if change != nil {
		change(req)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // the server ends the request's context
	resp, err := r.shadow.Do(ctx, req)
	if err == nil {
		for err == nil {
			_, err = resp.Next()
		}
		if err != io.EOF {
			r.t.Error(err)
		}
		_ = resp.Close()
	}
	req.Body.Release()
	took := time.Since(began)
	tr.Close(time.Now())
	return tr, took
}

func (r *rig) ended() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.settled)
}

func (r *rig) report() *experiment.ShadowReport {
	return r.split.Report(experiment.Setting{Model: "chat", Shadow: "other"}).Shadow
}

// The client gets its answer as if there were no copy, however slow that is. The
// request is settled when the copy has ended, which is an attempt of it.
func TestShadowTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{after: 100 * time.Millisecond, text: "hi"}, &vendor{after: 10 * time.Second, text: "hello to you"})
		tr, took := r.ask(hello, nil)
		if took != 100*time.Millisecond {
			t.Errorf("the client waited %v, want 100 ms", took)
		}
		synctest.Wait()
		if r.ended() != 0 || r.copy.count() != 0 {
			t.Error("it is settled before the copy has ended")
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		all := tr.Attempts()
		if r.ended() != 1 || len(all) != 2 || all[1].Note != llm.NoteShadow || all[1].Model != "other" || all[1].Outcome != "ok" {
			t.Fatalf("settled %d times, attempts %+v", r.ended(), all)
		}
		if all[0].Cost == 0 || tr.Cost() != all[0].Cost+all[1].Cost || tr.End.Sub(tr.Start) != 100*time.Millisecond {
			t.Errorf("cost %v of %v and %v, took %v", tr.Cost(), all[0].Cost, all[1].Cost, tr.End.Sub(tr.Start))
		}
		if got := r.copy.bodies[0]; got != hello {
			t.Errorf("the copy asked %q", got)
		}
		if x := r.report(); x.Requests != 1 || x.Errors != 0 || *x.Cost != all[1].Cost || x.Output != 5 || x.Latency.P50 < 10_000 {
			t.Errorf("report: got %+v", x)
		}
		r.shadow.Desk.Close()
	})
}

// However many come at single, as many copies run as may; the others are dropped and
// counted, and their clients' requests are settled at single.
func TestShadowIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{}, &vendor{after: 10 * time.Second})
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() { r.ask(hello, nil) })
		}
		all.Wait()
		synctest.Wait()
		if x := r.report(); x.Running != 8 || x.Full != 22 || r.ended() != 22 {
			t.Errorf("%d run, %d were dropped, %d requests are settled; want 8, 22, 22", x.Running, x.Full, r.ended())
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if r.ended() != 30 || r.copy.count() != 8 {
			t.Errorf("%d settled, %d copies", r.ended(), r.copy.count())
		}
		r.shadow.Desk.Close()
	})
}

// A copy that takes longer than it may is given up, and one that fails, or a
// vendor that panics, harms nobody.
func TestShadowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{}, &vendor{after: time.Hour})
		r.shadow.Timeout = 5 * time.Second
		r.ask(hello, nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if x := r.report(); r.ended() != 1 || x.Errors != 1 || x.Running != 0 {
			t.Errorf("%d settled, report %+v", r.ended(), x)
		}
		r.shadow.Desk.Close()
	})
}

// When the process ends copies are cut, and what they were copies of is settled.
func TestDeskCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{}, &vendor{after: 10 * time.Second})
		tr, _ := r.ask(hello, nil)
		synctest.Wait()
		r.shadow.Desk.Close()
		if all := tr.Attempts(); r.ended() != 1 || len(all) != 2 || all[1].Outcome != "canceled" || r.copy.ended != 1 {
			t.Errorf("settled %d times, attempts %+v", r.ended(), all)
		}
		r.ask(hello, nil)
		if r.ended() != 2 || r.report().Running != 0 {
			t.Error("a request after the desk was closed is not settled")
		}
	})
}

// What is not copied.
func TestShadowLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{}, &vendor{})
		say := func(f func(*llm.Request)) func(*llm.Request) { return f }
		for name, x := range map[string]struct {
			body   string
			change func(*llm.Request)
		}{
			"the client does not want it": {hello, say(func(req *llm.Request) { req.Header.Set("X-Sluice-Shadow", "off") })},
			"goes on from an answer":      {hello, say(func(req *llm.Request) { req.Continues = "resp_1" })},
			"is bound to a vendor":        {hello, say(func(req *llm.Request) { req.Pin = &llm.Pin{Provider: "p"} })},
			"is no chat":                  {hello, say(func(req *llm.Request) { req.Op = llm.OpEmbedding })},
			"is long":                     {strings.Replace(hello, "hello", strings.Repeat("hello ", maxCopied/6), 1), nil},
			"has a tool of the vendor's":  {strings.Replace(hello, `"messages"`, `"web_search_options":{},"messages"`, 1), nil},
		} {
			r.ask(x.body, x.change)
			synctest.Wait()
			if n := r.copy.count(); n != 0 {
				t.Fatalf("%s: it was copied", name)
			}
		}
		if x := r.report(); x.Requests+x.Errors+x.Full+x.Budget != 0 {
			t.Errorf("something was counted: %+v", x)
		}
		r.shadow.Desk.Close()
	})
}

// As many are copied as the share says.
func TestShadowShare(t *testing.T) {
	s := &Shadow{Share: 0.05}
	req := &llm.Request{Op: llm.OpChat}
	if e := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(hello)}, req); e != nil {
		t.Fatal(e)
	}
	const n = 20_000
	got := 0
	for range n {
		if s.takes(req) {
			got++
		}
	}
	if math.Abs(float64(got)-0.05*n) > 4*math.Sqrt(0.05*0.95*n) {
		t.Errorf("%d of %d were copied, want %v", got, n, 0.05*n)
	}
}

// Both answers are looked at by gates, and by a judge where there is one; the
// client gets what it gets.
func TestShadowScores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wants := strings.Replace(hello, `"messages"`, `"response_format":{"type":"json_object"},"messages"`, 1)
		json, err := quality.New("valid_json", quality.Options{})
		if err != nil {
			t.Fatal(err)
		}
		judge := &model{f: func(_ *llm.Request, chat *llm.Chat) (string, error) {
			if strings.Contains(chat.Messages[1].Blocks[0].Text, "better") {
				return `{"score": 0.9}`, nil
			}
			return `{"score": 0.5}`, nil
		}}
		critic := &Judge{Asked: Asked{Body: bodies(new(int)), Handler: judge, Sample: 1}}
		for _, x := range []struct {
			client, copied     string
			critics            []Critic
			wins, losses, ties int64
			flags, clients     int64 // of broken JSON
		}{
			{`{"a":1}`, `{"b":1}`, nil, 0, 0, 1, 0, 0},
			{`oops`, `{"b":1}`, nil, 1, 0, 0, 0, 1},
			{`{"a":1}`, `oops`, nil, 0, 1, 0, 1, 0},
			{`{"a":1}`, `{"better":1}`, []Critic{critic}, 1, 0, 0, 0, 0},
			{`{"better":1}`, `oops`, []Critic{critic}, 0, 1, 0, 1, 0},
			{`{"a":1}`, `{"b":1}`, []Critic{critic}, 0, 0, 1, 0, 0},
		} {
			r := newRig(t, &vendor{text: x.client}, &vendor{text: x.copied})
			r.shadow.Gates = &Gates{Pure: []Gate{{Gate: json, Action: upstream.Flag}}, Critics: x.critics}
			tr, _ := r.ask(wants, nil)
			synctest.Wait()
			got := r.report()
			if got.Wins != x.wins || got.Losses != x.losses || got.Ties != x.ties || got.Flags["invalid_json"] != x.flags || got.Client["invalid_json"] != x.clients {
				t.Errorf("%s and %s: got %+v", x.client, x.copied, got)
			}
			if r.ended() != 1 || len(tr.Attempts()) != 2 {
				t.Errorf("%s and %s: settled %d times, %d attempts", x.client, x.copied, r.ended(), len(tr.Attempts()))
			}
			r.shadow.Desk.Close()
		}
		if n := len(judge.asked); n != 6 {
			t.Errorf("the judge was asked %d times, want 6", n)
		}
	})
}

// Who reads the answer has events beside its bytes where it asked for them, and
// else, of one that is whole, none.
func TestShadowKeepsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &vendor{text: "hi"}, &vendor{})
		for _, wanted := range [...]bool{false, true} {
			tr := llm.NewTrail("id", time.Now(), func(*llm.Trail) {})
			req := &llm.Request{ID: "id", Trail: tr, Header: http.Header{}}
			if e := openai.Decode(llm.OpChat, &wire.Buffer{B: []byte(hello)}, req); e != nil {
				t.Fatal(e)
			}
			req.Events = wanted
			resp, err := r.shadow.Do(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if c, _ := resp.Next(); string(c.Raw) != "hi" || (c.Events != nil) != wanted {
				t.Errorf("wanted %v: got %q and %d events", wanted, c.Raw, len(c.Events))
			}
			_ = resp.Close()
			req.Body.Release()
			tr.Close(time.Now())
		}
		r.shadow.Desk.Close()
	})
}
