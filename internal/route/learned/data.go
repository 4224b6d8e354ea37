package learned

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

const (
	// maxLine bounds a line of data, maxExamples the lines of a file.
	maxLine     = 4 << 20
	maxExamples = 2_000_000
)

// ReadExamples reads JSON Lines, plain or gzip: one labelled prompt a line.
// Errors name the line.
func ReadExamples(r io.Reader) ([]Example, error) {
	b := bufio.NewReader(r)
	if magic, _ := b.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		b = bufio.NewReader(z)
	}
	var out []Example
	lines := bufio.NewScanner(b)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if len(out) == maxExamples {
			return nil, fmt.Errorf("more than %d prompts", maxExamples)
		}
		e, err := example(bytes.TrimPrefix(lines.Bytes(), mark))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, e)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: longer than %d MiB", n, maxLine>>20)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	return out, nil
}

// mark is the byte order mark that some editors put before a text.
var mark = []byte("\ufeff")

// example reads one line.
func example(line []byte) (Example, error) {
	var x struct {
		Prompt   string `json:"prompt"`
		Task     string `json:"task"`
		Outcomes map[string]struct {
			Quality *float64 `json:"quality"`
			Cost    *float64 `json:"cost"`
		} `json:"outcomes"`
	}
	if err := json.Unmarshal(line, &x); err != nil {
		return Example{}, err
	}
	if x.Task != "" && !isTask(x.Task) {
		return Example{}, fmt.Errorf("the task %q: write up to 64 characters of ASCII", clip([]byte(x.Task)))
	}
	if x.Prompt == "" || len(x.Outcomes) == 0 {
		return Example{}, errors.New(`want {"prompt": "…", "outcomes": {"model-a": {"quality": 0.5, "cost": 0.001}, …}}`)
	}
	e := Example{Prompt: x.Prompt, Task: x.Task, Outcomes: make(map[string]Outcome, len(x.Outcomes))}
	for name, o := range x.Outcomes {
		switch {
		case o.Quality == nil || o.Cost == nil:
			return Example{}, fmt.Errorf("model %q: want a quality and a cost", name)
		case !(*o.Quality >= 0 && *o.Quality <= 1) || !(*o.Cost >= 0) || math.IsInf(*o.Cost, 0):
			return Example{}, fmt.Errorf("model %q: quality is 0 to 1, cost is not negative", name)
		}
		e.Outcomes[name] = Outcome{*o.Quality, *o.Cost}
	}
	return e, nil
}

// isTask reports whether s may be the name of a task: it goes to logs and headers.
func isTask(s string) bool {
	if s == "" || len(s) > 64 || s != strings.TrimSpace(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
