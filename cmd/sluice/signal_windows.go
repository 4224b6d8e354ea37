package main

import "os"

// hangups is nil: Windows has no SIGHUP. The file is watched there as well.
func hangups() <-chan os.Signal { return nil }

// restarts is nil: Windows has no SIGUSR2.
func restarts() <-chan os.Signal { return nil }
