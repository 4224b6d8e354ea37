package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestChoosingSDKs lets every SDK list, ask and stream models that choose: they
// are models like others to it, whoever answers.
func TestChoosingSDKs(t *testing.T) {
	s := simulate(t, `
seed: 9
models:
  open: {tokens: 12, tokens_per_second: 2000}
  claude: {tokens: 12, tokens_per_second: 2000}
  gemini: {tokens: 12, tokens_per_second: 2000}
  sulky: {tokens: 12, moods: [{kind: refusal}, {kind: wrong_arguments}]}
`)
	g := serve(t, fmt.Sprintf(`
providers:
  open: {kind: openai, base_url: "%[1]s", api_key: vendor-key-0123456789}
  anthropic: {kind: anthropic, base_url: "%[1]s", api_key: vendor-key-0123456789}
  google: {kind: gemini, base_url: "%[1]s", api_key: vendor-key-0123456789}
models:
  open: {targets: [{target: open/open, price: {input: 1, output: 2}}]}
  claude: {targets: [{target: anthropic/claude, price: {input: 3, output: 15}}]}
  gemini: {targets: [{target: google/gemini, price: {input: 1, output: 4}}]}
  sulky: {targets: [{target: open/sulky, price: {input: 0.1, output: 0.1}}]}
  auto: {auto: {models: [open, claude, gemini], prefer: balanced}}
  half: {split: {arms: [{model: claude, weight: 50}, {model: gemini, weight: 50}]}}
  careful: {cascade: {models: [sulky, claude], accept: [complete, not_refused, valid_tool_calls]}}
keys: [{name: sdk, key: "${KEY}"}]
`, s.url), withEnv("KEY="+keyOne))
	clients := append(goClients(), nodeClients(t)...)
	for i := range clients {
		c := &clients[i]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			choosingSDK(t, g, c)
		})
	}
}

func choosingSDK(t *testing.T, g *gateway, c *flowClient) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	choosing := []string{"auto", "half", "careful"}
	if c.lists {
		r := c.ask(ctx, &ask{Base: g.url, Key: keyOne, Model: "auto", Models: true})
		if r.Err != nil {
			t.Fatalf("listing: %s", r.Err)
		}
		for _, m := range choosing {
			if !slices.ContainsFunc(r.Models, func(id string) bool { return strings.TrimPrefix(id, "models/") == m }) {
				t.Errorf("%s is not among the models: %v", m, r.Models)
			}
		}
	}
	for _, stream := range []bool{false, true} {
		if stream && !c.streams || !stream && !c.unary {
			continue
		}
		for _, m := range choosing {
			if c.slashes {
				continue // it asks for provider/model, and these are nobody's
			}
			a := ask{Base: g.url, Key: keyOne, Model: m, Stream: stream, Turns: says("Hello, how are you today?")}
			r := c.ask(ctx, &a)
			if r.Err != nil || !strings.HasPrefix(r.Text, "This is ") || r.Finish != "stop" || m == "careful" && !strings.HasPrefix(r.Text, "This is claude") {
				t.Errorf("%s, stream %v: got %q, finish %q, error %v", m, stream, r.Text, r.Finish, r.Err)
			}
			a.Turns, a.Tools = says("Please call the tool."), both
			r = c.ask(ctx, &a)
			if r.Err != nil || len(r.Calls) != 1 || r.Calls[0].Name != "forecast" {
				t.Errorf("%s, stream %v, tools: got calls %v, text %q, error %v", m, stream, r.Calls, r.Text, r.Err)
				continue
			}
			var args struct {
				City *string
				Days *int
			}
			if err := json.Unmarshal([]byte(r.Calls[0].Args), &args); err != nil || args.City == nil || args.Days == nil {
				t.Errorf("%s, stream %v, tools: got arguments %s", m, stream, r.Calls[0].Args)
			}
		}
	}
}
