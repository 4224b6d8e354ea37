package sim

import (
	"encoding/json"
	"strconv"
	"strings"
)

type moderationRequest struct {
	Model string
	Input json.RawMessage
}

// moderation is the verdict on one input.
type moderation struct {
	Flagged    bool               `json:"flagged"`
	Categories map[string]bool    `json:"categories"`
	Scores     map[string]float64 `json:"category_scores"`
}

// harms are the words by which a text is of a category; it is flagged for it
// from a score of a half.
var harms = []struct {
	category string
	score    float64
	words    []string
}{
	{"harassment", 0.6, []string{"idiot", "loser"}},
	{"hate", 0.9, []string{"vermin", "subhuman"}},
	{"self-harm", 0.8, []string{"suicide"}},
	{"violence", 0.95, []string{"kill", "bomb", "murder"}},
	{"illicit", 0.3, []string{"lockpick"}},
}

// moderate answers /v1/moderations, by the words of the texts.
func moderate(c *call, body []byte) {
	var req moderationRequest
	if !c.decode(body, &req) {
		return
	}
	texts, ok := moderated(req.Input)
	switch {
	case req.Model != c.set.Name:
		c.fail(OutcomeInvalid, *badRequest("model", "'model' was given twice, with different values."))
		return
	case !ok:
		c.fail(OutcomeInvalid, *badRequest("input", "Invalid 'input': expected a string, or an array of strings or of texts."))
		return
	}
	if !c.think() {
		return
	}
	out := struct {
		ID      string       `json:"id"`
		Model   string       `json:"model"`
		Results []moderation `json:"results"`
	}{"modr-" + strconv.FormatUint(c.number, 10), c.set.Name, make([]moderation, len(texts))}
	for i, text := range texts {
		out.Results[i] = verdict(text)
	}
	c.unary(encode(out))
}

// moderated reads the texts to moderate.
func moderated(input json.RawMessage) (texts []string, ok bool) {
	var one string
	if json.Unmarshal(input, &one) == nil && given(input) {
		return []string{one}, true
	}
	if json.Unmarshal(input, &texts) == nil && len(texts) > 0 {
		return texts, true
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(input, &parts) != nil || len(parts) == 0 {
		return nil, false
	}
	texts = nil
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return texts, true
}

func verdict(text string) moderation {
	m := moderation{Categories: map[string]bool{}, Scores: map[string]float64{}}
	text = strings.ToLower(text)
	for _, h := range harms {
		score := 0.01
		for _, w := range h.words {
			if strings.Contains(text, w) {
				score = h.score
			}
		}
		m.Scores[h.category], m.Categories[h.category] = score, score >= 0.5
		m.Flagged = m.Flagged || score >= 0.5
	}
	return m
}
