package blackbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// turn is one message of a conversation.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// converse holds an agent's conversation of n turns: a long system prompt of
// its own, then a question that grows the history with each answer. It
// returns the cached tokens that the answers tell.
func converse(t *testing.T, url, model, key string, agent, n int) (cached int) {
	messages := []turn{{"system", strings.Repeat(fmt.Sprintf("Agent %d works by the book. ", agent), 250)}}
	for i := range n {
		messages = append(messages, turn{"user", fmt.Sprintf("Agent %d, step %d: read the file and tell what it says. %s", agent, i, strings.Repeat("line of a file ", 40))})
		body, err := json.Marshal(map[string]any{"model": model, "messages": messages})
		if err != nil {
			t.Error(err)
			return cached
		}
		r := do(t, http.MethodPost, url+"/chat/completions", string(body), bearer(key)...)
		var answer struct {
			Choices []struct{ Message turn }
			Usage   struct {
				Details struct {
					Cached int `json:"cached_tokens"`
				} `json:"prompt_tokens_details"`
			}
		}
		if err := json.Unmarshal(r.body, &answer); err != nil || r.status != 200 || len(answer.Choices) != 1 {
			t.Errorf("turn %d: %v, %s", i, err, r)
			return cached
		}
		cached += answer.Usage.Details.Cached
		messages = append(messages, turn{"assistant", answer.Choices[0].Message.Content})
	}
	return cached
}

// The vendor caches prompts per credential and model. Behind a pool of two
// targets with four credentials each, every conversation gets at least 99 % of
// the cached tokens that it gets when it asks the vendor directly, whatever
// the strategy, and the conversations are spread.
func TestAffinityKeepsPromptCaches(t *testing.T) {
	t.Parallel()
	agents, turns := 24, 12
	if raced() {
		agents, turns = 8, 8
	}
	s := simulate(t, `
seed: 3
control: true
models:
  one: {cache: 10m, tokens: 60}
  two: {cache: 10m, tokens: 60}
`)
	for _, strategy := range []string{"weighted", "round_robin", "least_busy", "adaptive", "latency_based", "cost_optimized", "ordered"} {
		g := serve(t, fmt.Sprintf(`
strategy: %s
providers:
  a: {kind: openai-compatible, base_url: "%[2]s", api_keys: [%[1]s-01234567-ka1, %[1]s-01234567-ka2, %[1]s-01234567-ka3, %[1]s-01234567-ka4]}
  b: {kind: openai-compatible, base_url: "%[2]s", api_keys: [%[1]s-01234567-kb1, %[1]s-01234567-kb2, %[1]s-01234567-kb3, %[1]s-01234567-kb4]}
models:
  agent: {targets: [{target: a/one, price: {input: 1, output: 1}}, {target: b/two, price: {input: 1, output: 1}}]}
`, strategy, s.url))
		var wg sync.WaitGroup
		for agent := range agents {
			wg.Go(func() {
				with := converse(t, g.url+"/v1", "agent", "any", agent, turns)
				without := converse(t, s.url+"/v1", "one", strategy+"-direct-dire", agent, turns)
				if without == 0 || with*100 < without*99 {
					t.Errorf("%s, agent %d: %d cached tokens through the gateway, %d without it", strategy, agent, with, without)
				}
			})
		}
		wg.Wait()
		used := map[string]bool{}
		for _, c := range append(s.journal("one"), s.journal("two")...) {
			used[c.Credential] = true
		}
		if len(used) < 4 {
			t.Errorf("%s: %d credentials were used, want the conversations spread", strategy, len(used))
		}
	}
}
