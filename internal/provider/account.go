// Package provider reaches vendors: one row per vendor, and one HTTP attempt
// made into an answer.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// Signer puts a credential into a request that no fixed header can carry: a
// token that ends, a signature of the whole. Implementations are safe for
// concurrent use.
type Signer interface {
	// Sign changes the header of r, whose body is body.
	Sign(ctx context.Context, r *http.Request, body []byte) error
}

// Settings make an Account.
type Settings struct {
	Name    string // of the provider
	Vendor  *Vendor
	BaseURL string // "": the vendor's own
	// Protocol is the only one to speak; 0: those of the vendor's row.
	Protocol llm.Proto
	Headers  map[string]string
	Connect  time.Duration
	Proxy    string // URL, "": none
	CA       string // further certificate authorities in PEM, "": none
	// Client: each client's own credential for the vendor travels.
	Client bool
	// Signer is nil where a key in a header is enough.
	Signer Signer
}

// Account reaches one vendor with the credentials of one provider. Safe for
// concurrent use.
type Account struct {
	set       Settings
	transport *kept
	upgrade   *kept  // for WebSockets
	addr      string // host:port
}

// NewAccount returns an account. It dials nobody.
func NewAccount(s Settings, t *Transports) (*Account, error) {
	if s.BaseURL == "" && s.Vendor.BaseURL == "" {
		return nil, fmt.Errorf("provider %q needs a base_url: %s is at no fixed place", s.Name, s.Vendor.Title)
	}
	u, err := url.Parse(s.Vendor.URL(s.BaseURL, route{proto: llm.ProtoOpenAI, op: llm.OpChat}, "m"))
	if err != nil {
		return nil, fmt.Errorf("base_url of provider %q cannot be read as a URL", s.Name)
	}
	way, err := newWay(s.Proxy, s.CA)
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", s.Name, err)
	}
	k := transportKey{name: s.Name, plain: u.Scheme == "http", connect: s.Connect, proxy: s.Proxy, ca: s.CA}
	a := &Account{set: s, transport: t.get(k, way), addr: address(u.Host, ports[u.Scheme])}
	k.upgrade = true
	a.upgrade = t.get(k, way)
	return a, nil
}

// ports are those of URLs that name none.
var ports = map[string]string{"http": "80", "https": "443"}

// Model is what a line must know of the model it leads to.
type Model struct {
	Name      string // the vendor's
	MaxOutput int    // tokens, 0 unknown
	Params    *wire.Params
}

// line is what every call of one target and credential has in common.
type line struct {
	acc    *Account
	model  Model
	name   []byte      // the model's, as a JSON string
	protos []llm.Proto // for chat and what belongs to it
	all    []llm.Proto // for all else
	urls   map[route]*url.URL
	header http.Header // shared; copied into each request
}

// route is what a URL depends on, beside the model.
type route struct {
	proto  llm.Proto
	op     llm.Op
	stream bool
	begun  bool // the vendor is told the beginning of the answer
}

// Line returns a function that makes one call for a model with key.
func (a *Account) Line(m Model, key string) (func(context.Context, *llm.Request) (*llm.Response, error), error) {
	l := &line{acc: a, model: m, header: http.Header{"Content-Type": {"application/json"}}, urls: map[route]*url.URL{}}
	var err error
	if l.name, err = json.Marshal(m.Name); err != nil {
		return nil, fmt.Errorf("model %q: %w", m.Name, err)
	}
	l.protos = a.protos(m.Name)
	if l.all = l.protos; a.set.Protocol == llm.ProtoResponses && slices.Contains(a.set.Vendor.Speaks(m.Name), llm.ProtoOpenAI) {
		l.all = append(slices.Clip(l.all), llm.ProtoOpenAI) // Responses has chat only
	}
	for _, r := range routes(l.all) {
		if only := a.set.Vendor.Only; only != nil && !slices.Contains(only, r.op) {
			continue
		}
		raw := a.set.Vendor.URL(a.set.BaseURL, r, m.Name)
		if l.urls[r], err = url.Parse(raw); err != nil {
			return nil, fmt.Errorf("the URL of model %q at provider %q cannot be read", m.Name, a.set.Name)
		}
	}
	if slices.Contains(l.all, llm.ProtoOpenAI) {
		r := route{proto: llm.ProtoOpenAI, op: llm.OpRealtime, stream: true}
		if l.urls[r], err = url.Parse(realtimeURL(a.set.Vendor, a.set.BaseURL, m.Name)); err != nil {
			return nil, fmt.Errorf("the URL of model %q at provider %q cannot be read", m.Name, a.set.Name)
		}
	}
	for k, v := range a.set.Headers {
		l.header.Set(k, v)
	}
	a.set.Vendor.Authorize(l.header, key)
	return l.send, nil
}

// routes are all that may be asked of a vendor that speaks protos. Whether it
// has the operation is the vendor's to say.
func routes(protos []llm.Proto) (all []route) {
	for _, p := range protos {
		all = append(all, route{proto: p, op: llm.OpChat}, route{proto: p, op: llm.OpChat, stream: true})
		if protocol.Of(p).Prefix != nil {
			all = append(all, route{proto: p, op: llm.OpChat, stream: true, begun: true})
		}
		switch p {
		case llm.ProtoOpenAI:
			all = append(all, route{proto: p, op: llm.OpCompletion}, route{proto: p, op: llm.OpCompletion, stream: true})
			for op := range openAIPaths {
				if op.Relayed() || op == llm.OpEmbedding || op == llm.OpRerank {
					all = append(all, route{proto: p, op: op})
				}
			}
		case llm.ProtoResponses:
			all = append(all, route{proto: p, op: llm.OpCount}, route{proto: p, op: llm.OpCompact})
		case llm.ProtoAnthropic:
			all = append(all, route{proto: p, op: llm.OpCount})
		case llm.ProtoGemini:
			all = append(all, route{proto: p, op: llm.OpCount}, route{proto: p, op: llm.OpEmbedding}, route{proto: p, op: llm.OpEmbeddingBatch})
		case llm.ProtoBedrock, llm.ProtoCohere:
			all = append(all, route{proto: p, op: llm.OpEmbedding}, route{proto: p, op: llm.OpRerank})
		case llm.ProtoOllama:
			all = append(all, route{proto: p, op: llm.OpEmbedding})
		}
	}
	return all
}

// headers builds the header of one call: the client's that may travel, then
// the provider's, then the client's own credential where that is asked for.
func (l *line) headers(req *llm.Request, proto llm.Proto, contentType string) http.Header {
	h := make(http.Header, len(l.header)+4)
	for k, v := range req.Header {
		if owner := owner(k); travels(k) && (owner == 0 || proto == req.Proto && protocol.Of(proto).Envelope == owner) {
			h[k] = v
		}
	}
	for _, list := range req.Header["Connection"] { // names further hop-by-hop headers
		for name := range strings.SplitSeq(list, ",") {
			delete(h, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	for k, v := range l.header {
		h[k] = v
	}
	if contentType != "" {
		h["Content-Type"] = []string{contentType}
	}
	if proto == llm.ProtoAnthropic && h["Anthropic-Version"] == nil {
		h["Anthropic-Version"] = anthropicVersion
	}
	if c := req.Credential; l.acc.set.Client && c.Secret != "" {
		if proto == req.Proto && c.Header != "X-Sluice-Key" {
			h.Set(c.Header, c.Value)
		} else {
			l.acc.set.Vendor.Authorize(h, c.Secret)
		}
	}
	return h
}

// anthropicVersion is what is sent to a vendor of Anthropic's protocol where
// the client did not say: the one that knows all neutral fields.
var anthropicVersion = []string{"2023-06-01"}

// owner is the protocol whose vendors alone a header means something to, 0 for
// one that is anybody's.
func owner(name string) llm.Proto {
	switch {
	case strings.HasPrefix(name, "Anthropic-"), strings.HasPrefix(name, "X-Claude-"):
		return llm.ProtoAnthropic
	case strings.HasPrefix(name, "X-Goog-"):
		return llm.ProtoGemini
	case strings.HasPrefix(name, "Openai-"):
		return llm.ProtoOpenAI
	}
	return 0
}

// travels reports whether a client's header, in canonical form, goes to
// vendors. Hop-by-hop headers (RFC 9110 §7.6.1), credentials, cookies, what
// tells of the client's network, and what is meant for the gateway do not.
func travels(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Content-Length", "Content-Encoding", "Content-Type", "Accept-Encoding", "Expect", "Host",
		"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Openai-Organization", "Openai-Project",
		"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address", "Origin", "Referer", "Idempotency-Key", "X-Idempotency-Key", "X-Request-Id", "Request-Id":
		return false
	}
	for _, p := range [...]string{"X-Sluice-", "X-Stainless-", "X-Forwarded-", "Sec-", "Proxy-", "Cf-", "X-Amz-"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}
