package experiment

import (
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A canary that is saved and restored is where it was, and goes on.
func TestSaved(t *testing.T) {
	b, set, _ := rig(ladder)
	feed(b, "old", "ok", 5000)
	feed(b, "new", "ok", 210)
	if err := b.Save(func(string, Saved) error { return errors.New("no disk") }); err == nil {
		t.Error("what could not be kept is no error")
	}
	var text []byte
	for range 2 {
		if err := b.Save(func(model string, x Saved) (err error) {
			if model != "chat" || text != nil {
				t.Errorf("the canary of %s is kept again", model)
			}
			text, err = json.Marshal(x)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var x Saved
	if err := json.Unmarshal(text, &x); err != nil {
		t.Fatal(err)
	}
	again := NewBook()
	again.Restore("chat", x)
	l, moved := ladder, 0
	again.Split("chat").Adopt(set.Arms, &l, func(Event) { moved++ })
	before, after := b.Split("chat").Report(set).Canary, again.Split("chat").Report(set).Canary
	for i := range before.History { // clocks lose what is monotonic
		before.History[i].Time, after.History[i].Time = before.Since, before.Since
	}
	if after.Since = before.Since; !reflect.DeepEqual(before, after) {
		t.Errorf("restored: got\n%+v, want\n%+v", after, before)
	}
	feed(again, "old", "ok", 500)
	if feed(again, "new", "ok", 200); moved != 1 || again.Split("chat").Canary().Share() != 0.25 {
		t.Errorf("after 200 more answers: moved %d times, share %v", moved, again.Split("chat").Canary().Share())
	}
	for _, state := range []State{Promoted, RolledBack} {
		x.State = state
		again := NewBook()
		again.Restore("chat", x)
		again.Split("chat").Adopt(set.Arms, &l, func(Event) {})
		if got, want := again.Split("chat").Canary().Share(), map[State]float64{Promoted: 1, RolledBack: 0}[state]; got != want {
			t.Errorf("%v: share %v, want %v", state, got, want)
		}
	}
	l.Steps = []float64{0.5, 1} // another configuration
	again.Split("chat").Adopt(set.Arms, &l, func(Event) {})
	if r := again.Split("chat").Report(set).Canary; r.Share != 0.5 || r.Test.Canary.Answers != 0 {
		t.Errorf("another canary: got %+v", r)
	}
}

// Who saves at the same time takes turns, so that what is kept last is the newest.
func TestSavedInTurn(t *testing.T) {
	b, l := NewBook(), ladder
	b.Split("chat").Adopt([]string{"old", "new"}, &l, func(Event) {})
	var busy atomic.Int32
	var last time.Time
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				b.Split("chat").Reset()
				_ = b.Save(func(_ string, x Saved) error {
					if busy.Add(1) != 1 || x.Since.Before(last) {
						t.Error("two keep at a time, or an older one is kept last")
					}
					last = x.Since
					runtime.Gosched()
					busy.Add(-1)
					return nil
				})
			}
		})
	}
	all.Wait()
}

// What is on disk may be anything; what makes no sense is nothing.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"arm":"new","steps":[0.5,1],"state":0,"step":1,"strata":[{"Canary":{"N":5,"Bad":1},"Control":{"N":3,"Bad":0}},{"Canary":{"N":0,"Bad":0},"Control":{"N":0,"Bad":0}}]}`))
	f.Add([]byte(`{"arm":"new","steps":[1],"state":7,"step":-1,"strata":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var x Saved
		if json.Unmarshal(data, &x) != nil {
			t.Skip()
		}
		b := NewBook()
		b.Restore("chat", x)
		l := Ladder{Arm: x.Arm, Steps: x.Steps, Min: 20, Margin: 0.02}
		if len(l.Steps) == 0 {
			t.Skip()
		}
		set := Setting{Model: "chat", Arms: []string{"old", "new"}, Weights: []float64{1, 1}}
		b.Split("chat").Adopt(set.Arms, &l, func(Event) {})
		feed(b, "new", "ok", 30)
		if r := b.Split("chat").Report(set); r.Canary.Step < 1 || r.Canary.Step > len(x.Steps) {
			t.Errorf("step %d of %d", r.Canary.Step, len(x.Steps))
		}
	})
}
