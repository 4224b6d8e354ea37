package openai

import (
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// The tier stands beside the usage, wherever in the answer; what looks like it
// inside a text is none.
func TestTierOfAnswer(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":1,"completion_tokens":2}`
	for body, want := range map[string]llm.Tier{
		`{"choices":[{"message":{"content":"hi"}}],` + usage + `,"service_tier":"flex"}`:                                   llm.TierFlex,
		`{"service_tier" : "priority","choices":[{"message":{"content":"snake_case_tier"}}],` + usage + `}`:                llm.TierPriority,
		`{"choices":[{"message":{"content":"\"service_tier\":\"flex\""}}],` + usage + `}`:                                  llm.TierStandard,
		`{"choices":[{"message":{"content":"service_tier"},"finish_reason":"stop"}],` + usage + `,"my_tier":"flex"}`:       llm.TierStandard,
		`{"choices":[{"tool":"service_tier"}],` + usage + `,"service_tier":"flex","system_fingerprint":"fp_1"}`:            llm.TierFlex,
		`{"choices":[],` + usage + `,"service_tier":null}`:                                                                 llm.TierStandard,
		`{"choices":[],` + usage + `,"service_tier":"auto"}`:                                                               llm.TierStandard,
		`{"choices":[],"service_tier":"flex","usage":{"prompt_tokens":1,"completion_tokens":2,"service_tier":"priority"}}`: llm.TierPriority,
	} {
		u, e := Inspect(llm.OpChat, []byte(body))
		if e != nil || u == nil {
			t.Errorf("%s: no usage: %v", body, e)
			continue
		}
		if u.Tier != want {
			t.Errorf("%s: tier %v, want %v", body, u.Tier, want)
		}
	}
}
