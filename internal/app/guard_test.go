package app

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/guard"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/signal"
	"github.com/sluicegate/sluice/internal/upstream"
)

// The configuration takes the kinds that are found, and no others.
func TestPIIKinds(t *testing.T) {
	if got, want := strings.Join(config.PII, " "), strings.Join(signal.KindNames(), " "); got != want {
		t.Errorf("the configuration takes %q, %q are found", got, want)
	}
}

// A guard holds wherever its model may answer, and so does what the model says of
// classes.
func TestGuardsHold(t *testing.T) {
	gen, _ := built(t, `
listen: 127.0.0.1:0
providers: {openai: {api_key: k}}
guards: {a: {pii: mask}, b: {pii: flag}, c: {pii: block}}
guard: [a]
risk: {high: block}
models:
  usual: openai/x
  own: {targets: [openai/y], guard: [b], risk: {medium: {models: [usual]}}}
  open: {targets: [openai/z], guard: off, risk: {}}
  pool: {targets: [{target: own}, {target: open}], guard: off, risk: {}}
  falls: {targets: [openai/z], guard: [c], fallback: [own]}
  chosen: {auto: {models: [usual, own, open]}, guard: off, risk: {low: {models: [open, usual]}}}
  family-*: {targets: ["openai/*"], guard: [c]}
  strict: {targets: [openai/q], guard: [c], risk: {low: {models: [open]}}}
  turns: {targets: [openai/y], guard: [b], risk: {medium: {models: [strict]}}}
  over: {targets: [{target: turns}, {target: open}], guard: off, risk: {}}
  copied: {split: {arms: [{model: usual}, {model: open}], shadow: {model: own, share: 1, judge: strict}}}
`)
	for name, want := range map[string]struct{ guards, classes string }{
		"usual":    {"a", "high block"},
		"own":      {"b", "medium usual"}, // "usual" has the file's guards by saying nothing
		"open":     {"", ""},
		"pool":     {"b", "medium usual"},
		"falls":    {"c b", "medium usual, high block"},
		"chosen":   {"b", "low auto usual open, medium auto usual"},
		"openai/w": {"a", "high block"},
		"family-q": {"c", "high block"},
		"turns":    {"b c", "low open, medium strict"},
		"over":     {"b c", "low open, medium strict"},
		"copied":   {"a b c", "low open, medium usual, high block"},
	} {
		m, ok := gen.gw.Lookup(name)
		if !ok {
			t.Errorf("%s is not found", name)
			continue
		}
		h, guarded := m.Handler.(*guard.Handler)
		if !guarded {
			h = &guard.Handler{}
		}
		var names, classes []string
		for _, g := range h.Guards {
			names = append(names, g.Name)
		}
		for r, c := range h.Classes {
			if c.Block {
				classes = append(classes, llm.Risk(r).String()+" block")
			} else if q, ok := c.Handler.(*upstream.Pool); ok {
				s := llm.Risk(r).String()
				if q.Decide != nil {
					s += " auto"
				}
				for _, o := range q.Options {
					s += " " + o.ID
				}
				classes = append(classes, s)
			}
		}
		if got := strings.Join(names, " "); got != want.guards {
			t.Errorf("%s: guards %q, want %q", name, got, want.guards)
		}
		if got := strings.Join(classes, ", "); got != want.classes {
			t.Errorf("%s: classes %q, want %q", name, got, want.classes)
		}
	}
}
