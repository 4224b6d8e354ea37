package sim

import (
	"fmt"
	"slices"
	"time"
)

// wrong is a setting out of range. path are the keys that lead to it in the
// file.
type wrong struct {
	path []string
	text string
}

func (w *wrong) Error() string { return w.text }

func badField(field, format string, args ...any) *wrong {
	return &wrong{path: []string{field}, text: field + ": " + fmt.Sprintf(format, args...)}
}

// under returns w as seen from further up.
func (w *wrong) under(keys ...string) *wrong {
	return &wrong{path: append(keys, w.path...), text: w.text}
}

// within reports a number out of range; NaN is in none.
func within(field string, v, low, high float64) *wrong {
	if v >= low && v <= high {
		return nil
	}
	return badField(field, "%v is out of range %v to %v", v, low, high)
}

func span(field string, v, high time.Duration) *wrong {
	if v >= 0 && v <= high {
		return nil
	}
	return badField(field, "%v is out of range 0s to %v", v, high)
}

// first returns the first that is wrong, nil if none is.
func first(all ...*wrong) *wrong {
	for _, w := range all {
		if w != nil {
			return w
		}
	}
	return nil
}

// check returns a *wrong or nil; never a nil *wrong.
func (c *Config) check() error {
	w := first(
		within("speed", c.Speed, 0.001, 1e6),
		within("journal", float64(c.Journal), 1, maxJournal),
	)
	if w == nil && len(c.Models) > maxModels {
		w = badField("models", "%d models are more than %d", len(c.Models), maxModels)
	}
	if w == nil {
		w = c.Default.wrong()
		if w == nil && (c.Default.Outcomes != nil || c.Default.Answers != nil) {
			w = badField("outcomes", "only a model that is listed has recorded outcomes or answers")
		}
		if w != nil {
			w = w.under("default")
		}
	}
	if w != nil {
		return w
	}
	seen := make(map[string]bool)
	for _, m := range c.Models {
		if m.Name == "" || len(m.Name) > maxName {
			return badField("models", "a name of %d bytes is out of range 1 to %d", len(m.Name), maxName)
		}
		if seen[m.Name] {
			return badField("models", "%q is there twice", m.Name)
		}
		seen[m.Name] = true
		if w := m.wrong(); w != nil {
			return w.under("models", m.Name)
		}
	}
	return nil
}

// check returns a *wrong or nil; never a nil *wrong.
func (m *Model) check() error {
	if w := m.wrong(); w != nil {
		return w
	}
	return nil
}

func (m *Model) wrong() *wrong {
	w := first(
		span("latency", m.Latency, time.Hour),
		within("sigma", m.Sigma, 0, 3),
		within("tokens_per_second", m.TokensPerSecond, 0, 1e6),
		within("tokens", float64(m.Tokens), 0, maxTokens),
		within("spread", float64(m.Spread), 0, maxTokens),
		within("thinking", float64(m.Thinking), 0, maxTokens),
		within("context", float64(m.Context), 0, 1e9),
		span("cache", m.Cache, 24*time.Hour),
		within("errors", m.Errors, 0, 1),
		within("rpm", float64(m.RPM), 0, 1e6),
		within("dimensions", float64(m.Dimensions), 0, maxVector),
	)
	if w == nil && m.ErrorStatus != 0 {
		w = within("error_status", float64(m.ErrorStatus), 400, 599)
	}
	if w == nil && m.Fault != nil {
		if w = m.Fault.wrong(); w != nil {
			w = w.under("fault")
		}
	}
	if w == nil {
		w = first(m.wrongMoods(), m.Outcomes.wrong(), m.Answers.wrong())
	}
	return w
}

func (m *Model) wrongMoods() *wrong {
	if len(m.Moods) > maxMoods {
		return badField("moods", "%d moods are more than %d", len(m.Moods), maxMoods)
	}
	for _, mood := range m.Moods {
		if !slices.Contains(moodKinds, mood.Kind) {
			return badField("moods", "%q is no mood, write one of %v", clip(string(mood.Kind), 40), moodKinds)
		}
		if len(mood.When) > maxName {
			return badField("moods", "when: %d bytes are more than %d", len(mood.When), maxName)
		}
		if !(mood.Share >= 0 && mood.Share <= 1) {
			return badField("moods", "share: %v is out of range 0 to 1", mood.Share)
		}
	}
	return nil
}

func (o *Outcomes) wrong() *wrong {
	switch {
	case o == nil:
		return nil
	case o.File == "":
		return badField("outcomes", "file: it names none, write file: outcomes.jsonl")
	}
	w := first(within("input", o.Price.Input, 0, 1e6), within("output", o.Price.Output, 0, 1e6))
	if w == nil {
		return nil
	}
	return w.under("outcomes", "price")
}

func (a *Answers) wrong() *wrong {
	if a != nil && a.File == "" {
		return badField("answers", "file: it names none, write file: answers.jsonl")
	}
	return nil
}

func (f *Fault) wrong() *wrong {
	if !slices.Contains(faultKinds, f.Kind) {
		return badField("kind", "%q is no fault, write one of %v", clip(string(f.Kind), 40), faultKinds)
	}
	if f.Kind == FaultStatus && f.Status == 0 {
		return badField("kind", "status needs a status, such as status: 503")
	}
	if f.Kind != FaultStatus && f.Status != 0 {
		return badField("status", "only kind status has a status")
	}
	if f.Kind != FaultStatus && len(f.Headers) > 0 {
		return badField("headers", "only kind status has headers")
	}
	if len(f.Headers) > 32 {
		return badField("headers", "%d headers are more than 32", len(f.Headers))
	}
	for k, v := range f.Headers {
		if k == "" || len(k) > maxName || len(v) > 1024 {
			return badField("headers", "%q is longer than %d bytes, or its value than 1024", clip(k, 40), maxName)
		}
	}
	w := first(
		within("share", f.Share, 0, 1),
		within("count", float64(f.Count), 0, 1e9),
		within("after", float64(f.After), 0, maxTokens),
		span("every", f.Every, time.Minute),
	)
	if w == nil && f.Status != 0 {
		w = within("status", float64(f.Status), 200, 599)
	}
	return w
}
