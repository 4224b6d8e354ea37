package store

import (
	"maps"
	"path/filepath"
	"testing"
)

func TestCanaries(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "l.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]string{{"a", "1"}, {"b", "2"}, {"a", "3"}} {
		if err := s.PutCanary(ctx, x[0], []byte(x[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	all, err := s.Canaries(ctx)
	got := map[string]string{}
	for model, state := range all {
		got[model] = string(state)
	}
	if want := map[string]string{"a": "3", "b": "2"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if all, err := (*Store)(nil).Canaries(ctx); len(all) != 0 || err != nil {
		t.Errorf("without a store: got %v, %v", all, err)
	}
}
