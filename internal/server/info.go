package server

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/experiment"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/quality"
	"github.com/sluicegate/sluice/internal/tenant"
)

// Status is what GET /gateway/status answers.
type Status struct {
	Models          int               `json:"models"`
	RoutingStrategy string            `json:"routing_strategy"`
	FallbackEnabled bool              `json:"fallback_enabled"`
	CircuitBreakers map[string]string `json:"circuit_breakers"`
	Targets         []TargetStatus    `json:"targets"`
	// Splits are the models that draw one of several.
	Splits  []experiment.Report `json:"splits"`
	Ledger  *LedgerStatus       `json:"ledger,omitempty"`
	Version string              `json:"version"`
	UptimeS float64             `json:"uptime_s"`
}

// TargetStatus is one target of a Status.
type TargetStatus struct {
	ID            string     `json:"id"`
	Provider      string     `json:"provider"`
	Model         string     `json:"model"`
	Region        string     `json:"region,omitempty"`
	State         string     `json:"state"`
	Reason        string     `json:"reason"`
	InFlight      int64      `json:"in_flight"`
	QueueDepth    int64      `json:"queue_depth"` // requests that wait for room
	LatencyMS     float64    `json:"latency_ms"`
	TTFTMS        float64    `json:"ttft_ms"`
	ErrorRate     float64    `json:"error_rate"`
	CooldownUntil *time.Time `json:"cooldown_until"`
	// Quality is how good its answers of the last day were; null: none was judged.
	Quality *quality.Report `json:"quality"`
	// Credentials is what is known of each of the provider's at the target.
	Credentials []CredentialStatus `json:"credentials"`
}

// CredentialStatus is one credential of a TargetStatus: how much room it has.
type CredentialStatus struct {
	Credential    string     `json:"credential"` // "1", "2", …
	State         string     `json:"state"`
	Reason        string     `json:"reason"`
	InFlight      int64      `json:"in_flight"`
	Slots         int64      `json:"slots"`         // calls at a time, 0: no limit
	RequestsLeft  *int64     `json:"requests_left"` // by the vendor's last word, null: not known
	TokensLeft    *int64     `json:"tokens_left"`
	CooldownUntil *time.Time `json:"cooldown_until"`
}

// LedgerStatus tells whether rows are being kept.
type LedgerStatus struct {
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"`
	Error   string `json:"error,omitempty"`
}

func writeJSON(w http.ResponseWriter, v any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeStall))
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client left
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request, _ string) {
	writeJSON(w, map[string]string{"status": "ok"})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request, _ string) {
	if s.draining.Load() {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"draining"}`+"\n")
		return
	}
	writeJSON(w, map[string]string{"status": "ready"})
}

// relays are the headers of proxies and tunnels, which bring requests from
// elsewhere to a loopback address.
var relays = [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip", "Via"}

// here reports whether the request was made on this machine: at a loopback
// address, by such a name, which no page has whose own name was made to lead
// here, and through no proxy. HTTP/1.0 is what nginx speaks unless it is told
// otherwise, and tells nothing of the client then.
func here(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !a.IP.IsLoopback() || !r.ProtoAtLeast(1, 1) {
		return false
	}
	for _, k := range relays {
		if _, relayed := r.Header[k]; relayed {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ string) {
	if s.deps.Metrics == nil {
		s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindPathNotFound, Message: "metrics are switched off (telemetry.metrics)"})
		return
	}
	if !here(r) {
		if g, _, e := authenticate(s.deps.Current().Keys, r); e != nil || !g.Operator {
			s.fail(w, protoOf(r), operatorOnly(e))
			return
		}
	}
	s.expose(w, r)
}

// expose answers with the metrics.
func (s *Server) expose(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeStall))
	s.deps.Metrics.ServeHTTP(w, r)
}

func operatorOnly(e *llm.Error) *llm.Error {
	if e != nil {
		return e
	}
	return &llm.Error{Kind: llm.KindModelNotAllowed, Message: "only the operator's key (admin.key) opens this"}
}

// caller authenticates a request to the gateway itself; on failure it has
// answered and returns nil.
func (s *Server) caller(w http.ResponseWriter, r *http.Request) (*gateway.Gateway, *tenant.Grant) {
	gw := s.deps.Current()
	g, _, e := authenticate(gw.Keys, r)
	if e != nil {
		s.limited("auth")
		s.fail(w, protoOf(r), e)
		return gw, nil
	}
	return gw, g
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, _ string) {
	if gw, g := s.caller(w, r); g != nil {
		st := s.deps.Status(gw)
		if !g.Operator && !gw.Keys.Open() {
			st.Ledger = nil
			for i := range st.Splits {
				st.Splits[i].HideCosts()
			}
		}
		writeJSON(w, st)
	}
}

func (s *Server) request(w http.ResponseWriter, r *http.Request, id string) {
	gw, g := s.caller(w, r)
	if g == nil {
		return
	}
	t := s.deps.Recent.Get(id)
	if t == nil || !g.Operator && t.Caller.Key != g.Name {
		s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindPathNotFound, Message: "no such request among the last ones; sluice explain reads older ones from the ledger"})
		return
	}
	rec := gateway.NewRecord(t)
	rec.Feedback = s.deps.Recent.Said(id)
	if !g.Operator && !(gw.Keys.Open() && here(r)) {
		rec = rec.Public()
	}
	writeJSON(w, rec)
}

// described authenticates and reads a chat request that is only looked at; nil: it
// has answered. The caller releases the request's body.
func (s *Server) described(w http.ResponseWriter, r *http.Request) (*gateway.Gateway, *tenant.Grant, *llm.Request) {
	gw, g := s.caller(w, r)
	if g == nil {
		return gw, nil, nil
	}
	x := exchange{s: s, w: w, r: r, gw: gw, asked: asked{proto: llm.ProtoOpenAI, op: llm.OpChat}, trail: llm.NewTrail(llm.NewID(time.Now()), time.Now(), func(*llm.Trail) {})}
	x.trail.Caller.Key = g.Name
	req, e := x.decode()
	if e != nil {
		s.fail(w, protoOf(r), e)
		return gw, g, nil
	}
	return gw, g, req
}

// classify tells what is asked for and which models are good at it.
func (s *Server) classify(w http.ResponseWriter, r *http.Request, _ string) {
	gw, g, req := s.described(w, r)
	if req == nil {
		return
	}
	defer req.Body.Release()
	if _, e := req.Body.Chat(); e != nil {
		s.fail(w, protoOf(r), e)
		return
	}
	var m *gateway.Model
	if req.Model != "" && g.May(req.Model) {
		m, _ = gw.Lookup(req.Model)
	}
	writeJSON(w, gw.Classify(m, req, g.May))
}

// route tells what would be done with a request.
func (s *Server) route(w http.ResponseWriter, r *http.Request, _ string) {
	gw, g, req := s.described(w, r)
	if req == nil {
		return
	}
	defer req.Body.Release()
	m, e := gw.Model(req, g)
	if e != nil {
		s.fail(w, protoOf(r), e)
		return
	}
	writeJSON(w, m.Handler.Plan(req))
}

// Admin returns the handler of the admin listener: metrics need no key there,
// the operator's orders do, and models are not asked there.
func (s *Server) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.closing.Load() {
			w.Header()["Connection"] = closing
		}
		switch e, id, ok := find(r); {
		case r.URL.Path == "/metrics" && s.deps.Metrics != nil:
			s.expose(w, r)
		case ok && e.takes(r.Method) && (strings.HasPrefix(r.URL.Path, "/gateway/") || strings.HasPrefix(r.URL.Path, "/admin/") || r.URL.Path == "/healthz" || r.URL.Path == "/readyz"):
			e.serve(s, w, r, id)
		default:
			s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindPathNotFound, Message: "no such path on the admin listener"})
		}
	})
}
