package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// groups are what usage can be grouped by, and their SQL over requests.
var groups = []struct{ name, expr string }{
	{"model", "model"}, {"answered", "answered"}, {"target", "target"},
	{"key", "key"}, {"team", "team"}, {"session", "session"}, {"op", "op"}, {"strategy", "strategy"}, {"outcome", "outcome"},
	{"day", "strftime('%Y-%m-%d', time_us / 1000000, 'unixepoch')"},
	{"hour", "strftime('%Y-%m-%dT%H:00Z', time_us / 1000000, 'unixepoch')"},
}

// UsageQuery says what to sum. Zero times are open ends.
type UsageQuery struct {
	By           []string
	Since, Until time.Time
}

// UsageReport is the answer to a UsageQuery. It marshals as CONTRACT §6 says.
type UsageReport struct {
	Rows  []UsageRow `json:"rows"`
	Total UsageRow   `json:"total"`
}

// UsageRow sums the requests of one group.
type UsageRow struct {
	By       []string // what it is grouped by
	Groups   []string // the values, in the same order
	Requests int64
	Tokens   llm.Usage
	Cost     llm.Money
}

// MarshalJSON writes the groups first, then the sums; dollars are exact.
func (r UsageRow) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range r.By {
		v, err := json.Marshal(r.Groups[i])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s,", name, v)
	}
	u := r.Tokens
	fmt.Fprintf(&b, `"requests":%d,"tokens":{"input":%d,"output":%d,"cached_read":%d,"cache_write":%d,"reasoning":%d`,
		r.Requests, u.Input, u.Output, u.CachedRead, u.CacheWrite, u.Reasoning)
	for _, k := range llm.Counts {
		if n := *k.Of(&u); n != 0 {
			fmt.Fprintf(&b, `,%q:%d`, k.Name, n)
		}
	}
	fmt.Fprintf(&b, `},"cost_nano_usd":%d,"cost_usd":%s}`, int64(r.Cost), r.Cost)
	return b.Bytes(), nil
}

// Usage sums the ledger. An unknown group is an error that names the known
// ones.
func (s *Store) Usage(ctx context.Context, q UsageQuery) (UsageReport, error) {
	rep := UsageReport{Rows: []UsageRow{}, Total: UsageRow{}}
	var exprs []string
	for _, by := range q.By {
		i := slices.IndexFunc(groups, func(g struct{ name, expr string }) bool { return g.name == by })
		if i < 0 {
			var names []string
			for _, g := range groups {
				names = append(names, g.name)
			}
			return rep, fmt.Errorf("usage cannot be grouped by %q; by: %s", by, strings.Join(names, ", "))
		}
		exprs = append(exprs, groups[i].expr)
	}
	until := int64(1) << 62
	if !q.Until.IsZero() {
		until = q.Until.UnixMicro()
	}
	since, first := int64(0), ""
	if !q.Since.IsZero() {
		since, first = q.Since.UnixMicro(), llm.FirstID(q.Since)
	}
	span := []any{first, since, until}
	rows, err := s.db.QueryContext(ctx, summing(exprs, "requests", "COALESCE(SUM(CASE op WHEN 'probe' THEN 0 ELSE 1 END), 0)", "COALESCE(SUM(input), 0)", "COALESCE(SUM(output), 0)",
		"COALESCE(SUM(cached_read), 0)", "COALESCE(SUM(cache_write), 0)", "COALESCE(SUM(reasoning), 0)", "COALESCE(SUM(cost_nano), 0)"), span...)
	if err != nil {
		return rep, fmt.Errorf("summing the ledger: %w", err)
	}
	defer rows.Close()
	at := map[string]int{} // rows by their groups
	for rows.Next() {
		r := UsageRow{By: q.By, Groups: make([]string, len(q.By))}
		u := &r.Tokens
		if err := rows.Scan(append(pointers(r.Groups), &r.Requests, &u.Input, &u.Output, &u.CachedRead, &u.CacheWrite, &u.Reasoning, (*int64)(&r.Cost))...); err != nil {
			return rep, fmt.Errorf("summing the ledger: %w", err)
		}
		at[strings.Join(r.Groups, "\x00")] = len(rep.Rows)
		rep.Rows = append(rep.Rows, r)
	}
	if err := rows.Err(); err != nil {
		return rep, fmt.Errorf("summing the ledger: %w", err)
	}
	if err := s.kinds(ctx, exprs, span, rep.Rows, at); err != nil {
		return rep, fmt.Errorf("summing the ledger: %w", err)
	}
	for _, r := range rep.Rows {
		rep.Total.Requests += r.Requests
		rep.Total.Tokens = rep.Total.Tokens.Add(r.Tokens)
		rep.Total.Cost += r.Cost
	}
	return rep, nil
}

// summing is the query that groups requests of a span of time by exprs.
func summing(exprs []string, from string, sums ...string) string {
	query := "SELECT " + strings.Join(append(slices.Clone(exprs), sums...), ", ") + " FROM " + from + " WHERE id >= $1 AND time_us >= $2 AND time_us < $3"
	if len(exprs) == 0 {
		return query
	}
	n := make([]string, len(exprs))
	for i := range n {
		n[i] = strconv.Itoa(i + 1)
	}
	list := strings.Join(n, ", ")
	return query + " GROUP BY " + list + " ORDER BY " + list
}

func pointers(groups []string) []any {
	out := make([]any, 0, len(groups)+7)
	for i := range groups {
		out = append(out, &groups[i])
	}
	return out
}

// kinds adds the counts that few requests have to the rows, which are found by
// their groups.
func (s *Store) kinds(ctx context.Context, exprs []string, span []any, sums []UsageRow, at map[string]int) error {
	query := summing(append(slices.Clone(exprs), "kinds.kind"), "requests JOIN kinds ON kinds.request = requests.id AND kinds.n = 0", "SUM(kinds.amount)")
	rows, err := s.db.QueryContext(ctx, query, span...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		groups := make([]string, len(exprs)+1)
		var n int64
		if err := rows.Scan(append(pointers(groups), &n)...); err != nil {
			return err
		}
		i, ok := at[strings.Join(groups[:len(exprs)], "\x00")]
		if !ok { // written since the other sum
			continue
		}
		add(&sums[i].Tokens, groups[len(exprs)], n)
	}
	return rows.Err()
}

// add adds an amount of a kind that is known.
func add(u *llm.Usage, kind string, n int64) {
	for _, k := range llm.Counts {
		if k.Name == kind {
			*k.Of(u) += n
		}
	}
}

// Request returns the entry of an id, ErrNotFound if there is none.
func (s *Store) Request(ctx context.Context, id string) (*Entry, error) {
	return s.entry(ctx, "WHERE id = $1", id)
}

// Last returns the newest entry that a client asked for, ErrNotFound where there
// is none.
func (s *Store) Last(ctx context.Context) (*Entry, error) {
	return s.entry(ctx, "WHERE op <> 'probe' ORDER BY id DESC LIMIT 1") // ids sort by time
}

func (s *Store) entry(ctx context.Context, where string, args ...any) (*Entry, error) {
	e := &Entry{}
	var at, duration, first int64
	var n int
	u := &e.Usage
	err := s.db.QueryRowContext(ctx, "SELECT "+requestColumns+" FROM requests "+where, args...).Scan(
		&e.ID, &at, &e.Key, &e.Team, &e.Session, &e.Model, &e.Answered, &e.Target, &e.Op, &e.Stream, &e.Strategy, &e.Status, &e.Outcome,
		&u.Input, &u.CachedRead, &u.CacheWrite, &u.Output, &u.Reasoning, (*int64)(&e.Cost), &u.Estimated, &n, &duration, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	e.Time, e.Duration, e.First = time.UnixMicro(at).UTC(), micros(duration), micros(first)
	rows, err := s.db.QueryContext(ctx, "SELECT "+attemptColumns+" FROM attempts WHERE request = $1 ORDER BY n", e.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a Attempt
		var id string
		var start, first, end int64
		u := &a.Usage
		if err := rows.Scan(&id, &n, &a.Model, &a.Target, &a.Credential, &start, &first, &end, &a.Status, &a.Outcome, &a.Detail,
			&u.Input, &u.CachedRead, &u.CacheWrite, &u.Output, &u.Reasoning, (*int64)(&a.Cost), &u.Estimated); err != nil {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		a.Start, a.First, a.End = micros(start), micros(first), micros(end)
		e.Attempts = append(e.Attempts, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	if err := s.rare(ctx, e); err != nil {
		return nil, err
	}
	if err := s.decided(ctx, e); err != nil {
		return nil, err
	}
	return e, s.marked(ctx, e)
}

// decided reads how the model was chosen, where it was.
func (s *Store) decided(ctx context.Context, e *Entry) error {
	if s.undecided {
		return nil
	}
	err := s.db.QueryRowContext(ctx, "SELECT task, decision FROM decisions WHERE request = $1", e.ID).Scan(&e.Task, &e.Decision)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	return nil
}

// marked reads what is told of few requests.
func (s *Store) marked(ctx context.Context, e *Entry) error {
	if s.unmarked {
		return nil
	}
	rows, err := s.db.QueryContext(ctx, "SELECT n, mark, level FROM marks WHERE request = $1 ORDER BY level", e.ID)
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n, level int
		var mark string
		if err := rows.Scan(&n, &mark, &level); err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		if said, ok := strings.CutPrefix(mark, guarded); n == 0 && ok {
			if part := strings.Fields(said); len(part) == 3 {
				e.Guards = append(e.Guards, llm.Verdict{Guard: part[0], Stage: part[1], Action: part[2], Risk: llm.Risk(level & 3).String()})
			}
		} else if name, drawn := strings.CutPrefix(mark, arm); n == 0 && drawn {
			e.Arm = name
		} else if n == 0 && mark == degraded {
			e.Degraded = level
		} else if n > 0 && n <= len(e.Attempts) {
			e.Attempts[n-1].mark(mark, level)
		}
	}
	return rows.Err()
}

// mark takes in a mark of the attempt.
func (a *Attempt) mark(mark string, level int) {
	switch mark {
	case flagged:
		a.Flags = llm.Flags(level)
	case scored:
		a.Score = level
	default:
		a.Note = mark
	}
}

// rare reads the counts that few requests have.
func (s *Store) rare(ctx context.Context, e *Entry) error {
	rows, err := s.db.QueryContext(ctx, "SELECT n, kind, amount FROM kinds WHERE request = $1", e.ID)
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	folded := true // the only attempt says the same as the request
	for rows.Next() {
		var n int
		var kind string
		var amount int64
		if err := rows.Scan(&n, &kind, &amount); err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		if n == 0 {
			add(&e.Usage, kind, amount)
		} else if n <= len(e.Attempts) {
			folded = false
			add(&e.Attempts[n-1].Usage, kind, amount)
		}
	}
	if folded && len(e.Attempts) == 1 && e.Attempts[0].Outcome == "ok" {
		e.Attempts[0].Usage = e.Usage
	}
	return rows.Err()
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
