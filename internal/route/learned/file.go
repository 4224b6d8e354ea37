package learned

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// A model's file is a line that names the format, a line of JSON, the hashes and
// weights (deflated) and a SHA-256 of all before it.
const (
	format  = "sluice router 1"
	maxFile = 64 << 20
	maxHead = 8 << 20
)

// head is what a file says in JSON.
type head struct {
	Card    Card        `json:"card"`
	Topics  []string    `json:"topics"`
	Tasks   []string    `json:"tasks"`
	Task    []int       `json:"task"` // of topics
	Domains []string    `json:"domains,omitempty"`
	Domain  []int       `json:"domain,omitempty"` // of topics
	Prior   []float32   `json:"prior"`
	Models  []string    `json:"models"`
	Trust   []float32   `json:"trust"`
	Table   [][]float32 `json:"table"`
	Scale   []float32   `json:"scale"`
	Bias    []float32   `json:"bias"`
	Rows    int         `json:"rows"`
}

// Write writes the model's file.
func (m *Model) Write(w io.Writer) error {
	line, err := json.Marshal(head{m.Card, m.Topics, m.Tasks, m.task, m.Domains, m.domain, m.prior, m.Models, m.trust, m.table, m.scale, m.bias, len(m.hashes)})
	if err != nil {
		return fmt.Errorf("writing the router: %w", err)
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := fmt.Fprintf(out, "%s\n%s\n", format, line); err != nil {
		return err
	}
	z, err := flate.NewWriter(out, flate.BestCompression)
	if err != nil {
		return err
	}
	if err := errors.Join(m.pack(z), z.Close()); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// pack writes the hashes, then the weights head by head: those of one head are
// alike.
func (m *Model) pack(w io.Writer) error {
	if err := binary.Write(w, binary.LittleEndian, m.hashes); err != nil {
		return err
	}
	column := make([]byte, len(m.hashes))
	for h := range m.scale {
		for i := range column {
			column[i] = byte(m.weights[i*m.words+h/perWord] >> (8 * (h % perWord)))
		}
		if _, err := w.Write(column); err != nil {
			return err
		}
	}
	return nil
}

// IsModel reports whether what follows is a model's file.
func IsModel(b *bufio.Reader) bool {
	first, _ := b.Peek(len(format))
	return string(first) == format
}

// Read reads a model's file, at most 64 MiB.
func Read(r io.Reader) (*Model, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the router: %w", err)
	}
	return parse(b)
}

// parse makes a model of a file's bytes, of which it keeps none.
func parse(b []byte) (*Model, error) {
	if len(b) > maxFile {
		return nil, errors.New("the router's file is larger than 64 MiB")
	}
	first, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(first) != format {
		return nil, fmt.Errorf("not a router's file of this version (it begins with %q, not %q); make one with sluice train", clip(first), format)
	}
	line, _, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || len(line) > maxHead || len(rest)-len(line)-1 < sha256.Size {
		return nil, errors.New("the router's file is cut short")
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, errors.New("the router's file is damaged: its checksum differs")
	}
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("the router's file: %w", err)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("the router's file: %w", err)
	}
	m := &Model{Card: h.Card, Topics: h.Topics, Tasks: h.Tasks, task: h.Task, Domains: h.Domains, domain: h.Domain, prior: h.Prior,
		Models: h.Models, trust: h.Trust, table: h.Table, scale: h.Scale, bias: h.Bias}
	m.derive()
	if err := m.unpack(bytes.NewReader(body[len(first)+len(line)+2:]), h.Rows); err != nil {
		return nil, fmt.Errorf("the router's weights: %w", err)
	}
	return m, nil
}

func clip(b []byte) []byte { return b[:min(len(b), 32)] }

// check makes sure that the parts fit each other.
func (h *head) check() error {
	heads := len(h.Topics) + len(h.Models)
	switch {
	case len(h.Topics) == 0 || len(h.Models) == 0 || heads >= maxHeads || h.Rows < 0 || h.Rows > maxRows,
		len(h.Task) != len(h.Topics) || len(h.Prior) != len(h.Topics) || len(h.Domains) > 0 && len(h.Domain) != len(h.Topics) || len(h.Domains) == 0 && len(h.Domain) > 0,
		len(h.Trust) != len(h.Models) || len(h.Table) != len(h.Models) || len(h.Scale) != heads+1 || len(h.Bias) != heads,
		len(h.Tasks) > len(h.Topics) || len(h.Domains) > len(h.Topics),
		!slices.IsSorted(h.Models) || !slices.IsSorted(h.Tasks) || !slices.IsSorted(h.Domains),
		outside(h.Task, len(h.Tasks)) || outside(h.Domain, len(h.Domains)):
		return errors.New("its parts do not fit each other")
	}
	if slices.ContainsFunc(h.Tasks, func(s string) bool { return !isTask(s) }) {
		return errors.New("it names a task in other than up to 64 characters of ASCII")
	}
	for _, row := range append([][]float32{h.Prior, h.Trust}, h.Table...) {
		for _, q := range row {
			if !(q >= 0 && q <= 1) {
				return errors.New("it holds a share that is not 0 to 1")
			}
		}
	}
	for _, row := range h.Table {
		if len(row) != len(h.Topics) {
			return errors.New("its table has not a column for each topic")
		}
	}
	for _, x := range slices.Concat(h.Scale, h.Bias) {
		if !(math.Abs(float64(x)) < 1e6) {
			return errors.New("it holds weights beyond measure")
		}
	}
	return nil
}

func outside(x []int, n int) bool {
	return slices.ContainsFunc(x, func(i int) bool { return i < 0 || i >= n })
}

// unpack reads what pack wrote.
func (m *Model) unpack(r io.Reader, rows int) error {
	z := bufio.NewReader(flate.NewReader(r))
	hashes := make([]uint32, rows)
	if err := binary.Read(z, binary.LittleEndian, hashes); err != nil {
		return err
	}
	for i := 1; i < rows; i++ {
		if hashes[i] <= hashes[i-1] {
			return errors.New("its hashes do not rise")
		}
	}
	m.vocabulary = newVocabulary(hashes)
	m.words = wordsFor(len(m.scale))
	m.weights = make([]uint64, rows*m.words)
	column := make([]byte, rows)
	for h := range m.words * perWord {
		if h < len(m.scale) {
			if _, err := io.ReadFull(z, column); err != nil {
				return err
			}
			if slices.ContainsFunc(column, func(b byte) bool { return b < zero-largest || b > zero+largest }) {
				return errors.New("one is beyond measure")
			}
		} else {
			for i := range column {
				column[i] = zero
			}
		}
		for i, b := range column {
			m.weights[i*m.words+h/perWord] |= uint64(b) << (8 * (h % perWord))
		}
	}
	return nil
}
