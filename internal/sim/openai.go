package sim

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

// form is how answers look.
type form struct {
	object string // of a unary answer
	chunk  string // of an event
	prefix string // of the id
	chat   bool   // messages and deltas, not text
}

var (
	chatAnswers = form{"chat.completion", "chat.completion.chunk", "chatcmpl-", true}
	textAnswers = form{"text_completion", "text_completion", "cmpl-", false}
)

// chat answers /v1/chat/completions.
func chat(c *call, body []byte) {
	var req chatRequest
	if !c.decode(body, &req) {
		return
	}
	bad := req.check()
	if bad == nil {
		bad = req.checkMessages()
	}
	if bad != nil {
		c.fail(OutcomeInvalid, *bad)
		return
	}
	q := req.query()
	q.thinking = c.set.Thinking > 0 && req.Effort != "none"
	c.reply(&req, chatAnswers, q, q.tokens(), req.answers())
}

// complete answers /v1/completions.
func complete(c *call, body []byte) {
	var req chatRequest
	if !c.decode(body, &req) {
		return
	}
	if bad := req.check(); bad != nil {
		c.fail(OutcomeInvalid, *bad)
		return
	}
	prompts, err := readInput(req.Prompt)
	if err != nil || len(prompts)*req.answers() > maxAnswers {
		c.fail(OutcomeInvalid, *badRequest("prompt", "Invalid 'prompt', or too many answers."))
		return
	}
	q := &query{limit: req.limit(), stops: req.stops}
	tokens := 0
	for _, p := range prompts {
		q.prompt += p.text
		tokens += p.tokens
	}
	c.reply(&req, textAnswers, q, tokens, len(prompts)*req.answers())
}

// reply waits for the first token and answers with n choices.
func (c *call) reply(req *chatRequest, f form, q *query, tokens, n int) {
	if req.Model != c.set.Name {
		c.fail(OutcomeInvalid, *badRequest("model", "'model' was given twice, with different values."))
		return
	}
	if !c.roomy(tokens, longPrompt) {
		return
	}
	c.stream = req.Stream
	blocks := c.recall(q.prompt)
	answers := make([]output, n)
	for i := range answers {
		answers[i] = c.produce(q, i)
	}
	if !c.think() {
		return
	}
	c.memorise(blocks)
	u := newUsage(tokens, c.cached, answers)
	if c.stream {
		var last *usage
		if req.StreamOptions.IncludeUsage {
			last = &u
		}
		if fr := c.frames(f, last); c.play(fr, answers) {
			c.finish(fr, last)
		}
	} else if c.until(c.due(longest(answers))) {
		c.unary(encode(c.body(f, answers, u)))
	}
}

func longPrompt(tokens, context int) problem {
	p := badRequest("messages", fmt.Sprintf("This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages.", context, tokens))
	p.code = "context_length_exceeded"
	return *p
}

func longest(answers []output) int {
	n := 0
	for i := range answers {
		n = max(n, answers[i].pieces())
	}
	return n
}

// due returns when the n-th token after the first is there.
func (c *call) due(n int) time.Time {
	if c.set.TokensPerSecond == 0 {
		return c.first
	}
	return c.first.Add(c.scaled(time.Duration(float64(n) / c.set.TokensPerSecond * float64(time.Second))))
}

func (c *call) id(f form) string { return fmt.Sprintf("%s%016x", f.prefix, c.draw.text) }

// completion is a unary answer.
type completion struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	Created     int64    `json:"created"`
	Model       string   `json:"model"`
	Choices     []choice `json:"choices"`
	Usage       usage    `json:"usage"`
	Fingerprint string   `json:"system_fingerprint"`
}

type choice struct {
	Index    int       `json:"index"`
	Message  *reply    `json:"message,omitempty"`
	Text     *string   `json:"text,omitempty"`
	Logprobs *struct{} `json:"logprobs"`
	Finish   string    `json:"finish_reason"`
}

type reply struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"`
	Refusal   *string    `json:"refusal"`
	Reasoning *string    `json:"reasoning_content,omitempty"`
	Calls     []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string        `json:"id"`
	Type     string        `json:"type"`
	Function *toolFunction `json:"function,omitempty"`
	Custom   *toolCustom   `json:"custom,omitempty"`
}

type toolCustom struct {
	Name  string `json:"name"`
	Input string `json:"input"`
}

type toolFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func (c *call) body(f form, answers []output, u usage) completion {
	out := completion{
		ID: c.id(f), Object: f.object, Created: time.Now().Unix(), Model: c.set.Name, Usage: u, Fingerprint: "fp_sim",
		Choices: make([]choice, len(answers)),
	}
	for i := range answers {
		a := &answers[i]
		out.Choices[i] = choice{Index: i, Finish: a.stop.openAI()}
		if f.chat {
			out.Choices[i].Message = a.reply()
			continue
		}
		text := ""
		for j := range a.parts {
			text += a.parts[j].text()
		}
		out.Choices[i].Text = &text
	}
	return out
}

func (s stop) openAI() string {
	switch s {
	case stopLength:
		return "length"
	case stopCalls:
		return "tool_calls"
	case stopFiltered:
		return "content_filter"
	}
	return "stop"
}

// reply returns the answer as a message.
func (o *output) reply() *reply {
	m := &reply{Role: "assistant"}
	for i := range o.parts {
		p := &o.parts[i]
		text := p.text()
		switch p.kind {
		case partThinking, partSecret:
			m.Reasoning = &text
		case partRefusal:
			m.Refusal = &text
		case partCall:
			call := toolCall{ID: "call_" + p.id, Type: "function"}
			if p.tool.plain {
				call.Type, call.Custom = "custom", &toolCustom{p.tool.name, text}
			} else {
				call.Function = &toolFunction{p.tool.name, text}
			}
			m.Calls = append(m.Calls, call)
		default:
			m.Content = &text
		}
	}
	if o.stop == stopEnd || o.stop == stopSequence {
		m.Content = cmp.Or(m.Content, new(string))
	}
	return m
}

// unary sends a whole answer, as the fault wants it.
func (c *call) unary(body []byte) {
	const kind = "application/json"
	if c.fault == nil {
		c.whole(body)
		return
	}
	switch c.fault.Kind {
	case FaultError200, FaultErrorMid:
		c.outcome = OutcomeFault
		c.send(http.StatusOK, kind, c.errorBody())
	case FaultHangMid:
		c.begin(http.StatusOK, kind, len(body))
		if c.write(body[:len(body)/2]) {
			c.hang()
		}
	case FaultCut:
		c.outcome = OutcomeFault
		c.begin(http.StatusOK, kind, len(body))
		c.write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case FaultMalformed:
		c.outcome = OutcomeFault
		c.send(http.StatusOK, kind, body[:len(body)/2])
	default:
		c.whole(body)
	}
}

func (c *call) whole(body []byte) {
	c.begin(http.StatusOK, "application/json", len(body))
	if c.write(body) {
		c.outcome = OutcomeOK
	}
}

// modelCard is an entry of the list of models.
type modelCard struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
}

func (s *Server) card(name string) modelCard {
	return modelCard{name, "model", s.start.Unix(), "sim"}
}

// refused answers those who lack a key; listings are no calls and are not in
// the journal.
func (s *Server) refused(d *dialect, w http.ResponseWriter, r *http.Request) bool {
	if len(s.keys) == 0 || s.keys[d.credential(r)] {
		return false
	}
	p := d.refuses(d.credential(r))
	writeJSON(w, p.status, d.body(&p, ""))
	return true
}

// known reports whether a model of that name answers.
func (s *Server) known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, met := s.models[name]
	return met || s.conf.AnyModel && name != "" && len(name) <= maxName
}

func (s *Server) listModels(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Anthropic-Version") != "" {
		s.listClaude(w, r)
		return
	}
	if s.refused(&openAI, w, r) {
		return
	}
	list := struct {
		Object string      `json:"object"`
		Data   []modelCard `json:"data"`
	}{"list", []modelCard{}}
	for _, name := range s.names() {
		list.Data = append(list.Data, s.card(name))
	}
	writeJSON(w, http.StatusOK, encode(list))
}

func (s *Server) showModel(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Anthropic-Version") != "" {
		s.showClaude(w, r)
		return
	}
	if s.refused(&openAI, w, r) {
		return
	}
	name := r.PathValue("id")
	if !s.known(name) {
		vendorProblem(http.StatusNotFound, clip(name, maxName)).write(w)
		return
	}
	writeJSON(w, http.StatusOK, encode(s.card(name)))
}
