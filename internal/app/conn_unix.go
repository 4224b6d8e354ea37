//go:build unix

package app

import "syscall"

// maxFiles is how many files the process may have open, 0 if unknown.
func maxFiles() uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return uint64(r.Cur)
}
