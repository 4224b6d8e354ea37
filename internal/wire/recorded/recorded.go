// Package recorded is what the tests of the codecs share: the vendors' recorded
// exchanges, readers that give bytes in pieces, the law of events, golden files.
package recorded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Exchange is a recorded exchange, a row of the list of recordings with what
// lies beside it.
type Exchange struct {
	Case, Provider, API, Model string
	Response                   string // the answer's file; its ending is its kind
	Stream, Request            bool
	Status                     int
	Tags                       []string

	Body   []byte // of the request, nil where it was not recorded
	Answer []byte
}

// Exchanges returns the recorded exchanges that pick wants; it sees the row
// alone. The test is skipped where $SLUICE_DATA names no recordings.
func Exchanges(t *testing.T, pick func(x *Exchange) bool) (out []Exchange) {
	t.Helper()
	root := os.Getenv("SLUICE_DATA")
	if root == "" {
		t.Skip("SLUICE_DATA is not set: it names the directory that holds wire/, the recorded exchanges")
	}
	root = filepath.Join(root, "wire")
	f, err := os.Open(filepath.Join(root, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x Exchange
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		if !pick(&x) {
			continue
		}
		dir := filepath.Join(root, x.Case)
		if x.Answer, err = os.ReadFile(filepath.Join(dir, x.Response)); err != nil {
			t.Fatal(err)
		}
		x.Body, err = os.ReadFile(filepath.Join(dir, "request.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no such exchanges")
	}
	return out
}

// Seed returns a source of numbers that depends on a name and a round alone.
func Seed(name string, round uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name)
	return rand.New(rand.NewPCG(h.Sum64(), round))
}

// Pieces is a body that comes in pieces of random length, at most Most bytes
// each. It uses up Left.
type Pieces struct {
	Left []byte
	Rand *rand.Rand
	Most int
}

// Read implements io.Reader.
func (p *Pieces) Read(b []byte) (int, error) {
	if len(p.Left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.Left[:min(len(p.Left), 1+p.Rand.IntN(p.Most))])
	p.Left = p.Left[n:]
	return n, nil
}

// Close implements io.Closer.
func (*Pieces) Close() error { return nil }

// Events reads a streamed answer to call to its end. err is what broke it off.
func Events(v wire.Vendor, call *wire.Call, body io.Reader) (events []llm.Event, whole bool, err error) {
	src := v.Source(body)
	defer src.Close()
	d := v.Decoder(call)
	for {
		frames, err := src.Next()
		if err == io.EOF {
			events, whole = d.End(events)
			return events, whole, nil
		}
		if err != nil {
			return events, false, err
		}
		for _, f := range frames {
			var bad *llm.Error
			if events, bad = d.Event(events, f); bad != nil {
				return events, false, bad
			}
		}
	}
}

// Reply is what events add up to.
func Reply(events []llm.Event) *llm.Reply {
	var c llm.Collector
	c.Add(events...)
	return c.Reply()
}

// Lawful checks the order of events that llm.EventKind states.
func Lawful(t *testing.T, name string, events []llm.Event) {
	t.Helper()
	type state struct {
		open []bool
		over bool
	}
	answers := map[int]*state{}
	for i, e := range events {
		a := answers[e.Answer]
		if a == nil {
			a = &state{}
			answers[e.Answer] = a
		}
		ok := (i == 0) == (e.Kind == llm.EventStart)
		switch e.Kind {
		case llm.EventStart:
		case llm.EventUsage:
			ok = ok && e.Usage != nil && e.Usage.Valid()
		case llm.EventBlock:
			ok = ok && !a.over && e.Index == len(a.open) && e.Block != nil && e.Block.Text == ""
			a.open = append(a.open, true)
		case llm.EventStop:
			ok = ok && !a.over && e.Stop != llm.StopNone
			for _, open := range a.open {
				ok = ok && !open
			}
			a.over = true
		default:
			ok = ok && !a.over && e.Index >= 0 && e.Index < len(a.open) && a.open[e.Index]
			if ok && e.Kind == llm.EventBlockEnd {
				a.open[e.Index] = false
			}
		}
		if !ok {
			t.Errorf("%s: event %d is out of order: %+v", name, i, e)
			return
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// Golden compares got with a file of testdata; -update writes it.
func Golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !bytes.Equal(a[i], b[i]) {
			t.Errorf("%s: line %d differs (-update writes the file):\n got %s\nwant %s", path, i+1, a[min(i, len(a)-1)], b[min(i, len(b)-1)])
			return
		}
	}
}

// Indent returns a JSON value for people to read.
func Indent(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return append(out.Bytes(), '\n')
}
