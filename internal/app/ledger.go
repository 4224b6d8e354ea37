package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/store"
)

// entry is a settled trail as the ledger keeps it.
func entry(t *llm.Trail) *store.Entry {
	since := func(at time.Time) time.Duration {
		if at.IsZero() {
			return 0
		}
		return at.Sub(t.Start)
	}
	attempts := t.Attempts()
	e := &store.Entry{
		ID: t.ID, Time: t.Start, Key: t.Caller.Key, Session: t.Caller.Session, Model: t.Model, Answered: t.Answered, Target: t.Target,
		Op: t.Op.String(), Stream: t.Stream, Strategy: t.Strategy, Arm: t.Arm, Degraded: t.Degraded, Status: t.Status, Outcome: t.Outcome,
		Usage: t.Usage(), Cost: t.Cost(), Duration: since(t.End), First: since(t.First), Guards: t.Guards,
	}
	if t.Decision != nil {
		e.Task, e.Decision = t.Task, decisionText(t.Decision)
	}
	e.Attempts = e.Room(len(attempts))
	for _, a := range attempts {
		e.Attempts = append(e.Attempts, store.Attempt{
			Model: a.Model, Target: a.Target, Credential: a.Credential, Note: a.Note, Start: since(a.Start), First: since(a.First), End: since(a.End),
			Status: a.Status, Outcome: a.Outcome, Detail: a.Detail, Usage: a.Usage, Cost: a.Cost, Flags: a.Flags, Score: store.ScoreOf(a.Score),
		})
	}
	return e
}

// maxDecision bounds what is kept of a decision, in bytes.
const maxDecision = 16 << 10

// decisionText is a decision as the ledger keeps it: of more candidates than fit
// the first.
func decisionText(d *llm.Decision) string {
	kept := *d
	for {
		b, err := json.Marshal(&kept)
		switch {
		case err != nil: // no number
			return ""
		case len(b) <= maxDecision || len(kept.Considered) == 0:
			return string(b)
		}
		kept.Considered = kept.Considered[:len(kept.Considered)/2]
	}
}

// Explain reads a request from the ledger; id "" is the newest.
func Explain(ctx context.Context, s *store.Store, id string) (gateway.Record, error) {
	var e *store.Entry
	var err error
	if id == "" {
		e, err = s.Last(ctx)
	} else {
		e, err = s.Request(ctx, id)
	}
	if errors.Is(err, store.ErrNotFound) {
		return gateway.Record{}, fmt.Errorf("no such request in the ledger")
	}
	if err != nil {
		return gateway.Record{}, err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r := gateway.Record{
		ID: e.ID, Time: e.Time, Key: e.Key, Session: e.Session, Op: e.Op, Model: e.Model, Stream: e.Stream, Answered: e.Answered,
		Target: e.Target, Strategy: e.Strategy, Arm: e.Arm, Task: e.Task, Degraded: e.Degraded, Status: e.Status, Outcome: e.Outcome, Usage: e.Usage, Cost: e.Cost, CostUSD: e.Cost.String(),
		DurationMS: ms(e.Duration), FirstMS: ms(e.First), Attempts: []gateway.AttemptRecord{}, Guards: e.Guards,
	}
	for _, v := range e.Guards {
		if llm.RiskByName(v.Risk) > llm.RiskByName(r.Risk) {
			r.Risk = v.Risk
		}
	}
	if e.Decision != "" {
		r.Decision = new(llm.Decision)
		if err := json.Unmarshal([]byte(e.Decision), r.Decision); err != nil {
			return gateway.Record{}, fmt.Errorf("reading the decision: %w", err)
		}
	}
	for _, a := range e.Attempts {
		r.Attempts = append(r.Attempts, gateway.AttemptRecord{
			Model: a.Model, Target: a.Target, Credential: a.Credential, Note: a.Note, StartMS: ms(a.Start), FirstMS: ms(a.First), EndMS: ms(a.End),
			Status: a.Status, Outcome: a.Outcome, Detail: a.Detail, Usage: a.Usage, Cost: a.Cost, Flags: a.Flags.Names(),
		})
		if x, ok := a.Scored(); ok {
			r.Attempts[len(r.Attempts)-1].Score = &x
		}
	}
	if r.Feedback, err = lastWord(ctx, s, e.ID); err != nil {
		return gateway.Record{}, fmt.Errorf("reading feedback: %w", err)
	}
	return r, nil
}
