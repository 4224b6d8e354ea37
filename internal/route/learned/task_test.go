package learned

import (
	"bytes"
	"strings"
	"testing"
)

// TestTaskNames: what is no word goes to no header and no log.
func TestTaskNames(t *testing.T) {
	for task, want := range map[string]bool{"math": true, "": true, "agentverse-mgsm": true, "two words": true, "wmt/en-de.v2": true, " a": false, "naïve": false, "a\nb": false, strings.Repeat("x", 65): false} {
		line := `{"prompt":"p","task":"` + strings.ReplaceAll(task, "\n", "\\n") + `","outcomes":{"a":{"quality":1,"cost":1}}}`
		if _, err := ReadExamples(strings.NewReader(line)); (err == nil) != want {
			t.Errorf("%q: %v", task, err)
		}
		var data []Example
		for _, prompt := range []string{"one thing", "another thing"} {
			data = append(data, Example{Prompt: prompt, Task: task, Outcomes: map[string]Outcome{"a": {Quality: 1}, "b": {Quality: 0}}})
		}
		m, err := Train(data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := m.Write(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&file); (err == nil) != want {
			t.Errorf("a router's task %q: %v", task, err)
		}
	}
}
