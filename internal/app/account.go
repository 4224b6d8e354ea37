package app

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicegate/sluice/internal/config"
	"github.com/sluicegate/sluice/internal/gateway"
	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/provider"
	"github.com/sluicegate/sluice/internal/provider/cloud"
)

// account is a provider that was built.
type account struct {
	cfg  config.Provider
	row  *provider.Vendor
	acc  *provider.Account
	keys []string // "" for a vendor without keys
}

// accounts builds the providers of the file.
func (b *builder) accounts(gw *gateway.Gateway) {
	for _, p := range b.cfg.Providers {
		path := "providers." + p.Name
		row, ok := provider.VendorByName(p.Kind)
		if !ok {
			b.errorf(path+".kind", "no vendor %q; sluice providers lists them", p.Kind)
			continue
		}
		a := &account{cfg: p, row: row}
		base := b.credentials(a)
		own := len(a.keys) == 1 && p.APIKeys != nil && p.APIKeys[0] == config.ClientKey
		if own {
			a.keys = []string{""}
		}
		signer, place, err := b.cloud(a, base)
		if err != nil {
			b.errorf(path, "provider %q: %v", p.Name, err)
			continue
		}
		base = cmp.Or(p.BaseURL, place, base)
		if row.NeedsKey() && a.keys[0] == "" && !own && signer == nil {
			b.errorf(path, "provider %q has no key; set %s or write api_key", p.Name, strings.Join(row.KeyEnv, " or "))
			continue
		}
		if b.itself(cmp.Or(base, row.BaseURL)) {
			b.errorf(path+".base_url", "this is the gateway's own address (listen); give one of the two another port")
			continue
		}
		set := provider.Settings{Name: p.Name, Vendor: row, BaseURL: base, Connect: p.Timeouts.Connect, Headers: map[string]string{}, Proxy: p.Proxy.Reveal(),
			Client: own, Signer: signer}
		if p.Protocol != "" {
			set.Protocol, _ = llm.ProtoByName(p.Protocol)
		}
		if p.CA != "" {
			pem, err := os.ReadFile(p.CA)
			if err != nil {
				b.errorf(path+".ca", "reading the certificate authorities: %v", err)
				continue
			}
			set.CA = string(pem)
		}
		for k, v := range p.Headers {
			set.Headers[k] = v.Reveal()
		}
		if a.acc, err = provider.NewAccount(set, b.sh.Transports); err != nil {
			b.errorf(path, "%v", err)
			continue
		}
		b.providers[p.Name] = a
		b.order = append(b.order, a)
		gw.Providers = append(gw.Providers, b.provider(a))
	}
}

// provider is the account as it is asked beside its models.
func (b *builder) provider(a *account) *gateway.Provider {
	t := a.cfg.Timeouts
	p := &gateway.Provider{
		Name: a.cfg.Name, Protos: a.acc.Protos(), Files: a.row.Files, Header: t.Total, Idle: t.Idle, Total: t.Stream,
		Price: func(model string) *llm.Price {
			m, _ := b.catalog.Lookup(a.row.Name, model)
			return m.Price
		},
	}
	for i, key := range a.keys {
		p.Credentials = append(p.Credentials, gateway.Credential{ID: credentialID(a.cfg.Name, key), Label: strconv.Itoa(i + 1), Ask: a.acc.Raw(key)})
	}
	return p
}

// credentials fills in the keys of a provider and returns the base URL that the
// environment tells, "" for none.
func (b *builder) credentials(a *account) string {
	base, envKey := "", ""
	if b.env.Getenv != nil {
		if host, key, found := a.row.FromEnv(b.env.Getenv); found {
			base, envKey = host, key
		}
	}
	for _, k := range a.cfg.APIKeys {
		a.keys = append(a.keys, k.Reveal())
	}
	if len(a.keys) == 0 && (a.cfg.BaseURL == "" || a.row.NeedsKey()) {
		a.keys = []string{envKey}
	}
	if len(a.keys) == 0 {
		a.keys = []string{""}
	}
	return base
}

// cloud returns what signs a provider's calls, nil where a key is enough, and
// the base URL of its region and project, "" where the vendor is in no cloud;
// told is the one that the environment tells. It calls nobody.
func (b *builder) cloud(a *account, told string) (signer provider.Signer, base string, err error) {
	p, region, project := a.cfg, a.cfg.Region, a.cfg.Project
	getenv := b.env.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	keyless := a.keys[0] == "" && !(len(p.APIKeys) > 0)
	switch {
	case a.row.Auth == provider.AuthAWS:
		region = cmp.Or(region, getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))
		if keyless {
			s, err := cloud.AWS(cloud.AWSOptions{Region: region})
			if err != nil {
				return nil, "", err
			}
			signer, region = s, cmp.Or(region, s.Region())
		}
	case a.row.Auth == provider.AuthGoogle:
		region, project = cmp.Or(region, getenv("GOOGLE_CLOUD_LOCATION")), cmp.Or(project, getenv("GOOGLE_CLOUD_PROJECT"))
		if keyless {
			s, err := cloud.Google(cloud.GoogleOptions{File: p.Credentials, Project: project})
			if err != nil {
				return nil, "", err
			}
			signer, project = s, cmp.Or(project, s.Project())
		}
	case a.row.Name == "azure" && keyless && slices.ContainsFunc(entraEnv, func(name string) bool { return getenv(name) != "" }):
		s, err := cloud.Entra(cloud.EntraOptions{})
		if err != nil {
			return nil, "", err
		}
		return s, "", nil
	}
	if a.row.Place == nil {
		return signer, "", nil
	}
	if base = a.row.Place(region, project); base == "" && p.BaseURL == "" && told == "" {
		if a.row.Auth == provider.AuthGoogle {
			return nil, "", errors.New("where is it? write region and project, or base_url")
		}
		return nil, "", errors.New("where is it? write region or base_url, or set " + a.row.HostEnv)
	}
	return signer, base, nil
}

// entraEnv are the variables by which Azure's tools know that Entra is to be
// asked for a token.
var entraEnv = []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT"}

// itself reports whether a base URL leads back to the gateway.
func (b *builder) itself(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	_, port, err := net.SplitHostPort(b.cfg.Listen)
	return err == nil && port != "0" && u.Port() == port && onLoopback(u.Host)
}
