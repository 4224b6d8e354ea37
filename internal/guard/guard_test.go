package guard

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

const card = "4111 1111 1111 1111"

// Each action on input, by guards that ask nobody.
func TestInput(t *testing.T) {
	safe := &model{}
	for name, x := range map[string]struct {
		guard    *Guard
		classes  [4]Class
		text     string
		kind     string // of the error
		asked    string // in the body
		risk     string
		verdicts string
	}{
		"nothing":      {personal(Block), [4]Class{}, "hello", "", "hello", "", "personal input pass"},
		"data prefix":  {personal(Block), [4]Class{}, "data: mail a@b.com", "request_blocked", "", "", "personal input block email"},
		"data, mask":   {personal(Mask), [4]Class{}, "data:a@b.com", "", "data:[EMAIL_1]", "", "personal input mask email"},
		"mask":         {personal(Mask), [4]Class{}, "I am a@b.com, not c@d.org; a@b.com", "", "I am [EMAIL_1], not [EMAIL_2]; [EMAIL_1]", "", "personal input mask email"},
		"block":        {personal(Block), [4]Class{}, "my card is " + card, "request_blocked", "", "", "personal input block card"},
		"flag":         {personal(Flag), [4]Class{}, "my card is " + card, "", card, "low", "personal input flag low card"},
		"class blocks": {personal(Flag), [4]Class{llm.RiskLow: {Block: true}}, "my card is " + card, "request_blocked", "", "low", "personal input flag low card"},
		"higher class": {rules(Rule{Words: []string{"falcon"}, Risk: llm.RiskHigh}), [4]Class{llm.RiskMedium: {Block: true}}, "the Falcon", "request_blocked", "", "high", "rules input flag high rule_1"},
		"lower class":  {personal(Flag), [4]Class{llm.RiskMedium: {Block: true}}, "my card is " + card, "", card, "low", "personal input flag low card"},
		"other model":  {personal(Flag), [4]Class{llm.RiskLow: {Handler: safe}}, "my card is " + card, "", "", "low", "personal input flag low card"},
		"pattern":      {rules(Rule{Pattern: secret, Action: Mask}), [4]Class{}, "a Secret-123 b", "", "a [RULES_1] b", "", "rules input mask rule_1"},
		"drawn out":    {&Guard{Name: "never", Input: true, Sample: 0, Finders: personal(Block).Finders}, [4]Class{}, card, "", card, "", ""},
		"output only":  {&Guard{Name: "out", Output: true, Sample: 1, Finders: personal(Block).Finders}, [4]Class{}, card, "", card, "", "out output pass"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(true, "ok") }}
			safe.asked = nil
			h := &Handler{Model: m, Guards: []*Guard{x.guard}, Classes: x.classes}
			req := request(t, false, x.text)
			g := read(h.Do(t.Context(), req))
			if kind(g.err) != x.kind {
				t.Errorf("error: got %v, want %q", g.err, x.kind)
			}
			if len(m.asked) != 0 != (x.asked != "") || x.asked != "" && !strings.Contains(m.asked[0], x.asked) {
				t.Errorf("the model was asked %q, want %q", m.asked, x.asked)
			}
			if name == "other model" && (len(safe.asked) != 1 || safe.risks[0] != "low") {
				t.Errorf("the other model was asked %q", safe.asked)
			}
			if x.kind == "" && name != "output only" && name != "other model" { // which has an answer that passes
				x.verdicts = strings.TrimPrefix(x.verdicts+"; "+x.guard.Name+" output pass", "; ")
				if !x.guard.Output {
					x.verdicts = strings.TrimSuffix(strings.TrimSuffix(x.verdicts, x.guard.Name+" output pass"), "; ")
				}
			}
			if got := verdicts(req.Trail); name != "other model" && got != x.verdicts {
				t.Errorf("verdicts: got %q, want %q", got, x.verdicts)
			}
			if req.Trail.Risk != x.risk {
				t.Errorf("risk: got %q, want %q", req.Trail.Risk, x.risk)
			}
			if m.open+safe.open != 0 {
				t.Errorf("%d answers were not closed", m.open+safe.open)
			}
			if e := g.err; e != nil && strings.Contains(e.Error(), "4111") {
				t.Errorf("the error tells what was found: %v", e)
			}
			if !strings.Contains(string(req.Body.Bytes()), x.text) {
				t.Error("the client's own body changed")
			}
		})
	}
}

// However much a text holds, none of it passes.
func TestManyFindings(t *testing.T) {
	const secrets = maxFindings + 50
	for name, x := range map[string]struct {
		guard *Guard
		text  string
		left  string // does not pass
	}{
		"pattern":         {rules(Rule{Pattern: secret, Action: Mask}), strings.Repeat("secret-123\n", secrets), "secret-"},
		"pattern, blocks": {rules(Rule{Pattern: regexp.MustCompile(`x*`), Action: Block}), strings.Repeat("a", secrets) + "x", "x"},
		"words":           {rules(Rule{Words: []string{"falcon"}, Action: Block}), strings.Repeat("falconry ", secrets) + " the falcon flies", "falcon"},
		"personal":        {personal(Mask), strings.Repeat("jo@mail.example.com\n", secrets), "@mail"},
		"literals": {asks("dlp", func(context.Context, *Question) (Opinion, error) {
			return Opinion{Action: Mask, Mask: []string{"q"}}, nil
		}), strings.Repeat("q ", secrets), "q"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(false, "ok") }}
			x.guard.Output = false
			h := &Handler{Model: m, Guards: []*Guard{x.guard}}
			a := read(h.Do(t.Context(), request(t, false, x.text)))
			if len(m.asked) == 0 != (a.err != nil) {
				t.Fatalf("asked %d times, %v", len(m.asked), a.err)
			}
			if len(m.asked) > 0 {
				if n := strings.Count(m.asked[0], x.left); n > 0 {
					t.Errorf("%d of them reached the model", n)
				}
			}
		})
	}
}

// What a guard that asks somebody says, and what follows where it cannot.
func TestRemote(t *testing.T) {
	broken := errors.New("no")
	for name, x := range map[string]struct {
		says    Opinion
		err     error
		open    bool
		kind    string
		asked   string
		verdict string
	}{
		"passes":        {Opinion{}, nil, false, "", "hello Ann", "hook input pass"},
		"flags":         {Opinion{Risk: llm.RiskMedium, Found: []string{"x"}}, nil, false, "", "hello Ann", "hook input flag medium x"},
		"class":         {Opinion{Risk: llm.RiskHigh}, nil, false, "request_blocked", "", "hook input flag high"},
		"blocks":        {Opinion{Action: Block}, nil, true, "request_blocked", "", "hook input block"},
		"masks":         {Opinion{Action: Mask, Mask: []string{"Ann"}}, nil, false, "", "hello [HOOK_1]", "hook input mask"},
		"fails, closed": {Opinion{}, broken, false, "overloaded", "", "hook input error"},
		"fails, open":   {Opinion{}, broken, true, "", "hello Ann", "hook input error"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{}
			g := asks("hook", func(_ context.Context, q *Question) (Opinion, error) {
				if q.Stage != llm.StageInput || q.Text != "hello Ann" {
					t.Errorf("asked %+v", q)
				}
				return x.says, x.err
			})
			g.Open, g.Output = x.open, false
			h := &Handler{Model: m, Guards: []*Guard{g}, Classes: [4]Class{llm.RiskHigh: {Block: true}}}
			req := request(t, false, "hello Ann")
			a := read(h.Do(t.Context(), req))
			if kind(a.err) != x.kind {
				t.Errorf("error: got %v, want %q", a.err, x.kind)
			}
			if len(m.asked) != 0 != (x.asked != "") || x.asked != "" && !strings.Contains(m.asked[0], x.asked) {
				t.Errorf("the model was asked %q, want %q", m.asked, x.asked)
			}
			if got := verdicts(req.Trail); got != x.verdict {
				t.Errorf("verdicts: got %q, want %q", got, x.verdict)
			}
		})
	}
}

// Guards are asked at the same time, each no longer than it may take, and what is
// masked is not shown to them.
func TestRemoteTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(d time.Duration) remote {
			return func(ctx context.Context, q *Question) (Opinion, error) {
				if strings.Contains(q.Text, "4111") {
					t.Error("the guard was shown what is masked")
				}
				select {
				case <-time.After(d):
					return Opinion{}, nil
				case <-ctx.Done():
					return Opinion{}, ctx.Err()
				}
			}
		}
		late := asks("late", slow(time.Hour))
		late.Open = true
		m := &model{}
		h := &Handler{Model: m, Guards: []*Guard{asks("a", slow(300*time.Millisecond)), late, asks("b", slow(400*time.Millisecond)), personal(Mask)}}
		for _, g := range h.Guards {
			g.Output = false
		}
		begin := time.Now()
		req := request(t, false, "my card is "+card)
		if g := read(h.Do(t.Context(), req)); g.err != nil {
			t.Fatal(g.err)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v, want a second", d)
		}
		if got, want := verdicts(req.Trail), "personal input mask card; a input pass; late input error; b input pass"; got != want {
			t.Errorf("verdicts: got %q, want %q", got, want)
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if g := read(h.Do(ctx, request(t, false, "hello"))); kind(g.err) != "canceled" {
			t.Errorf("the client left: got %v", g.err)
		}
		if len(m.asked) != 1 {
			t.Errorf("the model was asked %d times, want once", len(m.asked))
		}
	})
}

// Who is asked about all of a request sees what finders see.
func TestScopeAll(t *testing.T) {
	var saw string
	g := asks("g", func(_ context.Context, q *Question) (Opinion, error) {
		saw = q.Text
		return Opinion{}, nil
	})
	g.Output = false
	h := &Handler{Model: &model{}, Guards: []*Guard{g}}
	req := request(t, false, "x")
	body := `{"model":"m","tools":[{"type":"function","function":{"name":"f","description":"DESC","parameters":{"type":"object","properties":{"a":{"type":"string","description":"PROP"}}}}}],"metadata":{"k":"META"},
		"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"RF","schema":{"type":"object","description":"RFS"}}},"messages":[{"role":"system","content":"SYS"},{"role":"user","content":"x"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"ARG\"}"}}]},{"role":"tool","tool_call_id":"c","content":"RES"}]}`
	if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpChat, &wire.Buffer{B: []byte(body)}, req); bad != nil {
		t.Fatal(bad)
	}
	read(h.Do(t.Context(), req))
	for _, want := range []string{"DESC", "PROP", "META", "RF", "RFS", "SYS", "ARG", "RES"} {
		if !strings.Contains(saw, want) {
			t.Errorf("%s is not in %q", want, saw)
		}
	}
}

// Tokens are no text that a guard could read.
func TestTokens(t *testing.T) {
	for _, open := range []bool{false, true} {
		m := &model{}
		g := personal(Mask)
		g.Open = open
		h := &Handler{Model: m, Guards: []*Guard{g}}
		req := request(t, false, "x")
		if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpEmbedding, &wire.Buffer{B: []byte(`{"model":"m","input":[[1,2,3]]}`)}, req); bad != nil {
			t.Fatal(bad)
		}
		plan := h.Plan(req)
		a := read(h.Do(t.Context(), req))
		if want := map[bool]string{false: "unsupported_parameter", true: ""}[open]; kind(a.err) != want || len(m.asked) == 0 != (want != "") || plan.Blocked == "" != (want == "") {
			t.Errorf("open %v: asked %d times, %v, plan %+v", open, len(m.asked), a.err, plan)
		}
	}
}

// What a guard sees of a conversation.
func TestScope(t *testing.T) {
	var saw []string
	g := asks("g", func(_ context.Context, q *Question) (Opinion, error) {
		saw = append(saw, q.Text)
		return Opinion{}, nil
	})
	g.Output = false
	last := *g
	last.Last = true
	h := &Handler{Model: &model{}, Guards: []*Guard{g}}
	read(h.Do(t.Context(), request(t, false, "one", "two", "three")))
	h.Guards[0] = &last
	read(h.Do(t.Context(), request(t, false, "one", "two", "three")))
	if strings.Join(saw, "|") != "one\n\ntwo\n\nthree|three" {
		t.Errorf("saw %q", saw)
	}
	g.Open, h.Guards[0] = false, g
	if a := read(h.Do(t.Context(), request(t, false, strings.Repeat("x", maxText+1)))); kind(a.err) != "overloaded" {
		t.Errorf("a text that is too long: got %v, want overloaded", a.err)
	}
}

// Plan says what Do does, as far as nobody has to be asked.
func TestPlan(t *testing.T) {
	m := &model{}
	g := asks("hook", func(context.Context, *Question) (Opinion, error) {
		t.Error("the plan asked somebody")
		return Opinion{}, nil
	})
	p := personal(Mask)
	p.Output = false
	h := &Handler{Model: m, Guards: []*Guard{p, g}}
	plan := h.Plan(request(t, false, "I am a@b.com"))
	if !strings.Contains(plan.Model, "[EMAIL_1]") || plan.Blocked != "" || len(plan.Guards) != 3 {
		t.Errorf("got %+v", plan)
	}
	if plan.Guards[0].Action != "mask" || plan.Guards[1].Action != "unknown" || plan.Guards[2].Stage != "output" {
		t.Errorf("guards: got %+v", plan.Guards)
	}
	h.Guards[0] = personal(Block)
	if plan = h.Plan(request(t, false, "I am a@b.com")); plan.Blocked == "" || len(plan.Candidates) != 0 {
		t.Errorf("a request that is blocked: got %+v", plan)
	}
	h.Guards[0], h.Classes[llm.RiskLow] = personal(Flag), Class{Block: true}
	if plan = h.Plan(request(t, false, "I am a@b.com")); plan.Blocked == "" || plan.Risk != "low" {
		t.Errorf("a class that is blocked: got %+v", plan)
	}
	if len(m.asked) != 0 {
		t.Error("the plan asked the model")
	}
}

// What was masked stands in the answer again, and nowhere else.
func TestRestore(t *testing.T) {
	g := personal(Mask)
	g.Output, g.Restore = false, true
	for _, stream := range []bool{false, true} {
		m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(true, "write to [EM", "AIL_1] or [EMAIL_2], [x]", " or [") }}
		h := &Handler{Model: m, Guards: []*Guard{g}}
		a := read(h.Do(t.Context(), request(t, stream, "I am a@b.com")))
		if want := "write to a@b.com or [EMAIL_2], [x] or ["; a.text != want || a.err != nil {
			t.Errorf("stream %v: got %q, %v, want %q", stream, a.text, a.err, want)
		}
		if strings.Contains(m.asked[0], "a@b.com") {
			t.Errorf("the model was asked %s", m.asked[0])
		}
	}
}

// Those who are asked about an answer see what the model saw, and the client has
// it again nevertheless.
func TestRestoredAnswerIsNotShown(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for name, mask := range map[string]string{"": "", "write": "write", "[EMAIL_1]": "[EMAIL_1]"} {
			p := personal(Mask)
			p.Restore, p.Output = true, false
			var seen string
			g := asks("llama", func(_ context.Context, q *Question) (Opinion, error) {
				seen += q.Text + " / " + q.Before
				if mask != "" {
					return Opinion{Action: Mask, Mask: []string{mask}}, nil
				}
				return Opinion{}, nil
			})
			g.Input, g.Hold = false, mask != ""
			m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(true, "I write to [EM", "AIL_1].") }}
			h := &Handler{Model: m, Guards: []*Guard{p, g}}
			req := request(t, stream, "write to jo.do@mail.example.com")
			a := read(h.Do(t.Context(), req))
			want := map[string]string{"": "I write to jo.do@mail.example.com.", "write": "I [LLAMA_1] to jo.do@mail.example.com.", "[EMAIL_1]": "I write to [LLAMA_1]."}[name]
			if a.err != nil || a.text != want {
				t.Errorf("stream %v, masks %q: got %q, %v, want %q", stream, name, a.text, a.err, want)
			}
			if seen != "I write to [EMAIL_1]. / write to [EMAIL_1]" {
				t.Errorf("stream %v, masks %q: the guard saw %q", stream, name, seen)
			}
		}
	}
}

// Only what guards with restore masked is given back.
func TestRestoreOfOthers(t *testing.T) {
	back, gone, hook := personal(Mask), rules(Rule{Pattern: secret, Action: Mask}), asks("hook", func(context.Context, *Question) (Opinion, error) {
		return Opinion{Action: Mask, Mask: []string{"Ann"}}, nil
	})
	back.Restore = true
	m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(false, "[EMAIL_1] [RULES_1] [HOOK_1]") }}
	h := &Handler{Model: m, Guards: []*Guard{back, gone, hook}}
	for _, g := range h.Guards {
		g.Output = false
	}
	if a := read(h.Do(t.Context(), request(t, false, "a@b.com secret-123 Ann"))); a.text != "a@b.com [RULES_1] [HOOK_1]" || a.err != nil {
		t.Errorf("got %q, %v", a.text, a.err)
	}
	gone.Finders = append(gone.Finders, NewRules("X", []Rule{{Pattern: regexp.MustCompile(`\w@b`), Action: Mask}})...)
	if a := read(h.Do(t.Context(), request(t, false, "a@b.com secret-123 Ann"))); strings.Contains(a.text, "a@b") || a.err != nil {
		t.Errorf("what another guard masks, too: got %q, %v", a.text, a.err)
	}
}

// A session has frames that no guard sees.
func TestSession(t *testing.T) {
	m := &model{}
	g := personal(Flag)
	h := &Handler{Model: m, Guards: []*Guard{g}}
	req := request(t, true, "x")
	req.Op = llm.OpRealtime
	if _, err := h.Do(t.Context(), req); kind(err) != "unsupported_parameter" {
		t.Errorf("closed: got %v", err)
	}
	g.Open = true
	if resp, err := h.Do(t.Context(), req); err != nil {
		t.Errorf("open: got %v", err)
	} else {
		resp.Close()
	}
}

func TestSample(t *testing.T) {
	g := &Guard{Name: "g", Sample: 0.3}
	n := 0
	for range 20000 {
		if g.looks(llm.NewID(time.Now())) {
			n++
		}
	}
	if n < 5600 || n > 6400 { // six standard deviations
		t.Errorf("looked at %d of 20,000, want 6,000", n)
	}
	first := g.looks("x")
	if again := g.looks("x"); again != first {
		t.Error("the same request is drawn in two ways")
	}
}

var _ = signal.Email
