package guard

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// cut cuts a text at random, also within characters that tokens may split.
func cut(r *rand.Rand, s string, most int) (pieces []string) {
	for len(s) > 0 {
		n := min(len(s), 1+r.IntN(most))
		for n < len(s) && s[n]&0xc0 == 0x80 {
			n++
		}
		pieces, s = append(pieces, s[:n]), s[n:]
	}
	return pieces
}

// samples are texts, and what they are with everything masked.
var samples = []struct{ text, want string }{
	{"nothing here, 12 of 30 were (not) there: see a.b or c@ d", "nothing here, 12 of 30 were (not) there: see a.b or c@ d"},
	{"mail jo.do+x@mail.example.co.uk now", "mail [EMAIL_1] now"},
	{"card 4111 1111 1111 1111, exp 12/30", "card [CARD_1], exp 12/30"},
	{"pay DE89 3704 0044 0532 0130 00 today", "pay [IBAN_1] today"},
	{"account GB29 NWBK 6016 1331 9268 19.", "account [IBAN_1]."},
	{"call +49 30 901820 or (415) 555-2671!", "call [PHONE_1] or [PHONE_2]!"},
	{"his ssn is 536-90-4399 and the host 203.0.113.77 answers", "his ssn is [SSN_1] and the host [IP_1] answers"},
	{"that word with some long this then them 4111111111111111 done", "that word with some long this then them [CARD_1] done"},
	{"key sk-proj4fGh7Jk2Lm9Qr5Tv8Xz1Bc3 end", "key [API_KEY_1] end"},
	{"Grüße an müller@beispiel.de, 你好 a@b.cn。", "Grüße an [EMAIL_1], 你好 [EMAIL_2]。"},
	{"the project   Falcon is secret-1234, falconry is not", "the [RULES_1] is [RULES_2], falconry is not"},
	{"a -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEA\n-----END PRIVATE KEY----- b", "a [API_KEY_1] b"},
}

func finders() []*Guard {
	return []*Guard{personal(Mask), rules(Rule{Words: []string{"project falcon", "nothing at all"}, Action: Mask}, Rule{Pattern: secret, Action: Mask})}
}

// However a stream is cut, its text is masked as the whole would be; and what
// nobody masks passes as it came.
func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range samples {
		for n := range 300 {
			raw := n%2 == 0
			pieces := cut(r, s.text, 1+n%40)
			chunks := tell(raw, pieces...)
			m := &model{answer: func(*llm.Request) []llm.Chunk { return slices.Clone(chunks) }}
			h := &Handler{Model: m, Guards: finders()}
			a := read(h.Do(t.Context(), request(t, true, "x")))
			if a.err != nil || a.text != s.want {
				t.Fatalf("pieces %q: got %q, %v, want %q", pieces, a.text, a.err, s.want)
			}
			var want string
			if raw && s.want == s.text {
				for _, c := range chunks {
					want += string(c.Raw)
				}
				if a.raw != want {
					t.Fatalf("pieces %q: got the bytes %q, want %q", pieces, a.raw, want)
				}
			}
			for _, secret := range []string{"4111 1", "@mail", "3704", "536-90"} {
				if strings.Contains(a.raw, secret) {
					t.Fatalf("pieces %q: the bytes %q passed", pieces, a.raw)
				}
			}
		}
	}
}

// What is held back is bounded.
func TestHeldBack(t *testing.T) {
	long := strings.Repeat("abcdefghij", 100)
	m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(false, cut(rand.New(rand.NewPCG(3, 4)), long, 9)...) }}
	h := &Handler{Model: m, Guards: finders()}
	resp, err := h.Do(t.Context(), request(t, true, "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	told, s := 0, resp.Stream.(*stream)
	for {
		c, err := resp.Next()
		if err != nil {
			break
		}
		for _, e := range c.Events {
			told += len(e.Text)
		}
		came := 0
		for _, b := range s.flow.blocks {
			came += b.base + len(b.open)
		}
		if came-told > reach+reach/4+9 {
			t.Fatalf("%d bytes of %d are held back", came-told, came)
		}
	}
	if told != len(long) {
		t.Errorf("%d bytes came, want %d", told, len(long))
	}
}

// A finding that blocks ends the answer before any of it is seen.
func TestBlockedAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 200 {
		stream := n%2 == 0
		m := &model{answer: func(*llm.Request) []llm.Chunk {
			return tell(true, cut(r, "sure, the card is "+card+" as you know", 1+n%12)...)
		}}
		h := &Handler{Model: m, Guards: []*Guard{personal(Block)}}
		req := request(t, stream, "x")
		a := read(h.Do(t.Context(), req))
		if kind(a.err) != "answer_blocked" || strings.Contains(a.text+a.raw, "4111") {
			t.Fatalf("stream %v: got %q, %q, %v", stream, a.text, a.raw, a.err)
		}
		if got, want := verdicts(req.Trail), "personal input pass; personal output block card"; got != want {
			t.Fatalf("verdicts: got %q, want %q", got, want)
		}
		if m.open != 0 {
			t.Fatal("the answer was not closed")
		}
	}
}

// The class of an answer: it blocks, or another model is asked, once.
func TestAnswerClass(t *testing.T) {
	flag := rules(Rule{Words: []string{"falcon"}, Risk: llm.RiskHigh})
	flag.Input = false
	bad := func(*llm.Request) []llm.Chunk { return tell(true, "the ", "falcon ", "flies") }
	safe := &model{answer: func(*llm.Request) []llm.Chunk { return tell(true, "a bird") }}
	for name, x := range map[string]struct {
		class  Class
		stream bool
		hold   bool
		text   string
		kind   string
	}{
		"flag":          {Class{}, false, false, "the falcon flies", ""},
		"flag, stream":  {Class{}, true, false, "the falcon flies", ""},
		"block":         {Class{Block: true}, false, false, "", "answer_blocked"},
		"block, stream": {Class{Block: true}, true, false, "the ", "answer_blocked"},
		"other":         {Class{Handler: safe}, false, false, "a bird", ""},
		"other, stream": {Class{Handler: safe}, true, false, "the falcon flies", ""},
		"other, held":   {Class{Handler: safe}, true, true, "a bird", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := *flag
			g.Hold = x.hold
			m := &model{answer: bad}
			h := &Handler{Model: m, Guards: []*Guard{&g}, Classes: [4]Class{llm.RiskHigh: x.class}}
			req := request(t, x.stream, "x")
			a := read(h.Do(t.Context(), req))
			if kind(a.err) != x.kind || !strings.HasPrefix(x.text, a.text) || x.kind == "" && a.text != x.text {
				t.Errorf("got %q, %v, want %q, %q", a.text, a.err, x.text, x.kind)
			}
			if req.Trail.Risk != "high" || m.open != 0 || safe.open != 0 {
				t.Errorf("risk %q, open %d, %d", req.Trail.Risk, m.open, safe.open)
			}
		})
	}
}

// A guard that asks somebody about answers: before they are delivered where they
// come whole or are held, else when the client has them.
func TestRemoteAnswer(t *testing.T) {
	for name, x := range map[string]struct {
		stream, hold bool
		says         Opinion
		err          error
		text, kind   string
		verdict      string
	}{
		"unary":           {false, false, Opinion{Action: Block}, nil, "", "answer_blocked", "g output block"},
		"unary, mask":     {false, false, Opinion{Action: Mask, Mask: []string{"Ann"}}, nil, "hi [G_1], [G_1]", "", "g output mask"},
		"unary, error":    {false, false, Opinion{}, errors.New("x"), "", "overloaded", "g output error"},
		"held":            {true, true, Opinion{Action: Block}, nil, "", "answer_blocked", "g output block"},
		"held, mask":      {true, true, Opinion{Action: Mask, Mask: []string{"Ann"}}, nil, "hi [G_1], [G_1]", "", "g output mask"},
		"stream":          {true, false, Opinion{Action: Block, Risk: llm.RiskHigh}, nil, "hi Ann, Ann", "", "g output flag high"},
		"stream, error":   {true, false, Opinion{}, errors.New("x"), "hi Ann, Ann", "", "g output error"},
		"held, untouched": {true, true, Opinion{}, nil, "hi Ann, Ann", "", "g output pass"},
	} {
		t.Run(name, func(t *testing.T) {
			g := asks("g", nil)
			g.Input, g.Hold = false, x.hold
			g.Remote = remote(func(_ context.Context, q *Question) (Opinion, error) {
				if q.Text != "hi Ann, Ann" || q.Before != "who?" || q.Stage != llm.StageOutput {
					t.Errorf("asked %+v", q)
				}
				return x.says, x.err
			})
			chunks := tell(true, "hi A", "nn, ", "Ann")
			h := &Handler{Model: &model{answer: func(*llm.Request) []llm.Chunk { return chunks }}, Guards: []*Guard{g}}
			req := request(t, x.stream, "who?")
			a := read(h.Do(t.Context(), req))
			if kind(a.err) != x.kind || a.text != x.text {
				t.Errorf("got %q, %v, want %q, %q", a.text, a.err, x.text, x.kind)
			}
			if got := verdicts(req.Trail); got != x.verdict {
				t.Errorf("verdicts: got %q, want %q", got, x.verdict)
			}
			if x.says.Action != Mask && x.kind == "" && !strings.Contains(a.raw, "data: ") {
				t.Errorf("the bytes did not pass: %q", a.raw)
			}
		})
	}
}

// The end of a stream waits for nobody who judges it, and its trail does.
func TestEndDoesNotWait(t *testing.T) {
	for _, room := range []bool{true, false} {
		g := asks("g", func(context.Context, *Question) (Opinion, error) { return Opinion{Risk: llm.RiskHigh}, nil })
		g.Input = false
		var later func(context.Context)
		h := &Handler{Model: &model{answer: func(*llm.Request) []llm.Chunk { return tell(false, "hello") }}, Guards: []*Guard{g}}
		h.Later = func(f func(context.Context)) bool { later = f; return room }
		req := request(t, true, "x")
		settled := false
		req.Trail = llm.NewTrail("id", time.Now(), func(*llm.Trail) { settled = true })
		if a := read(h.Do(t.Context(), req)); a.err != nil || a.text != "hello" {
			t.Fatalf("got %q, %v", a.text, a.err)
		}
		req.Trail.Close(time.Now())
		if settled == room {
			t.Errorf("room %v: settled %v before it was judged", room, settled)
		}
		if room {
			later(t.Context())
		}
		if got, want := verdicts(req.Trail), map[bool]string{true: "g output flag high", false: "g output error"}[room]; got != want || !settled {
			t.Errorf("room %v: verdicts %q, want %q; settled %v", room, got, want, settled)
		}
	}
}

// Bytes that nobody can read do not pass a guard that is closed.
func TestBlind(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, open := range []bool{false, true} {
			g := personal(Mask)
			g.Open = open
			m := &model{answer: func(*llm.Request) []llm.Chunk { return []llm.Chunk{{Raw: []byte("???"), Level: llm.LevelContent}} }}
			h := &Handler{Model: m, Guards: []*Guard{g}}
			a := read(h.Do(t.Context(), request(t, stream, "x")))
			if want := map[bool]string{false: "overloaded", true: ""}[open]; kind(a.err) != want || a.raw != map[bool]string{false: "", true: "???"}[open] {
				t.Errorf("stream %v, open %v: got %q, %v", stream, open, a.raw, a.err)
			}
		}
	}
}

// An answer that breaks off tells what came of it, and its error.
func TestBroken(t *testing.T) {
	broken := &llm.Error{Kind: llm.KindUpstream, Message: "broke"}
	m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(false, "to a@b.com and c@d")[:4] }, end: broken}
	h := &Handler{Model: m, Guards: []*Guard{personal(Mask)}}
	a := read(h.Do(t.Context(), request(t, true, "x")))
	if a.err != error(broken) || a.text != "to [EMAIL_1] and c@d" {
		t.Errorf("got %q, %v", a.text, a.err)
	}
}

// What tells the text of an answer beside it goes with it.
func TestLogProbs(t *testing.T) {
	events := []llm.Event{
		{Kind: llm.EventStart}, {Kind: llm.EventBlock, Block: &llm.Block{Kind: llm.BlockText}},
		{Kind: llm.EventLogProbs, LogProbs: []llm.LogProb{{Token: "a@b.com"}}}, {Kind: llm.EventDelta, Text: "a@b.com"},
		{Kind: llm.EventSeal, Block: &llm.Block{Seal: llm.Seal{Maker: 1, Data: "x"}}}, {Kind: llm.EventBlockEnd}, {Kind: llm.EventStop},
	}
	for _, g := range []*Guard{personal(Mask), personal(Flag)} {
		f := newFlow([]*Guard{g}, &masks{})
		var kinds []llm.EventKind
		for _, c := range f.all([]llm.Chunk{{Events: events, Level: llm.LevelContent}}) {
			for _, e := range c.Events {
				kinds = append(kinds, e.Kind)
			}
		}
		if has := slices.Contains(kinds, llm.EventLogProbs) || slices.Contains(kinds, llm.EventSeal); has != (g.Finders[0].(*pii).actions[0] == Flag) {
			t.Errorf("got the events %v", kinds)
		}
	}
}

// An answer that is not delivered is told so before it is closed.
func TestRefusedAnswer(t *testing.T) {
	for _, text := range []string{"the card is " + card, "a bird"} {
		for _, stream := range []bool{false, true} {
			m := &model{answer: func(*llm.Request) []llm.Chunk { return tell(true, text) }}
			var last *refuser
			h := &Handler{Model: refusers{m, &last}, Guards: []*Guard{personal(Block)}}
			if a := read(h.Do(t.Context(), request(t, stream, "x"))); last.refused != (a.err != nil) {
				t.Errorf("%q, stream %v: refused %v, %v", text, stream, last.refused, a.err)
			}
		}
	}
}

// refusers is a model whose answers learn that they were refused.
type refusers struct {
	*model
	last **refuser
}

type refuser struct {
	llm.Stream
	refused bool
}

func (r *refuser) Refuse() { r.refused = true }

func (m refusers) Do(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	resp, err := m.model.Do(ctx, req)
	if err == nil {
		*m.last = &refuser{Stream: resp.Stream}
		resp.Stream = *m.last
	}
	return resp, err
}

// What is told of a source is the answer's text, too.
func TestCitation(t *testing.T) {
	for _, raw := range []bool{false, true} {
		for _, stream := range []bool{false, true} {
			for _, action := range []Action{Mask, Block} {
				cite := llm.Chunk{Events: []llm.Event{{Kind: llm.EventCite, Cite: &llm.Cite{URL: "https://x", Title: "by a@b.com", Quote: "write to jo.do@mail.example.com"}}}, Level: llm.LevelContent}
				if raw {
					cite.Raw = []byte("data: cite jo.do@mail.example.com\n\n")
				}
				chunks := slices.Insert(tell(raw, "see the source"), 3, cite)
				m := &model{answer: func(*llm.Request) []llm.Chunk { return slices.Clone(chunks) }}
				h := &Handler{Model: m, Guards: []*Guard{personal(action)}}
				resp, err := h.Do(t.Context(), request(t, stream, "x"))
				var all string
				for err == nil {
					var c llm.Chunk
					c, err = resp.Next()
					all += string(c.Raw)
					for _, e := range c.Events {
						if e.Cite != nil {
							all += e.Cite.Title + ", " + e.Cite.Quote
						}
					}
				}
				if resp != nil {
					resp.Close()
				}
				if blocked := kind(err) == "answer_blocked"; blocked != (action == Block) || strings.Contains(all, "jo.do") || strings.Contains(all, "a@b") {
					t.Errorf("raw %v, stream %v, %v: got %q, %v", raw, stream, action, all, err)
				}
				if action == Mask && !strings.Contains(all, "by [EMAIL_1], write to [EMAIL_2]") {
					t.Errorf("raw %v, stream %v: got %q", raw, stream, all)
				}
				if cite.Events[0].Cite.Title != "by a@b.com" {
					t.Error("the model's own chunk changed")
				}
			}
		}
	}
}

// The arguments of tools are read as their JSON says them, however they are cut,
// and stay JSON.
func TestEscapedArguments(t *testing.T) {
	args := `{"q":"Projekt Z\u00fcrich","m":"to\njo.do\u0040mail.example.com \"x\"","n":"\ud83d\ude00 \/ 4111\u00201111\u00201111 1111","c":"\\\\u0040"}`
	want := `{"q":"[RULES_1]","m":"to\n[EMAIL_1] \"x\"","n":"\ud83d\ude00 \/ [CARD_1]","c":"\\\\u0040"}`
	for n := range 200 {
		r := rand.New(rand.NewPCG(8, uint64(n)))
		for _, action := range []Action{Mask, Block} {
			chunks := tell(false, cut(r, args, 1+n%13)...)
			chunks[1].Events[0].Block = &llm.Block{Kind: llm.BlockCall, ID: "c", Name: "f"}
			m := &model{answer: func(*llm.Request) []llm.Chunk { return slices.Clone(chunks) }}
			h := &Handler{Model: m, Guards: []*Guard{personal(action), rules(Rule{Words: []string{"projekt zürich"}, Action: action})}}
			a := read(h.Do(t.Context(), request(t, n%2 == 0, "x")))
			switch action {
			case Mask:
				if a.text != want || a.err != nil {
					t.Fatalf("got %s, %v, want %s", a.text, a.err, want)
				}
			default:
				if kind(a.err) != "answer_blocked" || strings.Contains(a.text, "rich") {
					t.Fatalf("got %s, %v", a.text, a.err)
				}
			}
		}
	}
}

// FuzzUnescape: a string of JSON is read as it says, each place is found again,
// and what is cut holds nothing that the whole does not begin with.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{`a\u0040b`, `\ud83d\ude00x`, `\ud83d\u0041`, `\n\\\"\/`, `\u12`, `\ud83d\`, `\x`, `\`} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		w := unescape(s, true)
		if len(w.text) > 3*len(s) || w.raw(len(w.text)) != len(s) || w.at(len(s)) != len(w.text) {
			t.Fatalf("%q became %q", s, w.text)
		}
		if want, err := jsontext.AppendUnquote(nil, `"`+s+`"`); err == nil && string(want) != w.text {
			t.Fatalf("%q became %q, want %q", s, w.text, want)
		}
		if n < 0 || n > len(s) {
			return
		}
		if part := unescape(s[:n], false); !strings.HasPrefix(w.text, part.text) || part.raw(len(part.text)) > n {
			t.Fatalf("%q became %q, cut at %d %q", s, w.text, n, part.text)
		}
	})
}

// pieces cuts a text by a seed.
func pieces(s string, seed uint64) []string {
	return cut(rand.New(rand.NewPCG(seed, 1)), s, 1+int(seed%17))
}

func textOf(chunks []llm.Chunk) string {
	var b strings.Builder
	for _, c := range chunks {
		for _, e := range c.Events {
			if e.Kind == llm.EventDelta {
				b.WriteString(e.Text)
			}
		}
	}
	return b.String()
}
