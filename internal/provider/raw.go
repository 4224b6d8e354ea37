package provider

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

// Raw returns a function that calls the vendor with key beside its models. Of
// OpPassthrough it returns what the vendor answers, whatever its status; an
// answer to other operations that is no success is an error. Errors are
// *llm.Error, or come from ctx. The caller closes the answer's body.
func (a *Account) Raw(key string) func(ctx context.Context, r *llm.Raw) (*http.Response, error) {
	l := &line{acc: a, header: http.Header{}, protos: a.protos("")}
	for k, v := range a.set.Headers {
		l.header.Set(k, v)
	}
	a.set.Vendor.Authorize(l.header, key)
	return l.raw
}

// Protos are the protocols of the account's models, first the one for clients of
// others. Where it depends on the model, they are those of an unknown one.
func (a *Account) Protos() []llm.Proto { return a.protos("") }

func (a *Account) protos(model string) []llm.Proto {
	if a.set.Protocol != 0 {
		return []llm.Proto{a.set.Protocol}
	}
	return a.set.Vendor.Speaks(model)
}

func (l *line) raw(ctx context.Context, r *llm.Raw) (*http.Response, error) {
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	if e := l.lacks(r.Credential); e != nil {
		_ = body.Close()
		return nil, e
	}
	v, proto := l.acc.set.Vendor, r.Proto
	where := v.place
	if r.Op == llm.OpPassthrough {
		proto, where = l.protos[0], v.under
	}
	place := where(l.acc.set.BaseURL, proto, r)
	u, err := url.Parse(place)
	if err != nil {
		_ = body.Close()
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Message: "the path cannot be read as one of a URL", Err: err}
	}
	hr := &http.Request{
		Method: r.Method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: body, ContentLength: r.Size,
		Header: l.headers(&llm.Request{Header: r.Header, Proto: proto, Credential: r.Credential}, proto, r.Type),
	}
	if enc := r.Header["Content-Encoding"]; r.Op == llm.OpPassthrough && r.Size > 0 && len(enc) > 0 {
		hr.Header["Content-Encoding"] = enc
	}
	if s := l.acc.set.Signer; s != nil {
		if err := sign(ctx, s, hr); err != nil {
			return nil, err
		}
	}
	resp, err := l.acc.transport.RoundTrip(hr.WithContext(ctx))
	if err != nil {
		return nil, l.broken(ctx, err)
	}
	switch {
	case r.Op == llm.OpPassthrough && !refusal(resp.StatusCode), resp.StatusCode/100 == 2:
		return resp, nil
	}
	return nil, l.refused(proto, resp)
}

// refusal reports whether a status is about the credential that was sent, which
// is no business of those who have another.
func refusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden
}

// place returns where the vendor has r.Op, and r.Path after it.
func (v *Vendor) place(base string, proto llm.Proto, r *llm.Raw) string {
	full, query, _ := strings.Cut(v.URL(base, route{proto: proto, op: r.Op}, ""), "?")
	return join(full+r.Path, merge(query, r.Query))
}

// under returns where the vendor has r.Path under its base URL. A version that
// the path begins with, as the vendor's own clients write it, stands in the place
// of the base's; a path that begins with all of the base's path replaces it.
func (v *Vendor) under(base string, proto llm.Proto, r *llm.Raw) string {
	root, query := v.root(base, proto)
	path := pathOf(root)
	host := strings.TrimSuffix(root, path)
	first, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case path != "" && (r.Path == path || strings.HasPrefix(r.Path, path+"/")):
		path = ""
	case isVersion(first) && isVersion(last):
		path = strings.TrimSuffix(path, "/"+last)
	}
	return join(host+path+r.Path, merge(query, r.Query))
}

// root is what the paths of a vendor's API come behind, with its query: what
// the URLs of all models have in common before the protocol's own path. Where
// the model or the cloud's project stands among it, it is the base as it is.
func (v *Vendor) root(base string, proto llm.Proto) (root, query string) {
	if base == "" {
		base = v.BaseURL
	}
	chat := route{proto: proto, op: llm.OpChat}
	one, query, _ := strings.Cut(v.URL(base, chat, "a"), "?")
	two, _, _ := strings.Cut(v.URL(base, chat, "b"), "?")
	root, ok := strings.CutSuffix(one, chat.path("a"))
	if !ok || v.Place != nil || root != strings.TrimSuffix(two, chat.path("b")) {
		root, query, _ = strings.Cut(base, "?")
		root = strings.TrimRight(root, "/")
	}
	return root, query
}

// merge adds to a client's query what the base URL's has and it has not.
func merge(own, asked string) string {
	if own == "" || asked == "" {
		return own + asked
	}
	has, err := url.ParseQuery(asked)
	if err != nil {
		return asked
	}
	for pair := range strings.SplitSeq(own, "&") {
		if name, _, _ := strings.Cut(pair, "="); !has.Has(name) {
			asked += "&" + pair
		}
	}
	return asked
}
