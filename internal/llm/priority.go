package llm

// Priority says whose request goes first where not all can: it is served
// sooner, and refused later. The zero value is normal.
type Priority int8

// The priorities; the larger goes first.
const (
	PriorityBatch Priority = iota - 1
	PriorityNormal
	PriorityCritical
)

// Priorities are the names that a key's priority takes, the least first.
var Priorities = []string{"batch", "normal", "critical"}

// String returns the priority's name.
func (p Priority) String() string {
	if i := int(p - PriorityBatch); i >= 0 && i < len(Priorities) {
		return Priorities[i]
	}
	return "unknown"
}

// PriorityByName returns the priority of a name; "" is normal.
func PriorityByName(name string) (Priority, bool) {
	for i, n := range Priorities {
		if n == name {
			return PriorityBatch + Priority(i), true
		}
	}
	return PriorityNormal, name == ""
}
