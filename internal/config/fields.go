package config

import (
	"sync"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

// Strategies are the names that `strategy` takes.
var Strategies = []string{"weighted", "round_robin", "latency_based", "cost_optimized", "least_busy", "adaptive", "ordered"}

const (
	day      = 24 * time.Hour
	maxCount = 1_000_000
	maxItems = 10_000        // of one list
	maxToken = 1_000_000_000 // tokens of a context
)

// table is the whole file: its keys, what they take, their defaults and their
// meaning. Order counts: providers and models start from what stands above
// them.
var table = sync.OnceValue(func() spec[Config] {
	return object(
		on("listen", "127.0.0.1:8080", "where the gateway listens", address(checkAddress), func(c *Config) *string { return &c.Listen }),
		on("auth", "", "keys: clients need a key; none: they do not. Default: keys; none on loopback with no key and no admin key anywhere",
			oneOf("keys", "none"), func(c *Config) *string { return &c.Auth }),
		on("admin", "", "the operator's access", adminSpec(), func(c *Config) *Admin { return &c.Admin }),
		on("tls", "", "TLS of the main listener; without it, plain text", optional(tlsSpec()), func(c *Config) **TLS { return &c.TLS }),
		on("limits", "", "limits of the whole gateway", limitsSpec(), func(c *Config) *Limits { return &c.Limits }),
		on("store", "sqlite", "durable records: sqlite (in the state directory), sqlite:PATH or none", storeSpec(), func(c *Config) *string { return &c.Store }),
		on("state", "memory", "short-lived shared facts", stateSpec(), func(c *Config) *string { return &c.State }),
		on("timeouts", "", "bounds in time", timeoutsSpec(), func(c *Config) *Timeouts { return &c.Timeouts }),
		on("retry", "", "further calls after a failed one", retrySpec(), func(c *Config) *Retry { return &c.Retry }),
		on("breaker", "", "the circuit breaker of a target", breakerSpec(), func(c *Config) *Breaker { return &c.Breaker }),
		on("cooldown", "", "rest of credentials", cooldownSpec(), func(c *Config) *Cooldown { return &c.Cooldown }),
		on("hedge", "", "a second call beside one that is slow, for models that say nothing", hedgeSpec(), func(c *Config) *Hedge { return &c.Hedge }),
		on("health", "", "how targets are looked after", healthSpec(), func(c *Config) *Health { return &c.Health }),
		on("quality", "", "how answers are watched", qualitySpec(), func(c *Config) *Quality { return &c.Quality }),
		on("regions", "", "where targets run, as their region says, the nearest first", regionsSpec(), func(c *Config) *[]string { return &c.Regions }),
		on("drain", "2m", "time for running requests when the gateway stops", span(0, day), func(c *Config) *time.Duration { return &c.Drain }),
		on("strategy", "weighted", "for models that name none", oneOf(Strategies...), func(c *Config) *string { return &c.Strategy }),
		on("fallback", "", "models or targets to go on with, in this order, for models that name none; off: none", fallbackSpec(),
			func(c *Config) *[]string { return &c.Fallback }),
		on("default_model", "", "for requests that name none", text(schema{MinLength: 1}, checkTarget), func(c *Config) *string { return &c.DefaultModel }),
		on("log", "", "the log", logSpec(), func(c *Config) *Log { return &c.Log }),
		on("telemetry", "", "metrics and traces", telemetrySpec(), func(c *Config) *Telemetry { return &c.Telemetry }),
		on("guards", "", "what looks at requests and answers", guardsSpec(), func(c *Config) *[]Guard { return &c.Guards }),
		on("guard", "", "the guards of models that name none; off: none", guardNames(), func(c *Config) *[]string { return &c.Guard }),
		on("risk", "", "what a class of risk does, for models that say nothing", riskSpec(), func(c *Config) *map[string]Response { return &c.Risk }),
		on("providers", "", "accounts at vendors", providersSpec(), func(c *Config) *[]Provider { return &c.Providers }),
		on("models", "", "names that clients ask for", modelsSpec(), func(c *Config) *[]Model { return &c.Models }),
		on("keys", "", "keys of clients", list(keySpec(), 100_000), func(c *Config) *[]Key { return &c.Keys }),
		on("catalog", "", "a file with what is known of models, rows that go before the built-in ones", text(schema{MinLength: 1}, func(s string) string {
			if s == "" {
				return "write the path of a table"
			}
			return ""
		}), func(c *Config) *string { return &c.Catalog }),
		on("router", "", "file of a learned router, as sluice train makes it; it is read again when it changes. Default: the embedded one", text(schema{MinLength: 1}, func(s string) string {
			if s == "" {
				return "write the path of a file"
			}
			return ""
		}), func(c *Config) *string { return &c.Router }),
		later[Config]("cache", "answers given before", "off"),
	)
})

func adminSpec() spec[Admin] {
	return object(
		on("key", "", "the operator's key, at least 8 characters; empty: none", operatorKey(), func(a *Admin) *Secret { return &a.Key }),
		on("listen", "", "a listener for the operator alone; empty: the main one", address(func(s string) string {
			if s == "" {
				return ""
			}
			return checkAddress(s)
		}), func(a *Admin) *string { return &a.Listen }),
	)
}

func tlsSpec() spec[TLS] {
	path := func() spec[string] {
		return text(schema{MinLength: 1}, func(s string) string {
			if s == "" {
				return "write the path of a PEM file"
			}
			return ""
		})
	}
	return object(
		required(on("cert", "", "PEM file of the certificate chain", path(), func(t *TLS) *string { return &t.Cert })),
		required(on("key", "", "PEM file of its key", path(), func(t *TLS) *string { return &t.Key })),
		on("client_ca", "", "PEM file of the authorities that sign clients' certificates; with it, clients must have one",
			path(), func(t *TLS) *string { return &t.ClientCA }),
	)
}

func limitsSpec() spec[Limits] {
	return object(
		on("body", "32MiB", "bytes of a request body", size(1<<10, 1<<30), func(l *Limits) *int64 { return &l.Body }),
		on("in_flight", "auto", "requests at the same time; auto: from the memory limit", inFlightSpec(), func(l *Limits) *int { return &l.InFlight }),
	)
}

func timeoutsSpec() spec[Timeouts] {
	bound := span(time.Millisecond, day)
	return object(
		on("connect", "3s", "until connected, with TLS", bound, func(t *Timeouts) *time.Duration { return &t.Connect }),
		on("first_token", "60s", "streams: until the first content", bound, func(t *Timeouts) *time.Duration { return &t.FirstToken }),
		on("idle", "60s", "streams: between events", bound, func(t *Timeouts) *time.Duration { return &t.Idle }),
		on("total", "10m", "answers in one piece: the whole", bound, func(t *Timeouts) *time.Duration { return &t.Total }),
		on("stream", "30m", "streams: the whole", bound, func(t *Timeouts) *time.Duration { return &t.Stream }),
		on("queue", "2s", "waiting until a target has room", bound, func(t *Timeouts) *time.Duration { return &t.Queue }),
	)
}

func retrySpec() spec[Retry] {
	return object(
		on("attempts", "3", "calls within one model", whole(1, 10), func(r *Retry) *int { return &r.Attempts }),
		on("budget", "0.2", "share of the requests of the last 10 s, with a floor of 3/s", decimal(0, 1), func(r *Retry) *float64 { return &r.Budget }),
	)
}

// retryOverSpec is retrySpec without defaults.
func retryOverSpec() spec[RetryOver] {
	return object(
		on("attempts", "", "calls within one model", whole(1, 10), func(r *RetryOver) *int { return &r.Attempts }),
		on("budget", "", "share of the requests of the last 10 s, with a floor of 3/s", optional(decimal(0, 1)), func(r *RetryOver) **float64 { return &r.Budget }),
	)
}

func breakerSpec() spec[Breaker] {
	return object(
		on("failures", "5", "failures in a row that open it; 0: rule off", whole(0, 10_000), func(b *Breaker) *int { return &b.Failures }),
		on("success_rate", "0.5", "share of successes over the window below which it opens; 0: rule off", decimal(0, 1), func(b *Breaker) *float64 { return &b.SuccessRate }),
		on("window", "30s", "time that success_rate looks back", span(time.Second, time.Hour), func(b *Breaker) *time.Duration { return &b.Window }),
		on("min_requests", "20", "requests in the window before success_rate counts", whole(1, maxCount), func(b *Breaker) *int { return &b.MinRequests }),
		on("cooldown", "30s", "longest time that it stays open: 1 s doubling to it", span(time.Millisecond, time.Hour), func(b *Breaker) *time.Duration { return &b.Cooldown }),
	)
}

func cooldownSpec() spec[Cooldown] {
	return object(
		on("max", "10m", "longest rest after 429, whatever Retry-After says; 0s: off", span(0, day), func(c *Cooldown) *time.Duration { return &c.Max }),
		on("quarantine", "5m", "rest after 401, 402, 403; 0s: off", span(0, day), func(c *Cooldown) *time.Duration { return &c.Quarantine }),
	)
}

func healthSpec() spec[Health] {
	return object(
		probeField("off"),
		on("eject", "0.3", "share of the targets of a pool, of four or more, that may be kept back as outliers among them; 0: none", decimal(0, 1), func(h *Health) *float64 { return &h.Eject }),
		slowStartField("30s"),
		on("hold", "30s", "how long a nearer region must be well before it takes traffic back", span(0, day), func(h *Health) *time.Duration { return &h.Hold }),
		on("standby", "auto", "connections kept ready to targets that are next in line; auto: 1 where there are regions, else 0", standbySpec(), func(h *Health) *int { return &h.Standby }),
	)
}

// healthOverSpec is what of health a provider may say itself.
func healthOverSpec() spec[Health] { return object(probeField(""), slowStartField("")) }

func probeField(def string) field[Health] {
	return on("probe", def, "how long a target may go without a good answer before a small call asks it for one, which is billed; off: never", orOff(span(time.Second, day)),
		func(h *Health) *time.Duration { return &h.Probe })
}

func slowStartField(def string) field[Health] {
	return on("slow_start", def, "how long the share of a target grows that came back; 0s: off", span(0, time.Hour), func(h *Health) *time.Duration { return &h.SlowStart })
}

func logSpec() spec[Log] {
	return object(
		on("level", "info", "least level that is written", oneOf("debug", "info", "warn", "error"), func(l *Log) *string { return &l.Level }),
		on("format", "json", "how lines are written", oneOf("json", "text"), func(l *Log) *string { return &l.Format }),
		later[Log]("bodies", "requests and answers in the log", "false"),
	)
}

func telemetrySpec() spec[Telemetry] {
	return object(
		later[Telemetry]("otlp", "where traces go", ""),
		on("metrics", "true", "GET /metrics", boolean(), func(t *Telemetry) *bool { return &t.Metrics }),
	)
}

func keySpec() spec[Key] {
	return object(
		required(on("name", "", "name of the key in log and ledger", text(schema{MinLength: 1}, checkKeyName), func(k *Key) *string { return &k.Name })),
		required(on("key", "", "the key itself, at least 8 characters", secret(minKey), func(k *Key) *Secret { return &k.Key })),
		on("models", "", "names that it may ask for, as globs; without it, all", globsSpec(), func(k *Key) *[]string { return &k.Models }),
		on("priority", "normal", "whose requests go first where not all can", oneOf(llm.Priorities...), func(k *Key) *string { return &k.Priority }),
		later[Key]("limits", "limits of the key"),
		later[Key]("budget", "money of the key"),
	)
}
