package llm

import "testing"

func TestPriority(t *testing.T) {
	for _, name := range Priorities {
		if p, ok := PriorityByName(name); !ok || p.String() != name {
			t.Errorf("%s: got %v, %v", name, p, ok)
		}
	}
	if p, ok := PriorityByName(""); p != PriorityNormal || !ok {
		t.Errorf("no name: got %v, %v, want normal", p, ok)
	}
	if _, ok := PriorityByName("high"); ok {
		t.Error("high is a priority")
	}
	if !(PriorityCritical > PriorityNormal && PriorityNormal > PriorityBatch) {
		t.Error("the larger does not go first")
	}
	if got := Priority(7).String(); got != "unknown" {
		t.Errorf("7: got %q", got)
	}
}
