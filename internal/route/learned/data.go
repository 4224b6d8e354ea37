package learned

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if len(out) == maxExamples {
			return nil, fmt.Errorf("more than %d prompts", maxExamples)
		}
		var e Example
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if e.Prompt == "" || len(e.Outcomes) == 0 {
			return nil, fmt.Errorf(`line %d: want {"prompt": "…", "outcomes": {"model-a": {"quality": 0.5, "cost": 0.001}, …}}`, n)
		}
		for name, o := range e.Outcomes {
			if !(o.Quality >= 0 && o.Quality <= 1) || !(o.Cost >= 0) || math.IsInf(o.Cost, 0) {
				return nil, fmt.Errorf("line %d: model %q: quality is 0 to 1, cost is not negative", n, name)
			}
		}
		out = append(out, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
	}
	return out, nil
}
