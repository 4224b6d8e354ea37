package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

var gemini = dialect{
	credential: func(r *http.Request) string {
		if key := r.Header.Get("X-Goog-Api-Key"); key != "" {
			return key
		}
		if key := r.URL.Query().Get("key"); key != "" {
			return key
		}
		return bearer(r) // as Vertex has it
	},
	says:    geminiProblem,
	denied:  geminiDenied,
	body:    geminiError,
	limits:  func(ration, http.Header) {}, // it tells no limits
	noModel: "model is required",
	notJSON: "Invalid JSON payload received. Expected a value.",
	garbage: "data: {\"candidates\": this is no JSON\n",
}

func geminiDenied(credential string) problem {
	if credential == "" {
		p := geminiProblem(http.StatusForbidden, "")
		p.message = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API."
		return p
	}
	p := geminiBad("API key not valid. Please pass a valid API key.")
	p.reason = "API_KEY_INVALID"
	return p
}

// geminiProblem is the error that Gemini sends with a status.
func geminiProblem(status int, model string) problem {
	p := problem{status: status, kind: "INTERNAL", message: "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"}
	switch {
	case status == http.StatusUnauthorized:
		p.kind, p.message = "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."
	case status == http.StatusForbidden:
		p.kind, p.message = "PERMISSION_DENIED", "The caller does not have permission"
	case status == http.StatusNotFound:
		p.kind, p.message = "NOT_FOUND", "models/"+model+" is not found for API version v1beta, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods."
	case status == http.StatusTooManyRequests, status == http.StatusPaymentRequired:
		p.kind, p.message = "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."
	case status == http.StatusRequestEntityTooLarge:
		p.kind, p.message = "INVALID_ARGUMENT", "Request payload size exceeds the limit."
	case status == http.StatusServiceUnavailable, status == 529:
		p.kind, p.message = "UNAVAILABLE", "The model is overloaded. Please try again later."
	case status == http.StatusGatewayTimeout:
		p.kind, p.message = "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."
	case status < 500:
		p.kind, p.message = "INVALID_ARGUMENT", "The request was refused (simulated)."
	}
	return p
}

type geminiErrorBody struct {
	Error struct {
		Code    int            `json:"code"`
		Message string         `json:"message"`
		Status  string         `json:"status"`
		Details []geminiDetail `json:"details,omitempty"`
	} `json:"error"`
}

// geminiDetail is one of Google's details of an error.
type geminiDetail struct {
	Type       string      `json:"@type"`
	Reason     string      `json:"reason,omitempty"`
	Domain     string      `json:"domain,omitempty"`
	Delay      string      `json:"retryDelay,omitempty"`
	Violations []violation `json:"violations,omitempty"`
	Fields     []violation `json:"fieldViolations,omitempty"`
}

type violation struct {
	Quota       string `json:"quotaId,omitempty"`
	Field       string `json:"field,omitempty"`
	Description string `json:"description,omitempty"`
}

func geminiError(p *problem, _ string) []byte {
	const types = "type.googleapis.com/google.rpc."
	var b geminiErrorBody
	e := &b.Error
	e.Code, e.Message, e.Status = p.status, p.message, p.kind
	if p.reason != "" {
		e.Details = append(e.Details, geminiDetail{Type: types + "ErrorInfo", Reason: p.reason, Domain: "googleapis.com"})
	}
	if p.field != "" {
		e.Details = append(e.Details, geminiDetail{Type: types + "BadRequest", Fields: []violation{{Field: p.field, Description: p.message}}})
	}
	if p.kind == "RESOURCE_EXHAUSTED" {
		e.Details = append(e.Details, geminiDetail{Type: types + "QuotaFailure", Violations: []violation{{Quota: "GenerateRequestsPerMinutePerProjectPerModel"}}})
	}
	if p.retry > 0 {
		e.Details = append(e.Details, geminiDetail{Type: types + "RetryInfo", Delay: strconv.FormatFloat(p.retry.Seconds(), 'f', -1, 64) + "s"})
	}
	return encode(b)
}

// geminiOps are the methods of a model.
var geminiOps = map[string]func(c *call, body []byte){
	"generateContent":       func(c *call, body []byte) { c.generate(body, false) },
	"streamGenerateContent": func(c *call, body []byte) { c.generate(body, true) },
	"countTokens":           countContent,
	"embedContent":          embedContent,
	"batchEmbedContents":    embedContents,
}

// claudeOps are the methods of a model of Anthropic's on Vertex.
var claudeOps = map[string]func(c *call, body []byte){
	"rawPredict":       messages,
	"streamRawPredict": messages,
}

// named makes a handler of operations whose path names model and method, as
// in models/gemini-pro:generateContent.
func (s *Server) named(d *dialect, ops map[string]func(c *call, body []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.serve(d, w, r, func(c *call) {
			name := r.PathValue("call")
			i := max(0, strings.LastIndexByte(name, ':'))
			name, method := name[:i], strings.TrimPrefix(name[i:], ":")
			op, ok := ops[method]
			if !ok {
				c.fail(OutcomeInvalid, d.says(http.StatusNotFound, clip(name, maxName)))
				return
			}
			if method == "streamGenerateContent" && !c.sse() {
				c.wrap = func(body []byte) []byte { return append(append([]byte("["), body...), ']') }
			}
			from := c.source()
			c.run(name, from, from, op)
		})
	}
}

// sse reports whether a stream of Gemini's is of events, and not an array.
func (c *call) sse() bool { return c.r.URL.Query().Get("alt") == "sse" }

func (c *call) generate(body []byte, stream bool) {
	c.stream = stream
	r := &geminiReader{s: c.s, model: c.set.Name}
	if !r.read(body) {
		c.fail(OutcomeInvalid, *r.bad)
		return
	}
	tokens := r.query.tokens()
	if !c.roomy(tokens, func(n, most int) problem {
		return geminiBad(fmt.Sprintf("The input token count (%d) exceeds the maximum number of tokens allowed (%d).", n, most))
	}) {
		return
	}
	blocks := c.recall(r.query.prompt)
	a := &geminiAnswer{model: c.set.Name, id: fmt.Sprintf("sim%016x", c.draw.text), show: r.show, array: !c.sse()}
	for i := range r.answers {
		a.outputs = append(a.outputs, c.produce(&r.query, i))
	}
	if !c.think() {
		return
	}
	c.memorise(blocks)
	a.usage = c.geminiUsage(r, tokens, a.outputs)
	if r.query.thinking || strings.HasPrefix(c.set.Name, "gemini-3") {
		a.signature = base64.StdEncoding.EncodeToString(c.s.seal(sealGemini, fmt.Appendf(nil, "%016x", c.draw.text)))
	}
	if !stream {
		if c.until(c.due(a.usage.Candidates + a.usage.Thoughts)) {
			c.unary(encode(a.whole()))
		}
		return
	}
	kind := "text/event-stream"
	if a.array {
		kind = "application/json; charset=UTF-8"
	}
	c.broken = func() []byte { return a.frame(c.errorBody(), c.events == 0, true) }
	c.perform(kind, a.steps)
}

// geminiUsage is Gemini's: Candidates does not hold Thoughts.
type geminiUsage struct {
	Prompt     int           `json:"promptTokenCount"`
	Candidates int           `json:"candidatesTokenCount"`
	Total      int           `json:"totalTokenCount"`
	Cached     int           `json:"cachedContentTokenCount,omitempty"`
	Details    []geminiCount `json:"promptTokensDetails,omitempty"`
	CachedPart []geminiCount `json:"cacheTokensDetails,omitempty"`
	Thoughts   int           `json:"thoughtsTokenCount,omitempty"`
}

type geminiCount struct {
	Modality string `json:"modality"`
	Tokens   int    `json:"tokenCount"`
}

func (r *geminiReader) counts(tokens int) []geminiCount {
	all := []geminiCount{{"TEXT", tokens - r.query.media}}
	for _, k := range []string{"IMAGE", "AUDIO", "VIDEO", "DOCUMENT"} {
		if r.media[k] > 0 {
			all = append(all, geminiCount{k, r.media[k]})
		}
	}
	return all
}

func (c *call) geminiUsage(r *geminiReader, tokens int, outputs []output) geminiUsage {
	u := geminiUsage{Prompt: tokens, Cached: c.cached, Details: r.counts(tokens)}
	if c.cached > 0 {
		u.CachedPart = []geminiCount{{"TEXT", c.cached}}
	}
	for i := range outputs {
		thought := outputs[i].thought()
		u.Thoughts += thought
		u.Candidates += outputs[i].tokens() - thought
	}
	u.Total = u.Prompt + u.Candidates + u.Thoughts
	return u
}

// countContent answers countTokens.
func countContent(c *call, body []byte) {
	r := &geminiReader{s: c.s, model: c.set.Name}
	if !r.read(body) {
		c.fail(OutcomeInvalid, *r.bad)
		return
	}
	tokens := r.query.tokens()
	c.whole(encode(struct {
		Total   int           `json:"totalTokens"`
		Details []geminiCount `json:"promptTokensDetails"`
	}{tokens, r.counts(tokens)}))
}

// embedOne is a request of embedContent.
type embedOne struct {
	Model   string          `json:"model"`
	Content json.RawMessage `json:"content"`
	Task    string          `json:"taskType"`
	Title   string          `json:"title"`
	Size    *int            `json:"outputDimensionality"`
	Config  json.RawMessage `json:"embedContentConfig"`
}

type geminiVector struct {
	Values []float32 `json:"values"`
}

// embedding returns the vector of a request; false: r.bad says why not.
func (c *call) embedding(r *geminiReader, raw json.RawMessage, at string) (geminiVector, bool) {
	var q embedOne
	if !r.message(raw, at, &q) {
		return geminiVector{}, false
	}
	size := c.set.Dimensions
	if size == 0 {
		size = defVector
	}
	if q.Size != nil {
		size = *q.Size
	}
	if size < 1 || size > maxVector {
		r.refuse("* EmbedContentRequest.output_dimensionality: must be in the range [1, %d].\n", maxVector)
		return geminiVector{}, false
	}
	before := r.prompt.Len()
	r.content(q.Content, 0)
	if r.bad != nil {
		return geminiVector{}, false
	}
	return geminiVector{vector(c.set.Name, r.prompt.String()[before:], size)}, true
}

func embedContent(c *call, body []byte) {
	r := &geminiReader{s: c.s, model: c.set.Name}
	v, ok := c.embedding(r, body, "")
	if !ok {
		c.fail(OutcomeInvalid, *r.bad)
		return
	}
	if c.think() {
		c.unary(encode(struct {
			Embedding geminiVector `json:"embedding"`
		}{v}))
	}
}

func embedContents(c *call, body []byte) {
	var q struct {
		Requests []json.RawMessage `json:"requests"`
	}
	r := &geminiReader{s: c.s, model: c.set.Name}
	out := struct {
		Embeddings []geminiVector `json:"embeddings"`
	}{[]geminiVector{}}
	if r.message(body, "", &q) && (len(q.Requests) == 0 || len(q.Requests) > 100) {
		r.refuse("* BatchEmbedContentsRequest.requests: at least one and at most 100 requests can be in one batch\n")
	}
	for i, raw := range q.Requests {
		if r.bad != nil {
			break
		}
		v, _ := c.embedding(r, raw, fmt.Sprintf("requests[%d]", i))
		out.Embeddings = append(out.Embeddings, v)
	}
	if r.bad != nil {
		c.fail(OutcomeInvalid, *r.bad)
		return
	}
	if c.think() {
		c.unary(encode(out))
	}
}
