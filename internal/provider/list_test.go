package provider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An engine's list is what it says, and nothing where it says none; what is no
// list is an error, so that the last one holds.
func TestModels(t *testing.T) {
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id":"m%d"}`, i)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string // "error", else the names
	}{
		{"a list", 200, `{"object":"list","data":[{"id":"a","object":"model"},{"id":"org/b:tag"}]}`, "[a org/b:tag]"},
		{"an empty list", 200, `{"object":"list","data":[]}`, "[]"},
		{"Ollama's empty list", 200, `{"object":"list","data":null}`, "[]"},
		{"names that are none", 200, `{"data":[{"id":""},{"id":"a\nb"},{"id":"` + strings.Repeat("n", 300) + `"},{},{"id":"c"}]}`, "[c]"},
		{"no list", 200, `{}`, "error"},
		{"an error", 200, `{"error":"loading"}`, "error"},
		{"no JSON", 200, `<html>`, "error"},
		{"a status", 503, `{"data":[{"id":"a"}]}`, "error"},
		{"a redirection", 302, `{"data":[{"id":"a"}]}`, "error"},
		{"too long", 200, `{"data":[{"id":"` + strings.Repeat("n", maxList) + `"}]}`, "error"},
		{"too many", 200, `{"data":[` + strings.Join(many, ",") + `]}`, "1000 names"},
	} {
		var asked *http.Request
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		v, _ := VendorByName("ollama")
		transports := &Transports{}
		a, err := NewAccount(Settings{Name: "engine", Vendor: v, BaseURL: srv.URL, Connect: time.Second, Headers: map[string]string{"X-Team": "a"}}, transports)
		if err != nil {
			t.Fatal(err)
		}
		names, err := a.Models(context.Background(), "key")
		got := fmt.Sprint(names)
		if err != nil {
			got = "error"
		} else if len(names) == maxNames {
			got = "1000 names"
		}
		if got != c.want || (err == nil) != (names != nil) {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
		if asked.Method != "GET" || asked.URL.Path != "/v1/models" || asked.Header.Get("Authorization") != "Bearer key" || asked.Header.Get("X-Team") != "a" {
			t.Errorf("%s: asked %s %s %v", c.name, asked.Method, asked.URL, asked.Header)
		}
		transports.Close()
		srv.Close()
	}
}
