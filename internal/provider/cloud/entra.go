package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// entraScope is what Azure OpenAI asks for.
	entraScope = "https://cognitiveservices.azure.com/.default"
	// entraHost is the authority of Azure's public cloud.
	entraHost = "https://login.microsoftonline.com"
	// azureMetadata is the instance's metadata service.
	azureMetadata = "http://169.254.169.254"
	// maxAnswer bounds what is read of a managed identity's answer.
	maxAnswer = 64 << 10
)

// EntraOptions say which identity of Microsoft Entra is taken. The zero value
// is the environment's, as Azure's SDKs read it: a client secret
// (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), a workload identity
// (the first two, AZURE_FEDERATED_TOKEN_FILE), the managed identity of an app
// (IDENTITY_ENDPOINT, IDENTITY_HEADER) or of the machine.
type EntraOptions struct {
	Tenant    string // "": AZURE_TENANT_ID
	ClientID  string // "": AZURE_CLIENT_ID; of a managed identity: the system's
	Secret    string // "": AZURE_CLIENT_SECRET
	TokenFile string // of a workload identity; "": AZURE_FEDERATED_TOKEN_FILE
	Authority string // "": AZURE_AUTHORITY_HOST, or the public cloud's
	Scope     string // "": Azure OpenAI's
	// Client calls the authority; nil: one of the package's own.
	Client *http.Client
}

// EntraSigner is a Signer for Azure: a bearer token.
type EntraSigner struct {
	place place
	token kept[string]
}

// Entra returns a signer. It calls nobody.
func Entra(o EntraOptions) (*EntraSigner, error) {
	o.Tenant = first(o.Tenant, os.Getenv("AZURE_TENANT_ID"))
	o.ClientID = first(o.ClientID, os.Getenv("AZURE_CLIENT_ID"))
	if o.Secret == "" && o.TokenFile == "" {
		o.Secret, o.TokenFile = os.Getenv("AZURE_CLIENT_SECRET"), os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	}
	o.Authority = strings.TrimRight(first(o.Authority, os.Getenv("AZURE_AUTHORITY_HOST"), entraHost), "/")
	o.Scope = first(o.Scope, entraScope)
	o.Client = client(o.Client)
	s := &EntraSigner{place: place{cloud: "Microsoft Entra", set: "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or AZURE_FEDERATED_TOKEN_FILE)"}}
	fetch, from := o.source()
	if s.place.from = from; (o.Secret != "" || o.TokenFile != "") && (o.Tenant == "" || o.ClientID == "") {
		return nil, fmt.Errorf("credential of Microsoft Entra: %s needs a tenant and a client; set AZURE_TENANT_ID and AZURE_CLIENT_ID", from)
	}
	s.token.fetch = tokens(fetch)
	return s, nil
}

// source returns what fetches tokens, and what it is called.
func (o EntraOptions) source() (fetch func(context.Context) (*oauth2.Token, error), from string) {
	switch {
	case o.Secret != "":
		return o.secret, "the client secret"
	case o.TokenFile != "":
		return o.workload, "the workload identity's token file"
	case os.Getenv("IDENTITY_ENDPOINT") != "" && os.Getenv("IDENTITY_HEADER") != "":
		return o.app, "AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE (not set), the app's managed identity (IDENTITY_ENDPOINT)"
	}
	return o.machine, "AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE and IDENTITY_ENDPOINT (not set), the machine's managed identity"
}

func (o EntraOptions) secret(ctx context.Context) (*oauth2.Token, error) {
	return o.grant(ctx, o.Secret, nil)
}

// workload sends the token that the platform keeps fresh in a file (RFC 7523
// §2.2).
func (o EntraOptions) workload(ctx context.Context) (*oauth2.Token, error) {
	b, err := os.ReadFile(o.TokenFile)
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, &unusable{"the file cannot be read: " + path.Err.Error()}
	}
	return o.grant(ctx, "", url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {strings.TrimSpace(string(b))},
	})
}

// grant asks the authority by client credentials (RFC 6749 §4.4).
func (o EntraOptions) grant(ctx context.Context, secret string, more url.Values) (*oauth2.Token, error) {
	c := clientcredentials.Config{
		ClientID: o.ClientID, ClientSecret: secret, Scopes: []string{o.Scope}, EndpointParams: more,
		TokenURL:  o.Authority + "/" + url.PathEscape(o.Tenant) + "/oauth2/v2.0/token",
		AuthStyle: oauth2.AuthStyleInParams,
	}
	return c.Token(context.WithValue(ctx, oauth2.HTTPClient, o.Client))
}

// app asks as App Service, Functions and Container Apps document it.
func (o EntraOptions) app(ctx context.Context) (*oauth2.Token, error) {
	return o.managed(ctx, os.Getenv("IDENTITY_ENDPOINT"), "2019-08-01", "X-Identity-Header", os.Getenv("IDENTITY_HEADER"))
}

// machine asks the instance's metadata service, where
// AZURE_POD_IDENTITY_AUTHORITY_HOST may put another.
func (o EntraOptions) machine(ctx context.Context) (*oauth2.Token, error) {
	host := strings.TrimRight(first(os.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"), azureMetadata), "/")
	return o.managed(ctx, host+"/metadata/identity/oauth2/token", "2018-02-01", "Metadata", "true")
}

// managed asks a managed identity's endpoint, which wants a resource where
// the authority wants a scope, and a header that a tricked browser or proxy
// would not send.
func (o EntraOptions) managed(ctx context.Context, endpoint, version, header, value string) (*oauth2.Token, error) {
	q := url.Values{"api-version": {version}, "resource": {strings.TrimSuffix(o.Scope, "/.default")}}
	if o.ClientID != "" {
		q.Set("client_id", o.ClientID)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+q.Encode(), nil)
	if err != nil {
		return nil, &unusable{"its endpoint cannot be read as a URL"}
	}
	r.Header.Set(header, value)
	resp, err := local().Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.StatusCode)
	}
	var t struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"` // seconds
		ExpiresOn   json.Number `json:"expires_on"` // Unix seconds
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&t); err != nil {
		return nil, errors.New("the endpoint's answer cannot be read")
	}
	out := &oauth2.Token{AccessToken: t.AccessToken}
	if on, err := strconv.ParseInt(t.ExpiresOn.String(), 10, 64); err == nil && on > 0 {
		out.Expiry = time.Unix(on, 0)
	} else if in, err := strconv.ParseInt(t.ExpiresIn.String(), 10, 64); err == nil && in > 0 {
		out.Expiry = time.Now().Add(time.Duration(in) * time.Second)
	}
	return out, nil
}

// Sign sets Authorization.
func (s *EntraSigner) Sign(ctx context.Context, r *http.Request, _ []byte) error {
	t, err := s.token.get(ctx)
	if err != nil {
		return s.place.wrap(ctx, err)
	}
	r.Header.Del("Api-Key") // Azure would judge it first
	r.Header.Set("Authorization", "Bearer "+t)
	return nil
}
