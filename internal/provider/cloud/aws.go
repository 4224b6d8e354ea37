package cloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"

	"github.com/sluicegate/sluice/internal/llm"
)

// AWSOptions say where the credential of AWS is. The zero value is the
// environment's: AWS_BEARER_TOKEN_BEDROCK, then the default chain of AWS's
// SDKs: AWS_ACCESS_KEY_ID, web identity (AWS_WEB_IDENTITY_TOKEN_FILE), the
// shared files' profile (AWS_PROFILE; keys, roles, SSO, processes), containers
// (AWS_CONTAINER_CREDENTIALS_*), the instance's role by IMDSv2.
type AWSOptions struct {
	AccessKey string // with SecretKey; "": none
	SecretKey string
	Session   string // session token that goes with the keys; "": none
	Bearer    string // an API key of Bedrock; "": none
	Profile   string // of the shared files; "": AWS_PROFILE, or default
	Region    string // "": AWS_REGION, AWS_DEFAULT_REGION, or the profile's
	Service   string // "": bedrock
}

// AWSSigner is a Signer for AWS: Signature Version 4, or Bedrock's API key as
// a bearer token.
type AWSSigner struct {
	place   place
	bearer  string // "": sign
	region  string
	service string
	signer  *v4.Signer
	keys    kept[aws.Credentials]
}

// AWS returns a signer. It reads files; where
// AWS_CONTAINER_CREDENTIALS_FULL_URI names a host, it looks that up; it calls
// nobody.
func AWS(o AWSOptions) (*AWSSigner, error) {
	s := &AWSSigner{
		place:   place{cloud: "AWS", set: "AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"},
		bearer:  o.Bearer,
		service: first(o.Service, "bedrock"),
		signer:  v4.NewSigner(),
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return nil, errors.New("credential of AWS: an access key and a secret key belong together; give both or none")
	}
	if o.Bearer == "" && o.AccessKey == "" && o.Profile == "" {
		s.bearer = strings.TrimSpace(os.Getenv("AWS_BEARER_TOKEN_BEDROCK"))
	}
	calls := &awsCalls{}
	cfg, err := loadAWS(o, calls)
	if err != nil {
		return nil, fmt.Errorf("credential of AWS: %s", told(err))
	}
	if s.region = cfg.Region; s.region == "" {
		return nil, errors.New("credential of AWS: no region; set AWS_REGION, or region in the profile")
	}
	s.place.from = awsSource(cfg.Credentials)
	s.keys.fetch = func(ctx context.Context) (aws.Credentials, time.Time, error) {
		return awsKeys(ctx, cfg.Credentials, calls)
	}
	return s, nil
}

// loadAWS reads the environment and the shared files as AWS's SDKs do.
func loadAWS(o AWSOptions, calls *awsCalls) (aws.Config, error) {
	with := []func(*config.LoadOptions) error{
		config.WithHTTPClient(calls.client()),
		config.WithLogger(logging.Nop{}),
	}
	if o.Region != "" {
		with = append(with, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		with = append(with, config.WithSharedConfigProfile(o.Profile))
	}
	if o.AccessKey != "" {
		with = append(with, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.Session)))
	}
	return config.LoadDefaultConfig(context.Background(), with...)
}

// awsCalls notes whether the chain has called anybody since it was cleared.
type awsCalls struct{ atomic.Bool }

// client is the SDK's own kind of client, the only one to which it adds the
// authorities of AWS_CA_BUNDLE: bounded, without idle connections.
func (c *awsCalls) client() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(callTimeout).WithTransportOptions(func(tr *http.Transport) {
		tr.DisableKeepAlives, tr.MaxResponseHeaderBytes = true, 64<<10 // a call an hour
		tr.Proxy = func(*http.Request) (*url.URL, error) {             // asked for each call; some are to the machine's own endpoints
			c.Store(true)
			return nil, nil
		}
	})
}

// awsSource tells where the chain ended.
func awsSource(p aws.CredentialsProvider) string {
	from, ok := p.(aws.CredentialProviderSource)
	if !ok {
		return "AWS's default chain"
	}
	var names []string
	for _, s := range from.ProviderSources() {
		if name := awsSourceName(s); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "AWS's default chain"
	}
	return strings.Join(names, ", ")
}

func awsSourceName(s aws.CredentialSource) string {
	switch s {
	case aws.CredentialSourceCode:
		return "the keys of the configuration"
	case aws.CredentialSourceEnvVars:
		return "AWS_ACCESS_KEY_ID"
	case aws.CredentialSourceEnvVarsSTSWebIDToken:
		return "AWS_WEB_IDENTITY_TOKEN_FILE"
	case aws.CredentialSourceProfile, aws.CredentialSourceProfileSourceProfile, aws.CredentialSourceProfileNamedProvider,
		aws.CredentialSourceProfileSTSWebIDToken, aws.CredentialSourceProfileSSO, aws.CredentialSourceProfileSSOLegacy,
		aws.CredentialSourceProfileProcess, aws.CredentialSourceProfileLogin:
		return "the shared files' profile"
	case aws.CredentialSourceSSO, aws.CredentialSourceSSOLegacy:
		return "SSO (`aws sso login` renews it)"
	case aws.CredentialSourceProcess:
		return "credential_process"
	case aws.CredentialSourceLogin:
		return "`aws login`"
	case aws.CredentialSourceHTTP:
		return "the container's endpoint"
	case aws.CredentialSourceIMDS:
		return "AWS_ACCESS_KEY_ID (not set), the shared files' profile (no credential), the instance's role"
	}
	return ""
}

// awsKeys asks the chain for new keys. Its own cache is emptied first: kept
// decides when it is time.
func awsKeys(ctx context.Context, p aws.CredentialsProvider, calls *awsCalls) (aws.Credentials, time.Time, error) {
	if c, ok := p.(*aws.CredentialsCache); ok {
		c.Invalidate()
	}
	calls.Store(false)
	c, err := p.Retrieve(ctx)
	if err != nil && !calls.Load() { // a file that is not there, a login that has ended
		err = &unusable{told(err)}
	}
	if err != nil || !c.CanExpire {
		return c, time.Time{}, err
	}
	return c, c.Expires, nil
}

// Region returns the region that signatures are for.
func (s *AWSSigner) Region() string { return s.region }

// Sign signs the method, host, path, query, Content-Type and body. Other
// headers are left out of the signature: proxies may change them.
func (s *AWSSigner) Sign(ctx context.Context, r *http.Request, body []byte) error {
	for _, name := range [...]string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		r.Header.Del(name)
	}
	if s.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+s.bearer)
		return nil
	}
	if body == nil && r.Body != nil && r.Body != http.NoBody {
		return &llm.Error{Kind: llm.KindInternal, Message: "this request cannot be signed", Err: errors.New("AWS: the body is not known")}
	}
	keys, err := s.keys.get(ctx)
	if err != nil {
		return s.place.wrap(ctx, err)
	}
	signed := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	if t := r.Header.Get("Content-Type"); t != "" {
		signed.Header.Set("Content-Type", t)
	}
	sum := sha256.Sum256(body)
	if err := s.signer.SignHTTP(ctx, keys, signed, hex.EncodeToString(sum[:]), s.service, s.region, time.Now()); err != nil {
		return s.place.wrap(ctx, &unusable{told(err)})
	}
	for name, v := range signed.Header {
		r.Header[name] = v
	}
	return nil
}
