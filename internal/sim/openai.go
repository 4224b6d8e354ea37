package sim

import (
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
	prompt := req.prompt()
	c.reply(&req, chatAnswers, prompt, countTokens(len(prompt)), req.answers())
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
	req.Tools, req.tools = nil, nil
	all, tokens := "", 0
	for _, p := range prompts {
		all += p.text
		tokens += p.tokens
	}
	c.reply(&req, textAnswers, all, tokens, len(prompts)*req.answers())
}

// reply waits for the first token and answers with n choices.
func (c *call) reply(req *chatRequest, f form, prompt string, tokens, n int) {
	if req.Model != c.set.Name {
		c.fail(OutcomeInvalid, *badRequest("model", "'model' was given twice, with different values."))
		return
	}
	c.stream = req.Stream
	var blocks []uint64
	if c.set.Cache > 0 {
		blocks = c.s.prompt.split(c.credential, c.set.Name, prompt)
		c.cached = c.s.prompt.hit(blocks, time.Now())
	}
	answers := make([]answer, n)
	for i := range answers {
		answers[i] = c.compose(req, i)
	}
	if !c.think() {
		return
	}
	if c.set.Cache > 0 {
		c.s.prompt.keep(blocks, c.set.Cache, time.Now())
	}
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

func longest(answers []answer) int {
	n := 0
	for i := range answers {
		n = max(n, len(answers[i].pieces))
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
	Role    string     `json:"role"`
	Content *string    `json:"content"`
	Refusal *string    `json:"refusal"`
	Calls   []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function toolFunction `json:"function"`
}

type toolFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func (c *call) body(f form, answers []answer, u usage) completion {
	out := completion{
		ID: c.id(f), Object: f.object, Created: time.Now().Unix(), Model: c.set.Name, Usage: u, Fingerprint: "fp_sim",
		Choices: make([]choice, len(answers)),
	}
	for i := range answers {
		a := &answers[i]
		ch := choice{Index: i, Finish: a.finish}
		text := a.text()
		switch {
		case !f.chat:
			ch.Text = &text
		case a.tool != "":
			ch.Message = &reply{Role: "assistant", Calls: []toolCall{{a.callID, "function", toolFunction{a.tool, text}}}}
		default:
			ch.Message = &reply{Role: "assistant", Content: &text}
		}
		out.Choices[i] = ch
	}
	return out
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
