package telemetry

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicegate/sluice/internal/llm"
)

// Metrics counts settled trails. Every label is bounded: a model or target
// that Known did not name is "other". Safe for concurrent use.
type Metrics struct {
	// Targets yields the state of every target when metrics are read:
	// see TargetState.
	// LedgerDropped and LogDropped return how many records were lost so far, Shed
	// how much of its load the process refuses now, Alarms yields how many quality
	// alarms each target has, Unjudged returns how many answers were to be judged and
	// were not.
	// All of them are set before the first read and not changed afterwards;
	// what is nil is not exported.
	Targets       func(yield func(id string, s TargetState))
	LedgerDropped func() uint64
	LogDropped    func() uint64
	Shed          func() float64
	Alarms        func(yield func(target string, n int))
	Unjudged      func() uint64
	// Arms yields the arms of all splits of the configuration.
	Arms func(yield func(model, arm string, share float64, requests, errors int64))

	registry *prometheus.Registry
	handler  http.Handler

	duration, firstToken, tokenUsage *prometheus.HistogramVec
	overhead, failover               prometheus.Histogram
	requests, attempts               *prometheus.CounterVec
	tokens, cost                     *prometheus.CounterVec
	hedges, resumed, degraded        *prometheus.CounterVec        // of what is seldom: looked up when met
	guards                           *prometheus.CounterVec        // by what guards did
	judged, flags                    *prometheus.CounterVec        // the same
	limited                          map[string]prometheus.Counter // immutable, by reason

	mu    sync.Mutex // held to make series and to change what is known
	known atomic.Pointer[known]
	names atomic.Pointer[map[string]bool] // of guards; see Guards
}

// Buckets of the histograms, in seconds and tokens.
var (
	// OpenTelemetry GenAI semantic conventions, gen_ai.client.operation.duration.
	latencyBuckets = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	// OpenTelemetry GenAI semantic conventions, gen_ai.client.token.usage.
	tokenBuckets    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	overheadBuckets = []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1}
	failoverBuckets = []float64{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5}
)

// reasons are the labels of sluice_limited_total: a key that is not known, the
// limits of the configuration by their names there, a key's share of in_flight,
// and what was shed for something more important.
var reasons = [...]string{"auth", "body", "in_flight", "share", "shed", other}

// scrapes bounds how many may read the metrics at a time.
const scrapes = 4

// NewMetrics makes the metrics of one process, in a registry of their own.
// Until Known is called every model and target is "other".
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		duration:   histograms("gen_ai_client_operation_duration_seconds", "Time from a request's first byte to its last answered byte, for requests that reached a target.", latencyBuckets, "gen_ai_operation_name", "gen_ai_request_model"),
		firstToken: histograms("gen_ai_server_time_to_first_token_seconds", "Time until the first byte of a streamed answer left for the client.", latencyBuckets, "gen_ai_operation_name", "gen_ai_request_model"),
		tokenUsage: histograms("gen_ai_client_token_usage", "Tokens of a request, all attempts together.", tokenBuckets, "gen_ai_operation_name", "gen_ai_request_model", "gen_ai_token_type"),
		overhead:   histogram("sluice_overhead_seconds", "Time of a request in which no attempt was under way and it did not wait for a target to have room, for requests that reached one.", overheadBuckets),
		failover:   histogram("sluice_failover_seconds", "Time from the failure of an attempt, or the suspicion of its target, to the first byte sent to the next target or with the next credential.", failoverBuckets),
		requests:   counters("sluice_requests_total", "Requests by the model asked for and the HTTP status sent.", "model", "code"),
		attempts:   counters("sluice_attempts_total", "Calls to vendors by how they ended.", "target", "outcome"),
		tokens:     counters("sluice_tokens_total", "Tokens of all attempts. input includes cached_read and cache_write, output includes reasoning.", "model", "target", "kind"),
		hedges:     counters("sluice_hedges_total", "Second calls beside slow ones by how they ended: ok (it answered), lost, failed.", "result"),
		resumed:    counters("sluice_resumed_total", "Calls that went on with an answer that broke, by how they ended: ok, failed.", "result"),
		degraded:   counters("sluice_degraded_total", "Requests answered by a level of their model's degradation.", "model", "level"),
		guards:     counters("sluice_guard_total", "What guards did with requests and answers that they looked at: pass, flag, mask, block, error.", "guard", "stage", "action"),
		judged:     counters("sluice_quality_judged_total", "Answers that were judged.", "target"),
		flags:      counters("sluice_quality_flags_total", "What was found wrong with answers that were judged.", "target", "flag"),
		cost:       counters("sluice_cost_usd_total", "Cost of all attempts in US dollars. The ledger is exact, this is a float.", "model", "target"),
		limited:    make(map[string]prometheus.Counter, len(reasons)),
	}
	limited := counters("sluice_limited_total", "Requests refused by a limit of the gateway.", "reason")
	for _, r := range reasons {
		m.limited[r] = limited.WithLabelValues(r)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.duration, m.firstToken, m.tokenUsage, m.overhead, m.failover,
		m.requests, m.attempts, m.tokens, m.cost, m.hedges, m.resumed, m.degraded, m.guards, m.judged, m.flags, limited, build, gauges{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes,
	})
	m.known.Store(&known{})
	return m
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Handler serves the metrics in Prometheus's exposition format.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Limited counts a request that a limit refused. reason is the limit's name
// in the configuration; a name that is not a limit's counts as "other".
func (m *Metrics) Limited(reason string) {
	c := m.limited[reason]
	if c == nil {
		c = m.limited[other]
	}
	c.Inc()
}

// Record counts a settled trail. Of a probe only the attempt counts: nobody
// asked for it.
func (m *Metrics) Record(t *llm.Trail) {
	k := m.known.Load()
	if t.Op == llm.OpProbe {
		for _, a := range t.Attempts() {
			m.attempt(k, a)
		}
		return
	}
	model := k.model(t.Model)
	m.requestsOf(k, requestKey{model, t.Status}).Inc()
	if t.Degraded > 0 {
		m.degraded.WithLabelValues(model, strconv.Itoa(t.Degraded)).Inc()
	}

	for i := range t.Guards {
		m.guard(&t.Guards[i])
	}

	attempts := t.Attempts()
	if len(attempts) == 0 {
		return
	}
	whole := t.End.Sub(t.Start)
	op := m.opOf(k, opKey{t.Op, model})
	op.duration.Observe(max(0, whole.Seconds()))
	if t.Stream && !t.First.IsZero() {
		op.firstToken.Observe(max(0, t.First.Sub(t.Start).Seconds()))
	}
	m.overhead.Observe(max(0, (whole - busy(t, attempts) - t.Queued).Seconds()))

	u, _ := total(attempts)
	if u.Input > 0 {
		op.input.Observe(float64(u.Input))
	}
	if u.Output > 0 {
		op.output.Observe(float64(u.Output))
	}
	var signal *llm.Attempt // failed, and nothing was sent to another since
	for _, a := range attempts {
		m.attempt(k, a)
		if a.Note == llm.NoteShadow || a.Note == llm.NoteGuard { // nobody waits for it, or nothing follows it
			continue
		}
		if sent := a.Sent(); signal != nil && !sent.IsZero() {
			if gap := sent.Sub(signal.End); gap >= 0 && (a.Target != signal.Target || a.Credential != signal.Credential) {
				m.failover.Observe(gap.Seconds())
			}
			signal = nil
		}
		if signal == nil && a.Outcome != ok && a.Outcome != lost && a.Outcome != rejected {
			signal = a
		}
		m.noted(a)
	}
}

// noted counts attempts that were made for a reason of their own.
func (m *Metrics) noted(a *llm.Attempt) {
	if a.Note == "" {
		return
	}
	result := a.Outcome
	switch result {
	case ok, lost:
	case rejected: // it did what it was made for
		result = ok
	default:
		result = "failed"
	}
	switch a.Note {
	case llm.NoteHedge:
		m.hedges.WithLabelValues(result).Inc()
	case llm.NoteResume:
		m.resumed.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) attempt(k *known, a *llm.Attempt) {
	target := k.target(a.Target)
	m.attemptsOf(k, attemptKey{target, outcome(a.Outcome)}).Inc()
	if a.Cost <= 0 && a.Usage == (llm.Usage{}) {
		return
	}
	s := m.spendOf(k, spendKey{k.model(a.Model), target})
	if a.Cost > 0 {
		s.cost.Add(a.Cost.USD())
	}
	u := &a.Usage
	for i, n := range [len(kinds)]int64{u.Input, u.Output, u.CachedRead, u.CacheWrite, u.Reasoning} {
		if n > 0 {
			s.tokens[i].Add(float64(n))
		}
	}
	if !u.Plain() {
		m.rare(k.model(a.Model), target, u)
	}
}

// guard counts what a guard did.
func (m *Metrics) guard(v *llm.Verdict) {
	name := other
	if known := m.names.Load(); known != nil && (*known)[v.Guard] {
		name = v.Guard
	}
	m.guards.WithLabelValues(name, v.Stage, v.Action).Inc()
}

// Guards says which guards may be labels from now on, in place of those before.
// Series of names that are gone are removed. The map is kept.
func (m *Metrics) Guards(names map[string]bool) {
	if last := m.names.Swap(&names); last != nil {
		for name := range *last {
			if !names[name] {
				m.guards.DeletePartialMatch(prometheus.Labels{"guard": name})
			}
		}
	}
}

// Judged counts an answer that was judged, and what was found.
func (m *Metrics) Judged(target string, flags llm.Flags) {
	k := m.known.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if target = k.target(target); !m.current(k) {
		target = other
	}
	m.judged.WithLabelValues(target).Inc()
	for _, name := range flags.Names() {
		m.flags.WithLabelValues(target, name).Inc()
	}
}

// rare counts what few requests have. Its series are made when they are met.
func (m *Metrics) rare(model, target string, u *llm.Usage) {
	for _, c := range llm.Counts {
		if n := *c.Of(u); n > 0 {
			m.tokens.WithLabelValues(model, target, c.Name).Add(float64(n))
		}
	}
}

// TargetState is a target when metrics are read.
type TargetState struct {
	InFlight int64 // attempts
	Waiting  int64 // requests that wait until it has room
	Breaker  int   // 0 closed, 1 half-open, 2 open
	State    string
}

// gauges reads what others hold, when metrics are read.
type gauges struct{ m *Metrics }

var (
	inFlightDesc = prometheus.NewDesc("sluice_in_flight", "Attempts under way.", []string{"target"}, nil)
	queueDesc    = prometheus.NewDesc("sluice_queue_depth", "Requests that wait until the target has room; one may wait for several.", []string{"target"}, nil)
	stateDesc    = prometheus.NewDesc("sluice_target_state", "Targets in a state.", []string{"target", "state"}, nil)
	breakerDesc  = prometheus.NewDesc("sluice_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open; of several targets, the highest.", []string{"target"}, nil)
	ledgerDesc   = prometheus.NewDesc("sluice_ledger_dropped_total", "Ledger rows that were lost.", nil, nil)
	logDesc      = prometheus.NewDesc("sluice_log_dropped_total", "Access log lines that were lost.", nil, nil)
	alarmDesc    = prometheus.NewDesc("sluice_quality_alarm", "Quality alarms that are on: of all answers of the target, and of each task.", []string{"target"}, nil)
	unjudgedDesc = prometheus.NewDesc("sluice_quality_dropped_total", "Answers that were to be judged and were not, for want of room.", nil, nil)
	armShareDesc = prometheus.NewDesc("sluice_arm_share", "Share of a split's requests that an arm has now.", []string{"model", "arm"}, nil)
	armAskedDesc = prometheus.NewDesc("sluice_arm_requests_total", "Requests of a split by the arm that was drawn, since the operator reset it.", []string{"model", "arm"}, nil)
	armErrorDesc = prometheus.NewDesc("sluice_arm_errors_total", "Those of them that the arm could not answer, whoever did.", []string{"model", "arm"}, nil)
	shedDesc     = prometheus.NewDesc("sluice_shed_level", "What is refused for want of memory or processors: 0 nothing, 1 all of priority batch, 2 normal too, 3 everything; between, a share of the next.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(c chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{inFlightDesc, queueDesc, stateDesc, breakerDesc, ledgerDesc, logDesc, shedDesc, alarmDesc, unjudgedDesc, armShareDesc, armAskedDesc, armErrorDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector. Targets that are not known are
// taken together.
func (g gauges) Collect(c chan<- prometheus.Metric) {
	if f := g.m.LedgerDropped; f != nil {
		c <- prometheus.MustNewConstMetric(ledgerDesc, prometheus.CounterValue, float64(f()))
	}
	if f := g.m.LogDropped; f != nil {
		c <- prometheus.MustNewConstMetric(logDesc, prometheus.CounterValue, float64(f()))
	}
	if f := g.m.Shed; f != nil {
		c <- prometheus.MustNewConstMetric(shedDesc, prometheus.GaugeValue, f())
	}
	if f := g.m.Unjudged; f != nil {
		c <- prometheus.MustNewConstMetric(unjudgedDesc, prometheus.CounterValue, float64(f()))
	}
	g.alarms(c)
	if g.m.Arms != nil {
		g.m.Arms(func(model, arm string, share float64, requests, errors int64) {
			c <- prometheus.MustNewConstMetric(armShareDesc, prometheus.GaugeValue, share, model, arm)
			c <- prometheus.MustNewConstMetric(armAskedDesc, prometheus.CounterValue, float64(requests), model, arm)
			c <- prometheus.MustNewConstMetric(armErrorDesc, prometheus.CounterValue, float64(errors), model, arm)
		})
	}
	if g.m.Targets == nil {
		return
	}
	states := make(map[string]TargetState)
	in := make(map[[2]string]int)
	k := g.m.known.Load()
	g.m.Targets(func(id string, x TargetState) {
		id = k.target(id)
		s := states[id]
		states[id] = TargetState{InFlight: s.InFlight + x.InFlight, Waiting: s.Waiting + x.Waiting, Breaker: max(s.Breaker, x.Breaker)}
		in[[2]string{id, x.State}]++
	})
	for at, n := range in {
		c <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, float64(n), at[0], at[1])
	}
	for id, s := range states {
		c <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(s.InFlight), id)
		c <- prometheus.MustNewConstMetric(queueDesc, prometheus.GaugeValue, float64(s.Waiting), id)
		c <- prometheus.MustNewConstMetric(breakerDesc, prometheus.GaugeValue, float64(s.Breaker), id)
	}
}

func (g gauges) alarms(c chan<- prometheus.Metric) {
	if g.m.Alarms == nil {
		return
	}
	k, on := g.m.known.Load(), map[string]int{}
	g.m.Alarms(func(target string, n int) { on[k.target(target)] += n })
	for id, n := range on {
		c <- prometheus.MustNewConstMetric(alarmDesc, prometheus.GaugeValue, float64(n), id)
	}
}

// code is the label of an HTTP status.
func code(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status)
}
