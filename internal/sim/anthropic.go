package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var anthropic = dialect{
	credential: func(r *http.Request) string {
		if key := r.Header.Get("X-Api-Key"); key != "" {
			return key
		}
		return bearer(r)
	},
	says:    claudeProblem,
	body:    claudeError,
	limits:  claudeLimits,
	id:      "Request-Id",
	noModel: "model: Field required",
	notJSON: "The request body is not valid JSON",
	garbage: "event: content_block_delta\ndata: {\"type\": this is no JSON\n",
}

// claudeProblem is the error that Anthropic sends with a status. Its type
// follows from the status alone.
func claudeProblem(status int, model string) problem {
	p := problem{status: status, kind: "api_error", message: "Internal server error"}
	switch {
	case status == http.StatusUnauthorized:
		p.kind, p.message = "authentication_error", "invalid x-api-key"
	case status == http.StatusPaymentRequired:
		p.kind, p.message = "billing_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
	case status == http.StatusForbidden:
		p.kind, p.message = "permission_error", "Your API key does not have permission to use the specified resource."
	case status == http.StatusNotFound:
		p.kind, p.message = "not_found_error", "model: "+model
	case status == http.StatusRequestEntityTooLarge:
		p.kind, p.message = "request_too_large", "Request exceeds the maximum size"
	case status == http.StatusTooManyRequests:
		p.kind, p.message = "rate_limit_error", "This request would exceed your organization's rate limit of requests per minute. Please try again later."
	case status == http.StatusGatewayTimeout:
		p.kind, p.message = "timeout_error", "Request timed out"
	case status == 529, status == http.StatusServiceUnavailable:
		p.kind, p.message = "overloaded_error", "Overloaded"
	case status < 500:
		p.kind, p.message = "invalid_request_error", "The request was refused (simulated)."
	}
	return p
}

func claudeBad(message string) problem {
	return problem{status: http.StatusBadRequest, kind: "invalid_request_error", message: message}
}

type claudeErrorBody struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	RequestID *string `json:"request_id"`
}

func claudeError(p *problem, id string) []byte {
	b := claudeErrorBody{Type: "error"}
	b.Error.Type, b.Error.Message = p.kind, p.message
	if id != "" {
		b.RequestID = &id
	}
	return encode(b)
}

func claudeLimits(a ration, h http.Header) {
	h.Set("Anthropic-Ratelimit-Requests-Limit", strconv.Itoa(a.limit))
	h.Set("Anthropic-Ratelimit-Requests-Remaining", strconv.Itoa(a.remaining))
	h.Set("Anthropic-Ratelimit-Requests-Reset", time.Now().Add(a.reset).UTC().Format(time.RFC3339))
	if a.retry > 0 {
		a.wait(h)
	}
}

// messages answers /v1/messages.
func messages(c *call, body []byte) { c.claude(body, false) }

// countMessages answers /v1/messages/count_tokens.
func countMessages(c *call, body []byte) { c.claude(body, true) }

func (c *call) claude(body []byte, counts bool) {
	r := &reader{s: c.s, counts: counts}
	if strings.Contains(c.r.URL.Path, "/publishers/") {
		r.version = versionVertex
	} else if r.version, r.bad = versionOf(c.r); r.bad != "" {
		c.fail(OutcomeInvalid, claudeBad(r.bad))
		return
	}
	bad := ""
	switch {
	case !r.read(body):
		bad = r.bad
	case r.version == versionVertex && r.req.Version != versionVertex:
		bad = "anthropic_version: Field required"
	case r.version != versionVertex && r.req.Version != "":
		bad = "anthropic_version: Extra inputs are not permitted"
	case r.version == versionVertex && r.req.Model != "":
		bad = "model: Extra inputs are not permitted"
	case r.version != versionVertex && r.req.Model != c.set.Name:
		bad = "model: it was given twice, with different values"
	}
	if bad != "" {
		c.fail(OutcomeInvalid, claudeBad(bad))
		return
	}
	if counts {
		c.whole(encode(struct {
			Tokens int `json:"input_tokens"`
		}{r.query.tokens()}))
		return
	}
	c.converse(r)
}

// converse answers a request that is right.
func (c *call) converse(r *reader) {
	tokens := r.query.tokens()
	if !c.roomy(tokens, func(n, most int) problem {
		return claudeBad(fmt.Sprintf("prompt is too long: %d tokens > %d maximum", n, most))
	}) {
		return
	}
	c.stream = r.req.Stream
	u, keep := c.claudeUsage(r, tokens)
	out := c.produce(&r.query, 0)
	if !c.think() {
		return
	}
	keep()
	u.Output = out.tokens()
	if n := out.thought(); n > 0 {
		u.Details = &claudeDetails{n}
	}
	m := c.message(r, &out, u)
	if c.stream {
		c.broken = func() []byte { return claudeFrame(nil, "error", c.errorBody()) }
		c.perform("text/event-stream; charset=utf-8", m.steps)
		return
	}
	if c.until(c.due(u.Output)) {
		c.unary(encode(m.claudeMessage))
	}
}

// claudeUsage is Anthropic's: Input is neither read from the cache nor written
// to it.
type claudeUsage struct {
	Input    int            `json:"input_tokens"`
	Written  int            `json:"cache_creation_input_tokens"`
	Read     int            `json:"cache_read_input_tokens"`
	Creation *claudeWritten `json:"cache_creation,omitempty"`
	Output   int            `json:"output_tokens"`
	Details  *claudeDetails `json:"output_tokens_details,omitempty"`
	Tier     string         `json:"service_tier,omitempty"`
}

type claudeWritten struct {
	Minutes int `json:"ephemeral_5m_input_tokens"`
	Hour    int `json:"ephemeral_1h_input_tokens"`
}

type claudeDetails struct {
	Thinking int `json:"thinking_tokens"`
}

// claudeUsage finds what the prompt cache has of the request, up to its last
// breakpoint. keep remembers the prompt.
func (c *call) claudeUsage(r *reader, tokens int) (u claudeUsage, keep func()) {
	u = claudeUsage{Input: tokens, Creation: &claudeWritten{}, Tier: "standard"}
	if len(r.breaks) == 0 {
		return u, func() {}
	}
	last := r.breaks[len(r.breaks)-1]
	blocks := c.recall(r.query.prompt[:last.bytes])
	u.Read = c.cached
	u.Written = len(blocks)*cacheBlock - c.cached
	u.Input = max(0, tokens-u.Read-u.Written)
	if last.hour {
		u.Creation.Hour = u.Written
	} else {
		u.Creation.Minutes = u.Written
	}
	return u, func() { c.memorise(blocks) }
}

// claudeMessage is a unary answer.
type claudeMessage struct {
	ID          string       `json:"id"`
	Type        string       `json:"type"`
	Role        string       `json:"role"`
	Model       string       `json:"model"`
	Content     []claudePart `json:"content"`
	StopReason  *string      `json:"stop_reason"`
	Sequence    *string      `json:"stop_sequence"`
	StopDetails *claudeStop  `json:"stop_details"`
	Usage       claudeUsage  `json:"usage"`
}

type claudeStop struct {
	Type        string  `json:"type"`
	Category    *string `json:"category"`
	Explanation *string `json:"explanation"`
}

// claudePart is a block of an answer.
type claudePart struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"`
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	Data      string          `json:"data,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
}

// claudeAnswer is a message and what a stream of it needs beside.
type claudeAnswer struct {
	claudeMessage
	parts []part
	mute  bool // thinking is signed, not shown
}

func (c *call) message(r *reader, out *output, u claudeUsage) *claudeAnswer {
	m := &claudeAnswer{parts: out.parts, mute: r.display == "omitted", claudeMessage: claudeMessage{
		ID: fmt.Sprintf("msg_sim%016x", c.draw.text), Type: "message", Role: "assistant", Model: c.set.Name,
		Content: []claudePart{}, Usage: u,
	}}
	for i := range out.parts {
		m.Content = append(m.Content, c.claudePart(&out.parts[i], m.mute))
	}
	reason := map[stop]string{
		stopEnd: "end_turn", stopLength: "max_tokens", stopSequence: "stop_sequence", stopCalls: "tool_use",
		stopRefusal: "refusal", stopFiltered: "refusal",
	}[out.stop]
	m.StopReason = &reason
	if out.stop == stopSequence {
		m.Sequence = &out.sequence
	}
	if out.stop == stopRefusal || out.stop == stopFiltered {
		why := "The user asked for it (simulated)."
		m.StopDetails = &claudeStop{Type: "refusal", Explanation: &why}
	}
	return m
}

func (c *call) claudePart(p *part, mute bool) claudePart {
	text := p.text()
	switch p.kind {
	case partThinking:
		b := claudePart{Type: "thinking", Thinking: &text}
		signature := base64.StdEncoding.EncodeToString(c.s.seal(sealThinking, digest(text)))
		if mute {
			b.Thinking = new(string)
		}
		b.Signature = &signature
		return b
	case partSecret:
		return claudePart{Type: "redacted_thinking", Data: base64.StdEncoding.EncodeToString(c.s.seal(sealSecret, []byte(p.id)))}
	case partCall:
		b := claudePart{Type: "tool_use", ID: "toolu_sim" + p.id, Name: p.tool.name, Input: json.RawMessage(text)}
		if !p.whole || !isObject(b.Input) {
			b.Input = json.RawMessage("{}")
		}
		return b
	}
	return claudePart{Type: "text", Text: &text}
}
