package sim

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// anyObject is JSON of no particular shape.
func anyObject(r *rand.Rand, model string) string {
	return string(encode(struct {
		Answer string `json:"answer"`
		Value  int    `json:"value"`
	}{"This is " + model + " (simulated).", r.IntN(100)}))
}

// usage is OpenAI's.
type usage struct {
	Prompt     int           `json:"prompt_tokens"`
	Completion int           `json:"completion_tokens"`
	Total      int           `json:"total_tokens"`
	PromptPart promptDetails `json:"prompt_tokens_details"`
	AnswerPart answerDetails `json:"completion_tokens_details"`
}

type promptDetails struct {
	Cached int `json:"cached_tokens"`
	Audio  int `json:"audio_tokens"`
}

type answerDetails struct {
	Reasoning int `json:"reasoning_tokens"`
	Audio     int `json:"audio_tokens"`
	Accepted  int `json:"accepted_prediction_tokens"`
	Rejected  int `json:"rejected_prediction_tokens"`
}

func newUsage(prompt, cached int, answers []output) usage {
	u := usage{Prompt: prompt, PromptPart: promptDetails{Cached: cached}}
	for i := range answers {
		u.Completion += answers[i].tokens()
		u.AnswerPart.Reasoning += answers[i].thought()
	}
	u.Total = u.Prompt + u.Completion
	return u
}

// decode reads the body of a request; false: it was refused.
func (c *call) decode(body []byte, into any) bool {
	err := json.Unmarshal(body, into)
	if err == nil {
		return true
	}
	if t, ok := err.(*json.UnmarshalTypeError); ok {
		field := strings.ToLower(t.Field)
		c.fail(OutcomeInvalid, *badRequest(field, "Invalid type for '"+field+"': got "+t.Value+" instead."))
	} else {
		c.unreadable(&source{})
	}
	return false
}
