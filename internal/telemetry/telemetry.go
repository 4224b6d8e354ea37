// Package telemetry tells operators what happened: Prometheus metrics and the
// access log. Both read settled trails and nothing else of a request, so no
// prompt, key or header value can reach them.
package telemetry

import (
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// ok is the outcome of an attempt or request that went well.
const ok = "ok"

// lost is that of an attempt which was slower than another of its request,
// rejected that of one whose answer was not accepted: neither has failed.
var lost, rejected = llm.KindLost.String(), llm.KindRejected.String()

// busy is how long at least one attempt of a settled trail was under way
// while the client was served. attempts are in the order they began; the rest
// of the trail's time is the gateway's own, waiting for a turn and for the
// client included.
func busy(t *llm.Trail, attempts []*llm.Attempt) time.Duration {
	var sum time.Duration
	covered := t.Start
	for _, a := range attempts {
		from, to := a.Start, a.End
		if from.Before(covered) {
			from = covered
		}
		if to.After(t.End) {
			to = t.End
		}
		if d := to.Sub(from); d > 0 {
			sum += d
			covered = to
		}
	}
	return sum
}

// total sums what the attempts used and cost.
func total(attempts []*llm.Attempt) (u llm.Usage, cost llm.Money) {
	for _, a := range attempts {
		u = u.Add(a.Usage)
		cost += a.Cost
	}
	return u, cost
}
