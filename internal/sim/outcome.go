package sim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a recording.
const (
	maxRecording = 256 << 20 // bytes, unpacked
	maxRecorded  = 1 << 18   // lines
	maxLine      = 4 << 20   // bytes of a line
)

// Outcomes are recorded qualities and costs of a model's answers, in the
// format of `sluice train`: JSON Lines, plain or gzip, of {"prompt",
// "outcomes": {MODEL: {"quality", "cost"}}}. Where the last turn of a user is
// a prompt of the file, the answer ends in the words "Recorded quality
// 0.750.", and it has as many tokens as cost what the recorded one did.
type Outcomes struct {
	File string `yaml:"file"`
	// Model is the name in the file; "" means that of the simulated model.
	Model string `yaml:"model"`
	// Price is what a million tokens cost, in USD. Without a price of output
	// the answer has as many tokens as always.
	Price Price `yaml:"price"`

	rows *rows[outcome]
}

// Price is what a million tokens cost, in USD.
type Price struct {
	Input  float64 `yaml:"input"`
	Output float64 `yaml:"output"`
}

// Answers are recorded texts: JSON Lines, plain or gzip, of {"prompt",
// "answers": {MODEL: TEXT}}. They are said as they are, after the words that
// recorded outcomes want before them.
type Answers struct {
	File  string `yaml:"file"`
	Model string `yaml:"model"` // as in Outcomes

	rows *rows[string]
}

type outcome struct {
	Quality *float64 `json:"quality"` // 0..1
	Cost    float64  `json:"cost"`    // USD
}

// rows are what is recorded of one model.
type rows[T any] struct{ by map[promptKey]T }

func (r *rows[T]) find(k promptKey) (T, bool) {
	v, ok := r.by[k]
	return v, ok
}

// promptKey stands for a prompt: the beginning of its SHA-256, without the
// white space around it.
type promptKey [16]byte

func keyOf(prompt string) promptKey {
	sum := sha256.Sum256([]byte(strings.TrimSpace(prompt)))
	return promptKey(sum[:16])
}

// library reads each file of recordings once, for all models.
type library struct {
	dir      string // where names of files begin
	outcomes map[string]map[promptKey]map[string]outcome
	answers  map[string]map[promptKey]map[string]string
}

// read reads what the models are recorded by, unless it was read before.
func (c *Config) read(dir string) *wrong {
	l := &library{dir: dir, outcomes: make(map[string]map[promptKey]map[string]outcome), answers: make(map[string]map[promptKey]map[string]string)}
	c.Models = slices.Clone(c.Models)
	for i := range c.Models {
		m := &c.Models[i]
		*m = m.clone()
		if o := m.Outcomes; o != nil && o.rows == nil {
			rows, err := pick(l.dir, o.File, l.outcomes, readOutcomes, named(o.Model, m.Name))
			if err != nil {
				return badField("outcomes", "%v", err).under("models", m.Name)
			}
			o.rows = rows
		}
		if a := m.Answers; a != nil && a.rows == nil {
			rows, err := pick(l.dir, a.File, l.answers, readAnswers, named(a.Model, m.Name))
			if err != nil {
				return badField("answers", "%v", err).under("models", m.Name)
			}
			a.rows = rows
		}
	}
	return nil
}

func named(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// pick returns what a file says of a model.
func pick[T any](dir, file string, files map[string]map[promptKey]map[string]T, line func([]byte) (string, map[string]T, error), model string) (*rows[T], error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	all, ok := files[file]
	if !ok {
		var err error
		if all, err = readRecording(file, line); err != nil {
			return nil, err
		}
		files[file] = all
	}
	out := &rows[T]{by: make(map[promptKey]T)}
	for k, by := range all {
		if v, ok := by[model]; ok {
			out.by[k] = v
		}
	}
	if len(out.by) == 0 {
		return nil, fmt.Errorf("%s says nothing of a model %q, write its name there as model: NAME", file, model)
	}
	return out, nil
}

// readRecording reads a file line by line. Of a prompt that is there twice, the
// last counts.
func readRecording[T any](file string, line func([]byte) (string, map[string]T, error)) (map[promptKey]map[string]T, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := unpacked(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all := make(map[promptKey]map[string]T)
	left := &io.LimitedReader{R: r, N: maxRecording + 1}
	s := bufio.NewScanner(left)
	s.Buffer(nil, maxLine)
	n := 0
	for s.Scan() {
		if n++; n > maxRecorded {
			return nil, fmt.Errorf("%s: more than %d lines", file, maxRecorded)
		}
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		prompt, by, err := line(s.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		all[keyOf(prompt)] = by
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
	}
	if left.N <= 0 {
		return nil, fmt.Errorf("%s: longer than %d bytes", file, maxRecording)
	}
	return all, nil
}

// unpacked reads gzip where the file begins like it.
func unpacked(f io.Reader) (io.Reader, error) {
	b := bufio.NewReader(f)
	if head, _ := b.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	return gzip.NewReader(b)
}

func readOutcomes(line []byte) (string, map[string]outcome, error) {
	var l struct {
		Prompt   *string            `json:"prompt"`
		Outcomes map[string]outcome `json:"outcomes"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return "", nil, err
	}
	if l.Prompt == nil || l.Outcomes == nil {
		return "", nil, errors.New(`no "prompt" with "outcomes"`)
	}
	for name, o := range l.Outcomes {
		if o.Quality == nil || !(*o.Quality >= 0 && *o.Quality <= 1) || !(o.Cost >= 0 && o.Cost <= 1e6) {
			return "", nil, fmt.Errorf("the outcome of %q needs a quality from 0 to 1 and a cost in USD", clip(name, maxName))
		}
	}
	return *l.Prompt, l.Outcomes, nil
}

func readAnswers(line []byte) (string, map[string]string, error) {
	var l struct {
		Prompt  *string           `json:"prompt"`
		Answers map[string]string `json:"answers"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return "", nil, err
	}
	if l.Prompt == nil || l.Answers == nil {
		return "", nil, errors.New(`no "prompt" with "answers"`)
	}
	return *l.Prompt, l.Answers, nil
}

// words returns what the model says where nothing wants another form.
func (c *call) words(q *query, r *rand.Rand) []string {
	n := c.draw.tokens(&c.set)
	if c.set.Outcomes == nil && c.set.Answers == nil {
		return prose(r, c.set.Name, n)
	}
	k := keyOf(q.last)
	var end []string
	if a := c.set.Answers; a != nil {
		if text, ok := a.rows.find(k); ok {
			end, n = shred(text), 0
		}
	}
	if o := c.set.Outcomes; o != nil {
		if v, ok := o.rows.find(k); ok {
			if end == nil {
				end = shred("Recorded quality " + strconv.FormatFloat(*v.Quality, 'f', 3, 64) + ".")
			}
			n = max(n, o.Price.tokens(v.Cost, q.tokens()))
		}
	}
	if end == nil {
		return prose(r, c.set.Name, n)
	}
	n -= len(end)
	if n < 1 {
		return end
	}
	end[0] = " " + end[0]
	return append(prose(r, c.set.Name, n), end...)
}

// tokens returns how many tokens an answer has that cost so much, with a prompt
// of that many; 0: no price tells.
func (p Price) tokens(cost float64, prompt int) int {
	if p.Output == 0 {
		return 0
	}
	n := math.Round((cost*1e6 - float64(prompt)*p.Input) / p.Output)
	return int(max(1, min(n, maxTokens)))
}
