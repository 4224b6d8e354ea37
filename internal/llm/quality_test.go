package llm

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestFlagNames(t *testing.T) {
	all := FlagEmpty | FlagTruncated | FlagFiltered | FlagJSON | FlagSchema | FlagTool | FlagRefused | FlagLanguage | FlagLoop | FlagEcho |
		FlagArithmetic | FlagPattern | FlagPrinciple | FlagScore
	want := []string{"empty", "truncated", "filtered", "invalid_json", "invalid_schema", "invalid_tool_call", "refused",
		"wrong_language", "loop", "echo", "arithmetic", "pattern", "principle", "low_score"}
	if got := all.Names(); !slices.Equal(got, want) {
		t.Errorf("all flags are %v, want %v", got, want)
	}
	for f, name := range map[Flags]string{FlagEmpty: "empty", FlagJSON: "invalid_json", FlagTool: "invalid_tool_call", FlagEcho: "echo", FlagScore: "low_score"} {
		if got := f.Names(); !slices.Equal(got, []string{name}) {
			t.Errorf("%#x is %v, want %s", uint32(f), got, name)
		}
		if got, ok := FlagByName(name); !ok || got != f {
			t.Errorf("%s is %#x, %v", name, uint32(got), ok)
		}
	}
	if got := Flags(0).Names(); got != nil {
		t.Errorf("no flags are %v", got)
	}
	if _, ok := FlagByName("bad"); ok {
		t.Error("bad is a flag")
	}
}

func TestHardFlags(t *testing.T) {
	for name, want := range map[string]bool{"empty": true, "truncated": true, "filtered": true, "invalid_json": true, "invalid_schema": true,
		"invalid_tool_call": true, "refused": false, "wrong_language": false, "loop": false, "echo": false, "arithmetic": false,
		"pattern": false, "principle": false, "low_score": false} {
		f, _ := FlagByName(name)
		if f.Hard() != want {
			t.Errorf("%s is hard: %v, want %v", name, f.Hard(), want)
		}
	}
	if !(FlagRefused | FlagJSON).Hard() || Flags(0).Hard() {
		t.Error("several flags are as hard as the hardest of them, none is not")
	}
}

func TestAttemptsHaveNoScoreYet(t *testing.T) {
	trail := NewTrail("r", time.Now(), func(*Trail) {})
	for range 2 {
		if a := trail.Begin("m", "p/m", "1", time.Now()); !math.IsNaN(a.Score) {
			t.Errorf("a new attempt has score %v", a.Score)
		}
	}
}
