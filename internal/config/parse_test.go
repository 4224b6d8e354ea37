package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files")

const canary = "c4n4ry-0f-a-s3cret"

// variables are those that the corpus reads. SECRET must never be seen.
var variables = map[string]string{
	"SLUICE_ADMIN_KEY": "admin-key-1", "OPENAI_API_KEY": "sk-openai", "KEY_A": "sk-a", "KEY_B": "sk-b",
	"TEAM_A_KEY": "team-a-key", "TEAM_B_KEY": "team-b-key",
	"HOST": "127.0.0.1", "PORT": "9000", "N": "12", "SIZE": "2MiB", "TRUE": "true", "DURATION": "3s", "KIND": "openai", "WEIGHT": "1.5",
	"STRUCTURE": `{a: [1, "b"]}`, "EMPTY": "", "SPACES": "a b", "LINES": canary + "\nsecond", "SECRET": canary,
}

func env(name string) (string, bool) {
	s, ok := variables[name]
	return s, ok
}

func corpus(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", dir, err)
	}
	files := make(map[string][]byte, len(paths))
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.ToSlash(path), ".yaml")] = data
	}
	return files
}

// golden compares got with the file at path.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", path, got, want)
	}
}

func TestGood(t *testing.T) {
	for name, data := range corpus(t, "good") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := Parse("sluice.yaml", data, env)
			if err != nil {
				t.Fatalf("got\n%v\nwant no error", err)
			}
			golden(t, name+".golden", dump(c))
			checkPositions(t, data, c)
		})
	}
}

func TestBad(t *testing.T) {
	for name, data := range corpus(t, "bad") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, err := Parse("sluice.yaml", data, env)
			if c != nil || err == nil {
				t.Fatalf("got %v, %v, want no config and an error", c, err)
			}
			golden(t, name+".golden", err.Error()+"\n")
			checkErrors(t, data, err)
		})
	}
}

// dump lists what differs from the defaults, one path and value a line.
func dump(c *Config) string {
	d := Default()
	skip := map[string]bool{}
	for _, line := range lines(d) {
		skip[line] = true
	}
	var b strings.Builder
	for _, line := range lines(c) {
		if !skip[line] {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func lines(c *Config) []string {
	var out []string
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch x := v.Interface().(type) {
		case Positions:
			return
		case Secret:
			if x != "" {
				out = append(out, fmt.Sprintf("%s = secret %q", path, x.Reveal()))
			}
			return
		case []byte:
			out = append(out, fmt.Sprintf("%s = %s", path, x))
			return
		case fmt.Stringer:
			if !v.IsZero() {
				out = append(out, fmt.Sprintf("%s = %s", path, x))
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				walk(path, v.Elem())
				if v.Elem().IsZero() {
					out = append(out, path+" = 0")
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		case reflect.Map:
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
			for _, k := range keys {
				walk(fmt.Sprintf("%s[%q]", path, k.String()), v.MapIndex(k))
			}
		default:
			if !v.IsZero() {
				out = append(out, fmt.Sprintf("%s = %#v", path, v.Interface()))
			}
		}
	}
	walk("", reflect.ValueOf(*c))
	if len(out) > 0 && !c.Telemetry.Metrics {
		out = append(out, "Telemetry.Metrics = false")
	}
	return out
}

// checkErrors checks that err is an Errors with every position inside data, in
// order, each on one line, and without the secret.
func checkErrors(t *testing.T, data []byte, err error) {
	t.Helper()
	var errs Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Fatalf("got %T, want Errors", err)
	}
	if len(errs) > maxErrors+1 {
		t.Errorf("got %d errors, want at most %d", len(errs), maxErrors+1)
	}
	for i, e := range errs {
		if !inside(data, e.Line, e.Col) {
			t.Errorf("%v: position outside the file", e)
		}
		if i > 0 && (e.Line < errs[i-1].Line || e.Line == errs[i-1].Line && e.Col < errs[i-1].Col) {
			t.Errorf("%v stands after %v", e, errs[i-1])
		}
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(errs) {
		t.Errorf("got %d lines for %d errors:\n%v", got, len(errs), err)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the secret is in\n%v", err)
	}
}

func checkPositions(t *testing.T, data []byte, c *Config) {
	t.Helper()
	for path, at := range c.Pos {
		if !inside(data, at.Line, at.Col) {
			t.Errorf("%s is at %v, outside the file", path, at)
		}
	}
}

// inside reports whether a position is in data or right behind one of its
// lines.
func inside(data []byte, line, col int) bool {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(bytes.TrimPrefix(data, []byte("\ufeff"))))
	all := strings.Split(text, "\n")
	return line >= 1 && line <= len(all) && col >= 1 && col <= utf8.RuneCountInString(all[line-1])+1
}
