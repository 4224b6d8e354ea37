// Command gen trains the linear model by which answers that refuse are told, and
// writes internal/quality/refusal.bin. From the root of the repository:
//
//	go run ./internal/quality/gen xstest_refusals.jsonl.gz
//
// The file has the completions of XSTest (Röttger et al., 2024, CC BY 4.0) with
// the labels that people gave them: an object a line, with model, text and label;
// 2_full_refusal and 3_partial_refusal are refusals. The same file makes the same
// model.
package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"

	"github.com/sluicegate/sluice/internal/quality"
)

const output = "internal/quality/refusal.bin"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/quality/gen xstest_refusals.jsonl.gz")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	answers, err := read(z)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if err := os.WriteFile(output, quality.TrainRefusals(answers).Append(nil), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d answers\n", output, len(answers))
	return nil
}

func read(r io.Reader) ([]quality.Labelled, error) {
	var answers []quality.Labelled
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Text  string `json:"text"`
			Label string `json:"label"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, err
		}
		answers = append(answers, quality.Labelled{Text: row.Text, Refuses: row.Label != "1_full_compliance"})
	}
	if len(answers) == 0 && lines.Err() == nil {
		return nil, errors.New("it has no answers")
	}
	return answers, lines.Err()
}
