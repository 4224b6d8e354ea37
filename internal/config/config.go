// Package config is the configuration file as Go values: strict decoding with
// positions, defaults, secrets and short forms. It builds nothing.
package config

import (
	"fmt"
	"time"
)

// Config is one configuration, with every default filled in.
type Config struct {
	Listen       string
	Auth         string // "keys" or "none"; "": the file does not say, and Build decides by the rule of CONTRACT §2
	Admin        Admin
	TLS          *TLS // nil: plain text
	Limits       Limits
	Store        string // "sqlite", "sqlite:PATH" or "none"
	State        string // "memory"
	Timeouts     Timeouts
	Retry        Retry
	Breaker      Breaker
	Cooldown     Cooldown
	Hedge        Hedge
	Health       Health
	Quality      Quality
	Regions      []string // the nearest first; nil: none
	Drain        time.Duration
	Strategy     string
	Fallback     []string // default order; nil: off
	DefaultModel string
	Log          Log
	Telemetry    Telemetry
	Providers    []Provider // in the order of the file
	Models       []Model    // in the order of the file
	Keys         []Key
	Guards       []Guard             // in the order of the file
	Guard        []string            // those of models that name none
	Risk         map[string]Response // by class, for models that say nothing; nil: none
	Catalog      string              // file with rows that go before the built-in catalog's, "": none
	Router       string              // file of a learned router, "": the embedded one

	// File is the file's name as it stands in messages.
	File string
	// Pos finds the place of a dotted path such as "models.gpt-4.targets[1]"
	// in the file, for errors found while building.
	Pos Positions `json:"-"`
}

// Admin is the operator's access.
type Admin struct {
	Key    Secret // "": none
	Listen string // "": on the main listener
}

// TLS of the main listener.
type TLS struct{ Cert, Key, ClientCA string }

// Limits of the whole gateway.
type Limits struct {
	Body     int64 // bytes
	InFlight int   // requests; 0: from the memory limit
}

// Timeouts are bounds in time, all positive.
type Timeouts struct {
	Connect    time.Duration
	FirstToken time.Duration // streamed: until the first content
	Idle       time.Duration // streamed: between events
	Total      time.Duration // unary
	Stream     time.Duration // streamed
	Queue      time.Duration // waiting until a target has room
}

// Retry of one model.
type Retry struct {
	Attempts int     // calls within one model, 1 to 10
	Budget   float64 // share of the requests of the last 10 s, 0 to 1
}

// Breaker of one target.
type Breaker struct {
	Failures    int     // in a row; 0: rule off
	SuccessRate float64 // below it, over Window; 0: rule off
	Window      time.Duration
	MinRequests int
	Cooldown    time.Duration // cap of the time it stays open
}

// Quota of one credential; 0: none.
type Quota struct {
	RPM, TPM   int64 // calls and tokens a minute
	Concurrent int64 // calls at the same time
}

// Cooldown of credentials.
type Cooldown struct {
	Max        time.Duration // cap on a vendor's Retry-After; 0: off
	Quarantine time.Duration // after 401, 402, 403; 0: off
}

// Hedge is a second call beside one that is slow.
type Hedge struct {
	On     bool
	After  time.Duration // 0: the p95 of the target's first content
	Budget float64       // share of recent requests, 0 to 1
}

// Degrade is one level of what a model does when nobody can answer. One of the
// fields is set.
type Degrade struct {
	Model     string
	MaxTokens int
	Answer    string
}

// Health says how targets are looked after, beside what requests show of them.
type Health struct {
	Probe     time.Duration // a target without a good answer for so long is asked for one; 0: off
	Eject     float64       // share of a pool that may be ejected as outliers, 0 to 1; 0: off
	SlowStart time.Duration // how long the share of a target grows that came back; 0: off
	Hold      time.Duration // how long a nearer region must be well before it takes traffic back
	Standby   int           // connections kept ready to those next in line; below 0: 1 where there are regions
}

// Quality says how answers are watched.
type Quality struct {
	Sample   float64       // share of chat answers that are judged, 0 to 1; 0: off
	Eject    bool          // a target whose answers become bad leaves rotation
	HalfLife time.Duration // after which what was learned of a target counts half
	Webhook  Secret        // URL that is told of alarms, "": none
}

// Log settings.
type Log struct {
	Level  string // debug | info | warn | error
	Format string // json | text
}

// Telemetry settings.
type Telemetry struct{ Metrics bool }

// Provider is a configured account at a vendor.
type Provider struct {
	Name     string
	Kind     string // a row of the vendor table
	Protocol string // the only one to speak, one of Protocols; "": those of the row
	BaseURL  string
	APIKeys  []Secret // none: the row's environment variable, or a vendor without keys
	Headers  map[string]Secret
	Region   string
	Project  string // of Google Cloud
	// Credentials is a file of a cloud's credentials, "" for its own search.
	Credentials string
	Limits      Quota    // of each credential
	Proxy       Secret   // URL of a proxy, "": none
	CA          string   // file of further certificate authorities, "": none
	Timeouts    Timeouts // the file's, overridden here
	Retry       Retry
	Breaker     Breaker
	Health      Health // Probe and SlowStart; the others are the file's
}

// Model is a name that clients ask for.
type Model struct {
	Name         string   // may be a pattern: "claude-*"
	Targets      []Target // what it is made of; of a split, its arms
	Auto         *Auto    // nil: it is none
	Classifier   string   // of an auto model: learned | rules
	Split        *Split   // nil: it is none
	Cascade      *Cascade // nil: it is none
	Accept       []Gate   // what its answers must pass; nil: nothing
	Strategy     string   // the file's where it names none; cascade for a cascade
	Affinity     string   // auto | off | session | user
	Capabilities map[string]float64
	Fallback     []string            // nil: off; the file's default, without the model itself, where it names none
	Hedge        Hedge               // the file's where it says nothing
	OnCut        string              // end | resume
	Guard        []string            // the file's where it names none
	Risk         map[string]Response // by class; the file's where it says nothing
	Degrade      []Degrade
	Params       Params
	Aliases      []string
	Timeouts     Timeouts  // what the model says itself; 0: see TimeoutsOver
	Retry        RetryOver // what the model says itself; see RetryOver
}

// TargetPath is the dotted path of the name of the j-th of Targets.
func (m *Model) TargetPath(j int) string {
	if m.Split != nil {
		return fmt.Sprintf("models.%s.split.arms[%d].model", m.Name, j)
	}
	return fmt.Sprintf("models.%s.targets[%d]", m.Name, j)
}

// TimeoutsOver returns base, which holds the values of the target's provider,
// with those that the model sets itself.
func (m *Model) TimeoutsOver(base Timeouts) Timeouts {
	over := func(own, base time.Duration) time.Duration {
		if own > 0 {
			return own
		}
		return base
	}
	return Timeouts{
		Connect:    over(m.Timeouts.Connect, base.Connect),
		FirstToken: over(m.Timeouts.FirstToken, base.FirstToken),
		Idle:       over(m.Timeouts.Idle, base.Idle),
		Total:      over(m.Timeouts.Total, base.Total),
		Stream:     over(m.Timeouts.Stream, base.Stream),
		Queue:      over(m.Timeouts.Queue, base.Queue),
	}
}

// RetryOver returns base with the values that the model sets itself.
func (m *Model) RetryOver(base Retry) Retry {
	if m.Retry.Attempts > 0 {
		base.Attempts = m.Retry.Attempts
	}
	if m.Retry.Budget != nil {
		base.Budget = *m.Retry.Budget
	}
	return base
}

// RetryOver is a Retry of which each value may be left open.
type RetryOver struct {
	Attempts int      // 0: open
	Budget   *float64 // nil: open
}

// Target is a model at a provider ("openai/gpt-4o"), or another model
// (a name without a slash: never a pattern). In a pattern's targets a "*" stands
// for what the pattern's own "*" matched.
type Target struct {
	Target    string
	Weight    float64
	Priority  int
	Price     *Price // nil: the catalog's
	Context   int    // tokens; 0: the catalog's
	MaxOutput int    // tokens; 0: the catalog's
	Latency   time.Duration
	Region    string // "": its provider's
}

// Price in USD per million tokens, or per thousand pieces.
type Price struct {
	Input, Output float64
	More          map[string]float64 // of other units by name; without one, see llm.Unit
}

// Params are changes to request bodies. Values are raw JSON.
type Params struct {
	Default map[string][]byte // set where the client has not
	Set     map[string][]byte // set always
	Drop    []string
}

// Key is a client key of the file.
type Key struct {
	Name   string
	Key    Secret
	Models []string // globs; nil: all
	// Priority is one of llm.Priorities.
	Priority string
}
