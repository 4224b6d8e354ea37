package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluicegate/sluice/internal/llm"
)

// lenient are the options by which answers are read.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Moderation asks a vendor's moderation endpoint. It implements Remote.
type Moderation struct {
	// Post asks for a text, for the sake of a request, and returns the answer's
	// body.
	Post func(ctx context.Context, sake *llm.Request, text string) ([]byte, error)
	// Categories are those that count; nil: all.
	Categories []string
	// Bounds are the scores from which a text is of a class, by llm.Risk; 0: none.
	// Without any a text is of class Risk where the vendor flags it.
	Bounds [4]float64
	Risk   llm.Risk
}

// moderated is the answer of OpenAI's moderation endpoint, and of those that
// copy it.
type moderated struct {
	Results []struct {
		Flagged    bool               `json:"flagged"`
		Categories map[string]bool    `json:"categories"`
		Scores     map[string]float64 `json:"category_scores"`
	} `json:"results"`
}

// maxCategories bounds the categories of one result.
const maxCategories = 1000

// Ask implements Remote.
func (m *Moderation) Ask(ctx context.Context, q *Question) (Opinion, error) {
	body, err := m.Post(ctx, q.Request, q.Text)
	if err != nil {
		return Opinion{}, err
	}
	return m.opinion(body)
}

// opinion reads an answer.
func (m *Moderation) opinion(body []byte) (Opinion, error) {
	var in moderated
	if err := json.Unmarshal(body, &in, lenient); err != nil {
		return Opinion{}, errors.New("the moderation endpoint's answer is not understood")
	}
	if len(in.Results) == 0 {
		return Opinion{}, errors.New("the moderation endpoint's answer has no result")
	}
	var o Opinion
	for _, r := range in.Results {
		if len(r.Categories) > maxCategories || len(r.Scores) > maxCategories {
			return Opinion{}, errors.New("the moderation endpoint's answer has too many categories")
		}
		if m.Bounds == [4]float64{} {
			if m.flags(r.Flagged, r.Categories) {
				o.Risk = m.Risk
				o.Found = append(o.Found, m.which(r.Categories, func(on bool) bool { return on })...)
			}
			continue
		}
		if r.Scores == nil {
			return Opinion{}, errors.New("the moderation endpoint's answer has no scores")
		}
		for name, score := range r.Scores {
			if risk := m.class(score); m.counts(name) && risk > llm.RiskNone {
				o.Risk = max(o.Risk, risk)
				o.Found = append(o.Found, name)
			}
		}
	}
	o.Found = tidy(o.Found)
	return o, nil
}

func (m *Moderation) counts(category string) bool {
	return m.Categories == nil || slices.Contains(m.Categories, category)
}

// flags reports whether the vendor flags a text for a category that counts.
func (m *Moderation) flags(flagged bool, categories map[string]bool) bool {
	if m.Categories == nil {
		return flagged
	}
	return len(m.which(categories, func(on bool) bool { return on })) > 0
}

func (m *Moderation) which(categories map[string]bool, on func(bool) bool) (names []string) {
	for name, v := range categories {
		if m.counts(name) && on(v) {
			names = append(names, name)
		}
	}
	return names
}

// class is that of a score.
func (m *Moderation) class(score float64) llm.Risk {
	for r := llm.RiskHigh; r > llm.RiskNone; r-- {
		if b := m.Bounds[r]; b > 0 && score >= b {
			return r
		}
	}
	return llm.RiskNone
}

// maxKind bounds the name of a kind of finding in bytes.
const maxKind = 48

// tidy are the names that others gave to what they found, as far as they are
// names: sorted, each once, at most llm.MaxFound.
func tidy(names []string) []string {
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" || len(s) > maxKind || !word(s) })
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.Clip(names[:min(len(names), llm.MaxFound)])
}

// word reports whether s is a name and no text.
func word(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-/.", r))
	}) < 0
}

// Turn is a turn of the conversation that a guard model reads.
type Turn struct {
	Role llm.Role
	Text string
}

// Model asks a guard model. It implements Remote.
type Model struct {
	// Chat asks the model, for the sake of a request, and returns its words.
	Chat func(ctx context.Context, sake *llm.Request, turns []Turn) (string, error)
	// Prompt says what to look for and how to answer; "": the model knows, as
	// Llama Guard does, and is given the conversation itself.
	Prompt string
	Risk   llm.Risk // of what it calls unsafe
}

// Ask implements Remote.
func (m *Model) Ask(ctx context.Context, q *Question) (Opinion, error) {
	var turns []Turn
	switch {
	case m.Prompt != "":
		turns = []Turn{{llm.RoleSystem, m.Prompt}, {llm.RoleUser, q.Text}}
	case q.Stage == llm.StageOutput && q.Before != "":
		turns = []Turn{{llm.RoleUser, q.Before}, {llm.RoleAssistant, q.Text}}
	case q.Stage == llm.StageOutput:
		turns = []Turn{{llm.RoleAssistant, q.Text}}
	default:
		turns = []Turn{{llm.RoleUser, q.Text}}
	}
	said, err := m.Chat(ctx, q.Request, turns)
	if err != nil {
		return Opinion{}, err
	}
	return m.opinion(said)
}

// maxVerdict bounds what a guard model says, in bytes.
const maxVerdict = 4 << 10

var errVerdict = errors.New(`the guard model gave no verdict: it must say "safe" or "unsafe", a class of risk, or {"risk": …}`)

// opinion reads a verdict. Nothing but one is taken: what a model says beside it
// may be the text's doing.
func (m *Model) opinion(said string) (Opinion, error) {
	said = strings.TrimSpace(said)
	if len(said) > maxVerdict {
		return Opinion{}, errVerdict
	}
	if strings.HasPrefix(said, "{") {
		return m.object(said)
	}
	first, rest, _ := strings.Cut(said, "\n")
	rest = strings.TrimSpace(rest)
	switch first = strings.ToLower(strings.TrimSpace(first)); first {
	case "unsafe": // Llama Guard's, with the categories in the next line
		found := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' })
		if strings.Contains(rest, "\n") || slices.ContainsFunc(found, func(s string) bool { return !word(s) || len(s) > maxKind }) {
			return Opinion{}, errVerdict
		}
		return Opinion{Risk: m.Risk, Found: tidy(found)}, nil
	case "safe", "none":
		if rest == "" {
			return Opinion{}, nil
		}
	case "low", "medium", "high":
		if rest == "" {
			return Opinion{Risk: llm.RiskByName(first)}, nil
		}
	}
	return Opinion{}, errVerdict
}

// object reads a verdict that is a JSON object.
func (m *Model) object(said string) (Opinion, error) {
	var in struct {
		Risk  string   `json:"risk"`
		Found []string `json:"found"`
	}
	if err := json.Unmarshal([]byte(said), &in); err != nil { // strict: a name that comes twice may be the text's
		return Opinion{}, errVerdict
	}
	risk := llm.RiskByName(in.Risk)
	if risk == llm.RiskNone && in.Risk != "none" {
		return Opinion{}, errVerdict
	}
	return Opinion{Risk: risk, Found: tidy(in.Found)}, nil
}

// actionByName returns the action of a name that a webhook says.
func actionByName(name string) (Action, error) {
	switch name {
	case "", "allow", llm.GuardPass:
		return Pass, nil
	case llm.GuardFlag:
		return Flag, nil
	case llm.GuardMask:
		return Mask, nil
	case llm.GuardBlock:
		return Block, nil
	}
	return Pass, fmt.Errorf("the webhook's action is none of allow, flag, mask, block")
}
