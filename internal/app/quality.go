package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/store"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
)

// keepEvery paces the writing of what is known of how well targets answer, and of
// how far canaries have come: so much of it is lost with a process that is killed.
const keepEvery = time.Minute

// maxEvidence bounds what is read of it at the start.
const maxEvidence = 4096

// listen is who judges a share of a target's answers.
func (b *builder) listen() func(*llm.Request, *llm.Attempt, bool) upstream.Listener {
	share := b.cfg.Quality.Sample
	listen := b.sh.Sampler.Listen(share)
	return func(req *llm.Request, a *llm.Attempt, must bool) upstream.Listener {
		if share == 0 && !must { // who is out of rotation must be heard to come back
			return nil
		}
		must = must || a.Arm != nil && b.sh.Book.Watches(a.Arm)
		if h := listen(req, a, must); h != nil {
			return h
		}
		return nil
	}
}

// settleQuality takes what gates found in the answers to a request. An answer that
// was asked for since one before it was bad is counted and teaches nothing: the
// prompt is one of those that are hard to answer, and the last model of a cascade
// sees no others.
func (a *App) settleQuality(t *llm.Trail) {
	hard := false
	for _, x := range t.Attempts() {
		switch {
		case !x.Gated, x.Outcome != "ok" && x.Outcome != llm.KindRejected.String(): // of what broke only a part was seen
		case hard:
			if a.metrics != nil {
				a.metrics.Judged(x.Target, x.Flags)
			}
		default:
			a.judged(&quality.Verdict{Request: t.ID, Model: x.Model, Target: x.Target, Task: t.Task, Arm: x.Drawn(), Flags: x.Flags, Score: x.Score, Opinion: math.NaN(), Cut: x.Cut})
			hard = x.Flags != 0
		}
	}
}

// judged is the one place where it is learned how good an answer was, as gates,
// judges or a client see it.
func (a *App) judged(v *quality.Verdict) {
	now := time.Now()
	if a.metrics != nil {
		a.metrics.Judged(v.Target, v.Flags)
	}
	a.shared.Evidence.Observe(v, now)
	a.watched(v, now)
}

// watched lets the monitor see an answer, and tells what follows from it.
func (a *App) watched(v *quality.Verdict, now time.Time) {
	gen := a.current.Load()
	all := gen.gw.Targets
	if i, ok := slices.BinarySearchFunc(all, v.Target, func(t *upstream.Target, id string) int { return strings.Compare(t.ID, id) }); ok && math.IsNaN(v.Opinion) {
		all[i].State.Proved(!v.Bad())
	}
	for _, al := range a.shared.Monitor.Observe(v, now) {
		a.rotate(gen)
		a.alarm(gen, &al)
	}
}

// rotate takes targets out of rotation whose answers have collapsed, where others
// can answer, and puts those back whose answers have not.
func (a *App) rotate(gen *generation) {
	a.rotating.Lock() // so that who is spared is counted with who leaves at the same time
	defer a.rotating.Unlock()
	for _, t := range gen.gw.Targets {
		why, bad := a.shared.Monitor.Collapsed(t.ID)
		switch bad = bad && gen.cfg.Quality.Eject; {
		case bad && !t.State.Benched() && upstream.Spare(gen.care.pools, t.State):
			t.State.Bench(why)
			a.log.Warn("out of rotation for its answers' sake", "target", t.ID, "reason", why)
		case !bad && t.State.Benched():
			t.State.Unbench()
			a.log.Info("back in rotation", "target", t.ID)
		}
	}
}

// alarmNews is what webhooks are told of an alarm.
type alarmNews struct {
	Event     string         `json:"event"` // quality_alarm, quality_alarm_over
	Target    string         `json:"target"`
	Task      string         `json:"task,omitempty"`     // "": all of its answers
	Feedback  bool           `json:"feedback,omitempty"` // of what clients say
	State     string         `json:"state"`              // of the target
	Since     time.Time      `json:"since"`
	Judged    int            `json:"judged"` // since the change began
	Bad       int            `json:"bad"`
	BadRate   float64        `json:"bad_rate"`
	Usual     float64        `json:"usual"` // share of bad answers before
	Statistic float64        `json:"statistic"`
	Bound     float64        `json:"bound,omitempty"`
	Collapsed bool           `json:"collapsed,omitempty"`
	Flags     map[string]int `json:"flags"` // of the target's last quarter of an hour
}

// alarm tells of an alarm: the log, and the operator's webhook.
func (a *App) alarm(gen *generation, al *quality.Alarm) {
	n := alarmNews{Event: "quality_alarm", Target: al.Target, Task: al.Task, Feedback: al.Words, Since: al.Since, Judged: al.Judged, Bad: al.Bad,
		Usual: al.Usual, Statistic: al.Statistic, Bound: al.Bound, Collapsed: al.Collapsed, Flags: al.Flags}
	n.BadRate = float64(al.Bad) / float64(max(1, al.Judged))
	for _, t := range gen.gw.Targets {
		if t.ID == al.Target {
			n.State = t.Health().State
		}
	}
	args := []any{"target", al.Target, "task", al.Task, "feedback", al.Words, "bad", al.Bad, "judged", al.Judged, "usual", al.Usual, "statistic", al.Statistic}
	switch {
	case al.Adopted:
		n.Event = "quality_alarm_over"
		a.log.Info("quality alarm is over: what was bad is the usual", args...)
	case al.Over:
		n.Event = "quality_alarm_over"
		a.log.Info("quality alarm is over", args...)
	default:
		a.log.Warn("quality alarm: answers have become worse", args...)
	}
	a.herald.post(gen.cfg.Quality.Webhook.Reveal(), n)
}

// feedback notes what a client says of an answer. The last word counts.
func (a *App) feedback(ctx context.Context, g *tenant.Grant, id string, f *gateway.Feedback) *llm.Error {
	a.opinions.Lock() // so that each word takes back the one before
	defer a.opinions.Unlock()
	v, last, e := a.remembered(ctx, g, id)
	if e != nil {
		return e
	}
	err := a.ledger.PutFeedback(ctx, store.Feedback{Request: id, Score: f.Score, Labels: f.Labels, Comment: f.Comment, Time: f.Time})
	if err != nil && !errors.Is(err, store.ErrNoStore) {
		return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: "the feedback could not be kept; try again", Err: err}
	}
	a.recent.Say(id, f)
	if v.Target == "" { // nobody answered
		return nil
	}
	was := v
	v.Opinion, v.By = f.Score, g.Name
	if f.Score < 0 && (last == nil || last.Score >= 0) {
		a.shared.Book.Blame(&v)
	}
	if last == nil {
		a.watched(&v, f.Time)
	} else {
		was.Opinion = last.Score
		a.shared.Evidence.Withdraw(&was, last.Time, f.Time)
		a.shared.Monitor.Amend(&was, &v)
	}
	a.shared.Evidence.Observe(&v, f.Time)
	return nil
}

// remembered finds a request that the holder of a grant made, and what was said of
// it before.
func (a *App) remembered(ctx context.Context, g *tenant.Grant, id string) (v quality.Verdict, last *gateway.Feedback, e *llm.Error) {
	v = quality.Verdict{Request: id, Score: math.NaN(), Opinion: math.NaN()}
	unknown := &llm.Error{Kind: llm.KindNotFound, Param: "request_id", Message: "no such request of this key"}
	if t := a.recent.Get(id); t != nil {
		if !g.Operator && t.Caller.Key != g.Name {
			return v, nil, unknown
		}
		v.Began, v.Model, v.Target, v.Task = t.Start, t.Answered, t.Target, t.Task
		for _, x := range t.Attempts() {
			if arm := x.Drawn(); arm != nil && x.Outcome == "ok" {
				v.Arm = arm
			}
		}
		return v, a.recent.Said(id), nil
	}
	if a.ledger == nil {
		return v, nil, unknown
	}
	entry, err := a.ledger.Request(ctx, id)
	if err == nil && (g.Operator || entry.Key == g.Name) {
		v.Model, v.Target, v.Task = entry.Answered, entry.Target, entry.Task
		if last, err = lastWord(ctx, a.ledger, id); err == nil {
			return v, last, nil
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return v, nil, &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: "the ledger cannot be read; try again", Err: err}
	}
	return v, nil, unknown
}

// lastWord reads the last word on a request, nil for none.
func lastWord(ctx context.Context, s *store.Store, id string) (*gateway.Feedback, error) {
	f, err := s.Feedback(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &gateway.Feedback{Score: f.Score, Labels: f.Labels, Comment: f.Comment, Time: f.Time}, nil
}

// watchQuality judges answers, posts alarms and keeps what was learned until ctx
// is done.
func (a *App) watchQuality(ctx context.Context) {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := a.keepEvidence(ctx); err != nil {
				a.log.Warn("what was learned of answers is not on disk", "error", err.Error())
			}
			a.keepCanaries(ctx)
		}
	}
}

// judge judges answers until ctx is done. What a panic held may be of a prompt and
// is not told.
func (a *App) judge(ctx context.Context) {
	a.shared.Sampler.Run(ctx, func(what any) {
		a.log.Error("judging an answer has panicked; please report this", "type", fmt.Sprintf("%T", what))
	})
}

// keepEvidence writes what has changed.
func (a *App) keepEvidence(ctx context.Context) error {
	var rows []store.Evidence
	for _, r := range a.shared.Evidence.Changed() {
		rows = append(rows, store.Evidence{Target: r.Target, Task: r.Task, Alpha: r.Alpha, Beta: r.Beta, Sound: r.Sound, Flawed: r.Flawed, Time: r.At})
	}
	return a.ledger.PutEvidence(ctx, rows)
}

// recallEvidence reads what was kept.
func (a *App) recallEvidence(ctx context.Context) error {
	rows, err := a.ledger.Evidence(ctx, maxEvidence)
	if err != nil {
		return err
	}
	var all []quality.Row
	for _, r := range rows {
		all = append(all, quality.Row{Target: r.Target, Task: r.Task, Alpha: r.Alpha, Beta: r.Beta, Sound: r.Sound, Flawed: r.Flawed, At: r.Time})
	}
	a.shared.Evidence.Restore(all)
	return nil
}
