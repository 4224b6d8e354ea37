package cloud

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	exampleKey    = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// The published examples of AWS's Signature Version 4 test suite.
func TestSigV4Suite(t *testing.T) {
	bare(t)
	for _, c := range []struct{ name, method, target, kind, body, signed, signature string }{
		{"get-vanilla", "GET", "/", "", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"post-vanilla", "POST", "/", "", "", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-x-www-form-urlencoded", "POST", "/", "application/x-www-form-urlencoded", "Param1=value1", "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
				s := must[*AWSSigner](t)(AWS(AWSOptions{AccessKey: exampleKey, SecretKey: exampleSecret, Region: "us-east-1", Service: "service"}))
				r := httptest.NewRequest(c.method, "https://example.amazonaws.com"+c.target, strings.NewReader(c.body))
				if c.kind != "" {
					r.Header.Set("Content-Type", c.kind)
				}
				if err := s.Sign(t.Context(), r, []byte(c.body)); err != nil {
					t.Fatal(err)
				}
				equal(t, "authorization", r.Header.Get("Authorization"),
					"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+c.signed+", Signature="+c.signature)
				equal(t, "date", r.Header.Get("X-Amz-Date"), "20150830T123600Z")
			})
		})
	}
}

func hmac256(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// verify computes the signature of a request as the server got it, from the
// specification alone.
func verify(t *testing.T, r *http.Request, body []byte, secret, region string) {
	t.Helper()
	auth := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(auth, "SignedHeaders=")
	names, signature, ok := strings.Cut(rest, ", Signature=")
	if !ok {
		t.Errorf("authorization: %q", auth)
		return
	}
	var headers strings.Builder
	for name := range strings.SplitSeq(names, ";") {
		v := r.Header.Get(name)
		if name == "host" {
			v = r.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(v))
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	var escaped strings.Builder
	for _, c := range []byte(path) { // the path is escaped once more
		if c == '/' || c == '-' || c == '_' || c == '.' || c == '~' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			escaped.WriteByte(c)
		} else {
			fmt.Fprintf(&escaped, "%%%02X", c)
		}
	}
	params := strings.Split(query, "&")
	slices.Sort(params)
	sum := sha256.Sum256(body)
	canonical := strings.Join([]string{r.Method, escaped.String(), strings.Join(params, "&"), headers.String(), names, hex.EncodeToString(sum[:])}, "\n")
	date := r.Header.Get("X-Amz-Date")
	scope := date[:8] + "/" + region + "/bedrock/aws4_request"
	sum = sha256.Sum256([]byte(canonical))
	key := hmac256(hmac256(hmac256(hmac256([]byte("AWS4"+secret), date[:8]), region), "bedrock"), "aws4_request")
	equal(t, "signature of "+r.RequestURI, signature, hex.EncodeToString(hmac256(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))))
}

func TestAWSSignsWhatIsSent(t *testing.T) {
	bare(t)
	var got atomic.Pointer[http.Request]
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(r) })
	s := must[*AWSSigner](t)(AWS(AWSOptions{AccessKey: exampleKey, SecretKey: exampleSecret, Session: "hush-session", Region: "eu-west-1"}))
	equal(t, "region", s.Region(), "eu-west-1")
	for _, path := range []string{
		"/model/anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
		"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
		"/model/arn:aws:bedrock:eu-west-1:123456789012:inference-profile%2Feu.x/converse",
		"/foundation-models?byProvider=a&byOutputModality=TEXT",
	} {
		body := []byte(`{"messages":[]}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Amz-Date", "19990101T000000Z") // a client's
		r.Header.Set("X-Other", " a   b ")
		if err := s.Sign(t.Context(), r, body); err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		sent := got.Load()
		verify(t, sent, body, exampleSecret, "eu-west-1")
		equal(t, "session token", sent.Header.Get("X-Amz-Security-Token"), "hush-session")
	}
}

func TestAWSBody(t *testing.T) {
	bare(t)
	s := must[*AWSSigner](t)(AWS(AWSOptions{AccessKey: exampleKey, SecretKey: exampleSecret, Region: "us-east-1"}))
	r := httptest.NewRequest(http.MethodPost, "https://x.example/", strings.NewReader("{}"))
	if err := s.Sign(t.Context(), r, nil); err == nil {
		t.Error("a body that is not known was signed")
	}
	r = httptest.NewRequest(http.MethodGet, "https://x.example/", nil)
	r.Header.Set("X-Amz-Security-Token", "a client's")
	if err := s.Sign(t.Context(), r, nil); err != nil {
		t.Error(err)
	}
	equal(t, "session token", r.Header.Get("X-Amz-Security-Token"), "")
}

func TestAWSBearer(t *testing.T) {
	bare(t)
	t.Setenv("AWS_REGION", "us-west-2")
	t.Setenv("AWS_BEARER_TOKEN_BEDROCK", "key-env")
	equal(t, "environment", authorized(t, must[*AWSSigner](t)(AWS(AWSOptions{}))), "Bearer key-env")
	equal(t, "option", authorized(t, must[*AWSSigner](t)(AWS(AWSOptions{Bearer: "key-opt"}))), "Bearer key-opt")
	has(t, authorized(t, must[*AWSSigner](t)(AWS(AWSOptions{AccessKey: "AKID", SecretKey: "s"}))), "AWS4-HMAC-SHA256 Credential=AKID/")
}

// credentialOf returns the access key that a signature names.
func credentialOf(t *testing.T, s Signer) string {
	t.Helper()
	_, rest, _ := strings.Cut(authorized(t, s), "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

func soon() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }

func TestAWSChain(t *testing.T) {
	token := file(t, "token", "jwt-of-the-pod")
	shared := file(t, "config", `
[default]
region = eu-north-1
aws_access_key_id = AKIDEFAULT
aws_secret_access_key = s
[profile other]
region = eu-south-1
aws_access_key_id = AKIOTHER
aws_secret_access_key = s
[profile single]
region = us-east-1
sso_session = corp
sso_account_id = 123456789012
sso_role_name = ask
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.example/start
`)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys := `{"AccessKeyId": %q, "SecretAccessKey": "s", "Token": "t", "Expiration": %q, "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC"}`
		switch r.Method + " " + r.URL.Path {
		case "PUT /latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			reply(w, 200, "imds-v2")
		case "GET /latest/meta-data/iam/security-credentials/":
			equal(t, "IMDSv2 token", r.Header.Get("X-Aws-Ec2-Metadata-Token"), "imds-v2")
			reply(w, 200, "role-1")
		case "GET /latest/meta-data/iam/security-credentials/role-1":
			equal(t, "IMDSv2 token", r.Header.Get("X-Aws-Ec2-Metadata-Token"), "imds-v2")
			reply(w, 200, keys, "AKIMDS", soon())
		case "GET /pod":
			equal(t, "container's authorization", r.Header.Get("Authorization"), "jwt-of-the-pod")
			reply(w, 200, keys, "AKIPOD", soon())
		case "POST /":
			equal(t, "web identity", r.PostFormValue("WebIdentityToken"), "jwt-of-the-pod")
			equal(t, "action", r.PostFormValue("Action"), "AssumeRoleWithWebIdentity")
			w.Header().Set("Content-Type", "text/xml")
			_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, soon())
		case "GET /federation/credentials":
			equal(t, "SSO token", r.Header.Get("X-Amz-Sso_bearer_token"), "sso-token")
			reply(w, 200, `{"roleCredentials": {"accessKeyId": "AKISSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": %d}}`, time.Now().Add(time.Hour).UnixMilli())
		default:
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
			http.NotFound(w, r)
		}
	})
	for _, c := range []struct {
		name   string
		env    map[string]string
		opt    AWSOptions
		key    string
		region string
	}{
		{"environment", map[string]string{"AWS_ACCESS_KEY_ID": "AKIENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "r-1"}, AWSOptions{}, "AKIENV", "r-1"},
		{"shared file", map[string]string{"AWS_CONFIG_FILE": shared}, AWSOptions{}, "AKIDEFAULT", "eu-north-1"},
		{"AWS_PROFILE", map[string]string{"AWS_CONFIG_FILE": shared, "AWS_PROFILE": "other"}, AWSOptions{}, "AKIOTHER", "eu-south-1"},
		{"profile", map[string]string{"AWS_CONFIG_FILE": shared, "AWS_ACCESS_KEY_ID": "AKIENV", "AWS_SECRET_ACCESS_KEY": "s"}, AWSOptions{Profile: "other", Region: "r-2"}, "AKIOTHER", "r-2"},
		{"SSO", map[string]string{"AWS_CONFIG_FILE": shared, "AWS_ENDPOINT_URL_SSO": srv.URL}, AWSOptions{Profile: "single"}, "AKISSO", "us-east-1"},
		{"web identity", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_ENDPOINT_URL_STS": srv.URL, "AWS_REGION": "r-3"}, AWSOptions{}, "AKIWEB", "r-3"},
		{"pod", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token, "AWS_DEFAULT_REGION": "r-4"}, AWSOptions{}, "AKIPOD", "r-4"},
		{"instance", map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.URL}, AWSOptions{Region: "r-5"}, "AKIMDS", "r-5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bare(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if c.name == "SSO" {
				ssoCache(t)
			}
			s := must[*AWSSigner](t)(AWS(c.opt))
			equal(t, "region", s.Region(), c.region)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { equal(t, "access key", credentialOf(t, s), c.key) })
			}
			wg.Wait()
		})
	}
}

// ssoCache writes what `aws sso login` leaves for the session corp.
func ssoCache(t *testing.T) {
	t.Helper()
	dir := filepath.Join(os.Getenv("HOME"), ".aws", "sso", "cache")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%x.json", sha1.Sum([]byte("corp")))
	if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, `{"accessToken": "sso-token", "expiresAt": %q}`, soon()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAWSRefusals(t *testing.T) {
	bare(t)
	if _, err := AWS(AWSOptions{}); err == nil {
		t.Error("no region, and nobody complains")
	} else {
		has(t, err.Error(), "AWS_REGION")
	}
	if _, err := AWS(AWSOptions{AccessKey: "a", Region: "r"}); err == nil {
		t.Error("half a pair of keys was taken")
	}
	if _, err := AWS(AWSOptions{Profile: "nowhere", Region: "r"}); err == nil {
		t.Error("a profile that does not exist was taken")
	} else {
		has(t, err.Error(), "nowhere")
	}
	t.Run("nobody there", func(t *testing.T) {
		s := must[*AWSSigner](t)(AWS(AWSOptions{Region: "r"}))
		has(t, refused(t, s, llm.KindConnect), "AWS_ACCESS_KEY_ID (not set)", "the instance's role", "set AWS_BEARER_TOKEN_BEDROCK")
	})
	t.Run("a login that is none", func(t *testing.T) {
		t.Setenv("AWS_CONFIG_FILE", file(t, "config", "[default]\nregion = r\nsso_session = s\nsso_account_id = 1\nsso_role_name = x\n[sso-session s]\nsso_region = r\nsso_start_url = https://x.example\n"))
		has(t, refused(t, must[*AWSSigner](t)(AWS(AWSOptions{})), llm.KindCredential), "aws sso login")
	})
	t.Run("STS says no", func(t *testing.T) {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 403, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>`)
		})
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "token", "hush-jwt"))
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
		t.Setenv("AWS_ENDPOINT_URL_STS", srv.URL)
		s := must[*AWSSigner](t)(AWS(AWSOptions{Region: "r"}))
		has(t, refused(t, s, llm.KindCredential, "hush-jwt"), "AWS_WEB_IDENTITY_TOKEN_FILE", "AccessDenied")
	})
}
