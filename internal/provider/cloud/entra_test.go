package cloud

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestEntra(t *testing.T) {
	token := file(t, "federated", "jwt-of-the-pod\n")
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tenant-1/oauth2/v2.0/token":
			equal(t, "grant", r.PostFormValue("grant_type"), "client_credentials")
			equal(t, "scope", r.PostFormValue("scope"), "https://cognitiveservices.azure.com/.default")
			equal(t, "client", r.PostFormValue("client_id"), "client-1")
			equal(t, "basic authorization", r.Header.Get("Authorization"), "")
			if r.PostFormValue("client_secret") == "secret-1" {
				reply(w, 200, `{"token_type": "Bearer", "expires_in": 3599, "access_token": "tok-secret"}`)
				return
			}
			equal(t, "assertion", r.PostFormValue("client_assertion"), "jwt-of-the-pod")
			equal(t, "assertion's type", r.PostFormValue("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			reply(w, 200, `{"token_type": "Bearer", "expires_in": 3599, "access_token": "tok-workload"}`)
		case "/msi/token":
			equal(t, "version", r.URL.Query().Get("api-version"), "2019-08-01")
			equal(t, "resource", r.URL.Query().Get("resource"), "https://cognitiveservices.azure.com")
			equal(t, "header", r.Header.Get("X-IDENTITY-HEADER"), "id-header")
			reply(w, 200, `{"access_token": "tok-app", "expires_on": "%d", "resource": "x", "token_type": "Bearer"}`, time.Now().Add(time.Hour).Unix())
		case "/metadata/identity/oauth2/token":
			equal(t, "metadata", r.Header.Get("Metadata"), "true")
			equal(t, "version", r.URL.Query().Get("api-version"), "2018-02-01")
			reply(w, 200, `{"access_token": "tok-machine-%s", "expires_in": "3599", "expires_on": "%s", "token_type": "Bearer"}`,
				r.URL.Query().Get("client_id"), strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
		default:
			t.Errorf("asked for %s", r.URL.Path)
			http.NotFound(w, r)
		}
	})
	who := map[string]string{"AZURE_TENANT_ID": "tenant-1", "AZURE_CLIENT_ID": "client-1", "AZURE_AUTHORITY_HOST": srv.URL + "/"}
	for _, c := range []struct {
		name string
		envs []map[string]string
		opt  EntraOptions
		want string
	}{
		{"client secret", []map[string]string{who, {"AZURE_CLIENT_SECRET": "secret-1"}}, EntraOptions{}, "tok-secret"},
		{"options", nil, EntraOptions{Tenant: "tenant-1", ClientID: "client-1", Secret: "secret-1", Authority: srv.URL}, "tok-secret"},
		{"options before the environment", []map[string]string{who, {"AZURE_CLIENT_SECRET": "secret-1"}}, EntraOptions{TokenFile: token}, "tok-workload"},
		{"workload identity", []map[string]string{who, {"AZURE_FEDERATED_TOKEN_FILE": token}}, EntraOptions{}, "tok-workload"},
		{"app", []map[string]string{{"IDENTITY_ENDPOINT": srv.URL + "/msi/token", "IDENTITY_HEADER": "id-header"}}, EntraOptions{}, "tok-app"},
		{"machine", []map[string]string{{"AZURE_POD_IDENTITY_AUTHORITY_HOST": srv.URL}}, EntraOptions{}, "tok-machine-"},
		{"machine, an identity of its own", []map[string]string{{"AZURE_POD_IDENTITY_AUTHORITY_HOST": srv.URL, "AZURE_CLIENT_ID": "mi-1"}}, EntraOptions{}, "tok-machine-mi-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bare(t)
			for _, env := range c.envs {
				for k, v := range env {
					t.Setenv(k, v)
				}
			}
			s := must[*EntraSigner](t)(Entra(c.opt))
			r := request(t)
			r.Header.Set("Api-Key", "a client's")
			if err := s.Sign(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
			equal(t, "authorization", r.Header.Get("Authorization"), "Bearer "+c.want)
			equal(t, "api-key", r.Header.Get("Api-Key"), "")
			s.token.mu.Lock()
			life := time.Until(s.token.ends)
			s.token.mu.Unlock()
			if life < 50*time.Minute || life > time.Hour {
				t.Errorf("the token is kept for %s", life)
			}
		})
	}
}

func TestEntraRefusals(t *testing.T) {
	bare(t)
	if _, err := Entra(EntraOptions{Secret: "hush-1"}); err == nil {
		t.Error("a secret without a tenant was taken")
	} else {
		has(t, err.Error(), "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
	}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reply(w, 400, `{"error": "invalid_request", "error_description": "Identity not found"}`)
			return
		}
		reply(w, 401, `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}`)
	})
	s := must[*EntraSigner](t)(Entra(EntraOptions{Tenant: "t", ClientID: "c", Secret: "hush-1", Authority: srv.URL}))
	has(t, refused(t, s, llm.KindCredential, "hush-1"), "the client secret", "invalid_client", "AADSTS7000215", "set AZURE_TENANT_ID")

	s = must[*EntraSigner](t)(Entra(EntraOptions{Tenant: "t", ClientID: "c", TokenFile: filepath.Join(t.TempDir(), "none"), Authority: srv.URL}))
	has(t, refused(t, s, llm.KindCredential), "workload identity", "cannot be read")

	s = must[*EntraSigner](t)(Entra(EntraOptions{}))
	has(t, refused(t, s, llm.KindConnect), "the machine's managed identity", "AZURE_CLIENT_SECRET")

	if err := os.Setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", srv.URL); err != nil { // bare puts it back
		t.Fatal(err)
	}
	s = must[*EntraSigner](t)(Entra(EntraOptions{}))
	has(t, refused(t, s, llm.KindCredential), "400")
}
