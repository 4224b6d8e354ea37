//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A report gathers what was measured: tables for people on out, one JSON
// object a line for machines, and the bounds that were exceeded. Not safe for
// concurrent use.
type report struct {
	out      io.Writer
	lines    *json.Encoder // nil: no file was asked for
	breaches []string
	lost     error // the first line that could not be written
}

// A reading is one number; the unit is part of Metric.
type reading struct {
	Section string  `json:"section"`
	Round   int     `json:"round"` // from 1
	Subject string  `json:"subject"`
	Column  string  `json:"column,omitempty"`
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
}

func (r *report) record(v reading) {
	if r.lines == nil {
		return
	}
	if err := r.lines.Encode(v); err != nil && r.lost == nil {
		r.lost = err
	}
}

func (r *report) say(format string, a ...any) { fmt.Fprintf(r.out, format+"\n", a...) }

// table prints rows under head, columns aligned to the right.
func (r *report) table(title string, head []string, rows [][]string) {
	r.say("\n%s", title)
	w := tabwriter.NewWriter(r.out, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{head}, rows...) {
		for _, cell := range row {
			fmt.Fprintf(w, "%s\t", cell)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// summary is the two last rows of a table with a row per round: minimum and
// median of each column of v, which holds a slice of rounds per column.
func summary(format string, v [][]float64) [][]string {
	low, mid := []string{"min"}, []string{"median"}
	for _, col := range v {
		low = append(low, fmt.Sprintf(format, slices.Min(col)))
		mid = append(mid, fmt.Sprintf(format, median(col)))
	}
	return [][]string{low, mid}
}

// atMost says whether got keeps within bound, and notes a breach if not.
func (r *report) atMost(what, format string, got, bound float64) {
	line := fmt.Sprintf("%s: "+format+" (bound "+format+")", what, got, bound)
	if got <= bound {
		r.say("  ok    %s", line)
		return
	}
	r.breach(line)
}

func (r *report) breach(line string) {
	r.say("  FAIL  %s", line)
	r.breaches = append(r.breaches, line)
}

// verdict prints what was exceeded and returns the exit code.
func (r *report) verdict() int {
	if r.lost != nil {
		r.breach("the JSON file is incomplete: " + r.lost.Error())
	}
	if len(r.breaches) == 0 {
		r.say("\nwithin all bounds")
		return 0
	}
	r.say("\n%d exceeded:", len(r.breaches))
	for _, b := range r.breaches {
		r.say("  %s", b)
	}
	return 1
}
