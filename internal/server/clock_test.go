package server

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// 67: a deadline is told by the monotonic clock (shown as m=), which the wall
// clock's jumps leave alone.
func TestFault67Deadline(t *testing.T) {
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("X-Sluice-Timeout-Ms", "700")
	start := time.Now()
	x := &exchange{r: r, trail: llm.NewTrail("1", start, func(*llm.Trail) {})}
	var req llm.Request
	if e := x.say(&req); e != nil {
		t.Fatal(e)
	}
	if s := req.Deadline.String(); !strings.Contains(s, " m=") || req.Deadline.Sub(start) != 700*time.Millisecond {
		t.Errorf("deadline: got %s, want 700 ms after the start, with a monotonic reading", s)
	}
}
