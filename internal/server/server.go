// Package server is the HTTP front door: endpoints, credentials, bodies in,
// answers and errors out, keep-alives. What is asked of models goes to
// gateway.Serve; the order of steps is in Server.serve.
package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/openai"
)

// Deps are the parts of the process that outlive configurations.
type Deps struct {
	Current func() *gateway.Gateway // the configuration in force
	Settle  func(*llm.Trail)        // runs once for every request to a model
	Recent  *gateway.Ring
	Status  func(*gateway.Gateway) Status
	Metrics http.Handler // nil: no metrics
	Limited func(reason string)
	Version string
}

// Server serves clients. Safe for concurrent use.
type Server struct {
	deps     Deps
	inFlight atomic.Int64
	limit    atomic.Int64
	draining atomic.Bool
}

// New returns a server that admits limit requests at a time.
func New(d Deps, limit int) *Server {
	s := &Server{deps: d}
	s.SetLimit(limit)
	return s
}

// SetLimit changes how many requests to models may be under way.
func (s *Server) SetLimit(n int) { s.limit.Store(int64(n)) }

// InFlight is how many requests to models are under way.
func (s *Server) InFlight() int64 { return s.inFlight.Load() }

// Drain makes the server not ready and asks clients to close their
// connections. Requests are still served.
func (s *Server) Drain() { s.draining.Store(true) }

// ErrStopping is the cause that ends what is still under way when the drain
// time is over.
var ErrStopping = errors.New("the gateway is stopping")

// endpoint is a row of the table.
type endpoint struct {
	method string
	serve  func(s *Server, w http.ResponseWriter, r *http.Request, id string)
}

func ask(op llm.Op) endpoint {
	return endpoint{http.MethodPost, func(s *Server, w http.ResponseWriter, r *http.Request, model string) { s.serve(op, w, r, model) }}
}

// endpoints by path. OpenAI's are served under /v1, /openai/v1 and bare.
var endpoints = table()

func table() map[string]endpoint {
	t := map[string]endpoint{
		"/healthz":          {http.MethodGet, (*Server).health},
		"/readyz":           {http.MethodGet, (*Server).ready},
		"/metrics":          {http.MethodGet, (*Server).metrics},
		"/gateway/status":   {http.MethodGet, (*Server).status},
		"/gateway/route":    {http.MethodPost, (*Server).route},
		"/gateway/requests": {http.MethodGet, (*Server).request},
	}
	for _, prefix := range [...]string{"/v1", "", "/openai/v1"} {
		t[prefix+"/chat/completions"] = ask(llm.OpChat)
		t[prefix+"/completions"] = ask(llm.OpCompletion)
		t[prefix+"/embeddings"] = ask(llm.OpEmbedding)
		t[prefix+"/models"] = endpoint{http.MethodGet, (*Server).models}
	}
	return t
}

// under are the paths that end in an id.
var under = []string{"/v1/models/", "/models/", "/openai/v1/models/", "/gateway/requests/"}

// deployments is where Azure's clients ask: the model is in the path, what
// follows it is the operation.
const deployments = "/openai/deployments/"

// find returns the endpoint of a path and the id in it.
func find(path string) (e endpoint, id string, ok bool) {
	if e, ok = endpoints[path]; ok {
		return e, "", true
	}
	if rest, azure := strings.CutPrefix(path, deployments); azure {
		for _, op := range [...]string{"/chat/completions", "/completions", "/embeddings"} {
			if model, has := strings.CutSuffix(rest, op); has && model != "" {
				return endpoints[op], model, true
			}
		}
		return e, "", false
	}
	for _, p := range under {
		if id, has := strings.CutPrefix(path, p); has && id != "" {
			return endpoints[strings.TrimSuffix(p, "/")], id, true
		}
	}
	if trimmed := strings.TrimSuffix(path, "/"); trimmed != path {
		e, ok = endpoints[trimmed]
	}
	return e, "", ok
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header()["Connection"] = []string{"close"}
	}
	e, id, ok := find(r.URL.Path)
	switch {
	case !ok:
		s.fail(w, &llm.Error{Kind: llm.KindPathNotFound, Message: "no such path; POST /v1/chat/completions asks a model"})
	case r.Method != e.method && !(r.Method == http.MethodHead && e.method == http.MethodGet):
		w.Header().Set("Allow", e.method)
		s.fail(w, &llm.Error{Kind: llm.KindMethodNotAllowed, Message: "use " + e.method + " here"})
	default:
		e.serve(s, w, r, id)
	}
}

// fail answers a request that never got as far as a model.
func (s *Server) fail(w http.ResponseWriter, e *llm.Error) {
	id := []string{llm.NewID(time.Now())}
	h := w.Header()
	h["X-Request-Id"], h["Request-Id"] = id, id
	openai.WriteError(w, e)
}

// serve is the road of a request to a model: admit, authenticate, read,
// decode, ask, answer, settle. model is what the path names, "" where the body
// does.
func (s *Server) serve(op llm.Op, w http.ResponseWriter, r *http.Request, model string) {
	start := time.Now()
	x := exchange{s: s, w: w, r: r, gw: s.deps.Current()}
	x.trail = llm.NewTrail(llm.NewID(start), start, s.deps.Settle)
	x.trail.Op, x.trail.Proto = op, llm.ProtoOpenAI
	defer x.settle()
	if n := s.inFlight.Add(1); n > s.limit.Load() {
		defer s.inFlight.Add(-1)
		s.limited("in_flight")
		w.Header().Set("Connection", "close")
		x.fail(&llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: "the gateway has all the requests it can hold; try again in 1 s"})
		return
	}
	defer s.inFlight.Add(-1)
	grant, e := authenticate(x.gw.Keys, r)
	if e != nil {
		s.limited("auth")
		x.fail(e)
		return
	}
	x.trail.Caller.Key, x.trail.Caller.Operator = grant.Name, grant.Operator
	req, e := x.decode(op)
	if e != nil {
		x.fail(e)
		return
	}
	if model != "" {
		if e := wire.CheckName(model); e != nil {
			req.Body.Release()
			x.fail(e)
			return
		}
		req.Model, x.trail.Model = model, model
	}
	x.req = req
	x.trail.Admitted = time.Now()
	x.ask(grant)
}

func (s *Server) limited(reason string) {
	if s.deps.Limited != nil {
		s.deps.Limited(reason)
	}
}

// authenticate finds the grant of a request. Each surface takes every header.
func authenticate(keys *tenant.Keys, r *http.Request) (*tenant.Grant, *llm.Error) {
	var sent bool
	h := r.Header
	for _, name := range [...]string{"X-Sluice-Key", "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		v := h[name]
		if len(v) != 1 || v[0] == "" {
			continue
		}
		secret := v[0]
		if name == "Authorization" {
			scheme, rest, ok := strings.Cut(secret, " ")
			if !ok || !strings.EqualFold(scheme, "bearer") {
				continue
			}
			secret = strings.TrimSpace(rest)
		}
		sent = true
		if g, ok := keys.Admit(secret); ok {
			return g, nil
		}
	}
	if keys.Open() {
		g, _ := keys.Admit("")
		return g, nil
	}
	msg := "no key; send one of this gateway's keys as \"Authorization: Bearer …\""
	if sent {
		msg = "this is not one of the gateway's keys"
	}
	return nil, &llm.Error{Kind: llm.KindInvalidKey, Message: msg}
}

// exchange is one request to a model and its answer.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	gw    *gateway.Gateway
	trail *llm.Trail
	req   *llm.Request
}

// bodyStall is how long a client may pause while it sends a body. Its first
// bytes are bounded by the HTTP server's ReadTimeout.
const bodyStall = 30 * time.Second

// decode reads the body and makes a request of it.
func (x *exchange) decode(op llm.Op) (*llm.Request, *llm.Error) {
	r := x.r
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "send the body without Content-Encoding"}
	}
	buf := wire.NewBuffer()
	if e := x.read(buf); e != nil {
		buf.Free()
		return nil, e
	}
	req := &llm.Request{ID: x.trail.ID, Header: r.Header, Trail: x.trail}
	if e := openai.Decode(op, buf, req); e != nil {
		return nil, e
	}
	t := x.trail
	t.Model, t.Stream = req.Model, req.Stream
	t.Caller.Session = bounded(r.Header.Get("X-Sluice-Session"))
	t.Caller.Tags = bounded(r.Header.Get("X-Sluice-Tags"))
	req.Caller = t.Caller
	if v := r.Header.Get("X-Sluice-Timeout-Ms"); v != "" {
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil || ms <= 0 {
			req.Body.Release()
			return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "x-sluice-timeout-ms must be a positive number of milliseconds"}
		}
		req.Deadline = t.Start.Add(time.Duration(min(ms, int64(24*time.Hour/time.Millisecond))) * time.Millisecond)
	}
	return req, nil
}

func bounded(s string) string {
	if len(s) > 256 {
		return s[:256]
	}
	return s
}

// read reads the body into buf. The deadline moves with each read, so that a
// slow client may finish and a stalled one is cut.
func (x *exchange) read(buf *wire.Buffer) *llm.Error {
	limit := x.gw.BodyLimit
	if x.r.ContentLength > limit {
		return x.tooLarge(limit)
	}
	b := buf.B
	if n := int(min(x.r.ContentLength, 1<<20)); n >= cap(b) {
		b = make([]byte, 0, n+1)
	}
	rc := http.NewResponseController(x.w)
	defer func() {
		_ = rc.SetReadDeadline(time.Time{})
		buf.B = b
	}()
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return x.tooLarge(limit)
		}
		if err != nil {
			return bodyError(err)
		}
		if int64(len(b)) != x.r.ContentLength {
			_ = rc.SetReadDeadline(time.Now().Add(bodyStall))
		}
	}
}

func (x *exchange) tooLarge(limit int64) *llm.Error {
	x.s.limited("body")
	x.w.Header().Set("Connection", "close")
	return &llm.Error{Kind: llm.KindTooLarge, Message: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes (limits.body)"}
}

// bodyError explains the end of a body; nil for the clean one.
func bodyError(err error) *llm.Error {
	var ne net.Error
	switch {
	case err == io.EOF:
		return nil
	case errors.As(err, &ne) && ne.Timeout():
		return &llm.Error{Kind: llm.KindInvalidRequest, Message: "the body stalled for 30 s", Err: err}
	}
	return &llm.Error{Kind: llm.KindCanceled, Message: "the body broke off", Err: err}
}

// ask hands the request to the gateway and the answer to the client.
func (x *exchange) ask(grant *tenant.Grant) {
	defer x.req.Body.Release()
	if x.req.Stream {
		x.stream(grant)
		return
	}
	resp, e := x.gw.Serve(x.r.Context(), x.req, grant)
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	chunk, err := resp.Next()
	if err != nil {
		x.fail(llm.AsError(err))
		return
	}
	x.header(resp)
	h := x.w.Header()
	h["Content-Length"] = []string{strconv.Itoa(len(chunk.Raw))}
	x.w.WriteHeader(resp.Status)
	x.trail.First = time.Now()
	_, werr := x.w.Write(chunk.Raw)
	x.answered(resp, resp.Status)
	if _, err = resp.Next(); err != nil && err != io.EOF {
		x.trail.Err = llm.AsError(err)
	}
	if werr != nil {
		x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: werr}
	}
}

// answered notes who answered.
func (x *exchange) answered(resp *llm.Response, status int) {
	t := x.trail
	t.Answered, t.Target, t.Strategy, t.Status = resp.Model, resp.Target, resp.Strategy, status
}

// stopping turns the end of the process into what clients should know.
func (x *exchange) stopping(e *llm.Error) *llm.Error {
	if e.Kind == llm.KindCanceled && errors.Is(context.Cause(x.r.Context()), ErrStopping) {
		return &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: "the gateway is stopping; try again", Err: e.Err}
	}
	return e
}

// fail answers with an error.
func (x *exchange) fail(e *llm.Error) {
	t := x.trail
	t.Err, t.Status = e, e.HTTPStatus()
	h := x.w.Header()
	id := []string{t.ID}
	h["X-Request-Id"], h["Request-Id"] = id, id
	if n := len(t.Attempts()); n > 0 {
		h["X-Sluice-Attempts"] = []string{strconv.Itoa(n)}
	}
	openai.WriteError(x.w, e)
}

// settle closes the trail.
func (x *exchange) settle() {
	t := x.trail
	t.Outcome = "ok"
	if t.Err != nil {
		t.Outcome = t.Err.Kind.String()
	}
	t.Close(time.Now())
}
