package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
	"github.com/sluicegate/sluice/internal/wire/scan"
)

// maxErrorBody is how much of an error answer is read.
const maxErrorBody = 64 << 10

// send makes one attempt: one HTTP call, or as many as there are answers to
// give where the vendor gives one at a time. Errors are *llm.Error, or come
// from ctx.
func (l *line) send(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	if req.Op == llm.OpRealtime {
		return l.dial(ctx, req)
	}
	switch b := req.Body.(type) {
	case *wire.Parts:
		if l.same(req) {
			return l.relay(ctx, req, content{b.Payload(l.model.Name), b.ContentType()})
		}
	case *wire.Form:
		v := l.acc.set.Vendor
		if !l.passes(req, b) {
			return l.translate(ctx, req)
		}
		params := l.model.Params
		if req.Clamp > 0 {
			params = clamped(params, protocol.Of(req.Proto).Bound(b, v.Name), req.Clamp)
		}
		body := content{Payload: protocol.Of(req.Proto).Payload(b, wire.Rewrite{
			Model: l.name, Usage: wire.UsageMode(v.Usage), Params: params, Op: req.Op, Stream: req.Stream, Dialect: v.Name,
			DropEncoding: req.Op == llm.OpEmbedding && (v.Floats || v.Vectors == wire.VectorInt8 && req.Vectors != llm.VectorsAsSent),
		})}
		switch {
		case req.Op.Relayed():
			return l.relay(ctx, req, body)
		case req.Op == llm.OpCount:
			return l.orEstimate(req)(l.pass(ctx, req, body))
		}
		return l.pass(ctx, req, body)
	}
	return nil, unasked(req.Op)
}

// same reports whether the vendor speaks the client's protocol.
func (l *line) same(req *llm.Request) bool {
	return slices.Contains(l.speaks(req.Op), req.Proto) && !l.differs(req.Op)
}

// passes reports whether the client's own words can go to the vendor.
func (l *line) passes(req *llm.Request, b *wire.Form) bool {
	return l.same(req) && b.Shape().Proto == req.Proto && (!l.acc.set.Vendor.Single || req.N <= 1) && !l.foreign(req, b) && req.Prefix == "" && clampable(req)
}

// speaks are the protocols in which the vendor may be asked for an operation.
func (l *line) speaks(op llm.Op) []llm.Proto {
	switch op {
	case llm.OpChat, llm.OpCompletion, llm.OpCount, llm.OpCompact:
		return l.protos
	}
	return l.all
}

// foreign reports whether the vendor's copy of the client's protocol lacks
// words that the body has and others for them.
func (l *line) foreign(req *llm.Request, b *wire.Form) bool {
	f := protocol.Of(req.Proto).Foreign
	return f != nil && req.Op == llm.OpChat && f(b, l.acc.set.Vendor.Name)
}

// differs reports whether the vendor has words of its own for an operation of
// the protocol that it speaks.
func (l *line) differs(op llm.Op) bool {
	d := l.acc.set.Vendor.Differs
	return d != nil && d(op, l.model.Name)
}

// unasked is the error for an operation that the vendor does not have.
func unasked(op llm.Op) *llm.Error {
	return wire.Unsupported("model", "this model's vendor cannot be asked for "+op.String()+"; ask another model")
}

// content is a body on its way with its type, "" for JSON.
type content struct {
	*wire.Payload
	kind string
}

// relay sends the client's bytes and gives back what comes.
func (l *line) relay(ctx context.Context, req *llm.Request, body content) (*llm.Response, error) {
	resp, err := l.call(ctx, req, route{proto: req.Proto, op: req.Op}, body, body.Size(), body.kind)
	if err != nil {
		return nil, err
	}
	out := l.response(req.Proto, resp)
	out.Stream = protocol.Relay(req.Op, resp)
	return out, nil
}

// pass sends the client's bytes to a vendor of its protocol.
func (l *line) pass(ctx context.Context, req *llm.Request, body content) (*llm.Response, error) {
	p := protocol.Of(req.Proto)
	resp, err := l.call(ctx, req, route{proto: req.Proto, op: req.Op, stream: req.Stream}, body, body.Size(), "")
	if err != nil {
		return nil, err
	}
	out := l.response(req.Proto, resp)
	var e *llm.Error
	if req.Stream {
		out.Stream, e = wire.Pass(resp, p.Watch(req), func(b []byte) *llm.Error {
			_, bad := p.Inspect(req.Op, b)
			return bad
		})
	} else {
		out.Stream, e = p.Pass(req, resp, l.acc.set.Vendor.Vectors)
	}
	if e != nil {
		return nil, e
	}
	out.Fixed = p.Prefix == nil
	if !req.Events {
		return out, nil
	}
	switch v := p.VendorOf(req.Op); {
	case v == nil:
	case req.Stream:
		out.Stream = wire.Both(out.Stream, v.Decoder(&wire.Call{}))
	default:
		out.Stream = wire.BothWhole(out.Stream, v)
	}
	return out, nil
}

// translate asks a vendor of another protocol.
func (l *line) translate(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	switch {
	case req.Op == llm.OpCount:
		return l.orEstimate(req)(l.count(ctx, req))
	case req.Op.Embeds():
		return l.embed(ctx, req)
	case req.Op == llm.OpRerank:
		return l.rerank(ctx, req)
	}
	if req.Op != llm.OpChat && req.Op != llm.OpCompletion {
		return nil, unasked(req.Op)
	}
	chat, e := req.Body.Chat()
	if e != nil {
		return nil, e
	}
	proto, e := l.proto(req)
	if e != nil {
		return nil, e
	}
	p := protocol.Of(proto)
	chat = begun(chat, req)
	n := 1
	if chat.N > 1 && (!p.Several || l.acc.set.Vendor.Single) {
		one := *chat
		n, one.N = chat.N, 1
		chat = &one
	}
	call, e := p.Vendor.Encode(chat, l.target(req.Stream))
	if e != nil {
		return nil, e
	}
	call.N = chat.N
	if e := strict(req, call); e != nil {
		return nil, e
	}
	if l.model.Params != nil {
		if call.Body, e = wire.Apply(l.model.Params, call.Body); e != nil {
			return nil, e
		}
	}
	if n > maxFan {
		return nil, &llm.Error{Kind: llm.KindInvalidRequest, Param: "n", Message: fmt.Sprintf("\"n\" may be at most %d for a vendor that gives one answer at a time", maxFan)}
	}
	return l.several(ctx, req, proto, call, n)
}

// proto is the protocol for a request that is translated.
func (l *line) proto(req *llm.Request) (llm.Proto, *llm.Error) {
	switch {
	case req.Prefix != "":
		for _, p := range l.protos {
			if can := protocol.Of(p).Prefix; can != nil && can(l.target(req.Stream)) {
				return p, nil
			}
		}
		return 0, wire.Unsupported("on_cut", "this model's vendor cannot be told to go on with an answer")
	case slices.Contains(l.protos, req.Proto):
		return req.Proto, nil
	}
	return l.protos[0], nil
}

// begun returns the chat as req wants it: with the beginning of the answer, and
// for no more tokens than it may have.
func begun(chat *llm.Chat, req *llm.Request) *llm.Chat {
	if req.Prefix == "" && req.Clamp == 0 {
		return chat
	}
	c := *chat
	if n := int64(req.Clamp); n > 0 && (c.MaxOutput == 0 || c.MaxOutput > n) {
		c.MaxOutput = n
	}
	if req.Prefix != "" {
		c.Open = true
		c.Messages = append(slices.Clip(c.Messages), llm.Message{Role: llm.RoleAssistant, Blocks: []llm.Block{{Kind: llm.BlockText, Text: req.Prefix}}})
	}
	return &c
}

// clampable reports whether the bound on the answer, if there is one, can be
// put into the client's own body.
func clampable(req *llm.Request) bool { return req.Clamp == 0 || protocol.Of(req.Proto).Bound != nil }

// clamped adds the bound on the answer, a member of that name, to the operator's
// changes, where they do not bound it closer.
func clamped(p *wire.Params, name string, most int) *wire.Params {
	out := wire.Params{}
	if p != nil && slices.ContainsFunc(p.Set, func(f wire.Field) bool {
		n, err := strconv.Atoi(string(f.Value))
		return f.Name == name && err == nil && n <= most
	}) {
		return p
	}
	if p != nil {
		out = *p
	}
	out.Set = append(slices.Clip(out.Set), wire.Field{Name: name, Value: strconv.AppendInt(nil, int64(most), 10)})
	return &out
}

// strict is the error for a call that loses something where nothing may be lost.
func strict(req *llm.Request, call *wire.Call) *llm.Error {
	if !req.Strict || len(call.Lossy) == 0 {
		return nil
	}
	return wire.Unsupported(call.Lossy[0], "the model's vendor cannot be told "+strings.Join(call.Lossy, ", ")+", and x-sluice-strict forbids to leave it out")
}

// target is what a codec must know of the model.
func (l *line) target(stream bool) wire.Target {
	return wire.Target{Model: l.model.Name, MaxOutput: int64(l.model.MaxOutput), Stream: stream, Dialect: l.acc.set.Vendor.Name}
}

// ask makes one call in a vendor's words.
func (l *line) ask(ctx context.Context, req *llm.Request, proto llm.Proto, call *wire.Call) (*llm.Response, error) {
	p := protocol.Of(proto)
	if len(call.Header) > 0 {
		told := *req
		told.Header = http.Header{}
		maps.Copy(told.Header, req.Header)
		maps.Copy(told.Header, call.Header)
		req = &told
	}
	resp, err := l.call(ctx, req, route{proto: proto, op: llm.OpChat, stream: req.Stream, begun: req.Prefix != ""}, newBody(call.Body), int64(len(call.Body)), "")
	if err != nil {
		return nil, err
	}
	out := l.response(proto, resp)
	var e *llm.Error
	if out.Stream, e = wire.Translate(resp, p.Vendor, call, req.Stream, p.Stream); e != nil {
		return nil, e
	}
	out.Lossy = func() []string { return call.Lossy }
	return out, nil
}

// call makes one HTTP call with a body of that size and type, "" for JSON. An
// answer that is no success is an error.
func (l *line) call(ctx context.Context, req *llm.Request, r route, body io.ReadCloser, size int64, kind string) (*http.Response, error) {
	u := l.urls[r]
	if u == nil {
		_ = body.Close()
		return nil, unasked(req.Op)
	}
	if e := l.lacks(req.Credential); e != nil {
		_ = body.Close()
		return nil, e
	}
	hr := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: l.headers(req, r.proto, kind), Body: body, ContentLength: size,
	}
	if s := l.acc.set.Signer; s != nil {
		if err := sign(ctx, s, hr); err != nil {
			return nil, err
		}
	}
	if req.Sent != nil {
		hr.Body = &leaving{hr.Body, req.Sent}
	}
	resp, err := l.acc.transport.RoundTrip(hr.WithContext(ctx))
	if err != nil {
		return nil, l.broken(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, l.refused(r.proto, resp)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		_ = resp.Body.Close()
		return nil, wire.BadAnswer("content encoding was not asked for")
	}
	return resp, nil
}

// leaving is a body that tells when it begins to be read, which transports do
// once they are connected.
type leaving struct {
	io.ReadCloser
	sent func()
}

func (b *leaving) Read(p []byte) (int, error) {
	b.sent()
	return b.ReadCloser.Read(p)
}

// sign reads the whole body, which signatures are made of.
func sign(ctx context.Context, s Signer, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return fmt.Errorf("reading the body to sign it: %w", err)
	}
	r.Body = newBody(body)
	if err := s.Sign(ctx, r, body); err != nil {
		_ = r.Body.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// Nothing was written, and the next try may have one: no quarantine.
		return &llm.Error{Kind: llm.KindConnect, Message: "the gateway has no credential for the vendor now; tell the operator", Err: err}
	}
	return nil
}

func (l *line) response(proto llm.Proto, resp *http.Response) *llm.Response {
	out := &llm.Response{Status: resp.StatusCode, Proto: proto, Header: resp.Header, Quota: l.quota(proto, resp.Header)}
	for _, name := range [...]string{"X-Request-Id", "Request-Id", "X-Amzn-Requestid"} {
		if v := resp.Header[name]; len(v) > 0 {
			out.VendorID = v[0]
			break
		}
	}
	return out
}

// quota is what an answer tells of the provider's limits. Those of a client's
// own credential are nobody else's.
func (l *line) quota(proto llm.Proto, h http.Header) *llm.Quota {
	if l.acc.set.Client {
		return nil
	}
	return QuotaOf(proto, h, time.Now)
}

// broken explains a call without an answer.
func (l *line) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var d *dialError
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &d) || errors.As(err, &untrusted) || refusedTLS(err) {
		return &llm.Error{Kind: llm.KindConnect, Message: "provider " + l.acc.set.Name + " could not be reached", Err: err}
	}
	return &llm.Error{Kind: llm.KindUpstream, Message: "provider " + l.acc.set.Name + " broke the connection", Err: err}
}

// refusals are the alerts with which a vendor refuses us (RFC 8446 §6.2, RFC
// 7301 §3.2). In TLS 1.3 those that are about the gateway's certificate come in
// the place of an answer: our side of the handshake is over by then.
var refusals = [...]tls.AlertError{40, 42, 43, 44, 45, 46, 48, 49, 70, 71, 112, 116, 120}

// unborn is what net/http says of a new HTTP/2 connection that the alert ended
// before it was used. The error itself is not exported.
const unborn = "http2: client conn could not be established"

// refusedTLS reports whether err is such an alert: nothing was read of the
// request, and asking again is of no use.
func refusedTLS(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" { // as crypto/tls marks alerts
		return err.Error() == unborn
	}
	for _, a := range refusals {
		if op.Err.Error() == a.Error() {
			return true
		}
	}
	return false
}

// refused reads an answer that is no success.
func (l *line) refused(proto llm.Proto, resp *http.Response) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		b = nil
	}
	e := Classify(proto, resp.StatusCode, resp.Header, b, time.Now())
	if l.acc.set.Client {
		ownFault(e, resp.StatusCode, b)
	}
	e.Proto, e.Quota = proto, l.quota(proto, resp.Header)
	if e.Status == 0 { // else it is what the client is told
		e.Status = resp.StatusCode
	}
	if e.Err == nil {
		e.Err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return e
}

// lacks is the error for a request without the credential that the client itself
// must bring.
func (l *line) lacks(own llm.Credential) *llm.Error {
	if !l.acc.set.Client || own.Secret != "" {
		return nil
	}
	return &llm.Error{Kind: llm.KindInvalidKey, Message: fmt.Sprintf(
		"provider %q takes your own key for %s; send it as \"Authorization: Bearer …\" or \"x-api-key\", and this gateway's key as \"x-sluice-key\"", l.acc.set.Name, l.acc.set.Vendor.Title)}
}

// ownFault makes what a vendor says of a client's own credential the
// client's: it has no bearing on other clients.
func ownFault(e *llm.Error, status int, body []byte) {
	said := ""
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		said = "the vendor refused your own credential"
	case http.StatusPaymentRequired:
		said = "your own account at the vendor is out of credit"
	case http.StatusTooManyRequests:
		said = "your own limit at the vendor is reached; try again later"
	}
	switch e.Kind {
	case llm.KindCredential, llm.KindCredit, llm.KindRateLimited:
		if said == "" { // as it is for everybody
			return
		}
		e.Kind, e.Message = llm.KindCaller, said
		if body = unlisted(body); isObject(body) && scan.Valid(body) {
			e.Raw = body
		}
	}
}
