package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDefault(t *testing.T) {
	golden(t, "testdata/default.golden", strings.Join(lines(Default()), "\n")+"\n")
}

func TestModelOverrides(t *testing.T) {
	base := Timeouts{Connect: 1, FirstToken: 2, Idle: 3, Total: 4, Stream: 5, Queue: 6}
	m := Model{Timeouts: Timeouts{Idle: time.Second}}
	if got, want := m.TimeoutsOver(base), (Timeouts{1, 2, time.Second, 4, 5, 6}); got != want {
		t.Errorf("TimeoutsOver: got %v, want %v", got, want)
	}
	if got, want := m.RetryOver(Retry{3, 0.2}), (Retry{3, 0.2}); got != want {
		t.Errorf("RetryOver, open: got %v, want %v", got, want)
	}
	m.Retry = RetryOver{Attempts: 5, Budget: of(0.0)}
	if got, want := m.RetryOver(Retry{3, 0.2}), (Retry{5, 0}); got != want {
		t.Errorf("RetryOver: got %v, want %v", got, want)
	}
}

func TestErrorf(t *testing.T) {
	data := "providers:\n  a:\n    kind: x\nmodels:\n  m.1: a/x\n"
	c, err := Parse("f.yaml", []byte(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"providers.a":               "f.yaml:2:3: bad 1",
		"providers.a.kind":          "f.yaml:3:11: bad 1",
		"providers.a.headers.x":     "f.yaml:2:3: bad 1",
		"models.m.1.targets[0]":     "f.yaml:5:8: bad 1",
		"models.m.1.targets[3].foo": "f.yaml:5:8: bad 1",
		"nothing":                   "f.yaml:1:1: bad 1",
	} {
		if got := c.Errorf(path, "bad %d", 1).Error(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got, want := Default().Errorf("x", "bad").Error(), "bad"; got != want {
		t.Errorf("without a file: got %q, want %q", got, want)
	}
	all := Sort([]*Error{c.Errorf("models.m.1", "b"), c.Errorf("providers", "a")})
	if got, want := all.Error(), "f.yaml:1:1: a\nf.yaml:5:8: b"; got != want {
		t.Errorf("Sort: got %q, want %q", got, want)
	}
	if Sort(nil) != nil {
		t.Error("Sort of nothing is not nil")
	}
}

func TestMatch(t *testing.T) {
	for _, x := range []struct {
		pattern, name, star string
		ok                  bool
	}{
		{"claude-*", "claude-3", "3", true},
		{"claude-*", "claude-", "", true},
		{"claude-*", "claude", "", false},
		{"*", "", "", true},
		{"a*a", "a", "", false},
		{"a*a", "aa", "", true},
		{"*-mini", "gpt-4-mini", "gpt-4", true},
		{"x", "x", "", true},
		{"x", "y", "", false},
	} {
		star, ok := Match(x.pattern, x.name)
		if star != x.star || ok != x.ok {
			t.Errorf("Match(%q, %q): got %q, %v, want %q, %v", x.pattern, x.name, star, ok, x.star, x.ok)
		}
	}
	if got, want := Substitute("p/a-*-b", "3"), "p/a-3-b"; got != want {
		t.Errorf("Substitute: got %q, want %q", got, want)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.ToSlash(filepath.Join(dir, name))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, x := range []struct{ name, text, want string }{
		{"plain", "sk-" + canary, ""},
		{"newline", "sk-" + canary + "\n", ""},
		{"crlf", "sk-" + canary + "\r\n", ""},
		{"two", "sk-" + canary + "\n\n", "begins or ends with a space or line break"},
		{"binary", canary + "\x00", "holds a line break, a control character"},
		{"full", strings.Repeat("x", maxFile), ""},
		{"large", canary + strings.Repeat("x", maxFile), "is larger than 65536 bytes"},
	} {
		data := "providers: {p: {api_key: '${file:" + write(x.name, x.text) + "}'}}"
		c, err := Parse("f", []byte(data), nil)
		switch {
		case x.want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", x.name, err)
		case x.want == "":
			if got, want := c.Providers[0].APIKeys[0].Reveal(), strings.TrimRight(x.text, "\r\n"); got != want {
				t.Errorf("%s: got %q, want %q", x.name, got, want)
			}
		case err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), canary):
			t.Errorf("%s: got %v, want %q and no content", x.name, err, x.want)
		}
	}
	_, err := Parse("f", []byte("store: ${file:"+filepath.ToSlash(dir)+"}"), nil)
	if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: got %v, want an error", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	path := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(path, []byte("listen: ${TEST_LISTEN}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_LISTEN", ":7")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":7" || c.File != path {
		t.Errorf("got %q from %q, want :7 from %q", c.Listen, c.File, path)
	}
}

// TestBounds: files that are too much are refused, not tried.
func TestBounds(t *testing.T) {
	for name, x := range map[string]struct{ data, want string }{
		"bytes":    {strings.Repeat("#", maxSize+1), "f:1:1: the file has 67108865 bytes"},
		"comments": {strings.Repeat("# a comment\n", 50_000), ""},
		"tokens":   {"keys: [" + strings.Repeat("a,", maxTokens/2) + "]", "the file is too long"},
		"mapping": {"models:\n  m:\n    params:\n      set:\n" + numbered("        k%d: 1\n", maxEntries+1),
			"f:10005:9: too many entries in one mapping"},
		"flow":      {strings.Repeat("{a: ", 1000), "nested too deeply"},
		"indent":    {"a:\n" + strings.Repeat(" ", maxIndent) + "b: 1\n", "nested too deeply"},
		"sequences": {"a:\n" + strings.Repeat("- ", 1000), "nested too deeply"},
	} {
		_, err := Parse("f", []byte(x.data), nil)
		if got := fmt.Sprint(err); x.want == "" && err != nil || !strings.Contains(got, x.want) {
			t.Errorf("%s: got %.200s, want %q", name, got, x.want)
		}
	}
}

func numbered(line string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line, i)
	}
	return b.String()
}

func BenchmarkParse(b *testing.B) {
	head := "providers: [openai, pool]\nmodels:\n"
	long := "  m%[1]d:\n    targets:\n      - {target: openai/gpt-%[1]d, weight: 2, priority: 1}\n" +
		"      - {target: pool/gpt-%[1]d, price: {input: 2.5, output: 10}, context: 128000}\n    strategy: weighted\n"
	for name, data := range map[string]string{
		"short10k": head + numbered("  m%[1]d: openai/gpt-%[1]d\n", 10_000),
		"long10k":  head + numbered(long, 10_000),
		"long10":   head + numbered(long, 10),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("f", []byte(data), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
