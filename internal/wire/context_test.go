package wire

import (
	"io"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// asked is the shape of a chat.
var asked = Shape{Keys: []string{"model", "stream", "context", "messages"}, Asked: KeyOwn}

func contextOf(t *testing.T, body string) (llm.Context, *llm.Error) {
	t.Helper()
	f, err := NewForm(&asked, &Buffer{B: []byte(body)})
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	defer f.Release()
	return f.Context()
}

func TestContext(t *testing.T) {
	for body, want := range map[string]llm.Context{
		`{"messages":[]}`:                  {},
		`{"messages":[],"context":{}}`:     {},
		`{"messages":[],"context":"mine"}`: {}, // no chat: the vendor's to judge
		`{"context":{"budget":"low"}}`:     {}, // no chat
		`{"messages":[],"context":{"budget":"low","latency_critical":true,"safety_critical":false,"task":"coding"}}`: {Budget: "low", LatencyCritical: true, Task: "coding"},
		`{"messages":[],"context":{"budget":"high","safety_critical":true,"task":null}}`:                             {Budget: "high", SafetyCritical: true},
	} {
		if got, e := contextOf(t, body); e != nil || got != want {
			t.Errorf("%s: %+v, %v", body, got, e)
		}
	}
	for _, bad := range []string{
		`{"budget":"cheap"}`, `{"budget":1}`, `{"latency_critical":"true"}`, `{"latency_critical":1}`, `{"safety":true}`, `{"task":"two words"}`,
		`{"task":""}`, `{"task":true}`, `{"task":"` + strings.Repeat("x", 65) + `"}`, `{"budget":"low","budget":"high"}`, `{"Budget":"low"}`,
	} {
		_, e := contextOf(t, `{"messages":[],"context":`+bad+`}`)
		if e == nil || e.Kind != llm.KindInvalidRequest || e.Param != "context" || !strings.Contains(e.Message, `write {"budget"`) {
			t.Errorf("%s: %v", bad, e)
		}
	}
}

// talks is a codec that is not asked.
type talks struct{ Client }

// TestContextOfChats: in a chat it is an object or nothing, and no vendor sees it.
func TestContextOfChats(t *testing.T) {
	shape := asked
	shape.Codec = talks{}
	for body, want := range map[string]string{
		`{"model":"a","messages":[],"context":null}`:              `{"model":"a","messages":[]}`,
		`{"context":{"task":"math"},"model":"a","messages":[]}`:   `{"model":"a","messages":[]}`,
		`{"model":"a","context":null}`:                            `{"model":"a","context":null}`, // no chat
		`{"model":"a","messages":[],"context":"mine"}`:            "",
		`{"model":"a","messages":[],"context":[{"task":"math"}]}`: "",
		`{"model":"a","messages":[],"context":7}`:                 "",
	} {
		f, bad := NewForm(&shape, &Buffer{B: []byte(body)})
		if bad != nil {
			t.Fatal(bad)
		}
		if _, bad = f.Context(); (bad != nil) != (want == "") {
			t.Errorf("%s: %v", body, bad)
		}
		if p := (Rewrite{}).Payload(f); want != "" {
			if got, err := io.ReadAll(p); err != nil || string(got) != want {
				t.Errorf("%s goes out as %s, want %s; %v", body, got, want, err)
			}
			p.Close()
		}
		f.Release()
	}
}

func TestContextHeader(t *testing.T) {
	for header, want := range map[string]llm.Context{
		"":                               {Budget: "low", LatencyCritical: true},
		"budget=high":                    {Budget: "high", LatencyCritical: true},
		" budget=normal ;; task=math; ":  {Budget: "normal", LatencyCritical: true, Task: "math"},
		"latency_critical=false":         {Budget: "low"},
		"safety_critical; budget = high": {Budget: "high", LatencyCritical: true, SafetyCritical: true},
	} {
		got := llm.Context{Budget: "low", LatencyCritical: true} // of the body
		if e := ReadContext(&got, header); e != nil || got != want {
			t.Errorf("%q: %+v, %v", header, got, e)
		}
	}
	for _, bad := range []string{"budget", "budget=cheap", "task", "task=a b", "fast", "latency_critical=1", "budget=low, task=x"} {
		var c llm.Context
		if e := ReadContext(&c, bad); e == nil || e.Kind != llm.KindInvalidRequest || !strings.Contains(e.Message, "budget=low;") {
			t.Errorf("%q: %v", bad, e)
		}
	}
}

func FuzzContext(f *testing.F) {
	f.Add(`{"budget":"low","task":"x"}`, "budget=low; task=x")
	f.Add(`{"task":"\u0061"}`, ";=;")
	f.Fuzz(func(t *testing.T, object, header string) {
		form, err := NewForm(&asked, &Buffer{B: []byte(`{"messages":[],"context":` + object + `}`)})
		if err != nil {
			return
		}
		defer form.Release()
		c, bad := form.Context()
		if bad == nil {
			bad = ReadContext(&c, header)
		}
		if bad == nil && (len(c.Task) > maxTask || len(c.Budget) > len("normal")) {
			t.Errorf("%q, %q: %+v", object, header, c)
		}
	})
}
