package route

import (
	"encoding/json"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Classification is what POST /gateway/classify answers. It holds no text of the
// request.
type Classification struct {
	Task        string           `json:"primary_task"`
	Confidence  float64          `json:"task_confidence"`
	Recommended []Recommendation `json:"recommended_models"` // the best first, at most three
	Reason      string           `json:"routing_reason"`
	Classifier  string           `json:"classifier"`      // learned, rules
	Model       string           `json:"model,omitempty"` // that chooses between those recommended; "": none was named
	// Tasks and Domains are what is probable, by the learned router.
	Tasks    map[string]float64 `json:"tasks"`
	Domain   string             `json:"domain,omitempty"`
	Domains  map[string]float64 `json:"domains,omitempty"`
	Coverage float64            `json:"coverage"` // how familiar the prompt is, 0 to 1
	Language string             `json:"language,omitempty"`
	Sure     float64            `json:"language_confidence"`
	Shape    []string           `json:"shape"` // of the text: code, math, …
	Needs    []string           `json:"needs"` // of a model: tools, image, …
	Tokens   ExpectedTokens     `json:"tokens"`
	PII      []string           `json:"pii"` // kinds of what identifies people or lets somebody in
}

// ExpectedTokens are those of a request and its answer.
type ExpectedTokens struct {
	Input  int64 `json:"input"`
	Most   int64 `json:"input_at_most"`
	Output int64 `json:"output"`
}

// Recommendation is a model and its score: a JSON array of the two.
type Recommendation struct {
	Model string
	Score float64
}

// MarshalJSON implements json.Marshaler.
func (r Recommendation) MarshalJSON() ([]byte, error) { return json.Marshal([]any{r.Model, r.Score}) }

// recommended is how many models are.
const recommended = 3

// Classify tells what a request asks for, and which of the models that a pool
// chooses between are good at it, those that may holds for. It calls nobody.
func (r *Router) Classify(p *upstream.Pool, req *llm.Request, may func(string) bool) Classification {
	c := Classification{Model: p.Model, Recommended: []Recommendation{}, Shape: []string{}, Needs: []string{}, PII: []string{}, Tasks: map[string]float64{}, Reason: "nobody can be asked"}
	v := r.view(req)
	v.classify(false)
	defer v.Release()
	c.see(v)
	d := p.Plan(req).Decision
	if d == nil {
		return c
	}
	c.Task, c.Confidence, c.Reason, c.Classifier = d.Task, d.Confidence, d.Reason, d.Router
	for _, x := range d.Considered {
		if x.Reason == "" && may(x.Model) && len(c.Recommended) < recommended {
			c.Recommended = append(c.Recommended, Recommendation{x.Model, x.Utility})
		}
	}
	return c
}

// see fills in what was seen of the request.
func (c *Classification) see(v *View) {
	c.Task, c.Confidence, c.Classifier, c.Coverage = v.task, v.confidence, "learned", round(v.est.Coverage)
	for i, p := range v.est.Task {
		c.Tasks[v.model.Tasks[i]] = round(p)
	}
	best := float32(0)
	for i, p := range v.est.Domain {
		if c.Domains == nil {
			c.Domains = map[string]float64{}
		}
		if c.Domains[v.model.Domains[i]] = round(p); p > best {
			c.Domain, best = v.model.Domains[i], p
		}
	}
	s := v.show()
	c.Language, c.Sure = s.Language, s.Sure
	c.Shape = append(c.Shape, s.Shape.Names()...)
	c.Needs = append(c.Needs, v.needs.Can.Names()...)
	c.PII = append(c.PII, s.PII.Names()...)
	c.Tokens = ExpectedTokens{s.Input.Expected, s.Input.Most, s.Output}
}

func round(p float32) float64 { return float64(int(p*1e4+0.5)) / 1e4 }
