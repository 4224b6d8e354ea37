package store

import (
	"context"
	"fmt"
	"time"
)

// canaryAge is how old the state of a canary is that is kept.
const canaryAge = 366 * 24 * time.Hour

// PutCanary keeps the state of the canary of a model's split, in the place of an
// older one.
func (s *Store) PutCanary(ctx context.Context, model string, state []byte) error {
	if s == nil {
		return nil
	}
	const put = "INSERT INTO canaries (model, state, time_us) VALUES ($1, $2, $3) ON CONFLICT (model) DO UPDATE SET state = excluded.state, time_us = excluded.time_us"
	if _, err := s.db.ExecContext(ctx, put, model, string(state), time.Now().UnixMicro()); err != nil {
		return fmt.Errorf("keeping a canary: %w", err)
	}
	return nil
}

// Canaries returns the states of canaries by their models, and forgets those that
// are a year old.
func (s *Store) Canaries(ctx context.Context) (map[string][]byte, error) {
	if s == nil {
		return nil, nil
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM canaries WHERE time_us < $1", time.Now().Add(-canaryAge).UnixMicro()); err != nil {
		return nil, fmt.Errorf("forgetting old canaries: %w", err)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT model, state FROM canaries")
	if err != nil {
		return nil, fmt.Errorf("reading canaries: %w", err)
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var model string
		var state []byte
		if err := rows.Scan(&model, &state); err != nil {
			return nil, fmt.Errorf("reading canaries: %w", err)
		}
		all[model] = state
	}
	return all, rows.Err()
}
