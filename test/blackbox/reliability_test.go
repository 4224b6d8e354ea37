package blackbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/reliability.md names tests that exist, and all that are numbered.
func TestReliabilityPage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	tests, numbers := map[string]bool{}, map[string]string{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	numbered := regexp.MustCompile(`^TestFault(\d+)`)
	sub := regexp.MustCompile(`t\.Run\("(\d+) `)
	err = filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(src), -1) {
			tests[m[1]] = true
			if n := numbered.FindStringSubmatch(m[1]); n != nil {
				numbers[n[1]] = m[1]
			}
		}
		if strings.HasPrefix(filepath.Base(path), "fault") {
			for _, m := range sub.FindAllStringSubmatch(string(src), -1) {
				numbers[m[1]] = filepath.Base(path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)").FindAllStringSubmatch(page, -1) {
		if !tests[m[1]] {
			t.Errorf("the page names %s, which is no test", m[1])
		}
	}
	rows := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(page, -1) {
		rows[m[1]]++
	}
	for n, where := range numbers {
		if rows[n] != 1 {
			t.Errorf("number %s, which %s tests, has %d rows on the page, want 1", n, where, rows[n])
		}
	}
	for n := 1; n <= 42; n++ { // the first two sections are whole
		if rows[strconv.Itoa(n)] != 1 {
			t.Errorf("number %d has %d rows on the page, want 1", n, rows[strconv.Itoa(n)])
		}
	}
}
