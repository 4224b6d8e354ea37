package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
)

// targets and splits are where the operator's orders go: a target's id, which may
// hold slashes, or a model, and the order behind it.
const (
	targets = "/admin/v1/targets/"
	splits  = "/admin/v1/splits/"
)

// ordered finds the id and the order in a path below prefix.
func ordered(path, prefix string, orders ...string) (id, order string, ok bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i <= 0 || !slices.Contains(orders, rest[i+1:]) {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// order finds the path of an order to a target or a split.
func order(path string) (endpoint, string, bool) {
	if model, verb, ok := ordered(path, splits, "promote", "rollback", "reset"); ok {
		return endpoint{method: http.MethodPost, serve: func(s *Server, w http.ResponseWriter, r *http.Request, model string) {
			if s.operator(w, r) == nil {
				return
			}
			told, e := s.deps.OrderSplit(model, verb)
			if e != nil {
				s.fail(w, protoOf(r), e)
				return
			}
			writeJSON(w, told)
		}}, model, true
	}
	id, verb, ok := ordered(path, targets, "drain", "undrain", "reset")
	if !ok {
		return endpoint{}, "", false
	}
	return endpoint{method: http.MethodPost, serve: func(s *Server, w http.ResponseWriter, r *http.Request, id string) {
		gw := s.operator(w, r)
		if gw == nil {
			return
		}
		st, known := s.deps.Order(gw, id, verb)
		if !known {
			s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindPathNotFound, Message: "the configuration has no such target; GET /gateway/status lists them"})
			return
		}
		writeJSON(w, st)
	}}, id, true
}

// crossOrigin keeps pages of other origins from giving orders where no key is
// needed.
var crossOrigin http.CrossOriginProtection

// operator authenticates an order, which the operator alone may give, anybody on
// this machine where there are no keys at all. A process that ends takes none. On
// failure it has answered and returns nil.
func (s *Server) operator(w http.ResponseWriter, r *http.Request) *gateway.Gateway {
	gw := s.deps.Current()
	g, _, e := authenticate(gw.Keys, r)
	may := e == nil && (g.Operator || gw.Keys.Open() && !gw.Keys.Ruled() && here(r) && crossOrigin.Check(r) == nil)
	if !may {
		s.limited("auth")
		s.fail(w, protoOf(r), operatorOnly(e))
		return nil
	}
	if s.closing.Load() {
		s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindOverloaded, RetryAfter: time.Second, Message: "this process is ending and another process serves; try again"})
		return nil
	}
	return gw
}

// reload puts the file's configuration in force, by the operator's order.
func (s *Server) reload(w http.ResponseWriter, r *http.Request, _ string) {
	if s.operator(w, r) == nil {
		return
	}
	if err := s.deps.Reload(); err != nil {
		s.fail(w, protoOf(r), &llm.Error{Kind: llm.KindInvalidRequest, Message: "nothing has changed: " + err.Error()})
		return
	}
	writeJSON(w, map[string]bool{"reloaded": true})
}
