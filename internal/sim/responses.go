package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// openResponses says of Responses what OpenAI says otherwise of all.
var openResponses = func() dialect {
	d := openAI
	d.says = func(status int, model string) problem {
		p := vendorProblem(status, model)
		if status == http.StatusNotFound {
			p.status, p.message = http.StatusBadRequest, "The requested model '"+model+"' does not exist."
		}
		return p
	}
	return d
}()

// response is an answer of OpenAI's Responses.
type response struct {
	ID           string            `json:"id"`
	Object       string            `json:"object"`
	Created      int64             `json:"created_at"`
	Status       string            `json:"status"`
	Background   bool              `json:"background"`
	Completed    *int64            `json:"completed_at"`
	Error        *responseError    `json:"error"`
	Incomplete   *incomplete       `json:"incomplete_details"`
	Instructions *string           `json:"instructions"`
	Limit        *int              `json:"max_output_tokens"`
	ToolCalls    *int              `json:"max_tool_calls"`
	Model        string            `json:"model"`
	Output       []json.RawMessage `json:"output"`
	Parallel     bool              `json:"parallel_tool_calls"`
	Previous     *string           `json:"previous_response_id"`
	CacheKey     *string           `json:"prompt_cache_key"`
	Reasoning    reasoningTold     `json:"reasoning"`
	Safety       *string           `json:"safety_identifier"`
	Tier         string            `json:"service_tier"`
	Store        bool              `json:"store"`
	Temperature  float64           `json:"temperature"`
	Text         json.RawMessage   `json:"text"`
	ToolChoice   json.RawMessage   `json:"tool_choice"`
	Tools        json.RawMessage   `json:"tools"`
	TopLogprobs  int               `json:"top_logprobs"`
	TopP         float64           `json:"top_p"`
	Truncation   string            `json:"truncation"`
	Usage        *responsesUsage   `json:"usage"`
	User         *string           `json:"user"`
	Metadata     json.RawMessage   `json:"metadata"`
}

type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

type reasoningTold struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

// responsesUsage is that of Responses: Input holds Cached, Output holds
// Reasoning.
type responsesUsage struct {
	Input   int `json:"input_tokens"`
	Details struct {
		Cached  int `json:"cached_tokens"`
		Written int `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Output     int `json:"output_tokens"`
	OutDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int `json:"total_tokens"`
}

// begun returns the response without what came out of it.
func (r response) begun(status string) response {
	r.Status, r.Output, r.Usage, r.Completed, r.Incomplete, r.Error = status, []json.RawMessage{}, nil, nil, nil, nil
	return r
}

// respond answers /v1/responses.
func respond(c *call, body []byte) {
	r := &itemReader{s: c.s, owner: hash(c.credential)}
	if !c.readItems(r, body) {
		return
	}
	tokens := r.query.tokens()
	if deref(r.req.Truncation) != "auto" && !c.roomy(tokens, func(int, int) problem {
		p := badRequest("input", "Your input exceeds the context window of this model. Please adjust your input and try again.")
		p.code = "context_length_exceeded"
		return *p
	}) {
		return
	}
	c.stream = r.req.Stream
	blocks := c.recall(r.query.prompt)
	out := c.produce(&r.query, 0)
	a := c.responseOf(r, &out, tokens)
	if r.req.Background && !c.stream {
		c.later(r, a)
		return
	}
	if !c.think() {
		return
	}
	c.memorise(blocks)
	if a.whole.Store {
		c.shelve(r, a)
	}
	if c.stream {
		c.broken = a.broken
		c.perform("text/event-stream; charset=utf-8", a.steps)
	} else if c.until(c.due(out.tokens())) {
		c.unary(encode(a.whole))
	}
}

// readItems reads a request; false: it was refused.
func (c *call) readItems(r *itemReader, body []byte) bool {
	if r.read(body) && r.req.Model != c.set.Name {
		r.refuse("model", "", "'model' was given twice, with different values.")
	}
	if r.bad != nil {
		c.fail(OutcomeInvalid, *r.bad)
	}
	return r.bad == nil
}

// countItems answers /v1/responses/input_tokens.
func countItems(c *call, body []byte) {
	r := &itemReader{s: c.s, owner: hash(c.credential)}
	if c.readItems(r, body) {
		c.whole(encode(struct {
			Object string `json:"object"`
			Tokens int    `json:"input_tokens"`
		}{"response.input_tokens", r.query.tokens()}))
	}
}

// later answers at once that the response is on its way; it is there when its
// tokens are due.
func (c *call) later(r *itemReader, a *responseAnswer) {
	if c.draw.failure < c.set.Errors {
		p := vendorProblem(http.StatusInternalServerError, c.set.Name)
		a.whole = a.whole.begun("failed")
		a.whole.Error = &responseError{"server_error", p.message}
	}
	c.shelve(r, a)
	c.unary(encode(a.whole.begun("queued")))
}

func (c *call) shelve(r *itemReader, a *responseAnswer) {
	c.s.responses.put(&stored{
		owner: r.owner, ready: c.due(a.out.tokens()), answer: a.whole, items: r.items, before: r.before,
	})
}

// responseAnswer is a response and what a stream of it needs beside.
type responseAnswer struct {
	whole   response
	out     *output
	summary bool // of what was thought
	sealed  []string
	seq     int // of the next event
}

func (c *call) responseOf(r *itemReader, out *output, tokens int) *responseAnswer {
	q := &r.req
	now := time.Now().Unix()
	w := response{
		ID: fmt.Sprintf("resp_sim%016x", c.draw.text), Object: "response", Created: now, Status: "completed", Background: q.Background,
		Completed: &now, Instructions: q.Instructions, Limit: q.Limit, ToolCalls: q.ToolCalls, Model: c.set.Name, Output: []json.RawMessage{},
		Parallel: !r.query.single, Previous: q.Previous, CacheKey: q.CacheKey, Reasoning: reasoningTold{r.effort.Effort, r.effort.Summary},
		Safety: q.Safety, Tier: "default", Store: r.stores(), Temperature: 1, TopP: 1, Truncation: "disabled", User: q.User,
		Text: or(q.Text, `{"format":{"type":"text"},"verbosity":"medium"}`), ToolChoice: or(q.ToolChoice, `"auto"`),
		Tools: encode(append([]json.RawMessage{}, r.tools...)), Metadata: or(q.Metadata, "{}"),
	}
	if q.Temperature != nil {
		w.Temperature = *q.Temperature
	}
	if q.TopP != nil {
		w.TopP = *q.TopP
	}
	if q.Truncation != nil {
		w.Truncation = *q.Truncation
	}
	u := &responsesUsage{Input: tokens, Output: out.tokens(), Total: tokens + out.tokens()}
	u.Details.Cached, u.OutDetails.Reasoning = c.cached, out.thought()
	w.Usage = u
	switch out.stop {
	case stopLength:
		w.Status, w.Completed, w.Incomplete = "incomplete", nil, &incomplete{"max_output_tokens"}
	case stopFiltered:
		w.Status, w.Completed, w.Incomplete = "incomplete", nil, &incomplete{"content_filter"}
	}
	a := &responseAnswer{whole: w, out: out, summary: r.effort.Summary != nil || r.effort.Old != nil, sealed: make([]string, len(out.parts))}
	for i := range out.parts {
		p := &out.parts[i]
		if p.kind <= partSecret && slices.Contains(q.Include, "reasoning.encrypted_content") {
			a.sealed[i] = base64.RawURLEncoding.EncodeToString(c.s.seal(sealReasoning, []byte(p.text())))
		}
		a.whole.Output = append(a.whole.Output, a.item(i, true))
	}
	return a
}

// or returns raw, or that where it is not given.
func or(raw json.RawMessage, that string) json.RawMessage {
	if given(raw) {
		return raw
	}
	return json.RawMessage(that)
}

// outItem is an item of an answer.
type outItem struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Status    string     `json:"status,omitempty"`
	Role      string     `json:"role,omitempty"`
	Content   *[]outPart `json:"content,omitempty"`
	CallID    string     `json:"call_id,omitempty"`
	Name      string     `json:"name,omitempty"`
	Arguments *string    `json:"arguments,omitempty"`
	Input     *string    `json:"input,omitempty"`
	Summary   *[]outPart `json:"summary,omitempty"`
	Encrypted string     `json:"encrypted_content,omitempty"`
}

// outPart is a part of an item.
type outPart struct {
	Type        string    `json:"type"`
	Text        *string   `json:"text,omitempty"`
	Refusal     *string   `json:"refusal,omitempty"`
	Annotations *[]string `json:"annotations,omitempty"` // always empty
	Logprobs    *[]string `json:"logprobs,omitempty"`    // always empty
}

// part returns the part that holds a text.
func (k kind) part(text string) outPart {
	switch k {
	case partThinking, partSecret:
		return outPart{Type: "summary_text", Text: &text}
	case partRefusal:
		return outPart{Type: "refusal", Refusal: &text}
	}
	return outPart{Type: "output_text", Text: &text, Annotations: &[]string{}, Logprobs: &[]string{}}
}

func (a *responseAnswer) id(i int) string {
	p := &a.out.parts[i]
	switch {
	case p.kind <= partSecret:
		return "rs_sim" + p.id
	case p.kind != partCall:
		return "msg_sim" + p.id
	case p.tool.plain:
		return "ctc_sim" + p.id
	}
	return "fc_sim" + p.id
}

// item returns the i-th item: as it begins, or done.
func (a *responseAnswer) item(i int, done bool) json.RawMessage {
	p := &a.out.parts[i]
	it := outItem{ID: a.id(i), Status: "in_progress"}
	text, parts := "", []outPart{}
	if done {
		text, parts = p.text(), []outPart{p.kind.part(p.text())}
		it.Status = "completed"
		if !p.whole {
			it.Status = "incomplete"
		}
	}
	switch p.kind {
	case partThinking, partSecret:
		if !a.summary {
			parts = []outPart{}
		}
		it.Type, it.Status, it.Summary, it.Encrypted = "reasoning", "", &parts, a.sealed[i]
	case partCall:
		it.CallID, it.Name = "call_sim"+p.id, p.tool.name
		if it.Type, it.Arguments = "function_call", &text; p.tool.plain {
			it.Type, it.Arguments, it.Input = "custom_tool_call", nil, &text
		}
	default:
		it.Type, it.Role, it.Content = "message", "assistant", &parts
	}
	return encode(it)
}

// kept makes a handler of what is done with a response that is stored.
func (s *Server) kept(do func(c *call, owner uint64, id string) *problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.serve(&openAI, w, r, func(c *call) {
			if p := do(c, hash(c.credential), r.PathValue("id")); p != nil {
				c.fail(OutcomeInvalid, *p)
			}
		})
	}
}

func noResponse(id string) *problem {
	return notFound("Response with id '" + clip(id, 80) + "' not found.")
}

func showResponse(c *call, owner uint64, id string) *problem {
	r, ok := c.s.responses.get(owner, id)
	if !ok {
		return noResponse(id)
	}
	c.whole(encode(r))
	return nil
}

func deleteResponse(c *call, owner uint64, id string) *problem {
	if !c.s.responses.remove(owner, id) {
		return noResponse(id)
	}
	c.whole(encode(struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id, "response", true}))
	return nil
}

func cancelResponse(c *call, owner uint64, id string) *problem {
	r, why, ok := c.s.responses.cancel(owner, id)
	if !ok {
		return noResponse(id)
	}
	if why != "" {
		return badRequest("", why)
	}
	c.whole(encode(r))
	return nil
}

// listItems answers with the items that went into a response, the last first
// unless the order is asc.
func listItems(c *call, owner uint64, id string) *problem {
	all, ok := c.s.responses.inputs(owner, id)
	if !ok {
		return noResponse(id)
	}
	if c.r.URL.Query().Get("order") != "asc" {
		slices.Reverse(all)
	}
	list := struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
		More   bool              `json:"has_more"`
		First  string            `json:"first_id"`
		Last   string            `json:"last_id"`
	}{Object: "list", Data: append([]json.RawMessage{}, all...)}
	if n := len(all); n > 0 {
		list.First, list.Last = idOf(all[0]), idOf(all[n-1])
	}
	c.whole(encode(list))
	return nil
}

// idOf returns the id of an item, "" if it has none.
func idOf(raw json.RawMessage) string {
	var it struct{ ID string }
	if json.Unmarshal(raw, &it) != nil {
		return ""
	}
	return it.ID
}
