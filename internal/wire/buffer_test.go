package wire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// inTemp makes the directory of temporary files one of the test's own.
func inTemp(t *testing.T) (files func() int) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() int {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(left)
	}
}

// What is spooled is all there, in a file that has no name, which is gone with
// the buffer.
func TestSpool(t *testing.T) {
	files := inTemp(t)
	for _, size := range []int{SpoolAt, SpoolAt + 1, 9 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		buf := NewBuffer()
		buf.B = append(buf.B, want[:SpoolAt]...)
		if err := buf.Spool(bytes.NewReader(want[SpoolAt:]), 32<<20); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.B, want) {
			t.Errorf("%d bytes came back as %d others", size, len(buf.B))
		}
		if n := files(); n != 0 && os.PathSeparator == '/' {
			t.Errorf("%d files can be seen", n)
		}
		buf.Free()
		if buf.B != nil || buf.file != nil {
			t.Error("the buffer holds bytes that are no longer mapped")
		}
	}
	if n := files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// A body above the limit is read to one byte more than the limit, no further,
// and what is left of it can be given back.
func TestSpoolLimit(t *testing.T) {
	files := inTemp(t)
	const limit = SpoolAt + 1000
	for _, more := range []int{-1, 0, 1, 1 << 20} {
		r := strings.NewReader(strings.Repeat("x", limit+more))
		buf := NewBuffer()
		b, err := io.ReadAll(io.LimitReader(r, SpoolAt))
		buf.B = b
		if err != nil {
			t.Fatal(err)
		}
		if err := buf.Spool(r, limit); err != nil {
			t.Fatal(err)
		}
		if want := limit + min(more, 1); len(buf.B) != want || r.Len() != limit+more-want {
			t.Errorf("limit %+d: %d bytes held, %d left", more, len(buf.B), r.Len())
		}
		buf.Free()
	}
	if n := files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// What fails is told apart: the client's body, or the disk. Either way nothing
// is left, and the buffer can be freed and used again.
func TestSpoolFails(t *testing.T) {
	files := inTemp(t)
	broken := errors.New("the client left")
	buf := NewBuffer()
	buf.B = append(buf.B, "beginning"...)
	err := buf.Spool(io.MultiReader(strings.NewReader("more"), &failing{broken}), 1<<20)
	var disk *os.PathError
	if !errors.Is(err, broken) || errors.As(err, &disk) {
		t.Errorf("a body that broke off: %v", err)
	}
	buf.Free()
	if n := files(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	t.Setenv("TMPDIR", "/nowhere/at/all")
	t.Setenv("TMP", "/nowhere/at/all")
	buf = NewBuffer()
	if err := buf.Spool(strings.NewReader("x"), 1<<20); !errors.As(err, &disk) {
		t.Errorf("no place for a file: %v", err)
	}
	buf.Free()
	again := NewBuffer()
	if len(again.B) != 0 {
		t.Error("a freed buffer is not empty")
	}
	again.Free()
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// Calls that still send a body keep it after the request is over, and the last
// gives it back.
func TestBodyOutlivesItsRequest(t *testing.T) {
	text := `{"model":"m","messages":[],"pad":"` + strings.Repeat("p", 9<<20) + `"}`
	buf := NewBuffer()
	if err := buf.Spool(strings.NewReader(text), 32<<20); err != nil {
		t.Fatal(err)
	}
	f, e := NewForm(&Bare, buf)
	if e != nil {
		t.Fatal(e)
	}
	want := strings.Replace(text, `"m"`, `"vendor"`, 1)
	var wait sync.WaitGroup
	for range 4 {
		p := Rewrite{Model: []byte(`"vendor"`)}.Payload(f)
		wait.Go(func() {
			if got := readPayload(t, p); got != want {
				t.Errorf("%d bytes were sent, not the body", len(got))
			}
		})
	}
	half := Rewrite{Model: []byte(`"vendor"`)}.Payload(f)
	f.Release()
	if n, err := half.Read(make([]byte, 100)); n != 100 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	_ = half.Close()
	_ = half.Close() // twice, as transports do
	if n, err := half.Read(make([]byte, 100)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v after it was closed", n, err)
	}
	wait.Wait()
	if buf.file != nil {
		t.Error("the file is held after the last call")
	}
}

// Changes of the operator's are made to bodies in any vendor's words.
func TestApply(t *testing.T) {
	field := func(name, value string) Field { return Field{name, []byte(value)} }
	for _, c := range []struct {
		p          Params
		body, want string
	}{
		{Params{}, ` {"a":1} `, ` {"a":1} `},
		{Params{Default: []Field{field("a", "2"), field("b", "3")}}, `{"a":1}`, `{"b":3,"a":1}`},
		{Params{Default: []Field{field("b", "3")}}, `{}`, `{"b":3}`},
		{Params{Set: []Field{field("a", "2")}}, `{"a":1,"c":{"a":1}}`, `{"a":2,"c":{"a":1}}`},
		{Params{Set: []Field{field("a", "2")}}, `{"A":1,"a":1,"\u0061":3}`, `{"a":2}`},
		{Params{Drop: []string{"a"}}, `{"a":1}`, `{}`},
		{Params{Drop: []string{"a"}}, `{"b":[1] , "a":1}`, `{"b":[1]}`},
		{Params{Drop: []string{"a"}}, `{"a":1,"b":2,"A":3}`, `{"b":2}`},
		{Params{Drop: []string{"a"}, Set: []Field{field("a", "2")}}, `{"a":1}`, `{"a":2}`},
		{Params{Drop: []string{"a"}, Default: []Field{field("a", "2")}}, `{}`, `{"a":2}`},
	} {
		got, bad := Apply(&c.p, []byte(c.body))
		if bad != nil || string(got) != c.want {
			t.Errorf("%s became %s (%v), want %s", c.body, got, bad, c.want)
		}
	}
	if _, bad := Apply(&Params{}, []byte(`[1]`)); bad == nil || bad.Kind != llm.KindInvalidJSON {
		t.Errorf("a list: %v", bad)
	}
}
