//go:build !linux

// Bench measures the gateway against a bare reverse proxy. It runs on Linux
// only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux only: it pins processes to cores and reads their CPU time and memory from the kernel")
	os.Exit(2)
}
