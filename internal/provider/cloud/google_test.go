package cloud

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// bare takes every source of a credential out of the environment, and puts
// metadata servers where nobody answers.
func bare(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, p := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_", "CLOUDSDK_"} {
			if strings.HasPrefix(name, p) {
				t.Setenv(name, "")
				_ = os.Unsetenv(name)
			}
		}
	}
	home := t.TempDir()
	for name, v := range map[string]string{
		"HOME": home, "USERPROFILE": home, "APPDATA": home, "GCE_METADATA_HOST": nobody(t),
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://" + nobody(t), "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://" + nobody(t),
	} {
		t.Setenv(name, v)
	}
}

// nobody returns an address that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func reply(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, format, args...)
}

func request(t *testing.T) *http.Request {
	t.Helper()
	return httptest.NewRequest(http.MethodPost, "https://vendor.example/v1/x", nil).WithContext(t.Context())
}

// authorized signs a request and returns its Authorization.
func authorized(t *testing.T, s Signer) string {
	t.Helper()
	r := request(t)
	if err := s.Sign(t.Context(), r, []byte("{}")); err != nil {
		t.Errorf("sign: %v", err) // may be called by any goroutine
	}
	return r.Header.Get("Authorization")
}

// must returns a signer or ends the test.
func must[S Signer](t *testing.T) func(s S, err error) S {
	return func(s S, err error) S {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// refused signs a request and returns the error, which must be of a kind and
// hold none of the secrets.
func refused(t *testing.T, s Signer, kind llm.Kind, secrets ...string) string {
	t.Helper()
	err := s.Sign(t.Context(), request(t), []byte("{}"))
	var e *llm.Error
	if !errors.As(err, &e) {
		t.Fatalf("sign: %v, want an *llm.Error", err)
	}
	equal(t, "kind", e.Kind, kind)
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	if strings.Contains(e.Message, "127.0.0.1") || strings.Contains(e.Message, "169.254") {
		t.Errorf("the message tells an address: %s", e.Message)
	}
	return err.Error()
}

func has(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%q is not in: %s", p, s)
		}
	}
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// serviceAccount is a credentials file whose token endpoint is at url.
func serviceAccount(t *testing.T, url string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "proj-sa", "client_email": "sa@proj-sa.example", "private_key_id": "kid-1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": url,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// jwtClaims checks the signature of a JWT (RFC 7515, RS256) and returns its
// claims.
func jwtClaims(t *testing.T, jwt string) (claims struct{ Iss, Scope, Aud string }) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Errorf("not a JWT: %q", jwt)
		return claims
	}
	sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, sum[:], sig); err != nil {
		t.Errorf("JWT: %v", err)
	}
	b, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Errorf("JWT claims: %v", err)
	}
	return claims
}

func TestGoogleServiceAccount(t *testing.T) {
	bare(t)
	var calls atomic.Int32
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		c := jwtClaims(t, r.PostFormValue("assertion"))
		equal(t, "iss", c.Iss, "sa@proj-sa.example")
		equal(t, "scope", c.Scope, googleScope)
		equal(t, "aud", c.Aud, "http://"+r.Host+"/token")
		reply(w, 200, `{"access_token": "tok-sa", "expires_in": 3600, "token_type": "Bearer"}`)
	})
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file(t, "sa.json", serviceAccount(t, srv.URL+"/token")))
	s := must[*GoogleSigner](t)(Google(GoogleOptions{}))
	equal(t, "calls at construction", calls.Load(), 0)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { equal(t, "authorization", authorized(t, s), "Bearer tok-sa") })
	}
	wg.Wait()
	equal(t, "calls", calls.Load(), 1)
	equal(t, "project", s.Project(), "proj-sa")
}

func TestGoogleUserAndExternal(t *testing.T) {
	subject := file(t, "subject", "subject-token")
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.PostFormValue("grant_type") {
		case "urn:ietf:params:oauth:grant-type:token-exchange":
			equal(t, "subject token", r.PostFormValue("subject_token"), "subject-token")
			reply(w, 200, `{"access_token": "tok-ext", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600}`)
		default:
			reply(w, 400, `{"error": "unsupported_grant_type"}`)
		}
	})
	external := fmt.Sprintf(`{"type": "external_account", "audience": "//iam.example/p", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": %q, "credential_source": {"file": %q}}`, srv.URL, subject)
	bare(t)
	s := must[*GoogleSigner](t)(Google(GoogleOptions{JSON: []byte(external), Project: "mine"}))
	equal(t, "authorization", authorized(t, s), "Bearer tok-ext")
	equal(t, "project", s.Project(), "mine")
}

// googleUser is a client that takes Google's fixed endpoint for users' tokens to
// a server.
func googleUser(t *testing.T, srv *httptest.Server) *http.Client {
	t.Helper()
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		equal(t, "token endpoint", r.URL.String(), "https://oauth2.googleapis.com/token")
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(srv.URL, "http://")
		return srv.Client().Transport.RoundTrip(r)
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const userFile = `{"type": "authorized_user", "client_id": "cid", "client_secret": "hush-1", "refresh_token": "hush-2", "quota_project_id": "payer"}`

func TestGoogleUser(t *testing.T) {
	bare(t)
	dir := t.TempDir()
	t.Setenv("CLOUDSDK_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(userFile), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		equal(t, "refresh token", r.PostFormValue("refresh_token"), "hush-2")
		reply(w, 200, `{"access_token": "tok-user", "expires_in": 3600, "token_type": "Bearer"}`)
	})
	s := must[*GoogleSigner](t)(Google(GoogleOptions{Client: googleUser(t, srv)}))
	r := request(t)
	if err := s.Sign(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	equal(t, "authorization", r.Header.Get("Authorization"), "Bearer tok-user")
	equal(t, "payer", r.Header.Get("X-Goog-User-Project"), "payer")
}

func TestGoogleMachine(t *testing.T) {
	bare(t)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		equal(t, "flavor", r.Header.Get("Metadata-Flavor"), "Google")
		switch r.URL.Path {
		case "/computeMetadata/v1/instance/service-accounts/default/token":
			equal(t, "scopes", r.URL.Query().Get("scopes"), googleScope)
			reply(w, 200, `{"access_token": "tok-gce", "expires_in": 3599, "token_type": "Bearer"}`)
		default:
			http.NotFound(w, r)
		}
	})
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(srv.URL, "http://"))
	s := must[*GoogleSigner](t)(Google(GoogleOptions{}))
	equal(t, "authorization", authorized(t, s), "Bearer tok-gce")
	equal(t, "project", s.Project(), "")
}

func TestGoogleRefusals(t *testing.T) {
	bare(t)
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   llm.Kind
		tells  []string
	}{
		{"revoked", 400, `{"error": "invalid_grant", "error_description": "Token has been revoked"}`, llm.KindCredential, []string{"invalid_grant", "revoked", "400"}},
		{"an answer that repeats the secret", 401, `{"echo": "hush-2"}`, llm.KindCredential, []string{"401"}},
		{"down", 503, `{}`, llm.KindConnect, []string{"503"}},
		{"slow down", 429, `{}`, llm.KindConnect, []string{"429"}},
		{"moved", 302, ``, llm.KindConnect, []string{"302"}},
		{"no token", 200, `{"token_type": "Bearer"}`, llm.KindConnect, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://elsewhere.example/")
				reply(w, c.status, "%s", c.body)
			})
			s := must[*GoogleSigner](t)(Google(GoogleOptions{JSON: []byte(userFile), Client: googleUser(t, srv)}))
			has(t, refused(t, s, c.kind, "hush-1", "hush-2"), append(c.tells, "the credentials of the configuration", "set GOOGLE_APPLICATION_CREDENTIALS")...)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := must[*GoogleSigner](t)(Google(GoogleOptions{}))
		has(t, refused(t, s, llm.KindConnect), "GOOGLE_APPLICATION_CREDENTIALS (not set)", "the metadata server", "gcloud auth application-default login")
	})
	t.Run("token endpoint away", func(t *testing.T) {
		s := must[*GoogleSigner](t)(Google(GoogleOptions{JSON: []byte(serviceAccount(t, "http://"+nobody(t)))}))
		refused(t, s, llm.KindConnect)
	})
	t.Run("a key that is none", func(t *testing.T) {
		s := must[*GoogleSigner](t)(Google(GoogleOptions{JSON: []byte(`{"type": "service_account", "private_key": "hush-3", "token_uri": "http://127.0.0.1:1"}`)}))
		refused(t, s, llm.KindCredential, "hush-3")
	})
	t.Run("the caller leaves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			reply(w, 503, "")
		})
		s := must[*GoogleSigner](t)(Google(GoogleOptions{JSON: []byte(userFile), Client: googleUser(t, srv)}))
		if err := s.Sign(ctx, request(t), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		_ = s.Sign(t.Context(), request(t), nil) // the refresh has ended
	})
}

func TestGoogleFilesThatAreNone(t *testing.T) {
	bare(t)
	for _, c := range []struct{ name, content, tells string }{
		{"not JSON", `hush-4`, "not JSON"},
		{"another type", `{"type": "hush"}`, "wanted service_account"},
		{"no type", `{"installed": {"client_secret": "hush-4"}}`, "wanted service_account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file(t, "x.json", c.content))
			_, err := Google(GoogleOptions{})
			if err == nil {
				t.Fatal("was taken")
			}
			has(t, err.Error(), c.tells, "GOOGLE_APPLICATION_CREDENTIALS")
			if strings.Contains(err.Error(), "hush-4") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	_, err := Google(GoogleOptions{File: filepath.Join(t.TempDir(), "none.json")})
	if err == nil {
		t.Fatal("a file that does not exist was taken")
	}
	has(t, err.Error(), "cannot be read")
}

// A file that is replaced is read at the next refresh.
func TestGoogleFileIsReadAgain(t *testing.T) {
	bare(t)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("refresh_token") != "new" {
			reply(w, 400, `{"error": "invalid_grant"}`)
			return
		}
		reply(w, 200, `{"access_token": "tok-new", "expires_in": 3600}`)
	})
	path := file(t, "adc.json", userFile)
	s := must[*GoogleSigner](t)(Google(GoogleOptions{File: path, Client: googleUser(t, srv)}))
	refused(t, s, llm.KindCredential)
	if err := os.WriteFile(path, []byte(strings.Replace(userFile, "hush-2", "new", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := s.token.fetch(t.Context())
	equal(t, "error", err, nil)
	equal(t, "token", got, "tok-new")
}
