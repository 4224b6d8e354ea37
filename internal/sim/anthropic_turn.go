package sim

import (
	"slices"
	"strings"
)

// merged returns the turns as the vendor sees them: neighbours of one role are
// one turn, and the system's do not count.
func (r *reader) merged() []turn {
	var all []turn
	for _, t := range r.turns {
		if t.role == "system" {
			continue
		}
		if n := len(all); n > 0 && all[n-1].role == t.role {
			last := &all[n-1]
			last.blocks = slices.Concat(last.blocks, t.blocks)
			last.calls = slices.Concat(last.calls, t.calls)
			last.results = slices.Concat(last.results, t.results)
			continue
		}
		all = append(all, t)
	}
	return all
}

// between checks what the vendor wants of messages that follow each other: each
// call has its result at the beginning of the next turn, and no result is
// without its call.
func (r *reader) between() {
	if r.bad != "" {
		return
	}
	seen := make(map[string]bool)
	turns := r.merged()
	for i, t := range turns {
		for _, id := range t.calls {
			if seen[id] {
				r.refuse("messages: `tool_use` ids must be unique")
			}
			seen[id] = true
		}
		if len(t.calls)+len(t.results) > 0 && !given(r.req.Tools) {
			r.refuse("Requests which include `tool_use` or `tool_result` blocks must define tools")
		}
		var next turn
		if i+1 < len(turns) {
			next = turns[i+1]
		}
		if i+1 < len(turns) || len(t.calls) > 0 {
			r.answered(i, t, next)
		}
		if i == 0 || t.role != "user" {
			r.unasked(i, t, turn{})
		} else {
			r.unasked(i, t, turns[i-1])
		}
	}
}

// answered refuses calls that the next turn does not begin to answer.
func (r *reader) answered(i int, t, next turn) {
	open := slices.Clone(t.calls)
	for j, kind := range next.blocks {
		if kind != "tool_result" || j >= len(next.results) {
			break
		}
		open = slices.DeleteFunc(open, func(id string) bool { return id == next.results[j] })
	}
	if len(open) > 0 {
		r.refuse("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s. Each `tool_use` block must have a corresponding `tool_result` block in the next message.", i, clip(strings.Join(open, ", "), maxName))
	}
}

// unasked refuses results of calls that the turn before did not make.
func (r *reader) unasked(i int, t, before turn) {
	seen := make(map[string]bool)
	for _, id := range t.results {
		if !slices.Contains(before.calls, id) {
			r.refuse("messages.%d.content.0: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", i, clip(id, maxName))
		}
		if seen[id] {
			r.refuse("messages.%d.content.0: each tool_use must have a single result. Found multiple `tool_result` blocks with id: %s", i, clip(id, maxName))
		}
		seen[id] = true
	}
}

// thoughtful checks that a turn of the assistant that waits for its tools kept
// what it thought, where a budget enables thinking.
func (r *reader) thoughtful() {
	turns := r.merged()
	n := len(turns)
	if r.bad != "" || !r.budget || n < 2 || len(turns[n-1].results) == 0 {
		return
	}
	t := turns[n-2]
	if len(t.calls) == 0 || t.blocks[0] == "thinking" || t.blocks[0] == "redacted_thinking" {
		return
	}
	r.refuse("messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `%s`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking", n-2, t.blocks[0])
}
