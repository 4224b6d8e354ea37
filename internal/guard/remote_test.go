package guard

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestModeration(t *testing.T) {
	const answer = `{"results":[{"flagged":true,"categories":{"violence":true,"hate":false},"category_scores":{"violence":0.6,"hate":0.95}}]}`
	for name, x := range map[string]struct {
		m     Moderation
		body  string
		risk  llm.Risk
		found string
		fails bool
	}{
		"flagged":          {Moderation{Risk: llm.RiskHigh}, answer, llm.RiskHigh, "violence", false},
		"category flagged": {Moderation{Risk: llm.RiskHigh, Categories: []string{"violence"}}, answer, llm.RiskHigh, "violence", false},
		"category not":     {Moderation{Risk: llm.RiskHigh, Categories: []string{"hate"}}, answer, llm.RiskNone, "", false},
		"scores":           {Moderation{Bounds: [4]float64{0, 0.1, 0.5, 0.9}}, answer, llm.RiskHigh, "hate,violence", false},
		"score of one":     {Moderation{Bounds: [4]float64{0, 0.1, 0.5, 0.9}, Categories: []string{"violence"}}, answer, llm.RiskMedium, "violence", false},
		"no bound reached": {Moderation{Bounds: [4]float64{llm.RiskHigh: 0.99}}, answer, llm.RiskNone, "", false},
		"clean":            {Moderation{Risk: llm.RiskHigh}, `{"results":[{"flagged":false}]}`, llm.RiskNone, "", false},
		"second":           {Moderation{Risk: llm.RiskHigh}, `{"results":[{"flagged":false},{"flagged":true}]}`, llm.RiskHigh, "", false},
		"no scores":        {Moderation{Bounds: [4]float64{llm.RiskHigh: 0.99}}, `{"results":[{"flagged":true}]}`, llm.RiskNone, "", true},
		"no result":        {Moderation{}, `{"results":[]}`, llm.RiskNone, "", true},
		"no answer":        {Moderation{}, `<html>`, llm.RiskNone, "", true},
		"no names":         {Moderation{Risk: llm.RiskLow}, `{"results":[{"flagged":true,"categories":{"a b; c":true}}]}`, llm.RiskLow, "", false},
	} {
		o, err := x.m.opinion([]byte(x.body))
		if err != nil != x.fails || o.Risk != x.risk || strings.Join(o.Found, ",") != x.found {
			t.Errorf("%s: got %+v, %v, want %v, %q", name, o, err, x.risk, x.found)
		}
	}
}

// A verdict is one, or none: what a model says beside it may be the text's doing.
func TestVerdict(t *testing.T) {
	for said, want := range map[string]struct {
		risk  llm.Risk
		found string
		ok    bool
	}{
		"safe": {llm.RiskNone, "", true}, " SAFE\n": {llm.RiskNone, "", true}, "none": {llm.RiskNone, "", true},
		"unsafe": {llm.RiskHigh, "", true}, "unsafe\nS1,S10": {llm.RiskHigh, "S1,S10", true}, "\n\nunsafe\nS9\n": {llm.RiskHigh, "S9", true},
		"low": {llm.RiskLow, "", true}, "Medium": {llm.RiskMedium, "", true}, "high": {llm.RiskHigh, "", true},
		`{"risk": "medium", "found": ["x"]}`: {llm.RiskMedium, "x", true}, `{"risk":"none"}`: {llm.RiskNone, "", true},
		"": {}, "safe, I think": {}, "safe\nunsafe": {}, "unsafe\nS1\nS2": {}, "unsafe\nbecause, you know!": {}, "high\nsafe": {},
		`{"risk":"huge"}`: {}, `{}`: {}, `{"risk":"none","risk":"high"}`: {}, `{"risk":"none"} safe`: {}, "yes": {}, strings.Repeat("safe ", 2000): {},
	} {
		o, err := (&Model{Risk: llm.RiskHigh}).opinion(said)
		if err == nil != want.ok || o.Risk != want.risk || strings.Join(o.Found, ",") != want.found {
			t.Errorf("%q: got %+v, %v", said, o, err)
		}
	}
}

// What a guard model reads.
func TestTurns(t *testing.T) {
	var turns []Turn
	m := Model{Chat: func(_ context.Context, _ *llm.Request, said []Turn) (string, error) {
		turns = said
		return "safe", nil
	}}
	for _, x := range []struct {
		prompt string
		q      Question
		want   []Turn
	}{
		{"", Question{Stage: llm.StageInput, Text: "a"}, []Turn{{llm.RoleUser, "a"}}},
		{"", Question{Stage: llm.StageOutput, Text: "a", Before: "b"}, []Turn{{llm.RoleUser, "b"}, {llm.RoleAssistant, "a"}}},
		{"look", Question{Stage: llm.StageOutput, Text: "a", Before: "b"}, []Turn{{llm.RoleSystem, "look"}, {llm.RoleUser, "a"}}},
	} {
		m.Prompt = x.prompt
		if _, err := m.Ask(t.Context(), &x.q); err != nil || !slices.Equal(turns, x.want) {
			t.Errorf("got %v, %v, want %v", turns, err, x.want)
		}
	}
}

func TestWebhook(t *testing.T) {
	var answer string
	status := 200
	var head http.Header
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		head, body = r.Header, string(b)
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	w := &Webhook{Client: NewClient(), URL: s.URL + "/check?t=1", Header: http.Header{"X-Team": {"a"}}, Secret: "a-secret", Risk: llm.RiskHigh, Now: func() time.Time { return time.Unix(1700000000, 0) }}
	defer w.Client.CloseIdleConnections()
	q := &Question{Request: &llm.Request{ID: "r1", Op: llm.OpChat, Model: "m", Caller: llm.Caller{Key: "k"}}, Stage: llm.StageInput, Text: "héllo"}
	for said, want := range map[string]Opinion{
		`{}`:                                   {},
		`{"action":"allow","reason":"fine"}`:   {Found: []string{"fine"}},
		`{"risk":"medium"}`:                    {Risk: llm.RiskMedium},
		`{"action":"flag"}`:                    {Action: Flag, Risk: llm.RiskHigh},
		`{"action":"block","risk":"none"}`:     {Action: Block},
		`{"action":"mask","mask":["a","b"]}`:   {Action: Mask, Mask: []string{"a", "b"}},
		`{"action":"block","reason":"a text"}`: {Action: Block, Risk: llm.RiskHigh},
	} {
		answer = said
		o, err := w.Ask(t.Context(), q)
		if err != nil || o.Action != want.Action || o.Risk != want.Risk || !slices.Equal(o.Mask, want.Mask) || !slices.Equal(o.Found, want.Found) {
			t.Errorf("%s: got %+v, %v, want %+v", said, o, err, want)
		}
	}
	if want := `{"id":"r1","stage":"input","op":"chat","model":"m","key":"k","stream":false,"text":"héllo"}`; body != want {
		t.Errorf("sent %s, want %s", body, want)
	}
	// By openssl: printf '1700000000.BODY' | openssl dgst -sha256 -hmac a-secret
	if got, want := head.Get("X-Sluice-Signature"), "sha256="+sign("a-secret", "1700000000", []byte(body)); got != want || head.Get("X-Sluice-Timestamp") != "1700000000" || head.Get("X-Team") != "a" {
		t.Errorf("headers: %v", head)
	}
	for said, code := range map[string]int{
		`{"action":"erase"}`: 200, `{"risk":"huge"}`: 200, `{"action":"mask"}`: 200, `{"mask":["a"]}`: 200, `{"action":"mask","mask":[""]}`: 200,
		`[]`: 200, `{"action":`: 200, strings.Repeat(" ", maxHook) + "{}": 200, `{"action":"mask","mask":["` + strings.Repeat("a", maxPiece+1) + `"]}`: 200,
		`{}`: 302, ``: 500, `{"action":"allow"}`: 204,
	} {
		answer, status = said, code
		if o, err := w.Ask(t.Context(), q); err == nil {
			t.Errorf("%d %.40s: got %+v, want an error", code, said, o)
		} else if strings.Contains(err.Error(), s.URL) || strings.Contains(err.Error(), "t=1") {
			t.Errorf("the error tells the address: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Ask(ctx, q); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("without time: %v", err)
	}
}

// Whatever others say: no panic, and what is taken from it is bounded.
func FuzzOpinion(f *testing.F) {
	for _, s := range []string{"safe", "unsafe\nS1", `{"risk":"low","found":["a"]}`, `{"results":[{"flagged":true,"categories":{"a":true},"category_scores":{"a":1e308}}]}`,
		`{"action":"mask","mask":["a"]}`, `{"action":"block","risk":"high","reason":"x"}`, "{", `{"results":[{}]}`} {
		f.Add(s)
	}
	m, g, w := &Moderation{Bounds: [4]float64{0, 0.1, 0.2, 0.3}}, &Model{Risk: llm.RiskHigh}, &Webhook{Risk: llm.RiskHigh}
	f.Fuzz(func(t *testing.T, s string) {
		for _, read := range []func() (Opinion, error){
			func() (Opinion, error) { return m.opinion([]byte(s)) }, func() (Opinion, error) { return g.opinion(s) }, func() (Opinion, error) { return w.opinion([]byte(s)) },
		} {
			o, err := read()
			if err != nil {
				if o.Risk != llm.RiskNone || o.Action != Pass || o.Found != nil || o.Mask != nil {
					t.Fatalf("%q: an opinion with its error: %+v", s, o)
				}
				continue
			}
			if len(o.Found) > llm.MaxFound || len(o.Mask) > maxPieces || o.Risk > llm.RiskHigh || o.Action > Block {
				t.Fatalf("%q: got %+v", s, o)
			}
			for _, x := range o.Found {
				if len(x) > maxKind || !word(x) {
					t.Fatalf("%q: found %q", s, x)
				}
			}
		}
	})
}

// However a text is cut, what goes through and is held back is the text, and what
// is masked is not in it.
func FuzzFlow(f *testing.F) {
	for _, s := range samples {
		f.Add(s.text, uint64(7))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if len(text) > 4096 {
			return
		}
		guards := finders()
		whole := newFlow(guards, &masks{})
		want := textOf(whole.all(tell(false, text)))
		parts := newFlow(guards, &masks{})
		for _, c := range tell(false, pieces(text, seed)...) {
			parts.add(c)
		}
		parts.end()
		got := textOf(parts.ready)
		if len(text) <= reach && got != want {
			t.Fatalf("%q in pieces is %q, as a whole %q", text, got, want)
		}
	})
}
