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
	}
	if got := Flags(0).Names(); got != nil {
		t.Errorf("no flags are %v", got)
	}
}

func TestHardFlags(t *testing.T) {
	for f, want := range map[Flags]bool{FlagEmpty: true, FlagTruncated: true, FlagFiltered: true, FlagJSON: true, FlagSchema: true,
		FlagTool: true, FlagRefused: false, FlagLanguage: false, FlagLoop: false, FlagEcho: false, FlagArithmetic: false,
		FlagPattern: false, FlagPrinciple: false, FlagScore: false} {
		if f.Hard() != want {
			t.Errorf("%v is hard: %v, want %v", f.Names(), f.Hard(), want)
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
