package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxErrors bounds the mistakes that one Errors reports. maxKept bounds those
// that are remembered before they are sorted.
const (
	maxErrors = 100
	maxKept   = 10_000
)

// Position is a place in the file. Both count from 1; Col counts characters.
type Position struct{ Line, Col int }

// Positions finds the place of a dotted path: "timeouts.idle",
// "models.gpt-4.targets[1].weight", "keys[0].name". Short forms have the paths
// of the long ones.
type Positions map[string]Position

// Find returns the place of path, else that of the nearest part around it,
// else the beginning of the file.
func (p Positions) Find(path string) Position {
	for path != "" {
		if at, ok := p[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return Position{1, 1}
}

// Error is one mistake in a file.
type Error struct {
	File      string // "": no file, and Error tells no position
	Line, Col int    // from 1; Col counts characters
	Msg       string
}

func (e *Error) Error() string {
	if e.File == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// Errors is every mistake of a file in the order of their positions, at most
// 100 and a last one that counts the rest.
type Errors []*Error

// Error returns one line per mistake.
func (e Errors) Error() string {
	var b strings.Builder
	for i, x := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(x.Error())
	}
	return b.String()
}

// Unwrap returns the mistakes, for errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, x := range e {
		all[i] = x
	}
	return all
}

// Errorf makes an Error at the place of path, for what is found while
// building. The arguments must not hold secrets.
func (c *Config) Errorf(path, format string, args ...any) *Error {
	at := c.Pos.Find(path)
	return &Error{File: c.File, Line: at.Line, Col: at.Col, Msg: fmt.Sprintf(format, args...)}
}

// Sort puts errors in the order of their positions and bounds their number.
// It returns nil for none: ask for its length before it becomes an error, as a
// nil Errors in an error is not nil. The argument is reused.
func Sort(all []*Error) Errors { return sorted(all, 0) }

// sorted is Sort where more errors, dropped of them, were not remembered.
func sorted(all []*Error, dropped int) Errors {
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if more := len(all) - maxErrors + dropped; more > 0 && len(all) > maxErrors {
		first := *all[maxErrors]
		first.Msg = fmt.Sprintf("%d more mistakes from here on: correct those above first", more)
		all = append(all[:maxErrors], &first)
	}
	return all
}
