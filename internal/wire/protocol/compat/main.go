// Command compat writes docs/compatibility.md: what becomes of each field of
// each client protocol at each vendor protocol, and of what vendors answer.
//
//	go run ./internal/wire/protocol/compat
//
// Nothing on the page is written by hand: an example of each field goes
// through the codecs, and the page tells what they did. `go test` in this
// folder fails if the page is not what the codecs do.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "docs/compatibility.md", "file to write")
	flag.Parse()
	b, err := page()
	if err == nil {
		err = os.WriteFile(*out, b, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}
