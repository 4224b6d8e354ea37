// Package catalog is what is known of vendors' models: price, context and
// output limit. The table is embedded; it is read once, on first use, and
// never changes. All functions are safe for concurrent use.
package catalog

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Model is one row of the table.
type Model struct {
	Vendor    string // row of the vendor table
	ID        string // the vendor's name for it, in lower case
	Price     llm.Price
	Context   int    // tokens; 0: unknown
	MaxOutput int    // tokens; 0: unknown
	Source    string // where the price was read: "models.dev", "portkey", "genai-prices"
	AsOf      time.Time
}

//go:embed models.tsv
var table string

// models returns all rows, sorted by vendor and id.
var models = sync.OnceValue(func() []Model {
	rows, err := parse(table)
	if err != nil {
		panic("catalog: embedded table: " + err.Error())
	}
	return rows
})

// Lookup returns what is known of a vendor's model. Letter case does not
// matter. An id that is not in the table is tried without its date
// ("-2024-08-06", "-20250514") or "-latest".
func Lookup(vendor, id string) (Model, bool) {
	vendor, id = strings.ToLower(vendor), strings.ToLower(id)
	if m, ok := find(vendor, id); ok {
		return m, true
	}
	if short, ok := undated(id); ok {
		return find(vendor, short)
	}
	return Model{}, false
}

// Price returns what a vendor charges for a model, nil if that is unknown.
func Price(vendor, id string) *llm.Price {
	m, ok := Lookup(vendor, id)
	if !ok {
		return nil
	}
	return &m.Price
}

// Vendors returns the vendors that know id, as Lookup does, sorted.
func Vendors(id string) []string {
	id = strings.ToLower(id)
	var known []string
	for rows := models(); len(rows) > 0; {
		vendor := rows[0].Vendor
		if _, ok := Lookup(vendor, id); ok {
			known = append(known, vendor)
		}
		rows = rows[len(ofVendor(rows, vendor)):]
	}
	return known
}

// Models returns a vendor's models, sorted by id; the caller must not change
// the slice. It is empty for vendors without a list, such as ollama.
func Models(vendor string) []Model {
	rows := ofVendor(models(), strings.ToLower(vendor))
	return rows[:len(rows):len(rows)]
}

// PerMillion makes a price from USD per million tokens. A nil cached or write
// is as input.
func PerMillion(input, output float64, cached, write *float64) (llm.Price, error) {
	var p llm.Price
	var err error
	if p.Input, err = llm.PerMillion(input); err != nil {
		return llm.Price{}, fmt.Errorf("input: %w", err)
	}
	if p.Output, err = llm.PerMillion(output); err != nil {
		return llm.Price{}, fmt.Errorf("output: %w", err)
	}
	if cached != nil {
		p.HasCached = true
		if p.CachedRead, err = llm.PerMillion(*cached); err != nil {
			return llm.Price{}, fmt.Errorf("cached read: %w", err)
		}
	}
	if write != nil {
		p.HasWrite = true
		if p.CacheWrite, err = llm.PerMillion(*write); err != nil {
			return llm.Price{}, fmt.Errorf("cache write: %w", err)
		}
	}
	return p, nil
}

// find looks for the exact row.
func find(vendor, id string) (Model, bool) {
	rows := models()
	i, ok := slices.BinarySearchFunc(rows, Model{Vendor: vendor, ID: id}, compare)
	if !ok {
		return Model{}, false
	}
	return rows[i], true
}

// ofVendor returns the part of rows, which are sorted, that is vendor's.
func ofVendor(rows []Model, vendor string) []Model {
	from, _ := slices.BinarySearchFunc(rows, vendor, func(m Model, v string) int { return strings.Compare(m.Vendor, v) })
	to := from
	for to < len(rows) && rows[to].Vendor == vendor {
		to++
	}
	return rows[from:to]
}

func compare(a, b Model) int {
	if c := strings.Compare(a.Vendor, b.Vendor); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// undated cuts "-YYYY-MM-DD", "-YYYYMMDD" or "-latest" off the end.
func undated(id string) (string, bool) {
	if short, ok := strings.CutSuffix(id, "-latest"); ok && short != "" {
		return short, true
	}
	for _, form := range [...]string{"-2006-01-02", "-20060102"} {
		cut := len(id) - len(form)
		if cut <= 0 {
			continue
		}
		if _, err := time.Parse(form, id[cut:]); err == nil {
			return id[:cut], true
		}
	}
	return "", false
}

// columns of the table, as its header tells.
const columns = 10

// parse reads the table. Rows are sorted and share memory with text.
func parse(text string) ([]Model, error) {
	rows := make([]Model, 0, strings.Count(text, "\n"))
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		m, err := parseRow(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(rows) > 0 && compare(rows[len(rows)-1], m) >= 0 {
			return nil, fmt.Errorf("line %d: %s/%s is doubled or out of order", n, m.Vendor, m.ID)
		}
		rows = append(rows, m)
	}
	return rows, nil
}

func parseRow(line string) (Model, error) {
	var col [columns]string
	n := 0
	for c := range strings.SplitSeq(line, "\t") {
		if n < columns {
			col[n] = c
		}
		n++
	}
	if n != columns {
		return Model{}, fmt.Errorf("%d columns, want %d", n, columns)
	}
	m := Model{Vendor: col[0], ID: col[1], Source: col[8]}
	if m.Vendor == "" || m.ID == "" || m.Source == "" {
		return Model{}, fmt.Errorf("empty vendor, id or source")
	}
	if m.ID != strings.ToLower(m.ID) {
		return Model{}, fmt.Errorf("id %q has capital letters", m.ID)
	}
	var err error
	if m.Price, err = parsePrice(col[2:6]); err != nil {
		return Model{}, err
	}
	if m.Context, err = parseTokens(col[6]); err != nil {
		return Model{}, fmt.Errorf("context: %w", err)
	}
	if m.MaxOutput, err = parseTokens(col[7]); err != nil {
		return Model{}, fmt.Errorf("largest output: %w", err)
	}
	if m.AsOf, err = time.Parse(time.DateOnly, col[9]); err != nil {
		return Model{}, fmt.Errorf("date: %w", err)
	}
	return m, nil
}

// parsePrice reads input, output, cached read and cache write.
func parsePrice(col []string) (llm.Price, error) {
	var usd [4]float64
	for i, c := range col {
		if c == "-" && i >= 2 {
			continue
		}
		f, err := strconv.ParseFloat(c, 64)
		if err != nil {
			return llm.Price{}, fmt.Errorf("price: %w", err)
		}
		usd[i] = f
	}
	var cached, write *float64
	if col[2] != "-" {
		cached = &usd[2]
	}
	if col[3] != "-" {
		write = &usd[3]
	}
	return PerMillion(usd[0], usd[1], cached, write)
}

func parseTokens(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}
