// Package server is the HTTP front door: endpoints, credentials, bodies in,
// answers and errors out, keep-alives. What is asked of models goes to
// gateway.Serve; the order of steps is in Server.serve.
package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/load"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// Deps are the parts of the process that outlive configurations.
type Deps struct {
	Current func() *gateway.Gateway // the configuration in force
	Settle  func(*llm.Trail)        // runs once for every request to a model
	Recent  *gateway.Ring
	Replays *gateway.Replays // nil: idempotency keys mean nothing
	Status  func(*gateway.Gateway) Status
	Metrics http.Handler // nil: no metrics
	Limited func(reason string)
	Load    *load.Shedder
	// Order carries out an operator's order to a target, "drain", "undrain" or
	// "reset", and tells how the target is then; false: there is no such target.
	Order func(gw *gateway.Gateway, id, order string) (TargetStatus, bool)
	// OrderSplit carries out an operator's order to a split, "promote", "rollback"
	// or "reset", and tells how it is then.
	OrderSplit func(model, order string) (experiment.Report, *llm.Error)
	// Feedback notes what the holder of a grant says of the answer to a request; an
	// error where that is none of its own.
	Feedback func(ctx context.Context, g *tenant.Grant, id string, f *gateway.Feedback) *llm.Error
	// Reload reads the configuration again and puts it in force; on error nothing
	// has changed.
	Reload  func() error
	Version string
}

// Server serves clients. Safe for concurrent use.
type Server struct {
	deps     Deps
	inFlight atomic.Int64
	caps     atomic.Pointer[load.Caps]
	closing  atomic.Bool // clients are asked to close their connections
	draining atomic.Bool // not ready
}

// New returns a server that admits limit requests at a time.
func New(d Deps, limit int) *Server {
	s := &Server{deps: d}
	if s.deps.Load == nil {
		s.deps.Load = &load.Shedder{}
	}
	s.SetLimit(limit, false)
	return s
}

// SetLimit changes how many requests to models may be under way. critical: there
// are keys for which some room is kept.
func (s *Server) SetLimit(n int, critical bool) {
	s.caps.Store(load.NewCaps(int64(n), critical))
}

// InFlight is how many requests to models are under way.
func (s *Server) InFlight() int64 { return s.inFlight.Load() }

// Drain makes the server not ready and asks clients to close their
// connections. Requests are still served.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.closing.Store(true)
}

// Retire asks clients to close their connections: another process answers new
// ones, so that the service stays ready.
func (s *Server) Retire() { s.closing.Store(true) }

// ErrStopping is the cause that ends what is still under way when the drain
// time is over.
var ErrStopping = errors.New("the gateway is stopping")

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.closing.Load() {
		w.Header()["Connection"] = closing
	}
	e, id, ok := find(r)
	switch {
	case !ok:
		s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindPathNotFound, Message: "no such path; POST /v1/chat/completions, /v1/responses, /v1/messages or /v1beta/models/{model}:generateContent ask a model"})
	case !e.takes(r.Method):
		w.Header().Set("Allow", e.method)
		s.fail(w, cmp.Or(e.proto, protoOf(r)), &llm.Error{Kind: llm.KindMethodNotAllowed, Message: "use " + e.method + " here"})
	default:
		e.serve(s, w, r, id)
	}
}

// fail answers a request that never got as far as a model.
func (s *Server) fail(w http.ResponseWriter, proto llm.Proto, e *llm.Error) {
	writeError(w, proto, llm.NewID(time.Now()), e)
}

// serve is the road of a request to a model: admit, authenticate, read,
// decode, ask, answer, settle.
func (s *Server) serve(a asked, w http.ResponseWriter, r *http.Request) {
	s.admit(a, w, r, (*exchange).serve)
}

// serve goes on with a request that was admitted.
func (x *exchange) serve() {
	req, e := x.decode()
	if e != nil {
		x.fail(e)
		return
	}
	req.Credential = x.own
	x.req = req
	x.trail.Admitted = time.Now()
	x.ask()
}

// admit begins a request of which there is a trail, lets serve go on with it if
// its caller may, and settles it.
func (s *Server) admit(a asked, w http.ResponseWriter, r *http.Request, serve func(*exchange)) {
	start := time.Now()
	x := exchange{s: s, w: w, r: r, gw: s.deps.Current(), asked: a}
	x.trail = llm.NewTrail(llm.NewID(start), start, s.deps.Settle)
	x.trail.Op, x.trail.Proto = a.op, a.proto
	n := s.inFlight.Add(1)
	defer s.inFlight.Add(-1) // after it is settled
	defer x.settle()
	caps := s.caps.Load()
	if n > caps.Limit() {
		x.turnAway("in_flight", fullHouse)
		return
	}
	grant, own, e := authenticate(x.gw.Keys, r)
	if e != nil {
		s.limited("auth")
		x.fail(e)
		return
	}
	x.grant, x.own = grant, own
	x.trail.Caller.Key, x.trail.Caller.Operator, x.trail.Caller.Priority = grant.Name, grant.Operator, grant.Priority
	if u := grant.Use; u != nil {
		defer u.Give()
	}
	if x.shed(n, caps) {
		return
	}
	if s.deps.Replays != nil {
		if key := idempotencyKey(r); key != "" {
			x.once(key, serve)
			return
		}
	}
	serve(&x)
}

func (s *Server) limited(reason string) {
	if s.deps.Limited != nil {
		s.deps.Limited(reason)
	}
}

// secrets are the headers that may carry a key, the gateway's own first. Each
// surface takes every one.
var secrets = [...]string{"X-Sluice-Key", "Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// authenticate finds the grant of a request, and the client's own credential
// for a vendor where the gateway's key came beside it.
func authenticate(keys *tenant.Keys, r *http.Request) (*tenant.Grant, llm.Credential, *llm.Error) {
	var sent bool
	anyone, _ := keys.Admit("") // nil where a key is needed
	for i, name := range secrets {
		c := credential(r, name)
		if c.Secret == "" {
			continue
		}
		sent = true
		if g, ok := keys.Admit(c.Secret); ok {
			if i > 0 && g != anyone {
				return g, llm.Credential{}, nil
			}
			return g, foreign(keys, r), nil
		}
	}
	for _, key := range [...]string{geminiKey(r), subprotocolKey(r)} {
		if key == "" {
			continue
		}
		sent = true
		if g, ok := keys.Admit(key); ok {
			return g, llm.Credential{}, nil
		}
	}
	if anyone != nil {
		return anyone, foreign(keys, r), nil
	}
	msg := "no key; send one of this gateway's keys as \"Authorization: Bearer …\""
	if sent {
		msg = "this is not one of the gateway's keys"
	}
	return nil, llm.Credential{}, &llm.Error{Kind: llm.KindInvalidKey, Message: msg}
}

// credential reads a header of secrets.
func credential(r *http.Request, name string) llm.Credential {
	v := r.Header[name]
	if len(v) != 1 || v[0] == "" {
		return llm.Credential{}
	}
	c := llm.Credential{Header: name, Value: v[0], Secret: v[0]}
	if name == "Authorization" {
		scheme, rest, ok := strings.Cut(c.Secret, " ")
		if !ok || !strings.EqualFold(scheme, "bearer") {
			return llm.Credential{}
		}
		c.Secret = strings.TrimSpace(rest)
	}
	return c
}

// foreign is the credential for a vendor beside the gateway's key.
func foreign(keys *tenant.Keys, r *http.Request) llm.Credential {
	for _, name := range secrets[1:] {
		if c := credential(r, name); c.Secret != "" && !own(keys, c.Secret) {
			return c
		}
	}
	if key := geminiKey(r); key != "" && !own(keys, key) {
		return llm.Credential{Header: "X-Goog-Api-Key", Value: key, Secret: key}
	}
	return llm.Credential{}
}

// own reports whether a secret is one of the gateway's keys, which no vendor may
// see.
func own(keys *tenant.Keys, secret string) bool {
	anyone, _ := keys.Admit("")
	g, ok := keys.Admit(secret)
	return ok && g != anyone
}

// geminiKey is the key in the query of Gemini's paths.
func geminiKey(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "key=") {
		return ""
	}
	if _, asks := verb(r); !asks && !strings.Contains(r.URL.Path, "/models") {
		return ""
	}
	return r.URL.Query().Get("key")
}

// exchange is one request to a model and its answer.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	gw    *gateway.Gateway
	trail *llm.Trail
	grant *tenant.Grant
	own   llm.Credential // the client's for a vendor
	req   *llm.Request
	asked asked
	early *wire.Buffer // the body, where it was read before its turn; else nil
}

// decode reads the body and makes a request of it.
func (x *exchange) decode() (*llm.Request, *llm.Error) {
	r := x.r
	if e := x.encoded(); e != nil {
		return nil, e
	}
	req := &llm.Request{ID: x.trail.ID, Header: r.Header, Trail: x.trail, Strict: r.Header.Get("X-Sluice-Strict") == "1"}
	if e := x.body(req); e != nil {
		return nil, e
	}
	t := x.trail
	if x.asked.model != "" {
		if e := wire.CheckName(x.asked.model); e != nil {
			req.Body.Release()
			return nil, e
		}
		req.Model = x.asked.model
	}
	req.Stream = req.Stream || x.asked.stream
	t.Model, t.Stream = req.Model, req.Stream
	if e := x.say(req); e != nil {
		req.Body.Release()
		return nil, e
	}
	return req, nil
}

// say fills in what headers say of a request.
func (x *exchange) say(req *llm.Request) *llm.Error {
	var e *llm.Error
	r, t := x.r, x.trail
	t.Caller.Session = bounded(cmp.Or(r.Header.Get("X-Sluice-Session"), r.Header.Get("X-Claude-Code-Session-Id")))
	t.Caller.Tags = bounded(r.Header.Get("X-Sluice-Tags"))
	req.Caller = t.Caller
	if f, ok := req.Body.(*wire.Form); ok {
		if req.Context, e = f.Context(); e != nil {
			return e
		}
	}
	if v := r.Header["X-Sluice-Context"]; len(v) > 0 {
		if e = wire.ReadContext(&req.Context, v[0]); e != nil {
			return e
		}
	}
	req.Deadline, e = x.deadline()
	return e
}

// deadline is until when the client waits, zero where it does not say.
func (x *exchange) deadline() (time.Time, *llm.Error) {
	v := x.r.Header.Get("X-Sluice-Timeout-Ms")
	if v == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}, &llm.Error{Kind: llm.KindInvalidRequest, Message: "x-sluice-timeout-ms must be a positive number of milliseconds"}
	}
	return x.trail.Start.Add(time.Duration(min(ms, int64(24*time.Hour/time.Millisecond))) * time.Millisecond), nil
}

// body reads the body into req.
func (x *exchange) body(req *llm.Request) *llm.Error {
	if x.asked.op == llm.OpRealtime {
		return nothing(x.asked.op, req)
	}
	buf := wire.NewBuffer()
	if e := x.read(buf); e != nil {
		buf.Free()
		return e
	}
	return x.parse(buf, req)
}

// parse makes a request of the body, which is JSON or a form.
func (x *exchange) parse(buf *wire.Buffer, req *llm.Request) *llm.Error {
	kind := x.r.Header.Get("Content-Type")
	if !x.asked.op.Relayed() || !strings.HasPrefix(kind, "multipart/") {
		return protocol.Of(x.asked.proto).Decode(x.asked.op, buf, req)
	}
	parts, e := wire.NewParts(buf, kind)
	if e != nil {
		return e
	}
	if e := parts.Fill(x.asked.op, req); e != nil {
		parts.Release()
		return e
	}
	return nil
}

func bounded(s string) string {
	if len(s) > 256 {
		return s[:256]
	}
	return s
}

// ask hands the request to the gateway and the answer to the client.
func (x *exchange) ask() {
	defer x.req.Body.Release()
	if x.asked.op == llm.OpRealtime {
		x.session()
		return
	}
	if x.req.Stream && !x.asked.op.Relayed() {
		x.stream()
		return
	}
	resp, e := x.gw.Serve(x.r.Context(), x.req, x.grant)
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	if x.asked.op.Relayed() {
		x.relay(resp)
		return
	}
	body, err := x.whole(resp)
	if err != nil {
		x.fail(x.stopping(llm.AsError(err)))
		return
	}
	x.remember(resp, body)
	x.header(resp)
	h := x.w.Header()
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(resp.Status)
	x.trail.First = time.Now()
	werr := x.write(body)
	x.answered(resp, resp.Status)
	if _, err = resp.Next(); err != nil && err != io.EOF {
		x.trail.Err = llm.AsError(err)
	}
	if werr != nil {
		x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: werr}
	}
}

// relay hands an answer on as it comes. What breaks off in the middle cannot be
// told but by breaking off too.
func (x *exchange) relay(resp *llm.Response) {
	x.answered(resp, resp.Status)
	rc := http.NewResponseController(x.w)
	for begun := false; ; begun = true {
		chunk, err := resp.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			x.trail.Err = x.stopping(llm.AsError(err))
			if !begun {
				x.fail(x.trail.Err)
				return
			}
			panic(http.ErrAbortHandler)
		}
		if !begun {
			x.header(resp)
			if n := resp.Header["Content-Length"]; len(n) == 1 {
				x.w.Header()["Content-Length"] = n
			}
			if h := x.w.Header(); strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") && h["Cache-Control"] == nil {
				h["Cache-Control"], h["X-Accel-Buffering"] = noCache, noBuffering
			}
			x.w.WriteHeader(resp.Status)
			x.trail.First = time.Now()
		}
		werr := x.write(chunk.Raw)
		if werr == nil {
			werr = rc.Flush()
		}
		_ = rc.SetWriteDeadline(time.Time{}) // the vendor may be silent for longer
		if werr != nil {
			x.trail.Err = &llm.Error{Kind: llm.KindCanceled, Message: "the client left", Err: werr}
			return
		}
	}
}

// whole returns the body of a unary answer: the vendor's bytes, or its meaning
// in the client's words.
func (x *exchange) whole(resp *llm.Response) ([]byte, error) {
	chunk, err := resp.Next()
	switch {
	case err != nil:
		return nil, err
	case chunk.Embed != nil:
		return protocol.Of(x.asked.proto).AppendEmbed(nil, x.req, chunk.Embed), nil
	case chunk.Rerank != nil:
		return protocol.Of(x.asked.proto).AppendRerank(nil, x.req, chunk.Rerank), nil
	case chunk.Events == nil:
		return chunk.Raw, nil
	}
	if x.asked.op == llm.OpCount {
		return protocol.Of(x.asked.proto).AppendCount(nil, chunk.Events[0].Usage.Input), nil
	}
	var c llm.Collector
	for err == nil { // several answers come one by one
		c.Add(chunk.Events...)
		chunk, err = resp.Next()
	}
	if err != io.EOF {
		return nil, err
	}
	return x.client().AppendReply(nil, x.req, c.Reply()), nil
}

// client is the protocol that the client speaks.
func (x *exchange) client() wire.Client { return protocol.Of(x.asked.proto).ClientOf(x.asked.op) }

// lost notes what got lost so far.
func (x *exchange) lost(resp *llm.Response) {
	if resp.Lossy != nil {
		x.trail.Lossy = resp.Lossy()
	}
}

// remember binds an answer that its vendor keeps to who made it, before the
// client learns its id. b is all of it, or its beginning.
func (x *exchange) remember(resp *llm.Response, b []byte) {
	find := protocol.Of(resp.Proto).Kept
	if find == nil || resp.Proto != x.asked.proto {
		return
	}
	if id := find(x.req, b); id != "" {
		x.gw.Kept.Answer(id, resp, x.grant.Name)
	}
}

// answered notes who answered.
func (x *exchange) answered(resp *llm.Response, status int) {
	t := x.trail
	t.Answered, t.Target, t.Strategy, t.Status, t.Degraded = resp.Model, resp.Target, resp.Strategy, status, resp.Degraded
	x.lost(resp)
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
	t.Err, t.Status = e, statusOf(x.asked.proto, e)
	if n := len(t.Attempts()); n > 0 {
		x.w.Header()["X-Sluice-Attempts"] = []string{strconv.Itoa(n)}
	}
	writeError(x.w, x.asked.proto, t.ID, e)
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
