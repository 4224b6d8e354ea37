package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/guard"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// planOf is the plan for a chat with a model that has no guards.
func planOf(t *testing.T, gen *generation, body string) llm.Plan {
	t.Helper()
	req := &llm.Request{}
	b := wire.NewBuffer()
	b.B = append(b.B, body...)
	if bad := protocol.Of(llm.ProtoOpenAI).Decode(llm.OpChat, b, req); bad != nil {
		t.Fatal(bad)
	}
	defer req.Body.Release()
	f := req.Body.(*wire.Form)
	var bad *llm.Error
	if req.Context, bad = f.Context(); bad != nil {
		t.Fatal(bad)
	}
	m, ok := gen.gw.Lookup(req.Model)
	if !ok {
		t.Fatalf("no model %q", req.Model)
	}
	return m.Handler.(*upstream.Pool).Plan(req)
}

// TestBetterModelsFirst: where nothing is configured but the dial, the better model
// comes first, whoever knows of it, whatever the task.
func TestBetterModelsFirst(t *testing.T) {
	rows := []string{
		"openai/gpt-4o openai/gpt-4o-mini openai/gpt-3.5-turbo",
		"anthropic/claude-sonnet-4-5 anthropic/claude-3-haiku-20240307",
		"groq/llama-3.3-70b-versatile groq/llama-3.1-8b-instant",
		"openai/gpt-4o groq/llama-3.1-8b-instant",
		"openai/gpt-5 openai/gpt-5-mini openai/gpt-5-nano",
		"gemini/gemini-2.5-pro gemini/gemini-2.5-flash gemini/gemini-2.5-flash-lite",
		"mistral/mistral-large-latest mistral/mistral-small-latest",
		"openai/o3 openai/gpt-4o openai/a-model-of-ours",
		"deepseek/deepseek-r1 groq/llama-3.3-70b-versatile",
	}
	var models strings.Builder
	for i, row := range rows {
		names := strings.Fields(row)
		for a, b := 0, len(names)-1; a < b; a, b = a+1, b-1 { // the file's order decides nothing
			names[a], names[b] = names[b], names[a]
		}
		fmt.Fprintf(&models, "  row%d: {auto: {models: [%s], prefer: quality}, fallback: off}\n", i, strings.Join(names, ", "))
	}
	gen, _ := built(t, `
listen: 127.0.0.1:0
providers: {openai: {api_key: k}, anthropic: {api_key: k}, groq: {api_key: k}, gemini: {api_key: k}, mistral: {api_key: k}, deepseek: {api_key: k}}
models:
`+models.String())
	tasks := append([]string{""}, gen.router.Model().Tasks...)
	for i, row := range rows {
		for _, task := range tasks {
			context := ""
			if task != "" {
				context = `,"context":{"task":"` + task + `"}`
			}
			for _, text := range []string{"Hello", "Write a function in Go that sorts a list, with tests", "What is 17 * 23?"} {
				plan := planOf(t, gen, ask(fmt.Sprintf("row%d", i), text, context))
				var got []string
				for _, c := range plan.Candidates {
					got = append(got, c.Target)
				}
				if strings.Join(got, " ") != row {
					t.Errorf("%q, task %q: %v, want %s; %+v", text, task, got, row, plan.Decision)
				}
			}
		}
	}
}

// TestCapabilitiesOfWhatIsInside: a cascade and a split are as good as their first
// model.
func TestCapabilitiesOfWhatIsInside(t *testing.T) {
	gen, _ := built(t, `
listen: 127.0.0.1:0
providers: {openai: {api_key: k}}
models:
  a: {targets: [openai/x], capabilities: {coding: 0.9}}
  b: {targets: [openai/y], capabilities: {coding: 0.4}}
  first: {cascade: {models: [a, b], accept: [complete]}}
  parted: {split: {arms: [{model: b, weight: 1}, {model: a, weight: 1}]}}
  pick: {auto: {models: [parted, first], prefer: quality}, fallback: off}
`)
	plan := planOf(t, gen, ask("pick", "Hello", `,"context":{"task":"coding"}`))
	if c := plan.Decision.Considered; len(c) != 2 || c[0].Model != "first" || c[0].Quality != 0.9 || c[1].Quality != 0.4 {
		t.Errorf("considered is %+v", c)
	}
}

// TestClassKeepsScreen: the models that answer a class of risk are barred by what
// bars those of the model that was asked.
func TestClassKeepsScreen(t *testing.T) {
	gen, _ := built(t, `
listen: 127.0.0.1:0
providers: {openai: {api_key: k}}
guards: {a: {pii: flag}}
models:
  here: {targets: [{target: openai/x, region: eu}]}
  there: {targets: [{target: openai/y, region: us}]}
  pick: {auto: {models: [here], regions: [eu]}, fallback: off, guard: [a], risk: {high: {models: [here, there]}}}
`)
	m, _ := gen.gw.Lookup("pick")
	q := m.Handler.(*guard.Handler).Classes[llm.RiskHigh].Handler.(*upstream.Pool)
	req := &llm.Request{Model: "pick", Op: llm.OpChat, N: 1, Body: testBody{}}
	plan := q.Plan(req)
	if len(plan.Candidates) != 1 || plan.Candidates[0].Target != "openai/x" || len(plan.Excluded) != 1 || plan.Excluded[0].State != "unfit" {
		t.Errorf("candidates %+v, excluded %+v", plan.Candidates, plan.Excluded)
	}
}
