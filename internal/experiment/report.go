package experiment

import (
	"math"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
)

// Report is what is told of a split.
type Report struct {
	Model  string        `json:"model"`
	Sticky string        `json:"sticky"`
	Since  time.Time     `json:"since"` // what is counted since when
	Arms   []ArmReport   `json:"arms"`
	Shadow *ShadowReport `json:"shadow,omitempty"`
	Canary *CanaryReport `json:"canary,omitempty"`
}

// ArmReport is what is told of an arm.
type ArmReport struct {
	Model    string  `json:"model"`
	Weight   float64 `json:"weight"` // as configured; a canary has steps in its place
	Share    float64 `json:"share"`  // of requests, 0 to 1, as it is now
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"` // requests that the arm could not answer, whoever did
	Latency  Times   `json:"latency_ms"`
	First    Times   `json:"ttft_ms"` // of streams
	Output   int64   `json:"tokens_out"`
	// Cost is told to the operator only.
	Cost    *llm.Money `json:"cost_nano_usd,omitempty"`
	CostUSD string     `json:"cost_usd,omitempty"`
	// Flags counts answers by what was found wrong with them.
	Flags map[string]int64 `json:"flags"`
}

// Times are quantiles in milliseconds.
type Times struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

func (t *times) told() Times {
	ms := func(q float64) float64 { return math.Round(float64(t.quantile(q))/1e4) / 100 }
	return Times{ms(0.5), ms(0.95)}
}

// ShadowReport is what is told of shadow traffic.
type ShadowReport struct {
	Model    string  `json:"model"`
	Share    float64 `json:"share"`
	Running  int     `json:"in_flight"`
	Requests int64   `json:"requests"`
	Errors   int64   `json:"errors"`
	Full     int64   `json:"dropped_full"`
	Budget   int64   `json:"dropped_budget"`
	Latency  Times   `json:"latency_ms"`
	Output   int64   `json:"tokens_out"`
	// Flags are those of its answers, Client those of the answers that clients
	// got to the same requests.
	Flags  map[string]int64 `json:"flags"`
	Client map[string]int64 `json:"client_flags"`
	Wins   int64            `json:"wins"` // its answer was the better one
	Losses int64            `json:"losses"`
	Ties   int64            `json:"ties"`
	// Costs are told to the operator only.
	Cost    *llm.Money `json:"cost_nano_usd,omitempty"`
	CostUSD string     `json:"cost_usd,omitempty"`
	Today   *llm.Money `json:"today_nano_usd,omitempty"` // with what is reserved
}

// CanaryReport is what is told of a canary.
type CanaryReport struct {
	Arm    string    `json:"arm"`
	State  string    `json:"state"`
	Step   int       `json:"step"` // from 1 on
	Steps  []float64 `json:"steps"`
	Share  float64   `json:"share"`
	Since  time.Time `json:"since"`
	Min    int64     `json:"min"` // answers at a step
	AtStep int64     `json:"answers"`
	Margin float64   `json:"margin"`
	Test   Numbers   `json:"test"`
	// History are the last changes of the share, oldest first.
	History []Change `json:"history"`
}

// Numbers are those of a comparison.
type Numbers struct {
	Canary     Share    `json:"canary"`
	Control    Share    `json:"control"`
	Difference float64  `json:"difference"`
	Upper      *float64 `json:"upper"` // of the confidence sequence; null: nothing is known
	Evidence   float64  `json:"log_ratio"`
	Proof      float64  `json:"log_ratio_needed"`
}

// Share is how many answers there were and what part of them was bad.
type Share struct {
	Answers int64   `json:"answers"`
	Bad     int64   `json:"bad"`
	Share   float64 `json:"share"`
}

// Change is an event as it is told.
type Change struct {
	Time   time.Time `json:"time"`
	Model  string    `json:"model"`
	Arm    string    `json:"arm"`
	State  string    `json:"state"`
	Step   int       `json:"step"`
	From   float64   `json:"from"`
	To     float64   `json:"to"`
	Reason string    `json:"reason"`
	Test   Numbers   `json:"test"`
}

// Change tells an event.
func (e Event) Change() Change {
	return Change{e.Time.UTC(), e.Model, e.Arm, e.State.String(), e.Step, e.From, e.To, e.Reason, numbers(e.Comparison)}
}

func numbers(c quality.Comparison) Numbers {
	n := Numbers{
		Canary: Share{c.Canary.N, c.Canary.Bad, round(c.Canary.Share())}, Control: Share{c.Control.N, c.Control.Bad, round(c.Control.Share())},
		Difference: round(c.Difference), Evidence: round(c.Evidence), Proof: round(quality.Proof),
	}
	if !math.IsInf(c.Reach, 1) {
		upper := round(c.Difference + c.Reach)
		n.Upper = &upper
	}
	return n
}

func round(x float64) float64 { return math.Round(x*1e5) / 1e5 }

// Setting is a split as it is configured, for its report.
type Setting struct {
	Model, Sticky string
	Arms          []string
	Weights       []float64
	Shadow        string // "": none
	Share         float64
}

// HideCosts takes out what only the operator may see.
func (r *Report) HideCosts() {
	for i := range r.Arms {
		r.Arms[i].Cost, r.Arms[i].CostUSD = nil, ""
	}
	if x := r.Shadow; x != nil {
		x.Cost, x.CostUSD, x.Today = nil, "", nil
	}
}

// Report tells what is known of a split.
func (s *Split) Report(set Setting) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Model: set.Model, Sticky: set.Sticky, Since: s.since.UTC(), Arms: []ArmReport{}}
	canary, share := "", 0.0
	if c := s.Canary(); c != nil {
		x := c.report()
		r.Canary, canary, share = &x, x.Arm, x.Share
	}
	rest := 0.0
	for i, name := range set.Arms {
		if name != canary {
			rest += set.Weights[i]
		}
	}
	for i, name := range set.Arms {
		x := ArmReport{Model: name, Weight: set.Weights[i], Share: share, Flags: map[string]int64{}}
		if name != canary {
			x.Share = (1 - share) * set.Weights[i] / rest
		}
		x.Share = round(x.Share)
		if a := s.arms[name]; a != nil {
			x.Requests, x.Errors, x.Latency, x.First, x.Output = a.requests, a.errors, a.took.told(), a.first.told(), a.output
			x.Cost, x.CostUSD = money(a.cost)
			x.Flags = a.flags.named()
		}
		r.Arms = append(r.Arms, x)
	}
	if set.Shadow != "" {
		x := s.shadow.report()
		x.Model, x.Share = set.Shadow, set.Share
		r.Shadow = &x
	}
	return r
}

func money(m llm.Money) (*llm.Money, string) { return &m, m.String() }

func (s *Shadow) report() ShadowReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := ShadowReport{
		Running: s.running, Requests: s.requests, Errors: s.errors, Full: s.dropped[Full], Budget: s.dropped[Budget], Latency: s.took.told(), Output: s.output,
		Flags: s.flags.named(), Client: s.client.named(), Wins: s.won, Losses: s.lost, Ties: s.tied,
	}
	r.Cost, r.CostUSD = money(s.cost)
	r.Today, _ = money(s.spent)
	return r
}

func (c *Canary) report() CanaryReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := CanaryReport{
		Arm: c.ladder.Arm, State: c.state.String(), Step: c.step + 1, Steps: c.ladder.Steps, Share: c.Share(), Since: c.since.UTC(), Min: c.ladder.Min,
		AtStep: c.strata[c.step].Canary.N, Margin: c.ladder.Margin, Test: numbers(c.compare()), History: []Change{},
	}
	for _, e := range c.events {
		r.History = append(r.History, e.Change())
	}
	return r
}
