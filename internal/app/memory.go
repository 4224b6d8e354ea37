package app

import (
	"fmt"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// LimitMemory makes the collector keep below 9/10 of what there is, where
// GOMEMLIMIT says nothing; off is a word, too. What may be five times what lives, by GOGC, would
// find its end in the kernel's otherwise.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit() / 10 * 9)
	}
}

// memoryLimit is GOMEMLIMIT, else the cgroup's, else the machine's memory in
// bytes; 4 GiB where none can be read.
func memoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		return n
	}
	for _, dir := range [...]string{cgroup(), "/"} {
		if b, err := os.ReadFile(path.Join("/sys/fs/cgroup", dir, "memory.max")); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				return n
			}
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 4 << 30
}

// cgroup is the path of the process's own cgroup (version 2), "/" if it has none.
func cgroup() string {
	b, _ := os.ReadFile("/proc/self/cgroup") // no such file: none
	for line := range strings.Lines(string(b)) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(p)
		}
	}
	return "/"
}
