package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// record is a row: a model, or another name for one.
type record struct {
	Model
	alias string // id of the vendor's row that has the facts; "": this one
}

// parseRow reads a row of the table. Its words, separated by spaces:
//
//	VENDOR ID =OTHER                  another name for the vendor's model OTHER
//	VENDOR ID WORD…                   ID may be a pattern with stars
//
// Words are UNIT=USD, per million tokens or per thousand pieces, with the
// names of llm.Unit; context=TOKENS max_output=TOKENS kind=KIND can=ABILITY,…
// family=NAME source=NAME@DATE. A "|" begins another price, which stands
// alone, with what it is for: tier=TIER above=PROMPT-TOKENS since=DATE
// daily=HH:MM-HH:MM (UTC).
func parseRow(row string) (record, error) {
	var r record
	vendor, rest, _ := strings.Cut(row, " ")
	id, rest, ok := strings.Cut(rest, " ")
	if !ok || vendor == "" || id == "" {
		return r, fmt.Errorf("a row is: VENDOR ID WORD…")
	}
	r.Model = Model{Vendor: strings.ToLower(vendor), ID: strings.ToLower(id), Kind: "chat", Source: "file"}
	if name, ok := strings.CutPrefix(rest, "="); ok {
		if r.alias = strings.ToLower(name); name == "" || strings.ContainsAny(name, " *") {
			return r, fmt.Errorf("%q names no model", rest)
		}
		return r, nil
	}
	facts, others, _ := strings.Cut(rest, " | ")
	var price llm.Price
	priced := false
	for w := range strings.SplitSeq(facts, " ") {
		name, v, ok := strings.Cut(w, "=")
		if !ok {
			return r, fmt.Errorf("%q is no NAME=VALUE", w)
		}
		if u, ok := llm.ParseUnit(name); ok {
			priced = true
			if err := setRate(&price, u, v); err != nil {
				return r, err
			}
		} else if err := r.set(name, v); err != nil {
			return r, err
		}
	}
	if priced {
		r.Price = &price
	}
	for part := range strings.SplitSeq(others, " | ") {
		if part == "" {
			continue
		}
		if !priced {
			return r, fmt.Errorf("a further price before the first")
		}
		if err := addPrice(&price, part); err != nil {
			return r, err
		}
	}
	return r, nil
}

func setRate(p *llm.Price, u llm.Unit, usd string) error {
	f, err := strconv.ParseFloat(usd, 64)
	if err != nil {
		return fmt.Errorf("%s: %q is no number", u, usd)
	}
	r, err := u.Rate(f)
	if err != nil {
		return fmt.Errorf("%s: %w", u, err)
	}
	p.Set(u, r)
	return nil
}

// set takes a fact that is no price.
func (r *record) set(name, v string) (err error) {
	switch name {
	case "context":
		r.Context, err = parseTokens(v)
	case "max_output":
		r.MaxOutput, err = parseTokens(v)
	case "kind":
		if r.Kind = v; !slices.Contains(kinds, v) {
			err = fmt.Errorf("write one of %s", strings.Join(kinds, ", "))
		}
	case "can":
		for word := range strings.SplitSeq(v, ",") {
			can, ok := llm.AbilityByName(word)
			if !ok {
				return fmt.Errorf("can: %q: write some of %s", word, strings.Join(llm.AbilityNames(), ", "))
			}
			r.Can |= can
		}
	case "family":
		r.Family = v
	case "source":
		source, day, dated := strings.Cut(v, "@")
		if r.Source = source; dated {
			r.AsOf, err = time.Parse(time.DateOnly, day)
		}
	default:
		return fmt.Errorf("%q is no word of a row", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func parseTokens(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// scope is when a further price holds.
type scope struct {
	since      int64
	start, end int
	tier       llm.Tier
	above      int64
}

// addPrice adds a further price of a row, whose words are text, to the first.
func addPrice(first *llm.Price, text string) error {
	var s scope
	p := &llm.Price{}
	for w := range strings.SplitSeq(text, " ") {
		name, v, _ := strings.Cut(w, "=")
		u, ok := llm.ParseUnit(name)
		var err error
		if ok {
			err = setRate(p, u, v)
		} else {
			err = s.set(name, v)
		}
		if err != nil {
			return err
		}
	}
	base := first
	if s.since != 0 || s.end != 0 {
		i := slices.IndexFunc(first.Changes, func(c llm.Change) bool { return c.Since == s.since && c.Start == s.start && c.End == s.end })
		if i < 0 {
			if s.tier != llm.TierStandard || s.above > 0 {
				return fmt.Errorf("%q comes before the price that it is a case of", text)
			}
			first.Changes = append(first.Changes, llm.Change{Since: s.since, Start: s.start, End: s.end, Price: p})
			return nil
		}
		base = first.Changes[i].Price
	}
	if s.tier != llm.TierStandard {
		if base.Tiers[s.tier] == nil {
			if s.above > 0 {
				return fmt.Errorf("%q comes before the price that it is a case of", text)
			}
			base.Tiers[s.tier] = p
			return nil
		}
		base = base.Tiers[s.tier]
	}
	if s.above == 0 {
		return fmt.Errorf("%q is for nothing that has no price yet", text)
	}
	for base.Long != nil {
		if s.above <= base.Above {
			return fmt.Errorf("%q: write longer prompts after shorter ones", text)
		}
		base = base.Long
	}
	base.Long, base.Above = p, s.above
	return nil
}

func (s *scope) set(name, v string) error {
	switch name {
	case "tier":
		if s.tier = llm.ParseTier(v); s.tier == llm.TierStandard {
			return fmt.Errorf("tier: write flex, priority or batch")
		}
	case "above":
		n, err := parseTokens(v)
		if err != nil || n == 0 {
			return fmt.Errorf("above: write a number of tokens")
		}
		s.above = int64(n)
	case "since":
		day, err := time.Parse(time.DateOnly, v)
		if err != nil {
			return fmt.Errorf("since: %w", err)
		}
		s.since = day.Unix()
	case "daily":
		from, to, _ := strings.Cut(v, "-")
		a, err := time.Parse("15:04", from)
		if err != nil {
			return fmt.Errorf("daily: %w", err)
		}
		b, err := time.Parse("15:04", to)
		if err != nil {
			return fmt.Errorf("daily: %w", err)
		}
		s.start, s.end = a.Hour()*3600+a.Minute()*60, b.Hour()*3600+b.Minute()*60
		if s.end <= s.start {
			return fmt.Errorf("daily: %q ends before it starts", v)
		}
	default:
		return fmt.Errorf("%q is no word of a price", name)
	}
	return nil
}
