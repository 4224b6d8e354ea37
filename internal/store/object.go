package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Object is something that a vendor keeps for a client.
type Object struct {
	ID         string
	Kind       string
	Target     string // that made it, or its provider alone
	Credential string // id of the credential that it was made with
	Owner      string // name of the key that may use it
	Created    time.Time
}

// ErrNoStore is returned where nothing is kept.
var ErrNoStore = errors.New("there is no store")

const (
	objectColumns = "id, kind, target, credential, owner, created_us"
	insertObject  = "INSERT INTO objects (" + objectColumns + ") VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

// PutObject remembers an object; it is on disk when this returns. An id that is
// known stays as it is.
func (s *Store) PutObject(ctx context.Context, o Object) error {
	if s == nil {
		return ErrNoStore
	}
	if _, err := s.db.ExecContext(ctx, insertObject, o.ID, o.Kind, o.Target, o.Credential, o.Owner, o.Created.UnixMicro()); err != nil {
		return fmt.Errorf("remembering object: %w", err)
	}
	return nil
}

// QueueObject remembers an object without waiting: Object finds it at once, and
// it is on disk soon. false: the queue is full and it is not remembered.
func (s *Store) QueueObject(o Object) bool {
	if s == nil {
		return false
	}
	q := &s.writer.queue
	q.mu.Lock()
	if len(q.objects) >= queueSize {
		q.mu.Unlock()
		return false
	}
	if q.objects == nil {
		q.objects = map[string]Object{}
	}
	if _, known := q.objects[o.ID]; !known {
		q.objects[o.ID] = o
	}
	first := len(q.objects) == 1
	q.mu.Unlock()
	if first {
		s.writer.rouse()
	}
	return true
}

// Object returns an object, ErrNotFound if there is none.
func (s *Store) Object(ctx context.Context, id string) (Object, error) {
	if s == nil {
		return Object{}, ErrNoStore
	}
	if s.writer != nil {
		q := &s.writer.queue
		q.mu.Lock()
		o, waiting := q.objects[id]
		q.mu.Unlock()
		if waiting {
			return o, nil
		}
	}
	o, err := scanObject(s.db.QueryRowContext(ctx, "SELECT "+objectColumns+" FROM objects WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return o, ErrNotFound
	}
	if err != nil {
		return o, fmt.Errorf("reading object: %w", err)
	}
	return o, nil
}

// Objects returns an owner's objects of a kind, the newest first, at most
// limit. after is the id of one that those returned come behind, "" for none;
// an id that is not the owner's brings none. Objects that are only queued are
// left out.
func (s *Store) Objects(ctx context.Context, kind, owner, after string, limit int) ([]Object, error) {
	if s == nil {
		return nil, ErrNoStore
	}
	query, args := "SELECT "+objectColumns+" FROM objects WHERE kind = $1 AND owner = $2", []any{kind, owner}
	if after != "" {
		query += " AND (created_us, id) < (SELECT created_us, id FROM objects WHERE id = $3 AND owner = $2)"
		args = append(args, after)
	}
	rows, err := s.db.QueryContext(ctx, fmt.Sprintf("%s ORDER BY created_us DESC, id DESC LIMIT %d", query, limit), args...)
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	defer rows.Close()
	var all []Object
	for rows.Next() {
		o, err := scanObject(rows)
		if err != nil {
			return nil, fmt.Errorf("listing objects: %w", err)
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

func scanObject(row interface{ Scan(...any) error }) (o Object, err error) {
	var us int64
	err = row.Scan(&o.ID, &o.Kind, &o.Target, &o.Credential, &o.Owner, &us)
	o.Created = time.UnixMicro(us).UTC()
	return o, err
}

// DeleteObject forgets an object; one that is not known is no error.
func (s *Store) DeleteObject(ctx context.Context, id string) error {
	if s == nil {
		return ErrNoStore
	}
	if s.writer != nil {
		q := &s.writer.queue
		q.mu.Lock()
		delete(q.objects, id)
		q.mu.Unlock()
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM objects WHERE id = $1", id); err != nil {
		return fmt.Errorf("forgetting object: %w", err)
	}
	return nil
}

// drainObjects writes the objects that are queued. They are found in the queue
// until they are on disk.
func (w *writer) drainObjects() error {
	q := &w.queue
	q.mu.Lock()
	batch := make([]Object, 0, len(q.objects))
	for _, o := range q.objects {
		batch = append(batch, o)
	}
	q.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := w.transaction(func(ctx context.Context, c any) error {
		for _, o := range batch {
			w.args = w.args[:0]
			for _, s := range [...]string{o.ID, o.Kind, o.Target, o.Credential, o.Owner} {
				w.text(s)
			}
			w.num(o.Created.UnixMicro())
			if err := w.exec(ctx, c, insertObject, w.args); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	for _, o := range batch {
		delete(q.objects, o.ID)
	}
	q.mu.Unlock()
	return nil
}
