package llm

import (
	"testing"
	"time"
)

// A trail waits for its branches, has their attempts when it is settled, and
// what they cost; the client's part is none of them.
func TestBranch(t *testing.T) {
	now := time.Unix(1000, 0)
	settled := 0
	tr := NewTrail("id", now, func(*Trail) { settled++ })
	tr.Begin("m", "p/m", "1", now).Finish("ok", Usage{Input: 1}, 10, now)
	b := tr.Branch(NoteShadow, now)
	first := b.Begin("s", "q/s", "1", now)
	if got := tr.Cost(); got != 10 {
		t.Errorf("cost before the branch ends: got %d, want 10", got)
	}
	tr.Close(now)
	b.Close(now)
	if settled != 0 {
		t.Fatal("settled while a branch has an attempt under way")
	}
	first.Finish("ok", Usage{Input: 2}, 5, now)
	if settled != 1 {
		t.Fatalf("settled %d times", settled)
	}
	all := tr.Attempts()
	if len(all) != 2 || all[0].Note != "" || all[1].Note != NoteShadow || all[1].Target != "q/s" {
		t.Errorf("attempts: got %+v", all)
	}
	if tr.Cost() != 15 || tr.Usage().Input != 3 {
		t.Errorf("got cost %d and %d tokens, want 15 and 3", tr.Cost(), tr.Usage().Input)
	}
}

// A branch that made no call lets go, before or after the client's part.
func TestBranchWithoutCalls(t *testing.T) {
	for _, early := range [...]bool{true, false} {
		settled := 0
		tr := NewTrail("id", time.Now(), func(*Trail) { settled++ })
		b := tr.Branch(NoteShadow, time.Now())
		if early {
			b.Close(time.Now())
		}
		tr.Close(time.Now())
		if !early {
			b.Close(time.Now())
		}
		if settled != 1 {
			t.Errorf("early %v: settled %d times", early, settled)
		}
	}
}

// However many calls a branch makes, the trail's attempts are bounded and no
// cost is lost.
func TestBranchIsBounded(t *testing.T) {
	now := time.Now()
	tr := NewTrail("id", now, func(*Trail) {})
	for range 3 {
		b := tr.Branch(NoteShadow, now)
		for range MaxAttempts {
			b.Begin("s", "q/s", "1", now).Finish("ok", Usage{}, 1, now)
		}
		b.Close(now)
	}
	if n := len(tr.Attempts()); n != MaxAttempts || tr.Cost() != 3*MaxAttempts {
		t.Errorf("got %d attempts for %d, want %d for %d", n, tr.Cost(), MaxAttempts, 3*MaxAttempts)
	}
}

// Each split draws once for a request; the first names the arm.
func TestDraw(t *testing.T) {
	tr := NewTrail("id", time.Now(), func(*Trail) {})
	for _, a := range []*Arm{{"chat", "a"}, {"chat", "b"}, {"other", "b"}} {
		tr.Draw(a)
	}
	if got := tr.Drawn(); len(got) != 2 || got[0].Model != "a" || got[1].Split != "other" || tr.Arm != "a" {
		t.Errorf("drawn: got %v, arm %q", got, tr.Arm)
	}
}
