package route

import (
	"math"
	"testing"
)

func TestRules(t *testing.T) {
	for _, x := range []struct {
		prompt, task string
		confidence   float64
	}{
		{"Write some code to sort a list", "coding", 1. / 4},
		{"WRITE CODE, then DEBUG it and refactor", "coding", 3. / 4},
		{"write a line\nof code", "general", 0}, // a pattern does not reach over the end of a line
		{"Explain to me why the sky is blue", "reasoning", 1. / 4},
		{"Write a story about a river", "creative", 1. / 3},
		{"Please summarize this", "analysis", 1. / 3},
		{"analyze this document", "analysis", 1. / 3},   // more of its patterns than of reasoning's
		{"debug this and compare it", "coding", 1. / 4}, // a tie: the first
		{"What is the capital of France?", "general", 0},
		{"", "general", 0},
	} {
		task, confidence := Rules(x.prompt)
		if task != x.task || math.Abs(confidence-x.confidence) > 1e-9 {
			t.Errorf("%q: %s %.2f, want %s %.2f", x.prompt, task, confidence, x.task, x.confidence)
		}
	}
}
