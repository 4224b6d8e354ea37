package experiment

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/sluicegate/sluice/internal/quality"
)

// Saved is a canary as it is kept beyond the process.
type Saved struct {
	Arm    string            `json:"arm"`
	Steps  []float64         `json:"steps"`
	State  State             `json:"state"`
	Step   int               `json:"step"`
	Since  time.Time         `json:"since"`
	Strata []quality.Stratum `json:"strata"`
	Events []SavedEvent      `json:"events"`
}

// SavedEvent is an Event without what the canary says of itself.
type SavedEvent struct {
	Time       time.Time          `json:"time"`
	State      State              `json:"state"`
	Step       int                `json:"step"`
	From       float64            `json:"from"`
	To         float64            `json:"to"`
	Reason     string             `json:"reason"`
	Comparison quality.Comparison `json:"comparison"`
}

// Save lets keep write the canaries that have changed since they were kept last,
// by the models of their splits. What could not be kept is tried again with the
// next call. One call waits for the other, so that what is kept last is newest.
func (b *Book) Save(keep func(model string, x Saved) error) error {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.RLock()
	var all []*Canary
	for _, s := range b.splits {
		if c := s.Canary(); c != nil {
			all = append(all, c)
		}
	}
	b.mu.RUnlock()
	var errs []error
	for _, c := range all {
		x, changed := c.save()
		if !changed {
			continue
		}
		if err := keep(c.model, x); err != nil {
			c.mu.Lock()
			c.changed = true
			c.mu.Unlock()
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Canary) save() (x Saved, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return x, false
	}
	c.changed = false
	x = Saved{Arm: c.ladder.Arm, Steps: c.ladder.Steps, State: c.state, Step: c.step, Since: c.since, Strata: slices.Clone(c.strata)}
	for _, e := range c.events {
		if math.IsInf(e.Comparison.Reach, 0) { // JSON has no word for it
			e.Comparison.Reach = 0
		}
		x.Events = append(x.Events, SavedEvent{e.Time, e.State, e.Step, e.From, e.To, e.Reason, e.Comparison})
	}
	return x, true
}

// Restore puts a canary in the place of none: Adopt goes on with it, if it is the
// configuration's. What makes no sense is left out. It comes before Adopt.
func (b *Book) Restore(model string, x Saved) {
	if len(x.Steps) == 0 || len(x.Strata) != len(x.Steps) || x.Step < 0 || x.Step >= len(x.Steps) || x.State > RolledBack || len(x.Events) > maxEvents {
		return
	}
	for _, s := range x.Strata {
		for _, n := range [...]quality.Count{s.Canary, s.Control} {
			if n.Bad < 0 || n.N < n.Bad {
				return
			}
		}
	}
	c := &Canary{model: model, ladder: Ladder{Arm: x.Arm, Steps: x.Steps}, state: x.State, step: x.Step, since: x.Since, strata: x.Strata}
	for _, e := range x.Events {
		if e.Comparison.Reach == 0 {
			e.Comparison.Reach = math.Inf(1)
		}
		c.events = append(c.events, Event{e.Time, model, x.Arm, e.State, e.Step, e.From, e.To, e.Reason, e.Comparison})
	}
	c.running.Store(x.State == Running)
	switch x.State {
	case Promoted:
		c.put(1)
	case RolledBack:
		c.put(0)
	default:
		c.put(x.Steps[x.Step])
	}
	b.Split(model).canary.Store(c)
}
