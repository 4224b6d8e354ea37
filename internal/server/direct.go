package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// direct is where any vendor is asked as it is: a provider's name follows, then
// the vendor's own path.
const direct = "/p/"

// direct asks a vendor what the client asks, with the provider's credential in
// the place of the gateway's key, and relays what comes, whatever it is. What a
// vendor keeps is not bound to keys here: whoever may ask a provider as it is may
// ask about all that is in its account.
func (s *Server) direct(w http.ResponseWriter, r *http.Request, _ string) {
	s.admit(asked{proto: protoOf(r), op: llm.OpPassthrough}, w, r, func(x *exchange) {
		q, e := x.passage()
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
		x.relay(resp)
		if x.trail.Err == nil {
			x.trail.Err = gateway.Unwell(resp.Status)
		}
	})
}

// passage makes an inquiry of the request, if its caller may make it.
func (x *exchange) passage() (*gateway.Inquiry, *llm.Error) {
	r := x.r
	escaped, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), direct), "/")
	name, err := url.PathUnescape(escaped)
	if path = "/" + path; err != nil || !tame(path) {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "the path must name its place without \".\" and \"..\" segments"}
	}
	p, ok := x.gw.Provider(name)
	if !ok {
		return nil, &llm.Error{Kind: llm.KindPathNotFound, Message: fmt.Sprintf("no provider %q here; /p/{provider}/… asks one as it is", bounded(name))}
	}
	if protocol.Of(p.Protos[0]).Client != nil {
		x.asked.proto = p.Protos[0] // errors come as the vendor's do
	}
	raw := &llm.Raw{Op: llm.OpPassthrough, Proto: x.asked.proto, Method: r.Method, Path: path, Query: r.URL.RawQuery}
	if key := r.URL.Query().Get("key"); geminiKey(r) != "" || own(x.gw.Keys, key) {
		raw.Query = without(raw.Query, "key")
	}
	model, e := x.loadNaming(p, raw)
	if e != nil {
		return nil, e
	}
	q := &gateway.Inquiry{Provider: p, Credential: p.Own(x.grant.Name), Target: p.Name + "/" + model, Model: model, Raw: raw, Read: relayed}
	if model == "" {
		q.Target = p.Name + "/*"
	}
	if r.Method != http.MethodPost { // what it tells was counted before
		q.Read = nil
	}
	if !x.grant.May(p.Name+"/*") && !(r.Method == http.MethodPost && model != "" && x.grant.May(q.Target)) {
		if raw.Body != nil {
			_ = raw.Body.Close()
		}
		return nil, &llm.Error{Kind: llm.KindModelNotAllowed, Message: fmt.Sprintf(
			"this key may not ask %s as it is: its models list would have to hold %q, or the model that is asked", p.Name, p.Name+"/*")}
	}
	return q, nil
}

// loadNaming reads the body and finds the vendor's model that the request names in its
// path or its body, "" where it names none, or two and the caller may not ask for
// both.
func (x *exchange) loadNaming(p *gateway.Provider, raw *llm.Raw) (model string, e *llm.Error) {
	model = modelIn(raw.Path)
	if x.r.ContentLength == 0 {
		return model, nil
	}
	buf := wire.NewBuffer()
	if e := x.read(buf); e != nil {
		buf.Free()
		return "", e
	}
	b := buf.B
	raw.Body, raw.Size, raw.Type = wire.Patched(buf), int64(len(b)), x.r.Header.Get("Content-Type")
	if named := bodyModel(b); named != "" && model == "" {
		return named, nil
	} else if named != "" && named != model && !x.grant.May(p.Name+"/"+named) { // whichever the vendor takes
		return "", nil
	}
	return model, nil
}

// bodyModel is the model that a JSON body names, "" if it names none, or more
// than one that a vendor could take.
func bodyModel(b []byte) string {
	v, ok := only(b, "model")
	several, one := only(b, "models") // some vendors choose among several
	model, _ := scan.String(v)
	if !ok || !one || several != nil || wire.CheckName(model) != nil {
		return ""
	}
	return model
}

// modelIn is the model in a path of Gemini's, Bedrock's or Azure's kind, "" if
// there is none.
func modelIn(path string) string {
	for _, before := range [...]string{"/models/", "/model/", "/deployments/"} {
		if _, rest, ok := strings.Cut(path, before); ok {
			if i := strings.IndexAny(rest, "/:"); i >= 0 && before != "/model/" {
				rest = rest[:i]
			} else if before == "/model/" { // ids of Bedrock's hold colons
				rest, _, _ = strings.Cut(rest, "/")
			}
			if name, err := url.PathUnescape(rest); err == nil && wire.CheckName(name) == nil {
				return name
			}
		}
	}
	return ""
}

// tame reports whether an escaped path stays below where it is put, however
// often the vendor decodes it.
func tame(path string) bool {
	for range 4 {
		if strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return false
		}
		for _, seg := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if seg, _, _ = strings.Cut(seg, ";"); seg == "." || seg == ".." {
				return false
			}
		}
		next, err := url.PathUnescape(path)
		if err != nil || next == path { // nothing is left to decode
			return true
		}
		path = next
	}
	return false
}

// without takes the members of a name out of an escaped query.
func without(query, name string) string {
	pairs := strings.Split(query, "&")
	return strings.Join(slices.DeleteFunc(pairs, func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		return err != nil || key == name
	}), "&")
}

// relayed makes an answer of a call beside models.
func relayed(resp *http.Response) llm.Stream { return protocol.Relay(llm.OpPassthrough, resp) }
