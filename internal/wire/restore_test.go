package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

func called(n, at int, name string, args ...string) []llm.Event {
	out := []llm.Event{{Kind: llm.EventBlock, Answer: n, Index: at, Block: &llm.Block{Kind: llm.BlockCall, ID: fmt.Sprint("id", at), Name: name}}}
	for _, a := range args {
		out = append(out, llm.Event{Kind: llm.EventDelta, Answer: n, Index: at, Text: a})
	}
	return append(out, llm.Event{Kind: llm.EventBlockEnd, Answer: n, Index: at})
}

func ended(n int, why llm.Stop) []llm.Event {
	return []llm.Event{{Kind: llm.EventStop, Answer: n, Stop: why}}
}

func list(parts ...[]llm.Event) (out []llm.Event) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// summary tells what a client would make of events.
func summary(events []llm.Event) string {
	var c llm.Collector
	c.Add(events...)
	var b strings.Builder
	for _, a := range c.Reply().Answers {
		for _, x := range a.Blocks {
			fmt.Fprintf(&b, "%d %s %s custom=%v %q; ", x.Kind, x.ID, x.Name, x.Custom, x.Text)
		}
		fmt.Fprintf(&b, "stop %d\n", a.Stop)
	}
	return b.String()
}

// What was sent in other words comes back in the client's: names, custom tools,
// and the tool that stood for a format, wherever the stream is cut.
func TestRestore(t *testing.T) {
	call := &Call{
		Names: map[string]string{"get_weather": "get.weather", "run": "run it"}, Custom: map[string]bool{"run": true, "shell": true}, FormatTool: "answer",
	}
	text := []llm.Event{{Kind: llm.EventBlock, Block: &llm.Block{Kind: llm.BlockText}}, {Kind: llm.EventDelta, Text: "Hi"}, {Kind: llm.EventBlockEnd}}
	for name, c := range map[string]struct {
		in   []llm.Event
		want string
	}{
		"text":               {list(text, ended(0, llm.StopEnd)), "0   custom=false \"Hi\"; stop 1\n"},
		"a name":             {list(called(0, 0, "get_weather", `{"city":`, `"Rome"}`), ended(0, llm.StopTools)), "6 id0 get.weather custom=false \"{\\\"city\\\":\\\"Rome\\\"}\"; stop 5\n"},
		"a name of its own":  {list(called(0, 0, "other"), ended(0, llm.StopTools)), "6 id0 other custom=false \"\"; stop 5\n"},
		"a custom tool":      {list(called(0, 0, "shell", `{"in`, `put":"ls \"a\""}`), ended(0, llm.StopTools)), "6 id0 shell custom=true \"ls \\\"a\\\"\"; stop 5\n"},
		"with a name":        {list(called(0, 0, "run", `{"input":"x"}`), ended(0, llm.StopTools)), "6 id0 run it custom=true \"x\"; stop 5\n"},
		"without its form":   {list(called(0, 0, "shell", `ls -l`), ended(0, llm.StopTools)), "6 id0 shell custom=true \"ls -l\"; stop 5\n"},
		"no input":           {list(called(0, 0, "shell"), ended(0, llm.StopTools)), "6 id0 shell custom=true \"\"; stop 5\n"},
		"the format":         {list(called(0, 0, "answer", `{"a":`, `1}`), ended(0, llm.StopTools)), "0   custom=false \"{\\\"a\\\":1}\"; stop 1\n"},
		"format and a call":  {list(called(0, 0, "answer", `{}`), called(0, 1, "other", `{}`), ended(0, llm.StopTools)), "0   custom=false \"{}\"; 6 id1 other custom=false \"{}\"; stop 5\n"},
		"format, cut":        {list(called(0, 0, "answer", `{"a`), ended(0, llm.StopLength)), "0   custom=false \"{\\\"a\"; stop 3\n"},
		"each answer's own":  {list(called(0, 0, "answer", `{}`), called(1, 0, "other", `{}`), ended(0, llm.StopTools), ended(1, llm.StopTools)), "0   custom=false \"{}\"; stop 1\n6 id0 other custom=false \"{}\"; stop 5\n"},
		"custom by nature":   {list([]llm.Event{{Kind: llm.EventBlock, Block: &llm.Block{Kind: llm.BlockCall, Name: "shell", Custom: true}}, {Kind: llm.EventDelta, Text: `{"input":"x"}`}, {Kind: llm.EventBlockEnd}}), "6  shell custom=true \"{\\\"input\\\":\\\"x\\\"}\"; stop 0\n"},
		"two at once":        {[]llm.Event{called(0, 0, "shell")[0], called(0, 1, "run")[0], called(0, 1, "", `{"input":"b"}`)[1], called(0, 0, "", `{"input":"a"}`)[1], {Kind: llm.EventBlockEnd, Index: 1}, {Kind: llm.EventBlockEnd}}, "6 id0 shell custom=true \"a\"; 6 id1 run it custom=true \"b\"; stop 0\n"},
		"an end without one": {[]llm.Event{{Kind: llm.EventBlockEnd, Index: 7}}, "stop 0\n"},
	} {
		for _, step := range []int{1, 2, len(c.in)} {
			r := &restorer{call: call}
			in := append([]llm.Event(nil), c.in...)
			var out []llm.Event
			for rest := in; len(rest) > 0; {
				n := min(step, len(rest))
				var bad *llm.Error
				if out, bad = r.events(out, rest[:n]); bad != nil {
					t.Fatal(bad)
				}
				rest = rest[n:]
			}
			if got := summary(out); got != c.want {
				t.Errorf("%s: got %swant %s", name, got, c.want)
			}
			if r.held != 0 || len(r.open) != 0 && name != "custom by nature" {
				t.Errorf("%s: %d bytes are held at the end", name, r.held)
			}
			for i := range in {
				if !reflect.DeepEqual(in[i], c.in[i]) {
					t.Errorf("%s: the vendor's events were changed", name)
				}
			}
		}
	}
}

// A call's own block is not changed: a decoder may still hold it.
func TestRestoreCopies(t *testing.T) {
	b := &llm.Block{Kind: llm.BlockCall, Name: "a"}
	r := &restorer{call: &Call{Names: map[string]string{"a": "b"}}}
	out, _ := r.events(nil, []llm.Event{{Kind: llm.EventBlock, Block: b}})
	if b.Name != "a" || out[0].Block.Name != "b" {
		t.Errorf("the block is %+v, the client's %+v", b, out[0].Block)
	}
}

// What is held is bounded in bytes and in blocks, for one call and for many.
func TestRestoreBound(t *testing.T) {
	call := &Call{Custom: map[string]bool{"shell": true}, FormatTool: "answer"}
	long := strings.Repeat("x", 10000)
	feed := map[string]func(i int) llm.Event{
		"one long input": func(i int) llm.Event {
			if i == 0 {
				return called(0, 0, "shell")[0]
			}
			return llm.Event{Kind: llm.EventDelta, Text: long}
		},
		"many calls":   func(i int) llm.Event { return called(0, i, "shell")[0] },
		"many formats": func(i int) llm.Event { return called(0, i, "answer")[0] },
	}
	for name, next := range feed {
		r := &restorer{call: call}
		var bad *llm.Error
		for i := 0; i < 1<<20 && bad == nil; i++ {
			_, bad = r.events(nil, []llm.Event{next(i)})
			if r.held > maxHeld+10000+heldBlock {
				t.Fatalf("%s: %d bytes are held", name, r.held)
			}
		}
		if bad == nil || bad.Kind != llm.KindUpstream {
			t.Errorf("%s: %v", name, bad)
		}
	}
	r := &restorer{call: call} // those that are whole are no longer held
	for i := range 2000 {
		if _, bad := r.events(nil, called(0, i, "shell", long)); bad != nil {
			t.Fatal(bad)
		}
	}
	for range 100000 { // nor those that begin again where another stands
		if _, bad := r.events(nil, called(0, 0, "shell")[:1]); bad != nil {
			t.Fatal(bad)
		}
	}
}
