package app

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestLimitMemory(t *testing.T) {
	was := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(was)
	for said, limited := range map[string]bool{"off": false, "": true} {
		t.Setenv("GOMEMLIMIT", said)
		debug.SetMemoryLimit(math.MaxInt64) // as off does
		LimitMemory()
		if n := debug.SetMemoryLimit(-1); (n < math.MaxInt64) != limited {
			t.Errorf("GOMEMLIMIT=%s: limited to %d", said, n)
		}
	}
}
