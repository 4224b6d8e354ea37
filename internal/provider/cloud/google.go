package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// googleScope is what Vertex AI asks for.
const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// GoogleOptions say where Google's credential is. The zero value is
// Application Default Credentials: the file that GOOGLE_APPLICATION_CREDENTIALS
// names, gcloud's file, the metadata server (GCE_METADATA_HOST).
type GoogleOptions struct {
	JSON    []byte       // a credentials file's content; nil: none
	File    string       // a credentials file; "": none. JSON wins
	Project string       // "": GOOGLE_CLOUD_PROJECT, the credential's
	Client  *http.Client // for token endpoints; nil: one of the package's own
}

// GoogleSigner is a Signer for Google Cloud: a bearer token, and the project
// that pays where a user's credential names one.
type GoogleSigner struct {
	place   place
	project string // "": only the machine knows it
	quota   string // X-Goog-User-Project; "": none
	token   kept[string]
}

// googleFile is what is read of a credentials file.
type googleFile struct {
	Type    string `json:"type"`
	Project string `json:"project_id"`
	Quota   string `json:"quota_project_id"`
}

// googleTypes are the credentials files that are understood.
var googleTypes = []google.CredentialsType{
	google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount, google.ExternalAccountAuthorizedUser,
	google.ImpersonatedServiceAccount, google.GDCHServiceAccount,
}

// Google returns a signer. It reads files and calls nobody. A file is read
// again at each refresh.
func Google(o GoogleOptions) (*GoogleSigner, error) {
	const set = "GOOGLE_APPLICATION_CREDENTIALS to a credentials file (or run `gcloud auth application-default login`)"
	s := &GoogleSigner{place: place{cloud: "Google Cloud", set: set}, project: o.Project}
	read, from := googleSource(o)
	s.place.from = from
	if read == nil {
		s.token.fetch = tokens(machineToken)
		s.project = first(s.project, os.Getenv("GOOGLE_CLOUD_PROJECT"))
		return s, nil
	}
	b, err := read()
	if err != nil {
		return nil, fmt.Errorf("credential of Google Cloud: %s: %w", from, err)
	}
	f, err := parseGoogle(b)
	if err != nil {
		return nil, fmt.Errorf("credential of Google Cloud: %s: %w", from, err)
	}
	s.project = first(s.project, os.Getenv("GOOGLE_CLOUD_PROJECT"), f.Project, f.Quota)
	if f.Type == string(google.AuthorizedUser) {
		s.quota = first(os.Getenv("GOOGLE_CLOUD_QUOTA_PROJECT"), f.Quota)
	}
	hc := client(o.Client)
	s.token.fetch = tokens(func(ctx context.Context) (*oauth2.Token, error) { return fileToken(ctx, hc, read) })
	return s, nil
}

// googleSource returns what reads the credentials file, nil for the metadata
// server, and what the source is called.
func googleSource(o GoogleOptions) (read func() ([]byte, error), from string) {
	if o.JSON != nil {
		return func() ([]byte, error) { return o.JSON, nil }, "the credentials of the configuration"
	}
	file, from := o.File, "the credentials file of the configuration"
	if file == "" {
		file, from = os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"), "the file of GOOGLE_APPLICATION_CREDENTIALS"
	}
	if file == "" {
		file, from = gcloudFile(), "gcloud's application default credentials"
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil, "GOOGLE_APPLICATION_CREDENTIALS (not set), gcloud's application default credentials (none), the metadata server"
		}
	}
	return func() ([]byte, error) {
		b, err := os.ReadFile(file)
		var path *os.PathError
		if errors.As(err, &path) {
			err = &unusable{"it cannot be read: " + path.Err.Error()}
		}
		return b, err
	}, from
}

// gcloudFile is where `gcloud auth application-default login` writes.
func gcloudFile() string {
	const name = "application_default_credentials.json"
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		return filepath.Join(dir, name)
	}
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("APPDATA"), "gcloud", name)
	}
	home, _ := os.UserHomeDir() // none: a path that does not exist
	return filepath.Join(home, ".config", "gcloud", name)
}

func parseGoogle(b []byte) (googleFile, error) {
	var f googleFile
	if json.Unmarshal(b, &f) != nil {
		return f, &unusable{"it is not JSON"}
	}
	if !slices.Contains(googleTypes, google.CredentialsType(f.Type)) {
		return f, &unusable{fmt.Sprintf("its type is %.40q; wanted service_account, authorized_user, external_account, external_account_authorized_user, impersonated_service_account or gdch_service_account", f.Type)}
	}
	return f, nil
}

// fileToken asks for a token with a credentials file.
func fileToken(ctx context.Context, hc *http.Client, read func() ([]byte, error)) (*oauth2.Token, error) {
	b, err := read()
	if err != nil {
		return nil, err
	}
	f, err := parseGoogle(b)
	if err != nil {
		return nil, err
	}
	w := &watch{base: hc.Transport}
	watched := *hc
	watched.Transport = w
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &watched)
	c, err := google.CredentialsFromJSONWithType(ctx, b, google.CredentialsType(f.Type), googleScope)
	if err != nil {
		return nil, &unusable{told(err)}
	}
	t, err := c.TokenSource.Token()
	if err != nil && !w.called.Load() { // a private key that is none, a file that is not there
		return nil, &unusable{told(err)}
	}
	return t, err
}

// watch tells whether anybody was called: x/oauth2 does not wrap all errors
// of the network.
type watch struct {
	base   http.RoundTripper // nil: http.DefaultTransport
	called atomic.Bool
}

func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	w.called.Store(true)
	if w.base == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	return w.base.RoundTrip(r)
}

// machineToken asks the metadata server for a token of the machine's service
// account.
func machineToken(ctx context.Context) (*oauth2.Token, error) {
	s, err := metadata.NewClient(local()).GetWithContext(ctx, "instance/service-accounts/default/token?scopes="+url.QueryEscape(googleScope))
	if err != nil {
		return nil, err
	}
	var t struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if json.NewDecoder(strings.NewReader(s)).Decode(&t) != nil || t.AccessToken == "" {
		return nil, &unusable{"the metadata server answered without a token"}
	}
	out := &oauth2.Token{AccessToken: t.AccessToken}
	if t.ExpiresIn > 0 {
		out.Expiry = time.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	return out, nil
}

// Sign sets Authorization.
func (s *GoogleSigner) Sign(ctx context.Context, r *http.Request, _ []byte) error {
	t, err := s.token.get(ctx)
	if err != nil {
		return s.place.wrap(ctx, err)
	}
	r.Header.Set("Authorization", "Bearer "+t)
	if s.quota != "" && r.Header.Get("X-Goog-User-Project") == "" {
		r.Header.Set("X-Goog-User-Project", s.quota)
	}
	return nil
}

// Project returns the project that options, environment or credential
// tell, "" where only the machine knows it. It calls nobody.
func (s *GoogleSigner) Project() string { return s.project }

// first returns the first that is not empty, "" if none.
func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
