package app

import (
	"slices"
	"testing"
	"testing/synctest"
)

// All places have their turn, however many errands at the first ones hang or
// are due again at once.
func TestErrandsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newErrands(2, func(do func()) { do() })
		hang := make(chan struct{})
		var ran []int
		done := make([]bool, 6)
		due := func(i int) func() {
			ran = append(ran, i)
			if i == 0 { // due always, and never over
				if done[0] {
					return nil
				}
				done[0] = true
				return func() { <-hang }
			}
			return func() { done[i] = true }
		}
		for range 6 {
			e.look(len(done), due)
			synctest.Wait()
		}
		if slices.Contains(done, false) {
			t.Errorf("after as many looks as places: done %v, want all (looked at %v)", done, ran)
		}
		e.look(0, due)
		close(hang)
		e.running.Wait()
	})
}
