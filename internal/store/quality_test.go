package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// The last word on a request is kept, and readers find it.
func TestFeedback(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "l.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	if _, err := s.Feedback(ctx, "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 5000, time.UTC)
	want := Feedback{Request: "a", Score: 0.5, Labels: []string{"wrong", "too long"}, Comment: "line\nline", Time: at}
	for _, f := range []Feedback{{Request: "a", Score: -1, Time: at}, {Request: "b", Score: 1, Time: at}, want} {
		if err := s.PutFeedback(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenReadOnly(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(ctx)
	for _, s := range []*Store{s, r} {
		if got, err := s.Feedback(ctx, "a"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("feedback = %+v, %v, want %+v", got, err, want)
		}
	}
	var none *Store
	if err := none.PutFeedback(ctx, want); !errors.Is(err, ErrNoStore) {
		t.Errorf("without a store: %v", err)
	}
}

// A ledger of an older gateway has no feedback, and says so.
func TestFeedbackOfOlder(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "l.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.ExecContext(ctx, "DROP TABLE feedback"); err != nil {
		t.Fatal(err)
	}
	s.Close(ctx)
	r, err := OpenReadOnly(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(ctx)
	if _, err := r.Feedback(ctx, "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Evidence outlives the process; an older row never takes the place of a newer
// one, and what is a year old is forgotten.
func TestEvidence(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "l.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	now := time.Now().Truncate(time.Microsecond)
	row := func(target, task string, alpha float64, age time.Duration) Evidence {
		return Evidence{Target: target, Task: task, Alpha: alpha, Beta: 1, Sound: 2.5, Flawed: 3, Time: now.Add(-age)}
	}
	if err := s.PutEvidence(ctx, []Evidence{row("a", "", 1, 0), row("a", "math", 2, time.Hour), row("b", "", 3, 400*24*time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEvidence(ctx, []Evidence{row("a", "", 9, time.Minute), row("a", "math", 5, time.Minute)}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Evidence(ctx, 10)
	if want := []Evidence{row("a", "", 1, 0), row("a", "math", 5, time.Minute)}; err != nil || len(got) != 2 || got[0].Alpha != want[0].Alpha || got[1] != want[1] {
		t.Errorf("evidence = %+v, %v, want %+v", got, err, want)
	}
	if got, err := s.Evidence(ctx, 1); err != nil || len(got) != 1 || got[0].Task != "" {
		t.Errorf("the newest = %+v, %v", got, err)
	}
	var many []Evidence
	for i := range maxEvidence + 9 {
		many = append(many, row("c", fmt.Sprint(i), 1, time.Duration(i)*time.Second))
	}
	if err := s.PutEvidence(ctx, many); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Evidence(ctx, 2*maxEvidence); err != nil || len(got) != maxEvidence+1 { // and what is known of a as a whole
		t.Errorf("%d rows are kept, %v, want %d", len(got), err, maxEvidence+1)
	}
	var none *Store
	if got, err := none.Evidence(ctx, 1); err != nil || got != nil || none.PutEvidence(ctx, got) != nil {
		t.Errorf("without a store: %v, %v", got, err)
	}
}
