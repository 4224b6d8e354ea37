package gateway

import (
	"slices"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/tenant"
	"github.com/sluicegate/sluice/internal/upstream"
)

// Home returns the provider of something new that a vendor is to keep, asked in a
// protocol: that of the model which the client names, "" for none, else of
// default_model, else the first whose vendor is known to keep files and of whose
// models the caller may ask for one.
func (g *Gateway) Home(model string, proto llm.Proto, grant *tenant.Grant) (*Provider, *llm.Error) {
	if model != "" {
		m, e := g.Model(&llm.Request{Model: model}, grant)
		if e != nil {
			return nil, e
		}
		if all := g.Homes(m, proto); len(all) > 0 {
			return all[0], nil
		}
		return nil, homeless("the vendor of this model is not asked in the protocol of this path; name a model of one that is")
	}
	if m, ok := g.Lookup(g.DefaultModel); ok && g.DefaultModel != "" && grant.May(g.DefaultModel) {
		if all := g.Homes(m, proto); len(all) > 0 {
			return all[0], nil
		}
	}
	for _, p := range g.Providers {
		at := func(t *upstream.Target) bool { return t.Provider() == p.Name }
		if p.Files && p.Speaks(proto) && (grant.May(p.Name+"/*") || g.reaches(grant, at)) {
			return p, nil
		}
	}
	return nil, homeless("no provider here is known to keep this; name a model of the one that is meant, as \"model\" in the form or the query")
}

func homeless(why string) *llm.Error {
	return &llm.Error{Kind: llm.KindUnsupported, Param: "model", Message: "\"model\": " + why}
}

// Homes returns the providers of a model's targets that are asked in a protocol,
// in the order of its targets.
func (g *Gateway) Homes(m *Model, proto llm.Proto) []*Provider {
	var all []*Provider
	for _, t := range m.Targets() {
		if p, ok := g.Provider(t.Provider()); ok && p.Speaks(proto) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// At returns what the model is called at a provider that one of its targets is
// at.
func (m *Model) At(p *Provider) string {
	all := m.Targets()
	return all[slices.IndexFunc(all, func(t *upstream.Target) bool { return t.Provider() == p.Name })].Vendor
}

// MayUse reports whether a caller may ask for a vendor's model at a provider, by
// its own name or by one of the gateway's.
func (g *Gateway) MayUse(grant *tenant.Grant, p *Provider, model string) bool {
	id := p.Name + "/" + model
	return grant.May(id) || g.reaches(grant, func(t *upstream.Target) bool { return t.ID == id })
}

// reaches reports whether a model that a caller may ask for has a target with a
// property.
func (g *Gateway) reaches(grant *tenant.Grant, is func(*upstream.Target) bool) bool {
	return slices.ContainsFunc(g.names, func(name string) bool {
		m, ok := g.Lookup(name)
		return ok && grant.May(name) && slices.ContainsFunc(m.Targets(), is)
	})
}
