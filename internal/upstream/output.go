package upstream

import "sync/atomic"

// defaultOutput is the length of an answer of which nothing is known (the
// mean of the conversation trace in Azure's public LLM traces is about 211
// to 250 tokens).
const defaultOutput = 256

// TaskID numbers a task (FNV-1a); 0 is none.
func TaskID(task string) uint32 {
	if task == "" {
		return 0
	}
	h := uint32(2166136261)
	for i := range len(task) {
		h = (h ^ uint32(task[i])) * 16777619
	}
	return max(1, h)
}

// Output is the expected number of output tokens of an answer.
func (s *State) Output() int64 {
	if n := s.output.Load(); n > 0 {
		return n / 16
	}
	return defaultOutput
}

// OutputFor is that of an answer to a task, which is told by TaskID; Output where
// nothing is known of the task.
func (s *State) OutputFor(task uint32) int64 {
	if task != 0 {
		if n := s.outputs.read(task); n > 0 {
			return n
		}
	}
	return s.Output()
}

// answered notes the length of an answer to a task, 0 for one that nobody knows.
func (s *State) answered(task uint32, tokens int64) {
	feed(&s.output, tokens)
	if task != 0 {
		s.outputs.add(task, tokens)
	}
}

// feed adds tokens to a mean that is kept ×16, with the weight 1/16; the first is
// the mean.
func feed(mean *atomic.Int64, tokens int64) {
	old := mean.Load()
	if old == 0 {
		old = tokens * 16
	}
	mean.Store(max(1, old+(tokens*16-old)/16))
}

// outputs are mean lengths of answers by task. Tasks that come when all places
// are taken are not told apart. Safe for concurrent use: of two answers at the
// same time one may be lost.
type outputs [32]struct {
	task atomic.Uint32 // 0: free
	mean atomic.Int64  // ×16
}

// read returns the mean of a task, 0 where none is known.
func (o *outputs) read(task uint32) int64 {
	for i := range o {
		x := &o[(task+uint32(i))%uint32(len(o))]
		switch x.task.Load() {
		case task:
			return x.mean.Load() / 16
		case 0:
			return 0
		}
	}
	return 0
}

func (o *outputs) add(task uint32, tokens int64) {
	for i := range o {
		x := &o[(task+uint32(i))%uint32(len(o))]
		if x.task.Load() == 0 {
			x.task.CompareAndSwap(0, task)
		}
		if x.task.Load() == task {
			feed(&x.mean, tokens)
			return
		}
	}
}
