// Package catalog is what is known of vendors' models: prices, context, output
// limit, abilities. The table is text that is searched where it lies: nothing
// of it is on the heap, and a row is read when it is looked up. All functions
// are safe for concurrent use.
package catalog

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Model is what is known of a vendor's model.
type Model struct {
	Vendor    string // row of the vendor table
	ID        string // the vendor's name for it, in lower case
	Price     *llm.Price
	Kind      string // "chat" or one of Kinds
	Context   int    // tokens; 0: unknown
	MaxOutput int    // tokens; 0: unknown
	Can       Ability
	Family    string    // "": unknown
	Source    string    // where the price was read, "file" for rows of a file that do not say
	AsOf      time.Time // newest date that the source's data carried; zero: the row does not say
}

// Ability is a set of what a model can do.
type Ability = llm.Ability

// Abilities.
const (
	Tools         = llm.CanTools
	Structured    = llm.CanStructured
	Reasoning     = llm.CanReason
	ImageInput    = llm.CanImage
	AudioInput    = llm.CanAudio
	VideoInput    = llm.CanVideo
	DocumentInput = llm.CanDocument
	ImageOutput   = llm.CanDrawImage
	AudioOutput   = llm.CanSpeak
)

// Kinds are what a model may be for.
var kinds = []string{"chat", "completion", "embedding", "rerank", "image", "speech", "transcription", "audio", "video", "moderation", "ocr"}

//go:embed models.txt
var embedded string

// Table is a catalog. Its rows never change.
type Table struct {
	layers []string // text of sorted rows, the first before the others
	asOf   time.Time
}

// Embedded returns the table that the program carries.
func Embedded() *Table {
	line, _, _ := strings.Cut(embedded, "\n")
	day, _ := time.Parse(time.DateOnly, strings.TrimPrefix(line, header))
	return &Table{layers: []string{embedded}, asOf: day}
}

// header begins the embedded table and says how new its newest rows are.
const header = "# as of "

// With returns t with the rows of a file before its own. The error names the
// line of the first mistake.
func (t *Table) With(text string) (*Table, error) {
	rows, err := parse(text)
	if err != nil {
		return nil, err
	}
	with := &Table{layers: append([]string{rows}, t.layers...), asOf: t.asOf}
	for l := range strings.Lines(rows) {
		r, _ := parseRow(strings.TrimSuffix(l, "\n"))
		if r.AsOf.After(with.asOf) {
			with.asOf = r.AsOf
		}
		if r.alias != "" {
			if _, ok := with.own(r.Vendor, r.alias); !ok {
				return nil, fmt.Errorf("%s %s: there is no %s %s to stand for", r.Vendor, r.ID, r.Vendor, r.alias)
			}
		}
	}
	return with, nil
}

// elders are vendors that sell other vendors' models by the makers' prices:
// what is not in their own rows is looked up there.
var elders = map[string][]string{"azure": {"openai", "anthropic"}, "vertex": {"gemini", "anthropic"}}

// Lookup returns what is known of a vendor's model. Letter case does not
// matter. An id that is not in the table is tried without its date or
// version ("-2024-08-06", "-20250514", "@20250514", "-001") or "-latest", then
// against the table's patterns, then at the vendors that made it.
func (t *Table) Lookup(vendor, id string) (Model, bool) {
	vendor, id = strings.ToLower(vendor), strings.ToLower(id)
	for _, v := range append([]string{vendor}, elders[vendor]...) {
		for _, text := range t.layers {
			row, ok := exact(text, v, id)
			if !ok {
				row, ok = pattern(text, v, id)
			}
			if !ok {
				continue
			}
			r, err := parseRow(row)
			if r.alias != "" {
				return t.own(v, r.alias)
			}
			return r.Model, err == nil
		}
	}
	return Model{}, false
}

// own returns a row that is no alias.
func (t *Table) own(vendor, id string) (Model, bool) {
	for _, text := range t.layers {
		if row, ok := find(text, vendor, id); ok {
			if r, err := parseRow(row); err == nil && r.alias == "" {
				return r.Model, true
			}
		}
	}
	return Model{}, false
}

// Price returns what a vendor charges for a model, nil if that is unknown.
func (t *Table) Price(vendor, id string) *llm.Price {
	m, _ := t.Lookup(vendor, id)
	return m.Price
}

// Vendors returns the vendors that have a row for id, with or without its
// date, sorted.
func (t *Table) Vendors(id string) []string {
	id = strings.ToLower(id)
	var known []string
	for _, text := range t.layers {
		for rest := text; rest != ""; {
			line, _, _ := strings.Cut(rest, "\n")
			if line == "" || line[0] == '#' {
				rest = rest[min(len(rest), len(line)+1):]
				continue
			}
			vendor, _, _ := strings.Cut(line, " ")
			if _, ok := exact(text, vendor, id); ok && !slices.Contains(known, vendor) {
				known = append(known, vendor)
			}
			_, to := ofVendor(rest, vendor)
			rest = rest[to:]
		}
	}
	slices.Sort(known)
	return known
}

// Models returns a vendor's models, sorted by id, without aliases and
// patterns. It is empty for vendors without a list, such as ollama.
func (t *Table) Models(vendor string) []Model {
	vendor = strings.ToLower(vendor)
	seen := map[string]bool{}
	var out []Model
	for _, text := range t.layers {
		from, to := ofVendor(text, vendor)
		for line := range strings.Lines(text[from:to]) {
			row := strings.TrimSuffix(line, "\n")
			id := idOf(row)
			if strings.Contains(id, "*") || seen[id] {
				continue
			}
			seen[id] = true
			if r, err := parseRow(row); err == nil && r.alias == "" {
				out = append(out, r.Model)
			}
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// AsOf returns the newest date of the table's sources.
func (t *Table) AsOf() time.Time { return t.asOf }

// Fresh is how long prices are taken for good: vendors change theirs every
// few months.
const Fresh = 180 * 24 * time.Hour

// Stale says that the table is older than Fresh, "" while it is not.
func (t *Table) Stale(now time.Time) string {
	age := now.Sub(t.asOf)
	if age <= Fresh {
		return ""
	}
	return fmt.Sprintf("prices are of %s, %d days old: update sluice, or name newer ones under catalog", t.asOf.Format(time.DateOnly), int(age.Hours()/24))
}
