package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the page anew")

// The page is what the codecs do.
func TestPage(t *testing.T) {
	got, err := page()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "..", "..", "docs", "compatibility.md")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the codecs do: run go test ./internal/wire/protocol/compat -update, and look at what changed", file)
	}
}

// No codec drops a field in silence: what is neither told to the vendor nor
// named as lost.
func TestNothingDropped(t *testing.T) {
	for i := range clients {
		c := &clients[i]
		for j := range c.fields {
			for k := range vendors {
				v := &vendors[k]
				if v.proto == c.proto {
					continue
				}
				what, err := fateOf(c, &c.fields[j], v)
				if err != nil {
					t.Error(err)
				} else if what == dropped {
					t.Errorf("%s, %s to %s: dropped in silence", c.name, c.fields[j].name, v.name)
				}
			}
		}
	}
}
