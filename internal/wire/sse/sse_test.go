package sse

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces returns b in pieces of random length.
type pieces struct {
	b   []byte
	rnd *rand.Rand
}

func (p *pieces) Read(dst []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := min(len(dst), len(p.b), 1+p.rnd.IntN(20))
	copy(dst, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}

// events reads src to its end: all bytes, and the payloads of the events.
func events(src io.Reader) (all []byte, data []string, err error) {
	r := NewReader(src)
	defer r.Close()
	for {
		raw, err := r.Next()
		if err != nil {
			return all, data, err
		}
		all = append(all, raw...)
		for rest := raw; len(rest) > 0; {
			var ev []byte
			ev, rest = Split(rest)
			if d, ok := Data(ev); ok {
				data = append(data, string(d))
			}
		}
	}
}

const mixed = "\xef\xbb\xbfdata: one\n\n" +
	": comment\n\n" +
	"event: x\r\nid: 7\r\nretry: 5\r\ndata: two\r\n\r\n" +
	"data:three\rdata: more\r\r" +
	"data\n\n" +
	"\n" +
	"data: caf\u00e9 \U0001F600\u2028 \x00 \xff\n\n" +
	"dataset: not data\n\n" +
	"data: last"

var want = []string{"one", "two", "three\nmore", "", "caf\u00e9 \U0001F600\u2028 \x00 \xff", "last"}

// However the bytes are split on their way, they and the events are the same.
func TestEverySplit(t *testing.T) {
	check := func(name string, src io.Reader) {
		t.Helper()
		all, data, err := events(src)
		if err != io.EOF {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strings.Join(data, "|"); got != strings.Join(want, "|") {
			t.Fatalf("%s: got %q, want %q", name, data, want)
		}
		if string(all) != mixed+"\n\n" {
			t.Fatalf("%s: bytes %q, want them as they came", name, all)
		}
	}
	check("whole", strings.NewReader(mixed))
	check("byte by byte", iotest.OneByteReader(strings.NewReader(mixed)))
	check("with the end", iotest.DataErrReader(strings.NewReader(mixed)))
	for i := range len(mixed) {
		check("in two", io.MultiReader(strings.NewReader(mixed[:i]), strings.NewReader(mixed[i:])))
	}
	for seed := range uint64(200) {
		check("at random", &pieces{[]byte(mixed), rand.New(rand.NewPCG(seed, 1))})
	}
}

// Where lines end with CRLF, the blank line is whole: its LF is not left behind when
// it comes by itself.
func TestBlankLineOfTwoReads(t *testing.T) {
	for _, in := range []string{"data: 1\r\n\r\n", "data: 1\r\n\r\ndata: 2\r\n\r\n", "data: 1\r\n\r\ndata: 2\r\n\r"} {
		for i := range len(in) {
			r := NewReader(io.MultiReader(strings.NewReader(in[:i]), strings.NewReader(in[i:])))
			all := ""
			for {
				raw, err := r.Next()
				if err != nil {
					break
				}
				if all += string(raw); len(raw) > 0 && all != in && !strings.HasSuffix(string(raw), "\r\n\r\n") {
					t.Errorf("in two at %d: event %q of %q", i, raw, in)
				}
			}
			if r.Close(); all != in {
				t.Errorf("in two at %d: got %q, want %q", i, all, in)
			}
		}
	}
}

// A read that brings several events returns them together: one flush.
func TestEventsOfOneRead(t *testing.T) {
	r := NewReader(strings.NewReader("data: 1\n\ndata: 2\n\ndata: 3"))
	defer r.Close()
	raw, err := r.Next()
	if err != nil || string(raw) != "data: 1\n\ndata: 2\n\n" {
		t.Errorf("got %q, %v", raw, err)
	}
}

// A read that ends no event is told as a sign of life.
func TestEventUnderWay(t *testing.T) {
	r := NewReader(iotest.OneByteReader(strings.NewReader("data: 1\n\n")))
	defer r.Close()
	for i := range len("data: 1\n") {
		if raw, err := r.Next(); err != nil || len(raw) != 0 {
			t.Fatalf("byte %d: got %q, %v, want nothing yet", i, raw, err)
		}
	}
	if raw, err := r.Next(); err != nil || string(raw) != "data: 1\n\n" {
		t.Errorf("got %q, %v, want the event", raw, err)
	}
}

// A source that breaks gives no half event.
func TestBrokenSource(t *testing.T) {
	broken := errors.New("reset")
	all, data, err := events(io.MultiReader(strings.NewReader("data: 1\n\ndata: 2"), iotest.ErrReader(broken)))
	if err != broken || len(data) != 1 || string(all) != "data: 1\n\n" {
		t.Errorf("got %q, %q, %v", all, data, err)
	}
}

func TestLargeEvents(t *testing.T) {
	big := "data: " + strings.Repeat("x", MaxEvent-8) + "\n\n"
	all, data, err := events(strings.NewReader(big + "data: 2\n\n"))
	if err != io.EOF || len(data) != 2 || len(all) != len(big)+9 {
		t.Errorf("largest event: %d bytes, %d events, %v", len(all), len(data), err)
	}
	_, _, err = events(strings.NewReader("data: " + strings.Repeat("x", MaxEvent) + "\n\n"))
	if err != ErrTooLarge {
		t.Errorf("larger: got %v, want %v", err, ErrTooLarge)
	}
}

// The blank line after a long line is found in whatever pieces it comes.
func TestLongLines(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		for n := 4080; n < 4110; n++ { // around the first buffer's end
			in := "event: x" + end + "data: " + strings.Repeat("x", n) + end + end + "data: y" + end + end
			for size := 1; size < 6; size++ {
				all, data, err := events(&steps{[]byte(in), n, size})
				if err != io.EOF || len(data) != 2 || len(data[0]) != n || strings.TrimRight(string(all), "\r\n") != strings.TrimRight(in, "\r\n") {
					t.Fatalf("%d bytes in steps of %d, lines end with %q: %d events, %v", n, size, end, len(data), err)
				}
			}
		}
	}
}

// steps gives most of b at once, and then size bytes a read.
type steps struct {
	b    []byte
	most int
	size int
}

func (s *steps) Read(dst []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(dst, s.b[:min(len(s.b), max(s.most, s.size))])
	s.b, s.most = s.b[n:], s.most-n
	return n, nil
}

// FuzzReader: any bytes, in any pieces, come out as they went in.
func FuzzReader(f *testing.F) {
	for _, s := range []string{mixed, "data: 1\r\n\r\n", "\r\r\r", "data: {\"a\":1}\n\ndata: [DONE]\n\n", ":\n\n:\n\n", "\n\n\n\n", "data: x"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole, data, err := events(bytes.NewReader(b))
		if err != io.EOF {
			t.Fatal(err)
		}
		split, data2, err := events(&pieces{bytes.Clone(b), rand.New(rand.NewPCG(seed, 2))})
		if err != io.EOF {
			t.Fatal(err)
		}
		if strings.Join(data, "\x01") != strings.Join(data2, "\x01") {
			t.Fatalf("events %q whole, %q in pieces", data, data2)
		}
		for _, got := range [][]byte{whole, split} { // but for white space at the very end
			if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(b)) {
				t.Fatalf("bytes %q, want %q", got, b)
			}
		}
	})
}

// Who reads the last event can tell whether its blank line came.
func TestCut(t *testing.T) {
	for in, cut := range map[string]bool{
		"data: 1\n\ndata: 2\n\n": false, "data: 1\n\ndata: 2\n": true, "data: 1\r\n\r\ndata: 2\r": true, "data: 1\n\n\n": false, "data": true,
		"data: 1\r\r": false, "data: 1\r\n\r": false,
	} {
		for name, src := range map[string]io.Reader{"whole": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in))} {
			r := NewReader(src)
			got := false
			for {
				if _, err := r.Next(); err != nil {
					break
				}
				got = r.Cut()
			}
			r.Close()
			if got != cut {
				t.Errorf("%q, %s: cut %v, want %v", in, name, got, cut)
			}
		}
	}
}
