package upstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// A timer that fires late shows that the process was stopped: nothing is ended
// for what could not be read meanwhile, and what stays silent is ended after it.
func TestLateTimer(t *testing.T) {
	for _, heard := range []bool{false, true} {
		virtual(t, func(t *testing.T, r *rig) {
			a, _ := r.target("a/m", always(fine(0)))
			req := &llm.Request{Op: llm.OpChat, Stream: true}
			start := r.reg.now()
			w := newWatch(t.Context(), a, req, start+int64(time.Hour), nil)
			defer w.stop()
			w.firstContent(start)
			w.hear(start, true)
			w.set(start, a.Timeouts.Idle)
			w.due.Store(start + int64(a.Timeouts.Idle-late)) // as if it had been due a second before
			time.Sleep(a.Timeouts.Idle + late/2)
			if err := context.Cause(w.ctx); err != nil {
				t.Fatalf("when the timer fired late: %v, want time to read", err)
			}
			if heard {
				w.hear(r.reg.now(), true)
			}
			time.Sleep(late)
			var e *llm.Error
			if ended := errors.As(context.Cause(w.ctx), &e) && e.Kind == llm.KindTimeout; ended == heard {
				t.Errorf("heard something meanwhile: %v; ended: %v", heard, context.Cause(w.ctx))
			}
		})
	}
}
