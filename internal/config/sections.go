package config

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
)

// inFlightSpec is a number of requests, or auto, which is 0.
func inFlightSpec() spec[int] {
	n := whole(1, maxCount)
	doc := schema{AnyOf: append([]*schema{{Enum: literals([]string{"auto"})}}, n.doc.AnyOf...)}
	return spec[int]{doc: doc, read: func(d *decoder, v value, dst *int) {
		if v.kind == kindText && v.node.text == "auto" {
			*dst = 0
			return
		}
		n.read(d, v, dst)
	}}
}

// standbySpec is a number of connections, or auto, which is -1.
func standbySpec() spec[int] {
	n := whole(0, 16)
	doc := schema{AnyOf: append([]*schema{{Enum: literals([]string{"auto"})}}, n.doc.AnyOf...)}
	return spec[int]{doc: doc, read: func(d *decoder, v value, dst *int) {
		if v.kind == kindText && v.node.text == "auto" {
			*dst = -1
			return
		}
		n.read(d, v, dst)
	}}
}

// orOff is a duration, or off, which is 0.
func orOff(s spec[time.Duration]) spec[time.Duration] {
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"off"})}, &s.doc}}
	return spec[time.Duration]{doc: doc, read: func(d *decoder, v value, dst *time.Duration) {
		if v.kind == kindText && v.node.text == "off" {
			*dst = 0
			return
		}
		s.read(d, v, dst)
	}}
}

// regionsSpec is a list of names, each once.
func regionsSpec() spec[[]string] {
	l := list(text(schema{MinLength: 1}, func(s string) string {
		if s == "" {
			return "write a name such as eu"
		}
		return checkWord(s)
	}), 100)
	read := l.read
	l.read = func(d *decoder, v value, dst *[]string) {
		read(d, v, dst)
		for i, s := range *dst {
			if s != "" && slices.Index(*dst, s) < i {
				d.failf(value{v.vals[i], ""}, "%s names %s twice: keep one", v.path, quote(v.vals[i].text))
			}
		}
	}
	return l
}

func storeSpec() spec[string] {
	doc := orEnv(schema{Type: "string", Pattern: "^(sqlite|sqlite:.+|none)$"})
	return spec[string]{doc: doc, read: func(d *decoder, v value, dst *string) {
		s, ok := d.line(v)
		if !ok {
			return
		}
		switch path, ok := strings.CutPrefix(s, "sqlite:"); {
		case s == "sqlite" || s == "none" || ok && path != "":
			*dst = s
		case strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://"):
			d.failf(v, "%s: postgres is not built yet", v.path)
		default:
			d.failf(v, "%s is not understood: write sqlite, sqlite:PATH or none", v.path) // may hold a password
		}
	}}
}

func stateSpec() spec[string] {
	doc := orEnv(schema{Enum: literals([]string{"memory"})})
	return spec[string]{doc: doc, read: func(d *decoder, v value, dst *string) {
		s, ok := d.line(v)
		switch {
		case !ok:
		case s == "memory":
			*dst = s
		case strings.HasPrefix(s, "redis://") || strings.HasPrefix(s, "rediss://"):
			d.failf(v, "%s: redis is not built yet", v.path)
		default:
			d.failf(v, "%s is not understood: write memory", v.path) // may hold a password
		}
	}}
}

// fallbackSpec is a list of models and targets, or off, which is nil.
func fallbackSpec() spec[[]string] {
	l := list(text(schema{MinLength: 1}, checkTarget), 100)
	doc := schema{AnyOf: []*schema{{Enum: literals([]string{"off"})}, &l.doc}}
	return spec[[]string]{doc: doc, read: func(d *decoder, v value, dst *[]string) {
		if v.kind == kindText {
			if v.node.text != "off" {
				d.failf(v, "%s is %s: write a list such as [smart, openai/gpt-4o], or off", v.path, v.show())
			}
			*dst = nil
			return
		}
		var names []string
		l.read(d, v, &names)
		*dst = names
		seen := make(map[string]bool, len(names))
		for i, name := range names {
			if name != "" && seen[name] {
				d.failf(value{v.vals[i], ""}, "%s names %s twice: keep one", v.path, quote(v.vals[i].text))
			}
			seen[name] = true
		}
		if len(names) == 0 {
			*dst = nil
		}
	}}
}

// globsSpec is the names a key may ask for.
func globsSpec() spec[[]string] {
	l := list(text(schema{MinLength: 1}, checkGlob), maxItems)
	return filled(l, "names nothing: name models, or leave it out for all")
}

// NewProvider returns a provider of vendor kind with the file's timeouts,
// retry, breaker and health and nothing else set.
func (c *Config) NewProvider(name, kind string) Provider {
	return Provider{Name: name, Kind: kind, Timeouts: c.Timeouts, Retry: c.Retry, Breaker: c.Breaker, Health: c.Health}
}

// providersSpec is a list of vendors, or a mapping from names to providers.
func providersSpec() spec[[]Provider] {
	one := providerSpec()
	vendor := text(schema{MinLength: 1, Description: "name of a vendor"}, checkProvider)
	doc := schema{AnyOf: []*schema{
		{Type: "array", Items: &vendor.doc},
		{Type: "object", Values: &schema{AnyOf: []*schema{{Type: "null"}, &one.doc}}},
	}}
	return spec[[]Provider]{doc: doc, read: func(d *decoder, v value, dst *[]Provider) {
		switch v.kind {
		case kindNull:
		case kindSequence:
			*dst = d.vendors(v, vendor)
		case kindMapping:
			out := make([]Provider, 0, len(v.keys))
			d.each(v, func(key *node, x value) {
				if d.name(key, v.path, checkProvider) {
					p := d.c.NewProvider(key.text, key.text)
					one.read(d, x, &p)
					out = append(out, p)
				}
			})
			*dst = out
		default:
			d.failf(v, "%s is %s: write a list of vendors such as [openai, anthropic], or a mapping from names to providers", v.path, v.what())
		}
	}}
}

// vendors reads the short form of providers.
func (d *decoder) vendors(v value, vendor spec[string]) []Provider {
	items, _ := d.items(v, maxItems)
	out := make([]Provider, 0, len(items))
	seen := map[string]bool{}
	for _, x := range items {
		if x.kind == kindMapping {
			d.failf(x, "%s is a mapping: write the name of a vendor, or make providers a mapping: {name: {kind: …}}", x.path)
			continue
		}
		if x.kind == kindText && !d.name(x.node, x.path, checkProvider) {
			continue
		}
		var name string
		if vendor.read(d, x, &name); name == "" {
			continue
		}
		if seen[name] {
			d.failf(x, "providers names %s twice: keep one", x.show())
			continue
		}
		seen[name] = true
		d.mark(join(v.path, name), nil, x.node)
		out = append(out, d.c.NewProvider(name, name))
	}
	return out
}

// name reports whether a key of the mapping at path is a good name.
func (d *decoder) name(key *node, path string, check func(string) string) bool {
	if strings.Contains(key.text, "${") {
		d.fail(key.Position, path+": names are not read from the environment: write the name itself")
		return false
	}
	if msg := check(key.text); msg != "" {
		d.fail(key.Position, path+": "+quote(key.text)+" cannot stand here: "+msg)
		return false
	}
	return true
}

func providerSpec() spec[Provider] {
	s := object(
		on("kind", "", "vendor; default: the provider's name", text(schema{MinLength: 1}, checkProvider), func(p *Provider) *string { return &p.Kind }),
		on("protocol", "", "the only protocol to speak with the vendor; default: those of its row", protocolSpec(), func(p *Provider) *string { return &p.Protocol }),
		on("base_url", "", "where the vendor's API is, with or without the version path", urlSpec(), func(p *Provider) *string { return &p.BaseURL }),
		on("api_key", "", "credential; default: the vendor's environment variable", apiKeySpec(), func(p *Provider) *[]Secret { return &p.APIKeys }),
		on("api_keys", "", "several credentials", apiKeysSpec(), func(p *Provider) *[]Secret { return &p.APIKeys }),
		on("headers", "", "headers of every call", headersSpec(), func(p *Provider) *map[string]Secret { return &p.Headers }),
		on("proxy", "", "proxy of every call: http://host:port, with user:password@ where it wants them", proxySpec(), func(p *Provider) *Secret { return &p.Proxy }),
		on("ca", "", "file of further certificate authorities (PEM)", text(schema{}, func(string) string { return "" }), func(p *Provider) *string { return &p.CA }),
		on("timeouts", "", "instead of the file's", bare(timeoutsSpec()), func(p *Provider) *Timeouts { return &p.Timeouts }),
		on("retry", "", "instead of the file's", bare(retrySpec()), func(p *Provider) *Retry { return &p.Retry }),
		on("breaker", "", "instead of the file's", bare(breakerSpec()), func(p *Provider) *Breaker { return &p.Breaker }),
		on("health", "", "instead of the file's", healthOverSpec(), func(p *Provider) *Health { return &p.Health }),
		on("limits", "", "what each credential may do; what is left out is not limited", quotaSpec(), func(p *Provider) *Quota { return &p.Limits }),
		on("region", "", "where it runs, one of regions where there are any; for bedrock and vertex the cloud's own name", text(schema{}, checkWord), func(p *Provider) *string { return &p.Region }),
		on("project", "", "Google Cloud project, for vertex; default: that of the credentials", text(schema{}, checkWord), func(p *Provider) *string { return &p.Project }),
		on("credentials", "", "file of the cloud's credentials, for vertex; default: the cloud's own search", text(schema{}, func(string) string { return "" }), func(p *Provider) *string { return &p.Credentials }),
	)
	read := s.read
	s.read = func(d *decoder, v value, dst *Provider) {
		read(d, v, dst)
		if v.kind != kindMapping {
			return
		}
		one, several := v.entry("api_key"), v.entry("api_keys")
		if one != nil && several != nil {
			d.fail(several.Position, join(v.path, "api_keys")+" stands beside api_key: keep one of them")
		}
	}
	return s
}

func quotaSpec() spec[Quota] {
	return object(
		on("rpm", "", "calls a minute: as many at once, then one by one", whole[int64](1, maxToken), func(q *Quota) *int64 { return &q.RPM }),
		on("tpm", "", "tokens a minute, of prompts and answers", whole[int64](1, maxToken), func(q *Quota) *int64 { return &q.TPM }),
		on("concurrent", "", "calls at the same time", whole[int64](1, maxCount), func(q *Quota) *int64 { return &q.Concurrent }),
	)
}

// urlSpec is the base of a vendor's API. A wrong one is not shown: it may hold
// credentials.
func urlSpec() spec[string] {
	return spec[string]{doc: schema{Type: "string"}, read: func(d *decoder, v value, dst *string) {
		s, ok := d.line(v)
		if !ok {
			return
		}
		if msg := checkURL(s); msg != "" {
			d.failf(v, "%s is not the base URL of an API: %s", v.path, msg)
			return
		}
		*dst = s
	}}
}

// proxySpec is the URL of a proxy. It may hold a password, so it is a secret.
func proxySpec() spec[Secret] {
	doc := schema{Type: "string"}
	return spec[Secret]{doc: doc, read: func(d *decoder, v value, dst *Secret) {
		s, ok := d.line(v)
		if !ok || s == "" {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isHost(u.Hostname()) || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			d.failf(v, "%s is not the URL of a proxy: write one such as http://proxy.example:3128", v.path)
			return
		}
		*dst = Secret(s)
	}}
}

// entry returns the key node of a mapping, nil if it has none.
func (n *node) entry(name string) *node {
	for _, key := range n.keys {
		if key.text == name {
			return key
		}
	}
	return nil
}

// ClientKey stands for the client's own credential where a provider says
// "api_key: client".
const ClientKey = Secret("client")

// Protocols are the values of a provider's protocol.
var Protocols = []string{"openai", "responses", "anthropic", "gemini", "bedrock", "cohere", "ollama"}

// checkWord refuses what cannot stand in a host name or a path.
func checkWord(s string) string {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':') {
			return "use letters, digits, -, _, . and : only"
		}
	}
	return ""
}

func protocolSpec() spec[string] { return oneOf(Protocols...) }

func apiKeySpec() spec[[]Secret] {
	one := secret(1)
	return spec[[]Secret]{doc: one.doc, read: func(d *decoder, v value, dst *[]Secret) {
		if v.kind == kindText && v.node.text == "client" {
			*dst = []Secret{ClientKey}
			return
		}
		var s Secret
		if one.read(d, v, &s); s != "" {
			*dst = []Secret{s}
		}
	}}
}

func apiKeysSpec() spec[[]Secret] {
	l := list(secret(1), 1000)
	l.doc.MinItems = 1
	read := l.read
	l.read = func(d *decoder, v value, dst *[]Secret) {
		if v.kind == kindSequence && len(v.vals) == 0 {
			d.failf(v, "%s is empty: write a credential, or leave it out for the vendor's environment variable", v.path)
			return
		}
		var all []Secret
		read(d, v, &all)
		first := map[Secret]int{}
		for i, s := range all {
			if j, ok := first[s]; ok && s != "" {
				d.failf(value{v.vals[i], ""}, "%s[%d] is the same credential as %s[%d]: keep one", v.path, i, v.path, j)
				continue
			}
			first[s] = i
		}
		if len(all) > 0 {
			*dst = all
		}
	}
	return l
}

// unfit are headers that belong to the connection or to the body, not to a
// provider: RFC 9110 §7.6.1 and those that the gateway writes itself.
var unfit = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Host": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Accept-Encoding": true, "Expect": true,
}

// headersSpec is a mapping from the names of headers, made canonical, to
// their values.
func headersSpec() spec[map[string]Secret] {
	val := secret(1)
	val.doc = schema{Type: "string", MinLength: 1}
	doc := schema{Type: "object", Values: &val.doc, Names: &schema{Pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}}
	return spec[map[string]Secret]{doc: doc, read: func(d *decoder, v value, dst *map[string]Secret) {
		if v.kind != kindMapping {
			if v.kind != kindNull {
				d.failf(v, "%s is %s: write a mapping such as {x-team: a}", v.path, v.what())
			}
			return
		}
		out := make(map[string]Secret, len(v.keys))
		d.each(v, func(key *node, x value) {
			name := textproto.CanonicalMIMEHeaderKey(key.text)
			_, twice := out[name]
			switch {
			case name == "" || len(name) > maxName || !allBytes(name, isToken):
				d.fail(key.Position, v.path+": "+quote(key.text)+" is not the name of a header: write letters, digits and -")
			case unfit[name]:
				d.fail(key.Position, v.path+": "+quote(key.text)+" is set by the gateway: remove it")
			case twice:
				d.fail(key.Position, v.path+": "+quote(key.text)+" stands twice, in other letter case: keep one")
			default:
				var s Secret
				val.read(d, x, &s)
				out[name] = s
			}
		})
		*dst = out
	}}
}

// isToken reports whether b may stand in a header's name (RFC 9110 §5.6.2).
func isToken(b byte) bool { return isAlnum(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0 }
