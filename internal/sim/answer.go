package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// answer is one choice before it takes its form on the wire.
type answer struct {
	pieces []string // a content event each: of text, or of a tool's arguments
	tool   string   // the tool that is called, "" for text
	callID string
	finish string
}

func (a *answer) text() string { return strings.Join(a.pieces, "") }

// tokens counts the pieces, and one for a tool's name.
func (a *answer) tokens() int {
	if a.tool != "" {
		return len(a.pieces) + 1
	}
	return len(a.pieces)
}

// compose makes the i-th answer to a request.
func (c *call) compose(req *chatRequest, i int) answer {
	r := c.draw.source(i)
	limit := req.limit()
	var a answer
	if t := req.toCall(); t != nil {
		a = answer{tool: t.Function.Name, callID: fmt.Sprintf("call_%016x", r.Uint64()), finish: "tool_calls"}
		a.pieces = []string{"{}"}
		if given(t.Function.Parameters) {
			a.pieces = shred(document(r, t.Function.Parameters))
		}
		limit--
	} else {
		a.finish = "stop"
		switch req.ResponseFormat.Type {
		case "json_schema":
			a.pieces = shred(document(r, req.ResponseFormat.JSONSchema.Schema))
		case "json_object":
			a.pieces = shred(anyObject(r, c.set.Name))
		default:
			a.pieces = prose(r, c.set.Name, c.draw.tokens(&c.set))
		}
	}
	if len(a.pieces) > limit {
		a.pieces, a.finish = a.pieces[:limit], "length"
	}
	return a
}

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

func newUsage(prompt, cached int, answers []answer) usage {
	u := usage{Prompt: prompt, PromptPart: promptDetails{Cached: cached}}
	for i := range answers {
		u.Completion += answers[i].tokens()
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
