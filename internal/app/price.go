package app

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/catalog"
	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// Priced is what a vendor's answer costs.
type Priced struct {
	Vendor string                 `json:"vendor"`
	Model  string                 `json:"model"` // the row whose price it is
	USD    json.Number            `json:"usd"`   // rounded to nano-USD
	Parts  map[string]json.Number `json:"parts"` // USD by unit, exact
	Usage  llm.Usage              `json:"usage"`
	Source string                 `json:"source"` // of the price: a source of the catalog, its file, or "config"
	AsOf   string                 `json:"as_of"`  // date of the source; "": it does not say
	At     time.Time              `json:"at"`     // when the price holds
	Lines  []llm.Part             `json:"-"`
}

// PriceQuery asks what a usage costs.
type PriceQuery struct {
	Vendor string // a vendor, or a provider of the configuration
	Model  string // "": the one that the body names
	Tier   string // "": the one that the body names
	At     time.Time
	Config *config.Config // nil: the built-in catalog alone
	Body   []byte         // a usage object, or an answer that holds one
}

// Price prices a usage at the time of the query: zero is when the answer was
// made, if it says so, else now.
func Price(q PriceQuery) (*Priced, error) {
	counted, ok := protocol.FindUsage(q.Body)
	if !ok {
		return nil, fmt.Errorf("there is no usage in the input: give a vendor's usage object, or its whole answer as JSON")
	}
	u := counted.Usage
	if q.Tier != "" {
		if u.Tier = llm.ParseTier(q.Tier); u.Tier.String() != q.Tier {
			return nil, fmt.Errorf("no tier %q: write standard, flex, priority or batch", q.Tier)
		}
	}
	model, at := q.Model, q.At
	if model == "" {
		model = counted.Model
	}
	if at.IsZero() {
		at = counted.At
	}
	if model == "" {
		return nil, fmt.Errorf("the input names no model: write --model")
	}
	row, err := rowOf(q, model)
	if err != nil {
		return nil, err
	}
	switch {
	case !at.IsZero():
	case row.AsOf.IsZero():
		at = time.Now()
	default: // noon of the day that the row speaks of: discounts are at night
		at = row.AsOf.Add(12 * time.Hour)
	}
	price := row.Price.At(at)
	out := &Priced{Vendor: row.Vendor, Model: row.ID, USD: json.Number(price.Cost(u).String()), Parts: map[string]json.Number{}, Usage: u,
		Source: row.Source, At: at.UTC(), Lines: price.Parts(u)}
	if !row.AsOf.IsZero() {
		out.AsOf = row.AsOf.Format(time.DateOnly)
	}
	for _, p := range out.Lines {
		out.Parts[p.Unit.String()] = Amount(p)
	}
	return out, nil
}

// rowOf is the row whose price is asked for: the configuration's own price of
// the target, else the catalog's.
func rowOf(q PriceQuery, model string) (catalog.Model, error) {
	vendor, table := q.Vendor, catalog.Embedded()
	if q.Config != nil {
		var err error
		if table, err = catalogOf(q.Config); err != nil {
			return catalog.Model{}, err
		}
		for _, p := range q.Config.Providers {
			if p.Name == q.Vendor {
				vendor = p.Kind
			}
		}
		for _, m := range q.Config.Models {
			for _, t := range m.Targets {
				if t.Target == q.Vendor+"/"+model && t.Price != nil {
					price, err := priceOf(t.Price)
					return catalog.Model{Vendor: vendor, ID: model, Price: price, Source: "config"}, err
				}
			}
		}
	}
	row, ok := table.Lookup(vendor, model)
	switch {
	case ok && row.Price != nil:
		return row, nil
	case ok:
		return row, fmt.Errorf("the price of %s at %s is not known; a row in the file under catalog can tell it", row.ID, vendor)
	}
	near := nearest(table.Models(vendor), strings.ToLower(model))
	if near == "" {
		return row, fmt.Errorf("the catalog knows no models of %q; sluice providers lists vendors", q.Vendor)
	}
	return row, fmt.Errorf("the catalog knows no %q of %s; it knows %s", model, vendor, near)
}

// nearest names the models whose names begin most like id.
func nearest(rows []catalog.Model, id string) string {
	common := func(s string) int {
		n := 0
		for n < len(s) && n < len(id) && s[n] == id[n] {
			n++
		}
		return n
	}
	slices.SortStableFunc(rows, func(a, b catalog.Model) int { return common(b.ID) - common(a.ID) })
	var names []string
	for _, m := range rows[:min(3, len(rows))] {
		names = append(names, m.ID)
	}
	return strings.Join(names, ", ")
}

// Amount is what a part costs, in USD without rounding.
func Amount(p llm.Part) json.Number {
	pico := new(big.Int).Mul(big.NewInt(p.N), big.NewInt(int64(p.Rate)))
	s := new(big.Rat).SetFrac(pico, big.NewInt(1e12)).FloatString(12)
	return json.Number(strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
}
