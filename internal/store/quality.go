package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Feedback is what a client said of an answer.
type Feedback struct {
	Request string
	Score   float64 // -1 to 1
	Labels  []string
	Comment string
	Time    time.Time
}

// PutFeedback keeps the last word on a request; it is on disk when this returns.
func (s *Store) PutFeedback(ctx context.Context, f Feedback) error {
	if s == nil {
		return ErrNoStore
	}
	const put = "INSERT INTO feedback (request, score, labels, comment, time_us) VALUES ($1, $2, $3, $4, $5) " +
		"ON CONFLICT (request) DO UPDATE SET score = excluded.score, labels = excluded.labels, comment = excluded.comment, time_us = excluded.time_us"
	if _, err := s.db.ExecContext(ctx, put, f.Request, f.Score, strings.Join(f.Labels, "\n"), f.Comment, f.Time.UnixMicro()); err != nil {
		return fmt.Errorf("keeping feedback: %w", err)
	}
	return nil
}

// Feedback returns the last word on a request, ErrNotFound if there is none.
func (s *Store) Feedback(ctx context.Context, request string) (Feedback, error) {
	f := Feedback{Request: request}
	if s == nil {
		return f, ErrNoStore
	}
	if ok, err := s.has(ctx, "feedback"); err != nil || !ok {
		return f, errors.Join(err, ErrNotFound)
	}
	var labels string
	var us int64
	err := s.db.QueryRowContext(ctx, "SELECT score, labels, comment, time_us FROM feedback WHERE request = $1", request).Scan(&f.Score, &labels, &f.Comment, &us)
	if errors.Is(err, sql.ErrNoRows) {
		return f, ErrNotFound
	}
	if err != nil {
		return f, fmt.Errorf("reading feedback: %w", err)
	}
	if labels != "" {
		f.Labels = strings.Split(labels, "\n")
	}
	f.Time = time.UnixMicro(us).UTC()
	return f, nil
}

// has reports whether a table is there: a reader may open the ledger of an older
// gateway.
func (s *Store) has(ctx context.Context, table string) (bool, error) {
	if s.writer != nil { // it was brought up to date
		return true, nil
	}
	n := 0
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1", table).Scan(&n); err != nil {
		return false, fmt.Errorf("reading the ledger: %w", err)
	}
	return n > 0, nil
}

// Evidence is what is known of how well a target answers a task; Task "" are all
// of them.
type Evidence struct {
	Target, Task               string
	Alpha, Beta, Sound, Flawed float64
	Time                       time.Time
}

// evidenceAge is how old evidence is that is kept.
const evidenceAge = 366 * 24 * time.Hour

// maxEvidence bounds the rows of tasks, whose names are the clients': the newest
// stay.
const maxEvidence = 8192

// PutEvidence keeps rows in the place of older ones.
func (s *Store) PutEvidence(ctx context.Context, rows []Evidence) error {
	if s == nil || len(rows) == 0 {
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("keeping evidence: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit there is nothing to take back
	const put = "INSERT INTO evidence (target, task, alpha, beta, sound, flawed, time_us) VALUES ($1, $2, $3, $4, $5, $6, $7) " +
		"ON CONFLICT (target, task) DO UPDATE SET alpha = excluded.alpha, beta = excluded.beta, sound = excluded.sound, flawed = excluded.flawed, time_us = excluded.time_us " +
		"WHERE excluded.time_us >= evidence.time_us"
	for _, r := range rows {
		if _, err := tx.ExecContext(ctx, put, r.Target, r.Task, r.Alpha, r.Beta, r.Sound, r.Flawed, r.Time.UnixMicro()); err != nil {
			return fmt.Errorf("keeping evidence: %w", err)
		}
	}
	const forget = "DELETE FROM evidence WHERE task <> '' AND time_us < (SELECT time_us FROM evidence WHERE task <> '' ORDER BY time_us DESC LIMIT 1 OFFSET $1)"
	if _, err := tx.ExecContext(ctx, forget, maxEvidence-1); err != nil {
		return fmt.Errorf("forgetting evidence: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("keeping evidence: %w", err)
	}
	return nil
}

// Evidence returns the newest rows, at most limit, and forgets those that are a
// year old.
func (s *Store) Evidence(ctx context.Context, limit int) ([]Evidence, error) {
	if s == nil {
		return nil, nil
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM evidence WHERE time_us < $1", time.Now().Add(-evidenceAge).UnixMicro()); err != nil {
		return nil, fmt.Errorf("forgetting old evidence: %w", err)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT target, task, alpha, beta, sound, flawed, time_us FROM evidence ORDER BY time_us DESC LIMIT $1", limit)
	if err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	defer rows.Close()
	var all []Evidence
	for rows.Next() {
		var r Evidence
		var us int64
		if err := rows.Scan(&r.Target, &r.Task, &r.Alpha, &r.Beta, &r.Sound, &r.Flawed, &us); err != nil {
			return nil, fmt.Errorf("reading evidence: %w", err)
		}
		r.Time = time.UnixMicro(us)
		all = append(all, r)
	}
	return all, rows.Err()
}
