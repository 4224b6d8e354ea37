package telemetry

import (
	"maps"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicegate/sluice/internal/llm"
)

// other is the label of whatever is not known.
const other = "other"

// known is one answer to what may be a label, with the series that were made
// under it. Only the tables change, and only by growing.
type known struct {
	models, targets map[string]bool

	requests table[requestKey, prometheus.Counter]
	attempts table[attemptKey, prometheus.Counter]
	ops      table[opKey, *opSeries]
	spends   table[spendKey, *spendSeries]
}

// Keys hold names that have been through known already.
type (
	requestKey struct {
		model  string
		status int
	}
	attemptKey struct{ target, outcome string }
	opKey      struct {
		op    llm.Op
		model string
	}
	spendKey struct{ model, target string }
)

type opSeries struct{ duration, firstToken, input, output prometheus.Observer }

type spendSeries struct {
	cost   prometheus.Counter
	tokens [len(kinds)]prometheus.Counter
}

// kinds are the kinds of tokens, in the order that Metrics.attempt counts them.
var kinds = [...]string{"input", "output", "cached_read", "cache_write", "reasoning"}

func (k *known) model(name string) string {
	if k.models[name] {
		return name
	}
	return other
}

func (k *known) target(id string) string {
	if k.targets[id] {
		return id
	}
	return other
}

// outcomes are the labels of sluice_attempts_total: "ok" and every kind of
// error.
var outcomes = func() map[string]bool {
	set := map[string]bool{ok: true}
	for k := llm.Kind(0); k.String() != "unknown"; k++ {
		set[k.String()] = true
	}
	return set
}()

func outcome(name string) string {
	if outcomes[name] {
		return name
	}
	return other
}

// table maps keys to series. Reading takes no lock; it is copied to grow,
// which happens once a series.
type table[K comparable, V any] struct{ p atomic.Pointer[map[K]V] }

func (t *table[K, V]) get(key K) (v V, found bool) {
	if m := t.p.Load(); m != nil {
		v, found = (*m)[key]
	}
	return v, found
}

// put needs Metrics.mu.
func (t *table[K, V]) put(key K, v V) {
	next := map[K]V{}
	if m := t.p.Load(); m != nil {
		next = maps.Clone(*m)
	}
	next[key] = v
	t.p.Store(&next)
}

// Known says which models and targets may be labels from now on, in place of
// those before; the names asked for, aliases among them, and the ids of
// targets. Series of names that are gone are removed, so that reloads do not
// pile them up. The maps are not kept. Names that are not UTF-8 are "other".
func (m *Metrics) Known(models, targets map[string]bool) {
	next := &known{models: labels(models), targets: labels(targets)}
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.known.Swap(next)
	for name := range last.models {
		if !next.models[name] {
			drop("model", name, m.requests.MetricVec, m.tokens.MetricVec, m.cost.MetricVec, m.degraded.MetricVec)
			drop("gen_ai_request_model", name, m.duration.MetricVec, m.firstToken.MetricVec, m.tokenUsage.MetricVec)
		}
	}
	for id := range last.targets {
		if !next.targets[id] {
			drop("target", id, m.attempts.MetricVec, m.tokens.MetricVec, m.cost.MetricVec, m.judged.MetricVec, m.flags.MetricVec)
		}
	}
}

// labels copies the names that are set; the registry refuses a label that is
// not UTF-8.
func labels(names map[string]bool) map[string]bool {
	set := make(map[string]bool, len(names))
	for name, in := range names {
		if in && name != other && utf8.ValidString(name) {
			set[strings.Clone(name)] = true
		}
	}
	return set
}

func drop(label, value string, vecs ...*prometheus.MetricVec) {
	for _, v := range vecs {
		v.DeletePartialMatch(prometheus.Labels{label: value})
	}
}

// current reports whether k may still make series. One that was replaced may
// not: a record that began before Known and met no series of its own counts
// as "other", or it would bring back a name that Known has removed. It needs
// m.mu.
func (m *Metrics) current(k *known) bool { return m.known.Load() == k }

func (m *Metrics) requestsOf(k *known, key requestKey) prometheus.Counter {
	if c, found := k.requests.get(key); found {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.current(k) {
		key.model = other
	}
	c := m.requests.WithLabelValues(key.model, code(key.status))
	if key.status >= 100 && key.status <= 599 { // else the table had no bound
		k.requests.put(key, c)
	}
	return c
}

func (m *Metrics) attemptsOf(k *known, key attemptKey) prometheus.Counter {
	if c, found := k.attempts.get(key); found {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.current(k) {
		key.target = other
	}
	c := m.attempts.WithLabelValues(key.target, key.outcome)
	k.attempts.put(key, c)
	return c
}

func (m *Metrics) opOf(k *known, key opKey) *opSeries {
	if s, found := k.ops.get(key); found {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.current(k) {
		key.model = other
	}
	op := key.op.String()
	s := &opSeries{
		duration:   m.duration.WithLabelValues(op, key.model),
		firstToken: m.firstToken.WithLabelValues(op, key.model),
		input:      m.tokenUsage.WithLabelValues(op, key.model, "input"),
		output:     m.tokenUsage.WithLabelValues(op, key.model, "output"),
	}
	k.ops.put(key, s)
	return s
}

func (m *Metrics) spendOf(k *known, key spendKey) *spendSeries {
	if s, found := k.spends.get(key); found {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.current(k) {
		key = spendKey{other, other}
	}
	s := &spendSeries{cost: m.cost.WithLabelValues(key.model, key.target)}
	for i, kind := range kinds {
		s.tokens[i] = m.tokens.WithLabelValues(key.model, key.target, kind)
	}
	k.spends.put(key, s)
	return s
}
