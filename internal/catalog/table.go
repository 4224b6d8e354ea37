package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// exact returns id's row, or that of its undated form.
func exact(text, vendor, id string) (string, bool) {
	for ok := true; ok; id, ok = undated(id) {
		if row, found := find(text, vendor, id); found {
			return row, true
		}
	}
	return "", false
}

// find returns the row of exactly vendor and id in text, whose rows are
// sorted.
func find(text, vendor, id string) (string, bool) {
	if vendor == "" || id == "" || strings.ContainsAny(id, " \n\t") {
		return "", false
	}
	key := vendor + " " + id + " "
	at := search(text, key)
	row, _, _ := strings.Cut(text[at:], "\n")
	if !strings.HasPrefix(row, key) {
		return "", false
	}
	return row, true
}

// search returns where the first row that does not sort before key begins.
func search(text, key string) int {
	low, high := 0, len(text) // row beginnings
	for low < high {
		mid := low + (high-low)/2
		from := strings.LastIndexByte(text[:mid], '\n') + 1
		if from < low {
			from = low
		}
		to := len(text)
		if n := strings.IndexByte(text[from:], '\n'); n >= 0 {
			to = from + n + 1
		}
		if text[from:to] < key {
			low = to
		} else {
			high = from
		}
	}
	return low
}

// ofVendor returns where a vendor's rows begin and end.
func ofVendor(text, vendor string) (from, to int) {
	return search(text, vendor+" "), search(text, vendor+"!") // the character after the space
}

func idOf(row string) string {
	_, rest, _ := strings.Cut(row, " ")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

// pattern returns the row of a vendor whose pattern matches id: the one with
// the most characters beside its stars.
func pattern(text, vendor, id string) (string, bool) {
	from, to := ofVendor(text, vendor)
	best, row := -1, ""
	for l := range strings.Lines(text[from:to]) {
		glob := idOf(l)
		if stars := strings.Count(glob, "*"); stars > 0 && len(glob)-stars > best && match(glob, id) {
			best, row = len(glob)-stars, strings.TrimSuffix(l, "\n")
		}
	}
	return row, best >= 0
}

// match reports whether s is what glob says; a star stands for any text.
func match(glob, s string) bool {
	head, rest, star := strings.Cut(glob, "*")
	if !star {
		return glob == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}

// undated cuts a date, a version or "-latest" off the end.
func undated(id string) (string, bool) {
	if short, ok := strings.CutSuffix(id, "-latest"); ok && short != "" {
		return short, true
	}
	for _, form := range [...]string{"-2006-01-02", "-20060102", "@20060102"} {
		cut := len(id) - len(form)
		if cut <= 0 {
			continue
		}
		if _, err := time.Parse(form, id[cut:]); err == nil {
			return id[:cut], true
		}
	}
	if cut := len(id) - len("-001"); cut > 0 && id[cut:cut+3] == "-00" && id[cut+3] >= '1' && id[cut+3] <= '9' {
		return id[:cut], true
	}
	return "", false
}

// Bounds of a table's text.
const (
	maxText = 16 << 20
	maxRow  = 4 << 10
)

// parse checks a table's rows and returns them sorted, in the form that is
// searched.
func parse(text string) (string, error) {
	if len(text) > maxText {
		return "", fmt.Errorf("a table of %d bytes is larger than %d", len(text), maxText)
	}
	var rows []string
	lines := map[string]int{}
	n := 0
	for l := range strings.Lines(text) {
		n++
		if len(l) > maxRow {
			return "", fmt.Errorf("line %d: longer than %d bytes", n, maxRow)
		}
		words := strings.Fields(l)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		r, err := parseRow(strings.Join(words, " "))
		if err != nil {
			return "", fmt.Errorf("line %d: %w", n, err)
		}
		key := r.Vendor + " " + r.ID
		if first := lines[key]; first > 0 {
			return "", fmt.Errorf("line %d: %s is in line %d already", n, key, first)
		}
		lines[key] = n
		rows = append(rows, key+" "+strings.Join(words[2:], " "))
	}
	slices.Sort(rows)
	return strings.Join(append(rows, ""), "\n"), nil
}
