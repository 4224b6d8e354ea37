package server

import (
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// shelf is a place where vendors keep things for clients: at its path the
// caller's are listed and new ones are made, behind it come an object's id and
// what is asked of it.
type shelf struct {
	path  string
	proto llm.Proto
	op    llm.Op
	kind  string
	// verbs are the methods that an object takes, by what follows its id.
	verbs map[string]string
	// create makes the inquiry that makes an object; nil: it is made elsewhere,
	// and there is no list.
	create func(x *exchange, s *shelf) (*gateway.Inquiry, *llm.Error)
}

// openAIShelves and anthropicShelves are those of the two APIs. xAI's batches
// take requests, and give results, behind their id.
var (
	openAIShelves = []shelf{
		{"/responses", llm.ProtoResponses, llm.OpResponse, gateway.KindResponse, map[string]string{"": "GET, DELETE", "/cancel": "POST", "/input_items": "GET"}, nil},
		{"/files", llm.ProtoOpenAI, llm.OpFile, gateway.KindFile, map[string]string{"": "GET, DELETE", "/content": "GET"}, (*exchange).newFile},
		{"/batches", llm.ProtoOpenAI, llm.OpBatch, gateway.KindBatch, map[string]string{"": "GET", "/cancel": "POST", "/requests": "GET, POST", "/results": "GET"}, (*exchange).newBatch},
	}
	anthropicShelves = []shelf{
		{"/messages/batches", llm.ProtoAnthropic, llm.OpBatch, gateway.KindMessageBatch, map[string]string{"": "GET, DELETE", "/cancel": "POST", "/results": "GET"}, (*exchange).newMessageBatch},
		{"/files", llm.ProtoAnthropic, llm.OpFile, gateway.KindMessageFile, map[string]string{"": "GET, DELETE", "/content": "GET"}, (*exchange).newFile},
	}
)

// shelved finds the endpoint of a shelf, or of an object on it. Where the two
// APIs have the same path, anthropic-version says which is meant.
func shelved(r *http.Request) (endpoint, string, bool) {
	if protoOf(r) == llm.ProtoAnthropic {
		for _, prefix := range anthropicPrefixes {
			if e, id, ok := on(anthropicShelves, prefix, r.URL.Path); ok {
				return e, id, true
			}
		}
	}
	for _, prefix := range openAIPrefixes {
		if e, id, ok := on(openAIShelves, prefix, r.URL.Path); ok {
			return e, id, true
		}
	}
	return endpoint{}, "", false
}

func on(shelves []shelf, prefix, path string) (endpoint, string, bool) {
	for i := range shelves {
		if rest, ok := strings.CutPrefix(path, prefix+shelves[i].path); ok {
			if e, id, ok := shelves[i].endpoint(rest); ok {
				return e, id, true
			}
		}
	}
	return endpoint{}, "", false
}

// endpoint finds the endpoint of what follows the shelf's path.
func (s *shelf) endpoint(rest string) (e endpoint, id string, ok bool) {
	if strings.TrimSuffix(rest, "/") == "" {
		return s.serve("GET, POST", func(x *exchange, _ string) {
			if x.r.Method == http.MethodPost {
				x.create(s)
			} else {
				x.list(s)
			}
		}), "", s.create != nil
	}
	if rest[0] != '/' {
		return e, "", false
	}
	id, verb := rest[1:], ""
	if i := strings.IndexByte(id, '/'); i >= 0 {
		id, verb = id[:i], id[i:]
	}
	methods := s.verbs[verb]
	return s.serve(methods, func(x *exchange, id string) { x.object(s, id, verb) }), id, id != "" && methods != ""
}

func (s *shelf) serve(methods string, do func(x *exchange, id string)) endpoint {
	return endpoint{methods, s.proto, func(srv *Server, w http.ResponseWriter, r *http.Request, id string) {
		srv.admit(asked{proto: s.proto, op: s.op}, w, r, func(x *exchange) { do(x, id) })
	}}
}

// object asks whoever keeps an object of the caller.
func (x *exchange) object(s *shelf, id, verb string) {
	o, e := x.gw.Kept.Find(x.r.Context(), s.kind, id, x.grant.Name)
	if e == nil {
		e = x.mayAdd(s, o, verb)
	}
	if e != nil {
		x.fail(e)
		return
	}
	q, e := x.about(o, &llm.Raw{Op: s.op, Proto: s.proto, Method: x.r.Method, Path: verb, Query: x.r.URL.RawQuery})
	if e == nil && x.r.Method == http.MethodPost {
		var buf *wire.Buffer
		if buf, e = x.load(); e == nil {
			q.Raw.Size, q.Raw.Type = int64(len(buf.B)), x.r.Header.Get("Content-Type")
			q.Raw.Body = wire.Patched(buf)
		}
	}
	if e != nil {
		x.fail(e)
		return
	}
	resp, e := x.inquire(q)
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
	if s.op == llm.OpBatch && (verb == "" || verb == "/cancel") { // it may tell of files
		x.show(s, q, resp)
		return
	}
	x.relay(resp)
}

// about makes an inquiry about an object of a call whose path is what is asked of
// it.
func (x *exchange) about(o gateway.Object, raw *llm.Raw) (*gateway.Inquiry, *llm.Error) {
	p, c, e := x.gw.Keeper(o)
	if e != nil {
		return nil, e
	}
	raw.Path = "/" + url.PathEscape(o.ID) + raw.Path
	return &gateway.Inquiry{Provider: p, Credential: c, Target: o.Target, Raw: raw}, nil
}

// load reads the client's body. The caller frees it.
func (x *exchange) load() (*wire.Buffer, *llm.Error) {
	if e := x.encoded(); e != nil {
		return nil, e
	}
	return x.raw()
}

// raw is load for a body that may be encoded.
func (x *exchange) raw() (*wire.Buffer, *llm.Error) {
	buf := wire.NewBuffer()
	if e := x.read(buf); e != nil {
		buf.Free()
		return nil, e
	}
	return buf, nil
}

// inquire makes a call of a provider with the client's header and credential; the
// rest is filled in. Answers are relayed, and what they tell of tokens is not
// counted where q.Read is nil: it was counted when it was spent, or, as the
// results of batches, is the vendor's bill alone. The caller closes the response.
func (x *exchange) inquire(q *gateway.Inquiry) (*llm.Response, *llm.Error) {
	if e := x.prepare(q); e != nil {
		if q.Raw.Body != nil {
			_ = q.Raw.Body.Close()
		}
		return nil, e
	}
	return q.Ask(x.r.Context())
}

// prepare fills in what is the client's in an inquiry.
func (x *exchange) prepare(q *gateway.Inquiry) *llm.Error {
	t := x.trail
	x.req = &llm.Request{ID: t.ID, Op: x.asked.op, Proto: x.asked.proto, Model: q.Target, N: 1, Header: x.r.Header, Credential: x.own, Trail: t}
	if e := x.say(x.req); e != nil {
		return e
	}
	q.Raw.Header, q.Raw.Credential, q.Trail, q.Deadline = x.r.Header, x.own, t, x.req.Deadline
	if q.Read == nil {
		q.Read = func(resp *http.Response) llm.Stream { return wire.Relay(resp, math.MaxInt64) }
	}
	t.Model, t.Admitted = q.Target, time.Now()
	return nil
}
