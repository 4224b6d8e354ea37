//go:build !race

package main

import (
	"math"
	"os"
	"slices"
	"testing"

	"github.com/sluicegate/sluice/internal/route/learned"
)

// The embedded router is what this program makes of the data.
func TestReproducible(t *testing.T) {
	dir := os.Getenv("SLUICE_DATA")
	if dir == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds routing/, labelled outcomes")
	}
	if testing.Short() {
		t.Skip("trains for a minute")
	}
	m, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	have := learned.Embedded()
	if m.Card != have.Card || !slices.Equal(m.Topics, have.Topics) || !slices.Equal(m.Tasks, have.Tasks) || !slices.Equal(m.Domains, have.Domains) || !slices.Equal(m.Models, have.Models) {
		t.Fatalf("made is %+v, embedded %+v", m.Card, have.Card)
	}
	var a, b learned.Estimate
	for _, e := range ours() {
		m.Estimate(&a, e.Prompt)
		have.Estimate(&b, e.Prompt)
		for i := range a.Quality {
			if math.Abs(float64(a.Quality[i]-b.Quality[i])) > 1e-3 {
				t.Fatalf("%q: %s is expected to be %.4f by what was made now, %.4f by what is embedded", e.Prompt, m.Models[i], a.Quality[i], b.Quality[i])
			}
		}
		for i := range a.Task {
			if math.Abs(float64(a.Task[i]-b.Task[i])) > 1e-3 {
				t.Fatalf("%q: %s has %.4f by what was made now, %.4f by what is embedded", e.Prompt, m.Tasks[i], a.Task[i], b.Task[i])
			}
		}
	}
}
