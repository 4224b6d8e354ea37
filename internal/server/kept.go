package server

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// shelf is a place where vendors keep things for clients. Behind its path come
// an object's id and what is asked of it.
type shelf struct {
	path  string
	proto llm.Proto
	op    llm.Op
	kind  string
	// verbs are the methods that an object takes, by what follows its id.
	verbs map[string]string
}

// shelves of OpenAI's API.
var shelves = [...]shelf{
	{"/responses/", llm.ProtoResponses, llm.OpResponse, gateway.KindResponse, map[string]string{"": "GET, DELETE", "/cancel": "POST", "/input_items": "GET"}},
}

// shelved finds the endpoint of an object that a vendor keeps.
func shelved(r *http.Request) (endpoint, string, bool) {
	for _, prefix := range openAIPrefixes {
		rest, ok := strings.CutPrefix(r.URL.Path, prefix)
		if !ok {
			continue
		}
		for i := range shelves {
			if e, id, ok := shelves[i].endpoint(rest); ok {
				return e, id, true
			}
		}
	}
	return endpoint{}, "", false
}

// endpoint finds the endpoint of a path behind a prefix.
func (s *shelf) endpoint(path string) (endpoint, string, bool) {
	id, ok := strings.CutPrefix(path, s.path)
	if !ok {
		return endpoint{}, "", false
	}
	verb := ""
	if i := strings.IndexByte(id, '/'); i >= 0 {
		id, verb = id[:i], id[i:]
	}
	methods := s.verbs[verb]
	if id == "" || methods == "" {
		return endpoint{}, "", false
	}
	return endpoint{methods, s.proto, func(srv *Server, w http.ResponseWriter, r *http.Request, id string) {
		srv.admit(asked{proto: s.proto, op: s.op}, w, r, func(x *exchange) { x.object(s, id, verb) })
	}}, id, true
}

// object asks whoever keeps an object of the caller.
func (x *exchange) object(s *shelf, id, verb string) {
	o, e := x.gw.Kept.Find(x.r.Context(), s.kind, id, x.grant.Name)
	if e != nil {
		x.fail(e)
		return
	}
	p, c, e := x.gw.Keeper(o)
	if e != nil {
		x.fail(e)
		return
	}
	resp, e := x.inquire(&gateway.Inquiry{
		Provider: p, Credential: c, Target: o.Target,
		Raw: &llm.Raw{Op: s.op, Proto: s.proto, Method: x.r.Method, Path: "/" + url.PathEscape(o.ID) + verb, Query: x.r.URL.RawQuery},
	})
	if e != nil {
		x.fail(x.stopping(e))
		return
	}
	defer resp.Close()
	if x.r.Method == http.MethodDelete {
		if e := x.gw.Kept.Forget(x.r.Context(), o.ID); e != nil {
			x.fail(e)
			return
		}
	}
	x.relay(resp)
}

// inquire makes a call of a provider with the client's body, header and
// credential; what it is about is filled in. Answers are relayed, and what they
// tell of tokens is not counted where q.Read is nil: it was counted when it was
// spent, or is billed by the vendor's own rules. The caller closes the response.
func (x *exchange) inquire(q *gateway.Inquiry) (*llm.Response, *llm.Error) {
	x.req = &llm.Request{ID: x.trail.ID, Op: x.asked.op, Proto: x.asked.proto, Model: q.Target, N: 1, Header: x.r.Header, Credential: x.own, Trail: x.trail}
	if e := x.say(x.req); e != nil {
		return nil, e
	}
	raw := q.Raw
	raw.Header, raw.Credential = x.r.Header, x.own
	if raw.Body == nil && x.r.ContentLength != 0 {
		if e := x.encoded(); e != nil && raw.Op != llm.OpPassthrough {
			return nil, e
		}
		buf := wire.NewBuffer()
		if e := x.read(buf); e != nil {
			buf.Free()
			return nil, e
		}
		raw.Body, raw.Size, raw.Type = wire.Whole(buf), int64(len(buf.B)), x.r.Header.Get("Content-Type")
	}
	q.Trail = x.trail
	if q.Read == nil {
		q.Read = func(resp *http.Response) llm.Stream { return wire.Relay(resp, nil) }
	}
	t := x.trail
	t.Model, t.Admitted = q.Target, time.Now()
	q.Deadline = x.req.Deadline
	return q.Ask(x.r.Context())
}
