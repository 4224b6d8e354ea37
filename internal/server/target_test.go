package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sluicegate/sluice/internal/tenant"
)

func TestOrderPath(t *testing.T) {
	for path, want := range map[string]string{
		"/admin/v1/targets/openai/gpt-4o/drain":       "openai/gpt-4o",
		"/admin/v1/targets/groq/meta/llama-3/undrain": "groq/meta/llama-3",
		"/admin/v1/targets/a/drain/reset":             "a/drain",
		"/admin/v1/targets/drain":                     "",
		"/admin/v1/targets//drain":                    "",
		"/admin/v1/targets/a/b":                       "",
		"/admin/v1/targets/a/b/Drain":                 "",
		"/admin/v1/targets/a/b/drain/":                "",
		"/admin/v1/targets":                           "",
		"/v1/admin/v1/targets/a/b/drain":              "",
	} {
		if _, id, ok := order(path); id != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", path, id, ok, want)
		}
	}
}

// at is a request that came to an address of this machine.
func at(ip, method, url string, header ...string) *http.Request {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080}))
}

// Where there are no keys, orders are taken from who is on this machine, and
// from nobody whom a proxy, a tunnel or a name brings to its loopback.
func TestHere(t *testing.T) {
	const local = "http://127.0.0.1:8080"
	old := at("127.0.0.1", "POST", local)
	old.ProtoMinor = 0
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"curl":                {at("127.0.0.1", "POST", local), true},
		"by name":             {at("127.0.0.1", "POST", "http://LocalHost:8080"), true},
		"IPv6":                {at("::1", "POST", "http://[::1]:8080"), true},
		"IPv6, no port":       {at("::1", "POST", "http://[::1]"), true},
		"another address":     {at("10.0.0.1", "POST", local), false},
		"another name":        {at("127.0.0.1", "POST", "http://rebound.example:8080"), false},
		"a name like it":      {at("127.0.0.1", "POST", "http://localhost.example"), false},
		"an address as name":  {at("127.0.0.1", "POST", "http://127.0.0.1.example"), false},
		"a proxy's":           {at("127.0.0.1", "POST", local, "X-Forwarded-For", "192.0.2.1"), false},
		"a proxy's, standard": {at("127.0.0.1", "POST", local, "Forwarded", "for=192.0.2.1"), false},
		"nginx's":             {at("127.0.0.1", "POST", local, "X-Real-IP", "192.0.2.1"), false},
		"a proxy that is old": {old, false},
	} {
		if here(c.r) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
	s := front(t, says("{}"))
	s.deps.Reload = func() error { return nil }
	s.deps.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		r    *http.Request
		want int
	}{
		"an order":             {at("127.0.0.1", "POST", local+"/admin/v1/reload"), 200},
		"a stranger's order":   {at("127.0.0.1", "POST", local+"/admin/v1/reload", "X-Forwarded-For", "192.0.2.1"), 403},
		"a page's order":       {at("127.0.0.1", "POST", "http://rebound.example/admin/v1/reload"), 403},
		"metrics":              {at("127.0.0.1", "GET", local+"/metrics"), 200},
		"a stranger's metrics": {at("127.0.0.1", "GET", local+"/metrics", "X-Forwarded-For", "192.0.2.1"), 403},
	} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, c.r); w.Code != c.want {
			t.Errorf("%s: got %d, want %d", name, w.Code, c.want)
		}
	}
}

// The admin listener serves what is its own, and a process that ends asks its
// clients to go on to the next, which takes their orders.
func TestAdmin(t *testing.T) {
	keys, err := tenant.NewKeys([]tenant.Key{{Name: "operator", Secret: "ours", Operator: true}}, tenant.Anyone())
	if err != nil {
		t.Fatal(err)
	}
	s := front(t, says("{}"))
	s.deps.Current().Keys = keys
	s.deps.Reload = func() error { return nil }
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Admin().ServeHTTP(w, at("10.0.0.1", method, "http://gateway"+path, "Authorization", "Bearer ours"))
		return w
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/models": 404, "/v1/models/quiz": 404} {
		if w := ask("GET", path); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	for _, ending := range []func(){nil, s.Retire, s.Drain} {
		want, connection := 200, ""
		if ending != nil {
			ending()
			want, connection = 503, "close"
		}
		w := ask("POST", "/admin/v1/reload")
		if w.Code != want || w.Header().Get("Connection") != connection || (w.Header().Get("Retry-After") == "1") != (want == 503) {
			t.Errorf("an order: got %d with %v, want %d", w.Code, w.Header(), want)
		}
	}
}
