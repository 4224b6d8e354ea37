//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// hangups delivers SIGHUP, which reloads.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// restarts delivers SIGUSR2, which starts the binary anew.
func restarts() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	return c
}
